/* Many devices, each as idle as a device is most of its life: enrolled, its session open, one
 * report given, its stream up.
 *
 *   devices N <TOKEN     the token is good for N devices; then, a line at a time:
 *   "enrolled"           all have the controller's answer; waits for a line on stdin
 *   "connected"          all have a session, have reported, and have the first frame of their
 * stream; waits again, and ends
 *
 * One connection after the other, blocking: this measures the controller's memory, not its speed.
 * Each device has a loopback address of its own, since the controller limits what one address may
 * ask (controller/http/rate.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <jansson.h>
#include <sodium.h>

#include "zt/buf.h"
#include "zt/frame.h"
#include "zt/num.h"
#include "zt/report.h"
#include "zt/token.h"
#include "zt/txt.h"

enum { DEVICES_MAX = 10000, MESSAGE_MAX = 16 << 10, PER_NET = 250, TIMEOUT_S = 20 };

struct conn {
	int fd;
	gnutls_session_t tls;
	size_t n;
	char in[MESSAGE_MAX];
};

struct device {
	uint32_t id;
	struct secret identity, wg;
	struct conn *stream;
};

static struct token token;
static struct sockaddr_in controller;
static gnutls_certificate_credentials_t nothing_trusted;

static _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "devices: %s: %s\n", what, why);
	exit(1);
}

/* --- connection --- */

static int dial(uint32_t device)
{
	struct timeval patience = {.tv_sec = TIMEOUT_S};
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	from.sin_addr.s_addr = htonl(0x7f010001 + (device / PER_NET << 8) + device % PER_NET);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    connect(fd, (struct sockaddr *)&controller, sizeof(controller)) < 0)
		give_up("connect", strerror(errno));
	return fd;
}

static void open_conn(struct conn *c, uint32_t device)
{
	int err;

	*c = (struct conn){.fd = dial(device)};
	gnutls_init(&c->tls, GNUTLS_CLIENT);
	gnutls_priority_set_direct(c->tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL);
	gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, nothing_trusted);
	gnutls_transport_set_int(c->tls, c->fd);
	do {
		err = gnutls_handshake(c->tls);
	} while (err < 0 && !gnutls_error_is_fatal(err));
	if (err < 0)
		give_up("TLS", gnutls_strerror(err));
}

static void close_conn(struct conn *c)
{
	gnutls_deinit(c->tls);
	close(c->fd);
}

static void send_all(struct conn *c, const void *p, size_t n)
{
	const char *at = p;
	ssize_t sent;

	for (; n; at += sent, n -= (size_t)sent) {
		sent = gnutls_record_send(c->tls, at, n);
		if (sent < 0)
			give_up("send", gnutls_strerror((int)sent));
	}
}

static void receive_more(struct conn *c)
{
	ssize_t n;

	if (c->n == sizeof(c->in) - 1)
		give_up("receive", "more than a controller says");
	do {
		n = gnutls_record_recv(c->tls, c->in + c->n, sizeof(c->in) - 1 - c->n);
	} while (n < 0 && !gnutls_error_is_fatal((int)n) && n != GNUTLS_E_AGAIN);
	if (n <= 0)
		give_up("receive", n ? gnutls_strerror((int)n) : "closed");
	c->n += (size_t)n;
	c->in[c->n] = 0;
}

/* --- HTTP, as much as is needed --- */

static void request(struct conn *c, const char *method, const char *path, const char *session,
		    const void *body, size_t n)
{
	uint8_t mem[MESSAGE_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	buf_printf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path);
	if (session)
		buf_printf(&b, "Authorization: Device %s\r\n", session);
	if (body)
		buf_printf(&b, "Content-Length: %zu\r\n", n);
	buf_put_text(&b, "\r\n");
	buf_put(&b, body, n);
	if (b.err)
		give_up(path, "the request is too long");
	c->n = 0;
	send_all(c, mem, b.len);
}

