/* Plan: desired - actual. Every part is a merge of two sorted arrays; the whole is the parts in the
 * order that plan.h promises. */
#include "ztnode/core/plan.h"

#include <errno.h>
#include <stdlib.h>

struct planner {
	struct arena *arena;
	struct op *ops;
	size_t n, cap;
	int err;
};

static struct op *push(struct planner *p, enum op_kind kind)
{
	static struct op lost; /* after an error nothing of it is read */
	struct op *ops = arena_room(p->arena, p->ops, p->n, &p->cap, sizeof(*ops));

	if (!ops) {
		p->err = -ENOMEM;
		return &lost;
	}
	p->ops = ops;
	p->ops[p->n] = (struct op){.kind = kind};
	return &p->ops[p->n++];
}

static void push_state(struct planner *p, enum op_kind kind, const struct kstate *s)
{
	push(p, kind)->state = s;
}

static void push_elem(struct planner *p, enum op_kind kind, const struct kelem *e)
{
	push(p, kind)->elem = e;
}

/* --- the filter --- */

static bool expiry_differs(const struct kelem *want, const struct kelem *have)
{
	int64_t diff = want->expires_ms - have->expires_ms;

	return diff > PLAN_EXPIRY_SLACK_MS || diff < -PLAN_EXPIRY_SLACK_MS;
}

/* Walk both sets. What is to go comes before what is to come, so the first op cuts. fn NULL counts
 * only. */
static size_t diff_elems(struct planner *p, const struct kstate *d, const struct kstate *a,
			 enum op_kind only)
{
	size_t i = 0, j = 0, changes = 0;

	while (i < d->n_elems || j < a->n_elems) {
		int r = i == d->n_elems	  ? 1
			: j == a->n_elems ? -1
					  : kelem_compare(&d->elems[i], &a->elems[j]);
		bool again = r == 0 && expiry_differs(&d->elems[i], &a->elems[j]);

		if (r > 0 || again) {
			changes++;
			if (p && only == OP_ELEM_DEL)
				push_elem(p, OP_ELEM_DEL, &a->elems[j]);
		}
		if (r < 0 || again) {
			changes++;
			if (p && only == OP_ELEM_ADD)
				push_elem(p, OP_ELEM_ADD, &d->elems[i]);
		}
		i += r <= 0;
		j += r >= 0;
	}
	return changes;
}

static bool spans_equal(const struct kstate *d, const struct kstate *a)
{
	if (d->n_spans != a->n_spans)
		return false;
	for (size_t i = 0; i < d->n_spans; i++) {
		const struct kspan *x = &d->spans[i], *y = &a->spans[i];

		if (x->proto != y->proto || x->lo != y->lo || x->hi != y->hi ||
		    x->class_id != y->class_id)
			return false;
	}
	return true;
}

/* A lease renewal touches every element: loading the whole set is one flush and as many adds, and
 * cannot trip over an element that the kernel timed out a moment ago. */
static void plan_filter(struct planner *p, const struct kstate *d, const struct kstate *a)
{
	size_t changes;

	if (!a->table_ok || !spans_equal(d, a)) {
		push_state(p, OP_TABLE_PUT, d);
		return;
	}
	changes = diff_elems(NULL, d, a, OP_ELEM_DEL);
	if (changes > 16 && changes > d->n_elems) {
		push_state(p, OP_ELEMS_LOAD, d);
		return;
	}
	diff_elems(p, d, a, OP_ELEM_DEL);
	diff_elems(p, d, a, OP_ELEM_ADD);
}

void plan_keep_expiries(struct kstate *desired, const struct kstate *actual,
			const struct op_list *ops)
{
	for (size_t i = 0; i < ops->n; i++)
		if (ops->ops[i].kind == OP_TABLE_PUT || ops->ops[i].kind == OP_ELEMS_LOAD)
			return; /* all are as they should be */
	for (size_t i = 0, j = 0; i < desired->n_elems && j < actual->n_elems;) {
		int r = kelem_compare(&desired->elems[i], &actual->elems[j]);

		if (r == 0 && !expiry_differs(&desired->elems[i], &actual->elems[j]))
			desired->elems[i].expires_ms = actual->elems[j].expires_ms;
		i += r <= 0;
		j += r >= 0;
	}
}

/* --- peers --- */

