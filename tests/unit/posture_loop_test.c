/* The whole library in a loop: what is asked for, when changes are told, and what a report then
 * holds. */
#include "posture_tree.h"

#include <errno.h>

#include "ztnode/posture/posture.h"
#include "zt/txt.h"

enum { GUARD_MS = 20000 };

struct fixture {
	struct tree tree;
	struct loop *loop;
	struct posture *posture;
	unsigned changes; /* calls of changed */
	const char *name; /* stop when this fact reads so; NULL: stop at any change */
	const char *value;
	struct arena arena;
	struct fact *facts;
	size_t n_facts;
};

static void take_snapshot(struct fixture *x)
{
	arena_done(&x->arena);
	arena_init(&x->arena, 1 << 20);
	assert_int_equal(posture_snapshot(x->posture, &x->arena, &x->facts, &x->n_facts), 0);
}

static const struct fact *fact_of(struct fixture *x, const char *name)
{
	take_snapshot(x);
	for (size_t i = 0; i < x->n_facts; i++)
		if (!strcmp(x->facts[i].name, name))
			return &x->facts[i];
	fail_msg("%s is not in the snapshot", name);
	return NULL;
}

static bool is_so(struct fixture *x, const char *name, const char *value)
{
	const struct fact *f = fact_of(x, name);
	bool unknown = value[0] == '?';

	return f->state == (unknown ? FACT_UNKNOWN : FACT_KNOWN) &&
	       !strcmp(f->value, value + unknown);
}

static void expect(struct fixture *x, const char *name, const char *value, const char *says)
{
	if (!is_so(x, name, value))
		fail_msg("%s: %s is \"%s\", not \"%s\"", says, name, fact_of(x, name)->value,
			 value);
}

static void on_change(void *arg)
{
	struct fixture *x = arg;

	x->changes++;
	if (!x->name || is_so(x, x->name, x->value))
		loop_stop(x->loop, 0);
}

static void setup(struct fixture *x)
{
	char custom[1024];

	*x = (struct fixture){0};
	tree_init(&x->tree);
	tree_path(&x->tree, "posture.d", custom);
	x->loop = loop_new();
	assert_non_null(x->loop);
	x->posture = posture_new(x->loop, x->tree.root, custom, on_change, x);
	assert_non_null(x->posture);
}

static void teardown(struct fixture *x)
{
	arena_done(&x->arena);
	posture_free(x->posture);
	loop_free(x->loop);
	tree_done(&x->tree);
}

static void ask(struct fixture *x, const char *a, const char *b)
{
	const char *names[] = {a, b};

	assert_int_equal(posture_ask(x->posture, names, b ? 2 : 1), 0);
}

static void out_of_time(void *arg)
{
	loop_stop(arg, -1);
}

/* Runs until changed said that the fact reads so; returns in how many milliseconds. */
static int64_t await(struct fixture *x, const char *name, const char *value, const char *says)
{
	struct loop_timer *guard = loop_timer_new(x->loop, out_of_time, x->loop);
	int64_t start = clock_now().boot_ms;

	assert_non_null(guard);
	x->name = name;
	x->value = value;
	loop_timer_set(guard, start + GUARD_MS);
	if (loop_run(x->loop) != 0)
		fail_msg("%s: %s did not become %s, it is %s", says, name, value,
			 fact_of(x, name)->value);
	loop_timer_free(guard);
	return clock_now().boot_ms - start;
}

/* --- asking --- */

static void asked_facts_are_read_at_once(void **state)
{
	const char *names[] = {"os.id", "file.exists:/b", "hostname",
			       "os.id", "no.such",	  "file.exists:/a"};
	static const char *const sorted[] = {"file.exists:/a", "file.exists:/b", "hostname",
					     "no.such", "os.id"};
	struct fixture x;

	(void)state;
	setup(&x);
	tree_file(&x.tree, "etc/os-release", "ID=test\n");
	tree_file(&x.tree, "a", "");
	take_snapshot(&x);
	assert_int_equal(x.n_facts, 0);
	assert_int_equal(posture_ask(x.posture, names, 6), 0);
	take_snapshot(&x);
	assert_int_equal(x.n_facts, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_string_equal(x.facts[i].name, sorted[i]);
		assert_int_equal(x.facts[i].age_s, 0);
	}
	expect(&x, "os.id", "test", "read");
	expect(&x, "file.exists:/a", "true", "read");
	expect(&x, "file.exists:/b", "false", "read");
	expect(&x, "hostname", "?no host name", "missing");
	expect(&x, "no.such", "?no such fact", "unknown");
	assert_int_equal(posture_ask(x.posture, NULL, 0), 0);
	take_snapshot(&x);
	assert_int_equal(x.n_facts, 0);
	assert_int_equal(x.changes, 0); /* who asks is not told */
	teardown(&x);
}

