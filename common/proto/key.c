/* Keys, signatures and proofs: thin names over libsodium, deterministic (random bytes come from the
 * caller). */
#include "zt/key.h"

#include <sodium.h>
#include <string.h>

#include "zt/buf.h"

_Static_assert(ZT_KEY_LEN == crypto_sign_SEEDBYTES, "identity seed");
_Static_assert(ZT_KEY_LEN == crypto_sign_PUBLICKEYBYTES, "identity public key");
_Static_assert(ZT_KEY_LEN == crypto_scalarmult_BYTES, "WireGuard public key");
_Static_assert(ZT_KEY_LEN == crypto_scalarmult_SCALARBYTES, "WireGuard private key");
_Static_assert(ZT_KEY_LEN == crypto_kdf_KEYBYTES, "KDF key");
_Static_assert(ZT_SIG_LEN == crypto_sign_BYTES, "signature");
_Static_assert(KEY_SEAL_EXTRA == crypto_box_SEALBYTES, "sealed box");
_Static_assert(KEY_TEXT_MAX ==
		       sodium_base64_ENCODED_LEN(ZT_KEY_LEN, sodium_base64_VARIANT_ORIGINAL),
	       "base64 of a key");

bool key_equal(const struct key *a, const struct key *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool key_is_zero(const struct key *k)
{
	return sodium_is_zero(k->b, sizeof(k->b)) == 1;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

void secret_wipe(struct secret *s)
{
	sodium_memzero(s, sizeof(*s));
}

void key_print(const struct key *k, char out[static KEY_TEXT_MAX])
{
	sodium_bin2base64(out, KEY_TEXT_MAX, k->b, sizeof(k->b), sodium_base64_VARIANT_ORIGINAL);
}

int key_parse(const char *s, struct key *ret)
{
	struct key k;
	size_t n;

	if (sodium_base642bin(k.b, sizeof(k.b), s, strlen(s), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    n != sizeof(k.b))
		return -ZT_EFORM;
	*ret = k;
	return 0;
}

void key_of_identity(const struct secret *seed, struct key *ret)
{
	uint8_t sk[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(ret->b, sk, seed->b);
	sodium_memzero(sk, sizeof(sk));
}

void key_of_wireguard(const struct secret *priv, struct key *ret)
{
	crypto_scalarmult_base(ret->b, priv->b);
}

/* RFC 7748 section 5. WireGuard does the same when a key is set; done here too, so that the bytes
 * kept in the file and those that the kernel shows are equal. */
void secret_clamp(struct secret *priv)
{
	priv->b[0] &= 248;
	priv->b[31] &= 127;
	priv->b[31] |= 64;
}

void key_hash(const void *p, size_t n, struct key *ret)
{
	crypto_generichash(ret->b, sizeof(ret->b), p, n, NULL, 0);
}

void key_mac(const struct secret *k, const void *p, size_t n, struct key *ret)
{
	crypto_generichash(ret->b, sizeof(ret->b), p, n, k->b, sizeof(k->b));
}

/* domain || 0x00 || message; err is set when that is too long. */
static void put_signed(struct buf *b, const char *domain, const void *msg, size_t n)
{
	buf_put_text(b, domain);
	buf_put_u8(b, 0);
	buf_put(b, msg, n);
}

void key_sign(const struct secret *seed, const char *domain, const void *msg, size_t n,
	      struct sig *ret)
{
	uint8_t pk[crypto_sign_PUBLICKEYBYTES], sk[crypto_sign_SECRETKEYBYTES];
	uint8_t mem[KEY_SIGNED_MAX];
	struct buf b;

	memset(ret, 0, sizeof(*ret));
	buf_init(&b, mem, sizeof(mem));
	put_signed(&b, domain, msg, n);
	if (b.err)
		return;
	crypto_sign_seed_keypair(pk, sk, seed->b);
	crypto_sign_detached(ret->b, NULL, b.data, b.len, sk);
	sodium_memzero(sk, sizeof(sk));
}

int key_verify(const struct key *pub, const char *domain, const void *msg, size_t n,
	       const struct sig *sig)
{
	uint8_t mem[KEY_SIGNED_MAX];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	put_signed(&b, domain, msg, n);
	if (b.err || crypto_sign_verify_detached(sig->b, b.data, b.len, pub->b))
		return -ZT_ESIG;
	return 0;
}

int key_prove(const struct secret *priv, const struct key *other, const char *domain,
	      const void *msg, size_t n, struct key *ret)
{
	crypto_generichash_state state;
	uint8_t shared[crypto_scalarmult_BYTES];

	if (crypto_scalarmult(shared, priv->b, other->b)) {
		sodium_memzero(shared, sizeof(shared));
		return -ZT_ESIG;
	}
	crypto_generichash_init(&state, shared, sizeof(shared), sizeof(ret->b));
	/* The terminating NUL is the separator. */
	crypto_generichash_update(&state, (const uint8_t *)domain, strlen(domain) + 1);
	crypto_generichash_update(&state, msg, n);
	crypto_generichash_final(&state, ret->b, sizeof(ret->b));
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(shared, sizeof(shared));
	return 0;
}

int key_seal_open(const struct secret *identity_seed, const void *box, size_t n, void *out)
{
	uint8_t pk[crypto_sign_PUBLICKEYBYTES], sk[crypto_sign_SECRETKEYBYTES];
	uint8_t box_pk[crypto_box_PUBLICKEYBYTES], box_sk[crypto_box_SECRETKEYBYTES];
	int err;

	if (n < KEY_SEAL_EXTRA)
		return -ZT_ESIG;
	crypto_sign_seed_keypair(pk, sk, identity_seed->b);
	crypto_sign_ed25519_sk_to_curve25519(box_sk, sk);
	crypto_scalarmult_base(box_pk, box_sk);
	err = crypto_box_seal_open(out, box, n, box_pk, box_sk);
	sodium_memzero(sk, sizeof(sk));
	sodium_memzero(box_sk, sizeof(box_sk));
	return err ? -ZT_ESIG : 0;
}

void key_psk(const struct secret *master, uint32_t epoch, uint32_t a, uint32_t b,
	     struct secret *ret)
{
	uint64_t low = a < b ? a : b, high = a < b ? b : a;
	struct secret of_epoch;

	crypto_kdf_derive_from_key(of_epoch.b, sizeof(of_epoch.b), epoch, "ztpsk-ep", master->b);
	crypto_kdf_derive_from_key(ret->b, sizeof(ret->b), low << 32 | high, "ztpsk-pr",
				   of_epoch.b);
	secret_wipe(&of_epoch);
}
