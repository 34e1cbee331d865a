/* ztctl without a controller: command lines, and what is printed of the controller's JSON, hostile
 * texts among it. ztctl's files are no archive, so they are part of this one. */
#include "tests/unit/unit.h"

#include "controller/ctl/args.c"
#include "controller/ctl/client.c"
#include "controller/ctl/explain.c"
#include "controller/ctl/policy.c"
#include "controller/ctl/policy_can.c"
#include "controller/ctl/preview.c"
#include "controller/ctl/print.c"
#include "controller/ctl/run.c"
#include "controller/ctl/status.c"

/* --- command lines --- */

static const struct ctl_option own[] = {
	{"user", "EMAIL", "", false},
	{"tag", "NAME", "", true},
	{"approve", NULL, "", false},
	{NULL, NULL, NULL, false},
};

static const struct ctl_option global[] = {
	{"json", NULL, "", false},
	{"admin", "FILE", "", false},
	{"help", NULL, "", false},
	{NULL, NULL, NULL, false},
};

/* What was understood, as one text: words, then options. */
static const char *parsed(char *const argv[], bool signed_words)
{
	static char out[512];
	struct ctl_args a;
	struct diag d = {0};
	struct buf b;

	buf_init(&b, out, sizeof(out));
	if (ctl_args_parse(argv, own, global, signed_words, &a, &d) < 0) {
		buf_printf(&b, "! %s | %s", d.message, d.hint);
		return buf_text(&b);
	}
	for (size_t i = 0; i < a.n_words; i++)
		buf_printf(&b, "%s ", a.words[i]);
	for (size_t i = 0; i < a.n_given; i++)
		buf_printf(&b, "[%s=%s]", a.given[i].option->name,
			   a.given[i].value ? a.given[i].value : "");
	return buf_text(&b);
}

