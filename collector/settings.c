/* The table of settings.h and the parsing of single values. One thread. */
#include "settings_table.h"

#include "log_line.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct settings, member)
#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define SECOND UINT64_C(1000)
#define DAY (UINT64_C(86400) * SECOND)

const struct setting settings_table[] = {
	{"socket", SETTING_TEXT, AT(socket), "PATH", NULL, 0, 107, 0, "Unix socket to listen on"},
	{"store", SETTING_TEXT, AT(store), "DIR", NULL, 0, PATH_MAX, 0, "directory of the traces"},
	{"http", SETTING_TEXT, AT(http), "HOST:PORT", NULL, 0, 256, 0,
		"serve /metrics and /healthz there"},
	{"http-remote", SETTING_BOOL, AT(http_remote), "yes|no", "no", 0, 1, 0,
		"allow an --http address beyond loopback"},
	{"listen", SETTING_TEXT, AT(listen), "ENDPOINT,...", NULL, 0, 512, 0,
		"listen on these too: tls://ADDRESS:PORT, or tcp:// on a loopback address"},
	{"access", SETTING_TEXT, AT(access), "FILE", NULL, 0, PATH_MAX, 1,
		"rules: who may send, query and administer"},
	{"tls-cert", SETTING_TEXT, AT(tls_cert), "FILE", NULL, 0, PATH_MAX, 1,
		"certificate for tls:// and those between it and the root, PEM"},
	{"tls-key", SETTING_TEXT, AT(tls_key), "FILE", NULL, 0, PATH_MAX, 1,
		"private key of that certificate, PEM"},
	{"tls-ca", SETTING_TEXT, AT(tls_ca), "FILE", NULL, 0, PATH_MAX, 1,
		"who issues the certificates of clients, PEM"},
	{"tls-client-certs", SETTING_CHOICE, AT(tls_client_certs), "optional|required", "required",
		0, 1, 1, "whether a TLS client must have a certificate of tls-ca"},
	{"forward", SETTING_LIST, AT(forward), "GATEWAY,...", NULL, 0, 2048, 0,
		"send on to these collectors, and write no files: tls://HOST:PORT, or tcp:// on a "
		"loopback address, or unix:PATH"},
	{"forward-tls-ca", SETTING_TEXT, AT(forward_tls_ca), "FILE", NULL, 0, PATH_MAX, 0,
		"who issues the certificates of gateways, PEM; else whom the system trusts"},
	{"forward-tls-cert", SETTING_TEXT, AT(forward_tls_cert), "FILE", NULL, 0, PATH_MAX, 0,
		"certificate for gateways, PEM"},
	{"forward-tls-key", SETTING_TEXT, AT(forward_tls_key), "FILE", NULL, 0, PATH_MAX, 0,
		"private key of that certificate, PEM"},
	{"forward-token-file", SETTING_TEXT, AT(forward_token_file), "FILE", NULL, 0, PATH_MAX, 0,
		"bearer token for gateways, read anew for each connection"},
	{"forward-timeout", SETTING_TIME, AT(forward_timeout_ms), "TIME", "10s", 100, 3600 * SECOND,
		0, "a gateway that is silent or away for this long is down: others get its share"},
	{"forward-max-bytes", SETTING_SIZE, AT(forward_max_bytes), "SIZE", "1G", 256 * KIB,
		64 * 1024 * GIB, 1,
		"log kept for gateways that are down; beyond it the oldest that was never sent is "
		"dropped, by count"},
	{"socket-mode", SETTING_MODE, AT(socket_mode), "MODE", "0600", 0, 0777, 0,
		"permissions of the socket: 0666 lets every local user send"},
	{"store-mode", SETTING_MODE, AT(store_mode), "MODE", "0600", 0600, 0660, 0,
		"permissions of the store's files: 0640 lets a group read"},
	{"query-group", SETTING_TEXT, AT(query_group), "GROUP", NULL, 0, 64, 1,
		"group that may query, besides root and the daemon's user"},
	{"admin-group", SETTING_TEXT, AT(admin_group), "GROUP", NULL, 0, 64, 1,
		"group that may administer (waftctl admin), besides root and the daemon's user"},
	{"memory-limit", SETTING_SIZE, AT(memory_limit), "SIZE", "128M", 16 * MIB, 1024 * GIB, 1,
		"cap of the daemon's memory"},
	{"log-limit", SETTING_SIZE, AT(log_limit), "SIZE", "1G", 256 * KIB, 64 * GIB, 1,
		"cap of the write-ahead log"},
	{"segment-size", SETTING_SIZE, AT(segment_size), "SIZE", "64M", 64 * KIB, 64 * MIB, 0,
		"size of one segment of the log"},
	{"part-size", SETTING_SIZE, AT(part_size), "SIZE", "1G", 4 * KIB, 64 * GIB, 0,
		"a day's next file is begun when one passes this size"},
	{"trace-spans", SETTING_NUMBER, AT(trace_spans), "N", "65536", 16, 1 << 20, 0,
		"write what a trace holds when it has so many spans waiting"},
	{"shards", SETTING_NUMBER, AT(shards), "N", "1", 1, 64, 0,
		"write files with so many threads, each with files of its own; a trace is one's"},
	{"decoders", SETTING_NUMBER, AT(decoders), "N", "0", 0, 64, 0,
		"check batches with so many threads beside the one that receives them; 0: it does "
		"it"},
	{"retention-age", SETTING_TIME, AT(retention_age_ms), "TIME", "0", 0, 36500 * DAY, 1,
		"remove days older than this; 0 keeps them"},
	{"retention-size", SETTING_SIZE, AT(retention_size), "SIZE", "0", 0, UINT64_MAX, 1,
		"remove the oldest files beyond this size; 0 keeps them"},
	{"seal", SETTING_BOOL, AT(seal), "yes|no", "yes", 0, 1, 1,
		"compress files that take no more spans (.jsonl.zst)"},
	{"seal-after", SETTING_TIME, AT(seal_after_ms), "TIME", "24h", 0, 36500 * DAY, 1,
		"compress a file when it was closed for this long, or when room is short"},
	{"quiet", SETTING_TIME, AT(quiet_ms), "TIME", "500ms", 1, 60 * SECOND, 1,
		"write a trace whose root ended when it was quiet for this long"},
	{"hold", SETTING_TIME, AT(hold_ms), "TIME", "10s", 1, 600 * SECOND, 1,
		"write a trace's spans after this time at the latest"},
	{"max-connections", SETTING_NUMBER, AT(max_connections), "N", "1024", 1, 100000, 1,
		"connections that are open at once"},
	{"client-connections", SETTING_NUMBER, AT(client_connections), "N", "768", 0, 100000, 1,
		"of these, connections of one client (user, certificate, token or address); 0: no "
		"limit"},
	{"client-bytes-per-second", SETTING_SIZE, AT(client_rate), "SIZE", "0", 0, 1024 * GIB, 1,
		"bytes of messages that one client may send in a second; 0: no limit"},
	{"client-in-flight-bytes", SETTING_SIZE, AT(client_in_flight), "SIZE", "2M", 0, GIB, 1,
		"memory of one client's messages that wait for their commit; 0: no limit"},
	{"max-queries", SETTING_NUMBER, AT(max_queries), "N", "4", 1, 128, 1,
		"queries that run at once"},
	{"max-tails", SETTING_NUMBER, AT(max_tails), "N", "16", 0, 1024, 1,
		"readers that may tail at once"},
	{"max-clients", SETTING_NUMBER, AT(max_clients), "N", "1000000", 1, 1000000, 1,
		"clients whose watermarks are kept"},
	{"client-age", SETTING_TIME, AT(client_age_ms), "TIME", "7d", 60 * SECOND, 365 * DAY, 1,
		"how long the watermark of a silent client is kept"},
	{"salvage-after", SETTING_TIME, AT(salvage_ms), "TIME", "10s", 10, 3600 * SECOND, 1,
		"store what a local client left that has not come back for this long"},
	{"idle", SETTING_TIME, AT(idle_ms), "TIME", "10s", 1, 3600 * SECOND, 1,
		"close a peer that stops for this long inside a frame or before its first call"},
	{"drain", SETTING_TIME, AT(drain_ms), "TIME", "5s", 1, 600 * SECOND, 1,
		"time to bring everything into files after SIGTERM"},
	{"log-level", SETTING_LEVEL, AT(log_level), "LEVEL", "info", 0, 7, 1,
		"error, warning, notice, info or debug"},
};

