/* A policy read in steps: what is refused is refused at the step that says so, and a text that was
 * accepted before is taken without a proof. */
#include "tests/unit/unit.h"

#include "controller/policy/reading.h"

enum { NOW_S = 1800000000 };

#define RULES                                                                                      \
	"[resource db]\non = tag:db\nports = tcp/5432\n"                                           \
	"[rule r]\nwho = group:staff\nwhat = resource:db\nwhy = w\n[group staff]\n"
#define NEVER(whom) "[invariant i]\nfrom = " whom "\nto = resource:db\nexpect = never\nwhy = w\n"

static void it_is_refused_or_good(void **state)
{
	static const char *const groups[] = {"staff"}, *const guest[] = {"guest"};
	static const struct subject devices[] = {
		{.id = 1, .name = "a", .owner = "ada@x.org", .groups = groups, .n_groups = 1},
		{.id = 2, .name = "b", .owner = "", .tags = guest, .n_tags = 1}};
	static const struct {
		const char *says, *text;
		bool was_accepted, proof;
		int err;
		size_t n_problems;
	} rows[] = {
		{"it cannot be parsed: nothing to prove", "nonsense\n", false, false, -ZT_EFORM, 1},
		{"nor when it was accepted before", "nonsense\n", true, false, -ZT_EFORM, 1},
		{"the rule opens what is never to be", RULES NEVER("group:staff"), false, true,
		 -ZT_EFORM, 1},
		{"a device of staff is one of ada's", RULES NEVER("user:ada@x.org"), false, true,
		 -ZT_EFORM, 1},
		{"no device is both", RULES NEVER("tag:guest"), false, true, 0, 0},
		{"broken, but accepted before", RULES NEVER("group:staff"), true, false, 0, 0},
		{"nothing to hold", RULES, false, true, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct policy_env env = {.now_s = NOW_S,
					       .was_accepted = rows[i].was_accepted};
		struct diag items[4];
		struct policy_reading r = {.problems = {.items = items, .max = N_OF(items)}};
		int more = policy_read_begin(&r, rows[i].text, strlen(rows[i].text), &env, devices,
					     N_OF(devices));

		row_check(rows[i].says, (more == 1) == rows[i].proof);
		row_check(rows[i].says, (r.proof != NULL) == rows[i].proof);
		while (more == 1)
			more = policy_read_step(&r);
		row_check(rows[i].says, more == rows[i].err);
		row_check(rows[i].says, !r.proof);
		row_check(rows[i].says, r.problems.n == rows[i].n_problems);
		policy_read_end(&r);
		assert_null(r.policy);
	}
}

/* As when the controller ends: nothing is left, whatever was begun. */
static void it_may_end_in_the_middle(void **state)
{
	static const char text[] = RULES NEVER("group:staff");
	const struct policy_env env = {.now_s = NOW_S};
	struct diag items[4];
	struct policy_reading r = {.problems = {.items = items, .max = N_OF(items)}};

	(void)state;
	policy_read_end(&r);
	r.problems = (struct diag_list){.items = items, .max = N_OF(items)};
	assert_int_equal(policy_read_begin(&r, text, sizeof(text) - 1, &env, NULL, 0), 1);
	assert_non_null(r.policy);
	policy_read_end(&r);
	assert_null(r.proof);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_refused_or_good),
		cmocka_unit_test(it_may_end_in_the_middle),
	};

	return cmocka_run_group_tests_name("policy_reading", tests, NULL, NULL);
}
