/*
 * waft.h: trace how data moves through a program.
 *
 *     #include <waft/waft.h>
 *
 *     int price(int items)
 *     {
 *             WAFT_SPAN(span, "shop.price");           // ends on every way out
 *             waft_attr_int(&span, "items", items);
 *             ...
 *     }
 *
 * Rules that hold for every call below unless it says otherwise:
 *   - Thread-safe; callable before waft_init (the first call initialises from
 *     the environment), after waft_shutdown, and when tracing is disabled: then
 *     it does nothing. Not async-signal-safe. Not between vfork and exec.
 *   - A child of _Fork or clone is traced like one of fork, but not where its parent had
 *     other threads, or sends by TLS: libc's locks may be held there for ever, and the
 *     sending thread can't be made. It says so, and its spans count nowhere.
 *   - A child of fork is a process of its own, with counts of its own. What leaves
 *     by _exit or exec before its sender met a collector is known to nobody:
 *     waft_flush before it.
 *   - Never blocks, never fails its host: what cannot be recorded is counted as
 *     a drop with its reason (waft_stats).
 *   - Text is UTF-8 and copied at the call; nothing of the caller's is kept.
 *   - A NULL span, context or text is accepted and ignored.
 *   - Functions that return int return 0 or a negative errno / WAFT_E… code
 *     (waft_strerror).
 */
#ifndef WAFT_WAFT_H
#define WAFT_WAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WAFT_PUBLIC __attribute__((visibility("default")))
#define WAFT_MUST_CHECK __attribute__((warn_unused_result))

/* The layer of spans begun in a file that says nothing; define it before the
 * include to give a file its own. */
#ifndef WAFT_LAYER
#define WAFT_LAYER "core"
#endif

/* ---- Lifecycle -------------------------------------------------------- */

enum waft_capture {
	WAFT_CAPTURE_DEFAULT = 0, /* the environment's WAFT_CAPTURE, else on */
	WAFT_CAPTURE_ON,
	WAFT_CAPTURE_OFF, /* snapshots are not taken */
};

/* Zero means: the environment's value, else the default. Set size to
 * sizeof(struct waft_options). Texts are borrowed for the call only. */
struct waft_options {
	size_t size;
	const char *endpoint;	       /* unix:PATH | file:DIR | tls://HOST:PORT |
					  tcp://127.0.0.1:PORT; WAFT_ENDPOINT */
	const char *service;	       /* OTEL_SERVICE_NAME; else the program's name */
	const char *resource;	       /* key=value,…; OTEL_RESOURCE_ATTRIBUTES */
	const char *sampler;	       /* OTEL_TRACES_SAMPLER */
	const char *sampler_arg;       /* OTEL_TRACES_SAMPLER_ARG */
	const char *redact;	       /* more names to redact, comma-separated; WAFT_REDACT */
	enum waft_capture capture;     /* WAFT_CAPTURE=on|off */
	uint32_t snapshot_limit_bytes; /* WAFT_SNAPSHOT_LIMIT; 1000 */
	uint32_t batch_age_ms;	       /* WAFT_BATCH_AGE_MS; longest wait before sending; 100 */
	uint32_t exit_timeout_ms;      /* WAFT_EXIT_TIMEOUT_MS; bound of the send at exit; 1000 */
	bool disabled;		       /* OTEL_SDK_DISABLED=true */
};

/* Why spans were dropped; the names are waft_drop_reason_name's. */
enum waft_drop_reason {
	WAFT_DROP_BUFFER_FULL = 0, /* "buffer_full": the bounded buffer had no room */
	WAFT_DROP_TOO_LARGE,	   /* "too_large": one span over 64 KiB */
	WAFT_DROP_OPEN_LIMIT,	   /* "open_limit": too many spans open at once */
	WAFT_DROP_REFUSED,	   /* "refused": the collector refused the batch for good */
	WAFT_DROP_SHUTDOWN,	   /* "shutdown": never sent when the process gave up */
	WAFT_DROP_FORKED,	   /* "forked": begun before a fork, left in the child */
	WAFT_DROP_INTERNAL,	   /* "internal": memory or a system call failed */
	WAFT_DROP_REASONS
};

