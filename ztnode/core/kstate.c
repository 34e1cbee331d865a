/* Orders of the parts of kernel state. */
#include "ztnode/core/kstate.h"

#include <string.h>

int kpeer_compare(const void *a, const void *b)
{
	const struct kpeer *x = a, *y = b;

	return memcmp(x->pub.b, y->pub.b, sizeof(x->pub.b));
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

int kelem_compare(const void *a, const void *b)
{
	const struct kelem *x = a, *y = b;
	int r = compare_u32(x->set, y->set);

	if (!r)
		r = addr_compare(&x->src, &y->src);
	if (!r)
		r = addr_compare(&x->dst, &y->dst);
	if (!r)
		r = compare_u32(x->proto, y->proto);
	return r ? r : compare_u32(x->value, y->value);
}

int kroute_compare(const void *a, const void *b)
{
	const struct kroute *x = a, *y = b;
	int r = compare_u32(x->kind, y->kind);

	if (!r)
		r = addr_compare(&x->dst.addr, &y->dst.addr);
	if (!r)
		r = compare_u32(x->dst.bits, y->dst.bits);
	return r ? r : compare_u32(x->metric, y->metric);
}
