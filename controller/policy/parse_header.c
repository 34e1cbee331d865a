/* Section lines that are refused: what they were meant to be. The names in them count as declared,
 * so that the line is said and not each use of its name; and their keys are read as those of the
 * section that was meant. */
#include "controller/policy/parse_section.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "zt/txt.h"

/* In the table of names, behind the kinds of things: names of refused sections, by the kind that
 * was meant, or of a kind that nobody knows. Their value is of no meaning. */
enum { REFUSED = THING_COUNT, REFUSED_ANY = 2 * THING_COUNT };

struct header {
	struct span all;	       /* what stands in the brackets, or would */
	struct span rest;	       /* of it, what is no section's word */
	const struct section *section; /* NULL: nobody knows */
	bool joined;		       /* no white space follows the section's word */
	bool named;
	char name[ZT_NAME_MAX + 1];
};

/* --- what a line was meant to be --- */

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* The line without what stands around its words, and without what follows its bracket. */
static struct span strip(struct span s)
{
	const char *close;

	while (s.n > 0 && is_one_of(s.p[0], "[({< \t"))
		s = span_skip(s, 1);
	close = memchr(s.p, ']', s.n);
	if (close)
		s.n = (size_t)(close - s.p);
	while (s.n > 0 && is_one_of(s.p[s.n - 1], ")}>:{;,[ \t"))
		s.n--;
	return s;
}

static size_t count_letters(const struct span *s)
{
	size_t n = 0;

	while (n < s->n &&
	       ((s->p[n] >= 'a' && s->p[n] <= 'z') || (s->p[n] >= 'A' && s->p[n] <= 'Z')))
		n++;
	return n;
}

/* exactly: in any case, and as a plural; else also what is near. */
static const struct section *section_meant(const struct span *word, bool exactly)
{
	const char *names[THING_COUNT], *near;
	const struct section *s;

	for (size_t i = 0; (s = section_at(i)) != NULL; i++) {
		size_t n = strlen(s->name);

		names[i] = s->name;
		if ((word->n == n || (word->n == n + 1 && word->p[n] == 's')) &&
		    strncasecmp(word->p, s->name, n) == 0)
			return s;
	}
	near = exactly ? NULL : nearest_to(word, names, THING_COUNT);
	for (size_t i = 0; near && i < THING_COUNT; i++)
		if (names[i] == near)
			return section_at(i);
	return NULL;
}

bool header_clean_name(const struct span *s, const char *joint, char out[static ZT_NAME_MAX + 1])
{
	struct span in = *s;
	size_t used = 0;

	while (in.n > 0 && is_one_of(in.p[0], "\"'` \t"))
		in = span_skip(in, 1);
	while (in.n > 0 && is_one_of(in.p[in.n - 1], "\"'` \t"))
		in.n--;
	for (size_t i = 0; i < in.n && used < ZT_NAME_MAX; i++) {
		if (!is_one_of(in.p[i], " \t"))
			out[used++] = in.p[i];
		else if (*joint && !is_one_of(in.p[i - 1], " \t"))
			out[used++] = *joint;
	}
	out[used] = '\0';
	text_to_lower(out);
	return in.n <= ZT_NAME_MAX && txt_is_name(out);
}

static void header_read(const struct span *line, struct header *ret)
{
	struct span word;

	*ret = (struct header){.all = strip(*line)};
	word = ret->all;
	word.n = count_letters(&word);
	ret->section = section_meant(&word, false);
	ret->rest = span_skip(ret->all, ret->section ? word.n : 0);
	ret->joined = ret->section && ret->rest.n > 0 && !is_one_of(ret->rest.p[0], " \t");
	while (ret->section && ret->rest.n > 0 && is_one_of(ret->rest.p[0], " \t:.-_/=,"))
		ret->rest = span_skip(ret->rest, 1);
	if (!ret->section && memchr(ret->all.p, ' ', ret->all.n)) { /* "[service web]" */
		while (ret->rest.p[0] != ' ')
			ret->rest = span_skip(ret->rest, 1);
		ret->rest = span_trim(ret->rest);
	}
	ret->named = header_clean_name(&ret->rest, "-", ret->name);
}

