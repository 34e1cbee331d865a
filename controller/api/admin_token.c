/* Admin endpoints for tokens. */
#include "controller/api/admin.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "zt/num.h"
#include "zt/token.h"
#include "zt/txt.h"

static void read_tokens(void *arg, struct store *s)
{
	struct admin_waiting *w = arg;

	w->err = store_token_list(s, w->number, &w->result);
}

void api_token_list(void *app, struct http_request *r)
{
	struct admin_waiting *w = admin_wait(app, r);

	if (!w)
		return;
	w->number = app_now(app).wall_ms / 1000;
	app_read(app, read_tokens, admin_answer_read, w);
}

static void answer_token(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct admin_waiting *w = arg;
	struct token t = {.kind = TOKEN_ENROLL,
			  .pin = app_keys(w->app)->pin,
			  .network = app_keys(w->app)->network_pub,
			  .id = c->token.id,
			  .secret = w->secret};
	char text[ZT_TOKEN_TEXT_MAX];

	if (!err)
		err = txt_copy(t.url, sizeof(t.url), app_url(w->app));
	if (!err)
		err = token_encode(&t, text, sizeof(text));
	if (err)
		http_reply_diag(w->request, err, d);
	else
		http_reply_json(w->request, 201,
				json_pack("{s:I,s:s,s:o}", "id", (json_int_t)c->token.id, "token",
					  text, "expires", api_time(c->token.expires_s)));
	sodium_memzero(text, sizeof(text));
	secret_wipe(&t.secret);
	secret_wipe(&w->secret);
}

static bool get_number(struct http_request *r, json_t *body, const char *name, json_int_t min,
		       json_int_t max, json_int_t fallback, json_int_t *ret)
{
	json_t *j = json_object_get(body, name);
	char message[128];

	*ret = j ? json_integer_value(j) : fallback;
	if ((!j || json_is_integer(j)) && *ret >= min && *ret <= max)
		return true;
	snprintf(message, sizeof(message), "\"%s\" must be a number from %lld to %lld", name,
		 (long long)min, (long long)max);
	return admin_refuse(r, message, "");
}

static bool decode_token(struct http_request *r, json_t *body, int64_t now_s, struct token_row *t)
{
	const char *user = api_text(r, body, "user", ZT_EMAIL_MAX), *name;
	json_int_t uses, expires;

	if (!user || !(name = api_text(r, body, "name", ZT_NAME_MAX)))
		return false;
	if (name[0] && !txt_is_line(name, ZT_NAME_MAX))
		return admin_refuse(r, "\"name\" must be one line of text", "");
	if (user[0] && !txt_is_email(user))
		return admin_refuse(r, "\"user\" is not an e-mail address in lower case",
				    "for example ada@example.com");
	if (!admin_decode_tags(r, json_object_get(body, "tags"), &t->tags))
		return false;
	if (!user[0] && !t->tags.n)
		return admin_refuse(r, "a token needs a user or a tag",
				    "ztctl token create --user EMAIL, or --tag NAME");
	if (!get_number(r, body, "uses", 1, 100000, 1, &uses) ||
	    !get_number(r, body, "expires_s", 1, 366 * 86400, ZT_TOKEN_LIFE_S, &expires) ||
	    !admin_bool(r, body, "approve", false, &t->approve))
		return false;
	t->uses = t->uses_left = (uint32_t)uses;
	t->created_s = now_s;
	t->expires_s = now_s + expires;
	return !txt_copy(t->user, sizeof(t->user), user) &&
	       !txt_copy(t->name, sizeof(t->name), name);
}

void api_token_create(void *app, struct http_request *r)
{
	json_t *body = api_body(r);
	struct admin_waiting *w;
	struct change c;
	bool ok;

	if (!body)
		return;
	ok = api_begin_change(app, r, CHANGE_TOKEN_CREATE, "", &c) &&
	     decode_token(r, body, c.at_ms / 1000, &c.token);
	json_decref(body);
	if (!ok || !(w = admin_wait(app, r)))
		return;
	randombytes_buf(w->secret.b, sizeof(w->secret.b));
	key_hash(w->secret.b, sizeof(w->secret.b), &c.token.secret_hash);
	app_change(app, &c, answer_token, w);
}

static bool get_id(struct http_request *r, uint64_t *ret)
{
	const char *id = http_param(r, "id");

	if (id && num_parse_u64(id, 1, INT64_MAX, ret) == 0)
		return true;
	http_reply_error(r, 404, "absent", "there is no such token",
			 "ztctl token list shows all of them");
	return false;
}

static void answer_token_id(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct admin_waiting *w = arg;

	if (err)
		http_reply_diag(w->request, err, d);
	else
		http_reply_json(w->request, 200, json_pack("{s:I}", "id", (json_int_t)c->token.id));
}

void api_token_revoke(void *app, struct http_request *r)
{
	struct admin_waiting *w;
	struct change c;
	uint64_t id;

	if (!get_id(r, &id) || !admin_begin(app, r, CHANGE_TOKEN_REVOKE, false, &c) ||
	    !(w = admin_wait(app, r)))
		return;
	c.token.id = id;
	app_change(app, &c, answer_token_id, w);
}
