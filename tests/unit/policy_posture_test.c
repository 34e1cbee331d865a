/* Posture: what a fact's value satisfies, how long, and what is said when it does not. */
#include "tests/unit/policy_fixture.h"

#include <errno.h>

#include "controller/policy/posture.h"
#include "zt/buf.h"

enum { MINUTE = 60 * 1000 };
static const int64_t now = INT64_C(1800000000000);

static struct policy *policy_of(const char *require, const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text), "[posture p]\nrequire = %s\n%s", require, more);
	return parsed(text);
}

static void a_value_satisfies_a_condition_or_not(void **state)
{
	static const struct {
		const char *condition, *value;
		bool holds;
		const char *is; /* NULL: the value itself */
	} rows[] = {
		{"disk.encrypted == true", "true", true, NULL},
		{"disk.encrypted == true", "false", false, NULL},
		{"disk.encrypted != true", "false", true, NULL},
		{"disk.encrypted == true", "1", false, "unknown (\"1\" cannot be compared)"},
		{"disk.encrypted != true", "yes", false, "unknown (\"yes\" cannot be compared)"},
		{"os.version >= 12", "12", true, NULL},
		{"os.version >= 12", "12.4", true, NULL},
		{"os.version >= 12", "11.9", false, NULL},
		{"os.version >= 9", "10", true, NULL},
		{"os.version == 12", "12.0", true, NULL},
		{"os.version == 12.0.0", "12", true, NULL},
		{"os.version > 12", "12.0.1", true, NULL},
		{"os.version > 12", "12.0", false, NULL},
		{"os.version != 12", "12.00", false, NULL},
		{"os.version <= 12.4", "12.10", false, NULL},
		{"os.version >= 12", "rolling", false, "unknown (\"rolling\" cannot be compared)"},
		{"os.version >= 12", "", false, "unknown (\"\" cannot be compared)"},
		{"kernel.version >= 6.1", "6.1.0-18-amd64", true, NULL},
		{"kernel.version >= 6.2", "6.1.0-18-amd64", false, NULL},
		{"kernel.version < 6.1.1", "6.1.0-18-amd64", true, NULL},
		{"package.version:clamav >= 1.0", "1:1.0.3+dfsg-1", true, NULL},
		{"package.version:clamav >= 2", "2:1.0.3", false, NULL},
		{"os.version < 99999999999999999999999", "12", true, NULL},
		{"os.version >= 99999999999999999999999", "99999999999999999999999", true, NULL},
		{"os.update_age <= 14d", "1209600", true, NULL},
		{"os.update_age <= 14d", "1209601", false, NULL},
		{"os.update_age <= 14d", "13d", true, NULL},
		{"os.update_age <= 14d", "15d", false, NULL},
		{"os.update_age <= 14d", "-3", false, "unknown (\"-3\" cannot be compared)"},
		{"time.offset < 500", "499", true, NULL},
		{"time.offset < 500", "500", false, NULL},
		{"time.offset < 500", "1e2", false, "unknown (\"1e2\" cannot be compared)"},
		{"os.family == linux", "linux", true, NULL},
		{"os.family == linux", "Linux", false, NULL},
		{"os.id != arch", "debian", true, NULL},
		{"custom.av == up to date", "up to date", true, NULL},
		{"process.running:clamd == true", "true", true, NULL},
		{"file.exists:/etc/x y == true", "true", true, NULL},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *p = policy_of(rows[i].condition, "");
		struct fact_view f = {.name = p->postures[0].require[0].fact,
				      .state = FACT_KNOWN,
				      .value = rows[i].value,
				      .read_ms = now};
		struct arena a;
		struct verdict v;

		arena_init(&a, 1 << 16);
		assert_int_equal(posture_evaluate(&p->postures[0], &f, 1, now, 0, &a, &v), 0);
		row_check(rows[i].condition, v.complies == rows[i].holds);
		row_check(rows[i].condition, v.n_failed == !rows[i].holds);
		if (v.n_failed) {
			assert_string_equal(v.failed[0].condition, rows[i].condition);
			assert_string_equal(v.failed[0].is,
					    rows[i].is ? rows[i].is : rows[i].value);
		}
		arena_done(&a);
		policy_free(p);
	}
}

/* disk.encrypted == true and firewall.enabled == true, at most 15 minutes old, 10 minutes of grace
 */
struct situation {
	const char *says;
	const char *disk; /* value; NULL: not reported */
	bool known;
	int64_t read_ms;	  /* relative to now */
	int64_t failing_since_ms; /* relative to now; 0: it complied */
	bool complies, ok;
	int64_t next_ms; /* relative to now; INT64_MAX: never */
	const char *is;	 /* of the first condition that fails */
};

