/*
 * See salvage.h. Batches are put together by salvage_builder.h.
 *
 * Chunks are walked from their start, since what a span is (its section, its trace)
 * is said by what stands before it; only what is not durable is taken.
 */
#include "salvage.h"

#include "export.h"
#include "ids.h"
#include "salvage_builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_BYTES = 192 * 1024, /* a batch is full from here on */
	OPEN_SPAN_BYTES = 96,
	TAKEN_BYTES = 32,
	REASON_BYTES = 64,
};

/* ---- What comes out --------------------------------------------------------- */

static int fence_add(struct salvage *out, const struct fence_entry *entry)
{
	uint8_t buffer[TAKEN_BYTES + REASON_BYTES];
	struct writer writer = writer_of(buffer, sizeof(buffer));

	fence_encode(&writer, entry);
	return writer.error != 0 ? writer.error
				 : bytes_put(&out->fence, buffer, writer_length(&writer));
}

/* Takes bytes. */
static int message_add(
	struct builder *builder, enum log_kind kind, uint64_t spans, struct bytes *bytes)
{
	struct salvage *out = builder->out;

	if (out->count == out->capacity) {
		size_t capacity = out->capacity != 0 ? out->capacity * 2 : 8;
		struct salvage_message *grown =
			reallocarray(out->messages, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		out->messages = grown;
		out->capacity = capacity;
	}
	out->messages[out->count++] = (struct salvage_message){
		.kind = kind, .sequence = ++builder->sequence, .spans = spans, .bytes = *bytes};
	*bytes = (struct bytes){0};
	return 0;
}

/* The batch of finished spans is full, or there are no more. */
static int batch_flush(struct builder *builder)
{
	struct region_clock clock;
	struct bytes bytes = {0};
	int status = 0;

	if (builder->spans == 0) {
		builder_begin(builder);
		return 0;
	}
	status = builder_clock(builder, builder->clock, &clock)
			 ? builder_finish(builder, &clock, &bytes)
			 : ERR_CLOCK;
	if (status == 0)
		status = message_add(builder, LOG_BATCH, builder->spans, &bytes);
	for (size_t i = 0; status == 0 && i < builder->stretch_count; i++) {
		struct fence_entry entry = {.kind = FENCE_TAKEN,
			.taken = {.sequence = builder->sequence,
				.unit = builder->stretches[i].unit,
				.from = builder->stretches[i].from,
				.to = builder->stretches[i].to}};

		status = fence_add(builder->out, &entry);
	}
	if (status == 0) {
		builder->out->finished += builder->spans;
	} else if (status != -ENOMEM) {
		/* What does not decode is nothing that can be stored. */
		builder->refused = true;
		builder->out->damaged++;
		status = 0;
	}
	bytes_done(&bytes);
	builder_begin(builder);
	return status;
}

/* ---- Chunks ----------------------------------------------------------------- */

struct walk {
	const uint8_t *bytes; /* of the chunk */
	uint32_t unit;
	uint32_t at;
	uint32_t end;
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
	struct slice trace; /* that holds at `at`; absent: none */
	bool section;	    /* the builder's section goes on here */
};

/* What a span's bytes say of it. */
struct walked {
	uint32_t length; /* of the entry; 0: malformed */
	uint32_t shape;
	uint32_t number; /* of its id, from the section's base on */
	struct slice trace;
};

static struct walked span_look(const struct walk *walk)
{
	struct cursor outer = cursor_of(walk->bytes + walk->at, walk->end - walk->at);
	struct walked walked = {0};
	uint32_t tag = cursor_tag(&outer);
	struct slice span = cursor_bytes(&outer);
	struct cursor cursor;

