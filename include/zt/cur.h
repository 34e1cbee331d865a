/* Cursor: sticky-error reader over borrowed bytes. After an error every read gives 0 or NULL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

struct cur {
	const uint8_t *p;
	const uint8_t *end;
	int err; /* 0 or -ZT_EFORM */
};

void cur_init(struct cur *c, const void *p, size_t n);
uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c); /* little-endian */
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);
const uint8_t *cur_take(struct cur *c, size_t n);  /* borrow n bytes; NULL on error */
void cur_copy(struct cur *c, void *dst, size_t n); /* dst is zeroed on error */
/* A field of n bytes holding text and zeros to its end, into dst (n + 1 bytes). Text after a NUL,
 * control characters or bytes that are not UTF-8 are an error. */
void cur_fixed_text(struct cur *c, char *dst, size_t n);
void cur_fail(struct cur *c); /* the caller found a wrong value */
size_t cur_left(const struct cur *c);
/* 0 when all was read and nothing was wrong, else -ZT_EFORM. */
int cur_done(const struct cur *c) ZT_MUST_USE;
