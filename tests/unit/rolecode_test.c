/* What the roles say to each other: round trips, and one side that was taken over. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "zt/buf.h"
#include "ztnode/roles.h"

enum { ARENA_MAX = 1 << 20, BUF_MAX = 1 << 20 };

static const struct hello hello = {.device = 7,
				   .url = "https://ctl.example.com:8443",
				   .pin = {{1, 2}},
				   .serial = 1ULL << 40,
				   .wg_port = 51820,
				   .enforced = true,
				   .network_key = {{3, 4}},
				   .name = "laptop"};
static const struct enrolled enrolled = {
	.device = 7,
	.network_key = {{3, 4}},
	.name = "laptop",
	.url = "https://ctl.example.com",
	.pin = {{1, 2}},
	.nets = {{{ADDR_V4, {100, 64}}, 10}, {{ADDR_V6, {0xfd, 0x12}}, 48}}};
static const struct role_peer peers[] = {
	{2, {{ADDR_V4, {192, 0, 2, 1}}, 51820}, 1800000000, 1ULL << 40, 5},
	{3, {{0}, 0}, 0, 0, 0},
	{4, {{ADDR_V6, {0x20, 1}}, 1}, -1, 0, 0},
};
static const struct role_status status = {.enforced = true,
					  .lease_left_ms = -5000,
					  .serial = 12,
					  .wg_port = 51820,
					  .interface = "zt0",
					  .problem = "",
					  .peers = peers,
					  .n_peers = N_OF(peers),
					  .map = (const uint8_t *)"netmap",
					  .n_map = 6};

static void a_hello_travels(void **state)
{
	uint8_t mem[HELLO_SIZE + 1];
	struct hello got;
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	assert_int_equal(hello_encode(&hello, &b), 0);
	assert_int_equal(b.len, HELLO_SIZE);
	assert_int_equal(hello_decode(mem, HELLO_SIZE, &got), 0);
	assert_int_equal(got.device, 7);
	assert_string_equal(got.url, hello.url);
	assert_string_equal(got.name, hello.name);
	assert_true(got.serial == hello.serial && got.wg_port == 51820 && got.enforced);
	assert_true(key_equal(&got.pin, &hello.pin));
	assert_true(key_equal(&got.network_key, &hello.network_key));
	for (size_t n = 0; n < sizeof(mem); n++)
		if (n != HELLO_SIZE)
			assert_int_equal(hello_decode(mem, n, &got), -ZT_EFORM);
}

static void an_enrolment_travels(void **state)
{
	uint8_t mem[ENROLLED_SIZE + 1];
	struct enrolled got;
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	assert_int_equal(enrolled_encode(&enrolled, &b), 0);
	assert_int_equal(b.len, ENROLLED_SIZE);
	assert_int_equal(enrolled_decode(mem, ENROLLED_SIZE, &got), 0);
	assert_int_equal(got.device, 7);
	assert_string_equal(got.url, enrolled.url);
	assert_string_equal(got.name, enrolled.name);
	assert_true(key_equal(&got.pin, &enrolled.pin));
	assert_true(key_equal(&got.network_key, &enrolled.network_key));
	assert_true(prefix_equal(&got.nets[0], &enrolled.nets[0]));
	assert_true(prefix_equal(&got.nets[1], &enrolled.nets[1]));
	for (size_t n = 0; n < sizeof(mem); n++)
		if (n != ENROLLED_SIZE)
			assert_int_equal(enrolled_decode(mem, n, &got), -ZT_EFORM);
}

/* Offsets of the fields of struct enrolled on the wire. */
enum {
	AT_DEVICE = 0,
	AT_KEY = 4,
	AT_NAME = 36,
	AT_URL = AT_NAME + ZT_NAME_MAX,
	AT_NET4 = AT_URL + ZT_URL_MAX + 32,
	AT_NET6 = AT_NET4 + 18,
};

static const struct {
	const char *says;
	size_t at, n;
	uint8_t fill;
} bad_enrolments[] = {
	{"no device", AT_DEVICE, 4, 0},
	{"no network key: anyone could sign", AT_KEY, 32, 0},
	{"no controller", AT_URL, ZT_URL_MAX, 0},
	{"an escape in the name", AT_NAME + 2, 1, 0x1b},
	{"a line end in the name", AT_NAME, 1, '\n'},
	{"text behind the end of the name", AT_NAME + 20, 1, 'x'},
	{"bytes that are no UTF-8 in the URL", AT_URL + 1, 1, 0xff},
	{"a range of the other family", AT_NET4, 1, ADDR_V6},
	{"a range of no family that is one all the same", AT_NET6, 1, ADDR_NONE},
	{"a range of everything", AT_NET4 + 1, 1, 0},
	{"a range of loopback", AT_NET4 + 2, 1, 127},
	{"a range with host bits", AT_NET6 + 17, 1, 1},
};

