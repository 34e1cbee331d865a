/* A policy beside another: who is under which, what changes act on both, what promoting and ending
 * it keeps. */
#include "tests/unit/model_fixture.h"

#include "controller/model/canary.h"
#include "controller/model/grace.h"
#include "controller/policy/review.h"

/* The same posture under another number; what the others of each policy are is not the point. */
static const char old_text[] =
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[posture p]\nrequire = disk.encrypted == true\ngrace = 60s\nmax_age = 300s\n"
	"[rule careful]\nwho = user:sam@x.org\nwhat = resource:db\nhow = posture:p\nwhy = w\n";
static const char new_text[] =
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[resource web]\non = tag:web\nports = tcp/443\n"
	"[posture other]\nrequire = firewall.enabled == true\n"
	"[posture p]\nrequire = disk.encrypted == true\ngrace = 60s\nmax_age = 300s\n"
	"[rule careful]\nwho = user:sam@x.org\nwhat = resource:db\nhow = posture:p\nwhy = w\n"
	"[rule strict]\nwho = user:ada@x.org\nwhat = resource:db\nhow = posture:other\nwhy = w\n";

static struct model m;

static int setup(void **state)
{
	(void)state;
	model_fill(&m, old_text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	model_done(&m);
	return 0;
}

/* A version whose half has ada and sam as wished. */
static uint32_t version_with(bool ada, bool sam)
{
	uint32_t v = 2;

	while (canary_has(ADA, v, 50) != ada || canary_has(SAM, v, 50) != sam)
		v++;
	return v;
}

static void set_canary(uint32_t version)
{
	struct policy_row row = {.version = version,
				 .trial = {.state = TRIAL_OPEN, .base = 1, .percent = 50}};

	assert_int_equal(model_set_canary(&m, parsed(new_text), &row, now_ms), 0);
}

static void finish(enum change_kind kind, int64_t at_ms)
{
	struct change c = {.kind = kind, .policy = m.canary.row};
	struct device *d;

	assert_int_equal(model_apply(&m, &c, at_ms, &d), 0);
	assert_null(d);
	assert_null(m.canary.engine);
}

static void report(uint32_t id, const char *name, const char *value, int64_t at_ms)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct fact f = {.state = FACT_KNOWN};
	struct report r = {.facts = &f, .n_facts = 1};
	bool changed;

	snprintf(f.name, sizeof(f.name), "%s", name);
	snprintf(f.value, sizeof(f.value), "%s", value);
	assert_int_equal(model_take_report(&m, model_device(&m, id), &r, at_ms, &changed), 0);
	model_evaluate(&m, model_device(&m, id), at_ms, changes);
}

/* --- who is in it --- */

static void test_share(void **state)
{
	static const unsigned percents[] = {0, 1, 5, 10, 50, 99, 100};
	enum { N = 20000 };
	unsigned in[N_OF(percents)] = {0}, both = 0;

	(void)state;
	for (uint32_t id = 1; id <= N; id++) {
		bool was = false;

		for (size_t i = 0; i < N_OF(percents); i++) {
			bool is = canary_has(id, 7, percents[i]);

			assert_true(is || !was); /* a greater share has all of a smaller one */
			in[i] += is;
			was = is;
		}
		both += canary_has(id, 7, 10) && canary_has(id, 8, 10);
	}
	assert_int_equal(in[0], 0);
	assert_int_equal(in[N_OF(percents) - 1], N);
	for (size_t i = 1; i < N_OF(percents) - 1; i++)
		assert_in_range(in[i], N / 100 * percents[i] - N / 100,
				N / 100 * percents[i] + N / 100);
	assert_in_range(both, N / 200, N / 50); /* another version has others */
}

