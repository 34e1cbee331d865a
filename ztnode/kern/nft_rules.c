/* What our nftables table holds (nft_rules.h). Every packet of the overlay is judged by set lookups
 * alone, so its cost does not grow with the number of grants:
 *
 *     input  --iifname zt0--> from-overlay --+-> granted4/6 --tcp, udp--> ports4/6 -----------+
 *     output --oifname zt0--> to-overlay ----+               --icmp-----> icmp4/6 ------------+-->
 * any4/6
 *                                                            --other protocols----------------+
 *                                                icmp4/6 --ct state related--> errors4/6 (the same,
 * for the inner packet)
 *
 * A chain that accepts ends the walk; one that ends without that leads back to from-overlay or
 * to-overlay, which deny. Registers hold a set's key: source, destination, then either protocol and
 * port or the class. */
#include "ztnode/kern/nft_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>

#include "zt/txt.h"

static const char denied_in[] = "denied-in";
static const char denied_out[] = "denied-out";

/* What differs between IPv4 and IPv6. */
struct family {
	uint8_t nfproto;
	uint8_t addr_len;
	uint8_t src_at, dst_at; /* in the network header */
	uint8_t icmp, echo_request, echo_reply;
	uint32_t ct_src, ct_dst;
	enum nft_set grants, spans;
	const char *granted, *ports, *icmps, *any, *errors, *error_ports, *error_any; /* chains */
};

