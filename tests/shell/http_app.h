/* The application under the server in the tests of controller/http: routes of every kind, and what
 * their handlers saw. */
#pragma once

#include "tests/shell/https_client.h"

enum { STREAMS_MAX = 8, STREAM_QUEUE = 256 << 10, ANYONE = 15 };

struct app_stream {
	struct http_stream *s; /* NULL: ended */
	unsigned ended;
	uint64_t written;
	int last_err;
};

static struct app {
	unsigned handled; /* handlers that ran */
	struct http_request *later[8];
	size_t n_later;
	struct app_stream streams[STREAMS_MAX];
	size_t n_streams;
	struct endpoint peer;
} app;

static int identify(void *arg, const char *authorization, struct http_caller *ret, struct diag *d)
{
	static const struct {
		const char *text;
		struct http_caller caller;
	} known[] = {
		{"Device 7", {.kind = HTTP_DEVICE, .device = 7, .name = "device:7"}},
		{"Device 8", {.kind = HTTP_DEVICE_PENDING, .device = 8, .name = "device:8"}},
		{"Admin 1", {.kind = HTTP_ADMIN, .admin = 1, .name = "admin:1 (root)"}},
	};

	(void)arg;
	*ret = (struct http_caller){.kind = HTTP_NOBODY, .name = "nobody"};
	if (!authorization)
		return 0;
	for (size_t i = 0; i < N_OF(known); i++) {
		if (!txt_equal(known[i].text, authorization))
			continue;
		*ret = known[i].caller;
		return 0;
	}
	diag_set(d, -ZT_EREFUSED, "this session has ended");
	return -ZT_EREFUSED;
}

static void handle_ok(void *arg, struct http_request *r)
{
	(void)arg;
	app.handled++;
	http_reply_json(r, 200, json_pack("{s:s}", "caller", http_caller(r)->name));
}

static void handle_echo(void *arg, struct http_request *r)
{
	size_t n;
	const void *p = http_body(r, &n);

	(void)arg;
	app.handled++;
	http_reply_text(r, 200, "text/plain", p, n);
}

static void handle_params(void *arg, struct http_request *r)
{
	const char *q = http_query(r, "q");

	(void)arg;
	http_peer(r, &app.peer);
	http_reply_header(r, "X-Policy-Version", "4");
	http_reply_json(r, 200,
			json_pack("{s:s, s:s, s:s}", "id", http_param(r, "id"), "name",
				  http_param(r, "name"), "q", q ? q : "none"));
}

static void handle_slot(void *arg, struct http_request *r)
{
	struct http_conn_slot *slot = http_conn_slot(r);

	(void)arg;
	http_reply_json(r, 200, json_pack("{s:i}", "before", (int)slot->until_boot_ms++));
}

static void handle_later(void *arg, struct http_request *r)
{
	char *scratch = http_request_alloc(r, 100);

	(void)arg;
	memset(scratch, 'x', 100);
	app.later[app.n_later++] = r;
}

static void handle_diag(void *arg, struct http_request *r)
{
	struct diag d = {0};
	uint64_t err = 0;

	(void)arg;
	if (num_parse_u64(http_query(r, "err"), 0, 10000, &err) < 0)
		err = 0;
	diag_set(&d, 0, "secret path /var/lib/x");
	diag_hint(&d, "do this");
	http_reply_diag(r, -(int)err, &d);
}

static void handle_twice(void *arg, struct http_request *r)
{
	(void)arg;
	http_reply_text(r, 200, "text/plain", "a", 1);
	http_reply_text(r, 200, "text/plain", "b", 1);
}

static void handle_big(void *arg, struct http_request *r)
{
	size_t n = 5 << 20;
	char *p = malloc(n);

	(void)arg;
	assert_non_null(p);
	memset(p, 'z', n);
	http_reply_text(r, 200, "text/plain", p, n);
	free(p);
}

static void stream_ended(void *arg)
{
	struct app_stream *a = arg;

	a->ended++;
	a->s = NULL;
}

static void handle_stream(void *arg, struct http_request *r)
{
	struct app_stream *a = &app.streams[app.n_streams++];

	(void)arg;
	a->s = http_reply_stream(r, STREAM_QUEUE, stream_ended, a);
	if (http_query(r, "hello"))
		a->last_err = http_stream_write(a->s, "hello", 5);
}

