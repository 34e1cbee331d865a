/* The last good map on disk: damage is found, and a lease never grows by a restart. */
#include "tests/unit/node_fixture.h"
#include "ztnode/core/desired.h"

static const char boot_a[] = "11111111-1111-4111-8111-111111111111";
static const char boot_b[] = "22222222-2222-4222-8222-222222222222";

static void encode_state(const struct mapstate *s, struct buf *b)
{
	buf_init_grow(b, ZT_NETMAP_MAX);
	assert_int_equal(mapfile_encode(s, fixture_now, boot_a, b), 0);
}

static void encode(struct buf *b)
{
	struct mapstate s = fixture_state(10);

	encode_state(&s, b);
	mapstate_done(&s);
}

static void what_was_saved_is_read(void **state)
{
	struct mapstate s = fixture_state(10), got;
	struct trust t = fixture_trust();
	struct netmap_msg m;
	struct diag d = {0};
	struct arena a;
	struct buf b;

	(void)state;
	encode_state(&s, &b);
	arena_init(&a, FIXTURE_ARENA_MAX);
	assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d), 0);
	memset(b.data, 0, b.len); /* nothing is borrowed from the file's bytes */
	assert_int_equal(got.serial, 10);
	assert_true(key_equal(&got.leaf, &s.leaf));
	assert_int_equal(got.issued_ms, s.issued_ms);
	assert_int_equal(got.lease_s, s.lease_s);
	assert_int_equal(got.lease_end_ms, s.lease_end_ms);
	assert_int_equal(got.map.policy, s.map.policy);
	assert_int_equal(netmap_diff(&s.map, &got.map, &a, &m), 0);
	assert_true(netmap_msg_is_empty(&m));
	assert_int_equal(got.n_psks, 2);
	assert_memory_equal(got.psks, fixture_psks, sizeof(fixture_psks));
	mapstate_done(&got);
	mapstate_done(&s);
	arena_done(&a);
	buf_free(&b);
}

