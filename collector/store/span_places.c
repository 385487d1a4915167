/*
 * span_places.c: see span_places.h.
 */
#include "span_places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct waiting_span {
	uint8_t trace_id[16];
	struct ordinal ordinal;
	struct span_place place;
};

void span_places_init(struct span_places *places,
	int (*fetch)(void *ctx, struct log_place place, struct slice *ret_bytes,
		const struct log_peer **ret_peer),
	void *ctx)
{
	*places = (struct span_places){.fetch = fetch, .ctx = ctx};
}

void span_places_done(struct span_places *places)
{
	batch_done(&places->batch);
	line_writer_done(&places->writer);
	bytes_done(&places->line);
	free(places->spans);
	free(places->by_trace);
}

void span_places_clear(struct span_places *places)
{
	places->count = 0;
	places->batch_place = (struct log_place){0};
}

/* ---- Collecting ----------------------------------------------------------- */

static int add_span(
	struct span_places *places, const struct span_view *view, const struct ordinal *ordinal)
{
	struct waiting_span *span;

	if (places->count == places->capacity) {
		size_t capacity = places->capacity > 0 ? places->capacity * 2 : 256;
		struct waiting_span *spans = reallocarray(places->spans, capacity, sizeof(*spans));

		if (spans == NULL)
			return -ENOMEM;
		places->spans = spans;
		places->capacity = capacity;
	}
	if (places->count >= UINT32_MAX)
		return -EFBIG;
	span = &places->spans[places->count++];
	memcpy(span->trace_id, view->trace->id.bytes, 16);
	span->ordinal = *ordinal;
	span->place = view->place;
	return 0;
}

int span_places_add(struct span_places *places, struct slice bytes, struct log_place place,
	const struct consumed *consumed)
{
	struct ordinal ordinal = {.segment = place.segment, .offset = place.offset};
	struct batch_iter iter;
	struct span_view view;
	int ret = batch_open(&places->batch, bytes.data, bytes.length);

	if (ret != 0)
		return ret == -ENOMEM ? ret : 0;
	batch_iter_init(&iter);
	while ((ret = batch_next(&places->batch, &iter, &view)) > 0) {
		if (consumed == NULL || !consumed_has(consumed, &ordinal)) {
			ret = add_span(places, &view, &ordinal);
			if (ret != 0)
				return ret;
		}
		ordinal.position++;
	}
	return ret == -ENOMEM ? ret : 0;
}

static int compare_by_trace(const void *left, const void *right, void *ctx)
{
	const struct waiting_span *spans = ctx;
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;
	int ret = memcmp(spans[a].trace_id, spans[b].trace_id, 16);

	return ret != 0 ? ret : (a > b) - (a < b);
}

int span_places_sort(struct span_places *places)
{
	size_t count = places->count;

	free(places->by_trace);
	places->by_trace = calloc(count > 0 ? count : 1, sizeof(*places->by_trace));
	if (places->by_trace == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		places->by_trace[i] = (uint32_t)i;
	qsort_r(places->by_trace, count, sizeof(*places->by_trace), compare_by_trace,
		places->spans);
	return 0;
}

/* ---- Lines --------------------------------------------------------------- */

static int open_batch(struct span_places *places, struct log_place place)
{
	const struct log_peer *peer;
	struct slice bytes;
	int ret;

	if (places->batch_place.segment == place.segment &&
		places->batch_place.offset == place.offset)
		return 0;
	places->batch_place = (struct log_place){0};
	ret = places->fetch(places->ctx, place, &bytes, &peer);
	if (ret == 0)
		ret = batch_open(&places->batch, bytes.data, bytes.length);
	if (ret == 0)
		ret = line_batch_begin(&places->writer, &places->batch, peer);
	if (ret != 0)
		return ret;
	batch_iter_init(&places->iter);
	places->batch_place = place;
	return 0;
}

static int give_span(struct span_places *places, const struct waiting_span *span,
	int (*on_span)(void *arg, const struct live_span *span), void *arg)
{
	struct log_place place = {.segment = span->ordinal.segment, .offset = span->ordinal.offset};
	struct live_span live = {.ordinal = span->ordinal};
	struct span_view view;
	int ret = open_batch(places, place);

	if (ret == 0)
		ret = batch_span_at(&places->batch, &places->iter, span->place, &view);
	places->line.length = 0;
	if (ret == 0)
		ret = line_span(&places->writer, &places->batch, &view, &places->line);
	if (ret != 0)
		return ret;
	memcpy(live.trace_id, span->trace_id, 16);
	live.line = slice_of(places->line.data, places->line.length - 1);
	return on_span(arg, &live);
}

static bool is_behind(const struct ordinal *ordinal, const struct ordinal *after)
{
	if (after == NULL)
		return true;
	if (ordinal->segment != after->segment)
		return ordinal->segment > after->segment;
	if (ordinal->offset != after->offset)
		return ordinal->offset > after->offset;
	return ordinal->position > after->position;
}

/* The first place in by_trace with this trace. */
static size_t first_of_trace(const struct span_places *places, const uint8_t trace_id[16])
{
	size_t low = 0;
	size_t high = places->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct waiting_span *span = &places->spans[places->by_trace[middle]];

		if (memcmp(span->trace_id, trace_id, 16) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int span_places_each(struct span_places *places, const uint8_t *trace_id,
	const struct ordinal *after, int (*on_span)(void *arg, const struct live_span *span),
	void *arg)
{
	size_t i = trace_id != NULL ? first_of_trace(places, trace_id) : 0;
	int ret = 0;

	for (; ret == 0 && i < places->count; i++) {
		const struct waiting_span *span =
			&places->spans[trace_id != NULL ? places->by_trace[i] : i];

		if (trace_id != NULL && memcmp(span->trace_id, trace_id, 16) != 0)
			break;
		if (is_behind(&span->ordinal, after))
			ret = give_span(places, span, on_span, arg);
	}
	return ret;
}
