/* Private to the store: the SQLite connection, queries with a sticky error, and what the files of
 * this folder lend each other. Functions return 0 or a negative code and leave the text for people
 * in s->problem; the public functions copy it to the caller's diag. */
#pragma once

#include <jansson.h>
#include <sqlite3.h>

#include "zt/buf.h"
#include "zt/num.h"
#include "zt/txt.h"
#include "controller/model/tags.h"
#include "controller/store/store.h"

enum {
	STORE_QUERIES_MAX = 96,	       /* different SQL texts in this folder */
	STORE_LIST_MAX = 10000,	       /* rows of one listing */
	STORE_DETAIL_MAX = 64 << 10,   /* bytes of change.detail */
	STORE_NAMES_TEXT_MAX = 8 << 10 /* JSON of one set of names */
};

/* Refusals that are written to the log, a minute: by callers that showed a right secret or key, and
 * by strangers. What comes on top is counted and written as one record, so that nobody fills the
 * disk by being refused. */
enum budget_kind { BUDGET_KNOWN, BUDGET_STRANGER, BUDGET_COUNT };
struct budget {
	int64_t since_ms; /* begin of the minute */
	unsigned used;
	uint64_t dropped;
};

struct store {
	sqlite3 *db;
	char *path;
	int lock_fd; /* holds the flock; -1: none */
	struct {
		const char *sql; /* its address is the key */
		sqlite3_stmt *st;
	} cached[STORE_QUERIES_MAX];
	size_t n_cached;
	struct store_network network; /* as read at open */
	struct budget budget[BUDGET_COUNT];
	struct diag problem;
	int fault; /* set by a failure of SQLite itself (never by a refusal): the transaction is
		      lost */
};

/* --- db.c: connection --- */

int db_open(struct store *s, const char *file) ZT_MUST_USE;
void db_close(struct store *s);
int db_wal(struct store *s) ZT_MUST_USE;   /* durable settings of a database in service */
int db_check(struct store *s) ZT_MUST_USE; /* quick_check */
int db_exec(struct store *s,
	    const char *sql) ZT_MUST_USE;   /* several statements; fixed texts only */
int db_begin(struct store *s) ZT_MUST_USE;  /* write transaction */
int db_commit(struct store *s) ZT_MUST_USE; /* rolled back when it fails */
void db_rollback(struct store *s);
/* Set s->problem from SQLite's last error; returns the code for it and sets s->fault. */
int db_fault(struct store *s);
/* Copy s->problem to d when err is not 0; returns err. */
int store_result(const struct store *s, int err, struct diag *d);

/* --- query.c: one statement, prepared once; errors are sticky, checked at the end --- */

struct query {
	struct store *s;
	sqlite3_stmt *st;  /* NULL after a failed begin */
	const char *table; /* for "row of" messages; set by the row decoders */
	int n;		   /* last parameter bound, then columns read */
	int err;
};
/* sql: a string literal (its address identifies it). */
void query_begin(struct query *q, struct store *s, const char *sql);
void query_i64(struct query *q, int64_t v);
void query_text(struct query *q, const char *v); /* borrowed until query_end, as blobs are */
void query_blob(struct query *q, const void *p, size_t n);
void query_key(struct query *q, const struct key *k);
/* 1: a row, 0: no more, or an error. */
int query_step(struct query *q) ZT_MUST_USE;
/* Columns, left to right. A value of another type, out of range or too long is -ZT_ECORRUPT, naming
 * table, row, column. */
int64_t column_i64(struct query *q, int64_t min, int64_t max);
bool column_bool(struct query *q);
bool column_is_null(struct query *q); /* looks at the next column, does not take it */
void column_skip(struct query *q);
void column_text(struct query *q, char *dst, size_t size);
const char *column_borrow(struct query *q); /* until the next step; "" on error */
const void *column_blob(struct query *q, size_t max, size_t *ret_n);
void column_key(struct query *q, struct key *ret);
void column_tags(struct query *q, struct tags *ret);
size_t column_names(struct query *q, char (*name)[ZT_NAME_MAX + 1], size_t max);
void column_bad(struct query *q); /* the column read last has a value that cannot be */
/* Reset. The sticky error. */
int query_end(struct query *q) ZT_MUST_USE;
/* Step a statement without rows, and end. */
int query_run(struct query *q) ZT_MUST_USE;
/* Sets of names as stored: a JSON array. */
void names_print(const char (*name)[ZT_NAME_MAX + 1], size_t n,
		 char out[static STORE_NAMES_TEXT_MAX]);

/* --- open.c, migrate.c --- */

/* As store_open without the lock: tests race several connections. */
int store_open_unlocked(const char *path, struct store **ret, struct diag *d) ZT_MUST_USE;
/* The problem of the last failed call, for those without a diag. */

struct migration {
	unsigned version; /* user_version afterwards; the text sets it itself */
	const char *sql;
};
extern const struct migration store_migrations[];
extern const size_t store_n_migrations;
/* Is this one of our databases, of a version that m knows? -ZT_ECORRUPT, -ZT_EVERSION. */
int migrate_check(struct store *s, const struct migration *m, size_t n) ZT_MUST_USE;
int migrate_apply(struct store *s, const struct migration *m, size_t n) ZT_MUST_USE;

