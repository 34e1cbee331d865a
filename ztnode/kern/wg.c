/* Kernel WireGuard by generic netlink (wg.h; linux/wireguard.h describes the messages). */
#include "ztnode/kern/wg.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/genetlink.h>
#include <linux/wireguard.h>

enum {
	PEER_ROOM = 320, /* one peer's attributes at most: 230 bytes */
	BATCH_MAX = 4 * NL_MESSAGE_MAX,
};

static struct nlmsghdr *start_device(struct nl_request *r, uint16_t family, uint8_t cmd,
				     int ifindex)
{
	void *extra;
	struct nlmsghdr *nlh = nl_start(r, family, 0, sizeof(struct genlmsghdr), &extra);

	*(struct genlmsghdr *)extra = (struct genlmsghdr){.cmd = cmd, .version = WG_GENL_VERSION};
	mnl_attr_put_u32(nlh, WGDEVICE_A_IFINDEX, (uint32_t)ifindex);
	return nlh;
}

/* --- family --- */

static const struct nl_policy family_policy[CTRL_ATTR_MAX + 1] = {
	[CTRL_ATTR_FAMILY_ID] = {NL_BYTES, 2},
};

static int parse_family(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *tb[CTRL_ATTR_MAX + 1];
	int err = nl_parse(nlh, sizeof(struct genlmsghdr), family_policy, tb, CTRL_ATTR_MAX + 1);

	if (!err && tb[CTRL_ATTR_FAMILY_ID])
		*(uint16_t *)arg = mnl_attr_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return err;
}

int wg_find_family(struct nl *nl, uint16_t *ret)
{
	struct nl_request mem;
	uint16_t family = 0;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, GENL_ID_CTRL, 0, sizeof(struct genlmsghdr), &extra);
	int err;

	*(struct genlmsghdr *)extra = (struct genlmsghdr){.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	err = nl_talk(nl, nlh, parse_family, &family);
	if (err == -ENOENT || (!err && !family))
		return -EOPNOTSUPP;
	if (!err)
		*ret = family;
	return err;
}

/* --- read --- */

struct device_rows {
	struct key pub;
	uint16_t port;
	struct nl_rows peers;
};

static const struct nl_policy device_policy[WGDEVICE_A_MAX + 1] = {
	[WGDEVICE_A_PUBLIC_KEY] = {NL_BYTES, WG_KEY_LEN},
	[WGDEVICE_A_LISTEN_PORT] = {NL_BYTES, 2},
	[WGDEVICE_A_PEERS] = {NL_NEST, 0},
};

static const struct nl_policy peer_policy[WGPEER_A_MAX + 1] = {
	[WGPEER_A_PUBLIC_KEY] = {NL_BYTES, WG_KEY_LEN},
	[WGPEER_A_PRESHARED_KEY] = {NL_BYTES, WG_KEY_LEN},
	[WGPEER_A_ENDPOINT] = {NL_BYTES, sizeof(struct sockaddr_in)},
	[WGPEER_A_LAST_HANDSHAKE_TIME] = {NL_BYTES, 2 * sizeof(int64_t)},
	[WGPEER_A_RX_BYTES] = {NL_BYTES, 8},
	[WGPEER_A_TX_BYTES] = {NL_BYTES, 8},
	[WGPEER_A_ALLOWEDIPS] = {NL_NEST, 0},
};

static const struct nl_policy allowed_policy[WGALLOWEDIP_A_MAX + 1] = {
	[WGALLOWEDIP_A_FAMILY] = {NL_BYTES, 2},
	[WGALLOWEDIP_A_IPADDR] = {NL_BYTES, 4},
	[WGALLOWEDIP_A_CIDR_MASK] = {NL_BYTES, 1},
};

static void parse_psk(const struct nlattr *attr, struct kpeer *p)
{
	static const uint8_t none[WG_KEY_LEN];
	const uint8_t *bytes = mnl_attr_get_payload(attr);

	memcpy(p->psk.b, bytes, WG_KEY_LEN);
	p->has_psk = memcmp(bytes, none, WG_KEY_LEN) != 0;
}

static void parse_endpoint(const struct nlattr *attr, struct endpoint *ret)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memcpy(&v4, mnl_attr_get_payload(attr), sizeof(v4));
	if (v4.sin_family == AF_INET) {
		ret->addr = addr_v4((const uint8_t *)&v4.sin_addr);
		ret->port = ntohs(v4.sin_port);
	} else if (v4.sin_family == AF_INET6 && mnl_attr_get_payload_len(attr) >= sizeof(v6)) {
		memcpy(&v6, mnl_attr_get_payload(attr), sizeof(v6));
		ret->addr = addr_v6(v6.sin6_addr.s6_addr);
		ret->port = ntohs(v6.sin6_port);
	}
}

