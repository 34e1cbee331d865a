/* The netmap's records byte by byte (docs/protocol.md, "Netmap message"), and the table of sections
 * that coding walks. Whatever is wrong with a value on its own is refused here. */
#include "common/proto/netmap_wire.h"

#include <string.h>

#include "zt/txt.h"

enum { HAS_V4 = 1, HAS_V6 = 2 };
/* An overlay wider than this cannot be meant, and would take the device's other routes. */
/* RFC 791 and RFC 8200: what every link carries. */
enum { MTU_MIN4 = 576, MTU_MIN6 = 1280 };

static uint8_t families(const struct addr *a4, const struct addr *a6)
{
	return (uint8_t)((a4->family == ADDR_V4 ? HAS_V4 : 0) |
			 (a6->family == ADDR_V6 ? HAS_V6 : 0));
}

static uint8_t get_families(struct cur *c)
{
	uint8_t has = cur_u8(c);

	if (has == 0 || has > (HAS_V4 | HAS_V6))
		cur_fail(c);
	return has;
}

static void put_addrs(struct buf *b, const struct addr *a4, const struct addr *a6)
{
	buf_put(b, a4->b, 4);
	buf_put(b, a6->b, 16);
}

/* What is not there is zero on the wire and in memory. */
static void get_addr(struct cur *c, uint8_t family, size_t n, struct addr *ret)
{
	static const uint8_t zero[16];

	*ret = (struct addr){.family = family};
	cur_copy(c, ret->b, n);
	if (family == ADDR_NONE && memcmp(ret->b, zero, sizeof(zero)) != 0)
		cur_fail(c);
}

static void get_addrs(struct cur *c, uint8_t has, struct addr *ret4, struct addr *ret6)
{
	get_addr(c, has & HAS_V4 ? ADDR_V4 : ADDR_NONE, 4, ret4);
	get_addr(c, has & HAS_V6 ? ADDR_V6 : ADDR_NONE, 16, ret6);
}

static void get_hostname(struct cur *c, char *ret)
{
	cur_fixed_text(c, ret, ZT_NAME_MAX);
	if (!txt_is_hostname(ret))
		cur_fail(c);
}

static void get_wg_key(struct cur *c, struct key *ret)
{
	cur_copy(c, ret->b, sizeof(ret->b));
	if (key_is_zero(ret))
		cur_fail(c);
}

static uint32_t get_id(struct cur *c)
{
	uint32_t id = cur_u32(c);

	if (id == 0)
		cur_fail(c);
	return id;
}

/* --- SELF: u32 id | u16 mtu | u8 families | u8 net4 bits | wg_key[32] | addr4[4] | addr6[16] |
 *           net4[4] | net6[16] | u8 net6 bits | name[63] --- */

static void put_self(struct buf *b, const void *item)
{
	const struct netmap_self *s = item;

	buf_put_u32(b, s->id);
	buf_put_u16(b, s->mtu);
	buf_put_u8(b, families(&s->addr4, &s->addr6));
	buf_put_u8(b, s->net4.bits);
	buf_put(b, s->wg_key.b, sizeof(s->wg_key.b));
	put_addrs(b, &s->addr4, &s->addr6);
	put_addrs(b, &s->net4.addr, &s->net6.addr);
	buf_put_u8(b, s->net6.bits);
	buf_put_fixed_text(b, s->name, ZT_NAME_MAX);
}

static bool addr_is_host(const struct addr *a)
{
	struct endpoint e = {.addr = *a, .port = 1};

	return endpoint_is_usable(&e);
}

static bool net_is_valid(const struct prefix *net, const struct addr *own)
{
	if (net->addr.family == ADDR_NONE)
		return net->bits == 0;
	return prefix_is_overlay(net) && prefix_contains(net, own) && addr_is_host(own);
}

static void get_self(struct cur *c, void *item)
{
	struct netmap_self *s = item;
	uint8_t has;

	s->id = get_id(c);
	s->mtu = cur_u16(c);
	has = get_families(c);
	s->net4.bits = cur_u8(c);
	get_wg_key(c, &s->wg_key);
	get_addrs(c, has, &s->addr4, &s->addr6);
	get_addrs(c, has, &s->net4.addr, &s->net6.addr);
	s->net6.bits = cur_u8(c);
	get_hostname(c, s->name);
	if (!net_is_valid(&s->net4, &s->addr4) || !net_is_valid(&s->net6, &s->addr6) ||
	    s->mtu < (has & HAS_V6 ? MTU_MIN6 : MTU_MIN4))
		cur_fail(c);
}

