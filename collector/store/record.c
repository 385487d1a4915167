/*
 * record.c: see record.h. One pass over the line; members of `metadata` and `data`
 * are taken in the same pass. Of a key that comes twice the first counts, so that a
 * look at the beginning of a line says the same as the whole.
 */
#include "record.h"

#include <errno.h>
#include <string.h>

#include "json_walk.h"
#include "scratch.h"
#include "utf8.h"

enum field {
	FIELD_TRACE_ID,
	FIELD_SPAN_ID,
	FIELD_PARENT,
	FIELD_TIMESTAMP,
	FIELD_DURATION,
	FIELD_OPERATION,
	FIELD_LAYER,
	FIELD_STATUS,
	FIELD_DATA,
	FIELD_METADATA,
	FIELD_ERROR,
	FIELD_OTHER,
};

/* In the order of Waft's own lines. */
static const struct {
	const char *name;
	uint8_t length;
} fields[FIELD_OTHER] = {
	{"trace_id", 8},
	{"span_id", 7},
	{"parent_span_id", 14},
	{"timestamp", 9},
	{"duration_ms", 11},
	{"operation", 9},
	{"layer", 5},
	{"status", 6},
	{"data", 4},
	{"metadata", 8},
	{"error", 5},
};

/* A line being taken apart. */
struct parse {
	struct json_walk walk;
	struct scratch *scratch;
	struct record *record;
	uint32_t seen;	     /* bits of enum field */
	struct slice status; /* text, absent when it is none of ours */
	const char *why;
};

static const struct slice json_null = {.data = (const uint8_t *)"null", .length = 4};
static const struct slice layer_default = {.data = (const uint8_t *)"core", .length = 4};
static const struct slice nothing = {.data = (const uint8_t *)"", .length = 0};

static bool is(struct slice text, const char *literal, size_t length)
{
	return text.length == length && memcmp(text.data, literal, length) == 0;
}

#define IS(text, literal) is((text), (literal), sizeof(literal) - 1)

/* A key as text: keys hardly ever have escapes, but may. */
static int take_key(struct parse *parse, bool first, struct slice *ret_key)
{
	bool escaped;
	int ret = json_walk_key(&parse->walk, first, ret_key, &escaped);

	if (ret == 1 && escaped) {
		int failed = json_walk_decode(*ret_key, parse->scratch, ret_key);

		return failed != 0 ? failed : 1;
	}
	return ret;
}

static enum field field_of(struct slice key, enum field expected)
{
	if (expected < FIELD_OTHER && is(key, fields[expected].name, fields[expected].length))
		return expected;
	for (enum field i = 0; i < FIELD_OTHER; i++)
		if (is(key, fields[i].name, fields[i].length))
			return i;
	return FIELD_OTHER;
}

/* A JSON string's text. value is a whole value's. 1; 0: it is no string; -ENOMEM. */
static int text_of(struct parse *parse, struct slice value, struct slice *ret_text)
{
	int ret;

	if (value.data[0] != '"')
		return 0;
	value = slice_of(value.data + 1, value.length - 2);
	if (memchr(value.data, '\\', value.length) == NULL) {
		*ret_text = value;
		return 1;
	}
	ret = json_walk_decode(value, parse->scratch, ret_text);
	return ret != 0 ? ret : 1;
}

/* ---- data ---------------------------------------------------------------- */

/* An object of the members of data but for the output. */
static int rest_of_data(struct parse *parse, struct slice data, struct slice *ret_rest)
{
	uint8_t *out = scratch_alloc(parse->scratch, data.length + 1);
	struct json_walk walk = json_walk_of(data);
	struct slice key, value;
	size_t length = 1;
	bool escaped;
	int ret;

	if (out == NULL)
		return -ENOMEM;
	out[0] = '{';
	ret = json_walk_enter(&walk);
	for (bool first = true; ret == 0; first = false) {
		ret = json_walk_key(&walk, first, &key, &escaped);
		if (ret <= 0)
			break;
		ret = json_walk_value(&walk, &value);
		if (ret != 0 || IS(key, "output"))
			continue;
		if (length > 1)
			out[length++] = ',';
		/* The key's quotes and what follows it stand in the line as they should. */
		memcpy(out + length, key.data - 1,
			(size_t)(value.data + value.length - key.data) + 1);
		length += (size_t)(value.data + value.length - key.data) + 1;
	}
	if (ret != 0)
		return ret;
	out[length++] = '}';
	*ret_rest = slice_of(out, length);
	return 0;
}

