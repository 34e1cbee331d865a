/* The daemon's socket under members of its group who are many, quick or gone: nobody keeps root, or
 * another user, from the daemon. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ztnode/net/control.h"

enum {
	USER = 12345,
	USER_MAX = 8,
	OTHERS_MAX = 24,
	ALL_MAX = 32,
	HELD_MAX = 64,
	TURNS_MAX = 50,
	PATIENCE_MS = 20000
};

static struct {
	char dir[32];
	struct sockaddr_un at;
	struct loop *loop;
	struct loop_timer *timer;
	struct control *control;
	struct control_call *held[HELD_MAX];
	size_t n_held;
	unsigned turns;
	int clients[HELD_MAX];
	size_t n_clients;
} t;

static void verb_now(void *arg, struct control_call *call, json_t *request)
{
	(void)arg, (void)request;
	control_answer(call, json_object());
}

static void verb_later(void *arg, struct control_call *call, json_t *request)
{
	(void)arg, (void)request;
	assert_true(t.n_held < HELD_MAX);
	t.held[t.n_held++] = call;
}

static const struct control_verb verbs[] = {
	{"now", false, verb_now}, {"later", false, verb_later}, {NULL, false, NULL}};

static void stop(void *arg)
{
	(void)arg;
	loop_stop(t.loop, 0);
}

static void count_turn(void *arg)
{
	(void)arg;
	t.turns++;
}

static void run_for(int64_t ms)
{
	loop_timer_set(t.timer, clock_now().boot_ms + ms);
	assert_int_equal(loop_run(t.loop), 0);
}

/* What is ready on a Unix socket is so at once: a few turns show all of it. */
static void settle(void)
{
	for (int i = 0; i < 4; i++)
		run_for(0);
}

static int set_up(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)state;
	memset(&t, 0, sizeof(t));
	t.at.sun_family = AF_UNIX;
	strcpy(t.dir, "/tmp/zt-control-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	assert_int_equal(chmod(t.dir, 0755), 0);
	snprintf(t.at.sun_path, sizeof(t.at.sun_path), "%s/s", t.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&t.at, sizeof(t.at)), 0);
	assert_int_equal(chmod(t.at.sun_path, 0666), 0);
	assert_int_equal(listen(fd, HELD_MAX), 0);
	t.loop = loop_new();
	t.timer = loop_timer_new(t.loop, stop, NULL);
	t.control = control_new(t.loop, fd, verbs, NULL);
	assert_non_null(t.control);
	loop_after(t.loop, count_turn, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < t.n_clients; i++)
		close(t.clients[i]);
	control_free(t.control);
	for (size_t i = 0; i < t.n_held; i++)
		control_answer(t.held[i], json_object()); /* to nobody, of a control that is gone */
	loop_timer_free(t.timer);
	loop_free(t.loop);
	unlink(t.at.sun_path);
	return rmdir(t.dir);
}

/* As this user, where we may be one. */
static int call_as(uid_t uid, const char *line)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool change = geteuid() == 0 && uid != 0;

	if (change)
		assert_int_equal(seteuid(uid), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&t.at, sizeof(t.at)), 0);
	if (change)
		assert_int_equal(seteuid(0), 0);
	if (line)
		assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	return fd;
}

/* How many of n calls of this user's stay open. */
static size_t stay_open(uid_t uid, size_t n)
{
	size_t first = t.n_clients, open = 0;

	for (size_t i = 0; i < n; i++)
		t.clients[t.n_clients++] = call_as(uid, NULL);
	settle();
	for (size_t i = first; i < t.n_clients; i++) {
		char c;

		open += recv(t.clients[i], &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
	}
	return open;
}

static bool is_answered(int fd)
{
	char text[64] = "";

	settle();
	return recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0 && strstr(text, "\"ok\":true");
}

static bool is_ready(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

static void nobody_takes_all_places(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(stay_open(USER, USER_MAX + 2), USER_MAX);
	assert_int_equal(stay_open(USER + 1, USER_MAX), USER_MAX);
	assert_int_equal(stay_open(USER + 2, USER_MAX + 1), USER_MAX);
	assert_int_equal(stay_open(USER + 3, 1), 0); /* what is left is root's */
	assert_int_equal(stay_open(0, ALL_MAX - OTHERS_MAX + 1), ALL_MAX - OTHERS_MAX);
}

/* What a verb still works on counts, though its client has gone: asking and hanging up is no way to
 * more. */
static void a_place_is_free_when_its_verb_has_answered(void **state)
{
	int fd;

	(void)state;
	for (int i = 0; i < USER_MAX; i++) {
		fd = call_as(USER, "{\"verb\":\"later\"}\n");
		settle();
		close(fd);
		settle();
	}
	assert_int_equal(t.n_held, USER_MAX);
	assert_int_equal(stay_open(USER, 1), 0);
	while (t.n_held)
		control_answer(t.held[--t.n_held], json_object());
	fd = call_as(USER, "{\"verb\":\"now\"}\n");
	assert_true(is_answered(fd));
	close(fd);
}

/* The caller waits in the queue; the loop must not ask for it all the time. */
static void without_descriptors_the_loop_rests(void **state)
{
	struct rlimit was, none;
	int fd = call_as(USER, "{\"verb\":\"now\"}\n"), next = dup(fd);

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){(rlim_t)next, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	t.turns = 0;
	run_for(500);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	if (t.turns > TURNS_MAX)
		fail_msg("%u turns of the loop in 500 ms", t.turns);
	for (int64_t end = clock_now().boot_ms + PATIENCE_MS;
	     !is_ready(fd) && clock_now().boot_ms < end;)
		run_for(10);
	assert_true(is_answered(fd));
	close(fd);
}

#define at_a_socket(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		at_a_socket(nobody_takes_all_places),
		at_a_socket(a_place_is_free_when_its_verb_has_answered),
		at_a_socket(without_descriptors_the_loop_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
