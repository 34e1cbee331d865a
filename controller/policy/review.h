/* What a policy has that somebody should look at: rules that are due, and what no device offers. It
 * depends on the day and the devices, so it is asked anew each time. Pure. */
#pragma once

#include "controller/policy/engine.h"

/* Of the rules of p, which e is an engine of: past the day of their review, and those that will
 * never hold again. now_s: Unix seconds. */
struct review {
	size_t past_review, over;
};
struct review review_count(const struct policy *p, const struct engine *e, int64_t now_s);
bool review_is_past(const struct policy_rule *r, int64_t now_s);

/* Warnings of what no device in e, an engine of p, is or has: resources that nobody offers, tags
 * and names that p is about. Behind the n there are; at most max. How many there are now. */
size_t review_devices(const struct policy *p, const struct engine *e, struct diag *warnings,
		      size_t n, size_t max);
