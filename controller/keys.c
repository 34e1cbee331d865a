/* Key files of the controller. Generators: libsodium and GnuTLS. */
#include "controller/keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <sodium.h>

#include "zt/file.h"

const char keys_tls_cert[] = "tls.crt", keys_tls_key[] = "tls.key";
static const char file_network[] = "network.key", file_box[] = "box.key", file_psk[] = "psk.key";

enum { PEM_MAX = 64 << 10, CERT_YEARS = 20 };

static void derive(struct controller_keys *k)
{
	key_of_identity(&k->network, &k->network_pub);
	key_of_wireguard(&k->box, &k->box_pub);
}

void keys_wipe(struct controller_keys *k)
{
	secret_wipe(&k->network);
	secret_wipe(&k->box);
	secret_wipe(&k->psk);
}

/* --- secrets --- */

static int make_secret(int dir, const char *file, bool clamp, struct secret *ret)
{
	randombytes_buf(ret->b, sizeof(ret->b));
	if (clamp)
		secret_clamp(ret);
	return file_write_at(dir, file, ret->b, sizeof(ret->b), 0600);
}

static int load_secret(int dir, const char *file, struct secret *ret, struct diag *d)
{
	void *p = NULL;
	size_t n = 0;
	int err = file_read_at(dir, file, ZT_KEY_LEN, &p, &n);

	if (!err && n != ZT_KEY_LEN)
		err = -ZT_ECORRUPT;
	if (!err)
		memcpy(ret->b, p, n);
	file_wipe(p, n);
	if (err) {
		diag_set(d, err, "cannot read the key file %s: %s", file, zt_strerror(err));
		diag_hint(d, "restore it from a backup: without it every device would have to "
			     "enrol again");
	}
	return err;
}

/* --- TLS --- */

static int tls_error(struct diag *d, int r, const char *what)
{
	return diag_set(d, -EIO, "%s: %s", what, gnutls_strerror(r));
}

static int set_names(gnutls_x509_crt_t crt, const char *host)
{
	unsigned char ip[16];
	int r = gnutls_x509_crt_set_dn(crt, "CN=ztcontroller", NULL);

	if (r < 0)
		return r;
	if (inet_pton(AF_INET, host, ip) == 1)
		return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 4, 0);
	if (inet_pton(AF_INET6, host, ip) == 1)
		return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 16, 0);
	return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, host,
						    (unsigned)strlen(host), 0);
}

static int fill_certificate(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *host)
{
	unsigned char serial[16];
	time_t now = time(NULL);
	int r;

	randombytes_buf(serial, sizeof(serial));
	serial[0] &= 0x7f;
	r = gnutls_x509_crt_set_version(crt, 3);
	if (r >= 0)
		r = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
	if (r >= 0)
		r = gnutls_x509_crt_set_activation_time(crt, now - 86400);
	if (r >= 0)
		r = gnutls_x509_crt_set_expiration_time(crt,
							now + (time_t)CERT_YEARS * 365 * 86400);
	if (r >= 0)
		r = gnutls_x509_crt_set_key(crt, key);
	if (r >= 0)
		r = set_names(crt, host);
	return r >= 0 ? gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) : r;
}

static int write_pem(int dir, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	gnutls_datum_t c = {0}, k = {0};
	int err = -EIO;

	if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &c) >= 0 &&
	    gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &k) >= 0) {
		err = file_write_at(dir, keys_tls_key, k.data, k.size, 0600);
		if (!err)
			err = file_write_at(dir, keys_tls_cert, c.data, c.size, 0644);
	}
	if (k.data)
		sodium_memzero(k.data, k.size);
	gnutls_free(c.data);
	gnutls_free(k.data);
	return err;
}

static int make_tls(int dir, const char *host, struct diag *d)
{
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t crt = NULL;
	int r = gnutls_x509_privkey_init(&key), err = 0;

	if (r >= 0)
		r = gnutls_x509_crt_init(&crt);
	if (r >= 0)
		r = gnutls_x509_privkey_generate(
			key, GNUTLS_PK_ECDSA,
			(unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (r >= 0)
		r = fill_certificate(crt, key, host);
	if (r < 0)
		err = tls_error(d, r, "cannot make the TLS certificate");
	else if ((err = write_pem(dir, crt, key)))
		diag_set(d, err, "cannot write the TLS certificate: %s", zt_strerror(err));
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return err;
}

static int pin_of(const void *pem, size_t n, struct key *ret, struct diag *d)
{
	gnutls_datum_t data = {(unsigned char *)(uintptr_t)pem, (unsigned)n};
	gnutls_x509_crt_t crt = NULL;
	size_t size = sizeof(ret->b);
	int r = gnutls_x509_crt_init(&crt);

	if (r >= 0)
		r = gnutls_x509_crt_import(crt, &data, GNUTLS_X509_FMT_PEM);
	if (r >= 0)
		r = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, ret->b, &size);
	gnutls_x509_crt_deinit(crt);
	if (r < 0) {
		tls_error(d, r, keys_tls_cert);
		diag_hint(d, "it must be the controller's certificate in PEM form");
		return -ZT_ECORRUPT;
	}
	return 0;
}

int keys_load_pin(int dir, struct key *ret, struct diag *d)
{
	void *pem;
	size_t n;
	int err = file_read_at(dir, keys_tls_cert, PEM_MAX, &pem, &n);

	if (err)
		return diag_set(d, err, "cannot read %s: %s", keys_tls_cert, zt_strerror(err));
	err = pin_of(pem, n, ret, d);
	free(pem);
	return err;
}

int keys_create(int dir, const char *host, struct controller_keys *ret, struct diag *d)
{
	struct controller_keys k = {0};
	void *old;
	size_t n;
	int err = file_read_at(dir, file_network, ZT_KEY_LEN, &old, &n);

	if (err != -ENOENT) {
		if (!err)
			file_wipe(old, n);
		diag_set(d, -EEXIST, "there are keys of a controller already");
		diag_hint(d, "choose another --dir, or empty this one when an earlier init did not "
			     "end well");
		return -EEXIST;
	}
	err = make_secret(dir, file_network, false, &k.network);
	if (!err)
		err = make_secret(dir, file_box, true, &k.box);
	if (!err)
		err = make_secret(dir, file_psk, false, &k.psk);
	if (err)
		diag_set(d, err, "cannot write keys: %s", zt_strerror(err));
	else
		err = make_tls(dir, host, d);
	if (!err)
		err = keys_load_pin(dir, &k.pin, d);
	derive(&k);
	if (!err)
		*ret = k;
	keys_wipe(&k);
	return err;
}

int keys_load(int dir, struct controller_keys *ret, struct diag *d)
{
	struct controller_keys k = {0};
	int err = load_secret(dir, file_network, &k.network, d);

	if (!err)
		err = load_secret(dir, file_box, &k.box, d);
	if (!err)
		err = load_secret(dir, file_psk, &k.psk, d);
	if (!err)
		err = keys_load_pin(dir, &k.pin, d);
	derive(&k);
	if (!err)
		*ret = k;
	keys_wipe(&k);
	return err;
}
