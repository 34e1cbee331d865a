/* Token buckets; see rate.h. A set of four ways is searched per key, least recently used goes
 * first. */
#include "controller/http/rate.h"

#include <sodium.h>
#include <string.h>

_Static_assert(RATE_SEED_LEN == crypto_shorthash_KEYBYTES, "the seed is a siphash key");

void rate_init(struct rate_table *t, const uint8_t seed[static RATE_SEED_LEN])
{
	memset(t, 0, sizeof(*t));
	memcpy(t->seed, seed, sizeof(t->seed));
}

static uint64_t tag_of(const struct rate_table *t, uint32_t kind, const void *key, size_t n)
{
	uint8_t in[4 + 32] = {0}, hash[crypto_shorthash_BYTES];
	uint64_t tag;

	memcpy(in, &kind, 4);
	memcpy(in + 4, key, n < 32 ? n : 32);
	crypto_shorthash(hash, in, sizeof(in), t->seed);
	memcpy(&tag, hash, sizeof(tag));
	return tag ? tag : 1;
}

static struct rate_bucket *find(struct rate_table *t, uint64_t tag)
{
	struct rate_bucket *set = t->buckets[tag % RATE_SETS], *oldest = set;

	for (size_t i = 0; i < RATE_WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
		if (oldest->tag && (!set[i].tag || set[i].at_ms < oldest->at_ms))
			oldest = &set[i];
	}
	return oldest;
}

/* What the bucket holds at now_ms. Bounded before it is multiplied, so no clock can overflow it. */
static uint32_t refilled(const struct rate_bucket *b, const struct rate_limit *limit,
			 int64_t now_ms)
{
	uint64_t full = (uint64_t)limit->burst * 1000, gone_ms, milli;

	if (now_ms <= b->at_ms)
		return b->milli;
	gone_ms = (uint64_t)(now_ms - b->at_ms);
	if (gone_ms > 1000ULL * 86400)
		gone_ms = 1000ULL * 86400;
	milli = b->milli + gone_ms * limit->per_s;
	return (uint32_t)(milli < full ? milli : full);
}

static struct rate_bucket *bucket_at(struct rate_table *t, const struct rate_limit *limit,
				     uint64_t tag, int64_t now_ms)
{
	struct rate_bucket *b = find(t, tag);

	if (b->tag != tag)
		*b = (struct rate_bucket){
			.tag = tag, .at_ms = now_ms, .milli = limit->burst * 1000};
	b->milli = refilled(b, limit, now_ms);
	if (now_ms > b->at_ms)
		b->at_ms = now_ms;
	return b;
}

bool rate_take(struct rate_table *t, const struct rate_limit *limit, uint32_t kind, const void *key,
	       size_t n, int64_t now_ms)
{
	struct rate_bucket *b = bucket_at(t, limit, tag_of(t, kind, key, n), now_ms);

	if (b->milli < 1000)
		return false;
	b->milli -= 1000;
	return true;
}

bool rate_has(struct rate_table *t, const struct rate_limit *limit, uint32_t kind, const void *key,
	      size_t n, int64_t now_ms)
{
	return bucket_at(t, limit, tag_of(t, kind, key, n), now_ms)->milli >= 1000;
}
