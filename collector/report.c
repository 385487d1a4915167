/* The daemon about itself. Loop thread. */
#include "report.h"

#include "collector_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Clients in one answer of Status: the ones heard of last. */
#define CLIENTS_LISTED 4096u
#define CLIENTS_A_MESSAGE 256u

/* ---- Gathering ------------------------------------------------------------------ */

static void add_labelled(struct report *report, const char *name, const char *label, bool counter,
	uint64_t value, const char *help)
{
	if (report->number_count < REPORT_NUMBERS_MAX)
		report->numbers[report->number_count++] = (struct report_number){.name = name,
			.label = label,
			.help = help,
			.counter = counter,
			.value = value};
}

static void add_count(struct report *report, const char *name, uint64_t value, const char *help)
{
	add_labelled(report, name, NULL, true, value, help);
}

static void add_gauge(struct report *report, const char *name, uint64_t value, const char *help)
{
	add_labelled(report, name, NULL, false, value, help);
}

static void add_reason(struct report *report, const char *what, const char *why)
{
	char *text = report->texts[report->reason_count];

	if (report->reason_count == REPORT_REASONS_MAX)
		return;
	snprintf(text, sizeof(report->texts[0]), "%s%s%s", what, why != NULL ? ": " : "",
		why != NULL ? why : "");
	report->reasons[report->reason_count++] = text;
}

/* Bytes of the process that are in memory; 0 when that can't be told. */
static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %llu", &pages) != 1) // NOLINT(cert-err34-c): the kernel's own text
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void gather_intake(struct collector *collector, struct report *report)
{
	struct intake_counts intake;
	struct committer_counts commits;
	struct export_counts exports;

	intake_count(collector->intake, &intake);
	committer_count(intake_committer(collector->intake), &commits);
	export_service_count(collector->exports, &exports);
	add_count(report, "batches_durable_total", intake.batches,
		"Batches made durable since the start.");
	add_count(
		report, "spans_durable_total", intake.spans, "Spans made durable since the start.");
	add_count(report, "batch_bytes_total", intake.bytes,
		"Bytes of durable batches since the start.");
	add_count(report, "drop_records_total", intake.drops,
		"Records of dropped spans since the start.");
	add_count(report, "batches_refused_total", intake.refused,
		"Batches refused for good since the start.");
	add_count(report, "batches_duplicate_total", exports.duplicates + intake.repeated,
		"Batches that came again and were not stored twice, since the start.");
	add_gauge(report, "pending_batches", intake.pending_batches,
		"Batches that wait for their commit.");
	add_gauge(report, "pending_bytes", intake.pending_bytes,
		"Memory of batches that wait for their commit.");
	add_count(report, "log_commits_total", commits.commits, "Synced writes of the log.");
	add_count(report, "log_commit_failures_total", commits.failures,
		"Writes or syncs of the log that failed.");
	add_gauge(report, "log_commit_last_ns", commits.last_ns,
		"What the last commit of the log took.");
	add_gauge(report, "sessions", exports.sessions, "Senders that are connected.");
	add_count(report, "hellos_total", exports.hellos, "Senders that connected.");
	add_count(report, "sessions_replaced_total", exports.replaced,
		"Sessions ended by a newer one of the same client.");
	add_count(report, "clients_forgotten_total", exports.forgotten,
		"Clients told to take a new id.");
	add_count(report, "sequence_gaps_total", exports.gaps,
		"Sessions ended for a gap in their numbers.");
	add_count(report, "credit_overdrawn_total", exports.overdrawn,
		"Sessions ended for sending without credit.");
	add_count(report, "sessions_stalled_total", exports.stalled,
		"Sessions ended because there was no room.");
}

