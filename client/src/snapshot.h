/*
 * Snapshots: what went into an operation and what came out, as JSON text that
 * anyone may see. Redacted, then cut, in the caller's private memory.
 * Thread-safe; each buffer is one thread's.
 */
#ifndef WAFT_CLIENT_SNAPSHOT_H
#define WAFT_CLIENT_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "redact.h"

/* Puts the text into *out (emptied first) as one JSON value: as it is when it
 * is JSON, without what must not be seen; else as a string when it holds none
 * of the redacted names; else "[invalid JSON, N bytes]". Over limit bytes: the
 * text's beginning, cut at a character, as a string that ends
 * `... (truncated, total length: N)`, N the bytes of the redacted text. */
void snapshot_take(struct buffer *out, const char *text, size_t length, size_t limit);

/* The same to who takes what is no JSON for a text, and makes that string of it himself
 * (Producer.texts): most often the text as it is, not checked. */
void snapshot_put_any(struct buffer *out, const char *text, size_t length, size_t limit);

_Static_assert(
	BUFFER_LEAST % SCAN_COPY_ROOM == 0, "a buffer of a text's length has redact_copy's room");

/* The commonest of that in the caller's own code: a text of which a glance says that it
 * holds no name, into a buffer that has room. */
static inline void snapshot_put(struct buffer *out, const char *text, size_t length, size_t limit)
{
	enum scan_seen seen = SCAN_SUSPECT;

	if (length <= limit && length <= out->capacity && redact_can_copy(length))
		seen = redact_copy((char *)out->bytes, text, length);
	if (seen == SCAN_NOTHING || (seen == SCAN_HIGH && length <= limit / 3)) {
		out->failed = false;
		out->length = length;
		return;
	}
	snapshot_put_any(out, text, length, limit);
}

/* "[invalid JSON, N bytes]". */
void snapshot_invalid(struct buffer *out, size_t length);

/* A JSON string of these bytes, quotes and escapes included; U+FFFD for what is
 * no UTF-8. */
void snapshot_string(struct buffer *out, const char *text, size_t length);

#endif
