/*
 * Shapes: what spans of one call site with the same attribute keys share
 * (waft.proto, Shape). A call site has a root shape; setting a key moves a span
 * from its shape to the next one, as hidden classes do (Chambers, Ungar, Lee,
 * "An efficient implementation of SELF", 1989). Call sites remember their step;
 * here is what stands behind.
 *
 * Ids are 1..65535, never reused, and stay valid in a forked child. Looking up
 * takes no lock; defining takes one. Memory is reserved once and bounded; when
 * it is used up (or a limit of the wire format is reached) definitions return
 * 0, and the caller does without: names become "(other)", attributes generic.
 */
#ifndef WAFT_CLIENT_SHAPE_H
#define WAFT_CLIENT_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"
#include "slice.h"
#include "wire.h"

enum {
	SHAPE_OTHER = 1,	   /* "(other)", in the default layer */
	SHAPE_NAMES_LIMIT = 16384, /* of names made at run time */
	SHAPE_KEYS_LIMIT = 16384,
	SHAPE_NAME_BYTES = 1000, /* longer names and keys are cut */
	SHAPE_KEY_BYTES = 250,
};

struct shape_site {
	const char *name; /* NULL: "<file stem>.<function>" */
	const char *layer;
	const char *file; /* NULL: not known */
	uint32_t line;
	const char *function;
};

/* Once per process; 0 or -ENOMEM. */
int shape_start(void);
/* In a forked child, by its only thread: the lock may be held by nobody. */
void shape_fork_child(void);
/* Where definitions are copied to, all that there are at once. */
void shape_set_region(struct region *region);

/* The root shape of a call site; SHAPE_OTHER when there is no room. */
uint32_t shape_root(const struct shape_site *site);
/* The same for a name made at run time, of which there may be too many. */
uint32_t shape_named(const char *name, const char *layer);

/* A key's number; 0: no room. *ret_redact: its values are not to be seen. */
uint32_t shape_key(const char *name, bool *ret_redact);

/* The shape after `shape` when key is added with that type; 0: no room or too
 * many keys. Never called for a key that the shape has. */
uint32_t shape_next(uint32_t shape, uint32_t key, enum wire_key_type type);

/* Whether a shape has a key: then its type and the how-manieth of that type. */
bool shape_find(uint32_t shape, uint32_t key, enum wire_key_type *ret_type, uint32_t *ret_index);

/* The keys of a shape and their types in order (room for 64 each); their number. */
uint32_t shape_keys(uint32_t shape, uint32_t *ret_keys, enum wire_key_type *ret_types);

/* The root that a shape comes from. */
uint32_t shape_base(uint32_t shape);

/* The encoded `Batch.shapes` entry. Empty for an id that is not defined. */
struct slice shape_bytes(uint32_t shape);

#endif
