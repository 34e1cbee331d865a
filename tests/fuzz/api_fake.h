/* What stands around the API's handlers, for api_fuzz: the request (http.h), the application
 * (app.h), the store's readings and the publisher. All of it is linked here and not from the
 * archives. As in life, what a handler asks for is answered after it has returned, unless it is
 * turned away at once; and every request is answered exactly once. */
#pragma once

#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#include "controller/api/api.h"
#include "zt/netmap.h"
#include "zt/txt.h"

enum { FIELDS_MAX = 8, REQUEST_ARENA_MAX = 1 << 20 };

static const struct now fake_now = {.wall_ms = 1800000000000, .boot_ms = 5000000};

struct http_request {
	const struct http_route *route;
	struct http_caller caller;
	struct {
		const char *name, *value;
	} fields[FIELDS_MAX]; /* of the path and of the query */
	size_t n_fields;
	const uint8_t *body; /* NULL: empty */
	size_t n_body;
	struct http_conn_slot slot;
	struct arena arena;
	unsigned answers;
	int status; /* of the answer */
};

enum wish_kind { WISH_NONE, WISH_CHANGE, WISH_POLICY, WISH_SURVEY, WISH_READ };

/* What a handler asked the application for, until it is answered. */
struct wish {
	enum wish_kind kind;
	struct change change; /* policy.text is owned; of a review this alone */
	struct survey_path path;
	bool check_only;
	app_then change_then;
	app_policy_then policy_then;
	survey_then survey_then;
	void (*run)(void *arg, struct store *s), (*read_then)(void *arg);
	void *arg;
};

struct app {
	struct model model;
	bool dirty; /* the model is not as it was made */
	struct controller_keys keys;
	struct http_request *request;
	struct wish wish;
	unsigned wishes;
	size_t n_problems; /* of the policy that was refused: every one is told */
	int outcome;	   /* of what is asked for */
	bool turn_away;	   /* a change, at once */
};

static struct app fake;

/* The store is never looked into: only handed on. */
static int store_outcome;

/* --- http.h --- */

static void count_answer(struct http_request *r, int status)
{
	fuzz_check(r->answers++ == 0);
	fuzz_check(fake.wish.kind == WISH_NONE);
	r->status = status;
}

const struct http_caller *http_caller(const struct http_request *r)
{
	return &r->caller;
}

static const char *find_field(const struct http_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_fields; i++)
		if (txt_equal(r->fields[i].name, name))
			return r->fields[i].value;
	return NULL;
}

/* A path's segment is never missing. */
const char *http_param(const struct http_request *r, const char *name)
{
	const char *value = find_field(r, name);

	fuzz_check(strstr(r->route->path, name) != NULL);
	return value && value[0] ? value : "1";
}

const char *http_query(const struct http_request *r, const char *name)
{
	return find_field(r, name);
}

const void *http_body(const struct http_request *r, size_t *ret_len)
{
	*ret_len = r->n_body;
	return r->body ? r->body : (const uint8_t *)"";
}

void http_peer(const struct http_request *r, struct endpoint *ret)
{
	*ret = (struct endpoint){{ADDR_V4, {192, 0, 2, 1}}, 40000};
	if (find_field(r, "inside")) /* through the overlay, from the laptop */
		*ret = (struct endpoint){{ADDR_V4, {100, 64, 0, 1}}, 40000};
}

/* The machine of db-1 is the controller's own. */
void http_local(const struct http_request *r, struct endpoint *ret)
{
	(void)r;
	*ret = (struct endpoint){{ADDR_V4, {100, 64, 0, 2}}, 5432};
}

struct http_conn_slot *http_conn_slot(const struct http_request *r)
{
	return (struct http_conn_slot *)&r->slot;
}

void *http_request_alloc(struct http_request *r, size_t n)
{
	return arena_alloc(&r->arena, n);
}

void http_reply_json(struct http_request *r, int status, json_t *body)
{
	char *text;

	fuzz_check(body != NULL); /* there is memory: a text in it was no text */
	text = json_dumps(body, JSON_COMPACT);
	fuzz_check(text != NULL);
	fuzz_check(status == 200 || status == 201 || status == 422);
	fuzz_check((status == 422) == (json_object_get(body, "error") != NULL));
	if (status == 422)
		fuzz_check(json_array_size(json_object_get(body, "problems")) == fake.n_problems);
	count_answer(r, status);
	free(text);
	json_decref(body);
}

