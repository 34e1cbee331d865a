/* What is in our nftables table (nft_read.h). */
#include "ztnode/kern/nft_read.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "zt/buf.h"
#include "zt/txt.h"

enum { DIGEST_MAX = 1 << 20 };

static struct nlmsghdr *start(struct nl_request *mem, uint16_t type, uint8_t family)
{
	void *extra;
	struct nlmsghdr *nlh = nl_start(mem, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0,
					sizeof(struct nfgenmsg), &extra);

	*(struct nfgenmsg *)extra = (struct nfgenmsg){family, NFNETLINK_V0, 0};
	return nlh;
}

static bool is_message(const struct nlmsghdr *nlh, uint16_t type)
{
	return nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type);
}

/* --- generation --- */

static int parse_generation(const struct nlmsghdr *nlh, void *arg)
{
	static const struct nl_policy policy[NFTA_GEN_MAX + 1] = {[NFTA_GEN_ID] = {NL_BYTES, 4}};
	const struct nlattr *tb[NFTA_GEN_MAX + 1];
	int err;

	if (!is_message(nlh, NFT_MSG_NEWGEN))
		return 0;
	err = nl_parse(nlh, sizeof(struct nfgenmsg), policy, tb, NFTA_GEN_MAX + 1);
	if (err || !tb[NFTA_GEN_ID])
		return err ? err : -EPROTO;
	*(uint32_t *)arg = nl_get_be32(tb[NFTA_GEN_ID]);
	return 0;
}

int nft_generation(struct nl *nl, uint32_t *ret)
{
	struct nl_request mem;
	uint32_t generation = 0;
	int err =
		nl_talk(nl, start(&mem, NFT_MSG_GETGEN, AF_UNSPEC), parse_generation, &generation);

	if (!err)
		*ret = generation;
	return err;
}

/* --- digest --- */

/* Attributes of one kind of object: its table's name, and bits for those that are no part of what
 * it does (a PAD comes and goes with the alignment of the dump's buffer). */
struct digest_part {
	uint16_t get, new; /* messages */
	uint16_t table;	   /* attribute of the dump and the request */
	uint64_t skip;
};

#define SKIP(attr) (UINT64_C(1) << (attr))

static const struct digest_part table_part = {NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, NFTA_TABLE_NAME,
					      SKIP(NFTA_TABLE_HANDLE) | SKIP(NFTA_TABLE_USE) |
						      SKIP(NFTA_TABLE_PAD)};

/* A dump of rules or sets can be asked for one table; of chains all of the family come. */
static const struct digest_part parts[] = {
	{NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, NFTA_CHAIN_TABLE,
	 SKIP(NFTA_CHAIN_HANDLE) | SKIP(NFTA_CHAIN_USE) | SKIP(NFTA_CHAIN_COUNTERS) |
		 SKIP(NFTA_CHAIN_PAD)},
	{NFT_MSG_GETRULE, NFT_MSG_NEWRULE, NFTA_RULE_TABLE,
	 SKIP(NFTA_RULE_HANDLE) | SKIP(NFTA_RULE_POSITION) | SKIP(NFTA_RULE_PAD)},
	{NFT_MSG_GETSET, NFT_MSG_NEWSET, NFTA_SET_TABLE,
	 SKIP(NFTA_SET_HANDLE) | SKIP(NFTA_SET_PAD)},
};

struct digest_rows {
	const struct digest_part *part;
	const char *table;
	struct buf bytes;
	size_t start; /* bytes of the parts before */
};

static bool is_of_table(const struct nlmsghdr *nlh, uint16_t attr_type, const char *table)
{
	struct nl_policy policy[8] = {[0] = {NL_IGNORED, 0}};
	const struct nlattr *tb[8];

	policy[attr_type] = (struct nl_policy){NL_TEXT, 1};
	return nl_parse(nlh, sizeof(struct nfgenmsg), policy, tb, 8) == 0 && tb[attr_type] &&
	       txt_equal(mnl_attr_get_str(tb[attr_type]), table);
}

static int take_bytes(const struct nlmsghdr *nlh, void *arg)
{
	struct digest_rows *rows = arg;
	struct nl_attrs it = nl_attrs_of(nlh, sizeof(struct nfgenmsg));
	const struct nlattr *attr;

	if (!is_message(nlh, rows->part->new) || !is_of_table(nlh, rows->part->table, rows->table))
		return 0;
	buf_put_u16(&rows->bytes, rows->part->new);
	while ((attr = nl_attrs_next(&it))) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type < 64 && (rows->part->skip & SKIP(type)))
			continue;
		buf_put_u16(&rows->bytes, type);
		buf_put_u16(&rows->bytes, mnl_attr_get_payload_len(attr));
		buf_put(&rows->bytes, mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
	}
	return rows->bytes.err;
}

