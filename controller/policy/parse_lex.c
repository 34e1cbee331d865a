/* Lexer of the policy file. INI in inih's manner: [section name], key = value, lines that begin
 * with ; or # are comments, " ;" ends a value, a line indented deeper than its key continues it.
 * Read in place, without memory of its own, in time linear in the text.
 *
 * Not inih itself. Tried with Debian 12's libinih 55-1 (INI_USE_STACK, INI_MAX_LINE 200, no
 * realloc): one "members =" line of 826 bytes came out as five entries: three hundred bytes on, the
 * rest of the line was handed over as key "ple.com, user" (':' separates keys too), so members
 * silently became keys. ini_max_line is a process-wide variable whose buffer still is a fixed one
 * on the stack, a section without keys is never reported, and the handler is told neither line nor
 * column (INI_HANDLER_LINENO 0). Refusing with line and column, and lists of 100,000 members, need
 * all of these. */
#include "controller/policy/parse_lex.h"

#include <stdint.h>
#include <string.h>

#include "zt/txt.h"

/* --- spans --- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* UTF-8 continuation bytes start no character. */
static unsigned count_chars(const char *p, size_t n)
{
	unsigned chars = 0;

	for (size_t i = 0; i < n; i++)
		chars += ((unsigned char)p[i] & 0xc0) != 0x80;
	return chars;
}

struct span span_skip(struct span s, size_t n)
{
	s.at.column += count_chars(s.p, n);
	s.p += n;
	s.n -= n;
	return s;
}

struct span span_trim(struct span s)
{
	size_t lead = 0;

