/*
 * Attributes as encoded fields: of spans, events and links. Values whose key is
 * not to be seen are replaced here.
 */
#ifndef WAFT_CLIENT_ATTRIBUTE_H
#define WAFT_CLIENT_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <waft/waft.h>

#include "buffer.h"

/* Appends a KeyValue as a field with that tag; false: the attribute is malformed
 * (no key, unknown type, no array), or memory is short: then nothing is added. */
bool attribute_add(struct buffer *out, uint32_t tag, const struct waft_attribute *attribute);

/* A nested message whose length is filled in at its end (3 padded bytes). */
size_t nested_begin(struct buffer *out, uint32_t tag);
void nested_end(struct buffer *out, size_t begin);

#endif