bool header_is_bare(const struct span *line)
{
	struct span all = strip(*line), word = all, rest;
	const struct section *s;
	char name[ZT_NAME_MAX + 1];

	word.n = count_letters(&word);
	s = line->n > 0 && line->p[0] != '[' ? section_meant(&word, true) : NULL;
	if (!s)
		return false;
	rest = span_trim(span_skip(all, word.n));
	if (rest.n == 0)
		return s->thing == THING_NETWORK;
	return (rest.p > word.p + word.n) && !memchr(rest.p, ' ', rest.n) &&
	       header_clean_name(&rest, "", name);
}

bool header_is_sure(const struct span *line)
{
	struct span word = strip(*line);

	word.n = count_letters(&word);
	return section_meant(&word, true) != NULL;
}

/* --- names of refused sections --- */

static void note_name(struct parse *c, uint32_t kind, const char *name)
{
	const char *kept;
	size_t n = strlen(name);

	if (names_find(&c->names, kind, name, n) != NAMES_ABSENT)
		return;
	kept = arena_text(&c->scratch, name, n);
	if (!kept || names_add(&c->names, kind, kept, n, 0) < 0)
		parse_fail(c, -ENOMEM);
}

void header_note(struct parse *c, const struct span *line)
{
	enum { NOTED_MAX = 1000 }; /* each of them is a problem: there are not many that are read */
	static const char *const joints[] = {"-", "_", ".", ""};
	char name[ZT_NAME_MAX + 1];
	struct header h;
	uint32_t kind;

	if (c->n_noted++ >= NOTED_MAX)
		return;
	header_read(line, &h);
	kind = h.section ? REFUSED + (uint32_t)h.section->thing : REFUSED_ANY;
	for (size_t i = 0; i < sizeof(joints) / sizeof(joints[0]) && !c->stop; i++)
		if (header_clean_name(&h.rest, joints[i], name))
			note_name(c, kind, name);
	/* "[place-of-work]" may have been a name alone, and a role is no rule. */
	if (!c->stop && h.joined && header_clean_name(&h.all, "", name))
		note_name(c, REFUSED_ANY, name);
	if (!c->stop && h.section && !header_is_sure(line) && header_clean_name(&h.rest, "-", name))
		note_name(c, REFUSED_ANY, name);
	if (!c->stop && h.section && h.rest.n == 0)
		note_name(c, kind, "");
}

void header_note_wrong(struct parse *c, const struct span *line)
{
	if (line->p[0] == '[' || header_is_bare(line))
		header_note(c, line);
}

bool header_was_refused(const struct parse *c, enum thing thing, const struct span *name)
{
	return names_find(&c->names, REFUSED + (uint32_t)thing, name->p, name->n) != NAMES_ABSENT ||
	       names_find(&c->names, REFUSED_ANY, name->p, name->n) != NAMES_ABSENT;
}

bool header_without_name(const struct parse *c, enum thing thing)
{
	return names_find(&c->names, REFUSED + (uint32_t)thing, "", 0) != NAMES_ABSENT;
}

/* --- what is said --- */

const struct section *header_section(const struct span *line)
{
	struct header h;

	header_read(line, &h);
	return h.section;
}

struct span header_line(const struct lex_item *item)
{
	struct span line = item->name;

	if (item->kind == LEX_SECTION && item->arg.n > 0)
		line.n = (size_t)(item->arg.p + item->arg.n - line.p);
	return line;
}

bool header_hint(struct diag *d, const struct span *line)
{
	struct header h;

	header_read(line, &h);
	if (!h.section || (!h.named && h.section->thing != THING_NETWORK))
		return false;
	if (h.section->thing == THING_NETWORK)
		diag_hint(d, "write [network]");
	else
		diag_hint(d, "write [%s %s]", h.section->name, h.name);
	return true;
}
