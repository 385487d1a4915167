/*
 * backend_many.c: reads several places as if they were one.
 *
 * A trace may be split over gateways, or lie doubled on two of them. So what a trace is
 * is always asked of every place: its records are put together, equal ones collapse (what
 * each collector noted of its peer aside), and columns, conditions and figures are those
 * of the whole.
 *
 * Lists: each place lists what it has, newest first; the lists are walked together. A
 * trace starts with its earliest root, and the place that has that root lists it at that
 * time, so that whatever was not met yet starts no later than the latest entry that was
 * not walked. When as many as are wanted start after that, the list is done. Places are
 * asked with one group of conditions only, which a part of the trace must fulfil by
 * itself; all of them are asked of the whole.
 */
#include "backend.h"
#include "merge.h"
#include "seen_set.h"
#include "store_backend.h"

#include "query.h"
#include "stats.h"
#include "trace_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_FIRST = 64 };

struct many_backend {
	struct backend backend;
	struct backend *places[BACKEND_PLACES_MAX];
	size_t count;
};

/* Passes on what a place said of its failure. */
static int place_failed(struct many_backend *many, const struct backend *place, int error)
{
	return place->error.length != 0
		       ? backend_fail(&many->backend, error, "%s", place->error.bytes)
		       : error;
}

static struct backend *place_of(struct many_backend *many, size_t at)
{
	struct backend *place = many->places[at];

	place->timeout_ms = many->backend.timeout_ms;
	strbuf_clear(&place->error);
	return place;
}

/* ---- One trace -------------------------------------------------------- */

static int ambiguous(
	struct many_backend *many, const char *id, const uint8_t a[16], const uint8_t b[16])
{
	struct strbuf *said = &many->backend.error;
	const uint8_t *const ids[] = {a, b};
	char text[RECORD_ID_TEXT_BYTES];
	int error = backend_fail(&many->backend, -ENOTUNIQ, "%s", "");

	strbuf_safe(said, id, strlen(id));
	strbuf_string(said, " could mean:");
	for (size_t i = 0; i < 2; i++) {
		record_format_id(ids[i], text);
		strbuf_format(said, "\n  %s", text);
	}
	return error;
}

/* Adds what a place has of the trace. 1: it has something, 0: nothing. */
static int get_part(
	struct many_backend *many, size_t at, const char *id, bool first, struct trace_build *into)
{
	struct backend *place = place_of(many, at);
	uint8_t known[16];
	int result;

	memcpy(known, into->trace_id, sizeof known);
	result = place->ops->get(place, id, into);
	if (result == -ENOENT) {
		memcpy(into->trace_id, known, sizeof known);
		return 0;
	}
	if (result != 0)
		return place_failed(many, place, result);
	if (!first && memcmp(known, into->trace_id, sizeof known) != 0)
		return ambiguous(many, id, known, into->trace_id);
	return 1;
}

static int get_exact(struct many_backend *many, const char *id, struct trace_build *into)
{
	bool found = false;

	into->peers_apart = true;
	for (size_t i = 0; i < many->count; i++) {
		int result = get_part(many, i, id, !found, into);

		if (result < 0)
			return result;
		found = found || result == 1;
	}
	return found ? 0 : backend_no_trace(&many->backend, -ENOENT, id);
}

/* "last" and "@N" count over all places. */
static int nth_newest(const char *id, size_t *ret_nth)
{
	char *end = NULL;
	unsigned long nth;

	if (strcmp(id, "last") == 0) {
		*ret_nth = 1;
		return 0;
	}
	if (id[0] != '@' || id[1] < '1' || id[1] > '9')
		return -EINVAL;
	errno = 0;
	nth = strtoul(id + 1, &end, 10);
	if (errno != 0 || *end != '\0' || nth > UINT32_MAX)
		return -EINVAL;
	*ret_nth = nth;
	return 0;
}

static int many_list(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into);

static int many_get(struct backend *backend, const char *id, struct trace_build *into)
{
	static const struct waft_trace_filter everything;
	struct many_backend *many = (struct many_backend *)backend;
	struct listing newest = {0};
	size_t nth;
	int result;

	if (nth_newest(id, &nth) != 0)
		return get_exact(many, id, into);
	result = many_list(backend, &everything, nth, &newest);
	if (result == 0 && newest.count < nth)
		result = backend_no_trace(backend, -ENOENT, id);
	else if (result == 0)
		result = get_exact(many, newest.traces[nth - 1].trace_id, into);
	listing_done(&newest);
	return result;
}

/* ---- Walking all places together --------------------------------------- */

/* What one place lists. */
struct source {
	struct listing listing;
	size_t at;
	bool whole; /* there is nothing behind it */
};

struct walk {
	struct many_backend *many;
	struct waft_trace_filter asked; /* of the places */
	struct store_filter made;	/* of the whole */
	struct trace_load load;
	struct seen_set met;
	struct source sources[BACKEND_PLACES_MAX];
};

/* The group of conditions that places are asked with: of a trace that fulfils the filter
 * one place alone has a part that fulfils these. */
