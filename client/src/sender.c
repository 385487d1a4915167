/*
 * See sender.h. One turn of the loop, in order: take up what others asked for,
 * look at the clocks, move the connection (or the file) on (delivery.h), sleep.
 */
#include "sender.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chunk.h"
#include "clock.h"
#include "delivery.h"
#include "process.h"
#include "thread.h"
#include "timeline.h"
#include "wake.h"

enum {
	STACK_BYTES = 256 * 1024,
	CLOCK_MS = 1000,
	IDLE_MS = 1000,
	SEARCH_MS = 300,
	WAIT_MOST_MS = 60000,
	WAKE_MS = 1,
	REFUSED_MS = 20,
};

#define NS_PER_MS UINT64_C(1000000)
#define NEVER DELIVERY_NEVER

static struct {
	/* Shared; by `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool started;
	bool finished;
	uint64_t flush_asked;
	uint64_t flush_done;
	uint64_t stop_at_ns; /* atomic; 0: not asked */
	bool patient;	     /* set before stop_at_ns */

	/* The thread's own. */
	struct delivery delivery;  /* its ledger's counters are read by all */
	struct timeline clocks[2]; /* by source */
	struct clock_watch watch;
	bool membarrier;
	uint64_t began_at_ns;
	uint64_t busy_at_ns; /* when there was last something to do */
	uint64_t deep_ms;    /* how long the next deep sleep may be */
	uint64_t clock_at_ns;
	uint64_t wake_at_ns;	 /* when to look again whether we can be woken */
	uint64_t flush_active;	 /* the ticket being worked on; 0: none */
	uint64_t flush_sequence; /* all of it is cut: done when this is answered */
	uint32_t flush_renewals; /* under this uuid of the process's */
	bool flush_cut;
} sender = {.lock = PTHREAD_MUTEX_INITIALIZER,
	.delivery = DELIVERY_INIT,
	.watch = {.file = {.fd = -1}}};

/* ---- The clocks ------------------------------------------------------------------ */

static void bells_ring(uint32_t bell)
{
	pthread_mutex_lock(&process.lock);
	for (struct thread *thread = process.threads; thread != NULL; thread = thread->next)
		__atomic_fetch_or(&thread->hot->bell, bell, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&process.lock);
}

static void rate_publish(void)
{
	double rate = timeline_rate(&sender.clocks[WIRE_CLOCK_TSC]);
	uint64_t bits;

	memcpy(&bits, &rate, sizeof(bits));
	__atomic_store_n(&process.ns_per_tick, bits, __ATOMIC_RELEASE);
}

/* Once a second while there is something to do. */
static void clocks_look(uint64_t now)
{
	uint32_t source;
	struct clock_span span;

	if (now < sender.clock_at_ns)
		return;
	sender.clock_at_ns = now + CLOCK_MS * NS_PER_MS;
	timeline_add(&sender.clocks[WIRE_CLOCK_MONOTONIC]);
#if defined(__x86_64__)
	timeline_add(&sender.clocks[WIRE_CLOCK_TSC]);
	rate_publish();
#endif
	source = clock_watch_source(&sender.watch);
	timeline_span(&sender.clocks[source], UINT64_MAX, &span);
	region_set_clock(&process.region, &span);
	/* Of spans begun before the source changed. */
	timeline_span(&sender.clocks[WIRE_CLOCK_MONOTONIC], UINT64_MAX, &span);
	region_set_clock(&process.region, &span);
	if (source != __atomic_load_n(&process.source, __ATOMIC_RELAXED)) {
		__atomic_store_n(&process.source, source, __ATOMIC_RELEASE);
		bells_ring(WAFT_BELL_CLOCK_);
	}
}

/* ---- What others wait for ------------------------------------------------------------------ */

/* Whether everything that was published when the flush began is in a batch. */
static bool flush_all_cut(void)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
		if (chunk->cut < chunk->flush_to)
			return false;
	return !ledger_drops_waiting(&sender.delivery.ledger);
}

