#!/bin/bash
# No source has a secret built in, makes its own randomness, or compares a secret by anything that takes longer the
# more of it is right (scripts/check-secrets); and the checker sees each of these when it is there.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

verdict()
{
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failed=1
	fi
}

# A tree of one file with these lines; what is said of it, or nothing.
said_of()
{
	rm -rf "$dir/controller"
	mkdir "$dir/controller"
	printf '%s\n' "$@" >"$dir/controller/a.c"
	scripts/check-secrets "$dir" || true
}

# SAYS TEXT: it is found, on its line
is_found()
{
	local said

	said=$(said_of '/* one */' "$2")
	[[ $said == controller/a.c:2:* ]] && verdict 0 "found: $1" || verdict 1 "found: $1 (said: $said)"
}

is_passed()
{
	local said

	said=$(said_of "$2")
	[ -z "$said" ] && verdict 0 "passed: $1" || verdict 1 "passed: $1 (said: $said)"
}

is_found "a key in hexadecimal" 'static const char k[] = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";'
is_found "a key in base64url" 'static const char k[] = "mJ3-Wk0bY8Q1sVtq5Zc_7uXhD2nRfLg9PaE4oTiKySA";'
is_found "a key in bytes" 'static const uint8_t k[] = {0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 1, 2, 3, 4, 5, 6, 7, 8, 9};'
is_found "a private key in PEM" '"-----BEGIN EC PRIVATE KEY-----\n"'
is_found "a token" '/* ztadm1_AR9odHRwczovLzEyNy4wLjAuMTo4NDQzAAAA */'
is_found "a password" 'static const char admin_password[] = "changeme";'
is_found "rand" 'k.b[i] = (uint8_t)rand();'
is_found "/dev/urandom by hand" 'fd = open("/dev/urandom", O_RDONLY);'
is_found "memcmp of a secret" 'return memcmp(a->secret.b, b->secret.b, 32) == 0;'
is_found "strcmp of a session" 'if (strcmp(session_text, given) == 0)'
is_found "memcmp of a proof on two lines" 'if (memcmp(&proof,
	&e->wg_proof, sizeof(proof)) == 0)'
is_found "txt_equal of a credential" 'return txt_equal(credential(a), text);'
is_passed "sodium_memcmp of a secret" 'return sodium_memcmp(a->secret.b, b->secret.b, 32) == 0;'
is_passed "memcmp of what is no secret" 'return memcmp(a->b, b->b, sizeof(a->b)) == 0;'
is_passed "a secret in a comment on a comparison" 'return memcmp(a, b, 4) == 0; /* not a secret */'
is_passed "a path" 'static const char p[] = "sys/firmware/efi/efivars/and/what/is/below/of/it";'
said=$(scripts/check-secrets) && verdict 0 "the sources have none" || verdict 1 "the sources have none: $said"
exit $failed
