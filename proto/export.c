/*
 * Export's messages by hand; see export.h. Each decoder fills a local and
 * copies it out at the end, so that a failure leaves the caller's alone.
 */
#include "export.h"

/* ---- Of the frames ------------------------------------------------------ */

static void metadata_entry_decode(struct cursor *outer, struct metadata *ret)
{
	struct slice bytes = cursor_bytes(outer);
	struct cursor cursor = cursor_of_slice(bytes);

	*ret = (struct metadata){.key = slice_of("", 0), .value = slice_of("", 0)};
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == WIRE_TAG(1, WIRE_BYTES))
			ret->key = cursor_bytes(&cursor);
		else if (tag == WIRE_TAG(2, WIRE_BYTES))
			ret->value = cursor_bytes(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	if (cursor.error != 0)
		cursor_fail(outer, cursor.error);
}

int call_header_decode(struct slice bytes, struct call_header *ret)
{
	struct call_header header = {0};
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_CALL_HEADER_METHOD:
			header.method = cursor_bytes(&cursor);
			break;
		case TAG_CALL_HEADER_DEADLINE_MS:
			header.deadline_ms = cursor_varint32(&cursor);
			break;
		case TAG_CALL_HEADER_CREDIT_BYTES:
			header.credit_bytes = cursor_varint(&cursor);
			break;
		case TAG_CALL_HEADER_METADATA:
			if (header.metadata_count == WIRE_METADATA_LIMIT)
				return ERR_LIMIT;
			metadata_entry_decode(&cursor, &header.metadata[header.metadata_count++]);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error != 0)
		return cursor.error;
	if (header.method.length > WIRE_METHOD_LIMIT)
		return ERR_LIMIT;
	if (header.credit_bytes == 0)
		header.credit_bytes = WIRE_DEFAULT_CREDIT;
	*ret = header;
	return 0;
}

void call_header_encode(struct writer *writer, const struct call_header *header)
{
	writer_field_bytes(writer, TAG_CALL_HEADER_METHOD, header->method);
	writer_field_varint(writer, TAG_CALL_HEADER_DEADLINE_MS, header->deadline_ms);
	writer_field_varint(writer, TAG_CALL_HEADER_CREDIT_BYTES, header->credit_bytes);
	for (size_t i = 0; i < header->metadata_count; i++) {
		size_t nested = writer_nested_begin(writer, TAG_CALL_HEADER_METADATA);

		writer_field_bytes(writer, WIRE_TAG(1, WIRE_BYTES), header->metadata[i].key);
		writer_field_bytes(writer, WIRE_TAG(2, WIRE_BYTES), header->metadata[i].value);
		writer_nested_end(writer, nested);
	}
}

struct slice call_header_metadata(const struct call_header *header, const char *key)
{
	struct slice wanted = slice_of_text(key);

	for (size_t i = header->metadata_count; i > 0; i--)
		if (slice_equal(header->metadata[i - 1].key, wanted))
			return header->metadata[i - 1].value;
	return (struct slice){0};
}

int call_status_decode(struct slice bytes, struct call_status *ret)
{
	struct call_status status = {0};
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_CALL_STATUS_CODE)
			status.code = cursor_varint32(&cursor);
		else if (tag == TAG_CALL_STATUS_MESSAGE)
			status.message = cursor_bytes(&cursor);
		else if (tag == TAG_CALL_STATUS_RETRY_AFTER_MS)
			status.retry_after_ms = cursor_varint32(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	if (cursor.error == 0)
		*ret = status;
	return cursor.error;
}

void call_status_encode(struct writer *writer, const struct call_status *status)
{
	writer_field_varint(writer, TAG_CALL_STATUS_CODE, status->code);
	writer_field_bytes(writer, TAG_CALL_STATUS_MESSAGE, status->message);
	writer_field_varint(writer, TAG_CALL_STATUS_RETRY_AFTER_MS, status->retry_after_ms);
}

int credit_decode(struct slice bytes, uint64_t *ret_bytes)
{
	struct cursor cursor = cursor_of_slice(bytes);
	uint64_t credit = 0;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_CREDIT_BYTES)
			credit = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	if (cursor.error == 0)
		*ret_bytes = credit;
	return cursor.error;
}

