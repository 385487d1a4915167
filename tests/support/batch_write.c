/*
 * Writing batches; see batch_write.h.
 */
#include "batch_write.h"

#include "wire.h"

static void write_value(struct writer *writer, const struct value *value)
{
	switch (value->type) {
	case VALUE_TEXT:
		writer_field_bytes_always(writer, TAG_VALUE_TEXT, value->text);
		break;
	case VALUE_BOOL:
		writer_varint(writer, TAG_VALUE_BOOLEAN);
		writer_varint(writer, value->boolean);
		break;
	case VALUE_INT:
		writer_varint(writer, TAG_VALUE_INTEGER);
		writer_varint(writer, zigzag_encode(value->integer));
		break;
	case VALUE_DOUBLE:
		writer_varint(writer, TAG_VALUE_NUMBER);
		writer_fixed64(writer, double_to_bits(value->number));
		break;
	case VALUE_LIST:
	case VALUE_NONE:
		break;
	}
}

static void write_attribute(
	struct writer *writer, uint32_t tag, const struct attribute_write *attribute)
{
	size_t key_value = writer_nested_begin(writer, tag);
	size_t value;

	writer_field_bytes(writer, TAG_KEY_VALUE_KEY, attribute->key);
	value = writer_nested_begin(writer, TAG_KEY_VALUE_VALUE);
	if (attribute->value.type == VALUE_LIST) {
		size_t list = writer_nested_begin(writer, TAG_VALUE_LIST);

		for (size_t i = 0; i < attribute->element_count; i++) {
			size_t element = writer_nested_begin(writer, TAG_VALUES_VALUES);

			write_value(writer, &attribute->elements[i]);
			writer_nested_end(writer, element);
		}
		writer_nested_end(writer, list);
	} else {
		write_value(writer, &attribute->value);
	}
	writer_nested_end(writer, value);
	writer_nested_end(writer, key_value);
}

static void write_attributes(
	struct writer *writer, uint32_t tag, const struct attribute_write *attributes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		write_attribute(writer, tag, &attributes[i]);
}

void batch_writer_init(struct batch_writer *writer, void *buffer, size_t size_bytes)
{
	*writer = (struct batch_writer){
		.writer = writer_of(
			buffer, size_bytes < WIRE_BATCH_LIMIT ? size_bytes : WIRE_BATCH_LIMIT)};
}

void batch_writer_producer(struct batch_writer *writer, struct slice service, uint64_t pid,
	struct slice host, const struct attribute_write *resource, size_t resource_count)
{
	struct writer *out = &writer->writer;
	size_t producer = writer_nested_begin(out, TAG_BATCH_PRODUCER);

	writer_field_bytes(out, TAG_PRODUCER_SERVICE, service);
	writer_field_varint(out, TAG_PRODUCER_PID, pid);
	writer_field_bytes(out, TAG_PRODUCER_HOST, host);
	write_attributes(out, TAG_PRODUCER_RESOURCE, resource, resource_count);
	writer_field_varint(out, TAG_PRODUCER_TEXTS, writer->texts);
	writer_nested_end(out, producer);
}

void batch_writer_clock(struct batch_writer *writer, const struct batch_clock *clock)
{
	struct writer *out = &writer->writer;
	size_t nested = writer_nested_begin(out, TAG_BATCH_CLOCK);

	writer_field_varint(out, TAG_CLOCK_SOURCE, clock->source);
	writer_field_fixed64(out, TAG_CLOCK_OPEN_RAW, clock->open_raw);
	writer_field_fixed64(out, TAG_CLOCK_OPEN_REALTIME_NS, clock->open_realtime_ns);
	writer_field_fixed64(out, TAG_CLOCK_CLOSE_RAW, clock->close_raw);
	writer_field_fixed64(out, TAG_CLOCK_CLOSE_REALTIME_NS, clock->close_realtime_ns);
	writer_field_fixed64(out, TAG_CLOCK_NS_PER_TICK, double_to_bits(clock->ns_per_tick));
	writer_field_varint(out, TAG_CLOCK_STEPPED, clock->stepped);
	writer_nested_end(out, nested);
}

