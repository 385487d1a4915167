/*
 * json_walk.h: going through JSON text value by value, without a tree of it.
 *
 * Used by record.c and filter.c on lines of stores. Every step checks its bytes
 * (RFC 8259, but for UTF-8: check that once for all) and never reads beyond the end. Nothing
 * recurses. Pure functions.
 */
#ifndef WAFT_STORE_JSON_WALK_H
#define WAFT_STORE_JSON_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "errors.h"
#include "scratch.h"
#include "slice.h"

/* Arrays and objects nest at most so deep in one value. */
#define JSON_WALK_DEPTH 128

struct json_walk {
	const uint8_t *at;
	const uint8_t *end;
};

static inline struct json_walk json_walk_of(struct slice text)
{
	return (struct json_walk){.at = text.data, .end = text.data + text.length};
}

/* Passes white space. True when there is something after it. */
bool json_walk_more(struct json_walk *walk);

/* A string at walk->at, its opening quote included: *ret_raw is what stands
 * between the quotes, *ret_escaped whether it has escapes. 0 or ERR_MALFORMED. */
int json_walk_string(struct json_walk *walk, struct slice *ret_raw, bool *ret_escaped) MUST_CHECK;

/* Any value, white space before it allowed. *ret_raw is its text. 0,
 * ERR_MALFORMED or ERR_LIMIT. */
int json_walk_value(struct json_walk *walk, struct slice *ret_raw) MUST_CHECK;

/* Enters an object: white space and its brace. 0 or ERR_MALFORMED. */
int json_walk_enter(struct json_walk *walk) MUST_CHECK;

/* The next member's key; walk stands at its value, which the caller must take by
 * json_walk_value or json_walk_enter and the members inside. first is true for the
 * first member of an object. 1; 0: the object has ended and its brace was
 * taken; ERR_MALFORMED. */
int json_walk_key(
	struct json_walk *walk, bool first, struct slice *ret_raw, bool *ret_escaped) MUST_CHECK;

/* A string's raw text with escapes decoded, in the scratch; a lone surrogate
 * becomes U+FFFD. raw is what json_walk_string gave. 0 or -ENOMEM. */
int json_walk_decode(struct slice raw, struct scratch *scratch, struct slice *ret_text) MUST_CHECK;

#endif
