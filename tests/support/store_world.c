/* A small daemon for tests. See store_world.h. */
#include "store_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "scratch.h"
#include "source.h"
#include "wire.h"

#define SECOND_NS UINT64_C(1000000000)

void world_fail(const char *when, const char *what, uint64_t number)
{
	fprintf(stderr, "%s: %s (%llu)\n", when, what, (unsigned long long)number);
	abort();
}

struct world_history *world_history_new(void)
{
	struct world_history *history = calloc(1, sizeof(*history));

	if (history == NULL)
		abort();
	/* Shortly before midnight, so that traces are of two days. */
	history->base_ns = 20500 * DAY_NS - 30 * SECOND_NS;
	return history;
}

static struct trace_id trace_id_of(uint32_t trace)
{
	struct trace_id id;

	memset(id.bytes, 0x40, sizeof(id.bytes));
	le32_write(id.bytes + 8, trace * UINT32_C(2654435761));
	le32_write(id.bytes + 12, trace + 1);
	return id;
}

uint32_t world_trace_of_id(const struct trace_id *id)
{
	return le32_read(id->bytes + 12) - 1;
}

void world_client_id(uint32_t client, uint8_t ret[16])
{
	memset(ret, 0xc0, 16);
	ret[15] = (uint8_t)client;
}

/* ---- Opening ------------------------------------------------------------------ */

static void add_waiting(struct world *world, uint32_t span, const struct store_span *at)
{
	if (world->waiting_count == world->waiting_capacity) {
		world->waiting_capacity = world->waiting_capacity * 2 + 64;
		world->waiting = reallocarray(
			world->waiting, world->waiting_capacity, sizeof(*world->waiting));
		if (world->waiting == NULL)
			abort();
	}
	world->waiting[world->waiting_count++] = (struct world_waiting){.span = span, .at = *at};
}

/* Reads a batch's spans as the daemon would. */
static void take_batch(struct world *world, struct log_place place, const uint8_t *payload,
	size_t length, const struct consumed *consumed)
{
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	struct ordinal ordinal = {.segment = place.segment, .offset = place.offset};

	if (batch_open(&batch, payload, length) != 0)
		world_fail("batch", "does not decode", 0);
	batch_iter_init(&iter);
	while (batch_next(&batch, &iter, &view) == 1) {
		struct slice name = batch_slice(&batch, view.shape->name);
		struct store_span at = {.ordinal = ordinal, .place = view.place};
		char text[32];

		snprintf(text, sizeof(text), "%.*s", (int)name.length, (const char *)name.data);
		if (consumed == NULL || !consumed_has(consumed, &ordinal))
			add_waiting(world, (uint32_t)strtoul(text + 2, NULL, 10), &at);
		ordinal.position++;
	}
	batch_done(&batch);
}

static int on_batch(void *ctx, struct log_place place, const struct log_record *record,
	const struct consumed *consumed)
{
	struct world *world = ctx;

	if (world->unreadable > 0) {
		world->unreadable--;
		return ERR_MALFORMED;
	}
	take_batch(world, place, record->payload, record->payload_length, consumed);
	return 0;
}

static int day_of_trace(void *ctx, const struct trace_id *trace_id, int32_t *ret_day)
{
	struct world *world = ctx;
	int32_t day = world->trace_days[world_trace_of_id(trace_id)];

	if (world->day_error != 0 && world->days_told == 0)
		return world->day_error;
	if (world->day_error != 0)
		world->days_told--;
	if (day == INT32_MIN)
		return 0;
	*ret_day = day;
	return 1;
}

static size_t buffer_bytes(const struct world *world)
{
	return world->buffer_bytes != 0 ? world->buffer_bytes : 10000;
}

/* A run ends with the line that fills its quarter of the buffer. */
static void check_length(const struct world *world, const uint8_t *lines, size_t length)
{
	const uint8_t *last = memrchr(lines, '\n', length - 1);

	if (last != NULL && (size_t)(last + 1 - lines) >= buffer_bytes(world) / 4)
		world_fail("on_commit", "a run is longer than the buffer lets it be", length);
}

