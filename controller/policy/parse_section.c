/* Reading sections by their tables: names are declared first, because references go forward too;
 * then each section's keys are read into the object of its name. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/txt.h"

static const struct section *section_of(enum thing thing)
{
	return section_at(thing);
}

static const struct section *section_find(const struct span *name)
{
	const struct section *s;

	for (size_t i = 0; (s = section_at(i)) != NULL; i++)
		if (span_is(name, s->name))
			return s;
	return NULL;
}

/* --- objects --- */

static const char **name_of(const struct section *s, void *object)
{
	return (const char **)((char *)object + s->name_at);
}

static unsigned *line_of(const struct section *s, void *object)
{
	return (unsigned *)((char *)object + s->line_at);
}

static unsigned *column_of(const struct section *s, void *object)
{
	return (unsigned *)((char *)object + s->column_at);
}

static bool is_name(const struct span *s)
{
	char word[ZT_NAME_MAX + 1];

	return span_text(s, word, sizeof(word)) && txt_is_name(word);
}

void section_declare(struct parse *c, const struct lex_item *item)
{
	const struct section *s = section_find(&item->name);
	uint32_t *count;

	if (!s || (s->thing != THING_NETWORK && !is_name(&item->arg))) {
		struct span line = header_line(item);

		return header_note(c, &line);
	}
	if (s->thing == THING_NETWORK ||
	    names_find(&c->names, s->thing, item->arg.p, item->arg.n) != NAMES_ABSENT)
		return;
	count = &c->count[s->thing];
	if (*count == s->max) {
		diag_hint(problem_with(c, &item->arg, "is one %s too many", s->name),
			  "a policy has at most %u sections %s", s->max, s->form);
		parse_fail(c, -ZT_ELIMIT);
		return;
	}
	if (names_add(&c->names, s->thing, item->arg.p, item->arg.n, (*count)++) < 0)
		parse_fail(c, -ENOMEM);
}

/* Names stand in the objects before their sections are read, because references go forward too. */
static int name_objects(struct parse *c)
{
	for (size_t i = 0; i < c->names.cap; i++) {
		const struct names_slot *slot = &c->names.slots[i];
		const struct section *s;
		const char **name;

		if (!slot->p || slot->kind >= THING_COUNT) /* free, or of a refused section */
			continue;
		s = section_of((enum thing)slot->kind);
		name = name_of(s, (char *)c->objects[s->thing] + slot->value * s->size);
		*name = arena_text(c->arena, slot->p, slot->n);
		if (!*name)
			return -ENOMEM;
	}
	return 0;
}

int section_make_objects(struct parse *c)
{
	c->count[THING_NETWORK] = 1;
	for (size_t i = 0; i < THING_COUNT; i++) {
		const struct section *s = section_at(i);

		c->objects[s->thing] = arena_array(c->arena, c->count[s->thing], s->size);
		if (!c->objects[s->thing])
			return -ENOMEM;
	}
	return name_objects(c);
}

const char *thing_name(const struct parse *c, enum thing thing, uint32_t i)
{
	const struct section *s = section_of(thing);

	return *name_of(s, (char *)c->objects[thing] + i * s->size);
}

/* --- one section --- */

static void section_unknown(struct parse *c, const struct lex_item *item)
{
	const char *names[THING_COUNT];
	struct diag *d = problem_with(c, &item->name, "is not a section");
	struct span line = header_line(item);

	if (item->arg.n == 0 && header_hint(d, &line)) /* "[group:a]" */
		return;
	for (size_t i = 0; i < THING_COUNT; i++)
		names[i] = section_at(i)->name;
	hint_nearest(d, &item->name, "", names, THING_COUNT,
		     "sections are [network], [group NAME], [resource NAME], [posture NAME], "
		     "[place NAME], [schedule NAME], [rule NAME], [test NAME] and [invariant "
		     "NAME]");
}

/* The name after the section's word is as it should be: none for [network], else a good one. */
static bool section_name_fits(struct parse *c, const struct section *s, const struct lex_item *item,
			      const char **ret)
{
	size_t n_before = c->problems->n;
	struct span line;

	if (s->thing == THING_NETWORK) {
		*ret = s->name;
		if (item->arg.n > 0)
			diag_hint(problem_with(c, &item->arg, "is a name, which [network] has not"),
				  "write [network]");
		return true;
	}
	if (item->arg.n == 0) {
		diag_hint(problem_with(c, &item->name, "has no name"), "write %s", s->form);
		return false;
	}
	if (value_name(c, &item->arg, ret))
		return true;
	if (memchr(item->arg.p, ' ', item->arg.n) && c->problems->n > n_before) {
		line = header_line(item);
		header_hint(&c->problems->items[n_before], &line);
	}
	return false;
}

/* The declared object of this name when this section is the first that bears it; else NULL. */
static void *section_claim(struct parse *c, const struct section *s, const struct lex_item *item)
{
	uint32_t i = 0;
	void *object;

	if (s->thing != THING_NETWORK)
		i = names_find(&c->names, s->thing, item->arg.p, item->arg.n);
	if (i == NAMES_ABSENT) /* over the limit, which was said */
		return NULL;
	object = (char *)c->objects[s->thing] + i * s->size;
	if (*line_of(s, object)) {
		diag_hint(problem_with(c, item->arg.n ? &item->arg : &item->name,
				       "is declared twice, first on line %u", *line_of(s, object)),
			  "put both together, or give one another name");
		return NULL;
	}
	*line_of(s, object) = item->name.at.line;
	*column_of(s, object) = item->name.at.column;
	return object;
}

