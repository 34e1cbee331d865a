/* Tokens: the one string a person copies. Binary layout in token.h. Whatever is wrong with one is
 * said in words, and none of its bytes are in them. */
#include "zt/token.h"

#include <sodium.h>
#include <string.h>

#include "zt/addr.h"
#include "zt/buf.h"
#include "zt/cur.h"
#include "zt/num.h"
#include "zt/txt.h"

enum { TOKEN_VERSION = 1, CHECK_LEN = 4, HEAD_LEN = 2, TAIL_LEN = 32 + 8 + 32 + CHECK_LEN };
enum { TOKEN_BYTES_MAX = HEAD_LEN + ZT_URL_MAX + ZT_KEY_LEN + TAIL_LEN };

static const char *kind_prefix(enum token_kind kind)
{
	switch (kind) {
	case TOKEN_ENROLL:
		return "zt1_";
	case TOKEN_ADMIN:
		return "ztadm1_";
	}
	return "";
}

static const char *kind_name(enum token_kind kind)
{
	switch (kind) {
	case TOKEN_ENROLL:
		return "an enrolment token";
	case TOKEN_ADMIN:
		return "an admin credential";
	}
	return "";
}

/* A DNS name; only digits and dots would be an address that inet_pton did not take. */
static bool is_dns_name(const char *s)
{
	char label[64];
	bool numeric = true;

	for (;;) {
		size_t n = strcspn(s, ".");

		if (n >= sizeof(label))
			return false;
		memcpy(label, s, n);
		label[n] = '\0';
		if (!txt_is_hostname(label))
			return false;
		numeric = strspn(label, "0123456789") == n;
		if (!s[n])
			return !numeric;
		s += n + 1;
	}
}

/* host is "name", "192.0.2.1" or "[2001:db8::1]". */
static bool is_host(char *host)
{
	size_t n = strlen(host);
	struct addr a;

	if (host[0] != '[')
		return is_dns_name(host) || (addr_parse(host, &a) == 0 && a.family == ADDR_V4);
	if (n < 3 || host[n - 1] != ']')
		return false;
	host[n - 1] = '\0';
	return addr_parse(host + 1, &a) == 0 && a.family == ADDR_V6;
}

static int bad_url(struct diag *d, const char *what)
{
	diag_set(d, -ZT_EFORM, "not a controller URL: %s", what);
	diag_hint(d, "Write it as https://HOST or https://HOST:PORT, all in lower case.");
	return -ZT_EFORM;
}

int token_check_url(const char *url, struct diag *d)
{
	static const char scheme[] = "https://";
	char host[ZT_URL_MAX + 1];
	uint64_t port = 443;
	char *colon;

	if (strnlen(url, ZT_URL_MAX + 1) > ZT_URL_MAX)
		return bad_url(d, "it is too long");
	if (!txt_starts(url, scheme))
		return bad_url(d, "it does not begin with https://");
	if (strpbrk(url + strlen(scheme), "/?#@"))
		return bad_url(d, "only a host and a port may follow https://");
	if (txt_copy(host, sizeof(host), url + strlen(scheme)))
		return bad_url(d, "it is too long");
	colon = strrchr(host, ':');
	if (colon && !strchr(colon, ']')) {
		*colon = '\0';
		if (num_parse_u64(colon + 1, 1, UINT16_MAX, &port))
			return bad_url(d, "the port is not a number of 1 to 65535");
	}
	if (!is_host(host))
		return bad_url(d, "the host is neither a name nor an address");
	return (int)port;
}

static void put_check(struct buf *b)
{
	struct key hash;

	key_hash(b->data, b->len, &hash);
	buf_put(b, hash.b, CHECK_LEN);
}

static size_t tail_len(enum token_kind kind)
{
	return TAIL_LEN + (kind == TOKEN_ENROLL ? ZT_KEY_LEN : 0);
}

/* A device without one would believe any. */
static bool network_fits(const struct token *t)
{
	return t->kind != TOKEN_ENROLL || !key_is_zero(&t->network);
}

