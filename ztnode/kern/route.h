/* Routes of the main table, by rtnetlink. Ours carry a protocol number of our own. */
#pragma once

#include "ztnode/core/kstate.h"
#include "ztnode/kern/nl.h"

/* Who made a route (rtm_protocol): not one of those that rtnetlink.h or iproute2 name. */
enum { ROUTE_PROTOCOL = 122 };

int route_add(struct nl *nl, int ifindex,
	      const struct kroute *r) ZT_MUST_USE; /* one that is there is replaced */
int route_del(struct nl *nl, int ifindex,
	      const struct kroute *r) ZT_MUST_USE; /* -ESRCH: not there */

/* Routes that we made: unreachable ones, and those through ifindex (0: no interface). Sorted; at
 * most KSTATE_ROUTES_MAX, more are left out (the next look shows them). */
int route_read(struct nl *nl, int ifindex, struct kroute ret[static KSTATE_ROUTES_MAX],
	       size_t *ret_n) ZT_MUST_USE;

struct route_overlap {
	struct prefix dst;
	int ifindex;	/* 0: no device */
	bool is_ztnode; /* another daemon's, through its own interface */
};
/* A route of another's, in any table but the local one, that overlaps the range; default routes,
 * unreachable ones of our protocol and those through ifindex do not count. 1 found, 0 none, <0
 * error. */
int route_find_overlap(struct nl *nl, int ifindex, const struct prefix *range,
		       struct route_overlap *ret) ZT_MUST_USE;
