/*
 * json_walk.c: see json_walk.h. The inner loop is the search for the end of a
 * string, 16 bytes at a time where SSE2 is there.
 */
#include "json_walk.h"

#include <errno.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

bool json_walk_more(struct json_walk *walk)
{
	while (walk->at < walk->end &&
		(*walk->at == ' ' || *walk->at == '\t' || *walk->at == '\n' || *walk->at == '\r'))
		walk->at++;
	return walk->at < walk->end;
}

/* The first byte that is a quote, a backslash or a control character. */
static const uint8_t *find_special(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i control = _mm_set1_epi8(0x1f);

	while (end - at >= 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
		__m128i hits = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
						    _mm_cmpeq_epi8(bytes, backslash)),
			_mm_cmpeq_epi8(_mm_max_epu8(bytes, control), control));
		int mask = _mm_movemask_epi8(hits);

		if (mask != 0)
			return at + __builtin_ctz((unsigned int)mask);
		at += 16;
	}
#endif
	while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
		at++;
	return at;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How long the escape at `at` (its backslash) is; 0 when it is none. */
static size_t escape_length(const uint8_t *at, const uint8_t *end)
{
	if (end - at < 2)
		return 0;
	if (at[1] != 'u')
		return memchr("\"\\/bfnrt", at[1], 8) != NULL ? 2 : 0;
	if (end - at < 6)
		return 0;
	for (int i = 2; i < 6; i++)
		if (hex_digit(at[i]) < 0)
			return 0;
	return 6;
}

int json_walk_string(struct json_walk *walk, struct slice *ret_raw, bool *ret_escaped)
{
	const uint8_t *at = walk->at + 1;
	bool escaped = false;

	if (walk->at >= walk->end || *walk->at != '"')
		return ERR_MALFORMED;
	for (;;) {
		size_t length;

		at = find_special(at, walk->end);
		if (at >= walk->end)
			return ERR_MALFORMED;
		if (*at == '"')
			break;
		length = *at == '\\' ? escape_length(at, walk->end) : 0;
		if (length == 0)
			return ERR_MALFORMED;
		escaped = true;
		at += length;
	}
	*ret_raw = slice_of(walk->at + 1, (size_t)(at - walk->at - 1));
	*ret_escaped = escaped;
	walk->at = at + 1;
	return 0;
}

static bool pass_digits(struct json_walk *walk)
{
	const uint8_t *start = walk->at;

	while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9')
		walk->at++;
	return walk->at > start;
}

static bool pass_char(struct json_walk *walk, uint8_t c)
{
	if (walk->at >= walk->end || *walk->at != c)
		return false;
	walk->at++;
	return true;
}

static int pass_number(struct json_walk *walk)
{
	const uint8_t *start;

	(void)pass_char(walk, '-');
	start = walk->at;
	if (!pass_digits(walk) || (*start == '0' && walk->at - start > 1))
		return ERR_MALFORMED;
	if (pass_char(walk, '.') && !pass_digits(walk))
		return ERR_MALFORMED;
	if (pass_char(walk, 'e') || pass_char(walk, 'E')) {
		if (!pass_char(walk, '+'))
			(void)pass_char(walk, '-');
		if (!pass_digits(walk))
			return ERR_MALFORMED;
	}
	return 0;
}

static int pass_word(struct json_walk *walk, const char *word, size_t length)
{
	if ((size_t)(walk->end - walk->at) < length || memcmp(walk->at, word, length) != 0)
		return ERR_MALFORMED;
	walk->at += length;
	return 0;
}

/* A string, number or word. */
static int pass_scalar(struct json_walk *walk)
{
	struct slice raw;
	bool escaped;

	switch (*walk->at) {
	case '"':
		return json_walk_string(walk, &raw, &escaped);
	case 't':
		return pass_word(walk, "true", 4);
	case 'f':
		return pass_word(walk, "false", 5);
	case 'n':
		return pass_word(walk, "null", 4);
	default:
		return pass_number(walk);
	}
}

static int pass_key(struct json_walk *walk)
{
	struct slice raw;
	bool escaped;

	if (!json_walk_more(walk) || json_walk_string(walk, &raw, &escaped) != 0 ||
		!json_walk_more(walk) || !pass_char(walk, ':') || !json_walk_more(walk))
		return ERR_MALFORMED;
	return 0;
}

/* Which of the open brackets are objects: a bit each, the innermost last. */
struct nesting {
	uint64_t objects[JSON_WALK_DEPTH / 64];
	unsigned int depth;
};

