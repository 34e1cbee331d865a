/* The application with its store and worker, in this process and without a network: how policies
 * come into force when memory ends or clocks are set. */
#include "tests/unit/store_fixture.h"

#include "controller/app.h"
#include "controller/policy/invariant.h"
#include "zt/loop.h"

#define RESOURCE "[resource db]\non = tag:db\nports = tcp/5432\n"
static const char old_text[] =
	RESOURCE "[rule old]\nwho = user:sam@x.org\nwhat = resource:db\nwhy = w\n";
static const char new_text[] =
	RESOURCE "[rule new]\nwho = user:ada@x.org\nwhat = resource:db\nwhy = w\n";

enum { DB = 1, ADA = 2, SAM = 3, WAIT_MS = 15000, LOOK_MS = 5, HOUR_MS = 3600000 };

static struct fixture f;
static struct loop *loop;
static struct loop_timer *look;
static struct app *app;
static struct controller_keys keys;

/* --- what the test decides --- */

static int64_t wall_shift_ms;
static uint32_t no_memory_for; /* this device; 0: for all */

struct now __real_clock_now(void);
struct now __wrap_clock_now(void);
int __real_roll_step(struct roll *r, const struct model *m, size_t max);
int __wrap_roll_step(struct roll *r, const struct model *m, size_t max);
int __real_engine_put(struct engine *e, const struct subject *s);
int __wrap_engine_put(struct engine *e, const struct subject *s);

struct now __wrap_clock_now(void)
{
	struct now now = __real_clock_now();

	now.wall_ms += wall_shift_ms;
	return now;
}

int __wrap_engine_put(struct engine *e, const struct subject *s)
{
	return s->id == no_memory_for ? -ENOMEM : __real_engine_put(e, s);
}

static size_t slice; /* devices at once; 0: as many as it likes */
static unsigned slices;

int __wrap_roll_step(struct roll *r, const struct model *m, size_t max)
{
	assert_true(max <= 1000);
	slices++;
	return __real_roll_step(r, m, slice ? slice : max);
}

static unsigned steps; /* of looking at invariants */

int __real_invariants_step(struct invariants_run *r);
int __wrap_invariants_step(struct invariants_run *r);

int __wrap_invariants_step(struct invariants_run *r)
{
	int more = __real_invariants_step(r);

	steps += more == 1;
	return more;
}

/* --- the application --- */

static bool (*awaited)(void);
static int64_t until_boot_ms;

static void look_again(void *arg)
{
	int64_t now_boot_ms = clock_now().boot_ms;

	(void)arg;
	if (awaited() || now_boot_ms > until_boot_ms)
		loop_stop(loop, awaited() ? 0 : 1);
	loop_timer_set(look, clock_now().boot_ms + LOOK_MS);
}

static void await(bool (*fn)(void))
{
	awaited = fn;
	until_boot_ms = clock_now().boot_ms + WAIT_MS;
	loop_timer_set(look, clock_now().boot_ms);
	if (loop_run(loop))
		fail_msg("it did not come");
}

static int start(struct diag *d)
{
	struct app_config c = {.keys = &keys, .version = "test"};

	c.loop = loop = loop_new();
	look = loop_timer_new(loop, look_again, NULL);
	assert_true(loop && look);
	return app_new(&c, f.s, &app, d);
}

static void stop(void)
{
	app_free(app);
	app = NULL;
	loop_timer_free(look);
	loop_free(loop);
}

static void start_ok(void)
{
	struct diag d = {0};

	if (start(&d))
		fail_msg("%s", d.message);
}

static int setup(void **state)
{
	(void)state;
	wall_shift_ms = 0;
	no_memory_for = 0;
	slice = 0;
	fixture_init(&f, "100.64.0.0/10", NULL);
	wall_shift_ms = now_ms - __real_clock_now().wall_ms; /* the fixture's time */
	assert_int_equal(device_for(&f, token_for(&f, NULL, "db", 1), "db", DB), DB);
	assert_int_equal(device_for(&f, token_for(&f, "ada@x.org", NULL, 1), "ada", ADA), ADA);
	assert_int_equal(device_for(&f, token_for(&f, "sam@x.org", NULL, 1), "sam", SAM), SAM);
	start_ok();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop();
	assert_whole(&f);
	fixture_done(&f);
	return 0;
}

/* --- what admins do --- */

static struct app_policy got;
static struct change got_change;
static struct diag got_diag;
static int got_err;
static bool is_done;

static bool done(void)
{
	return is_done;
}

static void take_policy(void *arg, const struct app_policy *r)
{
	(void)arg;
	got = *r;
	is_done = true;
}

static struct change change_of(enum change_kind kind)
{
	return (struct change){.kind = kind,
			       .at_ms = clock_now().wall_ms,
			       .actor = "admin:1 (root)",
			       .why = "test"};
}

