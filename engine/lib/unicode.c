/*
 * unicode.c: see unicode.h.
 */
#include "unicode.h"

#include <errno.h>
#include <utf8proc.h>

bool unicode_is_space(int32_t code_point)
{
	const utf8proc_property_t *property = utf8proc_get_property(code_point);
	return property->category == UTF8PROC_CATEGORY_ZS ||
	       property->bidi_class == UTF8PROC_BIDI_CLASS_WS ||
	       property->bidi_class == UTF8PROC_BIDI_CLASS_B ||
	       property->bidi_class == UTF8PROC_BIDI_CLASS_S;
}

bool unicode_is_number_space(int32_t code_point)
{
	return unicode_is_space(code_point) && (code_point < 0x1c || code_point > 0x1f);
}

/* The code point at text; bytes that are not UTF-8 count as one of -1 each. */
static size_t next_code_point(const char *text, size_t length_bytes, int32_t *ret_code_point)
{
	utf8proc_ssize_t taken = utf8proc_iterate(
		(const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length_bytes, ret_code_point);
	if (taken > 0)
		return (size_t)taken;
	*ret_code_point = -1;
	return 1;
}

struct span_of_text unicode_trim(
	const char *text, size_t length_bytes, bool (*is_space)(int32_t code_point))
{
	size_t start = length_bytes;
	size_t end = length_bytes;
	bool inside = false;
	for (size_t at = 0; at < length_bytes;) {
		int32_t code_point;
		size_t taken = next_code_point(text + at, length_bytes - at, &code_point);
		if (code_point < 0 || !is_space(code_point)) {
			if (!inside)
				start = at;
			inside = true;
			end = at + taken;
		}
		at += taken;
	}
	return (struct span_of_text){.text = text + start, .length_bytes = end - start};
}

size_t unicode_cut(const char *text, size_t length_bytes, size_t limit_bytes)
{
	if (length_bytes <= limit_bytes)
		return length_bytes;
	size_t end = limit_bytes;
	while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	return end;
}

/* The decimal digits of a script stand together in ascending order from its
 * zero (Unicode Standard, section 4.6), and scripts that adjoin have ten each. */
static int digit_value(int32_t code_point)
{
	int before = 0;
	while (utf8proc_category(code_point - before - 1) == UTF8PROC_CATEGORY_ND)
		before++;
	return before % 10;
}

int unicode_to_ascii_digits(const char *text, size_t length_bytes, char *ret_ascii)
{
	for (size_t at = 0; at < length_bytes;) {
		int32_t code_point;
		at += next_code_point(text + at, length_bytes - at, &code_point);
		if (code_point > 0 && code_point < 0x80)
			*ret_ascii++ = (char)code_point;
		else if (code_point > 0 && utf8proc_category(code_point) == UTF8PROC_CATEGORY_ND)
			*ret_ascii++ = (char)('0' + digit_value(code_point));
		else
			return -EINVAL;
	}
	*ret_ascii = '\0';
	return 0;
}
