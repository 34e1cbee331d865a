/* What the devices that there are say of a policy: tags and names that nobody has. */
#include "tests/unit/policy_fixture.h"

#include "controller/policy/review.h"

static const char text[] = "[group staff]\n"
			   "members = tag:contractor, tag:clerc\n"
			   "except = tag:gone\n"
			   "[resource web]\n"
			   "on = tag:web\n"
			   "except = device:web-8\n"
			   "ports = tcp/80\n"
			   "[rule all]\n"
			   "who = anyone, tag:web\n"
			   "except = tag:contarctor\n"
			   "what = resource:web\n"
			   "why = x\n"
			   "[rule no]\n"
			   "action = deny\n"
			   "who = tag:contarctor, device:web-9, device:web-1\n"
			   "what = resource:web\n"
			   "why = x\n"
			   "[test t]\n"
			   "from = tag:wbe\n"
			   "to = web tcp/80\n"
			   "expect = allow\n"
			   "[invariant i]\n"
			   "from = tag:interm, group:staff\n"
			   "to = resource:web\n"
			   "expect = never\n"
			   "why = x\n";

static struct engine *engine_with(const struct policy *p)
{
	static const char *const tags[] = {"web", "contractor"};
	struct subject web = {.id = 1, .name = "web-1", .owner = "", .tags = tags, .n_tags = 1};
	struct subject man = {.id = 2, .name = "c", .owner = "", .tags = tags + 1, .n_tags = 1};
	struct engine *e = engine_new(p, 0);

	assert_non_null(e);
	assert_int_equal(engine_put(e, &web), 0);
	assert_int_equal(engine_put(e, &man), 0);
	return e;
}

static void what_nobody_is_is_said_once_with_what_may_be_meant(void **state)
{
	static const struct {
		unsigned line, column;
		const char *message, *hint;
	} rows[] = {
		{2, 27, "no device has tag:clerc now", "ztctl device list"},
		{3, 10, "no device has tag:gone now", "ztctl device list"},
		{6, 10, "no device is device:web-8 now", "did you mean device:web-1?"},
		{10, 10, "no device has tag:contarctor now", "did you mean tag:contractor?"},
		{15, 23, "no device is device:web-9 now", "did you mean device:web-1?"},
		{19, 8, "no device has tag:wbe now", "did you mean tag:web?"},
		{23, 8, "no device has tag:interm now", "ztctl device list"},
	};
	const struct policy_env env = {.was_accepted = true};
	static struct diag warnings[POLICY_WARNINGS_MAX];
	struct policy *p = parsed_in(text, &env);
	struct engine *e = engine_with(p);

	(void)state;
	assert_int_equal(review_devices(p, e, warnings, 1, 3), 3); /* no more than fit */
	assert_int_equal(review_devices(p, e, warnings, 0, N_OF(warnings)), N_OF(rows));
	for (size_t i = 0; i < N_OF(rows); i++)
		if (warnings[i].line != rows[i].line || warnings[i].column != rows[i].column ||
		    strcmp(warnings[i].message, rows[i].message) != 0 ||
		    !strstr(warnings[i].hint, rows[i].hint))
			fail_msg("%s: but %u:%u %s (%s)", rows[i].message, warnings[i].line,
				 warnings[i].column, warnings[i].message, warnings[i].hint);
	engine_free(e);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_is_is_said_once_with_what_may_be_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
