/* Readers of values. Each takes text with its place, and says what is wrong with it and what is
 * allowed there. */
#include "controller/policy/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/policy/place.h"

/* --- whole values --- */

char *parse_text(struct parse *c, const struct span *s)
{
	char *text = arena_text(c->arena, s->p, s->n);

	if (!text)
		parse_fail(c, -ENOMEM);
	return text;
}

bool value_line(struct parse *c, const struct lex *v, const char *help, struct span *ret)
{
	struct lex rest = *v;
	struct span more;

	if (!lex_value_line(&rest, ret))
		return false;
	if (lex_value_line(&rest, &more)) {
		diag_hint(problem_with(c, &more, "continues a value that is one line"), "%s", help);
		return false;
	}
	return true;
}

const char *value_text(struct parse *c, struct lex v)
{
	struct lex again = v;
	struct span s;
	size_t n = 0, used = 0;
	char *text;

	while (lex_value_line(&again, &s))
		n += s.n + 1;
	text = arena_alloc(c->arena, n + 1);
	if (!text) {
		parse_fail(c, -ENOMEM);
		return NULL;
	}
	while (lex_value_line(&v, &s)) {
		if (used > 0)
			text[used++] = ' ';
		memcpy(text + used, s.p, s.n);
		used += s.n;
	}
	return text;
}

/* Items that there may be: those of nothing but commas are none. */
static size_t list_count(const struct lex *v)
{
	struct lex_list l;
	struct span s;
	bool joined;
	size_t n = 0;

	lex_list_init(&l, v);
	while (lex_list_next(&l, &s, &joined))
		n += s.n > 0;
	return n;
}

static bool list_item(struct parse *c, const struct span *s, const char *help, value_item_fn one,
		      void *ret)
{
	size_t n_before = c->problems->n;

	if (s->n == 0) {
		diag_hint(problem_at(c, s->at, "nothing stands at this comma"),
			  "take out the comma, or write %s", help);
		return false;
	}
	if (one(c, s, help, ret))
		return true;
	if (c->problems->n > n_before) /* "tcp/22 tcp/80": two items */
		hint_comma(&c->problems->items[c->problems->n - 1], s);
	return false;
}

void *value_list(struct parse *c, const struct lex *v, const char *help, size_t size,
		 value_item_fn one, size_t *ret_n)
{
	unsigned char *items = arena_array(c->arena, list_count(v), size);
	struct lex_list l;
	struct span s;
	bool joined;
	size_t n = 0;

	*ret_n = 0;
	if (!items) {
		parse_fail(c, -ENOMEM);
		return NULL;
	}
	lex_list_init(&l, v);
	while (!c->stop && lex_list_next(&l, &s, &joined)) {
		n += list_item(c, &s, help, one, items + n * size);
		if (joined)
			diag_hint(
				problem_with(c, &s, "has no comma after it, but the list goes on"),
				"end the line with a comma, or begin the next one at its margin");
	}
	*ret_n = n;
	return items;
}

/* --- words --- */

bool value_duration(struct parse *c, const struct span *s, uint64_t min_s, uint64_t max_s,
		    uint64_t *ret)
{
	char word[32], least[32], most[32];
	uint64_t v;

	if (!span_text(s, word, sizeof(word)) || num_parse_duration(word, &v) < 0) {
		diag_hint(problem_with(c, s, "is not a duration"),
			  "write a number and a unit: 30s, 10m, 12h or 14d");
		return false;
	}
	if (v < min_s || v > max_s) {
		num_print_duration(min_s, least, sizeof(least));
		num_print_duration(max_s, most, sizeof(most));
		diag_hint(problem_with(c, s, "is out of range"), "at least %s and at most %s",
			  least, most);
		return false;
	}
	*ret = v;
	return true;
}

/* s, which valid refuses, would be good in lower case: says so. */
static bool hint_lower_case(struct diag *d, const struct span *s, const char *prefix,
			    bool (*valid)(const char *))
{
	char word[PARSE_WORD_MAX];

	if (!d || !span_text(s, word, sizeof(word)))
		return false;
	text_to_lower(word);
	if (!valid(word))
		return false;
	diag_hint(d, "names are in lower case: write %s%s", prefix, word);
	return true;
}

