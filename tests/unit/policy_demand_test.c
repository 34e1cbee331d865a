/* Conditions of how beside postures, as a system that enforces them all would read them: what this
 * engine makes of them, and what the questions about all cases say. (How they are read stands in
 * tests/golden/policy/enforced-*.) */
#include "tests/unit/unit.h"

#include "controller/policy/access.h"
#include "controller/policy/can.h"
#include "controller/policy/demand.h"
#include "controller/policy/meaning.h"
#include "zt/buf.h"

enum { NOW_S = 1800000000 };

static struct diag items[4];

static int parse(const char *text, unsigned enforces, struct policy **ret)
{
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy_env env = {.now_s = NOW_S, .enforces = enforces};

	memset(items, 0, sizeof(items));
	return policy_parse("p", text, strlen(text), &env, ret, &problems);
}

static struct policy *parsed(const char *text)
{
	struct policy *p = NULL;

	if (parse(text, (1u << DEMAND_KINDS) - 1, &p) < 0)
		fail_msg("%s\nin:\n%s", items[0].message, text);
	return p;
}

#define R "[resource db]\non = tag:db\nports = tcp/5432\n"
#define KEYS "who = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
#define RULE(name, how) "[rule " name "]\n" KEYS "how = " how "\n"
#define PLAIN(name) "[rule " name "]\n" KEYS
#define DISK "[posture disk]\nrequire = custom.disk == yes\n"

/* --- each kind is refused by itself, unless the system enforces it --- */

static void a_kind_is_accepted_only_where_it_is_enforced(void **state)
{
	static const char *const how[DEMAND_KINDS] = {"login < 12h", "mfa", "approval", "app:psql",
						      "user:root"};
	char text[512];

	(void)state;
	for (unsigned kind = 0; kind < DEMAND_KINDS; kind++)
		for (unsigned mask = 0; mask < 1u << DEMAND_KINDS; mask++) {
			struct policy *p = NULL;
			int err;

			snprintf(text, sizeof(text), R "[rule a]\n" KEYS "how = %s\n", how[kind]);
			err = parse(text, mask, &p);
			assert_int_equal(err, mask >> kind & 1 ? 0 : -ZT_EFORM);
			if (err)
				assert_non_null(
					strstr(items[0].message,
					       "cannot be enforced by the running system yet"));
			policy_free(p);
		}
}

static void all_rules_together_name_so_many_programs(void **state)
{
	struct policy *p = NULL;
	struct buf b;

	(void)state;
	buf_init_grow(&b, 16 << 20);
	buf_put_text(&b, R);
	for (unsigned i = 0; i <= ZT_CONDITIONS_MAX / DEMAND_NAMES_MAX; i++) {
		buf_printf(&b, "[rule r%u]\n" KEYS "how = mfa", i);
		for (unsigned k = 0; k < DEMAND_NAMES_MAX; k++)
			buf_printf(&b, ", app:p%u", k);
		buf_put_text(&b, "\n");
	}
	assert_int_equal(parse(buf_text(&b), (1u << DEMAND_KINDS) - 1, &p), -ZT_EFORM);
	assert_string_equal(items[0].message,
			    "the rules name more than 16384 programs and accounts");
	assert_string_equal(items[1].message, "");
	buf_free(&b);
}

/* --- stronger and weaker --- */

