/*
 * viewer.h: read the traces that a store or a collector holds.
 *
 *     struct waft_viewer *viewer = waft_viewer_new();
 *     struct waft_trace *trace = NULL;
 *
 *     if (waft_viewer_open(viewer, NULL) == 0 &&
 *             waft_viewer_trace(viewer, "last", &trace) == 0) {
 *             char *text = waft_trace_format_tree(trace, NULL);
 *             fputs(text, stdout);
 *             waft_text_free(text);
 *             waft_trace_free(trace);
 *     } else {
 *             fprintf(stderr, "%s\n", waft_viewer_error(viewer));
 *     }
 *     waft_viewer_free(viewer);
 *
 * Rules that hold for every call below unless it says otherwise:
 *   - A viewer is used by one thread at a time; different viewers are
 *     independent. What a call returned is plain memory: any thread may read it.
 *   - Reading from files takes no lock and writes nothing. Calls to a collector
 *     block, no longer than the viewer's timeout.
 *   - Functions that return int return 0 or a negative errno; then
 *     waft_viewer_error says what failed, on what, and what to do next. Outputs
 *     are untouched on failure.
 *   - Text is UTF-8. What was read from a trace may hold any character; the
 *     format functions escape what could drive a terminal.
 *   - Times are nanoseconds since 1970 UTC.
 */
#ifndef WAFT_VIEWER_H
#define WAFT_VIEWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WAFT_PUBLIC
#define WAFT_PUBLIC __attribute__((visibility("default")))
#endif
#ifndef WAFT_MUST_CHECK
#define WAFT_MUST_CHECK __attribute__((warn_unused_result))
#endif

/* ---- Opening ---------------------------------------------------------- */

struct waft_viewer;

/* A viewer that reads nothing yet; owned by the caller. NULL: no memory. All
 * calls take NULL and fail with -ENOMEM, so this needs no check of its own. */
WAFT_PUBLIC struct waft_viewer *waft_viewer_new(void);
WAFT_PUBLIC void waft_viewer_free(struct waft_viewer *viewer);

/* Chooses where to read from, and checks that it is there.
 *   unix:PATH    a collector's socket
 *   tls://HOST:PORT, tcp://127.0.0.1:PORT
 *                a collector's on another machine, or this one's loopback. The
 *                environment has WAFT_TLS_CA, WAFT_TLS_CERT, WAFT_TLS_KEY (PEM
 *                files), WAFT_TOKEN or WAFT_TOKEN_FILE.
 *   file:DIR     a store's directory, without a collector
 *   NULL         WAFT_ENDPOINT when it is set; else the first that answers of
 *                $XDG_RUNTIME_DIR/waft/collector.sock, /run/waft/collector.sock
 *                and /tmp/waft-$UID/collector.sock; else the first directory of
 *                _pyrite/analytics/traces and /var/lib/waft/traces.
 * -ENOENT: nothing there; -ECONNREFUSED: nobody answers; -EACCES; -EINVAL: not
 * an endpoint; -EALREADY: open already. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_open(struct waft_viewer *viewer, const char *where);

enum { WAFT_VIEWER_PLACES_MAX = 16 };

/* Reads one more place, as waft_viewer_open takes it (not NULL), together with those
 * that are open: traces that lie in several are one, and a span that is in several is
 * there once. List, trace, stats and open spans are of all; tail and status are
 * -ENOTSUP. The same errors; -EBADF: the viewer is not open; -E2BIG: too many. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_add(struct waft_viewer *viewer, const char *where);

/* The longest that a call to a collector may take; 0: the default, 10,000. */
WAFT_PUBLIC void waft_viewer_set_timeout(struct waft_viewer *viewer, uint32_t timeout_ms);

/* What is being read, as waft_viewer_open takes it, of several with ", " between; ""
 * before it is open. Valid until the next place is added. */
WAFT_PUBLIC const char *waft_viewer_where(const struct waft_viewer *viewer);

/* What went wrong in the last call that failed; "" when none has. Never NULL;
 * valid until the next call on the viewer. */
WAFT_PUBLIC const char *waft_viewer_error(const struct waft_viewer *viewer);

/* Lines that were met in files since the viewer was opened, are no records, and so were
 * left out of what was returned; 0 with a collector. */
WAFT_PUBLIC uint64_t waft_viewer_passed_over(const struct waft_viewer *viewer);

/* What whoever reads the answers so far should know: lines that were passed over, files
 * that could not be read, damage that the collector found; each a sentence and a newline.
 * "" when all is well. Asks a collector. Valid until the next call on the viewer. */
WAFT_PUBLIC const char *waft_viewer_warning(struct waft_viewer *viewer);

/* ---- Listing ---------------------------------------------------------- */

struct waft_trace_attribute {
	const char *key;
	const char *value; /* as text: true, 42, 1.5 */
};

/* What a trace must fulfil; zero or NULL members are no condition. Set size to
 * sizeof(struct waft_trace_filter). Texts are borrowed for the call only.
 * Service, operation, layer and attributes must hold on one same span. */
