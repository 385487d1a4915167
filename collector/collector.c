/*
 * The daemon's life: start, signals, reload, end.
 *
 * The happy path: the sockets listen, and who connects waits → depot_open recovers
 * the store → the threads start → the sockets accept → "ready" → the loop runs
 * until SIGTERM → drain.c. A failure before "ready" closes what was begun in the
 * reverse order and gives exit code 1.
 */
#include "collector_internal.h"
#include "descriptors.h"

#include "log_line.h"
#include "notify.h"
#include "paths.h"
#include "peers.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUSEKEEPING_MS 1000
#define FRAME_BUDGET_SHARE 8
#define CLIENTS_EXPIRE_MS 600000u
/* The syncs of a commit to files hold up the log's. */
#define GATHER_NS (250 * CLOCK_NS_PER_MS)

/* ---- Reload, summary, watchdog ------------------------------------------------ */

static void configure_store_modes(struct collector *collector)
{
	struct disk *disk = collector->config.disk;
	unsigned mode = (unsigned)collector->settings.store_mode;

	disk->file_mode = mode;
	/* Who may read a file may look into its directory. */
	disk->dir_mode = mode | ((mode & 0444) >> 2);
}

static struct peer_groups groups_of(const struct settings *settings)
{
	return (struct peer_groups){.query = peers_group(settings->query_group),
		.admin = peers_group(settings->admin_group)};
}

/* Those of connections and regions: what can be shared out anew. */
static uint32_t descriptors_in_use(const struct collector *collector)
{
	struct regions_counts regions = {0};
	size_t open = collector->server != NULL ? server_open_connections(collector->server) : 0;

	if (collector->regions != NULL)
		regions_count(collector->regions, &regions);
	return (uint32_t)(open + regions.held * REGIONS_DESCRIPTORS);
}

/* What connections leave is for regions: without one only salvage is lost. */
static size_t regions_allowed(const struct collector *collector, uint32_t connections)
{
	uint32_t all = descriptors_for_connections(UINT32_MAX, descriptors_in_use(collector),
		(uint32_t)collector->settings.max_queries);

	return all > connections ? (all - connections) / REGIONS_DESCRIPTORS : 0;
}

/* What the settings allow, or as many as there are descriptors for. */
static uint32_t connections_allowed(const struct collector *collector)
{
	uint32_t wanted = (uint32_t)collector->settings.max_connections;
	uint32_t allowed = descriptors_for_connections(
		wanted, descriptors_in_use(collector), (uint32_t)collector->settings.max_queries);

	if (allowed < wanted)
		log_warning("the limit of open files leaves room for %u connections, not %u",
			allowed, wanted);
	return allowed;
}

/* What one client may have: in proportion when there are fewer places than are asked
 * for, and never so much that the others had to wait for its messages alone. */
static void apply_quotas(struct collector *collector, uint32_t connections)
{
	const struct settings *settings = &collector->settings;
	uint64_t most_in_flight = collector->limits.pending_bytes / 4;
	struct quota_limits limits = {
		.connections = settings->client_connections,
		.bytes_per_second = settings->client_rate,
		.in_flight_bytes = settings->client_in_flight,
	};

	if (limits.connections > 0 && connections > 0 && settings->max_connections > 0)
		limits.connections =
			1 + (limits.connections * connections - 1) / settings->max_connections;
	if (limits.in_flight_bytes > most_in_flight)
		limits.in_flight_bytes = most_in_flight;
	quotas_configure(collector->quotas, &limits);
}

/* Of an agent: what it may keep for gateways, and what it can't give up yet. */
static uint64_t log_limit_of(const struct settings *settings)
{
	return settings->forward != NULL ? settings->forward_max_bytes + 4 * settings->segment_size
					 : settings->log_limit;
}