	if (outer.error != 0 || tag != TAG_SECTION_SPANS || span.length > WIRE_SPAN_LIMIT)
		return walked;
	cursor = cursor_of_slice(span);
	while (cursor_more(&cursor)) {
		tag = cursor_tag(&cursor);
		if (tag == TAG_SPAN_IDS) {
			uint64_t ids = cursor_fixed64(&cursor);

			walked.shape = (uint32_t)(ids >> 48);
			walked.number = (uint32_t)ids;
		} else if (tag == TAG_SPAN_TRACE) {
			walked.trace = cursor_bytes(&cursor);
		} else {
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error == 0)
		walked.length = (uint32_t)(outer.at - (walk->bytes + walk->at));
	return walked;
}

static void mark_take(struct walk *walk)
{
	const uint8_t *at = walk->bytes + walk->at;

	walk->id_base = le64_read(at + 1);
	walk->clock_base = le64_read(at + 9);
	walk->thread = le64_read(at + 17);
	walk->trace = slice_of(NULL, 0);
	walk->section = false;
	walk->at += REGION_MARK_BYTES;
}

/* Notes that the chunk's bytes to `to` are in the batch. */
static void stretch_add(struct builder *builder, const struct walk *walk, uint32_t to)
{
	struct stretch *last =
		builder->stretch_count > 0 ? &builder->stretches[builder->stretch_count - 1] : NULL;

	if (last != NULL && last->unit == walk->unit) {
		last->to = to;
		return;
	}
	builder->stretches[builder->stretch_count++] =
		(struct stretch){.unit = walk->unit, .from = walk->at, .to = to};
}

static int span_add(struct builder *builder, struct walk *walk, const struct walked *walked)
{
	const struct shape_entry *shape = &builder->shapes[walked->shape];
	size_t more = walked->length + BUILDER_SECTION_BYTES + walk->trace.length +
		      (shape->batch != builder->batch ? shape->length : 0);
	int status = 0;

	if (builder->spans > 0 && builder_bytes(builder) + more > BATCH_BYTES) {
		status = batch_flush(builder);
		walk->section = false;
	}
	if (status == 0)
		status = builder_use_shape(builder, walked->shape);
	if (status == 0 && !walk->section)
		status = builder_begin_section(builder, walk->id_base, walk->clock_base,
			walk->thread, walked->trace.data != NULL ? slice_of(NULL, 0) : walk->trace);
	walk->section = true;
	if (status == 0)
		status = bytes_put(&builder->sections, walk->bytes + walk->at, walked->length);
	if (status == 0) {
		stretch_add(builder, walk, walk->at + walked->length);
		builder->spans++;
	}
	return status;
}

/* All of a chunk from `from` on. 0 or -ENOMEM. */
static int chunk_walk(struct builder *builder, struct walk *walk, uint32_t from)
{
	uint64_t last = 0;
	int status = 0;

	while (status == 0 && walk->at < walk->end) {
		struct walked walked;

		if (walk->end - walk->at >= REGION_MARK_BYTES && walk->bytes[walk->at] == 0) {
			/* A mark in front of what is taken belongs to it. */
			if (walk->at >= from)
				stretch_add(builder, walk, walk->at + REGION_MARK_BYTES);
			mark_take(walk);
			continue;
		}
		walked = span_look(walk);
		/* What was answered ends where a span ends. */
		if (walked.length == 0 || (walk->at < from && walk->at + walked.length > from)) {
			builder->out->damaged++;
			return 0;
		}
		last = walk->id_base + walked.number;
		if (walk->at >= from)
			status = span_add(builder, walk, &walked);
		if (walked.trace.data != NULL)
			walk->trace = walked.trace;
		walk->at += walked.length;
	}
	builder->last[builder->last_count++] = last;
	if (status == ERR_SHAPE) {
		builder->out->damaged++;
		return 0;
	}
	return status;
}

static int chunk_read(struct builder *builder, uint32_t unit, uint32_t clock)
{
	const uint8_t *bytes =
		builder->image->bytes + REGION_UNITS_AT + (size_t)unit * REGION_UNIT_BYTES;
	const struct region_chunk *head = (const struct region_chunk *)(const void *)bytes;
	uint32_t most = region_run_units(builder->image, unit) * REGION_UNIT_BYTES;
	uint32_t from = builder->reached[unit];
	struct walk walk = {.bytes = bytes,
		.unit = unit,
		.at = sizeof(*head),
		.end = head->published,
		.id_base = head->id_base,
		.clock_base = head->clock_base,
		.thread = head->thread};
	int status;

	if (head->clock != clock)
		return 0;
	if (head->taken > from)
		from = head->taken;
	if (head->published > most || head->published < sizeof(*head) || from > head->published) {
		builder->out->damaged++;
		return 0;
	}
	status = chunk_walk(builder, &walk, from);
	/* A mark at the end has no span yet. */
	builder_end_section(builder);
	if (status == 0 && builder->single)
		status = batch_flush(builder);
	return status;
}

/* How far each chunk is durable, by the cuts of what was answered. */
static void cuts_read(struct builder *builder, uint64_t durable, uint64_t said[REGION_REASONS])
{
	const struct region_cut *cuts =
		(const struct region_cut *)(const void *)(builder->image->bytes + REGION_CUTS_AT);

	for (uint32_t i = 0; i < REGION_CUTS; i++) {
		const struct region_cut *cut = &cuts[i];

		if (cut->sequence == 0 || cut->sequence > durable)
			continue;
		if (cut->unit == REGION_CUT_DROP && cut->from < REGION_REASONS &&
			cut->id_base > said[cut->from])
			said[cut->from] = cut->id_base;
		else if (cut->unit < REGION_UNITS && cut->to > builder->reached[cut->unit])
			builder->reached[cut->unit] = cut->to;
	}
}

static int chunks_read(struct builder *builder)
{
	const uint8_t *kinds = builder->image->bytes + REGION_KINDS_AT;
	int status = 0;

	for (uint32_t clock = 0; status == 0 && clock < REGION_CLOCKS; clock++) {
		builder->clock = clock;
		builder_begin(builder);
		for (uint32_t unit = 0; status == 0 && unit < REGION_UNITS; unit++)
			if (kinds[unit] == REGION_CHUNK)
				status = chunk_read(builder, unit, clock);
		if (status == 0)
			status = batch_flush(builder);
	}
	return status;
}

/* ---- Drops ------------------------------------------------------------------- */

/* A reason as it may stand anywhere; absent: it is none. */
static struct slice reason_text(const struct region_drops *drops)
{
	size_t length = strnlen(drops->reason, sizeof(drops->reason));

