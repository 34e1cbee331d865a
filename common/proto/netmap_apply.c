/* A message applied to a netmap: a merge of sorted sets, then a look at the whole. A message that
 * does not fit changes nothing and asks for a full map (-ZT_ECHAIN); one that makes an impossible
 * netmap is malformed (-ZT_EFORM). */
#include "zt/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/netmap_wire.h"

typedef int (*compare_fn)(const void *a, const void *b);

/* One set: old - del + put. */
struct merge {
	struct items old, del, put;
	size_t size;	 /* of a record of old and put */
	size_t del_size; /* of del: the same, or an id */
	compare_fn compare;
	compare_fn same; /* del is what is there in all of it; NULL: the key is enough */
	bool replaces;	 /* put of a key that is there replaces it; else it is an error */
	size_t max;
};

/* NULL past the end. */
static const void *at(struct items s, size_t size, size_t i)
{
	return i < s.n ? (const uint8_t *)s.p + i * size : NULL;
}

/* del must all be in old, and none of it in put. */
static int check_del(const struct merge *g)
{
	size_t i = 0, j = 0;

	for (size_t k = 0; k < g->del.n; k++) {
		const void *del = at(g->del, g->del_size, k);

		while (i < g->old.n && g->compare(at(g->old, g->size, i), del) < 0)
			i++;
		if (i == g->old.n || g->compare(at(g->old, g->size, i), del) != 0 ||
		    (g->same && g->same(at(g->old, g->size, i), del) != 0))
			return -ZT_ECHAIN;
		while (j < g->put.n && g->compare(at(g->put, g->size, j), del) < 0)
			j++;
		if (j < g->put.n && g->compare(at(g->put, g->size, j), del) == 0)
			return -ZT_EFORM;
	}
	return 0;
}

/* Into out, which has room for old - del and all of put; check_del has passed. */
static int merge_into(const struct merge *g, uint8_t *out, size_t *ret_n)
{
	size_t i = 0, j = 0, k = 0, n = 0;

	while (i < g->old.n || j < g->put.n) {
		const void *old = at(g->old, g->size, i), *put = at(g->put, g->size, j);
		int c = !old ? 1 : !put ? -1 : g->compare(old, put);

		if (c == 0 && !g->replaces)
			return -ZT_ECHAIN;
		if (c < 0 && k < g->del.n && g->compare(old, at(g->del, g->del_size, k)) == 0)
			k++;
		else
			memcpy(out + n++ * g->size, c < 0 ? old : put, g->size);
		i += c <= 0;
		j += c >= 0;
	}
	*ret_n = n;
	return 0;
}

static int merge(const struct merge *g, struct arena *a, struct items *ret)
{
	int err = check_del(g);
	uint8_t *out;
	size_t n;

	if (err)
		return err;
	/* del is a part of old now. */
	out = arena_array(a, g->old.n - g->del.n + g->put.n, g->size);
	if (!out)
		return -ENOMEM;
	err = merge_into(g, out, &n);
	if (err)
		return err;
	if (n > g->max)
		return -ZT_ELIMIT;
	*ret = (struct items){out, n};
	return 0;
}

static struct merge merge_of(struct items old, const struct netmap_msg *msg, enum section_kind del,
			     enum section_kind put)
{
	return (struct merge){
		.old = old,
		.del = netmap_section_get(msg, del),
		.put = netmap_section_get(msg, put),
		.size = netmap_sections[put - 1].item_size,
		.del_size = netmap_sections[del - 1].item_size,
		.compare = netmap_sections[put - 1].compare,
		.max = netmap_sections[put - 1].max,
	};
}

static int merge_peers(struct items *peers, const struct netmap_msg *msg, struct arena *a)
{
	struct merge g = merge_of(*peers, msg, SECTION_PEERS_DEL, SECTION_PEERS_PUT);

	g.compare = netmap_id_compare;
	g.replaces = true;
	return merge(&g, a, peers);
}

/* What is put replaces what has its peer and rank; what is taken away must be what is there. */
static int merge_endpoints(struct items *endpoints, const struct netmap_msg *msg, struct arena *a)
{
	struct merge g = merge_of(*endpoints, msg, SECTION_ENDPOINTS_DEL, SECTION_ENDPOINTS_PUT);

	g.same = netmap_endpoint_compare;
	g.replaces = true;
	return merge(&g, a, endpoints);
}

