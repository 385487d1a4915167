/* Spans from begin to the collector: trees, attributes, status, snapshots. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_collector.h"
#include "wire.h"

static struct fake_collector *begin(void)
{
	struct fake_collector *fake = fake_start("sock");

	tracer_start("sock");
	return fake;
}

/* ---- Trees ------------------------------------------------------------------ */

static void tree_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span root, a, b, c, other;

	WAFT_BEGIN(&root, "root");
	WAFT_BEGIN(&a, "a");
	WAFT_BEGIN_IN(&b, "b", "api");
	waft_end(&b);
	waft_end(&a);
	WAFT_BEGIN_ROOT(&other, "other");
	WAFT_BEGIN(&c, "c");
	waft_end(&c);
	waft_end(&other);
	WAFT_BEGIN_SIBLING(&b, "d", &a);
	waft_end(&b);
	waft_end(&root);
	tracer_end(fake, NULL);

	const struct fake_span *seen = fake_find(fake, "root", 0);
	CHECK_INT(fake->span_count, 6);
	CHECK(seen->parent == 0);
	CHECK(fake_find(fake, "a", 0)->parent == seen->id);
	CHECK(fake_find(fake, "d", 0)->parent == seen->id);
	CHECK(fake_find(fake, "b", 0)->parent == fake_find(fake, "a", 0)->id);
	CHECK_TEXT(fake_find(fake, "b", 0)->layer, "api");
	CHECK_TEXT(seen->layer, "core");
	CHECK(memcmp(fake_find(fake, "d", 0)->trace, seen->trace, 16) == 0);
	CHECK(memcmp(fake_find(fake, "other", 0)->trace, seen->trace, 16) != 0);
	CHECK(fake_find(fake, "other", 0)->parent == 0);
	CHECK(fake_find(fake, "c", 0)->parent == fake_find(fake, "other", 0)->id);
	CHECK((seen->trace[6] & 0xf0) == 0x40 && (seen->trace[8] & 0xc0) == 0x80);
	for (uint32_t i = 0; i < fake->span_count; i++) {
		CHECK_INT(fake->spans[i].status, WIRE_STATUS_SUCCESS);
		CHECK_INT(fake->spans[i].repairs, 0);
		CHECK(fake->spans[i].start_ns >= seen->start_ns);
		CHECK(fake->spans[i].start_ns + fake->spans[i].duration_ns <=
			seen->start_ns + seen->duration_ns);
	}
	fake_free(fake);
}

/* Timestamps are those of CLOCK_REALTIME, to a microsecond or so. */
static void time_body(void)
{
	struct fake_collector *fake = begin();
	struct timespec before, after;
	struct waft_span span;

	clock_gettime(CLOCK_REALTIME, &before);
	WAFT_BEGIN(&span, "timed");
	waft_end(&span);
	clock_gettime(CLOCK_REALTIME, &after);
	tracer_end(fake, NULL);

	const struct fake_span *seen = fake_find(fake, "timed", 0);
	uint64_t from = (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec;
	uint64_t to = (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec;
	CHECK(seen->start_ns + 20000 >= from);
	CHECK(seen->start_ns + seen->duration_ns <= to + 20000);
	CHECK(!fake->stepped);
	fake_free(fake);
}

/* More open at once than a thread has slots at first, and than it may have. */
static void deep_body(void)
{
	enum { DEPTH = 1100 };
	static struct waft_span spans[DEPTH];
	struct fake_collector *fake = begin();
	struct waft_stats stats;

	for (int i = 0; i < DEPTH; i++)
		WAFT_BEGIN(&spans[i], "deep");
	for (int i = DEPTH; i-- > 0;)
		waft_end(&spans[i]);
	tracer_end(fake, &stats);
	CHECK_INT(stats.emitted, DEPTH);
	CHECK_INT(stats.durable, 1024);
	CHECK_INT(stats.dropped[WAFT_DROP_OPEN_LIMIT], DEPTH - 1024);
	fake_free(fake);
}

/* ---- Attributes --------------------------------------------------------------- */

static void attributes_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span;
	char text[200];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 3; i++) {
		WAFT_BEGIN(&span, "kinds");
		waft_attr_string(&span, "s", i == 0 ? "one" : "two");
		waft_attr_int(&span, "i", -7 - i);
		waft_attr_int(&span, "large", INT64_MIN + i);
		waft_attr_double(&span, "d", 0.5);
		waft_attr_bool(&span, "b", true);
		waft_attr_string(&span, "empty", "");
		waft_attr_string(&span, "none", NULL);
		waft_end(&span);
	}
	WAFT_BEGIN(&span, "long");
	waft_attr_string(&span, "s", text);
	waft_attr_int(&span, "i", 1);
	waft_end(&span);
	WAFT_BEGIN(&span, "many");
	for (int i = 0; i < 100; i++) {
		struct waft_attribute attribute = {
			.key = text, .type = WAFT_TYPE_INT, .value = {.integer = i}};

		snprintf(text, sizeof(text), "k%d", i);
		waft_set(&span, &attribute);
	}
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "kinds", 0)->attributes,
		"s=one;i=-7;large=-9223372036854775808;d=0.5;b=true;empty=;");
	CHECK_TEXT(fake_find(fake, "kinds", 2)->attributes,
		"s=two;i=-9;large=-9223372036854775806;d=0.5;b=true;empty=;");
	CHECK(strstr(fake_find(fake, "long", 0)->attributes, "s=xxxx") != NULL);
	CHECK(strstr(fake_find(fake, "long", 0)->attributes, "i=1;") != NULL);
	CHECK(strstr(fake_find(fake, "many", 0)->attributes, "k0=0;") != NULL);
	CHECK(strstr(fake_find(fake, "many", 0)->attributes, "k99=99;") != NULL);
	for (uint32_t i = 0; i < fake->span_count; i++)
		CHECK_INT(fake->spans[i].repairs, 0);
	fake_free(fake);
}

