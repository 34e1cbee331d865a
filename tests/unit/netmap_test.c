/* Netmaps: the property that a difference applied is the new map, and every way to be refused. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sodium.h>

#include "zt/netmap.h"

enum { ARENA_MAX = 256 << 20, SELF_ID = 1 };

/* --- A random netmap: a few ids, so that two of them have much in common --- */

static uint64_t rng_state;

/* xorshift64* (Vigna 2016): the same on every run. */
static uint32_t rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * 0x2545f4914f6cdd1d) >> 33) % below;
}

static struct addr overlay4(uint32_t id, uint32_t variant)
{
	const uint8_t b[4] = {100, (uint8_t)(64 + variant), (uint8_t)(id >> 8), (uint8_t)id};

	return addr_v4(b);
}

static struct addr overlay6(uint32_t id, uint32_t variant)
{
	const uint8_t b[16] = {
		0xfd, 0x12, [12] = (uint8_t)variant, [14] = (uint8_t)(id >> 8), [15] = (uint8_t)id};

	return addr_v6(b);
}

static struct netmap_self make_self(uint32_t variant)
{
	struct netmap_self s = {
		.id = SELF_ID,
		.wg_key = {{1, (uint8_t)variant}},
		.addr4 = overlay4(SELF_ID, 0),
		.addr6 = overlay6(SELF_ID, 0),
		.net4 = {.addr = {ADDR_V4, {100, 64}}, .bits = 10},
		.net6 = {.addr = {ADDR_V6, {0xfd, 0x12}}, .bits = 16},
		.mtu = (uint16_t)(1420 - variant),
		.name = "laptop",
	};

	return s;
}

static struct netmap_peer make_peer(uint32_t id, uint32_t variant)
{
	struct netmap_peer p = {
		.id = id,
		.wg_key = {{2, (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)variant}},
		.addr4 = overlay4(id, variant),
		.psk_epoch = variant,
	};

	if (variant)
		p.addr6 = overlay6(id, variant);
	snprintf(p.name, sizeof(p.name), "peer-%u", id);
	return p;
}

static struct netmap_endpoint make_endpoint(uint32_t peer, uint8_t rank, uint32_t variant)
{
	const uint8_t b[4] = {192, 0, 2, (uint8_t)(1 + variant)};

	return (struct netmap_endpoint){
		.peer = peer,
		.rank = rank,
		.ep = {.addr = addr_v4(b), .port = (uint16_t)(51820 + variant)},
	};
}

static struct service make_service(uint32_t variant)
{
	static const struct service services[] = {
		{SERVICE_ANY, 0, 0},	 {SERVICE_ICMP, 0, 0},	  {SERVICE_TCP, 22, 22},
		{SERVICE_TCP, 1, 65535}, {SERVICE_UDP, 53, 1000}, {SERVICE_UDP, 53, 53},
	};

	return services[variant % N_OF(services)];
}

static struct netmap_rule make_rule(uint32_t id, uint32_t variant)
{
	struct netmap_rule r = {.id = id};

	snprintf(r.name, sizeof(r.name), "rule_%u.%u", id, variant);
	return r;
}

static struct netmap_condition make_condition(uint32_t rule, uint32_t variant)
{
	static const char *const apps[] = {"/usr/bin/psql", "/usr/bin/pg_dump", "psql"};
	static const char *const users[] = {"postgres", "root", "_apt"};
	struct netmap_condition c = {.rule = rule, .kind = variant < 3 ? NETMAP_APP : NETMAP_USER};

	snprintf(c.name, sizeof(c.name), "%s", variant < 3 ? apps[variant] : users[variant - 3]);
	return c;
}

/* Sorts and drops doubles; returns how many stay. */
static size_t sort_set(void *items, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	uint8_t *p = items;
	size_t kept = 0;

	qsort(items, n, size, cmp);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || cmp(p + (kept - 1) * size, p + i * size) != 0)
			memmove(p + kept++ * size, p + i * size, size);
	return kept;
}

static int compare_ranks(const void *a, const void *b)
{
	const struct netmap_endpoint *x = a, *y = b;

	if (x->peer != y->peer)
		return x->peer < y->peer ? -1 : 1;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Only rules that a grant names are in a map. */
static size_t keep_named(struct netmap_rule *rules, size_t n, const struct netmap_grant *grants,
			 size_t n_grants)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool named = false;

		for (size_t k = 0; k < n_grants; k++)
			named = named || grants[k].rule == rules[i].id;
		if (named)
			rules[kept++] = rules[i];
	}
	return kept;
}

/* Up to two for each rule that a grant out names. */
static size_t random_conditions(const struct netmap *m, struct netmap_condition *out)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_rules; i++) {
		bool outwards = false;

		for (size_t k = 0; k < m->n_grants; k++)
			outwards = outwards || (m->grants[k].rule == m->rules[i].id &&
						m->grants[k].dir == NETMAP_OUT);
		for (uint32_t k = outwards ? rnd(3) : 0; k > 0; k--)
			out[n++] = make_condition(m->rules[i].id, rnd(6));
	}
	return sort_set(out, n, sizeof(*out), netmap_condition_compare);
}

/* max: about how many peers. */
static struct netmap random_netmap(struct arena *a, uint32_t max)
{
	uint32_t n_peers = rnd(max + 1), n_rules = rnd(6);
	struct netmap_peer *peers = arena_array(a, n_peers, sizeof(*peers));
	struct netmap_rule *rules = arena_array(a, n_rules, sizeof(*rules));
	struct netmap_endpoint *endpoints = arena_array(a, n_peers * 3, sizeof(*endpoints));
	struct netmap_grant *grants = arena_array(a, n_peers * 4, sizeof(*grants));
	struct netmap_condition *conditions = arena_array(a, n_rules * 2, sizeof(*conditions));
	struct netmap m = {.policy = rnd(5),
			   .self = make_self(rnd(2)),
			   .peers = peers,
			   .endpoints = endpoints,
			   .grants = grants,
			   .rules = rules,
			   .conditions = conditions};
	uint32_t id = SELF_ID;

	for (uint32_t i = 0; i < n_rules; i++)
		rules[m.n_rules++] = make_rule(i * 2 + 1, rnd(2));
	for (uint32_t i = 0; i < n_peers; i++) {
		id += 1 + rnd(2);
		peers[m.n_peers++] = make_peer(id, rnd(2));
		for (uint32_t k = rnd(4); k > 0; k--)
			endpoints[m.n_endpoints++] = make_endpoint(id, (uint8_t)rnd(3), rnd(4));
		for (uint32_t k = n_rules ? rnd(5) : 0; k > 0; k--)
			grants[m.n_grants++] = (struct netmap_grant){
				.peer = id,
				.dir = (uint8_t)rnd(2),
				.svc = make_service(rnd(6)),
				.rule = rules[rnd(n_rules)].id,
				.expires_s = rnd(2) ? 1795435200 : 0,
				.lease_s = rnd(3) ? 0 : 300 + rnd(20),
			};
	}
	m.n_endpoints = sort_set(endpoints, m.n_endpoints, sizeof(*endpoints), compare_ranks);
	m.n_grants = sort_set(grants, m.n_grants, sizeof(*grants), netmap_grant_compare);
	m.n_rules = keep_named(rules, m.n_rules, grants, m.n_grants);
	m.n_conditions = random_conditions(&m, conditions);
	return m;
}

/* --- Equality, field by field, apart from the code under test --- */

static bool same_self(const struct netmap_self *x, const struct netmap_self *y)
{
	return x->id == y->id && x->mtu == y->mtu && key_equal(&x->wg_key, &y->wg_key) &&
	       addr_equal(&x->addr4, &y->addr4) && addr_equal(&x->addr6, &y->addr6) &&
	       prefix_equal(&x->net4, &y->net4) && prefix_equal(&x->net6, &y->net6) &&
	       strcmp(x->name, y->name) == 0;
}

static bool same_peer(const struct netmap_peer *x, const struct netmap_peer *y)
{
	return x->id == y->id && x->psk_epoch == y->psk_epoch &&
	       key_equal(&x->wg_key, &y->wg_key) && addr_equal(&x->addr4, &y->addr4) &&
	       addr_equal(&x->addr6, &y->addr6) && strcmp(x->name, y->name) == 0;
}

static bool same_endpoint(const struct netmap_endpoint *x, const struct netmap_endpoint *y)
{
	return x->peer == y->peer && x->rank == y->rank && endpoint_equal(&x->ep, &y->ep);
}

static bool same_grant(const struct netmap_grant *x, const struct netmap_grant *y)
{
	return x->peer == y->peer && x->dir == y->dir && x->svc.proto == y->svc.proto &&
	       x->svc.lo == y->svc.lo && x->svc.hi == y->svc.hi && x->rule == y->rule &&
	       x->expires_s == y->expires_s && x->lease_s == y->lease_s;
}

static bool same_rule(const struct netmap_rule *x, const struct netmap_rule *y)
{
	return x->id == y->id && strcmp(x->name, y->name) == 0;
}

static bool same_condition(const struct netmap_condition *x, const struct netmap_condition *y)
{
	return x->rule == y->rule && x->kind == y->kind && strcmp(x->name, y->name) == 0;
}

