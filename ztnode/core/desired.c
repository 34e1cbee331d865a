/* Netmap + lease -> desired kernel state.
 *
 * Grants of one port become one element each. Grants of port ranges are cut along each other's
 * edges into classes of ports (spans): a packet's port is looked up once to its class and (source,
 * destination, class) once more, so that the cost a packet is the same however many and however
 * wide the ranges are. */
#include "ztnode/core/desired.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ELEMS_MAX = 4 * ZT_GRANTS_MAX, /* two address families, and ranges cut in classes */
	UNREACHABLE_METRIC_EXTRA = 1000000,
};

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_range(const struct service *s)
{
	return (s->proto == SERVICE_TCP || s->proto == SERVICE_UDP) && s->lo != s->hi;
}

/* --- ends --- */

static int64_t lease_end(const struct netmap_grant *g, const struct desired_times *t)
{
	int64_t more_s = g->lease_s ? (int64_t)g->lease_s - t->lease_s : 0;

	return t->lease_end_ms + more_s * 1000;
}

static int64_t own_end(const struct netmap_grant *g, const struct desired_times *t)
{
	return g->expires_s ? (int64_t)g->expires_s * 1000 + t->wall_to_boot_ms : INT64_MAX;
}

int64_t desired_grant_end(const struct netmap_grant *g, const struct desired_times *t)
{
	int64_t own = own_end(g, t), lease = lease_end(g, t);

	return own < lease ? own : lease;
}

static void take_earlier(int64_t end, int64_t now_ms, int64_t *at)
{
	if (end > now_ms && end < *at)
		*at = end;
}

int64_t desired_next_end(const struct netmap *m, const struct desired_times *t)
{
	int64_t at = INT64_MAX;

	take_earlier(t->lease_end_ms, t->now_ms, &at);
	for (size_t i = 0; i < m->n_grants; i++) {
		take_earlier(lease_end(&m->grants[i], t), t->now_ms, &at);
		take_earlier(own_end(&m->grants[i], t), t->now_ms, &at);
	}
	return at == INT64_MAX ? -1 : at;
}

/* This version looks at no program and no account yet. Those of a kind that it does not even know
 * are refused with the whole map (netmap_decode). */
const struct netmap_condition *desired_unenforced(const struct netmap *m,
						  const struct netmap_grant *g)
{
	size_t n;

	return g->dir == NETMAP_OUT ? netmap_rule_conditions(m, g->rule, &n) : NULL;
}

/* Is there still a use for the peer and the ports of the grant? While the map's lease runs, what a
 * grant's own end closes may be opened again soon, by the controller: no handshake is thrown away
 * for it. */
static bool is_of_use(const struct netmap *m, const struct netmap_grant *g,
		      const struct desired_times *t)
{
	if (desired_unenforced(m, g))
		return false;
	return t->now_ms <
	       (t->now_ms < t->lease_end_ms ? lease_end(g, t) : desired_grant_end(g, t));
}

/* --- spans: the classes of ports that the ranges of one protocol make --- */

static size_t collect_edges(const struct netmap *m, const struct desired_times *t, uint8_t proto,
			    uint32_t *edges)
{
	size_t n = 0, unique = 0;

	for (size_t i = 0; i < m->n_grants; i++) {
		const struct service *s = &m->grants[i].svc;

		if (s->proto != proto || !is_range(s) || !is_of_use(m, &m->grants[i], t))
			continue;
		edges[n++] = s->lo;
		edges[n++] = s->hi + 1u;
	}
	qsort(edges, n, sizeof(*edges), compare_u32);
	for (size_t i = 0; i < n; i++)
		if (!unique || edges[unique - 1] != edges[i])
			edges[unique++] = edges[i];
	return unique;
}

/* A span between every two neighbouring edges; those that no grant covers are harmless: no element
 * names them. */
static void add_spans(struct kstate *s, uint8_t proto, const uint32_t *edges, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		s->spans[s->n_spans] = (struct kspan){.proto = proto,
						      .lo = (uint16_t)edges[i],
						      .hi = (uint16_t)(edges[i + 1] - 1),
						      .class_id = (uint32_t)s->n_spans + 1};
		s->n_spans++;
	}
}

static int make_spans(const struct netmap *m, const struct desired_times *t, struct arena *a,
		      struct kstate *s)
{
	static const uint8_t protos[] = {SERVICE_TCP,
					 SERVICE_UDP}; /* ascending, as spans are sorted */
	size_t ranges = 0;
	uint32_t *edges;

