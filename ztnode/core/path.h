/* Path: which of a peer's candidate endpoints to tell the kernel. Pure, one peer at a time.
 *
 * Kernel WireGuard sends a handshake every 5 s (REKEY_TIMEOUT) while it has something to send and
 * no answer; a session is good for 180 s (REJECT_AFTER_TIME) after a handshake, and who receives
 * something answers within 10 s (KEEPALIVE_TIMEOUT), if only by a keepalive. So: a peer with a
 * fresh handshake that answers keeps what it has; one that is sent to in vain moves on to its next
 * candidate. Either end may have gone where the old way does not lead. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/addr.h"

enum { PATH_TRY_MS = 5500, PATH_SILENT_MS = 15000, PATH_SESSION_S = 180 };

struct path {
	uint32_t peer;
	uint8_t next;		     /* candidate to tell when it is time */
	uint64_t tx_told;	     /* bytes sent when the last candidate was told */
	uint64_t tx_heard, rx_heard; /* bytes sent and received when something last came */
	int64_t unheard_ms; /* CLOCK_BOOTTIME: since when something waits for an answer; 0: nothing
			     */
	int64_t told_ms;    /* CLOCK_BOOTTIME; 0: none told yet */
	struct endpoint told;
};

struct path_seen { /* what the kernel says of the peer */
	uint64_t tx_bytes, rx_bytes;
	int64_t handshake_age_s;  /* -1: never */
	struct endpoint endpoint; /* family ADDR_NONE: none */
};

/* True: tell the kernel *ret (one of the candidates) now. */
bool path_step(struct path *p, const struct endpoint *candidates, size_t n,
	       const struct path_seen *seen, int64_t boot_ms, struct endpoint *ret);
