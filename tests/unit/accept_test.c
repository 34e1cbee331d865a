/* Acceptance of netmap messages: every reason to be refused, and until when what is taken holds. */
#include "tests/unit/node_fixture.h"
#include "ztnode/core/desired.h"

/* --- refusals: one row, one thing that is wrong --- */

/* A message about to be made, and who gets it when. */
struct attempt {
	struct netmap_msg m;
	struct key prev;
	struct secret network;
	struct trust trust;
	struct now now;
	const struct netmap_psk *psks;
	size_t n_psks;
	struct secret sealed_to;
	struct mapstate cur;
};

static const struct netmap_peer new_peer = {
	.id = 4, .wg_key = {{4}}, .addr4 = {ADDR_V4, {100, 64, 0, 4}}, .name = "web"};
static const struct netmap_psk new_psk = {4, {{0xb4}}};

static void nothing(struct attempt *r)
{
	(void)r;
}

static void another_device(struct attempt *r)
{
	r->m.head.device = r->m.self.id = 7;
}

static void another_wg_key(struct attempt *r)
{
	r->m.self.wg_key.b[5] ^= 1;
}

static void another_network(struct attempt *r)
{
	r->network.b[0] ^= 1;
}

static void same_serial(struct attempt *r)
{
	r->m.head.serial = r->cur.serial;
}

static void older_serial(struct attempt *r)
{
	r->m.head.serial = r->cur.serial - 1;
}

static void one_is_missing(struct attempt *r)
{
	r->m.head.serial = r->cur.serial + 2;
}

static void later_full(struct attempt *r)
{
	r->m.head.serial = r->cur.serial + 1000;
}

static void another_history(struct attempt *r)
{
	r->prev.b[0] ^= 1;
}

static void no_map_yet(struct attempt *r)
{
	mapstate_done(&r->cur);
	r->prev = (struct key){0};
	r->m.head.serial = 1;
}

/* The map of serial 10 was in force, and is lost. */
static void lost_map(struct attempt *r)
{
	mapstate_done(&r->cur);
	r->trust.serial = 10;
}

static void lost_map_same_serial(struct attempt *r)
{
	lost_map(r);
	r->m.head.serial = 10;
}

static void lost_map_older(struct attempt *r)
{
	lost_map(r);
	r->m.head.serial = 1;
}

static void lost_map_delta(struct attempt *r)
{
	lost_map(r);
	r->prev = (struct key){0};
}

static void newer_was_in_force(struct attempt *r)
{
	r->trust.serial = 20;
	r->m.head.serial = 20;
}

static void over_by_a_ms(struct attempt *r)
{
	r->now.wall_ms += FIXTURE_LEASE_S * 1000;
}

static void last_ms(struct attempt *r)
{
	r->now.wall_ms += FIXTURE_LEASE_S * 1000 - 1;
}

static void clock_behind(struct attempt *r)
{
	r->now.wall_ms -= ZT_CLOCK_SKEW_MAX_S * 1000 + 1;
}

static void clock_a_little_behind(struct attempt *r)
{
	r->now.wall_ms -= ZT_CLOCK_SKEW_MAX_S * 1000;
}

static void clock_ahead(struct attempt *r)
{
	r->now.wall_ms += 86400 * 1000;
}

static void psks_known_before(struct attempt *r)
{
	r->n_psks = 0;
}

static void no_psk(struct attempt *r)
{
	mapstate_done(&r->cur);
	r->n_psks = 0;
}

static void one_psk_missing(struct attempt *r)
{
	mapstate_done(&r->cur);
	r->n_psks--;
}

static void psk_of_another_peer(struct attempt *r)
{
	static const struct netmap_psk psks[] = {{2, {{1}}}, {5, {{1}}}};

	mapstate_done(&r->cur);
	r->psks = psks;
}

static void sealed_to_another(struct attempt *r)
{
	r->sealed_to.b[0] ^= 1;
}

