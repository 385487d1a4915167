/*
 * strbuf.c: text that grows, escaped for terminals and measured in columns.
 *
 * Widths are utf8proc's (Unicode East Asian Width and emoji presentation).
 * Any thread; no global state.
 */
#include "strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void strbuf_done(struct strbuf *text)
{
	free(text->bytes);
	*text = (struct strbuf){0};
}

char *strbuf_take(struct strbuf *text)
{
	char *bytes;

	strbuf_bytes(text, "", 0);
	if (text->failed) {
		strbuf_done(text);
		return NULL;
	}
	bytes = text->bytes;
	*text = (struct strbuf){0};
	return bytes;
}

void strbuf_clear(struct strbuf *text)
{
	text->length = 0;
	if (text->bytes != NULL)
		text->bytes[0] = '\0';
}

static bool reserve(struct strbuf *text, size_t length)
{
	size_t capacity = text->capacity != 0 ? text->capacity : 256;
	char *bytes;

	if (text->failed)
		return false;
	if (length >= SIZE_MAX / 4 - text->length) {
		text->failed = true;
		return false;
	}
	if (text->bytes != NULL && text->length + length < text->capacity)
		return true;
	while (capacity <= text->length + length)
		capacity *= 2;
	bytes = realloc(text->bytes, capacity);
	if (bytes == NULL) {
		text->failed = true;
		return false;
	}
	text->bytes = bytes;
	text->capacity = capacity;
	return true;
}