	if (length == 0 || length == sizeof(drops->reason))
		return slice_of(NULL, 0);
	for (size_t i = 0; i < length; i++)
		if (drops->reason[i] <= ' ' || drops->reason[i] > '~')
			return slice_of(NULL, 0);
	return slice_of(drops->reason, length);
}

static int drops_read(struct builder *builder, const uint64_t said[REGION_REASONS])
{
	const struct region_header *header = region_image_header(builder->image);
	int status = 0;

	for (int i = 0; status == 0 && i < REGION_REASONS; i++) {
		const struct region_drops *drops = &header->drops[i];
		struct slice reason = reason_text(drops);
		uint64_t known = drops->said > said[i] ? drops->said : said[i];
		uint8_t buffer[REASON_BYTES];
		struct writer writer = writer_of(buffer, sizeof(buffer));
		struct bytes bytes = {0};
		struct fence_entry entry = {.kind = FENCE_DROPS};

		if (reason.data == NULL || drops->spans <= known)
			continue;
		writer_field_bytes(&writer, TAG_DROP_REASON, reason);
		writer_field_varint(&writer, TAG_DROP_SPANS, drops->spans - known);
		status = bytes_put(&bytes, buffer, writer_length(&writer));
		if (status == 0)
			status = message_add(builder, LOG_DROP, drops->spans - known, &bytes);
		bytes_done(&bytes);
		if (status != 0)
			break;
		entry.drops = (struct taken_drops){
			.sequence = builder->sequence, .reason = reason, .said = drops->spans};
		status = fence_add(builder->out, &entry);
		builder->out->dropped += drops->spans - known;
	}
	return status;
}

/* ---- Open spans --------------------------------------------------------------- */

/* As a pending span that has been open until now. */
static int slot_add(struct builder *builder, const struct region_slot *slot, uint64_t start_ns)
{
	uint64_t now_ns = builder->source->realtime_ns;
	uint64_t end_ns = start_ns < now_ns ? now_ns : start_ns;
	uint8_t buffer[OPEN_SPAN_BYTES];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	size_t span = writer_nested_begin(&writer, TAG_SECTION_SPANS);
	size_t nested;

	writer_field_fixed64(&writer, TAG_SPAN_IDS, (uint64_t)slot->shape << 48);
	nested = writer_nested_begin(&writer, TAG_SPAN_TRACE);
	writer_field_bytes(&writer, TAG_TRACE_TRACE_ID, slice_of(slot->trace, 16));
	writer_nested_end(&writer, nested);
	writer_field_fixed64(&writer, TAG_SPAN_PARENT_ID,
		(slot->state & REGION_SLOT_PARENT_ID) != 0 ? slot->parent : id_mix(slot->parent));
	nested = writer_nested_begin(&writer, TAG_SPAN_DETAIL);
	writer_field_varint(&writer, TAG_DETAIL_STATUS, WIRE_STATUS_PENDING);
	writer_field_fixed64(&writer, TAG_DETAIL_SPAN_ID, id_mix(slot->raw));
	writer_nested_end(&writer, nested);
	writer_field_fixed64(&writer, TAG_SPAN_END_RAW, end_ns);
	writer_field_fixed64(&writer, TAG_SPAN_DURATION_RAW, end_ns - start_ns);
	writer_nested_end(&writer, span);
	return writer.error != 0 ? writer.error
				 : bytes_put(&builder->sections, buffer, writer_length(&writer));
}

/* Whether it stands in a chunk already: its process died between writing it there and
 * clearing the slot. */
static bool is_finished(const struct builder *builder, const struct region_slot *slot)
{
	for (size_t i = 0; i < builder->last_count; i++)
		if (builder->last[i] == slot->raw)
			return true;
	return false;
}

static int slots_read(struct builder *builder, const struct region_slot *slots,
	const struct region_clock clocks[REGION_CLOCKS], const bool dated[REGION_CLOCKS],
	uint64_t *left_out)
{
	int status = 0;

	for (int i = 0; status == 0 && i < REGION_UNIT_SLOTS; i++) {
		const struct region_slot *slot = &slots[i];

		if ((slot->state & REGION_SLOT_OPEN) == 0 || slot->raw == 0 ||
			slot->shape > WIRE_SHAPE_ID_LIMIT || slot->clock >= REGION_CLOCKS ||
			!dated[slot->clock] || is_finished(builder, slot))
			continue;
		if (builder_bytes(builder) + builder->shapes[slot->shape].length + OPEN_SPAN_BYTES >
			BATCH_BYTES) {
			(*left_out)++;
			continue;
		}
		status = builder_use_shape(builder, slot->shape);
		if (status == ERR_SHAPE) {
			status = 0;
			continue;
		}
		if (status == 0 && (builder->section == 0 || builder->thread != slot->thread))
			status = builder_begin_section(
				builder, 0, 0, slot->thread, slice_of(NULL, 0));
		builder->thread = slot->thread;
		if (status == 0)
			status = slot_add(
				builder, slot, builder_realtime(&clocks[slot->clock], slot->start));
		builder->spans += status == 0;
	}
	return status;
}

static int open_read(struct builder *builder, uint64_t *left_out)
{
	const uint8_t *kinds = builder->image->bytes + REGION_KINDS_AT;
	struct region_clock clocks[REGION_CLOCKS];
	bool dated[REGION_CLOCKS];
	int status = 0;

	builder_begin(builder);
	for (uint32_t i = 0; i < REGION_CLOCKS; i++)
		dated[i] = builder_clock(builder, i, &clocks[i]);
	for (uint32_t unit = 0; status == 0 && unit < REGION_UNITS; unit++)
		if (kinds[unit] == REGION_SLOTS)
			status = slots_read(builder,
				(const struct region_slot *)(const void
						*)(builder->image->bytes + REGION_UNITS_AT +
						   (size_t)unit * REGION_UNIT_BYTES),
				clocks, dated, left_out);
	return status;
}

/* ---- Entry ---------------------------------------------------------------------- */

static struct builder *builder_new(
	const struct region_image *image, const struct salvage_source *source, struct salvage *out)
{
	struct builder *builder = calloc(1, sizeof(*builder));

	if (builder == NULL)
		return NULL;
	builder->shapes = calloc(WIRE_SHAPE_ID_LIMIT + 1, sizeof(*builder->shapes));
	if (builder->shapes == NULL) {
		free(builder);
		return NULL;
	}
	builder->image = image;
	builder->source = source;
	builder->out = out;
	builder_find_shapes(builder);
	return builder;
}

static void builder_free(struct builder *builder)
{
	if (builder == NULL)
		return;
	bytes_done(&builder->shape_bytes);
	bytes_done(&builder->sections);
	free(builder->shapes);
	free(builder);
}

static bool is_of(const struct region_image *image, const struct salvage_source *source)
{
	const struct region_header *header = region_image_header(image);

	return memcmp(header->client, source->client, sizeof(header->client)) == 0 &&
	       header->closed == 0;
}

static int finished_read(struct builder *builder, uint64_t durable)
{
	const struct fence_entry begin = {.kind = FENCE_SEQUENCE, .sequence = durable};
	uint64_t said[REGION_REASONS] = {0};
	int status;

	builder->sequence = durable;
	builder->refused = false;
	builder->last_count = 0;
	cuts_read(builder, durable, said);
	status = fence_add(builder->out, &begin);
	if (status == 0)
		status = chunks_read(builder);
	if (status == 0)
		status = drops_read(builder, said);
	return status;
}

static int pending_read(struct builder *builder)
{
	struct bytes bytes = {0};
	uint64_t left_out = 0;
	int status = open_read(builder, &left_out);

	if (status == 0 && builder->spans > 0) {
		status = builder_finish(builder, NULL, &bytes);
		if (status == 0)
			status = message_add(builder, LOG_BATCH, builder->spans, &bytes);
		if (status == 0)
			builder->out->open = builder->spans;
	}
	bytes_done(&bytes);
	return status == -ENOMEM ? status : 0;
}

int salvage_read(const struct region_image *image, const struct salvage_source *source,
	uint64_t durable, struct salvage *ret)
{
	struct builder *builder = NULL;
	int status = is_of(image, source) ? 0 : -ESTALE;

	*ret = (struct salvage){0};
	if (status == 0) {
		builder = builder_new(image, source, ret);
		status = builder != NULL ? finished_read(builder, durable) : -ENOMEM;
	}
	if (status == 0 && builder->refused) {
		/* So that one bad chunk takes no other with it. */
		salvage_done(ret);
		builder->single = true;
		status = finished_read(builder, durable);
	}
	if (status == 0)
		status = pending_read(builder);
	builder_free(builder);
	return status;
}

void salvage_done(struct salvage *salvage)
{
	for (size_t i = 0; i < salvage->count; i++)
		bytes_done(&salvage->messages[i].bytes);
	free(salvage->messages);
	bytes_done(&salvage->fence);
	*salvage = (struct salvage){0};
}

int salvage_open_spans(const struct region_image *image, const struct salvage_source *source,
	struct bytes *ret_batch, uint64_t *ret_spans, uint64_t *ret_left_out)
{
	struct builder *builder = NULL;
	int status = is_of(image, source) ? 0 : -ESTALE;

	*ret_spans = 0;
	*ret_left_out = 0;
	if (status == 0) {
		builder = builder_new(image, source, NULL);
		status = builder != NULL ? open_read(builder, ret_left_out) : -ENOMEM;
	}
	if (status == 0 && builder->spans > 0) {
		status = builder_finish(builder, NULL, ret_batch);
		*ret_spans = status == 0 ? builder->spans : 0;
	}
	builder_free(builder);
	return status;
}
