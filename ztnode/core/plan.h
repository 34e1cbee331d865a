/* Plan: desired - actual -> operations, in an order that never opens before it closes. Pure.
 *
 * Order: filter first (removed grants are cut before anything else happens, and no tunnel exists
 * without its filter), then interface, key, peers out, peers in, addresses, up, routes. Taking
 * down: routes through the tunnel, link, then table and unreachable routes last. */
#pragma once

#include "ztnode/core/op.h"

/* Expiry of an element may differ by this much without being set again: what reading it back and
 * the two clocks are off, and less than any renewal adds. */
enum { PLAN_EXPIRY_SLACK_MS = 500 };

/* ops in a; they borrow from desired and actual. -ENOMEM. Empty list: all is well. */
int plan_make(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	      struct op_list *ret) ZT_MUST_USE;
/* After the plan from actual to desired was carried out: elements that it left alone have the
 * expiry that they had. Both have the same elements then, but those that came. */
void plan_keep_expiries(struct kstate *desired, const struct kstate *actual,
			const struct op_list *ops);
/* What may be done while the filter cannot be written: nothing that opens. Peers go out of
 * WireGuard whose packets the filter in force would judge too freely (all of them, where it is not
 * the desired one but for its elements), and the unreachable routes are put. */
int plan_shut(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	      struct op_list *ret) ZT_MUST_USE;
/* The unreachable routes alone, for when there is no map. */
int plan_guard(const struct kstate *desired, const struct kstate *actual, struct arena *a,
	       struct op_list *ret) ZT_MUST_USE;
/* Everything of ours out of the kernel. */
int plan_down(const struct kstate *actual, struct arena *a, struct op_list *ret) ZT_MUST_USE;
