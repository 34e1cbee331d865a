/* Operations of a plan, done to the kernel (kernel.h). */
#include "ztnode/kern/kernel_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/log.h"
#include "ztnode/kern/link.h"
#include "ztnode/kern/nft_read.h"
#include "ztnode/kern/nft_rules.h"
#include "ztnode/kern/route.h"
#include "ztnode/kern/wg.h"

/* What an execution needs beside the operations. */
struct run {
	struct kernel *k;
	const struct secret *wg_private;
	const struct kstate *fallback;
	int64_t now_ms;
};

/* --- filter --- */

static void add_all(struct nft_tx *tx, const struct kstate *s, int64_t now_ms)
{
	for (size_t i = 0; i < s->n_elems; i++)
		nft_tx_elem_add(tx, &s->elems[i], now_ms);
}

/* The digest of what we wrote counts only if nobody else changed anything from our commit until it
 * was taken. If somebody did, it stays unknown, the next read finds the table not ok, and it is
 * written again. */
static int keep_digest(struct kernel *k, uint32_t generation)
{
	struct key digest;
	uint32_t now;
	int err = nft_digest(k->filter, k->table, &digest);

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = nft_generation(k->filter, &now);
	if (err)
		return err;
	k->digest = digest;
	k->digest_known = generation && generation == now;
	return 0;
}

static int put_table(const struct run *run, const struct op *op)
{
	struct kernel *k = run->k;
	struct nft_tx tx;
	uint32_t generation;
	int err;

	nft_tx_init(&tx, k->table);
	nft_rules_put(&tx, k->ifname, op->state);
	add_all(&tx, op->state, run->now_ms);
	err = nft_tx_commit(&tx, k->filter, &generation);
	nft_tx_done(&tx);
	/* Refused, the table is what it was, and its digest is still right or differs. */
	if (err)
		return err;
	k->digest_known = false;
	return keep_digest(k, generation);
}

static int del_table(const struct run *run, const struct op *op)
{
	struct nft_tx tx;
	uint32_t generation;
	int err;

	(void)op;
	nft_tx_init(&tx, run->k->table);
	nft_rules_del(&tx);
	run->k->digest_known = false;
	err = nft_tx_commit(&tx, run->k->filter, &generation);
	nft_tx_done(&tx);
	return err;
}

static int load(const struct run *run, const struct kstate *s)
{
	struct nft_tx tx;
	uint32_t generation;
	int err;

	nft_tx_init(&tx, run->k->table);
	for (enum nft_set set = 0; set < NFT_CLASSES; set++)
		nft_tx_elems_flush(&tx, set);
	add_all(&tx, s, run->now_ms);
	err = nft_tx_commit(&tx, run->k->filter, &generation);
	nft_tx_done(&tx);
	return err;
}

static int load_elems(const struct run *run, const struct op *op)
{
	return load(run, op->state);
}

/* An element may have timed out since it was read, or be there already: then all of them are
 * loaded, which cannot trip over either. */
static int change_elems(const struct run *run, const struct op *ops, size_t n)
{
	struct nft_tx tx;
	uint32_t generation;
	int err;

	nft_tx_init(&tx, run->k->table);
	for (size_t i = 0; i < n; i++) {
		if (ops[i].kind == OP_ELEM_ADD)
			nft_tx_elem_add(&tx, ops[i].elem, run->now_ms);
		else
			nft_tx_elem_del(&tx, ops[i].elem);
	}
	err = nft_tx_commit(&tx, run->k->filter, &generation);
	nft_tx_done(&tx);
	if ((err == -ENOENT || err == -EEXIST) && run->fallback)
		err = load(run, run->fallback);
	return err;
}

/* --- interface --- */

static int add_link(const struct run *run, const struct op *op)
{
	struct kernel *k = run->k;
	struct link l;
	int err = link_add(k->route, k->ifname);

	(void)op;
	if (!err)
		err = link_find(k->route, k->ifname, &l);
	if (!err)
		k->ifindex = l.index;
	return err;
}

