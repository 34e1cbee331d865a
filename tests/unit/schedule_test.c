/* Schedules against an oracle that looks at every minute, with the offsets that the C library has;
 * and the text of windows. */
#include "tests/unit/tz_fixture.h"

#include "controller/policy/date.h"
#include "controller/policy/schedule.h"

enum {
	QUARTER_S = 900, /* in the years below, no zone here changes between quarters of an hour */
	YEARS_QUARTERS = 5 * 366 * 96,
	ZONES = 4,
	DAY_S = 86400,
	WINDOWS_MAX = 4,
};

static const int64_t year_2026 = 1767225600;

static struct arena arena;
static const struct tz *zones[ZONES]; /* the first is NULL: UTC */
static const char *const zone_names[ZONES] = {"UTC", "Europe/Berlin", "America/New_York",
					      "Australia/Lord_Howe"};
static int32_t offsets[ZONES][YEARS_QUARTERS];

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, TZ_ARENA_MAX);
	for (int z = 0; z < ZONES; z++) {
		char tz[100];

		snprintf(tz, sizeof(tz), ":%s/%s", zoneinfo, zone_names[z]);
		libc_use(tz);
		for (int q = 0; q < YEARS_QUARTERS; q++)
			offsets[z][q] = libc_offset(year_2026 + (int64_t)q * QUARTER_S);
		if (z > 0)
			zones[z] = tz_file_decode(zoneinfo, zone_names[z], &arena);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

static const struct tz *zone_named(void *arg, const char *name, const char **ret_reason)
{
	(void)arg;
	for (int z = 0; z < ZONES; z++)
		if (strcmp(name, zone_names[z]) == 0)
			return z ? zones[z] : tz_utc();
	if (strcmp(name, "Europe/Broken") == 0)
		*ret_reason = "is damaged";
	return NULL;
}

static const struct window_env env = {.find = zone_named};

static struct window window_of(const char *text)
{
	struct window_problem p;
	struct window w = {0};

	if (window_parse(text, strlen(text), &env, &arena, &w, &p))
		fail_msg("%s: %s", text, p.message);
	return w;
}

/* UTC, "2026-12-24T12:00:00Z". */
static int64_t utc(const char *text)
{
	int64_t t = 0;

	if (until_parse(text, strlen(text), NULL, &t))
		fail_msg("%s is no time", text);
	return t;
}

/* --- the oracle --- */

static int zone_index(const struct tz *zone)
{
	int z = 0;

	while (zones[z] != zone)
		z++;
	return z;
}

/* Did the hours that began today or yesterday (local) begin before t, and end after it? */
static bool oracle_window(const struct window *w, int64_t t)
{
	int64_t local = t + offsets[zone_index(w->zone)][(t - year_2026) / QUARTER_S];
	int start = w->start_min, end = w->end_min > start ? w->end_min : w->end_min + 1440;
	struct tm tm;

	assert_non_null(gmtime_r(&local, &tm));
	for (int back = 0; back <= 1; back++) {
		int64_t day = local / DAY_S - back;
		int minute = tm.tm_hour * 60 + tm.tm_min + 1440 * back;
		int weekday = (tm.tm_wday + 6 - back + 7) % 7;

		if (minute >= start && minute < end && (w->days & 1 << weekday) &&
		    day >= w->first_day && day <= w->last_day)
			return true;
	}
	return false;
}

static bool oracle(const struct schedule *s, int64_t t)
{
	bool in = s->n_in == 0;

	for (size_t i = 0; i < s->n_in; i++)
		in |= oracle_window(&s->in[i], t);
	for (size_t i = 0; i < s->n_except; i++)
		in &= !oracle_window(&s->except[i], t);
	return in && t < s->until_s;
}

/* --- random schedules --- */

static int64_t random_time(void)
{
	static const char *const changes[] = {
		"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2027-03-28T01:00:00Z",
		"2027-03-14T07:00:00Z", "2026-11-01T06:00:00Z", "2027-04-03T15:00:00Z",
		"2027-10-02T15:30:00Z",
	};

	if (rnd(2))
		return utc(changes[rnd(N_OF(changes))]) + (int64_t)rnd(4 * DAY_S) - 2 * DAY_S;
	return year_2026 + DAY_S + (int64_t)rnd((uint64_t)3 * 365 * DAY_S);
}

static void random_dates(struct window *w, int64_t now)
{
	int32_t day = (int32_t)(now / DAY_S);

	w->first_day = INT32_MIN;
	w->last_day = INT32_MAX;
	if (rnd(3) > 0)
		return;
	if (rnd(3) > 0)
		w->first_day = day + (int32_t)rnd(20) - 10 + (rnd(4) ? 0 : (int32_t)rnd(600));
	if (rnd(3) > 0)
		w->last_day =
			(w->first_day > INT32_MIN ? w->first_day : day - 5) + (int32_t)rnd(20);
}

/* Often in the night, where clocks change; often past midnight. */
static void random_hours(struct window *w)
{
	uint64_t step = rnd(2) ? 15 : 1;

	w->start_min = 0;
	w->end_min = 1440;
	if (rnd(4) == 0)
		return;
	w->start_min = (uint16_t)(rnd((rnd(2) ? 240 : 1440) / step) * step);
	do
		w->end_min = (uint16_t)(rnd((rnd(2) ? 240 : 1440) / step) * step);
	while (w->end_min == w->start_min);
}

static struct window random_window(int64_t now)
{
	static const uint8_t days[] = {WINDOW_EVERY_DAY, WINDOW_EVERY_DAY, 0x1f, 0x60, 0x40, 0x3f};
	struct window w = {.days = days[rnd(N_OF(days))], .zone = zones[rnd(ZONES)]};

	if (rnd(4) == 0)
		w.days = (uint8_t)(1 + rnd(127));
	random_dates(&w, now);
	random_hours(&w);
	return w;
}

struct random_schedule {
	struct window in[WINDOWS_MAX], except[WINDOWS_MAX];
	struct schedule s;
};

static void randomize(struct random_schedule *r, int64_t now)
{
	r->s = (struct schedule){.in = r->in,
				 .n_in = rnd(WINDOWS_MAX),
				 .except = r->except,
				 .n_except = rnd(2) ? 0 : rnd(WINDOWS_MAX),
				 .until_s = rnd(6) ? INT64_MAX : now + (int64_t)rnd(9 * DAY_S)};
	for (size_t i = 0; i < r->s.n_in; i++)
		r->in[i] = random_window(now);
	for (size_t i = 0; i < r->s.n_except; i++)
		r->except[i] = random_window(now);
}

/* Shows the schedule, so that a failure can be found again. */
static void show(const struct schedule *s, int64_t now, int64_t next, int64_t at)
{
	for (size_t i = 0; i < s->n_in + s->n_except; i++) {
		const struct window *w = i < s->n_in ? &s->in[i] : &s->except[i - s->n_in];

		print_error("%s %d..%d days %02x %d-%d %s\n", i < s->n_in ? "in" : "except",
			    w->first_day, w->last_day, w->days, w->start_min, w->end_min,
			    tz_name(w->zone));
	}
	fail_msg("now %lld, until %lld, next %lld, but at %lld:", (long long)now,
		 (long long)s->until_s, (long long)next, (long long)at);
}

/* Nothing changes before next, at every step_s from a full minute on. */
static void scan(const struct schedule *s, int64_t now, int64_t next, int64_t step_s, int64_t end)
{
	bool held = oracle(s, now);

	for (int64_t t = now - now % 60 + 60; t < next && t < end; t += step_s)
		if (oracle(s, t) != held)
			show(s, now, next, t);
}

static void check_next(const struct schedule *s, int64_t now, int64_t next, int64_t table_end)
{
	bool held = oracle(s, now);

	if (schedule_holds(s, now) != held || next <= now)
		show(s, now, next, now);
	if (next < table_end && (oracle(s, next) == held || schedule_holds(s, next) == held ||
				 schedule_holds(s, next - 1) != held))
		show(s, now, next, next);
}

static void the_next_change_is_the_one_that_a_scan_finds(void **state)
{
	const int64_t table_end = year_2026 + (int64_t)YEARS_QUARTERS * QUARTER_S;
	size_t far = 0, near = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int64_t now = random_time(), next;
		struct random_schedule r;

		randomize(&r, now);
		next = schedule_next(&r.s, now);
		check_next(&r.s, now, next, table_end);
		scan(&r.s, now, next, 60, now + 3 * DAY_S);
		if (next > now + 3 * DAY_S)
			scan(&r.s, now, next, QUARTER_S, now + 8 * DAY_S);
		near += next <= now + 3 * DAY_S;
		if (next > now + 8 * DAY_S && ++far % 32 == 0)
			scan(&r.s, now, next, QUARTER_S, table_end);
	}
	assert_true(near > 1000 && far > 1000); /* it was about both */
}

