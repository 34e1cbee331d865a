/* What must hold between the records of a whole netmap: nothing names what is not there, and no two
 * devices are the same to the kernel (an address or key of two peers would move one's traffic to
 * the other). */
#include "common/proto/netmap_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool addr_fits(const struct prefix *net, const struct addr *a)
{
	return a->family == ADDR_NONE || prefix_contains(net, a);
}

bool netmap_peer_fits(const struct netmap_self *self, const struct netmap_peer *p)
{
	if (p->addr4.family == ADDR_NONE && p->addr6.family == ADDR_NONE)
		return false;
	return addr_fits(&self->net4, &p->addr4) && addr_fits(&self->net6, &p->addr6);
}

bool netmap_endpoint_fits(const struct netmap_self *self, const struct netmap_endpoint *e)
{
	return !prefix_contains(&self->net4, &e->ep.addr) &&
	       !prefix_contains(&self->net6, &e->ep.addr);
}

/* What a peer must have alone. */
enum unique { UNIQUE_KEY, UNIQUE_ADDR4, UNIQUE_ADDR6 };

static int compare_key(const void *a, const void *b)
{
	const struct netmap_peer *const *x = a, *const *y = b;

	return memcmp((*x)->wg_key.b, (*y)->wg_key.b, sizeof((*x)->wg_key.b));
}

static int compare_addr4(const void *a, const void *b)
{
	const struct netmap_peer *const *x = a, *const *y = b;

	return addr_compare(&(*x)->addr4, &(*y)->addr4);
}

static int compare_addr6(const void *a, const void *b)
{
	const struct netmap_peer *const *x = a, *const *y = b;

	return addr_compare(&(*x)->addr6, &(*y)->addr6);
}

static bool is_there(const struct netmap_peer *p, enum unique what)
{
	switch (what) {
	case UNIQUE_KEY:
		return true;
	case UNIQUE_ADDR4:
		return p->addr4.family != ADDR_NONE;
	case UNIQUE_ADDR6:
		return p->addr6.family != ADDR_NONE;
	}
	return false;
}

static bool all_differ(const struct netmap_peer **sorted, size_t n, enum unique what)
{
	static int (*const compares[])(const void *, const void *) = {
		[UNIQUE_KEY] = compare_key,
		[UNIQUE_ADDR4] = compare_addr4,
		[UNIQUE_ADDR6] = compare_addr6,
	};

	qsort(sorted, n, sizeof(*sorted), compares[what]);
	for (size_t i = 1; i < n; i++)
		if (compares[what](&sorted[i - 1], &sorted[i]) == 0 && is_there(sorted[i], what))
			return false;
	return true;
}

/* Among the peers and this device itself. */
static int check_unique(const struct netmap *m, struct arena *a)
{
	struct netmap_peer self = {
		.id = m->self.id,
		.wg_key = m->self.wg_key,
		.addr4 = m->self.addr4,
		.addr6 = m->self.addr6,
	};
	const struct netmap_peer **sorted = arena_array(a, m->n_peers + 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (; n < m->n_peers; n++)
		sorted[n] = &m->peers[n];
	sorted[n++] = &self;
	if (!all_differ(sorted, n, UNIQUE_KEY) || !all_differ(sorted, n, UNIQUE_ADDR4) ||
	    !all_differ(sorted, n, UNIQUE_ADDR6))
		return -ZT_EFORM;
	return 0;
}

static int check_peers(const struct netmap *m)
{
	for (size_t i = 0; i < m->n_peers; i++)
		if (m->peers[i].id == m->self.id || !netmap_peer_fits(&m->self, &m->peers[i]))
			return -ZT_EFORM;
	return 0;
}

static int check_endpoints(const struct netmap *m)
{
	size_t of_peer = 0;

	for (size_t i = 0; i < m->n_endpoints; i++) {
		const struct netmap_endpoint *e = &m->endpoints[i];

		of_peer = i > 0 && e[-1].peer == e->peer ? of_peer + 1 : 1;
		if (of_peer > ZT_ENDPOINTS_PEER_MAX)
			return -ZT_ELIMIT;
		if (!netmap_find_peer(m, e->peer) || !endpoint_is_usable(&e->ep) ||
		    !netmap_endpoint_fits(&m->self, e))
			return -ZT_EFORM;
	}
	return 0;
}

static bool rule_exists(const struct netmap *m, uint32_t id)
{
	return m->n_rules > 0 &&
	       bsearch(&id, m->rules, m->n_rules, sizeof(*m->rules), netmap_id_compare);
}

static int check_grants(const struct netmap *m)
{
	for (size_t i = 0; i < m->n_grants; i++)
		if (!netmap_find_peer(m, m->grants[i].peer) || !rule_exists(m, m->grants[i].rule))
			return -ZT_EFORM;
	return 0;
}

static int check_leases(const struct netmap *m, uint32_t lease_s)
{
	struct netmap_leases l = {.n = 0};

	for (size_t i = 0; i < m->n_grants; i++)
		if (m->grants[i].lease_s && m->grants[i].lease_s == lease_s)
			return -ZT_EFORM;
	netmap_leases_add(&l, m->grants, m->n_grants);
	return l.n > NETMAP_LEASES_MAX ? -ZT_ELIMIT : 0;
}

int netmap_check(const struct netmap *m, uint32_t lease_s, struct arena *a)
{
	int err = check_peers(m);

	if (!err)
		err = check_unique(m, a);
	if (!err)
		err = check_endpoints(m);
	if (!err)
		err = check_grants(m);
	if (!err)
		err = check_leases(m, lease_s);
	return err;
}
