/* What of the kernel is ours, as plain sorted data. Desired and actual state have the same shape,
 * so that a plan is their difference. Pure. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"
#include "zt/key.h"
#include "zt/netmap.h"

enum {
	KSTATE_IFNAME_MAX = 15,
	KSTATE_ADDRS_MAX = 4,
	KSTATE_ROUTES_MAX = 8,
	KSTATE_ALLOWED_MAX = 2
};

enum kstate_route_kind { KROUTE_DEV, KROUTE_UNREACHABLE };

/* Main table. DEV: through our interface. UNREACHABLE: the same range with a worse metric, so that
 * nothing leaves in clear when the interface is gone. */
struct kroute {
	enum kstate_route_kind kind;
	struct prefix dst;
	uint32_t metric;
};

struct kpeer { /* sorted by pub */
	struct key pub;
	uint32_t id; /* desired: netmap peer; actual: 0 */
	bool has_psk;
	struct secret psk;
	struct endpoint endpoint; /* family ADDR_NONE: not set (desired: leave as it is) */
	struct prefix allowed[KSTATE_ALLOWED_MAX]; /* sorted by family */
	size_t n_allowed;
	uint64_t rx_bytes, tx_bytes; /* actual only */
	int64_t last_handshake_s;    /* actual only: Unix seconds, 0 never */
};

/* Classes of ports for grants that name a range: every (protocol, port) belongs to at most one
 * span, and a grant names every class that its range covers. Class 0 stands for "any protocol, any
 * port" and needs no span. */
struct kspan { /* sorted by proto, lo; disjoint */
	uint8_t proto;
	uint16_t lo, hi;
	uint32_t class_id; /* 1.. */
};

enum kstate_set {
	KSET_PORT, /* (source, destination, protocol, port): tcp, udp; icmp with port 0 */
	KSET_SPAN, /* (source, destination, class) */
};

/* One element of a grants set. Keyed by everything but rule and expiry. */
struct kelem { /* sorted by set, src, dst, proto, value */
	enum kstate_set set;
	struct addr src, dst; /* one family */
	uint8_t proto;	    /* KSET_PORT: enum service_proto, ICMP in both families; KSET_SPAN: 0 */
	uint32_t value;	    /* port (host order) or class */
	uint32_t rule;	    /* which grant made it; actual: 0 */
	int64_t expires_ms; /* CLOCK_BOOTTIME; kernel timeout = expires - now */
};

struct kstate {
	bool link_exists;
	bool link_is_ours; /* actual: WireGuard kind, and our alias or our public key */
	bool link_up;
	int ifindex; /* actual */
	uint16_t mtu;
	struct key pub;			       /* public key on the interface; zero: none set */
	uint16_t port;			       /* listen port; desired 0: leave what is there */
	struct prefix addrs[KSTATE_ADDRS_MAX]; /* with full prefix length (/32, /128), sorted */
	size_t n_addrs;
	struct kroute routes[KSTATE_ROUTES_MAX];
	size_t n_routes;
	bool table_ok; /* desired: wanted; actual: table there, chains and rules as we wrote them */
	struct prefix net4, net6; /* desired: overlay ranges for the table's leak guards */
	struct kpeer *peers;
	size_t n_peers;
	struct kspan *spans;
	size_t n_spans;
	struct kelem *elems;
	size_t n_elems;
};

int kpeer_compare(const void *a, const void *b);
int kelem_compare(const void *a, const void *b); /* key only */
int kroute_compare(const void *a, const void *b);
