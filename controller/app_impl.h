/* Insides of the app, for app*.c only: one struct, and what its parts ask of each other. */
#pragma once

#include "controller/app.h"
#include "controller/pace.h"

enum {
	TICK_MS = 1000,
	MARK_ARENA_MAX = 64 << 20,
	REPORT_ARENA_MAX = 1 << 20,
	DAY_S = 86400,
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
	int64_t heard_ms;  /* boot clock: its last request, or the end of its stream */
	struct pace *pace; /* of what its posture gains it; NULL: it has gained nothing yet */
	int64_t gain_ms;   /* when a gain that waits may come; 0: none waits */
	int64_t told_ms;   /* the last such time that was logged */
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
	struct session **sessions; /* by device id; NULL: none was opened */
	struct touched *touched;   /* by device id */
	size_t n_by_id;
	uint64_t n_sessions; /* ever opened */
	bool touch_running;
	struct change_job *rewrites; /* under way, computed from the model as it was */
	int64_t confirm_boot_ms;     /* when a policy that waits goes back, by the clock that nobody
					sets */
	int64_t take_back_boot_ms;   /* not before, after a failure */
	uint32_t taking_back;	     /* this version, now; 0 none */
	size_t noted_left_out;	     /* devices without memory, as the log says */
	int64_t review_day;	     /* when rules that are due were last looked for */
	uint64_t records;	     /* in the change log */
	int64_t started_ms;
};

/* --- app.c --- */

/* Room for a device's session and soft state. -ENOMEM. */
int app_grow_by_id(struct app *a, uint32_t id) ZT_MUST_USE;
/* It, and all that share a grant with it or would if conditions held, look at their maps again. */
void app_mark_neighbours(struct app *a, uint32_t id);
/* Everybody looks again, and hears what is asked of it. */
void app_policy_changed(struct app *a);
void app_note_records(struct app *a, uint64_t records); /* in the change log; it only grows */

/* --- app_caller.c --- */

void app_end_session(struct app *a, const struct device *d);

/* --- app_policy.c --- */

/* When nobody confirmed the policy in time: the one before it is put again. */
void app_take_back(struct app *a, struct now now);
/* At start, on the loop's thread: the one in force, and a canary beside it. */
int app_load_policy(struct app *a, struct diag *d) ZT_MUST_USE;

/* --- app_device.c --- */

/* Its standing, posture and place now; who is touched is marked. */
void app_evaluate(struct app *a, struct device *d);
void app_forget_source(struct app *a, struct device *d, struct now now);
/* For the publisher. */
void app_stream_gone(void *arg, struct device *d);
void app_netmap_sent(void *arg, struct device *d);
char *app_advise(void *arg, struct device *d);

/* --- app_clock.c --- */

/* Soft state that waits, in one transaction. False: there was none, or one is under way. */
bool app_write_touched(struct app *a);
/* For the loop: the edge of a rule, every second, the end of each turn. */
void app_pass_time(void *arg);
/* Logs it when more or fewer devices are left out for want of memory (model.h). */
void app_note_left_out(struct app *a);
void app_tick(void *arg);
void app_after_turn(void *arg);
