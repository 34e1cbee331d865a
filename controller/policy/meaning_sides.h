/* Sides: two policies, each taken apart into cases (a unit of who in a case of conditions opens
 * these ports of these hosts), and where they differ. For meaning*.c only. */
#pragma once

#include "controller/policy/meaning.h"
#include "controller/policy/meaning_units.h"

/* A rule taken apart. */
struct taken {
	const struct policy_rule *rule;
	bool over; /* means nothing any more */
	struct ids who, when, where, how;
	uint32_t opens; /* set of openings */
};

/* In this case, this who may open these (or is denied them). */
struct reach {
	uint32_t in_case, who, opens;
};

struct side {
	const struct policy *policy;
	struct taken *rules;
	struct reach *reaches; /* sorted; each (case, who) once, when joined */
	size_t n_reaches;
	bool *used;		/* by group: some rule asks for it */
	struct taken *promises; /* invariants, as if each were a rule; deny: never */
};

struct comparison {
	struct units units;
	struct arena *arena;
	int64_t now_s;
	struct side before, after;
	struct reach *differ; /* (case, who) that are not the same, sorted */
	size_t n_differ;
	struct meaning_change *changes; /* what is told of it: meaning.c's */
	struct meaning_diff result;
};

/* c has both policies and the time. s, one of c's sides: its rules, invariants and reaches.
 * -ENOMEM.
 */
int meaning_take_apart(struct comparison *c, struct side *s) ZT_MUST_USE;
/* Of two sides that were taken apart: c->differ. -ENOMEM. */
int meaning_find_differences(struct comparison *c) ZT_MUST_USE;
/* Has it a part in something that differs? */
bool meaning_is_touched(struct comparison *c, const struct taken *t);
