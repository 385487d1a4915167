/*
 * record.h: one line of a store, taken apart.
 *
 * Reads the lines that Waft writes (docs/STORE.md, "Lines") and those of other
 * tracers with the same keys: any order, unknown keys, timestamps without `Z` or
 * with an offset, `data` that is not {"input":…,"output":…}. Used by scan, query,
 * tree, stats and the viewer. Nothing recurses; a line nests 128 deep at most.
 * Pure functions: thread-safe as long as the scratch is one thread's.
 */
#ifndef WAFT_STORE_RECORD_H
#define WAFT_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "slice.h"

struct scratch;

/* The event of a pending span whose time is when it was given up. */
#define RECORD_ABANDONED "waft.abandoned"

enum record_status {
	RECORD_SUCCESS = 0,
	RECORD_ERROR = 1,
	RECORD_PENDING = 2,
};

/* Texts are UTF-8 and decoded, JSON texts are as in the line. All are borrowed
 * from the line, or from the scratch where the line's bytes wouldn't do. */
struct record {
	struct slice line; /* the whole line without its newline */
	uint8_t trace_id[16];
	uint8_t span_id[16];   /* the UUID's bytes; a span id of 8 bytes as its UUIDv8 */
	uint8_t parent_id[16]; /* zero without a parent */
	bool has_parent;
	enum record_status status;
	int64_t start_ns;    /* since 1970, UTC */
	int64_t duration_ns; /* -1: null */
	int64_t open_ns;     /* of a pending span: for how long it was open when its process
			      * ended or gave it up; -1: not known */
	struct slice operation;
	struct slice layer;   /* "core" when the line has none */
	struct slice service; /* metadata.service; empty when the line has none */
	struct slice error;   /* empty when null; see has_error */
	bool has_error;
	struct slice input;	 /* JSON text; "null" when there is none */
	struct slice output;	 /* JSON text; "null" when there is none */
	struct slice metadata;	 /* JSON text of the object; empty when absent */
	struct slice resource;	 /* JSON text of metadata.resource; empty when absent */
	struct slice attributes; /* JSON text of metadata.attributes; empty when absent */
};

/* Takes a line (without newline) apart into *ret_record. `data` of other shapes:
 * the member "output" is the output, an object of all other members the input;
 * anything that is no object is the input. An unknown status counts as an error
 * when `error` is a text, as pending when the duration is null, else as success.
 * 0; ERR_MALFORMED: it is no JSON object, or a key of a record is missing or has a
 * value of a wrong kind; ERR_LIMIT: nested too deep; -ENOMEM. On failure *ret_why
 * (may be NULL) is a constant text that says what is wrong. */
int record_parse(struct slice line, struct scratch *scratch, struct record *ret_record,
	const char **ret_why) MUST_CHECK;

/* Reads no more of a line than its trace id: a few bytes in Waft's own lines, as
 * much as needed in others. The rest of the line isn't checked. 0 or ERR_MALFORMED. */
int record_peek_trace_id(struct slice line, uint8_t ret_trace_id[16]) MUST_CHECK;

/* Calls on_attribute for each member of metadata.attributes, then of
 * metadata.resource, then for each of metadata's own members that is no object or
 * array. Values are the text that filters compare with: a JSON string's decoded
 * content, the JSON text of anything else. A result other than 0 ends the walk
 * and is returned. -ENOMEM when the scratch is. */
int record_for_each_attribute(const struct record *record, struct scratch *scratch,
	int (*on_attribute)(void *ctx, struct slice key, struct slice value), void *ctx) MUST_CHECK;

/* "2026-01-09T10:30:00.123456789Z", also without Z (taken as UTC), with an offset,
 * with a space for the T, 0 to 9 and more decimals. 0 or ERR_MALFORMED. */
int record_parse_time(struct slice text, int64_t *ret_ns) MUST_CHECK;

/* A JSON number of milliseconds into nanoseconds, rounded; negative ones are 0,
 * ones too large the largest. 0 or ERR_MALFORMED. */
int record_parse_duration(struct slice text, int64_t *ret_ns) MUST_CHECK;

/* A UUID in any usual form (dashes anywhere, braces, `urn:uuid:`, either case), or
 * 16 hex digits: an id of 8 bytes, as the UUIDv8 that stands for it. 0 or ERR_MALFORMED. */
int record_parse_id(struct slice text, uint8_t ret_id[16]) MUST_CHECK;

/* 36 characters and a NUL. */
#define RECORD_ID_TEXT_BYTES 37
void record_format_id(const uint8_t id[16], char ret_text[RECORD_ID_TEXT_BYTES]);

#endif