static void gather_store(struct collector *collector, struct report *report)
{
	static const char *const reasons[RUN_REASONS] = {
		[RUN_ENDED] = "reason=\"ended\"",
		[RUN_HELD] = "reason=\"held\"",
		[RUN_BIG] = "reason=\"big\"",
		[RUN_MEMORY] = "reason=\"memory\"",
		[RUN_LOG] = "reason=\"log\"",
		[RUN_DRAIN] = "reason=\"drain\"",
	};
	struct assembler_counts held;
	struct keeper_counts kept;
	struct writer_stats written = {0};
	struct verifier_counts verified;

	verifier_count(collector->verifier, &verified);
	assembly_count(collector->depot.assembly, &held);
	keepers_count(collector->keepers, &kept);
	writer_get_stats(collector->depot.stores[0], &written);
	add_gauge(report, "spans_waiting", held.spans, "Durable spans that are not in a file yet.");
	add_gauge(report, "traces_waiting", held.traces, "Traces that are being assembled.");
	add_gauge(report, "assembler_bytes", held.bytes, "Memory of the assembler.");
	for (int i = 0; i < RUN_REASONS; i++)
		add_labelled(report, "runs_total", reasons[i], true, held.runs[i],
			"Runs taken to be written, by reason.");
	add_gauge(report, "store_queue_spans", kept.waiting_spans, "Spans at the store's thread.");
	add_gauge(report, "store_spans_per_second", kept.spans_per_s,
		"What the store writes while it is busy.");
	add_count(report, "spans_written_total", written.spans_written,
		"Spans in files, removed ones included.");
	add_count(report, "spans_expired_total", written.spans_expired,
		"Spans removed by retention.");
	add_count(report, "store_commits_total", written.commits,
		"Commits of files since the start.");
	add_count(report, "store_failures_total", written.failures,
		"Operations on files that failed.");
	add_count(report, "spans_quarantined_total", written.spans_quarantined,
		"Spans that were in the log and could not be read there.");
	add_count(report, "parts_verified_total", verified.parts,
		"Files whose committed bytes were compared with their checksum since the start.");
	add_count(report, "parts_damaged_total", verified.damaged,
		"Of them, those that didn't match or couldn't be read.");
	add_count(report, "parts_sealed_total", kept.sealed_parts,
		"Files that were sealed since the start.");
	add_gauge(report, "store_parts", written.parts, "Files of the store.");
	add_gauge(
		report, "store_bytes", written.part_bytes, "Committed bytes of the store's files.");
	add_gauge(report, "log_bytes", log_total_bytes(collector->depot.recovery.log),
		"Bytes of the write-ahead log.");
	if (collector->depot.index != NULL)
		add_gauge(report, "index_bytes", index_memory(collector->depot.index),
			"Memory of the index.");
}

static void gather_connections(struct collector *collector, struct report *report)
{
	struct server_counts server;
	struct export_counts exports;
	struct query_counts queries;
	struct tail_counts tails;
	struct quota_counts quotas;

	quotas_count(collector->quotas, &quotas);
	server_count(collector->server, &server);
	query_service_count(collector->queries, &queries);
	tail_service_count(collector->tails, &tails);
	add_gauge(report, "connections", server.connections, "Open connections.");
	add_count(report, "connections_total", server.accepted, "Connections accepted.");
	add_count(report, "connections_refused_total", server.refused,
		"Connections refused for the limit.");
	add_count(report, "client_connections_refused_total", quotas.refused,
		"Connections refused because their client has as many as it may.");
	add_count(report, "client_credit_held_total", quotas.held,
		"Times that a client got no credit for what it sent a second.");
	add_gauge(report, "client_accounts", quotas.accounts,
		"Users, certificates, tokens and addresses that quotas are kept of.");
	add_count(report, "tls_failed_total", server.tls_failed,
		"TLS handshakes that failed or took too long.");
	add_count(report, "calls_unauthenticated_total", server.frames.unauthenticated,
		"Calls of unknown peers or with a wrong token.");
	add_count(report, "calls_denied_total", server.frames.denied,
		"Calls of peers without the right.");
	add_count(report, "reloads_total", collector->reloads, "Times that SIGHUP came");
	add_count(report, "reloads_failed_total", collector->reloads_failed,
		"Of these those that found something bad: the old stayed");
	add_count(report, "connections_shed_total", server.shed,
		"Connections ended for what they cost.");
	export_service_count(collector->exports, &exports);
	add_count(report, "descriptors_unasked_total", server.descriptors + exports.unasked,
		"Descriptors that peers passed unasked, and that were closed.");
	add_count(report, "connections_timeout_total", server.frames.timeouts,
		"Connections ended for their silence.");
	add_count(report, "frames_total", server.frames.frames, "Frames received.");
	add_count(report, "frames_bad_total", server.frames.bad_frames,
		"Frames with a wrong magic, length or checksum.");
	add_count(report, "frames_bad_version_total", server.frames.bad_versions,
		"Frames of a version not spoken here.");
	add_gauge(report, "frame_bytes", server.frame_bytes, "Bytes of frames that are not whole.");
	add_gauge(report, "write_queue_bytes", server.queued_bytes, "Bytes queued for peers.");
	add_count(report, "queries_total", queries.queries, "Queries.");
	add_gauge(report, "queries_running", queries.running, "Queries that run now.");
	add_count(report, "queries_refused_total", queries.refused,
		"Queries refused because too many waited.");
	add_count(report, "queries_failed_total", queries.failed, "Queries that failed.");
	add_count(report, "query_bad_lines_total", queries.bad_lines,
		"Lines of files that queries passed over because they are no records, each time.");
	add_count(report, "queries_cancelled_total", queries.cancelled,
		"Queries that their callers gave up.");
	add_gauge(report, "tails", tails.tails, "Readers that tail.");
	add_count(report, "tail_spans_total", tails.sent, "Spans sent to readers that tail.");
	add_count(
		report, "tail_missed_total", tails.missed, "Spans that readers were too slow for.");
}

