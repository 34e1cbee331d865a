/* Policies that no file of tests/golden could hold: long lists, every limit, big files, many
 * problems. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "controller/policy/engine.h"
#include "zt/buf.h"

enum { PROBLEMS_MAX = 8 };

static struct diag items[PROBLEMS_MAX];

struct outcome {
	int err;
	struct policy *policy;
	struct diag_list problems;
};

static struct outcome parse(const char *text, size_t n)
{
	struct outcome o = {.problems = {.items = items, .max = PROBLEMS_MAX}};

	memset(items, 0, sizeof(items));
	o.err = policy_parse("p.ini", text, n, NULL, &o.policy, &o.problems);
	return o;
}

static struct outcome parse_buf(struct buf *b)
{
	struct outcome o;

	assert_int_equal(b->err, 0);
	o = parse((const char *)b->data, b->len);
	buf_free(b);
	return o;
}

static struct buf text_of(void)
{
	struct buf b;

	buf_init_grow(&b, (size_t)64 << 20);
	return b;
}

static void check_refused(const struct outcome *o, int err, const char *message)
{
	assert_int_equal(o->err, err);
	assert_null(o->policy);
	assert_int_equal(o->problems.n, 1);
	assert_string_equal(items[0].message, message);
}

/* --- long lists --- */

static void list_of_members(struct buf *b, unsigned n, const char *between)
{
	buf_put_text(b, "[group all]\nmembers = ");
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, "%suser:u%u@example.com", i ? between : "", i);
	buf_put_text(b, "\n");
}

static void a_hundred_thousand_members_stand_on_one_line_or_on_many(void **state)
{
	static const char *const between[] = {", ", ",\n\t"};

	(void)state;
	for (size_t i = 0; i < N_OF(between); i++) {
		struct buf b = text_of();
		struct outcome o;

		list_of_members(&b, 100000, between[i]);
		o = parse_buf(&b);
		assert_int_equal(o.err, 0);
		assert_int_equal(o.policy->groups[0].members.n_in, 100000);
		assert_string_equal(o.policy->groups[0].members.in[99999].name,
				    "u99999@example.com");
		assert_int_equal(o.policy->groups[0].members.in[99999].line, i ? 100001 : 2);
		policy_free(o.policy);
	}
}

static void a_mistake_deep_in_a_long_line_has_its_column(void **state)
{
	struct buf b = text_of();
	struct outcome o;
	size_t at;

	(void)state;
	list_of_members(&b, 50000, ", ");
	b.len -= 1; /* the line goes on */
	buf_put_text(&b, ", group:x\n");
	at = b.len - strlen("group:x\n") - strlen("[group all]\n");
	o = parse_buf(&b);
	assert_int_equal(o.err, -ZT_EFORM);
	assert_int_equal(items[0].line, 2);
	assert_int_equal(items[0].column, at + 1);
}

/* --- limits --- */

static void sections(struct buf *b, unsigned n, const char *kind, const char *body)
{
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, "[%s n%u]\n%s", kind, i, body);
}

static void limits_are_named(void **state)
{
	static const char posture[] = "require = disk.encrypted == true\n";
	static const char rule[] = "who = anyone\nwhat = resource:r\nwhy = x\n";
	static const char resource[] = "[resource r]\non = tag:r\nports = tcp/1\n";
	struct buf b;
	struct outcome o;

	(void)state;
	b = text_of();
	sections(&b, ENGINE_POSTURES_MAX, "posture", posture);
	o = parse_buf(&b);
	assert_int_equal(o.err, 0);
	policy_free(o.policy);

	b = text_of();
	sections(&b, ENGINE_POSTURES_MAX + 1, "posture", posture);
	o = parse_buf(&b);
	check_refused(&o, -ZT_ELIMIT, "\"n64\" is one posture too many");
	assert_string_equal(items[0].hint, "a policy has at most 64 sections [posture NAME]");

	b = text_of();
	buf_put_text(&b, resource);
	sections(&b, ZT_RULES_MAX, "rule", rule);
	o = parse_buf(&b);
	assert_int_equal(o.err, 0);
	assert_int_equal(o.policy->n_rules, ZT_RULES_MAX);
	assert_int_equal(o.policy->rules[ZT_RULES_MAX - 1].id, ZT_RULES_MAX);
	policy_free(o.policy);

	b = text_of();
	buf_put_text(&b, resource);
	sections(&b, ZT_RULES_MAX + 1, "rule", rule);
	o = parse_buf(&b);
	check_refused(&o, -ZT_ELIMIT, "\"n10000\" is one rule too many");
	assert_int_equal(items[0].line, 3 + 4 * 10000 + 1);
}