/* Texts of all lengths and places in memory, behind one another in one span: what they
 * do not fill comes from none of what lies around them. */
static void texts_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span;
	_Alignas(16) char place[160];
	char wanted[400];
	unsigned int spans = 0;

	for (size_t length = 0; length <= 100; length += length < 20 ? 1 : 9)
		for (size_t at = 0; at < 16; at += 1 + at % 3, spans++) {
			memset(place, '#', sizeof(place));
			for (size_t i = 0; i < length; i++)
				place[at + i] = (char)('a' + (i + length) % 26);
			place[at + length] = '\0';
			WAFT_BEGIN(&span, "texts");
			waft_attr_string(&span, "s", place + at);
			waft_attr_int(&span, "i", -1);
			waft_attr_string(&span, "t", place + at + length / 2);
			waft_attr_double(&span, "d", -0.5);
			waft_attr_string(&span, "u", place + at + length);
			waft_attr_bool(&span, "b", false);
			waft_end(&span);
		}
	tracer_end(fake, NULL);
	spans = 0;
	for (size_t length = 0; length <= 100; length += length < 20 ? 1 : 9)
		for (size_t at = 0; at < 16; at += 1 + at % 3, spans++) {
			const struct fake_span *found = fake_find(fake, "texts", spans);
			const char *s = strstr(found->attributes, "s=");

			for (size_t i = 0; i < length; i++)
				place[i] = (char)('a' + (i + length) % 26);
			place[length] = '\0';
			snprintf(wanted, sizeof(wanted), "s=%s;", place);
			CHECK(s != NULL && strncmp(s, wanted, strlen(wanted)) == 0);
			snprintf(wanted, sizeof(wanted), "t=%s;", place + length / 2);
			CHECK(strstr(found->attributes, wanted) != NULL);
			CHECK(strstr(found->attributes, "i=-1;") != NULL);
			CHECK(strstr(found->attributes, "d=-0.5;") != NULL);
			CHECK(strstr(found->attributes, "u=;") != NULL);
			CHECK(strstr(found->attributes, "b=false;") != NULL);
			CHECK_INT(found->repairs, 0);
		}
	for (uint64_t i = 1; i <= fake->durable; i++)
		CHECK(memmem(fake->batches[i], fake->batch_lengths[i], "####", 4) == NULL);
	fake_free(fake);
}

static void number_set(struct waft_span *span, int64_t value)
{
	waft_attr_int(span, "i", value);
}

/* A call site that has seen a span sets nothing on one that has ended. */
static void ended_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span;
	const char *wanted[] = {"i=0;", "", "i=2;", ""};

	for (int i = 0; i < 4; i++) {
		WAFT_BEGIN(&span, "ended");
		if (i % 2 == 0)
			number_set(&span, i);
		waft_end(&span);
		number_set(&span, 17);
		number_set(&span, 18);
		CHECK(!waft_recording(&span));
		waft_end(&span);
	}
	number_set(NULL, 19);
	tracer_end(fake, NULL);
	CHECK_INT(fake->span_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_TEXT(fake_find(fake, "ended", i)->attributes, wanted[i]);
	fake_free(fake);
}

