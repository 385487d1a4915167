/*
 * viewer.c: the public viewer: opens a backend and passes calls on to it.
 */
#include <waft/viewer.h>

#include "backend.h"
#include "build.h"
#include "endpoint.h"
#include "strbuf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_LIMIT = 20 };

struct waft_viewer {
	struct backend *backend; /* NULL: not open */
	size_t places;		 /* that it reads */
	bool denied;		 /* one of those tried lets this user not read */
	uint32_t timeout_ms;
	struct strbuf where;
	struct strbuf error;
	struct strbuf warning;
};

int backend_fail(struct backend *backend, int code, const char *format, ...)
{
	va_list args;

	strbuf_clear(&backend->error);
	va_start(args, format);
	strbuf_vformat(&backend->error, format, args);
	va_end(args);
	return code;
}

int backend_no_trace(struct backend *backend, int code, const char *id)
{
	(void)backend_fail(backend, code, "No trace found with ID: ");
	strbuf_safe(&backend->error, id, strlen(id));
	if (code == -EINVAL)
		strbuf_string(&backend->error,
			"\nAn id is a UUID, plain hex, a beginning or ending of at least 4 digits, "
			"\"last\", or \"@N\" for the N-th newest (@1 is the last).");
	return code;
}

struct waft_viewer *waft_viewer_new(void)
{
	struct waft_viewer *viewer = calloc(1, sizeof *viewer);

	if (viewer != NULL)
		viewer->timeout_ms = DEFAULT_TIMEOUT_MS;
	return viewer;
}

void waft_viewer_free(struct waft_viewer *viewer)
{
	if (viewer == NULL)
		return;
	if (viewer->backend != NULL)
		viewer->backend->ops->close(viewer->backend);
	strbuf_done(&viewer->where);
	strbuf_done(&viewer->error);
	strbuf_done(&viewer->warning);
	free(viewer);
}

/* Says nothing but what went wrong; returns code. */
static int fail(struct waft_viewer *viewer, int code, const char *text)
{
	strbuf_clear(&viewer->error);
	strbuf_string(&viewer->error, text);
	return code;
}

/* ---- Opening ---------------------------------------------------------- */

static int open_one(
	struct waft_viewer *viewer, enum endpoint_kind kind, const char *path, struct strbuf *error)
{
	struct backend *place = NULL;
	int result = kind == ENDPOINT_UNIX
			     ? backend_rpc_open(path, viewer->timeout_ms, &place, error)
			     : backend_store_open(path, &place, error);

	if (result != 0)
		return result;
	if (viewer->backend != NULL) {
		result = backend_many_add(&viewer->backend, place);
		if (result != 0) {
			place->ops->close(place);
			return result;
		}
		strbuf_string(&viewer->where, ", ");
	} else {
		viewer->backend = place;
	}
	if (endpoint_is_remote(path))
		strbuf_string(&viewer->where, path);
	else
		strbuf_format(
			&viewer->where, "%s:%s", kind == ENDPOINT_UNIX ? "unix" : "file", path);
	viewer->places++;
	return viewer->where.failed ? -ENOMEM : 0;
}

static int open_named(struct waft_viewer *viewer, const char *where, const char *origin)
{
	enum endpoint_kind kind;
	const char *path;

	strbuf_clear(&viewer->error);
	if (endpoint_parse(where, &kind, &path) == 0) {
		int result = open_one(viewer, kind, path, &viewer->error);

		if (result != 0)
			strbuf_string(&viewer->error,
				result == -EACCES && !endpoint_is_remote(path) ? BACKEND_NOT_ALLOWED
				: kind == ENDPOINT_UNIX ? BACKEND_NO_COLLECTOR
							: "\nName a directory that holds traces.");
		return result;
	}
	strbuf_format(&viewer->error, "%s \"", origin);
	strbuf_safe(&viewer->error, where, strlen(where));
	strbuf_string(&viewer->error, "\" is not unix:PATH, tls://HOST:PORT or file:DIR");
	return -EINVAL;
}