	while (lead < s.n && is_blank(s.p[lead]))
		lead++;
	s = span_skip(s, lead);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool span_is(const struct span *s, const char *text)
{
	return strlen(text) == s->n && memcmp(s->p, text, s->n) == 0;
}

bool span_starts(const struct span *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s->n >= n && memcmp(s->p, prefix, n) == 0;
}

bool span_text(const struct span *s, char *out, size_t size)
{
	out[0] = '\0';
	if (s->n >= size)
		return false;
	memcpy(out, s->p, s->n);
	out[s->n] = '\0';
	return true;
}

/* --- lines --- */

/* Length of line p[0..n) up to its comment: a ; or, where the text begins a whole line, a # at its
 * start ("why = #12" is none), or a ; after white space. */
static size_t before_comment(const char *p, size_t n, bool whole)
{
	const char *at = p;

	if (n > 0 && (p[0] == ';' || (whole && p[0] == '#')))
		return 0;
	while ((at = memchr(at, ';', n - (size_t)(at - p))) != NULL) {
		if (is_blank(at[-1]))
			return (size_t)(at - p);
		at++;
	}
	return n;
}

/* Take one physical line: *ret is what stands on it, trimmed. False at the end of the text. */
static bool take_line(struct lex *l, struct span *ret)
{
	const char *nl;
	size_t n;

	if (l->p == l->end)
		return false;
	if (*l->p == '\n' && l->at.column == 1) { /* empty: the most frequent line of a huge file */
		*ret = (struct span){.p = l->p++, .at = {.line = l->at.line++, .column = 1}};
		return true;
	}
	nl = memchr(l->p, '\n', (size_t)(l->end - l->p));
	n = (size_t)((nl ? nl : l->end) - l->p);
	*ret = span_trim((struct span){.p = l->p, .n = n, .at = l->at});
	ret->n = before_comment(ret->p, ret->n, l->at.column == 1);
	*ret = span_trim(*ret);
	l->p += n + (nl != NULL);
	if (nl)
		l->at = (struct place){.line = l->at.line + 1, .column = 1};
	else
		l->at.column += count_chars(l->end - n, n);
	return true;
}

/* Width of the white space before what stands on a line, tabs to the next multiple of 8. */
static unsigned indent_of(const char *line, const char *content)
{
	unsigned width = 0;

	for (; line < content; line++)
		width = *line == '\t' ? (width / 8 + 1) * 8 : width + 1;
	return width;
}

/* Move l past the lines that continue a key indented by indent. Comments and empty lines between
 * them belong to it; a section line never does, however deep it stands. */
static void take_continuation(struct lex *l, unsigned indent)
{
	struct lex ahead = *l;
	struct span s;

	for (const char *start = ahead.p; take_line(&ahead, &s); start = ahead.p) {
		if (s.n == 0)
			continue;
		if (s.p[0] == '[' || indent_of(start, s.p) <= indent)
			return;
		*l = ahead;
	}
}

/* --- items --- */

static void wrong_line(struct lex_item *ret, const struct span *s, const char *wrong,
		       const char *hint)
{
	*ret = (struct lex_item){.kind = LEX_WRONG, .name = *s, .wrong = wrong, .hint = hint};
}

static void section_item(const struct span *s, struct lex_item *ret)
{
	const char *close = memchr(s->p, ']', s->n);
	struct span in = span_skip(*s, 1);
	size_t n = 0;

	if (!close)
		return wrong_line(ret, s, "has no closing bracket", NULL);
	if (close != s->p + s->n - 1)
		return wrong_line(ret, s, "goes on after its closing bracket",
				  "keys begin on a line of their own; comments with \" ;\"");
	in.n--;
	in = span_trim(in);
	if (in.n == 0)
		return wrong_line(ret, s, "names no section", "write it as [group finance]");
	while (n < in.n && !is_blank(in.p[n]))
		n++;
	*ret = (struct lex_item){.kind = LEX_SECTION, .name = in};
	ret->name.n = n;
	ret->arg = span_trim(span_skip(in, n));
}

static void key_item(struct lex *l, const char *start, const struct span *s, struct lex_item *ret)
{
	const char *equals = memchr(s->p, '=', s->n);
	struct span value;
	size_t n;

	if (!equals)
		return wrong_line(ret, s, "is neither a section, a key with a value, nor a comment",
				  "write [section name] or key = value; a line that continues a "
				  "list is indented deeper than its key");
	n = (size_t)(equals - s->p);
	*ret = (struct lex_item){.kind = LEX_KEY, .name = *s};
	ret->name.n = n;
	ret->name = span_trim(ret->name);
	if (n == 0)
		return wrong_line(ret, s, "has no key before its equals sign", "write key = value");
	value = span_skip(*s, n + 1);
	ret->value = (struct lex){.p = value.p, .at = value.at};
	take_continuation(l, indent_of(start, s->p));
	ret->value.end = l->p;
}

void lex_take_continuation(struct lex *l, const struct span *s)
{
	take_continuation(l, indent_of(s->p - (s->at.column - 1), s->p));
}

void lex_init(struct lex *l, const char *text, size_t n)
{
	static const char bom[] = "\xef\xbb\xbf";
	size_t skip = n >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0;

	*l = (struct lex){.p = text + skip, .end = text + n, .at = {.line = 1, .column = 1}};
}

void lex_next(struct lex *l, struct lex_item *ret)
{
	struct span s;

	for (const char *start = l->p; take_line(l, &s); start = l->p) {
		if (s.n == 0)
			continue;
		if (s.p[0] == '[')
			return section_item(&s, ret);
		return key_item(l, start, &s, ret);
	}
	*ret = (struct lex_item){.kind = LEX_END};
}

/* --- values --- */

bool lex_value_line(struct lex *value, struct span *ret)
{
	struct span s;

	while (take_line(value, &s)) {
		if (s.n == 0)
			continue;
		*ret = s;
		return true;
	}
	return false;
}

void lex_list_init(struct lex_list *l, const struct lex *value)
{
	*l = (struct lex_list){.rest = *value};
	l->open = lex_value_line(&l->rest, &l->line);
}

/* A comma stood here: go on behind it, on the next line when nothing follows, and with one empty
 * item when there is no next line either. */
static void after_comma(struct lex_list *l, size_t comma)
{
	struct span at_comma = span_skip(l->line, comma);

	at_comma.n = 0;
	l->line = span_trim(span_skip(l->line, comma + 1));
	if (l->line.n > 0)
		return;
	l->open = lex_value_line(&l->rest, &l->line);
	l->after_comma = !l->open;
	if (l->after_comma)
		l->line = at_comma;
}

/* The line ended without a comma: the list is over, or the next line begins with the comma. */
static void end_of_line(struct lex_list *l, bool *ret_joined)
{
	l->open = lex_value_line(&l->rest, &l->line);
	if (l->open && l->line.p[0] == ',')
		after_comma(l, 0);
	else
		*ret_joined = l->open;
}

bool lex_list_next(struct lex_list *l, struct span *ret, bool *ret_joined)
{
	const char *comma;
	size_t n;

	*ret_joined = false;
	if (!l->open && !l->after_comma)
		return false;
	if (l->after_comma) {
		*ret = l->line;
		l->after_comma = false;
		return true;
	}
	comma = memchr(l->line.p, ',', l->line.n);
	n = comma ? (size_t)(comma - l->line.p) : l->line.n;
	*ret = l->line;
	ret->n = n;
	*ret = span_trim(*ret);
	if (comma)
		after_comma(l, n);
	else
		end_of_line(l, ret_joined);
	return true;
}

/* --- bytes that have no place in the file --- */

static size_t utf8_length(unsigned char lead)
{
	return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* U+202A..202E and U+2066..2069 make a line read otherwise than it is ("trojan source"). */
static bool is_direction_mark(const unsigned char *p, size_t n)
{
	return n == 3 && p[0] == 0xe2 &&
	       ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
		(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

/* What is wrong with the character at p; NULL when nothing. *ret_n: its length. */
static const char *bad_char(const char *p, const char *end, size_t *ret_n)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t left = (size_t)(end - p), n = utf8_length(*u);

	*ret_n = 1;
	if (*u == 0)
		return "a NUL byte stands here: this is not a text file";
	if (*u == '\t' || (*u == '\r' && (left == 1 || p[1] == '\n')))
		return NULL;
	if (*u < 0x20 || *u == 0x7f)
		return "a control character stands here";
	if (n > left || !txt_is_utf8(p, n))
		return "these bytes are not UTF-8";
	*ret_n = n;
	if (n == 2 && *u == 0xc2 && u[1] < 0xa0) /* U+0080..009F: "next line", terminal commands */
		return "a control character stands here";
	if (is_direction_mark(u, n))
		return "an invisible mark here changes the direction of text";
	return NULL;
}

/* Text and line ends: nearly all of a policy, and nothing to look at more closely. */
static bool is_plain(char c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\n';
}

static void next_line(struct lex *l, const char *newline)
{
	l->p = newline + 1;
	l->at.line++;
	l->at.column = 1;
}

bool lex_find_bad(struct lex *l, struct span *ret, const char **ret_what)
{
	const char *p = l->p, *what;
	size_t n;

	for (; p < l->end; p += n) {
		n = 1;
		if (*p == '\n')
			next_line(l, p);
		if (is_plain(*p))
			continue;
		what = bad_char(p, l->end, &n);
		if (!what)
			continue;
		*ret = (struct span){.p = l->p, .n = (size_t)(p - l->p) + n, .at = l->at};
		*ret = span_skip(*ret, (size_t)(p - l->p));
		*ret_what = what;
		p = memchr(p, '\n', (size_t)(l->end - p));
		if (p)
			next_line(l, p);
		else
			l->p = l->end;
		return true;
	}
	return false;
}
