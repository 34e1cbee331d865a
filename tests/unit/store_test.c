/* The store's rows: tokens, devices, addresses, users, policies; what each change does and what it
 * refuses. */
#include "tests/unit/store_fixture.h"

/* --- words and sets --- */

static void names_are_stable(void **state)
{
	static const char *const states[] = {"pending", "active", "revoked", "expired"};
	static const char *const kinds[] = {"token.create",   "token.revoke", "device.enroll",
					    "device.state",   "device.tags",  "device.key",
					    "user.put",	      "policy.put",   "policy.confirm",
					    "policy.promote", "policy.abort", "policy.review",
					    "posture",	      "refused"};
	static const char *const trials[] = {"", "open", "confirmed", "promoted", "aborted"};

	(void)state;
	for (size_t i = 0; i < N_OF(states); i++)
		assert_string_equal(device_state_name((enum device_state)i), states[i]);
	for (size_t i = 0; i < N_OF(trials); i++)
		assert_string_equal(trial_state_name((enum trial_state)i), trials[i]);
	for (size_t i = 0; i < N_OF(kinds); i++)
		assert_string_equal(change_kind_name((enum change_kind)i), kinds[i]);
}

static void tags_are_sorted_sets(void **state)
{
	static const struct {
		const char *says, *add, *remove, *want;
		int result; /* of the call */
	} rows[] = {
		{"the first", "db", NULL, "db", 0},
		{"one that sorts before it", "aa", NULL, "aa db", 0},
		{"one that sorts after it", "web", NULL, "aa db web", 0},
		{"one that is there", "db", NULL, "aa db web", 0},
		{"one that is no name", "D B", NULL, "aa db web", -ZT_EFORM},
		{"one is taken out of the middle", NULL, "db", "aa web", true},
		{"one that is not there is taken out", NULL, "db", "aa web", false},
	};
	struct tags t = {0};
	char name[16];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		char is[128] = "";

		if (rows[i].add)
			row_check(rows[i].says, tags_add(&t, rows[i].add) == rows[i].result);
		if (rows[i].remove)
			row_check(rows[i].says, tags_remove(&t, rows[i].remove) == rows[i].result);
		for (size_t j = 0; j < t.n; j++)
			snprintf(is + strlen(is), sizeof(is) - strlen(is), "%s%s", j ? " " : "",
				 t.name[j]);
		row_check(rows[i].says, txt_equal(is, rows[i].want));
		row_check(rows[i].says, tags_are_valid(&t));
	}
	for (int i = 0; t.n < ZT_TAGS_MAX; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(tags_add(&t, name), 0);
	}
	assert_int_equal(tags_add(&t, "one-more"), -ZT_ELIMIT);
	memcpy(t.name[1], "zz", 3);
	assert_false(tags_are_valid(&t));
}

/* --- making --- */

static int see_admin(void *arg, const struct admin_row *a)
{
	*(struct admin_row *)arg = *a;
	return 0;
}

static void create_makes_a_whole_store(void **state)
{
	struct admin_row admin = {0};
	struct store_network n;
	struct policy_row p;
	struct fixture f;
	struct arena a;
	struct stat st;
	char net[PREFIX_TEXT_MAX], file[128];

	(void)state;
	fixture_init(&f, "100.64.0.0/10", "fd00:1::/64");
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(file, sizeof(file), "%s-wal", f.path);
	token_for(&f, "ada@example.com", NULL, 1);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(file, sizeof(file), "%s.new", f.path);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(store_network(f.s, &n), 0);
	assert_string_equal(n.name, "test");
	assert_string_equal(n.url, "https://controller.example:8443");
	prefix_print(&n.net6, net);
	assert_string_equal(net, "fd00:1::/64");
	assert_int_equal(store_each_admin(f.s, see_admin, &admin), 0);
	assert_string_equal(admin.name, "root");
	arena_init(&a, 1 << 20);
	assert_int_equal(store_policy_get(f.s, 0, &a, &p), 0);
	assert_int_equal(p.version, 1);
	assert_string_equal(p.text, "# deny\n");
	arena_done(&a);
	assert_whole(&f);
	fixture_done(&f);
}

static void create_refuses(void **state)
{
	static const struct {
		const char *says, *net4, *net6;
		int err;
	} rows[] = {
		{"no range at all", NULL, NULL, -EINVAL},
		{"an IPv4 range with two addresses", "10.0.0.0/31", NULL, -EINVAL},
		{"an IPv4 range with one address", "10.0.0.1/32", NULL, -EINVAL},
		{"an IPv4 range whose only free address is the controller's", "10.0.0.0/30", NULL,
		 0},
		{"an IPv6 range of one address beside a wide IPv4 range", "10.0.0.0/8",
		 "fd00::1/128", -EINVAL},
		{"an IPv6 range of any width alone", NULL, "fd00::/16", 0},
		{"the widest ranges", "0.0.0.0/0", "::/0", 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct fixture f;

		fixture_dir(&f);
		row_check(rows[i].says,
			  fixture_create(f.path, rows[i].net4, rows[i].net6) == rows[i].err);
		row_check(rows[i].says, (access(f.path, F_OK) == 0) == (rows[i].err == 0));
		fixture_done(&f);
	}
}

static void create_never_overwrites(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token_for(&f, "ada@example.com", NULL, 1);
	store_close(f.s);
	f.s = NULL;
	assert_int_equal(fixture_create(f.path, "10.0.0.0/24", NULL), -EEXIST);
	fixture_reopen(&f);
	assert_int_equal(fixture_number(&f, "SELECT count(*) FROM token"), 1);
	fixture_done(&f);
}

static void connections_are_durable_and_strict(void **state)
{
	static const struct {
		const char *sql;
		int64_t want;
	} rows[] = {
		{"PRAGMA synchronous", 2},
		{"PRAGMA foreign_keys", 1},
		{"PRAGMA trusted_schema", 0},
		{"PRAGMA temp_store", 2},
		{"SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'", 1},
		{"SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND NOT strict AND "
		 "name NOT LIKE 'sqlite%'",
		 0},
	};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].sql, fixture_number(&f, rows[i].sql) == rows[i].want);
	fixture_done(&f);
}

/* --- tokens --- */

