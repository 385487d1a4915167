/* See world.h. */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

volatile sig_atomic_t world_stop;

enum { RARE_EACH = 100000, NEEDLE_EACH = 125000 };

/* Those of whoever else wrote to the store count as whole ones. */
static uint64_t traces_stored(const struct depot *depot)
{
	const struct manifest_state *state = manifest_state(depot->recovery.manifest);
	uint64_t spans = 0;

	for (size_t i = 0; i < state->part_count; i++)
		spans += state->parts[i].spans;
	return (spans + PROFILE_TREE - 1) / PROFILE_TREE;
}

void world_open(const char *path, struct world *ret)
{
	struct depot_config config = {.disk = &ret->disk,
		.path = path,
		.clock = &clock_system,
		.quiet_ms = 500,
		.hold_ms = 10000};
	struct depot_error error;

	memset(ret, 0, sizeof(*ret));
	disk_real(&ret->disk);
	ret->batches = calloc(PROFILE_SERVICES, sizeof(*ret->batches));
	if (ret->batches == NULL)
		bench_check(-ENOMEM, "memory");
	if (depot_open(&config, &ret->depot, &error) != 0) {
		fprintf(stderr, "waft-bench: %s\n", error.text);
		exit(EXIT_FAILURE);
	}
	ret->traces = traces_stored(&ret->depot);
	/* A batch has one trace at least: those before had lower numbers. */
	ret->sequence = ret->traces;
}

void world_close(struct world *world)
{
	/* As a daemon does when it is stopped. */
	bench_check(writer_rest(world->depot.stores[0], 0), "trimming the log");
	bench_check(manifest_checkpoint(world->depot.recovery.manifest), "a checkpoint");
	depot_close(&world->depot);
	free(world->batches);
}

void world_seal(struct world *world, int level, struct world_sealed *sum)
{
	static const struct seal_rule rule = {.after_ns = 0};
	struct seal_job job = {.disk = &world->disk,
		.dirs = &world->depot.dirs,
		.index_dir = world->depot.index_dir,
		.level = level};
	struct seal_result result;
	bool pressed;
	int next = 0;

	memcpy(job.store_id, world->depot.store_id, sizeof(job.store_id));
	while (!world_stop && (next = writer_seal_next(
				       world->depot.stores[0], &rule, &job.part, &pressed)) == 1) {
		double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);

		bench_check(seal_part(&job, &result), "sealing");
		sum->cpu_ns += clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		bench_check(writer_seal_commit(world->depot.stores[0], &result), "sealing");
		sum->files++;
		sum->spans += job.part.spans;
		sum->text_bytes += result.text_bytes;
		sum->file_bytes += result.length_bytes;
	}
	bench_check(next, "sealing");
}

static struct log_record record_of(
	const struct world *world, unsigned int service, uint64_t receive_ns)
{
	const struct profile_batch *batch = &world->batches[service];

	return (struct log_record){.kind = LOG_BATCH,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = batch->spans,
		.receive_ns = receive_ns,
		.client = {(uint8_t)(service + 1)},
		.sequence = world->sequence,
		.peer = {.known = true, .pid = 4711 + service, .uid = 1000},
		.payload = batch->bytes,
		.payload_length = batch->length};
}

static void append(struct world *world, unsigned int service, uint64_t receive_ns)
{
	struct log_record record = record_of(world, service, receive_ns);
	uint64_t ticket;

	bench_check(log_append(world->depot.recovery.log, &record, &ticket), "the log");
}

/* The spans of one batch, to their places in the runs. */
static void place_spans(const struct profile_batch *made, unsigned int service,
	struct log_place log_place, struct store_span *spans)
{
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	struct ordinal ordinal = {log_place.segment, log_place.offset, 0};
	uint32_t trace = 0;

	bench_check(batch_open(&batch, made->bytes, made->length), "a batch");
	batch_iter_init(&iter);
	for (; trace < made->traces; trace++) {
		for (unsigned int node = 0; node < PROFILE_TREE; node++) {
			if (profile_tree[node].service != service)
				continue;
			if (batch_next(&batch, &iter, &view) != 1)
				bench_check(-EINVAL, "a span");
			spans[trace * PROFILE_TREE + node] =
				(struct store_span){.ordinal = ordinal, .place = view.place};
			ordinal.position++;
		}
	}
	batch_done(&batch);
}

