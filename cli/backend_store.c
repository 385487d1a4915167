/*
 * backend_store.c: reads from the files of a store, without a collector.
 */
#include "backend.h"

#include "query.h"
#include "reader.h"
#include "stats.h"
#include "store_backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int failed(struct store_backend *store, int error)
{
	return backend_fail(
		&store->backend, error, "the store %s: %s", store->directory, error_text(error));
}

/* ---- Filters ---------------------------------------------------------- */

static struct slice slice_or_none(const char *text)
{
	return text != NULL ? slice_of_text(text) : (struct slice){0};
}

static int64_t clamp(uint64_t ns)
{
	return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

int store_filter_init(
	struct store_filter *made, struct backend *backend, const struct waft_trace_filter *filter)
{
	*made = (struct store_filter){.filter = {.since_ns = filter->since_ns,
					      .until_ns = filter->until_ns,
					      .service = slice_or_none(filter->service),
					      .operation = slice_or_none(filter->operation),
					      .layer = slice_or_none(filter->layer),
					      .errors = filter->errors,
					      .min_duration_ns = clamp(filter->min_duration_ns),
					      .max_duration_ns = clamp(filter->max_duration_ns),
					      .grep = slice_or_none(filter->grep)}};
	if (filter->status != NULL &&
		filter_set_status(&made->filter, slice_of_text(filter->status)) != 0)
		return backend_fail(backend, -EINVAL,
			"\"%s\" is not a status: success, error or pending", filter->status);
	if (filter->attribute_count == 0)
		return 0;
	made->attributes = calloc(filter->attribute_count, sizeof *made->attributes);
	if (made->attributes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < filter->attribute_count; i++) {
		made->attributes[i].key = slice_or_none(filter->attributes[i].key);
		made->attributes[i].value = slice_or_none(filter->attributes[i].value);
	}
	made->filter.attributes = made->attributes;
	made->filter.attribute_count = filter->attribute_count;
	return 0;
}

void store_filter_done(struct store_filter *made)
{
	free(made->attributes);
}

/* ---- Lists ------------------------------------------------------------ */

static struct slice status_slice(enum record_status status)
{
	return slice_of_text(status == RECORD_ERROR	? "error"
			     : status == RECORD_PENDING ? "pending"
							: "success");
}

int store_summary_add(struct listing *into, const struct trace_summary *from)
{
	struct listing_entry entry = {.trace_id = from->trace_id,
		.start_ns = from->start_ns,
		.duration_ms = (double)from->duration_ns / 1e6,
		.pending = from->pending,
		.operation = from->operation,
		.layer = from->layer,
		.status = status_slice(from->status),
		.services = from->services,
		.service_count = from->service_count,
		.spans = from->spans,
		.errors = from->errors,
		.damaged = from->damaged};

	return listing_add(into, &entry);
}

static int add_page(struct listing *into, const struct query_list *page)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < page->count; i++)
		result = store_summary_add(into, &page->traces[i]);
	return result;
}

static int store_list(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into)
{
	struct store_backend *store = (struct store_backend *)backend;
	struct query_list pages[2] = {{0}, {0}};
	struct store_filter made;
	unsigned now = 0;
	int result = store_filter_init(&made, backend, filter);

	/* The page asked for lies in the answer before, so two are kept. */
	while (result == 0 && into->count < limit) {
		size_t left = limit - into->count;
		struct slice page = pages[now ^ 1].next_page;

		result = query_list(store->reader, &made.filter,
			(uint32_t)(left < QUERY_LIMIT_MAX ? left : QUERY_LIMIT_MAX), page,
			&pages[now]);
		if (result != 0)
			result = failed(store, result);
		else
			result = add_page(into, &pages[now]);
		query_list_done(&pages[now ^ 1]);
		pages[now ^ 1] = (struct query_list){0};
		if (pages[now].next_page.length == 0)
			break;
		now ^= 1;
	}
	query_list_done(&pages[0]);
	query_list_done(&pages[1]);
	store_filter_done(&made);
	return result;
}

