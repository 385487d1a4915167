/*
 * Frames and the pool of workers. This program is its own worker: started as
 * "worker MODE" it answers, dies or hangs as MODE says.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "frame.h"
#include "pool.h"
#include "worker.h"

/* ---- Frames ---- */

static struct frame frame_of(const char *header, const char *body)
{
	return (struct frame){
		.header = (char *)header,
		.header_bytes = strlen(header),
		.body = (char *)body,
		.body_bytes = strlen(body),
	};
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

/* Whatever pieces a frame arrives in, it is the same frame. */
static void test_frame_split_everywhere(void **state)
{
	(void)state;
	static const char wire[] = "\x03\0\0\0\x04\0\0\0abcdefg";
	enum { LENGTH = sizeof(wire) - 1 };
	for (size_t cut = 0; cut <= LENGTH; cut++) {
		int pair[2];
		struct frame frame = {0};
		make_pair(pair);
		assert_int_equal(write(pair[0], wire, cut), cut);
		/* Cut short, and nothing more comes in time. */
		if (cut < LENGTH)
			assert_int_equal(
				frame_receive(pair[1], &frame, monotonic_ms()), -ETIMEDOUT);
		close(pair[0]);
		close(pair[1]);
		make_pair(pair);
		assert_int_equal(write(pair[0], wire, cut), cut);
		if (cut < LENGTH) {
			/* Cut short by the other side's end. */
			close(pair[0]);
			assert_int_equal(frame_receive(pair[1], &frame, DEADLINE_NONE),
				cut == 0 ? -ENODATA : -ECONNRESET);
		} else {
			assert_int_equal(frame_receive(pair[1], &frame, DEADLINE_NONE), 0);
			assert_string_equal(frame.header, "abc");
			assert_string_equal(frame.body, "defg");
			frame_done(&frame);
			close(pair[0]);
		}
		assert_null(frame.header);
		close(pair[1]);
	}
}

static void test_frame_limits(void **state)
{
	(void)state;
	static const char huge[] = "\xff\xff\xff\xff\x04\0\0\0abcdefg";
	int pair[2];
	struct frame frame = {0};
	make_pair(pair);
	assert_int_equal(write(pair[0], huge, sizeof(huge) - 1), sizeof(huge) - 1);
	assert_int_equal(frame_receive(pair[1], &frame, DEADLINE_NONE), -EMSGSIZE);
	frame.header_bytes = (size_t)FRAME_LIMIT_BYTES + 1;
	assert_int_equal(frame_send(pair[0], &frame, DEADLINE_NONE), -EMSGSIZE);
	frame = frame_of("{}", "");
	close(pair[1]);
	assert_int_equal(frame_send(pair[0], &frame, DEADLINE_NONE), -EPIPE);
	close(pair[0]);
}

static void test_frame_send_has_a_deadline(void **state)
{
	(void)state;
	int pair[2];
	char *body = calloc(1, 8 * 1024 * 1024);
	struct frame frame = {.header = body, .header_bytes = 0, .body = body};
	assert_non_null(body);
	frame.body_bytes = 8 * 1024 * 1024;
	make_pair(pair);
	/* Nobody reads. */
	assert_int_equal(frame_send(pair[0], &frame, monotonic_ms() + 10), -ETIMEDOUT);
	close(pair[0]);
	close(pair[1]);
	free(body);
}

/* ---- A worker for the tests ---- */

/* Answers with its pid as header and the question's body, but for bodies that
 * are orders: "die" ends it, "once PATH" only the first time (the file PATH
 * tells), "stop PATH" likewise stops it, "hang PATH" opens the FIFO PATH and never answers. */
static int be_worker(void)
{
	for (;;) {
		struct frame question = {0};
		int r = frame_receive(POOL_WORKER_FD, &question, DEADLINE_NONE);
		if (r < 0)
			return r == -ENODATA ? 0 : 1;
		if (strcmp(question.body, "die") == 0)
			_exit(7);
		if (strncmp(question.body, "hang ", 5) == 0) {
			(void)!open(question.body + 5, O_WRONLY | O_CLOEXEC);
			for (;;)
				pause();
		}
		if (strncmp(question.body, "once ", 5) == 0 &&
			open(question.body + 5, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0)
			raise(SIGKILL);
		if (strncmp(question.body, "stop ", 5) == 0 &&
			open(question.body + 5, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0)
			raise(SIGSTOP);
		char pid[16];
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		struct frame answer = frame_of(pid, question.body);
		r = frame_send(POOL_WORKER_FD, &answer, DEADLINE_NONE);
		frame_done(&question);
		if (r < 0)
			return 1;
	}
}

static const char *const worker_argv[] = {"test-worker", "worker", NULL};

static struct pool *start_handing_on(
	unsigned int workers, int64_t answer_ms, int64_t hand_on_ms, int64_t wait_ms)
{
	struct fault fault = {0};
	struct pool *pool = NULL;
	const struct pool_options options = {
		.program = "/proc/self/exe",
		.argv = worker_argv,
		.workers = workers,
		.answer_ms = answer_ms,
		.hand_on_ms = hand_on_ms,
		.wait_ms = wait_ms,
	};
	if (pool_start(&options, &pool, &fault) != 0)
		fail_msg("%s", fault_text(&fault));
	return pool;
}

static struct pool *start(unsigned int workers, int64_t answer_ms, int64_t wait_ms)
{
	return start_handing_on(workers, answer_ms, answer_ms, wait_ms);
}

/* The pid that answered. */
static int echo(struct pool *pool, const char *body)
{
	struct fault fault = {0};
	struct frame question = frame_of("{}", body);
	struct frame answer = {0};
	if (pool_call(pool, &question, &answer, &fault) != 0)
		fail_msg("%s", fault_text(&fault));
	assert_string_equal(answer.body, body);
	int pid = (int)strtol(answer.header, NULL, 10);
	frame_done(&answer);
	return pid;
}

static void fails(struct pool *pool, const char *body, const char *expected_part)
{
	struct fault fault = {0};
	struct frame question = frame_of("{}", body);
	struct frame answer = {0};
	assert_int_equal(pool_call(pool, &question, &answer, &fault), -EAGAIN);
	assert_int_equal(fault.kind, FAULT_UNAVAILABLE);
	if (strstr(fault_text(&fault), expected_part) == NULL)
		fail_msg("'%s' does not say '%s'", fault_text(&fault), expected_part);
	fault_done(&fault);
}

static void test_answers(void **state)
{
	(void)state;
	struct pool *pool = start(1, 10000, 10000);
	int pid = echo(pool, "hello");
	assert_int_not_equal(pid, getpid());
	assert_int_equal(echo(pool, ""), pid);
	pool_close(pool, 10000);
	/* Gone, and waited for. */
	assert_int_equal(kill(pid, 0), -1);
}

/* Killed while it computes: the request goes to another, unnoticed. */
static void test_killed_during_a_request(void **state)
{
	(void)state;
	struct pool *pool = start(1, 10000, 10000);
	char directory[] = "/tmp/waft-pool.XXXXXX";
	char path[64];
	char body[80];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/died", directory);
	snprintf(body, sizeof(body), "once %s", path);
	int before = echo(pool, "hello");
	int after = echo(pool, body);
	assert_int_not_equal(before, after);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(echo(pool, "hello"), after);
	pool_close(pool, 10000);
}

/* A request that kills every worker it meets is given up after two, and the
 * next one is served. */
static void test_deadly_request(void **state)
{
	(void)state;
	struct pool *pool = start(2, 10000, 10000);
	fails(pool, "die", "exited with code 7 during the request");
	assert_true(echo(pool, "hello") > 0);
	pool_close(pool, 10000);
}

static void test_hung_worker_is_replaced(void **state)
{
	(void)state;
	struct pool *pool = start(1, 200, 10000);
	fails(pool, "hang /dev/null", "did not answer within 200 ms");
	assert_true(echo(pool, "hello") > 0);
	pool_close(pool, 10000);
}

/* The process stays for the pool to wait for: WNOWAIT. */
static void wait_until(int pid, int event)
{
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, event | WNOWAIT), 0);
}

static void wait_until_dead(int pid)
{
	wait_until(pid, WEXITED);
}

/* A worker that stops while it has the request, once: another answers. */
static void test_silent_worker_hands_on(void **state)
{
	(void)state;
	struct pool *pool = start_handing_on(1, 60000, 50, 10000);
	char directory[] = "/tmp/waft-pool.XXXXXX";
	char path[64];
	char body[80];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/stopped", directory);
	snprintf(body, sizeof(body), "stop %s", path);
	int before = echo(pool, "hello");
	int after = echo(pool, body);
	assert_int_not_equal(before, after);
	/* Replaced, not left behind. */
	assert_int_equal(kill(before, 0), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	pool_close(pool, 10000);
}

/* A stopped worker gets no request while another is idle; it is replaced when
 * there is none; one that goes on is one like the others. */
static void test_stopped_while_idle(void **state)
{
	(void)state;
	struct pool *pool = start(2, 60000, 10000);
	int first = echo(pool, "hello");
	assert_int_equal(kill(first, SIGSTOP), 0);
	wait_until(first, WSTOPPED);
	int second = echo(pool, "hello");
	assert_int_not_equal(second, first);
	assert_int_equal(kill(first, SIGCONT), 0);
	wait_until(first, WCONTINUED);
	assert_int_equal(echo(pool, "hello"), first);
	const int both[] = {first, second};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kill(both[i], SIGSTOP), 0);
		wait_until(both[i], WSTOPPED);
	}
	int third = echo(pool, "hello");
	assert_int_not_equal(third, first);
	assert_int_not_equal(third, second);
	pool_close(pool, 0);
}

