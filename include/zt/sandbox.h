/* Giving up rights, for good. Each fails closed: the caller ends when it fails. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "zt/err.h"

/* Keep one capability (or none: -1) in every set, never gain another (no_new_privs; the bounding
 * set is emptied where CAP_SETPCAP is there for it), no core dumps. -errno. Start-up only. */
int sandbox_keep_capability(int cap) ZT_MUST_USE;
/* Become an ordinary user: uid, gid, no other groups, no capability. "" keeps the uid and drops
 * capabilities only when not root already. -ENOENT no such user, -errno. */
int sandbox_become_user(const char *name) ZT_MUST_USE;
/* System calls neither role needs (exec, mount, ptrace, modules, bpf, ...) end in EPERM. exec_too:
 * also no execve. */
int sandbox_filter_calls(bool exec_too) ZT_MUST_USE;
