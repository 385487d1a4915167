/*
 * pool.c: see pool.h.
 *
 * A slot is EMPTY (no process), IDLE or BUSY. pool_call takes an IDLE slot, or
 * an EMPTY one and starts a process in it, makes it BUSY, and uses its socket
 * without the lock. After an answer it becomes IDLE, after a failure its process
 * is killed and it becomes EMPTY. A process that dies while IDLE is noticed by
 * pool_reap or by the next call. One that died before it ever answered is not
 * started again by pool_reap, so that a worker that cannot start costs a process
 * a request and not a busy loop.
 *
 * An IDLE process that was stopped (SIGSTOP) is passed over while another is
 * there, and replaced when none is. One that hangs in any other way shows only by
 * its silence: the first attempt waits hand_on_ms, and the second, with another
 * process, the whole answer_ms, so that a request that takes long is answered too.
 */
#define WAFT_LAYER "api"

#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum slot_state { SLOT_EMPTY = 0, SLOT_IDLE, SLOT_BUSY };

struct slot {
	enum slot_state state;
	pid_t pid;
	int fd;
	bool proven;  /* the process has answered */
	bool stopped; /* by a signal, when last looked at while IDLE */
};

struct pool {
	struct pool_options options;
	pthread_mutex_t lock;
	pthread_cond_t freed; /* a slot stopped being BUSY; CLOCK_MONOTONIC */
	struct slot slots[];
};

/* HAND_ON_BYTES_A_MS: a large request is given longer before another worker gets it,
 * many times what it takes (1 MiB: 1.2 s alone on a processor, and 16 s are added). */
enum { ATTEMPTS = 2, HAND_ON_BYTES_A_MS = 64 };

/* ---- Processes ---- */