/* Written down: controllers of two versions must agree on who is in a canary that runs. */
static void test_share_is_stable(void **state)
{
	static const uint32_t first[] = {40, 92};
	size_t n = 0;

	(void)state;
	for (uint32_t id = 1; id <= 100; id++)
		if (canary_has(id, 5, 5)) {
			assert_true(n < N_OF(first));
			assert_int_equal(id, first[n++]);
		}
	assert_int_equal(n, N_OF(first));
}

/* --- judged by one's own --- */

static void test_each_is_judged_by_its_own(void **state)
{
	(void)state;
	set_canary(version_with(true, false));
	assert_false(may_open(&m, ADA, DB) || may_open(&m, SAM, DB));
	report(ADA, "firewall.enabled", "true", now_ms);
	assert_true(may_open(&m, ADA, DB)); /* by the canary's rule and its posture, bit 0 there */
	report(SAM, "firewall.enabled", "true", now_ms);
	assert_false(may_open(&m, SAM, DB)); /* bit 0 is another posture here */
	report(SAM, "disk.encrypted", "true", now_ms);
	assert_true(may_open(&m, SAM, DB));
	report(ADA, "firewall.enabled", "false", now_ms + 1000);
	assert_false(may_open(&m, ADA, DB));
	assert_true(may_open(&m, SAM, DB));
}

/* Verdicts are bits of a policy's own numbering: in the other engine they would be other ones. */
static void test_verdicts_stay_with_their_policy(void **state)
{
	const struct grant *g;
	struct arena a;
	size_t n;

	(void)state;
	set_canary(version_with(false, true));
	report(SAM, "firewall.enabled", "true", now_ms);
	arena_init(&a, 1 << 20);
	assert_int_equal(engine_grants(m.force.engine, SAM, &a, &g, &n), 0);
	assert_int_equal(n, 0);
	arena_done(&a);
}

static void test_without_one_nobody_is_in_it(void **state)
{
	(void)state;
	report(ADA, "firewall.enabled", "true", now_ms);
	assert_false(may_open(&m, ADA, DB));
	set_canary(version_with(true, true));
	assert_true(may_open(&m, ADA, DB));
	finish(CHANGE_POLICY_ABORT, now_ms);
	assert_false(may_open(&m, ADA, DB));
	assert_false(model_device(&m, ADA)->in_canary);
	assert_int_equal(m.force.row.version, 1);
}

static void test_promoted_it_is_everybodys(void **state)
{
	uint32_t version = version_with(false, false);

	(void)state;
	report(ADA, "firewall.enabled", "true", now_ms);
	set_canary(version);
	assert_false(may_open(&m, ADA, DB));
	finish(CHANGE_POLICY_PROMOTE, now_ms);
	assert_true(may_open(&m, ADA, DB));
	assert_int_equal(m.force.row.version, version);
}

/* By its number, not because there is one. */
static void test_a_promotion_is_of_the_canary_it_names(void **state)
{
	uint32_t version = version_with(false, false);
	struct change c = {.kind = CHANGE_POLICY_PROMOTE, .policy.version = version + 1};
	struct device *d;

	(void)state;
	report(ADA, "firewall.enabled", "true", now_ms);
	set_canary(version);
	assert_int_equal(model_apply(&m, &c, now_ms, &d), -ZT_ESTATE);
	assert_false(may_open(&m, ADA, DB));
	c.policy.version = version;
	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	assert_true(may_open(&m, ADA, DB));
}

static void test_a_put_ends_it(void **state)
{
	struct policy_row row = {.version = 99};

	(void)state;
	set_canary(version_with(true, true));
	assert_int_equal(model_set_policy(&m, parsed(old_text), &row, now_ms), 0);
	assert_null(m.canary.engine);
	assert_false(model_device(&m, ADA)->in_canary);
}

/* --- grace --- */

/* A policy that lets sam open the database. how: "", or what of these postures it asks. */
static struct policy *asking(const char *postures, const char *how)
{
	char text[400];

