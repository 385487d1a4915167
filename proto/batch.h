/*
 * Reads a Batch (docs/PROTOCOL.md, "Batches") with a bounded cursor: the span
 * path of collector, recovery and file readers. Bytes in, records out.
 *
 *     struct batch batch = {0};
 *     struct batch_iter iter;
 *     struct span_view span;
 *
 *     ret = batch_open(&batch, bytes, length);         // INVALID_ARGUMENT if < 0
 *     batch_iter_init(&iter);
 *     while ((ret = batch_next(&batch, &iter, &span)) > 0)
 *             remember(&span, &span.place);            // 12 bytes; more later by
 *     ...                                              // batch_span_at
 *     batch_done(&batch);
 *
 * Memory: struct batch keeps tables of the shapes, reused from batch to batch,
 * bounded by 4 bytes per byte of batch plus 128 KiB for the shape ids. Nothing
 * is allocated per span; nothing recurses. Views point into the batch's bytes,
 * which the caller keeps as long as it uses them.
 *
 * A batch is refused as a whole or not at all: batch_check, or going through
 * batch_next until it returns 0, walks every nested message; if that succeeds,
 * nothing later can fail. What is wrong inside a batch that decodes is
 * repaired: ids, times, kind and status already in the view; texts and
 * snapshots when they are written, as span_validate tells. All repairs are a
 * function of the batch's bytes alone, so that reading it again gives the same.
 *
 * A batch and its iterators are used by one thread at a time.
 */
#ifndef WAFT_PROTO_BATCH_H
#define WAFT_PROTO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cursor.h"
#include "errors.h"
#include "ids.h"
#include "slice.h"
#include "wire.h"

/* What was repaired in a span; the names in `waft.repaired` are repair_name's. */
enum repair {
	REPAIR_UTF8 = 1 << 0,	    /* "utf8": some text; write all its texts repaired */
	REPAIR_TRACE_ID = 1 << 1,   /* "trace_id": was zero or missing */
	REPAIR_SPAN_ID = 1 << 2,    /* "span_id": was zero */
	REPAIR_PARENT_ID = 1 << 3,  /* "parent_span_id": the distance led to zero: a root */
	REPAIR_TIMESTAMP = 1 << 4,  /* "timestamp": beyond what a clock can say */
	REPAIR_DURATION = 1 << 5,   /* "duration": began before 1970 or after its end: 0 */
	REPAIR_INPUT = 1 << 6,	    /* "input": not JSON: write "[invalid JSON, N bytes]" */
	REPAIR_OUTPUT = 1 << 7,	    /* "output": same */
	REPAIR_ATTRIBUTES = 1 << 8, /* "attributes": a key twice (the last stays), too many,
				       without key or value, of mixed kinds */
	REPAIR_EVENTS = 1 << 9,	    /* "events": the same of an event's attributes */
	REPAIR_LINKS = 1 << 10,	    /* "links": the same, or left out for an id of zero */
	REPAIR_STATUS = 1 << 11,    /* "status": unknown: success, or error with an error text */
	REPAIR_KIND = 1 << 12,	    /* "kind": unknown: internal */
	REPAIR_SIZE = 1 << 13,	    /* "size": over 64 KiB: only name, ids, times and status left */
};
enum { REPAIR_BITS = 14 };

/* The name of one bit. */
const char *repair_name(enum repair bit);

/* A text inside the batch, by offset, so that tables outlive a move of it. */
struct batch_text {
	uint32_t offset;
	uint32_t length;
};

struct batch_key {
	struct batch_text name;
	uint8_t type;  /* enum wire_key_type */
	uint8_t typed; /* private: the shape's n-th key when they are ordered by type */
	/* Private: of its values, if it is one of the shape's plain_keys. */
	uint8_t tag;
	uint8_t width; /* bytes with the tag; 0: a text */
};

/* What the spans of one call site share. A reader can keep its own things for
 * a shape in an array indexed by batch_shape_index. */
struct batch_shape {
	struct batch_text name;
	struct batch_text layer;
	struct batch_text file;
	struct batch_text function;
	struct batch_text scope;
	struct batch_text scope_version;
	uint32_t line;
	uint32_t keys; /* index of the first in batch.keys */
	uint16_t id;
	uint8_t key_count;
	uint8_t first_of_type[WIRE_KEY_TYPES + 1]; /* private */
	uint8_t plain_keys;			   /* private: the first so many have a type */
	bool bad_utf8 : 1;			   /* some of its texts must be written repaired */
	bool odd_keys : 1;			   /* private: some come twice or have no name */
};

