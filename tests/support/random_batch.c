/*
 * Random batches, and reading any bytes as a batch in every way; see
 * random_batch.h.
 */
#include "random_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_check.h"
#include "utf8.h"

uint64_t random_next(struct random *random)
{
	random->state += UINT64_C(0x9e3779b97f4a7c15);
	return id_mix(random->state);
}

uint32_t random_below(struct random *random, uint32_t below)
{
	return (uint32_t)(random_next(random) >> 32) % below;
}

uint64_t random_seed(void)
{
	const char *given = getenv("WAFT_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given != NULL ? strtoull(given, NULL, 0)
			     : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	printf("WAFT_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

/* ---- Making ------------------------------------------------------------- */

/* A unique text, now and then not ASCII or long. */
static struct slice make_text(struct model *model)
{
	static const char *const tails[] = {"", "", "", ".operation", "\xc3\xa9",
		"\xe2\x82\xac uro", "\xf0\x9f\x8c\xac", " with \"quotes\" and \\ and \n",
		" a text that is rather longer than the sixteen bytes which are looked at at once"};
	char *at = model->text + model->text_used;
	size_t left = sizeof(model->text) - model->text_used;
	int length = snprintf(at, left, "t%u%s", model->serial++,
		tails[random_below(&model->random, sizeof(tails) / sizeof(tails[0]))]);

	if (length < 0 || (size_t)length >= left)
		return slice_of_text("full");
	model->text_used += (size_t)length;
	return slice_of(at, (size_t)length);
}

static int64_t make_integer(struct random *random)
{
	return (int64_t)(random_next(random) >> random_below(random, 64)) *
	       (random_below(random, 2) ? 1 : -1);
}

static struct value make_value(struct model *model, enum value_type type)
{
	struct value value = {.type = type};

	switch (type) {
	case VALUE_TEXT:
		value.text = make_text(model);
		break;
	case VALUE_BOOL:
		value.boolean = random_below(&model->random, 2) != 0;
		break;
	case VALUE_INT:
		value.integer = make_integer(&model->random);
		break;
	case VALUE_DOUBLE:
		value.number = (double)make_integer(&model->random) / 7;
		break;
	default:
		break;
	}
	return value;
}

/* One or a few attributes; lists take their elements from *elements. */
static size_t make_attributes(
	struct model *model, struct attribute_write *attributes, struct value *elements)
{
	size_t count = random_below(&model->random, MODEL_LISTS + 1);

	for (size_t i = 0; i < count; i++) {
		enum value_type type =
			(enum value_type)(VALUE_TEXT + random_below(&model->random, 5));

		if (type == VALUE_LIST && elements == NULL)
			type = VALUE_INT;
		attributes[i] = (struct attribute_write){.key = make_text(model)};
		if (type == VALUE_LIST) {
			attributes[i].value.type = VALUE_LIST;
			attributes[i].elements = elements;
			attributes[i].element_count = MODEL_LISTS;
			type = (enum value_type)(VALUE_TEXT + random_below(&model->random, 4));
			for (int k = 0; k < MODEL_LISTS; k++)
				elements[k] = make_value(model, type);
			elements = NULL;
		} else {
			attributes[i].value = make_value(model, type);
		}
	}
	return count;
}

static struct trace_id make_trace_id(struct model *model)
{
	struct trace_id id;

	le64_write(id.bytes, random_next(&model->random) | 1);
	le64_write(id.bytes + 8, random_next(&model->random));
	return id;
}

static void make_shapes(struct model *model)
{
	model->shape_count = 1 + random_below(&model->random, MODEL_SHAPES);
	for (uint32_t i = 0; i < model->shape_count; i++) {
		struct shape_write *shape = &model->shapes[i];

		*shape = (struct shape_write){
			.id = 1 + i * 101 + random_below(&model->random, 101) * (i > 6 ? 640 : 1),
			.name = make_text(model),
			.layer = make_text(model),
			.keys = model->keys[i],
			.key_count = random_below(&model->random, MODEL_KEYS + 1)};
		if (random_below(&model->random, 2)) {
			shape->file = make_text(model);
			shape->line = random_below(&model->random, 5000);
			shape->function = make_text(model);
			shape->scope = make_text(model);
			shape->scope_version = make_text(model);
		}
		for (size_t k = 0; k < shape->key_count; k++)
			model->keys[i][k] = (struct key_write){.name = make_text(model),
				.type = (enum wire_key_type)(1 + random_below(&model->random, 5))};
	}
}

static enum value_type value_type_of(enum wire_key_type type)
{
	switch (type) {
	case WIRE_KEY_STRING:
		return VALUE_TEXT;
	case WIRE_KEY_INT32:
	case WIRE_KEY_INT64:
		return VALUE_INT;
	case WIRE_KEY_DOUBLE:
		return VALUE_DOUBLE;
	case WIRE_KEY_BOOL:
		return VALUE_BOOL;
	default:
		return VALUE_NONE;
	}
}

static void make_values(struct model *model, struct model_span *span)
{
	const struct shape_write *shape = span->write.shape;
	bool over[WIRE_KEY_TYPES] = {false};

	for (size_t i = 0; i < shape->key_count; i++) {
		enum wire_key_type type = shape->keys[i].type;

		/* Once one is left out, all later ones of its type are. */
		if (random_below(&model->random, 8) == 0)
			over[type] = true;
		span->values[i] = make_value(model, over[type] ? VALUE_NONE : value_type_of(type));
		if (type == WIRE_KEY_INT32)
			span->values[i].integer = (int32_t)span->values[i].integer;
	}
	span->write.values = span->values;
}

static void make_detail(struct model *model, struct model_span *span)
{
	struct span_write *write = &span->write;

	write->status = (enum wire_status)random_below(&model->random, 3);
	write->kind = random_below(&model->random, WIRE_KINDS);
	if (write->status == WIRE_STATUS_ERROR)
		write->error = make_text(model);
	write->attributes = span->attributes;
	write->attribute_count = make_attributes(model, span->attributes, span->elements);
	write->events = span->events;
	write->event_count = random_below(&model->random, MODEL_LISTS + 1);
	for (size_t i = 0; i < write->event_count; i++)
		span->events[i] = (struct event_write){.name = make_text(model),
			.raw = write->end_raw - i,
			.attributes = span->attributes,
			.attribute_count = write->attribute_count};
	write->links = span->links;
	write->link_count = random_below(&model->random, MODEL_LISTS + 1);
	for (size_t i = 0; i < write->link_count; i++)
		span->links[i] = (struct link_write){.trace_id = make_trace_id(model),
			.span_id = random_next(&model->random) | 1,
			.state = i == 0 ? slice_of_text("a=b") : (struct slice){0},
			.attributes = span->attributes,
			.attribute_count = write->attribute_count};
	write->dropped_attributes = random_below(&model->random, 3);
	write->dropped_events = random_below(&model->random, 3);
	write->dropped_links = random_below(&model->random, 3);
	if (random_below(&model->random, 4) == 0)
		write->span_id = random_next(&model->random) | 1;
}

static void make_span(struct model *model, struct model_span *span, uint32_t sequence)
{
	const struct model_section *section = &model->sections[span->section];
	struct span_write *write = &span->write;

	write->shape = &model->shapes[random_below(&model->random, model->shape_count)];
	write->sequence = sequence;
	write->end_raw = section->clock_base + random_below(&model->random, 1u << 30);
	write->duration_raw = random_below(&model->random, 1u << 20);
	if (random_below(&model->random, 8) == 0) {
		write->end_raw += UINT64_C(1) << 33;
		write->duration_raw += UINT64_C(1) << 32;
	}
	if (random_below(&model->random, 3) != 0)
		write->distance = (uint16_t)random_below(&model->random, sequence);
	else if (random_below(&model->random, 2))
		write->parent_id = random_next(&model->random) | 1;
	if (random_below(&model->random, 4) == 0) {
		span->trace = (struct trace_write){.id = make_trace_id(model),
			.attributes = span->attributes,
			.state = random_below(&model->random, 2) ? slice_of_text("x=1")
								 : (struct slice){0}};
		write->trace = &span->trace;
	}
	make_values(model, span);
	if (random_below(&model->random, 3) == 0)
		write->input = slice_of_text("{\"a\":[1,2,{\"b\":null}]}");
	if (random_below(&model->random, 3) == 0)
		write->output = slice_of_text(model->texts ? "{\"not\": \"done\"" : "\"done\"");
	if (random_below(&model->random, 3) == 0)
		make_detail(model, span);
}

static void make_model(struct model *model, uint64_t seed)
{
	memset(model, 0, sizeof(*model));
	model->random.state = seed;
	model->texts = seed % 2 != 0;
	model->clock = (struct batch_clock){.source = WIRE_CLOCK_TSC,
		.stepped = random_below(&model->random, 4) == 0,
		.open_raw = UINT64_C(1) << 40,
		.open_realtime_ns = UINT64_C(1767953400000000000),
		.close_raw = (UINT64_C(1) << 40) + 3000000,
		.close_realtime_ns = UINT64_C(1767953400001000000),
		.ns_per_tick = 1 / 3.0};
	if (random_below(&model->random, 2)) {
		model->clock.source = WIRE_CLOCK_MONOTONIC;
		model->clock.ns_per_tick = 1;
	}
	make_shapes(model);
	model->section_count = 1 + random_below(&model->random, MODEL_SECTIONS);
	for (uint32_t i = 0; i < model->section_count; i++) {
		uint32_t spans = random_below(&model->random, MODEL_SPANS + 1);

		model->sections[i] = (struct model_section){.id_base = random_next(&model->random),
			.clock_base = model->clock.open_raw + random_below(&model->random, 1000),
			.thread = random_below(&model->random, 1u << 22),
			.trace = {.id = make_trace_id(model)}};
		for (uint32_t k = 0; k < spans; k++) {
			struct model_span *span = &model->spans[model->span_count++];

			span->section = i;
			make_span(model, span, k + 1);
		}
	}
}

long model_write(struct model *model, uint64_t seed, void *buffer, size_t size_bytes)
{
	struct batch_writer writer;
	uint32_t next = 0;

	make_model(model, seed);
	batch_writer_init(&writer, buffer, size_bytes);
	writer.texts = model->texts;
	batch_writer_producer(&writer, slice_of_text("service"), 4711, slice_of_text("host"),
		model->resource, make_attributes(model, model->resource, NULL));
	batch_writer_clock(&writer, &model->clock);
	for (uint32_t i = 0; i < model->shape_count; i++)
		batch_writer_shape(&writer, &model->shapes[i]);
	for (uint32_t i = 0; i < model->section_count; i++) {
		const struct model_section *section = &model->sections[i];

		batch_writer_section_begin(&writer, section->id_base, section->clock_base,
			section->thread, &section->trace);
		for (; next < model->span_count && model->spans[next].section == i; next++)
			if (!batch_writer_span(&writer, &model->spans[next].write))
				return ERR_NO_ROOM;
		batch_writer_section_end(&writer);
	}
	return batch_writer_finish(&writer);
}

/* ---- Reading ------------------------------------------------------------ */

static uint64_t read_bytes; /* keeps reads from being optimised away */

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "batch_consume: %s\n", what);
		abort();
	}
}

