/* The end of a policy that waits to be confirmed, by two clocks: the wall clock, which survives a
 * restart and can be set, and the one that nobody sets. Pure. */
#pragma once

#include "zt/clock.h"
#include "controller/model/rows.h"

/* What is left of it at wall_ms, in milliseconds; 0 or less: nothing. A clock that was set back
 * leaves no more than was asked for. */
int64_t trial_left_ms(const struct policy_row *row, int64_t wall_ms);
/* Either clock will do: what was to end does not go on because a clock was set. end_boot_ms: when
 * it ends by the clock that nobody sets. */
bool trial_is_over(const struct policy_row *row, struct now now, int64_t end_boot_ms);
