/*
 * PID 1 of the lab: makes a throw-away root, runs one command in it, leaves the exit status.
 *
 * Two modes, named by the environment (unknown kernel parameters arrive there):
 *   umlmode=uml     PID 1 of the lab kernel; the root is the host's, read-only, by hostfs
 *   umlmode=native  PID 1 of new mount, network and PID namespaces of the running kernel
 *   umlwork=DIR     the exchange folder of scripts/lab-run: it wrote DIR/job, it reads DIR/rc
 *
 * DIR/job is a list of NUL-terminated lines (repeatable: arg, env, tree, rw):
 *   arg=WORD      the command, word by word
 *   env=NAME=VAL  its whole environment
 *   cwd=DIR       where it runs
 *   tree=DIR      a host folder that would be hidden by a fresh tmpfs: shown, writes vanish
 *   rw=DIR        a host folder that is really written
 *
 * The new root is built under STAGE: every file system of the old one as the lower layer of an
 * overlay whose upper layer is a tmpfs, so nothing that the command writes reaches the host.
 * Then pivot_root, and the old root is gone. See docs/lab.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <linux/capability.h>

/* /sys is on every machine, and nothing needs the old root's own. */
#define STAGE "/sys"
#define NEW_ROOT STAGE "/root"

enum {
	JOB_MAX = 1 << 20, /* bytes of DIR/job */
	WORDS_MAX = 4096,  /* words of the command; variables of its environment */
	DIRS_MAX = 32,	   /* tree= and rw= lines, each */
	DRAIN_S = 60,	   /* for the last of the output to leave the lab kernel */
	EXIT_LAB = 125,	   /* the lab itself failed, as in timeout(1) and env(1) */
};

struct list {
	char *word[WORDS_MAX + 1]; /* NULL-terminated */
	size_t n;
};

struct job {
	bool native;
	int work; /* DIR, still open when no path leads there any more */
	struct list arg, env, tree, rw;
	const char *cwd;
};

/* What the command writes, from a pipe to the line that lab-run reads. */
struct stream {
	const char *device;
	int from, to;
};

struct path {
	char s[PATH_MAX];
};

static struct job job;

static _Noreturn void leave(int status)
{
	sync();
	if (!job.native)
		reboot(RB_POWER_OFF);
	_exit(status);
}

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	int error = errno;
	va_list ap;

	va_start(ap, format);
	dprintf(STDERR_FILENO, "lab init: ");
	vdprintf(STDERR_FILENO, format, ap);
	dprintf(STDERR_FILENO, ": %s\n", strerror(error));
	va_end(ap);
}

static _Noreturn void die(const char *what)
{
	complain("%s", what);
	leave(EXIT_LAB);
}

/* Where @path of the new root is for now. */
static struct path new_path(const char *path)
{
	struct path p;
	int n = snprintf(p.s, sizeof(p.s), "%s%s", NEW_ROOT, path);

	if (n < 0 || (size_t)n >= sizeof(p.s)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	return p;
}

static void make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
}

