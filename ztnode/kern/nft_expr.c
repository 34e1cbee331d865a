/* One nftables rule, expression by expression (nft_expr.h). */
#include "ztnode/kern/nft_expr.h"

#include <errno.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>

struct nft_rule nft_rule_begin(struct nft_tx *tx, const char *chain)
{
	struct nft_rule rule = {tx, nftnl_rule_alloc()};

	if (!rule.r || nftnl_rule_set_str(rule.r, NFTNL_RULE_TABLE, tx->table) < 0 ||
	    nftnl_rule_set_str(rule.r, NFTNL_RULE_CHAIN, chain) < 0) {
		nftnl_rule_free(rule.r);
		rule.r = NULL;
	}
	return rule;
}

void nft_rule_end(struct nft_rule *rule)
{
	struct nlmsghdr *nlh;

	if (!rule->r) {
		rule->tx->batch.err = -ENOMEM;
		return;
	}
	nlh = nft_tx_start(rule->tx, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	if (nlh) {
		nftnl_rule_nlmsg_build_payload(nlh, rule->r);
		nft_tx_end(rule->tx, nlh);
	}
	nftnl_rule_free(rule->r);
}

static struct nftnl_expr *expr_new(struct nft_rule *rule, const char *name)
{
	struct nftnl_expr *e = rule->r ? nftnl_expr_alloc(name) : NULL;

	if (e) {
		nftnl_rule_add_expr(rule->r, e);
	} else if (rule->r) {
		nftnl_rule_free(rule->r);
		rule->r = NULL;
	}
	return e;
}

void nft_rule_load_meta(struct nft_rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

void nft_rule_load_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
			   uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

void nft_rule_load_ct(struct nft_rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

/* A field of the connection's first packet. */
void nft_rule_load_ct_original(struct nft_rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

void nft_rule_load_value(struct nft_rule *rule, uint32_t value, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
	nftnl_expr_set_data(e, NFTNL_EXPR_IMM_DATA, &value, sizeof(value));
}

void nft_rule_mask(struct nft_rule *rule, uint32_t reg, const void *bits, uint32_t len)
{
	static const uint8_t none[16];
	struct nftnl_expr *e = expr_new(rule, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set_data(e, NFTNL_EXPR_BITWISE_MASK, bits, len);
	nftnl_expr_set_data(e, NFTNL_EXPR_BITWISE_XOR, none, len);
}

void nft_rule_compare(struct nft_rule *rule, uint32_t op, uint32_t reg, const void *value,
		      uint32_t len)
{
	struct nftnl_expr *e = expr_new(rule, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set_data(e, NFTNL_EXPR_CMP_DATA, value, len);
}

void nft_rule_match_u8(struct nft_rule *rule, uint32_t reg, uint8_t value)
{
	nft_rule_compare(rule, NFT_CMP_EQ, reg, &value, sizeof(value));
}

void nft_rule_lookup(struct nft_rule *rule, enum nft_set set, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, nft_set_name(set));
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set + 1);
}

void nft_rule_lookup_map(struct nft_rule *rule, enum nft_set map, uint32_t reg, uint32_t to)
{
	struct nftnl_expr *e = expr_new(rule, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, to);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, nft_set_name(map));
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, map + 1);
}

void nft_rule_count(struct nft_rule *rule, const char *counter)
{
	struct nftnl_expr *e = expr_new(rule, "objref");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}

/* chain: for NFT_GOTO and NFT_JUMP, else NULL. */
void nft_rule_verdict(struct nft_rule *rule, int code, const char *chain)
{
	struct nftnl_expr *e = expr_new(rule, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

void nft_rule_reject(struct nft_rule *rule, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = expr_new(rule, "reject");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}
