/* Schedules. What a window says of an instant depends on the local date, weekday and minute alone,
 * so it can change only at an edge of them or where its zone's offset does. The next change of a
 * schedule is looked for from one edge to the next, and whole stretches are left out where the
 * weeks are all the same. */
#include "controller/policy/schedule.h"

#include "controller/policy/date.h"

enum {
	/* A local date lies on instants at most this far from those of the same date in UTC. */
	ZONE_SLACK_S = 2 * DATE_DAY_S,
};

/* The years -200 to 10000, about; beyond them nobody asks, and all is as at their ends. */
static const int64_t time_min = -((int64_t)1 << 36), time_max = (int64_t)1 << 38;

/* Once every zone follows its yearly rule and no date is left to come, what a year brings depends
 * on what kind of year it and its neighbours are: the weekday they begin on, and which is a leap
 * year. In any 41 years in a row each kind is there (schedule_test counts them), and the first and
 * the last of 43 may be cut. So what does not happen in these never does. */
static const int64_t horizon_s = (int64_t)43 * 366 * DATE_DAY_S;

static int64_t min_time(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t max_time(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t clamp_time(int64_t t_s)
{
	return max_time(min_time(t_s, time_max), time_min);
}

/* --- one instant --- */

/* May its hours begin on this day? */
static bool day_is_in(const struct window *w, int64_t day)
{
	return day >= w->first_day && day <= w->last_day && (w->days >> date_weekday(day) & 1);
}

static bool holds_at(const struct window *w, int64_t t_s)
{
	int64_t local = t_s + tz_offset(w->zone, t_s), day = date_of_time(local);
	int minute = date_second(local) / 60;
	bool past_midnight = w->end_min <= w->start_min;

	if (minute >= w->start_min && (past_midnight || minute < w->end_min) && day_is_in(w, day))
		return true;
	return past_midnight && minute < w->end_min && day_is_in(w, day - 1);
}

bool window_holds(const struct window *w, int64_t now_s)
{
	return holds_at(w, clamp_time(now_s));
}

static bool some_holds(const struct window *windows, size_t n, int64_t t_s)
{
	for (size_t i = 0; i < n; i++)
		if (holds_at(&windows[i], t_s))
			return true;
	return false;
}

/* All but until. */
static bool windows_hold(const struct schedule *s, int64_t t_s)
{
	return (s->n_in == 0 || some_holds(s->in, s->n_in, t_s)) &&
	       !some_holds(s->except, s->n_except, t_s);
}

bool schedule_holds(const struct schedule *s, int64_t now_s)
{
	return now_s < s->until_s && windows_hold(s, clamp_time(now_s));
}

/* --- stretches --- */

/* Instants between which a window can hold at all, and between which its dates have no say: there
 * its weeks are all the same as long as the offset stays. */
struct span_of {
	int64_t wakes_s, steady_s, unsteady_s, sleeps_s;
};

static struct span_of span_of(const struct window *w)
{
	struct span_of s = {INT64_MIN, INT64_MIN, INT64_MAX, INT64_MAX};

	if (w->first_day > INT32_MIN) {
		s.wakes_s = (int64_t)w->first_day * DATE_DAY_S - ZONE_SLACK_S;
		s.steady_s = ((int64_t)w->first_day + 1) * DATE_DAY_S + ZONE_SLACK_S;
	}
	if (w->last_day < INT32_MAX) {
		s.unsteady_s = (int64_t)w->last_day * DATE_DAY_S - ZONE_SLACK_S;
		s.sleeps_s = ((int64_t)w->last_day + 2) * DATE_DAY_S + ZONE_SLACK_S;
	}
	return s;
}

static bool is_awake(const struct span_of *s, int64_t t_s)
{
	return t_s >= s->wakes_s && t_s < s->sleeps_s;
}

enum window_phase window_phase(const struct window *w, int64_t t_s)
{
	struct span_of s = span_of(w);

	if (!is_awake(&s, t_s))
		return WINDOW_ASLEEP;
	return t_s >= s.steady_s && t_s < s.unsteady_s ? WINDOW_STEADY : WINDOW_UNSTEADY;
}

static const struct window *window_at(const struct schedule *s, size_t i)
{
	return i < s->n_in ? &s->in[i] : &s->except[i - s->n_in];
}

int64_t window_break(const struct window *w, int64_t t_s)
{
	struct span_of s = span_of(w);
	const int64_t all[] = {s.wakes_s, s.steady_s, s.unsteady_s, s.sleeps_s};
	int64_t best = is_awake(&s, t_s) ? tz_next(w->zone, t_s) : INT64_MAX;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] > t_s && all[i] < best)
			best = all[i];
	return best;
}

