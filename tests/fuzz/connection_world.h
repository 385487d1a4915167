/*
 * The collector's connections as a state machine, for fuzzers: two of them with real
 * sessions, on an ingest that commits when the input says so, with time passing.
 *
 * Input: commands, each a byte and what it needs. Bits 0-2 say what, 3-6 how (a number), 7
 * which connection. A fuzzer may have other commands in these places (own_command):
 *   1  time passes                        2  another connection, of the fuzzer's peer `how`
 *   3  bytes as they are (length, bytes)
 *   4… a frame: type, stream, length, payload; its header is made here
 * The caller fills in ops, service, clients and what its connections need of config, and
 * frees what it made. Single-threaded.
 */
#ifndef WAFT_TESTS_FUZZ_CONNECTION_WORLD_H
#define WAFT_TESTS_FUZZ_CONNECTION_WORLD_H

#include "clients.h"
#include "clock.h"
#include "connection.h"
#include "ingest.h"
#include "quotas.h"

#define WORLD_OFFERS_MAX 64
#define WORLD_CONNECTIONS 2

struct connection_world;

struct connection_world_ops {
	/* Who the next connection is. */
	const struct peer *(*peer)(
		struct connection_world *world, unsigned int which, unsigned int how);
	/* Whether it is a command of the fuzzer's own; it is done then. */
	bool (*own_command)(struct connection_world *world, unsigned int which,
		unsigned int command, unsigned int how);
	/* After a commit. */
	void (*flush)(void *service);
	/* Aborts when a message that the service sent makes no sense; NULL: none is looked at.
	 * before: of the message before on that connection, 0 at first; returns what the next
	 * one gets. */
	uint64_t (*check)(struct slice message, uint64_t before);
};

struct world_ingest {
	struct ingest ingest; /* first */
	struct {
		ingest_on_committed on_committed;
		void *context;
		uint64_t sequence;
		struct quota_account *account;
		size_t bytes;
	} offers[WORLD_OFFERS_MAX];
	size_t count;
};

struct world_stream {
	struct stream stream; /* first */
	const struct connection_world_ops *ops;
	uint64_t before;
	bool closed;
	bool full;
	bool gone;
};

struct connection_world {
	const struct connection_world_ops *ops;
	void *service;
	struct clients *clients;
	struct world_ingest ingest;
	struct connection_counts counts;
	struct connection_config config;
	struct world_stream streams[WORLD_CONNECTIONS];
	struct connection *connections[WORLD_CONNECTIONS];
	uint64_t now_ms;
};

/* Makes the ingest, the table of clients, the limits and the time. Aborts without memory. */
void connection_world_init(struct connection_world *world, const struct connection_world_ops *ops);

/* Opens the connections, does what the input says, closes them and commits what is left. */
void connection_world_run(struct connection_world *world, const uint8_t *data, size_t size);

/* All that was offered is committed, or fails with `status`, or is refused. */
void connection_world_commit(struct connection_world *world, int status, int refused);

#endif
