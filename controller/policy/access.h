/* Access lists: who can reach what now, by which rule and until when; and the rules that let in.
 * Pure. */
#pragma once

#include "controller/policy/engine.h"

struct access {		   /* one rule's grants from one device to another */
	uint32_t src, dst; /* device ids */
	const struct policy_rule *rule;
	const struct service *svc; /* what of it no other rule denies */
	size_t n_svc;
	int64_t until_s;  /* when the first of it ends by itself, Unix seconds; INT64_MAX never */
	uint32_t lease_s; /* how long all of it may go on without word from the controller */
};

/* Everything that src can reach, by (dst, rule); in a. None for an id that is not in. -ENOMEM. */
int access_from(const struct engine *e, uint32_t src, struct arena *a, const struct access **ret,
		size_t *ret_n) ZT_MUST_USE;
/* Everyone who can reach dst, by (src, rule). resource: of its ports alone, by rules about it
 * (index); POLICY_NO_RESOURCE: anything. */
enum { POLICY_NO_RESOURCE = UINT32_MAX };
int access_to(const struct engine *e, uint32_t dst, uint32_t resource, struct arena *a,
	      const struct access **ret, size_t *ret_n) ZT_MUST_USE;
/* Rules (indexes, ascending) about a resource, or about anything that the device dst hosts; those
 * that deny too. In a. -ENOMEM. */
int access_rules(const struct engine *e, uint32_t dst, uint32_t resource, struct arena *a,
		 const uint32_t **ret, size_t *ret_n) ZT_MUST_USE;
/* Index of the resource of this name; POLICY_NO_RESOURCE: there is none. */
uint32_t access_resource(const struct engine *e, const char *name);

/* The conditions of a rule in words; in a. -ENOMEM. */
struct access_words {
	const char *who, *when, *where, *how; /* "" where there is no such condition */
};
int access_words(const struct engine *e, uint32_t rule, struct arena *a,
		 struct access_words *ret) ZT_MUST_USE;
