/* os.update_age and os.reboot_needed: is the software on this machine, and the kernel it runs, kept
 * up to date?
 *
 * Age: since the package manager last did something towards that, successfully: fetched its lists,
 * ran the automatic upgrade, or changed the set of installed packages. That no update is
 * outstanding is not said: only the package manager could tell, at a cost and with a network.
 *
 * Reboot: where the distribution leaves a mark (Debian, Ubuntu), the mark; else whether the running
 * kernel is still installed and the newest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ztnode/posture/collect.h"
#include "ztnode/posture/fact.h"
#include "zt/limits.h"
#include "zt/txt.h"

/* Files and directories whose time of change is that of an update; all package managers in one
 * list, since of those that a machine has the latest counts. */
static const char *const update_marks[] = {
	"var/lib/apt/periodic/update-success-stamp",
	"var/lib/apt/periodic/unattended-upgrades-stamp",
	"var/lib/apt/lists",
	"var/lib/dpkg/status",
	"var/lib/dnf/history.sqlite",
	"usr/lib/sysimage/libdnf5/transaction_history.sqlite",
	"var/lib/dnf/repos",
	"var/cache/dnf",
	"var/cache/libdnf5",
	"usr/lib/sysimage/rpm/rpmdb.sqlite",
	"var/lib/rpm/rpmdb.sqlite",
	"var/lib/pacman/sync",
	"var/lib/pacman/sync/core.db",
	"var/lib/pacman/local",
};

/* Who makes run/reboot-required after a kernel is installed. */
static const char *const reboot_hooks[] = {
	"etc/kernel/postinst.d/unattended-upgrades",
	"etc/kernel/postinst.d/update-notifier",
};

enum { RELEASE_MAX = 128 };

/* Latest time of change; 0 when there is none of the marks. */
static int latest_update(const struct source *s, int64_t *ret_s)
{
	int64_t latest = 0;
	struct stat st;

	for (size_t i = 0; i < sizeof(update_marks) / sizeof(*update_marks); i++) {
		int r = source_stat(s, update_marks[i], &st);

		if (r == -ENOENT || r == -ENOTDIR)
			continue;
		if (r < 0)
			return r;
		if (st.st_mtim.tv_sec > latest)
			latest = st.st_mtim.tv_sec;
	}
	*ret_s = latest;
	return 0;
}

void collect_os_update_age(struct source *s, const char *argument, struct fact *ret)
{
	int64_t latest = 0;
	int r = latest_update(s, &latest);

	(void)argument;
	if (r < 0)
		fact_set_error(ret, "package manager", r);
	else if (!latest)
		fact_set_unknown(ret, "no package manager");
	else if (latest > s->wall_s + ZT_CLOCK_SKEW_MAX_S)
		fact_set_unknown(ret, "last update is in the future");
	else
		fact_set_u64(ret, latest < s->wall_s ? (uint64_t)(s->wall_s - latest) : 0);
}

static bool has_hook(const struct source *s)
{
	for (size_t i = 0; i < sizeof(reboot_hooks) / sizeof(*reboot_hooks); i++)
		if (source_exists(s, reboot_hooks[i]) == 1)
			return true;
	return false;
}

struct kernels {
	bool has_running;
	bool has_newer;
	unsigned n;
};

static int list_kernels(const struct source *s, const char *running, struct kernels *ret)
{
	DIR *d = source_open_dir(s, "lib/modules");
	const char *name;

	if (!d)
		return -errno;
	while ((name = source_next_name(d))) {
		int order = strverscmp(name, running);

		if (name[0] < '0' || name[0] > '9') /* "extramodules" and the like */
			continue;
		ret->n++;
		ret->has_running |= order == 0;
		ret->has_newer |= order > 0;
	}
	closedir(d);
	return 0;
}

/* Arch keeps different kernels side by side (linux and linux-lts), so a newer one says nothing
 * there, but an upgrade takes the running one away. Elsewhere the running one stays, so that one
 * which is not there was not installed by the distribution, and nothing is known. */
static void judge_kernels(const struct source *s, const struct kernels *k, struct fact *ret)
{
	if (source_exists(s, "var/lib/pacman") == 1)
		fact_set_bool(ret, !k->has_running);
	else if (!k->has_running)
		fact_set_unknown(ret, "the running kernel is not an installed one");
	else
		fact_set_bool(ret, k->has_newer);
}

static void compare_kernels(const struct source *s, struct fact *ret)
{
	char running[RELEASE_MAX];
	struct kernels k = {0};
	int r = source_read_line(s, "proc/sys/kernel/osrelease", running, sizeof(running));

	if (r < 0) {
		fact_set_error(ret, "kernel release", r);
		return;
	}
	r = list_kernels(s, running, &k);
	if (r < 0)
		fact_set_error(ret, "directory of kernels", r);
	else if (!k.n)
		fact_set_unknown(ret, "no kernel is installed here");
	else
		judge_kernels(s, &k, ret);
}

void collect_os_reboot_needed(struct source *s, const char *argument, struct fact *ret)
{
	int mark = source_exists(s, "run/reboot-required");

	(void)argument;
	if (mark == 0)
		mark = source_exists(s, "var/run/reboot-required");
	if (mark || has_hook(s))
		fact_set_answer(ret, "reboot mark", mark);
	else
		compare_kernels(s, ret);
}