static void grant_of_no_peer(struct attempt *r)
{
	static const struct netmap_grant g = {.peer = 99, .svc = {SERVICE_ANY, 0, 0}, .rule = 1};

	r->m.grants_put = &g;
	r->m.n_grants_put = 1;
}

static void peer_that_is_not_there(struct attempt *r)
{
	static const uint32_t id = 99;

	r->m.peers_del = &id;
	r->m.n_peers_del = 1;
}

static void new_peer_without_psk(struct attempt *r)
{
	r->m.peers_put = &new_peer;
	r->m.n_peers_put = 1;
	r->n_psks = 0;
}

static void new_peer_with_psk(struct attempt *r)
{
	new_peer_without_psk(r);
	r->psks = &new_psk;
	r->n_psks = 1;
}

/* 192.0.2.1 stands for the controller, or whoever else is on the underlay. */
static void new_peer_at_the_controllers_address(struct attempt *r)
{
	static struct netmap_peer p;

	new_peer_with_psk(r);
	p = new_peer;
	p.addr4 = (struct addr){ADDR_V4, {192, 0, 2, 1}};
	r->m.peers_put = &p;
}

static void new_peer_with_our_address(struct attempt *r)
{
	static struct netmap_peer p;

	new_peer_with_psk(r);
	p = new_peer;
	p.addr4 = fixture_self().addr4;
	r->m.peers_put = &p;
}

static void new_peer_with_our_key(struct attempt *r)
{
	static struct netmap_peer p;

	new_peer_with_psk(r);
	p = new_peer;
	p.wg_key = r->trust.wg_pub;
	r->m.peers_put = &p;
}

static const struct refusal {
	const char *says;
	void (*spoil)(struct attempt *r);
	int err;    /* 0: it is taken */
	bool delta; /* after the state of serial 10; else a full map */
} refusals[] = {
	{"a full map", nothing, 0, false},
	{"a delta", nothing, 0, true},
	{"made for another device", another_device, -ZT_EDEVICE, false},
	{"for another WireGuard key", another_wg_key, -ZT_EDEVICE, false},
	{"signed with another key", another_network, -ZT_ESIG, false},
	{"a delta signed with another key", another_network, -ZT_ESIG, true},
	{"the same full map again", same_serial, -ZT_ESERIAL, false},
	{"the same delta again", same_serial, -ZT_ESERIAL, true},
	{"an older full map", older_serial, -ZT_ESERIAL, false},
	{"a full map may skip serials", later_full, 0, false},
	{"a delta may not", one_is_missing, -ZT_ECHAIN, true},
	{"a delta after a different history", another_history, -ZT_ESIG, true},
	{"a delta when there is no map", no_map_yet, -ZT_ECHAIN, true},
	{"the map is lost: the next whole one", lost_map, 0, false},
	{"the map is lost: the same one again", lost_map_same_serial, -ZT_ESERIAL, false},
	{"the map is lost: the very first one", lost_map_older, -ZT_ESERIAL, false},
	{"the map is lost: a delta that goes on from it", lost_map, -ZT_ESIG, true},
	{"the map is lost: a delta that goes on from nothing", lost_map_delta, -ZT_ECHAIN, true},
	{"newer than the map, older than what was in force", newer_was_in_force, -ZT_ESERIAL,
	 false},
	{"the lease is just over", over_by_a_ms, -ZT_ELEASE, false},
	{"the last millisecond of the lease", last_ms, 0, false},
	{"our clock is too far behind", clock_behind, -ZT_ECLOCK, false},
	{"our clock is as far behind as may be", clock_a_little_behind, 0, false},
	{"our clock is a day ahead", clock_ahead, -ZT_ELEASE, false},
	{"preshared keys that are known need not come again", psks_known_before, 0, false},
	{"a first map without preshared keys", no_psk, -ZT_EFORM, false},
	{"one preshared key is missing", one_psk_missing, -ZT_EFORM, false},
	{"a preshared key is another peer's", psk_of_another_peer, -ZT_EFORM, false},
	{"sealed to another identity", sealed_to_another, -ZT_ESIG, false},
	{"a grant of a peer that is not there", grant_of_no_peer, -ZT_EFORM, true},
	{"takes a peer that is not there", peer_that_is_not_there, -ZT_ECHAIN, true},
	{"a new peer without its preshared key", new_peer_without_psk, -ZT_EFORM, true},
	{"a new peer with its preshared key", new_peer_with_psk, 0, true},
	{"a new peer at an address of the underlay", new_peer_at_the_controllers_address, -ZT_EFORM,
	 true},
	{"a new peer with our own address", new_peer_with_our_address, -ZT_EFORM, true},
	{"a new peer with our own key", new_peer_with_our_key, -ZT_EFORM, true},
};

