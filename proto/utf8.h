/*
 * UTF-8 (RFC 3629) of the span path: checking, and putting U+FFFD in place of
 * what is wrong. Pure and thread-safe; needs libc only.
 */
#ifndef WAFT_PROTO_UTF8_H
#define WAFT_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For utf8_valid: not all ASCII. */
bool utf8_valid_long(const uint8_t *text, size_t length_bytes);

/* No overlong form, no surrogate, nothing above U+10FFFF, none cut off. NUL is
 * a character like others. */
static inline bool utf8_valid(const uint8_t *text, size_t length_bytes)
{
	if (length_bytes < 16) {
		uint8_t any = 0;

		for (size_t i = 0; i < length_bytes; i++)
			any |= text[i];
		if (any < 0x80)
			return true;
	}
	return utf8_valid_long(text, length_bytes);
}

/* How many bytes the character at text takes (1 to 4), or 0 when there is no
 * valid one; *ret_bad is then how many bytes one U+FFFD stands for (the maximal
 * subpart of Unicode 15, section 3.9; at least 1). length_bytes > 0. */
unsigned int utf8_step(const uint8_t *text, size_t length_bytes, unsigned int *ret_bad);

/* The repaired text: each maximal subpart that is no character becomes U+FFFD.
 * out holds at least 3 * length_bytes. Returns the bytes written. */
size_t utf8_repair(const uint8_t *text, size_t length_bytes, uint8_t *ret_out);

/* The largest length <= limit at which text can be cut without splitting a
 * character; text is valid UTF-8 of at least limit bytes. */
size_t utf8_cut(const uint8_t *text, size_t limit_bytes);

#endif
