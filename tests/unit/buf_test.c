/* The bounded byte builder. */
#include "tests/unit/unit.h"

#include "zt/buf.h"

static void numbers_are_written_little_endian(void **state)
{
	static const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
				       0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
	uint8_t mem[sizeof(want)];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put_u8(&b, 0x01);
	buf_put_u16(&b, 0x0203);
	buf_put_u32(&b, 0x04050607);
	buf_put_u64(&b, 0x08090a0b0c0d0e0f);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(mem, want, sizeof(want));
}

static void fixed_memory_takes_exactly_its_size(void **state)
{
	uint8_t mem[4];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, "abcd", 4);
	assert_int_equal(b.err, 0);
	buf_put(&b, NULL, 0);
	assert_int_equal(b.err, 0);
	buf_put_u8(&b, 0);
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_int_equal(b.len, 4);
}

static void after_an_error_nothing_more_is_written(void **state)
{
	uint8_t mem[4] = {9, 9, 9, 9};
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, "12345", 5);
	buf_put_u8(&b, 1);
	buf_put_zero(&b, 1);
	buf_put_text(&b, "x");
	buf_put_fixed_text(&b, "x", 2);
	buf_printf(&b, "%d", 1);
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_int_equal(b.len, 0);
	assert_int_equal(mem[0], 9);
	assert_string_equal(buf_text(&b), "");
}

static void reset_makes_it_usable_again(void **state)
{
	uint8_t mem[2];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, "123", 3);
	buf_reset(&b);
	buf_put(&b, "12", 2);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.len, 2);
	buf_free(&b);
	assert_null(b.data);
}

static void it_grows_up_to_its_limit_and_no_further(void **state)
{
	struct buf b;

	(void)state;
	buf_init_grow(&b, 1000);
	for (int i = 0; i < 1000; i++)
		buf_put_u8(&b, (uint8_t)i);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.len, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(b.data[i], (uint8_t)i);
	buf_put_u8(&b, 0);
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_int_equal(b.len, 1000);
	buf_free(&b);
	buf_free(&b);
}

static void a_full_heap_buffer_still_ends_its_text(void **state)
{
	struct buf b;

	(void)state;
	buf_init_grow(&b, 3);
	buf_put_text(&b, "abc");
	assert_string_equal(buf_text(&b), "abc");
	assert_int_equal(b.len, 3);
	buf_free(&b);
}

static void the_text_of_nothing_is_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init_grow(&b, 10);
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.err, 0);
	buf_free(&b);
}

static void fixed_memory_without_room_for_the_end_of_text_is_over_the_limit(void **state)
{
	uint8_t mem[3];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put_text(&b, "abc");
	assert_int_equal(b.err, 0);
	assert_string_equal(buf_text(&b), "");
	assert_int_equal(b.err, -ZT_ELIMIT);
}

static void fixed_text_is_padded_with_zeros(void **state)
{
	uint8_t mem[5] = {9, 9, 9, 9, 9};
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put_fixed_text(&b, "ab", 5);
	assert_int_equal(b.len, 5);
	assert_memory_equal(mem, "ab\0\0\0", 5);
}

static void fixed_text_that_does_not_fit_is_never_cut(void **state)
{
	uint8_t mem[8];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_put_fixed_text(&b, "ab", 2);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.len, 2);
	buf_reset(&b);
	buf_put_fixed_text(&b, "abc", 2);
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_int_equal(b.len, 0);
}

static void printf_writes_the_whole_text_or_nothing(void **state)
{
	uint8_t mem[8];
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%s-%d", "abc", 42);
	assert_string_equal(buf_text(&b), "abc-42");
	buf_printf(&b, "%s", "xyz");
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_int_equal(b.len, 6);
}

static void zeros_are_counted(void **state)
{
	struct buf b;

	(void)state;
	buf_init_grow(&b, 5000);
	buf_put_zero(&b, 5000);
	assert_int_equal(b.len, 5000);
	assert_int_equal(b.data[4999], 0);
	buf_free(&b);
	buf_init_grow(&b, 16);
	buf_put_zero(&b, SIZE_MAX);
	assert_int_equal(b.err, -ZT_ELIMIT);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_little_endian),
		cmocka_unit_test(fixed_memory_takes_exactly_its_size),
		cmocka_unit_test(after_an_error_nothing_more_is_written),
		cmocka_unit_test(reset_makes_it_usable_again),
		cmocka_unit_test(it_grows_up_to_its_limit_and_no_further),
		cmocka_unit_test(a_full_heap_buffer_still_ends_its_text),
		cmocka_unit_test(the_text_of_nothing_is_empty),
		cmocka_unit_test(fixed_memory_without_room_for_the_end_of_text_is_over_the_limit),
		cmocka_unit_test(fixed_text_is_padded_with_zeros),
		cmocka_unit_test(fixed_text_that_does_not_fit_is_never_cut),
		cmocka_unit_test(printf_writes_the_whole_text_or_nothing),
		cmocka_unit_test(zeros_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