static void assert_netmap_equal(const struct netmap *x, const struct netmap *y)
{
	assert_int_equal(x->policy, y->policy);
	assert_true(same_self(&x->self, &y->self));
	assert_int_equal(x->n_peers, y->n_peers);
	for (size_t i = 0; i < x->n_peers; i++)
		assert_true(same_peer(&x->peers[i], &y->peers[i]));
	assert_int_equal(x->n_endpoints, y->n_endpoints);
	for (size_t i = 0; i < x->n_endpoints; i++)
		assert_true(same_endpoint(&x->endpoints[i], &y->endpoints[i]));
	assert_int_equal(x->n_grants, y->n_grants);
	for (size_t i = 0; i < x->n_grants; i++)
		assert_true(same_grant(&x->grants[i], &y->grants[i]));
	assert_int_equal(x->n_rules, y->n_rules);
	for (size_t i = 0; i < x->n_rules; i++)
		assert_true(same_rule(&x->rules[i], &y->rules[i]));
	assert_int_equal(x->n_conditions, y->n_conditions);
	for (size_t i = 0; i < x->n_conditions; i++)
		assert_true(same_condition(&x->conditions[i], &y->conditions[i]));
}

static struct netmap_head make_head(enum netmap_kind kind, uint32_t policy)
{
	return (struct netmap_head){
		.kind = (uint8_t)kind,
		.lease_s = 3600,
		.issued_ms = 1795435200000,
		.serial = 5,
		.policy = policy,
		.device = SELF_ID,
	};
}

/* --- The property --- */

/* old -> new by way of bytes; the bytes of the message are compared after a second encoding too. */
static void travel(const struct netmap *old, const struct netmap *new, struct arena *a,
		   struct netmap *ret)
{
	bool full = old->self.id == 0;
	struct netmap_msg msg, back;
	struct buf b, again;

	assert_int_equal(netmap_diff(old, new, a, &msg), 0);
	assert_int_equal(msg.n_sealed, 0);
	msg.head = make_head(full ? NETMAP_FULL : NETMAP_DELTA, new->policy);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	buf_init_grow(&again, ZT_NETMAP_MAX);
	assert_int_equal(netmap_encode(&msg, &b), 0);
	assert_int_equal(netmap_decode(b.data, b.len, a, &back), 0);
	assert_int_equal(netmap_encode(&back, &again), 0);
	assert_int_equal(b.len, again.len);
	assert_memory_equal(b.data, again.data, b.len);
	assert_int_equal(netmap_apply(old, &back, a, ret), 0);
	buf_free(&b);
	buf_free(&again);
}

static void a_difference_applied_to_the_old_map_is_the_new_map(void **state)
{
	static const struct netmap empty;

	(void)state;
	rng_state = 20261123;
	for (int round = 0; round < 4000; round++) {
		uint32_t max = round % 10 == 0 ? 150 : 8;
		struct netmap old, new, got;
		struct netmap_msg none;
		struct arena a;

		arena_init(&a, ARENA_MAX);
		old = random_netmap(&a, max);
		new = random_netmap(&a, max);
		travel(&empty, &old, &a, &got);
		assert_netmap_equal(&got, &old);
		travel(&got, &new, &a, &got);
		assert_netmap_equal(&got, &new);
		assert_int_equal(netmap_diff(&new, &got, &a, &none), 0);
		assert_true(netmap_msg_is_empty(&none));
		arena_done(&a);
	}
}

/* As many rules as there may be, and as many others: a device that comes under a canary. */
static struct netmap with_rules(const struct netmap *like, uint32_t first, struct arena *a)
{
	struct netmap_grant *g = arena_array(a, ZT_RULES_MAX, sizeof(*g));
	struct netmap_rule *r = arena_array(a, ZT_RULES_MAX, sizeof(*r));
	struct netmap m = *like;

	assert_true(g && r);
	for (uint32_t i = 0; i < ZT_RULES_MAX; i++) {
		g[i] = (struct netmap_grant){
			.peer = 2,
			.dir = NETMAP_OUT,
			.svc = {SERVICE_TCP, (uint16_t)(i + 1), (uint16_t)(i + 1)},
			.rule = first + i};
		r[i].id = first + i;
		snprintf(r[i].name, sizeof(r[i].name), "r%u", first + i);
	}
	m.grants = g;
	m.n_grants = ZT_RULES_MAX;
	m.rules = r;
	m.n_rules = ZT_RULES_MAX;
	return m;
}

static void all_rules_may_be_others_at_once(void **state)
{
	static struct netmap_peer peers[1];
	static const struct netmap empty;
	struct netmap like = {.policy = 1, .self = make_self(0), .peers = peers, .n_peers = 1};
	struct netmap old, new, got;
	struct arena a;

	(void)state;
	peers[0] = make_peer(2, 0);
	arena_init(&a, (size_t)64 << 20);
	old = with_rules(&like, 1, &a);
	new = with_rules(&like, 1 + ZT_RULES_MAX, &a);
	travel(&empty, &old, &a, &got);
	travel(&got, &new, &a, &got);
	assert_netmap_equal(&got, &new);
	arena_done(&a);
}

static void nothing_is_borrowed_from_the_old_map_or_the_message(void **state)
{
	struct arena a, result;
	struct netmap old, new, got, copy;
	struct netmap_msg msg;

	(void)state;
	rng_state = 7;
	arena_init(&a, ARENA_MAX);
	arena_init(&result, ARENA_MAX);
	old = random_netmap(&a, 20);
	new = random_netmap(&a, 20);
	assert_int_equal(netmap_diff(&old, &new, &a, &msg), 0);
	msg.head = make_head(NETMAP_DELTA, new.policy);
	assert_int_equal(netmap_apply(&old, &msg, &result, &got), 0);
	arena_done(&a);
	arena_init(&a, ARENA_MAX);
	rng_state = 7;
	random_netmap(&a, 20);
	copy = random_netmap(&a, 20);
	assert_netmap_equal(&got, &copy);
	arena_done(&a);
	arena_done(&result);
}

/* --- A small map to change by hand --- */

struct sample {
	struct netmap_peer peers[2];
	struct netmap_endpoint endpoints[2];
	struct netmap_grant grants[3];
	struct netmap_rule rules[2];
	uint8_t sealed[50];
	struct netmap map;
	struct netmap_msg full;
	struct arena arena;
};

static struct netmap_grant make_grant(uint32_t peer, enum netmap_direction dir, uint32_t service,
				      uint32_t rule)
{
	return (struct netmap_grant){
		.peer = peer, .dir = (uint8_t)dir, .svc = make_service(service), .rule = rule};
}

static int set_up(void **state)
{
	struct sample *s = calloc(1, sizeof(*s));
	static const struct netmap empty;

	assert_non_null(s);
	s->peers[0] = make_peer(2, 0);
	s->peers[1] = make_peer(3, 1);
	s->endpoints[0] = make_endpoint(2, 0, 0);
	s->endpoints[1] = make_endpoint(3, 0, 1);
	s->grants[0] = make_grant(2, NETMAP_OUT, 2, 1);
	s->grants[1] = make_grant(2, NETMAP_IN, 1, 2);
	s->grants[2] = make_grant(3, NETMAP_OUT, 0, 2);
	s->rules[0] = make_rule(1, 0);
	s->rules[1] = make_rule(2, 0);
	memset(s->sealed, 0x5e, sizeof(s->sealed));
	s->map = (struct netmap){.policy = 3,
				 .self = make_self(0),
				 .peers = s->peers,
				 .n_peers = 2,
				 .endpoints = s->endpoints,
				 .n_endpoints = 2,
				 .grants = s->grants,
				 .n_grants = 3,
				 .rules = s->rules,
				 .n_rules = 2};
	arena_init(&s->arena, ARENA_MAX);
	assert_int_equal(netmap_diff(&empty, &s->map, &s->arena, &s->full), 0);
	s->full.head = make_head(NETMAP_FULL, 3);
	s->full.sealed = s->sealed;
	s->full.n_sealed = sizeof(s->sealed);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct sample *s = *state;

	arena_done(&s->arena);
	free(s);
	return 0;
}

/* Where things are in the sample's full message: head, a table of seven sections, their records. */
enum {
	AT_TABLE = 32,
	AT_SELF = AT_TABLE + 7 * 8,
	AT_PEERS = AT_SELF + 144,
	AT_ENDPOINTS = AT_PEERS + 2 * 64,
	AT_GRANTS = AT_ENDPOINTS + 2 * 24,
	AT_RULES = AT_GRANTS + 3 * 16,
	AT_NAMES = AT_RULES + 2 * 8,
	AT_RULE_NAMES = AT_NAMES + 2 * 6,  /* peer-2, peer-3 */
	AT_SEALED = AT_RULE_NAMES + 2 * 8, /* rule_1.0, rule_2.0 */
	SAMPLE_SIZE = AT_SEALED + 50,
};

static void encode_sample(const struct sample *s, uint8_t out[static SAMPLE_SIZE])
{
	struct buf b;

	buf_init(&b, out, SAMPLE_SIZE);
	assert_int_equal(netmap_encode(&s->full, &b), 0);
	assert_int_equal(b.len, SAMPLE_SIZE);
}

static int decode(const void *p, size_t n)
{
	struct netmap_msg back = {.n_sealed = 77};
	struct arena a;
	int err;

	arena_init(&a, ARENA_MAX);
	err = netmap_decode(p, n, &a, &back);
	if (err)
		assert_int_equal(back.n_sealed, 77);
	arena_done(&a);
	return err;
}

