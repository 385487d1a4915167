/* See profile.h. */
#include "profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ids.h"

const struct profile_node profile_tree[PROFILE_TREE] = {
	{0, -1}, {0, 0}, {0, 0}, {1, 1}, {1, 3}, {1, 3}, {2, 2}, {2, 6}};

uint64_t profile_number(uint64_t seed, uint64_t n)
{
	return id_mix(seed + n * UINT64_C(0x9e3779b97f4a7c15));
}

/* ---- Snapshots ------------------------------------------------------------ */

enum { ALTERNATIVES_MOST = 3, CRITERIA = 3 };

static const char *const problems[] = {"Choose a language", "Where to host", "Pick a database",
	"Which vendor", "Next office", "Hire for support", "Upgrade path", "Payment provider"};
static const char *const alternatives[] = {"Python", "Go", "Rust", "Zig", "Java", "Berlin", "Oslo",
	"Madrid", "naïve café", "PostgreSQL", "SQLite", "Build", "Buy", "Lease", "Stay", "Move"};
static const char *const criteria[] = {"Cost", "Speed", "Quality", "Cash Flow", "Ecosystem",
	"Joy & Fun", "Scalability", "Ease of Learning", "Risk", "Time to Market"};

#define PICK(table, number) (table)[(number) % (sizeof(table) / sizeof((table)[0]))]

struct decision {
	const char *problem;
	const char *names[ALTERNATIVES_MOST];
	const char *criteria[CRITERIA];
	double weights[CRITERIA];
	double scores[ALTERNATIVES_MOST][CRITERIA];
	unsigned int count;
};

static void decision_draw(uint64_t seed, struct decision *ret)
{
	uint64_t n = 0, first;
	int first_weight, second_weight;

	ret->problem = PICK(problems, profile_number(seed, n++));
	ret->count = 2 + profile_number(seed, n++) % 2;
	first = profile_number(seed, n++);
	for (unsigned int i = 0; i < ret->count; i++)
		ret->names[i] = PICK(alternatives, first + i * 5);
	first = profile_number(seed, n++);
	for (unsigned int i = 0; i < CRITERIA; i++)
		ret->criteria[i] = PICK(criteria, first + i * 3);
	first_weight = 5 + (int)(profile_number(seed, n++) % 50);
	second_weight = 5 + (int)(profile_number(seed, n++) % 35);
	ret->weights[0] = first_weight / 100.0;
	ret->weights[1] = second_weight / 100.0;
	ret->weights[2] = (100 - first_weight - second_weight) / 100.0;
	for (unsigned int i = 0; i < ret->count; i++)
		for (unsigned int k = 0; k < CRITERIA; k++)
			ret->scores[i][k] = (double)(profile_number(seed, n++) % 100) / 10.0;
}

