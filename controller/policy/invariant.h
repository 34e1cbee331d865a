/* Invariants: what no rule of the policy may ever open, whatever else it says. Proved when a policy
 * is put (here), and held from then on (engine_hold.c), because devices and users change. Pure. */
#pragma once

#include "controller/policy/engine.h"

/* Looks at each invariant of p, over every posture, time from now_s (Unix seconds) on and place;
 * for whoever is what its from names and nothing else, and for these n devices with all that they
 * are (verdicts and places are not looked at). What is broken is added to problems, with the rule
 * that breaks it, for whom, and when. -ZT_EFORM: some is broken, or cannot be decided; -ENOMEM. */
int invariants_check(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems) ZT_MUST_USE;

/* The same in steps of some tens of milliseconds, for a worker that has other things to do. p, v
 * and problems outlive the run. */
struct invariants_run;
int invariants_begin(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems, struct invariants_run **ret) ZT_MUST_USE;
int invariants_step(struct invariants_run *r) ZT_MUST_USE; /* 1: there is more; else as above */
void invariants_end(struct invariants_run *r);		   /* or NULL */

/* --- what an invariant is about --- */

/* Is the resource (index) among what t, one of i's, names, and not among i's excepts? */
bool invariant_means(const struct policy *p, const struct policy_invariant *i,
		     const struct policy_target *t, uint32_t resource);
/* What a resource's port and the port that t names have in common, into *ret. False: nothing. */
bool target_port(const struct policy_target *t, const struct service *port, struct service *ret);
