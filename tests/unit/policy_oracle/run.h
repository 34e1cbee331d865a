/* What a run of policy_oracle_test is made of: an engine, its oracle, and the comparison of both.
 */
#pragma once

#include "controller/policy/engine.h"
#include "controller/zones.h"
#include "tests/unit/policy_oracle/oracle.h"
#include "zt/buf.h"

enum { NAMES = ORACLE_NAMES + 1 }; /* one that no policy knows */

/* What the engine borrows: memory of its own for each put, so that what is kept too long shows. */
struct borrowed {
	char name[8], owner[24], tags[NAMES][8], groups[NAMES][8];
	const char *tag_list[NAMES], *group_list[NAMES];
	struct subject s;
};

struct run {
	uint64_t seed; /* of this world */
	unsigned change;
	char what[100]; /* the change */
	struct world world;
	struct buf text;
	struct policy *policy;
	struct zones *zones;
	struct engine *engine, *fresh;
	struct device devices[ORACLE_DEVICES];
	struct borrowed *borrowed[ORACLE_DEVICES];
	int64_t now_s;
	unsigned rule_of[ORACLE_RULES + 1]; /* the world's, by the id of the policy's */
	unsigned posture_of[ORACLE_POSTURES];
	struct answers before, now;
	bool around[ORACLE_DEVICES]; /* whom the engine says the change may touch */
};

/* That the worlds are not empty. */
struct seen {
	uint64_t grants, edges, touched, explained, held, refused;
};
extern struct seen seen;

uint32_t id_of(unsigned device);
unsigned device_of(uint32_t id);
/* Fails, and says all that is needed to see it again. */
void wrong(struct run *r, const char *fmt, ...) ZT_PRINTF(2, 3);

/* The engine's answers after a change, against the oracle's and those of an engine made afresh;
 * all: of every device, else of those around the change and some. */
void check_change(struct run *r, bool all);
