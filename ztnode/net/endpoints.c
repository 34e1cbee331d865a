/* getifaddrs(3) for what there is, rtnetlink(7) groups for when it changes; neither needs rights.
 */
#include "ztnode/net/endpoints.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool address_of(const struct ifaddrs *i, struct addr *ret)
{
	if (!i->ifa_addr)
		return false;
	if (i->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *s = (const void *)i->ifa_addr;
		uint8_t b[4];

		memcpy(b, &s->sin_addr, sizeof(b));
		*ret = addr_v4(b);
		return true;
	}
	if (i->ifa_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *s = (const void *)i->ifa_addr;
		uint8_t b[16];

		memcpy(b, &s->sin6_addr, sizeof(b));
		*ret = addr_v6(b);
		return true;
	}
	return false;
}

/* Interfaces without a link layer are tunnels (WireGuard, tun): another overlay's address is no
 * place to be reached at. */
static bool is_tunnel(int fd, const char *name)
{
	struct ifreq r = {0};

	memcpy(r.ifr_name, name, strnlen(name, sizeof(r.ifr_name) - 1));
	return ioctl(fd, SIOCGIFHWADDR, &r) == 0 && r.ifr_hwaddr.sa_family == ARPHRD_NONE;
}

size_t endpoints_list(const char *overlay_interface, uint16_t port, struct endpoint *out,
		      size_t max)
{
	struct ifaddrs *all, *i;
	size_t n = 0;
	int fd;

	if (!port || getifaddrs(&all) < 0)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (i = all; i && n < max; i = i->ifa_next) {
		struct endpoint e = {.port = port};

		if (!(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK) ||
		    strcmp(i->ifa_name, overlay_interface) == 0 || is_tunnel(fd, i->ifa_name))
			continue;
		if (address_of(i, &e.addr) && endpoint_is_usable(&e))
			out[n++] = e;
	}
	if (fd >= 0)
		close(fd);
	freeifaddrs(all);
	return n;
}

struct endpoints_watch {
	int fd;
	struct loop_io *io;
	struct loop_timer *settle; /* addresses come in bursts: told once they rest */
	struct loop *loop;
	void (*changed)(void *arg);
	void *arg;
};

enum { SETTLE_MS = 50 };

static void settled(void *arg)
{
	struct endpoints_watch *w = arg;

	w->changed(w->arg);
}

static void ready(void *arg, uint32_t events)
{
	struct endpoints_watch *w = arg;
	char buf[8192];

	(void)events;
	/* What changed is not read: the list is made anew. An overrun (ENOBUFS) means the same. */
	while (recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	if (!loop_timer_is_set(w->settle))
		loop_timer_set(w->settle, clock_now().boot_ms + SETTLE_MS);
}

struct endpoints_watch *endpoints_watch_new(struct loop *l, void (*changed)(void *arg), void *arg)
{
	struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
				 .nl_groups =
					 RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK};
	struct endpoints_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct endpoints_watch){.loop = l, .changed = changed, .arg = arg};
	w->settle = loop_timer_new(l, settled, w);
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (w->settle && w->fd >= 0 && bind(w->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		w->io = loop_io_new(l, w->fd, EPOLLIN, ready, w);
	if (!w->io) {
		endpoints_watch_free(w);
		return NULL;
	}
	return w;
}

void endpoints_watch_free(struct endpoints_watch *w)
{
	if (!w)
		return;
	loop_io_free(w->io);
	loop_timer_free(w->settle);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
