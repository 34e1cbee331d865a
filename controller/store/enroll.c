/* Enrolment: a token is spent and a device is there, with a name, an address and keys that nobody
 * else has. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* --- keys --- */

int device_key_free(struct store *s, const struct key *key, const char *what)
{
	struct query q;
	int64_t holder = 0;
	int err;

	query_begin(&q, s, "SELECT device FROM device_key WHERE key = ?");
	q.table = "device_key";
	query_key(&q, key);
	if (query_step(&q) > 0)
		holder = column_i64(&q, 1, UINT32_MAX);
	err = query_end(&q);
	if (!err && holder)
		return store_refuse(s, -ZT_EEXISTS, "the %s key is or was a key of device %" PRId64,
				    what, holder);
	return err;
}

int device_key_keep(struct store *s, const struct key *key, uint32_t device)
{
	struct query q;

	query_begin(&q, s, "INSERT INTO device_key (key, device) VALUES (?, ?)");
	query_key(&q, key);
	query_i64(&q, device);
	return query_run(&q);
}

/* --- names --- */

static int name_taken(struct store *s, const char *name, bool *ret)
{
	struct query q;
	bool taken;
	int err;

	query_begin(&q, s, "SELECT 1 FROM device WHERE name = ? AND state <> 2");
	query_text(&q, name);
	taken = query_step(&q) > 0;
	err = query_end(&q);
	if (!err)
		*ret = taken;
	return err;
}

/* base-n, base shortened where it would grow too long. */
static void name_number(const char *base, uint32_t n, char out[static ZT_NAME_MAX + 1])
{
	char end[16];
	int len = snprintf(end, sizeof(end), "-%" PRIu32, n);
	int room = ZT_NAME_MAX - len, keep = (int)strnlen(base, (size_t)room);

	while (keep > 1 && base[keep - 1] == '-') /* or "a-" would give "a--2" */
		keep--;
	snprintf(out, ZT_NAME_MAX + 1, "%.*s%s", keep, base, end);
}

static int number_taken(struct store *s, const char *base, uint32_t n, bool *ret)
{
	char name[ZT_NAME_MAX + 1];

	name_number(base, n, name);
	return name_taken(s, name, ret);
}

/* A free number from 2 on: the next one when the taken ones have no gap. Doubling, then halving:
 * with 100,000 devices called "localhost" it asks 34 times, not 100,000. */
static int name_free_number(struct store *s, const char *base, uint32_t *ret)
{
	uint32_t lo = 1, hi = 2; /* lo is taken */
	bool taken = true;
	int err = number_taken(s, base, hi, &taken);

	for (; !err && taken && hi < UINT32_MAX / 2;
	     hi *= 2, err = number_taken(s, base, hi, &taken))
		lo = hi;
	while (!err && hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		err = number_taken(s, base, mid, &taken);
		if (taken)
			lo = mid;
		else
			hi = mid;
	}
	if (!err)
		*ret = hi;
	return err;
}

static int name_choose(struct store *s, char name[static ZT_NAME_MAX + 1])
{
	char base[ZT_NAME_MAX + 1];
	uint32_t n = 0;
	bool taken = false;
	int err = name_taken(s, name, &taken);

	if (err || !taken)
		return err;
	memcpy(base, name, sizeof(base));
	err = name_free_number(s, base, &n);
	if (!err)
		name_number(base, n, name);
	return err;
}

/* --- the row --- */

static int enroll_check(struct store *s, const struct device_row *d)
{
	if (!txt_is_hostname(d->name))
		return store_refuse(s, -EINVAL, "the device's name is not a host name");
	if (key_is_zero(&d->identity) || key_is_zero(&d->wg_key))
		return store_refuse(s, -EINVAL, "a key of the device is empty");
	if (d->created_s < 0 || d->cert_not_after_s < 0)
		return store_refuse(s, -EINVAL, "a time of the device is negative");
	return 0;
}

static int enroll_keys(struct store *s, const struct device_row *d)
{
	int err;

	if (key_equal(&d->identity, &d->wg_key))
		return store_refuse(s, -ZT_EEXISTS,
				    "the identity key and the WireGuard key are the same");
	err = device_key_free(s, &d->identity, "identity");
	return err ? err : device_key_free(s, &d->wg_key, "WireGuard");
}

/* The device is given what the token says: it cannot choose an owner or tags. */
static int enroll_insert(struct store *s, const struct device_row *d, const struct token_row *t,
			 bool hold, uint32_t address)
{
	char tags[STORE_NAMES_TEXT_MAX];
	struct query q;

	names_print(t->tags.name, t->tags.n, tags);
	query_begin(&q, s,
		    "INSERT INTO device (name, owner, tags, identity, wg_key, address, state, "
		    "created_s,"
		    " cert_not_after_s, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_text(&q, d->name);
	query_text(&q, t->user);
	query_text(&q, tags);
	query_key(&q, &d->identity);
	query_key(&q, &d->wg_key);
	query_i64(&q, address);
	query_i64(&q, hold || t->approve ? DEVICE_PENDING : DEVICE_ACTIVE);
	query_i64(&q, d->created_s);
	query_i64(&q, d->cert_not_after_s);
	query_i64(&q, (int64_t)t->id);
	return query_run(&q);
}

static int enroll_row(struct store *s, struct device_row *d, const struct token_row *t, bool hold,
		      int64_t now_s)
{
	uint32_t address = 0;
	int err = name_choose(s, d->name);

	if (!err)
		err = address_take(s, now_s, &address);
	if (!err)
		err = enroll_insert(s, d, t, hold, address);
	if (err)
		return err;
	d->id = (uint32_t)sqlite3_last_insert_rowid(s->db); /* the schema bounds it */
	err = device_key_keep(s, &d->identity, d->id);
	return err ? err : device_key_keep(s, &d->wg_key, d->id);
}

int device_enroll(struct store *s, struct change *c, struct effect *e)
{
	int err = enroll_check(s, &c->device);

	snprintf(e->object, sizeof(e->object), "token:%" PRIu64, c->token.id);
	if (!err)
		err = token_spend(s, c, e);
	if (!err)
		err = enroll_keys(s, &c->device);
	if (!err)
		err = enroll_row(s, &c->device, &c->token, c->hold, c->at_ms / 1000);
	return err ? err : device_fill(s, c->device.id, c, e);
}