static void test_args(void **state)
{
	static const struct {
		const char *says;
		char *argv[8];
		bool signed_words;
		const char *want;
	} rows[] = {
		{"nothing is fine", {NULL}, false, ""},
		{"options before and after words",
		 {"--json", "a", "--user", "x", "b"},
		 false,
		 "a b [json=][user=x]"},
		{"a value with =", {"--user=x=y"}, false, "[user=x=y]"},
		{"an empty value is a value", {"--user="}, false, "[user=]"},
		{"a value may look like an option", {"--user", "--json"}, false, "[user=--json]"},
		{"repeated where it may", {"--tag", "a", "--tag=b"}, false, "[tag=a][tag=b]"},
		{"and not where it may not",
		 {"--user", "a", "--user", "b"},
		 false,
		 "! --user stands twice | "},
		{"nor a flag", {"--json", "--json"}, false, "! --json stands twice | "},
		{"a value is missing", {"--user"}, false, "! --user needs EMAIL | "},
		{"a flag has none", {"--approve=yes"}, false, "! --approve takes no value | "},
		{"mistyped",
		 {"--usre", "x"},
		 false,
		 "! unknown option '--usre' | did you mean --user?"},
		{"nothing like it", {"--zzzzzzzzz"}, false, "! unknown option '--zzzzzzzzz' | "},
		{"no abbreviations: they would change meaning",
		 {"--use", "x"},
		 false,
		 "! unknown option '--use' | did you mean --user?"},
		{"short options are none", {"-x"}, false, "! unknown option '-x' | "},
		{"but for help", {"-h"}, false, "[help=]"},
		{"- is stdin", {"-"}, false, "- "},
		{"-- ends the options", {"--", "--json", "-x"}, false, "--json -x "},
		{"tags given and taken",
		 {"dev", "+a", "-b", "--json", "-h"},
		 true,
		 "dev +a -b -h [json=]"},
		{"only where they are meant", {"dev", "-b"}, false, "! unknown option '-b' | "},
		{"two dashes are an option there too",
		 {"dev", "--b"},
		 true,
		 "! unknown option '--b' | "},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		if (strcmp(parsed(rows[i].argv, rows[i].signed_words), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].says,
				 parsed(rows[i].argv, rows[i].signed_words));
}

static void test_args_bounds(void **state)
{
	char *many[CTL_WORDS_MAX + 2] = {0}, *tags[2 * CTL_GIVEN_MAX + 3] = {0};
	struct ctl_args a;
	struct diag d = {0};

	(void)state;
	for (size_t i = 0; i < CTL_WORDS_MAX; i++)
		many[i] = "w";
	assert_int_equal(ctl_args_parse(many, own, global, false, &a, &d), 0);
	assert_int_equal(a.n_words, CTL_WORDS_MAX);
	many[CTL_WORDS_MAX] = "w";
	assert_int_equal(ctl_args_parse(many, own, global, false, &a, &d), -EINVAL);
	for (size_t i = 0; i <= CTL_GIVEN_MAX; i++) {
		tags[2 * i] = "--tag";
		tags[2 * i + 1] = "x";
	}
	assert_int_equal(ctl_args_parse(tags, own, global, false, &a, &d), -EINVAL);
	tags[2 * CTL_GIVEN_MAX] = NULL;
	assert_int_equal(ctl_args_parse(tags, own, global, false, &a, &d), 0);
	assert_int_equal(a.n_given, CTL_GIVEN_MAX);
}

/* --- printing --- */

struct run {
	struct ctl c;
	char *out, *err;
	size_t n_out, n_err;
};

static int setup(void **state)
{
	struct run *r = calloc(1, sizeof(*r));

	r->c.out = open_memstream(&r->out, &r->n_out);
	r->c.err = open_memstream(&r->err, &r->n_err);
	arena_init(&r->c.arena, 1 << 20);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct run *r = *state;

	fclose(r->c.out);
	fclose(r->c.err);
	free(r->out);
	free(r->err);
	arena_done(&r->c.arena);
	free(r);
	return 0;
}

static void flush(struct run *r)
{
	fflush(r->c.out);
	fflush(r->c.err);
}

static json_t *from_text(const char *text)
{
	json_error_t e;
	json_t *j = json_loads(text, JSON_DECODE_ANY, &e);

	if (!j)
		fail_msg("%s: %s", e.text, text);
	return j;
}

static unsigned lines_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* Nothing that a terminal obeys: C0 but newline, DEL, C1 as UTF-8. */
static void assert_harmless(const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		assert_true(*p >= 0x20 || *p == '\n');
		assert_true(*p != 0x7f);
		assert_false(p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
	}
}

#define HOSTILE "\\u001b[31m\\u001b]0;owned\\u0007\\u009b2Jx\\r\\nroot\\u007f"

static const struct ctl_column two[] = {{"NAME", "name", CTL_TEXT}, {"STATE", "state", CTL_STATE}};

static void test_table_of_hostile_names(void **state)
{
	struct run *r = *state;
	json_t *rows = from_text(
		"[{\"name\":\"" HOSTILE "\",\"state\":\"" HOSTILE "\"},{\"name\":\"ok\"},"
		"{\"name\":[\"" HOSTILE "\",7,true,null],\"state\":{\"name\":\"" HOSTILE "\"}}]");

	assert_int_equal(ctl_print_table(&r->c, two, 2, rows), 0);
	flush(r);
	assert_harmless(r->out);
	assert_int_equal(lines_of(r->out), 4); /* heading and three: no name makes a line */
	assert_non_null(strstr(r->out, "NAME"));
	json_decref(rows);
}

static void test_table_colours_only_states(void **state)
{
	struct run *r = *state;
	json_t *rows = from_text(
		"[{\"name\":\"active\",\"state\":\"active\"},{\"name\":\"b\",\"state\":\"odd\"}]");

	r->c.colours = true;
	assert_int_equal(ctl_print_table(&r->c, two, 2, rows), 0);
	flush(r);
	assert_non_null(strstr(r->out, "\033[32mactive"));
	assert_null(strstr(strstr(r->out, "\033[32m") + 1, "\033[32m"));
	json_decref(rows);
}

static void test_empty_table_prints_no_line(void **state)
{
	struct run *r = *state;
	json_t *rows = json_array();

	assert_int_equal(ctl_print_table(&r->c, two, 2, rows), 0);
	flush(r);
	assert_int_equal(r->n_out, 0);
	assert_string_equal(r->err, "none\n");
	json_decref(rows);
}

static void test_members(void **state)
{
	static const struct {
		const char *json, *want;
	} rows[] = {
		{"{\"k\":\"text\"}", "text"},
		{"{\"k\":-7}", "-7"},
		{"{\"k\":12.34}", "12.3"},
		{"{\"k\":true}", "yes"},
		{"{\"k\":false}", "no"},
		{"{\"k\":null}", ""},
		{"{}", ""},
		{"{\"k\":[]}", ""},
		{"{\"k\":[\"a\",\"b\"]}", "a, b"},
		{"{\"k\":{\"name\":\"n\"}}", "n"},
		{"{\"k\":{\"other\":1}}", ""},
		{"{\"k\":\"\\u001b\"}", "?"},
	};
	struct run *r = *state;

	for (size_t i = 0; i < N_OF(rows); i++) {
		json_t *j = from_text(rows[i].json);

		assert_string_equal(ctl_member(&r->c, j, "k"), rows[i].want);
		json_decref(j);
	}
	assert_string_equal(ctl_member(&r->c, NULL, "k"), "");
}

static void test_json_keeps_order_and_terminals(void **state)
{
	struct run *r = *state;
	json_t *j = from_text("{\"z\":1,\"a\":\"\\u009b\\u00e9\\u001b\"}");

	ctl_print_json(&r->c, j);
	flush(r);
	assert_string_equal(r->out, "{\n  \"z\": 1,\n  \"a\": \"\xc2\x9b\xc3\xa9\\u001B\"\n}\n");
	rewind(r->c.out);
	r->c.terminal = true;
	ctl_print_json(&r->c, j);
	flush(r);
	assert_harmless(r->out);
	assert_non_null(strstr(r->out, "\\u009B\\u00E9\\u001B"));
	json_decref(j);
}

static void test_explanations(void **state)
{
	static const struct {
		const char *says, *json, *want;
	} rows[] = {
		{"allowed",
		 "{\"allowed\":true,\"rule\":\"clerks\",\"why\":\"They pay\",\"nearest\":null}",
		 "ALLOWED by rule clerks: They pay\n"},
		{"no rule near", "{\"allowed\":false,\"rule\":null,\"nearest\":null}",
		 "DENIED: no rule comes near it\n"},
		{"conditions",
		 "{\"allowed\":false,\"nearest\":{\"rule\":\"clerks\",\"failed\":[{\"condition\":"
		 "\"posture:x: "
		 "disk.encrypted == true\",\"is\":\"false\",\"hint\":\"encrypt "
		 "it\"},{\"condition\":\"when\"}]}}",
		 "DENIED: the nearest rule is clerks, which fails by\n  posture:x: disk.encrypted "
		 "== true (is false)\n"
		 "    hint: encrypt it\n  when\n"},
		{"what is not clearly allowed is denied", "{\"allowed\":\"true\",\"rule\":\"x\"}",
		 "DENIED: no rule comes near it\n"},
		{"nor is nothing", "{}", "DENIED: no rule comes near it\n"},
	};

	for (size_t i = 0; i < N_OF(rows); i++) {
		struct run *r;
		json_t *j = from_text(rows[i].json);
		void *s;

		(void)state;
		setup(&s);
		r = s;
		ctl_print_explanation(&r->c, j);
		flush(r);
		if (strcmp(r->out, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].says, r->out);
		json_decref(j);
		teardown(&s);
	}
}

static void test_problems_with_their_places(void **state)
{
	struct run *r = *state;
	json_t *j = from_text("{\"problems\":[{\"file\":\"policy\",\"line\":3,\"column\":9,"
			      "\"message\":\"no group 'x'\","
			      "\"hint\":\"did you mean y?\"},{\"line\":4,\"message\":\"odd" HOSTILE
			      "\"},"
			      "{\"message\":\"none at all\"}]}");

	assert_int_equal(print_problems(&r->c, "a\033b.ini", j), ZT_EXIT_FAILED);
	assert_int_equal(print_problems(&r->c, "-", j), ZT_EXIT_FAILED);
	flush(r);
	assert_harmless(r->err);
	assert_true(txt_starts(r->err,
			       "a?b.ini:3:9: no group 'x'\nhint: did you mean y?\na?b.ini:4: odd"));
	assert_non_null(strstr(r->err, "\na?b.ini: none at all\n<stdin>:3:9: no group"));
	assert_int_equal(r->n_out, 0);
	json_decref(j);
}

static void test_warnings_say_so(void **state)
{
	struct run *r = *state;
	json_t *j = from_text("[{\"line\":3,\"column\":9,\"message\":\"odd" HOSTILE
			      "\",\"hint\":\"mend it\"}]");

	print_list(&r->c, "warning: ", "-", j);
	flush(r);
	assert_harmless(r->err);
	assert_true(txt_starts(r->err, "warning: <stdin>:3:9: odd"));
	assert_non_null(strstr(r->err, "\nhint: mend it\n"));
	json_decref(j);
}

/* What somebody should do something about has its line, and only then. */
static void test_status_of_the_policy(void **state)
{
	static const struct {
		const char *policy, *lines;
	} rows[] = {
		{"{\"past_review\":0,\"over\":0,\"confirm_until\":null,\"canary\":null}", ""},
		{"{}", ""}, /* an older controller */
		{"{\"past_review\":2,\"over\":0}", "rules due   2 past their review, 0 over\n"},
		{"{\"past_review\":0,\"over\":1}", "rules due   0 past their review, 1 over\n"},
		{"{\"version\":4,\"confirm_until\":\"2026-11-23T12:10:00Z\"}",
		 "unconfirmed goes back at 2026-11-23T12:10:00Z, unless: ztctl policy confirm "
		 "--version 4\n"},
		{"{\"canary\":{\"version\":5,\"author\":\"a\\u001bb\",\"percent\":7,\"devices\":3}"
		 "}",
		 "canary      version 5 by a?b, 7% (3 devices)\n"},
	};

	for (size_t i = 0; i < N_OF(rows); i++) {
		struct run *r;
		json_t *j = from_text(rows[i].policy);
		void *s = *state;

		assert_int_equal(setup(&s), 0);
		r = s;
		print_policy_more(&r->c, j);
		flush(r);
		assert_string_equal(r->out ? r->out : "", rows[i].lines);
		json_decref(j);
		teardown(&s);
	}
}

static void test_policy_text_on_a_terminal(void **state)
{
	char text[] = "[rule a]\n\twhy = \033[31mred\xc2\x9b\r\n\xff\0end";
	struct ctl_answer a = {.text = text, .n_text = sizeof(text) - 1};
	struct run *r = *state;

	r->c.terminal = true;
	print_policy(&r->c, &a);
	flush(r);
	assert_string_equal(r->out, "[rule a]\n\twhy = ?[31mred??\n??end");
	rewind(r->c.out);
	r->c.terminal = false;
	print_policy(&r->c, &a);
	flush(r);
	assert_memory_equal(r->out, text, sizeof(text) - 1); /* a file gets every byte */
}

static void test_paths(void **state)
{
	struct run *r = *state;

	assert_string_equal(ctl_path(&r->c, "/v1/x/%/y?why=%", "a/../b", "it's 100% & ü#"),
			    "/v1/x/a%2F..%2Fb/y?why=it%27s%20100%25%20%26%20%C3%BC%23");
	assert_string_equal(ctl_path(&r->c, "/v1/x/%", ""), "/v1/x/");
}

static void test_failures_in_two_lines(void **state)
{
	struct run *r = *state;

	assert_int_equal(ctl_failf(&r->c, ZT_EXIT_DENIED, "do\033 that", "no\n%s", "way"),
			 ZT_EXIT_DENIED);
	assert_int_equal(ctl_failf(&r->c, ZT_EXIT_FAILED, "", "plain"), ZT_EXIT_FAILED);
	flush(r);
	assert_string_equal(r->err, "ztctl: no?way\nhint: do? that\nztctl: plain\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_args),
		cmocka_unit_test(test_args_bounds),
		cmocka_unit_test_setup_teardown(test_table_of_hostile_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_colours_only_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_table_prints_no_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_members, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json_keeps_order_and_terminals, setup,
						teardown),
		cmocka_unit_test(test_explanations),
		cmocka_unit_test_setup_teardown(test_problems_with_their_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_warnings_say_so, setup, teardown),
		cmocka_unit_test(test_status_of_the_policy),
		cmocka_unit_test_setup_teardown(test_policy_text_on_a_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures_in_two_lines, setup, teardown),
	};

	return cmocka_run_group_tests_name("controller/ctl", tests, NULL, NULL);
}
