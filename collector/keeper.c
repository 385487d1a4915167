/*
 * The store's thread.
 *
 * The happy path: keeper_put queues runs; the thread takes what is there, up to
 * PUT_SPANS, makes a put of it with the spans in order, and lets the store work;
 * on_durable moves the runs to `written` and wakes the loop, which gives them back
 * (on_async). Then the thread does what is due of its chores (keeper_chores.c).
 *
 * Failures: the store names a pause; the thread waits so long, or until the
 * close. Without memory for a put the runs stay queued for a while. At the close
 * one try is made, then the store gives back the puts with -ECANCELED.
 */
#include "keeper_internal.h"
#include "log_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A put is what the end may have to wait for: a quarter of a second at most. */
#define PUT_SPANS 16384u
#define PUT_SPANS_MIN 1024u
#define PUTS_PER_S 4
#define RATE_SPANS (4 * PUT_SPANS)
/* What a smaller put takes says more of the disk's delay than of the store's speed. */
#define RATE_SPANS_MIN 2048u
#define RATE_AFTER_NS (100 * CLOCK_NS_PER_MS)
/* While the store gathers, it gets what comes in such pieces. */
#define GATHER_STEP_SPANS 4096u
#define GATHER_STEP_NS (20 * CLOCK_NS_PER_MS)
#define FETCH_BYTES 512u
#define NO_MEMORY_PAUSE_NS (100 * CLOCK_NS_PER_MS)

/* Runs that are one put. */
struct shipment {
	struct store_put put; /* first: the store gives it back */
	struct keeper *keeper;
	struct run *runs;
	struct run *last; /* of them */
	uint32_t span_count;
	struct store_run *store_runs;
	struct store_span *spans;
};

/* Under the lock: whether what is queued is worth waking up for. */
static bool has_enough(const struct keeper *keeper)
{
	return keeper->gathering ? keeper->queued_spans >= GATHER_STEP_SPANS
				 : keeper->queued != NULL;
}

/* ---- Puts ---------------------------------------------------------------- */

static void free_shipment(struct shipment *shipment)
{
	if (shipment == NULL)
		return;
	free(shipment->store_runs);
	free(shipment->spans);
	free(shipment);
}

