/* What the printers share: a bounded output, texts from outside made safe, words for times and
 * sizes. Pure but for term_open and term_close. All texts returned live as long as the struct. */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "zt/arena.h"
#include "zt/buf.h"
#include "zt/clock.h"

struct term {
	struct buf out;
	struct arena arena;
	bool colour;
	struct now now;
};

enum term_colour { TERM_RED, TERM_GREEN, TERM_YELLOW, TERM_BOLD };

void term_init(struct term *t, bool colour, struct now now);
void term_done(struct term *t);
void term_open(struct term *t); /* for this stdout (a terminal, NO_COLOR unset), at this time */
/* Writes the output to stdout and ends it. ZT_EXIT_OK, or ZT_EXIT_FAILED (said). */
int term_close(struct term *t);
/* A result as it is, for --json: escaped to ASCII, indented by 2. */
int term_json(const json_t *result);

const char *term_safe(struct term *t, const char *s); /* fit for a terminal; "-" for NULL and "" */
/* A member of any simple type as text; "-" when it is absent, null or empty. */
const char *term_field(struct term *t, const json_t *object, const char *key);
/* A value of any simple type as text, an array's values with ", " between. */
const char *term_value(struct term *t, const json_t *value);
const char *term_paint(struct term *t, enum term_colour colour, const char *text);
const char *term_span(struct term *t, int64_t s);      /* "12s" "59m" "1h 20m" "3d 4h" */
const char *term_bytes(struct term *t, int64_t bytes); /* "17 B" "1.2 MiB" */
/* How long ago, or how far ahead, an RFC 3339 time is: "12s ago" "in 59m"; the text itself when it
 * is no such time. */
const char *term_when(struct term *t, const char *time);
/* One failed condition below a heading: "✗ condition is value", and its hint on the next line. c is
 * an object
 * {"condition","is","hint"} or a text. */
void term_condition(struct term *t, const json_t *c, const char *indent);
