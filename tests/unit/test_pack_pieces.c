/*
 * Pieces of packs: columns give back what was put, and ribbon filters have all that they were
 * made of and few others; bytes that are no such piece are read to a good end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "ids.h"
#include "pack_columns.h"
#include "pack_ribbon.h"

enum { NUMBERS = 255 };

static uint64_t random_number(unsigned int bits)
{
	uint64_t ret = 0;

	for (int i = 0; i < 5; i++)
		ret = ret << 15 ^ (uint64_t)rand();
	return bits == 0 ? 0 : ret >> (64 - bits);
}

static size_t check_column(const uint64_t *numbers, size_t count)
{
	struct bytes bytes = {0};
	uint64_t found[NUMBERS];
	struct cursor in;
	size_t ret;

	assert_int_equal(column_put(numbers, count, &bytes), 0);
	in = cursor_of(bytes.data, bytes.length);
	column_take(&in, found, count);
	assert_int_equal(in.error, 0);
	assert_false(cursor_more(&in));
	assert_memory_equal(found, numbers, count * sizeof(*numbers));
	/* Cut off anywhere, it is not whole. */
	for (size_t length = 0; length < bytes.length; length += 1 + bytes.length / 20) {
		uint8_t *cut = malloc(length + 1);

		memcpy(cut, bytes.data, length);
		in = cursor_of(cut, length);
		column_take(&in, found, count);
		assert_int_not_equal(in.error, 0);
		free(cut);
	}
	ret = bytes.length;
	bytes_done(&bytes);
	return ret;
}

static void columns_come_back(void **state)
{
	uint64_t numbers[NUMBERS];

	(void)state;
	srand(1);
	for (unsigned int bits = 0; bits <= 64; bits++) {
		for (size_t count = 1; count <= NUMBERS; count += count < 5 ? 1 : 50) {
			uint64_t base = random_number(bits % 3 * 30);

			for (size_t i = 0; i < count; i++)
				numbers[i] = base + random_number(bits);
			/* No more than so many bits each, or varints. */
			assert_in_range(
				check_column(numbers, count), 2, 1 + 10 + (count * bits + 7) / 8);
		}
	}
	/* One far off. */
	for (size_t i = 0; i < NUMBERS; i++)
		numbers[i] = i == 77 ? UINT64_MAX : i % 3;
	assert_in_range(check_column(numbers, NUMBERS), NUMBERS, NUMBERS + 10);
}

static uint64_t hash_of(uint64_t number)
{
	return id_mix(number + 1) | 1;
}

/* Of the hashes [0, count), in a table with holes. */
static void make_set(size_t count, size_t max_bits, struct bytes *ret)
{
	uint64_t *table = calloc(2 * count, sizeof(*table));
	size_t length;

	assert_non_null(table);
	for (size_t i = 0; i < count; i++)
		table[2 * i + i % 2] = hash_of(i);
	assert_int_equal(ribbon_put(table, 2 * count, count, max_bits, 6, ret, &length), 0);
	assert_int_equal(length, ret->length);
	free(table);
}

static void sets_have_their_own(void **state)
{
	(void)state;
	for (size_t count = 1; count < 20000; count += 1 + count / 3) {
		struct bytes bytes = {0};
		struct slice set;
		size_t others = 0;

		make_set(count, SIZE_MAX, &bytes);
		set = slice_of(bytes.data, bytes.length);
		assert_in_range(bytes.length, 40, count * 7 / 8 + 60);
		for (size_t i = 0; i < count; i++) {
			uint64_t hashes[2] = {hash_of(i), hash_of(count - 1 - i)};

			assert_true(ribbon_may_have(set, hashes, 2));
		}
		for (size_t i = 0; i < 4000; i++) {
			uint64_t hashes[2] = {hash_of(0), hash_of(100000 + i)};

			others += ribbon_may_have(set, hashes, 2);
		}
		assert_in_range(others, 20, 160);
		bytes_done(&bytes);
	}
}

/* Fewer columns let more pass; without room for one there is no set. */
static void as_large_as_allowed(void **state)
{
	(void)state;
	for (size_t bits = 0; bits < 5000; bits += 250) {
		struct bytes bytes = {0};

		make_set(500, bits, &bytes);
		assert_in_range(bytes.length * 8, bytes.length > 0 ? 500 : 0, bits + 16);
		if (bytes.length == 0)
			assert_true(bits < 600);
		for (size_t i = 0; bytes.length > 0 && i < 500; i++) {
			uint64_t hash = hash_of(i);

			assert_true(ribbon_may_have(slice_of(bytes.data, bytes.length), &hash, 1));
		}
		bytes_done(&bytes);
	}
}

static void any_bytes_are_read(void **state)
{
	(void)state;
	srand(2);
	for (int i = 0; i < 20000; i++) {
		size_t length = (size_t)rand() % 60;
		uint8_t *bytes = malloc(length + 1);
		uint64_t hash = random_number(64), numbers[NUMBERS];
		struct cursor in;

		for (size_t k = 0; k < length; k++)
			bytes[k] = (uint8_t)rand();
		/* Nothing behind them is touched. */
		bytes = realloc(bytes, length > 0 ? length : 1);
		(void)ribbon_may_have(slice_of(bytes, length), &hash, 1);
		in = cursor_of(bytes, length);
		column_take(&in, numbers, 1 + (size_t)rand() % NUMBERS);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_come_back),
		cmocka_unit_test(sets_have_their_own),
		cmocka_unit_test(as_large_as_allowed),
		cmocka_unit_test(any_bytes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
