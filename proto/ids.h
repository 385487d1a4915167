/*
 * Trace ids (16 bytes, shown as UUIDs) and span ids (8 bytes, shown as
 * reversible UUIDv8s), and finding either by what a person types.
 *
 * In memory a span id is a uint64_t whose bytes, least significant first, are
 * the id's bytes in the order of the wire and of its hex text (that is: the 8
 * bytes loaded on a little-endian machine). 0 means none.
 *
 * The UUID of a span id (RFC 9562 version 8, variant 10) holds its 64 bits so:
 *   bytes 0-5   id bytes 0-5
 *   byte  6     0x8 (version), high nibble of id byte 6
 *   byte  7     low nibble of id byte 6, high nibble of id byte 7
 *   byte  8     0x80 (variant)
 *   byte  9     low nibble of id byte 7
 *   bytes 10-15 zero
 * Nibble by nibble: id 00f067aa0ba902b7 is 00f067aa-0ba9-802b-8007-000000000000,
 * so a prefix of up to 12 digits is the same in both forms.
 *
 * Everything here is pure and thread-safe.
 */
#ifndef WAFT_PROTO_IDS_H
#define WAFT_PROTO_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "errors.h"

enum {
	ID_UUID_LENGTH = 36, /* characters, without NUL */
	ID_TRACE_HEX_LENGTH = 32,
	ID_SPAN_HEX_LENGTH = 16,
	ID_NEEDLE_DIGITS_MIN = 4,
};

struct trace_id {
	uint8_t bytes[16];
};

/* The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable
 * pseudorandom number generators", 2014): a permutation that maps only 0 to 0. */
static inline uint64_t id_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* The inverse of id_mix. */
uint64_t id_unmix(uint64_t x);

bool trace_id_is_zero(const struct trace_id *id);

static inline bool trace_id_equal(const struct trace_id *a, const struct trace_id *b)
{
	uint64_t left[2], right[2];

	memcpy(left, a->bytes, sizeof(left));
	memcpy(right, b->bytes, sizeof(right));
	return ((left[0] ^ right[0]) | (left[1] ^ right[1])) == 0;
}

/* 36 characters of lower-case UUID text; no NUL is written. */
void trace_id_format(const struct trace_id *id, char ret_text[ID_UUID_LENGTH]);
void span_id_format(uint64_t id, char ret_text[ID_UUID_LENGTH]);
/* 32 and 16 lower-case hex digits; no NUL is written. */
void trace_id_format_hex(const struct trace_id *id, char ret_text[ID_TRACE_HEX_LENGTH]);
void span_id_format_hex(uint64_t id, char ret_text[ID_SPAN_HEX_LENGTH]);

/* UUID text (dashes at their places) or plain hex, in any case. For a span id
 * the UUID must be one that span_id_format writes. -EINVAL otherwise. An id of
 * zero parses. */
int trace_id_parse(const char *text, size_t length, struct trace_id *ret_id) MUST_CHECK;
int span_id_parse(const char *text, size_t length, uint64_t *ret_id) MUST_CHECK;

/* Hex digits in any case, exactly 2 * count of them, into count bytes. */
int hex_parse(const char *text, size_t count, uint8_t *ret_bytes) MUST_CHECK;
/* 2 * count lower-case digits; no NUL. */
void hex_format(const uint8_t *bytes, size_t count, char *ret_text);

/* ---- What a person types ------------------------------------------------ */

/* At least 4 hex digits, dashes ignored, in any case: a whole id, or the
 * beginning or ending of one, as UUID or as plain hex. */
struct id_needle {
	uint8_t count; /* digits */
	uint8_t nibbles[32];
};

enum id_match {
	ID_MATCH_NONE = 0,
	ID_MATCH_PART = 1,  /* a beginning or an ending */
	ID_MATCH_WHOLE = 2, /* all digits: wins over any part */
};

/* -EINVAL: a character that is neither hex digit nor dash, fewer than 4
 * digits, more than 32. */
int id_needle_parse(const char *text, size_t length, struct id_needle *ret_needle) MUST_CHECK;

enum id_match id_needle_match_trace(const struct id_needle *needle, const struct trace_id *id);

/* Matches the plain hex form and the UUID form. */
enum id_match id_needle_match_span(const struct id_needle *needle, uint64_t id);

/* The lowest and highest trace id that begin with the needle, for a search in
 * sorted ids. */
void id_needle_range(
	const struct id_needle *needle, struct trace_id *ret_lowest, struct trace_id *ret_highest);

#endif
