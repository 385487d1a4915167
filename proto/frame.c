/*
 * Frame headers and the splitter of a byte stream; see frame.h.
 */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "cursor.h"

enum { CRC_OFFSET = 16, BUFFER_MIN = 512 };

static const char *const type_names[FRAME_TYPES] = {"unknown", "CALL", "MESSAGE", "END", "STATUS",
	"CREDIT", "CANCEL", "PING", "PONG", "VERSION"};

const char *frame_type_name(unsigned int type)
{
	return type < FRAME_TYPES ? type_names[type] : type_names[0];
}

uint32_t frame_header_begin(uint8_t ret_header[WIRE_FRAME_HEADER_BYTES], enum frame_type type,
	uint32_t stream, size_t length_bytes)
{
	le32_write(ret_header, WIRE_FRAME_MAGIC);
	ret_header[4] = WIRE_FRAME_VERSION;
	ret_header[5] = (uint8_t)type;
	le16_write(ret_header + 6, 0);
	le32_write(ret_header + 8, stream);
	le32_write(ret_header + 12, (uint32_t)length_bytes);
	return crc32c(0, ret_header, CRC_OFFSET);
}

void frame_header_end(uint8_t header[WIRE_FRAME_HEADER_BYTES], uint32_t crc)
{
	le32_write(header + CRC_OFFSET, crc);
}

void frame_header_write(uint8_t ret_header[WIRE_FRAME_HEADER_BYTES], enum frame_type type,
	uint32_t stream, const void *payload, size_t length_bytes)
{
	uint32_t crc = frame_header_begin(ret_header, type, stream, length_bytes);

	frame_header_end(ret_header, crc32c(crc, payload, length_bytes));
}

/* Magic, version and length, as far as their bytes are there. The length of
 * the whole frame, 0 when that isn't known yet, or an error. */
static long check_header(const uint8_t *data, size_t have, struct frame *ret_frame)
{
	static const uint8_t magic[4] = {'W', 'A', 'F', 'T'};
	uint32_t length;

	if (memcmp(data, magic, have < 4 ? have : 4) != 0)
		return ERR_MAGIC;
	if (have > 4) {
		ret_frame->version = data[4];
		if (data[4] != WIRE_FRAME_VERSION)
			return ERR_VERSION;
	}
	if (have < CRC_OFFSET)
		return 0;
	length = le32_read(data + 12);
	if (length > WIRE_PAYLOAD_LIMIT)
		return ERR_LIMIT;
	return WIRE_FRAME_HEADER_BYTES + (long)length;
}

long frame_parse(const uint8_t *data, size_t length_bytes, struct frame *ret_frame)
{
	long total = length_bytes > 0 ? check_header(data, length_bytes, ret_frame) : 0;
	const uint8_t *payload;
	uint32_t length;

	if (total <= 0 || length_bytes < (size_t)total)
		return total < 0 ? total : 0;
	payload = data + WIRE_FRAME_HEADER_BYTES;
	length = (uint32_t)total - WIRE_FRAME_HEADER_BYTES;
	if (crc32c(crc32c(0, data, CRC_OFFSET), payload, length) != le32_read(data + CRC_OFFSET))
		return ERR_CHECKSUM;
	*ret_frame = (struct frame){.version = data[4],
		.type = data[5],
		.flags = le16_read(data + 6),
		.stream = le32_read(data + 8),
		.length = length,
		.payload = payload};
	return total;
}

/* ---- The splitter ------------------------------------------------------- */

void frame_reader_init(struct frame_reader *reader)
{
	*reader = (struct frame_reader){0};
}

void frame_reader_done(struct frame_reader *reader)
{
	if (reader == NULL)
		return;
	free(reader->buffer);
	frame_reader_init(reader);
}

void frame_reader_trim(struct frame_reader *reader)
{
	if (reader->have > 0)
		return;
	free(reader->buffer);
	reader->buffer = NULL;
	reader->capacity = 0;
}

size_t frame_reader_pending(const struct frame_reader *reader)
{
	return reader->have;
}

/* Grows by doubling, so that memory follows what came. */
static int append(struct frame_reader *reader, const uint8_t *data, size_t length)
{
	size_t need = reader->have + length;

	if (need > reader->capacity) {
		size_t capacity = reader->capacity > 0 ? reader->capacity : BUFFER_MIN;
		uint8_t *buffer;

		while (capacity < need)
			capacity *= 2;
		if (capacity > WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT)
			capacity = WIRE_FRAME_HEADER_BYTES + WIRE_PAYLOAD_LIMIT;
		buffer = realloc(reader->buffer, capacity);
		if (buffer == NULL)
			return -ENOMEM;
		reader->buffer = buffer;
		reader->capacity = capacity;
	}
	memcpy(reader->buffer + reader->have, data, length);
	reader->have = need;
	return 0;
}

/* Moves bytes to the buffer until it holds want of them: 1, or 0 when the
 * caller's are used up before. */
static int fill(
	struct frame_reader *reader, size_t want, const uint8_t **data, size_t *length_bytes)
{
	size_t take;
	int ret;

	if (reader->have >= want)
		return 1;
	take = want - reader->have < *length_bytes ? want - reader->have : *length_bytes;
	if (take == 0)
		return 0;
	ret = append(reader, *data, take);
	if (ret < 0)
		return ret;
	*data += take;
	*length_bytes -= take;
	return reader->have >= want;
}

/* The frame that began in an earlier piece. */
static int next_buffered(struct frame_reader *reader, const uint8_t **data, size_t *length_bytes,
	struct frame *ret_frame)
{
	int ret = fill(reader, CRC_OFFSET, data, length_bytes);
	long total;

	if (ret < 0)
		return ret;
	total = check_header(reader->buffer, reader->have, ret_frame);
	if (total <= 0)
		return (int)total;
	ret = fill(reader, (size_t)total, data, length_bytes);
	if (ret <= 0)
		return ret;
	total = frame_parse(reader->buffer, reader->have, ret_frame);
	if (total <= 0)
		return (int)total;
	/* Its bytes stay until the next call. */
	reader->have = 0;
	return 1;
}

static int next_frame(struct frame_reader *reader, const uint8_t **data, size_t *length_bytes,
	struct frame *ret_frame)
{
	long total;
	int ret;

	if (reader->have > 0)
		return next_buffered(reader, data, length_bytes, ret_frame);
	total = frame_parse(*data, *length_bytes, ret_frame);
	if (total < 0)
		return (int)total;
	if (total > 0) {
		*data += total;
		*length_bytes -= (size_t)total;
		return 1;
	}
	if (*length_bytes == 0)
		return 0;
	/* Less than a frame, hence below the limit. */
	ret = append(reader, *data, *length_bytes);
	if (ret < 0)
		return ret;
	*data += *length_bytes;
	*length_bytes = 0;
	return 0;
}

int frame_reader_next(struct frame_reader *reader, const uint8_t **data, size_t *length_bytes,
	struct frame *ret_frame)
{
	int ret;

	if (reader->error != 0)
		return reader->error;
	ret = next_frame(reader, data, length_bytes, ret_frame);
	if (ret < 0)
		reader->error = ret;
	return ret;
}