static void gather_inbox(struct collector *collector, struct report *report)
{
	struct inbox_counts inbox = {0};

	if (collector->inbox != NULL)
		inbox_count(collector->inbox, &inbox);
	add_count(report, "inbox_files_total", inbox.files, "Inbox files taken in.");
	add_count(report, "inbox_batches_total", inbox.batches, "Messages taken from inbox files.");
	add_count(report, "inbox_torn_bytes_total", inbox.torn_bytes,
		"Bytes of messages that a kill cut off.");
	add_count(report, "inbox_damaged_total", inbox.damaged_files,
		"Inbox files with a bad frame.");
}

static void gather_regions(struct collector *collector, struct report *report)
{
	struct regions_counts regions = {0};
	struct export_counts exports;

	if (collector->regions != NULL)
		regions_count(collector->regions, &regions);
	export_service_count(collector->exports, &exports);
	add_gauge(report, "regions_held", regions.held,
		"Clients whose memory region is held, to be salvaged.");
	add_count(report, "regions_refused_total", regions.refused,
		"Regions that were not taken: no memfd, not sealed, or too many.");
	add_count(report, "clients_salvaged_total", regions.salvaged,
		"Clients that something was salvaged of.");
	add_count(report, "spans_salvaged_total", regions.finished,
		"Finished spans made durable from regions.");
	add_count(report, "spans_salvaged_open_total", regions.open,
		"Open spans stored as pending from regions.");
	add_count(report, "spans_salvaged_dropped_total", regions.dropped,
		"Drops counted from regions.");
	add_count(report, "regions_damaged_total", regions.damaged,
		"Pieces of regions whose bytes made no sense.");
	add_count(
		report, "regions_failed_total", regions.failed, "Regions that could not be read.");
	add_count(report, "clients_fenced_total", exports.fenced,
		"Clients that came back and were told what was salvaged.");
}

static void gather_taken(struct collector *collector, struct report *report)
{
	struct forward_service_counts taken;

	forward_service_count(collector->forwarded, &taken);
	add_gauge(report, "forward_agents", taken.sessions, "Agents that are connected.");
	add_count(report, "forward_records_taken_total", taken.records,
		"Records taken from agents since the start.");
	add_count(report, "forward_duplicates_total", taken.duplicates,
		"Records of agents that were stored already.");
	add_count(report, "forward_refused_total", taken.refused,
		"Batches of agents that were refused for good.");
	add_count(report, "forward_sessions_ended_total", taken.ended,
		"Sessions of agents ended for a fault or want of room.");
}

