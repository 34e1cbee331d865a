/* Policy texts: every version is kept as it came. Which one is in force follows from the trials:
 * the newest but canaries that were not promoted. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POLICY_COLUMNS "version, author, why, at_s, hash, text, changes"
#define TRIAL_COLUMNS "state, base, until_ms, percent"
#define POLICY_SELECT                                                                              \
	"SELECT " POLICY_COLUMNS ", " TRIAL_COLUMNS " FROM policy LEFT JOIN trial USING "          \
	"(version) "

/* state 1 is TRIAL_OPEN, 3 is TRIAL_PROMOTED. Each takes one number. */
static const char policy_one[] = POLICY_SELECT "WHERE version = ?";
static const char policy_in_force[] =
	POLICY_SELECT "WHERE version >= ? AND (percent IS NULL OR percent = 0 OR state = 3)"
		      " ORDER BY version DESC LIMIT 1";
static const char policy_canary[] =
	POLICY_SELECT "WHERE version >= ? AND version = (SELECT max(version) FROM policy)"
		      " AND percent > 0 AND state = 1";

static void trial_read(struct query *q, struct trial *ret)
{
	if (column_is_null(q)) {
		*ret = (struct trial){0};
		for (int i = 0; i < 4; i++)
			column_skip(q);
		return;
	}
	ret->state = (enum trial_state)column_i64(q, TRIAL_OPEN, TRIAL_ABORTED);
	ret->base = (uint32_t)column_i64(q, 1, UINT32_MAX);
	ret->until_ms = column_i64(q, 0, INT64_MAX);
	ret->percent = (unsigned)column_i64(q, 0, 99);
}

/* ret->text and ret->changes are borrowed until the next step. */
static void policy_read(struct query *q, struct policy_row *ret, struct key *ret_hash)
{
	struct key is = {0};
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
	/* what a device may do follows from these bytes alone: a flipped one is not read past */
	if (!q->err)
		key_hash(n ? ret->text : "", n, &is);
	if (!q->err && !key_equal(&is, ret_hash))
		column_bad(q);
	ret->changes = (char *)(uintptr_t)column_borrow(q);
	trial_read(q, &ret->trial);
}

static int trial_insert(struct store *s, const struct policy_row *p)
{
	struct query q;

	query_begin(&q, s, "INSERT INTO trial (version, " TRIAL_COLUMNS ") VALUES (?, ?, ?, ?, ?)");
	query_i64(&q, p->version);
	query_i64(&q, p->trial.state);
	query_i64(&q, p->trial.base);
	query_i64(&q, p->trial.until_ms);
	query_i64(&q, p->trial.percent);
	return query_run(&q);
}

int policy_insert(struct store *s, struct policy_row *p)
{
	struct query q;
	struct key hash;
	int err;

	if (p->len > ZT_POLICY_MAX)
		return store_refuse(s, -ZT_ELIMIT, "a policy has at most %d bytes", ZT_POLICY_MAX);
	key_hash(p->len ? p->text : "", p->len, &hash);
	query_begin(&q, s, "INSERT INTO policy (" POLICY_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?)");
	query_i64(&q, p->version);
	query_text(&q, p->author);
	query_text(&q, p->why);
	query_i64(&q, p->at_s);
	query_key(&q, &hash);
	query_blob(&q, p->text, p->len);
	query_text(&q, p->changes ? p->changes : "");
	err = query_run(&q);
	return err || p->trial.state == TRIAL_NONE ? err : trial_insert(s, p);
}

/* fn gets the row that sql finds, its texts borrowed for the time of the call. */
static int policy_with(struct store *s, const char *sql, uint32_t version,
		       int (*fn)(void *arg, struct policy_row *p, struct key *hash), void *arg)
{
	struct policy_row p;
	struct query q;
	struct key hash;
	int step;

	query_begin(&q, s, sql);
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
	struct policy_row row; /* without texts */
	json_t *json;
};

static int policy_see(void *arg, struct policy_row *p, struct key *hash)
{
	struct policy_last *last = arg;

	last->json = json_of_policy(p, hash);
	last->row = *p;
	last->row.text = last->row.changes = NULL;
	last->row.len = 0;
	return last->json ? 0 : -ENOMEM;
}

static int policy_newest(struct store *s, uint32_t *ret)
{
	struct query q;
	int64_t n = 0;
	int err;

	query_begin(&q, s, "SELECT coalesce(max(version), 0) FROM policy");
	q.table = "policy";
	if (query_step(&q) > 0)
		n = column_i64(&q, 0, UINT32_MAX);
	err = query_end(&q);
	*ret = (uint32_t)n;
	return err;
}

