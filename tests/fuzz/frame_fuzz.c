/* A stream cut into frames: every frame is inside it, and its encoding is what was read. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "zt/frame.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void check_same(enum frame_kind kind, const uint8_t *body, size_t n, const uint8_t *frame,
		       size_t len)
{
	struct buf b;

	buf_init_grow(&b, ZT_FRAME_MAX);
	fuzz_check(frame_encode(kind, body, n, &b) == 0);
	fuzz_check(b.len == len && memcmp(b.data, frame, len) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *body;
	enum frame_kind kind;
	size_t body_len, len;

	while (frame_peek(p, n, &kind, &body, &body_len, &len) == 0 && len > 0) {
		fuzz_check(len <= n && body_len + FRAME_HEAD == len && body == p + FRAME_HEAD);
		check_same(kind, body, body_len, p, len);
		p += len;
		n -= len;
	}
	return 0;
}
