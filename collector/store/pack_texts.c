/* pack_texts.c: see pack_texts.h. */
#include "pack_texts.h"

#include <string.h>

#include "pack_internal.h"

enum {
	TEXTS_VERSION = 1,
	COMMON_GROUPS = 2, /* of a block: a gram that so many have is common */
	AS_BITS = 0xffff,
	COMMON_BYTES = PACK_GRAM_WORDS * 8,
	GRAM_BITS = 2, /* of a filter, for each gram */
	/* A filter takes no more than this. */
	SPANS_A_BYTE = 4,
	TEXT_A_BYTE = 2048,
	FILTER_BYTES_MAX = 8192,
	/* With more grams a bit nearly all are set. */
	CROWDED = 3,
};

static uint16_t hash_gram(const uint8_t *at)
{
	return (uint16_t)(le32_read(at) * UINT32_C(2654435769) >> 16);
}

size_t pack_grams_of(struct slice text, uint16_t *ret, size_t capacity)
{
	size_t count = 0;

	for (; count < capacity && count + PACK_GRAM_BYTES <= text.length; count++)
		ret[count] = hash_gram(text.data + count);
	return count;
}

/* ---- Making ------------------------------------------------------------------------- */

void pack_texts_add(struct pack_texts *texts, struct slice text)
{
	uint64_t *words = texts->groups[texts->group].words;

	for (size_t i = 0; i + PACK_GRAM_BYTES <= text.length; i++) {
		uint16_t gram = hash_gram(text.data + i);

		words[gram / 64] |= UINT64_C(1) << gram % 64;
	}
	texts->bytes[texts->group] += text.length;
}

void pack_texts_pass(struct pack_texts *texts)
{
	texts->passes[texts->group] = true;
}

void pack_texts_end_group(struct pack_texts *texts, uint64_t spans)
{
	texts->spans[texts->group++] = spans;
}

static size_t count_grams(const struct pack_grams *grams)
{
	size_t count = 0;

	for (size_t i = 0; i < PACK_GRAM_WORDS; i++)
		count += (size_t)__builtin_popcountll(grams->words[i]);
	return count;
}

/* What at least COMMON_GROUPS of the block's groups have. */
static void find_common(struct pack_texts *texts)
{
	for (size_t i = 0; i < PACK_GRAM_WORDS; i++) {
		uint64_t once = 0, twice = 0;

		for (size_t group = 0; group < texts->group; group++) {
			uint64_t word = texts->groups[group].words[i];

			twice |= once & word;
			once |= word;
		}
		_Static_assert(COMMON_GROUPS == 2, "once and twice");
		texts->common.words[i] = twice;
	}
}

static int put_u16(struct bytes *to, size_t value)
{
	uint8_t bytes[2];

	le16_write(bytes, (uint16_t)value);
	return bytes_put(to, bytes, sizeof(bytes));
}

static int put_common_bits(const struct pack_grams *common, struct bytes *to)
{
	int ret = put_u16(to, AS_BITS);

	for (size_t i = 0; ret == 0 && i < PACK_GRAM_WORDS; i++)
		ret = bytes_u64(to, common->words[i]);
	return ret;
}

static int put_common(const struct pack_grams *common, struct bytes *to)
{
	size_t from = to->length, count = count_grams(common);
	uint32_t last = 0;
	int ret;

	if (count >= COMMON_BYTES)
		return put_common_bits(common, to);
	ret = put_u16(to, count);
	for (size_t i = 0; ret == 0 && i < PACK_GRAM_WORDS; i++) {
		for (uint64_t word = common->words[i]; ret == 0 && word != 0; word &= word - 1) {
			uint32_t gram = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);

			ret = bytes_varint(to, gram - last);
			last = gram;
		}
	}
	if (ret != 0 || to->length - from <= 2 + COMMON_BYTES)
		return ret;
	to->length = from;
	return put_common_bits(common, to);
}

static uint32_t filter_bit(uint16_t gram, size_t bytes)
{
	return (uint32_t)(gram * bytes * 8 >> 16);
}