/* By name and kind: an index may have been given to another interface since. */
static int del_link(const struct run *run, const struct op *op)
{
	struct kernel *k = run->k;
	struct link l;
	int err = link_find(k->route, k->ifname, &l);

	(void)op;
	k->ifindex = 0;
	if (err == -ENODEV)
		return 0;
	if (!err && !l.is_wireguard)
		err = -EEXIST;
	if (!err)
		err = wg_clear_peers(k->generic, k->wg_family, l.index);
	if (!err)
		err = link_del(k->route, l.index);
	return err == -ENODEV ? 0 : err;
}

static void log_port(struct kernel *k, uint16_t port)
{
	if (k->port_refused != port)
		log_warn("%s: port %u is in use by another program; WireGuard takes a free one",
			 k->ifname, port);
	k->port_refused = port;
}

/* Of an interface that is up WireGuard keeps the port it has when the wanted one is another's. */
static int set_wireguard(const struct run *run, const struct op *op)
{
	struct kernel *k = run->k;
	uint16_t port = op->state->port;
	int err =
		wg_set(k->generic, k->wg_family, k->ifindex, run->wg_private, port ? &port : NULL);

	if (err != -EADDRINUSE) {
		if (!err)
			k->port_refused = 0;
		return err;
	}
	log_port(k, port);
	return wg_set(k->generic, k->wg_family, k->ifindex, run->wg_private, NULL);
}

/* The port is taken when the interface comes up, so here too it may be another's. */
static int set_up(const struct run *run, const struct op *op)
{
	static const uint16_t any;
	struct kernel *k = run->k;
	int err = link_set_up(k->route, k->ifindex);

	(void)op;
	if (err != -EADDRINUSE)
		return err;
	log_port(k, run->fallback ? run->fallback->port : 0);
	err = wg_set(k->generic, k->wg_family, k->ifindex, NULL, &any);
	return err ? err : link_set_up(k->route, k->ifindex);
}

static int set_mtu(const struct run *run, const struct op *op)
{
	return link_set_mtu(run->k->route, run->k->ifindex, op->state->mtu);
}

static int change_peers(const struct run *run, const struct op *ops, size_t n)
{
	return wg_peers(run->k->generic, run->k->wg_family, run->k->ifindex, ops, n);
}

/* A machine without IPv6, or on which it is switched off, has the overlay's IPv4 all the same. */
static int without_ipv6(struct kernel *k, const struct prefix *p, int err)
{
	bool is_off = err == -EACCES || err == -EOPNOTSUPP || err == -EAFNOSUPPORT;

	if (p->addr.family != ADDR_V6 || !is_off)
		return err;
	if (!k->no_ipv6)
		log_warn("%s: this machine has IPv6 switched off; the overlay has IPv4 only",
			 k->ifname);
	k->no_ipv6 = true;
	return 0;
}

static int add_addr(const struct run *run, const struct op *op)
{
	return without_ipv6(run->k, &op->addr,
			    link_addr_add(run->k->route, run->k->ifindex, &op->addr));
}

static int del_addr(const struct run *run, const struct op *op)
{
	int err = link_addr_del(run->k->route, run->k->ifindex, &op->addr);

	return err == -EADDRNOTAVAIL ? 0 : err;
}

static int add_route(const struct run *run, const struct op *op)
{
	if (op->route.kind == KROUTE_DEV && !run->k->ifindex)
		return -ENODEV;
	return without_ipv6(run->k, &op->route.dst,
			    route_add(run->k->route, run->k->ifindex, &op->route));
}

static int del_route(const struct run *run, const struct op *op)
{
	int err = route_del(run->k->route, run->k->ifindex, &op->route);

	return err == -ESRCH ? 0 : err;
}

/* --- all operations --- */

/* What does an operation, or several neighbours of one group at once; which socket tells the reason
 * of a failure. */
struct handler {
	enum handler_group { GROUP_NONE, GROUP_ELEMS, GROUP_PEERS } group;
	int (*one)(const struct run *run, const struct op *op);
	int (*many)(const struct run *run, const struct op *ops, size_t n);
	enum handler_socket { SOCKET_ROUTE, SOCKET_GENERIC, SOCKET_FILTER } socket;
	bool needs_link;
};

