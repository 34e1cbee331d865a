/* What our nftables table holds (nft_rules.h). Every packet of the overlay is judged by set lookups
 * alone, so its cost does not grow with the number of grants:
 *
 *     input:  iifname zt0 -> from-overlay -+-> granted4/6 -+-- tcp, udp ---------> ports4/6 -+
 *     output: oifname zt0 -> to-overlay ---+               +-- icmp ------------> icmp4/6 ---+
 *                                                          +-- other protocols --------------+
 *                                                                                            |
 *                                  icmp4/6 -- ct state related -> errors4/6         any4/6 <-+
 *                                                       (the same, for the packet inside)
 *
 * A chain that accepts ends the walk; one that ends without that leads back to from-overlay or
 * to-overlay, which deny. Registers hold a set's key: source, destination, then either protocol and
 * port or the class. */
#include "ztnode/kern/nft_rules.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>

#include "zt/txt.h"
#include "ztnode/kern/nft_expr.h"
#include "ztnode/kern/nft_table.h"

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
	{
		.nfproto = NFPROTO_IPV4,
		.addr_len = 4,
		.src_at = 12,
		.dst_at = 16,
		.icmp = IPPROTO_ICMP,
		.echo_request = ICMP_ECHO,
		.echo_reply = ICMP_ECHOREPLY,
		.ct_src = NFT_CT_SRC_IP,
		.ct_dst = NFT_CT_DST_IP,
		.grants = NFT_GRANTS4,
		.spans = NFT_SPANS4,
		.granted = "granted4",
		.ports = "ports4",
		.icmps = "icmp4",
		.any = "any4",
		.errors = "errors4",
		.error_ports = "error-ports4",
		.error_any = "error-any4",
	},
	{
		.nfproto = NFPROTO_IPV6,
		.addr_len = 16,
		.src_at = 8,
		.dst_at = 24,
		.icmp = IPPROTO_ICMPV6,
		.echo_request = ICMP6_ECHO_REQUEST,
		.echo_reply = ICMP6_ECHO_REPLY,
		.ct_src = NFT_CT_SRC_IP6,
		.ct_dst = NFT_CT_DST_IP6,
		.grants = NFT_GRANTS6,
		.spans = NFT_SPANS6,
		.granted = "granted6",
		.ports = "ports6",
		.icmps = "icmp6",
		.any = "any6",
		.errors = "errors6",
		.error_ports = "error-ports6",
		.error_any = "error-any6",
	},
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

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
static void load_addrs(struct nft_rule *rule, const struct family *f, uint8_t dir)
{
	bool turned = dir == IP_CT_DIR_REPLY;

	nft_rule_load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, turned ? f->dst_at : f->src_at,
			      f->addr_len, reg_src());
	nft_rule_load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, turned ? f->src_at : f->dst_at,
			      f->addr_len, reg_dst(f));
}

static void load_inner_addrs(struct nft_rule *rule, const struct family *f)
{
	nft_rule_load_ct_original(rule, f->ct_src, reg_src());
	nft_rule_load_ct_original(rule, f->ct_dst, reg_dst(f));
}

static void load_port(struct nft_rule *rule, enum subject subject, uint8_t dir, uint32_t reg)
{
	if (subject == SUBJECT_INNER) {
		nft_rule_load_ct(rule, NFT_CT_PROTOCOL, reg);
		nft_rule_load_ct_original(rule, NFT_CT_PROTO_DST, reg + 1);
	} else {
		nft_rule_load_meta(rule, NFT_META_L4PROTO, reg);
		nft_rule_load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER,
				      dir == IP_CT_DIR_REPLY ? 0 : 2, 2, reg + 1);
	}
}

/* Protocol ICMP and "port" 0, if it is an echo. Of the inner packet's connection the tracker keeps
 * the request's type and code as destination port. */
static void load_echo(struct nft_rule *rule, const struct family *f, enum subject subject,
		      uint8_t dir, uint32_t reg)
{
	uint8_t request[2] = {f->echo_request, 0};

	if (subject == SUBJECT_INNER) {
		nft_rule_load_ct(rule, NFT_CT_PROTOCOL, reg);
		nft_rule_match_u8(rule, reg, f->icmp);
		nft_rule_load_ct_original(rule, NFT_CT_PROTO_DST, reg + 1);
		nft_rule_compare(rule, NFT_CMP_EQ, reg + 1, request, sizeof(request));
	} else {
		nft_rule_load_meta(rule, NFT_META_L4PROTO, reg);
		nft_rule_match_u8(rule, reg, f->icmp);
		nft_rule_load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, reg + 1);
		nft_rule_match_u8(rule, reg + 1,
				  dir == IP_CT_DIR_REPLY ? f->echo_reply : f->echo_request);
	}
	nft_rule_load_value(rule, 0, reg + 1);
}

/* The class of protocol and port. The map gives two words, of which the second lands in the class's
 * register and the first in the one before it, which an address fills later: `nft list` of 1.0.6
 * aborts on a key with a map's result in it, and this way it knows of nothing but the value that
 * was there before. No element has that one. */
