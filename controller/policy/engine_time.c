/* Engine, the passing of time: each when of the policy is open or not, and has one next edge. Rules
 * look at what is open; only an edge changes that, and touches the devices of its rules. */
#include "controller/policy/engine_impl.h"

#include <errno.h>

#include "controller/policy/when.h"

/* One when at this instant; is it, or its edge, another than before? Grants carry the edge. */
static bool set_when(struct engine *e, size_t i, int64_t now_s)
{
	const struct policy_when *w = &e->policy->whens[i];
	bool open = when_holds(w, now_s);
	int64_t edge = when_next(w, now_s);
	bool changed = open != e->open[i] || edge != e->edges[i];

	e->open[i] = open;
	e->edges[i] = edge;
	return changed;
}

static void find_next(struct engine *e)
{
	e->next_s = INT64_MAX;
	for (size_t i = 0; i < e->policy->n_whens; i++)
		e->next_s = e->edges[i] < e->next_s ? e->edges[i] : e->next_s;
}

void engine_start_clock(struct engine *e, int64_t now_s)
{
	e->now_s = now_s;
	for (size_t i = 0; i < e->policy->n_whens; i++)
		set_when(e, i, now_s);
	find_next(e);
}

int64_t engine_next(const struct engine *e)
{
	return e->next_s;
}

bool engine_is_over(const struct engine *e, uint32_t rule)
{
	uint32_t when = e->policy->rules[rule].when;

	return when != POLICY_ALWAYS && !e->open[when] && e->edges[when] == INT64_MAX;
}

/* Devices that the rules and invariants of a changed when are about: those who may open, and those
 * who host. */
static int devices_around(const struct engine *e, const struct bits *changed, struct arena *a,
			  const uint32_t **ret, size_t *ret_n)
{
	const struct policy_index *x = &e->index;
	struct bits rules, resources, atoms;

	if (bits_init(&rules, e->policy->n_rules, a) < 0 ||
	    bits_init(&resources, e->policy->n_resources, a) < 0 ||
	    bits_init(&atoms, x->n_atoms, a) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->policy->n_rules; i++)
		if (e->policy->rules[i].when != POLICY_ALWAYS &&
		    bits_has(changed, e->policy->rules[i].when))
			bits_add(&rules, i);
	bits_spread(x->who, &rules, &atoms);
	bits_spread(x->what, &rules, &resources);
	engine_hold_around(e, changed, &resources, &atoms);
	bits_spread(x->on, &resources, &atoms);
	return engine_devices_of(e, &atoms, NULL, a, ret, ret_n);
}

int engine_advance(struct engine *e, int64_t now_s, struct arena *a, const uint32_t **ret,
		   size_t *ret_n)
{
	bool back = now_s < e->now_s, some = false;
	struct bits changed;
	int err = bits_init(&changed, e->policy->n_whens, a);

	*ret = NULL;
	*ret_n = 0;
	e->now_s = now_s;
	if (!back && now_s < e->next_s)
		return 0;
	for (size_t i = 0; i < e->policy->n_whens; i++)
		if ((back || e->edges[i] <= now_s) && set_when(e, i, now_s)) {
			some = true;
			if (!err)
				bits_add(&changed, (uint32_t)i);
		}
	find_next(e);
	if (err || !some)
		return some ? err : 0;
	return devices_around(e, &changed, a, ret, ret_n);
}
