/* Kernel WireGuard by generic netlink. Interfaces go by index. Keys that pass through here are
 * wiped from the messages; those that were read belong to the caller's arena. */
#pragma once

#include "ztnode/core/op.h"
#include "ztnode/kern/nl.h"

/* The generic netlink family. -EOPNOTSUPP: this kernel has no WireGuard (loading its module was
 * tried). */
int wg_find_family(struct nl *nl, uint16_t *ret) ZT_MUST_USE;

struct wg_device {
	struct key pub; /* zero: no key yet */
	uint16_t port;
	struct kpeer *peers; /* sorted by pub. More allowed IPs than a kpeer holds: n_allowed is 0
				(it differs). */
	size_t n_peers;
};

/* Peers into a. -ENODEV, -EOPNOTSUPP (of another kind), -ENOMEM (a is full). */
int wg_read(struct nl *nl, uint16_t family, int ifindex, struct arena *a,
	    struct wg_device *ret) ZT_MUST_USE;

/* Private key (NULL: leave) and port (NULL: leave; 0: any free one). -EADDRINUSE. */
int wg_set(struct nl *nl, uint16_t family, int ifindex, const struct secret *priv,
	   const uint16_t *port) ZT_MUST_USE;

/* OP_PEER_DEL, OP_PEER_PUT, OP_PEER_ENDPOINT: all of ops[0..n-1], as many to a message and as many
 * messages to a system call as fit. */
int wg_peers(struct nl *nl, uint16_t family, int ifindex, const struct op *ops,
	     size_t n) ZT_MUST_USE;

/* All peers out at once. An interface that is deleted with peers in it waits for the kernel's RCU
 * once a peer (16 ms each on a stock kernel); emptied this way it waits once. */
int wg_clear_peers(struct nl *nl, uint16_t family, int ifindex) ZT_MUST_USE;
