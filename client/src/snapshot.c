/* See snapshot.h. */
#include "snapshot.h"

#include <stdio.h>

#include "json_check.h"
#include "redact.h"
#include "utf8.h"

/* One character that cannot stand in a JSON string as it is. */
static void escape_add(struct buffer *out, unsigned char c)
{
	char text[8];

	switch (c) {
	case '"':
		buffer_add_text(out, "\\\"");
		break;
	case '\\':
		buffer_add_text(out, "\\\\");
		break;
	case '\n':
		buffer_add_text(out, "\\n");
		break;
	case '\r':
		buffer_add_text(out, "\\r");
		break;
	case '\t':
		buffer_add_text(out, "\\t");
		break;
	default:
		snprintf(text, sizeof(text), "\\u%04x", c);
		buffer_add_text(out, text);
	}
}

/* The inside of a JSON string, of valid UTF-8. */
static void escaped_add(struct buffer *out, const char *text, size_t length)
{
	size_t done = 0;

	for (size_t at = 0; at < length; at++) {
		unsigned char c = (unsigned char)text[at];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buffer_add(out, text + done, at - done);
		escape_add(out, c);
		done = at + 1;
	}
	buffer_add(out, text + done, length - done);
}

/* Valid UTF-8 of any text: the text itself, or a repaired copy in *memory. */
static const char *text_repair(const char *text, size_t *length, struct buffer *memory)
{
	if (utf8_valid((const uint8_t *)text, *length))
		return text;
	if (*length > SIZE_MAX / 4 || !buffer_reserve(memory, 3 * *length))
		return NULL;
	*length = utf8_repair((const uint8_t *)text, *length, memory->bytes);
	return (const char *)memory->bytes;
}

void snapshot_string(struct buffer *out, const char *text, size_t length)
{
	struct buffer memory = {0};
	const char *valid = text_repair(text, &length, &memory);

	if (valid == NULL)
		out->failed = true;
	buffer_add_byte(out, '"');
	if (valid != NULL)
		escaped_add(out, valid, length);
	buffer_add_byte(out, '"');
	buffer_done(&memory);
}

void snapshot_invalid(struct buffer *out, size_t length)
{
	char text[64];

	snprintf(text, sizeof(text), "\"[invalid JSON, %zu bytes]\"", length);
	out->length = 0;
	buffer_add_text(out, text);
}

/* The beginning of a valid text as a string that says how much there was. */
static void cut_add(struct buffer *out, const char *text, size_t length, size_t limit)
{
	char tail[64];

	buffer_add_byte(out, '"');
	escaped_add(out, text, utf8_cut((const uint8_t *)text, limit));
	snprintf(tail, sizeof(tail), "... (truncated, total length: %zu)\"", length);
	buffer_add_text(out, tail);
}

static void plain_take(struct buffer *out, const char *text, size_t length, size_t limit)
{
	struct buffer memory = {0};
	size_t valid_length = length;
	const char *valid;

	if (redact_text_holds(text, length)) {
		snapshot_invalid(out, length);
		return;
	}
	valid = text_repair(text, &valid_length, &memory);
	if (valid == NULL) {
		snapshot_invalid(out, length);
	} else if (valid_length > limit) {
		cut_add(out, valid, valid_length, limit);
	} else {
		buffer_add_byte(out, '"');
		escaped_add(out, valid, valid_length);
		buffer_add_byte(out, '"');
	}
	buffer_done(&memory);
}

static void buffer_write(void *arg, const char *bytes, size_t length)
{
	buffer_add(arg, bytes, length);
}

/* The text with zeros behind, in out behind out->length, since it is checked more quickly
 * there, and most often kept; false: it isn't to be kept whole, or there is no memory. */
static bool text_place(struct buffer *out, const char *text, size_t length, size_t limit)
{
	if (length == 0 || length > limit || !buffer_reserve(out, length + JSON_CHECK_PAD)) {
		out->failed = false;
		return false;
	}
	memcpy(out->bytes, text, length);
	memset(out->bytes + length, 0, JSON_CHECK_PAD);
	return true;
}

void snapshot_take(struct buffer *out, const char *text, size_t length, size_t limit)
{
	struct buffer redacted = {0};
	size_t total = length;
	bool placed;
	int ret;

	out->length = 0;
	out->failed = false;
	placed = text_place(out, text, length, limit);
	ret = placed ? json_check_padded(out->bytes, length, NULL)
		     : json_check((const uint8_t *)text, length, NULL);
	if (ret != 0) {
		plain_take(out, text, length, limit);
		return;
	}
	/* A text that holds no name has no key that matches one: the quotes around a key
	 * separate words as its ends do. */
	if (!redact_text_holds(text, length) || !redact_json(text, length, buffer_write, out)) {
		if (placed)
			out->length = length;
		else if (length <= limit)
			buffer_add(out, text, length);
		else
			cut_add(out, text, length, limit);
		return;
	}
	if (out->failed || out->length <= limit)
		return;
	redacted = *out;
	total = redacted.length;
	*out = (struct buffer){0};
	cut_add(out, (const char *)redacted.bytes, total, limit);
	buffer_done(&redacted);
}

/* Whether the text has gone into out as it is: a text without names, which as a string
 * that was repaired is no longer than the limit either. */
static bool text_put(struct buffer *out, const char *text, size_t length, size_t limit)
{
	enum scan_seen seen = SCAN_SUSPECT;

	if (length - 1 >= limit || !buffer_reserve(out, length))
		return false;
	if (redact_can_copy(length))
		seen = redact_copy((char *)out->bytes, text, length);
	else
		memcpy(out->bytes, text, length);
	if (seen == SCAN_SUSPECT && redact_text_holds((const char *)out->bytes, length))
		return false;
	if (seen != SCAN_NOTHING && length > limit / 3 && !utf8_valid(out->bytes, length))
		return false;
	out->length = length;
	return true;
}

void snapshot_put_any(struct buffer *out, const char *text, size_t length, size_t limit)
{
	out->length = 0;
	out->failed = false;
	if (!text_put(out, text, length, limit))
		snapshot_take(out, text, length, limit);
}