static void tokens_are_checked_when_made(void **state)
{
	static const struct {
		const char *says, *user, *tag, *name;
		uint32_t uses;
		int64_t life;
		bool zero_secret;
		int err;
	} rows[] = {
		{"for a user", "ada@example.com", NULL, "", 1, 60, false, 0},
		{"for a tag", NULL, "db", "racks", 5, 60, false, 0},
		{"for a user with a tag", "ada@example.com", "db", "", 1, 60, false, 0},
		{"for nobody", NULL, NULL, "", 1, 60, false, -ZT_ESTATE},
		{"without a use", NULL, "db", "", 0, 60, false, -EINVAL},
		{"without a life", NULL, "db", "", 1, 0, false, -EINVAL},
		{"without a secret", NULL, "db", "", 1, 60, true, -EINVAL},
		{"for what is no address", "Ada", NULL, "", 1, 60, false, -EINVAL},
		{"with an escape code in its name", NULL, "db", "\033[2J", 1, 60, false, -EINVAL},
		{"for a disabled user", "sam@example.com", NULL, "", 1, 60, false, -ZT_ESTATE},
	};
	struct change u = {.kind = CHANGE_USER_PUT,
			   .user = {.email = "sam@example.com", .disabled = true}};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	assert_int_equal(commit(&f, &u), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = CHANGE_TOKEN_CREATE};

		c.token.secret_hash = key_number(rows[i].zero_secret ? 0 : 9);
		if (rows[i].zero_secret)
			memset(&c.token.secret_hash, 0, sizeof(c.token.secret_hash));
		c.token.uses = rows[i].uses;
		c.token.created_s = NOW_S;
		c.token.expires_s = NOW_S + rows[i].life;
		assert_int_equal(txt_copy(c.token.name, sizeof(c.token.name), rows[i].name), 0);
		assert_int_equal(txt_copy(c.token.user, sizeof(c.token.user),
					  rows[i].user ? rows[i].user : ""),
				 0);
		if (rows[i].tag)
			assert_int_equal(tags_add(&c.token.tags, rows[i].tag), 0);
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		row_check(rows[i].says, (c.token.id != 0) == (rows[i].err == 0));
		row_check(rows[i].says, rows[i].err || c.token.uses_left == rows[i].uses);
	}
	assert_whole(&f);
	fixture_done(&f);
}

/* The trust decision "spending of a token": state of the token x secret x time. */
static void tokens_are_spent(void **state)
{
	enum { FRESH, USED, REVOKED, DISABLED };
	static const struct {
		const char *says;
		int token; /* which; -1: an id that does not exist */
		bool right;
		int64_t after_s; /* created */
		int err;
		const char *reason;
	} rows[] = {
		{"a fresh token with its secret, in its first second", FRESH, true, 0, 0, NULL},
		{"a fresh token in its last second", FRESH, true, 3599, 0, NULL},
		{"a fresh token when its life is over", FRESH, true, 3600, -ZT_ETOKEN, "expired"},
		{"a fresh token with a wrong secret", FRESH, false, 0, -ZT_ETOKEN, "wrong secret"},
		{"an expired token with a wrong secret", FRESH, false, 4000, -ZT_ETOKEN,
		 "wrong secret"},
		{"a used token", USED, true, 0, -ZT_ETOKEN, "used up"},
		{"a used token with a wrong secret", USED, false, 0, -ZT_ETOKEN, "wrong secret"},
		{"a used token that is expired too", USED, true, 4000, -ZT_ETOKEN, "used up"},
		{"a revoked token", REVOKED, true, 0, -ZT_ETOKEN, "revoked"},
		{"a revoked token with a wrong secret", REVOKED, false, 0, -ZT_ETOKEN,
		 "wrong secret"},
		{"a token whose user was disabled since", DISABLED, true, 0, -ZT_ETOKEN,
		 "disabled"},
		{"a token that does not exist", -1, true, 0, -ZT_ETOKEN, "unknown"},
	};
	struct change revoke = {.kind = CHANGE_TOKEN_REVOKE};
	struct change disable = {.kind = CHANGE_USER_PUT,
				 .user = {.email = "sam@example.com", .disabled = true}};
	uint64_t token[4];
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token[FRESH] = token_for(&f, NULL, "db", 100);
	token[USED] = token_for(&f, NULL, "db", 1);
	token[REVOKED] = token_for(&f, NULL, "db", 1);
	token[DISABLED] = token_for(&f, "sam@example.com", NULL, 1);
	device_for(&f, token[USED], "first", 1000);
	revoke.token.id = token[REVOKED];
	assert_int_equal(commit(&f, &revoke), 0);
	assert_true(revoke.token.revoked);
	assert_int_equal(commit(&f, &disable), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint64_t id = rows[i].token < 0 ? 77 : token[rows[i].token];
		struct key hash = rows[i].token < 0 ? key_number(5) : token_hash(&f, id);
		struct change c;
		json_t *list;

		hash.b[31] ^= rows[i].right ? 0 : 1;
		c = enroll_change(id, &hash, "host", (uint32_t)i + 1);
		c.at_ms += 1000 * rows[i].after_s;
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		row_check(rows[i].says, (c.device.id != 0) == (rows[i].err == 0));
		if (rows[i].reason) {
			json_t *r = newest(&f, &list);
			const char *reason = json_string_value(
				json_object_get(json_object_get(r, "after"), "reason"));

			row_check(rows[i].says, strstr(fixture_diag.message, rows[i].reason));
			row_check(rows[i].says,
				  txt_equal(json_string_value(json_object_get(r, "kind")),
					    "refused"));
			row_check(rows[i].says, strstr(reason, rows[i].reason));
			json_decref(list);
		}
	}
	assert_int_equal(fixture_number(&f, "SELECT count(*) FROM device"), 3);
	assert_int_equal(fixture_number(&f, "SELECT uses_left FROM token WHERE id = 1"), 98);
	assert_whole(&f);
	fixture_done(&f);
}

/* Whoever sets the controller's clock back: what the log has seen since a token was made is past,
 * for that token. A clock that once stood in the future kills only the tokens that there were. */
