/* State files in a real directory: no link is followed, a file is old or new and nothing between.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zt/file.h"

struct fixture {
	char path[64];
	int dir;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->path, "/tmp/zt-file-test-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	assert_int_equal(file_open_dir(f->path, false, &f->dir), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"a",     ".a.new", "victim", "link", "fifo",
					    "p/d/x", "p/d",    "p",	 "dir"};
	struct fixture *f = *state;

	for (size_t i = 0; i < N_OF(names); i++)
		if (unlinkat(f->dir, names[i], 0) < 0)
			unlinkat(f->dir, names[i], AT_REMOVEDIR);
	close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

static void check_content(int dir, const char *name, const char *want)
{
	void *p;
	size_t n;

	assert_int_equal(file_read_at(dir, name, 100, &p, &n), 0);
	assert_int_equal(n, strlen(want));
	assert_string_equal(p, want); /* a NUL stands behind it */
	file_wipe(p, n);
}

static mode_t mode_of(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode;
}

static void a_file_is_read_as_it_was_written(void **state)
{
	struct fixture *f = *state;
	void *p;
	size_t n;

	assert_int_equal(file_read_at(f->dir, "a", 100, &p, &n), -ENOENT);
	assert_int_equal(file_write_at(f->dir, "a", "hello", 5, 0600), 0);
	check_content(f->dir, "a", "hello");
	assert_int_equal(file_write_at(f->dir, "a", "", 0, 0600), 0);
	check_content(f->dir, "a", "");
	assert_int_equal(faccessat(f->dir, ".a.new", F_OK, 0), -1);
}

static void a_file_has_its_mode_whatever_the_umask(void **state)
{
	struct fixture *f = *state;
	mode_t before = umask(0);

	assert_int_equal(file_write_at(f->dir, "a", "x", 1, 0600), 0);
	assert_int_equal(mode_of(f->dir, "a") & 07777, 0600);
	umask(0777);
	assert_int_equal(file_write_at(f->dir, "a", "x", 1, 0600), 0);
	assert_int_equal(mode_of(f->dir, "a") & 07777, 0600);
	umask(before);
}

static void a_longer_file_than_expected_is_refused(void **state)
{
	struct fixture *f = *state;
	void *p;
	size_t n;

	assert_int_equal(file_write_at(f->dir, "a", "hello", 5, 0600), 0);
	assert_int_equal(file_read_at(f->dir, "a", 5, &p, &n), 0);
	file_wipe(p, n);
	assert_int_equal(file_read_at(f->dir, "a", 4, &p, &n), -ZT_ELIMIT);
}

static void links_are_not_followed(void **state)
{
	struct fixture *f = *state;
	void *p;
	size_t n;

	assert_int_equal(file_write_at(f->dir, "victim", "precious", 8, 0600), 0);
	assert_int_equal(symlinkat("victim", f->dir, "a"), 0);
	assert_int_equal(file_read_at(f->dir, "a", 100, &p, &n), -ELOOP);
	/* Writing replaces the link, and leaves alone what it points to. */
	assert_int_equal(file_write_at(f->dir, "a", "mine", 4, 0600), 0);
	assert_true(S_ISREG(mode_of(f->dir, "a")));
	check_content(f->dir, "a", "mine");
	check_content(f->dir, "victim", "precious");
	/* So it is with a link where the new file is made. */
	assert_int_equal(symlinkat("victim", f->dir, ".a.new"), 0);
	assert_int_equal(file_write_at(f->dir, "a", "more", 4, 0600), 0);
	check_content(f->dir, "a", "more");
	check_content(f->dir, "victim", "precious");
}

static void only_regular_files_are_read(void **state)
{
	struct fixture *f = *state;
	void *p;
	size_t n;

	assert_int_equal(mkdirat(f->dir, "dir", 0700), 0);
	assert_int_equal(file_read_at(f->dir, "dir", 100, &p, &n), -ZT_ECORRUPT);
	assert_int_equal(mkfifoat(f->dir, "fifo", 0600), 0);
	assert_int_equal(file_read_at(f->dir, "fifo", 100, &p, &n), -ZT_ECORRUPT); /* and no wait */
}

/* Who has the old file open keeps all of it. */
static void a_file_is_replaced_not_written_over(void **state)
{
	struct fixture *f = *state;
	char old[8] = "";
	int fd;

	assert_int_equal(file_write_at(f->dir, "a", "first", 5, 0600), 0);
	fd = openat(f->dir, "a", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write_at(f->dir, "a", "second", 6, 0600), 0);
	assert_int_equal(read(fd, old, sizeof(old)), 5);
	assert_memory_equal(old, "first", 5);
	close(fd);
	check_content(f->dir, "a", "second");
}

