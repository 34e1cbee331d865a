/* Lexer of the policy file: sections, keys and values, each with line and column. Private to
 * controller/policy. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Both from 1. Columns count characters (UTF-8 code points; a tab is one), as editors do. */
struct place {
	unsigned line;
	unsigned column;
};

struct span { /* borrowed text with where it stands; not terminated */
	const char *p;
	size_t n;
	struct place at;
};

/* Where reading goes on. A value is one too: copy it and take its lines. */
struct lex {
	const char *p;
	const char *end;
	struct place at; /* of p */
};

enum lex_kind { LEX_END, LEX_SECTION, LEX_KEY, LEX_WRONG };

struct lex_item {
	enum lex_kind kind;
	struct span name;  /* "[NAME arg]", "NAME = value", or the line that is wrong */
	struct span arg;   /* section: what follows the name; may be empty */
	struct lex value;  /* key: what follows the equals sign, continuation lines too */
	const char *wrong; /* LEX_WRONG: what is wrong with the line, and what would mend it */
	const char *hint;  /* NULL: the line with a bracket behind it */
};

/* A byte order mark at the start is skipped. */
void lex_init(struct lex *l, const char *text, size_t n);
void lex_next(struct lex *l, struct lex_item *ret);
/* Move l past the lines that continue by their indentation what begins with s, the line before l.
 */
void lex_take_continuation(struct lex *l, const struct span *s);
/* The next line of a value that is not empty, without comment and white space around it. False at
 * the end. */
bool lex_value_line(struct lex *value, struct span *ret);
/* The next item of a comma list. Empty items are given too (n = 0, at the comma), also after a last
 * comma. *ret_joined: two lines without a comma between them; ret is the item at the end of the
 * first. */
struct lex_list {
	struct lex rest;
	struct span line; /* what is left of the current line */
	bool after_comma;
	bool open; /* line holds something not yet given */
};
void lex_list_init(struct lex_list *l, const struct lex *value);
bool lex_list_next(struct lex_list *l, struct span *ret, bool *ret_joined);

/* The next byte from l on that has no place in a policy file: NUL, control characters, invalid
 * UTF-8, invisible direction marks. *ret is that character. After it l stands at the next line.
 * False when there is none. */
bool lex_find_bad(struct lex *l, struct span *ret, const char **ret_what);

/* s without its first n bytes. */
struct span span_skip(struct span s, size_t n);
struct span span_trim(struct span s);
bool span_is(const struct span *s, const char *text);
bool span_starts(const struct span *s, const char *prefix);
/* Terminated copy; false when it does not fit (out is then ""). */
bool span_text(const struct span *s, char *out, size_t size);
