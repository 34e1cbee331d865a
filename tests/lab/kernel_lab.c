/* Nodes made by hand, and packets between them (kernel_lab.h). */
#include "tests/lab/kernel_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <linux/icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnftnl/object.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "ztnode/kern/kernel_priv.h"

enum { STATE_MEMORY = 64 << 20, STEP_MS = 5, PORT_OF_PROBES = 40000 };

static int failures;
static struct arena state_memory;

/* --- verdicts --- */

void check(bool holds, const char *what, ...)
{
	va_list ap;

	va_start(ap, what);
	fputs(holds ? "ok - " : "not ok - ", stdout);
	vprintf(what, ap);
	putchar('\n');
	fflush(stdout);
	va_end(ap);
	failures += !holds;
}

int check_failures(void)
{
	return failures;
}

void give_up(const char *what, int err)
{
	printf("not ok - %s: %s\n", what, zt_strerror(err));
	exit(1);
}

int64_t now_ms(void)
{
	return clock_now().boot_ms;
}

/* --- nodes --- */

static struct addr addr_of(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a) < 0)
		give_up(text, -EINVAL);
	return a;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	if (prefix_parse(text, &p) < 0)
		give_up(text, -EINVAL);
	return p;
}

void enter(const char *ns)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		give_up(path, -errno);
	close(fd);
}

static void want_interface(struct node *n)
{
	struct kstate *w = &n->want;

	*w = (struct kstate){.link_exists = true,
			     .link_is_ours = true,
			     .link_up = true,
			     .mtu = 1420,
			     .table_ok = true};
	w->pub = n->pub;
	w->port = n->underlay.port;
	w->addrs[0] = (struct prefix){n->overlay[0], 32};
	w->addrs[1] = (struct prefix){n->overlay[1], 128};
	w->n_addrs = 2;
	w->net4 = prefix_of("100.64.0.0/10");
	w->net6 = prefix_of("fd7a::/48");
	w->routes[0] = (struct kroute){KROUTE_DEV, w->net4, 50};
	w->routes[1] = (struct kroute){KROUTE_DEV, w->net6, 50};
	w->routes[2] = (struct kroute){KROUTE_UNREACHABLE, w->net4, 9000};
	w->routes[3] = (struct kroute){KROUTE_UNREACHABLE, w->net6, 9000};
	w->n_routes = 4;
	w->peers = n->peers;
	w->elems = n->elems;
	w->spans = n->spans;
}

void node_init(struct node *n, const char *ns, uint8_t number, const char *underlay)
{
	char text[ADDR_TEXT_MAX];
	struct diag d = {0};

	*n = (struct node){.ns = ns};
	snprintf(text, sizeof(text), "100.64.0.%u", number);
	n->overlay[0] = addr_of(text);
	snprintf(text, sizeof(text), "fd7a::%u", number);
	n->overlay[1] = addr_of(text);
	n->underlay = (struct endpoint){addr_of(underlay), 51820};
	memset(n->priv.b, number, sizeof(n->priv.b));
	secret_clamp(&n->priv);
	key_of_wireguard(&n->priv, &n->pub);
	want_interface(n);
	enter(ns);
	if (kernel_open("zt0", &n->k, &d) < 0)
		give_up(d.message, -EIO);
}

void node_peer(struct node *n, const struct node *peer)
{
	struct kpeer *p = &n->peers[n->want.n_peers++];

	*p = (struct kpeer){
		.pub = peer->pub, .has_psk = true, .endpoint = peer->underlay, .n_allowed = 2};
	for (size_t i = 0; i < sizeof(p->psk.b); i++)
		p->psk.b[i] = (uint8_t)(n->priv.b[i] ^ peer->priv.b[i] ^ 0x5a);
	p->allowed[0] = (struct prefix){peer->overlay[0], 32};
	p->allowed[1] = (struct prefix){peer->overlay[1], 128};
	qsort(n->peers, n->want.n_peers, sizeof(n->peers[0]), kpeer_compare);
}

void node_grant(struct node *n, const struct kelem *e)
{
	struct kelem *to = &n->elems[n->want.n_elems++];

	*to = *e;
	if (!to->expires_ms)
		to->expires_ms = now_ms() + LAB_HOUR_MS;
	qsort(n->elems, n->want.n_elems, sizeof(n->elems[0]), kelem_compare);
}

