/*
 * Fuzzes what travels along a trace: traceparent, tracestate and baggage, one a
 * line. What is taken must come out the same when it is written and read again,
 * within the standards' limits, and what spans say of it must be well-formed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <waft/waft.h>

#include "carry.h"
#include "cursor.h"
#include "redact.h"
#include "utf8.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 4 };

struct headers {
	const char *lines[LINES]; /* traceparent, tracestate, baggage; a value to add */
	char *seen[LINES];
};

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_context: %s\n", what);
		abort();
	}
}

static size_t index_of(const char *name)
{
	return strcmp(name, "traceparent") == 0 ? 0 : strcmp(name, "tracestate") == 0 ? 1 : 2;
}

static const char *header_get(void *arg, const char *name)
{
	return ((struct headers *)arg)->lines[index_of(name)];
}

static void header_set(void *arg, const char *name, const char *value)
{
	char **place = &((struct headers *)arg)->seen[index_of(name)];

	must(*place == NULL, "a header is set twice");
	*place = strdup(value);
	must(*place != NULL, "no memory");
}

static unsigned int members(const char *text)
{
	unsigned int count = *text != '\0';

	for (; *text != '\0'; text++)
		count += *text == ',';
	return count;
}

/* The fields of a Trace behind its id: a state, and attributes with texts. */
static void trace_check(const struct waft_carry *carry)
{
	struct cursor cursor = cursor_of(carry_trace(carry), carry->trace_length);

	while (cursor_left(&cursor) > 0) {
		uint8_t tag = *cursor.at++;
		uint64_t length = cursor_varint(&cursor);

		must(cursor.error == 0 && length <= cursor_left(&cursor), "a field is cut off");
		must(tag == TAG_TRACE_STATE || tag == TAG_TRACE_ATTRIBUTES, "an unknown field");
		must(utf8_valid(cursor.at, length) || tag == TAG_TRACE_ATTRIBUTES,
			"a state is no text");
		if (tag == TAG_TRACE_ATTRIBUTES) {
			struct cursor inner = cursor_of(cursor.at, length);
			uint64_t key;

			must(*inner.at++ == TAG_KEY_VALUE_KEY, "no key");
			key = cursor_varint(&inner);
			must(inner.error == 0 && key > 0 && key < cursor_left(&inner), "no key");
			inner.at += key;
			must(*inner.at++ == TAG_KEY_VALUE_VALUE, "no value");
			must(cursor_varint(&inner) == cursor_left(&inner), "the value's length");
			must(*inner.at++ == TAG_VALUE_TEXT, "no text");
			must(cursor_varint(&inner) == cursor_left(&inner), "the text's length");
			must(utf8_valid(inner.at, cursor_left(&inner)), "a value is no UTF-8");
		}
		cursor.at += length;
	}
}

static void carry_check(const struct waft_carry *carry)
{
	const char *state = carry_state(carry);
	const char *baggage = carry_baggage(carry);

	must(strlen(state) == carry->state_length && carry->state_length <= CARRY_STATE_BYTES,
		"a long tracestate");
	must(strlen(baggage) == carry->baggage_length &&
			carry->baggage_length <= CARRY_BAGGAGE_BYTES,
		"a long baggage");
	must(members(state) <= CARRY_STATE_MEMBERS, "many states");
	must(members(baggage) <= CARRY_BAGGAGE_MEMBERS, "many members of baggage");
	must(strpbrk(state, "\r\n") == NULL && strpbrk(baggage, "\r\n") == NULL,
		"a header that ends early");
	trace_check(carry);
}

static bool carry_same(const struct waft_carry *a, const struct waft_carry *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(carry_state(a), carry_state(b)) == 0 &&
	       strcmp(carry_baggage(a), carry_baggage(b)) == 0;
}

/* As if a member's value were given to waft_trace_attr. */
static void add_check(const struct waft_carry *carry, const char *value)
{
	struct waft_carry *added = carry_add(carry, "added.key", value);
	struct waft_carry *again;

	if (added == NULL)
		return;
	carry_check(added);
	must(strstr(carry_baggage(added), "added.key=") != NULL, "what was added is not there");
	again = carry_add(added, "added.key", value);
	must(carry_same(added, again), "added twice it differs");
	carry_release(again);
	carry_release(added);
}

static void try_headers(struct headers *headers)
{
	struct headers back = {0};
	struct waft_context context;
	struct waft_context again;

	if (waft_extract(header_get, headers, &context) < 0) {
		must(!waft_context_valid(&context) && context.carry == NULL, "half a context");
		return;
	}
	must(waft_context_valid(&context) && context.remote, "no context");
	if (context.carry != NULL)
		carry_check(context.carry);
	add_check(context.carry, headers->lines[3] != NULL ? headers->lines[3] : "");
	waft_inject(&context, header_set, headers);
	must(headers->seen[0] != NULL && strlen(headers->seen[0]) == 55, "no traceparent");
	memcpy(back.lines, headers->seen, sizeof(headers->seen));
	must(waft_extract(header_get, &back, &again) == 0, "what was written is not taken");
	must(memcmp(again.trace_id, context.trace_id, 16) == 0 &&
			memcmp(again.span_id, context.span_id, 8) == 0 &&
			again.flags == context.flags && carry_same(again.carry, context.carry),
		"read again it differs");
	waft_context_done(&again);
	waft_context_done(&context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct headers headers = {0};
	char *text = malloc(size + 1);
	char *at = text;

	must(text != NULL && redact_set_names(NULL) == 0, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t i = 0; i < LINES && at != NULL; i++) {
		headers.lines[i] = strsep(&at, "\n");
		if (headers.lines[i][0] == '\0')
			headers.lines[i] = NULL;
	}
	try_headers(&headers);
	for (size_t i = 0; i < LINES; i++)
		free(headers.seen[i]);
	free(text);
	return 0;
}