/* A key set again replaces, whatever the kinds and lengths. */
static void replace_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span;
	char text[300];
	const int64_t numbers[] = {1, 2};

	memset(text, 'y', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	WAFT_BEGIN(&span, "loop");
	for (int i = 0; i < 5; i++)
		waft_attr_int(&span, "i", i);
	waft_attr_string(&span, "s", "a");
	waft_attr_string(&span, "t", "b");
	waft_attr_string(&span, "s", "longer than before");
	waft_end(&span);
	for (int i = 0; i < 2; i++) {
		WAFT_BEGIN(&span, "kind");
		waft_attr_int(&span, "k", 1);
		waft_attr_int(&span, "l", 2);
		waft_attr_string(&span, "k", "text");
		waft_attr_string(&span, "l", text);
		waft_attr_string(&span, "l", "short");
		waft_set(&span, &(struct waft_attribute){.key = "k",
					.type = WAFT_TYPE_INTS,
					.count = 2,
					.value = {.integers = numbers}});
		waft_end(&span);
	}
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "loop", 0)->attributes, "i=4;s=longer than before;t=b;");
	CHECK_TEXT(fake_find(fake, "kind", 0)->attributes, "l=short;k=[1,2];");
	CHECK_TEXT(fake_find(fake, "kind", 1)->attributes, "l=short;k=[1,2];");
	for (uint32_t i = 0; i < fake->span_count; i++)
		CHECK_INT(fake->spans[i].repairs, 0);
	fake_free(fake);
}

static void arrays_body(void)
{
	struct fake_collector *fake = begin();
	const char *strings[] = {"a", "b"};
	const bool booleans[] = {true, false};
	const double numbers[] = {0.25, 4};
	struct waft_span span;

	WAFT_BEGIN(&span, "arrays");
	waft_set(&span, &(struct waft_attribute){.key = "s",
				.type = WAFT_TYPE_STRINGS,
				.count = 2,
				.value = {.strings = strings}});
	waft_set(&span, &(struct waft_attribute){.key = "b",
				.type = WAFT_TYPE_BOOLS,
				.count = 2,
				.value = {.booleans = booleans}});
	waft_set(&span, &(struct waft_attribute){.key = "d",
				.type = WAFT_TYPE_DOUBLES,
				.count = 2,
				.value = {.numbers = numbers}});
	waft_set(&span, &(struct waft_attribute){.key = "cut",
				.type = WAFT_TYPE_STRING,
				.count = 2,
				.value = {.string = "abc"}});
	waft_set(&span, &(struct waft_attribute){.key = "bad", .type = (enum waft_type)77});
	waft_set(&span, NULL);
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "arrays", 0)->attributes,
		"cut=ab;s=[a,b];b=[true,false];d=[0.25,4];");
	CHECK_INT(fake_find(fake, "arrays", 0)->dropped_attributes, 1);
	fake_free(fake);
}

/* Not one byte of a value whose key must not be seen gets into the batch. */
static void redacted_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_attribute inner = {.key = "accessToken",
		.type = WAFT_TYPE_STRING,
		.count = SIZE_MAX,
		.value = {.string = "hunter2"}};
	struct waft_span span;

	for (int i = 0; i < 2; i++) {
		WAFT_BEGIN(&span, "redacted");
		waft_attr_string(&span, "user.password", "hunter2");
		waft_attr_int(&span, "api_key", 4242424242);
		waft_attr_int(&span, "input_tokens", 17);
		waft_event(&span, "login", &inner, 1);
		waft_set(&span, &inner);
		waft_input_json(&span, "{\"a\":{\"X-Api-Key\":[\"hunter2\"]},\"n\":1}", SIZE_MAX);
		waft_trace_attr(&span, "session_token", "hunter2");
		waft_end(&span);
	}
	tracer_end(fake, NULL);
	CHECK_TEXT(fake_find(fake, "redacted", 1)->attributes,
		"session_token=[redacted];user.password=[redacted];api_key=[redacted];"
		"input_tokens=17;accessToken=[redacted];");
	CHECK_TEXT(fake_find(fake, "redacted", 1)->events, "login(accessToken=[redacted];)");
	CHECK_TEXT(fake_find(fake, "redacted", 1)->input,
		"{\"a\":{\"X-Api-Key\":\"[redacted]\"},\"n\":1}");
	for (uint64_t i = 1; i <= fake->durable; i++)
		CHECK(memmem(fake->batches[i], fake->batch_lengths[i], "hunter2", 7) == NULL);
	fake_free(fake);
}