static void append(char *text, uint32_t *length, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void append(char *text, uint32_t *length, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	*length +=
		(uint32_t)vsnprintf(text + *length, PROFILE_TEXT_ROOM - *length, format, arguments);
	va_end(arguments);
}

static void write_request(const struct decision *decision, char *text, uint32_t *ret_length)
{
	uint32_t at = 0;

	append(text, &at, "{\"problem\":\"%s\",\"criteria\":{", decision->problem);
	for (unsigned int k = 0; k < CRITERIA; k++)
		append(text, &at, "%s\"%s\":%.2f", k > 0 ? "," : "", decision->criteria[k],
			decision->weights[k]);
	append(text, &at, "},\"scores\":{");
	for (unsigned int i = 0; i < decision->count; i++) {
		append(text, &at, "%s\"%s\":{", i > 0 ? "," : "", decision->names[i]);
		for (unsigned int k = 0; k < CRITERIA; k++)
			append(text, &at, "%s\"%s\":%.1f", k > 0 ? "," : "", decision->criteria[k],
				decision->scores[i][k]);
		append(text, &at, "}");
	}
	append(text, &at, "}}");
	*ret_length = at;
}

static void write_answer(const struct decision *decision, char *text, uint32_t *ret_length)
{
	double totals[ALTERNATIVES_MOST] = {0};
	bool ranked[ALTERNATIVES_MOST] = {false};
	uint32_t at = 0;

	for (unsigned int i = 0; i < decision->count; i++)
		for (unsigned int k = 0; k < CRITERIA; k++)
			totals[i] += decision->weights[k] * decision->scores[i][k];
	append(text, &at, "{\"ok\":true,\"problem\":\"%s\",\"rankings\":[", decision->problem);
	for (unsigned int rank = 1; rank <= decision->count; rank++) {
		unsigned int best = ALTERNATIVES_MOST;

		for (unsigned int i = 0; i < decision->count; i++)
			if (!ranked[i] && (best == ALTERNATIVES_MOST || totals[i] > totals[best]))
				best = i;
		ranked[best] = true;
		append(text, &at, "%s{\"rank\":%u,\"name\":\"%s\",\"score\":%.12g}",
			rank > 1 ? "," : "", rank, decision->names[best], totals[best]);
	}
	append(text, &at, "],\"is_robust\":%s,\"sensitivity_warnings\":[]}",
		totals[0] > totals[1] ? "true" : "false");
	*ret_length = at;
}

void profile_snapshot_make(uint64_t seed, struct profile_snapshot *ret)
{
	struct decision decision;

	decision_draw(profile_number(seed, 1), &decision);
	write_request(&decision, ret->input, &ret->input_length);
	write_answer(&decision, ret->output, &ret->output_length);
}

void profile_text(uint64_t n, char ret[16])
{
	uint64_t number = profile_number(7, n);
	size_t length = 4 + number % 9;

	for (size_t i = 0; i < length; i++, number /= 26)
		ret[i] = (char)('a' + (number ^ i) % 26);
	ret[length] = '\0';
}

/* ---- Batches -------------------------------------------------------------- */

void profile_trace_id(uint64_t trace, struct trace_id *ret)
{
	uint64_t halves[2] = {profile_number(11, trace), profile_number(13, trace)};

	memcpy(ret->bytes, halves, sizeof(ret->bytes));
	ret->bytes[6] = (uint8_t)(0x40 | (ret->bytes[6] & 0x0f));
	ret->bytes[8] = (uint8_t)(0x80 | (ret->bytes[8] & 0x3f));
}

/* Each service has sequences of its own, all of one base for all batches. */
static uint64_t id_base(unsigned int service)
{
	return UINT64_C(0x1234567890abcdef) * (service + 1);
}

uint64_t profile_span_id(uint64_t trace, unsigned int node)
{
	return id_mix(id_base(profile_tree[node].service) + trace * PROFILE_TREE + node + 1);
}

const char *profile_service(unsigned int service)
{
	static const char *const names[PROFILE_SERVICES] = {"shop", "billing", "stock"};

	return names[service];
}

static const struct shape_write *shapes_of(unsigned int service)
{
	static const struct key_write keys[2] = {
		{{(const uint8_t *)"customer", 8}, WIRE_KEY_STRING},
		{{(const uint8_t *)"items", 5}, WIRE_KEY_INT32}};
	static struct shape_write shapes[PROFILE_SERVICES][PROFILE_SITES];
	static char names[PROFILE_SERVICES][PROFILE_SITES][32];

	for (uint32_t i = 0; i < PROFILE_SITES && shapes[service][i].id == 0; i++) {
		snprintf(names[service][i], sizeof(names[service][i]), "%s.operation_%u",
			profile_service(service), i);
		shapes[service][i] = (struct shape_write){.id = i + 1,
			.name = slice_of_text(names[service][i]),
			.layer = slice_of_text("core"),
			.keys = keys,
			.key_count = 2};
	}
	return shapes[service];
}

struct making {
	const struct profile_batch_plan *plan;
	struct batch_writer writer;
	struct trace_write trace;
	uint64_t first_sequence;
};

/* A span of a trace; its end lies 100 us a node behind the trace's start. */
static bool make_span(struct making *making, uint64_t trace, unsigned int node, bool first)
{
	const struct profile_batch_plan *plan = making->plan;
	uint64_t number = trace * PROFILE_TREE + node;
	bool rare = plan->rare_each > 0 && trace % plan->rare_each == plan->rare_each / 2;
	bool needle = plan->needle_each > 0 && node == 3 &&
		      trace % plan->needle_each == plan->needle_each / 3;
	int8_t parent = profile_tree[node].parent;
	struct profile_snapshot snapshot;
	char text[16];
	struct value values[2] = {{.type = VALUE_TEXT}, {.type = VALUE_INT}};
	struct span_write span = {.values = values};

	profile_text(number, text);
	values[0].text = slice_of_text(needle ? PROFILE_NEEDLE : text);
	values[1].integer = (int64_t)(profile_number(17, number) % 100000);
	span.shape = &shapes_of(plan->service)[profile_number(19, number) % PROFILE_SITES];
	span.sequence = (uint32_t)(number + 1 - making->first_sequence);
	if (parent >= 0 && profile_tree[parent].service == plan->service)
		span.distance = (uint16_t)(node - (unsigned int)parent);
	else if (parent >= 0)
		span.parent_id = profile_span_id(trace, (unsigned int)parent);
	span.duration_raw = 50000 + profile_number(23, number) % 2000000 * (PROFILE_TREE - node);
	if (rare && node == 0)
		span.duration_raw = PROFILE_RARE_NS;
	span.end_raw = plan->start_ns + (trace - plan->first_trace) * plan->trace_gap_ns +
		       node * UINT64_C(1000) + span.duration_raw;
	if ((rare && node == 0) || profile_number(29, number) % 100 == 0) {
		span.status = WIRE_STATUS_ERROR;
		span.error = slice_of_text("no stock is left of what was asked for");
	}
	if (plan->snapshots) {
		profile_snapshot_make(number, &snapshot);
		span.input = needle ? slice_of_text("{\"problem\":\"" PROFILE_NEEDLE_TEXT "\"}")
				    : slice_of(snapshot.input, snapshot.input_length);
		span.output = slice_of(snapshot.output, snapshot.output_length);
	}
	span.trace = first ? &making->trace : NULL;
	return batch_writer_span(&making->writer, &span);
}

void profile_batch_make(const struct profile_batch_plan *plan, struct profile_batch *ret)
{
	struct making making = {.plan = plan, .first_sequence = plan->first_trace * PROFILE_TREE};
	long length;

	batch_writer_init(&making.writer, ret->bytes, sizeof(ret->bytes) - 16);
	batch_writer_producer(&making.writer, slice_of_text(profile_service(plan->service)),
		4711 + plan->service, slice_of_text("host-17"), NULL, 0);
	/* Raw values are nanoseconds since 1970. */
	batch_writer_clock(&making.writer,
		&(struct batch_clock){.source = WIRE_CLOCK_MONOTONIC, .ns_per_tick = 1});
	for (uint32_t i = 0; i < PROFILE_SITES; i++)
		batch_writer_shape(&making.writer, &shapes_of(plan->service)[i]);
	profile_trace_id(plan->first_trace, &making.trace.id);
	batch_writer_section_begin(&making.writer, id_base(plan->service) + making.first_sequence,
		plan->start_ns, 4711 + plan->service, &making.trace);
	ret->spans = 0;
	for (ret->traces = 0; ret->traces < plan->traces; ret->traces++) {
		struct batch_writer before = making.writer;
		uint32_t spans = 0;
		bool room = true;

		profile_trace_id(plan->first_trace + ret->traces, &making.trace.id);
		for (unsigned int node = 0; room && node < PROFILE_TREE; node++) {
			if (profile_tree[node].service != plan->service)
				continue;
			room = make_span(
				&making, plan->first_trace + ret->traces, node, spans == 0);
			spans++;
		}
		if (!room) {
			making.writer = before;
			break;
		}
		ret->spans += spans;
	}
	batch_writer_section_end(&making.writer);
	length = batch_writer_finish(&making.writer);
	if (length < 0)
		abort();
	ret->length = (size_t)length;
}