static const char name_form[] = "a name is a-z, 0-9, '.', '_' and '-', begins with a letter or "
				"digit, and has at most 63 characters";

bool value_name(struct parse *c, const struct span *s, const char **ret)
{
	char word[PARSE_WORD_MAX];
	struct diag *d;

	if (span_text(s, word, sizeof(word)) && txt_is_name(word))
		return (*ret = parse_text(c, s)) != NULL;
	d = problem_with(c, s, "is not a name");
	if (!hint_lower_case(d, s, "", txt_is_name))
		diag_hint(d, "%s", name_form);
	return false;
}

/* --- references --- */

static const char *const nouns[THING_COUNT] = {
	[THING_GROUP] = "group", [THING_RESOURCE] = "resource", [THING_POSTURE] = "posture",
	[THING_PLACE] = "place", [THING_SCHEDULE] = "schedule",
};

const char *const *thing_names(struct parse *c, enum thing kind)
{
	const char **all = c->candidates[kind];

	if (all)
		return all;
	all = arena_array(&c->scratch, c->count[kind], sizeof(*all));
	for (uint32_t i = 0; all && i < c->count[kind]; i++)
		all[i] = thing_name(c, kind, i);
	c->candidates[kind] = all;
	return all;
}

/* Does the section that it names stand in the file, and is refused? That is said there. A name that
 * is near none may be that of a section without a name; at that is looked for some of them. */
static bool is_excused(struct parse *c, const struct span *s, enum thing kind)
{
	enum { LOOKED_MAX = 100 };
	const char *const *names;

	if (header_was_refused(c, kind, s))
		return true;
	if (!header_without_name(c, kind) || c->n_excused > LOOKED_MAX)
		return header_without_name(c, kind);
	names = thing_names(c, kind);
	return names && !nearest_to(s, names, c->count[kind]);
}

bool value_reference(struct parse *c, const struct span *s, const struct span *full,
		     enum thing kind, const char *help, uint32_t *ret)
{
	uint32_t index = names_find(&c->names, kind, s->p, s->n);
	const char *const *names;
	const char *near;
	struct diag *d;

	if (index != NAMES_ABSENT) {
		*ret = index;
		return true;
	}
	if (is_excused(c, s, kind)) {
		c->n_excused++;
		c->err = c->err ? c->err : -ZT_EFORM; /* it is left out: never of a good policy */
		return false;
	}
	d = problem_with(c, full, "names a %s that does not exist", nouns[kind]);
	names = d ? thing_names(c, kind) : NULL;
	if (!names || (help && hint_meant(c, d, full, help)))
		return false;
	near = help ? NULL : nearest_to(s, names, c->count[kind]); /* with help it was looked for */
	if (near)
		diag_hint(d, "did you mean %s%s%s?", full->n > s->n ? nouns[kind] : "",
			  full->n > s->n ? ":" : "", near);
	else
		hint_declare(c, d, kind);
	return false;
}

/* --- selectors --- */

static const struct selector_form {
	const char *prefix;
	enum selector_kind kind;
	bool (*valid)(const char *);
	const char *is_not, *hint;
} selector_forms[] = {
	{"user:", SELECTOR_USER, txt_is_email,
	 "has no e-mail address after user:", "write it as user:ada@example.com"},
	{"group:", SELECTOR_GROUP, txt_is_name, "has no name after group:", name_form},
	{"tag:", SELECTOR_TAG, txt_is_name, "has no name after tag:", name_form},
	{"device:", SELECTOR_DEVICE, txt_is_hostname, "has no device name after device:",
	 "a device name is a-z, 0-9 and '-', with at most 63 characters"},
};
enum { SELECTOR_FORMS = sizeof(selector_forms) / sizeof(selector_forms[0]) };

static const struct selector_form *selector_form_of(const struct span *s)
{
	for (size_t i = 0; i < SELECTOR_FORMS; i++)
		if (span_starts(s, selector_forms[i].prefix))
			return &selector_forms[i];
	return NULL;
}

static bool is_all(const struct span *s)
{
	static const char *const words[] = {"any", "all", "everyone", "everybody", "*", "anyone:"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(s, words[i]))
			return true;
	return false;
}