/* confirm_s, percent: 0 none. */
static uint32_t put_on_trial(const char *text, int confirm_s, unsigned percent)
{
	struct change c = change_of(CHANGE_POLICY_PUT);

	c.policy = (struct policy_row){.text = (char *)(uintptr_t)text,
				       .len = strlen(text),
				       .author = "admin:1 (root)",
				       .why = "test"};
	if (confirm_s || percent)
		c.policy.trial = (struct trial){
			.state = TRIAL_OPEN,
			.until_ms = confirm_s ? c.at_ms + (int64_t)confirm_s * 1000 : 0,
			.percent = percent};
	is_done = false;
	app_put_policy(app, &c, false, take_policy, NULL);
	await(done);
	if (got.err)
		fail_msg("%s", got.diag.message);
	return got.version;
}

static uint32_t put(const char *text)
{
	return put_on_trial(text, 0, 0);
}

static void take_change(void *arg, int err, const struct change *c, const struct diag *d)
{
	(void)arg;
	got_err = err;
	got_change = *c;
	got_diag = *d;
	is_done = true;
}

static int end_trial(enum change_kind kind)
{
	struct change c = change_of(kind);

	is_done = false;
	app_change(app, &c, take_change, NULL);
	await(done);
	return got_err;
}

/* By the policy it is under. */
static bool may_open_db(uint32_t src)
{
	const struct model *m = app_model(app);
	const struct grant *g;
	struct arena a;
	bool may = false;
	size_t n;

	arena_init(&a, 1 << 20);
	assert_int_equal(
		engine_grants(model_force(m, model_device(m, src))->engine, src, &a, &g, &n), 0);
	for (size_t i = 0; i < n; i++)
		may = may || (g[i].src == src && g[i].dst == DB);
	arena_done(&a);
	return may;
}

static bool warns_of_memory(void)
{
	return got.n_warnings && strstr(got.warnings[0].message, "for want of memory");
}

/* --- memory --- */

static bool all_are_in(void)
{
	return app_model(app)->n_left_out == 0;
}

static void a_policy_holds_without_memory(void **state)
{
	struct diag d;

	(void)state;
	put(old_text);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
	assert_false(warns_of_memory() || app_left_out(app, &d));
	no_memory_for = SAM;
	assert_int_equal(put(new_text), 3);
	assert_int_equal(app_model(app)->force.row.version, 3);
	assert_true(may_open_db(ADA) && !may_open_db(SAM));
	assert_true(warns_of_memory());
	assert_non_null(strstr(got.warnings[0].message, "1 device has no access"));
	assert_int_equal(put(old_text), 4);
	assert_false(may_open_db(SAM) || may_open_db(ADA));
	assert_true(app_left_out(app, &d));
	no_memory_for = 0;
	await(all_are_in);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
	assert_false(app_left_out(app, &d));
}

static void a_trial_ends_without_memory(void **state)
{
	uint32_t version;

	(void)state;
	put(old_text);
	version = put_on_trial(new_text, 0, 99);
	no_memory_for = SAM;
	assert_int_equal(end_trial(CHANGE_POLICY_PROMOTE), 0);
	assert_int_equal(app_model(app)->force.row.version, version);
	assert_null(app_model(app)->canary.engine);
	assert_true(may_open_db(ADA) && !may_open_db(SAM));
	no_memory_for = ADA;
	put_on_trial(old_text, 0, 99);
	assert_false(may_open_db(ADA)); /* under neither */
	assert_int_equal(end_trial(CHANGE_POLICY_ABORT), 0);
	assert_null(app_model(app)->canary.engine);
	assert_false(may_open_db(ADA) || may_open_db(SAM));
	no_memory_for = 0;
	await(all_are_in);
	assert_true(may_open_db(ADA));
}

static bool is_four(void)
{
	return app_model(app)->force.row.version == 4;
}

static bool is_six(void)
{
	return app_model(app)->force.row.version == 6;
}

static void it_goes_back_once_without_memory(void **state)
{
	(void)state;
	put(old_text);
	assert_int_equal(put_on_trial(new_text, 60, 0), 3);
	no_memory_for = SAM;
	wall_shift_ms += 61000;
	await(is_four);
	assert_false(may_open_db(ADA) || may_open_db(SAM));
	no_memory_for = 0;
	await(all_are_in);
	assert_true(may_open_db(SAM));
	assert_int_equal(put(new_text), 5); /* it was not tried again */
}

/* --- clocks --- */

/* Set back while it waits, it ends by the clock that nobody sets; set back over a restart, it waits
 * no longer than was asked for. */
static void a_clock_that_is_set_back(void **state)
{
	(void)state;
	put(old_text);
	assert_int_equal(put_on_trial(new_text, 1, 0), 3);
	wall_shift_ms -= HOUR_MS;
	await(is_four);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
	assert_int_equal(put_on_trial(new_text, 1, 0), 5);
	stop();
	wall_shift_ms -= HOUR_MS;
	start_ok();
	assert_int_equal(app_model(app)->force.row.version, 5);
	await(is_six);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
}

/* --- at the start --- */

