/*
 * Whether a manifest was cut off at its end, exactly between two records: then it looks like
 * one that was never longer, and what was written since like a tail that was never
 * committed. Other files may know better (docs/STORE.md, "Manifest"):
 *
 *   the log     has no more the segments that the manifest still wants: they are deleted
 *               only when the manifest says that nothing in them is needed
 *   the index   has runs behind what is committed, and they are there: it is told of a
 *               run only when the manifest holds it
 *   the parts   one that was never sealed is there in its sealed form alone: that gets
 *               its name only when the manifest holds SEALED
 *
 * Part of recovery (recover.c): its one thread. Nothing is written.
 */
#ifndef WAFT_STORE_LOST_END_H
#define WAFT_STORE_LOST_END_H

#include "manifest.h"
#include "recover.h"

/* 1: it was cut, 0: nothing says so, or a negative errno. */
MUST_CHECK int lost_end_is_cut(
	struct disk *disk, const struct store_dirs *dirs, const struct manifest_state *state);

#endif
