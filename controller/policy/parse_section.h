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

/* --- parse_section --- */

const struct section *section_find(const struct span *name); /* NULL: none has this name */
/* A section whose kind nobody knows has this key: when one kind alone has such, it is that. */
void section_guess(struct parse *c, const struct span *key, struct section_run *run);
/* The name of an object that its keys are read into. */
const char *section_name(const struct section *s, void *object);

/* --- parse_key --- */

const struct key *key_find(const struct section *s, const char *p, size_t n);
/* The key that was meant by this word: its own name in any case, one near it, or what it is called
 * in other policy languages. NULL: none. */
const struct key *key_meant(const struct section *s, const struct span *word);
/* What to write instead of a key of other policy languages; NULL: it is none. */
const char *key_foreign(const struct section *s, const struct span *word);

/* "who: group:a", before l: says it and reads it. False: the line is not meant as a key. */
bool key_of_line(struct parse *c, struct section_run *run, struct lex *l, const struct span *line);

/* --- parse_layout --- */

/* Cuts a key's value before the line that continues it by its indentation, but reads like a key of
 * its own, says so and makes *ret_next that key. False: there is none. head: the name of the key
 * that stands at the margin. */
bool layout_split(struct parse *c, const struct section *s, const struct span *head,
		  struct lex_item *item, struct lex_item *ret_next);
/* "who: group:a", "who -> group:a", "who group:a": says what was meant and makes it a key. item's
 * name is the whole line, and its value ends where that of the key is to end. False: it is none. */
bool layout_key(struct parse *c, const struct section *s, struct lex_item *item);
/* "who == group:a", "who => group:a": says it, and takes the sign out of the value. */
void layout_sign(struct parse *c, struct lex_item *item);

/* --- parse_header: line is a section line, or what stands in its brackets --- */

/* What to look at of an item that is refused as a section. */
struct span header_line(const struct lex_item *item);
/* "rule x", "(rule x)", "rule x]": a section without its opening bracket? */
bool header_is_bare(const struct span *line);
/* Notes the name of a refused section. */
void header_note(struct parse *c, const struct span *line);
/* Which section was meant; NULL: nobody knows. */
const struct section *header_section(const struct span *line);
/* Does its word say so, but for case and plural, and is not only near to it? */
bool header_is_sure(const struct span *line);
/* A name as it was meant: in lower case, without quotes, its words joined. False: it is none. */
bool header_clean_name(const struct span *s, const char *joint, char out[static ZT_NAME_MAX + 1]);
/* "write [group a]". False when it cannot be told what was meant. */
bool header_hint(struct diag *d, const struct span *line);

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
