/* Reports and the table of facts. */
#include "tests/unit/unit.h"

#include "zt/report.h"
#include "zt/txt.h"

enum { MESSAGE_MAX = ZT_REPORT_MAX + 100 };

static struct endpoint endpoint(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

static struct fact facts[] = {
	{.name = "disk.encrypted", .state = FACT_KNOWN, .value = "true", .age_s = 5},
	{.name = "os.version", .state = FACT_KNOWN, .value = "12", .age_s = 0x01020304},
	{.name = "tpm.present", .state = FACT_UNKNOWN, .value = "no permission", .age_s = 0},
};

static struct report sample(void)
{
	return (struct report){
		.full = true,
		.wg_port = 51820,
		.serial = 42,
		.endpoints = {endpoint("192.0.2.7:51820"), endpoint("[2001:db8::7]:51821")},
		.n_endpoints = 2,
		.facts = facts,
		.n_facts = N_OF(facts),
	};
}

/* The sample as bytes; returns their number. */
static size_t encode_sample(uint8_t *out, size_t size)
{
	struct report r = sample();
	struct buf b;

	buf_init(&b, out, size);
	assert_int_equal(report_encode(&r, &b), 0);
	return b.len;
}

static int decode(const void *p, size_t n, struct report *ret)
{
	struct arena a;
	int err;

	arena_init(&a, 1 << 20);
	err = report_decode(p, n, &a, ret);
	arena_done(&a);
	return err;
}

static void what_is_encoded_is_decoded(void **state)
{
	struct report r = sample(), back;
	uint8_t bytes[1000];
	struct arena a;
	size_t n = encode_sample(bytes, sizeof(bytes));

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(report_decode(bytes, n, &a, &back), 0);
	assert_true(back.full);
	assert_int_equal(back.wg_port, 51820);
	assert_int_equal(back.serial, 42);
	assert_int_equal(back.n_endpoints, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(endpoint_equal(&back.endpoints[i], &r.endpoints[i]));
	assert_int_equal(back.n_facts, N_OF(facts));
	for (size_t i = 0; i < N_OF(facts); i++) {
		assert_string_equal(back.facts[i].name, facts[i].name);
		assert_string_equal(back.facts[i].value, facts[i].value);
		assert_int_equal(back.facts[i].state, facts[i].state);
		assert_int_equal(back.facts[i].age_s, facts[i].age_s);
	}
	arena_done(&a);
}

static void the_bytes_are_those_of_the_header(void **state)
{
	static const char want[] = "ztR1\x01\x01\x6c\xca\x2a\0\0\0\0\0\0\0\x02\0\x03\0"
				   "\x04\0\x6c\xca\xc0\0\x02\x07\0\0\0\0\0\0\0\0\0\0\0\0"
				   "\x06\0\x6d\xca\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
				   "\x0e\x01\x04\0\x05\0\0\0disk.encryptedtrue"
				   "\x0a\x01\x02\0\x04\x03\x02\x01os.version12"
				   "\x0b\0\x0d\0\0\0\0\0tpm.presentno permission";
	uint8_t bytes[1000];

	(void)state;
	assert_int_equal(encode_sample(bytes, sizeof(bytes)), sizeof(want) - 1);
	assert_memory_equal(bytes, want, sizeof(want) - 1);
}

static void an_empty_report_is_a_report(void **state)
{
	struct report r = {.wg_port = 1}, back = sample();
	uint8_t bytes[100];
	struct buf b;

	(void)state;
	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(report_encode(&r, &b), 0);
	assert_int_equal(b.len, 20);
	assert_int_equal(decode(bytes, b.len, &back), 0);
	assert_false(back.full);
	assert_int_equal(back.n_facts, 0);
	assert_int_equal(back.n_endpoints, 0);
}

static void no_shorter_or_longer_message_is_taken(void **state)
{
	uint8_t bytes[1000] = {0};
	struct report back;
	size_t n = encode_sample(bytes, sizeof(bytes));

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t *cut = malloc(i ? i : 1);

		assert_non_null(cut);
		memcpy(cut, bytes, i);
		assert_int_equal(decode(cut, i, &back), -ZT_EFORM);
		free(cut);
	}
	assert_int_equal(decode(bytes, n + 1, &back), -ZT_EFORM);
	assert_int_equal(decode(bytes, n, &back), 0);
}

static void wrong_bytes_are_refused(void **state)
{
	static const struct {
		const char *says;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{"another magic", 3, '2', -ZT_EFORM},
		{"version 0", 4, 0, -ZT_EFORM},
		{"version 2", 4, 2, -ZT_EVERSION},
		{"an unknown flag", 5, 3, -ZT_EFORM},
		{"nine endpoints", 16, 9, -ZT_ELIMIT},
		{"one endpoint less than there are", 16, 1, -ZT_EFORM},
		{"a zero that is none", 17, 1, -ZT_EFORM},
		{"257 facts", 19, 2, -ZT_ELIMIT},
		{"one fact less than there are", 18, 2, -ZT_EFORM},
		{"one fact more than there are", 18, 4, -ZT_EFORM},
		{"an endpoint without family", 20, 0, -ZT_EFORM},
		{"an endpoint of no family", 20, 5, -ZT_EFORM},
		{"an endpoint's zero that is none", 21, 1, -ZT_EFORM},
		{"an endpoint on loopback", 24, 127, -ZT_EFORM},
		{"an IPv4 address with more than four bytes", 28, 1, -ZT_EFORM},
		{"an IPv6 multicast endpoint", 44, 0xff, -ZT_EFORM},
		{"a fact without a name", 60, 0, -ZT_EFORM},
		{"a name longer than it may be", 60, 161, -ZT_EFORM},
		{"an unknown state", 61, 2, -ZT_EFORM},
		{"a value longer than it may be", 63, 2, -ZT_EFORM},
		{"a NUL in a name", 70, 0, -ZT_EFORM},
		{"an escape in a name", 70, 0x1b, -ZT_EFORM},
		{"broken UTF-8 in a name", 70, 0xff, -ZT_EFORM},
		{"a newline in a value", 83, '\n', -ZT_EFORM},
		{"a NUL at a value's end", 85, 0, -ZT_EFORM},
		{"facts out of order", 68, 'z', -ZT_EFORM},
	};
	uint8_t bytes[1000];
	struct report back = {.serial = 77};
	size_t n = encode_sample(bytes, sizeof(bytes));

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t was = bytes[rows[i].at];

		bytes[rows[i].at] = rows[i].value;
		row_check(rows[i].says, decode(bytes, n, &back) == rows[i].err);
		bytes[rows[i].at] = was;
	}
	assert_int_equal(back.serial, 77);
}

