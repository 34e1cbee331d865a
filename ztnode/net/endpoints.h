/* Where this machine can be reached: its own addresses with the WireGuard port, best first. */
#pragma once

#include "zt/addr.h"
#include "zt/loop.h"

/* Addresses of up interfaces; not loopback, link-local, tunnels or the overlay's own interface. At
 * most max; returns how many. */
size_t endpoints_list(const char *overlay_interface, uint16_t port, struct endpoint *out,
		      size_t max);

struct endpoints_watch;
/* changed is called after addresses of the machine changed, at most once a turn. NULL with errno.
 */
struct endpoints_watch *endpoints_watch_new(struct loop *l, void (*changed)(void *arg), void *arg);
void endpoints_watch_free(struct endpoints_watch *w);
