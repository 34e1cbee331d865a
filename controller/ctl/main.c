/* ztctl: finds the command in the table, and prints help and completion from it. */
#include <curl/curl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/ctl.h"
#include "zt/txt.h"

enum { RUN_MEMORY_MAX = 256 << 20, NOUNS_MAX = 16, HELP_WIDTH = 34 };

static const struct ctl_command *const tables[] = {
	ctl_token_commands,   ctl_device_commands, ctl_user_commands,	ctl_policy_commands,
	ctl_explain_commands, ctl_audit_commands,  ctl_status_commands,
};

static const char *const nouns[] = {"token", "device", "user",	     "policy", "explain",
				    "audit", "status", "completion", "help"};

static const struct ctl_option global_options[] = {
	{"admin", "FILE", "the admin credential (else $ZTCTL_ADMIN, ~/.config/ztctl/admin)", false},
	{"json", NULL, "the controller's answer as JSON", false},
	{"help", NULL, "help for the program or a command", false},
	{NULL, NULL, NULL, false},
};

/* --- walking the table --- */

static const struct ctl_command *next_command(size_t *table, size_t *i)
{
	for (; *table < sizeof(tables) / sizeof(tables[0]); ++*table, *i = 0)
		if (tables[*table][*i].noun)
			return &tables[*table][(*i)++];
	return NULL;
}

static bool noun_exists(const char *noun)
{
	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		if (txt_equal(nouns[i], noun))
			return true;
	return false;
}

static const struct ctl_command *find_command(const char *noun, const char *verb)
{
	const struct ctl_command *c;

	for (size_t t = 0, i = 0; (c = next_command(&t, &i));)
		if (txt_equal(c->noun, noun) && (!c->verb || (verb && txt_equal(c->verb, verb))))
			return c;
	return NULL;
}

/* --- help --- */

static void print_options(FILE *out, const struct ctl_option *o)
{
	char left[64];

	for (; o && o->name; o++) {
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		fprintf(out, "  %-*s  %s\n", HELP_WIDTH, left, o->help);
	}
}

static void print_command_line(FILE *out, const struct ctl_command *c)
{
	char left[96];

	snprintf(left, sizeof(left), "%s%s%s%s%s", c->noun, c->verb ? " " : "",
		 c->verb ? c->verb : "", *c->words ? " " : "", c->words);
	fprintf(out, "  %-*s  %s\n", HELP_WIDTH, left, c->help);
}

/* noun NULL: all of them. */
static void print_help(FILE *out, const char *noun)
{
	const struct ctl_command *c;

	fprintf(out, "usage: ztctl [--admin FILE] [--json] %s ...\n\n", noun ? noun : "COMMAND");
	for (size_t t = 0, i = 0; (c = next_command(&t, &i));)
		if (!noun || txt_equal(c->noun, noun))
			print_command_line(out, c);
	if (!noun)
		fprintf(out, "  %-*s  %s\n", HELP_WIDTH, "completion bash",
			"a script for the shell to read");
	fprintf(out, "\noptions:\n");
	print_options(out, global_options);
	if (!noun)
		fprintf(out,
			"  %-*s  %s\n\nexit: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot "
			"reach the "
			"controller, 4 denied (explain, policy can)\n",
			HELP_WIDTH, "--version", "the version of this program");
}

/* What a command says more of itself than others: a way to call it. */
static const struct {
	const char *noun, *verb, *line;
} examples[] = {
	{"policy", "check", "ztctl policy check policy.ini && echo fine"},
	{"policy", "put", "ztctl policy put policy.ini --why 'Sam joins finance' --confirm 10m"},
	{"policy", "preview", "ztctl policy preview policy.ini"},
	{"policy", "can", "ztctl policy can group:interns payroll-db tcp/5432"},
	{"explain", NULL, "ztctl explain ada@example.com payroll-db tcp/5432"},
};

static void print_example(FILE *out, const struct ctl_command *c)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		if (txt_equal(c->noun, examples[i].noun) && txt_equal(c->verb, examples[i].verb))
			fprintf(out, "\nexample: %s\n", examples[i].line);
}

