/* Desired kernel state of a netmap: elements as the printer of operations shows them, with the end
 * of each in seconds from now; port classes; what stays when the lease is over. */
#include "tests/unit/node_fixture.h"

#include <time.h>

#include "ztnode/core/desired.h"
#include "ztnode/core/op.h"

enum { NOW_MS = 1000000, LEASE_S = 3600, GRANTS_ROW_MAX = 8, TEXT_MAX = 4096 };

static const int64_t wall_to_boot_ms = NOW_MS - 1800000000000; /* wall time now: 1800000000 s */
static const uint64_t wall_now_s = 1800000000;

static struct desired_times times(int64_t lease_left_ms)
{
	return (struct desired_times){NOW_MS + lease_left_ms, LEASE_S, wall_to_boot_ms, NOW_MS};
}

static const struct desired_times last_ms = {NOW_MS + 1, LEASE_S, NOW_MS - 1800000000000, NOW_MS};

static const struct desired_config config = {
	.listen_port = 51820, .route_metric = 4000, .psks = fixture_psks, .n_psks = 2};

static void print_state(const struct kstate *s, char *out)
{
	struct buf b;

	buf_init(&b, out, TEXT_MAX - 1);
	for (size_t i = 0; i < s->n_spans; i++)
		buf_printf(&b, "class %u %s %u-%u\n", s->spans[i].class_id,
			   s->spans[i].proto == SERVICE_TCP ? "tcp" : "udp", s->spans[i].lo,
			   s->spans[i].hi);
	for (size_t i = 0; i < s->n_elems; i++) {
		struct op op = {.kind = OP_ELEM_ADD, .elem = &s->elems[i]};

		op_print(&op, NULL, &b);
		buf_printf(&b, " %lld\n", (long long)(s->elems[i].expires_ms - NOW_MS) / 1000);
	}
	assert_int_equal(b.err, 0);
	out[b.len] = 0;
}

/* --- elements --- */

struct grant_row {
	uint32_t peer;
	uint8_t dir;
	struct service svc;
	uint32_t rule;
	int64_t own_end_s; /* from now; 0: with the lease */
	uint32_t lease_s;  /* 0: the map's */
};

