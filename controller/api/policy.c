/* Policy endpoints, and explain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"
#include "controller/api/api.h"

enum { CONFIRM_MAX_S = 7 * 86400 };

struct reading {
	struct app *app;
	struct http_request *request;
	struct arena arena;
	struct policy_row row;
	uint32_t version;
	json_t *log;
	int err;
	struct change restore; /* what a restore will put */
	struct trial trial;    /* and how */
};

static struct reading *begin_reading(struct app *a, struct http_request *r)
{
	struct reading *x = http_request_alloc(r, sizeof(*x));

	if (!x) {
		http_reply_error(r, 500, "internal", zt_strerror(-ENOMEM), "");
		return NULL;
	}
	x->app = a;
	x->request = r;
	arena_init(&x->arena, (size_t)ZT_POLICY_MAX + 4096);
	return x;
}

static json_t *diags_json(const struct diag *diags, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct diag *d = &diags[i];

		json_array_append_new(list,
				      json_pack("{s:s,s:i,s:i,s:s,s:s}", "file", d->file, "line",
						(int)d->line, "column", (int)d->column, "message",
						d->message, "hint", d->hint));
	}
	return list;
}

void api_refuse_policy(struct http_request *r, const struct diag *d, const struct diag *problems,
		       size_t n, size_t dropped)
{
	http_reply_json(r, 422,
			json_pack("{s:{s:s,s:s,s:s},s:o,s:i}", "error", "code", "policy", "message",
				  d->message, "hint",
				  "mend the file; the policy in force is unchanged", "problems",
				  diags_json(problems, n), "more", (int)dropped));
}

/* 422 with every mistake, or another error in the usual form. */
static void answer_refusal(struct http_request *r, const struct app_policy *p)
{
	if (p->n_problems)
		api_refuse_policy(r, &p->diag, p->problems, p->n_problems, p->dropped);
	else
		http_reply_diag(r, p->err, &p->diag);
}

static void answer_put(void *arg, const struct app_policy *p)
{
	if (p->err)
		answer_refusal(arg, p);
	else
		http_reply_json(arg, 200,
				json_pack("{s:i,s:o,s:i,s:o}", "version", (int)p->version,
					  "confirm_until", api_time(p->trial.until_ms / 1000),
					  "canary", (int)p->trial.percent, "warnings",
					  diags_json(p->warnings, p->n_warnings)));
}

static void answer_check(void *arg, const struct app_policy *p)
{
	if (p->err)
		answer_refusal(arg, p);
	else
		http_reply_json(arg, 200,
				json_pack("{s:b,s:o}", "ok", 1, "warnings",
					  diags_json(p->warnings, p->n_warnings)));
}

static void set_policy(struct change *c, const char *text, size_t n, const struct trial *trial)
{
	c->policy = (struct policy_row){.text = (char *)(uintptr_t)text,
					.len = n,
					.at_s = c->at_ms / 1000,
					.trial = *trial};
	memcpy(c->policy.author, c->actor, sizeof(c->policy.author));
	memcpy(c->policy.why, c->why, sizeof(c->policy.why));
}

static bool get_number(struct http_request *r, const char *name, uint64_t max, const char *hint,
		       uint64_t *ret)
{
	const char *text = http_query(r, name);
	char message[64];

	*ret = 0;
	if (!text || num_parse_u64(text, 1, max, ret) == 0)
		return true;
	snprintf(message, sizeof(message), "%s must be a number from 1 to %llu", name,
		 (unsigned long long)max);
	http_reply_error(r, 400, "form", message, hint);
	return false;
}

/* How it is tried, if it is. */
static bool get_trial(struct http_request *r, int64_t at_ms, struct trial *ret)
{
	uint64_t confirm_s, percent;

	if (!get_number(r, "confirm_s", CONFIRM_MAX_S, "from a second to a week, for example 10m",
			&confirm_s) ||
	    !get_number(r, "canary", 99, "a part of the devices, from 1% to 99%", &percent))
		return false;
	if (confirm_s && percent) {
		http_reply_error(r, 400, "form", "a policy goes back by itself or is a canary",
				 "take one of --confirm and --canary; a canary is ended by promote "
				 "or abort");
		return false;
	}
	*ret = (struct trial){.state = confirm_s || percent ? TRIAL_OPEN : TRIAL_NONE,
			      .until_ms = confirm_s ? at_ms + (int64_t)confirm_s * 1000 : 0,
			      .percent = (unsigned)percent};
	return true;
}

