/* Build: model -> the netmap of one device. Pure. */
#pragma once

#include "zt/netmap.h"
#include "controller/model/model.h"

enum { NETMAP_MTU = 1420 };

/* Peers are exactly the devices that share a grant with it now. Arrays in a. A device that is not
 * active gets itself and nothing else. -ENOMEM, -ZT_ELIMIT. */
int netmap_build(const struct model *m, const struct device *d, struct arena *a,
		 struct netmap *ret) ZT_MUST_USE;
/* Itself and nothing else: what a device gets whose map cannot be built. */
void netmap_build_alone(const struct model *m, const struct device *d, struct netmap *ret);
/* Epoch (day) of the preshared key of a pair: of the day both have seen, so that a device that was
 * away over midnight still agrees with its peers. */
uint32_t netmap_psk_epoch(const struct device *a, const struct device *b);