static void flush_begin(void)
{
	struct chunk *chunk = __atomic_load_n(&process.chunks, __ATOMIC_ACQUIRE);

	for (; chunk != NULL; chunk = __atomic_load_n(&chunk->next, __ATOMIC_ACQUIRE))
		chunk->flush_to = __atomic_load_n(
			&chunk_head(&process.region, chunk)->published, __ATOMIC_ACQUIRE);
	sender.flush_cut = false;
}

/* Before the turn. */
static void asked_take(void)
{
	bool stopping = __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE) != 0;
	uint64_t asked;

	pthread_mutex_lock(&sender.lock);
	asked = sender.flush_asked;
	pthread_mutex_unlock(&sender.lock);
	if (sender.flush_active == 0 && asked > sender.flush_done) {
		sender.flush_active = asked;
		flush_begin();
		delivery_hurry(&sender.delivery);
	}
	if (stopping && !sender.delivery.leaving) {
		sender.delivery.leaving = true;
		delivery_hurry(&sender.delivery);
	}
	sender.delivery.urgent = stopping || sender.flush_active != 0;
}

/* After the turn. */
static void flush_look(void)
{
	const struct ledger *ledger = &sender.delivery.ledger;

	if (sender.flush_active == 0)
		return;
	if (!sender.flush_cut && flush_all_cut()) {
		sender.flush_cut = true;
		sender.flush_sequence = ledger->next_sequence - 1;
		sender.flush_renewals = sender.delivery.renewals;
	}
	if (!sender.flush_cut)
		return;
	/* What was sent under a uuid that is gone will not be answered any more. */
	if (sender.flush_renewals == sender.delivery.renewals &&
		ledger->answered < sender.flush_sequence)
		return;
	pthread_mutex_lock(&sender.lock);
	sender.flush_done = sender.flush_active;
	pthread_mutex_unlock(&sender.lock);
	/* Who wakes takes the lock. */
	pthread_cond_broadcast(&sender.changed);
	sender.flush_active = 0;
}

/* Whether no collector will come any more. One that begins beside its programs
 * needs a moment; but where none is named, and none was in this process's life,
 * its end isn't held up for one. */
static bool hopeless(uint64_t now)
{
	if (process.config.endpoint == ENDPOINT_NONE)
		return true;
	return process.config.endpoint == ENDPOINT_SEARCH && !sender.patient &&
	       sender.delivery.socket.fd < 0 && !sender.delivery.welcomed &&
	       now >= sender.began_at_ns + SEARCH_MS * NS_PER_MS;
}

/* Whether the thread's work is over: said goodbye, or no use in going on. */
static bool stop_look(uint64_t now)
{
	return sender.delivery.leaving &&
	       (now >= __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE) ||
		       delivery_left(&sender.delivery) || hopeless(now));
}

/* ---- The loop ------------------------------------------------------------------------------- */

/* Nothing to do until a span is published: makes sure that it is noticed. */
static bool deep_begin(void)
{
	if (!sender.membarrier)
		return false;
	pthread_mutex_lock(&process.lock);
	__atomic_store_n(&process.idle, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&process.lock);
	bells_ring(WAFT_BELL_WAKE_);
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	/* Nothing but being woken ends it: not by what was looked at a while ago. */
	return wake_open() && !delivery_waits(&sender.delivery);
}

/* Until when the loop may sleep. */
static uint64_t wait_until(uint64_t now)
{
	uint64_t age = process.config.batch_age_ms * NS_PER_MS;
	uint64_t until = delivery_until(&sender.delivery, now);
	uint64_t stop_at = __atomic_load_n(&sender.stop_at_ns, __ATOMIC_ACQUIRE);

	if (!delivery_answered(&sender.delivery) || sender.flush_active != 0)
		sender.busy_at_ns = now;
	if (stop_at != 0 && stop_at < until)
		until = stop_at;
	if (sender.delivery.socket.fd < 0 && until != NEVER && wake_works())
		return until;
	/* Who cannot be woken looks for himself. */
	if (now - sender.busy_at_ns < IDLE_MS * NS_PER_MS || !sender.membarrier || !wake_works())
		return until < now + age ? until : now + age;
	return until;
}

