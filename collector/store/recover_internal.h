/*
 * What the files of recovery share: recover.c (manifest, log, the new state) and
 * recover_parts.c (parts). One thread.
 */
#ifndef WAFT_STORE_RECOVER_INTERNAL_H
#define WAFT_STORE_RECOVER_INTERNAL_H

#include "recover.h"

/* A part's tail that is in quarantine and waits to be cut off. */
struct cut {
	uint32_t part;
	uint64_t length_bytes;
};

struct recoverer {
	const struct recovery_config *config;
	const struct recovery_ops *ops;
	struct recovery *result;
	struct manifest_state state;
	struct cut *cuts;
	size_t cut_count;
	struct log_segment *segments;
	size_t segment_count;
	uint64_t segment_waiting; /* spans of the segment being read */
	uint64_t segment_records; /* bytes of its records but marks with zeros */
	uint32_t segment_last;	  /* offset of its last record but marks */
};

/* Notes what was set aside. Takes the entry. */
MUST_CHECK int recoverer_quarantine(struct recoverer *recoverer, struct manifest_quarantine *entry);

/* Brings the state's parts together with their files; what is to be cut off is in cuts. */
MUST_CHECK int recoverer_check_parts(struct recoverer *recoverer);

#endif
