/* What a refused part of a time was to be: days and hours as people and other programs write them,
 * zones by their city. A guess is given only when it is read well. */
#include "controller/policy/parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "zt/buf.h"
#include "zt/txt.h"

enum { WORD_MAX = 48, WORDS_MAX = 5 };

/* --- words that are no part of a time --- */

static const struct {
	const char *word, *hint;
} plain_words[] = {
	{"every", "leave it out: hours alone are those of every day, and days those of every week"},
	{"each", "leave it out: hours alone are those of every day, and days those of every week"},
	{"from", "leave it out: write 08:00-17:00, or 2026-12-24.. for a first day"},
	{"between", "leave it out: write 08:00-17:00"},
	{"at", "leave it out: write 08:00-17:00"},
	{"and", "several days have + between them: Mon+Wed; other times have a comma"},
	{"or", "several days have + between them: Mon+Wed; other times have a comma"},
	{"not", "times that are taken out stand in a key of their own: except = Sat Sun"},
	{"except", "times that are taken out stand in a key of their own: except = Sat Sun"},
	{"workdays", "write Mon-Fri"},
	{"workday", "write Mon-Fri"},
	{"business", "write Mon-Fri"},
	{"local", "leave it out: timezone = ... in [network] is the zone of times that name none"},
};

static const char month_names[][4] = {"jan", "feb", "mar", "apr", "may", "jun",
				      "jul", "aug", "sep", "oct", "nov", "dec"};

static bool is_month(const struct span *word)
{
	for (size_t i = 0; i < 12 && word->n >= 3 && word->n <= 9; i++)
		if (strncasecmp(word->p, month_names[i], 3) == 0)
			return true;
	return false;
}

/* "+01:00", "UTC+1", "CET-1" */
static bool is_offset(const struct span *word)
{
	size_t n = 0;

	while (n < word->n && n < 5 && strchr("ABCDEGHIMPSTUVWZabcdeghimpstuvwz", word->p[n]))
		n++;
	return n + 1 < word->n && strchr("+-", word->p[n]) && word->p[n + 1] >= '0' &&
	       word->p[n + 1] <= '9' && (n > 0 || memchr(word->p, ':', word->n) == word->p + 3) &&
	       word->n < 10;
}

const char *time_word_meant(const struct span *word)
{
	for (size_t i = 0; i < sizeof(plain_words) / sizeof(plain_words[0]); i++)
		if (strlen(plain_words[i].word) == word->n &&
		    strncasecmp(plain_words[i].word, word->p, word->n) == 0)
			return plain_words[i].hint;
	if (is_month(word))
		return "write dates in numbers: 2026-12-24";
	if (is_offset(word))
		return "an offset is no zone, for summer time moves it: write a name of the time "
		       "zone database, Europe/Berlin or UTC";
	return NULL;
}

/* --- separators --- */

/* Length of what joins the two ends of a range at p; 0: nothing does. */
static size_t range_joint(const char *p)
{
	static const char *const joints[] = {"-", "\u2013", "\u2014", "..",   "~",
					     "/", "to",	    "until",  "till", "bis"};

	for (size_t i = 0; i < sizeof(joints) / sizeof(joints[0]); i++)
		if (strncasecmp(p, joints[i], strlen(joints[i])) == 0)
			return strlen(joints[i]);
	return 0;
}

/* --- days --- */

static const char day_names[][12] = {"monday", "tuesday",  "wednesday", "thursday",
				     "friday", "saturday", "sunday"};
static const char german_names[][12] = {"montag",  "dienstag", "mittwoch", "donnerstag",
					"freitag", "samstag",  "sonntag"};