static int spawn(const struct pool_options *options, int child_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	int r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	/* The service blocks and ignores signals that the worker must see. */
	sigemptyset(&none);
	sigfillset(&defaults);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn_file_actions_adddup2(&actions, child_fd, POOL_WORKER_FD);
	/* posix_spawn does not change the arguments, though its type does not say so. */
	if (r == 0)
		r = posix_spawn(ret_pid, options->program, &actions, &attributes,
			(char *const *)options->argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Starts a process in an empty slot, which becomes IDLE. */
static int slot_start(struct pool *pool, struct slot *slot)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = 0;
	int r = spawn(&pool->options, pair[1], &pid);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	*slot = (struct slot){.state = SLOT_IDLE, .pid = pid, .fd = pair[0]};
	return 0;
}

static void describe_end(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(text, size, "exited with code %d", WEXITSTATUS(status));
}

/* Closes the slot's socket, waits up to patience_ms for its process to end, kills
 * it then, and empties the slot. ret_end: how it ended, in words. */
static void slot_end(struct slot *slot, int64_t patience_ms, char *ret_end, size_t size)
{
	int status = 0;
	close(slot->fd);
	int pidfd = pidfd_open(slot->pid, 0);
	struct pollfd polled = {.fd = pidfd, .events = POLLIN};
	if (pidfd < 0 || poll(&polled, 1, (int)patience_ms) <= 0)
		kill(slot->pid, SIGKILL);
	if (pidfd >= 0)
		close(pidfd);
	while (waitpid(slot->pid, &status, 0) < 0 && errno == EINTR)
		;
	describe_end(status, ret_end, size);
	*slot = (struct slot){0};
}

/* Sees whether the process of an IDLE slot was stopped, and empties the slot when
 * it has died. True when it had. */
static bool slot_collect(struct slot *slot)
{
	int status = 0;
	if (slot->state != SLOT_IDLE)
		return false;
	for (;;) {
		if (waitpid(slot->pid, &status, WNOHANG | WUNTRACED | WCONTINUED) != slot->pid)
			return false;
		if (!WIFSTOPPED(status) && !WIFCONTINUED(status))
			break;
		slot->stopped = WIFSTOPPED(status);
	}
	char end[64];
	describe_end(status, end, sizeof(end));
	log_warning("worker %d %s while idle", (int)slot->pid, end);
	close(slot->fd);
	*slot = (struct slot){0};
	return true;
}

/* ---- The pool ---- */

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

int pool_start(const struct pool_options *options, struct pool **ret_pool, struct fault *fault)
{
	struct pool *pool = calloc(1, sizeof(*pool) + options->workers * sizeof(pool->slots[0]));
	if (pool == NULL)
		return fault_memory(fault);
	pool->options = *options;
	pthread_mutex_init(&pool->lock, NULL);
	init_condition(&pool->freed);
	for (unsigned int i = 0; i < options->workers; i++) {
		int r = slot_start(pool, &pool->slots[i]);
		if (r == 0)
			continue;
		pool_close(pool, 0);
		return fault_set(fault, FAULT_INTERNAL, "cannot start worker %u of %u (%s): %s",
			i + 1, options->workers, options->program, strerror(-r));
	}
	*ret_pool = pool;
	return 0;
}

void pool_close(struct pool *pool, int64_t timeout_ms)
{
	if (pool == NULL)
		return;
	int64_t deadline_ms = monotonic_ms() + timeout_ms;
	/* All are told first, then each is waited for. */
	for (unsigned int i = 0; i < pool->options.workers; i++)
		if (pool->slots[i].state != SLOT_EMPTY)
			shutdown(pool->slots[i].fd, SHUT_RDWR);
	for (unsigned int i = 0; i < pool->options.workers; i++) {
		char end[64];
		int64_t left_ms = deadline_ms - monotonic_ms();
		if (pool->slots[i].state != SLOT_EMPTY)
			slot_end(&pool->slots[i], left_ms > 0 ? left_ms : 0, end, sizeof(end));
	}
	pthread_cond_destroy(&pool->freed);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void pool_reap(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	for (unsigned int i = 0; i < pool->options.workers; i++) {
		struct slot *slot = &pool->slots[i];
		bool proven = slot->proven;
		if (!slot_collect(slot) || !proven)
			continue;
		int r = slot_start(pool, slot);
		if (r < 0)
			log_warning("cannot replace a worker now: %s; the next request tries again",
				strerror(-r));
	}
	pthread_mutex_unlock(&pool->lock);
}

/* ---- Calls ---- */

/* Ends the stopped process of an IDLE slot, and empties the slot; the trace that
 * needs the place tells of it. */
static void end_stopped(struct slot *slot)
{
	WAFT_SPAN(span, "worker_pool.replace");
	waft_attr_int(&span, "process.pid", slot->pid);
	waft_errorf(&span, "worker %d is stopped, and is replaced", (int)slot->pid);
	log_warning("worker %d is stopped, and is replaced", (int)slot->pid);
	char end[64];
	slot_end(slot, 0, end, sizeof(end));
}

/* A slot that can be used at once, or NULL; with the lock held. *ret_error says
 * why an empty one could not be filled. */
static struct slot *find_slot(struct pool *pool, int *ret_error)
{
	struct slot *empty = NULL;
	struct slot *stopped = NULL;
	for (unsigned int i = 0; i < pool->options.workers; i++) {
		struct slot *slot = &pool->slots[i];
		slot_collect(slot);
		if (slot->state == SLOT_IDLE && !slot->stopped)
			return slot;
		if (slot->state == SLOT_IDLE)
			stopped = slot;
		if (slot->state == SLOT_EMPTY)
			empty = slot;
	}
	if (empty == NULL && stopped != NULL) {
		end_stopped(stopped);
		empty = stopped;
	}
	if (empty == NULL)
		return NULL;
	*ret_error = slot_start(pool, empty);
	return *ret_error == 0 ? empty : NULL;
}

static int take_slot(struct pool *pool, struct slot **ret_slot, struct fault *fault)
{
	int64_t deadline_ms = monotonic_ms() + pool->options.wait_ms;
	const struct timespec until = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = deadline_ms % 1000 * 1000000,
	};
	int error = 0;
	int waited = 0;
	struct slot *slot;
	pthread_mutex_lock(&pool->lock);
	while ((slot = find_slot(pool, &error)) == NULL && error == 0 && waited == 0)
		waited = pthread_cond_timedwait(&pool->freed, &pool->lock, &until);
	if (slot)
		slot->state = SLOT_BUSY;
	pthread_mutex_unlock(&pool->lock);
	*ret_slot = slot;
	if (slot)
		return 0;
	if (error < 0)
		return fault_set(fault, FAULT_UNAVAILABLE,
			"cannot start a worker process: %s; try again later", strerror(-error));
	return fault_set(fault, FAULT_UNAVAILABLE,
		"all %u workers were busy for %lld ms; try again later", pool->options.workers,
		(long long)pool->options.wait_ms);
}

static void release_slot(struct pool *pool, struct slot *slot)
{
	pthread_mutex_lock(&pool->lock);
	slot->state = SLOT_IDLE;
	slot->proven = true;
	pthread_cond_signal(&pool->freed);
	pthread_mutex_unlock(&pool->lock);
}

/* The span by which a trace tells that a worker was lost in it. */
static void lose_slot(
	struct pool *pool, struct slot *slot, int reason, int64_t waited_ms, struct fault *fault)
{
	WAFT_SPAN(span, "worker_pool.replace");
	waft_attr_int(&span, "process.pid", slot->pid);
	int pid = (int)slot->pid;
	char end[64];
	struct slot lost = *slot;
	/* A worker that closed its socket is about to tell how it ends. */
	slot_end(&lost, reason == -ETIMEDOUT ? 0 : 1000, end, sizeof(end));
	pthread_mutex_lock(&pool->lock);
	*slot = lost;
	pthread_cond_signal(&pool->freed);
	pthread_mutex_unlock(&pool->lock);
	int r;
	if (reason == -ETIMEDOUT)
		r = fault_set(fault, FAULT_UNAVAILABLE,
			"worker %d did not answer within %lld ms; try again later", pid,
			(long long)waited_ms);
	else if (reason == -ENODATA || reason == -ECONNRESET || reason == -EPIPE)
		r = fault_set(fault, FAULT_UNAVAILABLE,
			"worker %d %s during the request; try again later", pid, end);
	else
		r = fault_set(fault, FAULT_UNAVAILABLE,
			"worker %d could not be talked to: %s; try again later", pid,
			strerror(-reason));
	log_warning("%s", fault_text(fault));
	(void)fault_mark(&span, r, fault);
}

static int exchange(const struct slot *slot, const struct frame *request, struct frame *ret_answer,
	int64_t deadline_ms)
{
	int r = frame_send(slot->fd, request, deadline_ms);
	return r < 0 ? r : frame_receive(slot->fd, ret_answer, deadline_ms);
}

static int64_t attempt_ms(
	const struct pool_options *options, const struct frame *request, int attempt)
{
	int64_t wait_ms = options->hand_on_ms + (int64_t)(request->body_bytes / HAND_ON_BYTES_A_MS);
	return attempt == ATTEMPTS || wait_ms > options->answer_ms ? options->answer_ms : wait_ms;
}

int pool_call(struct pool *pool, const struct frame *request, struct frame *ret_answer,
	struct fault *fault)
{
	for (int attempt = 1;; attempt++) {
		int64_t wait_ms = attempt_ms(&pool->options, request, attempt);
		struct slot *slot = NULL;
		int r = take_slot(pool, &slot, fault);
		if (r < 0)
			return r;
		r = exchange(slot, request, ret_answer, monotonic_ms() + wait_ms);
		if (r == 0) {
			release_slot(pool, slot);
			fault_done(fault); /* of an attempt before */
			return 0;
		}
		lose_slot(pool, slot, r, wait_ms, fault);
		if (attempt == ATTEMPTS)
			return -EAGAIN;
	}
}
