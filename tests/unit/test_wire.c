/*
 * proto/wire.h against what protoc-c made of waft.proto: every tag, every field
 * of the messages that are coded by hand, and the enums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rpc.h"
#include "wire.h"

static const struct {
	const ProtobufCMessageDescriptor *message;
	const char *field;
	unsigned int tag;
} tags[] = {
	{&waft__v1__call_header__descriptor, "method", TAG_CALL_HEADER_METHOD},
	{&waft__v1__call_header__descriptor, "deadline_ms", TAG_CALL_HEADER_DEADLINE_MS},
	{&waft__v1__call_header__descriptor, "credit_bytes", TAG_CALL_HEADER_CREDIT_BYTES},
	{&waft__v1__call_header__descriptor, "metadata", TAG_CALL_HEADER_METADATA},
	{&waft__v1__call_status__descriptor, "code", TAG_CALL_STATUS_CODE},
	{&waft__v1__call_status__descriptor, "message", TAG_CALL_STATUS_MESSAGE},
	{&waft__v1__call_status__descriptor, "retry_after_ms", TAG_CALL_STATUS_RETRY_AFTER_MS},
	{&waft__v1__credit__descriptor, "bytes", TAG_CREDIT_BYTES},
	{&waft__v1__versions__descriptor, "lowest", TAG_VERSIONS_LOWEST},
	{&waft__v1__versions__descriptor, "highest", TAG_VERSIONS_HIGHEST},
	{&waft__v1__versions__descriptor, "message", TAG_VERSIONS_MESSAGE},
	{&waft__v1__export_request__descriptor, "sequence", TAG_REQUEST_SEQUENCE},
	{&waft__v1__export_request__descriptor, "emitted", TAG_REQUEST_EMITTED},
	{&waft__v1__export_request__descriptor, "hello", TAG_REQUEST_HELLO},
	{&waft__v1__export_request__descriptor, "batch", TAG_REQUEST_BATCH},
	{&waft__v1__export_request__descriptor, "drop", TAG_REQUEST_DROP},
	{&waft__v1__export_request__descriptor, "goodbye", TAG_REQUEST_GOODBYE},
	{&waft__v1__hello__descriptor, "client", TAG_HELLO_CLIENT},
	{&waft__v1__hello__descriptor, "version", TAG_HELLO_VERSION},
	{&waft__v1__hello__descriptor, "library", TAG_HELLO_LIBRARY},
	{&waft__v1__hello__descriptor, "service", TAG_HELLO_SERVICE},
	{&waft__v1__hello__descriptor, "pid", TAG_HELLO_PID},
	{&waft__v1__hello__descriptor, "acknowledged_sequence", TAG_HELLO_ACKNOWLEDGED_SEQUENCE},
	{&waft__v1__hello__descriptor, "sent_sequence", TAG_HELLO_SENT_SEQUENCE},
	{&waft__v1__hello__descriptor, "region", TAG_HELLO_REGION},
	{&waft__v1__drop__descriptor, "reason", TAG_DROP_REASON},
	{&waft__v1__drop__descriptor, "spans", TAG_DROP_SPANS},
	{&waft__v1__drop__descriptor, "padding", TAG_DROP_PADDING},
	{&waft__v1__goodbye__descriptor, "emitted", TAG_GOODBYE_EMITTED},
	{&waft__v1__goodbye__descriptor, "unknown", TAG_GOODBYE_UNKNOWN},
	{&waft__v1__goodbye__descriptor, "not_sampled", TAG_GOODBYE_NOT_SAMPLED},
	{&waft__v1__export_response__descriptor, "durable_sequence", TAG_RESPONSE_DURABLE_SEQUENCE},
	{&waft__v1__export_response__descriptor, "refusals", TAG_RESPONSE_REFUSALS},
	{&waft__v1__export_response__descriptor, "credit_bytes", TAG_RESPONSE_CREDIT_BYTES},
	{&waft__v1__export_response__descriptor, "welcome", TAG_RESPONSE_WELCOME},
	{&waft__v1__export_response__descriptor, "goodbye", TAG_RESPONSE_GOODBYE},
	{&waft__v1__welcome__descriptor, "known", TAG_WELCOME_KNOWN},
	{&waft__v1__welcome__descriptor, "forgotten", TAG_WELCOME_FORGOTTEN},
	{&waft__v1__welcome__descriptor, "batch_limit_bytes", TAG_WELCOME_BATCH_LIMIT_BYTES},
	{&waft__v1__welcome__descriptor, "span_limit_bytes", TAG_WELCOME_SPAN_LIMIT_BYTES},
	{&waft__v1__welcome__descriptor, "collector", TAG_WELCOME_COLLECTOR},
	{&waft__v1__welcome__descriptor, "collector_id", TAG_WELCOME_COLLECTOR_ID},
	{&waft__v1__welcome__descriptor, "fence", TAG_WELCOME_FENCE},
	{&waft__v1__fence__descriptor, "sequence", TAG_FENCE_SEQUENCE},
	{&waft__v1__fence__descriptor, "taken", TAG_FENCE_TAKEN},
	{&waft__v1__fence__descriptor, "drops", TAG_FENCE_DROPS},
	{&waft__v1__taken__descriptor, "sequence", TAG_TAKEN_SEQUENCE},
	{&waft__v1__taken__descriptor, "unit", TAG_TAKEN_UNIT},
	{&waft__v1__taken__descriptor, "from", TAG_TAKEN_FROM},
	{&waft__v1__taken__descriptor, "to", TAG_TAKEN_TO},
	{&waft__v1__taken_drops__descriptor, "sequence", TAG_TAKEN_DROPS_SEQUENCE},
	{&waft__v1__taken_drops__descriptor, "reason", TAG_TAKEN_DROPS_REASON},
	{&waft__v1__taken_drops__descriptor, "said", TAG_TAKEN_DROPS_SAID},
	{&waft__v1__refusal__descriptor, "sequence", TAG_REFUSAL_SEQUENCE},
	{&waft__v1__refusal__descriptor, "code", TAG_REFUSAL_CODE},
	{&waft__v1__refusal__descriptor, "message", TAG_REFUSAL_MESSAGE},
	{&waft__v1__refusal__descriptor, "spans", TAG_REFUSAL_SPANS},
	{&waft__v1__forward_request__descriptor, "number", TAG_FORWARD_NUMBER},
	{&waft__v1__forward_request__descriptor, "hello", TAG_FORWARD_HELLO},
	{&waft__v1__forward_request__descriptor, "batch", TAG_FORWARD_BATCH},
	{&waft__v1__forward_request__descriptor, "drop", TAG_FORWARD_DROP},
	{&waft__v1__forward_request__descriptor, "refusal", TAG_FORWARD_REFUSAL},
	{&waft__v1__forward_request__descriptor, "goodbye", TAG_FORWARD_GOODBYE},
	{&waft__v1__forward_request__descriptor, "forget", TAG_FORWARD_FORGET},
	{&waft__v1__forward_request__descriptor, "client", TAG_FORWARD_CLIENT},
	{&waft__v1__forward_request__descriptor, "sequence", TAG_FORWARD_SEQUENCE},
	{&waft__v1__forward_request__descriptor, "emitted", TAG_FORWARD_EMITTED},
	{&waft__v1__forward_request__descriptor, "share", TAG_FORWARD_SHARE},
	{&waft__v1__forward_request__descriptor, "received_ns", TAG_FORWARD_RECEIVED_NS},
	{&waft__v1__forward_request__descriptor, "peer", TAG_FORWARD_PEER},
	{&waft__v1__forward_request__descriptor, "service", TAG_FORWARD_SERVICE},
	{&waft__v1__forward_request__descriptor, "pid", TAG_FORWARD_PID},
	{&waft__v1__forward_hello__descriptor, "agent", TAG_FORWARD_HELLO_AGENT},
	{&waft__v1__forward_hello__descriptor, "version", TAG_FORWARD_HELLO_VERSION},
	{&waft__v1__forward_hello__descriptor, "library", TAG_FORWARD_HELLO_LIBRARY},
	{&waft__v1__forward_peer__descriptor, "pid", TAG_FORWARD_PEER_PID},
	{&waft__v1__forward_peer__descriptor, "uid", TAG_FORWARD_PEER_UID},
	{&waft__v1__forward_peer__descriptor, "name", TAG_FORWARD_PEER_NAME},
	{&waft__v1__forward_peer__descriptor, "agent", TAG_FORWARD_PEER_AGENT},
	{&waft__v1__forward_response__descriptor, "durable_number", TAG_FORWARDED_DURABLE_NUMBER},
	{&waft__v1__forward_response__descriptor, "refused", TAG_FORWARDED_REFUSED},
	{&waft__v1__forward_response__descriptor, "credit_bytes", TAG_FORWARDED_CREDIT_BYTES},
	{&waft__v1__forward_response__descriptor, "collector", TAG_FORWARDED_COLLECTOR},
	{&waft__v1__forward_response__descriptor, "collector_id", TAG_FORWARDED_COLLECTOR_ID},
	{&waft__v1__batch__descriptor, "producer", TAG_BATCH_PRODUCER},
	{&waft__v1__batch__descriptor, "clock", TAG_BATCH_CLOCK},
	{&waft__v1__batch__descriptor, "shapes", TAG_BATCH_SHAPES},
	{&waft__v1__batch__descriptor, "sections", TAG_BATCH_SECTIONS},
	{&waft__v1__producer__descriptor, "service", TAG_PRODUCER_SERVICE},
	{&waft__v1__producer__descriptor, "pid", TAG_PRODUCER_PID},
	{&waft__v1__producer__descriptor, "host", TAG_PRODUCER_HOST},
	{&waft__v1__producer__descriptor, "resource", TAG_PRODUCER_RESOURCE},
	{&waft__v1__producer__descriptor, "texts", TAG_PRODUCER_TEXTS},
	{&waft__v1__clock__descriptor, "source", TAG_CLOCK_SOURCE},
	{&waft__v1__clock__descriptor, "open_raw", TAG_CLOCK_OPEN_RAW},
	{&waft__v1__clock__descriptor, "open_realtime_ns", TAG_CLOCK_OPEN_REALTIME_NS},
	{&waft__v1__clock__descriptor, "close_raw", TAG_CLOCK_CLOSE_RAW},
	{&waft__v1__clock__descriptor, "close_realtime_ns", TAG_CLOCK_CLOSE_REALTIME_NS},
	{&waft__v1__clock__descriptor, "ns_per_tick", TAG_CLOCK_NS_PER_TICK},
	{&waft__v1__clock__descriptor, "stepped", TAG_CLOCK_STEPPED},
	{&waft__v1__shape__descriptor, "id", TAG_SHAPE_ID},
	{&waft__v1__shape__descriptor, "name", TAG_SHAPE_NAME},
	{&waft__v1__shape__descriptor, "layer", TAG_SHAPE_LAYER},
	{&waft__v1__shape__descriptor, "keys", TAG_SHAPE_KEYS},
	{&waft__v1__shape__descriptor, "file", TAG_SHAPE_FILE},
	{&waft__v1__shape__descriptor, "line", TAG_SHAPE_LINE},
	{&waft__v1__shape__descriptor, "function", TAG_SHAPE_FUNCTION},
	{&waft__v1__shape__descriptor, "scope", TAG_SHAPE_SCOPE},
	{&waft__v1__shape__descriptor, "scope_version", TAG_SHAPE_SCOPE_VERSION},
	{&waft__v1__key__descriptor, "name", TAG_KEY_NAME},
	{&waft__v1__key__descriptor, "type", TAG_KEY_TYPE},
	{&waft__v1__section__descriptor, "id_base", TAG_SECTION_ID_BASE},
	{&waft__v1__section__descriptor, "clock_base", TAG_SECTION_CLOCK_BASE},
	{&waft__v1__section__descriptor, "thread", TAG_SECTION_THREAD},
	{&waft__v1__section__descriptor, "trace", TAG_SECTION_TRACE},
	{&waft__v1__section__descriptor, "spans", TAG_SECTION_SPANS},
	{&waft__v1__trace__descriptor, "trace_id", TAG_TRACE_TRACE_ID},
	{&waft__v1__trace__descriptor, "state", TAG_TRACE_STATE},
	{&waft__v1__trace__descriptor, "attributes", TAG_TRACE_ATTRIBUTES},
	{&waft__v1__span__descriptor, "times", TAG_SPAN_TIMES},
	{&waft__v1__span__descriptor, "ids", TAG_SPAN_IDS},
	{&waft__v1__span__descriptor, "trace", TAG_SPAN_TRACE},
	{&waft__v1__span__descriptor, "strings", TAG_SPAN_STRINGS},
	{&waft__v1__span__descriptor, "ints", TAG_SPAN_INTS},
	{&waft__v1__span__descriptor, "longs", TAG_SPAN_LONGS},
	{&waft__v1__span__descriptor, "doubles", TAG_SPAN_DOUBLES},
	{&waft__v1__span__descriptor, "bools", TAG_SPAN_BOOLS},
	{&waft__v1__span__descriptor, "parent_id", TAG_SPAN_PARENT_ID},
	{&waft__v1__span__descriptor, "input", TAG_SPAN_INPUT},
	{&waft__v1__span__descriptor, "output", TAG_SPAN_OUTPUT},
	{&waft__v1__span__descriptor, "detail", TAG_SPAN_DETAIL},
	{&waft__v1__span__descriptor, "end_raw", TAG_SPAN_END_RAW},
	{&waft__v1__span__descriptor, "duration_raw", TAG_SPAN_DURATION_RAW},
	{&waft__v1__detail__descriptor, "status", TAG_DETAIL_STATUS},
	{&waft__v1__detail__descriptor, "error", TAG_DETAIL_ERROR},
	{&waft__v1__detail__descriptor, "kind", TAG_DETAIL_KIND},
	{&waft__v1__detail__descriptor, "attributes", TAG_DETAIL_ATTRIBUTES},
	{&waft__v1__detail__descriptor, "events", TAG_DETAIL_EVENTS},
	{&waft__v1__detail__descriptor, "links", TAG_DETAIL_LINKS},
	{&waft__v1__detail__descriptor, "dropped_attributes", TAG_DETAIL_DROPPED_ATTRIBUTES},
	{&waft__v1__detail__descriptor, "dropped_events", TAG_DETAIL_DROPPED_EVENTS},
	{&waft__v1__detail__descriptor, "dropped_links", TAG_DETAIL_DROPPED_LINKS},
	{&waft__v1__detail__descriptor, "span_id", TAG_DETAIL_SPAN_ID},
	{&waft__v1__event__descriptor, "name", TAG_EVENT_NAME},
	{&waft__v1__event__descriptor, "raw", TAG_EVENT_RAW},
	{&waft__v1__event__descriptor, "attributes", TAG_EVENT_ATTRIBUTES},
	{&waft__v1__link__descriptor, "trace_id", TAG_LINK_TRACE_ID},
	{&waft__v1__link__descriptor, "span_id", TAG_LINK_SPAN_ID},
	{&waft__v1__link__descriptor, "attributes", TAG_LINK_ATTRIBUTES},
	{&waft__v1__link__descriptor, "state", TAG_LINK_STATE},
	{&waft__v1__key_value__descriptor, "key", TAG_KEY_VALUE_KEY},
	{&waft__v1__key_value__descriptor, "value", TAG_KEY_VALUE_VALUE},
	{&waft__v1__value__descriptor, "text", TAG_VALUE_TEXT},
	{&waft__v1__value__descriptor, "boolean", TAG_VALUE_BOOLEAN},
	{&waft__v1__value__descriptor, "integer", TAG_VALUE_INTEGER},
	{&waft__v1__value__descriptor, "number", TAG_VALUE_NUMBER},
	{&waft__v1__value__descriptor, "list", TAG_VALUE_LIST},
	{&waft__v1__values__descriptor, "values", TAG_VALUES_VALUES},
};

enum { TAGS = sizeof(tags) / sizeof(tags[0]) };

static unsigned int wire_type(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return 5;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 1;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return 2;
	default:
		return 0;
	}
}

static void test_tags(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAGS; i++) {
		const ProtobufCFieldDescriptor *field =
			protobuf_c_message_descriptor_get_field_by_name(
				tags[i].message, tags[i].field);

		if (field == NULL)
			fail_msg("%s has no %s", tags[i].message->name, tags[i].field);
		assert_int_equal(tags[i].tag, field->id << 3 | wire_type(field->type));
	}
}

/* No field of a message in the table is missing from it. */
static void test_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAGS; i++) {
		const ProtobufCMessageDescriptor *message = tags[i].message;

		for (unsigned int k = 0; k < message->n_fields; k++) {
			size_t n = 0;

			while (n < TAGS &&
				(tags[n].message != message ||
					strcmp(tags[n].field, message->fields[k].name) != 0))
				n++;
			if (n == TAGS)
				fail_msg("%s.%s is not in wire.h", message->name,
					message->fields[k].name);
		}
	}
}