static void touch(struct slice slice)
{
	uint8_t repaired[512 * 3];
	size_t length = slice.length < 512 ? slice.length : 512;

	for (size_t i = 0; i < slice.length; i++)
		read_bytes += slice.data[i];
	if (length > 0) {
		length = utf8_repair(slice.data, length, repaired);
		must(utf8_valid(repaired, length), "a repaired text is not valid");
	}
}

static uint32_t touch_attributes(struct attribute_iter *iter)
{
	struct attribute attribute;
	uint32_t count = 0;

	for (; attribute_next(iter, &attribute); count++) {
		touch(attribute.key);
		if (attribute.value.type == VALUE_TEXT)
			touch(attribute.value.text);
		if (attribute.value.type == VALUE_LIST) {
			struct cursor list = cursor_of_slice(attribute.value.list);
			enum value_type kind = VALUE_NONE;
			struct value value;

			while (value_list_next(&list, &kind, &value))
				if (value.type == VALUE_TEXT)
					touch(value.text);
		}
	}
	must(count <= WIRE_ATTRIBUTES_LIMIT, "more attributes than the limit");
	return count;
}

static void touch_span(struct batch *batch, struct span_view *view)
{
	struct attribute_iter iter;
	struct span_event event;
	struct span_link link;
	struct cursor cursor;

	span_validate(batch, view);
	must(view->span_id != 0, "a span without id");
	must(!trace_id_is_zero(&view->trace->id), "a trace without id");
	must(view->start_ns + view->duration_ns <= INT64_MAX, "a time beyond");
	touch(batch_slice(batch, view->shape->name));
	touch(view->input);
	touch(view->output);
	touch(view->error);
	touch(view->trace->state);
	if (view->input.data != NULL && (view->repairs & REPAIR_INPUT) == 0 && !view->input_is_text)
		must(json_check(view->input.data, view->input.length, NULL) == 0, "input");
	span_attributes(batch, view, &iter);
	touch_attributes(&iter);
	cursor = cursor_of_slice(view->detail);
	while (span_event_next(batch, &cursor, &event)) {
		touch(event.name);
		event_attributes(&event, &iter);
		touch_attributes(&iter);
	}
	cursor = cursor_of_slice(view->detail);
	while (span_link_next(&cursor, &link)) {
		touch(link.state);
		link_attributes(&link, &iter);
		touch_attributes(&iter);
	}
	for (unsigned int bit = 0; bit < REPAIR_BITS; bit++)
		must(repair_name((enum repair)(1u << bit))[0] != 0, "a repair without name");
}

