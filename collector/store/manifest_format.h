/*
 * The records of the manifest (docs/STORE.md, "Manifest"), shared by
 * manifest.c, which writes, and manifest_load.c, which reads. Pure.
 */
#ifndef WAFT_STORE_MANIFEST_FORMAT_H
#define WAFT_STORE_MANIFEST_FORMAT_H

#include "bytes.h"
#include "manifest.h"
#include "slice.h"

#define MANIFEST_MAGIC "WAFTMAN1"

/* Body of HEADER and of END. */
struct manifest_header {
	uint64_t generation;
	uint8_t store_id[16];
	uint64_t checkpoint_bytes; /* of the file when it was made: synced before it got its name */
};

struct manifest_record {
	enum manifest_type type;
	struct slice body;
	uint32_t synced;
};

/* Appends a whole record. */
MUST_CHECK int manifest_record_put(struct bytes *out, uint64_t generation, enum manifest_type type,
	uint32_t synced, const void *body, size_t length);

/* The record at data: its length, 0 when there is none. */
size_t manifest_record_get(
	const uint8_t *data, size_t length, uint64_t generation, struct manifest_record *ret);

/* The same for a HEADER or END, which tell the generation themselves. */
size_t manifest_header_get(const uint8_t *data, size_t length, struct manifest_header *ret);

/* The length of what could be a record by its header; 0 when it can't. */
size_t manifest_record_length(const uint8_t *data, size_t length);

MUST_CHECK int manifest_header_body(struct bytes *out, const struct manifest_header *header);
MUST_CHECK int manifest_part_body(struct bytes *out, const struct manifest_part *part);
MUST_CHECK int manifest_extent_body(struct bytes *out, const struct manifest_part *part);
MUST_CHECK int manifest_commit_body(struct bytes *out, const struct manifest_commit *commit);
MUST_CHECK int manifest_sealed_body(struct bytes *out, const struct manifest_part *part);
MUST_CHECK int manifest_forward_body(
	struct bytes *out, const struct manifest_forward *forward, const struct consumed *ordinals);
MUST_CHECK int manifest_quarantine_body(struct bytes *out, const struct manifest_quarantine *entry);

/* Applies a body to the state as it stands. 0, ERR_MALFORMED (nothing changed), -ENOMEM. */
MUST_CHECK int manifest_apply(
	struct manifest_state *state, enum manifest_type type, struct slice body);

/* These can't be applied twice without harm and are used by the writer too. */
MUST_CHECK int manifest_state_add_part(
	struct manifest_state *state, const struct manifest_part *part);
struct manifest_part *manifest_state_part(struct manifest_state *state, uint32_t id);
MUST_CHECK int manifest_state_quarantine(
	struct manifest_state *state, const struct manifest_quarantine *entry);

#endif
