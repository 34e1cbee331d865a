/* Bounded byte builder with a sticky error: write all, check once. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;  /* grows by realloc up to here; 0: fixed memory of the caller */
	bool secret; /* what it leaves behind when it grows or goes is wiped */
	int err;     /* 0, -ZT_ELIMIT or -ENOMEM; after an error nothing more is written */
};

void buf_init(struct buf *b, void *mem, size_t cap); /* fixed memory; never freed */
void buf_init_grow(struct buf *b, size_t max);	     /* heap; release with buf_free */
void buf_init_secret(struct buf *b, size_t max);     /* the same, for keys */
void buf_free(struct buf *b);  /* takes a cleared struct and fixed memory too */
void buf_reset(struct buf *b); /* len = 0, err = 0, memory stays */

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* little-endian, as are the others */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_zero(struct buf *b, size_t n);
void buf_put_text(struct buf *b, const char *s); /* without its terminator */
/* A field of exactly n bytes: s, then zeros. Error -ZT_ELIMIT when s does not fit. */
void buf_put_fixed_text(struct buf *b, const char *s, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) ZT_PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) ZT_PRINTF(2, 0);
/* The text so far, NUL-terminated (the NUL is not counted in len). "" after an error. */
const char *buf_text(struct buf *b);
