/* Names: a hash table from (kind, text) to a number. Grows in an arena; nothing is ever taken out.
 * Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "zt/arena.h"

#define NAMES_ABSENT UINT32_MAX

struct names_slot {
	const char *p; /* NULL: free */
	uint32_t n;
	uint32_t hash;
	uint32_t value;
	uint32_t kind;
};

struct names {
	struct arena *arena;
	struct names_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t n;
};

void names_init(struct names *t, struct arena *a);
uint32_t names_find(const struct names *t, uint32_t kind, const char *p,
		    size_t n); /* NAMES_ABSENT */
/* p is borrowed. The name must not be in the table. -ENOMEM. */
int names_add(struct names *t, uint32_t kind, const char *p, size_t n, uint32_t value) ZT_MUST_USE;