static void apply_settings(struct collector *collector)
{
	const struct settings *settings = &collector->settings;
	struct retention retention = {
		.max_age_ns = settings->retention_age_ms * CLOCK_NS_PER_MS,
		.max_bytes = settings->retention_size,
	};
	uint32_t connections;
	struct peer_groups groups;
	struct keeper_sealing sealing = {
		.on = settings->seal != 0, .after_ns = settings->seal_after_ms * CLOCK_NS_PER_MS};

	log_line_set_level((enum log_level)settings->log_level);
	pressure_limits_of(settings->memory_limit, settings->seal != 0, log_limit_of(settings),
		settings->segment_size, &collector->limits);
	sealing.memory_bytes = collector->limits.seal_bytes;
	assembly_configure(collector->depot.assembly, settings->quiet_ms, settings->hold_ms);
	if (collector->keepers != NULL) {
		keeper_retain(keepers_first(collector->keepers), &retention);
		keeper_seal(keepers_first(collector->keepers), &sealing);
	}
	if (collector->queries != NULL)
		query_service_configure(collector->queries, (uint32_t)settings->max_queries);
	if (collector->tails != NULL)
		tail_service_configure(collector->tails, (uint32_t)settings->max_tails);
	if (collector->server == NULL)
		return;
	groups = groups_of(settings);
	collector->fresh_groups |=
		groups.query != collector->groups.query || groups.admin != collector->groups.admin;
	collector->groups = groups;
	connections = connections_allowed(collector);
	apply_quotas(collector, connections);
	regions_configure(
		collector->regions, settings->salvage_ms, regions_allowed(collector, connections));
	server_configure(collector->server, connections, settings->idle_ms, groups);
}

/* Rules and certificates anew; what was good stays while the new is not. */
static int reload_credentials(struct collector *collector, char *ret_text, size_t room)
{
	struct credentials fresh;
	struct credentials_error error;
	int status = credentials_load(&collector->settings, &fresh, &error);

	if (status < 0) {
		log_error("rules and certificates stay as they were: %s", error.text);
		snprintf(
			ret_text, room, "rules and certificates stay as they were: %s", error.text);
		return status;
	}
	collector->fresh_rules = !credentials_same_rules(&collector->credentials, &fresh);
	collector->fresh_any =
		collector->fresh_rules || !credentials_same_tls(&collector->credentials, &fresh);
	collector->fresh = fresh;
	return 0;
}

void collector_settle(struct collector *collector)
{
	struct credentials old = {0};

	if (collector->fresh_any) {
		old = collector->credentials;
		collector->credentials = collector->fresh;
		collector->fresh = (struct credentials){0};
		log_notice("rules and certificates were read again");
	}
	/* Connections have the rights that were theirs when they came. */
	if (collector->fresh_any || collector->fresh_groups)
		server_secure(collector->server, collector->credentials.access,
			collector->credentials.tls,
			collector->fresh_rules || collector->fresh_groups);
	credentials_done(&old);
	collector->fresh_any = collector->fresh_rules = collector->fresh_groups = false;
	credentials_done(&collector->fresh);
}

int collector_reload(struct collector *collector, char *ret_text, size_t room)
{
	struct settings settings;
	struct settings_error error;
	int status;

	notify_send("RELOADING=1");
	collector->reloads++;
	collector->fresh_groups = false;
	status = collector->config.reload(collector->config.context, &settings, &error);
	if (status < 0) {
		log_error("the configuration stays as it was: %s", error.text);
		snprintf(ret_text, room, "the configuration stays as it was: %s", error.text);
	} else {
		char wait[512];

		if (settings_need_restart(&collector->settings, &settings, wait, sizeof(wait)) > 0)
			log_warning("a restart is needed for: %s", wait);
		settings_done(&collector->settings);
		collector->settings = settings;
		snprintf(ret_text, room, "%s", wait);
		apply_settings(collector);
		status = reload_credentials(collector, ret_text, room);
		flow_pulse(collector);
		flow_balance(collector);
		log_notice("the configuration was read again");
	}
	collector->reloads_failed += status < 0;
	notify_send("READY=1");
	return status;
}

static void log_summary(struct collector *collector)
{
	struct intake_counts intake;
	struct assembler_counts held;
	struct server_counts server;
	struct writer_stats written;

	intake_count(collector->intake, &intake);
	assembly_count(collector->depot.assembly, &held);
	server_count(collector->server, &server);
	writer_get_stats(collector->depot.stores[0], &written);
	log_notice("%llu connections; since the start %llu batches, %llu spans, %llu refused; "
		   "%llu spans wait in %llu traces, %llu are in files; log %llu KiB%s%s",
		(unsigned long long)server.connections, (unsigned long long)intake.batches,
		(unsigned long long)intake.spans, (unsigned long long)intake.refused,
		(unsigned long long)held.spans, (unsigned long long)held.traces,
		(unsigned long long)(written.spans_written - written.spans_expired),
		(unsigned long long)log_total_bytes(collector->depot.recovery.log) / 1024,
		collector->pressure.reason != NULL ? "; senders wait: " : "",
		collector->pressure.reason != NULL ? collector->pressure.reason : "");
}

