/* Time zones: a file of the zone database (TZif, RFC 8536 and 9636) as offsets from UTC. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zt/arena.h"
#include "zt/err.h"

struct tz; /* immutable, in the arena it was decoded into */

enum {
	TZ_NAME_MAX = 63,
	TZ_CHANGES_MAX = 4096,	 /* transitions in one file; the longest real one has 260 */
	TZ_OFFSET_MAX_S = 93600, /* no offset is as great as this, east or west */
};

/* name: copied, for tz_name. -ZT_EFORM: not such a file, or one with leap seconds ("right/..."),
 * whose times are not Unix time; -ZT_ELIMIT: too many transitions; -ENOMEM. */
int tz_decode(const void *p, size_t n, const char *name, struct arena *a,
	      const struct tz **ret) ZT_MUST_USE;
/* Needs no file. Lives for ever. */
const struct tz *tz_utc(void);

/* In all of these NULL means UTC. */
const char *tz_name(const struct tz *z);
/* Seconds east of UTC at this instant (Unix seconds). */
int32_t tz_offset(const struct tz *z, int64_t t_s);
/* The first instant > t_s at which the offset is another; INT64_MAX: never. */
int64_t tz_next(const struct tz *z, int64_t t_s);
/* From this instant on the offset follows one rule that is the same in all years, or stays. */
int64_t tz_settled(const struct tz *z);

/* May become a file name below the zone database: "Europe/Berlin", "Etc/GMT+3", "UTC". Begins with
 * a capital, which keeps out what else lies there ("localtime", "right/", "zone.tab"); parts begin
 * with a letter, so there is no ".." and no leading '/'. */
bool tz_name_is_valid(const char *s);