/* What the index is told must be what a reader finds in the lines. */
static void check_index(struct world *world, const struct written_run *run)
{
	struct scratch scratch = {0};
	char name[PART_NAME_BYTES];
	const uint8_t *part;
	struct index_run read;
	size_t length;

	if (part_name_format(&run->part, name) != 0)
		world_fail("on_commit", "a bad name", run->offset);
	part = fake_disk_content(world->fake, name, &length);
	if (part == NULL || run->offset + run->length_bytes > length)
		world_fail("on_commit", "the run is not in its file", run->offset);
	check_length(world, part + run->offset, run->length_bytes);
	if (run->index == NULL ||
		index_run_of_lines(slice_of(part + run->offset, run->length_bytes), run->offset,
			&scratch, &read) != 0)
		world_fail("on_commit", "a run that can't be indexed", run->offset);
	if (memcmp(read.trace_id, run->index->trace_id, sizeof(read.trace_id)) != 0 ||
		read.offset != run->index->offset ||
		read.length_bytes != run->index->length_bytes || read.spans != run->index->spans ||
		read.errors != run->index->errors || read.flags != run->index->flags ||
		read.start_ns != run->index->start_ns ||
		read.duration_ns != run->index->duration_ns ||
		memcmp(read.filter, run->index->filter, sizeof(read.filter)) != 0)
		world_fail("on_commit", "the index was told other things than the lines say",
			run->offset);
	scratch_done(&scratch);
}

static void on_commit(void *ctx, const struct written_run *runs, size_t count)
{
	struct world *world = ctx;

	for (size_t i = 0; i < count; i++) {
		int32_t *day = &world->trace_days[world_trace_of_id(&runs[i].trace_id)];

		if (runs[i].continues != (*day != INT32_MIN))
			world_fail("on_commit", "a run is wrong about those before it",
				runs[i].offset);
		if (*day == INT32_MIN)
			*day = runs[i].part.day;
		if (*day != runs[i].part.day)
			world_fail("on_commit", "a trace went to two days", 0);
		world->told += runs[i].spans;
		check_index(world, &runs[i]);
		world_index_commit(world, &runs[i]);
	}
	if (world->index != NULL)
		index_flush(world->index);
}

static void on_part(void *ctx, const struct manifest_part *part)
{
	world_index_part(ctx, part);
}

uint8_t *world_part_text(struct world *world, const struct manifest_part *part, size_t *ret_length)
{
	struct part_name part_name = part->name;
	char name[PART_NAME_BYTES];
	struct source *source;
	uint8_t *text;

	part_name.sealed = part->state == PART_SEALED;
	/* SEALED is in the manifest before the file has its name. */
	if (part_name_format(&part_name, name) != 0)
		return NULL;
	if (part_name.sealed && fake_disk_content(world->fake, name, ret_length) == NULL) {
		part_name.sealed = false;
		if (part_name_format(&part_name, name) != 0)
			return NULL;
	}
	if (source_open(world->disk, world->dirs.top, name, &source) != 0)
		return NULL;
	*ret_length = (size_t)source_size(source);
	text = malloc(*ret_length + 1);
	if (text == NULL || source_read(source, 0, text, *ret_length) != 0)
		world_fail("part_text", "a part can't be read", part->id);
	source_close(source);
	return text;
}

/* What an index would know, from the parts themselves. */
static void find_days(struct world *world)
{
	const struct manifest_state *state = manifest_state(world->recovery.manifest);

	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];
		size_t length = 0;
		uint8_t *data;

		if (part->state == PART_REMOVED)
			continue;
		data = world_part_text(world, part, &length);
		for (size_t at = 0; data != NULL && at < length && at < part->length_bytes;) {
			const uint8_t *end = memchr(data + at, '\n', length - at);
			struct trace_id id;

			if (end == NULL ||
				trace_id_parse((const char *)data + at + 13, 36, &id) != 0)
				world_fail("find_days", "a bad line", at);
			world->trace_days[world_trace_of_id(&id)] = part->name.day;
			at = (size_t)(end - data) + 1;
		}
		free(data);
	}
}

