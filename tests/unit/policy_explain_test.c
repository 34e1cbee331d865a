/* Explain: which rule is nearest, what is said of each condition that fails, and what is never
 * told. */
#include "tests/unit/policy_fixture.h"

#include <errno.h>

#include "controller/policy/engine.h"

static const char policy_text[] = "[group finance]\n"
				  "members = user:ada@example.com\n"
				  "[group ops]\n"
				  "members = user:joe@example.com, tag:admin\n"
				  "[resource payroll-db]\n"
				  "on = tag:db\n"
				  "ports = tcp/5432\n"
				  "[resource ssh]\n"
				  "on = tag:db, tag:web\n"
				  "ports = tcp/22, icmp\n"
				  "[resource site]\n"
				  "on = tag:web\n"
				  "ports = tcp/80, tcp/443, tcp/8080, tcp/8443, tcp/9000-9100\n"
				  "[posture managed]\n"
				  "require = disk.encrypted == true, os.version >= 12\n"
				  "[posture strict]\n"
				  "require = firewall.enabled == true\n"
				  "[rule finance-to-payroll]\n"
				  "who = group:finance\n"
				  "what = resource:payroll-db\n"
				  "how = posture:managed\n"
				  "why = a\n"
				  "[rule strict-payroll]\n"
				  "who = user:ada@example.com\n"
				  "what = resource:payroll-db\n"
				  "how = posture:managed, posture:strict\n"
				  "why = b\n"
				  "[rule ops-ssh]\n"
				  "who = group:ops, tag:admin\n"
				  "what = resource:ssh\n"
				  "why = c\n"
				  "[rule site]\n"
				  "who = anyone\n"
				  "what = resource:site\n"
				  "why = d\n";

enum id { ADA = 1, SAM, JOE, BOX, DB, WEB, ABSENT };

struct world {
	struct policy *policy;
	struct engine *engine;
	bool no_facts;
};

static const struct fact_view *facts_of(void *arg, uint32_t id, size_t *ret_n)
{
	static const struct fact_view ada[] = {
		{"disk.encrypted", FACT_KNOWN, "false", 1000},
		{"os.version", FACT_KNOWN, "11", 1000},
	};
	const struct world *w = arg;

	*ret_n = id == ADA && !w->no_facts ? N_OF(ada) : 0;
	return ada;
}

static void put(struct world *w, enum id id, const char *name, const char *owner, const char *tag,
		uint64_t verdicts)
{
	const char *const tags[] = {tag};
	const struct subject s = {.id = id,
				  .name = name,
				  .owner = owner,
				  .tags = tags,
				  .n_tags = tag != NULL,
				  .verdicts = verdicts};

	assert_int_equal(engine_put(w->engine, &s), 0);
}

static struct world world_at(const char *text, int64_t now_s)
{
	struct world w = {.policy = parsed(text)};

	w.engine = engine_new(w.policy, now_s);
	assert_non_null(w.engine);
	put(&w, ADA, "ada-laptop", "ada@example.com", NULL, 0);
	put(&w, SAM, "sam-laptop", "sam@example.com", NULL, 0);
	put(&w, JOE, "joe-laptop", "joe@example.com", NULL, 0);
	put(&w, BOX, "box", "", "box", 0);
	put(&w, DB, "db-1", "", "db", 0);
	put(&w, WEB, "web-1", "", "web", 0);
	return w;
}

static struct world world_new(void)
{
	return world_at(policy_text, 0);
}

static void world_free(struct world *w)
{
	engine_free(w->engine);
	policy_free(w->policy);
}

struct row {
	const char *says;
	enum id src, dst;
	const char *service;
	bool own_only;
	const char *allowed_by, *nearest; /* NULL: none */
	const char *failed[6];		  /* condition, is, condition, is ... */
	const char *hint;		  /* of the first */
};

