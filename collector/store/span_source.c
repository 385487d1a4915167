/* Spans of the log, ready to be written. See span_source.h. */
#include "span_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CACHE_BYTES = 8 << 20,
	SETS = 64, /* a power of two */
	WAYS = 4,
	SOURCES = SETS * WAYS,
};

struct span_sources {
	struct log_reader *reader;
	size_t cache_bytes;
	size_t memory;
	uint64_t now;
	struct span_source *last;
	struct span_source sources[SOURCES];
};

int span_sources_new(struct disk *disk, int log_dir, size_t cache_bytes, struct span_sources **ret)
{
	struct span_sources *sources = calloc(1, sizeof(*sources));
	int error;

	if (sources == NULL)
		return -ENOMEM;
	sources->cache_bytes = cache_bytes != 0 ? cache_bytes : CACHE_BYTES;
	error = log_reader_new(disk, log_dir, 1, &sources->reader);
	if (error != 0) {
		free(sources);
		return error;
	}
	*ret = sources;
	return 0;
}

static void release(struct span_sources *sources, struct span_source *source)
{
	if (sources->last == source)
		sources->last = NULL;
	sources->memory -= source->memory;
	bytes_done(&source->data);
	batch_done(&source->batch);
	line_writer_done(&source->lines);
	*source = (struct span_source){0};
}

void span_sources_free(struct span_sources *sources)
{
	if (sources == NULL)
		return;
	for (size_t i = 0; i < SOURCES; i++)
		release(sources, &sources->sources[i]);
	log_reader_free(sources->reader);
	free(sources);
}

void span_sources_forget(struct span_sources *sources, uint32_t first_needed)
{
	for (size_t i = 0; i < SOURCES; i++) {
		if (sources->sources[i].place.segment < first_needed)
			release(sources, &sources->sources[i]);
	}
	log_reader_forget(sources->reader, first_needed);
}

/* The first of its set. */
static size_t set_of(struct log_place place)
{
	uint32_t hash = (place.segment * UINT32_C(31) + (place.offset >> 3)) * UINT32_C(2654435761);

	return (size_t)(hash >> 16) % SETS * WAYS;
}

static bool is_at(const struct span_source *source, struct log_place place)
{
	return source->place.segment == place.segment && source->place.offset == place.offset;
}

void span_sources_expect(
	const struct span_sources *sources, struct log_place place, struct span_place span)
{
	const struct span_source *found = sources->last;

	if (found == NULL || !is_at(found, place)) {
		const struct span_source *set = &sources->sources[set_of(place)];

		found = NULL;
		for (size_t i = 0; i < WAYS && found == NULL; i++)
			found = is_at(&set[i], place) ? &set[i] : NULL;
	}
	if (found == NULL || span.span >= found->batch.length)
		return;
	__builtin_prefetch(found->batch.bytes + span.span);
	if (span.trace < span.span)
		__builtin_prefetch(found->batch.bytes + span.trace);
}

/* Frees those longest not used until what is kept fits, but not `keep`. */
static void shrink(struct span_sources *sources, const struct span_source *keep)
{
	while (sources->memory > sources->cache_bytes) {
		struct span_source *oldest = NULL;

		for (size_t i = 0; i < SOURCES; i++) {
			struct span_source *source = &sources->sources[i];

			if (source != keep && source->place.segment != 0 &&
				(oldest == NULL || source->used < oldest->used))
				oldest = source;
		}
		if (oldest == NULL)
			return;
		release(sources, oldest);
	}
}

static bool for_good(int error)
{
	/* What the decoder says is so for good; a missing segment does not come back. */
	return error == -EBADMSG || error == -ENOENT || error < ERR_FIRST;
}

static int load(struct span_sources *sources, struct log_place place, struct span_source *source)
{
	int error = log_reader_read(sources->reader, place, &source->data, &source->record);

	if (error == 0 &&
		(source->record.kind != LOG_BATCH || source->record.format != LOG_FORMAT_WAFT_V1))
		error = -EBADMSG;
	if (error == 0)
		error = batch_open(
			&source->batch, source->record.payload, source->record.payload_length);
	if (error == 0)
		error = line_batch_begin(&source->lines, &source->batch, &source->record.peer);
	if (error != 0 && !for_good(error))
		return error;
	source->error = error;
	batch_iter_init(&source->iter);
	source->place = place;
	source->memory = source->data.capacity + batch_memory(&source->batch) +
			 source->lines.pieces.capacity;
	sources->memory += source->memory;
	return 0;
}

/* The source of a place in its set: the one that has it, or else one that was not used for
 * long, loaded anew. */
static int find(struct span_sources *sources, struct log_place place, struct span_source **ret)
{
	struct span_source *set = &sources->sources[set_of(place)];
	struct span_source *found = &set[0];
	int error;

	for (size_t i = 0; i < WAYS; i++) {
		if (is_at(&set[i], place)) {
			*ret = &set[i];
			return 0;
		}
		if (set[i].used < found->used)
			found = &set[i];
	}
	release(sources, found);
	error = load(sources, place, found);
	if (error != 0) {
		release(sources, found);
		return error;
	}
	shrink(sources, found);
	*ret = found;
	return 0;
}

int span_sources_get(struct span_sources *sources, struct log_place place, struct span_source **ret)
{
	struct span_source *found = sources->last;
	int error;

	if (found == NULL || !is_at(found, place)) {
		error = find(sources, place, &found);
		if (error != 0)
			return error;
		sources->last = found;
	}
	found->used = ++sources->now;
	*ret = found;
	return 0;
}
