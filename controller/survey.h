/* Survey: what a policy would change, asked while the controller runs. The worker parses it, the
 * loop copies the devices in slices, the worker compares; between all of these others get their
 * turn, in the loop and in the worker. */
#pragma once

#include "controller/model/model.h"
#include "controller/policy/preview.h"
#include "controller/worker.h"

/* A way that is to stay: the admin's own. src 0: none. */
struct survey_path {
	uint32_t src, dst; /* device ids */
	struct service svc;
};

struct survey {
	int err; /* -ZT_EFORM with problems: the policy would be refused */
	struct diag diag;
	struct diag problems[100];
	size_t n_problems, dropped;
	const struct preview_result *result; /* NULL on error */
	struct survey_path path;
	bool cuts_path; /* which is there now */
};

typedef void (*survey_then)(void *arg, const struct survey *r);

struct survey_config {
	struct worker *worker;
	const struct model *model;
	struct policy_env env; /* for the worker's thread */
	int64_t now_ms;
};

/* text is copied. then(arg, survey) in the loop, later or, out of memory, at once. */
void survey_start(const struct survey_config *c, const char *text, size_t n,
		  const struct survey_path *path, survey_then then, void *arg);
