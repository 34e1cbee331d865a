/* Engine, grants: what a device is granted and grants, walked from the device outwards:
 *     as source:      its atoms -> rules -> resources -> atoms that host them -> devices
 *     as destination: its atoms -> resources -> rules -> atoms they let in -> devices
 * The cost is that of the answer; other devices are not looked at. What is denied, or held back, is
 * taken out of it pair by pair; what will be ends the grant then. */
#include "controller/policy/engine_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/demand.h"
#include "controller/policy/services.h"

enum { ENDING_MEMORY_MAX = 1 << 20, LATER_MAX = 64 };

bool engine_holds(const struct engine *e, const struct node *n, uint32_t rule)
{
	const struct policy_rule *r = &e->policy->rules[rule];
	uint64_t needs = e->index.needs[rule];

	if (r->when != POLICY_ALWAYS && !e->open[r->when])
		return false;
	if (r->deny)
		return !where_fails(r, &n->places);
	if (demands_unknown(&r->demands))
		return false;
	return (n->verdicts & needs) == needs && where_holds(r, &n->places);
}

/* --- what rules give or take --- */

/* What the rules of one kind give, or with deny take, around a device. */
struct walk {
	const struct engine *e;
	bool deny, from_only; /* not those where it is the destination */
	bool later;	      /* denying rules that do not hold yet, but will */
	struct grants out;
};

int grants_add(struct grants *g, const struct grant *one)
{
	struct grant *v;
	size_t cap;

	if (g->n == g->cap) {
		cap = g->cap ? g->cap * 2 : 32;
		v = arena_array(g->arena, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		if (g->n)
			memcpy(v, g->v, g->n * sizeof(*v));
		g->v = v;
		g->cap = cap;
	}
	g->v[g->n++] = *one;
	return 0;
}

static int64_t next_edge(const struct engine *e, uint32_t rule)
{
	uint32_t when = e->policy->rules[rule].when;

	return when == POLICY_ALWAYS ? INT64_MAX : e->edges[when];
}

/* Of the kind that is collected, and it holds for this source (or will). */
static bool counts(const struct walk *w, const struct node *src, uint32_t rule)
{
	const struct policy_rule *r = &w->e->policy->rules[rule];

	if (w->later)
		return r->when != POLICY_ALWAYS && !w->e->open[r->when] &&
		       next_edge(w->e, rule) != INT64_MAX && !where_fails(r, &src->places);
	return engine_holds(w->e, src, rule);
}

static uint32_t lease_of(const struct policy *p, const struct policy_resource *r)
{
	return (uint32_t)(r->lease_s ? r->lease_s : p->lease_s);
}

/* One grant for each port of the resource. */
static int grant_ports(struct walk *w, const struct policy_resource *r, uint32_t rule, uint32_t src,
		       uint32_t dst)
{
	int err = 0;

	for (size_t i = 0; i < r->n_ports && !err; i++)
		err = grants_add(&w->out, &(struct grant){.src = src,
							  .dst = dst,
							  .rule = w->e->policy->rules[rule].id,
							  .svc = r->ports[i],
							  .lease_s = lease_of(w->e->policy, r),
							  .until_s = next_edge(w->e, rule)});
	return err;
}

/* From src to every other device that hosts the resource. */
static int grant_hosts(struct walk *w, uint32_t rule, uint32_t resource, uint32_t src)
{
	const struct ids *on = &w->e->index.on[resource];
	int err = 0;

	for (uint32_t i = 0; i < on->n; i++) {
		const struct crowd *c = &w->e->crowds[on->v[i]];

		for (uint32_t j = 0; j < c->n && !err; j++)
			if (c->nodes[j]->id != src)
				err = grant_ports(w, &w->e->policy->resources[resource], rule, src,
						  c->nodes[j]->id);
	}
	return err;
}

static bool is_wanted(const struct walk *w, uint32_t rule)
{
	return w->e->policy->rules[rule].deny == w->deny;
}

static int grants_from(struct walk *w, const struct node *n)
{
	const struct policy_index *x = &w->e->index;
	struct bits seen;
	int err = bits_init(&seen, w->e->policy->n_rules, w->out.arena);

	for (uint32_t i = 0; i < n->n_seats; i++) {
		const struct ids *rules = &x->rules[n->seats[i].atom];

		for (uint32_t j = 0; j < rules->n && !err; j++) {
			const struct ids *what = &x->what[rules->v[j]];

			if (!is_wanted(w, rules->v[j]) || !bits_add(&seen, rules->v[j]) ||
			    !counts(w, n, rules->v[j]))
				continue;
			for (uint32_t k = 0; k < what->n && !err; k++)
				err = grant_hosts(w, rules->v[j], what->v[k], n->id);
		}
	}
	return err;
}

/* To dst from every other device that the rule is about. */
static int grant_sources(struct walk *w, uint32_t rule, uint32_t resource, uint32_t dst)
{
	const struct ids *who = &w->e->index.who[rule];
	int err = 0;

	for (uint32_t i = 0; i < who->n; i++) {
		const struct crowd *c = &w->e->crowds[who->v[i]];

		for (uint32_t j = 0; j < c->n && !err; j++)
			if (c->nodes[j]->id != dst && counts(w, c->nodes[j], rule))
				err = grant_ports(w, &w->e->policy->resources[resource], rule,
						  c->nodes[j]->id, dst);
	}
	return err;
}

static int grants_to(struct walk *w, const struct node *n)
{
	const struct policy_index *x = &w->e->index;
	struct bits seen;
	int err = bits_init(&seen, w->e->policy->n_resources, w->out.arena);

	for (uint32_t i = 0; i < n->n_seats; i++) {
		const struct ids *hosted = &x->hosted[n->seats[i].atom];

		for (uint32_t j = 0; j < hosted->n && !err; j++) {
			const struct ids *rules = &x->opened[hosted->v[j]];

			if (!bits_add(&seen, hosted->v[j]))
				continue;
			for (uint32_t k = 0; k < rules->n && !err; k++)
				if (is_wanted(w, rules->v[k]))
					err = grant_sources(w, rules->v[k], hosted->v[j], n->id);
		}
	}
	return err;
}

static int compare_pairs(const struct grant *x, const struct grant *y)
{
	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	if (x->dst != y->dst)
		return x->dst < y->dst ? -1 : 1;
	return 0;
}

static int compare_grants(const struct grant *x, const struct grant *y)
{
	int c = compare_pairs(x, y);

	if (c != 0)
		return c;
	c = service_compare(&x->svc, &y->svc);
	if (c != 0)
		return c;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

/* Of grants that are one, the one that holds longest first: in time, then without word. */
static int compare_for_sort(const void *a, const void *b)
{
	const struct grant *x = a, *y = b;
	int c = compare_grants(x, y);

	if (!c)
		c = (x->until_s < y->until_s) - (x->until_s > y->until_s);
	return c ? c : (x->lease_s < y->lease_s) - (x->lease_s > y->lease_s);
}

/* A device that a rule is about twice, or that hosts a resource twice, has one grant. */
static size_t sort_grants(struct grant *v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_for_sort);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || compare_grants(&v[i], &v[kept - 1]) != 0)
			v[kept++] = v[i];
	return kept;
}

