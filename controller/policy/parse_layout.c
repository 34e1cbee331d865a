/* Lines that stand where they are not read as they were meant: keys that are indented, so that they
 * would silently be part of the value above, parts of a list that are not, and keys behind which
 * something else stands than an equals sign. Each is said, and read as it was meant, so that only
 * the cause is said and what else is wrong in it as well. */
#include "controller/policy/parse_section.h"

#include <string.h>
#include <strings.h>

enum { TAB_SPACES = 8 };

/* --- keys and signs --- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The word that the line begins with, when it is one that a key could be. */
static struct span first_word(const struct span *line)
{
	struct span word = *line;
	size_t n = 0;

	while (n < line->n && (is_letter(line->p[n]) || line->p[n] == '_' || line->p[n] == '-'))
		n++;
	while (n > 0 && line->p[n - 1] == '-') /* "who-> group:a" */
		n--;
	word.n = n;
	return word;
}

/* What s begins with of what people write between a key and its value; NULL: nothing. */
static const char *sign_of(const struct span *s)
{
	static const char *const signs[] = {":=", "=>", "==", "->", "=", ":", "is "};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (span_starts(s, signs[i]))
			return signs[i];
	return NULL;
}

static bool is_key(const struct key *k, const struct span *word)
{
	return k && strlen(k->name) == word->n && strncasecmp(k->name, word->p, word->n) == 0;
}

/* Is its value text of people, in which nothing is refused for what it says? */
static bool is_words(const struct key *k)
{
	return k && (strcmp(k->name, "why") == 0 || strcmp(k->name, "ticket") == 0);
}

/* --- keys that are indented --- */

struct indented {
	struct span word, value;
	const struct key *meant; /* NULL: none, but in a text it reads like one all the same */
	const char *foreign;	 /* what to write when it is a key of other languages; or NULL */
	bool plain;		 /* a key and an equals sign, as they should be */
};

/* Does a line that continues the value of k read like a key? In a text any word before an equals
 * sign does: "expiry = 2027-01-01" is no reason. A colon is frequent in texts and in names: behind
 * it the word must be a key, or a long one near it. */
static bool reads_like_key(const struct parse *c, const struct section *s, const struct key *k,
			   const struct span *line, struct indented *ret)
{
	struct span word = first_word(line), rest = span_trim(span_skip(*line, word.n));
	const char *sign = word.n ? sign_of(&rest) : NULL;
	bool colon = sign && strcmp(sign, ":") == 0;

	if (!sign || strcmp(sign, "is ") == 0)
		return false;
	*ret = (struct indented){.word = word,
				 .value = span_trim(span_skip(rest, strlen(sign))),
				 .meant = key_meant(s, &word),
				 .foreign = key_foreign(s, &word),
				 .plain = key_find(s, word.p, word.n) && strcmp(sign, "=") == 0};
	if (ret->plain || (strcmp(sign, "=>") == 0 && key_find(s, word.p, word.n)))
		return true;
	if (c->env->was_accepted) /* it was read as part of the value */
		return false;
	if (colon && !is_words(k) && rest.n > 1 && !is_blank(rest.p[1]))
		return false; /* country:DE */
	if (ret->meant)
		return !colon || word.n > 4 || is_key(ret->meant, &word);
	return is_words(k) && strchr(sign, '=') && strcmp(sign, "==") != 0;
}

/* Does a tab stand before one of the two, and spaces alone before the other? */
static bool tab_differs(const struct span *key, const struct span *line)
{
	size_t n_key = key->at.column - 1, n_line = line->at.column - 1;

	return !memchr(key->p - n_key, '\t', n_key) != !memchr(line->p - n_line, '\t', n_line);
}