static const struct http_route routes[] = {
	{"GET", "/v1/open", ANYONE, 0, HTTP_RATE_NONE, handle_ok, "anyone"},
	{"GET", "/v1/nobody", HTTP_NOBODY, 0, HTTP_RATE_NONE, handle_ok, "only without credential"},
	{"GET", "/v1/device", HTTP_DEVICE, 0, HTTP_RATE_NONE, handle_ok, "devices"},
	{"GET", "/v1/pending", HTTP_DEVICE_PENDING, 0, HTTP_RATE_NONE, handle_ok,
	 "pending devices"},
	{"POST", "/v1/both", HTTP_DEVICE | HTTP_ADMIN, 0, HTTP_RATE_DEVICE, handle_ok,
	 "devices and admins"},
	{"DELETE", "/v1/admin/{id}", HTTP_ADMIN, 0, HTTP_RATE_ADMIN, handle_ok, "admins"},
	{"POST", "/v1/enroll", HTTP_NOBODY, 1024, HTTP_RATE_ENROLL, handle_ok, "per address"},
	{"POST", "/v1/echo", ANYONE, 100000, HTTP_RATE_NONE, handle_echo, "body back"},
	{"PUT", "/v1/echo", HTTP_ADMIN, 10, HTTP_RATE_NONE, handle_echo, "body back"},
	{"GET", "/v1/items/{id}/x/{name}", ANYONE, 0, HTTP_RATE_NONE, handle_params, "parameters"},
	{"GET", "/v1/slot", ANYONE, 0, HTTP_RATE_NONE, handle_slot, "connection slot"},
	{"GET", "/v1/diag", ANYONE, 0, HTTP_RATE_NONE, handle_diag, "error table"},
	{"GET", "/v1/later", ANYONE, 0, HTTP_RATE_NONE, handle_later, "answers later"},
	{"GET", "/v1/twice", ANYONE, 0, HTTP_RATE_NONE, handle_twice, "a bug"},
	{"GET", "/v1/big", ANYONE, 0, HTTP_RATE_NONE, handle_big, "5 MiB"},
	{"GET", "/v1/stream", ANYONE, 0, HTTP_RATE_NONE, handle_stream, "stream"},
	{NULL, NULL, 0, 0, HTTP_RATE_NONE, NULL, NULL},
};

static const char *const our_hosts[] = {"zt.test", "x", NULL};

static void config_defaults(void)
{
	memset(&app, 0, sizeof(app));
	t.config = (struct http_config){.cert_file = in_dir("a.crt"),
					.key_file = in_dir("a.key"),
					.routes = routes,
					.hosts = our_hosts,
					.identify = identify,
					.connections_max = 200,
					.idle_timeout_s = 30};
	t.config.listen.addr = addr_v4((const uint8_t[]){127, 0, 0, 1});
}

static int setup(void **state)
{
	(void)state;
	config_defaults();
	start();
	return 0;
}

static int setup_impatient(void **state)
{
	(void)state;
	config_defaults();
	t.config.idle_timeout_s = 1;
	start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop();
	return 0;
}

/* Until cond (looked at in the loop) holds, or WAIT_MS is over. */
struct condition {
	bool (*holds)(void *arg);
	void *arg;
	bool held;
};

static void look(void *arg)
{
	struct condition *c = arg;

	c->held = c->holds(c->arg);
}

static bool await(bool (*holds)(void *arg), void *arg)
{
	struct condition c = {.holds = holds, .arg = arg};

	for (int64_t until = clock_now().boot_ms + WAIT_MS;
	     !c.held && clock_now().boot_ms < until;) {
		in_loop(look, &c);
		if (!c.held)
			poll(NULL, 0, 1);
	}
	return c.held;
}

static bool connections_are(void *arg)
{
	struct http_stats s;

	http_server_stats(t.server, &s);
	return s.connections == *(unsigned *)arg;
}

/* Status of one request on a connection of its own; the body's text must hold `part`. */
static int ask_once(const char *method, const char *path, const char *more, const char *part)
{
	struct client *c = call();
	struct answer a = ask(c, method, path, more, NULL, 0);
	int status = a.status;

	if (part && !(a.body && strstr(a.body, part)))
		fail_msg("%s %s: '%s' does not hold '%s'", method, path, a.body ? a.body : "",
			 part);
	free(a.body);
	hang_up(c);
	return status;
}

static void assert_others_served(void)
{
	assert_int_equal(ask_once("GET", "/v1/open", "", "nobody"), 200);
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define IMPATIENT(f) cmocka_unit_test_setup_teardown(f, setup_impatient, teardown)
