/* Posture scripts: what their output means, how they run, and which of them may. */
#include "posture_tree.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ztnode/posture/custom.h"
#include "ztnode/posture/custom_parse.h"
#include "ztnode/posture/custom_run.h"

enum { GUARD_MS = 20000, LIMIT_MS = 15000 };

/* --- output --- */

#define NAME63 "a23456789012345678901234567890123456789012345678901234567890123"
#define VALUE64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define VALUE256 VALUE64 VALUE64 VALUE64 VALUE64

struct output {
	const char *text;
	size_t n;	  /* 0: its length as a string */
	const char *name; /* of the last fact, NULL: the output is refused */
	const char *value;
	size_t facts;
	const char *says;
};

static const struct output outputs[] = {
	{"edr=on\n", 0, "edr", "on", 1, "one fact"},
	{"a=1\nb=2\n", 0, "b", "2", 2, "two facts"},
	{"a=1", 0, "a", "1", 1, "without a line end"},
	{"\n\na=1\n\n", 0, "a", "1", 1, "empty lines are skipped"},
	{"a=x=y\n", 0, "a", "x=y", 1, "a value may hold ="},
	{"a= two words \n", 0, "a", " two words ", 1, "blanks belong to the value"},
	{"a.b-c_1=gr\xc3\xbcn\n", 0, "a.b-c_1", "gr\xc3\xbcn", 1,
	 "all that a name may hold; UTF-8"},
	{NAME63 "=" VALUE256 "\n", 0, NAME63, VALUE256, 1, "as long as both may be"},
	{"x" NAME63 "=1\n", 0, NULL, NULL, 0, "a name too long"},
	{"a=" VALUE256 "x\n", 0, NULL, NULL, 0, "a value too long"},
	{"a\n", 0, NULL, NULL, 0, "no ="},
	{"=1\n", 0, NULL, NULL, 0, "no name"},
	{"a=\n", 0, NULL, NULL, 0, "no value"},
	{"A=1\n", 0, NULL, NULL, 0, "capitals"},
	{"a b=1\n", 0, NULL, NULL, 0, "a blank in the name"},
	{"a=1\na=1\n", 0, NULL, NULL, 0, "a name twice"},
	{"a=1\nwarning: disk full\n", 0, NULL, NULL, 0, "a message among the facts"},
	{"a=\x1b[2J\n", 0, NULL, NULL, 0, "an escape code"},
	{"a=1\r\n", 0, NULL, NULL, 0, "the other system's line ends"},
	{"a=\xff\n", 0, NULL, NULL, 0, "no UTF-8"},
	{"a=1\0b=2\n", 8, NULL, NULL, 0, "a NUL in the value"},
	{"a\0=1\n", 5, NULL, NULL, 0, "a NUL in the name"},
};

static void output_is_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(outputs) / sizeof(*outputs); i++) {
		const struct output *o = &outputs[i];
		struct custom_fact facts[CUSTOM_FACTS_MAX];
		struct diag d = {0};
		size_t n = 99;
		int r = custom_parse(o->text, o->n ? o->n : strlen(o->text), facts, &n, &d);

		if (!o->name) {
			if (r != -ZT_EFORM || n != 99 || !d.message[0])
				fail_msg("%s: %d, \"%s\"", o->says, r, d.message);
		} else if (r || n != o->facts || strcmp(facts[n - 1].name, o->name) != 0 ||
			   strcmp(facts[n - 1].value, o->value) != 0)
			fail_msg("%s: %d, \"%s\"", o->says, r, d.message);
	}
}

static void output_has_limits(void **state)
{
	struct custom_fact facts[CUSTOM_FACTS_MAX];
	char text[CUSTOM_FACTS_MAX * 8 + 64];
	char *big = calloc(1, CUSTOM_OUTPUT_MAX + 1);
	int len = 0;
	size_t n = 0;

	(void)state;
	assert_int_equal(custom_parse("", 0, facts, &n, NULL), 0);
	assert_int_equal(n, 0);
	for (int i = 0; i < CUSTOM_FACTS_MAX; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "f%d=1\n", i);
	assert_int_equal(custom_parse(text, (size_t)len, facts, &n, NULL), 0);
	assert_int_equal(n, CUSTOM_FACTS_MAX);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "more=1\n");
	assert_int_equal(custom_parse(text, (size_t)len, facts, &n, NULL), -ZT_ELIMIT);
	assert_non_null(big);
	memset(big, '\n', CUSTOM_OUTPUT_MAX + 1);
	assert_int_equal(custom_parse(big, CUSTOM_OUTPUT_MAX, facts, &n, NULL), 0);
	assert_int_equal(custom_parse(big, CUSTOM_OUTPUT_MAX + 1, facts, &n, NULL), -ZT_ELIMIT);
	free(big);
}

