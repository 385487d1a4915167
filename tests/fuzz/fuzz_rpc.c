/*
 * Fuzzes the scan before protobuf-c: what passes it must unpack, within the
 * memory that the scan said, and pack and unpack again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct counted {
	size_t now;
	size_t most;
};

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_rpc: %s\n", what);
		abort();
	}
}

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

	if (pointer == NULL)
		return;
	pointer = (char *)pointer - sizeof(max_align_t);
	counted->now -= *(size_t *)pointer;
	free(pointer);
}

static void try_message(const ProtobufCMessageDescriptor *descriptor, struct slice bytes,
	const struct rpc_limits *limits)
{
	struct counted counted = {0};
	ProtobufCAllocator allocator = {counted_alloc, counted_free, &counted};
	ProtobufCMessage *message;
	uint8_t *packed = NULL;
	size_t memory = 0;
	size_t length = 0;

	if (rpc_scan(descriptor, bytes, limits, &memory) != 0)
		return;
	message = protobuf_c_message_unpack(descriptor, &allocator, bytes.length, bytes.data);
	must(message != NULL, "protobuf-c refuses what the scan took");
	must(counted.most <= memory, "protobuf-c takes more memory than the scan said");
	if (rpc_pack(message, 0, &packed, &length) == 0) {
		ProtobufCMessage *again =
			protobuf_c_message_unpack(descriptor, NULL, length, packed);

		must(again != NULL, "what was packed does not unpack");
		protobuf_c_message_free_unpacked(again, NULL);
		free(packed);
	}
	protobuf_c_message_free_unpacked(message, &allocator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {WIRE_METHOD_LIST_TRACES, WIRE_METHOD_GET_TRACE,
		WIRE_METHOD_STATS, WIRE_METHOD_TAIL, WIRE_METHOD_HEALTH, WIRE_METHOD_STATUS};
	const struct rpc_method *method;

	if (size == 0)
		return 0;
	method = rpc_method_find(slice_of_text(paths[data[0] % 6]));
	must(method != NULL, "a method is missing");
	if (data[0] & 0x80)
		try_message(method->response, slice_of(data + 1, size - 1), &rpc_response_limits);
	else
		try_message(method->request, slice_of(data + 1, size - 1), &rpc_request_limits);
	return 0;
}