void strbuf_bytes(struct strbuf *text, const char *bytes, size_t length)
{
	if (!reserve(text, length))
		return;
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

void strbuf_string(struct strbuf *text, const char *string)
{
	strbuf_bytes(text, string, strlen(string));
}

void strbuf_repeat(struct strbuf *text, const char *string, size_t times)
{
	size_t length = strlen(string);

	if (length != 0 && (times > SIZE_MAX / 8 / length || !reserve(text, length * times))) {
		text->failed = true;
		return;
	}
	if (length == 1) {
		memset(text->bytes + text->length, string[0], times);
		text->length += times;
		text->bytes[text->length] = '\0';
		return;
	}
	for (; times > 0; times--)
		strbuf_bytes(text, string, length);
}

void strbuf_vformat(struct strbuf *text, const char *format, va_list args)
{
	char *bytes = NULL;
	int length = vasprintf(&bytes, format, args);

	if (length < 0) {
		text->failed = true;
		return;
	}
	strbuf_bytes(text, bytes, (size_t)length);
	free(bytes);
}

void strbuf_format(struct strbuf *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vformat(text, format, args);
	va_end(args);
}

/* Reads one character at bytes; 0 < *ret_size. -1: one byte that is not UTF-8. */
static int32_t read_character(const char *bytes, size_t length, size_t *ret_size)
{
	utf8proc_int32_t code;
	utf8proc_ssize_t size;

	if ((unsigned char)bytes[0] < 0x80) {
		*ret_size = 1;
		return bytes[0];
	}
	/* No character is longer than 4 bytes, and the length is a signed type. */
	size = utf8proc_iterate((const utf8proc_uint8_t *)bytes,
		(utf8proc_ssize_t)(length < 4 ? length : 4), &code);
	if (size <= 0) {
		*ret_size = 1;
		return -1;
	}
	*ret_size = (size_t)size;
	return code;
}

/* Characters that move the cursor, reorder text or can't be seen. The joiners
 * stay: emoji and Indic scripts need them. */
static bool is_unsafe(int32_t code)
{
	if (code < 0x20 || code == 0x7f)
		return true;
	if (code < 0x80 || code == 0x200c || code == 0x200d || code == 0xad)
		return false;
	switch (utf8proc_category(code)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return true;
	default:
		return false;
	}
}

static void escape(struct strbuf *text, int32_t code, unsigned char byte)
{
	if (code < 0)
		strbuf_format(text, "\\x%02x", byte);
	else if (code == '\n')
		strbuf_string(text, "\\n");
	else if (code == '\t')
		strbuf_string(text, "\\t");
	else if (code == '\r')
		strbuf_string(text, "\\r");
	else if (code < 0x100)
		strbuf_format(text, "\\x%02x", (unsigned)code);
	else if (code < 0x10000)
		strbuf_format(text, "\\u%04x", (unsigned)code);
	else
		strbuf_format(text, "\\U%08x", (unsigned)code);
}

void strbuf_safe(struct strbuf *text, const char *bytes, size_t length)
{
	size_t start = 0;
	size_t at = 0;
	size_t size;

	while (at < length) {
		int32_t code = read_character(bytes + at, length - at, &size);

		if (is_unsafe(code)) {
			strbuf_bytes(text, bytes + start, at - start);
			escape(text, code, (unsigned char)bytes[at]);
			start = at + size;
		}
		at += size;
	}
	strbuf_bytes(text, bytes + start, at - start);
}

static size_t width_of(int32_t code)
{
	int width;

	if (code < 0x7f)
		return code < 0 || code >= 0x20 ? 1 : 0;
	width = utf8proc_charwidth(code);
	return width > 0 ? (size_t)width : 0;
}

/* Our own colours are the only escape sequences in safe text: ESC [ … m. */
static size_t skip_color(const char *bytes, size_t length)
{
	size_t at = 2;

	if (length < 3 || bytes[0] != '\033' || bytes[1] != '[')
		return 0;
	while (at < length && bytes[at] != 'm')
		at++;
	return at < length ? at + 1 : 0;
}

size_t strbuf_columns(const char *bytes, size_t length)
{
	size_t columns = 0;
	size_t at = 0;
	size_t size;

	while (at < length) {
		size = skip_color(bytes + at, length - at);
		if (size == 0)
			columns += width_of(read_character(bytes + at, length - at, &size));
		at += size;
	}
	return columns;
}

size_t strbuf_cut(struct strbuf *text, const char *bytes, size_t length, size_t columns)
{
	size_t keep = 0; /* bytes that leave a column for the ellipsis */
	size_t kept = 0; /* and their columns */
	size_t used = 0;
	size_t at = 0;
	size_t size;

	while (at < length) {
		size = skip_color(bytes + at, length - at);
		if (size == 0)
			used += width_of(read_character(bytes + at, length - at, &size));
		if (used > columns)
			break;
		at += size;
		if (used < columns) {
			keep = at;
			kept = used;
		}
	}
	if (at == length) {
		strbuf_bytes(text, bytes, length);
		return used;
	}
	strbuf_bytes(text, bytes, keep);
	if (columns == 0)
		return kept;
	strbuf_string(text, "…");
	return kept + 1;
}

void strbuf_head(struct strbuf *text, const char *bytes, size_t length, size_t characters)
{
	size_t at = 0;
	size_t size;

	for (; characters > 0 && at < length; characters--) {
		(void)read_character(bytes + at, length - at, &size);
		at += size;
	}
	strbuf_safe(text, bytes, at);
	if (at < length)
		strbuf_string(text, "…");
}

void strbuf_pad(struct strbuf *text, size_t from, size_t columns)
{
	size_t used;

	if (text->failed || from > text->length)
		return;
	used = text->bytes == NULL ? 0 : strbuf_columns(text->bytes + from, text->length - from);
	if (used < columns)
		strbuf_repeat(text, " ", columns - used);
}

void strbuf_json(struct strbuf *text, const char *bytes, size_t length)
{
	size_t at = 0;
	size_t size;

	strbuf_string(text, "\"");
	while (at < length) {
		int32_t code = read_character(bytes + at, length - at, &size);

		if (code < 0)
			strbuf_string(text, "\xef\xbf\xbd");
		else if (code == '"' || code == '\\')
			strbuf_format(text, "\\%c", code);
		else if (code == '\n')
			strbuf_string(text, "\\n");
		else if (code == '\t')
			strbuf_string(text, "\\t");
		else if (is_unsafe(code) && code < 0x10000)
			strbuf_format(text, "\\u%04x", (unsigned)code);
		else
			strbuf_bytes(text, bytes + at, size);
		at += size;
	}
	strbuf_string(text, "\"");
}

void strbuf_color(struct strbuf *text, bool on, enum text_color color)
{
	static const char *const codes[] = {
		[COLOR_PLAIN] = "\033[0m",
		[COLOR_BOLD] = "\033[1m",
		[COLOR_DIM] = "\033[2m",
		[COLOR_RED] = "\033[31m",
		[COLOR_GREEN] = "\033[32m",
		[COLOR_YELLOW] = "\033[33m",
		[COLOR_CYAN] = "\033[36m",
	};

	if (on)
		strbuf_string(text, codes[color]);
}
