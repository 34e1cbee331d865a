/* Sections and keys as table rows. Private to controller/policy. */
#pragma once

#include "controller/policy/parse.h"

typedef void (*key_fn)(struct parse *c, void *object, const struct lex *v, const char *help);

struct key {
	const char *name;
	key_fn set; /* NULL: not in this version */
	bool required;
	const char *help; /* what is allowed; when not in this version, what to do instead */
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

/* --- parse_invariant --- */

void set_invariant_to(struct parse *c, void *object, const struct lex *v, const char *help);
void set_invariant_expect(struct parse *c, void *object, const struct lex *v, const char *help);

/* Section i is of kind i. NULL past the end. */
const struct section *section_at(size_t i);
