/*
 * A seal on a disk without room: for its file, for what its index puts aside, for the index. It
 * leaves nothing behind, and with room the part is sealed whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "crc32c.h"
#include "pack.h"
#include "seal.h"
#include "support/fake_disk.h"
#include "support/test_store.h"

enum { TRACES = 4500, LINE_BYTES = 640, STEP_BYTES = 40 << 10 };

static const uint8_t store_id[16] = {3, 1};

static struct fake_disk *fake;
static struct disk *disk;
static struct store_dirs dirs = {.log = -1, .quarantine = -1, .lock = -1};
static struct seal_job job;
static uint64_t bytes_before;

static int setup(void **state)
{
	struct bytes text = {0};
	char name[PART_NAME_BYTES];
	int file;

	(void)state;
	fake = fake_disk_new();
	disk = fake_disk_disk(fake);
	dirs.top = disk_open_root(disk, "store", true);
	dirs.waft = disk_open_dir(disk, dirs.top, ".waft", true);
	job = (struct seal_job){.disk = disk,
		.dirs = &dirs,
		.index_dir = disk_open_dir(disk, dirs.waft, "index", true),
		.level = 1,
		.memory_bytes = SEAL_MEMORY_MIN,
		.part = {.name = {.day = 20000, .number = 1},
			.verified = true,
			.state = PART_CLOSED}};
	memcpy(job.store_id, store_id, 16);
	for (uint32_t trace = 0; trace < TRACES; trace++) {
		char line[LINE_BYTES];
		const struct test_span span = {.trace = trace,
			.span = trace,
			.parent = UINT32_MAX,
			.start_us = trace,
			.operation = "op"};
		int length = test_store_line(&span, line, sizeof(line));

		assert_int_equal(bytes_put(&text, line, (size_t)length), 0);
	}
	assert_int_equal(part_name_format(&job.part.name, name), 0);
	file = disk_open(disk, dirs.top, name, DISK_WRITE | DISK_CREATE);
	assert_int_equal(disk_write(disk, file, text.data, text.length, 0), 0);
	disk_close(disk, file);
	job.part.length_bytes = bytes_before = text.length;
	job.part.crc = crc32c(0, text.data, text.length);
	bytes_done(&text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	disk_close(disk, job.index_dir);
	disk_close(disk, dirs.waft);
	disk_close(disk, dirs.top);
	fake_disk_free(fake);
	return 0;
}

static bool is_there(int dir, const char *name, const char *suffix)
{
	struct disk_stat stat;
	char path[PACK_NAME_BYTES + 8];
	int ret;

	strcpy(path, name);
	strcat(path, suffix);
	ret = disk_stat_name(disk, dir, path, &stat);
	assert_true(ret == 0 || ret == -ENOENT);
	return ret == 0;
}

static void all_or_nothing(void **state)
{
	struct part_name sealed = job.part.name;
	char pack[PACK_NAME_BYTES];
	struct seal_result result;
	unsigned int refused = 0;

	(void)state;
	sealed.sealed = true;
	assert_int_equal(pack_name(&sealed, pack), 0);
	for (uint64_t room = STEP_BYTES;; room += STEP_BYTES) {
		int ret;

		fake_disk_set_capacity(fake, bytes_before + room);
		ret = seal_part(&job, &result);
		if (ret == 0)
			break;
		assert_int_equal(ret, -ENOSPC);
		assert_false(is_there(dirs.waft, SEAL_NEW_NAME, ""));
		assert_false(is_there(job.index_dir, pack, ""));
		assert_false(is_there(job.index_dir, pack, ".new"));
		refused++;
	}
	assert_true(refused > 5);
	assert_int_equal(result.text_bytes, bytes_before);
	assert_true(is_there(dirs.waft, SEAL_NEW_NAME, ""));
	assert_true(is_there(job.index_dir, pack, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_or_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
