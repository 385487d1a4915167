/*
 * Group commit on a thread of its own.
 *
 * The happy path: committer_kick sets `wanted` and wakes the thread; it calls
 * log_commit, puts the places into `done` and wakes the loop, which calls
 * on_durable and on_round (on_async). If something was appended meanwhile, the
 * next commit begins at once.
 *
 * Failures: log_commit fails; the thread says so to the loop and waits, longer
 * each time, or until the close. A failure to allocate `done` leaves the places
 * with the log: the thread waits for memory and copies them before it commits
 * again.
 */
#include "committer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_FIRST_NS (10 * CLOCK_NS_PER_MS)
#define PAUSE_LAST_NS (200 * CLOCK_NS_PER_MS)

/* Of the thread, under the lock. */
enum committer_state {
	COMMITTER_WAITS,   /* for `wanted` */
	COMMITTER_COMMITS, /* inside log_commit, or pausing after a failure */
	COMMITTER_ENDED,   /* the thread has nothing more to do */
};

struct durable {
	struct durable *next;
	uint64_t first_ticket;
	size_t count;
	struct log_place places[];
};

struct committer {
	struct committer_config config;
	uv_thread_t thread;
	uv_async_t async;
	uv_mutex_t lock;
	uv_cond_t wake;
	enum committer_state state;
	bool wanted;
	bool closing;
	int error;
	struct durable *done; /* in order */
	struct durable **done_end;
	bool undelivered; /* the loop has to look */
	struct committer_counts counts;
	void (*on_closed)(void *context);
};

/* Under the lock: what log_commit gave goes to the loop. 0 or -ENOMEM. */
static int remember(struct committer *committer, const struct log_committed *committed)
{
	struct durable *durable =
		malloc(sizeof(*durable) + committed->count * sizeof(durable->places[0]));

	if (durable == NULL)
		return -ENOMEM;
	durable->next = NULL;
	durable->first_ticket = committed->first_ticket;
	durable->count = committed->count;
	memcpy(durable->places, committed->places, committed->count * sizeof(durable->places[0]));
	*committer->done_end = durable;
	committer->done_end = &durable->next;
	committer->counts.commits++;
	committer->counts.records += committed->count;
	return 0;
}

static void tell_loop(struct committer *committer, int error)
{
	committer->error = error;
	committer->undelivered = true;
	uv_async_send(&committer->async);
}

/* Under the lock: waits before the next try. */
static void pause_thread(struct committer *committer, uint64_t *pause_ns)
{
	if (!committer->closing)
		(void)uv_cond_timedwait(&committer->wake, &committer->lock, *pause_ns);
	*pause_ns = *pause_ns * 2 > PAUSE_LAST_NS ? PAUSE_LAST_NS : *pause_ns * 2;
}

/* Under the lock, which it gives up for the commit itself. */
static void commit_once(struct committer *committer, uint64_t *pause_ns)
{
	struct log_committed committed = {0};
	uint64_t begin_ns;
	int status;

	committer->wanted = false;
	committer->state = COMMITTER_COMMITS;
	uv_mutex_unlock(&committer->lock);
	begin_ns = clock_monotonic_ns(committer->config.clock);
	status = log_commit(committer->config.log, &committed);
	uv_mutex_lock(&committer->lock);
	committer->counts.last_ns = clock_monotonic_ns(committer->config.clock) - begin_ns;
	if (committer->counts.last_ns > committer->counts.longest_ns)
		committer->counts.longest_ns = committer->counts.last_ns;
	if (status < 0) {
		committer->counts.failures++;
		committer->wanted = true;
		tell_loop(committer, status);
		pause_thread(committer, pause_ns);
		return;
	}
	while (committed.count > 0 && remember(committer, &committed) < 0 && !committer->closing)
		pause_thread(committer, pause_ns);
	*pause_ns = PAUSE_FIRST_NS;
	/* After a failure the log commits what it kept first, alone; who appended
	 * meanwhile has been here already. */
	committer->wanted |= log_pending_bytes(committer->config.log) > 0;
	tell_loop(committer, 0);
}