	snprintf(text, sizeof(text),
		 "[resource db]\non = tag:db\nports = tcp/5432\n%s"
		 "[rule careful]\nwho = user:sam@x.org\nwhat = resource:db\nwhy = w\n%s",
		 postures, how);
	return parsed(text);
}

#define DISK "disk.encrypted == true"
#define WALL "firewall.enabled == true"
#define P "[posture p]\nrequire = "
#define HOW "how = posture:p\n"
#define TIMES "\ngrace = 60s\nmax_age = 300s\n"

/* Who complied with the one and stopped: has it a grace under the other? */
static void test_grace_is_of_what_is_asked(void **state)
{
	static const struct {
		const char *says, *before, *after;
		bool carried;
	} rows[] = {
		{"the same", P DISK TIMES, P DISK TIMES, true},
		{"by another name", "[posture q]\nrequire = " DISK TIMES, P DISK TIMES, true},
		{"in another order", P DISK ", " WALL TIMES, P WALL ", " DISK TIMES, true},
		{"a longer grace", P DISK "\ngrace = 30s\nmax_age = 300s\n", P DISK TIMES, true},
		{"a shorter one", P DISK "\ngrace = 10m\nmax_age = 300s\n", P DISK TIMES, true},
		{"facts may be older now", P DISK "\ngrace = 60s\nmax_age = 100s\n", P DISK TIMES,
		 true},
		{"facts must be younger now", P DISK "\ngrace = 60s\nmax_age = 301s\n",
		 P DISK TIMES, false},
		{"less is asked", P DISK ", " WALL TIMES, P DISK TIMES, true},
		{"more is asked", P DISK TIMES, P DISK ", " WALL TIMES, false},
		{"something else is asked, by the same name", P WALL TIMES, P DISK TIMES, false},
		{"a version that is as good is not the same", P "os.version >= 13" TIMES,
		 P "os.version >= 12" TIMES, false},
		{"the same in other words is not looked for", P "os.update_age <= 336h" TIMES,
		 P "os.update_age <= 14d" TIMES, false},
		{"one of two asks it", "[posture q]\nrequire = " WALL TIMES P DISK TIMES,
		 P DISK TIMES, true},
		{"two ask each a part", "[posture q]\nrequire = " WALL TIMES P DISK TIMES,
		 P DISK ", " WALL TIMES, false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *before = asking(rows[i].before, ""),
			      *after = asking(rows[i].after, "");
		int64_t since_ms[] = {now_ms, now_ms};
		struct grace g;
		int64_t since;

		grace_match(before, after, &g);
		since = grace_since(&g, 0, since_ms, before->n_postures);
		row_check(rows[i].says,
			  since == (rows[i].carried ? now_ms : POSTURE_NEVER_COMPLIED));
		policy_free(before);
		policy_free(after);
	}
}

static void test_grace_of_several(void **state)
{
	static const struct {
		const char *says;
		int64_t since_ms[3];
		size_t n;
		int64_t want_ms;
	} rows[] = {
		{"complied until the last", {5000, 7000, 6000}, 3, 7000},
		{"complies with one", {5000, 0, 6000}, 3, 0},
		{"never with any", {1, 1, 1}, 3, 1},
		{"never with one", {1, 5000, 1}, 3, 5000},
		{"there was no memory to know more", {5000, 7000, 0}, 1, 5000},
		{"nor anything", {0}, 0, 1},
	};
	struct grace g = {.from = {7}};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  grace_since(&g, 0, rows[i].since_ms, rows[i].n) == rows[i].want_ms);
	grace_match(NULL, m.force.policy, &g);
	assert_int_equal(grace_since(&g, 0, rows[0].since_ms, 3), POSTURE_NEVER_COMPLIED);
}

/* Neither coming under another policy nor going back ends or begins the grace of a profile that
 * asks the same. */
