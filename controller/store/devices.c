/* Devices after their enrolment: states, tags, keys, loading, and what is kept of them without a
 * record. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DEVICE_COLUMNS                                                                             \
	"id, name, owner, tags, identity, wg_key, address, state, created_s, released_s, token, "  \
	"cert_not_after_s,"                                                                        \
	" last_seen_s, serial, version, os"

/* --- reading --- */

static void device_read_who(struct query *q, struct device_row *ret)
{
	ret->id = (uint32_t)column_i64(q, 1, UINT32_MAX);
	column_text(q, ret->name, sizeof(ret->name));
	if (!q->err && !txt_is_hostname(ret->name))
		column_bad(q);
	column_text(q, ret->owner, sizeof(ret->owner));
	if (!q->err && *ret->owner && !txt_is_email(ret->owner))
		column_bad(q);
	column_tags(q, &ret->tags);
	if (!q->err && !*ret->owner && ret->tags.n == 0)
		column_bad(q);
}

static void device_read_keys(struct query *q, struct device_row *ret)
{
	column_key(q, &ret->identity);
	if (!q->err && key_is_zero(&ret->identity))
		column_bad(q);
	column_key(q, &ret->wg_key);
	if (!q->err && (key_is_zero(&ret->wg_key) || key_equal(&ret->wg_key, &ret->identity)))
		column_bad(q);
}

static void device_read_address(struct query *q, struct device_row *ret)
{
	uint32_t index = (uint32_t)column_i64(q, ADDRESS_FIRST, UINT32_MAX);

	if (!q->err && address_of(&q->s->network, index, &ret->addr4, &ret->addr6) != 0)
		column_bad(q);
}

static void device_read_state(struct query *q, struct device_row *ret, struct device_more *ret_more)
{
	ret->state = (enum device_state)column_i64(q, DEVICE_PENDING, DEVICE_EXPIRED);
	ret->created_s = column_i64(q, 0, INT64_MAX);
	if (column_is_null(q) && ret->state != DEVICE_REVOKED)
		column_skip(q);
	else
		ret_more->released_s = column_i64(q, 0, INT64_MAX);
	if (!q->err && (ret->state == DEVICE_REVOKED) != (ret_more->released_s != 0))
		column_bad(q);
}

static void device_read(struct query *q, struct device_row *ret, struct device_more *ret_more)
{
	memset(ret, 0, sizeof(*ret));
	memset(ret_more, 0, sizeof(*ret_more));
	q->table = "device";
	device_read_who(q, ret);
	device_read_keys(q, ret);
	device_read_address(q, ret);
	device_read_state(q, ret, ret_more);
	ret->token_id = (uint64_t)column_i64(q, 1, INT64_MAX);
	ret->cert_not_after_s = column_i64(q, 0, INT64_MAX);
	ret->last_seen_s = column_i64(q, 0, INT64_MAX);
	ret->serial = (uint64_t)column_i64(q, 0, INT64_MAX);
	column_text(q, ret_more->version, sizeof(ret_more->version));
	column_text(q, ret_more->os, sizeof(ret_more->os));
}

int device_get(struct store *s, uint32_t id, struct device_row *ret, struct device_more *ret_more)
{
	struct query q;
	int step;

	query_begin(&q, s, "SELECT " DEVICE_COLUMNS " FROM device WHERE id = ?");
	query_i64(&q, id);
	step = query_step(&q);
	if (step == 1)
		device_read(&q, ret, ret_more);
	else if (step == 0)
		q.err = store_refuse(s, -ZT_EABSENT, "there is no device %" PRIu32, id);
	return query_end(&q);
}

/* --- changes --- */

int device_fill(struct store *s, uint32_t id, struct change *c, struct effect *e)
{
	struct device_more more;
	int err = device_get(s, id, &c->device, &more);

	snprintf(e->object, sizeof(e->object), "device:%" PRIu32, id);
	if (!err)
		e->after = json_of_device(&c->device, &more);
	return err;
}

/* The row before a change; c->device stays as it is. */
static int device_before(struct store *s, const struct change *c, struct effect *e,
			 struct device_row *ret)
{
	struct device_more more;
	int err = device_get(s, c->device.id, ret, &more);

