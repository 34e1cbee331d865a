/* Windows and ends of rules as text. Each part of a window is known by its first characters: a
 * date, days, hours, a zone, in this order. */
#include "controller/policy/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controller/policy/date.h"
#include "controller/policy/schedule_words.h"
#include "zt/buf.h"

enum { TEXT_MAX = 160 };

enum part { PART_NONE, PART_DATES, PART_DAYS, PART_HOURS, PART_ZONE };

static const char *const part_names[] = {
	[PART_NONE] = "",	[PART_DATES] = "dates", [PART_DAYS] = "days",
	[PART_HOURS] = "hours", [PART_ZONE] = "zone",
};

static const char help_all[] = "write dates, days, hours and zone, or some of them, in this order: "
			       "2026-12-24..2027-01-02 Mon-Fri 07:00-20:00 Europe/Berlin";
static const char help_dates[] = "write 2026-12-24, 2026-12-24..2027-01-02, 2026-12-24.. or "
				 "..2027-01-02, without spaces";
static const char help_days[] = "write Mon Tue Wed Thu Fri Sat Sun, or ranges of them: Mon-Fri, "
				"Sat-Mon";
static const char help_hours[] = "write 07:00-20:00, from 00:00 to 24:00, without spaces; "
				 "22:00-06:00 runs past midnight";
static const char help_zone[] = "write a name of the time zone database: Europe/Berlin, UTC";

struct reader {
	const char *text;
	const struct window_env *env;
	struct window w;
	enum part last; /* of those read */
	struct window_problem *problem;
};

/* --- problems --- */

/* word: a part of the text. Gives false, so that a reader returns it. */
static bool wrong(struct reader *r, struct word word, const char *message, const char *hint)
{
	*r->problem = (struct window_problem){.at = (size_t)(word.p - r->text), .n = word.n};
	snprintf(r->problem->message, sizeof(r->problem->message), "%s", message);
	snprintf(r->problem->hint, sizeof(r->problem->hint), "%s", hint);
	return false;
}

/* --- dates --- */

static const int32_t open_first = INT32_MIN, open_last = INT32_MAX;

static bool read_date(struct reader *r, struct word word, int32_t *ret)
{
	int err = date_parse(word.p, word.n, ret);

	if (err == -ERANGE)
		return wrong(r, word, "is no day of the years 1970 to 2199", help_dates);
	return err ? wrong(r, word, "is not a date", help_dates) : true;
}

static bool read_dates(struct reader *r, struct word word)
{
	const char *dots = memmem(word.p, word.n, "..", 2);
	struct word first = word, last;

	if (!dots) {
		if (!read_date(r, word, &r->w.first_day))
			return false;
		r->w.last_day = r->w.first_day;
		return true;
	}
	first.n = (size_t)(dots - word.p);
	last = (struct word){dots + 2, word.n - first.n - 2};
	if (first.n == 0 && last.n == 0)
		return wrong(r, word, "has no date", help_dates);
	if (first.n > 0 && !read_date(r, first, &r->w.first_day))
		return false;
	if (last.n > 0 && !read_date(r, last, &r->w.last_day))
		return false;
	if (r->w.last_day < r->w.first_day)
		return wrong(r, word, "ends before it begins", "write the earlier date first");
	return true;
}

/* --- days --- */

static bool wrong_day(struct reader *r, struct word word)
{
	const char *near = word_day_meant(word), *meant = word_hint(word);
	char hint[sizeof(r->problem->hint)];

	if (meant || !near)
		return wrong(r, word, "is not a day", meant ? meant : help_days);
	snprintf(hint, sizeof(hint), "did you mean %.3s?", near);
	return wrong(r, word, "is not a day", hint);
}

