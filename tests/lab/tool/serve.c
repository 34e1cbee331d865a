/* serve: echoes what comes by TCP and UDP, IPv4 and IPv6, on any number of ports. */
#include "tests/lab/tool/tool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum kind { KIND_LISTENER, KIND_UDP, KIND_CONNECTION };

static void watch(int epoll, int fd, enum kind kind)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | (uint32_t)fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		tool_die("epoll_ctl");
}

static void open_port(int epoll, int type, enum kind kind, uint16_t port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;

	if (fd < 0)
		tool_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		tool_die("bind");
	if (type == SOCK_STREAM && listen(fd, 64) < 0)
		tool_die("listen");
	watch(epoll, fd, kind);
}

static void echo_datagram(int fd)
{
	static char data[65536];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len);

	if (n >= 0)
		sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static void echo_stream(int fd)
{
	char data[4096];
	ssize_t n = recv(fd, data, sizeof(data), 0);

	/* What does not fit is lost, and then the connection is of no more use. */
	if (n <= 0 || send(fd, data, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		close(fd);
}

static void handle(int epoll, enum kind kind, int fd)
{
	int connection;

	switch (kind) {
	case KIND_LISTENER:
		connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (connection >= 0)
			watch(epoll, connection, KIND_CONNECTION);
		break;
	case KIND_UDP:
		echo_datagram(fd);
		break;
	case KIND_CONNECTION:
		echo_stream(fd);
		break;
	}
}

static _Noreturn void serve(int epoll)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++)
			handle(epoll, (enum kind)(events[i].data.u64 >> 32),
			       (int)(uint32_t)events[i].data.u64);
	}
}

int serve_main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint16_t lo, hi;

	if (argc < 2)
		tool_usage();
	for (int i = 1; i < argc; i++) {
		tool_port_range(argv[i], &lo, &hi);
		for (unsigned port = lo; port <= hi; port++) {
			open_port(epoll, SOCK_STREAM, KIND_LISTENER, (uint16_t)port);
			open_port(epoll, SOCK_DGRAM, KIND_UDP, (uint16_t)port);
		}
	}
	puts("ready");
	serve(epoll);
}
