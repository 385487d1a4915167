/*
 * Frames split at every byte, several in a row, and every kind of bad one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c.h"
#include "cursor.h"
#include "frame.h"

static size_t put_frame(uint8_t *at, enum frame_type type, uint32_t stream, const char *payload)
{
	size_t length = strlen(payload);

	frame_header_write(at, type, stream, payload, length);
	memcpy(at + WIRE_FRAME_HEADER_BYTES, payload, length);
	return WIRE_FRAME_HEADER_BYTES + length;
}

/* The header as docs/PROTOCOL.md has it, byte by byte. */
static void test_header(void **state)
{
	static const uint8_t expected[16] = {
		'W', 'A', 'F', 'T', 1, 2, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0};
	uint8_t bytes[64];
	uint8_t pieces[20];
	uint32_t crc;

	(void)state;
	assert_int_equal(put_frame(bytes, FRAME_MESSAGE, 5, "abc"), 23);
	assert_memory_equal(bytes, expected, 16);
	crc = crc32c(crc32c(0, expected, 16), "abc", 3);
	assert_int_equal(le32_read(bytes + 16), crc);
	crc = frame_header_begin(pieces, FRAME_MESSAGE, 5, 3);
	crc = crc32c(crc32c(crc, "a", 1), "bc", 2);
	frame_header_end(pieces, crc);
	assert_memory_equal(pieces, bytes, 20);
	assert_string_equal(frame_type_name(FRAME_CREDIT), "CREDIT");
	assert_string_equal(frame_type_name(77), "unknown");
}

static void expect_frame(const struct frame *frame, uint32_t stream, const char *payload)
{
	assert_int_equal(frame->stream, stream);
	assert_int_equal(frame->length, strlen(payload));
	assert_memory_equal(frame->payload, payload, frame->length);
}

/* Feeds exact copies, so that ASan sees what is kept too long. */
static void feed(struct frame_reader *reader, const uint8_t *bytes, size_t length,
	const char *const *payloads, uint32_t *seen)
{
	uint8_t *piece = malloc(length > 0 ? length : 1);
	const uint8_t *at = piece;
	struct frame frame;

	assert_non_null(piece);
	memcpy(piece, bytes, length);
	while (frame_reader_next(reader, &at, &length, &frame) > 0) {
		expect_frame(&frame, *seen + 1, payloads[*seen]);
		(*seen)++;
	}
	assert_int_equal(reader->error, 0);
	assert_int_equal(length, 0);
	free(piece);
}

static void test_split_everywhere(void **state)
{
	static const char *const payloads[] = {"first", "", "the third of them"};
	uint8_t bytes[256];
	size_t length = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		length += put_frame(bytes + length, FRAME_MESSAGE, i + 1, payloads[i]);
	for (size_t first = 0; first <= length; first++) {
		for (size_t second = first; second <= length; second++) {
			struct frame_reader reader;
			uint32_t seen = 0;

			frame_reader_init(&reader);
			feed(&reader, bytes, first, payloads, &seen);
			feed(&reader, bytes + first, second - first, payloads, &seen);
			feed(&reader, bytes + second, length - second, payloads, &seen);
			assert_int_equal(seen, 3);
			assert_int_equal(frame_reader_pending(&reader), 0);
			frame_reader_done(&reader);
		}
	}
}

static void test_byte_by_byte(void **state)
{
	static const char *const payloads[] = {"first", "second"};
	struct frame_reader reader = {0};
	uint8_t bytes[256];
	uint32_t seen = 0;
	size_t length = put_frame(bytes, FRAME_MESSAGE, 1, "first");

	(void)state;
	length += put_frame(bytes + length, FRAME_MESSAGE, 2, "second");
	for (size_t i = 0; i < length; i++)
		feed(&reader, bytes + i, 1, payloads, &seen);
	assert_int_equal(seen, 2);
	frame_reader_done(&reader);
}

/* A whole frame in the caller's bytes is not copied. */
static void test_no_copy(void **state)
{
	struct frame_reader reader = {0};
	struct frame frame;
	uint8_t bytes[64];
	size_t length = put_frame(bytes, FRAME_MESSAGE, 1, "payload");
	const uint8_t *at = bytes;

	(void)state;
	assert_int_equal(frame_reader_next(&reader, &at, &length, &frame), 1);
	assert_ptr_equal(frame.payload, bytes + WIRE_FRAME_HEADER_BYTES);
	assert_null(reader.buffer);
	frame_reader_done(&reader);
	frame_reader_done(NULL);
}

