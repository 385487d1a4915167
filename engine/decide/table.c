/*
 * table.c: see table.h. Widths are utf8proc's, by character cluster: what joins
 * the character before it (marks, variation selectors, emoji sequences) adds
 * nothing.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct table_cell {
	char *text;
	size_t width;
	bool right;
};

/* What must not reach a terminal: controls, and the marks that turn the
 * direction of what follows. */
static bool is_harmful(utf8proc_int32_t code_point)
{
	utf8proc_category_t category = utf8proc_category(code_point);
	return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL ||
	       category == UTF8PROC_CATEGORY_ZP || category == UTF8PROC_CATEGORY_CS ||
	       (code_point >= 0x202a && code_point <= 0x202e) ||
	       (code_point >= 0x2066 && code_point <= 0x2069);
}

static void put_escaped(struct text *out, utf8proc_int32_t code_point)
{
	if (code_point == '\t')
		text_puts(out, "\\t");
	else if (code_point == '\n')
		text_puts(out, "\\n");
	else if (code_point == '\r')
		text_puts(out, "\\r");
	else
		text_printf(
			out, code_point < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned int)code_point);
}

void text_put_visible(struct text *out, const char *text, size_t length_bytes)
{
	for (size_t at = 0; at < length_bytes;) {
		utf8proc_int32_t code_point;
		utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
			(utf8proc_ssize_t)(length_bytes - at), &code_point);
		if (taken <= 0) {
			text_printf(out, "\\x%02x", (unsigned char)text[at]);
			at++;
			continue;
		}
		if (is_harmful(code_point))
			put_escaped(out, code_point);
		else
			text_append(out, text + at, (size_t)taken);
		at += (size_t)taken;
	}
}

/* The width of text that text_put_visible made. */
static size_t visible_width(const char *text, size_t length_bytes)
{
	size_t width = 0;
	utf8proc_int32_t state = 0;
	utf8proc_int32_t before = 0;
	for (size_t at = 0; at < length_bytes;) {
		utf8proc_int32_t code_point;
		utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
			(utf8proc_ssize_t)(length_bytes - at), &code_point);
		if (taken <= 0)
			break;
		bool joined =
			at > 0 && !utf8proc_grapheme_break_stateful(before, code_point, &state);
		if (!joined)
			width += (size_t)utf8proc_charwidth(code_point);
		before = code_point;
		at += (size_t)taken;
	}
	return width;
}

size_t display_width(const char *text, size_t length_bytes)
{
	struct text visible = {0};
	text_put_visible(&visible, text, length_bytes);
	size_t width = visible.data ? visible_width(visible.data, visible.length_bytes) : 0;
	text_done(&visible);
	return width;
}

void table_init(struct table *table, size_t columns)
{
	*table = (struct table){.columns = columns};
}

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){0};
}

static struct table_cell *new_cell(struct table *table)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 64;
		struct table_cell *cells = realloc(table->cells, capacity * sizeof(*cells));
		if (cells == NULL)
			return NULL;
		table->cells = cells;
		table->capacity = capacity;
	}
	return &table->cells[table->count];
}

void table_add(struct table *table, const char *text, size_t length_bytes, bool right)
{
	struct text visible = {0};
	text_put_visible(&visible, text, length_bytes);
	size_t width = visible.data ? visible_width(visible.data, visible.length_bytes) : 0;
	char *taken = text_take(&visible);
	struct table_cell *cell = taken ? new_cell(table) : NULL;
	if (cell == NULL) {
		free(taken);
		table->failed = true;
		return;
	}
	*cell = (struct table_cell){.text = taken, .width = width, .right = right};
	table->count++;
}

static size_t column_width(const struct table *table, size_t column)
{
	size_t width = 0;
	for (size_t i = column; i < table->count; i += table->columns)
		if (table->cells[i].width > width)
			width = table->cells[i].width;
	return width;
}

static void put_spaces(struct text *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		text_putc(out, ' ');
}

static void write_row(struct text *out, const struct table *table, size_t first,
	const size_t *widths, size_t indent)
{
	put_spaces(out, indent);
	for (size_t i = 0; i < table->columns && first + i < table->count; i++) {
		const struct table_cell *cell = &table->cells[first + i];
		size_t padding = widths[i] - cell->width;
		bool last = i + 1 == table->columns;
		if (cell->right)
			put_spaces(out, padding);
		text_puts(out, cell->text);
		if (!cell->right && !last)
			put_spaces(out, padding);
		if (!last)
			text_puts(out, "  ");
	}
	text_putc(out, '\n');
}

void table_write(struct text *out, const struct table *table, size_t indent)
{
	size_t *widths = calloc(table->columns + 1, sizeof(*widths));
	if (widths == NULL || table->failed) {
		out->failed = true;
		free(widths);
		return;
	}
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = column_width(table, i);
	for (size_t first = 0; first < table->count; first += table->columns)
		write_row(out, table, first, widths, indent);
	free(widths);
}