static bool same_span(const struct span_view *a, const struct span_view *b)
{
	return a->span_id == b->span_id && a->parent_id == b->parent_id &&
	       a->start_ns == b->start_ns && a->duration_ns == b->duration_ns &&
	       a->shape == b->shape && a->thread == b->thread && a->status == b->status &&
	       a->kind == b->kind && a->repairs == b->repairs && a->present == b->present &&
	       a->detail.data == b->detail.data && a->input.data == b->input.data &&
	       trace_id_equal(&a->trace->id, &b->trace->id) &&
	       memcmp(&a->place, &b->place, sizeof(a->place)) == 0;
}

static long consume_opened(struct batch *batch)
{
	struct batch_iter iter, cached, fresh;
	struct span_view view, again;
	uint64_t spans = 0;
	uint64_t seen = 0;
	int ret = batch_check(batch, &spans);

	batch_iter_init(&iter);
	batch_iter_init(&cached);
	if (ret != 0)
		return ret;
	while ((ret = batch_next(batch, &iter, &view)) > 0) {
		must(batch_span_at(batch, &cached, view.place, &again) == 0 &&
				same_span(&view, &again),
			"a span read again with a cache differs");
		batch_iter_init(&fresh);
		must(batch_span_at(batch, &fresh, view.place, &again) == 0 &&
				same_span(&view, &again),
			"a span read again differs");
		touch_span(batch, &view);
		seen++;
	}
	must(ret == 0 && seen == spans, "a batch that was checked fails");
	return (long)spans;
}

long batch_consume(const uint8_t *bytes, size_t length)
{
	struct batch batch = {0};
	struct attribute_iter iter;
	long ret = batch_open(&batch, bytes, length);

	must(batch_memory(&batch) <= 4 * length + 128 * 1024 + 8192, "memory over its bound");
	if (ret == 0) {
		batch_resource(&batch, &iter);
		touch_attributes(&iter);
		ret = consume_opened(&batch);
	}
	batch_done(&batch);
	return ret;
}
