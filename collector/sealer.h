/*
 * The thread that makes sealed files (store/seal.h), one at a time, behind
 * all others. It is told by the store's thread, and tells it when it is done: that one
 * does what the manifest needs.
 */
#ifndef WAFT_COLLECTOR_SEALER_H
#define WAFT_COLLECTOR_SEALER_H

#include "seal.h"

#include <stdbool.h>

struct sealer;

struct sealer_config {
	struct disk *disk;
	const struct store_dirs *dirs;
	int index_dir; /* -1: there is none */
	uint8_t store_id[16];
	/* On the sealer's thread: sealer_result has something. */
	void (*on_done)(void *context);
	void *context;
	/* How long the calling thread has waited for a processor; NULL: as the kernel says. */
	bool (*waited_ns)(uint64_t *ret);
};

/* All but sealer_new's config is the store's thread's. */
int sealer_new(const struct sealer_config *config, struct sealer **ret) MUST_CHECK;

/* Begins with a part; nothing may be under way. pressed: quickly rather than small. memory_bytes:
 * that it may take; 0: seal.h's default. 0 or a negative errno: no thread could be made. */
int sealer_begin(struct sealer *sealer, const struct manifest_part *part, bool pressed,
	uint64_t memory_bytes) MUST_CHECK;

/* Whether a part is under way, or its result not taken yet. */
bool sealer_is_busy(const struct sealer *sealer);

/* Takes the result of what was begun: true with seal_part's status, and *ret_result, of which
 * only `part` counts when that is not 0; false while it is still under way. */
bool sealer_result(struct sealer *sealer, int *ret_status, struct seal_result *ret_result);

/* Of a part that is under way: its id; 0: none is. */
uint32_t sealer_part(const struct sealer *sealer);

/* Bytes that the new file takes, or is likely to in the end, of a part that is under way. */
uint64_t sealer_bytes(const struct sealer *sealer);

/* Stops what is under way within a few MiB of work; its result is -ECANCELED then, as a rule. */
void sealer_stop(struct sealer *sealer);

/* Stops what is under way within a few MiB of work; waits for it. NULL is fine. */
void sealer_free(struct sealer *sealer);

#endif