static void reset_bytes(void *arg)
{
	struct digest_rows *rows = arg;

	rows->bytes.len = rows->start;
}

static int dump_part(struct nl *nl, const struct digest_part *part, struct digest_rows *rows)
{
	struct nl_request mem;
	struct nlmsghdr *nlh = start(&mem, part->get, NFPROTO_INET);

	rows->part = part;
	rows->start = rows->bytes.len;
	mnl_attr_put_strz(nlh, part->table, rows->table);
	return nl_dump(nl, nlh, reset_bytes, take_bytes, rows);
}

static int get_table(struct nl *nl, struct digest_rows *rows)
{
	struct nl_request mem;
	struct nlmsghdr *nlh = start(&mem, NFT_MSG_GETTABLE, NFPROTO_INET);

	rows->part = &table_part;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, rows->table);
	return nl_talk(nl, nlh, take_bytes, rows);
}

int nft_digest(struct nl *nl, const char *table, struct key *ret)
{
	struct digest_rows rows = {.table = table};
	int err;

	buf_init_grow(&rows.bytes, DIGEST_MAX);
	err = get_table(nl, &rows);
	for (size_t i = 0; !err && i < sizeof(parts) / sizeof(parts[0]); i++)
		err = dump_part(nl, &parts[i], &rows);
	if (!err)
		key_hash(rows.bytes.data, rows.bytes.len, ret);
	buf_free(&rows.bytes);
	return err;
}

/* --- elements --- */

struct elem_rows {
	enum nft_set set;
	int64_t now_ms;
	struct nl_rows elems, spans;
	size_t start; /* elements of the sets read before */
	bool foreign, foreign_before;
};

static const struct nl_policy list_policy[NFTA_SET_ELEM_LIST_MAX + 1] = {
	[NFTA_SET_ELEM_LIST_ELEMENTS] = {NL_NEST, 0},
};

static const struct nl_policy elem_policy[NFTA_SET_ELEM_MAX + 1] = {
	[NFTA_SET_ELEM_KEY] = {NL_NEST, 4},
	[NFTA_SET_ELEM_KEY_END] = {NL_NEST, 4},
	[NFTA_SET_ELEM_DATA] = {NL_NEST, 4},
	[NFTA_SET_ELEM_EXPIRATION] = {NL_BYTES, 8},
};

static const struct nl_policy data_policy[NFTA_DATA_MAX + 1] = {
	[NFTA_DATA_VALUE] = {NL_BYTES, 1},
};

/* The value inside of a nested attribute when it has exactly len bytes, else NULL. */
static const uint8_t *value_of(const struct nlattr *nest, size_t len)
{
	const struct nlattr *tb[NFTA_DATA_MAX + 1];

	if (!nest || nl_parse_nest(nest, data_policy, tb, NFTA_DATA_MAX + 1) < 0 ||
	    !tb[NFTA_DATA_VALUE])
		return NULL;
	return mnl_attr_get_payload_len(tb[NFTA_DATA_VALUE]) == len
		       ? mnl_attr_get_payload(tb[NFTA_DATA_VALUE])
		       : NULL;
}

/* Protocol and port in two fields of four bytes; false when the padding is not zero. */
static bool parse_service(const uint8_t *field, uint8_t *ret_proto, uint16_t *ret_port)
{
	if (field[1] || field[2] || field[3] || field[6] || field[7])
		return false;
	*ret_proto = field[0];
	*ret_port = (uint16_t)(field[4] << 8 | field[5]);
	return true;
}

static bool parse_port_key(const uint8_t *field, struct kelem *e)
{
	uint16_t port;
	uint8_t icmp = e->src.family == ADDR_V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;

	if (!parse_service(field, &e->proto, &port))
		return false;
	e->value = port;
	if (e->proto == icmp) {
		e->proto = SERVICE_ICMP;
		return port == 0;
	}
	return e->proto == IPPROTO_TCP || e->proto == IPPROTO_UDP;
}

static bool parse_elem(const struct nlattr *const *tb, enum nft_set set, int64_t now_ms,
		       struct kelem *ret)
{
	struct kelem e = {.expires_ms = INT64_MAX};
	uint8_t family;
	size_t addr_len;
	const uint8_t *key;