static void say_wrote(struct keeper *keeper)
{
	uv_mutex_lock(&keeper->lock);
	keeper->wrote = true;
	uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

/* The store has done with a put. The store's thread, or that of the first keeper while it has
 * all stores to itself; the lock not held. */
static void on_durable(struct store_put *put, int status)
{
	struct shipment *shipment = (struct shipment *)put;
	struct keeper *keeper = shipment->keeper;

	uv_mutex_lock(&keeper->lock);
	keeper->puts--;
	/* Chores commit what is gathered, too. */
	if (keeper->puts == 0)
		keeper->gathering = false;
	uv_mutex_unlock(&keeper->lock);
	if (status == 0) {
		uv_mutex_lock(&keeper->lock);
		keeper->counts.waiting_spans -= shipment->span_count;
		keeper->counts.spans += shipment->span_count;
		keeper->counts.runs += shipment->put.run_count;
		keeper->counts.waiting_runs -= shipment->put.run_count;
		shipment->last->next = keeper->written;
		keeper->written = shipment->runs;
		uv_mutex_unlock(&keeper->lock);
		say_wrote(keeper);
		if (keeper->config.first != NULL)
			say_wrote(keeper->config.first);
		uv_async_send(&keeper->async);
	}
	free_shipment(shipment);
}

static int fill_run(struct keeper *keeper, const struct run *run, struct store_run *store_run,
	struct store_span *spans)
{
	const uint32_t *indices = NULL;
	int status = run_order_make(&keeper->order, run->refs, run->count, &indices);

	if (status < 0)
		return status;
	for (uint32_t i = 0; i < run->count; i++) {
		const struct span_ref *ref = &run->refs[indices[i]];

		spans[i] = (struct store_span){
			.ordinal = {ref->segment, ref->offset, ref->position},
			.place = span_ref_place(ref),
		};
	}
	*store_run = (struct store_run){
		.trace_id = run->trace_id, .spans = spans, .span_count = run->count};
	return 0;
}

/* What the loop wrote long ago, as far as most runs go, while another run is ordered. */
static void fetch(const struct run *run)
{
	for (size_t at = 0; run != NULL && at < FETCH_BYTES; at += 64)
		__builtin_prefetch((const char *)run + at);
}

/* Makes a put of a list of runs; the runs go with it on success. */
static int ship(struct keeper *keeper, struct run *runs, uint32_t run_count, uint32_t span_count,
	bool behind)
{
	struct shipment *shipment = calloc(1, sizeof(*shipment));
	struct store_span *spans;
	uint32_t at = 0;

	if (shipment == NULL)
		return -ENOMEM;
	shipment->store_runs = malloc(run_count * sizeof(*shipment->store_runs));
	shipment->spans = malloc(span_count * sizeof(*shipment->spans));
	spans = shipment->spans;
	if (shipment->store_runs == NULL || spans == NULL)
		goto fail;
	for (struct run *run = runs; run != NULL; run = run->next) {
		shipment->last = run;
		fetch(run->next);
		if (fill_run(keeper, run, &shipment->store_runs[at++], spans) < 0)
			goto fail;
		spans += run->count;
	}
	shipment->keeper = keeper;
	shipment->runs = runs;
	shipment->span_count = span_count;
	shipment->put.runs = shipment->store_runs;
	shipment->put.run_count = run_count;
	shipment->put.behind = behind;
	shipment->put.on_durable = on_durable;
	uv_mutex_lock(&keeper->lock);
	keeper->puts++;
	uv_mutex_unlock(&keeper->lock);
	store_put(keeper->config.store, &shipment->put);
	return 0;

fail:
	free_shipment(shipment);
	return -ENOMEM;
}

/* Under the lock. */
static uint32_t put_limit(const struct keeper *keeper)
{
	uint64_t spans = keeper->counts.spans_per_s / PUTS_PER_S;

	if (spans == 0 || spans > PUT_SPANS)
		return PUT_SPANS;
	return spans < PUT_SPANS_MIN ? PUT_SPANS_MIN : (uint32_t)spans;
}

/* Under the lock: takes queued runs, as many as a put may be, at least one. */
static struct run *take_queued(
	struct keeper *keeper, uint32_t *ret_run_count, uint32_t *ret_span_count)
{
	struct run *first = keeper->queued;
	struct run **at = &keeper->queued;
	uint32_t limit = put_limit(keeper);
	uint32_t runs = 0;
	uint32_t spans = 0;

	while (*at != NULL && (runs == 0 || spans + (*at)->count <= limit)) {
		runs++;
		spans += (*at)->count;
		at = &(*at)->next;
	}
	keeper->queued = *at;
	keeper->queued_spans -= spans;
	*at = NULL;
	if (keeper->queued == NULL)
		keeper->queued_end = &keeper->queued;
	*ret_run_count = runs;
	*ret_span_count = spans;
	return runs > 0 ? first : NULL;
}

/* Puts runs back at the front of the queue. */
static void give_back(struct keeper *keeper, struct run *runs, uint32_t span_count)
{
	struct run *last = runs;

	while (last->next != NULL)
		last = last->next;
	uv_mutex_lock(&keeper->lock);
	keeper->queued_spans += span_count;
	last->next = keeper->queued;
	if (keeper->queued == NULL)
		keeper->queued_end = &last->next;
	keeper->queued = runs;
	uv_mutex_unlock(&keeper->lock);
}

/* Ships what is queued; 0, or the pause after which to try again. */
static uint64_t ship_queued(struct keeper *keeper)
{
	uint32_t run_count = 0;
	uint32_t span_count = 0;
	struct run *runs = NULL;
	bool behind;

	uv_mutex_lock(&keeper->lock);
	if (keeper->puts == 0 || keeper->gathering)
		runs = take_queued(keeper, &run_count, &span_count);
	behind = keeper->queued != NULL;
	uv_mutex_unlock(&keeper->lock);
	if (runs == NULL || ship(keeper, runs, run_count, span_count, behind) == 0)
		return 0;
	give_back(keeper, runs, span_count);
	return NO_MEMORY_PAUSE_NS;
}

static bool has_puts(struct keeper *keeper)
{
	bool puts;

	uv_mutex_lock(&keeper->lock);
	puts = keeper->puts > 0;
	uv_mutex_unlock(&keeper->lock);
	return puts;
}

/* ---- The thread ----------------------------------------------------------- */

static void say_error(struct keeper *keeper, int error)
{
	bool changed;

	uv_mutex_lock(&keeper->lock);
	changed = keeper->error != error;
	keeper->error = error;
	uv_mutex_unlock(&keeper->lock);
	if (changed)
		uv_async_send(&keeper->async);
}

/* How fast the store is, over the last few puts. */
static void measure(struct keeper *keeper, uint64_t spans, uint64_t took_ns)
{
	if (spans < RATE_SPANS_MIN || took_ns == 0)
		return;
	keeper->rate_spans += spans;
	keeper->rate_ns += took_ns;
	uv_mutex_lock(&keeper->lock);
	keeper->counts.spans_per_s = keeper->rate_spans * CLOCK_NS_PER_S / keeper->rate_ns;
	uv_mutex_unlock(&keeper->lock);
	if (keeper->rate_spans < RATE_SPANS)
		return;
	keeper->rate_spans /= 2;
	keeper->rate_ns /= 2;
}

/* Under the lock: the speed as far as is known, with what the store is at now: one that
 * has become slow is not believed to be fast until its put has ended. */
static uint64_t spans_per_s(const struct keeper *keeper)
{
	uint64_t took_ns = clock_monotonic_ns(keeper->config.clock) - keeper->work_begin_ns;
	uint64_t known = keeper->counts.spans_per_s;
	uint64_t at_most;

	if (keeper->work_begin_ns == 0 || took_ns < RATE_AFTER_NS)
		return known;
	at_most = keeper->work_spans * CLOCK_NS_PER_S / took_ns;
	return known == 0 || at_most < known ? at_most + 1 : known;
}

static void set_work(struct keeper *keeper, uint64_t begin_ns, uint64_t spans)
{
	uv_mutex_lock(&keeper->lock);
	keeper->work_begin_ns = begin_ns;
	keeper->work_spans = spans;
	uv_mutex_unlock(&keeper->lock);
}

static bool take_hurry(struct keeper *keeper)
{
	bool hurry;

	uv_mutex_lock(&keeper->lock);
	hurry = keeper->hurry;
	keeper->hurry = false;
	uv_mutex_unlock(&keeper->lock);
	return hurry;
}

/* Lets the store work; what it returns. */
static uint64_t work_store(struct keeper *keeper, bool hurry, int *ret_error)
{
	uint64_t begin_ns = clock_monotonic_ns(keeper->config.clock);
	uint64_t before, after, pause_ns;
	bool gathering;

	uv_mutex_lock(&keeper->lock);
	before = keeper->counts.spans;
	uv_mutex_unlock(&keeper->lock);
	set_work(keeper, begin_ns, store_queued_spans(keeper->config.store));
	pause_ns = store_work(keeper->config.store, hurry ? STORE_NOW : begin_ns, ret_error);
	set_work(keeper, 0, 0);
	uv_mutex_lock(&keeper->lock);
	gathering = keeper->gathering = pause_ns > 0 && *ret_error == 0 && keeper->puts > 0;
	after = keeper->counts.spans;
	uv_mutex_unlock(&keeper->lock);
	keeper->took_ns += clock_monotonic_ns(keeper->config.clock) - begin_ns;
	if (pause_ns > 0 && !gathering)
		keeper->took_ns = 0;
	if (after > before && keeper->took_ns > 0) {
		measure(keeper, after - before, keeper->took_ns);
		keeper->took_ns = 0;
	}
	return pause_ns;
}

/* One round of work; the ns that the thread may wait after it. */
static uint64_t work(struct keeper *keeper)
{
	uint64_t pause_ns = ship_queued(keeper);
	uint64_t store_ns = 0;
	uint64_t chores_ns;
	bool hurry = take_hurry(keeper);
	int error = 0;

	if (has_puts(keeper)) {
		store_ns = work_store(keeper, hurry, &error);
		say_error(keeper, store_ns > 0 ? error : 0);
		if (store_ns > 0 && error != 0)
			return store_ns;
	}
	chores_ns = keeper_do_chores(keeper);
	if (pause_ns > 0)
		return pause_ns;
	/* What comes meanwhile is taken now and then, not run by run. */
	if (store_ns > GATHER_STEP_NS)
		store_ns = GATHER_STEP_NS;
	return store_ns > 0 && store_ns < chores_ns ? store_ns : chores_ns;
}

static void end_thread(struct keeper *keeper)
{
	int error = 0;

	/* The store's own queue once more; what is queued here stays in the log. */
	if (has_puts(keeper))
		(void)work_store(keeper, true, &error);
	if (keeper->forward_to.known)
		keeper_write_cursor(keeper);
	if (keeper->config.first == NULL && !has_puts(keeper))
		keeper_rest(keeper, 0);
	/* A commit that is half-way is finished by the next start. */
	sealer_free(keeper->sealer);
	keeper->sealer = NULL;
	store_close(keeper->config.store);
	if (keeper->config.manifest != NULL) {
		int status = manifest_checkpoint(keeper->config.manifest);

		if (status < 0)
			log_warning("can't rewrite the manifest: %s", error_text(status));
	}
	run_order_done(&keeper->order);
}

static void run_thread(void *context)
{
	struct keeper *keeper = context;
	uint64_t wait_ns = 0;

	for (;;) {
		bool failing = false;

		uv_mutex_lock(&keeper->lock);
		/* New runs don't cut short the pause after a failure. */
		failing = keeper->error != 0;
		if (keeper->state == KEEPER_RUNS && wait_ns > 0 &&
			(failing || keeper->cursor_failed ||
				(!has_enough(keeper) && !keeper->trim_wanted &&
					!keeper->forward_to.known && keeper->shed_above == 0 &&
					!keeper->seal_wake && !keeper->seal_done &&
					!keeper->retain_wake && !keeper->hurry && !keeper->wrote)))
			(void)uv_cond_timedwait(&keeper->wake, &keeper->lock, wait_ns);
		if (keeper->state != KEEPER_RUNS) {
			uv_mutex_unlock(&keeper->lock);
			break;
		}
		uv_mutex_unlock(&keeper->lock);
		wait_ns = work(keeper);
	}
	end_thread(keeper);
	uv_mutex_lock(&keeper->lock);
	keeper->state = KEEPER_ENDED;
	uv_mutex_unlock(&keeper->lock);
}

/* ---- The loop's side ------------------------------------------------------ */

static void on_async(uv_async_t *async)
{
	struct keeper *keeper = async->data;
	struct run *written;
	int error;

	uv_mutex_lock(&keeper->lock);
	written = keeper->written;
	keeper->written = NULL;
	error = keeper->error;
	uv_mutex_unlock(&keeper->lock);
	while (written != NULL) {
		struct run *next = written->next;

		__builtin_prefetch(next);
		keeper->config.on_written(keeper->config.context, written);
		written = next;
	}
	keeper->config.on_progress(keeper->config.context, error);
}

static int new_sealer(struct keeper *keeper, const struct sealer_config *config)
{
	struct sealer_config own;

	if (config == NULL)
		return 0;
	own = *config;
	own.on_done = keeper_on_sealed;
	own.context = keeper;
	return sealer_new(&own, &keeper->sealer);
}

/* A handle that isn't closed keeps its loop from ending. */
static void on_never_started(uv_handle_t *handle)
{
	struct keeper *keeper = handle->data;

	sealer_free(keeper->sealer);
	uv_cond_destroy(&keeper->wake);
	uv_mutex_destroy(&keeper->lock);
	free(keeper);
}

int keeper_start(const struct keeper_config *config, struct keeper **ret)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	int status;

	if (keeper == NULL)
		return -ENOMEM;
	keeper->config = *config;
	keeper->queued_end = &keeper->queued;
	keeper->retention = config->retention;
	if (config->manifest != NULL)
		keeper->forwarded = manifest_state(config->manifest)->forward;
	keeper->async.data = keeper;
	status = uv_mutex_init(&keeper->lock);
	if (status < 0)
		goto free_keeper;
	status = uv_cond_init(&keeper->wake);
	if (status < 0)
		goto destroy_lock;
	status = uv_async_init(config->loop, &keeper->async, on_async);
	if (status < 0)
		goto destroy_wake;
	status = new_sealer(keeper, config->sealer);
	if (status == 0)
		status = uv_thread_create(&keeper->thread, run_thread, keeper);
	if (status < 0) {
		uv_close((uv_handle_t *)&keeper->async, on_never_started);
		return status;
	}
	*ret = keeper;
	return 0;

destroy_wake:
	uv_cond_destroy(&keeper->wake);
destroy_lock:
	uv_mutex_destroy(&keeper->lock);
free_keeper:
	free(keeper);
	return status;
}

