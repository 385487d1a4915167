/*
 * build.h: puts together what the viewer returns.
 *
 * A backend adds what it reads, piece by piece, from whatever form it has; the
 * result is one piece of memory that the caller owns. Texts are copied. A failed
 * allocation is -ENOMEM; what was built so far is freed with _done.
 */
#ifndef WAFT_CLI_BUILD_H
#define WAFT_CLI_BUILD_H

#include "errors.h"
#include "record.h"
#include "scratch.h"
#include "slice.h"
#include "tree.h"

#include <waft/viewer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Lists ------------------------------------------------------------ */

/* Zero-initialise. */
struct listing {
	struct scratch scratch;
	struct waft_trace_summary *traces;
	size_t count;
	size_t capacity;
};

struct listing_entry {
	const uint8_t *trace_id; /* 16 bytes */
	int64_t start_ns;
	double duration_ms;
	bool pending;
	struct slice operation;
	struct slice layer;
	struct slice status;
	const struct slice *services;
	size_t service_count;
	uint64_t spans;
	uint64_t errors;
	bool damaged;
};

int listing_add(struct listing *listing, const struct listing_entry *entry) MUST_CHECK;
/* Empties listing. */
int listing_finish(struct listing *listing, struct waft_trace_list **ret_list) MUST_CHECK;
void listing_done(struct listing *listing);

/* ---- Traces ----------------------------------------------------------- */

/* Zero-initialise. */
struct trace_build {
	struct scratch scratch;
	uint8_t trace_id[16];
	struct record *records;
	size_t count;
	size_t capacity;
	struct tree tree;
	uint64_t bad_lines;
	uint64_t bytes;	    /* of the lines it took */
	uint64_t bytes_max; /* it takes no more; 0: as many as come */
	bool peers_apart;   /* spans that differ in metadata.peer alone are one (merge.h) */
};

/* Takes one stored line; one that is no record is counted and passed over. 0, -ENOMEM, -EFBIG:
 * it is more than bytes_max. */
int trace_build_add(struct trace_build *build, struct slice line) MUST_CHECK;
/* Orders the tree and empties build. */
int trace_build_finish(struct trace_build *build, struct waft_trace **ret_trace) MUST_CHECK;
void trace_build_done(struct trace_build *build);

/* A record by itself as a node; its texts live in scratch. */
int node_of_record(struct scratch *scratch, const struct record *record,
	struct waft_trace_node *ret_node) MUST_CHECK;

/* ---- Figures ---------------------------------------------------------- */

/* Zero-initialise. */
struct figures {
	struct scratch scratch;
	struct waft_operation_stats *operations;
	size_t count;
	size_t capacity;
};

/* Texts of `row` are copied from the slices; the others from it. */
int figures_add(struct figures *figures, struct slice service, struct slice operation,
	struct slice layer, const struct waft_operation_stats *row) MUST_CHECK;
int figures_finish(struct figures *figures, struct waft_operation_list **ret_list) MUST_CHECK;
void figures_done(struct figures *figures);

/* ---- Status ----------------------------------------------------------- */

/* Zero-initialise; members of status are set directly, their texts and arrays
 * from scratch. */
struct status_build {
	struct scratch scratch;
	struct waft_status status;
};

int status_build_finish(struct status_build *build, struct waft_status **ret_status) MUST_CHECK;
void status_build_done(struct status_build *build);

/* A copy as a C string; a NUL inside becomes U+2400. NULL: no memory. */
const char *copy_text(struct scratch *scratch, struct slice text);

#endif
