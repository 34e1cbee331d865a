/* Enrolment, the talking side: runs as an ordinary user, asks the privileged side for proofs over
 * the channel. */
#pragma once

#include "zt/err.h"
#include "ztnode/roles.h"

/* token: as typed. name: for the device ("": the host's). Says what is wrong on stderr. Exit
 * status. */
typedef int (*enroll_talk_fn)(const struct node_config *c, int channel, const char *token,
			      const char *name);
int enroll_talk(const struct node_config *c, int channel, const char *token, const char *name);
