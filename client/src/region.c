/* See region.h. */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <waft/waft.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

_Static_assert((int)WAFT_DROP_REASONS <= (int)REGION_REASONS, "a place for each reason");
_Static_assert(
	sizeof(struct waft_slot_) == sizeof(struct region_slot) &&
		offsetof(struct waft_slot_, parent) == offsetof(struct region_slot, parent) &&
		offsetof(struct waft_slot_, trace) == offsetof(struct region_slot, trace) &&
		offsetof(struct waft_slot_, clock) == offsetof(struct region_slot, clock) &&
		offsetof(struct waft_slot_, thread) == offsetof(struct region_slot, thread) &&
		(int)WAFT_SLOT_OPEN_ == (int)REGION_SLOT_OPEN &&
		(int)WAFT_SLOT_PARENT_ID_ == (int)REGION_SLOT_PARENT_ID,
	"inlined code writes slots as others read them");

static void header_fill(struct region_header *header, const uint8_t client[16], uint64_t pid)
{
	memcpy(header->magic, REGION_MAGIC, sizeof(header->magic));
	header->version = REGION_VERSION;
	header->bytes = REGION_BYTES;
	header->units_at = REGION_UNITS_AT;
	header->unit_bytes = REGION_UNIT_BYTES;
	header->unit_count = REGION_UNITS;
	header->kinds_at = REGION_KINDS_AT;
	header->cuts_at = REGION_CUTS_AT;
	header->cut_count = REGION_CUTS;
	header->shapes_at = REGION_SHAPES_AT;
	memcpy(header->client, client, sizeof(header->client));
	header->pid = pid;
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		strncpy(header->drops[i].reason, waft_drop_reason_name((enum waft_drop_reason)i),
			sizeof(header->drops[i].reason) - 1);
}

/* The seal against writing by others needs Linux 5.1; the region does without. */
static int memory_open(struct descriptor *ret_file, uint8_t **ret_base)
{
	int fd = memfd_create("waft-region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *base;
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, REGION_BYTES) != 0) {
		ret = -errno;
		goto fail;
	}
	base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED) {
		ret = -errno;
		goto fail;
	}
	if (madvise(base, REGION_BYTES, MADV_DONTFORK) != 0) {
		ret = -errno;
		munmap(base, REGION_BYTES);
		goto fail;
	}
	madvise(base, REGION_BYTES, MADV_DONTDUMP);
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		ret = -errno;
		munmap(base, REGION_BYTES);
		goto fail;
	}
	descriptor_set(ret_file, fd);
	*ret_base = base;
	return 0;
fail:
	close(fd);
	return ret;
}

int region_init(struct region *region, const uint8_t client[16], uint64_t pid)
{
	uint8_t *base = NULL;
	int ret;

	*region = (struct region){.file = DESCRIPTOR_NONE};
	ret = memory_open(&region->file, &base);
	if (ret < 0)
		return ret;
	region->base = base;
	region->header = (struct region_header *)(void *)base;
	region->kinds = base + REGION_KINDS_AT;
	region->cuts = (struct region_cut *)(void *)(base + REGION_CUTS_AT);
	region->free_units = REGION_UNITS;
	header_fill(region->header, client, pid);
	return 0;
}

void region_forget(struct region *region)
{
	descriptor_close(&region->file);
	*region = (struct region){.file = DESCRIPTOR_NONE};
}

/* The first run of count free units in [from, to), or -1. */
static int run_find(const struct region *region, uint32_t from, uint32_t to, uint32_t count)
{
	uint32_t length = 0;

	for (uint32_t unit = from; unit < to; unit++) {
		length = region->kinds[unit] == REGION_FREE ? length + 1 : 0;
		if (length == count)
			return (int)(unit + 1 - count);
	}
	return -1;
}

int region_take(struct region *region, uint32_t count, enum region_kind kind, uint32_t reserve)
{
	int unit;

	if (region->base == NULL || count == 0 || count + reserve > region->free_units)
		return -1;
	unit = run_find(region, region->next_unit, REGION_UNITS, count);
	if (unit < 0)
		unit = run_find(region, 0, REGION_UNITS, count);
	if (unit < 0)
		return -1;
	memset(region_unit(region, (uint32_t)unit), 0, sizeof(struct region_chunk));
	for (uint32_t i = 1; i < count; i++)
		__atomic_store_n(&region->kinds[(uint32_t)unit + i], REGION_MORE, __ATOMIC_RELAXED);
	__atomic_store_n(&region->kinds[unit], (uint8_t)kind, __ATOMIC_RELEASE);
	region->next_unit = (uint32_t)unit + count;
	region->free_units -= count;
	return unit;
}

void region_give(struct region *region, uint32_t unit, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		__atomic_store_n(&region->kinds[unit + i], REGION_FREE, __ATOMIC_RELEASE);
	region->free_units += count;
	if (unit < region->next_unit)
		region->next_unit = unit;
}

void region_renew(struct region *region, const uint8_t client[16], const uint64_t *said)
{
	struct region_header *header = region->header;

	if (region->base == NULL)
		return;
	__atomic_store_n(&header->epoch, header->epoch + 1, __ATOMIC_SEQ_CST);
	memcpy(header->client, client, sizeof(header->client));
	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		__atomic_store_n(&header->drops[i].said, said[i], __ATOMIC_RELAXED);
	__atomic_store_n(&header->epoch, header->epoch + 1, __ATOMIC_SEQ_CST);
}

void region_close(struct region *region)
{
	if (region->base != NULL)
		__atomic_store_n(&region->header->closed, 1, __ATOMIC_RELEASE);
}

void region_set_clock(struct region *region, const struct clock_span *clock)
{
	double ns_per_tick = clock->ns_per_tick;
	struct region_clock *out;

	if (region->base == NULL)
		return;
	out = &region->header->clocks[clock->source];
	/* Each store is a release: none is seen before the odd version. */
	__atomic_store_n(&out->version, out->version + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&out->source, clock->source, __ATOMIC_RELEASE);
	__atomic_store_n(&out->open_raw, clock->open.raw, __ATOMIC_RELEASE);
	__atomic_store_n(&out->open_realtime_ns, clock->open.realtime_ns, __ATOMIC_RELEASE);
	__atomic_store_n(&out->close_raw, clock->close.raw, __ATOMIC_RELEASE);
	__atomic_store_n(&out->close_realtime_ns, clock->close.realtime_ns, __ATOMIC_RELEASE);
	__atomic_store(&out->ns_per_tick, &ns_per_tick, __ATOMIC_RELEASE);
	__atomic_store_n(&out->stepped, clock->stepped, __ATOMIC_RELEASE);
	__atomic_store_n(&out->version, out->version + 1, __ATOMIC_RELEASE);
}
