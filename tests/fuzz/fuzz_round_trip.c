/*
 * Differential: a batch is decoded, each span written as its line of JSON, the line
 * read, what was read encoded in a batch again, and that decoded, written and read
 * once more. What the first line says, the span said; what the second says, the first
 * did. Input: a byte, then a batch of any bytes, or (odd) the seed of a random one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch_write.h"
#include "json_walk.h"
#include "line.h"
#include "record.h"
#include "support/random_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ATTRIBUTES_MAX = 256, ELEMENTS_MAX = 1024, LINE_BYTES_MAX = 40000 };

/* What a line's attributes are as they go into the second batch. */
struct again {
	struct attribute_write attributes[ATTRIBUTES_MAX];
	struct value elements[ELEMENTS_MAX];
	size_t attribute_count, element_count;
	bool possible; /* a batch can hold them */
};

static uint8_t batch_bytes[WIRE_BATCH_LIMIT];

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_round_trip: %s\n", what);
		abort();
	}
}

/* The line of a span, read. text and scratch hold what record points to. */
static void read_line(struct batch *batch, struct line_writer *writer, struct span_view *view,
	struct bytes *text, struct scratch *scratch, struct record *ret_record)
{
	const char *why = "";

	text->length = 0;
	must(line_span(writer, batch, view, text) == 0, "no line");
	must(text->data[text->length - 1] == '\n', "no newline");
	must(record_parse(slice_of(text->data, text->length - 1), scratch, ret_record, &why) == 0,
		why);
}

static void check_record(const struct span_view *view, const struct record *record)
{
	char text[RECORD_ID_TEXT_BYTES], span[ID_UUID_LENGTH];

	must(memcmp(record->trace_id, view->trace->id.bytes, 16) == 0, "another trace");
	record_format_id(record->span_id, text);
	span_id_format(view->span_id, span);
	must(memcmp(text, span, sizeof(span)) == 0, "another span");
	must(record->has_parent == (view->parent_id != 0), "a parent more or less");
	if (record->has_parent) {
		record_format_id(record->parent_id, text);
		span_id_format(view->parent_id, span);
		must(memcmp(text, span, sizeof(span)) == 0, "another parent");
	}
	must(record->start_ns == (int64_t)view->start_ns, "another start");
	must(record->status == (enum record_status)view->status, "another status");
	must(record->duration_ns ==
			(view->status == WIRE_STATUS_PENDING ? -1 : (int64_t)view->duration_ns),
		"another duration");
	must(record->has_error == (view->error.data != NULL), "an error more or less");
}

/* ---- The record as a batch ------------------------------------------------- */

static struct slice decoded(struct slice raw, struct scratch *scratch)
{
	struct slice text;

	/* Without its quotes. */
	must(json_walk_decode(slice_of(raw.data + 1, raw.length - 2), scratch, &text) == 0,
		"no memory");
	return text;
}

static bool take_scalar(struct slice raw, struct scratch *scratch, struct value *ret)
{
	char text[64];

	*ret = (struct value){.type = VALUE_BOOL, .boolean = raw.data[0] == 't'};
	if (raw.data[0] == '"')
		*ret = (struct value){.type = VALUE_TEXT, .text = decoded(raw, scratch)};
	else if (raw.data[0] == 'n' || raw.data[0] == '{' || raw.data[0] == '[')
		return false;
	if (raw.data[0] != '-' && (raw.data[0] < '0' || raw.data[0] > '9'))
		return true;
	must(raw.length < sizeof(text), "a number too long");
	memcpy(text, raw.data, raw.length);
	text[raw.length] = '\0';
	if (strpbrk(text, ".eE") != NULL || strcmp(text, "-0") == 0)
		*ret = (struct value){.type = VALUE_DOUBLE, .number = strtod(text, NULL)};
	else
		*ret = (struct value){.type = VALUE_INT, .integer = strtoll(text, NULL, 10)};
	return true;
}

static bool take_list(struct again *again, struct slice raw, struct scratch *scratch,
	struct attribute_write *attribute)
{
	struct json_walk walk = {.at = raw.data + 1, .end = raw.data + raw.length};

	attribute->value.type = VALUE_LIST;
	attribute->elements = again->elements + again->element_count;
	while (json_walk_more(&walk) && *walk.at != ']') {
		struct slice element;

		must(json_walk_value(&walk, &element) == 0, "a list that is no JSON");
		if (again->element_count == ELEMENTS_MAX ||
			!take_scalar(element, scratch, &again->elements[again->element_count]))
			return false;
		/* 1 and 1.5 are numbers of two kinds to a batch. */
		if (again->elements[again->element_count].type != attribute->elements[0].type)
			return false;
		again->element_count++;
		attribute->element_count++;
		if (json_walk_more(&walk) && *walk.at == ',')
			walk.at++;
	}
	return attribute->element_count > 0;
}

static void take_attributes(
	struct again *again, const struct record *record, struct scratch *scratch)
{
	struct json_walk walk = json_walk_of(record->attributes);
	struct slice key, raw;
	bool escaped;

	again->attribute_count = again->element_count = 0;
	again->possible = true;
	if (record->attributes.length == 0)
		return;
	must(json_walk_enter(&walk) == 0, "attributes are no object");
	for (bool first = true; json_walk_key(&walk, first, &key, &escaped) == 1; first = false) {
		struct attribute_write *attribute = &again->attributes[again->attribute_count];

		must(json_walk_value(&walk, &raw) == 0, "attributes are no JSON");
		if (again->attribute_count == ATTRIBUTES_MAX) {
			again->possible = false;
			return;
		}
		*attribute = (struct attribute_write){0};
		must(json_walk_decode(key, scratch, &attribute->key) == 0, "no memory");
		again->possible &= raw.data[0] == '['
					   ? take_list(again, raw, scratch, attribute)
					   : take_scalar(raw, scratch, &attribute->value);
		again->attribute_count++;
	}
}

