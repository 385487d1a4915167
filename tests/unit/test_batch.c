/*
 * The span codec against protobuf-c, in both directions, and against broken
 * bytes. The seed of a failing run is printed; WAFT_TEST_SEED repeats it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rpc.h"
#include "support/random_batch.h"

enum { BUFFER_BYTES = WIRE_BATCH_LIMIT };

static struct model model;
static uint8_t buffer[BUFFER_BYTES];
static uint8_t packed[BUFFER_BYTES * 2];

/* ---- What protobuf-c says of a value ------------------------------------ */

static void same_text(struct slice slice, const char *text)
{
	assert_int_equal(slice.length, strlen(text));
	assert_memory_equal(slice.data != NULL ? (const char *)slice.data : "", text, slice.length);
}

static void same_value(const struct value *value, const Waft__V1__Value *expected)
{
	struct cursor list;
	enum value_type kind = VALUE_NONE;
	struct value element;

	switch (expected->value_case) {
	case WAFT__V1__VALUE__VALUE_TEXT:
		assert_int_equal(value->type, VALUE_TEXT);
		same_text(value->text, expected->text);
		break;
	case WAFT__V1__VALUE__VALUE_BOOLEAN:
		assert_int_equal(value->type, VALUE_BOOL);
		assert_int_equal(value->boolean, expected->boolean);
		break;
	case WAFT__V1__VALUE__VALUE_INTEGER:
		assert_int_equal(value->type, VALUE_INT);
		assert_int_equal(value->integer, expected->integer);
		break;
	case WAFT__V1__VALUE__VALUE_NUMBER:
		assert_int_equal(value->type, VALUE_DOUBLE);
		assert_true(value->number == expected->number);
		break;
	case WAFT__V1__VALUE__VALUE_LIST:
		assert_int_equal(value->type, VALUE_LIST);
		list = cursor_of_slice(value->list);
		for (size_t i = 0; i < expected->list->n_values; i++) {
			assert_true(value_list_next(&list, &kind, &element));
			assert_int_not_equal(
				expected->list->values[i]->value_case, WAFT__V1__VALUE__VALUE_LIST);
			assert_int_equal(element.type, kind);
		}
		assert_false(value_list_next(&list, &kind, &element));
		break;
	default:
		fail();
	}
}

static void same_attributes(
	struct attribute_iter *iter, Waft__V1__KeyValue *const *expected, size_t count)
{
	struct attribute attribute;

	for (size_t i = 0; i < count; i++) {
		assert_true(attribute_next(iter, &attribute));
		same_text(attribute.key, expected[i]->key);
		same_value(&attribute.value, expected[i]->value);
	}
}

/* ---- A span ------------------------------------------------------------- */

static uint64_t raw_to_ns(const Waft__V1__Clock *clock, uint64_t raw)
{
	double delta = (double)(int64_t)(raw - clock->close_raw) * clock->ns_per_tick;

	return clock->close_realtime_ns +
	       (uint64_t)(int64_t)(delta < 0 ? delta - 0.5 : delta + 0.5);
}

static void same_shape_values(
	struct attribute_iter *iter, const Waft__V1__Shape *shape, const Waft__V1__Span *span)
{
	size_t next[WIRE_KEY_TYPES] = {0};
	const size_t counts[WIRE_KEY_TYPES] = {
		0, span->n_strings, span->n_ints, span->n_longs, span->n_doubles, span->n_bools};

	for (size_t i = 0; i < shape->n_keys; i++) {
		unsigned int type = shape->keys[i]->type;
		size_t n = next[type]++;
		struct attribute attribute;

		if (n >= counts[type])
			continue;
		assert_true(attribute_next(iter, &attribute));
		same_text(attribute.key, shape->keys[i]->name);
		switch (type) {
		case WIRE_KEY_STRING:
			same_text(attribute.value.text, span->strings[n]);
			break;
		case WIRE_KEY_INT32:
			assert_int_equal(attribute.value.integer, span->ints[n]);
			break;
		case WIRE_KEY_INT64:
			assert_int_equal(attribute.value.integer, span->longs[n]);
			break;
		case WIRE_KEY_DOUBLE:
			assert_true(attribute.value.number == span->doubles[n]);
			break;
		default:
			assert_int_equal(attribute.value.boolean, span->bools[n]);
		}
	}
}

