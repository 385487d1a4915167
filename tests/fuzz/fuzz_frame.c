/*
 * Fuzzes the frame splitter, fed in pieces that the input chooses. The input is
 * a list of operations that build a stream (a frame with a right checksum, raw
 * bytes, a header with any length) and cut it. What comes out of the splitter
 * must be the same however the stream is cut.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES = 1 << 16 };

struct stream {
	uint8_t bytes[STREAM_BYTES];
	size_t length;
	uint16_t cuts[256];
	size_t cut_count;
};

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_frame: %s\n", what);
		abort();
	}
}

static void append(struct stream *stream, const void *bytes, size_t length)
{
	if (length > sizeof(stream->bytes) - stream->length)
		length = sizeof(stream->bytes) - stream->length;
	memcpy(stream->bytes + stream->length, bytes, length);
	stream->length += length;
}

static void append_frame(struct stream *stream, uint8_t kind, struct slice payload)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];

	frame_header_write(
		header, (enum frame_type)(kind >> 3), kind, payload.data, payload.length);
	if ((kind & 7) == 7) /* one that lies about its length */
		le32_write(header + 12, (uint32_t)payload.length * kind);
	append(stream, header, sizeof(header));
	append(stream, payload.data, payload.length);
}

static void build(struct stream *stream, const uint8_t *data, size_t size)
{
	struct cursor cursor = cursor_of(data, size);

	while (cursor_more(&cursor)) {
		uint8_t kind = *cursor.at++;
		size_t length = cursor_left(&cursor) > 0 ? *cursor.at++ : 0;
		struct slice bytes;

		if (length > cursor_left(&cursor))
			length = cursor_left(&cursor);
		bytes = cursor_take(&cursor, length);
		if ((kind & 7) == 0)
			append(stream, bytes.data, bytes.length);
		else
			append_frame(stream, kind, bytes);
		if (stream->cut_count < sizeof(stream->cuts) / sizeof(stream->cuts[0]))
			stream->cuts[stream->cut_count++] = (uint16_t)(1 + kind * length);
	}
}

/* A checksum of all that came out and of how it ended. */
static uint32_t run(const struct stream *stream, int cut)
{
	struct frame_reader reader = {0};
	uint32_t crc = 0;
	size_t offset = 0;
	size_t cuts = 0;
	int ret = 0;

	while (offset < stream->length && ret >= 0) {
		size_t piece = stream->length - offset;
		size_t wanted = cut && stream->cut_count > 0
					? stream->cuts[cuts++ % stream->cut_count]
					: piece;
		uint8_t *exact;
		const uint8_t *at;
		struct frame frame;

		piece = wanted < piece ? wanted : piece;
		exact = malloc(piece);
		must(exact != NULL, "out of memory");
		memcpy(exact, stream->bytes + offset, piece);
		at = exact;
		offset += piece;
		while ((ret = frame_reader_next(&reader, &at, &piece, &frame)) > 0) {
			uint8_t head[12] = {frame.type};

			le32_write(head + 4, frame.stream);
			le32_write(head + 8, frame.length);
			crc = crc32c(crc32c(crc, head, sizeof(head)), frame.payload, frame.length);
		}
		must(ret < 0 || piece == 0, "bytes were left");
		must(reader.capacity <= 4096 || reader.capacity <= 2 * offset,
			"memory beyond what came");
		free(exact);
	}
	frame_reader_done(&reader);
	return crc + (uint32_t)ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stream stream;

	stream.length = stream.cut_count = 0;
	build(&stream, data, size);
	must(run(&stream, 0) == run(&stream, 1), "the cuts change what comes out");
	return 0;
}
