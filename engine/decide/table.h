/*
 * table.h: columns of text aligned as a terminal shows them. Pure.
 */
#ifndef ENGINE_DECIDE_TABLE_H
#define ENGINE_DECIDE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* Columns that text takes on a terminal; control characters count as what
 * text_put_visible shows of them. */
size_t display_width(const char *text, size_t length_bytes);

/* Appends text with control characters (and bytes that are not UTF-8) escaped,
 * so that no name can steer the terminal: \t, \n, \x1b, \u202e. */
void text_put_visible(struct text *out, const char *text, size_t length_bytes);

enum { TABLE_COLUMNS_MAX = 4096 };

/* Zero-initialise. Cells are added row by row. */
struct table {
	size_t columns;
	struct table_cell *cells; /* private */
	size_t count;
	size_t capacity;
	bool failed; /* no memory */
};

void table_init(struct table *table, size_t columns);
void table_done(struct table *table);
/* Adds a cell; right: aligned to the right. */
void table_add(struct table *table, const char *text, size_t length_bytes, bool right);

/* Appends the rows, each after indent spaces, columns two spaces apart. */
void table_write(struct text *out, const struct table *table, size_t indent);

#endif