static int parse_allowed(const struct nlattr *attr, struct prefix *ret)
{
	const struct nlattr *tb[WGALLOWEDIP_A_MAX + 1];
	const struct nlattr *ip;
	int err = nl_parse_nest(attr, allowed_policy, tb, WGALLOWEDIP_A_MAX + 1);

	if (err)
		return err;
	ip = tb[WGALLOWEDIP_A_IPADDR];
	if (!tb[WGALLOWEDIP_A_FAMILY] || !ip || !tb[WGALLOWEDIP_A_CIDR_MASK])
		return -EPROTO;
	ret->bits = mnl_attr_get_u8(tb[WGALLOWEDIP_A_CIDR_MASK]);
	if (mnl_attr_get_u16(tb[WGALLOWEDIP_A_FAMILY]) == AF_INET)
		ret->addr = addr_v4(mnl_attr_get_payload(ip));
	else if (mnl_attr_get_payload_len(ip) >= 16)
		ret->addr = addr_v6(mnl_attr_get_payload(ip));
	else
		return -EPROTO;
	return 0;
}

/* Counts beyond what fits; settle_allowed makes of that something that differs from all that is
 * wanted. */
static int add_allowed(const struct nlattr *list, struct kpeer *p)
{
	struct nl_attrs it = nl_attrs_in(list);
	const struct nlattr *attr;

	while ((attr = nl_attrs_next(&it))) {
		struct prefix one;
		int err = parse_allowed(attr, &one);

		if (err)
			return err;
		if (p->n_allowed < KSTATE_ALLOWED_MAX)
			p->allowed[p->n_allowed] = one;
		p->n_allowed++;
	}
	return 0;
}

static int parse_peer_fields(const struct nlattr *const *tb, struct kpeer *p)
{
	int64_t handshake[2]; /* seconds, nanoseconds */

	if (tb[WGPEER_A_PRESHARED_KEY])
		parse_psk(tb[WGPEER_A_PRESHARED_KEY], p);
	if (tb[WGPEER_A_ENDPOINT])
		parse_endpoint(tb[WGPEER_A_ENDPOINT], &p->endpoint);
	if (tb[WGPEER_A_LAST_HANDSHAKE_TIME]) {
		memcpy(handshake, mnl_attr_get_payload(tb[WGPEER_A_LAST_HANDSHAKE_TIME]),
		       sizeof(handshake));
		p->last_handshake_s = handshake[0];
	}
	if (tb[WGPEER_A_RX_BYTES])
		p->rx_bytes = mnl_attr_get_u64(tb[WGPEER_A_RX_BYTES]);
	if (tb[WGPEER_A_TX_BYTES])
		p->tx_bytes = mnl_attr_get_u64(tb[WGPEER_A_TX_BYTES]);
	return tb[WGPEER_A_ALLOWEDIPS] ? add_allowed(tb[WGPEER_A_ALLOWEDIPS], p) : 0;
}

/* A peer whose allowed IPs did not fit in one message comes again in the next, with the rest of
 * them. */
static int parse_peer(const struct nlattr *attr, struct nl_rows *peers)
{
	const struct nlattr *tb[WGPEER_A_MAX + 1];
	struct kpeer *p = peers->n ? (struct kpeer *)peers->items + peers->n - 1 : NULL;
	const void *pub;
	int err = nl_parse_nest(attr, peer_policy, tb, WGPEER_A_MAX + 1);

	if (err || !tb[WGPEER_A_PUBLIC_KEY])
		return err ? err : -EPROTO;
	pub = mnl_attr_get_payload(tb[WGPEER_A_PUBLIC_KEY]);
	if (!p || memcmp(p->pub.b, pub, WG_KEY_LEN) != 0) {
		p = nl_rows_push(peers);
		if (!p)
			return -ENOMEM;
		memcpy(p->pub.b, pub, WG_KEY_LEN);
	}
	return parse_peer_fields(tb, p);
}

