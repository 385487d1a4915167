/*
 * The scan in front of protobuf-c, and packing and unpacking of the control
 * plane's messages; see rpc.h.
 */
#include "rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "frame.h"
#include "utf8.h"
#include "wire.h"

enum {
	DEPTH_MAX = 16,
	/* What an allocation costs beside its bytes. */
	ALLOCATION_BYTES = 16,
	/* protobuf-c notes each field of a message while it unpacks it: 40 bytes, in
	 * tables that double. */
	FIELD_BYTES = 64,
};

const struct rpc_limits rpc_request_limits = {
	.bytes = 64 * 1024, .depth = 8, .memory_factor = 4, .memory_slack_bytes = 16 * 1024};
const struct rpc_limits rpc_response_limits = {
	.bytes = WIRE_PAYLOAD_LIMIT, .depth = 8, .memory_slack_bytes = 8 * 1024 * 1024};

/* ---- Scanning ----------------------------------------------------------- */

struct scan {
	unsigned int depth_limit;
	size_t memory_limit;
	size_t memory_bytes;
	/* A stack of the messages that one stands in, instead of recursion. */
	struct {
		struct cursor cursor;
		const ProtobufCMessageDescriptor *descriptor;
	} stack[DEPTH_MAX];
	unsigned int depth;
};

static int charge(struct scan *scan, size_t bytes)
{
	scan->memory_bytes += bytes + ALLOCATION_BYTES;
	return scan->memory_bytes <= scan->memory_limit ? 0 : ERR_LIMIT;
}

static int push(struct scan *scan, const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
	if (scan->depth == scan->depth_limit)
		return ERR_LIMIT;
	scan->stack[scan->depth].cursor = cursor_of_slice(bytes);
	scan->stack[scan->depth].descriptor = descriptor;
	scan->depth++;
	return charge(scan, descriptor->sizeof_message);
}

/* A field, and when it is an element of an array, what protobuf-c keeps of it
 * beside the message: 8 bytes hold any scalar or pointer, 16 a bytes field. */
static int charge_field(struct scan *scan, const ProtobufCFieldDescriptor *field)
{
	size_t bytes = FIELD_BYTES;

	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		bytes += field->type == PROTOBUF_C_TYPE_BYTES ? 16 : 8;
	return charge(scan, bytes);
}

static int scan_bytes(
	struct scan *scan, struct cursor *cursor, const ProtobufCFieldDescriptor *field)
{
	struct slice bytes = cursor_bytes(cursor);
	int ret;

	if (cursor->error != 0)
		return cursor->error;
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return push(scan, field->descriptor, bytes);
	case PROTOBUF_C_TYPE_STRING:
		if (!utf8_valid(bytes.data, bytes.length))
			return ERR_MALFORMED;
		return charge(scan, bytes.length + 1);
	case PROTOBUF_C_TYPE_BYTES:
		return charge(scan, bytes.length);
	default:
		/* Packed scalars: at most 8 bytes in memory for each byte here. */
		ret = field->label == PROTOBUF_C_LABEL_REPEATED ? 0 : ERR_MALFORMED;
		return ret == 0 ? charge(scan, bytes.length * 8) : ret;
	}
}

static unsigned int wire_type_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	default:
		return WIRE_VARINT;
	}
}

static int scan_field(struct scan *scan)
{
	struct cursor *cursor = &scan->stack[scan->depth - 1].cursor;
	const ProtobufCMessageDescriptor *descriptor = scan->stack[scan->depth - 1].descriptor;
	const uint8_t *begin = cursor->at;
	uint32_t tag = cursor_tag(cursor);
	const ProtobufCFieldDescriptor *field;
	int ret;

	if (cursor->error != 0)
		return cursor->error;
	field = protobuf_c_message_descriptor_get_field(descriptor, tag >> 3);
	if (field == NULL) {
		/* protobuf-c keeps what it does not know: a record and the bytes. */
		cursor_skip(cursor, tag);
		ret = charge(scan, FIELD_BYTES + sizeof(ProtobufCMessageUnknownField) +
					   (size_t)(cursor->at - begin));
		return cursor->error != 0 ? cursor->error : ret;
	}
	ret = charge_field(scan, field);
	if (ret != 0)
		return ret;
	if ((tag & 7) == WIRE_BYTES)
		return scan_bytes(scan, cursor, field);
	if ((tag & 7) != wire_type_of(field->type))
		return ERR_MALFORMED;
	cursor_skip(cursor, tag);
	return cursor->error;
}

