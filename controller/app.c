/* The controller's flow: see app.h for the picture. Sections in the order of the flow: who calls, a
 * change and its transaction, the model and who must hear of it, reports and posture, the clock. */
#include "controller/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "zt/log.h"
#include "zt/num.h"
#include "zt/txt.h"
#include "controller/advice.h"
#include "controller/changes.h"
#include "controller/geo.h"
#include "controller/policy/invariant.h"
#include "controller/policy/review.h"
#include "controller/zones.h"
#include "controller/pace.h"

enum {
	TICK_MS = 1000,
	MARK_ARENA_MAX = 64 << 20,
	REPORT_ARENA_MAX = 1 << 20,
	SUBJECTS_ARENA_MAX = 256 << 20,
	ENROLMENTS_WAITING_MAX = 1000, /* strangers' work; what admins do is never turned away */
	TOUCH_BATCH_MAX = 4096,
	DAY_S = 86400,
	NOTE_MS = 10000,
	NOTE_BURST = 30,
	TAKE_BACK_AGAIN_MS = 60000,
	REVIEW_NAMES_MAX = 100, /* of one kind in one record */
};

struct session {	 /* one a device; the newest wins */
	struct key hash; /* of the secret */
	uint64_t number; /* each has its own */
	int64_t until_s;
	int64_t until_boot_ms; /* a wall clock that is set back makes it no longer */
};

struct touched { /* soft state of a device waiting to be written */
	bool due;
	bool seen;
	uint8_t *report;
	size_t report_len;
	int64_t report_ms;
	int64_t notes_ms; /* until when posture records are paid for (note_budget) */
	unsigned unnoted;
	int64_t heard_ms; /* boot clock: its last request, or the end of its stream */
	struct pace pace; /* of what its posture gains it */
	int64_t gain_ms;  /* when a gain that waits may come; 0: none waits */
	int64_t told_ms;  /* the last such time that was logged */
};

struct app {
	struct app_config c;
	struct store *store; /* the worker's while it runs */
	struct store_network network;
	struct model model;
	struct worker *worker;
	struct publisher *publisher;
	struct loop_timer *tick;
	struct loop_timer *edge; /* the next instant at which a rule begins or ends */
	struct admin_row *admins;
	size_t n_admins;
	struct session *sessions; /* by device id */
	struct touched *touched;  /* by device id */
	size_t n_by_id;
	uint64_t n_sessions; /* ever opened */
	bool touch_running;
	struct change_job *rewrites; /* under way, computed from the model as it was */
	int64_t confirm_boot_ms;     /* when a policy that waits goes back, by the clock that nobody
					sets */
	int64_t take_back_boot_ms;   /* not before, after a failure */
	uint32_t taking_back;	     /* this version, now; 0 none */
	int64_t review_day;	     /* when rules that are due were last looked for */
	uint64_t records;	     /* in the change log */
	int64_t started_ms;
};

static void evaluate(struct app *a, struct device *d);

struct model *app_model(struct app *a)
{
	return &a->model;
}

struct publisher *app_publisher(struct app *a)
{
	return a->publisher;
}

const struct controller_keys *app_keys(const struct app *a)
{
	return a->c.keys;
}

const char *app_url(const struct app *a)
{
	return a->network.url;
}

const char *app_version(const struct app *a)
{
	return a->c.version;
}

struct now app_now(const struct app *a)
{
	(void)a;
	return clock_now();
}

uint64_t app_records(const struct app *a)
{
	return a->records;
}

int64_t app_uptime_s(const struct app *a)
{
	return (clock_now().boot_ms - a->started_ms) / 1000;
}

static int grow_by_id(struct app *a, uint32_t id)
{
	size_t n = a->n_by_id ? a->n_by_id : 64;
	struct session *s;
	struct touched *t;

	if (id < a->n_by_id)
		return 0;
	while (n <= id)
		n *= 2;
	s = reallocarray(a->sessions, n, sizeof(*s));
	if (s)
		a->sessions = s;
	t = reallocarray(a->touched, n, sizeof(*t));
	if (t)
		a->touched = t;
	if (!s || !t)
		return -ENOMEM;
	memset(a->sessions + a->n_by_id, 0, (n - a->n_by_id) * sizeof(*s));
	memset(a->touched + a->n_by_id, 0, (n - a->n_by_id) * sizeof(*t));
	a->n_by_id = n;
	return 0;
}

/* --- who calls
 * ------------------------------------------------------------------------------------------- */

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
	enum standing standing;
	struct device *dev;
	struct key hash;
	uint64_t id;

	if (parse_credential(text, &id, &hash) || id >= a->n_by_id)
		return refuse_credential(d);
	dev = model_device(&a->model, (uint32_t)id);
	if (!dev || !is_running(&a->sessions[id], now) || !key_equal(&a->sessions[id].hash, &hash))
		return refuse_credential(d);
	standing = model_standing(dev, now.wall_ms);
	if (standing != STANDING_ACTIVE && standing != STANDING_PENDING)
		return refuse_credential(d);
	*ret = (struct http_caller){.kind = standing == STANDING_ACTIVE ? HTTP_DEVICE
									: HTTP_DEVICE_PENDING,
				    .device = (uint32_t)id,
				    .session = a->sessions[id].number};
	snprintf(ret->name, sizeof(ret->name), "device:%u", (unsigned)id);
	return 0;
}

bool app_session_stands(const struct app *a, const struct http_caller *c)
{
	const struct session *s = c->device < a->n_by_id ? &a->sessions[c->device] : NULL;

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
		evaluate(a, d);
}

