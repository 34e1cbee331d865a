/* The kernel as one object: read what is ours, execute operations, be told of changes. The only
 * code that opens netlink sockets. Needs CAP_NET_ADMIN. Synchronous: each call is a few netlink
 * round trips. */
#pragma once

#include "zt/loop.h"
#include "ztnode/core/op.h"

struct kernel;

/* ifname at most KSTATE_IFNAME_MAX. Errors with a hint in d: no CAP_NET_ADMIN (-EPERM), no
 * WireGuard in the kernel
 * (-EOPNOTSUPP), no nf_tables (-EOPNOTSUPP). */
int kernel_open(const char *ifname, struct kernel **ret, struct diag *d) ZT_MUST_USE;
void kernel_close(struct kernel *k);

/* Actual state into a. link_is_ours compares with our public key (zero: alias only). */
int kernel_read(struct kernel *k, const struct key *our_pub, struct arena *a, struct kstate *ret,
		struct diag *d) ZT_MUST_USE;
/* Peers and port of the interface alone (statistics). *ret sorted by pub. */
int kernel_read_peers(struct kernel *k, struct arena *a, struct kpeer **ret, size_t *ret_n,
		      uint16_t *ret_port) ZT_MUST_USE;

/* Execute in order; stops at the first failure (what was done stays done; the next plan repairs).
 * An element that expired meanwhile is not an error of OP_ELEM_DEL: the transaction is retried as a
 * load of all elements of fallback (desired state; borrowed). A listen port in use: takes a free
 * one instead (kernel_read_peers tells which) and logs it. */
int kernel_exec(struct kernel *k, const struct op_list *ops, const struct secret *wg_private,
		const struct kstate *fallback, int64_t boot_now_ms, struct diag *d) ZT_MUST_USE;

/* Takes all peers out of our interface, by WireGuard alone and with sockets of its own: for when
 * nftables gives no answer, and nobody knows whether there is a filter. our_pub as kernel_read. 1
 * there were some, 0 none, <0 error. */
int kernel_shut(const char *ifname, const struct key *our_pub) ZT_MUST_USE;

/* Something of ours may have changed by another hand (rtnetlink link/addr/route groups, nftables
 * generation by another process). Called at most once a loop turn. */
int kernel_watch(struct kernel *k, struct loop *l, void (*changed)(void *arg),
		 void *arg) ZT_MUST_USE;

/* A route of the machine, not ours, that overlaps the range (default routes do not count, another
 * ztnode's through its interface does). 1 found (text in out: "10.0.0.0/8 dev eth0"), 0 none, <0
 * error. */
int kernel_find_overlap(struct kernel *k, const struct prefix *range, char *out,
			size_t size) ZT_MUST_USE;

/* Do nftables rules other than ours filter input? 1 a base chain on hook input with policy drop, or
 * a rule that drops or rejects; 0 none; <0 cannot tell. */
int kernel_firewall_filters_input(struct kernel *k) ZT_MUST_USE;
