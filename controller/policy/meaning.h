/* What a policy means, apart from how it is written: the difference of two, rule by rule.
 *
 * A rule is taken apart into its smallest cases: one of who, one time, one place, the whole how;
 * each opens a set of (host, ports, lease). Cases that several rules have are put together. So the
 * name of a rule, the order of the file, names of resources, postures, places and schedules, and
 * whether a list stands in one rule or in several make no difference. A group is its name and its
 * lists: an admin can put users into it by name. What differs is told by the rules that were
 * written. An invariant is told as a whole, by what it is about and asks for. Two policies that
 * come out as the same mean the same; some that mean the same in a roundabout way (one rule within
 * another, a network within another) come out as different. Pure. */
#pragma once

#include "controller/policy/policy.h"

enum meaning_kind { MEANING_NETWORK, MEANING_GROUP, MEANING_RULE, MEANING_INVARIANT };
enum meaning_how { MEANING_ADDED, MEANING_REMOVED, MEANING_CHANGED };
const char *meaning_kind_name(enum meaning_kind k); /* "rule" */
const char *meaning_how_name(enum meaning_how h);   /* "added" */

enum { MEANING_ITEMS_SHOWN = 20 }; /* of each list of a field */
struct meaning_list {
	const char *items[MEANING_ITEMS_SHOWN];
	size_t n; /* there are so many, also when not all are shown */
};

struct meaning_field {
	const char *name; /* "who" "what" "when" "where" "how" "action" "members" "lease"; of
			     invariants "from" "to" "expect" and the conditions */
	struct meaning_list removed, added;
};

enum { MEANING_FIELDS_MAX = 6 };
struct meaning_change {
	enum meaning_kind kind;
	enum meaning_how how;
	const char *name;
	struct meaning_field fields[MEANING_FIELDS_MAX]; /* those that differ */
	size_t n_fields;
};

enum { MEANING_CHANGES_SHOWN = 1000 };
struct meaning_diff {
	const struct meaning_change *changes; /* in a */
	size_t n_shown;
	size_t n;	 /* changes in all; 0: they mean the same */
	size_t n_how[3]; /* of rules, by enum meaning_how */
};

/* From now_s (Unix seconds) on: rules whose time is over by then mean nothing. -ENOMEM, also over
 * a's limit. */
int meaning_compare(const struct policy *before, const struct policy *after, int64_t now_s,
		    struct arena *a, struct meaning_diff *ret) ZT_MUST_USE;
