/* What can only be checked with the whole policy at hand: conditions that exclude each other, and
 * more facts than a report holds. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/txt.h"
#include "controller/policy/can_impl.h"
#include "controller/policy/condition.h"
#include "controller/policy/demand.h"
#include "controller/policy/engine.h"
#include "controller/policy/invariant.h"

enum { PLACES_MEMORY_MAX = 64 << 20 };

/* --- contradictions --- */

/* The conditions of both lists on this fact, into all (room for both lists). */
static size_t conditions_on(const char *fact, const struct policy_posture *p,
			    const struct policy_posture *q, const struct condition **all)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_require; i++)
		if (strcmp(p->require[i].fact, fact) == 0)
			all[n++] = &p->require[i];
	for (size_t i = 0; q && i < q->n_require; i++)
		if (strcmp(q->require[i].fact, fact) == 0)
			all[n++] = &q->require[i];
	return n;
}

/* Is this the first condition of p on its fact? */
static bool first_on_fact(const struct policy_posture *p, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(p->require[j].fact, p->require[i].fact) == 0)
			return false;
	return true;
}

/* Conditions of both on this fact that exclude each other. q may be NULL. */
static bool fact_conflicts(const char *fact, const struct policy_posture *p,
			   const struct policy_posture *q, const struct condition **ret_a,
			   const struct condition **ret_b)
{
	const struct condition *all[2 * POLICY_CONDITIONS_MAX];
	size_t n = conditions_on(fact, p, q, all);

	return condition_conflict(all, n, ret_a, ret_b);
}

/* Conditions of the two that exclude each other. */
static bool postures_conflict(const struct policy_posture *p, const struct policy_posture *q,
			      const struct condition **ret_a, const struct condition **ret_b)
{
	for (size_t i = 0; i < p->n_require; i++)
		if (first_on_fact(p, i) && fact_conflicts(p->require[i].fact, p, q, ret_a, ret_b))
			return true;
	return false;
}

static void say_conflict(struct parse *c, const struct policy_posture *p, const struct condition *a,
			 const struct condition *b)
{
	const struct place at = place_at(b->line, b->column);

	if (a == b)
		diag_hint(problem_at(c, at, "\"%s\" can never hold", b->text), "take it out");
	else
		diag_hint(problem_at(c, at, "\"%s\" and \"%s\" (line %u) can never both hold",
				     b->text, a->text, a->line),
			  "no device could comply with posture \"%s\"; take one of them out",
			  p->name);
}

/* One of each fact: what else excludes another of it shows when that is taken out. */
static void check_posture(struct parse *c, const struct policy_posture *p)
{
	const struct condition *a, *b;

	for (size_t i = 0; i < p->n_require; i++)
		if (first_on_fact(p, i) && fact_conflicts(p->require[i].fact, p, NULL, &a, &b))
			say_conflict(c, p, a, b);
}

/* Pairs of postures that can hold together: looked at once, however many rules ask for both. */
struct pairs {
	uint64_t fine[ENGINE_POSTURES_MAX];
};

static bool is_of(const struct condition *k, const struct policy_posture *p)
{
	for (size_t i = 0; i < p->n_require; i++)
		if (&p->require[i] == k)
			return true;
	return false;
}

static void check_pair(struct parse *c, const struct policy_rule *r, uint32_t i, uint32_t j,
		       struct pairs *seen)
{
	const struct policy_posture *p = &c->policy->postures[i], *q = &c->policy->postures[j];
	const struct condition *a, *b;
	uint64_t bit = UINT64_C(1) << j;

	if (seen->fine[i] & bit)
		return;
	if (!postures_conflict(p, q, &a, &b) || !is_of(a, p) || !is_of(b, q)) {
		seen->fine[i] |= bit;
		return;
	}
	diag_hint(problem_at(c, place_at(r->line, r->column),
			     "rule \"%s\" can never match: \"%s\" (line %u) and \"%s\" (line %u) "
			     "exclude each other",
			     r->name, a->text, a->line, b->text, b->line),
		  "ask for posture:%s or for posture:%s", p->name, q->name);
}

/* A rule that asks for postures which exclude each other would never match. */
static void check_rule(struct parse *c, const struct policy_rule *r, struct pairs *seen)
{
	uint64_t asked = 0;

	for (size_t i = 0; i < r->n_how; i++)
		asked |= UINT64_C(1) << r->how[i];
	for (uint64_t first = asked; first; first &= first - 1)
		for (uint64_t second = first & (first - 1); second; second &= second - 1)
			check_pair(c, r, (uint32_t)__builtin_ctzll(first),
				   (uint32_t)__builtin_ctzll(second), seen);
}

/* --- places --- */

/* Rules that ask for the same are looked at once, and only so many that differ: each takes time. */
struct spots_seen {
	uint64_t where[POLICY_SPOTS_MAX], except[POLICY_SPOTS_MAX];
	bool somewhere[POLICY_SPOTS_MAX];
	size_t n;
};

/* Where it stands among them; seen->n: it does not. */
static size_t find_seen(const struct spots_seen *seen, const struct policy_rule *r)
{
	size_t i = 0;

	while (i < seen->n && (seen->where[i] != r->where || seen->except[i] != r->where_except))
		i++;
	return i;
}

/* Is there anywhere where it holds? Also yes when that is too much to look at. */
static bool is_somewhere(const struct policy *p, const struct policy_rule *r)
{
	struct can_places at;
	struct arena a;
	bool some;

	arena_init(&a, PLACES_MEMORY_MAX);
	some = can_places_find(p, r->where | r->where_except, &a, &at) != 0;
	for (size_t i = 0; !some && i < at.n; i++)
		some = where_holds(r, &at.v[i].at);
	arena_done(&a);
	return some;
}

