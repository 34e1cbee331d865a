/* Addresses, prefixes, endpoints, services (protocol and port range). Bytes are in network order.
 * Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/err.h"

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

struct addr {
	uint8_t family; /* enum addr_family */
	uint8_t b[16];	/* the first 4 for IPv4; the rest is zero */
};

struct prefix {
	struct addr addr; /* host bits zero */
	uint8_t bits;	  /* 0..32 or 0..128 */
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host order */
};

/* IP protocol numbers a rule can name; SERVICE_ANY is every protocol. */
enum service_proto { SERVICE_ANY = 0, SERVICE_ICMP = 1, SERVICE_TCP = 6, SERVICE_UDP = 17 };

/* SERVICE_ICMP covers ICMPv6 too. lo..hi are ports, host order; 0..0 for ICMP and ANY. */
struct service {
	uint8_t proto; /* enum service_proto */
	uint16_t lo;
	uint16_t hi;
};

enum { PREFIX_OVERLAY_BITS_MIN = 8 };
enum { ADDR_TEXT_MAX = 46, PREFIX_TEXT_MAX = 50, ENDPOINT_TEXT_MAX = 56, SERVICE_TEXT_MAX = 24 };

int addr_parse(const char *s, struct addr *ret) ZT_MUST_USE; /* -ZT_EFORM */
void addr_print(const struct addr *a, char out[static ADDR_TEXT_MAX]);
bool addr_equal(const struct addr *a, const struct addr *b);
int addr_compare(const struct addr *a, const struct addr *b);
struct addr addr_v4(const uint8_t b[static 4]);
struct addr addr_v6(const uint8_t b[static 16]);
unsigned addr_bits(const struct addr *a); /* 32, 128 or 0 */

/* "10.0.0.0/8"; a bare address is a host prefix. Host bits set: -EINVAL. Else -ZT_EFORM. */
int prefix_parse(const char *s, struct prefix *ret) ZT_MUST_USE;
void prefix_print(const struct prefix *p, char out[static PREFIX_TEXT_MAX]);
bool prefix_is_valid(
	const struct prefix *p); /* a known family, bits in its range, host bits zero */
bool prefix_contains(const struct prefix *p, const struct addr *a);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* The n-th address of the prefix (n < 2^32); -ERANGE when outside. */
int prefix_nth(const struct prefix *p, uint32_t n, struct addr *ret) ZT_MUST_USE;

int endpoint_parse(const char *s,
		   struct endpoint *ret) ZT_MUST_USE; /* "192.0.2.1:51820" "[2001:db8::1]:51820" */
void endpoint_print(const struct endpoint *e, char out[static ENDPOINT_TEXT_MAX]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* May a peer be told to send here? Not unspecified, loopback, multicast, broadcast, reserved,
 * link-local v6, IPv4-mapped, a cloud's metadata address, or port 0. */
bool endpoint_is_usable(const struct endpoint *e);
/* May an overlay be made of this range? Valid, at least PREFIX_OVERLAY_BITS_MIN bits, and none of
 * the places above in it: what is routed into a tunnel must not be what every machine and cloud
 * takes for its own. */
bool prefix_is_overlay(const struct prefix *p);

/* "tcp/5432" "udp/1000-2000" "tcp/any" "icmp" "any". -ZT_EFORM, -ERANGE. */
int service_parse(const char *s, struct service *ret) ZT_MUST_USE;
void service_print(const struct service *s, char out[static SERVICE_TEXT_MAX]);
/* Does outer allow everything that inner asks for? */
bool service_covers(const struct service *outer, const struct service *inner);
int service_compare(const struct service *a, const struct service *b);
