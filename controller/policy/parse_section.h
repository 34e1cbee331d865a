/* Sections and keys as table rows. Private to controller/policy. */
#pragma once

#include "controller/policy/parse.h"

typedef void (*key_fn)(struct parse *c, void *object, const struct lex *v, const char *help);

struct key {
	const char *name;
	key_fn set;
	bool required;
	const char *help; /* what is allowed */
};

struct section {
	const char *name;
	enum thing thing;
	const char *form;
	uint32_t max;			    /* sections of this kind */
	size_t size;			    /* of the object that the keys are read into */
	size_t name_at, line_at, column_at; /* offsets in it */
	const struct key *keys;
	size_t n_keys;
};

#define OBJECT(type) OBJECT_IN(type, )
#define OBJECT_IN(type, at)                                                                        \
	sizeof(struct type), offsetof(struct type, at name), offsetof(struct type, at line),       \
		offsetof(struct type, at column)
#define KEYS(k) k, sizeof(k) / sizeof((k)[0])

/* --- parse_keys --- */

/* Section i is of kind i. NULL past the end. */
const struct section *section_at(size_t i);

/* --- parse_resource, parse_rule, parse_invariant --- */

extern const struct section section_resource, section_rule, section_invariant;

/* --- parse_how --- */

/* Does it begin as a condition of how does that is nothing else elsewhere? */
bool is_how(const struct span *s);
void set_rule_how(struct parse *c, void *object, const struct lex *v, const char *help);

/* --- parse_shared --- */

enum { WINDOWS_MAX = 64 };	  /* lists whose items are held against each other are short */
extern const char windows_hint[]; /* for lists that have more */

/* Where a value begins, behind the equals sign and white space. */
struct place value_place(struct lex v);
/* n, or max with a problem and this hint when there are more. what: "ports". */
size_t value_count(struct parse *c, const struct lex *v, size_t n, size_t max, const char *what,
		   const char *hint);
/* One of a list of whom a rule or an invariant is about. */
bool value_who(struct parse *c, const struct span *s, const char *help, void *ret);
/* "user:ada@example.com" or "group:finance", as written; NULL when it is neither. */
const char *value_owner(struct parse *c, const struct lex *v, const char *help);
/* Text of at most ZT_WHY_MAX bytes, its lines joined; NULL out of memory. */
const char *value_words(struct parse *c, const struct lex *v, const char *noun, const char *help);
