/* How a process becomes one of the daemon's two roles: this program again, with --role, its
 * descriptors at fixed places (roles.h). */
#pragma once

#include "ztnode/roles.h"

enum role { ROLE_KERN, ROLE_NET };
enum { ROLES = 2 };

const char *role_name(enum role r);
/* Moves channel to ROLE_FD and control (-1: none) behind it, wherever they are now, and executes.
 * Comes back only when that failed, with the exit status, after saying why in the log. */
int role_exec(const struct node_config *c, enum role r, int channel, int control);
