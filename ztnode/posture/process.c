/* process.running:NAME from /proc: NAME is the kernel's name of a process (at most 15 characters),
 * the last part of its first argument, or of its executable's path (which only its own user and
 * root may see). Zombies do not run. It says that something of this name runs, never that it is the
 * real thing. */
#include "ztnode/posture/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/buf.h"
#include "zt/txt.h"

enum {
	PROCESS_NAMES_MAX = 1 << 20, /* bytes of all names */
	PROCESS_SEEN_MAX = 32768,
};

struct process_list {
	struct buf names; /* each with its NUL */
	unsigned n;
	bool is_partial; /* over a limit: what is not in the list may run all the same */
};

void process_list_free(struct process_list *l)
{
	if (!l)
		return;
	buf_free(&l->names);
	free(l);
}

static void add_name(struct process_list *l, const char *name)
{
	if (*name)
		buf_put(&l->names, name, strlen(name) + 1);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The state is the word after the name in parentheses, which may itself hold any of these
 * characters. */
static bool is_zombie(const struct source *s, const char *pid)
{
	char path[64], text[512];
	const char *end;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "proc/%.20s/stat", pid);
	if (source_read_once(s, path, text, sizeof(text), &n))
		return false;
	end = strrchr(text, ')');
	return end && (txt_starts(end, ") Z") || txt_starts(end, ") X"));
}

/* Only zombies and kernel threads have no arguments, so only for those another file is read. */
static void add_process(struct process_list *l, const struct source *s, const char *pid)
{
	char path[64], text[SOURCE_PATH_MAX];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "proc/%.20s/cmdline", pid);
	if (source_read_once(s, path, text, sizeof(text), &n))
		return;
	if (n == 0 && is_zombie(s, pid))
		return;
	add_name(l, base_name(text));
	(void)snprintf(path, sizeof(path), "proc/%.20s/comm", pid);
	if (!source_read_once(s, path, text, sizeof(text), &n)) {
		text[strcspn(text, "\n")] = '\0';
		add_name(l, text);
	}
	(void)snprintf(path, sizeof(path), "proc/%.20s/exe", pid);
	if (!source_read_link(s, path, text, sizeof(text)))
		add_name(l, base_name(text));
}

static int read_processes(struct process_list *l, const struct source *s)
{
	DIR *d = source_open_dir(s, "proc");
	const char *name;

	if (!d)
		return -errno;
	while (!l->is_partial && (name = source_next_name(d))) {
		if (name[strspn(name, "0123456789")])
			continue;
		l->is_partial = ++l->n > PROCESS_SEEN_MAX;
		add_process(l, s, name);
		l->is_partial |= l->names.err != 0;
	}
	closedir(d);
	return 0;
}

static int list_processes(struct source *s)
{
	struct process_list *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	buf_init_grow(&l->names, PROCESS_NAMES_MAX);
	r = read_processes(l, s);
	if (r < 0)
		process_list_free(l);
	else
		s->processes = l;
	return r;
}

/* Whole names only: one that the kernel cut at 15 characters could be of several programs. */
static bool has_name(const struct process_list *l, const char *name)
{
	const char *names = (const char *)l->names.data;

	for (size_t at = 0; at < l->names.len; at += strlen(names + at) + 1)
		if (txt_equal(names + at, name))
			return true;
	return false;
}

void collect_process_running(struct source *s, const char *argument, struct fact *ret)
{
	int r = s->processes ? 0 : list_processes(s);

	if (!*argument || strchr(argument, '/'))
		fact_set_unknown(ret, "not the name of a process");
	else if (r < 0)
		fact_set_error(ret, "process list", r);
	else if (has_name(s->processes, argument))
		fact_set_bool(ret, true);
	else if (source_exists(s, "proc/1/comm") != 1)
		fact_set_unknown(ret, "processes of others are hidden");
	else if (s->processes->is_partial)
		fact_set_unknown(ret, "too many processes");
	else
		fact_set_bool(ret, false);
}
