/* See redact.h. */
#include "redact.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "redact_scan.h"
#include "wire.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { INITIALS_LIMIT = 8 };

struct name {
	uint8_t length;
	char text[REDACT_NAME_BYTES]; /* lower case, words written together */
};

static struct {
	size_t count;
	uint8_t first[256];		  /* some name begins with this character, in either case */
	uint8_t letter[256];		  /* letter_of */
	uint32_t second[256];		  /* by first character: the letters that come second, a bit
					     each; all: another character may */
	uint32_t third[256];		  /* the same of those that come third */
	uint8_t initials[INITIALS_LIMIT]; /* first characters, or with bit 5 set */
	unsigned int initial_count;	  /* more than INITIALS_LIMIT: not all are there */
	struct name names[REDACT_NAMES_LIMIT];
} all;

struct scan redact_scan;

static const char *const default_names[] = {"password", "passwd", "secret", "token",
	"authorization", "api key", "cookie", "private key"};

enum letter { SEPARATOR, LOWER, UPPER, DIGIT };

static enum letter letter_of(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return LOWER;
	if (c >= 'A' && c <= 'Z')
		return UPPER;
	if (c >= '0' && c <= '9')
		return DIGIT;
	return c >= 0x80 ? LOWER : SEPARATOR;
}

