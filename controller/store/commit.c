/* Commit: changes and their records in one transaction.
 *
 *   BEGIN IMMEDIATE
 *     for each change:  SAVEPOINT, its function, its record, RELEASE
 *                       refused: ROLLBACK TO, and where it matters a record of the refusal
 *   COMMIT               results and filled changes go to the caller only now */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { BUDGET_MS = 60000, DAY_MS = 86400 * 1000 };

static const struct {
	unsigned max; /* records a minute */
	const char *name;
} budgets[BUDGET_COUNT] = {
	[BUDGET_KNOWN] = {600, "with a right secret or key"},
	[BUDGET_STRANGER] = {60, "by strangers"},
};

static apply_fn posture_note, refused_note, review_note;

/* What a change does, and whether the log keeps refusals of it (those that devices and strangers
 * can cause). */
static const struct commit_kind {
	apply_fn *apply;
	bool changes_row; /* else the record is all there is */
	bool refusals;
} commit_kinds[] = {
	[CHANGE_TOKEN_CREATE] = {token_create, true, false},
	[CHANGE_TOKEN_REVOKE] = {token_revoke, true, false},
	[CHANGE_DEVICE_ENROLL] = {device_enroll, true, true},
	[CHANGE_DEVICE_STATE] = {device_set_state, true, false},
	[CHANGE_DEVICE_TAGS] = {device_set_tags, true, false},
	[CHANGE_DEVICE_KEY] = {device_set_key, true, true},
	[CHANGE_USER_PUT] = {user_put, true, false},
	[CHANGE_POLICY_PUT] = {policy_put, true, false},
	[CHANGE_POLICY_CONFIRM] = {policy_confirm, true, false},
	[CHANGE_POLICY_PROMOTE] = {policy_promote, true, false},
	[CHANGE_POLICY_ABORT] = {policy_abort, true, false},
	[CHANGE_POLICY_REVIEW] = {review_note, false, false},
	[CHANGE_POSTURE] = {posture_note, false, false},
	[CHANGE_REFUSED] = {refused_note, false, false},
};
enum { COMMIT_KINDS = sizeof(commit_kinds) / sizeof(commit_kinds[0]) };

