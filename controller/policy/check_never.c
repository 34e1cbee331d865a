/* Lists of which an except leaves nobody, by name or by groups, and rules that never do anything,
 * though each of their parts could: whose times cancel each other, all of which another rule
 * denies. What cannot be shown within the bounds is passed over: this is for mistakes that people
 * make, and what a policy grants does not depend on it. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/can_impl.h"
#include "controller/policy/when.h"
#include "controller/policy/words.h"

enum {
	COMPARED_MAX = 1 << 20, /* selectors, in one policy */
	DENIES_MAX = 64,
	DEPTH_MAX = 32,	 /* of groups in groups */
	PROVED_MAX = 64, /* whens: each takes some milliseconds */
	SOON_S = 8 * 86400,
	TIMES_MEMORY_MAX = 64 << 20,
};

enum say { SAY_UNKNOWN, SAY_NOTHING, SAY_NEVER, SAY_OVER };

struct never {
	struct parse *c;
	size_t compared, proved;
	uint8_t *whens; /* enum say by when */
};

/* --- who --- */

bool same_selector(const struct selector *a, const struct selector *b)
{
	return a->kind == b->kind && (a->kind == SELECTOR_ANYONE || strcmp(a->name, b->name) == 0);
}

/* The item of the list that has s in it whatever else a device is, or NULL. A group with an except
 * does not: what else a device is may keep it out. depth: of groups still to be looked into. */
static const struct selector *find_around(struct never *n, const struct selector *s,
					  const struct selector *list, size_t n_list,
					  unsigned depth)
{
	for (size_t i = 0; i < n_list && n->compared < COMPARED_MAX; i++) {
		const struct selectors *members;

		n->compared++;
		if (list[i].kind == SELECTOR_ANYONE || same_selector(s, &list[i]))
			return &list[i];
		if (list[i].kind != SELECTOR_GROUP || !depth)
			continue;
		members = &n->c->policy->groups[list[i].group].members;
		if (!members->n_except && find_around(n, s, members->in, members->n_in, depth - 1))
			return &list[i];
	}
	return NULL;
}

/* Is each of the list in its except? *ret_around: the last one's, if it is not there by its own
 * name, else NULL; *ret_in: that one. */
static bool is_taken_out(struct never *n, const struct selectors *l, const struct selector **ret_in,
			 const struct selector **ret_around)
{
	*ret_around = NULL;
	for (size_t i = 0; i < l->n_in; i++) {
		const struct selector *s =
			find_around(n, &l->in[i], l->except, l->n_except, DEPTH_MAX);

		if (!s)
			return false;
		if (same_selector(s, &l->in[i]))
			continue;
		*ret_in = &l->in[i];
		*ret_around = s;
	}
	return l->n_in > 0;
}

/* noun and name of what has the list, and its key. */
static void check_list(struct never *n, const struct selectors *l, struct place at,
		       const char *noun, const char *name, const char *key)
{
	const struct selector *in, *around;
	char who[SELECTOR_TEXT_MAX], group[SELECTOR_TEXT_MAX];
	struct diag *d;

	if (!is_taken_out(n, l, &in, &around) || key_is_flawed(n->c, noun, at.line, key))
		return;
	d = problem_at(n->c, at, "%s \"%s\" is empty: except takes out all of its %s", noun, name,
		       key);
	if (!around) {
		diag_hint(d, "take the names out of one of the two lists");
		return;
	}
	selector_print(in, who);
	selector_print(around, group);
	diag_hint(d, "%s is in %s: take it out of one of the two lists", who, group);
}

static void check_lists(struct never *n)
{
	const struct policy *p = n->c->policy;

	for (size_t i = 0; i < p->n_groups; i++)
		check_list(n, &p->groups[i].members,
			   place_at(p->groups[i].line, p->groups[i].column), "group",
			   p->groups[i].name, "members");
	for (size_t i = 0; i < p->n_resources; i++) {
		const struct policy_resource *r = &p->resources[i];

		check_list(n, r->on.in ? &r->on : &r->via, place_at(r->line, r->column), "resource",
			   r->name, r->on.in ? "on" : "via");
	}
	for (size_t i = 0; i < p->n_rules; i++)
		check_list(n, &p->rules[i].who, place_at(p->rules[i].line, p->rules[i].column),
			   "rule", p->rules[i].name, "who");
	for (size_t i = 0; i < p->n_invariants; i++)
		check_list(n, &p->invariants[i].from,
			   place_at(p->invariants[i].line, p->invariants[i].column), "invariant",
			   p->invariants[i].name, "from");
}

/* --- when --- */

static bool holds_soon(const struct policy_when *w, int64_t from_s)
{
	int64_t t = from_s;

	while (t < from_s + SOON_S && !when_holds(w, t))
		t = when_next(w, t);
	return t < from_s + SOON_S;
}

