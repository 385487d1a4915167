/*
 * Texts of trace and span ids, and finding ids by parts; see ids.h.
 */
#include "ids.h"

#include <errno.h>
#include <string.h>

#include "cursor.h"

uint64_t id_unmix(uint64_t x)
{
	/* x ^= x >> s is undone by xoring x >> s, x >> 2s, … while bits are left. */
	x ^= x >> 31 ^ x >> 62;
	x *= UINT64_C(0x319642b2d24d8ec3); /* inverse of 0x94d049bb133111eb mod 2^64 */
	x ^= x >> 27 ^ x >> 54;
	x *= UINT64_C(0x96de1b173f119089); /* inverse of 0xbf58476d1ce4e5b9 mod 2^64 */
	return x ^ x >> 30 ^ x >> 60;
}

bool trace_id_is_zero(const struct trace_id *id)
{
	return (le64_read(id->bytes) | le64_read(id->bytes + 8)) == 0;
}

/* ---- Formatting --------------------------------------------------------- */

/* Four bytes to eight digits, all at once in the bytes of a word. */
static inline void format_4_bytes(uint32_t bytes, char *ret_text)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x = bytes;
	uint64_t letters;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x >> 4 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x000f000f000f000f)) << 8;
	letters = (x + 6 * ones) >> 4 & ones;
	le64_write((uint8_t *)ret_text, x + '0' * ones + letters * ('a' - '0' - 10));
}

static void place_dashes(const char hex[32], char ret_text[ID_UUID_LENGTH])
{
	memcpy(ret_text, hex, 8);
	ret_text[8] = '-';
	memcpy(ret_text + 9, hex + 8, 4);
	ret_text[13] = '-';
	memcpy(ret_text + 14, hex + 12, 4);
	ret_text[18] = '-';
	memcpy(ret_text + 19, hex + 16, 4);
	ret_text[23] = '-';
	memcpy(ret_text + 24, hex + 20, 12);
}

void trace_id_format_hex(const struct trace_id *id, char ret_text[ID_TRACE_HEX_LENGTH])
{
	for (int i = 0; i < 16; i += 4)
		format_4_bytes(le32_read(id->bytes + i), ret_text + 2 * i);
}

void trace_id_format(const struct trace_id *id, char ret_text[ID_UUID_LENGTH])
{
	char hex[ID_TRACE_HEX_LENGTH];

	trace_id_format_hex(id, hex);
	place_dashes(hex, ret_text);
}

void span_id_format_hex(uint64_t id, char ret_text[ID_SPAN_HEX_LENGTH])
{
	format_4_bytes((uint32_t)id, ret_text);
	format_4_bytes((uint32_t)(id >> 32), ret_text + 8);
}

void span_id_format(uint64_t id, char ret_text[ID_UUID_LENGTH])
{
	char hex[ID_SPAN_HEX_LENGTH];

	span_id_format_hex(id, hex);
	memcpy(ret_text, "00000000-0000-8000-8000-000000000000", ID_UUID_LENGTH);
	memcpy(ret_text, hex, 8);
	memcpy(ret_text + 9, hex + 8, 4);
	memcpy(ret_text + 15, hex + 12, 3);
	ret_text[22] = hex[15];
}

