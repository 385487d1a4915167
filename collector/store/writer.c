/*
 * The JSONL store. See writer.h.
 *
 * store_work goes in rounds. A round takes runs from the queued puts and formats them
 * into outputs, one per day, until enough is gathered, or nothing is left and the last
 * commit was gather_ns ago; an output is written whenever it holds write_bytes
 * (writer_lines.c). Then the rest is written, all of it synced, the COMMITs appended and
 * synced, and the hooks and on_durable called. Each of these syncs is one that the log's
 * have to wait for: so there are few of them. What waits for its commit is in the log.
 *
 * Failures: before the COMMITs, the round is forgotten and formatted anew later; what
 * was written lies behind the committed length and is cut off. When the sync of
 * the COMMITs fails (`doubt`), the round waits until manifest_sync has made up for
 * it: it is committed then, and never formatted again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32c.h"
#include "huge.h"
#include "quarantine.h"
#include "writer_internal.h"

enum {
	RESERVE_BYTES = 16 << 20,
	BUFFER_BYTES = 16 << 20,
	PIECE_BYTES = 1 << 20,
	EXPECTED_SPANS = 16,  /* of a run; those behind them are not fetched ahead */
	KEEP_BYTES = 2 << 20, /* larger buffers are given back when there is nothing to do */
};

#define PAUSE_FIRST_NS (10ull * 1000000)
#define PAUSE_LAST_NS (400ull * 1000000)

