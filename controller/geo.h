/* Country of an address, from a database file in MaxMind's form (libmaxminddb). */
#pragma once

#include "zt/addr.h"
#include "zt/err.h"

struct geo;

/* -ENOENT ..., -ZT_EFORM not such a database. */
int geo_open(const char *path, struct geo **ret, struct diag *d) ZT_MUST_USE;
void geo_close(struct geo *g); /* NULL is nothing */
/* "DE" into out, or "": no database (g NULL), or not in it. */
void geo_country(const struct geo *g, const struct addr *a, char out[static 3]);