static int parse_device(const struct nlmsghdr *nlh, void *arg)
{
	struct device_rows *rows = arg;
	const struct nlattr *tb[WGDEVICE_A_MAX + 1], *attr;
	struct nl_attrs it;
	int err = nl_parse(nlh, sizeof(struct genlmsghdr), device_policy, tb, WGDEVICE_A_MAX + 1);

	if (err)
		return err;
	if (tb[WGDEVICE_A_PUBLIC_KEY])
		memcpy(rows->pub.b, mnl_attr_get_payload(tb[WGDEVICE_A_PUBLIC_KEY]), WG_KEY_LEN);
	if (tb[WGDEVICE_A_LISTEN_PORT])
		rows->port = mnl_attr_get_u16(tb[WGDEVICE_A_LISTEN_PORT]);
	if (!tb[WGDEVICE_A_PEERS])
		return 0;
	it = nl_attrs_in(tb[WGDEVICE_A_PEERS]);
	while (!err && (attr = nl_attrs_next(&it)))
		err = parse_peer(attr, &rows->peers);
	return err;
}

static void reset_device(void *arg)
{
	struct device_rows *rows = arg;

	rows->pub = (struct key){0};
	rows->port = 0;
	rows->peers.n = 0;
}

static int compare_allowed(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int r = addr_compare(&x->addr, &y->addr);

	return r ? r : (int)x->bits - (int)y->bits;
}

static void settle_allowed(struct kpeer *p)
{
	if (p->n_allowed > KSTATE_ALLOWED_MAX)
		p->n_allowed = 0;
	qsort(p->allowed, p->n_allowed, sizeof(p->allowed[0]), compare_allowed);
}

int wg_read(struct nl *nl, uint16_t family, int ifindex, struct arena *a, struct wg_device *ret)
{
	struct nl_request mem;
	struct device_rows rows = {.peers = {.arena = a, .size = sizeof(struct kpeer)}};
	struct nlmsghdr *nlh = start_device(&mem, family, WG_CMD_GET_DEVICE, ifindex);
	struct kpeer *peers;
	int err = nl_dump(nl, nlh, reset_device, parse_device, &rows);

	if (err)
		return err;
	peers = rows.peers.items;
	for (size_t i = 0; i < rows.peers.n; i++)
		settle_allowed(&peers[i]);
	if (rows.peers.n)
		qsort(peers, rows.peers.n, sizeof(*peers), kpeer_compare);
	*ret = (struct wg_device){rows.pub, rows.port, peers, rows.peers.n};
	return 0;
}

/* --- the interface's own --- */

int wg_set(struct nl *nl, uint16_t family, int ifindex, const struct secret *priv,
	   const uint16_t *port)
{
	struct nl_request mem;
	struct nlmsghdr *nlh = start_device(&mem, family, WG_CMD_SET_DEVICE, ifindex);
	int err;

	if (priv)
		mnl_attr_put(nlh, WGDEVICE_A_PRIVATE_KEY, sizeof(priv->b), priv->b);
	if (port)
		mnl_attr_put_u16(nlh, WGDEVICE_A_LISTEN_PORT, *port);
	err = nl_talk(nl, nlh, NULL, NULL);
	explicit_bzero(&mem, sizeof(mem));
	return err;
}

int wg_clear_peers(struct nl *nl, uint16_t family, int ifindex)
{
	struct nl_request mem;
	struct nlmsghdr *nlh = start_device(&mem, family, WG_CMD_SET_DEVICE, ifindex);

	mnl_attr_put_u32(nlh, WGDEVICE_A_FLAGS, WGDEVICE_F_REPLACE_PEERS);
	return nl_talk(nl, nlh, NULL, NULL);
}

/* --- peers --- */

static void put_endpoint(struct nlmsghdr *nlh, const struct endpoint *e)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	if (e->addr.family == ADDR_V4) {
		memcpy(&v4.sin_addr, e->addr.b, 4);
		mnl_attr_put(nlh, WGPEER_A_ENDPOINT, sizeof(v4), &v4);
	} else if (e->addr.family == ADDR_V6) {
		memcpy(&v6.sin6_addr, e->addr.b, 16);
		mnl_attr_put(nlh, WGPEER_A_ENDPOINT, sizeof(v6), &v6);
	}
}

