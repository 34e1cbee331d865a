/* Table, counters, sets and chains (nft_table.h). */
#include "ztnode/kern/nft_table.h"

#include <errno.h>

#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

void nft_put_table(struct nft_tx *tx, uint16_t type, uint16_t flags)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh = NULL;

	if (t && nftnl_table_set_str(t, NFTNL_TABLE_NAME, tx->table) == 0)
		nlh = nft_tx_start(tx, type, flags);
	else
		tx->batch.err = -ENOMEM;
	if (nlh) {
		nftnl_table_nlmsg_build_payload(nlh, t);
		nft_tx_end(tx, nlh);
	}
	if (t)
		nftnl_table_free(t);
}

void nft_put_counter(struct nft_tx *tx, const char *name)
{
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh;

	if (!o) {
		tx->batch.err = -ENOMEM;
		return;
	}
	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, tx->table);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
	nlh = nft_tx_start(tx, NFT_MSG_NEWOBJ, NLM_F_CREATE);
	if (nlh) {
		nftnl_obj_nlmsg_build_payload(nlh, o);
		nft_tx_end(tx, nlh);
	}
	nftnl_obj_free(o);
}

/* nft's numbers of data types, six bits for each field of a key. The kernel only keeps them: with
 * them `nft list` prints elements as people write them. */
enum { TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PROTO = 12, TYPE_PORT = 13, TYPE_MARK = 19 };
enum {
	TYPE_SERVICE = TYPE_PROTO << 6 | TYPE_PORT,
	TYPE_GRANTS4 = TYPE_IPV4 << 18 | TYPE_IPV4 << 12 | TYPE_SERVICE,
	TYPE_GRANTS6 = TYPE_IPV6 << 18 | TYPE_IPV6 << 12 | TYPE_SERVICE,
	TYPE_SPANS4 = TYPE_IPV4 << 12 | TYPE_IPV4 << 6 | TYPE_MARK,
	TYPE_SPANS6 = TYPE_IPV6 << 12 | TYPE_IPV6 << 6 | TYPE_MARK,
	TYPE_CLASS = TYPE_MARK << 6 | TYPE_MARK,
};

struct set_shape {
	uint32_t key_type, key_len, flags;
};

static const struct set_shape shapes[NFT_SETS] = {
	[NFT_GRANTS4] = {TYPE_GRANTS4, 16, NFT_SET_TIMEOUT},
	[NFT_GRANTS6] = {TYPE_GRANTS6, 40, NFT_SET_TIMEOUT},
	[NFT_SPANS4] = {TYPE_SPANS4, 12, NFT_SET_TIMEOUT},
	[NFT_SPANS6] = {TYPE_SPANS6, 36, NFT_SET_TIMEOUT},
	[NFT_CLASSES] = {TYPE_SERVICE, 8, NFT_SET_INTERVAL | NFT_SET_CONCAT | NFT_SET_MAP},
};

/* A timeout without intervals makes the kernel take its hash table. Intervals of two fields need
 * its pipapo set, which wants to know the fields' lengths. */
static void set_shape(struct nftnl_set *s, const struct set_shape *shape)
{
	static const uint8_t class_fields[] = {1, 2};

	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, shape->key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, shape->key_len);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, shape->flags);
	if (!(shape->flags & NFT_SET_MAP))
		return;
	nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, TYPE_CLASS);
	nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, 8);
	nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, class_fields, sizeof(class_fields));
}

void nft_put_set(struct nft_tx *tx, enum nft_set set)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *nlh;

	if (!s) {
		tx->batch.err = -ENOMEM;
		return;
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, tx->table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, nft_set_name(set));
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, set + 1);
	set_shape(s, &shapes[set]);
	nlh = nft_tx_start(tx, NFT_MSG_NEWSET, NLM_F_CREATE);
	if (nlh) {
		nftnl_set_nlmsg_build_payload(nlh, s);
		nft_tx_end(tx, nlh);
	}
	nftnl_set_free(s);
}

void nft_put_chain(struct nft_tx *tx, const char *name, int hook)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *nlh;

	if (!c) {
		tx->batch.err = -ENOMEM;
		return;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, tx->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (hook >= 0) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, 0);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nlh = nft_tx_start(tx, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	if (nlh) {
		nftnl_chain_nlmsg_build_payload(nlh, c);
		nft_tx_end(tx, nlh);
	}
	nftnl_chain_free(c);
}
