/* A policy as a worker takes it in: parsed at once, its invariants proved in steps, between which
 * others get their turn. Pure. */
#pragma once

#include "controller/policy/invariant.h"

struct policy_reading {
	struct diag_list problems;    /* items and max are the caller's */
	struct policy *policy;	      /* NULL: not parsed, or taken by the caller */
	struct invariants_run *proof; /* NULL: not begun, or over */
};

/* For whoever the invariants name and for these devices (invariants_begin()), which outlive the
 * proof; a policy that was accepted before has none. 1: there is more, policy_read_step(); 0: it is
 * good. As policy_parse() and invariants_begin() refuse it otherwise. */
int policy_read_begin(struct policy_reading *r, const char *text, size_t n,
		      const struct policy_env *env, const struct subject *devices,
		      size_t n_devices) ZT_MUST_USE;
int policy_read_step(struct policy_reading *r) ZT_MUST_USE; /* as above */
void policy_read_end(struct policy_reading *r);		    /* whenever; the policy is freed too */
