/* How soon a device gains access again, over time. */
#include "tests/unit/unit.h"

#include "controller/pace.h"

enum { MINUTE_MS = 60000 };

static void use_up(struct pace *p, int64_t now_ms)
{
	for (int i = 0; i < PACE_FREE; i++)
		assert_int_equal(pace_gain(p, now_ms + i), 0);
}

static void a_few_gains_do_not_wait(void **state)
{
	struct pace p = {0};

	(void)state;
	for (int64_t at_ms = 1; at_ms < 100 * MINUTE_MS; at_ms += MINUTE_MS / PACE_FREE)
		assert_int_equal(pace_gain(&p, at_ms), 0);
}

static void more_within_a_minute_wait_longer_each_time(void **state)
{
	static const int64_t waits_ms[] = {2000, 4000, 8000, 16000, 30000, 30000, 30000};
	int64_t now_ms = 1000, until_ms;
	struct pace p = {0};
	unsigned waited = 0;

	(void)state;
	use_up(&p, now_ms);
	while (waited < N_OF(waits_ms)) {
		now_ms += 50;
		until_ms = pace_gain(&p, now_ms);
		assert_int_equal(until_ms, now_ms + waits_ms[waited++]);
		assert_int_equal(pace_gain(&p, now_ms + 50), until_ms); /* asking is not waiting */
		assert_int_equal(pace_gain(&p, until_ms - 1), until_ms);
		now_ms = until_ms;
		assert_int_equal(pace_gain(&p, now_ms), 0);
	}
}

/* Whatever it does, it gains no more than this. */
static void a_device_that_flips_all_the_time_gains_seldom(void **state)
{
	struct pace p = {0};
	unsigned gains = 0;

	(void)state;
	for (int64_t at_ms = 1; at_ms < 60 * MINUTE_MS; at_ms += 50)
		gains += pace_gain(&p, at_ms) == 0;
	assert_true(gains <= PACE_FREE + 60 * MINUTE_MS / PACE_MOST_MS + 5);
	assert_true(gains >= 60 * MINUTE_MS / PACE_MOST_MS); /* and is never locked out */
}

static void a_quiet_minute_forgives(void **state)
{
	struct pace p = {0};
	int64_t until_ms;

	(void)state;
	use_up(&p, 1000);
	until_ms = pace_gain(&p, 2000);
	assert_int_equal(until_ms, 2000 + PACE_FIRST_MS);
	assert_int_equal(pace_gain(&p, until_ms), 0);
	use_up(&p, until_ms + MINUTE_MS);
	assert_int_equal(pace_gain(&p, until_ms + MINUTE_MS + 100),
			 until_ms + MINUTE_MS + 100 + PACE_FIRST_MS);
}

/* One that waited and then was not asked for is not held against a gain much later. */
static void a_wait_that_is_over_is_over(void **state)
{
	struct pace p = {0};

	(void)state;
	use_up(&p, 1000);
	assert_true(pace_gain(&p, 2000) > 0);
	for (int i = 0; i < PACE_FREE; i++)
		assert_int_equal(pace_gain(&p, 3600000 + i), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_few_gains_do_not_wait),
		cmocka_unit_test(more_within_a_minute_wait_longer_each_time),
		cmocka_unit_test(a_device_that_flips_all_the_time_gains_seldom),
		cmocka_unit_test(a_quiet_minute_forgives),
		cmocka_unit_test(a_wait_that_is_over_is_over),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
