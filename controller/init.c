/* Making a controller: keys, certificate, database, default-deny policy, first admin credential. */
#include "controller/init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include <sodium.h>

#include "zt/clock.h"
#include "zt/file.h"
#include "zt/token.h"
#include "zt/txt.h"
#include "controller/keys.h"
#include "controller/store/store.h"

static const char first_policy[] =
	"; Nothing is granted until a rule says so. Grammar and examples: docs/policy.md\n"
	"[network]\n"
	"lease = 1h\n";

enum { PATH_TEXT_MAX = 4096 };

/* RFC 4193 section 3.2.1: fd + 40 random bits; one /64 of it. */
static void random_ula(struct prefix *p)
{
	uint8_t b[16] = {0xfd};

	randombytes_buf(b + 1, 5);
	*p = (struct prefix){addr_v6(b), 64};
}

/* The host of https://host:port, brackets taken off. */
static int host_of(const char *url, char *out, size_t size)
{
	const char *p = url + strlen("https://");
	size_t n = strcspn(p, ":/");

	if (*p == '[') {
		p++;
		n = strcspn(p, "]");
	}
	if (n >= size)
		return -ZT_ELIMIT;
	memcpy(out, p, n);
	out[n] = 0;
	return 0;
}

static int make_store(const struct init_options *o, const struct admin_row *admin, struct diag *d)
{
	struct store_network n = {.net4 = o->net4, .net6 = o->net6};
	struct policy_row policy = {.version = 1,
				    .text = (char *)(uintptr_t)first_policy,
				    .len = sizeof(first_policy) - 1,
				    .author = "ztcontroller init",
				    .why = "the first policy denies everything"};
	int64_t now_ms = clock_now().wall_ms;
	char path[PATH_TEXT_MAX];

	policy.at_s = now_ms / 1000;
	if (n.net6.addr.family == ADDR_NONE)
		random_ula(&n.net6);
	if (txt_copy(n.name, sizeof(n.name), o->name) || txt_copy(n.url, sizeof(n.url), o->url) ||
	    snprintf(path, sizeof(path), "%s/controller.db", o->dir) >= (int)sizeof(path))
		return diag_set(d, -ZT_ELIMIT, "the directory, name or url is too long");
	return store_create(path, &n, admin, &policy, now_ms, d);
}

static int write_credential(int dir, const struct token *t, char *out, size_t size, struct diag *d)
{
	char line[ZT_TOKEN_TEXT_MAX + 2];
	int err = token_encode(t, out, size);

	if (!err) {
		snprintf(line, sizeof(line), "%s\n", out);
		err = file_write_at(dir, "admin.key", line, strlen(line), 0600);
	}
	sodium_memzero(line, sizeof(line));
	return err ? diag_set(d, err, "cannot write admin.key: %s", zt_strerror(err)) : 0;
}

static int fill_directory(int dir, const struct init_options *o, char *ret_credential, size_t size,
			  struct diag *d)
{
	struct controller_keys keys = {0};
	struct token t = {.kind = TOKEN_ADMIN, .id = 1};
	struct admin_row admin = {.id = 1, .name = "root", .created_s = clock_now().wall_ms / 1000};
	char host[ZT_URL_MAX + 1];
	int err = host_of(o->url, host, sizeof(host));

	if (!err)
		err = keys_create(dir, host, &keys, d);
	if (err)
		return err;
	randombytes_buf(t.secret.b, sizeof(t.secret.b));
	key_hash(t.secret.b, sizeof(t.secret.b), &admin.secret_hash);
	t.pin = keys.pin;
	err = txt_copy(t.url, sizeof(t.url), o->url);
	if (!err)
		err = make_store(o, &admin, d);
	if (!err)
		err = write_credential(dir, &t, ret_credential, size, d);
	secret_wipe(&t.secret);
	keys_wipe(&keys);
	return err;
}

int init_controller(const struct init_options *o, char *ret_credential, size_t size, struct diag *d)
{
	int dir, err = file_open_dir(o->dir, true, &dir);

	if (err) {
		diag_set(d, err, "cannot make %s: %s", o->dir, zt_strerror(err));
		diag_hint(d, "choose a directory that this user may write, or run as root");
		return err;
	}
	if (faccessat(dir, "controller.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		diag_set(d, -EEXIST, "%s holds a controller already", o->dir);
		diag_hint(d, "choose another --dir; nothing was changed");
		err = -EEXIST;
	} else {
		err = fill_directory(dir, o, ret_credential, size, d);
	}
	close(dir);
	return err;
}