static void on_durable(struct store_put *put, int status)
{
	(void)put;
	bench_check(status, "a put");
}

static void put(struct world *world, struct store_span *spans, uint32_t traces)
{
	struct store_run *runs = calloc(traces, sizeof(*runs));
	struct store_put put = {.runs = runs, .run_count = traces, .on_durable = on_durable};
	double begin = clock_now_ns(CLOCK_THREAD_CPUTIME_ID);
	int error;

	if (runs == NULL)
		bench_check(-ENOMEM, "memory");
	for (uint32_t i = 0; i < traces; i++) {
		profile_trace_id(world->traces + i, &runs[i].trace_id);
		runs[i].spans = &spans[i * PROFILE_TREE];
		runs[i].span_count = PROFILE_TREE;
	}
	store_put(world->depot.stores[0], &put);
	(void)store_work(world->depot.stores[0], 0, &error);
	bench_check(error, "the store");
	world->put_cpu_ns += clock_now_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	free(runs);
}

uint32_t world_store(struct world *world, uint32_t max_traces, bool snapshots, uint64_t start_ns,
	uint64_t trace_gap_ns)
{
	struct profile_batch_plan plan = {.first_trace = world->traces,
		.traces = max_traces,
		.snapshots = snapshots,
		.start_ns = start_ns,
		.trace_gap_ns = trace_gap_ns,
		.rare_each = RARE_EACH,
		.needle_each = NEEDLE_EACH};
	struct log_committed committed;
	struct store_span *spans;

	world->sequence++;
	for (plan.service = 0; plan.service < PROFILE_SERVICES; plan.service++) {
		profile_batch_make(&plan, &world->batches[plan.service]);
		/* The first two have the most spans; what one has no room for waits. */
		if (world->batches[plan.service].traces < plan.traces) {
			plan.traces = world->batches[plan.service].traces;
			plan.service = UINT32_MAX;
		}
	}
	spans = calloc((size_t)plan.traces * PROFILE_TREE, sizeof(*spans));
	if (spans == NULL)
		bench_check(-ENOMEM, "memory");
	for (unsigned int i = 0; i < PROFILE_SERVICES; i++)
		append(world, i, start_ns + plan.traces * trace_gap_ns);
	bench_check(log_commit(world->depot.recovery.log, &committed), "the log");
	for (unsigned int i = 0; i < PROFILE_SERVICES; i++) {
		struct log_record record =
			record_of(world, i, start_ns + plan.traces * trace_gap_ns);

		/* The log forgets what the clients' table has. */
		bench_check(clients_durable(world->depot.clients, committed.places[i], &record) - 1,
			"counting a batch");
	}
	for (unsigned int i = 0; i < PROFILE_SERVICES; i++)
		place_spans(&world->batches[i], i, committed.places[i], spans);
	put(world, spans, plan.traces);
	free(spans);
	if (world->sequence % 64 == 0)
		bench_check(writer_trim_log(world->depot.stores[0]), "trimming the log");
	world->traces += plan.traces;
	return plan.traces;
}

/* How many traces, from number first on, are of the same day. */
static uint64_t left_in_day(uint64_t first, uint64_t gap_ns)
{
	uint64_t offset_ns = first * gap_ns;
	uint64_t end_ns = (offset_ns / WORLD_DAY_NS + 1) * WORLD_DAY_NS;

	return (end_ns - offset_ns + gap_ns - 1) / gap_ns;
}

void world_fill(struct world *world, const struct world_plan *plan, uint64_t until)
{
	uint64_t gap_ns = WORLD_DAYS * WORLD_DAY_NS / (plan->traces_in_all + 1);
	uint64_t day = world->traces * gap_ns / WORLD_DAY_NS;

	while (!world_stop && world->traces < until) {
		uint64_t left = until - world->traces;
		uint64_t of_day = left_in_day(world->traces, gap_ns);

		left = left < of_day ? left : of_day;
		(void)world_store(world, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
			plan->snapshots, WORLD_FIRST_NS + world->traces * gap_ns, gap_ns);
		if (plan->sealed != NULL && world->traces * gap_ns / WORLD_DAY_NS != day) {
			day = world->traces * gap_ns / WORLD_DAY_NS;
			world_seal(world, plan->level, plan->sealed);
		}
	}
	if (plan->sealed != NULL)
		world_seal(world, plan->level, plan->sealed);
}
