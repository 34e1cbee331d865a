/* Words of a subcommand. */
#include "ztnode/cli/args.h"

#include <errno.h>
#include <string.h>

#include "zt/log.h"
#include "zt/txt.h"

/* Does word name this option, alone or as --option=value? *ret_value is the part behind '=', else
 * NULL. */
static bool matches(const struct arg_option *o, const char *word, const char **ret_value)
{
	size_t n = strlen(o->name);

	*ret_value = NULL;
	if (strcmp(word, o->name) == 0)
		return true;
	if (!txt_starts(o->name, "--") || strncmp(word, o->name, n) != 0 || word[n] != '=')
		return false;
	*ret_value = word + n + 1;
	return true;
}

static const struct arg_option *find_option(const struct arg_option *options, size_t n,
					    const char *word, const char **ret_value)
{
	for (size_t i = 0; i < n; i++)
		if (matches(&options[i], word, ret_value))
			return &options[i];
	return NULL;
}

/* One option at argv[*i]; moves *i over its value. */
static int take_option(int argc, char **argv, int *i, const struct arg_option *options, size_t n,
		       struct diag *d)
{
	const char *word = argv[*i], *value;
	const struct arg_option *o = find_option(options, n, word, &value);

	if (!o)
		return diag_set(d, -EINVAL, "%s: unknown option \"%s\"", argv[0], word);
	if (o->on && value)
		return diag_set(d, -EINVAL, "%s: %s takes no value", argv[0], o->name);
	if (o->on) {
		*o->on = true;
		return 0;
	}
	if (!value && *i + 1 >= argc)
		return diag_set(d, -EINVAL, "%s: %s needs a value", argv[0], o->name);
	*o->value = value ? value : argv[++*i];
	return 0;
}

int args_parse(int argc, char **argv, const struct arg_option *options, size_t n_options,
	       const char **positional, size_t min, size_t max, struct diag *d)
{
	bool only_positional = false;
	size_t n = 0;

	for (size_t k = 0; k < max; k++)
		positional[k] = NULL;
	for (int i = 1; i < argc; i++) {
		if (!only_positional && strcmp(argv[i], "--") == 0) {
			only_positional = true;
		} else if (!only_positional && argv[i][0] == '-' && argv[i][1]) {
			int err = take_option(argc, argv, &i, options, n_options, d);

			if (err)
				return err;
		} else if (n == max) {
			return diag_set(d, -EINVAL, "%s: too many arguments, from \"%s\"", argv[0],
					argv[i]);
		} else {
			positional[n++] = argv[i];
		}
	}
	return n < min ? diag_set(d, -EINVAL, "%s: an argument is missing", argv[0]) : 0;
}

int args_usage(const char *command, struct diag *d)
{
	if (!d->hint[0])
		diag_hint(d, "ztnode %s%s--help", command ? command : "", command ? " " : "");
	log_diag(d);
	return ZT_EXIT_USAGE;
}

int args_none(int argc, char **argv, bool *json)
{
	const struct arg_option options[] = {{"--json", NULL, json}};
	struct diag d = {0};

	if (args_parse(argc, argv, options, json ? 1 : 0, NULL, 0, 0, &d))
		return args_usage(argv[0], &d);
	return 0;
}
