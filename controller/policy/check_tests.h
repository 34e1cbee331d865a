/* Insides of the policy's own tests.
 *
 *     check_tests        the tests and what is said of them
 *     check_tests_who    whom a test is about: sets of rules
 *     check_tests_open   what is open to those with such a set, on each host that there may be
 */
#pragma once

#include "controller/policy/can_impl.h"
#include "controller/policy/parse.h"

/* Rules about somebody, as bits. A group has one set for each kind of member. */
struct kinds {
	const uint64_t **rules;
	size_t n, cap;
	bool made;
};

/* Hosts of a resource that differ in what else they offer. */
struct hosts {
	const struct can_class *v;
	size_t n;
	bool made;
};

struct test_run {
	struct parse *c;
	struct can_run x;	/* for its index, and hosts */
	struct hosts *hosts;	/* by resource: made when a test first asks */
	struct kinds *by_group; /* by 2 * group + (expect allow): likewise */
	struct names seen;	/* (kind, bytes of bits): to have each set once */
};

bool has_rule(const uint64_t *rules, uint32_t i);

/* The sets of rules about whoever the test means. room: for what is of this test alone. -ENOMEM. */
int kinds_of(struct test_run *t, const struct policy_test *test, struct kinds *room,
	     const struct kinds **ret) ZT_MUST_USE;

/* Hosts of a resource, each by one selector of its on alone, or by an address. -ENOMEM. */
int hosts_of(struct test_run *t, uint32_t resource, const struct hosts **ret) ZT_MUST_USE;
/* Does the rule open anything, and is it not over? */
bool rule_opens(const struct test_run *t, uint32_t rule);
/* Does it deny, without a condition, to those with these rules? */
bool rule_denies(const struct test_run *t, const uint64_t *rules, uint32_t rule);

/* What is open of the test's service, to those with these rules. */
enum opening { OPEN_NOT, OPEN_PARTLY, OPEN_WHOLLY };
struct opened {
	enum opening most, least; /* on the host where most of it is open, and on the others */
	uint32_t rule, resource;  /* the first that opens some of it, if any does */
};
int how_open(struct test_run *t, const struct policy_test *test, const uint64_t *rules,
	     struct opened *ret) ZT_MUST_USE;
/* Do the services have all of want? */
bool services_have(const struct service *open, size_t n, const struct service *want,
		   struct arena *a);
