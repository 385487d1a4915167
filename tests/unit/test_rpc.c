/*
 * The scan before protobuf-c: what passes, what doesn't, and that what it says
 * of memory holds, measured by an allocator that counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cursor.h"
#include "frame.h"
#include "rpc.h"
#include "support/random_batch.h"

static uint8_t bytes[WIRE_PAYLOAD_LIMIT + 64];

/* ---- An allocator that counts ------------------------------------------- */

struct counted {
	size_t now;
	size_t most;
};

static void *counted_alloc(void *data, size_t size)
{
	struct counted *counted = data;
	size_t *block = malloc(size + sizeof(max_align_t));

	if (block == NULL)
		return NULL;
	block[0] = size;
	counted->now += size;
	counted->most = counted->now > counted->most ? counted->now : counted->most;
	return (char *)block + sizeof(max_align_t);
}

static void counted_free(void *data, void *pointer)
{
	struct counted *counted = data;
	size_t *block;

	if (pointer == NULL)
		return;
	block = (size_t *)((char *)pointer - sizeof(max_align_t));
	counted->now -= block[0];
	free(block);
}

/* Scans; when that passes, protobuf-c unpacks it, within what the scan said. */
static int scan_and_unpack(const ProtobufCMessageDescriptor *descriptor, size_t length)
{
	struct counted counted = {0};
	ProtobufCAllocator allocator = {counted_alloc, counted_free, &counted};
	ProtobufCMessage *message;
	size_t memory = 0;
	int ret = rpc_scan(descriptor, slice_of(bytes, length), &rpc_request_limits, &memory);

	if (ret != 0)
		return ret;
	message = protobuf_c_message_unpack(descriptor, &allocator, length, bytes);
	assert_non_null(message);
	assert_true(counted.most <= memory);
	assert_true(memory <= 4 * length + 16 * 1024);
	protobuf_c_message_free_unpacked(message, &allocator);
	assert_int_equal(counted.now, 0);
	return 0;
}

static size_t pack_filter(void)
{
	Waft__V1__ListTracesRequest request = WAFT__V1__LIST_TRACES_REQUEST__INIT;
	Waft__V1__Filter filter = WAFT__V1__FILTER__INIT;
	Waft__V1__Filter__Attribute attributes[20];
	Waft__V1__Filter__Attribute *list[20];

	for (int i = 0; i < 20; i++) {
		waft__v1__filter__attribute__init(&attributes[i]);
		attributes[i].key = (char *)"http.request.method";
		attributes[i].value = (char *)"GET";
		list[i] = &attributes[i];
	}
	filter.service = (char *)"shop";
	filter.attributes = list;
	filter.n_attributes = 20;
	filter.min_duration_ns = 5;
	request.filter = &filter;
	request.limit = 20;
	return waft__v1__list_traces_request__pack(&request, bytes);
}

static void test_good(void **state)
{
	ProtobufCMessage *message = NULL;
	size_t length = pack_filter();

	(void)state;
	assert_int_equal(scan_and_unpack(&waft__v1__list_traces_request__descriptor, length), 0);
	assert_int_equal(rpc_unpack(&waft__v1__list_traces_request__descriptor,
				 slice_of(bytes, length), &rpc_request_limits, &message),
		0);
	assert_int_equal(((Waft__V1__ListTracesRequest *)message)->limit, 20);
	protobuf_c_message_free_unpacked(message, NULL);
	assert_int_equal(scan_and_unpack(&waft__v1__health_request__descriptor, 0), 0);
}

static void test_mutated(void **state)
{
	struct random random = {random_seed()};
	int passed = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t length = pack_filter();

		for (uint32_t i = 0; i < 1 + random_below(&random, 3); i++)
			bytes[random_below(&random, (uint32_t)length)] =
				(uint8_t)random_next(&random);
		length -= random_below(&random, 2) ? random_below(&random, (uint32_t)length) : 0;
		passed += scan_and_unpack(&waft__v1__list_traces_request__descriptor, length) == 0;
	}
	assert_true(passed > 100);
}

/* 32,000 fields of two bytes would make protobuf-c note each of them. */
static void test_amplification(void **state)
{
	(void)state;
	for (size_t i = 0; i < 64 * 1024; i += 2)
		memcpy(bytes + i, "\x10\x01", 2);
	assert_int_equal(
		scan_and_unpack(&waft__v1__list_traces_request__descriptor, 64 * 1024), ERR_LIMIT);
	for (size_t i = 0; i < 64 * 1024; i += 2)
		memcpy(bytes + i, "\x32\x00", 2); /* empty attributes of a Filter */
	assert_int_equal(scan_and_unpack(&waft__v1__filter__descriptor, 64 * 1024), ERR_LIMIT);
	assert_int_equal(scan_and_unpack(&waft__v1__filter__descriptor, 64 * 1024 + 2), ERR_LIMIT);
}