struct batch_producer {
	struct slice service;
	struct slice host;
	uint64_t pid;
	struct slice bytes; /* the message, for batch_resource */
	bool bad_utf8;	    /* some of its texts must be written repaired */
	bool texts;	    /* snapshots that are no JSON are texts */
};

struct batch_clock {
	uint8_t source; /* enum wire_clock_source */
	bool stepped;
	uint64_t open_raw;
	uint64_t open_realtime_ns;
	uint64_t close_raw;
	uint64_t close_realtime_ns;
	double ns_per_tick;
};

struct batch {
	const uint8_t *bytes; /* borrowed */
	size_t length;
	struct batch_producer producer;
	struct batch_clock clock;
	struct batch_shape *shapes; /* owned; shape_count of them, in order of the wire */
	struct batch_key *keys;	    /* owned */
	uint32_t shape_count;
	uint32_t key_count;
	/* Private. */
	uint16_t *shape_by_id; /* owned: index + 1 */
	uint32_t shape_capacity;
	uint32_t key_capacity;
	uint32_t id_capacity;
	uint64_t salt; /* of ids made for repairs; 0: not computed yet */
};

/* Reads producer, clock and shapes and finds the sections. bytes are borrowed
 * as long as the batch is used. The batch is zero-initialised or was opened
 * before (its memory is reused). 0; ERR_TRUNCATED, ERR_MALFORMED, ERR_LIMIT,
 * ERR_SHAPE, ERR_CLOCK: refuse it; -ENOMEM. After a failure it can be opened
 * again or freed, nothing else. */
int batch_open(struct batch *batch, const void *bytes, size_t length_bytes) MUST_CHECK;

/* The same bytes now lie elsewhere: views made before are void. */
void batch_rebase(struct batch *batch, const void *bytes);

/* Frees the tables; takes NULL and a zero-initialised one. */
void batch_done(struct batch *batch);

/* Bytes of memory that it owns. */
size_t batch_memory(const struct batch *batch);

static inline struct slice batch_slice(const struct batch *batch, struct batch_text text)
{
	return (struct slice){.data = batch->bytes + text.offset, .length = text.length};
}

static inline uint32_t batch_shape_index(const struct batch *batch, const struct batch_shape *shape)
{
	return (uint32_t)(shape - batch->shapes);
}

/* Nanoseconds since 1970 of a raw clock value, clamped to 0 … INT64_MAX. */
uint64_t batch_time_ns(const struct batch *batch, uint64_t raw);

/* ---- Spans -------------------------------------------------------------- */

/* Where a span stands in its batch: 12 bytes to find it again. Offsets are from
 * the batch's first byte. */
struct span_place {
	uint32_t section; /* of the Section message */
	uint32_t span;	  /* of the Span field's tag */
	uint32_t trace;	  /* of the Trace field's tag that counts for it; 0: there is none */
};

/* The trace that spans belong to. */
struct batch_trace {
	struct trace_id id;
	struct slice state; /* W3C tracestate, absent when empty */
	struct slice bytes; /* the message, for its attributes; absent: none */
	uint32_t attribute_count;
	uint32_t repairs; /* REPAIR_TRACE_ID */
};

struct span_view {
	uint64_t span_id;
	uint64_t parent_id; /* 0: a root */
	uint64_t start_ns;  /* since 1970 */
	uint64_t duration_ns;
	const struct batch_shape *shape;
	const struct batch_trace *trace; /* in the iterator, until its next use */
	uint64_t thread;		 /* kernel thread id, 0: not known */
	uint8_t status;			 /* enum wire_status */
	uint8_t kind;			 /* enum wire_kind */
	uint32_t repairs;		 /* enum repair */
	uint32_t wire_bytes;		 /* of the Span message */
	bool input_is_text;		 /* set by span_validate: write it as a JSON string */
	bool output_is_text;
	struct slice input; /* JSON text as sent, absent when there is none */
	struct slice output;
	struct slice error; /* text, absent when there is none */
	uint32_t dropped_attributes;
	uint32_t dropped_events;
	uint32_t dropped_links;
	uint32_t attribute_count; /* of the Detail alone */
	uint32_t event_count;
	uint32_t link_count;
	struct slice detail; /* the Detail message, absent when there is none */
	struct span_place place;
	/* Private: which keys of the shape have a value, and where. */
	uint64_t present;
	uint32_t values[WIRE_SHAPE_KEYS_LIMIT];
};