static void the_bytes_are_those_of_the_documentation(void **state)
{
	static const uint8_t self_want[] = {
		1,    0,    0,	       0,    0x8c, 5,	     3,	  10,  1,   [40] = 100,
		64,   0,    1,	       0xfd, 0x12, [59] = 1, 100, 64,  0,   0,
		0xfd, 0x12, [80] = 16, 'l',  'a',  'p',	     't', 'o', 'p', [143] = 0};
	static const uint8_t peer_want[] = {3,	  0,	0,	  0,	    1,		0,  0, 0,
					    2,	  3,	0,	  1,	    [40] = 100, 65, 0, 3,
					    0xfd, 0x12, [56] = 1, [59] = 3, 3,		6,  0, 0};
	uint8_t bytes[SAMPLE_SIZE];

	encode_sample(*state, bytes);
	assert_memory_equal(bytes,
			    "\x01\x01\x07\0\x10\x0e\0\0\0\xfe\x46\x08\xa2\x01\0\0"
			    "\x05\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0",
			    32);
	assert_memory_equal(bytes + AT_TABLE,
			    "\x01\0\x90\0\x01\0\0\0"
			    "\x03\0\x40\0\x02\0\0\0"
			    "\x05\0\x18\0\x02\0\0\0"
			    "\x07\0\x10\0\x03\0\0\0"
			    "\x08\0\x08\0\x02\0\0\0"
			    "\x09\0\x01\0\x1c\0\0\0"
			    "\x0a\0\x01\0\x32\0\0\0",
			    56);
	assert_memory_equal(bytes + AT_SELF, self_want, sizeof(self_want));
	assert_memory_equal(bytes + AT_PEERS + 64, peer_want, sizeof(peer_want));
	assert_memory_equal(bytes + AT_ENDPOINTS,
			    "\x02\0\0\0\0\x04\x6c\xca\xc0\0\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0", 24);
	assert_memory_equal(bytes + AT_GRANTS, "\x02\0\0\0\x01\0\0\x06\x16\0\x16\0\0\0\0\0", 16);
	assert_memory_equal(bytes + AT_RULES, "\x01\0\0\0\x08\0\0\0", 8);
	assert_memory_equal(bytes + AT_NAMES, "peer-2peer-3rule_1.0rule_2.0", 28);
	assert_int_equal(bytes[AT_SEALED], 0x5e);
}

static void every_cut_or_lengthened_message_is_refused(void **state)
{
	uint8_t bytes[SAMPLE_SIZE + 1] = {0};

	encode_sample(*state, bytes);
	assert_int_equal(decode(bytes, SAMPLE_SIZE), 0);
	assert_int_equal(decode(bytes, SAMPLE_SIZE + 1), -ZT_EFORM);
	for (size_t n = 0; n < SAMPLE_SIZE; n++)
		assert_int_equal(decode(bytes, n), -ZT_EFORM);
}

static void wrong_bytes_are_refused(void **state)
{
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"version 0", 0, 0, -ZT_EFORM},
		{"version 2", 0, 2, -ZT_EVERSION},
		{"kind 0", 1, 0, -ZT_EFORM},
		{"kind 3", 1, 3, -ZT_EFORM},
		{"a section less than there are", 2, 6, -ZT_EFORM},
		{"a section more than there are", 2, 8, -ZT_EFORM},
		{"more sections than there are kinds", 2, 14, -ZT_EFORM},
		{"a lease longer than a day", 6, 2, -ZT_EFORM},
		{"issued after the year 9999", 15, 1, -ZT_EFORM},
		{"no serial", 16, 0, -ZT_EFORM},
		{"for device 0", 28, 0, -ZT_EFORM},
		{"for another device than self", 28, 2, -ZT_EFORM},
		{"section kind 0", AT_TABLE, 0, -ZT_EFORM},
		{"the same section twice", AT_TABLE + 8, 1, -ZT_EFORM},
		{"sections out of order", AT_TABLE + 16, 9, -ZT_EFORM},
		{"an unknown section", AT_TABLE + 48, 14, -ZT_EFORM},
		{"peers taken from a full map", AT_TABLE + 8, 2, -ZT_EFORM},
		{"another record size", AT_TABLE + 10, 0x41, -ZT_EFORM},
		{"an empty section", AT_TABLE + 12, 0, -ZT_EFORM},
		{"two selves", AT_TABLE + 4, 2, -ZT_ELIMIT},
		{"more peers than there may be", AT_TABLE + 14, 1, -ZT_ELIMIT},
		{"more grants than there may be", AT_TABLE + 30, 1, -ZT_ELIMIT},
		{"more rules than there may be", AT_TABLE + 38, 1, -ZT_ELIMIT},
		{"more names than there may be", AT_TABLE + 47, 1, -ZT_ELIMIT},
		{"a greater box than there may be", AT_TABLE + 54, 6, -ZT_ELIMIT},
		{"self of id 0", AT_SELF, 0, -ZT_EFORM},
		{"an MTU too small for IPv6", AT_SELF + 5, 4, -ZT_EFORM},
		{"self without a family", AT_SELF + 6, 0, -ZT_EFORM},
		{"a family that there is not", AT_SELF + 6, 7, -ZT_EFORM},
		{"no IPv6, but bytes of it", AT_SELF + 6, 1, -ZT_EFORM},
		{"an overlay that is too wide", AT_SELF + 7, 7, -ZT_EFORM},
		{"an overlay with host bits", AT_SELF + 7, 9, -ZT_EFORM},
		{"an overlay longer than an address", AT_SELF + 7, 33, -ZT_EFORM},
		{"self without a key", AT_SELF + 8, 0, -ZT_EFORM},
		{"self outside the overlay", AT_SELF + 41, 128, -ZT_EFORM},
		{"self outside the IPv6 overlay", AT_SELF + 45, 0x13, -ZT_EFORM},
		{"an IPv6 overlay that is too wide", AT_SELF + 80, 7, -ZT_EFORM},
		{"a name with a capital", AT_SELF + 81, 'L', -ZT_EFORM},
		{"no name", AT_SELF + 81, 0, -ZT_EFORM},
		{"a dash at a name's end", AT_SELF + 86, '-', -ZT_EFORM},
		{"a peer of id 0", AT_PEERS, 0, -ZT_EFORM},
		{"the same peer twice", AT_PEERS + 64, 2, -ZT_EFORM},
		{"peers out of order", AT_PEERS, 4, -ZT_EFORM},
		{"a peer without addresses", AT_PEERS + 60, 0, -ZT_EFORM},
		{"a peer's address that its families deny", AT_PEERS + 60, 2, -ZT_EFORM},
		{"a peer's IPv6 address that its families deny", AT_PEERS + 64 + 60, 1, -ZT_EFORM},
		{"a peer without a name", AT_PEERS + 61, 0, -ZT_EFORM},
		{"a peer's name that is too long", AT_PEERS + 61, 64, -ZT_EFORM},
		{"a peer's name longer than the names", AT_PEERS + 61, 63, -ZT_EFORM},
		{"names longer than they are said to be", AT_PEERS + 61, 5, -ZT_EFORM},
		{"a peer's zero that is none", AT_PEERS + 62, 1, -ZT_EFORM},
		{"a peer's other zero that is none", AT_PEERS + 63, 1, -ZT_EFORM},
		{"a peer's name with an escape", AT_NAMES + 2, 0x1b, -ZT_EFORM},
		{"a peer's name with an end in it", AT_NAMES + 2, 0, -ZT_EFORM},
		{"a peer outside the overlay", AT_PEERS + 41, 128, -ZT_EFORM},
		{"a peer outside the IPv6 overlay", AT_PEERS + 64 + 45, 0x13, -ZT_EFORM},
		{"an endpoint of peer 0", AT_ENDPOINTS, 0, -ZT_EFORM},
		{"an endpoint of no family", AT_ENDPOINTS + 5, 5, -ZT_EFORM},
		{"an endpoint without family", AT_ENDPOINTS + 5, 0, -ZT_EFORM},
		{"an endpoint on loopback", AT_ENDPOINTS + 8, 127, -ZT_EFORM},
		{"an endpoint by multicast", AT_ENDPOINTS + 8, 224, -ZT_EFORM},
		{"an IPv4 endpoint with more than four bytes", AT_ENDPOINTS + 12, 1, -ZT_EFORM},
		{"endpoints out of order", AT_ENDPOINTS + 24, 1, -ZT_EFORM},
		{"two endpoints of one rank", AT_ENDPOINTS + 24, 2, -ZT_EFORM},
		{"a grant for peer 0", AT_GRANTS, 0, -ZT_EFORM},
		{"a grant of rule 0", AT_GRANTS + 4, 0, -ZT_EFORM},
		{"a class of lease that there is not", AT_GRANTS + 6, 2, -ZT_EFORM},
		{"a protocol that there is not", AT_GRANTS + 7, 7, -ZT_EFORM},
		{"ANY with ports", AT_GRANTS + 7, 0, -ZT_EFORM},
		{"ICMP with ports", AT_GRANTS + 7, 1, -ZT_EFORM},
		{"port 0", AT_GRANTS + 8, 0, -ZT_EFORM},
		{"ports in the wrong order", AT_GRANTS + 8, 23, -ZT_EFORM},
		{"ANY with a last port", AT_GRANTS + 2 * 16 + 10, 1, -ZT_EFORM},
		{"ANY with a first port", AT_GRANTS + 2 * 16 + 8, 1, -ZT_EFORM},
		{"grants out of order", AT_GRANTS, 3, -ZT_EFORM},
		{"rule 0", AT_RULES, 0, -ZT_EFORM},
		{"a rule beyond those that grants can name", AT_RULES + 8 + 2, 1, -ZT_EFORM},
		{"the same rule twice", AT_RULES + 8, 1, -ZT_EFORM},
		{"a rule's name with a space", AT_RULE_NAMES + 4, ' ', -ZT_EFORM},
		{"a rule without a name", AT_RULES + 4, 0, -ZT_EFORM},
		{"a rule's zero that is none", AT_RULES + 5, 1, -ZT_EFORM},
		{"a rule's last zero that is none", AT_RULES + 7, 1, -ZT_EFORM},
	};
	uint8_t bytes[SAMPLE_SIZE];

	encode_sample(*state, bytes);
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t was = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		row_check(rows[i].says, decode(bytes, SAMPLE_SIZE) == rows[i].err);
		bytes[rows[i].at] = was;
	}
	assert_int_equal(decode(bytes, SAMPLE_SIZE), 0);
}

