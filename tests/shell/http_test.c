/* The HTTPS server as its clients see it: the server in a thread of its own with a loop, clients
 * with real TLS in the test's thread. Whatever the test wants to do or see inside is run in the
 * loop (in_loop), so nothing is shared without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/http/http.h"
#include "zt/buf.h"
#include "zt/log.h"
#include "zt/num.h"
#include "zt/txt.h"

enum { WAIT_MS = 10000, STREAMS_MAX = 8, STREAM_QUEUE = 256 << 10, ANYONE = 15 };

/* --- the application under the server --- */

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
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
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

/* --- the server's thread --- */

static struct {
	pthread_t thread;
	struct loop *loop;
	struct loop_io *io;
	struct http_server *server;
	struct http_config config;
	uint16_t port;
	int wake_fd;
	pthread_mutex_t lock;
	pthread_cond_t done;
	void (*fn)(void *arg); /* to run in the loop; NULL when run */
	void *arg;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static char dir[64];

static void run_fn(void *arg, uint32_t events)
{
	uint64_t n;

	(void)arg, (void)events;
	if (read(t.wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&t.lock);
	t.fn(t.arg);
	t.fn = NULL;
	pthread_cond_signal(&t.done);
	pthread_mutex_unlock(&t.lock);
}

/* Runs fn(arg) in the server's loop and waits for it. */
static void in_loop(void (*fn)(void *arg), void *arg)
{
	uint64_t one = 1;

	pthread_mutex_lock(&t.lock);
	t.fn = fn;
	t.arg = arg;
	assert_int_equal(write(t.wake_fd, &one, sizeof(one)), sizeof(one));
	while (t.fn)
		pthread_cond_wait(&t.done, &t.lock);
	pthread_mutex_unlock(&t.lock);
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

static void *serve(void *arg)
{
	(void)arg;
	loop_run(t.loop);
	return NULL;
}

static void stop_loop(void *arg)
{
	(void)arg;
	loop_stop(t.loop, 0);
}

static const char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned i;
	char *p = paths[i++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static void config_defaults(void)
{
	t.config = (struct http_config){.cert_file = in_dir("a.crt"),
					.key_file = in_dir("a.key"),
					.routes = routes,
					.identify = identify,
					.connections_max = 200,
					.idle_timeout_s = 30};
	t.config.listen.addr = addr_v4((const uint8_t[]){127, 0, 0, 1});
}

static void start(void)
{
	struct diag d = {0};

	memset(&app, 0, sizeof(app));
	t.loop = loop_new();
	assert_non_null(t.loop);
	t.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t.io = loop_io_new(t.loop, t.wake_fd, EPOLLIN, run_fn, NULL);
	if (http_server_new(t.loop, &t.config, &t.server, &d) < 0)
		fail_msg("%s", d.message);
	t.port = http_server_port(t.server);
	assert_int_not_equal(t.port, 0);
	assert_int_equal(pthread_create(&t.thread, NULL, serve, NULL), 0);
}

static void stop(void)
{
	if (!t.loop)
		return;
	in_loop(stop_loop, NULL);
	pthread_join(t.thread, NULL);
	http_server_free(t.server);
	loop_io_free(t.io);
	loop_free(t.loop);
	close(t.wake_fd);
	t.loop = NULL;
	t.server = NULL;
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

static void get_stats(void *arg)
{
	http_server_stats(t.server, arg);
}

static struct http_stats stats(void)
{
	struct http_stats s;

	in_loop(get_stats, &s);
	return s;
}

static bool connections_are(void *arg)
{
	struct http_stats s;

	http_server_stats(t.server, &s);
	return s.connections == *(unsigned *)arg;
}

/* --- the client --- */

struct client {
	int fd;
	gnutls_session_t tls;
	uint8_t serial; /* of the server's certificate */
	uint8_t in[16 << 10];
	size_t n_in;
};

struct answer {
	int status; /* 0: connection ended without an answer */
	bool ended; /* connection ended after it */
	char headers[4096];
	char *body;
	size_t n;
};

static gnutls_certificate_credentials_t nothing_trusted;

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(t.port)};
	struct timeval patience = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void see_serial(struct client *c)
{
	unsigned n = 0;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(c->tls, &n);
	size_t len = sizeof(c->serial);
	gnutls_x509_crt_t crt;

	assert_non_null(der);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER), 0);
	assert_int_equal(gnutls_x509_crt_get_serial(crt, &c->serial, &len), 0);
	gnutls_x509_crt_deinit(crt);
}

static void hang_up(struct client *c)
{
	if (!c)
		return;
	gnutls_deinit(c->tls);
	close(c->fd);
	free(c);
}

/* NULL when the server does not want us. */
static struct client *call_with(const char *priorities)
{
	struct client *c = calloc(1, sizeof(*c));
	int rc;

	assert_non_null(c);
	assert_int_equal(gnutls_init(&c->tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
	assert_int_equal(gnutls_priority_set_direct(c->tls, priorities, NULL), 0);
	gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, nothing_trusted);
	c->fd = dial();
	if (c->fd < 0) {
		hang_up(c);
		return NULL;
	}
	gnutls_transport_set_int(c->tls, c->fd);
	do
		rc = gnutls_handshake(c->tls);
	while (rc < 0 && !gnutls_error_is_fatal(rc) && rc != GNUTLS_E_AGAIN);
	if (rc < 0) {
		hang_up(c);
		return NULL;
	}
	see_serial(c);
	return c;
}

static struct client *call(void)
{
	struct client *c = call_with("NORMAL");

	assert_non_null(c);
	return c;
}

/* False: the server has closed. */
static bool say(struct client *c, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = gnutls_record_send(c->tls, p, n);

		if (sent < 0)
			return false;
		p = (const char *)p + sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool say_text(struct client *c, const char *s)
{
	return say(c, s, strlen(s));
}

/* More bytes into c->in. False: the connection has ended (or nothing came for WAIT_MS, which
 * fails). */
static bool listen_more(struct client *c)
{
	ssize_t n;

	assert_true(c->n_in < sizeof(c->in));
	do
		n = gnutls_record_recv(c->tls, c->in + c->n_in, sizeof(c->in) - c->n_in);
	while (n == GNUTLS_E_INTERRUPTED);
	if (n == GNUTLS_E_AGAIN)
		fail_msg("nothing came from the server");
	if (n <= 0)
		return false;
	c->n_in += (size_t)n;
	return true;
}

static void eat(struct client *c, size_t n)
{
	c->n_in -= n;
	memmove(c->in, c->in + n, c->n_in);
}

static char *find_in(struct client *c, const char *what)
{
	return memmem(c->in, c->n_in, what, strlen(what));
}

static bool read_headers(struct client *c, struct answer *a)
{
	char *end;
	uint64_t status;

	while (!(end = find_in(c, "\r\n\r\n")))
		if (!listen_more(c))
			return false;
	*end = '\0';
	snprintf(a->headers, sizeof(a->headers), "%.4000s\r\n", (char *)c->in);
	assert_true(txt_starts(a->headers, "HTTP/1.1 "));
	a->headers[12] = '\0';
	assert_int_equal(num_parse_u64(a->headers + 9, 100, 599, &status), 0);
	a->headers[12] = ' ';
	a->status = (int)status;
	eat(c, (size_t)(end + 4 - (char *)c->in));
	return true;
}

static char *header_of(const struct answer *a, const char *name)
{
	static char value[256];
	const char *at = strcasestr(a->headers, name);

	if (!at)
		return NULL;
	at += strlen(name);
	while (*at == ':' || *at == ' ')
		at++;
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r\n"), at);
	return value;
}

static void read_body(struct client *c, struct answer *a, size_t n)
{
	a->body = malloc(n + 1);
	assert_non_null(a->body);
	while (a->n < n) {
		size_t k = n - a->n < c->n_in ? n - a->n : c->n_in;

		memcpy(a->body + a->n, c->in, k);
		a->n += k;
		eat(c, k);
		if (a->n < n && !listen_more(c))
			break;
	}
	a->body[a->n] = '\0';
}

static struct answer hear(struct client *c, bool with_body)
{
	struct answer a = {0};
	uint64_t n = 0;

	if (!read_headers(c, &a)) {
		a.ended = true;
		return a;
	}
	if (with_body && header_of(&a, "\r\nContent-Length"))
		assert_int_equal(
			num_parse_u64(header_of(&a, "\r\nContent-Length"), 0, 100 << 20, &n), 0);
	read_body(c, &a, n);
	return a;
}

static struct answer ask(struct client *c, const char *method, const char *path, const char *more,
			 const void *body, size_t n)
{
	char head[1024];
	int len = snprintf(head, sizeof(head),
			   "%s %s HTTP/1.1\r\nHost: zt.test:443\r\n%sContent-Length: %zu\r\n\r\n",
			   method, path, more, n);

	assert_true(len > 0 && len < (int)sizeof(head));
	if (!say(c, head, (size_t)len) || !say(c, body, n))
		return (struct answer){.ended = true};
	return hear(c, !txt_equal(method, "HEAD"));
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

/* Reads until the server closes; false when it does not within WAIT_MS. */
static bool closes(struct client *c)
{
	for (;;) {
		ssize_t n = gnutls_record_recv(c->tls, c->in, sizeof(c->in));

		if (n == GNUTLS_E_AGAIN)
			return false;
		if (n <= 0 && n != GNUTLS_E_INTERRUPTED)
			return true;
	}
}

static bool fd_closes(int fd)
{
	char junk[1024];
	ssize_t n;

	do
		n = read(fd, junk, sizeof(junk));
	while (n > 0);
	return n == 0 || errno == ECONNRESET;
}

/* --- certificates --- */

static void save(const char *name, const gnutls_datum_t *d)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, d->data, d->size), d->size);
	close(fd);
}

static void make_pair(const char *crt_name, const char *key_name, uint8_t serial)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	gnutls_x509_privkey_init(&key);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 256, 0), 0);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, &serial, 1);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_dn(crt, "CN=zt.test", NULL);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA512, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	save(crt_name, &pem);
	gnutls_free(pem.data);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
							   GNUTLS_PKCS_PLAIN, &pem),
			 0);
	save(key_name, &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

/* --- who may call what --- */

static const struct {
	const char *header;
	unsigned kind; /* 0: a wrong credential */
} callers[] = {
	{"", HTTP_NOBODY},
	{"Authorization: Device 7\r\n", HTTP_DEVICE},
	{"Authorization: Device 8\r\n", HTTP_DEVICE_PENDING},
	{"Authorization: Admin 1\r\n", HTTP_ADMIN},
	{"Authorization: Admin 2\r\n", 0},
	{"Authorization: \r\n", 0},
};

static unsigned handled(void)
{
	return *(volatile unsigned *)&app.handled; /* between requests the loop does not touch it */
}

static int expected_status(const struct http_route *r, unsigned kind)
{
	if (kind == 0)
		return 401;
	if (r->who & kind)
		return 200;
	return kind == HTTP_NOBODY ? 401 : 403;
}

static void test_every_route_with_every_caller(void **state)
{
	unsigned tried = 0;

	(void)state;
	for (const struct http_route *r = routes; r->method; r++) {
		if (r->handler != handle_ok)
			continue; /* same gate, but other answers */
		for (size_t i = 0; i < sizeof(callers) / sizeof(callers[0]); i++) {
			int want = expected_status(r, callers[i].kind), got;
			unsigned before = handled();

			got = ask_once(r->method, strchr(r->path, '{') ? "/v1/admin/x" : r->path,
				       callers[i].header, want == 401 ? "login" : NULL);
			if (got != want || handled() != before + (want == 200))
				fail_msg("%s %s with '%s': %d instead of %d", r->method, r->path,
					 callers[i].header, got, want);
			tried++;
		}
	}
	assert_int_equal(tried, 7 * 6);
}

static void test_refusals_keep_the_connection(void **state)
{
	static const struct {
		const char *method, *path, *header;
		size_t body;
		int status;
		const char *code;
	} rows[] = {
		{"GET", "/v1/absent", "", 0, 404, "\"absent\""},
		{"GET", "/v1/open/", "", 0, 404, "\"absent\""},
		{"GET", "//v1/open", "", 0, 404, "\"absent\""},
		{"GET", "/v1/admin/", "", 0, 404, "\"absent\""},
		{"GET", "/v1/admin/a%2Fb/c", "", 0, 404, "\"absent\""},
		{"POST", "/v1/open", "", 0, 405, "\"form\""},
		{"HEAD", "/v1/echo", "", 0, 405, NULL},
		{"GET", "/v1/device", "", 0, 401, "\"login\""},
		{"POST", "/v1/echo", "", 100001, 413, NULL},
		{"POST", "/v1/open", "", 5000, 405, "\"form\""},
		{"GET", "/v1/open", "Origin: https://evil.test\r\n", 0, 403, "\"refused\""},
		{"GET", "/v1/open", "Origin: null\r\n", 0, 403, "\"refused\""},
		{"GET", "/v1/open", "Origin: http://zt.test:443\r\n", 0, 403, "\"refused\""},
		{"GET", "/v1/open", "Sec-Fetch-Site: cross-site\r\n", 0, 403, "\"refused\""},
		{"GET", "/v1/open", "Sec-Fetch-Site: same-site\r\n", 0, 403, "\"refused\""},
		{"GET", "/v1/open", "Authorization: Admin 1\r\nAuthorization: Admin 1\r\n", 0, 400,
		 "\"form\""},
		{"GET", "/v1/open",
		 "Origin: https://ZT.test:443\r\nSec-Fetch-Site: same-origin\r\n", 0, 200,
		 "nobody"},
		{"GET", "/v1/open", "", 0, 200, "nobody"},
	};
	struct client *c = call();
	char *body = calloc(1, 200000);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct answer a =
			ask(c, rows[i].method, rows[i].path, rows[i].header, body, rows[i].body);

		if (a.status != rows[i].status)
			fail_msg("%s %s %s: %d instead of %d", rows[i].method, rows[i].path,
				 rows[i].header, a.status, rows[i].status);
		if (rows[i].code)
			assert_non_null(strstr(a.body, rows[i].code));
		assert_string_equal(header_of(&a, "\r\nCache-Control"), "no-store");
		assert_string_equal(header_of(&a, "\r\nX-Content-Type-Options"), "nosniff");
		if (a.status == 405)
			assert_non_null(header_of(&a, "\r\nAllow"));
		free(a.body);
	}
	free(body);
	hang_up(c);
}

