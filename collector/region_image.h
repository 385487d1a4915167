/*
 * A copy of a client's region (proto/region_layout.h), which that client may go on
 * writing to: read by pread, once, into memory of our own, bounded, and checked
 * before anything in it is believed. Any thread; one at a time for each image.
 */
#ifndef WAFT_COLLECTOR_REGION_IMAGE_H
#define WAFT_COLLECTOR_REGION_IMAGE_H

#include "errors.h"
#include "region_layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region_image {
	uint8_t *bytes; /* REGION_BYTES of them; what was not read is 0 */
};

/* What a descriptor must be to be taken: a memfd, sealed against shrinking and
 * growing, of exactly REGION_BYTES. 0; -EINVAL, -EPERM, -EFBIG. */
int region_descriptor_check(int fd) MUST_CHECK;

/* Zeroed memory. 0 or -ENOMEM. */
int region_image_new(struct region_image *ret) MUST_CHECK;
/* Takes a zeroed one. */
void region_image_done(struct region_image *image);

/* Copies header, kinds, shapes and open-span slots; with `all` cuts and finished
 * spans too. Into a new image only. 0; ERR_MALFORMED when the header is not that of
 * a region of this layout; -EBUSY when its process takes, or died taking, a new uuid;
 * another negative errno. */
int region_image_read(struct region_image *image, int fd, bool all) MUST_CHECK;

/* The header of what was read. */
const struct region_header *region_image_header(const struct region_image *image);

/* Whether the header is one of this layout. */
bool region_header_fits(const struct region_header *header);

/* Units of the run that begins at a unit. */
uint32_t region_run_units(const struct region_image *image, uint32_t unit);

#endif
