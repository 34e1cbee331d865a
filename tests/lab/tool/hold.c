/* hold: one TCP connection that exchanges a byte every few ms. Each line is an event and a
 * wall-clock time in microseconds, as bash's EPOCHREALTIME without the dot: open T connected, and
 * the first byte is back cut T           silence for -g ms; T is when the last byte came back back
 * T GAP_MS   a byte again, after so long closed T TEXT   the connection ended; then hold ends,
 * status 1 end T GAP_MS    ended by SIGTERM; the longest silence of all */
#include "tests/lab/tool/tool.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct hold {
	int fd;
	unsigned gap_ms, interval_ms;
	int64_t last_us; /* monotonic, of the last byte back; 0: none yet */
	int64_t last_wall_us;
	int64_t longest_us;
	bool waiting; /* a byte is on its way */
	bool cut;     /* and said so */
};

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
	(void)signal;
	ended = 1;
}

static void say(const char *event, int64_t time_us, const char *more)
{
	printf("%s %lld%s%s\n", event, (long long)time_us, *more ? " " : "", more);
}

static void say_gap(const char *event, int64_t time_us, int64_t gap_us)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)(gap_us / 1000));
	say(event, time_us, text);
}

static void connect_to(struct hold *h, const char *host, const char *port)
{
	struct tool_addr to = tool_address(host, (uint16_t)tool_number(port, 65535));
	int on = 1;

	h->fd = socket(to.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (h->fd < 0)
		tool_die("socket");
	setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(h->fd, (struct sockaddr *)&to.sa, to.len) < 0) {
		say("closed", tool_now_us(CLOCK_REALTIME), strerror(errno));
		_exit(1);
	}
}

static void note_reply(struct hold *h)
{
	int64_t now = tool_now_us(CLOCK_MONOTONIC), gap = h->last_us ? now - h->last_us : 0;

	h->last_wall_us = tool_now_us(CLOCK_REALTIME);
	if (!h->last_us)
		say("open", h->last_wall_us, "");
	if (h->cut)
		say_gap("back", h->last_wall_us, gap);
	if (gap > h->longest_us)
		h->longest_us = gap;
	h->last_us = now;
	h->cut = false;
	h->waiting = false;
}

static void say_cut(struct hold *h)
{
	if (!h->cut && h->last_us)
		say("cut", h->last_wall_us, "");
	h->cut = true;
}

static void note_silence(struct hold *h)
{
	int64_t gap = h->last_us ? tool_now_us(CLOCK_MONOTONIC) - h->last_us : 0;

	if (gap > h->longest_us)
		h->longest_us = gap;
	if (gap >= (int64_t)h->gap_ms * 1000)
		say_cut(h);
}

static bool close_down(struct hold *h, const char *why)
{
	if (ended)
		return false;
	say_cut(h);
	say("closed", tool_now_us(CLOCK_REALTIME), why);
	return false;
}

static bool send_byte(struct hold *h)
{
	if (send(h->fd, "x", 1, MSG_NOSIGNAL) != 1)
		return close_down(h, strerror(errno));
	h->waiting = true;
	return true;
}

static bool receive(struct hold *h)
{
	char data[256];
	ssize_t n = recv(h->fd, data, sizeof(data), 0);

	if (n <= 0)
		return close_down(h, n == 0 ? "by the other side" : strerror(errno));
	note_reply(h);
	return true;
}

/* One byte is under way at a time, so every silence is seen. */
static bool turn(struct hold *h)
{
	struct pollfd p = {.fd = h->fd, .events = POLLIN};
	int n = poll(&p, 1, (int)h->interval_ms);

	if (n < 0)
		return false; /* a signal */
	if (n > 0 && !receive(h))
		return false;
	if (n == 0 && !h->waiting)
		return send_byte(h);
	note_silence(h);
	return true;
}

int hold_main(int argc, char **argv)
{
	struct hold h = {.gap_ms = 1500, .interval_ms = 5};
	struct sigaction end = {.sa_handler = on_signal};
	int option;

	while ((option = getopt(argc, argv, "+g:i:")) != -1) {
		if (option == 'g')
			h.gap_ms = tool_number(optarg, 600000);
		else if (option == 'i')
			h.interval_ms = tool_number(optarg, 60000);
		else
			tool_usage();
	}
	if (argc - optind != 2)
		tool_usage();
	sigaction(SIGTERM, &end, NULL);
	connect_to(&h, argv[optind], argv[optind + 1]);
	while (!ended && turn(&h))
		;
	if (!ended)
		return 1;
	say_gap("end", tool_now_us(CLOCK_REALTIME), h.longest_us);
	return 0;
}
