/* See redact_scan.h. The processor is asked once, at scan_init. */
#include "redact_scan.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
	/* What stands for 'a' where the high bit is for what is no letter: 'z' is 0x7f. */
	LETTER_FIRST = 0x7f - ('z' - 'a'),
	BLOCK = 32,
	COPY_LEAST = 2 * BLOCK, /* by 32 places at a time */
	BACKSLASH = 0x80,
	WIDEST_INDEX = 0x3f,
};

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

void scan_limit(struct scan *scan, enum scan_width width)
{
	if (scan->width > width)
		scan->width = width;
	scan->copy_least = SIZE_MAX;
	if (scan->width == SCAN_WIDE)
		scan->copy_least = COPY_LEAST;
	else if (scan->width == SCAN_WIDEST)
		scan->copy_least = 1;
}

static enum scan_width processor_width(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") &&
		__builtin_cpu_supports("avx512vbmi2"))
		return SCAN_WIDEST;
	if (__builtin_cpu_supports("avx2"))
		return SCAN_WIDE;
#endif
	return SCAN_NARROW;
}

void scan_init(struct scan *scan)
{
	memset(scan, 0, sizeof(*scan));
	for (unsigned int c = 0; c < sizeof(scan->bytes); c++)
		if (is_letter((char)(c | 0x20)))
			scan->bytes[c] = (uint8_t)c;
	scan->bytes['\\'] = BACKSLASH;
	for (unsigned int n = 1; n < SCAN_COPY_LETTERS; n++)
		scan->places[n][0] = 0xff;
	memset(scan->not_second, 0xff, sizeof(scan->not_second));
	memset(scan->not_third, 0xff, sizeof(scan->not_third));
	memset(scan->not_fourth, 0xff, sizeof(scan->not_fourth));
	scan->width = processor_width();
	scan_limit(scan, scan->width);
}

/* As class_of has it: the low half of what stands for a lower-case letter. */
static unsigned int letter_class(char letter)
{
	return (unsigned int)(letter - 'a' + LETTER_FIRST) & 15;
}

/* The n-th place may be any of the name's letters from its second to there. */
static void places_add(struct scan *scan, const char *name, size_t length, uint8_t bucket)
{
	for (size_t n = 0; n < SCAN_COPY_LETTERS; n++)
		for (size_t i = n > 0; i <= n; i++) {
			/* Behind a name's end, or no letter: whatever it is. */
			if (i >= length || !is_letter(name[i])) {
				for (size_t c = 0; c < sizeof(scan->places[n]); c++)
					scan->places[n][c] |= bucket;
				continue;
			}
			scan->places[n][name[i] & WIDEST_INDEX] |= bucket;
			scan->places[n][(name[i] ^ 0x20) & WIDEST_INDEX] |= bucket;
		}
}

void scan_add(struct scan *scan, const char *name, size_t length)
{
	uint8_t bucket = (uint8_t)(1u << scan->names++ % 8);

	for (size_t n = 0; n < SCAN_LETTERS; n++) {
		if (n < length && is_letter(name[n]))
			scan->letters[n][name[n] & 15] |= bucket;
		else
			scan_limit(scan, SCAN_NARROW);
	}
	if (scan->width == SCAN_NARROW)
		return;
	places_add(scan, name, length, bucket);
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

static WIDE enum scan_seen wide_copy(
	const struct scan *scan, char *to, const char *text, size_t length)
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
	const char *last = text + length - BLOCK;
	char *to_last = to + length - BLOCK;

	for (; text < last; text += BLOCK, to += BLOCK)
		pass(&passing, to, text);
	/* The last are met again, behind what is before them: as it was copied, whatever the
	 * text's owner does to it meanwhile. */
	passing.classes = passing.first = class_of(
		&passing.values, _mm256_or_si256(load(to_last - BLOCK), passing.values.letter_bit));
	pass(&passing, to_last, last);
	if (!_mm256_testz_si256(passing.found, passing.found) ||
		(scan->threes && scan->letters[0][to_last[BLOCK - 3] & 15] != 0))
		return SCAN_SUSPECT;
	return _mm256_movemask_epi8(passing.high) != 0 ? SCAN_HIGH : SCAN_NOTHING;
}

/* ---- Copying, 64 bytes at a time --------------------------------------------------- */

