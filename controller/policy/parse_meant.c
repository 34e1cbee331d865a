/* What a refused item of a list was to be. What the list takes is what its help names: a hint that
 * is followed then gives an item that is read. */
#include "controller/policy/parse.h"

#include <stdio.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"

enum {
	UNDECLARED = -1,
	NAMES_SHOWN = 8,
	NAMES_TEXT_MAX = 160,
	NEAR_OF_ANY_MAX = 1000, /* names of a kind that one without a prefix is held against */
};

/* Items with a prefix. Those of a thing are declared by a section, of the others the form is all
 * that can be looked at. */
static const struct form {
	const char *word, *noun, *stands; /* in which key of a rule */
	int thing;
	bool (*valid)(const char *);
} forms[] = {
	{"user", "user", "who", UNDECLARED, txt_is_email},
	{"group", "group", "who", THING_GROUP, NULL},
	{"tag", "tag", "who", UNDECLARED, txt_is_name},
	{"device", "device", "who", UNDECLARED, txt_is_hostname},
	{"resource", "resource", "what", THING_RESOURCE, NULL},
	{"posture", "posture", "how", THING_POSTURE, NULL},
	{"place", "place", "where", THING_PLACE, NULL},
	{"country", "country", "where", UNDECLARED, NULL},
	{"schedule", "schedule", "when", THING_SCHEDULE, NULL},
	{"data", "class of data", "an invariant", UNDECLARED, txt_is_name},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

/* --- parts --- */

static bool is_taken(const struct form *f, const char *help)
{
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%s:", f->word);
	return strstr(help, prefix) != NULL;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "shedule: s" -> "shedule", "s". Without a joint between two parts the name is all of it. */
static void split(const struct span *s, struct span *ret_head, struct span *ret_name)
{
	size_t head = 0, name;

	while (head < s->n && is_letter(s->p[head]))
		head++;
	name = head;
	while (name < s->n && strchr(" \t:=/.-", s->p[name]))
		name++;
	if (head == 0 || name == head || name == s->n)
		head = name = 0;
	*ret_head = *s;
	ret_head->n = head;
	*ret_name = span_skip(*s, name);
}

/* The form that the head is: one that the list takes where it can be, which may be misspelt before
 * a colon or an equals sign. */
static const struct form *form_of(const struct span *head, const char *help)
{
	const char *words[FORMS], *near;
	char lower[PARSE_WORD_MAX];
	bool sure;

	if (head->n == 0 || !span_text(head, lower, sizeof(lower)))
		return NULL;
	sure = strchr(":= ", head->p[head->n]) != NULL; /* a name follows */
	text_to_lower(lower);
	for (size_t i = 0; i < FORMS; i++) {
		words[i] = is_taken(&forms[i], help) ? forms[i].word : "";
		if (txt_equal(lower, forms[i].word))
			return &forms[i];
	}
	near = sure ? nearest_to(head, words, FORMS) : NULL;
	/* what is not declared cannot bear out a guess that is far */
	for (size_t i = 0; near && i < FORMS; i++)
		if (*near && near == words[i] &&
		    (forms[i].thing != UNDECLARED || lower[0] == near[0]))
			return &forms[i];
	return NULL;
}

/* The name in the form that is read as f's, and is declared where it must be. */
static bool complete(const struct parse *c, const struct form *f, const struct span *name,
		     char out[static PARSE_WORD_MAX])
{
	if (!span_text(name, out, PARSE_WORD_MAX) || name->n == 0)
		return false;
	if (txt_equal(f->word, "country"))
		return country_meant(name, out);
	text_to_lower(out);
	return f->thing == UNDECLARED ? f->valid(out)
				      : names_find(&c->names, (unsigned)f->thing, out,
						   strlen(out)) != NAMES_ABSENT;
}

/* A thing that is declared under this name; taken: one that the list takes, or else one that it
 * does not. */
static const struct form *declared(const struct parse *c, const struct span *name, const char *help,
				   bool taken, char out[static PARSE_WORD_MAX])
{
	for (size_t i = 0; i < FORMS; i++)
		if (forms[i].thing != UNDECLARED && is_taken(&forms[i], help) == taken &&
		    complete(c, &forms[i], name, out))
			return &forms[i];
	return NULL;
}

static const char *nearest_name(struct parse *c, const struct form *f, const struct span *name)
{
	const char *const *names =
		f->thing == UNDECLARED ? NULL : thing_names(c, (enum thing)f->thing);

	return names ? nearest_to(name, names, c->count[f->thing]) : NULL;
}

/* --- hints --- */

/* "not group:x", "!group:x": lists have an except for that. */
static bool hint_not(struct diag *d, const struct span *s, const char *help)
{
	static const char *const words[] = {"not ", "NOT ", "except ", "without ", "!", "-", "~"};
	struct span rest, head, name;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!span_starts(s, words[i]))
			continue;
		rest = span_trim(span_skip(*s, strlen(words[i])));
		split(&rest, &head, &name);
		if (!form_of(&head, help) || rest.n > POLICY_TEXT_SHOWN)
			continue;
		diag_hint(d, "what is left out stands in a key of its own: except = %.*s",
			  (int)rest.n, rest.p);
		return true;
	}
	return false;
}