int store_refuse(struct store *s, int err, const char *fmt, ...)
{
	char text[sizeof(s->problem.message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return diag_set(&s->problem, err, "%s", text);
}

/* --- budgets --- */

static int refusal_append(struct store *s, const struct change *c, const char *object,
			  json_t *after)
{
	struct record r = {.at_ms = c->at_ms,
			   .actor = c->actor,
			   .kind = change_kind_name(CHANGE_REFUSED),
			   .object = object,
			   .why = c->why,
			   .source = c->source};
	int err = record_append(s, &r, NULL, after, false);

	json_decref(after);
	return err;
}

/* One record for all that the minute's budget did not cover. */
static int budget_summary(struct store *s, const struct budget *b, const char *whose, int64_t at_ms)
{
	struct change c = {.at_ms = at_ms, .actor = "system"};
	json_t *after = json_pack("{sI ss so}", "not_recorded", (json_int_t)b->dropped, "refusals",
				  whose, "since", json_time(b->since_ms / 1000));

	return refusal_append(s, &c, "", after);
}

/* Begin a new minute where the last one is over (or the clock went back). */
static int budget_turn(struct store *s, enum budget_kind k, int64_t at_ms)
{
	struct budget *b = &s->budget[k], old = *b;

	if (at_ms >= old.since_ms && at_ms < old.since_ms + BUDGET_MS)
		return 0;
	*b = (struct budget){.since_ms = at_ms};
	return old.dropped ? budget_summary(s, &old, budgets[k].name, at_ms) : 0;
}

static bool budget_take(struct store *s, enum budget_kind k)
{
	struct budget *b = &s->budget[k];

	if (b->used < budgets[k].max) {
		b->used++;
		return true;
	}
	b->dropped++;
	return false;
}

static int budget_turn_all(struct store *s, int64_t at_ms)
{
	int err = 0;

	for (int k = 0; !err && k < BUDGET_COUNT; k++)
		err = budget_turn(s, (enum budget_kind)k, at_ms);
	return err;
}

void commit_flush(struct store *s)
{
	struct budget *b = s->budget;
	int err = 0;

	if ((!b[BUDGET_KNOWN].dropped && !b[BUDGET_STRANGER].dropped) || db_begin(s) != 0)
		return;
	for (int k = 0; !err && k < BUDGET_COUNT; k++) {
		if (b[k].dropped)
			err = budget_summary(s, &b[k], budgets[k].name, b[k].since_ms + BUDGET_MS);
	}
	if (err || db_commit(s) != 0)
		db_rollback(s);
}

/* --- the audit-only kinds --- */

static int note_detail(struct store *s, const struct change *c, struct effect *e)
{
	const char *text = c->detail ? c->detail : "{}";

	if (strlen(text) > STORE_DETAIL_MAX)
		return store_refuse(s, -ZT_ELIMIT, "the detail of a record is too long");
	e->after = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(e->after))
		return store_refuse(s, -EINVAL, "the detail of a record is not a JSON object");
	return 0;
}

static int posture_note(struct store *s, struct change *c, struct effect *e)
{
	snprintf(e->object, sizeof(e->object), "device:%" PRIu32, c->device.id);
	return note_detail(s, c, e);
}

static int refused_note(struct store *s, struct change *c, struct effect *e)
{
	e->budget = BUDGET_STRANGER;
	if (c->device.id) {
		e->budget = BUDGET_KNOWN;
		snprintf(e->object, sizeof(e->object), "device:%" PRIu32, c->device.id);
	} else if (c->token.id) {
		snprintf(e->object, sizeof(e->object), "token:%" PRIu64, c->token.id);
	}
	return note_detail(s, c, e);
}

static int64_t day_of(int64_t at_ms)
{
	return at_ms / DAY_MS * DAY_MS;
}

/* Once a day, also when the controller is started ten times in it. */
static int review_note(struct store *s, struct change *c, struct effect *e)
{
	struct query q;
	bool said;
	int err;

	query_begin(&q, s, "SELECT seq FROM record WHERE at_ms >= ? AND kind = ? LIMIT 1");
	query_i64(&q, day_of(c->at_ms));
	query_text(&q, change_kind_name(c->kind));
	said = query_step(&q) > 0;
	err = query_end(&q);
	if (err)
		return err;
	if (said)
		return store_refuse(s, -ZT_EEXISTS, "it was said today");
	snprintf(e->object, sizeof(e->object), "policy:%" PRIu32, c->policy.version);
	return note_detail(s, c, e);
}

/* --- one change --- */

static bool is_line_or_empty(const char *text, size_t size)
{
	return memchr(text, 0, size) && (!*text || txt_is_line(text, size - 1));
}

static int change_check(struct store *s, const struct change *c)
{
	bool policy = c->kind == CHANGE_POLICY_PUT;

	if ((unsigned)c->kind >= COMMIT_KINDS)
		return store_refuse(s, -EINVAL, "there is no change of kind %d", (int)c->kind);
	if (!is_line_or_empty(c->actor, sizeof(c->actor)) || !*c->actor)
		return store_refuse(s, -EINVAL, "the change names no actor");
	if (!is_line_or_empty(c->why, sizeof(c->why)) ||
	    (policy && !is_line_or_empty(c->policy.why, sizeof(c->policy.why))))
		return store_refuse(s, -EINVAL, "the reason must be one line of text");
	if (!is_line_or_empty(c->source, sizeof(c->source)) ||
	    (policy && !is_line_or_empty(c->policy.author, sizeof(c->policy.author))))
		return store_refuse(s, -EINVAL,
				    "the change's source or author is not a line of text");
	return 0;
}

static int change_record(struct store *s, struct change *c, const struct effect *e,
			 bool changes_row)
{
	bool policy = c->kind == CHANGE_POLICY_PUT && !*c->why;
	struct record r = {.at_ms = c->at_ms,
			   .actor = c->actor,
			   .kind = change_kind_name(c->kind),
			   .object = e->object,
			   .why = policy ? c->policy.why : c->why,
			   .source = c->source};
	int err = record_append(s, &r, e->before, e->after, changes_row);

	if (!err)
		c->seq = r.seq;
	return err;
}

/* The change and its record; what is left of it after an error is the caller's to roll back. */
static int change_apply(struct store *s, struct change *c, struct effect *e)
{
	const struct commit_kind *k = &commit_kinds[c->kind];
	int err = k->apply(s, c, e);

	if (err)
		return err;
	if (c->kind == CHANGE_REFUSED && !budget_take(s, e->budget))
		return 0;
	return change_record(s, c, e, k->changes_row);
}

static bool is_refusal(int err)
{
	return err == -ZT_ETOKEN || err == -ZT_EEXISTS || err == -ZT_EABSENT || err == -ZT_ESTATE;
}

static int change_refused(struct store *s, const struct change *c, const struct effect *e)
{
	json_t *after;

	if (!budget_take(s, e->budget))
		return 0;
	after = json_pack("{ss ss}", "kind", change_kind_name(c->kind), "reason",
			  s->problem.message);
	return refusal_append(s, c, e->object, after);
}

static int savepoint(struct store *s, const char *sql)
{
	struct query q;

	query_begin(&q, s, sql);
	return query_run(&q);
}

/* One change inside the open transaction: its result. A failure of SQLite itself shows in s->fault.
 */
static int change_commit(struct store *s, struct change *c)
{
	struct effect e = {.object = "", .budget = BUDGET_KNOWN};
	int err = change_check(s, c);

	if (err || savepoint(s, "SAVEPOINT change") != 0)
		return err ? err : s->fault;
	err = change_apply(s, c, &e);
	if (err && !s->fault)
		(void)!savepoint(s, "ROLLBACK TO change");
	if (!s->fault)
		(void)!savepoint(s, "RELEASE change");
	if (err && !s->fault && commit_kinds[c->kind].refusals && is_refusal(err)) {
		struct diag why = s->problem;

		if (change_refused(s, c, &e) == 0)
			s->problem = why;
	}
	json_decref(e.before);
	json_decref(e.after);
	return s->fault ? s->fault : err;
}

/* --- the transaction --- */

static int batch_run(struct store *s, struct change *work, size_t n, int *res, struct diag *first)
{
	int err = db_begin(s);

	if (!err && n > 0)
		err = budget_turn_all(s, work[0].at_ms);
	for (size_t i = 0; !err && i < n; i++) {
		res[i] = change_commit(s, &work[i]);
		if (res[i] && !*first->message)
			*first = s->problem;
		err = s->fault;
	}
	if (!err)
		return db_commit(s);
	db_rollback(s);
	return err;
}

int store_commit_batch(struct store *s, struct change **c, size_t n, int *res, struct diag *d)
{
	struct change *work = calloc(n ? n : 1, sizeof(*work));
	struct budget saved[BUDGET_COUNT];
	struct diag first = {0};
	int err;

	if (!work)
		return diag_set(d, -ENOMEM, "%s", zt_strerror(ENOMEM));
	for (size_t i = 0; i < n; i++)
		work[i] = *c[i];
	memcpy(saved, s->budget, sizeof(saved));
	err = batch_run(s, work, n, res, &first);
	if (err)
		memcpy(s->budget, saved, sizeof(saved));
	for (size_t i = 0; i < n; i++) {
		if (err)
			res[i] = err;
		else if (res[i] == 0)
			*c[i] = work[i];
	}
	free(work);
	if (!err && *first.message && d)
		*d = first;
	return store_result(s, err, d);
}

int store_commit(struct store *s, struct change *c, struct diag *d)
{
	int res = 0;
	int err = store_commit_batch(s, &c, 1, &res, d);

	return err ? err : res;
}