static void port_zero_is_no_endpoint(void **state)
{
	uint8_t bytes[1000];
	struct report back;
	size_t n = encode_sample(bytes, sizeof(bytes));

	(void)state;
	bytes[22] = bytes[23] = 0;
	assert_int_equal(decode(bytes, n, &back), -ZT_EFORM);
}

static void the_same_fact_twice_is_refused(void **state)
{
	struct fact twice[] = {facts[0], facts[0]};
	struct report r = {.facts = twice, .n_facts = 2};
	uint8_t bytes[1000];
	struct buf b;

	(void)state;
	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(report_encode(&r, &b), -ZT_EFORM);
	twice[1].name[0] = 'e';
	assert_int_equal(report_encode(&r, &b), 0);
	bytes[20 + 8 + 14 + 4 + 8] = 'd';
	assert_int_equal(decode(bytes, b.len, &(struct report){0}), -ZT_EFORM);
}

static void the_encoder_refuses_what_the_decoder_would(void **state)
{
	struct report r = sample();
	struct fact bad = facts[0];
	uint8_t bytes[1000];
	struct buf b;

	(void)state;
	buf_init(&b, bytes, sizeof(bytes));
	r.endpoints[1].port = 0;
	assert_int_equal(report_encode(&r, &b), -ZT_EFORM);
	r = sample();
	r.n_endpoints = ZT_ENDPOINTS_PEER_MAX + 1;
	assert_int_equal(report_encode(&r, &b), -ZT_ELIMIT);
	r = sample();
	r.n_facts = ZT_FACTS_MAX + 1;
	assert_int_equal(report_encode(&r, &b), -ZT_ELIMIT);
	r = (struct report){.facts = &bad, .n_facts = 1};
	bad.value[0] = '\n';
	assert_int_equal(report_encode(&r, &b), -ZT_EFORM);
	bad = facts[0];
	bad.state = 2;
	assert_int_equal(report_encode(&r, &b), -ZT_EFORM);
	bad = facts[0];
	bad.name[0] = '\0';
	assert_int_equal(report_encode(&r, &b), -ZT_EFORM);
	assert_int_equal(b.len, 0);
}

