/* See region_make.h. */
#include "region_make.h"

#include "cursor.h"
#include "wire.h"

#include <string.h>

static const uint64_t base_raw = 1000000;
static const uint64_t base_ns = UINT64_C(1767951000000000000);

static struct region_chunk *chunk_of(uint8_t *bytes, uint32_t unit)
{
	return (struct region_chunk *)(void *)(bytes + REGION_UNITS_AT +
					       (size_t)unit * REGION_UNIT_BYTES);
}

static void put_shape(struct writer *writer, uint32_t id, const char *name)
{
	size_t nested = writer_nested_begin(writer, TAG_BATCH_SHAPES);

	writer_field_varint(writer, TAG_SHAPE_ID, id);
	writer_field_bytes(writer, TAG_SHAPE_NAME, slice_of_text(name));
	writer_field_bytes(writer, TAG_SHAPE_LAYER, slice_of_text("test"));
	writer_nested_end(writer, nested);
}

/* A span of a trace (0: that of the one before). */
static void put_span(struct writer *writer, uint32_t number, uint32_t shape, uint8_t trace)
{
	size_t span = writer_nested_begin(writer, TAG_SECTION_SPANS);
	uint8_t id[16];

	writer_field_fixed64(writer, TAG_SPAN_TIMES, number * 1000 | UINT64_C(500) << 32);
	writer_field_fixed64(writer, TAG_SPAN_IDS, number | (uint64_t)shape << 48);
	if (trace != 0) {
		size_t nested = writer_nested_begin(writer, TAG_SPAN_TRACE);

		memset(id, trace, sizeof(id));
		writer_field_bytes(writer, TAG_TRACE_TRACE_ID, slice_of(id, sizeof(id)));
		writer_nested_end(writer, nested);
	}
	writer_nested_end(writer, span);
}

static struct writer chunk_begin(uint8_t *bytes, uint32_t unit, uint32_t units, uint64_t id_base)
{
	struct region_chunk *chunk = chunk_of(bytes, unit);

	bytes[REGION_KINDS_AT + unit] = REGION_CHUNK;
	memset(bytes + REGION_KINDS_AT + unit + 1, REGION_MORE, units - 1);
	*chunk = (struct region_chunk){.bytes = units * REGION_UNIT_BYTES,
		.taken = sizeof(*chunk),
		.clock = WIRE_CLOCK_TSC,
		.id_base = id_base,
		.clock_base = base_raw,
		.thread = 77};
	return writer_of(chunk + 1, (size_t)units * REGION_UNIT_BYTES - sizeof(*chunk));
}

static uint32_t chunk_at(const struct writer *writer)
{
	return (uint32_t)(sizeof(struct region_chunk) + writer_length(writer));
}

/* Four spans of two sections, the first answered, the second in message 3. */
static void make_first(uint8_t *bytes)
{
	struct region_cut *cuts = (struct region_cut *)(void *)(bytes + REGION_CUTS_AT);
	struct region_chunk *chunk = chunk_of(bytes, REGION_MADE_UNIT);
	struct writer writer = chunk_begin(bytes, REGION_MADE_UNIT, 2, 5000);

	put_span(&writer, 1, 1, 0xa1);
	chunk->taken = chunk_at(&writer);
	cuts[10] = (struct region_cut){.sequence = 3,
		.unit = REGION_MADE_UNIT,
		.from = chunk_at(&writer),
		.id_base = 5000};
	put_span(&writer, 2, 1, 0);
	cuts[10].to = chunk_at(&writer);
	put_span(&writer, 3, 2, 0);
	writer_byte(&writer, 0);
	writer_fixed64(&writer, 9000);
	writer_fixed64(&writer, base_raw + 5000);
	writer_fixed64(&writer, 77);
	cuts[11] = (struct region_cut){.sequence = 5,
		.unit = REGION_MADE_UNIT,
		.from = cuts[10].to,
		.to = chunk_at(&writer)};
	put_span(&writer, 4, 1, 0xa2);
	chunk->published = chunk_at(&writer);
}

