/* The controller's flow: see app.h for the picture. Here a change and its transaction, the model
 * and who must hear of it; start and end. Beside it, as app_*.c: who calls, policies, what devices
 * say, the clock. */
#include "controller/app_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "zt/log.h"
#include "zt/txt.h"
#include "controller/model/trial.h"

enum {
	ENROLMENTS_WAITING_MAX = 1000, /* strangers' work; what admins do is never turned away */
};

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

int app_grow_by_id(struct app *a, uint32_t id)
{
	size_t n = a->n_by_id ? a->n_by_id : 64;
	struct session **s;
	struct touched *t;

	if (id < a->n_by_id)
		return 0;
	while (n <= id)
		n *= 2;
	s = reallocarray(a->sessions, n, sizeof(struct session *));
	if (s)
		a->sessions = s;
	t = reallocarray(a->touched, n, sizeof(*t));
	if (t)
		a->touched = t;
	if (!s || !t)
		return -ENOMEM;
	memset(a->sessions + a->n_by_id, 0, (n - a->n_by_id) * sizeof(struct session *));
	memset(a->touched + a->n_by_id, 0, (n - a->n_by_id) * sizeof(*t));
	a->n_by_id = n;
	return 0;
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

void app_mark_neighbours(struct app *a, uint32_t id)
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
			app_mark_neighbours(a, d->row.id);
	}
}

/* Those who could reach the device before, and those who can after. */
static void mark_around(struct app *a, const struct change *c)
{
	if (c->kind == CHANGE_USER_PUT)
		mark_user(a, c->user.email);
	else if (c->device.id)
		app_mark_neighbours(a, c->device.id);
}

static void dismiss(struct app *a, struct device *d)
{
	const struct standing_refusal *r = standing_refusal(d->standing);

	if (!r)
		return;
	app_end_session(a, d);
	publish_bye(a->publisher, d, r->code, r->message, r->hint);
}

static void dismiss_user(struct app *a, const char *email)
{
	for (size_t i = 0; i < a->model.n_devices; i++)
		if (a->model.devices[i] && strcmp(a->model.devices[i]->row.owner, email) == 0)
			dismiss(a, a->model.devices[i]);
}

/* Another policy holds, for all or for some. */
void app_policy_changed(struct app *a)
{
	struct now now = clock_now();

	a->confirm_boot_ms = now.boot_ms + trial_left_ms(&a->model.force.row, now.wall_ms);
	a->take_back_boot_ms = 0;
	app_note_left_out(a);
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
		/* The store has it and we do not: whoever is touched gets nothing until there is
		 * memory (app_tick), or, where it could not even be kept, a restart loads it. */
		log_error("a committed change does not fit into memory: %s", zt_strerror(err));
		d = c->device.id ? model_device(&a->model, c->device.id) : NULL;
		if (d)
			model_forget(&a->model, d->row.id);
	}
	mark_around(a, c);
	if (is_about_policy(c->kind))
		app_policy_changed(a);
	if (c->kind == CHANGE_USER_PUT)
		dismiss_user(a, c->user.email);
	if (!d)
		return;
	if (app_grow_by_id(a, d->row.id))
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

/* Every user who may be new, of changes under way and of this one, will fit. */
static int reserve_user(struct app *a)
{
	size_t n = 1;

	for (const struct change_job *r = a->rewrites; r; r = r->next_rewrite)
		n += r->change.kind == CHANGE_USER_PUT;
	return model_reserve_users(&a->model, n);
}

static int admit_change(struct app *a, const struct change *c, struct diag *d)
{
	if (c->kind == CHANGE_USER_PUT && reserve_user(a))
		return diag_set(d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
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

void app_note_records(struct app *a, uint64_t records)
{
	if (records > a->records)
		a->records = records;
}

static void change_done(struct job *j)
{
	struct change_job *c = (struct change_job *)j;

	rewrite_over(c);
	app_note_records(c->app, c->records);
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
		err = app_grow_by_id(a, row->id);
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
	return app_load_policy(a, d);
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
					   .sent = app_netmap_sent,
					   .advice = app_advise,
					   .gone = app_stream_gone,
					   .arg = a};

		a->publisher = publisher_new(&p);
		a->tick = loop_timer_new(c->loop, app_tick, a);
		a->edge = loop_timer_new(c->loop, app_pass_time, a);
		a->worker = worker_new(c->loop, s);
		if (!a->publisher || !a->tick || !a->edge || !a->worker)
			err = diag_set(d, -ENOMEM, "%s", zt_strerror(-ENOMEM));
	}
	if (err) {
		app_free(a);
		return err;
	}
	loop_timer_set(a->tick, clock_now().boot_ms + TICK_MS);
	loop_after(c->loop, app_after_turn, a);
	*ret = a;
	return 0;
}

void app_free(struct app *a)
{
	if (!a)
		return;
	do
		a->touch_running = false;
	while (a->worker && app_write_touched(a));
	worker_free(a->worker);
	loop_timer_free(a->tick);
	loop_timer_free(a->edge);
	publisher_free(a->publisher);
	model_done(&a->model);
	for (size_t i = 0; i < a->n_by_id; i++) {
		free(a->touched[i].report);
		free(a->touched[i].pace);
		free(a->sessions[i]);
	}
	free(a->touched);
	free(a->sessions);
	free(a->admins);
	free(a);
}
