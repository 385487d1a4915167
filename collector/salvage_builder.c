/* See salvage_builder.h. */
#include "salvage_builder.h"

#include "batch.h"

#include <math.h>
#include <string.h>

enum { PREAMBLE_BYTES = REGION_PRODUCER_BYTES + 256 };

/* ---- Shapes ---------------------------------------------------------------- */

static uint32_t shape_id(struct slice shape)
{
	struct cursor cursor = cursor_of_slice(shape);
	uint32_t id = 0;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_SHAPE_ID)
			id = cursor_varint32(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	return cursor.error == 0 && id <= WIRE_SHAPE_ID_LIMIT ? id : 0;
}

void builder_find_shapes(struct builder *builder)
{
	const uint8_t *begin = builder->image->bytes + REGION_SHAPES_AT;
	struct cursor cursor = cursor_of(begin, region_image_header(builder->image)->shapes_bytes);

	while (cursor_more(&cursor)) {
		const uint8_t *at = cursor.at;
		uint32_t tag = cursor_tag(&cursor);
		struct slice shape = cursor_bytes(&cursor);
		uint32_t id;

		if (cursor.error != 0 || tag != TAG_BATCH_SHAPES)
			return;
		id = shape_id(shape);
		if (id != 0)
			builder->shapes[id] =
				(struct shape_entry){.at = (uint32_t)(at - builder->image->bytes),
					.length = (uint32_t)(cursor.at - at)};
	}
}

int builder_use_shape(struct builder *builder, uint32_t id)
{
	struct shape_entry *entry = &builder->shapes[id];

	if (entry->length == 0)
		return ERR_SHAPE;
	if (entry->batch == builder->batch)
		return 0;
	entry->batch = builder->batch;
	return bytes_put(&builder->shape_bytes, builder->image->bytes + entry->at, entry->length);
}

/* ---- Clocks ---------------------------------------------------------------- */

static bool clock_fits(const struct region_clock *clock, uint32_t source)
{
	return clock->version != 0 && clock->source == source && isfinite(clock->ns_per_tick) &&
	       clock->ns_per_tick > 0 && clock->ns_per_tick <= 1e9 &&
	       clock->close_realtime_ns <= INT64_MAX && clock->open_realtime_ns <= INT64_MAX;
}

bool builder_clock(const struct builder *builder, uint32_t source, struct region_clock *ret_clock)
{
	if (source >= REGION_CLOCKS)
		return false;
	*ret_clock = region_image_header(builder->image)->clocks[source];
	if (clock_fits(ret_clock, source)) {
		ret_clock->stepped |= ret_clock->version & 1;
		return true;
	}
	if (source != WIRE_CLOCK_MONOTONIC)
		return false;
	*ret_clock = (struct region_clock){.open_raw = builder->source->monotonic_ns,
		.open_realtime_ns = builder->source->realtime_ns,
		.close_raw = builder->source->monotonic_ns,
		.close_realtime_ns = builder->source->realtime_ns,
		.ns_per_tick = 1};
	return true;
}

uint64_t builder_realtime(const struct region_clock *clock, uint64_t raw)
{
	double since = (double)(int64_t)(raw - clock->close_raw) * clock->ns_per_tick;
	double at = (double)clock->close_realtime_ns + since;

	if (at < 0)
		return 0;
	if (at >= 9.2e18)
		return INT64_MAX;
	/* The difference is exact where the sum is not. */
	return clock->close_realtime_ns +
	       (uint64_t)(int64_t)(since < 0 ? since - 0.5 : since + 0.5);
}

/* ---- Batches --------------------------------------------------------------- */

void builder_begin(struct builder *builder)
{
	builder->batch++;
	builder->shape_bytes.length = 0;
	builder->sections.length = 0;
	builder->section = 0;
	builder->spans = 0;
	builder->stretch_count = 0;
}

size_t builder_bytes(const struct builder *builder)
{
	return PREAMBLE_BYTES + builder->shape_bytes.length + builder->sections.length;
}

void builder_end_section(struct builder *builder)
{
	size_t body = builder->section + 3;
	uint32_t length = (uint32_t)(builder->sections.length - body);
	uint8_t *at;

	if (builder->section == 0)
		return;
	at = builder->sections.data + builder->section;
	at[0] = (uint8_t)(length | 0x80);
	at[1] = (uint8_t)(length >> 7 | 0x80);
	at[2] = (uint8_t)(length >> 14);
	builder->section = 0;
}

