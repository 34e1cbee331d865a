/* Keys of a section: each is read by its row of the table, or by that of the key that was meant; at
 * the section's end it shows which are missing. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct key *key_find(const struct section *s, const char *p, size_t n)
{
	for (size_t i = 0; i < s->n_keys; i++)
		if (strlen(s->keys[i].name) == n && memcmp(s->keys[i].name, p, n) == 0)
			return &s->keys[i];
	return NULL;
}

const char *key_foreign(const struct section *s, const struct span *name)
{
	static const struct {
		enum thing thing;
		const char *name, *hint;
	} rows[] = {
		{THING_RULE, "deny", "write action = deny"},
		{THING_RULE, "effect", "write action = deny; without it a rule allows"},
		{THING_RULE, "allow", "leave it out: without action = deny a rule allows"},
		{THING_RULE, "from", "write who = ..."},
		{THING_RULE, "source", "write who = ...; where a device is stands in where"},
		{THING_RULE, "to", "write what = ..."},
		{THING_RULE, "resource", "write what = resource:NAME"},
		{THING_RULE, "resources", "write what = resource:NAME"},
		{THING_RULE, "expires", "write until = 2027-01-31"},
		{THING_RULE, "expiry", "write until = 2027-01-31"},
		{THING_TEST, "who", "write from = ..."},
		{THING_TEST, "what", "write to = ..."},
		{THING_INVARIANT, "never", "write expect = never"},
		{THING_INVARIANT, "who", "write from = ..."},
		{THING_INVARIANT, "what", "write to = ..."},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (s->thing == rows[i].thing && span_is(name, rows[i].name))
			return rows[i].hint;
	return NULL;
}

/* The key that the hint for a foreign one says to write; *ret_value: the value may stay. */
static const struct key *key_of_hint(const struct section *s, const char *hint, bool *ret_value)
{
	static const char write[] = "write ";
	const char *name;

	if (strncmp(hint, write, strlen(write)) != 0)
		return NULL;
	name = hint + strlen(write);
	*ret_value = strstr(name, "...") != NULL;
	return key_find(s, name, strcspn(name, " "));
}

/* The key that a refused one is near to. "whi" is who or why: of those as near, the one that must
 * stand there and does not is meant; one that stands there is meant least. run: NULL: none stands
 * there. */
static const struct key *key_near(const struct section *s, const struct section_run *run,
				  const struct span *word)
{
	const char *names[SECTION_KEYS_MAX], *near;
	size_t n = 0;

	for (int turn = 0; turn < 3; turn++)
		for (size_t i = 0; i < s->n_keys; i++) {
			bool stands = run && run->key_lines[i] != 0;
			int of_turn = stands ? 2 : s->keys[i].required ? 0 : 1;

			if (of_turn == turn)
				names[n++] = s->keys[i].name;
		}
	near = nearest_to(word, names, n);
	return near ? key_find(s, near, strlen(near)) : NULL;
}

const struct key *key_meant(const struct section *s, const struct span *word)
{
	const char *foreign = key_foreign(s, word);
	bool value;

	return foreign ? key_of_hint(s, foreign, &value) : key_near(s, NULL, word);
}

/* In a section whose kind is a guess, a key of another kind says that it was a wrong one. */
static bool is_of_another(const struct span *name)
{
	const struct section *s;

	for (size_t i = 0; (s = section_at(i)) != NULL; i++)
		if (key_find(s, name->p, name->n))
			return true;
	return false;
}

static void key_unknown(struct parse *c, struct section_run *run, const struct lex_item *item)
{
	const struct section *s = run->section;
	struct diag *d = problem_with(c, &item->name, "is not a key of %s", s->form);
	const char *foreign = key_foreign(s, &item->name);
	char all[160] = "its keys are";
	size_t used = strlen(all);

	for (size_t i = 0; i < s->n_keys; i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s %s", i ? "," : "",
					 s->keys[i].name);
	diag_hint(d, "%s", foreign ? foreign : all);
	if (run->n_unknown == UNKNOWN_KEYS_MAX)
		return;
	run->unknown[run->n_unknown].item = *item;
	run->unknown[run->n_unknown++].problem = d;
}