static void prepare(struct attempt *a, bool delta, struct arena *mem)
{
	struct netmap map = fixture_map();

	*a = (struct attempt){.cur = fixture_state(10),
			      .trust = fixture_trust(),
			      .now = fixture_now,
			      .network = fixture_network,
			      .sealed_to = fixture_identity,
			      .psks = fixture_psks,
			      .n_psks = delta ? 0 : N_OF(fixture_psks)};
	if (delta) {
		a->m = (struct netmap_msg){.head = fixture_head(NETMAP_DELTA, 11)};
		a->prev = a->cur.leaf;
	} else {
		a->m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, 11), mem);
	}
}

static void check_taken(const struct refusal *r, const struct attempt *a,
			const struct mapstate *got, const struct key *leaf)
{
	row_check(r->says, got->serial == a->m.head.serial);
	row_check(r->says, key_equal(&got->leaf, leaf));
	row_check(r->says, got->n_psks == got->map.n_peers);
}

static void run_refusal(const struct refusal *r)
{
	struct mapstate before, got = {.serial = 4711};
	struct diag d = {0};
	struct attempt a;
	struct arena mem;
	struct key leaf;
	struct buf b;
	int err;

	arena_init(&mem, FIXTURE_ARENA_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	prepare(&a, r->delta, &mem);
	r->spoil(&a);
	if (a.n_psks)
		fixture_seal(&a.m, a.psks, a.n_psks, &a.sealed_to, &mem);
	fixture_envelope(&a.m, &a.prev, &a.network, &b, &leaf);
	before = a.cur;
	err = accept_message(&a.trust, &a.cur, b.data, b.len, a.now, &got, &d);
	if (err != r->err)
		fail_msg("%s: %d (%s), not %d: %s", r->says, err, zt_strerror(err), r->err,
			 d.message);
	row_check(r->says, memcmp(&before, &a.cur, sizeof(before)) == 0);
	if (err) {
		row_check(r->says, got.serial == 4711 && got.map.n_peers == 0);
		row_check(r->says, d.message[0]);
	} else {
		check_taken(r, &a, &got, &leaf);
		mapstate_done(&got);
	}
	mapstate_done(&a.cur);
	buf_free(&b);
	arena_done(&mem);
}

static void every_refusal_has_its_code_and_changes_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(refusals); i++)
		run_refusal(&refusals[i]);
}

static void every_flipped_byte_is_refused(void **state)
{
	struct trust t = fixture_trust();
	struct mapstate none = {0}, got;
	struct key leaf;
	struct diag d;
	struct buf b;

	(void)state;
	buf_init_grow(&b, ZT_NETMAP_MAX);
	fixture_full(1, &b, &leaf);
	for (size_t i = 0; i < b.len; i++) {
		int err;

		b.data[i] ^= 0x20;
		err = accept_message(&t, &none, b.data, b.len, fixture_now, &got, &d);
		if (err != -ZT_ESIG && err != -ZT_EFORM && err != -ZT_EVERSION && err != -ZT_ELIMIT)
			fail_msg("byte %zu flipped: %d", i, err);
		b.data[i] ^= 0x20;
	}
	buf_free(&b);
}

