/* What the controller remembers, one struct a noun: the rows of the store and the payload of
 * changes. Plain data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "zt/addr.h"
#include "zt/key.h"

enum device_state { DEVICE_PENDING, DEVICE_ACTIVE, DEVICE_REVOKED, DEVICE_EXPIRED };
const char *device_state_name(enum device_state s); /* "pending" "active" "revoked" "expired" */

struct tags {
	char name[ZT_TAGS_MAX][ZT_NAME_MAX + 1]; /* without "tag:"; sorted, no doubles */
	size_t n;
};

struct device_row {
	uint32_t id;		      /* 1.., never used again */
	char name[ZT_NAME_MAX + 1];   /* unique among devices that are not revoked */
	char owner[ZT_EMAIL_MAX + 1]; /* "" for a tagged device */
	struct tags tags;
	struct key identity, wg_key; /* unique over all devices for ever */
	struct addr addr4, addr6; /* unique; given again 30 days after revocation at the earliest */
	enum device_state state;
	int64_t created_s;
	int64_t cert_not_after_s; /* end of the device certificate; renewed while the device is
				     active */
	int64_t last_seen_s;
	uint64_t token_id; /* that enrolled it */
	uint64_t serial; /* of the last netmap sent: never goes back (kept in blocks, see store) */
};

struct token_row {
	uint64_t id;
	char name[ZT_NAME_MAX + 1]; /* free text of the admin, "" if none */
	struct key secret_hash;	    /* key_hash(secret) */
	char user[ZT_EMAIL_MAX + 1];
	struct tags tags;
	uint32_t uses, uses_left;
	bool approve; /* enrolled devices wait for an admin */
	bool revoked;
	int64_t created_s, expires_s;
};

enum { USER_GROUPS_MAX = 64 };
struct user_row {
	char email[ZT_EMAIL_MAX + 1];
	char groups[USER_GROUPS_MAX][ZT_NAME_MAX + 1]; /* given by an admin, beside those of the
							  policy file; sorted */
	size_t n_groups;
	bool disabled;
};

/* A version that was put with a way back. */
enum trial_state {
	TRIAL_NONE,
	TRIAL_OPEN, /* while its version is the newest; a newer one ends it without a word here */
	TRIAL_CONFIRMED,
	TRIAL_PROMOTED,
	TRIAL_ABORTED
};
const char *trial_state_name(enum trial_state s); /* "" "open" "confirmed" ... */

struct trial {
	enum trial_state state;
	uint32_t base;	  /* version that holds without this one */
	int64_t until_ms; /* in force, and goes back to base then; 0: a canary */
	unsigned percent; /* canary: of the devices, 1..99; else 0 */
};

struct policy_row {
	uint32_t version; /* 1.. */
	char *text;	  /* borrowed or owned by who made the row; NULL in listings */
	size_t len;
	char *changes; /* JSON object: what it means, against what was in force; as text, NULL when
			  nobody said */
	struct trial trial;
	char author[128];
	char why[ZT_WHY_MAX + 1];
	int64_t at_s;
};

struct admin_row {
	uint64_t id;
	char name[ZT_NAME_MAX + 1];
	struct key secret_hash;
	int64_t created_s;
};
