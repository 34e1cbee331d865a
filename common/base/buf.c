/* Bounded byte builder: write everything, look at err once. */
#include "zt/buf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROW_FIRST = 256 };

void buf_init(struct buf *b, void *mem, size_t cap)
{
	*b = (struct buf){.data = mem, .cap = cap};
}

void buf_init_grow(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max, .secret = true};
}

static void drop(struct buf *b)
{
	if (b->secret && b->data)
		explicit_bzero(b->data, b->cap);
	free(b->data);
}

void buf_free(struct buf *b)
{
	if (b->max)
		drop(b);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = 0;
}

static int grow(struct buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : GROW_FIRST;
	uint8_t *data;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	/* One more than max, for the NUL that buf_text writes behind the content. */
	if (b->max < SIZE_MAX && cap > b->max + 1)
		cap = b->max + 1;
	if (b->secret) { /* realloc would leave a copy behind */
		data = malloc(cap);
		if (data && b->len)
			memcpy(data, b->data, b->len);
		if (data)
			drop(b);
	} else {
		data = realloc(b->data, cap);
	}
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->cap = cap;
	return 0;
}

/* Room for n more bytes of content and `extra` behind them that do not count. */
static bool reserve(struct buf *b, size_t n, size_t extra)
{
	size_t limit = b->max ? b->max : b->cap;

	if (b->err)
		return false;
	if (n > limit - b->len || extra > SIZE_MAX - n - b->len) {
		b->err = -ZT_ELIMIT;
		return false;
	}
	if (b->len + n + extra <= b->cap)
		return true;
	b->err = b->max ? grow(b, b->len + n + extra) : -ZT_ELIMIT;
	return b->err == 0;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	if (!reserve(b, n, 0) || n == 0)
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
}

/* The n low bytes of v, lowest first. */
static void put_le(struct buf *b, uint64_t v, size_t n)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_put(b, bytes, n);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	put_le(b, v, 1);
}

void buf_put_u16(struct buf *b, uint16_t v)
{
	put_le(b, v, 2);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void buf_put_zero(struct buf *b, size_t n)
{
	if (!reserve(b, n, 0) || n == 0)
		return;
	memset(b->data + b->len, 0, n);
	b->len += n;
}

void buf_put_text(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_put_fixed_text(struct buf *b, const char *s, size_t n)
{
	size_t len = strlen(s);

	if (len > n && !b->err)
		b->err = -ZT_ELIMIT;
	if (!reserve(b, n, 0))
		return;
	buf_put(b, s, len);
	buf_put_zero(b, n - len);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	if (b->err)
		return;
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->err = -ZT_ELIMIT;
		return;
	}
	if (!reserve(b, (size_t)n, 1))
		return;
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

const char *buf_text(struct buf *b)
{
	if (!reserve(b, 0, 1))
		return "";
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
