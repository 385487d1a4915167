/*
 * What becomes of odd batches: which are refused whole, and what is repaired
 * in those that decode. Batches are made by protobuf-c, so that every field can
 * hold anything.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rpc.h"
#include "support/random_batch.h"

/* One span of one shape in one section; a test changes what it is about. */
struct fixture {
	Waft__V1__Batch batch;
	Waft__V1__Clock clock;
	Waft__V1__Key keys[2];
	Waft__V1__Key *key_list[2];
	Waft__V1__Shape shape;
	Waft__V1__Shape *shape_list[2];
	Waft__V1__Trace trace;
	Waft__V1__Section section;
	Waft__V1__Section *section_list[1];
	Waft__V1__Span span;
	Waft__V1__Span *span_list[2];
	Waft__V1__Detail detail;
	char *strings[2];
	uint8_t trace_id[16];
};

static uint8_t bytes[4 * WIRE_BATCH_LIMIT];
static size_t length;
static struct batch opened;
static struct batch_iter iter;
static struct span_view view;

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	waft__v1__batch__init(&f->batch);
	waft__v1__clock__init(&f->clock);
	waft__v1__shape__init(&f->shape);
	waft__v1__trace__init(&f->trace);
	waft__v1__section__init(&f->section);
	waft__v1__span__init(&f->span);
	waft__v1__detail__init(&f->detail);
	for (int i = 0; i < 2; i++) {
		waft__v1__key__init(&f->keys[i]);
		f->key_list[i] = &f->keys[i];
		f->keys[i].type = WAFT__V1__KEY__TYPE__STRING;
		f->shape_list[i] = &f->shape;
		f->span_list[i] = &f->span;
	}
	f->keys[0].name = (char *)"first";
	f->keys[1].name = (char *)"second";
	f->clock.ns_per_tick = 1;
	f->clock.close_raw = 5000;
	f->clock.close_realtime_ns = 1000005000;
	f->shape.id = 3;
	f->shape.name = (char *)"operation";
	f->shape.keys = f->key_list;
	f->shape.n_keys = 2;
	memset(f->trace_id, 7, sizeof(f->trace_id));
	f->trace.trace_id = (ProtobufCBinaryData){16, f->trace_id};
	f->section.id_base = 100;
	f->section.clock_base = 1000;
	f->section.trace = &f->trace;
	f->section.spans = f->span_list;
	f->section.n_spans = 1;
	f->section_list[0] = &f->section;
	f->span.times = UINT64_C(200) << 32 | 500;
	f->span.ids = UINT64_C(3) << 48 | 9;
	f->strings[0] = (char *)"one";
	f->strings[1] = (char *)"two";
	f->span.strings = f->strings;
	f->span.n_strings = 2;
	f->batch.clock = &f->clock;
	f->batch.shapes = f->shape_list;
	f->batch.n_shapes = 1;
	f->batch.sections = f->section_list;
	f->batch.n_sections = 1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	batch_done(&opened);
	free(*state);
	return 0;
}

/* Packs and reads the first span, validated. */
static int read_first(const struct fixture *f)
{
	int ret;

	length = waft__v1__batch__pack(&f->batch, bytes);
	(void)batch_consume(bytes, length);
	ret = batch_open(&opened, bytes, length);
	if (ret != 0)
		return ret;
	batch_iter_init(&iter);
	ret = batch_next(&opened, &iter, &view);
	if (ret == 1)
		span_validate(&opened, &view);
	return ret;
}

static unsigned int count_attributes(void)
{
	struct attribute_iter attributes;
	struct attribute attribute;
	unsigned int count = 0;

	span_attributes(&opened, &view, &attributes);
	while (attribute_next(&attributes, &attribute))
		count++;
	return count;
}

static void test_plain(void **state)
{
	assert_int_equal(read_first(*state), 1);
	assert_int_equal(view.repairs, 0);
	assert_int_equal(view.span_id, id_mix(109));
	assert_int_equal(view.parent_id, 0);
	assert_int_equal(view.start_ns, 1000005000 - 3500 - 200);
	assert_int_equal(view.duration_ns, 200);
	assert_int_equal(count_attributes(), 2);
	assert_int_equal(batch_next(&opened, &iter, &view), 0);
	assert_int_equal(batch_next(&opened, &iter, &view), 0);
}

/* ---- Refused whole ------------------------------------------------------ */

static void test_unknown_shape(void **state)
{
	struct fixture *f = *state;

	f->span.ids = UINT64_C(4) << 48 | 9;
	assert_int_equal(read_first(f), ERR_SHAPE);
	f->span.ids = 9;
	assert_int_equal(read_first(f), ERR_SHAPE);
}

