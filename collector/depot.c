/* Opens and closes the store's objects. See depot.h for threads. */
#include "depot.h"

#include "consumed.h"
#include "intake.h"
#include "log_line.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TRACE_SPANS_DEFAULT 65536u
/* Of the writers, all shards together: records of the log, and lines before their commit. */
#define CACHE_BYTES ((size_t)8 << 20)
#define BUFFER_BYTES ((size_t)16 << 20)
#define SHARE_BYTES_MIN ((size_t)1 << 20)

/* Runs by which what the index looks at is fetched before. */
enum { EXPECT_AHEAD = 4 };

static int fail(struct depot_error *error, int status, const char *what, const char *path)
{
	snprintf(error->text, sizeof(error->text), "%s %s: %s", what, path, error_text(status));
	return status;
}

/* ---- Hooks of the writers: the stores' threads ------------------------------- */

static int day_of_trace(void *context, const struct trace_id *trace_id, int32_t *ret_day)
{
	struct depot *depot = context;
	int found;

	if (depot->index == NULL)
		return 0;
	pthread_mutex_lock(&depot->index_lock);
	found = index_day_of_trace(depot->index, trace_id->bytes, ret_day);
	pthread_mutex_unlock(&depot->index_lock);
	return found;
}

static void expect_trace(void *context, const struct trace_id *trace_id)
{
	struct depot *depot = context;

	if (depot->index == NULL)
		return;
	pthread_mutex_lock(&depot->index_lock);
	index_expect(depot->index, trace_id->bytes);
	pthread_mutex_unlock(&depot->index_lock);
}

static void on_commit(void *context, const struct written_run *runs, size_t count)
{
	struct depot *depot = context;
	const struct written_run *last = &runs[count - 1];

	pthread_mutex_lock(&depot->index_lock);
	live_on_commit(depot->live, &last->part, last->offset + last->length_bytes);
	for (size_t i = 0; depot->index != NULL && i < count; i++) {
		const struct written_run *run = &runs[i];

		if (i + EXPECT_AHEAD < count)
			index_expect_run(depot->index, &run[EXPECT_AHEAD].part,
				run[EXPECT_AHEAD].trace_id.bytes);
		/* What the index can't take in is found by a scan, and at the next start
		 * the part is indexed anew. */
		if (run->index == NULL ||
			index_add_told(depot->index, &run->part, run->index, run->continues) < 0)
			log_warning("can't index a run; queries will read its file instead");
	}
	if (depot->index != NULL)
		index_flush(depot->index);
	pthread_mutex_unlock(&depot->index_lock);
}

static void seal_index(struct depot *depot, const struct manifest_part *part)
{
	const struct index_part sealed = index_part_of(part);

	if (index_seal_part(depot->index, &sealed) < 0)
		log_warning("can't index a sealed file; queries will read all of it instead");
}

static void on_part(void *context, const struct manifest_part *part)
{
	struct depot *depot = context;

	live_on_part(depot->live, part);
	if (depot->index == NULL)
		return;
	pthread_mutex_lock(&depot->index_lock);
	if (part->state == PART_CLOSED && index_close_part(depot->index, &part->name) < 0)
		log_warning("can't sort the index of a part; queries will be slower");
	if (part->state == PART_REMOVED)
		index_remove_part(depot->index, &part->name);
	if (part->state == PART_SEALED)
		seal_index(depot, part);
	pthread_mutex_unlock(&depot->index_lock);
}

/* ---- Opening ---------------------------------------------------------------- */