/* "Mon" or "Mon-Fri". */
static bool read_day_range(struct reader *r, struct word word)
{
	struct word rest = word, head = word_cut(&rest, "-");
	bool range = head.n < word.n;
	int first = word_day(head), last = range ? word_day(rest) : first;

	if (head.n == 0 || (range && rest.n == 0) || memchr(rest.p, '-', rest.n))
		return wrong(r, word, "is not a range of days", help_days);
	if (first < 0 || last < 0)
		return wrong_day(r, first < 0 ? head : rest);
	if (range && first == last)
		return wrong(r, word, "begins and ends on the same day",
			     "write the day alone, or leave the days out for all of them");
	for (int day = first;; day = (day + 1) % 7) {
		r->w.days |= (uint8_t)(1 << day);
		if (day == last)
			return true;
	}
}

static bool read_days(struct reader *r, struct word word)
{
	struct word rest = word;
	size_t used = 0;

	if (r->last != PART_DAYS)
		r->w.days = 0;
	while (used < word.n) {
		struct word head = word_cut(&rest, "+");

		used += head.n + 1;
		if (head.n == 0 || used == word.n) /* ends with '+' */
			return wrong(r, word, "has nothing at a '+'", help_days);
		if (!read_day_range(r, head))
			return false;
	}
	return true;
}

/* --- hours --- */

static bool wrong_hours(struct reader *r, struct word word)
{
	char hint[sizeof(r->problem->hint)], hours[12];

	if (!word_hours_meant(word, hours))
		return wrong(r, word, "is not a range of hours", help_hours);
	snprintf(hint, sizeof(hint), "did you mean %s?", hours);
	return wrong(r, word, "is not a range of hours", hint);
}

static bool read_hours(struct reader *r, struct word word)
{
	int start, end;

	if (word.n != 11 || word.p[5] != '-')
		return wrong_hours(r, word);
	start = hhmm_minutes(word.p);
	end = hhmm_minutes(word.p + 6);
	if (start < 0 || end < 0)
		return wrong(r, (struct word){start < 0 ? word.p : word.p + 6, 5},
			     "is not a time of day", help_hours);
	if (start == WINDOW_DAY_MIN)
		return wrong(r, (struct word){word.p, 5}, "cannot be where hours begin",
			     "write 00:00, and the day on which it is");
	if (start == end)
		return wrong(r, word, "begins and ends at the same time",
			     "leave the hours out for the whole day");
	r->w.start_min = (uint16_t)start;
	r->w.end_min = (uint16_t)(end == 0 ? WINDOW_DAY_MIN : end);
	return true;
}

/* --- zone --- */

static bool wrong_zone(struct reader *r, struct word word, const char *reason)
{
	const char *near = word_day_meant(word), *meant = word_hint(word);
	char hint[sizeof(r->problem->hint)];

	if (reason)
		return wrong(r, word, reason,
			     "install or mend the system's time zones (tzdata), or "
			     "write another");
	if (meant)
		return wrong(r, word, "is neither a day nor a time zone", meant);
	if (near) {
		snprintf(hint, sizeof(hint), "did you mean %.3s?", near);
		return wrong(r, word, "is neither a day nor a time zone", hint);
	}
	wrong(r, word, "is not a time zone", help_zone);
	r->problem->kind = WINDOW_PROBLEM_ZONE;
	return false;
}

static bool read_zone(struct reader *r, struct word word)
{
	char name[TZ_NAME_MAX + 1];
	const char *reason = NULL;

	if (!word_copy(word, name, sizeof(name)) || !tz_name_is_valid(name))
		return wrong_zone(r, word, NULL);
	r->w.zone = r->env->find(r->env->arg, name, &reason);
	return r->w.zone ? true : wrong_zone(r, word, reason);
}