#define WIDEST __attribute__((target("avx512bw,avx512vbmi,avx512vbmi2")))

struct widest {
	__m512i bytes[2];
	__m512i first;
	__m512i second;
	__m512i third;
	__m512i fourth;
	__m512i high_bit;
	__m512i letter_bit;
	__m512i before; /* what stands for the 64 bytes before */
	/* Of all: what a name left, what stands for them, and which are below 0x80. */
	__m512i found;
	__m512i seen;
	__mmask64 low;
};

static WIDEST inline __m512i widest_table(const uint8_t bytes[64])
{
	return _mm512_load_si512((const void *)bytes);
}

/* A letter's bit 6 is set, and bit 5 where it is a lower-case one. */
static WIDEST inline __attribute__((always_inline)) void widest_pass(
	struct widest *widest, __m512i bytes)
{
	__mmask64 low = _mm512_testn_epi8_mask(bytes, widest->high_bit);
	__m512i now =
		_mm512_maskz_permutex2var_epi8(low, widest->bytes[0], bytes, widest->bytes[1]);
	__m512i words = _mm512_alignr_epi64(now, widest->before, 7);
	/* What is one, two, three bytes before each, and four: of that, bit 6 where bit 5 is. */
	__m512i one = _mm512_shldi_epi64(now, words, 8);
	__m512i two = _mm512_shldi_epi64(now, words, 16);
	__m512i three = _mm512_shldi_epi64(now, words, 24);
	__m512i four = _mm512_shldi_epi64(now, words, 32 - 1);
	/* Behind a letter no lower-case one begins a word. */
	__mmask64 begins =
		_mm512_testn_epi8_mask(_mm512_and_si512(three, four), widest->letter_bit);
	__m512i name = _mm512_ternarylogic_epi64(
		_mm512_maskz_permutexvar_epi8(begins, three, widest->first),
		_mm512_permutexvar_epi8(two, widest->second),
		_mm512_permutexvar_epi8(one, widest->third), 0x80 /* a & b & c */);

	widest->found = _mm512_ternarylogic_epi64(widest->found, name,
		_mm512_permutexvar_epi8(now, widest->fourth), 0xf8 /* a | (b & c) */);
	widest->seen = _mm512_or_si512(widest->seen, now);
	widest->low &= low;
	widest->before = now;
}

/* The last bytes come with zeros behind, which count as separators, so that names of three
 * letters are met there, too. */
static WIDEST enum scan_seen widest_copy(
	const struct scan *scan, char *to, const char *text, size_t length)
{
	struct widest widest = {
		.bytes = {widest_table(scan->bytes), widest_table(scan->bytes + 64)},
		.first = widest_table(scan->places[0]),
		.second = widest_table(scan->places[1]),
		.third = widest_table(scan->places[2]),
		.fourth = widest_table(scan->places[3]),
		.high_bit = _mm512_set1_epi8((char)0x80),
		.letter_bit = _mm512_set1_epi8(0x20),
		.before = _mm512_setzero_si512(),
		.found = _mm512_setzero_si512(),
		.seen = _mm512_setzero_si512(),
		.low = ~(__mmask64)0};
	size_t rest = length % SCAN_WIDEST;
	const char *last = text + length - rest;
	__m512i bytes;

	for (; text < last; text += SCAN_WIDEST, to += SCAN_WIDEST) {
		bytes = _mm512_loadu_si512((const void *)text);
		_mm512_storeu_si512((void *)to, bytes);
		widest_pass(&widest, bytes);
	}
	bytes = _mm512_maskz_loadu_epi8(((__mmask64)1 << rest) - 1, text);
	if (rest > 0)
		_mm512_storeu_si512((void *)to, bytes);
	widest_pass(&widest, bytes);
	if ((_mm512_test_epi8_mask(widest.found, widest.found) |
		    _mm512_movepi8_mask(widest.seen)) != 0)
		return SCAN_SUSPECT;
	return widest.low != ~(__mmask64)0 ? SCAN_HIGH : SCAN_NOTHING;
}

enum scan_seen scan_copy(const struct scan *scan, char *to, const char *text, size_t length)
{
	if (scan->width == SCAN_WIDEST)
		return widest_copy(scan, to, text, length);
	return wide_copy(scan, to, text, length);
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
	if (scan->width == SCAN_NARROW || text->length < WIDE_BYTES + SCAN_LETTERS)
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