int world_open(struct world *world, struct fake_disk *fake, struct world_history *history)
{
	struct recovery_ops ops = {.on_batch = on_batch, .ctx = world};
	struct recovery_config config = {.now_ns = history->base_ns};
	struct writer_config writer = {.reserve_bytes = 1,
		.buffer_bytes = buffer_bytes(world),
		.gather_ns = world->gather_steps};
	uint32_t segment_bytes = world->segment_bytes;
	uint64_t part_bytes = world->part_bytes;
	uint32_t unreadable = world->unreadable;
	uint64_t retain_bytes = world->retain_bytes;
	uint64_t gather_steps = world->gather_steps;
	uint32_t shards = world->shards > 0 ? world->shards : 1;
	bool damaged = world->damaged;
	bool indexed = world->indexed;
	uint32_t run_spans = world->run_spans;
	bool pen = world->pen;
	int ret;

	*world = (struct world){.fake = fake,
		.disk = fake_disk_disk(fake),
		.history = history,
		.segment_bytes = segment_bytes,
		.part_bytes = part_bytes,
		.buffer_bytes = world->buffer_bytes,
		.unreadable = unreadable,
		.damaged = damaged,
		.indexed = indexed,
		.run_spans = run_spans,
		.retain_bytes = retain_bytes,
		.gather_steps = gather_steps,
		.shards = shards,
		.pen = pen,
		.now = gather_steps};
	world->dirs = (struct store_dirs){-1, -1, -1, -1, -1};
	ret = clients_new(0, &world->clients);
	if (ret == 0)
		ret = store_dirs_open(world->disk, "store", true, &world->dirs);
	if (ret == 0)
		ret = store_lock(world->disk, &world->dirs);
	config.disk = world->disk;
	config.dirs = &world->dirs;
	config.clients = world->clients;
	config.segment_bytes = segment_bytes;
	config.reserve_bytes = 1;
	memset(config.new_store_id, 0x5a, sizeof(config.new_store_id));
	if (ret == 0)
		ret = recover(&config, &ops, &world->recovery);
	if (ret != 0)
		return ret;
	world->written_before = manifest_state(world->recovery.manifest)->spans_written;
	for (size_t i = 0; i < WORLD_TRACES; i++)
		world->trace_days[i] = INT32_MIN;
	if (!damaged)
		find_days(world);
	if (indexed)
		world_index_open(world);
	for (uint32_t i = 0; indexed && !damaged && i < WORLD_TRACES; i++) {
		struct trace_id id = trace_id_of(i);

		world_index_check(world, i, &id);
	}
	writer.disk = world->disk;
	writer.dirs = &world->dirs;
	writer.manifest = world->recovery.manifest;
	writer.log = world->recovery.log;
	writer.clients = world->clients;
	writer.part_bytes = part_bytes;
	writer.hooks = (struct writer_hooks){.day_of_trace = day_of_trace,
		.on_commit = on_commit,
		.on_part = on_part,
		.ctx = world};
	ret = store_group_new(&world->group);
	writer.group = world->group;
	for (uint32_t i = 0; i < shards && ret == 0; i++)
		ret = writer_new(&writer, &world->stores[i]);
	world->store = world->stores[0];
	return ret;
}

void world_close(struct world *world)
{
	for (uint32_t i = world->shards; i-- > 0;)
		store_close(world->stores[i]);
	store_group_free(world->group);
	world_index_close(world);
	log_close(world->recovery.log);
	manifest_free(world->recovery.manifest);
	clients_free(world->clients);
	store_dirs_close(world->disk, &world->dirs);
	if (fake_disk_open_handles(world->fake) != 0)
		world_fail("close", "handles stay open", fake_disk_open_handles(world->fake));
	free(world->waiting);
	world->waiting = NULL;
	memset(world->stores, 0, sizeof(world->stores));
	world->store = NULL;
	world->group = NULL;
	world->recovery = (struct recovery){0};
	world->clients = NULL;
}

/* ---- Sending -------------------------------------------------------------------- */

static const struct key_write attribute_keys[] = {
	{{(const uint8_t *)"text", 4}, WIRE_KEY_STRING},
	{{(const uint8_t *)"small", 5}, WIRE_KEY_INT32},
	{{(const uint8_t *)"large", 5}, WIRE_KEY_INT64},
	{{(const uint8_t *)"number", 6}, WIRE_KEY_DOUBLE},
	{{(const uint8_t *)"even", 4}, WIRE_KEY_BOOL},
};

enum { ATTRIBUTE_KEYS = sizeof(attribute_keys) / sizeof(attribute_keys[0]), TEXT_BYTES = 32 };

