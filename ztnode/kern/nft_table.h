/* What rules hang on: table, counters, sets and chains, one message each. */
#pragma once

#include "ztnode/kern/nft.h"

void nft_put_table(struct nft_tx *tx, uint16_t type,
		   uint16_t flags); /* NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE */
void nft_put_counter(struct nft_tx *tx, const char *name);
void nft_put_set(struct nft_tx *tx, enum nft_set set);
/* hook: NF_INET_*, or -1 for a chain that others lead to. */
void nft_put_chain(struct nft_tx *tx, const char *name, int hook);