static void what_asks_for_more_implies_what_asks_for_less(void **state)
{
	static const struct {
		const char *a, *b;
		bool implies;
	} rows[] = {
		{"mfa", "mfa", true},
		{"mfa, approval", "mfa", true},
		{"mfa", "mfa, approval", false},
		{"mfa", "approval", false},
		{"login < 1h", "login < 12h", true},
		{"login < 12h", "login < 12h", true},
		{"login < 12h", "login < 1h", false},
		{"mfa", "login < 1h", false},
		{"app:a", "app:a, app:b", true},
		{"app:a, app:b", "app:b, app:a", true},
		{"app:a, app:b", "app:a", false},
		{"app:a", "app:b", false},
		{"mfa", "app:a", false},
		{"app:/bin/a", "app:a", false},
		{"user:a", "user:a, user:b", true},
		{"user:a, user:b", "user:a", false},
		{"user:a", "app:a", false},
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *p;
		const struct policy_demands *a, *b;

		snprintf(text, sizeof(text),
			 R "[rule a]\n" KEYS "how = %s\n[rule b]\n" KEYS "how = %s\n", rows[i].a,
			 rows[i].b);
		p = parsed(text);
		a = &p->rules[0].demands;
		b = &p->rules[1].demands;
		if (demands_imply(a, b) != rows[i].implies)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		/* Equal is what implies both ways. */
		assert_int_equal(demands_compare(a, b) == 0,
				 demands_imply(a, b) && demands_imply(b, a));
		assert_int_equal(demands_compare(a, b) < 0, demands_compare(b, a) > 0);
		policy_free(p);
	}
}

/* --- the engine knows nothing of people --- */

static const char *const db_tag[] = {"db"};
static const struct subject ada = {.id = 1, .name = "lap", .owner = "ada@x.org"},
			    db = {.id = 2, .name = "db", .owner = "", .tags = db_tag, .n_tags = 1};

static struct engine *engine_of(const struct policy *p)
{
	struct engine *e = engine_new(p, NOW_S);

	assert_non_null(e);
	assert_int_equal(engine_put(e, &ada), 0);
	assert_int_equal(engine_put(e, &db), 0);
	return e;
}

static void explain(const struct engine *e, struct arena *a, struct explanation *ret)
{
	const struct explain_context c = {.now_ms = NOW_S * INT64_C(1000)};
	const struct service svc = {SERVICE_TCP, 5432, 5432};

	assert_int_equal(engine_explain(e, 1, 2, &svc, &c, a, ret), 0);
}

/* Whatever the parser let pass: without a login, a second factor or an approval that is known
 * nothing is granted, at neither end. Programs and accounts are for the device to look at. */
static void what_nobody_knows_grants_nothing(void **state)
{
	static const struct {
		const char *how, *fails, *also;
		bool granted;
	} rows[] = {
		{"login < 12h", "login < 12h", NULL, false},
		{"mfa", "mfa", NULL, false},
		{"approval", "approval", NULL, false},
		{"app:psql, mfa", "mfa", NULL, false},
		{"mfa, user:root, login < 1d", "login < 1d", "mfa", false},
		{"app:psql", NULL, NULL, true},
		{"user:root", NULL, NULL, true},
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct grant *v;
		struct explanation x;
		struct policy *p;
		struct engine *e;
		struct arena a;
		size_t n;

		snprintf(text, sizeof(text), R "[rule a]\n" KEYS "how = %s\n", rows[i].how);
		p = parsed(text);
		e = engine_of(p);
		arena_init(&a, 1 << 20);
		for (uint32_t id = 1; id <= 2; id++) {
			assert_int_equal(engine_grants(e, id, &a, &v, &n), 0);
			assert_int_equal(n, rows[i].granted);
		}
		explain(e, &a, &x);
		assert_int_equal(x.allowed, rows[i].granted);
		assert_int_equal(x.n_failed, !!rows[i].fails + !!rows[i].also);
		if (rows[i].fails) {
			assert_string_equal(x.nearest->name, "a");
			assert_string_equal(x.failed[0].condition, rows[i].fails);
			assert_string_equal(x.failed[0].is, "not known");
			assert_true(strlen(x.failed[0].hint) > 0);
		}
		if (rows[i].also)
			assert_string_equal(x.failed[1].condition, rows[i].also);
		arena_done(&a);
		engine_free(e);
		policy_free(p);
	}
}

