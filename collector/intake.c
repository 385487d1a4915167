/*
 * Decode, log, assemble.
 *
 * The happy path: intake_offer decodes the batch, reserves room in the
 * assembly, appends the record to the log, remembers references and callback
 * under the log's ticket, and wakes the committer. on_durable takes the oldest
 * entry: spans go to the assembly, the table of clients counts, the callback
 * is called. on_round passes on, so that acknowledgements go out once a commit.
 *
 * Failures: what doesn't decode is logged as a refusal. No room: -EAGAIN, and
 * nothing is kept. The close gives -ECANCELED to what is not durable.
 */
#include "intake.h"

#include "export.h"
#include "log_line.h"
#include "span_refs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REFUSAL_BYTES_MAX 256

/* A record that is on its way. */
struct entry {
	struct entry *next;
	uint64_t ticket;
	struct log_record record; /* payload is NULL for a batch, else `payload` */
	struct span_refs refs;	  /* points into this entry's memory */
	size_t bytes;
	int refused;
	struct quota_account *account;
	ingest_on_committed on_committed;
	void *context;
	size_t payload_length;
	uint8_t *payload;
};

struct intake {
	struct ingest ingest;
	struct intake_config config;
	struct committer *committer;
	struct entry *entries; /* in order of their tickets */
	struct entry **entries_end;
	size_t window_bytes;
	struct batch batch;	  /* reused */
	struct span_refs reading; /* reused */
	struct intake_counts counts;
	void (*on_closed)(void *context);
};

/* ---- In ------------------------------------------------------------------ */

/*
 * One piece of memory for an entry, its references, its groups, and the payload
 * of a record that the table of clients has to look into.
 */
static struct entry *new_entry(const struct span_refs *refs, struct slice payload)
{
	size_t refs_bytes = refs->count * sizeof(*refs->refs);
	size_t groups_bytes = refs->group_count * sizeof(*refs->groups);
	size_t bytes = sizeof(struct entry) + refs_bytes + groups_bytes + payload.length;
	struct entry *entry = malloc(bytes);
	uint8_t *at;

	if (entry == NULL)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	entry->bytes = bytes;
	at = (uint8_t *)(entry + 1);
	entry->refs.refs = (struct span_ref *)(void *)at;
	entry->refs.count = refs->count;
	entry->refs.groups = (struct span_group *)(void *)(at + refs_bytes);
	entry->refs.group_count = refs->group_count;
	if (refs->count > 0) {
		memcpy(entry->refs.refs, refs->refs, refs_bytes);
		memcpy(entry->refs.groups, refs->groups, groups_bytes);
	}
	if (payload.length > 0) {
		entry->payload = at + refs_bytes + groups_bytes;
		entry->payload_length = payload.length;
		memcpy(entry->payload, payload.data, payload.length);
	}
	return entry;
}

/* Decodes the batch into intake->reading; 0 or why it can't be taken. */
static int read_batch(struct intake *intake, struct slice bytes)
{
	int status = batch_open(&intake->batch, bytes.data, bytes.length);

	if (status == 0)
		status = span_refs_read(&intake->reading, &intake->batch, NULL, NULL);
	return status;
}

/* The Refusal message that takes the place of a batch. */
static struct slice encode_refusal(
	uint8_t buffer[REFUSAL_BYTES_MAX], const struct ingest_offer *offer, int error)
{
	struct writer writer = writer_of(buffer, REFUSAL_BYTES_MAX);

	writer_field_varint(&writer, TAG_REFUSAL_SEQUENCE, offer->sequence);
	writer_field_varint(&writer, TAG_REFUSAL_CODE, GRPC_INVALID_ARGUMENT);
	writer_field_bytes(&writer, TAG_REFUSAL_MESSAGE, slice_of_text(error_text(error)));
	/* For gateways, which know nothing of the message before. */
	if (offer->emitted > offer->emitted_before)
		writer_field_varint(
			&writer, TAG_REFUSAL_SPANS, offer->emitted - offer->emitted_before);
	return slice_of(buffer, writer_length(&writer));
}

static void fill_record(struct log_record *record, const struct ingest_offer *offer,
	uint64_t receive_ns, struct slice payload)
{
	*record = (struct log_record){
		.kind = offer->kind,
		.format = offer->format,
		.spans = offer->dropped,
		.receive_ns = receive_ns,
		.sequence = offer->sequence,
		.emitted = offer->emitted,
		.share = offer->share,
		.peer = offer->peer,
		.payload = payload.data,
		.payload_length = payload.length,
	};
	memcpy(record->client, offer->client, sizeof(record->client));
}

