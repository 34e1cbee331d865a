/* Conditions on facts: does a value satisfy one, and can several hold at once? Private to
 * controller/policy. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "controller/policy/policy.h"

enum condition_result { CONDITION_HOLDS, CONDITION_FAILS, CONDITION_UNREADABLE };

/* value: as a device reports it. Unreadable: not of the fact's type, which satisfies nothing. */
enum condition_result condition_test(const struct condition *c, const char *value);
/* Fill value's number and check that it is of the fact's type: -ZT_EFORM. value is set. */
int condition_set_value(struct condition *c) ZT_MUST_USE;
/* Two of these conditions, all on one fact, that cannot both hold, or one that never holds (then
 * both are the same); false: some value satisfies them all. Three that only together exclude each
 * other give the first and the last. */
bool condition_conflict(const struct condition *const *all, size_t n,
			const struct condition **ret_a, const struct condition **ret_b);
/* Does some known value satisfy all n, which are on one fact? */
bool conditions_can_hold(const struct condition *const *all, size_t n);
const char *condition_op_text(enum condition_op op);
