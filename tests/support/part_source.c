/* See part_source.h. */
#include "support/part_source.h"

#include <string.h>

static int for_each_part(
	void *ctx, int (*on_part)(void *arg, const struct live_part *part), void *arg)
{
	const struct part_source *source = ctx;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < source->count; i++) {
		struct live_part part = {.part = source->parts[i].name,
			.length_bytes = source->parts[i].length_bytes,
			.damaged = source->damaged};

		if (part.length_bytes > 0)
			ret = on_part(arg, &part);
	}
	return ret;
}

static int for_each_span(void *ctx, const uint8_t *trace_id, const struct ordinal *after,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	(void)ctx;
	(void)trace_id;
	(void)after;
	(void)on_span;
	(void)arg;
	return 0;
}

void part_source_init(struct part_source *source, const uint8_t store_id[16],
	const struct index_part *parts, size_t count)
{
	*source = (struct part_source){.live = {.ctx = source,
					       .for_each_part = for_each_part,
					       .for_each_span = for_each_span},
		.parts = parts,
		.count = count};
	memcpy(source->live.store_id, store_id, 16);
}