static void test_shape_ids(void **state)
{
	struct fixture *f = *state;

	f->batch.n_shapes = 2; /* the same twice */
	assert_int_equal(read_first(f), ERR_SHAPE);
	f->batch.n_shapes = 1;
	f->shape.id = 65536;
	assert_int_equal(read_first(f), ERR_SHAPE);
	batch_done(&opened);
	assert_int_equal(batch_open(&opened, bytes, length), ERR_SHAPE);
	f->shape.id = 0;
	assert_int_equal(read_first(f), ERR_SHAPE);
	assert_int_equal(batch_open(&opened, bytes, length), ERR_SHAPE);
	f->shape.id = 65535;
	f->span.ids = UINT64_C(65535) << 48 | 9;
	assert_int_equal(read_first(f), 1);
}

static void test_clock(void **state)
{
	struct fixture *f = *state;
	const double bad[] = {NAN, INFINITY, -1, 1e10};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->clock.ns_per_tick = bad[i];
		assert_int_equal(read_first(f), ERR_CLOCK);
	}
	f->clock.ns_per_tick = 1;
	f->clock.close_realtime_ns = UINT64_MAX;
	assert_int_equal(read_first(f), ERR_CLOCK);
	f->clock.close_realtime_ns = 0;
	f->clock.ns_per_tick = 0;
	f->clock.source = WAFT__V1__CLOCK__SOURCE__TSC;
	assert_int_equal(read_first(f), ERR_CLOCK);
	/* No clock: raw values are nanoseconds since 1970. */
	f->batch.clock = NULL;
	f->section.clock_base = UINT64_C(1767953400123456789);
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.start_ns, UINT64_C(1767953400123456789) + 500 - 200);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	static char long_text[WIRE_BATCH_LIMIT + 1];
	Waft__V1__Key *many[WIRE_SHAPE_KEYS_LIMIT + 1];

	for (size_t i = 0; i < WIRE_SHAPE_KEYS_LIMIT + 1; i++)
		many[i] = &f->keys[0];
	f->shape.keys = many;
	f->shape.n_keys = WIRE_SHAPE_KEYS_LIMIT + 1;
	assert_int_equal(read_first(f), ERR_LIMIT);
	f->shape.n_keys = WIRE_SHAPE_KEYS_LIMIT;
	assert_int_equal(read_first(f), 1);
	memset(long_text, 'x', WIRE_BATCH_LIMIT);
	f->shape.scope = long_text;
	assert_int_equal(read_first(f), ERR_LIMIT);
}

static void test_trace_id_length(void **state)
{
	struct fixture *f = *state;

	f->trace.trace_id.len = 15;
	assert_int_equal(read_first(f), ERR_MALFORMED);
}

/* Tables bounded by the bytes that came: many small shapes are no shapes. */
static void test_shape_flood(void **state)
{
	struct writer writer = writer_of(bytes, WIRE_BATCH_LIMIT);

	(void)state;
	for (uint32_t id = 1; id < 40000; id++) {
		writer_varint(&writer, TAG_BATCH_SHAPES);
		writer_byte(&writer, (uint8_t)(1 + varint_length(id)));
		writer_varint(&writer, TAG_SHAPE_ID);
		writer_varint(&writer, id);
	}
	assert_int_equal(writer.error, 0);
	assert_int_equal(batch_open(&opened, bytes, writer_length(&writer)), ERR_LIMIT);
	assert_true(batch_memory(&opened) <= 4 * writer_length(&writer) + 128 * 1024);
}

/* What belongs to a section stands before its spans. */
static void test_section_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_first(f), 1);
	/* The section is the batch's last field, its length one byte. */
	bytes[length] = TAG_SECTION_THREAD;
	bytes[length + 1] = 5;
	for (size_t at = 0; at < length; at++) {
		if (bytes[at] == TAG_BATCH_SECTIONS && at + 2 + bytes[at + 1] == length) {
			bytes[at + 1] = (uint8_t)(bytes[at + 1] + 2);
			break;
		}
	}
	assert_int_equal(batch_consume(bytes, length + 2), ERR_ORDER);
}

/* ---- Repaired ----------------------------------------------------------- */

static void test_zero_ids(void **state)
{
	struct fixture *f = *state;
	struct trace_id made;
	uint64_t made_span;

	memset(f->trace_id, 0, sizeof(f->trace_id));
	f->section.id_base = (uint64_t)-9;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_TRACE_ID | REPAIR_SPAN_ID);
	made = view.trace->id;
	made_span = view.span_id;
	assert_int_equal(made.bytes[6] >> 4, 4);
	/* The same each time, another for other bytes. */
	assert_int_equal(read_first(f), 1);
	assert_true(trace_id_equal(&made, &view.trace->id));
	assert_int_equal(made_span, view.span_id);
	f->section.thread = 1;
	assert_int_equal(read_first(f), 1);
	assert_false(trace_id_equal(&made, &view.trace->id));
	f->section.trace = NULL;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_TRACE_ID | REPAIR_SPAN_ID);
}