static void same_events(struct batch *batch, const struct span_view *view,
	const Waft__V1__Batch *expected_batch, const Waft__V1__Detail *detail)
{
	struct cursor cursor = cursor_of_slice(view->detail);
	struct attribute_iter iter;
	struct attribute attribute;
	struct span_event event;
	struct span_link link;

	for (size_t i = 0; i < detail->n_events; i++) {
		assert_true(span_event_next(batch, &cursor, &event));
		same_text(event.name, detail->events[i]->name);
		assert_int_equal(
			event.time_ns, raw_to_ns(expected_batch->clock, detail->events[i]->raw));
		event_attributes(&event, &iter);
		same_attributes(
			&iter, detail->events[i]->attributes, detail->events[i]->n_attributes);
		assert_false(attribute_next(&iter, &attribute));
	}
	assert_false(span_event_next(batch, &cursor, &event));
	cursor = cursor_of_slice(view->detail);
	for (size_t i = 0; i < detail->n_links; i++) {
		assert_true(span_link_next(&cursor, &link));
		assert_int_equal(link.span_id, detail->links[i]->span_id);
		assert_memory_equal(link.trace_id.bytes, detail->links[i]->trace_id.data, 16);
		same_text(link.state, detail->links[i]->state);
		link_attributes(&link, &iter);
		same_attributes(
			&iter, detail->links[i]->attributes, detail->links[i]->n_attributes);
		assert_false(attribute_next(&iter, &attribute));
	}
	assert_false(span_link_next(&cursor, &link));
}

static void same_detail(struct batch *batch, const struct span_view *view,
	const Waft__V1__Batch *expected_batch, const Waft__V1__Detail *detail)
{
	if (detail == NULL) {
		assert_null(view->detail.data);
		assert_int_equal(view->status, WIRE_STATUS_SUCCESS);
		assert_null(view->error.data);
		return;
	}
	assert_int_equal(view->status, detail->status);
	assert_int_equal(view->kind, detail->kind);
	same_text(view->error, detail->error);
	assert_int_equal(view->attribute_count, detail->n_attributes);
	assert_int_equal(view->event_count, detail->n_events);
	assert_int_equal(view->link_count, detail->n_links);
	assert_int_equal(view->dropped_attributes, detail->dropped_attributes);
	assert_int_equal(view->dropped_events, detail->dropped_events);
	assert_int_equal(view->dropped_links, detail->dropped_links);
	same_events(batch, view, expected_batch, detail);
}

static void same_ids_and_times(const struct span_view *view, const Waft__V1__Batch *batch,
	const Waft__V1__Section *section, const Waft__V1__Span *span)
{
	uint64_t sequence = span->ids & UINT32_MAX;
	uint64_t distance = span->ids >> 32 & UINT16_MAX;
	uint64_t end = span->end_raw != 0 ? span->end_raw
					  : section->clock_base + (span->times & UINT32_MAX);
	uint64_t duration = span->duration_raw != 0 ? span->duration_raw : span->times >> 32;
	uint64_t id = id_mix(section->id_base + sequence);

	if (span->detail != NULL && span->detail->span_id != 0)
		id = span->detail->span_id;
	assert_int_equal(view->span_id, id);
	assert_int_equal(view->parent_id,
		distance != 0 ? id_mix(section->id_base + sequence - distance) : span->parent_id);
	assert_int_equal(
		view->duration_ns, (uint64_t)((double)duration * batch->clock->ns_per_tick + 0.5));
	assert_int_equal(view->start_ns + view->duration_ns, raw_to_ns(batch->clock, end));
	assert_int_equal(view->thread, section->thread);
}

static const Waft__V1__Shape *shape_of(const Waft__V1__Batch *batch, uint32_t id)
{
	for (size_t i = 0; i < batch->n_shapes; i++)
		if (batch->shapes[i]->id == id)
			return batch->shapes[i];
	fail();
	return NULL;
}

static void same_span(struct batch *batch, struct span_view *view,
	const Waft__V1__Batch *expected_batch, const Waft__V1__Section *section,
	const Waft__V1__Span *span, const Waft__V1__Trace *trace)
{
	const Waft__V1__Shape *shape = shape_of(expected_batch, (uint32_t)(span->ids >> 48));
	struct attribute_iter iter;
	struct attribute attribute;

	same_ids_and_times(view, expected_batch, section, span);
	assert_memory_equal(view->trace->id.bytes, trace->trace_id.data, 16);
	same_text(view->trace->state, trace->state);
	same_text(batch_slice(batch, view->shape->name), shape->name);
	same_text(batch_slice(batch, view->shape->layer), shape->layer);
	same_text(batch_slice(batch, view->shape->file), shape->file);
	same_text(batch_slice(batch, view->shape->function), shape->function);
	same_text(batch_slice(batch, view->shape->scope), shape->scope);
	same_text(batch_slice(batch, view->shape->scope_version), shape->scope_version);
	assert_int_equal(view->shape->line, shape->line);
	assert_int_equal(view->input.length, span->input.len);
	assert_memory_equal(view->input.data != NULL ? (const char *)view->input.data : "",
		span->input.len > 0 ? (const char *)span->input.data : "", span->input.len);
	assert_int_equal(view->output.length, span->output.len);
	same_detail(batch, view, expected_batch, span->detail);
	span_attributes(batch, view, &iter);
	same_attributes(&iter, trace->attributes, trace->n_attributes);
	same_shape_values(&iter, shape, span);
	if (span->detail != NULL)
		same_attributes(&iter, span->detail->attributes, span->detail->n_attributes);
	assert_false(attribute_next(&iter, &attribute));
	span_validate(batch, view);
	assert_int_equal(view->repairs, 0);
}