/* --- one run --- */

struct result {
	struct loop *loop;
	char failure[64]; /* "" when there was none */
	char out[CUSTOM_OUTPUT_MAX + 2];
	size_t n;
};

static void out_of_time(void *arg)
{
	loop_stop(arg, -1);
}

/* Fails the test when nothing stops the loop. */
static void run_loop(struct loop *l)
{
	struct loop_timer *guard = loop_timer_new(l, out_of_time, l);

	assert_non_null(guard);
	loop_timer_set(guard, clock_now().boot_ms + GUARD_MS);
	assert_int_equal(loop_run(l), 0);
	loop_timer_free(guard);
}

static void take_result(void *arg, const char *failure, const char *out, size_t n)
{
	struct result *r = arg;

	(void)snprintf(r->failure, sizeof(r->failure), "%s", failure ? failure : "");
	memcpy(r->out, out, n);
	r->out[n] = '\0';
	r->n = n;
	loop_stop(r->loop, 0);
}

static void run_script(const char *text, int64_t limit_ms, struct result *ret)
{
	struct custom_run *run;
	char full[1024];
	struct tree t;

	tree_init(&t);
	tree_file(&t, "script", text);
	tree_chmod(&t, "script", 0755);
	tree_path(&t, "script", full);
	ret->loop = loop_new();
	assert_non_null(ret->loop);
	run = custom_run_new(ret->loop, full, limit_ms, take_result, ret);
	assert_non_null(run);
	run_loop(ret->loop);
	custom_run_free(run);
	loop_free(ret->loop);
	tree_done(&t);
}

struct run_row {
	const char *script;
	const char *out; /* NULL: any */
	const char *failure;
	const char *says;
};

static const struct run_row runs[] = {
	{"#!/bin/sh\necho a=1\n", "a=1\n", "", "what it prints is taken"},
	{"#!/bin/sh\necho a=1 >&2\n", "", "", "what it prints as errors is not"},
	{"#!/bin/sh\nexit 3\n", "", "the script failed", "it says that it failed"},
	{"#!/bin/sh\necho a=1; kill -9 $$\n", NULL, "the script was killed",
	 "it does not end by itself"},
	{"#!/nothing/of/this/name\n", "", "the script cannot be run", "its interpreter is missing"},
	{"\x7f"
	 "ELF junk",
	 "", "the script cannot be run", "it is no program"},
	{"#!/bin/sh\nexec >&-\nexit 0\n", "", "", "it closes its output and goes on"},
	{"#!/bin/sh\nread x; echo got=$x.\n", "got=.\n", "", "nothing comes to its input"},
	{"#!/bin/sh\npwd\n", "/\n", "", "it starts in /"},
	{"#!/bin/sh\necho ${ZT_SECRET:-none} $PATH\n",
	 "none /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n", "",
	 "it gets no variables of ours"},
	{"#!/bin/sh\n[ -e /proc/$$/fd/50 ] || echo a=1\n", "a=1\n", "", "it gets no files of ours"},
	{"#!/bin/sh\ngrep -E '^(NoNewPrivs|SigBlk|CapEff)' /proc/self/status | tr -d '\\t\\n'\n",
	 "SigBlk:0000000000000000CapEff:0000000000000000NoNewPrivs:1", "",
	 "no rights and no way to more"},
	/* 32 and 33 are the C library's own: whoever started us may have left them ignored, and
	   nobody can change that */
	{"#!/bin/sh\ni=$(sed -n 's/^SigIgn:\\t//p' /proc/self/status)\n"
	 "[ $((0x$i & ~0x180000000)) = 0 ] && echo a=1\n",
	 "a=1\n", "", "no signals of ours"},
	{"#!/bin/sh\n[ $(id -u) != 0 ] && echo a=1\n", "a=1\n", "", "never root"},
	{"#!/bin/sh\n[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo a=1\n", "a=1\n", "",
	 "in a session of its own"},
	{"#!/bin/sh\nhead -c 65536 /dev/zero | tr '\\0' x\n", NULL, "", "as much as it may print"},
	{"#!/bin/sh\nhead -c 65537 /dev/zero | tr '\\0' x\n", NULL, "too much output",
	 "one byte more"},
	{"#!/bin/sh\nexec yes\n", NULL, "too much output", "without end"},
	{"#!/bin/sh\nsleep 1000 &\necho a=1\n", "a=1\n", "",
	 "it is over when it ends, not what it left"},
};

