/* A peer, out of the answer to "status". Pure. */
#pragma once

#include <jansson.h>

#include "zt/addr.h"

/* By name, id or address. NULL: none; d says which name is near. */
const json_t *peer_find(const json_t *status, const char *word, struct diag *d);
/* Its first overlay address of a form we know, or the one that word is. -ZT_EABSENT. */
int peer_address(const json_t *peer, const char *word, struct addr *ret) ZT_MUST_USE;
/* May this device open ICMP to it? ZT_EXIT_OK, or d says why not and this is the exit status. word:
 * as the user called it. */
int peer_may_ping(const json_t *status, const json_t *peer, const char *word, struct diag *d);
/* "direct 192.0.2.7:51820", "relay", "none": as in status, not made safe. */
void peer_path(const json_t *peer, char *out, size_t size);
