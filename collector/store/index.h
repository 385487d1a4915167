/*
 * index.h: what is known of each run, so that queries needn't read the files.
 *
 * Derived from the parts (docs/STORE.md, "Index"): anything in it that is missing,
 * stale or damaged is found out by checksums and read from the parts instead, so
 * that answers never depend on it. It only leaves out: whatever it lets pass is
 * checked against the lines themselves.
 *
 * Files, per part, in .waft/index: `<part>.runs` grows with each run; a closed part
 * has `<part>.ids` besides, sorted by trace id. Closed parts are in tables of the catalog
 * (catalog.h), so that what a trace costs hardly grows with them. Nothing here is synced.
 *
 * This header is the writing side and the question that the writer asks (which
 * day does this trace belong to?). The daemon's one struct index is used by the
 * thread that writes parts; other threads and processes read the files by way of
 * reader.h. Memory: about 2 bytes a run of closed parts, 32 a run of open ones.
 */
#ifndef WAFT_STORE_INDEX_H
#define WAFT_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk.h"
#include "errors.h"
#include "part.h"
#include "record.h"
#include "slice.h"

struct manifest_part;

struct scratch;

/* ---- A run in numbers ----------------------------------------------------- */

#define INDEX_FILTER_WORDS 8

enum index_run_flags {
	INDEX_HAS_ROOT = 1 << 0,
	INDEX_CONTINUES = 1 << 1,  /* the trace has an earlier run, here or elsewhere */
	INDEX_UNSURE = 1 << 2,	   /* pending spans, ties or an id twice: only the lines can tell */
	INDEX_HEAD_ERROR = 1 << 3, /* status of the earliest root (else span) */
	INDEX_HEAD_PENDING = 1 << 4,
	INDEX_UNSUMMED = 1 << 5, /* in a pack (pack.h): it is in none of its sums */
};

/* Of one run of one trace; made by index_run_of_lines, or by index_run.h's builder. */
struct index_run {
	uint8_t trace_id[16];
	uint64_t offset;       /* of the first line in its part */
	uint32_t length_bytes; /* newlines included */
	uint32_t spans;	       /* lines */
	uint32_t errors;       /* lines with status error */
	uint32_t flags;
	int64_t start_ns;    /* of the earliest root, else span; when unsure, no less than that */
	int64_t duration_ns; /* of that root or span; when unsure, of no meaning */
	/* Bloom filter, 512 bits, 4 per text, of the services, operations, layers
	 * and attributes of its spans. */
	uint64_t filter[INDEX_FILTER_WORDS];
	uint32_t kind; /* pack.h; 0: not known */
};

/* A run from its lines (each ended by a newline), all of one trace; offset is
 * where they stand in the part. 0; ERR_MALFORMED when a line is no record or
 * another trace's; -EFBIG beyond 4 GiB; -ENOMEM. scratch is reset. */
int index_run_of_lines(struct slice lines, uint64_t offset, struct scratch *scratch,
	struct index_run *ret_run) MUST_CHECK;

/* ---- The daemon's index ---------------------------------------------------- */

struct index;

/* What opening found to do. */
struct index_report {
	uint64_t parts;
	uint64_t rebuilt_parts; /* missing, stale or damaged: read again */
	uint64_t rebuilt_runs;
};

/* A part as the manifest has it. */
struct index_part {
	struct part_name name;
	uint64_t length_bytes; /* committed */
	bool closed;	       /* takes no more appends */
};

/* What of the manifest's part the index goes by. */
struct index_part index_part_of(const struct manifest_part *part);

/* Opens the index of a store: for each part compares what is there with the
 * committed length and reads again what is missing. parts_dir is the handle of the
 * trace directory, index_dir that of .waft/index; both are borrowed for the index's
 * life, as is disk. Files of parts that are not named are removed. *ret is owned
 * (index_close). 0 also when index files can't be written (then it is kept in
 * memory only); -ENOMEM; -EIO when a part can't be read. */
int index_open(struct disk *disk, int parts_dir, int index_dir, const uint8_t store_id[16],
	const struct index_part *parts, size_t part_count, struct index **ret,
	struct index_report *ret_report) MUST_CHECK;

/* NULL is fine. */
void index_close(struct index *index);

/* Says that a run was committed. Runs of a part come in order of offset, without gaps.
 * Sets INDEX_CONTINUES itself. A part not known yet is
 * begun. Failures to write the file are kept to the index: the part is then rebuilt by the next
 * index_open. 0 or -ENOMEM. */
int index_add(
	struct index *index, const struct part_name *part, const struct index_run *run) MUST_CHECK;

/* The same where it is known already whether the trace has an earlier run: continues says so. */
int index_add_told(struct index *index, const struct part_name *part, const struct index_run *run,
	bool continues) MUST_CHECK;

/* Lets readers see what index_add was told; once per commit. */
void index_flush(struct index *index);

/* The part takes no more appends: sorts its ids. 0 or a negative errno: then readers
 * use the unsorted entries. */
int index_close_part(struct index *index, const struct part_name *part) MUST_CHECK;

/* The part was sealed, and its new index made with it (seal.h): takes that over, or reads the
 * sealed part's lines where it does not hold. The plain part's files go. 0, -ENOMEM, -EIO. */
int index_seal_part(struct index *index, const struct index_part *sealed) MUST_CHECK;

/* The part is gone (retention). Sealed or not is the same name. */
void index_remove_part(struct index *index, const struct part_name *part);

/* The day of the parts in which the trace has an earlier run: 1 and *ret_day (days
 * since 1970), 0 when it has none (the common case), or
 * -EIO, -ENOMEM. Exact: filters only spare lookups. */
int index_day_of_trace(
	struct index *index, const uint8_t trace_id[16], int32_t *ret_day) MUST_CHECK;

/* What was said of a trace is about to be asked for, or a run of it to be added to a part:
 * fetches from memory what is looked at then, for it is met at random. */
void index_expect(const struct index *index, const uint8_t trace_id[16]);
void index_expect_run(
	const struct index *index, const struct part_name *part, const uint8_t trace_id[16]);

/* Bytes of memory that it held when it was last flushed. Any thread. */
size_t index_memory(const struct index *index);

#endif
