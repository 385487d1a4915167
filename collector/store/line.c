/*
 * A span as its line of JSON. See line.h.
 *
 * The order of the line is that of line_span: ids and times, the shape's piece
 * (operation, layer), status, data, metadata's head, kind, the shape's second
 * piece (resource, scope, call site), attributes, and what few spans have; then
 * peer and error.
 *
 * A key stands once among the attributes: of ours, a span's own value goes before
 * thread and call site, and ours before its own for waft.*. Few spans have any: the
 * attributes are written as if none did, and again when it turns out.
 */
#include "line.h"

#include <errno.h>
#include <stdlib.h>

#include "json_write.h"
#include "line_internal.h"

/* Attributes that are ours: bits of a set. */
enum own_attribute {
	OWN_FILE = 1,
	OWN_LINE = 2,
	OWN_FUNCTION = 4,
	OWN_THREAD = 8,
	OWN_CLOCK = 16,
	OWN_REPAIRED = 32,
};

void line_writer_done(struct line_writer *writer)
{
	bytes_done(&writer->head);
	bytes_done(&writer->resource);
	bytes_done(&writer->tail);
	bytes_done(&writer->middle);
	bytes_done(&writer->pieces);
	line_index_done(&writer->index);
	free(writer->shapes);
	free(writer->keys);
	*writer = (struct line_writer){0};
}

int line_append_u64(struct bytes *out, uint64_t value)
{
	char digits[JSON_INTEGER_BYTES];

	return bytes_put(out, digits, json_format_u64(digits, value));
}

/* ---- Values and attributes ------------------------------------------------ */

static int append_scalar(struct bytes *out, const struct value *value, bool repair)
{
	char text[JSON_DOUBLE_BYTES];

	switch (value->type) {
	case VALUE_TEXT:
		return json_put_text(out, value->text, repair);
	case VALUE_BOOL:
		return value->boolean ? APPEND(out, "true") : APPEND(out, "false");
	case VALUE_INT:
		return bytes_put(out, text, json_format_i64(text, value->integer));
	case VALUE_DOUBLE:
		return bytes_put(out, text, json_format_double(text, value->number));
	case VALUE_NONE:
	case VALUE_LIST:
		break;
	}
	return APPEND(out, "null");
}

static int append_value(struct bytes *out, const struct value *value, bool repair)
{
	enum value_type kind = VALUE_NONE;
	struct cursor list;
	struct value element;
	bool first = true;
	int ret;

	if (value->type != VALUE_LIST)
		return append_scalar(out, value, repair);
	list = cursor_of_slice(value->list);
	ret = APPEND(out, "[");
	while (ret == 0 && value_list_next(&list, &kind, &element)) {
		if (!first)
			ret = APPEND(out, ",");
		first = false;
		if (ret == 0)
			ret = append_scalar(out, &element, repair);
	}
	return ret != 0 ? ret : APPEND(out, "]");
}

int line_append_key(struct bytes *out, struct slice key, bool repair, bool *first)
{
	int ret = *first ? 0 : APPEND(out, ",");

	*first = false;
	if (ret == 0)
		ret = json_put_text(out, key, repair);
	return ret != 0 ? ret : APPEND(out, ":");
}

int line_append_attributes(struct bytes *out, struct attribute_iter *iter, bool repair, bool *first)
{
	struct attribute attribute;
	int ret = 0;

	while (ret == 0 && attribute_next(iter, &attribute)) {
		ret = line_append_key(out, attribute.key, repair, first);
		if (ret == 0)
			ret = append_value(out, &attribute.value, repair);
	}
	return ret;
}

static const struct {
	const char *name;
	enum own_attribute bit;
} own_names[] = {
	{"code.file.path", OWN_FILE},
	{"code.line.number", OWN_LINE},
	{"code.function.name", OWN_FUNCTION},
	{"thread.id", OWN_THREAD},
	{"waft.clock", OWN_CLOCK},
	{"waft.repaired", OWN_REPAIRED},
};

