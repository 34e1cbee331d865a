/* Enforcement from the inside: shared by enforce.c (events: messages, timers, another hand in the
 * kernel; what is kept on disk), enforce_reconcile.c (desired - actual -> operations, the one way
 * to the kernel) and enforce_paths.c (which candidate of a peer is tried). */
#pragma once

#include "zt/log.h"
#include "ztnode/core/desired.h"
#include "ztnode/core/path.h"
#include "ztnode/kern/enforce.h"

enum { STATE_ARENA_MAX = 96 << 20 };

struct enforce {
	struct loop *loop;
	const struct node_config *config;
	struct node_state *state;
	struct kernel *kernel;
	void (*port_changed)(void *arg);
	void (*firewall_changed)(void *arg, bool known, bool on);
	void *arg;
	struct mapstate cur;	/* serial 0: no map yet */
	struct mapstate before; /* while a new map is enforced: names of the rules that go */
	bool up;		/* enforcing, not taken down by hand */
	bool lease_over_said;
	uint16_t port; /* asked of the kernel; 0 after the configured one was found taken */
	struct kstate want, have; /* each in its arena */
	struct arena want_arena, have_arena;
	bool have_known;    /* have is what the kernel has */
	struct path *paths; /* one a peer of the map, by id */
	size_t n_paths;
	struct loop_timer *edge_timer; /* next moment at which desired changes by itself */
	struct loop_timer *poll_timer;
	int64_t poll_at_ms;	   /* when it is set to; 0: not */
	struct desired_times made; /* of the desired state that timers are not yet set for */
	struct loop_timer *save_timer;
	bool save_failed; /* and it was said */
	int64_t firewall_told_ms;
	char problem[ROLE_TEXT_MAX];
};

/* --- enforce_reconcile.c --- */

/* What the map in force asks for at this moment, as far as times decide. */
struct desired_times enforce_times(const struct enforce *e, struct now now);
/* The one way to the kernel: reads what it has if that is not known, plans, executes. Nothing when
 * taken down by hand. why and level: how the log tells it. */
int enforce_reconcile(struct enforce *e, const char *why, enum log_level level,
		      struct diag *d) ZT_MUST_USE;
/* Into e->have, afresh. -EEXIST: the interface is another's. Where there may be a filter that
 * nobody knows, no peer is left in WireGuard. */
int enforce_read_have(struct enforce *e, struct diag *d) ZT_MUST_USE;
void enforce_forget_have(struct enforce *e);
void enforce_drop_want(struct enforce *e);
/* No tunnel while nobody knows whether there is a filter. level: how it is logged that there was.
 */
void enforce_shut_all(const struct enforce *e, enum log_level level);
/* All of ours out of the kernel. 0 too when the interface is another's. */
int enforce_take_down(struct enforce *e, struct diag *d) ZT_MUST_USE;
/* Does an overlay range of this node's collide with a route of the machine? As
 * enforce_check_overlap. */
int enforce_check_ranges(struct enforce *e, struct diag *d) ZT_MUST_USE;
/* A line each, up to a limit. */
void enforce_log_ops(const struct enforce *e, const struct op_list *ops, enum log_level level,
		     const char *why);
void enforce_wipe_psks(struct kstate *s);

/* --- enforce_paths.c --- */

/* Paths follow the peers of the map; what is known of a peer that stays is kept. -ENOMEM. */
int enforce_follow_peers(struct enforce *e) ZT_MUST_USE;
/* Peers that the kernel does not have get their first candidate with them. */
void enforce_choose_endpoints(struct enforce *e, struct kstate *want, int64_t boot_ms);
/* The next candidate for each peer of e->have that does not answer at the one it has. */
void enforce_step_paths(struct enforce *e);
/* NULL: s does not have it. */
const struct kpeer *enforce_find_peer(const struct kstate *s, const struct key *pub);
