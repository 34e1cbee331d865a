/* From the model to one device's netmap: exactly what it may see, in the order and form that the
 * wire wants. */
#include "tests/unit/model_fixture.h"

#include "controller/model/canary.h"
#include "controller/netmap/build.h"
#include "zt/buf.h"

static const char policy_text[] =
	"[network]\nlease = 10m\n"
	"[resource db]\non = tag:db\nports = tcp/5432, tcp/22\n"
	"[resource web]\non = tag:web\nports = tcp/443\n"
	"[rule zeta]\nwho = user:ada@x.org\nwhat = resource:web\nwhy = w\n"
	"[rule alpha]\nwho = user:ada@x.org, tag:web\nwhat = resource:db\nwhy = w\n"
	"[rule other]\nwho = user:eve@x.org\nwhat = resource:db\nwhy = w\n";

/* The same names and others, in another order; what eve may is gone, ada needs more, sam is new. */
static const char canary_text[] =
	"[network]\nlease = 20m\n"
	"[resource web]\non = tag:web\nports = tcp/443, tcp/80\n"
	"[resource db]\non = tag:db\nports = tcp/5432\n"
	"[posture p]\nrequire = disk.encrypted == true\n"
	"[rule alpha]\nwho = user:sam@x.org, tag:web\nwhat = resource:db\nwhy = w\n"
	"[rule beta]\nwho = user:ada@x.org\nwhat = resource:web\nwhy = w\n"
	"[rule gamma]\nwho = user:ada@x.org\nwhat = resource:db\nhow = posture:p\nwhy = w\n";

enum { DEVICES = 5 };
static struct model m;
static struct arena arena;

static struct device *add(uint32_t id, const char *owner, const char *tag)
{
	struct device_row r = row_of(id, owner, tag);
	struct device *d;

	assert_int_equal(model_load_device(&m, &r, &d), 0);
	d->psk_epoch = 10 + id;
	return d;
}

/* As if the system could enforce all that there is. */
static struct policy *enforced(const char *text)
{
	return parsed_in(text, &(struct policy_env){.enforces = (1u << DEMAND_KINDS) - 1});
}

/* 1 db, 2 web, 3 ada's, 4 eve's, 5 nobody's */
static int setup(void **state)
{
	struct policy_row row = {.version = 7};

	(void)state;
	arena_init(&arena, 1 << 20);
	model_init(&m);
	assert_int_equal(prefix_parse("100.64.0.0/10", &m.network.net4), 0);
	add(1, "", "db");
	add(2, "", "web");
	add(3, "ada@x.org", "");
	add(4, "eve@x.org", "");
	add(5, "sam@x.org", "");
	return model_set_policy(&m, enforced(policy_text), &row, now_ms);
}

static int teardown(void **state)
{
	(void)state;
	model_done(&m);
	arena_done(&arena);
	return 0;
}

static struct netmap build(uint32_t id)
{
	struct netmap n;

	assert_int_equal(netmap_build(&m, model_device(&m, id), &arena, &n), 0);
	return n;
}

static uint32_t head_lease(uint32_t id)
{
	return (uint32_t)model_force(&m, model_device(&m, id))->policy->lease_s;
}

/* As it goes out: a full message that a device decodes and applies. */
static void check_wire(const struct netmap *n, uint32_t id)
{
	static const struct netmap nothing;
	struct netmap_msg msg, back;
	struct netmap again;
	struct buf b;

	assert_int_equal(netmap_diff(&nothing, n, &arena, &msg), 0);
	msg.head = (struct netmap_head){.kind = NETMAP_FULL,
					.lease_s = head_lease(id),
					.issued_ms = 1,
					.serial = 1,
					.policy = n->policy,
					.device = id};
	buf_init_grow(&b, ZT_NETMAP_MAX);
	assert_int_equal(netmap_encode(&msg, &b), 0);
	assert_int_equal(netmap_decode(b.data, b.len, &arena, &back), 0);
	assert_int_equal(netmap_apply(&nothing, &back, &arena, &again), 0);
	assert_int_equal(again.n_peers, n->n_peers);
	assert_int_equal(again.n_grants, n->n_grants);
	assert_int_equal(again.n_endpoints, n->n_endpoints);
	assert_int_equal(again.n_rules, n->n_rules);
	assert_int_equal(again.n_conditions, n->n_conditions);
	buf_free(&b);
}