/* --- the whole --- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static enum part part_of(struct word word)
{
	char hours[12];

	if (is_letter(word.p[0]))
		return word_has_day(word) ? PART_DAYS : PART_ZONE;
	if (memchr(word.p, ':', word.n) || word_hours_meant(word, hours))
		return PART_HOURS;
	if ((word.p[0] >= '0' && word.p[0] <= '9') || word.p[0] == '.')
		return PART_DATES;
	return word.p[0] == '-' || word.p[0] == '+' ? PART_DAYS : PART_NONE;
}

static bool check_order(struct reader *r, struct word word, enum part part)
{
	char message[sizeof(r->problem->message)];

	if (part == PART_NONE)
		return wrong(r, word, "is none of dates, days, hours and zone", help_all);
	if (part > r->last || (part == PART_DAYS && r->last == PART_DAYS))
		return true;
	if (part == r->last) {
		snprintf(message, sizeof(message), "is a second part with %s", part_names[part]);
		return wrong(r, word, message, "write a window for each");
	}
	snprintf(message, sizeof(message), "has %s, but stands behind the %s", part_names[part],
		 part_names[r->last]);
	return wrong(r, word, message, help_all);
}

static bool read_part(struct reader *r, struct word word)
{
	static bool (*const readers[])(struct reader *, struct word) = {
		[PART_DATES] = read_dates,
		[PART_DAYS] = read_days,
		[PART_HOURS] = read_hours,
		[PART_ZONE] = read_zone,
	};
	static const uint8_t says[] = {
		[PART_DATES] = WINDOW_SAYS_DATES,
		[PART_DAYS] = WINDOW_SAYS_DAYS,
		[PART_HOURS] = WINDOW_SAYS_HOURS,
		[PART_ZONE] = WINDOW_SAYS_ZONE,
	};
	enum part part = part_of(word);

	if (!check_order(r, word, part) || !readers[part](r, word))
		return false;
	r->w.says |= says[part];
	r->last = part;
	return true;
}

/* --- normal form --- */

static void put_dates(struct buf *b, const struct window *w)
{
	char first[DATE_TEXT_LEN + 1] = "", last[DATE_TEXT_LEN + 1] = "";

	if (w->first_day == open_first && w->last_day == open_last)
		return;
	if (w->first_day != open_first)
		date_print(w->first_day, first);
	if (w->last_day != open_last)
		date_print(w->last_day, last);
	if (w->first_day == w->last_day)
		buf_printf(b, "%s ", first);
	else
		buf_printf(b, "%s..%s ", first, last);
}

static bool has_bit(const struct window *w, int day)
{
	return w->days >> (day % 7) & 1;
}

/* Runs of days: "Mon-Fri+Sun", "Sat-Mon". */
static void put_days(struct buf *b, const struct window *w)
{
	const char *between = "";

	if (w->days == WINDOW_EVERY_DAY)
		return;
	for (int day = 0; day < 7; day++) {
		int last = day;

		if (!has_bit(w, day) || has_bit(w, day + 6))
			continue;
		while (has_bit(w, last + 1))
			last++;
		buf_printf(b, "%s%.3s", between, day_name(day));
		if (last > day)
			buf_printf(b, "-%.3s", day_name(last % 7));
		between = "+";
	}
	buf_put_text(b, " ");
}

