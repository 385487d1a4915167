/* Contexts: parsed, written, carried over threads and processes. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "carry.h"
#include "fake_collector.h"
#include "redact.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define PARENT "00-" TRACE "-" SPAN "-01"

/* ---- traceparent ------------------------------------------------------------- */

static void test_traceparent(void **state)
{
	static const char *const bad[] = {"", "00", NULL, "00-" TRACE "-" SPAN, PARENT "0",
		PARENT "-x", "00-" TRACE "-" SPAN "-0", "ff-" TRACE "-" SPAN "-01",
		"00-00000000000000000000000000000000-" SPAN "-01",
		"00-" TRACE "-0000000000000000-01",
		"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
		"00-" TRACE "-B7AD6B7169203331-01", "0g-" TRACE "-" SPAN "-01",
		"00_" TRACE "-" SPAN "-01", "00-" TRACE "_" SPAN "-01", "00-" TRACE "-" SPAN "_01",
		"00-" TRACE "-" SPAN "-zz", " " PARENT, PARENT "," PARENT,
		"01-" TRACE "-" SPAN "-01x", "00-0af7651916cd43dd8448eb211c80319g-" SPAN "-01",
		"00-" TRACE "-:7ad6b7169203331-01", "0/-" TRACE "-" SPAN "-01",
		"0A-" TRACE "-" SPAN "-01", "00-" TRACE "-" SPAN "-0B"};
	static const char *const good[] = {PARENT, "00-" TRACE "-" SPAN "-00",
		"00-" TRACE "-" SPAN "-03", "00-" TRACE "-" SPAN "-02"};
	struct waft_context context;
	char text[WAFT_TRACEPARENT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&context, 1, sizeof(context));
		assert_int_equal(waft_traceparent_parse(bad[i], &context), -EINVAL);
		assert_false(waft_context_valid(&context));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(waft_traceparent_parse(good[i], &context), 0);
		assert_true(context.remote);
		waft_traceparent_format(&context, text);
		assert_string_equal(text, good[i]);
	}
	/* Later versions: as far as 00 goes, and unknown flags are not passed on. */
	assert_int_equal(waft_traceparent_parse("cc-" TRACE "-" SPAN "-ff-more", &context), 0);
	waft_traceparent_format(&context, text);
	assert_string_equal(text, "00-" TRACE "-" SPAN "-03");
	assert_int_equal(waft_traceparent_parse(PARENT, NULL), -EINVAL);
	memset(&context, 0, sizeof(context));
	waft_traceparent_format(&context, text);
	assert_string_equal(text, "");
}

static void test_ids(void **state)
{
	struct waft_context context;
	char trace[WAFT_TRACE_ID_SIZE];
	char span[WAFT_SPAN_ID_SIZE];

	(void)state;
	assert_int_equal(waft_traceparent_parse("00-" TRACE "-00f067aa0ba902b7-01", &context), 0);
	waft_trace_id_format(&context, trace);
	waft_span_id_format(&context, span);
	assert_string_equal(trace, "0af76519-16cd-43dd-8448-eb211c80319c");
	assert_string_equal(span, "00f067aa-0ba9-802b-8007-000000000000");
}

/* ---- tracestate and baggage ------------------------------------------------------ */

struct headers {
	const char *parent, *state, *baggage;
	char seen[16384];
};

static const char *header_get(void *arg, const char *name)
{
	const struct headers *headers = arg;

	if (strcmp(name, "traceparent") == 0)
		return headers->parent;
	return strcmp(name, "tracestate") == 0 ? headers->state : headers->baggage;
}

static void header_set(void *arg, const char *name, const char *value)
{
	struct headers *headers = arg;
	size_t length = strlen(headers->seen);

	snprintf(headers->seen + length, sizeof(headers->seen) - length, "%s: %s\n", name, value);
}

static void through(const char *state, const char *baggage, const char *expected)
{
	struct headers headers = {.parent = PARENT, .state = state, .baggage = baggage};
	struct waft_context context, copy;
	char whole[16384];

	assert_int_equal(waft_extract(header_get, &headers, &context), 0);
	waft_context_copy(&context, &copy);
	waft_context_done(&context);
	waft_inject(&copy, header_set, &headers);
	waft_context_done(&copy);
	snprintf(whole, sizeof(whole), "traceparent: %s\n%s", PARENT, expected);
	assert_string_equal(headers.seen, whole);
}