static int open_dirs(
	const struct depot_config *config, struct depot *depot, struct depot_error *ret_error)
{
	int status = store_dirs_open(config->disk, config->path, true, &depot->dirs);

	if (status < 0)
		return fail(ret_error, status, "can't open the store", config->path);
	if (realpath(config->path, depot->path) == NULL)
		snprintf(depot->path, sizeof(depot->path), "%s", config->path);
	status = store_lock(config->disk, &depot->dirs);
	if (status == -EWOULDBLOCK) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"another waft-collectord writes to the store %s: stop it, or give another "
			"--store",
			depot->path);
		return status;
	}
	if (status < 0)
		return fail(ret_error, status, "can't lock the store", depot->path);
	depot->inbox_dir = disk_open_dir(config->disk, depot->dirs.waft, "inbox", true);
	if (depot->inbox_dir < 0)
		return fail(ret_error, depot->inbox_dir, "can't open the inbox of", depot->path);
	depot->index_dir = disk_open_dir(config->disk, depot->dirs.waft, "index", true);
	return 0;
}

static int new_tables(const struct depot_config *config, struct depot *depot)
{
	struct assembler_config assembler = {
		.quiet_ms = config->quiet_ms,
		.hold_ms = config->hold_ms,
		.trace_spans_max = config->trace_spans != 0 ? (uint32_t)config->trace_spans
							    : TRACE_SPANS_DEFAULT,
		.spare_bytes = config->spare_bytes,
	};
	int status = clients_new(config->max_clients, &depot->clients);

	if (status < 0)
		return status;
	if (getrandom(assembler.hash_key, sizeof(assembler.hash_key), 0) !=
		sizeof(assembler.hash_key))
		return -EIO;
	return assembly_new(&assembler, config->shards != 0 ? config->shards : 1, &depot->assembly);
}

struct recovering {
	struct depot *depot;
	uint64_t now_ms;
	uint64_t unreadable; /* batches that the log has and that don't decode */
};

static int on_batch(void *context, struct log_place place, const struct log_record *record,
	const struct consumed *consumed)
{
	struct recovering *recovering = context;
	long spans = intake_recover(
		recovering->depot->assembly, place, record, consumed, recovering->now_ms);

	if (spans == -ENOMEM)
		return -ENOMEM;
	/* It decoded when it was logged, or it would be a refusal. */
	recovering->unreadable += spans < 0;
	return spans < 0 ? ERR_MALFORMED : 0;
}

static int recover_store(
	const struct depot_config *config, struct depot *depot, struct depot_error *ret_error)
{
	struct recovering recovering = {
		.depot = depot, .now_ms = clock_monotonic_ms(config->clock)};
	struct recovery_config recovery = {
		.disk = config->disk,
		.dirs = &depot->dirs,
		.now_ns = clock_realtime_ns(config->clock),
		.segment_bytes = (uint32_t)config->segment_bytes,
		.pending_limit = config->pending_bytes,
		.reserve_bytes = config->reserve_bytes,
		.forward = config->forward,
	};
	const struct recovery_ops ops = {.on_batch = on_batch, .ctx = &recovering};
	int status = new_tables(config, depot);

	if (status < 0)
		return fail(ret_error, status, "can't open the store", depot->path);
	if (getrandom(recovery.new_store_id, sizeof(recovery.new_store_id), 0) !=
		sizeof(recovery.new_store_id))
		return fail(ret_error, -EIO, "can't make an id for the store", depot->path);
	recovery.clients = depot->clients;
	status = recover(&recovery, &ops, &depot->recovery);
	if (status < 0)
		return fail(ret_error, status, "can't recover the store", depot->path);
	memcpy(depot->store_id, manifest_state(depot->recovery.manifest)->store_id,
		sizeof(depot->store_id));
	if (recovering.unreadable > 0)
		log_error("%llu batches of the log can't be read by this version: they are in "
			  ".waft/quarantine",
			(unsigned long long)recovering.unreadable);
	return 0;
}

/* Without an index queries are slower and a late run may stand in a file of
 * another day than its trace's first: both is said, neither stops the daemon. */
