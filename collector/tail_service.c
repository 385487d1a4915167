/*
 * Readers that follow what arrives.
 *
 * The happy path: open → the request's filter → batches come (on_batch) and are
 * queued by place → while there is credit, a piece of work on the pool makes lines
 * of the oldest (make_lines) → after_lines sends them and goes on.
 *
 * Failures: the queue is full, or the log has dropped a batch before it was read:
 * its spans are counted as missed and told with the next message. A call that ends
 * during work leaves its tail without a call until after_lines.
 */
#include "tail_service.h"

#include "answers.h"
#include "batch.h"
#include "line.h"
#include "scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_BATCHES 256u
#define PIECE_BYTES (128u << 10)
#define PIECE_RECORDS 512u
#define CACHE_BYTES (512u << 10)

enum tail_state {
	TAIL_OPENED,  /* waits for its request → IDLE */
	TAIL_IDLE,    /* → WORKING, or the end */
	TAIL_WORKING, /* a piece is on the pool → IDLE, or the end */
};

struct tail_batch {
	struct log_place place;
	uint32_t spans;
};

/* What one piece of work makes; the pool's while WORKING. */
struct piece {
	struct log_reader *reader;
	struct line_writer writer;
	struct batch batch;
	struct bytes lines;
	struct scratch scratch;
	uint32_t offsets[PIECE_RECORDS + 1];
	uint32_t records;
	uint32_t position; /* of the first span of the batch that was not looked at */
	struct tail_batch from;
	bool ended; /* the batch was looked at to its end */
	int status;
};

struct tail {
	enum tail_state state;
	struct tail_service *service;
	struct call *call; /* NULL: over */
	ProtobufCMessage *request;
	struct filter filter;
	struct filter_attribute *attributes;
	struct tail_batch queue[QUEUE_BATCHES];
	uint32_t first; /* oldest in queue */
	uint32_t count;
	uint64_t missed; /* not told yet */
	struct piece piece;
	uv_work_t work;
	struct tail *next;
	struct tail *previous;
};

struct tail_service {
	struct tail_service_config config;
	struct tail *tails;
	struct tail_counts counts;
	size_t working;
	bool closing;
	void (*on_closed)(void *context);
	void *closed_context;
};

static void free_tail(struct tail *tail)
{
	if (tail->request != NULL)
		protobuf_c_message_free_unpacked(tail->request, NULL);
	free(tail->attributes);
	log_reader_free(tail->piece.reader);
	line_writer_done(&tail->piece.writer);
	batch_done(&tail->piece.batch);
	bytes_done(&tail->piece.lines);
	scratch_done(&tail->piece.scratch);
	free(tail);
}

static void maybe_finish(struct tail_service *service)
{
	if (!service->closing || service->working > 0)
		return;
	service->on_closed(service->closed_context);
	free(service);
}

/* ---- The work: on the pool ------------------------------------------------------ */

/* Appends the span's line if the filter lets it pass. 0 or a negative error. */
static int add_line(struct tail *tail, struct span_view *view)
{
	struct piece *piece = &tail->piece;
	size_t before = piece->lines.length;
	struct record record;
	int matched;
	int status = line_span(&piece->writer, &piece->batch, view, &piece->lines);

	if (status < 0)
		return status;
	scratch_reset(&piece->scratch);
	status =
		record_parse(slice_of(piece->lines.data + before, piece->lines.length - before - 1),
			&piece->scratch, &record, NULL);
	matched =
		status < 0 ? status : filter_match_record(&tail->filter, &record, &piece->scratch);
	if (matched <= 0) {
		piece->lines.length = before;
		return matched == -ENOMEM ? matched : 0;
	}
	piece->offsets[++piece->records] = (uint32_t)piece->lines.length;
	return 0;
}