static const struct family families[] = {
	{NFPROTO_IPV4, 4, 12, 16, IPPROTO_ICMP, ICMP_ECHO, ICMP_ECHOREPLY, NFT_CT_SRC_IP,
	 NFT_CT_DST_IP, NFT_GRANTS4, NFT_SPANS4, "granted4", "ports4", "icmp4", "any4", "errors4",
	 "error-ports4", "error-any4"},
	{NFPROTO_IPV6, 16, 8, 24, IPPROTO_ICMPV6, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY,
	 NFT_CT_SRC_IP6, NFT_CT_DST_IP6, NFT_GRANTS6, NFT_SPANS6, "granted6", "ports6", "icmp6",
	 "any6", "errors6", "error-ports6", "error-any6"},
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

/* --- one rule, expression by expression --- */

struct rule {
	struct nft_tx *tx;
	struct nftnl_rule *r; /* NULL: out of memory */
};

static struct rule rule_begin(struct nft_tx *tx, const char *chain)
{
	struct rule rule = {tx, nftnl_rule_alloc()};

	if (!rule.r || nftnl_rule_set_str(rule.r, NFTNL_RULE_TABLE, tx->table) < 0 ||
	    nftnl_rule_set_str(rule.r, NFTNL_RULE_CHAIN, chain) < 0) {
		nftnl_rule_free(rule.r);
		rule.r = NULL;
	}
	return rule;
}

static void rule_end(struct rule *rule)
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

static struct nftnl_expr *expr_new(struct rule *rule, const char *name)
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

static void load_meta(struct rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

static void load_payload(struct rule *rule, uint32_t base, uint32_t offset, uint32_t len,
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

static void load_ct(struct rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

/* A field of the connection's first packet. */
static void load_ct_original(struct rule *rule, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
}

static void load_value(struct rule *rule, uint32_t value, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
	nftnl_expr_set_data(e, NFTNL_EXPR_IMM_DATA, &value, sizeof(value));
}

static void mask(struct rule *rule, uint32_t reg, const void *bits, uint32_t len)
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

static void compare(struct rule *rule, uint32_t op, uint32_t reg, const void *value, uint32_t len)
{
	struct nftnl_expr *e = expr_new(rule, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set_data(e, NFTNL_EXPR_CMP_DATA, value, len);
}

static void match_u8(struct rule *rule, uint32_t reg, uint8_t value)
{
	compare(rule, NFT_CMP_EQ, reg, &value, sizeof(value));
}

static void lookup(struct rule *rule, enum nft_set set, uint32_t reg)
{
	struct nftnl_expr *e = expr_new(rule, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, nft_set_name(set));
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, set + 1);
}

static void lookup_map(struct rule *rule, enum nft_set map, uint32_t reg, uint32_t to)
{
	struct nftnl_expr *e = expr_new(rule, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, to);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, nft_set_name(map));
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SET_ID, map + 1);
}

static void count(struct rule *rule, const char *counter)
{
	struct nftnl_expr *e = expr_new(rule, "objref");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}

/* chain: for NFT_GOTO and NFT_JUMP, else NULL. */
static void verdict(struct rule *rule, int code, const char *chain)
{
	struct nftnl_expr *e = expr_new(rule, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void reject(struct rule *rule, uint32_t type, uint8_t code)
{
	struct nftnl_expr *e = expr_new(rule, "reject");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
}

/* --- the key of a lookup in registers --- */

static uint32_t reg_src(void)
{
	return NFT_REG32_00;
}

static uint32_t reg_dst(const struct family *f)
{
	return NFT_REG32_00 + f->addr_len / 4u;
}

/* Protocol and port, or the class. */
static uint32_t reg_service(const struct family *f)
{
	return NFT_REG32_00 + f->addr_len / 2u;
}

/* Protocol and port while they are being made a class. */
static uint32_t reg_scratch(const struct family *f)
{
	return reg_service(f) + 2;
}

/* Whose packet a rule judges: the one at hand, or the one inside of an ICMP error. */
enum subject { SUBJECT_PACKET, SUBJECT_INNER };

/* What of the grants a rule looks for. */
enum permit { PERMIT_PORT, PERMIT_SPAN, PERMIT_ECHO, PERMIT_ANY };

/* The addresses as the connection's first packet has them: turned round in its replies. */
static void load_addrs(struct rule *rule, const struct family *f, uint8_t dir)
{
	bool turned = dir == IP_CT_DIR_REPLY;

	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, turned ? f->dst_at : f->src_at, f->addr_len,
		     reg_src());
	load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, turned ? f->src_at : f->dst_at, f->addr_len,
		     reg_dst(f));
}

static void load_inner_addrs(struct rule *rule, const struct family *f)
{
	load_ct_original(rule, f->ct_src, reg_src());
	load_ct_original(rule, f->ct_dst, reg_dst(f));
}

static void load_port(struct rule *rule, enum subject subject, uint8_t dir, uint32_t reg)
{
	if (subject == SUBJECT_INNER) {
		load_ct(rule, NFT_CT_PROTOCOL, reg);
		load_ct_original(rule, NFT_CT_PROTO_DST, reg + 1);
	} else {
		load_meta(rule, NFT_META_L4PROTO, reg);
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, dir == IP_CT_DIR_REPLY ? 0 : 2, 2,
			     reg + 1);
	}
}

/* Protocol ICMP and "port" 0, if it is an echo. Of the inner packet's connection the tracker keeps
 * the request's type and code as destination port. */
static void load_echo(struct rule *rule, const struct family *f, enum subject subject, uint8_t dir,
		      uint32_t reg)
{
	uint8_t request[2] = {f->echo_request, 0};

	if (subject == SUBJECT_INNER) {
		load_ct(rule, NFT_CT_PROTOCOL, reg);
		match_u8(rule, reg, f->icmp);
		load_ct_original(rule, NFT_CT_PROTO_DST, reg + 1);
		compare(rule, NFT_CMP_EQ, reg + 1, request, sizeof(request));
	} else {
		load_meta(rule, NFT_META_L4PROTO, reg);
		match_u8(rule, reg, f->icmp);
		load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, reg + 1);
		match_u8(rule, reg + 1, dir == IP_CT_DIR_REPLY ? f->echo_reply : f->echo_request);
	}
	load_value(rule, 0, reg + 1);
}

/* The class of protocol and port. The map gives two words, of which the second lands in the class's
 * register and the first in the one before it, which an address fills later: `nft list` of 1.0.6
 * aborts on a key with a map's result in it, and this way it knows of nothing but the value that
 * was there before. No element has that one. */
static void load_class(struct rule *rule, const struct family *f, enum subject subject, uint8_t dir)
{
	load_value(rule, UINT32_MAX, reg_service(f));
	load_port(rule, subject, dir, reg_scratch(f));
	lookup_map(rule, NFT_CLASSES, reg_scratch(f), reg_service(f) - 1);
}

