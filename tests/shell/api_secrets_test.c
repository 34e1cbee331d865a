/* Where secrets come from and where they are not: two controllers share none, and the database,
 * which backups leak, has none of the controller's keys and no credential. */
#include "tests/shell/api_two.h"

#include <gnutls/x509.h>

enum { SECRETS_MAX = 16 };

static const char *const key_files[] = {"network.key", "box.key", "psk.key", "tls.key",
					"admin.key"};

struct file {
	uint8_t *p;
	size_t n;
};

static struct file read_whole(const char *dir, const char *name)
{
	struct file f = {0};
	struct stat st;
	char path[192];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return f;
	assert_int_equal(fstat(fd, &st), 0);
	f.n = (size_t)st.st_size;
	f.p = malloc(f.n + 1);
	assert_non_null(f.p);
	assert_int_equal(read(fd, f.p, f.n), f.n);
	close(fd);
	return f;
}

static bool same(const struct file *a, const struct file *b)
{
	return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

/* --- two inits --- */

static void test_two_controllers_share_nothing(void **state)
{
	__typeof__(ctl) first = ctl, second;
	struct file files[2][N_OF(key_files)];

	(void)state;
	snprintf(ctl.dir, sizeof(ctl.dir), "%.40s/b", first.dir);
	init_controller_dir(); /* with the same url */
	second = ctl;
	ctl = first;
	assert_memory_not_equal(first.admin.secret.b, second.admin.secret.b, ZT_KEY_LEN);
	assert_memory_not_equal(first.admin.pin.b, second.admin.pin.b, ZT_KEY_LEN);
	for (size_t i = 0; i < N_OF(key_files); i++) {
		files[0][i] = read_whole(first.dir, key_files[i]);
		files[1][i] = read_whole(second.dir, key_files[i]);
		row_check(key_files[i], files[0][i].n >= ZT_KEY_LEN);
		row_check(key_files[i], !same(&files[0][i], &files[1][i]));
		for (size_t j = 0; j < i; j++)
			row_check(key_files[i], !same(&files[0][i], &files[0][j]) &&
							!same(&files[1][i], &files[0][j]));
	}
	for (size_t i = 0; i < N_OF(key_files); i++) {
		free(files[0][i].p);
		free(files[1][i].p);
	}
}

/* --- the database --- */

static struct needle {
	const char *says;
	uint8_t b[ZT_KEY_LEN];
} needles[SECRETS_MAX];
static size_t n_needles;

static void look_for(const char *says, const void *p)
{
	assert_true(n_needles < SECRETS_MAX);
	needles[n_needles].says = says;
	memcpy(needles[n_needles++].b, p, ZT_KEY_LEN);
}

static void look_for_key(const char *name)
{
	struct file f = read_whole(ctl.dir, name);

	assert_int_equal(f.n, ZT_KEY_LEN);
	look_for(name, f.p);
	free(f.p);
}

/* The private scalar of the TLS key, out of its PEM. */
static void look_for_tls_key(void)
{
	struct file f = read_whole(ctl.dir, "tls.key");
	gnutls_datum_t pem = {f.p, (unsigned)f.n}, x, y, k;
	gnutls_ecc_curve_t curve;
	gnutls_x509_privkey_t key;

	gnutls_x509_privkey_init(&key);
	assert_int_equal(gnutls_x509_privkey_import(key, &pem, GNUTLS_X509_FMT_PEM), 0);
	assert_int_equal(gnutls_x509_privkey_export_ecc_raw(key, &curve, &x, &y, &k), 0);
	assert_true(k.size >= ZT_KEY_LEN);
	look_for("tls.key", k.data + k.size - ZT_KEY_LEN);
	gnutls_free(x.data);
	gnutls_free(y.data);
	gnutls_free(k.data);
	gnutls_x509_privkey_deinit(key);
	free(f.p);
}

static void look_for_session(const struct dev *d)
{
	uint8_t b[ZT_KEY_LEN];
	const char *text = strrchr(d->session, '.') + 1;
	size_t n = 0;

	assert_int_equal(txt_base64url_decode(text, strlen(text), b, sizeof(b), &n), 0);
	assert_int_equal(n, sizeof(b));
	look_for("a session", b);
}

/* As it is, in hexadecimal, and in both kinds of base64, without the end that depends on what
 * follows. */
static bool holds(const struct file *f, const uint8_t b[static ZT_KEY_LEN])
{
	char hex[2 * ZT_KEY_LEN + 1], url[64], plain[64];

	txt_hex(b, ZT_KEY_LEN, hex);
	sodium_bin2base64(plain, sizeof(plain), b, ZT_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2base64(url, sizeof(url), b, ZT_KEY_LEN, sodium_base64_VARIANT_URLSAFE);
	return memmem(f->p, f->n, b, ZT_KEY_LEN) || memmem(f->p, f->n, hex, 2 * ZT_KEY_LEN) ||
	       memmem(f->p, f->n, plain, 42) || memmem(f->p, f->n, url, 42);
}

static void expect_none_in(const char *name, const struct dev *planted)
{
	struct file f = read_whole(ctl.dir, name);

	if (!f.p)
		return; /* a log that is written back is gone */
	for (size_t i = 0; i < n_needles; i++)
		if (holds(&f, needles[i].b))
			fail_msg("%s stands in %s", needles[i].says, name);
	/* what does stand there is found, so the search does search */
	assert_true(strcmp(name, "controller.db") != 0 || holds(&f, planted->wg_pub.b));
	free(f.p);
}

static void test_no_secret_is_in_the_database(void **state)
{
	static const char *const files[] = {"controller.db", "controller.db-wal",
					    "controller.db-shm", "controller.db.lock", "log"};
	struct token t;

	(void)state;
	n_needles = 0;
	two_online(POSTURE_POLICY(""));
	report_ok(ada, "disk.encrypted", "true");
	await(may_open(ada, db, 5432) && sees(db, ada));
	await(secret_equal(&ada->psk.psk, &db->psk.psk));
	token_create("{\"tags\":[\"a\"]}", &t);
	for (size_t i = 0; i < 3; i++)
		look_for_key(key_files[i]);
	look_for_tls_key();
	look_for("the admin's secret", ctl.admin.secret.b);
	look_for("a token's secret", t.secret.b);
	look_for("a device's identity key", ada->identity.b);
	look_for("a device's WireGuard key", ada->wg.b);
	look_for("a preshared key", ada->psk.psk.b);
	look_for_session(ada);
	for (size_t i = 0; i < N_OF(files); i++)
		if (strcmp(files[i], "controller.db") != 0)
			expect_none_in(files[i], ada);
	end_controller(SIGTERM);
	for (size_t i = 0; i < N_OF(files); i++)
		expect_none_in(files[i], ada);
	serve();
	two_gone();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_controllers_share_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_secret_is_in_the_database, setup, teardown),
	};

	(void)argc;
	find_program(argv[0]);
	if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return 1;
	return cmocka_run_group_tests_name("api_secrets", tests, NULL, NULL);
}
