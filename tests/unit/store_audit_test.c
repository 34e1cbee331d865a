/* The change log: what stands in it, what does not, what it cannot be made to grow to, and that
 * tampering shows. */
#include "tests/unit/store_fixture.h"

static const char *text_of(const json_t *record, const char *field)
{
	return json_string_value(json_object_get(record, field));
}

/* A store with a token, two devices (the second revoked), a user and a second policy: 10 records.
 */
static void fixture_history(struct fixture *f)
{
	struct change u = {.kind = CHANGE_USER_PUT, .user = {.email = "ada@example.com"}};
	struct change p = {.kind = CHANGE_POLICY_PUT};
	uint64_t token;

	fixture_init(f, "10.0.0.0/24", "fd00::/64");
	token = token_for(f, NULL, "db", 5);
	device_for(f, token, "one", 1);
	device_for(f, token, "two", 2);
	assert_int_equal(set_state(f, 2, DEVICE_REVOKED, 0), 0);
	assert_int_equal(commit(f, &u), 0);
	p.policy = (struct policy_row){
		.text = (char *)"# two", .len = 5, .author = "admin:1", .why = "second"};
	assert_int_equal(commit(f, &p), 0);
	u.user.disabled = true;
	assert_int_equal(commit(f, &u), 0);
}

/* --- what stands in it --- */

static void every_kind_has_its_record(void **state)
{
	static const struct {
		const char *kind, *object, *why;
		const char *before, *after; /* a field that changed, as "name=value" in the text */
	} rows[] = {
		{"network.create", "network", "init", "{}", "\"network4\":\"10.0.0.0/24\""},
		{"admin.create", "admin:1", "init", "{}", "\"name\":\"root\""},
		{"policy.put", "policy:1", "init", "{}", "\"version\":1"},
		{"token.create", "token:1", "", "{}", "\"uses\":5"},
		{"device.enroll", "device:1", "", "{}", "\"name\":\"one\""},
		{"device.enroll", "device:2", "", "{}", "\"addresses\":[\"10.0.0.3\",\"fd00::3\"]"},
		{"device.state", "device:2", "test", "\"state\":\"active\"",
		 "\"state\":\"revoked\""},
		{"user.put", "user:ada@example.com", "", "{}", "\"disabled\":false"},
		{"policy.put", "policy:2", "second", "\"version\":1", "\"version\":2"},
		{"user.put", "user:ada@example.com", "", "\"disabled\":false", "\"disabled\":true"},
	};
	struct fixture f;
	json_t *list;

	(void)state;
	fixture_history(&f);
	assert_int_equal(store_audit_list(f.s, 0, &list), 0);
	assert_int_equal(json_array_size(list), N_OF(rows));
	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *r = json_array_get(list, i);
		char *before = json_dumps(json_object_get(r, "before"), JSON_COMPACT);
		char *after = json_dumps(json_object_get(r, "after"), JSON_COMPACT);

		assert_int_equal(json_object_size(r), 10);
		assert_int_equal(json_integer_value(json_object_get(r, "seq")), i + 1);
		assert_string_equal(text_of(r, "at"), "2027-01-15T08:00:00Z");
		row_check(rows[i].object, txt_equal(text_of(r, "kind"), rows[i].kind));
		row_check(rows[i].object, txt_equal(text_of(r, "object"), rows[i].object));
		row_check(rows[i].object, txt_equal(text_of(r, "why"), rows[i].why));
		row_check(rows[i].object, strstr(before, rows[i].before));
		row_check(rows[i].object, strstr(after, rows[i].after));
		assert_int_equal(strlen(text_of(r, "hash")), 2 * ZT_HASH_LEN);
		free(before);
		free(after);
	}
	assert_string_equal(text_of(json_array_get(list, 4), "actor"), "token:1");
	assert_string_equal(text_of(json_array_get(list, 4), "source"), "192.0.2.7:40000");
	json_decref(list);
	fixture_done(&f);
}