static void print_command_help(FILE *out, const struct ctl_command *c)
{
	bool denies = txt_equal(c->noun, "explain") || txt_equal(c->verb, "can");

	fprintf(out, "usage: ztctl %s%s%s%s%s%s\n\n%s\n\noptions:\n", c->noun, c->verb ? " " : "",
		c->verb ? c->verb : "", *c->words ? " " : "", c->words,
		c->options ? " [OPTIONS]" : "", c->help);
	print_options(out, c->options);
	print_options(out, global_options);
	fprintf(out,
		"\nexit: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot reach the "
		"controller%s\n",
		denies ? ", 4 denied" : "");
	print_example(out, c);
}

/* --- completion --- */

static void print_words(FILE *out, const char *noun)
{
	const struct ctl_command *c;

	for (size_t t = 0, i = 0; (c = next_command(&t, &i));)
		if (txt_equal(c->noun, noun) && c->verb)
			fprintf(out, " %s", c->verb);
}

static void print_completion_options(FILE *out, const struct ctl_command *c)
{
	fprintf(out, "\t'%s %s') words=\"", c->noun, c->verb ? c->verb : "");
	for (const struct ctl_option *o = c->options; o && o->name; o++)
		fprintf(out, "--%s ", o->name);
	for (const struct ctl_option *o = global_options; o->name; o++)
		fprintf(out, "--%s ", o->name);
	fprintf(out, "\" ;;\n");
}

static void print_completion(FILE *out)
{
	const struct ctl_command *c;

	fprintf(out, "# bash completion of ztctl: source <(ztctl completion bash)\n_ztctl() {\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
		     "\tcase \"$COMP_CWORD ${COMP_WORDS[1]}\" in\n\t'1 '*) words=\"");
	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		fprintf(out, "%s ", nouns[i]);
	fprintf(out, "--admin --json --help --version\" ;;\n");
	for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
		fprintf(out, "\t'2 %s') words=\"", nouns[i]);
		print_words(out, nouns[i]);
		fprintf(out, "%s\" ;;\n", txt_equal(nouns[i], "completion") ? "bash" : "");
	}
	fprintf(out, "\tesac\n\t[ \"${cur:0:1}\" != - ] || case \"${COMP_WORDS[1]} "
		     "${COMP_WORDS[2]}\" in\n");
	for (size_t t = 0, i = 0; (c = next_command(&t, &i));)
		print_completion_options(out, c);
	fprintf(out, "\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n"
		     "complete -o default -F _ztctl ztctl\n");
}

/* --- finding and running --- */

/* Noun and verb are the first two words; an option's value is no word. Their places in argv, 0 when
 * there is none. */
static void find_words(char *const argv[], int *noun, int *verb)
{
	*noun = *verb = 0;
	for (int i = 1; argv[i] && !*verb; i++) {
		if (txt_equal(argv[i], "--admin") && argv[i + 1])
			i++;
		else if (argv[i][0] != '-')
			*(*noun ? verb : noun) = i;
	}
}

static int usage_error(struct ctl *c, const char *what, const char *word, const char *const *names,
		       size_t n)
{
	const char *near = txt_nearest(word, names, n);
	char hint[200];

	if (near)
		snprintf(hint, sizeof(hint), "did you mean %s?", near);
	else
		snprintf(hint, sizeof(hint), "ztctl --help lists all commands");
	return ctl_failf(c, ZT_EXIT_USAGE, hint, "unknown %s '%s'", what, word);
}

static int no_such_verb(struct ctl *c, const char *noun, const char *verb)
{
	const char *verbs[NOUNS_MAX];
	const struct ctl_command *command;
	size_t n = 0;

	for (size_t t = 0, i = 0; (command = next_command(&t, &i));)
		if (txt_equal(command->noun, noun) && n < NOUNS_MAX)
			verbs[n++] = command->verb;
	if (verb)
		return usage_error(c, "command", verb, verbs, n);
	print_help(c->err, noun);
	return ZT_EXIT_USAGE;
}

/* argv without program, noun and verb. */
static size_t other_words(char *const argv[], int noun, int verb, char *out[], size_t max)
{
	size_t n = 0;

	for (int i = 1; argv[i] && n + 1 < max; i++)
		if (i != noun && i != verb)
			out[n++] = argv[i];
	out[n] = NULL;
	return n;
}