static const char *normal_form(const struct window *w, struct arena *a)
{
	char mem[TEXT_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	put_dates(&b, w);
	put_days(&b, w);
	/* Something stands before the zone, also where all of it was said to be open. */
	if (w->start_min != 0 || w->end_min != WINDOW_DAY_MIN || b.len == 0)
		buf_printf(&b, "%02d:%02d-%02d:%02d ", w->start_min / 60, w->start_min % 60,
			   w->end_min / 60, w->end_min % 60);
	buf_put_text(&b, tz_name(w->zone));
	return arena_text(a, buf_text(&b), b.len);
}

int window_parse(const char *s, size_t n, const struct window_env *env, struct arena *a,
		 struct window *ret, struct window_problem *ret_problem)
{
	struct word rest = {s, n};
	struct reader r = {
		.text = s,
		.env = env,
		.w = {.first_day = open_first,
		      .last_day = open_last,
		      .days = WINDOW_EVERY_DAY,
		      .end_min = WINDOW_DAY_MIN,
		      .zone = env->zone},
		.problem = ret_problem,
	};

	while (rest.n > 0) {
		struct word word = word_cut(&rest, " \t");

		if (word.n > 0 && !read_part(&r, word))
			return -ZT_EFORM;
	}
	if (r.last == PART_NONE) {
		wrong(&r, (struct word){s, 0}, "says nothing", help_all);
		return -ZT_EFORM;
	}
	if (r.w.says == WINDOW_SAYS_ZONE && !env->zone_alone) {
		wrong(&r, (struct word){s, n}, "is a time zone alone",
		      "say days or hours before it: Mon-Fri 07:00-20:00 Europe/Berlin");
		return -ZT_EFORM;
	}
	r.w.text = normal_form(&r.w, a);
	if (!r.w.text)
		return -ENOMEM;
	*ret = r.w;
	return 0;
}

/* --- until --- */

/* The first instant at which the zone's clocks show local_s (seconds since 1970-01-01 of local
 * time) or later. */
static int64_t instant_of(const struct tz *zone, int64_t local_s)
{
	int64_t t = local_s - TZ_OFFSET_MAX_S; /* every zone is before it then */

	for (;;) {
		int64_t next = tz_next(zone, t), at = local_s - tz_offset(zone, t);

		if (at < t)
			at = t;
		if (at < next)
			return at;
		t = next;
	}
}

/* "HH:MM", before 24:00. */
static int clock_minutes(const char *s)
{
	int minutes = hhmm_minutes(s);

	return minutes == WINDOW_DAY_MIN ? -ERANGE : minutes;
}

/* "18:00:00Z", "18:00:00+01:00" in seconds of the day in UTC. */
static int rfc3339_time(const char *s, size_t n, int64_t *ret_s)
{
	bool is_utc = n == 9 && s[8] == 'Z';
	bool has_offset = n == 14 && (s[8] == '+' || s[8] == '-');
	int minutes, seconds, offset;

	if ((!is_utc && !has_offset) || s[5] != ':')
		return -ZT_EFORM;
	minutes = clock_minutes(s);
	seconds = two_digits(s + 6);
	offset = is_utc ? 0 : clock_minutes(s + 9);
	if (minutes == -ZT_EFORM || seconds < 0 || offset == -ZT_EFORM)
		return -ZT_EFORM;
	if (minutes < 0 || seconds > 59 || offset < 0)
		return -ERANGE;
	*ret_s = minutes * 60 + seconds - (has_offset && s[8] == '-' ? -offset : offset) * 60;
	return 0;
}

/* What follows the date. */
static int until_time(const char *s, size_t n, int64_t *ret_s)
{
	int minutes;

	if (n == 0) {
		*ret_s = DATE_DAY_S;
		return 0;
	}
	minutes = n == 6 && s[0] == ' ' ? hhmm_minutes(s + 1) : -ZT_EFORM;
	if (minutes < 0)
		return minutes;
	*ret_s = minutes * 60;
	return 0;
}

int until_parse(const char *s, size_t n, const struct tz *zone, int64_t *ret_s)
{
	bool is_rfc3339 = n > DATE_TEXT_LEN && s[DATE_TEXT_LEN] == 'T';
	int64_t second;
	int32_t day;
	int err;

	if (n < DATE_TEXT_LEN)
		return -ZT_EFORM;
	if (is_rfc3339)
		err = rfc3339_time(s + DATE_TEXT_LEN + 1, n - DATE_TEXT_LEN - 1, &second);
	else
		err = until_time(s + DATE_TEXT_LEN, n - DATE_TEXT_LEN, &second);
	if (!err)
		err = date_parse(s, DATE_TEXT_LEN, &day);
	if (err)
		return err;
	second += day * (int64_t)DATE_DAY_S;
	*ret_s = is_rfc3339 ? second : instant_of(zone, second);
	return 0;
}
