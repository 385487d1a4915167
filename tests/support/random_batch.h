/*
 * Random batches for tests, fuzzers and benchmarks of the span codec, and
 * everything that a reader can do with a batch. One thread at a time.
 */
#ifndef WAFT_TESTS_RANDOM_BATCH_H
#define WAFT_TESTS_RANDOM_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "batch_write.h"

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
/* 0 … below - 1. */
uint32_t random_below(struct random *random, uint32_t below);
/* The environment's WAFT_TEST_SEED, else from the clock; printed, so that a
 * failure can be run again. */
uint64_t random_seed(void);

enum {
	MODEL_SHAPES = 8,
	MODEL_KEYS = 8,
	MODEL_SECTIONS = 3,
	MODEL_SPANS = 16, /* per section */
	MODEL_LISTS = 3,
	MODEL_TEXT_BYTES = 1 << 16,
};

struct model_span {
	struct span_write write;
	struct trace_write trace;
	struct value values[MODEL_KEYS];
	struct attribute_write attributes[MODEL_LISTS];
	struct value elements[MODEL_LISTS];
	struct event_write events[MODEL_LISTS];
	struct link_write links[MODEL_LISTS];
	uint32_t section;
};

struct model_section {
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
	struct trace_write trace;
};

/* What was written: compare what is read with it. */
struct model {
	struct random random;
	struct batch_clock clock;
	struct attribute_write resource[MODEL_LISTS];
	struct key_write keys[MODEL_SHAPES][MODEL_KEYS];
	struct shape_write shapes[MODEL_SHAPES];
	struct model_section sections[MODEL_SECTIONS];
	struct model_span spans[MODEL_SECTIONS * MODEL_SPANS];
	uint32_t shape_count, section_count, span_count;
	uint32_t serial;
	bool texts; /* Producer.texts */
	size_t text_used;
	char text[MODEL_TEXT_BYTES];
};

/* Makes a model of this seed and writes it. The length, or ERR_NO_ROOM. */
long model_write(struct model *model, uint64_t seed, void *buffer, size_t size_bytes);

/* Reads these bytes in every way there is. Returns the number of spans, or the
 * error for which the batch is refused. Ends the process when two ways differ
 * or memory is over its bound. */
long batch_consume(const uint8_t *bytes, size_t length);

#endif