static int wrong_usage(struct ctl *c, const struct ctl_command *command, struct diag *d)
{
	if (!d->hint[0])
		diag_hint(d, "usage: ztctl %s%s%s %s", command->noun, command->verb ? " " : "",
			  command->verb ? command->verb : "", command->words);
	return ctl_fail(c, ZT_EXIT_USAGE, d);
}

static int run_command(struct ctl *c, const struct ctl_command *command, char *const words[])
{
	struct ctl_args a;
	struct diag d = {0};

	if (ctl_args_parse(words, command->options, global_options, command->signed_words, &a, &d) <
	    0)
		return wrong_usage(c, command, &d);
	if (ctl_args_has(&a, "help")) {
		print_command_help(c->out, command);
		return ZT_EXIT_OK;
	}
	if (a.n_words < command->min || a.n_words > command->max) {
		diag_set(&d, 0,
			 a.n_words < command->min ? "something is missing" : "too many arguments");
		return wrong_usage(c, command, &d);
	}
	c->json = ctl_args_has(&a, "json");
	c->admin_file = ctl_args_value(&a, "admin");
	return command->run(c, &a);
}

static int completion(struct ctl *c, const char *shell)
{
	if (!txt_equal(shell, "bash"))
		return ctl_failf(c, ZT_EXIT_USAGE, "usage: ztctl completion bash",
				 "completion for which shell?");
	print_completion(c->out);
	return ZT_EXIT_OK;
}

/* --help and --version before any command, or nothing at all. */
static int without_command(struct ctl *c, char *const argv[])
{
	for (int i = 1; argv[i]; i++) {
		if (txt_equal(argv[i], "--version")) {
			fprintf(c->out, "ztctl %s\n", ZT_VERSION);
			return ZT_EXIT_OK;
		}
		if (txt_equal(argv[i], "--help") || txt_equal(argv[i], "-h")) {
			print_help(c->out, NULL);
			return ZT_EXIT_OK;
		}
	}
	print_help(c->err, NULL);
	return ZT_EXIT_USAGE;
}

static bool asks_for_help(char *const argv[])
{
	for (int i = 1; argv[i]; i++)
		if (txt_equal(argv[i], "--help") || txt_equal(argv[i], "-h"))
			return true;
	return false;
}

static int run(struct ctl *c, char *const argv[])
{
	char *words[CTL_WORDS_MAX + 2 * CTL_GIVEN_MAX];
	const struct ctl_command *command;
	int noun, verb;

	find_words(argv, &noun, &verb);
	if (!noun || txt_equal(argv[noun], "help")) {
		if (!noun)
			return without_command(c, argv);
		print_help(c->out, verb && noun_exists(argv[verb]) ? argv[verb] : NULL);
		return ZT_EXIT_OK;
	}
	if (!noun_exists(argv[noun]))
		return usage_error(c, "command", argv[noun], nouns,
				   sizeof(nouns) / sizeof(nouns[0]));
	if (txt_equal(argv[noun], "completion"))
		return completion(c, verb ? argv[verb] : NULL);
	command = find_command(argv[noun], verb ? argv[verb] : NULL);
	if (!command && asks_for_help(argv)) {
		print_help(c->out, argv[noun]);
		return ZT_EXIT_OK;
	}
	if (!command)
		return no_such_verb(c, argv[noun], verb ? argv[verb] : NULL);
	other_words(argv, noun, command->verb ? verb : 0, words, sizeof(words) / sizeof(words[0]));
	return run_command(c, command, words);
}

int main(int argc, char *argv[])
{
	struct ctl c = {.out = stdout, .err = stderr};
	const char *no_color = getenv("NO_COLOR");
	int rc;

	(void)argc;
	/* UTF-8 names are printed as such where the terminal knows it; numbers and dates are not
	 * localised. */
	setlocale(LC_CTYPE, "");
	c.terminal = isatty(STDOUT_FILENO);
	c.colours = c.terminal && !(no_color && *no_color);
	c.progress = isatty(STDERR_FILENO);
	arena_init(&c.arena, RUN_MEMORY_MAX);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	rc = run(&c, argv);
	curl_global_cleanup();
	arena_done(&c.arena);
	if (fflush(stdout) != 0 && rc == ZT_EXIT_OK)
		rc = ZT_EXIT_FAILED;
	return rc;
}
