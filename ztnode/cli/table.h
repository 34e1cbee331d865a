/* A table for people: aligned columns over an array of texts. Pure. The texts are safe already
 * (term.h); colour codes in them have no width. */
#pragma once

#include "zt/buf.h"

/* cells: rows * columns texts, row by row. The last column is not padded. A column whose head
 * begins with '>' stands to the right. No rows: nothing is printed, heads neither. */
void table_print(const char *const *heads, size_t columns, const char *const *cells, size_t rows,
		 struct buf *out);
size_t table_width(const char *text); /* columns on a terminal: code points, without colour codes */