	for (size_t i = 0; i < m->n_grants; i++)
		ranges += is_range(&m->grants[i].svc);
	edges = arena_array(a, 2 * ranges, sizeof(*edges));
	s->spans = arena_array(a, 2 * ranges, sizeof(*s->spans));
	if (!edges || !s->spans)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(protos); i++)
		add_spans(s, protos[i], edges, collect_edges(m, t, protos[i], edges));
	return 0;
}

/* The spans of a range stand side by side: its own edges are among those that made them. */
static size_t count_spans(const struct kstate *s, const struct service *svc, size_t *ret_first)
{
	size_t lo = 0, hi = s->n_spans, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct kspan *sp = &s->spans[mid];

		if (sp->proto < svc->proto || (sp->proto == svc->proto && sp->lo < svc->lo))
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < s->n_spans && s->spans[lo + n].proto == svc->proto &&
	       s->spans[lo + n].hi <= svc->hi)
		n++;
	*ret_first = lo;
	return n;
}

/* --- elements --- */

struct ends { /* of one grant, in one address family */
	struct addr src, dst;
};

static bool ends_of(const struct netmap *m, const struct netmap_grant *g,
		    const struct netmap_peer *p, bool v6, struct ends *ret)
{
	const struct addr *self = v6 ? &m->self.addr6 : &m->self.addr4;
	const struct addr *peer = v6 ? &p->addr6 : &p->addr4;

	if (self->family == ADDR_NONE || peer->family == ADDR_NONE)
		return false;
	*ret = g->dir == NETMAP_OUT ? (struct ends){*self, *peer} : (struct ends){*peer, *self};
	return true;
}

static int append(struct kstate *s, const struct kelem *e)
{
	if (s->n_elems == ELEMS_MAX)
		return -ZT_ELIMIT;
	s->elems[s->n_elems++] = *e;
	return 0;
}

static int add_elems(struct kstate *s, const struct netmap_grant *g, const struct ends *ends,
		     int64_t expires_ms)
{
	struct kelem e = {
		.src = ends->src, .dst = ends->dst, .rule = g->rule, .expires_ms = expires_ms};
	size_t first = 0, n;
	int err = 0;

	if (g->svc.proto == SERVICE_ANY) {
		e.set = KSET_SPAN; /* class 0 */
		return append(s, &e);
	}
	if (is_range(&g->svc)) {
		e.set = KSET_SPAN;
		n = count_spans(s, &g->svc, &first);
		for (size_t i = 0; !err && i < n; i++) {
			e.value = s->spans[first + i].class_id;
			err = append(s, &e);
		}
		return err;
	}
	e.set = KSET_PORT;
	e.proto = g->svc.proto;
	e.value = g->svc.lo;
	return append(s, &e);
}

/* Two rules that grant the same: one element, which lives as long as the longer of them. */
static void merge_doubles(struct kstate *s)
{
	size_t n = 0;

	qsort(s->elems, s->n_elems, sizeof(*s->elems), kelem_compare);
	for (size_t i = 0; i < s->n_elems; i++) {
		struct kelem *last = n ? &s->elems[n - 1] : NULL;

		if (!last || kelem_compare(last, &s->elems[i]) != 0)
			s->elems[n++] = s->elems[i];
		else if (s->elems[i].expires_ms > last->expires_ms)
			*last = s->elems[i];
	}
	s->n_elems = n;
}

/* Elements a grant makes at most, so that memory is taken once. */
static size_t count_elems(const struct netmap *m, const struct kstate *s)
{
	size_t total = 0, first = 0;

	for (size_t i = 0; i < m->n_grants && total <= ELEMS_MAX; i++)
		total +=
			2 * (is_range(&m->grants[i].svc) ? count_spans(s, &m->grants[i].svc, &first)
							 : 1);
	return total;
}

static int make_elems(const struct netmap *m, const struct desired_times *t, struct arena *a,
		      struct kstate *s)
{
	size_t cap = count_elems(m, s);
	int err = 0;

