/* What the tests of the HTTPS server and of its clients share: the server in a thread of its own
 * with a loop, and certificates. Whatever a test wants to do or see inside is run in the loop
 * (in_loop), so nothing is shared without it. */
#pragma once

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/http/http.h"
#include "zt/buf.h"
#include "zt/log.h"
#include "zt/num.h"
#include "zt/txt.h"

#define FIXTURE_UNUSED __attribute__((unused))

enum { WAIT_MS = 10000 };

/* --- the server's thread --- */

static struct {
	pthread_t thread;
	struct loop *loop;
	struct loop_io *io;
	struct http_server *server;
	struct http_config config;
	uint16_t port;
	int wake_fd;
	void (*prepare)(void); /* when there is a loop, before the server is made; NULL: nothing */
	void (*finish)(void);  /* before the server goes */
	pthread_mutex_t lock;
	pthread_cond_t done;
	void (*fn)(void *arg); /* to run in the loop; NULL when run */
	void *arg;
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static char dir[64];

static void run_fn(void *arg, uint32_t events)
{
	uint64_t n;

	(void)arg, (void)events;
	if (read(t.wake_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&t.lock);
	t.fn(t.arg);
	t.fn = NULL;
	pthread_cond_signal(&t.done);
	pthread_mutex_unlock(&t.lock);
}

/* Runs fn(arg) in the server's loop and waits for it. */
static void in_loop(void (*fn)(void *arg), void *arg)
{
	uint64_t one = 1;

	pthread_mutex_lock(&t.lock);
	t.fn = fn;
	t.arg = arg;
	assert_int_equal(write(t.wake_fd, &one, sizeof(one)), sizeof(one));
	while (t.fn)
		pthread_cond_wait(&t.done, &t.lock);
	pthread_mutex_unlock(&t.lock);
}

static void *serve(void *arg)
{
	(void)arg;
	loop_run(t.loop);
	return NULL;
}

static void stop_loop(void *arg)
{
	(void)arg;
	loop_stop(t.loop, 0);
}

static const char *in_dir(const char *name)
{
	static char paths[32][128];
	static unsigned i;
	char *p = paths[i++ % 32];

	snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static void start(void)
{
	struct diag d = {0};

	t.loop = loop_new();
	assert_non_null(t.loop);
	t.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t.io = loop_io_new(t.loop, t.wake_fd, EPOLLIN, run_fn, NULL);
	if (t.prepare)
		t.prepare();
	if (http_server_new(t.loop, &t.config, &t.server, &d) < 0)
		fail_msg("%s", d.message);
	t.port = http_server_port(t.server);
	assert_int_not_equal(t.port, 0);
	assert_int_equal(pthread_create(&t.thread, NULL, serve, NULL), 0);
}

static void stop(void)
{
	if (!t.loop)
		return;
	in_loop(stop_loop, NULL);
	pthread_join(t.thread, NULL);
	if (t.finish)
		t.finish();
	http_server_free(t.server);
	loop_io_free(t.io);
	loop_free(t.loop);
	close(t.wake_fd);
	t.loop = NULL;
	t.server = NULL;
}

/* --- certificates --- */

static void save(const char *name, const gnutls_datum_t *d)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, d->data, d->size), d->size);
	close(fd);
}

static void make_pair(const char *crt_name, const char *key_name, uint8_t serial)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem;

	gnutls_x509_privkey_init(&key);
	gnutls_x509_crt_init(&crt);
	assert_int_equal(gnutls_x509_privkey_generate(key, GNUTLS_PK_EDDSA_ED25519, 256, 0), 0);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, &serial, 1);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600);
	gnutls_x509_crt_set_key(crt, key);
	gnutls_x509_crt_set_dn(crt, "CN=zt.test", NULL);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA512, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
	save(crt_name, &pem);
	gnutls_free(pem.data);
	assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
							   GNUTLS_PKCS_PLAIN, &pem),
			 0);
	save(key_name, &pem);
	gnutls_free(pem.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
}

static int group_setup(void **state)
{
	(void)state;
	log_init("http_test", LOG_LEVEL_ERROR - 1); /* errors on purpose */
	snprintf(dir, sizeof(dir), "/tmp/zt-http-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	make_pair("a.crt", "a.key", 1);
	make_pair("b.crt", "b.key", 2);
	return 0;
}

static int group_teardown(void **state)
{
	static const char *const files[] = {"a.crt", "a.key", "b.crt", "b.key"};

	(void)state;
	for (size_t i = 0; i < N_OF(files); i++)
		unlink(in_dir(files[i]));
	rmdir(dir);
	return 0;
}
