/* Reports: layout in report.h. What encode refuses is what decode refuses, so a device finds its
 * own mistake before the controller does. */
#include "zt/report.h"

#include <errno.h>
#include <string.h>

#include "zt/cur.h"
#include "zt/txt.h"

enum { REPORT_VERSION = 1, FLAG_FULL = 1, FACT_HEAD = 8 };

static const char magic[4] = {'z', 't', 'R', '1'};

static bool fact_is_valid(const struct fact *f)
{
	return txt_is_line(f->name, ZT_FACT_NAME_MAX) && f->state <= FACT_KNOWN &&
	       (f->value[0] == '\0' || txt_is_line(f->value, ZT_FACT_VALUE_MAX));
}

static int check(const struct report *r)
{
	if (r->n_endpoints > ZT_ENDPOINTS_PEER_MAX || r->n_facts > ZT_FACTS_MAX)
		return -ZT_ELIMIT;
	for (size_t i = 0; i < r->n_endpoints; i++)
		if (!endpoint_is_usable(&r->endpoints[i]))
			return -ZT_EFORM;
	for (size_t i = 0; i < r->n_facts; i++) {
		if (!fact_is_valid(&r->facts[i]))
			return -ZT_EFORM;
		if (i > 0 && strcmp(r->facts[i - 1].name, r->facts[i].name) >= 0)
			return -ZT_EFORM;
	}
	return 0;
}

static void put_endpoint(struct buf *out, const struct endpoint *e)
{
	buf_put_u8(out, e->addr.family);
	buf_put_u8(out, 0);
	buf_put_u16(out, e->port);
	buf_put(out, e->addr.b, sizeof(e->addr.b));
}

static void put_fact(struct buf *out, const struct fact *f)
{
	buf_put_u8(out, (uint8_t)strlen(f->name));
	buf_put_u8(out, f->state);
	buf_put_u16(out, (uint16_t)strlen(f->value));
	buf_put_u32(out, f->age_s);
	buf_put_text(out, f->name);
	buf_put_text(out, f->value);
}

int report_encode(const struct report *r, struct buf *out)
{
	size_t start = out->len;
	int err = check(r);

	if (err)
		return err;
	buf_put(out, magic, sizeof(magic));
	buf_put_u8(out, REPORT_VERSION);
	buf_put_u8(out, r->full ? FLAG_FULL : 0);
	buf_put_u16(out, r->wg_port);
	buf_put_u64(out, r->serial);
	buf_put_u8(out, (uint8_t)r->n_endpoints);
	buf_put_u8(out, 0);
	buf_put_u16(out, (uint16_t)r->n_facts);
	for (size_t i = 0; i < r->n_endpoints; i++)
		put_endpoint(out, &r->endpoints[i]);
	for (size_t i = 0; i < r->n_facts; i++)
		put_fact(out, &r->facts[i]);
	if (!out->err && out->len - start > ZT_REPORT_MAX)
		out->err = -ZT_ELIMIT;
	return out->err;
}

static void get_endpoint(struct cur *c, struct endpoint *ret)
{
	static const uint8_t zero[12];

	ret->addr.family = cur_u8(c);
	if (cur_u8(c) != 0)
		cur_fail(c);
	ret->port = cur_u16(c);
	cur_copy(c, ret->addr.b, sizeof(ret->addr.b));
	if (ret->addr.family == ADDR_V4 && memcmp(ret->addr.b + 4, zero, sizeof(zero)) != 0)
		cur_fail(c);
}

static void get_text(struct cur *c, char *dst, size_t n, size_t max)
{
	if (n > max) {
		cur_fail(c);
		return;
	}
	cur_fixed_text(c, dst, n);
	/* A NUL inside would make the text shorter than its length says. */
	if (strlen(dst) != n)
		cur_fail(c);
}

static void get_fact(struct cur *c, struct fact *ret)
{
	size_t n_name = cur_u8(c), n_value;

	ret->state = cur_u8(c);
	n_value = cur_u16(c);
	ret->age_s = cur_u32(c);
	get_text(c, ret->name, n_name, ZT_FACT_NAME_MAX);
	get_text(c, ret->value, n_value, ZT_FACT_VALUE_MAX);
}

static int get_head(struct cur *c, struct report *r)
{
	const uint8_t *m = cur_take(c, sizeof(magic));
	uint8_t version = cur_u8(c), flags = cur_u8(c);

	if (c->err || memcmp(m, magic, sizeof(magic)) != 0 || version == 0)
		return -ZT_EFORM;
	if (version > REPORT_VERSION)
		return -ZT_EVERSION;
	r->full = flags == FLAG_FULL;
	r->wg_port = cur_u16(c);
	r->serial = cur_u64(c);
	r->n_endpoints = cur_u8(c);
	if (flags > FLAG_FULL || cur_u8(c) != 0)
		return -ZT_EFORM;
	r->n_facts = cur_u16(c);
	if (r->n_endpoints > ZT_ENDPOINTS_PEER_MAX || r->n_facts > ZT_FACTS_MAX)
		return -ZT_ELIMIT;
	return c->err;
}

int report_decode(const void *p, size_t n, struct arena *a, struct report *ret)
{
	struct report r = {0};
	struct cur c;
	int err;

	if (n > ZT_REPORT_MAX)
		return -ZT_ELIMIT;
	cur_init(&c, p, n);
	err = get_head(&c, &r);
	if (err)
		return err;
	for (size_t i = 0; i < r.n_endpoints; i++)
		get_endpoint(&c, &r.endpoints[i]);
	/* A short message shall not cost a long array. */
	if (cur_left(&c) < r.n_facts * FACT_HEAD)
		return -ZT_EFORM;
	r.facts = arena_array(a, r.n_facts, sizeof(*r.facts));
	if (!r.facts)
		return -ENOMEM;
	for (size_t i = 0; i < r.n_facts; i++)
		get_fact(&c, &r.facts[i]);
	if (cur_done(&c))
		return -ZT_EFORM;
	err = check(&r);
	if (!err)
		*ret = r;
	return err;
}