/* Every second or so: whatever has no event of its own. */
static bool is_connected(void *context, const uint8_t client[16])
{
	return export_service_connected(context, client);
}

static void on_housekeeping(uv_timer_t *timer)
{
	struct collector *collector = timer->data;
	uint64_t now_ms = collector_now_ms(collector);

	if (!intake_busy(collector->intake) &&
		!committer_busy(intake_committer(collector->intake)) &&
		!keepers_busy(collector->keepers))
		collector->progress_ms = now_ms;
	/* A disk that is full or broken is reported, not restarted away; a thread that
	 * hangs is. */
	if (collector->watchdog_ms > 0 &&
		(now_ms - collector->progress_ms < collector->watchdog_ms ||
			collector->commit_error != 0 || collector->store_error != 0))
		notify_send("WATCHDOG=1");
	flow_balance(collector);
	drain_step(collector);
	if (collector->inbox != NULL) {
		inbox_on_room(collector->inbox);
		inbox_look(collector->inbox);
	}
	if (collector->state == COLLECTOR_RUNNING && now_ms >= collector->expire_ms) {
		collector->expire_ms = now_ms + CLIENTS_EXPIRE_MS;
		(void)clients_expire(collector->depot.clients,
			clock_realtime_ns(collector->config.clock),
			collector->settings.client_age_ms * CLOCK_NS_PER_MS, is_connected,
			collector->exports);
	}
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct collector *collector = handle->data;
	char text[512]; /* the log has it */

	switch (number) {
	case SIGHUP:
		if (collector->state != COLLECTOR_RUNNING)
			break;
		(void)collector_reload(collector, text, sizeof(text));
		collector_settle(collector);
		break;
	case SIGUSR1:
		log_summary(collector);
		break;
	default:
		drain_begin(collector);
		break;
	}
}

/* ---- Start ---------------------------------------------------------------------- */