void credit_encode(struct writer *writer, uint64_t bytes)
{
	writer_field_varint(writer, TAG_CREDIT_BYTES, bytes);
}

int versions_decode(struct slice bytes, struct versions *ret)
{
	struct versions versions = {0};
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_VERSIONS_LOWEST)
			versions.lowest = cursor_varint32(&cursor);
		else if (tag == TAG_VERSIONS_HIGHEST)
			versions.highest = cursor_varint32(&cursor);
		else if (tag == TAG_VERSIONS_MESSAGE)
			versions.message = cursor_bytes(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	if (cursor.error == 0)
		*ret = versions;
	return cursor.error;
}

void versions_encode(struct writer *writer, const struct versions *versions)
{
	writer_field_varint(writer, TAG_VERSIONS_LOWEST, versions->lowest);
	writer_field_varint(writer, TAG_VERSIONS_HIGHEST, versions->highest);
	writer_field_bytes(writer, TAG_VERSIONS_MESSAGE, versions->message);
}

/* ---- Requests ----------------------------------------------------------- */

static int hello_decode(struct slice bytes, struct hello *ret)
{
	struct hello hello = {0};
	struct slice client = {0};
	struct cursor cursor = cursor_of_slice(bytes);

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_HELLO_CLIENT:
			client = cursor_bytes(&cursor);
			break;
		case TAG_HELLO_VERSION:
			hello.version = cursor_varint32(&cursor);
			break;
		case TAG_HELLO_LIBRARY:
			hello.library = cursor_bytes(&cursor);
			break;
		case TAG_HELLO_SERVICE:
			hello.service = cursor_bytes(&cursor);
			break;
		case TAG_HELLO_PID:
			hello.pid = cursor_varint(&cursor);
			break;
		case TAG_HELLO_ACKNOWLEDGED_SEQUENCE:
			hello.acknowledged_sequence = cursor_varint(&cursor);
			break;
		case TAG_HELLO_SENT_SEQUENCE:
			hello.sent_sequence = cursor_varint(&cursor);
			break;
		case TAG_HELLO_REGION:
			hello.region = cursor_varint32(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	if (cursor.error != 0)
		return cursor.error;
	if (client.length != WIRE_CLIENT_ID_BYTES)
		return ERR_MALFORMED;
	memcpy(hello.client, client.data, sizeof(hello.client));
	*ret = hello;
	return 0;
}

static int drop_decode(struct slice bytes, struct drop *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct drop drop = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_DROP_REASON)
			drop.reason = cursor_bytes(&cursor);
		else if (tag == TAG_DROP_SPANS)
			drop.spans = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	*ret = drop;
	return cursor.error;
}

static int goodbye_decode(struct slice bytes, struct goodbye *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct goodbye goodbye = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_GOODBYE_EMITTED)
			goodbye.emitted = cursor_varint(&cursor);
		else if (tag == TAG_GOODBYE_UNKNOWN)
			goodbye.unknown = cursor_varint(&cursor);
		else if (tag == TAG_GOODBYE_NOT_SAMPLED)
			goodbye.not_sampled = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	*ret = goodbye;
	return cursor.error;
}

static int request_body_decode(struct slice body, struct export_request *request)
{
	switch (request->body) {
	case EXPORT_HELLO:
		return hello_decode(body, &request->hello);
	case EXPORT_BATCH:
		request->batch = body;
		if (body.length > WIRE_BATCH_LIMIT)
			return ERR_LIMIT;
		return request->sequence != 0 ? 0 : ERR_ORDER;
	case EXPORT_DROP:
		if (request->sequence == 0)
			return ERR_ORDER;
		return drop_decode(body, &request->drop);
	case EXPORT_GOODBYE:
		return goodbye_decode(body, &request->goodbye);
	}
	return ERR_MALFORMED;
}

