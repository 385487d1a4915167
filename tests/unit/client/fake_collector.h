/*
 * A collector for tests: a thread behind a Unix socket that takes batches in,
 * decodes and keeps their spans, and answers as it was told. And a way to run a
 * test's body in a process of its own, since a tracer lives once per process.
 */
#ifndef WAFT_TESTS_FAKE_COLLECTOR_H
#define WAFT_TESTS_FAKE_COLLECTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <waft/waft.h>

/* In a body: ends the process when it does not hold. */
#define CHECK(condition)                                                                 \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
				#condition);                                             \
			_Exit(1);                                                        \
		}                                                                        \
	} while (0)
#define CHECK_INT(a, b)                                                                          \
	do {                                                                                     \
		long long a_ = (long long)(a);                                                   \
		long long b_ = (long long)(b);                                                   \
		if (a_ != b_) {                                                                  \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, \
				a_, b_);                                                         \
			_Exit(1);                                                                \
		}                                                                                \
	} while (0)
#define CHECK_TEXT(a, b)                                                                         \
	do {                                                                                     \
		const char *text_ = (a);                                                         \
		if (text_ == NULL || strcmp(text_, b) != 0) {                                    \
			fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, \
				#a, text_ != NULL ? text_ : "(null)", b);                        \
			_Exit(1);                                                                \
		}                                                                                \
	} while (0)

/* Runs body in a child, with a temporary directory as its working directory, and
 * fails the test of cmocka unless it exits with 0. */
void run_apart(void (*body)(void));

enum { FAKE_SPANS = 262144, FAKE_CONNECTIONS = 64 };

struct fake_span {
	char *name;
	char *layer;
	char *attributes; /* "key=value;key=value;", in order; lists as [a,b] */
	char *input;	  /* JSON text; NULL: none */
	char *output;
	char *error;
	char *events; /* "name(attributes)" */
	char *state;  /* tracestate */
	uint8_t trace[16];
	uint64_t id;
	uint64_t parent;
	uint64_t start_ns;
	uint64_t duration_ns;
	uint64_t thread;
	uint32_t links;
	uint32_t repairs;
	uint32_t dropped_attributes;
	uint32_t dropped_events;
	uint8_t status; /* enum wire_status */
	uint8_t kind;
	bool stepped; /* its batch says that the clock was set */
};

/* How it behaves; set under lock, or before the client starts. */
struct fake_orders {
	bool silent;	      /* takes batches and answers nothing but the welcome */
	bool mute;	      /* no welcome either */
	uint64_t credit;      /* 0: plenty */
	bool no_credit;	      /* a credit of 0 */
	uint64_t refuse;      /* this sequence; 0: none */
	bool forget;	      /* the next hello of a known client */
	uint32_t close_after; /* close without an answer after so many batches; 0: never */
	bool other_version;   /* answers hello with VERSION */
	const void *garbage;  /* answers hello with these bytes */
	size_t garbage_bytes;
	uint64_t overclaim; /* adds to each durable_sequence */
	uint32_t status;    /* ends the call with this status after the first batch */
};

struct fake_collector {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fake_orders orders;
	char path[108];
	bool counting; /* decodes spans, but keeps nothing of them */
	/* What it saw. */
	uint32_t hellos;
	uint32_t goodbyes;
	uint32_t regions; /* descriptors */
	uint64_t durable; /* highest sequence taken */
	uint64_t duplicates;
	uint64_t gaps;
	uint64_t bad;	    /* batches that do not decode, frames that are none */
	uint64_t drops[16]; /* by enum waft_drop_reason */
	uint64_t batch_bytes;
	uint64_t emitted; /* as the last request said */
	uint64_t goodbye_emitted;
	uint8_t client[16];
	uint8_t clients[8][16]; /* different ones, in order */
	uint32_t client_count;
	int region_fd;
	bool stepped;
	uint32_t span_count;
	struct fake_span *spans;
	/* Private. */
	pthread_t thread;
	int listener;
	int connection;
	int stop[2];
	bool known;
	/* The last batches, by sequence: the bytes, to compare when they come again. */
	uint8_t *batches[4096];
	size_t batch_lengths[4096];
	uint64_t batch_sequences[4096];
};

struct fake_collector *fake_start(const char *path);
/* Stops the thread and closes; what it saw stays. */
void fake_stop(struct fake_collector *fake);
/* The same again on the same path, remembering its client unless told to forget. */
void fake_restart(struct fake_collector *fake);
void fake_free(struct fake_collector *fake);

/* Wait until so much was seen; false after 20 s. */
bool fake_wait_spans(struct fake_collector *fake, uint32_t count);
bool fake_wait_hellos(struct fake_collector *fake, uint32_t count);

/* The n-th span of that name, NULL if there is none. */
const struct fake_span *fake_find(const struct fake_collector *fake, const char *name, uint32_t n);
uint32_t fake_count(const struct fake_collector *fake, const char *name);

/* The spans of an inbox directory, as if they had been sent. */
struct fake_collector *fake_from_inbox(const char *directory);

/* Starts the tracer with unix:path, and quick. */
void tracer_start(const char *path);

/* Until its sender sleeps without limit. */
void tracer_await_idle(void);

/* Ends it, and checks that the ledger and what the collector saw agree: emitted =
 * durable + dropped + unknown, durable = spans seen. */
void tracer_end(struct fake_collector *fake, struct waft_stats *ret_stats);

#endif