/* Which of ours a key is, or 0. */
static unsigned int own_of_key(struct slice key)
{
	if (key.length < 9 || (key.data[0] != 'c' && key.data[0] != 't' && key.data[0] != 'w'))
		return 0;
	for (size_t i = 0; i < sizeof(own_names) / sizeof(own_names[0]); i++)
		if (key.length == strlen(own_names[i].name) &&
			memcmp(key.data, own_names[i].name, key.length) == 0)
			return own_names[i].bit;
	return 0;
}

/* ---- Once for a batch ----------------------------------------------------- */

static int build_head(struct line_writer *writer, const struct batch *batch)
{
	const struct batch_producer *producer = &batch->producer;
	struct bytes *head = &writer->head;
	int ret;

	head->length = 0;
	ret = APPEND(head, "},\"metadata\":{\"service\":");
	if (ret == 0)
		ret = json_put_text(head, producer->service, producer->bad_utf8);
	if (ret == 0)
		ret = APPEND(head, ",\"pid\":");
	if (ret == 0)
		ret = line_append_u64(head, producer->pid);
	if (ret == 0)
		ret = APPEND(head, ",\"host\":");
	if (ret == 0)
		ret = json_put_text(head, producer->host, producer->bad_utf8);
	return ret != 0 ? ret : APPEND(head, ",\"kind\":\"");
}

static int build_resource(struct line_writer *writer, const struct batch *batch)
{
	struct bytes *resource = &writer->resource;
	struct attribute_iter iter;
	bool first = true;
	int ret;

	resource->length = 0;
	batch_resource(batch, &iter);
	ret = APPEND(resource, ",\"resource\":{");
	if (ret == 0)
		ret = line_append_attributes(resource, &iter, batch->producer.bad_utf8, &first);
	if (ret == 0)
		ret = APPEND(resource, "}");
	if (ret == 0 && first)
		resource->length = 0;
	return ret;
}

static int build_tail(struct line_writer *writer, const struct log_peer *peer)
{
	struct bytes *tail = &writer->tail;
	int ret = 0;

	tail->length = 0;
	if (peer != NULL && peer->known) {
		bool named = peer->name != NULL && peer->name_length > 0;
		/* A peer from another machine has a name and no process here. */
		bool forwarded = peer->agent != NULL && peer->agent_length > 0;
		bool local = peer->pid != 0 || (!named && !forwarded);

		ret = APPEND(tail, ",\"peer\":{");
		if (ret == 0 && local)
			ret = APPEND(tail, "\"pid\":");
		if (ret == 0 && local)
			ret = line_append_u64(tail, peer->pid);
		if (ret == 0 && local)
			ret = APPEND(tail, ",\"uid\":");
		if (ret == 0 && local)
			ret = line_append_u64(tail, peer->uid);
		if (ret == 0 && named && local)
			ret = APPEND(tail, ",");
		if (ret == 0 && named)
			ret = APPEND(tail, "\"name\":");
		if (ret == 0 && named)
			ret = json_put_text(tail, slice_of(peer->name, peer->name_length), true);
		if (ret == 0 && forwarded && (named || local))
			ret = APPEND(tail, ",");
		if (ret == 0 && forwarded)
			ret = APPEND(tail, "\"agent\":");
		if (ret == 0 && forwarded)
			ret = json_put_text(tail, slice_of(peer->agent, peer->agent_length), true);
		if (ret == 0)
			ret = APPEND(tail, "}");
	}
	if (ret == 0)
		ret = APPEND(tail, "},\"error\":");
	return ret != 0 ? ret : bytes_reserve(tail, PIECE_SLACK);
}

/* What line_hot.c copies at once. */
static int build_middle(struct line_writer *writer, const struct batch *batch)
{
	struct bytes *middle = &writer->middle;
	int ret;

	middle->length = 0;
	writer->hot = !batch->producer.bad_utf8 && !batch->clock.stepped;
	ret = APPEND(middle, "success\",\"data\":{\"input\":null,\"output\":null");
	writer->middle_data_end = middle->length;
	if (ret == 0)
		ret = bytes_put(middle, writer->head.data, writer->head.length);
	if (ret == 0)
		ret = APPEND(middle, "internal\"");
	if (ret == 0)
		ret = bytes_put(middle, writer->resource.data, writer->resource.length);
	return ret != 0 ? ret : bytes_reserve(middle, PIECE_SLACK);
}