int app_open_session(struct app *a, struct device *d, char out[static SESSION_TEXT_MAX],
		     int64_t *ret_expires_s)
{
	struct secret secret;
	struct now now = clock_now();
	int64_t now_s = now.wall_ms / 1000, until;
	char text[48];
	int err = grow_by_id(a, d->row.id);

	if (err)
		return err;
	renew_certificate(a, d, now_s);
	until = now_s + ZT_SESSION_LIFE_S;
	if (model_standing(d, now_s * 1000) == STANDING_ACTIVE && until > d->row.cert_not_after_s)
		until = d->row.cert_not_after_s;
	randombytes_buf(secret.b, sizeof(secret.b));
	key_hash(secret.b, sizeof(secret.b), &a->sessions[d->row.id].hash);
	a->sessions[d->row.id].number = ++a->n_sessions;
	a->sessions[d->row.id].until_s = until;
	a->sessions[d->row.id].until_boot_ms = now.boot_ms + (until - now_s) * 1000;
	err = txt_base64url_encode(secret.b, sizeof(secret.b), text, sizeof(text));
	secret_wipe(&secret);
	if (!err)
		snprintf(out, SESSION_TEXT_MAX, "%u.%s", d->row.id, text);
	sodium_memzero(text, sizeof(text));
	*ret_expires_s = until;
	return err;
}

static void end_session(struct app *a, const struct device *d)
{
	if (d->row.id < a->n_by_id)
		a->sessions[d->row.id] = (struct session){0};
}

/* --- a change and its transaction
 * ------------------------------------------------------------------------- */

struct change_job {
	struct job job;
	struct app *app;
	struct change_job *next_rewrite;
	struct change change;
	uint64_t records;
	int err;
	struct diag diag;
	app_then then;
	void *arg;
};

static void change_work(struct job *j, struct store *s)
{
	struct change_job *c = (struct change_job *)j;

	c->err = store_commit(s, &c->change, &c->diag);
	if (store_records(s, &c->records))
		c->records = 0;
}

static void mark_neighbours_in(struct app *a, const struct engine *e, uint32_t id)
{
	struct arena arena;
	const uint32_t *ids;
	size_t n = 0;

	arena_init(&arena, MARK_ARENA_MAX);
	if (engine_neighbours(e, id, &arena, &ids, &n))
		publish_mark_all(a->publisher); /* out of memory: everyone looks again */
	for (size_t i = 0; i < n; i++)
		publish_mark(a->publisher, ids[i]);
	arena_done(&arena);
}

static void mark_neighbours(struct app *a, uint32_t id)
{
	mark_neighbours_in(a, a->model.force.engine, id);
	if (a->model.canary.engine)
		mark_neighbours_in(a, a->model.canary.engine, id);
	publish_mark(a->publisher, id);
}

static void mark_user(struct app *a, const char *email)
{
	for (size_t i = 0; i < a->model.n_devices; i++) {
		struct device *d = a->model.devices[i];

		if (d && strcmp(d->row.owner, email) == 0)
			mark_neighbours(a, d->row.id);
	}
}

/* Those who could reach the device before, and those who can after. */
static void mark_around(struct app *a, const struct change *c)
{
	if (c->kind == CHANGE_USER_PUT)
		mark_user(a, c->user.email);
	else if (c->device.id)
		mark_neighbours(a, c->device.id);
}

static void dismiss(struct app *a, struct device *d)
{
	const struct standing_refusal *r = standing_refusal(d->standing);

	if (!r)
		return;
	end_session(a, d);
	publish_bye(a->publisher, d, r->code, r->message, r->hint);
}

static void dismiss_user(struct app *a, const char *email)
{
	for (size_t i = 0; i < a->model.n_devices; i++)
		if (a->model.devices[i] && strcmp(a->model.devices[i]->row.owner, email) == 0)
			dismiss(a, a->model.devices[i]);
}

/* Another policy holds, for all or for some. */
static void policy_changed(struct app *a)
{
	struct now now = clock_now();

	a->confirm_boot_ms = now.boot_ms + a->model.force.row.trial.until_ms - now.wall_ms;
	a->take_back_boot_ms = 0;
	publish_mark_all(a->publisher);
	for (size_t i = 0; i < a->model.n_devices; i++)
		if (a->model.devices[i] && a->model.devices[i]->online)
			publish_advise(a->publisher, a->model.devices[i]);
}

static bool is_about_policy(enum change_kind k)
{
	return k == CHANGE_POLICY_CONFIRM || k == CHANGE_POLICY_PROMOTE || k == CHANGE_POLICY_ABORT;
}

/* From here on the change is the truth: model, engine, and everyone who depends on it. */
static void apply_change(struct app *a, const struct change *c)
{
	struct device *d;
	int err;

	mark_around(a, c);
	err = model_apply(&a->model, c, c->at_ms, &d);
	if (err) {
		/* The store has it and we do not: whoever is touched gets nothing until a restart
		 * loads it. */
		log_error("a committed change does not fit into memory: %s", zt_strerror(err));
		if (c->device.id)
			model_forget(&a->model, c->device.id);
	}
	mark_around(a, c);
	if (is_about_policy(c->kind))
		policy_changed(a);
	if (c->kind == CHANGE_USER_PUT)
		dismiss_user(a, c->user.email);
	if (!d)
		return;
	if (grow_by_id(a, d->row.id))
		log_error("no memory for device %u", d->row.id);
	publish_advise(a->publisher, d);
	dismiss(a, d);
}

/* These carry what is to be, computed from what was: two at a time would undo one of them. */
static bool is_rewrite_of(const struct change *a, const struct change *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == CHANGE_USER_PUT)
		return strcmp(a->user.email, b->user.email) == 0;
	return a->kind == CHANGE_DEVICE_TAGS && a->device.id == b->device.id;
}

static void rewrite_over(struct change_job *c)
{
	for (struct change_job **p = &c->app->rewrites; *p; p = &(*p)->next_rewrite)
		if (*p == c) {
			*p = c->next_rewrite;
			return;
		}
}

