/* Index of a policy: lists one way are read off it, the ways back are these lists turned round. */
#include "controller/policy/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_MEMORY_MAX = 1 << 30, SHORT = 16 };

/* --- lists of ids --- */

int ids_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* A device is a handful of atoms, and there are many devices. */
static void sort_short(uint32_t *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint32_t x = v[i], k = i;

		for (; k > 0 && v[k - 1] > x; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

uint32_t ids_sort(uint32_t *v, uint32_t n)
{
	uint32_t kept = 0;

	if (n > SHORT)
		qsort(v, n, sizeof(*v), ids_compare);
	else
		sort_short(v, n);
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || v[i] != v[kept - 1])
			v[kept++] = v[i];
	return kept;
}

/* lists[i] holds k -> *ret[k] holds i, for k < n_keys. */
static int turn_round(struct arena *a, const struct ids *lists, size_t n_lists, size_t n_keys,
		      const struct ids **ret)
{
	struct ids *back = arena_array(a, n_keys, sizeof(*back));
	uint32_t *fill = arena_array(a, n_keys, sizeof(*fill)), *all;
	size_t total = 0, used = 0;

	if (!back || !fill)
		return -ENOMEM;
	for (size_t i = 0; i < n_lists; i++) {
		total += lists[i].n;
		for (uint32_t j = 0; j < lists[i].n; j++)
			back[lists[i].v[j]].n++;
	}
	all = arena_array(a, total, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t k = 0; k < n_keys; k++) {
		back[k].v = all + used;
		fill[k] = (uint32_t)used;
		used += back[k].n;
	}
	for (size_t i = 0; i < n_lists; i++)
		for (uint32_t j = 0; j < lists[i].n; j++)
			all[fill[lists[i].v[j]]++] = (uint32_t)i;
	*ret = back;
	return 0;
}

/* --- atoms --- */

uint32_t index_atom(const struct policy_index *x, enum selector_kind kind, const char *name)
{
	if (!x->kinds[kind])
		return NAMES_ABSENT;
	if (kind == SELECTOR_ANYONE)
		name = "";
	return names_find(&x->names, kind, name, strlen(name));
}

static int intern(struct policy_index *x, enum selector_kind kind, const char *name, uint32_t *ret)
{
	if (kind == SELECTOR_ANYONE)
		name = "";
	*ret = names_find(&x->names, kind, name, strlen(name));
	if (*ret != NAMES_ABSENT)
		return 0;
	*ret = x->n_atoms++;
	x->kinds[kind] = true;
	return names_add(&x->names, kind, name, strlen(name), *ret);
}

static int intern_selectors(struct policy_index *x, const struct selector *s, size_t n,
			    struct ids *ret)
{
	uint32_t *v = arena_array(&x->arena, n, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int err = intern(x, s[i].kind, s[i].name, &v[i]);

		if (err < 0)
			return err;
	}
	*ret = (struct ids){.v = v, .n = ids_sort(v, (uint32_t)n)};
	return 0;
}

/* --- groups and lists --- */

/* What stands in `derived`, with the atoms that it lets in and keeps out. */
struct derived {
	uint32_t *atom;
	struct ids *in, *except;
	uint32_t n, cap;
};

static int derived_add(struct policy_index *x, struct derived *d, uint32_t atom,
		       const struct selectors *l)
{
	uint32_t i = d->n++;
	int err = intern_selectors(x, l->in, l->n_in, &d->in[i]);

	d->atom[i] = atom;
	return err ? err : intern_selectors(x, l->except, l->n_except, &d->except[i]);
}

/* The atoms of a list: those it names, or one of its own when some are kept out. */
static int intern_list(struct policy_index *x, struct derived *d, const struct selectors *l,
		       struct ids *ret)
{
	uint32_t *own;

	if (l->n_except == 0)
		return intern_selectors(x, l->in, l->n_in, ret);
	own = arena_array(&x->arena, 1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	*own = x->n_atoms++;
	*ret = (struct ids){.v = own, .n = 1};
	return derived_add(x, d, *own, l);
}

/* --- atoms of a device --- */

int atoms_add(struct atoms *s, uint32_t atom)
{
	uint32_t *v;

	if (atom == NAMES_ABSENT)
		return 0;
	v = arena_room(s->arena, s->v, s->n, &s->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	s->v[s->n++] = atom;
	return 0;
}

/* Heap of places in derived, the least first; of one place a bar comes before a membership. */
static int heap_push(struct atoms *s, uint32_t place, bool bars)
{
	uint64_t item = (uint64_t)place << 1 | !bars, *heap;
	uint32_t i = s->n_heap;

	heap = arena_room(s->arena, s->heap, s->n_heap, &s->heap_cap, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	s->heap = heap;
	s->n_heap++;
	for (; i > 0 && s->heap[(i - 1) / 2] > item; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = item;
	return 0;
}

static uint64_t heap_pop(struct atoms *s)
{
	uint64_t top = s->heap[0], last = s->heap[--s->n_heap];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < s->n_heap) {
		child += child + 1 < s->n_heap && s->heap[child + 1] < s->heap[child];
		if (s->heap[child] >= last)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

static int push_all(struct atoms *s, const struct ids *places, bool bars)
{
	int err = 0;

	for (uint32_t i = 0; i < places->n && !err; i++)
		err = heap_push(s, places->v[i], bars);
	return err;
}

/* What the atom leads to, or keeps out of. */
static int push_atom(struct atoms *s, const struct policy_index *x, uint32_t atom)
{
	int err = push_all(s, &x->ups[atom], false);

	return err ? err : push_all(s, &x->bars[atom], true);
}

int atoms_close(struct atoms *s, const struct policy_index *x)
{
	uint32_t n_given = s->n, n = 0, decided = UINT32_MAX;
	int err = 0;

	/* A group that an admin gave is a membership like others: its except still counts. */
	for (uint32_t i = 0; i < n_given && !err; i++) {
		if (s->v[i] < x->policy->n_groups)
			err = heap_push(s, x->rank[s->v[i]], false);
		else
			err = push_atom(s, x, s->v[n++] = s->v[i]);
	}
	s->n = n;
	while (s->n_heap && !err) {
		uint64_t item = heap_pop(s);
		uint32_t place = (uint32_t)(item >> 1), atom = x->derived[place];

		if (place == decided)
			continue;
		decided = place;
		if (!(item & 1)) /* kept out */
			continue;
		err = atoms_add(s, atom);
		if (!err)
			err = push_atom(s, x, atom);
	}
	s->n = ids_sort(s->v, s->n);
	return err;
}

/* --- the index --- */

static int derived_init(struct derived *d, const struct policy *p, struct arena *a)
{
	d->cap = (uint32_t)(p->n_groups + p->n_resources + p->n_rules + p->n_invariants);
	d->atom = arena_array(a, d->cap, sizeof(*d->atom));
	d->in = arena_array(a, d->cap, sizeof(*d->in));
	d->except = arena_array(a, d->cap, sizeof(*d->except));
	return d->atom && d->in && d->except ? 0 : -ENOMEM;
}

static int index_groups(struct policy_index *x, const struct policy *p, struct derived *d)
{
	uint32_t *rank = arena_array(&x->arena, p->n_groups, sizeof(*rank)), atom;
	int err = rank ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_groups && !err; i++) /* first of all: atom i is group i */
		err = intern(x, SELECTOR_GROUP, p->groups[i].name, &atom);
	for (uint32_t i = 0; i < p->n_groups && !err; i++) {
		uint32_t group = p->group_order[i];

		rank[group] = i;
		err = derived_add(x, d, group, &p->groups[group].members);
	}
	x->rank = rank;
	return err;
}

static int index_resources(struct policy_index *x, const struct policy *p, struct derived *d)
{
	struct ids *on = arena_array(&x->arena, p->n_resources, sizeof(*on));
	int err = on ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_resources && !err; i++)
		err = intern_list(x, d, &p->resources[i].on, &on[i]);
	x->on = on;
	return err;
}

static int index_rules(struct policy_index *x, const struct policy *p, struct derived *d)
{
	struct ids *who = arena_array(&x->arena, p->n_rules, sizeof(*who));
	struct ids *what = arena_array(&x->arena, p->n_rules, sizeof(*what));
	uint64_t *needs = arena_array(&x->arena, p->n_rules, sizeof(*needs));
	int err = who && what && needs ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_rules && !err; i++) {
		const struct policy_rule *r = &p->rules[i];

		what[i] = (struct ids){.v = r->what, .n = (uint32_t)r->n_what};
		for (size_t k = 0; k < r->n_how; k++)
			needs[i] |= UINT64_C(1) << r->how[k];
		x->n_denies += r->deny;
		err = intern_list(x, d, &r->who, &who[i]);
	}
	x->who = who;
	x->what = what;
	x->needs = needs;
	return err;
}

static bool is_about_anyone(const struct policy_invariant *i)
{
	for (size_t k = 0; k < i->from.n_in && !i->from.n_except; k++)
		if (i->from.in[k].kind == SELECTOR_ANYONE)
			return true;
	return false;
}

static int index_invariants(struct policy_index *x, const struct policy *p, struct derived *d)
{
	struct ids *from = arena_array(&x->arena, p->n_invariants, sizeof(*from));
	uint32_t *all = arena_array(&x->arena, p->n_invariants, sizeof(*all)), n = 0;
	int err = from && all ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < p->n_invariants && !err; i++) {
		x->watch_needs |= p->invariants[i].postures;
		if (is_about_anyone(&p->invariants[i]))
			all[n++] = i;
		else
			err = intern_list(x, d, &p->invariants[i].from, &from[i]);
	}
	x->watch_all = (struct ids){.v = all, .n = n};
	x->from = from;
	return err;
}

/* Whom tests are about, so that it can be said that nobody is that. */
static int index_tests(struct policy_index *x, const struct policy *p)
{
	uint32_t atom;
	int err = 0;

	for (size_t i = 0; i < p->n_tests && !err; i++)
		if (p->tests[i].from.kind == SELECTOR_TAG ||
		    p->tests[i].from.kind == SELECTOR_DEVICE)
			err = intern(x, p->tests[i].from.kind, p->tests[i].from.name, &atom);
	return err;
}

static int index_asked(struct policy_index *x)
{
	uint64_t *asked = arena_array(&x->arena, x->n_atoms, sizeof(*asked));

	if (!asked)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->n_atoms; i++)
		for (uint32_t j = 0; j < x->rules[i].n; j++)
			asked[i] |= x->needs[x->rules[i].v[j]];
	x->asked = asked;
	return 0;
}

static int index_build(struct policy_index *x, const struct policy *p)
{
	struct arena *a = &x->arena;
	struct derived d = {0};
	int err = derived_init(&d, p, a);

	if (!err)
		err = index_groups(x, p, &d);
	if (!err)
		err = index_resources(x, p, &d);
	if (!err)
		err = index_rules(x, p, &d);
	if (!err)
		err = index_invariants(x, p, &d);
	if (!err)
		err = index_tests(x, p);
	x->anyone = index_atom(x, SELECTOR_ANYONE, NULL);
	x->derived = d.atom;
	x->n_derived = d.n;
	if (!err)
		err = turn_round(a, d.in, d.n, x->n_atoms, &x->ups);
	if (!err)
		err = turn_round(a, d.except, d.n, x->n_atoms, &x->bars);
	if (!err)
		err = turn_round(a, x->on, p->n_resources, x->n_atoms, &x->hosted);
	if (!err)
		err = turn_round(a, x->who, p->n_rules, x->n_atoms, &x->rules);
	if (!err)
		err = turn_round(a, x->what, p->n_rules, p->n_resources, &x->opened);
	if (!err)
		err = turn_round(a, x->from, p->n_invariants, x->n_atoms, &x->watched);
	if (!err)
		err = index_asked(x);
	return err;
}

int index_init(struct policy_index *x, const struct policy *p)
{
	int err;

	*x = (struct policy_index){.policy = p};
	arena_init(&x->arena, INDEX_MEMORY_MAX);
	names_init(&x->names, &x->arena);
	err = index_build(x, p);
	if (err < 0)
		index_done(x);
	return err;
}

void index_done(struct policy_index *x)
{
	arena_done(&x->arena);
	*x = (struct policy_index){0};
}
