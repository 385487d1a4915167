/* Decodes batches into what tests look at. See fake_collector.h. */
#include "fake_record.h"

#include <string.h>

#include "batch.h"
#include "cursor.h"

static char *text_of(struct slice slice)
{
	char *text;

	if (slice.data == NULL)
		return NULL;
	text = malloc(slice.length + 1);
	CHECK(text != NULL);
	memcpy(text, slice.data, slice.length);
	text[slice.length] = '\0';
	return text;
}

static void value_print(FILE *out, const struct value *value)
{
	enum value_type kind = VALUE_NONE;
	struct cursor list;
	struct value element;
	const char *comma = "";

	switch (value->type) {
	case VALUE_TEXT:
		fprintf(out, "%.*s", (int)value->text.length, (const char *)value->text.data);
		break;
	case VALUE_BOOL:
		fputs(value->boolean ? "true" : "false", out);
		break;
	case VALUE_INT:
		fprintf(out, "%lld", (long long)value->integer);
		break;
	case VALUE_DOUBLE:
		fprintf(out, "%g", value->number);
		break;
	case VALUE_LIST:
		fputc('[', out);
		list = cursor_of_slice(value->list);
		while (value_list_next(&list, &kind, &element)) {
			fputs(comma, out);
			value_print(out, &element); // NOLINT(misc-no-recursion): one level
			comma = ",";
		}
		fputc(']', out);
		break;
	default:
		fputc('?', out);
	}
}

static void attributes_print(FILE *out, struct attribute_iter *iter)
{
	struct attribute attribute;

	while (attribute_next(iter, &attribute)) {
		fprintf(out, "%.*s=", (int)attribute.key.length, (const char *)attribute.key.data);
		value_print(out, &attribute.value);
		fputc(';', out);
	}
}

static char *attributes_text(const struct batch *batch, const struct span_view *view)
{
	struct attribute_iter iter;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	CHECK(out != NULL);
	span_attributes(batch, view, &iter);
	attributes_print(out, &iter);
	fclose(out);
	return text;
}

static char *events_text(const struct batch *batch, const struct span_view *view)
{
	struct cursor detail = cursor_of_slice(view->detail);
	struct attribute_iter iter;
	struct span_event event;
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	CHECK(out != NULL);
	while (span_event_next(batch, &detail, &event)) {
		CHECK(event.time_ns >= view->start_ns - 1000);
		CHECK(event.time_ns <= view->start_ns + view->duration_ns + 1000);
		fprintf(out, "%.*s(", (int)event.name.length, (const char *)event.name.data);
		event_attributes(&event, &iter);
		attributes_print(out, &iter);
		fputc(')', out);
	}
	fclose(out);
	return text;
}

static void span_take(struct fake_collector *fake, struct batch *batch, struct span_view *view)
{
	struct fake_span *span;

	CHECK(fake->span_count < FAKE_SPANS);
	span = &fake->spans[fake->span_count++];
	if (fake->counting)
		return;
	span_validate(batch, view);
	span->name = text_of(batch_slice(batch, view->shape->name));
	span->layer = text_of(batch_slice(batch, view->shape->layer));
	span->attributes = attributes_text(batch, view);
	span->events = events_text(batch, view);
	span->input = text_of(view->input);
	span->output = text_of(view->output);
	span->error = text_of(view->error);
	span->state = text_of(view->trace->state);
	memcpy(span->trace, view->trace->id.bytes, sizeof(span->trace));
	span->id = view->span_id;
	span->parent = view->parent_id;
	span->start_ns = view->start_ns;
	span->duration_ns = view->duration_ns;
	span->thread = view->thread;
	span->links = view->link_count;
	span->repairs = view->repairs;
	span->dropped_attributes = view->dropped_attributes;
	span->dropped_events = view->dropped_events;
	span->status = view->status;
	span->kind = view->kind;
	span->stepped = batch->clock.stepped;
}

bool fake_record_batch(struct fake_collector *fake, struct slice bytes)
{
	static struct batch batch;
	struct batch_iter iter;
	struct span_view view;
	int ret = batch_open(&batch, bytes.data, bytes.length);

	if (ret == 0) {
		fake->stepped |= batch.clock.stepped;
		batch_iter_init(&iter);
		while ((ret = batch_next(&batch, &iter, &view)) > 0)
			span_take(fake, &batch, &view);
	}
	batch_done(&batch);
	memset(&batch, 0, sizeof(batch));
	if (ret < 0)
		fprintf(stderr, "a batch does not decode: %s\n", error_text(ret));
	return ret == 0;
}

void fake_record_free(struct fake_collector *fake)
{
	for (uint32_t i = 0; i < fake->span_count; i++) {
		struct fake_span *span = &fake->spans[i];

		free(span->name);
		free(span->layer);
		free(span->attributes);
		free(span->events);
		free(span->input);
		free(span->output);
		free(span->error);
		free(span->state);
	}
	free(fake->spans);
}