void http_reply_text(struct http_request *r, int status, const char *type, const void *p, size_t n)
{
	fuzz_check(status == 200 && type[0] && (p || !n));
	count_answer(r, status);
}

void http_reply_error(struct http_request *r, int status, const char *code, const char *message,
		      const char *hint)
{
	fuzz_check(status >= 400 && status < 600);
	fuzz_check(txt_is_name(code) && txt_is_line(message, 400) &&
		   txt_is_utf8(hint, strlen(hint)));
	count_answer(r, status);
}

void http_reply_diag(struct http_request *r, int err, const struct diag *d)
{
	fuzz_check(err < 0);
	http_reply_error(r, 500, "internal", d->message[0] ? d->message : zt_strerror(err),
			 d->hint);
}

void http_reply_header(struct http_request *r, const char *name, const char *value)
{
	fuzz_check(r->answers == 0 && name[0] && txt_is_line(value, 100));
}

/* --- app.h: what is asked for --- */

static struct wish *new_wish(enum wish_kind kind, const struct change *c, void *arg)
{
	struct wish *w = &fake.wish;

	fuzz_check(w->kind == WISH_NONE && fake.request->answers == 0);
	*w = (struct wish){.kind = kind, .arg = arg};
	fake.wishes++;
	if (c)
		w->change = *c;
	if (!c || !c->policy.text)
		return w;
	w->change.policy.text = malloc(c->policy.len + 1);
	fuzz_check(w->change.policy.text != NULL);
	memcpy(w->change.policy.text, c->policy.text, c->policy.len);
	w->change.policy.text[c->policy.len] = '\0';
	return w;
}

/* Whoever may do it: a device speaks for itself alone. */
static void check_change(const struct change *c)
{
	const struct http_request *r = fake.request;

	fuzz_check(strcmp(r->route->method, "GET") != 0);
	fuzz_check(c->at_ms == fake_now.wall_ms && txt_is_line(c->actor, sizeof(c->actor) - 1));
	fuzz_check(!c->why[0] || txt_is_line(c->why, ZT_WHY_MAX));
	fuzz_check(txt_equal(c->source,
			     find_field(r, "inside") ? "100.64.0.1:40000" : "192.0.2.1:40000") &&
		   !c->detail && !c->seq);
	if (r->caller.kind == HTTP_NOBODY)
		fuzz_check(c->kind == CHANGE_DEVICE_ENROLL);
	else if (r->caller.kind != HTTP_ADMIN)
		fuzz_check(c->kind == CHANGE_DEVICE_STATE && c->device.state == DEVICE_REVOKED &&
			   c->device.id == r->caller.device);
}

static void check_tags(const struct tags *t)
{
	fuzz_check(t->n <= ZT_TAGS_MAX);
	for (size_t i = 0; i < t->n; i++)
		fuzz_check(txt_is_name(t->name[i]) &&
			   (!i || strcmp(t->name[i - 1], t->name[i]) < 0));
}

static void check_token(const struct token_row *t, int64_t now_s)
{
	check_tags(&t->tags);
	fuzz_check(t->user[0] ? txt_is_email(t->user) : t->tags.n > 0);
	fuzz_check(!t->name[0] || txt_is_line(t->name, ZT_NAME_MAX));
	fuzz_check(t->uses >= 1 && t->uses_left == t->uses && !key_is_zero(&t->secret_hash));
	fuzz_check(t->created_s == now_s && t->expires_s > now_s && !t->revoked);
}

static void check_user(const struct user_row *u)
{
	fuzz_check(txt_is_email(u->email) && u->n_groups <= USER_GROUPS_MAX);
	for (size_t i = 0; i < u->n_groups; i++)
		fuzz_check(txt_is_name(u->groups[i]) &&
			   (!i || strcmp(u->groups[i - 1], u->groups[i]) < 0));
}

