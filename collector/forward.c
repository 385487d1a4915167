/*
 * Forwarding: the thread, the list of records, the cursor.
 *
 * The happy path: forward_wake → read_log reads records from `place` to the log's end,
 * as far as the window allows; each gets its shares (forward_shares.c), which go to
 * gateways → on_answered counts them down → advance takes answered records off the front,
 * moves the cursor and wants it written → forward_on_cursor: gateways are told to forget
 * the clients that said goodbye before it.
 *
 * Before anything of a segment is sent, `reached` in the manifest says so: what lies
 * behind it was never sent, and may be given up for want of room.
 *
 * Failures: gateways see to their connections themselves. One that is down for
 * timeout_ms loses its shares to the others, if one is up. A record that can't be read
 * is counted and passed; a log that can't be read is tried again.
 */
#include "forward.h"

#include "forward_internal.h"
#include "log_format.h"
#include "log_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES (8u << 20)
#define WINDOW_RECORDS 65536u
#define READS_PER_ROUND 256
#define CURSOR_MS 50
#define TICK_MS 250
#define CACHE_BYTES (1u << 20)

/* ---- What others see ---------------------------------------------------------- */

static void publish(struct forward *forward)
{
	struct forward_counts counts = forward->counts;
	bool any_open = false;

	counts.spans = forward->cursor.spans;
	counts.dropped = forward->cursor.dropped;
	counts.gateway_count = forward->gateway_count;
	counts.refused = forward->cursor.refused;
	for (size_t i = 0; i < forward->gateway_count; i++) {
		struct forward_gateway_counts *to = &counts.gateways[i];
		struct gateway_counts of;

		gateway_count(forward->gateways[i], &of);
		*to = (struct forward_gateway_counts){
			.endpoint = gateway_endpoint(forward->gateways[i]),
			.open = gateway_is_open(forward->gateways[i]),
			.connections = of.connections,
			.failures = of.failures,
			.sent_bytes = of.sent_bytes,
		};
		snprintf(to->why, sizeof(to->why), "%s", gateway_why(forward->gateways[i]));
		any_open |= to->open;
	}
	uv_mutex_lock(&forward->lock);
	forward->any_open = any_open;
	forward->published = counts;
	forward->idle = !forward->any_open ||
			(!forward->woken && forward->records == NULL && !forward->behind);
	uv_mutex_unlock(&forward->lock);
}

/* ---- The cursor ----------------------------------------------------------------- */

