/* New policies with a way back: warnings before them, an end unless they are confirmed, a part of
 * the devices first; seen on open streams and over restarts. */
#include "tests/shell/api_device.h"

#include "controller/model/canary.h"
#include "zt/num.h"

enum { PEOPLE = 4, HALF = 50 };

static const char old_policy[] = "[network]\nlease = 1h\n"
				 "[resource db]\non = tag:db\nports = tcp/5432\n"
				 "[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\n"
				 "why = she runs it\n";
static const char new_policy[] = "[network]\nlease = 1h\n"
				 "[resource db]\non = tag:db\nports = tcp/5433\n"
				 "[posture p]\nrequire = disk.encrypted == false\n"
				 "[rule unused]\nwho = user:eve@x.org\nwhat = resource:db\n"
				 "how = posture:p\nwhy = not yet\n"
				 "[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\n"
				 "why = she runs the new one\n";

static struct dev *db, *ada, *people[PEOPLE];

static json_int_t put_with(const char *how, const char *text)
{
	char path[128];
	json_t *j;
	json_int_t version;

	snprintf(path, sizeof(path), "/v1/admin/policy?why=test%s", how);
	j = admin_ok("PUT", path, text);
	version = number_at(j, "version");
	json_decref(j);
	return version;
}

static void expect_refused(long status, const char *hint, const char *method, const char *path,
			   const char *body)
{
	struct reply r = admin(method, path, body);

	if (r.status != status || !code_is(&r, status == 409 ? "state" : "form") ||
	    !strstr(text_at(r.json, "error.hint"), hint))
		fail_msg("%s %s: %ld %s", method, path, r.status, r.text);
	drop(&r);
}

static json_t *status_at(const char *path)
{
	json_t *j = admin_ok("GET", "/v1/admin/status", NULL);
	json_t *value = json_incref(at(j, path));

	json_decref(j);
	return value;
}

static bool status_is_null(const char *path)
{
	json_t *j = status_at(path);
	bool is = json_is_null(j);

	json_decref(j);
	return is;
}

/* The newest versions' words in the log. */
static void expect_states(const char *newest, const char *before)
{
	json_t *j = admin_ok("GET", "/v1/admin/policy/log", NULL);

	assert_string_equal(text_at(j, "0.state"), newest);
	assert_string_equal(text_at(j, "1.state"), before);
	json_decref(j);
}

static void restart_all(void)
{
	end_controller(SIGKILL);
	serve();
}

static void come_back(struct dev *d)
{
	login(d);
	connect_stream(d);
}

static void all_gone(void)
{
	dev_free(db);
	dev_free(ada);
	for (size_t i = 0; i < PEOPLE; i++) {
		dev_free(people[i]);
		people[i] = NULL;
	}
	db = ada = NULL;
}

static void two_online(void)
{
	policy_ok(old_policy);
	db = online("\"tags\":[\"db\"]", "db");
	ada = online("\"user\":\"ada@x.org\"", "ada");
	await(may_open(ada, db, 5432));
}

/* --- warnings --- */

/* Of check and of put: as many, and the first one's words. */
static void expect_warnings(const char *text, size_t n, const char *words, unsigned line)
{
	static const struct {
		const char *method, *path;
	} asked[] = {{"POST", "/v1/admin/policy/check"}, {"PUT", "/v1/admin/policy?why=test"}};

	for (size_t i = 0; i < N_OF(asked); i++) {
		json_t *j = admin_ok(asked[i].method, asked[i].path, text);

		assert_int_equal(json_array_size(at(j, "warnings")), n);
		if (n && !strstr(text_at(j, "warnings.0.message"), words))
			fail_msg("%s: %s", asked[i].path, text_at(j, "warnings.0.message"));
		if (n) {
			assert_int_equal(number_at(j, "warnings.0.line"), line);
			assert_true(number_at(j, "warnings.0.column") > 0);
			assert_string_not_equal(text_at(j, "warnings.0.hint"), "");
		}
		json_decref(j);
	}
}