static const struct {
	const char *says;
	struct grant_row grants[GRANTS_ROW_MAX];
	const char *want;
} rows[] = {
	{"nothing granted", {{0}}, ""},
	{"out: from us to the peer, in both families",
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/22 rule 1 3600\n"
	 "grant add fd12::1 -> fd12::2 tcp/22 rule 1 3600\n"},
	{"in: from the peer to us; a peer without IPv6 has IPv4 alone",
	 {{3, NETMAP_IN, {SERVICE_UDP, 53, 53}, 1, 0, 0}},
	 "grant add 100.64.0.3 -> 100.64.0.1 udp/53 rule 1 3600\n"},
	{"icmp is one service in both address families",
	 {{2, NETMAP_OUT, {SERVICE_ICMP, 0, 0}, 1, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.2 icmp rule 1 3600\n"
	 "grant add fd12::1 -> fd12::2 icmp rule 1 3600\n"},
	{"any is class 0, without a span",
	 {{3, NETMAP_OUT, {SERVICE_ANY, 0, 0}, 1, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 any rule 1 3600\n"},
	{"both directions are two grants",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 80, 80}, 1, 0, 0},
	  {3, NETMAP_IN, {SERVICE_TCP, 80, 80}, 1, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/80 rule 1 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 tcp/80 rule 1 3600\n"},
	{"a range is one class",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 8000, 8010}, 1, 0, 0}},
	 "class 1 tcp 8000-8010\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/1 rule 1 3600\n"},
	{"every port of a protocol",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 1, 65535}, 1, 0, 0}},
	 "class 1 tcp 1-65535\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/1 rule 1 3600\n"},
	{"overlapping ranges are cut in three, the middle is both's",
	 {{3, NETMAP_IN, {SERVICE_TCP, 100, 200}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 150, 300}, 2, 0, 0}},
	 "class 1 tcp 100-149\nclass 2 tcp 150-200\nclass 3 tcp 201-300\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/2 rule 2 3600\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/3 rule 2 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 class/1 rule 1 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 class/2 rule 1 3600\n"},
	{"touching ranges are two classes",
	 {{3, NETMAP_IN, {SERVICE_TCP, 100, 199}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 200, 299}, 2, 0, 0}},
	 "class 1 tcp 100-199\nclass 2 tcp 200-299\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/2 rule 2 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 class/1 rule 1 3600\n"},
	{"between ranges that are apart no element names the class",
	 {{3, NETMAP_IN, {SERVICE_TCP, 100, 199}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 300, 399}, 2, 0, 0}},
	 "class 1 tcp 100-199\nclass 2 tcp 200-299\nclass 3 tcp 300-399\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/3 rule 2 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 class/1 rule 1 3600\n"},
	{"a range within a range",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 1, 65535}, 1, 0, 0},
	  {3, NETMAP_IN, {SERVICE_TCP, 80, 81}, 2, 0, 0}},
	 "class 1 tcp 1-79\nclass 2 tcp 80-81\nclass 3 tcp 82-65535\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/1 rule 1 3600\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/2 rule 1 3600\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/3 rule 1 3600\n"
	 "grant add 100.64.0.3 -> 100.64.0.1 class/2 rule 2 3600\n"},
	{"a single port inside a range stays a port, the range is not cut",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 1, 1024}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 2, 0, 0}},
	 "class 1 tcp 1-1024\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 2 3600\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/1 rule 1 3600\n"},
	{"tcp and udp do not cut each other",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 100, 200}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_UDP, 150, 160}, 2, 0, 0}},
	 "class 1 tcp 100-200\nclass 2 udp 150-160\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/1 rule 1 3600\n"
	 "grant add 100.64.0.1 -> 100.64.0.3 class/2 rule 2 3600\n"},
	{"two rules grant the same: the longer end stays",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 60, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 2, 90, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 2 90\n"},
	{"whichever comes first",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 90, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 2, 60, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 90\n"},
	{"an own end before the lease's counts",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 10, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 10\n"},
	{"an own end after the lease's does not",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 7200, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 3600\n"},
	{"an own end that has passed gives no element, the other grant stays",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, -1, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 80, 80}, 1, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/80 rule 1 3600\n"},
	{"a lease of its own that is shorter",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 300}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 300\n"},
	{"a lease of its own that is longer",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 86400}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 86400\n"},
	{"an own end before that of a longer lease counts, also after the map's",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 7200, 86400}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 7200\n"},
	{"an own end after that of a shorter lease does not",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 600, 300}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 1 300\n"},
	{"the same under two leases: the longer one stays",
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 300},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 2, 0, 0}},
	 "grant add 100.64.0.1 -> 100.64.0.3 tcp/22 rule 2 3600\n"},
	{"a grant of a peer that is not there gives nothing",
	 {{9, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0}},
	 ""},
};

static size_t make_grants(const struct grant_row *rows_, struct netmap_grant *out)
{
	size_t n = 0;

	for (; n < GRANTS_ROW_MAX && rows_[n].rule; n++) {
		int64_t end = rows_[n].own_end_s;

		out[n] = (struct netmap_grant){
			.peer = rows_[n].peer,
			.dir = rows_[n].dir,
			.svc = rows_[n].svc,
			.rule = rows_[n].rule,
			.expires_s = end ? (uint32_t)(wall_now_s + (uint64_t)end) : 0,
			.lease_s = rows_[n].lease_s};
	}
	return n;
}

static void grants_become_elements(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct netmap_grant grants[GRANTS_ROW_MAX];
		struct netmap m = fixture_map();
		struct desired_times t = times(LEASE_S * 1000);
		char text[TEXT_MAX];
		struct kstate s;
		struct arena a;

		arena_init(&a, FIXTURE_ARENA_MAX);
		m.grants = grants;
		m.n_grants = make_grants(rows[i].grants, grants);
		row_check(rows[i].says, desired_make(&m, &config, &t, &a, &s) == 0);
		print_state(&s, text);
		if (strcmp(text, rows[i].want) != 0)
			fail_msg("%s:\n%snot\n%s", rows[i].says, text, rows[i].want);
		arena_done(&a);
	}
}

/* Whatever a newer controller asks of the device, this version opens nothing by the rule; what
 * others may open to it, and what other rules give, is as before. */