/* An object that is read into only to find what is wrong: the one of the name is taken. */
static void *key_scratch(struct parse *c, const struct section *s)
{
	void *object = arena_alloc(&c->scratch, s->size);

	if (!object)
		parse_fail(c, -ENOMEM);
	return object;
}

/* Grows when something is refused, or left out because what it names was. */
static size_t count_refused(const struct parse *c)
{
	return c->problems->n + c->problems->dropped + c->n_excused;
}

/* The key stands there, on this line; what it has is read into the object, if there is none yet. */
static void key_read(struct parse *c, struct section_run *run, const struct key *k,
		     const struct lex_item *item)
{
	unsigned *stands = &run->key_lines[k - run->section->keys];
	void *object = *stands ? key_scratch(c, run->section) : run->object;
	size_t n_before = count_refused(c), first = c->problems->n;
	struct lex v = item->value;
	struct span line;

	if (!*stands)
		*stands = item->name.at.line;
	if (!lex_value_line(&v, &line)) {
		diag_hint(problem_with(c, &item->name, "has no value"), "write %s", k->help);
	} else if (object) {
		warn_comments(c, &item->value);
		k->set(c, object, &item->value, k->help);
		hint_writing(c, first);
	}
	if (object != run->object || count_refused(c) != n_before)
		run->flawed |= 1u << (k - run->section->keys);
}

static void key_known(struct parse *c, struct section_run *run, const struct key *k,
		      struct lex_item *item)
{
	unsigned line = run->key_lines[k - run->section->keys];

	if (line)
		diag_hint(problem_with(c, &item->name,
				       "stands twice in this section, first on line %u", line),
			  "put both in one list, or take one out");
	layout_sign(c, item);
	key_read(c, run, k, item);
}

/* The whole first line of a key with its value. */
static struct span line_of_key(const struct lex_item *item)
{
	struct lex v = item->value;
	struct span s = item->name, line;

	if (lex_value_line(&v, &line) && line.at.line == s.at.line)
		s.n = (size_t)(line.p + line.n - s.p);
	return s;
}

/* One key, without those that stand in its value. */
static void key_line(struct parse *c, struct section_run *run, struct lex_item *item)
{
	const struct section *s = run->section;
	const struct key *k = key_find(s, item->name.p, item->name.n);
	struct lex_item whole = *item;

	if (k)
		return key_known(c, run, k, item);
	if (run->guessed && is_of_another(&item->name))
		return;
	whole.name = line_of_key(item);
	if (memchr(item->name.p, ' ', item->name.n) && layout_key(c, s, &whole))
		return key_known(c, run, key_meant(s, &whole.name), &whole);
	key_unknown(c, run, item);
}

/* Was no key of the section read so far? */
static bool is_first(const struct section_run *run)
{
	for (size_t i = 0; i < SECTION_KEYS_MAX; i++)
		if (run->key_lines[i])
			return false;
	return run->n_unknown == 0;
}

void section_key(struct parse *c, struct section_run *run, const struct lex_item *item)
{
	const struct section *s = run->section;
	struct lex_item part = *item, next;
	bool more;

	if (run->at.line == 0) {
		diag_hint(problem_with(c, &item->name, "stands before any section"),
			  "begin with a section: [group NAME]");
		return;
	}
	if (run->guessed && is_first(run) && (!s || !key_find(s, item->name.p, item->name.n))) {
		section_guess(c, &item->name, run);
		s = run->section;
	}
	if (!s)
		return;
	more = layout_split(c, s, &item->name, &part, &next);
	key_line(c, run, &part);
	while (more && !c->stop) {
		part = next;
		more = layout_split(c, s, &item->name, &part, &next);
		key_known(c, run, key_meant(s, &part.name), &part);
	}
}

bool key_of_line(struct parse *c, struct section_run *run, struct lex *l, const struct span *line)
{
	struct lex_item item = {.kind = LEX_KEY, .name = *line};
	struct lex ahead = *l;

	if (!run->section)
		return false;
	lex_take_continuation(&ahead, line);
	item.value.end = ahead.p;
	if (!layout_key(c, run->section, &item))
		return false;
	*l = ahead;
	key_known(c, run, key_meant(run->section, &item.name), &item);
	return true;
}