static void every_cut_message_is_refused(void **state)
{
	struct trust t = fixture_trust();
	struct mapstate none = {0}, got;
	struct key leaf;
	struct diag d;
	struct buf b;

	(void)state;
	buf_init_grow(&b, ZT_NETMAP_MAX);
	fixture_full(1, &b, &leaf);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(accept_message(&t, &none, b.data, n, fixture_now, &got, &d),
				 -ZT_EFORM);
	buf_put_u8(&b, 0);
	assert_int_equal(accept_message(&t, &none, b.data, b.len, fixture_now, &got, &d),
			 -ZT_EFORM);
	buf_free(&b);
}

/* --- what is taken --- */

static const struct {
	const char *says;
	int64_t wall_off_s, boot_off_s; /* of the arrival, from when it was issued */
	uint32_t lease_s;
	int64_t left_s; /* of the lease on the boot clock, from the arrival */
} leases[] = {
	{"comes at once: all of the lease", 0, 0, 3600, 3600},
	{"was held back ten minutes: they are gone", 600, 600, 3600, 3000},
	{"was held back while the machine slept", 3599, 3599, 3600, 1},
	{"our clock is behind: not a second more than the lease", -300, 0, 3600, 3600},
	{"a short lease and a clock behind", -300, 0, 5, 5},
	{"our clock is ahead: what is left by it", 3000, 0, 3600, 600},
	{"a day", 0, 0, 86400, 86400},
};

static void the_lease_ends_by_whichever_clock_is_first(void **state)
{
	struct trust t = fixture_trust();
	struct netmap map = fixture_map();

	(void)state;
	for (size_t i = 0; i < N_OF(leases); i++) {
		struct now now = {fixture_now.wall_ms + leases[i].wall_off_s * 1000,
				  fixture_now.boot_ms + leases[i].boot_off_s * 1000};
		struct mapstate none = {0}, got;
		struct netmap_msg m;
		struct key leaf;
		struct arena a;
		struct diag d;
		struct buf b;

		arena_init(&a, FIXTURE_ARENA_MAX);
		buf_init_grow(&b, ZT_NETMAP_MAX);
		m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, 1), &a);
		m.head.lease_s = leases[i].lease_s;
		fixture_seal(&m, fixture_psks, 2, &fixture_identity, &a);
		fixture_envelope(&m, NULL, &fixture_network, &b, &leaf);
		row_check(leases[i].says,
			  accept_message(&t, &none, b.data, b.len, now, &got, &d) == 0);
		row_check(leases[i].says,
			  got.lease_end_ms == now.boot_ms + leases[i].left_s * 1000);
		mapstate_done(&got);
		buf_free(&b);
		arena_done(&a);
	}
}

/* Of a map under an hour's lease, from the arrival: how long its grants still have. */
static const struct {
	const char *says;
	int64_t wall_off_s, boot_off_s; /* of the arrival, from when it was issued */
	int64_t wall_later_s;		/* the wall clock is set by so much after it */
	int64_t short_s, long_s, own_s; /* leases of 300 s, 7200 s, the map's */
} grant_leases[] = {
	{"comes at once", 0, 0, 0, 300, 7200, 3600},
	{"was held back ten minutes: the short one is over already", 600, 600, 0, -300, 6600, 3000},
	{"our clock is behind: none is longer than it is", -300, 0, 0, 300, 7200, 3600},
	{"our clock is ahead: what is left by it", 3000, 0, 0, -2700, 4200, 600},
	{"set back afterwards: nothing is longer", 0, 0, -86400, 300, 7200, 3600},
	{"set ahead afterwards: the boot clock counts", 0, 0, 86400, 300, 7200, 3600},
};

