/*
 * test_store.h: stores for tests, made of lines. One thread.
 */
#ifndef WAFT_TESTS_TEST_STORE_H
#define WAFT_TESTS_TEST_STORE_H

#include <stdbool.h>
#include <stdint.h>

/* A temporary directory, removed by test_store_done with all in it. */
struct test_store {
	char path[64];
};

void test_store_init(struct test_store *store);
void test_store_done(struct test_store *store);

/* Appends text to a file of the store, made when it is missing. */
void test_store_append(struct test_store *store, const char *name, const char *text);

/* Copies a file into the store under the same name. */
void test_store_copy(struct test_store *store, const char *path);

/* A span for test_store_line. Texts may be NULL: service "shop", operation "op",
 * layer "core", no attribute, no input. */
struct test_span {
	uint32_t trace;	 /* the trace id is made of it */
	uint32_t span;	 /* so is the span id; 0 is one too */
	uint32_t parent; /* UINT32_MAX: a root */
	int64_t start_us;
	int64_t duration_us; /* -1: pending */
	bool failed;
	const char *service;
	const char *operation;
	const char *layer;
	const char *attribute; /* value of "key" */
	const char *input;     /* JSON */
};

/* Writes its line, newline included, in Waft's own form; returns the length. */
int test_store_line(const struct test_span *span, char *ret_line, int size);

/* The ids that stand for a number. */
void test_trace_id(uint32_t trace, uint8_t ret_id[16]);

#endif
