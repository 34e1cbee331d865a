/* Units from the inside, for meaning_units.c and meaning_openings.c only: each is known by a key,
 * words for a leaf, numbers for what is put together. */
#pragma once

#include "controller/policy/meaning_units.h"

/* Kinds of names. */
enum unit_key {
	KEY_TEXT,
	KEY_EXCEPT, /* unit, the units that are kept out of it */
	KEY_UNTIL,  /* unit, its end */
	KEY_VIA,    /* address, gateway */
	KEY_SET,    /* openings */
	KEY_UNION,  /* numbers of sets */
	KEY_CASE,
	KEY_WHAT, /* and up, by round and action: resources of a rule */
};

enum { UNIT_TEXT_MAX = 1024 }; /* with its NUL */

/* The first failure stays in u->err. err >= 0: none. */
void units_fail(struct units *u, int err);
/* In the arena, zeroed. NULL: out of memory, or there was a failure before. */
void *units_array(struct units *u, size_t n, size_t size);
/* Room for one more in an array of the arena. False: none. */
bool units_reserve(struct units *u, void **v, uint32_t n, uint32_t *cap, size_t size);
/* The number of this key; NAMES_ABSENT: it has none yet, or there was a failure. */
uint32_t units_find(const struct units *u, enum unit_key kind, const void *key, size_t n);
/* value is the number of this key from now on. The key is copied. */
void units_remember(struct units *u, enum unit_key kind, const void *key, size_t n, uint32_t value);
/* A new unit of this key, with its words. */
uint32_t units_add(struct units *u, enum unit_key kind, const void *key, size_t n,
		   const char *text);
/* v, sorted and without doubles; NULL: none. */
struct ids units_sorted(uint32_t *v, uint32_t n);
