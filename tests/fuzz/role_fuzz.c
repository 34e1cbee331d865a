/* What reaches the privileged role from the talking one, and back. The first byte says what the
 * rest is: a hello, an enrolment, a status, an envelope, or the content of one that is signed here,
 * so that what stands behind the signature is tried too. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <string.h>

#include "tests/fuzz/node_base.h"
#include "ztnode/core/desired.h"
#include "ztnode/core/plan.h"
#include "ztnode/roles.h"

enum input { INPUT_HELLO, INPUT_ENROLLED, INPUT_STATUS, INPUT_ENVELOPE, INPUT_CONTENT };
enum { ARENA_MAX = 256 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

static void check_bytes(const struct buf *b, const uint8_t *p, size_t n)
{
	fuzz_check(!b->err && b->len == n && memcmp(b->data, p, n) == 0);
}

static void try_hello(const uint8_t *p, size_t n)
{
	uint8_t mem[HELLO_SIZE];
	struct hello h;
	struct buf b;

	if (hello_decode(p, n, &h))
		return;
	buf_init(&b, mem, sizeof(mem));
	fuzz_check(n == HELLO_SIZE && hello_encode(&h, &b) == 0 && b.len == n);
}

static void try_enrolled(const uint8_t *p, size_t n)
{
	uint8_t mem[ENROLLED_SIZE];
	struct enrolled e;
	struct buf b;

	if (enrolled_decode(p, n, &e))
		return;
	fuzz_check(e.device && !key_is_zero(&e.network_key) && e.url[0]);
	buf_init(&b, mem, sizeof(mem));
	fuzz_check(enrolled_encode(&e, &b) == 0);
	check_bytes(&b, p, n);
}

static void try_status(const uint8_t *p, size_t n)
{
	struct role_status s;
	struct arena a;
	struct buf b;

	arena_init(&a, ARENA_MAX);
	buf_init_grow(&b, ROLE_STATUS_MAX);
	if (role_status_decode(p, n, &a, &s) == 0)
		fuzz_check(role_status_encode(&s, &b) == 0 && b.len == n);
	buf_free(&b);
	arena_done(&a);
}

static bool is_self(const struct mapstate *s, const struct addr *a)
{
	return addr_equal(a, &s->map.self.addr4) || addr_equal(a, &s->map.self.addr6);
}

/* Whatever the map says: the kernel gets elements between us and others only, peers with host
 * addresses of the overlay only, and the filter before the tunnel. */
static void check_enforced(const struct mapstate *s)
{
	struct desired_config c = {51820, 4000, s->psks, s->n_psks};
	struct desired_times t = {s->lease_end_ms, s->lease_s, base_now.boot_ms - base_now.wall_ms,
				  base_now.boot_ms};
	int64_t last = t.now_ms + ZT_LEASE_MAX_S * 1000LL;
	static const struct kstate nothing;
	struct op_list ops;
	struct kstate want;
	struct arena a;
	int err;

	arena_init(&a, ARENA_MAX);
	err = desired_make(&s->map, &c, &t, &a, &want);
	fuzz_check(err == 0 || err == -ZT_ELIMIT);
	for (size_t i = 0; !err && i < want.n_elems; i++) {
		const struct kelem *e = &want.elems[i];

		fuzz_check(is_self(s, &e->src) != is_self(s, &e->dst));
		fuzz_check(e->expires_ms > t.now_ms && e->expires_ms <= last);
		fuzz_check(i == 0 || kelem_compare(e - 1, e) < 0);
	}
	for (size_t i = 0; !err && i < want.n_peers; i++) {
		fuzz_check(want.peers[i].has_psk && want.peers[i].n_allowed > 0);
		for (size_t k = 0; k < want.peers[i].n_allowed; k++)
			fuzz_check(want.peers[i].allowed[k].bits ==
				   addr_bits(&want.peers[i].allowed[k].addr));
	}
	if (!err) {
		fuzz_check(plan_make(&want, &nothing, &a, &ops) == 0);
		fuzz_check(ops.n > 1 && ops.ops[0].kind == OP_TABLE_PUT);
		fuzz_check(plan_make(&want, &want, &a, &ops) == 0 && ops.n == 0);
	}
	arena_done(&a);
}

static void try_envelope(const uint8_t *p, size_t n)
{
	struct mapstate cur = base_state(), s;
	struct trust t = base_trust();
	struct diag d;

	if (accept_message(&t, &cur, p, n, base_now, &s, &d))
		return;
	fuzz_check(s.serial > cur.serial && s.map.self.id == t.device);
	fuzz_check(key_equal(&s.map.self.wg_key, &t.wg_pub));
	fuzz_check(s.n_psks == s.map.n_peers);
	fuzz_check(s.lease_end_ms > base_now.boot_ms &&
		   s.lease_end_ms <= base_now.boot_ms + ZT_LEASE_MAX_S * 1000LL);
	check_enforced(&s);
	mapstate_done(&s);
}

static void try_content(const uint8_t *p, size_t n)
{
	struct envelope e = {.batch = 1, .content = p, .content_len = n};
	struct mapstate cur = base_state();
	struct key leaf;
	struct buf b;

	buf_init_grow(&b, ZT_FRAME_MAX);
	envelope_leaf(&cur.leaf, p, n, &leaf);
	key_sign(&base_network, ENVELOPE_DOMAIN, leaf.b, sizeof(leaf.b), &e.sig);
	if (envelope_encode(&e, &b) == 0)
		try_envelope(b.data, b.len);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	switch ((enum input)(p[0] % 5)) {
	case INPUT_HELLO:
		try_hello(p + 1, n - 1);
		break;
	case INPUT_ENROLLED:
		try_enrolled(p + 1, n - 1);
		break;
	case INPUT_STATUS:
		try_status(p + 1, n - 1);
		break;
	case INPUT_ENVELOPE:
		try_envelope(p + 1, n - 1);
		break;
	case INPUT_CONTENT:
		try_content(p + 1, n - 1);
		break;
	}
	return 0;
}
