/* See region_image.h. */
#include "region_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int region_descriptor_check(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Only memory files have seals. */
	if (seals < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if ((seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
		return -EPERM;
	return st.st_size == REGION_BYTES ? 0 : -EFBIG;
}

int region_image_new(struct region_image *ret)
{
	void *bytes = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	ret->bytes = bytes;
	return 0;
}

void region_image_done(struct region_image *image)
{
	if (image->bytes != NULL)
		(void)munmap(image->bytes, REGION_BYTES);
	image->bytes = NULL;
}

const struct region_header *region_image_header(const struct region_image *image)
{
	return (const struct region_header *)(const void *)image->bytes;
}

bool region_header_fits(const struct region_header *header)
{
	return memcmp(header->magic, REGION_MAGIC, sizeof(header->magic)) == 0 &&
	       header->version == REGION_VERSION && header->bytes == REGION_BYTES &&
	       header->units_at == REGION_UNITS_AT && header->unit_bytes == REGION_UNIT_BYTES &&
	       header->unit_count == REGION_UNITS && header->kinds_at == REGION_KINDS_AT &&
	       header->cuts_at == REGION_CUTS_AT && header->cut_count == REGION_CUTS &&
	       header->shapes_at == REGION_SHAPES_AT &&
	       header->shapes_bytes <= REGION_SHAPES_BYTES &&
	       header->producer_bytes <= REGION_PRODUCER_BYTES;
}

uint32_t region_run_units(const struct region_image *image, uint32_t unit)
{
	const uint8_t *kinds = image->bytes + REGION_KINDS_AT;
	uint32_t end = unit + 1;

	while (end < REGION_UNITS && kinds[end] == REGION_MORE)
		end++;
	return end - unit;
}

/* A stretch of the file to its place in the image. 0 or a negative errno. */
static int copy(struct region_image *image, int fd, size_t from, size_t length)
{
	while (length > 0) {
		ssize_t got = pread(fd, image->bytes + from, length, (off_t)from);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		from += (size_t)got;
		length -= (size_t)got;
	}
	return 0;
}

/* Its head first, then what the head says is published: what a process publishes it
 * has written before. */
static int copy_chunk(struct region_image *image, int fd, uint32_t unit)
{
	size_t at = REGION_UNITS_AT + (size_t)unit * REGION_UNIT_BYTES;
	size_t most = (size_t)region_run_units(image, unit) * REGION_UNIT_BYTES;
	const struct region_chunk *head =
		(const struct region_chunk *)(const void *)(image->bytes + at);
	int status = copy(image, fd, at, sizeof(*head));

	if (status == 0 && head->published > sizeof(*head) && head->published <= most)
		status = copy(image, fd, at + sizeof(*head), head->published - sizeof(*head));
	return status;
}

/* A slot that began or ended a span while it was copied is none. */
static int copy_slots(struct region_image *image, int fd, uint32_t unit)
{
	size_t at = REGION_UNITS_AT + (size_t)unit * REGION_UNIT_BYTES;
	struct region_slot *slots = (struct region_slot *)(void *)(image->bytes + at);
	struct region_slot before[REGION_UNIT_SLOTS];
	uint64_t states[REGION_UNIT_SLOTS];
	int status = copy(image, fd, at, REGION_UNIT_BYTES);

	if (status < 0)
		return status;
	memcpy(before, slots, sizeof(before));
	status = copy(image, fd, at, REGION_UNIT_BYTES);
	for (int i = 0; i < REGION_UNIT_SLOTS; i++)
		states[i] = slots[i].state;
	memcpy(slots, before, sizeof(before));
	for (int i = 0; i < REGION_UNIT_SLOTS; i++)
		if (slots[i].state != states[i])
			slots[i].state = 0;
	return status;
}

int region_image_read(struct region_image *image, int fd, bool all)
{
	const uint8_t *kinds = image->bytes + REGION_KINDS_AT;
	int status = copy(image, fd, 0, REGION_CUTS_AT);
	uint32_t epoch = region_image_header(image)->epoch;

	if (status == 0 && !region_header_fits(region_image_header(image)))
		status = ERR_MALFORMED;
	if (status == 0 && all)
		status = copy(image, fd, REGION_CUTS_AT, REGION_CUTS * sizeof(struct region_cut));
	for (uint32_t unit = 0; status == 0 && unit < REGION_UNITS; unit++) {
		if (kinds[unit] == REGION_SLOTS)
			status = copy_slots(image, fd, unit);
		else if (kinds[unit] == REGION_CHUNK && all)
			status = copy_chunk(image, fd, unit);
	}
	/* Last: whatever a span refers to is defined by now. The copy's own count. */
	if (status == 0)
		status = copy(image, fd, 0, sizeof(struct region_header));
	if (status == 0 && !region_header_fits(region_image_header(image)))
		status = ERR_MALFORMED;
	if (status == 0 && (region_image_header(image)->epoch != epoch || (epoch & 1) != 0))
		status = -EBUSY;
	if (status == 0)
		status =
			copy(image, fd, REGION_SHAPES_AT, region_image_header(image)->shapes_bytes);
	return status;
}
