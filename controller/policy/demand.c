/* Demands: each kind is compared and said by itself. */
#include "controller/policy/demand.h"

#include <string.h>

#include "zt/buf.h"
#include "zt/num.h"

static unsigned bit(enum demand_kind kind, bool asked)
{
	return asked ? 1u << kind : 0;
}

unsigned demands_kinds(const struct policy_demands *d)
{
	return bit(DEMAND_LOGIN, d->login_s > 0) | bit(DEMAND_MFA, d->mfa) |
	       bit(DEMAND_APPROVAL, d->approval) | bit(DEMAND_APP, d->n_apps > 0) |
	       bit(DEMAND_USER, d->n_users > 0);
}

unsigned demands_unknown(const struct policy_demands *d)
{
	return demands_kinds(d) & ~(bit(DEMAND_APP, true) | bit(DEMAND_USER, true));
}

unsigned demands_count(const struct policy_demands *d)
{
	return (unsigned)__builtin_popcount(demands_kinds(d));
}

static bool has_name(const char *const *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i], name) == 0)
			return true;
	return false;
}

/* One of a: is it always one of b? An empty list lets any be. */
static bool names_imply(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	if (n_b == 0)
		return true;
	for (size_t i = 0; i < n_a; i++)
		if (!has_name(b, n_b, a[i]))
			return false;
	return n_a > 0;
}

bool demands_imply(const struct policy_demands *a, const struct policy_demands *b)
{
	if (b->login_s && (!a->login_s || a->login_s > b->login_s))
		return false;
	return (a->mfa || !b->mfa) && (a->approval || !b->approval) &&
	       names_imply(a->apps, a->n_apps, b->apps, b->n_apps) &&
	       names_imply(a->users, a->n_users, b->users, b->n_users);
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_names(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	int c = compare_numbers(n_a, n_b);

	for (size_t i = 0; !c && i < n_a; i++)
		c = strcmp(a[i], b[i]);
	return c;
}

int demands_compare(const struct policy_demands *a, const struct policy_demands *b)
{
	int c = compare_numbers(a->login_s, b->login_s);

	if (!c)
		c = compare_numbers(a->mfa, b->mfa);
	if (!c)
		c = compare_numbers(a->approval, b->approval);
	if (!c)
		c = compare_names(a->apps, a->n_apps, b->apps, b->n_apps);
	return c ? c : compare_names(a->users, a->n_users, b->users, b->n_users);
}

/* --- words --- */

static void put_names(struct buf *b, const char *prefix, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s%s", i ? " or " : "", prefix, v[i]);
}

static void put_demand(struct buf *b, const struct policy_demands *d, enum demand_kind kind)
{
	char age[32];

	switch (kind) {
	case DEMAND_LOGIN:
		num_print_duration(d->login_s, age, sizeof(age));
		buf_printf(b, "login < %s", age);
		break;
	case DEMAND_MFA:
		buf_put_text(b, "mfa");
		break;
	case DEMAND_APPROVAL:
		buf_put_text(b, "approval");
		break;
	case DEMAND_APP:
		put_names(b, "app:", d->apps, d->n_apps);
		break;
	case DEMAND_USER:
		put_names(b, "user:", d->users, d->n_users);
		break;
	}
}

static const char *print(const struct policy_demands *d, unsigned kinds, struct arena *a)
{
	const char *text;
	struct buf b;

	buf_init_grow(&b, 1 << 16);
	for (unsigned left = kinds; left; left &= left - 1) {
		if (left != kinds)
			buf_put_text(&b, ", ");
		put_demand(&b, d, (enum demand_kind)__builtin_ctz(left));
	}
	text = b.err ? NULL : arena_text(a, buf_text(&b), b.len);
	buf_free(&b);
	return text;
}

const char *demand_print(const struct policy_demands *d, enum demand_kind kind, struct arena *a)
{
	return print(d, 1u << kind, a);
}

const char *demands_print(const struct policy_demands *d, struct arena *a)
{
	return print(d, demands_kinds(d), a);
}
