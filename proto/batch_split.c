/*
 * Splitting of batches. See batch_split.h.
 *
 * Nothing is encoded anew but the lengths of sections: a partition gets every field of
 * the batch that is no shape and no section, the shapes that its spans use, and of each
 * section with spans of it the fields before the spans, then the spans. A span without a
 * trace of its own follows, in the same section, the span that has it, or the
 * section's; both are of the same trace, and so of the same partition.
 */
#include "batch_split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct split_span {
	uint32_t section; /* offset of the section's message */
	uint32_t span;	  /* offset of the Span field's tag */
	uint16_t shape;	  /* its index; shapes are no more than their ids */
	uint8_t partition;
	bool inherits; /* its trace is the section's */
};

unsigned int trace_partition(const struct trace_id *id)
{
	uint64_t value = 0;

	for (int i = 9; i < 16; i++)
		value = value << 8 | id->bytes[i];
	return (unsigned int)(id_mix(value) >> 58);
}

/* ---- Reading ------------------------------------------------------------ */

static int add_span(struct batch_split *split, const struct span_view *view)
{
	struct split_span *span;

	if (split->count == split->capacity) {
		uint32_t capacity = split->capacity == 0 ? 256 : split->capacity * 2;
		struct split_span *grown = reallocarray(split->list, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		split->list = grown;
		split->capacity = capacity;
	}
	if (split->count == 0 || split->list[split->count - 1].section != view->place.section)
		split->section_spans = view->place.span;
	span = &split->list[split->count++];
	*span = (struct split_span){
		.section = view->place.section,
		.span = view->place.span,
		.shape = (uint16_t)batch_shape_index(&split->batch, view->shape),
		.partition = (uint8_t)trace_partition(&view->trace->id),
		/* The section's own stands before its first span. */
		.inherits = view->place.trace != 0 && view->place.trace < split->section_spans,
	};
	split->spans[span->partition]++;
	split->partitions |= UINT64_C(1) << span->partition;
	return 0;
}

static int make_used(struct batch_split *split)
{
	uint8_t *grown;

	if (split->batch.shape_count <= split->used_capacity)
		return 0;
	grown = realloc(split->used, split->batch.shape_count);
	if (grown == NULL)
		return -ENOMEM;
	split->used = grown;
	split->used_capacity = split->batch.shape_count;
	return 0;
}

int batch_split_open(struct batch_split *split, const void *bytes, size_t length_bytes)
{
	struct batch_iter iter;
	struct span_view view;
	int ret = batch_open(&split->batch, bytes, length_bytes);

	split->count = 0;
	split->partitions = 0;
	memset(split->spans, 0, sizeof(split->spans));
	if (ret != 0)
		return ret;
	batch_iter_init(&iter);
	while ((ret = batch_next(&split->batch, &iter, &view)) > 0) {
		ret = add_span(split, &view);
		if (ret != 0)
			return ret;
	}
	return ret != 0 ? ret : make_used(split);
}

/* ---- Writing ------------------------------------------------------------ */

/* Calls of a walk over a section: how long it gets, then the bytes. */
struct section_out {
	struct writer *writer; /* NULL: only count */
	size_t length;
};

static void put(struct section_out *out, const uint8_t *from, const uint8_t *to)
{
	out->length += (size_t)(to - from);
	if (out->writer != NULL)
		writer_bytes(out->writer, from, (size_t)(to - from));
}

/* The fields of a section that stand for a partition. */
static void walk_section(const struct batch_split *split, struct slice section,
	unsigned int partition, const struct split_span *first, const struct split_span *end,
	struct section_out *out)
{
	struct cursor cursor = cursor_of_slice(section);
	const struct split_span *span = first;
	bool inherits = false;

	for (const struct split_span *at = first; at < end; at++)
		inherits |= at->partition == partition && at->inherits;
	while (cursor_more(&cursor)) {
		const uint8_t *start = cursor.at;
		uint32_t tag = cursor_tag(&cursor);

		cursor_skip(&cursor, tag);
		if (tag == TAG_SECTION_SPANS) {
			bool ours = span < end && split->batch.bytes + span->span == start &&
				    span->partition == partition;

			span++;
			if (!ours)
				continue;
		} else if (tag == TAG_SECTION_TRACE && !inherits) {
			continue;
		}
		put(out, start, cursor.at);
	}
}

static void write_section(struct batch_split *split, struct slice section, unsigned int partition,
	uint32_t *at, struct writer *writer)
{
	uint32_t offset = (uint32_t)(section.data - split->batch.bytes);
	const struct split_span *first;
	const struct split_span *end;
	struct section_out out = {0};
	uint32_t ours = 0;

	if (*at >= split->count || split->list[*at].section != offset)
		return; /* it has no spans */
	first = &split->list[*at];
	while (*at < split->count && split->list[*at].section == offset)
		ours += split->list[(*at)++].partition == partition;
	end = &split->list[*at];
	if (ours == 0)
		return;
	walk_section(split, section, partition, first, end, &out);
	writer_byte(writer, TAG_BATCH_SECTIONS);
	writer_varint(writer, out.length);
	out.writer = writer;
	walk_section(split, section, partition, first, end, &out);
}

void batch_split_write(struct batch_split *split, unsigned int partition, struct writer *writer)
{
	struct cursor cursor = cursor_of(split->batch.bytes, split->batch.length);
	uint32_t shape = 0;
	uint32_t at = 0;

	/* Without shapes there are no spans. */
	if (split->used == NULL)
		return;
	memset(split->used, 0, split->used_capacity);
	for (uint32_t i = 0; i < split->count; i++)
		if (split->list[i].partition == partition)
			split->used[split->list[i].shape] = 1;
	while (cursor_more(&cursor)) {
		const uint8_t *start = cursor.at;
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_BATCH_SECTIONS) {
			write_section(split, cursor_bytes(&cursor), partition, &at, writer);
			continue;
		}
		cursor_skip(&cursor, tag);
		if (tag != TAG_BATCH_SHAPES || split->used[shape++] != 0)
			writer_bytes(writer, start, (size_t)(cursor.at - start));
	}
}

void batch_split_done(struct batch_split *split)
{
	batch_done(&split->batch);
	free(split->list);
	free(split->used);
	*split = (struct batch_split){0};
}