static int collect(struct walk *w, const struct node *n)
{
	int err = grants_from(w, n);

	if (!err && !w->from_only)
		err = grants_to(w, n);
	w->out.n = sort_grants(w->out.v, w->out.n);
	return err;
}

/* --- one taken from the other --- */

/* The part of a sorted list that is about the pair of one, looked for behind the part before. */
static void find_pair(const struct grants *list, const struct grant *one, size_t *from, size_t *to)
{
	for (*from = *to; *from < list->n && compare_pairs(&list->v[*from], one) < 0;)
		(*from)++;
	for (*to = *from; *to < list->n && compare_pairs(&list->v[*to], one) == 0;)
		(*to)++;
}

static bool begins_pair(const struct grants *g, size_t i)
{
	return i == 0 || compare_pairs(&g->v[i], &g->v[i - 1]) != 0;
}

/* What is left of one grant without the denied services of its pair. */
static int add_left(struct grants *out, const struct grant *one, const struct service *denied,
		    size_t n)
{
	const struct service *left;
	struct grant piece = *one;
	size_t n_left;
	int err = services_cut(&one->svc, 1, denied, n, out->arena, &left, &n_left);

	for (size_t i = 0; i < n_left && !err; i++) {
		piece.svc = left[i];
		err = grants_add(out, &piece);
	}
	return err;
}

/* Both sorted: walks them side by side, pair by pair. */
static int take_away(const struct grants *allowed, const struct grants *denied, struct grants *out)
{
	struct service *cuts = arena_array(out->arena, denied->n, sizeof(*cuts));
	size_t from = 0, to = 0;
	int err = cuts ? 0 : -ENOMEM;

	for (size_t k = 0; k < denied->n && !err; k++)
		cuts[k] = denied->v[k].svc;
	for (size_t i = 0; i < allowed->n && !err; i++) {
		if (begins_pair(allowed, i))
			find_pair(denied, &allowed->v[i], &from, &to);
		err = add_left(out, &allowed->v[i], cuts + from, to - from);
	}
	out->n = sort_grants(out->v, out->n);
	return err;
}

/* One piece against one denial to come: where they overlap it ends with it. `any` stays whole until
 * then, because its other protocols have no name to be granted by afterwards. */
