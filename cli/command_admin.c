/*
 * command_admin.c: reload, flush, log-level, clients: the Admin service of a collector.
 *
 * Asks the collector itself, not by the viewer library, which only reads.
 */
#include "command.h"
#include "endpoint.h"
#include "rpc_client.h"
#include "waft.pb-c.h"
#include "when.h"
#include "wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct admin {
	struct rpc_client *client;
	char where[ENDPOINT_PATH_BYTES + 8];
	uint32_t timeout_ms;
};

/* ---- Connecting -------------------------------------------------------- */

static int try_one(struct admin *admin, const char *path, struct strbuf *why)
{
	char text[WIRE_LINK_WHY_BYTES];
	int result = rpc_client_connect(path, admin->timeout_ms, &admin->client, text);

	(void)snprintf(admin->where, sizeof admin->where, "%s%s",
		endpoint_is_remote(path) ? "" : "unix:", path);
	if (result != 0) {
		strbuf_format(why, "%sthe collector at ", why->length > 0 ? "\n  " : "");
		strbuf_safe(why, admin->where, strlen(admin->where));
		strbuf_format(why, " does not answer: %s", text);
	}
	return result;
}

static int connect_named(
	struct admin *admin, const char *where, const char *origin, struct strbuf *why)
{
	enum endpoint_kind kind;
	const char *path;

	if (endpoint_parse(where, &kind, &path) != 0 || kind != ENDPOINT_UNIX) {
		strbuf_format(why, "%s \"", origin);
		strbuf_safe(why, where, strlen(where));
		strbuf_string(why, "\" is no collector: unix:PATH or tls://HOST:PORT");
		return -EINVAL;
	}
	return try_one(admin, path, why);
}

static int connect_any(struct admin *admin, const char *endpoint, struct strbuf *why)
{
	char paths[ENDPOINT_SEARCH_MAX][ENDPOINT_PATH_BYTES];
	const char *set = endpoint_environment();
	size_t count;
	int result = -ENOENT;

	if (endpoint != NULL)
		return connect_named(admin, endpoint, "the endpoint", why);
	if (set != NULL)
		return connect_named(admin, set, "WAFT_ENDPOINT", why);
	count = endpoint_search(paths);
	for (size_t i = 0; result != 0 && i < count; i++)
		result = try_one(admin, paths[i], why);
	return result;
}

/* Whether it is connected; else it says why not. */
static bool admin_open(const struct arguments *arguments, struct admin *ret_admin)
{
	struct strbuf why = {0};
	int result = -EINVAL;

	*ret_admin =
		(struct admin){.timeout_ms = (uint32_t)(arguments->timeout_ns / WHEN_NS_PER_MS)};
	if (ret_admin->timeout_ms == 0)
		ret_admin->timeout_ms = 10000;
	if (arguments->stores.count != 0)
		strbuf_string(&why, "admin asks a collector: --store DIR is none");
	else if (arguments->endpoints.count > 1)
		strbuf_string(&why, "admin asks one collector: name a single --endpoint");
	else
		result = connect_any(ret_admin, arguments->endpoints.texts[0], &why);
	if (result != 0)
		(void)fprintf(stderr, "waftctl: %s\n",
			why.bytes != NULL && !why.failed ? why.bytes : "out of memory");
	strbuf_done(&why);
	return result == 0;
}

static int admin_failed(struct admin *admin, int error)
{
	struct strbuf text = {0};
	const char *problem = rpc_client_problem(admin->client, error);

	strbuf_format(&text, "the collector at %s: ", admin->where);
	strbuf_safe(&text, problem, strlen(problem));
	(void)fprintf(stderr, "waftctl: %s\n", text.failed ? problem : text.bytes);
	strbuf_done(&text);
	return EXIT_FAILED;
}

