/* The event loop against the real kernel: order of timers, things freed inside callbacks, signals.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "zt/loop.h"

enum { TIMERS = 300, GUARD_MS = 5000 };

struct fixture {
	struct loop *loop;
	struct loop_timer *guard; /* a test that would hang fails */
	char trace[64];
};

static void trace(struct fixture *f, char c)
{
	size_t n = strlen(f->trace);

	assert_true(n + 1 < sizeof(f->trace));
	f->trace[n] = c;
}

static void too_late(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop, 99);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->loop = loop_new();
	assert_non_null(f->loop);
	f->guard = loop_timer_new(f->loop, too_late, f);
	loop_timer_set(f->guard, clock_now().boot_ms + GUARD_MS);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_timer_free(f->guard);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* --- timers --- */

struct note {
	struct fixture *f;
	struct loop_timer *timer, *other;
	char c;
};

static void note(void *arg)
{
	struct note *n = arg;

	trace(n->f, n->c);
}

static void note_and_stop(void *arg)
{
	struct note *n = arg;

	trace(n->f, n->c);
	loop_stop(n->f->loop, 5);
}

static void timers_fire_in_their_order(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_now().boot_ms;
	struct note a = {f, NULL, NULL, 'a'}, b = {f, NULL, NULL, 'b'}, c = {f, NULL, NULL, 'c'},
		    d = {f, NULL, NULL, 'd'};
	struct loop_timer *ta = loop_timer_new(f->loop, note, &a);
	struct loop_timer *tb = loop_timer_new(f->loop, note, &b);
	struct loop_timer *tc = loop_timer_new(f->loop, note_and_stop, &c);
	struct loop_timer *td = loop_timer_new(f->loop, note, &d);

	loop_timer_set(tc, now + 20);
	loop_timer_set(tb, now + 10);
	loop_timer_set(ta, now - 5);
	loop_timer_set(td, now - 10);
	loop_timer_set(td, -1);
	assert_true(loop_timer_is_set(ta));
	assert_false(loop_timer_is_set(td));
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->trace, "abc");
	assert_false(loop_timer_is_set(ta));
	assert_true(clock_now().boot_ms >= now + 20);
	loop_timer_free(ta);
	loop_timer_free(tb);
	loop_timer_free(tc);
	loop_timer_free(td);
	loop_timer_free(NULL);
}

struct many {
	struct loop *loop;
	struct loop_timer *timer;
	int64_t at;
	int64_t *last;
	size_t *left;
};

static void in_order(void *arg)
{
	struct many *m = arg;

	assert_true(m->at >= *m->last);
	*m->last = m->at;
	if (--*m->left == 0)
		loop_stop(m->loop, 0);
}

/* Set, set again, taken out of the middle: the heap keeps its order. */
static void many_timers_fire_in_their_order(void **state)
{
	struct fixture *f = *state;
	static struct many many[TIMERS];
	int64_t last = 0, base = clock_now().boot_ms - 100000;
	size_t left = 0;
	uint32_t random = 7;

	for (size_t i = 0; i < TIMERS; i++) {
		random = random * 1103515245 + 12345;
		many[i] = (struct many){f->loop, NULL, base + (random >> 16) % 997, &last, &left};
		many[i].timer = loop_timer_new(f->loop, in_order, &many[i]);
		loop_timer_set(many[i].timer, many[i].at);
	}
	for (size_t i = 0; i < TIMERS; i++) {
		if (i % 3 == 0) {
			loop_timer_set(many[i].timer, -1);
			continue;
		}
		left++;
		random = random * 1103515245 + 12345;
		if (i % 3 == 1)
			many[i].at = base + (random >> 16) % 997;
		loop_timer_set(many[i].timer, many[i].at);
	}
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(left, 0);
	for (size_t i = 0; i < TIMERS; i++)
		loop_timer_free(many[i].timer);
}

static void free_both(void *arg)
{
	struct note *n = arg;

	trace(n->f, n->c);
	loop_timer_free(n->other);
	loop_timer_free(n->timer);
}

static void a_timer_may_free_itself_and_one_that_is_due(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_now().boot_ms;
	struct note a = {f, NULL, NULL, 'a'}, b = {f, NULL, NULL, 'b'}, c = {f, NULL, NULL, 'c'};
	struct loop_timer *last = loop_timer_new(f->loop, note_and_stop, &c);

	a.timer = loop_timer_new(f->loop, free_both, &a);
	a.other = loop_timer_new(f->loop, note, &b);
	loop_timer_set(a.timer, now - 3);
	loop_timer_set(a.other, now - 2);
	loop_timer_set(last, now - 1);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->trace, "ac");
	loop_timer_free(last);
}

static void set_again(void *arg)
{
	struct note *n = arg;

	trace(n->f, n->c);
	if (strlen(n->f->trace) < 3)
		loop_timer_set(n->timer, 0);
	else
		loop_stop(n->f->loop, 0);
}

static void a_timer_may_set_itself_again_in_the_same_turn(void **state)
{
	struct fixture *f = *state;
	struct note a = {f, NULL, NULL, 'a'};

	a.timer = loop_timer_new(f->loop, set_again, &a);
	loop_timer_set(a.timer, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->trace, "aaa");
	loop_timer_free(a.timer);
}

/* --- descriptors --- */

struct end {
	struct fixture *f;
	struct loop_io *io, *other;
	int fd;
	char c;
};

