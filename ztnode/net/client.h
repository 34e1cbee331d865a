/* HTTPS client of the controller: libcurl's multi interface in our loop. The controller is known by
 * its pinned public key alone; nothing is followed, no proxy is used, every answer has a limit. */
#pragma once

#include "zt/key.h"
#include "zt/loop.h"

struct client;
struct client_request;

struct client_answer {
	int err; /* 0: there is a status; -ZT_EUNREACH; -ZT_ESIG another key than the pinned one;
		    -ZT_ELIMIT */
	long status;	  /* HTTP */
	const char *body; /* borrowed, NUL behind it */
	size_t len;
	char problem[256]; /* libcurl's words when err */
};
typedef void (*client_done)(void *arg, const struct client_answer *a);
/* Bytes of a long answer as they come. False ends it. */
typedef bool (*client_bytes)(void *arg, const void *p, size_t n);

struct client *client_new(struct loop *l, const char *url, const struct key *pin);
void client_free(struct client *c); /* requests under way end without done */

struct client_call {
	const char *method, *path; /* path with query, encoded */
	const char *authorization; /* whole header value or NULL */
	const char *content_type;  /* of body */
	const void *body;	   /* copied */
	size_t body_len;
	size_t answer_max;
	client_done done;   /* once, also when a stream ends */
	client_bytes bytes; /* not NULL: a stream, no time limit but stall detection */
	void *arg;
};
/* NULL: no memory (done is not called). */
struct client_request *client_start(struct client *c, const struct client_call *call);
void client_cancel(struct client_request *r); /* done is not called */
/* Its connection begins at an address that this machine no longer has. Nobody says so: it would be
 * waited on until the stall is noticed. False while it is not known. */
bool client_is_stranded(const struct client_request *r);
/* No request from now on takes a connection that an earlier one left: it may lead nowhere. */
void client_forget_connections(struct client *c);
/* Percent-encoding of a query value (RFC 3986 2.1) appended to out. */
struct buf;
void client_encode(struct buf *out, const char *text);
