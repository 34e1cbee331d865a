/* A device with two peers, and messages of its controller: made by the encoders that the controller
 * uses, signed and sealed as it does. */
#pragma once

#include <errno.h>
#include <sodium.h>

#include "tests/unit/unit.h"
#include "zt/envelope.h"
#include "ztnode/core/accept.h"

enum { FIXTURE_ARENA_MAX = 8 << 20, FIXTURE_DEVICE = 1, FIXTURE_LEASE_S = 3600 };

static const struct secret fixture_network = {{1, 2, 3}};
static const struct secret fixture_identity = {{4, 5, 6}};
static const struct secret fixture_wg = {{8, 8, 8, [31] = 0x40}};
static const struct now fixture_now = {.wall_ms = 1800000000000, .boot_ms = 5000000};

static inline struct trust fixture_trust(void)
{
	struct trust t = {.device = FIXTURE_DEVICE, .identity = fixture_identity};

	key_of_identity(&fixture_network, &t.network);
	key_of_wireguard(&fixture_wg, &t.wg_pub);
	return t;
}

static inline struct netmap_self fixture_self(void)
{
	struct netmap_self s = {
		.id = FIXTURE_DEVICE,
		.addr4 = {ADDR_V4, {100, 64, 0, 1}},
		.addr6 = {ADDR_V6, {0xfd, 0x12, [15] = 1}},
		.net4 = {{ADDR_V4, {100, 64}}, 10},
		.net6 = {{ADDR_V6, {0xfd, 0x12}}, 48},
		.mtu = 1420,
		.name = "laptop",
	};

	key_of_wireguard(&fixture_wg, &s.wg_key);
	return s;
}

static const struct netmap_peer fixture_peers[] = {
	{.id = 2,
	 .wg_key = {{2}},
	 .addr4 = {ADDR_V4, {100, 64, 0, 2}},
	 .addr6 = {ADDR_V6, {0xfd, 0x12, [15] = 2}},
	 .name = "db-1"},
	{.id = 3, .wg_key = {{3}}, .addr4 = {ADDR_V4, {100, 64, 0, 3}}, .name = "db-2"},
};
static const struct netmap_endpoint fixture_endpoints[] = {
	{.peer = 2, .ep = {.addr = {ADDR_V4, {192, 0, 2, 2}}, .port = 51820}},
};
static const struct netmap_grant fixture_grants[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
	{.peer = 3, .dir = NETMAP_IN, .svc = {SERVICE_TCP, 22, 22}, .rule = 1},
};
/* One with a shorter lease than the map's hour, one with a longer one, one without. */
static const struct netmap_grant fixture_leased[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1, .lease_s = 300},
	{.peer = 3, .svc = {SERVICE_TCP, 22, 22}, .rule = 1, .lease_s = 7200},
	{.peer = 3, .dir = NETMAP_IN, .svc = {SERVICE_TCP, 22, 22}, .rule = 1},
};
static const struct netmap_rule fixture_rules[] = {{.id = 1, .name = "finance-to-payroll"}};
static const struct netmap_psk fixture_psks[] = {{2, {{0xb2}}}, {3, {{0xb3}}}};

static inline struct netmap fixture_map(void)
{
	return (struct netmap){.policy = 1,
			       .self = fixture_self(),
			       .peers = fixture_peers,
			       .endpoints = fixture_endpoints,
			       .grants = fixture_grants,
			       .rules = fixture_rules,
			       .n_peers = N_OF(fixture_peers),
			       .n_endpoints = N_OF(fixture_endpoints),
			       .n_grants = N_OF(fixture_grants),
			       .n_rules = N_OF(fixture_rules)};
}

static inline struct netmap_head fixture_head(uint8_t kind, uint64_t serial)
{
	return (struct netmap_head){.kind = kind,
				    .lease_s = FIXTURE_LEASE_S,
				    .issued_ms = (uint64_t)fixture_now.wall_ms,
				    .serial = serial,
				    .policy = 1,
				    .device = FIXTURE_DEVICE};
}

/* A message of the difference from old (NULL: none) to new. */
static inline struct netmap_msg fixture_diff(const struct netmap *old, const struct netmap *new,
					     struct netmap_head head, struct arena *a)
{
	static const struct netmap empty;
	struct netmap_msg m;

	assert_int_equal(netmap_diff(old ? old : &empty, new, a, &m), 0);
	m.head = head;
	return m;
}

/* Preshared keys as they travel: sealed to the identity key. */
static inline void fixture_seal(struct netmap_msg *m, const struct netmap_psk *psks, size_t n,
				const struct secret *identity, struct arena *a)
{
	uint8_t x[crypto_box_PUBLICKEYBYTES], *box;
	struct key pub;
	struct buf b;

	buf_init_grow(&b, 1 << 20);
	assert_int_equal(netmap_psk_encode(psks, n, &b), 0);
	key_of_identity(identity, &pub);
	assert_int_equal(crypto_sign_ed25519_pk_to_curve25519(x, pub.b), 0);
	box = arena_alloc(a, b.len + KEY_SEAL_EXTRA);
	assert_non_null(box);
	assert_int_equal(crypto_box_seal(box, b.data, b.len, x), 0);
	m->sealed = box;
	m->n_sealed = b.len + KEY_SEAL_EXTRA;
	buf_free(&b);
}

/* The message in an envelope of its own, after prev (NULL: the first of a history), into out. */
static inline void fixture_envelope(const struct netmap_msg *m, const struct key *prev,
				    const struct secret *network, struct buf *out,
				    struct key *ret_leaf)
{
	static const struct key none;
	struct envelope e = {.batch = 1};
	struct buf b;

	buf_init_grow(&b, ZT_NETMAP_MAX);
	assert_int_equal(netmap_encode(m, &b), 0);
	envelope_leaf(prev ? prev : &none, b.data, b.len, ret_leaf);
	key_sign(network, ENVELOPE_DOMAIN, ret_leaf->b, sizeof(ret_leaf->b), &e.sig);
	e.content = b.data;
	e.content_len = b.len;
	assert_int_equal(envelope_encode(&e, out), 0);
	buf_free(&b);
}

/* The whole map as the first message of a history. */
static inline void fixture_full(uint64_t serial, struct buf *out, struct key *ret_leaf)
{
	struct netmap map = fixture_map();
	struct netmap_msg m;
	struct arena a;

	arena_init(&a, FIXTURE_ARENA_MAX);
	m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, serial), &a);
	fixture_seal(&m, fixture_psks, N_OF(fixture_psks), &fixture_identity, &a);
	fixture_envelope(&m, NULL, &fixture_network, out, ret_leaf);
	arena_done(&a);
}

/* The state after that message came without delay. */
static inline struct mapstate fixture_state(uint64_t serial)
{
	struct trust t = fixture_trust();
	struct mapstate none = {0}, s;
	struct key leaf;
	struct diag d;
	struct buf b;

	buf_init_grow(&b, ZT_NETMAP_MAX);
	fixture_full(serial, &b, &leaf);
	assert_int_equal(accept_message(&t, &none, b.data, b.len, fixture_now, &s, &d), 0);
	assert_true(key_equal(&s.leaf, &leaf));
	buf_free(&b);
	return s;
}