const size_t settings_table_length = sizeof(settings_table) / sizeof(settings_table[0]);

static const struct {
	const char *name;
	uint64_t value;
} level_names[] = {{"error", LOG_LINE_ERROR}, {"warning", LOG_LINE_WARNING},
	{"notice", LOG_LINE_NOTICE}, {"info", LOG_LINE_INFO}, {"debug", LOG_LINE_DEBUG}};

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit size_units[] = {{"", 1}, {"K", KIB}, {"KiB", KIB}, {"M", MIB},
	{"MiB", MIB}, {"G", GIB}, {"GiB", GIB}, {"T", GIB *KIB}, {"TiB", GIB *KIB}, {NULL, 0}};
static const struct unit time_units[] = {{"ms", 1}, {"s", SECOND}, {"", SECOND},
	{"min", 60 * SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {"d", DAY}, {NULL, 0}};

const struct setting *settings_find(const char *name)
{
	for (size_t i = 0; i < settings_table_length; i++)
		if (strcmp(settings_table[i].name, name) == 0)
			return &settings_table[i];
	return NULL;
}

uint64_t *settings_number_at(struct settings *settings, const struct setting *setting)
{
	return (uint64_t *)(void *)((char *)settings + setting->offset);
}

char **settings_text_at(struct settings *settings, const struct setting *setting)
{
	return (char **)(void *)((char *)settings + setting->offset);
}

/* A whole number and one of the units; 0 or -EINVAL. */
static int parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
	char *end;
	unsigned long long number;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0)
		return -EINVAL;
	while (*end == ' ')
		end++;
	for (; units->name != NULL; units++) {
		if (strcmp(end, units->name) != 0)
			continue;
		if (number > UINT64_MAX / units->factor)
			return -EINVAL;
		*ret_value = number * units->factor;
		return 0;
	}
	return -EINVAL;
}

