/* Changes of what is ours by other hands (kernel.h): rtnetlink's link, address and route groups,
 * and nftables' generations. Our own changes are told apart by the socket that made them. */
#include "ztnode/kern/kernel_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "zt/txt.h"
#include "ztnode/kern/route.h"

enum {
	WATCH_RECEIVE_SIZE = 32 << 10,
	WATCH_TURN_MAX = 256, /* datagrams a turn: a router that learns a full table must not keep
				 us from our work */
};

struct source {
	struct mnl_socket *sock;
	struct loop_io *io;
	bool (*concerns)(const struct kernel *k, const struct nlmsghdr *nlh);
};

struct kernel_watch {
	struct kernel *k;
	struct source route, filter;
	bool pending; /* changed is due at the end of this turn */
	void (*changed)(void *arg);
	void *arg;
	uint8_t rx[WATCH_RECEIVE_SIZE] __attribute__((aligned(16)));
};

/* --- what concerns us --- */

static bool link_concerns(const struct kernel *k, const struct nlmsghdr *nlh)
{
	static const struct nl_policy policy[IFLA_MAX + 1] = {[IFLA_IFNAME] = {NL_TEXT, 1}};
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_MAX + 1];

	if (nl_parse(nlh, sizeof(*info), policy, tb, IFLA_MAX + 1) < 0)
		return true;
	return info->ifi_index == k->ifindex ||
	       (tb[IFLA_IFNAME] && txt_equal(mnl_attr_get_str(tb[IFLA_IFNAME]), k->ifname));
}

static bool addr_concerns(const struct kernel *k, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *msg = mnl_nlmsg_get_payload(nlh);

	return mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg) || (int)msg->ifa_index == k->ifindex;
}

static bool route_concerns(const struct kernel *k, const struct nlmsghdr *nlh)
{
	static const struct nl_policy policy[RTA_MAX + 1] = {[RTA_OIF] = {NL_BYTES, 4}};
	const struct rtmsg *msg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_MAX + 1];

	if (nl_parse(nlh, sizeof(*msg), policy, tb, RTA_MAX + 1) < 0)
		return true;
	return msg->rtm_protocol == ROUTE_PROTOCOL ||
	       (tb[RTA_OIF] && (int)mnl_attr_get_u32(tb[RTA_OIF]) == k->ifindex);
}

static bool route_message_concerns(const struct kernel *k, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_pid == nl_port(k->route))
		return false;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_concerns(k, nlh);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return addr_concerns(k, nlh);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_concerns(k, nlh);
	default:
		return false;
	}
}

/* The process id in the message is that of the first pid namespace, so the socket is compared
 * instead. */
static bool filter_message_concerns(const struct kernel *k, const struct nlmsghdr *nlh)
{
	return nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN) &&
	       nlh->nlmsg_pid != nl_port(k->filter);
}

/* --- receiving --- */

static void look(struct kernel_watch *w, const struct source *s, int len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)w->rx;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
		w->pending |= s->concerns(w->k, nlh);
}

/* What overran the queue may have been about us. */
static void drain(struct kernel_watch *w, const struct source *s)
{
	int fd = mnl_socket_get_fd(s->sock);

	for (int i = 0; i < WATCH_TURN_MAX; i++) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, w->rx, sizeof(w->rx), MSG_DONTWAIT | MSG_TRUNC,
				     (struct sockaddr *)&from, &from_len);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (size_t)n > sizeof(w->rx))
			w->pending = true;
		else if (from_len == sizeof(from) && from.nl_pid == 0)
			look(w, s, (int)n);
	}
}

static void on_route(void *arg, uint32_t events)
{
	struct kernel_watch *w = arg;

	(void)events;
	drain(w, &w->route);
}

static void on_filter(void *arg, uint32_t events)
{
	struct kernel_watch *w = arg;

	(void)events;
	drain(w, &w->filter);
}

static void after_turn(void *arg)
{
	struct kernel *k = arg;
	struct kernel_watch *w = k->watch;

	if (!w || !w->pending)
		return;
	w->pending = false;
	w->changed(w->arg);
}

/* --- set-up --- */

/* nftables tells every element of every transaction, ours too; only generations are let through. A
 * datagram's first message decides, and generations come alone. The filter machine reads in network
 * order. */
static int only_generations(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			 htons(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 0;
}

static int join(int fd, const int *groups, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			       sizeof(groups[i])) < 0)
			return -errno;
	return 0;
}

static int open_source(struct source *s, int bus)
{
	s->sock = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!s->sock || mnl_socket_bind(s->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

static int open_route(struct source *s)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				     RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
	int err = open_source(s, NETLINK_ROUTE);

	s->concerns = route_message_concerns;
	return err ? err
		   : join(mnl_socket_get_fd(s->sock), groups, sizeof(groups) / sizeof(groups[0]));
}

static int open_filter(struct source *s)
{
	static const int groups[] = {NFNLGRP_NFTABLES};
	int err = open_source(s, NETLINK_NETFILTER);

	s->concerns = filter_message_concerns;
	if (!err)
		err = only_generations(mnl_socket_get_fd(s->sock));
	return err ? err : join(mnl_socket_get_fd(s->sock), groups, 1);
}

static int listen_to(struct source *s, struct loop *l, loop_io_fn fn, struct kernel_watch *w)
{
	s->io = loop_io_new(l, mnl_socket_get_fd(s->sock), EPOLLIN, fn, w);
	return s->io ? 0 : -errno;
}

static void source_done(struct source *s)
{
	loop_io_free(s->io);
	if (s->sock)
		mnl_socket_close(s->sock);
}

void kernel_watch_free(struct kernel_watch *w)
{
	if (!w)
		return;
	source_done(&w->route);
	source_done(&w->filter);
	free(w);
}

int kernel_watch(struct kernel *k, struct loop *l, void (*changed)(void *arg), void *arg)
{
	struct kernel_watch *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct kernel_watch){.k = k, .changed = changed, .arg = arg};
	err = open_route(&w->route);
	if (!err)
		err = open_filter(&w->filter);
	if (!err)
		err = listen_to(&w->route, l, on_route, w);
	if (!err)
		err = listen_to(&w->filter, l, on_filter, w);
	if (err) {
		kernel_watch_free(w);
		return err;
	}
	k->watch = w;
	loop_after(l, after_turn, k);
	return 0;
}