/* A full message of nothing but self. */
static int decode_self(const struct netmap_self *self)
{
	struct netmap_msg m = {.head = make_head(NETMAP_FULL, 1), .has_self = true, .self = *self};
	uint8_t bytes[200];
	struct buf b;

	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(netmap_encode(&m, &b), 0);
	return decode(bytes, b.len);
}

static void a_network_has_one_family_or_two(void **state)
{
	const struct prefix none = {0};
	struct netmap_self only4 = make_self(0), only6 = only4, odd;

	(void)state;
	only4.addr6 = (struct addr){0};
	only4.net6 = none;
	only4.mtu = 576;
	assert_int_equal(decode_self(&only4), 0);
	only6.addr4 = (struct addr){0};
	only6.net4 = none;
	only6.mtu = 1280;
	assert_int_equal(decode_self(&only6), 0);
	odd = only4;
	odd.mtu = 575;
	assert_int_equal(decode_self(&odd), -ZT_EFORM);
	odd = only6;
	odd.mtu = 1279;
	assert_int_equal(decode_self(&odd), -ZT_EFORM);
	odd = only4;
	odd.net6.bits = 16;
	assert_int_equal(decode_self(&odd), -ZT_EFORM);
	odd = only6;
	odd.net4.bits = 10;
	assert_int_equal(decode_self(&odd), -ZT_EFORM);
}

static void an_overlay_is_no_wider_than_eight_bits(void **state)
{
	struct netmap_self s = make_self(0);

	(void)state;
	s.net4 = (struct prefix){.addr = {ADDR_V4, {100}}, .bits = 8};
	s.net6 = (struct prefix){.addr = {ADDR_V6, {0xfc}}, .bits = 8};
	s.addr6.b[0] = 0xfc;
	assert_int_equal(decode_self(&s), 0);
	s.net4.bits = 7;
	assert_int_equal(decode_self(&s), -ZT_EFORM);
	s.net4.bits = 33;
	assert_int_equal(decode_self(&s), -ZT_EFORM);
	s.net4 = (struct prefix){.addr = {ADDR_V4, {0}}, .bits = 0}; /* all of the underlay */
	assert_int_equal(decode_self(&s), -ZT_EFORM);
	s = make_self(0);
	s.net6 = (struct prefix){.addr = {ADDR_V6, {0xfc}}, .bits = 7};
	assert_int_equal(decode_self(&s), -ZT_EFORM);
	s.net6 = (struct prefix){.addr = {ADDR_V6, {0}}, .bits = 0};
	assert_int_equal(decode_self(&s), -ZT_EFORM);
}

/* Signed or not: loopback and the clouds' metadata are never routed into a tunnel, and no peer
 * speaks for them. */
static void an_overlay_address_is_one_of_a_host(void **state)
{
	static const struct {
		const char *says;
		struct prefix net;
		struct addr self, peer; /* in net */
		int err, peer_err;
	} rows[] = {
		{"ordinary ones",
		 {{ADDR_V4, {169, 254}}, 17},
		 {ADDR_V4, {169, 254, 3, 4}},
		 {ADDR_V4, {169, 254, 3, 5}},
		 0,
		 0},
		{"loopback",
		 {{ADDR_V4, {127}}, 8},
		 {ADDR_V4, {127, 0, 0, 1}},
		 {ADDR_V4, {127, 0, 0, 2}},
		 -ZT_EFORM,
		 -ZT_EFORM},
		{"cloud metadata as the address",
		 {{ADDR_V4, {169, 254}}, 16},
		 {ADDR_V4, {169, 254, 169, 254}},
		 {ADDR_V4, {169, 254, 169, 254}},
		 -ZT_EFORM,
		 -ZT_EFORM},
		{"cloud metadata beside the address",
		 {{ADDR_V4, {169, 254}}, 16},
		 {ADDR_V4, {169, 254, 1, 1}},
		 {ADDR_V4, {169, 254, 1, 2}},
		 -ZT_EFORM,
		 0},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct netmap_self s = make_self(0);
		struct netmap_peer peer = make_peer(2, 0);
		struct netmap_msg m = {
			.head = make_head(NETMAP_DELTA, 1), .peers_put = &peer, .n_peers_put = 1};
		uint8_t bytes[200];
		struct buf b;

		s.net4 = rows[i].net;
		s.addr4 = rows[i].self;
		row_check(rows[i].says, decode_self(&s) == rows[i].err);
		peer.addr4 = rows[i].peer;
		buf_init(&b, bytes, sizeof(bytes));
		row_check(rows[i].says, netmap_encode(&m, &b) == 0);
		row_check(rows[i].says, decode(bytes, b.len) == rows[i].peer_err);
	}
}

static void an_ipv6_overlay_has_no_cloud_metadata(void **state)
{
	struct netmap_self s = make_self(0);

	(void)state;
	s.net6 = (struct prefix){{ADDR_V6, {0xfd, 0, 0x0e, 0xc2}}, 64};
	s.addr6 = (struct addr){ADDR_V6, {0xfd, 0, 0x0e, 0xc2, [15] = 1}};
	assert_int_equal(decode_self(&s), -ZT_EFORM);
	s.net6.addr.b[3] = s.addr6.b[3] = 0xc3;
	assert_int_equal(decode_self(&s), 0);
}

static void leases_have_a_range(void **state)
{
	static const struct {
		uint32_t lease_s;
		int err;
	} rows[] = {{ZT_LEASE_MIN_S - 1, -ZT_EFORM},
		    {ZT_LEASE_MIN_S, 0},
		    {ZT_LEASE_MAX_S, 0},
		    {ZT_LEASE_MAX_S + 1, -ZT_EFORM}};
	uint8_t bytes[SAMPLE_SIZE];

	encode_sample(*state, bytes);
	for (size_t i = 0; i < N_OF(rows); i++) {
		for (size_t k = 0; k < 4; k++)
			bytes[4 + k] = (uint8_t)(rows[i].lease_s >> (8 * k));
		assert_int_equal(decode(bytes, SAMPLE_SIZE), rows[i].err);
	}
}

/* The sample with two leases of its grants, at the end of its bytes: 300 and 86400. */
enum { LEASED_SIZE = SAMPLE_SIZE + 8 + 2 * 4, AT_LEASES = LEASED_SIZE - 2 * 4 };

static void encode_leased(struct sample *s, uint8_t out[static LEASED_SIZE])
{
	struct buf b;

	s->grants[0].lease_s = ZT_LEASE_MAX_S;
	s->grants[2].lease_s = 300;
	s->full.grants_put = s->grants;
	buf_init(&b, out, LEASED_SIZE);
	assert_int_equal(netmap_encode(&s->full, &b), 0);
	assert_int_equal(b.len, LEASED_SIZE);
}

static void leases_of_grants_are_classes(void **state)
{
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"a class behind the last", AT_GRANTS + 8 + 6, 6, -ZT_EFORM},
		{"another class", AT_GRANTS + 8 + 6, 2, -ZT_EFORM},
		{"a lease that no grant has", AT_GRANTS + 8 + 6, 0, -ZT_EFORM},
		{"a lease that no grant has any more", AT_GRANTS + 8 + 32 + 6, 4, -ZT_EFORM},
		{"leases out of order", AT_LEASES + 2, 2, -ZT_EFORM},
		{"a lease longer than a day", AT_LEASES + 4, 0x81, -ZT_EFORM},
		{"another size of a lease", AT_TABLE + 7 * 8 + 2, 8, -ZT_EFORM},
		{"no lease", AT_TABLE + 7 * 8 + 4, 0, -ZT_EFORM},
		{"more leases than there may be", AT_TABLE + 7 * 8 + 4, 128, -ZT_ELIMIT},
	};
	struct sample *s = *state;
	uint8_t bytes[LEASED_SIZE];
	struct netmap_msg back;

	encode_leased(s, bytes);
	assert_memory_equal(bytes + AT_TABLE + 7 * 8, "\x0d\0\x04\0\x02\0\0\0", 8);
	assert_memory_equal(bytes + AT_GRANTS + 8, "\x02\0\0\0\x01\0\x04\x06", 8);
	assert_memory_equal(bytes + AT_GRANTS + 8 + 16, "\x02\0\0\0\x02\0\x01\x01", 8);
	assert_memory_equal(bytes + AT_GRANTS + 8 + 32, "\x03\0\0\0\x02\0\x02\0", 8);
	assert_memory_equal(bytes + AT_LEASES, "\x2c\x01\0\0\x80\x51\x01\0", 8);
	assert_int_equal(netmap_decode(bytes, LEASED_SIZE, &s->arena, &back), 0);
	for (size_t i = 0; i < 3; i++)
		assert_true(same_grant(&back.grants_put[i], &s->grants[i]));
	bytes[4] = 0x2c; /* the head's lease is 300 s as well */
	bytes[5] = 1;
	assert_int_equal(decode(bytes, LEASED_SIZE), -ZT_EFORM);
	bytes[4] = 0x10;
	bytes[5] = 0x0e;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t was = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		row_check(rows[i].says, decode(bytes, LEASED_SIZE) == rows[i].err);
		bytes[rows[i].at] = was;
	}
	for (size_t n = 0; n < LEASED_SIZE; n++)
		assert_int_equal(decode(bytes, n), -ZT_EFORM);
	memcpy(bytes + AT_LEASES, "\x04\0\0\0", 4); /* too short */
	assert_int_equal(decode(bytes, LEASED_SIZE), -ZT_EFORM);
	memcpy(bytes + AT_LEASES, bytes + AT_LEASES + 4, 4); /* twice the same */
	assert_int_equal(decode(bytes, LEASED_SIZE), -ZT_EFORM);
}

