/* Policies on trial: which version is in force, what ends a trial, and that the log knows it. */
#include "tests/unit/store_fixture.h"

#include "controller/store/db.h"

enum { MINUTE_MS = 60000 };

static struct fixture f;
static struct arena arena;

static int setup(void **state)
{
	(void)state;
	fixture_init(&f, "10.0.0.0/24", NULL);
	arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_whole(&f);
	arena_done(&arena);
	fixture_done(&f);
	return 0;
}

static struct change put_of(const char *text)
{
	return (struct change){.kind = CHANGE_POLICY_PUT,
			       .policy = {.text = (char *)(uintptr_t)text,
					  .len = strlen(text),
					  .author = "admin:1 (root)",
					  .why = "test"}};
}

static int put(const char *text, int64_t until_ms, unsigned percent)
{
	struct change c = put_of(text);

	if (until_ms || percent)
		c.policy.trial = (struct trial){
			.state = TRIAL_OPEN, .until_ms = until_ms, .percent = percent};
	return commit(&f, &c);
}

/* As the controller does when nobody confirmed. */
static int take_back(uint32_t version)
{
	struct change c = put_of("before");

	c.instead = version;
	return commit(&f, &c);
}

static int end(enum change_kind kind, int64_t at_ms, struct change *ret)
{
	*ret = (struct change){.kind = kind, .at_ms = at_ms};
	return commit(&f, ret);
}

/* The version that is meant. */
static int end_of(enum change_kind kind, uint32_t version)
{
	struct change c = {.kind = kind, .policy.version = version};

	return commit(&f, &c);
}

static int end_now(enum change_kind kind)
{
	struct change c;

	return end(kind, now_ms, &c);
}

static struct policy_row in_force(void)
{
	struct policy_row p;

	assert_int_equal(store_policy_get(f.s, 0, &arena, &p), 0);
	return p;
}

static uint32_t canary(void)
{
	struct policy_row p = {0};
	int err = store_policy_canary(f.s, &arena, &p);

	assert_true(err == 0 || err == -ZT_EABSENT);
	return p.version;
}

/* The words of the log, newest first. */
static void expect_log(const char *want)
{
	char is[200] = "";
	json_t *list, *row;
	size_t i;

	assert_int_equal(store_policy_log(f.s, &list), 0);
	json_array_foreach(list, i, row)
	{
		size_t n = strlen(is);

		snprintf(is + n, sizeof(is) - n, "%s%s", i ? "," : "",
			 json_string_value(json_object_get(row, "state")));
	}
	json_decref(list);
	assert_string_equal(is, want);
}

/* --- with an end --- */

static void one_that_is_confirmed_stays(void **state)
{
	struct change c;

	(void)state;
	assert_int_equal(put("two", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(in_force().version, 2);
	assert_int_equal(in_force().trial.base, 1);
	assert_int_equal(in_force().trial.until_ms, now_ms + MINUTE_MS);
	expect_log("unconfirmed,");
	fixture_reopen(&f);
	assert_int_equal(in_force().trial.state, TRIAL_OPEN);
	assert_int_equal(end(CHANGE_POLICY_CONFIRM, now_ms + MINUTE_MS - 1, &c), 0);
	assert_int_equal(c.policy.version, 2);
	assert_int_equal(c.policy.trial.state, TRIAL_CONFIRMED);
	assert_null(c.policy.text);
	assert_int_equal(in_force().version, 2);
	expect_log("in force,");
	/* it does not go back any more, and is not confirmed twice */
	assert_int_equal(take_back(2), -ZT_ESTATE);
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), -ZT_ESTATE);
	assert_non_null(strstr(fixture_diag.message, "no policy waits"));
	assert_non_null(strstr(fixture_diag.hint, "--confirm"));
	assert_int_equal(in_force().version, 2);
}