static void leases_of_grants_count_from_the_same_moment(void **state)
{
	struct trust t = fixture_trust();
	struct netmap map = fixture_map();

	(void)state;
	map.grants = fixture_leased;
	map.n_grants = N_OF(fixture_leased);
	for (size_t i = 0; i < N_OF(grant_leases); i++) {
		struct now now = {fixture_now.wall_ms + grant_leases[i].wall_off_s * 1000,
				  fixture_now.boot_ms + grant_leases[i].boot_off_s * 1000};
		const int64_t want_s[] = {grant_leases[i].short_s, grant_leases[i].long_s,
					  grant_leases[i].own_s};
		struct mapstate none = {0}, got;
		struct desired_times times;
		struct netmap_msg m;
		struct key leaf;
		struct arena a;
		struct diag d;
		struct buf b;

		arena_init(&a, FIXTURE_ARENA_MAX);
		buf_init_grow(&b, ZT_NETMAP_MAX);
		m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, 1), &a);
		fixture_seal(&m, fixture_psks, 2, &fixture_identity, &a);
		fixture_envelope(&m, NULL, &fixture_network, &b, &leaf);
		assert_int_equal(accept_message(&t, &none, b.data, b.len, now, &got, &d), 0);
		now.wall_ms += grant_leases[i].wall_later_s * 1000;
		times = (struct desired_times){got.lease_end_ms, got.lease_s,
					       now.boot_ms - mapstate_wall_ms(&got, now),
					       now.boot_ms};
		for (size_t k = 0; k < N_OF(want_s); k++)
			row_check(grant_leases[i].says,
				  desired_grant_end(&got.map.grants[k], &times) ==
					  now.boot_ms + want_s[k] * 1000);
		mapstate_done(&got);
		buf_free(&b);
		arena_done(&a);
	}
}

static const struct {
	const char *says;
	int64_t came_wall_s;	/* our clock when the map came; 0: when it was issued */
	int64_t wall_s, boot_s; /* our clocks since then */
	int64_t want_s;		/* the time, from when it was issued */
} walls[] = {
	{"a clock that runs as it should", 0, 600, 600, 600},
	{"set back: as if it was not", 0, -86400, 600, 600},
	{"set back after the lease ended", 0, -86400, 7200, 7200},
	{"set ahead: believed, it only ends things sooner", 0, 86400, 600, 86400},
	{"behind the controller's when the map came: the controller's counts", -200, 0, 0, 0},
	{"and goes on", -200, 60, 60, 60},
	{"ahead of the controller's when the map came, then set right: sooner until the next map",
	 1000, -1000, 0, 1000},
};

static void a_clock_set_back_does_not_turn_back_time(void **state)
{
	struct trust t = fixture_trust();

	(void)state;
	for (size_t i = 0; i < N_OF(walls); i++) {
		struct now now = {fixture_now.wall_ms + walls[i].came_wall_s * 1000,
				  fixture_now.boot_ms};
		struct mapstate none = {0}, got;
		struct key leaf;
		struct diag d;
		struct buf b;

		buf_init_grow(&b, ZT_NETMAP_MAX);
		fixture_full(1, &b, &leaf);
		row_check(walls[i].says,
			  accept_message(&t, &none, b.data, b.len, now, &got, &d) == 0);
		now.wall_ms += walls[i].wall_s * 1000;
		now.boot_ms += walls[i].boot_s * 1000;
		row_check(walls[i].says, mapstate_wall_ms(&got, now) ==
						 fixture_now.wall_ms + walls[i].want_s * 1000);
		row_check(walls[i].says, mapstate_wall_ms(&none, now) == now.wall_ms);
		mapstate_done(&got);
		buf_free(&b);
	}
}

