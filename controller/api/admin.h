/* What the admin endpoints share. */
#pragma once

#include "controller/api/api.h"

struct admin_waiting { /* an answer that comes when the worker is done */
	struct app *app;
	struct http_request *request;
	struct secret secret; /* token create */
	json_t *result;	      /* reads */
	int err;
	struct store_verdict verdict;
	int64_t number;
};

/* NULL: answered. */
struct admin_waiting *admin_wait(struct app *a, struct http_request *r);
/* For app_read: answers with w->result, or the error. */
void admin_answer_read(void *arg);
/* Answers 400; false. */
bool admin_refuse(struct http_request *r, const char *message, const char *hint);
/* A member that is true or false; fallback when it is absent. A word in the wrong form is refused,
 * not taken for "no". False: answered. */
bool admin_bool(struct http_request *r, json_t *body, const char *name, bool fallback, bool *ret);
/* A list of tags, with or without "tag:", added to tags; NULL is none. False: answered. */
bool admin_decode_tags(struct http_request *r, json_t *list, struct tags *tags);
/* Of a change that carries only a reason, which may be required. False: answered. */
bool admin_begin(struct app *a, struct http_request *r, enum change_kind kind, bool required,
		 struct change *c);