void hex_format(const uint8_t *bytes, size_t count, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* ---- Parsing ------------------------------------------------------------ */

/* 0 to 15, or -1. */
static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_parse(const char *text, size_t count, uint8_t *ret_bytes)
{
	for (size_t i = 0; i < 2 * count; i++)
		if (digit_value(text[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < count; i++)
		ret_bytes[i] =
			(uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
	return 0;
}

static int uuid_parse(const char *text, size_t length, uint8_t ret_bytes[16])
{
	char hex[32];

	if (length != ID_UUID_LENGTH || text[8] != '-' || text[13] != '-' || text[18] != '-' ||
		text[23] != '-')
		return -EINVAL;
	memcpy(hex, text, 8);
	memcpy(hex + 8, text + 9, 4);
	memcpy(hex + 12, text + 14, 4);
	memcpy(hex + 16, text + 19, 4);
	memcpy(hex + 20, text + 24, 12);
	return hex_parse(hex, 16, ret_bytes);
}

int trace_id_parse(const char *text, size_t length, struct trace_id *ret_id)
{
	if (length == ID_TRACE_HEX_LENGTH)
		return hex_parse(text, 16, ret_id->bytes);
	return uuid_parse(text, length, ret_id->bytes);
}

/* The 64 bits in a UUID that span_id_format could have written. */
static int span_id_of_uuid(const uint8_t uuid[16], uint64_t *ret_id)
{
	static const uint8_t zeroes[6];
	uint8_t id[8];

	if (uuid[6] >> 4 != 8 || uuid[8] != 0x80 || uuid[9] >> 4 != 0 ||
		memcmp(uuid + 10, zeroes, sizeof(zeroes)) != 0)
		return -EINVAL;
	memcpy(id, uuid, 6);
	id[6] = (uint8_t)(uuid[6] << 4 | uuid[7] >> 4);
	id[7] = (uint8_t)(uuid[7] << 4 | uuid[9]);
	*ret_id = le64_read(id);
	return 0;
}

int span_id_parse(const char *text, size_t length, uint64_t *ret_id)
{
	uint8_t bytes[16];
	int ret;

	if (length == ID_SPAN_HEX_LENGTH) {
		ret = hex_parse(text, 8, bytes);
		if (ret == 0)
			*ret_id = le64_read(bytes);
		return ret;
	}
	ret = length == 32 ? hex_parse(text, 16, bytes) : uuid_parse(text, length, bytes);
	return ret == 0 ? span_id_of_uuid(bytes, ret_id) : ret;
}

/* ---- Needles ------------------------------------------------------------ */

int id_needle_parse(const char *text, size_t length, struct id_needle *ret_needle)
{
	struct id_needle needle = {0};

	for (size_t i = 0; i < length; i++) {
		int value = digit_value(text[i]);

		if (text[i] == '-')
			continue;
		if (value < 0 || needle.count == sizeof(needle.nibbles))
			return -EINVAL;
		needle.nibbles[needle.count++] = (uint8_t)value;
	}
	if (needle.count < ID_NEEDLE_DIGITS_MIN)
		return -EINVAL;
	*ret_needle = needle;
	return 0;
}

static enum id_match match_nibbles(
	const struct id_needle *needle, const uint8_t *nibbles, unsigned int count)
{
	if (needle->count > count)
		return ID_MATCH_NONE;
	if (memcmp(needle->nibbles, nibbles, needle->count) == 0)
		return needle->count == count ? ID_MATCH_WHOLE : ID_MATCH_PART;
	if (memcmp(needle->nibbles, nibbles + count - needle->count, needle->count) == 0)
		return ID_MATCH_PART;
	return ID_MATCH_NONE;
}

static void split_nibbles(const uint8_t *bytes, unsigned int count, uint8_t *ret_nibbles)
{
	for (unsigned int i = 0; i < count; i++) {
		ret_nibbles[2 * i] = bytes[i] >> 4;
		ret_nibbles[2 * i + 1] = bytes[i] & 15;
	}
}

enum id_match id_needle_match_trace(const struct id_needle *needle, const struct trace_id *id)
{
	uint8_t nibbles[32];

	split_nibbles(id->bytes, 16, nibbles);
	return match_nibbles(needle, nibbles, 32);
}

enum id_match id_needle_match_span(const struct id_needle *needle, uint64_t id)
{
	uint8_t plain[16];
	uint8_t uuid[32] = {0};
	uint8_t bytes[8];
	enum id_match match;

	le64_write(bytes, id);
	split_nibbles(bytes, 8, plain);
	match = match_nibbles(needle, plain, 16);
	if (match == ID_MATCH_WHOLE)
		return match;
	memcpy(uuid, plain, 12);
	uuid[12] = 8;
	memcpy(uuid + 13, plain + 12, 3);
	uuid[16] = 8;
	uuid[19] = plain[15];
	return match_nibbles(needle, uuid, 32) > match ? match_nibbles(needle, uuid, 32) : match;
}

void id_needle_range(
	const struct id_needle *needle, struct trace_id *ret_lowest, struct trace_id *ret_highest)
{
	memset(ret_lowest, 0, sizeof(*ret_lowest));
	memset(ret_highest, 0xff, sizeof(*ret_highest));
	for (unsigned int i = 0; i < needle->count; i++) {
		unsigned int shift = i % 2 == 0 ? 4 : 0;
		uint8_t *low = &ret_lowest->bytes[i / 2];
		uint8_t *high = &ret_highest->bytes[i / 2];

		*low = (uint8_t)(*low | needle->nibbles[i] << shift);
		*high = (uint8_t)((*high & ~(0xf << shift)) | needle->nibbles[i] << shift);
	}
}
