/* The controller's own keys: files in DIR apart from the database, 0600, made at init. */
#pragma once

#include "zt/key.h"

struct controller_keys {
	struct secret network; /* Ed25519 seed: signs netmaps and certificates */
	struct key network_pub;
	struct secret box; /* Curve25519: proof of WireGuard keys at enrolment */
	struct key box_pub;
	struct secret psk; /* master of pair preshared keys */
	struct key pin;	   /* SHA-256 of the TLS key's SubjectPublicKeyInfo */
};

/* Make keys and a self-signed TLS certificate (ECDSA P-256) for the host in DIR. -EEXIST when there
 * are some. */
int keys_create(int dir, const char *host, struct controller_keys *ret, struct diag *d) ZT_MUST_USE;
int keys_load(int dir, struct controller_keys *ret, struct diag *d) ZT_MUST_USE;
/* Pin of the TLS certificate that stands in DIR now. */
int keys_load_pin(int dir, struct key *ret, struct diag *d) ZT_MUST_USE;
void keys_wipe(struct controller_keys *k);
extern const char keys_tls_cert[], keys_tls_key[]; /* file names */