static void lists_begin_where_asked(void **state)
{
	static const struct {
		const char *says;
		int64_t since_ms;
		size_t n;
	} rows[] = {
		{"all", 0, 10},
		{"from the first moment on", now_ms, 10},
		{"from a moment later on", now_ms + 1, 0},
	};
	struct change c = {.kind = CHANGE_POSTURE, .at_ms = now_ms + 5000, .actor = "device:1"};
	struct fixture f;
	json_t *list;

	(void)state;
	fixture_history(&f);
	for (size_t i = 0; i < N_OF(rows); i++) {
		assert_int_equal(store_audit_list(f.s, rows[i].since_ms, &list), 0);
		row_check(rows[i].says, json_array_size(list) == rows[i].n);
		json_decref(list);
	}
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(store_audit_list(f.s, now_ms + 5000, &list), 0);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	fixture_done(&f);
}

static void lists_have_a_limit(void **state)
{
	struct fixture f;
	json_t *list;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	assert_int_equal(db_exec(f.s, "PRAGMA synchronous = OFF"), 0);
	assert_int_equal(db_begin(f.s), 0);
	for (int i = 0; i < STORE_LIST_MAX + 2; i++) {
		struct record r = {.at_ms = now_ms + i,
				   .actor = "a",
				   .kind = "posture",
				   .object = "",
				   .why = "",
				   .source = ""};
		json_t *after = json_object();

		assert_int_equal(record_append(f.s, &r, NULL, after, false), 0);
		json_decref(after);
	}
	assert_int_equal(db_commit(f.s), 0);
	assert_int_equal(store_audit_list(f.s, 0, &list), 0);
	assert_int_equal(json_array_size(list), STORE_LIST_MAX);
	/* the newest ones, oldest first */
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "seq")),
			 3 + 3);
	json_decref(list);
	assert_whole(&f);
	fixture_done(&f);
}

static void details_are_checked(void **state)
{
	static char endless[STORE_DETAIL_MAX + 32];
	static const struct {
		const char *says;
		char *detail;
		int err;
		const char *after;
	} rows[] = {
		{"an object", (char *)"{\"profile\":\"managed\",\"ok\":false}", 0,
		 "{\"ok\":false,\"profile\":\"managed\"}"},
		{"none", NULL, 0, "{}"},
		{"no JSON", (char *)"profile", -EINVAL, NULL},
		{"an array", (char *)"[1]", -EINVAL, NULL},
		{"one key twice", (char *)"{\"a\":1,\"a\":2}", -EINVAL, NULL},
		{"more behind it", (char *)"{} {}", -EINVAL, NULL},
		{"over the limit", endless, -ZT_ELIMIT, NULL},
	};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	memset(endless, ' ', sizeof(endless) - 3);
	endless[0] = '{';
	endless[sizeof(endless) - 2] = '}';
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = CHANGE_POSTURE, .detail = rows[i].detail};
		json_t *list;

		c.device.id = 7;
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		if (!rows[i].err) {
			json_t *r = newest(&f, &list);
			char *after = json_dumps(json_object_get(r, "after"),
						 JSON_COMPACT | JSON_SORT_KEYS);

			row_check(rows[i].says, txt_equal(after, rows[i].after));
			row_check(rows[i].says, txt_equal(text_of(r, "object"), "device:7"));
			free(after);
			json_decref(list);
		}
	}
	assert_whole(&f);
	fixture_done(&f);
}

