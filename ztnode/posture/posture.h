/* The facts that the controller asks for about this machine: read when they may have changed, kept
 * with their age, told at once when they change. Lives in the talking role: needs no rights, and a
 * fact that it may not read is unknown. docs/posture.md says where each fact comes from. */
#pragma once

#include "zt/arena.h"
#include "zt/loop.h"
#include "zt/report.h"

struct posture;

/* root: "/" in life, a fixture in tests. custom_dir: absolute path of the directory of posture
 * scripts, or NULL; it and they have to belong to root (under a fixture, to the caller). changed is
 * called from the loop, at most once a turn, when a fact that is asked for has another state or
 * value than before; posture_ask and posture_snapshot may be called from it, posture_free may not.
 * NULL with errno. */
struct posture *posture_new(struct loop *l, const char *root, const char *custom_dir,
			    void (*changed)(void *arg), void *arg);
void posture_free(struct posture *p); /* takes NULL */

/* From now on exactly these facts are wanted (order and doubles do not matter). They are read
 * before it returns, without changed; hashes and scripts come later, with changed. Names that are
 * no facts are unknown. -ZT_ELIMIT (over ZT_FACTS_MAX or ZT_FACT_NAME_MAX), -ZT_EFORM (a name that
 * is no text), -ENOMEM: what was asked before stands. */
int posture_ask(struct posture *p, const char *const *names, size_t n) ZT_MUST_USE;

/* What another process, which has the rights, found for a fact; asked for or not yet. It takes the
 * place of an own reading, unless that one is "true" (firewall.enabled: either view suffices) or
 * the only one that is known. Its age counts from this call, so it has to be repeated. -ZT_ELIMIT:
 * too many, or too long. */
int posture_set(struct posture *p, const char *name, enum fact_state state,
		const char *value) ZT_MUST_USE;

/* All wanted facts with their ages, in a, sorted by name. -ENOMEM or -ZT_ELIMIT of the arena. */
int posture_snapshot(struct posture *p, struct arena *a, struct fact **ret,
		     size_t *ret_n) ZT_MUST_USE;
