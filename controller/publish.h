/* Publisher: per device the map it was last sent, and its stream. Devices are marked when something
 * they depend on changed; at the end of the loop's turn all marked ones are built, compared, signed
 * as one batch, and written. */
#pragma once

#include "controller/http/http.h"
#include "controller/keys.h"
#include "controller/model/model.h"

struct publisher;

/* sent(arg, device): a netmap with a new serial went out (to be remembered). advice: JSON text of
 * the advice frame, malloc'ed. */
struct publish_config {
	struct loop *loop;
	struct model *model;
	const struct controller_keys *keys;
	void (*sent)(void *arg, struct device *d);
	char *(*advice)(void *arg, struct device *d);
	void (*gone)(void *arg, struct device *d); /* its stream ended */
	void *arg;
};
struct publisher *publisher_new(const struct publish_config *c);
void publisher_free(struct publisher *p);

enum { PUBLISH_QUEUE_MAX = 2 * ZT_FRAME_MAX }; /* bytes a slow client may have waiting */

/* A device's stream began; it has the map of that serial (0: none). An older stream of the same
 * device is ended. On an error r is not answered yet. */
int publish_connect(struct publisher *p, struct device *d, struct http_request *r,
		    uint64_t serial) ZT_MUST_USE;
void publish_mark(struct publisher *p, uint32_t id);
void publish_mark_all(struct publisher *p);
void publish_advise(struct publisher *p,
		    struct device *d); /* send the advice if it differs from the last */
/* A last map (whatever the model says now), then a bye frame, then the end. Offline devices:
 * nothing. */
void publish_bye(struct publisher *p, struct device *d, const char *code, const char *message,
		 const char *hint);
void publish_flush(struct publisher *p);
/* Once a second: renew leases, keep streams alive. */
void publish_tick(struct publisher *p);
uint64_t publish_serial(const struct device *d);
/* Peers of the last map sent to the device (for listings); NULL when it was sent none. */
const struct netmap *publish_map(const struct device *d);
size_t publish_streams(const struct publisher *p);
