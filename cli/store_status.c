/*
 * store_status.c: the ledger and the state of a store, without a collector.
 *
 * The manifest holds the counts of each client as of some place of the log; what
 * the log has behind it is counted on top, just as the daemon does when it starts.
 */
#include "store_backend.h"

#include "clients.h"
#include "ids.h"
#include "log.h"
#include "manifest.h"
#include "reader.h"
#include "recover.h"

#include <errno.h>
#include <string.h>

enum { ATTEMPTS = 5, CLIENTS_SHOWN_MAX = 1000 };

/* What is read of a store to count its spans. */
struct counting {
	struct disk disk;
	struct store_dirs dirs;
	struct manifest_state manifest;
	struct clients *clients;
};

static int on_record(void *ctx, struct log_place place, const struct log_record *record)
{
	struct counting *counting = ctx;
	int result = clients_durable(counting->clients, place, record);

	/* The log keeps records twice after a failed sync; the first one counted. */
	return result == -ENOMEM ? result : 0;
}

static void counting_done(struct counting *counting)
{
	clients_free(counting->clients);
	manifest_state_done(&counting->manifest);
	counting->clients = NULL;
}

/* Reads manifest and log once. 1: they are of one moment; 0: the daemon changed the
 * manifest meanwhile. */
static int count_once(struct counting *counting)
{
	static const struct log_scan_ops ops = {.on_record = on_record};
	struct log_scan_result scanned;
	int result = clients_new(0, &counting->clients);

	if (result != 0)
		return result;
	if (counting->dirs.waft < 0)
		return 1;
	result = manifest_load(&counting->disk, counting->dirs.waft, clients_on_manifest,
		counting->clients, &counting->manifest);
	if (result == 0)
		result = clients_on_counters(counting->clients, &counting->manifest);
	if (result == 0 && counting->dirs.log >= 0)
		result = log_scan(&counting->disk, counting->dirs.log, NULL,
			counting->manifest.first_segment, &ops, counting, &scanned);
	if (result != 0)
		return result;
	return manifest_unchanged(&counting->disk, counting->dirs.waft, &counting->manifest);
}

static int copy_drops(struct status_build *into, struct counting *counting,
	const struct client_counts *counts, struct waft_ledger *ledger)
{
	struct waft_count *dropped =
		scratch_alloc(&into->scratch, CLIENTS_REASONS_MAX * sizeof *dropped);

	if (dropped == NULL)
		return -ENOMEM;
	ledger->dropped = dropped;
	for (size_t i = 0; i < CLIENTS_REASONS_MAX; i++) {
		const char *reason = clients_reason(counting->clients, i);

		if (reason == NULL || counts->dropped_by[i] == 0)
			continue;
		dropped[ledger->dropped_count].name =
			copy_text(&into->scratch, slice_of_text(reason));
		dropped[ledger->dropped_count].value = counts->dropped_by[i];
		if (dropped[ledger->dropped_count].name == NULL)
			return -ENOMEM;
		ledger->dropped_count++;
	}
	return 0;
}

/* What is known of single clients; nobody knows who is connected. */
static int copy_clients(struct status_build *into, struct counting *counting)
{
	size_t known = clients_list(counting->clients, NULL, 0);
	struct client_info *infos;
	struct waft_ledger *ledgers;

	if (known > CLIENTS_SHOWN_MAX)
		known = CLIENTS_SHOWN_MAX;
	infos = scratch_alloc(&into->scratch, (known + 1) * sizeof *infos);
	ledgers = scratch_alloc(&into->scratch, (known + 1) * sizeof *ledgers);
	if (infos == NULL || ledgers == NULL)
		return -ENOMEM;
	(void)clients_list(counting->clients, infos, known);
	for (size_t i = 0; i < known; i++) {
		ledgers[i] = (struct waft_ledger){.service = infos[i].service,
			.pid = infos[i].pid,
			.emitted = infos[i].counts.emitted,
			.durable = infos[i].counts.durable,
			.unknown = infos[i].counts.unknown,
			.duplicates = infos[i].counts.duplicates};
		hex_format(infos[i].client, sizeof infos[i].client, ledgers[i].client);
		if (copy_drops(into, counting, &infos[i].counts, &ledgers[i]) != 0)
			return -ENOMEM;
	}
	into->status.clients = ledgers;
	into->status.client_count = known;
	return 0;
}

