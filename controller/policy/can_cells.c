/* Cells: a bit for each time and each place that can be known at it, filled for every kind of rule
 * and everything that an invariant holds back. */
#include "controller/policy/can_cells.h"

#include <errno.h>
#include <string.h>

enum {
	CELLS_MAX = 1 << 22,	   /* words of one rule's */
	CELLS_WORK_MAX = 64 << 20, /* words of all rules of one solution */
};

uint64_t *cells_words(struct solve *s, size_t n)
{
	return arena_array(s->x->a, n, sizeof(uint64_t));
}

uint32_t cells_when_of(const struct solve *s, const struct policy_invariant *i)
{
	return (uint32_t)(i->when - s->x->p->whens);
}

static bool has(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void add(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << i % 64;
}

static bool rule_is_at(const struct policy_rule *r, const struct places *at)
{
	return r->deny ? !where_fails(r, at) : where_holds(r, at);
}

/* Of the time i, is the when open? */
static bool when_is_on(const struct solve *s, uint32_t when, size_t i)
{
	size_t k = 0;

	while (s->when_ids[k] != when)
		k++;
	return has(s->times->open[i], k);
}

static bool rule_is_on(const struct solve *s, const struct policy_rule *r, size_t i)
{
	return r->when == POLICY_ALWAYS || when_is_on(s, r->when, i);
}

static bool is_held_at(const struct solve *s, const struct policy_invariant *i, size_t time,
		       size_t place)
{
	return (i->spots && !(s->places->v[place].at.in & i->spots)) ||
	       (i->when && !when_is_on(s, cells_when_of(s, i), time));
}

static int fill_hold(struct solve *s, struct hold *h)
{
	h->cells = cells_words(s, s->n_words);
	if (!h->cells)
		return -ENOMEM;
	for (size_t t = 0; t < s->times->n; t++)
		for (size_t p = 0; p < s->places->n; p++)
			if (is_held_at(s, h->i, t, p))
				add(h->cells + t * s->row, p);
	return 0;
}

static int fill_kind(struct solve *s, struct kind *k)
{
	k->times = cells_words(s, s->times->n / 64 + 1);
	k->places = cells_words(s, s->row);
	if (!k->times || !k->places)
		return -ENOMEM;
	for (size_t i = 0; i < s->times->n; i++)
		if (rule_is_on(s, k->rule, i))
			add(k->times, i);
	for (size_t i = 0; i < s->places->n; i++)
		if (rule_is_at(k->rule, &s->places->v[i].at))
			add(k->places, i);
	return 0;
}

static void spread(const struct solve *s, const uint64_t *times, const uint64_t *places,
		   uint64_t *cells)
{
	for (size_t i = 0; i < s->times->n; i++)
		for (size_t w = 0; has(times, i) && w < s->row; w++)
			cells[i * s->row + w] |= places[w];
}

static void cut(const struct solve *s, const struct kind *deny, uint64_t *cells)
{
	for (size_t i = 0; i < s->times->n; i++)
		for (size_t w = 0; has(deny->times, i) && w < s->row; w++)
			cells[i * s->row + w] &= ~deny->places[w];
}

size_t cells_count(const uint64_t *bits, size_t n)
{
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += (size_t)__builtin_popcountll(bits[i]);
	return all;
}

bool cells_within(const uint64_t *a, const uint64_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] & ~b[i])
			return false;
	return true;
}

static int fill_kinds(struct solve *s, struct kinds *l)
{
	int err = 0;

	for (size_t i = 0; i < l->n && !err; i++)
		err = fill_kind(s, &l->v[i]);
	return err;
}

int cells_make(struct solve *s)
{
	int err;

	s->row = s->places->n / 64 + 1;
	s->n_words = s->times->n * s->row;
	if (s->n_words > CELLS_MAX || s->n_words * (s->allow.n + s->n_holds + 1) > CELLS_WORK_MAX)
		return -ZT_ELIMIT;
	s->denied = cells_words(s, s->n_words);
	s->all_times = cells_words(s, s->times->n / 64 + 1);
	s->all_places = cells_words(s, s->row);
	if (!s->denied || !s->all_times || !s->all_places)
		return -ENOMEM;
	for (size_t i = 0; i < s->times->n; i++)
		add(s->all_times, i);
	for (size_t i = 0; i < s->places->n; i++)
		add(s->all_places, i);
	err = fill_kinds(s, &s->allow);
	if (!err)
		err = fill_kinds(s, &s->deny);
	for (size_t i = 0; i < s->deny.n && !err; i++)
		spread(s, s->deny.v[i].times, s->deny.v[i].places, s->denied);
	for (size_t i = 0; i < s->n_holds && !err; i++) {
		err = fill_hold(s, &s->holds[i]);
		for (size_t w = 0; w < s->n_words && !err; w++)
			s->denied[w] |= s->holds[i].cells[w];
	}
	for (size_t i = 0; i < s->allow.n && !err; i++) {
		struct kind *k = &s->allow.v[i];

		k->cells = cells_words(s, s->n_words);
		if (!k->cells)
			return -ENOMEM;
		spread(s, k->times, k->places, k->cells);
		for (size_t w = 0; w < s->n_words; w++)
			k->cells[w] &= ~s->denied[w];
		k->n_cells = cells_count(k->cells, s->n_words);
	}
	return err;
}

/* --- what must be said for the same cells --- */

/* Cells of the way when only this is said of it. nots: denies, then holds. */
static void cells_said(const struct solve *s, const struct kind *k, bool timed, bool placed,
		       const bool *nots, uint64_t *out)
{
	memset(out, 0, s->n_words * sizeof(*out));
	spread(s, timed ? k->times : s->all_times, placed ? k->places : s->all_places, out);
	for (size_t i = 0; i < s->deny.n; i++)
		if (nots[i])
			cut(s, &s->deny.v[i], out);
	for (size_t i = 0; i < s->n_holds; i++)
		for (size_t w = 0; nots[s->deny.n + i] && w < s->n_words; w++)
			out[w] &= ~s->holds[i].cells[w];
}

bool cells_are_enough(const struct solve *s, const struct kind *k, bool timed, bool placed,
		      const bool *nots, uint64_t *room)
{
	cells_said(s, k, timed, placed, nots, room);
	return memcmp(room, k->cells, s->n_words * sizeof(*room)) == 0;
}
