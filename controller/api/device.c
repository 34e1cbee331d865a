/* What devices call: enrolment, session, reports, stream, why, leave. The device is always the
 * session's, never one that the request names. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "zt/buf.h"
#include "zt/num.h"
#include "zt/txt.h"
#include "controller/api/api.h"

enum { SIGNED_MAX = 3 * ZT_KEY_LEN + 8 + ZT_KEY_LEN + ZT_NAME_MAX + 64 };

static json_t *base64_json(const void *p, size_t n)
{
	char text[2 * ZT_SIG_LEN];

	if (txt_base64url_encode(p, n, text, sizeof(text)))
		return json_null();
	return json_string(text);
}

static json_t *networks_json(const struct model *m)
{
	const struct prefix *nets[] = {&m->network.net4, &m->network.net6};
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < 2; i++)
		if (nets[i]->addr.family != ADDR_NONE) {
			prefix_print(nets[i], text);
			json_array_append_new(list, json_string(text));
		}
	return list;
}

void api_challenge(void *app, struct http_request *r)
{
	struct http_conn_slot *slot = http_conn_slot(r);
	struct now now = app_now(app);

	randombytes_buf(slot->value.b, sizeof(slot->value.b));
	slot->until_boot_ms = now.boot_ms + ZT_CHALLENGE_LIFE_S * 1000;
	http_reply_json(
		r, 200,
		json_pack("{s:o,s:o,s:o,s:o}", "challenge", base64_json(slot->value.b, ZT_KEY_LEN),
			  "box_key", base64_json(app_keys(app)->box_pub.b, ZT_KEY_LEN), "time",
			  api_time(now.wall_ms / 1000), "networks", networks_json(app_model(app))));
}

/* One use, on the connection it was given on, for a short time. */
static bool take_challenge(struct app *a, struct http_request *r, struct key *ret)
{
	struct http_conn_slot *slot = http_conn_slot(r);
	bool fresh = !key_is_zero(&slot->value) && app_now(a).boot_ms < slot->until_boot_ms;

	*ret = slot->value;
	*slot = (struct http_conn_slot){0};
	if (!fresh)
		http_reply_error(r, 409, "state", "there is no fresh challenge on this connection",
				 "get /v1/challenge first, on the same connection");
	return fresh;
}

static int get_bytes(json_t *body, const char *name, void *out, size_t n)
{
	const char *s = json_string_value(json_object_get(body, name));
	size_t len = 0;
	int err = s ? txt_base64url_decode(s, strlen(s), out, n, &len) : -ZT_EFORM;

	return err || len != n ? -ZT_EFORM : 0;
}

/* --- enrolment --- */

struct enrolment {
	uint64_t token_id;
	struct secret token_secret;
	char name[ZT_NAME_MAX + 1];
	struct key identity, wg_key, wg_proof;
	struct sig sig;
};

static int decode_enrolment(json_t *body, struct enrolment *e)
{
	json_int_t id = json_integer_value(json_object_get(body, "token_id"));
	const char *name = json_string_value(json_object_get(body, "name"));
	int err = id > 0 && name ? 0 : -ZT_EFORM;

	e->token_id = (uint64_t)id;
	if (!err)
		err = get_bytes(body, "secret", e->token_secret.b, ZT_KEY_LEN);
	if (!err)
		err = get_bytes(body, "identity_key", e->identity.b, ZT_KEY_LEN);
	if (!err)
		err = get_bytes(body, "wg_key", e->wg_key.b, ZT_KEY_LEN);
	if (!err)
		err = get_bytes(body, "wg_proof", e->wg_proof.b, ZT_KEY_LEN);
	if (!err)
		err = get_bytes(body, "signature", e->sig.b, ZT_SIG_LEN);
	return err ? err : txt_copy(e->name, sizeof(e->name), name);
}

/* Possession of both private keys, for this controller, on this connection. */
static int check_proofs(struct app *a, const struct enrolment *e, const struct key *challenge)
{
	const struct controller_keys *k = app_keys(a);
	uint8_t text[SIGNED_MAX];
	struct key proof;
	struct buf b;
	int err;

	buf_init(&b, text, sizeof(text));
	buf_put(&b, k->pin.b, ZT_KEY_LEN);
	buf_put(&b, challenge->b, ZT_KEY_LEN);
	err = key_prove(&k->box, &e->wg_key, "zt-wg-proof-1", text, b.len, &proof);
	if (!err && !key_equal(&proof, &e->wg_proof))
		err = -ZT_ESIG;
	buf_put_u64(&b, e->token_id);
	buf_put(&b, e->identity.b, ZT_KEY_LEN);
	buf_put(&b, e->wg_key.b, ZT_KEY_LEN);
	buf_put_text(&b, e->name);
	if (!err)
		err = b.err;
	return err ? err : key_verify(&e->identity, "zt-enroll-1", text, b.len, &e->sig);
}

