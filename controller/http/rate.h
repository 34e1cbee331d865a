/* Token buckets in a table of fixed size: a flood from many addresses costs no memory. Pure: time
 * and key are passed in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RATE_SETS = 4096, RATE_WAYS = 4, RATE_SEED_LEN = 16 };

struct rate_limit {
	uint32_t per_s; /* tokens that come back a second */
	uint32_t burst; /* tokens of a full bucket */
};

struct rate_bucket {
	uint64_t tag;	/* hash of the key; 0: free */
	int64_t at_ms;	/* when milli was true */
	uint32_t milli; /* thousandths of a token */
};

struct rate_table {
	uint8_t seed[RATE_SEED_LEN]; /* random, so that nobody can aim at another's set */
	struct rate_bucket buckets[RATE_SETS][RATE_WAYS];
};

void rate_init(struct rate_table *t, const uint8_t seed[static RATE_SEED_LEN]);
/* One token from the bucket of (kind, key): false when it is empty. now_ms: any clock that does not
 * go back (if it does, nothing comes back meanwhile). An unknown key starts full and takes the
 * place of the one unused for longest. */
bool rate_take(struct rate_table *t, const struct rate_limit *limit, uint32_t kind, const void *key,
	       size_t n, int64_t now_ms);
/* Would rate_take give one? Takes nothing. */
bool rate_has(struct rate_table *t, const struct rate_limit *limit, uint32_t kind, const void *key,
	      size_t n, int64_t now_ms);