static void a_clock_set_back_revives_no_token(void **state)
{
	static const struct {
		const char *says;
		int64_t seen_s, at_s; /* since the token was made: a record's time, then its use */
		bool reopened, spent;
		int err;
		const char *reason;
	} rows[] = {
		{"the log has seen its end", 3600, 10, false, false, -ZT_ETOKEN, "set back"},
		{"the log has seen its end, before a restart", 3600, 10, true, false, -ZT_ETOKEN,
		 "set back"},
		{"the log has seen a time far after its end", 400000, 3599, false, false,
		 -ZT_ETOKEN, "set back"},
		{"a day before it was made", 0, -86400, false, false, -ZT_ETOKEN, "set back"},
		{"spent, and a clock before that", 20, 10, false, true, -ZT_ETOKEN, "used up"},
		{"expired and spent", 3600, 10, true, true, -ZT_ETOKEN, "used up"},
		{"the log has seen all but its end", 3599, 10, false, false, 0, NULL},
		{"a clock that is put right by a few seconds", 0, -5, false, false, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = CHANGE_USER_PUT, .user = {.email = "sam@example.com"}};
		struct key hash;
		struct fixture f;
		uint64_t id;

		fixture_init(&f, "10.0.0.0/24", NULL);
		id = token_for(&f, NULL, "db", 1);
		hash = token_hash(&f, id);
		if (rows[i].spent)
			device_for(&f, id, "first", 77);
		c.at_ms = now_ms + 1000 * rows[i].seen_s;
		assert_int_equal(commit(&f, &c), 0);
		if (rows[i].reopened)
			fixture_reopen(&f);
		c = enroll_change(id, &hash, "host", 1);
		c.at_ms = now_ms + 1000 * rows[i].at_s;
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		if (rows[i].reason)
			row_check(rows[i].says, strstr(fixture_diag.message, rows[i].reason));
		assert_whole(&f);
		fixture_done(&f);
	}
}

static void a_clock_put_right_kills_no_new_token(void **state)
{
	struct change c = {.kind = CHANGE_USER_PUT, .user = {.email = "sam@example.com"}};
	struct fixture f;
	uint64_t id;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	c.at_ms = now_ms + INT64_C(1000) * 86400 * 3650;
	assert_int_equal(commit(&f, &c), 0);
	id = token_for(&f, NULL, "db", 1);
	assert_true(device_for(&f, id, "host", 1) > 0);
	assert_whole(&f);
	fixture_done(&f);
}

static void a_token_is_revoked_once(void **state)
{
	struct change c = {.kind = CHANGE_TOKEN_REVOKE};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	c.token.id = token_for(&f, NULL, "db", 1);
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(commit(&f, &c), -ZT_ESTATE);
	c.token.id = 99;
	assert_int_equal(commit(&f, &c), -ZT_EABSENT);
	c.token.id = UINT64_MAX;
	assert_int_equal(commit(&f, &c), -ZT_EABSENT);
	assert_whole(&f);
	fixture_done(&f);
}

static void tokens_are_listed_with_their_state(void **state)
{
	static const char *const want[] = {"valid",   "used",  "revoked",
					   "revoked", "valid", "expired"};
	struct change revoke = {.kind = CHANGE_TOKEN_REVOKE};
	struct change disable = {.kind = CHANGE_USER_PUT,
				 .user = {.email = "sam@example.com", .disabled = true}};
	struct change old = {.kind = CHANGE_TOKEN_CREATE};
	struct fixture f;
	json_t *list, *first;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token_for(&f, NULL, "db", 2);
	device_for(&f, token_for(&f, NULL, "db", 1), "a", 1);
	revoke.token.id = token_for(&f, NULL, "db", 1);
	assert_int_equal(commit(&f, &revoke), 0);
	token_for(&f, "sam@example.com", NULL, 1);
	assert_int_equal(commit(&f, &disable), 0);
	token_for(&f, "ada@example.com", "web", 1);
	old.token = (struct token_row){
		.secret_hash = key_number(3), .uses = 1, .created_s = 1, .expires_s = NOW_S};
	old.token.approve = true;
	assert_int_equal(tags_add(&old.token.tags, "db"), 0);
	assert_int_equal(commit(&f, &old), 0);
	assert_int_equal(store_token_list(f.s, NOW_S, &list), 0);
	assert_int_equal(json_array_size(list), N_OF(want));
	for (size_t i = 0; i < N_OF(want); i++) {
		json_t *row = json_array_get(list, N_OF(want) - 1 - i); /* newest first */

		assert_int_equal(json_integer_value(json_object_get(row, "id")), i + 1);
		assert_string_equal(json_string_value(json_object_get(row, "state")), want[i]);
		assert_int_equal(json_object_size(row), 10);
	}
	first = json_array_get(list, 0);
	assert_true(json_is_true(json_object_get(first, "approve")));
	assert_string_equal(json_string_value(json_object_get(first, "created")),
			    "1970-01-01T00:00:01Z");
	assert_string_equal(json_string_value(json_object_get(first, "expires")),
			    "2027-01-15T08:00:00Z");
	assert_string_equal(json_string_value(json_array_get(json_object_get(first, "tags"), 0)),
			    "db");
	json_decref(list);
	fixture_done(&f);
}

/* --- enrolment --- */

static void a_device_gets_what_its_token_says(void **state)
{
	struct change t = {.kind = CHANGE_TOKEN_CREATE};
	struct fixture f;
	struct change c;
	char text[ADDR_TEXT_MAX];

	(void)state;
	fixture_init(&f, "100.64.0.0/10", "fd00:1::/64");
	t.token = (struct token_row){.secret_hash = key_number(3),
				     .uses = 1,
				     .created_s = NOW_S,
				     .expires_s = NOW_S + 60,
				     .user = "ada@example.com",
				     .approve = true};
	assert_int_equal(tags_add(&t.token.tags, "laptop"), 0);
	assert_int_equal(commit(&f, &t), 0);
	c = enroll_change(t.token.id, &t.token.secret_hash, "mine", 1);
	/* what the device itself would like does not count */
	memcpy(c.device.owner, "root@example.com", 17);
	assert_int_equal(tags_add(&c.device.tags, "admin"), 0);
	c.device.state = DEVICE_ACTIVE;
	c.device.id = 77;
	c.device.serial = 9;
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(c.device.id, 1);
	assert_string_equal(c.device.owner, "ada@example.com");
	assert_true(tags_equal(&c.device.tags, &t.token.tags));
	assert_int_equal(c.device.state, DEVICE_PENDING);
	assert_int_equal(c.device.serial, 0);
	assert_int_equal(c.device.token_id, t.token.id);
	assert_int_equal(c.device.created_s, NOW_S);
	assert_int_equal(c.device.cert_not_after_s, NOW_S + 86400);
	assert_int_equal(c.token.uses_left, 0);
	assert_string_equal(c.token.user, "ada@example.com");
	assert_int_not_equal(c.seq, 0);
	addr_print(&c.device.addr4, text);
	assert_string_equal(text, "100.64.0.2");
	addr_print(&c.device.addr6, text);
	assert_string_equal(text, "fd00:1::2");
	fixture_done(&f);
}