static void test_grace_goes_along(void **state)
{
	static const enum change_kind ends[] = {CHANGE_POLICY_ABORT, CHANGE_POLICY_PROMOTE};

	(void)state;
	for (size_t i = 0; i < N_OF(ends); i++) {
		struct verdict_change changes[ENGINE_POSTURES_MAX];

		report(SAM, "disk.encrypted", "true", now_ms);
		report(SAM, "disk.encrypted", "false", now_ms + 1000);
		assert_true(may_open(&m, SAM, DB));
		set_canary(version_with(false, true));
		assert_true(may_open(&m, SAM, DB));
		finish(ends[i], now_ms + 30000);
		assert_true(may_open(&m, SAM, DB));
		model_evaluate(&m, model_device(&m, SAM), now_ms + 60999, changes);
		assert_true(may_open(&m, SAM, DB));
		model_evaluate(&m, model_device(&m, SAM), now_ms + 61000, changes);
		assert_false(may_open(&m, SAM, DB));
	}
}

/* Sam never encrypted the disk. A trial asked something else under the same name, which sam met:
 * when it goes back, that is no grace. */
static void test_no_grace_by_a_trial(void **state)
{
	struct policy_row canary = {.version = version_with(false, true),
				    .trial = {.state = TRIAL_OPEN, .base = 1, .percent = 50}};
	struct policy_row back = {.version = 99};

	(void)state;
	report(SAM, "firewall.enabled", "true", now_ms);
	assert_false(may_open(&m, SAM, DB));
	assert_int_equal(model_set_canary(&m, asking(P WALL TIMES, HOW), &canary, now_ms), 0);
	assert_true(may_open(&m, SAM, DB));
	finish(CHANGE_POLICY_ABORT, now_ms + 1000);
	assert_false(may_open(&m, SAM, DB));
	/* and one that is confirmed too late */
	back.version = 98;
	assert_int_equal(model_set_policy(&m, asking(P WALL TIMES, HOW), &back, now_ms + 2000), 0);
	assert_true(may_open(&m, SAM, DB));
	back.version = 99;
	assert_int_equal(model_set_policy(&m, parsed(old_text), &back, now_ms + 3000), 0);
	assert_false(may_open(&m, SAM, DB));
}

/* --- changes act on both --- */

static bool is_in(const struct engine *e, uint32_t id)
{
	struct explanation x;
	struct service svc = {.proto = SERVICE_TCP, .lo = 1, .hi = 1};
	struct explain_context c = {.now_ms = now_ms};
	struct arena a;
	int err;

	arena_init(&a, 1 << 20);
	err = engine_explain(e, id, id, &svc, &c, &a, &x);
	arena_done(&a);
	return err == 0;
}

static void test_changes_act_on_both(void **state)
{
	struct change c = {.kind = CHANGE_DEVICE_TAGS, .device = row_of(ADA, "ada@x.org", "db")};
	struct device *d;

	(void)state;
	set_canary(version_with(false, true));
	report(SAM, "disk.encrypted", "true", now_ms);
	assert_false(may_open(&m, SAM, ADA));
	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	assert_true(may_open(&m, SAM, ADA)); /* to one who is not in the canary herself */
	c.kind = CHANGE_DEVICE_STATE;
	c.device.state = DEVICE_REVOKED;
	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	assert_false(is_in(m.force.engine, ADA) || is_in(m.canary.engine, ADA));
	assert_false(may_open(&m, SAM, ADA));
	c = (struct change){.kind = CHANGE_USER_PUT,
			    .user = {.email = "sam@x.org", .disabled = true}};
	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	assert_false(is_in(m.force.engine, SAM) || is_in(m.canary.engine, SAM));
	model_forget(&m, DB);
	assert_false(is_in(m.force.engine, DB) || is_in(m.canary.engine, DB));
}

