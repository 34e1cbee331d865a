/* The directory of posture scripts: which may run, when, and what the last run of each said. */
#include "ztnode/posture/custom.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ztnode/posture/custom_parse.h"
#include "ztnode/posture/custom_run.h"
#include "ztnode/posture/fact.h"
#include "zt/log.h"
#include "zt/txt.h"

enum { WHY_MAX = 160 };

struct script {
	struct script *next;
	struct custom *of;
	char name[NAME_MAX + 1];
	bool is_listed; /* found by the last look into the directory */
	bool is_due;	/* waits for its turn */
	struct custom_run *run;
	struct custom_fact *facts; /* of the last run that was good, or NULL */
	size_t n_facts;
	char why[WHY_MAX]; /* they are unknown since; "" after a good run */
	int64_t read_ms;   /* end of the last run; -1 there was none */
};

struct custom {
	struct loop *loop;
	char *dir;
	uid_t owner;
	void (*changed)(void *arg);
	void *arg;
	struct loop_timer *timer;
	struct script *scripts;
	unsigned n_scripts, n_running;
	char why[WHY_MAX]; /* nothing of the directory is used; "" when it is */
	bool is_on;
	bool is_crowded;   /* there are more than CUSTOM_SCRIPTS_MAX */
	int64_t looked_ms; /* last look into the directory; -1 there was none */
};

/* Said once, not every minute. */
static void set_why(char why[static WHY_MAX], const char *new, const char *who)
{
	if (txt_equal(why, new))
		return;
	(void)snprintf(why, WHY_MAX, "%s", new);
	if (*new)
		log_warn("posture scripts, %s: %s", who, new);
}

/* --- results --- */

static void script_done(void *arg, const char *failure, const char *out, size_t n);

static void script_fail(struct script *s, const char *why)
{
	set_why(s->why, why, s->name);
	s->read_ms = loop_now(s->of->loop).boot_ms;
}

static void script_accept(struct script *s, const char *out, size_t n)
{
	struct custom_fact *facts = calloc(CUSTOM_FACTS_MAX, sizeof(*facts));
	struct diag d = {0};
	size_t n_facts = 0;

	if (!facts || custom_parse(out, n, facts, &n_facts, &d)) {
		free(facts);
		script_fail(s, facts ? d.message : "out of memory");
		return;
	}
	free(s->facts);
	s->facts = facts;
	s->n_facts = n_facts;
	set_why(s->why, "", s->name);
	s->read_ms = loop_now(s->of->loop).boot_ms;
}

static void script_free(struct script *s)
{
	s->of->n_scripts--;
	s->of->n_running -= s->run != NULL;
	custom_run_free(s->run);
	free(s->facts);
	free(s);
}

/* --- running --- */

static void script_start(struct script *s)
{
	char path[PATH_MAX];

	s->is_due = false;
	if (snprintf(path, sizeof(path), "%s/%s", s->of->dir, s->name) < (int)sizeof(path))
		s->run = custom_run_new(s->of->loop, path, CUSTOM_TIME_MS, script_done, s);
	if (s->run)
		s->of->n_running++;
	else
		script_fail(s, "the script cannot be started");
}

static void start_due(struct custom *c)
{
	for (struct script *s = c->scripts; s && c->n_running < CUSTOM_PARALLEL; s = s->next)
		if (s->is_due)
			script_start(s);
}

static void script_done(void *arg, const char *failure, const char *out, size_t n)
{
	struct script *s = arg;
	struct custom *c = s->of;

	if (failure)
		script_fail(s, failure);
	else
		script_accept(s, out, n);
	custom_run_free(s->run);
	s->run = NULL;
	c->n_running--;
	start_due(c);
	c->changed(c->arg);
}

/* --- the directory --- */

/* Only the owner may be able to change what runs. */
static const char *fault(const struct custom *c, const struct stat *st)
{
	if (st->st_uid != c->owner)
		return c->owner ? "not owned by this user" : "not owned by root";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "others than its owner can write it";
	return NULL;
}

