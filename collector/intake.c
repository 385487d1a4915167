/*
 * Decode, log, assemble.
 *
 * The happy path: intake_offer decodes the batch, reserves room in the
 * assembly, appends the record to the log, remembers references and callback
 * under the log's ticket, and wakes the committer. on_durable takes the oldest
 * entry: spans go to the assembly, the table of clients counts, the callback
 * is called. on_round passes on, so that acknowledgements go out once a commit.
 *
 * With decoders the batch is copied and stands in a queue, `staged`, until a thread
 * has looked at it and all before it are in the log: so the log has the order of the
 * offers. What else is offered meanwhile stands there, too.
 *
 * Failures: what doesn't decode is logged as a refusal. No room: -EAGAIN, and
 * nothing is kept; what is staged waits for room. The close gives -ECANCELED to what
 * is not durable.
 */
#include "intake.h"

#include "export.h"
#include "log_line.h"
#include "span_refs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REFUSAL_BYTES_MAX 256
#define PENDING_LIMIT ((size_t)16 << 20)
/* What references of the smallest spans take, to a batch's bytes, before it is known how many it
 * has. */
#define REFS_TIMES 2

_Static_assert(WIRE_BATCH_LIMIT <= LOG_PAYLOAD_BYTES_MAX, "a batch that was checked fits");

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

/* A message on its way to the log: its batch is looked at, or that of one before it. */
struct staged {
	struct decode_job job; /* first */
	struct staged *next;
	struct log_record record; /* what it points to stands behind this */
	uint64_t emitted_before;
	struct quota_account *account;
	ingest_on_committed on_committed;
	void *context;
	size_t bytes;  /* of memory */
	size_t charge; /* to its client, its references included */
	bool forward;
	int status;	     /* 0, or why the batch can't be taken */
	struct entry *entry; /* of a batch that can: with its references; owned */
};

