/* Netmap messages to and from bytes: head, table of sections, records. Decoding is a length check
 * and a copy: the table says how long the whole must be before anything is allocated. */
#include "zt/netmap.h"

#include <errno.h>
#include <string.h>

#include "common/proto/netmap_wire.h"

enum { NETMAP_VERSION = 1, HEAD_SIZE = 32 };

static int check_head(const struct netmap_head *h)
{
	if (h->kind != NETMAP_FULL && h->kind != NETMAP_DELTA)
		return -ZT_EFORM;
	if (h->lease_s < ZT_LEASE_MIN_S || h->lease_s > ZT_LEASE_MAX_S)
		return -ZT_EFORM;
	if (h->serial == 0 || h->device == 0 || h->issued_ms > NETMAP_TIME_MAX_S * 1000)
		return -ZT_EFORM;
	return 0;
}

static int check_section(const struct section *s, uint8_t kind, size_t n)
{
	if (n > s->max)
		return -ZT_ELIMIT;
	if (n > 0 && s->delta_only && kind == NETMAP_FULL)
		return -ZT_EFORM;
	return 0;
}

/* What must hold between head and self, and between self and what is put in the same message. */
static int check_self(const struct netmap_msg *m)
{
	if (!m->has_self)
		return m->head.kind == NETMAP_FULL ? -ZT_EFORM : 0;
	if (m->self.id != m->head.device)
		return -ZT_EFORM;
	for (size_t i = 0; i < m->n_peers_put; i++)
		if (!netmap_peer_fits(&m->self, &m->peers_put[i]))
			return -ZT_EFORM;
	for (size_t i = 0; i < m->n_endpoints_put; i++)
		if (!netmap_endpoint_fits(&m->self, &m->endpoints_put[i]))
			return -ZT_EFORM;
	return 0;
}

/* What the wire cannot say. */
static int check_grants(const struct netmap_grant *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (g[i].rule == 0 || g[i].rule > NETMAP_RULE_MAX)
			return -ZT_EFORM;
	return 0;
}

static int check_conditions(const struct netmap_condition *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!netmap_condition_is_valid(&c[i]))
			return -ZT_EFORM;
	return 0;
}

static int check_names(const struct netmap_msg *m)
{
	for (size_t i = 0; i < m->n_peers_put; i++)
		if (!m->peers_put[i].name[0])
			return -ZT_EFORM;
	for (size_t i = 0; i < m->n_rules_put; i++)
		if (!m->rules_put[i].name[0] || m->rules_put[i].id > NETMAP_RULE_MAX)
			return -ZT_EFORM;
	return 0;
}

static int check_sections(const struct netmap_msg *m, uint16_t *ret_count)
{
	uint16_t count = 0;
	int err;

	for (size_t i = 0; i < SECTION_COUNT; i++) {
		const struct section *s = &netmap_sections[i];
		struct items items = netmap_section_get(m, s->kind);

		err = check_section(s, m->head.kind, items.n);
		if (err)
			return err;
		if (!netmap_items_ascend(s, items))
			return -ZT_EFORM;
		if (items.n > 0)
			count++;
	}
	*ret_count = count;
	return 0;
}

static void put_head(struct buf *b, const struct netmap_head *h, uint16_t sections)
{
	buf_put_u8(b, NETMAP_VERSION);
	buf_put_u8(b, h->kind);
	buf_put_u16(b, sections);
	buf_put_u32(b, h->lease_s);
	buf_put_u64(b, h->issued_ms);
	buf_put_u64(b, h->serial);
	buf_put_u32(b, h->policy);
	buf_put_u32(b, h->device);
}

static void put_entry(struct buf *b, const struct section *s, size_t n)
{
	if (n == 0)
		return;
	buf_put_u16(b, (uint16_t)s->kind);
	buf_put_u16(b, s->wire_size);
	buf_put_u32(b, (uint32_t)n);
}

/* With the class of its lease in place of the lease. */
static void put_grants(struct buf *b, const struct section *s, struct items grants,
		       const struct netmap_leases *l)
{
	const struct netmap_grant *g = grants.p;

	for (size_t i = 0; i < grants.n && !b->err; i++) {
		struct netmap_grant one = g[i];

		one.lease_s = netmap_lease_class(l, one.lease_s);
		s->put(b, &one);
	}
}

