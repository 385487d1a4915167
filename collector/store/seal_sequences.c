/*
 * seal_sequences.c: see seal_sequences.h.
 *
 * Of each position in a window the cheapest way there is known, or none. From a position on the
 * way leads by a literal to the next, or by a match to where it ends. Where all ways meet, what
 * lies before is settled.
 */
#include "seal_sequences.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"

enum {
	BLOCK_BYTES_MAX = 131072,
	WINDOW = 4096,
	WINDOW_SETTLED = WINDOW / 2, /* what is open is settled then, be it cheapest or not */
	MEET_BYTES_MIN = 64,
	MATCH_MAX = WINDOW - WINDOW_SETTLED,
	SEQUENCES_MAX = 12 << 10, /* a frame of small spans has some 4,400 */
	HASH_BITS = 15,
	HASHED_BYTES = 7,
	READ_BYTES = 8, /* of a position, to hash it */
	ENTRIES_MAX = 96 << 10,
	TRIES = 16,
	MATCH_MIN = 6, /* at a new offset */
	PART_MIN = 3,  /* of a word; less of it is no match */
	SURE_BYTES = 16,
	LONG_BYTES = 512,
	RECENT = 3,
	LITERALS_CODES = 36,
	LENGTH_CODES = 53,
	OFFSET_CODES = 32,
	LITERALS_KNOWN = 64,
	LENGTHS_KNOWN = 131,
	BIT = 256, /* prices are in parts of a bit */
	/* Of the way to where a window begins: one literal more may cost less than nothing,
	 * where runs one shorter are rare. */
	PRICE_FIRST = 1 << 24,
};
#define NO_WAY UINT32_MAX

struct state {
	uint32_t price;		 /* NO_WAY */
	uint32_t literals;	 /* since the last match */
	uint32_t recent[RECENT]; /* offsets */
	/* The match that ends here, if it does (length 0: a literal). */
	uint32_t from;
	uint32_t length;
	uint32_t offset;
};

/* Where a word begins or ends in the text. */
struct edge {
	uint32_t position;
	uint32_t before; /* the one before with its hash, + 1 */
};

struct prices {
	uint32_t literal[256];
	uint32_t literals_code[LITERALS_CODES];
	uint32_t length_code[LENGTH_CODES];
	uint32_t offset_code[OFFSET_CODES];
	/* With the bits that follow the code. */
	uint32_t literals[LITERALS_KNOWN];
	uint32_t lengths[LENGTHS_KNOWN];
};

struct sequences {
	const uint8_t *text;
	size_t length;
	size_t end;    /* of the block */
	size_t base;   /* of the window */
	size_t last;   /* highest position in it that is known */
	size_t anchor; /* where the last settled match ends */
	size_t edges_to;
	uint32_t edge_count;
	uint32_t count;
	uint32_t recent[RECENT];
	struct prices prices;
	uint8_t classes[256];
	uint32_t heads[1 << HASH_BITS]; /* the last edge with that hash, + 1 */
	struct edge edges[ENTRIES_MAX];
	struct state states[WINDOW + 1];
	uint16_t path[WINDOW + 1];
	ZSTD_Sequence made[SEQUENCES_MAX];
};

/* ---- Codes and prices (zstd's format) --------------------------------------------- */

static unsigned int highest_bit(uint32_t value)
{
	return 31 - (unsigned int)__builtin_clz(value);
}

static const uint8_t literals_bits[LITERALS_CODES] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t length_bits[LENGTH_CODES] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10,
	11, 12, 13, 14, 15, 16};

/* Behind those of which LITERALS_KNOWN and LENGTHS_KNOWN tell, codes are powers of two. */
static unsigned int code_of(const uint8_t *bits, uint32_t value)
{
	uint32_t next = 0;
	unsigned int code = 0;

	while (value >= next + (UINT32_C(1) << bits[code]))
		next += UINT32_C(1) << bits[code++];
	return code;
}

