/* Sets of tag names: sorted, no doubles, so that equal sets are equal bytes. Pure. */
#pragma once

#include "controller/model/rows.h"

/* Put name in; 0 too when it is there already. -ZT_EFORM (not a name), -ZT_ELIMIT (ZT_TAGS_MAX). */
int tags_add(struct tags *t, const char *name) ZT_MUST_USE;
bool tags_remove(struct tags *t, const char *name); /* was it there? */
bool tags_has(const struct tags *t, const char *name);
bool tags_equal(const struct tags *a, const struct tags *b);
/* Names in order without doubles, as every set made by tags_add is; for sets that came another way.
 */
bool tags_are_valid(const struct tags *t);
