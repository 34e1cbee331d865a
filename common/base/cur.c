/* Cursor over bytes from outside: reads nothing past the end, and remembers the first wrong thing.
 */
#include "zt/cur.h"

#include <string.h>

#include "zt/txt.h"

void cur_init(struct cur *c, const void *p, size_t n)
{
	static const uint8_t none;

	c->p = n ? p : &none;
	c->end = c->p + n;
	c->err = 0;
}

void cur_fail(struct cur *c)
{
	c->err = -ZT_EFORM;
}

size_t cur_left(const struct cur *c)
{
	return c->err ? 0 : (size_t)(c->end - c->p);
}

const uint8_t *cur_take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (n > cur_left(c))
		cur_fail(c);
	if (c->err)
		return NULL;
	c->p += n;
	return p;
}

static uint64_t get_le(struct cur *c, size_t n)
{
	const uint8_t *p = cur_take(c, n);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t cur_u8(struct cur *c)
{
	return (uint8_t)get_le(c, 1);
}

uint16_t cur_u16(struct cur *c)
{
	return (uint16_t)get_le(c, 2);
}

uint32_t cur_u32(struct cur *c)
{
	return (uint32_t)get_le(c, 4);
}

uint64_t cur_u64(struct cur *c)
{
	return get_le(c, 8);
}

void cur_copy(struct cur *c, void *dst, size_t n)
{
	const uint8_t *p = cur_take(c, n);

	if (n == 0)
		return;
	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

void cur_fixed_text(struct cur *c, char *dst, size_t n)
{
	size_t len;

	cur_copy(c, dst, n);
	dst[n] = '\0';
	if (c->err)
		return;
	len = strlen(dst);
	if (is_zero(dst + len, n - len) && (len == 0 || txt_is_line(dst, n)))
		return;
	cur_fail(c);
	memset(dst, 0, n);
}

int cur_done(const struct cur *c)
{
	return c->err == 0 && c->p == c->end ? 0 : -ZT_EFORM;
}
