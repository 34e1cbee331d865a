/* What can be known together of where a device is: the address space falls into stretches in which
 * every network in question says the same; each goes with each country in question, another one,
 * and none known; and with each stretch of the device's own addresses in the overlay. */
#include "controller/policy/can_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/policy/networks.h"

enum { COMBINATIONS_MAX = 1 << 22 };

/* What addresses, or a country, say of the spots: in their lists, in their excepts. */
struct say {
	uint64_t in, except;
	struct addr addr;
	char country[3];
};
struct says {
	struct say *v;
	size_t n, cap;
	struct arena *a;
	struct names known; /* (in, except): to have each once */
};

static int says_add(struct says *s, const struct say *one)
{
	uint64_t *key;
	struct say *v;

	key = arena_dup(s->a, (uint64_t[]){one->in, one->except}, 2 * sizeof(*key));
	if (!key)
		return -ENOMEM;
	if (names_find(&s->known, 0, (const char *)key, 2 * sizeof(*key)) != NAMES_ABSENT)
		return 0;
	v = arena_room(s->a, s->v, s->n, &s->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->v = v;
	s->v[s->n++] = *one;
	return names_add(&s->known, 0, (const char *)key, 2 * sizeof(*key), 0);
}

/* --- networks --- */

struct net {
	struct prefix prefix;
	uint64_t in, except; /* one bit in one of them */
};
struct nets {
	struct net *v;
	size_t n;
};

static int compare_nets(const void *a, const void *b)
{
	const struct net *x = a, *y = b;
	int c = addr_compare(&x->prefix.addr, &y->prefix.addr);

	return c ? c : (x->prefix.bits > y->prefix.bits) - (x->prefix.bits < y->prefix.bits);
}

static int compare_addrs(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static size_t gather_items(const struct place_item *items, size_t n, enum place_kind kind,
			   uint8_t family, const struct net *form, struct net *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].kind != kind || items[i].prefix.addr.family != family)
			continue;
		out[used] = *form;
		out[used++].prefix = items[i].prefix;
	}
	return used;
}

static size_t count_items(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_spots; i++)
		if (!p->spots[i].country[0])
			n += p->places[p->spots[i].place].n_in +
			     p->places[p->spots[i].place].n_except;
	return n;
}

/* Networks of one kind and family that the spots name, sorted; outer before inner. */
static int gather(const struct policy *p, uint64_t spots, enum place_kind kind, uint8_t family,
		  struct arena *a, struct nets *ret)
{
	ret->v = arena_array(a, count_items(p), sizeof(*ret->v));
	ret->n = 0;
	if (!ret->v)
		return -ENOMEM;
	for (uint64_t left = spots; left; left &= left - 1) {
		const struct policy_spot *s = &p->spots[__builtin_ctzll(left)];
		const struct policy_place *place;

		if (s->country[0])
			continue;
		place = &p->places[s->place];
		ret->n += gather_items(place->in, place->n_in, kind, family,
				       &(struct net){.in = left & -left}, ret->v + ret->n);
		ret->n += gather_items(place->except, place->n_except, kind, family,
				       &(struct net){.except = left & -left}, ret->v + ret->n);
	}
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_nets);
	return 0;
}