static void test_parent(void **state)
{
	struct fixture *f = *state;

	f->span.ids |= UINT64_C(2) << 32;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.parent_id, id_mix(107));
	f->section.id_base = (uint64_t)-7; /* the parent's id would be 0 */
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.parent_id, 0);
	assert_int_equal(view.repairs, REPAIR_PARENT_ID);
}

static void test_times(void **state)
{
	struct fixture *f = *state;

	f->span.duration_raw = UINT64_MAX;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_DURATION);
	assert_int_equal(view.duration_ns, 0);
	assert_int_equal(view.start_ns, 1000005000 - 3500);
	f->clock.ns_per_tick = 0.3;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_DURATION);
	f->span.duration_raw = 0;
	f->span.end_raw = (UINT64_C(1) << 63) + 6000; /* long before 1970 */
	assert_int_equal(read_first(f), 1);
	assert_true(view.repairs & REPAIR_TIMESTAMP);
	f->clock.ns_per_tick = 1e9;
	f->span.end_raw = 5000 + (UINT64_C(1) << 40);
	assert_int_equal(read_first(f), 1);
	assert_true(view.repairs & REPAIR_TIMESTAMP);
	assert_int_equal(view.start_ns + view.duration_ns, INT64_MAX);
}

static void test_utf8(void **state)
{
	struct fixture *f = *state;

	f->strings[1] = (char *)"bad \xff";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_UTF8);
	f->strings[1] = (char *)"good";
	f->shape.name = (char *)"\xed\xa0\x80";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_UTF8);
	f->shape.name = (char *)"operation";
	f->trace.state = (char *)"a=\x80";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_UTF8);
	f->trace.state = (char *)"";
	f->detail.error = (char *)"\xc0\x80";
	f->detail.status = WAFT__V1__DETAIL__STATUS__ERROR;
	f->span.detail = &f->detail;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_UTF8);
}

static void test_snapshots(void **state)
{
	struct fixture *f = *state;
	char deep[130];

	f->span.input = (ProtobufCBinaryData){5, (uint8_t *)"{\"a\":"};
	f->span.output = (ProtobufCBinaryData){4, (uint8_t *)"true"};
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_INPUT);
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	f->span.input = (ProtobufCBinaryData){4, (uint8_t *)"null"};
	f->span.output = (ProtobufCBinaryData){130, (uint8_t *)deep};
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_OUTPUT);
	f->span.output = (ProtobufCBinaryData){128, (uint8_t *)deep + 1};
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
}

static void test_repeated_keys(void **state)
{
	struct fixture *f = *state;
	struct attribute_iter attributes;
	struct attribute attribute;

	f->keys[1].name = (char *)"first";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
	span_attributes(&opened, &view, &attributes);
	assert_true(attribute_next(&attributes, &attribute));
	assert_memory_equal(attribute.value.text.data, "two", 3);
	assert_false(attribute_next(&attributes, &attribute));
	/* Only a value that is there replaces. */
	f->span.n_strings = 1;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
	assert_int_equal(count_attributes(), 1);
}

static void test_trace_attributes(void **state)
{
	struct fixture *f = *state;
	Waft__V1__KeyValue items[2] = {WAFT__V1__KEY_VALUE__INIT, WAFT__V1__KEY_VALUE__INIT};
	Waft__V1__KeyValue *list[2] = {&items[0], &items[1]};
	Waft__V1__Value value = WAFT__V1__VALUE__INIT;

	value.value_case = WAFT__V1__VALUE__VALUE_INTEGER;
	value.integer = 1;
	items[0].key = (char *)"second";
	items[1].key = (char *)"tenant";
	items[0].value = items[1].value = &value;
	f->trace.attributes = list;
	f->trace.n_attributes = 2;
	assert_int_equal(read_first(f), 1);
	/* A span's own over its trace's is no fault. */
	assert_int_equal(view.repairs, 0);
	assert_int_equal(count_attributes(), 3);
	items[1].key = (char *)"second";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
	assert_int_equal(count_attributes(), 2);
	items[1].value = NULL;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
}

