/*
 * Any forest of traces, in any order, split any way over batches, clients,
 * broken connections, kills and restarts of the collector, comes out the same.
 *
 *   test_property [SEED]
 *
 * A forest is made from a seed. It is sent twice to a real waft-collectord, each
 * time in another order, other batches and with other faults; the second time into
 * small files that are sealed at once. Both stores must hold each span in exactly one
 * line, and the same lines.
 */
#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector/store/reader.h"
#include "support/batch_write.h"
#include "support/program.h"
#include "support/wire_client.h"

enum {
	CLIENTS = 3,
	TRACES = 60,
	TRACE_SPANS_MAX = 40,
	SPANS_MAX = TRACES * TRACE_SPANS_MAX,
	BATCH_SPANS_MAX = 25,
};

#define CHECK(condition, ...)                                                      \
	do {                                                                       \
		if (!(condition)) {                                                \
			fprintf(stderr, __VA_ARGS__);                              \
			fprintf(stderr, " (%s, line %d)\n", #condition, __LINE__); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static uint64_t random_state;

static uint64_t random_next(void)
{
	random_state += UINT64_C(0x9e3779b97f4a7c15);
	return id_mix(random_state);
}

static uint32_t random_below(uint32_t limit)
{
	return (uint32_t)(random_next() % limit);
}

/* ---- The forest ---------------------------------------------------------- */

struct tree_span {
	struct trace_id trace;
	uint64_t id, parent; /* parent 0: a root */
	uint64_t start_ns, duration_ns;
	uint8_t client;
	bool failed;
};

static struct tree_span forest[SPANS_MAX];
static size_t forest_count;

static void make_trace(uint64_t base_ns)
{
	struct trace_id trace;
	uint64_t halves[2] = {random_next(), random_next()};
	size_t first = forest_count, count = 1 + random_below(TRACE_SPANS_MAX);
	memcpy(trace.bytes, halves, sizeof(trace.bytes));
	for (size_t i = 0; i < count; i++) {
		struct tree_span *span = &forest[forest_count++];
		uint64_t parent = i ? forest[first + random_below((uint32_t)i)].id : 0;
		if (random_below(40) == 0)
			parent = random_next() | 1; /* one that never arrives */
		*span = (struct tree_span){.trace = trace,
			.id = random_next() | 1,
			.parent = parent,
			.start_ns = base_ns + random_below(1000000),
			.duration_ns = random_below(5000000),
			.client = (uint8_t)random_below(CLIENTS),
			.failed = random_below(10) == 0};
	}
}

/* ---- Sending it ---------------------------------------------------------- */

struct batch_bytes {
	uint8_t *bytes;
	size_t length;
};

/* One client's share of the forest, in some order, cut into batches. */
struct share {
	struct batch_bytes batches[SPANS_MAX];
	uint64_t count, sent;
	struct wire_client client;
};

static struct batch_bytes encode(struct tree_span *const *spans, size_t count, unsigned int client)
{
	static uint8_t buffer[WIRE_BATCH_LIMIT];
	struct batch_writer writer;
	struct key_write key = {slice_of_text("n"), WIRE_KEY_INT64};
	struct shape_write shape = {.id = 1, .name = slice_of_text("property.span"), .keys = &key};
	char service[16], input[64];
	shape.layer = slice_of_text("core");
	shape.key_count = 1;
	snprintf(service, sizeof(service), "client-%u", client);
	batch_writer_init(&writer, buffer, sizeof(buffer));
	batch_writer_producer(&writer, slice_of_text(service), 1, slice_of_text("host"), NULL, 0);
	struct batch_clock clock = {.source = WIRE_CLOCK_MONOTONIC, .ns_per_tick = 1};
	batch_writer_clock(&writer, &clock);
	batch_writer_shape(&writer, &shape);
	batch_writer_section_begin(&writer, 1, 0, 7, NULL);
	for (size_t i = 0; i < count; i++) {
		const struct tree_span *span = spans[i];
		struct trace_write trace = {.id = span->trace};
		struct value value = {.type = VALUE_INT, .integer = (int64_t)(span - forest)};
		snprintf(input, sizeof(input), "{\"n\":%zd}", span - forest);
		struct span_write write = {.shape = &shape,
			.span_id = span->id,
			.parent_id = span->parent,
			.end_raw = span->start_ns + span->duration_ns,
			.duration_raw = span->duration_ns,
			.trace = &trace,
			.values = &value,
			.input = slice_of_text(input)};
		if (span->failed) {
			write.status = WIRE_STATUS_ERROR;
			write.error = slice_of_text("it failed");
		}
		CHECK(batch_writer_span(&writer, &write), "a span didn't fit");
	}
	batch_writer_section_end(&writer);
	long length = batch_writer_finish(&writer);
	CHECK(length > 0, "encoding a batch: %ld", length);
	struct batch_bytes batch = {malloc((size_t)length), (size_t)length};
	memcpy(batch.bytes, buffer, batch.length);
	return batch;
}

/* Every client's spans in a random order, in batches of random sizes. */
static void deal(struct share *shares)
{
	static struct tree_span *order[SPANS_MAX];
	for (unsigned int client = 0; client < CLIENTS; client++) {
		size_t count = 0;
		for (size_t i = 0; i < forest_count; i++) {
			if (forest[i].client != client)
				continue;
			size_t at = random_below((uint32_t)count + 1);
			order[count] = order[at];
			order[at] = &forest[i];
			count++;
		}
		uint8_t id[16];
		uint64_t halves[2] = {random_next(), random_next()};
		memcpy(id, halves, sizeof(id));
		shares[client].count = shares[client].sent = 0;
		wire_client_init(&shares[client].client, id);
		for (size_t done = 0; done < count;) {
			size_t take = 1 + random_below(BATCH_SPANS_MAX);
			take = take < count - done ? take : count - done;
			shares[client].batches[shares[client].count++] =
				encode(order + done, take, client);
			done += take;
		}
	}
}

struct collector {
	struct program program;
	char *store, *socket;
	bool sealing;
	unsigned int starts;
};

static void collector_start(struct collector *collector)
{
	const char *argv[] = {"waft-collectord", "--socket", collector->socket, "--store",
		collector->store, "--part-size", collector->sealing ? "16K" : "1G", "--seal-after",
		collector->sealing ? "0" : "24h", NULL};
	program_start(&collector->program, (char *const *)argv);
	program_wait_text(&collector->program, "ready");
	collector->starts++;
}

static void collector_stop(struct collector *collector, int signal_number)
{
	int status = program_end(&collector->program, signal_number);
	if (signal_number == SIGTERM)
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
			"the collector ended with status %#x: %s", status, collector->program.text);
}

/* Sends some of a share, over what may be a broken connection. */
static void send_some(struct share *share, const struct collector *collector)
{
	if (share->client.fd < 0) {
		int error = wire_client_hello(&share->client, collector->socket, share->sent);
		CHECK(error == 0, "hello: %s", error_text(error));
		share->sent = share->client.durable;
	}
	for (uint32_t n = random_below(5); n > 0 && share->sent < share->count; n--) {
		const struct batch_bytes *batch = &share->batches[share->sent];
		share->sent++;
		if (wire_client_batch(&share->client, share->sent, batch->bytes, batch->length)) {
			wire_client_close(&share->client);
			return;
		}
	}
	uint32_t choice = random_below(8);
	int error = choice == 0 ? wire_client_wait(&share->client, share->sent)
				: wire_client_poll(&share->client);
	if (choice == 1 || error)
		wire_client_close(&share->client);
	CHECK(share->client.refused == 0, "a good batch was refused");
}

/* Sends the forest in one random way into a fresh store. */
static void send_forest(struct collector *collector, bool faults)
{
	static struct share shares[CLIENTS];
	bool busy = true;
	deal(shares);
	collector_start(collector);
	while (busy) {
		busy = false;
		for (unsigned int i = 0; i < CLIENTS; i++) {
			struct share *share = &shares[random_below(CLIENTS)];
			if (share->client.durable < share->count)
				send_some(share, collector);
		}
		for (unsigned int i = 0; i < CLIENTS; i++)
			busy |= shares[i].client.durable < shares[i].count;
		if (faults && random_below(4) == 0) {
			collector_stop(collector, random_below(2) ? SIGKILL : SIGTERM);
			collector_start(collector);
		}
	}
	for (unsigned int i = 0; i < CLIENTS; i++) {
		for (uint64_t n = 0; n < shares[i].count; n++)
			free(shares[i].batches[n].bytes);
		wire_client_done(&shares[i].client);
	}
	collector_stop(collector, SIGTERM);
}

/* ---- What came out ------------------------------------------------------- */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct line_list {
	char **lines;
	size_t count;
};

/* A line without the peer, which says who connected. */
static int keep_line(void *context, const char *file, struct slice line)
{
	struct line_list *list = context;
	CHECK(list->count < SPANS_MAX, "more lines than spans");
	CHECK(file[0], "a span is not in a file");
	char *copy = strndup((const char *)line.data, line.length);
	char *peer = strstr(copy, ",\"peer\":{");
	if (peer) {
		char *end = strchr(peer, '}');
		memmove(peer, end + 1, strlen(end + 1) + 1);
	}
	list->lines[list->count++] = copy;
	return 0;
}

static size_t read_lines(const char *store, char **ret_lines)
{
	struct line_list list = {.lines = ret_lines};
	struct reader_config config = {.directory = store};
	struct reader *reader;
	int error = reader_open(&config, &reader);
	CHECK(error == 0, "opening %s: %s", store, error_text(error));
	error = reader_for_each_line(reader, keep_line, &list);
	CHECK(error == 0, "reading %s: %s", store, error_text(error));
	reader_close(reader);
	qsort(ret_lines, list.count, sizeof(*ret_lines), compare_lines);
	return list.count;
}

static size_t count_files(const char *store, const char *ending)
{
	char pattern[4096];
	glob_t found;
	snprintf(pattern, sizeof(pattern), "%s/*%s", store, ending);
	int error = glob(pattern, 0, NULL, &found);
	CHECK(error == 0 || error == GLOB_NOMATCH, "listing %s", store);
	size_t count = error == 0 ? found.gl_pathc : 0;
	if (error == 0)
		globfree(&found);
	return count;
}

/* Lets the collector seal what is left: all but the file that takes appends. */
static void seal_rest(struct collector *collector)
{
	int watch = inotify_init1(IN_CLOEXEC);
	CHECK(watch >= 0 && inotify_add_watch(watch, collector->store, IN_DELETE) >= 0,
		"inotify: %s", strerror(errno));
	collector_start(collector);
	while (count_files(collector->store, ".jsonl") > 1) {
		struct pollfd poll_fd = {.fd = watch, .events = POLLIN};
		char events[4096];
		CHECK(poll(&poll_fd, 1, 30000) == 1, "files are not sealed: %s",
			collector->program.text);
		CHECK(read(watch, events, sizeof(events)) > 0, "inotify: %s", strerror(errno));
	}
	CHECK(count_files(collector->store, ".jsonl.zst") > 0, "nothing was sealed");
	collector_stop(collector, SIGTERM);
	close(watch);
}

/* Each span of the forest has one line that says what the forest says. */
static void check_lines(char **lines, size_t count)
{
	static uint32_t seen[SPANS_MAX];
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < count; i++) {
		const char *place = strstr(lines[i], "\"input\":{\"n\":");
		CHECK(place, "a line without its input: %s", lines[i]);
		size_t n = strtoull(place + strlen("\"input\":{\"n\":"), NULL, 10);
		CHECK(n < forest_count, "a line that isn't of the forest: %s", lines[i]);
		seen[n]++;
		char trace[ID_UUID_LENGTH + 1] = "", id[ID_UUID_LENGTH + 1] = "";
		char parent[ID_UUID_LENGTH + 3] = "null", start[512];
		trace_id_format(&forest[n].trace, trace);
		span_id_format(forest[n].id, id);
		if (forest[n].parent) {
			span_id_format(forest[n].parent, parent + 1);
			parent[0] = parent[ID_UUID_LENGTH + 1] = '"';
			parent[ID_UUID_LENGTH + 2] = 0;
		}
		snprintf(start, sizeof(start),
			"{\"trace_id\":\"%s\",\"span_id\":\"%s\",\"parent_span_id\":%s,", trace, id,
			parent);
		CHECK(strncmp(lines[i], start, strlen(start)) == 0, "expected %s\nfound %s", start,
			lines[i]);
		CHECK(strstr(lines[i],
			      forest[n].failed ? "\"status\":\"error\"" : "\"status\":\"success\""),
			"wrong status: %s", lines[i]);
	}
	for (size_t n = 0; n < forest_count; n++)
		CHECK(seen[n] == 1, "span %zu is stored %" PRIu32 " times", n, seen[n]);
}

int main(int argc, char **argv)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : now_ns;
	printf("seed %" PRIu64 "\n", random_state);
	fflush(stdout);
	for (int i = 0; i < TRACES; i++)
		make_trace(now_ns - 2000000000);

	static char *lines[2][SPANS_MAX + 1];
	size_t counts[2];
	for (int way = 0; way < 2; way++) {
		char *directory = scratch_new();
		struct collector collector = {0};
		CHECK(asprintf(&collector.store, "%s/traces", directory) > 0, "memory");
		CHECK(asprintf(&collector.socket, "%s/socket", directory) > 0, "memory");
		collector.sealing = way == 1;
		send_forest(&collector, way == 1);
		if (collector.sealing)
			seal_rest(&collector);
		counts[way] = read_lines(collector.store, lines[way]);
		check_lines(lines[way], counts[way]);
		printf("way %d: %zu spans, %u starts of the collector\n", way, counts[way],
			collector.starts);
		free(collector.store);
		free(collector.socket);
		scratch_remove(directory);
	}
	for (size_t i = 0; i < counts[0]; i++)
		CHECK(strcmp(lines[0][i], lines[1][i]) == 0, "came out in two ways:\n%s%s",
			lines[0][i], lines[1][i]);
	for (int way = 0; way < 2; way++) {
		for (size_t i = 0; i < counts[way]; i++)
			free(lines[way][i]);
	}
	return 0;
}
