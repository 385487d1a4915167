/*
 * The regions that clients handed over: holds their descriptors, and when a client is
 * held to be dead, salvages it.
 *
 *     hello ─▶ HELD ─session ends─▶ ENDED ─▶ SALVAGED: read and parsed on the pool,
 *               ▲                     │        fence and messages offered to the ingest,
 *               └────── new hello ────┘        and when they are durable, forgotten
 *
 * Dead is a client whose process has ended (its pidfd says so) or which has not come
 * back for `wait_ms`; its connection's last bytes are taken in before, and all that it
 * sent is durable. Loop thread; the descriptors' reading on libuv's pool.
 */
#ifndef WAFT_COLLECTOR_REGIONS_H
#define WAFT_COLLECTOR_REGIONS_H

#include "clients.h"
#include "clock.h"
#include "ingest.h"
#include "stream.h"

#include <stdbool.h>
#include <uv.h>

/* That one takes: its file and its process. */
enum { REGIONS_DESCRIPTORS = 2 };

struct regions;

struct regions_config {
	uv_loop_t *loop;
	struct ingest *ingest; /* borrowed, like the next two */
	struct clients *clients;
	const struct clock *clock;
	uint64_t wait_ms;
	/* Whether the client has a session, or messages that are not durable yet. */
	bool (*in_use)(void *context, const uint8_t client[16]);
	/* Its process has ended: its session, if there is one, is to end too. */
	void (*end)(void *context, const uint8_t client[16]);
	/* After regions_drain: regions_settled is true; from the loop, now and again. */
	void (*on_settled)(void *context);
	void *context;
};

struct regions_counts {
	uint64_t held;
	uint64_t refused;  /* no memfd, not sealed, of another size, or there were too many */
	uint64_t salvaged; /* clients that something was taken of */
	uint64_t finished; /* finished spans that became durable so */
	uint64_t open;	   /* open ones, pending since */
	uint64_t dropped;  /* spans in drop records made so */
	uint64_t damaged;  /* chunks whose end made no sense */
	uint64_t failed;   /* regions that could not be read */
};

/* Who hands a region over. */
struct region_owner {
	uint8_t client[16];
	struct slice service;
	uint64_t pid; /* as the client says */
	const struct peer *peer;
};

int regions_new(const struct regions_config *config, struct regions **ret) MUST_CHECK;

/* max: how many regions may be held; before the first call none. */
void regions_configure(struct regions *regions, uint64_t wait_ms, size_t max);

/* Holds a region, in place of an older one of the client. Takes both descriptors in
 * any case; each may be -1: then what is held of the client stays. */
void regions_hold(struct regions *regions, const struct region_owner *owner, int fd, int pidfd);

/* The client said hello without a region: one that is held goes on being its. */
void regions_on_hello(struct regions *regions, const uint8_t client[16]);

/* One that the service manager kept over a restart, by the name it was given. Takes
 * fd. */
void regions_adopt(struct regions *regions, int fd, const char *name);

/* The client's session has ended; it said goodbye: nothing is left to salvage. */
void regions_on_ended(struct regions *regions, const uint8_t client[16]);
void regions_on_goodbye(struct regions *regions, const uint8_t client[16]);

/* Whether the client is being salvaged: it has to wait. */
bool regions_busy(const struct regions *regions, const uint8_t client[16]);

/* Something became durable, or there is room. */
void regions_on_room(struct regions *regions);

/* The end is near: what ended processes left is salvaged now, whatever window the ingest
 * has. Once. */
void regions_drain(struct regions *regions);

/* Whether no region of an ended process is left to salvage. */
bool regions_settled(const struct regions *regions);

/* Begins no more salvage and closes its handles. The ingest goes on to call back. */
void regions_stop(struct regions *regions);

/* After the ingest was closed: frees when the last handle is. NULL is fine. */
void regions_free(struct regions *regions);

void regions_count(const struct regions *regions, struct regions_counts *ret);

/* ---- For readers ------------------------------------------------------------- */

/* A region that somebody reads. */
struct region_view {
	uint8_t client[16];
	char service[64];
	uint64_t pid;
	struct log_peer peer; /* name is NULL */
	struct region_file *file;
};

/* Those of connected clients, in order of their ids, from `from` (NULL: the first) on, at most
 * `most`; service: of this one only, absent: of all. Owned by the caller (regions_views_free).
 * NULL: none, or no memory. */
struct region_view *regions_view(struct regions *regions, struct slice service, const uint8_t *from,
	size_t most, size_t *ret_count);
void regions_views_free(struct region_view *views, size_t count);

/* Any thread. The descriptor, good as long as the view. */
int region_view_fd(const struct region_view *view);

#endif
