/* Sealed parts: what went in comes out at any place, zstd alone reads them, and no
 * damage goes unnoticed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "sealed.h"

struct file {
	uint8_t *data;
	size_t length;
	size_t appends_left; /* then -ENOSPC */
};

static int file_append(void *ctx, const void *data, size_t length)
{
	struct file *file = ctx;
	if (file->appends_left-- == 0)
		return -ENOSPC;
	file->data = realloc(file->data, file->length + length);
	assert_non_null(file->data);
	memcpy(file->data + file->length, data, length);
	file->length += length;
	return 0;
}

static int file_read(void *ctx, void *data, size_t length, uint64_t offset)
{
	struct file *file = ctx;
	if (offset > file->length || length > file->length - offset)
		return -EIO;
	memcpy(data, file->data + offset, length);
	return 0;
}

/* Runs of lines, of sizes from one line to more than two frames. */
static char *make_text(size_t runs, size_t *lengths, size_t *ret_length)
{
	size_t capacity = 0, length = 0, line = 0;
	char *text = NULL;
	for (size_t run = 0; run < runs; run++) {
		size_t lines = run == 3 ? 9000 : 1 + run * 37 % 900, before = length;
		for (size_t i = 0; i < lines; i++, line++) {
			if (capacity - length < 128) {
				capacity = capacity * 2 + 4096;
				text = realloc(text, capacity);
				assert_non_null(text);
			}
			length += (size_t)sprintf(text + length,
				"{\"run\":%zu,\"line\":%zu,\"noise\":\"%zx\"}\n", run, line,
				line * 2654435761u % 1000000007u);
		}
		lengths[run] = length - before;
	}
	*ret_length = length;
	return text;
}

enum { RUNS = 40 };

static bool with_sequences;

static int use_sequences(void **state)
{
	(void)state;
	with_sequences = true;
	return 0;
}

static int seal(const char *text, const size_t *lengths, size_t runs, struct file *file)
{
	struct sealed_writer *writer;
	uint64_t bytes = 0;
	assert_int_equal(sealed_writer_new(with_sequences ? 9 : 3, file_append, file, &writer), 0);
	int error = with_sequences ? sealed_writer_use_sequences(writer) : 0;
	for (size_t run = 0; !error && run < runs; run++) {
		error = sealed_writer_add(writer, text, lengths[run]);
		text += lengths[run];
	}
	if (!error)
		error = sealed_writer_finish(writer, &bytes);
	if (!error)
		assert_int_equal(bytes, file->length);
	sealed_writer_free(writer);
	return error;
}

static void test_round_trip(void **state)
{
	(void)state;
	size_t lengths[RUNS], length;
	char *text = make_text(RUNS, lengths, &length), *out = malloc(length);
	struct file file = {.appends_left = SIZE_MAX};
	struct sealed_reader *reader;
	assert_int_equal(seal(text, lengths, RUNS, &file), 0);
	assert_true(file.length < length / 3);
	assert_int_equal(sealed_reader_open(file_read, &file, file.length, &reader), 0);
	assert_int_equal(sealed_reader_size(reader), length);
	size_t offset = length;
	for (size_t run = RUNS; run-- > 0;) { /* backwards: each a seek */
		offset -= lengths[run];
		assert_int_equal(sealed_reader_read(reader, offset, out, lengths[run]), 0);
		assert_memory_equal(out, text + offset, lengths[run]);
	}
	assert_int_equal(sealed_reader_read(reader, 0, out, length), 0);
	assert_memory_equal(out, text, length);
	assert_int_equal(sealed_reader_read(reader, length, out, 0), 0);
	assert_int_equal(sealed_reader_read(reader, length, out, 1), -EINVAL);
	assert_int_equal(sealed_reader_read(reader, UINT64_MAX, out, 1), -EINVAL);
	assert_true(sealed_reader_memory(reader) < 4 << 20);
	sealed_reader_close(reader);
	free(text);
	free(out);
	free(file.data);
}

