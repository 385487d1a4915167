/*
 * test_store.c: see test_store.h.
 */
#include "test_store.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "test store: %s: ", path);
	perror(what);
	abort();
}

void test_store_init(struct test_store *store)
{
	strcpy(store->path, "/tmp/waft-test-store-XXXXXX");
	if (mkdtemp(store->path) == NULL)
		fail("mkdtemp", store->path);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	(void)stat;
	(void)type;
	(void)where;
	return remove(path);
}

void test_store_done(struct test_store *store)
{
	if (nftw(store->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fail("nftw", store->path);
}

void test_store_append(struct test_store *store, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", store->path, name);
	file = fopen(path, "a");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		fail("append", path);
}

void test_store_copy(struct test_store *store, const char *path)
{
	const char *slash = strrchr(path, '/');
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t capacity = 0;

	if (file == NULL || getdelim(&text, &capacity, '\0', file) < 0)
		fail("read", path);
	fclose(file);
	test_store_append(store, slash + 1, text);
	free(text);
}

/* Spread, so that ids sort in another order than numbers do. */
static uint64_t spread(uint32_t number, uint32_t kind)
{
	uint64_t x = ((uint64_t)kind << 32 | number) + UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

void test_trace_id(uint32_t trace, uint8_t ret_id[16])
{
	uint64_t halves[2] = {spread(trace, 1), spread(trace, 2)};

	for (int i = 0; i < 16; i++)
		ret_id[i] = (uint8_t)(halves[i / 8] >> (56 - 8 * (i % 8)));
}

static void format_span_id(uint32_t span, char *ret)
{
	uint64_t id = spread(span, 3);

	sprintf(ret, "%08x-%04x-8%03x-8%03x-%012x", (unsigned)(id >> 32),
		(unsigned)(id >> 16 & 0xffff), (unsigned)(id >> 4 & 0xfff), (unsigned)(id & 0xf),
		0);
}

static void format_time(int64_t us, char *ret, size_t size)
{
	int64_t seconds = us / 1000000;
	int64_t days = seconds / 86400;

	/* Tests stay inside January 1970 and what the reader makes of larger days. */
	snprintf(ret, size, "1970-01-%02dT%02d:%02d:%02d.%06d000Z", (int)(days + 1),
		(int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60),
		(int)(us % 1000000));
}

static const char *text_or(const char *text, const char *other)
{
	return text != NULL ? text : other;
}

int test_store_line(const struct test_span *span, char *ret_line, int size)
{
	uint8_t id[16];
	char trace[40] = "";
	char span_id[64], parent[64], time[128], duration[32], attribute[128] = "";

	test_trace_id(span->trace, id);
	for (int i = 0; i < 16; i++)
		sprintf(trace + strlen(trace), "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	format_span_id(span->span, span_id);
	format_span_id(span->parent, parent);
	format_time(span->start_us, time, sizeof(time));
	if (span->duration_us < 0)
		strcpy(duration, "null");
	else
		sprintf(duration, "%" PRId64 ".%03d", span->duration_us / 1000,
			(int)(span->duration_us % 1000));
	if (span->attribute != NULL)
		sprintf(attribute, ",\"attributes\":{\"key\":\"%s\"}", span->attribute);
	return snprintf(ret_line, (size_t)size,
		"{\"trace_id\":\"%s\",\"span_id\":\"%s\",\"parent_span_id\":%s%s%s,"
		"\"timestamp\":\"%s\",\"duration_ms\":%s,\"operation\":\"%s\",\"layer\":\"%s\","
		"\"status\":\"%s\",\"data\":{\"input\":%s,\"output\":null},"
		"\"metadata\":{\"service\":\"%s\",\"pid\":1,\"host\":\"h\",\"kind\":\"internal\"%s}"
		","
		"\"error\":%s}\n",
		trace, span_id, span->parent != UINT32_MAX ? "\"" : "",
		span->parent != UINT32_MAX ? parent : "null",
		span->parent != UINT32_MAX ? "\"" : "", time, duration,
		text_or(span->operation, "op"), text_or(span->layer, "core"),
		span->duration_us < 0 ? "pending"
		: span->failed	      ? "error"
				      : "success",
		text_or(span->input, "null"), text_or(span->service, "shop"), attribute,
		span->failed ? "\"it broke\"" : "null");
}
