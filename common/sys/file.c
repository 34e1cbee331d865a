/* State files below a directory handle: openat(2) with O_NOFOLLOW, written aside, renamed. */
#include "zt/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_dir(const char *path)
{
	char parent[4096];
	const char *slash = strrchr(path, '/');

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || !slash || slash == path || (size_t)(slash - path) >= sizeof(parent))
		return -errno;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = 0;
	if (mkdir(parent, 0755) < 0 || mkdir(path, 0700) < 0)
		return -errno;
	return 0;
}

int file_open_dir(const char *path, bool make, int *ret_fd)
{
	int fd, err;

	if (make && (err = make_dir(path)) < 0)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int read_all(int fd, uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, p + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ZT_ECORRUPT; /* shorter than fstat said */
		done += (size_t)r;
	}
	return 0;
}

int file_read_at(int dir, const char *name, size_t max, void **ret, size_t *ret_n)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	uint8_t *p = NULL;
	int err;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) < 0 ? -errno : 0;
	if (!err && !S_ISREG(st.st_mode))
		err = -ZT_ECORRUPT;
	if (!err && (size_t)st.st_size > max)
		err = -ZT_ELIMIT;
	if (!err && !(p = malloc((size_t)st.st_size + 1)))
		err = -ENOMEM;
	if (!err)
		err = read_all(fd, p, (size_t)st.st_size);
	close(fd);
	if (err) {
		free(p);
		return err;
	}
	p[st.st_size] = 0;
	*ret = p;
	*ret_n = (size_t)st.st_size;
	return 0;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int file_write_at(int dir, const char *name, const void *p, size_t n, mode_t mode)
{
	char aside[256];
	int fd, err;

	if (snprintf(aside, sizeof(aside), ".%s.new", name) >= (int)sizeof(aside))
		return -ENAMETOOLONG;
	if (unlinkat(dir, aside, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	err = fchmod(fd, mode) < 0 ? -errno : 0; /* whatever the umask says */
	if (!err)
		err = write_all(fd, p, n);
	close(fd);
	if (!err && renameat(dir, aside, dir, name) < 0)
		err = -errno;
	if (err) {
		unlinkat(dir, aside, 0);
		return err;
	}
	return fsync(dir) < 0 ? -errno : 0;
}

static int check_size(int fd, size_t n)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (size_t)st.st_size == n ? 0 : -ZT_ECORRUPT;
}

int file_overwrite_at(int dir, const char *name, const void *p, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	err = check_size(fd, n);
	if (!err)
		err = write_all(fd, p, n);
	close(fd);
	return err;
}

int file_remove_at(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

void file_wipe(void *p, size_t n)
{
	if (p)
		sodium_memzero(p, n);
	free(p);
}
