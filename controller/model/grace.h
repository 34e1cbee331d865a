/* Grace under another policy: what a profile of a new policy knows of a device from those of the
 * policy before. Pure.
 *
 * A grace is for who complied and stopped. That a device complied with an old profile says that it
 * complied with a new one when the new one asks nothing that the old one did not: each of its
 * conditions is one of the old one's, word by word, and facts may be as old. Names do not count,
 * nor how long the grace is. So a policy that is tried and goes back gives nobody a grace whom it
 * was easier to please. */
#pragma once

#include "controller/policy/engine.h"

struct grace {
	uint64_t from[ENGINE_POSTURES_MAX]; /* by profile after: bits of those before that ask it */
};

/* before NULL: there was none. */
void grace_match(const struct policy *before, const struct policy *after, struct grace *ret);
/* Since when the device fails this profile of the policy after, as far as its n profiles before
 * tell (posture.h: 0, or POSTURE_NEVER_COMPLIED). */
int64_t grace_since(const struct grace *g, size_t posture, const int64_t *since_ms, size_t n);
