/*
 * part_source.h: a live_source of parts that lie there, and of nothing that waits: what the
 * daemon gives its readers, for tests. One thread.
 */
#ifndef WAFT_TESTS_PART_SOURCE_H
#define WAFT_TESTS_PART_SOURCE_H

#include "index.h"
#include "reader.h"

/* The parts are borrowed and may change between queries; those without a byte are left out. */
struct part_source {
	struct live_source live; /* for struct reader_config; a for_each_span may be set in it */
	const struct index_part *parts;
	size_t count;
	bool damaged; /* what is said of each */
};

void part_source_init(struct part_source *source, const uint8_t store_id[16],
	const struct index_part *parts, size_t count);

#endif
