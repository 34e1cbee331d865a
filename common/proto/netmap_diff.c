/* The difference of two netmaps: each sorted set walked once against its other state. */
#include "zt/netmap.h"

#include <errno.h>
#include <string.h>

#include "common/proto/netmap_wire.h"

typedef int (*compare_fn)(const void *a, const void *b);

/* The records of a that are not in b, in order. out: NULL to count only. Of each record its first
 * out_size bytes: all of it, or its id. */
static size_t minus(struct items a, struct items b, size_t size, compare_fn compare, uint8_t *out,
		    size_t out_size)
{
	const uint8_t *p = a.p, *q = b.p;
	size_t n = 0, j = 0;

	for (size_t i = 0; i < a.n; i++) {
		int c = -1;

		while (j < b.n && (c = compare(q + j * size, p + i * size)) < 0)
			j++;
		if (j < b.n && c == 0)
			continue;
		if (out)
			memcpy(out + n * out_size, p + i * size, out_size);
		n++;
	}
	return n;
}

/* a - b into one section of the message. */
static int put_minus(struct items a, struct items b, size_t size, compare_fn compare,
		     enum section_kind kind, struct arena *arena, struct netmap_msg *m)
{
	size_t out_size = netmap_sections[kind - 1].item_size;
	struct items items = {NULL, minus(a, b, size, compare, NULL, out_size)};
	uint8_t *out;

	if (items.n == 0)
		return 0;
	out = arena_array(arena, items.n, out_size);
	if (!out)
		return -ENOMEM;
	minus(a, b, size, compare, out, out_size);
	items.p = out;
	netmap_section_set(m, kind, items);
	return 0;
}

static bool is_within_limits(const struct netmap *m)
{
	struct netmap_leases leases = {.n = 0};

	netmap_leases_add(&leases, m->grants, m->n_grants);
	return leases.n <= NETMAP_LEASES_MAX && m->n_peers <= ZT_PEERS_MAX &&
	       m->n_grants <= ZT_GRANTS_MAX && m->n_rules <= ZT_RULES_MAX &&
	       m->n_conditions <= ZT_CONDITIONS_MAX &&
	       m->n_endpoints <= (size_t)ZT_PEERS_MAX * ZT_ENDPOINTS_PEER_MAX;
}

static int diff_peers(const struct netmap *old, const struct netmap *new, struct arena *a,
		      struct netmap_msg *m)
{
	struct items was = {old->peers, old->n_peers}, is = {new->peers, new->n_peers};
	const size_t size = sizeof(struct netmap_peer);
	int err = put_minus(was, is, size, netmap_peer_compare, SECTION_PEERS_DEL, a, m);

	return err ? err
		   : put_minus(is, was, size, netmap_peer_compare_all, SECTION_PEERS_PUT, a, m);
}

/* A rule goes by itself with its last grant. */
static int diff_rules(const struct netmap *old, const struct netmap *new, struct arena *a,
		      struct netmap_msg *m)
{
	struct items was = {old->rules, old->n_rules}, is = {new->rules, new->n_rules};

	return put_minus(is, was, sizeof(struct netmap_rule), netmap_rule_compare_all,
			 SECTION_RULES_PUT, a, m);
}

/* Those of a rule go by themselves with its last grant out. */
static int diff_conditions(const struct netmap *old, const struct netmap *new, struct arena *a,
			   struct netmap_msg *m)
{
	struct items was = {old->conditions, old->n_conditions},
		     is = {new->conditions, new->n_conditions};
	const size_t size = sizeof(struct netmap_condition);
	int err = netmap_drop_unasked(&was, (struct items){new->grants, new->n_grants}, a);

	if (!err)
		err = put_minus(was, is, size, netmap_condition_compare, SECTION_CONDITIONS_DEL, a,
				m);
	return err ? err
		   : put_minus(is, was, size, netmap_condition_compare, SECTION_CONDITIONS_PUT, a,
			       m);
}

static int diff_endpoints(const struct netmap *old, const struct netmap *new, struct arena *a,
			  struct netmap_msg *m)
{
	struct items was = {old->endpoints, old->n_endpoints},
		     is = {new->endpoints, new->n_endpoints};
	const size_t size = sizeof(struct netmap_endpoint);
	int err = netmap_drop_gone(&was, size, m, a);

	if (!err)
		err = put_minus(was, is, size, netmap_endpoint_compare_rank, SECTION_ENDPOINTS_DEL,
				a, m);
	return err ? err
		   : put_minus(is, was, size, netmap_endpoint_compare, SECTION_ENDPOINTS_PUT, a, m);
}

static int diff_grants(const struct netmap *old, const struct netmap *new, struct arena *a,
		       struct netmap_msg *m)
{
	struct items was = {old->grants, old->n_grants}, is = {new->grants, new->n_grants};
	const size_t size = sizeof(struct netmap_grant);
	int err = netmap_drop_gone(&was, size, m, a);

	if (!err)
		err = put_minus(was, is, size, netmap_grant_compare, SECTION_GRANTS_DEL, a, m);
	return err ? err : put_minus(is, was, size, netmap_grant_compare, SECTION_GRANTS_PUT, a, m);
}

int netmap_diff(const struct netmap *old, const struct netmap *new, struct arena *a,
		struct netmap_msg *ret)
{
	struct netmap_msg m = {0};
	int err;

	if (!is_within_limits(new))
		return -ZT_ELIMIT;
	if (!netmap_self_equal(&old->self, &new->self)) {
		m.has_self = true;
		m.self = new->self;
	}
	err = diff_peers(old, new, a, &m);
	if (!err)
		err = diff_endpoints(old, new, a, &m);
	if (!err)
		err = diff_grants(old, new, a, &m);
	if (!err)
		err = diff_rules(old, new, a, &m);
	if (!err)
		err = diff_conditions(old, new, a, &m);
	if (!err)
		*ret = m;
	return err;
}

bool netmap_msg_is_empty(const struct netmap_msg *m)
{
	for (size_t i = 0; i < SECTION_COUNT; i++)
		if (netmap_section_get(m, netmap_sections[i].kind).n > 0)
			return false;
	return true;
}
