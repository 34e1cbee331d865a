/* A client with real TLS and no manners of its own: it sends exactly what a test tells it to. */
#pragma once

#include "tests/shell/https_fixture.h"

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

static gnutls_certificate_credentials_t nothing_trusted; /* for the life of the program */

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
	if (c->tls)
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
	if (!nothing_trusted)
		assert_int_equal(gnutls_certificate_allocate_credentials(&nothing_trusted), 0);
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

static FIXTURE_UNUSED bool say_text(struct client *c, const char *s)
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
static FIXTURE_UNUSED bool closes(struct client *c)
{
	for (;;) {
		ssize_t n = gnutls_record_recv(c->tls, c->in, sizeof(c->in));

		if (n == GNUTLS_E_AGAIN)
			return false;
		if (n <= 0 && n != GNUTLS_E_INTERRUPTED)
			return true;
	}
}
