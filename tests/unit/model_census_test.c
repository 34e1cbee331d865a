/* The census: engines filled from it grant what the model does now, and what it will when the other
 * policy is put; made in slices of every size, while the model changes. */
#include "tests/unit/policy_fixture.h"

#include "controller/model/census.h"
#include "zt/clock.h"

enum { DEVICES = 24, NOW_S = 1795428000, DAY_S = 86400 };
static const int64_t now_ms = (int64_t)NOW_S * 1000;

static const char before_text[] =
	"[group crew]\n[group staff]\nmembers = user:u1@x.org\n"
	"[place office]\nsource = 192.0.2.0/24\n"
	"[posture strict]\nrequire = custom.a == 1\n"
	"[posture mild]\nrequire = custom.b == 1, custom.a == 1\ngrace = 10m\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n[resource web]\non = tag:web\nports = "
	"tcp/80\n"
	"[rule a]\nwho = group:crew\nwhat = resource:db\nhow = posture:strict\nwhy = w\n"
	"[rule b]\nwho = group:staff, device:d6\nwhat = resource:web\nhow = posture:mild\nwhy = w\n"
	"[rule c]\nwho = tag:web\nwhat = resource:db\nwhere = place:office\nwhy = w\n";
/* Profiles in another order and one anew; other facts, other places. */
static const char after_text[] =
	"[group crew]\n[place away]\nsource = 0.0.0.0/0\nexcept = 192.0.2.0/24\n"
	"[posture anew]\nrequire = custom.c == 1\ngrace = 10m\n"
	"[posture mild]\nrequire = custom.b == 1\ngrace = 10m\n"
	"[posture strict]\nrequire = custom.a == 1\n"
	"[resource db]\non = tag:db\nports = tcp/5432, icmp\n"
	"[resource web]\non = tag:web\nports = tcp/80\n"
	"[rule a]\nwho = group:crew, tag:web\nwhat = resource:db\nwhere = place:away\nwhy = w\n"
	"[rule b]\nwho = anyone\nwhat = resource:web\nhow = posture:mild\nwhy = w\n"
	"[rule n]\nwho = anyone\nwhat = resource:db\nhow = posture:anew\nwhy = w\n";

static const char canary_text[] =
	"[posture first]\nrequire = custom.c == 1\n"
	"[posture mild]\nrequire = custom.b == 1, custom.a == 1\ngrace = 10m\n"
	"[posture strict]\nrequire = custom.a == 1\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[rule a]\nwho = anyone\nwhat = resource:db\nhow = posture:first, posture:mild\nwhy = w\n"
	"[rule b]\nwho = anyone\nwhat = resource:db\nhow = posture:strict\nwhy = w\n";

static void set_policy(struct model *m, const char *text, int64_t at_ms)
{
	struct policy_row row = {.version = 1};

	assert_int_equal(model_set_policy(m, parsed(text), &row, at_ms), 0);
}

static struct device_row row_of(uint32_t id)
{
	static const char *const tags[] = {"db", "web", "other"};
	struct device_row r = {.id = id * 2,
			       .state = id % 7 == 5 ? DEVICE_PENDING : DEVICE_ACTIVE,
			       .addr4 = addr_v4((uint8_t[]){100, 64, 0, (uint8_t)id}),
			       .cert_not_after_s = NOW_S + (id == 9 ? -1 : DAY_S)};

	r.identity.b[0] = r.wg_key.b[1] = (uint8_t)id;
	snprintf(r.name, sizeof(r.name), "d%u", id);
	if (id % 2) {
		snprintf(r.owner, sizeof(r.owner), "u%u@x.org", id % 5);
	} else {
		snprintf(r.tags.name[0], sizeof(r.tags.name[0]), "%s", tags[id / 2 % 3]);
		r.tags.n = 1;
	}
	return r;
}

/* Some have complied once, and some not. */
static void report(struct model *m, struct device *d, const char *a, const char *b, int64_t at_ms)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct fact facts[3] = {{"custom.a", FACT_KNOWN, "", 1},
				{"custom.b", FACT_KNOWN, "", 1},
				{"hostname", FACT_KNOWN, "x", 1}};
	struct report r = {.full = true, .facts = facts, .n_facts = 3};
	bool changed;

	snprintf(facts[0].value, sizeof(facts[0].value), "%s", a);
	snprintf(facts[1].value, sizeof(facts[1].value), "%s", b);
	assert_int_equal(model_take_report(m, d, &r, at_ms, &changed), 0);
	model_evaluate(m, d, at_ms, changes);
}

