/* Acceptance of a netmap message: form, signature and history, device, serial, clock and lease,
 * content, in this order. */
#include "ztnode/core/accept.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "zt/cur.h"
#include "zt/envelope.h"

static const struct key no_leaf;

static int refuse(struct diag *d, int err, const char *what)
{
	return diag_set(d, err, "refused a netmap: %s (%s)", what, zt_strerror(err));
}

/* --- who and in which order --- */

static int check_head(const struct trust *t, const struct mapstate *cur,
		      const struct netmap_head *h, struct diag *d)
{
	if (h->device != t->device)
		return refuse(d, -ZT_EDEVICE, "it was made for another device");
	if (h->serial <= cur->serial || h->serial <= t->serial)
		return refuse(d, -ZT_ESERIAL, "an old one was sent again");
	if (h->kind == NETMAP_DELTA && h->serial != cur->serial + 1)
		return refuse(d, -ZT_ECHAIN, "one before it is missing");
	return 0;
}

/* The lease counts from when the controller issued it, by whichever clock ends it first: a delayed
 * message does not live longer, and setting the wall clock back gives nothing, because the boot
 * clock counts too. */
static int lease_end(uint64_t issued_ms, uint32_t lease_s, struct now now, int64_t *ret,
		     struct diag *d)
{
	int64_t issued = (int64_t)issued_ms, lease = (int64_t)lease_s * 1000, left;

	if (issued_ms > INT64_MAX / 2)
		return refuse(d, -ZT_EFORM, "impossible time");
	if (issued - now.wall_ms > (int64_t)ZT_CLOCK_SKEW_MAX_S * 1000) {
		diag_set(d, -ZT_ECLOCK, "this machine's clock is %lld s behind the controller's",
			 (long long)((issued - now.wall_ms) / 1000));
		diag_hint(d, "set the clock (timedatectl set-ntp true); nothing passes until it is "
			     "right");
		return -ZT_ECLOCK;
	}
	left = issued + lease - now.wall_ms;
	if (left <= 0) {
		diag_set(d, -ZT_ELEASE,
			 "the netmap's lease ended %lld s ago by this machine's clock",
			 (long long)(-left / 1000));
		diag_hint(d, "if the clock is ahead, set it (timedatectl set-ntp true); nothing "
			     "passes until it is right");
		return -ZT_ELEASE;
	}
	*ret = now.boot_ms + (left < lease ? left : lease);
	return 0;
}

/* --- preshared keys --- */

static int open_sealed(const struct trust *t, const struct netmap_msg *m, struct arena *a,
		       const struct netmap_psk **ret, size_t *ret_n)
{
	uint8_t *plain;
	int err;

	*ret = NULL;
	*ret_n = 0;
	if (!m->n_sealed)
		return 0;
	if (m->n_sealed < KEY_SEAL_EXTRA)
		return -ZT_EFORM;
	plain = arena_alloc(a, m->n_sealed - KEY_SEAL_EXTRA);
	if (!plain)
		return -ENOMEM;
	err = key_seal_open(&t->identity, m->sealed, m->n_sealed, plain);
	if (!err)
		err = netmap_psk_decode(plain, m->n_sealed - KEY_SEAL_EXTRA, a, ret, ret_n);
	sodium_memzero(plain, m->n_sealed - KEY_SEAL_EXTRA);
	return err;
}

static const struct netmap_psk *find_psk(const struct netmap_psk *p, size_t n, uint32_t peer)
{
	for (size_t lo = 0, hi = n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;

		if (p[mid].peer == peer)
			return &p[mid];
		if (p[mid].peer < peer)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* One key for every peer of the new map: from this message, else from before. A peer without one is
 * an error: a tunnel never falls back to less than was agreed. */
static int merge_psks(const struct mapstate *cur, const struct netmap_psk *fresh, size_t n_fresh,
		      struct mapstate *s)
{
	struct netmap_psk *out = arena_array(&s->arena, s->map.n_peers, sizeof(*out));

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < s->map.n_peers; i++) {
		uint32_t id = s->map.peers[i].id;
		const struct netmap_psk *p = find_psk(fresh, n_fresh, id);

		if (!p)
			p = find_psk(cur->psks, cur->n_psks, id);
		if (!p)
			return -ZT_EFORM;
		out[i] = *p;
	}
	s->psks = out;
	s->n_psks = s->map.n_peers;
	return 0;
}

static int take_content(const struct trust *t, const struct mapstate *cur,
			const struct netmap_msg *m, struct mapstate *s, struct diag *d)
{
	const struct netmap_psk *fresh = NULL;
	size_t n_fresh = 0;
	int err;

	err = netmap_apply(&cur->map, m, &s->arena, &s->map);
	if (!err && (s->map.self.id != t->device || !key_equal(&s->map.self.wg_key, &t->wg_pub)))
		err = -ZT_EDEVICE;
	if (!err)
		err = open_sealed(t, m, &s->arena, &fresh, &n_fresh);
	if (!err)
		err = merge_psks(cur, fresh, n_fresh, s);
	if (n_fresh)
		sodium_memzero((void *)(uintptr_t)fresh, n_fresh * sizeof(*fresh));
	return err ? refuse(d, err, "its content does not fit") : 0;
}

int accept_message(const struct trust *t, const struct mapstate *cur, const void *p, size_t n,
		   struct now now, struct mapstate *ret, struct diag *d)
{
	struct mapstate s = {0};
	struct envelope e;
	struct netmap_msg m;
	int err;

	arena_init(&s.arena, ACCEPT_ARENA_MAX);
	err = envelope_decode(p, n, &e);
	if (err)
		return refuse(d, err, "not an envelope");
	/* The signature first: nothing unsigned reaches the decoder of content. A full map starts a
	 * history of its own. */
	err = envelope_verify(&e, &t->network, &cur->leaf, &s.leaf);
	if (err)
		err = envelope_verify(&e, &t->network, &no_leaf, &s.leaf);
	if (err)
		return refuse(d, err, "the signature does not fit");
	err = netmap_decode(e.content, e.content_len, &s.arena, &m);
	if (err)
		refuse(d, err, "malformed");
	if (!err)
		err = check_head(t, cur, &m.head, d);
	if (!err)
		err = lease_end(m.head.issued_ms, m.head.lease_s, now, &s.lease_end_ms, d);
	if (!err)
		err = take_content(t, cur, &m, &s, d);
	if (err) {
		mapstate_done(&s);
		return err;
	}
	s.serial = m.head.serial;
	s.issued_ms = m.head.issued_ms;
	s.lease_s = m.head.lease_s;
	*ret = s;
	return 0;
}

/* lease_end() made the lease end at boot + (issued + lease - wall) or sooner; this is that turned
 * round. */
int64_t mapstate_wall_ms(const struct mapstate *s, struct now now)
{
	int64_t left = s->lease_end_ms - now.boot_ms;
	int64_t proven = (int64_t)s->issued_ms + (int64_t)s->lease_s * 1000 - left;

	return s->serial && proven > now.wall_ms ? proven : now.wall_ms;
}

void mapstate_done(struct mapstate *s)
{
	if (s->psks)
		sodium_memzero((void *)(uintptr_t)s->psks, s->n_psks * sizeof(*s->psks));
	arena_done(&s->arena);
	*s = (struct mapstate){0};
}
