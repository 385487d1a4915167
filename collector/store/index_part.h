/*
 * index_part.h: the index of one part, as the writer keeps it. Private to index.c.
 *
 * Runs go to `<part>.runs` by way of a buffer. The trace ids of the first runs are in
 * `<part>.ids`, those of the rest (the tail) in memory, until index_part_compact
 * puts them into a new .ids file. When writing fails the part is `stalled`: from then
 * on only the tail grows, readers read the lines, and the next index_open
 * makes the files anew.
 *
 * A sealed part has a pack instead: index_part_add collects its runs, with their lines, in a
 * builder, and index_part_compact writes it; afterwards nothing can be added.
 */
#ifndef WAFT_STORE_INDEX_PART_H
#define WAFT_STORE_INDEX_PART_H

#include "bytes.h"
#include "id_map.h"
#include "ids_file.h"
#include "index.h"
#include "index_format.h"
#include "pack.h"

/* What all parts of an index have in common. Borrowed. */
struct index_place {
	struct disk *disk;
	int parts_dir;
	int index_dir;
	uint8_t store_id[16];
};

struct index_state {
	const struct index_place *place;
	struct part_name name;
	uint32_t seed;
	uint32_t ids_seed;
	int file;		 /* .runs; -1: closed */
	uint64_t runs;		 /* in the file and the buffer */
	uint64_t covered;	 /* bytes of the part up to the end of the last run */
	struct index_zone block; /* of the block under way */
	struct index_zone all;	 /* of all runs */
	struct bytes buffer;	 /* slots not written yet */
	uint64_t buffer_slot;	 /* number of its first slot */
	bool stalled;
	bool closed;	       /* it takes no more appends */
	int pack_error;	       /* what kept a sealed part from being packed; 0 */
	struct index_ids ids;  /* runs 0: there is no .ids file */
	uint8_t *bloom;	       /* owned; of ids */
	struct index_id *tail; /* owned; runs from ids.runs on */
	size_t tail_count;
	size_t tail_capacity;
	struct id_map tail_map;	 /* the first run in the tail of each of its traces */
	struct bytes continuing; /* trace ids of those in the tail that continue one */
	/* Of a sealed part, instead of files and tail; ids and bloom are the pack's then: */
	struct pack_builder *builder; /* while it is made */
	struct slice lines;	      /* borrowed; of the run that index_part_add is to add */
	bool forgets_ids;	      /* while it is made, nothing is searched for in it */
	size_t pack_memory_bytes;     /* as in struct pack_config, */
	void (*pack_hurry)(void *context, bool on);
	void *pack_context;
	uint64_t used; /* when the file was used last, for closing some */
	/* A catalog's table has its ids (index_catalog.h), and a filter of them: bloom is NULL. */
	bool catalogued;
	bool uncoverable; /* it was tried */
};

/* Begins empty, nothing read or written. */
void index_part_init(
	struct index_state *part, const struct index_place *place, const struct part_name *name);
/* Closes and frees; flush before. */
void index_part_done(struct index_state *part);

/* Takes in what is there and holds, up to length_bytes; what is behind part->covered
 * is then to be added. 0 or -ENOMEM. */
int index_part_load(struct index_state *part, uint64_t length_bytes) MUST_CHECK;

/* Forgets and deletes all. */
void index_part_discard(struct index_state *part);

/* Adds a run, which begins at part->covered. 0 or -ENOMEM. */
int index_part_add(struct index_state *part, const struct index_run *run) MUST_CHECK;

/* Writes the buffer. */
void index_part_flush(struct index_state *part);

/* Whether it has a run of the trace: 1, 0, or ERR_INDEX, -EIO. hash is the id's. */
int index_part_find(struct index_state *part, const uint8_t trace_id[16], uint64_t hash) MUST_CHECK;

/* index_part_find of an id of that hash is to come: fetches from memory what it looks at. */
void index_part_expect(const struct index_state *part, uint64_t hash);

/* Whether it takes no more runs, and its files have the ids of all that it has. */
bool index_part_is_whole(const struct index_state *part);

/* Calls on_id for the trace of each run of a whole part. A result other than 0 ends it and is
 * returned. ERR_INDEX, -EIO, -ENOMEM. */
int index_part_for_each_id(struct index_state *part,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx) MUST_CHECK;

/* Says that a table has its ids: the filter is given back. */
void index_part_cover(struct index_state *part);

/* Writes all ids to a new .ids file and empties the tail. 0 or a negative error: then
 * all is as it was. */
int index_part_compact(struct index_state *part) MUST_CHECK;

/* Closes the file; it is opened again when needed. */
void index_part_rest(struct index_state *part);

size_t index_part_memory(const struct index_state *part);

#endif
