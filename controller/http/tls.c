/* Certificate and key, from PEM files; replaced for new connections while old ones keep theirs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/http/internal.h"

enum { KEY_ID_MAX = 64, TLS_CERTS_MAX = 8 };

void http_tls_unref(struct tls_identity *i)
{
	if (!i || --i->refs > 0)
		return;
	for (unsigned n = 0; n < i->n_certs; n++)
		gnutls_pcert_deinit(&i->certs[n]);
	if (i->key)
		gnutls_privkey_deinit(i->key);
	free(i);
}

static int load_certs(struct tls_identity *i, const char *file, struct diag *d)
{
	gnutls_datum_t pem = {0};
	unsigned n = TLS_CERTS_MAX;
	int rc;

	errno = 0;
	if (gnutls_load_file(file, &pem) < 0)
		return diag_set(d, errno ? -errno : -EIO, "cannot read the certificate %s: %s",
				file, zt_strerror(errno ? errno : EIO));
	rc = gnutls_pcert_list_import_x509_raw(i->certs, &n, &pem, GNUTLS_X509_FMT_PEM,
					       GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
	gnutls_free(pem.data);
	if (rc < 0)
		return diag_set(d, -ZT_EFORM, "%s is no certificate in PEM form: %s", file,
				gnutls_strerror(rc));
	i->n_certs = n;
	return 0;
}

static int load_key(struct tls_identity *i, const char *file, struct diag *d)
{
	gnutls_datum_t pem = {0};
	int rc;

	errno = 0;
	if (gnutls_load_file(file, &pem) < 0)
		return diag_set(d, errno ? -errno : -EIO, "cannot read the key %s: %s", file,
				zt_strerror(errno ? errno : EIO));
	rc = gnutls_privkey_init(&i->key);
	if (rc == 0)
		rc = gnutls_privkey_import_x509_raw(i->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_memset(pem.data, 0, pem.size);
	gnutls_free(pem.data);
	if (rc < 0)
		return diag_set(d, -ZT_EFORM, "%s is no private key in PEM form: %s", file,
				gnutls_strerror(rc));
	return 0;
}

static int check_pair(const struct tls_identity *i, const char *cert_file, const char *key_file,
		      struct diag *d)
{
	uint8_t cert_id[KEY_ID_MAX] = {0}, key_id[KEY_ID_MAX] = {0};
	size_t n_cert = sizeof(cert_id), n_key = sizeof(key_id);
	gnutls_pubkey_t pub;
	int rc = gnutls_pubkey_init(&pub);

	if (rc < 0)
		return -ENOMEM;
	rc = gnutls_pubkey_import_privkey(pub, i->key, 0, 0);
	if (rc == 0)
		rc = gnutls_pubkey_get_key_id(pub, GNUTLS_KEYID_USE_SHA256, key_id, &n_key);
	if (rc == 0)
		rc = gnutls_pubkey_get_key_id(i->certs[0].pubkey, GNUTLS_KEYID_USE_SHA256, cert_id,
					      &n_cert);
	gnutls_pubkey_deinit(pub);
	if (rc == 0 && n_cert == n_key && memcmp(cert_id, key_id, n_key) == 0)
		return 0;
	diag_set(d, -ZT_EFORM, "%s is not the key of the certificate %s", key_file, cert_file);
	diag_hint(d, "both files must come from the same certificate request");
	return -ZT_EFORM;
}

int http_tls_load(const char *cert_file, const char *key_file, struct tls_identity **ret,
		  struct diag *d)
{
	struct tls_identity *i = calloc(1, sizeof(*i));
	int err;

	if (!i)
		return diag_set(d, -ENOMEM, "out of memory");
	i->refs = 1;
	err = load_certs(i, cert_file, d);
	if (err == 0)
		err = load_key(i, key_file, d);
	if (err == 0)
		err = check_pair(i, cert_file, key_file, d);
	if (err < 0) {
		http_tls_unref(i);
		return err;
	}
	*ret = i;
	return 0;
}

/* GnuTLS asks in every handshake. Certificate and key must outlive it, so the connection keeps
 * them. */
int http_tls_retrieve(gnutls_session_t session, const gnutls_datum_t *req_ca, int n_req_ca,
		      const gnutls_pk_algorithm_t *algos, int n_algos, gnutls_pcert_st **certs,
		      unsigned *n_certs, gnutls_privkey_t *key)
{
	struct MHD_Connection *mhd = gnutls_session_get_ptr(session); /* set by libmicrohttpd */
	const union MHD_ConnectionInfo *info;
	struct http_conn *c;

	(void)req_ca, (void)n_req_ca, (void)algos, (void)n_algos;
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	c = info ? info->socket_context : NULL;
	if (!c)
		return -1;
	if (!c->identity) {
		c->identity = c->server->identity;
		c->identity->refs++;
	}
	*certs = c->identity->certs;
	*n_certs = c->identity->n_certs;
	*key = c->identity->key;
	return 0;
}