static void test_killed_while_idle(void **state)
{
	(void)state;
	struct pool *pool = start(1, 10000, 10000);
	int pid = echo(pool, "hello");
	kill(pid, SIGKILL);
	wait_until_dead(pid);
	int next = echo(pool, "hello");
	assert_int_not_equal(next, pid);
	kill(next, SIGKILL);
	wait_until_dead(next);
	pool_reap(pool);
	assert_int_equal(kill(next, 0), -1);
	assert_int_not_equal(echo(pool, "hello"), next);
	pool_close(pool, 10000);
}

/* Workers that died while nobody asked do not count as attempts. */
static void test_all_killed_while_idle(void **state)
{
	(void)state;
	enum { WORKERS = 4 };
	struct pool *pool = start(WORKERS, 10000, 10000);
	for (int round = 0; round < 2; round++) {
		char path[64];
		int pids[WORKERS];
		int count = 0;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", getpid(), getpid());
		FILE *children = fopen(path, "re");
		assert_non_null(children);
		char list[256] = "";
		assert_non_null(fgets(list, sizeof(list), children));
		fclose(children);
		for (char *at = list; count < WORKERS && *at; at++)
			pids[count++] = (int)strtol(at, &at, 10);
		assert_true(count > 0);
		for (int i = 0; i < count; i++) {
			kill(pids[i], SIGKILL);
			wait_until_dead(pids[i]);
		}
		assert_true(echo(pool, "hello") > 0);
	}
	pool_close(pool, 10000);
}