/* Tries one place; what it says when it fails is kept in tried. */
static int try_one(
	struct waft_viewer *viewer, enum endpoint_kind kind, const char *path, struct strbuf *tried)
{
	struct strbuf why = {0};
	int result = open_one(viewer, kind, path, &why);

	if (result != 0 && why.bytes != NULL)
		strbuf_format(tried, "\n  %s", why.bytes);
	viewer->denied = viewer->denied || result == -EACCES;
	strbuf_done(&why);
	return result;
}

static int open_first(struct waft_viewer *viewer)
{
	char paths[ENDPOINT_SEARCH_MAX][ENDPOINT_PATH_BYTES];
	size_t count = endpoint_search(paths);
	struct strbuf tried = {0};
	int result = -ENOENT;

	for (size_t i = 0; result != 0 && i < count; i++)
		result = try_one(viewer, ENDPOINT_UNIX, paths[i], &tried);
	for (size_t i = 0; result != 0 && endpoint_stores[i] != NULL; i++)
		result = try_one(viewer, ENDPOINT_FILE, endpoint_stores[i], &tried);
	strbuf_clear(&viewer->error);
	if (result != 0 && tried.bytes != NULL)
		strbuf_format(&viewer->error,
			"no collector answers, and there are no traces to read:%s\n"
			"Start waft-collectord, or name a directory of traces (--store DIR) or an "
			"endpoint (--endpoint, WAFT_ENDPOINT).%s",
			tried.bytes, viewer->denied ? BACKEND_NOT_ALLOWED : "");
	strbuf_done(&tried);
	return result == 0 ? 0 : -ENOENT;
}

int waft_viewer_open(struct waft_viewer *viewer, const char *where)
{
	if (viewer == NULL)
		return -ENOMEM;
	if (viewer->backend != NULL)
		return fail(viewer, -EALREADY, "the viewer is open already");
	if (where != NULL)
		return open_named(viewer, where, "the endpoint");
	where = endpoint_environment();
	return where != NULL ? open_named(viewer, where, "WAFT_ENDPOINT") : open_first(viewer);
}

int waft_viewer_add(struct waft_viewer *viewer, const char *where)
{
	if (viewer == NULL)
		return -ENOMEM;
	if (viewer->backend == NULL)
		return fail(viewer, -EBADF, "the viewer is not open");
	if (viewer->places == WAFT_VIEWER_PLACES_MAX)
		return fail(viewer, -E2BIG, "too many places: 16 can be read as one");
	return open_named(viewer, where, "the endpoint");
}

void waft_viewer_set_timeout(struct waft_viewer *viewer, uint32_t timeout_ms)
{
	if (viewer == NULL)
		return;
	viewer->timeout_ms = timeout_ms != 0 ? timeout_ms : DEFAULT_TIMEOUT_MS;
	if (viewer->backend != NULL)
		viewer->backend->timeout_ms = viewer->timeout_ms;
}

const char *waft_viewer_where(const struct waft_viewer *viewer)
{
	return viewer != NULL && viewer->where.bytes != NULL ? viewer->where.bytes : "";
}

const char *waft_viewer_error(const struct waft_viewer *viewer)
{
	if (viewer == NULL || viewer->error.failed)
		return "out of memory";
	return viewer->error.bytes != NULL ? viewer->error.bytes : "";
}

uint64_t waft_viewer_passed_over(const struct waft_viewer *viewer)
{
	const struct backend *backend = viewer != NULL ? viewer->backend : NULL;

	return backend != NULL && backend->ops->passed_over != NULL
		       ? backend->ops->passed_over(backend)
		       : 0;
}

const char *waft_viewer_warning(struct waft_viewer *viewer)
{
	if (viewer == NULL || viewer->backend == NULL)
		return "";
	strbuf_clear(&viewer->warning);
	strbuf_clear(&viewer->backend->error);
	viewer->backend->ops->warn(viewer->backend, &viewer->warning);
	return viewer->warning.bytes != NULL && !viewer->warning.failed ? viewer->warning.bytes
									: "";
}

/* ---- Asking ----------------------------------------------------------- */

/* 0, or why the viewer can't be asked. */
static int ready(struct waft_viewer *viewer)
{
	if (viewer == NULL)
		return -ENOMEM;
	if (viewer->backend == NULL)
		return fail(viewer, -EBADF, "the viewer is not open");
	strbuf_clear(&viewer->backend->error);
	return 0;
}

