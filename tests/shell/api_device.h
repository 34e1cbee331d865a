/* A device that speaks docs/api.md with the proto library, and believes nothing it cannot verify:
 *
 *     challenge -> enroll -> challenge -> session -> report, stream: envelope -> netmap -> apply */
#pragma once

#include "tests/shell/api_fixture.h"

#include "zt/envelope.h"
#include "zt/frame.h"
#include "zt/netmap.h"
#include "zt/report.h"

struct dev {
	CURL *curl; /* one connection: challenges are bound to it */
	struct secret identity, wg;
	struct key identity_pub, wg_pub;
	uint32_t id;
	char name[ZT_NAME_MAX + 1], state[16], session[96]; /* the whole header */
	struct key network;
	/* stream */
	CURLM *multi;
	CURL *stream;
	struct curl_slist *headers;
	uint8_t *in;
	size_t n_in;
	bool ended;
	bool deaf; /* does not read its stream */
	/* what it knows */
	struct arena arena;
	struct netmap map;
	struct key leaf;
	uint64_t serial;
	unsigned n_full, n_delta, n_keepalive;
	struct netmap_psk psk; /* of the last peer put */
	json_t *advice;
	char bye[32];
	bool empty_before_bye;
};

static struct dev *devs[512]; /* all with a stream */
static size_t n_devs;

/* --- keys and proofs --- */

static struct dev *dev_new(void)
{
	struct dev *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->curl = client_new();
	randombytes_buf(d->identity.b, ZT_KEY_LEN);
	randombytes_buf(d->wg.b, ZT_KEY_LEN);
	secret_clamp(&d->wg);
	key_of_identity(&d->identity, &d->identity_pub);
	key_of_wireguard(&d->wg, &d->wg_pub);
	arena_init(&d->arena, 64 << 20);
	return d;
}

static void hang_up(struct dev *d)
{
	if (!d->stream)
		return;
	curl_multi_remove_handle(d->multi, d->stream);
	curl_easy_cleanup(d->stream);
	curl_multi_cleanup(d->multi);
	curl_slist_free_all(d->headers);
	d->stream = NULL;
	for (size_t i = 0; i < n_devs; i++)
		if (devs[i] == d)
			devs[i--] = devs[--n_devs];
}

static void dev_free(struct dev *d)
{
	if (!d)
		return;
	hang_up(d);
	curl_easy_cleanup(d->curl);
	arena_done(&d->arena);
	json_decref(d->advice);
	free(d->in);
	free(d);
}

struct challenge {
	struct key value, box;
};

static void bytes_at(json_t *j, const char *name, void *out, size_t n)
{
	const char *s = text_at(j, name);
	size_t len = 0;

	assert_int_equal(txt_base64url_decode(s, strlen(s), out, n, &len), 0);
	assert_int_equal(len, n);
}

static struct challenge get_challenge(CURL *c)
{
	struct reply r = call(c, "GET", "/v1/challenge", NULL, NULL);
	struct challenge ch;

	assert_int_equal(r.status, 200);
	bytes_at(r.json, "challenge", ch.value.b, ZT_KEY_LEN);
	bytes_at(r.json, "box_key", ch.box.b, ZT_KEY_LEN);
	drop(&r);
	return ch;
}

static json_t *base64_of(const void *p, size_t n)
{
	char text[2 * ZT_SIG_LEN];

	assert_int_equal(txt_base64url_encode(p, n, text, sizeof(text)), 0);
	return json_string(text);
}

/* An enrolment as it goes out; tests spoil a field of it. */
struct form {
	uint64_t token_id;
	struct secret secret;
	const char *name;
	struct key identity, wg, proof;
	struct sig sig;
};

static void put_head(struct buf *b, const struct challenge *ch)
{
	buf_put(b, ctl.admin.pin.b, ZT_KEY_LEN);
	buf_put(b, ch->value.b, ZT_KEY_LEN);
}

