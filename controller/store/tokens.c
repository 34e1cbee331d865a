/* Enrolment tokens: made, revoked, and spent in one step of the database. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TOKEN_COLUMNS                                                                              \
	"id, name, secret_hash, user, tags, uses, uses_left, approve, revoked, created_s, "        \
	"expires_s"

static void token_read(struct query *q, struct token_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	q->table = "token";
	ret->id = (uint64_t)column_i64(q, 1, INT64_MAX);
	column_text(q, ret->name, sizeof(ret->name));
	column_key(q, &ret->secret_hash);
	if (!q->err && key_is_zero(&ret->secret_hash))
		column_bad(q);
	column_text(q, ret->user, sizeof(ret->user));
	if (!q->err && *ret->user && !txt_is_email(ret->user))
		column_bad(q);
	column_tags(q, &ret->tags);
	if (!q->err && !*ret->user && ret->tags.n == 0)
		column_bad(q);
	ret->uses = (uint32_t)column_i64(q, 1, UINT32_MAX);
	ret->uses_left = (uint32_t)column_i64(q, 0, ret->uses);
	ret->approve = column_bool(q);
	ret->revoked = column_bool(q);
	ret->created_s = column_i64(q, 0, INT64_MAX);
	ret->expires_s = column_i64(q, 0, INT64_MAX);
}

int token_get(struct store *s, uint64_t id, struct token_row *ret)
{
	struct query q;
	int step;

	query_begin(&q, s, "SELECT " TOKEN_COLUMNS " FROM token WHERE id = ?");
	query_i64(&q, id > INT64_MAX ? 0 : (int64_t)id);
	step = query_step(&q);
	if (step == 1)
		token_read(&q, ret);
	else if (step == 0)
		q.err = store_refuse(s, -ZT_EABSENT, "there is no token %" PRIu64, id);
	return query_end(&q);
}

/* --- create and revoke --- */

static int token_check(struct store *s, const struct token_row *t)
{
	bool disabled = false;
	int err;

	if (*t->user && !txt_is_email(t->user))
		return store_refuse(s, -EINVAL, "the token's user is not an e-mail address");
	if (!tags_are_valid(&t->tags) || (*t->name && !txt_is_line(t->name, ZT_NAME_MAX)))
		return store_refuse(s, -EINVAL, "the token's name or tags are not valid");
	if (!*t->user && t->tags.n == 0)
		return store_refuse(
			s, -ZT_ESTATE,
			"a token needs a user or a tag: what it enrols must be someone's");
	if (t->uses == 0 || key_is_zero(&t->secret_hash) || t->expires_s <= t->created_s ||
	    t->created_s < 0)
		return store_refuse(s, -EINVAL, "a token needs a secret, a use and a life");
	err = user_is_disabled(s, t->user, &disabled);
	if (!err && disabled)
		return store_refuse(s, -ZT_ESTATE, "the user %s is disabled", t->user);
	return err;
}

static int token_insert(struct store *s, const struct token_row *t)
{
	char tags[STORE_NAMES_TEXT_MAX];
	struct query q;

	names_print(t->tags.name, t->tags.n, tags);
	query_begin(&q, s,
		    "INSERT INTO token (name, secret_hash, user, tags, uses, uses_left, approve, "
		    "revoked, created_s,"
		    " expires_s) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?)");
	query_text(&q, t->name);
	query_key(&q, &t->secret_hash);
	query_text(&q, t->user);
	query_text(&q, tags);
	query_i64(&q, t->uses);
	query_i64(&q, t->uses);
	query_i64(&q, t->approve);
	query_i64(&q, t->created_s);
	query_i64(&q, t->expires_s);
	return query_run(&q);
}

/* The token's row as it is now goes to c and into the record. */
static int token_fill(struct store *s, uint64_t id, struct change *c, struct effect *e)
{
	int err = token_get(s, id, &c->token);

	if (!err)
		e->after = json_of_token(&c->token);
	return err;
}

static void token_object(struct effect *e, uint64_t id)
{
	snprintf(e->object, sizeof(e->object), "token:%" PRIu64, id);
}

int token_create(struct store *s, struct change *c, struct effect *e)
{
	uint64_t id;
	int err = token_check(s, &c->token);

	if (!err)
		err = token_insert(s, &c->token);
	if (err)
		return err;
	id = (uint64_t)sqlite3_last_insert_rowid(s->db);
	token_object(e, id);
	return token_fill(s, id, c, e);
}

int token_revoke(struct store *s, struct change *c, struct effect *e)
{
	struct token_row t;
	uint64_t id = c->token.id;
	struct query q;
	int err = token_get(s, id, &t);

	token_object(e, id);
	if (err)
		return err;
	if (t.revoked)
		return store_refuse(s, -ZT_ESTATE, "token %" PRIu64 " is revoked already", id);
	e->before = json_of_token(&t);
	query_begin(&q, s, "UPDATE token SET revoked = 1 WHERE id = ?");
	query_i64(&q, (int64_t)id);
	err = query_run(&q);
	return err ? err : token_fill(s, id, c, e);
}