uint64_t writer_now(const struct jsonl_store *store)
{
	struct timespec now;

	if (store->config.clock_ns != NULL)
		return store->config.clock_ns(store->config.clock_ctx);
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct manifest_state *state_of(const struct jsonl_store *store)
{
	return manifest_state(store->config.manifest);
}

/* ---- Spans to lines -------------------------------------------------------- */

/* What the spans of a run say about its day. */
struct run_times {
	uint64_t start_ns;
	uint64_t receive_ns;
	bool root;
	bool any;
};

static void note_times(struct run_times *times, const struct span_view *view, uint64_t receive_ns)
{
	bool root = view->parent_id == 0;

	if (times->any && (times->root && !root))
		return;
	if (times->any && times->root == root && times->start_ns <= view->start_ns)
		return;
	*times = (struct run_times){
		.start_ns = view->start_ns, .receive_ns = receive_ns, .root = root, .any = true};
}

/* Whether the manifest has consumed the span: what it has forgotten is. Locked. */
static bool is_consumed(struct jsonl_store *store, const struct ordinal *ordinal)
{
	const struct manifest_state *state = state_of(store);

	return ordinal->segment < state->first_segment ||
	       consumed_has_near(&state->consumed, ordinal, &store->hints);
}

/* Of so many spans, 64 at most, a bit for each that is in a file. Locked. */
static uint64_t which_are_consumed(
	struct jsonl_store *store, const struct store_span *spans, size_t count)
{
	uint64_t which = 0;

	for (size_t i = 0; i < count && i < AHEAD_SPANS; i++)
		which |= (uint64_t)is_consumed(store, &spans[i].ordinal) << i;
	return which;
}

/* The same of the run's spans from there on, a multiple of 64. The lock is taken once for
 * many runs, which are short mostly. */
static uint64_t consumed_from(
	struct jsonl_store *store, const struct store_put *put, size_t run, size_t from)
{
	struct writer_ahead *ahead = &store->ahead;
	uint64_t which;

	if (from == 0 && run - ahead->first_run < ahead->count)
		return ahead->consumed[run - ahead->first_run];
	manifest_lock(store->config.manifest);
	if (from == 0) {
		ahead->first_run = run;
		ahead->count = 0;
		while (ahead->count < AHEAD_RUNS && run + ahead->count < put->run_count) {
			const struct store_run *next = &put->runs[run + ahead->count];

			ahead->consumed[ahead->count++] =
				which_are_consumed(store, next->spans, next->span_count);
		}
		which = ahead->consumed[0];
	} else {
		which = which_are_consumed(
			store, put->runs[run].spans + from, put->runs[run].span_count - from);
	}
	manifest_unlock(store->config.manifest);
	return which;
}

/* Whether the span is in this round already. */
static bool is_in_round(struct jsonl_store *store, const struct ordinal *ordinal)
{
	for (uint32_t left = store->in_round; left != 0; left &= left - 1) {
		struct output *output = &store->outputs[__builtin_ctz(left)];

		if (consumed_has_near(&output->ordinals, ordinal, &output->hints))
			return true;
	}
	return store->lost_spans > 0 && consumed_has(&store->lost, ordinal);
}

/* Copies a record that can't be read, and whose spans are given up, to quarantine. */
static int set_record_aside(struct jsonl_store *store, const struct span_source *source)
{
	char name[LOG_NAME_BYTES + 8] = "log/";
	struct manifest_quarantine entry;
	int ret;

	if (source->data.length == 0)
		return 0;
	log_name(source->place.segment, name + 4);
	pthread_mutex_lock(&store->group->making);
	ret = quarantine_put(store->config.disk, store->config.dirs->quarantine, source->data.data,
		source->data.length, source->place.offset, name, error_text(source->error), &entry);
	pthread_mutex_unlock(&store->group->making);
	if (ret != 0)
		return ret;
	ret = manifest_quarantine(store->config.manifest, &entry);
	quarantine_entry_done(&entry);
	return ret;
}

/* A span that the log has lost: consumed without a line, and counted. */
static int lose_span(
	struct jsonl_store *store, const struct span_source *source, const struct ordinal *ordinal)
{
	struct log_place place = {.segment = ordinal->segment, .offset = ordinal->offset};
	int ret = 0;

	if (consumed_in_record(&store->lost, place) == 0)
		ret = set_record_aside(store, source);
	if (ret == 0)
		ret = consumed_add(&store->lost, ordinal);
	if (ret < 0)
		return ret;
	store->lost_spans++;
	return 0;
}

static int format_span(
	struct jsonl_store *store, const struct store_span *span, struct run_times *times)
{
	struct log_place place = {.segment = span->ordinal.segment, .offset = span->ordinal.offset};
	struct span_source *source;
	struct span_view view;
	size_t line_at;
	int ret = span_sources_get(store->sources, place, &source);

	if (ret != 0)
		return ret;
	if (source->error == 0) {
		ret = batch_span_at(&source->batch, &source->iter, span->place, &view);
		if (ret != 0 && ret != -ENOMEM)
			source->error = ret;
		else if (ret != 0)
			return ret;
	}
	if (source->error != 0)
		return lose_span(store, source, &span->ordinal);
	note_times(times, &view, source->record.receive_ns);
	line_at = store->run_lines.length;
	source->lines.index.filter = store->run_index.run.filter;
	ret = line_span(&source->lines, &source->batch, &view, &store->run_lines);
	if (ret == 0)
		ret = writer_index_line(store, source, &view, line_at);
	return ret != 0 ? ret : 1;
}

/* Formats the run's spans that are not written yet into run_lines, their ordinals
 * into run_ordinals; of a run with many bytes only from next_span up to run_end, a piece that
 * is to be a run of its own, so that memory doesn't grow with what the spans of a trace say.
 * Returns how many there are. */
static long format_spans(
	struct jsonl_store *store, const struct store_put *put, struct run_times *times)
{
	const struct store_run *run = &put->runs[store->next_run];
	size_t quarter = store->config.buffer_bytes / 4;
	size_t most = quarter > PIECE_BYTES ? PIECE_BYTES : quarter > 0 ? quarter : 1;
	uint64_t consumed = 0;
	long count = 0;

	writer_begin_run(store);
	index_builder_begin(&store->run_index, run->trace_id.bytes);
	store->run_not_indexed = false;
	if (run->span_count > store->run_capacity) {
		struct ordinal *grown =
			reallocarray(store->run_ordinals, run->span_count, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		store->run_ordinals = grown;
		store->run_capacity = run->span_count;
	}
	store->run_end = store->next_span;
	while (store->run_end < run->span_count && store->run_lines.length < most) {
		const struct store_span *span = &run->spans[store->run_end];
		int ret = 0;

		if (store->run_end == store->next_span || store->run_end % AHEAD_SPANS == 0)
			consumed = consumed_from(store, put, store->next_run,
				store->run_end - store->run_end % AHEAD_SPANS);
		if ((consumed >> store->run_end % AHEAD_SPANS & 1) == 0 &&
			!is_in_round(store, &span->ordinal))
			ret = format_span(store, span, times);
		if (ret < 0)
			return ret;
		if (ret == 1)
			store->run_ordinals[count++] = span->ordinal;
		store->run_end++;
	}
	return count;
}

/* ---- Days ------------------------------------------------------------------- */

/* The slot where a search for it begins. */
static size_t fresh_home(size_t capacity, const struct trace_id *trace_id)
{
	uint64_t hash;

	memcpy(&hash, trace_id->bytes + 8, sizeof(hash));
	return (size_t)id_mix(hash) & (capacity - 1);
}

static struct fresh_trace *fresh_slot(
	struct fresh_trace *table, size_t capacity, const struct trace_id *trace_id)
{
	size_t i = fresh_home(capacity, trace_id);

	while (table[i].used && !trace_id_equal(&table[i].trace_id, trace_id))
		i = (i + 1) & (capacity - 1);
	return &table[i];
}

/* That run is next: what is looked at then, of its spans and to find its day, is fetched while
 * lines are written. */
static void expect_run(struct jsonl_store *store, const struct store_run *run)
{
	const struct writer_hooks *hooks = &store->config.hooks;

	if (store->fresh_capacity > 0)
		__builtin_prefetch(
			&store->fresh[fresh_home(store->fresh_capacity, &run->trace_id)], 1);
	if (hooks->expect_trace != NULL)
		hooks->expect_trace(hooks->ctx, &run->trace_id);
	for (size_t i = 0; i < run->span_count && i < EXPECTED_SPANS; i++) {
		const struct ordinal *ordinal = &run->spans[i].ordinal;

		span_sources_expect(store->sources,
			(struct log_place){.segment = ordinal->segment, .offset = ordinal->offset},
			run->spans[i].place);
	}
}

static int fresh_grow(struct jsonl_store *store)
{
	size_t capacity = store->fresh_capacity == 0 ? 256 : store->fresh_capacity * 2;
	struct fresh_trace *grown = calloc(capacity, sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < store->fresh_capacity; i++) {
		if (store->fresh[i].used)
			*fresh_slot(grown, capacity, &store->fresh[i].trace_id) = store->fresh[i];
	}
	free(store->fresh);
	store->fresh = grown;
	store->fresh_capacity = capacity;
	return 0;
}

/* The day of a trace: by its first run, which may be in this very round. *ret_continues: this
 * isn't it. */
static int day_of(struct jsonl_store *store, const struct trace_id *trace_id,
	const struct run_times *times, int32_t *ret_day, bool *ret_continues)
{
	const struct writer_hooks *hooks = &store->config.hooks;
	struct fresh_trace *slot;
	int found;

	if (store->fresh_count * 2 >= store->fresh_capacity && fresh_grow(store) != 0)
		return -ENOMEM;
	slot = fresh_slot(store->fresh, store->fresh_capacity, trace_id);
	*ret_continues = true;
	if (!slot->used) {
		found = hooks->day_of_trace != NULL
				? hooks->day_of_trace(hooks->ctx, trace_id, ret_day)
				: 0;
		/* Who can't tell now must be asked again: a trace has one day. */
		if (found < 0)
			return found;
		*slot = (struct fresh_trace){
			.trace_id = *trace_id,
			.day = found == 1 ? *ret_day
					  : day_of_run(times->start_ns, times->receive_ns),
			.used = true,
		};
		store->fresh_count++;
		*ret_continues = found == 1;
	}
	*ret_day = slot->day;
	return 0;
}

/* ---- Runs to outputs ---------------------------------------------------------- */

/* The output of a day; NULL: all are taken by other days, commit first. */
static struct output *output_of_day(struct jsonl_store *store, int32_t day)
{
	struct output *unused = NULL;

	for (size_t i = 0; i < OUTPUTS; i++) {
		struct output *output = &store->outputs[i];

		if (output->used && output->day == day)
			return output;
		if (output->run_count == 0 && (unused == NULL || (unused->used && !output->used)))
			unused = output;
	}
	if (unused == NULL)
		return NULL;
	writer_drop_part(store, unused);
	unused->used = true;
	unused->day = day;
	return unused;
}

static int add_run(struct jsonl_store *store, struct output *output,
	const struct trace_id *trace_id, size_t spans, bool continues)
{
	const struct bytes *lines = &store->run_lines;
	uint32_t crc = crc32c(0, lines->data, lines->length);
	int ret = output->run_count == 0 ? writer_begin_lines(store, output) : 0;

	if (ret == 0 && output->run_count == output->run_capacity) {
		size_t capacity = output->run_capacity == 0 ? 64 : output->run_capacity * 2;
		struct output_run *grown = reallocarray(output->runs, capacity, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		output->runs = grown;
		output->run_capacity = capacity;
	}
	for (size_t i = 0; ret >= 0 && i < spans; i++)
		ret = consumed_add_near(&output->ordinals, &store->run_ordinals[i], &output->hints);
	if (ret >= 0)
		ret = writer_append_run(store, output);
	if (ret < 0)
		return ret;
	index_builder_end(&store->run_index);
	store->run_index.run.length_bytes = (uint32_t)lines->length;
	if (store->run_not_indexed)
		store->run_index.run.spans = 0;
	store->in_round |= UINT32_C(1) << (output - store->outputs);
	output->runs[output->run_count++] = (struct output_run){
		.trace_id = *trace_id,
		.index = store->run_index.run,
		.continues = continues,
		.run = {.length_bytes = (uint32_t)lines->length,
			.crc = crc,
			.spans = (uint32_t)spans},
	};
	output->length_bytes += lines->length;
	output->crc = crc32c_combine(output->crc, crc, lines->length);
	return 0;
}

/* Takes next_run, or a piece of it. */
static int take_run(struct jsonl_store *store, const struct store_put *put)
{
	const struct store_run *run = &put->runs[store->next_run];
	struct run_times times = {0};
	struct output *output;
	bool continues;
	int32_t day;
	long count = format_spans(store, put, &times);
	int ret;

	if (count < 0)
		return (int)count;
	if (count == 0) {
		store->next_span = store->run_end;
		return 0;
	}
	ret = day_of(store, &run->trace_id, &times, &day, &continues);
	if (ret != 0)
		return ret;
	output = output_of_day(store, day);
	if (writer_place_run(store, output) != 0)
		return -ENOMEM;
	if (output == NULL) {
		ret = writer_flush(store);
		/* The round that remembered the day is over. */
		if (ret == 0)
			ret = day_of(store, &run->trace_id, &times, &day, &continues);
		output = ret == 0 ? output_of_day(store, day) : NULL;
		if (output == NULL)
			return ret != 0 ? ret : -ENOMEM;
	}
	ret = add_run(store, output, &run->trace_id, (size_t)count, continues);
	if (ret == 0)
		store->next_span = store->run_end;
	if (ret == 0 && output->lines.length >= output->write_bytes)
		ret = writer_write_lines(store, output, false);
	return ret;
}

/* ---- The table of functions --------------------------------------------------------- */

static void jsonl_put(struct store *base, struct store_put *put)
{
	struct jsonl_store *store = (struct jsonl_store *)base;

	put->next = NULL;
	pthread_mutex_lock(&store->mutex);
	*store->tail = put;
	store->tail = &put->next;
	if (store->next_put == NULL)
		store->next_put = put;
	for (size_t i = 0; i < put->run_count; i++)
		store->queued_spans += put->runs[i].span_count;
	pthread_mutex_unlock(&store->mutex);
}

static struct store_put *current_put(struct jsonl_store *store)
{
	struct store_put *put;

	pthread_mutex_lock(&store->mutex);
	put = store->next_put;
	pthread_mutex_unlock(&store->mutex);
	return put;
}

static void advance_put(struct jsonl_store *store)
{
	pthread_mutex_lock(&store->mutex);
	store->next_put = store->next_put->next;
	pthread_mutex_unlock(&store->mutex);
	store->next_run = 0;
	store->next_span = 0;
}

static size_t gathered_bytes(const struct jsonl_store *store)
{
	size_t bytes = 0;

	for (uint32_t left = store->in_round; left != 0; left &= left - 1)
		bytes += (size_t)store->outputs[__builtin_ctz(left)].length_bytes;
	return bytes;
}

/* Formats the rest of a put; commits in between when enough is gathered. */
static int take_put(struct jsonl_store *store, const struct store_put *put)
{
	store->ahead.count = 0;
	store->behind = put->behind;
	while (store->next_run < put->run_count) {
		int ret;

		if (store->next_run + 1 < put->run_count && store->next_span == 0)
			expect_run(store, &put->runs[store->next_run + 1]);
		ret = take_run(store, put);
		if (ret != 0)
			return ret;
		if (store->next_span == put->runs[store->next_run].span_count) {
			store->next_run++;
			store->next_span = 0;
		}
		if (gathered_bytes(store) >= store->config.buffer_bytes) {
			ret = writer_flush(store);
			if (ret != 0)
				return ret;
		}
	}
	advance_put(store);
	return 0;
}

/* Whether there are puts that are not committed. */
static bool has_puts(struct jsonl_store *store)
{
	bool puts;

	pthread_mutex_lock(&store->mutex);
	puts = store->head != NULL;
	pthread_mutex_unlock(&store->mutex);
	return puts;
}

/* Whether something of them is in the round. */
static bool is_gathering(struct jsonl_store *store)
{
	bool gathering;

	pthread_mutex_lock(&store->mutex);
	gathering = store->head != store->next_put || store->next_run > 0 || store->next_span > 0;
	pthread_mutex_unlock(&store->mutex);
	return gathering;
}

/* How long the round may still gather; 0: it is to be committed. */
static uint64_t gather_ns(const struct jsonl_store *store, uint64_t now_ns)
{
	uint64_t since_ns = now_ns - store->committed_ns;

	/* Clocks that step back are late at most. */
	if (now_ns == STORE_NOW || now_ns < store->committed_ns ||
		since_ns >= store->config.gather_ns)
		return 0;
	return store->config.gather_ns - since_ns;
}

/* Takes what is queued; *ret_gather_ns: commits it so much later. A failure leaves the round
 * forgotten, or in doubt. */
static int work_rounds(struct jsonl_store *store, uint64_t now_ns, uint64_t *ret_gather_ns)
{
	struct store_put *put;
	int ret = store->doubt ? writer_flush(store) : 0;

	while (ret == 0 && has_puts(store)) {
		while (ret == 0 && (put = current_put(store)) != NULL)
			ret = take_put(store, put);
		if (ret == 0)
			*ret_gather_ns = gather_ns(store, now_ns);
		if (ret == 0 && *ret_gather_ns > 0)
			return 0;
		if (ret == 0)
			ret = writer_flush(store);
	}
	if (ret != 0 && !store->doubt)
		writer_forget_round(store);
	return ret;
}

int writer_settle(struct jsonl_store *store)
{
	int ret = 0;

	if (store->doubt)
		return -EAGAIN;
	if (is_gathering(store))
		ret = writer_flush(store);
	if (ret != 0 && !store->doubt)
		writer_forget_round(store);
	return ret;
}

/* Gives large buffers back when there is nothing to do. */
static void slim(struct jsonl_store *store)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		const struct output *output = &store->outputs[i];

		/* Of days gone by not even a large page. */
		if (output->lines.capacity > KEEP_BYTES ||
			(output->lines.capacity == HUGE_BYTES && output != store->last_output))
			bytes_done(&store->outputs[i].lines);
	}
	if (store->aside.capacity > KEEP_BYTES)
		bytes_done(&store->aside);
	if (store->run_lines.lent || store->run_lines.capacity > KEEP_BYTES)
		bytes_done(&store->run_lines);
	if (store->run_memory.capacity > KEEP_BYTES)
		bytes_done(&store->run_memory);
}

static uint64_t work_in_turn(struct jsonl_store *store, uint64_t now_ns, int *ret_error)
{
	uint64_t gather_ns = 0;
	int ret;

	if (now_ns != STORE_NOW)
		store->now_ns = now_ns;
	ret = work_rounds(store, now_ns, &gather_ns);
	if (ret_error != NULL)
		*ret_error = ret;
	pthread_mutex_lock(&store->mutex);
	store->stats.last_error = ret;
	store->stats.failures += ret != 0;
	pthread_mutex_unlock(&store->mutex);
	if (ret == 0) {
		store->pause_ns = 0;
		if (gather_ns == 0)
			slim(store);
		return gather_ns;
	}
	store->pause_ns = store->pause_ns == 0 ? PAUSE_FIRST_NS : store->pause_ns * 2;
	if (store->pause_ns > PAUSE_LAST_NS)
		store->pause_ns = PAUSE_LAST_NS;
	return store->pause_ns;
}

static uint64_t jsonl_work(struct store *base, uint64_t now_ns, int *ret_error)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	uint64_t wait_ns;

	pthread_rwlock_rdlock(&store->group->turn);
	writer_forget_log(store);
	wait_ns = work_in_turn(store, now_ns, ret_error);
	pthread_rwlock_unlock(&store->group->turn);
	return wait_ns;
}