/* A call with one answer; NULL when it failed, which was said. */
static ProtobufCMessage *ask(const struct arguments *arguments, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *message = NULL;
	struct admin admin;
	int result;

	if (!admin_open(arguments, &admin))
		return NULL;
	result = rpc_client_call(
		admin.client, method, request, admin.timeout_ms, descriptor, &message);
	if (result != 0) {
		(void)admin_failed(&admin, result);
		if (message != NULL)
			protobuf_c_message_free_unpacked(message, NULL);
		message = NULL;
	}
	rpc_client_free(admin.client);
	return message;
}

static int write_text(struct output *output, struct strbuf *text)
{
	(void)output_write(output, text);
	strbuf_done(text);
	return EXIT_OK;
}

/* ---- reload ------------------------------------------------------------- */

static void reload_json(struct strbuf *text, const char *names)
{
	strbuf_string(text, "{\"needs_restart\":[");
	for (const char *at = names; *at != '\0';) {
		size_t length = strcspn(at, ",");

		strbuf_string(text, at != names ? "," : "");
		strbuf_json(text, at, length);
		at += length;
		at += strspn(at, ", ");
	}
	strbuf_string(text, "]}\n");
}

int run_admin_reload(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	Waft__V1__ReloadRequest request = WAFT__V1__RELOAD_REQUEST__INIT;
	ProtobufCMessage *message = ask(arguments, WIRE_METHOD_RELOAD, &request.base,
		&waft__v1__reload_response__descriptor);
	const Waft__V1__ReloadResponse *response = (const Waft__V1__ReloadResponse *)message;
	struct strbuf text = {0};

	(void)viewer;
	if (message == NULL)
		return EXIT_FAILED;
	if (arguments->json) {
		reload_json(&text, response->needs_restart);
	} else {
		strbuf_string(&text, "The configuration was read again.\n");
		if (response->needs_restart[0] != '\0') {
			strbuf_string(&text, "A restart is needed for: ");
			strbuf_safe(
				&text, response->needs_restart, strlen(response->needs_restart));
			strbuf_string(&text, "\n");
		}
	}
	protobuf_c_message_free_unpacked(message, NULL);
	return write_text(output, &text);
}

/* ---- flush -------------------------------------------------------------- */

int run_admin_flush(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	Waft__V1__FlushRequest request = WAFT__V1__FLUSH_REQUEST__INIT;
	ProtobufCMessage *message = ask(
		arguments, WIRE_METHOD_FLUSH, &request.base, &waft__v1__flush_response__descriptor);
	struct strbuf text = {0};
	uint64_t spans;

	(void)viewer;
	if (message == NULL)
		return EXIT_FAILED;
	spans = ((const Waft__V1__FlushResponse *)message)->spans;
	protobuf_c_message_free_unpacked(message, NULL);
	if (arguments->json)
		strbuf_format(&text, "{\"spans\":%" PRIu64 "}\n", spans);
	else
		strbuf_format(&text, "All that was held is in files: %" PRIu64 " span%s.\n", spans,
			spans == 1 ? "" : "s");
	return write_text(output, &text);
}

/* ---- log-level ---------------------------------------------------------- */

int run_admin_log_level(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	Waft__V1__SetLogLevelRequest request = WAFT__V1__SET_LOG_LEVEL_REQUEST__INIT;
	const char *level = arguments->operands[0];
	ProtobufCMessage *message;
	const char *before;
	struct strbuf text = {0};

	(void)viewer;
	request.level = (char *)level;
	message = ask(arguments, WIRE_METHOD_SET_LOG_LEVEL, &request.base,
		&waft__v1__set_log_level_response__descriptor);
	if (message == NULL)
		return EXIT_FAILED;
	before = ((const Waft__V1__SetLogLevelResponse *)message)->before;
	if (arguments->json) {
		strbuf_string(&text, "{\"level\":");
		strbuf_json(&text, level, strlen(level));
		strbuf_string(&text, ",\"before\":");
		strbuf_json(&text, before, strlen(before));
		strbuf_string(&text, "}\n");
	} else {
		strbuf_format(&text, "The log level is %s; it was ", level);
		strbuf_safe(&text, before, strlen(before));
		strbuf_string(&text, ".\n");
	}
	protobuf_c_message_free_unpacked(message, NULL);
	return write_text(output, &text);
}

