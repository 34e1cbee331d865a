/* The netmap of one device from its grants in force. */
#include "controller/netmap/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t netmap_psk_epoch(const struct device *a, const struct device *b)
{
	return a->psk_epoch < b->psk_epoch ? a->psk_epoch : b->psk_epoch;
}

static void copy_name(char out[static ZT_NAME_MAX + 1], const char *name)
{
	memcpy(out, name, strnlen(name, ZT_NAME_MAX) + 1);
}

static void build_self(const struct model *m, const struct device *d, struct netmap *n)
{
	n->self = (struct netmap_self){.id = d->row.id,
				       .wg_key = d->row.wg_key,
				       .addr4 = d->row.addr4,
				       .addr6 = d->row.addr6,
				       .net4 = m->network.net4,
				       .net6 = m->network.net6,
				       .mtu = NETMAP_MTU};
	copy_name(n->self.name, d->row.name);
	n->policy = model_force(m, d)->row.version;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static size_t sort_unique(uint32_t *v, size_t n)
{
	size_t out = 0;

	qsort(v, n, sizeof(*v), compare_u32);
	for (size_t i = 0; i < n; i++)
		if (!out || v[out - 1] != v[i])
			v[out++] = v[i];
	return out;
}

static void fill_peer(const struct device *self, const struct device *d, struct netmap_peer *p)
{
	*p = (struct netmap_peer){.id = d->row.id,
				  .wg_key = d->row.wg_key,
				  .addr4 = d->row.addr4,
				  .addr6 = d->row.addr6,
				  .psk_epoch = netmap_psk_epoch(self, d)};
	copy_name(p->name, d->row.name);
}

/* Devices behind the same public address try each other's local addresses first; others are reached
 * where the controller sees them, which is the last candidate of a device. */
static size_t add_endpoints(const struct device *self, const struct device *d,
			    struct netmap_endpoint *out)
{
	bool neighbours = addr_equal(&self->source, &d->source);

	for (size_t i = 0; i < d->n_endpoints; i++)
		out[i] = (struct netmap_endpoint){
			d->row.id, (uint8_t)(neighbours ? i : d->n_endpoints - 1 - i),
			d->endpoints[i]};
	return d->n_endpoints;
}

static int build_peers(const struct model *m, const struct device *d, const struct grant *grants,
		       size_t n, struct arena *a, struct netmap *ret)
{
	uint32_t *ids = arena_array(a, n, sizeof(*ids));
	struct netmap_peer *peers;
	struct netmap_endpoint *eps;
	size_t n_ids, n_eps = 0;

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = grants[i].src == d->row.id ? grants[i].dst : grants[i].src;
	n_ids = sort_unique(ids, n);
	if (n_ids > ZT_PEERS_MAX)
		return -ZT_ELIMIT;
	peers = arena_array(a, n_ids, sizeof(*peers));
	eps = arena_array(a, n_ids * ZT_ENDPOINTS_PEER_MAX, sizeof(*eps));
	if (!peers || !eps)
		return -ENOMEM;
	for (size_t i = 0; i < n_ids; i++) {
		const struct device *p = model_device(m, ids[i]);

		if (!p)
			return -ZT_ESTATE;
		fill_peer(d, p, &peers[i]);
		n_eps += add_endpoints(d, p, eps + n_eps);
	}
	qsort(eps, n_eps, sizeof(*eps), netmap_endpoint_compare);
	ret->peers = peers;
	ret->n_peers = n_ids;
	ret->endpoints = eps;
	ret->n_endpoints = n_eps;
	return 0;
}

/* Leases of grants beside the head's, ascending. */
struct steps {
	uint32_t head_s;
	const uint32_t *v;
	size_t n;
};

/* With more than a netmap may have, some are taken out, but never the shortest: grants that have
 * one of them get a shorter one. */
static int make_steps(const struct grant *grants, size_t n, uint32_t head_s, struct arena *a,
		      struct steps *ret)
{
	uint32_t *v = arena_array(a, n, sizeof(*v));
	size_t used = 0, all;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (grants[i].lease_s != head_s)
			v[used++] = grants[i].lease_s;
	used = all = sort_unique(v, used);
	if (used > NETMAP_LEASES_MAX)
		used = NETMAP_LEASES_MAX;
	for (size_t i = 0; i < used; i++)
		v[i] = v[i * all / used];
	*ret = (struct steps){head_s, v, used};
	return 0;
}

/* As netmap_grant says it: 0 for the head's, else the longest step that is not longer. */
static uint32_t step_of(const struct steps *s, uint32_t lease_s)
{
	size_t lo = 0, hi = s->n;

	if (lease_s == s->head_s)
		return 0;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid] <= lease_s)
			lo = mid;
		else
			hi = mid;
	}
	return s->v[lo];
}

static int build_grants(const struct model *m, const struct device *d, const struct grant *grants,
			size_t n, struct arena *a, struct netmap *ret)
{
	struct netmap_grant *out = arena_array(a, n, sizeof(*out));
	uint32_t head_s = n ? (uint32_t)model_force(m, d)->policy->lease_s : 0;
	struct steps steps;
	int err;

	if (n > ZT_GRANTS_MAX)
		return -ZT_ELIMIT;
	if (!out)
		return -ENOMEM;
	err = make_steps(grants, n, head_s, a, &steps);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		const struct grant *g = &grants[i];
		bool outward = g->src == d->row.id;

		out[i] = (struct netmap_grant){
			.peer = outward ? g->dst : g->src,
			.dir = outward ? NETMAP_OUT : NETMAP_IN,
			.svc = g->svc,
			.rule = g->rule,
			.expires_s = g->until_s > UINT32_MAX ? 0 : (uint32_t)g->until_s,
			.lease_s = step_of(&steps, g->lease_s)};
	}
	qsort(out, n, sizeof(*out), netmap_grant_compare);
	ret->grants = out;
	ret->n_grants = n;
	return 0;
}