static void what_cannot_be_enforced_opens_nothing(void **state)
{
	static const struct netmap_condition conditions[] = {
		{.rule = 1, .kind = NETMAP_APP, .name = "/usr/bin/psql"},
		{.rule = 1, .kind = NETMAP_USER, .name = "postgres"},
		{.rule = 3, .kind = NETMAP_USER, .name = "root"}};
	static const struct netmap_grant grants[] = {
		{.peer = 3, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 22, 22}, .rule = 1},
		{.peer = 3, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 100, 200}, .rule = 3},
		{.peer = 3, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 80, 80}, .rule = 1},
		{.peer = 3, .dir = NETMAP_OUT, .svc = {SERVICE_TCP, 80, 80}, .rule = 2},
		{.peer = 3, .dir = NETMAP_OUT, .svc = {SERVICE_ANY, 0, 0}, .rule = 1},
		{.peer = 3, .dir = NETMAP_IN, .svc = {SERVICE_TCP, 22, 22}, .rule = 1}};
	struct netmap m = fixture_map();
	char text[TEXT_MAX];
	const struct desired_times all_left = times(LEASE_S * 1000);
	struct kstate s;
	struct arena a;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	m.grants = grants;
	m.n_grants = N_OF(grants);
	m.conditions = conditions;
	m.n_conditions = N_OF(conditions);
	assert_int_equal(desired_make(&m, &config, &all_left, &a, &s), 0);
	print_state(&s, text);
	assert_string_equal(text, "grant add 100.64.0.1 -> 100.64.0.3 tcp/80 rule 2 3600\n"
				  "grant add 100.64.0.3 -> 100.64.0.1 tcp/22 rule 1 3600\n");
	m.n_grants = 1; /* nor is there a peer for what never opens */
	assert_int_equal(desired_make(&m, &config, &all_left, &a, &s), 0);
	assert_int_equal(s.n_peers, 0);
	assert_string_equal(desired_unenforced(&m, &grants[0])->name, "/usr/bin/psql");
	assert_null(desired_unenforced(&m, &grants[3]));
	assert_null(desired_unenforced(&m, &grants[5]));
	arena_done(&a);
}

static void icmp_is_one_service_in_both_families(void **state)
{
	static const struct netmap_grant g = {.peer = 2, .svc = {SERVICE_ICMP, 0, 0}, .rule = 1};
	struct netmap m = fixture_map();
	struct kstate s;
	struct arena a;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	m.grants = &g;
	m.n_grants = 1;
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
	assert_int_equal(s.n_elems, 2);
	assert_int_equal(s.elems[0].src.family, ADDR_V4);
	assert_int_equal(s.elems[0].proto, 1);
	assert_int_equal(s.elems[1].proto, SERVICE_ICMP); /* as the kernel shell reads it back */
	assert_int_equal(s.elems[0].value, 0);
	assert_int_equal(s.elems[0].set, KSET_PORT);
	arena_done(&a);
}

/* Every port of random ranges is in just the classes that the grants' elements name. */
static void classes_cover_exactly_what_is_granted(void **state)
{
	uint32_t random = 12345;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct netmap_grant grants[6];
		struct netmap m = fixture_map();
		struct kstate s;
		struct arena a;

		arena_init(&a, FIXTURE_ARENA_MAX);
		for (size_t i = 0; i < N_OF(grants); i++) {
			uint16_t lo, hi;

			random = random * 1103515245 + 12345;
			lo = (uint16_t)(1 + (random >> 16) % 60);
			random = random * 1103515245 + 12345;
			hi = (uint16_t)(lo + 1 + (random >> 16) % 20);
			grants[i] = (struct netmap_grant){
				.peer = 3,
				.dir = (uint8_t)(i % 2),
				.svc = {i % 3 ? SERVICE_TCP : SERVICE_UDP, lo, hi},
				.rule = 1};
		}
		m.grants = grants;
		m.n_grants = N_OF(grants);
		assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
		for (uint32_t port = 0; port < 100; port++)
			for (int v = 0; v < 4; v++) {
				uint8_t dir = v & 1, proto = v & 2 ? SERVICE_TCP : SERVICE_UDP;
				size_t classes = 0;
				bool want = false, got = false;

				for (size_t i = 0; i < N_OF(grants); i++)
					want |= grants[i].dir == dir &&
						grants[i].svc.proto == proto &&
						grants[i].svc.lo <= port &&
						port <= grants[i].svc.hi;
				for (size_t i = 0; i < s.n_spans; i++) {
					const struct kspan *sp = &s.spans[i];

					if (sp->proto != proto || port < sp->lo || port > sp->hi)
						continue;
					classes++;
					for (size_t j = 0; j < s.n_elems; j++)
						got |= s.elems[j].value == sp->class_id &&
						       (s.elems[j].src.b[3] == 1) ==
							       (dir == NETMAP_OUT);
				}
				assert_true(classes <= 1);
				assert_int_equal(want, got);
			}
		arena_done(&a);
	}
}