static char lower_of(unsigned char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* ---- Names --------------------------------------------------------------- */

/* The letter that comes as the n-th, as a bit; all: it may be any, or there is none. */
static uint32_t letter_bit(const struct name *name, uint8_t n)
{
	if (n < name->length && name->text[n] >= 'a' && name->text[n] <= 'z')
		return UINT32_C(1) << (name->text[n] - 'a');
	return UINT32_MAX;
}

static void letters_add(uint8_t first, const struct name *name)
{
	all.first[first] = 1;
	all.second[first] |= letter_bit(name, 1);
	all.third[first] |= letter_bit(name, 2);
}

/* What the quick search for names goes by. */
static void initial_add(const struct name *name)
{
	uint8_t first = (uint8_t)name->text[0];
	bool known = all.first[first] != 0;

	letters_add(first, name);
	if (first >= 'a' && first <= 'z')
		letters_add((uint8_t)(first - 'a' + 'A'), name);
	scan_add(&redact_scan, name->text, name->length);
	if (!known && all.initial_count < INITIALS_LIMIT)
		all.initials[all.initial_count] = first | 0x20;
	all.initial_count += !known;
}

static int name_add(const char *text, size_t length)
{
	struct name name = {0};

	for (size_t i = 0; i < length && name.length < REDACT_NAME_BYTES; i++)
		if (letter_of((unsigned char)text[i]) != SEPARATOR)
			name.text[name.length++] = lower_of((unsigned char)text[i]);
	if (name.length == 0)
		return 0;
	if (all.count == REDACT_NAMES_LIMIT)
		return -EINVAL;
	all.names[all.count++] = name;
	initial_add(&name);
	return 0;
}

int redact_set_names(const char *more)
{
	int ret = 0;

	memset(&all, 0, sizeof(all));
	scan_init(&redact_scan);
	for (unsigned int c = 0; c < 256; c++)
		all.letter[c] = (uint8_t)letter_of((unsigned char)c);
	for (size_t i = 0; i < sizeof(default_names) / sizeof(default_names[0]); i++)
		(void)name_add(default_names[i], strlen(default_names[i]));
	while (more != NULL && *more != '\0') {
		size_t length = strcspn(more, ",");

		if (name_add(more, length) < 0)
			ret = -EINVAL;
		more += length;
		more += *more == ',';
	}
	return ret;
}

/* ---- Matching ------------------------------------------------------------ */

static int hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* How a backslash reads: as JSON's escapes, or as a character like others. */
enum reading { ESCAPED, PLAIN };

/* The character at `at`; *ret_length is how many bytes it takes. Of an escape
 * that stands for an ASCII character: that character. */
static unsigned char char_at(
	const char *text, size_t length, size_t at, enum reading reading, size_t *ret_length)
{
	unsigned char c = (unsigned char)text[at];
	int value = 0;

	*ret_length = 1;
	if (c != '\\' || reading == PLAIN || at + 1 >= length)
		return c;
	if (text[at + 1] != 'u') {
		*ret_length = 2;
		return ' ';
	}
	if (at + 6 > length)
		return c;
	for (size_t i = 2; i < 6; i++) {
		int digit = hex_value((unsigned char)text[at + i]);

		if (digit < 0)
			return c;
		value = value * 16 + digit;
	}
	*ret_length = 6;
	return (unsigned char)(value < 0x80 ? value : 0x80);
}

/* Whether a word begins with `c` after a character of class `before`; `next` is
 * the class of what follows (for "APIKey": API, Key). */
static bool word_begins(enum letter before, enum letter now, enum letter next)
{
	if (now == SEPARATOR)
		return false;
	if (before == SEPARATOR)
		return true;
	return now == UPPER && (before != UPPER || next == LOWER);
}

static enum letter letter_at(const char *text, size_t length, size_t at, enum reading reading)
{
	size_t bytes;

	return at < length ? letter_of(char_at(text, length, at, reading, &bytes)) : SEPARATOR;
}

/* Whether the name's characters stand from `at` on, separators passed over, up
 * to the end of a word. */
static bool name_at(
	const char *text, size_t length, size_t at, enum reading reading, const struct name *name)
{
	enum letter before = SEPARATOR;
	uint8_t matched = 0;

	while (at < length) {
		size_t bytes;
		unsigned char c = char_at(text, length, at, reading, &bytes);
		enum letter now = letter_of(c);

		if (matched == name->length)
			return now == SEPARATOR ||
			       word_begins(
				       before, now, letter_at(text, length, at + bytes, reading));
		if (now != SEPARATOR) {
			if (lower_of(c) != name->text[matched])
				return false;
			matched++;
		}
		before = now;
		at += bytes;
	}
	return matched == name->length;
}

/* Whether any name stands from `at` on. */
static bool any_at(const char *text, size_t length, size_t at, enum reading reading, char first)
{
	unsigned char next = at + 1 < length ? (unsigned char)text[at + 1] : 0;
	/* Then it is the name's second, or there is none. */
	bool letter = reading == PLAIN && all.letter[next] != SEPARATOR;

	for (size_t i = 0; i < all.count; i++)
		if (all.names[i].text[0] == first &&
			(!letter || all.names[i].length < 2 ||
				all.names[i].text[1] == lower_of(next)) &&
			name_at(text, length, at, reading, &all.names[i]))
			return true;
	return false;
}

static bool escaped_holds(const char *text, size_t length)
{
	enum letter before = SEPARATOR;
	size_t at = 0;

	while (at < length) {
		size_t bytes;
		unsigned char c = char_at(text, length, at, ESCAPED, &bytes);
		enum letter now = letter_of(c);

		if (all.first[c] != 0 &&
			word_begins(before, now, letter_at(text, length, at + bytes, ESCAPED)) &&
			any_at(text, length, at, ESCAPED, lower_of(c)))
			return true;
		before = now;
		at += bytes;
	}
	return false;
}

/* Most words go on otherwise than a name does: by the next two letters, whatever
 * separators stand between. */
static bool goes_on(const char *text, size_t length, size_t at)
{
	unsigned char c = (unsigned char)text[at];
	const uint32_t *letters = all.second;

	for (size_t end = at + 6; ++at < length && at < end;) {
		unsigned char next = (unsigned char)text[at];
		unsigned int letter = ((unsigned int)next | 0x20) - 'a';

		if (letter >= 26) {
			if (all.letter[next] != SEPARATOR)
				return true;
			continue;
		}
		if ((letters[c] >> letter & 1) == 0)
			return false;
		if (letters == all.third)
			return true;
		letters = all.third;
	}
	return true;
}

/* Whether a name stands at `at`, where a character that begins one is, and a
 * backslash is a character like others. */
static bool plain_at(const char *text, size_t length, size_t at)
{
	unsigned char c = (unsigned char)text[at];
	enum letter before = SEPARATOR;
	enum letter next = SEPARATOR;

	if (!goes_on(text, length, at))
		return false;
	if (at > 0)
		before = (enum letter)all.letter[(unsigned char)text[at - 1]];
	if (at + 1 < length)
		next = (enum letter)all.letter[(unsigned char)text[at + 1]];
	return word_begins(before, (enum letter)all.letter[c], next) &&
	       any_at(text, length, at, PLAIN, lower_of(c));
}

#if defined(__SSE2__)
/* Bytes from low to high, as signed ones. */
static inline __m128i within(__m128i bytes, char low, char high)
{
	return _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)(low - 1))),
		_mm_cmplt_epi8(bytes, _mm_set1_epi8((char)(high + 1))));
}

