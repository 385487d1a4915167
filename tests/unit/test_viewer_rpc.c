/*
 * Tests of rpc_client.c and backend_rpc.c against a scripted collector: a thread
 * that accepts one connection after the other and answers calls by a table.
 */
#include "frame.h"
#include "rpc.h"
#include "wire.h"

#include <waft/viewer.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A connection as the collector sees it. */
struct peer {
	int fd;
	struct frame_reader reader;
	uint8_t bytes[65536];
	const uint8_t *unread;
	size_t unread_bytes;
	uint32_t stream;
	char method[64];
};

struct fake {
	char directory[64];
	char path[128];
	char endpoint[160];
	int listener;
	pthread_t thread;
	void (*serve)(struct fake *fake, struct peer *peer);
	/* What the script saw; read after fake_stop. */
	unsigned connections;
	unsigned calls;
	uint64_t granted_bytes;
	char seen[512];
};

/* The next frame; 0 when the client has gone. */
static int peer_frame(struct peer *peer, struct frame *ret_frame)
{
	for (;;) {
		int result = frame_reader_next(
			&peer->reader, &peer->unread, &peer->unread_bytes, ret_frame);
		ssize_t length;

		assert_true(result >= 0);
		if (result == 1)
			return 1;
		length = read(peer->fd, peer->bytes, sizeof peer->bytes);
		if (length <= 0)
			return 0;
		peer->unread = peer->bytes;
		peer->unread_bytes = (size_t)length;
	}
}

static void peer_send(struct peer *peer, enum frame_type type, uint32_t stream, const void *payload,
	size_t length)
{
	uint8_t header[WIRE_FRAME_HEADER_BYTES];

	frame_header_write(header, type, stream, payload, length);
	(void)send(peer->fd, header, sizeof header, MSG_NOSIGNAL);
	(void)send(peer->fd, payload, length, MSG_NOSIGNAL);
}

static void peer_message(struct peer *peer, enum frame_type type, const ProtobufCMessage *message)
{
	uint8_t *bytes = NULL;
	size_t length = 0;

	assert_int_equal(rpc_pack(message, 0, &bytes, &length), 0);
	peer_send(peer, type, peer->stream, bytes, length);
	free(bytes);
}

static void peer_status(struct peer *peer, unsigned code, const char *text)
{
	Waft__V1__CallStatus status = WAFT__V1__CALL_STATUS__INIT;

	status.code = code;
	status.message = (char *)text;
	peer_message(peer, FRAME_STATUS, &status.base);
}

/* Waits for CALL and its MESSAGE. NULL when the client has gone. */
static ProtobufCMessage *peer_any_call(struct peer *peer)
{
	const struct rpc_method *method;
	Waft__V1__CallHeader *header;
	ProtobufCMessage *message;
	struct frame frame;

	do {
		if (!peer_frame(peer, &frame))
			return NULL;
	} while (frame.type != FRAME_CALL);
	assert_true(frame.stream > peer->stream);
	peer->stream = frame.stream;
	assert_int_equal(
		rpc_unpack(&waft__v1__call_header__descriptor,
			slice_of(frame.payload, frame.length), &rpc_request_limits, &message),
		0);
	header = (Waft__V1__CallHeader *)message;
	(void)snprintf(peer->method, sizeof peer->method, "%s", header->method);
	protobuf_c_message_free_unpacked(message, NULL);
	method = rpc_method_find(slice_of_text(peer->method));
	assert_non_null(method);
	assert_int_equal(peer_frame(peer, &frame), 1);
	assert_int_equal(frame.type, FRAME_MESSAGE);
	assert_int_equal(rpc_unpack(method->request, slice_of(frame.payload, frame.length),
				 &rpc_request_limits, &message),
		0);
	return message;
}

/* The same; this collector is one that knows of no open spans. */
static ProtobufCMessage *peer_call(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message = peer_any_call(peer);

	while (message != NULL && strcmp(peer->method, WIRE_METHOD_OPEN_SPANS) == 0) {
		protobuf_c_message_free_unpacked(message, NULL);
		peer_status(peer, GRPC_UNIMPLEMENTED, "what is that?");
		message = peer_any_call(peer);
	}
	fake->calls += message != NULL;
	return message;
}