static void a_refused_question_changes_nothing(void **state)
{
	char name[ZT_FACT_NAME_MAX + 2];
	const char *names[ZT_FACTS_MAX + 1];
	char text[ZT_FACTS_MAX][32];
	struct fixture x;

	(void)state;
	setup(&x);
	ask(&x, "os.family", NULL);
	for (size_t i = 0; i <= ZT_FACTS_MAX; i++)
		names[i] = "uptime";
	assert_int_equal(posture_ask(x.posture, names, ZT_FACTS_MAX + 1), -ZT_ELIMIT);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	names[0] = name;
	assert_int_equal(posture_ask(x.posture, names, 1), -ZT_ELIMIT);
	names[0] = "a\nb";
	assert_int_equal(posture_ask(x.posture, names, 1), -ZT_EFORM);
	names[0] = "";
	assert_int_equal(posture_ask(x.posture, names, 1), -ZT_EFORM);
	take_snapshot(&x);
	assert_int_equal(x.n_facts, 1);
	expect(&x, "os.family", "linux", "still asked for");
	for (size_t i = 0; i < ZT_FACTS_MAX; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "file.exists:/%03zu", i);
		names[i] = text[i];
	}
	assert_int_equal(posture_ask(x.posture, names, ZT_FACTS_MAX), 0);
	take_snapshot(&x);
	assert_int_equal(x.n_facts, ZT_FACTS_MAX);
	teardown(&x);
}

/* --- noticing --- */

typedef void (*step_fn)(const struct tree *t);

static void step_none(const struct tree *t)
{
	(void)t;
}
static void make_file(const struct tree *t)
{
	tree_file(t, "d/f", "one");
}
static void remove_file(const struct tree *t)
{
	tree_remove(t, "d/f");
}
static void replace_file(const struct tree *t)
{
	tree_replace(t, "d/f", "two");
}
static void rewrite_file(const struct tree *t)
{
	tree_file(t, "d/f", "three");
}
static void move_directory(const struct tree *t)
{
	char from[1024], to[1024];

	tree_path(t, "d", from);
	tree_path(t, "elsewhere", to);
	assert_int_equal(rename(from, to), 0);
}
static void make_deep(const struct tree *t)
{
	tree_file(t, "p/q/r/f", "");
}
static void make_link(const struct tree *t)
{
	tree_file(t, "target", "");
	tree_link(t, "l", "target");
}
static void remove_target(const struct tree *t)
{
	tree_remove(t, "target");
}
static void through_link(const struct tree *t)
{
	tree_dir(t, "real");
	tree_link(t, "l", "real");
}
static void make_in_real(const struct tree *t)
{
	tree_file(t, "real/f", "");
}
static void release_one(const struct tree *t)
{
	tree_file(t, "etc/os-release", "ID=one\nVERSION_ID=1\n");
}
static void release_two(const struct tree *t)
{
	tree_replace(t, "etc/os-release", "ID=two\nVERSION_ID=2\n");
}
static void ufw_off(const struct tree *t)
{
	tree_file(t, "etc/ufw/ufw.conf", "ENABLED=no\n");
}
static void ufw_on(const struct tree *t)
{
	tree_file(t, "etc/ufw/ufw.conf", "ENABLED=yes\n");
}
static void service_stopped(const struct tree *t)
{
	tree_file(t, "sys/fs/cgroup/cgroup.controllers", "pids\n");
	tree_dir(t, "sys/fs/cgroup/system.slice");
	tree_dir(t, "run");
	tree_dir(t, "run/systemd");
	tree_dir(t, "run/systemd/units");
}
static void service_start(const struct tree *t)
{
	tree_file(t, "sys/fs/cgroup/system.slice/s.service/cgroup.events", "populated 1\n");
	tree_link(t, "run/systemd/units/invocation:s.service", "0123");
}
static void service_started(const struct tree *t)
{
	service_stopped(t);
	service_start(t);
}
static void service_dies(const struct tree *t)
{
	tree_file(t, "sys/fs/cgroup/system.slice/s.service/cgroup.events", "populated 0\n");
}
static void package_one(const struct tree *t)
{
	tree_file(t, "var/lib/dpkg/status",
		  "Package: p\nStatus: install ok installed\nVersion: 1\n");
}
static void package_two(const struct tree *t)
{
	tree_replace(t, "var/lib/dpkg/status",
		     "Package: p\nStatus: install ok installed\nVersion: 2\n");
}
static void reboot_not_needed(const struct tree *t)
{
	tree_file(t, "etc/kernel/postinst.d/update-notifier", "");
	tree_dir(t, "run");
}
static void reboot_needed(const struct tree *t)
{
	tree_file(t, "run/reboot-required", "");
}

