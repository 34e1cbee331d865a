/* Messages between the two roles of one program over a SOCK_SEQPACKET pair: u32 kind | u32 length |
 * body, and a body larger than one packet goes in several. A message of a kind or size that is not
 * in the receiver's table ends the process: the other side is broken or taken over. */
#pragma once

#include <sys/types.h>

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
/* The same between two programs, one of which was started with a listening SOCK_SEQPACKET socket.
 * accept: the first connection of this user; those of others are closed, and said in the log.
 * -ETIMEDOUT: none within limit_ms. The listener stays the caller's. */
int ipc_accept(int listener, uid_t uid, int64_t limit_ms, int *ret_fd) ZT_MUST_USE;
/* -ENAMETOOLONG, -errno of connect(2). */
int ipc_connect(const char *path, int *ret_fd) ZT_MUST_USE;
