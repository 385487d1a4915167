/*
 * verify.c: reads a store's lines without waft's own code and counts what a load
 * left there.
 *
 * The reader knows the eleven keys and their order and nothing else of waft.
 */
#include "verify.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What one span's line said. */
struct seen {
	uint8_t span_id[16];
	uint8_t parent_id[16];
	uint8_t trace_id[16];
	uint16_t lines;
	bool root, final;
};

struct verifier {
	const struct ledger *ledger;
	struct verify_result *result;
	struct seen **spans; /* [process * threads + thread][n] */
	uint64_t *sizes;
	uint32_t *parents; /* tree index -> parent's tree index */
	uint32_t *ends;	   /* tree index -> how many of its tree end before it */
	uint8_t *depths;   /* tree index -> spans above it */
	uint64_t tree_spans;
	char run_text[48];
};

/* ---- one line --------------------------------------------------------- */

static const char *const keys[] = {"{\"trace_id\":", ",\"span_id\":", ",\"parent_span_id\":",
	",\"timestamp\":", ",\"duration_ms\":", ",\"operation\":", ",\"layer\":", ",\"status\":",
	",\"data\":", ",\"metadata\":", ",\"error\":"};
enum { KEYS = 11 };

/* The end of the JSON value at p, NULL when it is none: strings by their quotes,
 * the rest by balance. */
static const char *skip_value(const char *p, const char *end)
{
	int depth = 0;
	for (; p < end; p++) {
		if (*p == '"') {
			for (p++; p < end && *p != '"'; p++) {
				if (*p == '\\')
					p++;
			}
			if (p >= end)
				return NULL;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p;
			depth--;
		} else if (*p == ',' && depth == 0) {
			return p;
		}
	}
	return NULL;
}

/* Cuts a line into its eleven values; false when it is anything else. */
static bool split_line(const char *line, const char *end, const char *values[KEYS + 1])
{
	const char *p = line;
	for (int i = 0; i < KEYS; i++) {
		size_t length = strlen(keys[i]);
		if ((size_t)(end - p) < length || memcmp(p, keys[i], length) != 0)
			return false;
		values[i] = p + length;
		p = skip_value(p + length, end);
		if (!p)
			return false;
	}
	values[KEYS] = p;
	return p + 1 == end && *p == '}';
}

static bool parse_uuid(const char *text, uint8_t ret_id[16])
{
	int n = 0;
	for (const char *p = text + 1; n < 32; p++) {
		if (*p == '-')
			continue;
		int digit = *p >= '0' && *p <= '9'   ? *p - '0'
			    : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
						     : -1;
		if (digit < 0)
			return false;
		ret_id[n / 2] = (uint8_t)(n % 2 ? ret_id[n / 2] | digit : digit << 4);
		n++;
	}
	return *text == '"';
}

/* The number after `"key":` in the line; false when it isn't there. */
static bool find_number(const char *line, const char *end, const char *key, uint64_t *ret_value)
{
	const char *p = memmem(line, (size_t)(end - line), key, strlen(key));
	if (!p)
		return false;
	*ret_value = strtoull(p + strlen(key), NULL, 10);
	return true;
}

static void take_span(struct verifier *verifier, const char *const values[KEYS + 1])
{
	const struct ledger *ledger = verifier->ledger;
	const char *metadata = values[9], *end = values[10];
	uint64_t process, thread, n;
	if (!find_number(metadata, end, "\"load.process\":", &process) ||
		!find_number(metadata, end, "\"load.thread\":", &thread) ||
		!find_number(metadata, end, "\"load.n\":", &n) || process >= ledger->processes ||
		thread >= ledger->threads ||
		n >= verifier->sizes[process * ledger->threads + thread]) {
		verifier->result->strange++;
		return;
	}
	struct seen *seen = &verifier->spans[process * ledger->threads + thread][n];
	bool final = strncmp(values[7], "\"pending\"", 9) != 0;
	if (seen->lines > 0 && seen->final && final)
		verifier->result->doubled++;
	seen->lines++;
	seen->final |= final;
	seen->root = strncmp(values[2], "null", 4) == 0;
	if (!parse_uuid(values[0], seen->trace_id) || !parse_uuid(values[1], seen->span_id) ||
		(!seen->root && !parse_uuid(values[2], seen->parent_id)))
		verifier->result->malformed++;
}