/* --- PEERS_PUT: u32 id | u32 psk_epoch | wg_key[32] | addr4[4] | addr6[16] | u8 families |
 *                u8 length of its name | u16 zero --- */

static void put_peer(struct buf *b, const void *item)
{
	const struct netmap_peer *p = item;

	buf_put_u32(b, p->id);
	buf_put_u32(b, p->psk_epoch);
	buf_put(b, p->wg_key.b, sizeof(p->wg_key.b));
	put_addrs(b, &p->addr4, &p->addr6);
	buf_put_u8(b, families(&p->addr4, &p->addr6));
	buf_put_u8(b, (uint8_t)strlen(p->name));
	buf_put_u16(b, 0);
}

static void get_name_len(struct cur *c, char *name)
{
	uint8_t n = cur_u8(c);

	if (n == 0 || n > ZT_NAME_MAX)
		cur_fail(c);
	name[0] = (char)n;
}

static void get_peer(struct cur *c, void *item)
{
	static const uint8_t zero[16];
	struct netmap_peer *p = item;
	uint8_t has;

	p->id = get_id(c);
	p->psk_epoch = cur_u32(c);
	get_wg_key(c, &p->wg_key);
	cur_copy(c, p->addr4.b, 4);
	cur_copy(c, p->addr6.b, 16);
	has = get_families(c);
	p->addr4.family = has & HAS_V4 ? ADDR_V4 : ADDR_NONE;
	p->addr6.family = has & HAS_V6 ? ADDR_V6 : ADDR_NONE;
	get_name_len(c, p->name);
	if (cur_u16(c) != 0 || (!(has & HAS_V4) && memcmp(p->addr4.b, zero, 4) != 0) ||
	    (!(has & HAS_V6) && memcmp(p->addr6.b, zero, 16) != 0) ||
	    (has & HAS_V4 && !addr_is_host(&p->addr4)) ||
	    (has & HAS_V6 && !addr_is_host(&p->addr6)))
		cur_fail(c);
}

/* --- ENDPOINTS_*: u32 peer | u8 rank | u8 family | u16 port | addr[16] --- */

static void put_endpoint(struct buf *b, const void *item)
{
	const struct netmap_endpoint *e = item;

	buf_put_u32(b, e->peer);
	buf_put_u8(b, e->rank);
	buf_put_u8(b, e->ep.addr.family);
	buf_put_u16(b, e->ep.port);
	buf_put(b, e->ep.addr.b, sizeof(e->ep.addr.b));
}

static void get_endpoint(struct cur *c, void *item)
{
	static const uint8_t zero[12];
	struct netmap_endpoint *e = item;

	e->peer = get_id(c);
	e->rank = cur_u8(c);
	e->ep.addr.family = cur_u8(c);
	e->ep.port = cur_u16(c);
	cur_copy(c, e->ep.addr.b, sizeof(e->ep.addr.b));
	if (e->ep.addr.family == ADDR_V4 && memcmp(e->ep.addr.b + 4, zero, sizeof(zero)) != 0)
		cur_fail(c);
	if (!endpoint_is_usable(&e->ep))
		cur_fail(c);
}

/* --- GRANTS_*: u32 peer | u16 rule | u8 dir + 2 * class of its lease | u8 proto | u16 lo | u16 hi
 * | u32 expires_s. lease_s is the class here (netmap_lease.c). --- */

static void put_grant(struct buf *b, const void *item)
{
	const struct netmap_grant *g = item;

	buf_put_u32(b, g->peer);
	buf_put_u16(b, (uint16_t)g->rule);
	buf_put_u8(b, (uint8_t)(g->dir | g->lease_s << 1));
	buf_put_u8(b, g->svc.proto);
	buf_put_u16(b, g->svc.lo);
	buf_put_u16(b, g->svc.hi);
	buf_put_u32(b, g->expires_s);
}

static bool service_is_valid(const struct service *s)
{
	switch ((enum service_proto)s->proto) {
	case SERVICE_ANY:
	case SERVICE_ICMP:
		return s->lo == 0 && s->hi == 0;
	case SERVICE_TCP:
	case SERVICE_UDP:
		return s->lo >= 1 && s->lo <= s->hi;
	}
	return false;
}

