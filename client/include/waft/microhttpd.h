/*
 * microhttpd.h: traces every request of a libmicrohttpd server. Link with
 * libwaft-microhttpd.
 *
 *     static enum MHD_Result answer(void *cls, struct MHD_Connection *connection,
 *             const char *url, …)                    // a handler as ever
 *     {
 *             …
 *             return waft_mhd_queue_response(connection, MHD_HTTP_OK, response);
 *     }
 *
 *     struct waft_mhd_options options = {.size = sizeof(options), .handler = answer};
 *     struct waft_mhd *traced = waft_mhd_new(&options);
 *     daemon = MHD_start_daemon(flags, port, NULL, NULL, waft_mhd_handler, traced,
 *             MHD_OPTION_NOTIFY_COMPLETED, waft_mhd_completed, traced,
 *             MHD_OPTION_END);
 *
 * A request is one span: named "METHOD route" (the method alone when no route
 * is known), of kind server, a child of the request's traceparent when it has
 * one, from the first call of the handler until it has queued a response (or,
 * with until_sent, until that was sent). While the handler runs the span is the thread's current
 * one, so that WAFT_SPAN makes its children. Attributes: http.request.method, url.scheme, url.path,
 * http.route, client.address, user_agent.original and http.response.status_code
 * (https://opentelemetry.io/docs/specs/semconv/http/).
 *
 * Requests that libmicrohttpd refuses by itself, before it calls a handler, are
 * not seen. All functions are thread-safe; whatever threading the daemon uses
 * will do.
 */
#ifndef WAFT_MICROHTTPD_H
#define WAFT_MICROHTTPD_H

#include <microhttpd.h>
#include <waft/waft.h>

#ifdef __cplusplus
extern "C" {
#endif

struct waft_mhd;

/* Set size to sizeof(struct waft_mhd_options). Zero: the default. */
struct waft_mhd_options {
	size_t size;
	/* The server's own handler. Its con_cls is its own for the request, NULL at
	 * the first call. Required. */
	MHD_AccessHandlerCallback handler;
	void *handler_cls;
	/* Called after the server is done with a request; NULL: none. */
	MHD_RequestCompletedCallback completed;
	void *completed_cls;
	/* The route that serves url, such as "/orders/{id}", or NULL for none. The
	 * text is copied. There should be few: they become operation names. */
	const char *(*route)(void *route_cls, const char *method, const char *url);
	void *route_cls;
	/* Spans end when the response was sent. A caller then sees its own span end
	 * before ours; but what is sent by callbacks, and whether it was, belongs to
	 * the span. */
	bool until_sent;
	const char *layer; /* of the requests' spans; "api". Must live as long as the process */
};

/* The adapter of one daemon, or NULL: no memory, or no handler. To be freed
 * after MHD_stop_daemon. */
WAFT_PUBLIC struct waft_mhd *waft_mhd_new(const struct waft_mhd_options *options);
WAFT_PUBLIC void waft_mhd_free(struct waft_mhd *adapter);

/* For MHD_start_daemon, with the adapter as their cls. Both are needed. Without
 * memory for a request its connection is closed, as libmicrohttpd itself does. */
WAFT_PUBLIC enum MHD_Result waft_mhd_handler(void *adapter, struct MHD_Connection *connection,
	const char *url, const char *method, const char *version, const char *upload_data,
	size_t *upload_data_size, void **con_cls);
WAFT_PUBLIC void waft_mhd_completed(void *adapter, struct MHD_Connection *connection,
	void **con_cls, enum MHD_RequestTerminationCode toe);

/* The span of the request whose handler the calling thread is in, else NULL.
 * Valid until the handler returns. */
WAFT_PUBLIC struct waft_span *waft_mhd_span(void);

/* MHD_queue_response, with the header traceresponse, which tells the caller
 * trace and span (as traceparent does; https://www.w3.org/TR/trace-context-2/).
 * response must be this request's alone, since a header is added to it. A status
 * of 500 and above marks the span failed. Outside of a handler: as
 * MHD_queue_response. */
WAFT_PUBLIC enum MHD_Result waft_mhd_queue_response(
	struct MHD_Connection *connection, unsigned int status, struct MHD_Response *response);

/* The same, and marks the span failed with error whatever the status. */
WAFT_PUBLIC enum MHD_Result waft_mhd_queue_error(struct MHD_Connection *connection,
	unsigned int status, struct MHD_Response *response, const char *error);

#ifdef __cplusplus
}
#endif

#endif