/* Our decoder's reading of bytes is protobuf-c's. */
static void same_batch(const uint8_t *bytes, size_t length, const Waft__V1__Batch *expected)
{
	struct batch batch = {0};
	struct attribute_iter resource;
	struct batch_iter iter;
	struct span_view view;

	assert_int_equal(batch_open(&batch, bytes, length), 0);
	same_text(batch.producer.service, expected->producer->service);
	same_text(batch.producer.host, expected->producer->host);
	assert_int_equal(batch.producer.pid, expected->producer->pid);
	batch_resource(&batch, &resource);
	same_attributes(&resource, expected->producer->resource, expected->producer->n_resource);
	assert_int_equal(batch.clock.stepped, expected->clock->stepped);
	assert_int_equal(batch.shape_count, expected->n_shapes);
	batch_iter_init(&iter);
	for (size_t i = 0; i < expected->n_sections; i++) {
		const Waft__V1__Section *section = expected->sections[i];
		const Waft__V1__Trace *trace = section->trace;

		for (size_t k = 0; k < section->n_spans; k++) {
			if (section->spans[k]->trace != NULL)
				trace = section->spans[k]->trace;
			assert_int_equal(batch_next(&batch, &iter, &view), 1);
			same_span(&batch, &view, expected, section, section->spans[k], trace);
		}
	}
	assert_int_equal(batch_next(&batch, &iter, &view), 0);
	batch_done(&batch);
}

/* ---- Differential ------------------------------------------------------- */

static void test_differential(void **state)
{
	uint64_t seed = random_seed();

	(void)state;
	for (uint64_t round = 0; round < 300; round++) {
		long length = model_write(&model, seed + round, buffer, sizeof(buffer));
		Waft__V1__Batch *oracle;
		size_t packed_length;

		assert_true(length > 0);
		oracle = waft__v1__batch__unpack(NULL, (size_t)length, buffer);
		assert_non_null(oracle);
		same_batch(buffer, (size_t)length, oracle);
		/* And protobuf-c's own bytes: other order, other lengths. */
		packed_length = waft__v1__batch__pack(oracle, packed);
		assert_true(packed_length <= WIRE_BATCH_LIMIT);
		same_batch(packed, packed_length, oracle);
		assert_int_equal(batch_consume(packed, packed_length), model.span_count);
		waft__v1__batch__free_unpacked(oracle, NULL);
	}
}

/* The writer wrote what it was given: held against the model, by protobuf-c. */
static void test_writer(void **state)
{
	uint64_t seed = random_seed();

	(void)state;
	for (uint64_t round = 0; round < 100; round++) {
		long length = model_write(&model, seed + round, buffer, sizeof(buffer));
		Waft__V1__Batch *oracle = waft__v1__batch__unpack(NULL, (size_t)length, buffer);
		size_t at = 0;

		assert_non_null(oracle);
		assert_int_equal(oracle->n_sections, model.section_count);
		for (size_t i = 0; i < oracle->n_sections; i++) {
			assert_int_equal(oracle->sections[i]->id_base, model.sections[i].id_base);
			for (size_t k = 0; k < oracle->sections[i]->n_spans; k++, at++) {
				const Waft__V1__Span *span = oracle->sections[i]->spans[k];
				const struct span_write *write = &model.spans[at].write;

				assert_int_equal(span->ids & UINT32_MAX, write->sequence);
				assert_int_equal(span->ids >> 48, write->shape->id);
				assert_int_equal(span->input.len, write->input.length);
				assert_int_equal(span->detail != NULL ? span->detail->n_events : 0,
					write->event_count);
				assert_int_equal(span->trace != NULL, write->trace != NULL);
			}
		}
		assert_int_equal(at, model.span_count);
		waft__v1__batch__free_unpacked(oracle, NULL);
	}
}