static size_t message_size(const struct mapstate *s)
{
	struct netmap_msg m;
	struct arena a;
	struct buf b;
	size_t n;

	arena_init(&a, ACCEPT_ARENA_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	m = fixture_diff(NULL, &s->map, fixture_head(NETMAP_FULL, s->serial), &a);
	assert_int_equal(netmap_encode(&m, &b), 0);
	n = b.len;
	buf_free(&b);
	arena_done(&a);
	return n;
}

/* Every set as great as it may be. */
struct greatest {
	struct netmap_peer peers[ZT_PEERS_MAX];
	struct netmap_endpoint endpoints[ZT_PEERS_MAX * ZT_ENDPOINTS_PEER_MAX];
	struct netmap_grant grants[ZT_GRANTS_MAX];
	struct netmap_rule rules[ZT_RULES_MAX];
	struct netmap_psk psks[ZT_PEERS_MAX];
};

static void fill_peer(struct greatest *g, size_t i)
{
	uint8_t hi = (uint8_t)(i >> 8), lo = (uint8_t)i;

	g->peers[i] =
		(struct netmap_peer){.id = (uint32_t)i + 2,
				     .wg_key = {{7, hi, lo}},
				     .addr4 = {ADDR_V4, {100, 65, hi, lo}},
				     .addr6 = {ADDR_V6, {0xfd, 0x12, [12] = 9, [14] = hi, lo}}};
	memset(g->peers[i].name, 'p', ZT_NAME_MAX);
	g->psks[i] = (struct netmap_psk){(uint32_t)i + 2, {{8, hi, lo}}};
	for (size_t k = 0; k < ZT_ENDPOINTS_PEER_MAX; k++)
		g->endpoints[i * ZT_ENDPOINTS_PEER_MAX + k] =
			(struct netmap_endpoint){.peer = (uint32_t)i + 2,
						 .rank = (uint8_t)k,
						 .ep = {{ADDR_V6, {0x20, 1, 0xd, 0xb8}}, 51820}};
}

static struct mapstate greatest_state(struct greatest *g)
{
	struct mapstate s = {.serial = UINT64_MAX / 2,
			     .issued_ms = (uint64_t)fixture_now.wall_ms,
			     .lease_s = FIXTURE_LEASE_S,
			     .map = {.policy = 1,
				     .self = fixture_self(),
				     .peers = g->peers,
				     .endpoints = g->endpoints,
				     .grants = g->grants,
				     .rules = g->rules,
				     .n_peers = N_OF(g->peers),
				     .n_endpoints = N_OF(g->endpoints),
				     .n_grants = N_OF(g->grants),
				     .n_rules = N_OF(g->rules)},
			     .psks = g->psks,
			     .n_psks = N_OF(g->psks)};

	memset(s.map.self.name, 's', ZT_NAME_MAX);
	for (size_t i = 0; i < N_OF(g->peers); i++)
		fill_peer(g, i);
	for (size_t i = 0; i < N_OF(g->rules); i++) {
		g->rules[i].id = (uint32_t)i + 1;
		memset(g->rules[i].name, 'r', ZT_NAME_MAX);
	}
	for (size_t i = 0; i < N_OF(g->grants); i++)
		g->grants[i] = (struct netmap_grant){
			.peer = 2,
			.svc = {SERVICE_TCP, (uint16_t)(1 + i % 60000), (uint16_t)(1 + i % 60000)},
			.rule = (uint32_t)(1 + (i + i / 60000) % ZT_RULES_MAX)};
	qsort(g->grants, N_OF(g->grants), sizeof(g->grants[0]), netmap_grant_compare);
	return s;
}

/* The file's own bound is the message's and what stands around it, to the byte, so that no map that
 * can come cannot be kept. */
static void the_greatest_map_is_kept(void **state)
{
	struct greatest *g = calloc(1, sizeof(*g));
	struct trust t = fixture_trust();
	struct mapstate s, got;
	struct diag d = {0};
	struct buf b;

	(void)state;
	assert_non_null(g);
	s = greatest_state(g);
	buf_init_grow(&b, MAPFILE_MAX);
	assert_int_equal(mapfile_encode(&s, fixture_now, boot_a, &b), 0);
	assert_int_equal(MAPFILE_MAX - b.len, ZT_NETMAP_MAX - message_size(&s));
	assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d), 0);
	assert_int_equal(got.map.n_peers, ZT_PEERS_MAX);
	assert_int_equal(got.map.n_endpoints, ZT_PEERS_MAX * ZT_ENDPOINTS_PEER_MAX);
	assert_int_equal(got.map.n_grants, ZT_GRANTS_MAX);
	assert_int_equal(got.map.n_rules, ZT_RULES_MAX);
	assert_int_equal(got.n_psks, ZT_PEERS_MAX);
	mapstate_done(&got);
	buf_free(&b);
	free(g);
}

/* The version stands before the checksum, so that a newer file says what it is. */
static void any_flipped_byte_is_found(void **state)
{
	struct trust t = fixture_trust();
	struct mapstate got = {.serial = 4711};
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	for (size_t i = 0; i < b.len; i++) {
		int want = i >= 4 && i < 8 ? -ZT_EVERSION : -ZT_ECORRUPT;
		int err;

		b.data[i] ^= 1;
		err = mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d);
		if (err != want)
			fail_msg("byte %zu flipped: %d", i, err);
		b.data[i] ^= 1;
	}
	assert_int_equal(got.serial, 4711);
	buf_free(&b);
}

static void a_file_cut_anywhere_is_damaged(void **state)
{
	struct trust t = fixture_trust();
	struct mapstate got;
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(mapfile_decode(&t, b.data, n, fixture_now, boot_a, &got, &d),
				 -ZT_ECORRUPT);
	buf_put_u8(&b, 0);
	assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d),
			 -ZT_ECORRUPT);
	buf_free(&b);
}

/* A checksum that fits is no reason to believe lengths: cut inside, then summed anew. */
static void wrong_lengths_under_a_good_checksum_are_refused(void **state)
{
	enum { SUM_AT = 8, HEAD = 8 + ZT_HASH_LEN };
	struct trust t = fixture_trust();
	struct mapstate got;
	struct key sum;
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	buf_put_u8(&b, 0); /* a byte too many, too */
	for (size_t n = HEAD; n <= b.len; n++) {
		if (n == b.len - 1)
			continue; /* as it was */
		key_hash(b.data + HEAD, n - HEAD, &sum);
		memcpy(b.data + SUM_AT, sum.b, sizeof(sum.b));
		assert_true(mapfile_decode(&t, b.data, n, fixture_now, boot_a, &got, &d) < 0);
	}
	buf_free(&b);
}

