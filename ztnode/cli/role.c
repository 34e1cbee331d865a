/* Into a role. */
#include "ztnode/cli/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "zt/log.h"
#include "ztnode/cli/options.h"

enum { HIGH_FD = 10 }; /* out of the way */

const char *role_name(enum role r)
{
	return r == ROLE_KERN ? "kern" : "net";
}

/* Both may be in each other's place. The copies are open in the role too, else. */
static int place(int channel, int control)
{
	int high = fcntl(channel, F_DUPFD_CLOEXEC, HIGH_FD);
	int high_control = control < 0 ? -1 : fcntl(control, F_DUPFD_CLOEXEC, HIGH_FD);

	if (high < 0 || dup2(high, ROLE_FD) < 0)
		return -errno;
	if (control >= 0 && (high_control < 0 || dup2(high_control, ROLE_FD + 1) < 0))
		return -errno;
	return 0;
}

int role_exec(const struct node_config *c, enum role r, int channel, int control)
{
	struct role_argv args;
	int err = place(channel, control);

	if (!err) {
		options_role_argv(c, role_name(r), &args);
		execv("/proc/self/exe", (char **)(uintptr_t)args.argv);
		err = -errno;
	}
	log_error("cannot start the %s role: %s", role_name(r), zt_strerror(err));
	return ZT_EXIT_FAILED;
}