static bool was_somewhere(struct parse *c, const struct policy_rule *r, struct spots_seen *seen)
{
	size_t i = find_seen(seen, r);

	if (i < seen->n)
		return seen->somewhere[i];
	if (i == POLICY_SPOTS_MAX)
		return true;
	seen->where[i] = r->where;
	seen->except[i] = r->where_except;
	seen->somewhere[i] = is_somewhere(c->policy, r);
	seen->n++;
	return seen->somewhere[i];
}

/* Was something refused of which its where is made? */
static bool where_is_flawed(const struct parse *c, const struct policy_rule *r)
{
	static const char *const keys[] = {"source", "overlay", "country"};
	const struct policy *p = c->policy;
	bool flawed = key_is_flawed(c, "rule", r->line, "where");

	for (size_t i = 0; i < p->n_spots; i++)
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			flawed |= ((r->where | r->where_except) >> i & 1) &&
				  !*p->spots[i].country &&
				  key_is_flawed(c, "place", p->places[p->spots[i].place].line,
						keys[k]);
	return flawed;
}

/* A where of which an except leaves nothing, in the rule or in its places. */
static void check_where(struct parse *c, const struct policy_rule *r, struct spots_seen *seen)
{
	bool said = r->where && !(r->where & ~r->where_except);

	if (said || !(r->where | r->where_except) || was_somewhere(c, r, seen) ||
	    where_is_flawed(c, r))
		return;
	if (r->deny) /* what is not known holds in it: it is not nothing */
		diag_hint(warn_at(c, place_at(r->line, r->column),
				  "rule \"%s\" denies only where a device's place is not known: "
				  "no place is within its where",
				  r->name),
			  "look at what except takes out, in the rule and in its places");
	else
		diag_hint(problem_at(c, place_at(r->line, r->column),
				     "rule \"%s\" can never match: no place is within its where",
				     r->name),
			  "look at what except takes out, in the rule and in its places");
}

/* --- facts --- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint64_t postures_asked(const struct policy *p)
{
	uint64_t asked = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t j = 0; j < p->rules[i].n_how; j++)
			asked |= UINT64_C(1) << p->rules[i].how[j];
	for (size_t i = 0; i < p->n_invariants; i++)
		asked |= p->invariants[i].postures;
	return asked;
}

/* policy->facts: what the controller asks of devices. */
static void collect_facts(struct parse *c)
{
	struct policy *p = c->policy;
	uint64_t asked = postures_asked(p);
	const char **all =
		arena_array(c->arena, p->n_postures * POLICY_CONDITIONS_MAX, sizeof(*all));
	size_t n = 0, kept = 0;

	if (!all)
		return parse_fail(c, -ENOMEM);
	for (size_t i = 0; i < p->n_postures; i++)
		for (size_t k = 0; asked >> i & 1 && k < p->postures[i].n_require; k++)
			all[n++] = p->postures[i].require[k].fact;
	if (n > 1)
		qsort(all, n, sizeof(*all), compare_texts);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(all[i], all[kept - 1]) != 0)
			all[kept++] = all[i];
	p->facts = all;
	p->n_facts = kept;
	if (kept > ZT_FACTS_MAX)
		diag_hint(problem_at(c, place_at(p->postures[0].line, p->postures[0].column),
				     "the postures ask for %zu facts, at most %d are possible",
				     kept, ZT_FACTS_MAX),
			  "a device reports all of them together; ask for fewer");
}

/* What the file alone can break them with. */
static void check_invariants(struct parse *c)
{
	int err = invariants_check(c->policy, NULL, 0, c->env->now_s, c->problems);

	if (err == -ZT_EFORM)
		c->err = err;
	else if (err)
		parse_fail(c, err);
}

void check_policy(struct parse *c)
{
	const struct policy *p = c->policy;
	struct spots_seen wheres = {0};
	struct pairs seen = {0};
	bool sound;

	for (size_t i = 0; i < p->n_postures; i++)
		check_posture(c, &p->postures[i]);
	for (size_t i = 0; i < p->n_rules; i++)
		check_rule(c, &p->rules[i], &seen);
	for (size_t i = 0; i < p->n_rules && !c->env->was_accepted; i++)
		check_where(c, &p->rules[i], &wheres);
	collect_facts(c);
	check_never(c);
	if (c->err == 0)
		check_warnings(c);
	sound = c->err == 0;
	if (sound && p->n_tests > 0 && !c->env->was_accepted)
		check_tests(c);
	/* Whoever would look at them later does not come to it when a test fails. */
	if (sound && !c->stop && !c->env->was_accepted && (c->err || !c->env->invariants_later))
		check_invariants(c);
}

bool policy_rule_is_plain(const struct policy_rule *r)
{
	return r->n_how == 0 && !demands_kinds(&r->demands) && r->when == POLICY_ALWAYS &&
	       !r->where && !r->where_except;
}

static bool names(const struct selector *list, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (list[i].kind == SELECTOR_DEVICE && txt_starts(list[i].name, name) &&
		    (!list[i].name[len] || list[i].name[len] == '-'))
			return true;
	return false;
}

/* In an except too: it may be what keeps a deny away. */
static bool some_name(const struct selectors *l, const char *name)
{
	return names(l->in, l->n_in, name) || names(l->except, l->n_except, name);
}

bool policy_names_device(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (some_name(&p->rules[i].who, name))
			return true;
	for (size_t i = 0; i < p->n_resources; i++)
		if (some_name(&p->resources[i].on, name) || some_name(&p->resources[i].via, name))
			return true;
	return false;
}