struct notice {
	step_fn before;
	const char *fact;
	const char *first;
	step_fn change;
	const char *then;
	const char *says;
};

#define SHA_ONE "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
#define SHA_TWO "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
#define SHA_THREE "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f"

static const struct notice notices[] = {
	{step_none, "file.exists:/d/f", "false", make_file, "true",
	 "a file and its directory come"},
	{make_file, "file.exists:/d/f", "true", remove_file, "false", "a file goes"},
	{make_file, "file.exists:/d/f", "true", move_directory, "false",
	 "its directory is moved away"},
	{step_none, "file.exists:/p/q/r/f", "false", make_deep, "true",
	 "three directories come at once"},
	{step_none, "file.exists:/l", "false", make_link, "true", "a link comes"},
	{make_link, "file.exists:/l", "true", remove_target, "false", "what a link leads to goes"},
	{through_link, "file.exists:/l/f", "false", make_in_real, "true",
	 "a file behind a linked directory"},
	{make_file, "file.sha256:/d/f", SHA_ONE, replace_file, SHA_TWO, "a file is replaced"},
	{make_file, "file.sha256:/d/f", SHA_ONE, rewrite_file, SHA_THREE, "a file is written over"},
	{make_file, "file.sha256:/d/f", SHA_ONE, remove_file, "?no file", "a hashed file goes"},
	{step_none, "file.sha256:/d/f", "?no file", make_file, SHA_ONE, "a file to hash comes"},
	{release_one, "os.id", "one", release_two, "two", "another system release"},
	{release_one, "os.version", "1", release_two, "2", "its version"},
	{ufw_off, "firewall.enabled", "false", ufw_on, "true", "ufw is turned on"},
	{service_stopped, "service.active:s", "false", service_start, "true", "a service starts"},
	{service_started, "service.active:s", "true", service_dies, "false",
	 "a service loses its processes"},
	{package_one, "package.version:p", "1", package_two, "2", "a package is upgraded"},
	{reboot_not_needed, "os.reboot_needed", "false", reboot_needed, "true",
	 "an update wants a restart"},
};

/* Without a watch each of these would take until the next poll, in 5 to 300 seconds; by far the
 * most of what a watched one takes here is the hash's or the package's own gap between readings. */
static void changes_are_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(notices) / sizeof(*notices); i++) {
		const struct notice *n = &notices[i];
		struct fixture x;

		setup(&x);
		n->before(&x.tree);
		ask(&x, n->fact, NULL);
		if (!is_so(&x, n->fact, n->first)) /* hashes come later */
			(void)await(&x, n->fact, n->first, n->says);
		n->change(&x.tree);
		(void)await(&x, n->fact, n->then, n->says);
		teardown(&x);
	}
}

/* The watch follows what it watches: away, back, and away again. */
static void a_file_may_come_and_go(void **state)
{
	int64_t worst = 0, took;
	struct fixture x;

	(void)state;
	setup(&x);
	ask(&x, "file.exists:/d/f", NULL);
	for (int i = 0; i < 5; i++) {
		make_file(&x.tree);
		took = await(&x, "file.exists:/d/f", "true", "made");
		worst = took > worst ? took : worst;
		remove_file(&x.tree);
		tree_remove(&x.tree, "d");
		took = await(&x, "file.exists:/d/f", "false", "removed");
		worst = took > worst ? took : worst;
	}
	assert_true(worst <
		    5000); /* far below any poll; on an idle machine at most the gap of 100 ms */
	teardown(&x);
}

