/* Roll: who there is, as the policy sees it, copied for another thread. It is made on the loop, a
 * slice at a time, so that many devices never hold it up; one that changes between two slices is
 * seen as it was or as it is. Pure. */
#pragma once

#include "controller/model/model.h"

struct roll;

struct roll *roll_new(void); /* NULL: out of memory */
void roll_free(struct roll *r);
/* The next devices and users, at most max of them. 1: there is more to do; 0: done; -ENOMEM. */
int roll_step(struct roll *r, const struct model *m, size_t max) ZT_MUST_USE;
/* Every device that is not revoked, whatever its standing now, and for each user with groups one
 * without a name: a device that the user may still enrol. Verdicts and places are none. The roll's.
 */
const struct subject *roll_subjects(const struct roll *r, size_t *ret_n);