static bool is_object(const char *text)
{
	json_t *j = strlen(text) <= STORE_DETAIL_MAX
			    ? json_loads(text, JSON_REJECT_DUPLICATES, NULL)
			    : NULL;
	bool is = json_is_object(j);

	json_decref(j);
	return is;
}

static bool policy_waits(const struct policy_row *in_force)
{
	return in_force->trial.state == TRIAL_OPEN && in_force->trial.until_ms;
}

/* May it be put now, and what does a trial of it go back to? */
static int policy_admit(struct store *s, const struct policy_row *in_force, struct change *c)
{
	struct policy_row *p = &c->policy;
	bool waits = policy_waits(in_force);

	if (c->instead && (!waits || in_force->version != c->instead))
		return store_refuse(s, -ZT_ESTATE,
				    "policy version %" PRIu32 " does not wait to be confirmed",
				    c->instead);
	if (p->changes && !is_object(p->changes))
		return store_refuse(s, -EINVAL, "what the policy changes is not a JSON object");
	if (p->trial.percent && waits) {
		store_refuse(s, -ZT_ESTATE, "policy version %" PRIu32 " waits to be confirmed",
			     in_force->version);
		diag_hint(&s->problem, "ztctl policy confirm first");
		return -ZT_ESTATE;
	}
	if (p->trial.state != TRIAL_NONE)
		p->trial.base = waits ? in_force->trial.base : in_force->version;
	return 0;
}

int policy_put(struct store *s, struct change *c, struct effect *e)
{
	struct policy_last last = {0};
	struct policy_row *p = &c->policy;
	uint32_t newest = 0;
	struct key hash;
	int err = policy_with(s, policy_in_force, 0, policy_see, &last);

	e->before = last.json;
	if (!err)
		err = policy_newest(s, &newest);
	if (!err)
		err = policy_admit(s, &last.row, c);
	if (err)
		return err;
	p->version = newest + 1;
	p->at_s = c->at_ms / 1000;
	err = policy_insert(s, p);
	if (err)
		return err;
	key_hash(p->len ? p->text : "", p->len, &hash);
	e->after = json_of_policy(p, &hash);
	snprintf(e->object, sizeof(e->object), "policy:%" PRIu32, p->version);
	return 0;
}

/* --- the end of a trial --- */

/* An admin who looked at one version does not end the trial of another that was put meanwhile. */
static int expect_version(struct store *s, const struct change *c, uint32_t version,
			  const char *does)
{
	if (!c->policy.version || c->policy.version == version)
		return 0;
	store_refuse(s, -ZT_ESTATE, "policy version %" PRIu32 " %s, not %" PRIu32, version, does,
		     c->policy.version);
	diag_hint(&s->problem, "look at it first: ztctl policy log --version %" PRIu32, version);
	return -ZT_ESTATE;
}

static int trial_end(struct store *s, struct change *c, struct effect *e, struct policy_last *last,
		     enum trial_state state)
{
	struct policy_last after = {0};
	struct query q;
	int err;

	e->before = last->json;
	snprintf(e->object, sizeof(e->object), "policy:%" PRIu32, last->row.version);
	query_begin(&q, s, "UPDATE trial SET state = ? WHERE version = ?");
	query_i64(&q, state);
	query_i64(&q, last->row.version);
	err = query_run(&q);
	if (!err)
		err = policy_with(s, policy_one, last->row.version, policy_see, &after);
	e->after = after.json;
	c->policy = after.row;
	return err;
}

int policy_confirm(struct store *s, struct change *c, struct effect *e)
{
	struct policy_last last = {0};
	int err = policy_with(s, policy_in_force, 0, policy_see, &last);

	if (!err && !policy_waits(&last.row)) {
		err = store_refuse(s, -ZT_ESTATE, "no policy waits to be confirmed");
		diag_hint(&s->problem, "ztctl policy put FILE --confirm 10m puts one that does");
	} else if (!err && last.row.trial.until_ms <= c->at_ms) {
		err = store_refuse(s, -ZT_ESTATE,
				   "policy version %" PRIu32 " was not confirmed in time",
				   last.row.version);
		diag_hint(&s->problem, "put it again: ztctl policy restore %" PRIu32 " --why TEXT",
			  last.row.version);
	}
	if (!err)
		err = expect_version(s, c, last.row.version, "waits to be confirmed");
	if (!err)
		return trial_end(s, c, e, &last, TRIAL_CONFIRMED);
	json_decref(last.json);
	return err;
}

static int canary_end(struct store *s, struct change *c, struct effect *e, enum trial_state state)
{
	struct policy_last last = {0};
	int err = policy_with(s, policy_canary, 0, policy_see, &last);

	if (!err)
		err = expect_version(s, c, last.row.version, "is the canary");
	if (!err)
		return trial_end(s, c, e, &last, state);
	if (err == -ZT_EABSENT) {
		err = store_refuse(s, -ZT_ESTATE, "there is no canary");
		diag_hint(&s->problem, "ztctl policy put FILE --canary 5%% puts one");
	}
	json_decref(last.json);
	return err;
}

