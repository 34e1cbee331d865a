/* Opening below a root while others rename: openat2(2) says EAGAIN when it could not judge "..",
 * and is asked again, so often and no more. The kernel's answer is put in here. */
#include "tests/unit/unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ztnode/posture/source.h"

enum { TRIES = 101, FOR_EVER = 1 << 30 };

static struct {
	int refusals; /* still to come */
	int err;      /* what they say */
	int asked;
} kernel;

/* In libc's place: openat2 has no function of its own there. */
long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long a[4];
	va_list ap;

	va_start(ap, number);
	for (size_t i = 0; i < N_OF(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (number != SYS_openat2)
		return real(number, a[0], a[1], a[2], a[3]);
	kernel.asked++;
	if (kernel.refusals == 0)
		return real(number, a[0], a[1], a[2], a[3]);
	kernel.refusals--;
	errno = kernel.err;
	return -1;
}

static const struct {
	const char *says, *path;
	int refusals, err;
	int want, asked; /* 0: opened */
} rows[] = {
	{"nobody renames", "file", 0, 0, 0, 1},
	{"once a rename got in the way", "file", 1, EAGAIN, 0, 2},
	{"again and again, but not the last time", "file", TRIES - 1, EAGAIN, 0, TRIES},
	{"for ever: it is given up, not waited for", "file", FOR_EVER, EAGAIN, -EAGAIN, TRIES},
	{"what is not there is asked for once", "nothing", 0, 0, -ENOENT, 1},
	{"not there any more after a rename", "nothing", 3, EAGAIN, -ENOENT, 4},
	{"another refusal is an answer", "file", FOR_EVER, EACCES, -EACCES, 1},
	{"the root has a way out in a link: it stays inside", "out", 2, EAGAIN, 0, 3},
};

static void a_rename_is_waited_out(void **state)
{
	char root[] = "/tmp/zt-source-test-XXXXXX";
	struct source s;
	int dir, fd;

	(void)state;
	assert_non_null(mkdtemp(root));
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	close(openat(dir, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(symlinkat("../../../file", dir, "out"), 0);
	assert_int_equal(source_init(&s, root), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		kernel.refusals = rows[i].refusals;
		kernel.err = rows[i].err;
		kernel.asked = 0;
		fd = source_open_file(&s, rows[i].path);
		row_check(rows[i].says, rows[i].want ? fd == rows[i].want : fd >= 0);
		row_check(rows[i].says, kernel.asked == rows[i].asked);
		if (fd >= 0)
			close(fd);
	}
	kernel.refusals = 0;
	source_done(&s);
	unlinkat(dir, "file", 0);
	unlinkat(dir, "out", 0);
	close(dir);
	assert_int_equal(rmdir(root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rename_is_waited_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
