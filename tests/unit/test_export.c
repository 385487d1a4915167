/*
 * Export's messages against protobuf-c, both ways, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export.h"
#include "rpc.h"
#include "support/random_batch.h"

static uint8_t bytes[4096];
static struct random rng;
static char texts[8][64];
static unsigned int text_at;

static int setup(void **state)
{
	(void)state;
	rng.state = random_seed();
	return 0;
}

/* A few bytes of text, sometimes none; lives for the next seven calls. */
static char *make_text(void)
{
	char *text = texts[text_at++ % 8];
	size_t length = random_below(&rng, 40);

	memset(text, 0, 64);
	for (size_t i = 0; i < length; i++)
		text[i] = (char)('a' + random_below(&rng, 26));
	return text;
}

static uint64_t make_number(void)
{
	return random_next(&rng) >> random_below(&rng, 64);
}

static void same_text(struct slice slice, const char *text)
{
	assert_int_equal(slice.length, strlen(text));
	assert_memory_equal(slice.data != NULL ? (const char *)slice.data : "", text, slice.length);
}

/* ---- Requests ----------------------------------------------------------- */

static void make_request(struct export_request *request)
{
	static const enum export_body bodies[] = {
		EXPORT_HELLO, EXPORT_BATCH, EXPORT_DROP, EXPORT_GOODBYE};

	*request = (struct export_request){.sequence = make_number() | 1,
		.emitted = make_number(),
		.body = bodies[random_below(&rng, 4)]};
	if (request->body == EXPORT_HELLO) {
		request->hello = (struct hello){.version = (uint32_t)make_number(),
			.library = slice_of_text(make_text()),
			.service = slice_of_text(make_text()),
			.pid = make_number(),
			.acknowledged_sequence = make_number(),
			.sent_sequence = make_number(),
			.region = random_below(&rng, 2) != 0};
		le64_write(request->hello.client, random_next(&rng));
	} else if (request->body == EXPORT_BATCH) {
		request->batch = slice_of_text(make_text());
	} else if (request->body == EXPORT_DROP) {
		request->drop = (struct drop){slice_of_text(make_text()), make_number()};
	} else {
		request->goodbye = (struct goodbye){make_number(), make_number(), make_number()};
	}
}

static void same_request(const struct export_request *a, const struct export_request *b)
{
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->emitted, b->emitted);
	assert_int_equal(a->body, b->body);
	if (a->body == EXPORT_HELLO) {
		assert_memory_equal(a->hello.client, b->hello.client, 16);
		assert_int_equal(a->hello.version, b->hello.version);
		assert_true(slice_equal(a->hello.library, b->hello.library));
		assert_true(slice_equal(a->hello.service, b->hello.service));
		assert_int_equal(a->hello.pid, b->hello.pid);
		assert_int_equal(a->hello.acknowledged_sequence, b->hello.acknowledged_sequence);
		assert_int_equal(a->hello.sent_sequence, b->hello.sent_sequence);
		assert_int_equal(a->hello.region, b->hello.region);
	} else if (a->body == EXPORT_BATCH) {
		assert_true(slice_equal(a->batch, b->batch));
	} else if (a->body == EXPORT_DROP) {
		assert_true(slice_equal(a->drop.reason, b->drop.reason));
		assert_int_equal(a->drop.spans, b->drop.spans);
	} else {
		assert_memory_equal(&a->goodbye, &b->goodbye, sizeof(a->goodbye));
	}
}

static void same_as_oracle(const struct export_request *a, const Waft__V1__ExportRequest *b)
{
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->emitted, b->emitted);
	assert_int_equal(a->body, b->body_case);
	if (a->body == EXPORT_HELLO) {
		assert_int_equal(b->hello->client.len, 16);
		assert_memory_equal(a->hello.client, b->hello->client.data, 16);
		assert_int_equal(a->hello.version, b->hello->version);
		same_text(a->hello.library, b->hello->library);
		same_text(a->hello.service, b->hello->service);
		assert_int_equal(a->hello.pid, b->hello->pid);
		assert_int_equal(a->hello.acknowledged_sequence, b->hello->acknowledged_sequence);
		assert_int_equal(a->hello.sent_sequence, b->hello->sent_sequence);
		assert_int_equal(a->hello.region, b->hello->region);
	} else if (a->body == EXPORT_DROP) {
		same_text(a->drop.reason, b->drop->reason);
		assert_int_equal(a->drop.spans, b->drop->spans);
	} else if (a->body == EXPORT_GOODBYE) {
		assert_int_equal(a->goodbye.emitted, b->goodbye->emitted);
		assert_int_equal(a->goodbye.unknown, b->goodbye->unknown);
		assert_int_equal(a->goodbye.not_sampled, b->goodbye->not_sampled);
	}
}