/* The serial stands twice, before the map and in it. */
static void another_serial_than_the_maps_is_refused(void **state)
{
	enum { SUM_AT = 8, SERIAL_AT = 8 + ZT_HASH_LEN };
	struct trust t = fixture_trust();
	struct mapstate got;
	struct key sum;
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	b.data[SERIAL_AT]--;
	key_hash(b.data + SERIAL_AT, b.len - SERIAL_AT, &sum);
	memcpy(b.data + SUM_AT, sum.b, sizeof(sum.b));
	assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d),
			 -ZT_ECORRUPT);
	buf_free(&b);
}

static void a_file_older_than_what_was_in_force_is_refused(void **state)
{
	static const struct {
		uint64_t in_force;
		int err;
	} rows[] = {{0, 0}, {9, 0}, {10, 0}, {11, -ZT_ESERIAL}, {UINT64_MAX, -ZT_ESERIAL}};
	struct trust t = fixture_trust();
	struct buf b;

	(void)state;
	encode(&b); /* of serial 10 */
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct mapstate got = {0};
		struct diag d = {0};

		t.serial = rows[i].in_force;
		assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_a, &got, &d),
				 rows[i].err);
		assert_true(!rows[i].err || d.message[0]);
		mapstate_done(&got);
	}
	buf_free(&b);
}

static void the_file_of_another_enrolment_is_refused(void **state)
{
	struct trust device = fixture_trust(), key = fixture_trust();
	struct mapstate got;
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	device.device++;
	assert_int_equal(mapfile_decode(&device, b.data, b.len, fixture_now, boot_a, &got, &d),
			 -ZT_EDEVICE);
	key.wg_pub.b[0] ^= 1;
	assert_int_equal(mapfile_decode(&key, b.data, b.len, fixture_now, boot_a, &got, &d),
			 -ZT_EDEVICE);
	buf_free(&b);
}

/* Saved at fixture_now with the whole lease of an hour left. */
static const struct {
	const char *says;
	const char *boot;
	int64_t wall_s, boot_s; /* since saving; boot_s of another boot: since that boot */
	int err;
	int64_t left_s; /* of the lease */
} restarts[] = {
	{"same boot: the lease ends when it was to end", boot_a, 600, 600, 0, 3000},
	{"same boot, clock set back a day: as if it was not", boot_a, -86400, 600, 0, 3000},
	{"same boot, clock set ahead a day: as if it was not", boot_a, 86400, 600, 0, 3000},
	{"same boot, over while the daemon was away", boot_a, 4000, 4000, 0, -400},
	{"reboot: the wall clock counts", boot_b, 600, 30, 0, 3000},
	{"reboot after the lease: over", boot_b, 4000, 30, 0, -400},
	{"reboot a year later: over", boot_b, 31536000, 30, 0, 3600 - 31536000},
	{"reboot, clock a little back: no more than the lease", boot_b, -300, 30, 0, 3600},
	{"reboot, clock set back: refused", boot_b, -301, 30, -ZT_ECLOCK, 0},
	{"reboot, clock at 1970: refused", boot_b, -1800000000, 30, -ZT_ECLOCK, 0},
};

static void no_restart_makes_a_lease_longer(void **state)
{
	struct trust t = fixture_trust();
	struct buf b;

	(void)state;
	encode(&b);
	for (size_t i = 0; i < N_OF(restarts); i++) {
		bool same = restarts[i].boot == boot_a;
		struct now now = {fixture_now.wall_ms + restarts[i].wall_s * 1000,
				  (same ? fixture_now.boot_ms : 0) + restarts[i].boot_s * 1000};
		struct mapstate got = {0};
		struct diag d = {0};
		int err = mapfile_decode(&t, b.data, b.len, now, restarts[i].boot, &got, &d);

		row_check(restarts[i].says, err == restarts[i].err);
		row_check(restarts[i].says, !err || (d.message[0] && d.hint[0]));
		row_check(restarts[i].says,
			  err || got.lease_end_ms == now.boot_ms + restarts[i].left_s * 1000);
		mapstate_done(&got);
	}
	buf_free(&b);
}