static void put_records(struct buf *b, const struct section *s, const struct netmap_msg *m,
			const struct netmap_leases *l)
{
	struct items items = netmap_section_get(m, s->kind);
	const uint8_t *p = items.p;

	if (s->kind == SECTION_NAMES) {
		netmap_names_put(b, m);
		return;
	}
	if (s->kind == SECTION_LEASES) {
		for (size_t i = 0; i < l->n; i++)
			buf_put_u32(b, l->v[i]);
		return;
	}
	if (s->kind == SECTION_GRANTS_DEL || s->kind == SECTION_GRANTS_PUT) {
		put_grants(b, s, items, l);
		return;
	}
	if (!s->put) {
		buf_put(b, p, items.n);
		return;
	}
	for (size_t i = 0; i < items.n && !b->err; i++)
		s->put(b, p + i * s->item_size);
}

int netmap_encode(const struct netmap_msg *m, struct buf *out)
{
	size_t start = out->len;
	struct netmap_leases leases;
	uint16_t count;
	int err = check_head(&m->head);

	if (!err)
		err = check_sections(m, &count);
	if (!err)
		err = check_self(m);
	if (!err)
		err = check_names(m);
	if (!err)
		err = check_grants(m->grants_del, m->n_grants_del);
	if (!err)
		err = check_grants(m->grants_put, m->n_grants_put);
	if (!err)
		err = check_conditions(m->conditions_del, m->n_conditions_del);
	if (!err)
		err = check_conditions(m->conditions_put, m->n_conditions_put);
	if (!err && !netmap_leases_fit(m))
		err = -ZT_EFORM;
	if (err)
		return err;
	netmap_leases_of(m, &leases);
	put_head(out, &m->head, count);
	for (size_t i = 0; i < SECTION_COUNT; i++)
		put_entry(out, &netmap_sections[i],
			  netmap_section_get(m, netmap_sections[i].kind).n);
	for (size_t i = 0; i < SECTION_COUNT; i++)
		put_records(out, &netmap_sections[i], m, &leases);
	if (!out->err && out->len - start > ZT_NETMAP_MAX)
		out->err = -ZT_ELIMIT;
	return out->err;
}

struct entry {
	const struct section *section;
	uint32_t count;
};

static int get_head(struct cur *c, struct netmap_head *h, uint16_t *ret_sections)
{
	uint8_t version;

	if (cur_left(c) < HEAD_SIZE)
		return -ZT_EFORM;
	version = cur_u8(c);
	if (version > NETMAP_VERSION)
		return -ZT_EVERSION;
	if (version == 0)
		return -ZT_EFORM;
	h->kind = cur_u8(c);
	*ret_sections = cur_u16(c);
	h->lease_s = cur_u32(c);
	h->issued_ms = cur_u64(c);
	h->serial = cur_u64(c);
	h->policy = cur_u32(c);
	h->device = cur_u32(c);
	return check_head(h);
}

static int get_entry(struct cur *c, uint8_t kind, uint16_t above, struct entry *ret)
{
	uint16_t section = cur_u16(c), size = cur_u16(c);
	uint32_t count = cur_u32(c);

	if (section <= above || section > SECTION_COUNT)
		return -ZT_EFORM;
	ret->section = &netmap_sections[section - 1];
	ret->count = count;
	if (size != ret->section->wire_size || count == 0)
		return -ZT_EFORM;
	return check_section(ret->section, kind, count);
}

/* The table; what follows it must be exactly as long as it says. */
static int get_table(struct cur *c, uint8_t kind, size_t n, struct entry *entries)
{
	uint16_t above = 0;
	uint64_t total = 0;
	int err;

	if (n > SECTION_COUNT)
		return -ZT_EFORM;
	for (size_t i = 0; i < n; i++) {
		err = get_entry(c, kind, above, &entries[i]);
		if (err)
			return err;
		above = (uint16_t)entries[i].section->kind;
		total += (uint64_t)entries[i].count * entries[i].section->wire_size;
	}
	return c->err || cur_left(c) != total ? -ZT_EFORM : 0;
}