/* As many facts as there may be, each with a value of n bytes. */
static void fill(struct fact *many, size_t n)
{
	for (size_t i = 0; i < ZT_FACTS_MAX; i++) {
		many[i] = (struct fact){.state = FACT_KNOWN};
		snprintf(many[i].name, sizeof(many[i].name), "custom.n%03zu", i);
		memset(many[i].value, 'v', n);
	}
}

static void a_report_has_a_greatest_size(void **state)
{
	static uint8_t bytes[MESSAGE_MAX];
	struct fact *many = calloc(ZT_FACTS_MAX, sizeof(*many));
	struct report r = {.facts = many, .n_facts = ZT_FACTS_MAX}, back;
	struct buf b;

	(void)state;
	assert_non_null(many);
	fill(many, 236);
	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(report_encode(&r, &b), 0);
	assert_int_equal(decode(bytes, b.len, &back), 0);
	fill(many, ZT_FACT_VALUE_MAX);
	buf_reset(&b);
	assert_int_equal(report_encode(&r, &b), -ZT_ELIMIT);
	assert_int_equal(decode(bytes, ZT_REPORT_MAX + 1, &back), -ZT_ELIMIT);
	free(many);
}

static void texts_and_endpoints_may_be_as_many_as_the_limit_says(void **state)
{
	struct fact f = {.state = FACT_KNOWN};
	struct report r = {.facts = &f, .n_facts = 1, .n_endpoints = ZT_ENDPOINTS_PEER_MAX}, back;
	uint8_t bytes[1000];
	struct buf b;

	(void)state;
	memset(f.name, 'n', ZT_FACT_NAME_MAX);
	memset(f.value, 'v', ZT_FACT_VALUE_MAX);
	for (size_t i = 0; i < ZT_ENDPOINTS_PEER_MAX; i++)
		r.endpoints[i] = endpoint("192.0.2.7:51820");
	buf_init(&b, bytes, sizeof(bytes));
	assert_int_equal(report_encode(&r, &b), 0);
	assert_int_equal(decode(bytes, b.len, &back), 0);
	assert_int_equal(back.n_endpoints, ZT_ENDPOINTS_PEER_MAX);
}

static void too_little_memory_is_an_error(void **state)
{
	uint8_t bytes[1000];
	struct report back;
	struct arena a;
	size_t n = encode_sample(bytes, sizeof(bytes));

	(void)state;
	arena_init(&a, 3 * sizeof(struct fact) - 1);
	assert_int_not_equal(report_decode(bytes, n, &a, &back), 0);
	arena_done(&a);
}