static void make_pipe(int fd[2])
{
	assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
}

static void take_byte(void *arg, uint32_t events)
{
	struct end *e = arg;
	char c;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(e->fd, &c, 1), 1);
	trace(e->f, e->c);
	loop_stop(e->f->loop, 0);
}

static void a_descriptor_that_is_ready_is_told(void **state)
{
	struct fixture *f = *state;
	struct end e = {.f = f, .c = 'r'};
	int fd[2];

	make_pipe(fd);
	e.fd = fd[0];
	e.io = loop_io_new(f->loop, fd[0], EPOLLIN, take_byte, &e);
	assert_non_null(e.io);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->trace, "r");
	loop_io_free(e.io);
	loop_io_free(NULL);
	close(fd[0]);
	close(fd[1]);
}

static void free_ios(void *arg, uint32_t events)
{
	struct end *e = arg;

	(void)events;
	trace(e->f, e->c);
	loop_io_free(e->other);
	loop_io_free(e->io);
	close(e->fd);
	loop_stop(e->f->loop, 0);
}

/* Two are ready in one turn; the first frees both: the second is not called any more. */
static void a_descriptor_may_free_itself_and_another_that_is_ready(void **state)
{
	struct fixture *f = *state;
	struct end a = {.f = f, .c = 'x'}, b = {.f = f, .c = 'x'};
	int p[2], q[2];

	make_pipe(p);
	make_pipe(q);
	a.fd = p[0];
	b.fd = q[0];
	a.io = b.other = loop_io_new(f->loop, p[0], EPOLLIN, free_ios, &a);
	b.io = a.other = loop_io_new(f->loop, q[0], EPOLLIN, free_ios, &b);
	assert_int_equal(write(p[1], "x", 1) + write(q[1], "x", 1), 2);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->trace, "x");
	close(p[1]);
	close(q[1]);
}

static void ignored_events_do_not_come(void **state)
{
	struct fixture *f = *state;
	struct end e = {.f = f, .c = 'r'};
	struct note n = {f, NULL, NULL, 't'};
	struct loop_timer *t = loop_timer_new(f->loop, note_and_stop, &n);
	int fd[2];

	make_pipe(fd);
	e.fd = fd[0];
	e.io = loop_io_new(f->loop, fd[0], EPOLLIN, take_byte, &e);
	loop_io_set(e.io, 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	loop_timer_set(t, clock_now().boot_ms + 10);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->trace, "t");
	loop_io_set(e.io, EPOLLIN);
	assert_int_equal(loop_run(f->loop), 0);
	assert_string_equal(f->trace, "tr");
	loop_io_free(e.io);
	loop_timer_free(t);
	close(fd[0]);
	close(fd[1]);
}

static void a_closed_descriptor_is_no_watch(void **state)
{
	struct fixture *f = *state;

	assert_null(loop_io_new(f->loop, -1, EPOLLIN, take_byte, NULL));
}

/* --- signals, and the end of a turn --- */

static void on_signal(void *arg, int signo)
{
	struct fixture *f = arg;

	trace(f, signo == SIGUSR1 ? '1' : '2');
	loop_stop(f->loop, signo);
}

static void signals_come_as_events(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(loop_signal(f->loop, SIGUSR1, on_signal, f), 0);
	assert_int_equal(loop_signal(f->loop, SIGUSR2, on_signal, f), 0);
	raise(SIGUSR2);
	assert_int_equal(loop_run(f->loop), SIGUSR2);
	raise(SIGUSR1);
	assert_int_equal(loop_run(f->loop), SIGUSR1);
	assert_string_equal(f->trace, "21");
}

static void after(void *arg)
{
	trace(arg, '.');
}

static void the_end_of_a_turn_comes_after_all_of_its_events(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_now().boot_ms;
	struct note a = {f, NULL, NULL, 'a'}, b = {f, NULL, NULL, 'b'};
	struct loop_timer *ta = loop_timer_new(f->loop, note, &a);
	struct loop_timer *tb = loop_timer_new(f->loop, note_and_stop, &b);

	loop_after(f->loop, after, f);
	loop_timer_set(ta, now - 2);
	loop_timer_set(tb, now - 1);
	assert_int_equal(loop_run(f->loop), 5);
	assert_string_equal(f->trace, "ab.");
	loop_timer_free(ta);
	loop_timer_free(tb);
}

static void the_time_stands_still_within_a_turn(void **state)
{
	struct fixture *f = *state;
	struct now a = loop_now(f->loop), b;

	usleep(3000);
	b = loop_now(f->loop);
	assert_int_equal(a.boot_ms, b.boot_ms);
	assert_int_equal(a.wall_ms, b.wall_ms);
}

#define looped(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		looped(timers_fire_in_their_order),
		looped(many_timers_fire_in_their_order),
		looped(a_timer_may_free_itself_and_one_that_is_due),
		looped(a_timer_may_set_itself_again_in_the_same_turn),
		looped(a_descriptor_that_is_ready_is_told),
		looped(a_descriptor_may_free_itself_and_another_that_is_ready),
		looped(ignored_events_do_not_come),
		looped(a_closed_descriptor_is_no_watch),
		looped(signals_come_as_events),
		looped(the_end_of_a_turn_comes_after_all_of_its_events),
		looped(the_time_stands_still_within_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
