/* Global options and the configuration file. */
#include "ztnode/cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zt/num.h"
#include "zt/txt.h"

static const char default_file[] = "/etc/ztnode/ztnode.ini";
static const char log_variable[] = "ZTNODE_LOG"; /* hands the level down to the roles */

/* --- values --- */

static int set_path(char *dst, size_t size, const char *value, const char *what, struct diag *d)
{
	if (!txt_is_line(value, size - 1))
		return diag_set(d, -EINVAL, "%s must be a path of 1 to %zu bytes", what, size - 1);
	return txt_copy(dst, size, value);
}

static int set_state(struct options *o, const char *value, struct diag *d)
{
	return set_path(o->state, sizeof(o->state), value, "state", d);
}

static int set_run(struct options *o, const char *value, struct diag *d)
{
	return set_path(o->run, sizeof(o->run), value, "run", d);
}

static int set_posture_dir(struct options *o, const char *value, struct diag *d)
{
	return set_path(o->posture_dir, sizeof(o->posture_dir), value, "posture_dir", d);
}

/* Narrower than the kernel's own rule (no '/', ':', white space): the name also stands in messages
 * and in sysctl paths. */
static bool is_interface_name(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > KSTATE_IFNAME_MAX || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]))
			return false;
	return true;
}

static int set_interface(struct options *o, const char *value, struct diag *d)
{
	if (!is_interface_name(value))
		return diag_set(d, -EINVAL,
				"an interface name has 1 to %d letters, digits, '_', '.' or '-'",
				KSTATE_IFNAME_MAX);
	return txt_copy(o->interface, sizeof(o->interface), value);
}

static int set_listen_port(struct options *o, const char *value, struct diag *d)
{
	uint64_t n;

	if (num_parse_u64(value, 1, UINT16_MAX, &n))
		return diag_set(d, -EINVAL, "listen_port must be a number from 1 to 65535");
	o->node.listen_port = (uint16_t)n;
	return 0;
}

static int set_route_metric(struct options *o, const char *value, struct diag *d)
{
	uint64_t n;

	if (num_parse_u64(value, 1, UINT32_MAX, &n))
		return diag_set(d, -EINVAL, "route_metric must be a number from 1 to 4294967295");
	o->node.route_metric = (uint32_t)n;
	return 0;
}

/* "" is a value: the talking role keeps the user who started it. */
static int set_user(struct options *o, const char *value, struct diag *d)
{
	if (value[0] && !txt_is_line(value, OPTIONS_USER_MAX))
		return diag_set(d, -EINVAL, "a user name has at most %d bytes", OPTIONS_USER_MAX);
	return txt_copy(o->user, sizeof(o->user), value);
}

static const struct {
	const char *name;
	enum log_level level;
} log_levels[] = {
	{"error", LOG_LEVEL_ERROR},
	{"warn", LOG_LEVEL_WARN},
	{"info", LOG_LEVEL_INFO},
	{"debug", LOG_LEVEL_DEBUG},
};

static int set_log(struct options *o, const char *value, struct diag *d)
{
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++) {
		if (strcmp(value, log_levels[i].name) == 0) {
			o->log = log_levels[i].level;
			return 0;
		}
	}
	return diag_set(d, -EINVAL, "log must be error, warn, info or debug");
}

/* --- the table --- */

static const struct option_row {
	const char *flag; /* on the command line */
	const char *name; /* in the file */
	int (*set)(struct options *o, const char *value, struct diag *d);
	const char *arg, *help;
} rows[OPTION_COUNT] = {
	[OPTION_STATE] = {"--state", "state", set_state, "DIR",
			  "keys and enrolment (/var/lib/ztnode)"},
	[OPTION_RUN] = {"--run", "run", set_run, "DIR", "the daemon's socket (/run/ztnode)"},
	[OPTION_INTERFACE] = {"--interface", "interface", set_interface, "NAME",
			      "the WireGuard interface (zt0)"},
	[OPTION_LISTEN_PORT] = {"--listen-port", "listen_port", set_listen_port, "PORT",
				"WireGuard's UDP port (51820)"},
	[OPTION_ROUTE_METRIC] = {"--route-metric", "route_metric", set_route_metric, "N",
				 "metric of the routes into the overlay (77)"},
	[OPTION_USER] = {"--user", "user", set_user, "NAME",
			 "who the talking role becomes (ztnode, else nobody)"},
	[OPTION_POSTURE_DIR] = {"--posture-dir", "posture_dir", set_posture_dir, "DIR",
				"custom posture checks (/etc/ztnode/posture.d)"},
	[OPTION_LOG] = {"--log", "log", set_log, "LEVEL",
			"error, warn, info (the default) or debug"},
};

