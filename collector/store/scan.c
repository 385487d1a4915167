/*
 * scan.c: see scan.h.
 */
#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)256 << 10)

void scan_buffer_done(struct scan_buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct scan_buffer){0};
}

struct state {
	scan_on_line on_line;
	void *ctx;
	uint64_t number;
};

/* Gives the lines that end in data[0..length); *ret_used: up to where. */
static int give_lines(
	struct state *state, const uint8_t *data, size_t length, uint64_t offset, size_t *ret_used)
{
	size_t used = 0;
	int ret = 0;

	while (ret == 0 && used < length) {
		const uint8_t *newline = memchr(data + used, '\n', length - used);
		struct scan_line line;

		if (newline == NULL)
			break;
		line = (struct scan_line){
			.offset = offset + used,
			.number = ++state->number,
			.text = slice_of(data + used, (size_t)(newline - data) - used),
			.whole = true,
		};
		used = (size_t)(newline - data) + 1;
		ret = state->on_line(state->ctx, &line);
	}
	*ret_used = used;
	return ret;
}

/* What is left at the end, without a newline. */
static int give_rest(struct state *state, const uint8_t *data, size_t length, uint64_t offset)
{
	struct scan_line line = {
		.offset = offset, .number = ++state->number, .text = slice_of(data, length)};

	return length > 0 ? state->on_line(state->ctx, &line) : 0;
}

static int give_too_long(struct state *state, uint64_t offset)
{
	struct scan_line line = {.offset = offset, .number = ++state->number, .whole = true};

	return state->on_line(state->ctx, &line);
}

int scan_memory(struct slice bytes, uint64_t offset, scan_on_line on_line, void *ctx)
{
	struct state state = {.on_line = on_line, .ctx = ctx};
	size_t used;
	int ret;

	if (bytes.length == 0)
		return 0;
	ret = give_lines(&state, bytes.data, bytes.length, offset, &used);
	return ret != 0 ? ret
			: give_rest(&state, bytes.data + used, bytes.length - used, offset + used);
}

static int grow(struct scan_buffer *buffer, size_t wanted)
{
	uint8_t *data;

	if (buffer->capacity >= wanted)
		return 0;
	data = realloc(buffer->data, wanted);
	if (data == NULL)
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = wanted;
	return 0;
}

/* Where the scan stands: data[0..have) is what was read of the line under way. */
struct progress {
	uint64_t at; /* offset of data[0] */
	size_t have;
	bool skipping; /* inside a line that is too long, already given */
	bool lost;     /* what was before data[0] could not be read */
};

/* Drops the rest of a line that is too long. */
static void skip_line(struct progress *progress, struct scan_buffer *buffer)
{
	const uint8_t *newline = memchr(buffer->data, '\n', progress->have);
	size_t drop = newline != NULL ? (size_t)(newline - buffer->data) + 1 : progress->have;

	progress->skipping = newline == NULL;
	memmove(buffer->data, buffer->data + drop, progress->have - drop);
	progress->at += drop;
	progress->have -= drop;
}

static int take_chunk(struct state *state, struct progress *progress, struct scan_buffer *buffer)
{
	size_t used;
	int ret;

	if (progress->skipping) {
		skip_line(progress, buffer);
		if (progress->skipping)
			return 0;
	}
	ret = give_lines(state, buffer->data, progress->have, progress->at, &used);
	memmove(buffer->data, buffer->data + used, progress->have - used);
	progress->at += used;
	progress->have -= used;
	if (ret == 0 && progress->have >= SCAN_LINE_BYTES_MAX) {
		ret = give_too_long(state, progress->at);
		skip_line(progress, buffer);
	}
	return ret;
}

static bool is_damage(int error)
{
	return error == ERR_CHECKSUM || error == ERR_MALFORMED || error == -EIO;
}

/* Reads the next bytes, or passes over the frame that they are in. */
static int read_piece(struct source *source, uint64_t next, size_t want, struct progress *progress,
	struct scan_buffer *buffer)
{
	int ret = source_read(source, next, buffer->data + progress->have, want);

	if (ret == 0) {
		/* Behind a gap a line begins, or the rest of one is of no use. */
		if (progress->lost && buffer->data[0] != '{')
			progress->skipping = true;
		progress->lost = false;
		progress->have += want;
		return 0;
	}
	if (!is_damage(ret) || source_piece(source, next) == UINT64_MAX)
		return ret;
	buffer->damage = ret;
	*progress = (struct progress){.at = next + want, .lost = true};
	return 0;
}

int scan_lines(struct source *source, uint64_t from, uint64_t to, struct scan_buffer *buffer,
	scan_on_line on_line, void *ctx)
{
	struct state state = {.on_line = on_line, .ctx = ctx};
	struct progress progress = {.at = from};
	uint64_t next = from;
	int ret = 0;

	buffer->damage = 0;
	if (to > source_size(source))
		to = source_size(source);
	while (ret == 0 && next < to) {
		size_t want = to - next < CHUNK_BYTES ? (size_t)(to - next) : CHUNK_BYTES;
		uint64_t piece = source_piece(source, next);

		want = piece < want ? (size_t)piece : want;
		ret = grow(buffer, progress.have + want);
		if (ret == 0)
			ret = read_piece(source, next, want, &progress, buffer);
		if (ret != 0)
			break;
		next += want;
		ret = take_chunk(&state, &progress, buffer);
	}
	if (ret == 0 && progress.have > 0 && !progress.skipping)
		ret = give_rest(&state, buffer->data, progress.have, progress.at);
	if (buffer->capacity > 4 * CHUNK_BYTES) {
		free(buffer->data);
		buffer->data = NULL;
		buffer->capacity = 0;
	}
	return ret;
}
