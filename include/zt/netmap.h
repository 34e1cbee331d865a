/* Netmap: all that one device must enforce, as sorted sets; its flat wire form; difference and
 * application.
 *
 *     build(model) -> netmap --diff(old, new)--> msg --encode--> bytes (signed: envelope.h)
 *     bytes --decode--> msg --apply(old, msg)--> netmap
 *
 * A full map is a msg that applies to the empty netmap, so there is one form and one code path.
 * Wire form (docs/protocol.md has it byte by byte), little-endian:
 *   head 32:  u8 version=1 | u8 kind (1 full, 2 delta) | u16 sections | u32 lease_s | u64 issued_ms
 * | u64 serial | u32 policy | u32 device sections: u16 kind | u16 record size | u32 count      (8
 * bytes each, kinds ascending, each at most once) records of every section in that order, no gaps;
 * nothing may follow. Records of a section are sorted and without doubles; the decoder refuses
 * anything else. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"
#include "zt/buf.h"
#include "zt/key.h"

enum netmap_kind { NETMAP_FULL = 1, NETMAP_DELTA = 2 };
enum netmap_direction { NETMAP_OUT = 0, NETMAP_IN = 1 }; /* OUT: this device may open to the peer */

struct netmap_head {
	uint8_t kind; /* enum netmap_kind */
	uint32_t lease_s;
	uint64_t issued_ms; /* controller's wall clock, Unix milliseconds */
	uint64_t serial;    /* 1.. per device, ascending by one for a delta */
	uint32_t policy;    /* version in force */
	uint32_t device;
};

struct netmap_self {
	uint32_t id;
	struct key wg_key; /* the device's own, as certified */
	struct addr addr4,
		addr6; /* overlay addresses; family ADDR_NONE when the network has none */
	struct prefix net4, net6; /* overlay ranges */
	uint16_t mtu;
	char name[ZT_NAME_MAX + 1];
};

struct netmap_peer { /* sorted by id */
	uint32_t id;
	struct key wg_key;
	struct addr addr4, addr6;
	uint32_t psk_epoch;
	char name[ZT_NAME_MAX + 1];
};

struct netmap_endpoint { /* sorted by (peer, rank), each of them once: candidates, best first */
	uint32_t peer;
	uint8_t rank;
	struct endpoint ep;
};

struct netmap_grant { /* sorted by all fields in this order */
	uint32_t peer;
	uint8_t dir; /* enum netmap_direction */
	struct service svc;
	uint32_t rule;	    /* at most NETMAP_RULE_MAX */
	uint32_t expires_s; /* Unix seconds; 0: with its lease */
	uint32_t lease_s;   /* its own, when it differs from the head's; 0: the head's */
};

enum {
	NETMAP_RULE_MAX = UINT16_MAX,
	/* Different leases of the grants of a whole netmap, beside the head's. A message that takes
	 * away those of one map and puts those of another has room for both. */
	NETMAP_LEASES_MAX = 63,
};
struct netmap_rule { /* sorted by id; the rules that this device's grants name, and no others */
	uint32_t id;
	char name[ZT_NAME_MAX + 1];
};

/* What this device itself has to look at before it opens anything by a rule: one program of those
 * named, and one account of those. Only of rules that a grant OUT names. */
enum netmap_condition_kind { NETMAP_APP = 1, NETMAP_USER = 2 };
struct netmap_condition { /* sorted by all fields in this order */
	uint32_t rule;
	uint8_t kind; /* enum netmap_condition_kind */
	char name[ZT_CONDITION_NAME_MAX + 1];
};

struct netmap_psk { /* sorted by peer; travels sealed, one box a message */
	uint32_t peer;
	struct secret psk;
};

struct netmap {
	uint32_t policy;
	struct netmap_self self; /* id 0: empty netmap */
	const struct netmap_peer *peers;
	const struct netmap_endpoint *endpoints;
	const struct netmap_grant *grants;
	const struct netmap_rule *rules;
	const struct netmap_condition *conditions;
	size_t n_peers, n_endpoints, n_grants, n_rules, n_conditions;
};