/* Ends a call: what the backend said of a failure becomes the viewer's. Codes
 * beyond errno's range are the tree's own and don't leave it. */
static int finish(struct waft_viewer *viewer, int result)
{
	struct strbuf *said = &viewer->backend->error;

	if (result >= 0)
		return result;
	if (said->length == 0)
		return fail(viewer, result < -4095 ? -EIO : result, error_text(result));
	return fail(viewer, result < -4095 ? -EIO : result, said->bytes);
}

static struct waft_trace_filter known_filter(const struct waft_trace_filter *filter)
{
	struct waft_trace_filter known = {0};

	if (filter != NULL)
		memcpy(&known, filter, filter->size < sizeof known ? filter->size : sizeof known);
	return known;
}

int waft_viewer_list(struct waft_viewer *viewer, const struct waft_trace_filter *filter,
	size_t limit, struct waft_trace_list **ret_list)
{
	struct waft_trace_filter known = known_filter(filter);
	struct listing listing = {0};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->list(
		viewer->backend, &known, limit != 0 ? limit : DEFAULT_LIMIT, &listing);
	if (result == 0)
		result = listing_finish(&listing, ret_list);
	listing_done(&listing);
	return finish(viewer, result);
}

int waft_viewer_trace(struct waft_viewer *viewer, const char *id, struct waft_trace **ret_trace)
{
	struct trace_build build = {0};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->get(viewer->backend, id, &build);
	if (result == 0)
		result = trace_build_finish(&build, ret_trace);
	trace_build_done(&build);
	return finish(viewer, result);
}

struct tail {
	waft_tail_fn on_span;
	void *arg;
	struct scratch scratch;
};

static int on_tail_line(struct slice line, uint64_t missed, void *arg)
{
	struct tail *tail = arg;
	struct waft_trace_node node;
	struct record record;
	int result;

	if (line.data == NULL)
		return tail->on_span(NULL, missed, tail->arg);
	scratch_reset(&tail->scratch);
	result = record_parse(line, &tail->scratch, &record, NULL);
	if (result == 0)
		result = node_of_record(&tail->scratch, &record, &node);
	if (result == -ENOMEM)
		return result;
	/* A line that is no record is no span; it is none of a tail's business. */
	return result == 0 ? tail->on_span(&node, missed, tail->arg) : 0;
}

int waft_viewer_tail(struct waft_viewer *viewer, const struct waft_trace_filter *filter,
	waft_tail_fn on_span, void *arg)
{
	struct waft_trace_filter known = known_filter(filter);
	struct tail tail = {.on_span = on_span, .arg = arg};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->tail(viewer->backend, &known, on_tail_line, &tail);
	scratch_done(&tail.scratch);
	return finish(viewer, result);
}

int waft_viewer_stats(struct waft_viewer *viewer, const struct waft_trace_filter *filter,
	struct waft_operation_list **ret_list)
{
	struct waft_trace_filter known = known_filter(filter);
	struct figures figures = {0};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->stats(viewer->backend, &known, &figures);
	if (result == 0)
		result = figures_finish(&figures, ret_list);
	figures_done(&figures);
	return finish(viewer, result);
}

int waft_viewer_status(struct waft_viewer *viewer, struct waft_status **ret_status)
{
	struct status_build build = {0};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->status(viewer->backend, &build);
	if (result == 0)
		result = status_build_finish(&build, ret_status);
	status_build_done(&build);
	return finish(viewer, result);
}

int waft_viewer_open_spans(
	struct waft_viewer *viewer, const char *service, struct waft_open_list **ret_list)
{
	struct open_build build = {0};
	int result = ready(viewer);

	if (result != 0)
		return result;
	result = viewer->backend->ops->open_spans(
		viewer->backend, service != NULL ? service : "", &build);
	if (result == 0)
		result = open_build_finish(&build, ret_list);
	open_build_done(&build);
	return finish(viewer, result);
}

const char *waft_viewer_version(void)
{
	return WAFT_VERSION;
}