static bool innermost_is_object(const struct nesting *nesting)
{
	unsigned int at = nesting->depth - 1;

	return (nesting->objects[at / 64] >> (at % 64) & 1) != 0;
}

/* Takes an opening bracket, and the first key of an object. 1: it was empty. */
static int open_bracket(struct json_walk *walk, struct nesting *nesting)
{
	bool object = *walk->at == '{';
	uint64_t bit;

	if (nesting->depth == JSON_WALK_DEPTH)
		return ERR_LIMIT;
	walk->at++;
	if (!json_walk_more(walk))
		return ERR_MALFORMED;
	if (pass_char(walk, object ? '}' : ']'))
		return 1;
	bit = UINT64_C(1) << (nesting->depth % 64);
	if (object)
		nesting->objects[nesting->depth / 64] |= bit;
	else
		nesting->objects[nesting->depth / 64] &= ~bit;
	nesting->depth++;
	return object ? pass_key(walk) : 0;
}

/* After a value: closes what ends here, or passes the comma (and key). */
static int after_value(struct json_walk *walk, struct nesting *nesting)
{
	while (nesting->depth > 0) {
		bool object = innermost_is_object(nesting);

		if (!json_walk_more(walk))
			return ERR_MALFORMED;
		if (pass_char(walk, ','))
			return object ? pass_key(walk) : 0;
		if (!pass_char(walk, object ? '}' : ']'))
			return ERR_MALFORMED;
		nesting->depth--;
	}
	return 0;
}

int json_walk_value(struct json_walk *walk, struct slice *ret_raw)
{
	struct nesting nesting = {0};
	const uint8_t *start;
	int ret;

	nesting.depth = 0;
	if (!json_walk_more(walk))
		return ERR_MALFORMED;
	start = walk->at;
	do {
		if (!json_walk_more(walk))
			return ERR_MALFORMED;
		if (*walk->at == '{' || *walk->at == '[') {
			ret = open_bracket(walk, &nesting);
			if (ret == 0)
				continue;
			if (ret == 1)
				ret = 0;
		} else {
			ret = pass_scalar(walk);
		}
		if (ret == 0)
			ret = after_value(walk, &nesting);
		if (ret != 0)
			return ret;
	} while (nesting.depth > 0);
	*ret_raw = slice_of(start, (size_t)(walk->at - start));
	return 0;
}

int json_walk_enter(struct json_walk *walk)
{
	return json_walk_more(walk) && pass_char(walk, '{') ? 0 : ERR_MALFORMED;
}

int json_walk_key(struct json_walk *walk, bool first, struct slice *ret_raw, bool *ret_escaped)
{
	if (!json_walk_more(walk))
		return ERR_MALFORMED;
	if (pass_char(walk, '}'))
		return 0;
	if (!first && (!pass_char(walk, ',') || !json_walk_more(walk)))
		return ERR_MALFORMED;
	if (json_walk_string(walk, ret_raw, ret_escaped) != 0 || !json_walk_more(walk) ||
		!pass_char(walk, ':') || !json_walk_more(walk))
		return ERR_MALFORMED;
	return 1;
}

/* ---- Escapes ------------------------------------------------------------- */

static uint32_t four_digits(const uint8_t *at)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (uint32_t)hex_digit(at[i]);
	return value;
}

/* The character of a \u escape at `at`, and the escape's length, 12 for a pair
 * of surrogates. */
static uint32_t unicode_escape(const uint8_t *at, const uint8_t *end, size_t *ret_length)
{
	uint32_t c = four_digits(at + 2);
	uint32_t low;

	*ret_length = 6;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || end - at < 12 || at[6] != '\\' || at[7] != 'u')
		return 0xfffd;
	low = four_digits(at + 8);
	if (low < 0xdc00 || low > 0xdfff)
		return 0xfffd;
	*ret_length = 12;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static size_t put_utf8(uint8_t *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

static uint8_t short_escape(uint8_t c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

int json_walk_decode(struct slice raw, struct scratch *scratch, struct slice *ret_text)
{
	/* No escape is shorter than what it stands for. */
	uint8_t *out = scratch_alloc(scratch, raw.length + 1);
	const uint8_t *at = raw.data;
	const uint8_t *end = raw.data + raw.length;
	size_t length = 0;

	if (out == NULL)
		return -ENOMEM;
	while (at < end) {
		size_t taken;

		if (*at != '\\') {
			out[length++] = *at++;
		} else if (at[1] != 'u') {
			out[length++] = short_escape(at[1]);
			at += 2;
		} else {
			length += put_utf8(out + length, unicode_escape(at, end, &taken));
			at += taken;
		}
	}
	*ret_text = slice_of(out, length);
	return 0;
}