static void test_event_attributes(void **state)
{
	struct fixture *f = *state;
	Waft__V1__Event event = WAFT__V1__EVENT__INIT;
	Waft__V1__Event *events[1] = {&event};
	Waft__V1__KeyValue items[2] = {WAFT__V1__KEY_VALUE__INIT, WAFT__V1__KEY_VALUE__INIT};
	Waft__V1__KeyValue *list[2] = {&items[0], &items[1]};
	Waft__V1__Value values[2] = {WAFT__V1__VALUE__INIT, WAFT__V1__VALUE__INIT};
	struct attribute_iter attributes;
	struct attribute attribute;
	struct span_event read;
	struct cursor detail;

	for (int i = 0; i < 2; i++) {
		values[i].value_case = WAFT__V1__VALUE__VALUE_INTEGER;
		values[i].integer = i;
		items[i].key = (char *)"same";
		items[i].value = &values[i];
	}
	event.attributes = list;
	event.n_attributes = 2;
	f->detail.events = events;
	f->detail.n_events = 1;
	f->span.detail = &f->detail;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_EVENTS);
	detail = cursor_of_slice(view.detail);
	assert_true(span_event_next(&opened, &detail, &read));
	event_attributes(&read, &attributes);
	assert_true(attribute_next(&attributes, &attribute));
	assert_int_equal(attribute.value.integer, 1);
	assert_false(attribute_next(&attributes, &attribute));
}

static void test_too_many_values(void **state)
{
	struct fixture *f = *state;

	f->shape.n_keys = 1;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
	assert_int_equal(count_attributes(), 1);
}

static void test_too_many_attributes(void **state)
{
	struct fixture *f = *state;
	static Waft__V1__KeyValue items[1500];
	static Waft__V1__KeyValue *list[1500];
	static char names[1500][8];
	Waft__V1__Value value = WAFT__V1__VALUE__INIT;

	value.value_case = WAFT__V1__VALUE__VALUE_BOOLEAN;
	for (int i = 0; i < 1500; i++) {
		waft__v1__key_value__init(&items[i]);
		snprintf(names[i], sizeof(names[i]), "k%d", i);
		items[i].key = names[i];
		items[i].value = &value;
		list[i] = &items[i];
	}
	f->detail.attributes = list;
	f->detail.n_attributes = 1022;
	f->span.detail = &f->detail;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
	assert_int_equal(count_attributes(), 1024);
	f->detail.n_attributes = 1500;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
	assert_int_equal(count_attributes(), 1024);
}

static void test_mixed_list(void **state)
{
	struct fixture *f = *state;
	Waft__V1__Value one = WAFT__V1__VALUE__INIT, two = one, nested = one, outer = one;
	Waft__V1__Value *three[3] = {&one, &two, &nested};
	Waft__V1__Values values = WAFT__V1__VALUES__INIT;
	Waft__V1__KeyValue item = WAFT__V1__KEY_VALUE__INIT;
	Waft__V1__KeyValue *list[1] = {&item};

	one.value_case = WAFT__V1__VALUE__VALUE_INTEGER;
	two.value_case = WAFT__V1__VALUE__VALUE_INTEGER;
	nested.value_case = WAFT__V1__VALUE__VALUE_TEXT;
	nested.text = (char *)"odd one";
	values.values = three;
	values.n_values = 2;
	outer.value_case = WAFT__V1__VALUE__VALUE_LIST;
	outer.list = &values;
	item.key = (char *)"list";
	item.value = &outer;
	f->detail.attributes = list;
	f->detail.n_attributes = 1;
	f->span.detail = &f->detail;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
	values.n_values = 3;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_ATTRIBUTES);
}

static void test_links(void **state)
{
	struct fixture *f = *state;
	Waft__V1__Link link = WAFT__V1__LINK__INIT;
	Waft__V1__Link *list[1] = {&link};
	struct cursor detail;
	struct span_link read;

	f->detail.links = list;
	f->detail.n_links = 1;
	f->span.detail = &f->detail;
	link.trace_id = f->trace.trace_id;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_LINKS);
	detail = cursor_of_slice(view.detail);
	assert_false(span_link_next(&detail, &read));
	link.span_id = 5;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
}

static void test_status_and_kind(void **state)
{
	struct fixture *f = *state;

	f->span.detail = &f->detail;
	f->detail.status = (Waft__V1__Detail__Status)9;
	f->detail.kind = 5;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_STATUS | REPAIR_KIND);
	assert_int_equal(view.status, WIRE_STATUS_SUCCESS);
	assert_int_equal(view.kind, WIRE_KIND_INTERNAL);
	f->detail.error = (char *)"failed";
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.status, WIRE_STATUS_ERROR);
}

