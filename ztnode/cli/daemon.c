/* ztnode run: starts the two roles and waits. Does nothing else: no logic, no parsing; the roles
 * are this program again with --role. They live and die together: when one ends, the other is ended
 * and both start anew, while the kernel keeps what it has. Under systemd the units do the same
 * without this process, and without its rights (activated.c). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zt/clock.h"
#include "zt/ipc.h"
#include "zt/log.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/role.h"
#include "ztnode/kern/state.h"

enum { BACKLOG = 16, GRACE_MS = 3000, YOUNG_MS = 5000, RESTART_MS = 500 };

struct supervisor {
	const struct node_config *config;
	int lock, control;
	sigset_t signals;
	pid_t pid[ROLES];
	bool stopping;
	bool ending; /* the roles: their ends are no news */
};

/* --- the socket of the command line, made while we are root --- */

static bool someone_listens(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

/* Root talks; the group of the talking role's user may look (control.c keeps changing verbs for
 * root). */
static int give_to_group(const char *path, const char *user)
{
	struct passwd *pw = user[0] ? getpwnam(user) : NULL;

	if (chmod(path, 0660) < 0 ||
	    (pw && strcmp(user, "nobody") != 0 && chown(path, 0, pw->pw_gid) < 0))
		return -errno;
	return 0;
}

static int listen_control(const struct node_config *c, int *ret_fd, struct diag *d)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	if (mkdir(c->run_dir, 0755) < 0 && errno != EEXIST)
		return diag_set(d, -errno, "cannot make %s: %s", c->run_dir, zt_strerror(errno));
	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control.sock", c->run_dir) >=
	    (int)sizeof(sa.sun_path))
		return diag_set(d, -ENAMETOOLONG, "%s: the path is too long", c->run_dir);
	if (someone_listens(&sa)) {
		diag_set(d, -EADDRINUSE, "a daemon runs already with %s", c->run_dir);
		diag_hint(d, "stop it (systemctl stop ztnode), or choose other --state, --run and "
			     "--interface");
		return -EADDRINUSE;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(sa.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0 ||
	    give_to_group(sa.sun_path, c->user))
		return diag_set(d, -errno, "cannot listen on %s: %s", sa.sun_path,
				zt_strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* --- roles --- */

/* Only the child. */
static _Noreturn void become_role(const struct supervisor *s, enum role r, int channel)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	_exit(role_exec(s->config, r, channel, r == ROLE_NET ? s->control : -1));
}

static int start_roles(struct supervisor *s)
{
	int pair[2] = {-1, -1}, err = ipc_pair(pair);

	for (int r = 0; r < ROLES && !err; r++) {
		s->pid[r] = fork();
		if (s->pid[r] == 0)
			become_role(s, (enum role)r, pair[r]);
		if (s->pid[r] < 0)
			err = -errno;
	}
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	return err;
}

/* Wait for a signal at most ms, or for ever; reap who ended. *ret_failed: a role said by its status
 * that it cannot work. */
static bool wait_a_while(struct supervisor *s, int64_t ms, bool *ret_failed)
{
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
	bool ended = false;
	int signo = sigtimedwait(&s->signals, NULL, ms < 0 ? &(struct timespec){3600, 0} : &limit),
	    status;
	pid_t pid;

	if (signo == SIGTERM || signo == SIGINT)
		s->stopping = true;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int r = 0; r < ROLES; r++)
			if (s->pid[r] == pid) {
				s->pid[r] = 0;
				ended = true;
				*ret_failed =
					*ret_failed || (WIFEXITED(status) &&
							WEXITSTATUS(status) == ZT_EXIT_FAILED);
				if (WIFSIGNALED(status) && !s->ending)
					log_warn("the %s role was killed by signal %d",
						 role_name((enum role)r), WTERMSIG(status));
			}
	return ended;
}

static bool any_role(const struct supervisor *s)
{
	return s->pid[ROLE_KERN] > 0 || s->pid[ROLE_NET] > 0;
}

static void signal_roles(const struct supervisor *s, int signo)
{
	for (int r = 0; r < ROLES; r++)
		if (s->pid[r] > 0)
			kill(s->pid[r], signo);
}

/* The one that ended first may have ended because of the other: whoever failed counts. */
static void end_roles(struct supervisor *s, bool *ret_failed)
{
	int64_t until = clock_now().boot_ms + GRACE_MS, left = GRACE_MS;

	s->ending = true;
	signal_roles(s, SIGTERM);
	/* The clock is read once a turn: what is negative would be for ever. */
	for (; any_role(s) && left > 0; left = until - clock_now().boot_ms)
		wait_a_while(s, left, ret_failed);
	signal_roles(s, SIGKILL);
	while (any_role(s))
		wait_a_while(s, GRACE_MS, ret_failed);
	s->ending = false;
}

/* What can be said before anything starts. */
static int check_enrolled(const struct node_config *c, struct diag *d)
{
	struct node_state st = {.dir = -1};
	int err = state_open(c->state_dir, false, &st, d);

	state_close(&st);
	return err;
}

/* A role that cannot work at all says so within its first seconds; then the daemon ends with its
 * status. */
static int supervise(struct supervisor *s)
{
	while (!s->stopping) {
		int64_t started = clock_now().boot_ms;
		bool failed = false;
		struct diag d;
		int err = start_roles(s);

		if (err) {
			log_error("cannot start: %s", zt_strerror(err));
			end_roles(s, &failed);
			return ZT_EXIT_FAILED;
		}
		while (!s->stopping && !wait_a_while(s, -1, &failed))
			;
		end_roles(s, &failed);
		if (s->stopping)
			break;
		err = check_enrolled(s->config, &d);
		if (err == -ZT_EABSENT) {
			log_info("this device left the network");
			break;
		}
		if (err) { /* the role has not said why when the files were lost after its start */
			log_diag(&d);
			return ZT_EXIT_FAILED;
		}
		if (failed && clock_now().boot_ms - started < YOUNG_MS)
			return ZT_EXIT_FAILED;
		log_warn("starting the roles anew; the kernel keeps what it has meanwhile");
		wait_a_while(s, RESTART_MS, &failed);
	}
	return ZT_EXIT_OK;
}

int cmd_run(const struct node_config *c, int argc, char **argv)
{
	struct supervisor s = {.config = c, .lock = -1, .control = -1};
	struct diag d = {0};
	int status = args_none(argc, argv, NULL), err;

	if (status)
		return status;
	sigemptyset(&s.signals);
	sigaddset(&s.signals, SIGCHLD);
	sigaddset(&s.signals, SIGTERM);
	sigaddset(&s.signals, SIGINT);
	sigprocmask(SIG_BLOCK, &s.signals, NULL);
	err = check_enrolled(c, &d);
	if (!err)
		err = state_lock(c->state_dir, false, &s.lock, &d);
	if (!err)
		err = listen_control(c, &s.control, &d);
	if (err) {
		log_diag(&d);
		return ZT_EXIT_FAILED;
	}
	return supervise(&s);
}