static unsigned int literals_code(uint32_t literals)
{
	unsigned int code =
		literals < 64 ? code_of(literals_bits, literals) : highest_bit(literals) + 19;

	/* A block without a match. */
	return code < LITERALS_CODES ? code : LITERALS_CODES - 1;
}

static unsigned int length_code(uint32_t length)
{
	return length < 131 ? code_of(length_bits, length - 3) : highest_bit(length - 3) + 36;
}

static uint32_t literals_price(const struct prices *prices, uint32_t literals)
{
	unsigned int code;

	if (literals < LITERALS_KNOWN)
		return prices->literals[literals];
	code = literals_code(literals);
	return prices->literals_code[code] + literals_bits[code] * (uint32_t)BIT;
}

static uint32_t length_price(const struct prices *prices, uint32_t length)
{
	unsigned int code;

	if (length < LENGTHS_KNOWN)
		return prices->lengths[length];
	code = length_code(length);
	return prices->length_code[code] + length_bits[code] * (uint32_t)BIT;
}

/* What stands for the offset: 1 to 3 for one of the recent. */
static uint32_t offset_value(const uint32_t *recent, uint32_t offset, bool literals)
{
	uint32_t shift = literals ? 0 : 1;

	if (literals && offset == recent[0])
		return 1;
	if (offset == recent[1])
		return 2 - shift;
	if (offset == recent[2])
		return 3 - shift;
	if (!literals && offset == recent[0] - 1)
		return 3;
	return offset + 3;
}

static void use_offset(uint32_t *recent, uint32_t offset, uint32_t value, bool literals)
{
	uint32_t place = value + (literals ? 0 : 1);

	if (place > 2 || value > 3)
		recent[2] = recent[1];
	if (place > 1 || value > 3)
		recent[1] = recent[0];
	recent[0] = offset;
}

/* log2, in parts of a bit. */
static uint32_t bits_of(uint32_t value)
{
	unsigned int bit = highest_bit(value);

	return bit * BIT + ((uint32_t)(((uint64_t)value * BIT) >> bit) - BIT);
}

static void set_prices(uint32_t *prices, const uint32_t *counts, unsigned int count)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < count; i++)
		sum += counts[i];
	for (unsigned int i = 0; i < count; i++)
		prices[i] = bits_of(sum) - bits_of(counts[i]);
}

static void set_known_prices(struct prices *prices)
{
	for (uint32_t i = 0; i < LITERALS_KNOWN; i++) {
		unsigned int code = literals_code(i);

		prices->literals[i] =
			prices->literals_code[code] + literals_bits[code] * (uint32_t)BIT;
	}
	for (uint32_t i = 3; i < LENGTHS_KNOWN; i++) {
		unsigned int code = length_code(i);

		prices->lengths[i] = prices->length_code[code] + length_bits[code] * (uint32_t)BIT;
	}
}

/* Before any block. */
static void guess_prices(struct prices *prices)
{
	for (unsigned int i = 0; i < 256; i++)
		prices->literal[i] = 5 * BIT;
	for (unsigned int i = 0; i < LITERALS_CODES; i++)
		prices->literals_code[i] = 4 * BIT;
	for (unsigned int i = 0; i < LENGTH_CODES; i++)
		prices->length_code[i] = 4 * BIT;
	for (unsigned int i = 0; i < OFFSET_CODES; i++)
		prices->offset_code[i] = i < 2 ? BIT : 3 * BIT;
	set_known_prices(prices);
}

