/* Addresses, prefixes, endpoints and services: their text forms and what contains what. */
#include "zt/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zt/num.h"
#include "zt/txt.h"

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/* Pure in spite of the header: inet_pton is strict (no short forms, octal numbers, scopes). */
int addr_parse(const char *s, struct addr *ret)
{
	struct addr a = {.family = ADDR_V4};

	if (inet_pton(AF_INET, s, a.b) != 1) {
		a.family = ADDR_V6;
		if (inet_pton(AF_INET6, s, a.b) != 1)
			return -ZT_EFORM;
	}
	*ret = a;
	return 0;
}

void addr_print(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
	int af = a->family == ADDR_V4 ? AF_INET : AF_INET6;

	if (a->family == ADDR_NONE || !inet_ntop(af, a->b, out, ADDR_TEXT_MAX))
		out[0] = '\0';
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return sign(memcmp(a->b, b->b, sizeof(a->b)));
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_compare(a, b) == 0;
}

struct addr addr_v4(const uint8_t b[static 4])
{
	struct addr a = {.family = ADDR_V4};

	memcpy(a.b, b, 4);
	return a;
}

struct addr addr_v6(const uint8_t b[static 16])
{
	struct addr a = {.family = ADDR_V6};

	memcpy(a.b, b, 16);
	return a;
}

unsigned addr_bits(const struct addr *a)
{
	return a->family == ADDR_V4 ? 32 : a->family == ADDR_V6 ? 128 : 0;
}

