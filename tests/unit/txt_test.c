/* Names, safe text, base64url, near misses; error texts and diagnostics, which are text too. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <limits.h>

#include "zt/txt.h"

static char *repeat(char *out, const char *piece, size_t times)
{
	size_t n = strlen(piece);

	for (size_t i = 0; i < times; i++)
		memcpy(out + i * n, piece, n);
	out[times * n] = '\0';
	return out;
}

static void names_are_lower_case_and_short(void **state)
{
	static const struct {
		const char *text;
		bool name, hostname;
	} rows[] = {
		{"a", true, true},	  {"0", true, true},
		{"9", true, true},	  {"db-1", true, true},
		{"a.b_c-d", true, false}, {"", false, false},
		{"-a", false, false},	  {"a-", true, false},
		{".a", false, false},	  {"_a", false, false},
		{"A", false, false},	  {"a b", false, false},
		{"a/b", false, false},	  {"gr\xc3\xbcn", false, false},
		{"a\n", false, false},	  {"a\x1b", false, false},
		{"a'b", false, false},
	};
	char text[70];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		row_check(rows[i].text, txt_is_name(rows[i].text) == rows[i].name);
		row_check(rows[i].text, txt_is_hostname(rows[i].text) == rows[i].hostname);
	}
	assert_true(txt_is_name(repeat(text, "a", 63)));
	assert_true(txt_is_hostname(text));
	assert_false(txt_is_name(repeat(text, "a", 64)));
	assert_false(txt_is_hostname(text));
}

static void emails_have_one_spelling(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} rows[] = {
		{"ada@example.com", true},
		{"ada.lovelace+zt@mail.example.com", true},
		{"ada@x", true},
		{"o'brien@example.com", true},
		{"Ada@example.com", false},
		{"ada@Example.com", false},
		{"ada", false},
		{"@example.com", false},
		{"ada@", false},
		{"ada@@example.com", false},
		{"ada@b@example.com", false},
		{"ada@example..com", false},
		{"ada@.example.com", false},
		{"ada@example.com.", false},
		{"ada@-example.com", false},
		{".ada@example.com", false},
		{"ada.@example.com", false},
		{"a..da@example.com", false},
		{"a da@example.com", false},
		{"\"ada\"@example.com", false},
		{"<ada>@example.com", false},
		{"ada,lin@example.com", false},
		{"ada\n@example.com", false},
		{"\xc3\xa4@example.com", false},
		{"", false},
	};
	char local[80], text[400], label[64], long_label[70];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].text, txt_is_email(rows[i].text) == rows[i].want);
	snprintf(text, sizeof(text), "%s@example.com", repeat(local, "a", 64));
	assert_true(txt_is_email(text));
	snprintf(text, sizeof(text), "%s@example.com", repeat(local, "a", 65));
	assert_false(txt_is_email(text));
	repeat(label, "b", 61);
	snprintf(text, sizeof(text), "abcde@%s.%s.%s.%s", label, label, label, label);
	assert_int_equal(strlen(text), 253);
	assert_true(txt_is_email(text));
	snprintf(text, sizeof(text), "abcdef@%s.%s.%s.%s", label, label, label, label);
	assert_true(txt_is_email(text));
	snprintf(text, sizeof(text), "abcdefg@%s.%s.%s.%s", label, label, label, label);
	assert_int_equal(strlen(text), 255);
	assert_false(txt_is_email(text));
	snprintf(text, sizeof(text), "a@%s", repeat(long_label, "b", 64));
	assert_false(txt_is_email(text));
}

static void utf8_is_the_shortest_form_of_a_character(void **state)
{
	static const struct {
		const char *says, *text;
		bool want;
	} rows[] = {
		{"ASCII", "abc", true},
		{"two bytes", "\xc3\xbc", true},
		{"three bytes", "\xe2\x82\xac", true},
		{"four bytes", "\xf0\x9f\x94\x92", true},
		{"the last character", "\xf4\x8f\xbf\xbf", true},
		{"past the last", "\xf4\x90\x80\x80", false},
		{"an overlong slash", "\xc0\xaf", false},
		{"an overlong slash of three", "\xe0\x80\xaf", false},
		{"an overlong slash of four", "\xf0\x80\x80\xaf", false},
		{"the first surrogate", "\xed\xa0\x80", false},
		{"the last surrogate", "\xed\xbf\xbf", false},
		{"the character before them", "\xed\x9f\xbf", true},
		{"the character after them", "\xee\x80\x80", true},
		{"a lone continuation", "\x80", false},
		{"cut off", "a\xe2\x82", false},
		{"a continuation missing", "\xe2\x82z", false},
		{"five bytes", "\xf8\x88\x80\x80\x80", false},
		{"0xff", "\xff", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  txt_is_utf8(rows[i].text, strlen(rows[i].text)) == rows[i].want);
	assert_true(txt_is_utf8("a\0b", 3));
	assert_true(txt_is_utf8(NULL, 0));
}

static void a_line_has_no_controls_and_a_length(void **state)
{
	static const struct {
		const char *says, *text;
		bool want;
	} rows[] = {
		{"words", "Payroll clerks run it, monthly.", true},
		{"UTF-8",
		 "Gr\xc3\xbc\xc3\x9f"
		 "e",
		 true},
		{"nothing", "", false},
		{"a newline", "a\nb", false},
		{"a tab", "a\tb", false},
		{"an escape", "\x1b[2J", false},
		{"DEL", "a\x7f", false},
		{"a C1 control: CSI in one character",
		 "a\xc2\x9b"
		 "31m",
		 false},
		{"the last C1 control", "\xc2\x9f", false},
		{"the first character after them", "\xc2\xa0", true},
		{"the last direction isolate", "\xe2\x81\xa9", false},
		{"a line separator", "a\xe2\x80\xa8", false},
		{"writing direction turned round",
		 "a\xe2\x80\xae"
		 "b",
		 false},
		{"a direction isolate",
		 "a\xe2\x81\xa6"
		 "b",
		 false},
		{"broken UTF-8", "a\xff", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, txt_is_line(rows[i].text, 100) == rows[i].want);
	assert_true(txt_is_line("12345", 5));
	assert_false(txt_is_line("123456", 5));
}

static void a_hostname_is_made_of_anything(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"Ada's Laptop.local", "ada-s-laptop"},
		{"db-1", "db-1"},
		{"--x--", "x"},
		{"AZ", "az"},
		{"a  --  b", "a-b"},
		{"", "device"},
		{".local", "device"},
		{"\xe2\x98\x83\xe2\x98\x83", "device"},
		{"B\xc3\xbcro PC", "b-ro-pc"},
		{"\x1b[31mred", "31mred"},
	};
	char out[64], text[200];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		txt_to_hostname(rows[i].text, out, sizeof(out));
		assert_string_equal(out, rows[i].want);
		assert_true(txt_is_hostname(out));
	}
	txt_to_hostname(repeat(text, "ab-", 60), out, sizeof(out));
	assert_int_equal(strlen(out), 62);
	assert_true(txt_is_hostname(out));
	txt_to_hostname("abcdef", out, 4);
	assert_string_equal(out, "abc");
	txt_to_hostname("", out, 4);
	assert_string_equal(out, "");
}

static void unsafe_characters_become_question_marks(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"plain", "plain"},
		{"a\x1b[31mb", "a?[31mb"},
		{"a\nb\tc\rd", "a?b?c?d"},
		{"Gr\xc3\xbcn", "Gr\xc3\xbcn"},
		{"a\xff\xfe"
		 "b",
		 "a??b"},
		{"a\xc2\x9b"
		 "b",
		 "a?b"},
		{"a\xe2\x80\xae"
		 "b",
		 "a?b"},
		{"\xe2\x82", "??"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		txt_safe(rows[i].text, out, sizeof(out));
		assert_string_equal(out, rows[i].want);
	}
}

static void safe_text_is_cut_between_characters(void **state)
{
	char out[4];

	(void)state;
	txt_safe("ab\xc3\xbc", out, sizeof(out));
	assert_string_equal(out, "ab");
	txt_safe("a\xc3\xbc", out, sizeof(out));
	assert_string_equal(out, "a\xc3\xbc");
	txt_safe("abcdef", out, 1);
	assert_string_equal(out, "");
}

static void a_copy_that_does_not_fit_is_empty(void **state)
{
	char out[4] = "xxx";

	(void)state;
	assert_int_equal(txt_copy(out, sizeof(out), "abc"), 0);
	assert_string_equal(out, "abc");
	assert_int_equal(txt_copy(out, sizeof(out), "abcd"), -ZT_ELIMIT);
	assert_string_equal(out, "");
	assert_int_equal(txt_copy(out, 0, ""), -ZT_ELIMIT);
}

static void equality_and_prefixes(void **state)
{
	(void)state;
	assert_true(txt_equal("a", "a"));
	assert_false(txt_equal("a", "b"));
	assert_true(txt_equal(NULL, NULL));
	assert_false(txt_equal(NULL, ""));
	assert_false(txt_equal("", NULL));
	assert_true(txt_starts("tag:db", "tag:"));
	assert_true(txt_starts("a", ""));
	assert_false(txt_starts("ta", "tag:"));
}

static void base64url_has_the_values_of_rfc_4648(void **state)
{
	static const struct {
		const char *bytes, *text;
	} rows[] = {
		{"", ""},
		{"f", "Zg"},
		{"fo", "Zm8"},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg"},
		{"fooba", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xff", "-_8"},
	};
	char text[16];
	uint8_t bytes[16];
	size_t n;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		size_t len = strlen(rows[i].bytes);

		assert_int_equal(
			txt_base64url_encode(rows[i].bytes, len, text, strlen(rows[i].text) + 1),
			0);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(
			txt_base64url_encode(rows[i].bytes, len, text, strlen(rows[i].text)),
			-ZT_ELIMIT);
		assert_int_equal(
			txt_base64url_decode(rows[i].text, strlen(rows[i].text), bytes, len, &n),
			0);
		assert_int_equal(n, len);
		assert_memory_equal(bytes, rows[i].bytes, len);
	}
}

static void base64url_is_strict(void **state)
{
	static const struct {
		const char *says, *text;
		int err;
	} rows[] = {
		{"padding", "Zg==", -ZT_EFORM},
		{"white space", "Zm 9v", -ZT_EFORM},
		{"a newline at the end", "Zm9v\n", -ZT_EFORM},
		{"the other alphabet", "+/8", -ZT_EFORM},
		{"trailing bits that are not zero", "Zh", -ZT_EFORM},
		{"the same with three characters", "Zm9", -ZT_EFORM},
		{"a length that no bytes have", "Zm9vY", -ZT_EFORM},
		{"more than there is room for", "Zm9vYmFyZm9vYmFy", -ZT_ELIMIT},
	};
	uint8_t bytes[8];
	size_t n = 77;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  txt_base64url_decode(rows[i].text, strlen(rows[i].text), bytes,
					       sizeof(bytes), &n) == rows[i].err);
	assert_int_equal(n, 77);
}

static void hex_is_lower_case(void **state)
{
	char out[7];

	(void)state;
	txt_hex("\x00\xab\xff", 3, out);
	assert_string_equal(out, "00abff");
}

static void the_nearest_name_is_close(void **state)
{
	static const char *const names[] = {"disk.encrypted", "firewall.enabled", "tcp", "group",
					    "groups"};
	static const struct {
		const char *says, *text, *want;
	} rows[] = {
		{"a letter missing", "disk.encryptd", "disk.encrypted"},
		{"a letter too many", "firewall.ennabled", "firewall.enabled"},
		{"two letters swapped count as one edit", "tpc", "tcp"},
		{"the nearer of two", "groupss", "groups"},
		{"the first of two that are equally near", "groupx", "group"},
		{"itself", "tcp", "tcp"},
		{"nothing like it", "printer", NULL},
		{"a third of its length away", "disk.crypted", "disk.encrypted"},
		{"too short to guess from", "x", NULL},
		{"nothing", "", NULL},
	};
	char text[600];

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says,
			  txt_equal(txt_nearest(rows[i].text, names, N_OF(names)), rows[i].want));
	assert_null(txt_nearest(repeat(text, "a", 500), names, N_OF(names)));
	assert_null(txt_nearest("tcp", NULL, 0));
}

/* Six letters: two edits are near, three are not. */
static void nearness_counts_every_kind_of_edit(void **state)
{
	static const struct {
		const char *says, *other;
		bool near;
	} rows[] = {
		{"two changed at the end", "abcdxy", true},
		{"three changed", "abcxyz", false},
		{"two changed at the start", "xycdef", true},
		{"two more at the end", "abcdefxy", true},
		{"three more", "abcdefxyz", false},
		{"two more at the start", "xyabcdef", true},
		{"two less at the end", "abcd", true},
		{"three less", "abc", false},
		{"two less at the start", "cdef", true},
		{"two swaps", "badcef", true},
		{"two swaps at the end", "abdcfe", true},
		{"three swaps", "badcfe", false},
		{"no swap, though letters repeat", "aabbef", false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		const char *got = txt_nearest("abcdef", &rows[i].other, 1);

		row_check(rows[i].says, (got != NULL) == rows[i].near);
	}
}

static void names_too_long_to_compare_are_passed_over(void **state)
{
	char text[300], longer[300];
	const char *const candidates[] = {longer, text};

	(void)state;
	repeat(text, "a", 255);
	repeat(longer, "a", 256);
	assert_ptr_equal(txt_nearest(text, candidates, 2), text);
	assert_null(txt_nearest(longer, candidates, 2));
}

static void every_error_has_a_text(void **state)
{
	(void)state;
	for (int e = ZT_EFORM; e <= ZT_EUNREACH; e++)
		assert_string_not_equal(zt_strerror(e), "unknown error");
	assert_string_equal(zt_strerror(-ENOENT), "no such file or directory");
	assert_string_equal(zt_strerror(ENOENT), "no such file or directory");
	assert_string_equal(zt_strerror(-ZT_ELEASE), "the lease is over");
	assert_string_equal(zt_strerror(0), "no error");
	assert_string_equal(zt_strerror(ZT_EUNREACH + 1), "unknown error");
	assert_string_equal(zt_strerror(4000), "unknown error");
	assert_string_equal(zt_strerror(INT_MIN), "unknown error");
}

static void a_diagnostic_says_where_and_is_safe(void **state)
{
	struct diag d;
	char out[600];

	(void)state;
	diag_hint(NULL, "%s", "x");
	assert_int_equal(diag_set(NULL, -EINVAL, "%s", "x"), -EINVAL);
	assert_int_equal(diag_set(&d, -ZT_EFORM, "unknown %s", "gr\x1boup"), -ZT_EFORM);
	diag_hint(&d, "did you mean %s?", "group");
	diag_print(&d, out, sizeof(out));
	assert_string_equal(out, "unknown gr?oup");
	assert_string_equal(d.hint, "did you mean group?");
	assert_int_equal(txt_copy(d.file, sizeof(d.file), "a\nb.ini"), 0);
	d.line = 12;
	diag_print(&d, out, sizeof(out));
	assert_string_equal(out, "a?b.ini:12: unknown gr?oup");
	d.column = 3;
	diag_print(&d, out, sizeof(out));
	assert_string_equal(out, "a?b.ini:12:3: unknown gr?oup");
	diag_print(&d, out, 5);
	assert_string_equal(out, "a?b.");
	diag_set(&d, 0, "again: %s", d.message);
	diag_print(&d, out, sizeof(out));
	assert_string_equal(out, "again: unknown gr?oup");
	assert_string_equal(d.hint, "");
}

static void a_long_diagnostic_stays_valid_utf8(void **state)
{
	char text[1000];
	struct diag d;

	(void)state;
	diag_set(&d, 0, "x%s", repeat(text, "\xc3\xbc", 400));
	assert_true(txt_is_utf8(d.message, strlen(d.message)));
	assert_int_equal(strlen(d.message), 399);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_lower_case_and_short),
		cmocka_unit_test(emails_have_one_spelling),
		cmocka_unit_test(utf8_is_the_shortest_form_of_a_character),
		cmocka_unit_test(a_line_has_no_controls_and_a_length),
		cmocka_unit_test(a_hostname_is_made_of_anything),
		cmocka_unit_test(unsafe_characters_become_question_marks),
		cmocka_unit_test(safe_text_is_cut_between_characters),
		cmocka_unit_test(a_copy_that_does_not_fit_is_empty),
		cmocka_unit_test(equality_and_prefixes),
		cmocka_unit_test(base64url_has_the_values_of_rfc_4648),
		cmocka_unit_test(base64url_is_strict),
		cmocka_unit_test(hex_is_lower_case),
		cmocka_unit_test(the_nearest_name_is_close),
		cmocka_unit_test(nearness_counts_every_kind_of_edit),
		cmocka_unit_test(names_too_long_to_compare_are_passed_over),
		cmocka_unit_test(every_error_has_a_text),
		cmocka_unit_test(a_diagnostic_says_where_and_is_safe),
		cmocka_unit_test(a_long_diagnostic_stays_valid_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
