/* Engine, the other questions: who is near a device, who hosts what, whose facts count. Sets of
 * rules, resources and atoms are bits, and a question spreads one over the lists of the index. */
#include "controller/policy/engine_impl.h"

#include <errno.h>
#include <string.h>

/* --- sets --- */

int bits_init(struct bits *b, size_t n, struct arena *a)
{
	b->n_words = n / 64 + 1;
	b->words = arena_array(a, b->n_words, sizeof(*b->words));
	return b->words ? 0 : -ENOMEM;
}

bool bits_add(struct bits *b, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << (i % 64), *word = &b->words[i / 64];
	bool fresh = !(*word & bit);

	*word |= bit;
	return fresh;
}

bool bits_has(const struct bits *b, uint32_t i)
{
	return b->words[i / 64] >> (i % 64) & 1;
}

void bits_spread(const struct ids *lists, const struct bits *in, struct bits *out)
{
	for (size_t w = 0; w < in->n_words; w++) {
		for (uint64_t left = in->words[w]; left; left &= left - 1) {
			const struct ids *s = &lists[w * 64 + (size_t)__builtin_ctzll(left)];

			for (uint32_t i = 0; i < s->n; i++)
				bits_add(out, s->v[i]);
		}
	}
}

/* --- neighbours --- */

/* Atoms that n's rules lead to, and atoms that are let in to what n hosts. */
static int atoms_around(const struct engine *e, const struct node *n, struct arena *a,
			struct bits *ret_atoms)
{
	const struct policy_index *x = &e->index;
	struct bits own, rules, hosted, reached, admitting;

	if (bits_init(&own, x->n_atoms, a) < 0 || bits_init(ret_atoms, x->n_atoms, a) < 0 ||
	    bits_init(&rules, e->policy->n_rules, a) < 0 ||
	    bits_init(&admitting, e->policy->n_rules, a) < 0 ||
	    bits_init(&reached, e->policy->n_resources, a) < 0 ||
	    bits_init(&hosted, e->policy->n_resources, a) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n->n_seats; i++)
		bits_add(&own, n->seats[i].atom);
	bits_spread(x->rules, &own, &rules);
	bits_spread(x->what, &rules, &reached);
	bits_spread(x->on, &reached, ret_atoms);
	bits_spread(x->hosted, &own, &hosted);
	bits_spread(x->opened, &hosted, &admitting);
	bits_spread(x->who, &admitting, ret_atoms);
	return 0;
}

/* Ids of all but except into v; how many. */
static uint32_t crowd_ids(const struct crowd *c, const struct node *except, uint32_t *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->nodes[i] != except)
			v[n++] = c->nodes[i]->id;
	return n;
}

int engine_devices_of(const struct engine *e, const struct bits *atoms, const struct node *except,
		      struct arena *a, const uint32_t **ret, size_t *ret_n)
{
	uint32_t *v, n = 0;
	size_t most = 0;

	for (size_t w = 0; w < atoms->n_words; w++)
		for (uint64_t left = atoms->words[w]; left; left &= left - 1)
			most += e->crowds[w * 64 + (size_t)__builtin_ctzll(left)].n;
	v = arena_array(a, most, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t w = 0; w < atoms->n_words; w++)
		for (uint64_t left = atoms->words[w]; left; left &= left - 1)
			n += crowd_ids(&e->crowds[w * 64 + (size_t)__builtin_ctzll(left)], except,
				       v + n);
	*ret_n = ids_sort(v, n);
	*ret = v;
	return 0;
}

int engine_neighbours(const struct engine *e, uint32_t id, struct arena *a, const uint32_t **ret,
		      size_t *ret_n)
{
	const struct node *n = engine_find(e, id);
	struct bits atoms;

	if (!n) {
		*ret = NULL;
		*ret_n = 0;
		return 0;
	}
	if (atoms_around(e, n, a, &atoms) < 0)
		return -ENOMEM;
	return engine_devices_of(e, &atoms, n, a, ret, ret_n);
}

/* --- other questions --- */

uint64_t engine_profiles(const struct engine *e, uint32_t id)
{
	const struct node *n = engine_find(e, id);
	uint64_t asked = 0;

	for (uint32_t i = 0; n && i < n->n_seats; i++)
		asked |= e->index.asked[n->seats[i].atom];
	return asked;
}

uint64_t engine_profiles_known(const struct engine *e, uint32_t id)
{
	const struct policy_invariant *all = e->policy->invariants;
	const struct node *n = engine_find(e, id);
	uint64_t known = engine_profiles(e, id);

	for (uint32_t k = 0; n && k < e->index.watch_all.n; k++)
		known |= all[e->index.watch_all.v[k]].postures;
	for (uint32_t i = 0; n && i < n->n_seats; i++) {
		const struct ids *watched = &e->index.watched[n->seats[i].atom];

		for (uint32_t k = 0; k < watched->n; k++)
			known |= all[watched->v[k]].postures;
	}
	return known;
}

int engine_hosts(const struct engine *e, const char *resource, struct arena *a,
		 const uint32_t **ret, size_t *ret_n)
{
	uint32_t i = 0;
	struct bits atoms;

	while (i < e->policy->n_resources && strcmp(e->policy->resources[i].name, resource) != 0)
		i++;
	if (i == e->policy->n_resources)
		return -ZT_EABSENT;
	if (bits_init(&atoms, e->index.n_atoms, a) < 0)
		return -ENOMEM;
	for (uint32_t j = 0; j < e->index.on[i].n; j++)
		bits_add(&atoms, e->index.on[i].v[j]);
	return engine_devices_of(e, &atoms, NULL, a, ret, ret_n);
}

bool engine_is_offered(const struct engine *e, uint32_t resource)
{
	const struct ids *on = &e->index.on[resource];

	for (uint32_t i = 0; i < on->n; i++)
		if (e->crowds[on->v[i]].n)
			return true;
	return false;
}

int engine_owned(const struct engine *e, const char *user, struct arena *a, const uint32_t **ret,
		 size_t *ret_n)
{
	uint32_t *v = arena_array(a, e->n, sizeof(*v)), n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < e->cap; i++)
		if (e->nodes[i] && strcmp(e->nodes[i]->owner, user) == 0)
			v[n++] = e->nodes[i]->id;
	*ret_n = ids_sort(v, n);
	*ret = v;
	return 0;
}
