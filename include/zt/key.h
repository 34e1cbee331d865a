/* Keys: two of them make a device (Ed25519 identity, Curve25519 WireGuard). Secrets are wiped by
 * secret_wipe and never printed. libsodium underneath; everything here is deterministic, so pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

struct key {
	uint8_t b[ZT_KEY_LEN];
}; /* a public key, a hash, or a public random number */

struct secret {
	uint8_t b[ZT_KEY_LEN];
}; /* an Ed25519 seed, a Curve25519 private key, a preshared key, a shared secret */

struct sig {
	uint8_t b[ZT_SIG_LEN];
};

enum { KEY_TEXT_MAX = 45 };

bool key_equal(const struct key *a, const struct key *b); /* constant time */
bool key_is_zero(const struct key *k);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */
void secret_wipe(struct secret *s);
void key_print(const struct key *k,
	       char out[static KEY_TEXT_MAX]);		   /* standard base64, as wg prints */
int key_parse(const char *s, struct key *ret) ZT_MUST_USE; /* -ZT_EFORM */

void key_of_identity(const struct secret *seed, struct key *ret); /* Ed25519 public key of a seed */
void key_of_wireguard(const struct secret *priv, struct key *ret); /* Curve25519 public key */
void secret_clamp(struct secret *priv); /* make random bytes a Curve25519 private key */

void key_hash(const void *p, size_t n, struct key *ret); /* BLAKE2b-256 */
/* BLAKE2b-256 keyed with k over p. */
void key_mac(const struct secret *k, const void *p, size_t n, struct key *ret);

/* Ed25519 over domain || 0x00 || message; domain says what is signed, so that no signature serves
 * twice. What is longer in all than KEY_SIGNED_MAX gets a zero signature, and none verifies: sign
 * its hash. */
enum { KEY_SIGNED_MAX = 4096 };
void key_sign(const struct secret *seed, const char *domain, const void *msg, size_t n,
	      struct sig *ret);
int key_verify(const struct key *pub, const char *domain, const void *msg, size_t n,
	       const struct sig *sig) ZT_MUST_USE; /* 0 or -ZT_ESIG */

/* Proof that both ends of a Curve25519 exchange have their private key: MAC keyed with the shared
 * secret over domain || 0x00 || msg. -ZT_ESIG for a public key of low order. */
int key_prove(const struct secret *priv, const struct key *other, const char *domain,
	      const void *msg, size_t n, struct key *ret) ZT_MUST_USE;

/* Open a sealed box (crypto_box_seal to the X25519 form of an identity key). out has n - 48 bytes.
 * -ZT_ESIG. */
enum { KEY_SEAL_EXTRA = 48 };
int key_seal_open(const struct secret *identity_seed, const void *box, size_t n,
		  void *out) ZT_MUST_USE;

/* Pair preshared key: crypto_kdf of master by epoch, then by the ordered pair. Same for (a,b) and
 * (b,a). */
void key_psk(const struct secret *master, uint32_t epoch, uint32_t a, uint32_t b,
	     struct secret *ret);
