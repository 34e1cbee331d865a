/* The kernel as one object: open, read (kernel.h). */
#include "ztnode/kern/kernel_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netlink.h>

#include "zt/clock.h"
#include "zt/log.h"
#include "zt/txt.h"
#include "ztnode/kern/link.h"
#include "ztnode/kern/nft_read.h"
#include "ztnode/kern/route.h"
#include "ztnode/kern/wg.h"

enum { SHUT_ARENA_MAX = 96 << 20 };

/* --- errors --- */

int kernel_explain(struct diag *d, int err, const char *what, const char *reason)
{
	if (reason[0])
		diag_set(d, err, "%s: %s (%s)", what, zt_strerror(err), reason);
	else
		diag_set(d, err, "%s: %s", what, zt_strerror(err));
	if (err == -EPERM || err == -EACCES)
		diag_hint(d, "needs CAP_NET_ADMIN; run as root");
	return err;
}

static int no_wireguard(struct diag *d)
{
	diag_set(d, -EOPNOTSUPP, "this kernel has no WireGuard");
	diag_hint(d, "modprobe wireguard, or use a kernel >= 5.6 with CONFIG_WIREGUARD");
	return -EOPNOTSUPP;
}

static int no_nftables(struct diag *d)
{
	diag_set(d, -EOPNOTSUPP, "this kernel has no nf_tables");
	diag_hint(d, "modprobe nf_tables, or use a kernel >= 5.6 with CONFIG_NF_TABLES_INET");
	return -EOPNOTSUPP;
}

/* --- open --- */

static int open_link_sockets(struct kernel *k)
{
	int err = nl_open(NETLINK_ROUTE, &k->route);

	return err ? err : nl_open(NETLINK_GENERIC, &k->generic);
}

static int open_sockets(struct kernel *k, struct diag *d)
{
	int err = open_link_sockets(k);

	if (err)
		return kernel_explain(d, err, "cannot open a netlink socket", "");
	err = nl_open(NETLINK_NETFILTER, &k->filter);
	if (err == -EPROTONOSUPPORT)
		return no_nftables(d);
	return err ? kernel_explain(d, err, "cannot open a netlink socket", "") : 0;
}

/* Asking for the ruleset's generation needs the right to change it, so it tells both: right and
 * presence. */
static int probe_filter(struct kernel *k, struct diag *d)
{
	uint32_t generation;
	int err = nft_generation(k->filter, &generation);

	if (err == -EINVAL || err == -EOPNOTSUPP)
		return no_nftables(d);
	return err ? kernel_explain(d, err, "cannot use nftables", nl_reason(k->filter)) : 0;
}

static int probe_wireguard(struct kernel *k, struct diag *d)
{
	int err = wg_find_family(k->generic, &k->wg_family);

	if (err == -EOPNOTSUPP)
		return no_wireguard(d);
	return err ? kernel_explain(d, err, "cannot use WireGuard", nl_reason(k->generic)) : 0;
}

int kernel_open(const char *ifname, struct kernel **ret, struct diag *d)
{
	struct kernel *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return diag_set(d, -ENOMEM, "out of memory");
	err = txt_copy(k->ifname, sizeof(k->ifname), ifname);
	if (err || !ifname[0]) {
		err = diag_set(d, -EINVAL, "interface name: 1 to %d characters", KSTATE_IFNAME_MAX);
		goto out;
	}
	nft_table_name(ifname, k->table);
	err = open_sockets(k, d);
	if (!err)
		err = probe_filter(k, d);
	if (!err)
		err = probe_wireguard(k, d);
out:
	if (err)
		kernel_close(k);
	else
		*ret = k;
	return err;
}

void kernel_close(struct kernel *k)
{
	if (!k)
		return;
	kernel_watch_free(k->watch);
	nl_close(k->route);
	nl_close(k->generic);
	nl_close(k->filter);
	free(k);
}

/* --- read --- */

static int read_device(struct kernel *k, const struct key *our_pub, const struct link *l,
		       struct arena *a, struct kstate *s)
{
	struct wg_device dev;
	int err = wg_read(k->generic, k->wg_family, l->index, a, &dev);

	if (err)
		return err;
	s->pub = dev.pub;
	s->port = dev.port;
	s->link_is_ours =
		l->has_our_alias || (!key_is_zero(our_pub) && key_equal(our_pub, &dev.pub));
	if (!s->link_is_ours)
		return 0;
	s->peers = dev.peers;
	s->n_peers = dev.n_peers;
	return link_addrs(k->route, l->index, s->addrs, &s->n_addrs);
}

/* An interface of another kind, or another's WireGuard, is shown as there and not ours, and left
 * alone. */