/* As on a full disk: the write fails in the middle. */
static void a_write_that_fails_leaves_the_old_file(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small;
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
	int err;

	assert_int_equal(file_write_at(f->dir, "a", "first", 5, 0600), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = file_write_at(f->dir, "a", "second", 6, 0600);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, handler);
	assert_int_equal(err, -EFBIG);
	check_content(f->dir, "a", "first");
	assert_int_equal(faccessat(f->dir, ".a.new", F_OK, 0), -1);
}

static ino_t inode_of(int dir, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_ino;
}

/* What a full disk does not hinder: no other file is made, and this one does not grow. */
static void a_file_is_written_over_in_place(void **state)
{
	struct fixture *f = *state;
	ino_t inode;

	assert_int_equal(file_overwrite_at(f->dir, "a", "hello", 5), -ENOENT);
	assert_int_equal(faccessat(f->dir, "a", F_OK, 0), -1);
	assert_int_equal(file_write_at(f->dir, "a", "hello", 5, 0600), 0);
	inode = inode_of(f->dir, "a");
	assert_int_equal(mkdirat(f->dir, ".a.new", 0700), 0); /* nothing can be written aside */
	assert_int_equal(file_overwrite_at(f->dir, "a", "world", 5), 0);
	check_content(f->dir, "a", "world");
	assert_true(inode_of(f->dir, "a") == inode);
	assert_int_equal(mode_of(f->dir, "a") & 07777, 0600);
}

static void only_a_file_of_that_size_is_written_over(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(file_write_at(f->dir, "a", "hello", 5, 0600), 0);
	assert_int_equal(file_overwrite_at(f->dir, "a", "four", 4), -ZT_ECORRUPT);
	assert_int_equal(file_overwrite_at(f->dir, "a", "sixsix", 6), -ZT_ECORRUPT);
	check_content(f->dir, "a", "hello");
	assert_int_equal(symlinkat("a", f->dir, "link"), 0);
	assert_int_equal(file_overwrite_at(f->dir, "link", "world", 5), -ELOOP);
	check_content(f->dir, "a", "hello");
	assert_int_equal(mkfifoat(f->dir, "fifo", 0600), 0);
	assert_int_equal(file_overwrite_at(f->dir, "fifo", "", 0), -ENXIO); /* and no wait */
}

/* As after kill -9 between writing aside and renaming. */
static void what_a_crash_left_is_no_obstacle(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(file_write_at(f->dir, "a", "first", 5, 0600), 0);
	assert_int_equal(file_write_at(f->dir, ".a.new", "half", 4, 0600), 0);
	check_content(f->dir, "a", "first");
	assert_int_equal(file_write_at(f->dir, "a", "second", 6, 0600), 0);
	check_content(f->dir, "a", "second");
}

static void a_directory_is_made_with_its_parent_for_its_owner_alone(void **state)
{
	struct fixture *f = *state;
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "%s/p/d", f->path);
	assert_int_equal(file_open_dir(path, false, &fd), -ENOENT);
	assert_int_equal(file_open_dir(path, true, &fd), 0);
	assert_int_equal(mode_of(f->dir, "p/d") & 07777, 0700);
	close(fd);
	assert_int_equal(file_open_dir(path, true, &fd), 0); /* there already */
	close(fd);
	snprintf(path, sizeof(path), "%s/p/q/r/s", f->path);
	assert_int_equal(file_open_dir(path, true, &fd), -ENOENT); /* one level of parent */
	assert_int_equal(file_write_at(f->dir, "a", "x", 1, 0600), 0);
	snprintf(path, sizeof(path), "%s/a", f->path);
	assert_int_equal(file_open_dir(path, true, &fd), -ENOTDIR);
}

static void removing_what_is_not_there_is_no_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(file_write_at(f->dir, "a", "x", 1, 0600), 0);
	assert_int_equal(file_remove_at(f->dir, "a"), 0);
	assert_int_equal(file_remove_at(f->dir, "a"), 0);
	assert_int_equal(mkdirat(f->dir, "dir", 0700), 0);
	assert_true(file_remove_at(f->dir, "dir") < 0);
}

static void a_name_that_is_too_long_is_refused(void **state)
{
	struct fixture *f = *state;
	char name[300];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(file_write_at(f->dir, name, "x", 1, 0600), -ENAMETOOLONG);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(a_file_is_read_as_it_was_written),
		in_directory(a_file_has_its_mode_whatever_the_umask),
		in_directory(a_longer_file_than_expected_is_refused),
		in_directory(links_are_not_followed),
		in_directory(only_regular_files_are_read),
		in_directory(a_file_is_replaced_not_written_over),
		in_directory(a_write_that_fails_leaves_the_old_file),
		in_directory(a_file_is_written_over_in_place),
		in_directory(only_a_file_of_that_size_is_written_over),
		in_directory(what_a_crash_left_is_no_obstacle),
		in_directory(a_directory_is_made_with_its_parent_for_its_owner_alone),
		in_directory(removing_what_is_not_there_is_no_error),
		in_directory(a_name_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
