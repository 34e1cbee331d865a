/* A netmap message that is taken encodes to the same bytes; applied to a map it gives one whose
 * every part holds together, and the difference between the two leads there again. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <string.h>

#include "zt/netmap.h"

enum { ARENA_MAX = 256 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

/* What deltas are applied to: the map that tests/fuzz/seeds writes as full.bin. */
static const struct netmap_peer base_peers[] = {
	{.id = 2, .wg_key = {{2}}, .addr4 = {ADDR_V4, {100, 64, 0, 2}}, .name = "db-1"},
	{.id = 3, .wg_key = {{3}}, .addr4 = {ADDR_V4, {100, 64, 0, 3}}, .name = "db-2"},
};
static const struct netmap_endpoint base_endpoints[] = {
	{.peer = 2, .ep = {.addr = {ADDR_V4, {192, 0, 2, 2}}, .port = 51820}},
};
static const struct netmap_grant base_grants[] = {
	{.peer = 2, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
	{.peer = 3, .svc = {SERVICE_TCP, 5432, 5432}, .rule = 1},
};
static const struct netmap_rule base_rules[] = {{.id = 1, .name = "finance-to-payroll"}};
static const struct netmap_condition base_conditions[] = {
	{.rule = 1, .kind = NETMAP_APP, .name = "/usr/bin/psql"}};
static const struct netmap base = {
	.policy = 1,
	.self = {.id = 1,
		 .wg_key = {{1}},
		 .addr4 = {ADDR_V4, {100, 64, 0, 1}},
		 .net4 = {{ADDR_V4, {100, 64}}, 10},
		 .mtu = 1420,
		 .name = "laptop"},
	.peers = base_peers,
	.endpoints = base_endpoints,
	.grants = base_grants,
	.rules = base_rules,
	.conditions = base_conditions,
	.n_peers = 2,
	.n_endpoints = 1,
	.n_grants = 2,
	.n_rules = 1,
	.n_conditions = 1,
};

static void check_same(const struct netmap_msg *m, const uint8_t *p, size_t n)
{
	struct buf b;

	buf_init_grow(&b, ZT_NETMAP_MAX);
	fuzz_check(netmap_encode(m, &b) == 0);
	fuzz_check(b.len == n && memcmp(b.data, p, n) == 0);
	buf_free(&b);
}

static bool is_out_of(const struct netmap *m, uint32_t rule)
{
	for (size_t i = 0; i < m->n_grants; i++)
		if (m->grants[i].rule == rule && m->grants[i].dir == NETMAP_OUT)
			return true;
	return false;
}

static void check_whole(const struct netmap *m)
{
	for (size_t i = 0; i < m->n_peers; i++) {
		const struct netmap_peer *p = &m->peers[i];

		fuzz_check(netmap_find_peer(m, p->id) == p && p->id != m->self.id);
		fuzz_check(p->addr4.family == ADDR_NONE ||
			   prefix_contains(&m->self.net4, &p->addr4));
		fuzz_check(p->addr6.family == ADDR_NONE ||
			   prefix_contains(&m->self.net6, &p->addr6));
	}
	for (size_t i = 0; i < m->n_endpoints; i++)
		fuzz_check(netmap_find_peer(m, m->endpoints[i].peer));
	for (size_t i = 0; i < m->n_grants; i++) {
		fuzz_check(netmap_find_peer(m, m->grants[i].peer));
		fuzz_check(strcmp(netmap_rule_name(m, m->grants[i].rule), "?") != 0);
	}
	for (size_t i = 0; i < m->n_conditions; i++) {
		size_t n;

		fuzz_check(netmap_rule_conditions(m, m->conditions[i].rule, &n) && n > 0);
		fuzz_check(is_out_of(m, m->conditions[i].rule));
	}
}

/* The map again, by the way of its difference. */
static void check_diff(const struct netmap *old, const struct netmap *new,
		       const struct netmap_head *head, struct arena *a)
{
	struct netmap_msg m;
	struct netmap got;

	fuzz_check(netmap_diff(old, new, a, &m) == 0);
	m.head = *head;
	m.head.kind = NETMAP_DELTA;
	fuzz_check(netmap_apply(old, &m, a, &got) == 0);
	fuzz_check(netmap_diff(&got, new, a, &m) == 0);
	fuzz_check(netmap_msg_is_empty(&m));
	check_whole(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const struct netmap_psk *psk;
	struct netmap_msg m;
	struct netmap got;
	struct arena a;
	size_t n_psk;

	arena_init(&a, ARENA_MAX);
	if (netmap_decode(p, n, &a, &m) == 0) {
		check_same(&m, p, n);
		if (netmap_apply(&base, &m, &a, &got) == 0) {
			check_whole(&got);
			if (got.self.id == base.self.id)
				check_diff(&base, &got, &m.head, &a);
		}
	}
	if (netmap_psk_decode(p, n, &a, &psk, &n_psk) == 0)
		fuzz_check(n_psk * NETMAP_PSK_SIZE == n);
	arena_done(&a);
	return 0;
}
