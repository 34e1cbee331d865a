/* Tells when one of a set of paths may have come, gone or changed (inotify). A path need not exist:
 * every directory on the way to it is watched for the next part, and what it leads to for its
 * content. Not seen: a change through mmap, on a network file system, or of a link in the middle of
 * a chain of links. */
#pragma once

#include "zt/loop.h"
#include "ztnode/posture/source.h"

struct watch;

/* id: as given to watch_add. May be called more than once for one change. */
typedef void (*watch_fn)(void *arg, size_t id);

/* s is borrowed. NULL with errno. */
struct watch *watch_new(struct loop *l, const struct source *s, watch_fn fn, void *arg);
void watch_free(struct watch *w); /* takes NULL */
/* An error (-EACCES, -ENOSPC ...) means that changes of the path will not all be told: it has to be
 * polled. */
int watch_add(struct watch *w, const char *path, size_t id) ZT_MUST_USE;