/* Appends the record and queues the entry that goes with it. */
static int append(struct intake *intake, const struct log_record *record,
	struct quota_account *account, ingest_on_committed on_committed, void *context, int refused)
{
	bool looked_into = record->kind != LOG_BATCH;
	struct entry *entry = new_entry(
		&intake->reading, looked_into ? slice_of(record->payload, record->payload_length)
					      : slice_of(NULL, 0));
	int status;

	if (entry == NULL)
		return -ENOMEM;
	status = span_refs_reserve(&entry->refs, intake->config.assembly);
	if (status == 0) {
		status = log_append(intake->config.log, record, &entry->ticket);
		if (status < 0)
			span_refs_unreserve(&entry->refs, intake->config.assembly);
	}
	if (status < 0) {
		free(entry);
		return status;
	}
	entry->record = *record;
	entry->record.payload = entry->payload;
	entry->record.peer.name = NULL;
	entry->record.peer.name_length = 0;
	entry->record.peer.agent = NULL;
	entry->record.peer.agent_length = 0;
	entry->refused = refused;
	entry->account = account;
	entry->on_committed = on_committed;
	entry->context = context;
	*intake->entries_end = entry;
	intake->entries_end = &entry->next;
	intake->counts.pending_batches++;
	intake->counts.pending_bytes += entry->bytes + record->payload_length;
	quota_begin(account, entry->bytes + record->payload_length);
	committer_kick(intake->committer);
	return 0;
}

/* An agent's clock is believed as far as it is not ahead of ours. */
static uint64_t receive_time(const struct intake *intake, const struct ingest_offer *offer)
{
	uint64_t now_ns = clock_realtime_ns(intake->config.clock);

	return offer->receive_ns != 0 && offer->receive_ns < now_ns ? offer->receive_ns : now_ns;
}

static int intake_offer(struct ingest *ingest, const struct ingest_offer *offer,
	ingest_on_committed on_committed, void *context)
{
	struct intake *intake = (struct intake *)ingest;
	uint8_t refusal[REFUSAL_BYTES_MAX];
	struct log_record record;
	int refused = 0;

	fill_record(&record, offer, receive_time(intake, offer), offer->bytes);
	intake->reading.count = 0;
	intake->reading.group_count = 0;
	if (offer->kind == LOG_BATCH) {
		refused = read_batch(intake, offer->bytes);
		if (refused == -ENOMEM)
			return -ENOMEM;
		record.spans = intake->reading.count;
	}
	if (intake->config.forward) {
		intake->reading.count = 0;
		intake->reading.group_count = 0;
	}
	if (refused < 0) {
		struct slice bytes = encode_refusal(refusal, offer, refused);

		record.kind = LOG_REFUSAL;
		record.spans = 0;
		record.payload = bytes.data;
		record.payload_length = bytes.length;
		intake->reading.count = 0;
		intake->reading.group_count = 0;
	}
	return append(intake, &record, offer->account, on_committed, context, refused);
}

static size_t intake_window_bytes(struct ingest *ingest)
{
	return ((struct intake *)ingest)->window_bytes;
}

static const struct ingest_ops intake_ops = {intake_offer, intake_window_bytes};

/* ---- Durable ------------------------------------------------------------- */

static struct entry *take_entry(struct intake *intake)
{
	struct entry *entry = intake->entries;

	intake->entries = entry->next;
	if (intake->entries == NULL)
		intake->entries_end = &intake->entries;
	intake->counts.pending_batches--;
	intake->counts.pending_bytes -= entry->bytes + entry->record.payload_length;
	quota_end(entry->account, entry->bytes + entry->record.payload_length);
	return entry;
}

static void count_entry(struct intake *intake, const struct entry *entry)
{
	struct intake_counts *counts = &intake->counts;

	switch (entry->record.kind) {
	case LOG_BATCH:
		counts->batches++;
		counts->spans += entry->record.spans;
		counts->bytes += entry->record.payload_length;
		break;
	case LOG_DROP:
		counts->drops++;
		break;
	case LOG_REFUSAL:
		counts->refused++;
		break;
	case LOG_GOODBYE:
	case LOG_FENCE:
	default:
		break;
	}
}

