/* Schedules put together: some of in, none of except, before the end. */
#include "controller/policy/when.h"

/* Edges are looked for up to the next of these lines in time, where it is asked again: what a
 * search costs is bounded, and whoever asks between two lines, however often, gets the same answer.
 */
enum { LINE_S = 128 * 86400 };

static bool some(const struct schedule *const *list, size_t n, int64_t now_s)
{
	for (size_t i = 0; i < n; i++)
		if (schedule_holds(list[i], now_s))
			return true;
	return false;
}

bool when_holds(const struct policy_when *w, int64_t now_s)
{
	return now_s < w->until_s && (w->n_in == 0 || some(w->in, w->n_in, now_s)) &&
	       !some(w->except, w->n_except, now_s);
}

static int64_t earliest(const struct schedule *const *list, size_t n, int64_t now_s,
			int64_t limit_s, int64_t best)
{
	for (size_t i = 0; i < n; i++) {
		int64_t t = schedule_next_before(list[i], now_s, limit_s);

		best = t < best ? t : best;
	}
	return best;
}

/* The first instant > now_s at which some part changes, or limit_s. */
static int64_t next_edge(const struct policy_when *w, int64_t now_s, int64_t limit_s)
{
	int64_t best = now_s < w->until_s ? w->until_s : INT64_MAX;

	best = earliest(w->in, w->n_in, now_s, limit_s, best);
	return earliest(w->except, w->n_except, now_s, limit_s, best);
}

/* One schedule with everything in it, the end too: its edges are exact without looking at parts. */
static bool is_flat(const struct policy_when *w)
{
	return w->n_in == 1 && w->n_except == 0 && w->in[0]->until_s == w->until_s;
}

int64_t when_next(const struct policy_when *w, int64_t now_s)
{
	int64_t limit_s, t = now_s;
	bool holds;

	if (now_s > INT64_MAX - LINE_S) /* behind all lines */
		return INT64_MAX;
	limit_s = (now_s / LINE_S + 1) * LINE_S;
	if (is_flat(w))
		return schedule_next_before(w->in[0], now_s, limit_s);
	holds = when_holds(w, now_s);
	while (t < limit_s) {
		if (t >= w->until_s)
			return INT64_MAX;
		t = next_edge(w, t, limit_s);
		if (t == INT64_MAX || when_holds(w, t) != holds)
			return t;
	}
	return t;
}

int64_t when_end(const struct policy_when *w, int64_t now_s)
{
	static const int64_t last_s = 7258118400; /* 2200-01-01: no until lies behind it */
	int64_t t = now_s;

	do
		t = when_next(w, t);
	while (t < last_s && when_holds(w, t));
	return t < last_s ? t : INT64_MAX;
}

bool when_asks_again(int64_t t_s)
{
	return t_s % LINE_S == 0;
}

bool when_is_over(const struct policy_when *w, int64_t from_s)
{
	if (when_holds(w, from_s))
		return false;
	if (from_s >= w->until_s)
		return true;
	return is_flat(w) && schedule_next(w->in[0], from_s) == INT64_MAX;
}

/* The last change in from_s..now_s; INT64_MIN: none. */
static int64_t last_change(const struct policy_when *w, int64_t from_s, int64_t now_s)
{
	int64_t found = INT64_MIN;
	bool held = when_holds(w, from_s);

	for (int64_t t = when_next(w, from_s); t <= now_s; t = when_next(w, t)) {
		bool holds = when_holds(w, t);

		if (holds != held)
			found = t;
		held = holds;
	}
	return found;
}

int64_t when_since(const struct policy_when *w, int64_t now_s)
{
	static const int64_t back_days[] = {1, 8, 60, 400};
	int64_t found = INT64_MIN;

	for (size_t i = 0; i < sizeof(back_days) / sizeof(back_days[0]) && found == INT64_MIN; i++)
		found = last_change(w, now_s - back_days[i] * 86400, now_s);
	return found;
}
