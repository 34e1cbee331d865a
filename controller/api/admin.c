/* Admin endpoints for tokens, devices, users, status. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "zt/netmap.h"
#include "zt/num.h"
#include "zt/token.h"
#include "zt/txt.h"
#include "controller/api/api.h"
#include "controller/model/tags.h"
#include "controller/policy/review.h"

struct waiting { /* an answer that comes when the worker is done */
	struct app *app;
	struct http_request *request;
	struct secret secret; /* token create */
	json_t *result;	      /* reads */
	int err;
	struct store_verdict verdict;
	int64_t number;
};

static struct waiting *wait_for(struct app *a, struct http_request *r)
{
	struct waiting *w = http_request_alloc(r, sizeof(*w));

	if (!w) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return NULL;
	}
	*w = (struct waiting){.app = a, .request = r};
	return w;
}

static void answer_read(void *arg)
{
	struct waiting *w = arg;
	struct diag d;

	if (w->err || !w->result) {
		diag_set(&d, w->err ? w->err : -ENOMEM, "%s",
			 zt_strerror(w->err ? w->err : -ENOMEM));
		json_decref(w->result);
		http_reply_diag(w->request, w->err ? w->err : -ENOMEM, &d);
		return;
	}
	http_reply_json(w->request, 200, w->result);
}

/* --- status --- */

static int64_t memory_kib(void)
{
	long pages = 0;
	char line[128];
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fgets(line, sizeof(line), f)) {
		char *space = strchr(line, ' ');

		pages = space ? strtol(space, NULL, 10) : 0;
	}
	if (f)
		fclose(f);
	return (int64_t)pages * sysconf(_SC_PAGESIZE) / 1024;
}

static json_t *canary_json(const struct model *m)
{
	const struct policy_row *row = &m->canary.row;
	json_int_t devices = 0;

	if (!m->canary.engine)
		return json_null();
	for (size_t i = 0; i < m->n_devices; i++)
		devices += m->devices[i] && m->devices[i]->standing == STANDING_ACTIVE &&
			   m->devices[i]->in_canary;
	return json_pack("{s:I,s:o,s:s,s:i,s:I}", "version", (json_int_t)row->version, "at",
			 api_time(row->at_s), "author", row->author, "percent",
			 (int)row->trial.percent, "devices", devices);
}

static json_t *policy_json(const struct model *m, int64_t now_s)
{
	const struct force *f = &m->force;
	const struct trial *t = &f->row.trial;
	struct review due = review_count(f->policy, f->engine, now_s);

	return json_pack("{s:i,s:o,s:s,s:I,s:I,s:o,s:o}", "version", (int)f->row.version, "at",
			 api_time(f->row.at_s), "author", f->row.author, "past_review",
			 (json_int_t)due.past_review, "over", (json_int_t)due.over, "confirm_until",
			 api_time(t->state == TRIAL_OPEN ? t->until_ms / 1000 : 0), "canary",
			 canary_json(m));
}

void api_status(void *app, struct http_request *r)
{
	struct model *m = app_model(app);
	size_t online = 0, total = 0;

	for (size_t i = 0; i < m->n_devices; i++) {
		total += m->devices[i] != NULL;
		online += m->devices[i] && m->devices[i]->online;
	}
	http_reply_json(r, 200,
			json_pack("{s:s,s:s,s:s,s:I,s:o,s:{s:i,s:i,s:i,s:i},s:i,s:{s:I},s:I,s:I}",
				  "version", app_version(app), "name", m->network.name, "url",
				  app_url(app), "uptime_s", (json_int_t)app_uptime_s(app), "policy",
				  policy_json(m, app_now(app).wall_ms / 1000), "devices", "total",
				  (int)total, "active", (int)model_count(m, DEVICE_ACTIVE),
				  "pending", (int)model_count(m, DEVICE_PENDING), "online",
				  (int)online, "streams", (int)publish_streams(app_publisher(app)),
				  "store", "records", (json_int_t)app_records(app), "lease_s",
				  (json_int_t)m->force.policy->lease_s, "memory_kib",
				  (json_int_t)memory_kib()));
}

