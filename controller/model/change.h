/* Change: the one thing that mutates the controller. Decided by app, committed by the store in one
 * transaction with its record in the hash chain, then applied to the model. What the store has to
 * decide inside the transaction (token spent, address and name chosen, ids) it fills in. */
#pragma once

#include "controller/model/rows.h"

enum change_kind {
	CHANGE_TOKEN_CREATE,  /* token (id filled) */
	CHANGE_TOKEN_REVOKE,  /* token.id in; token filled */
	CHANGE_DEVICE_ENROLL, /* token.id, token.secret_hash,
			       * device.{name,identity,wg_key,created_s,cert_not_after_s} in; token
			       * spent and filled, device filled: id, unique name, addresses, owner,
			       * tags, state */
	CHANGE_DEVICE_STATE,  /* device.id, device.state in (approve, revoke, expire, leave); device
				 filled */
	CHANGE_DEVICE_TAGS,   /* device.id, device.tags in (the new set); device filled */
	CHANGE_DEVICE_KEY,    /* device.id, device.wg_key in; device filled */
	CHANGE_USER_PUT,      /* user in */
	CHANGE_POLICY_PUT,    /* policy.{text,len,changes,author,why} in, for a trial also
			       * trial.{state,until_ms,percent}; version and trial.base filled */
	CHANGE_POLICY_CONFIRM, /* policy.version in: this one alone, 0 whichever it is; policy
				  filled, without texts: the one that waited */
	CHANGE_POLICY_PROMOTE, /* so: the canary */
	CHANGE_POLICY_ABORT,   /* so */
	CHANGE_POLICY_REVIEW,  /* audit only, once a day: policy.version; detail says which rules
				  are due */
	CHANGE_POSTURE,	       /* audit only: device.id; detail is {"profile","ok","failed":[]} */
	CHANGE_REFUSED,	       /* audit only: something was tried and refused; detail says what */
};
const char *change_kind_name(enum change_kind k); /* "token.create" "device.enroll" ... */

struct change {
	enum change_kind kind;
	int64_t at_ms;	 /* wall clock */
	char actor[128]; /* "admin:1 (root)", "device:7", "token:3", "system" */
	char why[ZT_WHY_MAX + 1];
	char source[ENDPOINT_TEXT_MAX]; /* address the request came from, "" if none */
	struct token_row token;
	struct device_row device;
	struct user_row user;
	struct policy_row policy;
	char *detail;	  /* JSON text of the audit-only kinds; owned by who made the change */
	uint32_t instead; /* POLICY_PUT: only in place of this version, which waits to be
			     confirmed; 0: whatever is in force */
	bool hold;	  /* DEVICE_ENROLL: it waits for an admin, whatever the token says */
	uint64_t seq;	  /* of the record, filled by the store */
};