/* ---- One trace -------------------------------------------------------- */

static int not_one_trace(
	struct store_backend *store, const char *id, int error, const struct query_found *found)
{
	struct strbuf *said = &store->backend.error;
	char text[RECORD_ID_TEXT_BYTES];

	if (error == -ENOENT || error == -EINVAL) {
		const char *damaged = reader_damaged_file(store->reader);

		error = backend_no_trace(&store->backend, error, id);
		if (error == -ENOENT && damaged != NULL) {
			strbuf_string(said, "; but file ");
			strbuf_safe(said, damaged, strlen(damaged));
			strbuf_string(said, ", which may have held it, is missing or damaged");
		}
		return error;
	}
	if (error != ERR_AMBIGUOUS)
		return failed(store, error);
	error = backend_fail(&store->backend, -ENOTUNIQ, "%s", "");
	strbuf_safe(said, id, strlen(id));
	strbuf_string(said, " could mean:");
	for (size_t i = 0; i < found->candidate_count; i++) {
		record_format_id(found->candidates[i], text);
		strbuf_format(said, "\n  %s", text);
	}
	if (found->more)
		strbuf_string(said, "\n  and others");
	return error;
}

static int store_get(struct backend *backend, const char *id, struct trace_build *into)
{
	struct store_backend *store = (struct store_backend *)backend;
	struct query_records records = {0};
	struct query_found found = {0};
	int result = query_show(store->reader, slice_of_text(id), &found, &records);

	if (result == -EBADMSG && reader_damaged_file(store->reader) != NULL)
		result = backend_fail(backend, result,
			"file %s is damaged: the trace's spans in it can't be read",
			reader_damaged_file(store->reader));
	else if (result != 0)
		result = not_one_trace(store, id, result, &found);
	memcpy(into->trace_id, found.trace_id, sizeof into->trace_id);
	for (size_t i = 0; result == 0 && i < records.count; i++)
		result = trace_build_add(into, records.lines[i]);
	query_records_done(&records);
	return result;
}

/* ---- Figures ---------------------------------------------------------- */

int store_figures_add(struct figures *into, const struct stats *stats)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < stats_count(stats); i++) {
		const struct stats_row *from = stats_at(stats, i);
		struct waft_operation_stats row = {.count = from->count,
			.errors = from->errors,
			.p50_ms = (double)stats_percentile_ns(from, 0.50) / 1e6,
			.p95_ms = (double)stats_percentile_ns(from, 0.95) / 1e6,
			.p99_ms = (double)stats_percentile_ns(from, 0.99) / 1e6,
			.total_ms = (double)from->total_ns / 1e6,
			.self_ms = (double)from->self_ns / 1e6};

		result = figures_add(into, from->service, from->operation, from->layer, &row);
	}
	return result;
}

static int store_stats(
	struct backend *backend, const struct waft_trace_filter *filter, struct figures *into)
{
	struct store_backend *store = (struct store_backend *)backend;
	struct stats *stats = stats_new();
	struct store_filter made = {0};
	int result = stats == NULL ? -ENOMEM : store_filter_init(&made, backend, filter);

	if (result == 0) {
		result = query_stats(store->reader, &made.filter, stats);
		if (result != 0)
			result = failed(store, result);
	}
	if (result == 0)
		result = store_figures_add(into, stats);
	stats_free(stats);
	store_filter_done(&made);
	return result;
}

/* ---- What is running ---------------------------------------------------- */

static int store_open_spans(struct backend *backend, const char *service, struct open_build *into)
{
	const struct store_backend *store = (struct store_backend *)backend;

	(void)service;
	(void)into;
	return backend_fail(backend, -ENOTSUP,
		"file:%s: what is running now is known to a collector only\n"
		"Name one: --endpoint unix:PATH.",
		store->directory);
}

/* ---- What was passed over ------------------------------------------------ */

