/*
 * Error texts and their way to gRPC status codes and back; and the cursor, in
 * whose sticky error these codes come first.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cursor.h"
#include "errors.h"

static void test_texts(void **state)
{
	(void)state;
	for (int error = ERR_FIRST + 1; error < ERR_LAST; error++) {
		assert_string_not_equal(error_text(error), "unknown error");
		assert_int_not_equal(error_to_grpc(error), GRPC_OK);
		assert_int_not_equal(error_to_grpc(error), GRPC_INTERNAL);
	}
	assert_string_equal(error_text(0), "success");
	assert_string_equal(error_text(-ENOENT), "No such file or directory");
	assert_string_equal(error_text(-3999), "unknown error");
	assert_string_equal(error_text(1), "unknown error");
	assert_string_equal(error_text(INT32_MIN), "unknown error");
	assert_string_equal(error_text(error_from_grpc(GRPC_UNAVAILABLE)), "peer: unavailable");
}

static void test_status(void **state)
{
	(void)state;
	for (unsigned int status = 0; status < GRPC_STATUSES; status++)
		assert_int_equal(error_to_grpc(error_from_grpc(status)), status);
	assert_int_equal(error_to_grpc(error_from_grpc(99)), GRPC_UNKNOWN);
	assert_string_equal(grpc_status_name(3), "INVALID_ARGUMENT");
	assert_string_equal(grpc_status_name(16), "UNAUTHENTICATED");
	assert_string_equal(grpc_status_name(17), "UNKNOWN");
	assert_int_equal(error_to_grpc(ERR_TRUNCATED), GRPC_INVALID_ARGUMENT);
	assert_int_equal(error_to_grpc(-ENOSPC), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(error_to_grpc(-EIO), GRPC_INTERNAL);
}

static void test_varints(void **state)
{
	uint64_t value = 1;

	(void)state;
	for (int bits = 0; bits <= 64; bits++, value = value << 1 | 1) {
		uint8_t bytes[16];
		struct writer writer = writer_of(bytes, sizeof(bytes));
		struct cursor cursor;
		size_t length;

		writer_varint(&writer, value);
		length = writer_length(&writer);
		assert_int_equal(length, varint_length(value));
		cursor = cursor_of(bytes, length);
		assert_true(cursor_varint(&cursor) == value);
		assert_int_equal(cursor.error, 0);
		assert_false(cursor_more(&cursor));
		cursor = cursor_of(bytes, length - 1);
		assert_int_equal(cursor_varint(&cursor), 0);
		assert_int_equal(cursor.error, ERR_TRUNCATED);
		assert_true(zigzag_decode(zigzag_encode((int64_t)value)) == (int64_t)value);
	}
}

static void test_padded(void **state)
{
	uint8_t bytes[8];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct cursor cursor;

	(void)state;
	writer_varint_padded(&writer, 5, 3);
	assert_memory_equal(bytes, "\x85\x80\x00", 3);
	cursor = cursor_of(bytes, 3);
	assert_int_equal(cursor_varint(&cursor), 5);
	assert_false(cursor_more(&cursor));
	cursor = cursor_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11);
	assert_int_equal(cursor_varint(&cursor), 0);
	assert_int_equal(cursor.error, ERR_MALFORMED);
	/* Tags and lengths: at most 5 bytes. */
	cursor = cursor_of("\x88\x80\x80\x80\x00", 5);
	assert_int_equal(cursor_tag(&cursor), 8);
	cursor = cursor_of("\x88\x80\x80\x80\x80\x00", 6);
	assert_int_equal(cursor_tag(&cursor), 0);
	assert_int_equal(cursor.error, ERR_MALFORMED);
	cursor = cursor_of("\x81\x80\x80\x80\x80\x00z", 7);
	assert_null(cursor_bytes(&cursor).data);
	assert_int_equal(cursor.error, ERR_MALFORMED);
	cursor = cursor_of("\x80\x80\x80\x80\x10", 5);
	assert_int_equal(cursor_varint32(&cursor), 0);
	assert_int_equal(cursor.error, ERR_LIMIT);
}

/* After the first error nothing moves and nothing is read. */
static void test_sticky(void **state)
{
	struct cursor cursor = cursor_of("\x05zz\x01\x02", 5);
	uint8_t buffer[4];
	struct writer writer = writer_of(buffer, sizeof(buffer));

	(void)state;
	assert_null(cursor_bytes(&cursor).data);
	assert_int_equal(cursor.error, ERR_TRUNCATED);
	cursor_fail(&cursor, ERR_LIMIT);
	assert_int_equal(cursor.error, ERR_TRUNCATED);
	assert_int_equal(cursor_fixed32(&cursor), 0);
	assert_int_equal(cursor_fixed64(&cursor), 0);
	assert_int_equal(cursor_tag(&cursor), 0);
	assert_false(cursor_more(&cursor));
	cursor = cursor_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z", 11);
	assert_null(cursor_bytes(&cursor).data);
	assert_int_equal(cursor.error, ERR_MALFORMED);
	writer_fixed64(&writer, 1);
	writer_byte(&writer, 1);
	assert_int_equal(writer.error, ERR_NO_ROOM);
	assert_int_equal(writer_length(&writer), 0);
}

static void test_skip(void **state)
{
	static const struct {
		uint32_t tag;
		size_t bytes;
	} cases[] = {{WIRE_TAG(9, WIRE_VARINT), 1}, {WIRE_TAG(9, WIRE_FIXED64), 8},
		{WIRE_TAG(9, WIRE_BYTES), 3}, {WIRE_TAG(9, WIRE_FIXED32), 4}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cursor cursor = cursor_of("\x02zzzzzzz", 8);

		cursor_skip(&cursor, cases[i].tag);
		assert_int_equal(cursor.error, 0);
		assert_int_equal(cursor_left(&cursor), 8 - cases[i].bytes);
		cursor = cursor_of("\x02zzzzzzz", cases[i].bytes - 1);
		cursor_skip(&cursor, cases[i].tag);
		assert_int_equal(cursor.error, ERR_TRUNCATED);
	}
}

static void test_nested(void **state)
{
	static uint8_t big[3 << 20];
	struct writer writer = writer_of(big, sizeof(big));
	size_t nested = writer_nested_begin(&writer, TAG_BATCH_SECTIONS);

	(void)state;
	writer_bytes(&writer, "abc", 3);
	writer_nested_end(&writer, nested);
	assert_memory_equal(big,
		"\x22\x83\x80\x00"
		"abc",
		7);
	writer = writer_of(big, sizeof(big));
	nested = writer_nested_begin(&writer, TAG_BATCH_SECTIONS);
	writer.at += (1 << 21) - 1;
	writer_nested_end(&writer, nested);
	assert_int_equal(writer.error, 0);
	writer.at++;
	writer_nested_end(&writer, nested);
	assert_int_equal(writer.error, ERR_NO_ROOM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_padded),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_nested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