static void test_peers_are_those_with_a_grant(void **state)
{
	static const struct {
		const char *says;
		uint32_t id, peers[4];
		size_t n_peers, n_in, n_out;
	} rows[] = {
		{"nobody's rule: alone", 5, {0}, 0, 0, 0},
		{"db serves ada, eve and web", 1, {2, 3, 4}, 3, 6, 0},
		{"web serves ada, uses db", 2, {1, 3}, 2, 1, 2},
		{"ada uses db and web", 3, {1, 2}, 2, 0, 3},
		{"eve uses db", 4, {1}, 1, 0, 2},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct netmap n = build(rows[i].id);
		size_t in = 0;

		row_check(rows[i].says, n.self.id == rows[i].id && n.policy == 7);
		row_check(rows[i].says, n.n_peers == rows[i].n_peers);
		for (size_t j = 0; j < n.n_peers; j++)
			row_check(rows[i].says, n.peers[j].id == rows[i].peers[j] &&
							n.peers[j].wg_key.b[1] == n.peers[j].id);
		for (size_t j = 0; j < n.n_grants; j++)
			in += n.grants[j].dir == NETMAP_IN;
		row_check(rows[i].says, in == rows[i].n_in);
		row_check(rows[i].says, n.n_grants - in == rows[i].n_out);
		check_wire(&n, rows[i].id);
	}
}

static void test_rules_are_the_own_ones(void **state)
{
	struct netmap n = build(3);

	(void)state;
	assert_int_equal(n.n_rules, 2);
	assert_string_equal(n.rules[0].name, "zeta");
	assert_string_equal(n.rules[1].name, "alpha");
	assert_string_equal(netmap_rule_name(&n, 3), "?"); /* eve's is not told */
}

/* Programs and accounts go to who opens the connection; who is reached need not know. What nobody
 * knows is no condition of a device: there is no grant. */
static void test_conditions_go_to_the_source(void **state)
{
	static const struct policy_row row = {.version = 8};
	struct netmap n;

	(void)state;
	assert_int_equal(
		model_set_policy(&m,
				 enforced("[resource db]\non = tag:db\nports = tcp/5432\n"
					  "[resource web]\non = tag:web\nports = tcp/443\n"
					  "[rule a]\nwho = user:ada@x.org\nwhat = resource:db\n"
					  "how = user:ada, app:psql, app:/bin/a\nwhy = w\n"
					  "[rule b]\nwho = user:ada@x.org\nwhat = resource:web\n"
					  "why = w\n"
					  "[rule c]\nwho = tag:db\nwhat = resource:web\n"
					  "how = app:curl\nwhy = w\n"
					  "[rule d]\nwho = user:ada@x.org\nwhat = resource:web\n"
					  "how = app:curl, mfa\nwhy = w\n"),
				 &row, now_ms),
		0);
	n = build(3);
	assert_int_equal(n.n_grants, 2);
	assert_int_equal(n.n_conditions, 3);
	assert_int_equal(n.conditions[0].rule, 1);
	assert_int_equal(n.conditions[0].kind, NETMAP_APP);
	assert_string_equal(n.conditions[0].name, "/bin/a");
	assert_string_equal(n.conditions[1].name, "psql");
	assert_int_equal(n.conditions[2].kind, NETMAP_USER);
	assert_string_equal(n.conditions[2].name, "ada");
	check_wire(&n, 3);
	n = build(1); /* reached by a, and opens by c */
	assert_int_equal(n.n_grants, 2);
	assert_int_equal(n.n_conditions, 1);
	assert_int_equal(n.conditions[0].rule, 3);
	check_wire(&n, 1);
	n = build(2);
	assert_int_equal(n.n_grants, 2);
	assert_int_equal(n.n_conditions, 0);
	check_wire(&n, 2);
}

