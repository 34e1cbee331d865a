/* Echo request and reply of ICMP (RFC 792) and ICMPv6 (RFC 4443 section 4). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/addr.h"
#include "zt/buf.h"

enum { ECHO_DATA = 56, ECHO_SIZE = 8 + ECHO_DATA };

struct echo {
	enum addr_family family;
	uint16_t id; /* host order */
	uint16_t seq;
};

/* ECHO_SIZE bytes. The checksum is set for IPv4; for IPv6 the kernel does it (RFC 3542
 * section 3.1). */
void echo_encode(const struct echo *e, uint8_t out[static ECHO_SIZE]);
/* Is this packet the reply to e? has_ip: an IPv4 header stands before it (raw sockets). any_id: the
 * kernel has put in its own id and given us only our replies (ping sockets). */
bool echo_is_reply(const struct echo *e, const void *p, size_t n, bool has_ip, bool any_id);
uint16_t echo_checksum(const uint8_t *p, size_t n); /* RFC 1071; n even */