static uint64_t jsonl_queued_spans(struct store *base)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	uint64_t spans;

	pthread_mutex_lock(&store->mutex);
	spans = store->queued_spans;
	pthread_mutex_unlock(&store->mutex);
	return spans;
}

static void jsonl_free(struct jsonl_store *store)
{
	pen_done(&store->pen);
	remover_done(&store->remover);
	for (size_t i = 0; i < OUTPUTS; i++) {
		struct output *output = &store->outputs[i];

		disk_close(store->config.disk, output->file);
		bytes_done(&output->lines);
		free(output->runs);
		consumed_done(&output->ordinals);
	}
	consumed_done(&store->lost);
	bytes_done(&store->aside);
	bytes_done(&store->run_lines);
	bytes_done(&store->run_memory);
	index_builder_done(&store->run_index);
	scratch_done(&store->scratch);
	free(store->run_ordinals);
	free(store->fresh);
	free(store->seal.refused);
	span_sources_free(store->sources);
	pthread_mutex_destroy(&store->mutex);
	free(store);
}

static void jsonl_close(struct store *base)
{
	struct jsonl_store *store = (struct jsonl_store *)base;
	struct store_put *put = store->head;

	/* From here on nobody brings it to rest, which would commit what it gave back. */
	writer_leave_group(store);
	while (put != NULL) {
		struct store_put *next = put->next;

		put->on_durable(put, -ECANCELED);
		put = next;
	}
	jsonl_free(store);
}

