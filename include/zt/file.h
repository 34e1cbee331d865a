/* State files: small, whole, 0600, never followed through links, replaced atomically. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "zt/err.h"

/* Directory handle; made 0700 (with one level of parent) when it is not there and make is set.
 * -errno. */
int file_open_dir(const char *path, bool make, int *ret_fd) ZT_MUST_USE;
/* Whole file of at most max bytes. O_NOFOLLOW, regular files only. -ENOENT, -ZT_ELIMIT, -errno.
 * *ret has a NUL behind it, is malloc'ed, and is the caller's. */
int file_read_at(int dir, const char *name, size_t max, void **ret, size_t *ret_n) ZT_MUST_USE;
/* Write aside, fsync, rename, fsync the directory. */
int file_write_at(int dir, const char *name, const void *p, size_t n, mode_t mode) ZT_MUST_USE;
/* Into a file that is there and has n bytes, in place, and fsync: takes no room, so a full disk
 * does not hinder it. Whole or not only while n bytes are of one sector. -ENOENT, -ZT_ECORRUPT no
 * file, or of another size, -errno. */
int file_overwrite_at(int dir, const char *name, const void *p, size_t n) ZT_MUST_USE;
int file_remove_at(int dir, const char *name) ZT_MUST_USE; /* 0 also when it was not there */
/* wipe and free */
void file_wipe(void *p, size_t n);