static bool allowed_equal(const struct kpeer *x, const struct kpeer *y)
{
	if (x->n_allowed != y->n_allowed)
		return false;
	for (size_t i = 0; i < x->n_allowed; i++)
		if (!prefix_equal(&x->allowed[i], &y->allowed[i]))
			return false;
	return true;
}

static bool psk_equal(const struct kpeer *x, const struct kpeer *y)
{
	return x->has_psk == y->has_psk && (!x->has_psk || secret_equal(&x->psk, &y->psk));
}

static const struct kpeer *find_peer(const struct kstate *s, const struct kpeer *p)
{
	return s->n_peers ? bsearch(p, s->peers, s->n_peers, sizeof(*p), kpeer_compare) : NULL;
}

/* An endpoint is written only where the kernel has none, or where desired names another one: what
 * the kernel learned by roaming is better than what anyone was told. Desired leaves it unset then.
 */
static bool endpoint_wanted(const struct kpeer *d, const struct kpeer *a)
{
	return d->endpoint.addr.family != ADDR_NONE && !endpoint_equal(&d->endpoint, &a->endpoint);
}

static void plan_known_peer(struct planner *p, const struct kpeer *d, const struct kpeer *a)
{
	bool same_allowed = allowed_equal(d, a), same_psk = psk_equal(d, a);

	if (!same_allowed || !same_psk) {
		struct op *op = push(p, OP_PEER_PUT);

		op->peer = d;
		op->psk_only = same_allowed;
		if (!same_allowed)
			return; /* the whole peer went, endpoint too */
	}
	if (endpoint_wanted(d, a))
		push(p, OP_PEER_ENDPOINT)->peer = d;
}

static void plan_peers(struct planner *p, const struct kstate *d, const struct kstate *a, bool del)
{
	size_t i = 0, j = 0;

	while (i < d->n_peers || j < a->n_peers) {
		int r = i == d->n_peers	  ? 1
			: j == a->n_peers ? -1
					  : kpeer_compare(&d->peers[i], &a->peers[j]);

		if (r > 0 && del)
			push(p, OP_PEER_DEL)->peer = &a->peers[j];
		if (r < 0 && !del)
			push(p, OP_PEER_PUT)->peer = &d->peers[i];
		if (r == 0 && !del)
			plan_known_peer(p, &d->peers[i], &a->peers[j]);
		i += r <= 0;
		j += r >= 0;
	}
}

/* --- interface --- */

static bool has_addr(const struct kstate *s, const struct prefix *addr)
{
	for (size_t i = 0; i < s->n_addrs; i++)
		if (prefix_equal(&s->addrs[i], addr))
			return true;
	return false;
}

static void plan_addrs(struct planner *p, const struct kstate *d, const struct kstate *a)
{
	for (size_t i = 0; i < a->n_addrs; i++)
		if (!has_addr(d, &a->addrs[i]))
			push(p, OP_ADDR_DEL)->addr = a->addrs[i];
	for (size_t i = 0; i < d->n_addrs; i++)
		if (!has_addr(a, &d->addrs[i]))
			push(p, OP_ADDR_ADD)->addr = d->addrs[i];
}

static bool has_route(const struct kstate *s, const struct kroute *r)
{
	for (size_t i = 0; i < s->n_routes; i++)
		if (kroute_compare(&s->routes[i], r) == 0)
			return true;
	return false;
}

static void plan_routes(struct planner *p, const struct kstate *d, const struct kstate *a)
{
	for (size_t i = 0; i < a->n_routes; i++)
		if (!has_route(d, &a->routes[i]))
			push(p, OP_ROUTE_DEL)->route = a->routes[i];
	for (size_t i = 0; i < d->n_routes; i++)
		if (!has_route(a, &d->routes[i]))
			push(p, OP_ROUTE_ADD)->route = d->routes[i];
}

/* The unreachable routes stand before the link comes up: there is no moment in which overlay
 * packets could go elsewhere. */
static void plan_guards(struct planner *p, const struct kstate *d, const struct kstate *a)
{
	for (size_t i = 0; i < d->n_routes; i++)
		if (d->routes[i].kind == KROUTE_UNREACHABLE && !has_route(a, &d->routes[i]))
			push(p, OP_ROUTE_ADD)->route = d->routes[i];
}