static int take_data(struct parse *parse)
{
	struct record *record = parse->record;
	const uint8_t *start = parse->walk.at;
	bool other = false, input = false, output = false;
	struct slice key, value;
	int ret;

	if (*start != '{')
		return json_walk_value(&parse->walk, &record->input);
	ret = json_walk_enter(&parse->walk);
	for (bool first = true; ret == 0; first = false) {
		ret = take_key(parse, first, &key);
		if (ret <= 0)
			break;
		ret = json_walk_value(&parse->walk, &value);
		if (ret != 0)
			return ret;
		if (IS(key, "output") && !output) {
			record->output = value;
			output = true;
		} else if (IS(key, "input") && !input) {
			record->input = value;
			input = true;
		} else {
			other = true;
		}
	}
	if (ret == 0 && other)
		return rest_of_data(
			parse, slice_of(start, (size_t)(parse->walk.at - start)), &record->input);
	return ret;
}

/* ---- metadata ------------------------------------------------------------ */

static int take_metadata(struct parse *parse)
{
	struct record *record = parse->record;
	const uint8_t *start = parse->walk.at;
	bool service = false;
	struct slice key, value;
	int ret;

	if (*start != '{')
		return json_walk_value(&parse->walk, &value);
	ret = json_walk_enter(&parse->walk);
	for (bool first = true; ret == 0; first = false) {
		ret = take_key(parse, first, &key);
		if (ret <= 0)
			break;
		ret = json_walk_value(&parse->walk, &value);
		if (ret != 0)
			return ret;
		if (IS(key, "service") && !service) {
			service = true;
			ret = text_of(parse, value, &record->service);
			if (ret > 0)
				ret = 0;
		} else if (IS(key, "resource") && value.data[0] == '{' &&
			   record->resource.length == 0) {
			record->resource = value;
		} else if (IS(key, "attributes") && value.data[0] == '{' &&
			   record->attributes.length == 0) {
			record->attributes = value;
		}
	}
	record->metadata = slice_of(start, (size_t)(parse->walk.at - start));
	return ret;
}

/* ---- The line ------------------------------------------------------------ */

static int bad(struct parse *parse, const char *why)
{
	parse->why = why;
	return ERR_MALFORMED;
}

static int set_id(struct parse *parse, struct slice value, uint8_t ret_id[16], const char *why)
{
	struct slice text;
	int ret = text_of(parse, value, &text);

	if (ret < 0)
		return ret;
	return ret == 1 && record_parse_id(text, ret_id) == 0 ? 0 : bad(parse, why);
}

static int set_error(struct parse *parse, struct slice value)
{
	struct record *record = parse->record;
	int ret;

	if (IS(value, "null"))
		return 0;
	record->has_error = true;
	ret = text_of(parse, value, &record->error);
	if (ret == 0)
		record->error = value; /* not a text: shown as the JSON that it is */
	return ret < 0 ? ret : 0;
}

static int set_layer(struct parse *parse, struct slice value)
{
	int ret = text_of(parse, value, &parse->record->layer);

	if (ret == 1 && parse->record->layer.length == 0)
		parse->record->layer = layer_default;
	return ret < 0 ? ret : 0;
}

static int set_text(
	struct parse *parse, struct slice value, struct slice *ret_text, const char *why)
{
	int ret = text_of(parse, value, ret_text);

	if (ret == 0)
		return bad(parse, why);
	return ret < 0 ? ret : 0;
}

