/*
 * Calls of the Admin service.
 *
 * The happy path: open → the request's MESSAGE is unpacked → it is done → its answer and
 * STATUS. A Flush waits: admin_service_on_progress asks until all is written.
 *
 * Failures: a bad request, or what the table's functions say. A call that ends early
 * (deadline, CANCEL, lost connection) is taken out of those who wait; what was begun
 * goes on.
 */
#include "admin_service.h"

#include "rpc.h"

#include <errno.h>
#include <stdlib.h>

enum admin_kind { ADMIN_RELOAD, ADMIN_FLUSH, ADMIN_LOG_LEVEL, ADMIN_CLIENTS };

static const char *const method_paths[ADMIN_METHODS] = {
	[ADMIN_RELOAD] = WIRE_METHOD_RELOAD,
	[ADMIN_FLUSH] = WIRE_METHOD_FLUSH,
	[ADMIN_LOG_LEVEL] = WIRE_METHOD_SET_LOG_LEVEL,
	[ADMIN_CLIENTS] = WIRE_METHOD_LIST_CLIENTS,
};

struct admin_call {
	enum admin_kind kind;
	struct admin_service *service;
	struct call *call;
	bool asked;	     /* its request came */
	uint64_t flush_from; /* of a Flush that waits */
	struct admin_call *next;
	struct admin_call *previous;
};

struct admin_service {
	const struct admin_ops *ops;
	void *context;
	struct admin_call *calls;
};

/* Sends the answer and ends the call, which is freed by it, or soon. */
static void send_answer(struct call *call, struct answer *answer)
{
	while (answer->frames != NULL && answer->status == GRPC_OK) {
		size_t length = 0;
		uint8_t *frame = answer_take_frame(answer, &length);

		if (call_send_frame(call, frame, length) < 0)
			answer_fail(answer, GRPC_RESOURCE_EXHAUSTED,
				"the answer needs credit or a peer that reads");
	}
	call_finish(call, answer->status, answer->message, 0);
	answer_done(answer);
}

static int unpack(struct admin_call *admin, struct slice message, ProtobufCMessage **ret)
{
	const struct rpc_method *method = rpc_method_find(slice_of_text(method_paths[admin->kind]));

	return rpc_unpack(method->request, message, &rpc_request_limits, ret);
}

static void run(struct admin_call *admin, const ProtobufCMessage *request)
{
	struct admin_service *service = admin->service;
	struct call *call = admin->call;
	struct answer answer = {0};

	switch (admin->kind) {
	case ADMIN_RELOAD:
		service->ops->reload(service->context, call->stream_id, &answer);
		send_answer(call, &answer);
		service->ops->reloaded(service->context);
		return;
	case ADMIN_FLUSH:
		service->ops->flush(service->context, &admin->flush_from);
		if (service->ops->flushed(
			    service->context, admin->flush_from, call->stream_id, &answer))
			send_answer(call, &answer);
		return;
	case ADMIN_LOG_LEVEL:
		service->ops->log_level(service->context,
			((const Waft__V1__SetLogLevelRequest *)(const void *)request)->level,
			call->stream_id, &answer);
		break;
	case ADMIN_CLIENTS:
	default:
		service->ops->clients(service->context, call->stream_id, &answer);
		break;
	}
	send_answer(call, &answer);
}

static void on_message(struct call *call, struct slice message, uint64_t now_ms)
{
	struct admin_call *admin = call->context;
	ProtobufCMessage *request = NULL;
	int status;

	(void)now_ms;
	if (admin->asked) {
		call_finish(call, GRPC_INVALID_ARGUMENT, "a request is one message", 0);
		return;
	}
	admin->asked = true;
	status = unpack(admin, message, &request);
	if (status < 0) {
		call_finish(call, error_to_grpc(status), error_text(status), 0);
		return;
	}
	run(admin, request);
	protobuf_c_message_free_unpacked(request, NULL);
}

static void on_end(struct call *call, uint64_t now_ms)
{
	const struct admin_call *admin = call->context;

	(void)now_ms;
	if (!admin->asked)
		call_finish(call, GRPC_INVALID_ARGUMENT, "the request is missing", 0);
}

static void on_closed(struct call *call)
{
	struct admin_call *admin = call->context;

	if (admin->previous != NULL)
		admin->previous->next = admin->next;
	else
		admin->service->calls = admin->next;
	if (admin->next != NULL)
		admin->next->previous = admin->previous;
	free(admin);
}

static const struct call_ops admin_call_ops = {
	.on_message = on_message, .on_end = on_end, .on_closed = on_closed};

static enum grpc_status open_call(void *context, struct call *call,
	const struct call_header *header, uint64_t now_ms, const char **ret_message)
{
	struct admin_service *service = context;
	struct admin_call *admin = calloc(1, sizeof(*admin));

	(void)now_ms;
	if (admin == NULL) {
		*ret_message = "the collector is out of memory";
		return GRPC_RESOURCE_EXHAUSTED;
	}
	for (int kind = 0; kind < ADMIN_METHODS; kind++)
		if (slice_equal(header->method, slice_of_text(method_paths[kind])))
			admin->kind = (enum admin_kind)kind;
	admin->service = service;
	admin->call = call;
	admin->next = service->calls;
	if (service->calls != NULL)
		service->calls->previous = admin;
	service->calls = admin;
	call->context = admin;
	return GRPC_OK;
}

void admin_service_on_progress(struct admin_service *service)
{
	struct admin_call *admin = service->calls;

	while (admin != NULL) {
		struct answer answer = {0};

		if (admin->kind != ADMIN_FLUSH || !admin->asked || admin->call->finished ||
			!service->ops->flushed(service->context, admin->flush_from,
				admin->call->stream_id, &answer)) {
			admin = admin->next;
			continue;
		}
		send_answer(admin->call, &answer);
		/* That may have freed any that were finished. */
		admin = service->calls;
	}
}

/* ---- Life -------------------------------------------------------------------- */

int admin_service_new(const struct admin_ops *ops, void *context, struct admin_service **ret)
{
	struct admin_service *service = calloc(1, sizeof(*service));

	if (service == NULL)
		return -ENOMEM;
	service->ops = ops;
	service->context = context;
	*ret = service;
	return 0;
}

void admin_service_free(struct admin_service *service)
{
	free(service);
}

size_t admin_service_methods(struct admin_service *service, struct service_method *ret_methods)
{
	for (size_t i = 0; i < ADMIN_METHODS; i++)
		ret_methods[i] = (struct service_method){
			.path = method_paths[i],
			.right = ACCESS_ADMIN,
			.ops = &admin_call_ops,
			.open = open_call,
			.service = service,
		};
	return ADMIN_METHODS;
}