static int grow_tables(struct line_writer *writer, const struct batch *batch)
{
	void *grown;

	if (batch->shape_count > writer->shape_capacity) {
		grown = reallocarray(writer->shapes, batch->shape_count, sizeof(*writer->shapes));
		if (grown == NULL)
			return -ENOMEM;
		writer->shapes = grown;
		writer->shape_capacity = batch->shape_count;
	}
	if (batch->key_count > writer->key_capacity) {
		grown = reallocarray(writer->keys, batch->key_count, sizeof(*writer->keys));
		if (grown == NULL)
			return -ENOMEM;
		writer->keys = grown;
		writer->key_capacity = batch->key_count;
	}
	return 0;
}

int line_batch_begin(
	struct line_writer *writer, const struct batch *batch, const struct log_peer *peer)
{
	int ret = grow_tables(writer, batch);

	writer->pieces.length = 0;
	for (uint32_t i = 0; ret == 0 && i < batch->shape_count; i++)
		writer->shapes[i].built = false;
	if (ret == 0)
		ret = build_head(writer, batch);
	if (ret == 0)
		ret = build_resource(writer, batch);
	if (ret == 0)
		ret = build_middle(writer, batch);
	if (ret == 0)
		ret = line_index_begin(&writer->index, batch);
	return ret != 0 ? ret : build_tail(writer, peer);
}

/* ---- Once for a shape ----------------------------------------------------- */

static int build_names(
	struct bytes *out, const struct batch *batch, const struct batch_shape *shape)
{
	struct slice layer = batch_slice(batch, shape->layer);
	int ret = APPEND(out, ",\"operation\":");

	if (layer.length == 0)
		layer = slice_of_text("core");
	if (ret == 0)
		ret = json_put_text(out, batch_slice(batch, shape->name), shape->bad_utf8);
	if (ret == 0)
		ret = APPEND(out, ",\"layer\":");
	if (ret == 0)
		ret = json_put_text(out, layer, shape->bad_utf8);
	return ret != 0 ? ret : APPEND(out, ",\"status\":\"");
}

static int build_scope(
	struct bytes *out, const struct batch *batch, const struct batch_shape *shape)
{
	int ret;

	if (shape->scope.length == 0 && shape->scope_version.length == 0)
		return 0;
	ret = APPEND(out, ",\"scope\":{\"name\":");
	if (ret == 0)
		ret = json_put_text(out, batch_slice(batch, shape->scope), shape->bad_utf8);
	if (ret == 0)
		ret = APPEND(out, ",\"version\":");
	if (ret == 0)
		ret = json_put_text(out, batch_slice(batch, shape->scope_version), shape->bad_utf8);
	return ret != 0 ? ret : APPEND(out, "}");
}

static int append_named_text(
	struct bytes *out, const char *name, struct slice text, bool repair, bool *first)
{
	int ret = line_append_key(out, slice_of_text(name), false, first);

	return ret != 0 ? ret : json_put_text(out, text, repair);
}

/* Attributes with the call site, but for those in leave_out. */
static int build_site(struct bytes *out, const struct batch *batch, const struct batch_shape *shape,
	unsigned int leave_out, unsigned int *ret_own)
{
	unsigned int own = (shape->file.length > 0 ? OWN_FILE : 0) |
			   (shape->line > 0 ? OWN_LINE : 0) |
			   (shape->function.length > 0 ? OWN_FUNCTION : 0);
	bool first = true;
	int ret = APPEND(out, ",\"attributes\":{");

	own &= ~leave_out;
	*ret_own = own;
	if (ret == 0 && (own & OWN_FILE) != 0)
		ret = append_named_text(out, "code.file.path", batch_slice(batch, shape->file),
			shape->bad_utf8, &first);
	if (ret == 0 && (own & OWN_LINE) != 0) {
		ret = line_append_key(out, slice_of_text("code.line.number"), false, &first);
		if (ret == 0)
			ret = line_append_u64(out, shape->line);
	}
	if (ret == 0 && (own & OWN_FUNCTION) != 0)
		ret = append_named_text(out, "code.function.name",
			batch_slice(batch, shape->function), shape->bad_utf8, &first);
	return ret;
}