/* --- spend --- */

/* Of a row of token: does the log, since the token was made, know a time past its end? Then it is
 * over, whatever the clock says now. In order, no record is that late and the index says so at
 * once. Records from before the token say nothing: a clock that once stood in the future must not
 * end tokens for ever. */
#define LOG_SAW_ITS_END                                                                            \
	"EXISTS (SELECT 1 FROM record WHERE at_ms >= token.expires_s * 1000 AND +seq > coalesce("  \
	"(SELECT min(seq) FROM record WHERE object = 'token:' || token.id AND before <> ''), 0))"

/* The one step that decides: of any number of racing callers as many see a change as there are uses
 * left. */
static int token_use(struct store *s, uint64_t id, int64_t now_s, bool *ret_spent)
{
	struct query q;
	int err;

	query_begin(&q, s,
		    "UPDATE token SET uses_left = uses_left - 1"
		    " WHERE id = ? AND uses_left > 0 AND revoked = 0 AND expires_s > ? AND "
		    "created_s <= ?"
		    " AND NOT EXISTS (SELECT 1 FROM user WHERE email = token.user AND disabled = 1)"
		    " AND NOT " LOG_SAW_ITS_END);
	query_i64(&q, (int64_t)id);
	query_i64(&q, now_s);
	query_i64(&q, now_s + ZT_CLOCK_SKEW_MAX_S); /* a clock that was put right by a little */
	err = query_run(&q);
	if (!err)
		*ret_spent = sqlite3_changes(s->db) == 1;
	return err;
}

/* Why token_use did not take it; for the log and the admin. */
static int token_why_not(struct store *s, const struct token_row *t, int64_t now_s)
{
	const char *why = "its end is over, or its beginning to come: the clock was set back";
	bool disabled = false;
	int err = user_is_disabled(s, t->user, &disabled);

	if (err)
		return err;
	if (t->revoked)
		why = "revoked";
	else if (t->uses_left == 0)
		why = "used up";
	else if (t->expires_s <= now_s)
		why = "expired";
	else if (disabled)
		why = "its user is disabled";
	return store_refuse(s, -ZT_ETOKEN, "token %" PRIu64 " is refused: %s", t->id, why);
}

int token_spend(struct store *s, struct change *c, struct effect *e)
{
	int64_t now_s = c->at_ms / 1000;
	struct token_row t = {0};
	bool known, right, spent = false;
	int err = token_get(s, c->token.id, &t);

	if (err && err != -ZT_EABSENT)
		return err;
	/* compared whether the token exists or not: one way, one time for "unknown" and "wrong" */
	known = !err;
	right = key_equal(&t.secret_hash, &c->token.secret_hash);
	if (!known || !right) {
		e->budget = BUDGET_STRANGER;
		return store_refuse(s, -ZT_ETOKEN, "token %" PRIu64 " is refused: %s", c->token.id,
				    known ? "wrong secret" : "unknown");
	}
	err = token_use(s, t.id, now_s, &spent);
	if (err)
		return err;
	if (!spent)
		return token_why_not(s, &t, now_s);
	t.uses_left--;
	c->token = t;
	return 0;
}

/* --- listing --- */

static const char *token_state(const struct token_row *t, bool disabled, int64_t now_s)
{
	if (t->revoked || disabled) /* a disabled user's tokens are dead until he is not */
		return "revoked";
	if (t->uses_left == 0)
		return "used";
	return t->expires_s <= now_s ? "expired" : "valid";
}

static json_t *token_json(const struct token_row *t, bool disabled, int64_t now_s)
{
	return json_pack("{sI ss ss so sI sI sb ss so so}", "id", (json_int_t)t->id, "name",
			 t->name, "user", t->user, "tags", json_names(t->tags.name, t->tags.n),
			 "uses", (json_int_t)t->uses, "uses_left", (json_int_t)t->uses_left,
			 "approve", t->approve, "state", token_state(t, disabled, now_s), "created",
			 json_time(t->created_s), "expires", json_time(t->expires_s));
}

int store_token_list(struct store *s, int64_t now_s, json_t **ret)
{
	json_t *list = json_array();
	struct token_row t;
	struct query q;

	query_begin(&q, s,
		    "SELECT " TOKEN_COLUMNS
		    ", EXISTS (SELECT 1 FROM user WHERE email = token.user AND disabled = 1)"
		    " FROM token ORDER BY id DESC LIMIT ?");
	query_i64(&q, STORE_LIST_MAX);
	while (query_step(&q) > 0) {
		bool disabled;

		token_read(&q, &t);
		disabled = column_bool(&q);
		list_add(&q, list, token_json(&t, disabled, now_s));
	}
	return list_end(&q, list, ret);
}

int token_row_json(struct store *s, const char *id, json_t **ret)
{
	struct token_row t;
	uint64_t n = 0;
	int err = num_parse_u64(id, 1, INT64_MAX, &n) ? -ZT_EABSENT : token_get(s, n, &t);

	if (!err)
		*ret = json_of_token(&t);
	return err;
}