static void fill(struct model *m)
{
	struct user_row crew = {.email = "u3@x.org", .groups = {"crew"}, .n_groups = 1};
	struct user_row away = {.email = "u4@x.org", .disabled = true};
	struct verdict_change changes[ENGINE_POSTURES_MAX];

	model_init(m);
	assert_int_equal(prefix_parse("100.64.0.0/10", &m->network.net4), 0);
	assert_int_equal(model_load_user(m, &crew), 0);
	assert_int_equal(model_load_user(m, &away), 0);
	for (uint32_t i = 1; i <= DEVICES; i++) {
		struct device_row row = row_of(i);
		struct device *d;

		assert_int_equal(model_load_device(m, &row, &d), 0);
		d->online = i % 3 == 0;
	}
	set_policy(m, before_text, now_ms - 60000);
	for (uint32_t i = 1; i <= DEVICES; i++) {
		struct device *d = model_device(m, i * 2);
		const uint8_t source[] = {(uint8_t)(i % 4 ? 192 : 198), 0, 2, (uint8_t)i};

		if (i % 3)
			report(m, d, "1", "1", now_ms - 60000);
		if (i % 5 == 1)
			report(m, d, "0", "1", now_ms - 30000); /* in its grace */
		if (i % 6)
			d->source = addr_v4(source);
		model_evaluate(m, d, now_ms, changes);
	}
}

enum when { BEFORE, CANARY, AFTER };

/* As the model has it: to a policy that a device is not under it is a destination alone. */
static struct engine *engine_of(const struct policy *p, const struct census *c, enum when when)
{
	struct engine *e = engine_new(p, NOW_S);
	const struct preview_device *v;
	size_t n;

	v = census_devices(c, &n);
	assert_non_null(e);
	for (size_t i = 0; i < n; i++) {
		struct subject s = when == AFTER ? v[i].after : v[i].before;

		assert_true(i == 0 || v[i - 1].before.id < v[i].before.id);
		if (when != AFTER && v[i].in_canary != (when == CANARY)) {
			s.verdicts = 0;
			s.places = (struct places){0};
		}
		assert_int_equal(engine_put(e, &s), 0);
	}
	return e;
}

static size_t compared;

/* The same grants for every device. */
static void check_same(const struct engine *x, const struct engine *y)
{
	for (uint32_t id = 1; id <= DEVICES * 2 + 2; id++) {
		const struct grant *g, *h;
		struct arena a;
		size_t n, k;

		arena_init(&a, 16 << 20);
		assert_int_equal(engine_grants(x, id, &a, &g, &n), 0);
		assert_int_equal(engine_grants(y, id, &a, &h, &k), 0);
		assert_int_equal(n, k);
		for (size_t i = 0; i < n; i++)
			assert_true(g[i].src == h[i].src && g[i].dst == h[i].dst &&
				    g[i].rule == h[i].rule &&
				    service_compare(&g[i].svc, &h[i].svc) == 0);
		compared += n;
		arena_done(&a);
	}
}

static struct census *taken(const struct model *m, const struct policy *after, size_t slice)
{
	struct census *c;
	int more = 1;

	assert_int_equal(census_new(m, after, now_ms, &c), 0);
	while (more)
		assert_true((more = census_step(c, m, slice)) >= 0);
	assert_int_equal(census_judge(c), 0);
	return c;
}

static void test_both_policies_see_what_the_model_does(void **state)
{
	static const size_t slices[] = {1, 2, 3, 7, 1000};
	struct policy *after = parsed(after_text);

	(void)state;
	for (size_t i = 0; i < N_OF(slices); i++) {
		struct engine *x, *y;
		struct census *c;
		struct model m;

		fill(&m);
		c = taken(&m, after, slices[i]);
		x = engine_of(census_before(c), c, BEFORE);
		y = engine_of(after, c, AFTER);
		check_same(m.force.engine, x);
		set_policy(&m, after_text, now_ms);
		check_same(m.force.engine, y);
		engine_free(x);
		engine_free(y);
		census_free(c);
		model_done(&m);
	}
	policy_free(after);
	assert_true(compared > 500);
}