static void names_are_unique_among_the_living(void **state)
{
	static const char *const long_name =
		"a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-g23";
	static const struct {
		const char *says, *asks;
		uint32_t revoke; /* before */
		const char *gets;
	} rows[] = {
		{"a free name", "laptop", 0, "laptop"},
		{"a taken one", "laptop", 0, "laptop-2"},
		{"taken twice", "laptop", 0, "laptop-3"},
		{"taken three times", "laptop", 0, "laptop-4"},
		{"taken four times", "laptop", 0, "laptop-5"},
		{"taken five times", "laptop", 0, "laptop-6"},
		{"the second one was revoked", "laptop", 2, "laptop-2"},
		{"the first one was revoked", "laptop", 1, "laptop"},
		{"a numbered name that is taken", "laptop-2", 0, "laptop-2-2"},
		{"the longest name", long_name, 0, long_name},
		{"the longest name again is cut", long_name, 0,
		 "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-g-2"},
	};
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct device_row d;

		if (rows[i].revoke)
			assert_int_equal(set_state(&f, rows[i].revoke, DEVICE_REVOKED, 0), 0);
		d = device_of(&f, device_for(&f, token, rows[i].asks, (uint32_t)i + 1));
		if (!txt_equal(d.name, rows[i].gets))
			fail_msg("%s: %s, not %s", rows[i].says, d.name, rows[i].gets);
		assert_true(txt_is_hostname(d.name));
	}
	fixture_done(&f);
}

static void many_devices_of_one_name_stay_quick(void **state)
{
	enum { MANY = 3000 };
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/8", NULL);
	token = token_for(&f, NULL, "db", UINT32_MAX);
	assert_int_equal(db_exec(f.s, "PRAGMA synchronous = OFF"), 0);
	for (uint32_t i = 1; i <= MANY; i++)
		device_for(&f, token, "localhost", i);
	assert_int_equal(fixture_number(&f, "SELECT count(DISTINCT name) FROM device"), MANY);
	assert_int_equal(fixture_number(&f, "SELECT id FROM device WHERE name = 'localhost-3000'"),
			 MANY);
	assert_whole(&f);
	fixture_done(&f);
}

static void names_that_are_none_are_refused(void **state)
{
	static const char *const rows[] = {"", "Laptop", "a.b", "-a", "a b", "\033[2J"};
	struct fixture f;
	uint64_t token;
	struct key hash;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 1);
	hash = token_hash(&f, token);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = enroll_change(token, &hash, rows[i], 1);

		row_check(rows[i], commit(&f, &c) == -EINVAL);
	}
	assert_int_equal(fixture_number(&f, "SELECT uses_left FROM token"), 1);
	fixture_done(&f);
}

/* Device 1 (keys 2, 3) is active, 2 (keys 4, 5) is revoked, 3 (keys 6, 7) has rotated to key 99. */
static void keys_serve_once(void **state)
{
	static const struct {
		const char *says;
		uint32_t identity, wg_key;
		int err;
	} rows[] = {
		{"both new", 500, 501, 0},
		{"another's identity key", 2, 502, -ZT_EEXISTS},
		{"another's WireGuard key", 502, 3, -ZT_EEXISTS},
		{"another's WireGuard key as identity", 3, 502, -ZT_EEXISTS},
		{"another's identity as WireGuard key", 502, 2, -ZT_EEXISTS},
		{"both of another", 2, 3, -ZT_EEXISTS},
		{"a revoked device's identity", 4, 502, -ZT_EEXISTS},
		{"a revoked device's WireGuard key", 502, 5, -ZT_EEXISTS},
		{"a key that was rotated away", 502, 7, -ZT_EEXISTS},
		{"a key that was rotated to", 502, 99, -ZT_EEXISTS},
		{"one key for both", 502, 502, -ZT_EEXISTS},
		{"the same again, both new", 502, 503, 0},
	};
	struct change rotate = {.kind = CHANGE_DEVICE_KEY};
	struct fixture f;
	uint64_t token;
	struct key hash;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	hash = token_hash(&f, token);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(device_for(&f, token, "host", i), i);
	assert_int_equal(set_state(&f, 2, DEVICE_REVOKED, 0), 0);
	rotate.device.id = 3;
	rotate.device.wg_key = key_number(99);
	assert_int_equal(commit(&f, &rotate), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = enroll_change(token, &hash, "thief", 1);
		json_t *list;

		c.device.identity = key_number(rows[i].identity);
		c.device.wg_key = key_number(rows[i].wg_key);
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		row_check(rows[i].says,
			  txt_equal(json_string_value(json_object_get(newest(&f, &list), "kind")),
				    rows[i].err ? "refused" : "device.enroll"));
		json_decref(list);
	}
	assert_int_equal(fixture_number(&f, "SELECT uses_left FROM token"), 100 - 5);
	assert_whole(&f);
	fixture_done(&f);
}

static void keys_rotate(void **state)
{
	static const struct {
		const char *says;
		uint32_t device, key;
		int err;
	} rows[] = {
		{"a new key", 1, 50, 0},
		{"the same again, since the answer was lost", 1, 50, 0},
		{"its first key", 1, 3, -ZT_EEXISTS},
		{"its own identity", 1, 2, -ZT_EEXISTS},
		{"another's key", 1, 5, -ZT_EEXISTS},
		{"a revoked device", 3, 51, -ZT_ESTATE},
		{"an expired device", 4, 51, -ZT_ESTATE},
		{"no such device", 9, 51, -ZT_EABSENT},
		{"another new key", 2, 51, 0},
	};
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	for (uint32_t i = 1; i <= 4; i++)
		device_for(&f, token, "host", i);
	assert_int_equal(set_state(&f, 3, DEVICE_REVOKED, 0), 0);
	assert_int_equal(set_state(&f, 4, DEVICE_EXPIRED, 0), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = CHANGE_DEVICE_KEY};

		c.device.id = rows[i].device;
		c.device.wg_key = key_number(rows[i].key);
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		if (!rows[i].err) {
			struct device_row d = device_of(&f, rows[i].device);

			row_check(rows[i].says, key_equal(&d.wg_key, &c.device.wg_key));
			row_check(rows[i].says, *c.device.name);
		}
	}
	assert_whole(&f);
	fixture_done(&f);
}

