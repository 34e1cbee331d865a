/* Insides of can and of invariants.
 *
 *     can_party    who asks and who is asked, as sets of rules and of resources
 *     can_ports    the two together: for each stretch of ports the rules about it
 *     can_solve    those rules: every set of conditions under which it is open
 *     can_cells    those conditions as bits, one a moment
 *     can_times    the sets of whens that hold together at some instant
 *     can_places   what can be known together of where a device is
 *     can_posture  which postures imply and exclude each other
 */
#pragma once

#include "controller/policy/can.h"
#include "controller/policy/index.h"

struct can_times {
	size_t n;
	const uint64_t *const *open; /* bit per when */
	const int64_t *at_s;	     /* an instant at which it is so */
};
/* From now_s on, for ever. -ZT_ELIMIT: more sets than can be held. */
int can_times_find(const struct policy_when *const *whens, size_t n, int64_t now_s, struct arena *a,
		   struct can_times *ret) ZT_MUST_USE;

struct can_place {
	struct places at;
	struct place_view view; /* an example; addr4 and addr6 where an overlay address counts */
};
struct can_places {
	size_t n;
	const struct can_place *v;
};
/* spots: bits of the policy's that count; no others are in the answer. -ZT_ELIMIT. */
int can_places_find(const struct policy *p, uint64_t spots, struct arena *a,
		    struct can_places *ret) ZT_MUST_USE;

/* Can all of these hold at one moment? */
bool postures_hold_together(const struct policy *p, uint64_t postures);
/* Whenever all of these hold, does q? */
bool postures_imply(const struct policy *p, uint64_t postures, uint32_t q);

/* One weakest way, of the rules about one stretch of ports. */
struct can_option {
	const struct policy_rule *rule;
	uint64_t postures;
	bool timed, placed;
	const struct policy_rule *const *nots;
	size_t n_nots;
	const struct policy_invariant *const *holds;
	size_t n_holds;
	const uint64_t *cells; /* bits: time * 64 * row + place */
};
struct can_solution {
	enum can_verdict verdict;
	const struct can_option *options;
	size_t n;
	const struct can_times *times;
	const struct can_places *places;
	size_t row;   /* words of a time's places */
	size_t extra; /* the extra when's bit in times */
};

struct can_run {
	const struct policy *p;
	struct policy_index index;
	const struct subject *devices;
	size_t n_devices;
	int64_t now_s;
	struct arena *a;
	bool held;	    /* what invariants hold back counts, too; they are looked at without */
	struct names users; /* who are known: can_run_take_users() */
	/* Also told apart, beyond what the rules ask for: the invariant's. */
	const struct policy_when *extra_when; /* the last bit of times; NULL */
	uint64_t extra_spots;
	struct names known; /* times, places and solutions by what they are of: places in kept */
	void **kept;
	size_t n_kept, cap_kept;
	size_t work; /* spent: rules looked at for pairs */
};

int can_run_init(struct can_run *x, const struct policy *p, const struct subject *devices,
		 size_t n_devices, int64_t now_s, struct arena *a) ZT_MUST_USE;
void can_run_done(struct can_run *x);
/* Users who are known have what they are given, and are not asked about without: not for what must
 * hold whatever they are given. */
int can_run_take_users(struct can_run *x) ZT_MUST_USE;
/* Other extras: what was kept does not hold any more. */
void can_run_forget(struct can_run *x);

/* Rules about one stretch of ports between two: indexes, sorted. In deny, behind the rules,
 * invariants (n_rules and more). */
int can_solve(struct can_run *x, const uint32_t *allow, size_t n_allow, const uint32_t *deny,
	      size_t n_deny, const struct can_solution **ret) ZT_MUST_USE;

/* --- parties --- */

/* All that are alike: about whom the same rules (and invariants) are, or that offer the same
 * resources. */
struct can_class {
	const uint32_t *v; /* rules, then n_rules + invariant; or resources; sorted */
	uint32_t n;
	const struct can_identity *ids;
	size_t n_ids;
};
struct can_classes {
	const struct can_class *v;
	size_t n;
};

/* Growing in the run's arena. */
struct can_party {
	struct can_run *x;
	bool hosts;		   /* v are resources, else rules */
	const uint64_t *rules;	   /* of rules only these bits */
	uint32_t member;	   /* an atom that all must have; NAMES_ABSENT: none */
	struct can_class *classes; /* ids grow */
	size_t n, cap;
	struct names known;
	size_t *id_caps;
};
void can_party_init(struct can_party *y, struct can_run *x, bool hosts, const uint64_t *rules);
/* Devices that are s, and whoever is s alone. *ret_some: somebody is, or the policy names it. */
int can_party_add(struct can_party *y, const struct selector *s, bool *ret_some) ZT_MUST_USE;
/* Hosts of a resource, or points of its addresses. */
int can_party_add_hosts(struct can_party *y, uint32_t resource) ZT_MUST_USE;
int can_party_add_address(struct can_party *y, const struct addr *addr, bool *ret_some) ZT_MUST_USE;
/* Bits of the rules about resources of these hosts; NULL: out of memory. */
const uint64_t *can_party_rules(const struct can_party *hosts);

/* --- ports --- */

struct can_stretch {
	struct service svc; /* or PORTSET_OTHER */
	const struct can_solution *solution;
};
/* asked n 0: all that the host offers. */
int can_stretches(struct can_run *x, const struct can_class *from, const struct can_class *to,
		  const struct service *asked, size_t n_asked, const struct can_stretch **ret,
		  size_t *ret_n) ZT_MUST_USE;
/* May there be two different devices? */
bool can_be_two(const struct can_class *from, const struct can_class *to);
