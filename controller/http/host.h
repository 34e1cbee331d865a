/* Whom a request is meant for. A page that makes a browser believe that its own name has our
 * address (DNS rebinding) cannot change what the browser then says in Host. Pure. */
#pragma once

#include "zt/addr.h"

/* Is host ("name", "name:port", "[2001:db8::1]:port"; NULL: there was none) one of ours: one of the
 * names (upper and lower case alike; ends with NULL; NULL: none), or the very address that the
 * client connected to? The port is not compared: it may be forwarded. */
bool http_host_is_ours(const char *host, const char *const *names, const struct addr *local);