static void plan_link(struct planner *p, const struct kstate *d, const struct kstate *a)
{
	bool new = !a->link_exists;

	if (new)
		push_state(p, OP_LINK_ADD, d);
	if (new || !key_equal(&d->pub, &a->pub) || (d->port && d->port != a->port))
		push_state(p, OP_WG_SET, d);
	plan_peers(p, d, a, true);
	plan_peers(p, d, a, false);
	if (new || d->mtu != a->mtu)
		push_state(p, OP_MTU_SET, d);
	plan_addrs(p, d, a);
	if (new || !a->link_up)
		push(p, OP_LINK_UP);
}

int plan_make(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	      struct op_list *ret)
{
	struct planner p = {.arena = a};
	struct kstate with_guards = *actual;

	plan_filter(&p, desired, actual);
	plan_guards(&p, desired, actual);
	plan_link(&p, desired, actual);
	for (size_t i = 0; i < desired->n_routes && with_guards.n_routes < KSTATE_ROUTES_MAX; i++)
		if (desired->routes[i].kind == KROUTE_UNREACHABLE &&
		    !has_route(&with_guards, &desired->routes[i]))
			with_guards.routes[with_guards.n_routes++] = desired->routes[i];
	plan_routes(&p, desired, &with_guards);
	if (p.err)
		return p.err;
	*ret = (struct op_list){p.ops, p.n};
	return 0;
}

static const struct kelem *find_elem(const struct kstate *s, const struct kelem *e)
{
	return s->n_elems ? bsearch(e, s->elems, s->n_elems, sizeof(*e), kelem_compare) : NULL;
}

static bool speaks_for(const struct kpeer *p, const struct addr *addr)
{
	struct prefix host = {*addr, (uint8_t)addr_bits(addr)};

	for (size_t i = 0; i < p->n_allowed; i++)
		if (prefix_equal(&p->allowed[i], &host))
			return true;
	return false;
}

/* Does the kernel grant something between this peer and us that is not granted any more, or not for
 * so long? */
static bool has_too_much(const struct kstate *d, const struct kstate *a, const struct kpeer *p)
{
	for (size_t i = 0; i < a->n_elems; i++) {
		const struct kelem *e = &a->elems[i], *wanted = find_elem(d, e);

		if (wanted && e->expires_ms <= wanted->expires_ms + PLAN_EXPIRY_SLACK_MS)
			continue;
		if (speaks_for(p, &e->src) || speaks_for(p, &e->dst))
			return true;
	}
	return false;
}

int plan_shut(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	      struct op_list *ret)
{
	bool other_rules = !actual->table_ok || !spans_equal(desired, actual);
	struct planner p = {.arena = a};

	for (size_t i = 0; i < actual->n_peers; i++) {
		const struct kpeer *peer = &actual->peers[i];
		const struct kpeer *wanted = find_peer(desired, peer);

		/* With other addresses than its own it could be the way for what is another's. */
		if (other_rules || !wanted || !allowed_equal(wanted, peer) ||
		    has_too_much(desired, actual, peer))
			push(&p, OP_PEER_DEL)->peer = peer;
	}
	plan_guards(&p, desired, actual);
	if (p.err)
		return p.err;
	*ret = (struct op_list){p.ops, p.n};
	return 0;
}

int plan_guard(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	       struct op_list *ret)
{
	struct planner p = {.arena = a};

	plan_guards(&p, desired, actual);
	if (p.err)
		return p.err;
	*ret = (struct op_list){p.ops, p.n};
	return 0;
}

int plan_down(const struct kstate *actual, struct arena *a, struct op_list *ret)
{
	struct planner p = {.arena = a};

	for (size_t i = 0; i < actual->n_routes; i++)
		if (actual->routes[i].kind == KROUTE_DEV)
			push(&p, OP_ROUTE_DEL)->route = actual->routes[i];
	if (actual->link_exists && actual->link_is_ours)
		push_state(&p, OP_LINK_DEL, actual);
	push(&p, OP_TABLE_DEL);
	for (size_t i = 0; i < actual->n_routes; i++)
		if (actual->routes[i].kind == KROUTE_UNREACHABLE)
			push(&p, OP_ROUTE_DEL)->route = actual->routes[i];
	if (p.err)
		return p.err;
	*ret = (struct op_list){p.ops, p.n};
	return 0;
}
