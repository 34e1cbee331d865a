/* Engine, what invariants hold back. A policy that breaks one is refused, but devices get tags and
 * users get groups afterwards: what an invariant forbids is therefore taken out of what the rules
 * grant, too, so that it holds whatever there is. Only pairs that have a grant are looked at. */
#include "controller/policy/engine_impl.h"

#include "controller/policy/invariant.h"
#include "controller/policy/services.h"

static size_t when_of(const struct engine *e, const struct policy_invariant *i)
{
	return (size_t)(i->when - e->policy->whens);
}

bool invariant_forbids(const struct engine *e, const struct policy_invariant *i,
		       const struct node *src)
{
	return i->never || (src->verdicts & i->postures) != i->postures ||
	       (i->spots && !(src->places.in & i->spots)) || (i->when && !e->open[when_of(e, i)]);
}

/* The moment until which what it asks for is given; only if it does not forbid now. */
static int64_t end_of(const struct engine *e, const struct policy_invariant *i)
{
	return i->when ? e->edges[when_of(e, i)] : INT64_MAX;
}

/* --- what it keeps of one destination --- */

enum { LOOK_BACK = 64 }; /* so many of one pair are compared, so that they are few */

struct hold {
	const struct engine *e;
	const struct node *src, *dst;
	const struct grant *pair; /* what is allowed between them */
	size_t n_pair;
	struct grants *denied, *later;
	size_t n_denied, n_later; /* of pairs before */
};

static bool is_granted(const struct hold *h, const struct service *svc)
{
	for (size_t i = 0; i < h->n_pair; i++)
		if (service_overlaps(&h->pair[i].svc, svc))
			return true;
	return false;
}

/* Several invariants about the same port are one, with the earliest end; from: where the pair's
 * begin. Where not all are compared each has a number of its own, no rule's, so
 * that none is lost. */
static int add_once(struct grants *l, size_t from, const struct grant *g)
{
	size_t first = l->n > from + LOOK_BACK ? l->n - LOOK_BACK : from;

	for (size_t i = first; i < l->n; i++) {
		if (service_compare(&l->v[i].svc, &g->svc) != 0)
			continue;
		if (g->until_s < l->v[i].until_s)
			l->v[i].until_s = g->until_s;
		return 0;
	}
	return grants_add(l, g);
}

static int hold_port(struct hold *h, const struct policy_invariant *i, const struct service *svc)
{
	struct grant g = {.src = h->src->id,
			  .dst = h->dst->id,
			  .rule = (uint32_t)(h->e->policy->n_rules + 1 +
					     (size_t)(i - h->e->policy->invariants)),
			  .svc = *svc};

	if (!is_granted(h, svc))
		return 0;
	if (invariant_forbids(h->e, i, h->src))
		return add_once(h->denied, h->n_denied, &g);
	g.until_s = end_of(h->e, i);
	return g.until_s == INT64_MAX ? 0 : add_once(h->later, h->n_later, &g);
}

static int hold_resource(struct hold *h, const struct policy_invariant *i,
			 const struct policy_target *t, uint32_t resource)
{
	const struct policy_resource *r = &h->e->policy->resources[resource];
	struct service svc;
	int err = 0;

	for (size_t k = 0; k < r->n_ports && !err; k++)
		if (target_port(t, &r->ports[k], &svc))
			err = hold_port(h, i, &svc);
	return err;
}

static int hold_target(struct hold *h, const struct policy_invariant *i,
		       const struct policy_target *t)
{
	int err = 0;

	for (uint32_t s = 0; s < h->dst->n_seats; s++) {
		const struct ids *hosted = &h->e->index.hosted[h->dst->seats[s].atom];

		for (uint32_t k = 0; k < hosted->n && !err; k++)
			if (invariant_means(h->e->policy, i, t, hosted->v[k]))
				err = hold_resource(h, i, t, hosted->v[k]);
	}
	return err;
}

static int hold_all(struct hold *h, const struct ids *invariants)
{
	int err = 0;

	for (uint32_t n = 0; n < invariants->n && !err; n++) {
		const struct policy_invariant *i = &h->e->policy->invariants[invariants->v[n]];

		for (size_t k = 0; k < i->n_to && !err; k++)
			err = hold_target(h, i, &i->to[k]);
	}
	return err;
}