/* Do the first `bits` bits agree? */
static bool same_head(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool prefix_is_valid(const struct prefix *p)
{
	unsigned size = addr_bits(&p->addr);

	if (size == 0 || p->bits > size)
		return false;
	for (unsigned i = p->bits; i < size; i++)
		if (p->addr.b[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

int prefix_parse(const char *s, struct prefix *ret)
{
	const char *slash = strchr(s, '/');
	char text[ADDR_TEXT_MAX];
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	struct prefix p = {0};
	uint64_t bits;

	if (n >= sizeof(text))
		return -ZT_EFORM;
	memcpy(text, s, n);
	text[n] = '\0';
	if (addr_parse(text, &p.addr))
		return -ZT_EFORM;
	bits = addr_bits(&p.addr);
	if (slash && num_parse_u64(slash + 1, 0, bits, &bits))
		return -ZT_EFORM;
	p.bits = (uint8_t)bits;
	if (!prefix_is_valid(&p))
		return -EINVAL;
	*ret = p;
	return 0;
}

void prefix_print(const struct prefix *p, char out[static PREFIX_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	addr_print(&p->addr, text);
	if (p->addr.family == ADDR_NONE)
		out[0] = '\0';
	else
		snprintf(out, PREFIX_TEXT_MAX, "%s/%u", text, p->bits);
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
	if (a->family == ADDR_NONE || p->addr.family != a->family || p->bits > addr_bits(a))
		return false;
	return same_head(p->addr.b, a->b, p->bits);
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->bits <= b->bits ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->bits == b->bits && addr_equal(&a->addr, &b->addr);
}

int prefix_nth(const struct prefix *p, uint32_t n, struct addr *ret)
{
	unsigned size = addr_bits(&p->addr) / 8;
	struct addr a = p->addr;

	if (size == 0 || p->bits > size * 8)
		return -ERANGE;
	if (size * 8 - p->bits < 32 && n >> (size * 8 - p->bits) != 0)
		return -ERANGE;
	for (unsigned i = 0; i < 4; i++)
		a.b[size - 1 - i] |= (uint8_t)(n >> (8 * i));
	*ret = a;
	return 0;
}

int endpoint_parse(const char *s, struct endpoint *ret)
{
	bool bracket = s[0] == '[';
	const char *colon = strrchr(s, ':');
	char text[ADDR_TEXT_MAX];
	struct endpoint e = {0};
	uint64_t port;
	size_t n;

	if (!colon || num_parse_u64(colon + 1, 0, UINT16_MAX, &port))
		return -ZT_EFORM;
	n = (size_t)(colon - s);
	if (bracket) {
		if (n < 2 || s[n - 1] != ']')
			return -ZT_EFORM;
		s++;
		n -= 2;
	}
	if (n >= sizeof(text))
		return -ZT_EFORM;
	memcpy(text, s, n);
	text[n] = '\0';
	if (addr_parse(text, &e.addr) || bracket != (e.addr.family == ADDR_V6))
		return -ZT_EFORM;
	e.port = (uint16_t)port;
	*ret = e;
	return 0;
}

void endpoint_print(const struct endpoint *e, char out[static ENDPOINT_TEXT_MAX])
{
	char text[ADDR_TEXT_MAX];

	addr_print(&e->addr, text);
	if (e->addr.family == ADDR_NONE)
		out[0] = '\0';
	else
		snprintf(out, ENDPOINT_TEXT_MAX, e->addr.family == ADDR_V6 ? "[%s]:%u" : "%s:%u",
			 text, e->port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

/* Where no peer lives: RFC 6890, and the cloud metadata services that trust who can reach them. */
static const struct prefix unusable[] = {
	{{ADDR_V4, {0}}, 8},
	{{ADDR_V4, {127}}, 8},
	{{ADDR_V4, {169, 254, 169, 254}}, 32},
	{{ADDR_V4, {224}}, 3}, /* multicast, reserved, broadcast */
	{{ADDR_V6, {0}}, 96},  /* unspecified, loopback, IPv4-compatible */
	{{ADDR_V6, {[10] = 0xff, [11] = 0xff}},
	 96}, /* IPv4-mapped: the same place by another name */
	{{ADDR_V6, {0xfe, 0x80}}, 10},
	{{ADDR_V6, {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}}, 128},
	{{ADDR_V6, {0xff}}, 8},
};

bool endpoint_is_usable(const struct endpoint *e)
{
	if (addr_bits(&e->addr) == 0 || e->port == 0)
		return false;
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++)
		if (prefix_contains(&unusable[i], &e->addr))
			return false;
	return true;
}

bool prefix_is_overlay(const struct prefix *p)
{
	if (!prefix_is_valid(p) || p->bits < PREFIX_OVERLAY_BITS_MIN)
		return false;
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++)
		if (prefix_overlaps(&unusable[i], p))
			return false;
	return true;
}

/* "5432", "1000-2000", "any". Port 0 is no port. */
static int parse_ports(const char *s, struct service *svc)
{
	const char *dash = strchr(s, '-');
	uint64_t lo = 1, hi = UINT16_MAX;
	char first[6];
	int err = 0;

	if (txt_equal(s, "any")) {
		svc->lo = 1;
		svc->hi = UINT16_MAX;
		return 0;
	}
	if (dash) {
		if ((size_t)(dash - s) >= sizeof(first))
			return -ZT_EFORM;
		memcpy(first, s, (size_t)(dash - s));
		first[dash - s] = '\0';
		err = num_parse_u64(first, 1, UINT16_MAX, &lo);
		s = dash + 1;
	}
	if (!err)
		err = num_parse_u64(s, lo, UINT16_MAX, &hi);
	if (err)
		return err;
	svc->lo = dash ? (uint16_t)lo : (uint16_t)hi;
	svc->hi = (uint16_t)hi;
	return 0;
}

int service_parse(const char *s, struct service *ret)
{
	struct service svc = {0};
	int err = 0;

	if (txt_equal(s, "any")) {
		svc.proto = SERVICE_ANY;
	} else if (txt_equal(s, "icmp")) {
		svc.proto = SERVICE_ICMP;
	} else if (txt_starts(s, "tcp/")) {
		svc.proto = SERVICE_TCP;
		err = parse_ports(s + 4, &svc);
	} else if (txt_starts(s, "udp/")) {
		svc.proto = SERVICE_UDP;
		err = parse_ports(s + 4, &svc);
	} else {
		err = -ZT_EFORM;
	}
	if (!err)
		*ret = svc;
	return err;
}

void service_print(const struct service *s, char out[static SERVICE_TEXT_MAX])
{
	const char *proto = s->proto == SERVICE_UDP ? "udp" : "tcp";

	if (s->proto == SERVICE_ANY)
		snprintf(out, SERVICE_TEXT_MAX, "any");
	else if (s->proto == SERVICE_ICMP)
		snprintf(out, SERVICE_TEXT_MAX, "icmp");
	else if (s->lo == s->hi)
		snprintf(out, SERVICE_TEXT_MAX, "%s/%u", proto, s->lo);
	else if (s->lo <= 1 && s->hi == UINT16_MAX)
		snprintf(out, SERVICE_TEXT_MAX, "%s/any", proto);
	else
		snprintf(out, SERVICE_TEXT_MAX, "%s/%u-%u", proto, s->lo, s->hi);
}

bool service_covers(const struct service *outer, const struct service *inner)
{
	if (outer->proto == SERVICE_ANY)
		return true;
	return outer->proto == inner->proto && outer->lo <= inner->lo && outer->hi >= inner->hi;
}

int service_compare(const struct service *a, const struct service *b)
{
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (a->hi > b->hi) - (a->hi < b->hi);
}