/* --- states and tags --- */

static void states_change_as_the_table_says(void **state)
{
	static const int want[4][4] = {
		[DEVICE_PENDING] = {-ZT_ESTATE, 0, 0, -ZT_ESTATE},
		[DEVICE_ACTIVE] = {-ZT_ESTATE, -ZT_ESTATE, 0, 0},
		[DEVICE_REVOKED] = {-ZT_ESTATE, -ZT_ESTATE, -ZT_ESTATE, -ZT_ESTATE},
		[DEVICE_EXPIRED] = {-ZT_ESTATE, 0, 0, -ZT_ESTATE},
	};
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	for (int from = 0; from < 4; from++) {
		for (int to = 0; to < 4; to++) {
			uint32_t id = device_for(&f, token, "host", (uint32_t)(4 * from + to + 1));
			char sql[160], says[64];

			snprintf(sql, sizeof(sql),
				 "UPDATE device SET state = %d, released_s = %s WHERE id = %u",
				 from, from == DEVICE_REVOKED ? "5" : "NULL", id);
			snprintf(says, sizeof(says), "%s to %s",
				 device_state_name((enum device_state)from),
				 device_state_name((enum device_state)to));
			fixture_sql(&f, sql);
			row_check(says,
				  set_state(&f, id, (enum device_state)to, 0) == want[from][to]);
			row_check(says,
				  (int)device_of(&f, id).state == (want[from][to] ? from : to));
		}
	}
	assert_int_equal(set_state(&f, 99, DEVICE_ACTIVE, 0), -ZT_EABSENT);
	assert_int_equal(set_state(&f, 1, (enum device_state)4, 0), -EINVAL);
	fixture_done(&f);
}

static void a_device_is_always_someones(void **state)
{
	static const struct {
		const char *says;
		uint32_t device;
		const char *a, *b;
		int err;
	} rows[] = {
		{"a server gets another tag", 1, "db", "web", 0},
		{"a server loses its last tag", 1, NULL, NULL, -ZT_ESTATE},
		{"a person's device gets a tag", 2, "kiosk", NULL, 0},
		{"and loses it", 2, NULL, NULL, 0},
		{"a revoked device", 3, "db", "web", -ZT_ESTATE},
		{"a set that is not in order", 1, "web", "db", -EINVAL},
		{"a set with doubles", 1, "db", "db", -EINVAL},
		{"what is no name", 1, "D B", NULL, -EINVAL},
		{"no such device", 9, "db", NULL, -ZT_EABSENT},
	};
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	device_for(&f, token, "server", 1);
	device_for(&f, token_for(&f, "ada@example.com", NULL, 1), "laptop", 2);
	device_for(&f, token, "old", 3);
	assert_int_equal(set_state(&f, 3, DEVICE_REVOKED, 0), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = {.kind = CHANGE_DEVICE_TAGS};
		struct tags want;

		c.device.id = rows[i].device;
		if (rows[i].a)
			assert_int_equal(txt_copy(c.device.tags.name[c.device.tags.n++],
						  ZT_NAME_MAX + 1, rows[i].a),
					 0);
		if (rows[i].b)
			assert_int_equal(txt_copy(c.device.tags.name[c.device.tags.n++],
						  ZT_NAME_MAX + 1, rows[i].b),
					 0);
		want = c.device.tags;
		row_check(rows[i].says, commit(&f, &c) == rows[i].err);
		if (!rows[i].err) {
			struct device_row d = device_of(&f, rows[i].device);

			row_check(rows[i].says, tags_equal(&d.tags, &want));
			row_check(rows[i].says, c.device.state == DEVICE_ACTIVE);
		}
	}
	assert_whole(&f);
	fixture_done(&f);
}

/* --- addresses --- */

/* 10.0.0.0/29 has .2 to .6 for devices. */
static void addresses_rest_before_they_come_back(void **state)
{
	static const int64_t day = 86400;
	static const struct {
		const char *says;
		int64_t at_day;
		uint32_t revoke;  /* then, before */
		const char *gets; /* NULL: none left */
	} rows[] = {
		{"the first one is the controller's, so .2", 0, 0, "10.0.0.2"},
		{"ascending", 0, 0, "10.0.0.3"},
		{"not the one that was just given back", 0, 1, "10.0.0.4"},
		{"ascending still", 0, 0, "10.0.0.5"},
		{"the last one before broadcast", 0, 0, "10.0.0.6"},
		{"the rest is used or resting", 1, 3, NULL},
		{"one second is missing (see below)", 29, 0, NULL},
		{"after 30 days the first one is free", 30, 0, "10.0.0.2"},
		{"and the one of a day later is not", 30, 0, NULL},
		{"until a day later", 31, 0, "10.0.0.4"},
		{"then nothing is left", 400, 0, NULL},
	};
	struct fixture f;
	struct key hash;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/29", "fd00::/64");
	token = token_for(&f, NULL, "db", 100);
	hash = token_hash(&f, token);
	fixture_sql(&f, "UPDATE token SET expires_s = 9000000000");
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct change c = enroll_change(token, &hash, "host", (uint32_t)i + 1);
		char text[ADDR_TEXT_MAX];

		c.at_ms +=
			1000 * day * rows[i].at_day + (rows[i].at_day == 29 ? 1000 * (day - 1) : 0);
		if (rows[i].revoke)
			assert_int_equal(set_state(&f, rows[i].revoke, DEVICE_REVOKED, c.at_ms), 0);
		row_check(rows[i].says, commit(&f, &c) == (rows[i].gets ? 0 : -ENOSPC));
		if (!rows[i].gets) {
			row_check(rows[i].says, strstr(fixture_diag.hint, "revoke"));
			continue;
		}
		addr_print(&c.device.addr4, text);
		row_check(rows[i].says, txt_equal(text, rows[i].gets));
	}
	assert_int_equal(fixture_number(&f, "SELECT count(*) FROM device"), 7);
	fixture_done(&f);
}