/* ---- clients ------------------------------------------------------------ */

static void account_text(struct strbuf *text, const Waft__V1__AccountStatus *account, bool json)
{
	if (json) {
		strbuf_string(text, "{\"account\":");
		strbuf_json(text, account->name, strlen(account->name));
		strbuf_format(text,
			",\"connections\":%" PRIu64 ",\"senders\":%" PRIu64
			",\"in_flight_bytes\":%" PRIu64 ",\"received_bytes\":%" PRIu64
			",\"connections_refused\":%" PRIu64 ",\"credit_held\":%" PRIu64 "}\n",
			account->connections, account->senders, account->in_flight_bytes,
			account->received_bytes, account->connections_refused,
			account->credit_held);
		return;
	}
	strbuf_safe(text, account->name, strlen(account->name));
	strbuf_format(text, ": %" PRIu64 " connected, %" PRIu64 " of them send; ",
		account->connections, account->senders);
	format_bytes(text, account->received_bytes);
	strbuf_string(text, " received, ");
	format_bytes(text, account->in_flight_bytes);
	strbuf_string(text, " in flight");
	if (account->connections_refused != 0)
		strbuf_format(
			text, "; %" PRIu64 " connections refused", account->connections_refused);
	if (account->credit_held != 0)
		strbuf_format(text, "; waited for credit %" PRIu64 " times", account->credit_held);
	strbuf_string(text, "\n");
}

/* The ledger of a client as the viewer library has it; its texts and counts are borrowed. */
static struct waft_ledger ledger_of(const Waft__V1__ClientStatus *status, struct waft_count *counts)
{
	struct waft_ledger ledger = {.service = status->service,
		.pid = status->pid,
		.connected = status->connected,
		.emitted = status->emitted,
		.durable = status->durable,
		.unknown = status->unknown,
		.dropped = counts,
		.dropped_count = status->n_dropped,
		.duplicates = status->duplicates};

	for (size_t i = 0; i < status->client.len && i < 16; i++)
		(void)snprintf(ledger.client + 2 * i, 3, "%02x", status->client.data[i]);
	for (size_t i = 0; i < status->n_dropped; i++)
		counts[i] = (struct waft_count){
			.name = status->dropped[i]->key, .value = status->dropped[i]->value};
	return ledger;
}

static void client_text(struct strbuf *text, const Waft__V1__ClientStatus *status, bool json)
{
	struct waft_count *counts = calloc(status->n_dropped + 1, sizeof *counts);
	struct waft_ledger ledger;

	if (counts == NULL) {
		text->failed = true;
		return;
	}
	ledger = ledger_of(status, counts);
	if (json)
		format_ledger_json(text, &ledger);
	else
		format_ledger_line(text, &ledger);
	strbuf_string(text, "\n");
	free(counts);
}

int run_admin_clients(
	const struct arguments *arguments, struct output *output, struct waft_viewer *viewer)
{
	Waft__V1__ListClientsRequest request = WAFT__V1__LIST_CLIENTS_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct strbuf text = {0};
	struct admin admin;
	int result;

	(void)viewer;
	if (!admin_open(arguments, &admin))
		return EXIT_FAILED;
	result = rpc_client_begin(
		admin.client, WIRE_METHOD_LIST_CLIENTS, &request.base, admin.timeout_ms);
	while (result >= 0 &&
		(result = rpc_client_next(admin.client,
			 &waft__v1__list_clients_response__descriptor, &message)) == 1) {
		const Waft__V1__ListClientsResponse *response =
			(const Waft__V1__ListClientsResponse *)message;

		for (size_t i = 0; i < response->n_accounts; i++)
			account_text(&text, response->accounts[i], arguments->json);
		for (size_t i = 0; i < response->n_clients; i++)
			client_text(&text, response->clients[i], arguments->json);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	if (result < 0)
		result = admin_failed(&admin, result);
	else
		(void)output_write(output, &text);
	strbuf_done(&text);
	rpc_client_free(admin.client);
	return result;
}
