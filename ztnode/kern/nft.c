/* Our nftables table: transactions and elements (nft.h). Elements are written with libmnl: a lease
 * renewal writes tens of thousands of them, and libnftnl would keep an object for each. */
#include "ztnode/kern/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>

enum {
	TX_MESSAGE_MAX = 4096,
	ELEM_ROOM = 160, /* one element's attributes at most: 120 bytes */
	KEY_MAX = 40,	 /* two IPv6 addresses and two more fields */
};

/* --- names --- */

struct set_info {
	const char *name;
	bool is_grants;
	enum kstate_set kind;
	uint8_t family; /* enum addr_family */
};

static const struct set_info sets[NFT_SETS] = {
	[NFT_GRANTS4] = {"grants4", true, KSET_PORT, ADDR_V4},
	[NFT_GRANTS6] = {"grants6", true, KSET_PORT, ADDR_V6},
	[NFT_SPANS4] = {"spans4", true, KSET_SPAN, ADDR_V4},
	[NFT_SPANS6] = {"spans6", true, KSET_SPAN, ADDR_V6},
	[NFT_CLASSES] = {"classes", false, KSET_SPAN, ADDR_NONE},
};

const char *nft_set_name(enum nft_set set)
{
	return sets[set].name;
}

enum nft_set nft_set_of(const struct kelem *e)
{
	if (e->src.family == ADDR_V4)
		return e->set == KSET_PORT ? NFT_GRANTS4 : NFT_SPANS4;
	return e->set == KSET_PORT ? NFT_GRANTS6 : NFT_SPANS6;
}

bool nft_set_holds(enum nft_set set, enum kstate_set ret_kind[static 1],
		   uint8_t ret_family[static 1])
{
	*ret_kind = sets[set].kind;
	*ret_family = sets[set].family;
	return sets[set].is_grants;
}

void nft_table_name(const char *ifname, char out[static NFT_TABLE_NAME_MAX])
{
	if (strcmp(ifname, "zt0") == 0)
		snprintf(out, NFT_TABLE_NAME_MAX, "ztnode");
	else
		snprintf(out, NFT_TABLE_NAME_MAX, "ztnode-%s", ifname);
}

/* --- transaction --- */

static struct nlmsghdr *start(struct nft_tx *tx, size_t room, uint16_t type, uint16_t flags)
{
	void *extra;
	struct nlmsghdr *nlh =
		nl_batch_start(&tx->batch, room, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type),
			       flags, sizeof(struct nfgenmsg), &extra);

	if (nlh)
		*(struct nfgenmsg *)extra = (struct nfgenmsg){NFPROTO_INET, NFNETLINK_V0, 0};
	return nlh;
}

static void put_bracket(struct nft_tx *tx, uint16_t type)
{
	void *extra;
	struct nlmsghdr *nlh = nl_batch_start(&tx->batch, TX_MESSAGE_MAX, type, 0,
					      sizeof(struct nfgenmsg), &extra);

	if (!nlh)
		return;
	*(struct nfgenmsg *)extra =
		(struct nfgenmsg){AF_UNSPEC, NFNETLINK_V0, htons(NFNL_SUBSYS_NFTABLES)};
	nl_batch_end(&tx->batch, nlh);
}

void nft_tx_init(struct nft_tx *tx, const char *table)
{
	*tx = (struct nft_tx){.table = table};
	nl_batch_init(&tx->batch, NL_TABLE_BATCH_MAX);
	put_bracket(tx, NFNL_MSG_BATCH_BEGIN);
}

void nft_tx_done(struct nft_tx *tx)
{
	nl_batch_done(&tx->batch);
}

static void close_list(struct nft_tx *tx)
{
	if (!tx->list)
		return;
	mnl_attr_nest_end(tx->list, tx->nest);
	nl_batch_end(&tx->batch, tx->list);
	tx->list = NULL;
}

struct nlmsghdr *nft_tx_start(struct nft_tx *tx, uint16_t type, uint16_t flags)
{
	close_list(tx);
	return start(tx, TX_MESSAGE_MAX, type, flags);
}

void nft_tx_end(struct nft_tx *tx, const struct nlmsghdr *nlh)
{
	nl_batch_end(&tx->batch, nlh);
}

