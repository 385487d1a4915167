/*
 * text.c: see text.h.
 */
#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_done(struct text *text)
{
	if (text == NULL)
		return;
	free(text->data);
	*text = (struct text){0};
}

/* Makes room for extra_bytes and a NUL. */
static bool text_reserve(struct text *text, size_t extra_bytes)
{
	if (text->failed)
		return false;
	if (extra_bytes >= SIZE_MAX / 4 - text->length_bytes) {
		text->failed = true;
		return false;
	}
	size_t needed = text->length_bytes + extra_bytes + 1;
	if (needed <= text->capacity_bytes)
		return true;
	size_t capacity = text->capacity_bytes ? text->capacity_bytes : 64;
	while (capacity < needed)
		capacity *= 2;
	char *data = realloc(text->data, capacity);
	if (data == NULL) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->capacity_bytes = capacity;
	return true;
}

void text_append(struct text *text, const char *bytes, size_t length_bytes)
{
	if (!text_reserve(text, length_bytes))
		return;
	if (length_bytes > 0)
		memcpy(text->data + text->length_bytes, bytes, length_bytes);
	text->length_bytes += length_bytes;
	text->data[text->length_bytes] = '\0';
}

void text_puts(struct text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

void text_append_shown(struct text *text, const char *bytes, size_t length_bytes)
{
	for (size_t at = 0; at < length_bytes;) {
		size_t part = strnlen(bytes + at, length_bytes - at);
		text_append(text, bytes + at, part);
		at += part;
		if (at++ < length_bytes)
			text_puts(text, "\\u0000");
	}
}

void text_putc(struct text *text, char c)
{
	text_append(text, &c, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *formatted = NULL;
	int length = vasprintf(&formatted, format, args);
	va_end(args);
	if (length < 0) {
		text->failed = true;
		return;
	}
	text_append(text, formatted, (size_t)length);
	free(formatted);
}

char *text_take(struct text *text)
{
	text_append(text, "", 0);
	char *data = text->data;
	if (text->failed) {
		free(data);
		data = NULL;
	}
	*text = (struct text){0};
	return data;
}
