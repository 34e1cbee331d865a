/* Where the collectors read: every path is taken below one root directory, "/" in life and a
 * fixture in tests. Nothing leads out of a fixture (openat2 RESOLVE_IN_ROOT). Reads are bounded and
 * never block on a FIFO or wake a device: only regular files are opened. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "zt/err.h"

struct process_list;

struct source {
	int root;	 /* directory handle, owned */
	bool is_machine; /* root is "/": system calls about this machine may be asked too */
	int64_t wall_s;	 /* now, Unix seconds; set by the caller before reading */
	struct process_list *processes; /* read once for many facts; dropped by source_forget */
};

enum {
	SOURCE_PATH_MAX = 4096,
	SOURCE_LINE_MAX = 16 << 10, /* a longer line cannot be read */
	SOURCE_FILE_MAX = 1 << 20,  /* bytes of a file of settings */
	SOURCE_BIG_MAX = 64 << 20,  /* bytes of a file read line by line: package list, mounts */
};

int source_init(struct source *s, const char *root) ZT_MUST_USE; /* errno of the root directory */
void source_done(struct source *s);				 /* a zeroed one too */
void source_forget(struct source *s);				 /* what was kept for many facts */

/* A handle on anything at the path, links followed (O_PATH). -errno. */
int source_open_path(const struct source *s, const char *path) ZT_MUST_USE;
/* A regular file for reading. -EINVAL when it is something else, else -errno. The second one is for
 * paths from outside: opening a device can do something (rewind a tape, start a watchdog), so it
 * never opens one. */
int source_open_file(const struct source *s, const char *path) ZT_MUST_USE;
int source_open_any_file(const struct source *s, const char *path) ZT_MUST_USE;
/* A directory; NULL with errno set. */
DIR *source_open_dir(const struct source *s, const char *path);
/* Names in the directory one after the other, without "." and ".."; NULL at its end (errno 0) or on
 * an error. */
const char *source_next_name(DIR *d);

int source_stat(const struct source *s, const char *path, struct stat *ret) ZT_MUST_USE;
/* Is there anything at the path? 1, 0, or -errno when that cannot be known. A dangling link counts
 * as nothing, unless it is the link itself that is asked for. */
int source_exists(const struct source *s, const char *path) ZT_MUST_USE;
int source_link_exists(const struct source *s, const char *path) ZT_MUST_USE;
/* What a symbolic link says. -ZT_ELIMIT when out is too small, else -errno. */
int source_read_link(const struct source *s, const char *path, char *out, size_t size) ZT_MUST_USE;

/* The whole file, NUL-terminated. More than size - 1 bytes: -ZT_ELIMIT. */
int source_read(const struct source *s, const char *path, char *out, size_t size,
		size_t *ret_n) ZT_MUST_USE;
/* What one read of at most size - 1 bytes gives: for the many small files of proc, with as few
 * calls as can be. */
int source_read_once(const struct source *s, const char *path, char *out, size_t size,
		     size_t *ret_n) ZT_MUST_USE;
/* A file of one line, without its line end. -ZT_EFORM when it holds more, or NUL bytes. */
int source_read_line(const struct source *s, const char *path, char *out, size_t size) ZT_MUST_USE;

/* fn is given each line without its end; NULL for a line that is too long or holds NUL bytes. It
 * returns 0 to go on, 1 to stop, or a negative error. More than max bytes: -ZT_ELIMIT. */
typedef int (*source_line_fn)(void *arg, char *line);
int source_each_line(const struct source *s, const char *path, size_t max, source_line_fn fn,
		     void *arg) ZT_MUST_USE;