/* Where in the 16 bytes at text, with one before them, a name may begin: all of the
 * places where one does are among them. */
static inline unsigned int initials_at(
	const char *text, const __m128i *initials, unsigned int count)
{
	const __m128i bit = _mm_set1_epi8(0x20);
	__m128i before = _mm_loadu_si128((const void *)(text - 1));
	__m128i now = _mm_loadu_si128((const void *)text);
	__m128i lower = _mm_or_si128(now, bit);
	__m128i found = _mm_cmpeq_epi8(lower, initials[0]);
	__m128i inside;

	for (unsigned int i = 1; i < count; i++)
		found = _mm_or_si128(found, _mm_cmpeq_epi8(lower, initials[i]));
	/* The character before is no separator. */
	inside = _mm_or_si128(
		_mm_or_si128(within(_mm_or_si128(before, bit), 'a', 'z'), within(before, '0', '9')),
		_mm_cmplt_epi8(before, _mm_setzero_si128()));
	found = _mm_andnot_si128(_mm_andnot_si128(within(now, 'A', 'Z'), inside), found);
	return (unsigned int)_mm_movemask_epi8(found);
}

/* As far as there are 16 bytes: to *at, which is 1 or more. */
static bool blocks_hold(const char *text, size_t length, size_t *at)
{
	__m128i initials[INITIALS_LIMIT];

	for (unsigned int i = 0; i < all.initial_count; i++)
		initials[i] = _mm_set1_epi8((char)all.initials[i]);
	for (; *at + 16 <= length; *at += 16) {
		unsigned int found = initials_at(text + *at, initials, all.initial_count);

		for (; found != 0; found &= found - 1) {
			size_t place = *at + (size_t)__builtin_ctz(found);

			if (all.first[(unsigned char)text[place]] != 0 &&
				plain_at(text, length, place))
				return true;
		}
	}
	return false;
}
#endif

static bool scan_check(const struct scan_text *text, size_t at)
{
	return all.first[(unsigned char)text->bytes[at]] != 0 &&
	       plain_at(text->bytes, text->length, at);
}

/* The same as escaped_holds with a backslash as a character: quick, since few
 * words begin like a name. */
static bool plain_holds(const char *text, size_t length)
{
	size_t at = 0;

#if defined(__SSE2__)
	if (length > 16 && all.initial_count > 0 && all.initial_count <= INITIALS_LIMIT) {
		if (all.first[(unsigned char)text[0]] != 0 && plain_at(text, length, 0))
			return true;
		at = 1;
		if (blocks_hold(text, length, &at))
			return true;
	}
#endif
	for (; at < length; at++)
		if (all.first[(unsigned char)text[at]] != 0 && plain_at(text, length, at))
			return true;
	return false;
}

/* Who knows what the text is: "C:\\token" holds a name when its backslash is a
 * character, "\\u0074oken" when it is an escape. */
bool redact_text_holds(const char *text, size_t length)
{
	struct scan_text scanned = {.bytes = text, .length = length, .check = scan_check};

	if (length == 0)
		return false;
	if (scan_search(&redact_scan, &scanned))
		return true;
	if (!scanned.searched) {
		if (plain_holds(text, length))
			return true;
		scanned.backslash = memchr(text, '\\', length) != NULL;
	}
	return scanned.backslash && escaped_holds(text, length);
}

