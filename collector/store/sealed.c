/* sealed.c: see sealed.h. */
#include "sealed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "cursor.h"
#include "seal_frame.h"

#define SEEK_FRAME_MAGIC 0x184D2A5Eu
#define SEEK_FOOTER_MAGIC 0x8F92EAB1u

enum {
	SKIPPABLE_HEADER_BYTES = 8,
	SEEK_ENTRY_BYTES = 8,
	SEEK_FOOTER_BYTES = 9,
	SEEK_FRAMES_LIMIT = 1 << 24,
	SEEK_MARK_FRAMES = 32,
};

/* A frame, in one of both: where it begins in the file and in the plain text. */
struct seek_entry {
	uint64_t file_offset;
	uint64_t text_offset;
};

/* ---- Writing ------------------------------------------------------------ */

struct sealed_writer {
	struct frame_packer *packer;
	sealed_append_fn append;
	void *ctx;
	uint8_t *text; /* of the frame under way */
	size_t text_length, text_capacity;
	uint8_t *frame; /* compressed */
	size_t frame_capacity;
	uint8_t *table; /* SEEK_ENTRY_BYTES each */
	size_t frames, frames_capacity;
	uint64_t file_bytes;
};

int sealed_writer_new(int level, sealed_append_fn append, void *ctx, struct sealed_writer **ret)
{
	struct sealed_writer *writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->append = append;
	writer->ctx = ctx;
	if (frame_packer_new(level, &writer->packer)) {
		sealed_writer_free(writer);
		return -ENOMEM;
	}
	*ret = writer;
	return 0;
}

int sealed_writer_use_sequences(struct sealed_writer *writer)
{
	return frame_packer_use_sequences(writer->packer);
}

void sealed_writer_free(struct sealed_writer *writer)
{
	if (!writer)
		return;
	frame_packer_free(writer->packer);
	free(writer->text);
	free(writer->frame);
	free(writer->table);
	free(writer);
}

/* Makes *data hold at least `need` bytes. */
static int reserve(uint8_t **data, size_t *capacity, size_t need)
{
	if (need <= *capacity)
		return 0;
	uint8_t *grown = realloc(*data, need);
	if (!grown)
		return -ENOMEM;
	*data = grown;
	*capacity = need;
	return 0;
}

static int note_frame(struct sealed_writer *writer, size_t compressed, size_t plain)
{
	if (writer->frames == writer->frames_capacity) {
		size_t bytes = writer->frames_capacity * SEEK_ENTRY_BYTES;
		int error = reserve(&writer->table, &bytes, bytes ? 2 * bytes : 4096);
		if (error)
			return error;
		writer->frames_capacity = bytes / SEEK_ENTRY_BYTES;
	}
	uint8_t *entry = writer->table + writer->frames * SEEK_ENTRY_BYTES;
	le32_write(entry, (uint32_t)compressed);
	le32_write(entry + 4, (uint32_t)plain);
	writer->frames++;
	return 0;
}

static int flush_frame(struct sealed_writer *writer)
{
	if (writer->text_length == 0)
		return 0;
	int error = reserve(
		&writer->frame, &writer->frame_capacity, ZSTD_compressBound(writer->text_length));
	if (error)
		return error;
	size_t length;
	error = frame_packer_pack(writer->packer, writer->text, writer->text_length, writer->frame,
		writer->frame_capacity, &length);
	if (!error)
		error = writer->append(writer->ctx, writer->frame, length);
	if (!error)
		error = note_frame(writer, length, writer->text_length);
	if (error)
		return error;
	writer->file_bytes += length;
	writer->text_length = 0;
	return 0;
}

