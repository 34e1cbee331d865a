/* The sides of a comparison: a policy as (case, who) -> what it opens, sorted, so that two are
 * walked side by side. */
#include "controller/policy/meaning_sides.h"

#include <errno.h>
#include <stdlib.h>

#include "controller/policy/when.h"

/* --- one side --- */

static void take_rule(struct comparison *c, struct side *s, size_t i)
{
	const struct policy_rule *r = &s->policy->rules[i];
	struct taken *t = &s->rules[i];

	t->rule = r;
	t->over = r->when != POLICY_ALWAYS && when_is_over(&s->policy->whens[r->when], c->now_s);
	if (t->over)
		return;
	t->who = units_of_selectors(&c->units, &r->who);
	t->when = units_of_when(&c->units, r->when);
	t->where = units_of_where(&c->units, r);
	t->how = units_of_how(&c->units, r);
	t->opens = openings_of_rule(&c->units, r);
}

/* Its conditions are what an access must ask for. */
static struct policy_rule *rule_like(struct comparison *c, const struct side *s,
				     const struct policy_invariant *i)
{
	struct policy_rule *r = arena_alloc(c->arena, sizeof(*r));
	uint32_t *how =
		arena_array(c->arena, (size_t)__builtin_popcountll(i->postures), sizeof(*how));
	size_t n = 0;

	if (!r || !how)
		return NULL;
	for (uint64_t left = i->postures; left; left &= left - 1)
		how[n++] = (uint32_t)__builtin_ctzll(left);
	*r = (struct policy_rule){.name = i->name,
				  .deny = i->never,
				  .how = how,
				  .n_how = n,
				  .when = i->when ? (uint32_t)(i->when - s->policy->whens)
						  : POLICY_ALWAYS,
				  .where = i->spots};
	return r;
}

static int take_promise(struct comparison *c, struct side *s, size_t i)
{
	const struct policy_invariant *p = &s->policy->invariants[i];
	struct taken *t = &s->promises[i];

	t->rule = rule_like(c, s, p);
	if (!t->rule)
		return -ENOMEM;
	t->who = units_of_selectors(&c->units, &p->from);
	t->when = units_of_when(&c->units, t->rule->when);
	t->where = units_of_where(&c->units, t->rule);
	t->how = units_of_how(&c->units, t->rule);
	t->opens = openings_of_invariant(&c->units, p);
	return c->units.err;
}

static int take_promises(struct comparison *c, struct side *s)
{
	int err = 0;

	s->promises = arena_array(c->arena, s->policy->n_invariants, sizeof(*s->promises));
	if (!s->promises)
		return -ENOMEM;
	for (size_t i = 0; i < s->policy->n_invariants && !err; i++)
		err = take_promise(c, s, i);
	return err;
}

static size_t count_reaches(const struct side *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->policy->n_rules; i++)
		n += (size_t)s->rules[i].who.n * s->rules[i].when.n * s->rules[i].where.n;
	return n;
}

/* Each case of the rule with each who of it. */
static void spread_rule(struct comparison *c, struct side *s, const struct taken *t)
{
	for (uint32_t i = 0; i < t->when.n; i++)
		for (uint32_t j = 0; j < t->where.n; j++) {
			uint32_t in_case = case_of(&c->units, t->rule->deny, t->when.v[i],
						   t->where.v[j], &t->how);

			for (uint32_t k = 0; k < t->who.n; k++)
				s->reaches[s->n_reaches++] = (struct reach){
					.in_case = in_case, .who = t->who.v[k], .opens = t->opens};
		}
}

static int compare_keys(const void *a, const void *b)
{
	const struct reach *x = a, *y = b;

	if (x->in_case != y->in_case)
		return x->in_case < y->in_case ? -1 : 1;
	return (x->who > y->who) - (x->who < y->who);
}

static int compare_reaches(const void *a, const void *b)
{
	const struct reach *x = a, *y = b;
	int order = compare_keys(a, b);

	return order ? order : (x->opens > y->opens) - (x->opens < y->opens);
}

/* Those of one case and who become one, which opens what all of them do. */
static int join_reaches(struct comparison *c, struct side *s)
{
	uint32_t *sets = arena_array(c->arena, s->n_reaches, sizeof(*sets)), n;
	size_t kept = 0;

	if (!sets)
		return -ENOMEM;
	if (s->n_reaches > 1)
		qsort(s->reaches, s->n_reaches, sizeof(*s->reaches), compare_reaches);
	for (size_t i = 0, j; i < s->n_reaches; i = j) {
		struct reach one = s->reaches[i];

		for (n = 0, j = i;
		     j < s->n_reaches && compare_keys(&s->reaches[j], &s->reaches[i]) == 0; j++)
			sets[n++] = s->reaches[j].opens;
		one.opens = openings_union(&c->units, sets, ids_sort(sets, n));
		s->reaches[kept++] = one;
	}
	s->n_reaches = kept;
	return c->units.err;
}

int meaning_take_apart(struct comparison *c, struct side *s)
{
	s->rules = arena_array(c->arena, s->policy->n_rules, sizeof(*s->rules));
	if (!s->rules)
		return -ENOMEM;
	units_begin(&c->units, s->policy, c->before.policy->lease_s != c->after.policy->lease_s);
	for (size_t i = 0; i < s->policy->n_rules && !c->units.err; i++)
		take_rule(c, s, i);
	if (!c->units.err)
		c->units.err = take_promises(c, s);
	if (c->units.err)
		return c->units.err;
	s->reaches = arena_array(c->arena, count_reaches(s), sizeof(*s->reaches));
	if (!s->reaches)
		return -ENOMEM;
	for (size_t i = 0; i < s->policy->n_rules; i++)
		spread_rule(c, s, &s->rules[i]);
	return c->units.err ? c->units.err : join_reaches(c, s);
}

/* --- both, side by side --- */

int meaning_find_differences(struct comparison *c)
{
	const struct side *b = &c->before, *a = &c->after;
	size_t i = 0, j = 0;

	c->differ = arena_array(c->arena, b->n_reaches + a->n_reaches, sizeof(*c->differ));
	if (!c->differ)
		return -ENOMEM;
	while (i < b->n_reaches || j < a->n_reaches) {
		int order = i == b->n_reaches	? 1
			    : j == a->n_reaches ? -1
						: compare_keys(&b->reaches[i], &a->reaches[j]);

		if (order != 0)
			c->differ[c->n_differ++] = order < 0 ? b->reaches[i] : a->reaches[j];
		else if (b->reaches[i].opens != a->reaches[j].opens)
			c->differ[c->n_differ++] = b->reaches[i];
		i += order <= 0;
		j += order >= 0;
	}
	return 0;
}

bool meaning_is_touched(struct comparison *c, const struct taken *t)
{
	for (uint32_t i = 0; i < t->when.n; i++)
		for (uint32_t j = 0; j < t->where.n; j++) {
			struct reach key = {.in_case =
						    case_of(&c->units, t->rule->deny, t->when.v[i],
							    t->where.v[j], &t->how)};

			for (uint32_t k = 0; k < t->who.n; k++) {
				key.who = t->who.v[k];
				if (bsearch(&key, c->differ, c->n_differ, sizeof(key),
					    compare_keys))
					return true;
			}
		}
	return false;
}
