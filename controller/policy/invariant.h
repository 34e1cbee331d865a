/* Invariants: what no rule of the policy may ever open, whatever else it says. Pure. */
#pragma once

#include "controller/policy/engine.h"

/* Looks at each invariant of p, over every posture, time from now_s (Unix seconds) on and place;
 * for whoever is what its from names and nothing else, and for these n devices with all that they
 * are (verdicts and places are not looked at). What is broken is added to problems, with the rule
 * that breaks it, for whom, and when. -ZT_EFORM: some is broken, or cannot be decided; -ENOMEM. */
int invariants_check(const struct policy *p, const struct subject *v, size_t n, int64_t now_s,
		     struct diag_list *problems) ZT_MUST_USE;
