/* Arena: a list of growing blocks with a limit over all of them. Under AddressSanitizer every piece
 * is a block of its own, so that running over one is seen. */
#include "zt/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PIECE_IS_BLOCK 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(PIECE_IS_BLOCK)
#define PIECE_IS_BLOCK 1
#endif

#ifdef PIECE_IS_BLOCK
enum { BLOCK_FIRST = 0, BLOCK_MAX = 0 };
#else
enum { BLOCK_FIRST = 2048, BLOCK_MAX = 1 << 20 };
#endif

enum { ROOM_FIRST = 16 }; /* items */

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(max_align_t) uint8_t data[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	*a = (struct arena){0};
}

static size_t min_size(size_t x, size_t y)
{
	return x < y ? x : y;
}

/* A new block for n bytes: twice the last one, but no more than the arena may still hand out. */
static struct arena_block *add_block(struct arena *a, size_t n)
{
	size_t size = a->head ? a->head->size * 2 : BLOCK_FIRST;
	struct arena_block *b;

	size = min_size(min_size(size, BLOCK_MAX), a->max - a->used);
	if (size < n)
		size = n;
	if (size > SIZE_MAX - sizeof(*b))
		return NULL;
	b = calloc(1, sizeof(*b) + size);
	if (!b)
		return NULL;
	b->size = size;
	b->next = a->head;
	a->head = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	static max_align_t nothing;
	const size_t align = _Alignof(max_align_t);
	struct arena_block *b = a->head;
	size_t start;

	if (n == 0)
		return &nothing;
	if (n > a->max - a->used)
		return NULL;
	start = b ? (b->used + align - 1) / align * align : 0;
	if (!b || start > b->size || n > b->size - start) {
		b = add_block(a, n);
		start = 0;
	}
	if (!b)
		return NULL;
	b->used = start + n;
	a->used += n;
	return b->data + start;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

void *arena_room(struct arena *a, void *v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : ROOM_FIRST;
	void *p;

	if (n < *cap)
		return v;
	p = more > *cap ? arena_array(a, more, size) : NULL;
	if (!p)
		return NULL;
	if (n)
		memcpy(p, v, n * size);
	*cap = more;
	return p;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
	void *copy = arena_alloc(a, n);

	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_text(struct arena *a, const char *s, size_t n)
{
	char *copy = n < SIZE_MAX ? arena_alloc(a, n + 1) : NULL;

	if (copy && n)
		memcpy(copy, s, n);
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0)
		text = arena_alloc(a, (size_t)n + 1);
	if (!text)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}
