/* Answers that come later, streams, certificates, start and end: everything that outlives one turn
 * of the loop. */
#include "tests/shell/http_app.h"

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
	for (size_t i = 0; i < N_OF(bad); i++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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

	return cmocka_run_group_tests_name("controller/http life", tests, group_setup,
					   group_teardown);
}
