/* Access lists, and since when a condition fails: at Monday noon, 2026-11-23, UTC. */
#include "tests/unit/policy_fixture.h"

#include "controller/policy/access.h"
#include "controller/policy/when.h"
#include "zt/buf.h"

enum { HOUR_S = 3600, NOW_S = 1795435200 /* Monday, 2026-11-23 12:00 UTC */ };
static const int64_t now_s = NOW_S;

static const char policy_text[] =
	"[posture good]\nrequire = custom.a == 1\nmax_age = 1h\n"
	"[posture fine]\nrequire = custom.b == 1\n"
	"[place office]\nsource = 192.0.2.0/24\n"
	"[resource db]\non = tag:db\nports = tcp/5432, icmp\n"
	"[resource ssh]\non = tag:db, tag:web\nports = tcp/22\n"
	"[resource all]\non = tag:web\nports = any\nlease = 5m\n"
	"[rule clerks]\nwho = user:ada@x.org, user:sam@x.org\nwhat = resource:db\n"
	"when = Mon-Fri 08:00-18:00\nwhy = they pay\n"
	"[rule admin]\nwho = user:ada@x.org\nwhat = resource:ssh, resource:all\nexcept = tag:x\n"
	"why = she runs it\n"
	"[rule no-icmp]\naction = deny\nwho = anyone\nwhat = resource:ping\nwhy = quiet\n"
	"[resource ping]\non = tag:db\nports = icmp\n"
	"[rule care]\nwho = user:joe@x.org\nwhat = resource:db\nhow = posture:good, posture:fine\n"
	"where = place:office\nwhy = careful\n"
	"[rule soon]\naction = deny\nwho = user:sam@x.org\nwhat = resource:db\n"
	"when = Mon 17:00-17:30\nwhy = lunch\n"
	"[rule far]\nwho = user:far@x.org\nwhat = resource:db\nuntil = 2190-01-01 12:00\nwhy = f\n"
	"[rule ever]\nwho = user:far@x.org\nwhat = resource:ssh\nwhen = 2020-01-01..\nwhy = f\n"
	"[rule night]\nwho = user:eve@x.org\nwhat = resource:db\nwhen = 22:00-06:00\nwhy = n\n"
	"[rule over]\nwho = user:old@x.org\nwhat = resource:db\nuntil = 2026-11-20\nwhy = o\n";

enum { ADA = 1, SAM, JOE, EVE, OLD, DB, DB2, WEB, FAR };

static const struct {
	uint32_t id;
	const char *name, *owner, *tag;
} devices[] = {
	{ADA, "ada", "ada@x.org", NULL}, {SAM, "sam", "sam@x.org", NULL},
	{JOE, "joe", "joe@x.org", NULL}, {EVE, "eve", "eve@x.org", NULL},
	{OLD, "old", "old@x.org", NULL}, {DB, "db", "", "db"},
	{DB2, "db2", "", "db"},		 {WEB, "web", "", "web"},
	{FAR, "far", "far@x.org", NULL},
};

static struct policy *policy;
static struct engine *engine;

