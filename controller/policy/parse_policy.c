/* Parsing a policy: bytes that have no place in it, then every name, then every key, then what
 * needs the whole. All problems of one run are collected; with a single one there is no policy. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a file in another form everything would be wrong: one problem is enough. */
static bool check_form(struct parse *c, const char *text, size_t n)
{
	static const char le[] = "\xff\xfe", be[] = "\xfe\xff", tag[] = "[\0";
	const char *cr = memchr(text, '\r', n);
	struct place at = {.line = 1, .column = 1};

	if (n >= 2 && (memcmp(text, le, 2) == 0 || memcmp(text, be, 2) == 0 ||
		       memcmp(text, tag, 2) == 0 || (text[0] == '\0' && text[1] == '['))) {
		diag_hint(problem_at(c, at, "this is UTF-16"), "save it as UTF-8");
		c->stop = true;
	} else if (cr && cr + 1 < text + n && !memchr(text, '\n', n)) {
		diag_hint(problem_at(c, at, "the lines of this file end with CR alone"),
			  "save it with line ends LF or CR LF");
		c->stop = true;
	}
	return !c->stop;
}

/* Those of two bytes were let in once. */
static bool was_let_in(const struct parse *c, const struct span *s)
{
	return c->env->was_accepted && s->n == 2;
}

/* NUL means that this is not text at all: no more of it is looked at. */
static void check_bytes(struct parse *c, const char *text, size_t n)
{
	struct lex l;
	struct span s;
	const char *what;

	if (n == 0 || !check_form(c, text, n))
		return;
	lex_init(&l, text, n);
	while (!c->stop && lex_find_bad(&l, &s, &what)) {
		if (was_let_in(c, &s))
			continue;
		diag_hint(problem_at(c, s.at, "%s", what),
			  "a policy is UTF-8 text without control characters");
		c->stop = s.p[0] == '\0';
	}
}

/* The zone of windows that name none: they may stand before it. What is wrong with it is said when
 * its key is read. */
static void find_zone(struct parse *c, const struct lex *value)
{
	struct lex v = *value;
	char name[TZ_NAME_MAX + 1];
	const char *reason;
	struct span s;

	if (lex_value_line(&v, &s) && span_text(&s, name, sizeof(name)) && c->env->zone &&
	    tz_name_is_valid(name))
		c->zone = c->env->zone(c->env->zones, name, &reason);
}

static void declare_all(struct parse *c, const char *text, size_t n)
{
	bool in_network = false;
	struct lex_item item;
	struct lex l;

	lex_init(&l, text, n);
	for (lex_next(&l, &item); item.kind != LEX_END && !c->stop; lex_next(&l, &item)) {
		if (item.kind == LEX_SECTION)
			section_declare(c, &item);
		if (item.kind == LEX_WRONG)
			header_note_wrong(c, &item.name);
		in_network = item.kind == LEX_SECTION ? span_is(&item.name, "network") : in_network;
		if (item.kind == LEX_KEY && in_network && span_is(&item.name, "timezone"))
			find_zone(c, &item.value);
	}
	if (!c->stop && section_make_objects(c) < 0)
		parse_fail(c, -ENOMEM);
}

static void read_all(struct parse *c, const char *text, size_t n)
{
	struct section_run run = {0};
	struct lex_item item;
	struct lex l;

	lex_init(&l, text, n);
	for (lex_next(&l, &item); item.kind != LEX_END && !c->stop; lex_next(&l, &item)) {
		c->reading = item.name.at;
		if (item.kind == LEX_SECTION) {
			section_end(c, &run);
			section_begin(c, &item, &run);
		} else if (item.kind == LEX_KEY) {
			layout_join(c, run.section, &l, &item);
			section_key(c, &run, &item);
		} else {
			section_wrong(c, &item, &l, &run);
		}
	}
	section_end(c, &run);
	if (!c->stop)
		c->reading = (struct place){0};
}

static void parse_all(struct parse *c, const char *text, size_t n)
{
	check_bytes(c, text, n);
	if (!c->stop)
		declare_all(c, text, n);
	if (!c->stop)
		read_all(c, text, n);
	hint_slips(c);
	if (c->stop)
		return;
	settle_policy(c);
	if (!c->stop)
		check_policy(c);
	if (c->n_excused && !c->err) /* what was left out without a word must have been said */
		problem_at(c, (struct place){0}, "a section that is named is not to be read");
}

static int compare_places(const void *a, const void *b)
{
	const struct diag *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return strcmp(x->message, y->message);
}

static struct policy *policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p)
		arena_init(&p->arena, POLICY_MEMORY_MAX);
	return p;
}

int policy_parse(const char *file, const char *text, size_t n, const struct policy_env *env,
		 struct policy **ret, struct diag_list *problems)
{
	static const struct policy_env no_env;
	struct parse c = {.file = file,
			  .problems = problems,
			  .policy = policy_new(),
			  .env = env ? env : &no_env};

	problems->n = problems->dropped = 0;
	if (!c.policy)
		return -ENOMEM;
	c.arena = &c.policy->arena;
	c.policy->file = arena_text(c.arena, file, strlen(file));
	arena_init(&c.scratch, POLICY_MEMORY_MAX);
	names_init(&c.names, &c.scratch);
	c.refused = arena_array(&c.scratch, problems->max, sizeof(*c.refused));
	if (!c.policy->file || !c.refused) {
		parse_fail(&c, -ENOMEM);
	} else if (n > ZT_POLICY_MAX) {
		problem_at(&c, (struct place){0},
			   "the policy has %zu bytes, at most %d are possible", n, ZT_POLICY_MAX);
		parse_fail(&c, -ZT_ELIMIT);
	} else {
		parse_all(&c, text, n);
	}
	arena_done(&c.scratch);
	if (c.err == -ENOMEM)
		problem_at(&c, c.reading, "out of memory, or the policy needs more than %d MiB",
			   POLICY_MEMORY_MAX >> 20);
	if (problems->n > 1)
		qsort(problems->items, problems->n, sizeof(*problems->items), compare_places);
	if (c.err < 0) {
		policy_free(c.policy);
		return c.err;
	}
	if (c.n_warnings > 1)
		qsort(c.warnings, c.n_warnings, sizeof(*c.warnings), compare_places);
	c.policy->warnings = c.warnings;
	c.policy->n_warnings = c.n_warnings;
	*ret = c.policy;
	return 0;
}

struct policy *policy_hold(struct policy *p)
{
	p->holds++;
	return p;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	if (p->holds) {
		p->holds--;
		return;
	}
	arena_done(&p->arena);
	free(p);
}
