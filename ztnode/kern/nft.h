/* Our nftables table: transactions, and the elements of its sets. What the table holds is in
 * nft_rules.h, how it is read back in nft_read.h. Nothing here names another table than ours. */
#pragma once

#include "ztnode/core/kstate.h"
#include "ztnode/kern/nl.h"

enum { NFT_TABLE_NAME_MAX = 32 };

/* The sets, by family of addresses. All but the classes are hash sets whose elements time out. */
enum nft_set {
	NFT_GRANTS4, /* ipv4_addr . ipv4_addr . inet_proto . inet_service */
	NFT_GRANTS6, /* ipv6_addr . ipv6_addr . inet_proto . inet_service */
	NFT_SPANS4,  /* ipv4_addr . ipv4_addr . mark (the class) */
	NFT_SPANS6,  /* ipv6_addr . ipv6_addr . mark */
	NFT_CLASSES, /* intervals of inet_proto . inet_service : mark . mark (0 and the class) */
	NFT_SETS,
};
const char *nft_set_name(enum nft_set set);
enum nft_set nft_set_of(const struct kelem *e);
/* Does the set hold such elements (the classes do not)? */
bool nft_set_holds(enum nft_set set, enum kstate_set ret_kind[static 1],
		   uint8_t ret_family[static 1]);

/* "ztnode" for zt0, "ztnode-IFNAME" for another interface, so that two nodes can share a network
 * namespace. */
void nft_table_name(const char *ifname, char out[static NFT_TABLE_NAME_MAX]);

/* One transaction: messages are added, then all of them happen at once or none. Errors are sticky
 * until the commit. */
struct nft_tx {
	struct nl_batch batch;
	const char *table;
	struct nlmsghdr *list; /* a message of elements that is still open */
	struct nlattr *nest;
	enum nft_set list_set;
	uint16_t list_type;
};

void nft_tx_init(struct nft_tx *tx, const char *table);
void nft_tx_done(struct nft_tx *tx);
/* A message of the table (NFT_MSG_*) of at most 4 KiB. NULL after an error. */
struct nlmsghdr *nft_tx_start(struct nft_tx *tx, uint16_t type, uint16_t flags);
void nft_tx_end(struct nft_tx *tx, const struct nlmsghdr *nlh);

void nft_tx_elem_add(struct nft_tx *tx, const struct kelem *e,
		     int64_t boot_now_ms); /* one that is over is left out */
void nft_tx_elem_del(struct nft_tx *tx, const struct kelem *e);
void nft_tx_span_add(struct nft_tx *tx, const struct kspan *s);
void nft_tx_elems_flush(struct nft_tx *tx, enum nft_set set);

/* Nothing to do is fine. *ret_generation: number of the ruleset that this made, if the
 * transaction's first message has the flag NLM_F_ECHO (0: the kernel did not tell). -EEXIST,
 * -ENOENT: an element was there already or was not; nothing has happened. */
int nft_tx_commit(struct nft_tx *tx, struct nl *nl, uint32_t *ret_generation) ZT_MUST_USE;