static void get_grant(struct cur *c, void *item)
{
	struct netmap_grant *g = item;
	uint8_t dir;

	g->peer = get_id(c);
	g->rule = cur_u16(c);
	dir = cur_u8(c);
	g->dir = dir & 1;
	g->lease_s = dir >> 1;
	g->svc.proto = cur_u8(c);
	g->svc.lo = cur_u16(c);
	g->svc.hi = cur_u16(c);
	g->expires_s = cur_u32(c);
	if (g->rule == 0 || !service_is_valid(&g->svc))
		cur_fail(c);
}

/* --- RULES_PUT: u32 id | u8 length of its name | u8[3] zero --- */

static void put_rule(struct buf *b, const void *item)
{
	const struct netmap_rule *r = item;

	buf_put_u32(b, r->id);
	buf_put_u8(b, (uint8_t)strlen(r->name));
	buf_put_u8(b, 0);
	buf_put_u16(b, 0);
}

static void get_rule(struct cur *c, void *item)
{
	struct netmap_rule *r = item;

	r->id = get_id(c);
	get_name_len(c, r->name);
	if (cur_u8(c) != 0 || cur_u16(c) != 0 || r->id > NETMAP_RULE_MAX)
		cur_fail(c);
}

/* --- NAMES: those of PEERS_PUT, then those of RULES_PUT --- */

size_t netmap_names_len(const struct netmap_msg *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_peers_put; i++)
		n += strlen(m->peers_put[i].name);
	for (size_t i = 0; i < m->n_rules_put; i++)
		n += strlen(m->rules_put[i].name);
	return n;
}

void netmap_names_put(struct buf *b, const struct netmap_msg *m)
{
	for (size_t i = 0; i < m->n_peers_put; i++)
		buf_put(b, m->peers_put[i].name, strlen(m->peers_put[i].name));
	for (size_t i = 0; i < m->n_rules_put; i++)
		buf_put(b, m->rules_put[i].name, strlen(m->rules_put[i].name));
}

static void get_name(struct cur *c, char *name, bool (*is_good)(const char *))
{
	size_t n = (size_t)name[0];

	memset(name, 0, ZT_NAME_MAX + 1);
	cur_copy(c, name, n);
	if (strlen(name) != n || !is_good(name))
		cur_fail(c);
}

void netmap_names_get(struct cur *c, struct netmap_peer *peers, size_t n_peers,
		      struct netmap_rule *rules, size_t n_rules)
{
	for (size_t i = 0; i < n_peers && !c->err; i++)
		get_name(c, peers[i].name, txt_is_hostname);
	for (size_t i = 0; i < n_rules && !c->err; i++)
		get_name(c, rules[i].name, txt_is_name);
}

/* --- PEERS_DEL: u32 id --- */

static void put_id(struct buf *b, const void *item)
{
	const uint32_t *id = item;

	buf_put_u32(b, *id);
}

static void get_id_item(struct cur *c, void *item)
{
	uint32_t *id = item;

	*id = get_id(c);
}

enum { ENDPOINTS_MAX = ZT_PEERS_MAX * ZT_ENDPOINTS_PEER_MAX };

const struct section netmap_sections[SECTION_COUNT] = {
	{SECTION_SELF, false, 144, sizeof(struct netmap_self), 1, put_self, get_self, NULL},
	{SECTION_PEERS_DEL, true, 4, sizeof(uint32_t), ZT_PEERS_MAX, put_id, get_id_item,
	 netmap_id_compare},
	{SECTION_PEERS_PUT, false, 64, sizeof(struct netmap_peer), ZT_PEERS_MAX, put_peer, get_peer,
	 netmap_peer_compare},
	{SECTION_ENDPOINTS_DEL, true, 24, sizeof(struct netmap_endpoint), ENDPOINTS_MAX,
	 put_endpoint, get_endpoint, netmap_endpoint_compare_rank},
	{SECTION_ENDPOINTS_PUT, false, 24, sizeof(struct netmap_endpoint), ENDPOINTS_MAX,
	 put_endpoint, get_endpoint, netmap_endpoint_compare_rank},
	{SECTION_GRANTS_DEL, true, 16, sizeof(struct netmap_grant), ZT_GRANTS_MAX, put_grant,
	 get_grant, netmap_grant_compare},
	{SECTION_GRANTS_PUT, false, 16, sizeof(struct netmap_grant), ZT_GRANTS_MAX, put_grant,
	 get_grant, netmap_grant_compare},
	{SECTION_RULES_PUT, false, 8, sizeof(struct netmap_rule), ZT_RULES_MAX, put_rule, get_rule,
	 netmap_rule_compare},
	{SECTION_NAMES, false, 1, 1, NAMES_MAX, NULL, NULL, NULL},
	{SECTION_SEALED, false, 1, 1, SEALED_MAX, NULL, NULL, NULL},
	{SECTION_CONDITIONS_DEL, true, 5 + ZT_CONDITION_NAME_MAX, sizeof(struct netmap_condition),
	 ZT_CONDITIONS_MAX, netmap_condition_put, netmap_condition_get, netmap_condition_compare},
	{SECTION_CONDITIONS_PUT, false, 5 + ZT_CONDITION_NAME_MAX, sizeof(struct netmap_condition),
	 ZT_CONDITIONS_MAX, netmap_condition_put, netmap_condition_get, netmap_condition_compare},
	{SECTION_LEASES, false, 4, sizeof(uint32_t), LEASES_MAX, NULL, NULL, NULL},
};