static void check_row(struct world *w, const struct row *r)
{
	struct explain_context c = {
		.facts = facts_of, .arg = w, .now_ms = 2000, .own_only = r->own_only};
	struct explanation x;
	struct service svc;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_int_equal(service_parse(r->service, &svc), 0);
	assert_int_equal(engine_explain(w->engine, r->src, r->dst, &svc, &c, &a, &x), 0);
	row_check(r->says, x.allowed == (r->allowed_by != NULL));
	row_check(r->says, (x.rule != NULL) == (r->allowed_by != NULL));
	row_check(r->says, (x.nearest != NULL) == (r->nearest != NULL));
	if (r->allowed_by)
		assert_string_equal(x.rule->name, r->allowed_by);
	if (r->nearest)
		assert_string_equal(x.nearest->name, r->nearest);
	for (size_t i = 0; i < x.n_failed; i++) {
		row_check(r->says, 2 * i < N_OF(r->failed) && r->failed[2 * i]);
		assert_string_equal(x.failed[i].condition, r->failed[2 * i]);
		assert_string_equal(x.failed[i].is, r->failed[2 * i + 1]);
	}
	row_check(r->says, 2 * x.n_failed == N_OF(r->failed) || !r->failed[2 * x.n_failed]);
	if (r->hint)
		assert_string_equal(x.failed[0].hint, r->hint);
	arena_done(&a);
}

static void the_nearest_rule_and_what_fails_in_it_are_said(void **state)
{
	static const struct row rows[] = {
		{"anyone may", SAM, WEB, "tcp/443", false, "site", NULL, {0}, NULL},
		{"part of a range", SAM, WEB, "tcp/9050", true, "site", NULL, {0}, NULL},
		{"icmp by name", JOE, DB, "icmp", false, "ops-ssh", NULL, {0}, NULL},
		{"only posture fails: the rule with fewer failing profiles",
		 ADA,
		 DB,
		 "tcp/5432",
		 false,
		 NULL,
		 "finance-to-payroll",
		 {"posture:managed: disk.encrypted == true", "false",
		  "posture:managed: os.version >= 12", "11"},
		 "Encrypt the disk (LUKS) that holds / and restart."},
		{"her own device is told the same",
		 ADA,
		 DB,
		 "tcp/5432",
		 true,
		 NULL,
		 "finance-to-payroll",
		 {"posture:managed: disk.encrypted == true", "false",
		  "posture:managed: os.version >= 12", "11"},
		 NULL},
		{"who fits, another port, and posture fails besides",
		 ADA,
		 DB,
		 "tcp/5433",
		 false,
		 NULL,
		 "finance-to-payroll",
		 {"port tcp/5432", "tcp/5433", "posture:managed: disk.encrypted == true", "false",
		  "posture:managed: os.version >= 12", "11"},
		 "Use tcp/5432, or add tcp/5433 to the ports of resource payroll-db."},
		{"many ports are said by their beginning",
		 SAM,
		 WEB,
		 "udp/53",
		 false,
		 NULL,
		 "site",
		 {"port tcp/80, tcp/443, tcp/8080, tcp/8443 and 1 more", "udp/53"},
		 NULL},
		{"who fails",
		 SAM,
		 DB,
		 "tcp/5432",
		 false,
		 NULL,
		 "finance-to-payroll",
		 {"who", "user:sam@example.com is not in group:finance"},
		 "Add user:sam@example.com to group:finance."},
		{"a device without a person",
		 BOX,
		 DB,
		 "tcp/22",
		 false,
		 NULL,
		 "ops-ssh",
		 {"who", "device:box is not among group:ops, tag:admin"},
		 "Add device:box to the who of rule ops-ssh."},
		{"who and port fail",
		 SAM,
		 DB,
		 "tcp/1",
		 false,
		 NULL,
		 "finance-to-payroll",
		 {"who", "user:sam@example.com is not in group:finance", "port tcp/5432", "tcp/1"},
		 NULL},
		{"others' rules are not told to a device",
		 SAM,
		 DB,
		 "tcp/5432",
		 true,
		 NULL,
		 NULL,
		 {0},
		 NULL},
		{"nor by another port", SAM, DB, "tcp/1", true, NULL, NULL, {0}, NULL},
		{"nothing is hosted there", SAM, JOE, "tcp/22", false, NULL, NULL, {0}, NULL},
		{"a device and itself", WEB, WEB, "tcp/443", false, NULL, NULL, {0}, NULL},
		{"never the reverse", DB, ADA, "tcp/5432", false, NULL, NULL, {0}, NULL},
		{"all protocols at once are not covered",
		 SAM,
		 WEB,
		 "any",
		 true,
		 NULL,
		 "site",
		 {"port tcp/80, tcp/443, tcp/8080, tcp/8443 and 1 more", "any"},
		 NULL},
	};
	struct world w = world_new();

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_row(&w, &rows[i]);
	world_free(&w);
}