static void test_tracestate(void **state)
{
	char many[2048] = "";
	char expected[4096];

	(void)state;
	through("a=1", NULL, "tracestate: a=1\n");
	through(" a=1 ,\tb@c=2,, ", NULL, "tracestate: a=1,b@c=2\n");
	through("0a-b_c*d/e=x y~!", NULL, "tracestate: 0a-b_c*d/e=x y~!\n");
	through("", "", "");
	through("A=1", NULL, "");
	through("a", NULL, "");
	through("a=", NULL, "");
	through("a=1,a=2", NULL, "");
	through("a=1=2", NULL, "");
	through("-a=1", NULL, "");
	through("a=\x7f", NULL, "");
	for (int i = 0; i < 33; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%sk%d=v",
			i > 0 ? "," : "", i);
	through(many, NULL, "");
	*strrchr(many, ',') = '\0';
	snprintf(expected, sizeof(expected), "tracestate: %s\n", many);
	through(many, NULL, expected);
}

/* name=vvv… of that many bytes, behind a comma unless it is the first. */
static char *member_write(char *to, const char *name, size_t length)
{
	int begun = sprintf(to, "%s=", name);

	memset(to + begun, 'v', length - (size_t)begun);
	to[length] = '\0';
	return to + length;
}

/* 512 characters go on. Of more, members over 128 go first, then the last ones. */
static void test_tracestate_long(void **state)
{
	char given[4096];
	char expected[1024];
	char *at;

	(void)state;
	at = member_write(given, "a", 255);
	*at++ = ',';
	member_write(at, "b", 256);
	snprintf(expected, sizeof(expected), "tracestate: %s\n", given);
	through(given, NULL, expected);
	at = member_write(given, "a", 129);
	*at++ = ',';
	at = member_write(at, "b", 128);
	*at++ = ',';
	at = member_write(at, "c", 128);
	*at++ = ',';
	at = member_write(at, "d", 127);
	snprintf(expected, sizeof(expected), "tracestate: %s\n", given + 130);
	through(given, NULL, expected);
	strcpy(at, ",e=1,f=2");
	snprintf(expected, sizeof(expected), "tracestate: %s\n", given + 130);
	through(given, NULL, expected);
	/* Without any that are large, the last ones go. */
	at = given;
	for (int i = 0; i < 6; i++) {
		char name[8];

		sprintf(name, "k%d", i);
		at = member_write(at, name, 100);
		*at++ = ',';
	}
	at[-1] = '\0';
	snprintf(expected, sizeof(expected), "tracestate: %.504s\n", given);
	through(given, NULL, expected);
	/* Longer than a member may be at all: invalid as a whole. */
	at = member_write(given, "a", 258 + 1);
	through(given, NULL, "");
	memset(given, 'k', 257);
	strcpy(given + 257, "=v");
	through(given, NULL, "");
	snprintf(expected, sizeof(expected), "tracestate: %s\n", given + 1);
	through(given + 1, NULL, expected);
}

static void test_baggage(void **state)
{
	(void)state;
	through(NULL, "k=v", "baggage: k=v\n");
	through(NULL, "k = v ; prop=1 , l=%20x", "baggage: k = v ; prop=1,l=%20x\n");
	through(NULL, "bad key=v,ok=1", "baggage: ok=1\n");
	through(NULL, "k,=v,ok=1,\"x\"=1,q=\"1\"", "baggage: ok=1\n");
	through(NULL, ",,,", "");
	through("a=1", "k=v", "tracestate: a=1\nbaggage: k=v\n");
	through(NULL, "k", "");
	through(NULL, "=v", "");
	through(NULL, "k=", "baggage: k=\n");
	through(NULL, "k=a b,ok=1", "baggage: ok=1\n");
	through(NULL, "k=a\\b,ok=1", "baggage: ok=1\n");
	through(NULL, "k=\xc3\xa9,ok=1", "baggage: ok=1\n");
	through(NULL, "k=v;p=\x01,ok=1", "baggage: ok=1\n");
	through(NULL, "k=v;a;b=c", "baggage: k=v;a;b=c\n");
	through(NULL, "k=1,k=2", "baggage: k=1,k=2\n");
}

