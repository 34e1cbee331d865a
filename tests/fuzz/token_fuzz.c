/* Token texts as a person might paste them; and, so that the check does not keep everything out,
 * the input as a token's bytes with the right check behind them. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <string.h>

#include "zt/token.h"
#include "zt/txt.h"

enum { INPUT_MAX = 1000 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return sodium_init() < 0 ? -1 : 0;
}

/* What is taken has a good URL and encodes to a token that is the same. */
static void check_token(const char *text, enum token_kind kind)
{
	char again[ZT_TOKEN_TEXT_MAX + 1];
	struct token t, back;
	struct diag d;

	if (token_decode(text, kind, &t, &d)) {
		fuzz_check(d.message[0] != '\0' && txt_is_line(d.message, sizeof(d.message)));
		return;
	}
	fuzz_check(token_check_url(t.url, NULL) > 0);
	fuzz_check(token_encode(&t, again, sizeof(again)) == 0);
	fuzz_check(strstr(text, again));
	fuzz_check(token_decode(again, kind, &back, NULL) == 0);
	fuzz_check(back.id == t.id && secret_equal(&back.secret, &t.secret));
	fuzz_check(key_equal(&back.network, &t.network));
	fuzz_check(key_is_zero(&t.network) == (kind == TOKEN_ADMIN));
}

static void check_bytes(const uint8_t *p, size_t n)
{
	uint8_t bytes[INPUT_MAX + ZT_HASH_LEN];
	char text[2 * sizeof(bytes)] = "zt1_";
	struct key hash;

	memcpy(bytes, p, n);
	key_hash(p, n, &hash);
	memcpy(bytes + n, hash.b, 4);
	fuzz_check(txt_base64url_encode(bytes, n + 4, text + 4, sizeof(text) - 4) == 0);
	check_token(text, TOKEN_ENROLL);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text;

	if (n > INPUT_MAX)
		return 0;
	text = malloc(n + 1);
	fuzz_check(text);
	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\0';
	check_token(text, TOKEN_ENROLL);
	check_token(text, TOKEN_ADMIN);
	fuzz_check(token_check_url(text, NULL) <= UINT16_MAX);
	free(text);
	if (n > 0)
		check_bytes(p, n);
	return 0;
}
