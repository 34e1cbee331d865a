/* What the tests of the store share: a store in a directory of its own, and changes in one line. */
#pragma once

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "controller/store/db.h"

#define FIXTURE_UNUSED __attribute__((unused))

enum { NOW_S = 1800000000 };
static const int64_t now_ms = INT64_C(1000) * NOW_S;

struct fixture {
	char dir[64];
	char path[96];
	struct store *s;
};

static struct key key_number(uint32_t n)
{
	struct key k = {.b = {0xa5}};

	memcpy(k.b + 8, &n, sizeof(n));
	return k;
}

/* Store the change; the test fails where the result is another one. Its diag is in fixture_diag. */
static FIXTURE_UNUSED struct diag fixture_diag;
static FIXTURE_UNUSED int commit(struct fixture *f, struct change *c)
{
	if (!c->at_ms)
		c->at_ms = now_ms;
	if (!*c->actor)
		snprintf(c->actor, sizeof(c->actor), "admin:1 (root)");
	memset(&fixture_diag, 0, sizeof(fixture_diag));
	return store_commit(f->s, c, &fixture_diag);
}

static FIXTURE_UNUSED int fixture_create(const char *path, const char *net4, const char *net6)
{
	struct store_network n = {.name = "test", .url = "https://controller.example:8443"};
	struct admin_row admin = {
		.id = 1, .name = "root", .secret_hash = key_number(1), .created_s = NOW_S};
	struct policy_row policy = {
		.text = (char *)"# deny\n", .len = 7, .author = "system", .why = "init"};
	struct diag d = {0};

	if (net4)
		assert_int_equal(prefix_parse(net4, &n.net4), 0);
	if (net6)
		assert_int_equal(prefix_parse(net6, &n.net6), 0);
	return store_create(path, &n, &admin, &policy, now_ms, &d);
}

static FIXTURE_UNUSED void fixture_dir(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/zt.db", f->dir);
}

static FIXTURE_UNUSED void fixture_init(struct fixture *f, const char *net4, const char *net6)
{
	struct diag d = {0};

	fixture_dir(f);
	assert_int_equal(fixture_create(f->path, net4, net6), 0);
	assert_int_equal(store_open(f->path, &f->s, &d), 0);
}

static FIXTURE_UNUSED void fixture_reopen(struct fixture *f)
{
	struct diag d = {0};

	store_close(f->s);
	f->s = NULL;
	assert_int_equal(store_open(f->path, &f->s, &d), 0);
}

static FIXTURE_UNUSED void fixture_done(struct fixture *f)
{
	static const char *const suffixes[] = {"",	"-wal", "-shm", "-journal",
					       ".lock", ".new", ".copy"};
	char file[128];

	store_close(f->s);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(file, sizeof(file), "%s%s", f->path, suffixes[i]);
		unlink(file);
	}
	rmdir(f->dir);
}

/* SQL behind the store's back, as somebody with an editor would. */
static FIXTURE_UNUSED void fixture_sql(struct fixture *f, const char *sql)
{
	char *problem = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &problem) != SQLITE_OK)
		fail_msg("%s: %s", sql, problem);
	sqlite3_close(db);
}

static FIXTURE_UNUSED int64_t fixture_number(struct fixture *f, const char *sql)
{
	sqlite3_stmt *st;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(f->s->db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* A token of ada's with n uses, for an hour; its secret's hash is key_number(1000 + id). */
static FIXTURE_UNUSED uint64_t token_for(struct fixture *f, const char *user, const char *tag,
					 uint32_t uses)
{
	struct change c = {.kind = CHANGE_TOKEN_CREATE};
	static uint32_t made;

	c.token.uses = uses;
	c.token.created_s = NOW_S;
	c.token.expires_s = NOW_S + 3600;
	c.token.secret_hash = key_number(1000000 + ++made);
	if (user)
		assert_int_equal(txt_copy(c.token.user, sizeof(c.token.user), user), 0);
	if (tag)
		assert_int_equal(tags_add(&c.token.tags, tag), 0);
	assert_int_equal(commit(f, &c), 0);
	return c.token.id;
}

static FIXTURE_UNUSED struct key token_hash(struct fixture *f, uint64_t id)
{
	struct token_row t;

	assert_int_equal(token_get(f->s, id, &t), 0);
	return t.secret_hash;
}

/* The change that enrols device with keys made of number by token. */
static FIXTURE_UNUSED struct change enroll_change(uint64_t token, const struct key *hash,
						  const char *name, uint32_t number)
{
	struct change c = {.kind = CHANGE_DEVICE_ENROLL, .at_ms = now_ms};

	snprintf(c.actor, sizeof(c.actor), "token:%" PRIu64, token);
	snprintf(c.source, sizeof(c.source), "192.0.2.7:40000");
	c.token.id = token;
	c.token.secret_hash = *hash;
	assert_int_equal(txt_copy(c.device.name, sizeof(c.device.name), name), 0);
	c.device.identity = key_number(2 * number);
	c.device.wg_key = key_number(2 * number + 1);
	c.device.created_s = NOW_S;
	c.device.cert_not_after_s = NOW_S + 86400;
	return c;
}

static FIXTURE_UNUSED uint32_t device_for(struct fixture *f, uint64_t token, const char *name,
					  uint32_t number)
{
	struct key hash = token_hash(f, token);
	struct change c = enroll_change(token, &hash, name, number);

	assert_int_equal(commit(f, &c), 0);
	return c.device.id;
}

static FIXTURE_UNUSED int set_state(struct fixture *f, uint32_t id, enum device_state state,
				    int64_t at_ms)
{
	struct change c = {.kind = CHANGE_DEVICE_STATE, .at_ms = at_ms, .why = "test"};

	c.device.id = id;
	c.device.state = state;
	return commit(f, &c);
}

static FIXTURE_UNUSED struct device_row device_of(struct fixture *f, uint32_t id)
{
	struct device_more more;
	struct device_row d;

	assert_int_equal(device_get(f->s, id, &d, &more), 0);
	return d;
}

static FIXTURE_UNUSED struct store_verdict verdict_of(struct fixture *f)
{
	struct store_verdict v;

	assert_int_equal(store_audit_verify(f->s, &v), 0);
	return v;
}

static FIXTURE_UNUSED void assert_whole(struct fixture *f)
{
	struct store_verdict v = verdict_of(f);

	assert_string_equal(v.problem, "");
	assert_int_equal(v.first_bad, 0);
}

/* The newest record, as the listing gives it. The caller drops *ret_list. */
static FIXTURE_UNUSED json_t *newest(struct fixture *f, json_t **ret_list)
{
	assert_int_equal(store_audit_list(f->s, 0, ret_list), 0);
	return json_array_get(*ret_list, json_array_size(*ret_list) - 1);
}
