/* libcurl multi_socket glue: sockets and its timer live in the loop. */
#include "ztnode/net/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "zt/buf.h"
#include "zt/log.h"
#include "ztnode/net/curl.h"

enum {
	CONNECT_S = 10,
	REQUEST_S = 30,
	STALL_S = 3 * ZT_KEEPALIVE_S, /* a stream without a byte for this long is dead */
	REUSE_S = 30,		      /* a connection that idles for so long is not used again */
	PIN_TEXT_MAX = 64,
	URL_TEXT_MAX = ZT_URL_MAX + 2048,
};

struct client {
	const struct curl_api *curl;
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct loop_timer
		*reap; /* finished handles are looked after outside of libcurl's callbacks */
	char url[ZT_URL_MAX + 1];
	char pin[PIN_TEXT_MAX];
	struct client_request *requests;
	int64_t fresh_until_ms; /* CLOCK_BOOTTIME: no connection is used again before */
};

struct client_request {
	const struct curl_api *curl; /* its own: it may outlive its client by a moment */
	struct client *client;
	struct client_request *next;
	CURL *easy;
	struct curl_slist *headers;
	struct buf answer;
	struct client_call call;
	char error[CURL_ERROR_SIZE];
};

/* --- libcurl's events --- */

static void reap(struct client *c);

static void timer_due(void *arg)
{
	struct client *c = arg;
	int running;

	c->curl->multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

static void reap_due(void *arg)
{
	reap(arg);
}

static void socket_ready(void *arg, uint32_t events);

struct watch {
	struct client *client;
	curl_socket_t fd;
	struct loop_io *io;
};

static void socket_ready(void *arg, uint32_t events)
{
	struct watch *w = arg;
	struct client *c = w->client;
	int flags = 0, running;

	flags |= events & EPOLLIN ? CURL_CSELECT_IN : 0;
	flags |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	flags |= events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
	c->curl->multi_socket_action(c->multi, w->fd, flags, &running); /* may free w */
	reap(c);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct client *c = arg;
	struct watch *w = socket_arg;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			loop_io_free(w->io);
			free(w);
		}
		c->curl->multi_assign(c->multi, fd, NULL);
		return 0;
	}
	events |= what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0;
	events |= what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0;
	if (w) {
		loop_io_set(w->io, events);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	*w = (struct watch){.client = c, .fd = fd};
	w->io = loop_io_new(c->loop, fd, events, socket_ready, w);
	if (!w->io) {
		free(w);
		return -1;
	}
	c->curl->multi_assign(c->multi, fd, w);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct client *c = arg;

	(void)multi;
	loop_timer_set(c->timer, ms < 0 ? -1 : clock_now().boot_ms + ms);
	return 0;
}

/* --- answers --- */

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct client_request *r = arg;
	long status = 0;

	r->curl->easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (r->call.bytes && status == 200)
		return r->call.bytes(r->call.arg, p, size * n) ? size * n : 0;
	buf_put(&r->answer, p, size * n);
	return r->answer.err ? 0 : size * n;
}

static void unlink_request(struct client_request *r)
{
	struct client_request **p = &r->client->requests;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
}

/* Out of libcurl's hands and of the client's list; what is left is the caller's alone. */
static void detach(struct client_request *r)
{
	unlink_request(r);
	r->curl->multi_remove_handle(r->client->multi, r->easy);
}

static void free_request(struct client_request *r)
{
	r->curl->easy_cleanup(r->easy);
	r->curl->slist_free_all(r->headers);
	buf_free(&r->answer);
	free(r);
}

static int code_of(CURLcode c, const struct client_request *r)
{
	if (c == CURLE_OK)
		return 0;
	if (c == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
		return -ZT_ESIG;
	if (r->answer.err)
		return -ZT_ELIMIT;
	return -ZT_EUNREACH;
}

/* What libcurl and the TLS library say, for people. */
static const char *words_of(CURLcode code, const struct client_request *r)
{
	static const struct {
		CURLcode code;
		const char *words;
	} table[] = {
		{CURLE_COULDNT_RESOLVE_HOST, "its name cannot be resolved"},
		{CURLE_COULDNT_CONNECT, "it cannot be reached (connection refused or no route)"},
		{CURLE_OPERATION_TIMEDOUT, "it gives no answer in time"},
		{CURLE_GOT_NOTHING, "it closed the connection without an answer"},
		{CURLE_RECV_ERROR, "the connection was cut"},
		{CURLE_SEND_ERROR, "the connection was cut"},
		{CURLE_PARTIAL_FILE, "the connection was cut"},
		{CURLE_SSL_CONNECT_ERROR, "it does not speak TLS 1.3"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].code == code)
			return table[i].words;
	return r->error[0] ? r->error : r->curl->easy_strerror(code);
}

static void finish(struct client_request *r, CURLcode code)
{
	struct client_answer a = {.err = code_of(code, r)};

	r->curl->easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &a.status);
	a.body = buf_text(&r->answer);
	a.len = r->answer.len;
	snprintf(a.problem, sizeof(a.problem), "%s", words_of(code, r));
	detach(r); /* done may free the client */
	if (r->call.done)
		r->call.done(r->call.arg, &a);
	free_request(r);
}

/* done may start new requests, or free the client: so one message at a time, and nothing after the
 * last. */
static void reap(struct client *c)
{
	CURLMsg *m;
	int left;

	do {
		m = c->curl->multi_info_read(c->multi, &left);
		if (m && m->msg == CURLMSG_DONE) {
			struct client_request *r;
			CURLcode code = m->data.result;

			if (left)
				loop_timer_set(c->reap, 0);
			c->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
			finish(r, code);
			return;
		}
	} while (m);
}