/* Full map, delta with a new peer, full map of a new history, and a delta after that. */
static void messages_follow_each_other(void **state)
{
	struct trust t = fixture_trust();
	struct mapstate cur = fixture_state(10), next;
	struct netmap_msg m = {
		.head = fixture_head(NETMAP_DELTA, 11), .peers_put = &new_peer, .n_peers_put = 1};
	struct key leaf, old_leaf;
	struct arena a;
	struct diag d;
	struct buf b;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	fixture_seal(&m, &new_psk, 1, &fixture_identity, &a);
	fixture_envelope(&m, &cur.leaf, &fixture_network, &b, &leaf);
	assert_int_equal(accept_message(&t, &cur, b.data, b.len, fixture_now, &next, &d), 0);
	mapstate_done(&cur); /* nothing of the new state is borrowed from the old one */
	cur = next;
	assert_int_equal(cur.map.n_peers, 3);
	assert_int_equal(cur.n_psks, 3);
	assert_int_equal(cur.psks[0].psk.b[0], 0xb2); /* kept from before */
	assert_int_equal(cur.psks[2].psk.b[0], 0xb4);
	assert_string_equal(cur.map.peers[1].name, "db-2");

	old_leaf = cur.leaf;
	buf_reset(&b);
	fixture_full(12, &b, &leaf);
	assert_int_equal(accept_message(&t, &cur, b.data, b.len, fixture_now, &next, &d), 0);
	mapstate_done(&cur);
	cur = next;
	assert_int_equal(cur.map.n_peers, 2);
	assert_true(key_equal(&cur.leaf, &leaf));

	buf_reset(&b);
	m = (struct netmap_msg){.head = fixture_head(NETMAP_DELTA, 13)};
	fixture_envelope(&m, &old_leaf, &fixture_network, &b, &leaf);
	assert_int_equal(accept_message(&t, &cur, b.data, b.len, fixture_now, &next, &d), -ZT_ESIG);
	buf_reset(&b);
	fixture_envelope(&m, &cur.leaf, &fixture_network, &b, &leaf);
	assert_int_equal(accept_message(&t, &cur, b.data, b.len, fixture_now, &next, &d), 0);
	assert_int_equal(next.serial, 13);
	mapstate_done(&next);
	mapstate_done(&cur);
	buf_free(&b);
	arena_done(&a);
}

/* The keys of a batch: a device takes its own leaf only. */
static void one_signature_serves_a_batch(void **state)
{
	enum { BATCH = 5, MINE = 3 };
	struct trust t = fixture_trust();
	struct key nodes[16] = {{{1}}, {{2}}, {{3}}, {{0}}, {{5}}}, root, path[8];
	struct mapstate none = {0}, got;
	struct netmap map = fixture_map();
	struct envelope e = {.index = MINE, .batch = BATCH};
	struct netmap_msg m;
	struct buf content, b;
	struct arena a;
	struct diag d;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	buf_init_grow(&content, ZT_NETMAP_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	m = fixture_diff(NULL, &map, fixture_head(NETMAP_FULL, 1), &a);
	fixture_seal(&m, fixture_psks, 2, &fixture_identity, &a);
	assert_int_equal(netmap_encode(&m, &content), 0);
	envelope_leaf(&(struct key){0}, content.data, content.len, &nodes[MINE]);
	envelope_tree_build(nodes, BATCH, &root);
	e.depth = envelope_tree_path(nodes, BATCH, MINE, path);
	e.path = path[0].b;
	e.content = content.data;
	e.content_len = content.len;
	key_sign(&fixture_network, ENVELOPE_DOMAIN, root.b, sizeof(root.b), &e.sig);
	assert_int_equal(envelope_encode(&e, &b), 0);
	assert_int_equal(accept_message(&t, &none, b.data, b.len, fixture_now, &got, &d), 0);
	mapstate_done(&got);
	for (uint32_t i = 0; i < BATCH; i++) { /* from another's place, with that one's path */
		if (i == MINE)
			continue;
		e.index = i;
		e.depth = envelope_tree_path(nodes, BATCH, i, path);
		buf_reset(&b);
		assert_int_equal(envelope_encode(&e, &b), 0);
		assert_int_equal(accept_message(&t, &none, b.data, b.len, fixture_now, &got, &d),
				 -ZT_ESIG);
	}
	buf_free(&b);
	buf_free(&content);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_has_its_code_and_changes_nothing),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(every_cut_message_is_refused),
		cmocka_unit_test(the_lease_ends_by_whichever_clock_is_first),
		cmocka_unit_test(leases_of_grants_count_from_the_same_moment),
		cmocka_unit_test(a_clock_set_back_does_not_turn_back_time),
		cmocka_unit_test(messages_follow_each_other),
		cmocka_unit_test(one_signature_serves_a_batch),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