static const struct handler handlers[] = {
	[OP_TABLE_PUT] = {.one = put_table, .socket = SOCKET_FILTER},
	[OP_TABLE_DEL] = {.one = del_table, .socket = SOCKET_FILTER},
	[OP_ELEMS_LOAD] = {.one = load_elems, .socket = SOCKET_FILTER},
	[OP_ELEM_DEL] = {GROUP_ELEMS, NULL, change_elems, SOCKET_FILTER, false},
	[OP_ELEM_ADD] = {GROUP_ELEMS, NULL, change_elems, SOCKET_FILTER, false},
	[OP_LINK_ADD] = {.one = add_link, .socket = SOCKET_ROUTE},
	[OP_LINK_DEL] = {.one = del_link, .socket = SOCKET_ROUTE},
	[OP_WG_SET] = {.one = set_wireguard, .socket = SOCKET_GENERIC, .needs_link = true},
	[OP_PEER_DEL] = {GROUP_PEERS, NULL, change_peers, SOCKET_GENERIC, true},
	[OP_PEER_PUT] = {GROUP_PEERS, NULL, change_peers, SOCKET_GENERIC, true},
	[OP_PEER_ENDPOINT] = {GROUP_PEERS, NULL, change_peers, SOCKET_GENERIC, true},
	[OP_MTU_SET] = {.one = set_mtu, .socket = SOCKET_ROUTE, .needs_link = true},
	[OP_ADDR_ADD] = {.one = add_addr, .socket = SOCKET_ROUTE, .needs_link = true},
	[OP_ADDR_DEL] = {.one = del_addr, .socket = SOCKET_ROUTE, .needs_link = true},
	[OP_LINK_UP] = {.one = set_up, .socket = SOCKET_ROUTE, .needs_link = true},
	[OP_ROUTE_ADD] = {.one = add_route, .socket = SOCKET_ROUTE},
	[OP_ROUTE_DEL] = {.one = del_route, .socket = SOCKET_ROUTE},
};

static const char *reason_of(const struct kernel *k, enum handler_socket socket)
{
	switch (socket) {
	case SOCKET_ROUTE:
		return nl_reason(k->route);
	case SOCKET_GENERIC:
		return nl_reason(k->generic);
	case SOCKET_FILTER:
		return nl_reason(k->filter);
	}
	return "";
}

/* Of several at once the first one is named. */
static int explain(const struct kernel *k, const struct op *op, size_t n, int err, struct diag *d)
{
	char mem[256], what[320];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	op_print(op, NULL, &text);
	if (n > 1)
		snprintf(what, sizeof(what), "cannot do: %s, and %zu more", buf_text(&text), n - 1);
	else
		snprintf(what, sizeof(what), "cannot do: %s", buf_text(&text));
	return kernel_explain(d, err, what, reason_of(k, handlers[op->kind].socket));
}

/* How many operations from the first one on are done at once. */
static size_t group_length(const struct op *ops, size_t n)
{
	enum handler_group group = handlers[ops[0].kind].group;
	size_t len = 1;

	while (group != GROUP_NONE && len < n && handlers[ops[len].kind].group == group)
		len++;
	return len;
}

static int run_group(const struct run *run, const struct op *ops, size_t n)
{
	const struct handler *h = &handlers[ops[0].kind];

	if (h->needs_link && !run->k->ifindex)
		return -ENODEV;
	return h->many ? h->many(run, ops, n) : h->one(run, ops);
}

int kernel_exec(struct kernel *k, const struct op_list *ops, const struct secret *wg_private,
		const struct kstate *fallback, int64_t boot_now_ms, struct diag *d)
{
	struct run run = {k, wg_private, fallback, boot_now_ms};

	for (size_t i = 0, n; i < ops->n; i += n) {
		int err;

		n = group_length(ops->ops + i, ops->n - i);
		err = run_group(&run, ops->ops + i, n);
		if (err)
			return explain(k, &ops->ops[i], n, err, d);
	}
	return 0;
}
