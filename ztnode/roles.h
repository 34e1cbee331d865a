/* The two roles of the daemon and what they say to each other (ipc.h). kern: root's uid with
 * CAP_NET_ADMIN alone, keeps the keys, verifies, enforces. net: an ordinary user, talks to the
 * world. Integers little-endian (buf.h, cur.h). */
#pragma once

#include <stdbool.h>

#include "zt/limits.h"
#include "ztnode/core/kstate.h"

enum role_message {
	/* net -> kern */
	NK_SIGN_SESSION = 1, /* challenge[32]                        -> KN_SIGNED */
	NK_SIGN_ENROLL, /* pin[32] challenge[32] box_key[32] u64 token name[63] 2 networks[50] as
			   text -> KN_PROOF; only while enrolling */
	NK_ENROLLED,	/* struct enrolled, encoded             -> KN_DONE; only while enrolling */
	NK_NETMAP,	/* an envelope                          -> KN_RESULT */
	NK_STATUS,	/* empty                                -> KN_STATUS */
	NK_PLAN,	/* empty                                -> KN_PLAN */
	NK_ENFORCE,	/* u8: 1 up, 0 down                     -> KN_DONE */
	NK_LEAVE,	/* empty: forget the enrolment          -> KN_DONE */
	/* kern -> net */
	KN_HELLO = 64, /* struct hello, encoded; first message */
	KN_SIGNED,     /* sig[64] */
	KN_PROOF,      /* identity[32] wg_key[32] sig[64] wg_proof[32] */
	KN_RESULT,     /* i32 error, u64 newest serial in force, text for people */
	KN_STATUS,     /* role_status, encoded, then the map in force as a netmap message */
	KN_PLAN,       /* text, a line an operation */
	KN_DONE,       /* i32 error, text for people */
	KN_FACT,       /* u8 state, name[160], value[256]: a fact that needs rights to read */
	KN_PORT,       /* u16 WireGuard port in use */
};

enum {
	ROLE_TEXT_MAX = 1024,
	ROLE_PLAN_MAX = 4 << 20,
	ROLE_STATUS_MAX = ZT_NETMAP_MAX + ZT_PEERS_MAX * 64 + 4096,
	ROLE_FD = 3, /* the channel's descriptor in a re-exec'ed role */
};

struct hello {		 /* what net needs to talk */
	uint32_t device; /* 0: not enrolled (enrolling) */
	char url[ZT_URL_MAX + 1];
	struct key pin;
	uint64_t serial;
	uint16_t wg_port;
	bool enforced; /* up */
	struct key network_key;
	char name[ZT_NAME_MAX + 1];
};
enum { HELLO_SIZE = 4 + ZT_URL_MAX + 32 + 8 + 2 + 1 + 32 + ZT_NAME_MAX };

struct enrolled { /* the controller's answer, checked by net, kept by kern */
	uint32_t device;
	struct key network_key;
	char name[ZT_NAME_MAX + 1];
	char url[ZT_URL_MAX + 1];
	struct key pin;
	/* The overlay's ranges, IPv4 then IPv6, as the controller told them before the token was
	 * spent; family ADDR_NONE: not known. Filled by kern. */
	struct prefix nets[2];
};
enum {
	ENROLLED_NETS_SIZE = 2 * 18,
	ENROLLED_SIZE = 4 + 32 + ZT_NAME_MAX + ZT_URL_MAX + 32 + ENROLLED_NETS_SIZE
};

struct role_peer { /* one a peer of the map, in its order */
	uint32_t id;
	struct endpoint endpoint;
	int64_t last_handshake_s;
	uint64_t rx_bytes, tx_bytes;
};
enum { ROLE_PEER_SIZE = 4 + 20 + 8 + 8 + 8 };

struct role_status {
	bool enforced;
	int64_t lease_left_ms; /* negative: over */
	uint64_t serial;
	uint16_t wg_port;
	char interface[KSTATE_IFNAME_MAX + 1];
	char problem[ROLE_TEXT_MAX + 1]; /* what keeps it from enforcing; "" when all is well */
	const struct role_peer *peers;
	size_t n_peers;
	const uint8_t *map; /* encoded full netmap message; NULL when there is none */
	size_t n_map;
};

int hello_encode(const struct hello *h, struct buf *out) ZT_MUST_USE;
int hello_decode(const void *p, size_t n, struct hello *ret) ZT_MUST_USE;
int enrolled_encode(const struct enrolled *e, struct buf *out) ZT_MUST_USE;
int enrolled_decode(const void *p, size_t n, struct enrolled *ret) ZT_MUST_USE;
int role_status_encode(const struct role_status *s, struct buf *out) ZT_MUST_USE;
/* Borrows from p and a. */
int role_status_decode(const void *p, size_t n, struct arena *a,
		       struct role_status *ret) ZT_MUST_USE;

/* Configuration of one daemon: const after start; the same words start every role. */
struct node_config {
	const char *state_dir;
	const char *run_dir;
	const char *interface;
	const char *posture_dir; /* custom posture executables */
	const char *user; /* of the talking role; "" keeps the uid (tests without such a user) */
	uint16_t listen_port;
	uint32_t route_metric;
};

int kern_role_run(const struct node_config *c, int fd); /* exit status */
int net_role_run(const struct node_config *c, int fd);	/* exit status */
