/* nodes, on: machines of the lab. A machine is a network, a mount and a UTS namespace:
 *   DIR/NAME/pid    the process that holds it
 *   /run/netns/NAME so that ip -n NAME works
 *   DIR/NAME/state, run, etc     what it sees as /var/lib/ztnode, /run/ztnode, /etc/ztnode
 * One process starts them all and they end with it. */
#include "tests/lab/tool/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct path {
	char s[PATH_MAX];
};

struct own_dir {
	const char *name, *where;
};

static const struct own_dir own_dirs[] = {
	{"state", "/var/lib/ztnode"},
	{"run", "/run/ztnode"},
	{"etc", "/etc/ztnode"},
};
enum { OWN_DIRS = sizeof(own_dirs) / sizeof(own_dirs[0]) };

__attribute__((format(printf, 1, 2))) static struct path path_of(const char *format, ...)
{
	struct path p;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(p.s, sizeof(p.s), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(p.s)) {
		errno = ENAMETOOLONG;
		tool_die(format);
	}
	return p;
}

static void make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		tool_die(path);
}

static void make_dirs(const char *dir, const char *name)
{
	make_dir(path_of("%s/%s", dir, name).s, 0755);
	for (int i = 0; i < OWN_DIRS; i++) {
		make_dir(path_of("%s/%s/%s", dir, name, own_dirs[i].name).s, i == 2 ? 0755 : 0700);
		make_dir(own_dirs[i].where, 0755);
	}
}

static void mount_or_die(const char *from, const char *to, const char *type, unsigned long flags)
{
	if (mount(from, to, type, flags, NULL) < 0)
		tool_die(to);
}

static void bring_loopback_up(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		tool_die("lo");
	close(fd);
}

static void become_machine(const char *dir, const char *name)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS) < 0)
		tool_die("unshare");
	if (sethostname(name, strlen(name)) < 0)
		tool_die("sethostname");
	mount_or_die("none", "/", NULL, MS_REC | MS_PRIVATE);
	/* /sys shows the network namespace of who mounted it. */
	umount2("/sys", MNT_DETACH);
	mount_or_die("sysfs", "/sys", "sysfs", 0);
	for (int i = 0; i < OWN_DIRS; i++)
		mount_or_die(path_of("%s/%s/%s", dir, name, own_dirs[i].name).s, own_dirs[i].where,
			     NULL, MS_BIND);
	bring_loopback_up();
}

static void write_pid(const char *dir, const char *name, pid_t pid)
{
	struct path part = path_of("%s/%s/pid.part", dir, name);
	int fd = open(part.s, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%d\n", (int)pid) < 0 || close(fd) < 0 ||
	    rename(part.s, path_of("%s/%s/pid", dir, name).s) < 0)
		tool_die(part.s);
}

/* Where ip(8) looks for names. Seen by who started us, since the mount namespace here is theirs. */
static void name_network(const char *name, pid_t pid)
{
	struct path target = path_of("/run/netns/%s", name);
	int fd;

	make_dir("/run/netns", 0755);
	fd = open(target.s, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
	if (fd < 0)
		tool_die(target.s);
	close(fd);
	mount_or_die(path_of("/proc/%d/ns/net", (int)pid).s, target.s, NULL, MS_BIND);
}

static void start_machine(const char *dir, const char *name)
{
	int ready[2];
	char byte;
	pid_t pid;

	make_dirs(dir, name);
	if (pipe2(ready, O_CLOEXEC) < 0)
		tool_die("pipe");
	pid = fork();
	if (pid < 0)
		tool_die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		become_machine(dir, name);
		close(ready[0]);
		if (write(ready[1], "", 1) != 1)
			_exit(EXIT_LAB);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(EXIT_LAB); /* the child said why */
	close(ready[0]);
	name_network(name, pid);
	write_pid(dir, name, pid);
}

int nodes_main(int argc, char **argv)
{
	if (argc < 3)
		tool_usage();
	signal(SIGHUP, SIG_IGN);
	for (int i = 2; i < argc; i++)
		start_machine(argv[1], argv[i]);
	puts("ready");
	for (;;)
		pause();
}

static int read_pid(const char *machine)
{
	struct path file = path_of("%s/pid", machine);
	FILE *f = fopen(file.s, "re");
	int pid;

	if (!f || fscanf(f, "%d", &pid) != 1)
		tool_die(file.s);
	fclose(f);
	return pid;
}

void tool_enter_network(const char *machine)
{
	int fd = open(path_of("/proc/%d/ns/net", read_pid(machine)).s, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		tool_die(machine);
	close(fd);
}

int on_main(int argc, char **argv)
{
	static const char *const kinds[] = {"net", "uts", "mnt"};
	char cwd[PATH_MAX];
	int fds[3], pid;

	if (argc < 3)
		tool_usage();
	pid = read_pid(argv[1]);
	if (!getcwd(cwd, sizeof(cwd)))
		tool_die("getcwd");
	for (int i = 0; i < 3; i++) {
		fds[i] = open(path_of("/proc/%d/ns/%s", pid, kinds[i]).s, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			tool_die(argv[1]);
	}
	for (int i = 0; i < 3; i++)
		if (setns(fds[i], 0) < 0)
			tool_die(kinds[i]);
	if (chdir(cwd) < 0)
		tool_die(cwd);
	execvp(argv[2], argv + 2);
	fprintf(stderr, "tool: %s: %s\n", argv[2], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