struct caller {
	struct pool *pool;
	pthread_t thread;
	const char *body;
	int result;
};

static void *call_once(void *arg)
{
	struct caller *caller = arg;
	struct fault fault = {0};
	struct frame question = frame_of("{}", caller->body);
	struct frame answer = {0};
	caller->result = pool_call(caller->pool, &question, &answer, &fault);
	frame_done(&answer);
	fault_done(&fault);
	return NULL;
}

static void test_all_busy(void **state)
{
	(void)state;
	char directory[] = "/tmp/waft-pool.XXXXXX";
	char path[64];
	char body[80];
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/hangs", directory);
	snprintf(body, sizeof(body), "hang %s", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	struct caller caller = {.pool = start_handing_on(1, 500, 1000, 20), .body = body};
	assert_int_equal(pthread_create(&caller.thread, NULL, call_once, &caller), 0);
	/* Returns when the only worker has the question. */
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	fails(caller.pool, "hello", "all 1 workers were busy for 20 ms");
	pthread_join(caller.thread, NULL);
	assert_int_equal(caller.result, -EAGAIN);
	assert_true(echo(caller.pool, "hello") > 0);
	close(fd);
	pool_close(caller.pool, 10000);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void *call_often(void *arg)
{
	struct caller *caller = arg;
	for (int i = 0; i < 50; i++)
		caller->result = echo(caller->pool, "hello");
	return NULL;
}

static void test_many_callers(void **state)
{
	(void)state;
	enum { CALLERS = 8 };
	struct caller callers[CALLERS];
	struct pool *pool = start(3, 10000, 10000);
	for (int i = 0; i < CALLERS; i++) {
		callers[i].pool = pool;
		assert_int_equal(
			pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++)
		pthread_join(callers[i].thread, NULL);
	pool_close(pool, 10000);
}

static void test_program_that_is_not_there(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct pool *pool = NULL;
	const struct pool_options options = {
		.program = "/nonexistent/worker",
		.argv = worker_argv,
		.workers = 2,
	};
	assert_int_equal(pool_start(&options, &pool, &fault), -EIO);
	assert_null(pool);
	assert_string_equal(fault_text(&fault),
		"cannot start worker 1 of 2 (/nonexistent/worker): No such file or directory");
	fault_done(&fault);
}

/* ---- The worker proper ---- */

static void *run_worker(void *arg)
{
	return (void *)(intptr_t)worker_run(*(int *)arg);
}

/* The answer's header to one question. */
static void ask_worker(int fd, const char *header, const char *body, const char *expected)
{
	struct frame question = frame_of(header, body);
	struct frame answer = {0};
	assert_int_equal(frame_send(fd, &question, DEADLINE_NONE), 0);
	assert_int_equal(frame_receive(fd, &answer, DEADLINE_NONE), 0);
	assert_string_equal(answer.header, expected);
	frame_done(&answer);
}

static void test_worker_answers_anything(void **state)
{
	(void)state;
	int pair[2];
	pthread_t thread;
	void *result;
	make_pair(pair);
	assert_int_equal(pthread_create(&thread, NULL, run_worker, &pair[1]), 0);
	ask_worker(pair[0], "{\"op\":\"fly\"}", "",
		"{\"ok\":false,\"kind\":\"internal\",\"message\":\"a worker was asked for 'fly', "
		"which it cannot do\"}");
	ask_worker(pair[0], "{\"op\":\"evaluate\"}", "{}",
		"{\"ok\":false,\"kind\":\"internal\",\"message\":\"a message between processes is "
		"not a matrix\"}");
	ask_worker(pair[0], "{\"op\":\"transform\",\"traceparent\":\"nonsense\"}", "[]",
		"{\"ok\":false,\"kind\":\"form\",\"message\":\"Error in input data: request must "
		"be "
		"a dict, got list\"}");
	ask_worker(pair[0], "{\"op\":\"transform\"}",
		"{\"problem\":\"\",\"alternatives\":[],\"criteria\":{\"a\":1},\"scores\":{}}",
		"{\"ok\":true}");
	close(pair[0]);
	pthread_join(thread, &result);
	assert_null(result);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "worker") == 0)
		return be_worker();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_split_everywhere),
		cmocka_unit_test(test_frame_limits),
		cmocka_unit_test(test_frame_send_has_a_deadline),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_killed_during_a_request),
		cmocka_unit_test(test_deadly_request),
		cmocka_unit_test(test_hung_worker_is_replaced),
		cmocka_unit_test(test_silent_worker_hands_on),
		cmocka_unit_test(test_stopped_while_idle),
		cmocka_unit_test(test_killed_while_idle),
		cmocka_unit_test(test_all_killed_while_idle),
		cmocka_unit_test(test_all_busy),
		cmocka_unit_test(test_many_callers),
		cmocka_unit_test(test_program_that_is_not_there),
		cmocka_unit_test(test_worker_answers_anything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
