/* Policy: one INI file, parsed whole or refused whole. Immutable after parse; plain arrays that
 * compile, posture and explain read. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"
#include "zt/err.h"
#include "zt/report.h"
#include "controller/policy/schedule.h"

/* All mistakes of one run, in file order. */
struct diag_list {
	struct diag *items;
	size_t n;
	size_t max;	/* more are counted, not kept */
	size_t dropped; /* at ZT_MISTAKES_MORE_MAX the parser gives up */
};

/* Whom a selector means: "user:ada@x" "group:g" "tag:t" "device:name" "anyone". */
enum selector_kind {
	SELECTOR_USER,
	SELECTOR_GROUP,
	SELECTOR_TAG,
	SELECTOR_DEVICE,
	SELECTOR_ANYONE
};
struct selector {
	enum selector_kind kind;
	unsigned column;  /* beside kind, so that a selector is no bigger for it */
	const char *name; /* without the prefix; NULL for ANYONE */
	uint32_t group;	  /* index for GROUP */
	unsigned line;
};

/* A list less another: whoever is one of `in` and none of `except`. */
struct selectors {
	const struct selector *in;
	size_t n_in;
	const struct selector *except;
	size_t n_except;
};

struct policy_group {
	const char *name;
	struct selectors members; /* users, tags, groups */
	unsigned line, column;
};

struct policy_resource {
	const char *name;
	struct selectors on;	      /* tags or devices that host it */
	struct selectors via;	      /* tags or devices that forward to it; else n_in is 0 */
	const struct prefix *address; /* behind the gateways: disjoint, what except leaves */
	size_t n_address;
	const struct service *ports; /* what except leaves; disjoint */
	size_t n_ports;
	const char *data;  /* "" if not given */
	const char *owner; /* "" if not given */
	/* How long an access may go on without word from the controller; 0 if not given: as long
	 * as [network] lease says. */
	uint64_t lease_s;
	unsigned line, column;
};

enum condition_op {
	CONDITION_EQ,
	CONDITION_NE,
	CONDITION_LT,
	CONDITION_LE,
	CONDITION_GT,
	CONDITION_GE
};
struct condition {
	const char *fact;
	const struct fact_kind *kind;
	enum condition_op op;
	const char *value; /* as written */
	uint64_t number;   /* seconds for durations, the number for numbers, 0/1 for booleans */
	const char *text;  /* whole condition, one normal form: "os.update_age <= 14d" */
	unsigned line, column;
};

struct policy_posture {
	const char *name;
	const struct condition *require;
	size_t n_require;
	uint64_t grace_s;
	uint64_t max_age_s;
	unsigned line, column;
};

struct policy_schedule {
	const char *name;
	struct schedule s;
	unsigned line, column;
};

/* When rules hold: at some of in (always when there is none), at none of except, before until_s. */
struct policy_when {
	const struct schedule *const *in;
	size_t n_in;
	const struct schedule *const *except;
	size_t n_except;
	int64_t until_s;  /* Unix seconds; INT64_MAX: no end */
	const char *text; /* "Mon-Fri 07:00-20:00 Europe/Berlin except schedule:holidays" */
};
enum { POLICY_ALWAYS = UINT32_MAX };

/* Part of a place: where the controller sees a device's connection come from, the device's own
 * address in the overlay, or the country of the former. */
enum place_kind { PLACE_SOURCE, PLACE_OVERLAY, PLACE_COUNTRY };
struct place_item {
	enum place_kind kind;
	struct prefix prefix;
	char country[3];
};

struct policy_place { /* one of in and none of except */
	const char *name;
	const struct place_item *in;
	size_t n_in;
	const struct place_item *except;
	size_t n_except;
	unsigned line, column;
};

enum { POLICY_SPOTS_MAX = 64 };
struct policy_spot {	/* what a rule's where can name: a place, or a country alone */
	uint32_t place; /* index, when country is "" */
	char country[3];
};

/* What how asks for beside postures. Also the bits of policy_env.enforces. */
enum demand_kind {
	DEMAND_LOGIN,	 /* login < 12h: the owner of the device logged in less than that ago */
	DEMAND_MFA,	 /* mfa: with a second factor */
	DEMAND_APPROVAL, /* approval: somebody approved this access */
	DEMAND_APP,	 /* app:/usr/bin/psql: the program that opens the connection */
	DEMAND_USER,	 /* user:postgres: the account of the device that it runs under */
};
enum {
	DEMAND_KINDS = DEMAND_USER + 1,
	DEMAND_NAMES_MAX = 32, /* programs of one rule; accounts too */
};
struct policy_demands {	  /* all of it must hold */
	uint64_t login_s; /* 0: not asked */
	bool mfa, approval;
	const char *const *apps; /* one of them; sorted, none twice */
	const char *const *users;
	size_t n_apps, n_users;
};

