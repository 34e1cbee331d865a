/* init: make a controller's directory. */
#pragma once

#include "zt/addr.h"

struct init_options {
	const char *dir, *url, *name;
	struct prefix net4, net6; /* net6 family ADDR_NONE: a random ULA /48's first /64 is taken */
};

/* All or nothing: a directory that holds a controller is refused. The credential goes into
 * DIR/admin.key and out. */
int init_controller(const struct init_options *o, char *ret_credential, size_t size,
		    struct diag *d) ZT_MUST_USE;
