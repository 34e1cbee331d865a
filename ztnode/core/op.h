/* Operations: what to change in the kernel, in order. Made by plan, printed by one printer,
 * executed by kern/exec. Pure. */
#pragma once

#include "zt/buf.h"
#include "ztnode/core/kstate.h"

enum op_kind {
	OP_TABLE_PUT, /* replace the whole table: chains, rules, spans and all elements, one
			 transaction */
	OP_TABLE_DEL,
	OP_ELEMS_LOAD, /* flush the grants sets and add all elements, one transaction */
	OP_ELEM_DEL,   /* neighbouring element ops go in one transaction */
	OP_ELEM_ADD,
	OP_LINK_ADD, /* type wireguard, alias "ztnode" */
	OP_LINK_DEL, /* peers first (REPLACE_PEERS), then the link: no RCU stall a peer */
	OP_WG_SET,   /* private key and listen port */
	OP_PEER_DEL, /* neighbouring peer ops go in one batch */
	OP_PEER_PUT, /* key, psk, allowed IPs (replaced), endpoint if set; never resets a handshake
			needlessly */
	OP_PEER_ENDPOINT, /* endpoint only */
	OP_MTU_SET,
	OP_ADDR_ADD,
	OP_ADDR_DEL,
	OP_LINK_UP,
	OP_ROUTE_ADD,
	OP_ROUTE_DEL,
};

struct op {
	enum op_kind kind;
	union {
		const struct kstate *state; /* TABLE_PUT, ELEMS_LOAD, LINK_ADD, WG_SET, MTU_SET:
					       desired (borrowed) */
		const struct kelem *elem;   /* ELEM_ADD, ELEM_DEL (borrowed) */
		struct {
			const struct kpeer *peer; /* PEER_* (borrowed) */
			bool psk_only; /* PEER_PUT of a known peer where only the preshared key
					  differs */
		};
		struct prefix addr;  /* ADDR_* */
		struct kroute route; /* ROUTE_* */
	};
};

struct op_list {
	struct op *ops;
	size_t n;
};

/* One line, no newline: "grant add 100.64.0.2 -> 100.64.0.7 tcp/5432 rule finance-to-payroll". Keys
 * public only. rules gives names (NULL: numbers). */
void op_print(const struct op *op, const struct netmap *rules, struct buf *out);
