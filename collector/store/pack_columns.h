/*
 * pack_columns.h: numbers of a block's runs, column by column. Private to pack_read.c and
 * pack_write.c.
 *
 * A column: u8 bits, then a varint, the least of its numbers, and of each what it is more, in so
 * many bits, the lowest first. Or u8 255 and varints, where that is shorter.
 */
#ifndef WAFT_STORE_PACK_COLUMNS_H
#define WAFT_STORE_PACK_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "cursor.h"

/* Appends a column; count is more than 0. 0 or -ENOMEM. */
int column_put(const uint64_t *numbers, size_t count, struct bytes *to) MUST_CHECK;

/* Takes one. Zeros, and in->error, if it isn't whole. */
void column_take(struct cursor *in, uint64_t *ret_numbers, size_t count);

#endif