static void addresses_come_back_as_late_as_possible(void **state)
{
	struct change c;
	struct fixture f;
	struct key hash;
	char text[ADDR_TEXT_MAX];

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	hash = token_hash(&f, token_for(&f, NULL, "db", 9));
	fixture_sql(&f, "UPDATE token SET expires_s = 9000000000");
	device_for(&f, 1, "a", 1);
	device_for(&f, 1, "b", 2);
	assert_int_equal(set_state(&f, 1, DEVICE_REVOKED, 0), 0);
	assert_int_equal(set_state(&f, 2, DEVICE_REVOKED, 0), 0);
	fixture_reopen(&f); /* the cursor is in the file */
	c = enroll_change(1, &hash, "c", 3);
	c.at_ms += INT64_C(86400000) * 365;
	assert_int_equal(commit(&f, &c), 0);
	addr_print(&c.device.addr4, text);
	assert_string_equal(text, "10.0.0.4");
	fixture_done(&f);
}

static void wide_ranges_end_where_the_narrow_one_does(void **state)
{
	static const struct {
		const char *says, *net4, *net6;
		uint32_t last;
	} rows[] = {
		{"the default", "100.64.0.0/10", NULL, 4194302},
		{"with IPv6 wider", "10.0.0.0/24", "fd00::/64", 254},
		{"with IPv6 narrower", "10.0.0.0/8", "fd00::/120", 254},
		{"IPv6 alone", NULL, "fd00::/48", UINT32_MAX - 1},
		{"everything", "0.0.0.0/0", "::/0", UINT32_MAX - 1},
		{"one device", "10.0.0.0/30", NULL, 2},
		{"none", "10.0.0.0/31", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct store_network n = {0};
		struct addr a4, a6;

		if (rows[i].net4)
			assert_int_equal(prefix_parse(rows[i].net4, &n.net4), 0);
		if (rows[i].net6)
			assert_int_equal(prefix_parse(rows[i].net6, &n.net6), 0);
		row_check(rows[i].says, address_last(&n) == rows[i].last);
		row_check(rows[i].says, address_of(&n, 1, &a4, &a6) == -ERANGE);
		row_check(rows[i].says, address_of(&n, rows[i].last + 1, &a4, &a6) == -ERANGE);
		if (rows[i].last >= ADDRESS_FIRST)
			row_check(rows[i].says, address_of(&n, rows[i].last, &a4, &a6) == 0);
	}
}

static void ids_are_never_given_twice(void **state)
{
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 100);
	assert_int_equal(device_for(&f, token, "a", 1), 1);
	assert_int_equal(device_for(&f, token, "b", 2), 2);
	/* the schema does not let the program delete what has to stay */
	assert_true(db_exec(f.s, "DELETE FROM device_key") != 0);
	assert_true(db_exec(f.s, "DELETE FROM device") != 0);
	/* and where somebody deletes the newest row by hand, its id does not come back */
	store_close(f.s);
	fixture_sql(&f,
		    "DROP TRIGGER device_stays; DROP TRIGGER device_key_stays;"
		    " DELETE FROM device_key WHERE device = 2; DELETE FROM device WHERE id = 2");
	f.s = NULL;
	fixture_reopen(&f);
	assert_int_equal(device_for(&f, token, "c", 3), 3);
	fixture_done(&f);
}

/* --- users and policies --- */

static int count_user(void *arg, const struct user_row *u)
{
	struct user_row *rows = arg;

	rows[u->email[0] == 'l'] = *u;
	return 0;
}

static void users_are_put(void **state)
{
	struct change c = {.kind = CHANGE_USER_PUT, .user = {.email = "ada@example.com"}};
	struct user_row rows[2] = {0};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	memcpy(c.user.groups[0], "finance", 8);
	memcpy(c.user.groups[1], "oncall", 7);
	c.user.n_groups = 2;
	assert_int_equal(commit(&f, &c), 0);
	c.user.n_groups = 1;
	c.user.disabled = true;
	assert_int_equal(commit(&f, &c), 0);
	memcpy(c.user.email, "lin@example.com", 16);
	c.user.disabled = false;
	assert_int_equal(commit(&f, &c), 0);
	memcpy(c.user.groups[0], "zz", 3);
	c.user.n_groups = 2;
	assert_int_equal(commit(&f, &c), -EINVAL); /* not in order */
	memcpy(c.user.email, "lin", 4);
	c.user.n_groups = 0;
	assert_int_equal(commit(&f, &c), -EINVAL);
	assert_int_equal(store_each_user(f.s, count_user, rows), 0);
	assert_string_equal(rows[0].email, "ada@example.com");
	assert_int_equal(rows[0].n_groups, 1);
	assert_string_equal(rows[0].groups[0], "finance");
	assert_true(rows[0].disabled);
	assert_string_equal(rows[1].email, "lin@example.com");
	assert_false(rows[1].disabled);
	assert_whole(&f);
	fixture_done(&f);
}

static void policies_are_kept(void **state)
{
	static char text[] = "[rule a]\n; \xc3\xa4\0\xff tail";
	struct change c = {.kind = CHANGE_POLICY_PUT};
	struct policy_row p;
	struct fixture f;
	struct arena a;
	json_t *list, *row;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	c.policy = (struct policy_row){
		.text = text, .len = sizeof(text), .author = "admin:1 (root)", .why = "start"};
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(c.policy.version, 2);
	assert_int_equal(c.policy.at_s, NOW_S);
	c.policy.len = 0;
	c.policy.text = NULL;
	assert_int_equal(commit(&f, &c), 0);
	assert_int_equal(c.policy.version, 3);
	arena_init(&a, 1 << 20);
	assert_int_equal(store_policy_get(f.s, 2, &a, &p), 0);
	assert_int_equal(p.len, sizeof(text));
	assert_memory_equal(p.text, text, sizeof(text));
	assert_string_equal(p.why, "start");
	assert_int_equal(store_policy_get(f.s, 0, &a, &p), 0);
	assert_int_equal(p.version, 3);
	assert_int_equal(p.len, 0);
	assert_int_equal(store_policy_get(f.s, 9, &a, &p), -ZT_EABSENT);
	assert_int_equal(store_policy_log(f.s, &list), 0);
	assert_int_equal(json_array_size(list), 3);
	row = json_array_get(list, 1);
	assert_int_equal(json_object_size(row), 7);
	assert_int_equal(json_integer_value(json_object_get(row, "version")), 2);
	assert_int_equal(json_integer_value(json_object_get(row, "bytes")), sizeof(text));
	assert_string_equal(json_string_value(json_object_get(row, "author")), "admin:1 (root)");
	assert_string_equal(json_string_value(json_object_get(row, "at")), "2027-01-15T08:00:00Z");
	json_decref(list);
	arena_done(&a);
	assert_whole(&f);
	fixture_done(&f);
}