/* Rules of a canary are numbered behind those of the policy in force. */
static const struct policy_rule *rule_of(const struct model *m, uint32_t id)
{
	size_t n = m->force.policy->n_rules;

	return id <= n ? &m->force.policy->rules[id - 1] : &m->canary.policy->rules[id - 1 - n];
}

static int build_rules(const struct model *m, const struct grant *grants, size_t n, struct arena *a,
		       struct netmap *ret)
{
	uint32_t *ids = arena_array(a, n, sizeof(*ids));
	struct netmap_rule *rules;

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ids[i] = grants[i].rule;
	n = sort_unique(ids, n);
	if (n > ZT_RULES_MAX)
		return -ZT_ELIMIT;
	rules = arena_array(a, n, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *name = rule_of(m, ids[i])->name;

		rules[i].id = ids[i];
		memcpy(rules[i].name, name, strnlen(name, ZT_NAME_MAX));
	}
	ret->rules = rules;
	ret->n_rules = n;
	return 0;
}

static size_t add_conditions(uint32_t rule, enum netmap_condition_kind kind,
			     const char *const *names, size_t n, struct netmap_condition *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct netmap_condition){.rule = rule, .kind = (uint8_t)kind};
		memcpy(out[i].name, names[i], strnlen(names[i], ZT_CONDITION_NAME_MAX));
	}
	return n;
}

/* What the device has to look at itself before it opens anything by a rule. Names are sorted in the
 * policy, and rules here, so that the whole is. */
static int build_conditions(const struct model *m, const struct device *d,
			    const struct grant *grants, size_t n, struct arena *a,
			    struct netmap *ret)
{
	uint32_t *ids = arena_array(a, n, sizeof(*ids));
	struct netmap_condition *out;
	size_t n_ids = 0, total = 0;

	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (grants[i].src == d->row.id)
			ids[n_ids++] = grants[i].rule;
	n_ids = sort_unique(ids, n_ids);
	for (size_t i = 0; i < n_ids; i++)
		total += rule_of(m, ids[i])->demands.n_apps + rule_of(m, ids[i])->demands.n_users;
	if (total > ZT_CONDITIONS_MAX)
		return -ZT_ELIMIT;
	out = arena_array(a, total, sizeof(*out));
	if (!out)
		return -ENOMEM;
	ret->conditions = out;
	for (size_t i = 0; i < n_ids; i++) {
		const struct policy_demands *y = &rule_of(m, ids[i])->demands;

		out += add_conditions(ids[i], NETMAP_APP, y->apps, y->n_apps, out);
		out += add_conditions(ids[i], NETMAP_USER, y->users, y->n_users, out);
	}
	ret->n_conditions = total;
	return 0;
}

/* --- with a canary: each grant of the policy that its source is under --- */

static size_t copy_grants(const struct model *m, const struct grant *from, size_t n, bool canary,
			  struct grant *to)
{
	uint32_t behind = canary ? (uint32_t)m->force.policy->n_rules : 0;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct device *src = model_device(m, from[i].src);

		if (!src || src->in_canary != canary)
			continue;
		to[kept] = from[i];
		to[kept++].rule += behind;
	}
	return kept;
}

static int mix_grants(const struct model *m, uint32_t id, struct arena *a, const struct grant **ret,
		      size_t *ret_n)
{
	const struct grant *theirs, *own = *ret;
	size_t n_theirs, n_own = *ret_n, n;
	struct grant *v;
	int err = engine_grants(m->canary.engine, id, a, &theirs, &n_theirs);

	if (err)
		return err;
	v = arena_array(a, n_own + n_theirs, sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = copy_grants(m, own, n_own, false, v);
	n += copy_grants(m, theirs, n_theirs, true, v + n);
	*ret = v;
	*ret_n = n;
	return 0;
}

void netmap_build_alone(const struct model *m, const struct device *d, struct netmap *ret)
{
	*ret = (struct netmap){0};
	build_self(m, d, ret);
}

int netmap_build(const struct model *m, const struct device *d, struct arena *a, struct netmap *ret)
{
	const struct grant *grants = NULL;
	size_t n_grants = 0;
	struct netmap n;
	int err = 0;

	netmap_build_alone(m, d, &n);
	if (d->standing == STANDING_ACTIVE && m->force.engine)
		err = engine_grants(m->force.engine, d->row.id, a, &grants, &n_grants);
	if (!err && d->standing == STANDING_ACTIVE && m->canary.engine)
		err = mix_grants(m, d->row.id, a, &grants, &n_grants);
	if (!err)
		err = build_peers(m, d, grants, n_grants, a, &n);
	if (!err)
		err = build_grants(m, d, grants, n_grants, a, &n);
	if (!err)
		err = build_rules(m, grants, n_grants, a, &n);
	if (!err)
		err = build_conditions(m, d, grants, n_grants, a, &n);
	if (!err)
		*ret = n;
	return err;
}
