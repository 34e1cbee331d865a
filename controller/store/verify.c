/* Verify: the log is whole, its end is where the head says, and the rows are what the log says they
 * became. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Kinds of objects in the log: their rows, and how many of them there are. */
static const struct verify_kind {
	const char *prefix;
	row_json_fn *json;
	const char *count;
} verify_kinds[] = {
	{"network", network_row_json, "SELECT count(*) FROM network"},
	{"admin:", admin_row_json, "SELECT count(*) FROM admin"},
	{"policy:", policy_row_json, "SELECT count(*) FROM policy"},
	{"token:", token_row_json, "SELECT count(*) FROM token"},
	{"device:", device_row_json, "SELECT count(*) FROM device"},
	{"user:", user_row_json, "SELECT count(*) FROM user"},
};
enum { VERIFY_KINDS = sizeof(verify_kinds) / sizeof(verify_kinds[0]) };

/* The first problem ends the search. Returns 1, which the steps pass on. */
static int verdict_bad(struct store_verdict *v, uint64_t seq, const char *fmt, ...) ZT_PRINTF(3, 4);
static int verdict_bad(struct store_verdict *v, uint64_t seq, const char *fmt, ...)
{
	va_list ap;

	v->first_bad = seq ? seq : 1;
	va_start(ap, fmt);
	vsnprintf(v->problem, sizeof(v->problem), fmt, ap);
	va_end(ap);
	return 1;
}

/* --- the chain --- */

static int verify_record(const struct record *r, const struct key *hash, struct key *prev,
			 struct store_verdict *v)
{
	uint64_t want = v->records + 1;
	struct key is;
	int err;

	if (r->seq != want)
		return verdict_bad(v, want, "record %" PRIu64 " is missing", want);
	if (!key_equal(&r->prev, prev))
		return verdict_bad(v, want, "record %" PRIu64 " does not follow the one before it",
				   want);
	err = record_hash(r, &is);
	if (err)
		return err;
	if (!key_equal(&is, hash))
		return verdict_bad(v, want,
				   "record %" PRIu64 " was changed: its hash does not match", want);
	*prev = is;
	v->records++;
	return 0;
}

static int verify_chain(struct store *s, struct store_verdict *v, struct key *ret_last)
{
	struct key hash, prev = {0};
	struct query q;
	struct record r;
	int err = 0, end;

	query_begin(&q, s, "SELECT " RECORD_COLUMNS " FROM record ORDER BY seq");
	while (!err && query_step(&q) > 0) {
		record_read(&q, &r, &hash);
		err = q.err ? q.err : verify_record(&r, &hash, &prev, v);
	}
	end = query_end(&q);
	if (end == -ZT_ECORRUPT && !s->fault) /* a record that cannot even be read */
		return verdict_bad(v, v->records + 1, "record %" PRIu64 " is not readable",
				   v->records + 1);
	*ret_last = prev;
	return end ? end : err;
}

static int verify_head(struct store *s, const struct key *last, struct store_verdict *v)
{
	struct head h;
	int err = head_get(s, &h);

	if (err == -ZT_ECORRUPT && !s->fault)
		return verdict_bad(v, v->records + 1,
				   "the head of the log is missing or not readable");
	if (err)
		return err;
	if (h.records > v->records || h.seq > v->records)
		return verdict_bad(v, v->records + 1,
				   "the log was cut off: it ends at record %" PRIu64 " of %" PRIu64,
				   v->records, h.records > h.seq ? h.records : h.seq);
	if (h.records != v->records || h.seq != v->records || !key_equal(&h.hash, last))
		return verdict_bad(v, v->records,
				   "the head of the log does not match its newest record %" PRIu64,
				   v->records);
	return 0;
}

/* --- rows --- */

static const struct verify_kind *verify_kind_of(const char *object)
{
	for (size_t i = 0; i < VERIFY_KINDS; i++) {
		if (txt_starts(object, verify_kinds[i].prefix))
			return &verify_kinds[i];
	}
	return NULL;
}

/* The first field that the record has and the row has otherwise. Fields that a later version added
 * are not in old records. NULL: none. */
static const char *verify_differs(json_t *record, json_t *row)
{
	const char *key;
	json_t *value;

	json_object_foreach(record, key, value)
	{
		if (!json_equal(value, json_object_get(row, key)))
			return key;
	}
	return NULL;
}

/* The row of object must be what its newest record (seq, after) says. */
static int verify_row(struct store *s, const char *object, uint64_t seq, const char *after,
		      struct store_verdict *v)
{
	const struct verify_kind *k = verify_kind_of(object);
	json_t *record, *row = NULL;
	const char *differs;
	int err = k ? k->json(s, object + strlen(k->prefix), &row) : -ZT_EABSENT;