/* Neither anyone nor with a known prefix: what may have been meant? */
static bool selector_unknown(struct parse *c, const struct span *s, unsigned allowed,
			     const char *help)
{
	static const char *const anyone[] = {"anyone"};
	struct diag *d = problem_with(c, s, "is not allowed here");
	char word[PARSE_WORD_MAX];

	if ((allowed & ALLOW_ANYONE) && is_all(s))
		diag_hint(d, "did you mean anyone?");
	else if (hint_meant(c, d, s, help))
		return false;
	else if ((allowed & ALLOW_USER) && span_text(s, word, sizeof(word)) && txt_is_email(word))
		diag_hint(d, "did you mean user:%s?", word);
	else if ((allowed & ALLOW_ANYONE) && nearest_to(s, anyone, 1))
		diag_hint(d, "did you mean anyone?");
	else
		diag_hint(d, "write %s", help);
	return false;
}

static bool selector_refused(struct parse *c, const struct span *s, const char *help)
{
	struct diag *d = problem_with(c, s, "is not allowed here");

	if (!hint_meant(c, d, s, help))
		diag_hint(d, "write %s", help);
	return false;
}

static bool selector_named(struct parse *c, const struct span *s, const struct selector_form *f,
			   const char *help, struct selector *ret)
{
	struct span name = span_skip(*s, strlen(f->prefix));
	char word[PARSE_WORD_MAX];
	struct diag *d;

	if (!span_text(&name, word, sizeof(word)) || !f->valid(word)) {
		d = problem_with(c, s, "%s", f->is_not);
		if (!hint_lower_case(d, &name, f->prefix, f->valid) && !hint_meant(c, d, s, help))
			diag_hint(d, "%s", f->hint);
		return false;
	}
	*ret = (struct selector){.kind = f->kind, .line = s->at.line, .column = s->at.column};
	if (f->kind != SELECTOR_GROUP)
		return (ret->name = parse_text(c, &name)) != NULL;
	if (!value_reference(c, &name, s, THING_GROUP, help, &ret->group))
		return false;
	ret->name = thing_name(c, THING_GROUP, ret->group);
	return true;
}

bool value_selector(struct parse *c, const struct span *s, unsigned allowed, const char *help,
		    struct selector *ret)
{
	const struct selector_form *f = selector_form_of(s);

	if (span_is(s, "anyone")) {
		if (!(allowed & ALLOW_ANYONE))
			return selector_refused(c, s, help);
		*ret = (struct selector){
			.kind = SELECTOR_ANYONE, .line = s->at.line, .column = s->at.column};
		return true;
	}
	if (!f)
		return selector_unknown(c, s, allowed, help);
	if (!(allowed & 1u << f->kind))
		return selector_refused(c, s, help);
	return selector_named(c, s, f, help, ret);
}

/* --- places --- */

/* "192.0.2.7/24" -> "192.0.2.0/24": the network that was probably meant. */
static bool value_prefix_cut(const char *word, char out[static PREFIX_TEXT_MAX])
{
	const char *slash = strchr(word, '/');
	char host[PREFIX_TEXT_MAX];
	struct prefix p;
	uint64_t bits;

	if (!slash || num_parse_u64(slash + 1, 0, 128, &bits) < 0)
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - word), word);
	if (prefix_parse(host, &p) < 0 || bits > p.bits)
		return false;
	for (size_t i = (size_t)bits; i < p.bits; i++)
		p.addr.b[i / 8] = (uint8_t)(p.addr.b[i / 8] & ~(0x80 >> (i % 8)));
	p.bits = (uint8_t)bits;
	prefix_print(&p, out);
	return true;
}

/* "::ffff:192.0.2.0/120": no packet and no connection has such an address, so an except of it would
 * keep nobody out. Says it. */
static bool is_mapped(struct parse *c, const struct span *s, const struct prefix *p)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct prefix v4 = {.addr.family = ADDR_V4};
	char text[PREFIX_TEXT_MAX];

	if (p->addr.family != ADDR_V6 || p->bits < 96 ||
	    memcmp(p->addr.b, mapped, sizeof(mapped)) != 0)
		return false;
	memcpy(v4.addr.b, p->addr.b + sizeof(mapped), 4);
	v4.bits = (uint8_t)(p->bits - 96);
	prefix_print(&v4, text);
	diag_hint(problem_with(c, s, "is an IPv4 network in the form of IPv6, which nothing has"),
		  "write %s", text);
	return true;
}

