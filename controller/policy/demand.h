/* What a rule's how asks for beside postures: how strong it is, and its words. Pure. */
#pragma once

#include "controller/policy/policy.h"

/* Bits by enum demand_kind. */
unsigned demands_kinds(const struct policy_demands *d);
/* Those of them about who is at the device. This controller knows nothing of that, and what is not
 * known does not hold; programs and accounts are for the device itself to look at. */
unsigned demands_unknown(const struct policy_demands *d);
/* How many lines it takes to say them. */
unsigned demands_count(const struct policy_demands *d);
/* Whenever a is met, is b? As far as the words show: a path and the name it ends with are two. */
bool demands_imply(const struct policy_demands *a, const struct policy_demands *b);
/* An order in which only equal ones are equal. */
int demands_compare(const struct policy_demands *a, const struct policy_demands *b);

/* One of them: "login < 12h", "app:/usr/bin/psql or app:pg_dump". In a; NULL: out of memory. */
const char *demand_print(const struct policy_demands *d, enum demand_kind kind, struct arena *a);
/* All of them: "login < 12h, mfa"; "" for none. Likewise. */
const char *demands_print(const struct policy_demands *d, struct arena *a);