int token_encode(const struct token *t, char *out, size_t size)
{
	const char *prefix = kind_prefix(t->kind);
	uint8_t mem[TOKEN_BYTES_MAX];
	struct buf b;
	int err;

	if (token_check_url(t->url, NULL) < 0 || !network_fits(t))
		return -ZT_EFORM;
	buf_init(&b, mem, sizeof(mem));
	buf_put_u8(&b, TOKEN_VERSION);
	buf_put_u8(&b, (uint8_t)strlen(t->url));
	buf_put_text(&b, t->url);
	buf_put(&b, t->pin.b, sizeof(t->pin.b));
	if (t->kind == TOKEN_ENROLL)
		buf_put(&b, t->network.b, sizeof(t->network.b));
	buf_put_u64(&b, t->id);
	buf_put(&b, t->secret.b, sizeof(t->secret.b));
	put_check(&b);
	err = b.err ? b.err : txt_copy(out, size, prefix);
	if (!err)
		err = txt_base64url_encode(b.data, b.len, out + strlen(prefix),
					   size - strlen(prefix));
	sodium_memzero(mem, sizeof(mem));
	return err;
}

static int wrong(struct diag *d, const char *what)
{
	diag_set(d, -ZT_EFORM, "%s", what);
	diag_hint(d, "Copy the whole token again, or ask an admin for a new one.");
	return -ZT_EFORM;
}

/* The check is over all bytes, so every mistyped character is caught before a field is believed. */
static int decode_bytes(const uint8_t *p, size_t n, struct token *t, struct diag *d)
{
	struct key hash;
	size_t url_len;
	struct cur c;

	if (n < HEAD_LEN || n < HEAD_LEN + (size_t)p[1] + tail_len(t->kind))
		return wrong(d, "the token is cut off");
	if (p[0] > TOKEN_VERSION) {
		diag_set(d, -ZT_EFORM, "the token is of a newer version than this program");
		diag_hint(d, "Install a newer version of this program.");
		return -ZT_EFORM;
	}
	key_hash(p, n - CHECK_LEN, &hash);
	if (memcmp(hash.b, p + n - CHECK_LEN, CHECK_LEN) != 0)
		return wrong(d, "the token is mistyped: its check does not fit");
	cur_init(&c, p, n - CHECK_LEN);
	if (cur_u8(&c) != TOKEN_VERSION)
		cur_fail(&c);
	url_len = cur_u8(&c);
	if (url_len > ZT_URL_MAX)
		return wrong(d, "the token's URL is too long");
	cur_fixed_text(&c, t->url, url_len);
	cur_copy(&c, t->pin.b, sizeof(t->pin.b));
	if (t->kind == TOKEN_ENROLL)
		cur_copy(&c, t->network.b, sizeof(t->network.b));
	t->id = cur_u64(&c);
	cur_copy(&c, t->secret.b, sizeof(t->secret.b));
	if (cur_done(&c) || strlen(t->url) != url_len || !network_fits(t))
		return wrong(d, "the token is malformed");
	return token_check_url(t->url, d) < 0 ? -ZT_EFORM : 0;
}

/* s is without white space around it and of n characters. */
static int decode_text(const char *s, size_t n, enum token_kind want, struct token *t,
		       struct diag *d)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	enum token_kind other = want == TOKEN_ENROLL ? TOKEN_ADMIN : TOKEN_ENROLL;
	size_t skip = strlen(kind_prefix(want)), len;
	uint8_t mem[ZT_TOKEN_TEXT_MAX];
	int err;

	if (txt_starts(s, kind_prefix(other))) {
		diag_set(d, -ZT_EFORM, "this is %s, not %s", kind_name(other), kind_name(want));
		diag_hint(d, "Use the string that begins with %s.", kind_prefix(want));
		return -ZT_EFORM;
	}
	if (!txt_starts(s, kind_prefix(want)) || n < skip) {
		diag_set(d, -ZT_EFORM, "this is not %s", kind_name(want));
		diag_hint(d, "It begins with %s.", kind_prefix(want));
		return -ZT_EFORM;
	}
	if (n > ZT_TOKEN_TEXT_MAX)
		return wrong(d, "this is too long for a token");
	err = txt_base64url_decode(s + skip, n - skip, mem, sizeof(mem), &len);
	if (err && strspn(s + skip, alphabet) < n - skip)
		err = wrong(d, "the token holds characters that no token has");
	else if (err)
		err = wrong(d, "the token is cut off");
	else
		err = decode_bytes(mem, len, t, d);
	sodium_memzero(mem, sizeof(mem));
	return err;
}

int token_decode(const char *text, enum token_kind want, struct token *ret, struct diag *d)
{
	static const char white[] = " \t\r\n\v\f";
	const char *s = text + strspn(text, white);
	size_t n = strlen(s);
	struct token t = {.kind = want};
	int err;

	while (n > 0 && strchr(white, s[n - 1]))
		n--;
	err = decode_text(s, n, want, &t, d);
	if (!err)
		*ret = t;
	secret_wipe(&t.secret);
	return err;
}
