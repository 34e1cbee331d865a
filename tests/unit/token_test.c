/* Tokens and controller URLs. */
#include "tests/unit/unit.h"

#include <sodium.h>

#include "zt/token.h"
#include "zt/txt.h"

static struct token sample(void)
{
	struct token t = {
		.kind = TOKEN_ENROLL,
		.url = "https://zt.example.com:8443",
		.id = 0x0102030405060708,
	};

	memset(t.pin.b, 0xaa, sizeof(t.pin.b));
	memset(t.network.b, 0xcc, sizeof(t.network.b));
	memset(t.secret.b, 0x55, sizeof(t.secret.b));
	return t;
}

static void encode(const struct token *t, char *out, size_t size)
{
	assert_int_equal(token_encode(t, out, size), 0);
}

static void what_is_encoded_is_decoded(void **state)
{
	static const enum token_kind kinds[] = {TOKEN_ENROLL, TOKEN_ADMIN};
	static const char *const prefixes[] = {"zt1_", "ztadm1_"};
	static const struct key none;
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample(), back;
	struct diag d;

	(void)state;
	for (size_t i = 0; i < N_OF(kinds); i++) {
		t.kind = kinds[i];
		encode(&t, text, sizeof(text));
		assert_true(txt_starts(text, prefixes[i]));
		assert_int_equal(token_decode(text, kinds[i], &back, &d), 0);
		assert_int_equal(back.kind, kinds[i]);
		assert_string_equal(back.url, t.url);
		assert_int_equal(back.id, t.id);
		assert_true(key_equal(&back.pin, &t.pin));
		assert_true(key_equal(&back.network, t.kind == TOKEN_ENROLL ? &t.network : &none));
		assert_true(secret_equal(&back.secret, &t.secret));
	}
}

/* Written out a second time, byte by byte. */
static size_t expected_bytes(const struct token *t, uint8_t *out)
{
	size_t n = 0, len = strlen(t->url);
	struct key hash;

	out[n++] = 1;
	out[n++] = (uint8_t)len;
	memcpy(out + n, t->url, len);
	n += len;
	memset(out + n, 0xaa, 32);
	n += 32;
	if (t->kind == TOKEN_ENROLL) {
		memset(out + n, 0xcc, 32);
		n += 32;
	}
	memcpy(out + n, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	n += 8;
	memset(out + n, 0x55, 32);
	n += 32;
	key_hash(out, n, &hash);
	memcpy(out + n, hash.b, 4);
	return n + 4;
}

static void the_bytes_are_those_of_the_header(void **state)
{
	static const enum token_kind kinds[] = {TOKEN_ENROLL, TOKEN_ADMIN};
	uint8_t bytes[300], want[300];
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample();
	size_t n;

	(void)state;
	for (size_t i = 0; i < N_OF(kinds); i++) {
		const char *body;

		t.kind = kinds[i];
		encode(&t, text, sizeof(text));
		body = strchr(text, '_') + 1;
		assert_int_equal(txt_base64url_decode(body, strlen(body), bytes, sizeof(bytes), &n),
				 0);
		assert_int_equal(n, expected_bytes(&t, want));
		assert_memory_equal(bytes, want, n);
	}
}

static void the_longest_url_fits(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1], small[300];
	struct token t = sample(), back;

	(void)state;
	memcpy(t.url, "https://", 8);
	for (size_t i = 8; i < ZT_URL_MAX; i++)
		t.url[i] = i % 50 == 0 ? '.' : 'a';
	t.url[ZT_URL_MAX] = '\0';
	encode(&t, text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, NULL), 0);
	assert_string_equal(back.url, t.url);
	t.kind = TOKEN_ADMIN;
	encode(&t, text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ADMIN, &back, NULL), 0);
	assert_string_equal(back.url, t.url);
	assert_int_equal(token_encode(&t, small, sizeof(small)), -ZT_ELIMIT);
	assert_int_equal(token_encode(&t, small, 3), -ZT_ELIMIT);
}