/* The names that the records before have announced, neither more nor less. */
static int get_names(struct cur *c, size_t n, struct netmap_msg *m)
{
	size_t before = cur_left(c);

	/* Of this message's own arena. */
	netmap_names_get(c, (struct netmap_peer *)(uintptr_t)m->peers_put, m->n_peers_put,
			 (struct netmap_rule *)(uintptr_t)m->rules_put, m->n_rules_put);
	return c->err || before - cur_left(c) != n ? -ZT_EFORM : 0;
}

static int get_records(struct cur *c, const struct entry *e, struct arena *a, struct netmap_msg *m)
{
	const struct section *s = e->section;
	uint8_t *p = arena_array(a, e->count, s->item_size);
	struct items items = {p, e->count};

	if (!p)
		return -ENOMEM;
	if (!s->get)
		cur_copy(c, p, e->count);
	for (size_t i = 0; s->get && i < e->count; i++)
		s->get(c, p + i * s->item_size);
	if (c->err || !netmap_items_ascend(s, items))
		return -ZT_EFORM;
	netmap_section_set(m, s->kind, items);
	return 0;
}

/* What a section of its own says of the records before it, and whether it was there. */
struct later {
	bool names, leases;
};

static int get_section(struct cur *c, const struct entry *e, struct arena *a, struct netmap_msg *m,
		       struct later *seen)
{
	if (e->section->kind == SECTION_NAMES) {
		seen->names = true;
		return get_names(c, e->count, m);
	}
	if (e->section->kind == SECTION_LEASES) {
		seen->leases = true;
		netmap_leases_get(c, e->count, m);
		return c->err;
	}
	return get_records(c, e, a, m);
}

/* Sections that are not there, though records ask for them. */
static int check_later(struct cur *c, const struct later *seen, struct netmap_msg *m)
{
	if (!seen->names && m->n_peers_put + m->n_rules_put > 0)
		return -ZT_EFORM;
	if (!seen->leases)
		netmap_leases_get(c, 0, m);
	return c->err;
}

int netmap_decode(const void *p, size_t n, struct arena *a, struct netmap_msg *ret)
{
	struct entry entries[SECTION_COUNT];
	struct netmap_msg m = {0};
	struct later seen = {false, false};
	uint16_t sections;
	struct cur c;
	int err;

	if (n > ZT_NETMAP_MAX)
		return -ZT_ELIMIT;
	cur_init(&c, p, n);
	err = get_head(&c, &m.head, &sections);
	if (!err)
		err = get_table(&c, m.head.kind, sections, entries);
	for (size_t i = 0; !err && i < sections; i++)
		err = get_section(&c, &entries[i], a, &m, &seen);
	if (!err)
		err = check_later(&c, &seen, &m);
	if (!err)
		err = cur_done(&c);
	if (!err)
		err = check_self(&m);
	if (!err)
		*ret = m;
	return err;
}

int netmap_psk_encode(const struct netmap_psk *psk, size_t n, struct buf *out)
{
	if (n > ZT_PEERS_MAX)
		return -ZT_ELIMIT;
	for (size_t i = 0; i < n; i++) {
		if (psk[i].peer == 0 || (i > 0 && psk[i].peer <= psk[i - 1].peer))
			return -ZT_EFORM;
		buf_put_u32(out, psk[i].peer);
		buf_put(out, psk[i].psk.b, sizeof(psk[i].psk.b));
	}
	return out->err;
}

int netmap_psk_decode(const void *p, size_t n, struct arena *a, const struct netmap_psk **ret,
		      size_t *ret_n)
{
	size_t count = n / NETMAP_PSK_SIZE;
	struct netmap_psk *psk;
	struct cur c;

	if (n % NETMAP_PSK_SIZE)
		return -ZT_EFORM;
	if (count > ZT_PEERS_MAX)
		return -ZT_ELIMIT;
	psk = arena_array(a, count, sizeof(*psk));
	if (!psk)
		return -ENOMEM;
	cur_init(&c, p, n);
	for (size_t i = 0; i < count; i++) {
		psk[i].peer = cur_u32(&c);
		cur_copy(&c, psk[i].psk.b, sizeof(psk[i].psk.b));
		if (psk[i].peer == 0 || (i > 0 && psk[i].peer <= psk[i - 1].peer))
			return -ZT_EFORM;
	}
	*ret = psk;
	*ret_n = count;
	return 0;
}
