/* Event loop: epoll for descriptors, a binary heap of timers on CLOCK_BOOTTIME (through one
 * timerfd, so that a sleeping machine wakes to what is due), signalfd. Callbacks may free
 * themselves or others: a freed watch is only marked and swept when the turn ends. */
#include "zt/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS_TURN = 128, SIGNALS_MAX = 8, AFTERS_MAX = 8, TIMER_IDLE = -1 };

struct loop_io {
	struct loop *loop;
	int fd;
	uint32_t events;
	loop_io_fn fn;
	void *arg;
	bool dead;
	struct loop_io *next_dead;
};

struct loop_timer {
	struct loop *loop;
	loop_timer_fn fn;
	void *arg;
	int64_t at_ms;
	long slot; /* in the heap; TIMER_IDLE: not armed */
};

struct loop {
	int epoll_fd, timer_fd, signal_fd;
	struct now now;
	bool stopping;
	int status;
	struct loop_timer **heap;
	size_t n_heap, cap_heap;
	size_t n_timers;  /* armed or not */
	int64_t armed_ms; /* what the timerfd is set to; -1 none */
	struct loop_io *dead;
	struct loop_io *timer_io, *signal_io;
	sigset_t signals;
	struct {
		int signo;
		loop_signal_fn fn;
		void *arg;
	} handlers[SIGNALS_MAX];
	size_t n_handlers;
	struct {
		void (*fn)(void *arg);
		void *arg;
	} afters[AFTERS_MAX];
	size_t n_afters;
};

/* --- timer heap: the earliest first --- */

static void heap_place(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->slot = (long)i;
}

static void heap_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (; i > 0 && l->heap[(i - 1) / 2]->at_ms > t->at_ms; i = (i - 1) / 2)
		heap_place(l, i, l->heap[(i - 1) / 2]);
	heap_place(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->n_heap)
			break;
		if (child + 1 < l->n_heap && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
			child++;
		if (l->heap[child]->at_ms >= t->at_ms)
			break;
		heap_place(l, i, l->heap[child]);
		i = child;
	}
	heap_place(l, i, t);
}

static void heap_remove(struct loop_timer *t)
{
	struct loop *l = t->loop;
	size_t i = (size_t)t->slot;

	t->slot = TIMER_IDLE;
	l->n_heap--;
	if (i == l->n_heap)
		return;
	heap_place(l, i, l->heap[l->n_heap]);
	heap_up(l, i);
	heap_down(l, (size_t)l->heap[i]->slot);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *arg)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	/* Room in the heap is taken here, so that arming a timer never fails. */
	if (l->n_timers == l->cap_heap) {
		size_t cap = l->cap_heap ? l->cap_heap * 2 : 64;
		struct loop_timer **heap = reallocarray(l->heap, cap, sizeof(struct loop_timer *));

		if (!heap) {
			free(t);
			return NULL;
		}
		l->heap = heap;
		l->cap_heap = cap;
	}
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg, .slot = TIMER_IDLE};
	l->n_timers++;
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t at_boot_ms)
{
	struct loop *l = t->loop;

	if (t->slot != TIMER_IDLE)
		heap_remove(t);
	if (at_boot_ms < 0)
		return;
	t->at_ms = at_boot_ms;
	heap_place(l, l->n_heap++, t);
	heap_up(l, l->n_heap - 1);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->slot != TIMER_IDLE;
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_set(t, -1);
	t->loop->n_timers--;
	free(t);
}

static void timers_run(struct loop *l)
{
	while (l->n_heap && l->heap[0]->at_ms <= l->now.boot_ms && !l->stopping) {
		struct loop_timer *t = l->heap[0];

		heap_remove(t);
		t->fn(t->arg);
	}
}

/* The timerfd follows the head of the heap; set only when that changes. */
static void timers_arm(struct loop *l)
{
	int64_t at = l->n_heap ? l->heap[0]->at_ms : -1;
	struct itimerspec its = {0};

	if (at == l->armed_ms)
		return;
	if (at >= 0) {
		its.it_value.tv_sec = at / 1000;
		its.it_value.tv_nsec = at % 1000 * 1000000;
		if (at == 0)
			its.it_value.tv_nsec = 1; /* zero would disarm */
	}
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
	l->armed_ms = at;
}