/* The host may have closed what we are woken by; asking costs two system calls. */
static void wake_look(uint64_t now)
{
	if (now < sender.wake_at_ns && wake_works())
		return;
	sender.wake_at_ns = now + WAKE_MS * NS_PER_MS;
	(void)wake_open();
}

static uint64_t at_most(uint64_t ns, uint64_t ms)
{
	return ns < ms * NS_PER_MS ? ns : ms * NS_PER_MS;
}

/* By the pair and the connection; false: nothing ended it before its time. */
static bool sleep_polling(uint64_t left)
{
	struct pollfd files[2] = {{.fd = wake_fd(), .events = POLLIN}};
	struct timespec timeout;
	int ready;

	timeout.tv_sec = (time_t)(left / (1000 * NS_PER_MS));
	timeout.tv_nsec = (long)(left % (1000 * NS_PER_MS));
	files[1].fd = delivery_poll(&sender.delivery, &files[1].events);
	ready = ppoll(files, 2, &timeout, NULL);
	if (ready > 0 && files[0].revents != 0)
		wake_drain();
	/* RLIMIT_NOFILE has been set below 2 for now. */
	if (ready < 0 && errno != EINTR)
		wake_rest(at_most(left, REFUSED_MS));
	return ready != 0;
}

static void sleep_until(uint64_t until, uint64_t now)
{
	uint64_t left = at_most(until > now ? until - now : 0, WAIT_MOST_MS);

	if (wake_fd() < 0 && sender.delivery.socket.fd < 0)
		wake_rest(left);
	else
		(void)sleep_polling(left);
}

/* Until woken. A pair and a connection are asked for again after the time for which they were
 * good, a minute at most: between being asked for and being polled, their numbers may have
 * become the host's, and then nobody can wake us. */
static void sleep_deeply(void)
{
	if (wake_fd() < 0) {
		wake_rest(UINT64_MAX);
	} else if (!sleep_polling(sender.deep_ms * NS_PER_MS)) {
		sender.deep_ms =
			sender.deep_ms < WAIT_MOST_MS / 2 ? 2 * sender.deep_ms : WAIT_MOST_MS;
		return;
	}
	sender.deep_ms = IDLE_MS;
	sender.busy_at_ns = clock_monotonic_ns();
}

static void turn_sleep(uint64_t now)
{
	uint64_t until = wait_until(now);

	if (until != NEVER) {
		sleep_until(until, now);
		return;
	}
	if (deep_begin())
		sleep_deeply();
	__atomic_store_n(&process.idle, 0, __ATOMIC_RELEASE);
	/* The pair from before the sleep is too old to date what woke us. */
	sender.clock_at_ns = 0;
}

static void give_up(void)
{
	/* A file has no one to salvage it. */
	delivery_close(&sender.delivery, sender.patient || !config_is_local(&process.config));
	clock_watch_done(&sender.watch);
	wake_close();
	pthread_mutex_lock(&sender.lock);
	sender.finished = true;
	sender.flush_done = sender.flush_asked;
	pthread_cond_broadcast(&sender.changed);
	pthread_mutex_unlock(&sender.lock);
}

static void *sender_main(void *arg)
{
	uint64_t now;

	(void)arg;
	pthread_setname_np(pthread_self(), "waft-sender");
	sender.membarrier =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
	sender.deep_ms = IDLE_MS;
	sender.began_at_ns = sender.busy_at_ns = sender.delivery.cut_at_ns = clock_monotonic_ns();
	for (;;) {
		now = clock_monotonic_ns();
		wake_look(now);
		asked_take();
		clocks_look(now);
		delivery_turn(&sender.delivery, now);
		flush_look();
		if (stop_look(now))
			break;
		turn_sleep(now);
	}
	give_up();
	return NULL;
}

/* ---- From other threads ---------------------------------------------------- */

void sender_prepare(void)
{
	uint32_t source;
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sender.changed, &attributes);
	pthread_condattr_destroy(&attributes);
	source = clock_watch_source(&sender.watch);
	__atomic_store_n(&process.source, source, __ATOMIC_RELEASE);
	timeline_init(&sender.clocks[WIRE_CLOCK_MONOTONIC], WIRE_CLOCK_MONOTONIC);
