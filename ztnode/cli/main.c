/* ztnode: the table of subcommands, and the way to them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "zt/buf.h"
#include "zt/log.h"
#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/options.h"

enum { HELP_MAX = 64 << 10, COMMANDS_MAX = 32 };

static int cmd_completion(const struct node_config *c, int argc, char **argv);

static const struct command commands[] = {
	{.name = "enroll",
	 .run = cmd_enroll,
	 .starts_roles = true,
	 .words = "TOKEN [--name NAME]",
	 .summary = "make keys and join the network that the token is for",
	 .help = "Makes this device's two keys in the state directory and enrols it with the "
		 "controller\n"
		 "that the token names. It touches no interface; that is for `ztnode run`."},
	{.name = "run",
	 .run = cmd_run,
	 .needs_root = true,
	 .starts_roles = true,
	 .words = "",
	 .summary = "the daemon, in the foreground",
	 .help = "Keeps the kernel as the policy wants it, until SIGTERM. Says READY to systemd.\n"
		 "The tunnels stay when it ends; what they let through ends with the lease."},
	{.name = "role",
	 .run = cmd_role,
	 .starts_roles = true,
	 .words = "kern | net",
	 .summary = "one role of the daemon, for systemd's units",
	 .help = "How ztnode-kern.service and ztnode.service start the privileged and the talking "
		 "role,\n"
		 "each with the listening socket of its .socket unit. By hand: `ztnode run`."},
	{.name = "up",
	 .run = cmd_up,
	 .needs_root = true,
	 .words = "",
	 .summary = "enforce",
	 .help = "Puts the interface, its routes and its filter in place, now and on every start."},
	{.name = "down",
	 .run = cmd_down,
	 .needs_root = true,
	 .words = "",
	 .summary = "take everything out of the kernel; the enrolment stays",
	 .help = "Takes the interface, its routes and its filter away, until `ztnode up`. Works "
		 "without\n"
		 "the daemon too."},
	{.name = "status",
	 .run = cmd_status,
	 .json = true,
	 .words = "[--json]",
	 .summary = "this device, its controller, its lease, its peers",
	 .help = "Shows who this device is, whether the controller is connected, when the lease "
		 "ends,\n"
		 "which posture profiles hold, and every peer and grant with the rule that made "
		 "it."},
	{.name = "why",
	 .run = cmd_why,
	 .json = true,
	 .words = "DEST PROTO/PORT [--json]",
	 .summary = "may this device reach that one, and what would mend it",
	 .help = "DEST is a device, an address or a resource; PROTO/PORT is tcp/5432, udp/53, "
		 "icmp.\n"
		 "Says which rule allows it, or which is nearest and each condition that fails.\n"
		 "Exit status: 0 allowed, 4 denied."},
	{.name = "posture",
	 .run = cmd_posture,
	 .json = true,
	 .words = "[--json]",
	 .summary = "what this device knows about itself, and who asks for it",
	 .help = "Shows every fact with its value and age, and each profile that asks for it with "
		 "the\n"
		 "conditions that fail."},
	{.name = "ping",
	 .run = cmd_ping,
	 .words = "PEER [-c N]",
	 .summary = "echo requests through the overlay, with the path they took",
	 .help = "PEER is a name, an id or an overlay address. Sends N (4) echo requests.\n"
		 "Exit status: 0 answered, 1 no answer, 4 no rule allows it."},
	{.name = "plan",
	 .run = cmd_plan,
	 .json = true,
	 .words = "[--json]",
	 .summary = "what the daemon would change in the kernel now",
	 .help = "Compares what the policy wants with what the kernel has. When all is well there "
		 "is\n"
		 "nothing to change."},
	{.name = "leave",
	 .run = cmd_leave,
	 .needs_root = true,
	 .starts_roles = true,
	 .words = "",
	 .summary = "leave the network: forget keys and enrolment",
	 .help = "Tells the controller, takes everything out of the kernel and removes the keys.\n"
		 "A new token is needed to come back."},
	{.name = "completion",
	 .run = cmd_completion,
	 .words = "bash",
	 .summary = "completion for the shell",
	 .help = "Prints the script: source <(ztnode completion bash)"},
	{.name = NULL},
};

/* --- help --- */

/* Prints what the buffer holds, whole or not at all. */
static int print_out(struct buf *b)
{
	const char *text = buf_text(b);
	int failed = b->err || fputs(text, stdout) < 0 || fflush(stdout) != 0;

	buf_free(b);
	return failed ? ZT_EXIT_FAILED : ZT_EXIT_OK;
}

static int help(void)
{
	struct buf b;

	buf_init_grow(&b, HELP_MAX);
	buf_put_text(&b, "ztnode: this device in a zero trust network\n\n"
			 "usage: ztnode [options] command [arguments]\n\n");
	for (const struct command *c = commands; c->name; c++)
		buf_printf(&b, "  %-11s %s\n", c->name, c->summary);
	buf_put_text(&b, "\noptions, before or after the command:\n");
	options_help(&b);
	buf_put_text(&b,
		     "\nexit status: 0 done, 1 failed, 2 wrong usage, 3 unreachable, 4 denied\n");
	return print_out(&b);
}

static int help_command(const struct command *c)
{
	struct buf b;

	buf_init_grow(&b, HELP_MAX);
	buf_printf(&b, "usage: ztnode %s%s%s\n\n%s\n\nGlobal options: ztnode --help\n", c->name,
		   c->words[0] ? " " : "", c->words, c->help);
	return print_out(&b);
}