/* A difference. Peers and rules: put replaces by id; endpoints: by (peer, rank). Grants
 * and conditions: whole records come and go. With a peer go its endpoints and grants, with its last
 * grant a rule, and with its last grant out the conditions of one, so that these are not said. */
struct netmap_msg {
	struct netmap_head head;
	bool has_self;
	struct netmap_self self;
	const uint32_t *peers_del;
	const struct netmap_peer *peers_put;
	const struct netmap_endpoint *endpoints_del, *endpoints_put;
	const struct netmap_grant *grants_del, *grants_put;
	const struct netmap_rule *rules_put;
	const struct netmap_condition *conditions_del, *conditions_put;
	const uint8_t
		*sealed; /* crypto_box_seal of encoded netmap_psk records; NULL when none changed */
	size_t n_peers_del, n_peers_put, n_endpoints_del, n_endpoints_put, n_grants_del,
		n_grants_put, n_rules_put, n_conditions_del, n_conditions_put, n_sealed;
};

/* New - old, arrays in a. head and sealed are the caller's to fill. new has a self. -ENOMEM,
 * -ZT_ELIMIT. */
int netmap_diff(const struct netmap *old, const struct netmap *new, struct arena *a,
		struct netmap_msg *ret) ZT_MUST_USE;
bool netmap_msg_is_empty(const struct netmap_msg *m); /* changes nothing (lease and policy aside) */

int netmap_encode(const struct netmap_msg *m, struct buf *out) ZT_MUST_USE;
/* Checks the whole form: sizes, order, limits, known values, addresses in the overlay ranges when
 * has_self, names. -ZT_EFORM, -ZT_ELIMIT, -ZT_EVERSION, -ENOMEM. Arrays are copied into a. */
int netmap_decode(const void *p, size_t n, struct arena *a, struct netmap_msg *ret) ZT_MUST_USE;

/* old + msg -> *ret in a (nothing borrowed from old or msg). A del of what is not there, an
 * endpoint or grant of a peer that is not there, a peer with an address of another peer or of self,
 * or outside the overlay: -ZT_ECHAIN or -ZT_EFORM; of another device -ZT_EDEVICE; over a limit
 * -ZT_ELIMIT; -ENOMEM. A grant with the head's own lease is -ZT_EFORM. NETMAP_FULL starts from the
 * empty netmap. msg comes from netmap_decode or netmap_diff; whether its serial is the next one is
 * the caller's to ask. */
int netmap_apply(const struct netmap *old, const struct netmap_msg *msg, struct arena *a,
		 struct netmap *ret) ZT_MUST_USE;

const struct netmap_peer *netmap_find_peer(const struct netmap *m,
					   uint32_t id);	   /* NULL when absent */
const char *netmap_rule_name(const struct netmap *m, uint32_t id); /* "?" when absent */
/* The first of them, how many; NULL for none. */
const struct netmap_condition *netmap_rule_conditions(const struct netmap *m, uint32_t rule,
						      size_t *ret_n);

/* Comparison functions that define the sort orders above (qsort shape). */
int netmap_peer_compare(const void *a, const void *b);
int netmap_endpoint_compare(const void *a, const void *b);
int netmap_grant_compare(const void *a, const void *b);
int netmap_rule_compare(const void *a, const void *b);
int netmap_condition_compare(const void *a, const void *b);

enum { NETMAP_PSK_SIZE = 36 }; /* u32 peer | psk[32] */
int netmap_psk_encode(const struct netmap_psk *psk, size_t n, struct buf *out) ZT_MUST_USE;
int netmap_psk_decode(const void *p, size_t n, struct arena *a, const struct netmap_psk **ret,
		      size_t *ret_n) ZT_MUST_USE;