/* --- the rest of the state --- */

static void peers_have_their_own_addresses_and_keys_alone(void **state)
{
	struct netmap_peer swapped[2] = {fixture_peers[0], fixture_peers[1]};
	struct netmap m = fixture_map();
	struct kstate s;
	struct arena a;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	swapped[0].wg_key = (struct key){{9}}; /* by id first, by key last */
	m.peers = swapped;
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
	assert_int_equal(s.n_peers, 2);
	assert_int_equal(s.peers[0].id, 3);
	assert_int_equal(s.peers[0].pub.b[0], 3);
	assert_int_equal(s.peers[0].n_allowed, 1);
	assert_int_equal(s.peers[0].allowed[0].bits, 32);
	assert_true(s.peers[0].has_psk);
	assert_int_equal(s.peers[0].psk.b[0], 0xb3);
	assert_int_equal(s.peers[1].n_allowed, 2);
	assert_int_equal(s.peers[1].allowed[1].bits, 128);
	assert_true(addr_equal(&s.peers[1].allowed[1].addr, &fixture_peers[0].addr6));
	assert_int_equal(s.peers[1].psk.b[0], 0xb2);
	assert_int_equal(s.peers[1].endpoint.addr.family, ADDR_NONE); /* paths choose it */
	arena_done(&a);
}

static void check_guards(const struct netmap *m, const struct kstate *s)
{
	assert_true(s->link_exists && s->link_is_ours && s->link_up && s->table_ok);
	assert_int_equal(s->mtu, 1420);
	assert_int_equal(s->port, 51820);
	assert_true(key_equal(&s->pub, &m->self.wg_key));
	assert_true(prefix_equal(&s->net4, &m->self.net4) && prefix_equal(&s->net6, &m->self.net6));
	assert_int_equal(s->n_addrs, 2);
	assert_int_equal(s->addrs[0].bits, 32);
	assert_int_equal(s->addrs[1].bits, 128);
	assert_int_equal(s->n_routes, 4);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s->routes[i].kind, KROUTE_DEV);
		assert_int_equal(s->routes[i].metric, 4000);
		assert_int_equal(s->routes[i + 2].kind, KROUTE_UNREACHABLE);
		assert_true(s->routes[i + 2].metric > s->routes[i].metric);
		assert_true(prefix_equal(&s->routes[i].dst, &s->routes[i + 2].dst));
	}
}

static const struct {
	const char *says;
	int64_t lease_left_ms;
	bool open;
} ends[] = {
	{"the last millisecond of the lease", 1, true},
	{"the lease is over", 0, false},
	{"long over", -86400000, false},
};

static void after_the_lease_only_guards_remain(void **state)
{
	struct netmap m = fixture_map();

	(void)state;
	for (size_t i = 0; i < N_OF(ends); i++) {
		struct desired_times t = times(ends[i].lease_left_ms);
		struct kstate s;
		struct arena a;

		arena_init(&a, FIXTURE_ARENA_MAX);
		assert_int_equal(desired_make(&m, &config, &t, &a, &s), 0);
		row_check(ends[i].says, s.n_peers == (ends[i].open ? 2u : 0));
		row_check(ends[i].says, s.n_elems == (ends[i].open ? 3u : 0));
		check_guards(&m, &s);
		arena_done(&a);
	}
}

