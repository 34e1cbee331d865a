/* Netmap: the sort orders of its sets and looking things up in them. */
#include "zt/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/netmap_wire.h"

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int netmap_id_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return compare_u64(*x, *y);
}

int netmap_peer_compare(const void *a, const void *b)
{
	const struct netmap_peer *x = a, *y = b;

	return compare_u64(x->id, y->id);
}

int netmap_rule_compare(const void *a, const void *b)
{
	const struct netmap_rule *x = a, *y = b;

	return compare_u64(x->id, y->id);
}

int netmap_endpoint_compare_rank(const void *a, const void *b)
{
	const struct netmap_endpoint *x = a, *y = b;

	if (x->peer != y->peer)
		return compare_u64(x->peer, y->peer);
	return compare_u64(x->rank, y->rank);
}

int netmap_endpoint_compare(const void *a, const void *b)
{
	const struct netmap_endpoint *x = a, *y = b;
	int c = netmap_endpoint_compare_rank(a, b);

	if (c)
		return c;
	c = addr_compare(&x->ep.addr, &y->ep.addr);
	return c ? c : compare_u64(x->ep.port, y->ep.port);
}

int netmap_grant_compare(const void *a, const void *b)
{
	const struct netmap_grant *x = a, *y = b;
	int c;

	if (x->peer != y->peer)
		return compare_u64(x->peer, y->peer);
	if (x->dir != y->dir)
		return compare_u64(x->dir, y->dir);
	c = service_compare(&x->svc, &y->svc);
	if (c)
		return c;
	if (x->rule != y->rule)
		return compare_u64(x->rule, y->rule);
	if (x->expires_s != y->expires_s)
		return compare_u64(x->expires_s, y->expires_s);
	return compare_u64(x->lease_s, y->lease_s);
}

int netmap_peer_compare_all(const void *a, const void *b)
{
	const struct netmap_peer *x = a, *y = b;
	int c = compare_u64(x->id, y->id);

	if (!c)
		c = memcmp(x->wg_key.b, y->wg_key.b, sizeof(x->wg_key.b));
	if (!c)
		c = addr_compare(&x->addr4, &y->addr4);
	if (!c)
		c = addr_compare(&x->addr6, &y->addr6);
	if (!c)
		c = compare_u64(x->psk_epoch, y->psk_epoch);
	return c ? c : strcmp(x->name, y->name);
}

int netmap_rule_compare_all(const void *a, const void *b)
{
	const struct netmap_rule *x = a, *y = b;
	int c = compare_u64(x->id, y->id);

	return c ? c : strcmp(x->name, y->name);
}

bool netmap_self_equal(const struct netmap_self *a, const struct netmap_self *b)
{
	return a->id == b->id && key_equal(&a->wg_key, &b->wg_key) && a->mtu == b->mtu &&
	       addr_equal(&a->addr4, &b->addr4) && addr_equal(&a->addr6, &b->addr6) &&
	       prefix_equal(&a->net4, &b->net4) && prefix_equal(&a->net6, &b->net6) &&
	       strcmp(a->name, b->name) == 0;
}

const struct netmap_peer *netmap_find_peer(const struct netmap *m, uint32_t id)
{
	if (m->n_peers == 0)
		return NULL;
	return bsearch(&id, m->peers, m->n_peers, sizeof(*m->peers), netmap_id_compare);
}

const char *netmap_rule_name(const struct netmap *m, uint32_t id)
{
	const struct netmap_rule *r = NULL;

	if (m->n_rules > 0)
		r = bsearch(&id, m->rules, m->n_rules, sizeof(*m->rules), netmap_id_compare);
	return r ? r->name : "?";
}

int netmap_drop_gone(struct items *set, size_t size, const struct netmap_msg *msg, struct arena *a)
{
	const uint8_t *p = set->p;
	uint8_t *out;
	size_t n = 0, k = 0;

	if (!msg->n_peers_del)
		return 0;
	out = arena_array(a, set->n, size);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		const void *record = p + i * size;

		while (k < msg->n_peers_del && netmap_id_compare(&msg->peers_del[k], record) < 0)
			k++;
		if (k == msg->n_peers_del || netmap_id_compare(&msg->peers_del[k], record) != 0)
			memcpy(out + n++ * size, record, size);
	}
	*set = (struct items){out, n};
	return 0;
}
