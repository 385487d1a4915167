/*
 * waiting.h: the spans that wait, summed up by trace as if each trace were a run, so
 * that lists and statistics find them. Private to the queries; one thread at a time.
 * 170 bytes a trace.
 */
#ifndef WAFT_STORE_WAITING_H
#define WAFT_STORE_WAITING_H

#include "id_map.h"
#include "run_list.h"
#include "view.h"

/* Zero-initialise. Runs are unsure, without place; map: number of a trace's run. */
struct waiting {
	struct run_array runs;
	struct id_map map;
};

/* 0, -ESTALE, -ENOMEM, or what the source returns. */
int waiting_collect(struct waiting *waiting, struct reader *reader) MUST_CHECK;
void waiting_done(struct waiting *waiting);

#endif