/* A span's values, of each some that no other span has; texts now and then have to be escaped. */
static void make_values(uint32_t span, char text[TEXT_BYTES], struct value ret[ATTRIBUTE_KEYS])
{
	snprintf(text, TEXT_BYTES, span % 4 == 0 ? "\"text\" %u" : "text %u", span);
	ret[0] = (struct value){.type = VALUE_TEXT, .text = slice_of_text(text)};
	ret[1] = (struct value){.type = VALUE_INT, .integer = span};
	ret[2] = (struct value){.type = VALUE_INT, .integer = -(INT64_C(1) << 40) - span};
	ret[3] = (struct value){.type = VALUE_DOUBLE, .number = span / 8.0};
	ret[4] = (struct value){.type = VALUE_BOOL, .boolean = span % 2 == 0};
}

/* The same bytes for the same batch, each time. */
static size_t encode_batch(
	const struct world_history *history, uint32_t index, uint8_t *buffer, size_t size)
{
	const struct world_batch *batch = &history->batches[index];
	uint64_t now = history->base_ns + index * SECOND_NS / 4;
	struct batch_clock clock = {.open_realtime_ns = now,
		.open_raw = now,
		.close_realtime_ns = now,
		.close_raw = now,
		.ns_per_tick = 1};
	size_t key_count = history->attributes ? ATTRIBUTE_KEYS : 0;
	struct value values[ATTRIBUTE_KEYS];
	struct batch_writer writer;
	char names[8][32], text[TEXT_BYTES];
	long length;

	batch_writer_init(&writer, buffer, size);
	batch_writer_producer(&writer, slice_of_text("world"), 1, slice_of_text("host"), NULL, 0);
	batch_writer_clock(&writer, &clock);
	for (uint32_t i = 0; i < batch->span_count; i++) {
		struct shape_write shape = {.id = i + 1, .layer = slice_of_text("core")};

		snprintf(names[i], sizeof(names[i]), "op%u", batch->first_span + i);
		shape.name = slice_of_text(names[i]);
		shape.keys = attribute_keys;
		shape.key_count = key_count;
		batch_writer_shape(&writer, &shape);
	}
	for (uint32_t i = 0; i < batch->span_count; i++) {
		uint32_t span = batch->first_span + i;
		struct shape_write shape = {
			.id = i + 1, .keys = attribute_keys, .key_count = key_count};
		struct trace_write trace = {.id = trace_id_of(history->spans[span].trace)};
		struct span_write write = {.shape = &shape,
			.sequence = span + 1,
			.end_raw = now,
			.duration_raw = 1000,
			.trace = &trace,
			.values = values,
			.parent_id = span % 3 == 0 ? 0 : 77};

		make_values(span, text, values);
		batch_writer_section_begin(&writer, 1, now, 1, &trace);
		if (!batch_writer_span(&writer, &write))
			world_fail("encode", "a span does not fit", span);
		batch_writer_section_end(&writer);
	}
	length = batch_writer_finish(&writer);
	if (length < 0)
		world_fail("encode", "a batch does not fit", index);
	return (size_t)length;
}

static int append_batch(struct world *world, uint32_t index)
{
	const struct world_batch *batch = &world->history->batches[index];
	uint8_t buffer[8192];
	uint64_t ticket;
	struct log_record record = {
		.kind = batch->span_count > 0 ? LOG_BATCH : LOG_DROP,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = batch->span_count > 0 ? batch->span_count : 3,
		.receive_ns = world->history->base_ns + index * SECOND_NS / 4,
		.sequence = batch->sequence,
		.peer = {.known = true, .pid = 7, .uid = 8},
	};
	int ret;

	world_client_id(batch->client, record.client);
	if (batch->span_count > 0) {
		record.payload = buffer;
		record.payload_length = encode_batch(world->history, index, buffer, sizeof(buffer));
	}
	ret = log_append(world->recovery.log, &record, &ticket);
	if (ret == 0)
		world->in_log[world->in_log_count++] = index;
	return ret;
}

void world_send(struct world *world, struct random *random)
{
	struct world_history *history = world->history;
	uint32_t index = history->batch_count;
	struct world_batch *batch = &history->batches[index];

	if (index == WORLD_BATCHES || history->span_count + 8 > WORLD_SPANS ||
		world->in_log_count == 256)
		return;
	*batch = (struct world_batch){
		.client = random_below(random, WORLD_CLIENTS),
		.first_span = history->span_count,
		.span_count = random_below(random, 7),
		.acknowledged_at = SIZE_MAX,
	};
	batch->sequence = ++history->sequences[batch->client];
	for (uint32_t i = 0; i < batch->span_count; i++) {
		struct world_span *span = &history->spans[history->span_count++];

		span->batch = index;
		span->trace = world->run_spans > 0 && random_below(random, 3) == 0
				      ? 0
				      : random_below(random, WORLD_TRACES);
		span->written_at = SIZE_MAX;
		span->expired_at = SIZE_MAX;
	}
	history->batch_count++;
	if (append_batch(world, index) != 0)
		world_fail("send", "append failed", index);
}

