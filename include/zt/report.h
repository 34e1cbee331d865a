/* Report: what a device says of itself: where it can be reached, and the facts it was asked for.
 * Wire, little-endian: u32 magic "ztR1" | u8 version=1 | u8 flags (1: full) | u16 WireGuard port |
 * u64 serial of the newest netmap in force | u8 endpoints | u8 zero | u16 facts | endpoint: u8
 * family | u8 zero | u16 port | addr[16] fact: u8 name length | u8 state | u16 value length | u32
 * age_s | name | value Both directions refuse (-ZT_EFORM) endpoints that are not usable, facts out
 * of order, texts that are not one line; and over the limits -ZT_ELIMIT. Names need not be known
 * here: a device may be newer than its controller. */
#pragma once

#include "zt/addr.h"
#include "zt/arena.h"
#include "zt/buf.h"

enum fact_state { FACT_UNKNOWN = 0, FACT_KNOWN = 1 };

struct fact {
	char name[ZT_FACT_NAME_MAX + 1]; /* "disk.encrypted", "process.running:clamd" */
	uint8_t state;			 /* enum fact_state */
	char value[ZT_FACT_VALUE_MAX +
		   1];	/* "true", "12.4", "14"; when unknown, why in a few words */
	uint32_t age_s; /* since it was read */
};

struct report {
	bool full; /* facts not named here are gone; else they stand as before */
	uint16_t wg_port;
	uint64_t serial;
	struct endpoint endpoints[ZT_ENDPOINTS_PEER_MAX];
	size_t n_endpoints;
	struct fact *facts; /* sorted by name, no doubles */
	size_t n_facts;
};

int report_encode(const struct report *r, struct buf *out) ZT_MUST_USE;
int report_decode(const void *p, size_t n, struct arena *a, struct report *ret) ZT_MUST_USE;

/* Is this the name of a fact that exists (posture facts of the CLI contract; with argument where it
 * takes one)? hint: nearest name. */
enum fact_type {
	FACT_TYPE_BOOL,
	FACT_TYPE_NUMBER,
	FACT_TYPE_VERSION,
	FACT_TYPE_TEXT,
	FACT_TYPE_DURATION
};
struct fact_kind {
	const char *name; /* "process.running" */
	enum fact_type type;
	bool takes_argument; /* "process.running:NAME" */
	const char *help;    /* what it says */
	const char *mend;    /* what a person can do when it is not as wanted, "" when nothing */
};
const struct fact_kind *
fact_kind_find(const char *name);		/* of a full fact name; NULL when there is none */
const struct fact_kind *fact_kind_at(size_t i); /* the table in order; NULL past its end */