/* Each is judged by the policy that it is under. */
static void test_devices_in_a_canary(void **state)
{
	struct policy *after = parsed(after_text);
	struct policy_row row = {.version = 2,
				 .trial = {.state = TRIAL_OPEN, .base = 1, .percent = 50}};
	struct change over = {.kind = CHANGE_POLICY_ABORT, .at_ms = now_ms};
	struct engine *x, *y, *z;
	struct census *c;
	struct device *d;
	struct model m;
	unsigned in = 0;

	(void)state;
	fill(&m);
	/* the same profiles in another order, and one more before them */
	assert_int_equal(model_set_canary(&m, parsed(canary_text), &row, now_ms), 0);
	for (uint32_t id = 2; id <= DEVICES * 2; id += 2)
		in += model_device(&m, id)->in_canary;
	assert_true(in > 3 && in < DEVICES - 3);
	c = taken(&m, after, 7);
	x = engine_of(census_before(c), c, BEFORE);
	y = engine_of(after, c, AFTER);
	z = engine_of(census_canary(c), c, CANARY);
	assert_ptr_equal(census_canary(c), m.canary.policy);
	check_same(m.force.engine, x);
	check_same(m.canary.engine, z);
	assert_int_equal(model_apply(&m, &over, now_ms, &d), 0);
	set_policy(&m, after_text, now_ms);
	check_same(m.force.engine, y);
	engine_free(x);
	engine_free(y);
	engine_free(z);
	census_free(c);
	model_done(&m);
	policy_free(after);
}

/* It keeps the policy that was in force when it was made, also when that is long gone. */
static void test_a_policy_put_meanwhile(void **state)
{
	struct policy *after = parsed(after_text);
	struct engine *x;
	struct census *c;
	struct model m;

	(void)state;
	fill(&m);
	assert_int_equal(census_new(&m, after, now_ms, &c), 0);
	assert_int_equal(census_step(c, &m, 5), 1);
	set_policy(&m, after_text, now_ms); /* it begins anew */
	while (census_step(c, &m, 5))
		;
	assert_int_equal(census_judge(c), 0);
	assert_ptr_equal(census_before(c), m.force.policy);
	x = engine_of(census_before(c), c, BEFORE);
	check_same(m.force.engine, x);
	engine_free(x);
	set_policy(&m, before_text, now_ms);
	assert_string_equal(census_before(c)->rules[2].name, "n");
	census_free(c);
	model_done(&m);
	policy_free(after);
}

/* Devices that join or go between two slices do no harm. */
static void test_devices_come_and_go_meanwhile(void **state)
{
	struct policy *after = parsed(after_text);
	struct change c = {.kind = CHANGE_DEVICE_STATE, .at_ms = now_ms};
	struct device_row fresh = row_of(3);
	struct census *census;
	struct device *d;
	struct model m;
	size_t n;

	(void)state;
	fill(&m);
	assert_int_equal(census_new(&m, after, now_ms, &census), 0);
	assert_int_equal(census_step(census, &m, 10), 1);
	for (uint32_t id = 2; id <= DEVICES * 2; id += 2) { /* all of them leave */
		model_row(model_device(&m, id), &c.device);
		c.device.state = DEVICE_REVOKED;
		assert_int_equal(model_apply(&m, &c, now_ms, &d), 0);
	}
	fresh.id = 1000; /* the model's array grows */
	assert_int_equal(model_load_device(&m, &fresh, &d), 0);
	while (census_step(census, &m, 10))
		;
	assert_int_equal(census_judge(census), 0);
	assert_int_equal(census_devices(census, &n)[n - 1].before.id, 1000);
	assert_true(n > 1 && n < DEVICES);
	census_free(census);
	model_done(&m);
	policy_free(after);
}

static void test_a_hundred_thousand_in_slices(void **state)
{
	enum { MANY = 100000, SLICE = 1000 };
	struct policy *after = parsed(after_text);
	int64_t start_ms, step_ms, longest_ms = 0;
	struct census *c;
	struct model m;
	int more = 1;

	(void)state;
	model_init(&m);
	for (uint32_t i = 1; i <= MANY; i++) {
		struct device_row row = row_of(i);
		struct device *d;

		assert_int_equal(model_load_device(&m, &row, &d), 0);
	}
	set_policy(&m, before_text, now_ms);
	start_ms = clock_now().boot_ms;
	assert_int_equal(census_new(&m, after, now_ms, &c), 0);
	while (more) {
		step_ms = clock_now().boot_ms;
		assert_true((more = census_step(c, &m, SLICE)) >= 0);
		step_ms = clock_now().boot_ms - step_ms;
		longest_ms = step_ms > longest_ms ? step_ms : longest_ms;
	}
	print_message("%d devices copied in %lld ms, %d at a time in %lld ms at most\n", MANY,
		      (long long)(clock_now().boot_ms - start_ms), SLICE, (long long)longest_ms);
	census_free(c);
	model_done(&m);
	policy_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_policies_see_what_the_model_does),
		cmocka_unit_test(test_devices_in_a_canary),
		cmocka_unit_test(test_a_policy_put_meanwhile),
		cmocka_unit_test(test_devices_come_and_go_meanwhile),
		cmocka_unit_test(test_a_hundred_thousand_in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
