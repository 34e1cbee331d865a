/* One stretch of ports being solved, and its cells: the moments (a time, a place) at which a rule
 * is open. For can_solve.c and can_cells.c only. */
#pragma once

#include "controller/policy/can_impl.h"

/* Rules with the same conditions are one. */
struct kind {
	const struct policy_rule *rule; /* the first of them */
	uint64_t needs;
	uint64_t *times, *places; /* bits that it holds at */
	uint64_t *cells;	  /* open at, without what is denied */
	size_t n_cells;
};
struct kinds {
	struct kind *v;
	size_t n;
};

/* What an invariant holds back beside postures. */
struct hold {
	const struct policy_invariant *i;
	uint64_t *cells;
};

struct solve {
	struct can_run *x;
	struct kinds allow, deny;
	struct hold *holds;
	size_t n_holds;
	const struct policy_when **whens; /* of these kinds, then the extra */
	uint32_t *when_ids;
	size_t n_whens;
	const struct can_times *times;
	const struct can_places *places;
	size_t row, n_words;
	uint64_t *all_times, *all_places;
	uint64_t *denied;
};

/* Fills times, places and cells of all kinds and holds of s, and what is denied; s has its times
 * and places. -ZT_ELIMIT: too many; -ENOMEM. */
int cells_make(struct solve *s) ZT_MUST_USE;
/* So many words, all clear, in the run's arena. NULL: out of memory. */
uint64_t *cells_words(struct solve *s, size_t n);
/* Bits that are set in n words. */
size_t cells_count(const uint64_t *bits, size_t n);
/* Is a, of n words, a part of b? */
bool cells_within(const uint64_t *a, const uint64_t *b, size_t n);
/* Is k open in just its own cells when only this is said of it: its time if timed, its place if
 * placed, and of nots (a flag for each deny, then for each hold) those that are set? room: for a
 * rule's cells. */
bool cells_are_enough(const struct solve *s, const struct kind *k, bool timed, bool placed,
		      const bool *nots, uint64_t *room);
/* Index of the invariant's when in the policy. It has one. */
uint32_t cells_when_of(const struct solve *s, const struct policy_invariant *i);
