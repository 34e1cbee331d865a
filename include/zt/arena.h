/* Arena: memory of one message, request or netmap, with a limit, freed at once. */
#pragma once

#include <stddef.h>

#include "zt/err.h"

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used; /* bytes handed out */
	size_t max;
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a); /* takes a zeroed arena too; may be init again */
/* n zeroed bytes, aligned for any type; NULL when over the limit or out of memory. n = 0 gives a
 * valid pointer. */
void *arena_alloc(struct arena *a, size_t n) ZT_MUST_USE;
/* count * size with overflow check. */
void *arena_array(struct arena *a, size_t count, size_t size) ZT_MUST_USE;
/* Room for one more behind the n items of an array: v itself, or when n is *cap a greater copy,
 * whose room *cap is then. v is NULL and *cap 0 to begin with; NULL: as arena_alloc(), *cap
 * untouched. */
void *arena_room(struct arena *a, void *v, size_t n, size_t *cap, size_t size) ZT_MUST_USE;
void *arena_dup(struct arena *a, const void *p, size_t n) ZT_MUST_USE;
char *arena_text(struct arena *a, const char *s, size_t n) ZT_MUST_USE; /* n bytes and a NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) ZT_PRINTF(2, 3) ZT_MUST_USE;