/* Does it hold at no moment from then on? */
static bool holds_never(struct never *n, const struct policy_when *w, int64_t from_s)
{
	struct can_times times;
	struct arena a;
	bool some;

	if (n->proved == PROVED_MAX || holds_soon(w, from_s))
		return false;
	n->proved++;
	arena_init(&a, TIMES_MEMORY_MAX);
	some = can_times_find(&w, 1, from_s, &a, &times) != 0;
	for (size_t i = 0; !some && i < times.n; i++)
		some = times.open[i][0] & 1;
	arena_done(&a);
	return !some;
}

/* What is said of those that are over by their end, or are one schedule, is said elsewhere. */
static enum say look_at_when(struct never *n, const struct policy_when *w)
{
	int64_t now_s = n->c->env->now_s;

	if (when_is_over(w, now_s) || !holds_never(n, w, now_s))
		return SAY_NOTHING;
	if (now_s && !holds_never(n, w, 0))
		return SAY_OVER;
	return SAY_NEVER;
}

static void check_time(struct never *n, const struct policy_rule *r)
{
	const struct policy_when *w;
	uint8_t *say;

	if (r->when == POLICY_ALWAYS)
		return;
	w = &n->c->policy->whens[r->when];
	say = &n->whens[r->when];
	if (*say == SAY_UNKNOWN)
		*say = (uint8_t)look_at_when(n, w);
	if (*say == SAY_NEVER)
		diag_hint(problem_at(n->c, place_at(r->line, r->column),
				     "rule \"%s\" can never match: its when is %s", r->name,
				     w->text),
			  "no instant lies in it: look at what except takes out, in the rule and "
			  "in its schedules");
	if (*say == SAY_OVER)
		diag_hint(warn_at(n->c, place_at(r->line, r->column),
				  "rule \"%s\" is over: its when is %s", r->name, w->text),
			  "take it out, or give it a later end");
}

/* Also one that no rule asks for, or only in its except, where it keeps nothing out. */
static void warn_schedules(struct never *n)
{
	const struct policy *p = n->c->policy;

	for (size_t i = 0; i < p->n_schedules; i++) {
		const struct policy_schedule *s = &p->schedules[i];
		const struct schedule *const in[] = {&s->s};
		const struct policy_when w = {.in = in, .n_in = 1, .until_s = INT64_MAX};

		if (holds_never(n, &w, 0))
			diag_hint(warn_at(n->c, place_at(s->line, s->column),
					  "schedule \"%s\" never comes: no instant lies in it",
					  s->name),
				  "look at days that are no such days, and at what its except "
				  "takes out");
	}
}

/* --- denied --- */

static bool has_all(const uint32_t *v, size_t n, const uint32_t *some, size_t n_some)
{
	for (size_t k = 0; k < n_some; k++)
		if (!n || !bsearch(&some[k], v, n, sizeof(*v), ids_compare))
			return false;
	return true;
}

static bool denies_all(struct never *n, const struct policy_rule *deny, const struct policy_rule *r)
{
	if (!has_all(deny->what, deny->n_what, r->what, r->n_what))
		return false;
	for (size_t i = 0; i < r->who.n_in; i++)
		if (!find_around(n, &r->who.in[i], deny->who.in, deny->who.n_in, DEPTH_MAX))
			return false;
	return true;
}

/* Said at the deny, which may be the new one of the two and stand over all the others for a while:
 * so it is no mistake. */
static void warn_denied(struct never *n, const struct policy_rule *deny)
{
	const struct policy *p = n->c->policy;
	const struct policy_rule *first = NULL;
	char more[48] = "";
	size_t count = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].deny || !denies_all(n, deny, &p->rules[i]))
			continue;
		first = first ? first : &p->rules[i];
		count++;
	}
	if (!first)
		return;
	if (count > 1)
		snprintf(more, sizeof(more), ", and of %zu more", count - 1);
	diag_hint(warn_at(n->c, place_at(deny->line, deny->column),
			  "rule \"%s\" denies all of rule \"%s\" (line %u)%s", deny->name,
			  first->name, first->line, more),
		  "what is allowed all the same belongs in the deny's except");
}

static void warn_all_denied(struct never *n)
{
	const struct policy *p = n->c->policy;
	size_t looked = 0;

	for (size_t i = 0; i < p->n_rules && looked < DENIES_MAX; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (!r->deny || !policy_rule_is_plain(r) || r->who.n_except)
			continue;
		looked++;
		warn_denied(n, r);
	}
}

void check_never(struct parse *c)
{
	const struct parse_rule *from = c->objects[THING_RULE];
	struct never n = {.c = c};

	n.whens = arena_array(&c->scratch, c->policy->n_whens, sizeof(*n.whens));
	if (!n.whens)
		return parse_fail(c, -ENOMEM);
	if (!c->env->was_accepted) {
		check_lists(&n);
		for (size_t i = 0; i < c->policy->n_rules; i++)
			if (!when_is_flawed(c, &from[i]))
				check_time(&n, &c->policy->rules[i]);
	}
	warn_schedules(&n);
	warn_all_denied(&n);
}