void api_policy_put(void *app, struct http_request *r)
{
	const char *why = http_query(r, "why");
	struct trial trial;
	struct change c;
	size_t n;
	const void *p = http_body(r, &n);

	if (!why || !why[0])
		http_reply_error(r, 400, "form", "a reason is needed",
				 "--why TEXT says it; it stands in the audit log");
	else if (api_begin_change(app, r, CHANGE_POLICY_PUT, why, &c) &&
		 get_trial(r, c.at_ms, &trial)) {
		set_policy(&c, p, n, &trial);
		api_put_guarded(app, r, &c, answer_put);
	}
}

void api_policy_check(void *app, struct http_request *r)
{
	struct change c = {.kind = CHANGE_POLICY_PUT, .at_ms = app_now(app).wall_ms};
	size_t n;
	const void *p = http_body(r, &n);

	set_policy(&c, p, n, &(struct trial){0});
	app_put_policy(app, &c, true, answer_check, r);
}

/* --- the end of a trial --- */

static void answer_trial(void *arg, int err, const struct change *c, const struct diag *d)
{
	struct reading *x = arg;
	struct diag warning;
	bool left_out = app_left_out(x->app, &warning);

	(void)c;
	if (err)
		http_reply_diag(x->request, err, d);
	else
		http_reply_json(x->request, 200,
				json_pack("{s:I,s:o}", "version",
					  (json_int_t)app_model(x->app)->force.row.version,
					  "warnings", diags_json(&warning, left_out)));
}

/* Which version is meant; 0 when the body does not say. */
static bool get_meant(struct http_request *r, const json_t *body, uint32_t *ret)
{
	const json_t *j = json_object_get(body, "version");
	json_int_t version = json_integer_value(j);

	if (j && (version < 1 || version > UINT32_MAX)) {
		http_reply_error(r, 400, "form", "a version is a number",
				 "ztctl policy log shows all of them");
		return false;
	}
	*ret = (uint32_t)version;
	return true;
}

static void end_trial(struct app *a, struct http_request *r, enum change_kind kind)
{
	json_t *body = api_body(r);
	uint32_t version = 0;
	struct reading *x;
	const char *why;
	struct change c;
	bool ok;

	if (!body)
		return;
	why = api_text(r, body, "why", ZT_WHY_MAX);
	ok = why && get_meant(r, body, &version) && api_begin_change(a, r, kind, why, &c);
	json_decref(body);
	if (!ok || !(x = begin_reading(a, r)))
		return;
	c.policy.version = version;
	app_change(a, &c, answer_trial, x);
}

void api_policy_confirm(void *app, struct http_request *r)
{
	end_trial(app, r, CHANGE_POLICY_CONFIRM);
}

void api_policy_promote(void *app, struct http_request *r)
{
	end_trial(app, r, CHANGE_POLICY_PROMOTE);
}

void api_policy_abort(void *app, struct http_request *r)
{
	end_trial(app, r, CHANGE_POLICY_ABORT);
}

/* --- versions --- */

static void read_version(void *arg, struct store *s)
{
	struct reading *x = arg;

	x->err = store_policy_get(s, x->version, &x->arena, &x->row);
}

static void answer_version_error(struct reading *x)
{
	if (x->err == -ZT_EABSENT)
		http_reply_error(x->request, 404, "absent",
				 "there is no such version of the policy",
				 "ztctl policy log shows all of them");
	else
		http_reply_error(x->request, 500, "internal", zt_strerror(x->err), "");
}

static void answer_version(void *arg)
{
	struct reading *x = arg;
	char version[12];

	if (!x->err && !x->row.text)
		x->err = -ENOMEM;
	if (x->err) {
		answer_version_error(x);
	} else {
		snprintf(version, sizeof(version), "%u", x->row.version);
		http_reply_header(x->request, "X-Policy-Version", version);
		http_reply_text(x->request, 200, "text/plain; charset=utf-8", x->row.text,
				x->row.len);
	}
	arena_done(&x->arena);
}