static void test_who_does_not_stand(void **state)
{
	static const struct {
		const char *says;
		enum device_state state;
		int64_t cert_s;
	} rows[] = {
		{"pending", DEVICE_PENDING, 3600},
		{"revoked", DEVICE_REVOKED, 3600},
		{"expired", DEVICE_EXPIRED, 3600},
		{"certificate over", DEVICE_ACTIVE, 0},
	};
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct device *d = model_device(&m, 3);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct netmap n;

		d->row.state = rows[i].state;
		d->row.cert_not_after_s = NOW_S + rows[i].cert_s;
		model_evaluate(&m, d, now_ms, changes);
		n = build(3);
		row_check(rows[i].says, n.self.id == 3 && n.n_peers + n.n_grants + n.n_rules == 0);
		check_wire(&n, 3);
		n = build(1);
		row_check(rows[i].says, !netmap_find_peer(&n, 3));
		check_wire(&n, 1);
		d->row.state = DEVICE_ACTIVE;
		d->row.cert_not_after_s = NOW_S + 3600;
		model_evaluate(&m, d, now_ms, changes);
		n = build(1);
		row_check(rows[i].says, netmap_find_peer(&n, 3) != NULL);
	}
}

/* Both ends of a pair, whoever was here last, agree on the day of their key. */
static void test_psk_epoch(void **state)
{
	struct netmap a = build(3), b = build(1);

	(void)state;
	assert_int_equal(netmap_find_peer(&a, 1)->psk_epoch, 11);
	assert_int_equal(netmap_find_peer(&b, 3)->psk_epoch, 11);
	model_device(&m, 1)->psk_epoch = 99;
	a = build(3);
	b = build(1);
	assert_int_equal(netmap_find_peer(&a, 1)->psk_epoch, 13);
	assert_int_equal(netmap_find_peer(&b, 3)->psk_epoch, 13);
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

/* Local addresses first for a neighbour, what the controller sees first for others. */
static void test_endpoint_order(void **state)
{
	struct device *db = model_device(&m, 1), *ada = model_device(&m, 3);
	struct netmap n;

	(void)state;
	db->endpoints = calloc(2, sizeof(*db->endpoints));
	assert_non_null(db->endpoints);
	db->endpoints[0] = endpoint_of("192.168.1.5:51820");
	db->endpoints[1] = endpoint_of("198.51.100.5:51820");
	db->n_endpoints = 2;
	db->source = endpoint_of("198.51.100.5:1").addr;
	ada->source = endpoint_of("203.0.113.1:1").addr;
	n = build(3);
	assert_int_equal(n.n_endpoints, 2);
	assert_true(endpoint_equal(&n.endpoints[0].ep, &db->endpoints[1]));
	check_wire(&n, 3);
	ada->source = db->source;
	n = build(3);
	assert_true(endpoint_equal(&n.endpoints[0].ep, &db->endpoints[0]));
	check_wire(&n, 3);
}

static void load(const char *text)
{
	struct policy_row row = {.version = 7};

	assert_int_equal(model_set_policy(&m, enforced(text), &row, now_ms), 0);
}

static void test_leases_of_grants(void **state)
{
	struct netmap n;

	(void)state;
	load("[network]\nlease = 10m\n"
	     "[resource db]\non = tag:db\nports = tcp/1\nlease = 5m\n"
	     "[resource web]\non = tag:db\nports = tcp/2\nlease = 600s\n"
	     "[resource ssh]\non = tag:db\nports = tcp/3\n"
	     "[resource long]\non = tag:db\nports = tcp/4\nlease = 24h\n"
	     "[rule r]\nwho = user:ada@x.org\nwhat = resource:*\nwhy = w\n");
	for (uint32_t id = 1; id <= 3; id += 2) {
		n = build(id);
		assert_int_equal(n.n_grants, 4);
		assert_int_equal(n.grants[0].lease_s, 300);
		assert_int_equal(n.grants[1].lease_s, 0); /* the head's: costs nothing */
		assert_int_equal(n.grants[2].lease_s, 0);
		assert_int_equal(n.grants[3].lease_s, 86400);
		check_wire(&n, id);
	}
}

/* More leases than a netmap may have: none gets longer, the shortest stays as it is. */
static void test_too_many_leases_get_shorter(void **state)
{
	enum { MANY = 200 };
	uint32_t least = 0, before = 0, different = 0;
	struct netmap n;
	struct buf b;

	(void)state;
	buf_init_grow(&b, 1 << 20);
	buf_put_text(&b, "[network]\nlease = 10m\n");
	for (unsigned i = 1; i <= MANY; i++)
		buf_printf(&b, "[resource r%u]\non = tag:db\nports = tcp/%u\nlease = %us\n", i, i,
			   500 + i);
	buf_put_text(&b, "[rule r]\nwho = user:ada@x.org\nwhat = resource:*\nwhy = w\n");
	load(buf_text(&b));
	buf_free(&b);
	n = build(3);
	assert_int_equal(n.n_grants, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t asked = 501 + i, got = n.grants[i].lease_s;

		assert_int_equal(n.grants[i].svc.lo, i + 1);
		assert_true(asked == 600 ? got == 0 : got && got <= asked && asked - got < 10);
		if (!got)
			continue;
		assert_true(got >= before);
		different += got != before;
		before = got;
		least = least ? least : got;
	}
	assert_int_equal(least, 501);
	assert_int_equal(different, NETMAP_LEASES_MAX);
	check_wire(&n, 3);
}

static void test_alone(void **state)
{
	struct netmap n;

	(void)state;
	netmap_build_alone(&m, model_device(&m, 3), &n);
	assert_true(n.self.id == 3 && n.policy == 7);
	assert_int_equal(n.n_peers + n.n_grants + n.n_rules + n.n_endpoints, 0);
	check_wire(&n, 3);
}

static void test_out_of_memory(void **state)
{
	struct netmap n = {.policy = 42};
	struct arena small;

	(void)state;
	arena_init(&small, 16);
	assert_true(netmap_build(&m, model_device(&m, 3), &small, &n) < 0);
	assert_int_equal(n.policy, 42); /* untouched */
	arena_done(&small);
}

/* --- with a canary --- */

static void set_canary(uint32_t version, unsigned percent)
{
	struct policy_row row = {.version = version,
				 .trial = {.state = TRIAL_OPEN, .base = 7, .percent = percent}};

	assert_int_equal(model_set_canary(&m, enforced(canary_text), &row, now_ms), 0);
}

static void build_all(struct netmap maps[static DEVICES + 1])
{
	for (uint32_t id = 1; id <= DEVICES; id++)
		maps[id] = build(id);
}

/* Every grant of a that its source has under this policy (in the canary or not) is one of b, by the
 * name of its rule. */
static void expect_within(const char *says, uint32_t id, const struct netmap *a,
			  const struct netmap *b, bool canary)
{
	for (size_t i = 0; i < a->n_grants; i++) {
		const struct netmap_grant *g = &a->grants[i];
		uint32_t src = g->dir == NETMAP_OUT ? id : g->peer;
		bool found =
			canary_has(src, m.canary.row.version, m.canary.row.trial.percent) != canary;

		for (size_t j = 0; j < b->n_grants && !found; j++)
			found = b->grants[j].peer == g->peer && b->grants[j].dir == g->dir &&
				memcmp(&b->grants[j].svc, &g->svc, sizeof(g->svc)) == 0 &&
				strcmp(netmap_rule_name(b, b->grants[j].rule),
				       netmap_rule_name(a, g->rule)) == 0;
		row_check(says, found);
	}
}

/* Who has a grant, has its other end too, and as long without the controller. */
static void expect_both_ends(const struct netmap maps[static DEVICES + 1])
{
	for (uint32_t id = 1; id <= DEVICES; id++)
		for (size_t i = 0; i < maps[id].n_grants; i++) {
			struct netmap_grant want = maps[id].grants[i];
			const struct netmap *peer = &maps[want.peer];
			bool found = false;

			want.peer = id;
			if (!want.lease_s)
				want.lease_s = head_lease(id);
			if (want.lease_s == head_lease(maps[id].grants[i].peer))
				want.lease_s = 0;
			want.dir = want.dir == NETMAP_OUT ? NETMAP_IN : NETMAP_OUT;
			for (size_t j = 0; j < peer->n_grants; j++)
				found = found || netmap_grant_compare(&peer->grants[j], &want) == 0;
			assert_true(found);
		}
}

/* For each pair the policy of its source holds, whole, and nothing of the other one. */
static void test_canary_by_source(void **state)
{
	struct netmap before[DEVICES + 1], after[DEVICES + 1], mixed[DEVICES + 1];
	unsigned inside = 0, outside = 0;
	struct policy_row row = {.version = 9};

	(void)state;
	build_all(before);
	assert_int_equal(model_set_policy(&m, enforced(canary_text), &row, now_ms), 0);
	build_all(after);
	row.version = 7;
	assert_int_equal(model_set_policy(&m, enforced(policy_text), &row, now_ms), 0);
	for (uint32_t version = 8; version < 40; version++) {
		set_canary(version, 50);
		build_all(mixed);
		for (uint32_t id = 1; id <= DEVICES; id++) {
			bool in = canary_has(id, version, 50);

			expect_within("denied: it is in the canary", id, &mixed[id], &after[id],
				      true);
			expect_within("denied: it is not", id, &mixed[id], &before[id], false);
			expect_within("allowed by the canary", id, &after[id], &mixed[id], true);
			expect_within("allowed as before", id, &before[id], &mixed[id], false);
			assert_int_equal(mixed[id].policy, in ? version : 7);
			check_wire(&mixed[id], id);
			inside += in;
			outside += !in;
		}
		expect_both_ends(mixed);
	}
	assert_true(inside > 32 && outside > 32);
}

/* Two rules of one name are two rules. */
static void test_canary_rules_are_told_apart(void **state)
{
	struct netmap n;
	uint32_t version = 8;

	(void)state;
	while (!canary_has(5, version, 50) || canary_has(2, version, 50))
		version++;
	set_canary(version, 50);
	n = build(1); /* web's by the alpha of before, sam's by the other */
	for (size_t i = 0; i < n.n_grants; i++) {
		uint32_t rule = n.grants[i].rule, peer = n.grants[i].peer;

		assert_true(peer != 5 || rule == 3 + 1);
		assert_true(peer != 2 || rule == 2);
		assert_true((peer != 5 && peer != 2) ||
			    strcmp(netmap_rule_name(&n, rule), "alpha") == 0);
	}
	assert_non_null(netmap_find_peer(&n, 5));
	assert_non_null(netmap_find_peer(&n, 2));
}

/* More rules than a map has room for come together from two policies: no map at all. */
static void test_canary_rules_have_a_limit(void **state)
{
	enum { RULES = ZT_RULES_MAX / 2 + 1 };
	struct policy_row row = {.version = 7};
	uint32_t version = 8;
	struct netmap n;
	struct buf b;

	(void)state;
	while (canary_has(3, version, 50) || !canary_has(4, version, 50))
		version++;
	buf_init_grow(&b, 8 << 20);
	buf_put_text(&b, "[resource db]\non = tag:db\nports = tcp/5432\n");
	for (unsigned i = 0; i < RULES; i++)
		buf_printf(&b,
			   "[rule r%u]\nwho = user:ada@x.org, user:eve@x.org\n"
			   "what = resource:db\nwhy = w\n",
			   i);
	assert_int_equal(model_set_policy(&m, enforced(buf_text(&b)), &row, now_ms), 0);
	arena_done(&arena);
	arena_init(&arena, 64 << 20);
	assert_int_equal(build(1).n_rules, RULES);
	row = (struct policy_row){.version = version,
				  .trial = {.state = TRIAL_OPEN, .percent = 50}};
	assert_int_equal(model_set_canary(&m, enforced(buf_text(&b)), &row, now_ms), 0);
	assert_int_equal(netmap_build(&m, model_device(&m, 1), &arena, &n), -ZT_ELIMIT);
	assert_int_equal(build(3).n_rules, RULES);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_peers_are_those_with_a_grant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules_are_the_own_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conditions_go_to_the_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_does_not_stand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_psk_epoch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endpoint_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leases_of_grants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_leases_get_shorter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary_by_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary_rules_are_told_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_canary_rules_have_a_limit, setup, teardown),
	};

	return cmocka_run_group_tests_name("netmap_build", tests, NULL, NULL);
}