struct policy_rule {
	uint32_t id; /* 1.. in file order; what grants carry */
	const char *name;
	bool deny; /* wins over every rule that allows */
	struct selectors who;
	const uint32_t *what; /* resource indexes, sorted, without those of except */
	size_t n_what;
	bool what_all;	     /* the list named resource:* (for words; what has them) */
	const uint32_t *how; /* posture indexes; all must hold on the source. Never of a deny */
	size_t n_how;
	struct policy_demands demands; /* beside them. None of a deny */
	uint32_t when;		       /* index, or POLICY_ALWAYS */
	uint64_t where, where_except; /* bits by spot: one of where (0: anywhere), none of except */
	const char *why;
	const char *owner, *ticket; /* "" if not given; for reviews */
	const char *review;	    /* as written; NULL: none */
	int64_t review_s;	    /* when it should be looked at again; INT64_MAX never */
	unsigned line, column;
};

struct policy_test {
	const char *name;
	struct selector from;
	uint32_t to; /* resource index */
	struct service svc;
	bool expect_allow;
	unsigned line, column;
};

/* What an invariant is about: a resource, all of a class of data, or all; any port or these. */
struct policy_target {
	bool all;
	const char *data;  /* NULL: none */
	uint32_t resource; /* when neither */
	bool some_ports;
	struct service svc; /* then */
	unsigned line, column;
};

/* What holds for ever: nobody in from opens anything of to, or nobody without all of these
 * postures, from one of these spots, while this when holds. */
struct policy_invariant {
	const char *name;
	struct selectors from;
	const struct policy_target *to, *to_except; /* to_except: whole ones, without ports */
	size_t n_to, n_to_except;
	bool never;
	uint64_t postures;		/* bits; of no use when never, as are the next two */
	uint64_t spots;			/* bits by spot; 0: anywhere */
	const struct policy_when *when; /* one of the policy's whens; NULL: at any time */
	const char *why;
	unsigned line, column;
};

struct policy {
	const char *file;   /* its name, for messages */
	struct arena arena; /* owns everything below */
	unsigned holds;	    /* owners beside the first */
	uint64_t lease_s;   /* [network] lease; default ZT_LEASE_DEFAULT_S */
	const struct policy_group *groups;
	const uint32_t *group_order; /* all groups, members before those that contain them */
	const struct policy_resource *resources;
	const struct policy_posture *postures;
	const struct policy_place *places;
	const struct policy_schedule *schedules;
	const struct policy_when *whens; /* of rules, each different one once; then of invariants */
	const struct policy_spot *spots; /* places and countries that rules name */
	const struct policy_rule *rules;
	const struct policy_test *tests;
	const struct policy_invariant *invariants;
	size_t n_groups, n_resources, n_postures, n_places, n_spots, n_schedules, n_whens;
	size_t n_rules, n_tests, n_invariants;
	const char *const
		*facts; /* every fact that a posture of some rule or invariant asks for, sorted */
	size_t n_facts;
	const struct diag *warnings; /* what is allowed and probably not meant; in file order */
	size_t n_warnings;
};

enum { POLICY_WARNINGS_MAX = 100 };

/* What the parser is told of the world. */
struct policy_env {
	/* Zones of the zone database; what it gives outlives the policy. NULL: UTC alone. Answers
	 * as struct window_env says. */
	const struct tz *(*zone)(void *arg, const char *name, const char **ret_reason);
	const char *const *(*zone_names)(void *arg, size_t *ret_n); /* for hints; or NULL */
	void *zones;
	int64_t now_s;	/* for warnings about what is over; 0: none */
	bool countries; /* there is a database of countries */
	/* Which demands the running system enforces: 1 << enum demand_kind. A rule that asks for
	 * another is refused, for without it the rule would allow more than it says. */
	unsigned enforces;
	bool was_accepted;     /* before: its invariants held then, and are not looked at again */
	bool invariants_later; /* by invariants_step(), in steps */
};

/* file: name for messages. env: NULL for one that knows nothing. Checks everything, runs the file's
 * own tests, looks at its invariants for the file alone. On error *ret untouched and problems
 * filled. -ZT_EFORM refused, -ZT_ELIMIT, -ENOMEM. problems->items are the caller's (problems->max
 * of them). */
int policy_parse(const char *file, const char *text, size_t n, const struct policy_env *env,
		 struct policy **ret, struct diag_list *problems) ZT_MUST_USE;
/* The mistakes in one line, with the error they were found with; gives that error. */
int policy_refused(int err, const struct diag_list *l, struct diag *ret);
/* One more owner, each of whom calls policy_free. Only one thread may hold and free; the policy
 * itself never changes, so others may read it meanwhile. */
struct policy *policy_hold(struct policy *p);
void policy_free(struct policy *p);
/* Does the rule hold at all times, everywhere, whatever state the device is in? */
bool policy_rule_is_plain(const struct policy_rule *r);
/* Does some selector name this device, or one that the name would become by a suffix ("db":
 * "db-2")? A device chooses its name itself, so one that the policy knows by name has to be let in
 * by an admin. */
bool policy_names_device(const struct policy *p, const char *name);
