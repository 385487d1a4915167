/*
 * What the daemon can be told, in one table.
 *
 * Each entry is an option of the command line (--name VALUE), a key of the
 * configuration file (name = VALUE), a line of --help and a paragraph of
 * waft-collectord.conf(5). The command line wins over the file, the file over
 * the default. A settings object is built by one thread and not changed after.
 */
#ifndef WAFT_COLLECTOR_SETTINGS_H
#define WAFT_COLLECTOR_SETTINGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Values; texts are owned. Zero-initialised is empty. */
struct settings {
	char *socket;	/* path; NULL: searched by default, see paths.h */
	char *store;	/* directory; NULL: the default */
	char *http;	/* HOST:PORT; NULL: no /metrics */
	char *listen;	/* tcp://… and tls://…, separated by commas; NULL: none */
	char *access;	/* file of rules, see access.h; NULL: none */
	char *tls_cert; /* PEM files; NULL: none */
	char *tls_key;
	char *tls_ca;
	char *forward; /* gateways, separated by commas; NULL: none, files are written here */
	char *forward_tls_ca;
	char *forward_tls_cert;
	char *forward_tls_key;
	char *forward_token_file;
	uint64_t forward_timeout_ms;
	uint64_t forward_max_bytes;
	uint64_t tls_client_certs; /* 0: optional, 1: required */
	char *query_group;	   /* who may query besides root and our own uid */
	char *admin_group;	   /* who may administer, the same */
	uint64_t socket_mode;	   /* permission bits of the socket */
	uint64_t store_mode;	   /* permission bits of files; directories get x too */
	uint64_t http_remote;	   /* bool: --http may name an address beyond loopback */
	uint64_t memory_limit;
	uint64_t log_limit;
	uint64_t segment_size;
	uint64_t part_size;
	uint64_t trace_spans;	   /* waiting spans of a trace that make a run: 48 bytes each */
	uint64_t shards;	   /* threads that write files */
	uint64_t decoders;	   /* threads that look at batches beside the loop */
	uint64_t retention_age_ms; /* 0: for ever */
	uint64_t retention_size;   /* 0: no limit */
	uint64_t seal;		   /* bool: closed parts are sealed */
	uint64_t seal_after_ms;
	uint64_t quiet_ms;
	uint64_t hold_ms;
	uint64_t max_connections;
	uint64_t client_connections; /* of these, of one client; 0: no limit, as in the next two */
	uint64_t client_rate;	     /* bytes a second */
	uint64_t client_in_flight;
	uint64_t max_queries; /* that run at once */
	uint64_t max_tails;
	uint64_t max_clients;
	uint64_t client_age_ms; /* watermarks of silent clients are kept so long */
	uint64_t idle_ms;	/* a peer that owes us bytes may be silent so long */
	uint64_t salvage_ms;	/* a client that has not come back is held to be dead */
	uint64_t drain_ms;
	uint64_t log_level; /* enum log_level */
};

enum settings_result {
	SETTINGS_RUN,	   /* go on */
	SETTINGS_HELP,	   /* --help was given */
	SETTINGS_VERSION,  /* --version was given */
	SETTINGS_DEFAULTS, /* --print-defaults was given */
};

/* Text of what is wrong, for people; set when a call fails. */
struct settings_error {
	char text[512];
};

/* Sets the defaults. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int settings_init(struct settings *settings);

/* Frees the texts; a zeroed or half-built one too. */
void settings_done(struct settings *settings);

/*
 * Sets one value by its name.
 *
 * 0, -ENOENT for an unknown name, -EINVAL for a value that doesn't fit (the
 * old one stays), -ENOMEM. On failure `ret_error` says why.
 */
__attribute__((warn_unused_result)) int settings_set(struct settings *settings, const char *name,
	const char *value, struct settings_error *ret_error);

/* The same, but adds to a list that is there already. */
__attribute__((warn_unused_result)) int settings_add(struct settings *settings, const char *name,
	const char *value, struct settings_error *ret_error);

/*
 * Reads a configuration file: `name = value` lines, comments after # or ; at
 * the start of a line, no sections but [collector]. Stops at the first fault;
 * `ret_error` names file, line and fault. 0 or a negative errno; values before
 * the fault are set, so read into a fresh object.
 */
__attribute__((warn_unused_result)) int settings_read_file(
	struct settings *settings, const char *path, struct settings_error *ret_error);

/* The same from memory, for tests and the fuzzer; `name` is for messages. */
__attribute__((warn_unused_result)) int settings_read_text(struct settings *settings,
	const char *name, const char *text, struct settings_error *ret_error);

/*
 * Everything at once: defaults, file, `conf.d/` beside the file (*.conf in the order of
 * their names), command line. The file is --config's, else `default_file` when
 * that exists (NULL: none). Initialises `ret_settings`; on failure it is left
 * done. 0 with `ret_result`, or a negative errno with `ret_error`. `argv` is not
 * changed; uses getopt's globals, so one thread at a time.
 */
__attribute__((warn_unused_result)) int settings_load(int argc, char *const *argv,
	const char *default_file, struct settings *ret_settings, enum settings_result *ret_result,
	struct settings_error *ret_error);

/*
 * What holds of all settings together, once they are read: addresses that are some, no
 * plain TCP beyond loopback, what TLS needs, gateways. Part of settings_load. 0 or
 * -EINVAL with `ret_error`.
 */
__attribute__((warn_unused_result)) int settings_check(
	const struct settings *settings, struct settings_error *ret_error);

/* "info", of settings.log_level. */
const char *settings_level_name(uint64_t level);

/* Prints --help. */
void settings_print_help(FILE *to);

/* Prints the table as a configuration file with every default, commented out. */
void settings_print_defaults(FILE *to);

/*
 * Names of values that differ and need a restart, separated by ", ", into
 * `ret_text`; the number of them.
 */
size_t settings_need_restart(const struct settings *old_settings,
	const struct settings *new_settings, char *ret_text, size_t room);

#endif
