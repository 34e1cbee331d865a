/* Sets of services: lists of struct service and what is left when one is cut out of another.
 * Private to controller/policy. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"

enum { SERVICES_CUT_MAX = 5 }; /* pieces that one service cut out of another leaves, at most */

/* Is there a packet that both mean? */
bool service_overlaps(const struct service *a, const struct service *b);
/* What of a is left without cut, into ret: disjoint pieces; how many. Of `any` without a part
 * remain tcp, udp and icmp: other protocols have no name here and go with the part (closed, not
 * open). */
size_t service_cut(const struct service *a, const struct service *cut,
		   struct service ret[static SERVICES_CUT_MAX]);
/* What both mean, which overlap. */
struct service service_both(const struct service *a, const struct service *b);
/* list without cuts, in a: sorted, pieces of each item in turn. -ENOMEM. */
int services_cut(const struct service *list, size_t n, const struct service *cuts, size_t n_cuts,
		 struct arena *a, const struct service **ret, size_t *ret_n) ZT_MUST_USE;