static void gather_forward(struct collector *collector, struct report *report)
{
	struct forward_counts sent;
	struct keeper_counts kept;
	uint64_t open = 0;
	uint64_t bytes = 0;

	gather_taken(collector, report);
	if (collector->forward == NULL)
		return;
	keepers_count(collector->keepers, &kept);
	forward_count(collector->forward, &sent);
	for (size_t i = 0; i < sent.gateway_count; i++) {
		open += sent.gateways[i].open;
		bytes += sent.gateways[i].sent_bytes;
	}
	add_gauge(report, "forward_gateways", sent.gateway_count, "Gateways of this agent.");
	add_gauge(report, "forward_gateways_open", open, "Gateways that it is connected to.");
	add_gauge(report, "forward_idle", open > 0 && forward_idle(collector->forward),
		"Whether all in the log is answered by gateways.");
	add_count(report, "forward_records_total", sent.records,
		"Records answered by gateways since the start.");
	add_count(report, "forward_spans_total", sent.spans, "Spans answered by gateways.");
	add_count(report, "forward_bytes_total", bytes, "Bytes sent to gateways since the start.");
	add_labelled(report, "forward_dropped_spans_total", "reason=\"forward_full\"", true,
		collector->depot.recovery.spans_shed + collector->dropped_before + kept.shed_spans,
		"Spans given up because gateways were away for too long.");
	add_count(report, "forward_refused_by_gateways_total", sent.refused,
		"Batches that gateways refused for good.");
	add_count(report, "forward_moved_total", sent.moved,
		"Shares that went to another gateway since the start.");
	add_count(report, "forward_unreadable_total", sent.unreadable,
		"Records of the log that could not be read to be forwarded.");
	add_gauge(report, "forward_in_flight", sent.in_flight, "Records on their way to gateways.");
	for (size_t i = 0; i < sent.gateway_count; i++)
		if (!sent.gateways[i].open && sent.gateways[i].why[0] != '\0')
			add_reason(report, "a gateway is not there", sent.gateways[i].why);
}

static void gather_clients(struct collector *collector, struct report *report)
{
	struct client_counts total;

	clients_total(collector->depot.clients, &total);
	add_count(report, "client_spans_emitted_total", total.emitted,
		"Spans that clients emitted, by their own word.");
	add_count(report, "client_spans_durable_total", total.durable,
		"Spans made durable, earlier runs included.");
	add_count(report, "client_spans_dropped_total", total.dropped,
		"Spans that clients dropped, refused ones included.");
	add_count(report, "client_spans_unknown_total", total.unknown,
		"Spans sent and never answered.");
	add_count(report, "client_spans_not_sampled_total", total.not_sampled,
		"Spans that were not sampled.");
}

static void gather_reasons(struct collector *collector, struct report *report)
{
	const struct recovery *recovery = &collector->depot.recovery;
	struct verifier_counts verified;
	char damaged[PART_NAME_BYTES];

	verifier_count(collector->verifier, &verified);
	report->serving = collector->state == COLLECTOR_RUNNING;
	if (!report->serving)
		add_reason(report, "it is stopping", NULL);
	if (collector->commit_error != 0)
		add_reason(report, "the log can't be written", error_text(collector->commit_error));
	if (collector->store_error != 0)
		add_reason(
			report, "the files can't be written", error_text(collector->store_error));
	if (collector->pressure.reason != NULL && collector->commit_error == 0)
		add_reason(report, "senders have to wait", collector->pressure.reason);
	if (recovery->manifest_lost || recovery->manifest_damaged)
		add_reason(
			report, "the manifest was lost or damaged: files may be unverified", NULL);
	if (recovery->parts_missing + recovery->parts_short > 0)
		add_reason(report, "files are missing or shorter than committed", NULL);
	if (recovery->parts_unreadable > 0)
		add_reason(report, "files could not be read at the start", error_text(-EIO));
	if (verified.damaged > 0)
		add_reason(report,
			verified.damaged > 1 ? "committed bytes of files are damaged, at first of"
					     : "committed bytes of a file are damaged",
			verified.first_damaged);
	else if (live_damaged(collector->depot.live, damaged) > 0)
		add_reason(report, "a file is damaged: spans in it can't be read", damaged);
	if (recovery->log_bytes_damaged + recovery->log_segments_lost > 0)
		add_reason(report, "the log was damaged: see .waft/quarantine", NULL);
	if (recovery->log_cut)
		add_reason(report, "the log lost its end: acknowledged spans may be gone", NULL);
}

void report_gather(struct collector *collector, struct report *ret)
{
	memset(ret, 0, sizeof(*ret));
	gather_intake(collector, ret);
	gather_store(collector, ret);
	gather_connections(collector, ret);
	gather_inbox(collector, ret);
	gather_forward(collector, ret);
	gather_clients(collector, ret);
	gather_regions(collector, ret);
	add_gauge(ret, "resident_bytes", resident_bytes(), "Memory of the process.");
	add_gauge(ret, "uptime_ms", collector_now_ms(collector) - collector->started_ms,
		"Time since the start.");
	gather_reasons(collector, ret);
}