static void test_parameters(void **state)
{
	static const struct {
		const char *path;
		int status;
		const char *part;
	} rows[] = {
		{"/v1/items/7/x/ada", 200, "{\"id\":\"7\",\"name\":\"ada\",\"q\":\"none\"}"},
		{"/v1/items/a%2Fb/x/ada%40example.com?q=1", 200,
		 "{\"id\":\"a/b\",\"name\":\"ada@example.com\",\"q\":\"1\"}"},
		{"/v1/items/7/x/a?q=because+it%20is%2B%C3%A9", 200, "because it is+\xc3\xa9"},
		{"/v1/items/7/x/a?Q=other", 200, "\"q\":\"none\""},
		{"/v1/items/7/x/a?q=", 200, "\"q\":\"\""},
		{"/v1/items/7/x/a?q", 200, "\"q\":\"\""},
		{"/v1/items/7/x/%00", 400, "form"},
		{"/v1/items/7/x/a%00b", 400, "form"},
		{"/v1/items/7/x/%4", 400, "form"},
		{"/v1/items/7/x/%", 400, "form"},
		{"/v1/items/7/x/%zz", 400, "form"},
		{"/v1/items/7/x/%ff", 400, "form"},
		{"/v1/items/7/x/a?q=%ff", 400, "form"},
		{"/v1/items/7/x/a?q=1&q=2", 400, "form"},
		{"/v1/items/7/x/a?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", 400, "form"},
		{"/v1/items//x/a", 404, "absent"},
		{"/v1/items/7/%78/a", 404, "absent"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = ask_once("GET", rows[i].path, "", rows[i].part);

		if (status != rows[i].status)
			fail_msg("%s: %d instead of %d", rows[i].path, status, rows[i].status);
	}
}

static void test_reply_header_and_peer(void **state)
{
	struct client *c = call();
	struct answer a = ask(c, "GET", "/v1/items/1/x/2", "", NULL, 0);
	struct sockaddr_in mine;
	socklen_t len = sizeof(mine);
	uint8_t local[4] = {127, 0, 0, 1};
	struct addr want = addr_v4(local);

	(void)state;
	assert_string_equal(header_of(&a, "\r\nX-Policy-Version"), "4");
	assert_int_equal(getsockname(c->fd, (struct sockaddr *)&mine, &len), 0);
	assert_true(addr_equal(&app.peer.addr, &want));
	assert_int_equal(app.peer.port, ntohs(mine.sin_port));
	free(a.body);
	hang_up(c);
}

static void test_errors_from_the_table(void **state)
{
	static const struct {
		int err, status;
		const char *code;
	} rows[] = {
		{ZT_ETOKEN, 403, "token"},   {ZT_EREFUSED, 403, "refused"},
		{ZT_EABSENT, 404, "absent"}, {ZT_EEXISTS, 409, "exists"},
		{ZT_ESTATE, 409, "state"},   {ZT_EFORM, 400, "form"},
		{ZT_ELIMIT, 413, "limit"},   {ZT_ESIG, 401, "login"},
		{ENOSPC, 507, "full"},	     {EBUSY, 503, "busy"},
		{EIO, 500, "internal"},	     {ZT_ECORRUPT, 500, "internal"},
	};
	char path[64], part[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "/v1/diag?err=%d", rows[i].err);
		snprintf(part, sizeof(part), "\"code\":\"%s\"", rows[i].code);
		assert_int_equal(ask_once("GET", path, "", part), rows[i].status);
	}
	assert_int_equal(ask_once("GET", "/v1/diag?err=5003", "", "secret path"), 400 + 1);
}

