/* inotify for paths that come and go. Watches are put on what a handle (O_PATH) leads to, so that a
 * path is resolved by the same rules as when it is read. */
#include "ztnode/posture/watch.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "zt/txt.h"

enum {
	WATCH_LEVELS_MAX = 32,	/* parts of a path */
	WATCH_PATHS_MAX = 1024, /* = ZT_FACTS_MAX * COLLECT_PATHS_MAX */
	WATCH_NONE = -1,
};

/* Of a directory its entries and its own access and place count, not what is written to the files
 * in it: those that matter are watched themselves. */
enum {
	WATCH_SELF = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
	WATCH_DIR = WATCH_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
	WATCH_FILE = WATCH_SELF | IN_MODIFY | IN_CLOSE_WRITE,
};

struct watched_path {
	char *path; /* below the root, no empty parts */
	size_t id;
	unsigned n;		      /* parts of the path */
	int wd[WATCH_LEVELS_MAX + 1]; /* wd[i]: what the first i parts lead to, or WATCH_NONE */
	const char *part[WATCH_LEVELS_MAX]; /* part[i] is looked for in wd[i]; ends at '/' or NUL */
};

struct watch {
	struct loop *loop;
	const struct source *source;
	watch_fn fn;
	void *arg;
	int fd;
	struct loop_io *io;
	struct watched_path *paths;
	size_t n_paths, cap_paths;
};

static size_t part_length(const char *part)
{
	return strcspn(part, "/");
}

