/*
 * How much the daemon may take at present: from how full memory, log and disk
 * are, how many bytes a sender may have on its way, whether reading stops, and
 * which traces are written before their time. Pure: numbers in, numbers out.
 */
#ifndef WAFT_COLLECTOR_PRESSURE_H
#define WAFT_COLLECTOR_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pressure_limits {
	uint64_t memory_bytes;	/* for spans that wait, in every form */
	uint64_t index_bytes;	/* the index may have besides; beyond it spans have less */
	uint64_t seal_bytes;	/* for a file that is sealed; 0: none is */
	uint64_t pending_bytes; /* of messages that wait for their commit */
	uint64_t spare_bytes;	/* of runs that are kept for further ones, in all shards */
	uint64_t buffer_bytes;	/* of lines until their commit, in all shards: by it goes what
				 * lies in memory of them, at a pen, too */
	uint64_t log_bytes;
	uint64_t segment_bytes;
};

struct pressure_input {
	uint64_t held_spans; /* in the assembler, runs on their way included */
	uint64_t held_traces;
	uint64_t flying_spans;	/* of these, in runs that the store has */
	uint64_t pending_bytes; /* of messages that wait for their commit */
	uint64_t log_bytes;
	uint64_t index_bytes; /* of the index in memory, which grows with the store */
	uint64_t sessions;    /* senders that are connected */
	uint64_t spans_per_s; /* that the store writes; 0: not known */
	uint64_t drain_ms;    /* in which all that is held must be written */
	int commit_error;     /* 0: commits succeed */
};

struct pressure {
	size_t window_bytes;  /* a sender's; 0: nobody shall send */
	bool pause;	      /* stop reading from senders */
	uint64_t write_spans; /* hand over large and old traces until so many spans fly more */
	bool free_log;	      /* hand over what the oldest segment holds */
	const char *reason;   /* constant text; NULL: all is well */
};

/* The limits that follow from the daemon's memory and log limits. seals: whether files are
 * sealed. */
void pressure_limits_of(uint64_t memory_limit, bool seals, uint64_t log_limit,
	uint64_t segment_bytes, struct pressure_limits *ret);

void pressure_of(const struct pressure_limits *limits, const struct pressure_input *input,
	struct pressure *ret);

/* Bytes that waiting spans take, as pressure_of counts them. */
uint64_t pressure_span_bytes(const struct pressure_input *input);

#endif