static int64_t next_break(const struct schedule *s, int64_t t_s)
{
	int64_t best = INT64_MAX;

	for (size_t i = 0; i < s->n_in + s->n_except; i++)
		best = min_time(best, window_break(window_at(s, i), t_s));
	return best;
}

int64_t window_edge(const struct window *w, int64_t t_s)
{
	const int32_t all[] = {w->start_min * 60, w->end_min * 60};
	int32_t offset = tz_offset(w->zone, t_s), second = date_second(t_s + offset);
	int32_t best = DATE_DAY_S; /* midnight */
	struct span_of s = span_of(w);

	if (!is_awake(&s, t_s))
		return INT64_MAX;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] > second && all[i] < best)
			best = all[i];
	return t_s + best - second;
}

static int64_t next_edge(const struct schedule *s, int64_t t_s)
{
	int64_t best = INT64_MAX;

	for (size_t i = 0; i < s->n_in + s->n_except; i++)
		best = min_time(best, window_edge(window_at(s, i), t_s));
	return best;
}

int64_t window_settled(const struct window *w, int64_t t_s)
{
	struct span_of span = span_of(w);

	t_s = max_time(t_s, span.steady_s);
	return max_time(t_s, span.sleeps_s < INT64_MAX ? span.sleeps_s : tz_settled(w->zone));
}

int64_t schedule_horizon(int64_t settled_s)
{
	return clamp_time(clamp_time(settled_s) + horizon_s);
}

static int64_t settled(const struct schedule *s, int64_t t_s)
{
	for (size_t i = 0; i < s->n_in + s->n_except; i++)
		t_s = window_settled(window_at(s, i), t_s);
	return t_s;
}

/* The first change in t_s..end_s, both exclusive, between which there is no break; INT64_MAX:
 * none. */
static int64_t find_change(const struct schedule *s, int64_t t_s, int64_t end_s)
{
	bool now = windows_hold(s, t_s);

	for (t_s = next_edge(s, t_s); t_s < end_s; t_s = next_edge(s, t_s))
		if (windows_hold(s, t_s) != now)
			return t_s;
	return INT64_MAX;
}

/* The same up to end_s. A break is at most six days from the one before it where some date has a
 * say, so in a longer stretch all weeks are like the first. */
static int64_t windows_next(const struct schedule *s, int64_t t_s, int64_t end_s)
{
	bool now = windows_hold(s, t_s);

	while (t_s < end_s) {
		int64_t stop = min_time(next_break(s, t_s), end_s);
		int64_t change = find_change(s, t_s, min_time(stop, t_s + SCHEDULE_WEEK_S));

		if (change < INT64_MAX)
			return change;
		t_s = stop;
		if (t_s < end_s && windows_hold(s, t_s) != now)
			return t_s;
	}
	return INT64_MAX;
}

int64_t schedule_next_before(const struct schedule *s, int64_t now_s, int64_t limit_s)
{
	int64_t t = clamp_time(now_s), end, change;

	if (now_s >= s->until_s || now_s >= time_max)
		return INT64_MAX;
	end = min_time(s->until_s, schedule_horizon(settled(s, t)));
	change = windows_next(s, t, min_time(end, limit_s));
	if (change < INT64_MAX)
		return change;
	if (end > limit_s)
		return limit_s;
	return windows_hold(s, t) ? s->until_s : INT64_MAX;
}

int64_t schedule_next(const struct schedule *s, int64_t now_s)
{
	return schedule_next_before(s, now_s, INT64_MAX);
}
