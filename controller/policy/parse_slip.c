/* Slips that show in the text that was refused, whatever it was to be: quotes, a missing comma, a
 * character that looks like another, or like nothing. What a reader of the file cannot see, the
 * hint must say. */
#include "controller/policy/parse_condition.h"

#include <stdio.h>
#include <string.h>

#include "zt/buf.h"
#include "zt/txt.h"

enum { BEFORE_SHOWN = 24 };

/* --- quotes --- */

static const char *const quotes[] = {"\"",     "'",	 "`",	   "\u201c",
				     "\u201d", "\u201e", "\u2018", "\u2019"};

/* Length of the quote that s begins with, or ends with; 0: none. */
static size_t quote_at(const struct span *s, bool end)
{
	for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
		size_t n = strlen(quotes[i]);

		if (s->n >= n && memcmp(end ? s->p + s->n - n : s->p, quotes[i], n) == 0)
			return n;
	}
	return 0;
}

/* One that is fit to be written as it is. */
static bool is_word(const struct span *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->p[i] <= ' ' || s->p[i] > '~' || strchr("\"'=", s->p[i]))
			return false;
	return s->n > 0 && s->n <= POLICY_TEXT_SHOWN;
}

static bool slip_quotes(struct diag *d, const struct span *s)
{
	size_t first = quote_at(s, false);
	struct span in = span_skip(*s, first);
	size_t last = quote_at(&in, true);

	if (first + last == 0)
		return false;
	in.n -= last;
	if (is_word(&in))
		diag_hint(d, "no quotes are needed: write %.*s", (int)in.n, in.p);
	else
		diag_hint(d, "no quotes are needed");
	return true;
}

/* --- characters --- */

/* Characters that are taken for another (ascii), for a space (" ") or for nothing (""). */
static const struct {
	uint32_t first, last;
	const char *ascii;
} strange[] = {
	{0xa0, 0xa0, " "},	{0xad, 0xad, ""},	{0x131, 0x131, "i"},
	{0x261, 0x261, "g"},	{0x34f, 0x34f, ""},	{0x391, 0x391, "A"},
	{0x392, 0x392, "B"},	{0x395, 0x395, "E"},	{0x396, 0x396, "Z"},
	{0x397, 0x397, "H"},	{0x399, 0x399, "I"},	{0x39a, 0x39a, "K"},
	{0x39c, 0x39c, "M"},	{0x39d, 0x39d, "N"},	{0x39f, 0x39f, "O"},
	{0x3a1, 0x3a1, "P"},	{0x3a4, 0x3a4, "T"},	{0x3a5, 0x3a5, "Y"},
	{0x3a7, 0x3a7, "X"},	{0x3b1, 0x3b1, "a"},	{0x3b9, 0x3b9, "i"},
	{0x3ba, 0x3ba, "k"},	{0x3bd, 0x3bd, "v"},	{0x3bf, 0x3bf, "o"},
	{0x3c1, 0x3c1, "p"},	{0x3c5, 0x3c5, "u"},	{0x405, 0x405, "S"},
	{0x406, 0x406, "I"},	{0x408, 0x408, "J"},	{0x410, 0x410, "A"},
	{0x412, 0x412, "B"},	{0x415, 0x415, "E"},	{0x41a, 0x41a, "K"},
	{0x41c, 0x41c, "M"},	{0x41d, 0x41d, "H"},	{0x41e, 0x41e, "O"},
	{0x420, 0x420, "P"},	{0x421, 0x421, "C"},	{0x422, 0x422, "T"},
	{0x423, 0x423, "Y"},	{0x425, 0x425, "X"},	{0x430, 0x430, "a"},
	{0x435, 0x435, "e"},	{0x43a, 0x43a, "k"},	{0x43e, 0x43e, "o"},
	{0x440, 0x440, "p"},	{0x441, 0x441, "c"},	{0x443, 0x443, "y"},
	{0x445, 0x445, "x"},	{0x455, 0x455, "s"},	{0x456, 0x456, "i"},
	{0x458, 0x458, "j"},	{0x4bb, 0x4bb, "h"},	{0x501, 0x501, "d"},
	{0x51b, 0x51b, "q"},	{0x51d, 0x51d, "w"},	{0x61c, 0x61c, ""},
	{0x180e, 0x180e, ""},	{0x2000, 0x200a, " "},	{0x200b, 0x200f, ""},
	{0x2010, 0x2015, "-"},	{0x201a, 0x201a, ","},	{0x202f, 0x202f, " "},
	{0x2044, 0x2044, "/"},	{0x205f, 0x205f, " "},	{0x2060, 0x2064, ""},
	{0x2212, 0x2212, "-"},	{0x2215, 0x2215, "/"},	{0x2236, 0x2236, ":"},
	{0x2260, 0x2260, "!="}, {0x2264, 0x2264, "<="}, {0x2265, 0x2265, ">="},
	{0x3000, 0x3000, " "},	{0xfe00, 0xfe0f, ""},	{0xfeff, 0xfeff, ""},
};
static const uint32_t wide_first = 0xff01, wide_last = 0xff5e; /* "!" to "~", twice as wide */