static void an_enrolment_with_less_than_trust_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(bad_enrolments); i++) {
		uint8_t mem[ENROLLED_SIZE];
		struct enrolled got = {.device = 4711};
		struct buf b;

		buf_init(&b, mem, sizeof(mem));
		assert_int_equal(enrolled_encode(&enrolled, &b), 0);
		memset(mem + bad_enrolments[i].at, bad_enrolments[i].fill, bad_enrolments[i].n);
		row_check(bad_enrolments[i].says,
			  enrolled_decode(mem, sizeof(mem), &got) == -ZT_EFORM);
		row_check(bad_enrolments[i].says, got.device == 4711);
	}
}

static void a_status_travels(void **state)
{
	struct role_status got;
	struct arena a;
	struct buf b;

	(void)state;
	arena_init(&a, ARENA_MAX);
	buf_init_grow(&b, BUF_MAX);
	assert_int_equal(role_status_encode(&status, &b), 0);
	assert_int_equal(role_status_decode(b.data, b.len, &a, &got), 0);
	assert_true(got.enforced && got.serial == 12 && got.lease_left_ms == -5000);
	assert_string_equal(got.interface, "zt0");
	assert_int_equal(got.n_peers, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(got.peers[i].id, peers[i].id);
		assert_true(endpoint_equal(&got.peers[i].endpoint, &peers[i].endpoint));
		assert_int_equal(got.peers[i].last_handshake_s, peers[i].last_handshake_s);
		assert_int_equal(got.peers[i].rx_bytes, peers[i].rx_bytes);
		assert_int_equal(got.peers[i].tx_bytes, peers[i].tx_bytes);
	}
	assert_int_equal(got.n_map, 6);
	assert_memory_equal(got.map, "netmap", 6);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(role_status_decode(b.data, n, &a, &got), -ZT_EFORM);
	buf_put_u8(&b, 0);
	assert_int_equal(role_status_decode(b.data, b.len, &a, &got), -ZT_EFORM);
	buf_free(&b);
	arena_done(&a);
}

static void a_status_of_nothing_travels(void **state)
{
	static const struct role_status nothing = {.interface = "zt0"};
	struct role_status got;
	struct arena a;
	struct buf b;

	(void)state;
	arena_init(&a, ARENA_MAX);
	buf_init_grow(&b, BUF_MAX);
	assert_int_equal(role_status_encode(&nothing, &b), 0);
	assert_int_equal(role_status_decode(b.data, b.len, &a, &got), 0);
	assert_true(got.n_peers == 0 && got.n_map == 0 && !got.map);
	buf_free(&b);
	arena_done(&a);
}

enum {
	AT_N_PEERS = 1 + 8 + 8 + 2 + KSTATE_IFNAME_MAX + ROLE_TEXT_MAX,
	AT_FAMILY = AT_N_PEERS + 4 + 4,
	AT_N_MAP = AT_N_PEERS + 4 + 3 * ROLE_PEER_SIZE,
};

static const struct {
	const char *says;
	size_t at, n;
	uint8_t fill;
} bad_states[] = {
	{"as many peers as there are numbers: no memory is taken for them", AT_N_PEERS, 4, 0xff},
	{"a peer more than there are bytes", AT_N_PEERS, 1, 4},
	{"a peer less", AT_N_PEERS, 1, 2},
	{"an address family that there is not", AT_FAMILY, 1, 5},
	{"something in the zero byte", AT_FAMILY + 1, 1, 1},
	{"a map longer than the message", AT_N_MAP, 4, 0xff},
	{"a map shorter than the message", AT_N_MAP, 1, 5},
	{"no map, and bytes of one", AT_N_MAP, 1, 0},
};

static void a_status_that_lies_about_its_lengths_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(bad_states); i++) {
		struct role_status got = {.serial = 4711};
		struct arena a;
		struct buf b;

		arena_init(&a, ARENA_MAX);
		buf_init_grow(&b, BUF_MAX);
		assert_int_equal(role_status_encode(&status, &b), 0);
		memset(b.data + bad_states[i].at, bad_states[i].fill, bad_states[i].n);
		row_check(bad_states[i].says,
			  role_status_decode(b.data, b.len, &a, &got) == -ZT_EFORM);
		row_check(bad_states[i].says, got.serial == 4711);
		row_check(bad_states[i].says, a.used <= 4096);
		buf_free(&b);
		arena_done(&a);
	}
}

static void sizes_are_what_the_other_side_expects(void **state)
{
	struct role_status no_map = status;
	struct buf b;

	(void)state;
	no_map.n_map = 0;
	buf_init_grow(&b, BUF_MAX);
	assert_int_equal(role_status_encode(&no_map, &b), 0);
	assert_int_equal(b.len, AT_N_MAP + 4);
	/* The largest status fits the largest message. */
	assert_true(AT_N_MAP + 4 + (size_t)ZT_PEERS_MAX * ROLE_PEER_SIZE + ZT_NETMAP_MAX <=
		    ROLE_STATUS_MAX);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_travels),
		cmocka_unit_test(an_enrolment_travels),
		cmocka_unit_test(an_enrolment_with_less_than_trust_is_refused),
		cmocka_unit_test(a_status_travels),
		cmocka_unit_test(a_status_of_nothing_travels),
		cmocka_unit_test(a_status_that_lies_about_its_lengths_is_refused),
		cmocka_unit_test(sizes_are_what_the_other_side_expects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