static int hold_pair(struct hold *h)
{
	int err = hold_all(h, &h->e->index.watch_all);

	for (uint32_t s = 0; s < h->src->n_seats && !err; s++)
		err = hold_all(h, &h->e->index.watched[h->src->seats[s].atom]);
	return err;
}

int engine_hold(const struct engine *e, const struct grants *allowed, struct grants *denied,
		struct grants *later)
{
	struct hold h = {.e = e, .denied = denied, .later = later};
	int err = 0;

	for (size_t i = 0; i < allowed->n && !err; i += h.n_pair) {
		h.pair = &allowed->v[i];
		for (h.n_pair = 1; i + h.n_pair < allowed->n; h.n_pair++)
			if (h.pair[h.n_pair].src != h.pair->src ||
			    h.pair[h.n_pair].dst != h.pair->dst)
				break;
		h.src = engine_find(e, h.pair->src);
		h.dst = engine_find(e, h.pair->dst);
		h.n_denied = denied->n;
		h.n_later = later->n;
		err = hold_pair(&h);
	}
	return err;
}

/* --- the same for one question, and for time --- */

static bool keeps(const struct engine *e, const struct policy_invariant *i, const struct node *dst,
		  const struct service *svc)
{
	struct service port;

	for (uint32_t s = 0; s < dst->n_seats; s++) {
		const struct ids *hosted = &e->index.hosted[dst->seats[s].atom];

		for (uint32_t k = 0; k < hosted->n; k++) {
			const struct policy_resource *r = &e->policy->resources[hosted->v[k]];

			for (size_t t = 0; t < i->n_to; t++)
				for (size_t j = 0; j < r->n_ports; j++)
					if (invariant_means(e->policy, i, &i->to[t],
							    hosted->v[k]) &&
					    target_port(&i->to[t], &r->ports[j], &port) &&
					    service_overlaps(&port, svc))
						return true;
		}
	}
	return false;
}

static const struct policy_invariant *find_among(const struct engine *e, const struct ids *some,
						 const struct node *src, const struct node *dst,
						 const struct service *svc)
{
	for (uint32_t n = 0; n < some->n; n++) {
		const struct policy_invariant *i = &e->policy->invariants[some->v[n]];

		if (invariant_forbids(e, i, src) && keeps(e, i, dst, svc))
			return i;
	}
	return NULL;
}

const struct policy_invariant *engine_held_by(const struct engine *e, const struct node *src,
					      const struct node *dst, const struct service *svc)
{
	const struct policy_invariant *i = find_among(e, &e->index.watch_all, src, dst, svc);

	for (uint32_t s = 0; s < src->n_seats && !i; s++)
		i = find_among(e, &e->index.watched[src->seats[s].atom], src, dst, svc);
	return i;
}

static void add_all(struct bits *out, const struct ids *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		bits_add(out, v->v[i]);
}

/* Whoever may have a grant, as source. */
static void add_sources(const struct engine *e, struct bits *atoms)
{
	for (size_t r = 0; r < e->policy->n_rules; r++)
		add_all(atoms, &e->index.who[r]);
}

static void add_from(const struct engine *e, size_t invariant, struct bits *atoms)
{
	if (e->index.from[invariant].n)
		add_all(atoms, &e->index.from[invariant]);
	else
		add_sources(e, atoms);
}

void engine_hold_around(const struct engine *e, const struct bits *whens, struct bits *resources,
			struct bits *atoms)
{
	const struct policy *p = e->policy;

	for (size_t k = 0; k < p->n_invariants; k++) {
		const struct policy_invariant *i = &p->invariants[k];

		if (!i->when || !bits_has(whens, (uint32_t)when_of(e, i)))
			continue;
		add_from(e, k, atoms);
		for (size_t t = 0; t < i->n_to; t++)
			for (uint32_t r = 0; r < p->n_resources; r++)
				if (invariant_means(p, i, &i->to[t], r))
					bits_add(resources, r);
	}
}
