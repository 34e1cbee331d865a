/* Error codes beside errno, and diagnostics: texts for people. Functions return 0 or a negative
 * code. */
#pragma once

#include <stddef.h>

#include "zt/limits.h"

/* Own codes start above the kernel's errno range (4095); returned negated like errno. */
enum zt_err {
	ZT_EFORM = 5000, /* malformed bytes or text */
	ZT_ELIMIT,	 /* over a limit of limits.h */
	ZT_EVERSION,	 /* of a newer version than this program */
	ZT_ESIG,	 /* signature or hash does not verify */
	ZT_EDEVICE,	 /* made for another device */
	ZT_ESERIAL,	 /* older than what is known: a replay */
	ZT_ECHAIN,	 /* does not continue what is known: ask for a full map */
	ZT_ELEASE,	 /* lease is over */
	ZT_ECLOCK,	 /* this machine's clock is too far off */
	ZT_ETOKEN,	 /* token unknown, used, expired or revoked */
	ZT_EREFUSED,	 /* understood, and the answer is no */
	ZT_EEXISTS,	 /* the name, key or address is another's */
	ZT_EABSENT,	 /* no such thing */
	ZT_ESTATE,	 /* not possible in this state */
	ZT_ECORRUPT,	 /* stored data is damaged */
	ZT_EUNREACH,	 /* the other side cannot be reached */
};

#define ZT_MUST_USE __attribute__((warn_unused_result))
#define ZT_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Text for a code of ours or an errno, negative or positive. Never NULL. Pure (not strerror: no
 * locale). */
const char *zt_strerror(int err);

/* Exit codes, all programs (CLI contract). */
enum zt_exit { ZT_EXIT_OK, ZT_EXIT_FAILED, ZT_EXIT_USAGE, ZT_EXIT_UNREACHABLE, ZT_EXIT_DENIED };

/* One problem, said to a person: what is wrong, where, and what would mend it. */
struct diag {
	char file[128]; /* "" when there is no file */
	unsigned line;	/* 1-based; 0 when there is none */
	unsigned column;
	char message[400];
	char hint[400]; /* "" when there is none */
};

/* Set message (and clear place and hint). Returns err, so that `return diag_set(d, -EINVAL, ...)`.
 * d may be NULL. */
int diag_set(struct diag *d, int err, const char *fmt, ...) ZT_PRINTF(3, 4);
/* Add or replace the hint. d may be NULL. */
void diag_hint(struct diag *d, const char *fmt, ...) ZT_PRINTF(2, 3);
/* "file:line:column: message" into out, always terminated; control characters replaced by '?'. */
void diag_print(const struct diag *d, char *out, size_t size);
