/* Token buckets: what comes back when, whose bucket is whose, and that a flood cannot grow the
 * table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "controller/http/rate.h"

static struct rate_table table;
static const struct rate_limit ten = {.per_s = 10, .burst = 5};

static int setup(void **state)
{
	static const uint8_t seed[RATE_SEED_LEN] = {1, 2, 3};

	(void)state;
	rate_init(&table, seed);
	return 0;
}

static bool take(uint64_t key, int64_t now_ms)
{
	return rate_take(&table, &ten, 1, &key, sizeof(key), now_ms);
}

static unsigned drain(uint64_t key, int64_t now_ms)
{
	unsigned n = 0;

	while (n < 1000 && take(key, now_ms))
		n++;
	return n;
}

static void test_burst_then_rate(void **state)
{
	static const struct {
		int64_t now_ms;
		unsigned tokens;
		const char *why;
	} rows[] = {
		{1000, 5, "an unknown key starts with a full bucket"},
		{1000, 0, "and in the same millisecond nothing comes back"},
		{1099, 0, "a token takes 100 ms"},
		{1100, 1, "and is there then, no part of it lost to the look at 1099"},
		{1300, 2, "two tokens in 200 ms"},
		{1200, 0, "a clock that goes back gives nothing"},
		{1400, 1, "and takes nothing either"},
		{9000000, 5, "never more than the burst"},
		{INT64_MAX, 5, "however far the clock jumps"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (drain(7, rows[i].now_ms) != rows[i].tokens)
			fail_msg("%s", rows[i].why);
}

static void test_keys_and_kinds_apart(void **state)
{
	uint64_t key = 7;

	(void)state;
	assert_int_equal(drain(7, 0), 5);
	assert_int_equal(drain(8, 0), 5);
	assert_true(rate_take(&table, &ten, 2, &key, sizeof(key), 0));
	assert_false(rate_take(&table, &ten, 1, &key, sizeof(key), 0));
}

static void test_has_takes_nothing(void **state)
{
	uint64_t key = 9;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(rate_has(&table, &ten, 1, &key, sizeof(key), 0));
	assert_int_equal(drain(9, 0), 5);
	assert_false(rate_has(&table, &ten, 1, &key, sizeof(key), 0));
}

/* A million strangers: no memory grows (there is none to grow), everyone is served, and a bucket in
 * use is not pushed out by those that are not (the one unused for longest goes). */
static void test_flood_of_keys(void **state)
{
	static const struct rate_limit never = {.per_s = 0, .burst = 5};
	uint64_t mine = 1ULL << 60;

	(void)state;
	while (rate_take(&table, &never, 1, &mine, sizeof(mine), 0))
		;
	for (uint64_t key = 0; key < 1000 * 1000; key++) {
		assert_true(take(key, (int64_t)key));
		assert_false(rate_take(&table, &never, 1, &mine, sizeof(mine), (int64_t)key));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_burst_then_rate, setup),
		cmocka_unit_test_setup(test_keys_and_kinds_apart, setup),
		cmocka_unit_test_setup(test_has_takes_nothing, setup),
		cmocka_unit_test_setup(test_flood_of_keys, setup),
	};

	return cmocka_run_group_tests_name("controller/http/rate", tests, NULL, NULL);
}
