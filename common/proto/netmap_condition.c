/* Conditions of rules that the source's device itself has to look at: programs and accounts. They
 * stand beside the rules and not in the grants, for all grants out of a rule have the same. */
#include "common/proto/netmap_wire.h"

#include <errno.h>
#include <string.h>

#include "zt/txt.h"

int netmap_condition_compare(const void *a, const void *b)
{
	const struct netmap_condition *x = a, *y = b;

	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* A kind that is not known is refused, and the map with it: who cannot read a condition cannot hold
 * to it. */
bool netmap_condition_is_valid(const struct netmap_condition *c)
{
	if (c->rule == 0 || c->rule > NETMAP_RULE_MAX)
		return false;
	switch (c->kind) {
	case NETMAP_APP:
		return txt_is_program(c->name);
	case NETMAP_USER:
		return txt_is_account(c->name);
	default:
		return false;
	}
}

/* --- CONDITIONS_*: u32 rule | u8 kind | name[127] --- */

void netmap_condition_put(struct buf *b, const void *item)
{
	const struct netmap_condition *c = item;

	buf_put_u32(b, c->rule);
	buf_put_u8(b, c->kind);
	buf_put_fixed_text(b, c->name, ZT_CONDITION_NAME_MAX);
}

void netmap_condition_get(struct cur *c, void *item)
{
	struct netmap_condition *k = item;

	k->rule = cur_u32(c);
	k->kind = cur_u8(c);
	cur_fixed_text(c, k->name, ZT_CONDITION_NAME_MAX);
	if (!netmap_condition_is_valid(k))
		cur_fail(c);
}

/* --- which are there --- */

const struct netmap_condition *netmap_rule_conditions(const struct netmap *m, uint32_t rule,
						      size_t *ret_n)
{
	size_t lo = 0, hi = m->n_conditions, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->conditions[mid].rule < rule)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < m->n_conditions && m->conditions[lo + n].rule == rule)
		n++;
	*ret_n = n;
	return n ? &m->conditions[lo] : NULL;
}

int netmap_drop_unasked(struct items *conditions, struct items grants, struct arena *a)
{
	const struct netmap_condition *old = conditions->p;
	const struct netmap_grant *g = grants.p;
	struct netmap_condition *out;
	bool *asked;
	size_t n = 0;

	if (conditions->n == 0)
		return 0;
	out = arena_array(a, conditions->n, sizeof(*out));
	asked = arena_array(a, NETMAP_RULE_MAX + 1, sizeof(*asked));
	if (!out || !asked)
		return -ENOMEM;
	for (size_t i = 0; i < grants.n; i++)
		if (g[i].dir == NETMAP_OUT && g[i].rule <= NETMAP_RULE_MAX)
			asked[g[i].rule] = true;
	for (size_t i = 0; i < conditions->n; i++)
		if (old[i].rule <= NETMAP_RULE_MAX && asked[old[i].rule])
			out[n++] = old[i];
	*conditions = (struct items){out, n};
	return 0;
}
