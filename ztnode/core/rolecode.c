/* Flat forms of what the roles say to each other. Same machine, same program; still read with the
 * cursor, because one side may have been taken over. */
#include <errno.h>
#include <string.h>

#include "zt/cur.h"
#include "ztnode/roles.h"

static void put_endpoint(struct buf *b, const struct endpoint *e)
{
	buf_put_u8(b, e->addr.family);
	buf_put_u8(b, 0);
	buf_put_u16(b, e->port);
	buf_put(b, e->addr.b, sizeof(e->addr.b));
}

static void get_endpoint(struct cur *c, struct endpoint *e)
{
	e->addr.family = cur_u8(c);
	if (cur_u8(c))
		cur_fail(c);
	e->port = cur_u16(c);
	cur_copy(c, e->addr.b, sizeof(e->addr.b));
	if (e->addr.family != ADDR_NONE && e->addr.family != ADDR_V4 && e->addr.family != ADDR_V6)
		cur_fail(c);
}

int hello_encode(const struct hello *h, struct buf *out)
{
	buf_put_u32(out, h->device);
	buf_put_fixed_text(out, h->url, ZT_URL_MAX);
	buf_put(out, h->pin.b, ZT_KEY_LEN);
	buf_put_u64(out, h->serial);
	buf_put_u16(out, h->wg_port);
	buf_put_u8(out, h->enforced);
	buf_put(out, h->network_key.b, ZT_KEY_LEN);
	buf_put_fixed_text(out, h->name, ZT_NAME_MAX);
	return out->err;
}

int hello_decode(const void *p, size_t n, struct hello *ret)
{
	struct hello h = {0};
	struct cur c;
	int err;

	cur_init(&c, p, n);
	h.device = cur_u32(&c);
	cur_fixed_text(&c, h.url, ZT_URL_MAX);
	cur_copy(&c, h.pin.b, ZT_KEY_LEN);
	h.serial = cur_u64(&c);
	h.wg_port = cur_u16(&c);
	h.enforced = cur_u8(&c);
	cur_copy(&c, h.network_key.b, ZT_KEY_LEN);
	cur_fixed_text(&c, h.name, ZT_NAME_MAX);
	err = cur_done(&c);
	if (!err)
		*ret = h;
	return err;
}

/* u8 family | u8 bits | addr[16] */
static void put_net(struct buf *b, const struct prefix *net)
{
	buf_put_u8(b, net->addr.family);
	buf_put_u8(b, net->bits);
	buf_put(b, net->addr.b, sizeof(net->addr.b));
}

static void get_net(struct cur *c, uint8_t family, struct prefix *ret)
{
	static const struct prefix none;
	struct prefix net = {0};

	net.addr.family = cur_u8(c);
	net.bits = cur_u8(c);
	cur_copy(c, net.addr.b, sizeof(net.addr.b));
	if (memcmp(&net, &none, sizeof(net)) != 0 &&
	    (net.addr.family != family || !prefix_is_overlay(&net)))
		cur_fail(c);
	*ret = net;
}

int enrolled_encode(const struct enrolled *e, struct buf *out)
{
	buf_put_u32(out, e->device);
	buf_put(out, e->network_key.b, ZT_KEY_LEN);
	buf_put_fixed_text(out, e->name, ZT_NAME_MAX);
	buf_put_fixed_text(out, e->url, ZT_URL_MAX);
	buf_put(out, e->pin.b, ZT_KEY_LEN);
	for (size_t i = 0; i < 2; i++)
		put_net(out, &e->nets[i]);
	return out->err;
}

int enrolled_decode(const void *p, size_t n, struct enrolled *ret)
{
	struct enrolled e = {0};
	struct cur c;
	int err;

	cur_init(&c, p, n);
	e.device = cur_u32(&c);
	cur_copy(&c, e.network_key.b, ZT_KEY_LEN);
	cur_fixed_text(&c, e.name, ZT_NAME_MAX);
	cur_fixed_text(&c, e.url, ZT_URL_MAX);
	cur_copy(&c, e.pin.b, ZT_KEY_LEN);
	get_net(&c, ADDR_V4, &e.nets[0]);
	get_net(&c, ADDR_V6, &e.nets[1]);
	err = cur_done(&c);
	if (!err && (!e.device || key_is_zero(&e.network_key) || !e.url[0]))
		err = -ZT_EFORM;
	if (!err)
		*ret = e;
	return err;
}

int role_status_encode(const struct role_status *s, struct buf *out)
{
	buf_put_u8(out, s->enforced);
	buf_put_u64(out, (uint64_t)s->lease_left_ms);
	buf_put_u64(out, s->serial);
	buf_put_u16(out, s->wg_port);
	buf_put_fixed_text(out, s->interface, KSTATE_IFNAME_MAX);
	buf_put_fixed_text(out, s->problem, ROLE_TEXT_MAX);
	buf_put_u32(out, (uint32_t)s->n_peers);
	for (size_t i = 0; i < s->n_peers; i++) {
		const struct role_peer *p = &s->peers[i];

		buf_put_u32(out, p->id);
		put_endpoint(out, &p->endpoint);
		buf_put_u64(out, (uint64_t)p->last_handshake_s);
		buf_put_u64(out, p->rx_bytes);
		buf_put_u64(out, p->tx_bytes);
	}
	buf_put_u32(out, (uint32_t)s->n_map);
	if (s->n_map)
		buf_put(out, s->map, s->n_map);
	return out->err;
}

int role_status_decode(const void *p, size_t n, struct arena *a, struct role_status *ret)
{
	struct role_status s = {0};
	struct role_peer *peers;
	struct cur c;
	int err;

	cur_init(&c, p, n);
	s.enforced = cur_u8(&c);
	s.lease_left_ms = (int64_t)cur_u64(&c);
	s.serial = cur_u64(&c);
	s.wg_port = cur_u16(&c);
	cur_fixed_text(&c, s.interface, KSTATE_IFNAME_MAX);
	cur_fixed_text(&c, s.problem, ROLE_TEXT_MAX);
	s.n_peers = cur_u32(&c);
	if (c.err || s.n_peers > cur_left(&c) / ROLE_PEER_SIZE)
		return -ZT_EFORM;
	peers = arena_array(a, s.n_peers, sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	for (size_t i = 0; i < s.n_peers; i++) {
		peers[i].id = cur_u32(&c);
		get_endpoint(&c, &peers[i].endpoint);
		peers[i].last_handshake_s = (int64_t)cur_u64(&c);
		peers[i].rx_bytes = cur_u64(&c);
		peers[i].tx_bytes = cur_u64(&c);
	}
	s.peers = peers;
	s.n_map = cur_u32(&c);
	s.map = s.n_map ? cur_take(&c, s.n_map) : NULL;
	err = cur_done(&c);
	if (!err)
		*ret = s;
	return err;
}