int sealed_writer_add(struct sealed_writer *writer, const void *data, size_t length_bytes)
{
	const uint8_t *at = data;
	int error = 0;
	if (writer->text_length + length_bytes > SEALED_FRAME_BYTES)
		error = flush_frame(writer);
	while (!error && length_bytes > 0) {
		size_t take = SEALED_FRAME_BYTES - writer->text_length;
		take = take < length_bytes ? take : length_bytes;
		error = reserve(&writer->text, &writer->text_capacity, SEALED_FRAME_BYTES);
		if (error)
			break;
		memcpy(writer->text + writer->text_length, at, take);
		writer->text_length += take;
		at += take;
		length_bytes -= take;
		if (length_bytes > 0)
			error = flush_frame(writer);
	}
	return error;
}

int sealed_writer_finish(struct sealed_writer *writer, uint64_t *ret_bytes)
{
	uint8_t header[SKIPPABLE_HEADER_BYTES], footer[SEEK_FOOTER_BYTES];
	int error = flush_frame(writer);
	if (error)
		return error;
	size_t table = writer->frames * SEEK_ENTRY_BYTES;
	le32_write(header, SEEK_FRAME_MAGIC);
	le32_write(header + 4, (uint32_t)(table + SEEK_FOOTER_BYTES));
	le32_write(footer, (uint32_t)writer->frames);
	footer[4] = 0;
	le32_write(footer + 5, SEEK_FOOTER_MAGIC);
	error = writer->append(writer->ctx, header, sizeof(header));
	if (!error && table > 0)
		error = writer->append(writer->ctx, writer->table, table);
	if (!error)
		error = writer->append(writer->ctx, footer, sizeof(footer));
	if (error)
		return error;
	writer->file_bytes += sizeof(header) + table + sizeof(footer);
	*ret_bytes = writer->file_bytes;
	return 0;
}

/* ---- Reading ------------------------------------------------------------ */

struct sealed_reader {
	sealed_read_fn read;
	void *ctx;
	/* The lengths that the seek table has of a frame are added up from the mark before it: a
	 * reader of one trace would touch a page of memory for each 256 frames. */
	uint8_t *table; /* as it is in the file */
	struct seek_entry *marks;
	struct seek_entry end;
	size_t frames;
	size_t kept; /* frame whose text is in the unpacker; frames: none */
	struct sealed_unpacker unpacker;
};

/* Takes the table's bytes; false when they don't fit the file. */
static bool read_table(struct sealed_reader *reader, const uint8_t *table, uint64_t frames_bytes)
{
	struct seek_entry at = {0, 0};
	for (size_t i = 0; i < reader->frames; i++) {
		uint32_t compressed = le32_read(table + i * SEEK_ENTRY_BYTES);
		uint32_t plain = le32_read(table + i * SEEK_ENTRY_BYTES + 4);
		if (i % SEEK_MARK_FRAMES == 0)
			reader->marks[i / SEEK_MARK_FRAMES] = at;
		if (compressed == 0 || plain == 0 || plain > SEALED_FRAME_LIMIT ||
			compressed > ZSTD_COMPRESSBOUND(SEALED_FRAME_LIMIT))
			return false;
		at.file_offset += compressed;
		at.text_offset += plain;
	}
	reader->end = at;
	memcpy(reader->table, table, reader->frames * SEEK_ENTRY_BYTES);
	return at.file_offset == frames_bytes;
}

/* The end of the file: the footer, and as much of the table as is read with it. */
struct tail {
	uint8_t *bytes; /* owned */
	uint64_t offset;
	uint64_t length;
};

/* Reads length bytes that end with the file, instead of what was read before. */
static int read_tail(
	struct sealed_reader *reader, uint64_t file_bytes, uint64_t length, struct tail *tail)
{
	uint8_t *grown = realloc(tail->bytes, length);
	if (!grown)
		return -ENOMEM;
	*tail = (struct tail){grown, file_bytes - length, length};
	return reader->read(reader->ctx, grown, length, tail->offset);
}

