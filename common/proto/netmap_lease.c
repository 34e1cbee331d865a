/* Leases of grants on the wire: a grant has a class of 7 bits, which is the number of its lease in
 * the section LEASES of the same message; 0 is the lease of the head. Classes ascend with their
 * leases, so that grants sort alike by either. */
#include "common/proto/netmap_wire.h"

#include <string.h>

/* Where lease_s is, or belongs. */
static size_t place_of(const struct netmap_leases *l, uint32_t lease_s)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (l->v[mid] < lease_s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void netmap_leases_add(struct netmap_leases *l, const struct netmap_grant *g, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at;

		if (!g[i].lease_s)
			continue;
		at = place_of(l, g[i].lease_s);
		if ((at < l->n && l->v[at] == g[i].lease_s) || l->n == LEASES_MAX + 1)
			continue;
		memmove(&l->v[at + 1], &l->v[at], (l->n - at) * sizeof(l->v[0]));
		l->v[at] = g[i].lease_s;
		l->n++;
	}
}

void netmap_leases_of(const struct netmap_msg *m, struct netmap_leases *ret)
{
	ret->n = 0;
	netmap_leases_add(ret, m->grants_del, m->n_grants_del);
	netmap_leases_add(ret, m->grants_put, m->n_grants_put);
}

uint8_t netmap_lease_class(const struct netmap_leases *l, uint32_t lease_s)
{
	return lease_s ? (uint8_t)(place_of(l, lease_s) + 1) : 0;
}

static bool are_in_range(const struct netmap_leases *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] < ZT_LEASE_MIN_S || l->v[i] > ZT_LEASE_MAX_S)
			return false;
	return true;
}

/* What is put under the head's own lease says so by having none. What goes away may have it from a
 * head before. */
static bool differ_from_head(const struct netmap_msg *m)
{
	for (size_t i = 0; i < m->n_grants_put; i++)
		if (m->grants_put[i].lease_s == m->head.lease_s)
			return false;
	return true;
}

bool netmap_leases_fit(const struct netmap_msg *m)
{
	struct netmap_leases l;

	netmap_leases_of(m, &l);
	return are_in_range(&l) && differ_from_head(m);
}

static bool resolve(const struct netmap_leases *l, struct netmap_grant *g, size_t n, bool *used)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t class_id = g[i].lease_s;

		if (class_id > l->n)
			return false;
		if (!class_id)
			continue;
		used[class_id - 1] = true;
		g[i].lease_s = l->v[class_id - 1];
	}
	return true;
}

void netmap_leases_get(struct cur *c, size_t n, struct netmap_msg *m)
{
	struct netmap_leases l = {.n = n}; /* n is at most LEASES_MAX: the table was checked */
	bool used[LEASES_MAX] = {false};

	for (size_t i = 0; i < n; i++) {
		l.v[i] = cur_u32(c);
		if (i > 0 && l.v[i] <= l.v[i - 1])
			cur_fail(c);
	}
	/* Of this message's own arena. */
	if (c->err || !are_in_range(&l) ||
	    !resolve(&l, (struct netmap_grant *)(uintptr_t)m->grants_del, m->n_grants_del, used) ||
	    !resolve(&l, (struct netmap_grant *)(uintptr_t)m->grants_put, m->n_grants_put, used) ||
	    !differ_from_head(m)) {
		cur_fail(c);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!used[i])
			cur_fail(c);
}
