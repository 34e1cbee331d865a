/* Worker: the one thread that waits for the disk and for big policies, so that the loop never does.
 * Jobs run in the order they were given, urgent ones before the others; their results come back to
 * the loop in the order they ran. */
#pragma once

#include "zt/loop.h"
#include "controller/store/store.h"

struct worker;

struct job {
	void (*work)(struct job *j, struct store *s); /* in the worker's thread */
	void (*done)(struct job *j);		      /* in the loop; frees the job */
	bool urgent; /* a revocation does not wait behind a listing */
	struct job *next;
};

/* From here on the store is used by the worker alone. */
struct worker *worker_new(struct loop *l, struct store *s);
void worker_submit(struct worker *w, struct job *j); /* takes j */
size_t worker_waiting(const struct worker *w);
/* In the loop: is it being freed? Whoever would give a job again and again stops then. */
bool worker_is_ending(const struct worker *w);
/* Finishes what was given and what that gives in turn, runs their done, ends the thread. */
void worker_free(struct worker *w);
