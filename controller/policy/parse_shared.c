/* What the keys of several sections have in common: how many items a list may have, who answers
 * for a thing, words of people. */
#include "controller/policy/parse_section.h"

#include <string.h>

const char windows_hint[] = "put days together (Mon-Fri), and dates (2026-12-24..2026-12-26)";

struct place value_place(struct lex v)
{
	struct span s = {.at = v.at};

	lex_value_line(&v, &s);
	return s.at;
}

size_t value_count(struct parse *c, const struct lex *v, size_t n, size_t max, const char *what,
		   const char *hint)
{
	if (n <= max)
		return n;
	diag_hint(problem_at(c, value_place(*v), "there are %zu %s here, at most %zu are possible",
			     n, what, max),
		  "%s", hint);
	return max;
}

const char *value_owner(struct parse *c, const struct lex *v, const char *help)
{
	struct selector owner;
	struct span s;

	if (!value_line(c, v, help, &s) ||
	    !value_selector(c, &s, ALLOW_USER | ALLOW_GROUP, help, &owner))
		return NULL;
	return parse_text(c, &s);
}

const char *value_words(struct parse *c, const struct lex *v, const char *noun, const char *help)
{
	const char *text = value_text(c, *v);

	if (text && strlen(text) > ZT_WHY_MAX)
		diag_hint(problem_at(c, value_place(*v), "the %s is %zu bytes long", noun,
				     strlen(text)),
			  "write %s", help);
	return text;
}

bool value_who(struct parse *c, const struct span *s, const char *help, void *ret)
{
	return value_selector(c, s,
			      ALLOW_USER | ALLOW_GROUP | ALLOW_TAG | ALLOW_DEVICE | ALLOW_ANYONE,
			      help, ret);
}