struct waft_trace_filter {
	size_t size;
	int64_t since_ns; /* start of the trace: this or later */
	int64_t until_ns; /* start of the trace: before this */
	const char *service;
	const char *operation;
	const char *layer;
	const struct waft_trace_attribute *attributes;
	size_t attribute_count;
	const char *status; /* of the trace: success, error or pending */
	bool errors;	    /* any span failed */
	uint64_t min_duration_ns;
	uint64_t max_duration_ns;
	const char *grep; /* in operation, error, input or output of a span */
};

enum { WAFT_VIEWER_ID_SIZE = 37 };

/* One trace in a list. Operation, layer, start, duration and status are those
 * of its earliest root; without a root, of its earliest span. */
struct waft_trace_summary {
	char trace_id[WAFT_VIEWER_ID_SIZE]; /* UUID text */
	int64_t start_ns;
	double duration_ms;
	bool pending; /* it has not ended; duration_ms is 0 */
	/* Of a pending one: when its process gave it up or died, or what is known last of
	 * its spans; 0: it may be open still. */
	int64_t open_until_ns;
	const char *operation;
	const char *layer;
	const char *status; /* success, error or pending */
	const char *const *services;
	size_t service_count;
	uint64_t spans;
	uint64_t errors; /* spans that failed */
	/* In a list: it is known that lines of it can't be read, and it may have been more. */
	bool damaged;
};

struct waft_trace_list {
	const struct waft_trace_summary *traces; /* newest first */
	size_t count;
};

/* Up to limit recent traces that fulfil filter (NULL: all); 0: 20. Owned by the
 * caller: waft_trace_list_free. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_list(struct waft_viewer *viewer,
	const struct waft_trace_filter *filter, size_t limit, struct waft_trace_list **ret_list);
WAFT_PUBLIC void waft_trace_list_free(struct waft_trace_list *list);

/* ---- One trace -------------------------------------------------------- */

/* What is unusual about a span. */
enum waft_trace_flag {
	WAFT_TRACE_DUPLICATE = 1, /* another record has the same id and differs */
	WAFT_TRACE_CYCLE = 2,	  /* its parents lead back to itself: shown as a root */
	WAFT_TRACE_SKEWED = 4,	  /* begins before its parent: the clocks differ */
	WAFT_TRACE_LATE = 8,	  /* ended after its root had ended */
};

/* A line of the tree. */
struct waft_trace_node {
	/* True: not a span but the place of a parent that was never received;
	 * its children follow. Only trace_id, span_id,
	 * depth and start_ns are set. */
	bool missing;
	uint32_t depth; /* 0: a root */
	uint32_t flags; /* waft_trace_flag */
	char trace_id[WAFT_VIEWER_ID_SIZE];
	const char *span_id;
	const char *parent_span_id; /* NULL: a root */
	const char *operation;
	const char *layer;
	const char *service; /* "" when unknown */
	const char *status;  /* success, error or pending */
	const char *error;   /* NULL: none */
	int64_t start_ns;
	double duration_ms; /* 0 while pending */
	/* Of a pending span: when its process gave it up or died; 0: it may be open still. */
	int64_t open_until_ns;
	const char *input; /* JSON text; NULL: none */
	const char *output;
	const char *record; /* the JSON line as it is stored, without newline */
};

struct waft_trace {
	char trace_id[WAFT_VIEWER_ID_SIZE];
	struct waft_trace_summary summary;
	const struct waft_trace_node *nodes; /* in the order of the tree, top down */
	size_t count;
};

/* One trace with all its spans. id: UUID, hex, a unique prefix or ending of at
 * least 4 digits, "last", or "@N" for the N-th newest. Owned by the caller:
 * waft_trace_free. -ENOENT: there is none; -ENOTUNIQ: several, which
 * waft_viewer_error lists; -EINVAL: not an id. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_trace(
	struct waft_viewer *viewer, const char *id, struct waft_trace **ret_trace);
WAFT_PUBLIC void waft_trace_free(struct waft_trace *trace);

/* ---- As text ---------------------------------------------------------- */

enum waft_data_mode {
	WAFT_DATA_NONE = 0,
	WAFT_DATA_SHORT, /* Input: and Output:, 100 characters each */
	WAFT_DATA_FULL,
};

/* How to format; NULL or zero members: plain text of any width, local time. Set
 * size to sizeof(struct waft_trace_style). */
struct waft_trace_style {
	size_t size;
	uint32_t columns; /* longer lines are cut with "…"; 0: never */
	bool color;	  /* ANSI colours */
	bool utc;	  /* times in UTC */
	bool waterfall;	  /* bars on one time axis; needs columns, else 80 */
	enum waft_data_mode data;
	int64_t now_ns; /* for how long spans are open; 0: the clock */
};

/* The tree of a trace, a line a span, two spaces a level:
 *     ✓ input_transformer.transform_input (1.74ms) [core]
 *       ✓ input_transformer.validate_schema (0.01ms) [core]
 * Owned by the caller: waft_text_free. NULL: no memory. */
WAFT_PUBLIC char *waft_trace_format_tree(
	const struct waft_trace *trace, const struct waft_trace_style *style);
