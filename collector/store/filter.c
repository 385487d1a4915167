/*
 * filter.c: see filter.h.
 */
#include "filter.h"

#include <errno.h>
#include <string.h>

#include "json_walk.h"
#include "scratch.h"

int filter_set_status(struct filter *filter, struct slice text)
{
	static const char *const names[] = {"success", "error", "pending"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!slice_equal(text, slice_of_text(names[i])))
			continue;
		filter->has_status = true;
		filter->status = (enum record_status)i;
		return 0;
	}
	return -EINVAL;
}

int filter_split_attribute(struct slice text, struct filter_attribute *ret_attribute)
{
	const uint8_t *equals = text.length > 0 ? memchr(text.data, '=', text.length) : NULL;

	if (equals == NULL || equals == text.data)
		return -EINVAL;
	ret_attribute->key = slice_of(text.data, (size_t)(equals - text.data));
	ret_attribute->value = slice_of(equals + 1, (size_t)(text.data + text.length - equals - 1));
	return 0;
}

bool filter_has_span_part(const struct filter *filter)
{
	return filter->service.length > 0 || filter->operation.length > 0 ||
	       filter->layer.length > 0 || filter->attribute_count > 0;
}

/* Which of up to 64 attributes were found. */
struct found {
	const struct filter_attribute *wanted;
	size_t count;
	uint64_t bits;
	uint64_t all;
};

static int look_at(void *ctx, struct slice key, struct slice value)
{
	struct found *found = ctx;

	for (size_t i = 0; i < found->count; i++)
		if (slice_equal(found->wanted[i].key, key) &&
			slice_equal(found->wanted[i].value, value))
			found->bits |= UINT64_C(1) << i;
	return found->bits == found->all ? 1 : 0;
}

static int match_attributes(
	const struct filter *filter, const struct record *record, struct scratch *scratch)
{
	for (size_t from = 0; from < filter->attribute_count; from += 64) {
		size_t left = filter->attribute_count - from;
		struct found found = {
			.wanted = filter->attributes + from, .count = left < 64 ? left : 64};
		int ret;

		found.all = found.count == 64 ? UINT64_MAX : (UINT64_C(1) << found.count) - 1;
		ret = record_for_each_attribute(record, scratch, look_at, &found);
		if (ret != 1)
			return ret == -ENOMEM ? ret : 0;
	}
	return 1;
}

int filter_match_span(
	const struct filter *filter, const struct record *record, struct scratch *scratch)
{
	if (filter->service.length > 0 && !slice_equal(filter->service, record->service))
		return 0;
	if (filter->operation.length > 0 && !slice_equal(filter->operation, record->operation))
		return 0;
	if (filter->layer.length > 0 && !slice_equal(filter->layer, record->layer))
		return 0;
	return match_attributes(filter, record, scratch);
}

/* JSON has backslashes inside strings only: decoding a whole text as if it were
 * one string decodes all strings in it. */
static int for_json(struct slice json, struct scratch *scratch,
	int (*on_text)(void *ctx, struct slice text), void *ctx)
{
	struct slice decoded;
	int ret = on_text(ctx, json);

	if (ret != 0 || memchr(json.data, '\\', json.length) == NULL)
		return ret;
	ret = json_walk_decode(json, scratch, &decoded);
	return ret != 0 ? ret : on_text(ctx, decoded);
}

int filter_for_each_text(const struct record *record, struct scratch *scratch,
	int (*on_text)(void *ctx, struct slice text), void *ctx)
{
	int ret = on_text(ctx, record->operation);

	if (ret == 0)
		ret = on_text(ctx, record->error);
	if (ret == 0)
		ret = for_json(record->input, scratch, on_text, ctx);
	return ret == 0 ? for_json(record->output, scratch, on_text, ctx) : ret;
}

static int contains(void *ctx, struct slice text)
{
	const struct slice *part = ctx;

	return text.length >= part->length &&
	       memmem(text.data, text.length, part->data, part->length) != NULL;
}

int filter_match_grep(
	const struct filter *filter, const struct record *record, struct scratch *scratch)
{
	struct slice part = filter->grep;

	return part.length == 0 ? 1 : filter_for_each_text(record, scratch, contains, &part);
}

int filter_match_record(
	const struct filter *filter, const struct record *record, struct scratch *scratch)
{
	int64_t duration_ns = record->duration_ns > 0 ? record->duration_ns : 0;
	int ret;

	if (filter->since_ns != 0 && record->start_ns < filter->since_ns)
		return 0;
	if (filter->until_ns != 0 && record->start_ns >= filter->until_ns)
		return 0;
	if (filter->has_status && record->status != filter->status)
		return 0;
	if (filter->errors && record->status != RECORD_ERROR)
		return 0;
	if (filter->min_duration_ns != 0 && duration_ns < filter->min_duration_ns)
		return 0;
	if (filter->max_duration_ns != 0 && duration_ns > filter->max_duration_ns)
		return 0;
	ret = filter_match_span(filter, record, scratch);
	return ret == 1 ? filter_match_grep(filter, record, scratch) : ret;
}
