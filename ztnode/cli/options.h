/* Global options: command line over configuration file over defaults. One table serves all three
 * (ztnode --help, ztnode.ini and the words that start a role). */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "zt/log.h"
#include "ztnode/roles.h"

enum {
	OPTIONS_PATH_MAX = 255,
	OPTIONS_RUN_MAX = 90, /* a socket's path below it has room for 107 bytes (unix(7)) */
	OPTIONS_USER_MAX = 32,
};

enum option_key {
	OPTION_STATE,
	OPTION_RUN,
	OPTION_INTERFACE,
	OPTION_LISTEN_PORT,
	OPTION_ROUTE_METRIC,
	OPTION_USER,
	OPTION_POSTURE_DIR,
	OPTION_LOG,
	OPTION_COUNT
};

struct options {
	struct node_config node; /* its texts point into this struct: do not copy it */
	enum log_level log;
	bool json, help, version;
	const char *config;		 /* --config FILE; NULL: the default, if it exists */
	const char *given[OPTION_COUNT]; /* as on the command line, borrowed; NULL: not there */
	bool set[OPTION_COUNT];		 /* has a value that is not the default */
	char state[OPTIONS_PATH_MAX + 1], run[OPTIONS_RUN_MAX + 1],
		posture_dir[OPTIONS_PATH_MAX + 1];
	char user[OPTIONS_USER_MAX + 1], interface[KSTATE_IFNAME_MAX + 1];
};

void options_init(struct options *o); /* defaults */
/* Takes the global options out of argv[1..*argc), wherever they stand before a "--". -EINVAL. */
int options_take(struct options *o, int *argc, char **argv, struct diag *d) ZT_MUST_USE;
/* One configuration file. name is for the diagnostics. -EINVAL with file and line: no such key, a
 * key twice, a wrong value. */
int options_read(struct options *o, FILE *f, const char *name, struct diag *d) ZT_MUST_USE;
/* Configuration file, then what the command line gave. -EINVAL, -errno of the file. */
int options_finish(struct options *o, struct diag *d) ZT_MUST_USE;
/* For a role, whose starter has read everything already: command line alone, and all of it.
 * -EINVAL. */
int options_finish_role(struct options *o, struct diag *d) ZT_MUST_USE;
/* The talking role's user, when nobody named one: "ztnode", or "nobody" where there is no such
 * user. Looks users up. */
void options_default_user(struct options *o);
/* The table's lines for --help. */
void options_help(struct buf *out);
/* Names for completion: "--state", ...; NULL past the end. */
const char *options_flag(size_t i);

/* Words that start a role with this very configuration: execv("/proc/self/exe", (char
 * **)ret->argv). The log level is in the environment (ZTNODE_LOG). */
struct role_argv {
	const char *argv[2 + 1 + 2 * OPTION_COUNT + 1]; /* NULL at the end */
	char port[8], metric[12];
};
void options_role_argv(const struct node_config *c, const char *role, struct role_argv *ret);
