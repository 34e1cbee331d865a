/* libmicrohttpd inside our loop: its epoll descriptor is one of ours, and it runs once at the end
 * of a turn however many events, answers and stream writes there were (it walks all its sleeping
 * connections when one wakes). */
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/http/internal.h"

enum {
	BACKLOG = 1024,
	CONNECTIONS_DEFAULT = 16000,
	DESCRIPTORS_OTHER = 128, /* store, relay, logs: left free under RLIMIT_NOFILE */
	IDLE_DEFAULT_S = 30,
	SHY_MS = 20,	/* between runs that only a handshake which waits for its client asks for */
	RUN_MAX_MS = 2, /* of one turn, when libmicrohttpd always has more */
	WAKE_STREAMS_MS = 500,
};

#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

/* --- in the loop --- */

static void run_soon(struct http_server *s)
{
	loop_timer_set(s->run, loop_now(s->loop).boot_ms);
}

static void wake_now(void *arg)
{
	struct http_server *s = arg;

	while (s->waking) {
		struct http_conn *c = s->waking;

		s->waking = c->next_waking;
		MHD_resume_connection(c->mhd);
	}
	s->woken_ms = loop_now(s->loop).boot_ms;
	run_soon(s);
}

/* Measured: one wake costs 2.1 ms when 10,000 streams sleep, and 10 us for each of 10,000 woken
 * together. So the first goes at once and the next wait a little, by the number of streams: 20 ms
 * at 10,000, nothing below 500. */
void http_wake(struct http_conn *c)
{
	struct http_server *s = c->server;
	int64_t now_ms = loop_now(s->loop).boot_ms,
		at_ms = s->woken_ms + s->stats.streams / WAKE_STREAMS_MS;

	if (!s->waking)
		loop_timer_set(s->wake, at_ms > now_ms ? at_ms : now_ms);
	c->next_waking = s->waking;
	s->waking = c;
}

/* A timer set to the turn's own time would fire in this turn again, before the other descriptors:
 * hence one later. */
static void rearm(struct http_server *s, bool known, MHD_UNSIGNED_LONG_LONG ms)
{
	int64_t now_ms = loop_now(s->loop).boot_ms;

	if (!known)
		return;
	if (ms > 3600 * 1000)
		ms = 3600 * 1000;
	if (ms == 0 && s->shy && !s->moved)
		ms = SHY_MS;
	loop_timer_set(s->run, now_ms + (ms ? (int64_t)ms : 1));
}

static void run(void *arg)
{
	struct http_server *s = arg;
	int64_t until_ms = clock_now().boot_ms + RUN_MAX_MS;
	MHD_UNSIGNED_LONG_LONG ms = 0;
	bool known;

	/* libmicrohttpd 0.9.75 counts a handshake that waits for the client's next bytes as ready,
	 * and would be run without end: a stranger's half a handshake would cost a core. When it is
	 * all there is, its bytes wake us by the descriptor. */
	do {
		s->closed = s->moved = false;
		MHD_run(s->mhd);
		known = MHD_get_timeout(s->mhd, &ms) == MHD_YES;
		/* At its limit libmicrohttpd stops listening, and only a run after the one that
		 * closes begins again. */
		if (s->closed) {
			known = true;
			ms = 0;
		}
	} while (known && ms == 0 && (s->moved || !s->shy) && clock_now().boot_ms < until_ms);
	rearm(s, known, ms);
}

static void ready(void *arg, uint32_t events)
{
	(void)events;
	run_soon(arg);
}

/* --- start --- */