	snprintf(e->object, sizeof(e->object), "device:%" PRIu32, c->device.id);
	if (!err)
		e->before = json_of_device(ret, &more);
	return err;
}

/* From the first index to the second. Revoked is the end: no way leads out of it. */
static const bool transitions[4][4] = {
	[DEVICE_PENDING] = {[DEVICE_ACTIVE] = true, [DEVICE_REVOKED] = true},
	[DEVICE_ACTIVE] = {[DEVICE_REVOKED] = true, [DEVICE_EXPIRED] = true},
	[DEVICE_EXPIRED] = {[DEVICE_REVOKED] = true, [DEVICE_ACTIVE] = true},
};

int device_set_state(struct store *s, struct change *c, struct effect *e)
{
	enum device_state to = c->device.state;
	struct device_row d;
	struct query q;
	int err;

	if ((unsigned)to > DEVICE_EXPIRED)
		return store_refuse(s, -EINVAL, "there is no state %d", (int)to);
	err = device_before(s, c, e, &d);
	if (err)
		return err;
	if (!transitions[d.state][to])
		return store_refuse(s, -ZT_ESTATE,
				    "device %" PRIu32 " (%s) is %s and cannot become %s", d.id,
				    d.name, device_state_name(d.state), device_state_name(to));
	query_begin(&q, s,
		    to == DEVICE_REVOKED
			    ? "UPDATE device SET state = ?, released_s = ? WHERE id = ?"
			    : "UPDATE device SET state = ? WHERE id = ?");
	query_i64(&q, to);
	if (to == DEVICE_REVOKED)
		query_i64(&q, c->at_ms / 1000);
	query_i64(&q, d.id);
	err = query_run(&q);
	return err ? err : device_fill(s, d.id, c, e);
}

static int device_set_tags_check(struct store *s, const struct device_row *d,
				 const struct tags *tags)
{
	if (d->state == DEVICE_REVOKED)
		return store_refuse(s, -ZT_ESTATE, "device %" PRIu32 " (%s) is revoked", d->id,
				    d->name);
	if (!tags_are_valid(tags))
		return store_refuse(s, -EINVAL, "the tags are not names in order");
	if (!*d->owner && tags->n == 0)
		return store_refuse(s, -ZT_ESTATE,
				    "device %" PRIu32 " (%s) has no owner: it needs a tag", d->id,
				    d->name);
	return 0;
}

int device_set_tags(struct store *s, struct change *c, struct effect *e)
{
	char tags[STORE_NAMES_TEXT_MAX];
	struct device_row d;
	struct query q;
	int err = device_before(s, c, e, &d);

	if (!err)
		err = device_set_tags_check(s, &d, &c->device.tags);
	if (err)
		return err;
	names_print(c->device.tags.name, c->device.tags.n, tags);
	query_begin(&q, s, "UPDATE device SET tags = ? WHERE id = ?");
	query_text(&q, tags);
	query_i64(&q, d.id);
	err = query_run(&q);
	return err ? err : device_fill(s, d.id, c, e);
}

/* The key that it has is taken again without more, since an answer may have been lost; any older
 * one is spent. */
static int device_set_key_check(struct store *s, const struct device_row *d, const struct key *key)
{
	if (d->state != DEVICE_ACTIVE && d->state != DEVICE_PENDING)
		return store_refuse(s, -ZT_ESTATE, "device %" PRIu32 " (%s) is %s", d->id, d->name,
				    device_state_name(d->state));
	if (key_is_zero(key))
		return store_refuse(s, -EINVAL, "the WireGuard key is empty");
	return key_equal(key, &d->wg_key) ? 0 : device_key_free(s, key, "WireGuard");
}

int device_set_key(struct store *s, struct change *c, struct effect *e)
{
	const struct key *key = &c->device.wg_key;
	struct device_row d;
	struct query q;
	int err = device_before(s, c, e, &d);

	if (!err)
		err = device_set_key_check(s, &d, key);
	if (!err && !key_equal(key, &d.wg_key))
		err = device_key_keep(s, key, d.id);
	if (err)
		return err;
	query_begin(&q, s, "UPDATE device SET wg_key = ? WHERE id = ?");
	query_key(&q, key);
	query_i64(&q, d.id);
	err = query_run(&q);
	return err ? err : device_fill(s, d.id, c, e);
}

