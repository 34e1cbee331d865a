/* ztctl policy can, which policy.c has the row of. */
#pragma once

#include "controller/ctl/ctl.h"

/* FROM TO [PROTO/PORT]. ZT_EXIT_DENIED: never. */
int ctl_policy_can(struct ctl *c, const struct ctl_args *a);