static void *serve(void *arg)
{
	struct fake *fake = arg;

	for (;;) {
		struct peer *peer = calloc(1, sizeof *peer);

		assert_non_null(peer);
		peer->fd = accept(fake->listener, NULL, NULL);
		if (peer->fd >= 0) {
			fake->connections++;
			fake->serve(fake, peer);
			(void)close(peer->fd);
			frame_reader_done(&peer->reader);
			free(peer);
			continue;
		}
		free(peer);
		return NULL;
	}
}

static void fake_start(struct fake *fake, void (*script)(struct fake *, struct peer *))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*fake = (struct fake){.serve = script};
	(void)snprintf(fake->directory, sizeof fake->directory, "/tmp/waft-test-XXXXXX");
	assert_non_null(mkdtemp(fake->directory));
	(void)snprintf(fake->path, sizeof fake->path, "%s/s.sock", fake->directory);
	(void)snprintf(fake->endpoint, sizeof fake->endpoint, "unix:%s", fake->path);
	memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
	fake->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fake->listener >= 0);
	assert_int_equal(
		bind(fake->listener, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fake->listener, 8), 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, serve, fake), 0);
}

static void fake_stop(struct fake *fake)
{
	(void)shutdown(fake->listener, SHUT_RDWR);
	assert_int_equal(pthread_join(fake->thread, NULL), 0);
	(void)close(fake->listener);
	(void)unlink(fake->path);
	(void)rmdir(fake->directory);
}

static struct waft_viewer *open_fake(const struct fake *fake)
{
	struct waft_viewer *viewer = waft_viewer_new();

	waft_viewer_set_timeout(viewer, 5000);
	if (waft_viewer_open(viewer, fake->endpoint) != 0)
		fail_msg("%s", waft_viewer_error(viewer));
	assert_string_equal(waft_viewer_where(viewer), fake->endpoint);
	return viewer;
}

/* ---- Lists ------------------------------------------------------------ */

/* Traces of a page, numbered on from `first`. */
static void send_page(struct peer *peer, unsigned first, unsigned count, const char *next)
{
	Waft__V1__ListTracesResponse response = WAFT__V1__LIST_TRACES_RESPONSE__INIT;
	Waft__V1__TraceSummary traces[3];
	Waft__V1__TraceSummary *pointers[3];
	uint8_t ids[3][16] = {{0}};
	char service[] = "svc";
	char *services[] = {service};
	char operation[3][16];
	char layer[] = "api";
	char status[] = "error";

	for (unsigned i = 0; i < count; i++) {
		traces[i] = (Waft__V1__TraceSummary)WAFT__V1__TRACE_SUMMARY__INIT;
		ids[i][15] = (uint8_t)(first + i);
		(void)snprintf(operation[i], sizeof operation[i], "op%u", first + i);
		traces[i].trace_id = (ProtobufCBinaryData){16, ids[i]};
		traces[i].start_ns = 1767949632000000000 + first + i;
		traces[i].duration_ms = 2.5;
		traces[i].operation = operation[i];
		traces[i].layer = layer;
		traces[i].status = status;
		traces[i].n_services = 1;
		traces[i].services = services;
		traces[i].spans = 7;
		traces[i].errors = 1;
		pointers[i] = &traces[i];
	}
	response.n_traces = count;
	response.traces = pointers;
	response.next_page = (ProtobufCBinaryData){strlen(next), (uint8_t *)next};
	peer_message(peer, FRAME_MESSAGE, &response.base);
	peer_status(peer, GRPC_OK, "");
}

