/* What our nftables table holds: sets, chains, rules (docs/enforcement.md). */
#pragma once

#include "ztnode/kern/nft.h"

/* Put the whole table into the transaction, in place of the one there may be: with its spans,
 * without elements. Of s only spans and the overlay ranges net4 and net6 are read. */
void nft_rules_put(struct nft_tx *tx, const char *ifname, const struct kstate *s);
/* Take it out. Also when there is none. */
void nft_rules_del(struct nft_tx *tx);
