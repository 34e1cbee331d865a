/* Facts that the machine's owner adds: executables in a directory, each run every 60 s in the
 * background. Only a directory and files that nobody but their owner (root) can write are used. A
 * script runs without rights (no new privileges; nobody, should we be root), with no environment
 * but PATH and LC_ALL, in "/", input and errors to /dev/null, in a session of its own that is
 * killed as a whole when it ends or after 10 s. */
#pragma once

#include <sys/types.h>

#include "zt/loop.h"
#include "zt/report.h"

enum {
	CUSTOM_INTERVAL_MS = 60000,
	CUSTOM_TIME_MS = 10000, /* for one run */
	CUSTOM_SCRIPTS_MAX = 32,
	CUSTOM_PARALLEL = 4,
};

struct custom;

/* dir: absolute path. owner: whom the directory and the files must belong to; 0 in life. changed is
 * called when a run ended and from then on says something else. NULL with errno. */
struct custom *custom_new(struct loop *l, const char *dir, uid_t owner, void (*changed)(void *arg),
			  void *arg);
void custom_free(struct custom *c); /* ends what runs; takes NULL */
/* Scripts run only while it is on, the first time at once. */
void custom_switch(struct custom *c, bool on);
/* name: the NAME of custom.NAME. State and value of *ret; returns when it was read (boot clock,
 * ms). */
int64_t custom_read(const struct custom *c, const char *name, struct fact *ret);