static void check_situation(const struct policy *p, const struct situation *s)
{
	struct fact_view facts[] = {
		{.name = "disk.encrypted",
		 .state = s->known,
		 .value = s->disk,
		 .read_ms = now + s->read_ms},
		{.name = "firewall.enabled", .state = FACT_KNOWN, .value = "true", .read_ms = now},
		{.name = "zzz", .state = FACT_KNOWN, .value = "true", .read_ms = now},
	};
	size_t skip = s->disk ? 0 : 1;
	int64_t since = s->failing_since_ms == POSTURE_NEVER_COMPLIED ? POSTURE_NEVER_COMPLIED
			: s->failing_since_ms			      ? now + s->failing_since_ms
								      : 0;
	struct arena a;
	struct verdict v;

	arena_init(&a, 1 << 16);
	assert_int_equal(posture_evaluate(&p->postures[0], facts + skip, N_OF(facts) - skip, now,
					  since, &a, &v),
			 0);
	row_check(s->says, v.complies == s->complies);
	row_check(s->says, v.ok == s->ok);
	row_check(s->says, v.next_ms == (s->next_ms == INT64_MAX ? INT64_MAX : now + s->next_ms));
	row_check(s->says, (v.n_failed > 0) == (s->is != NULL));
	if (s->is)
		assert_string_equal(v.failed[0].is, s->is);
	for (size_t i = 0; i < v.n_failed; i++)
		row_check(s->says, v.failed[i].hint[0] != '\0');
	arena_done(&a);
}

static void age_and_grace_end_to_the_millisecond(void **state)
{
	static const struct situation rows[] = {
		{"fresh", "true", true, 0, 0, true, true, 15 * MINUTE, NULL},
		{"the oldest fact decides", "true", true, -14 * MINUTE, 0, true, true, MINUTE,
		 NULL},
		{"the last good moment", "true", true, 1 - 15 * MINUTE, 0, true, true, 1, NULL},
		{"too old this very moment, grace begins", "true", true, -15 * MINUTE, 0, false,
		 true, 10 * MINUTE, "15m old, at most 15m"},
		{"much too old", "true", true, INT64_C(-50) * 60 * MINUTE, -11 * MINUTE, false,
		 false, INT64_MAX, "2d old, at most 15m"},
		{"from the future", "true", true, 5 * MINUTE, 0, true, true, 15 * MINUTE, NULL},
		{"begins to fail", "false", true, 0, 0, false, true, 10 * MINUTE, "false"},
		{"fails for nine minutes", "false", true, 0, -9 * MINUTE, false, true, MINUTE,
		 "false"},
		{"the last moment of grace", "false", true, 0, 1 - 10 * MINUTE, false, true, 1,
		 "false"},
		{"grace is over", "false", true, 0, -10 * MINUTE, false, false, INT64_MAX, "false"},
		{"complies again", "true", true, 0, -90 * MINUTE, true, true, 15 * MINUTE, NULL},
		{"never complied, no grace", "false", true, 0, POSTURE_NEVER_COMPLIED, false, false,
		 INT64_MAX, "false"},
		{"cannot be read", "no such file", false, 0, -10 * MINUTE, false, false, INT64_MAX,
		 "unknown (no such file)"},
		{"says true but is unknown", "true", false, 0, -10 * MINUTE, false, false,
		 INT64_MAX, "unknown (true)"},
		{"not reported", NULL, false, 0, -10 * MINUTE, false, false, INT64_MAX,
		 "unknown (not reported)"},
	};
	struct policy *p =
		policy_of("disk.encrypted == true, firewall.enabled == true", "grace = 10m\n");

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_situation(p, &rows[i]);
	policy_free(p);
}

static void without_grace_a_failure_counts_at_once(void **state)
{
	static const struct situation rows[] = {
		{"fails", "false", true, 0, 0, false, false, INT64_MAX, "false"},
		{"max_age of the profile", "true", true, -30 * 1000, 0, false, false, INT64_MAX,
		 "30s old, at most 30s"},
		{"complies", "true", true, 0, 0, true, true, 30 * 1000, NULL},
	};
	struct policy *p = policy_of("disk.encrypted == true", "max_age = 30s\n");

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_situation(p, &rows[i]);
	policy_free(p);
}

static void every_condition_that_fails_is_named(void **state)
{
	struct policy *p =
		policy_of("disk.encrypted == true, os.version >= 12, firewall.enabled == true", "");
	struct fact_view facts[] = {
		{"disk.encrypted", FACT_KNOWN, "false", now},
		{"firewall.enabled", FACT_KNOWN, "true", now},
		{"os.version", FACT_KNOWN, "11", now},
	};
	struct arena a;
	struct verdict v;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(posture_evaluate(&p->postures[0], facts, N_OF(facts), now, 0, &a, &v), 0);
	assert_int_equal(v.n_failed, 2);
	assert_string_equal(v.failed[0].condition, "disk.encrypted == true");
	assert_string_equal(v.failed[0].hint, fact_kind_find("disk.encrypted")->mend);
	assert_string_equal(v.failed[1].condition, "os.version >= 12");
	assert_int_equal(posture_evaluate(&p->postures[0], NULL, 0, now, 0, &a, &v), 0);
	assert_int_equal(v.n_failed, 3);
	arena_done(&a);
	arena_init(&a, 16);
	assert_int_equal(posture_evaluate(&p->postures[0], NULL, 0, now, 0, &a, &v), -ENOMEM);
	arena_done(&a);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_satisfies_a_condition_or_not),
		cmocka_unit_test(age_and_grace_end_to_the_millisecond),
		cmocka_unit_test(without_grace_a_failure_counts_at_once),
		cmocka_unit_test(every_condition_that_fails_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
