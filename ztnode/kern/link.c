/* The interface and its addresses, by rtnetlink (link.h). */
#include "ztnode/kern/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "zt/txt.h"

static const char kind_wireguard[] = "wireguard";
static const char our_alias[] = "ztnode";

/* --- look --- */

static const struct nl_policy link_policy[IFLA_MAX + 1] = {
	[IFLA_IFNAME] = {NL_TEXT, 2},
	[IFLA_MTU] = {NL_BYTES, 4},
	[IFLA_IFALIAS] = {NL_TEXT, 1},
	[IFLA_LINKINFO] = {NL_NEST, 0},
};

static const struct nl_policy info_policy[IFLA_INFO_MAX + 1] = {
	[IFLA_INFO_KIND] = {NL_TEXT, 1},
};

static int parse_kind(const struct nlattr *info, struct link *ret)
{
	const struct nlattr *tb[IFLA_INFO_MAX + 1];
	int err = nl_parse_nest(info, info_policy, tb, IFLA_INFO_MAX + 1);

	if (!err && tb[IFLA_INFO_KIND])
		ret->is_wireguard = txt_equal(mnl_attr_get_str(tb[IFLA_INFO_KIND]), kind_wireguard);
	return err;
}

static int parse_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1];
	struct link l = {0};
	int err;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return 0;
	err = nl_parse(nlh, sizeof(*info), link_policy, tb, IFLA_MAX + 1);
	if (err || !tb[IFLA_IFNAME] || !tb[IFLA_MTU])
		return err ? err : -EPROTO;
	l.index = info->ifi_index;
	l.up = info->ifi_flags & IFF_UP;
	l.mtu = mnl_attr_get_u32(tb[IFLA_MTU]);
	err = txt_copy(l.name, sizeof(l.name), mnl_attr_get_str(tb[IFLA_IFNAME]));
	if (tb[IFLA_IFALIAS])
		l.has_our_alias = txt_equal(mnl_attr_get_str(tb[IFLA_IFALIAS]), our_alias);
	if (!err && tb[IFLA_LINKINFO])
		err = parse_kind(tb[IFLA_LINKINFO], &l);
	if (!err)
		*(struct link *)arg = l;
	return err;
}

/* The kernel also answers to alternative names: the name is compared. */
int link_find(struct nl *nl, const char *name, struct link *ret)
{
	struct nl_request mem;
	struct link found = {0};
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_GETLINK, 0, sizeof(struct ifinfomsg), &extra);
	int err;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	err = nl_talk(nl, nlh, parse_link, &found);
	if (err)
		return err;
	if (!txt_equal(found.name, name))
		return -ENODEV;
	*ret = found;
	return 0;
}

int link_find_index(struct nl *nl, int index, struct link *ret)
{
	struct nl_request mem;
	struct link found = {0};
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_GETLINK, 0, sizeof(struct ifinfomsg), &extra);
	int err;

	((struct ifinfomsg *)extra)->ifi_index = index;
	err = nl_talk(nl, nlh, parse_link, &found);
	if (err)
		return err;
	if (found.index != index)
		return -ENODEV;
	*ret = found;
	return 0;
}

/* --- change --- */

static void put_create(struct nl_batch *b, const char *name)
{
	void *extra;
	struct nlmsghdr *nlh =
		nl_batch_start(b, NL_REQUEST_MAX, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
			       sizeof(struct ifinfomsg), &extra);
	struct nlattr *nest;

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	nest = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind_wireguard);
	mnl_attr_nest_end(nlh, nest);
	nl_batch_end(b, nlh);
}

static void put_alias(struct nl_batch *b, const char *name)
{
	void *extra;
	struct nlmsghdr *nlh =
		nl_batch_start(b, NL_REQUEST_MAX, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), &extra);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_strz(nlh, IFLA_IFALIAS, our_alias);
	nl_batch_end(b, nlh);
}

/* The kernel does not take an alias with a new link, so it is two messages; they are sent one by
 * one, because the second must not rename another's link when the first failed. */
int link_add(struct nl *nl, const char *name)
{
	static void (*const steps[])(struct nl_batch *, const char *) = {put_create, put_alias};
	struct nl_batch b;
	uint32_t failed;
	int err = 0;

	nl_batch_init(&b, NL_ROUTE_BATCH_MAX);
	for (size_t i = 0; i < 2 && !err; i++) {
		nl_batch_clear(&b);
		steps[i](&b, name);
		err = nl_batch_send(nl, &b, 0, NULL, NULL, &failed);
	}
	nl_batch_done(&b);
	return err;
}

