/* What the tests of the HTTPS server and of its clients share: the server in a thread of its own
 * with a loop, and a client with real TLS. Whatever a test wants to do or see inside is run in the
 * loop (in_loop), so nothing is shared without it. */
#pragma once

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
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

#define FIXTURE_UNUSED __attribute__((unused))

enum { WAIT_MS = 10000 };

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

static void start(void)
{
	struct diag d = {0};

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
	for (size_t i = 0; i < N_OF(files); i++)
		unlink(in_dir(files[i]));
	rmdir(dir);
	gnutls_certificate_free_credentials(nothing_trusted);
	return 0;
}