static struct slice snapshot(struct slice json)
{
	return slice_equal(json, slice_of_text("null")) ? slice_of(NULL, 0) : json;
}

static uint64_t wire_id(const uint8_t id[16])
{
	char text[RECORD_ID_TEXT_BYTES];
	uint64_t value = 0;

	record_format_id(id, text);
	must(span_id_parse(text, ID_UUID_LENGTH, &value) == 0, "an id that is none of ours");
	return value;
}

/* The bytes' length; 0: no batch can say this. */
static size_t encode_again(const struct record *record, const struct again *again)
{
	struct batch_writer writer;
	struct shape_write shape = {.id = 7, .name = record->operation, .layer = record->layer};
	struct trace_write trace = {0};
	struct span_write span = {.shape = &shape,
		.span_id = wire_id(record->span_id),
		.parent_id = record->has_parent ? wire_id(record->parent_id) : 0,
		.trace = &trace,
		.input = snapshot(record->input),
		.output = snapshot(record->output),
		.status = (enum wire_status)record->status,
		.attributes = again->attributes,
		.attribute_count = again->attribute_count};
	long length;

	span.duration_raw = record->duration_ns > 0 ? (uint64_t)record->duration_ns : 0;
	span.end_raw = (uint64_t)record->start_ns + span.duration_raw;
	if (record->has_error)
		span.error = slice_of(
			record->error.length > 0 ? record->error.data : (const uint8_t *)"",
			record->error.length);
	/* 0 is how a batch says that there is none. */
	if (!again->possible || span.end_raw == 0 || span.duration_raw == 0 ||
		record->line.length > LINE_BYTES_MAX)
		return 0;
	memcpy(trace.id.bytes, record->trace_id, 16);
	batch_writer_init(&writer, batch_bytes, sizeof(batch_bytes));
	batch_writer_producer(&writer, record->service, 1, slice_of_text("h"), NULL, 0);
	batch_writer_shape(&writer, &shape);
	batch_writer_section_begin(&writer, 1, 0, 0, NULL);
	must(batch_writer_span(&writer, &span), "no room for a span");
	batch_writer_section_end(&writer);
	length = batch_writer_finish(&writer);
	must(length > 0, "no batch");
	return (size_t)length;
}

static void same_record(const struct record *a, const struct record *b)
{
	must(memcmp(a->trace_id, b->trace_id, 16) == 0 && memcmp(a->span_id, b->span_id, 16) == 0,
		"again: another id");
	must(a->has_parent == b->has_parent && memcmp(a->parent_id, b->parent_id, 16) == 0,
		"again: another parent");
	must(a->start_ns == b->start_ns && a->duration_ns == b->duration_ns, "again: another time");
	must(a->status == b->status && a->has_error == b->has_error &&
			slice_equal(a->error, b->error),
		"again: another status or error");
	must(slice_equal(a->operation, b->operation) && slice_equal(a->layer, b->layer) &&
			slice_equal(a->service, b->service),
		"again: another name");
	must(slice_equal(a->input, b->input) && slice_equal(a->output, b->output),
		"again: another snapshot");
	must(slice_equal(a->attributes, b->attributes), "again: other attributes");
}

static void decode_again(const struct record *record, size_t length)
{
	/* Kept from span to span: their tables are what takes time. */
	static struct batch batch;
	static struct line_writer writer;
	static struct bytes text;
	struct batch_iter iter;
	struct span_view view;
	struct scratch scratch = {0};
	struct record again;

	batch_iter_init(&iter);
	must(batch_open(&batch, batch_bytes, length) == 0, "again: no batch");
	must(line_batch_begin(&writer, &batch, NULL) == 0, "no memory");
	must(batch_next(&batch, &iter, &view) == 1, "again: no span");
	span_validate(&batch, &view);
	must(view.repairs == 0, "again: a repair");
	read_line(&batch, &writer, &view, &text, &scratch, &again);
	same_record(record, &again);
	must(batch_next(&batch, &iter, &view) == 0, "again: a span more");
	scratch_done(&scratch);
}

static void try_batch(const uint8_t *bytes, size_t length)
{
	static struct again again;
	static struct batch batch;
	static struct line_writer writer;
	static struct bytes text;
	struct batch_iter iter;
	struct span_view view;
	struct scratch scratch = {0};
	struct record record;
	uint64_t spans;

	if (batch_open(&batch, bytes, length) != 0 || batch_check(&batch, &spans) != 0)
		return;
	must(line_batch_begin(&writer, &batch, NULL) == 0, "no memory");
	batch_iter_init(&iter);
	for (uint64_t i = 0; i < spans && i < 16; i++) {
		size_t second;

		must(batch_next(&batch, &iter, &view) == 1, "a span less");
		span_validate(&batch, &view);
		read_line(&batch, &writer, &view, &text, &scratch, &record);
		check_record(&view, &record);
		take_attributes(&again, &record, &scratch);
		second = encode_again(&record, &again);
		if (second > 0)
			decode_again(&record, second);
		scratch_reset(&scratch);
	}
	scratch_done(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model model;
	static uint8_t bytes[WIRE_BATCH_LIMIT];
	uint64_t seed = 0;
	long length;

	if (size == 0)
		return 0;
	if (data[0] % 2 == 0) {
		try_batch(data + 1, size - 1);
		return 0;
	}
	memcpy(&seed, data, size < sizeof(seed) ? size : sizeof(seed));
	length = model_write(&model, seed, bytes, sizeof(bytes));
	if (length > 0)
		try_batch(bytes, (size_t)length);
	return 0;
}
