/* Pressure from numbers. Pure. */
#include "pressure.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
/* A reference and a slot of a trace; what the store's thread adds per span. */
#define SPAN_BYTES 48u
#define TRACE_BYTES 120u
#define FLYING_BYTES 24u
/* SEAL_MEMORY_MIN of store/seal.h; no memory limit is less than four times that. */
#define SEAL_BYTES_MIN (4 * MIB)
#define WINDOW_MAX (1 * MIB)
#define WINDOW_MIN (16u << 10)
#define DRAIN_MS_AT_MOST UINT64_C(5000)
#define SPANS_PER_S_AT_FIRST UINT64_C(50000)
#define BACKLOG_MIN_SPANS UINT64_C(20000)

void pressure_limits_of(uint64_t memory_limit, bool seals, uint64_t log_limit,
	uint64_t segment_bytes, struct pressure_limits *ret)
{
	ret->seal_bytes = 0;
	if (seals)
		ret->seal_bytes =
			memory_limit / 6 > SEAL_BYTES_MIN ? memory_limit / 6 : SEAL_BYTES_MIN;
	/* The other half: messages that wait for their commit twice (log and intake),
	 * frames, caches, the store's buffers, queries, and the program itself. What a seal
	 * takes is kept free while there is none, too: memory that spans had stays the program's.
	 */
	ret->memory_bytes = memory_limit / 2 - ret->seal_bytes;
	ret->index_bytes = memory_limit / 16;
	ret->pending_bytes = memory_limit / 16;
	if (ret->pending_bytes > 16 * MIB)
		ret->pending_bytes = 16 * MIB;
	ret->spare_bytes = memory_limit / 64 < 2 * MIB ? memory_limit / 64 : 2 * MIB;
	ret->buffer_bytes = memory_limit / 8 < 16 * MIB ? memory_limit / 8 : 16 * MIB;
	ret->log_bytes = log_limit;
	ret->segment_bytes = segment_bytes;
}

uint64_t pressure_span_bytes(const struct pressure_input *input)
{
	return input->held_spans * SPAN_BYTES + input->held_traces * TRACE_BYTES +
	       input->flying_spans * FLYING_BYTES;
}

/* For spans that wait: filters of a large store's ids take of it what they need, but for a
 * quarter, without which nothing would be stored at all. */
static uint64_t memory_of_spans(
	const struct pressure_limits *limits, const struct pressure_input *input)
{
	uint64_t least = limits->memory_bytes / 4;
	uint64_t taken = input->index_bytes > limits->index_bytes
				 ? input->index_bytes - limits->index_bytes
				 : 0;

	return taken < limits->memory_bytes - least ? limits->memory_bytes - taken : least;
}

/* Spans that may wait: what a drain can write in two fifths of its time. Those whose
 * credit was given come on top, up to a third more; the rest is for commits, for a store
 * that is slower than it was, and for the end. */
static uint64_t backlog_limit(const struct pressure_input *input)
{
	uint64_t spans_per_s = input->spans_per_s > 0 ? input->spans_per_s : SPANS_PER_S_AT_FIRST;
	uint64_t drain_ms = input->drain_ms < DRAIN_MS_AT_MOST ? input->drain_ms : DRAIN_MS_AT_MOST;
	uint64_t spans = spans_per_s * drain_ms / 1000 * 2 / 5;

	return spans < BACKLOG_MIN_SPANS ? BACKLOG_MIN_SPANS : spans;
}

/* The reason for which nobody shall send; NULL: they may. */
static const char *stop_reason(const struct pressure_limits *limits,
	const struct pressure_input *input, uint64_t span_bytes, uint64_t memory_bytes)
{
	if (input->commit_error != 0)
		return "the log can't be written";
	if (span_bytes >= memory_bytes)
		return "memory is full of spans that wait to be written";
	if (input->log_bytes >= limits->log_bytes)
		return "the log is full of spans that wait to be written";
	if (input->held_spans >= backlog_limit(input))
		return "the files are behind";
	if (input->pending_bytes >= limits->pending_bytes / 2)
		return "the log is behind";
	return NULL;
}

/* Spans to write before their time: where memory or the backlog is three quarters full,
 * down to a half, counting what is flying already. */
static uint64_t write_early(
	const struct pressure_input *input, uint64_t span_bytes, uint64_t memory_bytes)
{
	uint64_t waiting = input->held_spans - input->flying_spans;
	uint64_t backlog = backlog_limit(input);
	uint64_t goal = UINT64_MAX;

	if (span_bytes > memory_bytes / 4 * 3)
		goal = input->held_spans * (memory_bytes / 2 / KIB) / (span_bytes / KIB + 1);
	if (input->held_spans > backlog / 4 * 3 && goal > backlog / 2)
		goal = backlog / 2;
	return waiting > goal ? waiting - goal : 0;
}

void pressure_of(const struct pressure_limits *limits, const struct pressure_input *input,
	struct pressure *ret)
{
	uint64_t span_bytes = pressure_span_bytes(input);
	uint64_t memory_bytes = memory_of_spans(limits, input);
	uint64_t sessions = input->sessions > 0 ? input->sessions : 1;
	uint64_t window = limits->pending_bytes / 2 / sessions;

	*ret = (struct pressure){.reason = stop_reason(limits, input, span_bytes, memory_bytes)};
	if (window > WINDOW_MAX)
		window = WINDOW_MAX;
	if (window < WINDOW_MIN)
		window = WINDOW_MIN;
	if (ret->reason == NULL)
		ret->window_bytes = (size_t)window;
	/* Credit that was given can't be taken back: beyond these, nothing is read. */
	ret->pause = input->pending_bytes >= limits->pending_bytes / 4 * 3 ||
		     span_bytes >= memory_bytes + memory_bytes / 4 ||
		     input->log_bytes >= limits->log_bytes + limits->segment_bytes ||
		     input->held_spans / 4 >= backlog_limit(input) / 3;
	ret->write_spans = write_early(input, span_bytes, memory_bytes);
	ret->free_log = input->log_bytes >= limits->log_bytes / 4 * 3;
}