void node_clear_grants(struct node *n)
{
	n->want.n_elems = 0;
	n->want.n_spans = 0;
}

struct kstate node_read(struct node *n)
{
	struct kstate s;
	struct diag d = {0};

	arena_done(&state_memory);
	arena_init(&state_memory, STATE_MEMORY);
	if (kernel_read(n->k, &n->pub, &state_memory, &s, &d) < 0)
		give_up(d.message, -EIO);
	return s;
}

static struct op_list make_plan(struct node *n)
{
	struct kstate s = node_read(n);
	struct kstate *actual = arena_dup(&state_memory, &s, sizeof(s));
	struct op_list ops;

	if (!actual || plan_make(&n->want, actual, &state_memory, &ops) < 0)
		give_up("plan", -ENOMEM);
	return ops;
}

size_t node_planned(struct node *n)
{
	struct op_list ops = make_plan(n);

	for (size_t i = 0; i < ops.n && i < 8; i++) {
		char mem[256];
		struct buf text;

		buf_init(&text, mem, sizeof(mem));
		op_print(&ops.ops[i], NULL, &text);
		printf("# %s: planned: %s\n", n->ns, buf_text(&text));
	}
	return ops.n;
}

size_t node_apply(struct node *n)
{
	struct op_list ops = make_plan(n);
	struct diag d = {0};

	if (kernel_exec(n->k, &ops, &n->priv, &n->want, now_ms(), &d) < 0)
		give_up(d.message, -EIO);
	return ops.n;
}

void run(const char *ns, const char *fmt, ...)
{
	char command[512], whole[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "ip netns exec %s sh -c '%s'", ns, command);
	if (system(whole) != 0)
		give_up(whole, -EIO);
}

/* --- counters --- */

static int take_counter(const struct nlmsghdr *nlh, void *arg)
{
	struct nftnl_obj *o = nftnl_obj_alloc();

	if (o && nftnl_obj_nlmsg_parse(nlh, o) == 0)
		*(uint64_t *)arg = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_PKTS);
	nftnl_obj_free(o);
	return 0;
}

uint64_t node_denied(const struct node *n, bool in)
{
	struct nl_request mem;
	uint64_t packets = 0;
	void *extra;
	struct nlmsghdr *nlh = nl_start(&mem, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ, 0,
					sizeof(struct nfgenmsg), &extra);

	((struct nfgenmsg *)extra)->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, n->k->table);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, in ? "denied-in" : "denied-out");
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	if (nl_talk(n->k->filter, nlh, take_counter, &packets) < 0)
		return 0; /* this node has no filter */
	return packets;
}

/* --- packets --- */

struct sockaddr_any {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

static struct sockaddr_any address(const struct node *n, int family, uint16_t port)
{
	struct sockaddr_any a = {0};

	if (family < 0) {
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		a.len = sizeof(a.v4);
	} else if (family == 0) {
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&a.v4.sin_addr, n->overlay[0].b, 4);
		a.len = sizeof(a.v4);
	} else {
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&a.v6.sin6_addr, n->overlay[1].b, 16);
		a.len = sizeof(a.v6);
	}
	return a;
}

static int open_socket(const struct node *n, int family, int type, int proto, uint16_t port)
{
	struct sockaddr_any a = address(n, family, port);
	int fd, on = 1;

	enter(n->ns);
	fd = socket(family <= 0 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
	if (fd < 0)
		give_up("socket", -errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &a.sa, a.len) < 0)
		give_up("bind", -errno);
	return fd;
}

static bool ready(int fd, short events, int ms)
{
	struct pollfd p = {fd, events, 0};

	return poll(&p, 1, ms) == 1;
}

const char *outcome_name(enum outcome o)
{
	static const char *const names[] = {"passed", "refused at its source",
					    "dropped at its destination", "lost"};

	return names[o];
}

static const struct node *filter_of(const struct probe *p)
{
	return p->via ? p->via : p->to;
}

/* Wait until fd has something, or one of the two filters has counted. */
static enum outcome await(const struct probe *p, int fd, short events, uint64_t in_before)
{
	for (int64_t end = now_ms() + LAB_PATIENCE_MS; now_ms() < end;) {
		if (ready(fd, events, STEP_MS))
			return OUTCOME_PASSED;
		if (node_denied(filter_of(p), true) > in_before)
			return OUTCOME_DROPPED;
	}
	return OUTCOME_LOST;
}

