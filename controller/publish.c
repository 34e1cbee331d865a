/* From marked devices to signed frames on streams. */
#include "controller/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "zt/envelope.h"
#include "zt/frame.h"
#include "zt/log.h"
#include "controller/netmap/build.h"

enum { LINK_ARENA_MAX = 64 << 20, SERIAL_JUMP_MAX = 1 << 30, RETRY_MS = 30000 };

struct link { /* one a device that ever connected to this process */
	struct publisher *publisher;
	struct device *device;
	struct http_stream *stream; /* NULL: offline */
	struct arena arena;	    /* of last */
	struct netmap last;
	uint64_t serial;
	struct key leaf;
	bool marked; /* look again at the end of the turn */
	bool full;   /* the next message starts a new history */
	bool renew;  /* send though nothing changed */
	bool retry;  /* the last map could not be built */
	int64_t renew_at_ms, keepalive_at_ms;
	struct key advice_hash;
};

struct publisher {
	struct publish_config c;
	struct link **links, **marked; /* cap_links each */
	size_t n_links, cap_links;
	size_t n_marked;
	size_t n_streams;
};

struct outgoing { /* a message of the batch being made */
	struct link *link;
	struct arena arena;
	struct netmap map;
	struct buf content;
};

struct publisher *publisher_new(const struct publish_config *c)
{
	struct publisher *p = calloc(1, sizeof(*p));

	if (p)
		p->c = *c;
	return p;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_links; i++) {
		if (p->links[i]->stream)
			http_stream_end(p->links[i]->stream);
		p->links[i]->device->link = NULL;
		arena_done(&p->links[i]->arena);
		free(p->links[i]);
	}
	free(p->links);
	free(p->marked);
	free(p);
}

/* --- marking --- */

static void mark(struct publisher *p, struct link *l)
{
	if (l->marked || !l->stream)
		return;
	l->marked = true;
	p->marked[p->n_marked++] = l; /* link_of made room for every link */
}

void publish_mark(struct publisher *p, uint32_t id)
{
	struct device *d = model_device(p->c.model, id);

	if (d && d->link)
		mark(p, d->link);
}

void publish_mark_all(struct publisher *p)
{
	for (size_t i = 0; i < p->n_links; i++)
		mark(p, p->links[i]);
}

/* --- frames --- */

static void stream_over(struct link *l)
{
	l->stream = NULL;
	l->device->online = false;
	l->publisher->n_streams--;
	l->publisher->c.gone(l->publisher->c.arg, l->device);
}

static void stream_ended(void *arg)
{
	struct link *l = arg;

	if (l->stream)
		stream_over(l);
}

/* After what is queued. The device comes again and says what it has. */
static void end_stream(struct link *l)
{
	struct http_stream *s = l->stream;

	if (!s)
		return;
	stream_over(l);
	http_stream_end(s);
}

static void send_frame(struct link *l, enum frame_kind kind, const void *body, size_t n)
{
	struct buf b;
	int err;

	if (!l->stream)
		return;
	buf_init_grow(&b, ZT_FRAME_MAX + FRAME_HEAD);
	err = frame_encode(kind, body, n, &b);
	if (err) { /* never a gap in what a device hears */
		log_error("a frame for device %u: %s", l->device->row.id, zt_strerror(err));
		end_stream(l);
	} else if (http_stream_write(l->stream, b.data, b.len) == -ENOBUFS) {
		log_info("device %u reads too slowly; its stream ends and it will come again",
			 l->device->row.id);
	}
	buf_free(&b);
	l->keepalive_at_ms = clock_now().boot_ms + ZT_KEEPALIVE_S * 1000;
}

void publish_advise(struct publisher *p, struct device *d)
{
	struct link *l = d->link;
	struct key hash;
	char *text;

	if (!l || !l->stream || !(text = p->c.advice(p->c.arg, d)))
		return;
	key_hash(text, strlen(text), &hash);
	if (!key_equal(&hash, &l->advice_hash)) {
		l->advice_hash = hash;
		send_frame(l, FRAME_ADVICE, text, strlen(text));
	}
	free(text);
}

void publish_bye(struct publisher *p, struct device *d, const char *code, const char *message,
		 const char *hint)
{
	struct link *l = d->link;
	json_t *j;
	char *text;

	if (!l || !l->stream)
		return;
	mark(p, l);
	publish_flush(p);
	if (!l->stream)
		return;
	j = json_pack("{s:s,s:s,s:s}", "code", code, "message", message, "hint", hint);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (text)
		send_frame(l, FRAME_BYE, text, strlen(text));
	free(text);
	json_decref(j);
	end_stream(l);
}

/* --- building a message --- */

static int seal_psks(struct publisher *p, const struct device *d, struct netmap_msg *m,
		     struct arena *a)
{
	struct netmap_psk *psks = arena_array(a, m->n_peers_put, sizeof(*psks));
	uint8_t *plain = arena_array(a, m->n_peers_put,
				     NETMAP_PSK_SIZE); /* whole: growing would leave copies */
	uint8_t box_key[ZT_KEY_LEN], *sealed;
	struct buf b;
	int err;