static void test_limits(void **state)
{
	static char many[20000];
	struct waft_carry *carry;
	struct waft_carry *more;
	size_t members = 1;

	(void)state;
	many[0] = '\0';
	for (int i = 0; i < 100; i++)
		sprintf(many + strlen(many), "%sk%d=v", i > 0 ? "," : "", i);
	carry = carry_new(NULL, many);
	assert_non_null(carry);
	for (const char *at = carry_baggage(carry); *at != '\0'; at++)
		members += *at == ',';
	assert_int_equal(members, CARRY_BAGGAGE_MEMBERS);
	/* No room for one more; but for another value of one that is there. */
	assert_null(carry_add(carry, "more", "x"));
	more = carry_add(carry, "k7", "x");
	assert_non_null(more);
	assert_non_null(strstr(carry_baggage(more), ",k63=v,k7=x"));
	carry_release(more);
	carry_release(carry);
	strcpy(many, "k=");
	memset(many + 2, 'v', 9000);
	strcpy(many + 9002, ",l=1");
	carry = carry_new(NULL, many);
	assert_string_equal(carry_baggage(carry), "l=1");
	carry_release(carry);
	many[CARRY_BAGGAGE_BYTES] = '\0';
	carry = carry_new(NULL, many);
	assert_int_equal(carry->baggage_length, CARRY_BAGGAGE_BYTES);
	carry_release(carry);
	strcpy(many + CARRY_BAGGAGE_BYTES, "v");
	assert_null(carry_new(NULL, many));
}