/* ---- Status, events, links ------------------------------------------------------- */

static void status_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_context context;
	struct waft_span span;

	WAFT_BEGIN(&span, "fails");
	waft_error(&span, "first");
	waft_errorf(&span, "item %d of %s", 3, "list");
	waft_set_kind(&span, WAFT_KIND_SERVER);
	waft_event(&span, "retry", NULL, 0);
	waft_context_of(&span, &context);
	waft_link(&span, &context, NULL, 0);
	waft_link(&span, NULL, NULL, 0);
	waft_context_done(&context);
	waft_end(&span);
	WAFT_BEGIN(&span, "code");
	waft_error_code(&span, 12, "no");
	waft_end(&span);
	WAFT_BEGIN(&span, "errno");
	waft_errno(&span, ENOENT, "opening x");
	waft_end(&span);
	WAFT_BEGIN(&span, "events");
	for (int i = 0; i < 200; i++)
		waft_event(&span, "e", NULL, 0);
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_INT(fake_find(fake, "fails", 0)->status, WIRE_STATUS_ERROR);
	CHECK_TEXT(fake_find(fake, "fails", 0)->error, "item 3 of list");
	CHECK_INT(fake_find(fake, "fails", 0)->kind, WIRE_KIND_SERVER);
	CHECK_TEXT(fake_find(fake, "fails", 0)->events, "retry()");
	CHECK_INT(fake_find(fake, "fails", 0)->links, 1);
	CHECK_TEXT(fake_find(fake, "code", 0)->attributes, "error.code=12;");
	CHECK_TEXT(fake_find(fake, "errno", 0)->error, "opening x: No such file or directory");
	CHECK_TEXT(fake_find(fake, "errno", 0)->attributes, "error.code=2;");
	CHECK_INT(fake_find(fake, "events", 0)->dropped_events, 72);
	fake_free(fake);
}

static void snapshot_fill(struct waft_json *json, void *arg)
{
	int *calls = arg;

	(*calls)++;
	waft_json_object(json);
	waft_json_key(json, "list");
	waft_json_array(json);
	waft_json_int(json, 1);
	waft_json_double(json, 0.1);
	waft_json_null(json);
	waft_json_string(json, "a\"\n\x01");
	waft_json_end_array(json);
	waft_json_key(json, "secret");
	waft_json_bool(json, true);
	waft_json_end_object(json);
}

static void snapshot_wrong(struct waft_json *json, void *arg)
{
	(void)arg;
	waft_json_object(json);
	waft_json_end_array(json);
}

static void snapshots_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span span, ended = {0};
	int calls = 0;

	WAFT_BEGIN(&span, "built");
	waft_input_json(&span, "[1]", SIZE_MAX);
	waft_input_fn(&span, snapshot_fill, &calls);
	waft_output_string(&span, "text");
	waft_end(&span);
	waft_input_fn(&span, snapshot_fill, &calls);
	waft_input_fn(&ended, snapshot_fill, &calls);
	waft_input_fn(NULL, snapshot_fill, &calls);
	WAFT_BEGIN(&span, "wrong");
	waft_input_fn(&span, snapshot_wrong, NULL);
	waft_output_double(&span, -0.0);
	waft_end(&span);
	WAFT_BEGIN(&span, "next");
	waft_output_int(&span, -3);
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_INT(calls, 1);
	CHECK_TEXT(fake_find(fake, "built", 0)->input,
		"{\"list\":[1,0.1,null,\"a\\\"\\n\\u0001\"],\"secret\":\"[redacted]\"}");
	CHECK_TEXT(fake_find(fake, "built", 0)->output, "\"text\"");
	CHECK_TEXT(fake_find(fake, "wrong", 0)->input, "\"[invalid JSON, 1 bytes]\"");
	CHECK_TEXT(fake_find(fake, "wrong", 0)->output, "-0");
	CHECK(fake_find(fake, "next", 0)->input == NULL);
	CHECK_TEXT(fake_find(fake, "next", 0)->output, "-3");
	fake_free(fake);
}

