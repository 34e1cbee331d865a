/* Frames of the device's stream: u32 length of body | u8 kind | body. Little-endian. */
#pragma once

#include "zt/buf.h"

enum frame_kind {
	FRAME_KEEPALIVE = 1, /* no body */
	FRAME_NETMAP = 2,    /* an envelope */
	FRAME_ADVICE =
		3, /* JSON for the talking role: facts asked for, posture verdicts, device state */
	FRAME_BYE = 4, /* JSON {"code","message","hint"}; the controller ends the stream */
};

enum { FRAME_HEAD = 5, FRAME_BYE_MAX = 4096 };

/* A complete frame at the start of p: its whole length in *ret_len (head and body), else 0 = more
 * bytes needed. -ZT_EFORM unknown kind; -ZT_ELIMIT longer than its kind may be. */
int frame_peek(const void *p, size_t n, enum frame_kind *ret_kind, const uint8_t **ret_body,
	       size_t *ret_body_len, size_t *ret_len) ZT_MUST_USE;
int frame_encode(enum frame_kind kind, const void *body, size_t n, struct buf *out) ZT_MUST_USE;