static void the_encoder_refuses_wrong_leases(void **state)
{
	static const struct {
		uint32_t lease_s;
		int err;
	} rows[] = {{ZT_LEASE_MIN_S - 1, -ZT_EFORM},
		    {ZT_LEASE_MIN_S, 0},
		    {3599, 0},
		    {3600, -ZT_EFORM}, /* the head's */
		    {ZT_LEASE_MAX_S + 1, -ZT_EFORM}};
	struct sample *s = *state;
	struct netmap_msg m = {
		.head = make_head(NETMAP_DELTA, 1), .grants_put = s->grants, .n_grants_put = 3};
	struct netmap got;
	struct buf b;

	buf_init_grow(&b, ZT_NETMAP_MAX);
	for (size_t i = 0; i < N_OF(rows); i++) {
		s->grants[1].lease_s = rows[i].lease_s;
		assert_int_equal(netmap_encode(&m, &b), rows[i].err);
	}
	/* What goes may have had it when the head had another. */
	s->grants[1].lease_s = 3600;
	m.grants_del = m.grants_put;
	m.n_grants_del = 3;
	m.n_grants_put = 0;
	buf_reset(&b);
	assert_int_equal(netmap_encode(&m, &b), 0);
	assert_int_equal(decode(b.data, b.len), 0);
	/* A map in which it stays does not hold together. */
	m = (struct netmap_msg){.head = make_head(NETMAP_DELTA, 1)};
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), -ZT_EFORM);
	m.head.lease_s = 60;
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	buf_free(&b);
}

/* Sixty-three different leases in a netmap, and all of them others in the next one. */
static void a_netmap_has_so_many_leases(void **state)
{
	static struct netmap_grant before[NETMAP_LEASES_MAX + 1], after[NETMAP_LEASES_MAX + 1];
	static const struct netmap empty;
	struct sample *s = *state;
	struct netmap old = s->map, new = s->map, got;
	struct netmap_msg msg;

	for (uint32_t i = 0; i <= NETMAP_LEASES_MAX; i++) {
		before[i] = (struct netmap_grant){.peer = 2,
						  .svc = {SERVICE_TCP, (uint16_t)(i + 1), 99},
						  .rule = 1,
						  .lease_s = 5 + i};
		after[i] = before[i];
		after[i].lease_s = 1000 + i;
	}
	old.grants = before;
	new.grants = after;
	old.n_grants = new.n_grants = NETMAP_LEASES_MAX;
	old.n_rules = new.n_rules = 1;
	travel(&empty, &old, &s->arena, &got);
	travel(&got, &new, &s->arena, &got);
	assert_netmap_equal(&got, &new);
	new.n_grants++;
	assert_int_equal(netmap_diff(&got, &new, &s->arena, &msg), -ZT_ELIMIT);
	msg = (struct netmap_msg){.head = make_head(NETMAP_DELTA, 1),
				  .grants_put = &after[NETMAP_LEASES_MAX],
				  .n_grants_put = 1};
	assert_int_equal(netmap_apply(&got, &msg, &s->arena, &got), -ZT_ELIMIT);
}

static void a_full_map_has_a_self_and_takes_nothing_away(void **state)
{
	struct sample *s = *state;
	uint8_t bytes[2 * SAMPLE_SIZE];
	const uint32_t id = 2;
	struct netmap got;
	struct buf b;

	buf_init(&b, bytes, sizeof(bytes));
	s->full.has_self = false;
	assert_int_equal(netmap_encode(&s->full, &b), -ZT_EFORM);
	assert_int_equal(netmap_apply(&s->map, &s->full, &s->arena, &got), -ZT_EFORM);
	/* The same bytes as a delta are well formed. */
	s->full.head.kind = NETMAP_DELTA;
	assert_int_equal(netmap_encode(&s->full, &b), 0);
	assert_int_equal(decode(bytes, b.len), 0);
	bytes[1] = NETMAP_FULL;
	assert_int_equal(decode(bytes, b.len), -ZT_EFORM);
	s->full.has_self = true;
	s->full.head.kind = NETMAP_FULL;
	s->full.peers_del = &id;
	s->full.n_peers_del = 1;
	buf_reset(&b);
	assert_int_equal(netmap_encode(&s->full, &b), -ZT_EFORM);
}

static void limits_are_checked_before_memory_is_taken(void **state)
{
	uint8_t bytes[SAMPLE_SIZE];
	struct netmap_msg back;
	struct arena a;

	encode_sample(*state, bytes);
	arena_init(&a, 0);
	bytes[AT_TABLE + 14] = 1;
	assert_int_equal(netmap_decode(bytes, sizeof(bytes), &a, &back), -ZT_ELIMIT);
	bytes[AT_TABLE + 14] = 0;
	bytes[AT_TABLE + 13] = 1;
	assert_int_equal(netmap_decode(bytes, sizeof(bytes), &a, &back), -ZT_EFORM);
	bytes[AT_TABLE + 13] = 0;
	assert_int_equal(netmap_decode(bytes, sizeof(bytes), &a, &back), -ENOMEM);
	assert_int_equal(netmap_decode(bytes, ZT_NETMAP_MAX + 1, &a, &back), -ZT_ELIMIT);
	arena_done(&a);
}

static void the_encoder_refuses_what_is_out_of_order_or_too_much(void **state)
{
	struct sample *s = *state;
	struct netmap_msg m = s->full;
	struct buf b;

	buf_init_grow(&b, ZT_NETMAP_MAX);
	m.peers_put = (struct netmap_peer[]){s->peers[1], s->peers[0]};
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	m.peers_put = (struct netmap_peer[]){s->peers[0], s->peers[0]};
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	m = s->full;
	m.n_peers_put = ZT_PEERS_MAX + 1;
	assert_int_equal(netmap_encode(&m, &b), -ZT_ELIMIT);
	m = s->full;
	m.head.lease_s = 1;
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* --- What a well-formed message may still not do --- */

static int apply_delta(struct sample *s, struct netmap_msg *m)
{
	struct netmap got = {.policy = 77};
	int err;

	m->head = make_head(NETMAP_DELTA, 4);
	err = netmap_apply(&s->map, m, &s->arena, &got);
	assert_int_equal(got.policy, err ? 77 : 4);
	return err;
}

static void what_is_not_there_cannot_be_taken_away(void **state)
{
	struct netmap_endpoint endpoint = make_endpoint(2, 1, 0);
	struct netmap_grant grant = make_grant(2, NETMAP_OUT, 3, 1);
	const uint32_t id = 9;
	struct netmap_msg rows[] = {
		{.peers_del = &id, .n_peers_del = 1},
		{.endpoints_del = &endpoint, .n_endpoints_del = 1},
		{.grants_del = &grant, .n_grants_del = 1},
	};

	for (size_t i = 0; i < N_OF(rows); i++)
		assert_int_equal(apply_delta(*state, &rows[i]), -ZT_ECHAIN);
}

static void a_grant_that_is_there_cannot_come_again(void **state)
{
	struct sample *s = *state;
	struct netmap_msg grant = {.grants_put = s->grants, .n_grants_put = 1};

	assert_int_equal(apply_delta(s, &grant), -ZT_ECHAIN);
}

static void an_endpoint_replaces_the_one_of_its_rank(void **state)
{
	struct sample *s = *state;
	struct netmap_endpoint other = make_endpoint(2, 0, 3), wrong = make_endpoint(2, 0, 2);
	struct netmap_msg m = {
		.head = make_head(NETMAP_DELTA, 4), .endpoints_put = &other, .n_endpoints_put = 1};
	struct netmap_msg del = {.endpoints_del = &wrong, .n_endpoints_del = 1};
	struct netmap got;

	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_endpoints, 2);
	assert_true(same_endpoint(&got.endpoints[0], &other));
	/* One that is taken away is named whole. */
	assert_int_equal(apply_delta(s, &del), -ZT_ECHAIN);
	del.endpoints_del = s->endpoints;
	assert_int_equal(apply_delta(s, &del), 0);
}

static void peers_and_rules_are_replaced_by_id(void **state)
{
	struct sample *s = *state;
	struct netmap_peer peer = make_peer(2, 5);
	struct netmap_rule rule = make_rule(1, 5);
	struct netmap_msg m = {.head = make_head(NETMAP_DELTA, 4),
			       .peers_put = &peer,
			       .n_peers_put = 1,
			       .rules_put = &rule,
			       .n_rules_put = 1};
	struct netmap got;

	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_peers, 2);
	assert_true(same_peer(netmap_find_peer(&got, 2), &peer));
	assert_string_equal(netmap_rule_name(&got, 1), "rule_1.5");
	assert_string_equal(netmap_rule_name(&got, 2), "rule_2.0");
}

static void the_same_thing_cannot_go_and_come_in_one_message(void **state)
{
	struct sample *s = *state;
	const uint32_t id = 2;
	struct netmap_msg peer = {
		.peers_del = &id, .n_peers_del = 1, .peers_put = s->peers, .n_peers_put = 1};
	struct netmap_msg grant = {.grants_del = s->grants,
				   .n_grants_del = 1,
				   .grants_put = s->grants,
				   .n_grants_put = 1};

	assert_int_equal(apply_delta(s, &peer), -ZT_EFORM);
	assert_int_equal(apply_delta(s, &grant), -ZT_EFORM);
}

