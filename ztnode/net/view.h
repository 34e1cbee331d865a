/* View: the status of the daemon as the JSON of the CLI contract. Pure. */
#pragma once

#include <jansson.h>

#include "ztnode/net/link.h"
#include "ztnode/roles.h"

/* advice: the controller's last (NULL none). now: wall clock. NULL: no memory. */
json_t *view_status(const struct hello *h, const struct role_status *s,
		    const struct link_view *link, const json_t *advice, struct now now);
/* {"facts":[...],"profiles":[...]} */
json_t *view_posture(const struct fact *facts, size_t n, const json_t *advice);
/* The controller's answer to ztnode why, as it holds here: what the rule leaves to this device, and
 * this version cannot enforce, denies. A new reference. */
json_t *view_why_asked(json_t *answer);
/* ztnode why without the controller: to is a peer's name, id or address. */
json_t *view_why(const struct role_status *s, const struct link_view *link, const char *to,
		 const char *service, struct now now);
