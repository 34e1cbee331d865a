/* Policy: one INI file, parsed whole or refused whole. Immutable after parse; plain arrays that
 * compile, posture and explain read. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"
#include "zt/err.h"
#include "zt/report.h"

/* All mistakes of one run, in file order. */
struct diag_list {
	struct diag *items;
	size_t n;
	size_t max;	/* more are counted, not kept */
	size_t dropped; /* at 10,000 the parser gives up */
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
	const char *name; /* without the prefix; NULL for ANYONE */
	uint32_t group;	  /* index for GROUP */
	unsigned line;
};

struct policy_group {
	const char *name;
	const struct selector
		*members; /* users and tags (groups in groups: with the whole grammar) */
	size_t n_members;
	unsigned line, column;
};

struct policy_resource {
	const char *name;
	const struct selector *on; /* tags or devices that host it */
	size_t n_on;
	const struct service *ports;
	size_t n_ports;
	const char *data;  /* "" if not given */
	const char *owner; /* "" if not given */
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

struct policy_rule {
	uint32_t id; /* 1.. in file order; what grants carry */
	const char *name;
	const struct selector *who;
	size_t n_who;
	const uint32_t *what; /* resource indexes */
	size_t n_what;
	const uint32_t *how; /* posture indexes; all must hold */
	size_t n_how;
	const char *why;
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

struct policy {
	struct arena arena; /* owns everything below */
	uint64_t lease_s;   /* [network] lease; default ZT_LEASE_DEFAULT_S */
	const struct policy_group *groups;
	const struct policy_resource *resources;
	const struct policy_posture *postures;
	const struct policy_rule *rules;
	const struct policy_test *tests;
	size_t n_groups, n_resources, n_postures, n_rules, n_tests;
	const char *const *facts; /* every fact some posture that some rule uses asks for, sorted */
	size_t n_facts;
};

/* file: name for messages. Checks everything, runs the file's own tests. On error *ret untouched
 * and problems filled. -ZT_EFORM refused, -ZT_ELIMIT, -ENOMEM. problems->items are the caller's
 * (problems->max of them). */
int policy_parse(const char *file, const char *text, size_t n, struct policy **ret,
		 struct diag_list *problems) ZT_MUST_USE;
void policy_free(struct policy *p);
/* Does some selector name this device, or one that the name would become by a suffix ("db":
 * "db-2")? A device chooses its name itself, so one that the policy knows by name has to be let in
 * by an admin. */
bool policy_names_device(const struct policy *p, const char *name);