static struct waft_trace_filter one_group(const struct waft_trace_filter *filter)
{
	struct waft_trace_filter group = {0};

	if (filter->since_ns != 0 || filter->until_ns != 0) {
		group.since_ns = filter->since_ns;
		group.until_ns = filter->until_ns;
	} else if (filter->service != NULL || filter->operation != NULL || filter->layer != NULL ||
		   filter->attribute_count != 0) {
		group.service = filter->service;
		group.operation = filter->operation;
		group.layer = filter->layer;
		group.attributes = filter->attributes;
		group.attribute_count = filter->attribute_count;
	} else if (filter->grep != NULL) {
		group.grep = filter->grep;
	} else {
		group.errors = filter->errors;
	}
	return group;
}

static void walk_done(struct walk *walk)
{
	for (size_t i = 0; i < BACKEND_PLACES_MAX; i++)
		listing_done(&walk->sources[i].listing);
	seen_set_done(&walk->met);
	trace_load_done(&walk->load);
	store_filter_done(&walk->made);
}

/* Has every place list its first `wanted`. */
static int walk_begin(struct walk *walk, size_t wanted)
{
	struct many_backend *many = walk->many;

	seen_set_done(&walk->met);
	walk->met = (struct seen_set){0};
	for (size_t i = 0; i < many->count; i++) {
		struct source *source = &walk->sources[i];
		struct backend *place = place_of(many, i);
		int result;

		listing_done(&source->listing);
		*source = (struct source){0};
		result = place->ops->list(place, &walk->asked, wanted, &source->listing);
		if (result != 0)
			return place_failed(many, place, result);
		source->whole = source->listing.count < wanted;
	}
	return 0;
}

/* The latest entry that was not walked; NULL: there is none. */
static struct source *latest(struct walk *walk)
{
	struct source *found = NULL;

	for (size_t i = 0; i < walk->many->count; i++) {
		struct source *source = &walk->sources[i];

		if (source->at < source->listing.count &&
			(found == NULL || source->listing.traces[source->at].start_ns >
						  found->listing.traces[found->at].start_ns))
			found = source;
	}
	return found;
}

/* Whether a place has more than it was asked for, so that what was walked is not all. */
static bool cut_short(const struct walk *walk)
{
	for (size_t i = 0; i < walk->many->count; i++) {
		if (!walk->sources[i].whole &&
			walk->sources[i].at == walk->sources[i].listing.count)
			return true;
	}
	return false;
}

static uint64_t key_of(const char *id)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	for (; *id != '\0'; id++)
		key = (key ^ (uint8_t)*id) * UINT64_C(0x100000001b3);
	return key != 0 ? key : 1;
}

/* Loads the trace as a whole, unless it was met. 1: it fulfils the filter. */
static int look_at(struct walk *walk, const char *id)
{
	struct trace_build build = {0};
	int result = seen_set_add(&walk->met, key_of(id));

	if (result != 0)
		return result == 1 ? 0 : result;
	result = get_exact(walk->many, id, &build);
	if (result == 0)
		trace_load_begin(&walk->load, &walk->made.filter, build.trace_id);
	for (size_t i = 0; result == 0 && i < build.count; i++)
		result = merge_load(&walk->load, &build.scratch, &build.records[i]);
	if (result == 0)
		result = trace_load_end(&walk->load);
	if (result == 0)
		result = trace_load_matches(&walk->load) ? 1 : 0;
	trace_build_done(&build);
	/* Retention may have taken it since it was listed. */
	return result == -ENOENT ? 0 : result;
}

/* ---- Lists ------------------------------------------------------------- */

struct best {
	struct trace_summary *traces; /* by start, the newest first, then by id */
	size_t count;
	size_t capacity;
	struct scratch scratch;
};

static int compare_summaries(const struct trace_summary *a, const struct trace_summary *b)
{
	if (a->start_ns != b->start_ns)
		return a->start_ns > b->start_ns ? -1 : 1;
	return memcmp(b->trace_id, a->trace_id, sizeof a->trace_id);
}