bool redact_key_matches(const char *key, size_t length)
{
	return redact_text_holds(key, length);
}

/* ---- JSON ---------------------------------------------------------------- */

/* All below walk text that is known to be JSON: no length is checked that the
 * grammar promises, but none is passed either. */
struct walk {
	const char *text;
	size_t length;
	size_t at;
	size_t written; /* text before it has gone out */
	bool replaced;
	redact_write_fn write;
	void *arg;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void space_skip(struct walk *walk)
{
	while (walk->at < walk->length && is_space(walk->text[walk->at]))
		walk->at++;
}

/* To the next quote or backslash. */
static size_t plain_skip(const char *text, size_t at, size_t length)
{
#if defined(__SSE2__)
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');

	for (; at + 16 <= length; at += 16) {
		__m128i bytes = _mm_loadu_si128((const void *)(text + at));
		int found = _mm_movemask_epi8(_mm_or_si128(
			_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));

		if (found != 0)
			return at + (size_t)__builtin_ctz((unsigned int)found);
	}
#endif
	while (at < length && text[at] != '"' && text[at] != '\\')
		at++;
	return at;
}

/* Past the string that begins at walk->at. */
static void string_skip(struct walk *walk)
{
	size_t at = plain_skip(walk->text, walk->at + 1, walk->length);

	while (at < walk->length && walk->text[at] == '\\')
		at = at + 2 < walk->length ? plain_skip(walk->text, at + 2, walk->length)
					   : walk->length;
	walk->at = at < walk->length ? at + 1 : walk->length;
}

/* Past the value that begins at walk->at, whatever it holds. */
static void value_skip(struct walk *walk)
{
	size_t depth = 0;

	while (walk->at < walk->length) {
		char c = walk->text[walk->at];

		if (c == '"') {
			string_skip(walk);
		} else if (c == '{' || c == '[') {
			depth++;
			walk->at++;
		} else if (c == '}' || c == ']') {
			if (depth == 0)
				return; /* the end of what holds this number or word */
			depth--;
			walk->at++;
		} else if (depth == 0 && (c == ',' || is_space(c))) {
			return;
		} else {
			walk->at++;
			continue;
		}
		if (depth == 0)
			return;
	}
}

static void value_replace(struct walk *walk)
{
	walk->write(walk->arg, walk->text + walk->written, walk->at - walk->written);
	walk->write(walk->arg, "\"" REDACT_TEXT "\"", sizeof("\"" REDACT_TEXT "\"") - 1);
	value_skip(walk);
	walk->written = walk->at;
	walk->replaced = true;
}

/* At a string: a key when a colon follows. */
static void string_or_key(struct walk *walk, bool in_object)
{
	size_t begin = walk->at + 1;
	size_t end;

	string_skip(walk);
	end = walk->at - 1;
	if (!in_object)
		return;
	space_skip(walk);
	if (walk->at >= walk->length || walk->text[walk->at] != ':')
		return;
	walk->at++;
	space_skip(walk);
	if (redact_key_matches(walk->text + begin, end - begin))
		value_replace(walk);
}

bool redact_json(const char *text, size_t length, redact_write_fn write, void *arg)
{
	struct walk walk = {.text = text, .length = length, .write = write, .arg = arg};
	uint64_t objects = 0; /* a bit per level: 1 is an object */
	unsigned int depth = 0;

	_Static_assert(WIRE_JSON_DEPTH_LIMIT <= 64, "a bit for each level");
	while (walk.at < length) {
		char c = text[walk.at];

		if (c == '"') {
			string_or_key(&walk, depth > 0 && (objects & 1) != 0);
		} else if (c == '{' || c == '[') {
			objects = objects << 1 | (c == '{');
			depth++;
			walk.at++;
		} else if (c == '}' || c == ']') {
			objects >>= 1;
			depth--;
			walk.at++;
		} else {
			walk.at++;
		}
	}
	if (walk.replaced)
		write(arg, text + walk.written, length - walk.written);
	return walk.replaced;
}
