/* Which route a request takes, who may take it, and how often. The one place where a caller's right
 * to a route is decided. */
#include <errno.h>
#include <string.h>

#include "controller/http/internal.h"
#include "zt/txt.h"

/* Per source address: enrolments, logins and wrong credentials. Per caller: devices and admins.
 * Generous enough for a site behind one address that comes back after an outage; a login costs us
 * about 300 us. */
enum { RATE_WRONG = HTTP_RATE_ADMIN + 1, RATE_CONNECT };
static const struct rate_limit rates[] = {
	[HTTP_RATE_NONE] = {0, 0},
	[HTTP_RATE_ENROLL] = {.per_s = 20, .burst = 200},
	[HTTP_RATE_LOGIN] = {.per_s = 200, .burst = 2000},
	[HTTP_RATE_DEVICE] = {.per_s = 20, .burst = 200},
	[HTTP_RATE_ADMIN] = {.per_s = 200, .burst = 2000},
	[RATE_WRONG] = {.per_s = 50, .burst = 500},
	[RATE_CONNECT] = {.per_s = 500, .burst = 12000}, /* a handshake costs what a login does */
};

/* --- the table itself --- */

static int route_check(const struct http_route *r, struct diag *d)
{
	if (!r->path || r->path[0] != '/' || !r->handler)
		return diag_set(d, -EINVAL, "route %s %s has no path or no handler", r->method,
				r->path ? r->path : "?");
	if (r->who == 0)
		return diag_set(d, -EINVAL, "route %s %s does not say who may call it", r->method,
				r->path);
	if (r->rate > HTTP_RATE_ADMIN)
		return diag_set(d, -EINVAL, "route %s %s has an unknown rate", r->method, r->path);
	return 0;
}

int http_routes_check(const struct http_route *routes, struct diag *d)
{
	for (const struct http_route *r = routes; r->method; r++) {
		int err = route_check(r, d);

		if (err < 0)
			return err;
		for (const struct http_route *o = routes; o < r; o++)
			if (txt_equal(o->method, r->method) && txt_equal(o->path, r->path))
				return diag_set(d, -EINVAL, "route %s %s stands twice", r->method,
						r->path);
	}
	return 0;
}

/* --- percent-decoding --- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

const char *http_decode(struct arena *a, const char *s, size_t n)
{
	char *out = arena_alloc(a, n + 1);
	size_t len = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int hi, lo;

		if (s[i] != '%') {
			out[len++] = s[i];
			continue;
		}
		if (n - i < 3)
			return NULL;
		hi = hex_value(s[i + 1]);
		lo = hex_value(s[i + 2]);
		if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
			return NULL;
		out[len++] = (char)(hi << 4 | lo);
		i += 2;
	}
	return txt_is_utf8(out, len) ? out : NULL;
}

/* --- matching --- */

static size_t segment_len(const char *s)
{
	return strcspn(s, "/");
}

static bool is_param(const char *segment, size_t n)
{
	return n > 2 && segment[0] == '{' && segment[n - 1] == '}';
}

/* Segment by segment, undecoded, so that %2F never makes one. */
static bool path_matches(const char *pattern, const char *path)
{
	while (*pattern == '/' && *path == '/') {
		size_t n = segment_len(++pattern), m = segment_len(++path);

		if (is_param(pattern, n) ? m == 0 : n != m || memcmp(pattern, path, n) != 0)
			return false;
		pattern += n;
		path += m;
	}
	return !*pattern && !*path;
}

static bool take_params(struct http_request *r, const char *path)
{
	const char *pattern = r->route->path;

	while (*pattern == '/') {
		size_t n = segment_len(++pattern), m = segment_len(++path);

		if (is_param(pattern, n)) {
			struct http_pair *p = &r->params[r->n_params];

			if (r->n_params == HTTP_PARAM_MAX)
				return false;
			p->name = pattern + 1;
			p->name_len = n - 2;
			p->value = http_decode(&r->arena, path, m);
			if (!p->value)
				return false;
			r->n_params++;
		}
		pattern += n;
		path += m;
	}
	return true;
}

