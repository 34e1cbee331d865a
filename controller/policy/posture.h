/* Posture: facts of a device against a profile. Pure; unknown and too old satisfy nothing. */
#pragma once

#include "controller/policy/policy.h"

struct fact_view { /* a fact as the controller holds it */
	const char *name;
	uint8_t state; /* enum fact_state */
	const char *value;
	int64_t read_ms; /* wall clock of the controller: report received - age */
};

struct failed {
	const char *condition; /* "disk.encrypted == true" */
	const char *is;	       /* "false", "unknown (no such file)", "12m old, allowed 10m" */
	const char *hint;      /* what would mend it; "" when nothing is known */
	int64_t since_ms;      /* when its fact got too old; 0: that is not why, or not known */
};

struct verdict {
	bool complies;	 /* every condition holds now */
	bool ok;	 /* complies, or failing for less than grace */
	int64_t next_ms; /* when the answer next changes by itself (a fact gets too old, grace
			    ends); INT64_MAX never */
	const struct failed *failed; /* in the arena */
	size_t n_failed;
};

/* failing_since_ms of a device that has not complied yet: grace is for what a device has, and it
 * has nothing. */
enum { POSTURE_NEVER_COMPLIED = 1 };

/* facts sorted by name. failing_since_ms: when the profile began to fail, 0 if it complied at the
 * last evaluation (then a failure begins at now_ms). -ENOMEM. */
int posture_evaluate(const struct policy_posture *p, const struct fact_view *facts, size_t n,
		     int64_t now_ms, int64_t failing_since_ms, struct arena *a,
		     struct verdict *ret) ZT_MUST_USE;
