/*
 * The JSON builder behind struct waft_json (waft.h). In the caller's private
 * memory; a mistake is sticky. One thread at a time.
 */
#ifndef WAFT_CLIENT_JSON_H
#define WAFT_CLIENT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

struct waft_json {
	struct buffer text;
	uint64_t objects; /* a bit per level: 1 is an object */
	uint64_t filled;  /* a bit per level: something stands in it */
	unsigned int depth;
	bool key;    /* a key waits for its value */
	bool whole;  /* the one value is there */
	bool failed; /* nested wrongly, or too deep */
};

/* Whether exactly one value was built, without a mistake. */
bool json_valid(const struct waft_json *json);

/* A number's shortest text that reads back the same, whatever the locale; null
 * when it isn't finite. Returns its length. */
enum { JSON_NUMBER_BYTES = 40 };
size_t json_double_format(double value, char ret_text[JSON_NUMBER_BYTES]);

#endif
