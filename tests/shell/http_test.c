/* The HTTPS server as its clients see it: who may call what, the form of requests, bodies, and what
 * strangers may cost. */
#include "tests/shell/http_app.h"

#include <malloc.h>

static bool connections_below(void *arg)
{
	struct http_stats s;

	http_server_stats(t.server, &s);
	return s.connections < *(unsigned *)arg;
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

static bool fd_closes(int fd)
{
	char junk[1024];
	ssize_t n;

	do
		n = read(fd, junk, sizeof(junk));
	while (n > 0);
	return n == 0 || errno == ECONNRESET;
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
		for (size_t i = 0; i < N_OF(callers); i++) {
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
	for (size_t i = 0; i < N_OF(rows); i++) {
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

/* DNS rebinding: a page of evil.test makes a browser believe that evil.test is our address. What it
 * says in Host it cannot choose. Refused before a path, a credential or a body is looked at. */
static void test_host_is_ours(void **state)
{
	static const struct {
		const char *request; /* up to its headers' end */
		int status;
	} rows[] = {
		{"GET /v1/open HTTP/1.1\r\nHost: evil.test\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\nHost: evil.test:443\r\nOrigin: "
		 "https://evil.test:443\r\n",
		 421},
		{"GET /v1/absent HTTP/1.1\r\nHost: evil.test\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Admin 9\r\n", 421},
		{"DELETE /v1/admin/7 HTTP/1.1\r\nHost: evil.test\r\nAuthorization: Admin 1\r\n",
		 421},
		{"POST /v1/echo HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\nHost: localhost\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\nHost: 127.0.0.2\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\nHost:\r\n", 421},
		{"GET /v1/open HTTP/1.0\r\n", 421},
		{"GET /v1/open HTTP/1.1\r\n", 400},
		{"GET /v1/open HTTP/1.1\r\nHost: zt.test\r\nHost: zt.test\r\n", 400},
		{"GET https://evil.test/v1/open HTTP/1.1\r\nHost: zt.test\r\n", 404},
	};
	static const char *const ours[] = {"zt.test", "ZT.TEST:8443", "127.0.0.1", "127.0.0.1:1"};
	char head[256];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct client *c = call();
		struct answer a;

		snprintf(head, sizeof(head), "%s\r\n", rows[i].request);
		assert_true(say_text(c, head));
		a = hear(c, true);
		if (a.status != rows[i].status)
			fail_msg("%s: %d instead of %d", rows[i].request, a.status, rows[i].status);
		if (a.status == 421)
			assert_non_null(strstr(a.body, "host name"));
		free(a.body);
		hang_up(c);
	}
	assert_int_equal(handled(), 0);
	for (size_t i = 0; i < N_OF(ours); i++) {
		struct client *c = call();
		struct answer a;

		snprintf(head, sizeof(head), "GET /v1/open HTTP/1.1\r\nHost: %s\r\n\r\n", ours[i]);
		assert_true(say_text(c, head));
		a = hear(c, true);
		row_check(ours[i], a.status == 200);
		free(a.body);
		hang_up(c);
	}
	assert_int_equal(handled(), N_OF(ours));
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
	for (size_t i = 0; i < N_OF(rows); i++) {
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
	for (size_t i = 0; i < N_OF(rows); i++) {
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
	for (size_t i = 0; i < N_OF(sizes); i++) {
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
	for (size_t i = 0; i < N_OF(lengths); i++) {
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
	for (size_t i = 0; i < N_OF(rows); i++) {
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
	int64_t from = clock_now().boot_ms;
	struct client *c = call();
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
	for (size_t i = 0; i < N_OF(starts); i++) {
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

static ssize_t push_hello(gnutls_transport_ptr_t to, const void *p, size_t n)
{
	return send(*(int *)to, p, n, MSG_NOSIGNAL);
}

static ssize_t pull_nothing(gnutls_transport_ptr_t from, void *p, size_t n)
{
	(void)from, (void)p, (void)n;
	errno = EAGAIN;
	return -1;
}

/* The first message of a handshake, and no more. */
static void say_hello(int fd)
{
	gnutls_session_t s;
	gnutls_certificate_credentials_t none;

	assert_int_equal(gnutls_init(&s, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&none), 0);
	assert_int_equal(gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, none), 0);
	assert_int_equal(gnutls_set_default_priority(s), 0);
	gnutls_transport_set_ptr(s, &fd);
	gnutls_transport_set_push_function(s, push_hello);
	gnutls_transport_set_pull_function(s, pull_nothing);
	assert_int_equal(gnutls_handshake(s), GNUTLS_E_AGAIN);
	gnutls_deinit(s);
	gnutls_certificate_free_credentials(none);
}

static double cpu_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

/* libmicrohttpd counts it as ready all the while (server.c, run). Until the deadline of a second
 * cuts it, a server that runs it again and again spends that second. */
static void test_a_handshake_that_waits_costs_nothing(void **state)
{
	int fd = dial();
	double from;

	(void)state;
	assert_others_served();
	say_hello(fd);
	from = cpu_ms();
	assert_true(fd_closes(fd));
	assert_true(cpu_ms() - from < 400);
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
	for (size_t i = 0; i < N_OF(garbage); i++) {
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

static bool refused_any(void *arg)
{
	struct http_stats s;

	(void)arg;
	http_server_stats(t.server, &s);
	return s.refused > 0;
}

/* One address that connects and connects, never many at a time, is held to a rate. */
static void test_connection_rate(void **state)
{
	struct condition refused = {.holds = refused_any};
	unsigned few = 100, i;

	(void)state;
	for (i = 0; i < 50000 && !refused.held; i++) {
		int fd = dial();

		close(fd);
		if (i % 100 == 99) {
			assert_true(await(connections_below,
					  &few)); /* so it is not the limit in number */
			in_loop(look, &refused);
		}
	}
	assert_true(refused.held);
	assert_true(i >= 12000);
}

static size_t heap_used(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Whatever strangers open and begin, what they make us keep ends at the limit in number; the
 * clients' own part of this process is counted too. */
static void test_memory_of_strangers_has_a_ceiling(void **state)
{
	enum { MOST = 50, MORE = 150, EACH = 64 << 10 };
	static const char *const begun[] = {
		NULL, "", "POST /v1/enroll HTTP/1.1\r\nHost: x\r\nX-A: ",
		"POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\nab"};
	struct client *c[MOST + MORE];
	unsigned none = 0;

	(void)state;
	stop();
	config_defaults();
	t.config.connections_per_address_max = MOST;
	start();
	assert_others_served();
	for (size_t k = 0; k < N_OF(begun); k++) {
		size_t before, held = 0;

		assert_true(await(connections_below, &(unsigned){1}));
		before = heap_used();
		for (size_t i = 0; i < MOST + MORE; i++) {
			c[i] = begun[k] ? call_with("NORMAL") : calloc(1, sizeof(*c[i]));
			if (!begun[k])
				c[i]->fd = dial();
			else if (c[i])
				say_text(c[i], begun[k]);
		}
		assert_true(stats().connections <= MOST);
		for (size_t i = 0; i < MOST + MORE; i++)
			before += c[i] ? sizeof(*c[i]) : 0;
		held = heap_used() > before ? heap_used() - before : 0;
		if (held > MOST * EACH)
			fail_msg("'%s': %zu KiB", begun[k] ? begun[k] : "no TLS", held >> 10);
		for (size_t i = 0; i < MOST + MORE; i++)
			hang_up(c[i]);
		assert_true(await(connections_are, &none));
	}
	assert_others_served();
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
		char want[32];

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_every_route_with_every_caller),
		WITH_SERVER(test_refusals_keep_the_connection),
		WITH_SERVER(test_host_is_ours),
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
		IMPATIENT(test_a_handshake_that_waits_costs_nothing),
		WITH_SERVER(test_garbage_before_tls),
		WITH_SERVER(test_old_tls_refused),
		WITH_SERVER(test_connections_per_address),
		WITH_SERVER(test_connections_in_total),
		WITH_SERVER(test_connection_rate),
		WITH_SERVER(test_memory_of_strangers_has_a_ceiling),
		WITH_SERVER(test_rate_per_address),
		WITH_SERVER(test_wrong_credentials_slow_down),
		WITH_SERVER(test_slot_belongs_to_the_connection),
		WITH_SERVER(test_pipelined_requests),
		WITH_SERVER(test_big_answer),
	};

	return cmocka_run_group_tests_name("controller/http", tests, group_setup, group_teardown);
}
