/* pairs: many questions from many machines at once, for a whole matrix of who reaches whom. Each
 * line of stdin is a question, "MACHINE tcp|udp|icmp ADDRESS PORT" (icmp: any number); the same
 * lines come back with " yes" or " no" behind them. Yes: a byte, or an echo reply, has come back.
 * One process, whose sockets are of the machines' network namespaces. */
#include "tests/lab/tool/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_MAX = 16384, LINE_LEN_MAX = 160, MACHINE_MAX = 64, RESEND_US = 400000 };

enum pair_kind { PAIR_TCP, PAIR_UDP, PAIR_ICMP };
enum pair_state { PAIR_CONNECTING, PAIR_ASKED, PAIR_YES, PAIR_NO };

struct pair {
	char line[LINE_LEN_MAX];
	char machine[MACHINE_MAX];
	enum pair_kind kind;
	struct tool_addr to;
	int fd;
	enum pair_state state;
};

static struct pair pairs[PAIRS_MAX];
static size_t n_pairs, n_pending;
static int epoll = -1;

/* --- questions --- */

static enum pair_kind kind_of(const char *word)
{
	if (strcmp(word, "tcp") == 0)
		return PAIR_TCP;
	if (strcmp(word, "udp") == 0)
		return PAIR_UDP;
	if (strcmp(word, "icmp") != 0)
		tool_usage();
	return PAIR_ICMP;
}

static void read_pair(const char *line)
{
	struct pair *p = &pairs[n_pairs];
	char kind[8], host[INET6_ADDRSTRLEN], port[8];

	if (n_pairs == PAIRS_MAX ||
	    sscanf(line, "%63s %7s %45s %7s", p->machine, kind, host, port) != 4)
		tool_usage();
	snprintf(p->line, sizeof(p->line), "%s", line);
	p->kind = kind_of(kind);
	/* A raw socket's port would be a protocol number. */
	p->to = tool_address(host, (uint16_t)(p->kind == PAIR_ICMP ? 0 : tool_number(port, 65535)));
	n_pairs++;
}

static void read_pairs(void)
{
	char line[LINE_LEN_MAX];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		read_pair(line);
	}
}

/* --- one question --- */

static void settle(struct pair *p, enum pair_state answer)
{
	p->state = answer;
	n_pending--;
	close(p->fd); /* epoll forgets it */
	p->fd = -1;
}

/* The number of the question is the echo's id, and tells its answer from those of others. */
static uint16_t echo_id(const struct pair *p)
{
	return (uint16_t)(p - pairs + 1);
}

static uint16_t checksum(const struct icmphdr *h)
{
	uint16_t words[sizeof(*h) / 2];
	uint32_t sum = 0;

	memcpy(words, h, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static ssize_t send_echo(const struct pair *p)
{
	struct icmp6_hdr v6 = {.icmp6_type = ICMP6_ECHO_REQUEST};
	struct icmphdr v4 = {.type = ICMP_ECHO};

	if (p->to.sa.ss_family == AF_INET6) { /* the kernel makes the checksum */
		v6.icmp6_id = htons(echo_id(p));
		return send(p->fd, &v6, sizeof(v6), 0);
	}
	v4.un.echo.id = htons(echo_id(p));
	v4.checksum = checksum(&v4);
	return send(p->fd, &v4, sizeof(v4), 0);
}

static void ask(struct pair *p)
{
	ssize_t n = p->kind == PAIR_ICMP ? send_echo(p) : send(p->fd, "x", 1, MSG_NOSIGNAL);

	p->state = PAIR_ASKED;
	if (n < 0)
		settle(p, PAIR_NO);
}

static bool is_my_echo(const struct pair *p, const uint8_t *data, size_t n)
{
	struct icmp6_hdr v6;
	struct icmphdr v4;
	size_t head;

	if (p->to.sa.ss_family == AF_INET6) {
		if (n < sizeof(v6))
			return false;
		memcpy(&v6, data, sizeof(v6));
		return v6.icmp6_type == ICMP6_ECHO_REPLY && v6.icmp6_id == htons(echo_id(p));
	}
	head = n ? (size_t)(data[0] & 15) * 4 : 0; /* a raw IPv4 socket hands the IP header over */
	if (n < head + sizeof(v4))
		return false;
	memcpy(&v4, data + head, sizeof(v4));
	return v4.type == ICMP_ECHOREPLY && v4.un.echo.id == htons(echo_id(p));
}

static void receive(struct pair *p)
{
	uint8_t data[512];
	ssize_t n = recv(p->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		settle(p, PAIR_NO);
	else if (p->kind != PAIR_ICMP || is_my_echo(p, data, (size_t)n))
		settle(p, PAIR_YES);
}

static void watch(struct pair *p, int how, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = p};

	if (epoll_ctl(epoll, how, p->fd, &e) < 0)
		tool_die("epoll_ctl");
}

static void connected(struct pair *p)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		settle(p, PAIR_NO);
		return;
	}
	watch(p, EPOLL_CTL_MOD, EPOLLIN);
	ask(p);
}

