/* Places: is a device there? Three answers, because where it is may not be known. Pure. */
#pragma once

#include "controller/policy/policy.h"

/* What is known of where a device is. */
struct place_view {
	struct addr source;	  /* of its connection to the controller; ADDR_NONE: not known */
	struct addr addr4, addr6; /* in the overlay */
	char country[3];	  /* of source, "DE"; "" not known: no database, or not in it */
};

/* Bits by spot of the policy: the device is there, it is not there. Neither: it cannot be known. */
struct places {
	uint64_t in, out;
};

bool places_equal(const struct places *a, const struct places *b);
struct places place_evaluate(const struct policy *p, const struct place_view *v);
/* "DE": an ISO 3166-1 code that is given to a country. */
bool country_is_valid(const char *code);
/* Does the condition of a rule hold in these places, and does it certainly not? Both false: not
 * known. */
bool where_holds(const struct policy_rule *r, const struct places *at);
bool where_fails(const struct policy_rule *r, const struct places *at);
/* "place:office", "country:DE". */
enum { SPOT_TEXT_MAX = ZT_NAME_MAX + 8 };
void spot_print(const struct policy *p, uint32_t spot, char out[static SPOT_TEXT_MAX]);
