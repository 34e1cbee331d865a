/* Census: a copy of every active device, as the policy that it is under and another one see it,
 * that another thread can use. It is made on the loop, a slice of devices at a time, so that many
 * devices never hold it up; a device that changes between two slices is seen as it was or as it is.
 * Pure.
 *
 *     loop:    census_new, census_step until 0     any thread: census_judge, census_devices
 *     loop:    census_free                                                                      */
#pragma once

#include "controller/model/model.h"
#include "controller/policy/preview.h"

struct census;

/* Of the policy in force and a canary, which it keeps (policy_hold), and after, which it borrows.
 * -ENOMEM. */
int census_new(const struct model *m, const struct policy *after, int64_t now_ms,
	       struct census **ret) ZT_MUST_USE;
/* The next devices and users, at most max of them. Begins anew when another policy has come into
 * force, or another canary. 1: there is more to do; 0: done; -ENOMEM. */
int census_step(struct census *c, const struct model *m, size_t max) ZT_MUST_USE;
void census_free(struct census *c);

/* Posture and place of every device under its policy and under after. -ENOMEM. */
int census_judge(struct census *c) ZT_MUST_USE;
const struct policy *census_before(const struct census *c);
const struct policy *census_canary(const struct census *c); /* NULL: there is none */
/* Ids ascending; the census's. */
const struct preview_device *census_devices(const struct census *c, size_t *ret_n);
