/* Subcommands that only show what the daemon knows: ask, then print as it is or for people. */
#pragma once

#include "ztnode/cli/term.h"
#include "ztnode/roles.h"

typedef void (*show_fn)(const json_t *result, struct term *t);

/* A command without arguments but --json. The exit status. */
int show_answer(const struct node_config *c, int argc, char **argv, const char *verb,
		show_fn print);
/* Prints one result. The exit status. */
int show_result(const json_t *result, bool json, show_fn print);