struct pending {
	struct app *app;
	struct http_request *request;
};

static struct pending *wait_for(struct app *a, struct http_request *r)
{
	struct pending *p = http_request_alloc(r, sizeof(*p));

	if (!p) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return NULL;
	}
	*p = (struct pending){a, r};
	return p;
}

/* One answer for every kind of dead token: a guesser learns nothing; the audit log has the reason.
 */
static void answer_enrolment(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct pending *p = arg;
	struct device *dev;
	json_t *j;

	if (err == -ZT_ETOKEN) {
		http_reply_error(
			p->request, 403, "token",
			"the token is not valid: unknown, already used, expired or revoked",
			"ask an admin for a new one (ztctl token create)");
		return;
	}
	if (err) {
		http_reply_diag(p->request, err, d);
		return;
	}
	dev = model_device(app_model(p->app), c->device.id);
	if (!dev) { /* the store has it, memory had no room */
		http_reply_error(p->request, 500, "internal", zt_strerror(-ENOMEM), "");
		return;
	}
	j = api_device_json(p->app, dev);
	json_object_set_new(j, "device", json_integer(c->device.id));
	json_object_set_new(j, "network_key",
			    base64_json(app_keys(p->app)->network_pub.b, ZT_KEY_LEN));
	json_object_set_new(j, "networks", networks_json(app_model(p->app)));
	http_reply_json(p->request, 201, j);
}

/* By a policy that holds for somebody. */
static bool is_named(const struct model *m, const char *name)
{
	return policy_names_device(m->force.policy, name) ||
	       (m->canary.policy && policy_names_device(m->canary.policy, name));
}

static bool begin_enrolment(struct app *a, struct http_request *r, const struct enrolment *e,
			    struct change *c)
{
	if (!api_begin_change(a, r, CHANGE_DEVICE_ENROLL, "", c))
		return false;
	snprintf(c->actor, sizeof(c->actor), "token:%llu", (unsigned long long)e->token_id);
	c->token.id = e->token_id;
	key_hash(e->token_secret.b, ZT_KEY_LEN, &c->token.secret_hash);
	txt_to_hostname(e->name, c->device.name, sizeof(c->device.name));
	c->hold = is_named(app_model(a), c->device.name);
	c->device.identity = e->identity;
	c->device.wg_key = e->wg_key;
	c->device.created_s = c->at_ms / 1000;
	c->device.cert_not_after_s = c->device.created_s + ZT_CERT_LIFE_S;
	return true;
}

void api_enroll(void *app, struct http_request *r)
{
	struct enrolment e = {0};
	struct pending *p;
	struct change c;
	struct key challenge;
	json_t *body = api_body(r);
	int err;

	if (!body)
		return;
	err = decode_enrolment(body, &e);
	json_decref(body);
	if (err) {
		http_reply_error(r, 400, "form", "the enrolment is malformed",
				 "use a ztnode of the controller's version");
	} else if (take_challenge(app, r, &challenge)) {
		err = check_proofs(app, &e, &challenge);
		if (err)
			http_reply_error(r, 403, "refused",
					 "the device does not have the keys it shows", "");
		else if (begin_enrolment(app, r, &e, &c) && (p = wait_for(app, r)))
			app_change(app, &c, answer_enrolment, p);
	}
	secret_wipe(&e.token_secret);
}

/* --- session --- */

static bool refuse_standing(struct app *a, struct http_request *r, const struct device *d)
{
	const struct standing_refusal *no = standing_refusal(model_standing(d, app_now(a).wall_ms));

	if (no)
		http_reply_error(r, 403, no->code, no->message, no->hint);
	return no != NULL;
}

/* d NULL takes as long and fails as well: which ids there are is not told. */
static int check_session(struct app *a, uint32_t id, const struct device *d,
			 const struct key *challenge, const struct sig *sig)
{
	const struct key *identity = d ? &d->row.identity : &app_keys(a)->network_pub;
	uint8_t text[SIGNED_MAX];
	struct buf b;
	int err;

	buf_init(&b, text, sizeof(text));
	buf_put(&b, app_keys(a)->pin.b, ZT_KEY_LEN);
	buf_put(&b, challenge->b, ZT_KEY_LEN);
	buf_put_u32(&b, id);
	err = key_verify(identity, "zt-session-1", text, b.len, sig);
	return d ? err : -ZT_ESIG;
}

