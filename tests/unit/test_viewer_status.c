/* Tests of store_status.c: the ledger of a store that no collector has open. */
#include "disk.h"
#include "log.h"

#include <waft/viewer.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A directory with nothing but a log in it. */
struct store {
	char path[64];
	char where[80];
	struct disk disk;
	int dir;
};

static void store_make(struct store *store)
{
	int waft;
	int top;

	*store = (struct store){.path = "/tmp/waft-test-XXXXXX"};
	assert_non_null(mkdtemp(store->path));
	(void)snprintf(store->where, sizeof store->where, "file:%s", store->path);
	disk_real(&store->disk);
	top = disk_open_root(&store->disk, store->path, false);
	assert_true(top >= 0);
	waft = disk_open_dir(&store->disk, top, ".waft", true);
	assert_true(waft >= 0);
	store->dir = disk_open_dir(&store->disk, waft, "log", true);
	assert_true(store->dir >= 0);
	disk_close(&store->disk, waft);
	disk_close(&store->disk, top);
}

static void store_remove(struct store *store)
{
	char path[128];

	disk_close(&store->disk, store->dir);
	(void)snprintf(path, sizeof path, "%s/.waft/log/0000000000000001.log", store->path);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof path, "%s/.waft/log", store->path);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof path, "%s/.waft", store->path);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(store->path), 0);
}

/* Drop records (docs/PROTOCOL.md, Drop) are what a killed daemon leaves in its log
 * before any manifest knows of them. */
static void log_drops(struct store *store)
{
	static const uint8_t full[] = "\x0a\x0b"
				      "buffer_full"
				      "\x10\x11";
	static const uint8_t large[] = "\x0a\x09"
				       "too_large"
				       "\x10\x02";
	struct log_config config = {.disk = &store->disk, .dir = store->dir, .next_segment = 1};
	struct log_record record = {.kind = LOG_DROP,
		.format = LOG_FORMAT_WAFT_V1,
		.client = {7},
		.receive_ns = 1767949632000000000};
	struct log_committed committed;
	uint64_t ticket;
	struct log *log;

	assert_int_equal(log_open(&config, &log), 0);
	record.sequence = 1;
	record.spans = 17;
	record.emitted = 17;
	record.payload = full;
	record.payload_length = sizeof full - 1;
	assert_int_equal(log_append(log, &record, &ticket), 0);
	record.sequence = 2;
	record.spans = 2;
	record.emitted = 19;
	record.payload = large;
	record.payload_length = sizeof large - 1;
	assert_int_equal(log_append(log, &record, &ticket), 0);
	assert_int_equal(log_commit(log, &committed), 0);
	assert_int_equal(committed.count, 2);
	log_close(log);
}

static void counts_what_only_the_log_knows(void **state)
{
	struct waft_viewer *viewer = waft_viewer_new();
	struct waft_status *status;
	struct store store;

	(void)state;
	store_make(&store);
	log_drops(&store);
	assert_int_equal(waft_viewer_open(viewer, store.where), 0);
	assert_int_equal(waft_viewer_status(viewer, &status), 0);
	assert_int_equal(status->health, WAFT_HEALTH_NO_COLLECTOR);
	assert_string_equal(status->store, store.path);
	assert_int_equal(status->total.emitted, 19);
	assert_int_equal(status->total.durable, 0);
	assert_int_equal(status->total.dropped_count, 2);
	assert_string_equal(status->total.dropped[0].name, "buffer_full");
	assert_int_equal(status->total.dropped[0].value, 17);
	assert_string_equal(status->total.dropped[1].name, "too_large");
	assert_int_equal(status->total.dropped[1].value, 2);
	assert_int_equal(status->client_count, 1);
	assert_string_equal(status->clients[0].client, "07000000000000000000000000000000");
	assert_int_equal(status->clients[0].emitted, 19);
	waft_status_free(status);
	waft_viewer_free(viewer);
	store_remove(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_only_the_log_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
