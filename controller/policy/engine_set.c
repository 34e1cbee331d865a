/* Engine, the changing half: devices join, change and leave. Memory is taken before anything is
 * moved, so a change that fails changes nothing. */
#include "controller/policy/engine_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PUT_MEMORY_MAX = 64 << 20 }; /* of one engine_put, while it runs */

/* --- devices by id --- */

static size_t home_of(const struct engine *e, uint32_t id)
{
	uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (e->cap - 1);
}

/* The slot that holds id, or the free one where it belongs. cap > 0. */
static size_t slot_of(const struct engine *e, uint32_t id)
{
	size_t i = home_of(e, id);

	while (e->nodes[i] && e->nodes[i]->id != id)
		i = (i + 1) & (e->cap - 1);
	return i;
}

struct node *engine_find(const struct engine *e, uint32_t id)
{
	return e->cap ? e->nodes[slot_of(e, id)] : NULL;
}

/* Room for one more. */
static int reserve_slot(struct engine *e)
{
	struct engine bigger = *e;

	if (e->n * 2 < e->cap)
		return 0;
	bigger.cap = e->cap ? e->cap * 2 : 64;
	bigger.nodes = calloc(bigger.cap, sizeof(struct node *));
	if (!bigger.nodes)
		return -ENOMEM;
	for (size_t i = 0; i < e->cap; i++)
		if (e->nodes[i])
			bigger.nodes[slot_of(&bigger, e->nodes[i]->id)] = e->nodes[i];
	free(e->nodes);
	*e = bigger;
	return 0;
}

/* Empty slot i and move up those behind it that would not be found any more. */
static void free_slot(struct engine *e, size_t i)
{
	size_t mask = e->cap - 1;

	for (size_t j = (i + 1) & mask; e->nodes[j]; j = (j + 1) & mask) {
		size_t home = home_of(e, e->nodes[j]->id);

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		e->nodes[i] = e->nodes[j];
		i = j;
	}
	e->nodes[i] = NULL;
}

/* --- crowds --- */

static struct seat *seat_of(struct node *n, uint32_t atom)
{
	uint32_t lo = 0, hi = n->n_seats;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (n->seats[mid].atom == atom)
			return &n->seats[mid];
		if (n->seats[mid].atom < atom)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int reserve_seat(struct crowd *c)
{
	uint32_t cap = c->cap ? c->cap * 2 : 4;
	struct node **nodes;

	if (c->n < c->cap)
		return 0;
	nodes = realloc(c->nodes, cap * sizeof(struct node *));
	if (!nodes)
		return -ENOMEM;
	c->nodes = nodes;
	c->cap = cap;
	return 0;
}

/* The last of the crowd takes the place of the one who leaves, who may be the last and have no seat
 * any more. */
static void leave_crowd(struct engine *e, const struct seat *s)
{
	struct crowd *c = &e->crowds[s->atom];
	struct node *last = c->nodes[--c->n];

	if (s->pos == c->n)
		return;
	c->nodes[s->pos] = last;
	seat_of(last, s->atom)->pos = s->pos;
}

static void join_crowd(struct engine *e, struct node *n, struct seat *s)
{
	struct crowd *c = &e->crowds[s->atom];

	s->pos = c->n;
	c->nodes[c->n++] = n;
}

/* --- devices --- */

int subject_atoms(const struct policy_index *x, const struct subject *s, struct atoms *ret)
{
	int err = atoms_add(ret, x->anyone);

	if (!err && s->name)
		err = atoms_add(ret, index_atom(x, SELECTOR_DEVICE, s->name));
	if (!err && s->owner && s->owner[0])
		err = atoms_add(ret, index_atom(x, SELECTOR_USER, s->owner));
	for (size_t i = 0; i < s->n_tags && !err; i++)
		err = atoms_add(ret, index_atom(x, SELECTOR_TAG, s->tags[i]));
	for (size_t i = 0; i < s->n_groups && !err; i++)
		err = atoms_add(ret, index_atom(x, SELECTOR_GROUP, s->groups[i]));
	return err ? err : atoms_close(ret, x);
}

/* Enough for most; more comes from the arena. */
enum { ATOMS_ROOM = 64 };

/* A node of the subject with seats that no crowd knows yet. NULL: out of memory. */
static struct node *node_new(const struct engine *e, const struct subject *s)
{
	uint32_t room[ATOMS_ROOM];
	uint64_t heap[ATOMS_ROOM];
	struct node *n = NULL;
	struct arena a;
	struct atoms atoms = {
		.arena = &a, .v = room, .cap = ATOMS_ROOM, .heap = heap, .heap_cap = ATOMS_ROOM};