static void form_sign(struct form *f, const struct dev *d, const struct challenge *ch)
{
	uint8_t mem[512];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	put_head(&b, ch);
	assert_int_equal(key_prove(&d->wg, &ch->box, "zt-wg-proof-1", mem, b.len, &f->proof), 0);
	buf_put_u64(&b, f->token_id);
	buf_put(&b, f->identity.b, ZT_KEY_LEN);
	buf_put(&b, f->wg.b, ZT_KEY_LEN);
	buf_put_text(&b, f->name);
	assert_int_equal(b.err, 0);
	key_sign(&d->identity, "zt-enroll-1", mem, b.len, &f->sig);
}

static struct form form_of(const struct dev *d, const struct token *t, const char *name,
			   const struct challenge *ch)
{
	struct form f = {.token_id = t->id,
			 .secret = t->secret,
			 .name = name,
			 .identity = d->identity_pub,
			 .wg = d->wg_pub};

	form_sign(&f, d, ch);
	return f;
}

static struct reply form_send(CURL *c, const struct form *f)
{
	json_t *j = json_pack("{s:I,s:o,s:s,s:o,s:o,s:o,s:o}", "token_id", (json_int_t)f->token_id,
			      "secret", base64_of(f->secret.b, ZT_KEY_LEN), "name", f->name,
			      "identity_key", base64_of(f->identity.b, ZT_KEY_LEN), "wg_key",
			      base64_of(f->wg.b, ZT_KEY_LEN), "signature",
			      base64_of(f->sig.b, ZT_SIG_LEN), "wg_proof",
			      base64_of(f->proof.b, ZT_KEY_LEN));
	char *text = json_dumps(j, JSON_COMPACT);
	struct reply r = call(c, "POST", "/v1/enroll", NULL, text);

	free(text);
	json_decref(j);
	return r;
}

static struct reply try_enroll(struct dev *d, const struct token *t, const char *name)
{
	struct challenge ch = get_challenge(d->curl);
	struct form f = form_of(d, t, name, &ch);

	return form_send(d->curl, &f);
}

static void admitted(struct dev *d, struct reply *r)
{
	if (r->status != 201)
		fail_msg("enrol: %ld %s", r->status, r->text);
	d->id = (uint32_t)number_at(r->json, "device");
	snprintf(d->name, sizeof(d->name), "%s", text_at(r->json, "name"));
	snprintf(d->state, sizeof(d->state), "%s", text_at(r->json, "state"));
	bytes_at(r->json, "network_key", d->network.b, ZT_KEY_LEN);
	drop(r);
}

/* as: a token's owner or tags, and more: "\"user\":\"ada@x.org\"". */
static struct dev *enrolled(const char *as, const char *name)
{
	struct dev *d = dev_new();
	struct reply r;
	struct token t;
	char body[256];

	snprintf(body, sizeof(body), "{%s}", as);
	token_create(body, &t);
	r = try_enroll(d, &t, name);
	admitted(d, &r);
	assert_true(key_equal(&d->network, &t.network)); /* else no device believes the answer */
	return d;
}

/* --- session and what takes one --- */

static struct reply try_session_as(struct dev *d, uint32_t id, const struct challenge *ch)
{
	uint8_t mem[128];
	struct reply r;
	struct sig sig;
	struct buf b;
	char *text;
	json_t *j;

	buf_init(&b, mem, sizeof(mem));
	put_head(&b, ch);
	buf_put_u32(&b, id);
	key_sign(&d->identity, "zt-session-1", mem, b.len, &sig);
	j = json_pack("{s:I,s:o}", "device", (json_int_t)id, "signature",
		      base64_of(sig.b, ZT_SIG_LEN));
	text = json_dumps(j, JSON_COMPACT);
	r = call(d->curl, "POST", "/v1/session", NULL, text);
	free(text);
	json_decref(j);
	return r;
}

static struct reply try_session(struct dev *d)
{
	struct challenge ch = get_challenge(d->curl);