/* --- touch --- */

struct seen {
	struct device_row row;
	char report[16], version[32], os[64];
	size_t report_len;
	int64_t report_ms;
};

static int see_device(void *arg, const struct device_row *d, const void *report, size_t n,
		      int64_t ms, const char *version, const char *os)
{
	struct seen *seen = (struct seen *)arg + d->id;

	seen->row = *d;
	memcpy(seen->report, n ? report : "", n);
	seen->report_len = n;
	seen->report_ms = ms;
	memcpy(seen->version, version, strlen(version) + 1);
	memcpy(seen->os, os, strlen(os) + 1);
	return 0;
}

static void touches_keep_what_they_leave_out(void **state)
{
	struct store_touch t[2] = {{.device = 1,
				    .last_seen_s = 50,
				    .serial = 7,
				    .report = "one",
				    .report_len = 3,
				    .report_ms = 1234,
				    .version = "0.1",
				    .os = "debian 12"},
				   {.device = 2, .cert_not_after_s = 99, .serial = 9}};
	struct seen seen[3] = {0};
	struct fixture f;
	uint64_t token;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	token = token_for(&f, NULL, "db", 9);
	device_for(&f, token, "a", 1);
	device_for(&f, token, "b", 2);
	assert_int_equal(store_touch(f.s, t, 2, NULL), 0);
	t[0] = (struct store_touch){.device = 1, .serial = 6, .cert_not_after_s = NOW_S + 5};
	t[1] = (struct store_touch){.device = 2, .report = "", .report_len = 0, .report_ms = 7};
	assert_int_equal(store_touch(f.s, t, 2, NULL), 0);
	assert_int_equal(set_state(&f, 2, DEVICE_REVOKED, 0), 0);
	t[1] = (struct store_touch){
		.device = 2, .cert_not_after_s = NOW_S + 777, .last_seen_s = 51};
	assert_int_equal(store_touch(f.s, t + 1, 1, NULL), 0);
	fixture_reopen(&f);
	assert_int_equal(store_each_device(f.s, see_device, seen), 0);
	assert_int_equal(seen[1].row.serial, 7); /* never back */
	assert_int_equal(seen[1].row.last_seen_s, 50);
	assert_int_equal(seen[1].row.cert_not_after_s, NOW_S + 5);
	assert_memory_equal(seen[1].report, "one", 3);
	assert_int_equal(seen[1].report_ms, 1234);
	assert_string_equal(seen[1].version, "0.1");
	assert_string_equal(seen[1].os, "debian 12");
	assert_int_equal(seen[2].row.cert_not_after_s,
			 99); /* a revoked device's certificate grows no longer */
	assert_int_equal(seen[2].row.last_seen_s, 51);
	assert_int_equal(seen[2].report_ms, 7);
	assert_whole(&f);
	fixture_done(&f);
}

static void touches_are_all_or_none(void **state)
{
	static uint8_t big[ZT_REPORT_MAX + 1];
	static const struct {
		const char *says;
		struct store_touch second;
		int err;
	} rows[] = {
		{"an unknown device", {.device = 9, .serial = 1}, -ZT_EABSENT},
		{"a report over the limit",
		 {.device = 1, .report = big, .report_len = sizeof(big)},
		 -ZT_ELIMIT},
		{"a serial that the file cannot hold",
		 {.device = 1, .serial = UINT64_MAX},
		 -EINVAL},
		{"a time before 1970", {.device = 1, .last_seen_s = -1}, -EINVAL},
	};
	struct fixture f;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	device_for(&f, token_for(&f, NULL, "db", 9), "a", 1);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct store_touch t[2] = {{.device = 1, .serial = 5}, rows[i].second};
		struct diag d = {0};

		row_check(rows[i].says, store_touch(f.s, t, 2, &d) == rows[i].err);
		row_check(rows[i].says, *d.message);
		row_check(rows[i].says, device_of(&f, 1).serial == 0);
	}
	fixture_done(&f);
}

/* --- rows that cannot be --- */

static int ignore_device(void *arg, const struct device_row *d, const void *report, size_t n,
			 int64_t ms, const char *version, const char *os)
{
	(void)arg, (void)d, (void)report, (void)n, (void)ms, (void)version, (void)os;
	return 0;
}

static int ignore_user(void *arg, const struct user_row *u)
{
	(void)arg, (void)u;
	return 0;
}

static int load_devices(struct store *s)
{
	return store_each_device(s, ignore_device, NULL);
}

static int load_users(struct store *s)
{
	return store_each_user(s, ignore_user, NULL);
}

static int load_admins(struct store *s)
{
	struct admin_row a;

	return store_each_admin(s, see_admin, &a);
}

static int load_tokens(struct store *s)
{
	json_t *list;
	int err = store_token_list(s, 0, &list);

	if (!err)
		json_decref(list);
	return err;
}

static int load_policy(struct store *s)
{
	struct policy_row p;
	struct arena a;
	int err;

	arena_init(&a, 1 << 20);
	err = store_policy_get(s, 0, &a, &p);
	arena_done(&a);
	return err;
}