static void script_pages(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message;

	while ((message = peer_call(fake, peer)) != NULL) {
		const Waft__V1__ListTracesRequest *request =
			(const Waft__V1__ListTracesRequest *)message;
		size_t length = strlen(fake->seen);

		assert_string_equal(peer->method, WIRE_METHOD_LIST_TRACES);
		(void)snprintf(fake->seen + length, sizeof fake->seen - length,
			"[%u %.*s %s %s=%s]", request->limit, (int)request->page.len,
			request->page.len != 0 ? (const char *)request->page.data : "",
			request->filter->layer, request->filter->attributes[0]->key,
			request->filter->attributes[0]->value);
		/* PING between the pages, which must not confuse anything. */
		peer_send(peer, FRAME_PING, 0, "ping", 4);
		if (request->page.len == 0)
			send_page(peer, 1, 3, "p2");
		else
			send_page(peer, 4, 3, "p3");
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

static void lists_over_pages(void **state)
{
	static const struct waft_trace_attribute attribute = {"k", "v"};
	struct waft_trace_filter filter = {.size = sizeof filter,
		.layer = "api",
		.attributes = &attribute,
		.attribute_count = 1};
	struct waft_trace_list *list;
	struct waft_viewer *viewer;
	struct fake fake;
	char *line;

	(void)state;
	fake_start(&fake, script_pages);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_list(viewer, &filter, 5, &list), 0);
	assert_int_equal(list->count, 5);
	assert_string_equal(list->traces[4].trace_id, "00000000-0000-0000-0000-000000000005");
	assert_string_equal(list->traces[4].operation, "op5");
	assert_string_equal(list->traces[0].services[0], "svc");
	assert_int_equal(list->traces[0].spans, 7);
	assert_int_equal(list->traces[0].errors, 1);
	line = waft_trace_format_summary(&list->traces[0],
		&(struct waft_trace_style){.size = sizeof(struct waft_trace_style), .utc = true});
	assert_string_equal(
		line, "✗ [00000000-0000-0000-0000-000000000001] 09:07:12 | op1 (2.50ms)");
	waft_text_free(line);
	waft_trace_list_free(list);
	waft_viewer_free(viewer);
	fake_stop(&fake);
	assert_string_equal(fake.seen, "[5  api k=v][2 p2 api k=v]");
}

/* ---- Traces ----------------------------------------------------------- */

#define RECORD(id, parent)                                                                    \
	"{\"trace_id\":\"00000000-0000-4000-8000-0000000000aa\",\"span_id\":\"00000000-0000-" \
	"8000-8000-00000000000" id "\",\"parent_span_id\":" parent                            \
	",\"timestamp\":\"2026-01-09T09:07:12.000000000Z\",\"duration_ms\":1,\"operation\":"  \
	"\"op" id "\",\"layer\":\"core\",\"status\":\"success\",\"data\":{\"input\":null,"    \
	"\"output\":null},\"metadata\":{\"service\":\"s\",\"pid\":1,\"host\":\"h\",\"kind\":" \
	"\"internal\"},\"error\":null}"

static void send_records(struct peer *peer, const char *record, const char *next)
{
	static const uint8_t id[16] = {0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xaa};
	Waft__V1__GetTraceResponse response = WAFT__V1__GET_TRACE_RESPONSE__INIT;
	ProtobufCBinaryData records = {strlen(record), (uint8_t *)record};

	response.n_records = 1;
	response.records = &records;
	response.trace_id = (ProtobufCBinaryData){16, (uint8_t *)id};
	response.next_page = (ProtobufCBinaryData){strlen(next), (uint8_t *)next};
	peer_message(peer, FRAME_MESSAGE, &response.base);
	peer_status(peer, GRPC_OK, "");
}

static void send_candidates(struct peer *peer)
{
	static char first[] = "11111111-0000-4000-8000-000000000001";
	static char second[] = "11111111-0000-4000-8000-000000000002";
	char *candidates[] = {first, second};
	Waft__V1__GetTraceResponse response = WAFT__V1__GET_TRACE_RESPONSE__INIT;

	response.n_candidates = 2;
	response.candidates = candidates;
	peer_message(peer, FRAME_MESSAGE, &response.base);
	peer_status(peer, GRPC_FAILED_PRECONDITION, "ambiguous");
}

static void script_trace(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message;

	while ((message = peer_call(fake, peer)) != NULL) {
		const Waft__V1__GetTraceRequest *request =
			(const Waft__V1__GetTraceRequest *)message;
		size_t length = strlen(fake->seen);

		(void)snprintf(
			fake->seen + length, sizeof fake->seen - length, "[%s]", request->id);
		if (strcmp(request->id, "nope") == 0)
			peer_status(peer, GRPC_NOT_FOUND, "no such trace");
		else if (strcmp(request->id, "x\033") == 0)
			peer_status(peer, GRPC_INVALID_ARGUMENT, "no id");
		else if (strcmp(request->id, "1111") == 0)
			send_candidates(peer);
		else if (request->page.len == 0)
			send_records(peer, RECORD("2", "\"00000000-0000-8000-8000-000000000001\""),
				"more");
		else
			send_records(peer, RECORD("1", "null"), "");
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

static void gets_a_trace_over_pages(void **state)
{
	struct waft_viewer *viewer;
	struct waft_trace *trace;
	struct fake fake;
	char *tree;

	(void)state;
	fake_start(&fake, script_trace);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_trace(viewer, "last", &trace), 0);
	tree = waft_trace_format_tree(trace, NULL);
	assert_string_equal(tree, "✓ op1 (1.00ms) [core]\n  ✓ op2 (1.00ms) [core]\n");
	waft_text_free(tree);
	assert_string_equal(trace->nodes[0].record, RECORD("1", "null"));
	waft_trace_free(trace);
	waft_viewer_free(viewer);
	fake_stop(&fake);
	/* "last" may be another trace by the time of the second page. */
	assert_string_equal(fake.seen, "[last][00000000-0000-4000-8000-0000000000aa]");
}

static void says_which_trace_is_not_there(void **state)
{
	struct waft_viewer *viewer;
	struct waft_trace *trace = NULL;
	struct fake fake;

	(void)state;
	fake_start(&fake, script_trace);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_trace(viewer, "nope", &trace), -ENOENT);
	assert_string_equal(waft_viewer_error(viewer), "No trace found with ID: nope");
	assert_int_equal(waft_viewer_trace(viewer, "x\033", &trace), -EINVAL);
	assert_string_equal(waft_viewer_error(viewer),
		"No trace found with ID: x\\x1b\nAn id is a UUID, plain hex, a beginning or ending "
		"of at least 4 digits, \"last\", or \"@N\" for the N-th newest (@1 is the last).");
	assert_int_equal(waft_viewer_trace(viewer, "1111", &trace), -ENOTUNIQ);
	assert_string_equal(waft_viewer_error(viewer),
		"1111 could mean:\n  11111111-0000-4000-8000-000000000001\n"
		"  11111111-0000-4000-8000-000000000002");
	assert_null(trace);
	waft_viewer_free(viewer);
	fake_stop(&fake);
}

/* ---- Tail ------------------------------------------------------------- */

enum { TAILED = 3000 };

/* Sends more than one credit, and only what is credited. */
static void script_tail(struct fake *fake, struct peer *peer)
{
	static char line[2048];
	Waft__V1__TailResponse response = WAFT__V1__TAIL_RESPONSE__INIT;
	ProtobufCBinaryData record = {sizeof line, (uint8_t *)line};
	uint64_t credit = WIRE_DEFAULT_CREDIT;
	uint64_t sent = 0;
	ProtobufCMessage *message = peer_call(fake, peer);
	struct frame frame;

	if (message == NULL)
		return;
	protobuf_c_message_free_unpacked(message, NULL);
	memset(line, ' ', sizeof line);
	memcpy(line, RECORD("1", "null"), strlen(RECORD("1", "null")));
	response.n_records = 1;
	response.records = &record;
	response.missed = 17;
	for (int i = 0; i < TAILED; i++) {
		while (sent >= credit) {
			if (!peer_frame(peer, &frame))
				return;
			if (frame.type != FRAME_CREDIT)
				continue;
			assert_int_equal(rpc_unpack(&waft__v1__credit__descriptor,
						 slice_of(frame.payload, frame.length),
						 &rpc_request_limits, &message),
				0);
			credit = ((Waft__V1__Credit *)message)->bytes;
			protobuf_c_message_free_unpacked(message, NULL);
		}
		peer_message(peer, FRAME_MESSAGE, &response.base);
		sent += protobuf_c_message_get_packed_size(&response.base);
		response.missed = 0;
	}
	fake->granted_bytes = credit;
	peer_status(peer, GRPC_UNAVAILABLE, "shutting down");
}

struct tailed {
	unsigned spans;
	uint64_t missed;
	unsigned stop_at;
};

static int on_span(const struct waft_trace_node *span, uint64_t missed, void *arg)
{
	struct tailed *tailed = arg;

	tailed->missed += missed;
	if (span == NULL)
		return 0;
	assert_string_equal(span->operation, "op1");
	assert_string_equal(span->trace_id, "00000000-0000-4000-8000-0000000000aa");
	tailed->spans++;
	return tailed->spans == tailed->stop_at ? 7 : 0;
}

static void tails_beyond_one_credit(void **state)
{
	struct tailed tailed = {0};
	struct waft_viewer *viewer;
	struct fake fake;

	(void)state;
	fake_start(&fake, script_tail);
	viewer = open_fake(&fake);
	assert_int_not_equal(waft_viewer_tail(viewer, NULL, on_span, &tailed), 0);
	assert_non_null(strstr(waft_viewer_error(viewer), "shutting down"));
	assert_int_equal(tailed.spans, TAILED);
	assert_int_equal(tailed.missed, 17);
	waft_viewer_free(viewer);
	fake_stop(&fake);
	assert_true(fake.granted_bytes > 4 * (uint64_t)WIRE_DEFAULT_CREDIT);
}

static void tail_stops_when_told(void **state)
{
	struct tailed tailed = {.stop_at = 3};
	struct waft_viewer *viewer;
	struct fake fake;

	(void)state;
	fake_start(&fake, script_tail);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_tail(viewer, NULL, on_span, &tailed), 7);
	assert_int_equal(tailed.spans, 3);
	waft_viewer_free(viewer);
	fake_stop(&fake);
}

