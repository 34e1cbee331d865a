/* Shared parts of the printers. */
#include "ztnode/cli/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "zt/log.h"
#include "zt/txt.h"

enum { VIEW_MAX = 256 << 20 };

void view_init(struct view *v, bool colour, struct now now)
{
	*v = (struct view){.colour = colour, .now = now};
	buf_init_grow(&v->out, VIEW_MAX);
	arena_init(&v->arena, VIEW_MAX);
}

void view_done(struct view *v)
{
	buf_free(&v->out);
	arena_done(&v->arena);
}

void view_open(struct view *v)
{
	const char *term = getenv("TERM");
	bool colour =
		isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && !(term && txt_equal(term, "dumb"));

	view_init(v, colour, clock_now());
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

int view_close(struct view *v)
{
	struct diag d = {0};
	int status = ZT_EXIT_FAILED;

	if (v->out.err) {
		diag_set(&d, v->out.err, "cannot print this: %s", zt_strerror(v->out.err));
		log_diag(&d);
	} else {
		status = put_stdout(v->out.data, v->out.len);
	}
	view_done(v);
	return status;
}

int view_json(const json_t *result)
{
	char *text = json_dumps(result, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	struct view v;

	view_open(&v);
	if (text)
		buf_printf(&v.out, "%s\n", text);
	else
		v.out.err = -ENOMEM;
	free(text);
	return view_close(&v);
}

/* --- texts --- */

/* Out of memory, or too much: the output fails as a whole, in view_close. */
static const char *or_fail(struct view *v, const char *text)
{
	if (!text)
		v->out.err = -ZT_ELIMIT;
	return text ? text : "?";
}

const char *view_safe(struct view *v, const char *s)
{
	size_t size = s ? strlen(s) + 1 : 0;
	char *copy;

	if (size <= 1)
		return "-";
	copy = arena_alloc(&v->arena, size); /* safe text is never longer */
	if (copy)
		txt_safe(s, copy, size);
	return or_fail(v, copy);
}

static const char *join(struct view *v, const json_t *array)
{
	const char *text;
	const json_t *item;
	struct buf b;
	size_t i;

	buf_init_grow(&b, VIEW_MAX);
	json_array_foreach(array, i, item)
	{
		buf_put_text(&b, i ? ", " : "");
		buf_put_text(&b, json_is_array(item) ? "?" : view_value(v, item));
	}
	text = b.err ? NULL : arena_text(&v->arena, b.len ? buf_text(&b) : "-", b.len ? b.len : 1);
	buf_free(&b);
	return or_fail(v, text);
}

const char *view_value(struct view *v, const json_t *value)
{
	if (json_is_string(value))
		return view_safe(v, json_string_value(value));
	if (json_is_integer(value))
		return or_fail(
			v, arena_printf(&v->arena, "%lld", (long long)json_integer_value(value)));
	if (json_is_real(value))
		return or_fail(v, arena_printf(&v->arena, "%.1f", json_real_value(value)));
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	return json_is_array(value) ? join(v, value) : "-";
}

const char *view_field(struct view *v, const json_t *object, const char *key)
{
	return view_value(v, json_object_get(object, key));
}

const char *view_paint(struct view *v, enum view_colour colour, const char *text)
{
	static const char *const codes[] = {
		[VIEW_RED] = "31", [VIEW_GREEN] = "32", [VIEW_YELLOW] = "33",
		[VIEW_BOLD] = "1", [VIEW_DIM] = "2",
	};

	if (!v->colour)
		return text;
	return or_fail(v, arena_printf(&v->arena, "\033[%sm%s\033[0m", codes[colour], text));
}

/* --- times and sizes --- */

const char *view_span(struct view *v, int64_t s)
{
	enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };
	const char *text;

	if (s < MINUTE)
		text = arena_printf(&v->arena, "%llds", (long long)s);
	else if (s < HOUR)
		text = arena_printf(&v->arena, "%lldm", (long long)(s / MINUTE));
	else if (s < DAY)
		text = arena_printf(&v->arena, "%lldh %lldm", (long long)(s / HOUR),
				    (long long)(s % HOUR / MINUTE));
	else
		text = arena_printf(&v->arena, "%lldd %lldh", (long long)(s / DAY),
				    (long long)(s % DAY / HOUR));
	return or_fail(v, text);
}

const char *view_bytes(struct view *v, int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double x = (double)bytes;
	size_t unit = 0;

	if (bytes < 0)
		return "-";
	for (; x >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		x /= 1024;
	return or_fail(v, arena_printf(&v->arena, unit ? "%.1f %s" : "%.0f %s", x, units[unit]));
}

const char *view_when(struct view *v, const char *time)
{
	struct tm tm = {0};
	const char *end = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t s;

	if (!end || (!txt_equal(end, "Z") && end[0] != '.'))
		return view_safe(v, time);
	s = timegm(&tm) - v->now.wall_ms / 1000;
	if (s > 0)
		return or_fail(v, arena_printf(&v->arena, "in %s", view_span(v, s)));
	return or_fail(v, arena_printf(&v->arena, "%s ago", view_span(v, -s)));
}

void view_condition(struct view *v, const json_t *c, const char *indent)
{
	const char *cross = view_paint(v, VIEW_RED, "✗"), *hint;

	if (!json_is_object(c)) {
		buf_printf(&v->out, "%s%s %s\n", indent, cross, view_value(v, c));
		return;
	}
	buf_printf(&v->out, "%s%s %s  (is %s)\n", indent, cross, view_field(v, c, "condition"),
		   view_field(v, c, "is"));
	hint = view_field(v, c, "hint");
	if (!txt_equal(hint, "-"))
		buf_printf(&v->out, "%s  hint: %s\n", indent, hint);
}
