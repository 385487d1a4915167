/* The end of a round: what is in the outputs is written, synced and committed, or
 * forgotten. See writer.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "writer_internal.h"

static void clear_output(struct jsonl_store *store, struct output *output)
{
	store->in_round &= ~(UINT32_C(1) << (output - store->outputs));
	output->lines.length = 0;
	output->length_bytes = 0;
	output->crc = 0;
	output->run_count = 0;
	output->written = false;
	output->committed = false;
	consumed_clear(&output->ordinals);
}

void writer_forget_round(struct jsonl_store *store)
{
	/* What is cut off must not be written behind that. */
	(void)(writer_end_pen(store) == 0);
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (store->outputs[i].written && !store->outputs[i].committed)
			writer_part_failed(store, &store->outputs[i], -ENOSPC, false);
		clear_output(store, &store->outputs[i]);
	}
	consumed_clear(&store->lost);
	store->lost_spans = 0;
	store->lost_committed = false;
	if (store->fresh_count > 0)
		memset(store->fresh, 0, store->fresh_capacity * sizeof(*store->fresh));
	store->fresh_count = 0;
	pthread_mutex_lock(&store->mutex);
	store->next_put = store->head;
	pthread_mutex_unlock(&store->mutex);
	store->next_run = 0;
	store->next_span = 0;
}

static int write_outputs(struct jsonl_store *store)
{
	int ret = 0;

	for (size_t i = 0; i < OUTPUTS && ret == 0; i++) {
		if (store->outputs[i].run_count > 0)
			ret = writer_write_lines(store, &store->outputs[i], true);
	}
	for (size_t i = 0; i < OUTPUTS && ret == 0; i++) {
		struct output *output = &store->outputs[i];

		if (output->run_count == 0)
			continue;
		ret = disk_sync(store->config.disk, output->file);
		if (ret != 0)
			writer_part_failed(store, output, ret, true);
	}
	return ret;
}

static int append_commit(struct jsonl_store *store, struct output *output)
{
	struct manifest_run *runs = calloc(output->run_count, sizeof(*runs));
	struct manifest_commit commit = {
		.part = output->part,
		.offset = output->offset,
		.length_bytes = output->length_bytes,
		.crc = output->crc,
		.time_ns = writer_now(store),
		.runs = runs,
		.run_count = output->run_count,
		.ordinals = &output->ordinals,
	};
	int ret;

	if (runs == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < output->run_count; i++)
		runs[i] = output->runs[i].run;
	ret = manifest_commit(store->config.manifest, &commit);
	output->committed = ret == 0;
	free(runs);
	return ret;
}

static int append_lost(struct jsonl_store *store)
{
	struct manifest_run run = {.spans = (uint32_t)store->lost_spans};
	struct manifest_commit commit = {.time_ns = writer_now(store),
		.runs = &run,
		.run_count = 1,
		.ordinals = &store->lost};
	int ret = manifest_commit(store->config.manifest, &commit);

	store->lost_committed = ret == 0;
	return ret;
}

/* Appends the COMMITs of all outputs. When memory runs out in between, those that
 * were appended stand, and the rest of the round is formatted anew. */
static int append_commits(struct jsonl_store *store)
{
	int ret = 0;

	for (size_t i = 0; i < OUTPUTS && ret == 0; i++) {
		if (store->outputs[i].run_count > 0)
			ret = append_commit(store, &store->outputs[i]);
	}
	if (ret == 0 && store->lost_spans > 0)
		ret = append_lost(store);
	return ret;
}

void writer_count_manifest(struct jsonl_store *store)
{
	const struct manifest_state *state = manifest_state(store->config.manifest);
	struct writer_stats *stats = &store->group->stats;
	uint64_t parts = 0;
	uint64_t bytes = 0;

	manifest_lock(store->config.manifest);
	for (size_t i = 0; i < state->part_count; i++) {
		const struct manifest_part *part = &state->parts[i];

		if (part->state == PART_REMOVED)
			continue;
		parts++;
		bytes +=
			part->state == PART_SEALED ? part->sealed_length_bytes : part->length_bytes;
	}
	pthread_mutex_lock(&store->group->mutex);
	stats->spans_written = state->spans_written + state->spans_expired;
	stats->spans_expired = state->spans_expired;
	stats->spans_quarantined = state->spans_quarantined;
	stats->parts = parts;
	stats->part_bytes = bytes;
	pthread_mutex_unlock(&store->group->mutex);
	manifest_unlock(store->config.manifest);
}

static void count_round(struct jsonl_store *store)
{
	writer_count_manifest(store);
	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (!store->outputs[i].committed)
			continue;
		store->stats.commits++;
		store->stats.bytes_written += store->outputs[i].length_bytes;
	}
	pthread_mutex_unlock(&store->mutex);
}

/* The COMMITs are durable: tells whoever wants to know. complete: all of the
 * round was committed, so that the puts before next_put are done. */
static void finish_round(struct jsonl_store *store, bool complete)
{
	struct store_put *done = NULL;

	store->committed_ns = store->now_ns;
	count_round(store);
	for (size_t i = 0; i < OUTPUTS; i++) {
		struct output *output = &store->outputs[i];

		if (!output->committed)
			continue;
		writer_tell_index(store, output);
		writer_part_grown(store, output);
	}
	if (!complete) {
		writer_forget_round(store);
		return;
	}
	for (size_t i = 0; i < OUTPUTS; i++)
		clear_output(store, &store->outputs[i]);
	consumed_clear(&store->lost);
	store->lost_spans = 0;
	store->lost_committed = false;
	if (store->fresh_count > 0)
		memset(store->fresh, 0, store->fresh_capacity * sizeof(*store->fresh));
	store->fresh_count = 0;
	pthread_mutex_lock(&store->mutex);
	if (store->head != store->next_put) {
		struct store_put *last = store->head;

		done = store->head;
		while (last->next != store->next_put)
			last = last->next;
		last->next = NULL;
		store->head = store->next_put;
		if (store->head == NULL)
			store->tail = &store->head;
	}
	pthread_mutex_unlock(&store->mutex);
	while (done != NULL) {
		struct store_put *put = done;
		uint64_t spans = 0;

		done = put->next;
		for (size_t i = 0; i < put->run_count; i++)
			spans += put->runs[i].span_count;
		pthread_mutex_lock(&store->mutex);
		store->queued_spans -= spans;
		pthread_mutex_unlock(&store->mutex);
		put->on_durable(put, 0);
	}
}

/* Whether every output that holds something was committed. */
static bool round_complete(const struct jsonl_store *store)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (store->outputs[i].run_count > 0 && !store->outputs[i].committed)
			return false;
	}
	return store->lost_spans == 0 || store->lost_committed;
}

static bool any_committed(const struct jsonl_store *store)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		if (store->outputs[i].committed)
			return true;
	}
	return store->lost_committed;
}

int writer_flush(struct jsonl_store *store)
{
	int ret = store->doubt ? 0 : write_outputs(store);
	int sync;

	store->ahead.count = 0;
	if (ret == 0 && !store->doubt)
		ret = append_commits(store);
	if (ret != 0 && !any_committed(store)) {
		writer_forget_round(store);
		return ret;
	}
	sync = manifest_sync(store->config.manifest);
	store->doubt = sync != 0;
	if (sync != 0)
		return sync;
	finish_round(store, round_complete(store));
	return ret;
}