static int parse_mode(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (*text == '\0' || strlen(text) > 5)
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		value = value * 8 + (uint64_t)(*text - '0');
	}
	*ret_value = value;
	return 0;
}

static int parse_bool(const char *text, uint64_t *ret_value)
{
	static const char *const names[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_value = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_level(const char *text, uint64_t *ret_value)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i].name) == 0) {
			*ret_value = level_names[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

const char *settings_level_name(uint64_t level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (level_names[i].value == level)
			return level_names[i].name;
	return "";
}

/* The place of a word among those of "a|b|c". */
static int parse_choice(const char *words, const char *text, uint64_t *ret_value)
{
	size_t length = strlen(text);

	for (uint64_t place = 0; length > 0; place++) {
		size_t word = strcspn(words, "|");

		if (word == length && memcmp(words, text, length) == 0) {
			*ret_value = place;
			return 0;
		}
		if (words[word] == '\0')
			break;
		words += word + 1;
	}
	return -EINVAL;
}

static int parse_number(const struct setting *setting, const char *text, uint64_t *ret_value)
{
	static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

	switch (setting->kind) {
	case SETTING_SIZE:
		return parse_with_unit(text, size_units, ret_value);
	case SETTING_TIME:
		return parse_with_unit(text, time_units, ret_value);
	case SETTING_MODE:
		return parse_mode(text, ret_value);
	case SETTING_BOOL:
		return parse_bool(text, ret_value);
	case SETTING_LEVEL:
		return parse_level(text, ret_value);
	case SETTING_CHOICE:
		return parse_choice(setting->argument, text, ret_value);
	case SETTING_NUMBER:
	case SETTING_TEXT:
	case SETTING_LIST:
	default:
		return parse_with_unit(text, no_units, ret_value);
	}
}

static int set_text(struct settings *settings, const struct setting *setting, const char *value)
{
	char **at = settings_text_at(settings, setting);
	char *copy;

	if (*value == '\0' || strlen(value) > setting->most)
		return -EINVAL;
	copy = strdup(value);
	if (copy == NULL)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static int set_number(struct settings *settings, const struct setting *setting, const char *value)
{
	uint64_t number = 0;
	int status = parse_number(setting, value, &number);

	if (status < 0)
		return status;
	if (number < setting->least || number > setting->most)
		return -EINVAL;
	*settings_number_at(settings, setting) = number;
	return 0;
}

int settings_set(struct settings *settings, const char *name, const char *value,
	struct settings_error *ret_error)
{
	const struct setting *setting = settings_find(name);
	int status;

	if (setting == NULL) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"there is no setting '%.100s'; see --help", name);
		return -ENOENT;
	}
	if (setting->kind == SETTING_TEXT || setting->kind == SETTING_LIST)
		status = set_text(settings, setting, value);
	else
		status = set_number(settings, setting, value);
	if (status == -ENOMEM)
		snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
	else if (status < 0)
		snprintf(ret_error->text, sizeof(ret_error->text),
			"%s: '%.200s' is not a %s that fits: %s", name, value, setting->argument,
			setting->help);
	return status;
}

int settings_add(struct settings *settings, const char *name, const char *value,
	struct settings_error *ret_error)
{
	const struct setting *setting = settings_find(name);
	const char *before = setting != NULL && setting->kind == SETTING_LIST
				     ? *settings_text_at(settings, setting)
				     : NULL;
	char *joined = NULL;
	int status;

	if (before == NULL)
		return settings_set(settings, name, value, ret_error);
	if (asprintf(&joined, "%s,%s", before, value) < 0) {
		snprintf(ret_error->text, sizeof(ret_error->text), "out of memory");
		return -ENOMEM;
	}
	status = settings_set(settings, name, joined, ret_error);
	free(joined);
	return status;
}

int settings_init(struct settings *settings)
{
	struct settings_error error;

	memset(settings, 0, sizeof(*settings));
	for (size_t i = 0; i < settings_table_length; i++) {
		const struct setting *setting = &settings_table[i];

		if (setting->initial == NULL)
			continue;
		if (settings_set(settings, setting->name, setting->initial, &error) < 0) {
			settings_done(settings);
			return -ENOMEM;
		}
	}
	return 0;
}

void settings_done(struct settings *settings)
{
	for (size_t i = 0; i < settings_table_length; i++)
		if (settings_table[i].kind == SETTING_TEXT ||
			settings_table[i].kind == SETTING_LIST)
			free(*settings_text_at(settings, &settings_table[i]));
	memset(settings, 0, sizeof(*settings));
}

static int settings_differ(
	const struct settings *a, const struct settings *b, const struct setting *setting)
{
	const char *const *text_a =
		(const char *const *)(const void *)((const char *)a + setting->offset);
	const char *const *text_b =
		(const char *const *)(const void *)((const char *)b + setting->offset);

	if (setting->kind != SETTING_TEXT && setting->kind != SETTING_LIST)
		return memcmp((const char *)a + setting->offset, (const char *)b + setting->offset,
			       sizeof(uint64_t)) != 0;
	if (*text_a == NULL || *text_b == NULL)
		return *text_a != *text_b;
	return strcmp(*text_a, *text_b) != 0;
}

size_t settings_need_restart(const struct settings *old_settings,
	const struct settings *new_settings, char *ret_text, size_t room)
{
	size_t found = 0;
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; i < settings_table_length; i++) {
		const struct setting *setting = &settings_table[i];
		int length;

		if (setting->live || !settings_differ(old_settings, new_settings, setting))
			continue;
		length = snprintf(
			ret_text + used, room - used, "%s%s", found > 0 ? ", " : "", setting->name);
		found++;
		if (length > 0 && (size_t)length < room - used)
			used += (size_t)length;
	}
	return found;
}
