/* See open_spans.h. */
#include "open_spans.h"

#include "ids.h"
#include "line.h"
#include "salvage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIND_BYTES ((size_t)16 << 20)
#define ID_DIGITS_LEAST 4
#define ID_DIGITS 32

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The region's open spans as a Batch; 0, -ENOMEM, or why it can't be read. */
static int read_batch(
	const struct region_view *view, struct bytes *ret_batch, uint64_t *ret_left_out)
{
	struct salvage_source source = {.service = view->service,
		.pid = view->pid,
		.monotonic_ns = now_ns(CLOCK_MONOTONIC),
		.realtime_ns = now_ns(CLOCK_REALTIME)};
	struct region_image image = {0};
	uint64_t spans = 0;
	int status = region_image_new(&image);

	memcpy(source.client, view->client, sizeof(source.client));
	if (status == 0)
		status = region_image_read(&image, region_view_fd(view), false);
	if (status == 0)
		status = salvage_open_spans(&image, &source, ret_batch, &spans, ret_left_out);
	region_image_done(&image);
	return status;
}

static int add_line(struct open_spans *open, struct line_writer *writer, struct batch *batch,
	struct span_view *span)
{
	size_t at = open->text.length;
	struct open_line *line;

	if (open->count == open->capacity) {
		size_t capacity = open->capacity != 0 ? open->capacity * 2 : 64;
		struct open_line *grown = reallocarray(open->lines, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		open->lines = grown;
		open->capacity = capacity;
	}
	if (line_span(writer, batch, span, &open->text) != 0)
		return -ENOMEM;
	line = &open->lines[open->count++];
	/* Without its newline. */
	*line = (struct open_line){
		.at = (uint32_t)at, .length = (uint32_t)(open->text.length - at - 1)};
	memcpy(line->trace_id, span->trace->id.bytes, sizeof(line->trace_id));
	return 0;
}

/* As open_spans_read, of a batch. */
static long add_lines(struct open_spans *open, const struct region_view *view, struct batch *batch,
	const uint8_t *trace_id, size_t skip, size_t most)
{
	struct line_writer writer = {.live = true};
	struct batch_iter iter;
	struct span_view span;
	long passed = 0;
	int status = line_batch_begin(&writer, batch, &view->peer);

	batch_iter_init(&iter);
	while (status == 0 && !open_spans_full(open, most) && batch_next(batch, &iter, &span) > 0) {
		bool wanted = trace_id == NULL || memcmp(span.trace->id.bytes, trace_id, 16) == 0;

		if (wanted && (size_t)passed >= skip)
			status = add_line(open, &writer, batch, &span);
		passed++;
	}
	line_writer_done(&writer);
	return status < 0 ? status : passed;
}

long open_spans_read(struct open_spans *open, const struct region_view *view,
	const uint8_t *trace_id, size_t skip, size_t most)
{
	struct bytes bytes = {0};
	struct batch batch = {0};
	uint64_t left_out = 0;
	long passed = 0;
	int status = read_batch(view, &bytes, &left_out);

	if (status == 0 && bytes.length > 0) {
		status = batch_open(&batch, bytes.data, bytes.length);
		if (status == 0)
			passed = add_lines(open, view, &batch, trace_id, skip, most);
	}
	batch_done(&batch);
	bytes_done(&bytes);
	open->left_out += left_out;
	if (status == -ENOMEM || passed < 0)
		return -ENOMEM;
	/* One that takes a new uuid just now is none that can't be read. */
	open->unreadable += status < 0 && status != -EBUSY && status != -ESTALE;
	return passed;
}

bool open_spans_full(const struct open_spans *open, size_t most)
{
	return open->text.length >= most;
}

/* ---- By an id ---------------------------------------------------------------- */

/* The id's digits in lower case, without dashes; their number, 0 when it is no id. */
static size_t digits_of(const char *id, char ret_digits[ID_DIGITS])
{
	size_t count = 0;

	for (; *id != '\0'; id++) {
		char digit = *id >= 'A' && *id <= 'F' ? (char)(*id - 'A' + 'a') : *id;

		if (digit == '-')
			continue;
		if (count == ID_DIGITS ||
			((digit < '0' || digit > '9') && (digit < 'a' || digit > 'f')))
			return 0;
		ret_digits[count++] = digit;
	}
	return count >= ID_DIGITS_LEAST ? count : 0;
}

static bool matches(const uint8_t trace_id[16], const char *digits, size_t count)
{
	char all[ID_DIGITS + 1];

	hex_format(trace_id, 16, all);
	return memcmp(all, digits, count) == 0 ||
	       memcmp(all + ID_DIGITS - count, digits, count) == 0;
}

int open_spans_find(
	const struct region_view *views, size_t count, const char *id, uint8_t ret_trace_id[16])
{
	struct open_spans open = {0};
	char digits[ID_DIGITS];
	size_t digit_count = digits_of(id, digits);
	int status = -ENOENT;

	for (size_t i = 0; digit_count > 0 && i < count; i++)
		if (open_spans_read(&open, &views[i], NULL, 0, FIND_BYTES) < 0)
			status = -ENOMEM;
	for (size_t i = 0; status != -ENOMEM && i < open.count; i++) {
		if (!matches(open.lines[i].trace_id, digits, digit_count))
			continue;
		if (status == 0 && memcmp(ret_trace_id, open.lines[i].trace_id, 16) != 0) {
			status = ERR_AMBIGUOUS;
			break;
		}
		memcpy(ret_trace_id, open.lines[i].trace_id, 16);
		status = 0;
	}
	open_spans_done(&open);
	return status;
}

void open_spans_done(struct open_spans *open)
{
	bytes_done(&open->text);
	free(open->lines);
	*open = (struct open_spans){0};
}