/* What spans say of a member: decoded, repaired, without secrets. */
static void test_shown(void **state)
{
	static const struct {
		const char *baggage, *bytes;
	} cases[] = {{"k=a%20b", "a b"}, {"k=%e2%82%AC", "\xe2\x82\xac"},
		{"k=x%FFy", "x\xef\xbf\xbdy"}, {"k=%", "%"}, {"k=%4", "%4"}, {"k=%zz", "%zz"},
		{"k=%41%", "A%"}, {"k=v;p=1", "v"}, {"api-key=s", "[redacted]"}, {"k=", ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct waft_carry *carry = carry_new(NULL, cases[i].baggage);
		size_t length = strlen(cases[i].bytes);

		assert_non_null(carry);
		assert_int_equal(carry_trace(carry)[carry->trace_length - length - 1], length);
		assert_memory_equal(
			carry_trace(carry) + carry->trace_length - length, cases[i].bytes, length);
		carry_release(carry);
	}
}

static void test_carry_add(void **state)
{
	struct waft_carry *one = carry_add(NULL, "tenant", "a b,c;d\"%\xc3\xa9");
	struct waft_carry *two;

	(void)state;
	assert_non_null(one);
	assert_string_equal(carry_baggage(one), "tenant=a%20b%2Cc%3Bd%22%25%C3%A9");
	two = carry_add(one, "user", "u");
	assert_non_null(two);
	carry_release(one);
	one = carry_add(two, "tenant", "new");
	assert_string_equal(carry_baggage(one), "user=u,tenant=new");
	assert_null(carry_add(one, "no token", "x"));
	assert_null(carry_add(one, "", "x"));
	carry_release(one);
	carry_release(two);
	carry_release(NULL);
}

static void nothing_set(void *arg, const char *name, const char *value)
{
	(void)name;
	(void)value;
	++*(int *)arg;
}

/* What is not there is nothing, and what is not wanted is not written. */
static void test_nothing(void **state)
{
	static const struct waft_context zero;
	struct waft_context context;
	struct waft_context copy;
	char text[WAFT_TRACE_ID_SIZE];
	int calls = 0;

	(void)state;
	waft_context_current(NULL);
	waft_context_of(NULL, NULL);
	waft_context_done(NULL);
	assert_int_equal(waft_traceparent_parse(PARENT, &context), 0);
	waft_context_copy(&context, NULL);
	waft_context_copy(&context, &copy);
	assert_memory_equal(&context, &copy, sizeof(copy));
	waft_context_copy(NULL, &copy);
	assert_memory_equal(&zero, &copy, sizeof(copy));
	waft_traceparent_format(&context, NULL);
	waft_trace_id_format(&context, NULL);
	waft_span_id_format(&context, NULL);
	waft_trace_id_format(NULL, text);
	assert_string_equal(text, "00000000-0000-0000-0000-000000000000");
	waft_span_id_format(NULL, text);
	waft_inject(&context, NULL, NULL);
	waft_inject(&zero, nothing_set, &calls);
	waft_inject(NULL, nothing_set, &calls);
	assert_int_equal(calls, 0);
	assert_int_equal(waft_extract(NULL, NULL, &context), -ENOENT);
	assert_memory_equal(&zero, &context, sizeof(context));
	assert_int_equal(waft_extract(header_get, NULL, NULL), -ENOENT);
}

/* ---- Spans ---------------------------------------------------------------------------- */

static void *detach_main(void *token)
{
	waft_detach(token);
	return NULL;
}

/* Another process's context is what was attached, with all that came with it; another thread
 * can't take it away. */
static void attach_remote_body(void)
{
	static const char *const parents[] = {"00-" TRACE "-" SPAN "-00", PARENT,
		"00-" TRACE "-" SPAN "-02", "00-" TRACE "-" SPAN "-03"};
	struct fake_collector *fake = fake_start("sock");

	tracer_start("sock");
	for (size_t i = 0; i < 4; i++) {
		struct headers headers = {.parent = parents[i], .state = i == 0 ? NULL : "v=1"};
		struct waft_context context, current;
		struct waft_token token, elsewhere;
		char parent[WAFT_TRACEPARENT_SIZE];
		pthread_t thread;

		CHECK_INT(waft_extract(header_get, &headers, &context), 0);
		waft_attach(&context, NULL);
		waft_attach(&context, &token);
		elsewhere = token;
		CHECK_INT(pthread_create(&thread, NULL, detach_main, &elsewhere), 0);
		pthread_join(thread, NULL);
		waft_context_current(&current);
		waft_traceparent_format(&current, parent);
		CHECK(strcmp(parent, headers.parent) == 0);
		CHECK((current.carry != NULL) == (headers.state != NULL));
		waft_context_done(&current);
		waft_detach(&token);
		waft_context_current(&current);
		CHECK(!waft_context_valid(&current));
		waft_context_done(&context);
	}
	tracer_end(fake, NULL);
	fake_free(fake);
}

static void remote_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct headers headers = {
		.parent = PARENT, .state = "v=1", .baggage = "tenant=a%20b,token=t"};
	struct headers out = {0};
	struct waft_context remote, here;
	struct waft_span server, child;
	char parent[WAFT_TRACEPARENT_SIZE];

	tracer_start("sock");
	CHECK_INT(waft_extract(header_get, &headers, &remote), 0);
	WAFT_BEGIN_CHILD(&server, "server", &remote);
	waft_context_done(&remote);
	WAFT_BEGIN(&child, "child");
	waft_context_current(&here);
	waft_inject(&here, header_set, &out);
	waft_traceparent_format(&here, parent);
	waft_context_done(&here);
	waft_end(&child);
	waft_end(&server);
	/* Ended, and the context still stands. */
	waft_context_of(&child, &here);
	CHECK(memcmp(here.trace_id, server.trace_, 16) == 0);
	waft_context_done(&here);
	WAFT_BEGIN(&child, "alone");
	waft_end(&child);
	tracer_end(fake, NULL);
	CHECK(strstr(out.seen, "tracestate: v=1\nbaggage: tenant=a%20b,token=t\n") != NULL);
	CHECK(strncmp(out.seen, "traceparent: 00-" TRACE "-", 49) == 0);
	CHECK_TEXT(parent + 52, "-01"); /* not random: it did not come with that flag */
	CHECK(memcmp(&fake_find(fake, "server", 0)->parent, "\xb7\xad\x6b\x71\x69\x20\x33\x31",
		      8) == 0);
	CHECK_TEXT(fake_find(fake, "server", 0)->state, "v=1");
	CHECK_TEXT(fake_find(fake, "server", 0)->attributes, "tenant=a b;token=[redacted];");
	CHECK_TEXT(fake_find(fake, "child", 0)->attributes, "tenant=a b;token=[redacted];");
	CHECK(fake_find(fake, "child", 0)->parent == fake_find(fake, "server", 0)->id);
	CHECK_TEXT(fake_find(fake, "alone", 0)->attributes, "");
	CHECK(fake_find(fake, "alone", 0)->parent == 0);
	fake_free(fake);
}