static void test_requests(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct export_request request, decoded;
		struct writer writer = writer_of(bytes, sizeof(bytes));
		Waft__V1__ExportRequest *oracle;
		size_t length;

		make_request(&request);
		export_request_encode(&writer, &request);
		assert_int_equal(writer.error, 0);
		length = writer_length(&writer);
		assert_int_equal(export_request_decode(slice_of(bytes, length), &decoded), 0);
		same_request(&request, &decoded);
		if (request.body == EXPORT_BATCH)
			continue; /* its bytes are no Batch: see test_batch_head */
		oracle = waft__v1__export_request__unpack(NULL, length, bytes);
		assert_non_null(oracle);
		same_as_oracle(&request, oracle);
		length = waft__v1__export_request__pack(oracle, bytes);
		assert_int_equal(export_request_decode(slice_of(bytes, length), &decoded), 0);
		same_request(&request, &decoded);
		waft__v1__export_request__free_unpacked(oracle, NULL);
	}
}

static void test_batch_head(void **state)
{
	static struct model model;
	static uint8_t batch[WIRE_BATCH_LIMIT];
	static uint8_t whole[WIRE_BATCH_LIMIT + EXPORT_BATCH_HEAD_LIMIT];
	long length = model_write(&model, 1, batch, sizeof(batch));
	struct writer writer = writer_of(whole, EXPORT_BATCH_HEAD_LIMIT);
	struct export_request request;
	Waft__V1__ExportRequest *oracle;

	(void)state;
	export_batch_head_encode(&writer, UINT64_MAX, UINT64_MAX, (size_t)length);
	assert_int_equal(writer.error, 0);
	writer.end = whole + sizeof(whole);
	writer_bytes(&writer, batch, (size_t)length);
	assert_int_equal(
		export_request_decode(slice_of(whole, writer_length(&writer)), &request), 0);
	assert_int_equal(request.sequence, UINT64_MAX);
	assert_true(slice_equal(request.batch, slice_of(batch, (size_t)length)));
	oracle = waft__v1__export_request__unpack(NULL, writer_length(&writer), whole);
	assert_non_null(oracle);
	assert_int_equal(oracle->body_case, WAFT__V1__EXPORT_REQUEST__BODY_BATCH);
	assert_int_equal(oracle->batch->n_shapes, model.shape_count);
	waft__v1__export_request__free_unpacked(oracle, NULL);
}

static void test_bad_requests(void **state)
{
	struct export_request request = {.sequence = 77};
	static uint8_t big[WIRE_BATCH_LIMIT + 64];
	static const struct {
		const char *bytes;
		size_t length;
		int error;
	} cases[] = {
		{"", 0, ERR_MALFORMED},			 /* no body */
		{"\x08\x01", 2, ERR_MALFORMED},		 /* still none */
		{"\x22\x00", 2, ERR_ORDER},		 /* a batch without sequence */
		{"\x2a\x00", 2, ERR_ORDER},		 /* a drop without sequence */
		{"\x1a\x00", 2, ERR_MALFORMED},		 /* a hello without client */
		{"\x1a\x03\x0a\x01x", 5, ERR_MALFORMED}, /* one of one byte */
		{"\x08", 1, ERR_TRUNCATED},
		{"\x1a\x05\x0a", 3, ERR_TRUNCATED},
		{"\x1a\x02\x0a\x05", 4, ERR_TRUNCATED},
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, ERR_MALFORMED},
		{"\x0b", 1, ERR_MALFORMED}, /* a group */
		{"\x00\x01", 2, ERR_MALFORMED},
		{"\x1a\x08\x10\xff\xff\xff\xff\xff\xff\x01", 10, ERR_LIMIT},
	};
	struct writer writer = writer_of(big, sizeof(big));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			export_request_decode(slice_of(cases[i].bytes, cases[i].length), &request),
			cases[i].error);
	export_batch_head_encode(&writer, 1, 1, WIRE_BATCH_LIMIT + 1);
	assert_int_equal(
		export_request_decode(
			slice_of(big, writer_length(&writer) + WIRE_BATCH_LIMIT + 1), &request),
		ERR_LIMIT);
	assert_int_equal(request.sequence, 77);
}