static enum outcome connect_outcome(const struct probe *p, int fd)
{
	struct sockaddr_any to = address(p->to, p->family, p->port);
	uint64_t in = node_denied(filter_of(p), true), out = node_denied(p->from, false);
	enum outcome o;
	int err = 0;
	socklen_t len = sizeof(err);

	if (connect(fd, &to.sa, to.len) < 0 && errno != EINPROGRESS)
		return node_denied(p->from, false) > out ? OUTCOME_REFUSED : OUTCOME_LOST;
	o = await(p, fd, POLLOUT, in);
	if (o != OUTCOME_PASSED)
		return o;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (!err)
		return OUTCOME_PASSED;
	return node_denied(p->from, false) > out ? OUTCOME_REFUSED : OUTCOME_LOST;
}

static enum outcome probe_tcp(const struct probe *p)
{
	int server = open_socket(p->to, p->family, SOCK_STREAM, 0, p->port);
	int client = open_socket(p->from, p->family, SOCK_STREAM, 0, 0);
	enum outcome o;

	if (listen(server, 1) < 0)
		give_up("listen", -errno);
	o = connect_outcome(p, client);
	close(client);
	close(server);
	return o;
}

/* The datagram must come whole. */
static enum outcome send_and_await(const struct probe *p, int from, int to,
				   const struct sockaddr_any *dst, const void *data, size_t size)
{
	uint64_t in = node_denied(filter_of(p), true), out = node_denied(p->from, false);

	if (sendto(from, data, size, 0, &dst->sa, dst->len) < 0)
		return node_denied(p->from, false) > out ? OUTCOME_REFUSED : OUTCOME_LOST;
	return await(p, to, POLLIN, in);
}

static enum outcome probe_udp(const struct probe *p)
{
	static uint8_t data[60000], back[60000];
	size_t size = p->size ? p->size : 5;
	int server = open_socket(p->to, p->family, SOCK_DGRAM, 0, p->port);
	int client = open_socket(p->from, p->family, SOCK_DGRAM, 0, PORT_OF_PROBES);
	struct sockaddr_any to = address(p->to, p->family, p->port);
	struct sockaddr_any from = address(p->from, p->family, PORT_OF_PROBES);
	enum outcome o;

	memset(data, 0xa5, size);
	o = send_and_await(p, client, server, &to, data, size);
	if (o == OUTCOME_PASSED) {
		struct probe reply = {.from = p->to, .to = p->from, .family = p->family};

		if (recv(server, back, sizeof(back), 0) != (ssize_t)size ||
		    memcmp(data, back, size) != 0)
			o = OUTCOME_LOST;
		else
			o = send_and_await(&reply, server, client, &from, data, size);
	}
	close(client);
	close(server);
	return o;
}

