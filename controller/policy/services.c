/* Sets of services. A service is a box (protocol, port range), so cutting one out of another leaves
 * a few boxes. */
#include "controller/policy/services.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CUTS_MEMORY_MAX = 256 << 20 };

static const struct service every_protocol[] = {
	{SERVICE_ICMP, 0, 0},
	{SERVICE_TCP, 1, UINT16_MAX},
	{SERVICE_UDP, 1, UINT16_MAX},
};

bool service_overlaps(const struct service *a, const struct service *b)
{
	if (a->proto == SERVICE_ANY || b->proto == SERVICE_ANY)
		return true;
	return a->proto == b->proto && a->lo <= b->hi && b->lo <= a->hi;
}

/* Both of one protocol that is not any, and overlapping. */
static size_t cut_range(const struct service *a, const struct service *cut, struct service *ret)
{
	size_t n = 0;

	if (a->lo < cut->lo)
		ret[n++] = (struct service){a->proto, a->lo, (uint16_t)(cut->lo - 1)};
	if (cut->hi < a->hi)
		ret[n++] = (struct service){a->proto, (uint16_t)(cut->hi + 1), a->hi};
	return n;
}

size_t service_cut(const struct service *a, const struct service *cut,
		   struct service ret[static SERVICES_CUT_MAX])
{
	size_t n = 0;

	if (!service_overlaps(a, cut)) {
		ret[0] = *a;
		return 1;
	}
	if (cut->proto == SERVICE_ANY)
		return 0;
	if (a->proto != SERVICE_ANY)
		return cut_range(a, cut, ret);
	for (size_t i = 0; i < sizeof(every_protocol) / sizeof(every_protocol[0]); i++) {
		if (every_protocol[i].proto == cut->proto)
			n += cut_range(&every_protocol[i], cut, ret + n);
		else
			ret[n++] = every_protocol[i];
	}
	return n;
}

struct service service_both(const struct service *a, const struct service *b)
{
	if (a->proto == SERVICE_ANY)
		return *b;
	if (b->proto == SERVICE_ANY)
		return *a;
	return (struct service){a->proto, a->lo > b->lo ? a->lo : b->lo,
				a->hi < b->hi ? a->hi : b->hi};
}

/* --- many cuts at once --- */

/* Ports of one protocol: ranges, sorted, without touching each other. */
struct ranges {
	struct service *v;
	size_t n;
};

struct cuts {
	bool any, icmp;
	struct ranges tcp, udp;
};

static int compare_lo(const void *a, const void *b)
{
	const struct service *x = a, *y = b;

	return (x->lo > y->lo) - (x->lo < y->lo);
}

static int take_ranges(const struct service *cuts, size_t n, uint8_t proto, struct arena *a,
		       struct ranges *ret)
{
	struct service *v = arena_array(a, n, sizeof(*v));
	size_t all = 0, kept = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (cuts[i].proto == proto)
			v[all++] = cuts[i];
	if (all > 1)
		qsort(v, all, sizeof(*v), compare_lo);
	for (size_t i = 0; i < all; i++)
		if (kept > 0 && v[i].lo <= (uint32_t)v[kept - 1].hi + 1)
			v[kept - 1].hi = v[i].hi > v[kept - 1].hi ? v[i].hi : v[kept - 1].hi;
		else
			v[kept++] = v[i];
	*ret = (struct ranges){v, kept};
	return 0;
}

static int cuts_init(struct cuts *c, const struct service *cuts, size_t n, struct arena *a)
{
	int err = take_ranges(cuts, n, SERVICE_TCP, a, &c->tcp);

	for (size_t i = 0; i < n; i++) {
		c->any = c->any || cuts[i].proto == SERVICE_ANY;
		c->icmp = c->icmp || cuts[i].proto == SERVICE_ICMP;
	}
	return err ? err : take_ranges(cuts, n, SERVICE_UDP, a, &c->udp);
}

/* What is left of a range; how many pieces. out: NULL to count only. */
static size_t sweep(const struct service *s, const struct ranges *r, struct service *out)
{
	uint32_t lo = s->lo;
	size_t n = 0;

	for (size_t i = 0; i < r->n && lo <= s->hi; i++) {
		if (r->v[i].hi < lo)
			continue;
		if (r->v[i].lo > s->hi)
			break;
		if (r->v[i].lo > lo) {
			if (out)
				out[n] = (struct service){s->proto, (uint16_t)lo,
							  (uint16_t)(r->v[i].lo - 1)};
			n++;
		}
		lo = (uint32_t)r->v[i].hi + 1;
	}
	if (lo <= s->hi) {
		if (out)
			out[n] = (struct service){s->proto, (uint16_t)lo, s->hi};
		n++;
	}
	return n;
}

static size_t cut_item(const struct service *s, const struct cuts *c, struct service *out)
{
	size_t n = 0;

	switch ((enum service_proto)s->proto) {
	case SERVICE_TCP:
		return sweep(s, &c->tcp, out);
	case SERVICE_UDP:
		return sweep(s, &c->udp, out);
	case SERVICE_ICMP:
		if (!c->icmp && out)
			out[0] = *s;
		return !c->icmp;
	case SERVICE_ANY:
		break;
	}
	for (size_t i = 0; i < sizeof(every_protocol) / sizeof(every_protocol[0]); i++)
		n += cut_item(&every_protocol[i], c, out ? out + n : NULL);
	return n;
}

static int cut_all(const struct service *list, size_t n, const struct cuts *c, struct arena *a,
		   const struct service **ret, size_t *ret_n)
{
	size_t total = 0, used = 0;
	struct service *out;

	for (size_t i = 0; i < n; i++)
		total += cut_item(&list[i], c, NULL);
	out = arena_array(a, total, sizeof(*out));
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		used += cut_item(&list[i], c, out + used);
	*ret = out;
	*ret_n = used;
	return 0;
}

int services_cut(const struct service *list, size_t n, const struct service *cuts, size_t n_cuts,
		 struct arena *a, const struct service **ret, size_t *ret_n)
{
	struct cuts c = {0};
	struct arena scratch;
	int err;

	if (n_cuts == 0) {
		*ret = list;
		*ret_n = n;
		return 0;
	}
	arena_init(&scratch, CUTS_MEMORY_MAX);
	err = cuts_init(&c, cuts, n_cuts, &scratch);
	if (!err && c.any) {
		*ret = NULL;
		*ret_n = 0;
	} else if (!err) {
		err = cut_all(list, n, &c, a, ret, ret_n);
	}
	arena_done(&scratch);
	return err;
}