static void a_token_needs_a_controller_url(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample();

	(void)state;
	assert_int_equal(txt_copy(t.url, sizeof(t.url), "http://zt.example.com"), 0);
	assert_int_equal(token_encode(&t, text, sizeof(text)), -ZT_EFORM);
}

static void an_enrolment_token_needs_a_network_key(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample();

	(void)state;
	t.network = (struct key){0};
	assert_int_equal(token_encode(&t, text, sizeof(text)), -ZT_EFORM);
	t.kind = TOKEN_ADMIN;
	assert_int_equal(token_encode(&t, text, sizeof(text)), 0);
}

static void white_space_around_it_is_forgiven(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1], padded[ZT_TOKEN_TEXT_MAX + 20];
	struct token t = sample(), back;

	(void)state;
	encode(&t, text, sizeof(text));
	snprintf(padded, sizeof(padded), " \t\n%s\r\n ", text);
	assert_int_equal(token_decode(padded, TOKEN_ENROLL, &back, NULL), 0);
	snprintf(padded, sizeof(padded), "%.20s %s", text, text + 20);
	assert_int_equal(token_decode(padded, TOKEN_ENROLL, &back, NULL), -ZT_EFORM);
}

static void every_mistyped_character_is_noticed(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample(), back = {.id = 77};

	(void)state;
	encode(&t, text, sizeof(text));
	for (size_t i = 0; i < strlen(text); i++) {
		char was = text[i];

		text[i] = was == 'x' ? 'y' : 'x';
		assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, NULL), -ZT_EFORM);
		text[i] = was;
	}
	assert_int_equal(back.id, 77);
}

static void every_cut_token_is_refused(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1];
	struct token t = sample(), back;
	struct diag d;

	(void)state;
	encode(&t, text, sizeof(text));
	for (size_t n = strlen(text); n > 0; n--) {
		text[n - 1] = '\0';
		assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
		assert_string_equal(d.message, n > 4 ? "the token is cut off"
						     : "this is not an enrolment token");
	}
}

/* The text of bytes with a correct check behind them. */
static void forge(const uint8_t *bytes, size_t n, char *text, size_t size)
{
	uint8_t whole[600];
	struct key hash;

	memcpy(whole, bytes, n);
	key_hash(bytes, n, &hash);
	memcpy(whole + n, hash.b, 4);
	memcpy(text, "zt1_", 5);
	assert_int_equal(txt_base64url_encode(whole, n + 4, text + 4, size - 4), 0);
}

enum { FIELDS_LEN = 32 + 32 + 8 + 32 };

/* version | url length | url | pin, network, id, secret */
static size_t fields(uint8_t version, const char *url, size_t url_len, uint8_t *out)
{
	out[0] = version;
	out[1] = (uint8_t)url_len;
	memcpy(out + 2, url, url_len);
	memset(out + 2 + url_len, 7, FIELDS_LEN);
	return 2 + url_len + FIELDS_LEN;
}