bool value_prefix(struct parse *c, const struct span *s, const char *help, struct prefix *ret)
{
	char word[PREFIX_TEXT_MAX], text[PREFIX_TEXT_MAX];
	int err = -ZT_EFORM;
	struct diag *d;

	if (span_text(s, word, sizeof(word)))
		err = prefix_parse(word, ret);
	if (err == 0)
		return c->env->was_accepted || !is_mapped(c, s, ret);
	if (err != -EINVAL) {
		diag_hint(problem_with(c, s, "is not a network"), "write %s", help);
		return false;
	}
	d = problem_with(c, s, "has bits behind its prefix");
	if (value_prefix_cut(word, text))
		diag_hint(d, "did you mean %s?", text);
	return false;
}

bool country_meant(const struct span *s, char out[static 3])
{
	if (s->n != 2 || !span_text(s, out, 3))
		return false;
	for (size_t i = 0; out[i]; i++)
		if (out[i] >= 'a' && out[i] <= 'z')
			out[i] = (char)(out[i] - 'a' + 'A');
	if (strcmp(out, "UK") == 0)
		memcpy(out, "GB", 3);
	return country_is_valid(out);
}

bool value_country(struct parse *c, const struct span *s, const struct span *full,
		   char ret[static 3])
{
	char word[3];
	struct diag *d;

	if (span_text(s, word, sizeof(word)) && country_is_valid(word)) {
		memcpy(ret, word, sizeof(word));
		return true;
	}
	d = problem_with(c, full, "is not a country");
	if (country_meant(s, word))
		diag_hint(d, "did you mean %.*s%s?", (int)(full->n - s->n), full->p, word);
	else
		diag_hint(d, "write its code of ISO 3166 in two capital letters: %.*sDE, %.*sAT",
			  (int)(full->n - s->n), full->p, (int)(full->n - s->n), full->p);
	return false;
}

/* The spot's number; it becomes one when it is first named. */
static bool spot_number(struct parse *c, const struct span *s, const struct policy_spot *spot,
			uint32_t *ret)
{
	for (*ret = 0; *ret < c->n_spots; (*ret)++)
		if (c->spots[*ret].place == spot->place &&
		    strcmp(c->spots[*ret].country, spot->country) == 0)
			return true;
	if (c->n_spots == POLICY_SPOTS_MAX) {
		diag_hint(problem_with(c, s, "is one place too many"),
			  "rules name at most %d different places and countries: put some together "
			  "in a [place NAME]",
			  POLICY_SPOTS_MAX);
		return false;
	}
	c->spots[c->n_spots++] = *spot;
	return true;
}

/* Neither a place nor a country: what may have been meant? */
static bool spot_unknown(struct parse *c, const struct span *s, const char *help)
{
	struct diag *d = problem_with(c, s, "is not allowed here");
	char word[PREFIX_TEXT_MAX];
	struct prefix p;

	if (span_text(s, word, sizeof(word)) && prefix_parse(word, &p) == 0)
		diag_hint(d,
			  "networks make a place: write source = %s in a section [place NAME], and "
			  "place:NAME here",
			  word);
	else if (span_is(s, "anywhere") || span_is(s, "any") || span_is(s, "*"))
		diag_hint(d, "leave the key out: without it a rule holds anywhere");
	else if (country_meant(s, word))
		diag_hint(d, "did you mean country:%s?", word);
	else if (!hint_meant(c, d, s, help))
		diag_hint(d, "write %s", help);
	return false;
}

bool value_spot(struct parse *c, const struct span *s, const char *help, uint32_t *ret)
{
	struct policy_spot spot = {0};
	struct span name;

	if (span_starts(s, "country:")) {
		name = span_skip(*s, strlen("country:"));
		return value_country(c, &name, s, spot.country) && spot_number(c, s, &spot, ret);
	}
	if (span_starts(s, "place:")) {
		name = span_skip(*s, strlen("place:"));
		return value_reference(c, &name, s, THING_PLACE, help, &spot.place) &&
		       spot_number(c, s, &spot, ret);
	}
	return spot_unknown(c, s, help);
}