static int put_group(const struct pack_texts *texts, size_t group, struct bytes *to)
{
	const struct pack_grams *grams = &texts->groups[group];
	size_t most = texts->spans[group] / SPANS_A_BYTE + texts->bytes[group] / TEXT_A_BYTE;
	size_t count = 0, bytes;
	uint8_t *filter;
	int ret;

	for (size_t i = 0; i < PACK_GRAM_WORDS; i++)
		count += (size_t)__builtin_popcountll(grams->words[i] & ~texts->common.words[i]);
	most = most < FILTER_BYTES_MAX ? most : FILTER_BYTES_MAX;
	bytes = (count * GRAM_BITS + 7) / 8;
	bytes = bytes < most ? bytes : most;
	if (texts->passes[group] || count > bytes * 8 * CROWDED)
		return put_u16(to, PACK_PASSES_ALL);
	ret = put_u16(to, bytes);
	if (ret == 0)
		ret = bytes_reserve(to, bytes);
	if (ret != 0)
		return ret;
	filter = to->data + to->length;
	memset(filter, 0, bytes);
	to->length += bytes;
	for (size_t i = 0; i < PACK_GRAM_WORDS; i++) {
		uint64_t word = grams->words[i] & ~texts->common.words[i];

		for (; word != 0; word &= word - 1) {
			uint32_t gram = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);
			uint32_t bit = filter_bit((uint16_t)gram, bytes);

			filter[bit / 8] |= (uint8_t)(1u << bit % 8);
		}
	}
	return 0;
}

int pack_texts_end_block(struct pack_texts *texts, size_t block, struct bytes *to)
{
	const uint8_t version = TEXTS_VERSION;
	int ret = bytes_put(to, &version, 1);

	if (ret == 0 && block % PACK_COMMON_BLOCKS == 0) {
		find_common(texts);
		ret = put_common(&texts->common, to);
	}
	for (size_t i = 0; ret == 0 && i < texts->group; i++)
		ret = put_group(texts, i, to);
	for (size_t i = 0; i < texts->group; i++) {
		texts->groups[i] = (struct pack_grams){0};
		texts->bytes[i] = 0;
		texts->passes[i] = false;
	}
	texts->group = 0;
	return ret;
}

/* ---- Reading ------------------------------------------------------------------------ */

static uint16_t take_u16(struct cursor *in)
{
	struct slice bytes = cursor_take(in, 2);

	return bytes.length == 2 ? le16_read(bytes.data) : 0;
}

static bool take_version(struct cursor *in)
{
	struct slice version = cursor_more(in) ? cursor_take(in, 1) : (struct slice){0};

	return version.length == 1 && version.data[0] == TEXTS_VERSION;
}

static void take_common(struct cursor *in, struct pack_grams *ret)
{
	uint16_t count = take_u16(in);
	uint64_t gram = 0;

	*ret = (struct pack_grams){0};
	if (count == AS_BITS) {
		struct slice bits = cursor_take(in, COMMON_BYTES);

		for (size_t i = 0; bits.length == COMMON_BYTES && i < PACK_GRAM_WORDS; i++)
			ret->words[i] = le64_read(bits.data + 8 * i);
		return;
	}
	for (; count > 0 && in->error == 0; count--) {
		gram += cursor_varint(in);
		if (gram > UINT16_MAX)
			cursor_fail(in, ERR_INDEX);
		else
			ret->words[gram / 64] |= UINT64_C(1) << gram % 64;
	}
}

bool pack_texts_common(struct cursor *in, struct pack_grams *ret)
{
	if (!take_version(in))
		return false;
	take_common(in, ret);
	return in->error == 0;
}

static bool may_hold(struct slice filter, const uint16_t *grams, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t bit = filter_bit(grams[i], filter.length);

		if (filter.length == 0 || (filter.data[bit / 8] >> bit % 8 & 1) == 0)
			return false;
	}
	return true;
}

uint32_t pack_texts_groups(
	struct cursor *in, size_t block, size_t groups, const uint16_t *grams, size_t count)
{
	struct pack_grams common;
	uint32_t ret = 0;

	if (!take_version(in))
		return UINT32_MAX;
	if (block % PACK_COMMON_BLOCKS == 0)
		take_common(in, &common);
	for (size_t i = 0; i < groups; i++) {
		uint16_t length = take_u16(in);

		if (length == PACK_PASSES_ALL || may_hold(cursor_take(in, length), grams, count))
			ret |= UINT32_C(1) << i;
	}
	return ret;
}