static void with_a_peer_goes_all_that_names_it(void **state)
{
	struct sample *s = *state;
	const uint32_t id = 2;
	struct netmap_msg m = {
		.head = make_head(NETMAP_DELTA, 4), .peers_del = &id, .n_peers_del = 1};
	struct netmap got;

	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_peers, 1);
	assert_int_equal(got.n_endpoints, 1);
	assert_int_equal(got.endpoints[0].peer, 3);
	assert_int_equal(got.n_grants, 1);
	assert_int_equal(got.grants[0].peer, 3);
	/* Rule 1 had its only grant there. */
	assert_int_equal(got.n_rules, 1);
	assert_int_equal(got.rules[0].id, 2);
	/* What goes by itself cannot be taken away besides. */
	m.grants_del = &s->grants[0];
	m.n_grants_del = 1;
	assert_int_equal(apply_delta(s, &m), -ZT_ECHAIN);
	/* And nothing new may name it. */
	m.grants_del = NULL;
	m.n_grants_del = 0;
	m.endpoints_put = s->endpoints;
	m.n_endpoints_put = 1;
	assert_int_equal(apply_delta(s, &m), -ZT_EFORM);
}

static void a_rule_goes_with_its_last_grant(void **state)
{
	struct sample *s = *state;
	struct netmap_msg m = {.head = make_head(NETMAP_DELTA, 4), .n_grants_del = 1};
	struct netmap got;

	m.grants_del = &s->grants[2]; /* rule 2 has another */
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_rules, 2);
	m.grants_del = &s->grants[0];
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_rules, 1);
	assert_int_equal(got.rules[0].id, 2);
}

static void endpoints_and_grants_name_peers_and_rules_that_are_there(void **state)
{
	struct netmap_endpoint endpoint = make_endpoint(9, 0, 0);
	struct netmap_grant no_peer = make_grant(9, NETMAP_OUT, 2, 1);
	struct netmap_grant no_rule = make_grant(2, NETMAP_OUT, 3, 9);
	struct netmap_msg rows[] = {
		{.endpoints_put = &endpoint, .n_endpoints_put = 1},
		{.grants_put = &no_peer, .n_grants_put = 1},
		{.grants_put = &no_rule, .n_grants_put = 1},
	};

	for (size_t i = 0; i < N_OF(rows); i++)
		assert_int_equal(apply_delta(*state, &rows[i]), -ZT_EFORM);
}

static void a_peer_has_at_most_eight_endpoints(void **state)
{
	struct netmap_endpoint many[ZT_ENDPOINTS_PEER_MAX];
	struct netmap_msg m = {.endpoints_put = many};

	for (uint8_t i = 0; i < ZT_ENDPOINTS_PEER_MAX; i++)
		many[i] = make_endpoint(2, (uint8_t)(i + 1), i);
	m.n_endpoints_put = ZT_ENDPOINTS_PEER_MAX - 1;
	assert_int_equal(apply_delta(*state, &m), 0);
	m.n_endpoints_put = ZT_ENDPOINTS_PEER_MAX;
	assert_int_equal(apply_delta(*state, &m), -ZT_ELIMIT);
}

static void an_endpoint_is_never_inside_the_overlay(void **state)
{
	struct netmap_endpoint inside4 = make_endpoint(2, 1, 0), inside6 = inside4;
	struct netmap_msg m = {.n_endpoints_put = 1};
	struct sample *s = *state;
	uint8_t bytes[SAMPLE_SIZE];

	inside4.ep.addr = overlay4(77, 0);
	inside6.ep.addr = overlay6(77, 0);
	m.endpoints_put = &inside4;
	assert_int_equal(apply_delta(s, &m), -ZT_EFORM);
	m.endpoints_put = &inside6;
	assert_int_equal(apply_delta(s, &m), -ZT_EFORM);
	/* In a message that brings self it is seen when decoding. */
	encode_sample(s, bytes);
	bytes[AT_ENDPOINTS + 8] = 100;
	bytes[AT_ENDPOINTS + 9] = 64;
	assert_int_equal(decode(bytes, sizeof(bytes)), -ZT_EFORM);
}

/* One change to a new peer of id 4 that would otherwise be fine. */
static int put_peer(struct sample *s, void (*change)(struct netmap_peer *))
{
	struct netmap_peer peer = make_peer(4, 1);
	struct netmap_msg m = {.peers_put = &peer, .n_peers_put = 1};

	change(&peer);
	return apply_delta(s, &m);
}

static void change_nothing(struct netmap_peer *p)
{
	(void)p;
}
static void take_addr4_of_peer(struct netmap_peer *p)
{
	p->addr4 = make_peer(2, 0).addr4;
}
static void take_addr6_of_peer(struct netmap_peer *p)
{
	p->addr6 = make_peer(3, 1).addr6;
}
static void take_addr4_of_self(struct netmap_peer *p)
{
	p->addr4 = make_self(0).addr4;
}
static void take_addr6_of_self(struct netmap_peer *p)
{
	p->addr6 = make_self(0).addr6;
}
static void take_key_of_peer(struct netmap_peer *p)
{
	p->wg_key = make_peer(3, 1).wg_key;
}
static void take_key_of_self(struct netmap_peer *p)
{
	p->wg_key = make_self(0).wg_key;
}
static void take_id_of_self(struct netmap_peer *p)
{
	p->id = SELF_ID;
}
static void leave_net4(struct netmap_peer *p)
{
	p->addr4.b[0] = 10;
}
static void leave_net6(struct netmap_peer *p)
{
	p->addr6.b[1] = 0x13;
}
static void have_no_address(struct netmap_peer *p)
{
	p->addr4 = p->addr6 = (struct addr){0};
}

static void no_two_devices_are_one_to_the_kernel(void **state)
{
	static const struct {
		const char *says;
		void (*change)(struct netmap_peer *);
		int err;
	} rows[] = {
		{"a peer like others", change_nothing, 0},
		{"with another peer's address", take_addr4_of_peer, -ZT_EFORM},
		{"with another peer's IPv6 address", take_addr6_of_peer, -ZT_EFORM},
		{"with this device's address", take_addr4_of_self, -ZT_EFORM},
		{"with this device's IPv6 address", take_addr6_of_self, -ZT_EFORM},
		{"with another peer's key", take_key_of_peer, -ZT_EFORM},
		{"with this device's key", take_key_of_self, -ZT_EFORM},
		{"with this device's id", take_id_of_self, -ZT_EFORM},
		{"outside the overlay", leave_net4, -ZT_EFORM},
		{"outside the IPv6 overlay", leave_net6, -ZT_EFORM},
		{"without an address", have_no_address, -ZT_EFORM},
	};

	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, put_peer(*state, rows[i].change) == rows[i].err);
}

static void a_new_self_must_fit_the_peers_that_stay(void **state)
{
	struct sample *s = *state;
	struct netmap_msg m = {.has_self = true, .self = make_self(1)};

	assert_int_equal(apply_delta(s, &m), 0);
	m.self.net4 = (struct prefix){.addr = {ADDR_V4, {10}}, .bits = 8};
	m.self.addr4 = (struct addr){ADDR_V4, {10, 0, 0, 1}};
	assert_int_equal(apply_delta(s, &m), -ZT_EFORM);
	m.self = make_self(1);
	m.self.wg_key = s->peers[0].wg_key;
	assert_int_equal(apply_delta(s, &m), -ZT_EFORM);
}

static void a_message_is_for_one_device_that_has_a_map(void **state)
{
	static const struct netmap empty;
	struct sample *s = *state;
	struct netmap_msg m = {.head = make_head(NETMAP_DELTA, 4)};
	struct netmap got;

	assert_int_equal(netmap_apply(&empty, &m, &s->arena, &got), -ZT_ECHAIN);
	m.head.device = 2;
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), -ZT_EDEVICE);
	m = s->full;
	m.head.device = 2;
	assert_int_equal(netmap_apply(&empty, &m, &s->arena, &got), -ZT_EDEVICE);
}

static void a_full_map_forgets_the_old_one(void **state)
{
	struct sample *s = *state;
	struct netmap_msg m = {
		.head = make_head(NETMAP_FULL, 9), .has_self = true, .self = make_self(1)};
	struct netmap got;

	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_peers + got.n_endpoints + got.n_grants + got.n_rules, 0);
	assert_int_equal(got.policy, 9);
	assert_true(same_self(&got.self, &m.self));
}

static void too_little_memory_changes_nothing(void **state)
{
	struct sample *s = *state;
	struct netmap got = {.policy = 77};
	struct netmap_msg msg = {.n_sealed = 77};
	static const struct netmap empty;

	for (size_t max = 0; max < 2000; max += 8) {
		struct arena a;
		int err;

		arena_init(&a, max);
		err = netmap_apply(&empty, &s->full, &a, &got);
		assert_true(err == 0 || (err == -ENOMEM && got.policy == 77));
		got.policy = 77;
		arena_done(&a);
	}
	for (size_t max = 0; max < 1000; max += 8) {
		struct arena a;
		int err;

		arena_init(&a, max);
		err = netmap_diff(&empty, &s->map, &a, &msg);
		assert_true(err == 0 || (err == -ENOMEM && msg.n_sealed == 77));
		if (err == 0)
			assert_int_equal(msg.n_peers_put + msg.n_endpoints_put + msg.n_grants_put +
						 msg.n_rules_put,
					 9);
		msg.n_sealed = 77;
		arena_done(&a);
	}
}

/* One field of self is another. */
static bool self_differs(const struct netmap_self *self)
{
	struct netmap old = {.self = make_self(0)}, new = {.self = *self};
	struct netmap_msg m;
	struct arena a;

	arena_init(&a, 1000);
	assert_int_equal(netmap_diff(&old, &new, &a, &m), 0);
	arena_done(&a);
	assert_true(!m.has_self || same_self(&m.self, self));
	return m.has_self;
}

