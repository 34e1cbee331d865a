/* The subcommands. Each gets the configuration and its own words (argv[0] is its name), prints, and
 * returns the exit status (enum zt_exit). Global options never reach it; --json does, when the
 * table in main.c says that it may. */
#pragma once

#include "zt/err.h"
#include "ztnode/cli/args.h"
#include "ztnode/net/enroll.h"
#include "ztnode/roles.h"

typedef int (*cmd_fn)(const struct node_config *c, int argc, char **argv);

struct command {
	const char *name;
	cmd_fn run;
	bool needs_root;
	bool json;	     /* takes --json */
	bool starts_roles;   /* needs the name of the talking role's user */
	const char *words;   /* of its usage line, "PEER [-c N]" */
	const char *summary; /* a few words, for the list of commands */
	const char *help;    /* sentences, for its own --help */
};

/* daemon.c, activated.c, enroll.c, leave.c */
int cmd_run(const struct node_config *c, int argc, char **argv);
int cmd_role(const struct node_config *c, int argc, char **argv);
int cmd_enroll(const struct node_config *c, int argc, char **argv);
int cmd_leave(const struct node_config *c, int argc, char **argv);
/* Enrolment with talk in the child that is given up to the network. It is believed nothing: what is
 * kept is what the token says, and a device's id and name. Exit status. */
int enroll_with(const struct node_config *c, const char *token, const char *name,
		enroll_talk_fn talk);

int cmd_up(const struct node_config *c, int argc, char **argv);
int cmd_down(const struct node_config *c, int argc, char **argv);
int cmd_status(const struct node_config *c, int argc, char **argv);
int cmd_why(const struct node_config *c, int argc, char **argv);
int cmd_posture(const struct node_config *c, int argc, char **argv);
int cmd_plan(const struct node_config *c, int argc, char **argv);
int cmd_ping(const struct node_config *c, int argc, char **argv);

/* The script for bash, made of the same table; the table ends with a NULL name. */
void completion_print(const struct command *commands, struct buf *out);