static void timer_fd_ready(void *arg, uint32_t events)
{
	struct loop *l = arg;
	uint64_t ticks;

	(void)events;
	if (read(l->timer_fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks))
		l->armed_ms = -2; /* fired: whatever is next must be set anew */
}

/* --- descriptors --- */

struct loop_io *loop_io_new(struct loop *l, int fd, uint32_t events, loop_io_fn fn, void *arg)
{
	struct loop_io *io = calloc(1, sizeof(*io));
	struct epoll_event ev = {.events = events};

	if (!io)
		return NULL;
	*io = (struct loop_io){.loop = l, .fd = fd, .events = events, .fn = fn, .arg = arg};
	ev.data.ptr = io;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(io);
		return NULL;
	}
	return io;
}

void loop_io_set(struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	if (io->events == events)
		return;
	if (epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) == 0)
		io->events = events;
}

void loop_io_free(struct loop_io *io)
{
	if (!io || io->dead)
		return;
	epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	io->dead = true;
	io->next_dead = io->loop->dead;
	io->loop->dead = io;
}

static void sweep(struct loop *l)
{
	while (l->dead) {
		struct loop_io *io = l->dead;

		l->dead = io->next_dead;
		free(io);
	}
}

/* --- signals --- */

static void signal_fd_ready(void *arg, uint32_t events)
{
	struct loop *l = arg;
	struct signalfd_siginfo si;

	(void)events;
	while (read(l->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		for (size_t i = 0; i < l->n_handlers; i++)
			if (l->handlers[i].signo == (int)si.ssi_signo)
				l->handlers[i].fn(l->handlers[i].arg, l->handlers[i].signo);
}

int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *arg)
{
	int fd;

	if (l->n_handlers == SIGNALS_MAX)
		return -ENOSPC;
	sigaddset(&l->signals, signo);
	if (sigprocmask(SIG_BLOCK, &l->signals, NULL) < 0)
		return -errno;
	fd = signalfd(l->signal_fd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	l->signal_fd = fd;
	if (!l->signal_io)
		l->signal_io = loop_io_new(l, fd, EPOLLIN, signal_fd_ready, l);
	if (!l->signal_io)
		return -ENOMEM;
	l->handlers[l->n_handlers].signo = signo;
	l->handlers[l->n_handlers].fn = fn;
	l->handlers[l->n_handlers++].arg = arg;
	return 0;
}

/* --- the loop --- */

void loop_after(struct loop *l, void (*fn)(void *arg), void *arg)
{
	if (l->n_afters == AFTERS_MAX)
		abort(); /* a constant of our own program */
	l->afters[l->n_afters].fn = fn;
	l->afters[l->n_afters++].arg = arg;
}

struct now loop_now(const struct loop *l)
{
	return l->now;
}

void loop_stop(struct loop *l, int status)
{
	l->stopping = true;
	l->status = status;
}

static void dispatch(struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct loop_io *io = events[i].data.ptr;

		if (!io->dead)
			io->fn(io->arg, events[i].events);
	}
}

int loop_run(struct loop *l)
{
	struct epoll_event events[EVENTS_TURN];

	l->stopping = false;
	while (!l->stopping) {
		int n;

		timers_arm(l);
		n = epoll_wait(l->epoll_fd, events, EVENTS_TURN, -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		l->now = clock_now();
		dispatch(events, n);
		timers_run(l);
		for (size_t i = 0; i < l->n_afters; i++)
			l->afters[i].fn(l->afters[i].arg);
		sweep(l);
	}
	return l->status;
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->signal_fd = -1;
	l->armed_ms = -1;
	l->now = clock_now();
	sigemptyset(&l->signals);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epoll_fd >= 0 && l->timer_fd >= 0)
		l->timer_io = loop_io_new(l, l->timer_fd, EPOLLIN, timer_fd_ready, l);
	if (!l->timer_io) {
		loop_free(l);
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_io_free(l->timer_io);
	loop_io_free(l->signal_io);
	sweep(l);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	free(l->heap);
	free(l);
}
