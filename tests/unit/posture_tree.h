/* For the posture tests: a machine's file tree below a temporary directory, for what a committed
 * fixture cannot hold (empty directories, FIFOs, loops, times, junk). Every function fails the test
 * when it cannot do its work. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ztnode/posture/collect.h"

struct tree {
	char root[64];
};

static inline void tree_path(const struct tree *t, const char *path, char out[static 1024])
{
	assert_true(snprintf(out, 1024, "%s/%s", t->root, path) < 1024);
}

/* The directories on the way to a path below the root. */
static inline void tree_parents(const struct tree *t, const char *path)
{
	char full[1024];

	tree_path(t, path, full);
	for (char *p = strchr(full + strlen(t->root) + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(full, 0755);
		*p = '/';
	}
}

static inline void tree_init(struct tree *t)
{
	(void)snprintf(t->root, sizeof(t->root), "/tmp/zt-posture-XXXXXX");
	assert_non_null(mkdtemp(t->root));
	assert_int_equal(chmod(t->root, 0755), 0);
}

static inline int tree_remove_entry(const char *path, const struct stat *st, int kind,
				    struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline void tree_done(struct tree *t)
{
	assert_int_equal(nftw(t->root, tree_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void tree_dir(const struct tree *t, const char *path)
{
	char full[1024];

	tree_parents(t, path);
	tree_path(t, path, full);
	assert_int_equal(mkdir(full, 0755), 0);
}

static inline void tree_bytes(const struct tree *t, const char *path, const void *p, size_t n)
{
	char full[1024];
	int fd;

	tree_parents(t, path);
	tree_path(t, path, full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static inline void tree_file(const struct tree *t, const char *path, const char *text)
{
	tree_bytes(t, path, text, strlen(text));
}

/* Written beside and renamed over, as careful programs do. */
static inline void tree_replace(const struct tree *t, const char *path, const char *text)
{
	char from[1024], to[1024], aside[512];

	assert_true(snprintf(aside, sizeof(aside), "%s.new", path) < (int)sizeof(aside));
	tree_file(t, aside, text);
	tree_path(t, aside, from);
	tree_path(t, path, to);
	assert_int_equal(rename(from, to), 0);
}

static inline void tree_link(const struct tree *t, const char *path, const char *target)
{
	char full[1024];

	tree_parents(t, path);
	tree_path(t, path, full);
	assert_int_equal(symlink(target, full), 0);
}

static inline void tree_remove(const struct tree *t, const char *path)
{
	char full[1024];

	tree_path(t, path, full);
	assert_int_equal(remove(full), 0);
}

static inline void tree_chmod(const struct tree *t, const char *path, mode_t mode)
{
	char full[1024];

	tree_path(t, path, full);
	assert_int_equal(chmod(full, mode), 0);
}

static inline void tree_set_time(const struct tree *t, const char *path, int64_t wall_s)
{
	struct timespec times[2] = {{.tv_sec = wall_s}, {.tv_sec = wall_s}};
	char full[1024];

	tree_path(t, path, full);
	assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
}

/* A fact as read once below a root at a time. */
static inline struct fact tree_read(const char *root, const char *name, int64_t wall_s)
{
	struct fact f = {0};
	struct source s;

	assert_true(strlen(name) <= ZT_FACT_NAME_MAX);
	memcpy(f.name, name, strlen(name));
	assert_int_equal(source_init(&s, root), 0);
	s.wall_s = wall_s;
	collect_read(&s, &f);
	source_done(&s);
	return f;
}

/* value: of a fact that is known; "?..." is one that is unknown, and why. */
static inline void tree_expect(const char *root, const char *name, const char *value,
			       const char *says)
{
	struct fact f = tree_read(root, name, 0);
	bool unknown = value[0] == '?';

	if (f.state == (unknown ? FACT_UNKNOWN : FACT_KNOWN) && !strcmp(f.value, value + unknown))
		return;
	fail_msg("%s: %s: %s is %s \"%s\", not \"%s\"", says, root, name,
		 f.state == FACT_KNOWN ? "known" : "unknown", f.value, value + unknown);
}