static void test_large_span(void **state)
{
	struct fixture *f = *state;
	static char text[WIRE_SPAN_LIMIT];

	memset(text, '1', sizeof(text) - 1);
	f->span.input = (ProtobufCBinaryData){sizeof(text) - 1, (uint8_t *)text};
	f->detail.status = WAFT__V1__DETAIL__STATUS__ERROR;
	f->detail.error = (char *)"why";
	f->span.detail = &f->detail;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, REPAIR_SIZE);
	assert_null(view.input.data);
	assert_int_equal(count_attributes(), 0);
	assert_int_equal(view.status, WIRE_STATUS_ERROR);
	assert_int_equal(view.span_id, id_mix(109));
	f->span.input.len = WIRE_SPAN_LIMIT - 100;
	assert_int_equal(read_first(f), 1);
	assert_int_equal(view.repairs, 0);
}

/* protobuf's other ways to write the same: appends raw bytes to the span and
 * reads it. */
static void read_with(const struct fixture *f, const uint8_t *more, size_t more_length)
{
	Waft__V1__Batch batch = f->batch;
	uint8_t span[64];
	size_t at = waft__v1__span__pack(&f->span, span);

	memcpy(span + at, more, more_length);
	at += more_length;
	batch.n_sections = 0;
	length = waft__v1__batch__pack(&batch, bytes);
	bytes[length++] = TAG_BATCH_SECTIONS;
	bytes[length++] = (uint8_t)(at + 2);
	bytes[length++] = TAG_SECTION_SPANS;
	bytes[length++] = (uint8_t)at;
	memcpy(bytes + length, span, at);
	length += at;
	assert_int_equal(batch_consume(bytes, length), 1);
	assert_int_equal(batch_open(&opened, bytes, length), 0);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&opened, &iter, &view), 1);
}

static void test_packed_values(void **state)
{
	struct fixture *f = *state;
	static const uint8_t packed[] = {WIRE_TAG(5, WIRE_BYTES), 8, 1, 0, 0, 0, 0xfe, 0xff, 0xff,
		0xff, 0x98, 0x06, 1 /* field 99 */};
	struct attribute_iter attributes;
	struct attribute attribute;

	f->keys[0].type = f->keys[1].type = WAFT__V1__KEY__TYPE__INT32;
	f->span.n_strings = 0;
	read_with(f, packed, sizeof(packed));
	span_attributes(&opened, &view, &attributes);
	assert_true(attribute_next(&attributes, &attribute));
	assert_int_equal(attribute.value.integer, 1);
	assert_true(attribute_next(&attributes, &attribute));
	assert_int_equal(attribute.value.integer, -2);
	assert_false(attribute_next(&attributes, &attribute));
}

/* Of a field that comes again the last counts, also behind values. */
static void test_repeated_heads(void **state)
{
	static const uint8_t ids[] = {TAG_SPAN_IDS, 10, 0, 0, 0, 1, 0, 3, 0};
	static const uint8_t times[] = {TAG_SPAN_TIMES, 0, 1, 0, 0, 1, 0, 0, 0};

	read_with(*state, ids, sizeof(ids));
	assert_int_equal(view.span_id, id_mix(10));
	assert_int_equal(view.parent_id, id_mix(9));
	assert_int_equal(count_attributes(), 2);
	read_with(*state, times, sizeof(times));
	assert_int_equal(view.duration_ns, 1);
}

static void test_rebase(void **state)
{
	uint8_t *moved;

	assert_int_equal(read_first(*state), 1);
	moved = malloc(length);
	assert_non_null(moved);
	memcpy(moved, bytes, length);
	memset(bytes, 0, length);
	batch_rebase(&opened, moved);
	batch_iter_init(&iter);
	assert_int_equal(batch_next(&opened, &iter, &view), 1);
	assert_memory_equal(batch_slice(&opened, view.shape->name).data, "operation", 9);
	assert_int_equal(count_attributes(), 2);
	free(moved);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_unknown_shape),
		TEST(test_shape_ids),
		TEST(test_clock),
		TEST(test_limits),
		TEST(test_trace_id_length),
		TEST(test_shape_flood),
		TEST(test_section_order),
		TEST(test_zero_ids),
		TEST(test_parent),
		TEST(test_times),
		TEST(test_utf8),
		TEST(test_snapshots),
		TEST(test_repeated_keys),
		TEST(test_trace_attributes),
		TEST(test_event_attributes),
		TEST(test_too_many_values),
		TEST(test_too_many_attributes),
		TEST(test_mixed_list),
		TEST(test_links),
		TEST(test_status_and_kind),
		TEST(test_large_span),
		TEST(test_packed_values),
		TEST(test_repeated_heads),
		TEST(test_rebase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