/* Where batch_next stands. Private but for reading. */
struct batch_iter {
	uint32_t next_field; /* offset behind the current section */
	uint32_t next_span;  /* offset inside it */
	uint32_t section;    /* offset of the current section's message */
	uint32_t section_end;
	uint32_t trace_at; /* span_place.trace */
	bool in_section;
	uint64_t id_base;
	uint64_t clock_base;
	uint64_t thread;
	struct batch_trace trace;
};

void batch_iter_init(struct batch_iter *iter);

/* The next span into *ret_view: 1, 0 after the last, or a negative ERR_ code:
 * refuse the whole batch. Checks all that is nested in the span. */
int batch_next(struct batch *batch, struct batch_iter *iter, struct span_view *ret_view) MUST_CHECK;

/* The span at a place that batch_next gave for these bytes. iter keeps what is
 * common to a section from call to call; init it before the first and use it
 * for nothing else. 0, or an ERR_ code when the place is not one of this batch. */
int batch_span_at(struct batch *batch, struct batch_iter *iter, struct span_place place,
	struct span_view *ret_view) MUST_CHECK;

/* Goes through the whole batch (opened). 0 with the number of spans, or the
 * ERR_ code for which it is to be refused. */
int batch_check(struct batch *batch, uint64_t *ret_spans) MUST_CHECK;

/* Looks into texts, snapshots and attribute lists and adds to view->repairs
 * what must be repaired in writing: REPAIR_UTF8, _INPUT, _OUTPUT, _ATTRIBUTES,
 * _EVENTS, _LINKS. A producer that sends texts has no snapshots to be repaired:
 * view->input_is_text tells those that are no JSON, which may be no UTF-8 either.
 * Call it before a span is written anywhere. */
void span_validate(struct batch *batch, struct span_view *view);

/* ---- Attributes, events, links ------------------------------------------ */

enum value_type {
	VALUE_NONE = 0,
	VALUE_TEXT,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_DOUBLE,
	VALUE_LIST, /* walk it with value_list_next */
};

struct value {
	enum value_type type;
	union {
		struct slice text;
		bool boolean;
		int64_t integer;
		double number;
		struct slice list;
	};
};

struct attribute {
	struct slice key;
	struct value value;
};

/* Walks attributes without those that a later one of the same key replaces.
 * Members are private. */
struct attribute_iter {
	const struct batch *batch;
	const struct span_view *view; /* NULL: a list only */
	struct cursor trace;
	struct cursor list;
	uint32_t list_tag;
	uint32_t index;	  /* of all seen */
	uint32_t key;	  /* next key of the shape */
	uint32_t repairs; /* REPAIR_ATTRIBUTES */
	bool filtered;
	uint64_t shadowed[WIRE_ATTRIBUTES_LIMIT / 64];
};

/* Of a span: those of its trace, of its shape, of its Detail, in this order; at
 * most WIRE_ATTRIBUTES_LIMIT. code.*, thread.id and waft.* are not among them:
 * they are of shape, view.thread, clock and repairs. */
void span_attributes(
	const struct batch *batch, const struct span_view *view, struct attribute_iter *ret_iter);
/* The producer's resource. */
void batch_resource(const struct batch *batch, struct attribute_iter *ret_iter);

/* False after the last. */
bool attribute_next(struct attribute_iter *iter, struct attribute *ret);

/* The elements of a list, all of the first one's kind; begin with
 * cursor_of_slice(value.list) and *kind VALUE_NONE. */
bool value_list_next(struct cursor *list, enum value_type *kind, struct value *ret);

struct span_event {
	struct slice name;
	uint64_t time_ns;
	struct slice bytes; /* for event_attributes */
};

struct span_link {
	struct trace_id trace_id;
	uint64_t span_id;
	struct slice state; /* absent when empty */
	struct slice bytes; /* for link_attributes */
};

/* Walk events and links: begin with cursor_of_slice(view->detail). False after
 * the last. Links with a zero id are passed over. */
bool span_event_next(const struct batch *batch, struct cursor *detail, struct span_event *ret);
bool span_link_next(struct cursor *detail, struct span_link *ret);
void event_attributes(const struct span_event *event, struct attribute_iter *ret_iter);
void link_attributes(const struct span_link *link, struct attribute_iter *ret_iter);

#endif
