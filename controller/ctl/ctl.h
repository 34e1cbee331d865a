/* ztctl: a thin client of the admin API. One file a noun; each has its row in the table of commands
 * (main.c prints help and completion from it) and turns words into one request and the answer into
 * text.
 *
 *     args.c    words and options of a command line (pure)     client.c   the request: pinned TLS,
 * limits, errors print.c   texts and tables from JSON (pure)               NOUN.c     the commands
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "zt/arena.h"
#include "zt/err.h"

/* --- command lines --- */

struct ctl_option {
	const char *name;  /* without dashes; NULL ends a table */
	const char *value; /* "EMAIL"; NULL: a flag */
	const char *help;
	bool repeats;
};

enum { CTL_WORDS_MAX = 64, CTL_GIVEN_MAX = 64 };

struct ctl_args {
	const char *words[CTL_WORDS_MAX]; /* after noun and verb */
	size_t n_words;
	struct {
		const struct ctl_option *option;
		const char *value; /* NULL of a flag */
	} given[CTL_GIVEN_MAX];
	size_t n_given;
};

/* Options ("--name VALUE", "--name=VALUE") and words in any order; "--" ends the options, "-" is a
 * word, and so is "-NAME" when signed_words. argv ends with NULL. -EINVAL with a text for the user.
 * Strings are borrowed. */
int ctl_args_parse(char *const argv[], const struct ctl_option *own,
		   const struct ctl_option *global, bool signed_words, struct ctl_args *ret,
		   struct diag *d) ZT_MUST_USE;
const char *ctl_args_value(const struct ctl_args *a, const char *name); /* NULL when not given */
bool ctl_args_has(const struct ctl_args *a, const char *name);
/* The values of an option that repeats, in order: *at starts at 0. NULL at the end. */
const char *ctl_args_next(const struct ctl_args *a, const char *name, size_t *at);

/* --- commands --- */

struct ctl {
	FILE *out, *err;
	bool json;		/* the answer as it came */
	bool terminal;		/* out is one */
	bool colours;		/* and NO_COLOR is not set */
	bool progress;		/* err is a terminal */
	const char *admin_file; /* --admin, NULL */
	struct arena arena;	/* texts of this run */
};

typedef int (*ctl_run)(struct ctl *c, const struct ctl_args *a); /* enum zt_exit */

struct ctl_command {
	const char *noun, *verb; /* verb NULL: the noun is all */
	const char *words;	 /* "DEV +NAME -NAME", for help */
	const char *help;
	ctl_run run;
	const struct ctl_option *options; /* NULL: none */
	unsigned min, max;		  /* words */
	bool signed_words;
};

/* Tables of the files; each ends with noun NULL. */
extern const struct ctl_command ctl_token_commands[], ctl_device_commands[], ctl_user_commands[],
	ctl_policy_commands[], ctl_explain_commands[], ctl_audit_commands[], ctl_status_commands[];

/* "ztctl: message" and "hint: ..." on c->err. Returns status. */
int ctl_fail(struct ctl *c, enum zt_exit status, const struct diag *d);
int ctl_failf(struct ctl *c, enum zt_exit status, const char *hint, const char *fmt, ...)
	ZT_PRINTF(4, 5);

/* --- requests --- */

enum ctl_expect { CTL_OBJECT, CTL_OBJECTS /* a list of them */, CTL_PLAIN };

struct ctl_request {
	const char *method, *path; /* path with query, encoded (ctl_path) */
	json_t *json;		   /* taken; NULL: none */
	const void *text;	   /* text/plain when json is NULL */
	size_t n_text;
	enum ctl_expect expect; /* anything else with a status of 2xx is no controller's answer */
};

struct ctl_answer {
	int status;
	json_t *json; /* NULL when it is none */
	char *text;   /* NUL-terminated */
	size_t n_text;
	char version[24]; /* header X-Policy-Version */
};

/* 0: an answer of 2xx. Else an exit code, and what is to say has been said; an answer with
 * "problems" is left in *ret for the caller (ZT_EXIT_FAILED, nothing said). ctl_answer_done in
 * every case. */
int ctl_ask(struct ctl *c, struct ctl_request *q, struct ctl_answer *ret) ZT_MUST_USE;
void ctl_answer_done(struct ctl_answer *a);
/* "/v1/x/" and its parts, percent-encoded: ctl_path(c, "/v1/admin/devices/%/revoke", dev). Each %
 * takes one text. */
const char *ctl_path(struct ctl *c, const char *form, ...);

/* --- printing --- */

enum ctl_format { CTL_TEXT, CTL_LIST, CTL_STATE, CTL_YES_NO, CTL_NUMBER };

struct ctl_column {
	const char *title;
	const char *key;
	enum ctl_format format;
};

/* Texts the commands share. */
const char *ctl_bare(const char *s,
		     const char *prefix); /* "tag:db" -> "db": both ways to write it are right */
/* For a terminal: escape codes, controls and broken UTF-8 are '?'. In c->arena; never NULL. */
const char *ctl_safe(struct ctl *c, const char *s);
/* Member of an object as safe text: strings, numbers, yes/no, lists with commas; "" when absent or
 * null. */
const char *ctl_member(struct ctl *c, const json_t *object, const char *key);
void ctl_print_json(struct ctl *c, const json_t *j);
/* Rows of objects. Nothing to show: "none" on c->err, so that a pipe gets no lines. */
int ctl_print_table(struct ctl *c, const struct ctl_column *columns, size_t n, const json_t *rows);
/* "title   value" lines of one object. */
void ctl_print_fields(struct ctl *c, const struct ctl_column *fields, size_t n,
		      const json_t *object);
const char *ctl_colour(const struct ctl *c, const char *state); /* "" when there is none to set */
const char *ctl_plain(const struct ctl *c);			/* ends a colour */

/* --- for the commands: ask, and print what came --- */

/* Is this "tcp/5432", "icmp" or "any"? Else ZT_EXIT_USAGE, and it has been said. */
int ctl_need_service(struct ctl *c, const char *text);

/* GET path, then JSON or a table. */
int ctl_show_table(struct ctl *c, const char *path, const struct ctl_column *columns, size_t n);
/* A change: with --json the answer, else what `done` says of it ("%s" is never interpreted). */
int ctl_change(struct ctl *c, struct ctl_request *q,
	       void (*done)(struct ctl *c, const json_t *answer));
/* Options that several have. */
#define CTL_WHY                                                                                    \
	{                                                                                          \
		"why", "TEXT", "the reason, for the audit log", false                              \
	}
/* {"why": TEXT} with what was given. */
json_t *ctl_why(const struct ctl_args *a);