	if (cap > ELEMS_MAX)
		return -ZT_ELIMIT;
	s->elems = arena_array(a, cap, sizeof(*s->elems));
	if (!s->elems)
		return -ENOMEM;
	for (size_t i = 0; !err && i < m->n_grants; i++) {
		const struct netmap_grant *g = &m->grants[i];
		const struct netmap_peer *p = netmap_find_peer(m, g->peer);
		int64_t end = desired_grant_end(g, t);
		struct ends ends;

		if (!p || end <= t->now_ms || desired_unenforced(m, g))
			continue;
		for (int v6 = 0; !err && v6 <= 1; v6++)
			if (ends_of(m, g, p, v6, &ends))
				err = add_elems(s, g, &ends, end);
	}
	merge_doubles(s);
	return err;
}

/* --- peers --- */

static const struct netmap_psk *find_psk(const struct desired_config *c, uint32_t peer)
{
	for (size_t lo = 0, hi = c->n_psks; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->psks[mid].peer == peer)
			return &c->psks[mid];
		if (c->psks[mid].peer < peer)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void add_allowed(struct kpeer *k, const struct addr *a)
{
	if (a->family != ADDR_NONE)
		k->allowed[k->n_allowed++] = (struct prefix){*a, (uint8_t)addr_bits(a)};
}

static void make_peer(const struct netmap_peer *p, const struct desired_config *c, struct kpeer *k)
{
	const struct netmap_psk *psk = find_psk(c, p->id);

	k->pub = p->wg_key;
	k->id = p->id;
	add_allowed(k, &p->addr4);
	add_allowed(k, &p->addr6);
	k->has_psk = psk != NULL;
	if (psk)
		k->psk = psk->psk;
}

static int make_peers(const struct netmap *m, const struct desired_config *c,
		      const struct desired_times *t, struct arena *a, struct kstate *s)
{
	uint8_t *used = arena_alloc(a, m->n_peers);

	s->peers = arena_array(a, m->n_peers, sizeof(*s->peers));
	if (!used || !s->peers)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_grants; i++) {
		const struct netmap_peer *p = netmap_find_peer(m, m->grants[i].peer);

		if (p && is_of_use(m, &m->grants[i], t))
			used[p - m->peers] = 1;
	}
	for (size_t i = 0; i < m->n_peers; i++)
		if (used[i])
			make_peer(&m->peers[i], c, &s->peers[s->n_peers++]);
	qsort(s->peers, s->n_peers, sizeof(*s->peers), kpeer_compare);
	return 0;
}

/* --- interface and routes --- */

static void add_guard(struct kstate *s, const struct prefix *net, uint32_t metric)
{
	s->routes[s->n_routes++] =
		(struct kroute){KROUTE_UNREACHABLE, *net, metric + UNREACHABLE_METRIC_EXTRA};
}

static void add_network(struct kstate *s, const struct addr *self, const struct prefix *net,
			uint32_t metric)
{
	if (self->family == ADDR_NONE)
		return;
	s->addrs[s->n_addrs++] = (struct prefix){*self, (uint8_t)addr_bits(self)};
	s->routes[s->n_routes++] = (struct kroute){KROUTE_DEV, *net, metric};
	add_guard(s, net, metric);
}

void desired_guards(const struct prefix nets[static 2], uint32_t route_metric, struct kstate *ret)
{
	*ret = (struct kstate){0};
	for (size_t i = 0; i < 2; i++)
		if (nets[i].addr.family != ADDR_NONE)
			add_guard(ret, &nets[i], route_metric);
	qsort(ret->routes, ret->n_routes, sizeof(ret->routes[0]), kroute_compare);
}

int desired_make(const struct netmap *m, const struct desired_config *c,
		 const struct desired_times *t, struct arena *a, struct kstate *ret)
{
	struct kstate s = {.link_exists = true,
			   .link_is_ours = true,
			   .link_up = true,
			   .mtu = m->self.mtu,
			   .pub = m->self.wg_key,
			   .port = c->listen_port,
			   .net4 = m->self.net4,
			   .net6 = m->self.net6,
			   .table_ok = true};
	int err;

	add_network(&s, &m->self.addr4, &m->self.net4, c->route_metric);
	add_network(&s, &m->self.addr6, &m->self.net6, c->route_metric);
	qsort(s.routes, s.n_routes, sizeof(s.routes[0]), kroute_compare);
	/* With all grants over it is closed: only the guards stand. */
	err = make_spans(m, t, a, &s);
	if (!err)
		err = make_elems(m, t, a, &s);
	if (!err)
		err = make_peers(m, c, t, a, &s);
	if (!err)
		*ret = s;
	return err;
}
