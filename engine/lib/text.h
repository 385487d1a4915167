/*
 * text.h: a growing text that remembers a failed allocation until it is taken.
 * Used by every part of the engine that writes JSON or messages. Not shared
 * between threads.
 */
#ifndef ENGINE_TEXT_H
#define ENGINE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. data is NUL-terminated whenever length_bytes > 0. */
struct text {
	char *data;
	size_t length_bytes;
	size_t capacity_bytes;
	bool failed; /* an allocation failed: the text is incomplete */
};

void text_done(struct text *text);
void text_append(struct text *text, const char *bytes, size_t length_bytes);
/* For messages, which end at a NUL: one inside is written as JSON has it, \u0000. */
void text_append_shown(struct text *text, const char *bytes, size_t length_bytes);
void text_puts(struct text *text, const char *string);
void text_putc(struct text *text, char c);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands the NUL-terminated text to the caller, who frees it, and empties text.
 * NULL when an allocation failed. */
char *text_take(struct text *text) __attribute__((warn_unused_result));

#endif