/* What an unknown key was meant to be, as it is said, and read as that. NULL: nobody knows. */
static const struct key *settle_unknown(struct parse *c, struct section_run *run,
					struct lex_item *item, struct diag *problem)
{
	const struct section *s = run->section;
	const char *foreign = key_foreign(s, &item->name);
	bool value = true;
	const struct key *k =
		foreign ? key_of_hint(s, foreign, &value) : key_near(s, run, &item->name);

	if (!k)
		return NULL;
	if (!foreign)
		diag_hint(problem, "did you mean %s?", k->name);
	layout_sign(c, item);
	if (value)
		key_read(c, run, k, item);
	else if (!run->key_lines[k - s->keys])
		run->key_lines[k - s->keys] = item->name.at.line;
	if (!value)
		run->flawed |= 1u << (k - s->keys);
	return k;
}

/* Now that all keys are read. Gives the number of unknown ones that may be any key. */
static size_t settle_all_unknown(struct parse *c, struct section_run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_unknown; i++) {
		struct lex_item *item = &run->unknown[i].item;
		bool known = settle_unknown(c, run, item, run->unknown[i].problem) ||
			     key_foreign(run->section, &item->name);

		run->unknown[i].problem = known ? NULL : run->unknown[i].problem;
		n += !known;
	}
	if (n > 0 || run->n_unknown == UNKNOWN_KEYS_MAX)
		run->flawed = UINT32_MAX;
	return n;
}

static void hint_missing(struct diag *d, const char *missing)
{
	size_t n = strlen(d->hint);

	snprintf(d->hint + n, sizeof(d->hint) - n, "; there is no %s yet", missing);
}

/* Keys that must stand there and do not. Where as many unknown ones do, they are those. */
static void check_missing(struct parse *c, const struct section_run *run, size_t n_unknown)
{
	const struct section *s = run->section;
	char missing[SECTION_KEYS_MAX * 16] = "";
	size_t n = 0, used = 0;

	for (size_t i = 0; i < s->n_keys; i++)
		if (s->keys[i].required && !run->key_lines[i])
			used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
						 n++ ? " and " : "", s->keys[i].name);
	if (n > 0 && n <= n_unknown) {
		for (size_t i = 0; i < run->n_unknown; i++)
			if (run->unknown[i].problem)
				hint_missing(run->unknown[i].problem, missing);
		return;
	}
	for (size_t i = 0; i < s->n_keys; i++)
		if (s->keys[i].required && !run->key_lines[i])
			diag_hint(problem_at(c, run->at, "%s \"%s\" has no %s", s->name,
					     section_name(s, run->object), s->keys[i].name),
				  "add \"%s = ...\": %s", s->keys[i].name, s->keys[i].help);
}

static void note_flaw(struct parse *c, const struct section_run *run)
{
	if (c->n_flaws == c->flaws_cap) {
		size_t cap = c->flaws_cap ? 2 * c->flaws_cap : 64;
		struct parse_flaw *more = arena_array(&c->scratch, cap, sizeof(*more));

		if (!more)
			return parse_fail(c, -ENOMEM);
		if (c->n_flaws)
			memcpy(more, c->flaws, c->n_flaws * sizeof(*more));
		c->flaws = more;
		c->flaws_cap = cap;
	}
	c->flaws[c->n_flaws++] = (struct parse_flaw){.line = run->at.line, .keys = run->flawed};
}

void section_end(struct parse *c, struct section_run *run)
{
	size_t n;

	if (!run->section)
		return;
	n = settle_all_unknown(c, run);
	if (!run->again)
		check_missing(c, run, n);
	if (run->flawed)
		note_flaw(c, run);
}

static int compare_flaws(const void *a, const void *b)
{
	const struct parse_flaw *x = a, *y = b;

	return (x->line > y->line) - (x->line < y->line);
}

bool key_is_flawed(const struct parse *c, const char *kind, unsigned line, const char *key)
{
	const struct parse_flaw wanted = {.line = line}, *flaw = NULL;
	const struct span name = {.p = kind, .n = strlen(kind)};
	const struct section *s = section_find(&name);
	const struct key *k = key_find(s, key, strlen(key));

	if (c->n_flaws)
		flaw = bsearch(&wanted, c->flaws, c->n_flaws, sizeof(*flaw), compare_flaws);
	return flaw && k && (flaw->keys >> (k - s->keys) & 1);
}
