/* The talking role, taken over: this program sits at its end of the channel of a real privileged
 * role (ztnode --role kern), has every message that a controller ever made at hand, and cannot get
 * anything into the kernel that the controller does not grant now. What the kernel has is read
 * after each attempt. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/node_fixture.h"
#include "zt/cur.h"
#include "zt/file.h"
#include "zt/ipc.h"
#include "ztnode/cli/options.h"
#include "ztnode/kern/kernel.h"
#include "ztnode/kern/state.h"

enum { GUARD_MS = 20000 };

static char dir[] = "/tmp/zt-hostile-XXXXXX";
static struct node_config config = {.interface = "zt0",
				    .posture_dir = "/",
				    .user = "nobody",
				    .listen_port = 51820,
				    .route_metric = 77};
static struct node_state mine; /* what the controller knows of the device */
static const char *program;

/* --- the privileged role and what it says --- */

static struct {
	pid_t pid;
	struct loop *loop;
	struct ipc *ipc;
	struct loop_timer *guard;
	int err; /* of the last answer */
	uint64_t serial;
	bool gone;
} kern;

static void on_answer(void *arg, const void *body, size_t n)
{
	struct cur c;

	(void)arg;
	cur_init(&c, body, n);
	kern.err = (int)cur_u32(&c);
	kern.serial = cur_u64(&c);
	loop_stop(kern.loop, 0);
}

static void on_hello(void *arg, const void *body, size_t n)
{
	struct hello h;

	(void)arg;
	assert_int_equal(hello_decode(body, n, &h), 0);
	kern.serial = h.serial;
	loop_stop(kern.loop, 0);
}

static void on_other(void *arg, const void *body, size_t n)
{
	(void)arg, (void)body, (void)n;
}

static void on_gone(void *arg)
{
	(void)arg;
	kern.gone = true;
	loop_stop(kern.loop, 0);
}

static void too_late(void *arg)
{
	(void)arg;
	loop_stop(kern.loop, 99);
}

static const struct ipc_kind kinds[] = {
	{KN_HELLO, HELLO_SIZE, HELLO_SIZE, on_hello, "hello"},
	{KN_RESULT, 12, 12 + ROLE_TEXT_MAX, on_answer, "result"},
	{KN_DONE, 12, 12 + ROLE_TEXT_MAX, on_answer, "done"},
	{KN_FACT, 0, 4096, on_other, "fact"},
	{KN_PORT, 2, 2, on_other, "port"},
	{0, 0, 0, NULL, NULL},
};

static void hear(void)
{
	loop_timer_set(kern.guard, clock_now().boot_ms + GUARD_MS);
	assert_int_equal(loop_run(kern.loop), 0);
}

static void start_kern(void)
{
	struct role_argv args;
	int fd[2];

	assert_int_equal(ipc_pair(fd), 0);
	options_role_argv(&config, "kern", &args);
	kern.pid = fork();
	if (kern.pid == 0) {
		int log = openat(mine.dir, "log", O_WRONLY | O_CREAT | O_APPEND, 0600);

		if (dup2(log, STDERR_FILENO) >= 0 && dup2(fd[1], ROLE_FD) >= 0)
			execv(program, (char **)(uintptr_t)args.argv);
		_exit(127);
	}
	close(fd[1]);
	kern.gone = false;
	kern.ipc = ipc_new(kern.loop, fd[0], kinds, on_gone, NULL);
	assert_non_null(kern.ipc);
	hear(); /* hello */
}

static void stop_kern(void)
{
	int status;

	kill(kern.pid, SIGTERM);
	assert_int_equal(waitpid(kern.pid, &status, 0), kern.pid);
	ipc_free(kern.ipc);
}

static int say(enum role_message kind, const void *p, size_t n)
{
	assert_int_equal(ipc_send(kern.ipc, kind, p, n), 0);
	hear();
	return kern.err;
}

/* --- what the controller made --- */

struct made {
	uint64_t serial;
	uint8_t kind;
	uint32_t device;
	int64_t age_s;		      /* issued so long ago */
	const struct secret *network; /* NULL: the controller's */
	bool more;		      /* grants a port more */
	bool chained;		      /* after the message in force */
};

static struct key leaf; /* of the message in force */

static struct buf make(const struct made *w, struct key *ret_leaf)
{
	struct netmap_grant grants[] = {fixture_grants[0], fixture_grants[1], fixture_grants[1]};
	struct netmap old = fixture_map(), map = fixture_map();
	struct netmap_msg m;
	struct arena a;
	struct buf b;

