/*
 * A batch of spans that stand in a region's image, in the making; as libwaft's own sender
 * does it: sections of bytes that are spans already, and the shapes that these use. For
 * salvage.c; any thread, one at a time.
 */
#ifndef WAFT_COLLECTOR_SALVAGE_BUILDER_H
#define WAFT_COLLECTOR_SALVAGE_BUILDER_H

#include "salvage.h"
#include "slice.h"

enum {
	BUILDER_SECTION_BYTES = 64, /* of a section's own, without trace and spans */
};

/* Where a shape's entry stands in the image. */
struct shape_entry {
	uint32_t at;
	uint32_t length; /* 0: not defined */
	uint32_t batch;	 /* number of the last batch that it is in */
};

struct stretch {
	uint32_t unit;
	uint32_t from;
	uint32_t to;
};

struct builder {
	const struct region_image *image;
	const struct salvage_source *source;
	struct salvage *out;
	struct shape_entry *shapes; /* by id */
	uint32_t batch;		    /* number of the one being built */
	struct bytes shape_bytes;
	struct bytes sections;
	size_t section; /* where the open section's length stands; 0: none is open */
	uint64_t spans;
	uint32_t clock;
	struct stretch stretches[REGION_UNITS];
	size_t stretch_count;
	uint32_t reached[REGION_UNITS]; /* of a chunk: durable up to here */
	uint64_t sequence;		/* of the last message */
	uint64_t last[REGION_UNITS];	/* of each chunk the last span's id before mixing */
	size_t last_count;
	uint64_t thread; /* of the open section, where slots are read */
	bool single;	 /* a batch for each chunk */
	bool refused;	 /* a batch did not decode */
};

/* Finds as many of the image's shapes as make sense. */
void builder_find_shapes(struct builder *builder);

/* Makes the shape one of the batch's. 0; ERR_SHAPE: there is no such; -ENOMEM. */
MUST_CHECK int builder_use_shape(struct builder *builder, uint32_t id);

/* What dates raw values of a source; false: nothing does. One that was being written
 * when its process died is marked as stepped. */
bool builder_clock(const struct builder *builder, uint32_t source, struct region_clock *ret_clock);

/* The raw value in ns since 1970, rounded half away from zero, as the decoder does it. */
uint64_t builder_realtime(const struct region_clock *clock, uint64_t raw);

/* Forgets the batch and begins the next. */
void builder_begin(struct builder *builder);

/* At most so long is the batch that was built so far. */
size_t builder_bytes(const struct builder *builder);

/* Ends the open section, if one is, and begins another. trace: the bytes of its id; data NULL:
 * the spans tell it. 0, -ENOMEM. */
MUST_CHECK int builder_begin_section(struct builder *builder, uint64_t id_base, uint64_t clock_base,
	uint64_t thread, struct slice trace);
void builder_end_section(struct builder *builder);

/* Appends the Batch that was built; clock NULL: its spans need none. 0, an ERR_ code when it
 * does not decode, -ENOMEM. */
MUST_CHECK int builder_finish(
	struct builder *builder, const struct region_clock *clock, struct bytes *ret_bytes);

#endif