static socklen_t to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};

	memset(ret, 0, sizeof(*ret));
	if (e->addr.family == ADDR_V4) {
		memcpy(&in.sin_addr, e->addr.b, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, e->addr.b, 16);
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

static int bind_to(int fd, const struct endpoint *e)
{
	static const struct addr any6 = {.family = ADDR_V6};
	struct sockaddr_storage sa;
	socklen_t len = to_sockaddr(e, &sa);
	int on = 1, only6 = !addr_equal(&e->addr, &any6);

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (e->addr.family == ADDR_V6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static int listen_failed(int err, const struct endpoint *e, struct diag *d)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_print(e, text);
	diag_set(d, err, "cannot listen on %s: %s", text, zt_strerror(err));
	if (err == -EADDRINUSE)
		diag_hint(d, "another program has this port; choose another with --listen");
	else if (err == -EACCES)
		diag_hint(d, "ports below 1024 take CAP_NET_BIND_SERVICE");
	else if (err == -EADDRNOTAVAIL)
		diag_hint(d, "this machine does not have that address");
	return err;
}

static int listen_on(const struct endpoint *e, int *ret_fd, uint16_t *ret_port, struct diag *d)
{
	struct sockaddr_in6 sa; /* the port stands at the same place in sockaddr_in */
	socklen_t len = sizeof(sa);
	int family = e->addr.family == ADDR_V4 ? AF_INET : AF_INET6, err;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return listen_failed(-errno, e, d);
	err = bind_to(fd, e);
	if (err == 0 && getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return listen_failed(err, e, d);
	}
	*ret_fd = fd;
	*ret_port = ntohs(sa.sin6_port);
	return 0;
}

/* Zeros of the configuration become defaults; no more connections than there can be descriptors. */
static void fill_config(struct http_config *c)
{
	struct rlimit files;

	if (!c->connections_max)
		c->connections_max = CONNECTIONS_DEFAULT;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY &&
	    c->connections_max + DESCRIPTORS_OTHER > files.rlim_cur)
		c->connections_max = files.rlim_cur > 2 * DESCRIPTORS_OTHER
					     ? (unsigned)files.rlim_cur - DESCRIPTORS_OTHER
					     : DESCRIPTORS_OTHER;
	if (!c->connections_per_address_max)
		c->connections_per_address_max = c->connections_max / 4;
	if (!c->idle_timeout_s)
		c->idle_timeout_s = IDLE_DEFAULT_S;
}

static int start_daemon(struct http_server *s, struct diag *d)
{
	const union MHD_DaemonInfo *info;

	s->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_TLS | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, s->port,
		http_conn_accept, s, http_access, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
		MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES, MHD_OPTION_HTTPS_CERT_CALLBACK,
		http_tls_retrieve, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL,
		MHD_OPTION_CONNECTION_LIMIT, s->config.connections_max,
		MHD_OPTION_CONNECTION_TIMEOUT, s->config.idle_timeout_s,
		MHD_OPTION_NOTIFY_CONNECTION, http_conn_notify, s, MHD_OPTION_NOTIFY_COMPLETED,
		http_completed, s, MHD_OPTION_UNESCAPE_CALLBACK, http_unescape, s,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!s->mhd)
		return diag_set(d, -EIO, "the HTTPS server does not start");
	s->listen_fd = -1; /* libmicrohttpd closes it */
	info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (info)
		s->io = loop_io_new(s->loop, info->epoll_fd, EPOLLIN, ready, s);
	return s->io ? 0 : diag_set(d, -EIO, "the HTTPS server does not start");
}

static int start(struct http_server *s, struct diag *d)
{
	uint8_t seed[RATE_SEED_LEN];
	int err = http_routes_check(s->config.routes, d);

	randombytes_buf(seed, sizeof(seed));
	rate_init(&s->rates, seed);
	if (err == 0)
		err = http_tls_load(s->config.cert_file, s->config.key_file, &s->identity, d);
	if (err == 0)
		err = listen_on(&s->config.listen, &s->listen_fd, &s->port, d);
	if (err < 0)
		return err;
	s->run = loop_timer_new(s->loop, run, s);
	s->wake = loop_timer_new(s->loop, wake_now, s);
	if (!s->run || !s->wake)
		return diag_set(d, -ENOMEM, "out of memory");
	return start_daemon(s, d);
}

int http_server_new(struct loop *l, const struct http_config *c, struct http_server **ret,
		    struct diag *d)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return diag_set(d, -ENOMEM, "out of memory");
	s->loop = l;
	s->config = *c;
	s->listen_fd = -1;
	fill_config(&s->config);
	err = start(s, d);
	if (err < 0) {
		http_server_free(s);
		return err;
	}
	run_soon(s); /* its first run watches the listening socket */
	*ret = s;
	return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

int http_server_reload(struct http_server *s, const char *cert_file, const char *key_file,
		       struct diag *d)
{
	struct tls_identity *fresh;
	int err = http_tls_load(cert_file, key_file, &fresh, d);

	if (err < 0)
		return err;
	http_tls_unref(s->identity);
	s->identity = fresh;
	return 0;
}

void http_server_stats(const struct http_server *s, struct http_stats *ret)
{
	*ret = s->stats;
}

/* --- end --- */

void http_server_stop(struct http_server *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->listen_fd = MHD_quiesce_daemon(s->mhd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	s->listen_fd = -1;
	for (struct http_conn *c = s->conns; c; c = c->next) {
		if (!c->request)
			http_conn_cut(c);
		else if (c->request->stream)
			http_stream_finish(c->request->stream);
	}
	run_soon(s);
}

/* libmicrohttpd must not be stopped while it has sleeping connections. */
static void wake_all(struct http_server *s)
{
	wake_now(s);
	for (struct http_conn *c = s->conns; c; c = c->next) {
		struct http_request *r = c->request;

		if (r && r->stream)
			http_stream_abort(r->stream);
		else if (r && r->suspended)
			MHD_resume_connection(c->mhd);
	}
	wake_now(s);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	s->stopping = true;
	loop_io_free(s->io);
	if (s->mhd) {
		wake_all(s);
		MHD_stop_daemon(s->mhd);
	}
	loop_timer_free(s->run);
	loop_timer_free(s->wake);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	http_tls_unref(s->identity);
	free(s);
}
