/* ztnode ping: echo requests through the overlay, and the path they took. */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "zt/log.h"
#include "zt/num.h"
#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/ask.h"
#include "ztnode/cli/echo.h"
#include "ztnode/cli/peer.h"

enum {
	COUNT_DEFAULT = 4,
	COUNT_MAX = 1000000,
	INTERVAL_MS = 1000,
	WAIT_MS = 2000,
	FIRST_WAIT_MS = 6000, /* WireGuard tries a lost handshake again after 5 s; the packet waits
				 for it */
	NAME_SIZE = 64,
	PATH_SIZE = 96,
};

struct ping {
	const struct node_config *config;
	const char *word; /* as the user called the peer */
	char name[NAME_SIZE], address[ADDR_TEXT_MAX];
	struct addr addr;
	int fd;
	bool raw; /* sees everybody's ICMP, with the IPv4 header */
	struct echo echo;
	unsigned sent, received;
	double min_ms, max_ms, sum_ms;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* --- the socket --- */

/* A ping socket needs no rights where ping_group_range allows it; a raw one needs root. */
static int open_icmp(struct ping *p)
{
	int family = p->addr.family == ADDR_V6 ? AF_INET6 : AF_INET;
	int proto = p->addr.family == ADDR_V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

	p->fd = socket(family, SOCK_DGRAM | flags, proto);
	p->raw = p->fd < 0;
	if (p->raw)
		p->fd = socket(family, SOCK_RAW | flags, proto);
	return p->fd < 0 ? -errno : 0;
}

static int connect_to(struct ping *p)
{
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	int err;

	if (p->addr.family == ADDR_V6) {
		memcpy(&to6.sin6_addr, p->addr.b, sizeof(to6.sin6_addr));
		err = connect(p->fd, (const struct sockaddr *)&to6, sizeof(to6));
	} else {
		memcpy(&to4.sin_addr, p->addr.b, sizeof(to4.sin_addr));
		err = connect(p->fd, (const struct sockaddr *)&to4, sizeof(to4));
	}
	return err ? -errno : 0;
}

/* Bound to the interface: without its routes the packets must not leave by another one. */
static int open_ping(struct ping *p, struct diag *d)
{
	const char *interface = p->config->interface;
	int err = open_icmp(p);

	if (err) {
		diag_set(d, err, "cannot open an ICMP socket: %s", zt_strerror(err));
		diag_hint(d,
			  "run as root, or allow ping sockets: sysctl net.ipv4.ping_group_range");
		return err;
	}
	if (setsockopt(p->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)))
		err = -errno;
	if (!err)
		err = connect_to(p);
	if (err) {
		diag_set(d, err, "cannot send through %s: %s", interface, zt_strerror(err));
		diag_hint(d, "is it up? ztnode status, ztnode up");
	}
	return err;
}

/* --- one echo --- */

/* The path may change with every packet (a relay first, then direct), so it is asked for each time.
 */
static void read_path(const struct ping *p, char *out, size_t size)
{
	char path[PATH_SIZE] = "unknown path";
	json_t *status = NULL;
	const json_t *peer;
	struct diag d = {0};

	if (ask_call(p->config->run_dir, "status", NULL, ASK_LIMIT_MS, &status, &d) == 0) {
		peer = peer_find(status, p->word, &d);
		if (peer)
			peer_path(peer, path, sizeof(path));
		json_decref(status);
	}
	txt_safe(path, out, size);
}

static bool receive_reply(const struct ping *p)
{
	uint8_t packet[2048];
	ssize_t n = recv(p->fd, packet, sizeof(packet), 0);

	return n > 0 && echo_is_reply(&p->echo, packet, (size_t)n,
				      p->raw && p->addr.family == ADDR_V4, !p->raw);
}

static bool wait_reply(const struct ping *p, double end_ms)
{
	struct pollfd fd = {.fd = p->fd, .events = POLLIN};
	double left = end_ms - now_ms();

	while (left > 0 && !interrupted) {
		if (poll(&fd, 1, (int)left + 1) > 0 && receive_reply(p))
			return true;
		left = end_ms - now_ms();
	}
	return false;
}

static void count_reply(struct ping *p, double rtt_ms)
{
	char path[PATH_SIZE];

	p->min_ms = p->received == 0 || rtt_ms < p->min_ms ? rtt_ms : p->min_ms;
	p->max_ms = rtt_ms > p->max_ms ? rtt_ms : p->max_ms;
	p->sum_ms += rtt_ms;
	p->received++;
	read_path(p, path, sizeof(path));
	printf("%d bytes from %s (%s): seq=%u time=%.2f ms via %s\n", ECHO_SIZE, p->name,
	       p->address, p->echo.seq, rtt_ms, path);
}