int builder_begin_section(struct builder *builder, uint64_t id_base, uint64_t clock_base,
	uint64_t thread, struct slice trace)
{
	uint8_t head[BUILDER_SECTION_BYTES];
	struct writer writer = writer_of(head, sizeof(head));
	size_t at;
	int status;

	builder_end_section(builder);
	writer_varint(&writer, TAG_BATCH_SECTIONS);
	at = builder->sections.length + writer_length(&writer);
	writer_varint_padded(&writer, 0, 3);
	writer_field_fixed64(&writer, TAG_SECTION_ID_BASE, id_base);
	writer_field_fixed64(&writer, TAG_SECTION_CLOCK_BASE, clock_base);
	writer_field_varint(&writer, TAG_SECTION_THREAD, thread);
	if (trace.data != NULL) {
		writer_varint(&writer, TAG_SECTION_TRACE);
		writer_varint(&writer, trace.length);
	}
	status = bytes_put(&builder->sections, head, writer_length(&writer));
	if (status == 0 && trace.data != NULL)
		status = bytes_put(&builder->sections, trace.data, trace.length);
	if (status == 0)
		builder->section = at;
	return status;
}

static void preamble_write(
	const struct builder *builder, const struct region_clock *clock, struct writer *writer)
{
	const struct region_header *header = region_image_header(builder->image);
	size_t nested;
	uint64_t rate;

	if (header->producer_bytes > 0) {
		writer_field_bytes(writer, TAG_BATCH_PRODUCER,
			slice_of(header->producer, header->producer_bytes));
	} else {
		nested = writer_nested_begin(writer, TAG_BATCH_PRODUCER);
		writer_field_bytes(
			writer, TAG_PRODUCER_SERVICE, slice_of_text(builder->source->service));
		writer_field_varint(writer, TAG_PRODUCER_PID, builder->source->pid);
		writer_field_varint(writer, TAG_PRODUCER_TEXTS, 1);
		writer_nested_end(writer, nested);
	}
	if (clock == NULL)
		return;
	memcpy(&rate, &clock->ns_per_tick, sizeof(rate));
	nested = writer_nested_begin(writer, TAG_BATCH_CLOCK);
	writer_field_varint(writer, TAG_CLOCK_SOURCE, clock->source);
	writer_field_fixed64(writer, TAG_CLOCK_OPEN_RAW, clock->open_raw);
	writer_field_fixed64(writer, TAG_CLOCK_OPEN_REALTIME_NS, clock->open_realtime_ns);
	writer_field_fixed64(writer, TAG_CLOCK_CLOSE_RAW, clock->close_raw);
	writer_field_fixed64(writer, TAG_CLOCK_CLOSE_REALTIME_NS, clock->close_realtime_ns);
	writer_field_fixed64(writer, TAG_CLOCK_NS_PER_TICK, rate);
	writer_field_varint(writer, TAG_CLOCK_STEPPED, clock->stepped != 0);
	writer_nested_end(writer, nested);
}

int builder_finish(
	struct builder *builder, const struct region_clock *clock, struct bytes *ret_bytes)
{
	uint8_t preamble[PREAMBLE_BYTES];
	struct writer writer = writer_of(preamble, sizeof(preamble));
	struct batch batch = {0};
	uint64_t spans = 0;
	int status;

	builder_end_section(builder);
	preamble_write(builder, clock, &writer);
	status = writer.error != 0 ? writer.error
				   : bytes_put(ret_bytes, preamble, writer_length(&writer));
	if (status == 0)
		status = bytes_put(
			ret_bytes, builder->shape_bytes.data, builder->shape_bytes.length);
	if (status == 0)
		status = bytes_put(ret_bytes, builder->sections.data, builder->sections.length);
	if (status == 0 && ret_bytes->length > WIRE_BATCH_LIMIT)
		status = ERR_LIMIT;
	if (status == 0)
		status = batch_open(&batch, ret_bytes->data, ret_bytes->length);
	if (status == 0)
		status = batch_check(&batch, &spans);
	if (status == 0 && spans != builder->spans)
		status = ERR_MALFORMED;
	batch_done(&batch);
	return status;
}