static void too_large_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.batch_age_ms = 5,
		.snapshot_limit_bytes = 30000};
	static char text[40000];
	struct waft_stats stats;
	struct waft_span span;

	CHECK_INT(waft_init(&options), 0);
	memset(text, '"', sizeof(text) - 1); /* each one takes two bytes in JSON */
	WAFT_BEGIN(&span, "large");
	waft_output_string(&span, text);
	waft_end(&span);
	WAFT_BEGIN(&span, "larger");
	waft_output_string(&span, text);
	waft_input_json(&span, text, SIZE_MAX);
	waft_end(&span);
	tracer_end(fake, &stats);
	CHECK_INT(stats.dropped[WAFT_DROP_TOO_LARGE], 1);
	CHECK_INT(stats.durable, 1);
	fake_free(fake);
}

/* A JSON string of so many bytes, 2 or more. */
static const char *text_of_length(size_t length)
{
	static char text[30000];

	memset(text, 'a' + (int)(length % 26), length);
	text[0] = text[length - 1] = '"';
	text[length] = '\0';
	return text;
}

/* Of every length that something ends at: blocks of the search, what is searched while it
 * is copied, lengths of two bytes, chunks. In traces of two spans, one with an error. */
static void lengths_body(void)
{
	static const size_t lengths[] = {2, 31, 32, 63, 64, 65, 95, 96, 97, 127, 128, 1000, 3000,
		4095, 4096, 4097, 8000, 8100, 8192, 16000, 16200, 16383, 16384, 20000};
	enum { COUNT = sizeof(lengths) / sizeof(lengths[0]) };
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.batch_age_ms = 5,
		.snapshot_limit_bytes = 25000};
	struct waft_span root, inner;

	CHECK_INT(waft_init(&options), 0);
	for (int i = 0; i < COUNT; i++) {
		WAFT_BEGIN_ROOT(&root, "root");
		waft_attr_int(&root, "n", i);
		waft_input_json(&root, text_of_length(lengths[i]), lengths[i]);
		WAFT_BEGIN(&inner, "inner");
		waft_input_json(&inner, "[\"replaced\"]", SIZE_MAX);
		waft_input_json(&inner, text_of_length(lengths[COUNT - 1 - i]), SIZE_MAX);
		if (i % 3 == 0)
			waft_error(&inner, "no");
		waft_end(&inner);
		waft_output_json(&root, text_of_length(lengths[i] / 2 + 2), SIZE_MAX);
		waft_end(&root);
	}
	tracer_end(fake, NULL);
	CHECK_INT(fake->span_count, 2 * COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		const struct fake_span *outer = fake_find(fake, "root", i);
		const struct fake_span *seen = fake_find(fake, "inner", i);

		CHECK(seen->parent == outer->id && memcmp(seen->trace, outer->trace, 16) == 0);
		CHECK_TEXT(outer->input, text_of_length(lengths[i]));
		CHECK_TEXT(outer->output, text_of_length(lengths[i] / 2 + 2));
		CHECK_TEXT(seen->input, text_of_length(lengths[COUNT - 1 - i]));
		CHECK(seen->output == NULL);
		CHECK_INT(seen->status, i % 3 == 0 ? WIRE_STATUS_ERROR : WIRE_STATUS_SUCCESS);
		CHECK_INT(outer->status, WIRE_STATUS_SUCCESS);
	}
	fake_free(fake);
}

/* ---- Ends that are none, or twice ---------------------------------------------------- */

static jmp_buf outside;

static void jump_out(void)
{
	struct waft_span lost;

	WAFT_BEGIN(&lost, "lost");
	longjmp(outside, 1);
}

static void ends_body(void)
{
	struct fake_collector *fake = begin();
	struct waft_span outer, twice, never = {0};
	struct waft_stats stats;

	WAFT_BEGIN(&outer, "outer");
	if (setjmp(outside) == 0)
		jump_out();
	WAFT_BEGIN(&twice, "twice");
	waft_end(&twice);
	waft_end(&twice);
	waft_attr_int(&twice, "late", 1);
	waft_error(&twice, "late");
	waft_end(&never);
	waft_end(NULL);
	waft_end(&outer);
	WAFT_BEGIN(&outer, "open");
	WAFT_OPEN(&never, "detached");
	tracer_end(fake, &stats);
	waft_end(&outer);
	waft_end(&never);
	WAFT_BEGIN(&outer, "after");
	waft_end(&outer);
	CHECK_INT(stats.emitted, 5);
	CHECK_INT(fake_find(fake, "lost", 0)->status, WIRE_STATUS_PENDING);
	CHECK(fake_find(fake, "twice", 0)->parent == fake_find(fake, "lost", 0)->id);
	CHECK_INT(fake_count(fake, "twice"), 1);
	CHECK_INT(fake_find(fake, "outer", 0)->status, WIRE_STATUS_SUCCESS);
	CHECK_INT(fake_find(fake, "open", 0)->status, WIRE_STATUS_PENDING);
	CHECK_INT(fake_find(fake, "detached", 0)->status, WIRE_STATUS_PENDING);
	waft_stats(&stats);
	CHECK_INT(stats.emitted, 5);
	fake_free(fake);
}