int export_request_decode(struct slice bytes, struct export_request *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct export_request request = {0};
	struct slice body = {0};
	int error;

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_REQUEST_SEQUENCE:
			request.sequence = cursor_varint(&cursor);
			break;
		case TAG_REQUEST_EMITTED:
			request.emitted = cursor_varint(&cursor);
			break;
		case TAG_REQUEST_HELLO:
		case TAG_REQUEST_BATCH:
		case TAG_REQUEST_DROP:
		case TAG_REQUEST_GOODBYE:
			request.body = (enum export_body)(tag >> 3);
			body = cursor_bytes(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	error = cursor.error != 0 ? cursor.error : request_body_decode(body, &request);
	if (error == 0)
		*ret = request;
	return error;
}

static void hello_encode(struct writer *writer, const struct hello *hello)
{
	writer_field_bytes_always(
		writer, TAG_HELLO_CLIENT, slice_of(hello->client, sizeof(hello->client)));
	writer_field_varint(writer, TAG_HELLO_VERSION, hello->version);
	writer_field_bytes(writer, TAG_HELLO_LIBRARY, hello->library);
	writer_field_bytes(writer, TAG_HELLO_SERVICE, hello->service);
	writer_field_varint(writer, TAG_HELLO_PID, hello->pid);
	writer_field_varint(writer, TAG_HELLO_ACKNOWLEDGED_SEQUENCE, hello->acknowledged_sequence);
	writer_field_varint(writer, TAG_HELLO_SENT_SEQUENCE, hello->sent_sequence);
	writer_field_varint(writer, TAG_HELLO_REGION, hello->region);
}

void export_request_encode(struct writer *writer, const struct export_request *request)
{
	size_t nested;

	if (request->body == EXPORT_BATCH) {
		export_batch_head_encode(
			writer, request->sequence, request->emitted, request->batch.length);
		writer_bytes(writer, request->batch.data, request->batch.length);
		return;
	}
	writer_field_varint(writer, TAG_REQUEST_SEQUENCE, request->sequence);
	writer_field_varint(writer, TAG_REQUEST_EMITTED, request->emitted);
	nested = writer_nested_begin(writer, WIRE_TAG(request->body, WIRE_BYTES));
	if (request->body == EXPORT_HELLO) {
		hello_encode(writer, &request->hello);
	} else if (request->body == EXPORT_DROP) {
		writer_field_bytes(writer, TAG_DROP_REASON, request->drop.reason);
		writer_field_varint(writer, TAG_DROP_SPANS, request->drop.spans);
	} else {
		writer_field_varint(writer, TAG_GOODBYE_EMITTED, request->goodbye.emitted);
		writer_field_varint(writer, TAG_GOODBYE_UNKNOWN, request->goodbye.unknown);
		writer_field_varint(writer, TAG_GOODBYE_NOT_SAMPLED, request->goodbye.not_sampled);
	}
	writer_nested_end(writer, nested);
}

void export_batch_head_encode(
	struct writer *writer, uint64_t sequence, uint64_t emitted, size_t batch_bytes)
{
	writer_field_varint(writer, TAG_REQUEST_SEQUENCE, sequence);
	writer_field_varint(writer, TAG_REQUEST_EMITTED, emitted);
	writer_varint(writer, TAG_REQUEST_BATCH);
	writer_varint(writer, batch_bytes);
}

/* ---- Responses ---------------------------------------------------------- */

static int refusal_decode(struct slice bytes, struct refusal *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct refusal refusal = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_REFUSAL_SEQUENCE)
			refusal.sequence = cursor_varint(&cursor);
		else if (tag == TAG_REFUSAL_CODE)
			refusal.code = cursor_varint32(&cursor);
		else if (tag == TAG_REFUSAL_MESSAGE)
			refusal.message = cursor_bytes(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	*ret = refusal;
	return cursor.error;
}

static int welcome_decode(struct slice bytes, struct welcome *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct welcome welcome = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		switch (tag) {
		case TAG_WELCOME_KNOWN:
			welcome.known = cursor_varint(&cursor) != 0;
			break;
		case TAG_WELCOME_FORGOTTEN:
			welcome.forgotten = cursor_varint(&cursor) != 0;
			break;
		case TAG_WELCOME_BATCH_LIMIT_BYTES:
			welcome.batch_limit_bytes = cursor_varint32(&cursor);
			break;
		case TAG_WELCOME_SPAN_LIMIT_BYTES:
			welcome.span_limit_bytes = cursor_varint32(&cursor);
			break;
		case TAG_WELCOME_COLLECTOR:
			welcome.collector = cursor_bytes(&cursor);
			break;
		case TAG_WELCOME_COLLECTOR_ID:
			welcome.collector_id = cursor_bytes(&cursor);
			break;
		case TAG_WELCOME_FENCE:
			welcome.fence = cursor_bytes(&cursor);
			break;
		default:
			cursor_skip(&cursor, tag);
		}
	}
	*ret = welcome;
	return cursor.error;
}