static void conditions_and_facts_have_limits(void **state)
{
	struct buf b = text_of();
	struct outcome o;

	(void)state;
	buf_put_text(&b, "[posture p]\nrequire = custom.c == 1");
	for (int i = 0; i < 64; i++)
		buf_printf(&b, ", custom.c%d == 1", i);
	o = parse_buf(&b);
	check_refused(&o, -ZT_EFORM, "there are 65 conditions here, at most 64 are possible");

	/* five postures of 60 facts, asked for by a rule: a report holds 256 */
	b = text_of();
	buf_put_text(&b, "[resource r]\non = tag:r\nports = tcp/1\n[rule r]\nwho = anyone\n"
			 "what = resource:r\nwhy = x\nhow = posture:p0, posture:p1, posture:p2, "
			 "posture:p3, posture:p4\n");
	for (int p = 0; p < 5; p++) {
		buf_printf(&b, "[posture p%d]\nrequire = custom.c%d == 1", p, p);
		for (int i = 1; i < 60; i++)
			buf_printf(&b, ", custom.c%d.%d == 1", p, i);
		buf_put_text(&b, "\n");
	}
	o = parse_buf(&b);
	check_refused(&o, -ZT_EFORM, "the postures ask for 300 facts, at most 256 are possible");
}

static void texts_have_limits(void **state)
{
	static const char head[] =
		"[resource r]\non = tag:r\nports = tcp/1\n[rule r]\nwho = anyone\n"
		"what = resource:r\nwhy = ";
	struct buf b;
	struct outcome o;

	(void)state;
	for (size_t n = ZT_WHY_MAX; n <= ZT_WHY_MAX + 1; n++) {
		b = text_of();
		buf_put_text(&b, head);
		for (size_t i = 0; i < n; i++)
			buf_put_text(&b, "x");
		o = parse_buf(&b);
		if (n > ZT_WHY_MAX)
			check_refused(&o, -ZT_EFORM, "the reason is 501 bytes long");
		else
			assert_int_equal(o.err, 0);
		policy_free(o.policy);
	}
}

static void fifty_megabytes_are_read_and_one_byte_more_is_refused(void **state)
{
	static const char line[] =
		"; nothing but comments, and many of them, line after line after line\n";
	char *text = malloc(ZT_POLICY_MAX + 1);
	struct outcome o;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < ZT_POLICY_MAX + 1; i++)
		text[i] = line[i % (sizeof(line) - 1)];
	o = parse(text, ZT_POLICY_MAX);
	assert_int_equal(o.err, 0);
	policy_free(o.policy);
	o = parse(text, ZT_POLICY_MAX + 1);
	check_refused(&o, -ZT_ELIMIT,
		      "the policy has 52428801 bytes, at most 52428800 are possible");
	free(text);
}

/* --- problems --- */

static void problems_over_the_room_are_counted(void **state)
{
	struct buf b = text_of();
	struct outcome o;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_put_text(&b, "nonsense\n");
	o = parse_buf(&b);
	assert_int_equal(o.err, -ZT_EFORM);
	assert_int_equal(o.problems.n, PROBLEMS_MAX);
	assert_int_equal(o.problems.dropped, 1000 - PROBLEMS_MAX);
	for (unsigned i = 0; i < PROBLEMS_MAX; i++)
		assert_int_equal(items[i].line, i + 1);
}

static void a_flood_of_commas_is_refused_where_it_stands(void **state)
{
	static const char begin[] = "[group all]\nmembers = ";
	char *text = malloc(ZT_POLICY_MAX);
	struct outcome o;
	struct diag d;

	(void)state;
	assert_non_null(text);
	memset(text, ',', ZT_POLICY_MAX);
	memcpy(text, begin, sizeof(begin) - 1);
	o = parse(text, ZT_POLICY_MAX);
	free(text);
	assert_int_equal(o.err, -ZT_EFORM);
	assert_int_equal(items[0].line, 2);
	assert_string_equal(items[0].message, "nothing stands at this comma");
	policy_refused(o.err, &o.problems, &d);
	assert_string_equal(d.message, "the policy is refused: at least 10008 mistakes");
}

static void a_caller_may_have_no_room_for_problems(void **state)
{
	struct diag_list none = {0};
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_parse("p", "[x]", 3, NULL, &p, &none), -ZT_EFORM);
	assert_null(p);
	assert_int_equal(none.dropped, 1);
}

static void a_long_file_name_shows_its_end(void **state)
{
	char name[300];
	struct diag_list l = {.items = items, .max = PROBLEMS_MAX};
	struct policy *p = NULL;

	(void)state;
	memset(name, 'a', sizeof(name));
	memcpy(name + 290, "/mine.ini", 10);
	assert_int_equal(policy_parse(name, "x", 1, NULL, &p, &l), -ZT_EFORM);
	assert_int_equal(strlen(items[0].file), sizeof(items[0].file) - 1);
	assert_non_null(strstr(items[0].file, "a/mine.ini"));
}