/* Only to find what is wrong in a section that is refused: its keys are read as those of s. */
static void section_pretend(struct parse *c, const struct section *s, struct section_run *run)
{
	run->again = true;
	run->object = arena_alloc(&c->scratch, s->size);
	if (!run->object)
		return parse_fail(c, -ENOMEM);
	*name_of(s, run->object) = "";
	run->section = s;
}

void section_begin(struct parse *c, const struct lex_item *item, struct section_run *ret)
{
	const struct section *s = section_find(&item->name);
	struct span line = header_line(item);
	const char *name = "";

	*ret = (struct section_run){.at = item->name.at};
	if (!s) {
		section_unknown(c, item);
		s = header_section(&line);
		if (s)
			section_pretend(c, s, ret);
		return;
	}
	if (section_name_fits(c, s, item, &name))
		ret->object = section_claim(c, s, item);
	if (!ret->object) /* its keys are still checked */
		return section_pretend(c, s, ret);
	*name_of(s, ret->object) = name;
	ret->section = s;
}

/* --- keys --- */

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

/* The key stands there, on this line; what it has is read into the object, if there is none yet. */
static void key_read(struct parse *c, struct section_run *run, const struct key *k,
		     const struct lex_item *item)
{
	unsigned *stands = &run->key_lines[k - run->section->keys];
	void *object = *stands ? key_scratch(c, run->section) : run->object;
	struct lex v = item->value;
	struct span line;
	size_t n_before;

	if (!*stands)
		*stands = item->name.at.line;
	if (!lex_value_line(&v, &line)) {
		diag_hint(problem_with(c, &item->name, "has no value"), "write %s", k->help);
		return;
	}
	warn_comments(c, &item->value);
	n_before = c->problems->n;
	if (object)
		k->set(c, object, &item->value, k->help);
	hint_writing(c, n_before);
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
	whole.name = line_of_key(item);
	if (memchr(item->name.p, ' ', item->name.n) && layout_key(c, s, &whole))
		return key_known(c, run, key_meant(s, &whole.name), &whole);
	key_unknown(c, run, item);
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
	if (!s)
		return;
	more = layout_split(c, s, &item->name, &part, &next);
	key_line(c, run, &part);
	while (more) {
		part = next;
		more = layout_split(c, s, &item->name, &part, &next);
		key_known(c, run, key_meant(s, &part.name), &part);
	}
}

/* "who: group:a" */
static bool line_is_key(struct parse *c, struct section_run *run, struct lex *l,
			const struct span *line)
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

/* A section line that is none: its keys still belong to it, and not to the section before. */
static void wrong_section(struct parse *c, const struct lex_item *item, struct section_run *run)
{
	const struct section *s = header_section(&item->name);

	section_end(c, run);
	*run = (struct section_run){.at = item->name.at};
	if (s)
		section_pretend(c, s, run);
}

void section_wrong(struct parse *c, const struct lex_item *item, struct lex *l,
		   struct section_run *run)
{
	bool bare = header_is_bare(&item->name);
	struct diag *d;

	if (!bare && line_is_key(c, run, l, &item->name))
		return;
	d = problem_with(c, &item->name, "%s", bare ? "has no brackets around it" : item->wrong);
	if (item->hint)
		diag_hint(d, "%s", item->hint);
	else
		diag_hint(d, "write %.*s]", (int)item->name.n, item->name.p);
	if (bare || !item->hint || span_starts(&item->name, "[["))
		header_hint(d, &item->name);
	if (bare && d) /* quotes are the least of it */
		c->refused[d - c->problems->items].n = 0;
	if (bare || item->name.p[0] == '[' || span_starts(&item->name, "\xef\xbb\xbf["))
		wrong_section(c, item, run);
}

/* Now that all keys are read: what were the unknown ones meant to be? It is said, and they are read
 * as that. Gives the number of those of which it is not known. */
static size_t settle_unknown(struct parse *c, struct section_run *run)
{
	const struct section *s = run->section;
	size_t n = 0;

	for (size_t i = 0; i < run->n_unknown; i++) {
		struct lex_item *item = &run->unknown[i].item;
		const char *foreign = key_foreign(s, &item->name);
		bool value = true;
		const struct key *k =
			foreign ? key_of_hint(s, foreign, &value) : key_near(s, run, &item->name);

		if (k && !foreign)
			diag_hint(run->unknown[i].problem, "did you mean %s?", k->name);
		if (k && value) {
			layout_sign(c, item);
			key_read(c, run, k, item);
		} else if (k && !run->key_lines[k - s->keys]) {
			run->key_lines[k - s->keys] = item->name.at.line;
		}
		n += !k && !foreign;
	}
	return n;
}

void section_end(struct parse *c, struct section_run *run)
{
	const struct section *s = run->section;

	if (s)
		settle_unknown(c, run);
	for (size_t i = 0; s && !run->again && i < s->n_keys; i++) {
		const struct key *k = &s->keys[i];

		if (k->required && run->key_lines[i] == 0)
			diag_hint(problem_at(c, run->at, "%s \"%s\" has no %s", s->name,
					     *name_of(s, run->object), k->name),
				  "add \"%s = ...\": %s", k->name, k->help);
	}
}
