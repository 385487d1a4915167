/*
 * Fuzzes the parsers of ids: whatever parses must come out the same when it is
 * written and read again, and be found by itself as a needle.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_ids: %s\n", what);
		abort();
	}
}

static void try_span(const char *text, size_t length)
{
	char uuid[ID_UUID_LENGTH];
	struct id_needle needle;
	uint64_t id, again = 0;

	if (span_id_parse(text, length, &id) != 0)
		return;
	span_id_format(id, uuid);
	must(span_id_parse(uuid, sizeof(uuid), &again) == 0 && again == id, "span differs");
	must(id_needle_parse(text, length, &needle) == 0, "a span id is no needle");
	must(id_needle_match_span(&needle, id) == ID_MATCH_WHOLE, "a span does not find itself");
}

static void try_trace(const char *text, size_t length)
{
	char uuid[ID_UUID_LENGTH];
	struct id_needle needle;
	struct trace_id id, again = {0}, low, high;

	if (trace_id_parse(text, length, &id) != 0)
		return;
	trace_id_format(&id, uuid);
	must(trace_id_parse(uuid, sizeof(uuid), &again) == 0 && trace_id_equal(&id, &again),
		"trace differs");
	must(id_needle_parse(text, length, &needle) == 0, "a trace id is no needle");
	must(id_needle_match_trace(&needle, &id) == ID_MATCH_WHOLE, "a trace does not find itself");
	id_needle_range(&needle, &low, &high);
	must(trace_id_equal(&low, &id) && trace_id_equal(&high, &id), "a range is too wide");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct trace_id trace = {{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3,
		0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}};
	const char *text = (const char *)data;
	struct id_needle needle;

	try_span(text, size);
	try_trace(text, size);
	if (id_needle_parse(text, size, &needle) == 0) {
		must(needle.count >= ID_NEEDLE_DIGITS_MIN && needle.count <= 32, "needle's length");
		(void)id_needle_match_trace(&needle, &trace);
		(void)id_needle_match_span(&needle, UINT64_C(0xb702a90baa67f000));
	}
	return 0;
}
