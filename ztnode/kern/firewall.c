/* Do nftables rules of others filter what comes in (kernel.h)? A posture fact, so it errs on the
 * side of "no": what is counted is a base chain on the input hook that drops by policy, or a rule
 * that drops or rejects in such a chain or in one that it leads to. */
#include "ztnode/kern/kernel_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "zt/key.h"
#include "zt/txt.h"

enum { SCAN_MEMORY_MAX = 16 << 20 };

/* A chain by the hash of family, table and name. */
struct chain {
	struct key id;
	bool is_input, drops; /* drops: by policy or by a rule */
	bool reached;	      /* from a base chain on input */
};

/* A rule of from leads to to. */
struct edge {
	struct key from, to;
};

struct scan {
	struct arena arena;
	struct nl_rows chains, edges;
};

/* --- names --- */

static bool is_ours(const char *table)
{
	return txt_equal(table, "ztnode") || txt_starts(table, "ztnode-");
}

static uint8_t family_of(const struct nlmsghdr *nlh)
{
	return ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
}

static struct key chain_id(uint8_t family, const char *table, const char *name)
{
	struct secret salt = {.b = {family}};
	struct key id;

	key_hash(table, strlen(table), &id);
	memcpy(salt.b + 1, id.b, sizeof(salt.b) - 1);
	key_mac(&salt, name, strlen(name), &id);
	return id;
}

static int compare_chain(const void *a, const void *b)
{
	const struct chain *x = a, *y = b;

	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

/* The chains are sorted by then. */
static struct chain *find(const struct scan *s, const struct key *id)
{
	struct chain wanted = {.id = *id};

	if (!s->chains.n)
		return NULL;
	return bsearch(&wanted, s->chains.items, s->chains.n, sizeof(wanted), compare_chain);
}

/* --- chains --- */

static const struct nl_policy chain_policy[NFTA_CHAIN_MAX + 1] = {
	[NFTA_CHAIN_TABLE] = {NL_TEXT, 1},
	[NFTA_CHAIN_NAME] = {NL_TEXT, 1},
	[NFTA_CHAIN_HOOK] = {NL_NEST, 0},
	[NFTA_CHAIN_POLICY] = {NL_BYTES, 4},
};

static const struct nl_policy hook_policy[NFTA_HOOK_MAX + 1] = {
	[NFTA_HOOK_HOOKNUM] = {NL_BYTES, 4},
};

static bool is_input_hook(uint8_t family, const struct nlattr *hook)
{
	const struct nlattr *tb[NFTA_HOOK_MAX + 1];

	if (family != NFPROTO_INET && family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
		return false;
	return hook && nl_parse_nest(hook, hook_policy, tb, NFTA_HOOK_MAX + 1) == 0 &&
	       tb[NFTA_HOOK_HOOKNUM] && nl_get_be32(tb[NFTA_HOOK_HOOKNUM]) == NF_INET_LOCAL_IN;
}

static int take_chain(const struct nlmsghdr *nlh, void *arg)
{
	struct scan *s = arg;
	const struct nlattr *tb[NFTA_CHAIN_MAX + 1];
	const char *table;
	struct chain *c;
	int err = nl_parse(nlh, sizeof(struct nfgenmsg), chain_policy, tb, NFTA_CHAIN_MAX + 1);

	if (err || !tb[NFTA_CHAIN_TABLE] || !tb[NFTA_CHAIN_NAME])
		return err ? err : -EPROTO;
	table = mnl_attr_get_str(tb[NFTA_CHAIN_TABLE]);
	if (is_ours(table))
		return 0;
	c = nl_rows_push(&s->chains);
	if (!c)
		return -ENOMEM;
	c->id = chain_id(family_of(nlh), table, mnl_attr_get_str(tb[NFTA_CHAIN_NAME]));
	c->is_input = is_input_hook(family_of(nlh), tb[NFTA_CHAIN_HOOK]);
	c->reached = c->is_input;
	c->drops = tb[NFTA_CHAIN_POLICY] && nl_get_be32(tb[NFTA_CHAIN_POLICY]) == NF_DROP;
	return 0;
}

/* --- rules --- */

static const struct nl_policy rule_policy[NFTA_RULE_MAX + 1] = {
	[NFTA_RULE_TABLE] = {NL_TEXT, 1},
	[NFTA_RULE_CHAIN] = {NL_TEXT, 1},
	[NFTA_RULE_EXPRESSIONS] = {NL_NEST, 0},
};

static const struct nl_policy expr_policy[NFTA_EXPR_MAX + 1] = {
	[NFTA_EXPR_NAME] = {NL_TEXT, 1},
	[NFTA_EXPR_DATA] = {NL_NEST, 0},
};

static const struct nl_policy immediate_policy[NFTA_IMMEDIATE_MAX + 1] = {
	[NFTA_IMMEDIATE_DATA] = {NL_NEST, 0},
};

static const struct nl_policy data_policy[NFTA_DATA_MAX + 1] = {
	[NFTA_DATA_VERDICT] = {NL_NEST, 0},
};

static const struct nl_policy verdict_policy[NFTA_VERDICT_MAX + 1] = {
	[NFTA_VERDICT_CODE] = {NL_BYTES, 4},
	[NFTA_VERDICT_CHAIN] = {NL_TEXT, 1},
};

/* What one rule does, as far as it matters here. */
struct effect {
	bool drops;
	const char *leads_to; /* chain, or NULL */
};

static int parse_immediate(const struct nlattr *data, struct effect *ret)
{
	const struct nlattr *imm[NFTA_IMMEDIATE_MAX + 1], *value[NFTA_DATA_MAX + 1],
		*tb[NFTA_VERDICT_MAX + 1];
	int code, err = nl_parse_nest(data, immediate_policy, imm, NFTA_IMMEDIATE_MAX + 1);

	if (err || !imm[NFTA_IMMEDIATE_DATA])
		return err;
	err = nl_parse_nest(imm[NFTA_IMMEDIATE_DATA], data_policy, value, NFTA_DATA_MAX + 1);
	if (err || !value[NFTA_DATA_VERDICT])
		return err;
	err = nl_parse_nest(value[NFTA_DATA_VERDICT], verdict_policy, tb, NFTA_VERDICT_MAX + 1);
	if (err || !tb[NFTA_VERDICT_CODE])
		return err;
	code = (int)nl_get_be32(tb[NFTA_VERDICT_CODE]);
	ret->drops |= code == NF_DROP;
	if (tb[NFTA_VERDICT_CHAIN])
		ret->leads_to = mnl_attr_get_str(tb[NFTA_VERDICT_CHAIN]);
	return 0;
}

static int parse_expr(const struct nlattr *attr, struct effect *ret)
{
	const struct nlattr *tb[NFTA_EXPR_MAX + 1];
	const char *name;
	int err = nl_parse_nest(attr, expr_policy, tb, NFTA_EXPR_MAX + 1);

	if (err || !tb[NFTA_EXPR_NAME])
		return err;
	name = mnl_attr_get_str(tb[NFTA_EXPR_NAME]);
	ret->drops |= txt_equal(name, "reject");
	if (txt_equal(name, "immediate") && tb[NFTA_EXPR_DATA])
		return parse_immediate(tb[NFTA_EXPR_DATA], ret);
	return 0;
}

static int parse_effect(const struct nlattr *exprs, struct effect *ret)
{
	struct nl_attrs it = nl_attrs_in(exprs);
	const struct nlattr *attr;
	int err = 0;

	while (!err && (attr = nl_attrs_next(&it)))
		err = parse_expr(attr, ret);
	return err;
}

static int note_effect(struct scan *s, const struct key *from, const struct key *to,
		       const struct effect *e)
{
	struct chain *c = find(s, from);
	struct edge *edge;

	if (c)
		c->drops |= e->drops;
	if (!c || !e->leads_to)
		return 0;
	edge = nl_rows_push(&s->edges);
	if (!edge)
		return -ENOMEM;
	*edge = (struct edge){*from, *to};
	return 0;
}

static int take_rule(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *tb[NFTA_RULE_MAX + 1];
	struct effect effect = {0};
	struct key from, to = {0};
	const char *table;
	int err = nl_parse(nlh, sizeof(struct nfgenmsg), rule_policy, tb, NFTA_RULE_MAX + 1);

	if (err || !tb[NFTA_RULE_TABLE] || !tb[NFTA_RULE_CHAIN])
		return err ? err : -EPROTO;
	table = mnl_attr_get_str(tb[NFTA_RULE_TABLE]);
	if (is_ours(table) || !tb[NFTA_RULE_EXPRESSIONS])
		return 0;
	err = parse_effect(tb[NFTA_RULE_EXPRESSIONS], &effect);
	if (err)
		return err;
	from = chain_id(family_of(nlh), table, mnl_attr_get_str(tb[NFTA_RULE_CHAIN]));
	if (effect.leads_to)
		to = chain_id(family_of(nlh), table, effect.leads_to);
	return note_effect(arg, &from, &to, &effect);
}

/* --- answer --- */

static void reset_chains(void *arg)
{
	((struct scan *)arg)->chains.n = 0;
}

static void reset_edges(void *arg)
{
	((struct scan *)arg)->edges.n = 0;
}

static int dump(struct nl *nl, uint16_t type, void (*reset)(void *), nl_row_fn row, struct scan *s)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0,
					sizeof(struct nfgenmsg), &extra);

	*(struct nfgenmsg *)extra = (struct nfgenmsg){NFPROTO_UNSPEC, NFNETLINK_V0, 0};
	return nl_dump(nl, nlh, reset, row, s);
}