void options_init(struct options *o)
{
	*o = (struct options){
		.log = LOG_LEVEL_INFO,
		.state = "/var/lib/ztnode",
		.run = "/run/ztnode",
		.interface = "zt0",
		.posture_dir = "/etc/ztnode/posture.d",
		.node = {.listen_port = 51820, .route_metric = 77},
	};
	o->node.state_dir = o->state;
	o->node.run_dir = o->run;
	o->node.interface = o->interface;
	o->node.posture_dir = o->posture_dir;
	o->node.user = o->user;
}

/* --- command line --- */

/* Where the value of this flag goes; *ret_inline is the part behind '='. NULL: not a global option
 * with a value. */
static const char **find_flag(struct options *o, const char *word, const char **ret_inline)
{
	size_t n = strcspn(word, "=");

	*ret_inline = word[n] ? word + n + 1 : NULL;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strlen(rows[i].flag) == n && strncmp(word, rows[i].flag, n) == 0)
			return &o->given[i];
	return strncmp(word, "--config", n) == 0 && n == strlen("--config") ? &o->config : NULL;
}

static bool take_switch(struct options *o, const char *word)
{
	const struct {
		const char *word;
		bool *on;
	} switches[] = {{"--json", &o->json},
			{"--help", &o->help},
			{"-h", &o->help},
			{"--version", &o->version}};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		if (strcmp(word, switches[i].word) == 0) {
			*switches[i].on = true;
			return true;
		}
	}
	return false;
}

int options_take(struct options *o, int *argc, char **argv, struct diag *d)
{
	int kept = 1, i;

	for (i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value, **to = find_flag(o, argv[i], &value);

		if (to && !value && i + 1 >= *argc)
			return diag_set(d, -EINVAL, "%s needs a value", argv[i]);
		if (to)
			*to = value ? value : argv[++i];
		else if (!take_switch(o, argv[i]))
			argv[kept++] = argv[i];
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

static int apply_given(struct options *o, struct diag *d)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		int err = o->given[i] ? rows[i].set(o, o->given[i], d) : 0;

		if (err)
			return err;
		o->set[i] |= o->given[i] != NULL;
	}
	return 0;
}

/* --- configuration file --- */

/* inih calls back without saying where it is, and cuts long lines in silence: so its lines are
 * counted and measured here. */
struct reader {
	struct options *o;
	FILE *file;
	unsigned line;
	bool seen[OPTION_COUNT];
	struct diag *d;
	int err;
};

/* what NULL: the value's own message stands already. Returns what inih takes for an error. */
static int fail_at(struct reader *r, const char *what, const char *text)
{
	if (what)
		diag_set(r->d, -EINVAL, "%s \"%s\"", what, text);
	r->d->line = r->line;
	r->err = -EINVAL;
	return 0;
}

/* Ends the file at the first error, so that its message is the one that stays. */
static char *read_line(char *out, int size, void *stream)
{
	struct reader *r = stream;

	if (r->err || !fgets(out, size, r->file))
		return NULL;
	r->line++;
	if (strchr(out, '\n') || feof(r->file))
		return out;
	diag_set(r->d, -EINVAL, "this line is longer than %d bytes", size - 2);
	fail_at(r, NULL, NULL);
	return NULL;
}

static void hint_key(struct diag *d, const char *name)
{
	const char *names[OPTION_COUNT], *near;

	for (size_t i = 0; i < OPTION_COUNT; i++)
		names[i] = rows[i].name;
	near = txt_nearest(name, names, OPTION_COUNT);
	if (near)
		diag_hint(d, "did you mean \"%s\"?", near);
	else
		diag_hint(d, "the keys are state run interface listen_port route_metric user "
			     "posture_dir log");
}

