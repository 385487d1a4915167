/*
 * Speed of the store's write side: nanoseconds per span for making lines, and
 * for the whole way of a put (read from the log, decode, lines, part, sync,
 * manifest). Prints the best of several rounds, single-threaded. Not a test: it
 * asserts nothing. Usage: bench_store [DIR], where DIR gets a store; default a
 * new directory below the present one, removed at the end.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "batch_write.h"
#include "json_write.h"
#include "line.h"
#include "writer.h"

enum { ROUNDS = 9, SHAPES = 100, BATCHES = 40, TREE = 8, SERVICES = 3 };

static uint8_t bytes[SERVICES][WIRE_BATCH_LIMIT];
static size_t lengths[SERVICES];
static uint32_t counts[SERVICES];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Profile P: two attributes, a text of 4 to 12 bytes and an integer; trees of 8
 * spans; 100 call sites. */
static void make_batch(unsigned service, const char *snapshot)
{
	static const struct key_write keys[2] = {
		{{(const uint8_t *)"customer", 8}, WIRE_KEY_STRING},
		{{(const uint8_t *)"items", 5}, WIRE_KEY_INT32}};
	static struct shape_write shapes[SHAPES];
	static char names[SHAPES][32];
	struct batch_writer writer;
	struct trace_write trace = {.id.bytes = {1}};
	uint32_t spans = 0;
	struct span_write span = {.duration_raw = 12345,
		.input = slice_of_text(snapshot),
		.output = slice_of_text(snapshot)};

	batch_writer_init(&writer, bytes[service], sizeof(bytes[service]) - 16);
	batch_writer_producer(
		&writer, slice_of_text("shop"), 4711, slice_of_text("host-17"), NULL, 0);
	batch_writer_clock(&writer, &(struct batch_clock){.source = WIRE_CLOCK_TSC,
					    .close_raw = 1u << 30,
					    .close_realtime_ns = UINT64_C(1767953400000000000),
					    .ns_per_tick = 0.3571});
	for (uint32_t i = 0; i < SHAPES; i++) {
		snprintf(names[i], sizeof(names[i]), "shop.operation_%u", i);
		shapes[i] = (struct shape_write){.id = i + 1,
			.name = slice_of_text(names[i]),
			.layer = slice_of_text("core"),
			.keys = keys,
			.key_count = 2};
		batch_writer_shape(&writer, &shapes[i]);
	}
	batch_writer_section_begin(&writer, 0x1234567890abcdef + service, 1u << 29, 4711, &trace);
	for (;; spans++) {
		char text[16];
		int length =
			snprintf(text, sizeof(text), "c%0*u", 3 + (int)(spans % 8), spans % 1000);
		struct value values[2] = {
			{.type = VALUE_TEXT, .text = slice_of(text, (size_t)length)},
			{.type = VALUE_INT, .integer = (int64_t)spans}};

		trace.id.bytes[5] = (uint8_t)(spans / TREE);
		trace.id.bytes[6] = (uint8_t)(spans / TREE >> 8);
		span.shape = &shapes[spans % SHAPES];
		span.sequence = spans + 1;
		span.distance = (uint16_t)(spans % TREE);
		span.end_raw = (1u << 29) + spans * 100;
		span.trace = spans % TREE == 0 ? &trace : NULL;
		span.values = values;
		if (!batch_writer_span(&writer, &span))
			break;
	}
	batch_writer_section_end(&writer);
	counts[service] = spans;
	lengths[service] = (size_t)batch_writer_finish(&writer);
}

static void bench_lines(const char *profile)
{
	struct log_peer peer = {.known = true, .pid = 4711, .uid = 1000};
	struct line_writer lines = {0};
	struct batch batch = {0};
	struct bytes out = {0};
	double best = 1e18;

	for (int round = 0; round < ROUNDS * 3; round++) {
		struct batch_iter iter;
		struct span_view view;
		double begin;

		out.length = 0;
		begin = now_ns();
		if (batch_open(&batch, bytes[0], lengths[0]) != 0 ||
			line_batch_begin(&lines, &batch, &peer) != 0)
			abort();
		batch_iter_init(&iter);
		while (batch_next(&batch, &iter, &view) > 0) {
			if (line_span(&lines, &batch, &view, &out) != 0)
				abort();
		}
		begin = now_ns() - begin;
		best = begin < best ? begin : best;
	}
	printf("%-3s decode and line: %.1f ns a span, %.0f B a line\n%.*s", profile,
		best / counts[0], (double)out.length / counts[0],
		(int)(strchr((char *)out.data, '\n') - (char *)out.data + 1), (char *)out.data);
	line_writer_done(&lines);
	batch_done(&batch);
	bytes_done(&out);
}

static void bench_numbers(void)
{
	static const double doubles[] = {
		0.1, 8.5, 1234567.25, 0.30000000000000004, 6.02214076e23, 1e300};
	char text[JSON_DOUBLE_BYTES];

	for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
		double begin = now_ns();
		size_t length = 0;

		for (int k = 0; k < 10000; k++)
			length = json_format_double(text, doubles[i]);
		printf("double %.*s: %.1f ns\n", (int)length, text, (now_ns() - begin) / 10000);
	}
}

/* ---- The whole way -------------------------------------------------------- */

struct bench_store {
	struct disk disk;
	struct store_dirs dirs;
	struct clients *clients;
	struct recovery recovery;
	struct store *store;
	struct store_span *spans;
	size_t span_count;
	size_t span_capacity;
	double log_ns;
};

