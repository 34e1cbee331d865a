/* Reading below a root directory: the only place of the posture library that opens what it reports
 * of. */
#include "ztnode/posture/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ztnode/posture/process.h"
#include "zt/txt.h"

enum { OPEN_TRIES = 100 };

int source_init(struct source *s, const char *root)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*s = (struct source){.root = fd, .is_machine = txt_equal(root, "/")};
	return 0;
}

void source_done(struct source *s)
{
	source_forget(s);
	if (s->root > 0)
		close(s->root);
	*s = (struct source){0};
}

void source_forget(struct source *s)
{
	process_list_free(s->processes);
	s->processes = NULL;
}

static const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

/* openat2 only for fixtures: in life nothing is outside the root, and the sandbox needs one call
 * less. */
static int open_below(const struct source *s, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)flags, .resolve = RESOLVE_IN_ROOT};
	int fd, tries = 0;

	path = relative(path);
	if (s->is_machine)
		fd = openat(s->root, path, flags);
	else /* EAGAIN: something was renamed meanwhile, and ".." could not be judged (openat2(2))
	      */
		do
			fd = (int)syscall(SYS_openat2, s->root, path, &how, sizeof(how));
		while (fd < 0 && errno == EAGAIN && tries++ < OPEN_TRIES);
	if (fd < 0 && errno == ENOSYS)
		fd = openat(s->root, path, flags);
	return fd < 0 ? -errno : fd;
}

int source_open_path(const struct source *s, const char *path)
{
	return open_below(s, path, O_PATH | O_CLOEXEC);
}

static int check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

int source_open_file(const struct source *s, const char *path)
{
	int fd = open_below(s, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r = fd < 0 ? fd : check_regular(fd);

	if (fd >= 0 && r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* The kind of the file is looked at through a handle that opens nothing. */
int source_open_any_file(const struct source *s, const char *path)
{
	char self[32];
	int handle = source_open_path(s, path);
	int fd = handle < 0 ? handle : check_regular(handle);

	if (fd == 0) {
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", handle);
		fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	if (handle >= 0)
		close(handle);
	return fd;
}

DIR *source_open_dir(const struct source *s, const char *path)
{
	int fd = open_below(s, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

const char *source_next_name(DIR *d)
{
	const struct dirent *e;

	do {
		errno = 0;
		e = readdir(d);
	} while (e && (txt_equal(e->d_name, ".") || txt_equal(e->d_name, "..")));
	return e ? e->d_name : NULL;
}

static int stat_handle(int fd, struct stat *ret)
{
	int r = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0)
		r = -errno;
	close(fd);
	return r;
}

int source_stat(const struct source *s, const char *path, struct stat *ret)
{
	return stat_handle(source_open_path(s, path), ret);
}

static int presence(int r)
{
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? r : 1;
}

int source_exists(const struct source *s, const char *path)
{
	struct stat st;

	return presence(source_stat(s, path, &st));
}

int source_link_exists(const struct source *s, const char *path)
{
	struct stat st;

	return presence(stat_handle(open_below(s, path, O_PATH | O_NOFOLLOW | O_CLOEXEC), &st));
}

/* readlinkat() follows links on its way, so in a fixture it is given no way. */
static ssize_t read_link(const struct source *s, const char *path, char *out, size_t size)
{
	ssize_t n;
	int fd;

	if (s->is_machine) {
		n = readlinkat(s->root, relative(path), out, size);
		return n < 0 ? -errno : n;
	}
	fd = open_below(s, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", out, size);
	if (n < 0)
		n = errno == ENOENT ? -EINVAL : -errno; /* ENOENT is said of what is no link */
	close(fd);
	return n;
}

int source_read_link(const struct source *s, const char *path, char *out, size_t size)
{
	ssize_t n = read_link(s, path, out, size);

	if (n < 0)
		return (int)n;
	if ((size_t)n == size)
		return -ZT_ELIMIT;
	out[n] = '\0';
	return 0;
}

/* Reads until n bytes or the end of the file; returns how many, or -errno. */
static ssize_t read_up_to(int fd, char *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = read(fd, p + have, n - have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		have += (size_t)r;
	}
	return (ssize_t)have;
}

int source_read(const struct source *s, const char *path, char *out, size_t size, size_t *ret_n)
{
	int fd = source_open_file(s, path);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read_up_to(fd, out, size);
	close(fd);
	if (n < 0)
		return (int)n;
	if ((size_t)n == size)
		return -ZT_ELIMIT;
	out[n] = '\0';
	*ret_n = (size_t)n;
	return 0;
}

int source_read_once(const struct source *s, const char *path, char *out, size_t size,
		     size_t *ret_n)
{
	int fd = open_below(s, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, out, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	out[n] = '\0';
	*ret_n = (size_t)n;
	return 0;
}

int source_read_line(const struct source *s, const char *path, char *out, size_t size)
{
	size_t n = 0;
	int r = source_read(s, path, out, size, &n);

	if (r < 0)
		return r;
	if (n && out[n - 1] == '\n')
		out[--n] = '\0';
	return memchr(out, '\0', n) || memchr(out, '\n', n) ? -ZT_EFORM : 0;
}

struct lines {
	char buf[SOURCE_LINE_MAX];
	size_t len;
	bool is_skipping; /* the rest of a line that was too long */
	source_line_fn fn;
	void *arg;
};

static int line_give(struct lines *l, char *start, size_t n)
{
	bool whole = !l->is_skipping && !memchr(start, '\0', n);

	l->is_skipping = false;
	start[n] = '\0';
	return l->fn(l->arg, whole ? start : NULL);
}

/* Gives every complete line of the buffer and keeps the rest. */
static int lines_give(struct lines *l)
{
	char *start = l->buf;
	char *end = l->buf + l->len;
	char *nl;
	int r = 0;

	while (!r && (nl = memchr(start, '\n', (size_t)(end - start)))) {
		r = line_give(l, start, (size_t)(nl - start));
		start = nl + 1;
	}
	l->len = (size_t)(end - start);
	memmove(l->buf, start, l->len);
	if (l->len == sizeof(l->buf) - 1) {
		l->is_skipping = true;
		l->len = 0;
	}
	return r;
}

static int lines_run(struct lines *l, int fd, size_t max)
{
	size_t total = 0;
	int r = 0;

	while (!r) {
		ssize_t n = read_up_to(fd, l->buf + l->len, sizeof(l->buf) - 1 - l->len);

		if (n < 0)
			return (int)n;
		if (n == 0) /* a last line without its end */
			return l->len || l->is_skipping ? line_give(l, l->buf, l->len) : 0;
		total += (size_t)n;
		if (total > max)
			return -ZT_ELIMIT;
		l->len += (size_t)n;
		r = lines_give(l);
	}
	return r;
}

int source_each_line(const struct source *s, const char *path, size_t max, source_line_fn fn,
		     void *arg)
{
	struct lines l = {.fn = fn, .arg = arg};
	int fd = source_open_file(s, path);
	int r;

	if (fd < 0)
		return fd;
	r = lines_run(&l, fd, max);
	close(fd);
	return r < 0 ? r : 0;
}
