/* App: policies. Parsed and stored by the worker, put in force here; going back when nobody
 * confirms; loading at start. */
#include "controller/app_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/log.h"
#include "controller/changes.h"
#include "controller/model/trial.h"
#include "controller/policy/reading.h"
#include "controller/policy/review.h"
#include "controller/zones.h"

enum {
	TAKE_BACK_AGAIN_MS = 60000,
};

struct policy_job {
	struct job job;
	struct app *app;
	struct change change;
	bool check_only;
	uint32_t again; /* take the text of this version; 0: it is in the change */
	uint64_t records;
	struct policy_reading reading; /* its problems are those of the result */
	struct roll *roll; /* the devices and users that there were when it was asked for; NULL */
	struct policy *before; /* in force when it was asked for (held), to say what changes */
	uint32_t before_version;
	struct engine *engine; /* made by the worker: the loop does not wait for it */
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

static int begin_reading(struct policy_job *p)
{
	struct app_policy *r = &p->result;
	struct policy_env env = app_policy_env(p->app, p->change.at_ms);
	const struct subject *subjects = NULL;
	size_t n_subjects = 0;

	if (p->roll)
		subjects = roll_subjects(p->roll, &n_subjects);
	env.was_accepted = p->again != 0; /* what goes back was good once */
	p->reading.problems = (struct diag_list){
		.items = r->problems, .max = sizeof(r->problems) / sizeof(r->problems[0])};
	return policy_read_begin(&p->reading, p->change.policy.text, p->change.policy.len, &env,
				 subjects, n_subjects);
}

/* 1: there is more, and others get their turn before. */
static int read_policy(struct policy_job *p, struct store *s)
{
	int err = 0;

	if (p->reading.proof)
		return policy_read_step(&p->reading);
	if (p->again)
		err = take_text(s, p->again, &p->change.policy);
	return err ? err : begin_reading(p);
}

static void note_result(struct policy_job *p)
{
	struct app_policy *r = &p->result;

	r->n_problems = p->reading.problems.n;
	r->dropped = p->reading.problems.dropped;
	if (r->err) {
		if (!r->diag.message[0])
			policy_refused(r->err, &p->reading.problems, &r->diag);
		return;
	}
	r->n_warnings = p->reading.policy->n_warnings;
	for (size_t i = 0; i < r->n_warnings; i++)
		r->warnings[i] = p->reading.policy->warnings[i];
}

/* A record that cannot say what changes is written all the same. */
static void commit_policy(struct policy_job *p, struct store *s)
{
	p->change.policy.changes = changes_text(p->before, p->before_version, p->reading.policy,
						p->change.at_ms / 1000);
	p->result.err = store_commit(s, &p->change, &p->result.diag);
}

/* It is good. */
static void accept_policy(struct policy_job *p, struct store *s)
{
	int64_t now_ms = clock_now().wall_ms; /* the proof of its invariants took a while */

	if (p->change.policy.trial.until_ms)
		p->change.policy.trial.until_ms += now_ms - p->change.at_ms;
	p->engine = engine_new(p->reading.policy, now_ms / 1000);
	if (!p->engine)
		p->result.err = diag_set(&p->result.diag, -ENOMEM,
					 "the policy is too big for the controller's memory");
	else if (!p->check_only)
		commit_policy(p, s);
	p->result.version = p->change.policy.version;
	p->result.trial = p->change.policy.trial;
}

static void policy_work(struct job *j, struct store *s)
{
	struct policy_job *p = (struct policy_job *)j;
	int more = read_policy(p, s);

	if (more == 1)
		return;
	p->result.err = more;
	note_result(p);
	if (!p->result.err)
		accept_policy(p, s);
	if (store_records(s, &p->records))
		p->records = 0;
}

/* Whenever it is submitted. */
static void keep_before(struct app *a, struct policy_job *p)
{
	policy_free(p->before);
	p->before = policy_hold(a->model.force.policy);
	p->before_version = a->model.force.row.version;
}

static void warn_offers(struct policy_job *p, const struct policy *policy, const struct engine *e)
{
	struct app_policy *r = &p->result;

	r->n_warnings = review_devices(policy, e, r->warnings, r->n_warnings, POLICY_WARNINGS_MAX);
}

/* First of all, because it matters most. */
static void warn_left_out(const struct app *a, struct app_policy *r)
{
	struct diag d;

	if (!app_left_out(a, &d))
		return;
	r->n_warnings -= r->n_warnings == POLICY_WARNINGS_MAX;
	memmove(r->warnings + 1, r->warnings, r->n_warnings * sizeof(r->warnings[0]));
	r->warnings[0] = d;
	r->n_warnings++;
}

static void put_in_force(struct app *a, struct policy_job *p)
{
	const struct policy_row *row = &p->change.policy;
	const struct force f = {.policy = p->reading.policy, .engine = p->engine, .row = *row};

	model_put_force(&a->model, &f, row->trial.percent != 0, clock_now().wall_ms);
	warn_offers(p, p->reading.policy, p->engine);
	warn_left_out(a, &p->result);
	p->reading.policy = NULL;
	p->engine = NULL;
	app_policy_changed(a);
}

/* What it would mean here and now. Without memory the warnings about it are missing. */
static void try_out(struct app *a, struct policy_job *p)
{
	if (p->engine && !model_try(&a->model, p->engine))
		warn_offers(p, p->reading.policy, p->engine);
}

static void policy_job_free(struct policy_job *p)
{
	engine_free(p->engine);
	policy_free(p->before);
	policy_read_end(&p->reading);
	roll_free(p->roll);
	free(p->change.policy.text);
	free(p->change.policy.changes);
	free(p);
}

static void policy_done(struct job *j)
{
	struct policy_job *p = (struct policy_job *)j;

	if (p->reading.proof && !worker_is_ending(p->app->worker)) {
		keep_before(p->app, p);
		worker_submit(p->app->worker, j);
		return;
	}
	if (p->reading.proof)
		p->result.err =
			diag_set(&p->result.diag, -ECANCELED,
				 "the controller ends before the policy was looked through");
	app_note_records(p->app, p->records);
	if (!p->result.err && p->check_only)
		try_out(p->app, p);
	else if (!p->result.err)
		put_in_force(p->app, p);
	p->then(p->arg, &p->result);
	policy_job_free(p);
}

static const struct app_policy no_memory = {.err = -ENOMEM, .diag.message = "out of memory"};

static void policy_mustered(void *arg, int err, struct roll *r)
{
	struct policy_job *p = arg;

	p->roll = r;
	if (err) {
		p->then(p->arg, &no_memory);
		policy_job_free(p);
		return;
	}
	keep_before(p->app, p);
	worker_submit(p->app->worker, &p->job);
}

void app_put_policy(struct app *a, const struct change *c, bool check_only, app_policy_then then,
		    void *arg)
{
	struct policy_job *p = calloc(1, sizeof(*p));
	char *text = malloc(c->policy.len + 1);

	if (!p || !text) {
		free(p);
		free(text);
		then(arg, &no_memory);
		return;
	}
	memcpy(text, c->policy.text, c->policy.len);
	text[c->policy.len] = 0;
	*p = (struct policy_job){.job = {.work = policy_work, .done = policy_done},
				 .app = a,
				 .change = *c,
				 .check_only = check_only,
				 .then = then,
				 .arg = arg};
	p->change.policy.text = text;
	muster_start(a->worker, &a->model, policy_mustered, p);
}

void app_muster(struct app *a, muster_then then, void *arg)
{
	muster_start(a->worker, &a->model, then, arg);
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

void app_take_back(struct app *a, struct now now)
{
	const struct policy_row *row = &a->model.force.row;
	struct policy_job *p;

	if (a->taking_back || now.boot_ms < a->take_back_boot_ms ||
	    !trial_is_over(row, now, a->confirm_boot_ms))
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		return; /* in a second again */
	*p = (struct policy_job){.job = {.work = policy_work, .done = policy_done, .urgent = true},
				 .app = a,
				 .change = back_change(row, now.wall_ms),
				 .again = row->trial.base,
				 .then = taken_back,
				 .arg = a};
	a->taking_back = row->version;
	keep_before(a, p);
	worker_submit(a->worker, &p->job);
}

/* --- loading, before anything is served --- */

static int parse_stored(struct app *a, const struct policy_row *row, struct policy **ret,
			struct diag *problem)
{
	struct diag_list list = {.items = problem, .max = 1};
	struct policy_env env = app_policy_env(a, clock_now().wall_ms);

	env.was_accepted = true; /* a clock that was set must not keep the controller down */
	return policy_parse("policy", row->text, row->len, &env, ret, &list);
}

/* As when it runs: it stays in force, because a controller that does not start helps nobody, and is
 * tried again. */
static void say_it_stays(const struct policy_row *row, const struct diag *problem)
{
	log_error("policy version %u was not confirmed and stays in force: version %u, which was "
		  "before it, cannot be used any more: %s",
		  row->version, row->trial.base, problem->message);
}

/* Nobody confirmed it while the controller was away: row becomes the one before it, put again. */
static int take_back_at_start(struct app *a, struct arena *arena, struct policy_row *row,
			      struct diag *problem)
{
	struct change c = back_change(row, clock_now().wall_ms);
	struct policy_row before;
	struct policy *p = NULL;
	int err = store_policy_get(a->store, row->trial.base, arena, &before);

	if (!err) /* can it be used at all? It is not put otherwise */
		err = parse_stored(a, &before, &p, problem);
	policy_free(p);
	if (err == -ZT_EFORM) {
		say_it_stays(row, problem);
		*problem = (struct diag){0};
		return 0;
	}
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

	if (!err && trial_is_over(&row, now, INT64_MAX))
		err = take_back_at_start(a, arena, &row, problem);
	if (!err)
		err = parse_stored(a, &row, &p, problem);
	if (!err)
		err = model_set_policy(&a->model, p, &row, now.wall_ms);
	if (err)
		policy_free(p);
	else
		a->confirm_boot_ms = now.boot_ms + trial_left_ms(&row, now.wall_ms);
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

int app_load_policy(struct app *a, struct diag *d)
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
