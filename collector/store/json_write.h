/*
 * Pieces of JSON, exact and without locale: texts, numbers, times. Used for
 * lines; for whoever else writes JSON by hand. Pure and thread-safe.
 */
#ifndef WAFT_STORE_JSON_WRITE_H
#define WAFT_STORE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "slice.h"

/* A JSON string with its quotes. The text must be valid UTF-8, unless repair is
 * set: then what isn't becomes U+FFFD. -ENOMEM. */
MUST_CHECK int json_put_text(struct bytes *out, struct slice text, bool repair);

/* The string that libwaft makes of a snapshot that is no JSON: of any bytes, with
 * \u00XX where json_put_text has \b or \f. -ENOMEM. */
MUST_CHECK int json_put_snapshot(struct bytes *out, struct slice text);

/* JSON text that json_check accepted, without its line breaks and tabs, which can
 * only stand between values. */
MUST_CHECK int json_put_json(struct bytes *out, struct slice json);
/* The same to memory that has room for json.length + 16 bytes; returns the length. */
size_t json_copy_json(uint8_t *ret, struct slice json);

#define JSON_INTEGER_BYTES 21
#define JSON_DOUBLE_BYTES 32
#define JSON_TIMESTAMP_BYTES 30
#define JSON_SECOND_BYTES 20 /* of a timestamp, with its point */
#define JSON_MS_BYTES 30

/* The decimal digits of a number; returns how many bytes. */
size_t json_format_u64(char ret[JSON_INTEGER_BYTES], uint64_t value);
size_t json_format_i64(char ret[JSON_INTEGER_BYTES], int64_t value);

/* The shortest decimal that reads back as the same double, always with a point or an
 * exponent: "0.1", "1.0", "1e+300", "-0.0". Not finite: as JSON strings with
 * quotes, "NaN". Returns how many bytes. */
size_t json_format_double(char ret[JSON_DOUBLE_BYTES], double value);

/* "2026-01-09T10:30:00.123456789Z", always 30 bytes: 64 bits reach to 2554. */
void json_format_timestamp(char ret[JSON_TIMESTAMP_BYTES], uint64_t ns);

/* The same for times that mostly lie in the second of the one before, whose text is
 * kept. Zero-initialised before the first. */
struct json_second {
	uint64_t after; /* the second + 1; 0: none */
	char text[JSON_SECOND_BYTES];
};
void json_format_timestamp_near(
	char ret[JSON_TIMESTAMP_BYTES], uint64_t ns, struct json_second *second);

/* Nanoseconds as milliseconds, exact: "2.716", "0.000001", "0". */
size_t json_format_ms(char ret[JSON_MS_BYTES], uint64_t ns);

#endif