static void say_indented(struct parse *c, const struct span *head, const struct span *line,
			 const struct indented *i)
{
	struct diag *d =
		problem_at(c, line->at, "this line reads like a key, but continues \"%.*s\"",
			   (int)head->n, head->p);

	if (tab_differs(head, line))
		diag_hint(d,
			  "a tab is as wide as %d spaces here: indent all keys alike, with spaces "
			  "or with tabs",
			  TAB_SPACES);
	else if (i->foreign)
		diag_hint(d, "%s, at the margin of \"%.*s\"", i->foreign, (int)head->n, head->p);
	else if (!i->meant)
		diag_hint(d,
			  "is it a key, write it at the margin of \"%.*s\"; is it part of the "
			  "text, write it without the equals sign",
			  (int)head->n, head->p);
	else if (!i->plain)
		diag_hint(d, "did you mean %s = ... at the margin of \"%.*s\"?", i->meant->name,
			  (int)head->n, head->p);
	else
		diag_hint(d, "keys begin at the same margin; a line that is indented deeper "
			     "continues the key above it");
}

/* "until 2027-01-31" in a text: two words may be a sentence, and may be a key. */
static void warn_words(struct parse *c, const struct section *s, const struct span *head,
		       const struct span *line)
{
	struct span word = first_word(line), rest = span_trim(span_skip(*line, word.n));
	const struct key *k = word.n ? key_meant(s, &word) : NULL;

	if (c->env->was_accepted || !is_key(k, &word) || rest.n == 0 ||
	    !is_blank(line->p[word.n]) || memchr(rest.p, ' ', rest.n))
		return;
	diag_hint(warn_at(c, line->at, "this line is part of \"%.*s\"", (int)head->n, head->p),
		  "is it a key, write %s = ... at the margin of \"%.*s\"", k->name, (int)head->n,
		  head->p);
}

/* Where the line begins, on which nothing but white space stands before s. */
static const char *line_start(const struct span *s)
{
	return s->p - (s->at.column - 1);
}

/* Not where more must be written than another key before the value. */
static bool is_read_as_key(const struct indented *i)
{
	return i->meant && (!i->foreign || strstr(i->foreign, "..."));
}

bool layout_split(struct parse *c, const struct section *s, const struct span *head,
		  struct lex_item *item, struct lex_item *ret_next)
{
	const struct key *k = key_meant(s, &item->name);
	struct lex v = item->value;
	struct indented found;
	struct span line;

	/* What stands behind the equals sign itself is no line of its own; and a first line below
	 * it was not looked at before. */
	for (bool first = true; !c->stop && lex_value_line(&v, &line); first = false) {
		if (first && (c->env->was_accepted || line.at.line == item->name.at.line))
			continue;
		if (!reads_like_key(c, s, k, &line, &found)) {
			if (is_words(k))
				warn_words(c, s, head, &line);
			continue;
		}
		say_indented(c, head, &line, &found);
		if (!is_read_as_key(&found))
			continue;
		*ret_next = (struct lex_item){.kind = LEX_KEY, .name = found.word};
		ret_next->value = (struct lex){
			.p = found.value.p, .end = item->value.end, .at = found.value.at};
		item->value.end = line_start(&line);
		return true;
	}
	return false;
}

/* --- keys without a plain equals sign --- */

bool layout_key(struct parse *c, const struct section *s, struct lex_item *item)
{
	struct span line = item->name, word = first_word(&line), rest;
	const struct key *k = word.n ? key_meant(s, &word) : NULL;
	const char *sign;
	struct diag *d;

	rest = span_trim(span_skip(line, word.n));
	sign = sign_of(&rest);
	if (!k || (!sign && !(rest.n > 0 && is_blank(word.p[word.n]))))
		return false;
	/* "then clerks ..." is hardly "when = clerks ..." */
	if ((!sign || strcmp(sign, "is ") == 0) && !is_key(k, &word))
		return false;
	rest = span_trim(span_skip(rest, sign ? strlen(sign) : 0));
	d = problem_with(c, &line, "has no plain equals sign behind its key");
	if (rest.n > 0 && rest.n <= POLICY_TEXT_SHOWN)
		diag_hint(d, "write %s = %.*s", k->name, (int)rest.n, rest.p);
	else
		diag_hint(d, "write %s = ...", k->name);
	if (d) /* what else is wrong in the value is said with the value */
		c->refused[d - c->problems->items].n = 0;
	*item = (struct lex_item){.kind = LEX_KEY,
				  .name = word,
				  .value = {.p = rest.p, .end = item->value.end, .at = rest.at}};
	return true;
}

