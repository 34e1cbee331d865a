/* One client's connection: who has how many, and a deadline for whatever the client must do next,
 * so that one that dribbles bytes is cut as one that is silent is (libmicrohttpd's own timeout only
 * sees silence). */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "controller/http/internal.h"

struct addr http_addr_net(const struct addr *a)
{
	struct addr net = *a;

	if (a->family == ADDR_V6)
		memset(net.b + 8, 0, 8); /* whoever has one address of a /64 has all of it */
	return net;
}

static bool is_mapped(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

static struct endpoint endpoint_of(const struct sockaddr *sa)
{
	struct endpoint e = {0};
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		e.port = ntohs(in.sin_port);
		e.addr = addr_v4((const uint8_t *)&in.sin_addr);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		e.port = ntohs(in6.sin6_port);
		e.addr = is_mapped(&in6.sin6_addr) ? addr_v4(in6.sin6_addr.s6_addr + 12)
						   : addr_v6(in6.sin6_addr.s6_addr);
	}
	return e;
}

/* --- how many connections an address has --- */

static struct http_peer **peer_slot(struct http_server *s, const struct addr *net)
{
	uint64_t h; /* keyed, so that nobody can choose addresses that share a list */
	struct http_peer **at;

	crypto_shorthash((uint8_t *)&h, net->b, sizeof(net->b), s->rates.seed);
	at = &s->peers[h % HTTP_PEER_BUCKETS];
	while (*at && !addr_equal(&(*at)->addr, net))
		at = &(*at)->next;
	return at;
}

static struct http_peer *peer_add(struct http_server *s, const struct addr *net)
{
	struct http_peer **at = peer_slot(s, net);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return NULL;
		(*at)->addr = *net;
	}
	(*at)->connections++;
	return *at;
}

static void peer_remove(struct http_server *s, struct http_peer *p)
{
	struct http_peer **at;

	if (!p || --p->connections > 0)
		return;
	at = peer_slot(s, &p->addr);
	*at = p->next;
	free(p);
}

enum MHD_Result http_conn_accept(void *server, const struct sockaddr *sa, socklen_t len)
{
	struct http_server *s = server;
	struct endpoint from = endpoint_of(sa);
	struct addr net = http_addr_net(&from.addr);
	struct http_peer *p = *peer_slot(s, &net);

	(void)len;
	if ((!p || p->connections < s->config.connections_per_address_max) &&
	    http_rate_connect(s, &net))
		return MHD_YES;
	s->stats.refused++;
	return MHD_NO;
}

/* --- deadline --- */

void http_conn_cut(struct http_conn *c)
{
	shutdown(c->fd, SHUT_RDWR); /* libmicrohttpd sees the end and cleans up */
}

static void deadline_over(void *arg)
{
	http_conn_cut(arg);
}

void http_conn_deadline(struct http_conn *c, uint64_t bytes)
{
	int64_t ms = (int64_t)c->server->config.idle_timeout_s * 1000;

	ms += (int64_t)(bytes / HTTP_SLOWEST_BYTES_S) * 1000;
	loop_timer_set(c->deadline, loop_now(c->server->loop).boot_ms + ms);
}

void http_conn_no_deadline(struct http_conn *c)
{
	loop_timer_set(c->deadline, -1);
}

/* --- life --- */

static void conn_free(struct http_conn *c)
{
	struct http_server *s = c->server;

	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->stats.connections--;
	s->shy -= !c->asked;
	s->closed = true;
	loop_timer_free(c->deadline);
	peer_remove(s, c->peer);
	http_tls_unref(c->identity);
	free(c);
}

/* A client that vanished without a word (sleep, a pulled cable) is gone when what we wrote is not
 * acknowledged: without this the kernel tries for a quarter of an hour, and a stream counts as
 * online meanwhile. */
static void expect_acknowledgements(const struct http_conn *c)
{
	unsigned ms = 2 * c->server->config.idle_timeout_s * 1000;

	setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

static struct endpoint local_endpoint(int fd)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return (struct endpoint){0};
	return endpoint_of((const struct sockaddr *)&sa);
}

static struct http_conn *conn_new(struct http_server *s, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *addr, *fd;
	struct http_conn *c = calloc(1, sizeof(*c));
	struct addr net;

	if (!c)
		return NULL;
	addr = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	*c = (struct http_conn){.server = s,
				.mhd = mhd,
				.fd = fd->connect_fd,
				.from = endpoint_of(addr->client_addr),
				.local = local_endpoint(fd->connect_fd)};
	net = http_addr_net(&c->from.addr);
	c->deadline = loop_timer_new(s->loop, deadline_over, c);
	c->peer = c->deadline ? peer_add(s, &net) : NULL;
	if (!c->peer) {
		loop_timer_free(c->deadline);
		free(c);
		return NULL;
	}
	expect_acknowledgements(c);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->shy++;
	s->moved = true;
	s->stats.connections++;
	return c;
}

/* A connection without our part (out of memory) gets no certificate and so ends in its handshake.
 */
void http_conn_notify(void *server, struct MHD_Connection *mhd, void **slot,
		      enum MHD_ConnectionNotificationCode what)
{
	struct http_conn *c;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		c = conn_new(server, mhd);
		*slot = c;
		if (c)
			http_conn_deadline(c, 0);
	} else if (*slot) {
		conn_free(*slot);
		*slot = NULL;
	}
}