/* One field of a response; nested failures become the cursor's. */
static void response_field(struct cursor *cursor, uint32_t tag, struct export_response *response)
{
	struct refusal refusal;
	int error = 0;

	switch (tag) {
	case TAG_RESPONSE_DURABLE_SEQUENCE:
		response->durable_sequence = cursor_varint(cursor);
		break;
	case TAG_RESPONSE_REFUSALS:
		error = refusal_decode(cursor_bytes(cursor), &refusal);
		response->refusals_count++;
		break;
	case TAG_RESPONSE_CREDIT_BYTES:
		response->credit_bytes = cursor_varint(cursor);
		break;
	case TAG_RESPONSE_WELCOME:
		error = welcome_decode(cursor_bytes(cursor), &response->welcome);
		response->has_welcome = true;
		break;
	case TAG_RESPONSE_GOODBYE:
		response->goodbye = cursor_varint(cursor) != 0;
		break;
	default:
		cursor_skip(cursor, tag);
	}
	if (error != 0)
		cursor_fail(cursor, error);
}

int export_response_decode(struct slice bytes, struct export_response *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct export_response response = {.bytes = bytes};

	while (cursor_more(&cursor))
		response_field(&cursor, cursor_tag(&cursor), &response);
	if (cursor.error == 0)
		*ret = response;
	return cursor.error;
}

bool export_response_next_refusal(
	const struct export_response *response, size_t *position, struct refusal *ret)
{
	struct cursor cursor = cursor_of_slice(response->bytes);

	(void)cursor_take(&cursor, *position);
	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag != TAG_RESPONSE_REFUSALS) {
			cursor_skip(&cursor, tag);
			continue;
		}
		if (refusal_decode(cursor_bytes(&cursor), ret) != 0)
			return false;
		*position = response->bytes.length - cursor_left(&cursor);
		return true;
	}
	return false;
}

static void welcome_encode(struct writer *writer, const struct welcome *welcome)
{
	writer_field_varint(writer, TAG_WELCOME_KNOWN, welcome->known);
	writer_field_varint(writer, TAG_WELCOME_FORGOTTEN, welcome->forgotten);
	writer_field_varint(writer, TAG_WELCOME_BATCH_LIMIT_BYTES, welcome->batch_limit_bytes);
	writer_field_varint(writer, TAG_WELCOME_SPAN_LIMIT_BYTES, welcome->span_limit_bytes);
	writer_field_bytes(writer, TAG_WELCOME_COLLECTOR, welcome->collector);
	writer_field_bytes(writer, TAG_WELCOME_COLLECTOR_ID, welcome->collector_id);
	if (welcome->fence.data != NULL)
		writer_field_bytes_always(writer, TAG_WELCOME_FENCE, welcome->fence);
}

void export_response_encode(struct writer *writer, const struct export_response *response)
{
	size_t nested;

	writer_field_varint(writer, TAG_RESPONSE_DURABLE_SEQUENCE, response->durable_sequence);
	for (size_t i = 0; i < response->refusals_count; i++) {
		const struct refusal *refusal = &response->refusals[i];

		nested = writer_nested_begin(writer, TAG_RESPONSE_REFUSALS);
		writer_field_varint(writer, TAG_REFUSAL_SEQUENCE, refusal->sequence);
		writer_field_varint(writer, TAG_REFUSAL_CODE, refusal->code);
		writer_field_bytes(writer, TAG_REFUSAL_MESSAGE, refusal->message);
		writer_nested_end(writer, nested);
	}
	writer_field_varint(writer, TAG_RESPONSE_CREDIT_BYTES, response->credit_bytes);
	if (response->has_welcome) {
		nested = writer_nested_begin(writer, TAG_RESPONSE_WELCOME);
		welcome_encode(writer, &response->welcome);
		writer_nested_end(writer, nested);
	}
	writer_field_varint(writer, TAG_RESPONSE_GOODBYE, response->goodbye);
}

