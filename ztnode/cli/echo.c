/* Echo messages. */
#include "ztnode/cli/echo.h"

#include <string.h>

#include "zt/cur.h"

enum { V4_REQUEST = 8, V4_REPLY = 0, V6_REQUEST = 128, V6_REPLY = 129, IP_HEAD_MIN = 20 };

uint16_t echo_checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void echo_encode(const struct echo *e, uint8_t out[static ECHO_SIZE])
{
	memset(out, 0, ECHO_SIZE);
	out[0] = e->family == ADDR_V6 ? V6_REQUEST : V4_REQUEST;
	put_be16(out + 4, e->id);
	put_be16(out + 6, e->seq);
	for (size_t i = 8; i < ECHO_SIZE; i++)
		out[i] = (uint8_t)i;
	if (e->family != ADDR_V6)
		put_be16(out + 2, echo_checksum(out, ECHO_SIZE));
}

static uint16_t cur_be16(struct cur *c)
{
	uint16_t high = cur_u8(c);

	return (uint16_t)(high << 8 | cur_u8(c));
}

/* Over the IPv4 header, whose length is in its first byte. */
static void skip_ip(struct cur *c)
{
	uint8_t first = cur_u8(c);
	size_t len = (size_t)(first & 15) * 4;

	if (first >> 4 != 4 || len < IP_HEAD_MIN)
		cur_fail(c);
	else
		cur_take(c, len - 1);
}

bool echo_is_reply(const struct echo *e, const void *p, size_t n, bool has_ip, bool any_id)
{
	uint8_t type, code;
	uint16_t id, seq;
	struct cur c;

	cur_init(&c, p, n);
	if (has_ip)
		skip_ip(&c);
	type = cur_u8(&c);
	code = cur_u8(&c);
	cur_be16(&c); /* checksum: the kernel has looked */
	id = cur_be16(&c);
	seq = cur_be16(&c);
	return !c.err && type == (e->family == ADDR_V6 ? V6_REPLY : V4_REPLY) && code == 0 &&
	       (any_id || id == e->id) && seq == e->seq;
}
