/* How long packets still pass after a fact has failed. A datagram leaves one machine of the lab
 * every millisecond; the other end's kernel stamps what arrives. One process has both ends, so
 * there is one clock. For each round: packets pass; the file is made; they stop, and stay away for
 * SILENCE_MS; the file is removed; they pass again.
 *
 *   cut FROM TO ADDRESS PORT FILE ROUNDS CLOCK      FROM, TO: network namespaces; FILE: makes the
 * posture of FROM fail; CLOCK: what the controller's clocks are shifted by (tests/lab/preload)
 *
 * A line a round: microseconds from the making of FILE until the last packet arrived, and until the
 * first was sent that did not. The truth is between the two: on the lab's only CPU the sender, too,
 * has to wait for its turn. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "zt/num.h"

enum {
	INTERVAL_MS = 1,
	SILENCE_MS = 300,
	BEFORE_MS = 400,
	PATIENCE_MS = 15000,
	PATH_TEXT_MAX = 128,
	SENT_MAX = 1 << 16
};

struct ends {
	int from, to;
	uint32_t seq;		   /* of the next packet */
	uint32_t last_seq;	   /* of the last packet that arrived */
	int64_t last_us;	   /* and when */
	int64_t sent_us[SENT_MAX]; /* by seq */
};

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "cut: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void give_up_with(int error, const char *what)
{
	errno = error;
	give_up(what);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t); /* as the kernel's stamps */
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A socket stays in the namespace it was made in. */
static int socket_in(const char *namespace)
{
	char path[PATH_TEXT_MAX];
	int ns, fd;

	if (snprintf(path, sizeof(path), "/run/netns/%s", namespace) >= (int)sizeof(path))
		give_up_with(ENAMETOOLONG, namespace);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		give_up(path);
	close(ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		give_up("socket");
	return fd;
}

static void open_ends(struct ends *e, const char *from, const char *to, const char *address,
		      const char *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	uint64_t n;
	int on = 1;

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1 || num_parse_u64(port, 1, 65535, &n))
		give_up_with(EINVAL, address);
	sa.sin_port = htons((uint16_t)n);
	e->to = socket_in(to);
	if (bind(e->to, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    setsockopt(e->to, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		give_up("bind");
	e->from = socket_in(from);
	if (connect(e->from, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		give_up("connect");
}

static bool receive(struct ends *e)
{
	uint32_t seq;
	union {
		char bytes[CMSG_SPACE(sizeof(struct timespec))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {&seq, sizeof(seq)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	struct timespec t;

	if (recvmsg(e->to, &m, 0) != sizeof(seq))
		return false;
	e->last_seq = seq;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			e->last_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
		}
	return true;
}

/* One packet more, which the filter may refuse; then all that has arrived. */
static void turn(struct ends *e)
{
	struct pollfd p = {.fd = e->to, .events = POLLIN};

	e->sent_us[e->seq % SENT_MAX] = now_us();
	(void)!send(e->from, &e->seq, sizeof(e->seq), 0);
	e->seq++;
	poll(&p, 1, INTERVAL_MS);
	while (receive(e))
		;
	usleep(INTERVAL_MS * 1000);
}

static void send_for(struct ends *e, int64_t ms)
{
	int64_t until = now_us() + ms * 1000;

	while (now_us() < until)
		turn(e);
}

static void await_packets(struct ends *e)
{
	int64_t since = now_us(), give_up_at = since + PATIENCE_MS * 1000;

	while (e->last_us < since) {
		if (now_us() > give_up_at)
			give_up_with(ETIMEDOUT, "no packet passes");
		turn(e);
	}
}

static void cut_once(struct ends *e, const char *file)
{
	int64_t start, give_up_at, lost_us;
	int fd;

	await_packets(e);
	send_for(e, BEFORE_MS);
	start = now_us();
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		give_up(file);
	close(fd);
	give_up_at = start + PATIENCE_MS * 1000;
	while (now_us() - (e->last_us > start ? e->last_us : start) < SILENCE_MS * 1000) {
		if (now_us() > give_up_at)
			give_up_with(ETIMEDOUT, "packets pass though the fact has failed");
		turn(e);
	}
	if (unlink(file) < 0)
		give_up(file);
	lost_us = e->sent_us[(e->last_seq + 1) % SENT_MAX];
	printf("%lld %lld\n", (long long)(e->last_us > start ? e->last_us - start : 0),
	       (long long)(lost_us > start ? lost_us - start : 0));
	fflush(stdout);
}

/* The controller lets a device that flips gain access only so often (controller/pace.h): for its
 * boot clock, minutes go by between the rounds. */
static void skip_minutes(const char *clock_file, uint64_t round)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "0 %llu\n", (unsigned long long)(round + 1) * 120);
	int fd = open(clock_file, O_WRONLY | O_CLOEXEC);

	/* In one write over a line that is no longer: never half a number. */
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		give_up(clock_file);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct ends e;
	uint64_t rounds;

	if (argc != 8 || num_parse_u64(argv[6], 1, 10000, &rounds))
		give_up_with(EINVAL, "usage");
	open_ends(&e, argv[1], argv[2], argv[3], argv[4]);
	for (uint64_t i = 0; i < rounds; i++) {
		skip_minutes(argv[7], i);
		cut_once(&e, argv[5]);
	}
	return 0;
}
