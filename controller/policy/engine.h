/* Engine: policy + subjects -> grants, kept incrementally: a change touches what depends on it.
 * Pure (memory only). */
#pragma once

#include "controller/policy/policy.h"
#include "controller/policy/place.h"
#include "controller/policy/posture.h"

enum { ENGINE_POSTURES_MAX = 64 }; /* profiles in one policy: verdicts are one 64-bit word */

/* A device as the policy sees it. Strings are borrowed until the next put or remove of this id. */
struct subject {
	uint32_t id;
	const char *name;
	const char *owner; /* "" for tagged devices */
	const char *const *tags;
	size_t n_tags;
	const char *const *groups; /* groups given to the owner by an admin */
	size_t n_groups;
	uint64_t verdicts;    /* bit i: profile i of the policy is ok */
	struct places places; /* where it is */
};

struct grant {
	uint32_t src, dst; /* device ids */
	uint32_t rule;
	struct service svc;
	uint32_t lease_s; /* how long it may go on without word from the controller: that of the
			     resource, or of [network] where it has none */
	int64_t until_s;  /* it ends by itself then, as far as times decide; INT64_MAX never */
};

struct engine;
/* now_s: Unix seconds, for rules with a when. Borrows p. NULL: out of memory. */
struct engine *engine_new(const struct policy *p, int64_t now_s);
void engine_free(struct engine *e);

/* --- time: nothing changes by itself until the next edge, which somebody has to pass on --- */

/* When to call engine_advance again; INT64_MAX never. */
int64_t engine_next(const struct engine *e);
/* Will the rule (index) never hold again? */
bool engine_is_over(const struct engine *e, uint32_t rule);
/* It is now_s (also earlier than before: a clock that was set). Rules begin and end; devices that
 * one of these is about, sorted, in a: their grants may have changed. -ENOMEM: rules have changed
 * all the same, everybody is to be looked at. */
int engine_advance(struct engine *e, int64_t now_s, struct arena *a, const uint32_t **ret,
		   size_t *ret_n) ZT_MUST_USE;

/* Join or change. -ENOMEM: then nothing has changed. */
int engine_put(struct engine *e, const struct subject *s) ZT_MUST_USE;
void engine_remove(struct engine *e, uint32_t id); /* revoked, expired, left: grants end */
/* Every grant in force where id is source or destination (never to itself), sorted by (src, dst,
 * svc, rule), without doubles: of those the one with the longest lease. In a. None for an id that
 * is not in. -ENOMEM, also over a's limit.
 */
int engine_grants(const struct engine *e, uint32_t id, struct arena *a, const struct grant **ret,
		  size_t *ret_n) ZT_MUST_USE;
/* The same, of those alone where id is the source. */
int engine_grants_from(const struct engine *e, uint32_t id, struct arena *a,
		       const struct grant **ret, size_t *ret_n) ZT_MUST_USE;
/* Devices that id shares a grant with now, or would if every posture condition held (the ones to
 * look at again when id changes). Sorted, in a. */
int engine_neighbours(const struct engine *e, uint32_t id, struct arena *a, const uint32_t **ret,
		      size_t *ret_n) ZT_MUST_USE;
/* Profiles that some rule asks of this device: bit mask. */
uint64_t engine_profiles(const struct engine *e, uint32_t id);
/* The same with those that invariants about it ask for: whose facts have to be known. */
uint64_t engine_profiles_known(const struct engine *e, uint32_t id);

/* --- explain: same data, said to people --- */

struct explain_failed {
	const char *condition; /* "posture:managed-laptop: disk.encrypted == true", "who", "port" */
	const char *is;
	const char *hint;
	int64_t since_ms; /* since when, Unix milliseconds; 0: not known. Of a posture: since when
			     the device does not meet the profile */
};
struct explanation {
	bool allowed;
	const struct policy_rule *rule;	   /* allows; NULL */
	const struct policy_rule *nearest; /* fails least; NULL when no rule comes near */
	const struct explain_failed *failed;
	size_t n_failed;
};
/* May src open svc to dst? -ZT_EABSENT: one of them is not in. facts(arg, id, &n) gives the facts
 * of a device for the words of failed posture conditions. own_only: for the device's own "why":
 * only rules whose who includes src are named, others give nearest NULL. */
struct explain_context {
	const struct fact_view *(*facts)(void *arg, uint32_t id, size_t *ret_n);
	/* "192.0.2.7 (DE)", "" when it is not known; in a. NULL: out of memory */
	const char *(*whereabouts)(void *arg, uint32_t id, struct arena *a);
	/* Since when the device does not meet this profile (index); 0: not known, or never met */
	int64_t (*failing_since_ms)(void *arg, uint32_t id, uint32_t posture);
	void *arg;
	int64_t now_ms;
	bool own_only;
};
int engine_explain(const struct engine *e, uint32_t src, uint32_t dst, const struct service *svc,
		   const struct explain_context *c, struct arena *a,
		   struct explanation *ret) ZT_MUST_USE;
/* The same for an address behind gateways; -ZT_EABSENT too when no resource has it. */
int engine_explain_address(const struct engine *e, uint32_t src, const struct addr *dst,
			   const struct service *svc, const struct explain_context *c,
			   struct arena *a, struct explanation *ret) ZT_MUST_USE;
/* Ids of devices that host a resource; sorted, in a. -ZT_EABSENT unknown resource. */
int engine_hosts(const struct engine *e, const char *resource, struct arena *a,
		 const uint32_t **ret, size_t *ret_n) ZT_MUST_USE;
/* Does any device host the resource (index)? */
bool engine_is_offered(const struct engine *e, uint32_t resource);
/* Ids of devices whose owner is this user (e-mail without a prefix); sorted, in a. */
int engine_owned(const struct engine *e, const char *user, struct arena *a, const uint32_t **ret,
		 size_t *ret_n) ZT_MUST_USE;