static int best_add(struct best *best, const struct trace_load *load)
{
	struct trace_summary summary;
	size_t at;
	int result = trace_load_summary(load, &best->scratch, &summary);

	if (result != 0)
		return result;
	if (best->count == best->capacity) {
		size_t larger = best->capacity != 0 ? best->capacity * 2 : LIST_FIRST;
		struct trace_summary *grown = reallocarray(best->traces, larger, sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		best->traces = grown;
		best->capacity = larger;
	}
	for (at = best->count++; at > 0 && compare_summaries(&summary, &best->traces[at - 1]) < 0;
		at--)
		best->traces[at] = best->traces[at - 1];
	best->traces[at] = summary;
	return 0;
}

static void best_done(struct best *best)
{
	free(best->traces);
	scratch_done(&best->scratch);
}

/* 1: the best are what is wanted; 0: the places must list more. */
static int fill(struct walk *walk, size_t limit, struct best *best)
{
	best->count = 0;
	scratch_reset(&best->scratch);
	for (;;) {
		struct source *source = latest(walk);
		const struct waft_trace_summary *next =
			source != NULL ? &source->listing.traces[source->at] : NULL;
		int result;

		if (next == NULL || cut_short(walk))
			return next == NULL && !cut_short(walk);
		if (best->count >= limit && best->traces[limit - 1].start_ns > next->start_ns)
			return 1;
		source->at++;
		result = look_at(walk, next->trace_id);
		if (result == 1)
			result = best_add(best, &walk->load);
		if (result < 0)
			return result;
	}
}

static int many_list(struct backend *backend, const struct waft_trace_filter *filter, size_t limit,
	struct listing *into)
{
	struct walk walk = {.many = (struct many_backend *)backend, .asked = one_group(filter)};
	struct best best = {0};
	size_t wanted = limit < LIST_FIRST / 2 ? LIST_FIRST : limit;
	int result = store_filter_init(&walk.made, backend, filter);

	while (result == 0) {
		wanted = wanted < SIZE_MAX / 2 ? wanted * 2 : wanted;
		result = walk_begin(&walk, wanted);
		if (result == 0)
			result = fill(&walk, limit, &best);
	}
	if (result == 1)
		result = 0;
	for (size_t i = 0; result == 0 && i < best.count && i < limit; i++)
		result = store_summary_add(into, &best.traces[i]);
	best_done(&best);
	walk_done(&walk);
	return result;
}

/* ---- Figures ------------------------------------------------------------ */

static int count_all(struct walk *walk, struct stats *stats)
{
	struct source *source;
	int result = walk_begin(walk, SIZE_MAX);

	while (result == 0 && (source = latest(walk)) != NULL) {
		result = look_at(walk, source->listing.traces[source->at++].trace_id);
		if (result == 1)
			result = trace_load_stats(&walk->load, stats, false);
	}
	return result;
}

static int many_stats(
	struct backend *backend, const struct waft_trace_filter *filter, struct figures *into)
{
	struct walk walk = {.many = (struct many_backend *)backend, .asked = one_group(filter)};
	struct stats *stats = stats_new();
	int result = stats == NULL ? -ENOMEM : store_filter_init(&walk.made, backend, filter);

	if (result == 0)
		result = count_all(&walk, stats);
	if (result == 0)
		result = store_figures_add(into, stats);
	stats_free(stats);
	walk_done(&walk);
	return result;
}

/* ---- The rest ------------------------------------------------------------ */

static int many_tail(struct backend *backend, const struct waft_trace_filter *filter,
	backend_line_fn on_line, void *arg)
{
	(void)filter;
	(void)on_line;
	(void)arg;
	return backend_fail(
		backend, -ENOTSUP, "one place can be followed at a time\nName a single one.");
}

static int many_status(struct backend *backend, struct status_build *into)
{
	(void)into;
	return backend_fail(backend, -ENOTSUP, "a status is of one place\nAsk for each by itself.");
}

static int many_open_spans(struct backend *backend, const char *service, struct open_build *into)
{
	struct many_backend *many = (struct many_backend *)backend;

	for (size_t i = 0; i < many->count; i++) {
		struct backend *place = place_of(many, i);
		int result = place->ops->open_spans(place, service, into);

		if (result != 0)
			return place_failed(many, place, result);
	}
	return 0;
}

static uint64_t many_passed_over(const struct backend *backend)
{
	const struct many_backend *many = (const struct many_backend *)backend;
	uint64_t lines = 0;

	for (size_t i = 0; i < many->count; i++) {
		const struct backend *place = many->places[i];

		lines += place->ops->passed_over != NULL ? place->ops->passed_over(place) : 0;
	}
	return lines;
}

static void many_warn(struct backend *backend, struct strbuf *text)
{
	struct many_backend *many = (struct many_backend *)backend;

	for (size_t i = 0; i < many->count; i++)
		many->places[i]->ops->warn(place_of(many, i), text);
}

static void many_close(struct backend *backend)
{
	struct many_backend *many = (struct many_backend *)backend;

	for (size_t i = 0; i < many->count; i++)
		many->places[i]->ops->close(many->places[i]);
	strbuf_done(&backend->error);
	free(many);
}

static const struct backend_ops ops = {
	.list = many_list,
	.get = many_get,
	.tail = many_tail,
	.stats = many_stats,
	.status = many_status,
	.open_spans = many_open_spans,
	.passed_over = many_passed_over,
	.warn = many_warn,
	.close = many_close,
};

int backend_many_add(struct backend **backend, struct backend *place)
{
	struct many_backend *many = (struct many_backend *)*backend;

	if (many->backend.ops == &ops) {
		if (many->count == BACKEND_PLACES_MAX)
			return -E2BIG;
		many->places[many->count++] = place;
		return 0;
	}
	many = calloc(1, sizeof *many);
	if (many == NULL)
		return -ENOMEM;
	many->backend.ops = &ops;
	many->backend.timeout_ms = (*backend)->timeout_ms;
	many->places[many->count++] = *backend;
	many->places[many->count++] = place;
	*backend = &many->backend;
	return 0;
}
