/*
 * The answers of the Query service: a request as protobuf-c unpacked it and a
 * reader of the store in, the frame of the answer out. No loop, no socket; a
 * worker thread runs it. Messages stay below 256 KiB by their pages, or are several.
 */
#ifndef WAFT_COLLECTOR_ANSWERS_H
#define WAFT_COLLECTOR_ANSWERS_H

#include "errors.h"
#include "filter.h"
#include "reader.h"
#include "regions.h"
#include "rpc.h"

#define ANSWER_MESSAGE_BYTES_MAX ((size_t)250 << 10)

/* A message of an answer: a frame and the next one. */
struct answer_frame {
	struct answer_frame *next;
	uint8_t *frame; /* owned (free) */
	size_t length_bytes;
};

/* What a query comes to. */
struct answer {
	enum grpc_status status;
	char message[256];
	struct answer_frame *frames; /* owned, in order */
	size_t frame_bytes;	     /* of all of them */
	bool stale;		     /* the view is too old: ask again with another */
};

/* Zero-initialised is empty. */
void answer_done(struct answer *answer);

/* ListTraces, GetTrace and Stats: fills *ret for the call with that stream id. */
void answer_list(struct reader *reader, const Waft__V1__ListTracesRequest *request,
	uint32_t stream_id, struct answer *ret);
/* views: of processes whose open spans belong to the answer too. */
void answer_get(struct reader *reader, const Waft__V1__GetTraceRequest *request,
	const struct region_view *views, size_t view_count, uint32_t stream_id, struct answer *ret);
void answer_stats(struct reader *reader, const Waft__V1__StatsRequest *request, uint32_t stream_id,
	struct answer *ret);

/* OpenSpans: of the processes of views, which begin where the request's page says. */
void answer_open_spans(const Waft__V1__OpenSpansRequest *request, const struct region_view *views,
	size_t view_count, uint32_t stream_id, struct answer *ret);

/* Where the views of a request begin: a client's id; NULL: with the first. Borrowed
 * from the request. */
const uint8_t *answer_open_spans_from(const Waft__V1__OpenSpansRequest *request);

/* Sets the status and the message; formats like printf. */
void answer_fail(struct answer *ret, enum grpc_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Takes out the first frame (owned by the caller); NULL when there is none. */
uint8_t *answer_take_frame(struct answer *answer, size_t *ret_length_bytes);

/* Adds the frame of a message; without room or memory, the failure. */
void answer_pack(const ProtobufCMessage *message, uint32_t stream_id, struct answer *ret);

/* A filter as the store takes it; texts point into the message. *ret_attributes
 * is owned by the caller (free) and used by *ret. NULL means no filter. 0,
 * -EINVAL (a status that there isn't), -ENOMEM. */
int answer_filter(const Waft__V1__Filter *message, struct filter *ret,
	struct filter_attribute **ret_attributes) MUST_CHECK;

#endif
