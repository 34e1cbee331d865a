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

/* lease_end_ms and elements' expiries are CLOCK_BOOTTIME; wall_to_boot_ms is added to a wall time
 * to get boot time. A grant whose own end has passed, and one whose rule asks for what
 * cannot be enforced, give no element. After the lease there are no
 * elements and no peers. -ENOMEM, -ZT_ELIMIT (spans x grants). */
int desired_make(const struct netmap *m, const struct desired_config *c, int64_t lease_end_ms,
		 int64_t wall_to_boot_ms, int64_t boot_now_ms, struct arena *a,
		 struct kstate *ret) ZT_MUST_USE;