static int copy_counted(struct status_build *into, struct counting *counting)
{
	struct waft_status *status = &into->status;
	struct client_counts counts;

	clients_total(counting->clients, &counts);
	status->total.service = "";
	status->total.emitted = counts.emitted;
	status->total.durable = counts.durable;
	status->total.unknown = counts.unknown;
	status->total.duplicates = counts.duplicates;
	status->spans_written = counting->manifest.spans_written;
	status->spans_expired = counting->manifest.spans_expired;
	for (size_t i = 0; i < counting->manifest.quarantine_count; i++)
		status->quarantined_bytes += counting->manifest.quarantine[i].length_bytes;
	if (copy_drops(into, counting, &counts, &status->total) != 0)
		return -ENOMEM;
	return copy_clients(into, counting);
}

static void bad_lines_reason(struct strbuf *text, const struct reader_report *report)
{
	strbuf_format(text,
		"lines that are not records and were passed over: %llu, the first in %s",
		(unsigned long long)report->bad_lines, report->bad_file);
	if (report->bad_line != 0)
		strbuf_format(text, ", line %llu", (unsigned long long)report->bad_line);
	else
		strbuf_format(text, ", at byte %llu", (unsigned long long)report->bad_offset);
	strbuf_format(text, ": %s", report->bad_why);
}

/* What makes the store less than whole, in words. */
static int add_reasons(struct status_build *into, const struct reader_report *report)
{
	const char **reasons = scratch_alloc(&into->scratch, 5 * sizeof *reasons);
	struct strbuf text = {0};
	size_t count = 0;

	if (reasons == NULL)
		return -ENOMEM;
	if (report->manifest_damaged)
		reasons[count++] =
			"the manifest is damaged or was cut off: files are read to their "
			"ends";
	else if (report->unverified && into->status.store_bytes != 0)
		reasons[count++] = "no manifest says what is whole here: shown as unverified";
	if (report->log_cut)
		reasons[count++] = "the log ends before records that were synced: spans may be "
				   "missing";
	if (report->unreadable_files != 0) {
		strbuf_format(&text, "%llu files could not be read, the first %s: %s",
			(unsigned long long)report->unreadable_files, report->unreadable_file,
			error_text(report->unreadable_error));
		reasons[count] = copy_text(&into->scratch, slice_of(text.bytes, text.length));
		count += reasons[count] != NULL;
	}
	if (report->damaged_files != 0) {
		strbuf_clear(&text);
		strbuf_format(&text, "%llu files are damaged in places, the first %s: %s",
			(unsigned long long)report->damaged_files, report->damaged_file,
			error_text(report->damaged_error));
		reasons[count] = copy_text(&into->scratch, slice_of(text.bytes, text.length));
		count += reasons[count] != NULL;
	}
	if (report->bad_lines != 0) {
		strbuf_clear(&text);
		bad_lines_reason(&text, report);
		reasons[count] = copy_text(&into->scratch, slice_of(text.bytes, text.length));
		count += reasons[count] != NULL;
	}
	strbuf_done(&text);
	into->status.reasons = reasons;
	into->status.reason_count = count;
	return 0;
}

/* Durable spans are those waiting, written or expired. Inbox files and a log
 * without its manifest hold spans that no client's counts tell of yet. */
static void settle(struct waft_status *status)
{
	struct waft_ledger *total = &status->total;
	uint64_t held = status->spans_waiting + status->spans_written + status->spans_expired;

	if (held <= total->durable)
		return;
	total->emitted += held - total->durable;
	total->durable = held;
}

static int copy_reader(struct status_build *into, struct store_backend *store)
{
	struct waft_status *status = &into->status;
	struct reader_counts counts;
	int result = reader_count(store->reader, &counts);

	if (result != 0)
		return result;
	status->store = copy_text(&into->scratch, slice_of_text(store->directory));
	status->store_bytes = counts.bytes;
	status->log_bytes = counts.log_bytes;
	status->spans_waiting = counts.waiting_spans;
	settle(status);
	status->version = "";
	status->health = WAFT_HEALTH_NO_COLLECTOR;
	return status->store == NULL ? -ENOMEM : add_reasons(into, reader_report(store->reader));
}

int store_status(struct backend *backend, struct status_build *into)
{
	struct store_backend *store = (struct store_backend *)backend;
	struct counting counting = {.clients = NULL};
	int result;

	disk_real(&counting.disk);
	result = store_dirs_open(&counting.disk, store->directory, false, &counting.dirs);
	if (result != 0)
		return backend_fail(
			backend, result, "the store %s: %s", store->directory, error_text(result));
	result = 0;
	for (int i = 0; result == 0 && i < ATTEMPTS; i++) {
		counting_done(&counting);
		result = count_once(&counting);
	}
	if (result >= 0)
		result = copy_counted(into, &counting);
	counting_done(&counting);
	store_dirs_close(&counting.disk, &counting.dirs);
	if (result == 0)
		result = copy_reader(into, store);
	return result == 0 || result == -ENOMEM ? result
						: backend_fail(backend, result, "the store %s: %s",
							  store->directory, error_text(result));
}