	arena_init(&a, FIXTURE_ARENA_MAX);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	grants[2].svc = (struct service){SERVICE_TCP, 2222, 2222};
	old.self.wg_key = map.self.wg_key = mine.wg_pub;
	map.self.id = w->device;
	if (w->more) {
		map.grants = grants;
		map.n_grants = N_OF(grants);
	}
	m = fixture_diff(w->chained ? &old : NULL, &map, fixture_head(w->kind, w->serial), &a);
	m.head.issued_ms = (uint64_t)(clock_now().wall_ms - w->age_s * 1000);
	m.head.device = w->device;
	if (!w->chained)
		fixture_seal(&m, fixture_psks, N_OF(fixture_psks), &mine.identity, &a);
	fixture_envelope(&m, w->chained ? &leaf : NULL, w->network ? w->network : &fixture_network,
			 &b, ret_leaf);
	arena_done(&a);
	return b;
}

/* --- what the kernel has --- */

struct seen {
	bool link;
	size_t peers, elems, routes;
};

static struct seen look(void)
{
	struct kstate s;
	struct kernel *k;
	struct arena a;
	struct diag d;
	struct seen seen;

	arena_init(&a, FIXTURE_ARENA_MAX);
	assert_int_equal(kernel_open("zt0", &k, &d), 0);
	assert_int_equal(kernel_read(k, &mine.wg_pub, &a, &s, &d), 0);
	seen = (struct seen){s.link_exists && s.link_up, s.n_peers, s.n_elems, s.n_routes};
	kernel_close(k);
	arena_done(&a);
	return seen;
}

static void await_routes(size_t wanted)
{
	int64_t end = clock_now().boot_ms + GUARD_MS;
	size_t found;

	while ((found = look().routes) != wanted && clock_now().boot_ms < end)
		poll(NULL, 0, 20);
	assert_int_equal(found, wanted);
}

static void assert_as_granted(const char *says)
{
	struct seen s = look();

	/* two peers; one grant in both families and one in IPv4; a route and a guard a family */
	if (!s.link || s.peers != 2 || s.elems != 3 || s.routes != 4)
		fail_msg("%s: link %d, %zu peers, %zu elements, %zu routes", says, s.link, s.peers,
			 s.elems, s.routes);
}

/* --- tests --- */

static const struct made good = {.serial = 5, .kind = NETMAP_FULL, .device = FIXTURE_DEVICE};

static void nothing_without_a_map(void **state)
{
	struct seen s = look();

	(void)state;
	assert_false(s.link);
	assert_int_equal(s.peers + s.elems, 0);
}

static void the_controllers_map_is_enforced(void **state)
{
	struct buf b = make(&good, &leaf);

	(void)state;
	assert_int_equal(say(NK_NETMAP, b.data, b.len), 0);
	assert_int_equal(kern.serial, 5);
	assert_as_granted("the controller's map");
	buf_free(&b);
}

static const struct secret other_network = {{66}};
static const struct {
	const char *says;
	struct made made;
	int err;
} attempts[] = {
	{"the same map again",
	 {5, NETMAP_FULL, FIXTURE_DEVICE, 0, NULL, false, false},
	 -ZT_ESERIAL},
	{"an older one, which granted more",
	 {4, NETMAP_FULL, FIXTURE_DEVICE, 0, NULL, true, false},
	 -ZT_ESERIAL},
	{"a newer one, signed by oneself",
	 {6, NETMAP_FULL, FIXTURE_DEVICE, 0, &other_network, true, false},
	 -ZT_ESIG},
	{"another device's",
	 {6, NETMAP_FULL, FIXTURE_DEVICE + 1, 0, NULL, true, false},
	 -ZT_EDEVICE},
	{"one held back until its lease was over",
	 {6, NETMAP_FULL, FIXTURE_DEVICE, FIXTURE_LEASE_S + 1, NULL, true, false},
	 -ZT_ELEASE},
	{"one from the future, to live longer",
	 {6, NETMAP_FULL, FIXTURE_DEVICE, -86400, NULL, true, false},
	 -ZT_ECLOCK},
	{"a difference, with one before it held back",
	 {7, NETMAP_DELTA, FIXTURE_DEVICE, 0, NULL, true, true},
	 -ZT_ECHAIN},
};

static void attempts_change_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(attempts); i++) {
		struct key unused;
		struct buf b = make(&attempts[i].made, &unused);
		int err = say(NK_NETMAP, b.data, b.len);

		if (err != attempts[i].err)
			fail_msg("%s: %s", attempts[i].says, zt_strerror(err));
		assert_as_granted(attempts[i].says);
		buf_free(&b);
	}
}

/* Every byte counts: a good next map with one bit turned anywhere is refused. */
static void no_bit_can_be_turned(void **state)
{
	struct made next = {
		.serial = 6, .kind = NETMAP_FULL, .device = FIXTURE_DEVICE, .more = true};
	struct key unused;
	struct buf b = make(&next, &unused);

	(void)state;
	for (size_t i = 0; i < b.len; i += 1 + b.len / 150) {
		b.data[i] ^= 1;
		assert_int_not_equal(say(NK_NETMAP, b.data, b.len), 0);
		b.data[i] ^= 1;
	}
	assert_as_granted("with a bit turned");
	buf_free(&b);
}

