/*
 * Query filters: a ListTracesRequest of any bytes as the service takes it, on a line
 * of any bytes; and the texts that people type for one. What a filter says of a span
 * must be what its parts say one by one, and a filter made of a span's own values
 * must match it. Input: a byte, the request's length in two bytes, request, line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "scratch.h"
#include "when.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_filter: %s\n", what);
		abort();
	}
}

static bool match(const struct filter *filter, const struct record *record)
{
	struct scratch scratch = {0};
	int ret = filter_match_record(filter, record, &scratch);

	must(ret >= 0, "filter_match_record");
	scratch_done(&scratch);
	return ret;
}

/* Each condition alone, all of which must hold. */
static bool match_parts(const struct filter *filter, const struct record *record)
{
	struct filter parts[10] = {{.since_ns = filter->since_ns}, {.until_ns = filter->until_ns},
		{.service = filter->service}, {.operation = filter->operation},
		{.layer = filter->layer},
		{.has_status = filter->has_status, .status = filter->status},
		{.errors = filter->errors}, {.min_duration_ns = filter->min_duration_ns},
		{.max_duration_ns = filter->max_duration_ns}, {.grep = filter->grep}};
	bool all = true;

	for (size_t i = 0; i < 10; i++)
		all = match(&parts[i], record) && all;
	for (size_t i = 0; i < filter->attribute_count; i++) {
		struct filter one = {.attributes = filter->attributes + i, .attribute_count = 1};

		all = match(&one, record) && all;
	}
	return all;
}

static int match_own(void *ctx, struct slice key, struct slice value)
{
	struct filter_attribute attribute = {key, value};
	struct filter filter = {.attributes = &attribute, .attribute_count = 1};

	must(match(&filter, ctx), "a span's own attribute doesn't match");
	return 0;
}

static void try_own(struct record *record)
{
	int64_t duration_ns = record->duration_ns > 0 ? record->duration_ns : 0;
	struct scratch scratch = {0};
	struct filter filter = {.since_ns = record->start_ns,
		.until_ns = record->start_ns < INT64_MAX ? record->start_ns + 1 : 0,
		.service = record->service,
		.operation = record->operation,
		.layer = record->layer,
		.has_status = true,
		.status = record->status,
		.errors = record->status == RECORD_ERROR,
		.min_duration_ns = duration_ns,
		.max_duration_ns = duration_ns,
		.grep = record->output};

	must(match(&filter, record), "a span's own values don't match");
	must(record_for_each_attribute(record, &scratch, match_own, record) == 0, "attributes");
	scratch_done(&scratch);
}

static void try_request(struct slice request, struct slice line)
{
	const struct rpc_method *method = rpc_method_find(slice_of_text(WIRE_METHOD_LIST_TRACES));
	struct filter_attribute *attributes;
	struct scratch scratch = {0};
	struct filter filter;
	struct record record;
	ProtobufCMessage *message;

	if (record_parse(line, &scratch, &record, NULL) == 0) {
		try_own(&record);
		if (rpc_unpack(method->request, request, &rpc_request_limits, &message) == 0) {
			const Waft__V1__ListTracesRequest *list = (void *)message;

			if (answer_filter(list->filter, &filter, &attributes) == 0) {
				must(match(&filter, &record) == match_parts(&filter, &record),
					"the whole is not its parts");
				free(attributes);
			}
			protobuf_c_message_free_unpacked(message, NULL);
		}
	}
	scratch_done(&scratch);
}

static void try_text(const uint8_t *data, size_t size)
{
	struct filter_attribute attribute;
	struct filter filter = {0};
	struct strbuf said = {0};
	uint64_t duration_ns;
	int64_t ns, again;
	char *text = malloc(size + 1);

	must(text != NULL, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	(void)!filter_set_status(&filter, slice_of(data, size));
	if (filter_split_attribute(slice_of(data, size), &attribute) == 0)
		must(attribute.key.length + 1 + attribute.value.length == size, "split");
	(void)!when_parse_duration(text, &duration_ns);
	if (when_parse(text, INT64_C(1767955800000000000), true, &ns) == 0 && ns >= 0) {
		when_rfc3339(&said, ns);
		must(when_parse(said.bytes, 0, true, &again) == 0 && again == ns,
			"a moment that was written is read as another");
	}
	strbuf_done(&said);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t length;

	if (size < 3)
		return 0;
	if (data[0] % 4 == 3) {
		try_text(data + 1, size - 1);
		return 0;
	}
	length = data[1] | (size_t)data[2] << 8;
	if (length > size - 3)
		length = size - 3;
	try_request(slice_of(data + 3, length), slice_of(data + 3 + length, size - 3 - length));
	return 0;
}
