/*
 * Speed of the wire format: nanoseconds per span for decoding in its several
 * depths, and bytes per nanosecond for checksums and text checks. Prints the
 * best of several rounds, single-threaded. Not a test: it asserts nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "batch_write.h"
#include "crc32c.h"
#include "json_check.h"
#include "utf8.h"

enum { ROUNDS = 15, REPEATS = 20, SHAPES = 100 };

static uint8_t bytes[WIRE_BATCH_LIMIT];
static volatile uint64_t sink;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Profile P: two attributes, a text of 4 to 12 bytes and an integer; trees of 8
 * spans; 100 call sites. With snapshots of 200 bytes in and out: PS. */
static long make_batch(struct slice input, struct slice output, uint32_t *ret_spans)
{
	static const struct key_write keys[2] = {
		{{(const uint8_t *)"customer", 8}, WIRE_KEY_STRING},
		{{(const uint8_t *)"items", 5}, WIRE_KEY_INT32}};
	static struct shape_write shapes[SHAPES];
	static char names[SHAPES][32];
	struct batch_writer writer;
	struct trace_write trace = {.id.bytes = {1}};
	uint32_t spans = 0;
	struct span_write span = {.input = input, .output = output, .duration_raw = 12345};

	batch_writer_init(&writer, bytes, sizeof(bytes) - 16);
	batch_writer_producer(&writer, slice_of_text("shop"), 1, slice_of_text("host"), NULL, 0);
	batch_writer_clock(&writer, &(struct batch_clock){.source = WIRE_CLOCK_TSC,
					    .close_raw = 1u << 30,
					    .close_realtime_ns = UINT64_C(1767953400000000000),
					    .ns_per_tick = 0.3571});
	for (uint32_t i = 0; i < SHAPES; i++) {
		snprintf(names[i], sizeof(names[i]), "shop.operation_%u", i);
		shapes[i] = (struct shape_write){.id = i + 1,
			.name = slice_of_text(names[i]),
			.layer = slice_of_text("core"),
			.keys = keys,
			.key_count = 2};
		batch_writer_shape(&writer, &shapes[i]);
	}
	batch_writer_section_begin(&writer, 0x1234567890abcdef, 1u << 29, 4711, &trace);
	for (;; spans++) {
		char text[16];
		int length =
			snprintf(text, sizeof(text), "c%0*u", 3 + (int)(spans % 8), spans % 1000);
		struct value values[2] = {
			{.type = VALUE_TEXT, .text = slice_of(text, (size_t)length)},
			{.type = VALUE_INT, .integer = (int64_t)spans}};

		trace.id.bytes[5] = (uint8_t)(spans >> 3);
		span.shape = &shapes[spans % SHAPES];
		span.sequence = spans + 1;
		span.distance = (uint16_t)(spans % 8);
		span.end_raw = (1u << 29) + spans * 100;
		span.trace = spans % 8 == 0 ? &trace : NULL;
		span.values = values;
		if (!batch_writer_span(&writer, &span))
			break;
	}
	batch_writer_section_end(&writer);
	*ret_spans = spans;
	return batch_writer_finish(&writer);
}

enum depth { OPEN, CHECK, DECODE_AGAIN, VALIDATE, ATTRIBUTES, DEPTHS };

static void read_batch(struct batch *batch, size_t length, enum depth depth)
{
	struct batch_iter iter;
	struct span_view view;
	struct attribute_iter attributes;
	struct attribute attribute;

	if (batch_open(batch, bytes, length) != 0)
		abort();
	if (depth == OPEN)
		return;
	batch_iter_init(&iter);
	while (batch_next(batch, &iter, &view) > 0) {
		sink += view.span_id;
		if (depth == DECODE_AGAIN && batch_span_at(batch, &iter, view.place, &view) != 0)
			abort();
		if (depth >= VALIDATE)
			span_validate(batch, &view);
		if (depth == ATTRIBUTES) {
			span_attributes(batch, &view, &attributes);
			while (attribute_next(&attributes, &attribute))
				sink += attribute.key.length;
		}
	}
}

/* The best of each, taken in turns, so that a busy machine disturbs all alike. */
static void time_batch(size_t length, double best[DEPTHS])
{
	struct batch batch = {0};

	for (int depth = 0; depth < DEPTHS; depth++)
		best[depth] = 1e18;
	for (int round = 0; round < ROUNDS * REPEATS; round++) {
		for (int depth = 0; depth < DEPTHS; depth++) {
			double begin = now_ns();

			read_batch(&batch, length, (enum depth)depth);
			begin = now_ns() - begin;
			best[depth] = begin < best[depth] ? begin : best[depth];
		}
	}
	batch_done(&batch);
}

static void bench_batch(const char *profile, struct slice input, struct slice output)
{
	uint32_t spans;
	long length = make_batch(input, output, &spans);
	double best[DEPTHS];

	if (length < 0)
		abort();
	time_batch((size_t)length, best);
	printf("%-3s %u spans, %.1f B each; open %.0f ns a batch; per span: decode %.1f ns, "
	       "decode by place %.1f, validate %.1f, walk attributes %.1f\n",
		profile, spans, (double)length / spans, best[OPEN],
		(best[CHECK] - best[OPEN]) / spans, (best[DECODE_AGAIN] - best[CHECK]) / spans,
		(best[VALIDATE] - best[CHECK]) / spans,
		(best[ATTRIBUTES] - best[VALIDATE]) / spans);
}

typedef uint64_t (*bytes_fn)(const uint8_t *data, size_t length);

static uint64_t run_crc(const uint8_t *data, size_t length)
{
	return crc32c(0, data, length);
}

static uint64_t run_crc_portable(const uint8_t *data, size_t length)
{
	return crc32c_portable(0, data, length);
}

static uint64_t run_utf8(const uint8_t *data, size_t length)
{
	return utf8_valid(data, length);
}

static uint64_t run_json(const uint8_t *data, size_t length)
{
	return (uint64_t)json_check(data, length, NULL);
}

static void bench_bytes(const char *name, bytes_fn run, const void *data, size_t length)
{
	size_t repeats = 4000000 / length + 1;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double begin = now_ns();

		for (size_t i = 0; i < repeats; i++)
			sink += run(data, length);
		begin = (now_ns() - begin) / (double)repeats;
		best = begin < best ? begin : best;
	}
	printf("%-22s %7zu B: %9.1f ns, %6.2f GB/s\n", name, length, best, (double)length / best);
}

int main(void)
{
	static const char json[] =
		"{\"problem\":\"Choose a language\",\"alternatives\":[\"Python\",\"JavaScript\","
		"\"Go\"],\"criteria\":{\"Performance\":0.4,\"Ease of Learning\":0.3,\"Ecosystem\":"
		"0.3},\"scores\":{\"Python\":{\"Performance\":7,\"Ecosystem\":10}}}";
	struct slice snapshot = slice_of_text(json);
	struct slice none = {0};

	bench_batch("P", none, none);
	bench_batch("PS", snapshot, snapshot);
	printf("crc32c is %s\n", crc32c_implementation());
	bench_bytes("crc32c", run_crc, bytes, 64);
	bench_bytes("crc32c", run_crc, bytes, 1024);
	bench_bytes("crc32c", run_crc, bytes, 65536);
	bench_bytes("crc32c_portable", run_crc_portable, bytes, 65536);
	bench_bytes("utf8_valid", run_utf8, json, 12);
	bench_bytes("utf8_valid", run_utf8, json, sizeof(json) - 1);
	bench_bytes("json_check", run_json, json, sizeof(json) - 1);
	return 0;
}