/* inih wants 1 for well, 0 for an error. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	size_t i = 0;

	if (section[0])
		return fail_at(r, "this file has no sections, so no", section);
	while (i < OPTION_COUNT && strcmp(rows[i].name, name) != 0)
		i++;
	if (i == OPTION_COUNT) {
		fail_at(r, "no such key:", name);
		hint_key(r->d, name);
		return 0;
	}
	/* An indented line reads as more of the key above, which no key has. */
	if (r->seen[i])
		return fail_at(r, "a key may stand only once, unindented:", name);
	r->seen[i] = true;
	if (rows[i].set(r->o, value ? value : "", r->d))
		return fail_at(r, NULL, NULL);
	r->o->set[i] = true;
	return 1;
}

int options_read(struct options *o, FILE *f, const char *name, struct diag *d)
{
	struct reader r = {.o = o, .file = f, .d = d};
	int line = ini_parse_stream(read_line, &r, on_key, &r);

	if (!r.err && line != 0) {
		r.err = diag_set(d, -EINVAL, "this is not \"key = value\"");
		d->line = line > 0 ? (unsigned)line : r.line;
	}
	if (!r.err && ferror(f))
		r.err = diag_set(d, -EIO, "cannot read it");
	if (r.err)
		snprintf(d->file, sizeof(d->file), "%s", name);
	return r.err;
}

static int read_file(struct options *o, struct diag *d)
{
	const char *name = o->config ? o->config : default_file;
	FILE *f = fopen(name, "re");
	int err;

	if (!f && errno == ENOENT && !o->config)
		return 0;
	if (!f) {
		err = -errno;
		return diag_set(d, err, "%s: %s", name, zt_strerror(err));
	}
	err = options_read(o, f, name, d);
	fclose(f);
	return err;
}

int options_finish(struct options *o, struct diag *d)
{
	const char *level = getenv(log_variable);
	int err = level ? set_log(o, level, d) : 0;

	if (!err)
		err = read_file(o, d);
	if (!err)
		err = apply_given(o, d);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++)
		if (o->log == log_levels[i].level && setenv(log_variable, log_levels[i].name, 1))
			return diag_set(d, -ENOMEM, "out of memory");
	return 0;
}

int options_finish_role(struct options *o, struct diag *d)
{
	const char *level = getenv(log_variable);

	if (level && set_log(o, level, d))
		return -EINVAL;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (!o->given[i] && i != OPTION_LOG)
			return diag_set(d, -EINVAL, "--role needs %s", rows[i].flag);
	return apply_given(o, d);
}

void options_default_user(struct options *o)
{
	static const char *const names[] = {"ztnode", "nobody"};

	if (o->set[OPTION_USER])
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (getpwnam(names[i])) {
			snprintf(o->user, sizeof(o->user), "%s", names[i]);
			return;
		}
	}
}

/* --- what others print of the table --- */

void options_help(struct buf *out)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		int width = 22 - (int)strlen(rows[i].flag);

		buf_printf(out, "  %s %-*s %s\n", rows[i].flag, width, rows[i].arg, rows[i].help);
	}
	buf_printf(out, "  --config FILE           %s\n", default_file);
	buf_put_text(out, "  --json                  for programs\n"
			  "  --help  --version\n");
}

const char *options_flag(size_t i)
{
	static const char *const others[] = {"--config", "--json", "--help", "--version"};

	if (i < OPTION_COUNT)
		return rows[i].flag;
	i -= OPTION_COUNT;
	return i < sizeof(others) / sizeof(others[0]) ? others[i] : NULL;
}

void options_role_argv(const struct node_config *c, const char *role, struct role_argv *ret)
{
	size_t n = 0;

	snprintf(ret->port, sizeof(ret->port), "%u", c->listen_port);
	snprintf(ret->metric, sizeof(ret->metric), "%u", c->route_metric);

	const char *const values[OPTION_COUNT] = {
		[OPTION_STATE] = c->state_dir,	       [OPTION_RUN] = c->run_dir,
		[OPTION_INTERFACE] = c->interface,     [OPTION_LISTEN_PORT] = ret->port,
		[OPTION_ROUTE_METRIC] = ret->metric,   [OPTION_USER] = c->user,
		[OPTION_POSTURE_DIR] = c->posture_dir,
	};

	ret->argv[n++] = "ztnode";
	ret->argv[n++] = "--role";
	ret->argv[n++] = role;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (values[i]) {
			ret->argv[n++] = rows[i].flag;
			ret->argv[n++] = values[i];
		}
	}
	ret->argv[n] = NULL;
}
