/*
 * What is not to be seen: which keys, and a JSON text without their values.
 *
 * A key matches a name when some of its words in a row, written together, are
 * the name's words written together. Words are split where a character is no
 * letter, digit or part of a multi-byte one, and at changes of case: X-Api-Key,
 * apiKey, api_key and APIKEY match "api key"; input_tokens does not match
 * "token". \u escapes are read, so that they hide nothing.
 *
 * The names are set once before any other thread looks; everything else is
 * thread-safe and needs no memory.
 */
#ifndef WAFT_CLIENT_REDACT_H
#define WAFT_CLIENT_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "redact_scan.h"

#define REDACT_TEXT "[redacted]"

enum {
	REDACT_NAMES_LIMIT = 128,
	REDACT_NAME_BYTES = 64, /* longer ones are cut: they then match more, not less */
};

/* The default names, and those of a comma-separated list (NULL: none more).
 * -EINVAL when there are too many; those before them count. */
int redact_set_names(const char *more);

/* Whether a key's value is not to be seen. Keys are as in JSON, escapes and all. */
bool redact_key_matches(const char *key, size_t length);

/* Whether any of the names stands anywhere in the text. */
bool redact_text_holds(const char *text, size_t length);

/* Where names may be, set with them; for redact_copy. */
extern struct scan redact_scan;

/* Copies a text that may be copied and searched at once (redact_can_copy). SCAN_SUSPECT:
 * it is for redact_text_holds to say whether it holds a name. */
static inline bool redact_can_copy(size_t length)
{
	return scan_can_copy(&redact_scan, length);
}

static inline enum scan_seen redact_copy(char *to, const char *text, size_t length)
{
	return scan_copy(&redact_scan, to, text, length);
}

/* Where the redacted text goes, piece by piece. */
typedef void (*redact_write_fn)(void *arg, const char *bytes, size_t length);

/* A JSON text that json_check passed, with "[redacted]" for each value whose key
 * matches, at any depth. False when nothing had to be replaced: then nothing
 * was written either. */
bool redact_json(const char *text, size_t length, redact_write_fn write, void *arg);

#endif
