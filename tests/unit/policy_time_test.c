/* Rules in time: what is granted at an instant, until when, and whom an edge touches. */
#include "tests/unit/policy_fixture.h"

#include "controller/policy/engine.h"
#include "zt/buf.h"

static const char policy_text[] =
	"[schedule lunch]\nwhen = 12:00-13:00\n"
	"[resource ssh]\non = tag:db\nports = tcp/20-30\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[resource one]\non = tag:db\nports = tcp/22\n"
	"[resource web]\non = tag:web\nports = tcp/80\n"
	"[rule by-day]\nwho = user:ada@x.org\nwhat = resource:ssh\nwhen = Mon-Fri 09:00-17:00\nwhy "
	"= w\n"
	"[rule no-lunch]\naction = deny\nwho = anyone\nwhat = resource:one\nwhen = "
	"schedule:lunch\nwhy = w\n"
	"[rule always]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n"
	"[rule for-a-while]\nwho = user:sam@x.org\nwhat = resource:web\nuntil = 2026-11-25 "
	"10:00\nwhy = w\n";

enum id { ADA = 1, SAM, DB, WEB, LONER };

/* 2026-11-23 is a Monday. */
static int64_t at(int day, int hour, int minute)
{
	return 1795392000 + (int64_t)(day - 23) * 86400 + hour * 3600 + minute * 60;
}

struct world {
	struct policy *policy;
	struct engine *engine;
	struct arena arena;
};

static void put(struct world *w, uint32_t id, const char *name, const char *owner, const char *tag)
{
	const char *const tags[] = {tag};
	const struct subject s = {
		.id = id, .name = name, .owner = owner, .tags = tags, .n_tags = tag != NULL};

	assert_int_equal(engine_put(w->engine, &s), 0);
}

static void world_init(struct world *w, int64_t now_s)
{
	*w = (struct world){.policy = parsed(policy_text)};
	arena_init(&w->arena, 16 << 20);
	w->engine = engine_new(w->policy, now_s);
	assert_non_null(w->engine);
	put(w, ADA, "ada", "ada@x.org", NULL);
	put(w, SAM, "sam", "sam@x.org", NULL);
	put(w, DB, "db", "", "db");
	put(w, WEB, "web", "", "web");
	put(w, LONER, "loner", "", "box");
}

static void world_done(struct world *w)
{
	engine_free(w->engine);
	policy_free(w->policy);
	arena_done(&w->arena);
}

struct want {
	const char *service;
	int64_t until_s;
};
enum { WANTS_MAX = 5 };

static void check_grants(struct world *w, const char *says, uint32_t id, const struct want *want)
{
	const struct grant *got;
	char text[SERVICE_TEXT_MAX];
	size_t n, expected = 0;

	while (expected < WANTS_MAX && want[expected].service)
		expected++;
	assert_int_equal(engine_grants(w->engine, id, &w->arena, &got, &n), 0);
	for (size_t i = 0; i < n && i < expected; i++) {
		service_print(&got[i].svc, text);
		if (strcmp(text, want[i].service) != 0 || got[i].until_s != want[i].until_s)
			fail_msg("%s: %s until %lld", says, text, (long long)got[i].until_s);
	}
	if (n != expected)
		fail_msg("%s: %zu grants, expected %zu", says, n, expected);
}

#define NEVER INT64_MAX