static void test_who_comes_later_has_a_side(void **state)
{
	struct change c = {.kind = CHANGE_DEVICE_ENROLL};
	uint32_t version = version_with(true, true);
	struct device *d;

	(void)state;
	set_canary(version);
	for (uint32_t id = 10; id < 40; id++) {
		c.device = row_of(id, "ada@x.org", "");
		assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
		assert_int_equal(d->in_canary, canary_has(id, version, 50));
		report(id, "firewall.enabled", "true", now_ms);
		assert_int_equal(may_open(&m, id, DB), d->in_canary);
	}
}

/* --- warnings that depend on devices and days --- */

static void test_what_nobody_offers(void **state)
{
	struct policy *p = parsed(new_text);
	struct engine *e = engine_new(p, NOW_S);
	struct diag warnings[2];
	struct device *d;
	struct change c = {.kind = CHANGE_DEVICE_STATE, .device = row_of(DB, "", "db")};

	(void)state;
	assert_non_null(e);
	assert_int_equal(model_try(&m, e), 0);
	assert_int_equal(review_devices(p, e, warnings, 0, 2), 1);
	assert_non_null(strstr(warnings[0].message, "resource \"web\""));
	assert_int_equal(warnings[0].line, 4);
	engine_free(e);
	c.device.state = DEVICE_EXPIRED;
	assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	e = engine_new(p, NOW_S);
	assert_non_null(e);
	assert_int_equal(model_try(&m, e), 0);
	assert_int_equal(review_devices(p, e, warnings, 0, 2), 2);
	assert_int_equal(review_devices(p, e, warnings, 1, 2), 2); /* no more than there is room */
	assert_non_null(strstr(warnings[1].message, "resource \"db\""));
	engine_free(e);
	policy_free(p);
}

static void test_rules_that_are_due(void **state)
{
	static const struct {
		const char *says;
		int64_t at_s;
		size_t past_review, over;
	} rows[] = {
		{"the day of the review, to its last second", 1767225600 + DAY_S - 1, 0, 0},
		{"the day after it", 1767225600 + DAY_S, 1, 0},
		{"the last second of the other", 1767225600 + 2 * DAY_S - 1, 1, 0},
		{"and over", 1767225600 + 2 * DAY_S, 1, 1},
	};
	static const char text[] =
		"[resource db]\non = tag:db\nports = tcp/5432\n"
		"[rule a]\nwho = anyone\nwhat = resource:db\nwhy = w\nreview = 2026-01-01\n"
		"[rule b]\nwho = anyone\nwhat = resource:db\nwhy = w\nuntil = 2026-01-02\n"
		"[rule c]\nwho = anyone\nwhat = resource:db\nwhy = w\n";
	struct policy *p = parsed(text);
	struct engine *e = engine_new(p, rows[0].at_s);

	(void)state;
	assert_non_null(e);
	for (size_t i = 0; i < N_OF(rows); i++) {
		const uint32_t *ids;
		struct review n;
		struct arena a;
		size_t n_ids;

		arena_init(&a, 1 << 20);
		assert_int_equal(engine_advance(e, rows[i].at_s, &a, &ids, &n_ids), 0);
		n = review_count(p, e, rows[i].at_s);
		row_check(rows[i].says,
			  n.past_review == rows[i].past_review && n.over == rows[i].over);
		arena_done(&a);
	}
	engine_free(e);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_share_is_stable),
		cmocka_unit_test_setup_teardown(test_each_is_judged_by_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts_stay_with_their_policy, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_without_one_nobody_is_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_promoted_it_is_everybodys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_promotion_is_of_the_canary_it_names, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_put_ends_it, setup, teardown),
		cmocka_unit_test(test_grace_is_of_what_is_asked),
		cmocka_unit_test_setup_teardown(test_grace_of_several, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grace_goes_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_grace_by_a_trial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_act_on_both, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_comes_later_has_a_side, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_nobody_offers, setup, teardown),
		cmocka_unit_test(test_rules_that_are_due),
	};

	return cmocka_run_group_tests_name("model_canary", tests, NULL, NULL);
}