	return try_session_as(d, d->id, &ch);
}

static void login(struct dev *d)
{
	struct reply r = try_session(d);

	if (r.status != 200)
		fail_msg("session: %ld %s", r.status, r.text);
	snprintf(d->session, sizeof(d->session), "Authorization: Device %s",
		 text_at(r.json, "session"));
	snprintf(d->state, sizeof(d->state), "%s", text_at(r.json, "state"));
	drop(&r);
}

static FIXTURE_UNUSED struct reply ask_why(struct dev *d, const char *to, const char *service)
{
	char path[512];

	snprintf(path, sizeof(path), "/v1/why?to=%s&service=%s", to, service);
	return call(d->curl, "GET", path, d->session, NULL);
}

/* --- the stream --- */

/* Every peer put has a preshared key, and only this device opens them. */
static void take_psks(struct dev *d, const struct netmap_msg *m)
{
	const struct netmap_psk *psk;
	struct arena a;
	uint8_t *plain;
	size_t n;

	if (!m->n_peers_put) {
		assert_int_equal(m->n_sealed, 0);
		return;
	}
	arena_init(&a, 4 << 20);
	plain = arena_alloc(&a, m->n_sealed);
	assert_int_equal(key_seal_open(&d->identity, m->sealed, m->n_sealed, plain), 0);
	assert_int_equal(netmap_psk_decode(plain, m->n_sealed - KEY_SEAL_EXTRA, &a, &psk, &n), 0);
	assert_int_equal(n, m->n_peers_put);
	d->psk = psk[n - 1];
	arena_done(&a);
}

static void take_netmap(struct dev *d, const uint8_t *p, size_t n)
{
	static const struct netmap nothing;
	static const struct key none;
	struct arena msg_arena, fresh;
	struct netmap_msg m;
	struct envelope e;
	struct key leaf;
	bool full;

	assert_int_equal(envelope_decode(p, n, &e), 0);
	arena_init(&msg_arena, 64 << 20);
	arena_init(&fresh, 64 << 20);
	assert_int_equal(netmap_decode(e.content, e.content_len, &msg_arena, &m), 0);
	full = m.head.kind == NETMAP_FULL;
	assert_int_equal(envelope_verify(&e, &d->network, full ? &none : &d->leaf, &leaf), 0);
	assert_int_equal(m.head.device, d->id);
	assert_true(full ? m.head.serial > d->serial : m.head.serial == d->serial + 1);
	assert_int_equal(netmap_apply(full ? &nothing : &d->map, &m, &fresh, &d->map), 0);
	take_psks(d, &m);
	arena_done(&msg_arena);
	arena_done(&d->arena);
	d->arena = fresh;
	d->leaf = leaf;
	d->serial = m.head.serial;
	d->n_full += full;
	d->n_delta += !full;
	d->map.policy = m.head.policy;
}

static void take_bye(struct dev *d, const uint8_t *p, size_t n)
{
	json_t *j = json_loadb((const char *)p, n, 0, NULL);

	assert_string_equal(d->bye, "");
	snprintf(d->bye, sizeof(d->bye), "%s", text_at(j, "code"));
	d->empty_before_bye = d->map.n_peers == 0 && d->map.n_grants == 0;
	json_decref(j);
}

static void take_frame(struct dev *d, enum frame_kind kind, const uint8_t *p, size_t n)
{
	assert_string_equal(d->bye, ""); /* nothing follows it */
	switch (kind) {
	case FRAME_KEEPALIVE:
		d->n_keepalive++;
		break;
	case FRAME_NETMAP:
		take_netmap(d, p, n);
		break;
	case FRAME_ADVICE:
		json_decref(d->advice);
		d->advice = json_loadb((const char *)p, n, 0, NULL);
		assert_non_null(d->advice);
		break;
	case FRAME_BYE:
		take_bye(d, p, n);
		break;
	}
}