static void a_rule_that_holds_as_it_is_explains_before_one_about_a_program(void **state)
{
	struct policy *p = parsed(R RULE("a", "app:psql") PLAIN("b"));
	struct engine *e = engine_of(p);
	struct explanation x;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	explain(e, &a, &x);
	assert_true(x.allowed);
	assert_string_equal(x.rule->name, "b");
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

static void access_lists_say_them(void **state)
{
	static const char *const want[] = {"posture:disk, login < 12h, app:a or app:b", "mfa",
					   "posture:disk", ""};
	struct policy *p = parsed(R DISK RULE("a", "app:b, login < 12h, posture:disk, app:a")
					  RULE("b", "mfa") RULE("c", "posture:disk") PLAIN("d"));
	struct engine *e = engine_of(p);
	struct access_words w;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (uint32_t i = 0; i < N_OF(want); i++) {
		assert_int_equal(access_words(e, i, &a, &w), 0);
		assert_string_equal(w.how, want[i]);
	}
	arena_done(&a);
	engine_free(e);
	policy_free(p);
}

/* --- over all cases --- */

static void put_ways(struct buf *b, const struct can_answer *x, struct arena *a)
{
	static const char *const verdicts[] = {"never", "only if", "always"};

	buf_put_text(b, verdicts[x->verdict]);
	for (size_t i = 0; i < x->n_ways; i++) {
		const struct can_way *w = &x->ways[i];

		buf_printf(b, "%s%s%s(%s)", i ? "; " : ": ", w->rule->name,
			   w->postures ? " disk " : "", demands_print(&w->rule->demands, a));
	}
}

static void a_way_that_asks_for_them_is_never_always(void **state)
{
	static const struct {
		const char *policy, *answer;
	} rows[] = {
		{RULE("a", "mfa"), "only if: a(mfa)"},
		{RULE("a", "app:psql"), "only if: a(app:psql)"},
		{RULE("a", "mfa") PLAIN("b"), "always: b()"},
		{RULE("a", "mfa, login < 1h") RULE("b", "mfa"), "only if: b(mfa)"},
		{RULE("a", "mfa") RULE("b", "mfa"), "only if: a(mfa)"},
		{RULE("a", "mfa") RULE("b", "approval"), "only if: a(mfa); b(approval)"},
		{RULE("a", "login < 1h") RULE("b", "login < 2h"), "only if: b(login < 2h)"},
		{RULE("a", "app:x") RULE("b", "app:x, app:y"), "only if: b(app:x or app:y)"},
		{DISK RULE("a", "mfa, posture:disk") RULE("b", "mfa"), "only if: b(mfa)"},
		{DISK RULE("a", "mfa") RULE("b", "posture:disk"), "only if: a(mfa); b disk ()"},
		{RULE("a", "mfa") "[rule d]\naction = deny\n" KEYS, "never"},
	};
	const struct subject devices[] = {ada, db};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct can_question q = {.from = {.kind = SELECTOR_USER, .name = "ada@x.org"},
					 .to = {.kind = CAN_TO_RESOURCE, .name = "db"},
					 .devices = devices,
					 .n_devices = N_OF(devices),
					 .now_s = NOW_S};
		struct can_answer x;
		struct policy *p;
		struct arena a;
		struct diag d;
		struct buf b;

		snprintf(text, sizeof(text), R "%s", rows[i].policy);
		p = parsed(text);
		arena_init(&a, 64 << 20);
		buf_init_grow(&b, 1 << 16);
		assert_int_equal(can_ask(p, &q, &a, &x, &d), 0);
		put_ways(&b, &x, &a);
		if (strcmp(buf_text(&b), rows[i].answer) != 0)
			fail_msg("%s\n%s\nnot %s", rows[i].policy, buf_text(&b), rows[i].answer);
		buf_free(&b);
		arena_done(&a);
		policy_free(p);
	}
}

