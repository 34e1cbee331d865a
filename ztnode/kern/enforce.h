/* Enforce: keeps the kernel as the map in force wants it. Owns the map, the lease, what is desired
 * and what the kernel is known to have. Everything that happens (a new map, a lease's end, another
 * hand in the kernel) ends in one function. */
#pragma once

#include "zt/loop.h"
#include "ztnode/kern/kernel.h"
#include "ztnode/kern/state.h"

struct enforce;

/* Borrows all. Adopts what an earlier daemon left in the kernel. Errors with a hint: no rights, no
 * WireGuard, the interface is another's, the overlay range collides with a route of the machine. */
int enforce_new(struct loop *l, const struct node_config *c, struct node_state *s,
		void (*port_changed)(void *arg),
		void (*firewall_changed)(void *arg, bool known, bool on), void *arg,
		struct enforce **ret, struct diag *d) ZT_MUST_USE;
/* Leaves the kernel as it is: tunnels live on, their grants end with the lease. */
void enforce_free(struct enforce *e);

/* A message from the controller. Verified, its serial kept, enforced, then the map kept on disk.
 * Refusals change nothing. */
int enforce_message(struct enforce *e, const void *p, size_t n, struct diag *d) ZT_MUST_USE;
/* As root's mark in the state directory says (state.h); without it -EPERM. */
int enforce_set_up(struct enforce *e, bool up, struct diag *d) ZT_MUST_USE;
int enforce_forget(struct enforce *e,
		   struct diag *d) ZT_MUST_USE; /* all out of the kernel, map and enrolment gone */
void enforce_plan(struct enforce *e,
		  struct buf *out); /* what would change now, read afresh; a line each */
/* Peers and map in a. */
int enforce_status(struct enforce *e, struct arena *a, struct role_status *ret) ZT_MUST_USE;
/* Of the newest map that was ever in force, also when it was lost since; 0: there was none. */
uint64_t enforce_serial(const struct enforce *e);
uint16_t enforce_port(const struct enforce *e);
/* Does either range collide with a route that is not ours? -EADDRNOTAVAIL with a hint. */
int enforce_check_overlap(struct kernel *k, const struct prefix *nets, size_t n,
			  struct diag *d) ZT_MUST_USE;
/* All of ours out of the kernel, without a daemon (ztnode down, leave). */
int enforce_clean(const char *interface, const struct node_state *s, struct diag *d) ZT_MUST_USE;