static void facts_that_have_overtaken_the_verdict_are_no_riddle(void **state)
{
	static const struct row complying = {"complies again",	   ADA,	 DB,  "tcp/5432", false,
					     "finance-to-payroll", NULL, {0}, NULL};
	static const struct row unknown = {
		"nothing reported",
		ADA,
		DB,
		"tcp/5432",
		false,
		NULL,
		"finance-to-payroll",
		{"posture:managed: disk.encrypted == true", "unknown (not reported)",
		 "posture:managed: os.version >= 12", "unknown (not reported)"},
		NULL};
	static const struct row other = {"strict only",
					 ADA,
					 DB,
					 "tcp/5432",
					 false,
					 NULL,
					 "finance-to-payroll",
					 {"posture:managed: disk.encrypted == true", "false",
					  "posture:managed: os.version >= 12", "11"},
					 NULL};
	struct world w = world_new();

	(void)state;
	put(&w, ADA, "ada-laptop", "ada@example.com", NULL, 1);
	check_row(&w, &complying);
	put(&w, ADA, "ada-laptop", "ada@example.com", NULL, 2);
	check_row(&w, &other);
	w.no_facts = true;
	check_row(&w, &unknown);
	world_free(&w);
}

static const char times_text[] = "[resource db]\n"
				 "on = tag:db\n"
				 "ports = tcp/5432\n"
				 "[resource site]\n"
				 "on = tag:web\n"
				 "ports = tcp/443\n"
				 "[rule all]\n"
				 "who = anyone\n"
				 "what = resource:*\n"
				 "why = a\n"
				 "[rule no-db-at-ten]\n"
				 "action = deny\n"
				 "who = anyone\n"
				 "what = resource:db\n"
				 "when = 10:00-11:00\n"
				 "why = b\n"
				 "[rule no-site]\n"
				 "action = deny\n"
				 "who = anyone\n"
				 "what = resource:site\n"
				 "why = c\n";

static void a_deny_says_when_it_ends(void **state)
{
	static const struct row rows[] = {
		{"a deny with a time",
		 ADA,
		 DB,
		 "tcp/5432",
		 true,
		 NULL,
		 "no-db-at-ten",
		 {"no rule denies", "rule no-db-at-ten denies: b",
		  "outside of when: 10:00-11:00 UTC", "1970-01-01 10:30 UTC"},
		 "Ask who answers for this rule; a deny wins over every rule that allows."},
		{"one without",
		 ADA,
		 WEB,
		 "tcp/443",
		 true,
		 NULL,
		 "no-site",
		 {"no rule denies", "rule no-site denies: c"},
		 NULL},
	};
	struct world w = world_at(times_text, 10 * 3600 + 1800);
	const struct service svc = {SERVICE_TCP, 5432, 5432};
	struct explain_context c = {0};
	struct explanation x;
	struct arena a;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		check_row(&w, &rows[i]);
	arena_init(&a, 1 << 16);
	assert_int_equal(engine_explain(w.engine, ADA, DB, &svc, &c, &a, &x), 0);
	assert_string_equal(x.failed[1].hint, "It denies until 1970-01-01 11:00 UTC.");
	arena_done(&a);
	world_free(&w);
}

static void devices_that_are_not_in_are_absent(void **state)
{
	struct world w = world_new();
	const struct service svc = {SERVICE_TCP, 22, 22};
	struct explain_context c = {0};
	struct explanation x;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(engine_explain(w.engine, ABSENT, DB, &svc, &c, &a, &x), -ZT_EABSENT);
	assert_int_equal(engine_explain(w.engine, ADA, ABSENT, &svc, &c, &a, &x), -ZT_EABSENT);
	arena_done(&a);
	arena_init(&a, 32);
	assert_int_equal(engine_explain(w.engine, SAM, DB, &svc, &c, &a, &x), -ENOMEM);
	arena_done(&a);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_rule_and_what_fails_in_it_are_said),
		cmocka_unit_test(facts_that_have_overtaken_the_verdict_are_no_riddle),
		cmocka_unit_test(a_deny_says_when_it_ends),
		cmocka_unit_test(devices_that_are_not_in_are_absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