static void guards_are_roots(void **state)
{
	(void)state;
	assert_int_equal(say(NK_ENFORCE, "\0", 1), -EPERM);
	assert_as_granted("down, without root's mark");
	assert_int_equal(say(NK_LEAVE, NULL, 0), -EPERM);
	assert_as_granted("leave, without root's mark");
}

static void a_restart_forgets_no_serial(void **state)
{
	struct key unused;
	struct buf b = make(&good, &unused);

	(void)state;
	stop_kern();
	start_kern();
	assert_int_equal(kern.serial, 5);
	assert_int_equal(say(NK_NETMAP, b.data, b.len), -ZT_ESERIAL);
	assert_as_granted("replayed after a restart");
	buf_free(&b);
}

/* --- trust that is lost --- */

static struct buf keep_file(const char *name)
{
	struct buf b;
	void *p;
	size_t n;

	assert_int_equal(file_read_at(mine.dir, name, ZT_NETMAP_MAX, &p, &n), 0);
	buf_init_grow(&b, ZT_NETMAP_MAX);
	buf_put(&b, p, n);
	file_wipe(p, n);
	return b;
}

static void put_back(const char *name, struct buf *b)
{
	assert_int_equal(file_write_at(mine.dir, name, b->data, b->len, 0600), 0);
	buf_free(b);
}

static void offer(const char *says, const struct made *w, int err)
{
	struct key new_leaf;
	struct buf b = make(w, &new_leaf);
	int got = say(NK_NETMAP, b.data, b.len);

	if (got != err)
		fail_msg("%s: %s", says, zt_strerror(got));
	if (!got)
		leaf = new_leaf;
	assert_as_granted(says);
	buf_free(&b);
}

static struct made full(uint64_t serial)
{
	return (struct made){.serial = serial, .kind = NETMAP_FULL, .device = FIXTURE_DEVICE};
}

/* What was granted once, and is not in the map in force. */
static struct made generous(uint64_t serial)
{
	struct made w = full(serial);

	w.more = true;
	return w;
}

static void a_lost_map_lets_no_older_one_in(void **state)
{
	struct made old = generous(4), same = generous(5), next = full(6);

	(void)state;
	stop_kern();
	assert_int_equal(unlinkat(mine.dir, "netmap", 0), 0);
	start_kern();
	assert_int_equal(kern.serial, 5); /* what the controller is told: its next is above that */
	assert_as_granted("started without its map");
	offer("an older one, with the map gone", &old, -ZT_ESERIAL);
	offer("one as old, with the map gone", &same, -ZT_ESERIAL);
	offer("the controller's next, whole", &next, 0);
	assert_int_equal(kern.serial, 6);
}

static void an_older_map_that_is_put_back_is_not_enforced(void **state)
{
	struct buf older = keep_file("netmap"); /* of serial 6 */
	struct made next = full(7), old = generous(6);

	(void)state;
	offer("the next", &next, 0);
	stop_kern();
	put_back("netmap", &older);
	start_kern();
	assert_int_equal(kern.serial, 7);
	assert_as_granted("started with an older map");
	offer("one of the time before", &old, -ZT_ESERIAL);
	next.serial = 8;
	offer("the controller's next, whole", &next, 0);
}

static void without_its_serial_it_does_not_start(void **state)
{
	static const struct {
		const char *says;
		const char *content; /* NULL: gone */
	} rows[] = {
		{"gone", NULL},
		{"empty", ""},
		{"something else", "ztN1 this is no serial, of the right length "},
	};

	(void)state;
	stop_kern();
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct buf kept = keep_file("serial");

		if (rows[i].content)
			assert_int_equal(file_write_at(mine.dir, "serial", rows[i].content,
						       strlen(rows[i].content), 0600),
					 0);
		else
			assert_int_equal(unlinkat(mine.dir, "serial", 0), 0);
		start_kern();
		if (!kern.gone)
			fail_msg("serial %s: it started", rows[i].says);
		assert_as_granted(rows[i].says);
		stop_kern();
		put_back("serial", &kept);
	}
	start_kern();
	assert_false(kern.gone);
	assert_int_equal(kern.serial, 8);
}