/* They come on top: a rule that breaks an invariant without them breaks it with them. */
static void an_invariant_is_not_met_by_them(void **state)
{
#define INVARIANT(expect)                                                                          \
	"[invariant i]\nfrom = anyone\nto = resource:db\nwhy = w\nexpect = " expect "\n"
	static const struct {
		const char *policy;
		bool broken;
	} rows[] = {
		{RULE("a", "mfa, login < 1h") INVARIANT("never"), true},
		{DISK RULE("a", "mfa, login < 1h, approval") INVARIANT("posture:disk"), true},
		{DISK RULE("a", "app:psql, user:root") INVARIANT("posture:disk"), true},
		{DISK RULE("a", "posture:disk, mfa") INVARIANT("posture:disk"), false},
		{DISK RULE("a", "posture:disk, mfa") RULE("b", "approval")
			 INVARIANT("posture:disk"),
		 true},
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *p = NULL;

		snprintf(text, sizeof(text), R "%s", rows[i].policy);
		assert_int_equal(parse(text, (1u << DEMAND_KINDS) - 1, &p),
				 rows[i].broken ? -ZT_EFORM : 0);
		if (rows[i].broken)
			assert_non_null(strstr(items[0].message, "invariant \"i\" is broken"));
		policy_free(p);
	}
}

static void put_field(struct buf *b, const struct meaning_field *f)
{
	buf_put_text(b, f->name);
	for (size_t i = 0; i < f->removed.n; i++)
		buf_printf(b, " -[%s]", f->removed.items[i]);
	for (size_t i = 0; i < f->added.n; i++)
		buf_printf(b, " +[%s]", f->added.items[i]);
}

static void a_change_of_them_is_a_change_of_the_rule(void **state)
{
	static const struct {
		const char *before, *after, *says;
	} rows[] = {
		{RULE("a", "mfa"), PLAIN("a"), "how -[mfa]"},
		{PLAIN("a"), RULE("a", "login < 12h"), "how +[login < 12h]"},
		{RULE("a", "login < 12h"), RULE("a", "login < 1h"),
		 "how -[login < 12h] +[login < 1h]"},
		{RULE("a", "app:x"), RULE("a", "app:y, app:x"), "how -[app:x] +[app:x or app:y]"},
		{RULE("a", "app:x, app:y"), RULE("b", "app:y, app:x"), ""},
		{RULE("a", "login < 24h, mfa"), RULE("a", "mfa, login < 1d"), ""},
	};
	char text[2][512];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy *before, *after;
		struct meaning_diff d;
		struct arena a;
		struct buf b;

		snprintf(text[0], sizeof(text[0]), R "%s", rows[i].before);
		snprintf(text[1], sizeof(text[1]), R "%s", rows[i].after);
		before = parsed(text[0]);
		after = parsed(text[1]);
		arena_init(&a, 16 << 20);
		buf_init_grow(&b, 1 << 16);
		assert_int_equal(meaning_compare(before, after, NOW_S, &a, &d), 0);
		for (size_t k = 0; k < d.n_shown; k++)
			for (size_t f = 0; f < d.changes[k].n_fields; f++)
				put_field(&b, &d.changes[k].fields[f]);
		assert_string_equal(buf_text(&b), rows[i].says);
		buf_free(&b);
		arena_done(&a);
		policy_free(before);
		policy_free(after);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kind_is_accepted_only_where_it_is_enforced),
		cmocka_unit_test(all_rules_together_name_so_many_programs),
		cmocka_unit_test(what_asks_for_more_implies_what_asks_for_less),
		cmocka_unit_test(what_nobody_knows_grants_nothing),
		cmocka_unit_test(a_rule_that_holds_as_it_is_explains_before_one_about_a_program),
		cmocka_unit_test(access_lists_say_them),
		cmocka_unit_test(a_way_that_asks_for_them_is_never_always),
		cmocka_unit_test(an_invariant_is_not_met_by_them),
		cmocka_unit_test(a_change_of_them_is_a_change_of_the_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