/* --- tokens --- */

static void read_tokens(void *arg, struct store *s)
{
	struct waiting *w = arg;

	w->err = store_token_list(s, w->number, &w->result);
}

void api_token_list(void *app, struct http_request *r)
{
	struct waiting *w = wait_for(app, r);

	if (!w)
		return;
	w->number = app_now(app).wall_ms / 1000;
	app_read(app, read_tokens, answer_read, w);
}

static void answer_token(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct waiting *w = arg;
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

static bool refuse_form(struct http_request *r, const char *message, const char *hint)
{
	http_reply_error(r, 400, "form", message, hint);
	return false;
}

static bool decode_tags(struct http_request *r, json_t *list, struct tags *tags)
{
	size_t i;
	json_t *j;

	if (list && !json_is_array(list))
		return refuse_form(r, "\"tags\" must be a list of names", "");
	json_array_foreach(list, i, j)
	{
		const char *s = json_string_value(j);

		if (s && txt_starts(s, "tag:"))
			s += strlen("tag:");
		if (!s || !txt_is_name(s))
			return refuse_form(r, "a tag is not a name",
					   "tags are lower case letters, digits, '.', '_' and '-'");
		if (tags_add(tags, s))
			return refuse_form(r, "too many tags", "a device has at most 32");
	}
	return true;
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
	return refuse_form(r, message, "");
}

/* A word in the wrong form is refused, not taken for "no". */
static bool get_bool(struct http_request *r, json_t *body, const char *name, bool fallback,
		     bool *ret)
{
	json_t *j = json_object_get(body, name);
	char message[128];

	*ret = j ? json_is_true(j) : fallback;
	if (!j || json_is_boolean(j))
		return true;
	snprintf(message, sizeof(message), "\"%s\" must be true or false", name);
	return refuse_form(r, message, "");
}

static bool decode_token(struct http_request *r, json_t *body, int64_t now_s, struct token_row *t)
{
	const char *user = api_text(r, body, "user", ZT_EMAIL_MAX), *name;
	json_int_t uses, expires;

	if (!user || !(name = api_text(r, body, "name", ZT_NAME_MAX)))
		return false;
	if (name[0] && !txt_is_line(name, ZT_NAME_MAX))
		return refuse_form(r, "\"name\" must be one line of text", "");
	if (user[0] && !txt_is_email(user))
		return refuse_form(r, "\"user\" is not an e-mail address in lower case",
				   "for example ada@example.com");
	if (!decode_tags(r, json_object_get(body, "tags"), &t->tags))
		return false;
	if (!user[0] && !t->tags.n)
		return refuse_form(r, "a token needs a user or a tag",
				   "ztctl token create --user EMAIL, or --tag NAME");
	if (!get_number(r, body, "uses", 1, 100000, 1, &uses) ||
	    !get_number(r, body, "expires_s", 1, 366 * 86400, ZT_TOKEN_LIFE_S, &expires) ||
	    !get_bool(r, body, "approve", false, &t->approve))
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
	struct waiting *w;
	struct change c;
	bool ok;

	if (!body)
		return;
	ok = api_begin_change(app, r, CHANGE_TOKEN_CREATE, "", &c) &&
	     decode_token(r, body, c.at_ms / 1000, &c.token);
	json_decref(body);
	if (!ok || !(w = wait_for(app, r)))
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
	struct waiting *w = arg;

	if (err)
		http_reply_diag(w->request, err, d);
	else
		http_reply_json(w->request, 200, json_pack("{s:I}", "id", (json_int_t)c->token.id));
}

/* Common to changes that carry only a reason. */
static bool begin_with_why(struct app *a, struct http_request *r, enum change_kind kind,
			   bool required, struct change *c)
{
	json_t *body = api_body(r);
	const char *why;
	bool ok;

	if (!body)
		return false;
	why = api_text(r, body, "why", ZT_WHY_MAX);
	if (why && required && !why[0])
		http_reply_error(r, 400, "form", "a reason is needed",
				 "--why TEXT says it; it stands in the audit log");
	ok = why && (!required || why[0]) && api_begin_change(a, r, kind, why, c);
	json_decref(body);
	return ok;
}

void api_token_revoke(void *app, struct http_request *r)
{
	struct waiting *w;
	struct change c;
	uint64_t id;

	if (!get_id(r, &id) || !begin_with_why(app, r, CHANGE_TOKEN_REVOKE, false, &c) ||
	    !(w = wait_for(app, r)))
		return;
	c.token.id = id;
	app_change(app, &c, answer_token_id, w);
}

/* --- devices --- */

void api_device_list(void *app, struct http_request *r)
{
	struct model *m = app_model(app);
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_devices; i++)
		if (m->devices[i])
			json_array_append_new(list, api_device_json(app, m->devices[i]));
	http_reply_json(r, 200, list);
}

