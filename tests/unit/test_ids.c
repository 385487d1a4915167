/*
 * Texts of ids both ways, mixing both ways, and needles.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cursor.h"
#include "ids.h"
#include "support/random_batch.h"

static struct trace_id trace_of(const char *text)
{
	struct trace_id id;

	assert_int_equal(trace_id_parse(text, strlen(text), &id), 0);
	return id;
}

static uint64_t span_of(const char *text)
{
	uint64_t id;

	assert_int_equal(span_id_parse(text, strlen(text), &id), 0);
	return id;
}

static void test_mix(void **state)
{
	struct random random = {random_seed()};

	(void)state;
	assert_int_equal(id_mix(0), 0);
	/* SplitMix64's first output from state 0. */
	assert_true(id_mix(UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(0xe220a8397b1dcdaf));
	for (int i = 0; i < 10000; i++) {
		uint64_t x = random_next(&random) >> random_below(&random, 64);

		assert_true(id_unmix(id_mix(x)) == x);
		assert_true(id_mix(id_unmix(x)) == x);
	}
}

static void test_span_texts(void **state)
{
	struct random random = {random_seed()};
	char text[ID_UUID_LENGTH + 1] = "";
	char hex[ID_SPAN_HEX_LENGTH + 1] = "";

	(void)state;
	span_id_format(span_of("00f067aa0ba902b7"), text);
	assert_string_equal(text, "00f067aa-0ba9-802b-8007-000000000000");
	for (int i = 0; i < 10000; i++) {
		uint64_t id = random_next(&random);
		uint8_t wire[8];
		char plain[17];

		span_id_format(id, text);
		assert_true(span_of(text) == id);
		assert_int_equal(text[14], '8');
		assert_int_equal(text[19], '8');
		span_id_format_hex(id, hex);
		assert_true(span_of(hex) == id);
		/* The hex is the wire's bytes in their order. */
		le64_write(wire, id);
		hex_format(wire, 8, plain);
		assert_memory_equal(plain, hex, 16);
	}
}

static void test_trace_texts(void **state)
{
	struct trace_id id = trace_of("4BF92F35-77b3-4da6-a3ce-929d0e0e4736");
	char text[ID_UUID_LENGTH + 1] = "";
	char hex[ID_TRACE_HEX_LENGTH + 1] = "";

	(void)state;
	trace_id_format(&id, text);
	assert_string_equal(text, "4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
	trace_id_format_hex(&id, hex);
	assert_string_equal(hex, "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_int_equal(id.bytes[0], 0x4b);
	assert_int_equal(id.bytes[15], 0x36);
	id = trace_of("4bf92f3577b34da6A3CE929D0E0E4736");
	trace_id_format_hex(&id, hex);
	assert_string_equal(hex, "4bf92f3577b34da6a3ce929d0e0e4736");
	assert_false(trace_id_is_zero(&id));
	id = trace_of("00000000-0000-0000-0000-000000000000");
	assert_true(trace_id_is_zero(&id));
}

static void test_bad_texts(void **state)
{
	static const char *const traces[] = {"", "4bf9", "4bf92f3577b34da6a3ce929d0e0e473",
		"4bf92f3577b34da6a3ce929d0e0e473g", "4bf92f35-77b3-4da6-a3ce-929d0e0e473",
		"4bf92f35+77b3-4da6-a3ce-929d0e0e4736", "4bf92f3-577b3-4da6-a3ce-929d0e0e4736",
		"4bf92f3577b34da6a3ce929d0e0e47360"};
	static const char *const spans[] = {"", "00f067aa0ba902b", "00f067aa0ba902bx",
		"00f067aa-0ba9-402b-8007-000000000000", "00f067aa-0ba9-802b-9007-000000000000",
		"00f067aa-0ba9-802b-8017-000000000000", "00f067aa-0ba9-802b-8007-000000000001"};
	struct trace_id trace;
	uint64_t span;

	(void)state;
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++)
		assert_int_equal(trace_id_parse(traces[i], strlen(traces[i]), &trace), -EINVAL);
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
		assert_int_equal(span_id_parse(spans[i], strlen(spans[i]), &span), -EINVAL);
}

static struct id_needle needle_of(const char *text)
{
	struct id_needle needle;

	assert_int_equal(id_needle_parse(text, strlen(text), &needle), 0);
	return needle;
}

static enum id_match match_trace(const char *text)
{
	struct trace_id id = trace_of("4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
	struct id_needle needle = needle_of(text);

	return id_needle_match_trace(&needle, &id);
}

static enum id_match match_span(const char *text)
{
	struct id_needle needle = needle_of(text);

	return id_needle_match_span(&needle, span_of("00f067aa0ba902b7"));
}

static void test_needles(void **state)
{
	struct id_needle needle;

	(void)state;
	assert_int_equal(match_trace("4bf9"), ID_MATCH_PART);
	assert_int_equal(match_trace("4BF92F35-77"), ID_MATCH_PART);
	assert_int_equal(match_trace("4736"), ID_MATCH_PART);
	assert_int_equal(match_trace("929d0e0e4736"), ID_MATCH_PART);
	assert_int_equal(match_trace("2f35"), ID_MATCH_NONE);
	assert_int_equal(match_trace("4bf92f3577b34da6a3ce929d0e0e4736"), ID_MATCH_WHOLE);
	assert_int_equal(match_trace("4bf92f35-77b3-4da6-a3ce-929d0e0e4736"), ID_MATCH_WHOLE);
	assert_int_equal(match_trace("4bf92f35-77b3-4da6-a3ce-929d0e0e4737"), ID_MATCH_NONE);
	assert_int_equal(match_span("00f067aa0ba902b7"), ID_MATCH_WHOLE);
	assert_int_equal(match_span("00f067aa-0ba9-802b-8007-000000000000"), ID_MATCH_WHOLE);
	assert_int_equal(match_span("00f0"), ID_MATCH_PART);
	assert_int_equal(match_span("02b7"), ID_MATCH_PART);
	assert_int_equal(match_span("00f067aa-0ba9-8"), ID_MATCH_PART);
	assert_int_equal(match_span("8007-000000000000"), ID_MATCH_PART);
	assert_int_equal(match_span("ffff"), ID_MATCH_NONE);
	assert_int_equal(id_needle_parse("4bf", 3, &needle), -EINVAL);
	assert_int_equal(id_needle_parse("4-b-f", 5, &needle), -EINVAL);
	assert_int_equal(id_needle_parse("4bf9 ", 5, &needle), -EINVAL);
	assert_int_equal(id_needle_parse("last", 4, &needle), -EINVAL);
	assert_int_equal(
		id_needle_parse("4bf92f3577b34da6a3ce929d0e0e47360", 33, &needle), -EINVAL);
}

static void test_needle_range(void **state)
{
	struct id_needle needle = needle_of("4bf92");
	struct trace_id low, high, id = trace_of("4bf92f3577b34da6a3ce929d0e0e4736");
	char text[33] = "";

	(void)state;
	id_needle_range(&needle, &low, &high);
	trace_id_format_hex(&low, text);
	assert_string_equal(text, "4bf92000000000000000000000000000");
	trace_id_format_hex(&high, text);
	assert_string_equal(text, "4bf92fffffffffffffffffffffffffff");
	assert_true(memcmp(&low, &id, 16) <= 0 && memcmp(&id, &high, 16) <= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mix),
		cmocka_unit_test(test_span_texts),
		cmocka_unit_test(test_trace_texts),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_needles),
		cmocka_unit_test(test_needle_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