static void take_line(struct verifier *verifier, const char *line, size_t length)
{
	const char *values[KEYS + 1];
	if (!memmem(line, length, verifier->run_text, strlen(verifier->run_text)))
		return; /* of another load, or of something else */
	if (!split_line(line, line + length, values)) {
		verifier->result->malformed++;
		return;
	}
	take_span(verifier, values);
}

/* ---- files ------------------------------------------------------------ */

static int read_lines(struct verifier *verifier, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	while ((length = getline(&line, &size, file)) > 0) {
		if (line[length - 1] == '\n')
			take_line(verifier, line, (size_t)length - 1);
		else
			verifier->result->malformed++;
	}
	free(line);
	return ferror(file) ? -EIO : 0;
}

/* zstdcat's output, without a shell. */
static int read_sealed(struct verifier *verifier, const char *path)
{
	int ends[2];
	if (pipe(ends) < 0)
		return -errno;
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execlp("zstdcat", "zstdcat", "--", path, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	FILE *file = child > 0 ? fdopen(ends[0], "r") : NULL;
	int error = file ? read_lines(verifier, file) : -errno;
	if (file)
		fclose(file);
	else
		close(ends[0]);
	int status = 0;
	if (child > 0 && (waitpid(child, &status, 0) < 0 || status != 0) && !error)
		error = -EIO;
	return error;
}

static bool ends_with(const char *text, const char *ending)
{
	size_t length = strlen(text), tail = strlen(ending);
	return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static int read_store(struct verifier *verifier, const char *store)
{
	DIR *directory = opendir(store);
	if (!directory)
		return -errno;
	int error = 0;
	struct dirent *entry;
	while (!error && (entry = readdir(directory))) {
		char path[4096];
		int length = snprintf(path, sizeof(path), "%s/%s", store, entry->d_name);
		if (length >= (int)sizeof(path)) {
			error = -ENAMETOOLONG;
		} else if (ends_with(entry->d_name, ".jsonl")) {
			FILE *file = fopen(path, "re");
			error = file ? read_lines(verifier, file) : -errno;
			if (file)
				fclose(file);
		} else if (ends_with(entry->d_name, ".jsonl.zst")) {
			error = read_sealed(verifier, path);
		}
	}
	closedir(directory);
	return error;
}

/* ---- judgement -------------------------------------------------------- */

/* Spans are numbered as they begin: a tree's parents by its preorder; they end in its
 * postorder, when all that began since its own beginning has ended. */
static uint32_t number_tree(
	struct verifier *verifier, uint32_t next, uint32_t parent, uint32_t depth)
{
	uint32_t self = next++;
	verifier->parents[self] = parent;
	if (depth + 1 < verifier->ledger->tree_depth) {
		for (uint32_t i = 0; i < verifier->ledger->tree_fanout; i++)
			next = number_tree(verifier, next, self, depth + 1);
	}
	verifier->ends[self] = next - 1 - depth;
	verifier->depths[self] = (uint8_t)depth;
	return next;
}

static bool placed_right(const struct verifier *verifier, const struct seen *spans, uint64_t n)
{
	uint64_t place = n % verifier->tree_spans;
	if (place == 0)
		return spans[n].root;
	const struct seen *parent = &spans[n - place + verifier->parents[place]];
	if (spans[n].root)
		return false;
	return parent->lines == 0 || (memcmp(parent->span_id, spans[n].parent_id, 16) == 0 &&
					     memcmp(parent->trace_id, spans[n].trace_id, 16) == 0);
}

/* A thread's spans come in the order in which they ended: how many are not there though
 * a later one is. */
static uint64_t count_holes(const struct verifier *verifier, uint64_t index, uint64_t *ret_finished)
{
	uint64_t finished = 0, reached = 0;
	for (uint64_t n = 0; n < verifier->sizes[index]; n++) {
		if (!verifier->spans[index][n].final)
			continue;
		uint64_t place = n % verifier->tree_spans;
		/* The last tree may have been cut short: what never began can't end. */
		uint64_t begun = verifier->sizes[index] - (n - place) - verifier->depths[place];
		uint64_t ends = verifier->ends[place] + UINT64_C(1);
		ends = n - place + (ends < begun ? ends : begun);
		finished++;
		reached = ends > reached ? ends : reached;
	}
	*ret_finished = finished;
	return reached - finished;
}

static uint64_t sum_of(const uint64_t *dropped)
{
	uint64_t sum = 0;
	for (int reason = 0; reason < WAFT_DROP_REASONS; reason++)
		sum += dropped[reason];
	return sum;
}

static void judge_process(struct verifier *verifier, uint32_t process)
{
	const struct ledger *ledger = verifier->ledger;
	const struct ledger_process *row = &ledger->rows[process];
	struct verify_result *result = verifier->result;
	struct verify_process *ret = &result->rows[process];
	uint64_t ended = 0, open = 0, stored = 0, holes = 0;
	for (uint32_t thread = 0; thread < ledger->threads; thread++) {
		uint64_t index = (uint64_t)process * ledger->threads + thread;
		uint64_t finished;
		holes += count_holes(verifier, index, &finished);
		if (row->threads[thread].ended > finished)
			ret->missing += row->threads[thread].ended - finished;
		ended += row->threads[thread].ended;
		open += row->threads[thread].begun - row->threads[thread].ended;
		for (uint64_t n = 0; n < verifier->sizes[index]; n++) {
			const struct seen *seen = &verifier->spans[index][n];
			stored += seen->lines > 0;
			result->pending += seen->lines > 0 && !seen->final;
			if (seen->lines > 0 && !placed_right(verifier, verifier->spans[index], n))
				result->misplaced++;
		}
	}
	ret->ended = ended;
	ret->stored = stored;
	result->emitted += ended;
	result->stored += stored;
	if (row->stats.durable > stored)
		result->lost += row->stats.durable - stored;
	/* What was dropped leaves holes; a killed process may have dropped more than it
	 * came to say. */
	uint64_t dropped = sum_of(row->stats.dropped);
	uint64_t allowed = dropped + row->stats.unknown;
	if (holes > allowed && (row->end == LEDGER_SHUTDOWN || dropped == 0))
		result->holes += holes - allowed;
	if (row->end != LEDGER_SHUTDOWN)
		return;
	uint64_t sum = row->stats.durable + row->stats.unknown + row->stats.in_flight + dropped;
	bool adds_up = sum == row->stats.emitted && row->stats.emitted == ended && open == 0 &&
		       row->stats.in_flight == 0 &&
		       stored <= row->stats.durable + row->stats.unknown;
	result->mismatched += !adds_up;
}

static void verifier_done(struct verifier *verifier)
{
	uint64_t rows = (uint64_t)verifier->ledger->processes * verifier->ledger->threads;
	for (uint64_t i = 0; verifier->spans && i < rows; i++)
		free(verifier->spans[i]);
	free(verifier->spans);
	free(verifier->sizes);
	free(verifier->parents);
	free(verifier->ends);
	free(verifier->depths);
}

static int verifier_init(
	struct verifier *verifier, const struct ledger *ledger, struct verify_result *result)
{
	uint64_t rows = (uint64_t)ledger->processes * ledger->threads;
	*verifier = (struct verifier){.ledger = ledger, .result = result};
	verifier->tree_spans = ledger_tree_spans(ledger);
	snprintf(verifier->run_text, sizeof(verifier->run_text), "\"load.run\":%" PRIu64 ",",
		ledger->run);
	verifier->spans = calloc(rows, sizeof(*verifier->spans));
	verifier->sizes = calloc(rows, sizeof(*verifier->sizes));
	verifier->parents = calloc(verifier->tree_spans, sizeof(*verifier->parents));
	verifier->ends = calloc(verifier->tree_spans, sizeof(*verifier->ends));
	verifier->depths = calloc(verifier->tree_spans, sizeof(*verifier->depths));
	if (!verifier->spans || !verifier->sizes || !verifier->parents || !verifier->ends ||
		!verifier->depths)
		return -ENOMEM;
	number_tree(verifier, 0, 0, 0);
	for (uint64_t i = 0; i < rows; i++) {
		verifier->sizes[i] =
			ledger->rows[i / ledger->threads].threads[i % ledger->threads].begun;
		verifier->spans[i] = calloc(verifier->sizes[i] + 1, sizeof(struct seen));
		if (!verifier->spans[i])
			return -ENOMEM;
	}
	return 0;
}

int verify_store(const struct ledger *ledger, const char *store, struct verify_result *ret_result)
{
	struct verifier verifier;
	struct verify_result result = {0};
	int error = verifier_init(&verifier, ledger, &result);
	if (!error)
		error = read_store(&verifier, store);
	for (uint32_t process = 0; !error && process < ledger->processes; process++)
		judge_process(&verifier, process);
	verifier_done(&verifier);
	if (!error)
		*ret_result = result;
	return error;
}