/* Each step leaves the fact as it is, or has another file to watch from then on. */
static void the_watch_goes_with_the_path(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	ask(&x, "file.sha256:/d/f", "file.exists:/step");
	expect(&x, "file.sha256:/d/f", "?no file", "the first reading");
	tree_dir(&x.tree, "d");
	tree_file(&x.tree, "step", "");
	(void)await(&x, "file.exists:/step", "true", "the directory came and was looked at");
	make_file(&x.tree);
	(void)await(&x, "file.sha256:/d/f", SHA_ONE, "a file in a directory that came later");
	replace_file(&x.tree);
	(void)await(&x, "file.sha256:/d/f", SHA_TWO, "another file in its place");
	rewrite_file(&x.tree);
	(void)await(&x, "file.sha256:/d/f", SHA_THREE, "the other file written over");
	teardown(&x);
}

static void a_turn_tells_once(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	ask(&x, "file.exists:/a", "file.exists:/b");
	tree_file(&x.tree, "a", "");
	tree_file(&x.tree, "b", "");
	(void)await(&x, "file.exists:/a", "true", "two files came before the loop ran");
	assert_int_equal(x.changes, 1);
	expect(&x, "file.exists:/b", "true", "both are told together");
	teardown(&x);
}

/* Writing what was there already, and facts that nobody asks for any more, are no news. */
static void what_stays_the_same_is_not_told(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	release_one(&x.tree);
	ask(&x, "os.id", "file.exists:/not-asked-later");
	ask(&x, "os.id", "file.exists:/last");
	tree_file(&x.tree, "not-asked-later", "");
	tree_replace(&x.tree, "etc/os-release", "ID=one\nVERSION_ID=9\n");
	tree_file(&x.tree, "last", "");
	(void)await(&x, "file.exists:/last", "true", "the only news");
	assert_int_equal(x.changes, 1);
	teardown(&x);
}

/* A fact that changed while the question did is told, though its watch was a new one by then. */
static void nothing_is_lost_between_questions(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	ask(&x, "file.exists:/a", NULL);
	tree_file(&x.tree, "a", "");
	ask(&x, "file.exists:/a", "os.family");
	expect(&x, "file.exists:/a", "true", "read again");
	(void)await(&x, "file.exists:/a", "true", "told");
	teardown(&x);
}

static void what_moves_by_itself_is_no_news(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	tree_file(&x.tree, "proc/uptime", "100.00 1.00\n");
	ask(&x, "uptime", "file.exists:/a");
	expect(&x, "uptime", "100", "read when asked for");
	tree_file(&x.tree, "proc/uptime", "200.00 1.00\n");
	expect(&x, "uptime", "200", "read for each report");
	tree_file(&x.tree, "a", "");
	(void)await(&x, "file.exists:/a", "true", "this is news");
	assert_int_equal(x.changes, 1);
	teardown(&x);
}

/* The one poll short enough to wait for: every 5 s. */
static void processes_are_polled(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	tree_file(&x.tree, "proc/1/comm", "init\n");
	tree_file(&x.tree, "proc/1/cmdline", "init");
	ask(&x, "process.running:scanner", NULL);
	expect(&x, "process.running:scanner", "false", "not yet");
	tree_file(&x.tree, "proc/7/cmdline", "/usr/bin/scanner");
	(void)await(&x, "process.running:scanner", "true", "found by the next look");
	teardown(&x);
}

/* --- from elsewhere --- */

static void give(struct fixture *x, const char *name, enum fact_state state, const char *value)
{
	assert_int_equal(posture_set(x->posture, name, state, value), 0);
}

static void given_facts_take_their_place(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	give(&x, "machine.serial", FACT_KNOWN, "S1"); /* before anybody asks */
	ask(&x, "firewall.enabled", "machine.serial");
	expect(&x, "machine.serial", "S1", "given before it was asked for");
	expect(&x, "firewall.enabled", "?no firewall that can be seen without rights",
	       "not given yet");
	give(&x, "firewall.enabled", FACT_KNOWN, "true");
	(void)await(&x, "firewall.enabled", "true", "given");
	give(&x, "firewall.enabled", FACT_KNOWN, "false");
	(void)await(&x, "firewall.enabled", "false", "given otherwise");
	ufw_on(&x.tree);
	(void)await(&x, "firewall.enabled", "true", "seen, though given otherwise");
	ufw_off(&x.tree);
	(void)await(&x, "firewall.enabled", "false", "neither");
	give(&x, "firewall.enabled", FACT_UNKNOWN, "no answer");
	give(&x, "machine.serial", FACT_UNKNOWN, "no answer");
	(void)await(&x, "machine.serial", "?no answer", "neither knows: why the giver does not");
	expect(&x, "firewall.enabled", "false", "the own view is left");
	teardown(&x);
}