static bool get_version(struct http_request *r, const char *text, uint32_t *ret)
{
	uint64_t v = 0;

	if (text && num_parse_u64(text, 1, UINT32_MAX, &v)) {
		http_reply_error(r, 400, "form", "a version is a number",
				 "ztctl policy log shows all of them");
		return false;
	}
	*ret = (uint32_t)v;
	return true;
}

void api_policy_get(void *app, struct http_request *r)
{
	uint32_t version;
	struct reading *x;

	if (!get_version(r, http_query(r, "version"), &version) || !(x = begin_reading(app, r)))
		return;
	x->version = version;
	app_read(app, read_version, answer_version, x);
}

static void put_again(void *arg)
{
	struct reading *x = arg;

	if (!x->err && !x->row.text)
		x->err = -ENOMEM;
	if (x->err) {
		answer_version_error(x);
	} else {
		set_policy(&x->restore, x->row.text, x->row.len, &x->trial);
		api_put_guarded(x->app, x->request, &x->restore, answer_put);
	}
	arena_done(&x->arena); /* the text was copied */
}

void api_policy_restore(void *app, struct http_request *r)
{
	json_t *body = api_body(r);
	json_int_t version;
	const char *why;
	struct reading *x;
	struct trial trial;
	struct change c;
	bool ok;

	if (!body)
		return;
	version = json_integer_value(json_object_get(body, "version"));
	why = api_text(r, body, "why", ZT_WHY_MAX);
	ok = why != NULL;
	if (ok && (!why[0] || version < 1 || version > UINT32_MAX)) {
		http_reply_error(r, 400, "form", "a version and a reason are needed",
				 "ztctl policy restore N --why TEXT");
		ok = false;
	}
	ok = ok && api_begin_change(app, r, CHANGE_POLICY_PUT, why, &c) &&
	     get_trial(r, c.at_ms, &trial);
	json_decref(body);
	if (!ok || !(x = begin_reading(app, r)))
		return;
	x->version = (uint32_t)version;
	x->restore = c;
	x->trial = trial;
	app_read(app, read_version, put_again, x);
}

static void read_log(void *arg, struct store *s)
{
	struct reading *x = arg;

	x->err = x->version ? store_policy_log_one(s, x->version, &x->log)
			    : store_policy_log(s, &x->log);
}

static void answer_log(void *arg)
{
	struct reading *x = arg;

	if (!x->err && !x->log)
		x->err = -ENOMEM;
	if (x->err)
		answer_version_error(x);
	else
		http_reply_json(x->request, 200, x->log);
}

void api_policy_log(void *app, struct http_request *r)
{
	uint32_t version;
	struct reading *x;

	if (!get_version(r, http_query(r, "version"), &version) || !(x = begin_reading(app, r)))
		return;
	x->version = version;
	app_read(app, read_log, answer_log, x);
}

/* --- explain --- */

/* "device:lap" is lap. */
static const char *device_name(const char *text)
{
	return txt_starts(text, "device:") ? text + strlen("device:") : text;
}

static const char *user_email(const char *text)
{
	return txt_starts(text, "user:") ? text + strlen("user:") : text;
}

/* Is there a device in force that FROM means? */
static bool knows_from(const struct model *m, const char *from)
{
	const char *email = user_email(from);

	if (!strchr(from, '@') && model_find_device(m, from))
		return true;
	for (size_t i = 0; i < m->n_devices; i++)
		if (m->devices[i] && m->devices[i]->standing == STANDING_ACTIVE &&
		    strcmp(m->devices[i]->row.owner, email) == 0)
			return true;
	return false;
}

/* The best answer over the devices that FROM means. */
static int explain_from(struct app *a, const char *from, const char *to, const struct service *svc,
			struct arena *arena, struct explanation *ret, struct device **ret_src,
			struct device **ret_dst)
{
	struct model *m = app_model(a);
	const char *email = user_email(from);
	struct device *d = strchr(from, '@') ? NULL : model_find_device(m, from);
	int err;

