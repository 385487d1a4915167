/*
 * emit.c: threads that send trees of the ledger's shape and count for themselves.
 *
 * Every span carries its place in the load as attributes (load.run, load.process,
 * load.thread, load.n), so that the verifier knows each one without libwaft.
 */
#include "emit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ull

struct emitter {
	struct ledger *ledger;
	const struct emit_plan *plan;
	struct ledger_thread *row;
	uint32_t process, thread;
	uint64_t deadline_ns; /* 0: none */
	char *data;	      /* JSON text for snapshots; NULL: none */
	struct stopper *stopper;
	uint64_t start_ns;
	bool stopped; /* by the stopper or the deadline: ends what is open, begins no more */
};

/* Tells the threads to stop, also those that wait for their next span. */
struct stopper {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool stop;
	unsigned int running;
};

static uint64_t clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The ledger outlives a kill: each count must be in memory before what follows. */
static void count(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

/* ---- Pace ---------------------------------------------------------------- */

static bool is_over(const struct emitter *emitter)
{
	return emitter->deadline_ns > 0 && clock_ns() >= emitter->deadline_ns;
}

/* Too many spans have no answer yet. */
static bool is_ahead(const struct emitter *emitter)
{
	struct waft_stats stats;
	if (emitter->plan->in_flight == 0)
		return false;
	waft_stats(&stats);
	return stats.in_flight > emitter->plan->in_flight;
}

/* Keeps the rate, and the bound of what has no answer: waits until `spans` of the thread
 * are due. False: stop. */
static bool pace(struct emitter *emitter, uint64_t spans, bool seldom)
{
	struct stopper *stopper = emitter->stopper;
	uint64_t due_ns = emitter->start_ns;
	if (emitter->plan->rate > 0)
		due_ns += spans * NS_PER_S / emitter->plan->rate;
	struct timespec due = {(time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S)};
	int waited = due_ns > clock_ns() ? 0 : ETIMEDOUT;
	if (waited == ETIMEDOUT && seldom)
		return true; /* late: the lock is for others, look seldom */
	pthread_mutex_lock(&stopper->mutex);
	while (!stopper->stop && waited != ETIMEDOUT)
		waited = pthread_cond_clockwait(
			&stopper->changed, &stopper->mutex, CLOCK_MONOTONIC, &due);
	/* watch() wakes this now and then. */
	while (!stopper->stop && is_ahead(emitter) && !is_over(emitter))
		pthread_cond_wait(&stopper->changed, &stopper->mutex);
	emitter->stopped = stopper->stop;
	pthread_mutex_unlock(&stopper->mutex);
	return !emitter->stopped;
}

/* With --spread: between the spans of a trace. */
static bool pace_span(struct emitter *emitter)
{
	uint64_t spans = emitter->row->begun;
	if (!emitter->plan->spread || spans % ledger_tree_spans(emitter->ledger) == 0)
		return true; /* pace_trace is next */
	if (is_over(emitter))
		emitter->stopped = true;
	return !emitter->stopped && pace(emitter, spans, spans % 64 != 0);
}

static bool pace_trace(struct emitter *emitter, uint64_t traces)
{
	uint64_t spans = traces * ledger_tree_spans(emitter->ledger);
	return !emitter->stopped && pace(emitter, spans, traces % 64 != 0);
}

/* ---- Spans --------------------------------------------------------------- */

/* The tree's depth is bounded by the command line (at most 16 levels). */
static void emit_tree(struct emitter *emitter, uint32_t depth)
{
	struct waft_span span;
	uint64_t n = emitter->row->begun;
	bool times = emitter->plan->times;
	count(&emitter->row->begun, n + 1);
	uint64_t start_ns = times ? clock_ns() : 0, took_ns = 0;
	if (depth == 0)
		WAFT_BEGIN_ROOT(&span, "load.root");
	else
		WAFT_BEGIN(&span, "load.child");
	waft_attr_int(&span, "load.run", (int64_t)emitter->ledger->run);
	waft_attr_int(&span, "load.process", emitter->process);
	waft_attr_int(&span, "load.thread", emitter->thread);
	waft_attr_int(&span, "load.n", (int64_t)n);
	if (emitter->data)
		waft_input_json(&span, emitter->data, SIZE_MAX);
	if (times)
		took_ns = clock_ns() - start_ns;
	bool go_on = pace_span(emitter);
	if (depth + 1 < emitter->ledger->tree_depth) {
		for (uint32_t i = 0; i < emitter->ledger->tree_fanout && go_on; i++) {
			emit_tree(emitter, depth + 1);
			go_on = !emitter->stopped;
		}
	}
	start_ns = times ? clock_ns() : 0;
	if (emitter->data)
		waft_output_json(&span, emitter->data, SIZE_MAX);
	waft_end(&span);
	if (times)
		ledger_time(emitter->row, took_ns + clock_ns() - start_ns);
	count(&emitter->row->ended, emitter->row->ended + 1);
}

static void *emit_thread(void *arg)
{
	struct emitter *emitter = arg;
	emitter->start_ns = clock_ns();
	for (uint64_t traces = 0; emitter->plan->traces == 0 || traces < emitter->plan->traces;) {
		if (is_over(emitter))
			break;
		emit_tree(emitter, 0);
		if (!pace_trace(emitter, ++traces))
			break;
	}
	pthread_mutex_lock(&emitter->stopper->mutex);
	emitter->stopper->running--;
	pthread_mutex_unlock(&emitter->stopper->mutex);
	return NULL;
}

/* A JSON object of about `bytes` bytes. */
static char *data_new(uint32_t bytes)
{
	static const char head[] = "{\"items\":\"", tail[] = "\"}";
	size_t frame = sizeof(head) + sizeof(tail) - 2;
	size_t fill = bytes > frame ? bytes - frame : 0;
	char *text = malloc(frame + fill + 1);
	if (!text)
		return NULL;
	memcpy(text, head, sizeof(head) - 1);
	for (size_t i = 0; i < fill; i++)
		text[sizeof(head) - 1 + i] = (char)('a' + i * 7 % 26);
	memcpy(text + sizeof(head) - 1 + fill, tail, sizeof(tail));
	return text;
}

static unsigned int running(struct stopper *stopper)
{
	pthread_mutex_lock(&stopper->mutex);
	unsigned int count = stopper->running;
	pthread_mutex_unlock(&stopper->mutex);
	return count;
}

static void stop(struct stopper *stopper)
{
	pthread_mutex_lock(&stopper->mutex);
	stopper->stop = true;
	pthread_cond_broadcast(&stopper->changed);
	pthread_mutex_unlock(&stopper->mutex);
}

/* While threads run: copies the library's counts into the row, so that a killed
 * process leaves its last ones, and looks for the word to stop. */
static void watch(struct ledger_process *row, const struct emit_plan *plan, struct stopper *stopper)
{
	struct pollfd stop_fd = {.fd = plan->stop_fd, .events = POLLIN};
	while (running(stopper) > 0) {
		if (poll(&stop_fd, 1, 10) > 0 && stop_fd.revents) {
			stop(stopper);
			stop_fd.fd = -1;
		}
		waft_stats(&row->stats);
		if (plan->in_flight > 0)
			pthread_cond_broadcast(&stopper->changed);
	}
}

int emit_process(struct ledger *ledger, uint32_t process, const struct emit_plan *plan)
{
	struct ledger_process *row = &ledger->rows[process];
	struct waft_options options = {.size = sizeof(options), .endpoint = plan->endpoint};
	options.service = "waft-load";
	int error = waft_init(&options);
	if (error)
		return error;
	static struct emitter emitters[LEDGER_THREADS_MAX];
	pthread_t ids[LEDGER_THREADS_MAX];
	struct stopper stopper = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};
	char *data = plan->data_bytes ? data_new(plan->data_bytes) : NULL;
	uint64_t deadline_ns =
		plan->duration_ms ? clock_ns() + (uint64_t)plan->duration_ms * 1000000 : 0;
	uint32_t started = 0;
	stopper.running = ledger->threads;
	for (; started < ledger->threads; started++) {
		emitters[started] = (struct emitter){ledger, plan, &row->threads[started], process,
			started, deadline_ns, data, &stopper, 0, false};
		error = pthread_create(&ids[started], NULL, emit_thread, &emitters[started]);
		if (error)
			break;
	}
	if (error) {
		pthread_mutex_lock(&stopper.mutex);
		stopper.running -= ledger->threads - started;
		pthread_mutex_unlock(&stopper.mutex);
		stop(&stopper);
	}
	watch(row, plan, &stopper);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	free(data);
	int result = waft_shutdown(plan->shutdown_ms, &row->stats);
	row->end = LEDGER_SHUTDOWN;
	return error ? -error : result;
}
