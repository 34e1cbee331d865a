/* Frames of the device's stream. A frame's length is believed only as far as its kind may go, so a
 * reader never waits for, or keeps, more than that. */
#include "zt/frame.h"

#include "zt/cur.h"

/* The greatest body of a kind; -1 when there is no such kind. */
static int64_t body_max(uint8_t kind)
{
	switch ((enum frame_kind)kind) {
	case FRAME_KEEPALIVE:
		return 0;
	case FRAME_NETMAP:
		return ZT_FRAME_MAX - FRAME_HEAD;
	case FRAME_ADVICE:
		return ZT_ADVICE_MAX;
	case FRAME_BYE:
		return FRAME_BYE_MAX;
	}
	return -1;
}

int frame_peek(const void *p, size_t n, enum frame_kind *ret_kind, const uint8_t **ret_body,
	       size_t *ret_body_len, size_t *ret_len)
{
	struct cur c;
	uint32_t len;
	uint8_t kind;

	if (n < FRAME_HEAD) {
		*ret_len = 0;
		return 0;
	}
	cur_init(&c, p, n);
	len = cur_u32(&c);
	kind = cur_u8(&c);
	if (body_max(kind) < 0)
		return -ZT_EFORM;
	if (len > body_max(kind))
		return -ZT_ELIMIT;
	if (cur_left(&c) < len) {
		*ret_len = 0;
		return 0;
	}
	*ret_kind = (enum frame_kind)kind;
	*ret_body = cur_take(&c, len);
	*ret_body_len = len;
	*ret_len = FRAME_HEAD + (size_t)len;
	return 0;
}

int frame_encode(enum frame_kind kind, const void *body, size_t n, struct buf *out)
{
	int64_t max = body_max((uint8_t)kind);

	if (max < 0)
		return -ZT_EFORM;
	if (n > (uint64_t)max)
		return -ZT_ELIMIT;
	buf_put_u32(out, (uint32_t)n);
	buf_put_u8(out, (uint8_t)kind);
	buf_put(out, body, n);
	return out->err;
}
