/* What must be true of a small daemon's store. See store_world.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_world.h"

static void count_line(struct world *world, const uint8_t *line, size_t length, uint8_t *counts)
{
	static const char key[] = ",\"operation\":\"op";
	const uint8_t *found = memmem(line, length, key, sizeof(key) - 1);
	struct trace_id id;
	uint32_t span;
	char digits[16];

	if (found == NULL || line[0] != '{' || line[length - 1] != '}' ||
		trace_id_parse((const char *)line + 13, 36, &id) != 0)
		world_fail("check", "a line is broken", length);
	snprintf(digits, sizeof(digits), "%.*s", 12, (const char *)found + sizeof(key) - 1);
	span = (uint32_t)strtoul(digits, NULL, 10);
	if (span >= world->history->span_count ||
		world_trace_of_id(&id) != world->history->spans[span].trace)
		world_fail("check", "a line of a span that was never sent", span);
	counts[span]++;
}

/* A part's lines; a sealed one has each trace in one place. */
static void count_part(
	struct world *world, const struct manifest_part *part, size_t length, uint8_t *counts)
{
	bool seen[WORLD_TRACES] = {false};
	uint32_t before = UINT32_MAX;
	size_t have = 0;
	uint8_t *data = world_part_text(world, part, &have);

	if (have < length)
		world_fail("check", "a part is shorter than it was", have);
	for (size_t at = 0; at < length;) {
		const uint8_t *end = memchr(data + at, '\n', length - at);
		struct trace_id id;
		uint32_t trace;

		if (end == NULL)
			world_fail("check", "a line has no end", at);
		count_line(world, data + at, (size_t)(end - data) - at, counts);
		if (trace_id_parse((const char *)data + at + 13, 36, &id) != 0)
			world_fail("check", "a bad trace id", at);
		trace = world_trace_of_id(&id);
		if (part->state == PART_SEALED && trace != before && seen[trace])
			world_fail("check", "a sealed part has a trace in two places", trace);
		seen[trace] = true;
		before = trace;
		at = (size_t)(end - data) + 1;
	}
	free(data);
}

void world_count_lines(struct world *world, uint8_t *counts)
{
	const struct manifest_state *state = manifest_state(world->recovery.manifest);

	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];
		struct part_name part_name = part->name;
		char name[PART_NAME_BYTES];
		size_t length = 0;
		bool sealed = part->state == PART_SEALED;

		if (part->state == PART_REMOVED)
			continue;
		part_name.sealed = sealed;
		if (part_name_format(&part_name, name) != 0)
			world_fail("check", "a bad name", i);
		/* Faults may have left a part between its two forms. */
		if (sealed && world->seal_pending &&
			fake_disk_content(world->fake, name, &length) == NULL) {
			count_part(world, part, part->length_bytes, counts);
			continue;
		}
		if (fake_disk_content(world->fake, name, &length) == NULL)
			length = 0;
		/* What a failed disk left behind a closed part is for recovery. */
		if (length > part->length_bytes && world->faults && part->state == PART_CLOSED)
			length = part->length_bytes;
		if (length != (sealed ? part->sealed_length_bytes : part->length_bytes))
			world_fail("check", "a part is not as long as committed", length);
		if (recover_verify_part(world->disk, &world->dirs, part, NULL) != 1)
			world_fail("check", "a part's checksum is wrong", i);
		count_part(world, part, part->length_bytes, counts);
	}
}

static void check_client(struct world *world, uint32_t client, size_t at, const char *when)
{
	const struct world_history *history = world->history;
	struct client_info info = {0};
	uint64_t durable = 0;
	uint64_t dropped = 0;
	uint8_t id[16];

	world_client_id(client, id);
	if (clients_get(world->clients, id, &info) != 0)
		info = (struct client_info){0};
	if (info.sequence > history->sequences[client])
		world_fail(when, "a watermark beyond what was sent", client);
	for (uint32_t i = 0; i < history->batch_count; i++) {
		const struct world_batch *batch = &history->batches[i];

		if (batch->client != client)
			continue;
		if (batch->acknowledged_at <= at && batch->sequence > info.sequence)
			world_fail(when, "an acknowledged batch is behind the watermark", i);
		if (batch->sequence <= info.sequence) {
			durable += batch->span_count;
			dropped += batch->span_count == 0 ? 3 : 0;
		}
	}
	if (info.counts.durable != durable)
		world_fail(when, "durable spans are miscounted", info.counts.durable);
	if (info.counts.dropped != dropped)
		world_fail(when, "dropped spans are miscounted", info.counts.dropped);
}

void world_check_told(struct world *world, const char *when)
{
	uint64_t written = manifest_state(world->recovery.manifest)->spans_written;

	if (world->told != written - world->written_before)
		world_fail(when, "the index was not told of all", world->told);
}

/* Nobody but the store made files here: none may look foreign. */
static void check_known(void *ctx, const char *path, const uint8_t *data, size_t length)
{
	const struct world *world = ctx;
	struct part_name name;

	(void)data;
	if (strchr(path, '/') != NULL)
		return;
	if (part_name_parse(path, &name) != 0 ||
		manifest_part_by_name(manifest_state(world->recovery.manifest), &name) == NULL)
		world_fail(path, "a file that the manifest doesn't name", length);
}

void world_check(struct world *world, size_t at, const char *when)
{
	const struct world_history *history = world->history;
	uint8_t *counts = calloc(history->span_count + 1, 1);

	if (counts == NULL)
		abort();
	world_count_lines(world, counts);
	fake_disk_each(world->fake, check_known, world);
	for (uint32_t i = 0; i < history->span_count; i++) {
		if (counts[i] == 0 && history->spans[i].written_at <= at &&
			history->spans[i].expired_at > at)
			world_fail(when, "a span is not in the files that was said to be", i);
	}
	for (size_t i = 0; i < world->waiting_count; i++)
		counts[world->waiting[i].span]++;
	for (uint32_t i = 0; i < history->span_count; i++) {
		const struct world_batch *batch = &history->batches[history->spans[i].batch];
		struct client_info info = {0};
		uint8_t id[16];

		if (counts[i] > 1)
			world_fail(when, "a span is there twice", i);
		if (counts[i] == 0 && history->spans[i].expired_at <= at)
			continue;
		if (counts[i] == 0 && batch->acknowledged_at <= at)
			world_fail(when, "an acknowledged span is lost", i);
		world_client_id(batch->client, id);
		if (clients_get(world->clients, id, &info) != 0)
			info.sequence = 0;
		if ((counts[i] == 1) != (batch->sequence <= info.sequence))
			world_fail(when, "the watermark does not fit what is there", i);
	}
	for (uint32_t client = 0; client < WORLD_CLIENTS; client++)
		check_client(world, client, at, when);
	free(counts);
}