static void one_that_is_not_goes_back_as_a_version(void **state)
{
	struct change c;

	(void)state;
	assert_int_equal(put("two", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(end(CHANGE_POLICY_CONFIRM, now_ms + MINUTE_MS, &c), -ZT_ESTATE);
	assert_non_null(strstr(fixture_diag.message, "version 2 was not confirmed in time"));
	assert_int_equal(take_back(1), -ZT_ESTATE); /* another one waits */
	assert_int_equal(take_back(2), 0);
	assert_int_equal(in_force().version, 3);
	assert_int_equal(in_force().trial.state, TRIAL_NONE);
	expect_log("in force,replaced,");
	assert_int_equal(take_back(2), -ZT_ESTATE);
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), -ZT_ESTATE);
}

static void a_put_ends_the_waiting(void **state)
{
	(void)state;
	assert_int_equal(put("two", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(put("three", 0, 0), 0);
	assert_int_equal(in_force().version, 3);
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), -ZT_ESTATE);
	assert_int_equal(take_back(2), -ZT_ESTATE);
	/* one after the other: it goes back to what was last meant to stay */
	assert_int_equal(put("four", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(put("five", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(in_force().version, 5);
	assert_int_equal(in_force().trial.base, 3);
	expect_log("unconfirmed,replaced,,replaced,");
}

/* --- canaries --- */

static void a_canary_is_not_in_force(void **state)
{
	struct change c;

	(void)state;
	assert_int_equal(canary(), 0);
	assert_int_equal(put("two", 0, 5), 0);
	assert_int_equal(in_force().version, 1);
	assert_int_equal(canary(), 2);
	expect_log("canary,in force");
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), -ZT_ESTATE);
	assert_int_equal(put("three", 0, 50), 0); /* in its place */
	assert_int_equal(canary(), 3);
	assert_int_equal(in_force().version, 1);
	fixture_reopen(&f);
	assert_int_equal(canary(), 3);
	assert_int_equal(end(CHANGE_POLICY_ABORT, now_ms, &c), 0);
	assert_int_equal(c.policy.version, 3);
	assert_int_equal(canary(), 0);
	assert_int_equal(in_force().version, 1);
	expect_log("aborted,replaced,in force");
	assert_int_equal(end_now(CHANGE_POLICY_ABORT), -ZT_ESTATE);
	assert_int_equal(end_now(CHANGE_POLICY_PROMOTE), -ZT_ESTATE);
	assert_non_null(strstr(fixture_diag.hint, "--canary 5%"));
}

static void promoted_it_is(void **state)
{
	(void)state;
	assert_int_equal(put("two", 0, 99), 0);
	assert_int_equal(end_now(CHANGE_POLICY_PROMOTE), 0);
	assert_int_equal(in_force().version, 2);
	assert_int_equal(in_force().trial.state, TRIAL_PROMOTED);
	assert_int_equal(canary(), 0);
	expect_log("in force,");
	assert_int_equal(put("three", 0, 1), 0);
	assert_int_equal(put("four", 0, 0), 0); /* ends it */
	assert_int_equal(canary(), 0);
	assert_int_equal(in_force().version, 4);
	assert_int_equal(end_now(CHANGE_POLICY_PROMOTE), -ZT_ESTATE);
	expect_log("in force,replaced,promoted,");
}

static void none_beside_one_that_waits(void **state)
{
	(void)state;
	assert_int_equal(put("two", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(put("three", 0, 5), -ZT_ESTATE);
	assert_non_null(strstr(fixture_diag.hint, "policy confirm"));
	assert_int_equal(in_force().version, 2);
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), 0);
	assert_int_equal(put("three", 0, 5), 0);
	/* the other way round the canary ends, and what was in force is gone back to */
	assert_int_equal(put("four", now_ms + MINUTE_MS, 0), 0);
	assert_int_equal(canary(), 0);
	assert_int_equal(in_force().trial.base, 2);
}

/* Another admin put one meanwhile: what one has not seen is not confirmed, promoted or ended. */
static void the_version_that_was_meant(void **state)
{
	const struct {
		enum change_kind kind;
		int64_t until_ms;
		unsigned percent;
		const char *message, *none;
		enum trial_state state;
	} rows[] = {
		{CHANGE_POLICY_CONFIRM, now_ms + MINUTE_MS, 0,
		 "policy version 3 waits to be confirmed, not 2", "no policy waits",
		 TRIAL_CONFIRMED},
		{CHANGE_POLICY_PROMOTE, 0, 5, "policy version 3 is the canary, not 2",
		 "there is no canary", TRIAL_PROMOTED},
		{CHANGE_POLICY_ABORT, 0, 5, "policy version 3 is the canary, not 2",
		 "there is no canary", TRIAL_ABORTED},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy_row p;

		assert_int_equal(put("two", rows[i].until_ms, rows[i].percent), 0); /* one's */
		assert_int_equal(put("three", rows[i].until_ms, rows[i].percent),
				 0); /* another's */
		assert_int_equal(end_of(rows[i].kind, 2), -ZT_ESTATE);
		assert_string_equal(fixture_diag.message, rows[i].message);
		assert_non_null(strstr(fixture_diag.hint, "ztctl policy log --version 3"));
		assert_int_equal(store_policy_get(f.s, 3, &arena, &p), 0);
		assert_int_equal(p.trial.state, TRIAL_OPEN);
		assert_int_equal(end_of(rows[i].kind, 3), 0);
		assert_int_equal(store_policy_get(f.s, 3, &arena, &p), 0);
		assert_int_equal(p.trial.state, rows[i].state);
		assert_int_equal(end_of(rows[i].kind, 3), -ZT_ESTATE);
		assert_non_null(strstr(fixture_diag.message, rows[i].none));
		assert_whole(&f);
		fixture_done(&f);
		fixture_init(&f, "10.0.0.0/24", NULL);
	}
}

/* --- in the log --- */

static void expect_record(const char *kind, const char *object, const char *after)
{
	json_t *list, *r = newest(&f, &list);
	char *text = json_dumps(json_object_get(r, "after"), JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(json_string_value(json_object_get(r, "kind")), kind);
	assert_string_equal(json_string_value(json_object_get(r, "object")), object);
	if (!strstr(text, after))
		fail_msg("%s: no %s in %s", kind, after, text);
	free(text);
	json_decref(list);
}

static void every_step_is_recorded(void **state)
{
	struct change c = put_of("two");

	(void)state;
	c.policy.changes = (char *)"{\"opens\":[\"a\"]}";
	assert_int_equal(commit(&f, &c), 0);
	expect_record("policy.put", "policy:2", "\"changes\":{\"opens\":[\"a\"]}");
	expect_record("policy.put", "policy:2", "\"trial\":null");
	assert_string_equal(in_force().changes, "{\"opens\":[\"a\"]}");
	c = put_of("three");
	c.policy.changes = (char *)"[]";
	assert_int_equal(commit(&f, &c), -EINVAL);
	assert_int_equal(put("three", now_ms + MINUTE_MS, 0), 0);
	expect_record("policy.put", "policy:3",
		      "\"trial\":{\"base\":2,\"percent\":0,\"state\":\"open\","
		      "\"until\":\"2027-01-15T08:01:00Z\"}");
	assert_int_equal(end_now(CHANGE_POLICY_CONFIRM), 0);
	expect_record("policy.confirm", "policy:3", "\"state\":\"confirmed\"");
	assert_int_equal(put("four", 0, 7), 0);
	expect_record("policy.put", "policy:4", "\"percent\":7,\"state\":\"open\",\"until\":null");
	assert_int_equal(end_now(CHANGE_POLICY_ABORT), 0);
	expect_record("policy.abort", "policy:4", "\"state\":\"aborted\"");
	assert_int_equal(put("five", 0, 7), 0);
	assert_int_equal(end_now(CHANGE_POLICY_PROMOTE), 0);
	expect_record("policy.promote", "policy:5", "\"state\":\"promoted\"");
}

/* A policy from before there were trials, whose record knows nothing of them. */
static void put_as_once(void)
{
	struct policy_row p = put_of("old").policy;
	struct record r = {.at_ms = now_ms,
			   .actor = "system",
			   .kind = "policy.put",
			   .object = "policy:2",
			   .why = "",
			   .source = ""};
	json_t *after = json_pack("{s:i,s:s}", "version", 2, "author", p.author);

	p.version = 2;
	assert_int_equal(db_begin(f.s), 0);
	assert_int_equal(policy_insert(f.s, &p), 0);
	assert_int_equal(record_append(f.s, &r, NULL, after, true), 0);
	assert_int_equal(db_commit(f.s), 0);
	json_decref(after);
}

static void tampering_with_trials_shows(void **state)
{
	static const struct {
		const char *says, *sql, *problem;
	} rows[] = {
		{"an old policy is said to be a canary", "INSERT INTO trial VALUES (2, 1, 1, 0, 5)",
		 "policy:2: no record says"},
		{"so is one with a record", "INSERT INTO trial VALUES (3, 1, 2, 0, 5)",
		 "policy:3: trial is not"},
		{"an end is put off", "UPDATE trial SET until_ms = until_ms + 60000",
		 "policy:4: trial is not"},
		{"it was never on trial", "DROP TRIGGER trial_stays; DELETE FROM trial",
		 "policy:4: trial is not"},
		{"it means something else",
		 "DROP TRIGGER policy_is_final; UPDATE policy SET changes = '{}' WHERE version = 3",
		 "policy:3: changes is not"},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct store_verdict v;

		put_as_once();
		assert_int_equal(put("three", 0, 0), 0);
		assert_int_equal(put("four", now_ms + MINUTE_MS, 0), 0);
		assert_whole(&f);
		fixture_sql(&f, rows[i].sql);
		assert_int_equal(store_audit_verify(f.s, &v), 0);
		if (!strstr(v.problem, rows[i].problem))
			fail_msg("%s: %s", rows[i].says, v.problem);
		fixture_done(&f);
		fixture_init(&f, "10.0.0.0/24", NULL);
	}
}

static void trials_that_cannot_be_are_named(void **state)
{
	struct policy_row p;

	(void)state;
	assert_int_equal(put("two", now_ms + MINUTE_MS, 0), 0);
	fixture_sql(&f, "PRAGMA ignore_check_constraints = ON; UPDATE trial SET state = 9");
	assert_int_equal(store_policy_get(f.s, 2, &arena, &p), -ZT_ECORRUPT);
	assert_non_null(strstr(store_problem(f.s)->message, "table policy, row 2: column state"));
	fixture_sql(&f, "UPDATE trial SET state = 1");
}

static int review_at(int64_t at_ms)
{
	struct change c = {.kind = CHANGE_POLICY_REVIEW,
			   .at_ms = at_ms,
			   .actor = "system",
			   .policy = {.version = 1},
			   .detail = (char *)"{\"past_review\":2}"};

	return commit(&f, &c);
}

static void reviews_are_asked_for_once_a_day(void **state)
{
	const int64_t day_ms = 86400 * 1000, midnight = now_ms / day_ms * day_ms + day_ms;

	(void)state;
	assert_int_equal(review_at(now_ms), 0);
	expect_record("policy.review", "policy:1", "{\"past_review\":2}");
	assert_int_equal(review_at(midnight - 1), -ZT_EEXISTS);
	fixture_reopen(&f);
	assert_int_equal(review_at(midnight - 1), -ZT_EEXISTS);
	assert_int_equal(review_at(midnight), 0);
	assert_int_equal(review_at(midnight + 1), -ZT_EEXISTS);
	assert_int_equal(fixture_number(&f, "SELECT count(*) FROM record WHERE kind = "
					    "'policy.review'"),
			 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_is_confirmed_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_is_not_goes_back_as_a_version, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_put_ends_the_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(a_canary_is_not_in_force, setup, teardown),
		cmocka_unit_test_setup_teardown(promoted_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(none_beside_one_that_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(the_version_that_was_meant, setup, teardown),
		cmocka_unit_test_setup_teardown(every_step_is_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(tampering_with_trials_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(trials_that_cannot_be_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(reviews_are_asked_for_once_a_day, setup, teardown),
	};

	return cmocka_run_group_tests_name("store_trial", tests, NULL, NULL);
}