/* emitted = durable + sum(dropped) + unknown + in_flight, always; in_flight is
 * 0 at rest. Counts are of this process since its start (or its fork). */
struct waft_stats {
	uint64_t emitted; /* spans ended or abandoned, sampled ones only */
	uint64_t durable; /* acknowledged by the collector */
	uint64_t dropped[WAFT_DROP_REASONS];
	uint64_t unknown;     /* sent, not answered when a side gave up */
	uint64_t in_flight;   /* in the buffer or sent and not yet answered */
	uint64_t not_sampled; /* left out by the sampler; not part of emitted */
};

/* Initialises the process's tracer. NULL: everything from the environment and
 * defaults. Optional: the first span does it. 0, -EALREADY when the tracer runs
 * already (the options are then not looked at), -EINVAL for a malformed option
 * (reported on stderr once; the default is used in its place). */
WAFT_PUBLIC int waft_init(const struct waft_options *options);

/* Waits until all that was emitted before the call is answered, timeout_ms at
 * the longest. 0, or -ETIMEDOUT. After a shutdown that gave spans up: -ECANCELED. */
WAFT_PUBLIC int waft_flush(uint32_t timeout_ms);

/* Sends what is left, timeout_ms at the longest, and stops the tracer. Says in
 * *ret_stats (may be NULL) what became of every span: in_flight is 0 there.
 * 0 when every span is durable, -ETIMEDOUT or -ENODATA when some are not.
 * Spans that are open are stored as pending; what begins or ends later is neither
 * recorded nor counted. Done at exit anyway, within exit_timeout_ms; where no
 * endpoint is set and no collector was there in the tracer's first 300 ms and
 * since, exit does not wait for one. */
WAFT_PUBLIC int waft_shutdown(uint32_t timeout_ms, struct waft_stats *ret_stats);

/* Fills *ret_stats with the counts of now. (In C++ the function would hide the
 * struct's constructor, which has no use.) */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
WAFT_PUBLIC void waft_stats(struct waft_stats *ret_stats);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

WAFT_PUBLIC const char *waft_drop_reason_name(enum waft_drop_reason reason);
/* A constant text for a code of this library or errno's negative; never NULL. */
WAFT_PUBLIC const char *waft_strerror(int code);
/* The library's version, "0.1.0". */
WAFT_PUBLIC const char *waft_version(void);

/* ---- Context ---------------------------------------------------------- */

/* Where in a trace one stands: what a span's children need to know of it, here
 * or in another process. All-zero is "none". Owned by the caller: release with
 * waft_context_done. The texts that travel along (tracestate, baggage) are
 * shared and counted inside. */
struct waft_context {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags; /* W3C trace-flags: bit 0 sampled, bit 1 random */
	bool remote;   /* came from another process */
	uint8_t reserved[6];
	struct waft_carry *carry; /* tracestate and baggage; NULL when neither */
};

static inline bool waft_context_valid(const struct waft_context *context);

/* ---- Spans ------------------------------------------------------------ */

enum waft_kind {
	WAFT_KIND_INTERNAL = 0,
	WAFT_KIND_SERVER,
	WAFT_KIND_CLIENT,
	WAFT_KIND_PRODUCER,
	WAFT_KIND_CONSUMER,
};

/* A span in the caller's memory (stack, heap or static). Never copied or moved
 * by the library, never pointed to by it: it may vanish at any moment (longjmp,
 * thread exit); the span is then stored as pending. Zero-initialised or begun
 * are its only valid states. Its members are private. */
struct waft_span;

/* Begin a span. name, layer: literals (they live for the process).
 *   WAFT_BEGIN           child of the thread's current span; without one, the
 *                        root of a new trace. Becomes the current span until it
 *                        ends; then the one before is current again.
 *   WAFT_BEGIN_ROOT      root of a new trace whatever is current.
 *   WAFT_BEGIN_CHILD     child of an explicit context, of this process or a
 *                        remote one; a none-context makes a root.
 *   WAFT_BEGIN_SIBLING   same parent as *other, which may be open or ended.
 * Each has a form with an explicit layer: …_IN(span, name, layer, …).
 *   WAFT_OPEN…           the same four, but the thread's current span stays as
 *                        it is: for work that ends in a callback or elsewhere. */