/* --- requests --- */

static int set_headers(struct client_request *r)
{
	const struct curl_api *curl = r->curl;
	char line[512];
	struct curl_slist *h;

	if (r->call.authorization) {
		snprintf(line, sizeof(line), "Authorization: %s", r->call.authorization);
		r->headers = curl->slist_append(r->headers, line);
		explicit_bzero(line, sizeof(line));
	}
	if (r->call.content_type) {
		snprintf(line, sizeof(line), "Content-Type: %s", r->call.content_type);
		h = curl->slist_append(r->headers, line);
		r->headers = h ? h : r->headers;
	}
	h = curl->slist_append(r->headers, "Expect:"); /* no 100-continue round trip */
	if (!h)
		return -ENOMEM;
	r->headers = h;
	curl->easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
	return 0;
}

static void set_trust(struct client_request *r)
{
	const struct curl_api *curl = r->curl;
	CURL *e = r->easy;

	/* The pin is the identity: names and dates of a self-signed certificate add nothing to it.
	 */
	curl->easy_setopt(e, CURLOPT_PINNEDPUBLICKEY, r->client->pin);
	curl->easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
	curl->easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	/* Debian's default file of authorities would be parsed for every connection: 11 MB, for
	 * nothing. */
	curl->easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl->easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl->easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	curl->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl->easy_setopt(e, CURLOPT_PROXY, "");
	curl->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
}

static void set_limits(struct client_request *r)
{
	const struct curl_api *curl = r->curl;
	CURL *e = r->easy;

	curl->easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl->easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl->easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	if (r->call.bytes) {
		curl->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	} else {
		curl->easy_setopt(e, CURLOPT_TIMEOUT, (long)REQUEST_S);
	}
	curl->easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L);
	curl->easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)REUSE_S);
	if (clock_now().boot_ms < r->client->fresh_until_ms)
		curl->easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
}

static int set_call(struct client_request *r)
{
	const struct curl_api *curl = r->curl;
	char url[URL_TEXT_MAX];

	if (snprintf(url, sizeof(url), "%s%s", r->client->url, r->call.path) >= (int)sizeof(url))
		return -ZT_ELIMIT;
	curl->easy_setopt(r->easy, CURLOPT_URL, url);
	curl->easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, r->call.method);
	if (strcmp(r->call.method, "GET") != 0) {
		curl->easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE, (long)r->call.body_len);
		curl->easy_setopt(r->easy, CURLOPT_COPYPOSTFIELDS,
				  r->call.body ? r->call.body : "");
	}
	curl->easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl->easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	curl->easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
	curl->easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	return set_headers(r);
}

struct client_request *client_start(struct client *c, const struct client_call *call)
{
	struct client_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct client_request){
		.curl = c->curl, .client = c, .call = *call, .easy = c->curl->easy_init()};
	if (!r->easy) {
		free(r);
		return NULL;
	}
	buf_init_grow(&r->answer, call->answer_max);
	set_trust(r);
	set_limits(r);
	if (set_call(r) || c->curl->multi_add_handle(c->multi, r->easy) != CURLM_OK) {
		c->curl->easy_cleanup(r->easy);
		c->curl->slist_free_all(r->headers);
		free(r);
		return NULL;
	}
	r->next = c->requests;
	c->requests = r;
	return r;
}

void client_cancel(struct client_request *r)
{
	if (!r)
		return;
	detach(r);
	free_request(r);
}

/* "fe80::1%eth0" has to be bound with its interface, which is not known here. */
static bool has_address(const char *text)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
	int fd, err;

	if (!is_v4 &&
	    (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1 || IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)))
		return true;
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	err = is_v4 ? bind(fd, (struct sockaddr *)&v4, sizeof(v4))
		    : bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	err = err ? errno : 0;
	close(fd);
	return err != EADDRNOTAVAIL;
}

bool client_is_stranded(const struct client_request *r)
{
	const char *local = NULL;

	return r && r->curl->easy_getinfo(r->easy, CURLINFO_LOCAL_IP, &local) == CURLE_OK &&
	       local && local[0] && !has_address(local);
}

/* Those that stand are too old to be used when the time is over. */
void client_forget_connections(struct client *c)
{
	c->fresh_until_ms = clock_now().boot_ms + (REUSE_S + 1) * 1000;
}

void client_encode(struct buf *out, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text; text++)
		if (strchr(plain, *text))
			buf_put(out, text, 1);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}

struct client *client_new(struct loop *l, const char *url, const struct key *pin)
{
	struct client *c = calloc(1, sizeof(*c));
	char text[KEY_TEXT_MAX];
	struct diag d;

	if (!c)
		return NULL;
	*c = (struct client){.loop = l, .curl = curl_load(&d)};
	if (!c->curl) {
		log_diag(&d);
		free(c);
		return NULL;
	}
	c->multi = c->curl->multi_init();
	c->timer = loop_timer_new(l, timer_due, c);
	c->reap = loop_timer_new(l, reap_due, c);
	if (!c->multi || !c->timer || !c->reap) {
		client_free(c);
		return NULL;
	}
	key_print(pin, text);
	snprintf(c->pin, sizeof(c->pin), "sha256//%s", text);
	snprintf(c->url, sizeof(c->url), "%s", url);
	c->curl->multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	c->curl->multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	c->curl->multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	c->curl->multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	c->curl->multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 2L);
	return c;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	while (c->requests)
		client_cancel(c->requests);
	if (c->multi)
		c->curl->multi_cleanup(c->multi);
	loop_timer_free(c->timer);
	loop_timer_free(c->reap);
	free(c);
}