static int set_field(struct parse *parse, enum field field, struct slice value)
{
	struct record *record = parse->record;
	struct slice text;
	int ret;

	switch (field) {
	case FIELD_TRACE_ID:
		return set_id(parse, value, record->trace_id, "trace_id is no id");
	case FIELD_SPAN_ID:
		return set_id(parse, value, record->span_id, "span_id is no id");
	case FIELD_PARENT:
		if (IS(value, "null") || IS(value, "\"\""))
			return 0;
		record->has_parent = true;
		return set_id(parse, value, record->parent_id, "parent_span_id is no id");
	case FIELD_TIMESTAMP:
		ret = set_text(parse, value, &text, "timestamp is no text");
		if (ret == 0 && record_parse_time(text, &record->start_ns) != 0)
			ret = bad(parse, "timestamp is no time");
		return ret;
	case FIELD_DURATION:
		if (IS(value, "null"))
			return 0;
		return record_parse_duration(value, &record->duration_ns) == 0
			       ? 0
			       : bad(parse, "duration_ms is no number");
	case FIELD_OPERATION:
		return set_text(parse, value, &record->operation, "operation is no text");
	case FIELD_LAYER:
		return set_layer(parse, value);
	case FIELD_STATUS:
		ret = text_of(parse, value, &parse->status);
		return ret < 0 ? ret : 0;
	case FIELD_ERROR:
		return set_error(parse, value);
	default:
		return 0;
	}
}

static int take_field(struct parse *parse, enum field field)
{
	bool again = field < FIELD_OTHER && (parse->seen >> field & 1) != 0;
	struct slice value;
	int ret;

	if (field < FIELD_OTHER)
		parse->seen |= 1u << field;
	if (field == FIELD_DATA && !again)
		return take_data(parse);
	if (field == FIELD_METADATA && !again)
		return take_metadata(parse);
	ret = json_walk_value(&parse->walk, &value);
	return ret == 0 && !again ? set_field(parse, field, value) : ret;
}

/* From the start to the event that says when the span was given up; -1: there is none. */
static int64_t abandoned_after(const struct record *record)
{
	static const char begin[] = "{\"name\":\"" RECORD_ABANDONED "\",\"timestamp\":\"";
	const struct slice metadata = record->metadata;
	const uint8_t *found = metadata.length > 0 ? memmem(metadata.data, metadata.length, begin,
							     sizeof(begin) - 1)
						   : NULL;
	const uint8_t *time, *end;
	int64_t given_up_ns;
	int64_t open_ns;

	if (found == NULL)
		return -1;
	time = found + sizeof(begin) - 1;
	end = memchr(time, '"', (size_t)(metadata.data + metadata.length - time));
	if (end == NULL ||
		record_parse_time(slice_of(time, (size_t)(end - time)), &given_up_ns) != 0 ||
		__builtin_sub_overflow(given_up_ns, record->start_ns, &open_ns))
		return -1;
	return open_ns >= 0 ? open_ns : -1;
}

static void settle_status(struct parse *parse)
{
	struct record *record = parse->record;

	if (IS(parse->status, "success"))
		record->status = RECORD_SUCCESS;
	else if (IS(parse->status, "error"))
		record->status = RECORD_ERROR;
	else if (IS(parse->status, "pending"))
		record->status = RECORD_PENDING;
	else if (record->has_error)
		record->status = RECORD_ERROR;
	else if (record->duration_ns < 0)
		record->status = RECORD_PENDING;
	else
		record->status = RECORD_SUCCESS;
	/* What is over has taken some time, what is open has no end. */
	if (record->status == RECORD_PENDING) {
		record->duration_ns = -1;
		record->open_ns = abandoned_after(record);
	} else if (record->duration_ns < 0)
		record->duration_ns = 0;
}

static int check_whole(struct parse *parse)
{
	static const enum field needed[] = {
		FIELD_TRACE_ID, FIELD_SPAN_ID, FIELD_TIMESTAMP, FIELD_OPERATION};
	static const char *const why[] = {
		"no trace_id", "no span_id", "no timestamp", "no operation"};

	if (json_walk_more(&parse->walk))
		return bad(parse, "more than one JSON value");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if ((parse->seen >> needed[i] & 1) == 0)
			return bad(parse, why[i]);
	return 0;
}

