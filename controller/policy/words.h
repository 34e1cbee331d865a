/* How policies are said in messages and explanations. Private to controller/policy. Pure. */
#pragma once

#include "controller/policy/policy.h"

enum { SELECTOR_TEXT_MAX = ZT_EMAIL_MAX + 8 };

void selector_print(const struct selector *s, char out[static SELECTOR_TEXT_MAX]);
/* "tcp/80, tcp/443, and 7 more" in the arena; NULL out of memory. */
const char *services_print(const struct service *s, size_t n, struct arena *a);
const char *selectors_print(const struct selector *s, size_t n, struct arena *a);
/* "group:staff except user:sam@example.com" */
const char *list_print(const struct selectors *l, struct arena *a);
/* "place:office, country:DE except place:cafe"; "anywhere". */
const char *where_print(const struct policy *p, const struct policy_rule *r, struct arena *a);
/* "2026-11-23 18:40 UTC" */
enum { DATE_TIME_TEXT_MAX = 24 };
void time_print(int64_t t_s, char out[static DATE_TIME_TEXT_MAX]);
/* What it does to who is held back: "forbids it", "asks for posture:managed, place:office or
 * place:home". */
const char *invariant_print(const struct policy *p, const struct policy_invariant *i,
			    struct arena *a);