/* "//etc//x/" -> "etc/x" */
static char *tidy(const char *path)
{
	char *out = malloc(strlen(path) + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	for (; *path; path++)
		if (*path != '/' || (n && out[n - 1] != '/'))
			out[n++] = *path;
	if (n && out[n - 1] == '/')
		n--;
	out[n] = '\0';
	return out;
}

static int split(struct watched_path *p)
{
	const char *s = p->path;

	while (*s) {
		if (p->n == WATCH_LEVELS_MAX)
			return -ZT_ELIMIT;
		p->part[p->n++] = s;
		s += part_length(s);
		s += *s == '/';
	}
	return 0;
}

/* File systems whose changes do not come from calls on this machine, and so are not told. */
static bool is_mute(int handle)
{
	static const unsigned long mute[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,	    NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,
		CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, V9FS_MAGIC,
		AFS_FS_MAGIC,	  CEPH_SUPER_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(handle, &fs) < 0)
		return true;
	for (size_t i = 0; i < sizeof(mute) / sizeof(*mute); i++)
		if ((unsigned long)fs.f_type == mute[i])
			return true;
	return false;
}

static int add_handle(const struct watch *w, int handle)
{
	char self[32];
	struct stat st;
	int wd;

	if (fstat(handle, &st) < 0)
		return -errno;
	if (is_mute(handle))
		return -EOPNOTSUPP;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", handle);
	wd = inotify_add_watch(w->fd, self, S_ISDIR(st.st_mode) ? WATCH_DIR : WATCH_FILE);
	return wd < 0 ? -errno : wd;
}

/* Watch what the first level parts of the path lead to. */
static int add_level(const struct watch *w, const struct watched_path *p, unsigned level)
{
	char prefix[SOURCE_PATH_MAX];
	size_t n = 0;
	int handle, r;

	if (level)
		n = (size_t)(p->part[level - 1] - p->path) + part_length(p->part[level - 1]);
	if (n >= sizeof(prefix))
		return -ENAMETOOLONG;
	memcpy(prefix, p->path, n);
	prefix[n] = '\0';
	handle = source_open_path(w->source, prefix);
	if (handle < 0)
		return handle;
	r = add_handle(w, handle);
	close(handle);
	return r;
}

/* The end of a path that may not be read cannot be watched, but all that can happen to its name
 * can. */
static bool is_harmless(int err, bool is_last)
{
	return err == -ENOENT || err == -ENOTDIR || (is_last && err == -EACCES);
}

static int arm(const struct watch *w, struct watched_path *p)
{
	int r = 0;

	for (unsigned i = 0; i <= p->n; i++)
		p->wd[i] = WATCH_NONE;
	for (unsigned i = 0; i <= p->n; i++) {
		r = add_level(w, p, i);
		if (r < 0)
			return is_harmless(r, i == p->n) ? 0 : r;
		p->wd[i] = r;
	}
	return 0;
}

static bool is_used(const struct watch *w, int wd)
{
	for (size_t i = 0; i < w->n_paths; i++)
		for (unsigned level = 0; level <= w->paths[i].n; level++)
			if (w->paths[i].wd[level] == wd)
				return true;
	return false;
}

/* The path may lead elsewhere now. New watches first, so that nothing happens unseen in between; an
 * error here is as good as no watch, and the full round comes. */
static void rearm(const struct watch *w, struct watched_path *p)
{
	int old[WATCH_LEVELS_MAX + 1];

	memcpy(old, p->wd, sizeof(old));
	(void)arm(w, p);
	for (unsigned i = 0; i <= p->n; i++)
		if (old[i] != WATCH_NONE && !is_used(w, old[i]))
			(void)inotify_rm_watch(w->fd, old[i]);
}

/* Is the event about this path: about an object on its way, its next part, or anything in the
 * directory it is? */
static bool concerns(const struct watched_path *p, const struct inotify_event *e)
{
	for (unsigned i = 0; i <= p->n; i++) {
		size_t n;

		if (p->wd[i] != e->wd)
			continue;
		if (!e->len || i == p->n)
			return true;
		n = part_length(p->part[i]);
		if (strncmp(e->name, p->part[i], n) == 0 && !e->name[n])
			return true;
	}
	return false;
}

static void take_event(struct watch *w, const struct inotify_event *e)
{
	bool all = e->mask & IN_Q_OVERFLOW;

	if (e->mask &
	    IN_IGNORED) /* the last word on a watch that is gone; what ended it was told before */
		return;
	for (size_t i = 0; i < w->n_paths; i++) {
		struct watched_path *p = &w->paths[i];

		if (!all && !concerns(p, e))
			continue;
		if (all || !(e->mask & (IN_MODIFY | IN_CLOSE_WRITE)))
			rearm(w, p);
		w->fn(w->arg, p->id);
	}
}

static void ready(void *arg, uint32_t events)
{
	struct watch *w = arg;
	_Alignas(struct inotify_event) char buf[16 << 10];
	ssize_t n = read(w->fd, buf, sizeof(buf));

	(void)events;
	for (ssize_t at = 0; at < n;) {
		/* The kernel gives whole events, aligned, and the size of each. */
		const struct inotify_event *e = (const void *)(buf + at);

		take_event(w, e);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
}

struct watch *watch_new(struct loop *l, const struct source *s, watch_fn fn, void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct watch){.loop = l, .source = s, .fn = fn, .arg = arg};
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd >= 0)
		w->io = loop_io_new(l, w->fd, EPOLLIN, ready, w);
	if (!w->io) {
		watch_free(w);
		return NULL;
	}
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	loop_io_free(w->io);
	if (w->fd >= 0)
		close(w->fd);
	for (size_t i = 0; i < w->n_paths; i++)
		free(w->paths[i].path);
	free(w->paths);
	free(w);
}

static int make_room(struct watch *w)
{
	size_t cap = w->cap_paths ? 2 * w->cap_paths : 16;
	struct watched_path *paths;

	if (w->n_paths < w->cap_paths)
		return 0;
	if (w->n_paths == WATCH_PATHS_MAX)
		return -ZT_ELIMIT;
	paths = reallocarray(w->paths, cap, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	w->paths = paths;
	w->cap_paths = cap;
	return 0;
}

int watch_add(struct watch *w, const char *path, size_t id)
{
	struct watched_path p = {.id = id};
	int r = make_room(w);

	if (r < 0)
		return r;
	p.path = tidy(path);
	if (!p.path)
		return -ENOMEM;
	r = split(&p);
	if (r < 0) {
		free(p.path);
		return r;
	}
	r = arm(w, &p);
	w->paths[w->n_paths++] = p;
	return r;
}
