/*
 * From assembler to store, and how much may come in. Loop thread.
 *
 * flow_pulse runs when a trace is due; flow_balance after each round of commits,
 * each write and each pulse. Both hand runs to the keeper, never more than
 * FLYING_SPANS_MAX at a time: what waits longer waits in the assembler, where it
 * is cheapest.
 */
#include "collector_internal.h"

#include "log_line.h"

#define FLYING_SPANS_MAX 524288u
#define RUNS_PER_PULSE 4096
#define PULSE_MIN_MS 20
#define CREDIT_MS 20

static void hand_over(struct collector *collector, struct run *run)
{
	collector->flying_spans += run->count;
	keepers_put(collector->keepers, run);
}

static bool may_fly(const struct collector *collector)
{
	return collector->flying_spans < FLYING_SPANS_MAX;
}

/* ---- Due ------------------------------------------------------------------- */

static void on_pulse(uv_timer_t *timer)
{
	struct collector *collector = timer->data;

	flow_pulse(collector);
	flow_balance(collector);
}

static void set_pulse(struct collector *collector, bool at_once)
{
	uint64_t now_ms = collector_now_ms(collector);
	uint64_t due_ms = assembly_next_due_ms(collector->depot.assembly);
	uint64_t wait_ms;

	if (due_ms == UINT64_MAX || collector->state > COLLECTOR_DRAIN_WRITES) {
		(void)uv_timer_stop(&collector->pulse);
		return;
	}
	wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
	if (wait_ms < PULSE_MIN_MS)
		wait_ms = at_once ? 0 : PULSE_MIN_MS;
	/* The loop's idea of now is as old as its round. */
	uv_update_time(&collector->loop);
	(void)uv_timer_start(&collector->pulse, on_pulse, wait_ms, 0);
}

/* Up to when traces are due. What a flush is for has been held long enough then. */
static uint64_t due_ms(const struct collector *collector)
{
	uint64_t now_ms = collector_now_ms(collector);
	uint64_t flush_ms = collector->flush_ms + collector->settings.hold_ms;

	return collector->flush_ms > 0 && flush_ms > now_ms ? flush_ms : now_ms;
}

void flow_pulse(struct collector *collector)
{
	uint64_t now_ms = due_ms(collector);
	int runs = 0;

	while (may_fly(collector) && runs < RUNS_PER_PULSE) {
		struct run *run = assembly_take_due(collector->depot.assembly, now_ms);

		if (run == NULL) {
			if (collector->flush_ms > 0) {
				keepers_mark(collector->keepers);
				keepers_hurry(collector->keepers);
			}
			collector->flush_ms = 0;
			break;
		}
		hand_over(collector, run);
		runs++;
	}
	set_pulse(collector, runs == RUNS_PER_PULSE);
}

void flow_flush(struct collector *collector)
{
	collector->flush_ms = collector_now_ms(collector);
	flow_pulse(collector);
}

bool flow_flushed(const struct collector *collector)
{
	return collector->flush_ms == 0 && keepers_are_past_mark(collector->keepers);
}

/* ---- Pressure --------------------------------------------------------------- */

static void read_input(struct collector *collector, struct pressure_input *ret_input)
{
	struct assembler_counts held;
	struct intake_counts pending;
	struct export_counts exports;
	struct forward_service_counts forwarded;
	struct keeper_counts kept;

	keepers_count(collector->keepers, &kept);
	assembly_count(collector->depot.assembly, &held);
	intake_count(collector->intake, &pending);
	export_service_count(collector->exports, &exports);
	forward_service_count(collector->forwarded, &forwarded);
	*ret_input = (struct pressure_input){
		.held_spans = held.spans,
		.held_traces = held.traces,
		.flying_spans = collector->flying_spans,
		.pending_bytes = pending.pending_bytes,
		.log_bytes = log_total_bytes(collector->depot.recovery.log),
		.index_bytes =
			collector->depot.index != NULL ? index_memory(collector->depot.index) : 0,
		.sessions = exports.sessions + forwarded.sessions,
		.spans_per_s = kept.spans_per_s,
		.drain_ms = collector->settings.drain_ms,
		.commit_error = collector->commit_error,
	};
}

static void write_early(struct collector *collector, uint64_t spans)
{
	uint64_t now_ms = collector_now_ms(collector);
	uint64_t written = 0;

	while (written < spans && may_fly(collector)) {
		struct run *run =
			assembly_take_oldest(collector->depot.assembly, RUN_MEMORY, now_ms);

		if (run == NULL)
			break;
		written += run->count;
		hand_over(collector, run);
	}
}

/* Writes what pins the oldest segment, so that it can be dropped. */
static void free_log(struct collector *collector)
{
	struct log *log = collector->depot.recovery.log;
	uint64_t now_ms = collector_now_ms(collector);
	struct log_segment oldest;

	if (log_segments(log, &oldest, 1) == 0)
		return;
	if (oldest.open)
		log_roll(log);
	while (may_fly(collector)) {
		struct run *run = assembly_take_from_segment(
			collector->depot.assembly, oldest.number, now_ms);

		if (run == NULL)
			break;
		hand_over(collector, run);
	}
	keeper_trim(keepers_first(collector->keepers));
}