static void given_facts_are_bounded(void **state)
{
	char name[ZT_FACT_NAME_MAX + 2];
	char value[ZT_FACT_VALUE_MAX + 2];
	struct fixture x;

	(void)state;
	setup(&x);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(posture_set(x.posture, name, FACT_KNOWN, "1"), -ZT_ELIMIT);
	assert_int_equal(posture_set(x.posture, "a", FACT_KNOWN, value), -ZT_ELIMIT);
	for (int i = 0; i < 16; i++) {
		(void)snprintf(name, sizeof(name), "fact%d", i);
		give(&x, name, FACT_KNOWN, "1");
	}
	assert_int_equal(posture_set(x.posture, "fact16", FACT_KNOWN, "1"), -ZT_ELIMIT);
	give(&x, "fact0", FACT_KNOWN, "2"); /* one that is there already */
	ask(&x, "fact0", "os.family");
	expect(&x, "fact0", "?no such fact", "giving does not make a fact");
	give(&x, "fact15", FACT_KNOWN, "2");
	teardown(&x);
}

static void scripts_give_facts(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	tree_file(&x.tree, "posture.d/edr", "#!/bin/sh\necho edr=on\n");
	tree_chmod(&x.tree, "posture.d/edr", 0755);
	ask(&x, "custom.edr", "custom.other");
	expect(&x, "custom.edr", "?not run yet", "scripts run in the background");
	(void)await(&x, "custom.edr", "on", "and tell when they are done");
	expect(&x, "custom.other", "?no script gives it", "nobody gives this one");
	teardown(&x);
}

/* A snapshot that does not fit is an error, not a part of one. */
static void a_snapshot_has_a_limit(void **state)
{
	struct fact *facts = NULL;
	struct arena small;
	struct fixture x;
	size_t n = 7;

	(void)state;
	setup(&x);
	ask(&x, "os.family", "node.version");
	arena_init(&small, sizeof(struct fact));
	assert_int_equal(posture_snapshot(x.posture, &small, &facts, &n), -ENOMEM);
	assert_null(facts);
	assert_int_equal(n, 7);
	arena_done(&small);
	teardown(&x);
}

/* While a long file is hashed and a script runs: nothing may be left (run under a leak checker to
 * see). */
static void it_can_be_freed_at_any_time(void **state)
{
	char full[1024];
	struct fixture x;

	(void)state;
	setup(&x);
	tree_file(&x.tree, "big", "");
	tree_path(&x.tree, "big", full);
	assert_int_equal(truncate(full, 32 << 20), 0);
	tree_file(&x.tree, "posture.d/long", "#!/bin/sh\nexec sleep 1000\n");
	tree_chmod(&x.tree, "posture.d/long", 0755);
	tree_file(&x.tree, "posture.d/quick", "#!/bin/sh\necho a=1\n");
	tree_chmod(&x.tree, "posture.d/quick", 0755);
	ask(&x, "file.sha256:/big", "custom.a");
	expect(&x, "file.sha256:/big", "?not read yet", "in work");
	(void)await(&x, "custom.a", "1", "the loop has run");
	ask(&x, "file.sha256:/big", "custom.a");
	teardown(&x);
}

static void a_root_that_is_not_there_is_an_error(void **state)
{
	struct loop *l = loop_new();

	(void)state;
	assert_non_null(l);
	assert_null(posture_new(l, "/nothing/of/this/name", NULL, on_change, NULL));
	assert_int_equal(errno, ENOENT);
	posture_free(NULL);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_facts_are_read_at_once),
		cmocka_unit_test(a_refused_question_changes_nothing),
		cmocka_unit_test(changes_are_noticed),
		cmocka_unit_test(a_file_may_come_and_go),
		cmocka_unit_test(the_watch_goes_with_the_path),
		cmocka_unit_test(a_turn_tells_once),
		cmocka_unit_test(what_stays_the_same_is_not_told),
		cmocka_unit_test(nothing_is_lost_between_questions),
		cmocka_unit_test(what_moves_by_itself_is_no_news),
		cmocka_unit_test(processes_are_polled),
		cmocka_unit_test(given_facts_take_their_place),
		cmocka_unit_test(given_facts_are_bounded),
		cmocka_unit_test(scripts_give_facts),
		cmocka_unit_test(a_snapshot_has_a_limit),
		cmocka_unit_test(it_can_be_freed_at_any_time),
		cmocka_unit_test(a_root_that_is_not_there_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
