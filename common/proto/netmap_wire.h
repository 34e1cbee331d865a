/* The netmap's wire form as a table of sections, and what makes a record valid. Private to
 * common/proto. */
#pragma once

#include "zt/cur.h"
#include "zt/netmap.h"

/* In wire order: what goes stands before what comes; names behind the records that they are of. */
enum section_kind {
	SECTION_SELF = 1,
	SECTION_PEERS_DEL,
	SECTION_PEERS_PUT,
	SECTION_ENDPOINTS_DEL,
	SECTION_ENDPOINTS_PUT,
	SECTION_GRANTS_DEL,
	SECTION_GRANTS_PUT,
	SECTION_RULES_PUT,
	SECTION_NAMES,
	SECTION_SEALED,
	SECTION_CONDITIONS_DEL,
	SECTION_CONDITIONS_PUT,
	SECTION_LEASES,
};

enum { SECTION_COUNT = SECTION_LEASES };

/* The names of all peers and rules, one behind the other without ends. */
enum { NAMES_MAX = ZT_NAME_MAX * (ZT_PEERS_MAX + ZT_RULES_MAX) };
/* The sealed box of preshared keys of all peers. */
enum { SEALED_MAX = KEY_SEAL_EXTRA + NETMAP_PSK_SIZE * ZT_PEERS_MAX };

/* Year 9999 in Unix seconds: a later time is nonsense, and sums with it could overflow. */
#define NETMAP_TIME_MAX_S 253402300799ULL

struct section {
	enum section_kind kind;
	bool delta_only;
	uint16_t wire_size;			      /* of a record */
	size_t item_size;			      /* of it in memory */
	uint32_t max;				      /* records */
	void (*put)(struct buf *b, const void *item); /* NULL, as get: plain bytes */
	void (*get)(struct cur *c, void *item);	      /* a wrong value fails the cursor */
	int (*compare)(const void *a, const void *b); /* NULL: order says nothing */
};

/* Names: their whole length, and the bytes themselves out of and into the records, which hold the
 * length of each in its first byte until then. A wrong name fails the cursor. */
size_t netmap_names_len(const struct netmap_msg *m);
void netmap_names_put(struct buf *b, const struct netmap_msg *m);
void netmap_names_get(struct cur *c, struct netmap_peer *peers, size_t n_peers,
		      struct netmap_rule *rules, size_t n_rules);

/* Leases that grants have of their own, ascending. */
enum { LEASES_MAX = 127 }; /* in a message: a class is 7 bits */
struct netmap_leases {
	uint32_t v[LEASES_MAX + 1];
	size_t n; /* LEASES_MAX + 1: too many */
};
void netmap_leases_add(struct netmap_leases *l, const struct netmap_grant *g, size_t n);
void netmap_leases_of(const struct netmap_msg *m, struct netmap_leases *ret);
/* 1.. in order; 0: the head's. l has it. */
uint8_t netmap_lease_class(const struct netmap_leases *l, uint32_t lease_s);
bool netmap_leases_fit(const struct netmap_msg *m); /* in range, none put that is the head's */
/* n leases, and into the grants, which hold their class until then. A wrong one, or one that no
 * grant has, fails the cursor. */
void netmap_leases_get(struct cur *c, size_t n, struct netmap_msg *m);

/* Records of one section, or of one sorted set of a netmap. */
struct items {
	const void *p;
	size_t n;
};

extern const struct section netmap_sections[SECTION_COUNT]; /* [kind - 1] */

struct items netmap_section_get(const struct netmap_msg *m, enum section_kind kind);
void netmap_section_set(struct netmap_msg *m, enum section_kind kind, struct items items);

/* By (peer, rank): what an endpoint that is put replaces. */
int netmap_endpoint_compare_rank(const void *a, const void *b);
/* Out of a set whose records begin with a peer's id, and are sorted by it: those of the peers that
 * the message takes away, which go by themselves. New memory in a. -ENOMEM. */
int netmap_drop_gone(struct items *set, size_t size, const struct netmap_msg *msg,
		     struct arena *a) ZT_MUST_USE;
/* --- netmap_condition --- */

bool netmap_condition_is_valid(const struct netmap_condition *c);
void netmap_condition_put(struct buf *b, const void *item);
void netmap_condition_get(struct cur *c, void *item);
/* Conditions of rules that none of the grants names outwards go. New memory in a. -ENOMEM. */
int netmap_drop_unasked(struct items *conditions, struct items grants, struct arena *a) ZT_MUST_USE;

/* Strictly ascending? */
bool netmap_items_ascend(const struct section *s, struct items items);

/* Of anything that begins with a u32 id: a peer, a rule, a bare id. */
int netmap_id_compare(const void *a, const void *b);

bool netmap_self_equal(const struct netmap_self *a, const struct netmap_self *b);
/* By id, then by content: what differs in anything is another. */
int netmap_peer_compare_all(const void *a, const void *b);
int netmap_rule_compare_all(const void *a, const void *b);

/* Are the peer's addresses there, and inside self's overlay ranges? */
bool netmap_peer_fits(const struct netmap_self *self, const struct netmap_peer *p);
/* Is the endpoint outside the overlay? Else the tunnel would run inside itself. */
bool netmap_endpoint_fits(const struct netmap_self *self, const struct netmap_endpoint *e);

/* All that must hold between the records of a whole netmap with this lease in its head. Scratch
 * memory in a. -ZT_EFORM, -ZT_ELIMIT, -ENOMEM. */
int netmap_check(const struct netmap *m, uint32_t lease_s, struct arena *a) ZT_MUST_USE;