static const struct http_route *find(const struct http_route *routes, const char *method,
				     const char *path, struct buf *allow)
{
	for (const struct http_route *r = routes; r->method; r++) {
		if (!path_matches(r->path, path))
			continue;
		if (txt_equal(r->method, method))
			return r;
		buf_printf(allow, "%s%s", allow->len ? ", " : "", r->method);
	}
	return NULL;
}

void http_route_find(struct http_request *r, const char *method, const char *path)
{
	char mem[64];
	struct buf allow;

	buf_init(&allow, mem, sizeof(mem));
	r->route = find(r->server->config.routes, method, path, &allow);
	if (r->route && !take_params(r, path)) {
		http_reply_error(r, MHD_HTTP_BAD_REQUEST, "form", "the path is not well formed",
				 "");
	} else if (!r->route && allow.len) {
		http_reply_header(r, MHD_HTTP_HEADER_ALLOW, buf_text(&allow));
		http_reply_error(r, MHD_HTTP_METHOD_NOT_ALLOWED, "form",
				 "this path has no such method", "");
	} else if (!r->route) {
		http_reply_error(r, MHD_HTTP_NOT_FOUND, "absent", "there is no such path", "");
	}
}

/* --- who and how often --- */

struct rate_key {
	uint64_t id;
	struct addr net;
};

static struct rate_key rate_key_of(const struct http_request *r, unsigned rate)
{
	struct rate_key k;

	memset(&k, 0, sizeof(k));
	if (rate == HTTP_RATE_DEVICE && r->caller.device)
		k.id = r->caller.device;
	else if (rate == HTTP_RATE_ADMIN && r->caller.kind == HTTP_ADMIN)
		k.id = r->caller.admin;
	else
		k.net = http_addr_net(&r->from.addr);
	return k;
}

static bool rate_ok(struct http_request *r, unsigned rate, bool take)
{
	struct rate_key k = rate_key_of(r, rate);
	int64_t now_ms = loop_now(r->server->loop).boot_ms;

	if (rate == HTTP_RATE_NONE)
		return true;
	return (take ? rate_take : rate_has)(&r->server->rates, &rates[rate], rate, &k, sizeof(k),
					     now_ms);
}

bool http_rate_connect(struct http_server *s, const struct addr *net)
{
	return rate_take(&s->rates, &rates[RATE_CONNECT], RATE_CONNECT, net, sizeof(*net),
			 loop_now(s->loop).boot_ms);
}

static void too_often(struct http_request *r)
{
	http_reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	http_reply_error(r, MHD_HTTP_TOO_MANY_REQUESTS, "rate", "too many requests",
			 "wait a moment and try again");
}

static void rate_charge(struct http_request *r)
{
	if (!rate_ok(r, r->route->rate, true))
		too_often(r);
}

static void not_known(struct http_request *r, const char *message, const char *hint)
{
	http_reply_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Admin, Device");
	http_reply_error(r, MHD_HTTP_UNAUTHORIZED, "login", message, hint);
}

static void identify_failed(struct http_request *r, int err, const struct diag *d)
{
	if (err != -ZT_EREFUSED) {
		http_reply_diag(r, err, d);
		return;
	}
	rate_ok(r, RATE_WRONG, true);
	not_known(r, d->message[0] ? d->message : "this credential is not valid", d->hint);
}

void http_route_admit(struct http_request *r, const char *authorization)
{
	const struct http_config *c = &r->server->config;
	struct diag d = {0};
	int err;

	/* Whoever shows wrong credentials all the time is not looked up any more. */
	if (authorization && !rate_ok(r, RATE_WRONG, false)) {
		too_often(r);
		return;
	}
	err = c->identify(c->app, authorization, &r->caller, &d);
	if (err < 0)
		identify_failed(r, err, &d);
	else if (r->route->who & (unsigned)r->caller.kind)
		rate_charge(r);
	else if (r->caller.kind == HTTP_NOBODY)
		not_known(r, "this needs a credential", "");
	else
		http_reply_error(r, MHD_HTTP_FORBIDDEN, "refused", "this caller may not do that",
				 "");
}