void keeper_put(struct keeper *keeper, struct run *run)
{
	run->next = NULL;
	uv_mutex_lock(&keeper->lock);
	*keeper->queued_end = run;
	keeper->queued_end = &run->next;
	keeper->counts.waiting_runs++;
	keeper->counts.waiting_spans += run->count;
	keeper->queued_spans += run->count;
	if (keeper->error == 0 && has_enough(keeper))
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

void keeper_hurry(struct keeper *keeper)
{
	uv_mutex_lock(&keeper->lock);
	keeper->hurry = true;
	if (keeper->error == 0)
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

void keeper_retain(struct keeper *keeper, const struct retention *retention)
{
	uv_mutex_lock(&keeper->lock);
	keeper->retention = *retention;
	keeper->retain_wake = true;
	if (keeper->error == 0)
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

void keeper_seal(struct keeper *keeper, const struct keeper_sealing *sealing)
{
	uv_mutex_lock(&keeper->lock);
	keeper->sealing = *sealing;
	keeper->seal_wake = true;
	if (keeper->error == 0)
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

void keeper_trim(struct keeper *keeper)
{
	uv_mutex_lock(&keeper->lock);
	keeper->trim_wanted = true;
	if (keeper->error == 0)
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

int keeper_forward(
	struct keeper *keeper, const struct manifest_forward *to, struct consumed *ordinals)
{
	int status;

	uv_mutex_lock(&keeper->lock);
	status = consumed_merge(&keeper->passed, ordinals);
	if (status == 0) {
		keeper->forward_to = *to;
		keeper->forward_to.known = true;
		if (keeper->error == 0)
			uv_cond_signal(&keeper->wake);
	}
	uv_mutex_unlock(&keeper->lock);
	if (status == 0)
		consumed_clear(ordinals);
	return status;
}

void keeper_shed(struct keeper *keeper, uint64_t max_bytes)
{
	uv_mutex_lock(&keeper->lock);
	keeper->shed_above = max_bytes;
	if (keeper->error == 0)
		uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

void keeper_forwarded(struct keeper *keeper, struct manifest_forward *ret)
{
	uv_mutex_lock(&keeper->lock);
	*ret = keeper->forwarded;
	uv_mutex_unlock(&keeper->lock);
}

bool keeper_busy(struct keeper *keeper)
{
	struct keeper_counts counts;

	keeper_count(keeper, &counts);
	return counts.waiting_runs > 0;
}

void keeper_count(struct keeper *keeper, struct keeper_counts *ret)
{
	uv_mutex_lock(&keeper->lock);
	*ret = keeper->counts;
	ret->spans_per_s = spans_per_s(keeper);
	uv_mutex_unlock(&keeper->lock);
}

static void on_async_closed(uv_handle_t *handle)
{
	struct keeper *keeper = handle->data;
	void (*on_closed)(void *context, uint64_t spans) = keeper->on_closed;
	void *context = keeper->config.context;
	uint64_t spans = keeper->counts.waiting_spans;

	uv_cond_destroy(&keeper->wake);
	uv_mutex_destroy(&keeper->lock);
	consumed_done(&keeper->passed);
	free(keeper);
	on_closed(context, spans);
}

void keeper_close(
	struct keeper *keeper, void (*on_closed)(void *context, uint64_t spans_not_written))
{
	uv_mutex_lock(&keeper->lock);
	keeper->state = KEEPER_CLOSES;
	uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
	uv_thread_join(&keeper->thread);
	on_async(&keeper->async);
	keeper->on_closed = on_closed;
	uv_close((uv_handle_t *)&keeper->async, on_async_closed);
}
