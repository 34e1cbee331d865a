/* Routes of the main table, by rtnetlink (route.h). */
#include "ztnode/kern/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

/* --- change --- */

static int talk_route(struct nl *nl, uint16_t type, uint16_t flags, int ifindex,
		      const struct kroute *r)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, type, flags, sizeof(struct rtmsg), &extra);
	struct rtmsg *msg = extra;

	msg->rtm_family = r->dst.addr.family == ADDR_V4 ? AF_INET : AF_INET6;
	msg->rtm_dst_len = r->dst.bits;
	msg->rtm_table = RT_TABLE_MAIN;
	msg->rtm_protocol = ROUTE_PROTOCOL;
	msg->rtm_scope = r->kind == KROUTE_DEV ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	msg->rtm_type = r->kind == KROUTE_DEV ? RTN_UNICAST : RTN_UNREACHABLE;
	mnl_attr_put(nlh, RTA_DST, addr_bits(&r->dst.addr) / 8, r->dst.addr.b);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, r->metric);
	if (r->kind == KROUTE_DEV)
		mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)ifindex);
	return nl_talk(nl, nlh, NULL, NULL);
}

int route_add(struct nl *nl, int ifindex, const struct kroute *r)
{
	return talk_route(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, ifindex, r);
}

int route_del(struct nl *nl, int ifindex, const struct kroute *r)
{
	return talk_route(nl, RTM_DELROUTE, 0, ifindex, r);
}

/* --- look --- */

static const struct nl_policy route_policy[RTA_MAX + 1] = {
	[RTA_DST] = {NL_BYTES, 4},
	[RTA_OIF] = {NL_BYTES, 4},
	[RTA_PRIORITY] = {NL_BYTES, 4},
	[RTA_TABLE] = {NL_BYTES, 4},
};

struct route {
	struct prefix dst;
	uint32_t metric, table;
	int ifindex;
	uint8_t protocol, type;
	bool cloned;
};

static int parse_dst(const struct rtmsg *msg, const struct nlattr *attr, struct prefix *ret)
{
	static const uint8_t zero[16];
	const uint8_t *bytes = attr ? mnl_attr_get_payload(attr) : zero;
	size_t len = attr ? mnl_attr_get_payload_len(attr) : sizeof(zero);

	ret->bits = msg->rtm_dst_len;
	if (msg->rtm_family == AF_INET)
		ret->addr = addr_v4(bytes);
	else if (msg->rtm_family == AF_INET6 && len >= 16)
		ret->addr = addr_v6(bytes);
	else
		return -EPROTO;
	return ret->bits <= addr_bits(&ret->addr) ? 0 : -EPROTO;
}

static int parse_route(const struct nlmsghdr *nlh, struct route *ret)
{
	const struct rtmsg *msg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1];
	int err = nl_parse(nlh, sizeof(*msg), route_policy, tb, RTA_MAX + 1);

	if (err)
		return err;
	ret->metric = tb[RTA_PRIORITY] ? mnl_attr_get_u32(tb[RTA_PRIORITY]) : 0;
	ret->table = tb[RTA_TABLE] ? mnl_attr_get_u32(tb[RTA_TABLE]) : msg->rtm_table;
	ret->ifindex = tb[RTA_OIF] ? (int)mnl_attr_get_u32(tb[RTA_OIF]) : 0;
	ret->protocol = msg->rtm_protocol;
	ret->type = msg->rtm_type;
	ret->cloned = msg->rtm_flags & RTM_F_CLONED;
	return parse_dst(msg, tb[RTA_DST], &ret->dst);
}

/* table, protocol: only those (0: all). The kernel passes over the rest, of which a router has a
 * million. */
static int dump_routes(struct nl *nl, uint8_t family, uint8_t table, uint8_t protocol,
		       void (*reset)(void *), nl_row_fn row, void *arg)
{
	struct nl_request mem;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, RTM_GETROUTE, 0, sizeof(struct rtmsg), &extra);
	struct rtmsg *msg = extra;
	int err;

	msg->rtm_family = family;
	msg->rtm_table = table;
	msg->rtm_protocol = protocol;
	err = nl_dump(nl, nlh, reset, row, arg);
	return err == -ENOENT ? 0 : err; /* the table has never had a route */
}

