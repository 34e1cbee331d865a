/* The client's side of the daemon's control socket RUN/control.sock: one line of JSON there, one
 * JSON object back, then the end of the stream. {"verb":"status",...} -> {"ok":true,"result":{...}}
 * or {"ok":false,"exit":1..4,"message","hint"}. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "zt/err.h"

enum {
	ASK_REQUEST_MAX = 4096, /* of the client's own line */
	ASK_ANSWER_MAX = 32 << 20,
	ASK_LIMIT_MS = 20000,
};

/* Sends {"verb":verb, and all of args}; takes args (NULL: none). Returns enum zt_exit: on 0
 * *ret_result is the caller's object, else d has the message and the hint. ZT_EXIT_UNREACHABLE: no
 * daemon, or it does not answer in limit_ms. */
int ask_call(const char *run_dir, const char *verb, json_t *args, int64_t limit_ms,
	     json_t **ret_result, struct diag *d) ZT_MUST_USE;
/* What the daemon said, judged: as ask_call. Takes nothing. */
int ask_read_answer(const void *p, size_t n, json_t **ret_result, struct diag *d) ZT_MUST_USE;
/* The usual case: 20 seconds, and an error is said on stderr. */
int ask_daemon(const char *run_dir, const char *verb, json_t *args,
	       json_t **ret_result) ZT_MUST_USE;
