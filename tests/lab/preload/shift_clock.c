/* A preloaded library: the program's clocks are off. $SHIFT_CLOCK is how many seconds the wall
 * clock is, or an absolute path of a file that says it ("WALL BOOT", seconds) and may change
 * meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct shift {
	long wall, boot;
};

static struct shift parse(const char *s)
{
	struct shift r;
	char *end;

	r.wall = strtol(s, &end, 10);
	r.boot = strtol(end, NULL, 10);
	return r;
}

static struct shift read_file(const char *path)
{
	int fd, before = errno;
	char text[64];
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	errno = before;
	text[n < 0 ? 0 : n] = '\0';
	return parse(text);
}

static struct shift shift(void)
{
	const char *s = getenv("SHIFT_CLOCK");

	if (s && s[0] == '/')
		return read_file(s);
	return parse(s ? s : "");
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int err = (int)syscall(SYS_clock_gettime, clock, ret);

	if (err == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += shift().wall;
	else if (err == 0 && clock == CLOCK_BOOTTIME)
		ret->tv_sec += shift().boot;
	return err;
}

/* The program's absolute times are those of its own boot clock. */
int timerfd_settime(int fd, int flags, const struct itimerspec *set, struct itimerspec *ret_old)
{
	struct itimerspec its = *set;

	if (flags & TFD_TIMER_ABSTIME && (its.it_value.tv_sec || its.it_value.tv_nsec)) {
		its.it_value.tv_sec -= shift().boot;
		if (its.it_value.tv_sec < 0)
			its.it_value = (struct timespec){.tv_nsec = 1}; /* past: at once */
	}
	return (int)syscall(SYS_timerfd_settime, fd, flags, &its, ret_old);
}

time_t time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *ret, void *zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	ret->tv_sec = t.tv_sec;
	ret->tv_usec = t.tv_nsec / 1000;
	return 0;
}