void batch_writer_shape(struct batch_writer *writer, const struct shape_write *shape)
{
	struct writer *out = &writer->writer;
	size_t nested = writer_nested_begin(out, TAG_BATCH_SHAPES);

	writer_field_varint(out, TAG_SHAPE_ID, shape->id);
	writer_field_bytes(out, TAG_SHAPE_NAME, shape->name);
	writer_field_bytes(out, TAG_SHAPE_LAYER, shape->layer);
	for (size_t i = 0; i < shape->key_count; i++) {
		size_t key = writer_nested_begin(out, TAG_SHAPE_KEYS);

		writer_field_bytes(out, TAG_KEY_NAME, shape->keys[i].name);
		writer_field_varint(out, TAG_KEY_TYPE, shape->keys[i].type);
		writer_nested_end(out, key);
	}
	writer_field_bytes(out, TAG_SHAPE_FILE, shape->file);
	writer_field_varint(out, TAG_SHAPE_LINE, shape->line);
	writer_field_bytes(out, TAG_SHAPE_FUNCTION, shape->function);
	writer_field_bytes(out, TAG_SHAPE_SCOPE, shape->scope);
	writer_field_bytes(out, TAG_SHAPE_SCOPE_VERSION, shape->scope_version);
	writer_nested_end(out, nested);
}

static void write_trace(struct writer *writer, uint32_t tag, const struct trace_write *trace)
{
	size_t nested;

	/* As libwaft writes one that is an id alone. */
	if (trace->state.length == 0 && trace->attribute_count == 0) {
		writer_varint(writer, tag);
		writer_varint(writer, 2 + sizeof(trace->id.bytes));
		writer_field_bytes_always(writer, TAG_TRACE_TRACE_ID,
			slice_of(trace->id.bytes, sizeof(trace->id.bytes)));
		return;
	}
	nested = writer_nested_begin(writer, tag);
	writer_field_bytes_always(
		writer, TAG_TRACE_TRACE_ID, slice_of(trace->id.bytes, sizeof(trace->id.bytes)));
	writer_field_bytes(writer, TAG_TRACE_STATE, trace->state);
	write_attributes(writer, TAG_TRACE_ATTRIBUTES, trace->attributes, trace->attribute_count);
	writer_nested_end(writer, nested);
}

void batch_writer_section_begin(struct batch_writer *writer, uint64_t id_base, uint64_t clock_base,
	uint64_t thread, const struct trace_write *trace)
{
	struct writer *out = &writer->writer;

	writer->section = writer_nested_begin(out, TAG_BATCH_SECTIONS);
	writer->clock_base = clock_base;
	writer_field_fixed64(out, TAG_SECTION_ID_BASE, id_base);
	writer_field_fixed64(out, TAG_SECTION_CLOCK_BASE, clock_base);
	writer_field_varint(out, TAG_SECTION_THREAD, thread);
	if (trace != NULL)
		write_trace(out, TAG_SECTION_TRACE, trace);
}

void batch_writer_section_end(struct batch_writer *writer)
{
	writer_nested_end(&writer->writer, writer->section);
}

/* ---- Spans -------------------------------------------------------------- */

static void write_shape_value(
	struct writer *writer, enum wire_key_type type, const struct value *value)
{
	switch (type) {
	case WIRE_KEY_STRING:
		writer_field_bytes_always(writer, TAG_SPAN_STRINGS, value->text);
		break;
	case WIRE_KEY_INT32:
		writer_varint(writer, TAG_SPAN_INTS);
		writer_fixed32(writer, (uint32_t)value->integer);
		break;
	case WIRE_KEY_INT64:
		writer_varint(writer, TAG_SPAN_LONGS);
		writer_fixed64(writer, (uint64_t)value->integer);
		break;
	case WIRE_KEY_DOUBLE:
		writer_varint(writer, TAG_SPAN_DOUBLES);
		writer_fixed64(writer, double_to_bits(value->number));
		break;
	case WIRE_KEY_BOOL:
		writer_varint(writer, TAG_SPAN_BOOLS);
		writer_varint(writer, value->boolean);
		break;
	default:
		break;
	}
}

static bool has_detail(const struct span_write *span)
{
	return span->status != WIRE_STATUS_SUCCESS || span->error.length > 0 || span->kind != 0 ||
	       span->attribute_count > 0 || span->event_count > 0 || span->link_count > 0 ||
	       span->dropped_attributes != 0 || span->dropped_events != 0 ||
	       span->dropped_links != 0 || span->span_id != 0;
}

static void write_event(struct writer *writer, const struct event_write *event)
{
	size_t nested = writer_nested_begin(writer, TAG_DETAIL_EVENTS);

	writer_field_bytes(writer, TAG_EVENT_NAME, event->name);
	writer_field_fixed64(writer, TAG_EVENT_RAW, event->raw);
	write_attributes(writer, TAG_EVENT_ATTRIBUTES, event->attributes, event->attribute_count);
	writer_nested_end(writer, nested);
}