int policy_promote(struct store *s, struct change *c, struct effect *e)
{
	return canary_end(s, c, e, TRIAL_PROMOTED);
}

int policy_abort(struct store *s, struct change *c, struct effect *e)
{
	return canary_end(s, c, e, TRIAL_ABORTED);
}

/* --- reading --- */

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
	t->row.changes = arena_text(t->a, p->changes, strlen(p->changes));
	return t->row.text && t->row.changes ? 0 : -ENOMEM;
}

static int policy_take(struct store *s, const char *sql, uint32_t version, struct arena *a,
		       struct policy_row *ret)
{
	struct policy_take t = {.a = a};
	int err = policy_with(s, sql, version, policy_copy, &t);

	if (!err)
		*ret = t.row;
	return err;
}

int store_policy_get(struct store *s, uint32_t version, struct arena *a, struct policy_row *ret)
{
	return policy_take(s, version ? policy_one : policy_in_force, version, a, ret);
}

int store_policy_canary(struct store *s, struct arena *a, struct policy_row *ret)
{
	return policy_take(s, policy_canary, 0, a, ret);
}

/* What a version is now, newest first: word for the log. *in_force: a newer one is. */
static const char *policy_word(const struct trial *t, bool newest, bool *in_force)
{
	bool was = *in_force;

	if (!was && (!t->percent || t->state == TRIAL_PROMOTED)) {
		*in_force = true;
		return t->state == TRIAL_OPEN ? "unconfirmed" : "in force";
	}
	if (t->state != TRIAL_OPEN)
		return trial_state_name(t->state);
	return newest ? "canary" : "replaced";
}

/* How many rules, and of one version which ones. */
static json_t *changes_json(const char *text, bool whole)
{
	json_t *j = *text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (!whole)
		json_object_del(j, "list");
	return j ? j : json_null();
}

/* One row of the log. What it is now follows from the newer ones, which were read before it. */
static json_t *log_row(struct query *q, bool whole, bool newest, bool *in_force)
{
	json_int_t version = column_i64(q, 1, UINT32_MAX);
	const char *author = column_borrow(q), *why = column_borrow(q);
	int64_t at_s = column_i64(q, 0, INT64_MAX);
	json_int_t bytes = column_i64(q, 0, ZT_POLICY_MAX);
	json_t *changes = changes_json(column_borrow(q), whole);
	struct trial t;

	trial_read(q, &t);
	return json_pack("{sI ss so ss sI so ss}", "version", version, "author", author, "at",
			 json_time(at_s), "why", why, "bytes", bytes, "changes", changes, "state",
			 policy_word(&t, newest, in_force));
}

/* From the newest to this one. */
static void log_begin(struct query *q, struct store *s, uint32_t version)
{
	query_begin(q, s,
		    "SELECT version, author, why, at_s, length(text), changes, " TRIAL_COLUMNS
		    " FROM policy LEFT JOIN trial USING (version) WHERE version >= ?"
		    " ORDER BY version DESC LIMIT ?");
	q->table = "policy";
	query_i64(q, version);
	query_i64(q, version ? INT64_MAX : STORE_LIST_MAX);
}

int store_policy_log(struct store *s, json_t **ret)
{
	bool newest = true, in_force = false;
	json_t *list = json_array();
	struct query q;

	log_begin(&q, s, 0);
	while (query_step(&q) > 0) {
		list_add(&q, list, log_row(&q, false, newest, &in_force));
		newest = false;
	}
	return list_end(&q, list, ret);
}

int store_policy_log_one(struct store *s, uint32_t version, json_t **ret)
{
	bool newest = true, in_force = false;
	json_t *row = NULL;
	struct query q;
	int err;

	log_begin(&q, s, version);
	while (query_step(&q) > 0) {
		json_decref(row);
		row = log_row(&q, true, newest, &in_force);
		newest = false;
	}
	err = query_end(&q);
	if (!err && json_integer_value(json_object_get(row, "version")) != version)
		err = -ZT_EABSENT;
	if (!err)
		*ret = json_incref(row);
	json_decref(row);
	return err;
}

int policy_row_json(struct store *s, const char *id, json_t **ret)
{
	struct policy_last last = {0};
	uint64_t version = 0;
	int err = num_parse_u64(id, 1, UINT32_MAX, &version)
			  ? -ZT_EABSENT
			  : policy_with(s, policy_one, (uint32_t)version, policy_see, &last);

	if (!err)
		*ret = last.json;
	return err;
}
