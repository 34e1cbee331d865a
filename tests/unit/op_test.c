/* The printer of operations: one line each, and never a secret. */
#include "tests/unit/node_fixture.h"

#include "ztnode/core/op.h"

#define PEER "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static const struct kpeer peer = {
	.pub = {{2}},
	.has_psk = true,
	.psk = {{0x70, 0x73, 0x6b, 0x70, 0x73, 0x6b}},
	.endpoint = {{ADDR_V6, {0x20, 1, 0xd, 0xb8, [15] = 1}}, 51820},
	.allowed = {{{ADDR_V4, {100, 64, 0, 2}}, 32}, {{ADDR_V6, {0xfd, [15] = 2}}, 128}},
	.n_allowed = 2};
static const struct kpeer bare = {.pub = {{2}}};
static const struct kstate state_ = {.mtu = 1420, .port = 51820, .n_elems = 2, .n_spans = 3};

#define V4(d)                                                                                      \
	{                                                                                          \
		ADDR_V4,                                                                           \
		{                                                                                  \
			100, 64, 0, (d)                                                            \
		}                                                                                  \
	}
static const struct kelem tcp = {KSET_PORT, V4(1), V4(2), SERVICE_TCP, 5432, 1, 0};
static const struct kelem udp = {KSET_PORT, V4(2), V4(1), SERVICE_UDP, 53, 2, 0};
static const struct kelem icmp = {KSET_PORT, V4(1), V4(2), SERVICE_ICMP, 0, 0, 0};
static const struct kelem icmp6 = {KSET_PORT, V4(1), V4(2), 58, 0, 0, 0};
static const struct kelem any = {KSET_SPAN, V4(1), V4(2), 0, 0, 1, 0};
static const struct kelem class = {KSET_SPAN, V4(1), V4(2), 0, 7, 1, 0};
#define NET                                                                                        \
	{                                                                                          \
		{ADDR_V4, {100, 64}}, 10                                                           \
	}

static const struct {
	struct op op;
	const char *numbers, *names; /* names NULL: the same */
} rows[] = {
	{{.kind = OP_TABLE_PUT, .state = &state_}, "table put, 2 grants, 3 spans", NULL},
	{{.kind = OP_TABLE_DEL}, "table delete", NULL},
	{{.kind = OP_ELEMS_LOAD, .state = &state_}, "grants load 2", NULL},
	{{.kind = OP_ELEM_ADD, .elem = &tcp},
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/5432 rule 1",
	 "grant add 100.64.0.1 -> 100.64.0.2 tcp/5432 rule finance-to-payroll"},
	{{.kind = OP_ELEM_DEL, .elem = &udp},
	 "grant delete 100.64.0.2 -> 100.64.0.1 udp/53 rule 2",
	 "grant delete 100.64.0.2 -> 100.64.0.1 udp/53 rule ?"},
	{{.kind = OP_ELEM_ADD, .elem = &icmp}, "grant add 100.64.0.1 -> 100.64.0.2 icmp", NULL},
	{{.kind = OP_ELEM_ADD, .elem = &icmp6}, "grant add 100.64.0.1 -> 100.64.0.2 icmp", NULL},
	{{.kind = OP_ELEM_ADD, .elem = &any},
	 "grant add 100.64.0.1 -> 100.64.0.2 any rule 1",
	 "grant add 100.64.0.1 -> 100.64.0.2 any rule finance-to-payroll"},
	{{.kind = OP_ELEM_ADD, .elem = &class},
	 "grant add 100.64.0.1 -> 100.64.0.2 class/7 rule 1",
	 "grant add 100.64.0.1 -> 100.64.0.2 class/7 rule finance-to-payroll"},
	{{.kind = OP_LINK_ADD, .state = &state_}, "link add", NULL},
	{{.kind = OP_LINK_DEL, .state = &state_}, "link delete", NULL},
	{{.kind = OP_WG_SET, .state = &state_}, "wireguard key and port 51820", NULL},
	{{.kind = OP_PEER_DEL, .peer = &peer}, "peer delete " PEER, NULL},
	{{.kind = OP_PEER_PUT, .peer = &peer},
	 "peer put " PEER " 100.64.0.2/32 fd00::2/128 psk endpoint [2001:db8::1]:51820",
	 NULL},
	{{.kind = OP_PEER_PUT, .peer = &peer, .psk_only = true}, "peer put " PEER " psk", NULL},
	{{.kind = OP_PEER_PUT, .peer = &bare}, "peer put " PEER, NULL},
	{{.kind = OP_PEER_ENDPOINT, .peer = &peer},
	 "peer endpoint " PEER " endpoint [2001:db8::1]:51820",
	 NULL},
	{{.kind = OP_MTU_SET, .state = &state_}, "mtu 1420", NULL},
	{{.kind = OP_ADDR_ADD, .addr = {V4(1), 32}}, "address add 100.64.0.1/32", NULL},
	{{.kind = OP_ADDR_DEL, .addr = {V4(1), 32}}, "address delete 100.64.0.1/32", NULL},
	{{.kind = OP_LINK_UP}, "link up", NULL},
	{{.kind = OP_ROUTE_ADD, .route = {KROUTE_DEV, NET, 4000}},
	 "route add 100.64.0.0/10 tunnel metric 4000",
	 NULL},
	{{.kind = OP_ROUTE_DEL, .route = {KROUTE_UNREACHABLE, NET, 5000}},
	 "route delete 100.64.0.0/10 unreachable metric 5000",
	 NULL},
};

static void check_line(const struct op *op, const struct netmap *rules, const char *want)
{
	char text[400];
	struct buf b;

	buf_init(&b, text, sizeof(text) - 1);
	op_print(op, rules, &b);
	assert_int_equal(b.err, 0);
	text[b.len] = 0;
	assert_string_equal(text, want);
}

static void every_operation_has_its_line(void **state)
{
	struct netmap names = fixture_map();
	bool seen[OP_ROUTE_DEL + 1] = {false};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		seen[rows[i].op.kind] = true;
		check_line(&rows[i].op, NULL, rows[i].numbers);
		check_line(&rows[i].op, &names, rows[i].names ? rows[i].names : rows[i].numbers);
	}
	for (size_t i = 0; i < N_OF(seen); i++)
		assert_true(seen[i]);
}

static void no_line_shows_a_preshared_key(void **state)
{
	struct key as_key;
	char text[400], key[KEY_TEXT_MAX];
	struct buf b;

	(void)state;
	memcpy(as_key.b, peer.psk.b, sizeof(as_key.b));
	key_print(&as_key, key);
	key[8] = 0; /* its beginning is enough to tell */
	for (size_t i = 0; i < N_OF(rows); i++) {
		buf_init(&b, text, sizeof(text) - 1);
		op_print(&rows[i].op, NULL, &b);
		text[b.len] = 0;
		assert_null(strstr(text, key));
		assert_null(strstr(text, "pskpsk"));
	}
}

/* A line that does not fit is an error of the builder, not a longer line. */
static void too_little_room_is_an_error(void **state)
{
	char text[20];
	struct buf b;

	(void)state;
	buf_init(&b, text, sizeof(text));
	op_print(&rows[3].op, NULL, &b);
	assert_int_equal(b.err, -ZT_ELIMIT);
	assert_true(b.len <= sizeof(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation_has_its_line),
		cmocka_unit_test(no_line_shows_a_preshared_key),
		cmocka_unit_test(too_little_room_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