/* Where stretches begin: at the first address, at each network's, and behind each. Sorted. */
static int begin_of_stretches(const struct nets *nets, uint8_t family, struct arena *a,
			      struct addr **ret, size_t *ret_n)
{
	struct addr *v = arena_array(a, 2 * nets->n + 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	v[n++] = (struct addr){.family = family};
	for (size_t i = 0; i < nets->n; i++) {
		v[n++] = nets->v[i].prefix.addr;
		n += network_next(&nets->v[i].prefix, &v[n]);
	}
	qsort(v, n, sizeof(*v), compare_addrs);
	*ret = v;
	*ret_n = n;
	return 0;
}

/* Networks lie within each other or apart, so a stack of those around an address tells all. */
static int says_of_nets(const struct nets *nets, uint8_t family, struct arena *a, struct says *out)
{
	struct net *stack = arena_array(a, nets->n, sizeof(*stack));
	size_t depth = 0, next = 0, n;
	struct addr *at;
	int err = stack ? begin_of_stretches(nets, family, a, &at, &n) : -ENOMEM;

	for (size_t i = 0; !err && i < n; i++) {
		struct say one = {.addr = at[i]};

		while (depth && !prefix_contains(&stack[depth - 1].prefix, &at[i]))
			depth--;
		for (; next < nets->n && addr_equal(&nets->v[next].prefix.addr, &at[i]); next++) {
			stack[depth] = nets->v[next];
			stack[depth].in |= depth ? stack[depth - 1].in : 0;
			stack[depth].except |= depth ? stack[depth - 1].except : 0;
			depth++;
		}
		one.in = depth ? stack[depth - 1].in : 0;
		one.except = depth ? stack[depth - 1].except : 0;
		err = says_add(out, &one);
	}
	return err;
}

static int says_of(const struct policy *p, uint64_t spots, enum place_kind kind, uint8_t family,
		   struct arena *a, struct says *out)
{
	struct nets nets;
	int err = gather(p, spots, kind, family, a, &nets);

	return err ? err : says_of_nets(&nets, family, a, out);
}

/* --- countries --- */

/* What a device in this country is told of the spots; "" asks which spots look at countries. */
static struct say say_of_country(const struct policy *p, uint64_t spots, const char *country)
{
	struct say s = {0};

	memcpy(s.country, country, strlen(country));
	for (uint64_t left = spots; left; left &= left - 1) {
		const struct policy_spot *y = &p->spots[__builtin_ctzll(left)];
		const struct policy_place *place = &p->places[y->place];

		if (y->country[0]) {
			if (!country[0] || strcmp(y->country, country) == 0)
				s.in |= left & -left;
			continue;
		}
		for (size_t i = 0; i < place->n_in; i++)
			if (place->in[i].kind == PLACE_COUNTRY &&
			    (!country[0] || strcmp(place->in[i].country, country) == 0))
				s.in |= left & -left;
		for (size_t i = 0; i < place->n_except; i++)
			if (place->except[i].kind == PLACE_COUNTRY &&
			    (!country[0] || strcmp(place->except[i].country, country) == 0))
				s.except |= left & -left;
	}
	return s;
}

/* Every country there is: those that nothing names say the same. */
static int says_of_countries(const struct policy *p, uint64_t spots, struct says *out)
{
	int err = 0;

	for (char x = 'A'; x <= 'Z'; x++)
		for (char y = 'A'; y <= 'Z' && !err; y++) {
			const char code[3] = {x, y, '\0'};
			struct say s;

			if (!country_is_valid(code))
				continue;
			s = say_of_country(p, spots, code);
			err = says_add(out, &s);
		}
	return err;
}

/* Spots whose lists, and whose excepts, look at the source address. */
static struct say looks_at_source(const struct policy *p, uint64_t spots)
{
	struct say s = {0};