static void fill_disk(void)
{
	static const char block[4096];
	int fd = openat(mine.dir, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* The talking role may fill the disk, and end the privileged one. */
static void a_full_disk_costs_the_map_and_not_the_serial(void **state)
{
	struct made old = generous(8), next = full(9);

	(void)state;
	assert_int_equal(unlinkat(mine.dir, "netmap", 0), 0); /* its room would do for the next */
	fill_disk();
	offer("with the disk full", &next, 0);
	stop_kern();
	assert_int_equal(faccessat(mine.dir, "netmap", F_OK, 0), -1);
	start_kern();
	assert_int_equal(kern.serial, 9);
	offer("an older one, with the disk full", &old, -ZT_ESERIAL);
	assert_int_equal(unlinkat(mine.dir, "filler", 0), 0);
	next.serial = 10;
	offer("the next, with room again", &next, 0);
	stop_kern();
	start_kern();
	assert_int_equal(kern.serial, 10);
	assert_int_equal(faccessat(mine.dir, "netmap", F_OK, 0), 0);
}

/* Lines of the privileged role's log so far. */
static size_t log_lines(bool *ret_refused)
{
	size_t n, lines = 0;
	void *log;

	assert_int_equal(file_read_at(mine.dir, "log", 16 << 20, &log, &n), 0);
	for (size_t i = 0; i < n; i++)
		lines += ((const char *)log)[i] == '\n';
	*ret_refused = memmem(log, n, "refused a netmap", 16) != NULL;
	file_wipe(log, n);
	return lines;
}

/* The talking role can have netmaps refused as fast as it writes. */
static void refusals_do_not_fill_the_log(void **state)
{
	enum { MANY = 500, TOLD_MAX = 40 };
	size_t before, lines;
	bool refused;

	(void)state;
	before = log_lines(&refused);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(say(NK_NETMAP, "nonsense", 8), -ZT_EFORM);
	lines = log_lines(&refused) - before;
	assert_true(refused);
	if (lines > TOLD_MAX)
		fail_msg("%d refusals made %zu lines", MANY, lines);
}

static void what_is_no_message_ends_the_channel(void **state)
{
	(void)state;
	assert_int_equal(ipc_send(kern.ipc, 12345, "x", 1), 0);
	hear();
	assert_true(kern.gone);
	assert_as_granted("with the privileged role ended"); /* the kernel holds the lease */
}

/* After a boot, with the map file damaged: nothing passes, and nothing leaves in clear. */
static void a_damaged_map_leaves_the_guards(void **state)
{
	struct seen s;

	(void)state;
	stop_kern();
	assert_int_equal(system("ip link del zt0; nft delete table inet ztnode; "
				"ip route flush proto 122; ip -6 route flush proto 122"),
			 0);
	s = look();
	assert_false(s.link);
	assert_int_equal(s.routes, 0);
	assert_int_equal(file_write_at(mine.dir, "netmap", "damaged", 7, 0600), 0);
	start_kern();
	assert_int_equal(kern.serial, 10); /* which is kept apart from the map */
	s = look();
	assert_false(s.link);
	assert_int_equal(s.peers + s.elems, 0);
	assert_int_equal(s.routes, 2); /* unreachable ones, of both families */
	assert_int_equal(system("ip route show type unreachable proto 122 | grep -q 100.64.0.0/10"),
			 0);
	assert_int_equal(system("ip route flush proto 122"), 0);
	await_routes(2);
}

static int setup(void **state)
{
	struct enrolled who = {.device = FIXTURE_DEVICE,
			       .name = "laptop",
			       .url = "https://ctl",
			       .nets = {fixture_self().net4, fixture_self().net6}};
	struct diag d = {0};

	(void)state;
	if (!mkdtemp(dir) || mount("state", dir, "tmpfs", 0, "size=256k,mode=0700"))
		return -1;
	config.state_dir = config.run_dir = dir;
	key_of_identity(&fixture_network, &who.network_key);
	assert_int_equal(state_open(dir, true, &mine, &d), -ZT_EABSENT);
	assert_int_equal(state_make_keys(&mine, &d), 0);
	assert_int_equal(state_save_enrolled(&mine, &who, &d), 0);
	kern.loop = loop_new();
	kern.guard = loop_timer_new(kern.loop, too_late, NULL);
	start_kern();
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_without_a_map),
		cmocka_unit_test(the_controllers_map_is_enforced),
		cmocka_unit_test(attempts_change_nothing),
		cmocka_unit_test(no_bit_can_be_turned),
		cmocka_unit_test(guards_are_roots),
		cmocka_unit_test(a_restart_forgets_no_serial),
		cmocka_unit_test(a_lost_map_lets_no_older_one_in),
		cmocka_unit_test(an_older_map_that_is_put_back_is_not_enforced),
		cmocka_unit_test(without_its_serial_it_does_not_start),
		cmocka_unit_test(a_full_disk_costs_the_map_and_not_the_serial),
		cmocka_unit_test(refusals_do_not_fill_the_log),
		cmocka_unit_test(what_is_no_message_ends_the_channel),
		cmocka_unit_test(a_damaged_map_leaves_the_guards),
	};

	if (argc != 2 || sodium_init() < 0)
		return 2;
	program = argv[1];
	return cmocka_run_group_tests_name("hostile", tests, setup, NULL);
}