/* An address is a user's, two capitals are a country's. */
static const struct form *by_form(const struct parse *c, const struct span *name, const char *help,
				  char out[static PARSE_WORD_MAX])
{
	for (size_t i = 0; i < FORMS; i++) {
		const struct form *f = &forms[i];
		bool fits = f->valid == txt_is_email ||
			    (txt_equal(f->word, "country") && name->p[0] <= 'Z');

		if (fits && is_taken(f, help) && complete(c, f, name, out))
			return f;
	}
	return NULL;
}

/* The name stands behind the prefix of something else, or none. */
static bool hint_other(struct parse *c, struct diag *d, const struct form *f,
		       const struct span *name, const char *help)
{
	char word[PARSE_WORD_MAX];
	const struct form *other = declared(c, name, help, true, word);

	if (!other)
		other = by_form(c, name, help, word);
	if (other && f)
		diag_hint(d, "%s is a %s: write %s:%s", word, other->noun, other->word, word);
	else if (other)
		diag_hint(d, "did you mean %s:%s?", other->word, word);
	return other != NULL;
}

/* In a list of devices alone a name is most likely that of a tag. */
static bool hint_tag(struct diag *d, const struct span *name, const char *help)
{
	char word[PARSE_WORD_MAX];

	if (!strstr(help, "tag:") || strstr(help, "user:") || strstr(help, "resource:") ||
	    span_is(name, "anyone") || !span_text(name, word, sizeof(word)) || !txt_is_name(word))
		return false;
	diag_hint(d, "did you mean tag:%s?", word);
	return true;
}

/* What has its place elsewhere. */
static bool hint_elsewhere(struct parse *c, struct diag *d, const struct form *f,
			   const struct span *name, const char *help)
{
	char word[PARSE_WORD_MAX];
	const struct form *other = declared(c, name, help, false, word);

	if (!other || (f && other == f))
		return false;
	diag_hint(d, "%s is a %s, which stands in %s; write %s", word, other->noun, other->stands,
		  help);
	return true;
}

static bool is_short(const struct parse *c, const struct form *f)
{
	return f->thing != UNDECLARED && c->count[f->thing] <= NEAR_OF_ANY_MAX;
}

static bool hint_near(struct parse *c, struct diag *d, const struct form *f,
		      const struct span *name, const char *help)
{
	const char *near = NULL;

	for (size_t i = 0; i < FORMS && !near; i++)
		if (f ? f == &forms[i] : is_taken(&forms[i], help) && is_short(c, &forms[i])) {
			near = nearest_name(c, &forms[i], name);
			if (near)
				diag_hint(d, "did you mean %s:%s?", forms[i].word, near);
		}
	return near != NULL;
}

bool hint_meant(struct parse *c, struct diag *d, const struct span *s, const char *help)
{
	const struct form *f;
	struct span head, name;
	char word[PARSE_WORD_MAX];

	if (!d || s->n == 0)
		return false;
	if (hint_not(d, s, help))
		return true;
	split(s, &head, &name);
	f = head.n ? form_of(&head, help) : NULL;
	if (!f) {
		head.n = 0;
		name = *s;
	}
	if (f && span_is(&name, "*") && f->thing == THING_RESOURCE && strstr(help, "resource:*")) {
		diag_hint(d, "did you mean resource:*?");
		return true;
	}
	if (f && is_taken(f, help) && complete(c, f, &name, word)) {
		diag_hint(d, "did you mean %s:%s?", f->word, word);
		return true;
	}
	return hint_other(c, d, f, &name, help) ||
	       (f && is_taken(f, help) && hint_near(c, d, f, &name, help)) ||
	       hint_elsewhere(c, d, f, &name, help) ||
	       (!f && (hint_near(c, d, NULL, &name, help) || hint_tag(d, &name, help)));
}

void hint_declare(struct parse *c, struct diag *d, enum thing kind)
{
	const char *const *names = d ? thing_names(c, kind) : NULL;
	char text[NAMES_TEXT_MAX];
	const char *noun = "";
	struct buf b;

	for (size_t i = 0; i < FORMS; i++)
		if (forms[i].thing == (int)kind)
			noun = forms[i].noun;
	if (!names || c->count[kind] == 0 || c->count[kind] > NAMES_SHOWN) {
		diag_hint(d, "declare it in a section [%s NAME]", noun);
		return;
	}
	buf_init(&b, text, sizeof(text) - 1);
	for (uint32_t i = 0; i < c->count[kind]; i++)
		buf_printf(&b, "%s%s", i ? ", " : "", names[i]);
	if (b.err)
		diag_hint(d, "declare it in a section [%s NAME]", noun);
	else
		diag_hint(d, "declare it in a section [%s NAME]; there %s %.*s", noun,
			  c->count[kind] == 1 ? "is" : "are", (int)b.len, (const char *)b.data);
}