/* Peer 2 under one grant, peer 3 under another; how long until each thing ends, in s. */
static const struct {
	const char *says;
	int64_t lease_left_s; /* of the map, whose lease is an hour */
	struct grant_row grants[2];
	size_t n_elems;
	uint32_t peers; /* bits by id */
	size_t n_spans;
	int64_t next_s; /* 0: never */
} beyond[] = {
	{"all run: the shorter lease ends first",
	 3600,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 300},
	  {3, NETMAP_OUT, {SERVICE_TCP, 80, 90}, 1, 0, 7200}},
	 3,
	 1 << 2 | 1 << 3,
	 1,
	 300},
	{"the last second of a shorter lease",
	 3301,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 300},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0}},
	 3,
	 1 << 2 | 1 << 3,
	 0,
	 1},
	{"a shorter lease is over: its peer goes, and its ports",
	 3300,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 80, 90}, 1, 0, 300},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0}},
	 1,
	 1 << 3,
	 0,
	 3300},
	{"the map's lease is over: what has a longer one stays with its peer",
	 0,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 80, 90}, 1, 0, 7200}},
	 1,
	 1 << 3,
	 1,
	 3600},
	{"two grants of one peer: it stays for the longer one",
	 -10,
	 {{3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0},
	  {3, NETMAP_IN, {SERVICE_TCP, 22, 22}, 1, 0, 7200}},
	 1,
	 1 << 3,
	 0,
	 3590},
	{"the longer lease is over too: closed",
	 -3600,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 7200}},
	 0,
	 0,
	 0,
	 0},
	{"after the map's lease an own end takes the peer as well",
	 -10,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, -1, 7200},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 5, 7200}},
	 1,
	 1 << 3,
	 0,
	 5},
	{"while it runs an own end leaves the peer for what the controller says next",
	 3600,
	 {{2, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, -1, 0},
	  {3, NETMAP_OUT, {SERVICE_TCP, 22, 22}, 1, 0, 0}},
	 1,
	 1 << 2 | 1 << 3,
	 0,
	 3600},
};

static void a_grant_may_outlive_the_map_or_end_before_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(beyond); i++) {
		struct desired_times t = times(beyond[i].lease_left_s * 1000);
		struct netmap_grant grants[GRANTS_ROW_MAX];
		struct grant_row both[GRANTS_ROW_MAX] = {beyond[i].grants[0], beyond[i].grants[1]};
		struct netmap m = fixture_map();
		uint32_t peers = 0;
		struct kstate s;
		struct arena a;
		int64_t next;

		arena_init(&a, FIXTURE_ARENA_MAX);
		m.grants = grants;
		m.n_grants = make_grants(both, grants);
		assert_int_equal(desired_make(&m, &config, &t, &a, &s), 0);
		for (size_t k = 0; k < s.n_peers; k++)
			peers |= 1u << s.peers[k].id;
		next = desired_next_end(&m, &t);
		row_check(beyond[i].says, s.n_elems == beyond[i].n_elems);
		row_check(beyond[i].says, peers == beyond[i].peers);
		row_check(beyond[i].says, s.n_spans == beyond[i].n_spans);
		row_check(beyond[i].says,
			  next == (beyond[i].next_s ? NOW_MS + beyond[i].next_s * 1000 : -1));
		check_guards(&m, &s);
		arena_done(&a);
	}
}

/* Whatever the wall clock says: a lease is counted by the other one alone. */
static void a_wall_clock_that_is_set_lengthens_no_lease(void **state)
{
	static const int64_t jumps_ms[] = {-86400000, -60000, 0, 60000, 86400000};
	static const struct grant_row row[GRANTS_ROW_MAX] = {
		{3, NETMAP_OUT, {SERVICE_TCP, 1, 1}, 1, 0, 300},
		{3, NETMAP_OUT, {SERVICE_TCP, 2, 2}, 1, 0, 0},
		{3, NETMAP_OUT, {SERVICE_TCP, 3, 3}, 1, 0, 7200}};
	struct netmap_grant grants[GRANTS_ROW_MAX];
	struct netmap m = fixture_map();

	(void)state;
	m.grants = grants;
	m.n_grants = make_grants(row, grants);
	for (size_t i = 0; i < N_OF(jumps_ms); i++) {
		struct desired_times t = times(LEASE_S * 1000);
		struct kstate s;
		struct arena a;

		arena_init(&a, FIXTURE_ARENA_MAX);
		t.wall_to_boot_ms -= jumps_ms[i];
		assert_int_equal(desired_make(&m, &config, &t, &a, &s), 0);
		assert_int_equal(s.n_elems, 3);
		assert_int_equal(s.elems[0].expires_ms, NOW_MS + 300 * 1000);
		assert_int_equal(s.elems[1].expires_ms, NOW_MS + 3600 * 1000);
		assert_int_equal(s.elems[2].expires_ms, NOW_MS + 7200 * 1000);
		arena_done(&a);
	}
}