static int build_keys(struct line_writer *writer, const struct batch *batch,
	const struct batch_shape *shape, struct line_shape *line)
{
	bool first = false;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < shape->key_count; i++) {
		struct line_key *key = &writer->keys[shape->keys + i];
		struct slice name = batch_slice(batch, batch->keys[shape->keys + i].name);

		key->own = own_of_key(name);
		line->hot &= key->own == 0;
		key->hash = index_hash_key(name);
		key->text.offset = (uint32_t)writer->pieces.length;
		ret = line_append_key(&writer->pieces, name, shape->bad_utf8, &first);
		key->text.length = (uint32_t)writer->pieces.length - key->text.offset;
	}
	return ret;
}

/* The batch has at most 256 KiB, so the pieces stay far below 4 GiB. */
static int build_shape(struct line_writer *writer, const struct batch *batch,
	const struct batch_shape *shape, struct line_shape *line)
{
	struct bytes *out = &writer->pieces;
	size_t begin = out->length;
	size_t start = begin;
	int ret = build_names(out, batch, shape);

	line->hot = !shape->bad_utf8 && !shape->odd_keys;
	line->names = (struct line_piece){(uint32_t)start, (uint32_t)(out->length - start)};
	start = out->length;
	if (ret == 0)
		ret = build_scope(out, batch, shape);
	if (ret == 0)
		ret = build_site(out, batch, shape, 0, &line->own);
	line->site = (struct line_piece){(uint32_t)start, (uint32_t)(out->length - start)};
	if (ret == 0)
		ret = build_keys(writer, batch, shape, line);
	if (ret == 0)
		ret = bytes_reserve(out, PIECE_SLACK);
	line->hot_bytes = FIXED_BYTES + (out->length - begin) + writer->middle.length +
			  writer->tail.length + shape->key_count * (size_t)JSON_DOUBLE_BYTES;
	line->built = ret == 0;
	return ret;
}

/* ---- A span --------------------------------------------------------------- */

static uint8_t *put_piece(uint8_t *at, const struct line_writer *writer, struct line_piece piece)
{
	memcpy(at, writer->pieces.data + piece.offset, piece.length);
	return at + piece.length;
}

/* From the line's beginning to `"input":`. */
static void put_front(struct line_writer *writer, const struct line_shape *shape,
	const struct span_view *view, struct bytes *out)
{
	static const char *const statuses[] = {"success", "error", "pending"};
	uint8_t *at = line_put_front(writer, view, out->data + out->length);
	const char *status = statuses[view->status];

	at = put_piece(at, writer, shape->names);
	memcpy(at, status, strlen(status));
	at += strlen(status);
	at = PUT(at, "\",\"data\":{\"input\":");
	out->length = (size_t)(at - out->data);
}

static int append_snapshot(struct bytes *out, struct slice json, bool invalid, bool is_text)
{
	if (json.data == NULL)
		return APPEND(out, "null");
	if (is_text)
		return json_put_snapshot(out, json);
	if (!invalid)
		return json_put_json(out, json);
	if (APPEND(out, "\"[invalid JSON, ") != 0 || line_append_u64(out, json.length) != 0)
		return -ENOMEM;
	return APPEND(out, " bytes]\"");
}

/* Metadata from its beginning to resource; the site comes behind it. */
static int append_metadata(
	const struct line_writer *writer, const struct span_view *view, struct bytes *out)
{
	static const char *const kinds[WIRE_KINDS] = {
		"internal", "server", "client", "producer", "consumer"};
	const char *kind = kinds[view->kind];
	uint8_t *at;

	if (bytes_reserve(out, writer->head.length + writer->resource.length + FIXED_BYTES) != 0)
		return -ENOMEM;
	at = out->data + out->length;
	memcpy(at, writer->head.data, writer->head.length);
	at += writer->head.length;
	memcpy(at, kind, strlen(kind));
	at += strlen(kind);
	*at++ = '"';
	if (writer->resource.length > 0)
		memcpy(at, writer->resource.data, writer->resource.length);
	at += writer->resource.length;
	out->length = (size_t)(at - out->data);
	return 0;
}