int world_commit(struct world *world)
{
	struct log_committed committed;
	int ret = log_commit(world->recovery.log, &committed);

	if (ret != 0)
		return ret;
	for (size_t i = 0; i < committed.count; i++) {
		uint32_t index = world->in_log[i];
		struct world_batch *batch = &world->history->batches[index];
		uint8_t buffer[8192];
		struct log_record record = {
			.kind = batch->span_count > 0 ? LOG_BATCH : LOG_DROP,
			.spans = batch->span_count > 0 ? batch->span_count : 3,
			.sequence = batch->sequence,
			.receive_ns = 1,
		};

		world_client_id(batch->client, record.client);
		if (clients_durable(world->clients, committed.places[i], &record) != 1)
			world_fail("commit", "a record was counted before", index);
		batch->acknowledged_at = fake_disk_changes(world->fake);
		if (batch->span_count > 0)
			take_batch(world, committed.places[i], buffer,
				encode_batch(world->history, index, buffer, sizeof(buffer)), NULL);
	}
	world->in_log_count -= (uint32_t)committed.count;
	memmove(world->in_log, world->in_log + committed.count,
		world->in_log_count * sizeof(world->in_log[0]));
	return 0;
}

void world_resend(struct world *world)
{
	struct world_history *history = world->history;

	for (uint32_t client = 0; client < WORLD_CLIENTS; client++) {
		struct client_info info = {0};
		uint8_t id[16];

		world_client_id(client, id);
		if (clients_get(world->clients, id, &info) != 0)
			info.sequence = 0;
		for (uint32_t i = 0; i < history->batch_count; i++) {
			if (history->batches[i].client != client ||
				history->batches[i].sequence <= info.sequence)
				continue;
			if (world->in_log_count == 256 && world_commit(world) != 0)
				world_fail("resend", "commit failed", i);
			if (append_batch(world, i) != 0)
				world_fail("resend", "append failed", i);
		}
	}
}

/* ---- Writing --------------------------------------------------------------------- */

struct world_put {
	struct store_put put;
	struct world *world;
	struct store_run *runs;
	struct store_span *spans;
	uint32_t *numbers; /* of the spans, in the history */
	size_t count;
};

static void on_durable(struct store_put *base, int status)
{
	struct world_put *put = (struct world_put *)base;

	put->world->puts--;
	if (status != 0 || put->world->puts == 0)
		put->world->put_status = status;
	for (size_t i = 0; status == 0 && i < put->count; i++)
		put->world->history->spans[put->numbers[i]].written_at =
			fake_disk_changes(put->world->fake);
	free(put->numbers);
	free(put->runs);
	free(put->spans);
	free(put);
}

/* Moves the waiting spans of the chosen traces of a shard into a put. */
static struct world_put *make_put(struct world *world, const bool *of_all, uint32_t shard)
{
	struct world_put *put = calloc(1, sizeof(*put));
	size_t kept = 0;
	size_t used = 0;

	bool chosen[WORLD_TRACES];

	if (put == NULL)
		abort();
	for (uint32_t i = 0; i < WORLD_TRACES; i++)
		chosen[i] = of_all[i] && i % world->shards == shard;
	put->world = world;
	world->puts++;
	put->runs = calloc(WORLD_TRACES + world->waiting_count, sizeof(*put->runs));
	put->spans = calloc(world->waiting_count + 1, sizeof(*put->spans));
	put->numbers = calloc(world->waiting_count + 1, sizeof(*put->numbers));
	if (put->runs == NULL || put->spans == NULL || put->numbers == NULL)
		abort();
	for (uint32_t trace = 0; trace < WORLD_TRACES; trace++) {
		size_t before = used;

		for (size_t i = 0; chosen[trace] && i < world->waiting_count; i++) {
			if (world->history->spans[world->waiting[i].span].trace != trace)
				continue;
			put->numbers[used] = world->waiting[i].span;
			put->spans[used++] = world->waiting[i].at;
		}
		for (size_t most = world->run_spans > 0 ? world->run_spans : SIZE_MAX;
			used > before;) {
			size_t count = used - before < most ? used - before : most;

			put->runs[put->put.run_count++] =
				(struct store_run){.trace_id = trace_id_of(trace),
					.spans = put->spans + before,
					.span_count = count};
			before += count;
		}
	}
	for (size_t i = 0; i < world->waiting_count; i++) {
		if (!chosen[world->history->spans[world->waiting[i].span].trace])
			world->waiting[kept++] = world->waiting[i];
	}
	world->waiting_count = kept;
	put->count = used;
	put->put.runs = put->runs;
	put->put.behind = world->pen;
	put->put.on_durable = on_durable;
	return put;
}

