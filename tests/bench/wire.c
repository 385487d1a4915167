/*
 * waft-bench wire: nanoseconds a span for decoding in its several depths and for its
 * line of JSON, and gigabytes a second of checksums and checks of text. One thread;
 * the best of each burst, so that a busy machine disturbs little.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/line.h"
#include "measure.h"
#include "profile.h"
#include "proto/batch.h"
#include "proto/crc32c.h"
#include "proto/json_check.h"
#include "proto/utf8.h"

enum { BURSTS = 15, TEXTS = 512 };
enum depth { OPEN, CHECK, AGAIN, VALIDATE, ATTRIBUTES, LINES, DEPTHS };

static struct profile_batch made;
static struct profile_snapshot snapshots[TEXTS];
static volatile uint64_t wire_sink;

static void read_attributes(struct batch *batch, struct span_view *view)
{
	struct attribute_iter attributes;
	struct attribute attribute;

	span_attributes(batch, view, &attributes);
	while (attribute_next(&attributes, &attribute))
		wire_sink += attribute.key.length;
}

static void read_spans(
	struct batch *batch, enum depth depth, struct line_writer *lines, struct bytes *out)
{
	struct batch_iter iter, again;
	struct span_view view;

	batch_iter_init(&iter);
	batch_iter_init(&again);
	while (batch_next(batch, &iter, &view) > 0) {
		wire_sink += view.span_id;
		if (depth == AGAIN)
			bench_check(batch_span_at(batch, &again, view.place, &view), "a place");
		if (depth == VALIDATE || depth == ATTRIBUTES)
			span_validate(batch, &view);
		if (depth == ATTRIBUTES)
			read_attributes(batch, &view);
		if (depth == LINES)
			bench_check(line_span(lines, batch, &view, out), "a line");
	}
}

static double read_ns(
	struct batch *batch, enum depth depth, struct line_writer *lines, struct bytes *out)
{
	struct log_peer peer = {.known = true, .pid = 4711, .uid = 1000};
	double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

	out->length = 0;
	bench_check(batch_open(batch, made.bytes, made.length), "opening a batch");
	if (depth == LINES)
		bench_check(line_batch_begin(lines, batch, &peer), "a batch's lines");
	if (depth != OPEN)
		read_spans(batch, depth, lines, out);
	return clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static void time_depths(struct samples rounds[DEPTHS], double *ret_line_bytes)
{
	struct line_writer lines = {0};
	struct batch batch = {0};
	struct bytes out = {0};

	for (unsigned int round = 0; round < bench_options.rounds; round++) {
		double best[DEPTHS];

		for (int depth = 0; depth < DEPTHS; depth++)
			best[depth] = 1e18;
		for (int burst = 0; burst < BURSTS; burst++) {
			for (int depth = 0; depth < DEPTHS; depth++) {
				double time = read_ns(&batch, (enum depth)depth, &lines, &out);

				best[depth] = time < best[depth] ? time : best[depth];
			}
		}
		for (int depth = 0; depth < DEPTHS; depth++)
			samples_add(&rounds[depth],
				(best[depth] - (depth == OPEN ? 0 : best[OPEN])) / made.spans);
	}
	*ret_line_bytes = (double)out.length / made.spans;
	line_writer_done(&lines);
	bytes_done(&out);
	batch_done(&batch);
}

static void rows_spans(const char *profile, bool snapshots_too)
{
	static const char *const names[DEPTHS] = {"open a batch, its share of a span", "decode",
		"decode, and again by place", "decode and validate",
		"decode, validate, walk attributes", "decode and line of JSON"};
	struct profile_batch_plan plan = {.traces = UINT32_MAX,
		.snapshots = snapshots_too,
		.start_ns = UINT64_C(1767953400000000000),
		.trace_gap_ns = 10000};
	struct samples rounds[DEPTHS] = {0};
	double line_bytes;
	char note[96];
	struct row row = {.group = "wire", .profile = profile, .unit = "ns", .note = note};

	profile_batch_make(&plan, &made);
	time_depths(rounds, &line_bytes);
	snprintf(note, sizeof(note), "%u spans of %.1f B, lines of %.0f B", made.spans,
		(double)made.length / made.spans, line_bytes);
	for (int depth = 0; depth < DEPTHS; depth++) {
		row.what = names[depth];
		row_print(&row, &rounds[depth]);
		samples_done(&rounds[depth]);
	}
}

/* ---- Bytes ---------------------------------------------------------------- */

typedef uint64_t (*bytes_fn)(const void *data, size_t length);

static uint64_t run_crc(const void *data, size_t length)
{
	return crc32c(0, data, length);
}

static uint64_t run_utf8(const void *data, size_t length)
{
	return utf8_valid(data, length);
}

static uint64_t run_json(const void *data, size_t length)
{
	return (uint64_t)json_check(data, length, NULL);
}

static void row_texts(const char *what, bytes_fn run)
{
	struct samples rounds = {0};
	struct row row = {.group = "wire",
		.profile = "PS",
		.what = what,
		.unit = "GB/s",
		.more_is_better = true};

	for (unsigned int round = 0; round < bench_options.rounds; round++) {
		double best = 0;

		for (int burst = 0; burst < BURSTS; burst++) {
			double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID), speed;
			size_t length = 0;

			for (int i = 0; i < TEXTS; i++) {
				wire_sink += run(snapshots[i].input, snapshots[i].input_length);
				wire_sink += run(snapshots[i].output, snapshots[i].output_length);
				length += snapshots[i].input_length + snapshots[i].output_length;
			}
			speed = (double)length / (clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin);
			best = speed > best ? speed : best;
		}
		samples_add(&rounds, best);
	}
	row_print(&row, &rounds);
	samples_done(&rounds);
}

int bench_wire(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (uint64_t i = 0; i < TEXTS; i++)
		profile_snapshot_make(i, &snapshots[i]);
	rows_spans("P", false);
	rows_spans("PS", true);
	row_texts("checksum of snapshots", run_crc);
	row_texts("UTF-8 check of snapshots", run_utf8);
	row_texts("JSON check of snapshots", run_json);
	return EXIT_SUCCESS;
}

int bench_snapshots(int argc, char **argv)
{
	struct profile_snapshot snapshot;
	uint64_t count = bench_options.spans > 0 ? bench_options.spans : 100000;

	(void)argc;
	(void)argv;
	for (uint64_t i = 0; i < count; i++) {
		profile_snapshot_make(i, &snapshot);
		puts(snapshot.input);
		puts(snapshot.output);
	}
	return EXIT_SUCCESS;
}