	arena_init(&a, PUT_MEMORY_MAX);
	if (subject_atoms(&e->index, s, &atoms) == 0)
		n = malloc(sizeof(*n) + atoms.n * sizeof(n->seats[0]));
	if (n) {
		*n = (struct node){.id = s->id,
				   .verdicts = s->verdicts,
				   .places = s->places,
				   .name = s->name ? s->name : "",
				   .owner = s->owner ? s->owner : "",
				   .n_seats = atoms.n};
		for (uint32_t i = 0; i < atoms.n; i++)
			n->seats[i].atom = atoms.v[i];
	}
	arena_done(&a);
	return n;
}

/* n takes the seats of old in the crowds that both are in, leaves those it is in no more, and joins
 * the others. old: NULL when it is new. */
static void reseat(struct engine *e, struct node *n, const struct node *old)
{
	uint32_t i = 0, j = 0, n_old = old ? old->n_seats : 0;

	while (i < n_old || j < n->n_seats) {
		if (j == n->n_seats || (i < n_old && old->seats[i].atom < n->seats[j].atom)) {
			leave_crowd(e, &old->seats[i++]);
		} else if (i == n_old || n->seats[j].atom < old->seats[i].atom) {
			join_crowd(e, n, &n->seats[j++]);
		} else {
			n->seats[j].pos = old->seats[i++].pos;
			e->crowds[n->seats[j].atom].nodes[n->seats[j].pos] = n;
			j++;
		}
	}
}

static int reserve_all(struct engine *e, const struct node *n)
{
	int err = reserve_slot(e);

	for (uint32_t i = 0; i < n->n_seats && !err; i++)
		err = reserve_seat(&e->crowds[n->seats[i].atom]);
	return err;
}

int engine_put(struct engine *e, const struct subject *s)
{
	struct node *n = node_new(e, s), *old;
	size_t slot;

	if (!n || reserve_all(e, n) < 0) {
		free(n);
		return -ENOMEM;
	}
	slot = slot_of(e, s->id);
	old = e->nodes[slot];
	e->nodes[slot] = n;
	e->n += !old;
	reseat(e, n, old);
	free(old);
	return 0;
}

void engine_remove(struct engine *e, uint32_t id)
{
	struct node *n = engine_find(e, id);

	if (!n)
		return;
	for (uint32_t i = 0; i < n->n_seats; i++)
		leave_crowd(e, &n->seats[i]);
	free_slot(e, slot_of(e, id));
	e->n--;
	free(n);
}

struct engine *engine_new(const struct policy *p, int64_t now_s)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->policy = p;
	if (index_init(&e->index, p) < 0) {
		free(e);
		return NULL;
	}
	e->crowds = calloc(e->index.n_atoms + 1u, sizeof(*e->crowds));
	e->open = calloc(p->n_whens + 1, sizeof(*e->open));
	e->edges = calloc(p->n_whens + 1, sizeof(*e->edges));
	if (!e->crowds || !e->open || !e->edges) {
		engine_free(e);
		return NULL;
	}
	engine_start_clock(e, now_s);
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->cap; i++)
		free(e->nodes[i]);
	for (uint32_t i = 0; e->crowds && i < e->index.n_atoms; i++)
		free(e->crowds[i].nodes);
	free(e->nodes);
	free(e->crowds);
	free(e->open);
	free(e->edges);
	index_done(&e->index);
	free(e);
}