static int parse_members(struct parse *parse)
{
	enum field expected = FIELD_TRACE_ID;
	struct slice key;
	int ret = json_walk_enter(&parse->walk);

	for (bool first = true; ret == 0; first = false) {
		enum field field;

		ret = take_key(parse, first, &key);
		if (ret <= 0)
			break;
		field = field_of(key, expected);
		expected = field < FIELD_OTHER ? field + 1 : expected;
		ret = take_field(parse, field);
	}
	return ret;
}

int record_parse(
	struct slice line, struct scratch *scratch, struct record *ret_record, const char **ret_why)
{
	struct record record = {
		.line = line,
		.duration_ns = -1,
		.open_ns = -1,
		.operation = nothing,
		.layer = layer_default,
		.service = nothing,
		.error = nothing,
		.input = json_null,
		.output = json_null,
		.metadata = nothing,
		.resource = nothing,
		.attributes = nothing,
	};
	struct parse parse = {
		.walk = json_walk_of(line),
		.scratch = scratch,
		.record = &record,
		.status = nothing,
		.why = "not JSON",
	};
	int ret;

	if (line.length > 0 && !utf8_valid(line.data, line.length))
		ret = bad(&parse, "not UTF-8");
	else
		ret = parse_members(&parse);
	if (ret == 0)
		ret = check_whole(&parse);
	if (ret != 0) {
		if (ret_why != NULL)
			*ret_why = ret == ERR_LIMIT ? "nested too deep"
				   : ret == -ENOMEM ? "out of memory"
						    : parse.why;
		return ret;
	}
	settle_status(&parse);
	*ret_record = record;
	return 0;
}

int record_peek_trace_id(struct slice line, uint8_t ret_trace_id[16])
{
	static const char start[] = "{\"trace_id\":\"";
	struct json_walk walk = json_walk_of(line);
	struct slice key, value;
	bool escaped;
	int ret;

	if (line.length >= sizeof(start) + 36 && memcmp(line.data, start, sizeof(start) - 1) == 0 &&
		line.data[sizeof(start) + 35] == '"')
		return record_parse_id(slice_of(line.data + sizeof(start) - 1, 36), ret_trace_id);
	ret = line.length > 0 ? json_walk_enter(&walk) : ERR_MALFORMED;
	for (bool first = true; ret == 0; first = false) {
		if (json_walk_key(&walk, first, &key, &escaped) != 1)
			return ERR_MALFORMED;
		ret = json_walk_value(&walk, &value);
		/* A key or an id with escapes is left to record_parse. */
		if (ret == 0 && IS(key, "trace_id"))
			return value.data[0] == '"'
				       ? record_parse_id(slice_of(value.data + 1, value.length - 2),
						 ret_trace_id)
				       : ERR_MALFORMED;
	}
	return ERR_MALFORMED;
}

/* ---- Attributes ------------------------------------------------------------ */

typedef int (*on_attribute_fn)(void *ctx, struct slice key, struct slice value);

/* scalars: leave out members that are objects and arrays. */
static int walk_attributes(struct slice object, bool scalars, struct scratch *scratch,
	on_attribute_fn on_attribute, void *ctx)
{
	struct parse parse = {.walk = json_walk_of(object), .scratch = scratch};
	struct slice key, value;
	int ret;

	if (object.length == 0)
		return 0;
	ret = json_walk_enter(&parse.walk);
	for (bool first = true; ret == 0; first = false) {
		ret = take_key(&parse, first, &key);
		if (ret <= 0)
			break;
		ret = json_walk_value(&parse.walk, &value);
		if (ret != 0)
			break;
		if (scalars && (value.data[0] == '{' || value.data[0] == '['))
			continue;
		ret = text_of(&parse, value, &value);
		if (ret >= 0)
			ret = on_attribute(ctx, key, value);
	}
	return ret;
}

int record_for_each_attribute(const struct record *record, struct scratch *scratch,
	int (*on_attribute)(void *ctx, struct slice key, struct slice value), void *ctx)
{
	int ret = walk_attributes(record->attributes, false, scratch, on_attribute, ctx);

	if (ret == 0)
		ret = walk_attributes(record->resource, false, scratch, on_attribute, ctx);
	if (ret == 0)
		ret = walk_attributes(record->metadata, true, scratch, on_attribute, ctx);
	return ret;
}