static void write_link(struct writer *writer, const struct link_write *link)
{
	size_t nested = writer_nested_begin(writer, TAG_DETAIL_LINKS);

	writer_field_bytes_always(writer, TAG_LINK_TRACE_ID,
		slice_of(link->trace_id.bytes, sizeof(link->trace_id.bytes)));
	writer_field_fixed64(writer, TAG_LINK_SPAN_ID, link->span_id);
	write_attributes(writer, TAG_LINK_ATTRIBUTES, link->attributes, link->attribute_count);
	writer_field_bytes(writer, TAG_LINK_STATE, link->state);
	writer_nested_end(writer, nested);
}

static void write_detail(struct writer *writer, const struct span_write *span)
{
	size_t nested = writer_nested_begin(writer, TAG_SPAN_DETAIL);

	writer_field_varint(writer, TAG_DETAIL_STATUS, span->status);
	writer_field_bytes(writer, TAG_DETAIL_ERROR, span->error);
	writer_field_varint(writer, TAG_DETAIL_KIND, span->kind);
	write_attributes(writer, TAG_DETAIL_ATTRIBUTES, span->attributes, span->attribute_count);
	for (size_t i = 0; i < span->event_count; i++)
		write_event(writer, &span->events[i]);
	for (size_t i = 0; i < span->link_count; i++)
		write_link(writer, &span->links[i]);
	writer_field_varint(writer, TAG_DETAIL_DROPPED_ATTRIBUTES, span->dropped_attributes);
	writer_field_varint(writer, TAG_DETAIL_DROPPED_EVENTS, span->dropped_events);
	writer_field_varint(writer, TAG_DETAIL_DROPPED_LINKS, span->dropped_links);
	writer_field_fixed64(writer, TAG_DETAIL_SPAN_ID, span->span_id);
	writer_nested_end(writer, nested);
}

/* times and ids, also when they are zero: the constant layout. */
static void write_heads(struct writer *writer, const struct span_write *span, uint64_t clock_base)
{
	uint64_t end = span->end_raw - clock_base;
	bool wide_end = end > UINT32_MAX;
	bool wide_duration = span->duration_raw > UINT32_MAX;

	writer_varint(writer, TAG_SPAN_TIMES);
	writer_fixed64(
		writer, (wide_end ? 0 : end) | (wide_duration ? 0 : span->duration_raw << 32));
	writer_varint(writer, TAG_SPAN_IDS);
	writer_fixed64(writer,
		span->sequence | (uint64_t)span->distance << 32 | (uint64_t)span->shape->id << 48);
	if (wide_end)
		writer_field_fixed64(writer, TAG_SPAN_END_RAW, span->end_raw);
	if (wide_duration)
		writer_field_fixed64(writer, TAG_SPAN_DURATION_RAW, span->duration_raw);
}

/* With a length of three bytes, as libwaft writes it. */
static void write_snapshot(struct writer *writer, uint32_t tag, struct slice json)
{
	size_t nested;

	if (json.length == 0)
		return;
	nested = writer_nested_begin(writer, tag);
	writer_bytes(writer, json.data, json.length);
	writer_nested_end(writer, nested);
}

bool batch_writer_span(struct batch_writer *writer, const struct span_write *span)
{
	struct writer *out = &writer->writer;
	uint8_t *before = out->at;
	size_t nested;

	if (out->error != 0)
		return false;
	nested = writer_nested_begin(out, TAG_SECTION_SPANS);
	write_heads(out, span, writer->clock_base);
	if (span->trace != NULL)
		write_trace(out, TAG_SPAN_TRACE, span->trace);
	for (size_t i = 0; i < span->shape->key_count; i++)
		if (span->values[i].type != VALUE_NONE)
			write_shape_value(out, span->shape->keys[i].type, &span->values[i]);
	if (span->distance == 0)
		writer_field_fixed64(out, TAG_SPAN_PARENT_ID, span->parent_id);
	write_snapshot(out, TAG_SPAN_INPUT, span->input);
	write_snapshot(out, TAG_SPAN_OUTPUT, span->output);
	if (has_detail(span))
		write_detail(out, span);
	writer_nested_end(out, nested);
	if (out->error == 0)
		return true;
	out->at = before;
	out->error = 0;
	return false;
}

long batch_writer_finish(struct batch_writer *writer)
{
	return writer->writer.error != 0 ? writer->writer.error
					 : (long)writer_length(&writer->writer);
}