/* Memory follows what came, not what a header claims. */
static void test_memory(void **state)
{
	struct frame_reader reader = {0};
	struct frame frame;
	uint8_t *bytes = calloc(1, WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT);
	const uint8_t *at = bytes;
	size_t length = WIRE_FRAME_HEADER_BYTES;

	(void)state;
	assert_non_null(bytes);
	frame_header_write(
		bytes, FRAME_MESSAGE, 1, bytes + WIRE_FRAME_HEADER_BYTES, WIRE_PAYLOAD_LIMIT);
	assert_int_equal(frame_reader_next(&reader, &at, &length, &frame), 0);
	assert_true(reader.capacity <= 1024);
	assert_int_equal(frame_reader_pending(&reader), WIRE_FRAME_HEADER_BYTES);
	length = WIRE_PAYLOAD_LIMIT - 1;
	assert_int_equal(frame_reader_next(&reader, &at, &length, &frame), 0);
	length = 1;
	assert_int_equal(frame_reader_next(&reader, &at, &length, &frame), 1);
	assert_int_equal(frame.length, WIRE_PAYLOAD_LIMIT);
	assert_true(reader.capacity <= WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT);
	length = 0;
	assert_int_equal(frame_reader_next(&reader, &at, &length, &frame), 0);
	frame_reader_trim(&reader);
	assert_null(reader.buffer);
	frame_reader_done(&reader);
	free(bytes);
}

static int first_error(const uint8_t *bytes, size_t length)
{
	struct frame_reader whole = {0};
	struct frame_reader split = {0};
	const uint8_t *at = bytes;
	size_t left = length;
	struct frame frame = {0};
	int ret = frame_reader_next(&whole, &at, &left, &frame);
	int split_ret = 0;

	if (ret < 0)
		assert_int_equal(frame_reader_next(&whole, &at, &left, &frame), ret);
	for (size_t i = 0; i < length && split_ret == 0; i++) {
		at = bytes + i;
		left = 1;
		split_ret = frame_reader_next(&split, &at, &left, &frame);
	}
	assert_int_equal(split_ret, ret);
	frame_reader_done(&whole);
	frame_reader_done(&split);
	return ret;
}

static void test_bad(void **state)
{
	uint8_t good[64];
	uint8_t bytes[64];
	size_t length = put_frame(good, FRAME_MESSAGE, 1, "payload");
	struct frame frame;

	(void)state;
	assert_int_equal(first_error(good, length), 1);
	memcpy(bytes, good, length);
	bytes[0] = 'X';
	assert_int_equal(first_error(bytes, 1), ERR_MAGIC);
	memcpy(bytes, good, length);
	bytes[4] = 2;
	assert_int_equal(first_error(bytes, 5), ERR_VERSION);
	assert_int_equal(frame_parse(bytes, length, &frame), ERR_VERSION);
	assert_int_equal(frame.version, 2);
	memcpy(bytes, good, length);
	le32_write(bytes + 12, WIRE_PAYLOAD_LIMIT + 1);
	assert_int_equal(first_error(bytes, 16), ERR_LIMIT);
	le32_write(bytes + 12, UINT32_MAX);
	assert_int_equal(first_error(bytes, 16), ERR_LIMIT);
}

/* What follows a bad frame isn't looked at. */
static void test_error_stays(void **state)
{
	struct frame_reader reader = {0};
	struct frame frame;
	uint8_t bytes[64];
	size_t length = put_frame(bytes, FRAME_MESSAGE, 1, "payload");
	const uint8_t *at = (const uint8_t *)"GET / HTTP/1.1";
	size_t left = 14;

	(void)state;
	assert_int_equal(frame_reader_next(&reader, &at, &left, &frame), ERR_MAGIC);
	at = bytes;
	left = length;
	assert_int_equal(frame_reader_next(&reader, &at, &left, &frame), ERR_MAGIC);
	frame_reader_done(&reader);
}

/* Each flipped bit shows: as a bad frame, or as one that never ends. */
static void test_flipped_bits(void **state)
{
	uint8_t bytes[64];
	size_t length = put_frame(bytes, FRAME_MESSAGE, 1, "payload");

	(void)state;
	for (size_t bit = 0; bit < 8 * length; bit++) {
		int ret;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ret = first_error(bytes, length);
		assert_true(ret < 0 || (ret == 0 && bit / 8 >= 12 && bit / 8 < 16));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Unknown flags and types pass; whoever gets the frame decides. */
static void test_unknown_passes(void **state)
{
	uint8_t bytes[64];
	size_t length = put_frame(bytes, (enum frame_type)200, 9, "x");
	struct frame frame;

	(void)state;
	le16_write(bytes + 6, 0x8001);
	le32_write(bytes + 16, crc32c(crc32c(0, bytes, 16), bytes + 20, 1));
	assert_int_equal(frame_parse(bytes, length, &frame), (long)length);
	assert_int_equal(frame.type, 200);
	assert_int_equal(frame.flags, 0x8001);
	assert_int_equal(frame_parse(bytes, 0, &frame), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_split_everywhere),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_no_copy),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_error_stays),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_unknown_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