static int end_piece(struct grants *out, const struct grant *one, const struct grant *later)
{
	struct service rest[SERVICES_CUT_MAX];
	struct grant piece = *one;
	size_t n_rest;
	int err;

	if (!service_overlaps(&one->svc, &later->svc) || later->until_s >= one->until_s)
		return grants_add(out, one);
	if (one->svc.proto != SERVICE_ANY)
		piece.svc = service_both(&one->svc, &later->svc);
	piece.until_s = later->until_s;
	err = grants_add(out, &piece);
	n_rest = service_cut(&one->svc, &later->svc, rest);
	for (size_t i = 0; i < n_rest && !err; i++) {
		piece = *one;
		piece.svc = rest[i];
		err = grants_add(out, &piece);
	}
	return err;
}

/* With too many to come, all of it ends with the first that overlaps: it is given anew then. */
static int add_ending_whole(struct grants *out, const struct grant *one, const struct grant *later,
			    size_t n)
{
	struct grant whole = *one;

	for (size_t i = 0; i < n; i++)
		if (service_overlaps(&one->svc, &later[i].svc) && later[i].until_s < whole.until_s)
			whole.until_s = later[i].until_s;
	return grants_add(out, &whole);
}

/* One grant against the denials to come of its pair. */
static int add_ending(struct grants *out, const struct grant *one, const struct grant *later,
		      size_t n)
{
	struct arena scratch;
	struct grants now = {.arena = &scratch}, next = now, swap;
	int err;

	if (n == 0)
		return grants_add(out, one);
	if (n > LATER_MAX)
		return add_ending_whole(out, one, later, n);
	arena_init(&scratch, ENDING_MEMORY_MAX);
	err = grants_add(&now, one);
	for (size_t k = 0; k < n && !err; k++) {
		next.n = 0;
		for (size_t i = 0; i < now.n && !err; i++)
			err = end_piece(&next, &now.v[i], &later[k]);
		swap = now;
		now = next;
		next = swap;
	}
	for (size_t i = 0; i < now.n && !err; i++)
		err = grants_add(out, &now.v[i]);
	arena_done(&scratch);
	return err;
}

static int end_early(const struct grants *allowed, const struct grants *later, struct grants *out)
{
	size_t from = 0, to = 0;
	int err = 0;

	for (size_t i = 0; i < allowed->n && !err; i++) {
		if (begins_pair(allowed, i))
			find_pair(later, &allowed->v[i], &from, &to);
		err = add_ending(out, &allowed->v[i], later->v + from, to - from);
	}
	out->n = sort_grants(out->v, out->n);
	return err;
}

/* What takes away now, and from a moment on: rules that deny, and invariants. */
static int collect_against(const struct walk *allowed, const struct node *n, struct grants *denied,
			   struct grants *later)
{
	const struct engine *e = allowed->e;
	struct walk deny = *allowed;
	int err = 0;

	deny.deny = true;
	deny.out = *denied;
	if (e->index.n_denies)
		err = collect(&deny, n);
	*denied = deny.out;
	deny.later = true;
	deny.out = *later;
	if (!err && e->index.n_denies && e->policy->n_whens)
		err = collect(&deny, n);
	*later = deny.out;
	if (err || !e->policy->n_invariants)
		return err;
	err = engine_hold(e, &allowed->out, denied, later);
	denied->n = sort_grants(denied->v, denied->n);
	later->n = sort_grants(later->v, later->n);
	return err;
}

static int grants_around(const struct engine *e, uint32_t id, bool from_only, struct arena *a,
			 const struct grant **ret, size_t *ret_n)
{
	const struct node *n = engine_find(e, id);
	struct walk allowed = {.e = e, .from_only = from_only, .out.arena = a};
	struct grants denied = {.arena = a}, later = denied, left = denied, ending = denied,
		      *result = &allowed.out;
	int err = n ? collect(&allowed, n) : 0;

	if (n && !err)
		err = collect_against(&allowed, n, &denied, &later);
	if (!err && denied.n) {
		err = take_away(result, &denied, &left);
		result = &left;
	}
	if (!err && later.n) {
		err = end_early(result, &later, &ending);
		result = &ending;
	}
	if (err < 0)
		return err;
	*ret_n = result->n;
	*ret = result->v;
	return 0;
}

int engine_grants(const struct engine *e, uint32_t id, struct arena *a, const struct grant **ret,
		  size_t *ret_n)
{
	return grants_around(e, id, false, a, ret, ret_n);
}

int engine_grants_from(const struct engine *e, uint32_t id, struct arena *a,
		       const struct grant **ret, size_t *ret_n)
{
	return grants_around(e, id, true, a, ret, ret_n);
}