static void finish_entry(struct intake *intake, struct entry *entry, struct log_place place)
{
	struct assembly *assembly = intake->config.assembly;
	int status = clients_durable(intake->config.clients, place, &entry->record);

	if (status == -EEXIST) {
		/* Another record of the same number came first: this one is not shown. */
		intake->counts.repeated++;
		span_refs_unreserve(&entry->refs, assembly);
	} else {
		if (status < 0)
			log_error("can't count a client's message: %s", error_text(status));
		span_refs_add(&entry->refs, assembly, place.segment, place.offset,
			clock_monotonic_ms(intake->config.clock));
		count_entry(intake, entry);
		if (entry->record.kind == LOG_BATCH && intake->config.on_batch != NULL)
			intake->config.on_batch(intake->config.context, place, entry->record.spans);
	}
	entry->on_committed(entry->context, entry->record.sequence, 0, entry->refused);
}

static void on_durable(
	void *context, uint64_t first_ticket, const struct log_place *places, size_t count)
{
	struct intake *intake = context;

	(void)first_ticket;
	for (size_t i = 0; i < count; i++) {
		struct entry *entry = take_entry(intake);

		finish_entry(intake, entry, places[i]);
		free(entry);
	}
}

static void on_round(void *context, int error)
{
	struct intake *intake = context;

	intake->config.on_round(intake->config.context, error);
}

/* ---- Life ---------------------------------------------------------------- */

int intake_start(const struct intake_config *config, struct intake **ret)
{
	struct intake *intake = calloc(1, sizeof(*intake));
	int status;

	if (intake == NULL)
		return -ENOMEM;
	intake->ingest.ops = &intake_ops;
	intake->config = *config;
	intake->entries_end = &intake->entries;
	status = committer_start(
		&(struct committer_config){
			.loop = config->loop,
			.log = config->log,
			.clock = config->clock,
			.on_durable = on_durable,
			.on_round = on_round,
			.context = intake,
		},
		&intake->committer);
	if (status < 0) {
		free(intake);
		return status;
	}
	*ret = intake;
	return 0;
}

struct ingest *intake_ingest(struct intake *intake)
{
	return &intake->ingest;
}

void intake_set_window(struct intake *intake, size_t window_bytes)
{
	intake->window_bytes = window_bytes;
}

bool intake_busy(struct intake *intake)
{
	return intake->entries != NULL;
}

void intake_count(struct intake *intake, struct intake_counts *ret)
{
	*ret = intake->counts;
}

struct committer *intake_committer(struct intake *intake)
{
	return intake->committer;
}

static void on_committer_closed(void *context)
{
	struct intake *intake = context;
	void (*on_closed)(void *context) = intake->on_closed;
	void *closed_context = intake->config.context;

	while (intake->entries != NULL) {
		struct entry *entry = take_entry(intake);

		span_refs_unreserve(&entry->refs, intake->config.assembly);
		entry->on_committed(
			entry->context, entry->record.sequence, -ECANCELED, entry->refused);
		free(entry);
	}
	batch_done(&intake->batch);
	span_refs_done(&intake->reading);
	free(intake);
	on_closed(closed_context);
}

void intake_close(struct intake *intake, void (*on_closed)(void *context))
{
	intake->on_closed = on_closed;
	committer_close(intake->committer, on_committer_closed);
}

/* ---- Recovery ------------------------------------------------------------ */

struct recovered {
	const struct consumed *consumed;
	struct ordinal ordinal;
};

static bool is_consumed(void *context, uint32_t position)
{
	struct recovered *recovered = context;

	recovered->ordinal.position = position;
	return consumed_has(recovered->consumed, &recovered->ordinal);
}

long intake_recover(struct assembly *assembly, struct log_place place,
	const struct log_record *record, const struct consumed *consumed, uint64_t now_ms)
{
	struct recovered recovered = {
		.consumed = consumed, .ordinal = {place.segment, place.offset, 0}};
	struct batch batch = {0};
	struct span_refs refs = {0};
	long spans;
	int status;

	status = batch_open(&batch, record->payload, record->payload_length);
	if (status == 0)
		status = span_refs_read(
			&refs, &batch, consumed != NULL ? is_consumed : NULL, &recovered);
	if (status == 0)
		status = span_refs_reserve(&refs, assembly);
	if (status == 0)
		span_refs_add(&refs, assembly, place.segment, place.offset, now_ms);
	spans = status < 0 ? status : (long)refs.count;
	span_refs_done(&refs);
	batch_done(&batch);
	return spans;
}