int rpc_scan(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
	const struct rpc_limits *limits, size_t *ret_memory_bytes)
{
	struct scan scan = {.depth_limit = limits->depth < DEPTH_MAX ? limits->depth : DEPTH_MAX,
		.memory_limit = limits->memory_factor * bytes.length + limits->memory_slack_bytes};
	int ret;

	if (bytes.length > limits->bytes)
		return ERR_LIMIT;
	ret = push(&scan, descriptor, bytes);
	while (ret == 0 && scan.depth > 0) {
		if (cursor_more(&scan.stack[scan.depth - 1].cursor))
			ret = scan_field(&scan);
		else
			scan.depth--;
	}
	if (ret == 0 && ret_memory_bytes != NULL)
		*ret_memory_bytes = scan.memory_bytes;
	return ret;
}

int rpc_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
	const struct rpc_limits *limits, ProtobufCMessage **ret_message)
{
	int ret = rpc_scan(descriptor, bytes, limits, NULL);
	ProtobufCMessage *message;

	if (ret != 0)
		return ret;
	/* What has passed the scan can only fail for want of memory. */
	message = protobuf_c_message_unpack(descriptor, NULL, bytes.length, bytes.data);
	if (message == NULL)
		return -ENOMEM;
	*ret_message = message;
	return 0;
}

/* ---- Packing ------------------------------------------------------------ */

int rpc_pack(const ProtobufCMessage *message, size_t headroom_bytes, uint8_t **ret_buffer,
	size_t *ret_length_bytes)
{
	size_t length = protobuf_c_message_get_packed_size(message);
	uint8_t *buffer;

	if (length > WIRE_PAYLOAD_LIMIT)
		return ERR_LIMIT;
	buffer = malloc(headroom_bytes + length + 1);
	if (buffer == NULL)
		return -ENOMEM;
	protobuf_c_message_pack(message, buffer + headroom_bytes);
	*ret_buffer = buffer;
	*ret_length_bytes = length;
	return 0;
}

int rpc_pack_frame(const ProtobufCMessage *message, uint32_t stream, uint8_t **ret_frame,
	size_t *ret_length_bytes)
{
	uint8_t *frame;
	size_t length;
	int ret = rpc_pack(message, WIRE_FRAME_HEADER_BYTES, &frame, &length);

	if (ret != 0)
		return ret;
	frame_header_write(frame, FRAME_MESSAGE, stream, frame + WIRE_FRAME_HEADER_BYTES, length);
	*ret_frame = frame;
	*ret_length_bytes = WIRE_FRAME_HEADER_BYTES + length;
	return 0;
}

/* ---- Methods ------------------------------------------------------------ */

static const struct rpc_method methods[] = {
	{WIRE_METHOD_LIST_TRACES, &waft__v1__list_traces_request__descriptor,
		&waft__v1__list_traces_response__descriptor, 0},
	{WIRE_METHOD_GET_TRACE, &waft__v1__get_trace_request__descriptor,
		&waft__v1__get_trace_response__descriptor, 0},
	{WIRE_METHOD_STATS, &waft__v1__stats_request__descriptor,
		&waft__v1__stats_response__descriptor, 0},
	{WIRE_METHOD_TAIL, &waft__v1__tail_request__descriptor,
		&waft__v1__tail_response__descriptor, 1},
	{WIRE_METHOD_HEALTH, &waft__v1__health_request__descriptor,
		&waft__v1__health_response__descriptor, 0},
	{WIRE_METHOD_STATUS, &waft__v1__status_request__descriptor,
		&waft__v1__status_response__descriptor, 0},
	{WIRE_METHOD_OPEN_SPANS, &waft__v1__open_spans_request__descriptor,
		&waft__v1__open_spans_response__descriptor, 0},
	{WIRE_METHOD_RELOAD, &waft__v1__reload_request__descriptor,
		&waft__v1__reload_response__descriptor, 0},
	{WIRE_METHOD_FLUSH, &waft__v1__flush_request__descriptor,
		&waft__v1__flush_response__descriptor, 0},
	{WIRE_METHOD_SET_LOG_LEVEL, &waft__v1__set_log_level_request__descriptor,
		&waft__v1__set_log_level_response__descriptor, 0},
	{WIRE_METHOD_LIST_CLIENTS, &waft__v1__list_clients_request__descriptor,
		&waft__v1__list_clients_response__descriptor, 0},
};

const struct rpc_method *rpc_method_find(struct slice path)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (slice_equal(slice_of_text(methods[i].path), path))
			return &methods[i];
	return NULL;
}
