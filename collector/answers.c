/* From requests to answers. A worker thread's, one reader each. */
#include "answers.h"

#include "cursor.h"
#include "ids.h"
#include "open_spans.h"
#include "query.h"
#include "stats.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_BYTES (128u << 10)
#define RECORD_PART_BYTES ((size_t)200 << 10)
/* Of all messages of an answer. */
#define ANSWER_BYTES_MAX ((size_t)32 << 20)
#define OPEN_BYTES (32u << 10) /* of a trace */
/* A trace's page says which trace it belongs to: "last" may mean another by then. */
#define PAGE_ID_BYTES 16u

void answer_done(struct answer *answer)
{
	uint8_t *frame;
	size_t length;

	while ((frame = answer_take_frame(answer, &length)) != NULL)
		free(frame);
	*answer = (struct answer){0};
}

uint8_t *answer_take_frame(struct answer *answer, size_t *ret_length_bytes)
{
	struct answer_frame *first = answer->frames;
	uint8_t *frame;

	if (first == NULL)
		return NULL;
	frame = first->frame;
	*ret_length_bytes = first->length_bytes;
	answer->frames = first->next;
	answer->frame_bytes -= first->length_bytes;
	free(first);
	return frame;
}

void answer_fail(struct answer *ret, enum grpc_status status, const char *format, ...)
{
	va_list args;

	ret->status = status;
	va_start(args, format);
	vsnprintf(ret->message, sizeof(ret->message), format, args);
	va_end(args);
}

/* The store's error as a status. */
static void fail_by_error(struct answer *ret, int error, const char *what)
{
	if (error == -ESTALE) {
		ret->stale = true;
		answer_fail(ret, GRPC_UNAVAILABLE, "%s: the store moves too fast; try again", what);
	} else if (error == -EINVAL) {
		answer_fail(ret, GRPC_INVALID_ARGUMENT, "%s: the page or id is none of ours", what);
	} else if (error == -ENOENT) {
		answer_fail(ret, GRPC_NOT_FOUND, "%s: there is no such trace", what);
	} else {
		answer_fail(ret, error_to_grpc(error), "%s: %s", what, error_text(error));
	}
}

