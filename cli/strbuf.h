/*
 * strbuf.h: text that grows, and text as a terminal shows it.
 *
 * What is appended by strbuf_safe, strbuf_cut or strbuf_json can't drive a terminal:
 * control and formatting characters and bytes that are not UTF-8 are escaped.
 * Not thread-safe per object; no global state.
 */
#ifndef WAFT_CLI_STRBUF_H
#define WAFT_CLI_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. After a failed allocation `failed` stays true and
 * further appends do nothing. */
struct strbuf {
	char *bytes; /* NUL-terminated when not NULL */
	size_t length;
	size_t capacity;
	bool failed;
};

void strbuf_done(struct strbuf *text);
/* Hands the bytes over to the caller (free) and empties text; NULL when memory
 * was short. */
char *strbuf_take(struct strbuf *text);
/* Empties it and keeps its memory. */
void strbuf_clear(struct strbuf *text);

void strbuf_bytes(struct strbuf *text, const char *bytes, size_t length);
void strbuf_string(struct strbuf *text, const char *string);
void strbuf_repeat(struct strbuf *text, const char *string, size_t times);
void strbuf_format(struct strbuf *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void strbuf_vformat(struct strbuf *text, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Appends length bytes made safe for a terminal, on one line: \n and \t as
 * such, other controls as \x1b or \u202e. */
void strbuf_safe(struct strbuf *text, const char *bytes, size_t length);

/* Columns that safe text takes. Escape sequences of strbuf_color count 0. */
size_t strbuf_columns(const char *bytes, size_t length);

/* Appends safe text, cut to at most `columns` columns; a cut one ends in "…".
 * Colours take no columns; one that is on where the text is cut stays on. Returns the
 * columns appended. */
size_t strbuf_cut(struct strbuf *text, const char *bytes, size_t length, size_t columns);

/* Appends the first `characters` characters of safe text, and "…" when there
 * are more. */
void strbuf_head(struct strbuf *text, const char *bytes, size_t length, size_t characters);

/* Appends spaces until the text, counted from byte `from`, takes `columns`. */
void strbuf_pad(struct strbuf *text, size_t from, size_t columns);

/* Appends a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void strbuf_json(struct strbuf *text, const char *bytes, size_t length);

/* Colours as ANSI SGR; nothing is appended when `on` is false. */
enum text_color {
	COLOR_PLAIN = 0,
	COLOR_BOLD,
	COLOR_DIM,
	COLOR_RED,
	COLOR_GREEN,
	COLOR_YELLOW,
	COLOR_CYAN,
};
void strbuf_color(struct strbuf *text, bool on, enum text_color color);

#endif
