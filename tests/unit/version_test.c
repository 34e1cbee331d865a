/* Programs one version apart: what one says more than the other knows is refused whole where it is
 * enforced, and passed over where it is only told (docs/protocol.md, Versions). */
#include "tests/unit/unit.h"

#include "zt/frame.h"
#include "zt/netmap.h"
#include "zt/report.h"

enum { HEAD = 32, ENTRY = 8, SELF = 144, MESSAGE_MAX = 1024, NEWER_SECTION = 11, SEALED = 10 };

static struct buf map_of_one(uint8_t mem[static MESSAGE_MAX])
{
	static const struct netmap empty;
	struct netmap map = {.self = {.id = 7, .mtu = 1420, .name = "laptop"}};
	struct netmap_msg m;
	struct arena a;
	struct buf b;

	map.self.wg_key.b[0] = 1;
	assert_int_equal(addr_parse("100.64.0.7", &map.self.addr4), 0);
	assert_int_equal(prefix_parse("100.64.0.0/16", &map.self.net4), 0);
	arena_init(&a, 1 << 20);
	assert_int_equal(netmap_diff(&empty, &map, &a, &m), 0);
	m.head = (struct netmap_head){.kind = NETMAP_FULL,
				      .lease_s = 3600,
				      .issued_ms = 1800000000000,
				      .serial = 1,
				      .policy = 1,
				      .device = 7};
	buf_init(&b, mem, MESSAGE_MAX);
	assert_int_equal(netmap_encode(&m, &b), 0);
	assert_int_equal(b.len, HEAD + ENTRY + SELF);
	arena_done(&a);
	return b;
}

/* One more section of one record, as a newer controller would send it. */
static void add_section(struct buf *b, uint8_t kind, const uint8_t *record, uint8_t size)
{
	uint8_t *p = b->data;

	assert_int_equal(p[2], 1);
	p[2] = 2;
	memmove(p + HEAD + 2 * ENTRY, p + HEAD + ENTRY, b->len - HEAD - ENTRY);
	memcpy(p + HEAD + ENTRY, (const uint8_t[ENTRY]){kind, 0, size, 0, 1}, ENTRY);
	memcpy(p + b->len + ENTRY, record, size);
	b->len += ENTRY + size;
}

static int decode_map(const struct buf *b)
{
	struct netmap_msg m;
	struct arena a;
	int err;

	arena_init(&a, 1 << 20);
	err = netmap_decode(b->data, b->len, &a, &m);
	arena_done(&a);
	return err;
}

/* Who cannot tell what a section says cannot say that it is enforced: it might take a grant away.
 */
static void a_netmap_with_an_unknown_section_is_refused(void **state)
{
	static const uint8_t sealed[1] = {0x5e}, newer[16] = {1};
	uint8_t mem[MESSAGE_MAX];
	struct buf b = map_of_one(mem);

	(void)state;
	assert_int_equal(decode_map(&b), 0);
	add_section(&b, SEALED, sealed, sizeof(sealed)); /* a section that is known: it is taken */
	assert_int_equal(decode_map(&b), 0);
	b = map_of_one(mem);
	add_section(&b, NEWER_SECTION, newer, sizeof(newer));
	assert_int_equal(decode_map(&b), -ZT_EFORM);
	b = map_of_one(mem);
	add_section(&b, SEALED, (const uint8_t[2]){0x5e}, 2); /* a longer record */
	assert_int_equal(decode_map(&b), -ZT_EFORM);
	b = map_of_one(mem);
	b.data[0] = 2;
	assert_int_equal(decode_map(&b), -ZT_EVERSION);
	b = map_of_one(mem);
	b.data[1] = 3; /* another kind than full and delta */
	assert_int_equal(decode_map(&b), -ZT_EFORM);
}

static int decode_report(const struct buf *b, struct report *ret, struct arena *a)
{
	arena_init(a, 1 << 20);
	return report_decode(b->data, b->len, a, ret);
}

/* A newer node reads facts that this controller has never heard of. */
static void a_report_with_an_unknown_fact_is_taken(void **state)
{
	struct fact facts[] = {
		{.name = "disk.encrypted", .value = "true", .state = FACT_KNOWN},
		{.name = "zz.of-a-newer-version", .value = "3.1", .state = FACT_KNOWN},
	};
	struct report r = {.full = true, .facts = facts, .n_facts = N_OF(facts)}, got;
	uint8_t mem[MESSAGE_MAX];
	struct arena a;
	struct buf b;

	(void)state;
	buf_init(&b, mem, sizeof(mem));
	assert_int_equal(report_encode(&r, &b), 0);
	assert_int_equal(decode_report(&b, &got, &a), 0);
	assert_int_equal(got.n_facts, 2);
	assert_string_equal(got.facts[1].name, "zz.of-a-newer-version");
	arena_done(&a);
}

static void a_report_of_another_form_is_refused(void **state)
{
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"another version", 4, 2, -ZT_EVERSION},
		{"a flag that is not known", 5, 2, -ZT_EFORM},
		{"a field where zero must be", 17, 1, -ZT_EFORM},
		{"a field behind the end", 20, 0, -ZT_EFORM},
	};
	struct report r = {.full = true}, got;
	uint8_t mem[MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct arena a;
		struct buf b;

		buf_init(&b, mem, sizeof(mem));
		assert_int_equal(report_encode(&r, &b), 0);
		assert_int_equal(b.len, 20);
		assert_int_equal(decode_report(&b, &got, &a), 0);
		arena_done(&a);
		b.len += rows[i].at == b.len;
		b.data[rows[i].at] = rows[i].value;
		row_check(rows[i].says, decode_report(&b, &got, &a) == rows[i].err);
		arena_done(&a);
	}
}

static void a_frame_of_an_unknown_kind_ends_the_stream(void **state)
{
	static const uint8_t frame[] = {1, 0, 0, 0, FRAME_BYE + 1, 'x'};
	enum frame_kind kind;
	const uint8_t *body;
	size_t body_len, len;

	(void)state;
	assert_int_equal(frame_peek(frame, sizeof(frame), &kind, &body, &body_len, &len),
			 -ZT_EFORM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_netmap_with_an_unknown_section_is_refused),
		cmocka_unit_test(a_report_with_an_unknown_fact_is_taken),
		cmocka_unit_test(a_report_of_another_form_is_refused),
		cmocka_unit_test(a_frame_of_an_unknown_kind_ends_the_stream),
	};

	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