/* Of several bodies the last, and unknown fields are passed over. */
static void test_lenient(void **state)
{
	static const char text[] = "\x08\x05\x2a\x02\x10\x07\x98\x06\x01\xa2\x06\x02zz"
				   "\x32\x02\x08\x09\x08\x86\x80\x80\x00";
	struct export_request request;

	(void)state;
	assert_int_equal(export_request_decode(slice_of(text, sizeof(text) - 1), &request), 0);
	assert_int_equal(request.body, EXPORT_GOODBYE);
	assert_int_equal(request.goodbye.emitted, 9);
	assert_int_equal(request.sequence, 6);
}

/* ---- Responses ---------------------------------------------------------- */

static void same_response(const struct export_response *a, const Waft__V1__ExportResponse *b)
{
	struct refusal refusal;
	size_t position = 0;

	assert_int_equal(a->durable_sequence, b->durable_sequence);
	assert_int_equal(a->credit_bytes, b->credit_bytes);
	assert_int_equal(a->goodbye, b->goodbye);
	assert_int_equal(a->has_welcome, b->welcome != NULL);
	if (b->welcome != NULL) {
		assert_int_equal(a->welcome.known, b->welcome->known);
		assert_int_equal(a->welcome.forgotten, b->welcome->forgotten);
		assert_int_equal(a->welcome.batch_limit_bytes, b->welcome->batch_limit_bytes);
		assert_int_equal(a->welcome.span_limit_bytes, b->welcome->span_limit_bytes);
		same_text(a->welcome.collector, b->welcome->collector);
		assert_int_equal(a->welcome.collector_id.length, b->welcome->collector_id.len);
	}
	assert_int_equal(a->refusals_count, b->n_refusals);
	for (size_t i = 0; i < b->n_refusals; i++) {
		assert_true(export_response_next_refusal(a, &position, &refusal));
		assert_int_equal(refusal.sequence, b->refusals[i]->sequence);
		assert_int_equal(refusal.code, b->refusals[i]->code);
		same_text(refusal.message, b->refusals[i]->message);
	}
	assert_false(export_response_next_refusal(a, &position, &refusal));
}

static void test_responses(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct refusal refusals[3];
		struct export_response decoded;
		struct export_response response = {.durable_sequence = make_number(),
			.credit_bytes = make_number(),
			.goodbye = random_below(&rng, 2) != 0,
			.has_welcome = random_below(&rng, 2) != 0,
			.refusals = refusals,
			.refusals_count = random_below(&rng, 4)};
		struct writer writer = writer_of(bytes, sizeof(bytes));
		Waft__V1__ExportResponse *oracle;
		size_t length;

		for (size_t i = 0; i < response.refusals_count; i++)
			refusals[i] = (struct refusal){
				make_number(), random_below(&rng, 17), slice_of_text(make_text())};
		response.welcome = (struct welcome){.known = random_below(&rng, 2) != 0,
			.forgotten = random_below(&rng, 2) != 0,
			.batch_limit_bytes = (uint32_t)make_number(),
			.span_limit_bytes = (uint32_t)make_number(),
			.collector = slice_of_text(make_text()),
			.collector_id = slice_of_text(make_text())};
		export_response_encode(&writer, &response);
		assert_int_equal(writer.error, 0);
		length = writer_length(&writer);
		oracle = waft__v1__export_response__unpack(NULL, length, bytes);
		assert_non_null(oracle);
		assert_int_equal(export_response_decode(slice_of(bytes, length), &decoded), 0);
		same_response(&decoded, oracle);
		assert_int_equal(oracle->durable_sequence, response.durable_sequence);
		assert_int_equal(oracle->n_refusals, response.refusals_count);
		length = waft__v1__export_response__pack(oracle, bytes);
		assert_int_equal(export_response_decode(slice_of(bytes, length), &decoded), 0);
		same_response(&decoded, oracle);
		waft__v1__export_response__free_unpacked(oracle, NULL);
	}
}

/* ---- Of the frames ------------------------------------------------------ */