/* The answer's body, when its head is there; its status must be this. */
static char *receive_head(struct conn *c, const char *path, const char *status)
{
	char *end = NULL;

	while (!c->n || !(end = strstr(c->in, "\r\n\r\n")))
		receive_more(c);
	if (strncmp(c->in, "HTTP/1.1 ", 9) != 0 || strncmp(c->in + 9, status, 3) != 0)
		give_up(path, c->in);
	return end + 4;
}

static json_t *receive_json(struct conn *c, const char *path, const char *status)
{
	char *body = receive_head(c, path, status),
	     *length = strcasestr(c->in, "\r\ncontent-length:");
	unsigned long n = length ? strtoul(length + 17, NULL, 10) : 0;
	json_t *j;

	while ((size_t)(c->in + c->n - body) < n)
		receive_more(c);
	j = json_loadb(body, n, 0, NULL);
	if (!j)
		give_up(path, "no JSON");
	return j;
}

static json_t *call(struct conn *c, const char *method, const char *path, const char *session,
		    const void *body, size_t n, const char *status)
{
	request(c, method, path, session, body, n);
	return receive_json(c, path, status);
}

static json_t *call_json(struct conn *c, const char *path, json_t *body, const char *status)
{
	char *text = json_dumps(body, JSON_COMPACT);
	json_t *answer = call(c, "POST", path, NULL, text, strlen(text), status);

	free(text);
	json_decref(body);
	return answer;
}

/* --- what a device does --- */

static json_t *base64(const void *p, size_t n)
{
	char text[2 * ZT_SIG_LEN];

	if (txt_base64url_encode(p, n, text, sizeof(text)))
		give_up("base64url", "too long");
	return json_string(text);
}

static void take_key(json_t *j, const char *name, struct key *ret)
{
	const char *s = json_string_value(json_object_get(j, name));
	size_t n = 0;

	if (!s || txt_base64url_decode(s, strlen(s), ret->b, sizeof(ret->b), &n) ||
	    n != sizeof(ret->b))
		give_up(name, "not in the answer");
}

/* pin || challenge: what every proof begins with. */
static void get_challenge(struct conn *c, struct buf *ret, struct key *ret_box)
{
	json_t *j = call(c, "GET", "/v1/challenge", NULL, NULL, 0, "200");
	struct key challenge;

	take_key(j, "challenge", &challenge);
	take_key(j, "box_key", ret_box);
	buf_put(ret, token.pin.b, ZT_KEY_LEN);
	buf_put(ret, challenge.b, ZT_KEY_LEN);
	json_decref(j);
}

static void enroll(struct device *d, uint32_t i)
{
	struct key box, identity, wg, proof;
	uint8_t mem[1024];
	struct sig sig;
	struct buf b;
	struct conn c;
	char name[32];
	json_t *j;

	randombytes_buf(d->identity.b, ZT_KEY_LEN);
	randombytes_buf(d->wg.b, ZT_KEY_LEN);
	secret_clamp(&d->wg);
	key_of_identity(&d->identity, &identity);
	key_of_wireguard(&d->wg, &wg);
	snprintf(name, sizeof(name), "device-%u", i);
	open_conn(&c, i);
	buf_init(&b, mem, sizeof(mem));
	get_challenge(&c, &b, &box);
	if (key_prove(&d->wg, &box, "zt-wg-proof-1", mem, b.len, &proof))
		give_up("enrol", "the controller's box key");
	buf_put_u64(&b, token.id);
	buf_put(&b, identity.b, ZT_KEY_LEN);
	buf_put(&b, wg.b, ZT_KEY_LEN);
	buf_put_text(&b, name);
	key_sign(&d->identity, "zt-enroll-1", mem, b.len, &sig);
	j = call_json(&c, "/v1/enroll",
		      json_pack("{s:I,s:o,s:s,s:o,s:o,s:o,s:o}", "token_id", (json_int_t)token.id,
				"secret", base64(token.secret.b, ZT_KEY_LEN), "name", name,
				"identity_key", base64(identity.b, ZT_KEY_LEN), "wg_key",
				base64(wg.b, ZT_KEY_LEN), "signature", base64(sig.b, ZT_SIG_LEN),
				"wg_proof", base64(proof.b, ZT_KEY_LEN)),
		      "201");
	d->id = (uint32_t)json_integer_value(json_object_get(j, "device"));
	json_decref(j);
	close_conn(&c);
}

