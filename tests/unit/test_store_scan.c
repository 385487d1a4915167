/* scan.c: lines of a file that is none of the collector's: of any length, or torn. */
#include "scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_disk.h"
#include "fuzz/refuse.h"

#define LINES_MAX 8
#define LONG_BYTES ((size_t)17 << 20) /* more than a line may have */

struct rig {
	struct fake_disk *fake;
	struct source *source;
	struct scan_buffer buffer;
	int dir;
};

struct seen {
	struct scan_line lines[LINES_MAX]; /* without their texts, but for lengths */
	size_t count;
	size_t stop_at; /* line that ends the scan; 0: none */
};

static int on_line(void *ctx, const struct scan_line *line)
{
	struct seen *seen = ctx;

	assert_true(seen->count < LINES_MAX);
	seen->lines[seen->count++] = *line;
	return seen->count == seen->stop_at ? 7 : 0;
}

static struct rig rig_of(const void *data, size_t length)
{
	struct rig rig = {.fake = fake_disk_new()};

	assert_non_null(rig.fake);
	rig.dir = disk_open_root(fake_disk_disk(rig.fake), "store", true);
	assert_true(rig.dir >= 0);
	fake_disk_put(rig.fake, "lines.jsonl", data, length);
	assert_int_equal(
		source_open(fake_disk_disk(rig.fake), rig.dir, "lines.jsonl", &rig.source), 0);
	return rig;
}

static void rig_done(struct rig *rig)
{
	source_close(rig->source);
	disk_close(fake_disk_disk(rig->fake), rig->dir);
	fake_disk_free(rig->fake);
	scan_buffer_done(&rig->buffer);
}

static void line_is(const struct seen *seen, size_t i, uint64_t offset, size_t length, bool whole)
{
	assert_true(i < seen->count);
	assert_int_equal(seen->lines[i].offset, offset);
	assert_int_equal(seen->lines[i].number, i + 1);
	assert_int_equal(seen->lines[i].text.length, length);
	assert_int_equal(seen->lines[i].whole, whole);
}

static void test_lines(void **state)
{
	static const char text[] = "one\n\nthree\nrest";
	struct rig rig = rig_of(text, sizeof(text) - 1);
	struct seen file = {0};
	struct seen memory = {0};
	struct seen part = {0};
	struct seen stopped = {.stop_at = 2};

	(void)state;
	/* An end beyond the file's is the file's. */
	assert_int_equal(scan_lines(rig.source, 0, 1000, &rig.buffer, on_line, &file), 0);
	assert_int_equal(scan_memory(slice_of(text, sizeof(text) - 1), 0, on_line, &memory), 0);
	assert_int_equal(file.count, 4);
	assert_int_equal(memory.count, 4);
	for (size_t i = 0; i < 4; i++) {
		static const size_t offsets[] = {0, 4, 5, 11};
		static const size_t lengths[] = {3, 0, 5, 4};

		line_is(&file, i, offsets[i], lengths[i], i < 3);
		line_is(&memory, i, offsets[i], lengths[i], i < 3);
	}
	assert_int_equal(scan_lines(rig.source, 5, 8, &rig.buffer, on_line, &part), 0);
	assert_int_equal(part.count, 1);
	line_is(&part, 0, 5, 3, false);
	assert_int_equal(scan_lines(rig.source, 0, 15, &rig.buffer, on_line, &stopped), 7);
	assert_int_equal(stopped.count, 2);
	stopped.count = 0;
	assert_int_equal(scan_memory(slice_of(text, sizeof(text) - 1), 0, on_line, &stopped), 7);
	assert_int_equal(scan_memory(slice_of(text, 0), 0, on_line, &stopped), 0);
	assert_int_equal(scan_lines(rig.source, 4, 4, &rig.buffer, on_line, &stopped), 0);
	assert_int_equal(stopped.count, 2);
	rig_done(&rig);
}

/* Lines that are too long are told, and passed over; the memory they took goes back. */
static void test_too_long(void **state)
{
	size_t length = LONG_BYTES + 5;
	char *text = malloc(length);
	struct rig rig;
	struct seen seen = {0};

	(void)state;
	assert_non_null(text);
	memset(text, 'x', length);
	memcpy(text, "one\n", 4);
	memcpy(text + LONG_BYTES, "\ntwo\n", 5);
	rig = rig_of(text, length);
	assert_int_equal(scan_lines(rig.source, 0, length, &rig.buffer, on_line, &seen), 0);
	assert_int_equal(seen.count, 3);
	line_is(&seen, 0, 0, 3, true);
	line_is(&seen, 1, 4, 0, true);
	assert_null(seen.lines[1].text.data);
	line_is(&seen, 2, LONG_BYTES + 1, 3, true);
	assert_int_equal(rig.buffer.capacity, 0);
	/* One without an end is given once. */
	seen.count = 0;
	assert_int_equal(scan_lines(rig.source, 0, LONG_BYTES - 1, &rig.buffer, on_line, &seen), 0);
	assert_int_equal(seen.count, 2);
	line_is(&seen, 1, 4, 0, true);
	rig_done(&rig);
	free(text);
}

static void test_failures(void **state)
{
	struct rig rig = rig_of("one\ntwo\n", 8);
	struct seen seen = {0};
	int file;

	(void)state;
	refuse_allocation(1);
	assert_int_equal(scan_lines(rig.source, 0, 8, &rig.buffer, on_line, &seen), -ENOMEM);
	refuse_allocation(0);
	assert_int_equal(seen.count, 0);
	assert_int_equal(scan_lines(rig.source, 0, 8, &rig.buffer, on_line, &seen), 0);
	assert_int_equal(seen.count, 2);
	/* Somebody has cut it since. */
	file = disk_open(fake_disk_disk(rig.fake), rig.dir, "lines.jsonl", DISK_WRITE);
	assert_true(file >= 0);
	assert_int_equal(disk_truncate(fake_disk_disk(rig.fake), file, 7), 0);
	disk_close(fake_disk_disk(rig.fake), file);
	assert_int_equal(scan_lines(rig.source, 0, 8, &rig.buffer, on_line, &seen), -EIO);
	assert_int_equal(seen.count, 2);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
