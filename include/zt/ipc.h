/* Messages between the two roles of one program over a SOCK_SEQPACKET pair: u32 kind | u32 length |
 * body, and a body larger than one packet goes in several. A message of a kind or size that is not
 * in the receiver's table ends the process: the other side is broken or taken over. */
#pragma once

#include "zt/loop.h"

struct ipc;

struct ipc_kind { /* what a role accepts; ends with fn NULL */
	uint32_t kind;
	size_t min, max; /* bytes of the body */
	void (*fn)(void *arg, const void *body, size_t n);
	const char *name;
};

/* Takes fd. gone(arg): the other side closed or broke the rules (said in the log). */
struct ipc *ipc_new(struct loop *l, int fd, const struct ipc_kind *kinds, void (*gone)(void *arg),
		    void *arg);
void ipc_free(struct ipc *i);
/* Copies. Queued without blocking; more than 64 MiB waiting: -ENOBUFS. To a side that has gone: 0,
 * gone() tells. */
int ipc_send(struct ipc *i, uint32_t kind, const void *body, size_t n) ZT_MUST_USE;
/* Both ends of a pair, close-on-exec and non-blocking. */
int ipc_pair(int ret_fd[2]) ZT_MUST_USE;