/* What the kernel's refusal to send means here. */
static const char *send_problem(int err)
{
	if (err == EDESTADDRREQ)
		return "no endpoint of this peer is known yet";
	if (err == ENOKEY)
		return "no peer has this address now";
	return err == EPERM ? "the filter does not let it out" : zt_strerror(err);
}

static void echo_once(struct ping *p, int wait_ms)
{
	uint8_t packet[ECHO_SIZE];
	double start;

	p->echo.seq++;
	p->sent++;
	echo_encode(&p->echo, packet);
	start = now_ms();
	if (send(p->fd, packet, sizeof(packet), 0) < 0)
		printf("seq=%u: %s\n", p->echo.seq, send_problem(errno));
	else if (wait_reply(p, start + wait_ms))
		count_reply(p, now_ms() - start);
	else if (!interrupted)
		printf("seq=%u: no answer in %d s\n", p->echo.seq, wait_ms / 1000);
	fflush(stdout);
}

/* --- all of them --- */

static void sleep_until(double end_ms)
{
	double left = end_ms - now_ms();

	while (left > 0 && !interrupted) {
		poll(NULL, 0, (int)left + 1);
		left = end_ms - now_ms();
	}
}

static int print_sum(const struct ping *p)
{
	unsigned lost = p->sent - p->received;

	printf("%u sent, %u received, %u%% lost", p->sent, p->received,
	       p->sent ? lost * 100 / p->sent : 0);
	if (p->received)
		printf(", min/avg/max %.2f/%.2f/%.2f ms", p->min_ms, p->sum_ms / p->received,
		       p->max_ms);
	printf("\n");
	return p->received ? ZT_EXIT_OK : ZT_EXIT_FAILED;
}

static int ping_all(struct ping *p, unsigned count)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	printf("ping %s (%s) through %s\n", p->name, p->address, p->config->interface);
	for (unsigned i = 0; i < count && !interrupted; i++) {
		double next = now_ms() + INTERVAL_MS;

		echo_once(p, i == 0 ? FIRST_WAIT_MS : WAIT_MS);
		if (i + 1 < count)
			sleep_until(next);
	}
	return print_sum(p);
}

static int find_target(struct ping *p, const json_t *status, struct diag *d)
{
	const json_t *peer = peer_find(status, p->word, d);
	const char *name = json_string_value(json_object_get(peer, "name"));

	if (!peer)
		return ZT_EXIT_FAILED;
	txt_safe(name ? name : p->word, p->name, sizeof(p->name));
	if (peer_address(peer, p->word, &p->addr)) {
		diag_set(d, -ZT_EABSENT, "%s has no overlay address", p->name);
		return ZT_EXIT_FAILED;
	}
	addr_print(&p->addr, p->address);
	return peer_may_ping(status, peer, p->word, d);
}

static int ping_peer(const struct node_config *c, const char *word, unsigned count)
{
	struct ping p = {.config = c, .word = word, .fd = -1};
	struct diag d = {0};
	json_t *answer;
	int status = ask_daemon(c->run_dir, "status", NULL, &answer);

	if (status)
		return status;
	status = find_target(&p, answer, &d);
	json_decref(answer);
	p.echo = (struct echo){.family = p.addr.family, .id = (uint16_t)getpid()};
	if (!status && open_ping(&p, &d))
		status = ZT_EXIT_FAILED;
	if (status)
		log_diag(&d);
	else
		status = ping_all(&p, count);
	if (p.fd >= 0)
		close(p.fd);
	return status;
}

int cmd_ping(const struct node_config *c, int argc, char **argv)
{
	const char *word, *count_text = NULL;
	const struct arg_option options[] = {{"-c", &count_text, NULL}};
	uint64_t count = COUNT_DEFAULT;
	struct diag d = {0};

	if (args_parse(argc, argv, options, 1, &word, 1, 1, &d))
		return args_usage(argv[0], &d);
	if (count_text && num_parse_u64(count_text, 1, COUNT_MAX, &count)) {
		diag_set(&d, -EINVAL, "ping: -c takes a number from 1 to %d", COUNT_MAX);
		return args_usage(argv[0], &d);
	}
	return ping_peer(c, word, (unsigned)count);
}