/* The character at p and its length; what is not UTF-8 is 0 with a length of 1. */
static uint32_t char_at(const char *p, size_t left, size_t *ret_n)
{
	unsigned char lead = (unsigned char)*p;
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t code = n == 1 ? lead : lead & (0xffu >> (n + 1));

	*ret_n = 1;
	if (n > left || !txt_is_utf8(p, n))
		return 0;
	*ret_n = n;
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	return code;
}

/* What the character is taken for; NULL: for nothing but itself. one: room for a single one. */
static const char *taken_for(uint32_t code, char one[static 2])
{
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		if (code >= strange[i].first && code <= strange[i].last)
			return strange[i].ascii;
	if (code < wide_first || code > wide_last)
		return NULL;
	one[0] = (char)(code - wide_first + '!');
	one[1] = '\0';
	return one;
}

/* The text as it was meant. False when it is too long to be shown. */
static bool write_plain(const struct span *s, char out[static POLICY_TEXT_SHOWN + 4])
{
	char text[POLICY_TEXT_SHOWN + 4], one[2];
	struct span plain;
	struct buf b;
	size_t n;

	buf_init(&b, text, sizeof(text) - 1);
	for (size_t i = 0; i < s->n && !b.err; i += n) {
		const char *ascii = taken_for(char_at(s->p + i, s->n - i, &n), one);

		if (ascii)
			buf_put_text(&b, ascii);
		else
			buf_put(&b, s->p + i, n);
	}
	text[b.len] = '\0';
	plain = span_trim((struct span){.p = text, .n = b.len});
	text[(size_t)(plain.p - text) + plain.n] = '\0';
	txt_safe(plain.p, out, POLICY_TEXT_SHOWN + 4);
	return b.err == 0;
}

static void print_where(const struct span *s, size_t at, char out[static BEFORE_SHOWN + 16])
{
	char before[BEFORE_SHOWN + 1], safe[BEFORE_SHOWN + 1];
	size_t from = at > BEFORE_SHOWN ? at - BEFORE_SHOWN : 0;

	while (from < at && ((unsigned char)s->p[from] & 0xc0) == 0x80)
		from++;
	snprintf(before, sizeof(before), "%.*s", (int)(at - from), s->p + from);
	txt_safe(before, safe, sizeof(safe));
	if (at == 0)
		snprintf(out, BEFORE_SHOWN + 16, "at its beginning");
	else
		snprintf(out, BEFORE_SHOWN + 16, "behind \"%s\"", safe);
}

static void print_what(const char *ascii, char out[static 32])
{
	bool letter = (ascii[0] >= 'a' && ascii[0] <= 'z') || (ascii[0] >= 'A' && ascii[0] <= 'Z');

	if (ascii[0] == '\0')
		snprintf(out, 32, "is invisible");
	else if (ascii[0] == ' ')
		snprintf(out, 32, "is not a plain space");
	else
		snprintf(out, 32, letter ? "is not the Latin %s" : "is not \"%s\"", ascii);
}

static void slip_character(struct diag *d, const struct span *s)
{
	char where[BEFORE_SHOWN + 16], what[32], plain[POLICY_TEXT_SHOWN + 4], one[2];
	const char *ascii = NULL;
	uint32_t code = 0;
	size_t at = 0, n = 0;

	for (; at < s->n; at += n) {
		code = char_at(s->p + at, s->n - at, &n);
		ascii = taken_for(code, one);
		if (ascii)
			break;
	}
	if (!ascii)
		return;
	print_where(s, at, where);
	print_what(ascii, what);
	if (write_plain(s, plain))
		diag_hint(d, "%s stands U+%04X, which %s: write %s", where, code, what, plain);
	else
		diag_hint(d, "%s stands U+%04X, which %s: type it anew", where, code, what);
}

