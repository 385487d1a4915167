/*
 * UTF-8 checking and repair; see utf8.h. The table of well-formed sequences is
 * Unicode 15, table 3-7.
 */
#include "utf8.h"

#include <string.h>

/* What the byte after lead must lie in, and how many bytes follow lead. 0 when
 * lead begins nothing. */
static unsigned int lead_byte(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
{
	*ret_low = 0x80;
	*ret_high = 0xbf;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 1;
	if (lead >= 0xe0 && lead <= 0xef) {
		if (lead == 0xe0)
			*ret_low = 0xa0;
		if (lead == 0xed)
			*ret_high = 0x9f;
		return 2;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		if (lead == 0xf0)
			*ret_low = 0x90;
		if (lead == 0xf4)
			*ret_high = 0x8f;
		return 3;
	}
	return 0;
}

unsigned int utf8_step(const uint8_t *text, size_t length_bytes, unsigned int *ret_bad)
{
	uint8_t low, high;
	unsigned int follow, i;

	if (text[0] < 0x80)
		return 1;
	follow = lead_byte(text[0], &low, &high);
	for (i = 1; i <= follow; i++) {
		if (i >= length_bytes || text[i] < low || text[i] > high)
			break;
		low = 0x80;
		high = 0xbf;
	}
	if (follow > 0 && i > follow)
		return follow + 1;
	*ret_bad = i;
	return 0;
}

bool utf8_valid_long(const uint8_t *text, size_t length_bytes)
{
	const uint8_t *end = text + length_bytes;
	unsigned int bad;

	while (text != end) {
		unsigned int step;

		while (end - text >= 16) {
			uint64_t a, b;

			memcpy(&a, text, 8);
			memcpy(&b, text + 8, 8);
			if (((a | b) & UINT64_C(0x8080808080808080)) != 0)
				break;
			text += 16;
		}
		if (text == end)
			break;
		step = utf8_step(text, (size_t)(end - text), &bad);
		if (step == 0)
			return false;
		text += step;
	}
	return true;
}

size_t utf8_repair(const uint8_t *text, size_t length_bytes, uint8_t *ret_out)
{
	uint8_t *out = ret_out;

	for (size_t i = 0; i < length_bytes;) {
		unsigned int bad = 1;
		unsigned int step = utf8_step(text + i, length_bytes - i, &bad);

		if (step == 0) {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3;
			i += bad;
		} else {
			memcpy(out, text + i, step);
			out += step;
			i += step;
		}
	}
	return (size_t)(out - ret_out);
}

size_t utf8_cut(const uint8_t *text, size_t limit_bytes)
{
	size_t at = limit_bytes;

	/* The last character of the first limit bytes is whole, or goes. */
	while (at > 0 && limit_bytes - at < 3 && (text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && text[at - 1] >= 0xc0) {
		uint8_t lead = text[at - 1];
		size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

		return at - 1 + length <= limit_bytes ? limit_bytes : at - 1;
	}
	return limit_bytes;
}
