/* The last good map on disk: one flat record with a checksum in front. */
#include <errno.h>
#include <string.h>

#include "zt/cur.h"
#include "ztnode/core/accept.h"

enum { MAGIC = 0x3153747a /* "ztS1" */, VERSION = 1, HEAD = 4 + 4 + ZT_HASH_LEN };

static int encode_map(const struct mapstate *s, struct buf *out)
{
	static const struct netmap empty;
	struct netmap_msg m;
	struct arena a;
	int err;

	arena_init(&a, ACCEPT_ARENA_MAX);
	err = netmap_diff(&empty, &s->map, &a, &m);
	if (!err) {
		m.head = (struct netmap_head){.kind = NETMAP_FULL,
					      .lease_s = s->lease_s,
					      .issued_ms = s->issued_ms,
					      .serial = s->serial,
					      .policy = s->map.policy,
					      .device = s->map.self.id};
		err = netmap_encode(&m, out);
	}
	arena_done(&a);
	return err;
}

int mapfile_encode(const struct mapstate *s, struct now now,
		   const char boot_id[static BOOT_ID_LEN + 1], struct buf *out)
{
	struct buf map, psks;
	struct key sum;
	int err;

	buf_init_grow(&map, ZT_NETMAP_MAX);
	buf_init_secret(&psks, (size_t)ZT_PEERS_MAX * NETMAP_PSK_SIZE);
	err = encode_map(s, &map);
	if (!err)
		err = netmap_psk_encode(s->psks, s->n_psks, &psks);
	buf_put_u32(out, MAGIC);
	buf_put_u32(out, VERSION);
	buf_put_zero(out, ZT_HASH_LEN);
	buf_put_u64(out, s->serial);
	buf_put(out, s->leaf.b, sizeof(s->leaf.b));
	buf_put_u64(out, (uint64_t)s->lease_end_ms);
	buf_put_u64(out, (uint64_t)now.wall_ms);
	buf_put_fixed_text(out, boot_id, BOOT_ID_LEN);
	buf_put_u32(out, (uint32_t)map.len);
	buf_put(out, map.data, map.len);
	buf_put_u32(out, (uint32_t)psks.len);
	buf_put(out, psks.data, psks.len);
	if (!err)
		err = out->err;
	if (!err) {
		key_hash(out->data + HEAD, out->len - HEAD, &sum);
		memcpy(out->data + 8, sum.b, sizeof(sum.b));
	}
	buf_free(&psks);
	buf_free(&map);
	return err;
}

static int check_sum(struct cur *c)
{
	uint32_t magic = cur_u32(c), version = cur_u32(c);
	struct key sum, have;

	if (c->err || magic != MAGIC)
		return -ZT_ECORRUPT;
	if (version != VERSION)
		return -ZT_EVERSION;
	cur_copy(c, have.b, sizeof(have.b));
	if (c->err)
		return -ZT_ECORRUPT;
	key_hash(c->p, cur_left(c), &sum);
	return key_equal(&sum, &have) ? 0 : -ZT_ECORRUPT;
}

/* One preshared key for each peer, in their order. */
static bool psks_fit(const struct netmap *m, const struct netmap_psk *psks, size_t n)
{
	if (n != m->n_peers)
		return false;
	for (size_t i = 0; i < n; i++)
		if (psks[i].peer != m->peers[i].id)
			return false;
	return true;
}

static int read_map(const struct trust *t, struct cur *c, struct mapstate *s)
{
	static const struct netmap empty;
	struct netmap_msg m;
	const struct netmap_psk *psks;
	const uint8_t *p;
	size_t n;
	int err;

	n = cur_u32(c);
	p = cur_take(c, n);
	err = p ? netmap_decode(p, n, &s->arena, &m) : -ZT_ECORRUPT;
	if (!err)
		err = netmap_apply(&empty, &m, &s->arena, &s->map);
	if (err)
		return err;
	if (m.head.device != t->device || !key_equal(&s->map.self.wg_key, &t->wg_pub))
		return -ZT_EDEVICE;
	if (m.head.serial != s->serial)
		return -ZT_ECORRUPT;
	if (s->serial < t->serial)
		return -ZT_ESERIAL;
	s->issued_ms = m.head.issued_ms;
	s->lease_s = m.head.lease_s;
	n = cur_u32(c);
	p = cur_take(c, n);
	err = p ? netmap_psk_decode(p, n, &s->arena, &psks, &s->n_psks) : -ZT_ECORRUPT;
	if (!err && (!psks_fit(&s->map, psks, s->n_psks) || cur_done(c)))
		err = -ZT_ECORRUPT;
	if (!err)
		s->psks = psks;
	return err;
}

/* After a reboot only the wall clock is left; one that stands before the file's own time was set
 * back. */
static int end_after_boot(struct mapstate *s, int64_t saved_wall_ms, struct now now, struct diag *d)
{
	int64_t left = (int64_t)s->issued_ms + (int64_t)s->lease_s * 1000 - now.wall_ms;

	if (now.wall_ms < saved_wall_ms - (int64_t)ZT_CLOCK_SKEW_MAX_S * 1000) {
		diag_set(d, -ZT_ECLOCK,
			 "this machine's clock was set back since the last netmap came");
		diag_hint(d, "set the clock; nothing passes until the controller is reached again");
		return -ZT_ECLOCK;
	}
	if (left > (int64_t)s->lease_s * 1000)
		left = (int64_t)s->lease_s * 1000;
	s->lease_end_ms = now.boot_ms + left;
	return 0;
}

int mapfile_decode(const struct trust *t, const void *p, size_t n, struct now now,
		   const char boot_id[static BOOT_ID_LEN + 1], struct mapstate *ret, struct diag *d)
{
	struct mapstate s = {0};
	char saved_boot[BOOT_ID_LEN + 1];
	int64_t saved_wall;
	struct cur c;
	int err;

	arena_init(&s.arena, ACCEPT_ARENA_MAX);
	cur_init(&c, p, n);
	err = check_sum(&c);
	if (err)
		return diag_set(d, err, "the saved netmap is %s",
				err == -ZT_EVERSION ? "of a newer version" : "damaged");
	s.serial = cur_u64(&c);
	cur_copy(&c, s.leaf.b, sizeof(s.leaf.b));
	s.lease_end_ms = (int64_t)cur_u64(&c);
	saved_wall = (int64_t)cur_u64(&c);
	cur_fixed_text(&c, saved_boot, BOOT_ID_LEN);
	err = read_map(t, &c, &s);
	if (err == -ZT_ESERIAL)
		diag_set(d, err, "the saved netmap is older than the last one in force");
	else if (err)
		diag_set(d, err, "the saved netmap does not fit this device (%s)",
			 zt_strerror(err));
	else if (strcmp(saved_boot, boot_id) != 0)
		err = end_after_boot(&s, saved_wall, now, d);
	if (err) {
		mapstate_done(&s);
		return err;
	}
	*ret = s;
	return 0;
}