/* ---- Failures --------------------------------------------------------- */

static void script_denied(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message;

	while ((message = peer_call(fake, peer)) != NULL) {
		protobuf_c_message_free_unpacked(message, NULL);
		peer_status(
			peer, GRPC_PERMISSION_DENIED, "only root and group waft \033[31mmay query");
	}
}

static void script_gone(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message = peer_call(fake, peer);

	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
}

static void script_silent(struct fake *fake, struct peer *peer)
{
	struct frame frame;

	while (peer_frame(peer, &frame))
		fake->calls++;
}

static void script_garbage(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message = peer_call(fake, peer);

	if (message == NULL)
		return;
	protobuf_c_message_free_unpacked(message, NULL);
	(void)send(peer->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
}

static void script_newer(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message = peer_call(fake, peer);
	Waft__V1__Versions versions = WAFT__V1__VERSIONS__INIT;

	if (message == NULL)
		return;
	protobuf_c_message_free_unpacked(message, NULL);
	versions.lowest = 3;
	versions.highest = 5;
	peer->stream = 0;
	peer_message(peer, FRAME_VERSION, &versions.base);
}

/* A response that claims fields that its bytes don't have. */
static void script_malformed(struct fake *fake, struct peer *peer)
{
	ProtobufCMessage *message = peer_call(fake, peer);

	if (message == NULL)
		return;
	protobuf_c_message_free_unpacked(message, NULL);
	peer_send(peer, FRAME_MESSAGE, peer->stream, "\x0a\x7f\x01", 3);
	peer_status(peer, GRPC_OK, "");
}

static void expect_failure(void (*script)(struct fake *, struct peer *), uint32_t timeout_ms,
	int code, const char *words)
{
	struct waft_trace_list *list = NULL;
	struct waft_viewer *viewer;
	struct fake fake;
	int result;

	fake_start(&fake, script);
	viewer = open_fake(&fake);
	waft_viewer_set_timeout(viewer, timeout_ms);
	result = waft_viewer_list(viewer, NULL, 0, &list);
	if (code != 0)
		assert_int_equal(result, code);
	assert_true(result < 0 && result > -4096);
	assert_null(list);
	if (strstr(waft_viewer_error(viewer), words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", waft_viewer_error(viewer), words);
	assert_non_null(strstr(waft_viewer_error(viewer), fake.path));
	waft_viewer_free(viewer);
	fake_stop(&fake);
}

static void says_what_failed(void **state)
{
	(void)state;
	expect_failure(script_denied, 5000, -EACCES, "only root and group waft \\x1b[31mmay query");
	expect_failure(script_gone, 5000, -ECONNRESET, "it ended the connection");
	expect_failure(script_silent, 50, -ETIMEDOUT, "did not answer in time");
	expect_failure(script_garbage, 5000, 0, "what answers there is no collector");
	expect_failure(script_newer, 5000, 0, "it speaks versions 3 to 5");
	expect_failure(script_malformed, 5000, 0, "");
}

static void says_where_nobody_answers(void **state)
{
	struct waft_viewer *viewer = waft_viewer_new();
	struct waft_trace_list *list = NULL;
	struct fake fake;
	char gone[256];

	(void)state;
	assert_int_equal(waft_viewer_open(viewer, "unix:/nowhere/at/all.sock"), -ENOENT);
	assert_string_equal(waft_viewer_error(viewer),
		"unix:/nowhere/at/all.sock: No such file or directory\nIs waft-collectord running? "
		"Without it, --store DIR reads a directory of traces.");
	assert_int_equal(waft_viewer_open(viewer, "tcp:1234"), -EINVAL);
	assert_string_equal(waft_viewer_error(viewer),
		"the endpoint \"tcp:1234\" is not unix:PATH, tls://HOST:PORT or file:DIR");
	assert_int_equal(waft_viewer_list(viewer, NULL, 0, &list), -EBADF);
	fake_start(&fake, script_silent);
	assert_int_equal(waft_viewer_open(viewer, fake.endpoint), 0);
	assert_int_equal(waft_viewer_open(viewer, fake.endpoint), -EALREADY);
	/* It ends between two calls. */
	fake_stop(&fake);
	assert_int_equal(waft_viewer_list(viewer, NULL, 0, &list), -ENOENT);
	(void)snprintf(gone, sizeof gone, "the collector at %s does not answer", fake.endpoint);
	assert_non_null(strstr(waft_viewer_error(viewer), gone));
	assert_non_null(strstr(waft_viewer_error(viewer), "--store DIR"));
	waft_viewer_free(viewer);
}

static void takes_null(void **state)
{
	struct waft_trace_list *list = NULL;

	(void)state;
	assert_int_equal(waft_viewer_open(NULL, NULL), -ENOMEM);
	assert_int_equal(waft_viewer_list(NULL, NULL, 0, &list), -ENOMEM);
	assert_string_equal(waft_viewer_error(NULL), "out of memory");
	waft_viewer_set_timeout(NULL, 1);
	waft_viewer_free(NULL);
	waft_trace_list_free(NULL);
	waft_trace_free(NULL);
	waft_operation_list_free(NULL);
	waft_status_free(NULL);
}

/* ---- Status and figures ----------------------------------------------- */

static void script_status(struct fake *fake, struct peer *peer)
{
	static char reason[] = "the disk is nearly full";
	static char *reasons[] = {reason};
	static char store[] = "/var/lib/waft/traces";
	static char full[] = "buffer_full";
	static char version[] = "0.1.0";
	static uint8_t id[16] = {0xab, 0xcd};
	ProtobufCMessage *message;

	while ((message = peer_call(fake, peer)) != NULL) {
		Waft__V1__HealthResponse health = WAFT__V1__HEALTH_RESPONSE__INIT;
		Waft__V1__StatusResponse status = WAFT__V1__STATUS_RESPONSE__INIT;
		Waft__V1__ClientStatus total = WAFT__V1__CLIENT_STATUS__INIT;
		Waft__V1__ClientStatus client = WAFT__V1__CLIENT_STATUS__INIT;
		Waft__V1__ClientStatus *clients[] = {&client};
		Waft__V1__ClientStatus__DroppedEntry dropped =
			WAFT__V1__CLIENT_STATUS__DROPPED_ENTRY__INIT;
		Waft__V1__ClientStatus__DroppedEntry *entries[] = {&dropped};

		protobuf_c_message_free_unpacked(message, NULL);
		health.state = WAFT__V1__HEALTH_RESPONSE__STATE__DEGRADED;
		health.reasons = reasons;
		health.n_reasons = 1;
		health.version = version;
		health.uptime_ms = 1234;
		dropped.key = full;
		dropped.value = 3;
		total.emitted = 10;
		total.durable = 6;
		total.dropped = entries;
		total.n_dropped = 1;
		client.client = (ProtobufCBinaryData){16, id};
		client.connected = 1;
		status.store = store;
		status.total = &total;
		status.clients = clients;
		status.n_clients = 1;
		status.spans_written = 6;
		if (strcmp(peer->method, WIRE_METHOD_HEALTH) == 0)
			peer_message(peer, FRAME_MESSAGE, &health.base);
		else
			peer_message(peer, FRAME_MESSAGE, &status.base);
		peer_status(peer, GRPC_OK, "");
	}
}

static void tells_the_status(void **state)
{
	struct waft_status *status;
	struct waft_viewer *viewer;
	struct fake fake;

	(void)state;
	fake_start(&fake, script_status);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_status(viewer, &status), 0);
	assert_int_equal(status->health, WAFT_HEALTH_DEGRADED);
	assert_string_equal(status->reasons[0], "the disk is nearly full");
	assert_string_equal(status->store, "/var/lib/waft/traces");
	assert_int_equal(status->uptime_ms, 1234);
	assert_int_equal(status->total.emitted, 10);
	assert_int_equal(status->total.durable, 6);
	assert_string_equal(status->total.dropped[0].name, "buffer_full");
	assert_int_equal(status->total.dropped[0].value, 3);
	assert_string_equal(status->clients[0].client, "abcd0000000000000000000000000000");
	assert_true(status->clients[0].connected);
	waft_status_free(status);
	waft_viewer_free(viewer);
	fake_stop(&fake);
}

static void script_stats(struct fake *fake, struct peer *peer)
{
	static char names[2][8] = {"quick", "slow"};
	ProtobufCMessage *message;

	while ((message = peer_call(fake, peer)) != NULL) {
		Waft__V1__StatsResponse response = WAFT__V1__STATS_RESPONSE__INIT;
		Waft__V1__OperationStats rows[2] = {
			WAFT__V1__OPERATION_STATS__INIT, WAFT__V1__OPERATION_STATS__INIT};
		Waft__V1__OperationStats *pointers[] = {&rows[0], &rows[1]};

		protobuf_c_message_free_unpacked(message, NULL);
		for (int i = 0; i < 2; i++) {
			rows[i].operation = names[i];
			rows[i].count = 5;
			rows[i].total_ms = 10 * (i + 1);
		}
		response.operations = pointers;
		response.n_operations = 2;
		peer_message(peer, FRAME_MESSAGE, &response.base);
		peer_status(peer, GRPC_OK, "");
	}
}

static void figures_are_sorted(void **state)
{
	struct waft_operation_list *list;
	struct waft_viewer *viewer;
	struct fake fake;

	(void)state;
	fake_start(&fake, script_stats);
	viewer = open_fake(&fake);
	assert_int_equal(waft_viewer_stats(viewer, NULL, &list), 0);
	assert_int_equal(list->count, 2);
	assert_string_equal(list->operations[0].operation, "slow");
	assert_int_equal(list->operations[1].count, 5);
	waft_operation_list_free(list);
	waft_viewer_free(viewer);
	fake_stop(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_over_pages),
		cmocka_unit_test(gets_a_trace_over_pages),
		cmocka_unit_test(says_which_trace_is_not_there),
		cmocka_unit_test(tails_beyond_one_credit),
		cmocka_unit_test(tail_stops_when_told),
		cmocka_unit_test(says_what_failed),
		cmocka_unit_test(says_where_nobody_answers),
		cmocka_unit_test(takes_null),
		cmocka_unit_test(tells_the_status),
		cmocka_unit_test(figures_are_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