static json_t *open_session(struct device *d, struct conn *c)
{
	uint8_t mem[256];
	struct key box;
	struct sig sig;
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	get_challenge(c, &b, &box);
	buf_put_u32(&b, d->id);
	key_sign(&d->identity, "zt-session-1", mem, b.len, &sig);
	return call_json(c, "/v1/session",
			 json_pack("{s:I,s:o}", "device", (json_int_t)d->id, "signature",
				   base64(sig.b, ZT_SIG_LEN)),
			 "200");
}

/* Two facts and an endpoint, as of a device of which little is asked. */
static void give_report(struct conn *c, const char *session)
{
	struct fact facts[] = {{.name = "node.version", .state = FACT_KNOWN, .value = "0.1.0"},
			       {.name = "os.id", .state = FACT_KNOWN, .value = "debian"}};
	struct report r = {
		.full = true, .wg_port = 51820, .n_endpoints = 1, .facts = facts, .n_facts = 2};
	uint8_t mem[1024];
	struct buf b;

	r.endpoints[0] = (struct endpoint){addr_v4((uint8_t[]){192, 0, 2, 7}), 51820};
	buf_init(&b, mem, sizeof(mem));
	if (report_encode(&r, &b))
		give_up("report", "cannot be encoded");
	json_decref(call(c, "POST", "/v1/report", session, mem, b.len, "200"));
}

/* Up when its first piece (chunked) is there. What comes later waits in the socket: an idle device
 * gets little. */
static void open_stream(struct device *d, uint32_t i, const char *session)
{
	char *body;

	d->stream = malloc(sizeof(*d->stream));
	if (!d->stream)
		give_up("stream", "out of memory");
	open_conn(d->stream, i);
	request(d->stream, "GET", "/v1/stream?serial=0", session, NULL, 0);
	body = receive_head(d->stream, "/v1/stream", "200");
	while ((size_t)(d->stream->in + d->stream->n - body) < FRAME_HEAD)
		receive_more(d->stream);
}

static void connect_device(struct device *d, uint32_t i)
{
	const char *session;
	struct conn c;
	json_t *j;

	open_conn(&c, i);
	j = open_session(d, &c);
	session = json_string_value(json_object_get(j, "session"));
	if (!session)
		give_up("session", "none in the answer");
	open_stream(d, i, session);
	give_report(&c, session);
	json_decref(j);
	close_conn(&c);
}

/* --- */

static void say_and_wait(const char *what)
{
	char line[16];

	printf("%s\n", what);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
}

static void read_token(void)
{
	char text[ZT_TOKEN_TEXT_MAX + 2];
	struct diag d = {0};
	const char *port;
	uint64_t n;

	if (!fgets(text, sizeof(text), stdin) || token_decode(text, TOKEN_ENROLL, &token, &d))
		give_up("token", d.message);
	port = strrchr(token.url, ':');
	if (num_parse_u64(port + 1, 1, 65535, &n))
		give_up("token", "its URL has no port");
	controller = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)n)};
	controller.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

int main(int argc, char **argv)
{
	struct device *devices;
	struct rlimit files;
	uint64_t n;

	if (argc != 2 || num_parse_u64(argv[1], 1, DEVICES_MAX, &n))
		give_up("usage", "devices N <TOKEN");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	devices = calloc(n, sizeof(*devices));
	if (!devices || sodium_init() < 0 ||
	    gnutls_certificate_allocate_credentials(&nothing_trusted) < 0)
		give_up("start", "out of memory");
	read_token();
	for (uint32_t i = 0; i < n; i++)
		enroll(&devices[i], i);
	say_and_wait("enrolled");
	for (uint32_t i = 0; i < n; i++)
		connect_device(&devices[i], i);
	say_and_wait("connected");
	return 0;
}