static void rows_that_cannot_be_are_named(void **state)
{
	static const struct {
		const char *says, *sql;
		int (*load)(struct store *s);
		const char *names;
	} rows[] = {
		{"a device's name is a path", "UPDATE device SET name = '../x'", load_devices,
		 "table device, row 1: column name"},
		{"its owner is not an address", "UPDATE device SET owner = 'Ada'", load_devices,
		 "column owner"},
		{"its tags are no JSON", "UPDATE device SET tags = 'db'", load_devices,
		 "column tags"},
		{"its tags are unsorted", "UPDATE device SET tags = '[\"web\",\"db\"]'",
		 load_devices, "column tags"},
		{"its tags have spaces", "UPDATE device SET tags = '[ \"db\"]'", load_devices,
		 "column tags"},
		{"it has neither owner nor tags", "UPDATE device SET tags = '[]', owner = ''",
		 load_devices, "column tags"},
		{"its identity is zero", "UPDATE device SET identity = zeroblob(32)", load_devices,
		 "column identity"},
		{"its identity is short", "UPDATE device SET identity = zeroblob(31)", load_devices,
		 "column identity"},
		{"both keys are one", "UPDATE device SET wg_key = identity", load_devices,
		 "column wg_key"},
		{"its address is outside", "UPDATE device SET address = 255", load_devices,
		 "column address"},
		{"its address is the controller's", "UPDATE device SET address = 1", load_devices,
		 "column address"},
		{"its state is none", "UPDATE device SET state = 4", load_devices, "column state"},
		{"it is revoked since never", "UPDATE device SET state = 2", load_devices,
		 "column released_s"},
		{"it is active and released", "UPDATE device SET released_s = 5", load_devices,
		 "column released_s"},
		{"its serial is negative", "UPDATE device SET serial = -1", load_devices,
		 "column serial"},
		{"its version is endless", "UPDATE device SET version = printf('%.100c', 'a')",
		 load_devices, "column version"},
		{"its system is not UTF-8", "UPDATE device SET os = CAST(x'ff' AS TEXT)",
		 load_devices, "column os"},
		{"its report is endless",
		 "INSERT INTO device_report VALUES (1, 1, zeroblob(70000))", load_devices,
		 "column report"},
		{"a token's secret is zero", "UPDATE token SET secret_hash = zeroblob(32)",
		 load_tokens, "table token, row 1: column secret_hash"},
		{"it has more uses left than uses", "UPDATE token SET uses_left = 1000",
		 load_tokens, "column uses_left"},
		{"it is half revoked", "UPDATE token SET revoked = 2", load_tokens,
		 "column revoked"},
		{"a user's address is none", "UPDATE user SET email = 'x'", load_users,
		 "table user, row x: column email"},
		{"a user's groups are doubled", "UPDATE user SET groups = '[\"a\",\"a\"]'",
		 load_users, "column groups"},
		{"an administrator's secret is zero", "UPDATE admin SET secret_hash = zeroblob(32)",
		 load_admins, "table admin, row 1: column secret_hash"},
		{"a policy's text was edited",
		 "DROP TRIGGER policy_is_final; UPDATE policy SET text = x'00'", load_policy,
		 "table policy, row 1: column text"},
	};
	struct change u = {.kind = CHANGE_USER_PUT, .user = {.email = "ada@example.com"}};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct fixture f;
		char sql[300];

		fixture_init(&f, "10.0.0.0/24", NULL);
		device_for(&f, token_for(&f, NULL, "db", 9), "a", 1);
		assert_int_equal(commit(&f, &u), 0);
		row_check(rows[i].says, rows[i].load(f.s) == 0);
		snprintf(sql, sizeof(sql),
			 "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; %s;",
			 rows[i].sql);
		fixture_sql(&f, sql);
		row_check(rows[i].says, rows[i].load(f.s) == -ZT_ECORRUPT);
		if (!strstr(store_problem(f.s)->message, rows[i].names))
			fail_msg("%s: %s", rows[i].says, store_problem(f.s)->message);
		fixture_done(&f);
	}
}

/* --- migrations --- */

static void migrations_go_forward(void **state)
{
	static const struct migration next[] = {
		{1, "SELECT RAISE(ABORT, 'must not run again')"},
		{3, "CREATE TABLE more (x INTEGER) STRICT; PRAGMA user_version = 3;"},
		{4, "INSERT INTO more VALUES (42); PRAGMA user_version = 4;"},
	};
	static const struct migration broken[] = {
		{5, "INSERT INTO more VALUES (43); PRAGMA user_version = 5; INSERT INTO nowhere "
		    "VALUES (1);"},
	};
	static const struct migration lies[] = {{5, "INSERT INTO more VALUES (43);"}};
	struct fixture f;
	struct diag d;

	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	assert_int_equal(migrate_apply(f.s, next, 2), 0);
	assert_int_equal(migrate_apply(f.s, next, 3), 0);
	assert_int_equal(migrate_apply(f.s, next, 3), 0);
	assert_int_equal(fixture_number(&f, "SELECT sum(x) FROM more"), 42);
	/* one that fails leaves the version and the rows of the one before it */
	assert_true(migrate_apply(f.s, broken, 1) != 0);
	assert_int_equal(migrate_apply(f.s, lies, 1), -ZT_ECORRUPT);
	assert_int_equal(fixture_number(&f, "SELECT sum(x) FROM more"), 42);
	assert_int_equal(fixture_number(&f, "PRAGMA user_version"), 4);
	assert_whole(&f);
	store_close(f.s);
	f.s = NULL;
	assert_int_equal(store_open(f.path, &f.s, &d), -ZT_EVERSION);
	assert_non_null(strstr(d.message, "schema 4"));
	assert_non_null(strstr(d.message, "schema 2"));
	assert_non_null(strstr(d.hint, "newer"));
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_stable),
		cmocka_unit_test(tags_are_sorted_sets),
		cmocka_unit_test(create_makes_a_whole_store),
		cmocka_unit_test(create_refuses),
		cmocka_unit_test(create_never_overwrites),
		cmocka_unit_test(connections_are_durable_and_strict),
		cmocka_unit_test(tokens_are_checked_when_made),
		cmocka_unit_test(tokens_are_spent),
		cmocka_unit_test(a_clock_set_back_revives_no_token),
		cmocka_unit_test(a_clock_put_right_kills_no_new_token),
		cmocka_unit_test(a_token_is_revoked_once),
		cmocka_unit_test(tokens_are_listed_with_their_state),
		cmocka_unit_test(a_device_gets_what_its_token_says),
		cmocka_unit_test(names_are_unique_among_the_living),
		cmocka_unit_test(many_devices_of_one_name_stay_quick),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(keys_serve_once),
		cmocka_unit_test(keys_rotate),
		cmocka_unit_test(states_change_as_the_table_says),
		cmocka_unit_test(a_device_is_always_someones),
		cmocka_unit_test(addresses_rest_before_they_come_back),
		cmocka_unit_test(addresses_come_back_as_late_as_possible),
		cmocka_unit_test(wide_ranges_end_where_the_narrow_one_does),
		cmocka_unit_test(ids_are_never_given_twice),
		cmocka_unit_test(users_are_put),
		cmocka_unit_test(policies_are_kept),
		cmocka_unit_test(touches_keep_what_they_leave_out),
		cmocka_unit_test(touches_are_all_or_none),
		cmocka_unit_test(rows_that_cannot_be_are_named),
		cmocka_unit_test(migrations_go_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