static int start_handles(struct collector *collector)
{
	static const int numbers[COLLECTOR_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	int status = uv_timer_init(&collector->loop, &collector->pulse);

	collector->pulse.data = collector;
	if (status == 0)
		status = uv_timer_init(&collector->loop, &collector->watchdog);
	collector->watchdog.data = collector;
	if (status == 0)
		status = uv_timer_init(&collector->loop, &collector->credit);
	collector->credit.data = collector;
	for (int i = 0; status == 0 && i < COLLECTOR_SIGNALS; i++) {
		status = uv_signal_init(&collector->loop, &collector->signals[i]);
		collector->signals[i].data = collector;
		if (status == 0)
			status = uv_signal_start(&collector->signals[i], on_signal, numbers[i]);
	}
	return status;
}

static int start_threads(struct collector *collector)
{
	const struct intake_config intake = {
		.loop = &collector->loop,
		.log = collector->depot.recovery.log,
		.clients = collector->depot.clients,
		.assembly = collector->depot.assembly,
		.clock = collector->config.clock,
		.decoders = (uint32_t)collector->settings.decoders,
		.pending_limit = collector->limits.pending_bytes,
		.forward = collector->settings.forward != NULL,
		.on_batch = flow_on_batch,
		.on_round = flow_on_round,
		.context = collector,
	};
	struct sealer_config sealer = {.disk = collector->config.disk,
		.dirs = &collector->depot.dirs,
		.index_dir = collector->depot.index_dir};
	const struct keeper_config keeper = {
		.sealer = &sealer,
		.loop = &collector->loop,
		.manifest = collector->depot.recovery.manifest,
		.clock = collector->config.clock,
		.on_written = flow_on_written,
		.on_progress = flow_on_progress,
		.on_forwarded = flow_on_forwarded,
		.context = collector,
	};
	int status = intake_start(&intake, &collector->intake);

	memcpy(sealer.store_id, collector->depot.store_id, sizeof(sealer.store_id));
	if (status == 0)
		status = keepers_start(&keeper, collector->depot.stores,
			assembly_shards(collector->depot.assembly), &collector->keepers);
	return status;
}

static int start_readers(struct collector *collector)
{
	const struct query_service_config queries = {
		.loop = &collector->loop,
		.disk = collector->config.disk,
		.live = collector->depot.live,
		.regions = collector->regions,
		.store = collector->depot.path,
		.max_queries = (uint32_t)collector->settings.max_queries,
		.health = report_health,
		.status = report_status,
		.context = collector,
	};
	const struct tail_service_config tails = {
		.loop = &collector->loop,
		.disk = collector->config.disk,
		.log_dir = collector->depot.dirs.log,
		.max_tails = (uint32_t)collector->settings.max_tails,
	};
	int status = query_service_new(&queries, &collector->queries);

	if (status == 0)
		status = tail_service_new(&tails, &collector->tails);
	if (status < 0)
		return status;
	collector->method_count += query_service_methods(
		collector->queries, &collector->methods[collector->method_count]);
	tail_service_method(collector->tails, &collector->methods[collector->method_count++]);
	return 0;
}

static void on_inbox_remove(void *context)
{
	struct collector *collector = context;

	live_on_inbox(collector->depot.live);
}

static int write_cursor(void *context, const struct manifest_forward *to, struct consumed *ordinals)
{
	struct collector *collector = context;

	return keeper_forward(keepers_first(collector->keepers), to, ordinals);
}

static void read_cursor(void *context, struct manifest_forward *ret)
{
	struct collector *collector = context;

	keeper_forwarded(keepers_first(collector->keepers), ret);
}

static int start_forward(struct collector *collector)
{
	const struct settings *settings = &collector->settings;
	struct forward_config forward = {
		.disk = collector->config.disk,
		.log_dir = collector->depot.dirs.log,
		.log = collector->depot.recovery.log,
		.clients = collector->depot.clients,
		.endpoints = settings->forward,
		.tls_ca = settings->forward_tls_ca,
		.tls_cert = settings->forward_tls_cert,
		.tls_key = settings->forward_tls_key,
		.token_file = settings->forward_token_file,
		.timeout_ms = settings->forward_timeout_ms,
		.write_cursor = write_cursor,
		.read_cursor = read_cursor,
		.context = collector,
	};
	struct forward *started;
	int status;

	if (settings->forward == NULL)
		return 0;
	memcpy(forward.agent, collector->depot.store_id, sizeof(forward.agent));
	keeper_forwarded(keepers_first(collector->keepers), &forward.begin);
	collector->dropped_before = forward.begin.dropped;
	status = forward_start(&forward, &started);
	if (status == 0)
		__atomic_store_n(&collector->forward, started, __ATOMIC_RELEASE);
	return status;
}

static int start_inbox(struct collector *collector)
{
	const struct inbox_config inbox = {
		.loop = &collector->loop,
		.disk = collector->config.disk,
		.dir = collector->depot.inbox_dir,
		.quarantine_dir = collector->depot.dirs.quarantine,
		.ingest = intake_ingest(collector->intake),
		.clients = collector->depot.clients,
		.clock = collector->config.clock,
		.on_remove = on_inbox_remove,
		.context = collector,
	};

	return inbox_new(&inbox, &collector->inbox);
}

static bool is_in_use(void *context, const uint8_t client[16])
{
	const struct collector *collector = context;

	return export_service_knows(collector->exports, client);
}

static void end_client(void *context, const uint8_t client[16])
{
	struct collector *collector = context;

	export_service_end(collector->exports, client);
}

static void on_settled(void *context)
{
	drain_step(context);
}

static int start_regions(struct collector *collector)
{
	const struct regions_config regions = {
		.loop = &collector->loop,
		.ingest = intake_ingest(collector->intake),
		.clients = collector->depot.clients,
		.clock = collector->config.clock,
		.wait_ms = collector->settings.salvage_ms,
		.in_use = is_in_use,
		.end = end_client,
		.on_settled = on_settled,
		.context = collector,
	};

	return regions_new(&regions, &collector->regions);
}

static int start_services(struct collector *collector)
{
	struct export_config exports = {
		.ingest = intake_ingest(collector->intake),
		.clients = collector->depot.clients,
		.clock = collector->config.clock,
	};
	struct forward_service_config forwarded = {
		.ingest = intake_ingest(collector->intake),
		.clients = collector->depot.clients,
		.clock = collector->config.clock,
	};
	struct server_config server = {
		.loop = &collector->loop,
		.clock = collector->config.clock,
		.methods = collector->methods,
		.max_connections = connections_allowed(collector),
		.idle_ms = collector->settings.idle_ms,
		.frame_budget_bytes =
			(size_t)(collector->settings.memory_limit / FRAME_BUDGET_SHARE),
		.groups = groups_of(&collector->settings),
	};
	int status =
		quotas_new(&(struct quota_limits){0}, flow_on_held, collector, &collector->quotas);

	if (status < 0)
		return status;
	server.quotas = collector->quotas;
	server.access = collector->credentials.access;
	server.tls = collector->credentials.tls;
	status = start_inbox(collector);
	if (status < 0)
		return status;
	status = start_regions(collector);
	if (status < 0)
		return status;
	exports.regions = collector->regions;
	memcpy(exports.store_id, collector->depot.store_id, sizeof(exports.store_id));
	status = export_service_new(&exports, &collector->exports);
	if (status < 0)
		return status;
	export_service_method(collector->exports, &collector->methods[collector->method_count++]);
	memcpy(forwarded.store_id, collector->depot.store_id, sizeof(forwarded.store_id));
	status = forward_service_new(&forwarded, &collector->forwarded);
	if (status < 0)
		return status;
	forward_service_method(
		collector->forwarded, &collector->methods[collector->method_count++]);
	status = start_readers(collector);
	if (status < 0)
		return status;
	status = admin_service_new(&admin_ops, collector, &collector->admin);
	if (status < 0)
		return status;
	collector->method_count += admin_service_methods(
		collector->admin, &collector->methods[collector->method_count]);
	server.method_count = collector->method_count;
	return server_new(&server, &collector->server);
}

/* ---- Store ------------------------------------------------------------------------ */

static int open_depot(struct collector *collector)
{
	const struct settings *settings = &collector->settings;
	struct paths_environment environment;
	struct depot_error error;
	char recovered[512];
	char *path = NULL;
	int status = 0;
	struct depot_config config = {
		.disk = collector->config.disk,
		.path = settings->store,
		.clock = collector->config.clock,
		.quiet_ms = settings->quiet_ms,
		.hold_ms = settings->hold_ms,
		.segment_bytes = settings->segment_size,
		.part_bytes = settings->part_size,
		.trace_spans = settings->trace_spans,
		.max_clients = settings->max_clients,
		/* An agent writes no files but once, at its first start as one. */
		.shards = settings->forward != NULL ? 1 : (uint32_t)settings->shards,
		.gather_ns = GATHER_NS,
		.forward = settings->forward != NULL,
	};

	pressure_limits_of(settings->memory_limit, settings->seal != 0, log_limit_of(settings),
		settings->segment_size, &collector->limits);
	config.pending_bytes = collector->limits.pending_bytes;
	config.spare_bytes = collector->limits.spare_bytes;
	config.buffer_bytes = collector->limits.buffer_bytes;
	if (config.path == NULL) {
		paths_environment_read(&environment);
		status = paths_store(&environment, &path);
		config.path = path;
	}
	if (status == 0)
		status = depot_open(&config, &collector->depot, &error);
	free(path);
	if (status < 0) {
		log_error("%s", error.text);
		return status;
	}
	(void)recovery_text(&collector->depot.recovery, recovered, sizeof(recovered));
	if (recovery_found_damage(&collector->depot.recovery))
		log_warning("%s", recovered);
	else
		log_info("%s", recovered);
	if (collector->depot.index_report.rebuilt_parts > 0)
		log_info("indexed %llu of %llu files anew",
			(unsigned long long)collector->depot.index_report.rebuilt_parts,
			(unsigned long long)collector->depot.index_report.parts);
	return 0;
}

/* What can be wrong with the settings and the machine but for the store, which stays
 * untouched then: files of rules and certificates, ports in use. */
static int prepare(struct collector *collector)
{
	struct credentials_error error;
	int status = credentials_load(&collector->settings, &collector->credentials, &error);

	if (status < 0) {
		log_error("%s", error.text);
		return status;
	}
	return sockets_open(collector);
}

/* ---- All of it ---------------------------------------------------------------------- */

static void say_ready(struct collector *collector)
{
	char names[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < collector->listener_count; i++) {
		int length = snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "",
			collector->listeners[i].name);

		if (length > 0 && (size_t)length < sizeof(names) - used)
			used += (size_t)length;
	}
	fprintf(collector->config.ready_to, "waft-collectord: ready on %s, store %s", names,
		collector->depot.path);
	if (collector->http != NULL)
		fprintf(collector->config.ready_to, ", http port %u", http_port(collector->http));
	fputc('\n', collector->config.ready_to);
	fflush(collector->config.ready_to);
	notify_status("takes spans");
	notify_send("READY=1");
}

