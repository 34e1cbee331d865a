/* An envelope that is taken encodes to the same bytes, and none is believed that was not signed. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <string.h>

#include "zt/envelope.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static void check_same(const struct envelope *e, const uint8_t *p, size_t n)
{
	struct buf b;

	buf_init_grow(&b, ZT_FRAME_MAX);
	fuzz_check(envelope_encode(e, &b) == 0);
	fuzz_check(b.len == n && memcmp(b.data, p, n) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	/* Made up: nobody knows a seed for it. */
	static const struct key network = {{0x5a, 1, 2, 3}};
	struct key prev = {{1}}, leaf, root;
	struct envelope e;

	if (envelope_decode(p, n, &e))
		return 0;
	check_same(&e, p, n);
	envelope_leaf(&prev, e.content, e.content_len, &leaf);
	fuzz_check(envelope_root(&leaf, e.index, e.batch, e.path, e.depth, &root) == 0);
	fuzz_check(envelope_verify(&e, &network, &prev, &leaf) == -ZT_ESIG);
	return 0;
}