/* What broke inside is not for strangers. */
static void test_internal_errors_say_nothing(void **state)
{
	struct client *c = call();
	struct answer a = ask(c, "GET", "/v1/diag?err=5", "", NULL, 0);

	(void)state;
	assert_int_equal(a.status, 500);
	assert_null(strstr(a.body, "secret"));
	free(a.body);
	hang_up(c);
}

/* --- bodies --- */

static void test_body_back(void **state)
{
	static const size_t sizes[] = {0, 1, 8191, 8192, 65536, 100000};
	struct client *c = call();
	char *body = malloc(100000);

	(void)state;
	for (size_t i = 0; i < 100000; i++)
		body[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct answer a = ask(c, "POST", "/v1/echo", "", body, sizes[i]);

		assert_int_equal(a.status, 200);
		assert_int_equal(a.n, sizes[i]);
		assert_memory_equal(a.body, body, sizes[i]);
		free(a.body);
	}
	free(body);
	hang_up(c);
}

/* Refused on the announcement alone: nobody waits for, or keeps, a gigabyte. */
static void test_announced_body_too_large(void **state)
{
	static const char *const lengths[] = {"2000000", "1000000000", "18446744073709551615"};
	char head[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct client *c = call();
		struct answer a;

		snprintf(head, sizeof(head),
			 "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n",
			 lengths[i]);
		assert_true(say_text(c, head));
		a = hear(c, true);
		assert_int_equal(a.status, 413);
		assert_true(closes(c));
		free(a.body);
		hang_up(c);
	}
	assert_int_equal(handled(), 0);
}