/* --- commit.c: what a change does; the record is made of it --- */

struct effect {
	char object[ZT_EMAIL_MAX + 16]; /* "device:7" */
	json_t *before;			/* NULL: there was none */
	json_t *after;
	enum budget_kind budget; /* whom a refusal is counted against */
};
typedef int apply_fn(struct store *s, struct change *c, struct effect *e);
apply_fn token_create, token_revoke, device_enroll, device_set_state, device_set_tags,
	device_set_key, user_put, policy_put, policy_confirm, policy_promote, policy_abort;

/* Write what the budgets have only counted so far, as the store closes. */
void commit_flush(struct store *s);
/* A refusal: text into s->problem. Returns err. */
int store_refuse(struct store *s, int err, const char *fmt, ...) ZT_PRINTF(3, 4);

/* --- audit.c: records --- */

struct record {
	uint64_t seq;
	int64_t at_ms;
	const char *actor, *kind, *object, *why, *source;
	const char *before; /* canonical JSON (sorted keys, no spaces); "" when the record changes
			       no row */
	const char *after;
	struct key prev; /* hash of the record before; zero for the first */
};
/* BLAKE2b-256 over "zt-record-1" and all fields, texts with their length in front. */
int record_hash(const struct record *r, struct key *ret) ZT_MUST_USE;
/* Append in the open transaction; seq and prev are set. Takes nothing; before may be NULL. */
int record_append(struct store *s, struct record *r, const json_t *before, const json_t *after,
		  bool changes_row) ZT_MUST_USE;
struct head {
	uint64_t seq, records;
	struct key hash;
};
int head_get(struct store *s, struct head *ret) ZT_MUST_USE;
/* Columns of RECORD_COLUMNS; texts are borrowed until the next step. */
#define RECORD_COLUMNS "seq, at_ms, actor, kind, object, why, source, before, after, prev, hash"
void record_read(struct query *q, struct record *ret, struct key *ret_hash);

/* --- rows --- */

int network_insert(struct store *s, const struct store_network *n) ZT_MUST_USE;
int network_get(struct store *s, struct store_network *ret) ZT_MUST_USE;
int network_check(struct store *s,
		  const struct store_network *n) ZT_MUST_USE; /* -EINVAL with why */
int admin_insert(struct store *s, const struct admin_row *a) ZT_MUST_USE;
int token_get(struct store *s, uint64_t id, struct token_row *ret) ZT_MUST_USE;
/* Spend one use of c->token and fill it. */
int token_spend(struct store *s, struct change *c, struct effect *e) ZT_MUST_USE;
struct device_more {
	int64_t released_s; /* 0: not revoked */
	char version[32], os[64];
};
int device_get(struct store *s, uint32_t id, struct device_row *ret,
	       struct device_more *ret_more) ZT_MUST_USE;
/* The row as it is now into c->device and e->after. */
int device_fill(struct store *s, uint32_t id, struct change *c, struct effect *e) ZT_MUST_USE;
/* -ZT_EEXISTS when any device ever had key, of either kind; what: "identity" for the message. */
int device_key_free(struct store *s, const struct key *key, const char *what) ZT_MUST_USE;
int device_key_keep(struct store *s, const struct key *key, uint32_t device) ZT_MUST_USE;
int user_is_disabled(struct store *s, const char *email, bool *ret) ZT_MUST_USE;
int policy_insert(struct store *s,
		  struct policy_row *p) ZT_MUST_USE; /* version and at_s as given */

/* --- address.c: an index that stands for one address in each network --- */

enum { ADDRESS_FIRST = 2 }; /* 0 is the network's, 1 the controller's */
/* The last index that both networks have, their last address left out; below ADDRESS_FIRST when
 * there is none. */
uint32_t address_last(const struct store_network *n);
int address_of(const struct store_network *n, uint32_t index, struct addr *ret4,
	       struct addr *ret6) ZT_MUST_USE;
/* The next one that is not held and has rested. -ENOSPC. */
int address_take(struct store *s, int64_t now_s, uint32_t *ret_index) ZT_MUST_USE;

/* --- json.c: rows as they stand in records; what verify compares. NULL: out of memory --- */

json_t *json_names(const char (*name)[ZT_NAME_MAX + 1], size_t n);
json_t *json_time(int64_t s);
json_t *json_of_network(const struct store_network *n);
json_t *json_of_admin(const struct admin_row *a);
json_t *json_of_token(const struct token_row *t);
json_t *json_of_device(const struct device_row *d, const struct device_more *m);
json_t *json_of_user(const struct user_row *u);
json_t *json_of_policy(const struct policy_row *p, const struct key *hash);

/* Listings: append row, and at the end give the list or drop it. */
void list_add(struct query *q, json_t *list, json_t *row);
int list_end(struct query *q, json_t *list, json_t **ret) ZT_MUST_USE;

/* A row as JSON, for verify. id as in the object's name. -ZT_EABSENT. */
typedef int row_json_fn(struct store *s, const char *id, json_t **ret);
row_json_fn network_row_json, admin_row_json, token_row_json, device_row_json, user_row_json,
	policy_row_json;
