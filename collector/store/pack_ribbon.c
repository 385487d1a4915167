/* pack_ribbon.c: see pack_ribbon.h. */
#include "pack_ribbon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "ids.h"

enum {
	WIDTH = 64, /* slots of a sum */
	TRIES = 16,
	/* Slots beyond one a hash, and one more for so many. */
	SPARE = 12,
	SPARE_IN = 32,
	MANY = 4096, /* more leave no gaps to be filled */
	MANY_SPARE_IN = 12,
	COLUMNS_BITS = 4,
};

/* What a hash asks for. */
struct row {
	uint64_t slots; /* which of 64, the first of them always */
	uint32_t first;
	uint32_t sums; /* a bit each column */
};

static struct row row_of(uint64_t hash, unsigned int try, uint64_t slots)
{
	uint64_t mixed = id_mix(hash + try * UINT64_C(0x9e3779b97f4a7c15));
	/* The first and the last ones would be in fewer rows: some begin before and behind. */
	uint64_t first = (mixed >> 32) * slots >> 32;

	first = first < WIDTH / 2 ? 0 : first - WIDTH / 2;
	return (struct row){.first = (uint32_t)(first < slots - WIDTH ? first : slots - WIDTH),
		.sums = (uint32_t)mixed & 0xff,
		.slots = id_mix(mixed) | 1};
}

/* ---- Making ------------------------------------------------------------------------- */

struct solving {
	uint64_t *slots; /* of the row that begins at a slot; 0: none does */
	uint8_t *sums;
};

/* Takes a row less those that begin where it does. False: others say something else of it. */
static bool add_row(const struct solving *solving, struct row row)
{
	for (;;) {
		uint64_t *slots = &solving->slots[row.first];

		if (*slots == 0) {
			*slots = row.slots;
			solving->sums[row.first] = (uint8_t)row.sums;
			return true;
		}
		row.slots ^= *slots;
		row.sums ^= solving->sums[row.first];
		if (row.slots == 0)
			return row.sums == 0;
		row.first += (uint32_t)__builtin_ctzll(row.slots);
		row.slots >>= __builtin_ctzll(row.slots);
	}
}

static bool add_rows(const struct solving *solving, const uint64_t *table, size_t capacity,
	unsigned int try, size_t slots)
{
	memset(solving->slots, 0, slots * sizeof(*solving->slots));
	memset(solving->sums, 0, slots);
	for (size_t i = 0; i < capacity; i++)
		if (table[i] != 0 && !add_row(solving, row_of(table[i], try, slots)))
			return false;
	return true;
}

/* A column's slots, from the last to the first: each as its row wants it. */
static void solve_column(
	const struct solving *solving, size_t slots, unsigned int column, uint8_t *to)
{
	uint64_t later = 0; /* the slots from this one on */

	for (size_t i = slots; i-- > 0;) {
		unsigned int sum = (unsigned int)solving->sums[i] >> column & 1;
		uint64_t bit;

		later <<= 1;
		bit = (sum ^ (unsigned int)__builtin_parityll(solving->slots[i] & later)) & 1;
		/* A slot that no row begins at is free. */
		later |= solving->slots[i] != 0 ? bit : 0;
		if ((later & 1) != 0)
			to[(column * slots + i) / 8] |= (uint8_t)(1u << (column * slots + i) % 8);
	}
}

static int put_solved(const struct solving *solving, size_t slots, unsigned int columns,
	unsigned int try, size_t bytes, struct bytes *to)
{
	int ret = bytes_reserve(to, 1 + bytes);
	uint8_t *at = to->data + to->length;

	if (ret != 0)
		return ret;
	memset(at, 0, 1 + bytes);
	at[0] = (uint8_t)(columns | try << COLUMNS_BITS);
	for (unsigned int i = 0; i < columns; i++)
		solve_column(solving, slots, i, at + 1);
	to->length += 1 + bytes;
	return 0;
}

int ribbon_put(const uint64_t *table, size_t capacity, size_t count, size_t max_bits,
	unsigned int columns_max, struct bytes *to, size_t *ret_length)
{
	size_t slots = count + count / (count > MANY ? MANY_SPARE_IN : SPARE_IN) + SPARE;
	size_t columns, bytes;
	struct solving solving;
	int ret = 0;

	*ret_length = 0;
	slots = slots > WIDTH ? slots : WIDTH;
	columns = max_bits / slots < columns_max ? max_bits / slots : columns_max;
	if (columns == 0)
		return 0;
	bytes = (slots * columns + 7) / 8;
	slots = bytes * 8 / columns;
	solving.slots = malloc(slots * sizeof(*solving.slots));
	solving.sums = malloc(slots);
	if (solving.slots == NULL || solving.sums == NULL)
		ret = -ENOMEM;
	for (unsigned int try = 0; ret == 0 && try < TRIES; try++) {
		if (!add_rows(&solving, table, capacity, try, slots))
			continue;
		ret = put_solved(&solving, slots, (unsigned int)columns, try, bytes, to);
		*ret_length = 1 + bytes;
		break;
	}
	free(solving.slots);
	free(solving.sums);
	return ret;
}

/* ---- Asking ------------------------------------------------------------------------- */

/* 64 bits from any one on; beyond the end they are 0. */
static uint64_t bits_at(struct slice bits, uint64_t at)
{
	uint8_t bytes[9] = {0};
	size_t from = (size_t)(at / 8), left = bits.length - from;
	unsigned int shift = at % 8;

	memcpy(bytes, bits.data + from, left < sizeof(bytes) ? left : sizeof(bytes));
	return shift == 0 ? le64_read(bytes)
			  : le64_read(bytes) >> shift | (uint64_t)bytes[8] << (64 - shift);
}

static bool may_have(struct slice bits, unsigned int columns, unsigned int try, uint64_t hash)
{
	size_t slots = bits.length * 8 / columns;
	struct row row = row_of(hash, try, slots);

	for (unsigned int i = 0; i < columns; i++) {
		uint64_t there = bits_at(bits, (uint64_t)i * slots + row.first);

		if ((unsigned int)__builtin_parityll(there & row.slots) != (row.sums >> i & 1))
			return false;
	}
	return true;
}

bool ribbon_may_have(struct slice set, const uint64_t *hashes, size_t count)
{
	struct slice bits = slice_of(set.data + 1, set.length > 0 ? set.length - 1 : 0);
	unsigned int columns = set.length > 0 ? set.data[0] & ((1u << COLUMNS_BITS) - 1) : 0;

	if (columns == 0 || columns > 8 || bits.length * 8 / columns < WIDTH)
		return true;
	for (size_t i = 0; i < count; i++)
		if (!may_have(bits, columns, set.data[0] >> COLUMNS_BITS, hashes[i]))
			return false;
	return true;
}