static int admit_change(const struct app *a, const struct change *c, struct diag *d)
{
	if (c->kind == CHANGE_DEVICE_ENROLL &&
	    worker_waiting(a->worker) >= ENROLMENTS_WAITING_MAX) {
		diag_set(d, -EBUSY, "too many devices enrol at once");
		diag_hint(d, "try again in a minute; the token is not spent");
		return -EBUSY;
	}
	for (const struct change_job *r = a->rewrites; r; r = r->next_rewrite)
		if (is_rewrite_of(&r->change, c)) {
			diag_set(d, -EBUSY, "another change of it is under way");
			diag_hint(d, "look at its result and try again");
			return -EBUSY;
		}
	return 0;
}

static bool is_urgent(enum change_kind k)
{
	return k == CHANGE_DEVICE_STATE || k == CHANGE_DEVICE_TAGS || k == CHANGE_USER_PUT ||
	       k == CHANGE_TOKEN_REVOKE;
}

static void note_records(struct app *a, uint64_t records)
{
	if (records > a->records)
		a->records = records;
}

static void change_done(struct job *j)
{
	struct change_job *c = (struct change_job *)j;

	rewrite_over(c);
	note_records(c->app, c->records);
	if (!c->err)
		apply_change(c->app, &c->change);
	if (c->then)
		c->then(c->arg, c->err, &c->change, &c->diag);
	free(c->change.detail);
	free(c->change.policy.text);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

static struct change_job *new_change_job(struct app *a, const struct change *c)
{
	struct change_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	*j = (struct change_job){
		.job = {.work = change_work, .done = change_done, .urgent = is_urgent(c->kind)},
		.app = a,
		.change = *c};
	j->change.detail = c->detail ? strdup(c->detail) : NULL;
	j->change.policy.text = c->policy.text ? strndup(c->policy.text, c->policy.len) : NULL;
	if ((c->detail && !j->change.detail) || (c->policy.text && !j->change.policy.text)) {
		free(j->change.detail);
		free(j->change.policy.text);
		free(j);
		return NULL;
	}
	return j;
}

void app_change(struct app *a, const struct change *c, app_then then, void *arg)
{
	struct change_job *j = NULL;
	struct diag d = {0};
	int err = admit_change(a, c, &d);

	if (!err && !(j = new_change_job(a, c)))
		err = diag_set(&d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
	if (err) {
		then(arg, err, c, &d);
		return;
	}
	j->then = then;
	j->arg = arg;
	if (is_rewrite_of(c, c)) {
		j->next_rewrite = a->rewrites;
		a->rewrites = j;
	}
	worker_submit(a->worker, &j->job);
}

void app_note(struct app *a, const struct change *c)
{
	struct change_job *j = new_change_job(a, c);

	if (j)
		worker_submit(a->worker, &j->job);
	else
		log_error("no memory for an audit record");
}

/* --- policy: parsed and stored by the worker, put in force here
 * ------------------------------------------------ */

struct policy_job {
	struct job job;
	struct app *app;
	struct change change;
	bool check_only;
	uint32_t again; /* take the text of this version; 0: it is in the change */
	uint64_t records;
	struct policy *policy;
	struct arena arena; /* the devices and users that there were when it was asked for */
	const struct subject *subjects;
	size_t n_subjects;
	struct policy *before; /* in force when it was asked for (held), to say what changes */
	uint32_t before_version;
	struct engine *engine; /* check_only: to look at the devices with */
	struct app_policy result;
	app_policy_then then;
	void *arg;
};

/* What the parser may know; of the thread that has the store: the worker, or the loop before it
 * runs. */
struct policy_env app_policy_env(const struct app *a, int64_t now_ms)
{
	return (struct policy_env){.zone = a->c.zones ? zones_get : NULL,
				   .zone_names = a->c.zones ? zones_names : NULL,
				   .zones = a->c.zones,
				   .now_s = now_ms / 1000,
				   .countries = a->c.geo != NULL};
}

static int take_text(struct store *s, uint32_t version, struct policy_row *p)
{
	struct policy_row old;
	struct arena arena;
	int err;

	arena_init(&arena, (size_t)ZT_POLICY_MAX + (1 << 20));
	err = store_policy_get(s, version, &arena, &old);
	if (!err && !(p->text = malloc(old.len + 1)))
		err = -ENOMEM;
	if (!err) {
		memcpy(p->text, old.text, old.len);
		p->text[old.len] = 0;
		p->len = old.len;
	}
	arena_done(&arena);
	return err;
}

static void parse_job(struct policy_job *p)
{
	struct app_policy *r = &p->result;
	struct diag_list list = {.items = r->problems,
				 .max = sizeof(r->problems) / sizeof(r->problems[0])};
	struct policy_env env = app_policy_env(p->app, p->change.at_ms);

	env.was_accepted = p->again != 0; /* what goes back was good once */
	r->err = policy_parse("policy", p->change.policy.text, p->change.policy.len, &env,
			      &p->policy, &list);
	if (!r->err && !p->again)
		r->err = invariants_check(p->policy, p->subjects, p->n_subjects, env.now_s, &list);
	r->n_problems = list.n;
	r->dropped = list.dropped;
	if (r->err) {
		diag_set(&r->diag, r->err, "the policy is refused: %zu mistake%s",
			 list.n + list.dropped, list.n + list.dropped == 1 ? "" : "s");
		return;
	}
	r->n_warnings = p->policy->n_warnings;
	for (size_t i = 0; i < r->n_warnings; i++)
		r->warnings[i] = p->policy->warnings[i];
}

/* A record that cannot say what changes is written all the same. */
static void commit_policy(struct policy_job *p, struct store *s)
{
	p->change.policy.changes =
		changes_text(p->before, p->before_version, p->policy, p->change.at_ms / 1000);
	p->result.err = store_commit(s, &p->change, &p->result.diag);
}

static void policy_work(struct job *j, struct store *s)
{
	struct policy_job *p = (struct policy_job *)j;

	if (p->again)
		p->result.err = take_text(s, p->again, &p->change.policy);
	if (!p->result.err)
		parse_job(p);
	if (!p->result.err && p->check_only)
		p->engine = engine_new(p->policy, p->change.at_ms / 1000);
	else if (!p->result.err)
		commit_policy(p, s);
	p->result.version = p->change.policy.version;
	p->result.trial = p->change.policy.trial;
	if (store_records(s, &p->records))
		p->records = 0;
}

/* Before it is submitted. */
static void keep_before(struct app *a, struct policy_job *p)
{
	p->before = policy_hold(a->model.force.policy);
	p->before_version = a->model.force.row.version;
}

static void warn_offers(struct policy_job *p, const struct policy *policy, const struct engine *e)
{
	struct app_policy *r = &p->result;

	r->n_warnings = review_offers(policy, e, r->warnings, r->n_warnings, POLICY_WARNINGS_MAX);
}

static void put_in_force(struct app *a, struct policy_job *p)
{
	const struct policy_row *row = &p->change.policy;
	struct model *m = &a->model;
	int err = row->trial.percent ? model_set_canary(m, p->policy, row, p->change.at_ms)
				     : model_set_policy(m, p->policy, row, p->change.at_ms);

	if (err) {
		p->result.err = diag_set(&p->result.diag, err,
					 "the policy was kept but could not be put in force: %s",
					 zt_strerror(err));
		return;
	}
	warn_offers(p, p->policy, row->trial.percent ? m->canary.engine : m->force.engine);
	p->policy = NULL;
	policy_changed(a);
}

/* What it would mean here and now. Without memory the warnings about it are missing. */
static void try_out(struct app *a, struct policy_job *p)
{
	if (p->engine && !model_try(&a->model, p->engine))
		warn_offers(p, p->policy, p->engine);
}

static void policy_done(struct job *j)
{
	struct policy_job *p = (struct policy_job *)j;

	note_records(p->app, p->records);
	if (!p->result.err && p->check_only)
		try_out(p->app, p);
	else if (!p->result.err)
		put_in_force(p->app, p);
	p->then(p->arg, &p->result);
	engine_free(p->engine);
	policy_free(p->before);
	policy_free(p->policy);
	arena_done(&p->arena);
	free(p->change.policy.text);
	free(p->change.policy.changes);
	free(p);
}

void app_put_policy(struct app *a, const struct change *c, bool check_only, app_policy_then then,
		    void *arg)
{
	struct policy_job *p = calloc(1, sizeof(*p));

	if (p) {
		*p = (struct policy_job){.job = {.work = policy_work, .done = policy_done},
					 .app = a,
					 .change = *c,
					 .check_only = check_only,
					 .then = then,
					 .arg = arg};
		p->change.policy.text = malloc(c->policy.len + 1);
		arena_init(&p->arena, SUBJECTS_ARENA_MAX);
	}
	if (!p || !p->change.policy.text ||
	    model_subjects(&a->model, &p->arena, &p->subjects, &p->n_subjects)) {
		static const struct app_policy no_memory = {.err = -ENOMEM,
							    .diag.message = "out of memory"};

		if (p) {
			arena_done(&p->arena);
			free(p->change.policy.text);
		}
		free(p);
		then(arg, &no_memory);
		return;
	}
	memcpy(p->change.policy.text, c->policy.text, c->policy.len);
	p->change.policy.text[c->policy.len] = 0;
	keep_before(a, p);
	worker_submit(a->worker, &p->job);
}

void app_survey(struct app *a, const char *text, size_t n, const struct survey_path *path,
		survey_then then, void *arg)
{
	int64_t now_ms = clock_now().wall_ms;
	struct survey_config c = {.worker = a->worker,
				  .model = &a->model,
				  .env = app_policy_env(a, now_ms),
				  .now_ms = now_ms};

	survey_start(&c, text, n, path, then, arg);
}

/* --- a policy that nobody confirmed: the one before it is put again --- */

static struct change back_change(const struct policy_row *waits, int64_t at_ms)
{
	struct change c = {.kind = CHANGE_POLICY_PUT,
			   .at_ms = at_ms,
			   .actor = "system",
			   .instead = waits->version,
			   .policy = {.author = "system"}};

	snprintf(c.why, sizeof(c.why), "version %u was not confirmed in time", waits->version);
	memcpy(c.policy.why, c.why, sizeof(c.why));
	return c;
}

/* Either clock will do: what was to end does not go on because a clock was set. */
static bool is_too_late(const struct policy_row *row, struct now now, int64_t confirm_boot_ms)
{
	return row->trial.state == TRIAL_OPEN && row->trial.until_ms &&
	       (row->trial.until_ms <= now.wall_ms || confirm_boot_ms <= now.boot_ms);
}

static void taken_back(void *arg, const struct app_policy *result)
{
	struct app *a = arg;
	uint32_t version = a->taking_back;

	a->taking_back = 0;
	if (!result->err) {
		log_warn("policy version %u was not confirmed in time: the one before it is in "
			 "force, as version %u",
			 version, result->version);
		return;
	}
	if (a->model.force.row.version != version || a->model.force.row.trial.state != TRIAL_OPEN)
		return; /* confirmed or replaced at the last moment */
	log_error("policy version %u was not confirmed and could not be taken back: %s", version,
		  result->diag.message);
	a->take_back_boot_ms = clock_now().boot_ms + TAKE_BACK_AGAIN_MS;
}

static void take_back(struct app *a, struct now now)
{
	const struct policy_row *row = &a->model.force.row;
	struct policy_job *p;

	if (a->taking_back || now.boot_ms < a->take_back_boot_ms ||
	    !is_too_late(row, now, a->confirm_boot_ms))
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		return; /* in a second again */
	*p = (struct policy_job){.job = {.work = policy_work, .done = policy_done},
				 .app = a,
				 .change = back_change(row, now.wall_ms),
				 .again = row->trial.base,
				 .then = taken_back,
				 .arg = a};
	a->taking_back = row->version;
	keep_before(a, p);
	worker_submit(a->worker, &p->job);
}

/* --- slow reads
 * -------------------------------------------------------------------------------------------- */

struct read_job {
	struct job job;
	void (*run)(void *arg, struct store *s);
	void (*then)(void *arg);
	void *arg;
};

static void read_work(struct job *j, struct store *s)
{
	struct read_job *r = (struct read_job *)j;

	r->run(r->arg, s);
}

static void read_done(struct job *j)
{
	struct read_job *r = (struct read_job *)j;

	r->then(r->arg);
	free(r);
}

void app_read(struct app *a, void (*run)(void *arg, struct store *s), void (*then)(void *arg),
	      void *arg)
{
	struct read_job *r = calloc(1, sizeof(*r));

	if (!r) {
		then(arg); /* the caller sees that nothing was read */
		return;
	}
	*r = (struct read_job){.job = {.work = read_work, .done = read_done},
			       .run = run,
			       .then = then,
			       .arg = arg};
	worker_submit(a->worker, &r->job);
}

/* --- what devices say: reports and posture
 * ----------------------------------------------------------------- */

/* A device that flips to and fro all day must not fill the disk: a record every 10 s, 30 at once.
 */
static bool note_budget(struct touched *t, int64_t now_ms)
{
	if (t->notes_ms < now_ms - (int64_t)NOTE_BURST * NOTE_MS)
		t->notes_ms = now_ms - (int64_t)NOTE_BURST * NOTE_MS;
	if (t->notes_ms + NOTE_MS > now_ms) {
		t->unnoted++;
		return false;
	}
	t->notes_ms += NOTE_MS;
	return true;
}

/* Posture is published before it is written: a cut must not wait for a disk. */
static void note_verdict(struct app *a, const struct device *d, const struct verdict_change *v)
{
	const char *profile = model_force(&a->model, d)->policy->postures[v->posture].name;
	struct change c = {.kind = CHANGE_POSTURE, .at_ms = clock_now().wall_ms};
	struct verdict words = {0};
	json_t *failed = json_array(), *j;
	struct touched *t = &a->touched[d->row.id];
	struct arena arena;

	if (!note_budget(t, clock_now().boot_ms)) {
		json_decref(failed);
		return;
	}
	arena_init(&arena, REPORT_ARENA_MAX);
	if (model_verdict(&a->model, d, v->posture, c.at_ms, &arena, &words))
		words.n_failed = 0;
	for (size_t i = 0; i < words.n_failed; i++)
		json_array_append_new(failed, json_sprintf("%s (is %s)", words.failed[i].condition,
							   words.failed[i].is));
	j = json_pack("{s:s,s:b,s:o,s:i}", "profile", profile, "ok", v->ok, "failed", failed,
		      "not_recorded", (int)t->unnoted);
	t->unnoted = 0;
	c.detail = j ? json_dumps(j, JSON_COMPACT) : NULL;
	snprintf(c.actor, sizeof(c.actor), "device:%u", d->row.id);
	c.device.id = d->row.id;
	app_note(a, &c);
	free(c.detail);
	json_decref(j);
	arena_done(&arena);
}

/* The verdicts that its facts make now, whatever the engine was told. */
static uint64_t verdicts_now(const struct app *a, const struct device *d, int64_t now_ms)
{
	const struct policy *p = model_force(&a->model, d)->policy;
	uint64_t verdicts = 0;
	struct arena arena;

	arena_init(&arena, REPORT_ARENA_MAX);
	for (size_t i = 0; p && i < p->n_postures; i++) {
		struct verdict v = {0};

		if (model_verdict(&a->model, d, i, now_ms, &arena, &v) == 0 && v.ok)
			verdicts |= (uint64_t)1 << i;
	}
	arena_done(&arena);
	return verdicts;
}

/* What the device would gain by its posture while it must wait is held back (pace.h); what it loses
 * is not. Asked only of one that takes part, and takes part already: it comes as a whole. */
static void pace_gains(struct app *a, struct device *d, struct now now)
{
	struct touched *t = &a->touched[d->row.id];
	uint64_t gains = verdicts_now(a, d, now.wall_ms) & ~d->verdicts;

	if (d->standing != STANDING_ACTIVE)
		gains = 0;
	t->gain_ms = gains ? pace_gain(&t->pace, now.boot_ms) : 0;
	d->held = t->gain_ms ? gains : 0;
	if (t->gain_ms && t->gain_ms != t->told_ms)
		log_info("device %u: its posture comes and goes; what it gains waits %lld s",
			 d->row.id, (long long)(t->gain_ms - now.boot_ms + 999) / 1000);
	t->told_ms = t->gain_ms;
}

/* Who is marked hears of it at the end of this turn. */
static void evaluate(struct app *a, struct device *d)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct now now = clock_now();
	int64_t now_ms = now.wall_ms;
	enum standing standing = model_standing(d, now_ms);
	bool moves = standing != d->standing;
	struct places was = d->places;
	size_t n;

	if (standing == STANDING_ACTIVE && d->row.id < a->n_by_id)
		pace_gains(a, d, now);
	if (moves) /* those who could reach it until now */
		mark_neighbours(a, d->row.id);
	n = model_evaluate(&a->model, d, now_ms, changes);
	if (n || moves || !places_equal(&was, &d->places))
		mark_neighbours(a, d->row.id);
	publish_advise(a->publisher, d);
	for (size_t i = 0; i < n && d->standing == STANDING_ACTIVE; i++)
		note_verdict(a, d, &changes[i]);
}

static void remember_report(struct app *a, struct device *d, const void *body, size_t n, bool full)
{
	struct touched *t = &a->touched[d->row.id];
	uint8_t *copy;

	t->due = t->seen = true;
	/* Partial reports are not kept: after a restart the last full one stands, and the device
	 * sends another. */
	if (!full || !(copy = malloc(n ? n : 1)))
		return;
	memcpy(copy, body, n);
	free(t->report);
	t->report = copy;
	t->report_len = n;
	t->report_ms = clock_now().wall_ms;
}

int app_report(struct app *a, struct device *d, const void *body, size_t n, struct diag *diag)
{
	bool endpoints_changed = false;
	struct arena arena;
	struct report r;
	int err;

	arena_init(&arena, REPORT_ARENA_MAX);
	err = report_decode(body, n, &arena, &r);
	if (!err)
		err = grow_by_id(a, d->row.id);
	if (!err)
		err = model_take_report(&a->model, d, &r, clock_now().wall_ms, &endpoints_changed);
	if (err) {
		arena_done(&arena);
		return diag_set(diag, err, "the report is refused: %s", zt_strerror(err));
	}
	if (endpoints_changed)
		mark_neighbours(a, d->row.id);
	evaluate(a, d);
	remember_report(a, d, body, n, r.full);
	arena_done(&arena);
	return 0;
}

/* Where it is decides what it may: the newest word of the device counts, whatever it was. */
static void set_source(struct app *a, struct device *d, const struct addr *source)
{
	if (addr_equal(&d->source, source))
		return;
	d->source = *source;
	geo_country(a->c.geo, source, d->country);
	evaluate(a, d);
	mark_neighbours(a, d->row.id); /* it is one of its endpoints, too */
}

void app_seen_from(struct app *a, struct device *d, const struct http_request *r)
{
	struct endpoint peer;

	http_peer(r, &peer);
	if (d->row.id < a->n_by_id)
		a->touched[d->row.id].heard_ms = clock_now().boot_ms;
	set_source(a, d, &peer.addr);
}

/* Who is not heard may be anywhere by now. Not at once: connections break and are made again. */
static void forget_source(struct app *a, struct device *d, struct now now)
{
	static const struct addr unknown;

	if (!d->online && d->source.family != ADDR_NONE && d->row.id < a->n_by_id &&
	    now.boot_ms - a->touched[d->row.id].heard_ms >= ZT_PLACE_KEPT_S * 1000)
		set_source(a, d, &unknown);
}

int app_open_stream(struct app *a, struct device *d, struct http_request *r, uint64_t serial)
{
	uint32_t today = (uint32_t)(clock_now().wall_ms / 1000 / DAY_S);

	app_seen_from(a, d, r);
	if (d->psk_epoch != today) {
		d->psk_epoch = today;
		mark_neighbours(a, d->row.id);
	}
	a->touched[d->row.id].due = a->touched[d->row.id].seen = true;
	return publish_connect(a->publisher, d, r, serial);
}

static void stream_gone(void *arg, struct device *d)
{
	struct app *a = arg;

	a->touched[d->row.id].due = a->touched[d->row.id].seen = true;
	a->touched[d->row.id].heard_ms = clock_now().boot_ms;
}

static void netmap_sent(void *arg, struct device *d)
{
	struct app *a = arg;

	if (d->row.id < a->n_by_id)
		a->touched[d->row.id].due = true;
}

static char *advise(void *arg, struct device *d)
{
	struct app *a = arg;

	return advice_text(&a->model, d, clock_now().wall_ms);
}

/* --- the clock: leases, verdicts that change by themselves, soft state to disk
 * ---------------------------------- */

struct touch_job {
	struct job job;
	struct app *app;
	struct store_touch *items;
	size_t n;
};

static void touch_work(struct job *j, struct store *s)
{
	struct touch_job *t = (struct touch_job *)j;
	struct diag d;

	if (store_touch(s, t->items, t->n, &d))
		log_diag(&d);
}

static void touch_done(struct job *j)
{
	struct touch_job *t = (struct touch_job *)j;

	t->app->touch_running = false;
	for (size_t i = 0; i < t->n; i++)
		free((void *)(uintptr_t)t->items[i].report);
	free(t->items);
	free(t);
}

static void fill_touch(struct app *a, const struct device *d, struct store_touch *out)
{
	struct touched *t = &a->touched[d->row.id];

	*out = (struct store_touch){.device = d->row.id,
				    .last_seen_s = t->seen ? clock_now().wall_ms / 1000 : 0,
				    .cert_not_after_s = d->row.cert_not_after_s,
				    .serial = publish_serial(d),
				    .report = t->report,
				    .report_len = t->report_len,
				    .report_ms = t->report_ms};
	memcpy(out->version, d->version, sizeof(d->version));
	memcpy(out->os, d->os, sizeof(d->os));
	t->due = t->seen = false;
	t->report = NULL; /* the job's now */
	t->report_len = 0;
}

/* What changed since the last time, in one transaction; never two at a time, so a slow disk only
 * makes batches larger. False: nothing had. */
static bool write_touched(struct app *a)
{
	struct touch_job *t;

	if (a->touch_running || !(t = calloc(1, sizeof(*t))))
		return false;
	*t = (struct touch_job){.job = {.work = touch_work, .done = touch_done}, .app = a};
	t->items = calloc(TOUCH_BATCH_MAX, sizeof(*t->items));
	for (size_t i = 0;
	     t->items && i < a->n_by_id && i < a->model.n_devices && t->n < TOUCH_BATCH_MAX; i++) {
		struct device *d = a->touched[i].due ? a->model.devices[i] : NULL;

		if (!d)
			continue;
		d->row.last_seen_s =
			a->touched[i].seen ? clock_now().wall_ms / 1000 : d->row.last_seen_s;
		fill_touch(a, d, &t->items[t->n++]);
	}
	if (!t->n) {
		free(t->items);
		free(t);
		return false;
	}
	a->touch_running = true;
	worker_submit(a->worker, &t->job);
	return true;
}

/* Whoever holds the stream has not proved the device's key for as long as a certificate lasts. */
static void end_lapsed(struct app *a, struct device *d)
{
	end_session(a, d);
	publish_bye(a->publisher, d, "login", "this device's certificate is over",
		    "the node proves its key again by itself");
}

static void check_device(struct app *a, struct device *d, struct now now)
{
	uint32_t today = (uint32_t)(now.wall_ms / 1000 / DAY_S);

	if (d->next_ms <= now.wall_ms || (d->row.id < a->n_by_id && a->touched[d->row.id].gain_ms))
		evaluate(a, d);
	forget_source(a, d, now);
	if (!d->online)
		return;
	if (d->standing == STANDING_LAPSED) {
		end_lapsed(a, d);
		return;
	}
	if (d->psk_epoch != today) { /* preshared keys turn daily */
		d->psk_epoch = today;
		mark_neighbours(a, d->row.id);
	}
}

/* Returns when rules of the engine begin or end next. */
static int64_t pass_time_in(struct app *a, struct engine *e, int64_t now_s)
{
	const uint32_t *ids;
	struct arena arena;
	size_t n;

	arena_init(&arena, MARK_ARENA_MAX);
	if (engine_advance(e, now_s, &arena, &ids, &n))
		publish_mark_all(a->publisher); /* out of memory: everyone looks again */
	else
		for (size_t i = 0; i < n; i++)
			publish_mark(a->publisher, ids[i]);
	arena_done(&arena);
	return engine_next(e);
}

/* Rules begin and end. The timer is set for the instant itself; the tick looks too, because clocks
 * are set. */
static void pass_time(void *arg)
{
	struct app *a = arg;
	struct now now = clock_now();
	int64_t next_s = pass_time_in(a, a->model.force.engine, now.wall_ms / 1000), other_s;

	if (a->model.canary.engine) {
		other_s = pass_time_in(a, a->model.canary.engine, now.wall_ms / 1000);
		next_s = other_s < next_s ? other_s : next_s;
	}
	if (next_s - now.wall_ms / 1000 < DAY_S)
		loop_timer_set(a->edge, now.boot_ms + next_s * 1000 - now.wall_ms);
}

static void add_name(json_t *names, bool add, const char *name)
{
	if (add && json_array_size(names) < REVIEW_NAMES_MAX)
		json_array_append_new(names, json_string(name));
}

/* The first names of each kind; to be freed. NULL: nothing is due, or out of memory. */
static char *review_text(const struct force *f, int64_t now_s)
{
	struct review n = review_count(f->policy, f->engine, now_s);
	json_t *past, *over, *j;
	char *text;

	if (!n.past_review && !n.over)
		return NULL;
	past = json_array();
	over = json_array();
	for (uint32_t i = 0; i < f->policy->n_rules; i++) {
		const struct policy_rule *r = &f->policy->rules[i];

		add_name(past, review_is_past(r, now_s), r->name);
		add_name(over, engine_is_over(f->engine, i), r->name);
	}
	j = json_pack("{s:I,s:o,s:I,s:o}", "past_review", (json_int_t)n.past_review,
		      "past_review_rules", past, "over", (json_int_t)n.over, "over_rules", over);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	return text;
}

/* Rules that somebody should look at, once a day; the store knows whether it was said today. */
static void note_review(struct app *a, int64_t now_ms)
{
	const struct force *f = &a->model.force;
	struct change c = {.kind = CHANGE_POLICY_REVIEW,
			   .at_ms = now_ms,
			   .actor = "system",
			   .policy = {.version = f->row.version}};
	int64_t day = now_ms / 1000 / DAY_S;

	if (day == a->review_day)
		return;
	a->review_day = day;
	c.detail = review_text(f, now_ms / 1000);
	if (c.detail)
		app_note(a, &c);
	free(c.detail);
}

static void tick(void *arg)
{
	struct app *a = arg;
	struct now now = clock_now();

	pass_time(a);
	take_back(a, now);
	note_review(a, now.wall_ms);
	for (size_t i = 0; i < a->model.n_devices; i++)
		if (a->model.devices[i])
			check_device(a, a->model.devices[i], now);
	publish_tick(a->publisher);
	write_touched(a);
	loop_timer_set(a->tick, now.boot_ms + TICK_MS);
}

static void after_turn(void *arg)
{
	struct app *a = arg;

	publish_flush(a->publisher);
}

/* --- start and end
 * ----------------------------------------------------------------------------------------- */

static int load_device(void *arg, const struct device_row *row, const void *report, size_t n,
		       int64_t report_ms, const char *version, const char *os)
{
	struct app *a = arg;
	struct device *d;
	struct arena arena;
	struct report r;
	bool changed;
	int err = model_load_device(&a->model, row, &d);

	if (!err)
		err = grow_by_id(a, row->id);
	if (err)
		return err;
	arena_init(&arena, REPORT_ARENA_MAX);
	/* A report that cannot be read any more is no report: its facts are unknown. */
	if (n && report_decode(report, n, &arena, &r) == 0)
		err = model_take_report(&a->model, d, &r, report_ms, &changed);
	arena_done(&arena);
	(void)!txt_copy(d->version, sizeof(d->version), version);
	(void)!txt_copy(d->os, sizeof(d->os), os);
	d->psk_epoch = (uint32_t)(row->last_seen_s / DAY_S);
	return err;
}

static int load_user(void *arg, const struct user_row *u)
{
	struct app *a = arg;

	return model_load_user(&a->model, u);
}

static int load_admin(void *arg, const struct admin_row *row)
{
	struct app *a = arg;
	struct admin_row *p = reallocarray(a->admins, a->n_admins + 1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	a->admins = p;
	a->admins[a->n_admins++] = *row;
	return 0;
}

static int parse_stored(struct app *a, const struct policy_row *row, struct policy **ret,
			struct diag *problem)
{
	struct diag_list list = {.items = problem, .max = 1};
	struct policy_env env = app_policy_env(a, clock_now().wall_ms);

	env.was_accepted = true; /* a clock that was set must not keep the controller down */
	return policy_parse("policy", row->text, row->len, &env, ret, &list);
}

/* Nobody confirmed it while the controller was away: row becomes the one before it, put again. */
static int take_back_at_start(struct app *a, struct arena *arena, struct policy_row *row,
			      struct diag *problem)
{
	struct change c = back_change(row, clock_now().wall_ms);
	struct policy_row before;
	int err = store_policy_get(a->store, row->trial.base, arena, &before);

	if (err)
		return err;
	c.policy.text = before.text;
	c.policy.len = before.len;
	err = store_commit(a->store, &c, problem);
	if (!err)
		err = store_records(a->store, &a->records);
	if (!err)
		*row = c.policy;
	return err;
}

static int load_in_force(struct app *a, struct arena *arena, struct diag *problem)
{
	struct policy_row row;
	struct policy *p = NULL;
	struct now now = clock_now();
	int err = store_policy_get(a->store, 0, arena, &row);

	if (!err && is_too_late(&row, now, INT64_MAX))
		err = take_back_at_start(a, arena, &row, problem);
	if (!err)
		err = parse_stored(a, &row, &p, problem);
	if (!err)
		err = model_set_policy(&a->model, p, &row, now.wall_ms);
	if (err)
		policy_free(p);
	else
		a->confirm_boot_ms = now.boot_ms + row.trial.until_ms - now.wall_ms;
	return err;
}

static int load_canary(struct app *a, struct arena *arena, struct diag *problem)
{
	struct policy_row row;
	struct policy *p = NULL;
	int err = store_policy_canary(a->store, arena, &row);

	if (err)
		return err == -ZT_EABSENT ? 0 : err;
	err = parse_stored(a, &row, &p, problem);
	if (!err)
		err = model_set_canary(&a->model, p, &row, clock_now().wall_ms);
	if (err)
		policy_free(p);
	return err;
}

static int load_policy(struct app *a, struct diag *d)
{
	struct diag problem = {0};
	struct arena arena;
	int err;

	arena_init(&arena, 3 * ((size_t)ZT_POLICY_MAX + (1 << 20)));
	err = load_in_force(a, &arena, &problem);
	if (!err)
		err = load_canary(a, &arena, &problem);
	arena_done(&arena);
	if (err) {
		diag_set(d, err, "the stored policy cannot be used: %s",
			 problem.message[0] ? problem.message : zt_strerror(err));
		diag_hint(d, "use the program version that wrote it, or restore a backup");
	}
	return err;
}

static int load(struct app *a, struct diag *d)
{
	int err = store_network(a->store, &a->network);

	if (!err) {
		memcpy(a->model.network.name, a->network.name, sizeof(a->model.network.name));
		a->model.network.net4 = a->network.net4;
		a->model.network.net6 = a->network.net6;
		err = store_each_user(a->store, load_user, a);
	}
	if (!err)
		err = store_each_admin(a->store, load_admin, a);
	if (!err)
		err = store_each_device(a->store, load_device, a);
	if (!err)
		err = store_records(a->store, &a->records);
	if (err) {
		const struct diag *p = store_problem(a->store);

		diag_set(d, err, "cannot load the database: %s",
			 p->message[0] ? p->message : zt_strerror(err));
		diag_hint(d, "restore the last backup of the controller's directory");
		return err;
	}
	return load_policy(a, d);
}

int app_new(const struct app_config *c, struct store *s, struct app **ret, struct diag *d)
{
	struct app *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return diag_set(d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
	*a = (struct app){.c = *c, .store = s, .started_ms = clock_now().boot_ms};
	model_init(&a->model);
	err = load(a, d);
	if (!err) {
		struct publish_config p = {.loop = c->loop,
					   .model = &a->model,
					   .keys = c->keys,
					   .sent = netmap_sent,
					   .advice = advise,
					   .gone = stream_gone,
					   .arg = a};

		a->publisher = publisher_new(&p);
		a->tick = loop_timer_new(c->loop, tick, a);
		a->edge = loop_timer_new(c->loop, pass_time, a);
		a->worker = worker_new(c->loop, s);
		if (!a->publisher || !a->tick || !a->edge || !a->worker)
			err = diag_set(d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
	}
	if (err) {
		app_free(a);
		return err;
	}
	loop_timer_set(a->tick, clock_now().boot_ms + TICK_MS);
	loop_after(c->loop, after_turn, a);
	*ret = a;
	return 0;
}

void app_free(struct app *a)
{
	if (!a)
		return;
	do
		a->touch_running = false;
	while (a->worker && write_touched(a));
	worker_free(a->worker);
	loop_timer_free(a->tick);
	loop_timer_free(a->edge);
	publisher_free(a->publisher);
	model_done(&a->model);
	for (size_t i = 0; i < a->n_by_id; i++)
		free(a->touched[i].report);
	free(a->touched);
	free(a->sessions);
	free(a->admins);
	free(a);
}
