/* Can: may this ever open that? Answered over every posture, time from now on and place: not by
 * trying some, but by looking at each set of conditions that can hold together. Pure.
 *
 * Who is asked about: the devices that exist, with all that they are, and whoever is the selector
 * and nothing else (the user's next device). What is not known of a device satisfies nothing, as
 * everywhere. A posture's grace and the age of its facts are reckoned with: two postures that
 * exclude each other may hold together while one is in its grace. */
#pragma once

#include "controller/policy/engine.h"
#include "controller/policy/portset.h"

enum can_verdict { CAN_NEVER, CAN_ONLY_IF, CAN_ALWAYS };

enum can_target_kind {
	CAN_TO_RESOURCE, /* each device that offers it, and what its on names; or its addresses */
	CAN_TO_DEVICE,
	CAN_TO_USER,	/* each device of the user */
	CAN_TO_ADDRESS, /* behind gateways */
};
struct can_target {
	enum can_target_kind kind;
	const char *name; /* of resource, device or user */
	struct addr addr;
};

struct can_question {
	struct selector from; /* group need not be set */
	struct can_target to;
	const struct service *svc; /* NULL: all that is offered there */
	/* That exist, each with a name of its own; verdicts and places are not looked at. One
	 * without a name stands for a device that its owner may still enrol. */
	const struct subject *devices;
	size_t n_devices;
	int64_t now_s; /* Unix seconds; what is before does not count */
};

struct can_identity {
	const char *name; /* "device:lap-1", "user:ada@example.com", an address */
	bool exists;	  /* as addresses do; else: whoever is this and nothing else */
};

/* It is open while everything here holds: the postures, the rule's demands, its when if timed and
 * its where if placed, and none of the rules in nots denies. What follows from the rest is left
 * out. */
struct can_way {
	const struct policy_rule *rule;
	uint64_t postures; /* bits */
	bool timed, placed;
	const struct policy_rule *const *nots;
	size_t n_nots;
	const struct policy_invariant *const *holds;
	size_t n_holds;
	const struct service *ports; /* or PORTSET_OTHER; n_ports 0: everything asked about */
	size_t n_ports;
	const struct can_identity *from; /* n_from 0: all of the answer's */
	size_t n_from;
	const struct can_identity *to; /* n_to 0: all of the answer's */
	size_t n_to;
};

struct can_answer {
	enum can_verdict verdict;
	const struct can_way *ways; /* for each pair and port none that another implies */
	size_t n_ways;
	const struct can_identity *from, *to;
	size_t n_from, n_to;
	bool behind_gateway; /* what rules say; no gateway forwards in this version */
};

/* p, the question and a outlive the answer. -ZT_EABSENT: d says what there is not; -ZT_ELIMIT: too
 * much at once; -ENOMEM, also over a's limit. */
int can_ask(const struct policy *p, const struct can_question *q, struct arena *a,
	    struct can_answer *ret, struct diag *d) ZT_MUST_USE;

/* "tcp/22, udp/53, other protocols"; NULL: out of memory. */
const char *can_ports_print(const struct service *ports, size_t n, struct arena *a);
