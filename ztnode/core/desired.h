/* Desired: netmap + lease -> kernel state. Pure. */
#pragma once

#include "ztnode/core/kstate.h"

struct desired_config {
	uint16_t listen_port;
	uint32_t route_metric; /* of the tunnel's route; the unreachable one is much worse */
	const struct netmap_psk *psks; /* sorted by peer */
	size_t n_psks;
};

/* The unreachable routes alone, of the ranges that are known: without a map nothing else may be. */
void desired_guards(const struct prefix nets[static 2], uint32_t route_metric, struct kstate *ret);

/* What the grant's rule asks of this device and this version cannot enforce: the first of it. It
 * then opens nothing by the rule. NULL: nothing. */
const struct netmap_condition *desired_unenforced(const struct netmap *m,
						  const struct netmap_grant *g);

/* Times are CLOCK_BOOTTIME, in ms. */
struct desired_times {
	int64_t lease_end_ms; /* of the map */
	uint32_t lease_s;     /* and how long it is: leases of grants count from the same moment */
	int64_t wall_to_boot_ms; /* added to a wall time to get boot time */
	int64_t now_ms;
};

/* When a grant ends: with its lease, its own or the map's, or before by itself. */
int64_t desired_grant_end(const struct netmap_grant *g, const struct desired_times *t);
/* The next moment at which what is desired changes by itself; -1 never. */
int64_t desired_next_end(const struct netmap *m, const struct desired_times *t);

/* A grant that has ended, and one whose rule asks for what cannot be enforced, give no element.
 * While the map's lease runs, a peer stays that has a grant whose lease runs; afterwards only one
 * that has an element. Ranges of ports likewise. -ENOMEM, -ZT_ELIMIT (spans x grants). */
int desired_make(const struct netmap *m, const struct desired_config *c,
		 const struct desired_times *t, struct arena *a, struct kstate *ret) ZT_MUST_USE;