static void grants_hold_in_their_time_and_say_their_end(void **state)
{
	static const struct {
		const char *says;
		int day, hour, minute;
		enum id id;
		struct want want[WANTS_MAX]; /* until_s as hour * 100 + minute of that day; NEVER */
	} rows[] = {
		{"before the day", 23, 8, 59, ADA, {{"tcp/5432", NEVER}}},
		{"the day begins, and lunch will take a port away",
		 23,
		 9,
		 0,
		 ADA,
		 {{"tcp/20-21", 1700}, {"tcp/22", 1200}, {"tcp/23-30", 1700}, {"tcp/5432", NEVER}}},
		{"the last minute before lunch",
		 23,
		 11,
		 59,
		 ADA,
		 {{"tcp/20-21", 1700}, {"tcp/22", 1200}, {"tcp/23-30", 1700}, {"tcp/5432", NEVER}}},
		{"lunch",
		 23,
		 12,
		 0,
		 ADA,
		 {{"tcp/20-21", 1700}, {"tcp/23-30", 1700}, {"tcp/5432", NEVER}}},
		{"after lunch the next one is far",
		 23,
		 13,
		 0,
		 ADA,
		 {{"tcp/20-30", 1700}, {"tcp/5432", NEVER}}},
		{"the day is over", 23, 17, 0, ADA, {{"tcp/5432", NEVER}}},
		{"no day on Saturday", 28, 10, 0, ADA, {{"tcp/5432", NEVER}}},
		{"the host has the same grants",
		 23,
		 12,
		 30,
		 DB,
		 {{"tcp/20-21", 1700}, {"tcp/23-30", 1700}, {"tcp/5432", NEVER}}},
		{"until", 25, 9, 59, SAM, {{"tcp/80", 1000}}},
		{"and over", 25, 10, 0, SAM, {{0}}},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct want want[WANTS_MAX];
		struct world w;

		memcpy(want, rows[i].want, sizeof(want));
		for (size_t k = 0; k < WANTS_MAX; k++)
			if (want[k].service && want[k].until_s != NEVER)
				want[k].until_s = at(rows[i].day, (int)(want[k].until_s / 100),
						     (int)(want[k].until_s % 100));
		world_init(&w, at(rows[i].day, rows[i].hour, rows[i].minute));
		check_grants(&w, rows[i].says, rows[i].id, want);
		world_done(&w);
	}
}

static bool has_id(const uint32_t *v, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == id)
			return true;
	return false;
}

/* An engine whose time passes says what one that is made anew says, and names all it touches. */
static void time_passes_from_edge_to_edge(void **state)
{
	static const struct {
		const char *says;
		int day, hour, minute; /* of the edge */
		bool ada, sam, web;    /* touched */
	} edges[] = {
		{"the day begins", 23, 9, 0, true, false, false},
		{"lunch begins, for everybody", 23, 12, 0, true, true, true},
		{"lunch ends", 23, 13, 0, true, true, true},
		{"the day ends", 23, 17, 0, true, false, false},
		{"the next day", 24, 9, 0, true, false, false},
	};
	const uint32_t *ids;
	struct world w;
	size_t n;

	(void)state;
	world_init(&w, at(23, 8, 0));
	for (size_t i = 0; i < N_OF(edges); i++) {
		int64_t edge = at(edges[i].day, edges[i].hour, edges[i].minute);

		assert_int_equal(engine_next(w.engine), edge);
		assert_int_equal(engine_advance(w.engine, edge - 1, &w.arena, &ids, &n), 0);
		assert_int_equal(n, 0);
		assert_int_equal(engine_advance(w.engine, edge, &w.arena, &ids, &n), 0);
		if (has_id(ids, n, ADA) != edges[i].ada || has_id(ids, n, SAM) != edges[i].sam ||
		    has_id(ids, n, WEB) != edges[i].web || !has_id(ids, n, DB))
			fail_msg("%s: %zu devices", edges[i].says, n);
	}
	world_done(&w);
}

static void a_clock_that_is_set_back_opens_nothing(void **state)
{
	static const struct want day[WANTS_MAX] = {{"tcp/5432", NEVER}};
	const uint32_t *ids;
	struct world w;
	size_t n;

	(void)state;
	world_init(&w, at(23, 13, 30));
	assert_int_equal(engine_advance(w.engine, at(23, 8, 0), &w.arena, &ids, &n), 0);
	assert_true(has_id(ids, n, ADA) && has_id(ids, n, DB));
	check_grants(&w, "set back before the day", ADA, day);
	assert_int_equal(engine_next(w.engine), at(23, 9, 0));
	world_done(&w);
}

/* A deny that comes takes nothing before: other protocols than tcp, udp and icmp stay until then.
 */