/* As run-parts(8): no hidden files, backups or what a package manager left. */
static bool is_script_name(const char *name)
{
	return name[0] != '.' && name[0] != '-' &&
	       !name[strspn(name,
			    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

static struct script *script_find(struct custom *c, const char *name)
{
	struct script *s = c->scripts;

	while (s && !txt_equal(s->name, name))
		s = s->next;
	return s;
}

/* The script of this name, made when it is new; NULL when there are too many. */
static struct script *script_get(struct custom *c, const char *name)
{
	struct script *s = script_find(c, name);

	if (s)
		return s;
	if (c->n_scripts == CUSTOM_SCRIPTS_MAX)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (txt_copy(s->name, sizeof(s->name), name)) {
		free(s);
		return NULL;
	}
	s->of = c;
	s->read_ms = -1;
	s->next = c->scripts;
	c->scripts = s;
	c->n_scripts++;
	return s;
}

static void list_entry(struct custom *c, int dir, const char *name)
{
	const char *wrong;
	struct stat st;
	struct script *s;

	if (!is_script_name(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	s = script_get(c, name);
	if (!s) {
		c->is_crowded = true;
		return;
	}
	s->is_listed = true;
	wrong = S_ISREG(st.st_mode) ? fault(c, &st) : "not a regular file";
	if (!wrong && !(st.st_mode & S_IXUSR))
		wrong = "not executable";
	if (wrong)
		script_fail(s, wrong);
	else if (!s->run)
		s->is_due = true;
}

static void forget_unlisted(struct custom *c)
{
	struct script **at = &c->scripts;

	while (*at) {
		struct script *s = *at;

		if (s->is_listed) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		script_free(s);
	}
}

/* An absent directory is the usual case: nothing to run, and nothing to say. */
static void list_scripts(struct custom *c)
{
	int fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const char *wrong = NULL;
	const struct dirent *e;
	struct stat st;

	if (!d) {
		set_why(c->why, fd < 0 && errno == ENOENT ? "" : "the directory cannot be read",
			c->dir);
		if (fd >= 0)
			close(fd);
		return;
	}
	wrong = fstat(fd, &st) < 0 ? "the directory cannot be read" : fault(c, &st);
	while (!wrong && (e = readdir(d)))
		list_entry(c, fd, e->d_name);
	closedir(d);
	if (c->is_crowded)
		wrong = "too many scripts, some do not run";
	set_why(c->why, wrong ? wrong : "", c->dir);
}

static void look(struct custom *c)
{
	c->looked_ms = loop_now(c->loop).boot_ms;
	c->is_crowded = false;
	for (struct script *s = c->scripts; s; s = s->next)
		s->is_listed = s->is_due = false;
	list_scripts(c);
	forget_unlisted(c);
	start_due(c);
}

static void tick(void *arg)
{
	struct custom *c = arg;

	look(c);
	loop_timer_set(c->timer, c->looked_ms + CUSTOM_INTERVAL_MS);
	c->changed(c->arg);
}

/* --- public --- */

struct custom *custom_new(struct loop *l, const char *dir, uid_t owner, void (*changed)(void *arg),
			  void *arg)
{
	struct custom *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct custom){.loop = l, .owner = owner, .changed = changed, .arg = arg};
	c->looked_ms = -1;
	c->dir = strdup(dir);
	c->timer = loop_timer_new(l, tick, c);
	if (!c->dir || !c->timer) {
		custom_free(c);
		return NULL;
	}
	return c;
}

void custom_free(struct custom *c)
{
	if (!c)
		return;
	while (c->scripts) {
		struct script *s = c->scripts;

		c->scripts = s->next;
		script_free(s);
	}
	loop_timer_free(c->timer);
	free(c->dir);
	free(c);
}

void custom_switch(struct custom *c, bool on)
{
	if (c->is_on == on)
		return;
	c->is_on = on;
	loop_timer_set(c->timer, on ? loop_now(c->loop).boot_ms : -1);
}

static const struct custom_fact *script_fact(const struct script *s, const char *name)
{
	for (size_t i = 0; i < s->n_facts; i++)
		if (txt_equal(s->facts[i].name, name))
			return &s->facts[i];
	return NULL;
}

/* Why nobody gives a fact: the directory, a script that has not ended yet, or nobody does. */
static const char *why_none(const struct custom *c)
{
	if (*c->why)
		return c->why;
	if (c->looked_ms < 0)
		return "not run yet";
	for (const struct script *s = c->scripts; s; s = s->next)
		if (s->read_ms < 0)
			return "not run yet";
	return "no script gives it";
}

/* Two scripts that give the same fact are a mistake that nobody here can settle. */
int64_t custom_read(const struct custom *c, const char *name, struct fact *ret)
{
	const struct script *giver = NULL;
	const struct custom_fact *f = NULL;
	unsigned givers = 0;

	for (const struct script *s = c->scripts; s; s = s->next) {
		const struct custom_fact *mine = script_fact(s, name);

		if (!mine)
			continue;
		giver = s;
		f = mine;
		givers++;
	}
	if (!givers)
		fact_set_unknown(ret, why_none(c));
	else if (givers > 1)
		fact_set_unknown(ret, "given by two scripts");
	else if (*giver->why)
		fact_set_unknown(ret, giver->why);
	else
		fact_set_text(ret, f->value);
	return giver ? giver->read_ms : c->looked_ms;
}
