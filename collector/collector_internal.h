/*
 * What the files of the daemon itself share: collector.c (life), sockets.c, flow.c
 * (from assembler to store, and pressure), drain.c (the end). Loop thread.
 */
#ifndef WAFT_COLLECTOR_COLLECTOR_INTERNAL_H
#define WAFT_COLLECTOR_COLLECTOR_INTERNAL_H

#include "admin_service.h"
#include "collector.h"
#include "credentials.h"
#include "depot.h"
#include "export_service.h"
#include "forward.h"
#include "forward_service.h"
#include "http.h"
#include "inbox.h"
#include "intake.h"
#include "keepers.h"
#include "listener.h"
#include "notify.h"
#include "pressure.h"
#include "query_service.h"
#include "quotas.h"
#include "regions.h"
#include "server.h"
#include "tail_service.h"
#include "verifier.h"

#include <stdbool.h>
#include <uv.h>

#define COLLECTOR_LISTENERS_MAX 16
#define COLLECTOR_METHODS_MAX 16
#define COLLECTOR_SIGNALS 4

enum collector_state {
	COLLECTOR_STARTING,
	COLLECTOR_RUNNING,	 /* until SIGTERM or SIGINT */
	COLLECTOR_DRAIN_COMMITS, /* until what was sent is durable */
	COLLECTOR_DRAIN_WRITES,	 /* until what is durable is in files */
	COLLECTOR_CLOSING,	 /* until the last handle is closed */
	COLLECTOR_CLOSED,
};

struct collector {
	enum collector_state state;
	struct collector_config config;
	struct settings settings; /* its own, replaced by a reload */
	uv_loop_t loop;
	struct depot depot;
	struct intake *intake;
	struct keepers *keepers;
	struct export_service *exports;
	struct regions *regions;
	struct forward_service *forwarded; /* from agents */
	struct forward *forward;	   /* to gateways; NULL: this is no agent */
	struct query_service *queries;
	struct tail_service *tails;
	struct inbox *inbox;
	struct http *http;	   /* NULL: not asked for */
	struct verifier *verifier; /* NULL: not started */
	struct quotas *quotas;
	struct admin_service *admin;
	struct credentials fresh; /* that a reload found: see collector_settle */
	bool fresh_rules;	  /* they are other */
	bool fresh_any;
	bool fresh_groups; /* other groups query or administer, whatever the files say */
	struct peer_groups groups;
	struct server *server;
	struct credentials credentials;
	struct service_method methods[COLLECTOR_METHODS_MAX];
	size_t method_count;
	struct listener listeners[COLLECTOR_LISTENERS_MAX];
	size_t listener_count;
	size_t accepting_count;	  /* of them, the server's */
	struct notify_fd *passed; /* by the service manager; owned */
	int passed_count;
	int http_fd; /* listening, until http has it; -1: none */
	uv_signal_t signals[COLLECTOR_SIGNALS];
	uv_timer_t pulse;    /* when the next trace is due, at most every 20 ms */
	uv_timer_t credit;   /* when clients that sent too fast are looked at again */
	uv_timer_t watchdog; /* also the housekeeper: every second or so */
	uint64_t watchdog_ms;
	uint64_t started_ms;
	uint64_t reloads;	 /* SIGHUPs, and of these */
	uint64_t reloads_failed; /* what was bad and stayed as it was */
	uint64_t expire_ms;	 /* when silent clients are looked for next */
	uint64_t progress_ms;	 /* when a commit or a write last succeeded, or none was wanted */
	/* Flow. */
	struct pressure_limits limits;
	struct pressure pressure;
	int commit_error;
	int store_error;
	uint64_t flying_spans;
	uint64_t written_spans; /* to files, since the start */
	uint64_t flush_ms; /* what is held since then or before is handed over; 0: all of it was */
	uint64_t dropped_before; /* spans given up by an agent, and answered, before the start */
	/* Drain. */
	uint64_t drain_by_ms;
	uint64_t spans_left;
	int exit_code;
};

static inline uint64_t collector_now_ms(const struct collector *collector)
{
	return clock_monotonic_ms(collector->config.clock);
}

/* ---- sockets.c -------------------------------------------------------------- */

/* Binds and listens on all that the settings name, and takes what the service manager
 * passed. 0 or a negative errno, which was logged. */
int sockets_open(struct collector *collector) MUST_CHECK;

/* Hands them to server and HTTP, and passed regions to regions. The same. */
int sockets_accept(struct collector *collector) MUST_CHECK;

/* Removes the sockets' files and closes what was handed to nobody. */
void sockets_close(struct collector *collector);

/* ---- collector.c ------------------------------------------------------------- */

/* Reads settings, rules and certificates anew. 0 with the names of settings that wait for
 * a restart, or a negative errno with what is wrong: the old stay. What is new of rules
 * and certificates holds from collector_settle on. */
int collector_reload(struct collector *collector, char *ret_text, size_t room);
void collector_settle(struct collector *collector);

/* ---- admin.c -------------------------------------------------------------------- */

/* What the Admin service does. */
extern const struct admin_ops admin_ops;

/* ---- flow.c ---------------------------------------------------------------- */

/* Looks at memory, log and disk; sets window and pause; hands early runs over. */
void flow_balance(struct collector *collector);

/* Hands over what is due; sets the timer for what will be. */
void flow_pulse(struct collector *collector);

/* Begins to hand over all that is held now. */
void flow_flush(struct collector *collector);

/* Whether that is in files. */
bool flow_flushed(const struct collector *collector);

/* Hands over everything that is held, as far as the store may have at once.
 * Whether nothing is left. */
bool flow_drain(struct collector *collector);

/* Callback of quotas: credit is looked at again soon. */
void flow_on_held(void *context);

/* Callbacks of intake and keeper. */
void flow_on_batch(void *context, struct log_place place, uint32_t spans);
void flow_on_round(void *context, int error);
void flow_on_written(void *context, struct run *run);
void flow_on_progress(void *context, int error);
/* The keeper's thread. */
void flow_on_forwarded(void *context);

/* ---- drain.c ---------------------------------------------------------------- */

/* Begins the drain; a second call ends it soon. */
void drain_begin(struct collector *collector);

/* Goes on with it when something changed. */
void drain_step(struct collector *collector);

/* Closes all that was begun, in whatever state. */
void drain_close(struct collector *collector);

#endif