	if (!m->n_peers_put)
		return 0;
	if (!psks || !plain)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_peers_put; i++) {
		psks[i].peer = m->peers_put[i].id;
		key_psk(&p->c.keys->psk, m->peers_put[i].psk_epoch, d->row.id, psks[i].peer,
			&psks[i].psk);
	}
	buf_init(&b, plain, m->n_peers_put * NETMAP_PSK_SIZE);
	err = netmap_psk_encode(psks, m->n_peers_put, &b);
	sealed = err ? NULL : arena_alloc(a, b.len + KEY_SEAL_EXTRA);
	if (!err && (!sealed || crypto_sign_ed25519_pk_to_curve25519(box_key, d->row.identity.b) ||
		     crypto_box_seal(sealed, b.data, b.len, box_key)))
		err = -ENOMEM;
	if (!err) {
		m->sealed = sealed;
		m->n_sealed = b.len + KEY_SEAL_EXTRA;
	}
	sodium_memzero(psks, m->n_peers_put * sizeof(*psks));
	sodium_memzero(plain, m->n_peers_put * NETMAP_PSK_SIZE);
	return err;
}

static uint32_t lease_of(const struct publisher *p, const struct device *d)
{
	return (uint32_t)model_force(p->c.model, d)->policy->lease_s;
}

static int encode_message(struct publisher *p, struct link *l, struct netmap_msg *m,
			  struct outgoing *o)
{
	int err;

	m->head = (struct netmap_head){.kind = l->full ? NETMAP_FULL : NETMAP_DELTA,
				       .lease_s = lease_of(p, l->device),
				       .issued_ms = (uint64_t)clock_now().wall_ms,
				       .serial = l->serial + 1,
				       .policy = o->map.policy,
				       .device = l->device->row.id};
	err = seal_psks(p, l->device, m, &o->arena);
	buf_init_grow(&o->content, ZT_NETMAP_MAX);
	return err ? err : netmap_encode(m, &o->content);
}

static void outgoing_drop(struct outgoing *o)
{
	arena_done(&o->arena);
	buf_free(&o->content);
}

/* 1: a message to send in *o; 0: nothing changed; <0 error. */
static int make_message(struct publisher *p, struct link *l, struct outgoing *o)
{
	static const struct netmap empty;
	struct netmap_msg m;
	int err;

	*o = (struct outgoing){.link = l};
	arena_init(&o->arena, LINK_ARENA_MAX);
	err = netmap_build(p->c.model, l->device, &o->arena, &o->map);
	l->retry = err != 0;
	if (err) { /* what it has may be too much: it keeps nothing until there is a whole map again
		    */
		log_error("no netmap for device %u: %s; it gets no peers", l->device->row.id,
			  zt_strerror(err));
		arena_done(&o->arena); /* it may be full, and what takes away needs room */
		arena_init(&o->arena, LINK_ARENA_MAX);
		netmap_build_alone(p->c.model, l->device, &o->map);
	}
	err = netmap_diff(l->full ? &empty : &l->last, &o->map, &o->arena, &m);
	if (!err && !l->full && !l->renew && netmap_msg_is_empty(&m) &&
	    l->last.policy == o->map.policy) {
		outgoing_drop(o);
		return 0;
	}
	if (!err)
		err = encode_message(p, l, &m, o);
	if (err) {
		outgoing_drop(o);
		return err;
	}
	return 1;
}

/* --- the batch --- */

/* Three times within the lease that ends first. */
static int64_t renewal_ms(const struct publisher *p, const struct device *d, const struct netmap *m)
{
	uint32_t least = lease_of(p, d);

	for (size_t i = 0; i < m->n_grants; i++)
		if (m->grants[i].lease_s && m->grants[i].lease_s < least)
			least = m->grants[i].lease_s;
	return (int64_t)least * 1000 / 3;
}

static void send_message(struct publisher *p, struct outgoing *o, const struct key *leaf,
			 const struct envelope *e)
{
	struct link *l = o->link;
	struct now now = clock_now();
	struct buf b;

	buf_init_grow(&b, ZT_FRAME_MAX);
	if (envelope_encode(e, &b) == 0)
		send_frame(l, FRAME_NETMAP, b.data, b.len);
	else
		end_stream(l);
	buf_free(&b);
	l->serial++;
	l->leaf = *leaf;
	l->full = l->renew = false;
	l->renew_at_ms = now.boot_ms + (l->retry ? RETRY_MS : renewal_ms(p, l->device, &o->map));
	arena_done(&l->arena);
	l->arena = o->arena;
	l->last = o->map;
	o->arena = (struct arena){0};
	l->device->row.serial = l->serial;
	p->c.sent(p->c.arg, l->device);
}