static const char due_policy[] = "[network]\nlease = 1h\n"
				 "[resource db]\non = tag:db\nports = tcp/5432\n"
				 "[rule due]\nwho = anyone\nwhat = resource:db\nwhy = x\n"
				 "review = 2020-01-01\n"
				 "[rule over]\nwho = anyone\nwhat = resource:db\nwhy = x\n"
				 "until = 2020-01-01\n";

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(old_policy, 1, "no device offers resource \"db\"", 3);
	db = enrolled("\"tags\":[\"db\"]", "db");
	expect_warnings(old_policy, 0, "", 0);
	expect_warnings(due_policy, 2, "\"due\" is past its review", 6);
	assert_int_equal(status_number("policy.past_review"), 1);
	assert_int_equal(status_number("policy.over"), 1);
	device_do(db, "revoke", "{\"why\":\"stolen\"}");
	expect_warnings(old_policy, 1, "no device offers", 3);
	assert_int_equal(status_number("policy.past_review"), 0);
	assert_int_equal(status_number("policy.over"), 0);
	all_gone();
}

static int64_t today(void)
{
	return clock_now().wall_ms / 1000 / 86400;
}

/* The log says it once a day, however often the controller starts. */
static void test_due_rules_are_in_the_log_once(void **state)
{
	int64_t day;

	(void)state;
	policy_ok(due_policy);
	restart_all();
	day = today();
	await(audit_count("policy.review", "\"past_review_rules\":[\"due\"]") > 0);
	assert_true(audit_count("policy.review", "\"over_rules\":[\"over\"]") > 0);
	restart_all();
	await(status_number("uptime_s") >= 2); /* its first look was after a second */
	assert_true(audit_count("policy.review", "") == 1 || today() != day);
}

/* --- confirm --- */

static void test_confirmed_it_stays(void **state)
{
	json_t *j;

	(void)state;
	two_online();
	expect_refused(409, "--confirm", "POST", "/v1/admin/policy/confirm", "{}");
	expect_refused(400, "10m", "PUT", "/v1/admin/policy?why=x&confirm_s=0", old_policy);
	expect_refused(400, "10m", "PUT", "/v1/admin/policy?why=x&confirm_s=10m", old_policy);
	assert_int_equal(put_with("&confirm_s=600", new_policy), 3);
	await(may_open(ada, db, 5433) && !may_open(ada, db, 5432));
	expect_states("unconfirmed", "");
	assert_false(status_is_null("policy.confirm_until"));
	expect_refused(409, "confirm first", "PUT", "/v1/admin/policy?why=x&canary=5", old_policy);
	restart_all();
	assert_false(status_is_null("policy.confirm_until"));
	j = admin_ok("POST", "/v1/admin/policy/confirm", "{\"why\":\"it works\"}");
	assert_int_equal(number_at(j, "version"), 3);
	json_decref(j);
	assert_true(status_is_null("policy.confirm_until"));
	expect_states("in force", "");
	assert_int_equal(audit_count("policy.confirm", "it works"), 1);
	expect_refused(409, "", "POST", "/v1/admin/policy/confirm", "{}");
	all_gone();
}

static void expect_gone_back(void)
{
	struct reply r = admin("GET", "/v1/admin/policy", NULL);

	assert_string_equal(r.text, old_policy);
	drop(&r);
	assert_true(status_is_null("policy.confirm_until"));
	expect_states("in force", "replaced");
	assert_int_equal(audit_count("policy.put", "version 3 was not confirmed in time"), 1);
	assert_int_equal(audit_count("policy.put", "\"actor\":\"system\""), 2); /* and init's */
}

static void test_unconfirmed_it_goes_back(void **state)
{
	uint64_t serial;

	(void)state;
	two_online();
	serial = ada->serial;
	assert_int_equal(put_with("&confirm_s=1", new_policy), 3);
	await(ada->map.policy == 4 && db->map.policy == 4);
	assert_true(may_open(ada, db, 5432) && !may_open(ada, db, 5433));
	assert_true(ada->serial >= serial + 2); /* there, and back */
	expect_gone_back();
	expect_refused(409, "", "POST", "/v1/admin/policy/confirm", "{}");
	restart_all();
	assert_int_equal(status_number("policy.version"), 4);
	all_gone();
}