/* What is sealed or removed by now has another name, or none. */
static void on_damaged(void *context, const char *name)
{
	struct collector *collector = context;

	live_on_damage(collector->depot.live, name);
}

static int start(struct collector *collector)
{
	uint64_t period_ms = HOUSEKEEPING_MS;
	/* The manifest is the store's thread's from then on. */
	int status = verifier_new(collector->config.disk, &collector->depot.dirs,
		manifest_state(collector->depot.recovery.manifest), &collector->verifier);

	if (status == 0)
		status = start_threads(collector);
	if (status == 0)
		status = start_services(collector);
	if (status == 0)
		status = start_forward(collector);
	if (status < 0) {
		log_error("can't start: %s", error_text(status));
		return status;
	}
	apply_settings(collector);
	status = sockets_accept(collector);
	if (status < 0)
		return status;
	collector->watchdog_ms = notify_watchdog_ms();
	if (collector->watchdog_ms > 0 && collector->watchdog_ms / 2 < period_ms)
		period_ms = collector->watchdog_ms / 2 + 1;
	collector->state = COLLECTOR_RUNNING;
	collector->started_ms = collector_now_ms(collector);
	collector->progress_ms = collector->started_ms;
	(void)uv_timer_start(&collector->watchdog, on_housekeeping, period_ms, period_ms);
	flow_balance(collector);
	flow_pulse(collector);
	inbox_look(collector->inbox);
	say_ready(collector);
	verifier_start(collector->verifier, &collector->loop, on_damaged, collector);
	return 0;
}

