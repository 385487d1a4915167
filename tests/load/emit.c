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
#include <stdatomic.h>
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
	atomic_bool *stop;
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

/* The tree's depth is bounded by the command line (at most 16 levels). */
static void emit_tree(struct emitter *emitter, uint32_t depth)
{
	struct waft_span span;
	uint64_t n = emitter->row->begun;
	count(&emitter->row->begun, n + 1);
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
	if (depth + 1 < emitter->ledger->tree_depth) {
		for (uint32_t i = 0; i < emitter->ledger->tree_fanout; i++)
			emit_tree(emitter, depth + 1);
	}
	if (emitter->data)
		waft_output_json(&span, emitter->data, SIZE_MAX);
	waft_end(&span);
	count(&emitter->row->ended, emitter->row->ended + 1);
}

/* Keeps the rate: waits until `traces` of the load are due. */
static void pace(const struct emitter *emitter, uint64_t start_ns, uint64_t traces)
{
	if (emitter->plan->rate == 0)
		return;
	uint64_t spans = traces * ledger_tree_spans(emitter->ledger);
	uint64_t due_ns = start_ns + spans * NS_PER_S / emitter->plan->rate;
	struct timespec due = {(time_t)(due_ns / NS_PER_S), (long)(due_ns % NS_PER_S)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

static void *emit_thread(void *arg)
{
	struct emitter *emitter = arg;
	uint64_t start_ns = clock_ns();
	for (uint64_t traces = 0; emitter->plan->traces == 0 || traces < emitter->plan->traces;
		traces++) {
		if (atomic_load_explicit(emitter->stop, memory_order_relaxed))
			break;
		if (emitter->deadline_ns && clock_ns() >= emitter->deadline_ns)
			break;
		emit_tree(emitter, 0);
		pace(emitter, start_ns, traces + 1);
	}
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

/* Until the threads are told to stop: copies the library's counts into the row,
 * so that a killed process leaves its last ones. */
static void watch(struct ledger_process *row, const struct emit_plan *plan, atomic_bool *stop,
	atomic_uint *running)
{
	struct pollfd stop_fd = {.fd = plan->stop_fd, .events = POLLIN};
	while (atomic_load(running) > 0) {
		if (poll(&stop_fd, 1, 10) > 0 && stop_fd.revents) {
			atomic_store(stop, true);
			stop_fd.fd = -1;
		}
		waft_stats(&row->stats);
	}
}

struct run {
	struct emitter emitter;
	atomic_uint *running;
	pthread_t id;
};

static void *run_thread(void *arg)
{
	struct run *run = arg;
	emit_thread(&run->emitter);
	atomic_fetch_sub(run->running, 1);
	return NULL;
}

int emit_process(struct ledger *ledger, uint32_t process, const struct emit_plan *plan)
{
	struct ledger_process *row = &ledger->rows[process];
	struct waft_options options = {.size = sizeof(options), .endpoint = plan->endpoint};
	options.service = "waft-load";
	int error = waft_init(&options);
	if (error)
		return error;
	static struct run runs[LEDGER_THREADS_MAX];
	atomic_bool stop = false;
	atomic_uint running = 0;
	char *data = plan->data_bytes ? data_new(plan->data_bytes) : NULL;
	uint64_t deadline_ns =
		plan->duration_ms ? clock_ns() + (uint64_t)plan->duration_ms * 1000000 : 0;
	uint32_t started = 0;
	for (; started < ledger->threads; started++) {
		struct run *run = &runs[started];
		run->emitter = (struct emitter){ledger, plan, &row->threads[started], process,
			started, deadline_ns, data, &stop};
		run->running = &running;
		atomic_fetch_add(&running, 1);
		error = pthread_create(&run->id, NULL, run_thread, run);
		if (error) {
			atomic_fetch_sub(&running, 1);
			atomic_store(&stop, true);
			break;
		}
	}
	watch(row, plan, &stop, &running);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(runs[i].id, NULL);
	free(data);
	int result = waft_shutdown(plan->shutdown_ms, &row->stats);
	row->end = LEDGER_SHUTDOWN;
	return error ? -error : result;
}