/* --- loading --- */

int store_each_device(struct store *s,
		      int (*fn)(void *arg, const struct device_row *d, const void *report,
				size_t report_len, int64_t report_ms, const char *version,
				const char *os),
		      void *arg)
{
	struct device_more more;
	struct device_row d;
	struct query q;

	query_begin(&q, s,
		    "SELECT " DEVICE_COLUMNS ", at_ms, report FROM device"
		    " LEFT JOIN device_report ON device_report.device = device.id ORDER BY id");
	while (query_step(&q) > 0) {
		const void *report = NULL;
		size_t n = 0;
		int64_t at_ms = 0;

		device_read(&q, &d, &more);
		if (!column_is_null(&q)) {
			at_ms = column_i64(&q, 0, INT64_MAX);
			report = column_blob(&q, ZT_REPORT_MAX, &n);
		}
		if (!q.err)
			q.err = fn(arg, &d, report, n, at_ms, more.version, more.os);
	}
	return query_end(&q);
}

int device_row_json(struct store *s, const char *id, json_t **ret)
{
	struct device_more more;
	struct device_row d;
	uint64_t n = 0;
	int err = num_parse_u64(id, 1, UINT32_MAX, &n) ? -ZT_EABSENT
						       : device_get(s, (uint32_t)n, &d, &more);

	if (!err)
		*ret = json_of_device(&d, &more);
	return err;
}

/* --- touch --- */

static int touch_check(struct store *s, const struct store_touch *t)
{
	if (t->report_len > ZT_REPORT_MAX)
		return store_refuse(s, -ZT_ELIMIT, "a report of device %" PRIu32 " is too long",
				    t->device);
	if (t->serial > INT64_MAX || t->last_seen_s < 0 || t->cert_not_after_s < 0 ||
	    (t->report && t->report_ms < 0))
		return store_refuse(s, -EINVAL, "a number for device %" PRIu32 " is out of range",
				    t->device);
	return 0;
}

/* 0 and "" leave a column; a serial never goes back; only an active device's certificate gets
 * longer or shorter, so that a renewal that was on its way cannot outlive a revocation. */
static int touch_row(struct store *s, const struct store_touch *t)
{
	struct query q;
	int err;

	query_begin(
		&q, s,
		"UPDATE device SET last_seen_s = iif(?1 > 0, ?1, last_seen_s),"
		" cert_not_after_s = iif(?2 > 0 AND state = 1, ?2, cert_not_after_s), serial = "
		"max(serial, ?3),"
		" version = iif(?4 <> '', ?4, version), os = iif(?5 <> '', ?5, os) WHERE id = ?6");
	query_i64(&q, t->last_seen_s);
	query_i64(&q, t->cert_not_after_s);
	query_i64(&q, (int64_t)t->serial);
	query_text(&q, t->version);
	query_text(&q, t->os);
	query_i64(&q, t->device);
	err = query_run(&q);
	if (!err && sqlite3_changes(s->db) != 1)
		return store_refuse(s, -ZT_EABSENT, "there is no device %" PRIu32, t->device);
	return err;
}

static int touch_report(struct store *s, const struct store_touch *t)
{
	struct query q;

	query_begin(&q, s,
		    "INSERT INTO device_report (device, at_ms, report) VALUES (?, ?, ?)"
		    " ON CONFLICT (device) DO UPDATE SET at_ms = excluded.at_ms, report = "
		    "excluded.report");
	query_i64(&q, t->device);
	query_i64(&q, t->report_ms);
	query_blob(&q, t->report, t->report_len);
	return query_run(&q);
}

static int touch_one(struct store *s, const struct store_touch *t)
{
	int err = touch_check(s, t);

	if (!err)
		err = touch_row(s, t);
	if (!err && t->report)
		err = touch_report(s, t);
	return err;
}

int store_touch(struct store *s, const struct store_touch *t, size_t n, struct diag *d)
{
	int err = db_begin(s);

	for (size_t i = 0; !err && i < n; i++)
		err = touch_one(s, &t[i]);
	if (err)
		db_rollback(s);
	else
		err = db_commit(s);
	return store_result(s, err, d);
}
