/* Units: the smallest parts that rules are made of, each with a number and words. The same part of
 * two policies has the same number. For meaning*.c only. Errors stick: the first stays in err, and
 * what is made after it is worth nothing. */
#pragma once

#include "controller/policy/index.h"

struct opening {	  /* ports of a host, that a rule opens or denies */
	uint32_t host;	  /* unit */
	uint32_t lease_s; /* 0: the network's, or of a deny */
	uint32_t proto, lo, hi;
};
struct openings { /* sorted; of one host, lease and protocol neither overlapping nor touching */
	const struct opening *v;
	size_t n;
};

struct units {
	struct arena *arena;
	int err;
	struct names names; /* kinds are in meaning_units_impl.h */
	const char **texts; /* by unit, for people: long ones are cut short */
	uint32_t n_texts, texts_cap;
	struct openings *sets; /* by number of the set */
	uint32_t n_sets, sets_cap;
	uint32_t n_cases;
	const struct policy *policy; /* whose memos stand: openings of its resources and whats */
	struct openings *hosts;	     /* by resource */
	unsigned round;
	bool leases_as_given;
};

void units_init(struct units *u, struct arena *a);
/* From here on the units of p are asked for. A resource with the network's own lease has none,
 * unless leases_as_given: then it keeps it when the network's changes. */
void units_begin(struct units *u, const struct policy *p, bool leases_as_given);
uint32_t unit_of_text(struct units *u, const char *text);
/* Sorted, in the arena. */
struct ids units_of_selectors(struct units *u, const struct selectors *l);
struct ids units_of_when(struct units *u, uint32_t when);
struct ids units_of_where(struct units *u, const struct policy_rule *r);
struct ids units_of_how(struct units *u, const struct policy_rule *r);
/* The set of what a rule opens, as a number. */
uint32_t openings_of_rule(struct units *u, const struct policy_rule *r);
/* What an invariant is about, so. */
uint32_t openings_of_invariant(struct units *u, const struct policy_invariant *p);
/* All of several sets; v sorted. */
uint32_t openings_union(struct units *u, const uint32_t *v, uint32_t n);
/* Its words: "tag:db tcp/5432", "tag:db tcp/5432, lease 5m". */
struct ids units_of_openings(struct units *u, uint32_t set);
/* Number of (action, time, place, how). */
uint32_t case_of(struct units *u, bool deny, uint32_t when, uint32_t where, const struct ids *how);