static uint64_t store_passed_over(const struct backend *backend)
{
	const struct store_backend *store = (const struct store_backend *)backend;

	return reader_report(store->reader)->bad_lines;
}

static void warn_bad_lines(
	const struct store_backend *store, const struct reader_report *report, struct strbuf *text)
{
	bool one = report->bad_lines == 1;

	strbuf_format(
		text, "%" PRIu64 " line%s of the files in ", report->bad_lines, one ? "" : "s");
	strbuf_safe(text, store->directory, strlen(store->directory));
	strbuf_format(text, " %s passed over, ",
		one ? "is not a record and was" : "are not records and were");
	strbuf_string(text, one ? "in " : "the first in ");
	strbuf_safe(text, report->bad_file, strlen(report->bad_file));
	if (report->bad_line != 0)
		strbuf_format(text, ", line %" PRIu64, report->bad_line);
	else
		strbuf_format(text, ", at byte %" PRIu64, report->bad_offset);
	strbuf_format(text,
		": %s; all else was read. Keep the file: waftctl status looks "
		"through the whole store.\n",
		report->bad_why);
}

static void store_warn(struct backend *backend, struct strbuf *text)
{
	const struct store_backend *store = (const struct store_backend *)backend;
	const struct reader_report *report = reader_report(store->reader);

	if (report->manifest_damaged) {
		strbuf_string(text, "the manifest of ");
		strbuf_safe(text, store->directory, strlen(store->directory));
		strbuf_string(text, " is damaged or was cut off: its files were read to their "
				    "ends; the next start of waft-collectord mends it.\n");
	}
	if (report->log_cut) {
		strbuf_string(text, "the log of ");
		strbuf_safe(text, store->directory, strlen(store->directory));
		strbuf_string(text, " ends before records that were synced: spans that no file has "
				    "yet may be missing here.\n");
	}
	if (report->bad_lines != 0)
		warn_bad_lines(store, report, text);
	if (report->unreadable_files != 0) {
		strbuf_format(text, "%" PRIu64 " file%s of ", report->unreadable_files,
			report->unreadable_files == 1 ? "" : "s");
		strbuf_safe(text, store->directory, strlen(store->directory));
		strbuf_string(text, " could not be read, the first ");
		strbuf_safe(text, report->unreadable_file, strlen(report->unreadable_file));
		strbuf_format(text, ": %s; its traces are missing here.\n",
			error_text(report->unreadable_error));
	}
	if (report->damaged_files != 0) {
		strbuf_string(text, "file ");
		strbuf_safe(text, report->damaged_file, strlen(report->damaged_file));
		strbuf_format(text, " is damaged: %s; some of its spans are missing here.\n",
			error_text(report->damaged_error));
	}
}

/* ---- Opening ---------------------------------------------------------- */

static void store_close(struct backend *backend)
{
	struct store_backend *store = (struct store_backend *)backend;

	reader_close(store->reader);
	strbuf_done(&backend->error);
	free(store->directory);
	free(store);
}

static const struct backend_ops ops = {
	.list = store_list,
	.get = store_get,
	.tail = store_tail,
	.stats = store_stats,
	.status = store_status,
	.open_spans = store_open_spans,
	.passed_over = store_passed_over,
	.warn = store_warn,
	.close = store_close,
};

int backend_store_open(const char *directory, struct backend **ret_backend, struct strbuf *error)
{
	struct reader_config config = {.directory = directory};
	struct store_backend *store = calloc(1, sizeof *store);
	int result;

	if (store == NULL)
		return -ENOMEM;
	store->backend.ops = &ops;
	store->directory = strdup(directory);
	result = store->directory == NULL ? -ENOMEM : reader_open(&config, &store->reader);
	if (result != 0) {
		strbuf_format(error, "file:%s: %s", directory, error_text(result));
		free(store->directory);
		free(store);
		return result;
	}
	*ret_backend = &store->backend;
	return 0;
}
