/*
 * The end: from SIGTERM to the last closed handle. Loop thread.
 *
 * The happy path: nothing more is read → what was read, and what clients that have ended
 * left in their regions, becomes durable and is acknowledged → senders get UNAVAILABLE and
 * reconnect later → all spans go to the store → all handles close, which ends the loop.
 *
 * If the disk doesn't let it, the drain ends when its time is over: what is
 * acknowledged is in the log, and the next start finds it there.
 */
#include "collector_internal.h"

#include "log_line.h"
#include "notify.h"

/* A connection's last words may take so long. */
#define FLUSH_MS 500

static void on_inbox_closed(void *context)
{
	struct collector *collector = context;

	collector->inbox = NULL;
}

/* What is on its way of the inbox becomes durable or is cancelled; the rest stays
 * where it is. */
static void close_inbox(struct collector *collector)
{
	struct inbox *inbox = collector->inbox;

	collector->inbox = NULL;
	if (inbox != NULL)
		inbox_close(inbox, on_inbox_closed, collector);
}

void drain_begin(struct collector *collector)
{
	if (collector->state == COLLECTOR_STARTING || collector->state >= COLLECTOR_CLOSING)
		return;
	if (collector->state != COLLECTOR_RUNNING) {
		/* Asked again: the operator is in a hurry. */
		collector->drain_by_ms = collector_now_ms(collector);
		drain_step(collector);
		return;
	}
	log_info("stopping: bringing everything into files");
	notify_send("STOPPING=1");
	collector->state = COLLECTOR_DRAIN_COMMITS;
	/* A fifth of the time is for what can't be stopped any more. */
	collector->drain_by_ms = collector_now_ms(collector) + collector->settings.drain_ms / 5 * 4;
	server_stop_accepting(collector->server);
	close_inbox(collector);
	flow_balance(collector);
	regions_drain(collector->regions);
	drain_step(collector);
}

/* What gateways that are there are sent still; what others have to get stays in the log. */
static bool is_forwarded(struct collector *collector)
{
	return collector->forward == NULL || forward_idle(collector->forward);
}

/* Whether all that was read or left by dead clients is durable, or can't be made so. */
static bool is_taken_in(struct collector *collector)
{
	return collector->commit_error != 0 ||
	       (!intake_busy(collector->intake) && regions_settled(collector->regions));
}

void drain_step(struct collector *collector)
{
	bool late = collector_now_ms(collector) >= collector->drain_by_ms;

	if (collector->state == COLLECTOR_DRAIN_COMMITS && (is_taken_in(collector) || late)) {
		if (!regions_settled(collector->regions))
			log_warning("stopping before all that ended clients left is salvaged");
		regions_stop(collector->regions);
		export_service_flush(collector->exports);
		forward_service_flush(collector->forwarded);
		server_shut(collector->server, GRPC_UNAVAILABLE, "the collector is stopping", 1000);
		collector->state = COLLECTOR_DRAIN_WRITES;
	}
	if (collector->state == COLLECTOR_DRAIN_WRITES &&
		((flow_drain(collector) && is_forwarded(collector)) || late))
		drain_close(collector);
}

/* ---- Closing, one after the other ------------------------------------------- */

static void on_keepers_closed(void *context, uint64_t spans_left)
{
	struct collector *collector = context;

	collector->keepers = NULL;
	forward_free(collector->forward);
	collector->forward = NULL;
	collector->spans_left = spans_left;
	collector->state = COLLECTOR_CLOSED;
}

static void close_keepers(struct collector *collector)
{
	if (collector->keepers == NULL) {
		collector->state = COLLECTOR_CLOSED;
		return;
	}
	keepers_close(collector->keepers, on_keepers_closed);
	/* Their threads have closed them. */
	depot_leave_stores(&collector->depot);
}

static void on_intake_closed(void *context)
{
	struct collector *collector = context;

	collector->intake = NULL;
	regions_free(collector->regions);
	collector->regions = NULL;
	export_service_free(collector->exports);
	collector->exports = NULL;
	forward_service_free(collector->forwarded);
	collector->forwarded = NULL;
	close_keepers(collector);
}

/* After the last query, tail and connection. */
static void on_readers_closed(struct collector *collector)
{
	if (collector->queries != NULL || collector->tails != NULL || collector->http != NULL)
		return;
	if (collector->intake != NULL) {
		intake_close(collector->intake, on_intake_closed);
		return;
	}
	regions_free(collector->regions);
	collector->regions = NULL;
	close_keepers(collector);
}

static void on_queries_closed(void *context)
{
	struct collector *collector = context;

	collector->queries = NULL;
	on_readers_closed(collector);
}

static void on_tails_closed(void *context)
{
	struct collector *collector = context;

	collector->tails = NULL;
	on_readers_closed(collector);
}

static void on_http_closed(void *context)
{
	struct collector *collector = context;

	collector->http = NULL;
	on_readers_closed(collector);
}

static void on_server_closed(void *context)
{
	struct collector *collector = context;
	bool none =
		collector->queries == NULL && collector->tails == NULL && collector->http == NULL;

	collector->server = NULL;
	/* The last of these goes on. */
	if (collector->http != NULL)
		http_close(collector->http, on_http_closed, collector);
	if (collector->tails != NULL)
		tail_service_close(collector->tails, on_tails_closed, collector);
	if (collector->queries != NULL)
		query_service_close(collector->queries, on_queries_closed, collector);
	if (none)
		on_readers_closed(collector);
}

static void on_flush_over(uv_timer_t *timer)
{
	struct collector *collector = timer->data;

	if (server_open_connections(collector->server) > 0 &&
		collector_now_ms(collector) < collector->drain_by_ms)
		return;
	uv_close((uv_handle_t *)timer, NULL);
	server_close(collector->server, on_server_closed, collector);
}

void drain_close(struct collector *collector)
{
	collector->state = COLLECTOR_CLOSING;
	verifier_stop(collector->verifier);
	if (collector->forward != NULL)
		forward_stop(collector->forward);
	for (int i = 0; i < COLLECTOR_SIGNALS; i++)
		uv_close((uv_handle_t *)&collector->signals[i], NULL);
	uv_close((uv_handle_t *)&collector->watchdog, NULL);
	uv_close((uv_handle_t *)&collector->credit, NULL);
	close_inbox(collector);
	if (collector->regions != NULL)
		regions_stop(collector->regions);
	if (collector->server == NULL) {
		uv_close((uv_handle_t *)&collector->pulse, NULL);
		on_server_closed(collector);
		return;
	}
	/* What the peers were told last has to get to them. */
	collector->drain_by_ms = collector_now_ms(collector) + FLUSH_MS;
	(void)uv_timer_start(&collector->pulse, on_flush_over, 0, 5);
}
