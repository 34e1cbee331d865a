/* Control socket: a Unix stream socket, one line of JSON in, one JSON object out. Who connects is
 * known by SO_PEERCRED; changing verbs are root's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "zt/loop.h"

struct control;
struct control_call;

struct control_verb {
	const char *name;
	bool root_only;
	void (*fn)(void *arg, struct control_call *call,
		   json_t *request); /* answers now or later, once */
};

/* Takes the listening fd. verbs end with name NULL. */
struct control *control_new(struct loop *l, int fd, const struct control_verb *verbs, void *arg);
void control_free(struct control *c);
void control_answer(struct control_call *call, json_t *result); /* takes result */
void control_refuse(struct control_call *call, enum zt_exit exit, const char *message,
		    const char *hint);
