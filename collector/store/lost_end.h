/*
 * Whether a manifest was cut off at its end, exactly between two records: then it looks like
 * one that was never longer, and what was written since like a tail that was never
 * committed. Other files may know better (docs/STORE.md, "Manifest"):
 *
 *   the log     has no more the segments that the manifest still wants: they are deleted
 *               only when the manifest says that nothing in them is needed
 *   the index   has runs behind what is committed, and they are there: it is told of a
 *               run only when the manifest holds it
 *   the parts   one that was never sealed is there in its sealed form alone, or beside a plain
 *               one that is longer than what is committed and as long as the sealed text: the
 *               sealed form gets its name only when the manifest holds SEALED
 *
 * And what the parts are then. Recovery (recover.c) and readers without the daemon (offline.c)
 * ask the same; one thread at a time, nothing is written. A reader asks whether the manifest is
 * unchanged afterwards: each of these signs is set by a daemon after the manifest.
 */
#ifndef WAFT_STORE_LOST_END_H
#define WAFT_STORE_LOST_END_H

#include "manifest.h"
#include "part_names.h"
#include "recover.h"

/* 1: it was cut, 0: nothing says so, or a negative errno. */
MUST_CHECK int lost_end_is_cut(
	struct disk *disk, const struct store_dirs *dirs, const struct manifest_state *state);

/* The same, for who has read the names of the trace directory, and the log, which lacks no
 * segment. */
MUST_CHECK int lost_end_by_names(struct disk *disk, const struct store_dirs *dirs,
	const struct manifest_state *state, const struct part_names *listed);

/* Whether the log lost its end, and what is left ends like one that was never longer: what
 * the manifest counted, or has in files, was synced before. end: of its last record. */
bool lost_end_of_log(const struct manifest_state *state, struct log_place end);

/* What the files say of a part whose last commits may be lost with the manifest's end, or by its
 * damage: all whole lines of the plain file, or all of it where its end can't be read; where that
 * is gone and the sealed form is there, all of that one, which is PART_SEALED then, with its length
 * and without its CRC. Else the part stays as it is: also when nothing of it was committed and the
 * file is not the one that was made for it, or none is there. top: the handle of the trace
 * directory. 0 or a negative errno. */
MUST_CHECK int lost_end_find(struct disk *disk, int top, struct manifest_part *part);

/* Whether all frames of the sealed form of a part, found by lost_end_find, match the checksums that
 * they were sealed with: 1, 0 or a negative errno. */
MUST_CHECK int lost_end_sealed_is_whole(
	struct disk *disk, int top, const struct manifest_part *part);

#endif