static int cmd_completion(const struct node_config *c, int argc, char **argv)
{
	const char *shell;
	struct diag d = {0};
	struct buf b;

	(void)c;
	if (args_parse(argc, argv, NULL, 0, &shell, 1, 1, &d))
		return args_usage(argv[0], &d);
	if (!txt_equal(shell, "bash")) {
		diag_set(&d, -EINVAL, "completion: only for bash");
		return args_usage(argv[0], &d);
	}
	buf_init_grow(&b, HELP_MAX);
	completion_print(commands, &b);
	return print_out(&b);
}

/* --- the way to a command --- */

static int fail(const struct diag *d)
{
	log_diag(d);
	return ZT_EXIT_FAILED;
}

static int init_sodium(void)
{
	struct diag d = {0};

	if (sodium_init() >= 0)
		return ZT_EXIT_OK;
	diag_set(&d, -EIO, "libsodium cannot start");
	return fail(&d);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (txt_equal(c->name, name))
			return c;
	return NULL;
}

static int unknown_command(const char *name)
{
	/* Of the contract, and of a later version. */
	static const char *const later[] = {"netcheck", "rotate", "logout", "bugreport"};
	const char *names[COMMANDS_MAX], *near;
	struct diag d = {0};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		if (txt_equal(name, later[i])) {
			diag_set(&d, -ZT_EREFUSED, "%s is not supported by this version", name);
			return fail(&d);
		}
	}
	while (commands[n].name && n < COMMANDS_MAX) {
		names[n] = commands[n].name;
		n++;
	}
	near = txt_nearest(name, names, n);
	diag_set(&d, -EINVAL, "no command \"%s\"", name);
	if (near)
		diag_hint(&d, "did you mean \"%s\"?", near);
	return args_usage(NULL, &d);
}

/* Last words before the command: what must hold for it. */
static int start(const struct command *c, struct options *o, int argc, char **argv)
{
	struct diag d = {0};
	int err;

	if (o->json && !c->json) {
		diag_set(&d, -EINVAL, "%s: --json is for listings", c->name);
		return args_usage(c->name, &d);
	}
	err = options_finish(o, &d);
	if (err == -EINVAL && !d.file[0])
		return args_usage(NULL, &d);
	if (err)
		return fail(&d);
	log_init("ztnode", o->log);
	if (c->needs_root && geteuid() != 0) {
		diag_set(&d, -EPERM, "%s needs root", c->name);
		diag_hint(&d, "sudo ztnode %s", c->name);
		return fail(&d);
	}
	if (c->starts_roles)
		options_default_user(o);
	return init_sodium() ? ZT_EXIT_FAILED : c->run(&o->node, argc, argv);
}

static int dispatch(struct options *o, int argc, char **argv)
{
	const struct command *c = argc > 1 ? find_command(argv[1]) : NULL;
	struct diag d = {0};

	if (o->version)
		return printf("ztnode %s\n", ZT_VERSION) < 0 ? ZT_EXIT_FAILED : ZT_EXIT_OK;
	if (argc < 2 && o->help)
		return help();
	if (argc < 2) {
		diag_set(&d, -EINVAL, "a command is missing");
		return args_usage(NULL, &d);
	}
	if (!c)
		return unknown_command(argv[1]);
	if (o->help)
		return help_command(c);
	/* --json was taken out wherever it stood, so there is room for one right behind the
	 * command. */
	if (o->json) {
		memmove(argv + 3, argv + 2, (size_t)(argc - 1) * sizeof(*argv));
		argv[2] = "--json";
		argc++;
	}
	return start(c, o, argc - 1, argv + 1);
}

/* --- roles: how `ztnode run` starts its two processes --- */

static bool has_channel(void)
{
	struct stat st;

	return fstat(ROLE_FD, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int run_role(struct options *o, const char *role)
{
	static const struct {
		const char *name, *program;
		int (*run)(const struct node_config *c, int fd);
	} roles[] = {{"kern", "ztnode-kern", kern_role_run}, {"net", "ztnode-net", net_role_run}};
	struct diag d = {0};

	if (options_finish_role(o, &d))
		return args_usage(NULL, &d);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!txt_equal(role, roles[i].name))
			continue;
		log_init(roles[i].program, o->log);
		prctl(PR_SET_NAME, roles[i].program); /* else "exe" */
		return init_sodium() ? ZT_EXIT_FAILED : roles[i].run(&o->node, ROLE_FD);
	}
	diag_set(&d, -EINVAL, "no role \"%s\"", role);
	return args_usage(NULL, &d);
}

int main(int argc, char **argv)
{
	bool is_role = argc > 2 && txt_equal(argv[1], "--role");
	const char *role = is_role ? argv[2] : NULL;
	struct diag d = {0};
	struct options o;

	log_init("ztnode", LOG_LEVEL_INFO);
	options_init(&o);
	if (is_role) {
		argv += 2;
		argc -= 2;
	}
	if (options_take(&o, &argc, argv, &d))
		return args_usage(NULL, &d);
	if (!is_role)
		return dispatch(&o, argc, argv);
	if (argc > 1 || !has_channel()) {
		diag_set(&d, -EINVAL, "--role is how `ztnode run` starts its own processes");
		return args_usage(NULL, &d);
	}
	return run_role(&o, role);
}