void flow_balance(struct collector *collector)
{
	const char *before = collector->pressure.reason;
	size_t window_before = collector->pressure.window_bytes;
	struct pressure_input input;

	read_input(collector, &input);
	pressure_of(&collector->limits, &input, &collector->pressure);
	if (collector->state != COLLECTOR_RUNNING) {
		collector->pressure.window_bytes = 0;
		collector->pressure.pause = true;
	}
	intake_set_window(collector->intake, collector->pressure.window_bytes);
	export_service_pause(collector->exports, collector->pressure.pause);
	forward_service_pause(collector->forwarded, collector->pressure.pause);
	if (collector->pressure.write_spans > 0)
		write_early(collector, collector->pressure.write_spans);
	if (collector->forward != NULL && input.log_bytes > collector->settings.forward_max_bytes)
		keeper_shed(
			keepers_first(collector->keepers), collector->settings.forward_max_bytes);
	if (collector->pressure.free_log && collector->store_error == 0 &&
		collector->forward == NULL)
		free_log(collector);
	if (collector->pressure.window_bytes > window_before) {
		export_service_flush(collector->exports);
		forward_service_flush(collector->forwarded);
	}
	if (collector->pressure.reason != NULL && before == NULL)
		log_debug("senders have to wait: %s", collector->pressure.reason);
}

bool flow_drain(struct collector *collector)
{
	uint64_t now_ms = collector_now_ms(collector);

	while (may_fly(collector)) {
		struct run *run =
			assembly_take_oldest(collector->depot.assembly, RUN_DRAIN, now_ms);

		if (run == NULL)
			break;
		hand_over(collector, run);
	}
	keepers_hurry(collector->keepers);
	return may_fly(collector) && !keepers_busy(collector->keepers);
}

/* ---- Credit held back ---------------------------------------------------------- */

static void on_credit(uv_timer_t *timer)
{
	struct collector *collector = timer->data;

	if (collector->state >= COLLECTOR_CLOSING)
		return;
	export_service_flush(collector->exports);
	forward_service_flush(collector->forwarded);
}

void flow_on_held(void *context)
{
	struct collector *collector = context;

	if (!uv_is_active((uv_handle_t *)&collector->credit))
		(void)uv_timer_start(&collector->credit, on_credit, CREDIT_MS, 0);
}

/* ---- Callbacks --------------------------------------------------------------- */

/* Says once when something began to fail, and when that is over. */
static void say_change(int before, int now, const char *what, const char *effect)
{
	if (before == 0 && now != 0)
		log_error("%s: %s; %s", what, error_text(now), effect);
	else if (before != 0 && now == 0)
		log_notice("%s again", what);
}

void flow_on_batch(void *context, struct log_place place, uint32_t spans)
{
	struct collector *collector = context;

	/* What arrives while the drain ends is durable when nobody listens any more. */
	if (collector->tails != NULL)
		tail_service_on_batch(collector->tails, place, spans);
}

void flow_on_round(void *context, int error)
{
	struct collector *collector = context;

	if (error == 0)
		collector->progress_ms = collector_now_ms(collector);
	if ((collector->commit_error == 0) != (error == 0))
		say_change(collector->commit_error, error,
			error != 0 ? "can't write the log" : "the log is written",
			"nothing is acknowledged until it can");
	collector->commit_error = error;
	/* A start that failed half-way ends what it had. */
	if (collector->keepers == NULL || collector->exports == NULL ||
		collector->forwarded == NULL)
		return;
	flow_balance(collector);
	export_service_flush(collector->exports);
	forward_service_flush(collector->forwarded);
	if (collector->forward != NULL)
		forward_wake(collector->forward);
	if (collector->inbox != NULL)
		inbox_on_room(collector->inbox);
	if (collector->regions != NULL)
		regions_on_room(collector->regions);
	if (!uv_is_active((uv_handle_t *)&collector->pulse))
		set_pulse(collector, false);
	drain_step(collector);
}

void flow_on_written(void *context, struct run *run)
{
	struct collector *collector = context;

	collector->flying_spans -= run->count;
	collector->written_spans += run->count;
	assembly_written(collector->depot.assembly, run);
}

void flow_on_progress(void *context, int error)
{
	struct collector *collector = context;

	if (error == 0)
		collector->progress_ms = collector_now_ms(collector);
	if ((collector->store_error == 0) != (error == 0))
		say_change(collector->store_error, error,
			error != 0 ? "can't write the files" : "the files are written",
			"what is acknowledged stays in the log");
	collector->store_error = error;
	/* After the keeper's end there is nobody to hand runs to. */
	if (collector->state >= COLLECTOR_CLOSING)
		return;
	flow_pulse(collector);
	flow_balance(collector);
	if (collector->admin != NULL)
		admin_service_on_progress(collector->admin);
	drain_step(collector);
}

void flow_on_forwarded(void *context)
{
	struct collector *collector = context;
	struct forward *forward = __atomic_load_n(&collector->forward, __ATOMIC_ACQUIRE);

	if (forward != NULL)
		forward_on_cursor(forward);
}