static void load_class(struct nft_rule *rule, const struct family *f, enum subject subject,
		       uint8_t dir)
{
	nft_rule_load_value(rule, UINT32_MAX, reg_service(f));
	load_port(rule, subject, dir, reg_scratch(f));
	nft_rule_lookup_map(rule, NFT_CLASSES, reg_scratch(f), reg_service(f) - 1);
}

static void load_service(struct nft_rule *rule, const struct family *f, enum permit permit,
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
		nft_rule_load_value(rule, 0, reg);
		break;
	}
}

/* --- rules that accept --- */

/* Direction and key, by the packet's own header: what others' address translation claims does not
 * count. For original and IPv4; replies and IPv6 are alike:
 *
 *     ct direction original ip saddr . ip daddr . meta l4proto . th dport @grants4 accept
 *     ct direction original ip saddr . ip daddr . CLASS @spans4 accept
 *     ct direction original icmp type echo-request ip saddr . ip daddr . icmp . 0 @grants4 accept
 *     ct direction original ip saddr . ip daddr . 0 @spans4 accept
 *     ct direction reply ip daddr . ip saddr . meta l4proto . th sport @grants4 accept
 *
 * For an ICMP error (chains errors, error-ports, error-any) both must be granted: the connection
 * that it is about, as it began, and the same service between the error's own two ends. So no peer
 * can speak for another. Before "accept", with PORT for ct protocol . ct original proto-dst:
 *
 *     ct original ip saddr . ct original ip daddr . PORT @grants4
 *     ip saddr . ip daddr . PORT @grants4 */
static void rule_permit(struct nft_tx *tx, const struct family *f, const char *chain,
			enum permit permit, enum subject subject, uint8_t dir)
{
	enum nft_set set = permit == PERMIT_PORT || permit == PERMIT_ECHO ? f->grants : f->spans;
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_load_ct(&rule, NFT_CT_DIRECTION, reg_src());
	nft_rule_match_u8(&rule, reg_src(), dir);
	nft_rule_load_meta(&rule, NFT_META_NFPROTO, reg_src());
	nft_rule_match_u8(&rule, reg_src(), f->nfproto);
	load_service(&rule, f, permit, subject, dir);
	if (subject == SUBJECT_INNER) {
		load_inner_addrs(&rule, f);
		nft_rule_lookup(&rule, set, reg_src());
	}
	load_addrs(&rule, f, dir);
	nft_rule_lookup(&rule, set, reg_src());
	nft_rule_verdict(&rule, NF_ACCEPT, NULL);
	nft_rule_end(&rule);
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
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_verdict(&rule, NFT_GOTO, target);
	nft_rule_end(&rule);
}

/* meta nfproto ipv4 jump granted4 */
static void rule_jump_family(struct nft_tx *tx, const char *chain, const struct family *f)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_load_meta(&rule, NFT_META_NFPROTO, NFT_REG32_00);
	nft_rule_match_u8(&rule, NFT_REG32_00, f->nfproto);
	nft_rule_verdict(&rule, NFT_JUMP, f->granted);
	nft_rule_end(&rule);
}

/* meta l4proto tcp goto ports4; in the chains for ICMP errors: ct protocol tcp goto error-ports4 */
static void rule_goto_proto(struct nft_tx *tx, const char *chain, enum subject subject,
			    uint8_t proto, const char *target)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	if (subject == SUBJECT_INNER)
		nft_rule_load_ct(&rule, NFT_CT_PROTOCOL, NFT_REG32_00);
	else
		nft_rule_load_meta(&rule, NFT_META_L4PROTO, NFT_REG32_00);
	nft_rule_match_u8(&rule, NFT_REG32_00, proto);
	nft_rule_verdict(&rule, NFT_GOTO, target);
	nft_rule_end(&rule);
}

/* ct state related goto errors4 */
static void rule_goto_errors(struct nft_tx *tx, const struct family *f)
{
	static const uint32_t related = NF_CT_STATE_BIT(IP_CT_RELATED), none;
	struct nft_rule rule = nft_rule_begin(tx, f->icmps);

	nft_rule_load_ct(&rule, NFT_CT_STATE, NFT_REG32_00);
	nft_rule_mask(&rule, NFT_REG32_00, &related, sizeof(related));
	nft_rule_compare(&rule, NFT_CMP_NEQ, NFT_REG32_00, &none, sizeof(none));
	nft_rule_verdict(&rule, NFT_GOTO, f->errors);
	nft_rule_end(&rule);
}

static void load_ifname(struct nft_rule *rule, uint32_t key, const char *ifname)
{
	char name[16] = {0}; /* all of it is compared, so that zt0 is not zt01 */

	if (txt_copy(name, sizeof(name), ifname) < 0)
		rule->tx->batch.err = -EINVAL;
	nft_rule_load_meta(rule, key, NFT_REG_1);
	nft_rule_compare(rule, NFT_CMP_EQ, NFT_REG_1, name, sizeof(name));
}

