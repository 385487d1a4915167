/*
 * A queue of jobs and threads that take from it. See decoders.h.
 *
 * One lock for the queue and what is done: a job is a batch of some hundred spans, so taking it
 * costs nothing beside doing it.
 */
#include "decoders.h"

#include <errno.h>
#include <stdlib.h>

#define AGAIN_MS 10

struct decoders {
	struct decoders_config config;
	uv_thread_t threads[DECODERS_MAX];
	uint32_t started;
	uv_async_t async;
	uv_timer_t timer;
	uv_mutex_t lock;
	uv_cond_t wake;
	struct decode_job *jobs; /* under the lock, like the next two */
	struct decode_job **jobs_end;
	bool stopping;
	unsigned int handles; /* that are open still */
	void (*on_closed)(void *context);
};

/* ---- The threads ----------------------------------------------------------- */

/* The next job; NULL: it is over. Waits. */
static struct decode_job *take_job(struct decoders *decoders)
{
	struct decode_job *job = NULL;

	uv_mutex_lock(&decoders->lock);
	while (decoders->jobs == NULL && !decoders->stopping)
		uv_cond_wait(&decoders->wake, &decoders->lock);
	if (!decoders->stopping) {
		job = decoders->jobs;
		decoders->jobs = job->next;
		if (decoders->jobs == NULL)
			decoders->jobs_end = &decoders->jobs;
	}
	uv_mutex_unlock(&decoders->lock);
	return job;
}

static void run_thread(void *context)
{
	struct decoders *decoders = context;
	struct batch batch = {0};
	struct span_refs refs = {0};
	struct decode_job *job;

	while ((job = take_job(decoders)) != NULL) {
		job->run(job, &batch, &refs);
		/* libuv sends nothing while the loop has still to come to an earlier call: under
		 * the lock it is told before on_async looks, or again after it. */
		uv_mutex_lock(&decoders->lock);
		/* From here on the job is the loop's, which may free it. */
		__atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
		(void)uv_async_send(&decoders->async);
		uv_mutex_unlock(&decoders->lock);
	}
	span_refs_done(&refs);
	batch_done(&batch);
}

/* ---- The loop --------------------------------------------------------------- */

static void on_async(uv_async_t *async)
{
	struct decoders *decoders = async->data;

	/* What was done before this is seen, what is done after it calls again. */
	uv_mutex_lock(&decoders->lock);
	uv_mutex_unlock(&decoders->lock);
	if (!decoders->stopping)
		decoders->config.on_done(decoders->config.context);
}

static void on_timer(uv_timer_t *timer)
{
	struct decoders *decoders = timer->data;

	decoders->config.on_done(decoders->config.context);
}

void decoders_put(struct decoders *decoders, struct decode_job *job)
{
	job->next = NULL;
	job->done = false;
	uv_mutex_lock(&decoders->lock);
	*decoders->jobs_end = job;
	decoders->jobs_end = &job->next;
	uv_cond_signal(&decoders->wake);
	uv_mutex_unlock(&decoders->lock);
}

bool decode_job_is_done(const struct decode_job *job)
{
	return __atomic_load_n(&job->done, __ATOMIC_ACQUIRE);
}

void decoders_again(struct decoders *decoders)
{
	if (!uv_is_active((uv_handle_t *)&decoders->timer))
		(void)uv_timer_start(&decoders->timer, on_timer, AGAIN_MS, 0);
}

/* ---- Life --------------------------------------------------------------------- */

static void join_threads(struct decoders *decoders)
{
	uv_mutex_lock(&decoders->lock);
	decoders->stopping = true;
	uv_cond_broadcast(&decoders->wake);
	uv_mutex_unlock(&decoders->lock);
	while (decoders->started > 0)
		uv_thread_join(&decoders->threads[--decoders->started]);
}

static void done(struct decoders *decoders)
{
	uv_cond_destroy(&decoders->wake);
	uv_mutex_destroy(&decoders->lock);
	free(decoders);
}

int decoders_start(const struct decoders_config *config, struct decoders **ret)
{
	struct decoders *decoders;
	int status;

	if (config->count == 0 || config->count > DECODERS_MAX)
		return -EINVAL;
	decoders = calloc(1, sizeof(*decoders));
	if (decoders == NULL)
		return -ENOMEM;
	decoders->config = *config;
	decoders->jobs_end = &decoders->jobs;
	decoders->async.data = decoders;
	decoders->timer.data = decoders;
	status = uv_mutex_init(&decoders->lock);
	if (status < 0)
		goto free_decoders;
	status = uv_cond_init(&decoders->wake);
	if (status < 0)
		goto destroy_lock;
	/* Without a job no thread touches a handle. */
	while (status == 0 && decoders->started < config->count) {
		status = uv_thread_create(
			&decoders->threads[decoders->started], run_thread, decoders);
		decoders->started += status == 0;
	}
	if (status == 0)
		status = uv_async_init(config->loop, &decoders->async, on_async);
	if (status < 0)
		goto join;
	(void)uv_timer_init(config->loop, &decoders->timer);
	*ret = decoders;
	return 0;

join:
	join_threads(decoders);
	uv_cond_destroy(&decoders->wake);
destroy_lock:
	uv_mutex_destroy(&decoders->lock);
free_decoders:
	free(decoders);
	return status;
}

void decoders_stop(struct decoders *decoders)
{
	join_threads(decoders);
	(void)uv_timer_stop(&decoders->timer);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct decoders *decoders = handle->data;

	if (--decoders->handles > 0)
		return;
	decoders->on_closed(decoders->config.context);
	done(decoders);
}

void decoders_close(struct decoders *decoders, void (*on_closed)(void *context))
{
	decoders_stop(decoders);
	decoders->on_closed = on_closed;
	decoders->handles = 2;
	uv_close((uv_handle_t *)&decoders->async, on_handle_closed);
	uv_close((uv_handle_t *)&decoders->timer, on_handle_closed);
}