static void test_call_header(void **state)
{
	struct call_header header = {.method = slice_of_text(WIRE_METHOD_TAIL),
		.deadline_ms = 250,
		.metadata_count = 2,
		.metadata = {{slice_of_text("authorization"), slice_of_text("Bearer x")},
			{slice_of_text("authorization"), slice_of_text("Bearer y")}}};
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct call_header decoded;
	Waft__V1__CallHeader *oracle;

	(void)state;
	call_header_encode(&writer, &header);
	assert_int_equal(call_header_decode(slice_of(bytes, writer_length(&writer)), &decoded), 0);
	same_text(decoded.method, WIRE_METHOD_TAIL);
	assert_int_equal(decoded.deadline_ms, 250);
	assert_int_equal(decoded.credit_bytes, WIRE_DEFAULT_CREDIT);
	same_text(call_header_metadata(&decoded, "authorization"), "Bearer y");
	assert_null(call_header_metadata(&decoded, "other").data);
	oracle = waft__v1__call_header__unpack(NULL, writer_length(&writer), bytes);
	assert_non_null(oracle);
	assert_string_equal(oracle->method, WIRE_METHOD_TAIL);
	assert_int_equal(oracle->n_metadata, 2);
	assert_string_equal(oracle->metadata[1]->value, "Bearer y");
	assert_int_equal(
		call_header_decode(
			slice_of(bytes, waft__v1__call_header__pack(oracle, bytes)), &decoded),
		0);
	assert_int_equal(decoded.metadata_count, 2);
	waft__v1__call_header__free_unpacked(oracle, NULL);
}

static void test_call_header_limits(void **state)
{
	struct call_header header = {.method = slice_of_text("/m")};
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct call_header decoded;
	static char method[WIRE_METHOD_LIMIT + 2];

	(void)state;
	call_header_encode(&writer, &header);
	for (int i = 0; i <= WIRE_METADATA_LIMIT; i++)
		writer_bytes(&writer, "\x22\x02\x0a\x00", 4);
	assert_int_equal(
		call_header_decode(slice_of(bytes, writer_length(&writer)), &decoded), ERR_LIMIT);
	assert_int_equal(
		call_header_decode(slice_of(bytes, writer_length(&writer) - 4), &decoded), 0);
	memset(method, '/', sizeof(method) - 1);
	header.method = slice_of_text(method);
	writer = writer_of(bytes, sizeof(bytes));
	call_header_encode(&writer, &header);
	assert_int_equal(
		call_header_decode(slice_of(bytes, writer_length(&writer)), &decoded), ERR_LIMIT);
}

static void test_small_messages(void **state)
{
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct call_status status = {14, slice_of_text("disk full"), 1500};
	struct call_status status_read;
	struct versions versions = {1, 3, slice_of_text("speak 1 to 3")};
	struct versions versions_read;
	Waft__V1__CallStatus *oracle;
	uint64_t credit = 0;

	(void)state;
	call_status_encode(&writer, &status);
	oracle = waft__v1__call_status__unpack(NULL, writer_length(&writer), bytes);
	assert_non_null(oracle);
	assert_int_equal(oracle->code, 14);
	assert_int_equal(oracle->retry_after_ms, 1500);
	waft__v1__call_status__free_unpacked(oracle, NULL);
	assert_int_equal(
		call_status_decode(slice_of(bytes, writer_length(&writer)), &status_read), 0);
	assert_int_equal(status_read.code, 14);
	same_text(status_read.message, "disk full");
	writer = writer_of(bytes, sizeof(bytes));
	versions_encode(&writer, &versions);
	assert_int_equal(
		versions_decode(slice_of(bytes, writer_length(&writer)), &versions_read), 0);
	assert_int_equal(versions_read.highest, 3);
	same_text(versions_read.message, "speak 1 to 3");
	writer = writer_of(bytes, sizeof(bytes));
	credit_encode(&writer, UINT64_C(1) << 40);
	assert_int_equal(credit_decode(slice_of(bytes, writer_length(&writer)), &credit), 0);
	assert_int_equal(credit, UINT64_C(1) << 40);
	assert_int_equal(credit_decode(slice_of("\x08", 1), &credit), ERR_TRUNCATED);
	assert_int_equal(credit, UINT64_C(1) << 40);
}

/* Every size of buffer that is too small is told, none overrun. */
static void test_no_room(void **state)
{
	struct export_request request;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct writer writer = writer_of(bytes, sizeof(bytes));
		size_t whole;

		make_request(&request);
		export_request_encode(&writer, &request);
		whole = writer_length(&writer);
		for (size_t size = 0; size < whole; size++) {
			uint8_t *exact = malloc(size + 1);

			assert_non_null(exact);
			writer = writer_of(exact, size);
			export_request_encode(&writer, &request);
			assert_int_equal(writer.error, ERR_NO_ROOM);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_batch_head),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_lenient),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_call_header),
		cmocka_unit_test(test_call_header_limits),
		cmocka_unit_test(test_small_messages),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
