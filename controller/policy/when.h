/* When a rule holds: schedules put together, and the next instant at which the answer changes.
 * Pure. */
#pragma once

#include "controller/policy/policy.h"

bool when_holds(const struct policy_when *w, int64_t now_s);
/* The first instant > now_s at which when_holds is not what it is now, or one before it at which to
 * ask again, some weeks or months ahead. INT64_MAX: never. */
int64_t when_next(const struct policy_when *w, int64_t now_s);
/* It holds now: the first instant at which it does not. INT64_MAX: never, or not before 2200. */
int64_t when_end(const struct policy_when *w, int64_t now_s);
/* Is this an instant at which when_next may say to ask again, though nothing changes? */
bool when_asks_again(int64_t t_s);
/* Since when when_holds is what it is now; INT64_MIN: for longer than a year, or for ever. */
int64_t when_since(const struct policy_when *w, int64_t now_s);
/* Does it hold at no instant from from_s on? False too where that cannot be told. */
bool when_is_over(const struct policy_when *w, int64_t from_s);