static void check_enrolment(const struct change *c)
{
	fuzz_check(c->token.id && c->token.id <= INT64_MAX && !key_is_zero(&c->token.secret_hash));
	fuzz_check(txt_is_hostname(c->device.name) && !c->device.id);
	fuzz_check(c->device.cert_not_after_s > c->device.created_s);
	fuzz_check(key_is_zero(&fake.request->slot.value)); /* its challenge is spent */
}

static void check_payload(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_TOKEN_CREATE:
		check_token(&c->token, c->at_ms / 1000);
		break;
	case CHANGE_TOKEN_REVOKE:
		fuzz_check(c->token.id > 0);
		break;
	case CHANGE_DEVICE_ENROLL:
		check_enrolment(c);
		break;
	case CHANGE_DEVICE_STATE:
	case CHANGE_DEVICE_TAGS:
		check_tags(&c->device.tags);
		break;
	case CHANGE_USER_PUT:
		check_user(&c->user);
		break;
	case CHANGE_POLICY_CONFIRM:
	case CHANGE_POLICY_PROMOTE:
	case CHANGE_POLICY_ABORT:
		fuzz_check(!c->policy.text && c->policy.trial.state == TRIAL_NONE);
		break;
	case CHANGE_DEVICE_KEY:
	case CHANGE_POLICY_REVIEW:
	case CHANGE_POLICY_PUT:
	case CHANGE_POSTURE:
	case CHANGE_REFUSED:
		fuzz_check(c->kind == CHANGE_DEVICE_STATE); /* no handler makes these this way */
	}
}

/* One way to try a policy or none. */
static void check_trial(const struct change *c)
{
	const struct trial *t = &c->policy.trial;

	fuzz_check(!c->policy.version && !c->instead && !t->base);
	fuzz_check(t->percent <= 99 && (!t->until_ms || t->until_ms > c->at_ms));
	fuzz_check((t->state == TRIAL_OPEN) == (t->until_ms || t->percent));
	fuzz_check(t->state <= TRIAL_OPEN && !(t->until_ms && t->percent));
}

static const struct diag fake_problem = {.message = "turned away by the fake", .hint = "none"};

void app_change(struct app *a, const struct change *c, app_then then, void *arg)
{
	struct wish *w;

	check_change(c);
	check_payload(c);
	if (a->turn_away) {
		then(arg, -EBUSY, c, &fake_problem);
		return;
	}
	w = new_wish(WISH_CHANGE, c, arg);
	w->change_then = then;
}

void app_put_policy(struct app *a, const struct change *c, bool check_only, app_policy_then then,
		    void *arg)
{
	struct wish *w;

	(void)a;
	fuzz_check(c->kind == CHANGE_POLICY_PUT && c->policy.text);
	fuzz_check(check_only || c->why[0]);
	check_trial(c);
	if (!check_only)
		check_change(c);
	w = new_wish(WISH_POLICY, c, arg);
	w->check_only = check_only;
	w->policy_then = then;
}

void app_survey(struct app *a, const char *text, size_t n, const struct survey_path *path,
		survey_then then, void *arg)
{
	struct change c = {.policy = {.text = (char *)(uintptr_t)text, .len = n}};
	struct wish *w = new_wish(WISH_SURVEY, &c, arg);

	(void)a;
	w->path = *path;
	w->survey_then = then;
}

void app_read(struct app *a, void (*run)(void *arg, struct store *s), void (*then)(void *arg),
	      void *arg)
{
	struct wish *w = new_wish(WISH_READ, NULL, arg);

	(void)a;
	w->run = run;
	w->read_then = then;
}

void app_seen_from(struct app *a, struct device *d, const struct http_request *r)
{
	fuzz_check(a && d && r);
}

int app_report(struct app *a, struct device *d, const void *body, size_t n, struct diag *diag)
{
	struct arena arena;
	struct report r;
	bool changed;
	int err;

	arena_init(&arena, 1 << 20);
	a->dirty = true;
	err = report_decode(body, n, &arena, &r);
	if (!err)
		err = model_take_report(&a->model, d, &r, fake_now.wall_ms, &changed);
	if (err)
		diag_set(diag, err, "the report is refused: %s", zt_strerror(err));
	arena_done(&arena);
	return err;
}

