/* Trial: comparisons of times. */
#include "controller/model/trial.h"

int64_t trial_left_ms(const struct policy_row *row, int64_t wall_ms)
{
	int64_t left_ms = row->trial.until_ms - wall_ms;
	int64_t asked_ms = row->trial.until_ms - row->at_s * 1000;

	return left_ms < asked_ms ? left_ms : asked_ms;
}

bool trial_is_over(const struct policy_row *row, struct now now, int64_t end_boot_ms)
{
	return row->trial.state == TRIAL_OPEN && row->trial.until_ms &&
	       (row->trial.until_ms <= now.wall_ms || end_boot_ms <= now.boot_ms);
}