/* --- commas --- */

enum item_kind { ITEM_OTHER, ITEM_NAMED, ITEM_NETWORK, ITEM_COUNTRY, ITEM_CONDITION, ITEM_TIME };

static bool is_capital(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* A port counts as a network: both have a slash. */
static enum item_kind item_kind_of(const struct span *s)
{
	static const char *const prefixes[] = {
		"user:",    "group:", "tag:",	  "device:",  "resource:",
		"posture:", "place:", "country:", "schedule:"};
	char text[PREFIX_TEXT_MAX];
	struct prefix p;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (span_starts(s, prefixes[i]) && s->n > strlen(prefixes[i]))
			return ITEM_NAMED;
	if (memchr(s->p, '@', s->n))
		return ITEM_NAMED;
	if (s->n == 2 && is_capital(s->p[0]) && is_capital(s->p[1]))
		return ITEM_COUNTRY;
	if (span_starts(s, "/")) /* a comment, rather */
		return ITEM_OTHER;
	if (span_text(s, text, sizeof(text)) && prefix_parse(text, &p) == 0)
		return ITEM_NETWORK;
	return memchr(s->p, '/', s->n) || span_is(s, "icmp") ? ITEM_NETWORK : ITEM_OTHER;
}

static struct span take_word(struct span *rest)
{
	struct span word = *rest;
	size_t n = 0;

	while (n < word.n && !strchr(" \t;", word.p[n]))
		n++;
	word.n = n;
	while (n < rest->n && strchr(" \t;", rest->p[n]))
		n++;
	*rest = span_skip(*rest, n);
	return word;
}

/* "and", "|": what other lists have between their items. */
static bool is_joint(const struct span *word)
{
	static const char *const joints[] = {"and", "or", "AND", "OR", "&", "&&", "|", "||", "+"};

	for (size_t i = 0; i < sizeof(joints) / sizeof(joints[0]); i++)
		if (span_is(word, joints[i]))
			return true;
	return false;
}

void hint_comma(struct diag *d, const struct span *item)
{
	struct span rest = *item, first = take_word(&rest), joint = {0}, second;
	enum item_kind kind = item_kind_of(&first);

	second = take_word(&rest);
	if (is_joint(&second)) {
		joint = second;
		second = take_word(&rest);
	}
	if (first.n + second.n > 2 * POLICY_TEXT_SHOWN || second.n == 0)
		return;
	if (is_joint(&first) && item_kind_of(&second) != ITEM_OTHER)
		diag_hint(d, "the comma is enough: write %.*s", (int)second.n, second.p);
	else if (kind == ITEM_OTHER || item_kind_of(&second) != kind)
		return;
	else if (joint.n > 0 && strchr("oO|", joint.p[0]) && span_starts(&first, "posture:"))
		diag_hint(d, "all of them must hold: for either of them make a rule for each");
	else
		diag_hint(d, "a comma is missing: write %.*s, %.*s", (int)first.n, first.p,
			  (int)second.n, second.p);
}

/* What stands behind the semicolon that ended this line of a value, trimmed; empty: nothing. */
static struct span comment_behind(const struct span *line, const char *end)
{
	const char *stop = memchr(line->p, '\n', (size_t)(end - line->p));
	struct span s = *line;

	s.n = (size_t)((stop ? stop : end) - line->p);
	s = span_skip(s, line->n);
	while (s.n > 0 && s.p[0] != ';')
		s = span_skip(s, 1);
	return s.n > 0 ? span_trim(span_skip(s, 1)) : s;
}

static struct span last_item(const struct span *line)
{
	size_t n = line->n;

	while (n > 0 && line->p[n - 1] != ',')
		n--;
	return span_trim(span_skip(*line, n));
}

static struct span first_item(const struct span *line)
{
	const char *comma = memchr(line->p, ',', line->n);
	struct span s = *line;

	if (comma)
		s.n = (size_t)(comma - line->p);
	return span_trim(s);
}

/* "Mon-Fri", "08:00-17:00", "2026-12-24": a part of a time. */
static bool is_time_word(const struct span *word)
{
	static const char days[] = "MonTueWedThuFriSatSun";

	for (size_t i = 0; i < 21 && word->n >= 3; i += 3)
		if (memcmp(word->p, days + i, 3) == 0)
			return word->n == 3 || strchr("-+", word->p[3]);
	return word->n >= 10 && word->p[0] >= '0' && word->p[0] <= '9' &&
	       (memchr(word->p, '-', word->n) != NULL);
}

/* As item_kind_of, for an item that may be of several words. */
static enum item_kind long_item_kind_of(const struct span *s)
{
	struct span rest = *s, word;

	if (condition_begins(s))
		return ITEM_CONDITION;
	if (is_word(s) && item_kind_of(s) != ITEM_OTHER)
		return item_kind_of(s);
	while (rest.n > 0) {
		word = take_word(&rest);
		if (!is_time_word(&word))
			return ITEM_OTHER;
	}
	return s->n > 0 ? ITEM_TIME : ITEM_OTHER;
}

/* So much of it that no character is cut. */
static size_t shown(const struct span *s)
{
	size_t n = s->n < POLICY_TEXT_SHOWN ? s->n : POLICY_TEXT_SHOWN;

	while (n < s->n && n > 0 && ((unsigned char)s->p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void warn_comments(struct parse *c, const struct lex *value)
{
	struct lex v = *value;
	struct span line;

	while (lex_value_line(&v, &line)) {
		struct span behind = comment_behind(&line, value->end), last = last_item(&line);
		struct span item = first_item(&behind);
		enum item_kind kind = long_item_kind_of(&last);

		if (kind == ITEM_OTHER || long_item_kind_of(&item) != kind)
			continue;
		diag_hint(warn_at(c, behind.at,
				  "\"%.*s\" is a comment, because it stands behind a ;",
				  (int)shown(&item), item.p),
			  "write a comma between items; or in the comment what it is about");
	}
}

/* --- comments of other languages --- */

/* Where such a comment begins; s->n: nowhere. */
static size_t find_comment(const struct span *s, size_t *ret_n)
{
	static const char *const marks[] = {"#", "//", "/*", ";"};

	for (size_t i = 0; i < s->n; i++)
		for (size_t m = 0; m < sizeof(marks) / sizeof(marks[0]); m++) {
			bool begins = i == 0 || s->p[i] == ';' || s->p[i - 1] == ' ' ||
				      s->p[i - 1] == '\t';

			*ret_n = strlen(marks[m]);
			if (begins && i + *ret_n <= s->n && memcmp(s->p + i, marks[m], *ret_n) == 0)
				return i;
		}
	return s->n;
}

static void slip_comment(struct diag *d, const struct span *s)
{
	size_t mark, at = find_comment(s, &mark);
	struct span before = *s, note;

	if (at == s->n || txt_starts(d->hint, "a comma is missing"))
		return;
	before.n = at;
	before = span_trim(before);
	note = span_trim(span_skip(*s, at + mark));
	if (note.n >= 2 && memcmp(note.p + note.n - 2, "*/", 2) == 0)
		note.n -= 2;
	note = span_trim(note);
	if (before.n > 0 && note.n > 0 && s->n <= POLICY_TEXT_SHOWN)
		diag_hint(d, "a comment behind a value begins with \" ;\": write %.*s ; %.*s",
			  (int)before.n, before.p, (int)note.n, note.p);
	else
		diag_hint(d, "a comment behind a value begins with \" ;\"");
}

/* "[tag:a]", "(Europe/Berlin)", "[2001:db8::]/48" */
static bool slip_brackets(struct diag *d, const struct span *s)
{
	static const char brackets[] = "[](){}";
	char text[POLICY_TEXT_SHOWN + 1];
	struct span in = {.p = text};

	if (s->n > POLICY_TEXT_SHOWN || strpbrk(d->hint, "?") ||
	    (!strchr(brackets, s->p[0]) && !strchr(brackets, s->p[s->n - 1])))
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (!strchr(brackets, s->p[i]))
			text[in.n++] = s->p[i];
	if (!is_word(&in))
		return false;
	diag_hint(d, "no brackets are needed: write %.*s", (int)in.n, in.p);
	return true;
}

void hint_writing(struct parse *c, size_t first)
{
	for (size_t i = first; i < c->problems->n; i++) {
		const struct span *s = &c->refused[i];
		struct diag *d = &c->problems->items[i];

		if (s->n > 0 && !slip_brackets(d, s))
			slip_comment(d, s);
	}
}

void hint_slips(struct parse *c)
{
	for (size_t i = 0; i < c->problems->n; i++) {
		const struct span *s = &c->refused[i];
		struct diag *d = &c->problems->items[i];

		if (s->n > 0 && !slip_quotes(d, s))
			slip_character(d, s);
	}
}
