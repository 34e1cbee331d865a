/* Sets of services. */
#include "controller/policy/portset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct service portset_any[PORTSET_PARTS] = {
	{SERVICE_ICMP, 0, 0},
	{SERVICE_TCP, 1, UINT16_MAX},
	{SERVICE_UDP, 1, UINT16_MAX},
	{PORTSET_OTHER, 0, 0},
};

static int compare_boxes(const void *a, const void *b)
{
	const struct service *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sorted boxes that overlap or touch become one; how many are left. */
static size_t merge(struct service *v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct service *last = kept ? &v[kept - 1] : NULL;

		if (!last || last->proto != v[i].proto || v[i].lo > last->hi + 1u)
			v[kept++] = v[i];
		else if (v[i].hi > last->hi)
			last->hi = v[i].hi;
	}
	return kept;
}

int portset_of(const struct service *list, size_t n, struct arena *a, struct portset *ret)
{
	struct service *v;
	size_t used = 0, most = 0;

	for (size_t i = 0; i < n; i++)
		most += list[i].proto == SERVICE_ANY ? PORTSET_PARTS : 1;
	v = arena_array(a, most, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		size_t parts = list[i].proto == SERVICE_ANY ? PORTSET_PARTS : 1;

		memcpy(v + used, parts > 1 ? portset_any : &list[i], parts * sizeof(*v));
		used += parts;
	}
	if (used > 1)
		qsort(v, used, sizeof(*v), compare_boxes);
	*ret = (struct portset){.v = v, .n = merge(v, used)};
	return 0;
}

bool portset_equal(const struct portset *x, const struct portset *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].proto != y->v[i].proto || x->v[i].lo != y->v[i].lo ||
		    x->v[i].hi != y->v[i].hi)
			return false;
	return true;
}

static bool has_box(const struct portset *set, const struct service *one)
{
	for (size_t i = 0; i < set->n; i++)
		if (service_covers(&set->v[i], one))
			return true;
	return false;
}

bool portset_covers(const struct portset *set, const struct service *one)
{
	if (one->proto != SERVICE_ANY)
		return has_box(set, one);
	for (size_t i = 0; i < PORTSET_PARTS; i++)
		if (!has_box(set, &portset_any[i]))
			return false;
	return true;
}

/* What of one is left without the boxes of y, behind what is in out. */
static size_t put_left(const struct service *one, const struct portset *y, struct service *out)
{
	uint32_t lo = one->lo;
	size_t n = 0;

	for (size_t i = 0; i < y->n && lo <= one->hi; i++) {
		const struct service *cut = &y->v[i];

		if (cut->proto != one->proto || cut->hi < lo || cut->lo > one->hi)
			continue;
		if (cut->lo > lo)
			out[n++] =
				(struct service){one->proto, (uint16_t)lo, (uint16_t)(cut->lo - 1)};
		lo = cut->hi + 1u;
	}
	if (lo <= one->hi)
		out[n++] = (struct service){one->proto, (uint16_t)lo, one->hi};
	return n;
}

int portset_minus(const struct portset *x, const struct portset *y, struct arena *a,
		  struct portset *ret)
{
	struct service *v = arena_array(a, x->n + y->n, sizeof(*v)); /* a cut makes one more */
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < x->n; i++)
		n += put_left(&x->v[i], y, v + n);
	*ret = (struct portset){.v = v, .n = n};
	return 0;
}

static bool is_any(const struct portset *s)
{
	return portset_equal(s, &(struct portset){.v = portset_any, .n = PORTSET_PARTS});
}

size_t portset_n_words(const struct portset *s)
{
	return is_any(s) ? 1 : s->n;
}

void portset_word(const struct portset *s, size_t i, char out[static SERVICE_TEXT_MAX])
{
	if (is_any(s))
		snprintf(out, SERVICE_TEXT_MAX, "any");
	else if (s->v[i].proto == PORTSET_OTHER)
		snprintf(out, SERVICE_TEXT_MAX, "other");
	else
		service_print(&s->v[i], out);
}