static void load_service(struct rule *rule, const struct family *f, enum permit permit,
			 enum subject subject, uint8_t dir)
{
	uint32_t reg = reg_service(f);

	switch (permit) {
	case PERMIT_PORT:
		load_port(rule, subject, dir, reg);
		break;
	case PERMIT_SPAN:
		load_class(rule, f, subject, dir);
		break;
	case PERMIT_ECHO:
		load_echo(rule, f, subject, dir, reg);
		break;
	case PERMIT_ANY:
		load_value(rule, 0, reg);
		break;
	}
}

/* --- rules that accept --- */

/* Direction and key, by the packet's own header: what others' address translation claims does not
 * count.
 *
 *     ct direction original ip saddr . ip daddr . meta l4proto . th dport @grants4 accept
 *     ct direction reply ip daddr . ip saddr . meta l4proto . th sport @grants4 accept
 *     ct direction original ip saddr . ip daddr . (meta l4proto . th dport map @classes) @spans4
 * accept ct direction original icmp type echo-request ip saddr . ip daddr . icmp . 0 @grants4
 * accept ct direction original ip saddr . ip daddr . 0 @spans4 accept
 *
 * For an ICMP error (chains errors, error-ports, error-any) both must be granted: the connection
 * that it is about, as it began, and the same service between the error's own two ends. So no peer
 * can speak for another.
 *
 *     ct direction original ct original ip saddr . ct original ip daddr . ct protocol . ct original
 * proto-dst @grants4 ip saddr . ip daddr . ct protocol . ct original proto-dst @grants4 accept */
static void rule_permit(struct nft_tx *tx, const struct family *f, const char *chain,
			enum permit permit, enum subject subject, uint8_t dir)
{
	enum nft_set set = permit == PERMIT_PORT || permit == PERMIT_ECHO ? f->grants : f->spans;
	struct rule rule = rule_begin(tx, chain);

	load_ct(&rule, NFT_CT_DIRECTION, reg_src());
	match_u8(&rule, reg_src(), dir);
	load_meta(&rule, NFT_META_NFPROTO, reg_src());
	match_u8(&rule, reg_src(), f->nfproto);
	load_service(&rule, f, permit, subject, dir);
	if (subject == SUBJECT_INNER) {
		load_inner_addrs(&rule, f);
		lookup(&rule, set, reg_src());
	}
	load_addrs(&rule, f, dir);
	lookup(&rule, set, reg_src());
	verdict(&rule, NF_ACCEPT, NULL);
	rule_end(&rule);
}

static void rules_permit(struct nft_tx *tx, const struct family *f, const char *chain,
			 enum permit permit, enum subject subject)
{
	rule_permit(tx, f, chain, permit, subject, IP_CT_DIR_ORIGINAL);
	rule_permit(tx, f, chain, permit, subject, IP_CT_DIR_REPLY);
}

/* --- rules that lead on --- */

/* goto any4 */
static void rule_goto(struct nft_tx *tx, const char *chain, const char *target)
{
	struct rule rule = rule_begin(tx, chain);

	verdict(&rule, NFT_GOTO, target);
	rule_end(&rule);
}

/* meta nfproto ipv4 jump granted4 */
static void rule_jump_family(struct nft_tx *tx, const char *chain, const struct family *f)
{
	struct rule rule = rule_begin(tx, chain);

	load_meta(&rule, NFT_META_NFPROTO, NFT_REG32_00);
	match_u8(&rule, NFT_REG32_00, f->nfproto);
	verdict(&rule, NFT_JUMP, f->granted);
	rule_end(&rule);
}

/* meta l4proto tcp goto ports4; in the chains for ICMP errors: ct protocol tcp goto error-ports4 */
static void rule_goto_proto(struct nft_tx *tx, const char *chain, enum subject subject,
			    uint8_t proto, const char *target)
{
	struct rule rule = rule_begin(tx, chain);

	if (subject == SUBJECT_INNER)
		load_ct(&rule, NFT_CT_PROTOCOL, NFT_REG32_00);
	else
		load_meta(&rule, NFT_META_L4PROTO, NFT_REG32_00);
	match_u8(&rule, NFT_REG32_00, proto);
	verdict(&rule, NFT_GOTO, target);
	rule_end(&rule);
}