static int setup(void **state)
{
	(void)state;
	policy = parsed(policy_text);
	engine = engine_new(policy, now_s);
	for (size_t i = 0; i < N_OF(devices); i++) {
		struct subject s = {.id = devices[i].id,
				    .name = devices[i].name,
				    .owner = devices[i].owner,
				    .tags = &devices[i].tag,
				    .n_tags = devices[i].tag != NULL};

		assert_int_equal(engine_put(engine, &s), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	engine_free(engine);
	policy_free(policy);
	return 0;
}

static const char *text_of(const struct access *v, size_t n, struct arena *a)
{
	char word[SERVICE_TEXT_MAX];
	const char *text;
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s>%s", devices[v[i].src - 1].name, devices[v[i].dst - 1].name);
		for (size_t k = 0; k < v[i].n_svc; k++) {
			service_print(&v[i].svc[k], word);
			buf_printf(&b, " %s", word);
		}
		buf_printf(&b, " %s", v[i].rule->name);
		if (v[i].until_s != INT64_MAX)
			buf_printf(&b, " %lldh", (long long)(v[i].until_s - now_s) / HOUR_S);
		if (v[i].lease_s != ZT_LEASE_DEFAULT_S)
			buf_printf(&b, " lease %us", v[i].lease_s);
		buf_put_text(&b, "; ");
	}
	text = arena_text(a, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

static void lists_of_access(void **state)
{
	static const struct {
		const char *says;
		uint32_t from, to; /* one of them */
		const char *resource, *rows;
	} rows[] = {
		{"what one can reach, with the end of the working day", ADA, 0, NULL,
		 "ada>db tcp/5432 clerks 6h; ada>db tcp/22 admin; ada>db2 tcp/5432 clerks 6h; "
		 "ada>db2 tcp/22 admin; ada>web any tcp/22 admin lease 300s; "},
		{"without what a deny takes, and until one begins", SAM, 0, NULL,
		 "sam>db tcp/5432 clerks 5h; sam>db2 tcp/5432 clerks 5h; "},
		{"until an end that is far away, and without one", FAR, 0, NULL,
		 "far>db tcp/5432 far 1429776h; far>db tcp/22 ever; far>db2 tcp/5432 far 1429776h; "
		 "far>db2 tcp/22 ever; far>web tcp/22 ever; "},
		{"nothing where a condition fails", JOE, 0, NULL, ""},
		{"nothing at the wrong time", EVE, 0, NULL, ""},
		{"nothing for who is not there", 99, 0, NULL, ""},
		{"who can reach a device", 0, DB, NULL,
		 "ada>db tcp/5432 clerks 6h; ada>db tcp/22 admin; sam>db tcp/5432 clerks 5h; "
		 "far>db tcp/5432 far 1429776h; far>db tcp/22 ever; "},
		{"who can reach a resource on it", 0, DB, "ssh",
		 "ada>db tcp/22 admin; far>db tcp/22 ever; "},
		{"a resource that nothing but a deny is about", 0, DB, "ping", ""},
		{"who can reach a device that hosts two that overlap", 0, WEB, "ssh",
		 "ada>web any tcp/22 admin lease 300s; far>web tcp/22 ever; "},
		{"nobody can reach a laptop", 0, ADA, NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint32_t resource = rows[i].resource ? access_resource(engine, rows[i].resource)
						     : POLICY_NO_RESOURCE;
		const struct access *v;
		const char *text;
		struct arena a;
		size_t n;

		arena_init(&a, 1 << 20);
		if (rows[i].from)
			assert_int_equal(access_from(engine, rows[i].from, &a, &v, &n), 0);
		else
			assert_int_equal(access_to(engine, rows[i].to, resource, &a, &v, &n), 0);
		text = text_of(v, n, &a);
		if (strcmp(text, rows[i].rows) != 0)
			fail_msg("%s: %s", rows[i].says, text);
		arena_done(&a);
	}
	assert_int_equal(access_resource(engine, "no-such"), POLICY_NO_RESOURCE);
}

static void rules_that_let_in(void **state)
{
	static const struct {
		const char *says;
		uint32_t dst;
		const char *resource, *rules;
	} rows[] = {
		{"about a resource", DB, "db", "clerks care soon far night over "},
		{"a deny too", DB, "ping", "no-icmp "},
		{"about all on a device", DB, NULL,
		 "clerks admin no-icmp care soon far ever night over "},
		{"about nothing on a laptop", ADA, NULL, ""},
		{"about a resource that nobody hosts now", 0, "db",
		 "clerks care soon far night over "},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const uint32_t *v;
		char text[200] = "";
		struct arena a;
		size_t n;

		arena_init(&a, 1 << 20);
		assert_int_equal(access_rules(engine, rows[i].dst,
					      rows[i].resource
						      ? access_resource(engine, rows[i].resource)
						      : POLICY_NO_RESOURCE,
					      &a, &v, &n),
				 0);
		for (size_t k = 0; k < n; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
				 policy->rules[v[k]].name);
		if (strcmp(text, rows[i].rules) != 0)
			fail_msg("%s: %s", rows[i].says, text);
		arena_done(&a);
	}
}

static void conditions_in_words(void **state)
{
	struct access_words w;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(access_words(engine, 0, &a, &w), 0);
	assert_string_equal(w.who, "user:ada@x.org, user:sam@x.org");
	assert_string_equal(w.when, "Mon-Fri 08:00-18:00 UTC");
	assert_string_equal(w.where, "");
	assert_string_equal(w.how, "");
	assert_int_equal(access_words(engine, 3, &a, &w), 0);
	assert_string_equal(w.when, "");
	assert_string_equal(w.where, "place:office");
	assert_string_equal(w.how, "posture:good, posture:fine");
	arena_done(&a);
}

/* --- since when --- */

static void when_since_is_the_last_edge(void **state)
{
	/* Named by the rules of this policy; from noon of that Monday. */
	static const char text[] = "[resource r]\non = tag:r\nports = any\n"
				   "[schedule free]\nwhen = 2026-11-19, Sun\n"
#define RULE(name, when) "[rule " name "]\nwho = anyone\nwhat = resource:r\nwhy = w\n" when "\n"
		RULE("today", "when = 08:00-18:00") RULE("night", "when = 22:00-06:00")
			RULE("weekend", "when = Sat Sun") RULE("over", "until = 2026-11-20")
				RULE("not-free", "when = Mon-Sun\nexcept = schedule:free")
					RULE("march", "when = 2026-03-01..2026-03-31")
						RULE("long-ago", "when = 2020-01-01")
							RULE("future", "when = 2027-01-01..");
	static const struct {
		const char *rule;
		int64_t hours; /* ago; 0: not known */
	} rows[] = {
		{"today", 4},
		{"night", 6},
		{"weekend", 12},
		{"over", 60},
		{"not-free", 12}, /* Sunday is over */
		{"march", (30 + 31 + 30 + 31 + 31 + 30 + 31 + 22) * 24 + 12},
		{"long-ago", 0},
		{"future", 0},
	};
	struct policy *p = parsed(text);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		int64_t since = when_since(&p->whens[p->rules[i].when], now_s);

		assert_string_equal(p->rules[i].name, rows[i].rule);
		if (since != (rows[i].hours ? now_s - rows[i].hours * HOUR_S : INT64_MIN))
			fail_msg("%s: since %lld hours", rows[i].rule,
				 (long long)(now_s - since) / HOUR_S);
	}
	policy_free(p);
}

static const struct fact_view *facts_of(void *arg, uint32_t id, size_t *ret_n)
{
	static const struct fact_view facts[] = {
		{"custom.a", FACT_KNOWN, "1", ((int64_t)NOW_S - 3 * HOUR_S) * 1000},
		{"custom.b", FACT_KNOWN, "2", ((int64_t)NOW_S - 60) * 1000},
	};

	(void)arg, (void)id;
	*ret_n = N_OF(facts);
	return facts;
}

static int64_t since_of(void *arg, uint32_t id, uint32_t posture)
{
	(void)arg, (void)id;
	return posture == 1 ? (now_s - 7 * HOUR_S) * 1000 : (now_s - 9 * HOUR_S) * 1000;
}

static void explain_says_since_when(void **state)
{
	static const struct {
		uint32_t src;
		const char *condition;
		int64_t hours; /* ago; 0: not known */
	} rows[] = {
		{JOE, "where: place:office", 0},
		{JOE, "posture:good: custom.a == 1", 2}, /* when the fact got too old */
		{JOE, "posture:fine: custom.b == 1", 7}, /* when the profile was not met any more */
		{EVE, "when: 22:00-06:00 UTC", 6},
		{OLD, "when: until 2026-11-20", 60},
		{WEB, "who", 0},
	};
	struct explain_context c = {
		.facts = facts_of, .failing_since_ms = since_of, .now_ms = now_s * 1000};
	const struct service svc = {SERVICE_TCP, 5432, 5432};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		int64_t want = rows[i].hours ? (now_s - rows[i].hours * HOUR_S) * 1000 : 0;
		struct explanation x;
		bool found = false;
		struct arena a;

		arena_init(&a, 1 << 20);
		assert_int_equal(engine_explain(engine, rows[i].src, DB, &svc, &c, &a, &x), 0);
		for (size_t k = 0; k < x.n_failed; k++) {
			if (strcmp(x.failed[k].condition, rows[i].condition) != 0)
				continue;
			found = true;
			row_check(rows[i].condition, x.failed[k].since_ms == want);
		}
		row_check(rows[i].condition, found);
		arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_access),
		cmocka_unit_test(rules_that_let_in),
		cmocka_unit_test(conditions_in_words),
		cmocka_unit_test(when_since_is_the_last_edge),
		cmocka_unit_test(explain_says_since_when),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