/* The time passes while nobody is there: it is over before the first device is heard. */
static void test_it_goes_back_at_start(void **state)
{
	int64_t over_ms;

	(void)state;
	policy_ok(old_policy);
	assert_int_equal(put_with("&confirm_s=2", new_policy), 3);
	over_ms = clock_now().wall_ms + 2000;
	end_controller(SIGKILL);
	await(clock_now().wall_ms > over_ms);
	serve();
	assert_int_equal(status_number("policy.version"), 4);
	expect_gone_back();
}

/* An old version is tried as a new one is. */
static void test_a_restore_is_tried(void **state)
{
	static const char two[] = "{\"version\":2,\"why\":\"as it was\"}";
	json_t *j;

	(void)state;
	policy_ok(old_policy);
	policy_ok(new_policy);
	expect_refused(400, "10m", "POST", "/v1/admin/policy/restore?confirm_s=0", two);
	j = admin_ok("POST", "/v1/admin/policy/restore?confirm_s=600", two);
	assert_int_equal(number_at(j, "version"), 4);
	assert_string_not_equal(text_at(j, "confirm_until"), "");
	json_decref(j);
	expect_states("unconfirmed", "");
	expect_refused(409, "confirm first", "POST", "/v1/admin/policy/restore?canary=5", two);
	admin_do("POST", "/v1/admin/policy/confirm", "{}");
	j = admin_ok("POST", "/v1/admin/policy/restore?canary=5", two);
	assert_int_equal(number_at(j, "canary"), 5);
	json_decref(j);
	expect_states("canary", "in force");
}

static void test_a_put_ends_the_waiting(void **state)
{
	(void)state;
	policy_ok(old_policy);
	put_with("&confirm_s=600", new_policy);
	policy_ok(new_policy);
	assert_true(status_is_null("policy.confirm_until"));
	expect_states("in force", "replaced");
	expect_refused(409, "", "POST", "/v1/admin/policy/confirm", "{}");
}

/* Two admins: one confirms what the other put over it, unless the version is said. */
static void test_two_admins(void **state)
{
	json_t *j;

	(void)state;
	policy_ok(old_policy);
	assert_int_equal(put_with("&confirm_s=600", new_policy), 3);
	assert_int_equal(put_with("&confirm_s=600", old_policy), 4);
	expect_refused(409, "policy log --version 4", "POST", "/v1/admin/policy/confirm",
		       "{\"version\":3}");
	expect_states("unconfirmed", "replaced");
	expect_refused(400, "policy log", "POST", "/v1/admin/policy/confirm", "{\"version\":-4}");
	expect_refused(400, "policy log", "POST", "/v1/admin/policy/confirm",
		       "{\"version\":\"4\"}");
	expect_refused(400, "policy log", "POST", "/v1/admin/policy/confirm",
		       "{\"version\":4294967300}");
	j = admin_ok("POST", "/v1/admin/policy/confirm", "{\"version\":4}");
	assert_int_equal(number_at(j, "version"), 4);
	assert_int_equal(json_array_size(at(j, "warnings")), 0);
	json_decref(j);
	assert_int_equal(put_with("&canary=5", new_policy), 5);
	assert_int_equal(put_with("&canary=5", new_policy), 6);
	expect_refused(409, "policy log --version 6", "POST", "/v1/admin/policy/promote",
		       "{\"version\":5}");
	expect_refused(409, "policy log --version 6", "POST", "/v1/admin/policy/abort",
		       "{\"version\":5}");
	expect_states("canary", "replaced");
	admin_do("POST", "/v1/admin/policy/abort", "{\"version\":6}");
	expect_states("aborted", "replaced");
}

