/* Policy texts: every version is kept as it came. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POLICY_COLUMNS "version, author, why, at_s, hash, text"

/* ret->text is borrowed until the next step. */
static void policy_read(struct query *q, struct policy_row *ret, struct key *ret_hash)
{
	struct key is;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	q->table = "policy";
	ret->version = (uint32_t)column_i64(q, 1, UINT32_MAX);
	column_text(q, ret->author, sizeof(ret->author));
	column_text(q, ret->why, sizeof(ret->why));
	ret->at_s = column_i64(q, 0, INT64_MAX);
	column_key(q, ret_hash);
	ret->text = (char *)column_blob(q, ZT_POLICY_MAX, &n);
	ret->len = n;
	if (q->err)
		return;
	/* what a device may do follows from these bytes alone: a flipped one is not read past */
	key_hash(n ? ret->text : "", n, &is);
	if (!key_equal(&is, ret_hash))
		column_bad(q);
}

int policy_insert(struct store *s, struct policy_row *p)
{
	struct query q;
	struct key hash;

	if (p->len > ZT_POLICY_MAX)
		return store_refuse(s, -ZT_ELIMIT, "a policy has at most %d bytes", ZT_POLICY_MAX);
	key_hash(p->len ? p->text : "", p->len, &hash);
	query_begin(&q, s, "INSERT INTO policy (" POLICY_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?)");
	query_i64(&q, p->version);
	query_text(&q, p->author);
	query_text(&q, p->why);
	query_i64(&q, p->at_s);
	query_key(&q, &hash);
	query_blob(&q, p->text, p->len);
	return query_run(&q);
}

/* fn gets the version asked for (0: the newest), its text borrowed for the time of the call. */
static int policy_with(struct store *s, uint32_t version,
		       int (*fn)(void *arg, struct policy_row *p, struct key *hash), void *arg)
{
	struct policy_row p;
	struct query q;
	struct key hash;
	int step;

	query_begin(&q, s,
		    version ? "SELECT " POLICY_COLUMNS " FROM policy WHERE version = ?"
			    : "SELECT " POLICY_COLUMNS
			      " FROM policy WHERE version >= ? ORDER BY version DESC LIMIT 1");
	query_i64(&q, version);
	step = query_step(&q);
	if (step == 1) {
		policy_read(&q, &p, &hash);
		if (!q.err)
			q.err = fn(arg, &p, &hash);
	} else if (step == 0) {
		q.err = store_refuse(s, -ZT_EABSENT, "there is no policy version %" PRIu32,
				     version);
	}
	return query_end(&q);
}

struct policy_last {
	uint32_t version;
	json_t *json;
};

static int policy_see(void *arg, struct policy_row *p, struct key *hash)
{
	struct policy_last *last = arg;

	last->version = p->version;
	last->json = json_of_policy(p, hash);
	return 0;
}

int policy_put(struct store *s, struct change *c, struct effect *e)
{
	struct policy_last last = {0};
	struct policy_row *p = &c->policy;
	struct key hash;
	int err = policy_with(s, 0, policy_see, &last);

	e->before = last.json;
	if (err && err != -ZT_EABSENT)
		return err;
	p->version = last.version + 1;
	p->at_s = c->at_ms / 1000;
	err = policy_insert(s, p);
	if (err)
		return err;
	key_hash(p->len ? p->text : "", p->len, &hash);
	e->after = json_of_policy(p, &hash);
	snprintf(e->object, sizeof(e->object), "policy:%" PRIu32, p->version);
	return 0;
}

struct policy_take {
	struct arena *a;
	struct policy_row row;
};

static int policy_copy(void *arg, struct policy_row *p, struct key *hash)
{
	struct policy_take *t = arg;

	(void)hash;
	t->row = *p;
	t->row.text = arena_text(t->a, p->len ? p->text : "", p->len);
	return t->row.text ? 0 : -ENOMEM;
}

int store_policy_get(struct store *s, uint32_t version, struct arena *a, struct policy_row *ret)
{
	struct policy_take t = {.a = a};
	int err = policy_with(s, version, policy_copy, &t);

	if (!err)
		*ret = t.row;
	return err;
}

int store_policy_log(struct store *s, json_t **ret)
{
	json_t *list = json_array();
	struct query q;

	query_begin(&q, s,
		    "SELECT version, author, why, at_s, length(text) FROM policy ORDER BY version "
		    "DESC LIMIT ?");
	q.table = "policy";
	query_i64(&q, STORE_LIST_MAX);
	while (query_step(&q) > 0) {
		json_int_t version = column_i64(&q, 1, UINT32_MAX);
		const char *author = column_borrow(&q), *why = column_borrow(&q);
		int64_t at_s = column_i64(&q, 0, INT64_MAX);
		json_int_t bytes = column_i64(&q, 0, ZT_POLICY_MAX);

		list_add(&q, list,
			 json_pack("{sI ss so ss sI}", "version", version, "author", author, "at",
				   json_time(at_s), "why", why, "bytes", bytes));
	}
	return list_end(&q, list, ret);
}

int policy_row_json(struct store *s, const char *id, json_t **ret)
{
	struct policy_last last = {0};
	uint64_t version = 0;
	int err = num_parse_u64(id, 1, UINT32_MAX, &version)
			  ? -ZT_EABSENT
			  : policy_with(s, (uint32_t)version, policy_see, &last);

	if (!err)
		*ret = last.json;
	return err;
}
