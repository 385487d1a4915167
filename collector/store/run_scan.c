/*
 * run_scan.c: see run_scan.h.
 */
#include "run_scan.h"

#include <errno.h>
#include <string.h>

#include "scratch.h"

struct scanning {
	const struct run_scan_ops *ops;
	struct index_builder builder;
	struct scratch scratch;
	uint64_t end; /* of the lines taken so far */
};

/* Ends the run under way, if any. */
static int end_run(struct scanning *scanning)
{
	struct index_run *run = &scanning->builder.run;
	int ret;

	if (run->spans == 0)
		return 0;
	index_builder_end(&scanning->builder);
	run->length_bytes = (uint32_t)(scanning->end - run->offset);
	ret = scanning->ops->on_run(scanning->ops->ctx, run);
	run->spans = 0;
	return ret;
}

static int add_record(struct scanning *scanning, const struct record *record,
	const struct scan_line *line, uint64_t end)
{
	struct index_run *run = &scanning->builder.run;
	int ret = 0;

	if (run->spans > 0 && (memcmp(run->trace_id, record->trace_id, 16) != 0 ||
				      end - run->offset > UINT32_MAX))
		ret = end_run(scanning);
	if (ret != 0)
		return ret;
	if (run->spans == 0) {
		index_builder_begin(&scanning->builder, record->trace_id);
		run->offset = line->offset;
	}
	scanning->end = end;
	return index_builder_add(&scanning->builder, record, &scanning->scratch);
}

static int on_line(void *ctx, const struct scan_line *line)
{
	struct scanning *scanning = ctx;
	const struct run_scan_ops *ops = scanning->ops;
	uint64_t end = line->offset + line->text.length + line->whole;
	const char *why = "line is too long";
	struct record record;
	int ret = ERR_LIMIT;

	/* What has no newline yet may still be written to. */
	if (!line->whole && !ops->open_end)
		return 0;
	if (line->text.data != NULL)
		ret = record_parse(line->text, &scanning->scratch, &record, &why);
	if (ret == 0) {
		ret = add_record(scanning, &record, line, end);
	} else if (ret != -ENOMEM) {
		ret = 0;
		if (line->whole) {
			if ((line->text.length > 0 || line->text.data == NULL) &&
				ops->on_bad != NULL)
				ops->on_bad(ops->ctx, line->offset, line->number, why);
			scanning->end = end;
		}
	}
	scratch_reset(&scanning->scratch);
	return ret;
}

int run_scan(struct source *source, uint64_t from, uint64_t to, struct scan_buffer *buffer,
	const struct run_scan_ops *ops, uint64_t *ret_end)
{
	struct scanning scanning = {.ops = ops, .end = from};
	int ret = scan_lines(source, from, to, buffer, on_line, &scanning);

	if (ret == 0)
		ret = end_run(&scanning);
	if (ret == 0)
		*ret_end = scanning.end;
	index_builder_done(&scanning.builder);
	scratch_done(&scanning.scratch);
	return ret;
}
