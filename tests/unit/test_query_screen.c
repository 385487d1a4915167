/*
 * Screens of frames: what several threads leave flagged is what a look at each run's bytes
 * leaves, for texts that are there, that stand with an escape, and that are nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bytes.h"
#include "screen.h"
#include "sealed.h"
#include "support/test_store.h"

enum { RUNS = 3000, RUN_BYTES_MAX = 700 };

static struct test_store store;
static struct bytes text;
static struct index_run runs[RUNS];

static int append(void *ctx, const void *data, size_t length)
{
	const int *file = ctx;

	return write(*file, data, length) == (ssize_t)length ? 0 : -EIO;
}

/* Runs of any bytes; some hold "needle", some a backslash. */
static void make_part(void)
{
	struct sealed_writer *writer;
	char path[128];
	uint64_t bytes;
	int file;

	snprintf(path, sizeof(path), "%s/1970-01-02.jsonl.zst", store.path);
	file = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(file >= 0);
	assert_int_equal(sealed_writer_new(1, append, &file, &writer), 0);
	for (size_t i = 0; i < RUNS; i++) {
		char run[RUN_BYTES_MAX];
		size_t length = 50 + (size_t)rand() % (RUN_BYTES_MAX - 50);

		memset(run, 'a' + rand() % 20, length);
		if (rand() % 40 == 0)
			memcpy(run + (size_t)rand() % (length - 6), "needle", 6);
		if (rand() % 70 == 0)
			run[(size_t)rand() % length] = '\\';
		runs[i] =
			(struct index_run){.offset = text.length, .length_bytes = (uint32_t)length};
		assert_int_equal(bytes_put(&text, run, length), 0);
		assert_int_equal(sealed_writer_add(writer, run, length), 0);
	}
	assert_int_equal(sealed_writer_finish(writer, &bytes), 0);
	sealed_writer_free(writer);
	close(file);
}

/* Every third run is not asked about. */
static size_t check(struct screen *screen, struct source *from, const struct filter *filter)
{
	static bool flags[RUNS];
	size_t left = 0;

	for (size_t i = 0; i < RUNS; i++)
		flags[i] = i % 3 != 1;
	screen_reset(screen);
	assert_int_equal(screen_add(screen, from, runs, RUNS / 2, flags), 0);
	assert_int_equal(
		screen_add(screen, from, runs + RUNS / 2, RUNS - RUNS / 2, flags + RUNS / 2), 0);
	screen_run(screen);
	for (size_t i = 0; i < RUNS; i++) {
		struct slice lines = slice_of(text.data + runs[i].offset, runs[i].length_bytes);
		bool wanted = memmem(lines.data, lines.length, filter->grep.data,
				      filter->grep.length) != NULL ||
			      memchr(lines.data, '\\', lines.length) != NULL;

		assert_int_equal(flags[i], i % 3 != 1 && wanted);
		left += flags[i];
	}
	return left;
}

static void as_each_run_says(void **state)
{
	struct disk disk;
	struct source *from;
	int dir;

	(void)state;
	srand(1);
	test_store_init(&store);
	make_part();
	disk_real(&disk);
	dir = disk_open_root(&disk, store.path, false);
	assert_true(dir >= 0);
	assert_int_equal(source_open(&disk, dir, "1970-01-02.jsonl.zst", &from), 0);
	for (int i = 0; i < 2; i++) {
		const struct filter filter = {.grep = slice_of_text(i == 0 ? "needle" : "nowhere")};
		struct screen *screen = screen_new(&filter);

		assert_non_null(screen);
		/* Threads wait between two sets. */
		for (int again = 0; again < 3; again++)
			assert_in_range(check(screen, from, &filter), 1, RUNS / 5);
		assert_true(screen_helps(screen));
		screen_free(screen);
	}
	source_close(from);
	disk_close(&disk, dir);
	bytes_done(&text);
	test_store_done(&store);
}

/* What the index answers needs no look at lines. */
static void nothing_to_screen(void **state)
{
	const struct filter by_index = {.service = slice_of_text("shop"), .errors = true};

	(void)state;
	assert_null(screen_new(&by_index));
	assert_false(screen_helps(NULL));
	screen_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_each_run_says),
		cmocka_unit_test(nothing_to_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
