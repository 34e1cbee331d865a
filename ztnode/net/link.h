/* Link: the session with the controller. Challenge, signature (by the privileged role), session,
 * then one long stream of frames, and reports beside it; again from the start, a little later each
 * time, when anything breaks. */
#pragma once

#include <jansson.h>

#include "zt/loop.h"
#include "zt/report.h"
#include "ztnode/roles.h"

struct link;

struct link_config {
	struct loop *loop;
	const struct hello *hello;			      /* borrowed */
	void (*sign)(void *arg, const struct key *challenge); /* answer: link_signed */
	void (*netmap)(void *arg, const void *p, size_t n);   /* answer: link_result */
	void (*advice)(void *arg, json_t *advice);	      /* borrowed */
	uint64_t (*serial)(void *arg);			      /* of the newest map in force */
	void (*up)(void *arg); /* stream open: time for a full report */
	void *arg;
};

struct link *link_new(const struct link_config *c);
void link_free(struct link *l);
void link_signed(struct link *l, const struct sig *sig);
/* What became of the last netmap: 0, or why the privileged role refused it. */
void link_result(struct link *l, int err);
/* Send an encoded report now or, when one is under way, after it (the newest wins; full is kept
 * when either is). */
void link_report(struct link *l, const void *p, size_t n);

/* The machine's addresses changed: a stream that begins at one which is gone is opened again now,
 * so that the controller sees where the device is. */
void link_addresses_changed(struct link *l);

/* A request on behalf of the command line. then(arg, HTTP status or 0, JSON answer or NULL,
 * problem). */
typedef void (*link_then)(void *arg, long status, json_t *answer, const char *problem);
void link_ask(struct link *l, const char *method, const char *path, link_then then, void *arg);

struct link_view {
	bool connected;
	int64_t since_ms;	  /* wall clock, of the present state */
	const char *device_state; /* as the controller last said: "active" "pending" "revoked"
				     "expired" */
	const char *problem;	  /* "" when connected */
	const char *hint;
};
void link_view(const struct link *l, struct link_view *ret);