	for (uint64_t left = spots; left; left &= left - 1) {
		const struct policy_spot *y = &p->spots[__builtin_ctzll(left)];
		const struct policy_place *place = &p->places[y->place];

		for (size_t i = 0; !y->country[0] && i < place->n_in; i++)
			if (place->in[i].kind == PLACE_SOURCE)
				s.in |= left & -left;
		for (size_t i = 0; !y->country[0] && i < place->n_except; i++)
			if (place->except[i].kind == PLACE_SOURCE)
				s.except |= left & -left;
	}
	return s;
}

/* --- all together --- */

struct combine {
	struct arena *a;
	uint64_t spots;
	struct say source_asked, country_asked; /* who looks at them */
	struct names known;
	struct can_place *v;
	size_t n, cap;
};

static int combine_add(struct combine *c, const struct can_place *one)
{
	size_t size = sizeof(one->at);
	struct can_place *v;
	void *key;

	if (names_find(&c->known, 0, (const char *)&one->at, size) != NAMES_ABSENT)
		return 0;
	v = arena_room(c->a, c->v, c->n, &c->cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->v = v;
	c->v[c->n++] = *one;
	key = arena_dup(c->a, &one->at, size);
	return key ? names_add(&c->known, 0, key, size, 0) : -ENOMEM;
}

/* source, country: NULL where not known. */
static int combine_one(struct combine *c, const struct say *source, const struct say *country,
		       const struct say *v4, const struct say *v6)
{
	uint64_t in = v4->in | v6->in, except = v4->except | v6->except;
	uint64_t maybe_in = 0, maybe_except = 0;
	struct can_place one = {0};

	if (source) {
		in |= source->in;
		except |= source->except;
		one.view.source = source->addr;
	} else {
		maybe_in |= c->source_asked.in;
		maybe_except |= c->source_asked.except;
	}
	if (country) {
		in |= country->in;
		except |= country->except;
		memcpy(one.view.country, country->country, sizeof(one.view.country));
	} else {
		maybe_in |= c->country_asked.in;
		maybe_except |= c->country_asked.except;
	}
	one.view.addr4 = v4->addr;
	one.view.addr6 = v6->addr;
	one.at.in = in & ~except & ~maybe_except & c->spots;
	one.at.out = (~(in | maybe_in) | except) & c->spots;
	return combine_add(c, &one);
}

/* A country is known only of a source that is. */
static int combine_all(struct combine *c, const struct says *source, const struct says *country,
		       const struct says *v4, const struct says *v6)
{
	int err = 0;

	if (source->n * (country->n + 1) > COMBINATIONS_MAX || v4->n * v6->n > COMBINATIONS_MAX ||
	    source->n * (country->n + 1) * v4->n * v6->n > COMBINATIONS_MAX)
		return -ZT_ELIMIT;
	for (size_t i = 0; i < v4->n && !err; i++)
		for (size_t k = 0; k < v6->n && !err; k++) {
			err = combine_one(c, NULL, NULL, &v4->v[i], &v6->v[k]);
			for (size_t s = 0; s < source->n && !err; s++) {
				err = combine_one(c, &source->v[s], NULL, &v4->v[i], &v6->v[k]);
				for (size_t y = 0; y < country->n && !err; y++)
					err = combine_one(c, &source->v[s], &country->v[y],
							  &v4->v[i], &v6->v[k]);
			}
		}
	return err;
}

static void says_init(struct says *s, struct arena *a)
{
	*s = (struct says){.a = a};
	names_init(&s->known, a);
}

int can_places_find(const struct policy *p, uint64_t spots, struct arena *a, struct can_places *ret)
{
	struct combine c = {.a = a,
			    .spots = spots,
			    .source_asked = looks_at_source(p, spots),
			    .country_asked = say_of_country(p, spots, "")};
	struct says source, country, v4, v6;
	int err;

	says_init(&source, a);
	says_init(&country, a);
	says_init(&v4, a);
	says_init(&v6, a);
	names_init(&c.known, a);
	err = says_of(p, spots, PLACE_SOURCE, ADDR_V4, a, &source);
	if (!err)
		err = says_of(p, spots, PLACE_SOURCE, ADDR_V6, a, &source);
	if (!err)
		err = says_of(p, spots, PLACE_OVERLAY, ADDR_V4, a, &v4);
	if (!err)
		err = says_of(p, spots, PLACE_OVERLAY, ADDR_V6, a, &v6);
	if (!err)
		err = says_of_countries(p, spots, &country);
	if (!err)
		err = combine_all(&c, &source, &country, &v4, &v6);
	if (err)
		return err;
	*ret = (struct can_places){.n = c.n, .v = c.v};
	return 0;
}
