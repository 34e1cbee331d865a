/* Index of a policy: who it names, as numbers, and the way back from them to rules and resources.
 * Immutable after init. Private to controller/policy. Pure.
 *
 *     atom: one selector as the policy names it: user:a@x, group:g, tag:t, device:d, anyone; or a
 * whole list that has an except, which is like a group without a name. Atom i is group i for the
 * policy's groups; the others follow. A device is a set of atoms, and everything else is a look-up
 * by atom. What a device is by itself (owner, tags, name, groups that an admin gave) is closed over
 * groups and lists in their order, so that an except is decided before what it takes from. */
#pragma once

#include "controller/policy/names.h"
#include "controller/policy/policy.h"

struct ids { /* sorted, without doubles */
	const uint32_t *v;
	uint32_t n;
};

struct policy_index {
	const struct policy *policy; /* borrowed */
	struct arena arena;	     /* owns the rest */
	struct names names;	     /* (enum selector_kind, name) -> atom */
	uint32_t n_atoms, n_derived;
	uint32_t anyone;		 /* its atom, NAMES_ABSENT when nobody says anyone */
	bool kinds[SELECTOR_ANYONE + 1]; /* by kind: some selector is of it */
	const uint32_t *derived;   /* groups and lists, members before those that contain them */
	const uint32_t *rank;	   /* by group: its place in derived */
	const struct ids *ups;	   /* by atom: places in derived that it is a member of */
	const struct ids *bars;	   /* by atom: places in derived that it is kept out of */
	const struct ids *who;	   /* by rule: atoms it is about */
	const struct ids *what;	   /* by rule: resources */
	const struct ids *on;	   /* by resource: atoms that host it */
	const struct ids *rules;   /* by atom: rules whose who names it */
	const struct ids *hosted;  /* by atom: resources whose on names it */
	const struct ids *opened;  /* by resource: rules about it, denying ones too */
	const struct ids *from;	   /* by invariant: atoms it is about; none: anyone */
	const struct ids *watched; /* by atom: invariants whose from names it */
	struct ids watch_all;	   /* invariants about anyone: no device has a seat for that */
	uint64_t watch_needs;	   /* bit per posture that some invariant asks for */
	const uint64_t *needs;	   /* by rule: bit per posture that must hold */
	const uint64_t *asked;	   /* by atom: bit per posture that one of its rules needs */
	uint32_t n_denies;	   /* rules that deny */
};

int index_init(struct policy_index *x,
	       const struct policy *p) ZT_MUST_USE; /* -ENOMEM; x needs no done then */
void index_done(struct policy_index *x);
/* NAMES_ABSENT when the policy does not name it. name is ignored for anyone. */
uint32_t index_atom(const struct policy_index *x, enum selector_kind kind, const char *name);

/* Atoms of one device or user, collected: what it is by itself is added, then closed. */
struct atoms {
	struct arena *arena;
	uint32_t *v;
	uint32_t n;
	size_t cap;
	uint64_t *heap; /* places in derived still to be decided */
	uint32_t n_heap;
	size_t heap_cap;
};
/* NAMES_ABSENT is passed over. -ENOMEM. */
int atoms_add(struct atoms *s, uint32_t atom) ZT_MUST_USE;
/* Add the groups and lists that follow; v is then sorted and without doubles. -ENOMEM. */
int atoms_close(struct atoms *s, const struct policy_index *x) ZT_MUST_USE;
int ids_compare(const void *a, const void *b); /* of uint32_t, in the shape of qsort */
uint32_t ids_sort(uint32_t *v, uint32_t n);    /* sorts and takes out doubles; how many are left */