static void what_is_shown_of_a_policy_is_safe_on_a_terminal(void **state)
{
	static const char text[] = "[group a\x1b[31m]\nmembers = user:\xff@\x1b]0;x\x07\n";
	struct outcome o = parse(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(o.err, -ZT_EFORM);
	for (size_t i = 0; i < o.problems.n; i++)
		for (const char *p = items[i].message; *p; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
}

/* A device chooses its name, so each name by which it would gain waits for an admin: in an except
 * too, which may keep a deny away. */
static void names_of_devices_are_known(void **state)
{
	static const char text[] =
		"[resource r]\non = device:host, tag:r\nexcept = device:old-host\n"
		"ports = any\n"
		"[rule a]\nwho = device:src\nwhat = resource:r\nwhy = w\n"
		"[rule d]\naction = deny\nwho = tag:lab\nexcept = device:jump-2\n"
		"what = resource:r\nwhy = w\n";
	static const struct {
		const char *name;
		bool named;
	} rows[] = {{"host", true},   {"old-host", true}, {"src", true},
		    {"jump-2", true}, {"jump", true}, /* it becomes jump-2 when there is a jump */
		    {"jum", false},   {"other", false}};
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_parse("p", text, sizeof(text) - 1, NULL, &p, &problems), 0);
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].name, policy_names_device(p, rows[i].name) == rows[i].named);
	policy_free(p);
}

/* What newer versions refuse and older ones let in is in force somewhere: it is read as it was. */
static void what_was_accepted_stays_readable(void **state)
{
	static const char text[] = "[resource r]\non = tag:r\nports = tcp/1\n"
				   "[place none]\nsource = 192.0.2.0/24\nexcept = 192.0.2.0/24\n"
				   "[rule zone]\nwho = anyone\nwhat = resource:r\nwhy = w\n"
				   "when = UTC\n"
				   "[rule list]\nwho = anyone\nwhat = resource:r\nwhy = w\n"
				   "when = Mon,Wed 10:00-11:00\n"
				   "[rule nowhere]\nwho = anyone\nwhat = resource:r\nwhy = w\n"
				   "where = place:none\n"
				   "[place mapped]\nsource = ::ffff:192.0.2.0/120\n"
				   "[posture swallows]\n"
				   "require = os.id !== old and disk.encrypted == true, "
				   "custom.k != größe, file.sha256:/x != ABC\n";
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy_env env = {0};
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_parse("p", text, sizeof(text) - 1, &env, &p, &problems), -ZT_EFORM);
	assert_int_equal(problems.n, 7);
	env.was_accepted = true;
	assert_int_equal(policy_parse("p", text, sizeof(text) - 1, &env, &p, &problems), 0);
	assert_int_equal(p->n_rules, 3);
	assert_string_equal(p->postures[0].require[0].text,
			    "os.id != = old and disk.encrypted == true");
	assert_string_equal(p->postures[0].require[1].text, "custom.k != größe");
	policy_free(p);
}

/* Also where it was part of a text: that says what it said. */
static void texts_that_were_accepted_stay_as_they_were(void **state)
{
	static const char text[] = "[resource r]\non = tag:r\nports = tcp/1\n"
				   "[rule x]\nwho = anyone\nwhat = resource:r\n"
				   "why == w\n  unitl = 2027-01-01\n  Until = 2027-01-01\n"
				   "  action: deny\n  expiry = soon\n"
				   "ticket =\n  review = 2027-01-01 \xc2\x85\n";
	struct diag_list problems = {.items = items, .max = N_OF(items)};
	struct policy_env env = {0};
	struct policy *p = NULL;

	(void)state;
	assert_int_equal(policy_parse("p", text, sizeof(text) - 1, &env, &p, &problems), -ZT_EFORM);
	assert_int_equal(problems.n, 8);
	env.was_accepted = true;
	assert_int_equal(policy_parse("p", text, sizeof(text) - 1, &env, &p, &problems), 0);
	assert_string_equal(p->rules[0].why, "= w unitl = 2027-01-01 Until = 2027-01-01 "
					     "action: deny expiry = soon");
	assert_string_equal(p->rules[0].ticket, "review = 2027-01-01 \xc2\x85");
	assert_false(p->rules[0].deny);
	assert_int_equal(p->rules[0].when, POLICY_ALWAYS);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hundred_thousand_members_stand_on_one_line_or_on_many),
		cmocka_unit_test(a_mistake_deep_in_a_long_line_has_its_column),
		cmocka_unit_test(limits_are_named),
		cmocka_unit_test(conditions_and_facts_have_limits),
		cmocka_unit_test(texts_have_limits),
		cmocka_unit_test(fifty_megabytes_are_read_and_one_byte_more_is_refused),
		cmocka_unit_test(problems_over_the_room_are_counted),
		cmocka_unit_test(a_flood_of_commas_is_refused_where_it_stands),
		cmocka_unit_test(a_caller_may_have_no_room_for_problems),
		cmocka_unit_test(a_long_file_name_shows_its_end),
		cmocka_unit_test(what_is_shown_of_a_policy_is_safe_on_a_terminal),
		cmocka_unit_test(names_of_devices_are_known),
		cmocka_unit_test(what_was_accepted_stays_readable),
		cmocka_unit_test(texts_that_were_accepted_stay_as_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