static size_t take_stream(char *p, size_t one, size_t n, void *arg)
{
	struct dev *d = arg;
	enum frame_kind kind;
	const uint8_t *body;
	size_t body_len, len;

	(void)one;
	d->in = realloc(d->in, d->n_in + n);
	assert_non_null(d->in);
	memcpy(d->in + d->n_in, p, n);
	d->n_in += n;
	for (;;) {
		assert_int_equal(frame_peek(d->in, d->n_in, &kind, &body, &body_len, &len), 0);
		if (!len)
			return n;
		take_frame(d, kind, body, body_len);
		d->n_in -= len;
		memmove(d->in, d->in + len, d->n_in);
	}
}

static void open_stream(struct dev *d, uint64_t serial)
{
	char path[64];

	hang_up(d);
	d->n_in = 0;
	d->ended = false;
	d->stream = client_new();
	d->multi = curl_multi_init();
	snprintf(path, sizeof(path), "/v1/stream?serial=%llu", (unsigned long long)serial);
	prepare(d->stream, path);
	d->headers = curl_slist_append(NULL, d->session);
	curl_easy_setopt(d->stream, CURLOPT_HTTPHEADER, d->headers);
	curl_easy_setopt(d->stream, CURLOPT_TIMEOUT_MS, 0L);
	curl_easy_setopt(d->stream, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(d->stream, CURLOPT_WRITEFUNCTION, take_stream);
	curl_easy_setopt(d->stream, CURLOPT_WRITEDATA, d);
	assert_int_equal(curl_multi_add_handle(d->multi, d->stream), CURLM_OK);
	assert_true(n_devs < N_OF(devs));
	devs[n_devs++] = d;
}

static void pump(void)
{
	int running, ms = n_devs ? 20 / (int)n_devs + 1 : 5;

	for (size_t i = 0; i < n_devs; i++) {
		struct dev *d = devs[i];

		if (d->deaf)
			continue;
		curl_multi_perform(d->multi, &running);
		d->ended = running == 0;
		if (!d->ended)
			curl_multi_poll(d->multi, NULL, 0, ms, NULL);
	}
	if (!n_devs)
		poll(NULL, 0, ms);
}

/* Waits for the condition while every stream is read. */
#define await(condition)                                                                           \
	do {                                                                                       \
		int64_t until_ms = clock_now().boot_ms + WAIT_MS;                                  \
		while (!(condition)) {                                                             \
			if (clock_now().boot_ms > until_ms)                                        \
				fail_msg("line %d: did not come: %s; see %s/log", __LINE__,        \
					 #condition, ctl.dir);                                     \
			pump();                                                                    \
		}                                                                                  \
	} while (0)

static void connect_stream(struct dev *d)
{
	unsigned maps = d->n_full + d->n_delta;

	open_stream(d, d->serial);
	await(d->n_full + d->n_delta > maps);
}

/* Enrolled, with a session and a stream, and its first map. */
static FIXTURE_UNUSED struct dev *online(const char *as, const char *name)
{
	struct dev *d = enrolled(as, name);

	login(d);
	connect_stream(d);
	return d;
}

static FIXTURE_UNUSED bool sees(const struct dev *d, const struct dev *peer)
{
	return netmap_find_peer(&d->map, peer->id) != NULL;
}

static FIXTURE_UNUSED bool may_open(const struct dev *d, const struct dev *peer, uint16_t port)
{
	for (size_t i = 0; i < d->map.n_grants; i++)
		if (d->map.grants[i].peer == peer->id && d->map.grants[i].dir == NETMAP_OUT &&
		    d->map.grants[i].svc.lo <= port && port <= d->map.grants[i].svc.hi)
			return true;
	return false;
}

static FIXTURE_UNUSED void device_do(const struct dev *d, const char *what, const char *body)
{
	char path[128];

	snprintf(path, sizeof(path), "/v1/admin/devices/%u/%s", d->id, what);
	admin_do("POST", path, body);
}