static void run_thread(void *context)
{
	struct committer *committer = context;
	uint64_t pause_ns = PAUSE_FIRST_NS;

	uv_mutex_lock(&committer->lock);
	while (!committer->closing) {
		if (committer->wanted) {
			commit_once(committer, &pause_ns);
			continue;
		}
		committer->state = COMMITTER_WAITS;
		uv_cond_wait(&committer->wake, &committer->lock);
	}
	committer->state = COMMITTER_ENDED;
	uv_mutex_unlock(&committer->lock);
}

static void on_async(uv_async_t *async)
{
	struct committer *committer = async->data;
	struct durable *done;
	int error;

	uv_mutex_lock(&committer->lock);
	done = committer->done;
	committer->done = NULL;
	committer->done_end = &committer->done;
	error = committer->error;
	committer->undelivered = false;
	uv_mutex_unlock(&committer->lock);
	while (done != NULL) {
		struct durable *next = done->next;

		committer->config.on_durable(
			committer->config.context, done->first_ticket, done->places, done->count);
		free(done);
		done = next;
	}
	committer->config.on_round(committer->config.context, error);
}

/* A handle that isn't closed keeps its loop from ending. */
static void on_never_started(uv_handle_t *handle)
{
	struct committer *committer = handle->data;

	uv_cond_destroy(&committer->wake);
	uv_mutex_destroy(&committer->lock);
	free(committer);
}

int committer_start(const struct committer_config *config, struct committer **ret)
{
	struct committer *committer = calloc(1, sizeof(*committer));
	int status;

	if (committer == NULL)
		return -ENOMEM;
	committer->config = *config;
	committer->done_end = &committer->done;
	committer->async.data = committer;
	status = uv_mutex_init(&committer->lock);
	if (status < 0)
		goto free_committer;
	status = uv_cond_init(&committer->wake);
	if (status < 0)
		goto destroy_lock;
	status = uv_async_init(config->loop, &committer->async, on_async);
	if (status < 0)
		goto destroy_wake;
	status = uv_thread_create(&committer->thread, run_thread, committer);
	if (status < 0) {
		uv_close((uv_handle_t *)&committer->async, on_never_started);
		return status;
	}
	*ret = committer;
	return 0;

destroy_wake:
	uv_cond_destroy(&committer->wake);
destroy_lock:
	uv_mutex_destroy(&committer->lock);
free_committer:
	free(committer);
	return status;
}

void committer_kick(struct committer *committer)
{
	uv_mutex_lock(&committer->lock);
	if (!committer->wanted) {
		committer->wanted = true;
		/* A pause after a failure is not cut short by new records. */
		if (committer->state == COMMITTER_WAITS)
			uv_cond_signal(&committer->wake);
	}
	uv_mutex_unlock(&committer->lock);
}

bool committer_busy(struct committer *committer)
{
	bool busy;

	uv_mutex_lock(&committer->lock);
	busy = committer->wanted || committer->state == COMMITTER_COMMITS || committer->undelivered;
	uv_mutex_unlock(&committer->lock);
	return busy;
}

void committer_count(struct committer *committer, struct committer_counts *ret)
{
	uv_mutex_lock(&committer->lock);
	*ret = committer->counts;
	committer->counts.longest_ns = 0;
	uv_mutex_unlock(&committer->lock);
}

static void on_async_closed(uv_handle_t *handle)
{
	struct committer *committer = handle->data;
	void (*on_closed)(void *context) = committer->on_closed;
	void *context = committer->config.context;

	uv_cond_destroy(&committer->wake);
	uv_mutex_destroy(&committer->lock);
	free(committer);
	on_closed(context);
}

void committer_close(struct committer *committer, void (*on_closed)(void *context))
{
	uv_mutex_lock(&committer->lock);
	committer->closing = true;
	uv_cond_signal(&committer->wake);
	uv_mutex_unlock(&committer->lock);
	uv_thread_join(&committer->thread);
	on_async(&committer->async);
	committer->on_closed = on_closed;
	uv_close((uv_handle_t *)&committer->async, on_async_closed);
}