static void any_is_whole_until_a_deny_comes(void **state)
{
	static const struct want want[WANTS_MAX] = {{"any", 1799971200}, /* 2027-01-15 */
						    {"icmp", NEVER},
						    {"tcp/1-21", NEVER},
						    {"tcp/23-65535", NEVER},
						    {"udp/any", NEVER}};
	struct world w = {0};

	(void)state;
	arena_init(&w.arena, 16 << 20);
	w.policy = parsed("[resource all]\non = tag:db\nports = any\n"
			  "[resource ssh]\non = tag:db\nports = tcp/22\n"
			  "[rule r]\nwho = user:ada@x.org\nwhat = resource:all\nwhy = w\n"
			  "[rule d]\naction = deny\nwho = anyone\nwhat = resource:ssh\n"
			  "when = 2027-01-15..\nwhy = w\n");
	w.engine = engine_new(w.policy, at(23, 12, 0));
	put(&w, ADA, "ada", "ada@x.org", NULL);
	put(&w, DB, "db", "", "db");
	check_grants(&w, "before the deny", ADA, want);
	world_done(&w);
}

/* Many ports that will be denied cost neither the stack nor the square of them: then all ends with
 * the first, and is given anew. */
static void many_ports_denied_later_end_it_whole(void **state)
{
	static const struct want before[WANTS_MAX] = {{"tcp/any", 1799971200}}; /* 2027-01-15 */
	const struct grant *got;
	const uint32_t *ids;
	struct world w = {0};
	struct buf b;
	size_t n;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "[resource all]\non = tag:db\nports = tcp/any\n"
			 "[resource odd]\non = tag:db\nports = tcp/1");
	for (unsigned port = 3; port < 8192; port += 2)
		buf_printf(&b, ", tcp/%u", port);
	buf_put_text(&b, "\n[rule r]\nwho = user:ada@x.org\nwhat = resource:all\nwhy = w\n"
			 "[rule d]\naction = deny\nwho = anyone\nwhat = resource:odd\n"
			 "when = 2027-01-15..\nwhy = w\n");
	arena_init(&w.arena, 64 << 20);
	w.policy = parsed(buf_text(&b));
	w.engine = engine_new(w.policy, at(23, 12, 0));
	put(&w, ADA, "ada", "ada@x.org", NULL);
	put(&w, DB, "db", "", "db");
	check_grants(&w, "before", ADA, before);
	assert_int_equal(engine_advance(w.engine, 1799971200, &w.arena, &ids, &n), 0);
	assert_true(has_id(ids, n, ADA) && has_id(ids, n, DB));
	assert_int_equal(engine_grants(w.engine, ADA, &w.arena, &got, &n), 0);
	assert_int_equal(n, 4096); /* the even ones, and the rest */
	world_done(&w);
	buf_free(&b);
}

/* A rule whose only schedule has an except ends with its own until all the same. */
static void until_ends_a_schedule_that_has_an_except(void **state)
{
	static const struct want want[WANTS_MAX] = {{0}};
	const uint32_t *ids;
	struct world w = {0};
	size_t n;

	(void)state;
	arena_init(&w.arena, 16 << 20);
	w.policy = parsed("[schedule s]\nwhen = 2026-01-01..\nexcept = 2026-12-25\n"
			  "[resource db]\non = tag:db\nports = tcp/22\n"
			  "[rule r]\nwho = user:ada@x.org\nwhat = resource:db\nwhen = schedule:s\n"
			  "until = 2026-11-25 10:00\nwhy = w\n");
	w.engine = engine_new(w.policy, at(23, 12, 0));
	put(&w, ADA, "ada", "ada@x.org", NULL);
	put(&w, DB, "db", "", "db");
	assert_int_equal(engine_next(w.engine), at(25, 10, 0));
	assert_int_equal(engine_advance(w.engine, at(25, 10, 0), &w.arena, &ids, &n), 0);
	assert_true(has_id(ids, n, ADA) && has_id(ids, n, DB));
	check_grants(&w, "over", ADA, want);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_hold_in_their_time_and_say_their_end),
		cmocka_unit_test(time_passes_from_edge_to_edge),
		cmocka_unit_test(a_clock_that_is_set_back_opens_nothing),
		cmocka_unit_test(any_is_whole_until_a_deny_comes),
		cmocka_unit_test(many_ports_denied_later_end_it_whole),
		cmocka_unit_test(until_ends_a_schedule_that_has_an_except),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