/* Scope and `"attributes":{` with call site and thread but for those in leave_out,
 * which the span has its own of; ret_own: those that are there. */
static int append_site(const struct line_writer *writer, const struct line_shape *shape,
	const struct batch *batch, const struct span_view *view, unsigned int leave_out,
	struct bytes *out, unsigned int *ret_own)
{
	int ret;

	*ret_own = shape->own;
	if (leave_out == 0) {
		ret = bytes_put(out, writer->pieces.data + shape->site.offset, shape->site.length);
	} else {
		ret = build_scope(out, batch, view->shape);
		if (ret == 0)
			ret = build_site(out, batch, view->shape, leave_out, ret_own);
	}
	if (ret != 0 || view->thread == 0 || (leave_out & OWN_THREAD) != 0)
		return ret;
	ret = *ret_own != 0 ? APPEND(out, ",\"thread.id\":") : APPEND(out, "\"thread.id\":");
	*ret_own |= OWN_THREAD;
	return ret != 0 ? ret : line_append_u64(out, view->thread);
}

/* A key of the shape: escaped already. */
static int append_shape_key(struct bytes *out, const struct line_writer *writer,
	const struct line_piece *key, bool *first)
{
	size_t comma = *first;

	*first = false;
	return bytes_put(out, writer->pieces.data + key->offset + comma, key->length - comma);
}

/* For the index: texts as they are, other values as they stand in the line. */
static void note_attribute(struct line_index *index, uint64_t key_hash,
	const struct attribute *attribute, const struct bytes *out, size_t value_at)
{
	if (index->filter == NULL)
		return;
	index_filter_value(index->filter, key_hash,
		attribute->value.type == VALUE_TEXT
			? attribute->value.text
			: line_bare_value(slice_of(out->data + value_at, out->length - value_at)));
}

/* Attributes of the span, but for those in leave_out; ret_own: which of them have
 * a name of ours. */
static int append_own_attributes(struct line_writer *writer, const struct batch *batch,
	const struct span_view *view, unsigned int leave_out, struct bytes *out, bool *first,
	unsigned int *ret_own)
{
	bool repair = (view->repairs & REPAIR_UTF8) != 0;
	struct attribute_iter iter;
	struct attribute attribute;
	const uint8_t *list;
	uint32_t at = 0;
	size_t value_at;
	int ret = 0;

	*ret_own = 0;
	span_attributes(batch, view, &iter);
	list = iter.list.at;
	while (ret == 0 && attribute_next(&iter, &attribute)) {
		/* The iterator went on in the keys and not in the list: one of the shape. */
		bool of_shape = iter.key != at && iter.list.at == list;
		const struct line_key *key =
			of_shape ? &writer->keys[view->shape->keys + iter.key - 1] : NULL;
		unsigned int own = of_shape ? key->own : own_of_key(attribute.key);

		at = iter.key;
		if ((own & leave_out) != 0)
			continue;
		*ret_own |= own;
		if (of_shape)
			ret = append_shape_key(out, writer, &key->text, first);
		else
			ret = line_append_key(out, attribute.key, repair, first);
		value_at = out->length;
		if (ret == 0)
			ret = append_value(out, &attribute.value, repair);
		if (ret == 0)
			note_attribute(&writer->index,
				key != NULL ? key->hash : index_hash_key(attribute.key), &attribute,
				out, value_at);
	}
	return ret;
}