static void test_writer_full(void **state)
{
	long whole = model_write(&model, 7, buffer, sizeof(buffer));

	(void)state;
	for (size_t size = 0; size < (size_t)whole; size += 13) {
		uint8_t *exact = malloc(size + 1);

		assert_int_equal(model_write(&model, 7, exact, size), ERR_NO_ROOM);
		free(exact);
	}
}

/* ---- Broken bytes ------------------------------------------------------- */

/* In memory of the exact size, so that ASan sees one byte too far. */
static long consume_exact(const uint8_t *bytes, size_t length)
{
	uint8_t *exact = malloc(length > 0 ? length : 1);
	long ret;

	assert_non_null(exact);
	memcpy(exact, bytes, length);
	ret = batch_consume(exact, length);
	free(exact);
	return ret;
}

static void test_truncated(void **state)
{
	size_t length = (size_t)model_write(&model, random_seed(), buffer, sizeof(buffer));

	(void)state;
	for (size_t cut = 0; cut < length; cut++)
		(void)consume_exact(buffer, cut);
	assert_int_equal(consume_exact(buffer, length), model.span_count);
}

static void test_mutated(void **state)
{
	struct random random = {random_seed()};

	(void)state;
	for (int round = 0; round < 4000; round++) {
		size_t length = (size_t)model_write(
			&model, random_next(&random) % 50, buffer, sizeof(buffer));
		uint32_t changes = 1 + random_below(&random, 4);

		for (uint32_t i = 0; i < changes; i++) {
			uint32_t at = random_below(&random, (uint32_t)length);

			if (random_below(&random, 2))
				buffer[at] ^= (uint8_t)(1u << random_below(&random, 8));
			else
				buffer[at] = (uint8_t)random_next(&random);
		}
		(void)consume_exact(buffer, length);
	}
}

/* ---- Memory -------------------------------------------------------------- */

enum {
	MEMORY_RATIO = 4,
	/* The ids of shapes, and the first few of each table. */
	MEMORY_CONSTANT = 2 * (WIRE_SHAPE_ID_LIMIT + 1) + 64 * 84,
};

/* Fills bytes with shapes of so many keys each, the shortest there are; as many as fit. */
static size_t write_shapes(uint8_t *bytes, size_t size, size_t keys)
{
	static const uint8_t key[] = {TAG_SHAPE_KEYS, 0};
	uint8_t shape[8 + WIRE_SHAPE_KEYS_LIMIT * sizeof(key)];
	struct writer all = writer_of(bytes, size);
	size_t length = 0;

	for (uint32_t id = WIRE_SHAPE_ID_LIMIT; all.error == 0; id = id % WIRE_SHAPE_ID_LIMIT + 1) {
		struct writer one = writer_of(shape, sizeof(shape));

		length = writer_length(&all);
		writer_field_varint(&one, TAG_SHAPE_ID, id);
		for (size_t i = 0; i < keys; i++)
			writer_bytes(&one, key, sizeof(key));
		writer_field_bytes(&all, TAG_BATCH_SHAPES, slice_of(shape, writer_length(&one)));
	}
	return length;
}

/* What a batch makes the reader keep, whether it is refused for it or not. */
static void expect_bounded(struct batch *batch, size_t length, size_t largest)
{
	uint8_t *exact = malloc(length);
	size_t memory;

	assert_non_null(exact);
	memcpy(exact, buffer, length);
	assert_int_not_equal(batch_open(batch, exact, length), -ENOMEM);
	memory = batch->shape_capacity * sizeof(*batch->shapes) +
		 batch->key_capacity * sizeof(*batch->keys) +
		 batch->id_capacity * sizeof(*batch->shape_by_id);
	assert_true(memory <= MEMORY_RATIO * largest + MEMORY_CONSTANT);
	assert_int_equal(memory, batch_memory(batch));
	free(exact);
}

static void test_memory(void **state)
{
	static const size_t keys[] = {0, 1, 3, WIRE_SHAPE_KEYS_LIMIT};
	struct batch reused = {0};
	size_t largest = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		for (size_t size = 64; size <= WIRE_BATCH_LIMIT; size *= 2) {
			size_t length = write_shapes(buffer, size, keys[i]);
			struct batch batch = {0};

			if (length == 0)
				continue; /* not one shape of so many keys */
			largest = length > largest ? length : largest;
			expect_bounded(&batch, length, length);
			batch_done(&batch);
			expect_bounded(&reused, length, largest);
		}
	}
	batch_done(&reused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differential),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_writer_full),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