static int take_table(struct sealed_reader *reader, uint64_t file_bytes, struct tail *tail)
{
	uint64_t first = file_bytes < SEALED_TAIL_BYTES ? file_bytes : SEALED_TAIL_BYTES;
	int error = first < SKIPPABLE_HEADER_BYTES + SEEK_FOOTER_BYTES
			    ? ERR_MALFORMED
			    : read_tail(reader, file_bytes, first, tail);
	if (error)
		return error;
	const uint8_t *footer = tail->bytes + first - SEEK_FOOTER_BYTES;
	uint64_t frames = le32_read(footer), table = frames * SEEK_ENTRY_BYTES;
	uint64_t whole = table + SKIPPABLE_HEADER_BYTES + SEEK_FOOTER_BYTES;
	if (le32_read(footer + 5) != SEEK_FOOTER_MAGIC || footer[4] != 0 ||
		frames > SEEK_FRAMES_LIMIT || whole > file_bytes)
		return ERR_MALFORMED;
	if (whole > first)
		error = read_tail(reader, file_bytes, whole, tail);
	if (error)
		return error;
	const uint8_t *header = tail->bytes + tail->length - whole;
	if (le32_read(header) != SEEK_FRAME_MAGIC ||
		le32_read(header + 4) != table + SEEK_FOOTER_BYTES)
		return ERR_MALFORMED;
	reader->frames = frames;
	reader->kept = frames;
	reader->table = malloc(table + 1);
	reader->marks = malloc((frames / SEEK_MARK_FRAMES + 1) * sizeof(*reader->marks));
	if (!reader->table || !reader->marks)
		return -ENOMEM;
	return read_table(reader, header + SKIPPABLE_HEADER_BYTES, file_bytes - whole)
		       ? 0
		       : ERR_MALFORMED;
}

static int load_table(struct sealed_reader *reader, uint64_t file_bytes)
{
	struct tail tail = {0};
	int error = take_table(reader, file_bytes, &tail);
	free(tail.bytes);
	return error;
}

int sealed_reader_open(
	sealed_read_fn read, void *ctx, uint64_t file_bytes, struct sealed_reader **ret)
{
	struct sealed_reader *reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->read = read;
	reader->ctx = ctx;
	int error = load_table(reader, file_bytes);
	if (error) {
		sealed_reader_close(reader);
		return error;
	}
	*ret = reader;
	return 0;
}

void sealed_reader_close(struct sealed_reader *reader)
{
	if (!reader)
		return;
	sealed_unpacker_done(&reader->unpacker);
	free(reader->table);
	free(reader->marks);
	free(reader);
}

void sealed_unpacker_done(struct sealed_unpacker *unpacker)
{
	ZSTD_freeDCtx(unpacker->zstd);
	free(unpacker->text);
	free(unpacker->packed);
	*unpacker = (struct sealed_unpacker){0};
}

uint64_t sealed_reader_size(const struct sealed_reader *reader)
{
	return reader->end.text_offset;
}

size_t sealed_reader_memory(const struct sealed_reader *reader)
{
	return sizeof(*reader) + reader->frames * SEEK_ENTRY_BYTES +
	       (reader->frames / SEEK_MARK_FRAMES + 1) * sizeof(*reader->marks) +
	       reader->unpacker.text_capacity + reader->unpacker.packed_capacity +
	       ZSTD_sizeof_DCtx(reader->unpacker.zstd);
}

/* Moves over a frame. */
static void pass_frame(const struct sealed_reader *reader, size_t frame, struct seek_entry *at)
{
	const uint8_t *entry = reader->table + frame * SEEK_ENTRY_BYTES;
	at->file_offset += le32_read(entry);
	at->text_offset += le32_read(entry + 4);
}

/* Where a frame begins; that of the number behind the last is the end. */
static struct seek_entry find_frame(const struct sealed_reader *reader, size_t frame)
{
	if (frame >= reader->frames)
		return reader->end;
	struct seek_entry at = reader->marks[frame / SEEK_MARK_FRAMES];
	for (size_t i = frame - frame % SEEK_MARK_FRAMES; i < frame; i++)
		pass_frame(reader, i, &at);
	return at;
}

