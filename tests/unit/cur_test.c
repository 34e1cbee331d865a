/* The sticky-error reader. */
#include "tests/unit/unit.h"

#include "zt/cur.h"

static void numbers_are_read_little_endian(void **state)
{
	static const uint8_t bytes[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
					0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08};
	struct cur c;

	(void)state;
	cur_init(&c, bytes, sizeof(bytes));
	assert_int_equal(cur_u8(&c), 0x01);
	assert_int_equal(cur_u16(&c), 0x0203);
	assert_int_equal(cur_u32(&c), 0x04050607);
	assert_int_equal(cur_left(&c), 8);
	assert_int_equal(cur_u64(&c), 0x08090a0b0c0d0e0f);
	assert_int_equal(cur_done(&c), 0);
}

static void reading_past_the_end_fails_for_good(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3};
	uint8_t dst[2] = {9, 9};
	struct cur c;

	(void)state;
	cur_init(&c, bytes, sizeof(bytes));
	assert_int_equal(cur_u32(&c), 0);
	assert_int_equal(c.err, -ZT_EFORM);
	assert_int_equal(cur_u8(&c), 0);
	assert_null(cur_take(&c, 1));
	cur_copy(&c, dst, sizeof(dst));
	assert_int_equal(dst[0] | dst[1], 0);
	assert_int_equal(cur_left(&c), 0);
	assert_int_equal(cur_done(&c), -ZT_EFORM);
}

static void what_is_left_over_is_an_error_at_the_end(void **state)
{
	struct cur c;

	(void)state;
	cur_init(&c, "ab", 2);
	assert_int_equal(cur_u8(&c), 'a');
	assert_int_equal(cur_done(&c), -ZT_EFORM);
	assert_int_equal(cur_u8(&c), 'b');
	assert_int_equal(cur_done(&c), 0);
}

static void nothing_can_be_read_from_nothing(void **state)
{
	struct cur c;

	(void)state;
	cur_init(&c, NULL, 0);
	assert_int_equal(cur_done(&c), 0);
	assert_non_null(cur_take(&c, 0));
	assert_int_equal(cur_u8(&c), 0);
	assert_int_equal(c.err, -ZT_EFORM);
}

static void a_wrong_value_that_the_caller_finds_sticks(void **state)
{
	struct cur c;

	(void)state;
	cur_init(&c, "ab", 2);
	cur_fail(&c);
	assert_int_equal(cur_u8(&c), 0);
	assert_int_equal(cur_done(&c), -ZT_EFORM);
}

static void lengths_near_the_end_of_memory_do_not_wrap(void **state)
{
	struct cur c;

	(void)state;
	cur_init(&c, "ab", 2);
	assert_null(cur_take(&c, SIZE_MAX));
	assert_int_equal(c.err, -ZT_EFORM);
}

static void fixed_text_is_checked(void **state)
{
	static const struct {
		const char *says;
		const char bytes[9];
		const char *want; /* NULL: refused */
	} rows[] = {
		{"text and zeros to the end", "abc\0\0\0\0\0", "abc"},
		{"a full field", "abcdefgh", "abcdefgh"},
		{"an empty field", "\0\0\0\0\0\0\0\0", ""},
		{"UTF-8", "Gr\xc3\xbc\xc3\x9f\0\0", "Gr\xc3\xbc\xc3\x9f"},
		{"text after a NUL", "ab\0c\0\0\0\0", NULL},
		{"the last byte after a NUL", "ab\0\0\0\0\0x", NULL},
		{"a newline", "ab\nc\0\0\0\0", NULL},
		{"an escape", "\x1b[31m\0\0\0", NULL},
		{"a lone continuation byte", "ab\x80\0\0\0\0\0", NULL},
		{"a sequence cut by the end of the field", "abcdefg\xc3", NULL},
	};
	char dst[9];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct cur c;

		cur_init(&c, rows[i].bytes, 8);
		memset(dst, 'x', sizeof(dst));
		cur_fixed_text(&c, dst, 8);
		row_check(rows[i].says, (cur_done(&c) == 0) == (rows[i].want != NULL));
		row_check(rows[i].says, strcmp(dst, rows[i].want ? rows[i].want : "") == 0);
	}
}

static void fixed_text_of_a_short_message_is_empty(void **state)
{
	char dst[9];
	struct cur c;

	(void)state;
	cur_init(&c, "abc", 3);
	cur_fixed_text(&c, dst, 8);
	assert_string_equal(dst, "");
	assert_int_equal(cur_done(&c), -ZT_EFORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_little_endian),
		cmocka_unit_test(reading_past_the_end_fails_for_good),
		cmocka_unit_test(what_is_left_over_is_an_error_at_the_end),
		cmocka_unit_test(nothing_can_be_read_from_nothing),
		cmocka_unit_test(a_wrong_value_that_the_caller_finds_sticks),
		cmocka_unit_test(lengths_near_the_end_of_memory_do_not_wrap),
		cmocka_unit_test(fixed_text_is_checked),
		cmocka_unit_test(fixed_text_of_a_short_message_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