static uint16_t checksum(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (n % 2)
		sum += (uint32_t)(p[n - 1] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* Of ICMPv6 the kernel makes the checksum, also in a raw socket. */
static size_t make_echo(int family, size_t payload, uint8_t out[static 60000])
{
	struct icmphdr v4 = {.type = ICMP_ECHO, .un.echo = {htons(7), htons(1)}};
	struct icmp6_hdr v6 = {.icmp6_type = ICMP6_ECHO_REQUEST};
	size_t n = 8 + payload;

	memset(out, 0x5a, n);
	v6.icmp6_id = htons(7);
	v6.icmp6_seq = htons(1);
	if (family == 0) {
		memcpy(out, &v4, sizeof(v4));
		v4.checksum = checksum(out, n);
		memcpy(out, &v4, sizeof(v4));
	} else {
		memcpy(out, &v6, sizeof(v6));
	}
	return n;
}

/* A raw socket sees every ICMP message: wait for the echo's answer. */
static void only_echo_replies(int fd, int family)
{
	struct icmp_filter v4 = {~(1U << ICMP_ECHOREPLY)};
	struct icmp6_filter v6;

	ICMP6_FILTER_SETBLOCKALL(&v6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &v6);
	if (family == 0)
		setsockopt(fd, SOL_RAW, ICMP_FILTER, &v4, sizeof(v4));
	else
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &v6, sizeof(v6));
}

static enum outcome probe_icmp(const struct probe *p)
{
	static uint8_t data[60000];
	size_t n = make_echo(p->family, p->size ? p->size : 8, data);
	int fd = open_socket(p->from, p->family, SOCK_RAW,
			     p->family == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
	struct sockaddr_any to = address(p->to, p->family, 0);
	enum outcome o;

	only_echo_replies(fd, p->family);
	o = send_and_await(p, fd, fd, &to, data, n);
	close(fd);
	return o;
}

enum outcome probe(const struct probe *p)
{
	switch (p->proto) {
	case SERVICE_TCP:
		return probe_tcp(p);
	case SERVICE_UDP:
		return probe_udp(p);
	default:
		return probe_icmp(p);
	}
}

/* --- connections --- */

bool tcp_open(const struct probe *p, int fds[static 2])
{
	int server = open_socket(p->to, p->family, SOCK_STREAM, 0, p->port);
	bool is_open;

	fds[0] = open_socket(p->from, p->family, SOCK_STREAM, 0, 0);
	fds[1] = -1;
	if (listen(server, 1) < 0)
		give_up("listen", -errno);
	is_open = connect_outcome(p, fds[0]) == OUTCOME_PASSED &&
		  ready(server, POLLIN, LAB_PATIENCE_MS);
	if (is_open)
		fds[1] = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	close(server);
	return fds[1] >= 0;
}

bool tcp_carries(int from, int to, int ms)
{
	char c = 'x';

	return send(from, &c, 1, MSG_NOSIGNAL) == 1 && ready(to, POLLIN, ms) &&
	       recv(to, &c, 1, 0) == 1;
}

int tcp_error(int fd)
{
	char c = 'x';

	for (int64_t end = now_ms() + LAB_PATIENCE_MS; now_ms() < end;) {
		if (send(fd, &c, 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
			return errno;
		ready(fd, POLLIN, STEP_MS);
	}
	return 0;
}

int udp_socket(const struct node *n, int family, uint16_t port)
{
	return open_socket(n, family, SOCK_DGRAM, 0, port);
}

void udp_connect(int fd, const struct node *to, int family, uint16_t port)
{
	struct sockaddr_any a = address(to, family, port);

	if (connect(fd, &a.sa, a.len) < 0)
		give_up("connect", -errno);
}

int watch_cable(const struct node *n)
{
	int fd;

	enter(n->ns);
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	if (fd < 0)
		give_up("packet socket", -errno);
	return fd;
}

static bool is_for_overlay(const uint8_t *packet, size_t n)
{
	if (n >= 20 && packet[0] >> 4 == 4)
		return packet[16] == 100 && (packet[17] & 0xc0) == 64;
	return n >= 40 && packet[0] >> 4 == 6 && packet[24] == 0xfd && packet[25] == 0x7a;
}

size_t overlay_packets(int cable)
{
	uint8_t packet[2048];
	size_t seen = 0;
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(cable, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len)) >=
	       0) {
		bool is_ip = from.sll_protocol == htons(ETH_P_IP) ||
			     from.sll_protocol == htons(ETH_P_IPV6);

		seen += from.sll_hatype == ARPHRD_ETHER && is_ip &&
			is_for_overlay(packet, (size_t)n);
		len = sizeof(from);
	}
	return seen;
}

/* --- addresses that are no node's --- */

static struct sockaddr_any address_of(const char *text, uint16_t port)
{
	struct addr parsed = addr_of(text);
	struct sockaddr_any a = {0};

	if (parsed.family == ADDR_V4) {
		a.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&a.v4.sin_addr, parsed.b, 4);
		a.len = sizeof(a.v4);
	} else {
		a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		memcpy(&a.v6.sin6_addr, parsed.b, 16);
		a.len = sizeof(a.v6);
	}
	return a;
}

static int open_any(const char *ns, int family, int type)
{
	int fd, on = 1;

	enter(ns);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		give_up("socket", -errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	return fd;
}

static void bind_to(int fd, const struct sockaddr_any *a)
{
	if (bind(fd, &a->sa, a->len) < 0)
		give_up("bind", -errno);
}

static void join(int fd, const struct sockaddr_any *group, int ifindex)
{
	struct group_req r = {.gr_interface = (uint32_t)ifindex};

	memcpy(&r.gr_group, group, group->len);
	if (setsockopt(fd, group->sa.sa_family == AF_INET ? SOL_IP : SOL_IPV6, MCAST_JOIN_GROUP, &r,
		       sizeof(r)) < 0)
		give_up("join", -errno);
}

static bool is_multicast(const struct sockaddr_any *a)
{
	if (a->sa.sa_family == AF_INET)
		return IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr));
	return IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr);
}