/* The end of the process's use of the store; what drain.c left. */
static void finish(struct collector *collector)
{
	struct assembler_counts held = {0};

	verifier_free(collector->verifier);
	if (collector->depot.assembly != NULL) {
		assembly_count(collector->depot.assembly, &held);
		if (held.spans > 0) {
			log_warning("%llu spans stay in the log; the next start writes them",
				(unsigned long long)held.spans);
			collector->exit_code = 1;
		} else if (collector->exit_code == 0) {
			log_info("stopped; everything is in files");
		}
		depot_close(&collector->depot);
	}
	sockets_close(collector);
	admin_service_free(collector->admin);
	quotas_free(collector->quotas);
	credentials_done(&collector->credentials);
	settings_done(&collector->settings);
}

int collector_run(const struct collector_config *config)
{
	struct collector *collector = calloc(1, sizeof(*collector));
	int exit_code;

	if (collector == NULL || uv_loop_init(&collector->loop) < 0) {
		log_error("can't start: out of memory");
		free(collector);
		return 1;
	}
	collector->config = *config;
	collector->http_fd = -1;
	/* A peer that goes away is no reason to die. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* A file size limit is one more kind of full disk. */
	(void)signal(SIGXFSZ, SIG_IGN);
	collector->settings = *config->settings;
	*config->settings = (struct settings){0};
	configure_store_modes(collector);
	if (prepare(collector) < 0 || open_depot(collector) < 0 || start_handles(collector) < 0) {
		collector->exit_code = 1;
	} else {
		if (start(collector) < 0) {
			collector->exit_code = 1;
			drain_close(collector);
		}
		(void)uv_run(&collector->loop, UV_RUN_DEFAULT);
	}
	finish(collector);
	(void)uv_loop_close(&collector->loop);
	exit_code = collector->exit_code;
	free(collector);
	return exit_code;
}