static void scripts_run(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct result *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	assert_int_equal(dup2(fd, 50), 50); /* without O_CLOEXEC, as a library might leave it */
	assert_int_equal(setenv("ZT_SECRET", "planted", 1), 0);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
		run_script(runs[i].script, LIMIT_MS, r);
		if (strcmp(r->failure, runs[i].failure) != 0 ||
		    (runs[i].out && strcmp(r->out, runs[i].out) != 0))
			fail_msg("%s: \"%s\", printed \"%.200s\"", runs[i].says, r->failure,
				 r->out);
	}
	close(50);
	close(fd);
	free(r);
}

/* What a script starts and leaves behind dies with it: waited for here, as the reaper of orphans.
 */
static void nothing_is_left_behind(void **state)
{
	static const char *const scripts[] = {
		"#!/bin/sh\nsleep 1000 & echo $!\nwait\n",   /* over time */
		"#!/bin/sh\nsleep 1000 & echo $!\nexit 0\n", /* at its end */
	};
	struct result *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	for (size_t i = 0; i < 2; i++) {
		int status = 0;
		pid_t pid;

		run_script(scripts[i], i == 0 ? 300 : LIMIT_MS, r);
		assert_string_equal(r->failure, i == 0 ? "the script took too long" : "");
		if (!r->n) /* it was too slow to start anything */
			continue;
		pid = (pid_t)strtol(r->out, NULL, 10);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	free(r);
}

/* --- the directory --- */

struct fixture {
	struct tree tree;
	struct loop *loop;
	struct custom *custom;
	struct loop_timer *again;
	const char *name; /* stop when this fact reads so */
	const char *value;
	struct fact fact; /* as last read */
};

static bool is_reached(struct fixture *x)
{
	bool unknown = x->value[0] == '?';

	(void)custom_read(x->custom, x->name, &x->fact);
	return x->fact.state == (unknown ? FACT_UNKNOWN : FACT_KNOWN) &&
	       !strcmp(x->fact.value, x->value + unknown);
}

static void on_change(void *arg)
{
	struct fixture *x = arg;

	if (x->name && is_reached(x))
		loop_stop(x->loop, 0);
}

static void setup(struct fixture *x)
{
	*x = (struct fixture){0};
	tree_init(&x->tree);
	x->loop = loop_new();
	assert_non_null(x->loop);
	x->custom = custom_new(x->loop, x->tree.root, geteuid(), on_change, x);
	assert_non_null(x->custom);
}

static void teardown(struct fixture *x)
{
	custom_free(x->custom);
	loop_free(x->loop);
	tree_done(&x->tree);
}

/* Put in place whole, as it may be running. */
static void script(struct fixture *x, const char *name, const char *body)
{
	char text[512], aside[64], from[1024], to[1024];

	(void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", body);
	(void)snprintf(aside, sizeof(aside), ".new-%s", name);
	tree_file(&x->tree, aside, text);
	tree_chmod(&x->tree, aside, 0755);
	tree_path(&x->tree, aside, from);
	tree_path(&x->tree, name, to);
	assert_int_equal(rename(from, to), 0);
}

static void run_again(void *arg)
{
	struct fixture *x = arg;

	custom_switch(x->custom, false);
	custom_switch(x->custom, true);
	loop_timer_set(x->again, loop_now(x->loop).boot_ms + 200);
}

/* All scripts once more, until the fact reads so. One that still ran is not started again, so more
 * than once. */
static void await(struct fixture *x, const char *name, const char *value)
{
	x->name = name;
	x->value = value;
	x->again = loop_timer_new(x->loop, run_again, x);
	assert_non_null(x->again);
	run_again(x);
	run_loop(x->loop);
	loop_timer_free(x->again);
}

static void expect(struct fixture *x, const char *name, const char *value)
{
	x->name = name;
	x->value = value;
	if (!is_reached(x))
		fail_msg("%s: %u \"%s\", not \"%s\"", name, x->fact.state, x->fact.value, value);
}

static void facts_come_from_scripts(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, "edr", "echo edr=on; echo edr.version=7.2");
	script(&x, "50-screen.sh", "echo screenlock=yes");
	expect(&x, "edr", "?not run yet");
	await(&x, "edr", "on");
	expect(&x, "edr.version", "7.2");
	await(&x, "screenlock", "yes");
	expect(&x, "other", "?no script gives it");
	teardown(&x);
}

static void more_scripts_than_run_at_once(void **state)
{
	struct fixture x;
	char name[16], body[32];

	(void)state;
	setup(&x);
	for (int i = 0; i < 3 * CUSTOM_PARALLEL; i++) {
		(void)snprintf(name, sizeof(name), "s%d", i);
		(void)snprintf(body, sizeof(body), "echo f%d=%d", i, i);
		script(&x, name, body);
	}
	await(&x, "nobody", "?no script gives it"); /* said only when all have run */
	expect(&x, "f0", "0");
	expect(&x, "f11", "11");
	teardown(&x);
}

/* What held before a failure does not hold after it. */
static void a_failure_makes_its_facts_unknown(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, "good", "echo good=1");
	script(&x, "s", "echo a=1");
	await(&x, "good", "1");
	await(&x, "a", "1");
	script(&x, "s", "echo a=1; exit 1");
	await(&x, "a", "?the script failed");
	expect(&x, "good", "1");
	script(&x, "s", "echo a=2");
	await(&x, "a", "2");
	script(&x, "s", "echo a=2; echo what is this");
	await(&x, "a", "?line 2: not name=value");
	tree_chmod(&x.tree, "s", 0644);
	await(&x, "a", "?not executable");
	tree_chmod(&x.tree, "s", 0775);
	await(&x, "a", "?others than its owner can write it");
	tree_chmod(&x.tree, "s", 0757);
	await(&x, "a", "?others than its owner can write it");
	tree_remove(&x.tree, "s");
	await(&x, "a", "?no script gives it");
	expect(&x, "good", "1");
	teardown(&x);
}