	if (d) {
		*ret_src = d;
		return api_explain_to(a, d, to, svc, false, arena, ret, ret_dst);
	}
	err = -ZT_EABSENT;
	for (size_t i = 0; i < m->n_devices; i++) {
		struct device *dst = NULL;
		struct explanation x;

		d = m->devices[i];
		if (!d || d->standing != STANDING_ACTIVE || strcmp(d->row.owner, email) != 0)
			continue;
		if (api_explain_to(a, d, to, svc, false, arena, &x, &dst))
			return -ZT_EABSENT;
		if (api_explanation_is_better(&x, ret, err != 0)) {
			*ret = x;
			*ret_src = d;
			*ret_dst = dst;
		}
		err = 0;
	}
	return err;
}

/* A device that is not in force is an answer of its own: nothing can allow it. */
static json_t *inactive_json(const struct device *d)
{
	static const struct {
		const char *is, *hint;
	} words[] = {
		[STANDING_REVOKED] = {"revoked", "enrol it again with a new token"},
		[STANDING_PENDING] = {"pending", "approve it: ztctl device approve"},
		[STANDING_LAPSED] = {"its certificate is over", "it renews it when it connects"},
		[STANDING_EXPIRED] = {"expired", "approve it: ztctl device approve"},
		[STANDING_DISABLED] = {"its owner is disabled", "give it back: ztctl user enable"},
	};
	char condition[ZT_NAME_MAX + 32];

	snprintf(condition, sizeof(condition), "device %s is active", d->row.name);
	return json_pack("{s:b,s:n,s:{s:s,s:[{s:s,s:s,s:s}]}}", "allowed", 0, "rule", "nearest",
			 "rule", "", "failed", "condition", condition, "is", words[d->standing].is,
			 "hint", words[d->standing].hint);
}

/* A user's device: an active one, else the first that is not revoked. */
static const struct device *find_of_user(const struct model *m, const char *email)
{
	const struct device *found = NULL;

	for (size_t i = 0; i < m->n_devices; i++) {
		const struct device *d = m->devices[i];

		if (!d || d->row.state == DEVICE_REVOKED || strcmp(d->row.owner, email) != 0)
			continue;
		if (d->standing == STANDING_ACTIVE)
			return d;
		found = found ? found : d;
	}
	return found;
}

static const struct device *find_inactive(struct app *a, const char *from, const char *to)
{
	const struct model *m = app_model(a);
	const char *names[] = {from, to};

	for (size_t i = 0; i < 2; i++) {
		const struct device *d = strchr(names[i], '@')
						 ? find_of_user(m, user_email(names[i]))
						 : model_find_device(m, names[i]);

		d = d ? d : api_find_address(m, names[i]);
		if (d && d->standing != STANDING_ACTIVE)
			return d;
	}
	return NULL;
}

void api_explain(void *app, struct http_request *r)
{
	const struct device *inactive;
	const char *from = http_query(r, "from"), *to = http_query(r, "to"),
		   *service = http_query(r, "service");
	struct device *src = NULL, *dst = NULL;
	struct explanation x = {0};
	struct service svc;
	struct arena arena;
	json_t *j;
	bool known;

	if (!from || !to || !service || service_parse(service, &svc)) {
		http_reply_error(
			r, 400, "form", "from, to and a service are needed",
			"ztctl explain FROM TO PROTO/PORT, for example tcp/443, udp/53, icmp");
		return;
	}
	if (api_refuse_many(r, from) || api_refuse_many(r, to))
		return;
	from = device_name(from);
	if (to != device_name(to) && !model_find_device(app_model(app), device_name(to))) {
		api_reply_absent(app, r, true, to); /* a resource of that name is not meant */
		return;
	}
	to = device_name(to);
	if ((inactive = find_inactive(app, from, to))) {
		http_reply_json(r, 200, inactive_json(inactive));
		return;
	}
	arena_init(&arena, 4 << 20);
	if (explain_from(app, from, to, &svc, &arena, &x, &src, &dst)) {
		known = knows_from(app_model(app), from);
		api_reply_absent(app, r, known, known ? to : from);
	} else {
		j = api_explanation_json(&x, true);
		json_object_set_new(j, "from", api_end_json(src));
		json_object_set_new(j, "to", api_end_json(dst));
		http_reply_json(r, 200, j);
	}
	arena_done(&arena);
}
