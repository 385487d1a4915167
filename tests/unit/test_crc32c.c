/*
 * CRC-32C against the values of RFC 3720 B.4, a bitwise version, and itself in
 * pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c.h"
#include "support/random_batch.h"

static uint8_t data[70000];

static uint32_t bitwise(uint32_t crc, const uint8_t *p, size_t length)
{
	crc = ~crc;
	for (; length > 0; length--, p++) {
		crc ^= *p;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static int setup(void **state)
{
	struct random random = {random_seed()};

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random_next(&random);
	return 0;
}

static void test_rfc(void **state)
{
	uint8_t bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_lengths(void **state)
{
	(void)state;
	for (size_t length = 0; length < 10000; length += length < 100 ? 1 : 97) {
		const uint8_t *at = data + length % 9;
		uint32_t expected = bitwise(0, at, length);

		assert_int_equal(crc32c(0, at, length), expected);
		for (int way = 0; way < CRC32C_WAYS; way++)
			if (crc32c_has((enum crc32c_way)way))
				assert_int_equal(
					crc32c_by((enum crc32c_way)way, 0, at, length), expected);
	}
}

static void test_pieces(void **state)
{
	uint32_t whole = crc32c(0, data, sizeof(data));

	(void)state;
	for (size_t cut = 0; cut <= sizeof(data); cut += 3331) {
		uint32_t first = crc32c(0, data, cut);
		uint32_t second = crc32c(0, data + cut, sizeof(data) - cut);

		assert_int_equal(crc32c(first, data + cut, sizeof(data) - cut), whole);
		for (int way = 0; way < CRC32C_WAYS; way++)
			if (crc32c_has((enum crc32c_way)way))
				assert_int_equal(crc32c_by((enum crc32c_way)way, first, data + cut,
							 sizeof(data) - cut),
					whole);
		assert_int_equal(crc32c_combine(first, second, sizeof(data) - cut), whole);
	}
}

/* As if 5 GiB of zeroes followed: lengths beyond 32 bits. */
static void test_combine_long(void **state)
{
	uint64_t length = UINT64_C(5) << 30;
	uint32_t zeroes = crc32c(0, "\0", 1);
	uint32_t crc;

	(void)state;
	/* By doubling: n zeroes and n zeroes are 2n. */
	for (uint64_t n = 1; n < UINT64_C(1) << 30; n *= 2)
		zeroes = crc32c_combine(zeroes, zeroes, n);
	crc = zeroes;
	for (int i = 1; i < 5; i++)
		crc = crc32c_combine(crc, zeroes, UINT64_C(1) << 30);
	assert_int_equal(crc32c_combine(0x12345678, crc, length),
		crc32c_combine(crc32c_combine(0x12345678, zeroes, UINT64_C(1) << 30),
			crc32c_combine(crc32c_combine(zeroes, zeroes, UINT64_C(1) << 30),
				crc32c_combine(zeroes, zeroes, UINT64_C(1) << 30),
				UINT64_C(2) << 30),
			UINT64_C(4) << 30));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_combine_long),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