/* What stands above it: trace id, start, services, spans, errors. */
WAFT_PUBLIC char *waft_trace_format_head(
	const struct waft_trace *trace, const struct waft_trace_style *style);
/* "✓ [ID] 09:07:12 | operation (2.72ms)", without newline. */
WAFT_PUBLIC char *waft_trace_format_summary(
	const struct waft_trace_summary *summary, const struct waft_trace_style *style);
WAFT_PUBLIC void waft_text_free(char *text);

/* ---- Following -------------------------------------------------------- */

/* A span that became durable. record is borrowed for the call; missed: spans
 * left out before this one because the reader was too slow. record may be NULL
 * when only missed is to be told. Return 0 to go on, another value to stop. */
typedef int (*waft_tail_fn)(const struct waft_trace_node *span, uint64_t missed, void *arg);

/* Calls on_span for every span from now on, until it returns another value than
 * 0, which waft_viewer_tail then returns (use positive ones), or until the
 * collector ends. Not bound by the viewer's timeout. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_tail(struct waft_viewer *viewer,
	const struct waft_trace_filter *filter, waft_tail_fn on_span, void *arg);

/* ---- Figures ---------------------------------------------------------- */

struct waft_operation_stats {
	const char *service;
	const char *operation;
	const char *layer;
	uint64_t count;
	uint64_t errors;
	double p50_ms;
	double p95_ms;
	double p99_ms;
	double total_ms;
	double self_ms; /* total less what its children took */
};

struct waft_operation_list {
	const struct waft_operation_stats *operations; /* most total time first */
	size_t count;
};

/* Figures per operation over the traces that fulfil filter. Owned by the
 * caller: waft_operation_list_free. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_stats(struct waft_viewer *viewer,
	const struct waft_trace_filter *filter, struct waft_operation_list **ret_list);
WAFT_PUBLIC void waft_operation_list_free(struct waft_operation_list *list);

struct waft_count {
	const char *name;
	uint64_t value;
};

/* The ledger of one client process, or the sum of all:
 * emitted = durable + dropped + unknown + in flight. */
struct waft_ledger {
	char client[33]; /* hex; "" in the total */
	const char *service;
	uint64_t pid;
	bool connected;
	uint64_t emitted;
	uint64_t durable;
	uint64_t unknown;
	const struct waft_count *dropped; /* by reason */
	size_t dropped_count;
	uint64_t duplicates; /* batches that came again and were not stored twice */
};

enum waft_health {
	WAFT_HEALTH_SERVING = 0,
	WAFT_HEALTH_DEGRADED,
	WAFT_HEALTH_NOT_SERVING,
	WAFT_HEALTH_NO_COLLECTOR, /* read from the files: whether one runs isn't known */
};

struct waft_status {
	enum waft_health health;
	const char *const *reasons; /* why it is not simply serving */
	size_t reason_count;
	const char *version; /* of the collector; "" without one */
	uint64_t uptime_ms;
	const char *store; /* its directory */
	uint64_t store_bytes;
	uint64_t log_bytes;
	uint64_t spans_waiting; /* durable, not yet in a file */
	uint64_t spans_written;
	uint64_t spans_expired; /* removed by retention */
	uint64_t quarantined_bytes;
	uint64_t batches_refused;
	uint64_t resident_bytes;
	struct waft_ledger total;
	const struct waft_ledger *clients;
	size_t client_count;
	const struct waft_count *counters;
	size_t counter_count;
};

/* State of the collector and its store. Owned by the caller: waft_status_free. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_status(
	struct waft_viewer *viewer, struct waft_status **ret_status);
WAFT_PUBLIC void waft_status_free(struct waft_status *status);

/* ---- What is running right now ----------------------------------------- */

/* The open spans of one thread, as trees: a span whose parent is open in the same
 * thread stands below it. Of the nodes status is "pending". */
struct waft_open_thread {
	uint64_t thread; /* the kernel's number; 0: not known */
	const struct waft_trace_node *spans;
	size_t count;
};

struct waft_open_process {
	const char *service; /* "" when unknown */
	const char *host;
	uint64_t pid;
	const struct waft_open_thread *threads; /* that have any */
	size_t count;
};

struct waft_open_list {
	const struct waft_open_process *processes; /* that have any; by service and pid */
	size_t count;
	uint64_t connected;  /* processes whose memory the collector can read */
	uint64_t left_out;   /* spans beyond what it lists of one process */
	uint64_t unreadable; /* processes whose memory made no sense */
};

/* The spans that are open at this moment in processes of this machine that are
 * connected to the collector; service: of this one only, NULL: of all. Owned by the
 * caller: waft_open_list_free. -ENOTSUP: files alone don't know. */
WAFT_PUBLIC WAFT_MUST_CHECK int waft_viewer_open_spans(
	struct waft_viewer *viewer, const char *service, struct waft_open_list **ret_list);
WAFT_PUBLIC void waft_open_list_free(struct waft_open_list *list);

/* The library's version, "0.1.0". */
WAFT_PUBLIC const char *waft_viewer_version(void);

#ifdef __cplusplus
}
#endif

#endif