/* Of a block that begins at text, had those sequences, and those recent offsets before it. */
static void learn_prices(struct prices *prices, const uint8_t *text, const ZSTD_Sequence *made,
	size_t count, const uint32_t *recent_before)
{
	enum { ONE = 4 }; /* and a quarter of one for what wasn't there */
	uint32_t literal[256], literals[LITERALS_CODES], length[LENGTH_CODES], offset[OFFSET_CODES];
	uint32_t recent[RECENT];

	memcpy(recent, recent_before, sizeof(recent));
	for (unsigned int i = 0; i < 256; i++)
		literal[i] = 1;
	for (unsigned int i = 0; i < LITERALS_CODES; i++)
		literals[i] = 1;
	for (unsigned int i = 0; i < LENGTH_CODES; i++)
		length[i] = 1;
	for (unsigned int i = 0; i < OFFSET_CODES; i++)
		offset[i] = 1;
	for (size_t i = 0; i < count; i++) {
		const ZSTD_Sequence *sequence = &made[i];
		bool has_literals = sequence->litLength > 0;
		uint32_t value;

		for (uint32_t k = 0; k < sequence->litLength; k++)
			literal[*text++] += ONE;
		text += sequence->matchLength;
		if (sequence->matchLength == 0)
			break;
		value = offset_value(recent, sequence->offset, has_literals);
		use_offset(recent, sequence->offset, value, has_literals);
		literals[literals_code(sequence->litLength)] += ONE;
		length[length_code(sequence->matchLength)] += ONE;
		offset[highest_bit(value)] += ONE;
	}
	set_prices(prices->literal, literal, 256);
	set_prices(prices->literals_code, literals, LITERALS_CODES);
	set_prices(prices->length_code, length, LENGTH_CODES);
	set_prices(prices->offset_code, offset, OFFSET_CODES);
	set_known_prices(prices);
}

/* ---- Text --------------------------------------------------------------------------- */