struct items netmap_section_get(const struct netmap_msg *m, enum section_kind kind)
{
	struct netmap_leases leases;

	switch (kind) {
	case SECTION_SELF:
		return (struct items){&m->self, m->has_self ? 1 : 0};
	case SECTION_PEERS_DEL:
		return (struct items){m->peers_del, m->n_peers_del};
	case SECTION_PEERS_PUT:
		return (struct items){m->peers_put, m->n_peers_put};
	case SECTION_ENDPOINTS_DEL:
		return (struct items){m->endpoints_del, m->n_endpoints_del};
	case SECTION_ENDPOINTS_PUT:
		return (struct items){m->endpoints_put, m->n_endpoints_put};
	case SECTION_GRANTS_DEL:
		return (struct items){m->grants_del, m->n_grants_del};
	case SECTION_GRANTS_PUT:
		return (struct items){m->grants_put, m->n_grants_put};
	case SECTION_RULES_PUT:
		return (struct items){m->rules_put, m->n_rules_put};
	case SECTION_NAMES: /* stand in the records */
		return (struct items){NULL, netmap_names_len(m)};
	case SECTION_SEALED:
		return (struct items){m->sealed, m->n_sealed};
	case SECTION_CONDITIONS_DEL:
		return (struct items){m->conditions_del, m->n_conditions_del};
	case SECTION_CONDITIONS_PUT:
		return (struct items){m->conditions_put, m->n_conditions_put};
	case SECTION_LEASES: /* stand in the grants */
		netmap_leases_of(m, &leases);
		return (struct items){NULL, leases.n};
	}
	return (struct items){NULL, 0};
}

void netmap_section_set(struct netmap_msg *m, enum section_kind kind, struct items items)
{
	switch (kind) {
	case SECTION_SELF:
		m->self = *(const struct netmap_self *)items.p;
		m->has_self = true;
		break;
	case SECTION_PEERS_DEL:
		m->peers_del = items.p;
		m->n_peers_del = items.n;
		break;
	case SECTION_PEERS_PUT:
		m->peers_put = items.p;
		m->n_peers_put = items.n;
		break;
	case SECTION_ENDPOINTS_DEL:
		m->endpoints_del = items.p;
		m->n_endpoints_del = items.n;
		break;
	case SECTION_ENDPOINTS_PUT:
		m->endpoints_put = items.p;
		m->n_endpoints_put = items.n;
		break;
	case SECTION_GRANTS_DEL:
		m->grants_del = items.p;
		m->n_grants_del = items.n;
		break;
	case SECTION_GRANTS_PUT:
		m->grants_put = items.p;
		m->n_grants_put = items.n;
		break;
	case SECTION_RULES_PUT:
		m->rules_put = items.p;
		m->n_rules_put = items.n;
		break;
	case SECTION_NAMES:
	case SECTION_LEASES:
		break;
	case SECTION_SEALED:
		m->sealed = items.p;
		m->n_sealed = items.n;
		break;
	case SECTION_CONDITIONS_DEL:
		m->conditions_del = items.p;
		m->n_conditions_del = items.n;
		break;
	case SECTION_CONDITIONS_PUT:
		m->conditions_put = items.p;
		m->n_conditions_put = items.n;
		break;
	}
}

bool netmap_items_ascend(const struct section *s, struct items items)
{
	const uint8_t *p = items.p;

	if (!s->compare)
		return true;
	for (size_t i = 1; i < items.n; i++)
		if (s->compare(p + (i - 1) * s->item_size, p + i * s->item_size) >= 0)
			return false;
	return true;
}
