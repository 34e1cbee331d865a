/* Shared parts of the printers. */
#include "ztnode/cli/term.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zt/log.h"
#include "zt/txt.h"

enum { TERM_MAX = 256 << 20 };

void term_init(struct term *t, bool colour, struct now now)
{
	*t = (struct term){.colour = colour, .now = now};
	buf_init_grow(&t->out, TERM_MAX);
	arena_init(&t->arena, TERM_MAX);
}

void term_done(struct term *t)
{
	buf_free(&t->out);
	arena_done(&t->arena);
}

void term_open(struct term *t)
{
	const char *term = getenv("TERM");
	bool colour =
		isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && !(term && txt_equal(term, "dumb"));

	term_init(t, colour, clock_now());
}

static int put_stdout(const void *p, size_t n)
{
	struct diag d = {0};

	if (fwrite(p, 1, n, stdout) == n && fflush(stdout) == 0)
		return ZT_EXIT_OK;
	diag_set(&d, -EIO, "cannot write the output");
	log_diag(&d);
	return ZT_EXIT_FAILED;
}

int term_close(struct term *t)
{
	struct diag d = {0};
	int status = ZT_EXIT_FAILED;

	if (t->out.err) {
		diag_set(&d, t->out.err, "cannot print this: %s", zt_strerror(t->out.err));
		log_diag(&d);
	} else {
		status = put_stdout(t->out.data, t->out.len);
	}
	term_done(t);
	return status;
}

int term_json(const json_t *result)
{
	char *text = json_dumps(result, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	struct term t;

	term_open(&t);
	if (text)
		buf_printf(&t.out, "%s\n", text);
	else
		t.out.err = -ENOMEM;
	free(text);
	return term_close(&t);
}

/* --- texts --- */

/* Out of memory, or too much: the output fails as a whole, in term_close. */
static const char *or_fail(struct term *t, const char *text)
{
	if (!text)
		t->out.err = -ZT_ELIMIT;
	return text ? text : "?";
}

const char *term_safe(struct term *t, const char *s)
{
	size_t size = s ? strlen(s) + 1 : 0;
	char *copy;

	if (size <= 1)
		return "-";
	copy = arena_alloc(&t->arena, size); /* safe text is never longer */
	if (copy)
		txt_safe(s, copy, size);
	return or_fail(t, copy);
}

static const char *join(struct term *t, const json_t *array)
{
	const char *text;
	const json_t *item;
	struct buf b;
	size_t i;

	buf_init_grow(&b, TERM_MAX);
	json_array_foreach(array, i, item)
	{
		buf_put_text(&b, i ? ", " : "");
		buf_put_text(&b, json_is_array(item) ? "?" : term_value(t, item));
	}
	text = b.err ? NULL : arena_text(&t->arena, b.len ? buf_text(&b) : "-", b.len ? b.len : 1);
	buf_free(&b);
	return or_fail(t, text);
}

const char *term_value(struct term *t, const json_t *value)
{
	if (json_is_string(value))
		return term_safe(t, json_string_value(value));
	if (json_is_integer(value))
		return or_fail(
			t, arena_printf(&t->arena, "%lld", (long long)json_integer_value(value)));
	if (json_is_real(value))
		return or_fail(t, arena_printf(&t->arena, "%.1f", json_real_value(value)));
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	return json_is_array(value) ? join(t, value) : "-";
}

const char *term_field(struct term *t, const json_t *object, const char *key)
{
	return term_value(t, json_object_get(object, key));
}

const char *term_paint(struct term *t, enum term_colour colour, const char *text)
{
	static const char *const codes[] = {
		[TERM_RED] = "31",
		[TERM_GREEN] = "32",
		[TERM_YELLOW] = "33",
		[TERM_BOLD] = "1",
	};

	if (!t->colour)
		return text;
	return or_fail(t, arena_printf(&t->arena, "\033[%sm%s\033[0m", codes[colour], text));
}

/* --- times and sizes --- */

const char *term_span(struct term *t, int64_t s)
{
	enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };
	const char *text;

	if (s < MINUTE)
		text = arena_printf(&t->arena, "%llds", (long long)s);
	else if (s < HOUR)
		text = arena_printf(&t->arena, "%lldm", (long long)(s / MINUTE));
	else if (s < DAY)
		text = arena_printf(&t->arena, "%lldh %lldm", (long long)(s / HOUR),
				    (long long)(s % HOUR / MINUTE));
	else
		text = arena_printf(&t->arena, "%lldd %lldh", (long long)(s / DAY),
				    (long long)(s % DAY / HOUR));
	return or_fail(t, text);
}

const char *term_bytes(struct term *t, int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double x = (double)bytes;
	size_t unit = 0;

	if (bytes < 0)
		return "-";
	for (; x >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		x /= 1024;
	return or_fail(t, arena_printf(&t->arena, unit ? "%.1f %s" : "%.0f %s", x, units[unit]));
}

const char *term_when(struct term *t, const char *time)
{
	struct tm tm = {0};
	const char *end = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t s;

	if (!end || (!txt_equal(end, "Z") && end[0] != '.'))
		return term_safe(t, time);
	s = timegm(&tm) - t->now.wall_ms / 1000;
	if (s > 0)
		return or_fail(t, arena_printf(&t->arena, "in %s", term_span(t, s)));
	return or_fail(t, arena_printf(&t->arena, "%s ago", term_span(t, -s)));
}

void term_condition(struct term *t, const json_t *c, const char *indent)
{
	const char *cross = term_paint(t, TERM_RED, "✗"), *hint, *since;

	if (!json_is_object(c)) {
		buf_printf(&t->out, "%s%s %s\n", indent, cross, term_value(t, c));
		return;
	}
	since = term_field(t, c, "since");
	buf_printf(&t->out, "%s%s %s  (is %s", indent, cross, term_field(t, c, "condition"),
		   term_field(t, c, "is"));
	if (!txt_equal(since, "-"))
		buf_printf(&t->out, ", since %s", since);
	buf_put_text(&t->out, ")\n");
	hint = term_field(t, c, "hint");
	if (!txt_equal(hint, "-"))
		buf_printf(&t->out, "%s  hint: %s\n", indent, hint);
}