static void answer_session(struct app *a, struct http_request *r, struct device *d)
{
	char session[SESSION_TEXT_MAX];
	int64_t until;
	int err = app_open_session(a, d, session, &until);

	app_seen_from(a, d, r);
	if (err)
		http_reply_error(r, 500, "internal", zt_strerror(err), "");
	else
		http_reply_json(r, 200,
				json_pack("{s:s,s:I,s:s,s:o}", "session", session, "expires_s",
					  (json_int_t)(until - app_now(a).wall_ms / 1000), "state",
					  device_state_name(d->row.state), "cert_expires",
					  api_time(d->row.cert_not_after_s)));
	sodium_memzero(session, sizeof(session));
}

void api_session(void *app, struct http_request *r)
{
	struct key challenge;
	struct sig sig;
	struct device *d;
	json_t *body = api_body(r);
	json_int_t id;
	int err;

	if (!body)
		return;
	id = json_integer_value(json_object_get(body, "device"));
	err = get_bytes(body, "signature", sig.b, sizeof(sig.b));
	json_decref(body);
	if (err || id <= 0 || id > UINT32_MAX) {
		http_reply_error(r, 400, "form", "the session request is malformed", "");
		return;
	}
	if (!take_challenge(app, r, &challenge))
		return;
	d = model_device(app_model(app), (uint32_t)id);
	if (check_session(app, (uint32_t)id, d, &challenge, &sig))
		http_reply_error(
			r, 403, "refused", "the controller does not know this device",
			"enrol it again with a new token (ztnode leave, then ztnode enroll TOKEN)");
	else if (!refuse_standing(app, r, d))
		answer_session(app, r, d);
}

/* --- with a session --- */

/* The session's. Asked again: a body may come long after its headers. NULL: answered. */
static struct device *own_device(struct app *a, struct http_request *r)
{
	struct device *d = model_device(app_model(a), http_caller(r)->device);

	if (!d) {
		http_reply_error(r, 403, "refused", "the controller does not know this device", "");
		return NULL;
	}
	if (refuse_standing(a, r, d))
		return NULL;
	if (app_session_stands(a, http_caller(r)))
		return d;
	http_reply_error(r, 401, "login", "this session ended before the request was complete",
			 "open a session again");
	return NULL;
}

void api_report(void *app, struct http_request *r)
{
	struct device *d = own_device(app, r);
	struct diag diag;
	size_t n;
	const void *p = http_body(r, &n);
	int err;

	if (!d)
		return;
	app_seen_from(app, d, r);
	err = app_report(app, d, p, n, &diag);
	if (err)
		http_reply_diag(r, err, &diag);
	else
		http_reply_json(r, 200, json_object());
}

void api_stream(void *app, struct http_request *r)
{
	const char *text = http_query(r, "serial");
	struct device *d = own_device(app, r);
	uint64_t serial = 0;

	if (!d)
		return;
	if (text && num_parse_u64(text, 0, INT64_MAX, &serial))
		http_reply_error(r, 400, "form", "serial must be a number", "");
	else if (app_open_stream(app, d, r, serial))
		http_reply_error(r, 503, "busy", "no memory for another stream", "");
}

void api_why(void *app, struct http_request *r)
{
	const char *to = http_query(r, "to"), *service = http_query(r, "service");
	struct device *d = own_device(app, r), *dst = NULL;
	struct explanation x = {0};
	struct service svc;
	struct arena arena;
	int err;

	if (!d)
		return;
	if (!to || !service || service_parse(service, &svc)) {
		http_reply_error(r, 400, "form",
				 "to and service (tcp/443, udp/53, icmp) are needed", "");
		return;
	}
	arena_init(&arena, 1 << 20);
	err = api_explain_to(app, d, to, &svc, true, &arena, &x, &dst);
	/* What does not exist and what is not granted look the same to a device. */
	if (err)
		x = (struct explanation){0};
	http_reply_json(r, 200, api_explanation_json(&x, true));
	arena_done(&arena);
}

static void answer_empty(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct pending *p = arg;

	(void)c;
	if (err)
		http_reply_diag(p->request, err, d);
	else
		http_reply_json(p->request, 200, json_object());
}

void api_leave(void *app, struct http_request *r)
{
	struct pending *p;
	struct change c;

	if (!own_device(app, r) ||
	    !api_begin_change(app, r, CHANGE_DEVICE_STATE, "the device left", &c))
		return;
	c.device.id = http_caller(r)->device;
	c.device.state = DEVICE_REVOKED;
	p = wait_for(app, r);
	if (p)
		app_change(app, &c, answer_empty, p);
}
