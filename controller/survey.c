/* Survey: one job that is given to the worker again and again until it is done. */
#include "controller/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/census.h"
#include "controller/muster.h"
#include "controller/policy/reading.h"

enum {
	SLICE_DEVICES = 1000, /* copied at once: about a millisecond of the loop */
	STEP_GRANTS = 200000, /* compared at once: some ten milliseconds of the worker */
};

struct survey_job {
	struct job job;
	struct survey_config c;
	char *text;
	size_t n;
	struct roll *roll;	       /* for the invariants */
	struct policy_reading reading; /* its problems are those of the result */
	struct census *census;
	struct preview *preview;
	bool counted; /* the census is whole */
	bool compared;
	struct survey result;
	survey_then then;
	void *arg;
};

/* --- in the worker --- */

static void fail(struct survey_job *j, int err)
{
	j->result.err = diag_set(&j->result.diag, err, "%s", zt_strerror(err));
}

static int begin_reading(struct survey_job *j)
{
	struct survey *r = &j->result;
	const struct subject *subjects;
	size_t n_subjects;

	subjects = roll_subjects(j->roll, &n_subjects);
	j->reading.problems = (struct diag_list){
		.items = r->problems, .max = sizeof(r->problems) / sizeof(r->problems[0])};
	return policy_read_begin(&j->reading, j->text, j->n, &j->c.env, subjects, n_subjects);
}

static void read_policy(struct survey_job *j)
{
	int more = j->reading.policy ? policy_read_step(&j->reading) : begin_reading(j);
	struct survey *r = &j->result;

	if (more == 1)
		return;
	r->err = more;
	r->n_problems = j->reading.problems.n;
	r->dropped = j->reading.problems.dropped;
	if (more)
		policy_refused(more, &j->reading.problems, &r->diag);
}

static int begin_preview(struct survey_job *j)
{
	const struct preview_device *v;
	size_t n;
	int err = census_judge(j->census);

	v = census_devices(j->census, &n);
	return err ? err
		   : preview_new(census_before(j->census), census_canary(j->census),
				 j->reading.policy, v, n, j->c.now_ms / 1000, &j->preview);
}

static int finish_preview(struct survey_job *j)
{
	struct survey *r = &j->result;

	j->compared = true;
	r->result = preview_result(j->preview);
	return preview_cuts(j->preview, r->path.src, r->path.dst, &r->path.svc, &r->cuts_path);
}

static void compare(struct survey_job *j)
{
	int err = j->preview ? 0 : begin_preview(j);

	if (!err)
		err = preview_step(j->preview, STEP_GRANTS);
	if (!err)
		err = finish_preview(j);
	if (err < 0)
		fail(j, err);
}

static void survey_work(struct job *job, struct store *s)
{
	struct survey_job *j = (struct survey_job *)job;

	(void)s;
	if (!j->reading.policy || j->reading.proof)
		read_policy(j);
	else if (j->counted)
		compare(j);
}

/* --- in the loop --- */

static void finish(struct survey_job *j)
{
	if (j->result.err)
		j->result.result = NULL;
	j->then(j->arg, &j->result);
	preview_free(j->preview);
	census_free(j->census);
	policy_read_end(&j->reading);
	roll_free(j->roll);
	free(j->text);
	free(j);
}

static int count(struct survey_job *j)
{
	int err = 0;

	if (!j->census)
		err = census_new(j->c.model, j->reading.policy, j->c.now_ms, &j->census);
	return err ? err : census_step(j->census, j->c.model, SLICE_DEVICES);
}

static void survey_done(struct job *job)
{
	struct survey_job *j = (struct survey_job *)job;
	int more = j->result.err || j->counted ? 0 : j->reading.proof ? 1 : count(j);

	if (worker_is_ending(j->c.worker) && !j->compared && !j->result.err)
		more = -ECANCELED;
	if (more < 0)
		fail(j, more);
	else
		j->counted = !more;
	if (j->result.err || j->compared)
		finish(j);
	else
		worker_submit(j->c.worker, &j->job);
}

static void mustered(void *arg, int err, struct roll *r)
{
	struct survey_job *j = arg;

	j->roll = r;
	if (err) {
		fail(j, err);
		finish(j);
		return;
	}
	worker_submit(j->c.worker, &j->job);
}

void survey_start(const struct survey_config *c, const char *text, size_t n,
		  const struct survey_path *path, survey_then then, void *arg)
{
	static const struct survey no_memory = {.err = -ENOMEM, .diag.message = "out of memory"};
	struct survey_job *j = calloc(1, sizeof(*j));
	char *copy = malloc(n + 1);

	if (!j || !copy) {
		free(j);
		free(copy);
		then(arg, &no_memory);
		return;
	}
	memcpy(copy, text, n);
	copy[n] = '\0';
	*j = (struct survey_job){.job = {.work = survey_work, .done = survey_done},
				 .c = *c,
				 .text = copy,
				 .n = n,
				 .then = then,
				 .arg = arg};
	j->result.path = *path;
	muster_start(c->worker, c->model, mustered, j);
}
