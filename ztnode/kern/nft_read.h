/* What is in our nftables table: its elements, and a digest of all the rest. */
#pragma once

#include "zt/arena.h"
#include "zt/key.h"
#include "ztnode/kern/nft.h"

/* Number of the ruleset of this network namespace; each transaction of anybody's makes another. */
int nft_generation(struct nl *nl, uint32_t *ret) ZT_MUST_USE;

/* Hash over flags, chains, rules and sets of the table, without what counts or only numbers
 * (handles, positions, uses). Two digests of an untouched table are equal; any change by any hand
 * makes another one. -ENOENT: no such table. */
int nft_digest(struct nl *nl, const char *table, struct key *ret) ZT_MUST_USE;

struct nft_contents {
	struct kelem *elems; /* sorted; rule 0; expiry INT64_MAX for one that does not time out */
	size_t n_elems;
	struct kspan *spans; /* sorted */
	size_t n_spans;
	bool foreign; /* elements that are nothing we would write */
};
/* Empty when the table or a set is not there. now: CLOCK_BOOTTIME. */
int nft_read(struct nl *nl, const char *table, int64_t boot_now_ms, struct arena *a,
	     struct nft_contents *ret) ZT_MUST_USE;
