/*
 * merge.h: spans of one trace from several collectors. One that was forwarded to two is
 * the same in both but for what each noted of who sent it (metadata.peer).
 */
#ifndef WAFT_CLI_MERGE_H
#define WAFT_CLI_MERGE_H

#include "errors.h"
#include "record.h"
#include "scratch.h"
#include "trace_load.h"
#include "tree.h"

/* As tree_add and trace_load_add, with records that differ in metadata.peer alone being
 * equal. scratch holds a copy of the line. 0 or -ENOMEM. */
int merge_add(struct tree *tree, struct scratch *scratch, const struct record *record,
	uint32_t item) MUST_CHECK;
int merge_load(
	struct trace_load *load, struct scratch *scratch, const struct record *record) MUST_CHECK;

#endif