/* iifname "zt0" goto from-overlay */
static void rule_goto_ifname(struct nft_tx *tx, const char *chain, uint32_t key, const char *ifname,
			     const char *target)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	load_ifname(&rule, key, ifname);
	nft_rule_verdict(&rule, NFT_GOTO, target);
	nft_rule_end(&rule);
}

/* iifname "lo" accept: a program that talks to its own machine's overlay address */
static void rule_accept_loopback(struct nft_tx *tx, const char *chain, uint32_t key)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	load_ifname(&rule, key, "lo");
	nft_rule_verdict(&rule, NF_ACCEPT, NULL);
	nft_rule_end(&rule);
}

/* --- rules that deny --- */

/* counter name "denied-in" drop */
static void rule_drop(struct nft_tx *tx, const char *chain, const char *counter)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_count(&rule, counter);
	nft_rule_verdict(&rule, NF_DROP, NULL);
	nft_rule_end(&rule);
}

/* iifname "zt0" counter name "denied-in" drop: nothing is forwarded from or to the overlay */
static void rule_drop_forward(struct nft_tx *tx, uint32_t key, const char *ifname,
			      const char *counter)
{
	struct nft_rule rule = nft_rule_begin(tx, "forward");

	load_ifname(&rule, key, ifname);
	nft_rule_count(&rule, counter);
	nft_rule_verdict(&rule, NF_DROP, NULL);
	nft_rule_end(&rule);
}

static void prefix_mask(const struct prefix *p, uint8_t out[static 16])
{
	memset(out, 0, 16);
	for (unsigned i = 0; i < p->bits; i++)
		out[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

/* ip daddr 100.64.0.0/10 goto outside-in: an overlay address on another interface */
static void rule_goto_outside(struct nft_tx *tx, const char *chain, const struct prefix *net,
			      const char *target)
{
	const struct family *f = &families[net->addr.family == ADDR_V6];
	struct nft_rule rule = nft_rule_begin(tx, chain);
	uint8_t bits[16];

	prefix_mask(net, bits);
	nft_rule_load_meta(&rule, NFT_META_NFPROTO, NFT_REG_1);
	nft_rule_match_u8(&rule, NFT_REG_1, f->nfproto);
	nft_rule_load_payload(&rule, NFT_PAYLOAD_NETWORK_HEADER, f->dst_at, f->addr_len, NFT_REG_1);
	nft_rule_mask(&rule, NFT_REG_1, bits, f->addr_len);
	nft_rule_compare(&rule, NFT_CMP_EQ, NFT_REG_1, net->addr.b, f->addr_len);
	nft_rule_verdict(&rule, NFT_GOTO, target);
	nft_rule_end(&rule);
}

/* counter name "denied-out" */
static void rule_count_denied(struct nft_tx *tx, const char *chain, const char *counter)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_count(&rule, counter);
	nft_rule_end(&rule);
}

/* meta l4proto tcp reject with tcp reset: programs see their connection refused or cut at once */
static void rule_reset(struct nft_tx *tx, const char *chain)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_load_meta(&rule, NFT_META_L4PROTO, NFT_REG32_00);
	nft_rule_match_u8(&rule, NFT_REG32_00, IPPROTO_TCP);
	nft_rule_reject(&rule, NFT_REJECT_TCP_RST, 0);
	nft_rule_end(&rule);
}

/* reject with icmpx admin-prohibited */
static void rule_prohibit(struct nft_tx *tx, const char *chain)
{
	struct nft_rule rule = nft_rule_begin(tx, chain);

	nft_rule_reject(&rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
	nft_rule_end(&rule);
}

/* --- chains --- */

static void put_chains(struct nft_tx *tx)
{
	static const char *const shared[] = {"from-overlay", "to-overlay", "outside-in", "refused"};

	nft_put_chain(tx, "input", NF_INET_LOCAL_IN);
	nft_put_chain(tx, "output", NF_INET_LOCAL_OUT);
	nft_put_chain(tx, "forward", NF_INET_FORWARD);
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		nft_put_chain(tx, shared[i], -1);
	for (size_t i = 0; i < FAMILIES; i++) {
		const struct family *f = &families[i];
		const char *const own[] = {f->granted, f->ports,       f->icmps,    f->any,
					   f->errors,  f->error_ports, f->error_any};

		for (size_t j = 0; j < sizeof(own) / sizeof(own[0]); j++)
			nft_put_chain(tx, own[j], -1);
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
	rule_count_denied(tx, "refused", denied_out);
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
	nft_put_table(tx, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ECHO);
	nft_put_table(tx, NFT_MSG_DELTABLE, 0);
}

void nft_rules_put(struct nft_tx *tx, const char *ifname, const struct kstate *s)
{
	nft_rules_del(tx);
	nft_put_table(tx, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	nft_put_counter(tx, denied_in);
	nft_put_counter(tx, denied_out);
	for (enum nft_set set = 0; set < NFT_SETS; set++)
		nft_put_set(tx, set);
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
