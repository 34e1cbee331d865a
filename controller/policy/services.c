/* Sets of services. A service is a box (protocol, port range), so cutting one out of another leaves
 * a few boxes. */
#include "controller/policy/services.h"

#include <errno.h>

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

/* The pieces of all boxes without one cut. */
static int cut_all(const struct service *from, size_t n, const struct service *cut, struct arena *a,
		   const struct service **ret, size_t *ret_n)
{
	struct service *out = arena_array(a, n * SERVICES_CUT_MAX, sizeof(*out));
	size_t used = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		used += service_cut(&from[i], cut, out + used);
	*ret = out;
	*ret_n = used;
	return 0;
}

int services_cut(const struct service *list, size_t n, const struct service *cuts, size_t n_cuts,
		 struct arena *a, const struct service **ret, size_t *ret_n)
{
	int err = 0;

	for (size_t i = 0; i < n_cuts && !err; i++)
		err = cut_all(list, n, &cuts[i], a, &list, &n);
	if (err < 0)
		return err;
	*ret = list;
	*ret_n = n;
	return 0;
}