static uint64_t number_of(const struct report *report, const char *name)
{
	for (size_t i = 0; i < report->number_count; i++)
		if (strcmp(report->numbers[i].name, name) == 0)
			return report->numbers[i].value;
	return 0;
}

/* ---- Health ----------------------------------------------------------------------- */

void report_health(void *context, uint32_t stream_id, struct answer *ret)
{
	struct collector *collector = context;
	Waft__V1__HealthResponse response = WAFT__V1__HEALTH_RESPONSE__INIT;
	char *reasons[REPORT_REASONS_MAX];
	struct report report;

	report_gather(collector, &report);
	for (size_t i = 0; i < report.reason_count; i++)
		reasons[i] = report.texts[i];
	response.state = !report.serving	   ? WAFT__V1__HEALTH_RESPONSE__STATE__NOT_SERVING
			 : report.reason_count > 0 ? WAFT__V1__HEALTH_RESPONSE__STATE__DEGRADED
						   : WAFT__V1__HEALTH_RESPONSE__STATE__SERVING;
	response.n_reasons = report.reason_count;
	response.reasons = reasons;
	response.version = (char *)(uintptr_t)WAFT_VERSION_TEXT;
	response.uptime_ms = number_of(&report, "uptime_ms");
	answer_pack(&response.base, stream_id, ret);
}

/* ---- Status ------------------------------------------------------------------------ */

/* One client of an answer, with the memory behind it. */
struct listed_client {
	Waft__V1__ClientStatus status;
	Waft__V1__ClientStatus__DroppedEntry entries[CLIENTS_REASONS_MAX];
	Waft__V1__ClientStatus__DroppedEntry *pointers[CLIENTS_REASONS_MAX];
};

static void fill_counts(
	struct clients *clients, const struct client_counts *counts, struct listed_client *listed)
{
	size_t used = 0;

	waft__v1__client_status__init(&listed->status);
	listed->status.emitted = counts->emitted;
	listed->status.durable = counts->durable;
	listed->status.unknown = counts->unknown;
	listed->status.duplicates = counts->duplicates;
	for (size_t i = 0; i < CLIENTS_REASONS_MAX; i++) {
		const char *reason = clients_reason(clients, i);

		if (reason == NULL || counts->dropped_by[i] == 0)
			continue;
		waft__v1__client_status__dropped_entry__init(&listed->entries[used]);
		listed->entries[used].key = (char *)(uintptr_t)reason;
		listed->entries[used].value = counts->dropped_by[i];
		listed->pointers[used] = &listed->entries[used];
		used++;
	}
	listed->status.n_dropped = used;
	listed->status.dropped = listed->pointers;
}

static void fill_client(
	struct collector *collector, struct client_info *info, struct listed_client *listed)
{
	fill_counts(collector->depot.clients, &info->counts, listed);
	listed->status.client = (ProtobufCBinaryData){.len = 16, .data = info->client};
	listed->status.service = info->service;
	listed->status.pid = info->pid;
	listed->status.connected = export_service_connected(collector->exports, info->client);
	listed->status.durable_sequence = info->sequence;
}

static int compare_last(const void *left, const void *right)
{
	const struct client_info *a = left;
	const struct client_info *b = right;

	return (a->last_ns < b->last_ns) - (a->last_ns > b->last_ns);
}

/* Everything that a Status answer points to. */
struct status_answer {
	Waft__V1__StatusResponse response;
	struct report report;
	struct client_info *infos;
	struct listed_client *listed;
	Waft__V1__ClientStatus **clients;
	size_t client_count;
	struct listed_client total;
	Waft__V1__StatusResponse__CountersEntry counters[REPORT_NUMBERS_MAX];
	Waft__V1__StatusResponse__CountersEntry *pointers[REPORT_NUMBERS_MAX];
	char names[REPORT_NUMBERS_MAX][64];
};

