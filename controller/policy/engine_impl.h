/* Insides of the engine, for engine_*.c, explain.c, access.c, preview.c and review.c
 * only.
 *
 *     engine_set    devices join, change and leave
 *     engine_time   rules begin and end
 *     engine_grants what a device is granted: allowed, less denied, less what invariants hold back
 *     engine_hold   what that is
 *     engine_query  who is near whom, and who hosts what
 *
 *     node (a device) --seat--> atom <--who-- rule --what--> resource --on--> atom <--seat-- node
 *
 * A device sits in the crowd of every atom it is; a change of a device moves it between crowds, and
 * a question walks this picture from the device outwards. Nothing is kept per rule and device, so
 * "anyone" costs one seat a device. */
#pragma once

#include "controller/policy/engine.h"
#include "controller/policy/index.h"

struct seat {
	uint32_t atom;
	uint32_t pos; /* in the atom's crowd */
};

struct node {
	uint32_t id;
	uint64_t verdicts;
	struct places places;
	const char *name, *owner; /* borrowed, as engine.h says */
	uint32_t n_seats;
	struct seat seats[]; /* sorted by atom */
};

struct crowd { /* devices that are an atom, in no order */
	struct node **nodes;
	uint32_t n, cap;
};

struct engine {
	const struct policy *policy;
	struct policy_index index;
	struct crowd *crowds; /* by atom */
	uint8_t *open;	      /* by when of the policy: it holds now */
	int64_t *edges;	      /* by when: next change; INT64_MAX never */
	int64_t next_s;	      /* the least of them */
	int64_t now_s;
	struct node **nodes; /* hash table by id: linear probing, at most half full */
	size_t cap, n;	     /* cap is a power of two */
};

/* All atoms that the subject is, sorted. -ENOMEM. */
int subject_atoms(const struct policy_index *x, const struct subject *s,
		  struct atoms *ret) ZT_MUST_USE;

struct node *engine_find(const struct engine *e, uint32_t id); /* NULL when absent */

/* Do the rule's conditions hold for this source now? Where it cannot be known an allowing rule does
 * not hold and a denying one does. */
bool engine_holds(const struct engine *e, const struct node *n, uint32_t rule);

/* Which whens hold at this instant, and when they change. */
void engine_start_clock(struct engine *e, int64_t now_s);

/* --- invariants --- */

/* Does what it asks for not hold for this source now? One that is not known does not. */
bool invariant_forbids(const struct engine *e, const struct policy_invariant *i,
		       const struct node *src);
/* The invariant that keeps src from some of svc at dst now; NULL. */
const struct policy_invariant *engine_held_by(const struct engine *e, const struct node *src,
					      const struct node *dst, const struct service *svc);

/* Grants being collected, in an arena. */
struct grants {
	struct arena *arena;
	struct grant *v;
	size_t n, cap;
};
int grants_add(struct grants *g, const struct grant *one) ZT_MUST_USE; /* -ENOMEM */
/* What invariants forbid of these (sorted) is added to denied, and to later what they will forbid
 * from a moment on (until_s). -ENOMEM. */
int engine_hold(const struct engine *e, const struct grants *allowed, struct grants *denied,
		struct grants *later) ZT_MUST_USE;

/* Bits, one per rule, resource or atom. */
struct bits {
	uint64_t *words;
	size_t n_words;
};
int bits_init(struct bits *b, size_t n, struct arena *a) ZT_MUST_USE; /* -ENOMEM */
/* Sets bit i; was it clear? */
bool bits_add(struct bits *b, uint32_t i);
bool bits_has(const struct bits *b, uint32_t i);
/* out |= lists[i] for every i in the set in. */
void bits_spread(const struct ids *lists, const struct bits *in, struct bits *out);
/* Invariants with one of these whens: resources that they are about, atoms whom they are about. */
void engine_hold_around(const struct engine *e, const struct bits *whens, struct bits *resources,
			struct bits *atoms);
/* Ids of all devices that are one of the atoms, but not of except; sorted. */
int engine_devices_of(const struct engine *e, const struct bits *atoms, const struct node *except,
		      struct arena *a, const uint32_t **ret, size_t *ret_n) ZT_MUST_USE;
