/* Model: everything the controller decides with, in memory, fed by committed changes and by
 * reports. Pure.
 *
 * One struct device a device. Facts and endpoints are soft state from reports; verdicts are what
 * the policy's posture profiles make of the facts. The model owns the policy and the engine, so
 * that a device, its subject in the engine and its verdicts never disagree. */
#pragma once

#include "zt/clock.h"
#include "zt/report.h"
#include "controller/model/change.h"
#include "controller/policy/engine.h"

/* Whether a device takes part, and as what. */
enum standing {
	STANDING_REVOKED, /* first: what is not decided yet is nothing */
	STANDING_ACTIVE,
	STANDING_PENDING, /* may connect and wait for an admin */
	STANDING_LAPSED,  /* its certificate is over; its next session renews it */
	STANDING_EXPIRED,
	STANDING_DISABLED, /* its owner may not use the network */
};

/* A device_row whose texts take the memory that they need: there are many devices. */
struct device_core {
	uint32_t id;
	enum device_state state;
	const char *name, *owner; /* "" for a tagged device */
	struct {
		const char *const *name;
		size_t n;
	} tags;
	struct key identity, wg_key;
	struct addr addr4, addr6;
	int64_t created_s, cert_not_after_s, last_seen_s;
	uint64_t token_id, serial;
};

struct device {
	struct device_core row;
	void *texts; /* of row, in one piece of memory */
	bool owner_disabled;
	bool in_canary;		/* the canary's policy holds for what it opens */
	enum standing standing; /* at the last evaluation: what the engine was told */
	bool left_out;		/* did not fit into memory: it has no access until it does */
	char version[24], os[24];
	/* last report */
	struct fact_view *facts; /* sorted by name; with their texts in one piece of memory */
	size_t n_facts;
	struct endpoint
		*endpoints; /* usable candidates, best first; at most ZT_ENDPOINTS_PEER_MAX */
	size_t n_endpoints;
	struct addr source; /* where its stream comes from, as the controller sees it */
	char country[3];    /* of source; "" not known */
	uint16_t wg_port;
	/* posture, per profile of the policy that it is under */
	uint64_t verdicts; /* bit i: profile i is ok */
	uint64_t held; /* bit i: profile i counts as failing, because its gain must wait (pace.h) */
	struct places places;
	int64_t *failing_since_ms; /* of n_failing profiles; without: it never complied */
	size_t n_failing;
	int64_t next_ms; /* when a verdict or the standing next changes by itself; INT64_MAX never
			  */
	/* connection */
	bool online;
	uint32_t psk_epoch; /* day of its last connection */
	void *link;	    /* the publisher's, NULL when offline */
};

/* A policy, and the devices as it sees them. */
struct force {
	struct policy *policy;
	struct engine *engine; /* NULL: there is none */
	struct policy_row row; /* texts NULL */
};

struct model {
	struct store_network_view {
		char name[ZT_NAME_MAX + 1];
		struct prefix net4, net6;
	} network;
	struct device **devices; /* by id; NULL where there is none */
	size_t n_devices;	 /* size of the array */
	struct user_row *users;
	size_t n_users, cap_users;
	uint32_t
		*user_slots; /* by hash of the e-mail: index into users + 1, or 0; linear probing */
	size_t n_user_slots; /* a power of two, at least twice n_users; 0 at first */
	struct force force;  /* the policy in force */
	struct force canary; /* one that is tried beside it, by some devices */
	size_t n_left_out;   /* devices */
};

void model_init(struct model *m);
void model_done(struct model *m);

struct device *model_device(const struct model *m, uint32_t id); /* NULL when there is none */
/* As the store knows it. */
void model_row(const struct device *d, struct device_row *ret);
/* By id ("7") or name. A revoked device is found by its name only when no other bears it. */
struct device *model_find_device(const struct model *m, const char *id_or_name);
const struct user_row *model_user(const struct model *m, const char *email);
/* The one place where it is decided: who calls, sessions, streams, the engine and so every netmap
 * ask here. */
enum standing model_standing(const struct device *d, int64_t now_ms);
/* What to tell a device of that standing; NULL: it may connect. */
struct standing_refusal {
	const char *code, *message, *hint;
};
const struct standing_refusal *standing_refusal(enum standing s);
size_t model_count(const struct model *m, enum device_state s);

/* Loading at start, before the policy is set. Copies. */
int model_load_device(struct model *m, const struct device_row *row,
		      struct device **ret) ZT_MUST_USE;
int model_load_user(struct model *m, const struct user_row *u) ZT_MUST_USE;
/* Room for so many more users, so that their changes cannot fail once they are committed: what a
 * user is no longer must not be lost. -ENOMEM. */
int model_reserve_users(struct model *m, size_t more) ZT_MUST_USE;
/* Takes p (parsed beforehand); every device becomes a subject, its verdicts are evaluated at
 * now_ms. A canary ends. -ENOMEM: the old policy stays and p is the caller's. */
int model_set_policy(struct model *m, struct policy *p, const struct policy_row *row,
		     int64_t now_ms) ZT_MUST_USE;
/* So, but p is tried beside the policy in force, which stays: row->trial.percent of the devices are
 * under it (canary.h), in place of a canary before it. A device is judged by the policy it is
 * under, and what it may open is that policy's: conditions are always those of the source. */
int model_set_canary(struct model *m, struct policy *p, const struct policy_row *row,
		     int64_t now_ms) ZT_MUST_USE;
/* Both, with an engine that was made beforehand, in another thread. Takes policy and engine of f.
 * It does not fail: what is committed holds. Who does not fit into memory is left out, and
 * is put again by model_put_left_out. */
void model_put_force(struct model *m, const struct force *f, bool canary, int64_t now_ms);
/* Tries again. How many are no longer left out. */
size_t model_put_left_out(struct model *m);
/* The policy that the device is under. */
const struct force *model_force(const struct model *m, const struct device *d);
/* Every device that takes part into e, judged by nobody: for questions about a policy that is not
 * in force. Borrows from the model. -ENOMEM. */
int model_try(const struct model *m, struct engine *e) ZT_MUST_USE;
/* A device that cannot be kept in step is nobody's peer. */
void model_forget(struct model *m, uint32_t id);

/* A committed change. *ret: the device it is about, NULL for others. A new policy goes through
 * model_set_policy and model_set_canary. -ENOMEM: of a device or user. The end of a canary does not
 * fail for want of memory (model_put_force). */
int model_apply(struct model *m, const struct change *c, int64_t now_ms,
		struct device **ret) ZT_MUST_USE;

/* Facts and endpoints of a report. Endpoints inside the overlay or not usable are left out.
 * *ret_endpoints_changed: peers need to know. Does not evaluate. */
int model_take_report(struct model *m, struct device *d, const struct report *r,
		      int64_t received_ms, bool *ret_endpoints_changed) ZT_MUST_USE;

struct verdict_change {
	uint32_t posture; /* index */
	bool ok;
};
/* Evaluate the device's standing, profiles and places now and put it into the engine, or take it
 * out, when something changed (places stand in d). changes (ENGINE_POSTURES_MAX of them) tells
 * which profiles flipped. -ENOMEM fails closed: all profiles fail. */
size_t model_evaluate(struct model *m, struct device *d, int64_t now_ms,
		      struct verdict_change changes[ENGINE_POSTURES_MAX]);
/* Verdict of one profile with its words, in a. */
int model_verdict(const struct model *m, const struct device *d, size_t posture, int64_t now_ms,
		  struct arena *a, struct verdict *ret) ZT_MUST_USE;
