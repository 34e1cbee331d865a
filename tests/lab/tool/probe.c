/* probe: asks many ports at once and prints those that echo, one a line. A port counts as reached
 * only when a byte has come back, so that a refusal made up on the way is not an answer. */
#include "tests/lab/tool/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_MAX = 8192, BYTES_MAX = 60000, RESEND_US = 300000 };

enum target_state { TARGET_CONNECTING, TARGET_ASKED, TARGET_REACHED, TARGET_FAILED };

struct target {
	uint16_t port;
	enum target_state state;
	int error; /* errno of the failure; 0: silence */
};

struct probe {
	int type; /* SOCK_STREAM, SOCK_DGRAM */
	unsigned timeout_ms, bytes;
	uint16_t source_port; /* 0: any */
	const char *source;   /* NULL: any */
	const char *host;
	struct target targets[PORTS_MAX];
	struct pollfd fds[PORTS_MAX];
	nfds_t n;
};

static struct probe probe = {.timeout_ms = 1000, .bytes = 1};

static void fail(nfds_t i, int error)
{
	probe.targets[i].state = TARGET_FAILED;
	probe.targets[i].error = error;
	probe.fds[i].fd = -1; /* poll leaves it out; the socket ends with the process */
}

static void ask(nfds_t i)
{
	static char data[BYTES_MAX];

	if (send(probe.fds[i].fd, data, probe.bytes, MSG_NOSIGNAL) < 0) {
		fail(i, errno);
		return;
	}
	probe.targets[i].state = TARGET_ASKED;
	probe.fds[i].events = POLLIN;
}

static void bind_source(int fd, int family)
{
	const char *any = family == AF_INET ? "0.0.0.0" : "::";
	struct tool_addr from = tool_address(probe.source ? probe.source : any, probe.source_port);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from.sa, from.len) < 0)
		tool_die("bind");
}

static void start(nfds_t i)
{
	struct tool_addr to = tool_address(probe.host, probe.targets[i].port);
	int fd = socket(to.sa.ss_family, probe.type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		tool_die("socket");
	probe.fds[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
	if (probe.source || probe.source_port)
		bind_source(fd, to.sa.ss_family);
	if (connect(fd, (struct sockaddr *)&to.sa, to.len) < 0 && errno != EINPROGRESS)
		fail(i, errno);
	else if (probe.type == SOCK_DGRAM)
		ask(i);
}

static void step(nfds_t i)
{
	static char data[BYTES_MAX];
	int error = 0;
	socklen_t len = sizeof(error);
	ssize_t n;

	if (probe.targets[i].state == TARGET_CONNECTING) {
		getsockopt(probe.fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error)
			fail(i, error);
		else
			ask(i);
		return;
	}
	n = recv(probe.fds[i].fd, data, sizeof(data), 0);
	if (n > 0) {
		probe.targets[i].state = TARGET_REACHED;
		probe.fds[i].fd = -1;
	} else {
		fail(i, n < 0 ? errno : ECONNRESET);
	}
}

/* The first datagram may be lost while WireGuard makes its handshake. */
static void ask_again(void)
{
	for (nfds_t i = 0; i < probe.n; i++)
		if (probe.fds[i].fd >= 0 && probe.targets[i].state == TARGET_ASKED)
			ask(i);
}

static bool is_pending(void)
{
	for (nfds_t i = 0; i < probe.n; i++)
		if (probe.fds[i].fd >= 0)
			return true;
	return false;
}

static void run(void)
{
	int64_t now = tool_now_us(CLOCK_MONOTONIC), end = now + (int64_t)probe.timeout_ms * 1000;
	int64_t again = now + RESEND_US;

	for (; is_pending() && now < end; now = tool_now_us(CLOCK_MONOTONIC)) {
		int64_t until = again < end ? again : end;

		poll(probe.fds, probe.n, now < until ? (int)((until - now) / 1000) + 1 : 0);
		for (nfds_t i = 0; i < probe.n; i++)
			if (probe.fds[i].fd >= 0 && probe.fds[i].revents)
				step(i);
		if (probe.type == SOCK_DGRAM && now >= again) {
			ask_again();
			again = now + RESEND_US;
		}
	}
}

static int report(void)
{
	int reached = 0;

	for (nfds_t i = 0; i < probe.n; i++)
		if (probe.targets[i].state == TARGET_REACHED) {
			printf("%u\n", probe.targets[i].port);
			reached++;
		}
	if (probe.n == 1 && !reached)
		fprintf(stderr, "%s %u: %s\n", probe.host, probe.targets[0].port,
			probe.targets[0].error ? strerror(probe.targets[0].error) : "no answer");
	return reached ? 0 : 1;
}

static void add_ports(const char *text)
{
	uint16_t lo, hi;

	tool_port_range(text, &lo, &hi);
	for (unsigned port = lo; port <= hi; port++) {
		if (probe.n == PORTS_MAX)
			tool_usage();
		probe.targets[probe.n++] = (struct target){.port = (uint16_t)port};
	}
}

int probe_main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "+t:s:a:b:")) != -1) {
		if (option == 't')
			probe.timeout_ms = tool_number(optarg, 600000);
		else if (option == 's')
			probe.source_port = (uint16_t)tool_number(optarg, 65535);
		else if (option == 'a')
			probe.source = optarg;
		else if (option == 'b')
			probe.bytes = tool_number(optarg, BYTES_MAX);
		else
			tool_usage();
	}
	if (argc - optind < 3)
		tool_usage();
	probe.type = strcmp(argv[optind], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	probe.host = argv[optind + 1];
	for (int i = optind + 2; i < argc; i++)
		add_ports(argv[i]);
	for (nfds_t i = 0; i < probe.n; i++)
		start(i);
	run();
	return report();
}