/* Past the application, which would refuse it: a text of an older version of the program. */
static uint32_t commit_text(const char *text, int64_t until_ms)
{
	struct change c = {.kind = CHANGE_POLICY_PUT,
			   .at_ms = clock_now().wall_ms,
			   .policy = {.text = (char *)(uintptr_t)text,
				      .len = strlen(text),
				      .author = "admin:1 (root)",
				      .why = "test"}};

	if (until_ms)
		c.policy.trial = (struct trial){.state = TRIAL_OPEN, .until_ms = until_ms};
	assert_int_equal(commit(&f, &c), 0);
	return c.policy.version;
}

/* What it would go back to cannot be used any more. Nothing is put in its place, what is in force
 * stays, and the controller serves: an admin can put another one. */
static void it_cannot_go_back_at_the_start(void **state)
{
	const struct policy_row *row;

	(void)state;
	stop();
	assert_int_equal(commit_text("[rule of another time]\n", 0), 2);
	assert_int_equal(commit_text(new_text, clock_now().wall_ms + 1000), 3);
	wall_shift_ms += HOUR_MS;
	start_ok();
	row = &app_model(app)->force.row;
	assert_int_equal(row->version, 3);
	assert_true(row->trial.state == TRIAL_OPEN && may_open_db(ADA));
	assert_int_equal(end_trial(CHANGE_POLICY_CONFIRM), -ZT_ESTATE); /* too late */
	assert_int_equal(put(old_text), 4);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
	stop();
	start_ok();
	assert_int_equal(app_model(app)->force.row.version, 4);
}

/* What is in force cannot be used: there is nothing to serve. */
static void a_policy_in_force_that_cannot_be_used(void **state)
{
	struct diag d = {0};

	(void)state;
	stop();
	commit_text("[rule of another time]\n", 0);
	assert_int_equal(start(&d), -ZT_EFORM);
	assert_non_null(strstr(d.message, "the stored policy cannot be used: "));
	assert_non_null(strstr(d.hint, "program version"));
}

static void it_goes_back_at_the_start(void **state)
{
	(void)state;
	stop();
	commit_text(old_text, 0);
	assert_int_equal(commit_text(new_text, clock_now().wall_ms + 1000), 3);
	wall_shift_ms += HOUR_MS;
	start_ok();
	assert_int_equal(app_model(app)->force.row.version, 4);
	assert_true(may_open_db(SAM) && !may_open_db(ADA));
}

/* --- many devices --- */

/* Those that invariants are looked at with are copied between the loop's turns. */
static void a_put_copies_devices_in_slices(void **state)
{
	static const char never[] = "[resource db]\non = tag:db\nports = tcp/5432\n"
				    "[rule all]\nwho = anyone\nwhat = resource:db\nwhy = w\n"
				    "[invariant i]\nfrom = device:sam\nto = resource:db\n"
				    "expect = never\nwhy = w\n";
	struct change c = change_of(CHANGE_POLICY_PUT);

	(void)state;
	slice = 1;
	slices = 0;
	put(new_text);
	assert_true(slices >= 3);
	c.policy = (struct policy_row){.text = (char *)(uintptr_t)never, .len = strlen(never)};
	slices = 0;
	is_done = false;
	app_put_policy(app, &c, true, take_policy, NULL);
	assert_false(is_done || slices); /* not while the caller waits */
	await(done);
	assert_int_equal(got.err, -ZT_EFORM);
	assert_true(slices >= 3);
}

static bool stepped(void)
{
	return steps > 0;
}

/* A controller that ends does not look through what is left of many invariants: nothing is put. */
static void the_end_does_not_wait_for_a_proof(void **state)
{
	struct change c = {.kind = CHANGE_POLICY_PUT, .at_ms = clock_now().wall_ms};
	uint32_t version = app_model(app)->force.row.version;
	struct buf b;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, new_text);
	for (int i = 0; i < 5000; i++)
		buf_printf(&b,
			   "[invariant i%d]\nfrom = user:eve@x.org\nto = resource:*\n"
			   "expect = never\nwhy = w\n",
			   i);
	c.policy = (struct policy_row){.text = (char *)(uintptr_t)buf_text(&b), .len = b.len};
	steps = 0;
	is_done = false;
	app_put_policy(app, &c, false, take_policy, NULL);
	await(stepped);
	assert_false(is_done);
	stop();
	assert_true(is_done);
	assert_int_equal(got.err, -ECANCELED);
	assert_true(steps < 5000);
	start_ok();
	assert_int_equal(app_model(app)->force.row.version, version);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_policy_holds_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(a_trial_ends_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_back_once_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clock_that_is_set_back, setup, teardown),
		cmocka_unit_test_setup_teardown(it_goes_back_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(it_cannot_go_back_at_the_start, setup, teardown),
		cmocka_unit_test_setup_teardown(a_policy_in_force_that_cannot_be_used, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_put_copies_devices_in_slices, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_does_not_wait_for_a_proof, setup, teardown),
	};

	return cmocka_run_group_tests_name("app_policy", tests, NULL, NULL);
}
