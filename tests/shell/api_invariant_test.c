/* Invariants on a running controller: a policy that breaks one is refused; tags and groups that
 * are given afterwards do not get round one; many of them hold nobody up. */
#include "tests/shell/api_device.h"
#include "tests/shell/api_two.h"

static const char kept_policy[] =
	"[network]\nlease = 1h\n"
	"[group interns]\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[resource web]\non = tag:db\nports = tcp/80\n"
	"[rule ada]\nwho = user:ada@x.org\nwhat = resource:db, resource:web\nwhy = she runs it\n"
	"[invariant interns]\nfrom = group:interns, tag:guest\nto = resource:db\nexpect = never\n"
	"why = what we promised\n";

static const char broken_policy[] =
	"[network]\nlease = 1h\n"
	"[group interns]\nmembers = user:ada@x.org\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[rule ada]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = she runs it\n"
	"[invariant interns]\nfrom = group:interns\nto = resource:db\nexpect = never\n"
	"why = what we promised\n"
	"[test ada]\nfrom = user:ada@x.org\nto = db tcp/22\nexpect = allow\n";

/* Both the test that fails and the invariant that is broken are said in one run. */
static void test_broken_is_refused(void **state)
{
	struct reply r;

	(void)state;
	policy_ok(kept_policy);
	r = policy_put(broken_policy);
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.text, "invariant \\\"interns\\\" is broken"));
	assert_non_null(strstr(r.text, "test \\\"ada\\\" fails"));
	drop(&r);
	assert_int_equal(status_number("policy.version"), 2); /* that of init, and the first */
}

static void expect_explained(bool allowed, const char *words)
{
	json_t *j = admin_ok("GET", "/v1/admin/explain?from=ada&to=db&service=tcp/5432", NULL);

	assert_true(json_is_true(at(j, "allowed")) == allowed);
	if (words && !strstr(text_at(j, "nearest.failed.0.is"), words))
		fail_msg("explained by %s", text_at(j, "nearest.failed.0.is"));
	json_decref(j);
}

static void test_a_tag_does_not_get_round_it(void **state)
{
	(void)state;
	two_online(kept_policy);
	assert_true(may_open(ada, db, 5432));
	expect_explained(true, NULL);
	device_do(ada, "tags", "{\"add\":[\"guest\"],\"remove\":[]}");
	await(!may_open(ada, db, 5432) && !may_open(db, ada, 5432));
	assert_true(may_open(ada, db, 80)); /* only what it is about */
	expect_explained(false, "invariant interns forbids it: what we promised");
	device_do(ada, "tags", "{\"add\":[],\"remove\":[\"guest\"]}");
	await(may_open(ada, db, 5432));
	two_gone();
}

static void test_a_group_does_not_get_round_it(void **state)
{
	struct reply r;

	(void)state;
	two_online(kept_policy);
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[\"interns\"]}");
	await(!may_open(ada, db, 5432));
	expect_explained(false, "invariant interns");
	/* The same policy is refused now: with the groups that there are it is broken. */
	r = policy_put(kept_policy);
	assert_int_equal(r.status, 422);
	drop(&r);
	admin_do("PUT", "/v1/admin/users/ada@x.org", "{\"groups\":[]}");
	await(may_open(ada, db, 5432));
	two_gone();
}

static const char asking_policy[] =
	"[network]\nlease = 1h\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[posture sealed]\nrequire = disk.encrypted == true\n"
	"[rule ada]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = she runs it\n"
	"[invariant guests]\nfrom = tag:guest\nto = resource:db\nexpect = posture:sealed\n"
	"why = what we promised\n";

static bool is_asked(const struct dev *d, const char *fact)
{
	size_t i;
	json_t *j;

	json_array_foreach(json_object_get(d->advice, "facts"), i, j)
	{
		if (strcmp(json_string_value(j), fact) == 0)
			return true;
	}
	return false;
}

/* What it asks for is asked of the device, so that it can be given. */
static void test_what_it_asks_for_can_be_given(void **state)
{
	(void)state;
	two_online(asking_policy);
	device_do(ada, "tags", "{\"add\":[\"guest\"],\"remove\":[]}");
	await(!may_open(ada, db, 5432));
	expect_explained(false, "asks for posture:sealed");
	await(is_asked(ada, "disk.encrypted"));
	assert_false(is_asked(db, "disk.encrypted"));
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432));
	two_gone();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_broken_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_tag_does_not_get_round_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_it_asks_for_can_be_given, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_group_does_not_get_round_it, setup,
						teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_invariant", tests, NULL, NULL);
}
