/* What the printers share: a bounded output, texts from outside made safe, words for times and
 * sizes. Pure but for view_open and view_close. All texts returned live as long as the view. */
#pragma once

#include <stdbool.h>

#include <jansson.h>

#include "zt/arena.h"
#include "zt/buf.h"
#include "zt/clock.h"

struct view {
	struct buf out;
	struct arena arena;
	bool colour;
	struct now now;
};

enum view_colour { VIEW_RED, VIEW_GREEN, VIEW_YELLOW, VIEW_BOLD, VIEW_DIM };

void view_init(struct view *v, bool colour, struct now now);
void view_done(struct view *v);
void view_open(struct view *v); /* for this stdout (a terminal, NO_COLOR unset), at this time */
/* Writes the output to stdout and ends the view. ZT_EXIT_OK, or ZT_EXIT_FAILED (said). */
int view_close(struct view *v);
/* A result as it is, for --json: escaped to ASCII, indented by 2. */
int view_json(const json_t *result);

const char *view_safe(struct view *v, const char *s); /* fit for a terminal; "-" for NULL and "" */
/* A member of any simple type as text; "-" when it is absent, null or empty. */
const char *view_field(struct view *v, const json_t *object, const char *key);
/* A value of any simple type as text, an array's values with ", " between. */
const char *view_value(struct view *v, const json_t *value);
const char *view_paint(struct view *v, enum view_colour colour, const char *text);
const char *view_span(struct view *v, int64_t s);      /* "12s" "59m" "1h 20m" "3d 4h" */
const char *view_bytes(struct view *v, int64_t bytes); /* "17 B" "1.2 MiB" */
/* How long ago, or how far ahead, an RFC 3339 time is: "12s ago" "in 59m"; the text itself when it
 * is no such time. */
const char *view_when(struct view *v, const char *time);
/* One failed condition below a heading: "✗ condition is value", and its hint on the next line. c is
 * an object
 * {"condition","is","hint"} or a text. */
void view_condition(struct view *v, const json_t *c, const char *indent);