/* Saved as above; how long grants with leases of 300 s and 7200 s have after it. */
static const struct {
	const char *says;
	const char *boot;
	int64_t wall_s, boot_s;
	int64_t short_s, long_s;
} leased[] = {
	{"same boot", boot_a, 100, 100, 200, 7100},
	{"same boot, the map's lease is over: the longer one runs", boot_a, 4000, 4000, -3700,
	 3200},
	{"same boot, clock set back a day: as if it was not", boot_a, -86400, 4000, -3700, 3200},
	{"reboot: the wall clock counts", boot_b, 100, 30, 200, 7100},
	{"reboot after the map's lease: the longer one runs", boot_b, 4000, 30, -3700, 3200},
	{"reboot after the longer one: over", boot_b, 7200, 30, -6900, 0},
	{"reboot, clock a little back: no more than each lease", boot_b, -300, 30, 300, 7200},
};

static void grants_keep_their_leases_over_a_restart(void **state)
{
	struct mapstate s = fixture_state(10);
	struct trust t = fixture_trust();
	struct buf b;

	(void)state;
	s.map.grants = fixture_leased;
	s.map.n_grants = N_OF(fixture_leased);
	encode_state(&s, &b);
	for (size_t i = 0; i < N_OF(leased); i++) {
		bool same = leased[i].boot == boot_a;
		struct now now = {fixture_now.wall_ms + leased[i].wall_s * 1000,
				  (same ? fixture_now.boot_ms : 0) + leased[i].boot_s * 1000};
		struct desired_times times = {.now_ms = now.boot_ms};
		struct mapstate got;
		struct diag d = {0};

		assert_int_equal(mapfile_decode(&t, b.data, b.len, now, leased[i].boot, &got, &d),
				 0);
		times.lease_end_ms = got.lease_end_ms;
		times.lease_s = got.lease_s;
		row_check(leased[i].says, desired_grant_end(&got.map.grants[0], &times) ==
						  now.boot_ms + leased[i].short_s * 1000);
		row_check(leased[i].says, desired_grant_end(&got.map.grants[1], &times) ==
						  now.boot_ms + leased[i].long_s * 1000);
		mapstate_done(&got);
	}
	mapstate_done(&s);
	buf_free(&b);
}

/* After a restart the next delta continues where the daemon was; old messages stay refused. */
static void the_history_goes_on_after_a_restart(void **state)
{
	struct netmap_msg m = {.head = fixture_head(NETMAP_DELTA, 11)};
	struct trust t = fixture_trust();
	struct mapstate got, next;
	struct key leaf;
	struct diag d;
	struct buf b;

	(void)state;
	encode(&b);
	assert_int_equal(mapfile_decode(&t, b.data, b.len, fixture_now, boot_b, &got, &d), 0);
	buf_reset(&b);
	fixture_full(10, &b, &leaf);
	assert_int_equal(accept_message(&t, &got, b.data, b.len, fixture_now, &next, &d),
			 -ZT_ESERIAL);
	buf_reset(&b);
	fixture_envelope(&m, &got.leaf, &fixture_network, &b, &leaf);
	assert_int_equal(accept_message(&t, &got, b.data, b.len, fixture_now, &next, &d), 0);
	assert_int_equal(next.n_psks, 2);
	mapstate_done(&next);
	mapstate_done(&got);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_read),
		cmocka_unit_test(the_greatest_map_is_kept),
		cmocka_unit_test(any_flipped_byte_is_found),
		cmocka_unit_test(a_file_cut_anywhere_is_damaged),
		cmocka_unit_test(wrong_lengths_under_a_good_checksum_are_refused),
		cmocka_unit_test(another_serial_than_the_maps_is_refused),
		cmocka_unit_test(a_file_older_than_what_was_in_force_is_refused),
		cmocka_unit_test(the_file_of_another_enrolment_is_refused),
		cmocka_unit_test(no_restart_makes_a_lease_longer),
		cmocka_unit_test(grants_keep_their_leases_over_a_restart),
		cmocka_unit_test(the_history_goes_on_after_a_restart),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