#if defined(__x86_64__)
	timeline_init(&sender.clocks[WIRE_CLOCK_TSC], WIRE_CLOCK_TSC);
#endif
	delivery_prepare(&sender.delivery, sender.clocks);
}

bool sender_was_started(void)
{
	return sender.started && !sender.finished;
}

void sender_fork_child(void)
{
	sender.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	sender.started = sender.finished = false;
	sender.flush_asked = sender.flush_done = sender.flush_active = 0;
	sender.stop_at_ns = 0;
	process.idle = 0;
	wake_fork_child();
	clock_watch_done(&sender.watch);
	delivery_fork_child(&sender.delivery);
	sender.clock_at_ns = sender.wake_at_ns = 0;
}

static int thread_create(void)
{
	pthread_attr_t attributes;
	sigset_t all;
	sigset_t before;
	int ret;

	if (delivery_reserve(&sender.delivery) < 0)
		return ENOMEM;
	wake_prepare(process.config.endpoint != ENDPOINT_FILE);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&sender.thread, &attributes, sender_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return ret;
}

void sender_start(void)
{
	pthread_mutex_lock(&sender.lock);
	if (!sender.started && __atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_RUNNING) {
		if (thread_create() == 0)
			sender.started = true;
		else
			process_complain("sender", "cannot make the sending thread: spans wait");
	}
	pthread_mutex_unlock(&sender.lock);
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
	uint64_t at = clock_monotonic_ns() + timeout_ms * NS_PER_MS;

	return (struct timespec){.tv_sec = (time_t)(at / (1000 * NS_PER_MS)),
		.tv_nsec = (long)(at % (1000 * NS_PER_MS))};
}

int sender_flush(uint32_t timeout_ms)
{
	struct timespec deadline = deadline_after(timeout_ms);
	uint64_t ticket;
	int ret = 0;

	sender_start();
	pthread_mutex_lock(&sender.lock);
	ticket = ++sender.flush_asked;
	if (!sender.started || sender.finished) {
		pthread_mutex_unlock(&sender.lock);
		return sender.finished ? 0 : -ETIMEDOUT;
	}
	pthread_mutex_unlock(&sender.lock);
	wake_ring();
	pthread_mutex_lock(&sender.lock);
	while (sender.flush_done < ticket && !sender.finished && ret == 0)
		ret = pthread_cond_timedwait(&sender.changed, &sender.lock, &deadline);
	ret = sender.flush_done >= ticket ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&sender.lock);
	return ret;
}

void sender_stop(uint32_t timeout_ms, bool patient)
{
	struct timespec deadline = deadline_after(timeout_ms);
	bool finished;
	int ret = 0;

	pthread_mutex_lock(&sender.lock);
	if (!sender.started) {
		pthread_mutex_unlock(&sender.lock);
		return;
	}
	sender.patient = patient;
	__atomic_store_n(&sender.stop_at_ns,
		(uint64_t)deadline.tv_sec * 1000 * NS_PER_MS + (uint64_t)deadline.tv_nsec,
		__ATOMIC_RELEASE);
	pthread_mutex_unlock(&sender.lock);
	wake_ring();
	/* A disk that hangs can hold the thread longer: it is not waited for. */
	deadline.tv_sec += 1;
	pthread_mutex_lock(&sender.lock);
	while (!sender.finished && ret == 0)
		ret = pthread_cond_timedwait(&sender.changed, &sender.lock, &deadline);
	finished = sender.finished;
	pthread_mutex_unlock(&sender.lock);
	if (finished)
		pthread_join(sender.thread, NULL);
}

void sender_stats(struct waft_stats *ret_stats)
{
	uint32_t state = __atomic_load_n(&process.state, __ATOMIC_ACQUIRE);
	bool finished;

	pthread_mutex_lock(&sender.lock);
	finished = sender.finished || !sender.started;
	pthread_mutex_unlock(&sender.lock);
	ledger_stats(&sender.delivery.ledger, state == STATE_STOPPED && finished, ret_stats);
	if (state == STATE_STOPPED && !finished) {
		ret_stats->unknown += ret_stats->in_flight;
		ret_stats->in_flight = 0;
	}
}