/* More frames than the reader has marks for: each is found, by all that ask for one. */
static void test_many_frames(void **state)
{
	(void)state;
	enum { FRAMES = 97, BYTES = SEALED_FRAME_BYTES / 2 + 1 };
	struct file file = {.appends_left = SIZE_MAX};
	struct sealed_reader *reader;
	struct sealed_writer *writer;
	uint64_t bytes, end_before = 0;
	char *run = malloc(BYTES), byte;
	assert_non_null(run);
	assert_int_equal(sealed_writer_new(1, file_append, &file, &writer), 0);
	for (int frame = 0; frame < FRAMES; frame++) {
		memset(run, frame, BYTES);
		assert_int_equal(sealed_writer_add(writer, run, BYTES), 0);
	}
	assert_int_equal(sealed_writer_finish(writer, &bytes), 0);
	sealed_writer_free(writer);
	assert_int_equal(sealed_reader_open(file_read, &file, bytes, &reader), 0);
	assert_int_equal(sealed_reader_size(reader), FRAMES * (uint64_t)BYTES);
	for (size_t frame = 0; frame < FRAMES; frame++) {
		uint64_t first = frame * (uint64_t)BYTES, last = first + BYTES - 1, offset, length;
		assert_int_equal(sealed_reader_frame(reader, first), frame);
		assert_int_equal(sealed_reader_frame(reader, last), frame);
		assert_int_equal(sealed_reader_frame_offset(reader, frame), first);
		assert_int_equal(sealed_reader_frame_end(reader, first), last + 1);
		for (uint64_t at = first; at <= last; at += BYTES - 1) {
			assert_int_equal(sealed_reader_read(reader, at, &byte, 1), 0);
			assert_int_equal((uint8_t)byte, frame);
		}
		sealed_reader_place(reader, first, last, &offset, &length);
		assert_int_equal(offset, end_before);
		assert_true(length > 0);
		end_before = offset + length;
	}
	assert_int_equal(sealed_reader_frame_offset(reader, FRAMES), FRAMES * (uint64_t)BYTES);
	sealed_reader_close(reader);
	free(run);
	free(file.data);
}

/* Any zstd reads the file, seek table and all. */
static void test_plain_zstd_reads_it(void **state)
{
	(void)state;
	size_t lengths[RUNS], length;
	char *text = make_text(RUNS, lengths, &length), *out = malloc(length);
	struct file file = {.appends_left = SIZE_MAX};
	assert_int_equal(seal(text, lengths, RUNS, &file), 0);
	assert_int_equal(ZSTD_decompress(out, length, file.data, file.length), length);
	assert_memory_equal(out, text, length);
	free(text);
	free(out);
	free(file.data);
}

static void test_empty(void **state)
{
	(void)state;
	struct file file = {.appends_left = SIZE_MAX};
	struct sealed_reader *reader;
	assert_int_equal(seal("", NULL, 0, &file), 0);
	assert_int_equal(sealed_reader_open(file_read, &file, file.length, &reader), 0);
	assert_int_equal(sealed_reader_size(reader), 0);
	sealed_reader_close(reader);
	free(file.data);
}

/* The whole text of a file, 0 and *out filled, or the error. */
static int read_all(struct file *file, size_t length, char *out)
{
	struct sealed_reader *reader;
	int error = sealed_reader_open(file_read, file, file->length, &reader);
	if (error)
		return error;
	error = sealed_reader_size(reader) == length ? sealed_reader_read(reader, 0, out, length)
						     : ERR_MALFORMED;
	sealed_reader_close(reader);
	return error;
}

static void test_damage_is_detected(void **state)
{
	(void)state;
	size_t lengths[3], length;
	char *text = make_text(3, lengths, &length), *out = malloc(length);
	struct file file = {.appends_left = SIZE_MAX};
	assert_int_equal(seal(text, lengths, 3, &file), 0);
	assert_int_equal(read_all(&file, length, out), 0);
	size_t whole = file.length;
	for (file.length = 0; file.length < whole; file.length++)
		assert_int_not_equal(read_all(&file, length, out), 0);
	for (size_t bit = 0; bit < 8 * whole; bit++) {
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (read_all(&file, length, out) == 0) /* a bit that means nothing to zstd */
			assert_memory_equal(out, text, length);
		file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(text);
	free(out);
	free(file.data);
}

static void test_full_disk(void **state)
{
	(void)state;
	size_t lengths[RUNS], length;
	char *text = make_text(RUNS, lengths, &length);
	for (size_t appends = 0;; appends++) {
		struct file file = {.appends_left = appends};
		int error = seal(text, lengths, RUNS, &file);
		free(file.data);
		if (error == 0)
			break;
		assert_int_equal(error, -ENOSPC);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_many_frames),
		cmocka_unit_test(test_plain_zstd_reads_it),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_damage_is_detected),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test_setup(test_round_trip, use_sequences),
		cmocka_unit_test_setup(test_plain_zstd_reads_it, use_sequences),
		cmocka_unit_test_setup(test_empty, use_sequences),
		cmocka_unit_test_setup(test_damage_is_detected, use_sequences),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
