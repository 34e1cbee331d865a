/* What `ztctl explain` prints, apart from asking for it. */
#pragma once

#include "controller/ctl/ctl.h"

/* First line ALLOWED or DENIED; then each condition that fails, with what would mend it. */
void ctl_print_explanation(struct ctl *c, const json_t *answer);