#define WAFT_BEGIN(span, name) WAFT_BEGIN_IN(span, name, WAFT_LAYER)
#define WAFT_BEGIN_ROOT(span, name) WAFT_BEGIN_ROOT_IN(span, name, WAFT_LAYER)
#define WAFT_BEGIN_CHILD(span, name, context) WAFT_BEGIN_CHILD_IN(span, name, WAFT_LAYER, context)
#define WAFT_BEGIN_SIBLING(span, name, other) WAFT_BEGIN_SIBLING_IN(span, name, WAFT_LAYER, other)
#define WAFT_OPEN(span, name) WAFT_OPEN_IN(span, name, WAFT_LAYER)
#define WAFT_OPEN_CHILD(span, name, context) WAFT_OPEN_CHILD_IN(span, name, WAFT_LAYER, context)

/* Declares a span that ends itself on every way out of the block: its end,
 * return, break, goto (and C++ exceptions). WAFT_SPAN(span, "shop.price"); */
#define WAFT_SPAN(variable, name) WAFT_SPAN_IN(variable, name, WAFT_LAYER)

/* Begins a span whose name is made at run time (copied and interned; at most
 * 16,384 different names a process, later ones share "(other)").
 * parent NULL: as WAFT_BEGIN. */
WAFT_PUBLIC void waft_span_begin_named(struct waft_span *span, const char *name, const char *layer,
	const struct waft_context *parent);
/* The same, but the thread's current span stays as it is (as WAFT_OPEN_CHILD):
 * for a span that outlives the call, such as a server's request. */
WAFT_PUBLIC void waft_span_open_named(struct waft_span *span, const char *name, const char *layer,
	const struct waft_context *parent);

/* Ends the span: success unless an error was set. Ending twice, a span never
 * begun, or one begun before a fork does nothing. May be called by another
 * thread than the one that began it. */
static inline void waft_end(struct waft_span *span);

/* True when what is set on the span will be stored: use it to skip costly work. */
static inline bool waft_recording(const struct waft_span *span);

WAFT_PUBLIC void waft_set_kind(struct waft_span *span, enum waft_kind kind);

/* ---- Attributes, events, links ---------------------------------------- */

/* key: OpenTelemetry semantic-convention names where one fits; a literal for
 * the macros below (interned once per call site). A key set again replaces. */
#define waft_attr_string(span, key, value) WAFT_ATTR_STRING_(span, key, value)
#define waft_attr_int(span, key, value) WAFT_ATTR_INT_(span, key, value)
#define waft_attr_double(span, key, value) WAFT_ATTR_DOUBLE_(span, key, value)
#define waft_attr_bool(span, key, value) WAFT_ATTR_BOOL_(span, key, value)

enum waft_type {
	WAFT_TYPE_STRING = 1,
	WAFT_TYPE_BOOL,
	WAFT_TYPE_INT,
	WAFT_TYPE_DOUBLE,
	WAFT_TYPE_STRINGS,
	WAFT_TYPE_BOOLS,
	WAFT_TYPE_INTS,
	WAFT_TYPE_DOUBLES,
};

/* One attribute with a key known only at run time, or an array. Borrowed for
 * the call. count: elements of an array; for WAFT_TYPE_STRING the length in
 * bytes, or SIZE_MAX for a NUL-terminated text. */
struct waft_attribute {
	const char *key;
	enum waft_type type;
	size_t count;
	union {
		const char *string;
		bool boolean;
		int64_t integer;
		double number;
		const char *const *strings;
		const bool *booleans;
		const int64_t *integers;
		const double *numbers;
	} value;
};

WAFT_PUBLIC void waft_set(struct waft_span *span, const struct waft_attribute *attribute);

/* A named moment inside the span, stamped now. */
WAFT_PUBLIC void waft_event(struct waft_span *span, const char *name,
	const struct waft_attribute *attributes, size_t count);

