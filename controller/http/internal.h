/* What the files of controller/http share.
 *
 *     server.c   daemon in the loop, start and stop      conn.c     one client: address count,
 * deadline, slot tls.c      certificate, new for new connections    request.c  one request: form,
 * body, handler, answer route.c    which route, who may, how often         reply.c    answers and
 * the table of errors stream.c   long answers                            rate.c     token buckets
 * (pure)
 *
 * Life of a request, with what libmicrohttpd calls (M):
 *
 *     M access 1st  request_begin: route, caller, limits      -> refusal kept in r->response
 *     M access n    body bytes
 *     M access last handler; answered -> queued, else the connection is suspended until
 * http_reply_* resumes it M completed   free; or, when the handler still owes the answer (server
 * freed meanwhile), conn = NULL and the answer frees it */
#pragma once

#include <gnutls/abstract.h>
#include <microhttpd.h>

#include "controller/http/http.h"
#include "controller/http/rate.h"
#include "zt/arena.h"
#include "zt/buf.h"

enum {
	HTTP_POOL =
		8 << 10, /* bytes of a connection for request line, headers and replies' headers */
	HTTP_HEADERS_MAX = 48,
	HTTP_QUERY_MAX = 16,	    /* ?a=b&... of one request */
	HTTP_PARAM_MAX = 4,	    /* {x} of one route */
	HTTP_SCRATCH_MAX = 1 << 20, /* http_request_alloc, in total */
	/* A refused request's body up to here is read over, so that the client hears the refusal
	 * and not a reset. Longer ones come with "Expect: 100-continue" (libcurl: from 1 MiB) and
	 * are refused before they are sent. */
	HTTP_DRAIN_MAX = 1 << 20,
	HTTP_SLOWEST_BYTES_S = 16 << 10, /* bodies and replies slower than this are cut */
	HTTP_REPLY_HEADERS_MAX = 4,
};

/* Certificate chain and key, kept as long as a connection's handshake may use them. */
struct tls_identity {
	unsigned refs;
	unsigned n_certs;
	gnutls_pcert_st certs[8];
	gnutls_privkey_t key;
};

/* How many connections an address (IPv4) or a /64 (IPv6) has. */
struct http_peer {
	struct addr addr;
	unsigned connections;
	struct http_peer *next; /* in its bucket */
};

enum { HTTP_PEER_BUCKETS = 4096 };

struct http_conn {
	struct http_server *server;
	struct MHD_Connection *mhd;
	struct http_conn *prev, *next;
	struct http_conn *next_waking; /* in the server's list; only while its connection sleeps */
	struct http_peer *peer;
	struct endpoint from, local;   /* local: the one that was called */
	int fd;			       /* libmicrohttpd's */
	struct loop_timer *deadline;   /* past it the socket is shut down */
	struct tls_identity *identity; /* NULL before the handshake */
	struct http_request *request;  /* NULL between requests */
	struct http_conn_slot slot;
	bool asked; /* a request came: the handshake is over */
};

struct http_pair {
	const char *name;
	size_t name_len;
	const char *value; /* decoded, in the arena */
};

struct http_request {
	struct http_server *server; /* NULL with conn */
	struct http_conn *conn;	    /* NULL: the client has gone */
	const struct http_route *route;
	struct http_caller caller;
	struct endpoint from, local;
	struct arena arena;
	struct buf body;
	struct http_pair params[HTTP_PARAM_MAX], query[HTTP_QUERY_MAX];
	size_t n_params, n_query;
	bool handling;	/* the handler has it */
	bool suspended; /* libmicrohttpd sleeps on it */
	bool answered;
	int status;
	struct MHD_Response
		*response; /* NULL although answered: out of memory, the connection is closed */
	struct http_stream *stream;
	struct {
		const char *name, *value;
	} headers[HTTP_REPLY_HEADERS_MAX];
	size_t n_headers;
	struct http_conn_slot no_slot; /* for a client that has gone */
};

struct http_server {
	struct loop *loop;
	struct http_config config;
	struct MHD_Daemon *mhd;
	int listen_fd; /* ours after stop, libmicrohttpd's before */
	uint16_t port;
	struct loop_io *io;
	struct loop_timer *run;
	struct loop_timer *wake; /* when the waking ones are resumed */
	int64_t woken_ms;	 /* when some were, last */
	struct http_conn *waking;
	bool stopping;
	bool closed;  /* a connection ended in this run */
	bool moved;   /* this run came further with something */
	unsigned shy; /* connections that have not asked yet */
	struct tls_identity *identity;
	struct http_conn *conns;
	struct http_peer *peers[HTTP_PEER_BUCKETS];
	struct rate_table rates;
	struct http_stats stats;
};

/* --- server.c --- */
/* Resumes a sleeping connection, together with others that are woken about now: libmicrohttpd walks
 * all that sleep. */
void http_wake(struct http_conn *c);

/* --- tls.c --- */
int http_tls_load(const char *cert_file, const char *key_file, struct tls_identity **ret,
		  struct diag *d) ZT_MUST_USE;
void http_tls_unref(struct tls_identity *i);
int http_tls_retrieve(gnutls_session_t session, const gnutls_datum_t *req_ca, int n_req_ca,
		      const gnutls_pk_algorithm_t *algos, int n_algos, gnutls_pcert_st **certs,
		      unsigned *n_certs, gnutls_privkey_t *key);

/* --- conn.c --- */
enum MHD_Result http_conn_accept(void *server, const struct sockaddr *addr, socklen_t len);
void http_conn_notify(void *server, struct MHD_Connection *mhd, void **slot,
		      enum MHD_ConnectionNotificationCode what);
void http_conn_deadline(struct http_conn *c,
			uint64_t bytes); /* from now, time for this many bytes */
void http_conn_no_deadline(struct http_conn *c);
void http_conn_cut(struct http_conn *c);
struct addr http_addr_net(const struct addr *a); /* what is counted: the address, of IPv6 its /64 */

/* --- request.c --- */
enum MHD_Result http_access(void *server, struct MHD_Connection *mhd, const char *url,
			    const char *method, const char *version, const char *data, size_t *n,
			    void **ctx);
void http_completed(void *server, struct MHD_Connection *mhd, void **ctx,
		    enum MHD_RequestTerminationCode why);
size_t http_unescape(void *server, struct MHD_Connection *mhd, char *s);
void http_answer(struct http_request *r, int status,
		 struct MHD_Response *response); /* takes response */

/* --- route.c --- */
int http_routes_check(const struct http_route *routes, struct diag *d) ZT_MUST_USE;
/* Sets r->route and r->params. Answers r (404, 405, 400) when there is none. */
void http_route_find(struct http_request *r, const char *method, const char *path);
/* Sets r->caller. Answers r (401, 403, 429) when it may not. */
void http_route_admit(struct http_request *r, const char *authorization);
/* May this address make one more connection now? */
bool http_rate_connect(struct http_server *s, const struct addr *net);
/* Strict percent-decoding into the arena; NULL when malformed, not UTF-8 or with a NUL. */
const char *http_decode(struct arena *a, const char *s, size_t n);

/* --- stream.c --- */
void http_stream_finish(
	struct http_stream *s); /* no more writes; what is queued goes out, then it ends */
void http_stream_abort(struct http_stream *s); /* at once */
/* libmicrohttpd is done with it: ended is called unless the application ended it itself. */
void http_stream_free(struct http_stream *s);