void answer_pack(const ProtobufCMessage *message, uint32_t stream_id, struct answer *ret)
{
	struct answer_frame *added = calloc(1, sizeof(*added));
	struct answer_frame **end = &ret->frames;
	int status = added == NULL ? -ENOMEM : 0;

	if (status == 0)
		status = rpc_pack_frame(message, stream_id, &added->frame, &added->length_bytes);
	if (status == 0 && ret->frame_bytes + added->length_bytes > ANSWER_BYTES_MAX)
		status = ERR_LIMIT;
	if (status < 0) {
		answer_fail(ret, GRPC_RESOURCE_EXHAUSTED, "the answer: %s", error_text(status));
		if (added != NULL)
			free(added->frame);
		free(added);
		return;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = added;
	ret->frame_bytes += added->length_bytes;
}

/* ---- Filters --------------------------------------------------------------- */

static struct slice slice_of_field(const char *text)
{
	return text != NULL && *text != '\0' ? slice_of_text(text) : slice_of(NULL, 0);
}

static int64_t clamp_ns(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

int answer_filter(const Waft__V1__Filter *message, struct filter *ret,
	struct filter_attribute **ret_attributes)
{
	struct filter_attribute *attributes = NULL;

	*ret = (struct filter){0};
	*ret_attributes = NULL;
	if (message == NULL)
		return 0;
	if (message->status != NULL && *message->status != '\0') {
		int status = filter_set_status(ret, slice_of_text(message->status));

		if (status < 0)
			return status;
	}
	if (message->n_attributes > 0) {
		attributes = calloc(message->n_attributes, sizeof(*attributes));
		if (attributes == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < message->n_attributes; i++) {
			attributes[i].key = slice_of_text(message->attributes[i]->key);
			attributes[i].value = slice_of_text(message->attributes[i]->value);
		}
	}
	ret->since_ns = clamp_ns(message->since_ns);
	ret->until_ns = clamp_ns(message->until_ns);
	ret->service = slice_of_field(message->service);
	ret->operation = slice_of_field(message->operation);
	ret->layer = slice_of_field(message->layer);
	ret->attributes = attributes;
	ret->attribute_count = message->n_attributes;
	ret->errors = message->errors;
	ret->min_duration_ns = clamp_ns(message->min_duration_ns);
	ret->max_duration_ns = clamp_ns(message->max_duration_ns);
	ret->grep = slice_of_field(message->grep);
	*ret_attributes = attributes;
	return 0;
}

static void fail_by_filter(struct answer *ret, int error)
{
	answer_fail(ret, error_to_grpc(error), "%s",
		error == -EINVAL ? "the status of a filter is success, error or pending"
				 : error_text(error));
}

/* ---- Texts of answers -------------------------------------------------------- */

/* Copies a slice with a NUL behind it; NULL without memory. */
static char *copy_text(struct scratch *scratch, struct slice text)
{
	return scratch_copy(scratch, text.length > 0 ? (const void *)text.data : "", text.length);
}

static const char *status_name(enum record_status status)
{
	static const char *const names[] = {"success", "error", "pending"};

	return names[status];
}

/* ---- ListTraces -------------------------------------------------------------- */

static int fill_summary(
	struct scratch *scratch, const struct trace_summary *trace, Waft__V1__TraceSummary *summary)
{
	waft__v1__trace_summary__init(summary);
	summary->trace_id =
		(ProtobufCBinaryData){.len = 16, .data = (uint8_t *)(uintptr_t)trace->trace_id};
	summary->start_ns = (uint64_t)trace->start_ns;
	summary->duration_ms = (double)trace->duration_ns / 1e6;
	summary->pending = trace->pending;
	summary->operation = copy_text(scratch, trace->operation);
	summary->layer = copy_text(scratch, trace->layer);
	summary->status = (char *)(uintptr_t)status_name(trace->status);
	summary->spans = trace->spans;
	summary->errors = trace->errors;
	summary->damaged = trace->damaged;
	summary->n_services = trace->service_count;
	summary->services =
		scratch_alloc(scratch, (trace->service_count + 1) * sizeof(*summary->services));
	if (summary->operation == NULL || summary->layer == NULL || summary->services == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < trace->service_count; i++) {
		summary->services[i] = copy_text(scratch, trace->services[i]);
		if (summary->services[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Packs a page; 0, -EMSGSIZE when it is too large, -ENOMEM. */
static int pack_list(const struct query_list *list, const char *damaged_file, uint32_t stream_id,
	struct answer *ret)
{
	Waft__V1__ListTracesResponse response = WAFT__V1__LIST_TRACES_RESPONSE__INIT;
	struct scratch scratch = {0};
	Waft__V1__TraceSummary *summaries =
		scratch_alloc(&scratch, (list->count + 1) * sizeof(*summaries));
	Waft__V1__TraceSummary **pointers =
		scratch_alloc(&scratch, (list->count + 1) * sizeof(*pointers));
	int status = summaries == NULL || pointers == NULL ? -ENOMEM : 0;

	for (size_t i = 0; status == 0 && i < list->count; i++) {
		status = fill_summary(&scratch, &list->traces[i], &summaries[i]);
		pointers[i] = &summaries[i];
	}
	if (status == 0) {
		response.n_traces = list->count;
		response.traces = pointers;
		if (damaged_file != NULL)
			response.damaged_file = (char *)(uintptr_t)damaged_file;
		response.next_page.len = list->next_page.length;
		response.next_page.data = (uint8_t *)(uintptr_t)list->next_page.data;
		if (waft__v1__list_traces_response__get_packed_size(&response) >
			ANSWER_MESSAGE_BYTES_MAX)
			status = -EMSGSIZE;
		else
			answer_pack(&response.base, stream_id, ret);
	}
	scratch_done(&scratch);
	return status;
}

void answer_list(struct reader *reader, const Waft__V1__ListTracesRequest *request,
	uint32_t stream_id, struct answer *ret)
{
	struct filter_attribute *attributes = NULL;
	uint32_t limit = request->limit;
	struct filter filter;
	int status = answer_filter(request->filter, &filter, &attributes);

	if (status < 0) {
		fail_by_filter(ret, status);
		return;
	}
	if (limit == 0)
		limit = QUERY_LIMIT_DEFAULT;
	/* Long texts can make a page too large: then it holds fewer traces. */
	do {
		struct query_list list = {0};

		status = query_list(reader, &filter, limit,
			slice_of(request->page.data, request->page.len), &list);
		if (status == 0)
			status = pack_list(&list, reader_damaged_file(reader), stream_id, ret);
		query_list_done(&list);
		limit = limit > 1 ? limit / 2 : 0;
	} while (status == -EMSGSIZE && limit > 0);
	if (status < 0)
		fail_by_error(ret, status, "list");
	free(attributes);
}

/* ---- GetTrace ------------------------------------------------------------------ */

static void fail_ambiguous(const struct query_found *found, uint32_t stream_id, struct answer *ret)
{
	Waft__V1__GetTraceResponse response = WAFT__V1__GET_TRACE_RESPONSE__INIT;
	char texts[QUERY_CANDIDATES_MAX][ID_UUID_LENGTH + 1];
	char *pointers[QUERY_CANDIDATES_MAX];

	for (size_t i = 0; i < found->candidate_count; i++) {
		struct trace_id id;

		memcpy(id.bytes, found->candidates[i], sizeof(id.bytes));
		trace_id_format(&id, texts[i]);
		texts[i][ID_UUID_LENGTH] = '\0';
		pointers[i] = texts[i];
	}
	response.n_candidates = found->candidate_count;
	response.candidates = pointers;
	answer_pack(&response.base, stream_id, ret);
	answer_fail(ret, GRPC_FAILED_PRECONDITION,
		"the id could mean %zu%s traces: give more of it", found->candidate_count,
		found->more ? " or more" : "");
}

/* A record that is too large for one message. */
static void pack_parts(struct slice record, uint32_t stream_id, struct answer *ret)
{
	while (record.length > 0 && ret->status == GRPC_OK) {
		Waft__V1__GetTraceResponse response = WAFT__V1__GET_TRACE_RESPONSE__INIT;
		size_t length =
			record.length < RECORD_PART_BYTES ? record.length : RECORD_PART_BYTES;

		response.record_part = (ProtobufCBinaryData){
			.len = length, .data = (uint8_t *)(uintptr_t)record.data};
		response.record_end = length == record.length;
		record = slice_of(record.data + length, record.length - length);
		answer_pack(&response.base, stream_id, ret);
	}
}

static ProtobufCBinaryData line_of(const struct open_spans *open, size_t i)
{
	return (ProtobufCBinaryData){
		.len = open->lines[i].length, .data = open->text.data + open->lines[i].at};
}

static void pack_records(struct query_records *records, const struct open_spans *open,
	const uint8_t trace_id[16], uint32_t stream_id, struct answer *ret)
{
	Waft__V1__GetTraceResponse response = WAFT__V1__GET_TRACE_RESPONSE__INIT;
	ProtobufCBinaryData *lines = scratch_alloc(
		&records->scratch, (records->count + open->count + 1) * sizeof(*lines));
	uint8_t *page = scratch_alloc(&records->scratch, PAGE_ID_BYTES + records->next_page.length);
	struct slice large = slice_of(NULL, 0);

	if (lines == NULL || page == NULL) {
		fail_by_error(ret, -ENOMEM, "show");
		return;
	}
	/* A page ends with the record that fills it. */
	if (records->count > 0 &&
		records->lines[records->count - 1].length > RECORDS_BYTES - RECORDS_BYTES / 8)
		large = records->lines[--records->count];
	for (size_t i = 0; i < records->count; i++)
		lines[i] = (ProtobufCBinaryData){.len = records->lines[i].length,
			.data = (uint8_t *)(uintptr_t)records->lines[i].data};
	for (size_t i = 0; i < open->count; i++)
		lines[records->count + i] = line_of(open, i);
	response.n_records = records->count + open->count;
	response.records = lines;
	response.trace_id =
		(ProtobufCBinaryData){.len = 16, .data = (uint8_t *)(uintptr_t)trace_id};
	if (records->next_page.length > 0) {
		memcpy(page, trace_id, PAGE_ID_BYTES);
		memcpy(page + PAGE_ID_BYTES, records->next_page.data, records->next_page.length);
		response.next_page = (ProtobufCBinaryData){
			.len = PAGE_ID_BYTES + records->next_page.length, .data = page};
	}
	answer_pack(&response.base, stream_id, ret);
	pack_parts(large, stream_id, ret);
}

/* The trace's spans that are open now, with its first page. */
static int read_open(const struct region_view *views, size_t view_count, const uint8_t trace_id[16],
	struct open_spans *open)
{
	for (size_t i = 0; i < view_count && !open_spans_full(open, OPEN_BYTES); i++)
		if (open_spans_read(open, &views[i], trace_id, 0, OPEN_BYTES) < 0)
			return -ENOMEM;
	return 0;
}

static void fail_not_found(const struct reader *reader, const char *id, struct answer *ret)
{
	const char *damaged = reader_damaged_file(reader);

	answer_fail(ret, GRPC_NOT_FOUND, "No trace found with ID: %.64s%s%s%s", id,
		damaged != NULL ? "; but file " : "", damaged != NULL ? damaged : "",
		damaged != NULL ? ", which may have held it, is damaged" : "");
}

void answer_get(struct reader *reader, const Waft__V1__GetTraceRequest *request,
	const struct region_view *views, size_t view_count, uint32_t stream_id, struct answer *ret)
{
	struct query_records records = {0};
	struct query_found found = {0};
	struct open_spans open = {0};
	struct slice page = slice_of(NULL, 0);
	int status = 0;

	if (request->page.len >= PAGE_ID_BYTES) {
		memcpy(found.trace_id, request->page.data, PAGE_ID_BYTES);
		page = slice_of(
			request->page.data + PAGE_ID_BYTES, request->page.len - PAGE_ID_BYTES);
	} else {
		status = query_find(reader, slice_of_text(request->id), &found);
		/* One of which no span has ended yet is in no file. */
		if (status == -ENOENT)
			status = open_spans_find(views, view_count, request->id, found.trace_id);
	}
	if (status == ERR_AMBIGUOUS) {
		fail_ambiguous(&found, stream_id, ret);
		return;
	}
	if (status == 0 && page.data == NULL)
		status = read_open(views, view_count, found.trace_id, &open);
	if (status == 0)
		status = query_get(reader, found.trace_id, RECORDS_BYTES, page, &records);
	if (status == 0 || (status == -ENOENT && open.count > 0))
		pack_records(&records, &open, found.trace_id, stream_id, ret);
	else if (status == -ENOENT)
		fail_not_found(reader, request->id, ret);
	else if (status == -EBADMSG && reader_damaged_file(reader) != NULL)
		answer_fail(ret, GRPC_DATA_LOSS,
			"file %s is damaged: the trace's spans in it can't be read",
			reader_damaged_file(reader));
	else
		fail_by_error(ret, status, "show");
	open_spans_done(&open);
	query_records_done(&records);
}

/* ---- OpenSpans ------------------------------------------------------------------- */

/* A page: the client to go on with, and how many of its spans were told. */
#define OPEN_PAGE_BYTES 20u

const uint8_t *answer_open_spans_from(const Waft__V1__OpenSpansRequest *request)
{
	return request->page.len == OPEN_PAGE_BYTES ? request->page.data : NULL;
}

static void pack_open(struct open_spans *open, uint64_t processes, const uint8_t *page,
	uint32_t stream_id, struct answer *ret)
{
	Waft__V1__OpenSpansResponse response = WAFT__V1__OPEN_SPANS_RESPONSE__INIT;
	ProtobufCBinaryData *lines = calloc(open->count + 1, sizeof(*lines));

	if (lines == NULL) {
		fail_by_error(ret, -ENOMEM, "ps");
		return;
	}
	for (size_t i = 0; i < open->count; i++)
		lines[i] = line_of(open, i);
	response.n_records = open->count;
	response.records = lines;
	response.processes = processes;
	response.left_out = open->left_out;
	response.unreadable = open->unreadable;
	if (page != NULL)
		response.next_page = (ProtobufCBinaryData){
			.len = OPEN_PAGE_BYTES, .data = (uint8_t *)(uintptr_t)page};
	answer_pack(&response.base, stream_id, ret);
	free(lines);
}

void answer_open_spans(const Waft__V1__OpenSpansRequest *request, const struct region_view *views,
	size_t view_count, uint32_t stream_id, struct answer *ret)
{
	const uint8_t *from = answer_open_spans_from(request);
	struct open_spans open = {0};
	uint8_t page[OPEN_PAGE_BYTES];
	uint64_t processes = 0;
	bool more = false;
	long passed = 0;

	for (size_t i = 0; i < view_count && !more && passed >= 0; i++) {
		bool again = from != NULL && memcmp(views[i].client, from, 16) == 0;
		size_t skip = again ? le32_read(from + 16) : 0;

		passed = open_spans_read(&open, &views[i], NULL, skip, RECORDS_BYTES);
		processes += !again;
		more = open_spans_full(&open, RECORDS_BYTES);
		if (more && passed >= 0) {
			memcpy(page, views[i].client, 16);
			le32_write(page + 16, (uint32_t)passed);
		}
	}
	if (passed < 0)
		fail_by_error(ret, (int)passed, "ps");
	else
		pack_open(&open, processes, more ? page : NULL, stream_id, ret);
	open_spans_done(&open);
}

/* ---- Stats ---------------------------------------------------------------------- */

static int fill_operation(
	struct scratch *scratch, const struct stats_row *row, Waft__V1__OperationStats *operation)
{
	waft__v1__operation_stats__init(operation);
	operation->service = copy_text(scratch, row->service);
	operation->operation = copy_text(scratch, row->operation);
	operation->layer = copy_text(scratch, row->layer);
	operation->count = row->count;
	operation->errors = row->errors;
	operation->p50_ms = (double)stats_percentile_ns(row, 0.50) / 1e6;
	operation->p95_ms = (double)stats_percentile_ns(row, 0.95) / 1e6;
	operation->p99_ms = (double)stats_percentile_ns(row, 0.99) / 1e6;
	operation->total_ms = (double)row->total_ns / 1e6;
	operation->self_ms = (double)row->self_ns / 1e6;
	return operation->service == NULL || operation->operation == NULL ||
			       operation->layer == NULL
		       ? -ENOMEM
		       : 0;
}

/* The operations, those with the largest total time first, in as many messages as they
 * take. */
static int pack_stats(struct stats *stats, uint32_t stream_id, struct answer *ret)
{
	Waft__V1__StatsResponse response = WAFT__V1__STATS_RESPONSE__INIT;
	size_t count = stats_count(stats);
	struct scratch scratch = {0};
	Waft__V1__OperationStats *operations =
		scratch_alloc(&scratch, (count + 1) * sizeof(*operations));
	Waft__V1__OperationStats **pointers =
		scratch_alloc(&scratch, (count + 1) * sizeof(*pointers));
	int status = operations == NULL || pointers == NULL ? -ENOMEM : 0;
	size_t bytes = 0;

	stats_sort(stats);
	response.operations = pointers;
	for (size_t i = 0; status == 0 && i < count; i++) {
		size_t length;

		status = fill_operation(&scratch, stats_at(stats, i), &operations[i]);
		if (status < 0)
			break;
		length = waft__v1__operation_stats__get_packed_size(&operations[i]) + 8;
		if (bytes + length > ANSWER_MESSAGE_BYTES_MAX) {
			answer_pack(&response.base, stream_id, ret);
			response.operations = &pointers[i];
			response.n_operations = 0;
			bytes = 0;
		}
		bytes += length;
		pointers[i] = &operations[i];
		response.n_operations++;
	}
	if (status == 0)
		answer_pack(&response.base, stream_id, ret);
	scratch_done(&scratch);
	return status;
}

void answer_stats(struct reader *reader, const Waft__V1__StatsRequest *request, uint32_t stream_id,
	struct answer *ret)
{
	struct filter_attribute *attributes = NULL;
	struct stats *stats;
	struct filter filter;
	int status = answer_filter(request->filter, &filter, &attributes);

	if (status < 0) {
		fail_by_filter(ret, status);
		return;
	}
	stats = stats_new();
	status = stats == NULL ? -ENOMEM : query_stats(reader, &filter, stats);
	if (status == 0)
		status = pack_stats(stats, stream_id, ret);
	if (status < 0)
		fail_by_error(ret, status, "stats");
	stats_free(stats);
	free(attributes);
}
