/* Sets of networks: what is left of a list when networks are cut out of it. Private to
 * controller/policy. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"

/* list without cuts, in a: disjoint, sorted. -ENOMEM. */
int networks_cut(const struct prefix *list, size_t n, const struct prefix *cuts, size_t n_cuts,
		 struct arena *a, const struct prefix **ret, size_t *ret_n) ZT_MUST_USE;
bool networks_contain(const struct prefix *list, size_t n, const struct addr *a);
/* The first address behind the network. False: it is the last of its family. */
bool network_next(const struct prefix *p, struct addr *ret);
