/* See line_index.h. */
#include "line_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json_write.h"
#include "scratch.h"

void line_index_done(struct line_index *index)
{
	free(index->shapes);
	*index = (struct line_index){0};
}

static void add_number(uint64_t filter[INDEX_FILTER_WORDS], const char *key, uint64_t number)
{
	char digits[JSON_INTEGER_BYTES];

	index_filter_attribute(
		filter, slice_of_text(key), slice_of(digits, json_format_u64(digits, number)));
}

static void add_text(uint64_t filter[INDEX_FILTER_WORDS], const char *key, struct slice text)
{
	index_filter_attribute(filter, slice_of_text(key), text);
}

/* False: there is something that only the line shows. */
static bool add_resource(struct line_index *index, const struct batch *batch)
{
	struct attribute_iter iter;
	struct attribute attribute;

	batch_resource(batch, &iter);
	while (attribute_next(&iter, &attribute)) {
		if (attribute.value.type != VALUE_TEXT)
			return false;
		index_filter_attribute(index->head, attribute.key, attribute.value.text);
	}
	return true;
}

int line_index_begin(struct line_index *index, const struct batch *batch)
{
	const struct batch_producer *producer = &batch->producer;

	if (batch->shape_count > index->shape_capacity) {
		struct line_index_shape *grown =
			reallocarray(index->shapes, batch->shape_count, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		index->shapes = grown;
		index->shape_capacity = batch->shape_count;
	}
	for (uint32_t i = 0; i < batch->shape_count; i++)
		index->shapes[i].built = false;
	memset(index->head, 0, sizeof(index->head));
	index->with_kind = 0;
	index_filter_text(index->head, INDEX_SERVICE, producer->service);
	add_text(index->head, "service", producer->service);
	add_text(index->head, "host", producer->host);
	add_number(index->head, "pid", producer->pid);
	index->plain = add_resource(index, batch) && !producer->bad_utf8 && !batch->clock.stepped;
	return 0;
}

static void build_shape(struct line_index_shape *line, const struct line_index *index,
	const struct batch *batch, const struct batch_shape *shape)
{
	struct slice layer = batch_slice(batch, shape->layer);

	memcpy(line->filter, index->head, sizeof(line->filter));
	index_filter_text(line->filter, INDEX_OPERATION, batch_slice(batch, shape->name));
	index_filter_text(
		line->filter, INDEX_LAYER, layer.length > 0 ? layer : slice_of_text("core"));
	if (shape->file.length > 0)
		add_text(line->filter, "code.file.path", batch_slice(batch, shape->file));
	if (shape->line > 0)
		add_number(line->filter, "code.line.number", shape->line);
	if (shape->function.length > 0)
		add_text(line->filter, "code.function.name", batch_slice(batch, shape->function));
	line->built = true;
}

/* Mostly those of the span before. */
static void with_build(struct line_index *index, const struct span_view *view)
{
	static const char *const kinds[WIRE_KINDS] = {
		"internal", "server", "client", "producer", "consumer"};

	memset(index->with, 0, sizeof(index->with));
	add_text(index->with, "kind", slice_of_text(kinds[view->kind]));
	if (view->thread != 0)
		add_number(index->with, "thread.id", view->thread);
	index->with_kind = (int)view->kind + 1;
	index->with_thread = view->thread;
}

static int add_line(struct slice line, struct scratch *scratch, struct index_builder *builder)
{
	struct record record;
	int ret = record_parse(slice_of(line.data, line.length - 1), scratch, &record, NULL);

	if (ret == 0)
		ret = index_builder_add(builder, &record, scratch);
	scratch_reset(scratch);
	return ret;
}

/* Word by word: bits of the span's values were set in some of them just now, and a register
 * as wide as two would have to wait for these stores. */
static inline void filter_join(uint64_t into[INDEX_FILTER_WORDS],
	const uint64_t a[INDEX_FILTER_WORDS], const uint64_t b[INDEX_FILTER_WORDS])
{
#pragma GCC unroll 8
	for (size_t word = 0; word < INDEX_FILTER_WORDS; word++) {
		uint64_t bits = a[word] | b[word];

		__asm__("" : "+r"(bits)); /* one register a word */
		into[word] |= bits;
	}
}

int line_index_add(struct line_index *index, const struct batch *batch,
	const struct span_view *view, struct slice line, struct scratch *scratch,
	struct index_builder *builder)
{
	struct line_index_shape *shape = &index->shapes[batch_shape_index(batch, view->shape)];

	if (!index->plain || view->repairs != 0 || view->shape->bad_utf8 ||
		view->trace->state.length > 0)
		return add_line(line, scratch, builder);
	if (!shape->built)
		build_shape(shape, index, batch, view->shape);
	if (index->with_kind != (int)view->kind + 1 || index->with_thread != view->thread)
		with_build(index, view);
	filter_join(builder->run.filter, shape->filter, index->with);
	return index_builder_add_span(
		builder, &(struct index_span){.span_id = view->span_id,
				 .has_parent = view->parent_id != 0,
				 .status = (enum record_status)view->status,
				 .start_ns = (int64_t)view->start_ns,
				 .duration_ns = view->status == WIRE_STATUS_PENDING
							? -1
							: (int64_t)view->duration_ns});
}