static void a_token_that_names_no_network_is_refused(void **state)
{
	static const char url[] = "https://a.example";
	char text[ZT_TOKEN_TEXT_MAX + 1];
	uint8_t bytes[300] = {0};
	size_t n = fields(1, url, strlen(url), bytes);
	struct token back;
	struct diag d;

	(void)state;
	memset(bytes + 2 + strlen(url) + 32, 0, 32);
	forge(bytes, n, text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token is malformed");
	forge(bytes, n - 32, text, sizeof(text)); /* an admin credential under the other prefix */
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token is cut off");
}

static void a_correct_check_does_not_excuse_wrong_fields(void **state)
{
	static const struct {
		const char *says;
		uint8_t version;
		const char *url;
		size_t url_len;
		int more, err;
	} rows[] = {
		{"as it should be", 1, "https://a.example", 17, 0, 0},
		{"version 0", 0, "https://a.example", 17, 0, -ZT_EFORM},
		{"version 2", 2, "https://a.example", 17, 0, -ZT_EFORM},
		{"a byte too many", 1, "https://a.example", 17, 1, -ZT_EFORM},
		{"a byte too few", 1, "https://a.example", 17, -1, -ZT_EFORM},
		{"a NUL in the URL", 1, "https://a.exampl\0", 17, 0, -ZT_EFORM},
		{"a NUL, then more", 1, "https://a\0example", 17, 0, -ZT_EFORM},
		{"a control character", 1, "https://a\nexample", 17, 0, -ZT_EFORM},
		{"no URL", 1, "", 0, 0, -ZT_EFORM},
		{"another scheme", 1, "http://aa.example", 17, 0, -ZT_EFORM},
	};
	char text[ZT_TOKEN_TEXT_MAX + 1];
	uint8_t bytes[300] = {0};
	struct token back;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		size_t n = fields(rows[i].version, rows[i].url, rows[i].url_len, bytes);

		forge(bytes, n + (size_t)rows[i].more, text, sizeof(text));
		row_check(rows[i].says,
			  token_decode(text, TOKEN_ENROLL, &back, NULL) == rows[i].err);
	}
}

static void a_url_longer_than_any_is_refused(void **state)
{
	char url[256] = "https://", text[ZT_TOKEN_TEXT_MAX + 1];
	uint8_t bytes[400];
	struct token back;

	(void)state;
	for (size_t i = 8; i < 255; i++)
		url[i] = i % 50 == 0 ? '.' : 'a';
	forge(bytes, fields(1, url, ZT_URL_MAX, bytes), text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, NULL), 0);
	forge(bytes, fields(1, url, ZT_URL_MAX + 1, bytes), text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, NULL), -ZT_EFORM);
}

