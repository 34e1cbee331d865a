/* Texts and tables from the controller's JSON. Whatever a device or a user named is data here:
 * nothing of it reaches the terminal as a control. */
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "zt/buf.h"
#include "zt/txt.h"

enum { TEXT_MAX = 1 << 20 };

const char *ctl_safe(struct ctl *c, const char *s)
{
	size_t size = strlen(s) + 1;
	char *out = arena_alloc(&c->arena, size);

	if (!out)
		return "?";
	txt_safe(s, out, size);
	return out;
}

static void put_value(struct buf *b, const json_t *v)
{
	const json_t *item;
	size_t i;

	if (json_is_string(v))
		buf_put_text(b, json_string_value(v));
	else if (json_is_integer(v))
		buf_printf(b, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		buf_printf(b, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		buf_put_text(b, json_is_true(v) ? "yes" : "no");
	else if (json_is_array(v))
		json_array_foreach((json_t *)v, i, item)
		{
			if (i)
				buf_put_text(b, ", ");
			put_value(b, item);
		}
	else if (json_is_object(v) && json_object_get(v, "name"))
		put_value(b, json_object_get(v, "name"));
}

const char *ctl_member(struct ctl *c, const json_t *object, const char *key)
{
	struct buf b;
	const char *safe;

	buf_init_grow(&b, TEXT_MAX);
	put_value(&b, json_object_get(object, key));
	safe = ctl_safe(c, buf_text(&b));
	buf_free(&b);
	return safe;
}

void ctl_print_json(struct ctl *c, const json_t *j)
{
	/* On a terminal nothing but ASCII: C1 controls are valid UTF-8 in JSON. */
	size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | (c->terminal ? JSON_ENSURE_ASCII : 0);

	json_dumpf(j, c->out, flags);
	fputc('\n', c->out);
}

/* --- colours --- */

static const struct {
	const char *state, *on;
} colours[] = {
	{"active", "\033[32m"},	     {"yes", "\033[32m"},      {"ok", "\033[32m"},
	{"ALLOWED", "\033[1;32m"},   {"pending", "\033[33m"},  {"used", "\033[2m"},
	{"no", "\033[31m"},	     {"revoked", "\033[31m"},  {"expired", "\033[31m"},
	{"quarantined", "\033[31m"}, {"DENIED", "\033[1;31m"},
};

const char *ctl_colour(const struct ctl *c, const char *state)
{
	for (size_t i = 0; c->colours && i < sizeof(colours) / sizeof(colours[0]); i++)
		if (txt_equal(colours[i].state, state))
			return colours[i].on;
	return "";
}

const char *ctl_plain(const struct ctl *c)
{
	return c->colours ? "\033[0m" : "";
}

/* --- tables --- */

static int add_columns(struct libscols_table *t, const struct ctl_column *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!scols_table_new_column(t, columns[i].title, 0,
					    columns[i].format == CTL_NUMBER ? SCOLS_FL_RIGHT : 0))
			return -1;
	return 0;
}

static int add_cell(struct ctl *c, struct libscols_line *line, size_t i,
		    const struct ctl_column *column, const json_t *row)
{
	const char *text = ctl_member(c, row, column->key);
	const char *colour = column->format == CTL_STATE || column->format == CTL_YES_NO
				     ? ctl_colour(c, text)
				     : "";

	if (*colour)
		scols_cell_set_color(scols_line_get_cell(line, i), colour);
	return scols_line_set_data(line, i, *text ? text : "-");
}

static int add_rows(struct ctl *c, struct libscols_table *t, const struct ctl_column *columns,
		    size_t n, const json_t *rows)
{
	const json_t *row;
	size_t k;
	int err = 0;

	json_array_foreach((json_t *)rows, k, row)
	{
		struct libscols_line *line = scols_table_new_line(t, NULL);

		if (!line)
			return -1;
		for (size_t i = 0; err == 0 && i < n; i++)
			err = add_cell(c, line, i, &columns[i], row);
	}
	return err;
}

int ctl_print_table(struct ctl *c, const struct ctl_column *columns, size_t n, const json_t *rows)
{
	struct libscols_table *t;
	int err;

	if (json_array_size(rows) == 0) {
		fprintf(c->err, "none\n");
		return ZT_EXIT_OK;
	}
	t = scols_new_table();
	if (!t)
		return ctl_failf(c, ZT_EXIT_FAILED, "", "out of memory");
	scols_table_set_stream(t, c->out);
	scols_table_enable_colors(t, c->colours);
	err = add_columns(t, columns, n);
	if (err == 0)
		err = add_rows(c, t, columns, n, rows);
	if (err == 0)
		err = scols_print_table(t);
	scols_unref_table(t);
	return err ? ctl_failf(c, ZT_EXIT_FAILED, "", "cannot print the table") : ZT_EXIT_OK;
}

void ctl_print_fields(struct ctl *c, const struct ctl_column *fields, size_t n,
		      const json_t *object)
{
	size_t width = 0;

	for (size_t i = 0; i < n; i++)
		if (strlen(fields[i].title) > width)
			width = strlen(fields[i].title);
	for (size_t i = 0; i < n; i++) {
		const char *text = ctl_member(c, object, fields[i].key);
		const char *colour = fields[i].format == CTL_STATE ? ctl_colour(c, text) : "";

		fprintf(c->out, "%-*s  %s%s%s\n", (int)width, fields[i].title, colour,
			*text ? text : "-", *colour ? ctl_plain(c) : "");
	}
}
