/*
 * Writes a Batch into a bounded buffer, for tests and measuring. Not libwaft's hot
 * path, which has its own inlined encoder, but the same layout: times, ids and values first,
 * single-byte tags, lengths of nested messages padded to 3 bytes.
 *
 * Call in this order: init, producer, clock, shapes, then per section
 * section_begin, spans, section_end; finish. Every function may be called after
 * a failure: the error is sticky and finish returns it. Nothing is allocated.
 * A writer is used by one thread at a time.
 */
#ifndef WAFT_TESTS_BATCH_WRITE_H
#define WAFT_TESTS_BATCH_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "batch.h"
#include "cursor.h"

/* An attribute to write; count > 0 with elements: a list of value.type VALUE_LIST. */
struct attribute_write {
	struct slice key;
	struct value value;	      /* for a list: type VALUE_LIST, the rest unused */
	const struct value *elements; /* of a list, none of them a list */
	size_t element_count;
};

struct key_write {
	struct slice name;
	enum wire_key_type type;
};

struct shape_write {
	uint32_t id;
	struct slice name, layer, file, function, scope, scope_version;
	uint32_t line;
	const struct key_write *keys;
	size_t key_count;
};

struct trace_write {
	struct trace_id id;
	struct slice state;
	const struct attribute_write *attributes;
	size_t attribute_count;
};

struct event_write {
	struct slice name;
	uint64_t raw;
	const struct attribute_write *attributes;
	size_t attribute_count;
};

struct link_write {
	struct trace_id trace_id;
	uint64_t span_id;
	struct slice state;
	const struct attribute_write *attributes;
	size_t attribute_count;
};

struct span_write {
	const struct shape_write *shape;
	uint32_t sequence; /* id = id_mix(id_base + sequence) */
	uint16_t distance; /* 0: parent_id, or a root */
	uint64_t parent_id;
	uint64_t span_id; /* not 0: this id, instead of the sequence's */
	uint64_t end_raw;
	uint64_t duration_raw;
	const struct trace_write *trace; /* NULL: that of the span before */
	/* One for each key of the shape, of its type (VALUE_INT for INT32 and INT64);
	 * at the end of a type's keys VALUE_NONE leaves a value out. */
	const struct value *values;
	struct slice input, output; /* JSON text or absent */
	struct slice error;
	enum wire_status status;
	uint32_t kind;
	const struct attribute_write *attributes; /* beyond the shape's */
	size_t attribute_count;
	const struct event_write *events;
	size_t event_count;
	const struct link_write *links;
	size_t link_count;
	uint32_t dropped_attributes, dropped_events, dropped_links;
};

struct batch_writer {
	struct writer writer;
	size_t section;	     /* private: of writer_nested_begin */
	uint64_t clock_base; /* of the section */
	bool texts;	     /* Producer.texts; set behind batch_writer_init */
};

/* At most min(size, WIRE_BATCH_LIMIT) bytes are written to buffer. */
void batch_writer_init(struct batch_writer *writer, void *buffer, size_t size_bytes);
void batch_writer_producer(struct batch_writer *writer, struct slice service, uint64_t pid,
	struct slice host, const struct attribute_write *resource, size_t resource_count);
void batch_writer_clock(struct batch_writer *writer, const struct batch_clock *clock);
void batch_writer_shape(struct batch_writer *writer, const struct shape_write *shape);
void batch_writer_section_begin(struct batch_writer *writer, uint64_t id_base, uint64_t clock_base,
	uint64_t thread, const struct trace_write *trace);
/* All or nothing: false when the span did not fit, and then the batch is as it
 * was before and goes on being usable. A span over 64 KiB is written as it is. */
bool batch_writer_span(struct batch_writer *writer, const struct span_write *span);
void batch_writer_section_end(struct batch_writer *writer);
/* The batch's length, or ERR_NO_ROOM. */
long batch_writer_finish(struct batch_writer *writer) MUST_CHECK;

#endif
