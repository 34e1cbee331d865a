/* Names: open addressing with linear probing, at most half full. */
#include "controller/policy/names.h"

#include <errno.h>
#include <string.h>

/* FNV-1a with a last stir, so that the low bits depend on all. */
static uint32_t hash_name(uint32_t kind, const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u ^ kind;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

void names_init(struct names *t, struct arena *a)
{
	*t = (struct names){.arena = a};
}

/* The slot that holds the name, or the free one where it belongs. cap > 0. */
static struct names_slot *slot_of(const struct names *t, uint32_t hash, uint32_t kind,
				  const char *p, size_t n)
{
	size_t i = hash & (t->cap - 1);

	for (;; i = (i + 1) & (t->cap - 1)) {
		struct names_slot *s = &t->slots[i];

		if (!s->p ||
		    (s->hash == hash && s->kind == kind && s->n == n && memcmp(s->p, p, n) == 0))
			return s;
	}
}

uint32_t names_find(const struct names *t, uint32_t kind, const char *p, size_t n)
{
	struct names_slot *s;

	if (t->cap == 0)
		return NAMES_ABSENT;
	s = slot_of(t, hash_name(kind, p, n), kind, p, n);
	return s->p ? s->value : NAMES_ABSENT;
}

static int grow(struct names *t)
{
	struct names old = *t;

	t->cap = old.cap ? old.cap * 2 : 64;
	t->slots = arena_array(t->arena, t->cap, sizeof(*t->slots));
	if (!t->slots) {
		*t = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.cap; i++) {
		const struct names_slot *s = &old.slots[i];

		if (s->p)
			*slot_of(t, s->hash, s->kind, s->p, s->n) = *s;
	}
	return 0;
}

int names_add(struct names *t, uint32_t kind, const char *p, size_t n, uint32_t value)
{
	uint32_t hash = hash_name(kind, p, n);

	if (t->n * 2 >= t->cap) {
		int err = grow(t);

		if (err < 0)
			return err;
	}
	*slot_of(t, hash, kind, p, n) = (struct names_slot){
		.p = p, .n = (uint32_t)n, .hash = hash, .value = value, .kind = kind};
	t->n++;
	return 0;
}
