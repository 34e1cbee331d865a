/* Preview: what a policy would change, for the devices there are and at this moment, and in what it
 * means. Pure, and made in steps, so that the thread that runs it can do something urgent between
 * two of them.
 *
 * Devices that neither policy can tell apart are one class, and are looked at once. So a company's
 * thousands of laptops cost as much as the kinds of them, and the numbers are exact all the same.
 */
#pragma once

#include "controller/policy/engine.h"
#include "controller/policy/meaning.h"
#include "controller/policy/portset.h"

/* A device under its policy, which is the canary or that before, and under the one after. Strings
 * are borrowed until preview_free. */
struct preview_device {
	struct subject before, after; /* the same id, name, owner, tags and groups */
	bool in_canary;
	bool online;
};

enum { PREVIEW_PAIRS_SHOWN = 1000, PREVIEW_DEVICES_SHOWN = 1000 };

struct preview_pair {
	uint32_t src, dst;	     /* device ids */
	struct portset gained, lost; /* what src may open to dst; not both empty */
};

struct preview_touched {
	uint32_t id;
	uint64_t gains, loses; /* pairs, as source or destination, in which something comes, goes */
};

struct preview_result {
	uint64_t n_pairs;	   /* in which anything changes */
	uint64_t n_gains, n_loses; /* in which something comes, goes; may be both */
	uint64_t n_cuts;	   /* in which something goes and both devices are connected */
	uint64_t n_devices;	   /* in some such pair */
	const struct preview_pair *pairs; /* first those that lose; by source and destination */
	size_t n_pairs_shown;
	const struct preview_touched *devices; /* by id */
	size_t n_devices_shown;
	struct meaning_diff meaning;
};

struct preview;

/* Borrows the policies. canary NULL: there is none. What rules mean is compared with before, what
 * devices have, with the policy that each source is under. v: n devices, ids ascending. now_s: Unix
 * seconds. -ENOMEM. */
int preview_new(const struct policy *before, const struct policy *canary,
		const struct policy *after, const struct preview_device *v, size_t n, int64_t now_s,
		struct preview **ret) ZT_MUST_USE;
void preview_free(struct preview *p);
/* Some work: grants looked at, about. 1: there is more to do; 0: done; -ENOMEM. */
int preview_step(struct preview *p, size_t grants) ZT_MUST_USE;
/* When it is done. The preview's. */
const struct preview_result *preview_result(const struct preview *p);
/* Would it take svc from src to dst, who has it now? False too for devices that are not there.
 * -ENOMEM. */
int preview_cuts(const struct preview *p, uint32_t src, uint32_t dst, const struct service *svc,
		 bool *ret) ZT_MUST_USE;
/* Neither now nor ever: the same grants, and the same meaning. */
bool preview_is_nothing(const struct preview_result *r);