static void open_index(struct depot *depot)
{
	const struct manifest_state *state = manifest_state(depot->recovery.manifest);
	struct index_part *parts = NULL;
	size_t count = 0;
	int status = depot->index_dir;

	if (status >= 0) {
		parts = calloc(state->part_count + 1, sizeof(*parts));
		status = parts == NULL ? -ENOMEM : 0;
	}
	for (size_t i = 0; status == 0 && i < state->part_count; i++) {
		if (state->parts[i].state == PART_REMOVED)
			continue;
		parts[count++] = index_part_of(&state->parts[i]);
	}
	if (status == 0)
		status = index_open(depot->disk, depot->dirs.top, depot->index_dir, depot->store_id,
			parts, count, &depot->index, &depot->index_report);
	free(parts);
	if (status < 0)
		log_warning("can't open the index of %s: %s; queries will read whole files",
			depot->path, error_text(status));
}

/* Of memory that the shards have together. */
static size_t share_of(size_t bytes, uint32_t shards)
{
	return bytes / shards > SHARE_BYTES_MIN ? bytes / shards : SHARE_BYTES_MIN;
}

static int open_writers(
	const struct depot_config *config, struct depot *depot, struct depot_error *ret_error)
{
	struct writer_config writer = {
		.disk = config->disk,
		.dirs = &depot->dirs,
		.manifest = depot->recovery.manifest,
		.log = depot->recovery.log,
		.clients = depot->clients,
		.hooks = {.day_of_trace = day_of_trace,
			.expect_trace = expect_trace,
			.on_commit = on_commit,
			.on_part = on_part,
			.ctx = depot},
		.part_bytes = config->part_bytes,
		.reserve_bytes = config->reserve_bytes,
		.gather_ns = config->gather_ns,
		.cache_bytes = share_of(CACHE_BYTES, assembly_shards(depot->assembly)),
		.buffer_bytes = share_of(
			config->buffer_bytes != 0 ? (size_t)config->buffer_bytes : BUFFER_BYTES,
			assembly_shards(depot->assembly)),
	};
	int status = live_new(config->disk, depot->dirs.log, depot->inbox_dir, depot->assembly,
		manifest_state(depot->recovery.manifest), &depot->live);

	if (status == 0)
		status = store_group_new(&depot->group);
	writer.group = depot->group;
	for (uint32_t i = 0; status == 0 && i < assembly_shards(depot->assembly); i++)
		status = writer_new(&writer, &depot->stores[i]);
	if (status < 0)
		return fail(ret_error, status, "can't open the store", depot->path);
	return 0;
}

int depot_open(
	const struct depot_config *config, struct depot *depot, struct depot_error *ret_error)
{
	int status;

	memset(depot, 0, sizeof(*depot));
	depot->disk = config->disk;
	depot->index_dir = -1;
	depot->inbox_dir = -1;
	depot->dirs = (struct store_dirs){-1, -1, -1, -1, -1};
	pthread_mutex_init(&depot->index_lock, NULL);
	status = open_dirs(config, depot, ret_error);
	if (status == 0)
		status = recover_store(config, depot, ret_error);
	if (status == 0) {
		open_index(depot);
		status = open_writers(config, depot, ret_error);
	}
	if (status < 0)
		depot_close(depot);
	return status;
}

void depot_leave_stores(struct depot *depot)
{
	memset(depot->stores, 0, sizeof(depot->stores));
}

void depot_close(struct depot *depot)
{
	for (uint32_t i = 0; i < SHARDS_MAX; i++)
		store_close(depot->stores[i]);
	store_group_free(depot->group);
	index_close(depot->index);
	live_free(depot->live);
	log_close(depot->recovery.log);
	manifest_free(depot->recovery.manifest);
	assembly_free(depot->assembly);
	clients_free(depot->clients);
	disk_close(depot->disk, depot->index_dir);
	disk_close(depot->disk, depot->inbox_dir);
	store_dirs_close(depot->disk, &depot->dirs);
	pthread_mutex_destroy(&depot->index_lock);
	memset(depot, 0, sizeof(*depot));
	depot->index_dir = -1;
	depot->inbox_dir = -1;
	depot->dirs = (struct store_dirs){-1, -1, -1, -1, -1};
}
