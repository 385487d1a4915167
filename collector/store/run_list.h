/*
 * run_list.h: the runs of one file of a store, for those who read: from its index as
 * far as there is one that holds, from the lines themselves for the rest.
 *
 * Runs come in blocks of up to 255, in order of their place; what is common to a
 * block is known without it. Used by reader.c and the queries; one thread at a time.
 * Memory: 12 bytes for indexed runs that .ids doesn't cover; 144 bytes a run for others.
 *
 * ERR_INDEX from any call means that the index is damaged: call run_list_distrust
 * and begin the query again; the runs then come from the lines.
 */
#ifndef WAFT_STORE_RUN_LIST_H
#define WAFT_STORE_RUN_LIST_H

#include "ids_file.h"
#include "index.h"
#include "index_format.h"
#include "index_run.h"
#include "pack.h"
#include "run_scan.h"
#include "scan.h"
#include "source.h"

/* Runs that are in memory. Zero-initialise. */
struct run_array {
	struct index_run *runs; /* owned */
	size_t count;
	size_t capacity;
	struct index_zone *zones; /* owned; of each block, the last one growing */
	size_t zone_capacity;
};

int run_array_add(struct run_array *array, const struct index_run *run) MUST_CHECK;
void run_array_done(struct run_array *array);

struct run_list {
	/* From the index: of a sealed part its pack, else its files. */
	struct pack *pack; /* NULL: there is none */
	int file;	   /* handle of disk; -1: none */
	int ids_file;
	uint32_t seed;
	uint32_t ids_seed;
	uint64_t indexed;	/* runs taken from it: those that lie in the part as committed */
	uint64_t indexed_bytes; /* of the part, that they cover */
	struct index_ids ids;	/* of the .ids file; it may be ahead of what is committed */
	uint64_t ids_runs;	/* runs that are found by it; 0: there is none */
	struct disk *disk;
	/* From the lines behind that. */
	struct run_array scanned;
	uint64_t scanned_bytes; /* where the next line begins */
	bool foreign;		/* a trace's runs may stand anywhere in it */
	bool distrusted;
	/* Of the runs that .ids doesn't cover: made at the first search. */
	uint32_t *hashes; /* owned; of their trace ids */
	size_t hash_count;
	uint64_t *table; /* owned; NULL: not made yet; a hash and its number, sorted */
	uint64_t searches;
	struct scan_buffer buffer;
};

/* A line that was passed over. */
typedef void (*run_list_on_bad)(void *ctx, uint64_t offset, uint64_t number, const char *why);

void run_list_init(struct run_list *list, struct disk *disk, bool foreign);
void run_list_done(struct run_list *list);

/* Takes in the index of a part, again at each moment: index_dir is the handle of
 * .waft/index. What was scanned and is indexed now is forgotten. 0 also when there is no
 * index that holds. */
void run_list_open_index(struct run_list *list, int index_dir, const uint8_t store_id[16],
	const struct part_name *part, uint64_t length_bytes);

/* Reads the lines from where the runs end up to length_bytes; again, when the file has
 * grown. on_bad may be NULL. 0 or a negative error. */
int run_list_scan(struct run_list *list, struct source *source, uint64_t length_bytes,
	run_list_on_bad on_bad, void *ctx) MUST_CHECK;

/* Forgets all that came from the index; scan again. */
void run_list_distrust(struct run_list *list);

size_t run_list_blocks(const struct run_list *list);

/* Whether the runs of the block are from the index of a part of ours: then a trace that
 * has other runs too has one that continues it. */
bool run_list_is_sure(const struct run_list *list, size_t block);

/* Calls on_id for each trace of an indexed run that continues it. A result other than 0 ends it
 * and is returned. */
int run_list_for_each_continuing(const struct run_list *list,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx) MUST_CHECK;

/* What is common to all runs, when that is known at once: true. */
bool run_list_zone(const struct run_list *list, struct index_zone *ret);

/* What is common to a block. */
int run_list_block_zone(
	const struct run_list *list, size_t block, struct index_zone *ret) MUST_CHECK;

/* The runs of a block. */
int run_list_block(const struct run_list *list, size_t block,
	struct index_run ret[INDEX_BLOCK_RUNS], size_t *ret_count) MUST_CHECK;

/* Which groups of PACK_GROUP_RUNS runs of a block may have the question's attributes on a span: a
 * bit each. */
int run_list_groups(const struct run_list *list, size_t block,
	const struct index_question *question, uint32_t *ret_groups) MUST_CHECK;

/* Which of them may have the question's text on a span. */
int run_list_texts(const struct run_list *list, size_t block, const struct index_question *question,
	uint32_t *ret_groups) MUST_CHECK;

/* Calls on_run for each run of a trace, in order of place. A result other than 0 ends
 * it and is returned. */
int run_list_find(struct run_list *list, const uint8_t trace_id[16],
	int (*on_run)(void *ctx, const struct index_run *run), void *ctx) MUST_CHECK;

#endif
