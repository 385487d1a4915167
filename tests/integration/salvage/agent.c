/*
 * A traced program that does as it is told, a command a line, and answers each with a
 * line: for tests that kill it.
 *
 *     end N         begins and ends N traces of one span
 *     open N        opens N spans, each inside the one before
 *     close N       ends the N opened last
 *     under N       begins and ends N spans inside the one opened last
 *     crowd N       opens so many that N are dropped, and ends them
 *     flush         waits until everything is answered
 *     stats         emitted durable unknown in_flight dropped
 *     shutdown MS   gives up after that time; answers with the stats
 *     trace         the trace that is current, as hex
 *     spin          ends spans from another thread; answers at once
 *     rest          ends no more of these
 *     beside N      opens N spans in another thread, which keeps them open
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <waft/waft.h>

enum { OPEN_MOST = 64, WAIT_MS = 20000 };

static struct waft_span spans[OPEN_MOST];
static size_t open_spans;

static void end_traces(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct waft_span span;

		WAFT_BEGIN_ROOT(&span, "agent.done");
		waft_attr_int(&span, "number", (int64_t)i);
		waft_end(&span);
	}
}

static void open_more(uint64_t count)
{
	for (; count > 0 && open_spans < OPEN_MOST; count--)
		WAFT_BEGIN_IN(&spans[open_spans++], "agent.open", "test");
}

static void close_some(uint64_t count)
{
	for (; count > 0 && open_spans > 0; count--)
		waft_end(&spans[--open_spans]);
}

static void end_under(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct waft_span span;

		WAFT_BEGIN_IN(&span, "agent.under", "test");
		waft_end(&span);
	}
}

/* A thread may have 1,024 spans open: more are dropped, and the others end. */
static void crowd(uint64_t count)
{
	size_t most = 1024 - open_spans + count;
	struct waft_span *many = calloc(most, sizeof(*many));

	if (many == NULL)
		abort();
	for (size_t i = 0; i < most; i++)
		WAFT_BEGIN(&many[i], "agent.crowd");
	for (size_t i = most; i-- > 0;)
		waft_end(&many[i]);
	free(many);
}

static void print_stats(const struct waft_stats *stats)
{
	uint64_t dropped = 0;

	for (int i = 0; i < WAFT_DROP_REASONS; i++)
		dropped += stats->dropped[i];
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stats->emitted,
		stats->durable, stats->unknown, stats->in_flight, dropped);
}

static void print_trace(void)
{
	struct waft_context context = {0};

	waft_context_current(&context);
	for (int i = 0; i < 16; i++)
		printf("%02x", context.trace_id[i]);
	putchar('\n');
	waft_context_done(&context);
}

static bool resting;

/* At a pace that a sanitized collector keeps up with. */
static void *spin(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&resting, __ATOMIC_ACQUIRE)) {
		end_traces(4);
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

struct beside {
	uint64_t count;
	sem_t open;
};

static void *keep_open(void *arg)
{
	struct beside *beside = arg;
	struct waft_span kept[OPEN_MOST];

	for (uint64_t i = 0; i < beside->count && i < OPEN_MOST; i++)
		WAFT_BEGIN_IN(&kept[i], "agent.beside", "test");
	sem_post(&beside->open);
	for (;;)
		(void)pause();
	return NULL;
}

static void open_beside(uint64_t count)
{
	struct beside beside = {.count = count};
	pthread_t thread;

	sem_init(&beside.open, 0, 0);
	if (pthread_create(&thread, NULL, keep_open, &beside) != 0)
		abort();
	while (sem_wait(&beside.open) != 0)
		continue;
	pthread_detach(thread);
}

static void obey(const char *command, uint64_t number)
{
	static pthread_t thread;
	struct waft_stats stats;

	if (strcmp(command, "end") == 0) {
		end_traces(number);
	} else if (strcmp(command, "open") == 0) {
		open_more(number);
	} else if (strcmp(command, "close") == 0) {
		close_some(number);
	} else if (strcmp(command, "under") == 0) {
		end_under(number);
	} else if (strcmp(command, "crowd") == 0) {
		crowd(number);
	} else if (strcmp(command, "spin") == 0) {
		if (pthread_create(&thread, NULL, spin, NULL) != 0)
			abort();
	} else if (strcmp(command, "rest") == 0) {
		__atomic_store_n(&resting, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
	} else if (strcmp(command, "beside") == 0) {
		open_beside(number);
	} else if (strcmp(command, "trace") == 0) {
		print_trace();
		return;
	} else if (strcmp(command, "flush") == 0) {
		printf("%d\n", waft_flush(WAIT_MS));
		return;
	} else if (strcmp(command, "stats") == 0) {
		waft_stats(&stats);
		print_stats(&stats);
		return;
	} else if (strcmp(command, "shutdown") == 0) {
		(void)waft_shutdown((uint32_t)number, &stats);
		print_stats(&stats);
		return;
	}
	puts("ok");
}

int main(void)
{
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *save = NULL;
		const char *command = strtok_r(line, " \n", &save);
		const char *number = strtok_r(NULL, " \n", &save);

		if (command != NULL)
			obey(command, number != NULL ? strtoull(number, NULL, 10) : 1);
	}
	return 0;
}