static void every_field_of_self_counts(void **state)
{
	const struct netmap_self same = make_self(0);
	struct netmap_self rows[] = {same, same, same, same, same, same, same, same};

	(void)state;
	rows[0].id++;
	rows[1].wg_key.b[31]++;
	rows[2].addr4.b[3]++;
	rows[3].addr6.b[15]++;
	rows[4].net4.bits++;
	rows[5].net6.bits++;
	rows[6].mtu++;
	rows[7].name[5] = 'q';
	assert_false(self_differs(&same));
	for (size_t i = 0; i < N_OF(rows); i++)
		assert_true(self_differs(&rows[i]));
}

static void a_netmap_as_large_as_may_be_travels(void **state)
{
	static const struct netmap empty;
	struct netmap_peer *peers = calloc(ZT_PEERS_MAX + 1, sizeof(*peers));
	struct netmap_grant *grants = calloc(ZT_GRANTS_MAX + 1, sizeof(*grants));
	struct netmap_rule *rules = calloc(ZT_RULES_MAX, sizeof(*rules));
	struct netmap m = {.self = make_self(0),
			   .peers = peers,
			   .n_peers = ZT_PEERS_MAX,
			   .grants = grants,
			   .n_grants = ZT_GRANTS_MAX,
			   .rules = rules,
			   .n_rules = ZT_RULES_MAX},
		      got;
	struct netmap_msg msg;
	struct arena a;

	(void)state;
	assert_true(peers && grants && rules);
	for (uint32_t i = 0; i <= ZT_PEERS_MAX; i++)
		peers[i] = make_peer(i + 2, 1);
	for (uint32_t i = 0; i < ZT_RULES_MAX; i++)
		rules[i] = make_rule(i + 1, 0);
	for (uint32_t i = 0; i <= ZT_GRANTS_MAX; i++)
		grants[i] = make_grant(i / 8 + 2, NETMAP_OUT, 2, i % 8 + i / 8 % 1250 * 8 + 1);
	arena_init(&a, ARENA_MAX);
	travel(&empty, &m, &a, &got);
	assert_netmap_equal(&got, &m);
	m.n_peers++;
	assert_int_equal(netmap_diff(&got, &m, &a, &msg), -ZT_ELIMIT);
	m.n_peers--;
	m.n_grants++;
	assert_int_equal(netmap_diff(&got, &m, &a, &msg), -ZT_ELIMIT);
	/* A delta that makes the whole too large is seen when it is applied. */
	msg = (struct netmap_msg){.head = make_head(NETMAP_DELTA, 1),
				  .peers_put = &peers[ZT_PEERS_MAX],
				  .n_peers_put = 1};
	assert_int_equal(netmap_apply(&got, &msg, &a, &got), -ZT_ELIMIT);
	arena_done(&a);
	free(peers);
	free(grants);
	free(rules);
}

static void peers_and_rules_are_found_by_id(void **state)
{
	static const struct netmap empty;
	struct sample *s = *state;

	assert_ptr_equal(netmap_find_peer(&s->map, 2), &s->peers[0]);
	assert_ptr_equal(netmap_find_peer(&s->map, 3), &s->peers[1]);
	assert_null(netmap_find_peer(&s->map, 4));
	assert_null(netmap_find_peer(&empty, 2));
	assert_string_equal(netmap_rule_name(&s->map, 2), "rule_2.0");
	assert_string_equal(netmap_rule_name(&s->map, 3), "?");
	assert_string_equal(netmap_rule_name(&empty, 1), "?");
}

/* What a change of one peer costs on the wire, the head of every message and the sealed box aside:
 * independent of how many there are. */
static size_t size_of_change(const struct netmap *old, const struct netmap *new)
{
	struct netmap_msg m;
	struct arena a;
	struct buf b;
	size_t n;

	arena_init(&a, ARENA_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	assert_int_equal(netmap_diff(old, new, &a, &m), 0);
	m.head = make_head(NETMAP_DELTA, 1);
	assert_int_equal(netmap_encode(&m, &b), 0);
	n = b.len - AT_TABLE;
	buf_free(&b);
	arena_done(&a);
	return n;
}

static void changes_are_small(void **state)
{
	enum { MANY = 1000 };
	static struct netmap_peer peers[MANY];
	static struct netmap_endpoint endpoints[MANY];
	static struct netmap_grant grants[MANY + 1];
	struct netmap_rule rules[2] = {{1, "finance-to-payroll"}, {2, "ops-to-database"}};
	struct netmap all = {.policy = 1,
			     .self = make_self(0),
			     .peers = peers,
			     .n_peers = MANY,
			     .endpoints = endpoints,
			     .n_endpoints = MANY,
			     .grants = grants,
			     .n_grants = MANY,
			     .rules = rules,
			     .n_rules = 1};
	struct netmap less = all, moved = all, more = all;
	struct netmap_endpoint other[MANY];
	size_t n;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		peers[i] = make_peer(i + 2, 1);
		endpoints[i] = make_endpoint(i + 2, 0, 0);
		grants[i] = make_grant(i + 2, NETMAP_OUT, 2, 1);
	}
	snprintf(peers[MANY - 1].name, sizeof(peers[0].name), "ada-notebook-2");
	less.n_peers = less.n_endpoints = less.n_grants = MANY - 1;
	memcpy(other, endpoints, sizeof(other));
	other[7] = make_endpoint(9, 0, 2);
	moved.endpoints = other;
	grants[MANY] = make_grant(MANY + 1, NETMAP_IN, 3, 2);
	more.n_grants = MANY + 1;
	more.n_rules = 2;
	assert_in_range(size_of_change(&all, &less), 1, 16);  /* leave */
	assert_in_range(size_of_change(&all, &moved), 1, 48); /* endpoint */
	moved = all;
	moved.n_endpoints = MANY - 1;				/* it is not connected yet */
	assert_in_range(size_of_change(&less, &moved), 1, 128); /* join */
	assert_in_range(size_of_change(&all, &more), 1, 64);	/* rule */
	n = size_of_change(&all, &more);
	grants[MANY].lease_s = 300;
	assert_int_equal(size_of_change(&all, &more), n + 12); /* with a lease of its own */
}

static void an_empty_message_says_so(void **state)
{
	struct sample *s = *state;
	struct netmap_msg none = {.head = make_head(NETMAP_DELTA, 1)};
	struct netmap_msg sealed = {.sealed = s->sealed, .n_sealed = 1};

	assert_true(netmap_msg_is_empty(&none));
	assert_false(netmap_msg_is_empty(&s->full));
	assert_false(netmap_msg_is_empty(&sealed));
}

/* --- Conditions of rules --- */

/* The sample's map, whose grants out name rules 1 and 2, with conditions of both. */
static struct netmap with_conditions(const struct sample *s, struct netmap_condition v[static 3])
{
	struct netmap m = s->map;

	v[0] = make_condition(1, 1);
	v[1] = make_condition(1, 0);
	v[2] = make_condition(2, 3);
	m.conditions = v;
	m.n_conditions = 3;
	return m;
}

enum { CONDITION_SIZE = 132 };

/* A full map of the sample's self and two conditions: bytes of the section's entry and of these. */
static void encode_conditions(struct sample *s, const struct netmap_condition *v, size_t n,
			      uint8_t *out, size_t size)
{
	struct netmap_msg m = {.head = s->full.head,
			       .has_self = true,
			       .self = s->map.self,
			       .conditions_put = v,
			       .n_conditions_put = n};
	struct buf b;

	buf_init(&b, out, size);
	assert_int_equal(netmap_encode(&m, &b), 0);
	assert_int_equal(b.len, size);
}

static void conditions_travel_as_documented(void **state)
{
	enum { AT = AT_TABLE + 2 * 8 + 144, SIZE = AT + 2 * CONDITION_SIZE };
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"the section that takes away, in a full map", AT_TABLE + 8, 11, -ZT_EFORM},
		{"an unknown section", AT_TABLE + 8, 13, -ZT_EFORM},
		{"another record size", AT_TABLE + 10, 0x85, -ZT_EFORM},
		{"more than there may be", AT_TABLE + 13, 0x41, -ZT_ELIMIT},
		{"of rule 0", AT, 0, -ZT_EFORM},
		{"of a rule beyond those that grants can name", AT + CONDITION_SIZE + 2, 1,
		 -ZT_EFORM},
		{"a kind that there is not", AT + 4, 0, -ZT_EFORM},
		{"a kind that this version does not know", AT + CONDITION_SIZE + 4, 3, -ZT_EFORM},
		{"a path as an account", AT + 4, 2, -ZT_EFORM},
		{"a path with an empty part", AT + 6, '/', -ZT_EFORM},
		{"a path with a control character", AT + 9, 1, -ZT_EFORM},
		{"an account that is an e-mail address", AT + CONDITION_SIZE + 7, '@', -ZT_EFORM},
		{"no name", AT + CONDITION_SIZE + 5, 0, -ZT_EFORM},
		{"bytes behind the name", AT + CONDITION_SIZE + 131, 'x', -ZT_EFORM},
		{"out of order", AT, 3, -ZT_EFORM},
	};
	const struct netmap_condition v[] = {make_condition(1, 0), make_condition(2, 3)};
	uint8_t bytes[SIZE];

	encode_conditions(*state, v, 2, bytes, sizeof(bytes));
	assert_memory_equal(bytes + AT_TABLE + 8, "\x0c\0\x84\0\x02\0\0\0", 8);
	assert_memory_equal(bytes + AT, "\x01\0\0\0\x01/usr/bin/psql\0", 19);
	assert_memory_equal(bytes + AT + CONDITION_SIZE, "\x02\0\0\0\x02postgres\0", 14);
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t was = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		row_check(rows[i].says, decode(bytes, SIZE) == rows[i].err);
		bytes[rows[i].at] = was;
	}
	assert_int_equal(decode(bytes, SIZE), 0);
	memcpy(bytes + AT + CONDITION_SIZE, bytes + AT, CONDITION_SIZE);
	assert_int_equal(decode(bytes, SIZE), -ZT_EFORM); /* twice */
}