void layout_sign(struct parse *c, struct lex_item *item)
{
	struct lex *v = &item->value;
	struct span sign = {.p = v->p - 1, .n = 2, .at = v->at};

	if (v->p == v->end || (*v->p != '=' && *v->p != '>') || c->env->was_accepted)
		return;
	sign.at.column--;
	diag_hint(problem_with(c, &sign, "is not what stands behind a key"), "write =");
	v->p++;
	v->at.column++;
}

/* --- lists that go on at the margin --- */

/* Does the value go on: does it end with a comma, or has it nothing? *ret_comma: where the comma
 * stands; NULL: nothing stands there at all. */
static bool is_open(const struct lex *value, const char **ret_comma)
{
	const char *end = value->end;
	struct span line;

	*ret_comma = NULL;
	while (end > value->p) {
		const char *start = memrchr(value->p, '\n', (size_t)(end - 1 - value->p));
		struct lex last = {.p = start ? start + 1 : value->p,
				   .end = end,
				   .at = {.line = 1, .column = start ? 1 : 2}};

		end = last.p; /* a comment behind it may begin with any sign, but not the line */
		if (!lex_value_line(&last, &line))
			continue;
		*ret_comma = line.p + line.n - 1;
		return **ret_comma == ',';
	}
	return true;
}

/* May the item, which stands at the margin, be part of the list above? Not when a key was meant by
 * it: indented, it would be swallowed. */
static bool may_continue(const struct section *s, const struct lex_item *item)
{
	const struct span *line = &item->name;
	struct span word = first_word(line);
	bool key = word.n > 0 && key_meant(s, &word);

	if (item->kind == LEX_WRONG)
		return line->p[0] != '[' && !header_is_bare(line) && !key;
	if (item->kind != LEX_KEY)
		return false;
	if (word.n < line->n) /* "os.version >" is the name of no key */
		return !key || line->p[word.n] == '.';
	return !key && item->value.p < item->value.end && *item->value.p == '=';
}

/* White space that no indentation is made of, though it looks like it. */
static bool starts_with_strange_space(const struct span *s)
{
	return span_starts(s, "\u00a0") || span_starts(s, "\u3000") || span_starts(s, "\u202f") ||
	       (span_starts(s, "\xe2\x80") && s->n > 2 && (unsigned char)s->p[2] <= 0x8a);
}

/* Says a line that continues a list, but is not indented. */
static void say_margin(struct parse *c, const struct span *key, const struct span *line)
{
	struct diag *d =
		problem_at(c, line->at, "this line continues \"%.*s\", but is not indented",
			   (int)key->n, key->p);

	if (starts_with_strange_space(line))
		diag_hint(d, "what it begins with is no plain space: indent it with spaces");
	else
		diag_hint(d, "indent it deeper than its key");
}

void layout_join(struct parse *c, const struct section *s, struct lex *l, struct lex_item *item)
{
	struct lex_item next;
	struct lex ahead = *l, value = item->value;
	const char *comma;
	bool cut = false;

	while (s && !c->stop &&
	       (is_open(&value, &comma) || (ahead.p < ahead.end && *ahead.p == ','))) {
		lex_next(&ahead, &next);
		if (!may_continue(s, &next))
			return;
		say_margin(c, &item->name, &next.name);
		if (next.kind == LEX_WRONG)
			lex_take_continuation(&ahead, &next.name);
		/* Its items are read with the list, but for those with a space that is none. */
		if (starts_with_strange_space(&next.name) && comma && !cut)
			item->value.end = comma;
		cut |= starts_with_strange_space(&next.name);
		if (!cut)
			item->value.end = ahead.p;
		value = (struct lex){.p = next.name.p, .end = ahead.p};
		*l = ahead;
	}
}