size_t sealed_reader_frame(const struct sealed_reader *reader, uint64_t offset)
{
	size_t low = 0, high = (reader->frames + SEEK_MARK_FRAMES - 1) / SEEK_MARK_FRAMES;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (reader->marks[middle].text_offset <= offset)
			low = middle;
		else
			high = middle;
	}
	struct seek_entry at = reader->marks[low];
	size_t frame = low * SEEK_MARK_FRAMES;
	for (;; frame++) {
		pass_frame(reader, frame, &at);
		if (at.text_offset > offset || frame + 1 >= reader->frames)
			return frame;
	}
}

uint64_t sealed_reader_frame_end(const struct sealed_reader *reader, uint64_t offset)
{
	if (offset >= sealed_reader_size(reader))
		return sealed_reader_size(reader);
	return find_frame(reader, sealed_reader_frame(reader, offset) + 1).text_offset;
}

void sealed_reader_place(const struct sealed_reader *reader, uint64_t offset, uint64_t end,
	uint64_t *ret_offset, uint64_t *ret_length)
{
	size_t first = reader->frames > 0 ? sealed_reader_frame(reader, offset) : 0;
	size_t last = reader->frames > 0 ? sealed_reader_frame(reader, end) + 1 : 0;
	*ret_offset = find_frame(reader, first).file_offset;
	*ret_length = find_frame(reader, last).file_offset - *ret_offset;
}

uint64_t sealed_reader_frame_offset(const struct sealed_reader *reader, size_t frame)
{
	return find_frame(reader, frame).text_offset;
}

int sealed_reader_unpack(const struct sealed_reader *reader, size_t frame,
	struct sealed_unpacker *unpacker, const uint8_t **ret_text)
{
	struct seek_entry begin = find_frame(reader, frame), end = begin;
	pass_frame(reader, frame, &end);
	size_t packed = end.file_offset - begin.file_offset;
	size_t plain = end.text_offset - begin.text_offset;
	int error = reserve(&unpacker->packed, &unpacker->packed_capacity, packed);
	if (!error)
		error = reserve(&unpacker->text, &unpacker->text_capacity, plain);
	if (!unpacker->zstd)
		unpacker->zstd = ZSTD_createDCtx();
	if (!error && !unpacker->zstd)
		error = -ENOMEM;
	if (!error)
		error = reader->read(reader->ctx, unpacker->packed, packed, begin.file_offset);
	if (error)
		return error;
	size_t length = ZSTD_decompressDCtx(
		unpacker->zstd, unpacker->text, unpacker->text_capacity, unpacker->packed, packed);
	if (ZSTD_isError(length))
		return ZSTD_getErrorCode(length) == ZSTD_error_checksum_wrong ? ERR_CHECKSUM
									      : ERR_MALFORMED;
	if (length != plain)
		return ERR_MALFORMED;
	*ret_text = unpacker->text;
	return 0;
}

static int keep_frame(struct sealed_reader *reader, size_t frame)
{
	const uint8_t *text;
	if (reader->kept == frame)
		return 0;
	reader->kept = reader->frames;
	int error = sealed_reader_unpack(reader, frame, &reader->unpacker, &text);
	if (!error)
		reader->kept = frame;
	return error;
}

int sealed_reader_read(
	struct sealed_reader *reader, uint64_t offset, void *ret_data, size_t length_bytes)
{
	uint64_t size = sealed_reader_size(reader);
	uint8_t *to = ret_data;
	if (offset > size || length_bytes > size - offset)
		return -EINVAL;
	while (length_bytes > 0) {
		size_t frame = sealed_reader_frame(reader, offset);
		int error = keep_frame(reader, frame);
		if (error)
			return error;
		uint64_t inside = offset - find_frame(reader, frame).text_offset;
		uint64_t left = find_frame(reader, frame + 1).text_offset - offset;
		size_t take = left < length_bytes ? (size_t)left : length_bytes;
		memcpy(to, reader->unpacker.text + inside, take);
		to += take;
		offset += take;
		length_bytes -= take;
	}
	return 0;
}
