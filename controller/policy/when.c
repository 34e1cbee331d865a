/* Schedules put together: some of in, none of except, before the end. */
#include "controller/policy/when.h"

/* Edges looked at before it is left to ask again: some years of two a day. */
enum { STEPS_MAX = 4000 };

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

static int64_t earliest(const struct schedule *const *list, size_t n, int64_t now_s, int64_t best)
{
	for (size_t i = 0; i < n; i++) {
		int64_t t = schedule_next(list[i], now_s);

		best = t < best ? t : best;
	}
	return best;
}

/* The first instant > now_s at which some part changes. */
static int64_t next_edge(const struct policy_when *w, int64_t now_s)
{
	int64_t best = now_s < w->until_s ? w->until_s : INT64_MAX;

	best = earliest(w->in, w->n_in, now_s, best);
	return earliest(w->except, w->n_except, now_s, best);
}

/* *ret_sure: it is that instant, not one to ask again at. */
static int64_t find_next(const struct policy_when *w, int64_t now_s, bool *ret_sure)
{
	bool holds = when_holds(w, now_s);
	int64_t t = now_s;

	*ret_sure = true;
	if (w->n_in == 1 && w->n_except == 0) /* it has the end in it */
		return schedule_next(w->in[0], now_s);
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		if (now_s >= w->until_s)
			return INT64_MAX;
		t = next_edge(w, t);
		if (t == INT64_MAX || when_holds(w, t) != holds)
			return t;
		if (t >= w->until_s)
			return INT64_MAX;
	}
	*ret_sure = false;
	return t;
}

int64_t when_next(const struct policy_when *w, int64_t now_s)
{
	bool sure;

	return find_next(w, now_s, &sure);
}

bool when_is_over(const struct policy_when *w, int64_t from_s)
{
	bool sure;

	return !when_holds(w, from_s) && find_next(w, from_s, &sure) == INT64_MAX && sure;
}
