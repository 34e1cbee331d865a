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

const struct section *section_find(const struct span *name)
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

const char *section_name(const struct section *s, void *object)
{
	return *name_of(s, object);
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

static struct diag *section_unknown(struct parse *c, const struct lex_item *item)
{
	const char *names[THING_COUNT];
	struct diag *d = problem_with(c, &item->name, "is not a section");
	struct span line = header_line(item);

	const struct section *meant = header_section(&line);

	/* "[group:a]" */
	if (item->arg.n == 0 && meant && meant->thing != THING_NETWORK && header_hint(d, &line))
		return d;
	for (size_t i = 0; i < THING_COUNT; i++)
		names[i] = section_at(i)->name;
	hint_nearest(d, &item->name, "", names, THING_COUNT,
		     "sections are [network], [group NAME], [resource NAME], [posture NAME], "
		     "[place NAME], [schedule NAME], [rule NAME], [test NAME] and [invariant "
		     "NAME]");
	return d;
}

/* The name after the section's word is as it should be: none for [network], else a good one. */
static bool section_name_fits(struct parse *c, const struct section *s, const struct lex_item *item,
			      const char **ret)
{
	size_t n_before = c->problems->n;
	char joined[ZT_NAME_MAX + 1];

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
	if (memchr(item->arg.p, ' ', item->arg.n) && c->problems->n > n_before &&
	    header_clean_name(&item->arg, "-", joined))
		diag_hint(&c->problems->items[n_before], "names have no spaces: write %s", joined);
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
	c->resources_refused |= s->thing == THING_RESOURCE;
	run->again = true;
	run->object = arena_alloc(&c->scratch, s->size);
	if (!run->object)
		return parse_fail(c, -ENOMEM);
	*name_of(s, run->object) = "";
	run->section = s;
}

void section_guess(struct parse *c, const struct span *key, struct section_run *run)
{
	const struct section *s, *found = NULL;
	char name[ZT_NAME_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; (s = section_at(i)) != NULL; i++)
		if (key_find(s, key->p, key->n)) {
			found = s;
			n++;
		}
	if (n != 1)
		return;
	section_pretend(c, found, run);
	if (found->thing == THING_NETWORK) /* "[lease]": who knows */
		return;
	if (memchr(run->line.p, ' ', run->line.n))
		diag_hint(run->problem, "did you mean %s?", found->name);
	else if (header_clean_name(&run->line, "-", name))
		diag_hint(run->problem, "write [%s %s]", found->name, name);
}

void section_begin(struct parse *c, const struct lex_item *item, struct section_run *ret)
{
	const struct section *s = section_find(&item->name);
	struct span line = header_line(item);
	const char *name = "";

	*ret = (struct section_run){.at = item->name.at};
	if (!s) {
		ret->problem = section_unknown(c, item);
		ret->line = line;
		s = header_section(&line);
		c->resources_refused |= !header_is_sure(&line);
		if (s)
			section_pretend(c, s, ret);
		ret->guessed = !header_is_sure(&line);
		return;
	}
	if (section_name_fits(c, s, item, &name))
		ret->object = section_claim(c, s, item);
	if (!ret->object) /* its keys are still checked */
		return section_pretend(c, s, ret);
	*name_of(s, ret->object) = name;
	ret->section = s;
}

/* --- lines that are wrong --- */

/* A section line that is none: its keys still belong to it, and not to the section before. */
static void wrong_section(struct parse *c, const struct lex_item *item, struct section_run *run)
{
	const struct section *s = header_section(&item->name);

	section_end(c, run);
	*run = (struct section_run){.at = item->name.at};
	c->resources_refused |= !s;
	if (s)
		section_pretend(c, s, run);
}

void section_wrong(struct parse *c, const struct lex_item *item, struct lex *l,
		   struct section_run *run)
{
	bool bare = header_is_bare(&item->name);
	struct diag *d;

	if (!bare && key_of_line(c, run, l, &item->name))
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
