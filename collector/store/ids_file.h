/*
 * ids_file.h: searching and making .ids files (index_format.h). One thread at a time
 * per file; a file is never changed, only replaced.
 */
#ifndef WAFT_STORE_IDS_FILE_H
#define WAFT_STORE_IDS_FILE_H

#include "disk.h"
#include "index_format.h"

/* Private to index and readers: the index is damaged; never leaves a query. */
enum { ERR_INDEX = -9001 };

/* Reads and checks the header. 0 or ERR_INDEX. */
int ids_open(struct disk *disk, int file, uint32_t seed, struct index_ids *ret) MUST_CHECK;

/* Calls on_run with the number of each run of the trace, ascending. A result other than 0
 * ends it and is returned. ERR_INDEX, -EIO. */
int ids_find(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	const uint8_t trace_id[16], int (*on_run)(void *ctx, uint32_t run), void *ctx) MUST_CHECK;

/* Calls on_id for the trace of each run, by id. A result other than 0 ends it and is returned.
 * ERR_INDEX, -EIO. */
int ids_for_each(struct disk *disk, int file, uint32_t seed, const struct index_ids *ids,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx) MUST_CHECK;

/* Writes a new file: the ids of an old one (old_file -1: none) and of `more`, which
 * is sorted by (id, run) and whose runs are all larger. ids->runs, covered and zone
 * are the caller's; the rest is set. *ret_bloom is the filter, owned by the caller.
 * ERR_INDEX when the old file is damaged. */
struct ids_input {
	int old_file;
	const struct index_ids *old_ids;
	const struct index_id *more;
	size_t more_count;
	const uint8_t (*continuing)[16]; /* of more; in any order */
	size_t continuing_count;
};
int ids_write(struct disk *disk, int file, uint32_t seed, const struct ids_input *input,
	struct index_ids *ids, uint8_t **ret_bloom) MUST_CHECK;

/* Calls on_id for each trace id of a run that continues a trace. A result other than 0
 * ends it and is returned. ERR_INDEX, -EIO, -ENOMEM. */
int ids_for_each_continuing(struct disk *disk, int file, const struct index_ids *ids,
	int (*on_id)(void *ctx, const uint8_t trace_id[16]), void *ctx) MUST_CHECK;

/* Orders by id, then by run: for qsort. */
int ids_compare(const void *left, const void *right);

/* Sorts so, by qsort where there is no memory for a copy. */
void ids_sort(struct index_id *ids, size_t count);

#endif