/* ct state related goto errors4 */
static void rule_goto_errors(struct nft_tx *tx, const struct family *f)
{
	static const uint32_t related = NF_CT_STATE_BIT(IP_CT_RELATED), none;
	struct rule rule = rule_begin(tx, f->icmps);

	load_ct(&rule, NFT_CT_STATE, NFT_REG32_00);
	mask(&rule, NFT_REG32_00, &related, sizeof(related));
	compare(&rule, NFT_CMP_NEQ, NFT_REG32_00, &none, sizeof(none));
	verdict(&rule, NFT_GOTO, f->errors);
	rule_end(&rule);
}

static void load_ifname(struct rule *rule, uint32_t key, const char *ifname)
{
	char name[16] = {0}; /* all of it is compared, so that zt0 is not zt01 */

	if (txt_copy(name, sizeof(name), ifname) < 0)
		rule->tx->batch.err = -EINVAL;
	load_meta(rule, key, NFT_REG_1);
	compare(rule, NFT_CMP_EQ, NFT_REG_1, name, sizeof(name));
}

/* iifname "zt0" goto from-overlay */
static void rule_goto_ifname(struct nft_tx *tx, const char *chain, uint32_t key, const char *ifname,
			     const char *target)
{
	struct rule rule = rule_begin(tx, chain);

	load_ifname(&rule, key, ifname);
	verdict(&rule, NFT_GOTO, target);
	rule_end(&rule);
}

/* iifname "lo" accept: a program that talks to its own machine's overlay address */
static void rule_accept_loopback(struct nft_tx *tx, const char *chain, uint32_t key)
{
	struct rule rule = rule_begin(tx, chain);

	load_ifname(&rule, key, "lo");
	verdict(&rule, NF_ACCEPT, NULL);
	rule_end(&rule);
}

/* --- rules that deny --- */

/* counter name "denied-in" drop */
static void rule_drop(struct nft_tx *tx, const char *chain, const char *counter)
{
	struct rule rule = rule_begin(tx, chain);

	count(&rule, counter);
	verdict(&rule, NF_DROP, NULL);
	rule_end(&rule);
}

/* iifname "zt0" counter name "denied-in" drop: nothing is forwarded from or to the overlay */
static void rule_drop_forward(struct nft_tx *tx, uint32_t key, const char *ifname,
			      const char *counter)
{
	struct rule rule = rule_begin(tx, "forward");

	load_ifname(&rule, key, ifname);
	count(&rule, counter);
	verdict(&rule, NF_DROP, NULL);
	rule_end(&rule);
}

