/* service.active:NAME without D-Bus, from what systemd leaves in files: while a unit is not
 * inactive or failed there is a link run/systemd/units/invocation:UNIT, and its processes are in a
 * control group of its name. Active is a unit with the link and with a process; or without one,
 * when its unit file says that it counts as active after its process has ended (RemainAfterExit=),
 * as for nftables or apparmor. So a service that crashes and is waiting for its next start is not
 * active. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/txt.h"

enum {
	SERVICE_NAME_MAX = 128,
	SLICE_DEPTH_MAX = 6,
	SLICES_MAX = 256, /* slices looked into */
};

/* Where control groups v2 are mounted; the second in systemd's hybrid layout. */
static const char *const cgroup_roots[] = {"sys/fs/cgroup", "sys/fs/cgroup/unified"};

/* Of systemd.unit(5), first found counts; the generators' directories are left out. */
static const char *const unit_dirs[] = {
	"etc/systemd/system",	  "run/systemd/system", "usr/local/lib/systemd/system",
	"usr/lib/systemd/system", "lib/systemd/system",
};

struct slices {
	const struct source *s;
	const char *name;
	unsigned n;
};

static int take_event(void *arg, char *line)
{
	int *populated = arg;

	if (line && txt_starts(line, "populated "))
		*populated = txt_equal(line, "populated 1");
	return 0;
}

/* Does the unit have a process, if its control group is in this directory? -ENOENT when it is not.
 */
static int group_populated(const struct source *s, const char *dir, const char *name)
{
	char path[SOURCE_PATH_MAX];
	int populated = 0;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s.service/cgroup.events", dir, name) >=
	    (int)sizeof(path))
		return -ZT_ELIMIT;
	r = source_each_line(s, path, SOURCE_LINE_MAX, take_event, &populated);
	return r < 0 ? r : populated;
}

static bool is_slice(const char *name)
{
	size_t n = strlen(name);

	return n > strlen(".slice") && txt_equal(name + n - strlen(".slice"), ".slice");
}

/* Slices can be anywhere below each other (Slice=), templates have one of their own. Only slices
 * are entered, so that a user's own units, which are below a service, are never taken for the
 * system's. */
static int find_populated(struct slices *q, const char *dir, unsigned depth)
{
	char path[SOURCE_PATH_MAX];
	int r = group_populated(q->s, dir, q->name);
	const char *entry;
	DIR *d;

	if (r != -ENOENT || depth == SLICE_DEPTH_MAX)
		return r;
	d = source_open_dir(q->s, dir);
	if (!d)
		return -errno;
	while (r == -ENOENT && (entry = source_next_name(d))) {
		if (!is_slice(entry))
			continue;
		if (++q->n > SLICES_MAX ||
		    snprintf(path, sizeof(path), "%s/%s", dir, entry) >= (int)sizeof(path))
			r = -ZT_ELIMIT;
		else
			r = find_populated(q, path, depth + 1);
	}
	closedir(d);
	return r;
}

/* 1 it has processes, 0 it has none, -ENOSYS when control groups cannot be seen. */
static int has_process(const struct source *s, const char *name)
{
	char path[64];

	for (size_t i = 0; i < sizeof(cgroup_roots) / sizeof(*cgroup_roots); i++) {
		struct slices q = {.s = s, .name = name};
		int r;

		(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", cgroup_roots[i]);
		if (source_exists(s, path) != 1)
			continue;
		r = find_populated(&q, cgroup_roots[i], 0);
		return r == -ENOENT ? 0 : r;
	}
	return -ENOSYS;
}

static int take_remain(void *arg, char *line)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	int *remains = arg;
	const char *v;

	if (!line || !txt_starts(line, "RemainAfterExit="))
		return 0;
	v = line + strlen("RemainAfterExit=");
	*remains = 0;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		*remains |= txt_equal(v, yes[i]);
	return 0;
}

/* The unit file of an instance "a@b" is "a@.service". */
static void unit_file(const char *name, char out[static SERVICE_NAME_MAX + 16])
{
	const char *at = strchr(name, '@');
	int n = at ? (int)(at + 1 - name) : (int)strlen(name);

	(void)snprintf(out, SERVICE_NAME_MAX + 16, "%.*s.service", n, name);
}

static int remains_after_exit(const struct source *s, const char *name)
{
	char file[SERVICE_NAME_MAX + 16], path[SERVICE_NAME_MAX + 64];
	int remains = 0;
	int r = -ENOENT;

	unit_file(name, file);
	for (size_t i = 0; r == -ENOENT && i < sizeof(unit_dirs) / sizeof(*unit_dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", unit_dirs[i], file);
		r = source_each_line(s, path, SOURCE_FILE_MAX, take_remain, &remains);
	}
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : remains;
}

int service_is_active(const struct source *s, const char *name)
{
	char path[SERVICE_NAME_MAX + 64];
	int r;

	if (source_exists(s, "run/systemd/units") != 1)
		return -ENOSYS;
	(void)snprintf(path, sizeof(path), "run/systemd/units/invocation:%s.service", name);
	r = source_link_exists(s, path);
	if (r != 1)
		return r;
	r = has_process(s, name);
	return r ? r : remains_after_exit(s, name);
}

static bool is_unit_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= SERVICE_NAME_MAX && name[0] != '.' &&
	       strspn(name,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") == n;
}

void collect_service_active(struct source *s, const char *argument, struct fact *ret)
{
	size_t n = strlen(argument);
	int r;

	if (!is_unit_name(argument)) {
		fact_set_unknown(ret, "not the name of a service");
		return;
	}
	if (n > 8 && txt_equal(argument + n - 8, ".service")) {
		fact_set_unknown(ret, "write the name without .service");
		return;
	}
	r = service_is_active(s, argument);
	if (r == -ENOSYS)
		fact_set_unknown(ret, "no systemd that can be seen");
	else
		fact_set_answer(ret, "service", r);
}