static const char *const day_words[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

/* A day by its beginning, of two letters and more, or in the plural; -1: none. */
static int day_meant(const char *p, size_t n)
{
	if (n > 3 && (p[n - 1] == 's' || p[n - 1] == 'S'))
		n -= strncasecmp(p, "tues", 5) != 0 && strncasecmp(p, "thurs", 6) != 0 &&
		     strncasecmp(p, "dienst", 6) != 0;
	for (int i = 0; i < 7 && n >= 2; i++)
		if (n <= strlen(day_names[i]) && strncasecmp(p, day_names[i], n) == 0)
			return i;
	for (int i = 0; i < 7 && n >= 2; i++)
		if (n <= strlen(german_names[i]) && strncasecmp(p, german_names[i], n) == 0)
			return i;
	return -1;
}

static bool is_ascii_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "Mo-Fr", "Mon..Fri", "Mon&Wed" */
static bool days_meant(const char *s, char out[static WORD_MAX])
{
	size_t used = 0, n, joint;
	int day, days = 0;

	while (*s) {
		for (n = 0; is_ascii_letter(s[n]); n++)
			;
		day = day_meant(s, n);
		if (day < 0 || used + 8 > WORD_MAX)
			return false;
		used += (size_t)snprintf(out + used, WORD_MAX - used, "%s", day_words[day]);
		days++;
		s += n;
		if (*s == '.' && s[1] != '.')
			s++;
		joint = range_joint(s);
		if (*s == '\0' || s[joint] == '\0')
			return *s == '\0';
		if (joint && *s != '/' && days > 1)
			return false;
		out[used++] = joint && *s != '/' ? '-' : '+';
		if (!joint && !strchr("&+|", *s))
			return false;
		s += joint ? joint : 1;
	}
	return false;
}

/* --- hours --- */

static const char *read_digits(const char *s, int *ret, size_t *ret_n)
{
	*ret = 0;
	for (*ret_n = 0; *s >= '0' && *s <= '9' && *ret_n < 5; s++, (*ret_n)++)
		*ret = *ret * 10 + (*s - '0');
	return s;
}

/* "9", "09.00", "0900", "9h30", "9:00:00", "5pm" in minutes; NULL: none of these. */
static const char *read_clock(const char *s, int *ret)
{
	int hours, minutes = 0, seconds;
	size_t n, more = 0;

	s = read_digits(s, &hours, &n);
	if (n == 0 || n == 3 || n > 4)
		return NULL;
	if (n == 4) {
		minutes = hours % 100;
		hours /= 100;
	} else if (*s && strchr(":.hH", *s) && s[1] >= '0' && s[1] <= '9') {
		s = read_digits(s + 1, &minutes, &more);
		if (more != 2)
			return NULL;
		if ((*s == ':' || *s == '.') && s[1] == '0' && s[2] == '0')
			s = read_digits(s + 1, &seconds, &more);
	}
	if (strncasecmp(s, "am", 2) == 0 || strncasecmp(s, "pm", 2) == 0) {
		if (hours < 1 || hours > 12)
			return NULL;
		hours = hours % 12 + (strncasecmp(s, "pm", 2) == 0 ? 12 : 0);
		s += 2;
	}
	if (strncasecmp(s, "uhr", 3) == 0)
		s += 3;
	else if (*s == 'h' || *s == 'H')
		s++;
	*ret = hours * 60 + minutes;
	return minutes < 60 && *ret <= 1440 ? s : NULL;
}

/* "0900-1700", "09.00 to 17.00" without the spaces. Years are none. */
static bool hours_meant(const char *s, char out[static WORD_MAX])
{
	int start, end;
	const char *p = read_clock(s, &start);

	if (!p || range_joint(p) == 0 || (s[0] == '2' && p == s + 4 && s[1] == '0'))
		return false;
	p = read_clock(p + range_joint(p), &end);
	if (!p || *p || start == 1440)
		return false;
	snprintf(out, WORD_MAX, "%02d:%02d-%02d:%02d", start / 60 % 100, start % 60, end / 60 % 100,
		 end % 60);
	return true;
}

/* --- zones --- */

bool zone_meant(const struct parse *c, const struct span *word, char out[static TZ_NAME_MAX + 1])
{
	const char *const *names = NULL, *found = NULL, *last;
	char text[TZ_NAME_MAX + 1];
	size_t n = 0;

	if (!span_text(word, text, sizeof(text)) || !c->env->zone_names)
		return false;
	for (char *p = text; *p; p++)
		*p = *p == ' ' ? '_' : *p;
	if (strcasecmp(text, "utc") == 0 || strcasecmp(text, "z") == 0 ||
	    strcasecmp(text, "zulu") == 0)
		snprintf(text, sizeof(text), "UTC");
	names = c->env->zone_names(c->env->zones, &n);
	for (size_t i = 0; i < n; i++) {
		last = strrchr(names[i], '/');
		if (strcasecmp(names[i], text) == 0)
			found = names[i];
		else if (!found && last && strcasecmp(last + 1, text) == 0)
			found = names[i];
	}
	if (found)
		snprintf(out, TZ_NAME_MAX + 1, "%s", found);
	return found != NULL;
}

/* --- in their window --- */

/* The words of whole from that at part on, and one before it. */
static size_t cut_words(const struct span *whole, const struct span *part,
			struct span words[static WORDS_MAX], size_t *ret_at)
{
	struct span rest = *whole, word, before = {0};
	size_t n = 0;

	*ret_at = 0;
	while (rest.n > 0 && n < WORDS_MAX) {
		word = rest;
		word.n = 0;
		while (word.n < rest.n && rest.p[word.n] != ' ' && rest.p[word.n] != '\t')
			word.n++;
		rest = span_trim(span_skip(rest, word.n));
		if (word.p + word.n <= part->p) {
			before = word;
			continue;
		}
		if (n == 0 && before.n > 0) {
			words[n++] = before;
			*ret_at = 1;
		}
		words[n++] = word;
	}
	return n;
}

static bool is_date(const struct span *word)
{
	return word->n == 10 && word->p[4] == '-' && word->p[7] == '-';
}

/* "Mon-Fri", "09:00-17:00" or "2026-12-24..2026-12-26" from one word, or two with a joint between
 * them. */
static bool words_meant(const struct span *words, size_t n, char out[static WORD_MAX],
			const char **ret_what)
{
	const struct span *last = &words[n - 1];
	char text[WORD_MAX];
	int used;

	if (n == 3 && range_joint(words[1].p) != words[1].n)
		return false;
	*ret_what = "is not a range of dates";
	used = n == 3 ? snprintf(text, sizeof(text), "%.*s%s%.*s", (int)words[0].n, words[0].p,
				 is_date(last) ? ".." : "-", (int)last->n, last->p)
		      : snprintf(text, sizeof(text), "%.*s", (int)last->n, last->p);
	if (used >= WORD_MAX)
		return false;
	if (n == 3 && is_date(&words[0]) && is_date(last)) {
		memcpy(out, text, sizeof(text));
		return true;
	}
	*ret_what = "is not a range of hours";
	if (hours_meant(text, out))
		return n > 1 || strcmp(text, out) != 0;
	*ret_what = "is not a range of days";
	return days_meant(text, out) && (n > 1 || strcmp(text, out) != 0);
}

bool window_meant(struct parse *c, const struct span *whole, struct span *part,
		  const char **ret_what, char out[static TZ_NAME_MAX + 1])
{
	struct span words[WORDS_MAX];
	char text[WORD_MAX];
	size_t at, n = cut_words(whole, part, words, &at);

	if (n == 0 || n == at)
		return false;
	/* the longest first: what stands before may be the first end of a range */
	for (size_t len = 3; len > 0; len = len == 3)
		for (size_t first = len == 3 ? 0 : at; first <= at; first++) {
			if (first + len > n || !words_meant(words + first, len, text, ret_what))
				continue;
			*part = words[first];
			part->n = (size_t)(words[first + len - 1].p + words[first + len - 1].n -
					   words[first].p);
			snprintf(out, TZ_NAME_MAX + 1, "%s", text);
			return true;
		}
	if (!zone_meant(c, &words[at], out) || span_is(&words[at], out))
		return false;
	*part = words[at];
	*ret_what = "is not a time zone";
	return true;
}