static int read_link(struct kernel *k, const struct key *our_pub, struct arena *a, struct kstate *s)
{
	struct link l;
	int err = link_find(k->route, k->ifname, &l);

	k->ifindex = 0;
	if (err == -ENODEV)
		return 0;
	if (err)
		return err;
	s->link_exists = true;
	s->link_up = l.up;
	s->mtu = (uint16_t)(l.mtu > UINT16_MAX ? UINT16_MAX : l.mtu);
	s->ifindex = l.index;
	err = l.is_wireguard ? read_device(k, our_pub, &l, a, s) : 0;
	if (!err && s->link_is_ours)
		k->ifindex = l.index;
	return err;
}

static int read_table(struct kernel *k, struct arena *a, struct kstate *s)
{
	struct nft_contents c;
	struct key digest;
	int err = nft_digest(k->filter, k->table, &digest);

	if (err == -ENOENT)
		return 0;
	if (!err)
		err = nft_read(k->filter, k->table, clock_now().boot_ms, a, &c);
	if (err == -ENOMEM)
		return 0; /* others have filled our sets: shown as not ok, the table is written anew
			   */
	if (err)
		return err;
	s->table_ok = k->digest_known && key_equal(&digest, &k->digest) && !c.foreign;
	if (!s->table_ok)
		log_debug("filter table: written here %d, rules as written %d, other elements %d",
			  k->digest_known, key_equal(&digest, &k->digest), c.foreign);
	s->elems = c.elems;
	s->n_elems = c.n_elems;
	s->spans = c.spans;
	s->n_spans = c.n_spans;
	return 0;
}

int kernel_read(struct kernel *k, const struct key *our_pub, struct arena *a, struct kstate *ret,
		struct diag *d)
{
	struct kstate s = {0};
	int err = read_link(k, our_pub, a, &s);

	if (err == -ENODEV || err == -EOPNOTSUPP)
		err = -EAGAIN; /* it was replaced while we looked; the notification brings us back
				*/
	if (err)
		return kernel_explain(d, err, "cannot read the interface", "");
	err = route_read(k->route, k->ifindex, s.routes, &s.n_routes);
	if (err)
		return kernel_explain(d, err, "cannot read the routes", nl_reason(k->route));
	err = read_table(k, a, &s);
	if (err)
		return kernel_explain(d, err, "cannot read the filter table", nl_reason(k->filter));
	*ret = s;
	return 0;
}

int kernel_read_peers(struct kernel *k, struct arena *a, struct kpeer **ret, size_t *ret_n,
		      uint16_t *ret_port)
{
	struct wg_device dev;
	int err;

	if (!k->ifindex)
		return -ENODEV;
	err = wg_read(k->generic, k->wg_family, k->ifindex, a, &dev);
	if (err)
		return err;
	*ret = dev.peers;
	*ret_n = dev.n_peers;
	*ret_port = dev.port;
	return 0;
}

int kernel_shut(const char *ifname, const struct key *our_pub)
{
	struct kernel *k = calloc(1, sizeof(*k));
	struct kstate s = {0};
	struct arena a;
	int err = k ? txt_copy(k->ifname, sizeof(k->ifname), ifname) : -ENOMEM;

	arena_init(&a, SHUT_ARENA_MAX);
	if (!err)
		err = open_link_sockets(k);
	if (!err)
		err = wg_find_family(k->generic, &k->wg_family);
	if (!err)
		err = read_link(k, our_pub, &a, &s);
	if (!err && s.n_peers)
		err = wg_clear_peers(k->generic, k->wg_family, k->ifindex);
	for (size_t i = 0; i < s.n_peers; i++)
		secret_wipe(&s.peers[i].psk);
	arena_done(&a);
	kernel_close(k);
	return err ? err : s.n_peers > 0;
}

int kernel_find_overlap(struct kernel *k, const struct prefix *range, char *out, size_t size)
{
	struct route_overlap o;
	struct link l;
	char dst[PREFIX_TEXT_MAX];
	int r = 0, ours = k->ifindex;

	/* Not read yet: who has our name is ours, or found out to be another's when it is read. */
	if (!ours && (r = link_find(k->route, k->ifname, &l)) == 0)
		ours = l.index;
	if (r < 0 && r != -ENODEV)
		return r;
	r = route_find_overlap(k->route, ours, range, &o);
	if (r <= 0)
		return r;
	prefix_print(&o.dst, dst);
	if (o.ifindex && link_find_index(k->route, o.ifindex, &l) == 0)
		snprintf(out, size, "%s dev %s%s", dst, l.name,
			 o.is_ztnode ? ", which is another ztnode's" : "");
	else
		snprintf(out, size, "%s", dst);
	return 1;
}
