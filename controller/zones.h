/* Time zones of this machine, read when a policy first names them. Any thread may ask.
 *
 * Policies point into it for as long as they live, so the app makes one before the first policy is
 * parsed and frees it after the last. What was read once stays as it was: a new version of the zone
 * data is taken with the next start. */
#pragma once

#include <stddef.h>

#include "controller/policy/tz.h"

struct zones;

/* dir: "/usr/share/zoneinfo"; need not exist. NULL: out of memory. */
struct zones *zones_new(const char *dir) ZT_MUST_USE;
void zones_free(struct zones *zones);
/* For struct window_env's find. NULL: there is no such zone, or *ret_reason, a constant text that
 * follows its name, says why it cannot be used. "UTC" needs no file. */
const struct tz *zones_get(void *zones, const char *name, const char **ret_reason);
/* All names that the zone data lists, for a "did you mean"; none where the list is missing. */
const char *const *zones_names(void *zones, size_t *ret_n);
