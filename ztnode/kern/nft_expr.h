/* One nftables rule, expression by expression. After a failure nothing more is added, and the end
 * tells the transaction. Registers are NFT_REG32_*; a value of more than four bytes goes on in the
 * next ones. */
#pragma once

#include "ztnode/kern/nft.h"

struct nftnl_rule;

struct nft_rule {
	struct nft_tx *tx;
	struct nftnl_rule *r; /* NULL: out of memory */
};

struct nft_rule nft_rule_begin(struct nft_tx *tx, const char *chain);
void nft_rule_end(struct nft_rule *rule); /* appends it to its chain */

/* What goes into a register. */
void nft_rule_load_meta(struct nft_rule *rule, uint32_t key, uint32_t reg); /* NFT_META_* */
void nft_rule_load_payload(struct nft_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
			   uint32_t reg);
void nft_rule_load_ct(struct nft_rule *rule, uint32_t key, uint32_t reg); /* NFT_CT_* */
void nft_rule_load_ct_original(struct nft_rule *rule, uint32_t key,
			       uint32_t reg); /* of the connection's first packet */
void nft_rule_load_value(struct nft_rule *rule, uint32_t value, uint32_t reg);
void nft_rule_mask(struct nft_rule *rule, uint32_t reg, const void *bits,
		   uint32_t len); /* at most 16 bytes */

/* What must hold for the rule to go on. */
void nft_rule_compare(struct nft_rule *rule, uint32_t op, uint32_t reg, const void *value,
		      uint32_t len);
void nft_rule_match_u8(struct nft_rule *rule, uint32_t reg, uint8_t value);
void nft_rule_lookup(struct nft_rule *rule, enum nft_set set, uint32_t reg);
void nft_rule_lookup_map(struct nft_rule *rule, enum nft_set map, uint32_t reg, uint32_t to);

/* What it does. */
void nft_rule_count(struct nft_rule *rule, const char *counter);
void nft_rule_verdict(struct nft_rule *rule, int code,
		      const char *chain); /* chain: of NFT_GOTO and NFT_JUMP, else NULL */
void nft_rule_reject(struct nft_rule *rule, uint32_t type, uint8_t code);