static void put_allowed(struct nlmsghdr *nlh, const struct kpeer *p)
{
	struct nlattr *list = mnl_attr_nest_start(nlh, WGPEER_A_ALLOWEDIPS);

	for (size_t i = 0; i < p->n_allowed; i++) {
		const struct prefix *a = &p->allowed[i];
		struct nlattr *one = mnl_attr_nest_start(nlh, 0);

		mnl_attr_put_u16(nlh, WGALLOWEDIP_A_FAMILY,
				 a->addr.family == ADDR_V4 ? AF_INET : AF_INET6);
		mnl_attr_put(nlh, WGALLOWEDIP_A_IPADDR, addr_bits(&a->addr) / 8, a->addr.b);
		mnl_attr_put_u8(nlh, WGALLOWEDIP_A_CIDR_MASK, a->bits);
		mnl_attr_nest_end(nlh, one);
	}
	mnl_attr_nest_end(nlh, list);
}

/* A preshared key of zeros is none, so a peer that has lost its own gets that. */
static void put_psk(struct nlmsghdr *nlh, const struct kpeer *p)
{
	static const struct secret none;

	mnl_attr_put(nlh, WGPEER_A_PRESHARED_KEY, WG_KEY_LEN, p->has_psk ? p->psk.b : none.b);
}

/* What a known peer gets is only what differs, and only if it is still there: made anew by it, it
 * would have neither allowed IPs nor a preshared key. */
static void put_peer_fields(struct nlmsghdr *nlh, const struct op *op)
{
	const struct kpeer *p = op->peer;

	if (op->kind == OP_PEER_DEL) {
		mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME);
	} else if (op->kind == OP_PEER_ENDPOINT) {
		mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY);
		put_endpoint(nlh, &p->endpoint);
	} else if (op->psk_only) {
		mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY);
		put_psk(nlh, p);
	} else {
		mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
		put_psk(nlh, p);
		put_endpoint(nlh, &p->endpoint);
		put_allowed(nlh, p);
	}
}

/* 1 done, 0 the message is full. */
static int append_peer(struct nlmsghdr *nlh, const struct op *op)
{
	struct nlattr *nest;

	if (nlh->nlmsg_len + PEER_ROOM > NL_NEST_MAX)
		return 0;
	nest = mnl_attr_nest_start(nlh, 0);
	mnl_attr_put(nlh, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, op->peer->pub.b);
	put_peer_fields(nlh, op);
	mnl_attr_nest_end(nlh, nest);
	return 1;
}

/* One message with as many of ops as it takes; *ret_n of them. 1 done, 0 the batch is full, <0
 * error. */
static int append_message(struct nl_batch *b, uint16_t family, int ifindex, const struct op *ops,
			  size_t n, size_t *ret_n)
{
	void *extra;
	struct nlmsghdr *nlh;
	struct nlattr *nest;
	size_t i = 0;

	if (!nl_batch_has_room(b, NL_MESSAGE_MAX))
		return 0;
	nlh = nl_batch_start(b, NL_MESSAGE_MAX, family, 0, sizeof(struct genlmsghdr), &extra);
	if (!nlh)
		return b->err;
	*(struct genlmsghdr *)extra =
		(struct genlmsghdr){.cmd = WG_CMD_SET_DEVICE, .version = WG_GENL_VERSION};
	mnl_attr_put_u32(nlh, WGDEVICE_A_IFINDEX, (uint32_t)ifindex);
	nest = mnl_attr_nest_start(nlh, WGDEVICE_A_PEERS);
	while (i < n && append_peer(nlh, &ops[i]))
		i++;
	mnl_attr_nest_end(nlh, nest);
	nl_batch_end(b, nlh);
	*ret_n = i;
	return 1;
}

/* As many messages as fit, then send them. *ret_n: ops that are done. */
static int send_some(struct nl *nl, struct nl_batch *b, uint16_t family, int ifindex,
		     const struct op *ops, size_t n, size_t *ret_n)
{
	uint32_t failed;
	size_t done = 0, taken = 0;
	int r = 1;

	nl_batch_clear(b);
	while (done < n && r == 1) {
		r = append_message(b, family, ifindex, ops + done, n - done, &taken);
		if (r == 1)
			done += taken;
	}
	if (r < 0)
		return r;
	*ret_n = done;
	return nl_batch_send(nl, b, b->n - 1, NULL, NULL, &failed);
}

int wg_peers(struct nl *nl, uint16_t family, int ifindex, const struct op *ops, size_t n)
{
	struct nl_batch b;
	int err = 0;

	nl_batch_init(&b, BATCH_MAX);
	for (size_t i = 0, taken = 0; !err && i < n; i += taken)
		err = send_some(nl, &b, family, ifindex, ops + i, n - i, &taken);
	nl_batch_done(&b);
	return err;
}