	if (err == -ZT_EABSENT)
		return verdict_bad(v, seq, "%.80s is missing, record %" PRIu64 " made it", object,
				   seq);
	if (err == -ZT_ECORRUPT && !s->fault)
		return verdict_bad(v, seq, "%.80s is not readable", object);
	if (err)
		return err;
	record = json_loads(after, 0, NULL);
	differs = record && row ? verify_differs(record, row) : "all of it";
	if (differs)
		err = verdict_bad(v, seq, "%.80s: %.40s is not what record %" PRIu64 " says",
				  object, differs, seq);
	json_decref(record);
	json_decref(row);
	return err;
}

static int verify_rows(struct store *s, uint64_t counted[static VERIFY_KINDS],
		       struct store_verdict *v)
{
	struct query q;
	int err = 0, end;

	/* with max(seq) the other columns are of that record */
	query_begin(
		&q, s,
		"SELECT object, max(seq), after FROM record WHERE before <> '' GROUP BY object");
	q.table = "record";
	while (!err && query_step(&q) > 0) {
		const char *object = column_borrow(&q);
		uint64_t seq = (uint64_t)column_i64(&q, 1, INT64_MAX);
		const char *after = column_borrow(&q);
		const struct verify_kind *k = verify_kind_of(object);

		err = q.err ? q.err : verify_row(s, object, seq, after, v);
		if (k)
			counted[k - verify_kinds]++;
	}
	end = query_end(&q);
	return end ? end : err;
}

static int verify_number(struct store *s, const char *sql, uint64_t *ret)
{
	struct query q;
	uint64_t n = 0;
	int err;

	query_begin(&q, s, sql);
	if (query_step(&q) > 0)
		n = (uint64_t)column_i64(&q, 0, INT64_MAX);
	err = query_end(&q);
	if (!err)
		*ret = n;
	return err;
}

/* Rows that no record made: every object of the log has its row by now, so there are more rows than
 * objects. */
static int verify_counts(struct store *s, const uint64_t counted[static VERIFY_KINDS],
			 struct store_verdict *v)
{
	for (size_t i = 0; i < VERIFY_KINDS; i++) {
		uint64_t rows = 0;
		int err = verify_number(s, verify_kinds[i].count, &rows);

		if (err)
			return err;
		if (rows != counted[i])
			return verdict_bad(v, v->records,
					   "%.20s%" PRIu64 " rows, but records of %" PRIu64,
					   verify_kinds[i].prefix, rows, counted[i]);
	}
	return 0;
}

/* A token's uses are counted by the devices it enrolled; a device's keys stand among the spent
 * ones; a policy from before there were trials was on none. */
static int verify_relations(struct store *s, struct store_verdict *v)
{
	uint64_t token = 0, device = 0, trial = 0;
	int err = verify_number(s,
				"SELECT coalesce(min(id), 0) FROM token WHERE uses_left <> uses -"
				" (SELECT count(*) FROM device WHERE device.token = token.id)",
				&token);

	if (!err)
		err = verify_number(s,
				    "SELECT coalesce(min(id), 0) FROM device d WHERE 2 <> (SELECT "
				    "count(*) FROM device_key k"
				    " WHERE k.device = d.id AND k.key IN (d.identity, d.wg_key))",
				    &device);
	if (!err)
		err = verify_number(s,
				    "SELECT coalesce(min(version), 0) FROM trial WHERE NOT EXISTS "
				    "(SELECT 1 FROM record WHERE before <> '' AND object = "
				    "'policy:' || version AND kind = 'policy.put' AND "
				    "instr(after, '\"trial\":{'))",
				    &trial);
	if (err)
		return err;
	if (trial)
		return verdict_bad(v, v->records,
				   "policy:%" PRIu64 ": no record says that it was on trial",
				   trial);
	if (token)
		return verdict_bad(v, v->records,
				   "token:%" PRIu64
				   ": its uses left do not match the devices it enrolled",
				   token);
	if (device)
		return verdict_bad(v, v->records,
				   "device:%" PRIu64
				   ": its keys are not among the keys that were used",
				   device);
	return 0;
}

/* --- all of it --- */

static int verify_steps(struct store *s, struct store_verdict *v)
{
	uint64_t counted[VERIFY_KINDS] = {0};
	struct key last = {0};
	int err = verify_chain(s, v, &last);

	txt_hex(last.b, sizeof(last.b), v->head);
	if (!err)
		err = verify_head(s, &last, v);
	if (!err)
		err = verify_rows(s, counted, v);
	if (!err)
		err = verify_counts(s, counted, v);
	if (!err)
		err = verify_relations(s, v);
	return err;
}

int store_audit_verify(struct store *s, struct store_verdict *ret)
{
	struct store_verdict v = {0};
	struct query q;
	int err;

	s->fault = 0;
	query_begin(&q, s, "BEGIN"); /* one view of all tables */
	err = query_run(&q);
	if (!err)
		err = verify_steps(s, &v);
	db_rollback(s);
	if (err < 0)
		return err;
	*ret = v;
	return 0;
}
