/* The share is cut by hash: no list of who is in it has to be kept. */
#include "controller/model/canary.h"

#include "zt/buf.h"
#include "zt/key.h"

static const char canary_domain[] = "zt-canary-1";

enum { CANARY_PARTS = 10000 };

bool canary_has(uint32_t device, uint32_t version, unsigned percent)
{
	uint8_t text[sizeof(canary_domain) + 2 * sizeof(uint32_t)];
	struct key hash;
	struct buf b;
	uint64_t part = 0;

	buf_init(&b, text, sizeof(text));
	buf_put(&b, canary_domain, sizeof(canary_domain));
	buf_put_u32(&b, device);
	buf_put_u32(&b, version);
	key_hash(b.data, b.len, &hash);
	for (int i = 0; i < 8; i++)
		part |= (uint64_t)hash.b[i] << (8 * i);
	return part % CANARY_PARTS < (uint64_t)percent * (CANARY_PARTS / 100);
}
