/* App: who calls. Credentials of admins, sessions of devices, certificates that are renewed. */
#include "controller/app_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "zt/num.h"
#include "zt/txt.h"

/* "<id>.<base64url of 32 bytes>" */
static int parse_credential(const char *text, uint64_t *ret_id, struct key *ret_hash)
{
	const char *dot = strchr(text, '.');
	char id[24];
	struct secret secret;
	size_t n;
	int err;

	if (!dot || (size_t)(dot - text) >= sizeof(id))
		return -ZT_EFORM;
	memcpy(id, text, (size_t)(dot - text));
	id[dot - text] = 0;
	err = num_parse_u64(id, 1, UINT64_MAX, ret_id);
	if (!err)
		err = txt_base64url_decode(dot + 1, strlen(dot + 1), secret.b, sizeof(secret.b),
					   &n);
	if (!err && n != sizeof(secret.b))
		err = -ZT_EFORM;
	if (!err)
		key_hash(secret.b, sizeof(secret.b), ret_hash);
	secret_wipe(&secret);
	return err;
}

/* One answer for an unknown id and a wrong secret. */
static int refuse_credential(struct diag *d)
{
	diag_set(d, -ZT_EREFUSED, "the credential is unknown or no longer valid");
	return -ZT_EREFUSED;
}

static int identify_admin(struct app *a, const char *text, struct http_caller *ret, struct diag *d)
{
	struct key hash;
	uint64_t id;

	if (parse_credential(text, &id, &hash))
		return refuse_credential(d);
	for (size_t i = 0; i < a->n_admins; i++) {
		if (a->admins[i].id != id || !key_equal(&a->admins[i].secret_hash, &hash))
			continue;
		*ret = (struct http_caller){.kind = HTTP_ADMIN, .admin = id};
		snprintf(ret->name, sizeof(ret->name), "admin:%llu (%s)", (unsigned long long)id,
			 a->admins[i].name);
		return 0;
	}
	return refuse_credential(d);
}

static bool is_running(const struct session *s, struct now now)
{
	return now.wall_ms / 1000 < s->until_s && now.boot_ms < s->until_boot_ms;
}

static int identify_device(struct app *a, const char *text, struct http_caller *ret, struct diag *d)
{
	struct now now = clock_now();
	const struct session *s;
	enum standing standing;
	struct device *dev;
	struct key hash;
	uint64_t id;

	if (parse_credential(text, &id, &hash) || id >= a->n_by_id)
		return refuse_credential(d);
	dev = model_device(&a->model, (uint32_t)id);
	s = a->sessions[id];
	if (!dev || !s || !is_running(s, now) || !key_equal(&s->hash, &hash))
		return refuse_credential(d);
	standing = model_standing(dev, now.wall_ms);
	if (standing != STANDING_ACTIVE && standing != STANDING_PENDING)
		return refuse_credential(d);
	*ret = (struct http_caller){.kind = standing == STANDING_ACTIVE ? HTTP_DEVICE
									: HTTP_DEVICE_PENDING,
				    .device = (uint32_t)id,
				    .session = s->number};
	snprintf(ret->name, sizeof(ret->name), "device:%u", (unsigned)id);
	return 0;
}

bool app_session_stands(const struct app *a, const struct http_caller *c)
{
	const struct session *s = c->device < a->n_by_id ? a->sessions[c->device] : NULL;

	return s && s->number == c->session && is_running(s, clock_now());
}

int app_identify(void *app, const char *authorization, struct http_caller *ret, struct diag *d)
{
	if (!authorization) {
		*ret = (struct http_caller){.kind = HTTP_NOBODY, .name = "nobody"};
		return 0;
	}
	if (txt_starts(authorization, "Admin "))
		return identify_admin(app, authorization + strlen("Admin "), ret, d);
	if (txt_starts(authorization, "Device "))
		return identify_device(app, authorization + strlen("Device "), ret, d);
	return refuse_credential(d);
}

/* The certificate is renewed from half-life by every session of an active device, and by nothing
 * else: each has proved its key. The session never outlives it. */
static void renew_certificate(struct app *a, struct device *d, int64_t now_s)
{
	enum standing s = model_standing(d, now_s * 1000);

	if ((s != STANDING_ACTIVE && s != STANDING_LAPSED) ||
	    d->row.cert_not_after_s - now_s > ZT_CERT_LIFE_S / 2)
		return;
	d->row.cert_not_after_s = now_s + ZT_CERT_LIFE_S;
	a->touched[d->row.id].due = true;
	if (d->standing != STANDING_ACTIVE)
		app_evaluate(a, d);
}

int app_open_session(struct app *a, struct device *d, char out[static SESSION_TEXT_MAX],
		     int64_t *ret_expires_s)
{
	struct secret secret;
	struct now now = clock_now();
	int64_t now_s = now.wall_ms / 1000, until;
	char text[48];
	struct session *s;
	int err = app_grow_by_id(a, d->row.id);

	if (err)
		return err;
	s = a->sessions[d->row.id];
	if (!s)
		s = a->sessions[d->row.id] = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	renew_certificate(a, d, now_s);
	until = now_s + ZT_SESSION_LIFE_S;
	if (model_standing(d, now_s * 1000) == STANDING_ACTIVE && until > d->row.cert_not_after_s)
		until = d->row.cert_not_after_s;
	randombytes_buf(secret.b, sizeof(secret.b));
	key_hash(secret.b, sizeof(secret.b), &s->hash);
	s->number = ++a->n_sessions;
	s->until_s = until;
	s->until_boot_ms = now.boot_ms + (until - now_s) * 1000;
	err = txt_base64url_encode(secret.b, sizeof(secret.b), text, sizeof(text));
	secret_wipe(&secret);
	if (!err)
		snprintf(out, SESSION_TEXT_MAX, "%u.%s", d->row.id, text);
	sodium_memzero(text, sizeof(text));
	*ret_expires_s = until;
	return err;
}

void app_end_session(struct app *a, const struct device *d)
{
	if (d->row.id >= a->n_by_id)
		return;
	free(a->sessions[d->row.id]); /* it has a hash, no secret */
	a->sessions[d->row.id] = NULL;
}