int link_del(struct nl *nl, int index)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_DELLINK, 0, sizeof(struct ifinfomsg), &extra);

	((struct ifinfomsg *)extra)->ifi_index = index;
	return nl_talk(nl, nlh, NULL, NULL);
}

int link_set_mtu(struct nl *nl, int index, uint32_t mtu)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), &extra);

	((struct ifinfomsg *)extra)->ifi_index = index;
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return nl_talk(nl, nlh, NULL, NULL);
}

int link_set_up(struct nl *nl, int index)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), &extra);
	struct ifinfomsg *info = extra;

	info->ifi_index = index;
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	return nl_talk(nl, nlh, NULL, NULL);
}

/* --- addresses --- */

static uint8_t native_family(const struct prefix *p)
{
	return p->addr.family == ADDR_V4 ? AF_INET : AF_INET6;
}

static int talk_addr(struct nl *nl, uint16_t type, uint16_t flags, int index,
		     const struct prefix *a)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, type, flags, sizeof(struct ifaddrmsg), &extra);
	struct ifaddrmsg *msg = extra;
	size_t len = addr_bits(&a->addr) / 8;

	msg->ifa_family = native_family(a);
	msg->ifa_prefixlen = a->bits;
	msg->ifa_index = (uint32_t)index;
	if (msg->ifa_family == AF_INET6)
		msg->ifa_flags =
			IFA_F_NODAD; /* nobody else can have it: WireGuard ties it to the key */
	mnl_attr_put(nlh, IFA_LOCAL, len, a->addr.b);
	mnl_attr_put(nlh, IFA_ADDRESS, len, a->addr.b);
	return nl_talk(nl, nlh, NULL, NULL);
}

int link_addr_add(struct nl *nl, int index, const struct prefix *a)
{
	return talk_addr(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, a);
}

int link_addr_del(struct nl *nl, int index, const struct prefix *a)
{
	return talk_addr(nl, RTM_DELADDR, 0, index, a);
}

struct addr_rows {
	int index;
	struct prefix addrs[KSTATE_ADDRS_MAX];
	size_t n;
};

static const struct nl_policy addr_policy[IFA_MAX + 1] = {
	[IFA_ADDRESS] = {NL_BYTES, 4},
	[IFA_LOCAL] = {NL_BYTES, 4},
};

static int keep_addr(struct addr_rows *rows, const struct ifaddrmsg *msg, const struct nlattr *attr)
{
	struct prefix p = {.bits = msg->ifa_prefixlen};
	const uint8_t *bytes = mnl_attr_get_payload(attr);

	if (msg->ifa_family == AF_INET)
		p.addr = addr_v4(bytes);
	else if (msg->ifa_family == AF_INET6 && mnl_attr_get_payload_len(attr) >= 16)
		p.addr = addr_v6(bytes);
	else
		return -EPROTO;
	if (rows->n < KSTATE_ADDRS_MAX)
		rows->addrs[rows->n++] = p;
	return 0;
}

static int parse_addr(const struct nlmsghdr *nlh, void *arg)
{
	struct addr_rows *rows = arg;
	const struct ifaddrmsg *msg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFA_MAX + 1];
	int err;

	if (nlh->nlmsg_type != RTM_NEWADDR)
		return 0;
	err = nl_parse(nlh, sizeof(*msg), addr_policy, tb, IFA_MAX + 1);
	if (err)
		return err;
	if (msg->ifa_index != (uint32_t)rows->index || (!tb[IFA_LOCAL] && !tb[IFA_ADDRESS]))
		return 0;
	return keep_addr(rows, msg, tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]);
}

static void reset_addrs(void *arg)
{
	((struct addr_rows *)arg)->n = 0;
}

static int compare_prefix(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int r = addr_compare(&x->addr, &y->addr);

	return r ? r : (int)x->bits - (int)y->bits;
}

int link_addrs(struct nl *nl, int index, struct prefix ret[static KSTATE_ADDRS_MAX], size_t *ret_n)
{
	struct nl_request mem;
	struct addr_rows rows = {.index = index};
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_GETADDR, 0, sizeof(struct ifaddrmsg), &extra);
	int err;

	((struct ifaddrmsg *)extra)->ifa_index = (uint32_t)index;
	err = nl_dump(nl, nlh, reset_addrs, parse_addr, &rows);
	if (err)
		return err;
	qsort(rows.addrs, rows.n, sizeof(rows.addrs[0]), compare_prefix);
	memcpy(ret, rows.addrs, sizeof(rows.addrs));
	*ret_n = rows.n;
	return 0;
}