/* "runs_total" with reason="ended" is the counter runs_total.ended. */
static void fill_counters(struct status_answer *status)
{
	for (size_t i = 0; i < status->report.number_count; i++) {
		const struct report_number *number = &status->report.numbers[i];
		const char *quote = number->label != NULL ? strchr(number->label, '"') : NULL;
		int length = quote != NULL ? (int)strcspn(quote + 1, "\"") : 0;

		snprintf(status->names[i], sizeof(status->names[i]), "%s%s%.*s", number->name,
			quote != NULL ? "." : "", length, quote != NULL ? quote + 1 : "");
		waft__v1__status_response__counters_entry__init(&status->counters[i]);
		status->counters[i].key = status->names[i];
		status->counters[i].value = number->value;
		status->pointers[i] = &status->counters[i];
	}
	status->response.n_counters = status->report.number_count;
	status->response.counters = status->pointers;
}

static int fill_clients(struct collector *collector, struct status_answer *status)
{
	size_t count = clients_list(collector->depot.clients, NULL, 0);
	size_t listed;

	status->infos = calloc(count + 1, sizeof(*status->infos));
	if (status->infos == NULL)
		return -ENOMEM;
	listed = clients_list(collector->depot.clients, status->infos, count);
	if (listed < count)
		count = listed;
	qsort(status->infos, count, sizeof(*status->infos), compare_last);
	if (count > CLIENTS_LISTED)
		count = CLIENTS_LISTED;
	status->listed = calloc(count + 1, sizeof(*status->listed));
	status->clients = calloc(count + 1, sizeof(*status->clients));
	if (status->listed == NULL || status->clients == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		fill_client(collector, &status->infos[i], &status->listed[i]);
		status->clients[i] = &status->listed[i].status;
	}
	status->client_count = count;
	return 0;
}

struct quarantined {
	struct disk *disk;
	int dir;
	uint64_t bytes;
};

static int on_quarantined(void *context, const char *name)
{
	struct quarantined *quarantined = context;
	struct disk_stat stat;

	if (disk_stat_name(quarantined->disk, quarantined->dir, name, &stat) == 0)
		quarantined->bytes += stat.length_bytes;
	return 0;
}

/* What lies in quarantine, whenever it got there. */
static uint64_t quarantined_bytes(const struct collector *collector)
{
	struct quarantined quarantined = {
		.disk = collector->depot.disk, .dir = collector->depot.dirs.quarantine};

	/* As many as can be told. */
	(void)!disk_list(quarantined.disk, quarantined.dir, on_quarantined, &quarantined);
	return quarantined.bytes;
}

static int fill_status(struct collector *collector, struct status_answer *status)
{
	Waft__V1__StatusResponse *response = &status->response;
	struct client_counts total;

	waft__v1__status_response__init(response);
	report_gather(collector, &status->report);
	clients_total(collector->depot.clients, &total);
	fill_counts(collector->depot.clients, &total, &status->total);
	response->total = &status->total.status;
	response->store = collector->depot.path;
	response->store_bytes = number_of(&status->report, "store_bytes");
	response->log_bytes = number_of(&status->report, "log_bytes");
	response->spans_waiting = number_of(&status->report, "spans_waiting");
	response->spans_written = number_of(&status->report, "spans_written_total");
	response->spans_expired = number_of(&status->report, "spans_expired_total");
	response->quarantined_bytes = quarantined_bytes(collector);
	response->batches_refused = number_of(&status->report, "batches_refused_total");
	response->resident_bytes = number_of(&status->report, "resident_bytes");
	fill_counters(status);
	return fill_clients(collector, status);
}

/* All but clients in the first message, and as many clients as are good for one in each. */
static void pack_status(struct status_answer *status, uint32_t stream_id, struct answer *ret)
{
	size_t at = 0;

	do {
		size_t count = status->client_count - at;

		if (count > CLIENTS_A_MESSAGE)
			count = CLIENTS_A_MESSAGE;
		status->response.clients = status->clients + at;
		status->response.n_clients = count;
		answer_pack(&status->response.base, stream_id, ret);
		waft__v1__status_response__init(&status->response);
		at += count;
	} while (at < status->client_count && ret->status == GRPC_OK);
}

static void free_status(struct status_answer *status)
{
	if (status == NULL)
		return;
	free(status->infos);
	free(status->listed);
	free(status->clients);
	free(status);
}