/* Not sampled by whom we serve: not recorded here. */
static void unsampled_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_context remote, here;
	struct waft_span span, inner;
	struct waft_stats stats;

	tracer_start("sock");
	CHECK_INT(waft_traceparent_parse("00-" TRACE "-" SPAN "-00", &remote), 0);
	WAFT_BEGIN_CHILD(&span, "server", &remote);
	CHECK(!waft_recording(&span));
	WAFT_BEGIN(&inner, "inner");
	waft_context_of(&inner, &here);
	CHECK_INT(here.flags & 1, 0);
	CHECK(memcmp(here.trace_id, remote.trace_id, 16) == 0);
	waft_end(&inner);
	waft_end(&span);
	WAFT_OPEN_CHILD(&span, "detached", &remote);
	waft_end(&span);
	WAFT_BEGIN(&span, "own");
	CHECK(waft_recording(&span));
	waft_end(&span);
	tracer_end(fake, &stats);
	CHECK_INT(stats.not_sampled, 3);
	CHECK_INT(stats.durable, 1);
	fake_free(fake);
}

/* Attached contexts stand like spans in the stack, and go like them. */
static void attach_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct waft_token token, inner, none_token;
	struct waft_span outer, a, b, c, d, lost;
	struct waft_context context, none = {0};

	tracer_start("sock");
	WAFT_OPEN(&outer, "outer");
	waft_context_of(&outer, &context);
	waft_attach(&context, &token);
	WAFT_BEGIN(&a, "a");
	waft_attach(&none, &inner);
	WAFT_BEGIN(&b, "b");
	waft_end(&b);
	waft_detach(&inner);
	WAFT_BEGIN(&c, "c");
	waft_end(&c);
	waft_end(&a);
	WAFT_BEGIN(&lost, "lost");
	waft_detach(&token);
	waft_detach(&token);
	waft_end(&lost);
	{
		WAFT_ATTACHED(&context);
		WAFT_BEGIN(&d, "d");
		waft_end(&d);
	}
	waft_attach(NULL, &none_token);
	waft_detach(&none_token);
	waft_detach(NULL);
	WAFT_BEGIN(&d, "root");
	waft_end(&d);
	waft_context_done(&context);
	waft_end(&outer);
	tracer_end(fake, NULL);
	CHECK(fake_find(fake, "a", 0)->parent == fake_find(fake, "outer", 0)->id);
	CHECK(fake_find(fake, "b", 0)->parent == 0);
	CHECK(fake_find(fake, "c", 0)->parent == fake_find(fake, "a", 0)->id);
	CHECK(fake_find(fake, "d", 0)->parent == fake_find(fake, "outer", 0)->id);
	CHECK(fake_find(fake, "root", 0)->parent == 0);
	CHECK_INT(fake_find(fake, "lost", 0)->status, 2);
	CHECK_INT(fake->span_count, 7);
	fake_free(fake);
}

/* One request of libuv: its work on a thread of the pool, its end on the loop. */
struct request {
	uv_work_t work;
	struct waft_context context;
};

static void request_work(uv_work_t *work)
{
	struct request *request = (struct request *)work->data;
	struct waft_span span;

	WAFT_ATTACHED(&request->context);
	WAFT_BEGIN(&span, "work");
	waft_end(&span);
}

static void request_done(uv_work_t *work, int status)
{
	struct request *request = (struct request *)work->data;
	struct waft_span span;

	CHECK_INT(status, 0);
	WAFT_ATTACHED(&request->context);
	WAFT_BEGIN(&span, "done");
	waft_end(&span);
	waft_context_done(&request->context);
}

/* Two requests at once: each one's callbacks stand under the span that made it. */
static void libuv_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct request requests[2];
	struct waft_span span;
	uv_loop_t loop;

	tracer_start("sock");
	CHECK_INT(uv_loop_init(&loop), 0);
	for (int i = 0; i < 2; i++) {
		requests[i].work.data = &requests[i];
		WAFT_BEGIN(&span, "request");
		waft_context_current(&requests[i].context);
		CHECK_INT(uv_queue_work(&loop, &requests[i].work, request_work, request_done), 0);
		waft_end(&span);
	}
	CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
	CHECK_INT(uv_loop_close(&loop), 0);
	WAFT_BEGIN(&span, "after");
	waft_end(&span);
	tracer_end(fake, NULL);
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t work = fake_find(fake, "work", i)->parent;
		uint64_t other = fake_find(fake, "work", 1 - i)->parent;

		CHECK(work == fake_find(fake, "request", 0)->id ||
			work == fake_find(fake, "request", 1)->id);
		CHECK(work != other);
		CHECK(fake_find(fake, "done", i)->parent == fake_find(fake, "request", 0)->id ||
			fake_find(fake, "done", i)->parent == fake_find(fake, "request", 1)->id);
	}
	CHECK(fake_find(fake, "done", 0)->parent != fake_find(fake, "done", 1)->parent);
	CHECK(fake_find(fake, "after", 0)->parent == 0);
	fake_free(fake);
}