struct intake {
	struct ingest ingest;
	struct intake_config config;
	struct committer *committer;
	struct entry *entries; /* in order of their tickets */
	struct entry **entries_end;
	struct decoders *decoders; /* NULL: batches are decoded here */
	struct staged *staged;	   /* in the order of offers */
	struct staged **staged_end;
	size_t staged_bytes;
	bool closing;
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

/* Decodes the batch; 0 or why it can't be taken. */
static int read_batch(struct batch *batch, struct span_refs *refs, const struct log_record *record)
{
	int status = batch_open(batch, record->payload, record->payload_length);

	if (status == 0)
		status = span_refs_read(refs, batch, NULL, NULL);
	return status;
}

/* Makes of a batch's record the refusal that takes its place. */
static void refuse(struct log_record *record, uint8_t buffer[REFUSAL_BYTES_MAX],
	uint64_t emitted_before, int error)
{
	struct writer writer = writer_of(buffer, REFUSAL_BYTES_MAX);

	writer_field_varint(&writer, TAG_REFUSAL_SEQUENCE, record->sequence);
	writer_field_varint(&writer, TAG_REFUSAL_CODE, GRPC_INVALID_ARGUMENT);
	writer_field_bytes(&writer, TAG_REFUSAL_MESSAGE, slice_of_text(error_text(error)));
	/* For gateways, which know nothing of the message before. */
	if (record->emitted > emitted_before)
		writer_field_varint(&writer, TAG_REFUSAL_SPANS, record->emitted - emitted_before);
	record->kind = LOG_REFUSAL;
	record->spans = 0;
	record->payload = buffer;
	record->payload_length = writer_length(&writer);
}

static void no_refs(struct span_refs *refs)
{
	refs->count = 0;
	refs->group_count = 0;
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

/* Appends the record and queues the entry that goes with it, which it takes on success. */
static int append_entry(struct intake *intake, struct entry *entry, const struct log_record *record,
	struct quota_account *account, ingest_on_committed on_committed, void *context, int refused)
{
	int status = span_refs_reserve(&entry->refs, intake->config.assembly);

	if (status == 0) {
		status = log_append(intake->config.log, record, &entry->ticket);
		if (status < 0)
			span_refs_unreserve(&entry->refs, intake->config.assembly);
	}
	if (status < 0)
		return status;
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

/* The same with what intake->reading has. */
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
	status = append_entry(intake, entry, record, account, on_committed, context, refused);
	if (status < 0)
		free(entry);
	return status;
}

/* An agent's clock is believed as far as it is not ahead of ours. */
static uint64_t receive_time(const struct intake *intake, const struct ingest_offer *offer)
{
	uint64_t now_ns = clock_realtime_ns(intake->config.clock);

	return offer->receive_ns != 0 && offer->receive_ns < now_ns ? offer->receive_ns : now_ns;
}

/* ---- Beside the loop ------------------------------------------------------- */

/* On a decoder's thread, or on the loop when that one had no memory. */
static void look_at(struct decode_job *job, struct batch *batch, struct span_refs *refs)
{
	struct staged *staged = (struct staged *)job;

	staged->status = read_batch(batch, refs, &staged->record);
	if (staged->status < 0)
		return;
	staged->record.spans = refs->count;
	if (staged->forward)
		no_refs(refs);
	staged->entry = new_entry(refs, slice_of(NULL, 0));
	if (staged->entry == NULL)
		staged->status = -ENOMEM;
}

/* Copies what the record points to behind `staged`. */
static void own(struct staged *staged, const struct log_record *record)
{
	uint8_t *at = (uint8_t *)(staged + 1);

	staged->record = *record;
	if (record->payload_length > 0)
		memcpy(at, record->payload, record->payload_length);
	staged->record.payload = at;
	at += record->payload_length;
	if (record->peer.name_length > 0)
		memcpy(at, record->peer.name, record->peer.name_length);
	staged->record.peer.name = record->peer.name != NULL ? (const char *)at : NULL;
	at += record->peer.name_length;
	if (record->peer.agent_length > 0)
		memcpy(at, record->peer.agent, record->peer.agent_length);
	staged->record.peer.agent = record->peer.agent != NULL ? (const char *)at : NULL;
}

/* What the log would say of it later must be said now: 0, -EINVAL or -EAGAIN. */
static int may_stage(struct intake *intake, const struct log_record *record, size_t bytes)
{
	struct log_record head = *record;
	size_t waiting = intake->staged_bytes + log_pending_bytes(intake->config.log);

	if (record->kind == LOG_BATCH)
		head.payload_length = 0; /* one that is too long is refused */
	if (!log_record_fits(&head))
		return -EINVAL;
	return waiting > 0 && waiting + bytes > intake->config.pending_limit ? -EAGAIN : 0;
}

static int stage(struct intake *intake, const struct ingest_offer *offer,
	const struct log_record *record, ingest_on_committed on_committed, void *context)
{
	size_t bytes = sizeof(struct staged) + record->payload_length + record->peer.name_length +
		       record->peer.agent_length;
	int status = may_stage(intake, record, bytes);
	struct staged *staged;

	if (status < 0)
		return status;
	staged = malloc(bytes);
	if (staged == NULL)
		return -ENOMEM;
	*staged = (struct staged){
		.job = {.run = look_at, .done = true},
		.emitted_before = offer->emitted_before,
		.account = offer->account,
		.on_committed = on_committed,
		.context = context,
		.bytes = bytes,
		.charge = bytes +
			  (record->kind == LOG_BATCH ? REFS_TIMES * record->payload_length : 0),
		.forward = intake->config.forward,
	};
	own(staged, record);
	*intake->staged_end = staged;
	intake->staged_end = &staged->next;
	intake->staged_bytes += bytes;
	intake->counts.pending_batches++;
	intake->counts.pending_bytes += staged->charge;
	quota_begin(staged->account, staged->charge);
	if (record->kind == LOG_BATCH)
		decoders_put(intake->decoders, &staged->job);
	return 0;
}

/* Brings one that was looked at to the log; -EAGAIN or -ENOMEM: it has to wait. */
static int append_staged(struct intake *intake, struct staged *staged)
{
	uint8_t refusal[REFUSAL_BYTES_MAX];
	struct log_record record;
	int status;

	if (staged->status == -ENOMEM)
		look_at(&staged->job, &intake->batch, &intake->reading);
	if (staged->status == -ENOMEM)
		return -ENOMEM;
	if (staged->entry != NULL) {
		status = append_entry(intake, staged->entry, &staged->record, staged->account,
			staged->on_committed, staged->context, 0);
		if (status == 0)
			staged->entry = NULL;
		return status;
	}
	record = staged->record;
	if (staged->status < 0)
		refuse(&record, refusal, staged->emitted_before, staged->status);
	no_refs(&intake->reading);
	return append(intake, &record, staged->account, staged->on_committed, staged->context,
		staged->status);
}

/* Takes the first one out. */
static struct staged *take_staged(struct intake *intake)
{
	struct staged *staged = intake->staged;

	intake->staged = staged->next;
	if (intake->staged == NULL)
		intake->staged_end = &intake->staged;
	intake->staged_bytes -= staged->bytes;
	intake->counts.pending_batches--;
	intake->counts.pending_bytes -= staged->charge;
	quota_end(staged->account, staged->charge);
	return staged;
}

static void advance(struct intake *intake)
{
	while (intake->staged != NULL && decode_job_is_done(&intake->staged->job)) {
		if (append_staged(intake, intake->staged) < 0) {
			decoders_again(intake->decoders);
			return;
		}
		free(take_staged(intake));
	}
}

static void on_decoded(void *context)
{
	advance(context);
}

/* ---- Offers ---------------------------------------------------------------- */

static int intake_offer(struct ingest *ingest, const struct ingest_offer *offer,
	ingest_on_committed on_committed, void *context)
{
	struct intake *intake = (struct intake *)ingest;
	uint8_t refusal[REFUSAL_BYTES_MAX];
	struct log_record record;
	int refused = 0;

	fill_record(&record, offer, receive_time(intake, offer), offer->bytes);
	if (intake->decoders != NULL && (offer->kind == LOG_BATCH || intake->staged != NULL))
		return stage(intake, offer, &record, on_committed, context);
	no_refs(&intake->reading);
	if (offer->kind == LOG_BATCH) {
		refused = read_batch(&intake->batch, &intake->reading, &record);
		if (refused == -ENOMEM)
			return -ENOMEM;
		record.spans = intake->reading.count;
	}
	if (intake->config.forward || refused < 0)
		no_refs(&intake->reading);
	if (refused < 0)
		refuse(&record, refusal, offer->emitted_before, refused);
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

	if (!intake->closing)
		advance(intake); /* there may be room again */
	intake->config.on_round(intake->config.context, error);
}

/* ---- Life ---------------------------------------------------------------- */

static int start_decoders(struct intake *intake)
{
	const struct decoders_config decoders = {
		.loop = intake->config.loop,
		.count = intake->config.decoders,
		.on_done = on_decoded,
		.context = intake,
	};

	return decoders.count > 0 ? decoders_start(&decoders, &intake->decoders) : 0;
}

static void intake_free(void *context)
{
	struct intake *intake = context;

	batch_done(&intake->batch);
	span_refs_done(&intake->reading);
	free(intake);
}

int intake_start(const struct intake_config *config, struct intake **ret)
{
	struct intake *intake = calloc(1, sizeof(*intake));
	int status;

	if (intake == NULL)
		return -ENOMEM;
	intake->ingest.ops = &intake_ops;
	intake->config = *config;
	if (config->pending_limit == 0)
		intake->config.pending_limit = PENDING_LIMIT;
	intake->entries_end = &intake->entries;
	intake->staged_end = &intake->staged;
	status = start_decoders(intake);
	if (status < 0) {
		intake_free(intake);
		return status;
	}
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
		if (intake->decoders != NULL)
			decoders_close(intake->decoders, intake_free);
		else
			intake_free(intake);
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
	return intake->entries != NULL || intake->staged != NULL;
}

void intake_count(struct intake *intake, struct intake_counts *ret)
{
	*ret = intake->counts;
}

struct committer *intake_committer(struct intake *intake)
{
	return intake->committer;
}

static void end(void *context)
{
	struct intake *intake = context;
	void (*on_closed)(void *context) = intake->on_closed;
	void *closed_context = intake->config.context;

	intake_free(intake);
	on_closed(closed_context);
}

static void on_committer_closed(void *context)
{
	struct intake *intake = context;

	while (intake->entries != NULL) {
		struct entry *entry = take_entry(intake);

		span_refs_unreserve(&entry->refs, intake->config.assembly);
		entry->on_committed(
			entry->context, entry->record.sequence, -ECANCELED, entry->refused);
		free(entry);
	}
	while (intake->staged != NULL) {
		struct staged *staged = take_staged(intake);

		staged->on_committed(staged->context, staged->record.sequence, -ECANCELED, 0);
		free(staged->entry);
		free(staged);
	}
	if (intake->decoders != NULL)
		decoders_close(intake->decoders, end);
	else
		end(intake);
}

void intake_close(struct intake *intake, void (*on_closed)(void *context))
{
	intake->on_closed = on_closed;
	intake->closing = true;
	if (intake->decoders != NULL)
		decoders_stop(intake->decoders);
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