static void changes_are_checked(void **state)
{
	static const struct {
		const char *says, *actor, *why, *source;
		int kind, err;
	} rows[] = {
		{"all is well", "system", "", "", CHANGE_POSTURE, 0},
		{"a reason in words", "system", "Grüße, \"x\"", "[2001:db8::1]:1", CHANGE_POSTURE,
		 0},
		{"a reason of two lines", "system", "a\nb", "", CHANGE_POSTURE, -EINVAL},
		{"a reason with an escape code", "system", "\033[2J", "", CHANGE_POSTURE, -EINVAL},
		{"a reason that is no UTF-8", "system", "\xff", "", CHANGE_POSTURE, -EINVAL},
		{"an actor with an escape code", "\033[2J", "", "", CHANGE_POSTURE, -EINVAL},
		{"a source with an escape code", "system", "", "\033[2J", CHANGE_POSTURE, -EINVAL},
		{"a kind that does not exist", "system", "", "", 100, -EINVAL},
		{"a kind below all", "system", "", "", -1, -EINVAL},
	};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = (enum change_kind)rows[i].kind};

		assert_int_equal(txt_copy(c.actor, sizeof(c.actor), rows[i].actor), 0);
		assert_int_equal(txt_copy(c.why, sizeof(c.why), rows[i].why), 0);
		assert_int_equal(txt_copy(c.source, sizeof(c.source), rows[i].source), 0);
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		row_check(rows[i].says, (c.seq != 0) == (rows[i].err == 0));
	}
	assert_int_equal(fixture_number(&f, "SELECT records FROM head"), 3 + 2);
	fixture_done(&f);
}

static void secrets_are_not_in_the_log(void **state)
{
	static const struct {
		const char *says, *sql;
	} rows[] = {
		{"the hash of the token's secret", "SELECT secret_hash FROM token"},
		{"the hash of the administrator's secret", "SELECT secret_hash FROM admin"},
	};
	struct fixture f;
	struct key k, wrong;
	struct change c;
	json_t *list;
	char *all;

	(void)state;
	fixture_history(&f);
	wrong = key_number(4242);
	c = enroll_change(1, &wrong, "x", 9); /* what a stranger tried is not there either */
	assert_int_equal(commit(&f, &c), -ZT_ETOKEN);
	assert_int_equal(store_audit_list(f.s, 0, &list), 0);
	all = json_dumps(list, 0);
	for (size_t i = 0; i <= N_OF(rows); i++) {
		const char *says = i < N_OF(rows) ? rows[i].says : "the wrong secret";
		char hex[65], b64[KEY_TEXT_MAX], url[64];
		sqlite3_stmt *st;

		k = wrong;
		if (i < N_OF(rows)) {
			assert_int_equal(sqlite3_prepare_v2(f.s->db, rows[i].sql, -1, &st, NULL),
					 SQLITE_OK);
			assert_int_equal(sqlite3_step(st), SQLITE_ROW);
			memcpy(k.b, sqlite3_column_blob(st, 0), 32);
			sqlite3_finalize(st);
		}
		txt_hex(k.b, 32, hex);
		key_print(&k, b64);
		assert_int_equal(txt_base64url_encode(k.b, 32, url, sizeof(url)), 0);
		row_check(says, !strstr(all, hex) && !strstr(all, b64) && !strstr(all, url));
		row_check(says,
			  !strstr(fixture_diag.message, hex) && !strstr(fixture_diag.message, b64));
	}
	free(all);
	json_decref(list);
	fixture_done(&f);
}

/* --- refusals and what they may cost --- */

static uint64_t records(struct fixture *f)
{
	return (uint64_t)fixture_number(f, "SELECT records FROM head");
}

static void try_token(struct fixture *f, uint64_t id, const struct key *hash, uint32_t number,
		      int64_t at_ms)
{
	struct change c = enroll_change(id, hash, "x", number);

	c.at_ms = at_ms;
	assert_int_equal(commit(f, &c), -ZT_ETOKEN);
	assert_true(*fixture_diag.message);
}

