/* ztnode role: one role of the daemon alone, as systemd starts it, so that none needs the rights to
 * tell them apart. What the supervisor (daemon.c) makes or looks after is systemd's then: users,
 * both listening sockets, starting anew. The talking role connects to the privileged one's socket;
 * that starts the privileged one, which takes this one connection, gives the socket up, and ends
 * with the connection. Whoever connects meanwhile waits for the next of its kind. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "zt/ipc.h"
#include "zt/log.h"
#include "zt/txt.h"
#include "ztnode/cli/cli.h"
#include "ztnode/cli/role.h"
#include "ztnode/kern/state.h"

enum { CALLER_MS = 10000, PATH_SIZE = sizeof(((struct sockaddr_un *)NULL)->sun_path) };

static int take_listener(int type, int *ret_fd, struct diag *d)
{
	int n = sd_listen_fds(true);

	if (n != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, type, 1, NULL, 0) <= 0) {
		diag_set(d, -EINVAL, "a role alone needs the listening socket of its systemd unit");
		diag_hint(d, "systemctl start ztnode, or both roles at once: ztnode run");
		return -EINVAL;
	}
	*ret_fd = SD_LISTEN_FDS_START;
	return 0;
}

static int fail(const struct diag *d)
{
	log_diag(d);
	return ZT_EXIT_FAILED;
}

/* --- the privileged role --- */

/* Who may be the talking role. */
static int find_user(const char *name, uid_t *ret, struct diag *d)
{
	struct passwd *pw;

	if (!name[0]) {
		*ret = geteuid();
		return 0;
	}
	errno = 0;
	pw = getpwnam(name);
	if (!pw) {
		diag_set(d, -ENOENT, "there is no user \"%s\"", name);
		diag_hint(d, "make it (systemd-sysusers), or name another with --user");
		return -ENOENT;
	}
	*ret = pw->pw_uid;
	return 0;
}

/* The role itself knows nothing of the lock; it ends with the process. */
static int lock_for_life(const char *state_dir, struct diag *d)
{
	int fd, err = state_lock(state_dir, false, &fd, d);

	if (!err && fcntl(fd, F_SETFD, 0) < 0)
		err = diag_set(d, -errno, "cannot keep the lock: %s", zt_strerror(errno));
	return err;
}

/* The connection is taken before anything can fail, so that its other end learns of a failure. */
static int run_kern(const struct node_config *c)
{
	struct diag d = {0};
	int listener, channel, err;
	uid_t uid;

	if (take_listener(SOCK_SEQPACKET, &listener, &d) || find_user(c->user, &uid, &d))
		return fail(&d);
	err = ipc_accept(listener, uid, CALLER_MS, &channel);
	if (err == -ETIMEDOUT) {
		log_info("nobody came who may; the next one starts this role anew");
		return ZT_EXIT_OK;
	}
	if (err)
		diag_set(&d, err, "cannot take a connection: %s", zt_strerror(err));
	if (err || lock_for_life(c->state_dir, &d))
		return fail(&d);
	return role_exec(c, ROLE_KERN, channel, -1); /* in the listener's place */
}

/* --- the talking role --- */

static int connect_kern(const char *run_dir, int *ret_fd, struct diag *d)
{
	char path[PATH_SIZE];
	int n = snprintf(path, sizeof(path), "%s/kern.sock", run_dir);
	int err = n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : ipc_connect(path, ret_fd);

	if (err) {
		diag_set(d, err, "cannot reach the privileged role at %s/kern.sock: %s", run_dir,
			 zt_strerror(err));
		diag_hint(d, "systemctl start ztnode-kern.socket");
	}
	return err;
}

static int run_net(const struct node_config *c)
{
	struct diag d = {0};
	int control, channel;

	if (geteuid() == 0) { /* and would be refused, too */
		diag_set(&d, -EPERM, "the talking role is not for root");
		diag_hint(&d, "systemctl start ztnode, or both roles at once: ztnode run");
		return fail(&d);
	}
	if (take_listener(SOCK_STREAM, &control, &d) || connect_kern(c->run_dir, &channel, &d))
		return fail(&d);
	if (fcntl(control, F_SETFL, O_NONBLOCK) < 0) {
		diag_set(&d, -errno, "cannot use the socket: %s", zt_strerror(errno));
		return fail(&d);
	}
	return role_exec(c, ROLE_NET, channel, control);
}

int cmd_role(const struct node_config *c, int argc, char **argv)
{
	const char *name;
	struct diag d = {0};

	if (args_parse(argc, argv, NULL, 0, &name, 1, 1, &d))
		return args_usage(argv[0], &d);
	if (txt_equal(name, role_name(ROLE_KERN)))
		return run_kern(c);
	if (txt_equal(name, role_name(ROLE_NET)))
		return run_net(c);
	diag_set(&d, -EINVAL, "no role \"%s\": kern or net", name);
	return args_usage(argv[0], &d);
}
