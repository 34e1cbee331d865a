/* App: what devices say. Reports and what posture makes of them, where a device is, its stream. */
#include "controller/app_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zt/log.h"
#include "controller/advice.h"
#include "controller/geo.h"
#include "controller/json/posture_json.h"
#include "controller/pace.h"

enum {
	NOTE_MS = 10000,
	NOTE_BURST = 30,
};

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
	struct touched *t = &a->touched[d->row.id];
	struct arena arena;
	json_t *j;

	if (!note_budget(t, clock_now().boot_ms))
		return;
	arena_init(&arena, REPORT_ARENA_MAX);
	if (model_verdict(&a->model, d, v->posture, c.at_ms, &arena, &words))
		words.n_failed = 0;
	j = json_pack("{s:s,s:b,s:o,s:i}", "profile", profile, "ok", v->ok, "failed",
		      verdict_failed_json(&words, failed_line), "not_recorded", (int)t->unnoted);
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
	if (gains && !t->pace)
		t->pace = calloc(1, sizeof(*t->pace));
	t->gain_ms = gains && t->pace ? pace_gain(t->pace, now.boot_ms) : 0;
	d->held = t->gain_ms ? gains : 0;
	if (t->gain_ms && t->gain_ms != t->told_ms)
		log_info("device %u: its posture comes and goes; what it gains waits %lld s",
			 d->row.id, (long long)(t->gain_ms - now.boot_ms + 999) / 1000);
	t->told_ms = t->gain_ms;
}

/* Who is marked hears of it at the end of this turn. */
void app_evaluate(struct app *a, struct device *d)
{
	struct verdict_change changes[ENGINE_POSTURES_MAX];
	struct now now = clock_now();
	int64_t now_ms = now.wall_ms;
	enum standing standing = model_standing(d, now_ms);
	bool moves = standing != d->standing, was_out = d->left_out;
	struct places was = d->places;
	size_t n;

	if (standing == STANDING_ACTIVE && d->row.id < a->n_by_id)
		pace_gains(a, d, now);
	if (moves) /* those who could reach it until now */
		app_mark_neighbours(a, d->row.id);
	n = model_evaluate(&a->model, d, now_ms, changes);
	if (n || moves || !places_equal(&was, &d->places))
		app_mark_neighbours(a, d->row.id);
	if (d->left_out && !was_out) /* the engine does not know any more who its neighbours were */
		publish_mark_all(a->publisher);
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
		err = app_grow_by_id(a, d->row.id);
	if (!err)
		err = model_take_report(&a->model, d, &r, clock_now().wall_ms, &endpoints_changed);
	if (err) {
		arena_done(&arena);
		return diag_set(diag, err, "the report is refused: %s", zt_strerror(err));
	}
	if (endpoints_changed)
		app_mark_neighbours(a, d->row.id);
	app_evaluate(a, d);
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
	app_evaluate(a, d);
	app_mark_neighbours(a, d->row.id); /* it is one of its endpoints, too */
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
void app_forget_source(struct app *a, struct device *d, struct now now)
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
		app_mark_neighbours(a, d->row.id);
	}
	a->touched[d->row.id].due = a->touched[d->row.id].seen = true;
	return publish_connect(a->publisher, d, r, serial);
}

void app_stream_gone(void *arg, struct device *d)
{
	struct app *a = arg;

	a->touched[d->row.id].due = a->touched[d->row.id].seen = true;
	a->touched[d->row.id].heard_ms = clock_now().boot_ms;
}

void app_netmap_sent(void *arg, struct device *d)
{
	struct app *a = arg;

	if (d->row.id < a->n_by_id)
		a->touched[d->row.id].due = true;
}

char *app_advise(void *arg, struct device *d)
{
	struct app *a = arg;

	return advice_text(&a->model, d, clock_now().wall_ms);
}