static json_t *facts_json(const struct device *d, int64_t now_ms)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->n_facts; i++)
		json_array_append_new(
			list,
			json_pack("{s:s,s:s,s:b,s:I}", "name", d->facts[i].name, "value",
				  d->facts[i].value, "known", d->facts[i].state == FACT_KNOWN,
				  "age_s", (json_int_t)((now_ms - d->facts[i].read_ms) / 1000)));
	return list;
}

static json_t *verdicts_json(const struct model *m, const struct device *d, int64_t now_ms)
{
	const struct force *f = model_force(m, d);
	uint64_t asked = engine_profiles(f->engine, d->row.id);
	json_t *list = json_array();

	for (size_t i = 0; i < f->policy->n_postures; i++) {
		struct verdict v = {0};
		json_t *failed = json_array();
		struct arena a;

		arena_init(&a, 1 << 20);
		if (model_verdict(m, d, i, now_ms, &a, &v))
			v = (struct verdict){0};
		for (size_t j = 0; j < v.n_failed; j++)
			json_array_append_new(
				failed,
				json_sprintf("%s (is %s)", v.failed[j].condition, v.failed[j].is));
		if (asked >> i & 1)
			json_array_append_new(list, json_pack("{s:s,s:b,s:O}", "profile",
							      f->policy->postures[i].name, "ok",
							      v.ok, "failed", failed));
		json_decref(failed);
		arena_done(&a);
	}
	return list;
}

