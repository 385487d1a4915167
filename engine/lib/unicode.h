/*
 * unicode.h: what the engine needs of Unicode: white space and digits as
 * Python's str sees them. Pure; any thread. On utf8proc.
 */
#ifndef ENGINE_UNICODE_H
#define ENGINE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes borrowed from another text; not NUL-terminated. */
struct span_of_text {
	const char *text;
	size_t length_bytes;
};

/* True for the code points that Python's str.isspace() accepts (bidirectional
 * class WS, B or S, or category Zs), which are those that str.strip() removes. */
bool unicode_is_space(int32_t code_point);

/* The same without the separators U+001C to U+001F, which str.strip() removes
 * but float() does not skip. */
bool unicode_is_number_space(int32_t code_point);

/* The part of text, which is UTF-8, between the code points of is_space that
 * surround it. */
struct span_of_text unicode_trim(
	const char *text, size_t length_bytes, bool (*is_space)(int32_t code_point));

/* The longest start of text, which is UTF-8, of at most limit_bytes that ends at
 * a character's boundary. */
size_t unicode_cut(const char *text, size_t length_bytes, size_t limit_bytes);

/* Copies text to ret_ascii (length_bytes + 1 bytes), each decimal digit of any
 * script (category Nd) as its ASCII digit. 0, or -EINVAL for any other code
 * point beyond ASCII, for NUL and for text that is not UTF-8. */
int unicode_to_ascii_digits(const char *text, size_t length_bytes, char *ret_ascii)
	__attribute__((warn_unused_result));

#endif