static void make_dirs(const char *path)
{
	struct path p;

	if (strlen(path) >= sizeof(p.s)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(p.s, path);
	for (char *slash = strchr(p.s + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		make_dir(p.s);
		*slash = '/';
	}
	make_dir(p.s);
}

/* The job. */

static void list_add(struct list *list, size_t max, char *word)
{
	if (list->n >= max) {
		errno = E2BIG;
		die("job");
	}
	list->word[list->n++] = word;
}

static void job_add_line(char *line)
{
	if (!strncmp(line, "arg=", 4))
		list_add(&job.arg, WORDS_MAX, line + 4);
	else if (!strncmp(line, "env=", 4))
		list_add(&job.env, WORDS_MAX, line + 4);
	else if (!strncmp(line, "tree=", 5))
		list_add(&job.tree, DIRS_MAX, line + 5);
	else if (!strncmp(line, "rw=", 3))
		list_add(&job.rw, DIRS_MAX, line + 3);
	else if (!strncmp(line, "cwd=", 4))
		job.cwd = line + 4;
}

static void job_read(void)
{
	static char text[JOB_MAX + 1];
	int fd = openat(job.work, "job", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		die("job");
	while ((n = read(fd, text + len, JOB_MAX - len)) > 0)
		len += (size_t)n;
	close(fd);
	errno = EINVAL;
	if (n < 0 || len == 0 || len == JOB_MAX)
		die("job");
	for (char *line = text; line < text + len; line += strlen(line) + 1)
		job_add_line(line);
	if (!job.arg.n || !job.cwd)
		die("job");
}

/* The exchange folder comes first: without it there is no job and nowhere to leave a status. */
static void job_open(const char *dir)
{
	if (!job.native) {
		make_dir(STAGE "/work");
		if (mount("work", STAGE "/work", "hostfs", 0, dir) < 0)
			die(dir);
		dir = STAGE "/work";
	}
	job.work = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (job.work < 0)
		die(dir);
}

static void job_leave_status(int status)
{
	int fd = openat(job.work, "rc", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%d\n", status) < 0 || fsync(fd) < 0)
		die("rc");
	close(fd);
}

/* The root. */

/* Shows the old root's @dir at its path of the new root; what is written there stays in memory. */
static int overlay_dir(const char *dir)
{
	static unsigned int layer;
	struct path target = new_path(dir);
	char upper[64], work[64], options[256];

	snprintf(upper, sizeof(upper), STAGE "/upper%u", layer);
	snprintf(work, sizeof(work), STAGE "/work%u", layer++);
	make_dir(upper);
	make_dir(work);
	/* "." instead of @dir: no commas and colons to escape. */
	if (chdir(dir) < 0)
		return -errno;
	snprintf(options, sizeof(options), "lowerdir=.,upperdir=%s,workdir=%s", upper, work);
	return mount("overlay", target.s, "overlay", 0, options) < 0 ? -errno : 0;
}

/* For what cannot be a lower layer: a single file, a file system that overlayfs refuses. */
static void bind_read_only(const char *path)
{
	struct path target = new_path(path);

	if (mount(path, target.s, NULL, MS_BIND, NULL) < 0)
		return complain("%s: not in the lab", path);
	if (mount(NULL, target.s, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		die(target.s);
}

static bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (path[n] == '/' || path[n] == '\0');
}

static bool path_is_made_fresh(const char *path)
{
	static const char *const fresh[] = {"/proc", "/sys", "/dev", "/run", "/tmp"};

	for (size_t i = 0; i < sizeof(fresh) / sizeof(*fresh); i++)
		if (path_below(path, fresh[i]))
			return true;
	return false;
}

static void show_mount(const char *dir)
{
	struct stat st;

	if (!strcmp(dir, "/") || path_is_made_fresh(dir) || stat(dir, &st) < 0)
		return;
	if (!S_ISDIR(st.st_mode) || overlay_dir(dir) < 0)
		bind_read_only(dir);
}

/* A native machine may have /home, /usr or /var on file systems of their own. */
static void show_mounts(void)
{
	FILE *table = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;

	if (!table)
		die("/proc/self/mounts");
	while ((entry = getmntent(table)))
		show_mount(entry->mnt_dir);
	endmntent(table);
}

static void mount_fresh(const char *type, const char *dir, const char *options)
{
	struct path target = new_path(dir);

	make_dirs(target.s);
	if (mount(type, target.s, type, 0, options) < 0)
		die(dir);
}

/* A devtmpfs is one per kernel, so natively the few devices are borrowed instead. */
static void make_native_dev(void)
{
	static const char *const nodes[] = {
		"/dev/null",	"/dev/zero", "/dev/full",    "/dev/random",
		"/dev/urandom", "/dev/tty",  "/dev/net/tun",
	};

	mount_fresh("tmpfs", "/dev", "mode=755");
	make_dirs(new_path("/dev/net").s);
	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		struct path target = new_path(nodes[i]);

		close(open(target.s, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		if (mount(nodes[i], target.s, NULL, MS_BIND, NULL) < 0)
			unlink(target.s);
	}
}

static void make_dev(void)
{
	static const char *const links[][2] = {
		{"/proc/self/fd", "/dev/fd"},	    {"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	};

	if (job.native)
		make_native_dev();
	else
		mount_fresh("devtmpfs", "/dev", "mode=755");
	mount_fresh("devpts", "/dev/pts", "newinstance,ptmxmode=666,mode=620");
	mount_fresh("tmpfs", "/dev/shm", "mode=1777");
	unlink(new_path("/dev/ptmx").s);
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (symlink(links[i][0], new_path(links[i][1]).s) < 0 && errno != EEXIST)
			die(links[i][1]);
}

static void mount_system(void)
{
	struct path cgroup = new_path("/sys/fs/cgroup");

	mount_fresh("proc", "/proc", NULL);
	mount_fresh("sysfs", "/sys", NULL);
	/* Not everywhere: a native machine may keep to the first version. */
	(void)mount("cgroup2", cgroup.s, "cgroup2", 0, NULL);
	make_dev();
	mount_fresh("tmpfs", "/run", "mode=755");
	mount_fresh("tmpfs", "/tmp", "mode=1777");
	make_dir(new_path("/run/netns").s);
	make_dir(new_path("/run/lock").s);
}

static void show_job_dirs(void)
{
	for (size_t i = 0; i < job.tree.n; i++) {
		make_dirs(new_path(job.tree.word[i]).s);
		if (overlay_dir(job.tree.word[i]) < 0)
			die(job.tree.word[i]);
	}
	for (size_t i = 0; i < job.rw.n; i++) {
		const char *dir = job.rw.word[i];
		struct path target = new_path(dir);

		make_dirs(target.s);
		if (mount(dir, target.s, job.native ? NULL : "hostfs",
			  job.native ? MS_BIND | MS_REC : 0, dir) < 0)
			die(dir);
	}
}

static void enter_root(void)
{
	/* The old root lands on top of the new one, from where it is taken off. */
	if (chdir(NEW_ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		die("pivot_root");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("the old root");
}

static void make_root(void)
{
	make_dir(NEW_ROOT);
	errno = -overlay_dir("/");
	if (errno)
		die("overlay of /");
	if (job.native)
		show_mounts();
	mount_system();
	show_job_dirs();
	enter_root();
}

/* The command. */

static void set_loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		die("lo");
	close(fd);
}

/* Natively there is no kernel around the command: keep it from what no namespace holds. */
static void drop_machine_rights(void)
{
	static const int caps[] = {CAP_SYS_TIME, CAP_SYS_BOOT, CAP_SYS_RAWIO, CAP_SYS_MODULE,
				   CAP_MKNOD};

	for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++)
		if (prctl(PR_CAPBSET_DROP, caps[i], 0, 0, 0) < 0)
			die("capabilities");
}

static void stream_open(struct stream *stream, int *ret_writer)
{
	struct termios raw;
	int ends[2];

	stream->to = open(stream->device, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (stream->to < 0 || tcgetattr(stream->to, &raw) < 0)
		die(stream->device);
	cfmakeraw(&raw);
	if (tcsetattr(stream->to, TCSANOW, &raw) < 0 || pipe2(ends, O_CLOEXEC) < 0)
		die(stream->device);
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		die(stream->device);
	stream->from = ends[0];
	*ret_writer = ends[1];
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

/* Passes on what is there now. */
static void stream_pump(struct stream *stream)
{
	static char buf[65536];
	ssize_t n;

	while ((n = read(stream->from, buf, sizeof(buf))) > 0)
		write_all(stream->to, buf, (size_t)n);
	if (n == 0) {
		/* Nobody writes any more; poll() passes over a negative descriptor. */
		close(stream->from);
		stream->from = -1;
	}
}

static _Noreturn void exec_command(int out, int err)
{
	sigset_t none;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(EXIT_LAB);
	if (job.native)
		drop_machine_rights();
	if (chdir(job.cwd) < 0) {
		complain("%s", job.cwd);
		_exit(EXIT_LAB);
	}
	environ = job.env.word;
	execvp(job.arg.word[0], job.arg.word);
	complain("%s", job.arg.word[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Reaps everybody's orphans; true, and the command's status, when the command itself has ended. */
static bool reap(pid_t command, int options, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, options)) != 0) {
		if (pid < 0 && errno == ECHILD)
			die("the command is lost");
		if (pid == command) {
			*ret_status =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			return true;
		}
	}
	return false;
}

static int run_native(void)
{
	pid_t command = fork();
	int status;

	if (command < 0)
		die("fork");
	if (command == 0)
		exec_command(STDOUT_FILENO, STDERR_FILENO);
	while (!reap(command, 0, &status))
		continue;
	return status;
}

static int pump_until_end(pid_t command, struct stream *out, struct stream *err, int signals)
{
	struct signalfd_siginfo info;
	int status;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = signals, .events = POLLIN},
			{.fd = out->from, .events = POLLIN},
			{.fd = err->from, .events = POLLIN},
		};

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents)
			stream_pump(out);
		if (fds[2].revents)
			stream_pump(err);
		if (!fds[0].revents || read(signals, &info, sizeof(info)) < 0)
			continue;
		if (reap(command, WNOHANG, &status))
			return status;
	}
}

static void wake_up(int signo)
{
	(void)signo;
}

/* The console's other end may have stopped taking: then the end of the output is lost, and not the
 * status. */
static void drain(int fd)
{
	struct sigaction wake = {.sa_handler = wake_up}; /* no SA_RESTART: it interrupts */

	sigaction(SIGALRM, &wake, NULL);
	alarm(DRAIN_S);
	tcdrain(fd);
	alarm(0);
}

/*
 * A terminal line is the one way out of the lab kernel that is seen at once (what is written to
 * hostfs stays in the guest's page cache). The command gets pipes, so that it does not believe that
 * it has a terminal.
 */
static int run_uml(void)
{
	struct stream out = {.device = "/dev/tty1"}, err = {.device = "/dev/tty2"};
	int out_writer, err_writer, signals, status;
	sigset_t child;
	pid_t command;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	stream_open(&out, &out_writer);
	stream_open(&err, &err_writer);
	command = fork();
	if (signals < 0 || command < 0)
		die("fork");
	if (command == 0)
		exec_command(out_writer, err_writer);
	close(out_writer);
	close(err_writer);
	status = pump_until_end(command, &out, &err, signals);
	stream_pump(&out);
	stream_pump(&err);
	drain(out.to);
	drain(err.to);
	return status;
}

/* The kernel could not open a console where the host has no /dev/console; 0 to 2 must be taken. */
static void fill_stdio(void)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = dup(fd);
	close(fd);
}

int main(void)
{
	const char *mode = getenv("umlmode"), *work = getenv("umlwork");
	int status;

	job.native = mode && !strcmp(mode, "native");
	fill_stdio();
	errno = EINVAL;
	if (getpid() != 1 || !work)
		_exit(EXIT_LAB);
	if (mount("stage", STAGE, "tmpfs", 0, "mode=755") < 0)
		die(STAGE);
	job_open(work);
	job_read();
	make_root();
	set_loopback_up();
	(void)sethostname("lab", 3);
	status = job.native ? run_native() : run_uml();
	job_leave_status(status);
	leave(status);
}
