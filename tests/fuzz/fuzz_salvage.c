/*
 * A region with any bytes anywhere: the input is a list of changes to one that is whole,
 * each a place (3 bytes), a length (1 byte) and bytes. What comes out must decode, be
 * numbered without gaps, and be what the fence says.
 */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "export.h"
#include "salvage.h"
#include "support/region_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(uint8_t *bytes, const uint8_t *data, size_t size)
{
	while (size > 4) {
		size_t at = data[0] | (size_t)data[1] << 8 | (size_t)(data[2] & 0x3f) << 16;
		size_t length = data[3] < size - 4 ? data[3] : size - 4;

		if (length > REGION_BYTES - at)
			length = REGION_BYTES - at;
		memcpy(bytes + at, data + 4, length);
		data += 4 + length;
		size -= 4 + length;
	}
}

static void check_batch(const struct salvage_message *message)
{
	struct batch batch = {0};
	uint64_t spans = 0;

	if (batch_open(&batch, message->bytes.data, message->bytes.length) != 0 ||
		batch_check(&batch, &spans) != 0 || spans != message->spans)
		abort();
	batch_done(&batch);
}

static void check_fence(const struct salvage *salvage, uint64_t durable)
{
	struct cursor cursor;
	struct fence_entry entry;

	if (salvage->fence.length == 0)
		return;
	cursor = cursor_of(salvage->fence.data, salvage->fence.length);
	while (fence_next(&cursor, &entry)) {
		if (entry.kind == FENCE_TAKEN &&
			(entry.taken.sequence <= durable ||
				entry.taken.sequence > durable + salvage->count ||
				entry.taken.unit >= REGION_UNITS ||
				entry.taken.from >= entry.taken.to))
			abort();
	}
	if (cursor.error != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct salvage_source source = {
		.service = "fuzz", .monotonic_ns = 5, .realtime_ns = UINT64_C(1767951000000000000)};
	const uint64_t durable = size > 0 ? data[0] % 8 : 0;
	struct region_image image;
	struct salvage salvage;
	struct bytes open = {0};
	uint64_t spans;
	uint64_t left_out;

	if (region_image_new(&image) != 0)
		return 0;
	memset(source.client, REGION_MADE_CLIENT, sizeof(source.client));
	region_make(image.bytes);
	if (size > 0)
		change(image.bytes, data + 1, size - 1);
	/* The others never get that far. */
	if (region_header_fits(region_image_header(&image))) {
		if (salvage_read(&image, &source, durable, &salvage) == 0)
			check_fence(&salvage, durable);
		for (size_t i = 0; i < salvage.count; i++) {
			if (salvage.messages[i].sequence != durable + 1 + i)
				abort();
			if (salvage.messages[i].kind == LOG_BATCH)
				check_batch(&salvage.messages[i]);
		}
		salvage_done(&salvage);
		(void)(salvage_open_spans(&image, &source, &open, &spans, &left_out) == 0);
		bytes_done(&open);
	}
	region_image_done(&image);
	return 0;
}