static int read_spans(struct tail *tail)
{
	struct piece *piece = &tail->piece;
	struct batch_iter iter;
	struct span_view view;
	uint32_t position = 0;
	int status;

	batch_iter_init(&iter);
	while ((status = batch_next(&piece->batch, &iter, &view)) > 0) {
		if (position++ < piece->position)
			continue;
		status = add_line(tail, &view);
		if (status < 0)
			return status;
		piece->position = position;
		if (piece->records == PIECE_RECORDS || piece->lines.length >= PIECE_BYTES)
			return 0;
	}
	piece->ended = status == 0;
	return status;
}

static void make_lines(uv_work_t *work)
{
	struct tail *tail = work->data;
	struct piece *piece = &tail->piece;
	const struct tail_service_config *config = &tail->service->config;
	const struct log_record *record = NULL;
	int status = 0;

	piece->records = 0;
	piece->lines.length = 0;
	piece->offsets[0] = 0;
	piece->ended = false;
	if (piece->reader == NULL)
		status = log_reader_new(config->disk, config->log_dir, CACHE_BYTES, &piece->reader);
	if (status == 0)
		status = log_reader_get(piece->reader, piece->from.place, &record);
	if (status == 0)
		status = batch_open(&piece->batch, record->payload, record->payload_length);
	if (status == 0)
		status = line_batch_begin(&piece->writer, &piece->batch, &record->peer);
	if (status == 0)
		status = read_spans(tail);
	piece->status = status;
}

/* ---- On the loop ------------------------------------------------------------------ */

static void start_piece(struct tail *tail);

/* Sends the lines of the piece. */
static void send_lines(struct tail *tail)
{
	Waft__V1__TailResponse response = WAFT__V1__TAIL_RESPONSE__INIT;
	ProtobufCBinaryData records[PIECE_RECORDS];
	struct piece *piece = &tail->piece;
	struct answer answer = {0};
	size_t length = 0;
	uint8_t *frame;

	if (piece->records == 0 && tail->missed == 0)
		return;
	for (uint32_t i = 0; i < piece->records; i++)
		records[i] =
			(ProtobufCBinaryData){.len = piece->offsets[i + 1] - piece->offsets[i] - 1,
				.data = piece->lines.data + piece->offsets[i]};
	response.n_records = piece->records;
	response.records = records;
	response.missed = tail->missed;
	answer_pack(&response.base, tail->call->stream_id, &answer);
	frame = answer_take_frame(&answer, &length);
	if (frame != NULL && call_send_frame(tail->call, frame, length) == 0) {
		tail->service->counts.sent += piece->records;
		tail->missed = 0;
	} else {
		/* A line too long for an answer, or a peer that went away. */
		tail->missed += piece->records;
		tail->service->counts.missed += piece->records;
	}
}

static void after_lines(uv_work_t *work, int status)
{
	struct tail *tail = work->data;
	struct tail_service *service = tail->service;
	struct piece *piece = &tail->piece;

	(void)status;
	service->working--;
	if (tail->call == NULL) {
		free_tail(tail);
		maybe_finish(service);
		return;
	}
	tail->state = TAIL_IDLE;
	if (piece->status < 0) {
		uint32_t left = piece->from.spans - piece->position;

		tail->missed += left;
		service->counts.missed += left;
		piece->ended = true;
	}
	if (piece->ended) {
		tail->first = (tail->first + 1) % QUEUE_BATCHES;
		tail->count--;
		piece->position = 0;
	}
	send_lines(tail);
	start_piece(tail);
}

/* Gives the oldest batch to the pool, if the reader may be sent something. */
static void start_piece(struct tail *tail)
{
	if (tail->state != TAIL_IDLE || tail->count == 0 || !call_writable(tail->call))
		return;
	tail->piece.from = tail->queue[tail->first];
	tail->work.data = tail;
	if (uv_queue_work(tail->service->config.loop, &tail->work, make_lines, after_lines) < 0)
		return;
	tail->state = TAIL_WORKING;
	tail->service->working++;
}