/* --- canary --- */

static bool is_inside(const struct dev *d, json_int_t version)
{
	return canary_has(d->id, (uint32_t)version, HALF);
}

/* Every device has what its policy gives it, and nothing of the other. version 0: no canary. */
static bool all_have_theirs(json_int_t version)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		bool in = version && is_inside(people[i], version);

		if (may_open(people[i], db, 5433) != in || may_open(people[i], db, 5432) == in)
			return false;
	}
	return true;
}

static unsigned count_inside(json_int_t version)
{
	unsigned n = 0;

	for (size_t i = 0; i < PEOPLE; i++)
		n += is_inside(people[i], version);
	return n;
}

static bool is_split(json_int_t version)
{
	unsigned n = count_inside(version);

	return n && n < PEOPLE;
}

/* A version in which some are and some are not: the canary is put again until there is one. */
static json_int_t put_canary(void)
{
	json_int_t version;

	do
		version = put_with("&canary=50", new_policy);
	while (!is_split(version));
	return version;
}

static void all_online(void)
{
	policy_ok(old_policy);
	db = online("\"tags\":[\"db\"]", "db");
	for (size_t i = 0; i < PEOPLE; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ada-%zu", i);
		people[i] = online("\"user\":\"ada@x.org\"", name);
	}
	await(all_have_theirs(0));
}

static void expect_words_of_both(json_int_t version)
{
	for (size_t i = 0; i < PEOPLE; i++) {
		bool in = is_inside(people[i], version);
		struct reply why = ask_why(people[i], "db", "tcp/5433");
		char path[128];
		json_t *j;

		assert_true(json_is_true(at(why.json, "allowed")) == in);
		drop(&why);
		snprintf(path, sizeof(path), "/v1/admin/explain?from=%u&to=db&service=tcp/5432",
			 people[i]->id);
		j = admin_ok("GET", path, NULL);
		assert_true(json_is_true(at(j, "allowed")) != in);
		json_decref(j);
	}
}

static void test_canary(void **state)
{
	json_int_t version, in_force;
	json_t *canary;

	(void)state;
	all_online();
	in_force = status_number("policy.version");
	expect_refused(400, "1%", "PUT", "/v1/admin/policy?why=x&canary=100", new_policy);
	expect_refused(400, "take one", "PUT", "/v1/admin/policy?why=x&canary=5&confirm_s=60",
		       new_policy);
	expect_refused(409, "--canary", "POST", "/v1/admin/policy/promote", "{}");
	version = put_canary();
	await(all_have_theirs(version));
	assert_int_equal(status_number("policy.version"), in_force);
	canary = status_at("policy.canary");
	assert_int_equal(number_at(canary, "version"), version);
	assert_int_equal(number_at(canary, "percent"), HALF);
	assert_int_equal(number_at(canary, "devices"),
			 count_inside(version) + is_inside(db, version));
	json_decref(canary);
	expect_words_of_both(version);
	restart_all();
	await(db->ended);
	come_back(db);
	for (size_t i = 0; i < PEOPLE; i++)
		come_back(people[i]);
	await(all_have_theirs(version));
	expect_words_of_both(version);
	admin_do("POST", "/v1/admin/policy/abort", "{\"why\":\"no\"}");
	await(all_have_theirs(0));
	assert_true(status_is_null("policy.canary"));
	assert_int_equal(status_number("policy.version"), in_force);
	expect_states("aborted", version == in_force + 1 ? "in force" : "replaced");
	assert_int_equal(audit_count("policy.abort", "\"why\":\"no\""), 1);
	all_gone();
}

static bool all_have_the_new(void)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (!may_open(people[i], db, 5433) || may_open(people[i], db, 5432))
			return false;
	return true;
}