/* Batches nest deepest; no query does, so the limit is tried on them. */
static void test_depth(void **state)
{
	static const uint32_t tags[] = {TAG_BATCH_SECTIONS, TAG_SECTION_SPANS, TAG_SPAN_DETAIL,
		TAG_DETAIL_EVENTS, TAG_EVENT_ATTRIBUTES, TAG_KEY_VALUE_VALUE, TAG_VALUE_LIST,
		TAG_VALUES_VALUES, TAG_VALUE_LIST, TAG_VALUES_VALUES};
	struct writer writer = writer_of(bytes, sizeof(bytes));
	size_t begins[10];

	(void)state;
	for (int i = 0; i < 7; i++)
		begins[i] = writer_nested_begin(&writer, tags[i]);
	for (int i = 6; i >= 0; i--)
		writer_nested_end(&writer, begins[i]);
	assert_int_equal(scan_and_unpack(&waft__v1__batch__descriptor, writer_length(&writer)), 0);
	writer = writer_of(bytes, sizeof(bytes));
	for (int i = 0; i < 8; i++)
		begins[i] = writer_nested_begin(&writer, tags[i]);
	for (int i = 7; i >= 0; i--)
		writer_nested_end(&writer, begins[i]);
	assert_int_equal(
		scan_and_unpack(&waft__v1__batch__descriptor, writer_length(&writer)), ERR_LIMIT);
}

static void test_bad(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		int error;
	} cases[] = {
		{"\x10", 1, ERR_TRUNCATED},
		{"\x0a\x02\x08", 3, ERR_TRUNCATED},
		{"\x15zzzz", 5, ERR_MALFORMED},		    /* limit as fixed32 */
		{"\x0a\x03\x1a\x01\xff", 5, ERR_MALFORMED}, /* service is not UTF-8 */
		{"\x13", 1, ERR_MALFORMED},
		{"\x00\x00", 2, ERR_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memcpy(bytes, cases[i].bytes, cases[i].length);
		assert_int_equal(scan_and_unpack(&waft__v1__list_traces_request__descriptor,
					 cases[i].length),
			cases[i].error);
	}
}

static void test_pack_frame(void **state)
{
	Waft__V1__HealthResponse health = WAFT__V1__HEALTH_RESPONSE__INIT;
	Waft__V1__GetTraceResponse big = WAFT__V1__GET_TRACE_RESPONSE__INIT;
	ProtobufCBinaryData record = {WIRE_PAYLOAD_LIMIT, bytes};
	ProtobufCMessage *message = NULL;
	struct frame frame;
	uint8_t *packed = NULL;
	size_t length = 0;

	(void)state;
	health.version = (char *)"0.1.0";
	assert_int_equal(rpc_pack_frame(&health.base, 7, &packed, &length), 0);
	assert_int_equal(frame_parse(packed, length, &frame), (long)length);
	assert_int_equal(frame.type, FRAME_MESSAGE);
	assert_int_equal(frame.stream, 7);
	assert_int_equal(
		rpc_unpack(&waft__v1__health_response__descriptor,
			slice_of(frame.payload, frame.length), &rpc_response_limits, &message),
		0);
	assert_string_equal(((Waft__V1__HealthResponse *)message)->version, "0.1.0");
	protobuf_c_message_free_unpacked(message, NULL);
	free(packed);
	big.records = &record;
	big.n_records = 1;
	assert_int_equal(rpc_pack_frame(&big.base, 7, &packed, &length), ERR_LIMIT);
}

static void test_methods(void **state)
{
	const ProtobufCServiceDescriptor *service = &waft__v1__query__descriptor;

	(void)state;
	for (unsigned int i = 0; i < service->n_methods; i++) {
		char path[64];
		const struct rpc_method *method;

		snprintf(path, sizeof(path), "/%s/%s", service->name, service->methods[i].name);
		method = rpc_method_find(slice_of_text(path));
		assert_non_null(method);
		assert_ptr_equal(method->request, service->methods[i].input);
		assert_ptr_equal(method->response, service->methods[i].output);
	}
	assert_null(rpc_method_find(slice_of_text("/waft.v1.Query/Nothing")));
	assert_null(rpc_method_find(slice_of_text("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_pack_frame),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