/* Metadata given at a root is seen on every span that begins after. */
static void trace_attr_body(void)
{
	struct fake_collector *fake = fake_start("sock");
	struct headers out = {0};
	struct waft_context context;
	struct waft_span root, early, late, sibling;

	tracer_start("sock");
	WAFT_BEGIN(&root, "root");
	WAFT_BEGIN(&early, "early");
	waft_end(&early);
	waft_trace_attr(&root, "tenant", "blue");
	waft_trace_attr(&root, "run", "1");
	waft_trace_attr(&root, "not a token", "x");
	WAFT_BEGIN(&late, "late");
	waft_attr_int(&late, "own", 1);
	waft_context_of(&late, &context);
	waft_inject(&context, header_set, &out);
	waft_context_done(&context);
	waft_end(&late);
	WAFT_BEGIN_SIBLING(&sibling, "sibling", &late);
	waft_end(&sibling);
	waft_end(&root);
	tracer_end(fake, NULL);
	CHECK(strstr(out.seen, "baggage: tenant=blue,run=1\n") != NULL);
	CHECK_TEXT(fake_find(fake, "early", 0)->attributes, "");
	CHECK_TEXT(fake_find(fake, "late", 0)->attributes, "tenant=blue;run=1;own=1;");
	CHECK_TEXT(fake_find(fake, "sibling", 0)->attributes, "tenant=blue;run=1;");
	CHECK_TEXT(fake_find(fake, "root", 0)->attributes, "tenant=blue;run=1;");
	fake_free(fake);
}

/* ---- Environment ------------------------------------------------------------------------ */

static const char *variable(char **environment, const char *name)
{
	size_t length = strlen(name);

	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	return NULL;
}

static void test_environment(void **state)
{
	char a[] = "A=1", old[] = "TRACEPARENT=old", baggage[] = "BAGGAGE=old";
	char kept[] = "TRACEPARENTS=kept";
	char *const base[] = {a, old, baggage, kept, NULL};
	struct headers headers = {.parent = PARENT, .state = "v=1"};
	struct waft_context context;
	char **made;

	(void)state;
	assert_int_equal(waft_extract(header_get, &headers, &context), 0);
	made = waft_env_new(&context, base);
	assert_string_equal(variable(made, "A"), "1");
	assert_string_equal(variable(made, "TRACEPARENT"), PARENT);
	assert_string_equal(variable(made, "TRACESTATE"), "v=1");
	assert_null(variable(made, "BAGGAGE"));
	assert_string_equal(variable(made, "TRACEPARENTS"), "kept");
	waft_env_free(made);
	waft_context_done(&context);
	made = waft_env_new(NULL, base);
	assert_null(variable(made, "TRACEPARENT"));
	waft_env_free(made);
	waft_env_free(NULL);
	setenv("WAFT_TEST_OWN", "own", 1);
	made = waft_env_new(NULL, NULL);
	assert_string_equal(variable(made, "WAFT_TEST_OWN"), "own");
	waft_env_free(made);
	setenv("TRACEPARENT", PARENT, 1);
	setenv("BAGGAGE", "k=v", 1);
	assert_int_equal(waft_context_from_env(&context), 0);
	assert_string_equal(carry_baggage(context.carry), "k=v");
	waft_context_done(&context);
	setenv("TRACEPARENT", "nonsense", 1);
	assert_int_equal(waft_context_from_env(&context), -ENOENT);
	unsetenv("TRACEPARENT");
	assert_int_equal(waft_context_from_env(&context), -ENOENT);
}

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		run_apart(name##_body);       \
	}
TEST(remote)
TEST(unsampled)
TEST(attach)
TEST(attach_remote)
TEST(libuv)
TEST(trace_attr)

static int set_up(void **state)
{
	(void)state;
	return redact_set_names(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_tracestate),
		cmocka_unit_test(test_tracestate_long),
		cmocka_unit_test(test_baggage),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_carry_add),
		cmocka_unit_test(test_remote),
		cmocka_unit_test(test_unsampled),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_attach_remote),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_libuv),
		cmocka_unit_test(test_trace_attr),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
