/*
 * open_build.h: puts the open spans that a collector lists together by process and
 * thread, and orders each thread's as trees.
 */
#ifndef WAFT_CLI_OPEN_BUILD_H
#define WAFT_CLI_OPEN_BUILD_H

#include "errors.h"
#include "scratch.h"
#include "slice.h"

#include <waft/viewer.h>

#include <stddef.h>
#include <stdint.h>

struct open_span;

/* Zero-initialise. */
struct open_build {
	struct scratch scratch;
	struct open_span *spans;
	size_t count;
	size_t capacity;
	uint64_t connected;
	uint64_t left_out;
	uint64_t unreadable;
};

/* Takes one line; one that is no record is passed over. -ENOMEM. */
int open_build_add(struct open_build *build, struct slice line) MUST_CHECK;
/* Orders everything and empties build. */
int open_build_finish(struct open_build *build, struct waft_open_list **ret_list) MUST_CHECK;
void open_build_done(struct open_build *build);

#endif