static void prefix_mask(const struct prefix *p, uint8_t out[static 16])
{
	memset(out, 0, 16);
	for (unsigned i = 0; i < p->bits; i++)
		out[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

/* meta nfproto ipv4 ip daddr 100.64.0.0/10 goto outside-in: an overlay address on another interface
 */
static void rule_goto_outside(struct nft_tx *tx, const char *chain, const struct prefix *net,
			      const char *target)
{
	const struct family *f = &families[net->addr.family == ADDR_V6];
	struct rule rule = rule_begin(tx, chain);
	uint8_t bits[16];

	prefix_mask(net, bits);
	load_meta(&rule, NFT_META_NFPROTO, NFT_REG_1);
	match_u8(&rule, NFT_REG_1, f->nfproto);
	load_payload(&rule, NFT_PAYLOAD_NETWORK_HEADER, f->dst_at, f->addr_len, NFT_REG_1);
	mask(&rule, NFT_REG_1, bits, f->addr_len);
	compare(&rule, NFT_CMP_EQ, NFT_REG_1, net->addr.b, f->addr_len);
	verdict(&rule, NFT_GOTO, target);
	rule_end(&rule);
}

/* counter name "denied-out" */
static void rule_count(struct nft_tx *tx, const char *chain, const char *counter)
{
	struct rule rule = rule_begin(tx, chain);

	count(&rule, counter);
	rule_end(&rule);
}

/* meta l4proto tcp reject with tcp reset: programs see their connection refused or cut at once */
static void rule_reset(struct nft_tx *tx, const char *chain)
{
	struct rule rule = rule_begin(tx, chain);

	load_meta(&rule, NFT_META_L4PROTO, NFT_REG32_00);
	match_u8(&rule, NFT_REG32_00, IPPROTO_TCP);
	reject(&rule, NFT_REJECT_TCP_RST, 0);
	rule_end(&rule);
}

/* reject with icmpx admin-prohibited */
static void rule_prohibit(struct nft_tx *tx, const char *chain)
{
	struct rule rule = rule_begin(tx, chain);

	reject(&rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
	rule_end(&rule);
}

/* --- table, counters, sets, chains --- */

static void put_table(struct nft_tx *tx, uint16_t type, uint16_t flags)
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

static void put_counter(struct nft_tx *tx, const char *name)
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

/* nft's numbers of data types, which the kernel only keeps: with them `nft list` prints elements as
 * people write them. */
enum {
	TYPE_IPV4 = 7,
	TYPE_IPV6 = 8,
	TYPE_PROTO = 12,
	TYPE_PORT = 13,
	TYPE_MARK = 19,
	TYPE_BITS = 6
};

struct set_shape {
	uint32_t key_type, key_len, flags;
};

static const struct set_shape shapes[NFT_SETS] = {
	[NFT_GRANTS4] = {((TYPE_IPV4 << TYPE_BITS | TYPE_IPV4) << TYPE_BITS | TYPE_PROTO)
					 << TYPE_BITS |
				 TYPE_PORT,
			 16, NFT_SET_TIMEOUT},
	[NFT_GRANTS6] = {((TYPE_IPV6 << TYPE_BITS | TYPE_IPV6) << TYPE_BITS | TYPE_PROTO)
					 << TYPE_BITS |
				 TYPE_PORT,
			 40, NFT_SET_TIMEOUT},
	[NFT_SPANS4] = {(TYPE_IPV4 << TYPE_BITS | TYPE_IPV4) << TYPE_BITS | TYPE_MARK, 12,
			NFT_SET_TIMEOUT},
	[NFT_SPANS6] = {(TYPE_IPV6 << TYPE_BITS | TYPE_IPV6) << TYPE_BITS | TYPE_MARK, 36,
			NFT_SET_TIMEOUT},
	[NFT_CLASSES] = {TYPE_PROTO << TYPE_BITS | TYPE_PORT, 8,
			 NFT_SET_INTERVAL | NFT_SET_CONCAT | NFT_SET_MAP},
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
	nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, TYPE_MARK << TYPE_BITS | TYPE_MARK);
	nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, 8);
	nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, class_fields, sizeof(class_fields));
}

static void put_set(struct nft_tx *tx, enum nft_set set)
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

/* hook: NF_INET_*, or -1 for a chain that others lead to. */
static void put_chain(struct nft_tx *tx, const char *name, int hook)
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

static void put_chains(struct nft_tx *tx)
{
	static const char *const shared[] = {"from-overlay", "to-overlay", "outside-in", "refused"};

	put_chain(tx, "input", NF_INET_LOCAL_IN);
	put_chain(tx, "output", NF_INET_LOCAL_OUT);
	put_chain(tx, "forward", NF_INET_FORWARD);
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		put_chain(tx, shared[i], -1);
	for (size_t i = 0; i < FAMILIES; i++) {
		const struct family *f = &families[i];
		const char *const own[] = {f->granted, f->ports,       f->icmps,    f->any,
					   f->errors,  f->error_ports, f->error_any};

		for (size_t j = 0; j < sizeof(own) / sizeof(own[0]); j++)
			put_chain(tx, own[j], -1);
	}
}

/* --- the rules of each chain --- */

