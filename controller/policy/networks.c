/* Sets of networks: a network out of which another is cut falls into its halves, and the half that
 * holds the cut into its own. */
#include "controller/policy/networks.h"

#include <errno.h>
#include <stdlib.h>

struct networks {
	struct arena *arena;
	struct prefix *v;
	size_t n, cap;
};

static int add(struct networks *s, const struct prefix *p)
{
	struct prefix *v = arena_room(s->arena, s->v, s->n, &s->cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	s->v = v;
	s->v[s->n++] = *p;
	return 0;
}

/* One of the two halves of p. */
static struct prefix half_of(const struct prefix *p, bool upper)
{
	struct prefix h = *p;

	if (upper)
		h.addr.b[p->bits / 8] = (uint8_t)(h.addr.b[p->bits / 8] | 0x80 >> p->bits % 8);
	h.bits++;
	return h;
}

/* p without cut. */
static int cut_one(struct networks *s, struct prefix p, const struct prefix *cut)
{
	int err = 0;

	if (!prefix_overlaps(&p, cut))
		return add(s, &p);
	while (p.bits < cut->bits && !err) {
		struct prefix lower = half_of(&p, false), upper = half_of(&p, true);
		bool in_lower = prefix_overlaps(&lower, cut);

		err = add(s, in_lower ? &upper : &lower);
		p = in_lower ? lower : upper;
	}
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int c = addr_compare(&x->addr, &y->addr);

	return c ? c : (x->bits > y->bits) - (x->bits < y->bits);
}

int networks_cut(const struct prefix *list, size_t n, const struct prefix *cuts, size_t n_cuts,
		 struct arena *a, const struct prefix **ret, size_t *ret_n)
{
	struct networks left = {.arena = a};
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = add(&left, &list[i]);
	for (size_t k = 0; k < n_cuts && !err; k++) {
		struct networks next = {.arena = a};

		for (size_t i = 0; i < left.n && !err; i++)
			err = cut_one(&next, left.v[i], &cuts[k]);
		left = next;
	}
	if (err < 0)
		return err;
	if (left.n > 1)
		qsort(left.v, left.n, sizeof(*left.v), compare);
	for (size_t i = 0; i < left.n; i++) /* a network in one before it adds nothing */
		if (kept == 0 || !prefix_overlaps(&left.v[kept - 1], &left.v[i]))
			left.v[kept++] = left.v[i];
	*ret = left.v;
	*ret_n = kept;
	return 0;
}

bool networks_contain(const struct prefix *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(&list[i], a))
			return true;
	return false;
}

bool network_next(const struct prefix *p, struct addr *ret)
{
	struct addr next = p->addr;

	for (unsigned i = p->bits; i-- > 0;) { /* add one to the number that its bits are */
		uint8_t mask = (uint8_t)(0x80 >> i % 8);

		next.b[i / 8] = (uint8_t)(next.b[i / 8] ^ mask);
		if (!(next.b[i / 8] & mask))
			continue;
		*ret = next;
		return true;
	}
	return false;
}
