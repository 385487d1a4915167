/* See redact_scan.h. The processor is asked once, at scan_init. */
#include "redact_scan.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* What stands for 'a' where the high bit is for what is no letter: 'z' is 0x7f. */
enum { LETTER_FIRST = 0x7f - ('z' - 'a') };

void scan_init(struct scan *scan)
{
	memset(scan, 0, sizeof(*scan));
	memset(scan->not_second, 0xff, sizeof(scan->not_second));
	memset(scan->not_third, 0xff, sizeof(scan->not_third));
	memset(scan->not_fourth, 0xff, sizeof(scan->not_fourth));
#if defined(__x86_64__)
	__builtin_cpu_init();
	scan->wide = __builtin_cpu_supports("avx2") != 0;
#endif
}

/* As class_of has it: the low half of what stands for a lower-case letter. */
static unsigned int letter_class(char letter)
{
	return (unsigned int)(letter - 'a' + LETTER_FIRST) & 15;
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
	if (!scan->wide)
		return;
	scan->begins[letter_class(name[0])] |= bucket;
	scan->not_second[letter_class(name[1])] &= (uint8_t)~bucket;
	/* Separators may stand before each. */
	for (size_t n = 1; n <= 2; n++)
		scan->not_third[letter_class(name[n])] &= (uint8_t)~bucket;
	for (size_t n = 1; n <= 3 && n < length; n++)
		scan->not_fourth[letter_class(name[n])] &= (uint8_t)~bucket;
	for (size_t i = 0; length == 3 && i < sizeof(scan->not_fourth); i++)
		scan->not_fourth[i] &= (uint8_t)~bucket;
	scan->threes |= length == 3;
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

/* ---- Copying ------------------------------------------------------------------- */

/* In registers, where the compiler would make them anew each time. */
struct wide_values {
	__m256i letter_bit;
	__m256i minus_a;
	__m256i letter_first;
	__m256i high_bit;
	__m256i backslash;
};

static WIDE inline __attribute__((always_inline)) __m256i value(char byte)
{
	__m256i ret = _mm256_set1_epi8(byte);

	__asm__("" : "+x"(ret));
	return ret;
}

/* The letters, in either case, as LETTER_FIRST to 0x7f; all else with the high bit. */
static WIDE inline __attribute__((always_inline)) __m256i class_of(
	const struct wide_values *values, __m256i lowered)
{
	return _mm256_adds_epu8(_mm256_add_epi8(lowered, values->minus_a), values->letter_first);
}

/* 32 bytes of which the first n are the last n of `before`. */
#define SHIFTED(before, bytes, n) \
	_mm256_alignr_epi8(bytes, _mm256_permute2x128_si256(before, bytes, 0x21), 16 - (n))

struct passing {
	struct wide_values values;
	__m256i begins;
	__m256i not_second;
	__m256i not_third;
	__m256i not_fourth;
	/* Of the 32 bytes before: their classes, and the same with the high bit where no
	 * word begins. */
	__m256i classes;
	__m256i first;
	/* Of all: what a name or a backslash left, and the bytes themselves. */
	__m256i found;
	__m256i high;
};

/* Copies 32 bytes. A high bit, which a separator has, makes 0 of what is looked up. */
static WIDE inline __attribute__((always_inline)) void pass(
	struct passing *passing, char *to, const char *text)
{
	const struct wide_values *values = &passing->values;
	__m256i bytes = load(text);
	__m256i lowered = _mm256_or_si256(bytes, values->letter_bit);
	__m256i classes = class_of(values, lowered);
	__m256i before = SHIFTED(passing->classes, classes, 1);
	/* Behind a letter no lower-case one begins a word. */
	__m256i inside = _mm256_and_si256(
		_mm256_andnot_si256(before, _mm256_cmpeq_epi8(bytes, lowered)), values->high_bit);
	__m256i first = _mm256_or_si256(classes, inside);
	__m256i third = _mm256_shuffle_epi8(passing->not_third, before);
	__m256i second =
		_mm256_shuffle_epi8(passing->not_second, SHIFTED(passing->classes, classes, 2));
	__m256i fourth = _mm256_shuffle_epi8(passing->not_fourth, classes);
	__m256i differs = _mm256_or_si256(_mm256_or_si256(second, third), fourth);
	__m256i begins = _mm256_shuffle_epi8(passing->begins, SHIFTED(passing->first, first, 3));
	__m256i found = _mm256_or_si256(
		_mm256_andnot_si256(differs, begins), _mm256_cmpeq_epi8(bytes, values->backslash));

	_mm256_storeu_si256((void *)to, bytes);
	passing->found = _mm256_or_si256(passing->found, found);
	passing->high = _mm256_or_si256(passing->high, bytes);
	passing->classes = classes;
	passing->first = first;
}

static WIDE inline __m256i table(const uint8_t bytes[16])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)bytes));
}

WIDE enum scan_seen scan_copy(const struct scan *scan, char *to, const char *text, size_t length)
{
	struct passing passing = {.values = {.letter_bit = value(0x20),
					  .minus_a = value(-'a'),
					  .letter_first = value(LETTER_FIRST),
					  .high_bit = value((char)0x80),
					  .backslash = value('\\')},
		.begins = table(scan->begins),
		.not_second = table(scan->not_second),
		.not_third = table(scan->not_third),
		.not_fourth = table(scan->not_fourth),
		.classes = _mm256_set1_epi8(-1),
		.first = _mm256_set1_epi8(-1),
		.found = _mm256_setzero_si256(),
		.high = _mm256_setzero_si256()};
	const char *last = text + length - SCAN_BLOCK;
	char *to_last = to + length - SCAN_BLOCK;

	for (; text < last; text += SCAN_BLOCK, to += SCAN_BLOCK)
		pass(&passing, to, text);
	/* The last are met again, behind what is before them: as it was copied, whatever the
	 * text's owner does to it meanwhile. */
	passing.classes = passing.first = class_of(&passing.values,
		_mm256_or_si256(load(to_last - SCAN_BLOCK), passing.values.letter_bit));
	pass(&passing, to_last, last);
	if (!_mm256_testz_si256(passing.found, passing.found) ||
		(scan->threes && scan->letters[0][to_last[SCAN_BLOCK - 3] & 15] != 0))
		return SCAN_SUSPECT;
	return _mm256_movemask_epi8(passing.high) != 0 ? SCAN_HIGH : SCAN_NOTHING;
}
#else
enum scan_seen scan_copy(const struct scan *scan, char *to, const char *text, size_t length)
{
	(void)scan;
	memcpy(to, text, length);
	return SCAN_SUSPECT;
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