int hear(const struct node *n, const char *group, uint16_t port)
{
	struct sockaddr_any g = address_of(group, port);
	struct sockaddr_any any = address_of(g.sa.sa_family == AF_INET ? "0.0.0.0" : "::", port);
	int fd = open_any(n->ns, g.sa.sa_family, SOCK_DGRAM);

	bind_to(fd, &any);
	if (is_multicast(&g))
		join(fd, &g, n->k->ifindex);
	return fd;
}

int send_by_tunnel(const struct node *n, const char *to, uint16_t port)
{
	struct sockaddr_any dst = address_of(to, port);
	struct sockaddr_any src = address(n, dst.sa.sa_family == AF_INET6, 0);
	int fd = open_any(n->ns, dst.sa.sa_family, SOCK_DGRAM), err;

	bind_to(fd, &src);
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "zt0", 4) < 0)
		give_up("bind to zt0", -errno);
	if (dst.sa.sa_family == AF_INET6)
		dst.v6.sin6_scope_id = (uint32_t)n->k->ifindex;
	err = sendto(fd, "hello", 5, 0, &dst.sa, dst.len) < 0 ? errno : 0;
	close(fd);
	return err;
}

bool has_heard(int fd, int ms)
{
	char data[16];

	return ready(fd, POLLIN, ms) && recv(fd, data, sizeof(data), 0) >= 0;
}

int tcp_listen(const char *ns, int family, uint16_t port)
{
	struct sockaddr_any any = address_of(family ? "::" : "0.0.0.0", port);
	int fd = open_any(ns, any.sa.sa_family, SOCK_STREAM);

	bind_to(fd, &any);
	if (listen(fd, 4) < 0)
		give_up("listen", -errno);
	return fd;
}

int tcp_call(const struct node *from, const char *source, const char *to, uint16_t port)
{
	struct sockaddr_any src = address_of(source, 0), dst = address_of(to, port);
	int fd = open_any(from->ns, dst.sa.sa_family, SOCK_STREAM);

	bind_to(fd, &src);
	if (connect(fd, &dst.sa, dst.len) < 0 && errno != EINPROGRESS)
		give_up("connect", -errno);
	return fd;
}

/* --- a forged ICMP error --- */

static size_t put_inner(int family, const struct node *source, const struct node *target,
			uint8_t *out)
{
	struct iphdr v4 = {.version = 4,
			   .ihl = 5,
			   .ttl = 60,
			   .protocol = IPPROTO_UDP,
			   .tot_len = htons(28 + 8)};
	struct ip6_hdr v6 = {.ip6_nxt = IPPROTO_UDP, .ip6_hlim = 60, .ip6_plen = htons(16)};

	if (family == 0) {
		memcpy(&v4.saddr, source->overlay[0].b, 4);
		memcpy(&v4.daddr, target->overlay[0].b, 4);
		v4.check = checksum(&v4, sizeof(v4));
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.ip6_vfc = 6 << 4;
	memcpy(&v6.ip6_src, source->overlay[1].b, 16);
	memcpy(&v6.ip6_dst, target->overlay[1].b, 16);
	memcpy(out, &v6, sizeof(v6));
	return sizeof(v6);
}

int send_icmp_error(const struct node *from, const struct node *to, int family,
		    const struct node *source, uint16_t port, const struct node *target,
		    uint16_t dport)
{
	uint8_t out[128] = {0};
	struct udphdr udp = {.source = htons(port), .dest = htons(dport), .len = htons(16)};
	int fd =
		open_socket(from, family, SOCK_RAW, family == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
	struct sockaddr_any dst = address(to, family, 0);
	size_t n = 8;
	uint16_t sum;
	int err;

	out[0] = family == 0 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
	out[1] = family == 0 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT;
	n += put_inner(family, source, target, out + n);
	memcpy(out + n, &udp, sizeof(udp));
	n += sizeof(udp) + 8;
	if (family == 0) {
		sum = checksum(out, n);
		memcpy(out + 2, &sum, 2);
	}
	err = sendto(fd, out, n, 0, &dst.sa, dst.len) < 0 ? errno : 0;
	close(fd);
	return err;
}
