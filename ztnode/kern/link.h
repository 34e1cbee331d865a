/* The interface and its addresses, by rtnetlink. Everything but the first look goes by index. */
#pragma once

#include "zt/arena.h"
#include "ztnode/core/kstate.h"
#include "ztnode/kern/nl.h"

struct link {
	int index;
	char name[KSTATE_IFNAME_MAX + 1];
	bool is_wireguard;
	bool has_our_alias; /* "ztnode" */
	bool up;
	uint32_t mtu;
};

/* -ENODEV when there is none of that name. */
int link_find(struct nl *nl, const char *name, struct link *ret) ZT_MUST_USE;
int link_find_index(struct nl *nl, int index, struct link *ret) ZT_MUST_USE;

/* Create it, of kind wireguard, with our alias. -EEXIST, -EOPNOTSUPP (no WireGuard in this kernel).
 */
int link_add(struct nl *nl, const char *name) ZT_MUST_USE;
int link_del(struct nl *nl, int index) ZT_MUST_USE;
int link_set_mtu(struct nl *nl, int index, uint32_t mtu) ZT_MUST_USE;
/* -EADDRINUSE: WireGuard's port is another's. */
int link_set_up(struct nl *nl, int index) ZT_MUST_USE;

/* Add or replace, delete. The prefix length is that of a.bits. */
int link_addr_add(struct nl *nl, int index, const struct prefix *a) ZT_MUST_USE;
int link_addr_del(struct nl *nl, int index,
		  const struct prefix *a) ZT_MUST_USE; /* -EADDRNOTAVAIL: not there */
/* Addresses of the interface, sorted; at most KSTATE_ADDRS_MAX, more are left out (the next look
 * shows them). */
int link_addrs(struct nl *nl, int index, struct prefix ret[static KSTATE_ADDRS_MAX],
	       size_t *ret_n) ZT_MUST_USE;
