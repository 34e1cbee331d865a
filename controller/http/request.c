/* One request, from its headers to the answer; the life of it is drawn in internal.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controller/http/host.h"
#include "controller/http/internal.h"
#include "zt/log.h"
#include "zt/num.h"
#include "zt/txt.h"

/* --- the form of a request --- */

/* The headers that decide anything. Each at most once: two servers must never read one request
 * differently. */
struct headers {
	const char *host, *origin, *site, *authorization, *length, *encoding, *expect;
	unsigned n;
	bool doubled;
};

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct headers *h = arg;
	const struct {
		const char *name;
		const char **at;
	} known[] = {{"Host", &h->host},
		     {"Origin", &h->origin},
		     {"Sec-Fetch-Site", &h->site},
		     {"Authorization", &h->authorization},
		     {"Content-Length", &h->length},
		     {"Transfer-Encoding", &h->encoding},
		     {"Expect", &h->expect}};

	(void)kind;
	h->n++;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcasecmp(name, known[i].name) != 0)
			continue;
		h->doubled |= *known[i].at != NULL;
		*known[i].at = value ? value : "";
	}
	return MHD_YES;
}

/* A page of another origin may make a browser send requests here, but not hide whose they are. */
static bool is_cross_origin(const struct headers *h)
{
	if (h->site && !txt_equal(h->site, "same-origin") && !txt_equal(h->site, "none"))
		return true;
	if (!h->origin)
		return false;
	return !h->host || !txt_starts(h->origin, "https://") ||
	       strcasecmp(h->origin + 8, h->host) != 0;
}

static void check_headers(struct http_request *r, const struct headers *h)
{
	if (h->n > HTTP_HEADERS_MAX)
		http_reply_error(r, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, "limit",
				 "too many headers", "");
	else if (h->doubled)
		http_reply_error(r, MHD_HTTP_BAD_REQUEST, "form", "a header stands twice", "");
	else if (h->encoding)
		http_reply_error(r, MHD_HTTP_LENGTH_REQUIRED, "form",
				 "the body's length is not known", "send it with Content-Length");
	else if (!http_host_is_ours(h->host, r->server->config.hosts, &r->conn->local.addr))
		http_reply_error(r, MHD_HTTP_MISDIRECTED_REQUEST, "refused",
				 "this controller does not go by that host name",
				 "an admin can add it to controller.ini: host = NAME");
	else if (is_cross_origin(h))
		http_reply_error(r, MHD_HTTP_FORBIDDEN, "refused", "request from another origin",
				 "");
}

struct query_scan {
	struct http_request *r;
	bool bad;
};

static enum MHD_Result take_query(void *arg, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	struct query_scan *q = arg;
	struct http_request *r = q->r;
	struct http_pair *p = &r->query[r->n_query];

	(void)kind;
	if (r->n_query == HTTP_QUERY_MAX || !name || http_query(r, name)) {
		q->bad = true;
		return MHD_NO;
	}
	p->name = arena_text(&r->arena, name, strlen(name));
	p->value = http_decode(&r->arena, value ? value : "", value ? strlen(value) : 0);
	p->name_len = strlen(name);
	q->bad = !p->name || !p->value;
	if (!q->bad)
		r->n_query++;
	return q->bad ? MHD_NO : MHD_YES;
}

static void parse_query(struct http_request *r)
{
	struct query_scan q = {.r = r};

	MHD_get_connection_values(r->conn->mhd, MHD_GET_ARGUMENT_KIND, take_query, &q);
	if (q.bad)
		http_reply_error(r, MHD_HTTP_BAD_REQUEST, "form", "the query is not well formed",
				 "");
}

static void check_length(struct http_request *r, const struct headers *h, uint64_t *ret_length)
{
	uint64_t length = 0;

	if (h->length && num_parse_u64(h->length, 0, UINT64_MAX, &length) < 0)
		http_reply_error(r, MHD_HTTP_BAD_REQUEST, "form",
				 "the body's length is not a number", "");
	else if (length > r->route->body_max)
		http_reply_error(r, MHD_HTTP_CONTENT_TOO_LARGE, "limit", "the body is too large",
				 "");
	*ret_length = length;
}

/* libmicrohttpd would decode %00 and %2F into the path: we decode ourselves, segment by segment. */
size_t http_unescape(void *server, struct MHD_Connection *mhd, char *s)
{
	(void)server, (void)mhd;
	return strlen(s);
}

/* --- life --- */

static void request_free(struct http_request *r)
{
	if (r->response)
		MHD_destroy_response(r->response);
	http_stream_free(r->stream);
	buf_free(&r->body);
	arena_done(&r->arena);
	free(r);
}

static struct http_request *request_new(struct http_conn *c)
{
	struct http_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->server = c->server;
	r->conn = c;
	r->from = c->from;
	r->local = c->local;
	arena_init(&r->arena, HTTP_SCRATCH_MAX);
	c->request = r;
	c->server->stats.requests++;
	return r;
}

static enum MHD_Result request_send(struct http_request *r)
{
	if (!r->response)
		return MHD_NO;
	if (r->stream)
		http_conn_no_deadline(r->conn);
	return MHD_queue_response(r->conn->mhd, (unsigned)r->status, r->response);
}

/* A refusal before the body came: a short body is read over and the connection goes on; else it
 * ends here. */
static enum MHD_Result request_refused(struct http_request *r, const struct headers *h,
				       uint64_t length)
{
	if (length <= HTTP_DRAIN_MAX && !h->encoding && !h->expect)
		return MHD_YES;
	return request_send(r);
}

