/* See load.h. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <waft/waft.h>

#include "emit.h"
#include "measure.h"

enum {
	GROUP_TRACES = 100,
	/* In flight at most: what surely fits libwaft's buffer. */
	IN_FLIGHT_PLAIN = 30000,
	IN_FLIGHT_SNAPSHOTS = 3000,
};

/* What travels between the services; a group fits a pipe's atomic write. */
struct handover {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;
	uint8_t reserved[7];
};
_Static_assert(sizeof(struct handover) * GROUP_TRACES <= 4096, "one write");

struct service_figures {
	double spans;
	double durable;
	double cpu_s;
};

static void wait_for_room(bool snapshots)
{
	struct waft_stats stats;
	uint64_t most = snapshots ? IN_FLIGHT_SNAPSHOTS : IN_FLIGHT_PLAIN;

	for (;;) {
		waft_stats(&stats);
		if (stats.in_flight < most)
			return;
		clock_sleep_until_ns(clock_now_ns(CLOCK_MONOTONIC) + 200e3);
	}
}

static void run_first(const struct load_plan *plan, const int to[2])
{
	struct handover group[GROUP_TRACES] = {0};
	double begin = clock_now_ns(CLOCK_MONOTONIC), now = begin;
	double group_ns = plan->rate > 0 ? GROUP_TRACES * PROFILE_TREE / plan->rate * 1e9 : 0;

	for (uint64_t groups = 0; now < begin + plan->seconds * 1e9; groups++) {
		if (plan->rate > 0)
			clock_sleep_until_ns(begin + (double)groups * group_ns);
		wait_for_room(plan->snapshots);
		for (uint64_t i = 0; i < GROUP_TRACES; i++) {
			struct waft_context context;

			(plan->snapshots ? emit_part_snapshots : emit_part)(
				groups * GROUP_TRACES + i, NULL, 2, &context);
			memcpy(group[i].trace_id, context.trace_id, sizeof(context.trace_id));
			memcpy(group[i].span_id, context.span_id, sizeof(context.span_id));
			group[i].flags = context.flags;
			waft_context_done(&context);
		}
		for (int i = 0; i < 2; i++)
			if (write(to[i], group, sizeof(group)) != sizeof(group))
				bench_check(-errno, "handing over contexts");
		now = clock_now_ns(CLOCK_MONOTONIC);
	}
}

static void run_other(const struct load_plan *plan, int from, unsigned int children)
{
	struct handover group[GROUP_TRACES];
	uint64_t n = 0;

	while (read(from, group, sizeof(group)) == sizeof(group)) {
		wait_for_room(plan->snapshots);
		for (unsigned int i = 0; i < GROUP_TRACES; i++) {
			struct waft_context context = {.flags = group[i].flags, .remote = true};

			memcpy(context.trace_id, group[i].trace_id, sizeof(context.trace_id));
			memcpy(context.span_id, group[i].span_id, sizeof(context.span_id));
			(plan->snapshots ? emit_part_snapshots : emit_part)(
				n++, &context, children, NULL);
		}
	}
}

static void report(int to)
{
	struct waft_stats stats;
	struct rusage usage;
	struct service_figures figures;

	(void)waft_shutdown(60000, &stats);
	getrusage(RUSAGE_SELF, &usage);
	figures.spans = (double)stats.emitted;
	figures.durable = (double)stats.durable;
	figures.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	if (write(to, &figures, sizeof(figures)) != sizeof(figures))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

static void run_service(
	const struct load_plan *plan, unsigned int service, int handover[2][2], int to)
{
	struct waft_options options = {.size = sizeof(options),
		.endpoint = plan->endpoint,
		.service = profile_service(service)};
	int writing[2] = {handover[0][1], handover[1][1]};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_check(waft_init(&options), "waft_init");
	if (service == 0) {
		run_first(plan, writing);
		close(writing[0]);
		close(writing[1]);
	} else {
		close(writing[0]);
		close(writing[1]);
		run_other(plan, handover[service - 1][0], service == 1 ? 2 : 1);
	}
	report(to);
}

void load_start(const struct load_plan *plan, struct load *ret)
{
	int handover[2][2];

	emit_init();
	fflush(NULL);
	if (pipe(handover[0]) != 0 || pipe(handover[1]) != 0)
		bench_check(-errno, "making a pipe");
	ret->begin_ns = clock_now_ns(CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < PROFILE_SERVICES; i++) {
		int results[2];

		if (pipe(results) != 0)
			bench_check(-errno, "making a pipe");
		ret->results[i] = results[0];
		ret->pids[i] = fork();
		if (ret->pids[i] < 0)
			bench_check(-errno, "starting a service");
		if (ret->pids[i] == 0)
			run_service(plan, i, handover, results[1]);
		close(results[1]);
	}
	for (int i = 0; i < 2; i++) {
		close(handover[i][0]);
		close(handover[i][1]);
	}
}

void load_finish(struct load *load, struct load_result *ret)
{
	*ret = (struct load_result){0};
	for (int i = 0; i < PROFILE_SERVICES; i++) {
		struct service_figures figures;

		if (read(load->results[i], &figures, sizeof(figures)) != sizeof(figures))
			bench_check(-EIO, "a service's figures");
		close(load->results[i]);
		waitpid(load->pids[i], NULL, 0);
		ret->spans += figures.spans;
		ret->durable += figures.durable;
		ret->cpu_s += figures.cpu_s;
	}
	ret->seconds = (clock_now_ns(CLOCK_MONOTONIC) - load->begin_ns) / 1e9;
}
