/* HTTPS server: libmicrohttpd with TLS 1.3 (GnuTLS) inside our loop, behind this interface so that
 * it can be changed. One thread, never blocks: a handler answers now or later; a stream is a
 * bounded queue that a slow client overflows to its own end only. */
#pragma once

#include <jansson.h>

#include "zt/addr.h"
#include "zt/loop.h"
#include "zt/key.h"

enum http_caller_kind {			 /* who may call: bits in http_route.who */
			HTTP_NOBODY = 1, /* no credential presented */
			HTTP_DEVICE = 2, /* device session, device active */
			HTTP_DEVICE_PENDING = 4,
			HTTP_ADMIN = 8,
};

struct http_caller {
	enum http_caller_kind kind;
	uint32_t device;  /* of the session (DEVICE, DEVICE_PENDING) */
	uint64_t session; /* its number: whether it is still the one (DEVICE, DEVICE_PENDING) */
	uint64_t admin;	  /* credential id */
	char name[96];	  /* for the audit log: "device:7", "admin:1 (root)" */
};

struct http_request;
struct http_server;
struct http_stream;

enum http_rate {
	HTTP_RATE_NONE,
	HTTP_RATE_ENROLL,
	HTTP_RATE_LOGIN,
	HTTP_RATE_DEVICE,
	HTTP_RATE_ADMIN
};

typedef void (*http_handler)(void *app, struct http_request *r);

struct http_route {
	const char *method;  /* "GET" ... */
	const char *path;    /* "/v1/admin/devices/{id}/revoke": {x} is one path segment */
	unsigned who;	     /* bits of http_caller_kind; 0 is refused at start */
	uint32_t body_max;   /* bytes; over: 413 */
	enum http_rate rate; /* token bucket per source address (ENROLL, LOGIN) or per caller
				(DEVICE, ADMIN) */
	http_handler handler;
	const char *help; /* one line, for docs and GET /v1/routes */
};

struct http_config {
	struct endpoint listen;		  /* port 0: any free one (http_server_port) */
	const char *cert_file, *key_file; /* PEM */
	const struct http_route *routes;  /* ends with method NULL */
	/* What a request may have as Host besides the address it came to (host.h); ends with NULL.
	 * Others are refused with 421 before anything else is looked at. */
	const char *const *hosts;
	/* Who calls: the one place where identity is decided. authorization: the header's value or
	 * NULL. Gives HTTP_NOBODY for no header; for a wrong or ended credential returns
	 * -ZT_EREFUSED (401 with d's text). */
	int (*identify)(void *app, const char *authorization, struct http_caller *ret,
			struct diag *d);
	void *app;
	unsigned connections_max; /* in total (default 16,000 bounded by RLIMIT_NOFILE) */
	unsigned connections_per_address_max;
	unsigned idle_timeout_s; /* of a connection without a stream */
};

/* Starts listening. Errors with a hint: port in use (-EADDRINUSE), no permission, unreadable or
 * mismatched certificate. */
int http_server_new(struct loop *l, const struct http_config *c, struct http_server **ret,
		    struct diag *d) ZT_MUST_USE;
uint16_t http_server_port(const struct http_server *s);
/* New certificate and key for new connections. On error the old ones stay. */
int http_server_reload(struct http_server *s, const char *cert_file, const char *key_file,
		       struct diag *d) ZT_MUST_USE;
/* No new connections; idle ones are closed, streams get their queued bytes and end (ended is
 * called), requests are still answered. When the statistics say 0 connections, or the caller has no
 * more patience: free, which cuts the rest. A request that is unanswered then is answered into
 * nothing later. Not inside a handler. */
void http_server_stop(struct http_server *s);
void http_server_free(struct http_server *s);
struct http_stats {
	unsigned connections, streams;
	uint64_t requests, refused, bytes_out;
};
void http_server_stats(const struct http_server *s, struct http_stats *ret);

/* --- in a handler; strings borrowed until the answer --- */
const struct http_caller *http_caller(const struct http_request *r);
const char *http_param(const struct http_request *r,
		       const char *name); /* {name} of the path, decoded; NULL */
const char *http_query(const struct http_request *r, const char *name); /* ?name=, decoded; NULL */
const void *http_body(const struct http_request *r, size_t *ret_len);	/* complete */
void http_peer(const struct http_request *r, struct endpoint *ret);
/* Our end of the connection: the address and port that the client connected to. */
void http_local(const struct http_request *r, struct endpoint *ret);
/* 32 bytes of this connection, zero at first: where a challenge waits for its one use. */
struct http_conn_slot {
	struct key value;
	int64_t until_boot_ms;
};
struct http_conn_slot *http_conn_slot(const struct http_request *r);
/* Scratch of the request, freed with it: for handlers that answer later. */
void *http_request_alloc(struct http_request *r, size_t n);

/* Exactly one answer a request, now or later (the connection sleeps meanwhile). A request whose
 * client has gone is still answered (into nothing). */
void http_reply_json(struct http_request *r, int status, json_t *body); /* takes body */
void http_reply_text(struct http_request *r, int status, const char *type, const void *p, size_t n);
/* {"error":{"code":"token","message":"...","hint":"..."}}; code: a short stable word, see
 * http_code_of. */
void http_reply_error(struct http_request *r, int status, const char *code, const char *message,
		      const char *hint);
/* From an error code of ours: status and code word from one table (ZT_ETOKEN -> 403 "token",
 * ZT_EABSENT -> 404 "absent", ZT_EEXISTS -> 409, ZT_ESTATE -> 409, ZT_EFORM -> 400, ZT_ELIMIT ->
 * 413, ENOSPC -> 507, EBUSY -> 503, else 500 "internal"). */
void http_reply_diag(struct http_request *r, int err, const struct diag *d);
/* The table: the word, and the status in *ret_status. */
const char *http_code_of(int err, int *ret_status);
/* A header of the answer that comes; copied. At most four; never CR or LF in it. */
void http_reply_header(struct http_request *r, const char *name, const char *value);

/* --- streams: one long answer. --- */
/* max: bytes that may wait; ended(arg) once, when the stream is gone for whatever reason (not after
 * http_stream_end). NULL: the client has gone or there is no memory; the request is answered all
 * the same, and ended is not called. */
struct http_stream *http_reply_stream(struct http_request *r, size_t max, void (*ended)(void *arg),
				      void *arg);
/* Copies. -ENOBUFS: too slow, the stream was closed (ended is called later in the loop, not
 * inside); -EPIPE: it is ending already. Writes of one loop turn go out in one pass. */
int http_stream_write(struct http_stream *s, const void *p, size_t n) ZT_MUST_USE;
void http_stream_end(struct http_stream *s); /* after what is queued; s is gone for the caller */
