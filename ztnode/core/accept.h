/* Accept: the one place that decides whether bytes from the controller become what this device
 * enforces, and until when. Also the form in which the last good map is kept on disk. Pure. */
#pragma once

#include "zt/clock.h"
#include "zt/netmap.h"

/* What the device knows for certain; from its own state files. */
struct trust {
	struct key network; /* Ed25519 key that signs netmaps */
	uint32_t device;
	uint64_t serial;	/* of the newest map that was ever in force; 0: there was none */
	struct key wg_pub;	/* the device's own */
	struct secret identity; /* seed: opens sealed preshared keys */
};

/* The map in force. Arrays live in the arena; a new state is made in a new arena, so that the old
 * one stands until the new one is complete. */
struct mapstate {
	struct arena arena;
	uint64_t serial;    /* 0: there is none */
	struct key leaf;    /* of the last message: the next one continues it */
	uint64_t issued_ms; /* controller's wall clock */
	uint32_t lease_s;
	int64_t lease_end_ms; /* CLOCK_BOOTTIME */
	struct netmap map;
	const struct netmap_psk *psks; /* sorted by peer; one for every peer */
	size_t n_psks;
};

enum {
	ACCEPT_ARENA_MAX = 96 << 20,
	BOOT_ID_LEN = 36,
	/* Of the state file: what stands before the map, and the whole around the greatest one. */
	MAPFILE_HEAD = 4 + 4 + ZT_HASH_LEN + 8 + ZT_HASH_LEN + 8 + 8 + BOOT_ID_LEN + 4,
	MAPFILE_MAX = MAPFILE_HEAD + ZT_NETMAP_MAX + 4 + ZT_PEERS_MAX * NETMAP_PSK_SIZE,
};

/* envelope bytes after cur -> *ret (its arena is the caller's to free). Refusals, cur untouched:
 * -ZT_EFORM -ZT_ELIMIT -ZT_EVERSION form; -ZT_ESIG signature, or not the successor of cur;
 * -ZT_EDEVICE for another device or another WireGuard key; -ZT_ESERIAL not newer than cur and
 * than t->serial; -ZT_ECHAIN a gap
 * (ask for a full map); -ZT_ELEASE already over; -ZT_ECLOCK issued in this clock's future. d says
 * it for people. */
int accept_message(const struct trust *t, const struct mapstate *cur, const void *p, size_t n,
		   struct now now, struct mapstate *ret, struct diag *d) ZT_MUST_USE;

/* The state file: u32 magic "ztS1" | u32 version | BLAKE2b over the rest | u64 serial | leaf | i64
 * lease end | i64 wall clock when it was written | boot id | u32 length | the map as a full message
 * | u32 length | preshared keys. Root's own file (0600), so it is checked for damage, not for
 * forgery. out holds keys then: buf_init_secret. */
int mapfile_encode(const struct mapstate *s, struct now now,
		   const char boot_id[static BOOT_ID_LEN + 1], struct buf *out) ZT_MUST_USE;
/* In the same boot the lease ends when it was to end; after a reboot by the wall clock, which must
 * not stand before the time the file was written (-ZT_ECLOCK). An ended lease is no error:
 * lease_end_ms is in the past. -ZT_ECORRUPT half-written or damaged; -ZT_EDEVICE not of this
 * enrolment; -ZT_ESERIAL older than what was in force since (t->serial). */
int mapfile_decode(const struct trust *t, const void *p, size_t n, struct now now,
		   const char boot_id[static BOOT_ID_LEN + 1], struct mapstate *ret,
		   struct diag *d) ZT_MUST_USE;
/* The wall clock, but no earlier than what the map's own times prove: issued then, and so long ago
 * by the boot clock. What ends at a wall time before the lease does is not kept by setting the
 * clock back. */
int64_t mapstate_wall_ms(const struct mapstate *s, struct now now);
void mapstate_done(struct mapstate *s); /* wipes the preshared keys */