static json_t *endpoints_json(const struct device *d)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < d->n_endpoints; i++) {
		endpoint_print(&d->endpoints[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *peer_rules(const struct netmap *n, uint32_t peer)
{
	json_t *list = json_array();
	uint32_t last = 0;

	for (size_t i = 0; i < n->n_grants; i++)
		if (n->grants[i].peer == peer && n->grants[i].rule != last) {
			last = n->grants[i].rule;
			json_array_append_new(list, json_string(netmap_rule_name(n, last)));
		}
	return list;
}

static json_t *peers_json(const struct device *d)
{
	const struct netmap *n = publish_map(d);
	json_t *list = json_array();

	for (size_t i = 0; n && i < n->n_peers; i++)
		json_array_append_new(list, json_pack("{s:i,s:s,s:o}", "id", (int)n->peers[i].id,
						      "name", n->peers[i].name, "rules",
						      peer_rules(n, n->peers[i].id)));
	return list;
}

void api_device_show(void *app, struct http_request *r)
{
	struct device *d = api_find_device(app, r);
	char identity[KEY_TEXT_MAX], wg[KEY_TEXT_MAX];
	int64_t now_ms = app_now(app).wall_ms;
	json_t *j;

	if (!d)
		return;
	key_print(&d->row.identity, identity);
	key_print(&d->row.wg_key, wg);
	j = api_device_json(app, d);
	json_object_set_new(j, "posture", verdicts_json(app_model(app), d, now_ms));
	json_object_set_new(j, "facts", facts_json(d, now_ms));
	json_object_set_new(j, "endpoints", endpoints_json(d));
	json_object_set_new(j, "peers", peers_json(d));
	json_object_set_new(j, "identity_key", json_string(identity));
	json_object_set_new(j, "wg_key", json_string(wg));
	json_object_set_new(j, "created", api_time(d->row.created_s));
	json_object_set_new(j, "cert_expires", api_time(d->row.cert_not_after_s));
	http_reply_json(r, 200, j);
}

static void answer_device(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct waiting *w = arg;
	struct device *dev = err ? NULL : model_device(app_model(w->app), c->device.id);

	if (err || !dev)
		http_reply_diag(w->request, err ? err : -ZT_EABSENT, d);
	else
		http_reply_json(w->request, 200, api_device_json(w->app, dev));
}

static void change_state(struct app *a, struct http_request *r, enum device_state state,
			 bool why_required)
{
	struct device *d = api_find_device(a, r);
	struct waiting *w;
	struct change c;

	if (!d || !begin_with_why(a, r, CHANGE_DEVICE_STATE, why_required, &c) ||
	    !(w = wait_for(a, r)))
		return;
	c.device.id = d->row.id;
	c.device.state = state;
	app_change(a, &c, answer_device, w);
}

void api_device_approve(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_ACTIVE, false);
}

void api_device_revoke(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_REVOKED, true);
}

void api_device_expire(void *app, struct http_request *r)
{
	change_state(app, r, DEVICE_EXPIRED, false);
}

static bool decode_tag_change(struct http_request *r, json_t *body, struct tags *tags)
{
	struct tags add = {0}, del = {0};

	if (!decode_tags(r, json_object_get(body, "add"), &add) ||
	    !decode_tags(r, json_object_get(body, "remove"), &del))
		return false;
	for (size_t i = 0; i < del.n; i++)
		tags_remove(tags, del.name[i]);
	for (size_t i = 0; i < add.n; i++)
		if (tags_add(tags, add.name[i]))
			return refuse_form(r, "too many tags", "a device has at most 32");
	return true;
}

void api_device_tags(void *app, struct http_request *r)
{
	struct device *d = api_find_device(app, r);
	json_t *body = d ? api_body(r) : NULL;
	struct waiting *w;
	struct change c;
	const char *why;
	bool ok;

	if (!body)
		return;
	why = api_text(r, body, "why", ZT_WHY_MAX);
	ok = why && api_begin_change(app, r, CHANGE_DEVICE_TAGS, why, &c);
	if (ok) {
		model_row(d, &c.device);
		ok = decode_tag_change(r, body, &c.device.tags);
	}
	json_decref(body);
	if (ok && (w = wait_for(app, r)))
		app_change(app, &c, answer_device, w);
}

/* --- users --- */

static json_t *user_json(const struct model *m, const char *email)
{
	const struct user_row *u = model_user(m, email);
	json_t *groups = json_array();
	int devices = 0;

	for (size_t i = 0; u && i < u->n_groups; i++)
		json_array_append_new(groups, json_string(u->groups[i]));
	for (size_t i = 0; i < m->n_devices; i++)
		devices += m->devices[i] && m->devices[i]->row.state != DEVICE_REVOKED &&
			   strcmp(m->devices[i]->row.owner, email) == 0;
	return json_pack("{s:s,s:o,s:b,s:i}", "email", email, "groups", groups, "disabled",
			 u ? (int)u->disabled : 0, "devices", devices);
}

/* Users that an admin added, and owners of devices. */
void api_user_list(void *app, struct http_request *r)
{
	const struct model *m = app_model(app);
	json_t *seen = json_object(), *list = json_array();

	for (size_t i = 0; i < m->n_users; i++)
		json_object_set_new(seen, m->users[i].email, json_true());
	for (size_t i = 0; i < m->n_devices; i++)
		if (m->devices[i] && m->devices[i]->row.owner[0])
			json_object_set_new(seen, m->devices[i]->row.owner, json_true());
	for (void *it = json_object_iter(seen); it; it = json_object_iter_next(seen, it))
		json_array_append_new(list, user_json(m, json_object_iter_key(it)));
	json_decref(seen);
	http_reply_json(r, 200, list);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool decode_groups(struct http_request *r, json_t *list, struct user_row *u)
{
	size_t i, n = 0;
	json_t *j;

	if (!list)
		return true; /* as they were */
	if (!json_is_array(list) || json_array_size(list) > USER_GROUPS_MAX)
		return refuse_form(r, "\"groups\" must be a list of at most 64 names", "");
	json_array_foreach(list, i, j)
	{
		const char *s = json_string_value(j);

		if (!s || !txt_is_name(s) || txt_copy(u->groups[n++], sizeof(u->groups[0]), s))
			return refuse_form(
				r, "a group is not a name",
				"groups are lower case letters, digits, '.', '_' and '-'");
	}
	qsort(u->groups, n, sizeof(u->groups[0]), compare_names);
	u->n_groups = 0;
	for (i = 0; i < n; i++) /* named twice is named once */
		if (!i || strcmp(u->groups[i], u->groups[u->n_groups - 1]) != 0)
			memmove(u->groups[u->n_groups++], u->groups[i], sizeof(u->groups[0]));
	return true;
}

static void answer_user(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct waiting *w = arg;

	if (err)
		http_reply_diag(w->request, err, d);
	else
		http_reply_json(w->request, 200, user_json(app_model(w->app), c->user.email));
}

void api_user_put(void *app, struct http_request *r)
{
	const char *email = http_param(r, "email");
	const struct user_row *old = email ? model_user(app_model(app), email) : NULL;
	json_t *body;
	struct waiting *w;
	struct change c;
	bool ok;

	if (!email || !txt_is_email(email)) {
		refuse_form(r, "not an e-mail address in lower case",
			    "for example ada@example.com");
		return;
	}
	if (!(body = api_body(r)))
		return;
	ok = api_begin_change(app, r, CHANGE_USER_PUT, "", &c);
	if (ok && old)
		c.user = *old;
	ok = ok && get_bool(r, body, "disabled", c.user.disabled, &c.user.disabled) &&
	     decode_groups(r, json_object_get(body, "groups"), &c.user) &&
	     !txt_copy(c.user.email, sizeof(c.user.email), email);
	json_decref(body);
	if (ok && (w = wait_for(app, r)))
		app_change(app, &c, answer_user, w);
}

/* --- audit --- */

static void read_audit(void *arg, struct store *s)
{
	struct waiting *w = arg;

	w->err = store_audit_list(s, w->number, &w->result);
}

void api_audit_list(void *app, struct http_request *r)
{
	const char *text = http_query(r, "since_s");
	uint64_t since = 0;
	struct waiting *w;

	if (text && num_parse_u64(text, 0, (uint64_t)100 * 366 * 86400, &since)) {
		refuse_form(r, "since_s must be a number of seconds", "");
		return;
	}
	if (!(w = wait_for(app, r)))
		return;
	w->number = text ? app_now(app).wall_ms - (int64_t)since * 1000 : 0;
	app_read(app, read_audit, answer_read, w);
}

static void read_verdict(void *arg, struct store *s)
{
	struct waiting *w = arg;

	w->err = store_audit_verify(s, &w->verdict);
	if (!w->err)
		w->result = json_pack("{s:b,s:I,s:s,s:I,s:s}", "ok",
				      !w->verdict.first_bad && !w->verdict.problem[0], "records",
				      (json_int_t)w->verdict.records, "head", w->verdict.head,
				      "first_bad", (json_int_t)w->verdict.first_bad, "problem",
				      w->verdict.problem);
}

void api_audit_verify(void *app, struct http_request *r)
{
	struct waiting *w = wait_for(app, r);

	if (w)
		app_read(app, read_verdict, answer_read, w);
}
