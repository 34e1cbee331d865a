/* Insides of the model, for model*.c only.
 *
 *     model         devices and users: kept, looked up, loaded, changed
 *     model_force   the policies, and the devices as they see them
 *     model_report  facts and endpoints, as devices tell them
 */
#pragma once

#include "controller/model/model.h"

/* --- model_force.c --- */

/* Its policy and engine. */
void force_free(struct force *f);
/* Is there a canary, and is the device of this id under it? */
bool model_in_canary(const struct model *m, uint32_t id);
/* Grace is for those who stop complying: a device whose facts were never good has none, and one for
 * which there is no memory, too. n times, owned by the caller; NULL: no memory, or n is 0. */
int64_t *model_never_complied(size_t n);
/* The device's standing, places and verdicts now; which verdicts changed, and how many. The engines
 * are not told. */
size_t model_judge(const struct model *m, struct device *d, int64_t now_ms,
		   struct verdict_change changes[ENGINE_POSTURES_MAX]);
/* Tells the engines of the device; d->standing has been decided. A subject that cannot be put is
 * none: nothing granted. -ENOMEM. */
int model_put_or_remove(struct model *m, struct device *d);
/* The canary is the policy in force. Never another one than the store's: -ZT_ESTATE. */
int model_promote(struct model *m, const struct policy_row *row, int64_t now_ms) ZT_MUST_USE;
/* The policy in force holds for all again. */
void model_end_canary(struct model *m, int64_t now_ms);

/* --- model.c --- */

/* Copies s with its end to *end, which moves behind it; where it stands. */
const char *model_append_text(char **end, const char *s);