void report_status(void *context, uint32_t stream_id, struct answer *ret)
{
	struct status_answer *status = calloc(1, sizeof(*status));

	if (status == NULL || fill_status(context, status) < 0)
		answer_fail(ret, GRPC_RESOURCE_EXHAUSTED, "the collector is out of memory");
	else
		pack_status(status, stream_id, ret);
	free_status(status);
}

/* ---- Clients ------------------------------------------------------------------------ */

/* Accounts of one message. */
struct listed_accounts {
	uint32_t stream_id;
	struct answer *answer;
	size_t count;
	Waft__V1__AccountStatus accounts[CLIENTS_A_MESSAGE];
	Waft__V1__AccountStatus *pointers[CLIENTS_A_MESSAGE];
};

static void pack_accounts(struct listed_accounts *listed)
{
	Waft__V1__ListClientsResponse response = WAFT__V1__LIST_CLIENTS_RESPONSE__INIT;

	response.n_accounts = listed->count;
	response.accounts = listed->pointers;
	if (listed->count > 0)
		answer_pack(&response.base, listed->stream_id, listed->answer);
	listed->count = 0;
}

static void add_account(void *context, const struct quota_view *view)
{
	struct listed_accounts *listed = context;
	Waft__V1__AccountStatus *account = &listed->accounts[listed->count];

	waft__v1__account_status__init(account);
	account->name = (char *)(uintptr_t)view->name;
	account->connections = view->connections;
	account->senders = view->senders;
	account->in_flight_bytes = view->in_flight_bytes;
	account->received_bytes = view->received_bytes;
	account->connections_refused = view->refused;
	account->credit_held = view->held;
	listed->pointers[listed->count++] = account;
	if (listed->count == CLIENTS_A_MESSAGE)
		pack_accounts(listed);
}

static void pack_clients(const struct status_answer *status, uint32_t stream_id, struct answer *ret)
{
	for (size_t at = 0; at < status->client_count; at += CLIENTS_A_MESSAGE) {
		Waft__V1__ListClientsResponse response = WAFT__V1__LIST_CLIENTS_RESPONSE__INIT;
		size_t count = status->client_count - at;

		response.clients = status->clients + at;
		response.n_clients = count < CLIENTS_A_MESSAGE ? count : CLIENTS_A_MESSAGE;
		answer_pack(&response.base, stream_id, ret);
	}
}

void report_clients(void *context, uint32_t stream_id, struct answer *ret)
{
	struct collector *collector = context;
	struct status_answer *status = calloc(1, sizeof(*status));
	struct listed_accounts *accounts = calloc(1, sizeof(*accounts));

	if (status == NULL || accounts == NULL || fill_clients(collector, status) < 0) {
		answer_fail(ret, GRPC_RESOURCE_EXHAUSTED, "the collector is out of memory");
	} else {
		accounts->stream_id = stream_id;
		accounts->answer = ret;
		quotas_each(collector->quotas, add_account, accounts);
		pack_accounts(accounts);
		pack_clients(status, stream_id, ret);
	}
	free_status(status);
	free(accounts);
}

/* ---- Texts -------------------------------------------------------------------------- */

char *report_metrics(const struct report *report, size_t *ret_length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_length);
	const char *before = "";

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < report->number_count; i++) {
		const struct report_number *number = &report->numbers[i];

		/* Numbers of one name stand together; the head once. */
		if (strcmp(before, number->name) != 0)
			fprintf(out,
				"# HELP waft_collector_%s %s\n"
				"# TYPE waft_collector_%s %s\n",
				number->name, number->help, number->name,
				number->counter ? "counter" : "gauge");
		before = number->name;
		fprintf(out, "waft_collector_%s%s%s%s %llu\n", number->name,
			number->label != NULL ? "{" : "",
			number->label != NULL ? number->label : "",
			number->label != NULL ? "}" : "", (unsigned long long)number->value);
	}
	fprintf(out,
		"# HELP waft_collector_healthy Whether nothing needs a person.\n"
		"# TYPE waft_collector_healthy gauge\n"
		"waft_collector_healthy %d\n",
		report->serving && report->reason_count == 0);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

char *report_healthz(const struct report *report, size_t *ret_length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_length);

	if (out == NULL)
		return NULL;
	if (report->reason_count == 0)
		fputs("ok\n", out);
	for (size_t i = 0; i < report->reason_count; i++)
		fprintf(out, "%s\n", report->texts[i]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
