/* A thread, two lists, an eventfd. */
#include "controller/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct list {
	struct job *first, **last;
};

struct worker {
	struct store *store;
	struct loop_io *io;
	int event_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t wake;
	struct list urgent, todo, finished;
	size_t waiting;
	bool ending;
};

static void list_init(struct list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct list *l, struct job *j)
{
	j->next = NULL;
	*l->last = j;
	l->last = &j->next;
}

static struct job *list_take(struct list *l)
{
	struct job *j = l->first;

	if (!j)
		return NULL;
	l->first = j->next;
	if (!l->first)
		l->last = &l->first;
	return j;
}

static struct job *take_todo(struct worker *w)
{
	struct job *j = list_take(&w->urgent);

	return j ? j : list_take(&w->todo);
}

static struct job *next_job(struct worker *w)
{
	struct job *j;

	pthread_mutex_lock(&w->lock);
	while (!(j = take_todo(w)) && !w->ending)
		pthread_cond_wait(&w->wake, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void *thread_main(void *arg)
{
	struct worker *w = arg;
	struct job *j;

	while ((j = next_job(w))) {
		j->work(j, w->store);
		pthread_mutex_lock(&w->lock);
		list_add(&w->finished, j);
		pthread_mutex_unlock(&w->lock);
		eventfd_write(w->event_fd, 1);
	}
	return NULL;
}

static void run_done(struct worker *w)
{
	struct job *j;

	for (;;) {
		pthread_mutex_lock(&w->lock);
		j = list_take(&w->finished);
		w->waiting -= j ? 1 : 0;
		pthread_mutex_unlock(&w->lock);
		if (!j)
			return;
		j->done(j);
	}
}

static void event_ready(void *arg, uint32_t events)
{
	struct worker *w = arg;
	eventfd_t n;

	(void)events;
	if (eventfd_read(w->event_fd, &n) == 0)
		run_done(w);
}

static int start_thread(struct worker *w)
{
	sigset_t all, old;
	int err;

	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, thread_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

struct worker *worker_new(struct loop *l, struct store *s)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->store = s;
	list_init(&w->urgent);
	list_init(&w->todo);
	list_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->io = w->event_fd >= 0 ? loop_io_new(l, w->event_fd, EPOLLIN, event_ready, w) : NULL;
	if (!w->io || start_thread(w)) {
		loop_io_free(w->io);
		if (w->event_fd >= 0)
			close(w->event_fd);
		pthread_mutex_destroy(&w->lock);
		pthread_cond_destroy(&w->wake);
		free(w);
		return NULL;
	}
	return w;
}

void worker_submit(struct worker *w, struct job *j)
{
	pthread_mutex_lock(&w->lock);
	list_add(j->urgent ? &w->urgent : &w->todo, j);
	w->waiting++;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

size_t worker_waiting(const struct worker *w)
{
	return w->waiting; /* written by the loop's thread alone */
}

bool worker_is_ending(const struct worker *w)
{
	return w->ending; /* so is this */
}

void worker_free(struct worker *w)
{
	struct job *j;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	run_done(w);
	while ((j = take_todo(w))) { /* given by a done; nobody else has the store now */
		j->work(j, w->store);
		list_add(&w->finished, j);
		run_done(w);
	}
	loop_io_free(w->io);
	close(w->event_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	free(w);
}
