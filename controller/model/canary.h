/* Which devices a policy is tried on first: a part of them that is settled by their ids and the
 * policy's version, so that everybody who asks has the same answer. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Is the device among the percent (0..100) of all that try this version? A greater share has all
 * of a smaller one's; another version has others. */
bool canary_has(uint32_t device, uint32_t version, unsigned percent);