static int sign_and_send(struct publisher *p, struct outgoing *batch, size_t n)
{
	struct key *nodes = calloc(envelope_tree_size(n), sizeof(*nodes)), root,
		   path[ZT_MERKLE_DEPTH_MAX];
	static const struct key none;
	struct envelope e = {.batch = (uint32_t)n};

	if (!nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		envelope_leaf(batch[i].link->full ? &none : &batch[i].link->leaf,
			      batch[i].content.data, batch[i].content.len, &nodes[i]);
	envelope_tree_build(nodes, n, &root);
	key_sign(&p->c.keys->network, ENVELOPE_DOMAIN, root.b, sizeof(root.b), &e.sig);
	for (size_t i = 0; i < n; i++) {
		e.index = (uint32_t)i;
		e.depth = envelope_tree_path(nodes, n, i, path);
		e.path = path[0].b;
		e.content = batch[i].content.data;
		e.content_len = batch[i].content.len;
		send_message(p, &batch[i], &nodes[i], &e);
	}
	free(nodes);
	return 0;
}

void publish_flush(struct publisher *p)
{
	struct outgoing *batch;
	size_t n = 0;
	int err = 0;

	if (!p->n_marked || !p->c.model->force.policy)
		return;
	batch = calloc(p->n_marked, sizeof(*batch));
	for (size_t i = 0; batch && i < p->n_marked; i++) {
		struct link *l = p->marked[i];
		int r;

		l->marked = false;
		r = l->stream ? make_message(p, l, &batch[n]) : 0;
		if (r < 0) {
			log_error("no netmap for device %u: %s", l->device->row.id, zt_strerror(r));
			l->renew_at_ms = clock_now().boot_ms + RETRY_MS;
		}
		n += r == 1;
	}
	if (batch)
		p->n_marked = 0; /* else: tried again at the end of the next turn */
	if (n)
		err = sign_and_send(p, batch, n);
	if (err)
		log_error("netmaps were not sent: %s", zt_strerror(err));
	for (size_t i = 0; i < n; i++) {
		if (err)
			mark(p, batch[i].link); /* again at the end of the next turn */
		outgoing_drop(&batch[i]);
	}
	free(batch);
}

/* --- connections --- */

static int grow_links(struct publisher *p)
{
	size_t cap = p->cap_links ? p->cap_links * 2 : 64;
	struct link **m;

	if (p->n_links < p->cap_links)
		return 0;
	m = reallocarray(p->links, cap, sizeof(struct link *));
	if (!m)
		return -ENOMEM;
	p->links = m;
	m = reallocarray(p->marked, cap, sizeof(struct link *));
	if (!m)
		return -ENOMEM;
	p->marked = m;
	p->cap_links = cap;
	return 0;
}

static struct link *link_of(struct publisher *p, struct device *d)
{
	struct link *l = d->link;

	if (l)
		return l;
	l = grow_links(p) ? NULL : calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	*l = (struct link){.publisher = p, .device = d, .serial = d->row.serial, .full = true};
	arena_init(&l->arena, LINK_ARENA_MAX);
	p->links[p->n_links++] = l;
	d->link = l;
	return l;
}

/* The device says what it has. Equal to what we sent last: go on from there. Else a full map, with
 * a serial above both: after a crash the device may be ahead of what was remembered here. */
static void agree_on_serial(struct link *l, uint64_t serial)
{
	l->full = l->full || serial != l->serial || serial == 0;
	if (l->full && serial > l->serial && serial - l->serial < SERIAL_JUMP_MAX)
		l->serial = serial;
	l->renew = true;
}

int publish_connect(struct publisher *p, struct device *d, struct http_request *r, uint64_t serial)
{
	struct link *l = link_of(p, d);

	if (!l)
		return -ENOMEM;
	end_stream(l);
	agree_on_serial(l, serial);
	l->advice_hash = (struct key){0};
	l->stream = http_reply_stream(r, PUBLISH_QUEUE_MAX, stream_ended, l);
	if (!l->stream)
		return 0; /* answered all the same: see http_reply_stream */
	p->n_streams++;
	d->online = true;
	publish_advise(p, d);
	mark(p, l);
	return 0;
}

void publish_tick(struct publisher *p)
{
	int64_t now = clock_now().boot_ms;

	for (size_t i = 0; i < p->n_links; i++) {
		struct link *l = p->links[i];

		if (!l->stream)
			continue;
		if (now >= l->renew_at_ms) {
			l->renew = true;
			mark(p, l);
		} else if (now >= l->keepalive_at_ms) {
			send_frame(l, FRAME_KEEPALIVE, NULL, 0);
		}
	}
}

uint64_t publish_serial(const struct device *d)
{
	const struct link *l = d->link;

	return l ? l->serial : d->row.serial;
}

const struct netmap *publish_map(const struct device *d)
{
	const struct link *l = d->link;

	return l && l->serial && !l->full ? &l->last : NULL;
}

size_t publish_streams(const struct publisher *p)
{
	return p->n_streams;
}
