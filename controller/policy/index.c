/* Index of a policy: lists one way are read off it, the ways back are these lists turned round. */
#include "controller/policy/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_MEMORY_MAX = 1 << 30 };

/* --- lists of ids --- */

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t ids_sort(uint32_t *v, uint32_t n)
{
	uint32_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_ids);
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
	return names_add(&x->names, kind, name, strlen(name), *ret);
}

static int intern_list(struct policy_index *x, const struct selector *s, size_t n, struct ids *ret)
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

int atoms_add(struct atoms *s, const struct policy_index *x, uint32_t atom)
{
	const struct ids *groups;
	uint32_t *v;

	if (atom == NAMES_ABSENT)
		return 0;
	groups = &x->groups[atom];
	if (s->n + 1 + groups->n > s->cap) {
		v = arena_array(s->arena, (s->n + 1 + groups->n) * 2, sizeof(*v));
		if (!v)
			return -ENOMEM;
		if (s->n)
			memcpy(v, s->v, s->n * sizeof(*v));
		s->v = v;
		s->cap = (s->n + 1 + groups->n) * 2;
	}
	s->v[s->n++] = atom;
	for (uint32_t i = 0; i < groups->n; i++) /* the atom of a group is its index */
		s->v[s->n++] = groups->v[i];
	return 0;
}

void atoms_sort(struct atoms *s)
{
	s->n = ids_sort(s->v, s->n);
}

/* --- the index --- */

static int index_groups(struct policy_index *x, const struct policy *p,
			const struct ids **ret_members)
{
	struct ids *members = arena_array(&x->arena, p->n_groups, sizeof(*members));
	uint32_t atom;
	int err = members ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_groups && !err; i++) /* first of all: atom i is group i */
		err = intern(x, SELECTOR_GROUP, p->groups[i].name, &atom);
	for (size_t i = 0; i < p->n_groups && !err; i++)
		err = intern_list(x, p->groups[i].members, p->groups[i].n_members, &members[i]);
	*ret_members = members;
	return err;
}

static int index_resources(struct policy_index *x, const struct policy *p)
{
	struct ids *on = arena_array(&x->arena, p->n_resources, sizeof(*on));
	int err = on ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_resources && !err; i++)
		err = intern_list(x, p->resources[i].on, p->resources[i].n_on, &on[i]);
	x->on = on;
	return err;
}

static int index_rule(struct policy_index *x, const struct policy_rule *r, struct ids *ret_who,
		      struct ids *ret_what, uint64_t *ret_needs)
{
	uint32_t *what = arena_dup(&x->arena, r->what, r->n_what * sizeof(*what));

	if (!what)
		return -ENOMEM;
	*ret_what = (struct ids){.v = what, .n = ids_sort(what, (uint32_t)r->n_what)};
	for (size_t i = 0; i < r->n_how; i++)
		*ret_needs |= UINT64_C(1) << r->how[i];
	return intern_list(x, r->who, r->n_who, ret_who);
}

static int index_rules(struct policy_index *x, const struct policy *p)
{
	struct ids *who = arena_array(&x->arena, p->n_rules, sizeof(*who));
	struct ids *what = arena_array(&x->arena, p->n_rules, sizeof(*what));
	uint64_t *needs = arena_array(&x->arena, p->n_rules, sizeof(*needs));
	int err = who && what && needs ? 0 : -ENOMEM;

	for (size_t i = 0; i < p->n_rules && !err; i++)
		err = index_rule(x, &p->rules[i], &who[i], &what[i], &needs[i]);
	x->who = who;
	x->what = what;
	x->needs = needs;
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
	const struct ids *members;
	int err = index_groups(x, p, &members);

	if (!err)
		err = index_resources(x, p);
	if (!err)
		err = index_rules(x, p);
	if (!err)
		err = turn_round(a, members, p->n_groups, x->n_atoms, &x->groups);
	if (!err)
		err = turn_round(a, x->on, p->n_resources, x->n_atoms, &x->hosted);
	if (!err)
		err = turn_round(a, x->who, p->n_rules, x->n_atoms, &x->rules);
	if (!err)
		err = turn_round(a, x->what, p->n_rules, p->n_resources, &x->opened);
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
