/*
 * Fuzzes Export's, Forward's and the frames' own messages: the first byte chooses which.
 * What decodes must come out the same after encoding and decoding again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "export.h"
#include "forward_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t once[1 << 20];
static uint8_t twice[1 << 20];

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_export: %s\n", what);
		abort();
	}
}

/* Decodes, encodes, decodes and encodes again: both encodings are the same. */
#define ROUND_TRIP(type, decode, encode)                                           \
	do {                                                                       \
		struct writer first = writer_of(once, sizeof(once));               \
		struct writer second = writer_of(twice, sizeof(twice));            \
		type message;                                                      \
                                                                                   \
		if (decode(bytes, &message) != 0)                                  \
			return;                                                    \
		encode(&first, &message);                                          \
		must(first.error == 0, "no room");                                 \
		must(decode(slice_of(once, writer_length(&first)), &message) == 0, \
			"what was encoded does not decode");                       \
		encode(&second, &message);                                         \
		must(slice_equal(slice_of(once, writer_length(&first)),            \
			     slice_of(twice, writer_length(&second))),             \
			"encoded again it differs");                               \
	} while (0)

static void try_request(struct slice bytes)
{
	ROUND_TRIP(struct export_request, export_request_decode, export_request_encode);
}

static void try_forward_request(struct slice bytes)
{
	ROUND_TRIP(struct forward_request, forward_request_decode, forward_request_encode);
}

static void try_forward_response(struct slice bytes)
{
	ROUND_TRIP(struct forward_response, forward_response_decode, forward_response_encode);
}

static void try_call_header(struct slice bytes)
{
	ROUND_TRIP(struct call_header, call_header_decode, call_header_encode);
}

static void try_call_status(struct slice bytes)
{
	ROUND_TRIP(struct call_status, call_status_decode, call_status_encode);
}

static void try_versions(struct slice bytes)
{
	ROUND_TRIP(struct versions, versions_decode, versions_encode);
}

static void try_response(struct slice bytes)
{
	static struct refusal refusals[1 << 16];
	struct export_response response, again;
	struct writer writer = writer_of(once, sizeof(once));
	size_t position = 0;
	size_t count = 0;

	if (export_response_decode(bytes, &response) != 0)
		return;
	while (count < 1 << 16 &&
		export_response_next_refusal(&response, &position, &refusals[count]))
		count++;
	must(count == response.refusals_count, "refusals are lost");
	response.refusals = refusals;
	export_response_encode(&writer, &response);
	must(writer.error == 0, "no room");
	must(export_response_decode(slice_of(once, writer_length(&writer)), &again) == 0,
		"what was encoded does not decode");
	must(again.durable_sequence == response.durable_sequence && again.refusals_count == count &&
			again.has_welcome == response.has_welcome &&
			slice_equal(again.welcome.collector, response.welcome.collector),
		"encoded again it differs");
}

static void try_credit(struct slice bytes)
{
	uint64_t credit;
	uint64_t again = 1;
	struct writer writer = writer_of(once, sizeof(once));

	if (credit_decode(bytes, &credit) != 0)
		return;
	credit_encode(&writer, credit);
	must(credit_decode(slice_of(once, writer_length(&writer)), &again) == 0 && again == credit,
		"credit differs");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct slice) = {try_request, try_response, try_call_header,
		try_call_status, try_versions, try_credit, try_forward_request,
		try_forward_response};

	if (size > 0 && size < 1 << 16)
		tries[data[0] % 8](slice_of(data + 1, size - 1));
	return 0;
}
