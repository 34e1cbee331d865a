/* App: the controller's whole flow, in one place. Everything that happens comes through here:
 *
 *     request -> change -> transaction (worker thread) -> model -> engine -> marked devices ->
 * netmaps -> streams
 *
 * One thread decides; it never waits for a client (bounded queues), the disk or a big policy
 * (worker.h). */
#pragma once

#include "controller/http/http.h"
#include "controller/keys.h"
#include "controller/model/model.h"
#include "controller/muster.h"
#include "controller/publish.h"
#include "controller/survey.h"
#include "controller/store/store.h"
#include "controller/worker.h"

struct app;

struct app_config {
	struct loop *loop;
	struct controller_keys *keys; /* borrowed */
	struct geo *geo;	      /* borrowed; NULL: no country is known */
	struct zones *zones;	      /* borrowed; outlives the app. NULL: UTC alone */
	const char *version;
};

/* Loads everything from the store, then gives the store to the worker. */
int app_new(const struct app_config *c, struct store *s, struct app **ret,
	    struct diag *d) ZT_MUST_USE;
void app_free(
	struct app *a); /* what was submitted is committed first; the store is the caller's again */

/* --- identity: the one place that says who calls --- */
int app_identify(void *app, const char *authorization, struct http_caller *ret, struct diag *d);
/* Does the session that a request began with still stand? It may have ended, or a newer one have
 * taken its place, before the request's body was there. */
bool app_session_stands(const struct app *a, const struct http_caller *c);
/* A session for a device that proved its identity key. The text is the credential
 * ("7.<base64url>"). Older ones end. */
enum { SESSION_TEXT_MAX = 64 };
int app_open_session(struct app *a, struct device *d, char out[static SESSION_TEXT_MAX],
		     int64_t *ret_expires_s) ZT_MUST_USE;

/* --- changes --- */
/* -EBUSY: the same user's or device's row is being changed (tags, groups), or too many enrolments
 * wait. then(arg, err, committed change, d) in the loop, after the change is in the model and
 * marked for publishing. why, source, actor and the payload stand in *c, which is copied
 * (policy.text and detail too). */
typedef void (*app_then)(void *arg, int err, const struct change *c, const struct diag *d);
void app_change(struct app *a, const struct change *c, app_then then, void *arg);
/* Parse, check and put a policy, on trial when c->policy.trial says so. then gets -ZT_EFORM and
 * problems when it is refused. check_only: nothing is put. */
struct app_policy {
	int err;
	uint32_t version;
	struct diag diag;
	struct trial trial; /* that it was put on */
	struct diag problems[100];
	size_t n_problems, dropped;
	struct diag warnings[POLICY_WARNINGS_MAX]; /* when it is not refused */
	size_t n_warnings;
};
typedef void (*app_policy_then)(void *arg, const struct app_policy *result);
void app_put_policy(struct app *a, const struct change *c, bool check_only, app_policy_then then,
		    void *arg);
/* What a policy would change; nothing is put (survey.h). */
void app_survey(struct app *a, const char *text, size_t n, const struct survey_path *path,
		survey_then then, void *arg);
/* Who there is, for another thread (muster.h). */
void app_muster(struct app *a, muster_then then, void *arg);
/* Something slow that only reads: run(arg, store) in the worker, then(arg) in the loop. */
void app_read(struct app *a, void (*run)(void *arg, struct store *s), void (*then)(void *arg),
	      void *arg);
/* For the audit log alone. */
void app_note(struct app *a, const struct change *c);

/* --- what devices say --- */
/* The device itself asks, from there: every request that proves who it is. */
void app_seen_from(struct app *a, struct device *d, const struct http_request *r);
int app_report(struct app *a, struct device *d, const void *body, size_t n,
	       struct diag *diag) ZT_MUST_USE;
int app_open_stream(struct app *a, struct device *d, struct http_request *r,
		    uint64_t serial) ZT_MUST_USE;

/* --- for encoders --- */
struct model *app_model(struct app *a);
struct publisher *app_publisher(struct app *a);
const struct controller_keys *app_keys(const struct app *a);
const char *app_url(const struct app *a);
const char *app_version(const struct app *a);
uint64_t app_records(const struct app *a); /* in the change log */
/* Devices that have no access for want of memory, in words; false: there are none. */
bool app_left_out(const struct app *a, struct diag *ret);
int64_t app_uptime_s(const struct app *a);
struct now app_now(const struct app *a);
/* What the parser may know. For the thread that has the store: in app_read's run. */
struct policy_env app_policy_env(const struct app *a, int64_t now_ms);
