/* See redact_scan.h. The processor is asked once, at scan_init. */
#include "redact_scan.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void scan_init(struct scan *scan)
{
	memset(scan, 0, sizeof(*scan));
#if defined(__x86_64__)
	__builtin_cpu_init();
	scan->wide = __builtin_cpu_supports("avx2") != 0;
#endif
}

void scan_add(struct scan *scan, const char *name, size_t length)
{
	uint8_t bucket = (uint8_t)(1u << scan->names++ % 8);

	for (size_t n = 0; n < SCAN_LETTERS; n++) {
		if (n < length && name[n] >= 'a' && name[n] <= 'z')
			scan->letters[n][name[n] & 15] |= bucket;
		else
			scan->wide = false;
	}
}

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))

enum {
	WIDE_BYTES = 32,
	/* The first of 32 places is looked at for what is before the second, the last two
	 * for what is behind the others. */
	WIDE_PLACES = 29,
};
#define WIDE_MASK UINT32_C(0x3ffffffe)

struct wide {
	__m256i letters[SCAN_LETTERS];
};

static WIDE inline __m256i load(const char *text)
{
	return _mm256_loadu_si256((const void *)text);
}

static WIDE inline uint32_t top(__m256i bytes)
{
	return (uint32_t)_mm256_movemask_epi8(bytes);
}

static WIDE inline uint32_t some(__m256i bytes)
{
	return ~top(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
}

/* ASCII letters. Whatever else there is counts as a separator: there are then more
 * places to check, never fewer. */
static WIDE inline uint32_t letters_of(__m256i bytes)
{
	__m256i from_a = _mm256_sub_epi8(
		_mm256_or_si256(bytes, _mm256_set1_epi8(0x20)), _mm256_set1_epi8('a'));

	return top(_mm256_cmpeq_epi8(_mm256_min_epu8(from_a, _mm256_set1_epi8('z' - 'a')), from_a));
}

/* Where among the 32 bytes at text, which has two more, a name may begin. */
static WIDE inline uint32_t places_at(const char *text, const struct wide *wide, __m256i *backslash)
{
	__m256i bytes = load(text);
	/* Of a byte below 0x80 the low half is the index, of others the outcome is 0. */
	__m256i one = _mm256_shuffle_epi8(wide->letters[0], bytes);
	__m256i two = _mm256_and_si256(one, _mm256_shuffle_epi8(wide->letters[1], load(text + 1)));
	__m256i three =
		_mm256_and_si256(two, _mm256_shuffle_epi8(wide->letters[2], load(text + 2)));
	uint32_t letters = letters_of(bytes);
	uint32_t capitals = letters & ~top(_mm256_slli_epi16(bytes, 2));
	uint32_t begins = ~(letters << 1) | capitals;
	/* A separator may stand between letters: what is behind it is then not looked at. */
	uint32_t found =
		some(three) | (some(two) & ~(letters >> 2)) | (some(one) & ~(letters >> 1));

	*backslash = _mm256_or_si256(*backslash, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\')));
	return found & begins & letters & WIDE_MASK;
}

static WIDE bool wide_search(const struct scan *scan, struct scan_text *text)
{
	struct wide wide;
	__m256i backslash = _mm256_setzero_si256();
	size_t last = text->length - WIDE_BYTES - SCAN_LETTERS + 1;
	size_t at = 0;

	for (int i = 0; i < SCAN_LETTERS; i++)
		wide.letters[i] = _mm256_broadcastsi128_si256(
			_mm_loadu_si128((const void *)scan->letters[i]));
	for (;;) {
		uint32_t found = places_at(text->bytes + at, &wide, &backslash);

		for (; found != 0; found &= found - 1)
			if (text->check(text, at + (size_t)__builtin_ctz(found)))
				return true;
		if (at == last)
			break;
		at = at + WIDE_PLACES < last ? at + WIDE_PLACES : last;
	}
	text->backslash = top(backslash) != 0;
	return false;
}
#endif

bool scan_search(const struct scan *scan, struct scan_text *text)
{
	text->searched = text->backslash = false;
#if defined(__x86_64__)
	if (!scan->wide || text->length < WIDE_BYTES + SCAN_LETTERS)
		return false;
	if (text->check(text, 0) || wide_search(scan, text))
		return true;
	/* Behind the last places that were looked at. */
	for (size_t at = text->length - 2 * SCAN_LETTERS + 2; at < text->length; at++) {
		if (scan->letters[0][text->bytes[at] & 15] != 0 && text->check(text, at))
			return true;
		text->backslash |= text->bytes[at] == '\\';
	}
	text->searched = true;
#else
	(void)scan;
#endif
	return false;
}