static void facts_are_known_by_name(void **state)
{
	static const struct {
		const char *name, *kind; /* NULL: there is none */
		enum fact_type type;
	} rows[] = {
		{"disk.encrypted", "disk.encrypted", FACT_TYPE_BOOL},
		{"os.version", "os.version", FACT_TYPE_VERSION},
		{"os.update_age", "os.update_age", FACT_TYPE_DURATION},
		{"time.offset", "time.offset", FACT_TYPE_NUMBER},
		{"net.country", "net.country", FACT_TYPE_TEXT},
		{"process.running:clamd", "process.running", FACT_TYPE_BOOL},
		{"file.exists:/etc/motd", "file.exists", FACT_TYPE_BOOL},
		{"file.exists:/odd:name", "file.exists", FACT_TYPE_BOOL},
		{"file.sha256:/bin/sh", "file.sha256", FACT_TYPE_TEXT},
		{"package.version:openssl", "package.version", FACT_TYPE_VERSION},
		{"custom.badge", "custom", FACT_TYPE_TEXT},
		{"custom.a.b", "custom", FACT_TYPE_TEXT},
		{"disk.encryptd", NULL, 0},
		{"disk.encrypted:x", NULL, 0},
		{"process.running", NULL, 0},
		{"process.running:", NULL, 0},
		{"process.running:a\nb", NULL, 0},
		{"file.exists:etc/motd", NULL, 0},
		{"custom", NULL, 0},
		{"custom.", NULL, 0},
		{"custom.A", NULL, 0},
		{"custom:x", NULL, 0},
		{"os", NULL, 0},
		{"", NULL, 0},
	};
	char longest[ZT_FACT_NAME_MAX + 2] = "file.exists:/";

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct fact_kind *k = fact_kind_find(rows[i].name);

		row_check(rows[i].name, txt_equal(k ? k->name : NULL, rows[i].kind));
		row_check(rows[i].name, !k || k->type == rows[i].type);
	}
	memset(longest + 13, 'a', ZT_FACT_NAME_MAX - 13);
	assert_non_null(fact_kind_find(longest));
	longest[ZT_FACT_NAME_MAX] = 'a';
	assert_null(fact_kind_find(longest));
}

/* CLI.md, "Posture facts". */
static void the_table_holds_every_fact_of_the_contract(void **state)
{
	static const char *const contract[] = {"os.family",	   "os.id",
					       "os.version",	   "kernel.version",
					       "kernel.lockdown",  "os.update_age",
					       "os.reboot_needed", "disk.encrypted",
					       "firewall.enabled", "secureboot.enabled",
					       "tpm.present",	   "screenlock.enabled",
					       "node.version",	   "hostname",
					       "machine.serial",   "uptime",
					       "time.offset",	   "process.running:x",
					       "file.exists:/x",   "file.sha256:/x",
					       "service.active:x", "package.version:x",
					       "custom.x",	   "net.source",
					       "net.country"};

	(void)state;
	for (size_t i = 0; i < N_OF(contract); i++)
		row_check(contract[i], fact_kind_find(contract[i]));
	assert_non_null(fact_kind_at(N_OF(contract) - 1));
	assert_null(fact_kind_at(N_OF(contract)));
}

static void every_fact_says_what_it_is_and_what_mends_it(void **state)
{
	(void)state;
	for (size_t i = 0; fact_kind_at(i); i++) {
		const struct fact_kind *k = fact_kind_at(i);

		row_check(k->name, txt_is_line(k->help, 100));
		row_check(k->name,
			  txt_is_line(k->mend, 100) && k->mend[strlen(k->mend) - 1] == '.');
		for (size_t j = 0; j < i; j++)
			row_check(k->name, !txt_equal(k->name, fact_kind_at(j)->name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(the_bytes_are_those_of_the_header),
		cmocka_unit_test(an_empty_report_is_a_report),
		cmocka_unit_test(no_shorter_or_longer_message_is_taken),
		cmocka_unit_test(wrong_bytes_are_refused),
		cmocka_unit_test(port_zero_is_no_endpoint),
		cmocka_unit_test(the_same_fact_twice_is_refused),
		cmocka_unit_test(the_encoder_refuses_what_the_decoder_would),
		cmocka_unit_test(a_report_has_a_greatest_size),
		cmocka_unit_test(texts_and_endpoints_may_be_as_many_as_the_limit_says),
		cmocka_unit_test(too_little_memory_is_an_error),
		cmocka_unit_test(facts_are_known_by_name),
		cmocka_unit_test(the_table_holds_every_fact_of_the_contract),
		cmocka_unit_test(every_fact_says_what_it_is_and_what_mends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
