/*
 * What the Admin service does, on the daemon. Loop thread.
 *
 * A flush is written_spans at its begin, and flow.c's state: one that begins while another
 * is on its way makes both wait for what is held by then.
 */
#include "collector_internal.h"
#include "report.h"

#include "log_line.h"

#include <string.h>

static void admin_reload(void *context, uint32_t stream_id, struct answer *ret)
{
	Waft__V1__ReloadResponse response = WAFT__V1__RELOAD_RESPONSE__INIT;
	char text[512];

	if (collector_reload(context, text, sizeof(text)) < 0) {
		answer_fail(ret, GRPC_FAILED_PRECONDITION, "%s", text);
		return;
	}
	response.needs_restart = text;
	answer_pack(&response.base, stream_id, ret);
}

static void admin_reloaded(void *context)
{
	collector_settle(context);
}

static void admin_log_level(
	void *context, const char *level, uint32_t stream_id, struct answer *ret)
{
	struct collector *collector = context;
	Waft__V1__SetLogLevelResponse response = WAFT__V1__SET_LOG_LEVEL_RESPONSE__INIT;
	const char *before = settings_level_name(collector->settings.log_level);
	struct settings_error error;

	if (settings_set(&collector->settings, "log-level", level, &error) < 0) {
		answer_fail(ret, GRPC_INVALID_ARGUMENT, "%s", error.text);
		return;
	}
	log_line_set_level((enum log_level)collector->settings.log_level);
	log_notice("the log level is %s", settings_level_name(collector->settings.log_level));
	response.before = (char *)(uintptr_t)before;
	answer_pack(&response.base, stream_id, ret);
}

static void admin_clients(void *context, uint32_t stream_id, struct answer *ret)
{
	report_clients(context, stream_id, ret);
}

static void admin_flush(void *context, uint64_t *ret_from)
{
	struct collector *collector = context;

	*ret_from = collector->written_spans;
	flow_flush(collector);
	flow_balance(collector);
}

static bool admin_flushed(void *context, uint64_t from, uint32_t stream_id, struct answer *ret)
{
	const struct collector *collector = context;
	Waft__V1__FlushResponse response = WAFT__V1__FLUSH_RESPONSE__INIT;

	if (collector->store_error != 0) {
		answer_fail(ret, GRPC_UNAVAILABLE,
			"the files can't be written: %s; what is held stays in the log",
			error_text(collector->store_error));
		return true;
	}
	if (!flow_flushed(collector))
		return false;
	response.spans = collector->written_spans - from;
	answer_pack(&response.base, stream_id, ret);
	return true;
}

const struct admin_ops admin_ops = {
	.reload = admin_reload,
	.reloaded = admin_reloaded,
	.log_level = admin_log_level,
	.clients = admin_clients,
	.flush = admin_flush,
	.flushed = admin_flushed,
};