int world_write(struct world *world, struct random *random, bool all)
{
	bool chosen[WORLD_TRACES];
	int error = 0;

	for (size_t i = 0; i < WORLD_TRACES; i++)
		chosen[i] = all || random_below(random, 3) == 0;
	world->put_status = 1;
	for (uint32_t i = 0; i < world->shards; i++)
		store_put(world->stores[i], &make_put(world, chosen, i)->put);
	for (uint32_t i = 0; i < world->shards; i++) {
		int one = 0;

		(void)store_work(world->stores[i], world->now, &one);
		if (one != 0)
			error = one;
	}
	world->now++;
	return error;
}

int world_retain(struct world *world)
{
	const struct retention retention = {.max_bytes = world->retain_bytes};
	size_t before = fake_disk_changes(world->fake);
	uint8_t *had = calloc(world->history->span_count + 1, 1);
	uint8_t *has = calloc(world->history->span_count + 1, 1);
	int ret;

	if (had == NULL || has == NULL)
		abort();
	world_count_lines(world, had);
	ret = writer_retain(world->store, &retention);
	world_count_lines(world, has);
	for (uint32_t i = 0; i < world->history->span_count; i++) {
		if (had[i] > 0 && has[i] == 0)
			world->history->spans[i].expired_at = before;
	}
	free(had);
	free(has);
	return ret < 0 ? ret : 0;
}

int world_seal(struct world *world)
{
	static const struct seal_rule rule = {.after_ns = 0};
	struct seal_job job = {
		.disk = world->disk, .dirs = &world->dirs, .index_dir = -1, .level = 1};
	bool pressed;
	int ret = 1;

	if (world->index != NULL)
		job.index_dir = world->index_dir;
	memcpy(job.store_id, manifest_state(world->recovery.manifest)->store_id, 16);
	if (!world->seal_pending)
		ret = writer_seal_next(world->store, &rule, &job.part, &pressed);
	if (ret != 1)
		return ret;
	if (!world->seal_pending) {
		ret = seal_part(&job, &world->sealed);
		/* One with a tail that recovery will cut. */
		if (ret == -EBADMSG && world->faults) {
			writer_seal_refuse(world->store, job.part.id);
			return 0;
		}
		if (ret != 0)
			return ret;
	}
	ret = writer_seal_commit(world->store, &world->sealed);
	world->history->seals += ret == 0;
	world->seal_pending = ret != 0 && ret != -ESTALE && ret != -EEXIST;
	return ret == -ESTALE ? 0 : ret;
}

void world_live(struct world *world, struct random *random, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		int ret = 0;

		switch (random_below(random, 13)) {
		case 0:
		case 1:
		case 2:
		case 3:
			for (uint32_t k = random_below(random, 4); k < 4; k++)
				world_send(world, random);
			break;
		case 4:
		case 5:
		case 6:
			ret = world_commit(world);
			break;
		case 7:
		case 8:
			ret = world_write(world, random, random_below(random, 4) == 0);
			break;
		case 9:
			ret = random_below(random, 2) == 0 ? writer_trim_log(world->store)
							   : writer_rest(world->store, 0);
			break;
		case 10:
			if (random_below(random, 4) == 0)
				ret = manifest_checkpoint(world->recovery.manifest);
			break;
		case 11:
			if (random_below(random, 3) == 0)
				ret = world_seal(world);
			break;
		default:
			if (random_below(random, 4) == 0)
				log_roll(world->recovery.log);
			else if (world->retain_bytes > 0)
				ret = world_retain(world);
		}
		if (ret != 0)
			world_fail("live", "a step failed", (uint64_t)-ret);
	}
}