static void put_hooks(struct nft_tx *tx, const char *ifname, const struct kstate *s)
{
	const struct prefix *nets[] = {&s->net4, &s->net6};

	rule_goto_ifname(tx, "input", NFT_META_IIFNAME, ifname, "from-overlay");
	rule_accept_loopback(tx, "input", NFT_META_IIFNAME);
	rule_goto_ifname(tx, "output", NFT_META_OIFNAME, ifname, "to-overlay");
	rule_accept_loopback(tx, "output", NFT_META_OIFNAME);
	for (size_t i = 0; i < 2; i++) {
		if (nets[i]->addr.family == ADDR_NONE)
			continue;
		rule_goto_outside(tx, "input", nets[i], "outside-in");
		rule_goto_outside(tx, "output", nets[i], "refused");
	}
	rule_drop_forward(tx, NFT_META_IIFNAME, ifname, denied_in);
	rule_drop_forward(tx, NFT_META_OIFNAME, ifname, denied_out);
}

static void put_ends(struct nft_tx *tx)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		rule_jump_family(tx, "from-overlay", &families[i]);
		rule_jump_family(tx, "to-overlay", &families[i]);
	}
	rule_drop(tx, "from-overlay", denied_in);
	rule_drop(tx, "outside-in", denied_in);
	rule_goto(tx, "to-overlay", "refused");
	rule_count(tx, "refused", denied_out);
	rule_reset(tx, "refused");
	rule_prohibit(tx, "refused");
}

/* Ports are read only from headers that have them: the chains for ports are reached by TCP and UDP
 * alone. */
static void put_family(struct nft_tx *tx, const struct family *f)
{
	rule_goto_proto(tx, f->granted, SUBJECT_PACKET, IPPROTO_TCP, f->ports);
	rule_goto_proto(tx, f->granted, SUBJECT_PACKET, IPPROTO_UDP, f->ports);
	rule_goto_proto(tx, f->granted, SUBJECT_PACKET, f->icmp, f->icmps);
	rule_goto(tx, f->granted, f->any);

	rules_permit(tx, f, f->ports, PERMIT_PORT, SUBJECT_PACKET);
	rules_permit(tx, f, f->ports, PERMIT_SPAN, SUBJECT_PACKET);
	rule_goto(tx, f->ports, f->any);

	rule_goto_errors(tx, f);
	rules_permit(tx, f, f->icmps, PERMIT_ECHO, SUBJECT_PACKET);
	rule_goto(tx, f->icmps, f->any);

	rules_permit(tx, f, f->any, PERMIT_ANY, SUBJECT_PACKET);
}

static void put_family_errors(struct nft_tx *tx, const struct family *f)
{
	rule_goto_proto(tx, f->errors, SUBJECT_INNER, IPPROTO_TCP, f->error_ports);
	rule_goto_proto(tx, f->errors, SUBJECT_INNER, IPPROTO_UDP, f->error_ports);
	rules_permit(tx, f, f->errors, PERMIT_ECHO, SUBJECT_INNER);
	rule_goto(tx, f->errors, f->error_any);

	rules_permit(tx, f, f->error_ports, PERMIT_PORT, SUBJECT_INNER);
	rules_permit(tx, f, f->error_ports, PERMIT_SPAN, SUBJECT_INNER);
	rule_goto(tx, f->error_ports, f->error_any);

	rules_permit(tx, f, f->error_any, PERMIT_ANY, SUBJECT_INNER);
}

/* Deleting what is not there is an error, so it is made first. */
void nft_rules_del(struct nft_tx *tx)
{
	put_table(tx, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ECHO);
	put_table(tx, NFT_MSG_DELTABLE, 0);
}

void nft_rules_put(struct nft_tx *tx, const char *ifname, const struct kstate *s)
{
	nft_rules_del(tx);
	put_table(tx, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	put_counter(tx, denied_in);
	put_counter(tx, denied_out);
	for (enum nft_set set = 0; set < NFT_SETS; set++)
		put_set(tx, set);
	put_chains(tx);
	put_hooks(tx, ifname, s);
	put_ends(tx);
	for (size_t i = 0; i < FAMILIES; i++) {
		put_family(tx, &families[i]);
		put_family_errors(tx, &families[i]);
	}
	for (size_t i = 0; i < s->n_spans; i++)
		nft_tx_span_add(tx, &s->spans[i]);
}
