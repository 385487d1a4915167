/*
 * The tracer's beginning and end, and what it says of itself (waft.h). Any
 * thread.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <waft/waft.h>

#include "chunk.h"
#include "errors.h"
#include "ledger.h"
#include "process.h"
#include "sender.h"
#include "span.h"
#include "thread.h"

static const char *const reason_names[WAFT_DROP_REASONS] = {
	[WAFT_DROP_BUFFER_FULL] = "buffer_full",
	[WAFT_DROP_TOO_LARGE] = "too_large",
	[WAFT_DROP_OPEN_LIMIT] = "open_limit",
	[WAFT_DROP_REFUSED] = "refused",
	[WAFT_DROP_SHUTDOWN] = "shutdown",
	[WAFT_DROP_FORKED] = "forked",
	[WAFT_DROP_INTERNAL] = "internal",
};

const char *waft_drop_reason_name(enum waft_drop_reason reason)
{
	return (unsigned int)reason < WAFT_DROP_REASONS ? reason_names[reason] : "unknown";
}

const char *waft_strerror(int code)
{
	return error_text(code);
}

const char *waft_version(void)
{
	return WAFT_VERSION;
}

int waft_init(const struct waft_options *options)
{
	return process_start(options);
}

int waft_flush(uint32_t timeout_ms)
{
	int saved = errno;
	int ret = 0;

	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_NONE && process_enter() &&
		ledger_emitted() > 0)
		ret = sender_flush(timeout_ms);
	if (ret == 0 && __atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_STOPPED) {
		struct waft_stats stats = {0};

		sender_stats(&stats);
		if (stats.unknown > 0 || stats.dropped[WAFT_DROP_SHUTDOWN] > 0)
			ret = -ECANCELED;
	}
	errno = saved;
	return ret;
}

static void bells_stop(void)
{
	pthread_mutex_lock(&process.lock);
	for (struct thread *thread = process.threads; thread != NULL; thread = thread->next)
		__atomic_fetch_or(&thread->hot->bell, WAFT_BELL_STOP_, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&process.lock);
}

/* One caller stops the tracer; others wait for him. */
static void stop(uint32_t timeout_ms, bool patient)
{
	uint32_t running = STATE_RUNNING;

	if (!__atomic_compare_exchange_n(&process.state, &running, STATE_STOPPING, false,
		    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) == STATE_STOPPING)
			sched_yield();
		return;
	}
	bells_stop();
	span_write_all_pending();
	chunk_close_shared();
	sender_stop(timeout_ms, patient);
	__atomic_store_n(&process.state, STATE_STOPPED, __ATOMIC_RELEASE);
}

int waft_shutdown(uint32_t timeout_ms, struct waft_stats *ret_stats)
{
	struct waft_stats stats = {0};
	int saved = errno;

	(void)process_enter();
	if (__atomic_load_n(&process.state, __ATOMIC_ACQUIRE) != STATE_DISABLED) {
		stop(timeout_ms, true);
		sender_stats(&stats);
	}
	if (ret_stats != NULL)
		*ret_stats = stats;
	errno = saved;
	if (stats.durable == stats.emitted)
		return 0;
	return stats.unknown > 0 || stats.dropped[WAFT_DROP_SHUTDOWN] > 0 ? -ETIMEDOUT : -ENODATA;
}

void waft_stats(struct waft_stats *ret_stats)
{
	uint32_t state = __atomic_load_n(&process.state, __ATOMIC_ACQUIRE);

	if (ret_stats == NULL)
		return;
	*ret_stats = (struct waft_stats){0};
	if (state == STATE_NONE || state == STATE_DISABLED)
		return;
	(void)process_enter();
	sender_stats(ret_stats);
}

/* At exit, behind all handlers of the host. A child that has not traced has
 * nothing to send, and nothing to wait for. */
__attribute__((destructor)) static void exit_stop(void)
{
	if (process_is_running())
		stop(process.config.exit_timeout_ms, false);
}