static void follow_edges(struct scan *s)
{
	const struct edge *edges = s->edges.items;

	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < s->edges.n; i++) {
			const struct chain *from = find(s, &edges[i].from);
			struct chain *to = find(s, &edges[i].to);

			if (from && to && from->reached && !to->reached)
				again = to->reached = true;
		}
	}
}

static bool any_drops(const struct scan *s)
{
	const struct chain *chains = s->chains.items;

	for (size_t i = 0; i < s->chains.n; i++)
		if (chains[i].reached && chains[i].drops)
			return true;
	return false;
}

int kernel_firewall_filters_input(struct kernel *k)
{
	struct scan s = {
		.chains = {.arena = &s.arena, .size = sizeof(struct chain)},
		.edges = {.arena = &s.arena, .size = sizeof(struct edge)},
	};
	int err;

	arena_init(&s.arena, SCAN_MEMORY_MAX);
	err = dump(k->filter, NFT_MSG_GETCHAIN, reset_chains, take_chain, &s);
	if (!err && s.chains.n)
		qsort(s.chains.items, s.chains.n, sizeof(struct chain), compare_chain);
	if (!err)
		err = dump(k->filter, NFT_MSG_GETRULE, reset_edges, take_rule, &s);
	if (!err)
		follow_edges(&s);
	err = err ? err : any_drops(&s);
	arena_done(&s.arena);
	return err;
}
