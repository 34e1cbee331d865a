/* Rights given up: capabilities (libcap-ng), uid, system calls (libseccomp). */
#include "zt/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int lock_down(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) <
	    0) /* keys are in memory: no core, no ptrace by the same uid */
		return -errno;
	return 0;
}

/* Of a service without any, whose filter of system calls may deny capset(2) to it. */
static bool has_none(void)
{
	return capng_get_caps_process() == 0 &&
	       capng_have_capabilities(CAPNG_SELECT_BOTH) == CAPNG_NONE;
}

int sandbox_keep_capability(int cap)
{
	if (cap < 0 && has_none())
		return lock_down();
	capng_clear(CAPNG_SELECT_BOTH);
	if (cap >= 0 &&
	    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)cap) < 0)
		return -EPERM;
	if (capng_apply(CAPNG_SELECT_BOTH) < 0)
		return -EPERM;
	return lock_down();
}

int sandbox_become_user(const char *name)
{
	struct passwd *pw;

	if (name[0] && geteuid() == 0) {
		errno = 0;
		pw = getpwnam(name);
		if (!pw)
			return errno ? -errno : -ENOENT;
		capng_clear(CAPNG_SELECT_BOTH); /* the bounding set needs CAP_SETPCAP, so before the
						   uid goes */
		if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
			return -EPERM;
		if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			return -errno;
	}
	return sandbox_keep_capability(-1);
}

static const int denied[] = {
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(ptrace),
	SCMP_SYS(kexec_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(acct),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(quotactl),
	SCMP_SYS(personality),
};

int sandbox_filter_calls(bool exec_too)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = 0;

	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; !err && i < sizeof(denied) / sizeof(denied[0]); i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	if (!err && exec_too)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execve), 0);
	if (!err && exec_too)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(execveat), 0);
	if (!err)
		err = seccomp_load(ctx);
	seccomp_release(ctx);
	return err;
}