static void test_enums(void **state)
{
	(void)state;
	assert_int_equal(WIRE_KEY_TYPES, waft__v1__key__type__descriptor.n_values);
	assert_int_equal(WIRE_KEY_STRING, WAFT__V1__KEY__TYPE__STRING);
	assert_int_equal(WIRE_KEY_INT32, WAFT__V1__KEY__TYPE__INT32);
	assert_int_equal(WIRE_KEY_INT64, WAFT__V1__KEY__TYPE__INT64);
	assert_int_equal(WIRE_KEY_DOUBLE, WAFT__V1__KEY__TYPE__DOUBLE);
	assert_int_equal(WIRE_KEY_BOOL, WAFT__V1__KEY__TYPE__BOOL);
	assert_int_equal(WIRE_STATUS_SUCCESS, WAFT__V1__DETAIL__STATUS__SUCCESS);
	assert_int_equal(WIRE_STATUS_ERROR, WAFT__V1__DETAIL__STATUS__ERROR);
	assert_int_equal(WIRE_STATUS_PENDING, WAFT__V1__DETAIL__STATUS__PENDING);
	assert_int_equal(WIRE_CLOCK_MONOTONIC, WAFT__V1__CLOCK__SOURCE__MONOTONIC);
	assert_int_equal(WIRE_CLOCK_TSC, WAFT__V1__CLOCK__SOURCE__TSC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_enums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