static bool place_before(struct log_place a, struct log_place b)
{
	return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

/* Whether what lies at a place is sent in partitions: by what was said when it may first
 * have been sent. */
bool forward_splits_at(const struct forward *forward, struct log_place place)
{
	return place_before(place, forward->split_from) ? forward->split_before
							: forward->gateway_count > 1;
}

static uint64_t refused_shares(const struct forward *forward)
{
	uint64_t refused = 0;

	for (size_t i = 0; i < forward->gateway_count; i++) {
		struct gateway_counts counts;

		gateway_count(forward->gateways[i], &counts);
		refused += counts.refused;
	}
	return refused;
}

static void write_cursor(struct forward *forward)
{
	forward->cursor.split = forward_splits_at(forward, forward->cursor.place);
	forward->cursor.known = true;
	forward->cursor.refused = forward->config.begin.refused + refused_shares(forward);
	if (forward->cursor_out || forward->config.write_cursor(forward->config.context,
					   &forward->cursor, &forward->passed) < 0)
		return;
	forward->cursor_out = true;
	forward->cursor_moved = false;
}

static void on_cursor_timer(uv_timer_t *timer)
{
	write_cursor(timer->data);
}

/* Soon: not for every record by itself. */
static void want_cursor(struct forward *forward)
{
	forward->cursor_moved = true;
	if (!forward->cursor_out && !uv_is_active((uv_handle_t *)&forward->cursor_timer))
		(void)uv_timer_start(&forward->cursor_timer, on_cursor_timer, CURSOR_MS, 0);
}

static void pass_ordinals(struct forward *forward, const struct record *record)
{
	struct ordinal ordinal = {record->place.segment, record->place.offset, 0};

	for (; ordinal.position < record->spans; ordinal.position++) {
		/* Without memory the segment stays until the next start. */
		if (consumed_add(&forward->passed, &ordinal) < 0)
			break;
	}
}

static void keep_goodbye(struct forward *forward, const struct record *record)
{
	struct parting *parting = malloc(sizeof(*parting));

	/* A gateway that isn't told forgets the client when it was silent for long. */
	if (parting == NULL)
		return;
	*parting = (struct parting){.after = record->after};
	memcpy(parting->client, record->client, sizeof(parting->client));
	*forward->partings_end = parting;
	forward->partings_end = &parting->next;
}

/* Takes answered records off the front. */
static void advance(struct forward *forward)
{
	bool moved = false;

	while (forward->records != NULL && forward->records->unanswered == 0) {
		struct record *record = forward->records;

		forward->records = record->next;
		if (forward->records == NULL)
			forward->records_end = &forward->records;
		forward->cursor.place = record->after;
		if (record->kind == LOG_BATCH) {
			forward->cursor.spans += record->spans;
			pass_ordinals(forward, record);
		}
		if (record->shed)
			forward->cursor.dropped += record->spans;
		if (record->kind == LOG_GOODBYE)
			keep_goodbye(forward, record);
		forward->counts.records++;
		forward->counts.in_flight--;
		forward->counts.in_flight_bytes -= record->bytes;
		free(record);
		moved = true;
	}
	if (moved)
		want_cursor(forward);
}

/* Gateways forget clients that said goodbye before the durable cursor: nothing of them
 * will be sent again. */
static void forget_departed(struct forward *forward, struct log_place durable)
{
	while (forward->partings != NULL && !place_before(durable, forward->partings->after)) {
		struct parting *parting = forward->partings;

		forward->partings = parting->next;
		if (forward->partings == NULL)
			forward->partings_end = &forward->partings;
		for (size_t i = 0; i < forward->gateway_count; i++)
			gateway_forget(forward->gateways[i], parting->client);
		free(parting);
	}
}

/* ---- Reading the log -------------------------------------------------------------- */

/* The first record behind one that can't be read. */
struct search {
	struct log_place behind;
	struct log_place found;
};

static int on_found(void *context, struct log_place place, const struct log_record *record)
{
	struct search *search = context;

	(void)record;
	if (!place_before(search->behind, place))
		return 0;
	search->found = place;
	return 1;
}

static int pass_damage(struct forward *forward)
{
	static const struct log_scan_ops ops = {.on_record = on_found};
	struct search search = {.behind = forward->place};
	struct log_scan_result result;
	int status = log_scan(forward->config.disk, forward->config.log_dir, NULL,
		forward->place.segment, &ops, &search, &result);

	if (status < 0)
		return status;
	forward->counts.unreadable++;
	log_error("a record of the log can't be read and is not forwarded");
	forward->place = search.found;
	return status == 1 ? 0 : -EAGAIN;
}

/* The cursor passes what is not sent with the record before it. */
static void pass_mark(struct forward *forward)
{
	if (forward->records == NULL)
		forward->cursor.place = forward->place;
	else
		forward->last->after = forward->place;
}

/* One record at forward->place, which is durable. */
static int read_record(struct forward *forward)
{
	const struct log_record *record;
	struct log_place at = forward->place;
	int status = log_reader_get(forward->reader, at, &record);

	if (status == -EBADMSG || status == -ENOENT)
		return pass_damage(forward);
	if (status < 0)
		return status;
	forward->place.offset += (uint32_t)log_record_bytes(record);
	/* A fence is between a client and this collector. */
	if (record->kind == LOG_MARK || record->kind == LOG_FENCE) {
		pass_mark(forward);
		return 0;
	}
	status = forward_send_record(forward, at, record);
	if (status < 0)
		forward->place = at;
	return status;
}

/* What is not sent may be given up when there is no room for it: nothing is read ahead for
 * gateways that are not there. */
static bool window_is_full(const struct forward *forward)
{
	bool open = false;

	for (size_t i = 0; i < forward->gateway_count; i++)
		open |= gateway_is_open(forward->gateways[i]);
	return !open || forward->counts.in_flight_bytes >= WINDOW_BYTES ||
	       forward->counts.in_flight >= WINDOW_RECORDS;
}

/* Reads on. `behind`: the end of the log was not reached. */
static void read_log(struct forward *forward)
{
	bool more = false;
	int status = 0;

	forward->behind = true;
	for (int reads = 0; status == 0 && !window_is_full(forward); reads++) {
		if (!log_next(forward->config.log, &forward->place)) {
			forward->behind = false;
			break;
		}
		if (forward->place.segment > forward->reached) {
			forward->cursor.reached = forward->place.segment;
			write_cursor(forward);
			break;
		}
		more = reads == READS_PER_ROUND;
		if (more)
			break;
		status = read_record(forward);
	}
	if (status < 0 && status != forward->read_error)
		log_warning("can't read the log to forward it: %s", error_text(status));
	forward->read_error = status;
	if (more)
		(void)uv_async_send(&forward->async);
}

/* ---- Gateways ------------------------------------------------------------------------ */

static void on_answered(void *context, struct gateway *gateway, struct share *share)
{
	struct forward *forward = context;
	struct record *record = share->record;

	(void)gateway;
	record->unanswered--;
	route_answered(&forward->route, share->partition);
	free(share);
	(void)uv_async_send(&forward->async);
}

/* Moves what gateways that are down have to the others. */
static void move_shares(struct forward *forward)
{
	for (size_t i = 0; i < forward->gateway_count; i++) {
		struct share *shares;

		if (forward->route.up[i])
			continue;
		shares = gateway_take_back(forward->gateways[i]);
		while (shares != NULL) {
			struct share *share = shares;

			shares = share->next;
			forward->counts.moved++;
			gateway_send(
				forward->gateways[forward->route.owners[share->partition]], share);
		}
	}
}

static void set_up(struct forward *forward, size_t i, bool up)
{
	if (forward->route.up[i] != up && route_set(&forward->route, i, up))
		move_shares(forward);
}

static void on_state(void *context, struct gateway *gateway)
{
	struct forward *forward = context;

	for (size_t i = 0; i < forward->gateway_count; i++)
		if (forward->gateways[i] == gateway && gateway_is_open(gateway))
			set_up(forward, i, true);
	(void)uv_async_send(&forward->async);
}

static void on_tick(uv_timer_t *timer)
{
	struct forward *forward = timer->data;
	uint64_t now = uv_now(&forward->loop);

	for (size_t i = 0; i < forward->gateway_count; i++) {
		uint64_t since = gateway_down_since_ms(forward->gateways[i]);

		if (since != 0 && now - since >= forward->config.timeout_ms)
			set_up(forward, i, false);
	}
	if (forward->read_error != 0 || (forward->behind && !forward->cursor_out))
		read_log(forward);
	if (forward->cursor_moved && !forward->cursor_out)
		want_cursor(forward);
	publish(forward);
}

/* ---- The thread ------------------------------------------------------------------------ */

static void take_cursor(struct forward *forward)
{
	struct manifest_forward durable;

	forward->config.read_cursor(forward->config.context, &durable);
	forward->cursor_out = false;
	forward->reached = durable.reached;
	forget_departed(forward, durable.place);
	if (forward->cursor_moved)
		want_cursor(forward);
}

static void on_gateway_closed(void *context)
{
	struct forward *forward = context;

	if (--forward->closing_gateways == 0)
		uv_stop(&forward->loop);
}

static void close_all(struct forward *forward)
{
	uv_mutex_lock(&forward->lock);
	forward->ended = true;
	uv_mutex_unlock(&forward->lock);
	uv_close((uv_handle_t *)&forward->async, NULL);
	uv_close((uv_handle_t *)&forward->tick, NULL);
	uv_close((uv_handle_t *)&forward->cursor_timer, NULL);
	forward->closing_gateways = forward->gateway_count;
	for (size_t i = 0; i < forward->gateway_count; i++)
		gateway_close(forward->gateways[i], on_gateway_closed, forward);
}

static void on_async(uv_async_t *async)
{
	struct forward *forward = async->data;
	bool cursor, stop;

	uv_mutex_lock(&forward->lock);
	stop = forward->stop;
	cursor = forward->cursor_written;
	forward->cursor_written = false;
	forward->woken = false;
	uv_mutex_unlock(&forward->lock);
	if (stop) {
		advance(forward);
		/* One that isn't written yet is overtaken by this one, which is the last. */
		forward->cursor_out = false;
		if (forward->cursor_moved)
			write_cursor(forward);
		close_all(forward);
		return;
	}
	if (cursor)
		take_cursor(forward);
	advance(forward);
	read_log(forward);
	publish(forward);
}

static void run_thread(void *context)
{
	struct forward *forward = context;

	(void)uv_run(&forward->loop, UV_RUN_DEFAULT);
	/* Stopped by the last gateway: what closes still closes. */
	(void)uv_run(&forward->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&forward->loop);
}

/* ---- Life ------------------------------------------------------------------------------ */

int forward_check(const char *endpoints, const char **ret_why)
{
	char *list = strdup(endpoints);
	char *save = NULL;
	size_t count = 0;
	int status = list != NULL ? 0 : -ENOMEM;

	*ret_why = "out of memory";
	for (char *at = status == 0 ? strtok_r(list, ", ", &save) : NULL; at != NULL && status == 0;
		at = strtok_r(NULL, ", ", &save)) {
		if (!gateway_endpoint_fits(at, ret_why))
			status = -EINVAL;
		count++;
	}
	if (status == 0 && (count == 0 || count > FORWARD_GATEWAYS_MAX)) {
		*ret_why = "from 1 to 16 gateways can be named";
		status = -EINVAL;
	}
	free(list);
	return status;
}

void forward_free(struct forward *forward)
{
	if (forward == NULL)
		return;
	while (forward->records != NULL) {
		struct record *record = forward->records;

		forward->records = record->next;
		free(record);
	}
	while (forward->partings != NULL) {
		struct parting *parting = forward->partings;

		forward->partings = parting->next;
		free(parting);
	}
	log_reader_free(forward->reader);
	batch_split_done(&forward->split);
	consumed_done(&forward->passed);
	uv_mutex_destroy(&forward->lock);
	free(forward->endpoints);
	free(forward);
}

static int start_gateways(struct forward *forward)
{
	const struct forward_config *config = &forward->config;
	const char *endpoints[FORWARD_GATEWAYS_MAX];
	char *save = NULL;
	int status = 0;

	for (char *at = strtok_r(forward->endpoints, ", ", &save);
		at != NULL && status == 0 && forward->gateway_count < FORWARD_GATEWAYS_MAX;
		at = strtok_r(NULL, ", ", &save)) {
		struct gateway_config gateway = {
			.loop = &forward->loop,
			.endpoint = at,
			.tls_ca = config->tls_ca,
			.tls_cert = config->tls_cert,
			.tls_key = config->tls_key,
			.token_file = config->token_file,
			.timeout_ms = config->timeout_ms,
			.on_answered = on_answered,
			.on_state = on_state,
			.context = forward,
		};

		memcpy(gateway.agent, config->agent, sizeof(gateway.agent));
		endpoints[forward->gateway_count] = at;
		status = gateway_new(&gateway, &forward->gateways[forward->gateway_count]);
		forward->gateway_count += status == 0;
	}
	route_init(&forward->route, endpoints, forward->gateway_count);
	return status;
}

static int start_handles(struct forward *forward)
{
	int status = uv_async_init(&forward->loop, &forward->async, on_async);

	if (status == 0)
		status = uv_timer_init(&forward->loop, &forward->tick);
	if (status == 0)
		status = uv_timer_init(&forward->loop, &forward->cursor_timer);
	forward->async.data = forward;
	forward->tick.data = forward;
	forward->cursor_timer.data = forward;
	if (status == 0)
		status = uv_timer_start(&forward->tick, on_tick, TICK_MS, TICK_MS);
	return status;
}

int forward_start(const struct forward_config *config, struct forward **ret)
{
	struct forward *forward = calloc(1, sizeof(*forward));
	int status;

	if (forward == NULL)
		return -ENOMEM;
	forward->config = *config;
	forward->cursor = config->begin;
	forward->place = config->begin.place;
	forward->reached = config->begin.reached;
	forward->split_before = config->begin.split;
	forward->split_from = log_end(config->log);
	forward->behind = true;
	forward->records_end = &forward->records;
	forward->partings_end = &forward->partings;
	forward->endpoints = strdup(config->endpoints);
	/* A failure from here on ends the program's start: nothing is taken back. */
	status = forward->endpoints == NULL ? -ENOMEM : uv_mutex_init(&forward->lock);
	if (status == 0)
		status = uv_loop_init(&forward->loop);
	if (status == 0)
		status = log_reader_new(
			config->disk, config->log_dir, CACHE_BYTES, &forward->reader);
	if (status == 0)
		status = start_handles(forward);
	if (status == 0)
		status = start_gateways(forward);
	if (status == 0)
		status = uv_thread_create(&forward->thread, run_thread, forward);
	if (status < 0)
		return status;
	forward_wake(forward);
	*ret = forward;
	return 0;
}

void forward_wake(struct forward *forward)
{
	uv_mutex_lock(&forward->lock);
	forward->woken = true;
	forward->idle = !forward->any_open;
	if (!forward->ended)
		(void)uv_async_send(&forward->async);
	uv_mutex_unlock(&forward->lock);
}

void forward_on_cursor(struct forward *forward)
{
	uv_mutex_lock(&forward->lock);
	forward->cursor_written = true;
	if (!forward->ended)
		(void)uv_async_send(&forward->async);
	uv_mutex_unlock(&forward->lock);
}

bool forward_idle(struct forward *forward)
{
	bool idle;

	uv_mutex_lock(&forward->lock);
	idle = forward->idle;
	uv_mutex_unlock(&forward->lock);
	return idle;
}

void forward_count(struct forward *forward, struct forward_counts *ret)
{
	uv_mutex_lock(&forward->lock);
	*ret = forward->published;
	uv_mutex_unlock(&forward->lock);
}

void forward_stop(struct forward *forward)
{
	uv_mutex_lock(&forward->lock);
	forward->stop = true;
	if (!forward->ended)
		(void)uv_async_send(&forward->async);
	uv_mutex_unlock(&forward->lock);
	uv_thread_join(&forward->thread);
}
