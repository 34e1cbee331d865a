/* Chance, the same in every run, and lines of a random policy made with it. */
#pragma once

#include "tests/unit/unit.h"
#include "zt/buf.h"

static uint64_t dice = 1; /* never 0 */

/* Less than n. xorshift64 (Marsaglia 2003). */
static inline unsigned roll(unsigned n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice >> 33) % n;
}

/* A form, with a digit less than names for each #. */
static inline void put_form(struct buf *b, const char *form, unsigned names)
{
	for (const char *p = form; *p; p++)
		buf_put_u8(b, (uint8_t)(*p == '#' ? '0' + roll(names) : (unsigned char)*p));
}

/* "key = ..." with one to max of the forms. */
static inline void put_forms(struct buf *b, const char *key, const char *const *forms, size_t n,
			     unsigned max, unsigned names)
{
	unsigned count = 1 + roll(max);

	buf_printf(b, "%s = ", key);
	for (unsigned i = 0; i < count; i++) {
		buf_put_text(b, i ? ", " : "");
		put_form(b, forms[roll((unsigned)n)], names);
	}
	buf_put_text(b, "\n");
}
