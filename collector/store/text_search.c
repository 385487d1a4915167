/*
 * text_search.c: see text_search.h. Two bytes of the text, the rarest by what lines are made of,
 * are compared with 64 places at once; where both are there, all of it is. Where that comes too
 * often memmem goes on, which takes time in proportion whatever the texts are.
 */
#include "text_search.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool by_memmem(struct slice lines, struct slice text)
{
	return memmem(lines.data, lines.length, text.data, text.length) != NULL;
}

#ifdef __SSE2__

enum {
	STEP = 64,
	/* Bytes of text that may be compared in vain, and for each byte searched. */
	VAIN = 4096,
	VAIN_EACH = 4,
};

/* Of bytes that lines have: the more, the earlier. All others are rarer. */
static size_t rarity(uint8_t byte)
{
	static const char common[] =
		"\"0,e:-1t2a35i4n968s7rod_cplm{}u. hfgbykvSwx[]zj/TZEqARCIOPDLMNU";
	const char *found = memchr(common, byte, sizeof(common) - 1);

	return found != NULL ? (size_t)(found - common) : sizeof(common);
}

/* Where in the text its rarest byte stands, but at `other`. */
static size_t rarest(struct slice text, size_t other)
{
	size_t ret = other == 0 ? 1 : 0;

	for (size_t i = ret + 1; i < text.length; i++)
		if (i != other && rarity(text.data[i]) > rarity(text.data[ret]))
			ret = i;
	return ret;
}

static unsigned int both_at(const uint8_t *first, const uint8_t *second, __m128i a, __m128i b)
{
	__m128i one = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)first), a);
	__m128i other = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)second), b);

	return (unsigned int)_mm_movemask_epi8(_mm_and_si128(one, other));
}

static bool stands_at(const uint8_t *places, uint64_t bits, struct slice text)
{
	for (; bits != 0; bits &= bits - 1)
		if (memcmp(places + __builtin_ctzll(bits), text.data, text.length) == 0)
			return true;
	return false;
}

/* text has two bytes or more. */
static bool by_pairs(struct slice lines, struct slice text)
{
	size_t first = rarest(text, SIZE_MAX), second = rarest(text, first), at = 0;
	size_t vain = 0;
	__m128i a = _mm_set1_epi8((char)text.data[first]);
	__m128i b = _mm_set1_epi8((char)text.data[second]);

	for (; at + STEP - 1 + text.length <= lines.length; at += STEP) {
		const uint8_t *places = lines.data + at;
		uint64_t bits = 0;

		for (unsigned int i = 0; i < STEP; i += 16)
			bits |= (uint64_t)both_at(places + first + i, places + second + i, a, b)
				<< i;
		if (bits == 0)
			continue;
		if (stands_at(places, bits, text))
			return true;
		vain += text.length * (size_t)__builtin_popcountll(bits);
		if (vain > VAIN + VAIN_EACH * at)
			break;
	}
	return by_memmem(slice_of(lines.data + at, lines.length - at), text);
}

#endif

bool text_stands_in(struct slice lines, struct slice text)
{
	if (text.length == 0)
		return true;
	if (lines.length < text.length)
		return false;
	if (text.length == 1)
		return memchr(lines.data, text.data[0], lines.length) != NULL;
#ifdef __SSE2__
	return by_pairs(lines, text);
#else
	return by_memmem(lines, text);
#endif
}
