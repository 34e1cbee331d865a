/* Keys: published vectors, and what a signature or proof is good for. */
#include "tests/unit/unit.h"

#include <sodium.h>

#include "zt/key.h"

/* RFC 8032 section 7.1, tests 1 and 2. */
static const char seed1[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
static const char public1[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
static const char seed2[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char public2[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

/* RFC 7748 section 6.1. */
static const char alice[] = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
static const char alice_public[] =
	"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
static const char bob[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
static const char bob_public[] = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
static const char shared[] = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

static void from_hex(const char *hex, uint8_t *out, size_t n)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(out, n, hex, strlen(hex), NULL, &len, NULL), 0);
	assert_int_equal(len, n);
}

static struct secret secret_of(const char *hex)
{
	struct secret s;

	from_hex(hex, s.b, sizeof(s.b));
	return s;
}

static struct key key_of(const char *hex)
{
	struct key k;

	from_hex(hex, k.b, sizeof(k.b));
	return k;
}

static void assert_key(const struct key *k, const char *hex)
{
	struct key want = key_of(hex);

	assert_true(key_equal(k, &want));
}

static void public_keys_are_those_of_the_standards(void **state)
{
	struct secret s = secret_of(seed1);
	struct key k;

	(void)state;
	key_of_identity(&s, &k);
	assert_key(&k, public1);
	s = secret_of(seed2);
	key_of_identity(&s, &k);
	assert_key(&k, public2);
	s = secret_of(alice);
	key_of_wireguard(&s, &k);
	assert_key(&k, alice_public);
	s = secret_of(bob);
	key_of_wireguard(&s, &k);
	assert_key(&k, bob_public);
}

static void clamping_does_not_change_the_public_key(void **state)
{
	struct secret s = secret_of(alice), clamped = s;
	struct key k;

	(void)state;
	secret_clamp(&clamped);
	assert_false(secret_equal(&s, &clamped));
	assert_int_equal(clamped.b[0] & 7, 0);
	assert_int_equal(clamped.b[31] & 0xc0, 0x40);
	key_of_wireguard(&clamped, &k);
	assert_key(&k, alice_public);
}

static void keys_print_as_wg_prints_them_and_read_back(void **state)
{
	/* wg pubkey of alice. */
	static const char want[] = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
	struct key k = key_of(alice_public), back;
	char text[KEY_TEXT_MAX];

	(void)state;
	key_print(&k, text);
	assert_string_equal(text, want);
	assert_int_equal(key_parse(text, &back), 0);
	assert_true(key_equal(&k, &back));
}

static void key_texts_are_strict(void **state)
{
	static const struct {
		const char *says, *text;
	} rows[] = {
		{"nothing", ""},
		{"a byte short", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTg=="},
		{"a byte long", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmoA"},
		{"no padding", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo"},
		{"trailing bits", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp="},
		{"white space", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo= "},
		{"the URL alphabet", "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo="},
	};
	struct key k = {{7}};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		row_check(rows[i].says, key_parse(rows[i].text, &k) == -ZT_EFORM);
	assert_int_equal(k.b[0], 7);
}

static void hashes_are_blake2b_256(void **state)
{
	struct key k;

	(void)state;
	key_hash(NULL, 0, &k);
	assert_key(&k, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
	key_hash("abc", 3, &k);
	assert_key(&k, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void a_mac_depends_on_its_key(void **state)
{
	struct secret a = secret_of(seed1), b = secret_of(seed2);
	struct key x, y, hash;

	(void)state;
	key_mac(&a, "abc", 3, &x);
	key_mac(&b, "abc", 3, &y);
	key_hash("abc", 3, &hash);
	assert_false(key_equal(&x, &y));
	assert_false(key_equal(&x, &hash));
	key_mac(&a, "abc", 3, &y);
	assert_true(key_equal(&x, &y));
}

static void a_signature_is_plain_ed25519_over_domain_and_message(void **state)
{
	struct secret seed = secret_of(seed1);
	struct key pub = key_of(public1);
	struct sig sig;

	(void)state;
	key_sign(&seed, "zt-test-1", "hello", 5, &sig);
	assert_int_equal(
		crypto_sign_verify_detached(sig.b, (const uint8_t *)"zt-test-1\0hello", 15, pub.b),
		0);
	assert_int_equal(key_verify(&pub, "zt-test-1", "hello", 5, &sig), 0);
}

static void a_signature_serves_for_nothing_else(void **state)
{
	struct secret seed = secret_of(seed1);
	struct key pub = key_of(public1), other = key_of(public2), zero = {0};
	struct sig sig, bent;

	(void)state;
	key_sign(&seed, "zt-test-1", "hello", 5, &sig);
	assert_int_equal(key_verify(&pub, "zt-test-2", "hello", 5, &sig), -ZT_ESIG);
	assert_int_equal(key_verify(&pub, "zt-test-1", "hellp", 5, &sig), -ZT_ESIG);
	assert_int_equal(key_verify(&pub, "zt-test-1", "hello", 4, &sig), -ZT_ESIG);
	assert_int_equal(key_verify(&other, "zt-test-1", "hello", 5, &sig), -ZT_ESIG);
	assert_int_equal(key_verify(&zero, "zt-test-1", "hello", 5, &sig), -ZT_ESIG);
	/* The border between domain and message does not move. */
	assert_int_equal(key_verify(&pub, "zt-test-1h", "ello", 4, &sig), -ZT_ESIG);
	for (size_t i = 0; i < sizeof(sig.b); i++) {
		bent = sig;
		bent.b[i] ^= 1;
		assert_int_equal(key_verify(&pub, "zt-test-1", "hello", 5, &bent), -ZT_ESIG);
	}
}

static void what_is_too_long_to_sign_never_verifies(void **state)
{
	static const uint8_t msg[KEY_SIGNED_MAX];
	const size_t max = KEY_SIGNED_MAX - 2;
	struct secret seed = secret_of(seed1);
	struct key pub = key_of(public1);
	struct sig sig;

	(void)state;
	key_sign(&seed, "d", msg, max, &sig);
	assert_int_equal(key_verify(&pub, "d", msg, max, &sig), 0);
	assert_int_equal(key_verify(&pub, "d", msg, max + 1, &sig), -ZT_ESIG);
	key_sign(&seed, "d", msg, max + 1, &sig);
	assert_int_equal(sodium_is_zero(sig.b, sizeof(sig.b)), 1);
	assert_int_equal(key_verify(&pub, "d", msg, max + 1, &sig), -ZT_ESIG);
}

static void both_ends_of_an_exchange_make_the_same_proof(void **state)
{
	struct secret a = secret_of(alice), b = secret_of(bob), common = secret_of(shared);
	struct key a_pub = key_of(alice_public), b_pub = key_of(bob_public), x, y, want;

	(void)state;
	key_mac(&common, "zt-proof\0nonce", 14, &want);
	assert_int_equal(key_prove(&a, &b_pub, "zt-proof", "nonce", 5, &x), 0);
	assert_int_equal(key_prove(&b, &a_pub, "zt-proof", "nonce", 5, &y), 0);
	assert_true(key_equal(&x, &want));
	assert_true(key_equal(&y, &want));
	assert_int_equal(key_prove(&a, &b_pub, "zt-proof", "nonsense", 8, &y), 0);
	assert_false(key_equal(&x, &y));
	assert_int_equal(key_prove(&a, &a_pub, "zt-proof", "nonce", 5, &y), 0);
	assert_false(key_equal(&x, &y));
}

static void keys_of_low_order_prove_nothing(void **state)
{
	static const char *const low[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	struct secret a = secret_of(alice);
	struct key x = {{7}};

	(void)state;
	for (size_t i = 0; i < N_OF(low); i++) {
		struct key other = key_of(low[i]);

		assert_int_equal(key_prove(&a, &other, "d", "m", 1, &x), -ZT_ESIG);
	}
	assert_int_equal(x.b[0], 7);
}

static void a_sealed_box_opens_for_its_identity_only(void **state)
{
	struct secret seed = secret_of(seed1), other = secret_of(seed2);
	struct key pub = key_of(public1);
	uint8_t box_pub[32], box[KEY_SEAL_EXTRA + 5], out[5];

	(void)state;
	assert_int_equal(crypto_sign_ed25519_pk_to_curve25519(box_pub, pub.b), 0);
	assert_int_equal(crypto_box_seal(box, (const uint8_t *)"hello", 5, box_pub), 0);
	assert_int_equal(key_seal_open(&seed, box, sizeof(box), out), 0);
	assert_memory_equal(out, "hello", 5);
	assert_int_equal(key_seal_open(&other, box, sizeof(box), out), -ZT_ESIG);
	assert_int_equal(key_seal_open(&seed, box, sizeof(box) - 1, out), -ZT_ESIG);
	assert_int_equal(key_seal_open(&seed, box, KEY_SEAL_EXTRA - 1, out), -ZT_ESIG);
	assert_int_equal(key_seal_open(&seed, NULL, 0, out), -ZT_ESIG);
	box[40] ^= 1;
	assert_int_equal(key_seal_open(&seed, box, sizeof(box), out), -ZT_ESIG);
}

static void a_pair_has_one_preshared_key_an_epoch(void **state)
{
	struct secret master = secret_of(seed1), other = secret_of(seed2), x, y;

	(void)state;
	key_psk(&master, 3, 7, 9, &x);
	key_psk(&master, 3, 9, 7, &y);
	assert_true(secret_equal(&x, &y));
	key_psk(&master, 4, 7, 9, &y);
	assert_false(secret_equal(&x, &y));
	key_psk(&master, 3, 7, 10, &y);
	assert_false(secret_equal(&x, &y));
	key_psk(&master, 3, 8, 9, &y);
	assert_false(secret_equal(&x, &y));
	key_psk(&other, 3, 7, 9, &y);
	assert_false(secret_equal(&x, &y));
	assert_int_equal(sodium_is_zero(x.b, sizeof(x.b)), 0);
}

static void wiping_leaves_nothing(void **state)
{
	struct secret s = secret_of(seed1);
	struct key k = key_of(public1), zero = {0};

	(void)state;
	secret_wipe(&s);
	assert_int_equal(sodium_is_zero(s.b, sizeof(s.b)), 1);
	assert_true(key_is_zero(&zero));
	assert_false(key_is_zero(&k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_keys_are_those_of_the_standards),
		cmocka_unit_test(clamping_does_not_change_the_public_key),
		cmocka_unit_test(keys_print_as_wg_prints_them_and_read_back),
		cmocka_unit_test(key_texts_are_strict),
		cmocka_unit_test(hashes_are_blake2b_256),
		cmocka_unit_test(a_mac_depends_on_its_key),
		cmocka_unit_test(a_signature_is_plain_ed25519_over_domain_and_message),
		cmocka_unit_test(a_signature_serves_for_nothing_else),
		cmocka_unit_test(what_is_too_long_to_sign_never_verifies),
		cmocka_unit_test(both_ends_of_an_exchange_make_the_same_proof),
		cmocka_unit_test(keys_of_low_order_prove_nothing),
		cmocka_unit_test(a_sealed_box_opens_for_its_identity_only),
		cmocka_unit_test(a_pair_has_one_preshared_key_an_epoch),
		cmocka_unit_test(wiping_leaves_nothing),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
