/* What the JSONL store tells its index: runs, made while their lines are, and handed
 * over when they are committed. See writer_internal.h. */
#include <errno.h>

#include "writer_internal.h"

enum { TOLD_AT_ONCE = 256 };

int writer_index_line(struct jsonl_store *store, struct span_source *source,
	const struct span_view *view, size_t line_at)
{
	struct slice line =
		slice_of(store->run_lines.data + line_at, store->run_lines.length - line_at);
	int ret = line_index_add(&source->lines.index, &source->batch, view, line, &store->scratch,
		&store->run_index);

	if (ret == -ENOMEM)
		return ret;
	store->run_not_indexed |= ret != 0;
	return 0;
}

void writer_tell_index(struct jsonl_store *store, struct output *output)
{
	const struct writer_hooks *hooks = &store->config.hooks;
	struct manifest_part part;
	uint64_t offset = output->offset;
	struct written_run runs[TOLD_AT_ONCE];
	size_t count = 0;

	if (hooks->on_commit == NULL ||
		!manifest_copy_part(store->config.manifest, output->part, &part))
		return;
	for (size_t i = 0; i < output->run_count; i++) {
		struct output_run *run = &output->runs[i];

		run->index.offset = offset;
		runs[count++] = (struct written_run){
			.trace_id = run->trace_id,
			.part = part.name,
			.offset = offset,
			.length_bytes = run->run.length_bytes,
			.crc = run->run.crc,
			.spans = run->run.spans,
			.continues = run->continues,
			.index = run->index.spans > 0 ? &run->index : NULL,
		};
		offset += run->run.length_bytes;
		if (count < TOLD_AT_ONCE && i + 1 < output->run_count)
			continue;
		hooks->on_commit(hooks->ctx, runs, count);
		count = 0;
	}
}
