/*
 * profile.h: what the spans of a measurement look like.
 *
 * P: two attributes (a text of 4 to 12 bytes and an integer), traces of 8 spans
 * over 3 services, 100 call sites. PS: P with snapshots of about 200 B in and out,
 * each of a decision that was really made: alternatives, criteria, weights and
 * scores drawn by a generator, ranked by their weighted sums. Everything follows
 * from numbers alone, so that runs can be compared.
 */
#ifndef WAFT_BENCH_PROFILE_H
#define WAFT_BENCH_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/batch_write.h"

enum { PROFILE_SERVICES = 3, PROFILE_TREE = 8, PROFILE_SITES = 100, PROFILE_TEXT_ROOM = 512 };

/* SplitMix64: the n-th number of a sequence. */
uint64_t profile_number(uint64_t seed, uint64_t n);

/* A decision's request and answer as JSON, of about 200 B each. */
struct profile_snapshot {
	char input[PROFILE_TEXT_ROOM];
	char output[PROFILE_TEXT_ROOM];
	uint32_t input_length;
	uint32_t output_length;
};
void profile_snapshot_make(uint64_t seed, struct profile_snapshot *ret);

/* The text attribute: 4 to 12 bytes and NUL. */
void profile_text(uint64_t n, char ret[16]);

/* Which service makes the i-th span of a trace, and whose child it is (-1: none).
 * Parents come before children. */
extern const struct profile_node {
	uint8_t service;
	int8_t parent;
} profile_tree[PROFILE_TREE];

/* ---- Batches ------------------------------------------------------------ */

struct profile_batch_plan {
	unsigned int service;
	uint64_t first_trace; /* number of the first trace */
	uint32_t traces;      /* at the most; as many as there is room for */
	bool snapshots;
	uint64_t start_ns;     /* of the first trace, since 1970 */
	uint64_t trace_gap_ns; /* between the starts of two traces */
	uint64_t rare_each;    /* one trace of so many is slow and fails; 0: none */
	uint64_t needle_each;  /* one trace of so many has the needle; 0: none */
};

struct profile_batch {
	uint8_t bytes[WIRE_BATCH_LIMIT];
	size_t length;
	uint32_t traces; /* that are in it, whole as far as this service goes */
	uint32_t spans;
};

#define PROFILE_NEEDLE "needle-in-the-hay"
/* Stands in the input of the same span. */
#define PROFILE_NEEDLE_TEXT "Find a needle"
#define PROFILE_RARE_NS UINT64_C(5000000000)

/* Ids are the same for all services of a trace. */
void profile_trace_id(uint64_t trace, struct trace_id *ret);
uint64_t profile_span_id(uint64_t trace, unsigned int node);
const char *profile_service(unsigned int service);

void profile_batch_make(const struct profile_batch_plan *plan, struct profile_batch *ret);

#endif
