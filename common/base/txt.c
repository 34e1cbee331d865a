/* Text from outside: what counts as a name, what may reach a terminal, base64url, near misses. */
#include "zt/txt.h"

#include <sodium.h>
#include <string.h>

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
	return is_lower(c) || is_digit(c);
}

bool txt_is_name(const char *s)
{
	size_t i;

	if (!is_lower_alnum(s[0]))
		return false;
	for (i = 1; s[i] && i <= ZT_NAME_MAX; i++)
		if (!is_lower_alnum(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
			return false;
	return i <= ZT_NAME_MAX;
}

/* One DNS label, RFC 1123 section 2.1, lower case. */
static bool is_label(const char *s, size_t n)
{
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_lower_alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

bool txt_is_hostname(const char *s)
{
	return is_label(s, strnlen(s, ZT_NAME_MAX + 1));
}

/* RFC 5321 "Dot-string": words of atext (RFC 5322 section 3.2.3) with single dots between. */
static bool is_local_part(const char *s, size_t n)
{
	static const char special[] = "!#$%&'*+-/=?^_`{|}~";

	if (n == 0 || n > 64 || s[0] == '.' || s[n - 1] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '.' && s[i + 1] == '.')
			return false;
		if (s[i] != '.' && !is_lower_alnum(s[i]) && !strchr(special, s[i]))
			return false;
	}
	return true;
}

bool txt_is_email(const char *s)
{
	const char *at = strchr(s, '@');

	if (!at || strnlen(s, ZT_EMAIL_MAX + 1) > ZT_EMAIL_MAX ||
	    !is_local_part(s, (size_t)(at - s)))
		return false;
	for (const char *label = at + 1;;) {
		size_t n = strcspn(label, ".");

		if (!is_label(label, n))
			return false;
		if (!label[n])
			return true;
		label += n + 1;
	}
}

static bool is_word(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Does the path's part of n bytes name something below the one before? */
static bool is_path_part(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return n > 0 && !(n == 1 && s[0] == '.') && !(n == 2 && s[0] == '.' && s[1] == '.');
}

static bool is_path(const char *s)
{
	if (strnlen(s, ZT_CONDITION_NAME_MAX + 1) > ZT_CONDITION_NAME_MAX)
		return false;
	while (*s == '/') {
		size_t n = strcspn(++s, "/");

		if (!is_path_part(s, n))
			return false;
		s += n;
	}
	return true;
}

bool txt_is_program(const char *s)
{
	size_t i;

	if (s[0] == '/')
		return is_path(s);
	if (!is_word(s[0]))
		return false;
	for (i = 1; s[i] && i <= ZT_NAME_MAX; i++)
		if (!is_word(s[i]) && !strchr(".+-", s[i]))
			return false;
	return i <= ZT_NAME_MAX;
}

bool txt_is_account(const char *s)
{
	bool number = true;
	size_t i;

	for (i = 0; s[i] && i <= ZT_ACCOUNT_MAX; i++) {
		if (!is_word(s[i]) && s[i] != '.' && (s[i] != '-' || i == 0))
			return false;
		number = number && is_digit(s[i]);
	}
	return i <= ZT_ACCOUNT_MAX && !number;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629: shortest form, no surrogates), 0 when there is
 * none. */
static size_t utf8_next(const uint8_t *p, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1 : (p[0] >> 5) == 6 ? 2 : (p[0] >> 4) == 14 ? 3 : 4;
	uint32_t c = p[0];

	if (len == 4 && (p[0] >> 3) != 30)
		return 0;
	if (len > n)
		return 0;
	if (len > 1)
		c &= 0x7fU >> len;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] >> 6) != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3fU);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* Controls (C0, DEL, C1), line and paragraph separators, and the marks that turn writing direction
 * round: with those a text can show itself as another. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

bool txt_is_utf8(const void *p, size_t n)
{
	const uint8_t *s = p;
	uint32_t c;

	while (n > 0) {
		size_t len = utf8_next(s, n, &c);

		if (len == 0)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

bool txt_is_line(const char *s, size_t max)
{
	size_t n = strlen(s);
	uint32_t c;

	if (n == 0 || n > max)
		return false;
	while (n > 0) {
		size_t len = utf8_next((const uint8_t *)s, n, &c);

		if (len == 0 || is_control(c))
			return false;
		s += len;
		n -= len;
	}
	return true;
}

void txt_to_hostname(const char *s, char *out, size_t size)
{
	size_t n = 0, max = size ? size - 1 : 0;

	if (size == 0)
		return;
	if (max > ZT_NAME_MAX)
		max = ZT_NAME_MAX;
	for (; *s && *s != '.' && n < max; s++) {
		char c = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;

		if (is_lower_alnum(c))
			out[n++] = c;
		else if (n > 0 && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n > 0 && out[n - 1] == '-')
		n--;
	out[n] = '\0';
	if (n == 0 && txt_copy(out, size, "device"))
		out[0] = '\0';
}

void txt_safe(const char *s, char *out, size_t size)
{
	size_t left = strlen(s), n = 0;
	uint32_t c = 0;

	if (size == 0)
		return;
	while (left > 0) {
		size_t len = utf8_next((const uint8_t *)s, left, &c);
		bool bad = len == 0 || is_control(c);
		size_t take = len ? len : 1;

		if (n + (bad ? 1 : len) >= size)
			break;
		if (bad) {
			out[n++] = '?';
		} else {
			memcpy(out + n, s, len);
			n += len;
		}
		s += take;
		left -= take;
	}
	out[n] = '\0';
}

int txt_copy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	if (n >= size) {
		if (size)
			dst[0] = '\0';
		return -ZT_ELIMIT;
	}
	memmove(dst, src, n + 1);
	return 0;
}

bool txt_equal(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool txt_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* libsodium's coding takes the same time for all values, as secrets need. */
int txt_base64url_encode(const void *p, size_t n, char *out, size_t size)
{
	/* Bounds n too: encoded_len below would wrap for an n near SIZE_MAX. */
	if (n > size ||
	    size < sodium_base64_encoded_len(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING))
		return -ZT_ELIMIT;
	sodium_bin2base64(out, size, p, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return 0;
}

int txt_base64url_decode(const char *s, size_t len, void *out, size_t size, size_t *ret_len)
{
	size_t n;

	if (len % 4 == 1)
		return -ZT_EFORM;
	if (len / 4 * 3 + (len % 4) * 3 / 4 > size)
		return -ZT_ELIMIT;
	if (sodium_base642bin(out, size, s, len, NULL, &n, NULL,
			      sodium_base64_VARIANT_URLSAFE_NO_PADDING))
		return -ZT_EFORM;
	*ret_len = n;
	return 0;
}

void txt_hex(const void *p, size_t n, char *out)
{
	sodium_bin2hex(out, 2 * n + 1, p, n);
}

enum { NEAREST_MAX = 256 };

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, change, swap of neighbours) from a to b; both shorter than NEAREST_MAX.
 * Three rows of the table, because a swap looks two rows back. */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t rows[3][NEAREST_MAX];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= n_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *unused = before;

		before = last;
		last = row;
		row = unused;
		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			row[j] = min3(row[j - 1] + 1, last[j] + 1,
				      last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return row[n_b];
}

const char *txt_nearest(const char *s, const char *const *candidates, size_t n)
{
	size_t len = strlen(s), best = len / 3 + 1;
	const char *nearest = NULL;

	if (len >= NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t n_c = strlen(candidates[i]), distance;

		if (n_c >= NEAREST_MAX)
			continue;
		distance = edit_distance(s, len, candidates[i], n_c);
		if (distance < best) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}