static int take_generation(const struct nlmsghdr *nlh, void *arg)
{
	static const struct nl_policy policy[NFTA_GEN_MAX + 1] = {[NFTA_GEN_ID] = {NL_BYTES, 4}};
	const struct nlattr *tb[NFTA_GEN_MAX + 1];
	int err;

	if (nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
		return 0;
	err = nl_parse(nlh, sizeof(struct nfgenmsg), policy, tb, NFTA_GEN_MAX + 1);
	if (!err && tb[NFTA_GEN_ID])
		*(uint32_t *)arg = nl_get_be32(tb[NFTA_GEN_ID]);
	return err;
}

/* The last message inside the brackets is asked for its acknowledgement: kernels before 6.10 do not
 * give one for the closing bracket. It is sent after the commit. */
int nft_tx_commit(struct nft_tx *tx, struct nl *nl, uint32_t *ret_generation)
{
	uint32_t last, failed, generation = 0;
	int err;

	close_list(tx);
	last = tx->batch.n - 1;
	put_bracket(tx, NFNL_MSG_BATCH_END);
	if (tx->batch.err)
		return tx->batch.err;
	if (last == 0) {
		*ret_generation = 0;
		return 0;
	}
	err = nl_batch_send(nl, &tx->batch, last, take_generation, &generation, &failed);
	if (!err)
		*ret_generation = generation;
	return err;
}

/* --- elements --- */

/* An open message of elements of this set with room for one more; NULL after an error. */
static struct nlmsghdr *open_list(struct nft_tx *tx, enum nft_set set, uint16_t type,
				  uint16_t flags)
{
	if (tx->list && tx->list_set == set && tx->list_type == type &&
	    tx->list->nlmsg_len + ELEM_ROOM <= NL_NEST_MAX)
		return tx->list;
	close_list(tx);
	tx->list = start(tx, NL_MESSAGE_MAX, type, flags);
	if (!tx->list)
		return NULL;
	tx->list_set = set;
	tx->list_type = type;
	mnl_attr_put_strz(tx->list, NFTA_SET_ELEM_LIST_TABLE, tx->table);
	mnl_attr_put_strz(tx->list, NFTA_SET_ELEM_LIST_SET, sets[set].name);
	tx->nest = mnl_attr_nest_start(tx->list, NFTA_SET_ELEM_LIST_ELEMENTS);
	return tx->list;
}

/* A key is the fields one after the other, each in network order and padded to four bytes. */
static size_t put_service(uint8_t *key, size_t at, uint8_t proto, uint16_t port)
{
	memset(key + at, 0, 8);
	key[at] = proto;
	key[at + 4] = (uint8_t)(port >> 8);
	key[at + 5] = (uint8_t)port;
	return at + 8;
}

static uint8_t wire_proto(const struct kelem *e)
{
	if (e->proto == SERVICE_ICMP && e->src.family == ADDR_V6)
		return IPPROTO_ICMPV6;
	return e->proto;
}

static size_t make_key(const struct kelem *e, uint8_t key[static KEY_MAX])
{
	size_t len = addr_bits(&e->src) / 8;

	memcpy(key, e->src.b, len);
	memcpy(key + len, e->dst.b, len);
	if (e->set == KSET_PORT)
		return put_service(key, 2 * len, wire_proto(e), (uint16_t)e->value);
	memcpy(key + 2 * len, &e->value, 4); /* a mark is in host order */
	return 2 * len + 4;
}

static void put_data(struct nlmsghdr *nlh, uint16_t type, const void *value, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, value);
	mnl_attr_nest_end(nlh, nest);
}

/* As a comment, in the form that nft prints: type 0, length, text with its NUL. */
static void put_rule_comment(struct nlmsghdr *nlh, uint32_t rule)
{
	char udata[2 + sizeof("rule 4294967295")];
	int len = snprintf(udata + 2, sizeof(udata) - 2, "rule %u", rule);

	udata[0] = 0;
	udata[1] = (char)(len + 1);
	mnl_attr_put(nlh, NFTA_SET_ELEM_USERDATA, (size_t)len + 3, udata);
}

void nft_tx_elem_add(struct nft_tx *tx, const struct kelem *e, int64_t boot_now_ms)
{
	uint8_t key[KEY_MAX];
	size_t len = make_key(e, key);
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	if (e->expires_ms <= boot_now_ms)
		return; /* and a timeout of 0 would mean: never */
	nlh = open_list(tx, nft_set_of(e), NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL);
	if (!nlh)
		return;
	nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_data(nlh, NFTA_SET_ELEM_KEY, key, len);
	mnl_attr_put_u64(nlh, NFTA_SET_ELEM_TIMEOUT,
			 htobe64((uint64_t)(e->expires_ms - boot_now_ms)));
	put_rule_comment(nlh, e->rule);
	mnl_attr_nest_end(nlh, nest);
}

void nft_tx_elem_del(struct nft_tx *tx, const struct kelem *e)
{
	uint8_t key[KEY_MAX];
	size_t len = make_key(e, key);
	struct nlmsghdr *nlh = open_list(tx, nft_set_of(e), NFT_MSG_DELSETELEM, 0);
	struct nlattr *nest;

	if (!nlh)
		return;
	nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_data(nlh, NFTA_SET_ELEM_KEY, key, len);
	mnl_attr_nest_end(nlh, nest);
}

void nft_tx_span_add(struct nft_tx *tx, const struct kspan *s)
{
	struct nlmsghdr *nlh =
		open_list(tx, NFT_CLASSES, NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *nest;
	uint32_t data[2] = {0, s->class_id};
	uint8_t key[8];

	if (!nlh)
		return;
	nest = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	put_data(nlh, NFTA_SET_ELEM_KEY, key, put_service(key, 0, s->proto, s->lo));
	put_data(nlh, NFTA_SET_ELEM_KEY_END, key, put_service(key, 0, s->proto, s->hi));
	put_data(nlh, NFTA_SET_ELEM_DATA, data, sizeof(data));
	mnl_attr_nest_end(nlh, nest);
}

void nft_tx_elems_flush(struct nft_tx *tx, enum nft_set set)
{
	struct nlmsghdr *nlh = nft_tx_start(tx, NFT_MSG_DELSETELEM, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, tx->table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, sets[set].name);
	nft_tx_end(tx, nlh);
}
