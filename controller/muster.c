/* Muster: a job with nothing for the worker to do, given to it again for each slice. */
#include "controller/muster.h"

#include <errno.h>
#include <stdlib.h>

enum { SLICE_DEVICES = 1000 }; /* copied at once: about a millisecond of the loop */

struct muster {
	struct job job;
	struct worker *worker;
	const struct model *model;
	struct roll *roll;
	muster_then then;
	void *arg;
};

static void muster_work(struct job *job, struct store *s)
{
	(void)job;
	(void)s;
}

static void finish(struct muster *m, int err)
{
	if (err) {
		roll_free(m->roll);
		m->roll = NULL;
	}
	m->then(m->arg, err, m->roll);
	free(m);
}

static void muster_done(struct job *job)
{
	struct muster *m = (struct muster *)job;
	int more = roll_step(m->roll, m->model, SLICE_DEVICES);

	if (more > 0)
		worker_submit(m->worker, &m->job);
	else
		finish(m, more);
}

void muster_start(struct worker *w, const struct model *model, muster_then then, void *arg)
{
	struct muster *m = calloc(1, sizeof(*m));

	if (m)
		*m = (struct muster){.job = {.work = muster_work,
					     .done = muster_done,
					     .urgent = true}, /* it is no work */
				     .worker = w,
				     .model = model,
				     .roll = roll_new(),
				     .then = then,
				     .arg = arg};
	if (!m || !m->roll) {
		free(m);
		then(arg, -ENOMEM, NULL);
		return;
	}
	worker_submit(w, &m->job);
}