/* ---- Fences -------------------------------------------------------------- */

static int taken_decode(struct slice bytes, struct taken *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct taken taken = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_TAKEN_SEQUENCE)
			taken.sequence = cursor_varint(&cursor);
		else if (tag == TAG_TAKEN_UNIT)
			taken.unit = cursor_varint32(&cursor);
		else if (tag == TAG_TAKEN_FROM)
			taken.from = cursor_varint32(&cursor);
		else if (tag == TAG_TAKEN_TO)
			taken.to = cursor_varint32(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	*ret = taken;
	return cursor.error;
}

static int taken_drops_decode(struct slice bytes, struct taken_drops *ret)
{
	struct cursor cursor = cursor_of_slice(bytes);
	struct taken_drops drops = {0};

	while (cursor_more(&cursor)) {
		uint32_t tag = cursor_tag(&cursor);

		if (tag == TAG_TAKEN_DROPS_SEQUENCE)
			drops.sequence = cursor_varint(&cursor);
		else if (tag == TAG_TAKEN_DROPS_REASON)
			drops.reason = cursor_bytes(&cursor);
		else if (tag == TAG_TAKEN_DROPS_SAID)
			drops.said = cursor_varint(&cursor);
		else
			cursor_skip(&cursor, tag);
	}
	*ret = drops;
	return cursor.error;
}

bool fence_next(struct cursor *cursor, struct fence_entry *ret)
{
	while (cursor_more(cursor)) {
		uint32_t tag = cursor_tag(cursor);
		int error = 0;

		*ret = (struct fence_entry){0};
		switch (tag) {
		case TAG_FENCE_SEQUENCE:
			ret->kind = FENCE_SEQUENCE;
			ret->sequence = cursor_varint(cursor);
			break;
		case TAG_FENCE_TAKEN:
			ret->kind = FENCE_TAKEN;
			error = taken_decode(cursor_bytes(cursor), &ret->taken);
			break;
		case TAG_FENCE_DROPS:
			ret->kind = FENCE_DROPS;
			error = taken_drops_decode(cursor_bytes(cursor), &ret->drops);
			break;
		default:
			cursor_skip(cursor, tag);
			continue;
		}
		if (error != 0)
			cursor_fail(cursor, error);
		return cursor->error == 0;
	}
	return false;
}

void fence_encode(struct writer *writer, const struct fence_entry *entry)
{
	size_t nested;

	if (entry->kind == FENCE_SEQUENCE) {
		writer_field_varint(writer, TAG_FENCE_SEQUENCE, entry->sequence);
	} else if (entry->kind == FENCE_TAKEN) {
		nested = writer_nested_begin(writer, TAG_FENCE_TAKEN);
		writer_field_varint(writer, TAG_TAKEN_SEQUENCE, entry->taken.sequence);
		writer_field_varint(writer, TAG_TAKEN_UNIT, entry->taken.unit);
		writer_field_varint(writer, TAG_TAKEN_FROM, entry->taken.from);
		writer_field_varint(writer, TAG_TAKEN_TO, entry->taken.to);
		writer_nested_end(writer, nested);
	} else {
		nested = writer_nested_begin(writer, TAG_FENCE_DROPS);
		writer_field_varint(writer, TAG_TAKEN_DROPS_SEQUENCE, entry->drops.sequence);
		writer_field_bytes(writer, TAG_TAKEN_DROPS_REASON, entry->drops.reason);
		writer_field_varint(writer, TAG_TAKEN_DROPS_SAID, entry->drops.said);
		writer_nested_end(writer, nested);
	}
}
