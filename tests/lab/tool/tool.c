#include "tests/lab/tool/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct subcommand subcommands[] = {
	{"serve", serve_main, "serve PORT|LO-HI...: echo, TCP and UDP; \"ready\" when all listen"},
	{"probe", probe_main,
	 "probe [-t MS] [-a ADDRESS] [-s PORT] [-b BYTES] tcp|udp HOST PORT|LO-HI...: "
	 "which answer; 0: some"},
	{"pairs", pairs_main,
	 "pairs [-t MS] DIR: reads lines \"MACHINE tcp|udp|icmp ADDRESS PORT\", says yes or no "
	 "behind "
	 "each"},
	{"hold", hold_main,
	 "hold [-g MS] [-i MS] HOST PORT: keep a connection, say when it opens, is cut, is back"},
	{"nodes", nodes_main, "nodes DIR NAME...: a machine (namespaces) each, until it is ended"},
	{"on", on_main, "on DIR/NAME COMMAND...: a command on such a machine"},
};
enum { DESCRIPTORS = 20000 };
enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

_Noreturn void tool_die(const char *what)
{
	fprintf(stderr, "tool: %s: %s\n", what, strerror(errno));
	exit(EXIT_LAB);
}

_Noreturn void tool_usage(void)
{
	for (int i = 0; i < SUBCOMMANDS; i++)
		fprintf(stderr, "tool %s\n", subcommands[i].help);
	exit(EXIT_LAB);
}

int64_t tool_now_us(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

unsigned tool_number(const char *text, unsigned max)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || end == text || *end || n > max)
		tool_usage();
	return (unsigned)n;
}

void tool_port_range(const char *text, uint16_t *ret_lo, uint16_t *ret_hi)
{
	char lo[8];
	const char *dash = strchr(text, '-');

	if (!dash) {
		*ret_lo = *ret_hi = (uint16_t)tool_number(text, 65535);
		return;
	}
	if ((size_t)(dash - text) >= sizeof(lo))
		tool_usage();
	memcpy(lo, text, (size_t)(dash - text));
	lo[dash - text] = '\0';
	*ret_lo = (uint16_t)tool_number(lo, 65535);
	*ret_hi = (uint16_t)tool_number(dash + 1, 65535);
	if (*ret_lo > *ret_hi)
		tool_usage();
}

struct tool_addr tool_address(const char *host, uint16_t port)
{
	struct tool_addr a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.sa;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		a.len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		a.len = sizeof(*v6);
	} else {
		tool_usage();
	}
	return a;
}

/* A socket for each port of a wide range, or each question of many. */
static void raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_max = r.rlim_max < DESCRIPTORS ? DESCRIPTORS : r.rlim_max;
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; argc > 1 && i < SUBCOMMANDS; i++) {
		if (strcmp(argv[1], subcommands[i].name) != 0)
			continue;
		if (subcommands[i].run == serve_main || subcommands[i].run == probe_main ||
		    subcommands[i].run == pairs_main)
			raise_descriptor_limit();
		return subcommands[i].run(argc - 1, argv + 1);
	}
	tool_usage();
}
