/* Running a script: fork and exec with everything taken away, then a pipe and a pidfd in the loop.
 * The pidfd keeps this apart from whoever else waits for children by SIGCHLD. */
#include "ztnode/posture/custom_run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ztnode/posture/custom_parse.h"

enum {
	NOBODY = 65534,
	EXIT_NOT_RUN = 127,
	OUT_FD = 1, /* of the script */
};

struct custom_run {
	custom_run_fn fn;
	void *arg;
	pid_t pid; /* 0: reaped, or never started */
	int pidfd;
	int out;
	struct loop_io *pid_io;
	struct loop_io *out_io;
	struct loop_timer *limit;
	const char *failure; /* why it was killed, else NULL */
	size_t n;
	char text[CUSTOM_OUTPUT_MAX + 1]; /* one more, to see that there is too much */
};

/* --- the child, until it is the script; only what is safe after fork in a threaded process --- */

static void child_reset_signals(void)
{
	sigset_t none;

	for (int signo = 1; signo < NSIG; signo++)
		(void)signal(signo, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool child_take_files(int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(out, OUT_FD) < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		return false;
	return close_range(STDERR_FILENO + 1, ~0U, 0) == 0;
}

/* In life the talking role has no rights to drop; this is for when it is started in another way. */
static bool child_drop_rights(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return false;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
}

static _Noreturn void child(const char *path, int out)
{
	char *const argv[] = {(char *)path, NULL};
	static char *const env[] = {
		(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		(char *)"LC_ALL=C.UTF-8", NULL};

	child_reset_signals();
	(void)setsid();
	if (child_take_files(out) && chdir("/") == 0 && child_drop_rights())
		(void)execve(path, argv, env);
	_exit(EXIT_NOT_RUN);
}

/* --- the parent --- */

/* The whole session; the child alone as well, should it not have come to setsid() yet. Before the
 * child is reaped, because until then its number cannot be another's. */
static void kill_all(const struct custom_run *r)
{
	(void)kill(-r->pid, SIGKILL);
	(void)kill(r->pid, SIGKILL);
}

/* epoll tells of a hang-up whether asked to or not, so after the end the watch itself has to go. */
static void stop_reading(struct custom_run *r)
{
	loop_io_free(r->out_io);
	r->out_io = NULL;
}

static void take_output(struct custom_run *r)
{
	while (r->n < sizeof(r->text)) {
		ssize_t n = read(r->out, r->text + r->n, sizeof(r->text) - r->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			stop_reading(r);
		if (n <= 0)
			return;
		r->n += (size_t)n;
	}
	r->failure = "too much output";
	stop_reading(r);
	kill_all(r);
}

static void out_ready(void *arg, uint32_t events)
{
	(void)events;
	take_output(arg);
}

static const char *judge(const struct custom_run *r, int status)
{
	if (r->failure)
		return r->failure;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_RUN)
		return "the script cannot be run";
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return "the script failed";
	return WIFEXITED(status) ? NULL : "the script was killed";
}

static void ended(void *arg, uint32_t events)
{
	struct custom_run *r = arg;
	int status = -1;

	(void)events;
	kill_all(r);
	if (waitpid(r->pid, &status, WNOHANG) == 0)
		return;
	if (!r->failure)
		take_output(r);
	r->pid = 0;
	stop_reading(r);
	loop_io_free(r->pid_io);
	r->pid_io = NULL;
	loop_timer_set(r->limit, -1);
	r->fn(r->arg, judge(r, status), r->text, r->n);
}

static void over_time(void *arg)
{
	struct custom_run *r = arg;

	if (!r->failure)
		r->failure = "the script took too long";
	kill_all(r);
}

/* Starts the child with the writing end of the pipe; the reading end stays here. */
static int start(struct custom_run *r, const char *path)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r->out = ends[0];
	r->pid = fork();
	if (r->pid == 0)
		child(path, ends[1]);
	close(ends[1]);
	if (r->pid < 0) {
		r->pid = 0;
		return -errno;
	}
	r->pidfd = pidfd_open(r->pid, 0);
	if (r->pidfd < 0 || fcntl(r->out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

struct custom_run *custom_run_new(struct loop *l, const char *path, int64_t limit_ms,
				  custom_run_fn fn, void *arg)
{
	struct custom_run *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return NULL;
	r->fn = fn;
	r->arg = arg;
	r->out = r->pidfd = -1;
	err = start(r, path);
	if (err == 0) {
		r->out_io = loop_io_new(l, r->out, EPOLLIN, out_ready, r);
		r->pid_io = loop_io_new(l, r->pidfd, EPOLLIN, ended, r);
		r->limit = loop_timer_new(l, over_time, r);
		err = r->out_io && r->pid_io && r->limit ? 0 : -ENOMEM;
	}
	if (err < 0) {
		custom_run_free(r);
		errno = -err;
		return NULL;
	}
	loop_timer_set(r->limit, loop_now(l).boot_ms + limit_ms);
	return r;
}

void custom_run_free(struct custom_run *r)
{
	if (!r)
		return;
	if (r->pid > 0) {
		kill_all(r);
		while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	loop_io_free(r->out_io);
	loop_io_free(r->pid_io);
	loop_timer_free(r->limit);
	if (r->out >= 0)
		close(r->out);
	if (r->pidfd >= 0)
		close(r->pidfd);
	free(r);
}
