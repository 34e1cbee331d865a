/* App: the clock. Rules that begin and end, verdicts that change by themselves, leases, soft state
 * to disk, what is due for review. */
#include "controller/app_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "zt/log.h"
#include "controller/policy/review.h"

enum {
	TOUCH_BATCH_MAX = 4096,
	REVIEW_NAMES_MAX = 100, /* of one kind in one record */
};

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
bool app_write_touched(struct app *a)
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
	app_end_session(a, d);
	publish_bye(a->publisher, d, "login", "this device's certificate is over",
		    "the node proves its key again by itself");
}

static void check_device(struct app *a, struct device *d, struct now now)
{
	uint32_t today = (uint32_t)(now.wall_ms / 1000 / DAY_S);

	if (d->next_ms <= now.wall_ms || (d->row.id < a->n_by_id && a->touched[d->row.id].gain_ms))
		app_evaluate(a, d);
	app_forget_source(a, d, now);
	if (!d->online)
		return;
	if (d->standing == STANDING_LAPSED) {
		end_lapsed(a, d);
		return;
	}
	if (d->psk_epoch != today) { /* preshared keys turn daily */
		d->psk_epoch = today;
		app_mark_neighbours(a, d->row.id);
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
void app_pass_time(void *arg)
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

bool app_left_out(const struct app *a, struct diag *ret)
{
	size_t n = a->model.n_left_out;

	if (!n)
		return false;
	*ret = (struct diag){0};
	diag_set(ret, -ENOMEM, "%zu device%s no access for want of memory", n,
		 n == 1 ? " has" : "s have");
	diag_hint(ret, "the controller tries again every second, and needs more memory; "
		       "ztctl status says when all are in");
	return true;
}

void app_note_left_out(struct app *a)
{
	struct diag d;

	if (a->model.n_left_out == a->noted_left_out)
		return;
	a->noted_left_out = a->model.n_left_out;
	if (app_left_out(a, &d))
		log_diag(&d);
	else
		log_warn("there is memory again: no device is without access for want of it");
}

static void put_left_out(struct app *a)
{
	if (model_put_left_out(&a->model))
		publish_mark_all(a->publisher);
	app_note_left_out(a);
}

void app_tick(void *arg)
{
	struct app *a = arg;
	struct now now = clock_now();

	app_pass_time(a);
	put_left_out(a);
	app_take_back(a, now);
	note_review(a, now.wall_ms);
	for (size_t i = 0; i < a->model.n_devices; i++)
		if (a->model.devices[i])
			check_device(a, a->model.devices[i], now);
	publish_tick(a->publisher);
	app_write_touched(a);
	loop_timer_set(a->tick, now.boot_ms + TICK_MS);
}

void app_after_turn(void *arg)
{
	struct app *a = arg;

	publish_flush(a->publisher);
}