/* Ties the span to another, of this trace or a different one. */
WAFT_PUBLIC void waft_link(struct waft_span *span, const struct waft_context *to,
	const struct waft_attribute *attributes, size_t count);

/* Metadata of the whole trace: given at a root, it is an attribute of every
 * span of the trace that begins afterwards, in other processes too (it travels
 * as W3C baggage: keep secrets out of it). */
WAFT_PUBLIC void waft_trace_attr(struct waft_span *root, const char *key, const char *value);

/* ---- Status ----------------------------------------------------------- */

/* Marks the span failed with this text. The last call wins. */
WAFT_PUBLIC void waft_error(struct waft_span *span, const char *text);
WAFT_PUBLIC void waft_errorf(struct waft_span *span, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same with a code, kept as attribute "error.code". */
WAFT_PUBLIC void waft_error_code(struct waft_span *span, int64_t code, const char *text);
/* "doing: strerror(error_number)", and "error.code" the number. */
WAFT_PUBLIC void waft_errno(struct waft_span *span, int error_number, const char *doing);

/* ---- Snapshots of what went in and what came out ---------------------- */

/* A JSON value written piece by piece. Commas, quotes and escapes are the
 * builder's; a mistake in nesting makes the snapshot "[invalid JSON, N bytes]". */
struct waft_json;
WAFT_PUBLIC void waft_json_object(struct waft_json *json);
WAFT_PUBLIC void waft_json_end_object(struct waft_json *json);
WAFT_PUBLIC void waft_json_array(struct waft_json *json);
WAFT_PUBLIC void waft_json_end_array(struct waft_json *json);
WAFT_PUBLIC void waft_json_key(struct waft_json *json, const char *key);
WAFT_PUBLIC void waft_json_string(struct waft_json *json, const char *text);
WAFT_PUBLIC void waft_json_string_n(struct waft_json *json, const char *text, size_t length_bytes);
WAFT_PUBLIC void waft_json_int(struct waft_json *json, int64_t value);
WAFT_PUBLIC void waft_json_double(struct waft_json *json, double value); /* not finite: null */
WAFT_PUBLIC void waft_json_bool(struct waft_json *json, bool value);
WAFT_PUBLIC void waft_json_null(struct waft_json *json);
/* Text that is JSON already; checked with the whole. */
WAFT_PUBLIC void waft_json_raw(struct waft_json *json, const char *text, size_t length_bytes);

typedef void (*waft_snapshot_fn)(struct waft_json *json, void *arg);

/* The span's input or output, set again: the last wins. Redacted, then cut to
 * snapshot_limit_bytes, before any other memory sees it.
 *   _json  JSON text; length SIZE_MAX: NUL-terminated. Not JSON: kept as a
 *          string if it holds no redacted name, else "[invalid JSON, N bytes]".
 *   _fn    fn(json, arg) is called at once, and only when recorded.
 *   _int, _double, _bool, _string: one value as JSON; a double that is not
 *          finite is null, a NULL text leaves what there was. */
WAFT_PUBLIC void waft_input_json(struct waft_span *span, const char *text, size_t length_bytes);
WAFT_PUBLIC void waft_output_json(struct waft_span *span, const char *text, size_t length_bytes);
WAFT_PUBLIC void waft_input_fn(struct waft_span *span, waft_snapshot_fn fn, void *arg);
WAFT_PUBLIC void waft_output_fn(struct waft_span *span, waft_snapshot_fn fn, void *arg);
WAFT_PUBLIC void waft_input_int(struct waft_span *span, int64_t value);
WAFT_PUBLIC void waft_input_double(struct waft_span *span, double value);
WAFT_PUBLIC void waft_input_bool(struct waft_span *span, bool value);
WAFT_PUBLIC void waft_input_string(struct waft_span *span, const char *text);
WAFT_PUBLIC void waft_output_int(struct waft_span *span, int64_t value);
WAFT_PUBLIC void waft_output_double(struct waft_span *span, double value);
WAFT_PUBLIC void waft_output_bool(struct waft_span *span, bool value);
WAFT_PUBLIC void waft_output_string(struct waft_span *span, const char *text);

/* ---- One line for a whole function, or a transformation ---------------- */

/* WAFT_TRACED(int, add, (int a, int b), (a, b))
 * {
 *         return a + b;
 * }
 * defines add() as usual and traces each call as "<file stem>.add" with the
 * result as its output (numbers, booleans, texts; other types: none). Prefix it
 * with static for a static function. WAFT_TRACED_VOID(name, params, args) is
 * for functions without a result; WAFT_FUNCTION(); at the top of any body does
 * the same without a result. */

/* result = WAFT_TRANSFORM("orders.normalise", input_json, output_json, call):
 * traces call, an int expression, with the text input_json before it and
 * output_json, evaluated after it. A negative result marks the span failed with
 * waft_strerror(result). The value is call's. */

/* ---- Moving context between threads, callbacks and processes ----------- */

/* The thread's current context into *ret_context (all-zero when none). */
WAFT_PUBLIC void waft_context_current(struct waft_context *ret_context);
/* The context of an open or ended span. */
WAFT_PUBLIC void waft_context_of(const struct waft_span *span, struct waft_context *ret_context);
WAFT_PUBLIC void waft_context_copy(
	const struct waft_context *context, struct waft_context *ret_context);
WAFT_PUBLIC void waft_context_done(struct waft_context *context);

/* Makes context the thread's current one until waft_detach(token), on the same
 * thread: WAFT_BEGIN then makes its children. WAFT_ATTACHED(&context); does both
 * for a block. */
struct waft_token {
	uint64_t private_[4];
};
WAFT_PUBLIC void waft_attach(const struct waft_context *context, struct waft_token *ret_token);
WAFT_PUBLIC void waft_detach(struct waft_token *token);

enum { WAFT_TRACEPARENT_SIZE = 56, WAFT_TRACE_ID_SIZE = 37, WAFT_SPAN_ID_SIZE = 37 };

/* W3C Trace Context (https://www.w3.org/TR/trace-context-2/) and Baggage.
 * inject: calls set(arg, name, value) for traceparent and, when not empty,
 * tracestate and baggage. A none-context sets nothing.
 * extract: get(arg, name) returns the header's value or NULL (several of a name:
 * joined by commas); malformed ones are ignored as the standard says.
 * 0, or -ENOENT when there is no valid traceparent (*ret_context is none). */
typedef void (*waft_header_set_fn)(void *arg, const char *name, const char *value);
typedef const char *(*waft_header_get_fn)(void *arg, const char *name);
WAFT_PUBLIC void waft_inject(const struct waft_context *context, waft_header_set_fn set, void *arg);
WAFT_PUBLIC int waft_extract(waft_header_get_fn get, void *arg, struct waft_context *ret_context);

/* traceparent alone, as text (55 characters and NUL). */
WAFT_PUBLIC void waft_traceparent_format(
	const struct waft_context *context, char ret_text[WAFT_TRACEPARENT_SIZE]);
WAFT_PUBLIC int waft_traceparent_parse(const char *text, struct waft_context *ret_context);

/* Ids as UUID text, as they stand in the store. */
WAFT_PUBLIC void waft_trace_id_format(
	const struct waft_context *context, char ret_text[WAFT_TRACE_ID_SIZE]);
WAFT_PUBLIC void waft_span_id_format(
	const struct waft_context *context, char ret_text[WAFT_SPAN_ID_SIZE]);

/* A child's environment: a copy of base (NULL: environ) with TRACEPARENT,
 * TRACESTATE and BAGGAGE set from context. Owned by the caller: waft_env_free.
 * NULL when memory is short. waft_context_from_env reads the process's own. */
WAFT_PUBLIC char **waft_env_new(const struct waft_context *context, char *const *base);
WAFT_PUBLIC void waft_env_free(char **environment);
WAFT_PUBLIC int waft_context_from_env(struct waft_context *ret_context);

#ifdef __cplusplus
}
#endif

#include <waft/inline.h>
#include <waft/macros.h>

#endif
