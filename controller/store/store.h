/* Store: SQLite (WAL) behind one interface; every mutation and its change record in one
 * transaction; records form a BLAKE2b hash chain. Calls block (fsync): only the worker thread makes
 * them once the controller serves (see controller/worker.h). One struct store is used by one thread
 * at a time. */
#pragma once

#include <jansson.h>

#include "zt/arena.h"
#include "controller/model/change.h"

struct store;

struct store_network { /* set at creation, never changed */
	char name[ZT_NAME_MAX + 1];
	char url[ZT_URL_MAX + 1];
	struct prefix net4, net6; /* family ADDR_NONE: not used */
};

/* Make the file (0600; -EEXIST when there is one) with schema, network, first admin, and first
 * policy version. */
int store_create(const char *path, const struct store_network *n, const struct admin_row *admin,
		 const struct policy_row *policy, int64_t now_ms, struct diag *d) ZT_MUST_USE;
/* Open and migrate. Refuses with one line and a hint: missing (-ENOENT), not a database or damaged
 * (-ZT_ECORRUPT; runs quick_check), newer schema (-ZT_EVERSION), locked by another controller
 * (-EBUSY; holds an flock on PATH.lock), no permission. */
int store_open(const char *path, struct store **ret, struct diag *d) ZT_MUST_USE;
void store_close(struct store *s);

/* What the last failed call found, for people: table, row and column where it is data. */
const struct diag *store_problem(const struct store *s);

int store_network(struct store *s, struct store_network *ret) ZT_MUST_USE;

/* One transaction: the mutation and its record. Fills c as change.h says. Refusals leave nothing
 * but, where change.h's kinds say audited, a record of kind CHANGE_REFUSED in a transaction of its
 * own: -ZT_ETOKEN (unknown, secret wrong, used up, expired, revoked, its user disabled: d says
 * which, for the audit; the caller tells the device only what it must), -ZT_EEXISTS (a key that
 * another device has), -ZT_EABSENT, -ZT_ESTATE (e.g. approve a revoked device; owner and tags both
 * empty), -ENOSPC (disk full, addresses used up), -EIO. */
int store_commit(struct store *s, struct change *c, struct diag *d) ZT_MUST_USE;
/* Several in one transaction (group commit): result of each in res[]; all-or-nothing only against
 * crashes. */
int store_commit_batch(struct store *s, struct change **c, size_t n, int *res,
		       struct diag *d) ZT_MUST_USE;

/* Not audited, one transaction for all: last report of devices (encoded, replaces), last_seen,
 * serials, certificates. */
struct store_touch {
	uint32_t device;
	int64_t last_seen_s;	  /* 0: leave */
	int64_t cert_not_after_s; /* 0: leave */
	uint64_t serial;	  /* 0: leave; otherwise only ever upwards */
	const void *report;	  /* NULL: leave */
	size_t report_len;
	int64_t report_ms;
	char version[32], os[64]; /* "": leave */
};
int store_touch(struct store *s, const struct store_touch *t, size_t n, struct diag *d) ZT_MUST_USE;

/* Load at start. fn returns 0 or an error that ends it. */
int store_each_device(struct store *s,
		      int (*fn)(void *arg, const struct device_row *d, const void *report,
				size_t report_len, int64_t report_ms, const char *version,
				const char *os),
		      void *arg) ZT_MUST_USE;
int store_each_user(struct store *s, int (*fn)(void *arg, const struct user_row *u),
		    void *arg) ZT_MUST_USE;
int store_each_admin(struct store *s, int (*fn)(void *arg, const struct admin_row *a),
		     void *arg) ZT_MUST_USE;

/* Version 0: the one in force. Texts in a. -ZT_EABSENT. */
int store_policy_get(struct store *s, uint32_t version, struct arena *a,
		     struct policy_row *ret) ZT_MUST_USE;
/* The one that is tried beside it. -ZT_EABSENT: there is none. */
int store_policy_canary(struct store *s, struct arena *a, struct policy_row *ret) ZT_MUST_USE;
/* Listings as the JSON of the CLI contract, newest first: at most 10,000 rows (limit 0: all up to
 * that). */
int store_policy_log(struct store *s, json_t **ret)
	ZT_MUST_USE; /* [{"version","author","at","why","bytes","changes","state"}] */
/* One of them, whose changes name each rule: changes.list. -ZT_EABSENT. */
int store_policy_log_one(struct store *s, uint32_t version, json_t **ret) ZT_MUST_USE;
int store_token_list(struct store *s, int64_t now_s, json_t **ret) ZT_MUST_USE;
/* [{"id","name","user","tags":[],"uses","uses_left","approve","state":"valid|used|expired|revoked","created","expires"}]
 */
int store_audit_list(struct store *s, int64_t since_ms, json_t **ret) ZT_MUST_USE;
/* oldest first: [{"seq","at","actor","kind","object","why","source","before":{},"after":{},"hash"}]
 */

/* Records in the log now. */
int store_records(struct store *s, uint64_t *ret) ZT_MUST_USE;

struct store_verdict {
	uint64_t records;		/* checked */
	uint64_t first_bad;		/* 0: chain whole */
	char head[2 * ZT_HASH_LEN + 1]; /* hash of the newest record, hex */
	char problem[200];		/* "" when whole */
};
/* Recompute the whole chain, and check that the newest record's hash, count, and the rows' own
 * state digest agree (so that cutting off the end is seen too: head and count are also kept in a
 * row of their own). */
int store_audit_verify(struct store *s, struct store_verdict *ret) ZT_MUST_USE;