static void open_socket(struct pair *p)
{
	int family = p->to.sa.ss_family, v6 = family == AF_INET6;

	if (p->kind == PAIR_ICMP)
		p->fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			       v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	else
		p->fd = socket(family,
			       (p->kind == PAIR_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK |
				       SOCK_CLOEXEC,
			       0);
	if (p->fd < 0)
		tool_die("socket");
}

static void start(struct pair *p)
{
	open_socket(p);
	n_pending++;
	if (connect(p->fd, (struct sockaddr *)&p->to.sa, p->to.len) < 0 && errno != EINPROGRESS) {
		settle(p, PAIR_NO);
		return;
	}
	watch(p, EPOLL_CTL_ADD, p->kind == PAIR_TCP ? EPOLLOUT : EPOLLIN);
	if (p->kind != PAIR_TCP)
		ask(p);
}

/* --- all of them --- */

/* From one machine after the other: changing the namespace for each socket would cost more. */
static void start_all(const char *dir)
{
	char path[512];

	for (size_t i = 0; i < n_pairs; i++) {
		if (i == 0 || strcmp(pairs[i].machine, pairs[i - 1].machine) != 0) {
			snprintf(path, sizeof(path), "%s/%s", dir, pairs[i].machine);
			tool_enter_network(path);
		}
		start(&pairs[i]);
	}
}

static void step(struct pair *p)
{
	if (p->state == PAIR_CONNECTING)
		connected(p);
	else
		receive(p);
}

/* The first datagram may be lost while WireGuard makes its handshake. */
static void ask_again(void)
{
	for (size_t i = 0; i < n_pairs; i++)
		if (pairs[i].state == PAIR_ASKED && pairs[i].kind != PAIR_TCP)
			ask(&pairs[i]);
}

static void run(unsigned timeout_ms)
{
	int64_t now = tool_now_us(CLOCK_MONOTONIC), end = now + (int64_t)timeout_ms * 1000;
	int64_t again = now + RESEND_US;
	struct epoll_event events[256];

	for (; n_pending && now < end; now = tool_now_us(CLOCK_MONOTONIC)) {
		int64_t until = again < end ? again : end;
		int n = epoll_wait(epoll, events, 256,
				   now < until ? (int)((until - now) / 1000) + 1 : 0);

		for (int i = 0; i < n; i++)
			step(events[i].data.ptr);
		if (now >= again) {
			ask_again();
			again = now + RESEND_US;
		}
	}
}

int pairs_main(int argc, char **argv)
{
	unsigned timeout_ms = 2500;
	int option;

	while ((option = getopt(argc, argv, "+t:")) != -1) {
		if (option != 't')
			tool_usage();
		timeout_ms = tool_number(optarg, 600000);
	}
	if (argc - optind != 1)
		tool_usage();
	read_pairs();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		tool_die("epoll");
	start_all(argv[optind]);
	run(timeout_ms);
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	for (size_t i = 0; i < n_pairs; i++)
		printf("%s %s\n", pairs[i].line, pairs[i].state == PAIR_YES ? "yes" : "no");
	return 0;
}