/* The attributes that the collector adds. */
static int append_repairs(const struct span_view *view, struct bytes *out, bool *first)
{
	int ret = line_append_key(out, slice_of_text("waft.repaired"), false, first);
	const char *before = "[";

	for (int bit = 0; ret == 0 && bit < REPAIR_BITS; bit++) {
		if ((view->repairs >> bit & 1) == 0)
			continue;
		ret = bytes_put(out, before, 1);
		before = ",";
		if (ret == 0)
			ret = json_put_text(
				out, slice_of_text(repair_name((enum repair)(1 << bit))), false);
	}
	return ret != 0 ? ret : APPEND(out, "]");
}

static int append_stepped(struct bytes *out, bool *first)
{
	int ret = line_append_key(out, slice_of_text("waft.clock"), false, first);

	return ret != 0 ? ret : APPEND(out, "\"stepped\"");
}

static int append_data(const struct span_view *view, struct bytes *out)
{
	int ret = append_snapshot(
		out, view->input, (view->repairs & REPAIR_INPUT) != 0, view->input_is_text);

	if (ret == 0)
		ret = APPEND(out, ",\"output\":");
	if (ret == 0)
		ret = append_snapshot(out, view->output, (view->repairs & REPAIR_OUTPUT) != 0,
			view->output_is_text);
	return ret;
}

/* `"attributes":{` stands at the end when there are none: takes it away. */
static int end_attributes(struct bytes *out, bool none)
{
	if (!none)
		return APPEND(out, "}");
	out->length -= sizeof(",\"attributes\":{") - 1;
	return 0;
}

/* Behind append_metadata. */
static int append_attribute_object(struct line_writer *writer, const struct line_shape *shape,
	const struct batch *batch, const struct span_view *view, struct bytes *out)
{
	unsigned int ours =
		(batch->clock.stepped ? OWN_CLOCK : 0) | (view->repairs != 0 ? OWN_REPAIRED : 0);
	size_t before = out->length;
	unsigned int own = 0, written = 0;
	bool first = true;
	int ret;

	do {
		/* A second time, without what the span turned out to have. */
		out->length = before;
		ret = append_site(writer, shape, batch, view, own, out, &written);
		first = written == 0;
		if (ret == 0)
			ret = append_own_attributes(writer, batch, view, ours, out, &first, &own);
	} while (ret == 0 && (written & own) != 0);
	if (ret == 0 && (ours & OWN_CLOCK) != 0)
		ret = append_stepped(out, &first);
	if (ret == 0 && (ours & OWN_REPAIRED) != 0)
		ret = append_repairs(view, out, &first);
	return ret != 0 ? ret : end_attributes(out, first);
}

static int append_end(
	const struct line_writer *writer, const struct span_view *view, struct bytes *out)
{
	int ret = bytes_put(out, writer->tail.data, writer->tail.length);

	if (ret == 0 && view->error.data == NULL)
		return APPEND(out, "null}\n");
	if (ret == 0)
		ret = json_put_text(out, view->error, (view->repairs & REPAIR_UTF8) != 0);
	return ret != 0 ? ret : APPEND(out, "}\n");
}

/* The line of any span; on failure out is to be set back. */
static int append_span(struct line_writer *writer, const struct line_shape *shape,
	struct batch *batch, struct span_view *view, struct bytes *out)
{
	int ret = bytes_reserve(out, FIXED_BYTES + shape->names.length);

	span_validate(batch, view);
	if (ret == 0) {
		put_front(writer, shape, view, out);
		ret = append_data(view, out);
	}
	if (ret == 0)
		ret = append_metadata(writer, view, out);
	if (ret == 0)
		ret = append_attribute_object(writer, shape, batch, view, out);
	if (ret == 0)
		ret = line_append_rest(writer, batch, view, out);
	return ret != 0 ? ret : append_end(writer, view, out);
}

int line_span(
	struct line_writer *writer, struct batch *batch, struct span_view *view, struct bytes *out)
{
	struct line_shape *shape = &writer->shapes[batch_shape_index(batch, view->shape)];
	size_t before = out->length;
	int ret = 0;

	if (!shape->built)
		ret = build_shape(writer, batch, view->shape, shape);
	if (ret == 0)
		ret = line_hot_span(writer, batch, shape, view, out);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = append_span(writer, shape, batch, view, out);
	if (ret != 0)
		out->length = before;
	return ret;
}