static void test_unclear_lengths_refused(void **state)
{
	static const struct {
		const char *headers;
		int status;
	} rows[] = {
		{"Transfer-Encoding: chunked\r\n", 411},
		{"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 411},
		{"Content-Length: 3\r\nContent-Length: 3\r\n", 400},
		{"Content-Length: -1\r\n", 400},
		{"Content-Length: 0x10\r\n", 400},
		{"Content-Length: 99999999999999999999999\r\n", 413},
	};
	char head[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client *c = call();
		struct answer a;

		snprintf(head, sizeof(head), "POST /v1/echo HTTP/1.1\r\nHost: x\r\n%s\r\nabc",
			 rows[i].headers);
		assert_true(say_text(c, head));
		a = hear(c, true);
		if (a.status != rows[i].status)
			fail_msg("%s: %d instead of %d", rows[i].headers, a.status, rows[i].status);
		free(a.body);
		hang_up(c);
	}
	assert_int_equal(handled(), 0);
}

/* One byte now and then: never silent, so only a deadline ends it. */
static void assert_dribbling_is_cut(const char *first)
{
	struct client *c = call();
	int64_t from = clock_now().boot_ms;
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	assert_true(say_text(c, first));
	/* The server says nothing before it closes, so readable means closed; session tickets
	 * aside, which are off. */
	while (poll(&p, 1, 100) == 0 && say_text(c, "x"))
		assert_true(clock_now().boot_ms - from < WAIT_MS);
	assert_true(closes(c));
	assert_true(clock_now().boot_ms - from >= 900);
	hang_up(c);
	assert_others_served();
}

static void test_slow_body_is_cut(void **state)
{
	(void)state;
	assert_dribbling_is_cut(
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
	assert_int_equal(handled(), 1);
}

static void test_slow_refused_body_is_cut(void **state)
{
	(void)state;
	assert_dribbling_is_cut(
		"POST /v1/absent HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
}

static void test_slow_headers_are_cut(void **state)
{
	(void)state;
	assert_dribbling_is_cut("GET /v1/open HTTP/1.1\r\nHost: x\r\nX-Slow: ");
}

/* --- strangers --- */

static void test_huge_headers(void **state)
{
	static const char *const starts[] = {"GET /v1/open HTTP/1.1\r\nHost: x\r\nX-Big: ", "GET /",
					     ""};
	char junk[1000];

	(void)state;
	memset(junk, 'a', sizeof(junk));
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct client *c = call();
		size_t sent = 0;

		say_text(c, starts[i]);
		while (sent < (1 << 20) && say(c, junk, sizeof(junk)))
			sent += sizeof(junk);
		assert_true(
			closes(c)); /* with 431, 414, 400 or nothing that we were in time to read */
		hang_up(c);
	}
	assert_others_served();
	assert_int_equal(handled(), 1);
}

static void test_many_headers(void **state)
{
	char head[4096];
	struct buf b;
	struct client *c = call();
	struct answer a;

	(void)state;
	buf_init(&b, head, sizeof(head));
	buf_put_text(&b, "GET /v1/open HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 60; i++)
		buf_printf(&b, "X%d: 1\r\n", i);
	buf_put_text(&b, "\r\n");
	assert_true(say_text(c, buf_text(&b)));
	a = hear(c, true);
	assert_int_equal(a.status, 431);
	free(a.body);
	hang_up(c);
}

static void test_half_open_tls_is_cut(void **state)
{
	int fd = dial();
	int64_t from = clock_now().boot_ms;

	(void)state;
	assert_others_served();
	assert_true(fd_closes(fd));
	assert_true(clock_now().boot_ms - from < 5000);
	close(fd);
}

static void test_garbage_before_tls(void **state)
{
	static const char *const garbage[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x16\x03\x01\xff\xff\x01\x00\xff\xff\x03\x03",
		"\x16\x03\x03",
		"SSH-2.0-OpenSSH_9.2\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		int fd = dial();

		assert_true(send(fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL) > 0);
		shutdown(fd, SHUT_WR);
		assert_true(fd_closes(fd));
		close(fd);
	}
	assert_others_served();
	assert_int_equal(handled(), 1);
}

static void test_old_tls_refused(void **state)
{
	(void)state;
	assert_null(call_with("NORMAL:-VERS-ALL:+VERS-TLS1.2"));
	assert_others_served();
}

static void test_connections_per_address(void **state)
{
	struct client *c[3];
	unsigned two = 2;
	int fd;

	(void)state;
	stop();
	config_defaults();
	t.config.connections_per_address_max = 3;
	start();
	for (size_t i = 0; i < 3; i++)
		c[i] = call();
	fd = dial();
	assert_true(fd_closes(fd)); /* refused before TLS */
	close(fd);
	hang_up(c[0]);
	assert_true(await(connections_are, &two));
	assert_others_served();
	hang_up(c[1]);
	hang_up(c[2]);
}

/* In total: the next waits in the kernel's queue until one has gone. */
static void test_connections_in_total(void **state)
{
	struct client *c[3], *next;
	unsigned none = 0;

	(void)state;
	stop();
	config_defaults();
	t.config.connections_max = 3;
	t.config.connections_per_address_max = 100;
	start();
	for (size_t i = 0; i < 3; i++)
		c[i] = call();
	assert_int_equal(stats().connections, 3);
	hang_up(c[1]);
	next = call();
	hang_up(c[0]);
	hang_up(c[2]);
	hang_up(next);
	assert_true(await(connections_are, &none));
}

static void test_rate_per_address(void **state)
{
	struct client *c = call();
	unsigned ok = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct answer a = ask(c, "POST", "/v1/enroll", "", NULL, 0);

		ok += a.status == 200;
		if (a.status == 429) {
			refused++;
			assert_non_null(strstr(a.body, "\"rate\""));
			assert_non_null(header_of(&a, "\r\nRetry-After"));
		}
		free(a.body);
	}
	assert_int_equal(ok + refused, 300);
	assert_true(ok >= 200); /* 64 at once are no flood */
	assert_true(refused > 0);
	assert_int_equal(handled(), ok);
	hang_up(c);
	assert_others_served();
}

static void test_wrong_credentials_slow_down(void **state)
{
	struct client *c = call();
	unsigned wrong = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct answer a = ask(c, "GET", "/v1/open", "Authorization: Admin 9\r\n", NULL, 0);

		wrong += a.status == 401;
		refused += a.status == 429;
		free(a.body);
	}
	assert_int_equal(wrong + refused, 1000);
	assert_true(wrong >= 500 && refused > 0);
	hang_up(c);
	assert_others_served();
}

/* --- connections --- */

static void test_slot_belongs_to_the_connection(void **state)
{
	struct client *a = call(), *b = call();
	struct answer x;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char want[16];

		snprintf(want, sizeof(want), "{\"before\":%d}", i);
		x = ask(a, "GET", "/v1/slot", "", NULL, 0);
		assert_string_equal(x.body, want);
		free(x.body);
	}
	x = ask(b, "GET", "/v1/slot", "", NULL, 0);
	assert_string_equal(x.body, "{\"before\":0}");
	free(x.body);
	hang_up(a);
	hang_up(b);
}

