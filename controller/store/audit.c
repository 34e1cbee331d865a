/* The change log: records, their hash chain, the listing.
 *
 *   record 1            record 2            record n <---- head: seq, hash, records
 *   prev 0, hash h1 <-- prev h1, hash h2 .. prev, hash hn
 *
 * hash covers every other column and prev, so a record cannot change, vanish or move without the
 * hashes of all later ones changing; head is the only thing to compare with outside to know the
 * whole log. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECORD_MAX = 1 << 20
}; /* bytes of one record; the longest possible detail and rows are far below */

static const char record_domain[] = "zt-record-1";

static void put_text(struct buf *b, const char *s)
{
	size_t n = strlen(s);

	buf_put_u32(b, (uint32_t)n); /* RECORD_MAX bounds n before it could be cut */
	buf_put(b, s, n);
}

int record_hash(const struct record *r, struct key *ret)
{
	const char *texts[] = {r->actor,  r->kind,   r->object, r->why,
			       r->source, r->before, r->after};
	struct buf b;
	int err;

	buf_init_grow(&b, RECORD_MAX);
	buf_put(&b, record_domain, sizeof(record_domain));
	buf_put_u64(&b, r->seq);
	buf_put_u64(&b, (uint64_t)r->at_ms);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		put_text(&b, texts[i]);
	buf_put(&b, r->prev.b, sizeof(r->prev.b));
	err = b.err;
	if (!err)
		key_hash(b.data, b.len, ret);
	buf_free(&b);
	return err;
}

int head_get(struct store *s, struct head *ret)
{
	struct head h = {0};
	struct query q;
	int err;

	query_begin(&q, s, "SELECT one, seq, records, hash FROM head");
	q.table = "head";
	err = query_step(&q);
	if (err == 1) {
		column_skip(&q);
		h.seq = (uint64_t)column_i64(&q, 0, INT64_MAX);
		h.records = (uint64_t)column_i64(&q, 0, INT64_MAX);
		column_key(&q, &h.hash);
	} else if (err == 0) {
		q.err = diag_set(&s->problem, -ZT_ECORRUPT,
				 "%s: the head of the change log is missing", s->path);
	}
	err = query_end(&q);
	if (!err)
		*ret = h;
	return err;
}

int store_records(struct store *s, uint64_t *ret)
{
	struct head h;
	int err = head_get(s, &h);

	if (!err)
		*ret = h.records;
	return err;
}

static int head_put(struct store *s, const struct head *h)
{
	struct query q;

	query_begin(&q, s, "UPDATE head SET seq = ?, records = ?, hash = ?");
	query_i64(&q, (int64_t)h->seq);
	query_i64(&q, (int64_t)h->records);
	query_key(&q, &h->hash);
	return query_run(&q);
}

static int record_insert(struct store *s, const struct record *r, const struct key *hash)
{
	struct query q;

	query_begin(&q, s,
		    "INSERT INTO record (seq, at_ms, actor, kind, object, why, source, before, "
		    "after, prev, hash)"
		    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	query_i64(&q, (int64_t)r->seq);
	query_i64(&q, r->at_ms);
	query_text(&q, r->actor);
	query_text(&q, r->kind);
	query_text(&q, r->object);
	query_text(&q, r->why);
	query_text(&q, r->source);
	query_text(&q, r->before);
	query_text(&q, r->after);
	query_key(&q, &r->prev);
	query_key(&q, hash);
	return query_run(&q);
}

/* r has its texts: number it, chain it, write it. */
static int record_chain(struct store *s, struct record *r)
{
	struct head h;
	int err = head_get(s, &h);

	if (err)
		return err;
	r->seq = h.seq + 1;
	r->prev = h.hash;
	err = record_hash(r, &h.hash);
	if (err)
		return diag_set(&s->problem, err, "a record of %s is too long", r->object);
	h.seq = r->seq;
	h.records++;
	err = record_insert(s, r, &h.hash);
	return err ? err : head_put(s, &h);
}

int record_append(struct store *s, struct record *r, const json_t *before, const json_t *after,
		  bool changes_row)
{
	size_t flags = JSON_SORT_KEYS | JSON_COMPACT;
	char *was = before ? json_dumps(before, flags) : strdup(changes_row ? "{}" : "");
	char *is = json_dumps(after, flags);
	int err = -ENOMEM;

	if (was && is) {
		r->before = was;
		r->after = is;
		err = record_chain(s, r);
		r->before = r->after = "";
	} else {
		diag_set(&s->problem, err, "%s", zt_strerror(err));
	}
	free(was);
	free(is);
	return err;
}

void record_read(struct query *q, struct record *ret, struct key *ret_hash)
{
	q->table = "record";
	ret->seq = (uint64_t)column_i64(q, 1, INT64_MAX);
	ret->at_ms = column_i64(q, INT64_MIN, INT64_MAX);
	ret->actor = column_borrow(q);
	ret->kind = column_borrow(q);
	ret->object = column_borrow(q);
	ret->why = column_borrow(q);
	ret->source = column_borrow(q);
	ret->before = column_borrow(q);
	ret->after = column_borrow(q);
	column_key(q, &ret->prev);
	column_key(q, ret_hash);
}

/* "" (no row changed) reads as an empty object, so that every record has both. */
static json_t *record_json_text(const char *text)
{
	return *text ? json_loads(text, 0, NULL) : json_object();
}

static json_t *record_json(const struct record *r, const struct key *hash)
{
	char hex[2 * ZT_HASH_LEN + 1];

	txt_hex(hash->b, sizeof(hash->b), hex);
	return json_pack("{sI so ss ss ss ss ss so so ss}", "seq", (json_int_t)r->seq, "at",
			 json_time(r->at_ms / 1000), "actor", r->actor, "kind", r->kind, "object",
			 r->object, "why", r->why, "source", r->source, "before",
			 record_json_text(r->before), "after", record_json_text(r->after), "hash",
			 hex);
}

int store_audit_list(struct store *s, int64_t since_ms, json_t **ret)
{
	json_t *list = json_array();
	struct query q;

	/* the inner order follows the index: the newest are found without looking at the rest */
	query_begin(&q, s,
		    "SELECT " RECORD_COLUMNS " FROM (SELECT * FROM record WHERE at_ms >= ?"
		    " ORDER BY at_ms DESC, seq DESC LIMIT ?) ORDER BY seq");
	query_i64(&q, since_ms);
	query_i64(&q, STORE_LIST_MAX);
	while (query_step(&q) > 0) {
		struct record r;
		struct key hash;

		record_read(&q, &r, &hash);
		list_add(&q, list, q.err ? NULL : record_json(&r, &hash));
	}
	return list_end(&q, list, ret);
}