/* ---- Sampling, capture, disabled -------------------------------------------------------- */

static void unsampled_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_options options = {.size = sizeof(options),
		.endpoint = "unix:sock",
		.batch_age_ms = 5,
		.sampler = "always_off"};
	struct waft_context context, parent;
	struct waft_stats stats;
	struct waft_span root, child;

	CHECK_INT(waft_init(&options), 0);
	WAFT_BEGIN(&root, "root");
	CHECK(!waft_recording(&root));
	WAFT_BEGIN(&child, "child");
	waft_attr_int(&child, "i", 1);
	waft_context_of(&child, &context);
	waft_context_of(&root, &parent);
	CHECK(memcmp(context.trace_id, parent.trace_id, 16) == 0);
	CHECK_INT(context.flags & 1, 0);
	waft_end(&child);
	waft_end(&root);
	CHECK_INT(waft_traceparent_parse(
			  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &context),
		0);
	WAFT_BEGIN_CHILD(&root, "sampled", &context);
	CHECK(!waft_recording(&root));
	waft_end(&root);
	tracer_end(fake, &stats);
	CHECK_INT(stats.not_sampled, 3);
	CHECK_INT(stats.emitted, 0);
	CHECK_INT(fake->span_count, 0);
	fake_free(fake);
}

static void capture_off_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_span span;
	int calls = 0;

	setenv("WAFT_CAPTURE", "off", 1);
	tracer_start("sock");
	WAFT_BEGIN(&span, "quiet");
	waft_input_json(&span, "{}", SIZE_MAX);
	waft_output_fn(&span, snapshot_fill, &calls);
	waft_attr_int(&span, "kept", 1);
	waft_end(&span);
	tracer_end(fake, NULL);
	CHECK_INT(calls, 0);
	CHECK(fake_find(fake, "quiet", 0)->input == NULL);
	CHECK_TEXT(fake_find(fake, "quiet", 0)->attributes, "kept=1;");
	fake_free(fake);
}

static void disabled_body(void)
{
	struct waft_stats stats;
	struct waft_context context;
	struct waft_span span;

	setenv("OTEL_SDK_DISABLED", "true", 1);
	WAFT_BEGIN(&span, "nothing");
	waft_attr_string(&span, "k", "v");
	waft_set_kind(&span, WAFT_KIND_CLIENT);
	waft_context_of(&span, &context);
	CHECK(!waft_context_valid(&context));
	CHECK(!waft_recording(&span));
	waft_end(&span);
	CHECK_INT(waft_flush(1000), 0);
	CHECK_INT(waft_shutdown(1000, &stats), 0);
	CHECK_INT(stats.emitted, 0);
}

/* Names made at run time; beyond the limit they share one. */
static void names_body(void)
{
	enum { NAMES = 16384 + 50 };
	struct fake_collector *fake = begin();
	struct waft_stats stats;
	struct waft_span span;
	char name[32];

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		waft_span_begin_named(&span, name, "api", NULL);
		waft_end(&span);
		if (i % 1000 == 0)
			CHECK_INT(waft_flush(20000), 0);
	}
	waft_span_open_named(&span, "name 7", "api", NULL);
	waft_end(&span);
	tracer_end(fake, &stats);
	CHECK_INT(stats.durable, NAMES + 1);
	CHECK_INT(fake_count(fake, "(other)"), 50);
	CHECK_INT(fake_count(fake, "name 7"), 2);
	CHECK_TEXT(fake_find(fake, "name 7", 0)->layer, "api");
	fake_free(fake);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(tree)
TEST(time)
TEST(deep)
TEST(attributes)
TEST(texts)
TEST(ended)
TEST(replace)
TEST(arrays)
TEST(redacted)
TEST(status)
TEST(snapshots)
TEST(too_large)
TEST(lengths)
TEST(ends)
TEST(unsampled)
TEST(capture_off)
TEST(disabled)
TEST(names)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_redacted),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_unsampled),
		cmocka_unit_test(test_capture_off),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
