/* One run of one script: a child without rights, its output up to a limit, an end after a limit of
 * time. */
#pragma once

#include "zt/loop.h"

struct custom_run;

/* Called once. failure: NULL when the script ended by itself with 0, else what went wrong in a few
 * words. The output is borrowed. custom_run_free may be called from within. */
typedef void (*custom_run_fn)(void *arg, const char *failure, const char *out, size_t n);

/* path: absolute, already checked. NULL with errno when it cannot be started. */
struct custom_run *custom_run_new(struct loop *l, const char *path, int64_t limit_ms,
				  custom_run_fn fn, void *arg);
void custom_run_free(struct custom_run *r); /* kills what still runs; takes NULL */