static const struct store_ops jsonl_ops = {
	.name = "jsonl",
	.put = jsonl_put,
	.work = jsonl_work,
	.queued_spans = jsonl_queued_spans,
	.close = jsonl_close,
};

int writer_new(const struct writer_config *config, struct store **ret)
{
	struct jsonl_store *store = calloc(1, sizeof(*store));
	int error;

	if (store == NULL)
		return -ENOMEM;
	store->base.ops = &jsonl_ops;
	store->config = *config;
	if (store->config.part_bytes == 0)
		store->config.part_bytes = PART_BYTES;
	if (store->config.reserve_bytes == 0)
		store->config.reserve_bytes = RESERVE_BYTES;
	if (store->config.buffer_bytes == 0)
		store->config.buffer_bytes = BUFFER_BYTES;
	for (size_t i = 0; i < OUTPUTS; i++)
		store->outputs[i].file = -1;
	store->tail = &store->head;
	error = span_sources_new(
		config->disk, config->dirs->log, config->cache_bytes, &store->sources);
	if (error == 0)
		error = writer_join_group(store);
	if (error != 0) {
		span_sources_free(store->sources);
		free(store);
		return error;
	}
	pthread_mutex_init(&store->mutex, NULL);
	pen_init(config->disk, &store->pen);
	store->remover.disk = config->disk;
	writer_count_manifest(store);
	*ret = &store->base;
	return 0;
}