static void a_network_of_one_family_has_that_alone(void **state)
{
	struct netmap m = fixture_map();
	struct kstate s;
	struct arena a;

	(void)state;
	arena_init(&a, FIXTURE_ARENA_MAX);
	m.self.addr6 = (struct addr){0};
	m.self.net6 = (struct prefix){0};
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
	assert_int_equal(s.n_addrs, 1);
	assert_int_equal(s.n_routes, 2);
	for (size_t i = 0; i < s.n_elems; i++)
		assert_int_equal(s.elems[i].src.family, ADDR_V4);
	arena_done(&a);
}

/* --- limits --- */

/* Nested ranges: grant i covers n - i classes on each side. */
static struct netmap_grant *nested(size_t n)
{
	struct netmap_grant *g = calloc(n, sizeof(*g));

	assert_non_null(g);
	for (size_t i = 0; i < n; i++)
		g[i] = (struct netmap_grant){
			.peer = 3,
			.svc = {SERVICE_TCP, (uint16_t)(1 + i), (uint16_t)(65535 - i)},
			.rule = 1};
	return g;
}

static void too_many_elements_are_an_error_not_a_cut(void **state)
{
	struct kstate s = {.mtu = 4711};
	struct netmap m = fixture_map();
	struct netmap_grant *g = nested(1000);
	struct arena a;

	(void)state;
	m.grants = g;
	arena_init(&a, 256 << 20);
	m.n_grants = 100;
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
	assert_int_equal(s.n_elems,
			 199); /* the widest one names all classes; the rest are doubles */
	s = (struct kstate){.mtu = 4711};
	m.n_grants = 1000;
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), -ZT_ELIMIT);
	assert_int_equal(s.mtu, 4711);
	arena_done(&a);
	arena_init(&a, 64);
	m.n_grants = 100;
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), -ENOMEM);
	assert_int_equal(s.mtu, 4711);
	arena_done(&a);
	free(g);
}

/* As many grants as a map may have, each a range of its own: done in a moment, not in minutes. */
static void the_largest_map_does_not_take_long(void **state)
{
	enum { N = 32000 };
	struct netmap m = fixture_map();
	struct netmap_grant *g = calloc(N, sizeof(*g));
	struct kstate s;
	struct arena a;
	clock_t began = clock();

	(void)state;
	assert_non_null(g);
	for (size_t i = 0; i < N; i++)
		g[i] = (struct netmap_grant){
			.peer = 3,
			.svc = {SERVICE_TCP, (uint16_t)(1 + 2 * i), (uint16_t)(2 + 2 * i)},
			.rule = 1};
	m.grants = g;
	m.n_grants = N;
	arena_init(&a, 256 << 20);
	assert_int_equal(desired_make(&m, &config, &last_ms, &a, &s), 0);
	assert_int_equal(s.n_elems, N);
	assert_int_equal(s.n_spans, N);
	assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
	arena_done(&a);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_become_elements),
		cmocka_unit_test(what_cannot_be_enforced_opens_nothing),
		cmocka_unit_test(icmp_is_one_service_in_both_families),
		cmocka_unit_test(classes_cover_exactly_what_is_granted),
		cmocka_unit_test(peers_have_their_own_addresses_and_keys_alone),
		cmocka_unit_test(after_the_lease_only_guards_remain),
		cmocka_unit_test(a_grant_may_outlive_the_map_or_end_before_it),
		cmocka_unit_test(a_wall_clock_that_is_set_lengthens_no_lease),
		cmocka_unit_test(a_network_of_one_family_has_that_alone),
		cmocka_unit_test(too_many_elements_are_an_error_not_a_cut),
		cmocka_unit_test(the_largest_map_does_not_take_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
