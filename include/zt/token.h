/* One string that names a controller, pins its key and carries a secret: enrolment tokens (zt1_)
 * and admin credentials (ztadm1_). Form: prefix + base64url of u8 version=1 | u8 url length | url |
 * pin[32] | network[32], of enrolment tokens only | u64 id | secret[32] | check[4]. pin: SHA-256 of
 * the TLS key's SubjectPublicKeyInfo (DER), as curl's CURLOPT_PINNEDPUBLICKEY and RFC 7469.
 * network: the Ed25519 key that signs netmaps, so that a device learns it from whoever gave it the
 * token and from nobody on the way. check: first 4 bytes of BLAKE2b over what stands before, so a
 * mistyped token is known without asking. */
#pragma once

#include "zt/key.h"

enum token_kind { TOKEN_ENROLL, TOKEN_ADMIN };

struct token {
	enum token_kind kind;
	char url[ZT_URL_MAX + 1]; /* https://host:port, no path, no trailing slash */
	struct key pin;
	struct key network; /* of TOKEN_ENROLL, never zero there */
	uint64_t id;
	struct secret secret; /* wipe with secret_wipe */
};

/* -ZT_ELIMIT, -ZT_EFORM (url, no network key) */
int token_encode(const struct token *t, char *out, size_t size) ZT_MUST_USE;
/* White space around it is forgiven. -ZT_EFORM with what is wrong in d: not a token, of the other
 * kind, cut off, mistyped (check), newer version. The secret never stands in d. */
int token_decode(const char *text, enum token_kind want, struct token *ret,
		 struct diag *d) ZT_MUST_USE;
/* https://host[:port] with a host name or address, no user, path, query. Gives the port,
 * 443 when none is named; or -ZT_EFORM. d may be NULL. */
int token_check_url(const char *url, struct diag *d) ZT_MUST_USE;
