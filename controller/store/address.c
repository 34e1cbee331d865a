/* Overlay addresses. An index stands for one address in each network; indices are given in
 * ascending order by a cursor that wraps, so that an address comes back as late as possible, and
 * never before it has rested. */
#include "controller/store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The last index in one network; UINT32_MAX when it is not used or wider than any index. */
static uint32_t address_last_in(const struct prefix *p)
{
	unsigned host_bits = addr_bits(&p->addr) - p->bits;

	if (p->addr.family == ADDR_NONE || host_bits > 31)
		return UINT32_MAX - 1;
	return (UINT32_C(1) << host_bits) - (host_bits ? 2 : 1);
}

uint32_t address_last(const struct store_network *n)
{
	uint32_t last4 = address_last_in(&n->net4), last6 = address_last_in(&n->net6);

	return last4 < last6 ? last4 : last6;
}

static int address_nth(const struct prefix *p, uint32_t index, struct addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	return p->addr.family == ADDR_NONE ? 0 : prefix_nth(p, index, ret);
}

int address_of(const struct store_network *n, uint32_t index, struct addr *ret4, struct addr *ret6)
{
	int err = index < ADDRESS_FIRST || index > address_last(n)
			  ? -ERANGE
			  : address_nth(&n->net4, index, ret4);

	return err ? err : address_nth(&n->net6, index, ret6);
}

/* The first index of lo..hi that no device holds and that has rested; hi + 1 when there is none.
 * Walks the index of addresses only as far as they stand without a gap. */
static int address_gap(struct store *s, uint32_t lo, uint32_t hi, int64_t now_s, uint64_t *ret)
{
	struct query q;
	uint64_t next = lo;
	int err;

	query_begin(&q, s,
		    "SELECT address FROM device WHERE address BETWEEN ? AND ?"
		    " AND (released_s IS NULL OR released_s > ?) ORDER BY address");
	q.table = "device";
	query_i64(&q, lo);
	query_i64(&q, hi);
	query_i64(&q, now_s - ZT_ADDRESS_REST_S);
	while (query_step(&q) > 0) {
		uint64_t taken = (uint64_t)column_i64(&q, 0, UINT32_MAX);

		if (taken > next)
			break;
		next = taken + 1;
	}
	err = query_end(&q);
	if (!err)
		*ret = next;
	return err;
}

static int cursor_get(struct store *s, uint32_t last, uint32_t *ret)
{
	struct query q;
	uint32_t next = ADDRESS_FIRST;
	int err;

	query_begin(&q, s, "SELECT next_address FROM network");
	q.table = "network";
	if (query_step(&q) > 0)
		next = (uint32_t)column_i64(&q, ADDRESS_FIRST, UINT32_MAX);
	err = query_end(&q);
	if (!err)
		*ret = next > last ? ADDRESS_FIRST : next;
	return err;
}

static int cursor_set(struct store *s, uint32_t next)
{
	struct query q;

	query_begin(&q, s, "UPDATE network SET next_address = ?");
	query_i64(&q, next);
	return query_run(&q);
}

int address_take(struct store *s, int64_t now_s, uint32_t *ret_index)
{
	uint32_t last = address_last(&s->network), cursor = 0;
	uint64_t found = 0, end = last;
	int err = cursor_get(s, last, &cursor);

	if (!err)
		err = address_gap(s, cursor, last, now_s, &found);
	if (!err && found > last && cursor > ADDRESS_FIRST) {
		end = cursor - 1;
		err = address_gap(s, ADDRESS_FIRST, cursor - 1, now_s, &found);
	}
	if (err)
		return err;
	if (found > end) {
		store_refuse(s, -ENOSPC,
			     "all %" PRIu32 " addresses of the network are in use or resting",
			     last - 1);
		diag_hint(&s->problem, "revoke devices that are gone (an address rests %d days)",
			  ZT_ADDRESS_REST_S / 86400);
		return -ENOSPC;
	}
	err = cursor_set(s, (uint32_t)found + 1);
	if (!err)
		*ret_index = (uint32_t)found;
	return err;
}