static void make_second(uint8_t *bytes)
{
	struct region_chunk *chunk = chunk_of(bytes, REGION_MADE_SECOND);
	struct writer writer = chunk_begin(bytes, REGION_MADE_SECOND, 1, 70000);

	chunk->clock = WIRE_CLOCK_MONOTONIC;
	put_span(&writer, 1, 2, 0xa3);
	put_span(&writer, 2, 2, 0);
	put_span(&writer, 3, 1, 0xa1);
	chunk->published = chunk_at(&writer);
}

static void make_slots(uint8_t *bytes)
{
	struct region_slot *slots =
		(struct region_slot *)(void *)(bytes + REGION_UNITS_AT +
					       (size_t)REGION_MADE_SLOTS * REGION_UNIT_BYTES);

	bytes[REGION_KINDS_AT + REGION_MADE_SLOTS] = REGION_SLOTS;
	for (int i = 0; i < 4; i++)
		slots[i] = (struct region_slot){.state = UINT64_C(7) << 32 | REGION_SLOT_OPEN,
			.start = base_raw + 100,
			.raw = 300 + (uint64_t)i,
			.parent = i == 1 ? 300 : 0,
			.trace = {5, 6},
			.shape = 1,
			.clock = WIRE_CLOCK_TSC,
			.thread = 77};
	/* One that is not open, and one that stands in a chunk already. */
	slots[2].state = UINT64_C(8) << 32;
	slots[3].raw = 9004;
}

static void make_drops(uint8_t *bytes)
{
	struct region_header *header = (struct region_header *)(void *)bytes;
	struct region_cut *cuts = (struct region_cut *)(void *)(bytes + REGION_CUTS_AT);

	memcpy(header->drops[0].reason, "buffer_full", 11);
	header->drops[0].spans = 10;
	header->drops[0].said = 2;
	cuts[9] = (struct region_cut){
		.sequence = 2, .unit = REGION_CUT_DROP, .from = 0, .id_base = 7};
	cuts[12] = (struct region_cut){
		.sequence = 4, .unit = REGION_CUT_DROP, .from = 0, .id_base = 9};
	memcpy(header->drops[1].reason, "too_large", 9);
	header->drops[1].spans = header->drops[1].said = 6;
	memcpy(header->drops[2].reason, "open_limit", 10);
	header->drops[2].spans = 1;
}

void region_make(uint8_t *bytes)
{
	struct region_header *header = (struct region_header *)(void *)bytes;
	struct writer writer = writer_of(bytes + REGION_SHAPES_AT, REGION_SHAPES_BYTES);

	memcpy(header->magic, REGION_MAGIC, sizeof(header->magic));
	header->version = REGION_VERSION;
	header->bytes = REGION_BYTES;
	header->units_at = REGION_UNITS_AT;
	header->unit_bytes = REGION_UNIT_BYTES;
	header->unit_count = REGION_UNITS;
	header->kinds_at = REGION_KINDS_AT;
	header->cuts_at = REGION_CUTS_AT;
	header->cut_count = REGION_CUTS;
	header->shapes_at = REGION_SHAPES_AT;
	memset(header->client, REGION_MADE_CLIENT, sizeof(header->client));
	header->pid = 42;
	header->clocks[WIRE_CLOCK_TSC] = (struct region_clock){.version = 2,
		.source = WIRE_CLOCK_TSC,
		.open_raw = base_raw,
		.open_realtime_ns = base_ns,
		.close_raw = base_raw,
		.close_realtime_ns = base_ns,
		.ns_per_tick = 0.5};
	put_shape(&writer, 1, "made.one");
	put_shape(&writer, 2, "made.two");
	header->shapes_bytes = (uint32_t)writer_length(&writer);
	writer = writer_of(header->producer, sizeof(header->producer));
	writer_field_bytes(&writer, TAG_PRODUCER_SERVICE, slice_of_text("made"));
	writer_field_varint(&writer, TAG_PRODUCER_PID, 42);
	header->producer_bytes = (uint32_t)writer_length(&writer);
	make_first(bytes);
	make_second(bytes);
	make_slots(bytes);
	make_drops(bytes);
}

size_t region_made_end(const uint8_t *bytes, uint32_t unit)
{
	size_t at = REGION_UNITS_AT + (size_t)unit * REGION_UNIT_BYTES;

	return at + ((const struct region_chunk *)(const void *)(bytes + at))->published;
}