void tail_service_on_batch(struct tail_service *service, struct log_place place, uint32_t spans)
{
	for (struct tail *tail = service->tails; tail != NULL; tail = tail->next) {
		if (tail->state == TAIL_OPENED)
			continue;
		if (tail->count == QUEUE_BATCHES) {
			tail->missed += spans;
			service->counts.missed += spans;
		} else {
			tail->queue[(tail->first + tail->count) % QUEUE_BATCHES] =
				(struct tail_batch){place, spans};
			tail->count++;
		}
		start_piece(tail);
	}
}

/* ---- Calls -------------------------------------------------------------------------- */

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct tail *tail = call->context;
	const struct rpc_method *method = rpc_method_find(slice_of_text(WIRE_METHOD_TAIL));
	int status;

	(void)now_ms;
	if (tail->state != TAIL_OPENED) {
		call_finish(call, GRPC_INVALID_ARGUMENT, "a query is one message", 0);
		return;
	}
	status = rpc_unpack(method->request, message, &rpc_request_limits, &tail->request);
	if (status == 0)
		status = answer_filter(((Waft__V1__TailRequest *)tail->request)->filter,
			&tail->filter, &tail->attributes);
	if (status < 0) {
		call_finish(call, error_to_grpc(status), error_text(status), 0);
		return;
	}
	tail->state = TAIL_IDLE;
	/* An empty message: the reader knows that from here on nothing is left out. */
	status = call_send(call, slice_of("", 0), false);
	if (status < 0)
		call_finish(call, GRPC_RESOURCE_EXHAUSTED, error_text(status), 0);
}

static void on_end(struct call *call, uint64_t now_ms)
{
	const struct tail *tail = call->context;

	(void)now_ms;
	if (tail->state == TAIL_OPENED)
		call_finish(call, GRPC_INVALID_ARGUMENT, "the request is missing", 0);
}

static void on_writable(struct call *call, uint64_t now_ms)
{
	(void)now_ms;
	start_piece(call->context);
}

static void on_closed(struct call *call)
{
	struct tail *tail = call->context;
	struct tail_service *service = tail->service;

	tail->call = NULL;
	if (tail->previous != NULL)
		tail->previous->next = tail->next;
	else
		service->tails = tail->next;
	if (tail->next != NULL)
		tail->next->previous = tail->previous;
	service->counts.tails--;
	if (tail->state != TAIL_WORKING)
		free_tail(tail);
}

static const struct call_ops tail_call_ops = {.on_message = on_message,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_closed = on_closed};

static enum grpc_status open_tail(void *context, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct tail_service *service = context;
	struct tail *tail;

	(void)header;
	(void)now_ms;
	if (service->counts.tails >= service->config.max_tails) {
		*ret_message = "too many readers tail already";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	tail = calloc(1, sizeof(*tail));
	if (tail == NULL) {
		*ret_message = "the collector is out of memory";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	tail->service = service;
	tail->call = call;
	tail->next = service->tails;
	if (service->tails != NULL)
		service->tails->previous = tail;
	service->tails = tail;
	service->counts.tails++;
	call->context = tail;
	return GRPC_OK;
}

/* ---- Life ---------------------------------------------------------------------------- */

int tail_service_new(const struct tail_service_config *config, struct tail_service **ret)
{
	struct tail_service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return -ENOMEM;
	service->config = *config;
	*ret = service;
	return 0;
}

void tail_service_close(
	struct tail_service *service, void (*on_closed_all)(void *context), void *context)
{
	service->closing = true;
	service->on_closed = on_closed_all;
	service->closed_context = context;
	maybe_finish(service);
}

void tail_service_configure(struct tail_service *service, uint32_t max_tails)
{
	service->config.max_tails = max_tails;
}

void tail_service_method(struct tail_service *service, struct service_method *ret_method)
{
	*ret_method = (struct service_method){
		.path = WIRE_METHOD_TAIL,
		.right = ACCESS_QUERY,
		.ops = &tail_call_ops,
		.open = open_tail,
		.service = service,
	};
}

void tail_service_count(const struct tail_service *service, struct tail_counts *ret)
{
	*ret = service->counts;
}