static void a_window_holds_as_the_oracle_says(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		int64_t now = random_time();
		struct window w = random_window(now);

		if (window_holds(&w, now) != oracle_window(&w, now))
			fail_msg("at %lld: %d..%d days %02x %d-%d %s", (long long)now, w.first_day,
				 w.last_day, w.days, w.start_min, w.end_min, tz_name(w.zone));
	}
}

/* --- what each part means --- */

static void windows_at_their_edges(void **state)
{
	static const struct {
		const char *window, *at;
		bool holds;
	} rows[] = {
		/* the start is in it, the end is not */
		{"07:00-20:00", "2026-11-23T06:59:59Z", false},
		{"07:00-20:00", "2026-11-23T07:00:00Z", true},
		{"07:00-20:00", "2026-11-23T19:59:59Z", true},
		{"07:00-20:00", "2026-11-23T20:00:00Z", false},
		/* the zone's clocks, winter and summer */
		{"07:00-20:00 Europe/Berlin", "2026-11-23T06:00:00Z", true},
		{"07:00-20:00 Europe/Berlin", "2026-11-23T19:00:00Z", false},
		{"07:00-20:00 Europe/Berlin", "2026-07-23T05:00:00Z", true},
		{"07:00-20:00 Europe/Berlin", "2026-07-23T18:00:00Z", false},
		/* 2026-11-23 is a Monday */
		{"Mon", "2026-11-22T23:59:59Z", false},
		{"Mon", "2026-11-23T00:00:00Z", true},
		{"Mon", "2026-11-24T00:00:00Z", false},
		{"Mon Europe/Berlin", "2026-11-22T23:00:00Z", true},
		{"Mon Europe/Berlin", "2026-11-23T23:00:00Z", false},
		/* hours past midnight belong to the day on which they begin */
		{"Mon 22:00-06:00", "2026-11-23T05:59:59Z", false},
		{"Mon 22:00-06:00", "2026-11-23T22:00:00Z", true},
		{"Mon 22:00-06:00", "2026-11-24T05:59:59Z", true},
		{"Mon 22:00-06:00", "2026-11-24T06:00:00Z", false},
		{"Mon 22:00-06:00", "2026-11-24T22:00:00Z", false},
		{"2026-11-23 22:00-06:00", "2026-11-23T05:00:00Z", false},
		{"2026-11-23 22:00-06:00", "2026-11-24T05:59:59Z", true},
		{"2026-11-23 22:00-06:00", "2026-11-24T22:00:00Z", false},
		{"Mon 22:00-24:00", "2026-11-23T23:59:59Z", true},
		{"Mon 22:00-24:00", "2026-11-24T00:00:00Z", false},
		{"Mon 22:00-00:00", "2026-11-24T00:00:00Z", false},
		/* dates are both in it, and are local */
		{"2026-12-24..2026-12-26 Europe/Berlin", "2026-12-23T22:59:59Z", false},
		{"2026-12-24..2026-12-26 Europe/Berlin", "2026-12-23T23:00:00Z", true},
		{"2026-12-24..2026-12-26 Europe/Berlin", "2026-12-26T22:59:59Z", true},
		{"2026-12-24..2026-12-26 Europe/Berlin", "2026-12-26T23:00:00Z", false},
		{"2026-12-24..", "2026-12-23T23:59:59Z", false},
		{"2026-12-24..", "2100-01-01T00:00:00Z", true},
		{"..2026-12-24", "1970-01-01T00:00:00Z", true},
		{"..2026-12-24", "2026-12-25T00:00:00Z", false},
		{"2026-12-24.. Fri", "2026-12-24T12:00:00Z", false},
		{"2026-12-24.. Fri", "2026-12-25T12:00:00Z", true},
		/* the hour that is skipped, and the one that is there twice */
		{"02:00-03:00 Europe/Berlin", "2026-03-29T00:59:59Z", false},
		{"02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", false},
		{"02:30-02:45 Europe/Berlin", "2026-10-25T00:30:00Z", true},
		{"02:30-02:45 Europe/Berlin", "2026-10-25T01:00:00Z", false},
		{"02:30-02:45 Europe/Berlin", "2026-10-25T01:30:00Z", true},
		{"02:30-02:45 Europe/Berlin", "2026-10-25T01:45:00Z", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct window w = window_of(rows[i].window);
		char says[100];

		snprintf(says, sizeof(says), "%s at %s", rows[i].window, rows[i].at);
		row_check(says, window_holds(&w, utc(rows[i].at)) == rows[i].holds);
	}
}

/* Two windows at most of each kind; NULL ends them. */
static void changes_that_are_far_or_never(void **state)
{
	static const struct {
		const char *says, *in[3], *except[3], *until, *now, *next; /* next NULL: never */
	} rows[] = {
		{"nothing said", {0}, {0}, NULL, "2026-01-01T00:00:00Z", NULL},
		{"only an end",
		 {0},
		 {0},
		 "2026-06-01",
		 "2026-01-01T00:00:00Z",
		 "2026-06-02T00:00:00Z"},
		{"past its end", {"Mon"}, {0}, "2026-06-01", "2026-06-02T00:00:00Z", NULL},
		{"its last second",
		 {0},
		 {0},
		 "2026-06-01",
		 "2026-06-01T23:59:59Z",
		 "2026-06-02T00:00:00Z"},
		{"the end comes before the window does",
		 {"2026-07-01"},
		 {0},
		 "2026-06-01",
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"the whole of every day",
		 {"00:00-24:00 Europe/Berlin"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"days that join", {"Mon-Thu", "Fri-Sun"}, {0}, NULL, "2026-01-01T00:00:00Z", NULL},
		{"hours that join",
		 {"00:00-12:00", "12:00-24:00"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"dates years ahead",
		 {"2199-12-31 10:00-11:00 Europe/Berlin"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 "2199-12-31T09:00:00Z"},
		{"dates that begin behind the window's weekday",
		 {"2026-11-24.. Mon"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 "2026-11-30T00:00:00Z"},
		{"the same, in the west",
		 {"2026-11-24.. Mon America/New_York"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 "2026-11-30T05:00:00Z"},
		{"an except that ends on the window's weekday",
		 {"Mon"},
		 {"..2026-11-23"},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 "2026-11-30T00:00:00Z"},
		{"dates in the past",
		 {"2025-12-24 Europe/Berlin"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"a date on the wrong weekday",
		 {"2026-11-24 Mon"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"an except over all",
		 {"Mon-Fri 09:00-17:00 Europe/Berlin"},
		 {"08:00-18:00 Europe/Berlin"},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"an except that is all", {0}, {"00:00-24:00"}, NULL, "2026-01-01T00:00:00Z", NULL},
		{"an except that ends",
		 {"Mon 09:00-10:00 Europe/Berlin"},
		 {"..2040-06-30 Mon Europe/Berlin"},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 "2040-07-02T07:00:00Z"},
		{"an except that covers the winter",
		 {"Mon 09:00-10:00 Europe/Berlin"},
		 {"Mon 08:00-09:00"},
		 NULL,
		 "2026-11-23T00:00:00Z",
		 "2027-03-29T07:00:00Z"},
		{"excepts for winter and summer",
		 {"Mon 09:00-10:00 Europe/Berlin"},
		 {"Mon 08:00-09:00", "Mon 07:00-08:00"},
		 NULL,
		 "2026-11-23T00:00:00Z",
		 NULL},
		{"only in the weeks when New York has changed and Berlin has not",
		 {"Mon-Fri 09:00-10:00 America/New_York"},
		 {"15:00-16:00 Europe/Berlin"},
		 NULL,
		 "2026-04-01T00:00:00Z",
		 "2026-10-26T13:00:00Z"},
		{"the hour that is skipped",
		 {"2027-03-28 02:00-03:00 Europe/Berlin"},
		 {0},
		 NULL,
		 "2026-01-01T00:00:00Z",
		 NULL},
		{"the end of a window is skipped",
		 {"2027-03-28 01:00-02:30 Europe/Berlin"},
		 {0},
		 NULL,
		 "2027-03-28T00:30:00Z",
		 "2027-03-28T01:00:00Z"},
		{"the start of a window is skipped",
		 {"2027-03-28 02:30-04:00 Europe/Berlin"},
		 {0},
		 NULL,
		 "2027-03-28T00:30:00Z",
		 "2027-03-28T01:00:00Z"},
		{"an hour twice: it comes again",
		 {"2026-10-25 02:30-02:45 Europe/Berlin"},
		 {0},
		 NULL,
		 "2026-10-25T00:45:00Z",
		 "2026-10-25T01:30:00Z"},
		{"to the second",
		 {"10:00-11:00"},
		 {0},
		 NULL,
		 "2026-01-01T09:59:59Z",
		 "2026-01-01T10:00:00Z"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct window in[2], except[2];
		struct schedule s = {.in = in, .except = except, .until_s = INT64_MAX};
		int64_t now = utc(rows[i].now), next;

		for (; rows[i].in[s.n_in]; s.n_in++)
			in[s.n_in] = window_of(rows[i].in[s.n_in]);
		for (; rows[i].except[s.n_except]; s.n_except++)
			except[s.n_except] = window_of(rows[i].except[s.n_except]);
		if (rows[i].until)
			s.until_s = utc(rows[i].until);
		next = schedule_next(&s, now);
		row_check(rows[i].says, next == (rows[i].next ? utc(rows[i].next) : INT64_MAX));
		row_check(rows[i].says,
			  !rows[i].next || schedule_holds(&s, next) != schedule_holds(&s, now));
	}
}

/* --- years --- */

/* A version 2 file of nothing but a rule. */
static const struct tz *rule_zone(const char *rule)
{
	static const uint8_t header[44] = {'T', 'Z', 'i', 'f', '2', [39] = 1, [43] = 1};
	uint8_t data[200] = {0};
	const struct tz *z = NULL;
	size_t n = 0;

	for (int block = 0; block < 2; block++) {
		memcpy(data + n, header, sizeof(header));
		n += sizeof(header) + 6 + 1;
	}
	n += (size_t)snprintf((char *)data + n, sizeof(data) - n, "\n%s\n", rule);
	assert_int_equal(tz_decode(data, n, "A", &arena, &z), 0);
	return z;
}

/* One zone begins its summer on the last Sunday of March, the other on the 28th. At 12:00 UTC
 * between the two, the window of the one is not the except of the other. A Tuesday lies there only
 * when the Sunday is the 25th: in 2029, 2035, 2040. A Wednesday never. */
static void what_only_some_years_have_is_found(void **state)
{
	const struct tz *fixed = rule_zone("AAA0BBB,J87/2,M10.5.0/2");
	struct window in = {INT32_MIN, INT32_MAX, 1 << 1, 720, 721, fixed, "", 0};
	struct window except = {INT32_MIN, INT32_MAX, 0x7f, 780, 781, zones[1], "", 0};
	struct schedule s = {&in, 1, &except, 1, INT64_MAX};

	(void)state;
	assert_int_equal(schedule_next(&s, utc("2026-01-01")), utc("2029-03-27T12:00:00Z"));
	assert_int_equal(schedule_next(&s, utc("2029-04-01")), utc("2035-03-27T12:00:00Z"));
	assert_int_equal(schedule_next(&s, utc("2035-04-01")), utc("2040-03-27T12:00:00Z"));
	assert_int_equal(schedule_next(&s, utc("2096-04-01")), utc("2103-03-27T12:00:00Z"));
	in.days = 1 << 2;
	assert_int_equal(schedule_next(&s, utc("2026-01-01")), INT64_MAX);
}

/* One summer begins on 29 February or 1 March, the other always on 1 March; so 29 February is the
 * one day on which 12:00 in the one is not 12:00 in the other. It is a Sunday every 28 years, and
 * once after 40, since 2100 is no leap year. */
static void what_comes_after_forty_years_is_found(void **state)
{
	struct window in = {
		INT32_MIN, INT32_MAX, 1 << 6, 720, 721, rule_zone("AAA0BBB,59/0,J300/0"), "", 0};
	struct window except = {
		INT32_MIN, INT32_MAX, 0x7f, 720, 721, rule_zone("AAA0BBB,J60/0,J300/0"), "", 0};
	struct schedule s = {&in, 1, &except, 1, INT64_MAX};

	(void)state;
	assert_int_equal(schedule_next(&s, utc("2026-01-01")), utc("2032-02-29T11:00:00Z"));
	assert_int_equal(schedule_next(&s, utc("2032-03-01")), utc("2060-02-29T11:00:00Z"));
	assert_int_equal(schedule_next(&s, utc("2088-03-01")), utc("2128-02-29T11:00:00Z"));
}

/* The weekday that a year begins on, and whether it, the one before and the one after are leap
 * years. */
static unsigned kind_of_year(int64_t year)
{
	return (unsigned)date_weekday(date_to_days(year, 1, 1)) * 8 +
	       date_year_is_leap(year - 1) * 4 + date_year_is_leap(year) * 2 +
	       date_year_is_leap(year + 1);
}

static uint64_t kinds_of_years(int64_t from, int64_t n)
{
	uint64_t kinds = 0;

	for (int64_t year = from; year < from + n; year++)
		kinds |= 1ULL << kind_of_year(year);
	return kinds;
}

/* What schedule_next takes for granted when it says never. */
static void every_kind_of_year_is_in_any_41_of_them(void **state)
{
	const uint64_t all = kinds_of_years(2000, 400);

	(void)state;
	for (int64_t year = 2000; year < 2400; year++)
		assert_int_equal(kinds_of_years(year, 41), all);
}

static void any_time_has_an_answer(void **state)
{
	static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -(1LL << 40), -1,
					1LL << 40, INT64_MAX - 1, INT64_MAX};
	struct window w = window_of("Mon 07:00-08:00 Europe/Berlin");
	struct schedule s = {&w, 1, NULL, 0, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < N_OF(times); i++) {
		int64_t next = schedule_next(&s, times[i]);

		assert_true(next > times[i] || next == INT64_MAX);
		assert_true(next == INT64_MAX || schedule_holds(&s, next));
		assert_int_equal(schedule_holds(&s, times[i]), window_holds(&w, times[i]));
	}
	assert_int_equal(schedule_next(&s, INT64_MAX), INT64_MAX);
}

/* --- text --- */

static void windows_have_one_normal_form(void **state)
{
	static const struct {
		const char *text, *normal;
	} rows[] = {
		{"Mon-Fri 07:00-20:00 Europe/Berlin", "Mon-Fri 07:00-20:00 Europe/Berlin"},
		{"  mon-FRI\t07:00-20:00  ", "Mon-Fri 07:00-20:00 UTC"},
		{"monday Wednesday SUNDAY", "Wed+Sun-Mon UTC"},
		{"Mon+Tue Wed+Thursday-Friday", "Mon-Fri UTC"},
		{"Sat-Mon", "Sat-Mon UTC"},
		{"Sun Mon", "Sun-Mon UTC"},
		{"Sat+Sun+Tue", "Tue+Sat-Sun UTC"},
		{"Mon-Sun", "00:00-24:00 UTC"},
		{"Mon-Sun 10:00-12:00", "10:00-12:00 UTC"},
		{"Tue-Mon", "00:00-24:00 UTC"},
		{"00:00-24:00", "00:00-24:00 UTC"},
		{"Mon 00:00-24:00", "Mon UTC"},
		{"22:00-00:00", "22:00-24:00 UTC"},
		{"22:00-06:00", "22:00-06:00 UTC"},
		{"00:00-24:00 America/New_York", "00:00-24:00 America/New_York"},
		{"2026-12-24", "2026-12-24 UTC"},
		{"2026-12-24..2026-12-24", "2026-12-24 UTC"},
		{"2026-12-24..2027-01-02 Sat 12:30-13:00 Europe/Berlin",
		 "2026-12-24..2027-01-02 Sat 12:30-13:00 Europe/Berlin"},
		{"2026-12-24..", "2026-12-24.. UTC"},
		{"..2024-02-29", "..2024-02-29 UTC"},
		{"1970-01-01..2199-12-31", "1970-01-01..2199-12-31 UTC"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct window w = window_of(rows[i].text), again = window_of(w.text);

		if (strcmp(w.text, rows[i].normal) != 0)
			fail_msg("%s: %s, not %s", rows[i].text, w.text, rows[i].normal);
		row_check(rows[i].text, strcmp(again.text, w.text) == 0);
		row_check(rows[i].text, again.days == w.days && again.start_min == w.start_min &&
						again.end_min == w.end_min &&
						again.first_day == w.first_day &&
						again.last_day == w.last_day);
	}
}

static void the_zone_is_the_default_where_none_is_written(void **state)
{
	struct window_env berlin = {.zone = zones[1], .find = zone_named};
	struct window_problem p;
	struct window w;

	(void)state;
	assert_int_equal(window_parse("Mon", 3, &berlin, &arena, &w, &p), 0);
	assert_ptr_equal(w.zone, zones[1]);
	assert_string_equal(w.text, "Mon Europe/Berlin");
	assert_int_equal(window_parse("Mon UTC", 7, &berlin, &arena, &w, &p), 0);
	assert_ptr_equal(w.zone, tz_utc());
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	static const struct {
		const char *text, *part, *message, *hint; /* hint: its beginning */
	} rows[] = {
		{"", "", "says nothing", "write dates, days, hours and zone"},
		{" \t ", "", "says nothing", "write dates"},
		{"2026-02-29", "2026-02-29", "is no day of the years 1970 to 2199", "write 2026-"},
		{"2026-12-24..2026-13-01", "2026-13-01", "is no day of the years 1970 to 2199",
		 "write 2026-"},
		{"24.12.2026", "24.12.2026", "is not a date", "write 2026-12-24"},
		{"2026-12-24-2026-12-26", "2026-12-24-2026-12-26", "is not a date", "write 2026-"},
		{"2026-12-24 .. 2026-12-26", "..", "is a second part with dates",
		 "write a window for each"},
		{"..", "..", "has no date", "write 2026-12-24"},
		{"2026-12-26..2026-12-24", "2026-12-26..2026-12-24", "ends before it begins",
		 "write the earlier"},
		{"Mon-Fry 07:00-20:00", "Fry", "is not a day", "did you mean Fri?"},
		{"Mon+Tus", "Tus", "is not a day", "did you mean Tue?"},
		{"Mon+weekend", "weekend", "is not a day", "write Sat+Sun"},
		{"Mon-", "Mon-", "is not a range of days", "write Mon Tue"},
		{"-Fri", "-Fri", "is not a range of days", "write Mon Tue"},
		{"Mon-Tue-Wed", "Mon-Tue-Wed", "is not a range of days", "write Mon Tue"},
		{"Mon-mon", "Mon-mon", "begins and ends on the same day", "write the day alone"},
		{"Mon++Tue", "Mon++Tue", "has nothing at a '+'", "write Mon Tue"},
		{"Mon+", "Mon+", "has nothing at a '+'", "write Mon Tue"},
		{"Mondy", "Mondy", "is neither a day nor a time zone", "did you mean Mon?"},
		{"thurs", "thurs", "is neither a day nor a time zone", "did you mean Thu?"},
		{"7:00-20:00", "7:00-20:00", "is not a range of hours",
		 "did you mean 07:00-20:00?"},
		{"9am-5pm", "9am-5pm", "is not a range of hours", "did you mean 09:00-17:00?"},
		{"Mon 9-17", "9-17", "is not a range of hours", "did you mean 09:00-17:00?"},
		{"12am-12pm", "12am-12pm", "is not a range of hours", "did you mean 00:00-12:00?"},
		{"0am-5pm", "0am-5pm", "is not a date", "write 2026-12-24"},
		{"9-170", "9-170", "is not a date", "write 2026-12-24"},
		{"-pm", "-pm", "is not a range of days", "write Mon Tue"},
		{"always", "always", "is neither a day nor a time zone", "leave it out"},
		{"Daily 07:00-20:00", "Daily", "is neither a day nor a time zone",
		 "leave the days out"},
		{"weekdays", "weekdays", "is neither a day nor a time zone", "write Mon-Fri"},
		{"07:00", "07:00", "is not a range of hours", "write 07:00-20:00"},
		{"07:00..20:00", "07:00..20:00", "is not a range of hours", "write 07:00-20:00"},
		{"07:00 - 20:00", "07:00", "is not a range of hours", "write 07:00-20:00"},
		{"07:00-24:01", "24:01", "is not a time of day", "write 07:00-20:00"},
		{"07:60-20:00", "07:60", "is not a time of day", "write 07:00-20:00"},
		{"24:00-20:00", "24:00", "cannot be where hours begin", "write 00:00"},
		{"07:00-07:00", "07:00-07:00", "begins and ends at the same time",
		 "leave the hours out"},
		{"07:00-08:00 09:00-10:00", "09:00-10:00", "is a second part with hours",
		 "write a window for each"},
		{"07:00-20:00 Mon-Fri", "Mon-Fri", "has days, but stands behind the hours",
		 "write dates, days"},
		{"Mon 2026-12-24", "2026-12-24", "has dates, but stands behind the days",
		 "write dates, days"},
		{"UTC UTC", "UTC", "is a second part with zone", "write a window for each"},
		{"Mon Europe/Broken", "Europe/Broken", "is damaged", "install or mend"},
		{"Mon *", "*", "is none of dates, days, hours and zone", "write dates"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct window_problem p = {0};
		struct window w = {.text = "untouched"};
		const char *text = rows[i].text;

		row_check(text,
			  window_parse(text, strlen(text), &env, &arena, &w, &p) == -ZT_EFORM);
		row_check(text, strcmp(w.text, "untouched") == 0);
		if (strcmp(p.message, rows[i].message) != 0 ||
		    strncmp(p.hint, rows[i].hint, strlen(rows[i].hint)) != 0)
			fail_msg("%s: \"%.*s\" %s (%s)", text, (int)p.n, text + p.at, p.message,
				 p.hint);
		row_check(text, p.n == strlen(rows[i].part));
		row_check(text, memcmp(text + p.at, rows[i].part, p.n) == 0);
		row_check(text, p.kind == WINDOW_PROBLEM_FORM);
	}
}

static void a_zone_that_is_not_there_is_marked(void **state)
{
	static const char *const texts[] = {
		"Mon Europe/Berln",
		"europe/berlin",
		"Mon ../../etc/passwd",
		"Mon CEST",
		"Mon A2345678901234567890123456789012345678901234567890123456789012345",
	};

	(void)state;
	for (size_t i = 0; i < N_OF(texts); i++) {
		struct window_problem p = {0};
		struct window w;

		row_check(texts[i], window_parse(texts[i], strlen(texts[i]), &env, &arena, &w,
						 &p) == -ZT_EFORM);
		if (i == 2) { /* begins like a date */
			row_check(texts[i], p.kind == WINDOW_PROBLEM_FORM);
			continue;
		}
		row_check(texts[i], p.kind == WINDOW_PROBLEM_ZONE);
		row_check(texts[i], strcmp(p.message, "is not a time zone") == 0);
		row_check(texts[i], p.at + p.n == strlen(texts[i]));
	}
}

static void out_of_memory_is_told(void **state)
{
	struct arena small;
	struct window_problem p;
	struct window w;

	(void)state;
	arena_init(&small, 3);
	assert_int_equal(window_parse("Mon", 3, &env, &small, &w, &p), -ENOMEM);
	arena_done(&small);
}

static void ends_of_rules(void **state)
{
	static const struct {
		const char *says, *text;
		int zone;
		int err;
		const char *utc;
	} rows[] = {
		{"a day, UTC", "2027-01-31", 0, 0, "2027-02-01T00:00:00Z"},
		{"a day, winter", "2027-01-31", 1, 0, "2027-01-31T23:00:00Z"},
		{"a day, summer", "2027-07-31", 1, 0, "2027-07-31T22:00:00Z"},
		{"the day on which the clocks change", "2027-03-28", 1, 0, "2027-03-28T22:00:00Z"},
		{"the last day", "2199-12-31", 0, 0, NULL},
		{"a time", "2027-01-31 18:00", 1, 0, "2027-01-31T17:00:00Z"},
		{"24:00", "2027-01-31 24:00", 1, 0, "2027-01-31T23:00:00Z"},
		{"a time that is there twice: the first", "2026-10-25 02:30", 1, 0,
		 "2026-10-25T00:30:00Z"},
		{"a time that is skipped: the first after", "2027-03-28 02:30", 1, 0,
		 "2027-03-28T01:00:00Z"},
		{"RFC 3339, whatever the zone", "2027-01-31T18:00:30Z", 1, 0,
		 "2027-01-31T18:00:30Z"},
		{"RFC 3339 with an offset", "2027-01-31T18:00:00+01:00", 2, 0,
		 "2027-01-31T17:00:00Z"},
		{"RFC 3339 west", "2027-01-31T18:00:00-05:30", 2, 0, "2027-01-31T23:30:00Z"},
		{"no such day", "2027-02-29", 0, -ERANGE, NULL},
		{"no such minute", "2027-01-31 18:60", 0, -ERANGE, NULL},
		{"no such hour", "2027-01-31 24:01", 0, -ERANGE, NULL},
		{"a leap second", "2027-01-31T23:59:60Z", 0, -ERANGE, NULL},
		{"24:00 is not RFC 3339", "2027-01-31T24:00:00Z", 0, -ERANGE, NULL},
		{"an offset of a day", "2027-01-31T18:00:00+24:00", 0, -ERANGE, NULL},
		{"nothing", "", 0, -ZT_EFORM, NULL},
		{"words", "next week", 0, -ZT_EFORM, NULL},
		{"half a date", "2027-01", 0, -ZT_EFORM, NULL},
		{"something behind it", "2027-01-31 ", 0, -ZT_EFORM, NULL},
		{"two spaces", "2027-01-31  18:00", 0, -ZT_EFORM, NULL},
		{"seconds", "2027-01-31 18:00:00", 0, -ZT_EFORM, NULL},
		{"no zone in RFC 3339", "2027-01-31T18:00:00", 0, -ZT_EFORM, NULL},
		{"fractions", "2027-01-31T18:00:00.5Z", 0, -ZT_EFORM, NULL},
		{"something behind RFC 3339", "2027-01-31T18:00:00Z ", 0, -ZT_EFORM, NULL},
		{"letters for digits", "2027-01-31 1x:00", 0, -ZT_EFORM, NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		size_t n = strlen(rows[i].text);
		char *text = malloc(n + 1); /* no byte behind it is looked at */
		int64_t t = 7;

		assert_non_null(text);
		memcpy(text, rows[i].text, n);
		row_check(rows[i].says,
			  until_parse(text, n, zones[rows[i].zone], &t) == rows[i].err);
		row_check(rows[i].says, !rows[i].err || t == 7);
		row_check(rows[i].says, !rows[i].utc || t == utc(rows[i].utc));
		free(text);
	}
}

/* Samoa went to the other side of the date line: 2011-12-30 never was. */
static void a_day_that_never_was_ends_where_it_would_begin(void **state)
{
	const struct tz *apia = tz_file_decode(zoneinfo, "Pacific/Apia", &arena);
	int64_t t29 = 0, t30 = 0;

	(void)state;
	assert_int_equal(until_parse("2011-12-29", 10, apia, &t29), 0);
	assert_int_equal(until_parse("2011-12-30", 10, apia, &t30), 0);
	assert_int_equal(t29, utc("2011-12-30T10:00:00Z"));
	assert_int_equal(t30, t29);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_change_is_the_one_that_a_scan_finds),
		cmocka_unit_test(a_window_holds_as_the_oracle_says),
		cmocka_unit_test(windows_at_their_edges),
		cmocka_unit_test(changes_that_are_far_or_never),
		cmocka_unit_test(what_only_some_years_have_is_found),
		cmocka_unit_test(what_comes_after_forty_years_is_found),
		cmocka_unit_test(every_kind_of_year_is_in_any_41_of_them),
		cmocka_unit_test(any_time_has_an_answer),
		cmocka_unit_test(windows_have_one_normal_form),
		cmocka_unit_test(the_zone_is_the_default_where_none_is_written),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(a_zone_that_is_not_there_is_marked),
		cmocka_unit_test(out_of_memory_is_told),
		cmocka_unit_test(ends_of_rules),
		cmocka_unit_test(a_day_that_never_was_ends_where_it_would_begin),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
