/* The words of one subcommand: its options and its positional arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "zt/err.h"

struct arg_option {
	const char *name;   /* "--name", "-c" */
	const char **value; /* gets the word behind it (or behind '='); NULL for a switch */
	bool *on;	    /* set by a switch; NULL otherwise */
};

/* Fills positional[0..max) (NULL where there is none). Behind "--" everything is positional.
 * -EINVAL with a message that begins with the command's name: unknown option, no value, fewer than
 * min or more than max. */
int args_parse(int argc, char **argv, const struct arg_option *options, size_t n_options,
	       const char **positional, size_t min, size_t max, struct diag *d) ZT_MUST_USE;
/* Says d and where to read more; returns ZT_EXIT_USAGE. command may be NULL. */
int args_usage(const char *command, struct diag *d);
/* A command that takes nothing but --json. 0 or ZT_EXIT_USAGE (said). json may be NULL: not even
 * that. */
int args_none(int argc, char **argv, bool *json) ZT_MUST_USE;
