/* Frames of the device's stream. */
#include "tests/unit/unit.h"

#include "zt/frame.h"

struct peeked {
	enum frame_kind kind;
	const uint8_t *body;
	size_t body_len, len;
};

static int peek(const void *p, size_t n, struct peeked *ret)
{
	*ret = (struct peeked){.body_len = 77, .len = 77};
	return frame_peek(p, n, &ret->kind, &ret->body, &ret->body_len, &ret->len);
}

static void a_frame_is_length_kind_body(void **state)
{
	uint8_t mem[32];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	assert_int_equal(frame_encode(FRAME_ADVICE, "{}", 2, &b), 0);
	assert_int_equal(frame_encode(FRAME_KEEPALIVE, NULL, 0, &b), 0);
	assert_int_equal(b.len, 12);
	assert_memory_equal(mem, "\x02\0\0\0\x03{}\0\0\0\0\x01", 12);
}

static void frames_are_read_one_after_another(void **state)
{
	uint8_t mem[32];
	struct peeked f;
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	assert_int_equal(frame_encode(FRAME_BYE, "{\"a\":1}", 7, &b), 0);
	assert_int_equal(frame_encode(FRAME_KEEPALIVE, NULL, 0, &b), 0);
	assert_int_equal(peek(mem, b.len, &f), 0);
	assert_int_equal(f.kind, FRAME_BYE);
	assert_int_equal(f.len, 12);
	assert_int_equal(f.body_len, 7);
	assert_memory_equal(f.body, "{\"a\":1}", 7);
	assert_int_equal(peek(mem + 12, b.len - 12, &f), 0);
	assert_int_equal(f.kind, FRAME_KEEPALIVE);
	assert_int_equal(f.len, 5);
	assert_int_equal(f.body_len, 0);
}

static void an_incomplete_frame_asks_for_more(void **state)
{
	static const uint8_t bytes[] = {3, 0, 0, 0, FRAME_NETMAP, 'a', 'b', 'c'};
	struct peeked f;

	(void)state;
	for (size_t n = 0; n < sizeof(bytes); n++) {
		assert_int_equal(peek(bytes, n, &f), 0);
		assert_int_equal(f.len, 0);
		assert_int_equal(f.body_len, 77);
	}
	assert_int_equal(peek(bytes, sizeof(bytes), &f), 0);
	assert_int_equal(f.len, sizeof(bytes));
}

static void a_wrong_head_is_refused_before_its_body_comes(void **state)
{
	static const struct {
		const char *says;
		uint32_t len;
		uint8_t kind;
		int err;
	} rows[] = {
		{"no such kind", 0, 0, -ZT_EFORM},
		{"a kind of the future", 0, FRAME_BYE + 1, -ZT_EFORM},
		{"a keepalive with a body", 1, FRAME_KEEPALIVE, -ZT_ELIMIT},
		{"a netmap as long as may be", ZT_FRAME_MAX - FRAME_HEAD, FRAME_NETMAP, 0},
		{"a netmap longer than that", ZT_FRAME_MAX - FRAME_HEAD + 1, FRAME_NETMAP,
		 -ZT_ELIMIT},
		{"advice as long as may be", ZT_ADVICE_MAX, FRAME_ADVICE, 0},
		{"advice longer than that", ZT_ADVICE_MAX + 1, FRAME_ADVICE, -ZT_ELIMIT},
		{"a goodbye as long as may be", FRAME_BYE_MAX, FRAME_BYE, 0},
		{"a goodbye longer than that", FRAME_BYE_MAX + 1, FRAME_BYE, -ZT_ELIMIT},
		{"4 GiB", UINT32_MAX, FRAME_NETMAP, -ZT_ELIMIT},
	};
	struct peeked f;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t head[FRAME_HEAD] = {(uint8_t)rows[i].len, (uint8_t)(rows[i].len >> 8),
					    (uint8_t)(rows[i].len >> 16),
					    (uint8_t)(rows[i].len >> 24), rows[i].kind};

		row_check(rows[i].says, peek(head, sizeof(head), &f) == rows[i].err);
		row_check(rows[i].says, f.len == (rows[i].err ? 77 : 0));
	}
}

static void what_no_reader_takes_is_not_written(void **state)
{
	static const uint8_t body[FRAME_BYE_MAX + 1];
	struct buf b;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	assert_int_equal(frame_encode(FRAME_KEEPALIVE, body, 1, &b), -ZT_ELIMIT);
	assert_int_equal(frame_encode(FRAME_BYE, body, sizeof(body), &b), -ZT_ELIMIT);
	assert_int_equal(frame_encode((enum frame_kind)9, body, 1, &b), -ZT_EFORM);
	assert_int_equal(b.len, 0);
	buf_free(&b);
	buf_init_grow(&b, 6);
	assert_int_equal(frame_encode(FRAME_ADVICE, "{}", 2, &b), -ZT_ELIMIT);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_length_kind_body),
		cmocka_unit_test(frames_are_read_one_after_another),
		cmocka_unit_test(an_incomplete_frame_asks_for_more),
		cmocka_unit_test(a_wrong_head_is_refused_before_its_body_comes),
		cmocka_unit_test(what_no_reader_takes_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