static void test_canary_promoted(void **state)
{
	json_int_t version;

	(void)state;
	all_online();
	version = put_canary();
	await(all_have_theirs(version));
	admin_do("POST", "/v1/admin/policy/promote", "{}");
	await(all_have_the_new());
	assert_int_equal(status_number("policy.version"), version);
	assert_int_equal(audit_count("policy.promote", "\"promoted\""), 1);
	restart_all();
	assert_int_equal(status_number("policy.version"), version);
	expect_refused(409, "", "POST", "/v1/admin/policy/abort", "{}");
	put_with("&canary=50", old_policy);
	assert_false(status_is_null("policy.canary"));
	policy_ok(old_policy); /* ends it */
	assert_true(status_is_null("policy.canary"));
	all_gone();
}

static bool is_asked_for(const struct dev *d, const char *fact)
{
	json_t *asked;
	size_t i;

	json_array_foreach(at(d->advice, "facts"), i, asked)
	{
		if (strcmp(json_string_value(asked), fact) == 0)
			return true;
	}
	return false;
}

/* A fact that only the canary wants is told by all: who is promoted into it is known already. */
static void test_canary_facts_are_asked_of_all(void **state)
{
	static const char careful[] = "[resource db]\non = tag:db\nports = tcp/5433\n"
				      "[posture p]\nrequire = disk.encrypted == true\n"
				      "[rule ada-db]\nwho = user:ada@x.org\nwhat = resource:db\n"
				      "how = posture:p\nwhy = she runs it\n";

	(void)state;
	two_online();
	assert_false(is_asked_for(ada, "disk.encrypted"));
	while (canary_has(ada->id, (uint32_t)put_with("&canary=50", careful), HALF))
		continue;
	await(is_asked_for(ada, "disk.encrypted"));
	await(may_open(ada, db, 5432) && !may_open(ada, db, 5433)); /* she may have been in one */
	admin_do("POST", "/v1/admin/policy/abort", "{}");
	await(!is_asked_for(ada, "disk.encrypted"));
	all_gone();
}

static bool none_may_open(uint16_t port)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (may_open(people[i], db, port))
			return false;
	return true;
}

static bool insiders_may_open(json_int_t version, uint16_t port)
{
	for (size_t i = 0; i < PEOPLE; i++)
		if (is_inside(people[i], version) != may_open(people[i], db, port))
			return false;
	return true;
}

/* Rules of the canary end by themselves as well. */
static void test_time_passes_in_a_canary(void **state)
{
	char text[600], until[32];
	json_int_t version;

	(void)state;
	all_online();
	do {
		num_print_time(clock_now().wall_ms / 1000 + 3, until, sizeof(until));
		snprintf(text, sizeof(text),
			 "[resource brief]\non = tag:db\nports = tcp/5433\n"
			 "[resource db]\non = tag:db\nports = tcp/5434\n"
			 "[rule brief]\nwho = user:ada@x.org\nwhat = resource:brief\nwhy = x\n"
			 "until = %s\n"
			 "[rule db]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = x\n",
			 until);
		version = put_with("&canary=50", text);
	} while (!is_split(version));
	await(insiders_may_open(version, 5434));
	await(none_may_open(5433));
	assert_true(insiders_may_open(version, 5434));
	all_gone();
}

/* Gone is gone, whichever policy one is under. */
static void test_revoked_from_both(void **state)
{
	json_int_t version;

	(void)state;
	all_online();
	version = put_canary();
	await(all_have_theirs(version));
	for (size_t i = 0; i < PEOPLE; i++)
		device_do(people[i], "revoke", "{\"why\":\"stolen\"}");
	for (size_t i = 0; i < PEOPLE; i++)
		await(people[i]->ended && !sees(db, people[i]) && !sees(people[i], db));
	assert_int_equal(db->map.n_grants + db->map.n_rules, 0);
	all_gone();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_warnings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_due_rules_are_in_the_log_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_confirmed_it_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unconfirmed_it_goes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_goes_back_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_restore_is_tried, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_put_ends_the_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_admins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary_promoted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary_facts_are_asked_of_all, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_time_passes_in_a_canary, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revoked_from_both, setup, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_rollout", tests, NULL, NULL);
}