static void the_encoder_refuses_wrong_conditions(void **state)
{
	struct sample *s = *state;
	struct netmap_condition c = make_condition(1, 0);
	struct netmap_msg m = {
		.head = s->full.head, .has_self = true, .self = s->map.self, .n_conditions_put = 1};
	struct buf b;

	m.conditions_put = &c;
	buf_init_grow(&b, ZT_NETMAP_MAX);
	c.kind = 3;
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	c = make_condition(0, 0);
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	c = make_condition(1, 0);
	c.name[0] = '-';
	assert_int_equal(netmap_encode(&m, &b), -ZT_EFORM);
	buf_free(&b);
}

/* They are found by their rule, come and go whole, and go by themselves with the last grant out. */
static void conditions_go_with_the_last_grant_out(void **state)
{
	struct sample *s = *state;
	struct netmap_condition v[3], other = make_condition(1, 2);
	struct netmap old = with_conditions(s, v), got, less = s->map;
	struct netmap_msg m = {.head = make_head(NETMAP_DELTA, 4)};
	size_t n;

	assert_ptr_equal(netmap_rule_conditions(&old, 1, &n), &v[0]);
	assert_int_equal(n, 2);
	assert_ptr_equal(netmap_rule_conditions(&old, 2, &n), &v[2]);
	assert_int_equal(n, 1);
	assert_null(netmap_rule_conditions(&old, 3, &n));
	assert_null(netmap_rule_conditions(&s->map, 1, &n));
	m.conditions_del = v;
	m.n_conditions_del = 1;
	m.conditions_put = &other;
	m.n_conditions_put = 1;
	assert_int_equal(netmap_apply(&old, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_conditions, 3);
	assert_true(same_condition(&got.conditions[0], &v[1]));
	assert_true(same_condition(&got.conditions[1], &other));
	/* What is not there cannot go, what is there cannot come. */
	assert_int_equal(netmap_apply(&s->map, &m, &s->arena, &got), -ZT_ECHAIN);
	m = (struct netmap_msg){
		.head = make_head(NETMAP_DELTA, 4), .conditions_put = v, .n_conditions_put = 1};
	assert_int_equal(netmap_apply(&old, &m, &s->arena, &got), -ZT_ECHAIN);
	/* Rule 2 keeps its name for the grant in, and nothing else. */
	less.n_grants = 2;
	assert_int_equal(netmap_diff(&old, &less, &s->arena, &m), 0);
	assert_int_equal(m.n_conditions_del, 2); /* of rule 1, said; of rule 2 not */
	m.head = make_head(NETMAP_DELTA, 4);
	m.n_conditions_del = 0;
	assert_int_equal(netmap_apply(&old, &m, &s->arena, &got), 0);
	assert_int_equal(got.n_rules, 2);
	assert_int_equal(got.n_conditions, 2);
	assert_int_equal(got.conditions[1].rule, 1);
}

static void conditions_have_a_limit(void **state)
{
	static struct netmap_condition v[ZT_CONDITIONS_MAX + 1];
	struct sample *s = *state;
	struct netmap m = s->map, got;
	struct netmap_msg msg;

	for (size_t i = 0; i < N_OF(v); i++) {
		v[i] = (struct netmap_condition){.rule = 1, .kind = NETMAP_APP};
		snprintf(v[i].name, sizeof(v[i].name), "a%05zu", i);
	}
	m.conditions = v;
	m.n_conditions = ZT_CONDITIONS_MAX;
	travel(&s->map, &m, &s->arena, &got);
	assert_netmap_equal(&got, &m);
	m.n_conditions++;
	assert_int_equal(netmap_diff(&s->map, &m, &s->arena, &msg), -ZT_ELIMIT);
	msg = (struct netmap_msg){.head = make_head(NETMAP_DELTA, 1),
				  .conditions_put = &v[ZT_CONDITIONS_MAX],
				  .n_conditions_put = 1};
	assert_int_equal(netmap_apply(&got, &msg, &s->arena, &got), -ZT_ELIMIT);
}

/* --- Preshared keys --- */

static void preshared_keys_travel_sorted(void **state)
{
	const struct netmap_psk psks[] = {{2, {{0xaa}}}, {7, {{0xbb}}}};
	const struct netmap_psk *back;
	uint8_t bytes[2 * NETMAP_PSK_SIZE];
	struct sample *s = *state;
	struct buf b;
	size_t n;

	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(netmap_psk_encode(psks, 2, &b), 0);
	assert_int_equal(b.len, sizeof(bytes));
	assert_memory_equal(bytes, "\x02\0\0\0\xaa\0", 6);
	assert_int_equal(netmap_psk_decode(bytes, b.len, &s->arena, &back, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(back[i].peer, psks[i].peer);
		assert_true(secret_equal(&back[i].psk, &psks[i].psk));
	}
	assert_int_equal(netmap_psk_decode(NULL, 0, &s->arena, &back, &n), 0);
	assert_int_equal(n, 0);
}

static void wrong_preshared_keys_are_refused(void **state)
{
	static const uint8_t many[(ZT_PEERS_MAX + 1) * NETMAP_PSK_SIZE];
	const struct netmap_psk twice[] = {{2, {{0}}}, {2, {{0}}}}, zero = {0, {{0}}};
	uint8_t bytes[2 * NETMAP_PSK_SIZE] = {[0] = 3, [NETMAP_PSK_SIZE] = 2};
	const struct netmap_psk *back;
	struct sample *s = *state;
	struct buf b;
	size_t n;

	buf_init_grow(&b, 1000);
	assert_int_equal(netmap_psk_encode(twice, 2, &b), -ZT_EFORM);
	assert_int_equal(netmap_psk_encode(&zero, 1, &b), -ZT_EFORM);
	assert_int_equal(netmap_psk_encode(twice, ZT_PEERS_MAX + 1, &b), -ZT_ELIMIT);
	buf_free(&b);
	assert_int_equal(netmap_psk_decode(bytes, sizeof(bytes), &s->arena, &back, &n), -ZT_EFORM);
	bytes[0] = 2;
	assert_int_equal(netmap_psk_decode(bytes, sizeof(bytes), &s->arena, &back, &n), -ZT_EFORM);
	bytes[0] = 0;
	assert_int_equal(netmap_psk_decode(bytes, sizeof(bytes), &s->arena, &back, &n), -ZT_EFORM);
	bytes[0] = 1;
	assert_int_equal(netmap_psk_decode(bytes, sizeof(bytes), &s->arena, &back, &n), 0);
	assert_int_equal(netmap_psk_decode(bytes, 71, &s->arena, &back, &n), -ZT_EFORM);
	assert_int_equal(netmap_psk_decode(many, sizeof(many), &s->arena, &back, &n), -ZT_ELIMIT);
}

#define with_sample(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_difference_applied_to_the_old_map_is_the_new_map),
		cmocka_unit_test(nothing_is_borrowed_from_the_old_map_or_the_message),
		with_sample(the_bytes_are_those_of_the_documentation),
		with_sample(every_cut_or_lengthened_message_is_refused),
		with_sample(wrong_bytes_are_refused),
		cmocka_unit_test(a_network_has_one_family_or_two),
		cmocka_unit_test(an_overlay_is_no_wider_than_eight_bits),
		cmocka_unit_test(an_overlay_address_is_one_of_a_host),
		cmocka_unit_test(all_rules_may_be_others_at_once),
		cmocka_unit_test(an_ipv6_overlay_has_no_cloud_metadata),
		with_sample(leases_of_grants_are_classes),
		with_sample(the_encoder_refuses_wrong_leases),
		with_sample(a_netmap_has_so_many_leases),
		with_sample(leases_have_a_range),
		with_sample(a_full_map_has_a_self_and_takes_nothing_away),
		with_sample(limits_are_checked_before_memory_is_taken),
		with_sample(the_encoder_refuses_what_is_out_of_order_or_too_much),
		with_sample(what_is_not_there_cannot_be_taken_away),
		with_sample(a_grant_that_is_there_cannot_come_again),
		with_sample(an_endpoint_replaces_the_one_of_its_rank),
		with_sample(peers_and_rules_are_replaced_by_id),
		with_sample(the_same_thing_cannot_go_and_come_in_one_message),
		with_sample(with_a_peer_goes_all_that_names_it),
		with_sample(a_rule_goes_with_its_last_grant),
		with_sample(endpoints_and_grants_name_peers_and_rules_that_are_there),
		with_sample(a_peer_has_at_most_eight_endpoints),
		with_sample(an_endpoint_is_never_inside_the_overlay),
		with_sample(no_two_devices_are_one_to_the_kernel),
		with_sample(a_new_self_must_fit_the_peers_that_stay),
		with_sample(a_message_is_for_one_device_that_has_a_map),
		with_sample(a_full_map_forgets_the_old_one),
		with_sample(too_little_memory_changes_nothing),
		cmocka_unit_test(every_field_of_self_counts),
		cmocka_unit_test(a_netmap_as_large_as_may_be_travels),
		with_sample(peers_and_rules_are_found_by_id),
		cmocka_unit_test(changes_are_small),
		with_sample(an_empty_message_says_so),
		with_sample(conditions_travel_as_documented),
		with_sample(the_encoder_refuses_wrong_conditions),
		with_sample(conditions_go_with_the_last_grant_out),
		with_sample(conditions_have_a_limit),
		with_sample(preshared_keys_travel_sorted),
		with_sample(wrong_preshared_keys_are_refused),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