int app_open_stream(struct app *a, struct device *d, struct http_request *r, uint64_t serial)
{
	fuzz_check(d->row.id == r->caller.device && serial <= INT64_MAX);
	if (a->outcome)
		return a->outcome;
	count_answer(r, 200);
	return 0;
}

bool app_session_stands(const struct app *a, const struct http_caller *c)
{
	(void)a, (void)c;
	return true;
}

int app_open_session(struct app *a, struct device *d, char out[static SESSION_TEXT_MAX],
		     int64_t *ret_expires_s)
{
	if (a->outcome)
		return a->outcome;
	snprintf(out, SESSION_TEXT_MAX, "%u.secret", d->row.id);
	*ret_expires_s = fake_now.wall_ms / 1000 + 60;
	return 0;
}

/* --- app.h: what encoders look at --- */

struct model *app_model(struct app *a)
{
	return &a->model;
}

struct publisher *app_publisher(struct app *a)
{
	(void)a;
	return NULL;
}

const struct controller_keys *app_keys(const struct app *a)
{
	return &a->keys;
}

const char *app_url(const struct app *a)
{
	(void)a;
	return "https://ctl.example.com";
}

const char *app_version(const struct app *a)
{
	(void)a;
	return "1";
}

uint64_t app_records(const struct app *a)
{
	(void)a;
	return 3;
}

int64_t app_uptime_s(const struct app *a)
{
	(void)a;
	return 60;
}

bool app_left_out(const struct app *a, struct diag *ret)
{
	*ret = (struct diag){.message = "no memory"};
	return a->model.n_left_out > 0;
}

struct policy_env app_policy_env(const struct app *a, int64_t now_ms)
{
	(void)a;
	return (struct policy_env){.now_s = now_ms / 1000};
}

struct now app_now(const struct app *a)
{
	(void)a;
	return fake_now;
}

size_t publish_streams(const struct publisher *p)
{
	(void)p;
	return 1;
}

const struct netmap *publish_map(const struct device *d)
{
	static const struct netmap_peer peers[] = {{.id = 2, .name = "db-1"}};
	static const struct netmap_grant grants[] = {{.peer = 2, .rule = 1},
						     {.peer = 2, .rule = 9}};
	static const struct netmap_rule rules[] = {{.id = 1, .name = "finance-to-db"}};
	static const struct netmap map = {.peers = peers,
					  .grants = grants,
					  .rules = rules,
					  .n_peers = 1,
					  .n_grants = 2,
					  .n_rules = 1};

	return d->row.id == 1 ? &map : NULL;
}

/* --- store.h: what handlers read --- */

static int list_of(const char *name, json_t **ret)
{
	if (!store_outcome)
		*ret = json_pack("[{s:i,s:s}]", "id", 1, "name", name);
	return store_outcome;
}

int store_policy_log_one(struct store *s, uint32_t version, json_t **ret)
{
	(void)s;
	if (version != 1)
		return -ZT_EABSENT;
	*ret = json_object();
	return 0;
}

int store_policy_log(struct store *s, json_t **ret)
{
	(void)s;
	return list_of("policy", ret);
}

int store_token_list(struct store *s, int64_t now_s, json_t **ret)
{
	(void)s;
	fuzz_check(now_s == fake_now.wall_ms / 1000);
	return list_of("token", ret);
}

int store_audit_list(struct store *s, int64_t since_ms, json_t **ret)
{
	(void)s;
	fuzz_check(since_ms <= fake_now.wall_ms);
	return list_of("audit", ret);
}

int store_audit_verify(struct store *s, struct store_verdict *ret)
{
	(void)s;
	if (!store_outcome)
		*ret = (struct store_verdict){.records = 3, .first_bad = 2, .problem = "changed"};
	return store_outcome;
}

int store_policy_get(struct store *s, uint32_t version, struct arena *a, struct policy_row *ret)
{
	static const char text[] = "[group g]\nmembers = user:a@b\n";

	(void)s;
	if (store_outcome)
		return store_outcome;
	*ret = (struct policy_row){.version = version ? version : 1,
				   .text = arena_text(a, text, sizeof(text) - 1),
				   .len = sizeof(text) - 1};
	return 0;
}