	nft_set_holds(set, &e.set, &family);
	addr_len = family == ADDR_V4 ? 4 : 16;
	key = value_of(tb[NFTA_SET_ELEM_KEY], 2 * addr_len + (e.set == KSET_PORT ? 8 : 4));
	if (!key)
		return false;
	e.src = family == ADDR_V4 ? addr_v4(key) : addr_v6(key);
	e.dst = family == ADDR_V4 ? addr_v4(key + addr_len) : addr_v6(key + addr_len);
	if (e.set == KSET_SPAN)
		memcpy(&e.value, key + 2 * addr_len, 4);
	else if (!parse_port_key(key + 2 * addr_len, &e))
		return false;
	if (tb[NFTA_SET_ELEM_EXPIRATION])
		e.expires_ms = now_ms + (int64_t)nl_get_be64(tb[NFTA_SET_ELEM_EXPIRATION]);
	*ret = e;
	return true;
}

static bool parse_span(const struct nlattr *const *tb, struct kspan *ret)
{
	const uint8_t *lo = value_of(tb[NFTA_SET_ELEM_KEY], 8),
		      *hi = value_of(tb[NFTA_SET_ELEM_KEY_END], 8);
	const uint8_t *data = value_of(tb[NFTA_SET_ELEM_DATA], 8);
	uint8_t hi_proto;

	if (!lo || !hi || !data || !parse_service(lo, &ret->proto, &ret->lo) ||
	    !parse_service(hi, &hi_proto, &ret->hi))
		return false;
	memcpy(&ret->class_id, data + 4, sizeof(ret->class_id));
	return ret->proto == hi_proto;
}

static int take_elem(struct elem_rows *rows, const struct nlattr *const *tb)
{
	struct kelem e = {0};
	struct kspan s = {0};
	bool is_span = rows->set == NFT_CLASSES;
	void *to;

	if (is_span ? !parse_span(tb, &s) : !parse_elem(tb, rows->set, rows->now_ms, &e)) {
		rows->foreign = true;
		return 0;
	}
	to = nl_rows_push(is_span ? &rows->spans : &rows->elems);
	if (!to)
		return -ENOMEM;
	if (is_span)
		*(struct kspan *)to = s;
	else
		*(struct kelem *)to = e;
	return 0;
}

static int take_list(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *list[NFTA_SET_ELEM_LIST_MAX + 1], *tb[NFTA_SET_ELEM_MAX + 1], *attr;
	struct nl_attrs it;
	int err;

	if (!is_message(nlh, NFT_MSG_NEWSETELEM))
		return 0;
	err = nl_parse(nlh, sizeof(struct nfgenmsg), list_policy, list, NFTA_SET_ELEM_LIST_MAX + 1);
	if (err || !list[NFTA_SET_ELEM_LIST_ELEMENTS])
		return err;
	it = nl_attrs_in(list[NFTA_SET_ELEM_LIST_ELEMENTS]);
	while ((attr = nl_attrs_next(&it))) {
		err = nl_parse_nest(attr, elem_policy, tb, NFTA_SET_ELEM_MAX + 1);
		if (!err)
			err = take_elem(arg, tb);
		if (err)
			return err;
	}
	return 0;
}

static void reset_elems(void *arg)
{
	struct elem_rows *rows = arg;

	rows->elems.n = rows->start;
	rows->spans.n = 0; /* the classes are read last */
	rows->foreign = rows->foreign_before;
}

static int dump_set(struct nl *nl, const char *table, enum nft_set set, struct elem_rows *rows)
{
	struct nl_request mem;
	struct nlmsghdr *nlh = start(&mem, NFT_MSG_GETSETELEM, NFPROTO_INET);
	int err;

	rows->set = set;
	rows->start = rows->elems.n;
	rows->foreign_before = rows->foreign;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, nft_set_name(set));
	err = nl_dump(nl, nlh, reset_elems, take_list, rows);
	return err == -ENOENT ? 0 : err;
}

static int compare_span(const void *a, const void *b)
{
	const struct kspan *x = a, *y = b;

	return x->proto != y->proto ? x->proto - y->proto : x->lo - y->lo;
}

int nft_read(struct nl *nl, const char *table, int64_t boot_now_ms, struct arena *a,
	     struct nft_contents *ret)
{
	struct elem_rows rows = {
		.now_ms = boot_now_ms,
		.elems = {.arena = a, .size = sizeof(struct kelem)},
		.spans = {.arena = a, .size = sizeof(struct kspan)},
	};

	for (enum nft_set set = 0; set < NFT_SETS; set++) {
		int err = dump_set(nl, table, set, &rows);

		if (err)
			return err;
	}
	if (rows.elems.n)
		qsort(rows.elems.items, rows.elems.n, sizeof(struct kelem), kelem_compare);
	if (rows.spans.n)
		qsort(rows.spans.items, rows.spans.n, sizeof(struct kspan), compare_span);
	*ret = (struct nft_contents){rows.elems.items, rows.elems.n, rows.spans.items, rows.spans.n,
				     rows.foreign};
	return 0;
}
