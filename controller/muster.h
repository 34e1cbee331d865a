/* Muster: the roll (model/roll.h), taken while the controller runs: the loop copies a slice at a
 * time, and others get their turn between two. */
#pragma once

#include "controller/model/roll.h"
#include "controller/worker.h"

/* err 0: the roll is the callee's. -ENOMEM: NULL. */
typedef void (*muster_then)(void *arg, int err, struct roll *r);

/* then(arg, ..) in the loop, later or, out of memory, at once. */
void muster_start(struct worker *w, const struct model *m, muster_then then, void *arg);