/* --- ours --- */

struct our_rows {
	int ifindex;
	struct kroute routes[KSTATE_ROUTES_MAX];
	size_t n, start; /* start: rows of the family read before */
};

static void reset_ours(void *arg)
{
	struct our_rows *rows = arg;

	rows->n = rows->start;
}

/* IPv6 shows an unreachable route as one through lo, so the type decides, not the device. */
static int take_ours(const struct nlmsghdr *nlh, void *arg)
{
	struct our_rows *rows = arg;
	struct route r;
	bool through_us;
	int err;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return 0;
	err = parse_route(nlh, &r);
	if (err)
		return err;
	if (r.protocol != ROUTE_PROTOCOL || r.table != RT_TABLE_MAIN || r.cloned ||
	    rows->n == KSTATE_ROUTES_MAX)
		return 0;
	through_us = r.type == RTN_UNICAST && rows->ifindex && r.ifindex == rows->ifindex;
	if (!through_us && r.type != RTN_UNREACHABLE)
		return 0;
	rows->routes[rows->n++] = (struct kroute){
		.kind = through_us ? KROUTE_DEV : KROUTE_UNREACHABLE,
		.dst = r.dst,
		.metric = r.metric,
	};
	return 0;
}

int route_read(struct nl *nl, int ifindex, struct kroute ret[static KSTATE_ROUTES_MAX],
	       size_t *ret_n)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct our_rows rows = {.ifindex = ifindex};

	for (size_t i = 0; i < 2; i++) {
		int err = dump_routes(nl, families[i], RT_TABLE_MAIN, ROUTE_PROTOCOL, reset_ours,
				      take_ours, &rows);

		if (err)
			return err;
		rows.start = rows.n;
	}
	qsort(rows.routes, rows.n, sizeof(rows.routes[0]), kroute_compare);
	memcpy(ret, rows.routes, sizeof(rows.routes));
	*ret_n = rows.n;
	return 0;
}

/* --- others' --- */

struct overlap_rows {
	int ifindex;
	const struct prefix *range;
	struct route_overlap found;
	bool is_found;
};

static void reset_overlap(void *arg)
{
	((struct overlap_rows *)arg)->is_found = false;
}

static int take_overlap(const struct nlmsghdr *nlh, void *arg)
{
	struct overlap_rows *rows = arg;
	struct route r;
	int err;

	if (nlh->nlmsg_type != RTM_NEWROUTE || rows->is_found)
		return 0;
	err = parse_route(nlh, &r);
	if (err)
		return err;
	/* Unreachable ones of our protocol are anybody's, also a dead predecessor's. One through an
	 * interface goes with that interface, so there is another daemon, or what it left. */
	if ((r.protocol == ROUTE_PROTOCOL && r.type != RTN_UNICAST) || r.table == RT_TABLE_LOCAL ||
	    r.cloned || r.dst.bits == 0 || r.type == RTN_MULTICAST ||
	    (rows->ifindex && r.ifindex == rows->ifindex))
		return 0;
	if (prefix_overlaps(&r.dst, rows->range)) {
		rows->found = (struct route_overlap){r.dst, r.type == RTN_UNICAST ? r.ifindex : 0,
						     r.protocol == ROUTE_PROTOCOL};
		rows->is_found = true;
	}
	return 0;
}

int route_find_overlap(struct nl *nl, int ifindex, const struct prefix *range,
		       struct route_overlap *ret)
{
	struct overlap_rows rows = {.ifindex = ifindex, .range = range};
	uint8_t family = range->addr.family == ADDR_V4 ? AF_INET : AF_INET6;
	int err = dump_routes(nl, family, RT_TABLE_UNSPEC, RTPROT_UNSPEC, reset_overlap,
			      take_overlap, &rows);

	if (err)
		return err;
	if (rows.is_found)
		*ret = rows.found;
	return rows.is_found;
}