static void the_diagnostic_says_what_is_wrong(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1], longer[2 * ZT_TOKEN_TEXT_MAX];
	struct token t = sample(), back;
	uint8_t bytes[300];
	struct diag d;

	(void)state;
	assert_int_equal(token_decode("hello", TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "this is not an enrolment token");
	assert_string_equal(d.hint, "It begins with zt1_.");
	assert_int_equal(token_decode("", TOKEN_ADMIN, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "this is not an admin credential");
	encode(&t, text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ADMIN, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "this is an enrolment token, not an admin credential");
	snprintf(longer, sizeof(longer), "%s*", text);
	assert_int_equal(token_decode(longer, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token holds characters that no token has");
	text[10] ^= 1;
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token is mistyped: its check does not fit");
	text[10] ^= 1;
	text[strlen(text) / 2] = '\0';
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token is cut off");
	forge(bytes, fields(2, "https://a.example", 17, bytes), text, sizeof(text));
	assert_int_equal(token_decode(text, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "the token is of a newer version than this program");
	memset(longer, 'A', sizeof(longer));
	memcpy(longer, "zt1_", 4);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(token_decode(longer, TOKEN_ENROLL, &back, &d), -ZT_EFORM);
	assert_string_equal(d.message, "this is too long for a token");
}

static void no_piece_of_the_token_is_in_a_diagnostic(void **state)
{
	char text[ZT_TOKEN_TEXT_MAX + 1], piece[9];
	struct token t = sample(), back;
	struct diag d;

	(void)state;
	encode(&t, text, sizeof(text));
	for (size_t i = 4; i < strlen(text); i++) {
		char was = text[i];

		text[i] = i % 2 ? '!' : 'x';
		if (token_decode(text, TOKEN_ENROLL, &back, &d))
			for (size_t j = 4; j + 8 < strlen(text); j++) {
				memcpy(piece, text + j, 8);
				piece[8] = '\0';
				assert_null(strstr(d.message, piece));
				assert_null(strstr(d.hint, piece));
			}
		text[i] = was;
	}
}

static void controller_urls_are_https_host_and_port(void **state)
{
	static const struct {
		const char *url;
		int want;
	} rows[] = {
		{"https://zt.example.com", 443},
		{"https://zt.example.com:8443", 8443},
		{"https://localhost:1", 1},
		{"https://192.0.2.1:443", 443},
		{"https://192.0.2.1", 443},
		{"https://[2001:db8::1]:8443", 8443},
		{"https://[2001:db8::1]", 443},
		{"https://[::1]:8443", 8443},
		{"https://zt-1.example.com", 443},
		{"https://1.example.com", 443},
		{"http://zt.example.com", -ZT_EFORM},
		{"HTTPS://zt.example.com", -ZT_EFORM},
		{"https://Zt.example.com", -ZT_EFORM},
		{"zt.example.com", -ZT_EFORM},
		{"https://", -ZT_EFORM},
		{"https://:443", -ZT_EFORM},
		{"https://zt.example.com/", -ZT_EFORM},
		{"https://zt.example.com/v1", -ZT_EFORM},
		{"https://zt.example.com?x", -ZT_EFORM},
		{"https://zt.example.com#x", -ZT_EFORM},
		{"https://user@zt.example.com", -ZT_EFORM},
		{"https://user:pass@zt.example.com", -ZT_EFORM},
		{"https://zt.example.com:", -ZT_EFORM},
		{"https://zt.example.com:0", -ZT_EFORM},
		{"https://zt.example.com:65536", -ZT_EFORM},
		{"https://zt.example.com:x", -ZT_EFORM},
		{"https://zt..example.com", -ZT_EFORM},
		{"https://zt.example.com.", -ZT_EFORM},
		{"https://-zt.example.com", -ZT_EFORM},
		{"https://192.0.2.256", -ZT_EFORM},
		{"https://192.0.2", -ZT_EFORM},
		{"https://2130706433", -ZT_EFORM},
		{"https://2001:db8::1", -ZT_EFORM},
		{"https://[192.0.2.1]", -ZT_EFORM},
		{"https://[2001:db8::1", -ZT_EFORM},
		{"https://[2001:db8::1:443", -ZT_EFORM},
		{"https://2001:db8::1:443", -ZT_EFORM},
		{"https://[]", -ZT_EFORM},
		{"https://[2001:db8::1]8443", -ZT_EFORM},
		{"https://[2001:db8::1]x:8443", -ZT_EFORM},
		{"https://zt.example.com 8443", -ZT_EFORM},
		{"https://zt.example.com\n", -ZT_EFORM},
		{"", -ZT_EFORM},
	};
	char label[64], url[100];
	struct diag d;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		row_check(rows[i].url, token_check_url(rows[i].url, NULL) == rows[i].want);
		row_check(rows[i].url, token_check_url(rows[i].url, &d) == rows[i].want);
		row_check(rows[i].url, rows[i].want > 0 || d.hint[0] != '\0');
	}
	memset(label, 'a', 64);
	snprintf(url, sizeof(url), "https://%.64s.example", label);
	assert_int_equal(token_check_url(url, NULL), -ZT_EFORM);
	snprintf(url, sizeof(url), "https://%.63s.example", label);
	assert_int_equal(token_check_url(url, NULL), 443);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(the_bytes_are_those_of_the_header),
		cmocka_unit_test(the_longest_url_fits),
		cmocka_unit_test(a_token_needs_a_controller_url),
		cmocka_unit_test(an_enrolment_token_needs_a_network_key),
		cmocka_unit_test(white_space_around_it_is_forgiven),
		cmocka_unit_test(every_mistyped_character_is_noticed),
		cmocka_unit_test(every_cut_token_is_refused),
		cmocka_unit_test(a_correct_check_does_not_excuse_wrong_fields),
		cmocka_unit_test(a_token_that_names_no_network_is_refused),
		cmocka_unit_test(a_url_longer_than_any_is_refused),
		cmocka_unit_test(the_diagnostic_says_what_is_wrong),
		cmocka_unit_test(no_piece_of_the_token_is_in_a_diagnostic),
		cmocka_unit_test(controller_urls_are_https_host_and_port),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