static void two_scripts_cannot_give_one_fact(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, "one", "echo a=1");
	script(&x, "two", "echo a=1");
	await(&x, "a", "?given by two scripts");
	tree_remove(&x.tree, "one");
	await(&x, "a", "1");
	teardown(&x);
}

/* Each of these would print a=1 if it ran. */
static void what_others_can_change_does_not_run(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, ".hidden", "echo a=1");
	script(&x, "backup~", "echo a=1");
	script(&x, "white space", "echo a=1");
	script(&x, "writable", "echo a=1");
	tree_chmod(&x.tree, "writable", 0777);
	tree_dir(&x.tree, "directory");
	tree_link(&x.tree, "link", ".hidden");
	script(&x, "last", "echo last=1");
	await(&x, "last", "1");
	await(&x, "a", "?no script gives it");
	tree_chmod(&x.tree, "writable", 0755);
	await(&x, "a", "1"); /* the same one runs when nobody else can write it */
	assert_int_equal(chmod(x.tree.root, 0775), 0);
	await(&x, "b", "?others than its owner can write it");
	expect(&x, "a", "?others than its owner can write it");
	teardown(&x);
}

static void the_owner_must_be_the_right_one(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, "s", "echo a=1");
	custom_free(x.custom);
	x.custom = custom_new(x.loop, x.tree.root, geteuid() + 1, on_change, &x);
	await(&x, "a", "?not owned by this user");
	teardown(&x);
}

static void no_directory_is_no_trouble(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	custom_free(x.custom);
	x.custom = custom_new(x.loop, "/nothing/of/this/name", geteuid(), on_change, &x);
	await(&x, "a", "?no script gives it");
	teardown(&x);
}

/* The end of the program does not wait for a script. */
static void freeing_ends_what_runs(void **state)
{
	struct fixture x;

	(void)state;
	setup(&x);
	script(&x, "long", "exec sleep 1000");
	script(&x, "quick", "echo a=1");
	await(&x, "a", "1");
	teardown(&x);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, dead or alive */
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_parsed),
		cmocka_unit_test(output_has_limits),
		cmocka_unit_test(scripts_run),
		cmocka_unit_test(facts_come_from_scripts),
		cmocka_unit_test(more_scripts_than_run_at_once),
		cmocka_unit_test(a_failure_makes_its_facts_unknown),
		cmocka_unit_test(two_scripts_cannot_give_one_fact),
		cmocka_unit_test(what_others_can_change_does_not_run),
		cmocka_unit_test(the_owner_must_be_the_right_one),
		cmocka_unit_test(no_directory_is_no_trouble),
		cmocka_unit_test(freeing_ends_what_runs),
		cmocka_unit_test(nothing_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
