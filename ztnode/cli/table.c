/* Aligned columns. */
#include "ztnode/cli/table.h"

#include <stdbool.h>
#include <string.h>

enum { GAP = 2, COLUMNS_MAX = 16 };

size_t table_width(const char *text)
{
	size_t n = 0;

	for (const char *s = text; *s; s++) {
		if (*s == '\033') {
			s += strcspn(s, "m");
			if (!*s)
				break;
		} else if (((unsigned char)*s & 0xc0) != 0x80) {
			n++;
		}
	}
	return n;
}

static void put_spaces(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_put_u8(out, ' ');
}

static void put_cell(const char *text, size_t width, bool right, bool last, struct buf *out)
{
	size_t pad = width - table_width(text);

	if (right)
		put_spaces(out, pad);
	buf_put_text(out, text);
	if (!last)
		put_spaces(out, (right ? 0 : pad) + GAP);
}

static const char *head_text(const char *head)
{
	return head[0] == '>' ? head + 1 : head;
}

static void put_row(const char *const *heads, const char *const *cells, const size_t *widths,
		    size_t columns, struct buf *out)
{
	for (size_t c = 0; c < columns; c++) {
		const char *text = cells == heads ? head_text(cells[c]) : cells[c];

		put_cell(text, widths[c], heads[c][0] == '>', c + 1 == columns, out);
	}
	buf_put_u8(out, '\n');
}

void table_print(const char *const *heads, size_t columns, const char *const *cells, size_t rows,
		 struct buf *out)
{
	size_t widths[COLUMNS_MAX];

	if (rows == 0 || columns == 0 || columns > COLUMNS_MAX)
		return;
	for (size_t c = 0; c < columns; c++)
		widths[c] = table_width(head_text(heads[c]));
	for (size_t i = 0; i < rows * columns; i++) {
		size_t width = table_width(cells[i]);

		if (width > widths[i % columns])
			widths[i % columns] = width;
	}
	put_row(heads, heads, widths, columns, out);
	for (size_t r = 0; r < rows; r++)
		put_row(heads, cells + r * columns, widths, columns, out);
}
