/* When a policy that nobody confirms goes back, whatever is done to the wall clock. */
#include "tests/unit/unit.h"

#include "controller/model/trial.h"

enum { PUT_S = 1000000, ASKED_S = 600, HOUR_MS = 3600000 };
static const int64_t put_ms = (int64_t)PUT_S * 1000, asked_ms = (int64_t)ASKED_S * 1000;

static struct policy_row row_of(enum trial_state state, unsigned percent)
{
	return (struct policy_row){.version = 7,
				   .at_s = PUT_S,
				   .trial = {.state = state,
					     .base = 6,
					     .until_ms = percent || !state ? 0 : put_ms + asked_ms,
					     .percent = percent}};
}

static void what_is_left(void **state)
{
	static const struct {
		const char *says;
		int64_t wall_ms, left_ms; /* wall_ms: after the put */
	} rows[] = {
		{"when it is put", 0, 600000},
		{"a minute later", 60000, 540000},
		{"the last millisecond", 599999, 1},
		{"its end", 600000, 0},
		{"and after it", 600001, -1},
		{"the clock was set back by a moment", -1, 600000},
		{"the clock was set back by an hour: no more than was asked for", -HOUR_MS, 600000},
		{"the clock was set to the beginning of time", -(int64_t)PUT_S * 1000, 600000},
		{"the clock was set forward", HOUR_MS, 600000 - HOUR_MS},
	};
	struct policy_row row = row_of(TRIAL_OPEN, 0);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  trial_left_ms(&row, put_ms + rows[i].wall_ms) == rows[i].left_ms);
}

static void it_is_over(void **state)
{
	static const struct {
		const char *says;
		enum trial_state state;
		unsigned percent;
		int64_t wall_ms, boot_ms; /* after the put */
		bool over;
	} rows[] = {
		{"both clocks say not yet", TRIAL_OPEN, 0, 599999, 599999, false},
		{"the wall clock says so", TRIAL_OPEN, 0, 600000, 0, true},
		{"the other one says so", TRIAL_OPEN, 0, 0, 600000, true},
		{"the wall clock was set back", TRIAL_OPEN, 0, -HOUR_MS, 600000, true},
		{"it was set back, and it is not time", TRIAL_OPEN, 0, -HOUR_MS, 599999, false},
		{"the wall clock was set forward", TRIAL_OPEN, 0, HOUR_MS, 1, true},
		{"it was confirmed", TRIAL_CONFIRMED, 0, HOUR_MS, HOUR_MS, false},
		{"there was no trial", TRIAL_NONE, 0, HOUR_MS, HOUR_MS, false},
		{"a canary has no end", TRIAL_OPEN, 5, HOUR_MS, HOUR_MS, false},
		{"nor has one that was promoted", TRIAL_PROMOTED, 5, HOUR_MS, HOUR_MS, false},
	};
	const int64_t boot_ms = 5000; /* at the put */

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct policy_row row = row_of(rows[i].state, rows[i].percent);
		struct now now = {.wall_ms = put_ms + rows[i].wall_ms,
				  .boot_ms = boot_ms + rows[i].boot_ms};

		row_check(rows[i].says,
			  trial_is_over(&row, now, boot_ms + asked_ms) == rows[i].over);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left),
		cmocka_unit_test(it_is_over),
	};

	return cmocka_run_group_tests_name("model_trial", tests, NULL, NULL);
}