static int merge_grants(struct items *grants, const struct netmap_msg *msg, struct arena *a)
{
	struct merge g = merge_of(*grants, msg, SECTION_GRANTS_DEL, SECTION_GRANTS_PUT);

	return merge(&g, a, grants);
}

/* Nothing takes a rule away but its last grant (drop_rules). */
static int merge_rules(struct items *rules, const struct netmap_msg *msg, struct arena *a)
{
	struct merge g = merge_of(*rules, msg, SECTION_RULES_PUT, SECTION_RULES_PUT);

	g.del = (struct items){NULL, 0};
	g.compare = netmap_id_compare;
	g.replaces = true;
	return merge(&g, a, rules);
}

static int merge_conditions(struct items *conditions, const struct netmap_msg *msg, struct arena *a)
{
	struct merge g = merge_of(*conditions, msg, SECTION_CONDITIONS_DEL, SECTION_CONDITIONS_PUT);

	return merge(&g, a, conditions);
}

/* Rules that no grant names go. */
static int drop_rules(struct items *rules, struct items grants, struct arena *a)
{
	const struct netmap_rule *old = rules->p, *found;
	const struct netmap_grant *g = grants.p;
	struct netmap_rule *out = arena_array(a, rules->n, sizeof(*out));
	uint8_t *named = arena_alloc(a, rules->n);
	size_t n = 0;

	if (!out || !named)
		return -ENOMEM;
	for (size_t i = 0; i < grants.n && rules->n; i++) {
		found = bsearch(&g[i].rule, old, rules->n, sizeof(*old), netmap_id_compare);
		if (found)
			named[found - old] = 1;
	}
	for (size_t i = 0; i < rules->n; i++)
		if (named[i])
			out[n++] = old[i];
	*rules = (struct items){out, n};
	return 0;
}

static int merge_sets(const struct netmap *old, const struct netmap_msg *msg, struct arena *a,
		      struct netmap *m)
{
	struct items peers = {old->peers, old->n_peers}, rules = {old->rules, old->n_rules};
	struct items endpoints = {old->endpoints, old->n_endpoints};
	struct items grants = {old->grants, old->n_grants};
	struct items conditions = {old->conditions, old->n_conditions};
	int err = merge_peers(&peers, msg, a);

	if (!err)
		err = netmap_drop_gone(&endpoints, sizeof(struct netmap_endpoint), msg, a);
	if (!err)
		err = netmap_drop_gone(&grants, sizeof(struct netmap_grant), msg, a);
	if (!err)
		err = merge_endpoints(&endpoints, msg, a);
	if (!err)
		err = merge_grants(&grants, msg, a);
	/* Who names them no more makes room first: limits are of what there is, not of both maps.
	 */
	if (!err)
		err = drop_rules(&rules, grants, a);
	if (!err)
		err = netmap_drop_unasked(&conditions, grants, a);
	if (!err)
		err = merge_rules(&rules, msg, a);
	if (!err)
		err = drop_rules(&rules, grants, a);
	if (!err)
		err = merge_conditions(&conditions, msg, a);
	if (!err)
		err = netmap_drop_unasked(&conditions, grants, a);
	if (err)
		return err;
	m->peers = peers.p;
	m->n_peers = peers.n;
	m->endpoints = endpoints.p;
	m->n_endpoints = endpoints.n;
	m->grants = grants.p;
	m->n_grants = grants.n;
	m->rules = rules.p;
	m->n_rules = rules.n;
	m->conditions = conditions.p;
	m->n_conditions = conditions.n;
	return 0;
}

int netmap_apply(const struct netmap *old, const struct netmap_msg *msg, struct arena *a,
		 struct netmap *ret)
{
	static const struct netmap empty;
	struct netmap m = {.policy = msg->head.policy};
	int err;

	if (msg->head.kind == NETMAP_FULL)
		old = &empty;
	if (msg->head.kind == NETMAP_FULL && !msg->has_self)
		return -ZT_EFORM;
	if (!msg->has_self && old->self.id == 0)
		return -ZT_ECHAIN;
	m.self = msg->has_self ? msg->self : old->self;
	if (m.self.id != msg->head.device || (old->self.id && old->self.id != m.self.id))
		return -ZT_EDEVICE;
	err = merge_sets(old, msg, a, &m);
	if (!err)
		err = netmap_check(&m, msg->head.lease_s, a);
	if (!err)
		*ret = m;
	return err;
}