static enum MHD_Result request_begin(struct http_conn *c, const char *url, const char *method,
				     void **ctx)
{
	struct http_request *r = request_new(c);
	struct headers h = {0};
	uint64_t length = 0;

	if (!r)
		return MHD_NO;
	*ctx = r;
	c->server->shy -= !c->asked;
	c->asked = true;
	MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, take_header, &h);
	check_headers(r, &h);
	if (!r->answered)
		http_route_find(r, method, url);
	if (!r->answered)
		parse_query(r);
	if (!r->answered)
		http_route_admit(r, h.authorization);
	if (!r->answered)
		check_length(r, &h, &length);
	else if (h.length && num_parse_u64(h.length, 0, UINT64_MAX, &length) < 0)
		length = UINT64_MAX;
	http_conn_deadline(c, r->answered && length > HTTP_DRAIN_MAX ? 0 : length);
	if (r->answered)
		return request_refused(r, &h, length);
	buf_init_grow(&r->body, r->route->body_max ? r->route->body_max : 1);
	return MHD_YES;
}

static enum MHD_Result request_body(struct http_request *r, const char *data, size_t *n)
{
	if (!r->answered)
		buf_put(&r->body, data, *n);
	*n = 0;
	return r->answered || r->body.err == 0 ? MHD_YES : MHD_NO;
}

/* Called when the request is complete, and again when it was woken by its answer. */
static enum MHD_Result request_complete(struct http_request *r)
{
	if (!r->answered && !r->handling) {
		http_conn_no_deadline(r->conn);
		r->handling = true;
		r->route->handler(r->server->config.app, r);
	}
	if (r->answered)
		return request_send(r);
	r->suspended = true;
	MHD_suspend_connection(r->conn->mhd);
	return MHD_YES;
}

enum MHD_Result http_access(void *server, struct MHD_Connection *mhd, const char *url,
			    const char *method, const char *version, const char *data, size_t *n,
			    void **ctx)
{
	const union MHD_ConnectionInfo *info;

	(void)version;
	((struct http_server *)server)->moved = true;
	if (!*ctx) {
		info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
		return info && info->socket_context
			       ? request_begin(info->socket_context, url, method, ctx)
			       : MHD_NO;
	}
	return *n ? request_body(*ctx, data, n) : request_complete(*ctx);
}

void http_completed(void *server, struct MHD_Connection *mhd, void **ctx,
		    enum MHD_RequestTerminationCode why)
{
	struct http_request *r = *ctx;
	struct http_conn *c;

	(void)server, (void)mhd, (void)why;
	if (!r)
		return;
	*ctx = NULL;
	c = r->conn;
	c->request = NULL;
	if (c->server->stopping)
		http_conn_cut(c);
	http_conn_deadline(c, 0); /* for the next request's headers */
	if (r->handling && !r->answered) {
		r->conn = NULL; /* the handler still holds it; its answer frees it */
		r->server = NULL;
		r->suspended = false;
	} else {
		request_free(r);
	}
}

static void count_answer(struct http_server *s, int status)
{
	if (status >= 400 && status < 500)
		s->stats.refused++;
}

void http_reply_header(struct http_request *r, const char *name, const char *value)
{
	if (r->n_headers == HTTP_REPLY_HEADERS_MAX)
		return;
	r->headers[r->n_headers].name = arena_text(&r->arena, name, strlen(name));
	r->headers[r->n_headers].value = arena_text(&r->arena, value, strlen(value));
	if (r->headers[r->n_headers].name && r->headers[r->n_headers].value)
		r->n_headers++;
}

static void add_headers(const struct http_request *r, struct MHD_Response *response)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < r->n_headers; i++)
		MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
}

void http_answer(struct http_request *r, int status, struct MHD_Response *response)
{
	if (r->answered) {
		log_error("bug: a request was answered twice (%s)",
			  r->route ? r->route->path : "?");
		abort();
	}
	r->answered = true;
	r->status = status;
	r->response = response;
	if (!r->conn) {
		request_free(r);
		return;
	}
	count_answer(r->server, status);
	if (response)
		add_headers(r, response);
	if (r->suspended) {
		r->suspended = false;
		http_wake(r->conn);
	}
}

/* --- what a handler sees --- */

const struct http_caller *http_caller(const struct http_request *r)
{
	return &r->caller;
}

static const char *pair_find(const struct http_pair *pairs, size_t n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (pairs[i].name_len == len && memcmp(pairs[i].name, name, len) == 0)
			return pairs[i].value;
	return NULL;
}

const char *http_param(const struct http_request *r, const char *name)
{
	return pair_find(r->params, r->n_params, name);
}

const char *http_query(const struct http_request *r, const char *name)
{
	return pair_find(r->query, r->n_query, name);
}

const void *http_body(const struct http_request *r, size_t *ret_len)
{
	*ret_len = r->body.len;
	return r->body.data ? r->body.data : (const uint8_t *)"";
}

void http_peer(const struct http_request *r, struct endpoint *ret)
{
	*ret = r->from;
}

void http_local(const struct http_request *r, struct endpoint *ret)
{
	*ret = r->local;
}

struct http_conn_slot *http_conn_slot(const struct http_request *r)
{
	/* The request is the caller's, only the view of it is const. */
	return r->conn ? &r->conn->slot : (struct http_conn_slot *)&r->no_slot;
}

void *http_request_alloc(struct http_request *r, size_t n)
{
	return arena_alloc(&r->arena, n);
}