static void strangers_cannot_fill_the_log(void **state)
{
	struct key wrong = key_number(4242);
	struct fixture f;
	json_t *list, *r;
	uint64_t before;

	(void)state;
	fixture_history(&f);
	before = records(&f);
	for (uint32_t i = 0; i < 500; i++)
		try_token(&f, 100 + i % 2, &wrong, 9, now_ms + i);
	assert_int_equal(records(&f), before + 60);
	/* a minute later one record says how many there were more */
	try_token(&f, 1, &wrong, 9, now_ms + 60000);
	assert_int_equal(records(&f), before + 60 + 1 + 1);
	assert_int_equal(store_audit_list(f.s, now_ms + 60000, &list), 0);
	r = json_array_get(list, 0);
	assert_string_equal(text_of(r, "kind"), "refused");
	assert_string_equal(text_of(r, "actor"), "system");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(r, "after"), "not_recorded")),
		440);
	assert_string_equal(text_of(json_object_get(r, "after"), "since"), "2027-01-15T08:00:00Z");
	json_decref(list);
	/* any change does it, and so does closing the store */
	for (uint32_t i = 0; i < 70; i++)
		try_token(&f, 100, &wrong, 9, now_ms + 60001);
	fixture_reopen(&f);
	assert_int_equal(records(&f), before + 60 + 1 + 60 + 1);
	/* a clock that goes back does not stop the log */
	for (uint32_t i = 0; i < 70; i++)
		try_token(&f, 100, &wrong, 9, now_ms + 86400000);
	before = records(&f);
	try_token(&f, 100, &wrong, 9, now_ms);
	assert_int_equal(records(&f), before + 1 + 1);
	assert_whole(&f);
	fixture_done(&f);
}

static int refuse_commit(void *arg)
{
	(void)arg;
	return 1;
}

/* What a transaction that failed had counted is counted again by the next one. */
static void a_failed_commit_changes_nothing(void **state)
{
	struct change u = {.kind = CHANGE_USER_PUT,
			   .at_ms = now_ms + 60000,
			   .user = {.email = "ada@example.com"}};
	struct key wrong = key_number(4242);
	struct fixture f;
	uint64_t before;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	for (uint32_t i = 0; i < 70; i++)
		try_token(&f, 100, &wrong, 9, now_ms);
	before = records(&f);
	sqlite3_commit_hook(f.s->db, refuse_commit, NULL);
	assert_true(commit(&f, &u) < 0);
	assert_true(*fixture_diag.message);
	assert_int_equal(u.seq, 0);
	sqlite3_commit_hook(f.s->db, NULL, NULL);
	assert_int_equal(records(&f), before);
	assert_int_equal(commit(&f, &u), 0);
	assert_int_equal(records(&f), before + 1 + 1); /* the summary of ten, and the user */
	assert_int_equal(u.seq, before + 2);
	assert_whole(&f);
	fixture_done(&f);
}

static void holders_of_a_spent_token_are_all_recorded(void **state)
{
	struct fixture f;
	uint64_t token, before;
	struct key hash, wrong = key_number(4242);

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 1);
	hash = token_hash(&f, token);
	device_for(&f, token, "one", 1);
	before = records(&f);
	/* strangers do not use up what is meant for them */
	for (uint32_t i = 0; i < 100; i++)
		try_token(&f, 77, &wrong, 9, now_ms);
	for (uint32_t i = 0; i < 63; i++)
		try_token(&f, token, &hash, 2 + i, now_ms);
	assert_int_equal(records(&f), before + 60 + 63);
	/* but there is an end for them too */
	for (uint32_t i = 0; i < 1000; i++)
		try_token(&f, token, &hash, 9, now_ms);
	assert_int_equal(records(&f), before + 60 + 600);
	assert_whole(&f);
	fixture_done(&f);
}

static void notes_of_refusals_have_a_budget_too(void **state)
{
	struct fixture f;
	struct change c = {.kind = CHANGE_REFUSED, .detail = (char *)"{\"tried\":\"session\"}"};
	uint64_t before;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	before = records(&f);
	for (int i = 0; i < 100; i++) {
		c.seq = 0;
		assert_int_equal(commit(&f, &c), 0);
		assert_int_equal(c.seq != 0, i < 60);
	}
	assert_int_equal(records(&f), before + 60);
	c.device.id = 3;
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(records(&f), before + 61);
	assert_whole(&f);
	fixture_done(&f);
}