static void test_pipelined_requests(void **state)
{
	struct client *c = call();

	(void)state;
	assert_true(say_text(
		c, "GET /v1/open HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/echo HTTP/1.1\r\nHost: x\r\n"
		   "Content-Length: 3\r\n\r\nabcGET /v1/absent HTTP/1.1\r\nHost: x\r\n\r\n"));
	for (int i = 0; i < 3; i++) {
		static const int want[] = {200, 200, 404};
		struct answer a = hear(c, true);

		assert_int_equal(a.status, want[i]);
		if (i == 1)
			assert_string_equal(a.body, "abc");
		free(a.body);
	}
	hang_up(c);
}

static void test_big_answer(void **state)
{
	struct client *c = call();
	struct answer a = ask(c, "GET", "/v1/big", "", NULL, 0);

	(void)state;
	assert_int_equal(a.status, 200);
	assert_int_equal(a.n, 5 << 20);
	free(a.body);
	hang_up(c);
}

/* --- answers that come later --- */

static bool later_are(void *arg)
{
	return app.n_later == *(size_t *)arg;
}

static void answer_all(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < app.n_later; i++)
		http_reply_json(app.later[i], 200, json_pack("{s:i}", "n", (int)i));
	app.n_later = 0;
}

static void test_deferred_answers(void **state)
{
	struct client *c[3];
	size_t three = 3;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t n = i + 1;

		c[i] = call();
		assert_true(say_text(c[i], "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
		assert_true(await(later_are, &n));
	}
	assert_true(await(later_are, &three));
	assert_others_served(); /* a sleeping request holds up nobody */
	in_loop(answer_all, NULL);
	for (size_t i = 0; i < 3; i++) {
		char want[16];
		struct answer a = hear(c[i], true);

		snprintf(want, sizeof(want), "{\"n\":%zu}", i);
		assert_string_equal(a.body, want);
		free(a.body);
		a = ask(c[i], "GET", "/v1/open", "", NULL, 0); /* and the connection goes on */
		assert_int_equal(a.status, 200);
		free(a.body);
		hang_up(c[i]);
	}
}

static void test_client_gone_before_the_answer(void **state)
{
	struct client *c = call();
	size_t one = 1;
	unsigned none = 0;

	(void)state;
	assert_true(say_text(c, "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(await(later_are, &one));
	hang_up(c);
	assert_others_served();
	in_loop(answer_all, NULL);
	assert_true(await(connections_are, &none));
	assert_others_served();
}

/* The server is freed while handlers owe answers; they answer into nothing afterwards (the
 * sanitizers look on). */
static void test_server_gone_before_the_answer(void **state)
{
	struct client *c = call(), *d = call();
	struct http_request *owed[2];
	struct http_stream *s;
	size_t two = 2;

	(void)state;
	assert_true(say_text(c, "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(say_text(d, "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(await(later_are, &two));
	stop();
	memcpy(owed, app.later, sizeof(owed));
	assert_int_equal(http_caller(owed[0])->kind, HTTP_NOBODY);
	assert_non_null(http_request_alloc(owed[0], 10));
	assert_int_equal(http_conn_slot(owed[0])->until_boot_ms, 0);
	http_reply_error(owed[0], 403, "refused", "too late", "");
	s = http_reply_stream(owed[1], 100, stream_ended, &app.streams[0]);
	assert_null(s);
	assert_int_equal(app.streams[0].ended, 0);
	assert_true(closes(c));
	hang_up(c);
	hang_up(d);
}

static void answered_twice(void)
{
	struct client *c;

	close(STDERR_FILENO); /* the message is expected */
	config_defaults();
	start();
	c = call();
	ask(c, "GET", "/v1/twice", "", NULL, 0);
	_exit(0);
}

static void test_second_answer_is_a_bug(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		answered_twice();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* --- streams --- */

static struct client *open_stream(const char *query)
{
	struct client *c = call();
	char head[128];

	snprintf(head, sizeof(head), "GET /v1/stream%s HTTP/1.1\r\nHost: x\r\n\r\n", query);
	assert_true(say_text(c, head));
	return c;
}

/* Chunks until n bytes of body have come; false when the stream ended before. Expected bytes: fill.
 */
static bool hear_chunks(struct client *c, size_t n, char fill)
{
	while (n > 0) {
		uint64_t size = 0;
		char *line;

		while (!(line = find_in(c, "\r\n")))
			if (!listen_more(c))
				return false;
		*line = '\0';
		size = strtoul((char *)c->in, NULL, 16);
		eat(c, (size_t)(line + 2 - (char *)c->in));
		if (size == 0)
			return false;
		assert_true(size <= n);
		n -= size;
		while (c->n_in < size + 2)
			if (!listen_more(c))
				return false;
		for (size_t i = 0; fill && i < size; i++)
			assert_int_equal(c->in[i], fill);
		eat(c, size + 2);
	}
	return true;
}

static bool streams_are(void *arg)
{
	struct http_stats s;

	http_server_stats(t.server, &s);
	return s.streams == *(unsigned *)arg && app.n_streams >= s.streams;
}

struct write_job {
	size_t stream;
	char fill;
	size_t n;
	int err;
};

static void write_stream(void *arg)
{
	struct write_job *w = arg;
	struct app_stream *a = &app.streams[w->stream];
	char *p = malloc(w->n);

	memset(p, w->fill, w->n);
	w->err = a->s ? http_stream_write(a->s, p, w->n) : -EPIPE;
	if (w->err == 0)
		a->written += w->n;
	free(p);
}

static int stream_write(size_t stream, char fill, size_t n)
{
	struct write_job w = {.stream = stream, .fill = fill, .n = n};

	in_loop(write_stream, &w);
	return w.err;
}

static void end_stream(void *arg)
{
	struct app_stream *a = arg;

	http_stream_end(a->s);
	a->s = NULL;
}

static bool has_ended(void *arg)
{
	return ((struct app_stream *)arg)->ended > 0;
}

static void test_stream_comes_at_once(void **state)
{
	struct client *c = open_stream("?hello=1"), *d;
	struct answer a = {0};

	(void)state;
	assert_true(read_headers(c, &a));
	assert_int_equal(a.status, 200);
	assert_string_equal(header_of(&a, "\r\nContent-Type"), "application/octet-stream");
	assert_true(hear_chunks(c, 5, 0));
	for (int i = 0; i < 50; i++) {
		assert_int_equal(stream_write(0, 'a', 1), 0);
		assert_true(hear_chunks(c, 1, 'a'));
	}
	assert_int_equal(stream_write(0, 'b', 200000), 0);
	assert_true(hear_chunks(c, 200000, 'b'));
	d = open_stream(""); /* nothing to say yet: the headers come all the same */
	assert_true(read_headers(d, &a));
	assert_int_equal(a.status, 200);
	hang_up(c);
	hang_up(d);
}

static void test_stream_end(void **state)
{
	struct client *c = open_stream("");
	struct answer a = {0};
	unsigned one = 1, none = 0;

	(void)state;
	assert_true(await(streams_are, &one));
	assert_int_equal(stream_write(0, 'q', 100000), 0);
	in_loop(end_stream, &app.streams[0]);
	assert_true(read_headers(c, &a));
	assert_true(hear_chunks(c, 100000, 'q'));
	assert_false(hear_chunks(c, 1, 0)); /* the last chunk, in order */
	assert_true(await(streams_are, &none));
	assert_int_equal(app.streams[0].ended, 0);
	hang_up(c);
}

static void test_stream_client_leaves(void **state)
{
	struct client *c = open_stream("");
	unsigned one = 1, none = 0;

	(void)state;
	assert_true(await(streams_are, &one));
	hang_up(c);
	/* Without a write: nobody has to try to find out. */
	assert_true(await(has_ended, &app.streams[0]));
	assert_true(await(streams_are, &none));
	assert_true(await(connections_are, &none));
	assert_int_equal(app.streams[0].ended, 1);
}

/* Three clients, the second never reads: it alone is closed, after a bounded number of bytes. */
static void test_slow_stream_harms_only_itself(void **state)
{
	struct client *c[3];
	struct answer a = {0};
	int err = 0;
	unsigned two = 2;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		unsigned n = i + 1;

		c[i] = open_stream("");
		assert_true(await(streams_are, &n));
		if (i != 1)
			assert_true(read_headers(c[i], &a));
	}
	for (int i = 0; i < 4000 && err == 0; i++) {
		err = stream_write(1, 'x', 16384);
		assert_int_equal(stream_write(0, 'a', 100), 0);
		assert_int_equal(stream_write(2, 'c', 100), 0);
		assert_true(hear_chunks(c[0], 100, 'a'));
		assert_true(hear_chunks(c[2], 100, 'c'));
	}
	assert_int_equal(err, -ENOBUFS);
	assert_true(await(has_ended, &app.streams[1]));
	assert_true(await(streams_are, &two));
	assert_int_equal(stream_write(1, 'x', 1), -EPIPE);
	assert_int_equal(app.streams[1].ended, 1);
	/* What the kernel's buffers took, and the queue: some MiB, not the 64 that were offered. */
	assert_true(app.streams[1].written < 32 << 20);
	assert_int_equal(stream_write(0, 'a', 100), 0);
	assert_true(hear_chunks(c[0], 100, 'a'));
	for (size_t i = 0; i < 3; i++)
		hang_up(c[i]);
}

/* A queue is never overfilled, not even by the first write to a sleeping stream. */
static void test_stream_write_over_its_limit(void **state)
{
	struct client *c = open_stream("");
	unsigned one = 1;

	(void)state;
	assert_true(await(streams_are, &one));
	assert_int_equal(stream_write(0, 'x', STREAM_QUEUE + 1), -ENOBUFS);
	assert_true(await(has_ended, &app.streams[0]));
	assert_true(closes(c));
	hang_up(c);
}

/* Keeps half a queue waiting, so that it is never full. True when the stream has ended. */
static bool feed_stalled(void *arg)
{
	struct app_stream *a = arg;
	struct write_job w = {
		.stream = (size_t)(a - app.streams), .fill = 'x', .n = STREAM_QUEUE / 4};
	struct http_stats s;

	http_server_stats(t.server, &s);
	if (a->s && s.bytes_out + STREAM_QUEUE / 4 >= a->written)
		write_stream(&w);
	if (w.err < 0)
		a->last_err = w.err;
	return a->ended > 0;
}

/* One that stops reading, while too little is written to fill its queue, goes by the idle timeout.
 */
static void test_stalled_stream_times_out(void **state)
{
	struct client *c = open_stream(""), *reader;
	struct answer a = {0};
	unsigned one = 1, two = 2;

	(void)state;
	assert_true(await(streams_are, &one));
	reader = open_stream("");
	assert_true(await(streams_are, &two));
	assert_true(await(feed_stalled, &app.streams[0]));
	assert_int_equal(app.streams[0].last_err, 0);
	/* The other one had nothing to read for longer than the timeout, and is still there. */
	assert_true(read_headers(reader, &a));
	assert_int_equal(stream_write(1, 'y', 10), 0);
	assert_true(hear_chunks(reader, 10, 'y'));
	hang_up(c);
	hang_up(reader);
}

static bool an_idle_connection_was_cut(void *arg)
{
	return connections_are(arg);
}

/* A quiet stream outlives the idle timeout that ends a quiet connection beside it. */
static void test_quiet_stream_stays(void **state)
{
	struct client *idle, *c = open_stream("");
	struct answer a = {0};
	unsigned one = 1, two = 2;

	(void)state;
	assert_true(await(streams_are, &one));
	idle = call();
	assert_true(await(connections_are, &two));
	assert_true(await(an_idle_connection_was_cut, &one));
	assert_true(closes(idle));
	assert_int_equal(stream_write(0, 'k', 3), 0);
	assert_true(read_headers(c, &a));
	assert_true(hear_chunks(c, 3, 'k'));
	hang_up(idle);
	hang_up(c);
}

/* --- certificates, start and end --- */

struct reload_job {
	const char *crt, *key;
	int err;
	struct diag d;
};

static void reload(void *arg)
{
	struct reload_job *j = arg;

	j->err = http_server_reload(t.server, in_dir(j->crt), in_dir(j->key), &j->d);
}

static void test_reload(void **state)
{
	static const struct {
		const char *crt, *key;
		int err;
	} bad[] = {
		{"b.crt", "a.key", -ZT_EFORM}, {"absent", "a.key", -ENOENT},
		{"a.crt", "absent", -ENOENT},  {"a.key", "a.key", -ZT_EFORM},
		{"a.crt", "a.crt", -ZT_EFORM},
	};
	struct client *old = call(), *fresh;
	struct reload_job j = {.crt = "b.crt", .key = "b.key", .err = 1};
	struct answer a;

	(void)state;
	assert_int_equal(old->serial, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct reload_job b = {.crt = bad[i].crt, .key = bad[i].key};

		in_loop(reload, &b);
		assert_int_equal(b.err, bad[i].err);
		assert_true(b.d.message[0]);
	}
	fresh = call();
	assert_int_equal(fresh->serial, 1);
	hang_up(fresh);
	in_loop(reload, &j);
	assert_int_equal(j.err, 0);
	fresh = call();
	assert_int_equal(fresh->serial, 2);
	a = ask(old, "GET", "/v1/open", "", NULL, 0);
	assert_int_equal(a.status, 200);
	free(a.body);
	hang_up(fresh);
	hang_up(old);
}

static void stop_server(void *arg)
{
	(void)arg;
	http_server_stop(t.server);
}

static void test_stop_in_order(void **state)
{
	struct client *stream = open_stream(""), *idle = call(), *later = call();
	struct answer a = {0};
	size_t one_later = 1;
	unsigned one = 1, none = 0;

	(void)state;
	assert_true(await(streams_are, &one));
	assert_true(say_text(later, "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(await(later_are, &one_later));
	assert_int_equal(stream_write(0, 'l', 70000), 0);
	in_loop(stop_server, NULL);
	assert_int_equal(dial(), -1);
	assert_true(closes(idle));
	assert_true(read_headers(stream, &a));
	assert_true(hear_chunks(stream, 70000, 'l'));
	assert_false(hear_chunks(stream, 1, 0));
	assert_true(await(has_ended, &app.streams[0]));
	in_loop(answer_all, NULL);
	a = hear(later, true);
	assert_int_equal(a.status, 200);
	free(a.body);
	assert_true(await(connections_are, &none));
	hang_up(stream);
	hang_up(idle);
	hang_up(later);
}

/* Freed at once with everything open: streams' ends are told, nothing leaks. */
static void test_free_with_all_open(void **state)
{
	struct client *c[4];
	size_t one_later = 1;
	unsigned one = 1;

	(void)state;
	c[0] = open_stream("");
	assert_true(await(streams_are, &one));
	c[1] = call();
	c[2] = call();
	assert_true(say_text(c[1], "GET /v1/later HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(await(later_are, &one_later));
	assert_true(
		say_text(c[2], "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"));
	c[3] = call();
	stop();
	assert_int_equal(app.streams[0].ended, 1);
	answer_all(NULL);
	for (size_t i = 0; i < 4; i++)
		hang_up(c[i]);
}

static void test_start_errors(void **state)
{
	static const struct http_route unguarded[] = {
		{"GET", "/v1/x", 0, 0, HTTP_RATE_NONE, handle_ok, ""},
		{NULL, NULL, 0, 0, HTTP_RATE_NONE, NULL, NULL}};
	static const struct http_route doubled[] = {
		{"GET", "/v1/x", ANYONE, 0, HTTP_RATE_NONE, handle_ok, ""},
		{"GET", "/v1/x", ANYONE, 0, HTTP_RATE_NONE, handle_ok, ""},
		{NULL, NULL, 0, 0, HTTP_RATE_NONE, NULL, NULL}};
	struct http_server *s = NULL;
	struct loop *l = loop_new();
	struct diag d = {0};
	struct http_config c = t.config;

	(void)state;
	c.listen.port = t.port;
	assert_int_equal(http_server_new(l, &c, &s, &d), -EADDRINUSE);
	assert_non_null(strstr(d.hint, "--listen"));
	c = t.config;
	c.key_file = in_dir("b.key");
	assert_int_equal(http_server_new(l, &c, &s, &d), -ZT_EFORM);
	assert_non_null(strstr(d.message, "b.key"));
	c = t.config;
	c.cert_file = in_dir("absent");
	assert_int_equal(http_server_new(l, &c, &s, &d), -ENOENT);
	c = t.config;
	c.routes = unguarded;
	assert_int_equal(http_server_new(l, &c, &s, &d), -EINVAL);
	assert_non_null(strstr(d.message, "who may call"));
	c.routes = doubled;
	assert_int_equal(http_server_new(l, &c, &s, &d), -EINVAL);
	assert_null(s);
	loop_free(l);
}

/* Listening on ::, an IPv4 client is known by its IPv4 address. */
static void test_dual_stack(void **state)
{
	uint8_t local[4] = {127, 0, 0, 1};
	struct addr want = addr_v4(local);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	if (fd < 0)
		skip();
	close(fd);
	stop();
	config_defaults();
	t.config.listen.addr = (struct addr){.family = ADDR_V6};
	start();
	assert_int_equal(ask_once("GET", "/v1/items/1/x/2", "", "none"), 200);
	assert_true(addr_equal(&app.peer.addr, &want));
}

static int group_setup(void **state)
{
	(void)state;
	log_init("http_test", LOG_LEVEL_ERROR - 1); /* errors on purpose */
	snprintf(dir, sizeof(dir), "/tmp/zt-http-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	make_pair("a.crt", "a.key", 1);
	make_pair("b.crt", "b.key", 2);
	return gnutls_certificate_allocate_credentials(&nothing_trusted);
}

static int group_teardown(void **state)
{
	static const char *const files[] = {"a.crt", "a.key", "b.crt", "b.key"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in_dir(files[i]));
	rmdir(dir);
	gnutls_certificate_free_credentials(nothing_trusted);
	return 0;
}

#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define IMPATIENT(f) cmocka_unit_test_setup_teardown(f, setup_impatient, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_every_route_with_every_caller),
		WITH_SERVER(test_refusals_keep_the_connection),
		WITH_SERVER(test_parameters),
		WITH_SERVER(test_reply_header_and_peer),
		WITH_SERVER(test_errors_from_the_table),
		WITH_SERVER(test_internal_errors_say_nothing),
		WITH_SERVER(test_body_back),
		WITH_SERVER(test_announced_body_too_large),
		WITH_SERVER(test_unclear_lengths_refused),
		IMPATIENT(test_slow_body_is_cut),
		IMPATIENT(test_slow_refused_body_is_cut),
		IMPATIENT(test_slow_headers_are_cut),
		WITH_SERVER(test_huge_headers),
		WITH_SERVER(test_many_headers),
		IMPATIENT(test_half_open_tls_is_cut),
		WITH_SERVER(test_garbage_before_tls),
		WITH_SERVER(test_old_tls_refused),
		WITH_SERVER(test_connections_per_address),
		WITH_SERVER(test_connections_in_total),
		WITH_SERVER(test_rate_per_address),
		WITH_SERVER(test_wrong_credentials_slow_down),
		WITH_SERVER(test_slot_belongs_to_the_connection),
		WITH_SERVER(test_pipelined_requests),
		WITH_SERVER(test_big_answer),
		WITH_SERVER(test_deferred_answers),
		WITH_SERVER(test_client_gone_before_the_answer),
		WITH_SERVER(test_server_gone_before_the_answer),
		cmocka_unit_test(test_second_answer_is_a_bug),
		WITH_SERVER(test_stream_comes_at_once),
		WITH_SERVER(test_stream_end),
		WITH_SERVER(test_stream_client_leaves),
		WITH_SERVER(test_slow_stream_harms_only_itself),
		WITH_SERVER(test_stream_write_over_its_limit),
		IMPATIENT(test_stalled_stream_times_out),
		IMPATIENT(test_quiet_stream_stays),
		WITH_SERVER(test_reload),
		WITH_SERVER(test_stop_in_order),
		WITH_SERVER(test_free_with_all_open),
		WITH_SERVER(test_start_errors),
		WITH_SERVER(test_dual_stack),
	};

	return cmocka_run_group_tests_name("controller/http", tests, group_setup, group_teardown);
}