static uint32_t read_4(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Small letters and digits make words, capitals others (`…123Z`), and so do signs. */
static void set_classes(uint8_t *classes)
{
	for (unsigned int i = 0; i < 256; i++)
		classes[i] = (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z') || i >= 0x80 ? 1
			     : i >= 'A' && i <= 'Z'					   ? 2
											   : 0;
}

static bool is_edge(const struct sequences *sequences, size_t position)
{
	const uint8_t *at = sequences->text + position;

	return position == 0 || sequences->classes[at[0]] != sequences->classes[at[-1]];
}

static uint32_t hash_of(const uint8_t *at)
{
	uint64_t bytes = le64_read(at) << (64 - 8 * HASHED_BYTES);

	return (uint32_t)((bytes * UINT64_C(0x9e3779b185ebca87)) >> (64 - HASH_BITS));
}

/* Notes the edges before `to`. */
static void note_edges(struct sequences *sequences, size_t to)
{
	for (size_t at = sequences->edges_to; at < to && at + READ_BYTES <= sequences->length;
		at++) {
		uint32_t *head;

		if (!is_edge(sequences, at) || sequences->edge_count == ENTRIES_MAX)
			continue;
		head = &sequences->heads[hash_of(sequences->text + at)];
		sequences->edges[sequences->edge_count] =
			(struct edge){.position = (uint32_t)at, .before = *head};
		*head = ++sequences->edge_count;
	}
	if (to > sequences->edges_to)
		sequences->edges_to = to;
}

/* How many bytes at `at` are those at offset before it, up to the block's end. */
static size_t common_length(const struct sequences *sequences, size_t at, size_t offset)
{
	const uint8_t *here = sequences->text + at;
	const uint8_t *there = here - offset;
	size_t left = sequences->end - at;
	size_t length = 0;

	left = left < MATCH_MAX ? left : MATCH_MAX;
	for (; length + 8 <= left; length += 8) {
		uint64_t differs = le64_read(here + length) ^ le64_read(there + length);

		if (differs != 0)
			return length + (size_t)(__builtin_ctzll(differs) >> 3);
	}
	while (length < left && here[length] == there[length])
		length++;
	return length;
}

/* A match's length up to the last edge, unless it takes PART_MIN of the word behind that. */
static size_t length_to_edge(const struct sequences *sequences, size_t at, size_t length)
{
	size_t end = at + length;
	size_t edge = end;

	if (end >= sequences->end)
		return length;
	while (edge > at && end - edge < PART_MIN && !is_edge(sequences, edge))
		edge--;
	return end - edge >= PART_MIN ? length : edge - at;
}

/* ---- Ways ---------------------------------------------------------------------------- */

/* What leads to state `to` is settled: it begins the window. False: too many sequences. */
static bool settle(struct sequences *sequences, size_t to)
{
	struct state *states = sequences->states;
	struct state end = states[to];
	size_t steps = 0;

	for (size_t at = to; at > 0; at = states[at].from)
		if (states[at].length > 0)
			sequences->path[steps++] = (uint16_t)at;
	while (steps > 0) {
		const struct state *match = &states[sequences->path[--steps]];
		size_t start = sequences->base + match->from;

		/* Two blocks have to end yet. */
		if (sequences->count + 2 >= SEQUENCES_MAX)
			return false;
		sequences->made[sequences->count++] = (ZSTD_Sequence){.offset = match->offset,
			.litLength = (uint32_t)(start - sequences->anchor),
			.matchLength = match->length};
		sequences->anchor = start + match->length;
	}
	sequences->base += to;
	sequences->last = sequences->base;
	end.price = PRICE_FIRST;
	end.length = 0;
	states[0] = end;
	return true;
}

static struct state *reach(struct sequences *sequences, size_t position)
{
	while (sequences->last < position)
		sequences->states[++sequences->last - sequences->base].price = NO_WAY;
	return &sequences->states[position - sequences->base];
}

static void take_match(struct sequences *sequences, size_t at, uint32_t offset, size_t length)
{
	const struct prices *prices = &sequences->prices;
	const struct state *state = &sequences->states[at - sequences->base];
	uint32_t value = offset_value(state->recent, offset, state->literals > 0);
	unsigned int code = highest_bit(value);
	uint32_t price = state->price + prices->offset_code[code] + code * (uint32_t)BIT +
			 length_price(prices, (uint32_t)length) + prices->literals[0];
	struct state *to = reach(sequences, at + length);

	if (price >= to->price)
		return;
	to->price = price;
	to->literals = 0;
	memcpy(to->recent, state->recent, sizeof(to->recent));
	use_offset(to->recent, offset, value, state->literals > 0);
	to->from = (uint32_t)(at - sequences->base);
	to->length = (uint32_t)length;
	to->offset = offset;
}

static void take_literal(struct sequences *sequences, size_t at)
{
	const struct prices *prices = &sequences->prices;
	const struct state *state = &sequences->states[at - sequences->base];
	uint32_t price = state->price + prices->literal[sequences->text[at]] +
			 literals_price(prices, state->literals + 1) -
			 literals_price(prices, state->literals);
	struct state *to = reach(sequences, at + 1);

	if (price >= to->price)
		return;
	to->price = price;
	to->literals = state->literals + 1;
	memcpy(to->recent, state->recent, sizeof(to->recent));
	to->from = (uint32_t)(at - sequences->base);
	to->length = 0;
}

/* At an offset that was used before; the match's length, 0: none. */
static size_t try_recent(struct sequences *sequences, size_t at, uint32_t offset)
{
	const uint8_t *here = sequences->text + at;
	size_t length;

	if (offset == 0 || offset > at || read_4(here) != read_4(here - offset))
		return 0;
	length = length_to_edge(sequences, at, common_length(sequences, at, offset));
	if (length < SEQUENCES_MATCH_MIN)
		return 0;
	take_match(sequences, at, offset, length);
	return length;
}

/* Where the same stood before, nearest first: what is farther has to be longer. */
static size_t try_edges(struct sequences *sequences, size_t at)
{
	const uint8_t *text = sequences->text;
	uint32_t first = read_4(text + at);
	uint32_t number = sequences->heads[hash_of(text + at)];
	size_t best = 0;

	for (unsigned int tries = 0; number > 0 && tries < TRIES && at + best < sequences->end;
		tries++) {
		const struct edge *edge = &sequences->edges[number - 1];
		size_t position = edge->position;
		size_t length;

		number = edge->before;
		if (text[position + best] != text[at + best] || read_4(text + position) != first)
			continue;
		length = length_to_edge(sequences, at, common_length(sequences, at, at - position));
		if (length < MATCH_MIN || length <= best)
			continue;
		best = length;
		take_match(sequences, at, (uint32_t)(at - position), length);
	}
	return best;
}

/* The longest match from at on. */
static size_t try_matches(struct sequences *sequences, size_t at)
{
	const struct state *state = &sequences->states[at - sequences->base];
	bool edge = is_edge(sequences, at);
	size_t best = 0;
	size_t length;

	/* Within a word only if there is enough left of it. */
	if (state->literals > 0 &&
		(edge || (!is_edge(sequences, at + 1) && !is_edge(sequences, at + 2))))
		best = try_recent(sequences, at, state->recent[0]);
	if (!edge)
		return best;
	for (unsigned int i = 1; i < RECENT; i++) {
		length = try_recent(sequences, at, state->recent[i]);
		best = length > best ? length : best;
	}
	length = try_edges(sequences, at);
	return length > best ? length : best;
}

/* False: too many sequences. */
static bool make_block(struct sequences *sequences, size_t end)
{
	size_t at = sequences->anchor;
	uint32_t first = sequences->count;
	size_t start = at;
	uint32_t recent[RECENT];

	memcpy(recent, sequences->recent, sizeof(recent));
	sequences->end = end;
	sequences->base = sequences->last = at;
	sequences->states[0] = (struct state){.price = PRICE_FIRST};
	memcpy(sequences->states[0].recent, recent, sizeof(recent));
	while (at < end) {
		size_t before = at - sequences->base;
		size_t best = 0;

		if (sequences->states[before].price == NO_WAY) {
			at++;
			continue;
		}
		if (((at == sequences->last && before >= MEET_BYTES_MIN) ||
			    before >= WINDOW_SETTLED) &&
			!settle(sequences, before))
			return false;
		note_edges(sequences, at);
		if (at + READ_BYTES < end)
			best = try_matches(sequences, at);
		/* What is no value, and stood there before, is no literal; nor is what goes on and
		 * on, which would be compared at each of its bytes. */
		if (best < LONG_BYTES &&
			(best < SURE_BYTES || sequences->classes[sequences->text[at]] != 0 ||
				!is_edge(sequences, at)))
			take_literal(sequences, at);
		at++;
	}
	if (!settle(sequences, end - sequences->base))
		return false;
	memcpy(sequences->recent, sequences->states[0].recent, sizeof(sequences->recent));
	sequences->made[sequences->count++] =
		(ZSTD_Sequence){.litLength = (uint32_t)(end - sequences->anchor)};
	sequences->anchor = end;
	learn_prices(&sequences->prices, sequences->text + start, sequences->made + first,
		sequences->count - first, recent);
	return true;
}

/* ---- Frames -------------------------------------------------------------------------- */

int sequences_new(struct sequences **ret)
{
	struct sequences *sequences = calloc(1, sizeof(*sequences));

	if (sequences == NULL)
		return -ENOMEM;
	set_classes(sequences->classes);
	guess_prices(&sequences->prices);
	*ret = sequences;
	return 0;
}

void sequences_free(struct sequences *sequences)
{
	free(sequences);
}

/* Where the first block ends: behind a line that ends near the middle, if there is one. */
static size_t first_block(const uint8_t *text, size_t length)
{
	size_t end = length / 2;

	if (length <= BLOCK_BYTES_MAX)
		return length;
	while (end > length - BLOCK_BYTES_MAX && text[end - 1] != '\n')
		end--;
	return end;
}

size_t sequences_make(
	struct sequences *sequences, const uint8_t *text, size_t length, const ZSTD_Sequence **ret)
{
	static const uint32_t first_offsets[RECENT] = {1, 4, 8};

	sequences->text = text;
	sequences->length = length;
	sequences->anchor = sequences->edges_to = 0;
	sequences->count = sequences->edge_count = 0;
	memcpy(sequences->recent, first_offsets, sizeof(first_offsets));
	memset(sequences->heads, 0, sizeof(sequences->heads));
	if (!make_block(sequences, first_block(text, length)))
		return 0;
	if (sequences->anchor < length && !make_block(sequences, length))
		return 0;
	*ret = sequences->made;
	return sequences->count;
}
