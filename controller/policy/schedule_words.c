/* Words of times: days and hours, and what may have been meant by a word that is neither. */
#include "controller/policy/schedule_words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/schedule.h"
#include "zt/err.h"
#include "zt/txt.h"

enum { WORD_MAX = 16, DAY_NAME_MIN = 3 };

bool word_copy(struct word word, char *out, size_t size)
{
	if (word.n >= size || memchr(word.p, '\0', word.n))
		return false;
	memcpy(out, word.p, word.n);
	out[word.n] = '\0';
	return true;
}

struct word word_cut(struct word *rest, const char *stops)
{
	struct word head = {rest->p, 0};

	while (head.n < rest->n && !memchr(stops, head.p[head.n], strlen(stops)))
		head.n++;
	rest->p += head.n + (head.n < rest->n);
	rest->n -= head.n + (head.n < rest->n);
	return head;
}

/* --- days --- */

static const char *const day_names[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
					"Friday", "Saturday", "Sunday"};
static const char *const lower_names[] = {"monday",   "tuesday", "wednesday", "thursday", "friday",
					  "saturday", "sunday",	 "mon",	      "tue",	  "wed",
					  "thu",      "fri",	 "sat",	      "sun"};

const char *day_name(int day)
{
	return day_names[day];
}

int word_day(struct word word)
{
	for (int i = 0; i < 7; i++)
		if ((word.n == DAY_NAME_MIN || word.n == strlen(day_names[i])) &&
		    strncasecmp(word.p, day_names[i], word.n) == 0)
			return i;
	return -1;
}

bool word_has_day(struct word word)
{
	while (word.n > 0)
		if (word_day(word_cut(&word, "+-")) >= 0)
			return true;
	return false;
}

const char *word_day_meant(struct word word)
{
	char lower[WORD_MAX];
	const char *near;

	for (size_t i = 0; i < 7; i++)
		if (word.n > DAY_NAME_MIN && word.n < strlen(day_names[i]) &&
		    strncasecmp(word.p, day_names[i], word.n) == 0)
			return day_names[i];
	if (!word_copy(word, lower, sizeof(lower)))
		return NULL;
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	near = txt_nearest(lower, lower_names, sizeof(lower_names) / sizeof(lower_names[0]));
	return near ? day_names[word_day((struct word){near, strlen(near)})] : NULL;
}

/* Words that other schedulers know. */
static const struct {
	const char *word, *hint;
} time_words[] = {
	{"always", "leave it out: without a time it is always"},
	{"anytime", "leave it out: without a time it is always"},
	{"daily", "leave the days out: hours alone are those of every day"},
	{"everyday", "leave the days out: hours alone are those of every day"},
	{"weekday", "write Mon-Fri"},
	{"weekdays", "write Mon-Fri"},
	{"weekend", "write Sat+Sun"},
	{"weekends", "write Sat+Sun"},
};

const char *word_hint(struct word word)
{
	for (size_t i = 0; i < sizeof(time_words) / sizeof(time_words[0]); i++)
		if (strlen(time_words[i].word) == word.n &&
		    strncasecmp(time_words[i].word, word.p, word.n) == 0)
			return time_words[i].hint;
	return NULL;
}

/* --- times of day --- */

int two_digits(const char *s)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	return (s[0] - '0') * 10 + (s[1] - '0');
}

int hhmm_minutes(const char *s)
{
	int hours = two_digits(s), minutes = two_digits(s + 3);

	if (hours < 0 || minutes < 0 || s[2] != ':')
		return -ZT_EFORM;
	if (minutes > 59 || hours * 60 + minutes > WINDOW_DAY_MIN)
		return -ERANGE;
	return hours * 60 + minutes;
}

/* "9", "9:30", "9am", "9:30pm" at p[0..n) in minutes; -1 when it is none. */
static int spoken_minutes(const char *p, size_t n)
{
	bool pm = n > 2 && strncasecmp(p + n - 2, "pm", 2) == 0;
	bool am = n > 2 && strncasecmp(p + n - 2, "am", 2) == 0;
	char text[] = "00:00";
	size_t digits;
	int minutes;

	n -= pm || am ? 2 : 0;
	digits = n > 3 && p[n - 3] == ':' ? n - 3 : n;
	if (digits == 0 || digits > 2)
		return -1;
	memcpy(text + 2 - digits, p, digits);
	if (digits < n)
		memcpy(text + 3, p + n - 2, 2);
	minutes = hhmm_minutes(text);
	if (!(am || pm) || minutes < 0)
		return minutes;
	if (minutes < 60 || minutes >= 13 * 60)
		return -1;
	return minutes % 720 + (pm ? 720 : 0);
}

bool word_hours_meant(struct word word, char out[static 12])
{
	const char *dash = memchr(word.p, '-', word.n);
	size_t n = dash ? (size_t)(dash - word.p) : 0;
	int start, end;

	if (!dash)
		return false;
	start = spoken_minutes(word.p, n);
	end = spoken_minutes(dash + 1, word.n - n - 1);
	if (start < 0 || end < 0)
		return false;
	snprintf(out, 12, "%02d:%02d-%02d:%02d", start / 60 % 100, start % 60, end / 60 % 100,
		 end % 60);
	return true;
}