static void check(int ret, const char *what)
{
	if (ret != 0) {
		fprintf(stderr, "%s: %s\n", what, error_text(ret));
		exit(1);
	}
}

static void open_store(struct bench_store *bench, const char *path)
{
	struct recovery_config config = {.disk = &bench->disk, .dirs = &bench->dirs};
	struct writer_config writer = {.disk = &bench->disk, .dirs = &bench->dirs};

	disk_real(&bench->disk);
	check(store_dirs_open(&bench->disk, path, true, &bench->dirs), path);
	check(store_lock(&bench->disk, &bench->dirs), "lock");
	check(clients_new(0, &bench->clients), "clients");
	config.clients = bench->clients;
	check(recover(&config, NULL, &bench->recovery), "recover");
	writer.manifest = bench->recovery.manifest;
	writer.log = bench->recovery.log;
	writer.clients = bench->clients;
	check(writer_new(&writer, &bench->store), "writer");
}

/* Logs a batch and remembers its spans. */
static void log_batch(struct bench_store *bench, unsigned service, uint64_t sequence)
{
	struct log_record record = {.kind = LOG_BATCH,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = counts[service],
		.receive_ns = UINT64_C(1767953400000000000),
		.client = {(uint8_t)(service + 1)},
		.sequence = sequence,
		.payload = bytes[service],
		.payload_length = lengths[service]};
	struct log_committed committed;
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	uint64_t ticket;
	double begin = now_ns();
	struct ordinal ordinal = {0};

	check(log_append(bench->recovery.log, &record, &ticket), "append");
	check(log_commit(bench->recovery.log, &committed), "commit");
	bench->log_ns += now_ns() - begin;
	ordinal.segment = committed.places[0].segment;
	ordinal.offset = committed.places[0].offset;
	check(batch_open(&batch, bytes[service], lengths[service]), "batch");
	batch_iter_init(&iter);
	while (batch_next(&batch, &iter, &view) > 0) {
		if (bench->span_count == bench->span_capacity) {
			bench->span_capacity = bench->span_capacity * 2 + 1024;
			bench->spans = reallocarray(
				bench->spans, bench->span_capacity, sizeof(*bench->spans));
			if (bench->spans == NULL)
				exit(1);
		}
		bench->spans[bench->span_count++] =
			(struct store_span){.ordinal = ordinal, .place = view.place};
		ordinal.position++;
	}
	batch_done(&batch);
}

static void on_durable(struct store_put *put, int status)
{
	(void)put;
	check(status, "put");
}

/* Traces of 8 spans that come from three batches in turn. */
static void put_all(struct bench_store *bench, uint32_t per_service)
{
	size_t run_count = bench->span_count / TREE;
	struct store_run *runs = calloc(run_count, sizeof(*runs));
	struct store_span *mixed = calloc(bench->span_count, sizeof(*mixed));
	struct store_put put = {.on_durable = on_durable};
	size_t used = 0;
	double wall, cpu;
	int error;

	if (runs == NULL || mixed == NULL)
		exit(1);
	for (uint32_t i = 0; i < per_service; i++) {
		for (unsigned service = 0; service < SERVICES; service++)
			mixed[used++] = bench->spans[service * (size_t)per_service + i];
	}
	for (size_t i = 0; i < used / TREE; i++)
		runs[i] = (struct store_run){.trace_id.bytes = {1, (uint8_t)i, (uint8_t)(i >> 8)},
			.spans = mixed + i * TREE,
			.span_count = TREE};
	put.runs = runs;
	put.run_count = used / TREE;
	wall = now_ns();
	cpu = cpu_ns();
	store_put(bench->store, &put);
	(void)store_work(bench->store, 0, &error);
	check(error, "work");
	printf("put of %zu spans: %.1f ns CPU a span, %.1f ns wall\n", used,
		(cpu_ns() - cpu) / (double)used, (now_ns() - wall) / (double)used);
	free(runs);
	free(mixed);
	bench->span_count = 0;
}

static void bench_store(const char *path)
{
	struct bench_store bench = {.dirs = {-1, -1, -1, -1, -1}};
	uint32_t per_service = counts[0];

	open_store(&bench, path);
	for (unsigned i = 0; i < BATCHES; i++) {
		for (unsigned service = 0; service < SERVICES; service++) {
			log_batch(&bench, service, i + 1);
			if (counts[service] < per_service)
				per_service = counts[service];
		}
		put_all(&bench, per_service);
	}
	printf("log: %.2f ms per append and commit of 256 KiB\n",
		bench.log_ns / 1e6 / (BATCHES * SERVICES));
	store_close(bench.store);
	log_close(bench.recovery.log);
	manifest_free(bench.recovery.manifest);
	clients_free(bench.clients);
	store_dirs_close(&bench.disk, &bench.dirs);
	free(bench.spans);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	static const char snapshot[] =
		"{\"problem\":\"Choose a language\",\"alternatives\":[\"Python\",\"JavaScript\","
		"\"Go\"],\"criteria\":{\"Performance\":0.4,\"Ease of Learning\":0.3,\"Ecosystem\":"
		"0.3},\"scores\":{\"Python\":{\"Performance\":7,\"Ecosystem\":10}}}";
	char path[] = "bench-store-XXXXXX";

	make_batch(0, snapshot);
	bench_lines("PS");
	for (unsigned service = 0; service < SERVICES; service++)
		make_batch(service, NULL);
	bench_lines("P");
	bench_numbers();
	if (argc > 1) {
		bench_store(argv[1]);
		return 0;
	}
	if (mkdtemp(path) == NULL)
		return 1;
	bench_store(path);
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