static void refusals_of_admins_leave_nothing(void **state)
{
	struct fixture f;
	uint64_t before;

	(void)state;
	fixture_history(&f);
	before = records(&f);
	assert_int_equal(set_state(&f, 2, DEVICE_ACTIVE, 0), -ZT_ESTATE);
	assert_non_null(strstr(fixture_diag.message, "two"));
	assert_non_null(strstr(fixture_diag.message, "revoked"));
	assert_int_equal(records(&f), before);
	fixture_done(&f);
}

/* --- batches --- */

static void one_refusal_does_not_stop_the_others(void **state)
{
	enum { N = 5 };
	static const int want[N] = {0, -ZT_ETOKEN, 0, -ZT_ESTATE, 0};
	struct change c[N] = {0}, *batch[N];
	struct fixture f;
	struct diag d = {0};
	int res[N];
	uint64_t before;
	struct key hash;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	hash = token_hash(&f, token_for(&f, NULL, "db", 1));
	before = records(&f);
	c[0] = enroll_change(1, &hash, "one", 1);
	c[1] = enroll_change(1, &hash, "two",
			     2); /* used up by the first, in the same transaction */
	c[2] = (struct change){.kind = CHANGE_USER_PUT, .user = {.email = "ada@example.com"}};
	c[3] = (struct change){.kind = CHANGE_DEVICE_STATE,
			       .device = {.id = 1, .state = DEVICE_PENDING}};
	c[4] = (struct change){.kind = CHANGE_DEVICE_STATE,
			       .device = {.id = 1, .state = DEVICE_REVOKED}};
	for (size_t i = 0; i < N; i++) {
		batch[i] = &c[i];
		c[i].at_ms = now_ms;
		snprintf(c[i].actor, sizeof(c[i].actor), "admin:1");
	}
	assert_int_equal(store_commit_batch(f.s, batch, N, res, &d), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(res[i], want[i]);
	assert_int_equal(c[0].device.id, 1);
	assert_int_equal(c[1].device.id, 0);
	assert_string_equal(c[1].device.name, "two"); /* untouched */
	assert_int_equal(c[4].device.state, DEVICE_REVOKED);
	assert_non_null(strstr(d.message, "used up")); /* the first refusal's */
	assert_int_equal(records(&f), before + 4);     /* three changes, one refusal */
	assert_int_equal(store_commit_batch(f.s, batch, 0, res, &d), 0);
	assert_int_equal(records(&f), before + 4);
	assert_whole(&f);
	fixture_done(&f);
}

/* --- tampering --- */

#define UNLOCK                                                                                     \
	"PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; DROP TRIGGER "           \
	"record_is_final; DROP TRIGGER "                                                           \
	"record_stays; DROP TRIGGER device_stays; DROP TRIGGER device_key_stays; DROP TRIGGER "    \
	"policy_is_final; "                                                                        \
	"DROP TRIGGER policy_stays; "

/* Ten records, see fixture_history. */
static void tampering_shows(void **state)
{
	static const struct {
		const char *says, *sql;
		uint64_t first_bad;
		const char *problem;
	} rows[] = {
		{"nothing", "SELECT 1", 0, ""},
		{"a reason is rewritten", "UPDATE record SET why = 'x' WHERE seq = 7", 7,
		 "record 7 was changed"},
		{"an actor is rewritten", "UPDATE record SET actor = 'admin:2' WHERE seq = 5", 5,
		 "record 5 was changed"},
		{"a time is rewritten", "UPDATE record SET at_ms = at_ms + 1 WHERE seq = 1", 1,
		 "record 1 was changed"},
		{"a kind is rewritten", "UPDATE record SET kind = 'posture' WHERE seq = 7", 7,
		 "record 7 was changed"},
		{"an object is rewritten", "UPDATE record SET object = 'device:1' WHERE seq = 7", 7,
		 "record 7 was"},
		{"a source is removed", "UPDATE record SET source = '' WHERE seq = 5", 5,
		 "record 5 was changed"},
		{"what was before is rewritten", "UPDATE record SET before = '{}' WHERE seq = 7", 7,
		 "record 7 was"},
		{"what came after is rewritten", "UPDATE record SET after = '{}' WHERE seq = 10",
		 10, "record 10 was"},
		{"text moves from one field to the next",
		 "UPDATE record SET actor = 'admin:1', kind = ' (root)' || kind"
		 " WHERE seq = 7",
		 7, "record 7 was"},
		{"a hash is rewritten", "UPDATE record SET hash = zeroblob(32) WHERE seq = 7", 7,
		 "record 7 was changed"},
		{"a link is rewritten", "UPDATE record SET prev = zeroblob(32) WHERE seq = 7", 7,
		 "does not follow"},
		{"a record is not UTF-8",
		 "UPDATE record SET why = CAST(x'ff' AS TEXT) WHERE seq = 7", 7, "not readable"},
		{"a record in the middle is gone", "DELETE FROM record WHERE seq = 7", 7,
		 "record 7 is missing"},
		{"the first record is gone", "DELETE FROM record WHERE seq = 1", 1,
		 "record 1 is missing"},
		{"the newest record is gone", "DELETE FROM record WHERE seq = 10", 10, "cut off"},
		{"the newest three are gone", "DELETE FROM record WHERE seq > 7", 8,
		 "ends at record 7 of 10"},
		{"the whole log is gone", "DELETE FROM record", 1, "cut off"},
		{"the newest is gone and head follows, hash and all",
		 "UPDATE head SET seq = 9, records = 9, hash = (SELECT hash FROM record WHERE seq "
		 "= 9);"
		 " DELETE FROM record WHERE seq = 10",
		 8, "user:ada@example.com: disabled is not what record 8 says"},
		{"head names fewer records", "UPDATE head SET seq = 9, records = 9", 10,
		 "head of the log does not match"},
		{"head's hash is another", "UPDATE head SET hash = zeroblob(32)", 10,
		 "head of the log does not match"},
		{"head is gone", "DELETE FROM head", 11, "head of the log is missing"},
		{"two records are exchanged",
		 "UPDATE record SET seq = 100 WHERE seq = 5;"
		 " UPDATE record SET seq = 5 WHERE seq = 6;"
		 " UPDATE record SET seq = 6 WHERE seq = 100",
		 5, "does not follow"},
		{"a revoked device lives again",
		 "UPDATE device SET state = 1, released_s = NULL WHERE id = 2", 7,
		 "device:2: released is not what record 7 says"},
		{"a device has other tags", "UPDATE device SET tags = '[\"admin\"]' WHERE id = 1",
		 5, "device:1: tags"},
		{"a device has an owner",
		 "UPDATE device SET owner = 'eve@example.com' WHERE id = 1", 5, "device:1: owner"},
		{"a device has another key",
		 "UPDATE device SET wg_key = randomblob(32) WHERE id = 1", 5, "device:1: wg_key"},
		{"a device has another address", "UPDATE device SET address = 9 WHERE id = 1", 5,
		 "device:1: addresses"},
		{"a device's row cannot be read", "UPDATE device SET tags = 'x' WHERE id = 1", 5,
		 "device:1 is not readable"},
		{"a device is gone", "DELETE FROM device WHERE id = 1", 5, "device:1 is missing"},
		{"a device nobody enrolled",
		 "INSERT INTO device SELECT 3, 'evil', owner, tags, randomblob(32), "
		 "randomblob(32), 9, 1, created_s, NULL,"
		 " token, cert_not_after_s, 0, 0, '', '' FROM device WHERE id = 1",
		 10, "device:3 rows, but records of 2"},
		{"a spent key is free again", "DELETE FROM device_key WHERE device = 1", 10,
		 "device:1: its keys"},
		{"a token has its uses back", "UPDATE token SET uses_left = 5", 10,
		 "token:1: its uses left"},
		{"a token lives longer", "UPDATE token SET expires_s = expires_s + 9", 4,
		 "token:1: expires"},
		{"a token enrols for another", "UPDATE token SET user = 'eve@example.com'", 4,
		 "token:1: user"},
		{"a token nobody made",
		 "INSERT INTO token SELECT 9, name, secret_hash, user, tags, 1, 1, 0, 0, 0, 1 FROM "
		 "token",
		 10, "token:2 rows, but records of 1"},
		{"a user is enabled", "UPDATE user SET disabled = 0", 10,
		 "user:ada@example.com: disabled"},
		{"a user is gone", "DELETE FROM user", 10, "user:ada@example.com is missing"},
		{"a policy's text and hash are edited",
		 "UPDATE policy SET text = (SELECT text FROM policy WHERE version = 1), hash = "
		 "(SELECT hash FROM policy WHERE"
		 " version = 1) WHERE version = 2",
		 9, "policy:2: "},
		{"a policy's author is another", "UPDATE policy SET author = 'x' WHERE version = 2",
		 9, "policy:2: author"},
		{"a policy is gone", "DELETE FROM policy WHERE version = 2", 9,
		 "policy:2 is missing"},
		{"a second administrator", "INSERT INTO admin VALUES (2, 'eve', randomblob(32), 1)",
		 10, "admin:2 rows"},
		{"the network is another", "UPDATE network SET url = 'https://evil.example'", 1,
		 "network: url"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct store_verdict v;
		struct fixture f;
		char sql[1400];

		fixture_history(&f);
		snprintf(sql, sizeof(sql), UNLOCK "BEGIN; %s; COMMIT;", rows[i].sql);
		fixture_sql(&f, sql);
		v = verdict_of(&f);
		if (!strstr(v.problem, rows[i].problem) || (!*rows[i].problem && *v.problem))
			fail_msg("%s: \"%s\"", rows[i].says, v.problem);
		if (v.first_bad != rows[i].first_bad)
			fail_msg("%s: first_bad %" PRIu64, rows[i].says, v.first_bad);
		fixture_done(&f);
	}
}

static void a_whole_log_says_how_long_it_is(void **state)
{
	struct store_verdict v;
	struct fixture f;
	json_t *list;

	(void)state;
	fixture_history(&f);
	v = verdict_of(&f);
	assert_int_equal(v.records, 10);
	assert_int_equal(v.first_bad, 0);
	assert_string_equal(v.head, text_of(newest(&f, &list), "hash"));
	json_decref(list);
	fixture_done(&f);
}

/* The encoding is for ever: old logs must verify with new programs. */
static void the_hash_is_what_it_was(void **state)
{
	static const struct record r = {.seq = 1,
					.at_ms = 2,
					.actor = "admin:1",
					.kind = "user.put",
					.object = "user:a@b.c",
					.why = "",
					.source = "192.0.2.1:5",
					.before = "{}",
					.after = "{\"x\":1}",
					.prev = {.b = {1, 2, 3}}};
	struct record other = r;
	struct key a, b;
	char hex[65];

	(void)state;
	assert_int_equal(record_hash(&r, &a), 0);
	txt_hex(a.b, 32, hex);
	assert_string_equal(hex,
			    "c9436a06fdedf0bc665d8929e0120dc9c7dc430779fff774627f1b6fb3f9b666");
	other.why = "{}";
	other.before = "";
	assert_int_equal(record_hash(&other, &b), 0);
	assert_false(key_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_its_record),
		cmocka_unit_test(lists_begin_where_asked),
		cmocka_unit_test(lists_have_a_limit),
		cmocka_unit_test(details_are_checked),
		cmocka_unit_test(changes_are_checked),
		cmocka_unit_test(secrets_are_not_in_the_log),
		cmocka_unit_test(strangers_cannot_fill_the_log),
		cmocka_unit_test(a_failed_commit_changes_nothing),
		cmocka_unit_test(holders_of_a_spent_token_are_all_recorded),
		cmocka_unit_test(notes_of_refusals_have_a_budget_too),
		cmocka_unit_test(refusals_of_admins_leave_nothing),
		cmocka_unit_test(one_refusal_does_not_stop_the_others),
		cmocka_unit_test(tampering_shows),
		cmocka_unit_test(a_whole_log_says_how_long_it_is),
		cmocka_unit_test(the_hash_is_what_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
