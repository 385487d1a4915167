/*
 * store.c: see store.h. One connection, used under a lock. Each statement goes
 * through run(), which is also what traces them.
 */
#define WAFT_LAYER "persistence"

#include "store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "log.h"

enum { SCHEMA_VERSION = 1, BUSY_MS = 5000, CANDIDATES = 6, ID_DIGITS = 32, ID_DIGITS_MIN = 4 };

struct store {
	sqlite3 *database;
	char *path;
	pthread_mutex_t lock;
};

void decision_done(struct decision *decision)
{
	free(decision->id);
	free(decision->created_at);
	free(decision->trace_id);
	free(decision->problem);
	free(decision->recommendation);
	free(decision->request);
	*decision = (struct decision){0};
}

/* ---- Statements ---- */

/* One statement, its texts bound to ?1, ?2, …, NULL as null. */
struct statement {
	const char *operation; /* of its span */
	const char *sql;
	const char *const *texts;
	int count;
	/* Called for each row; -ENOMEM stops. NULL: rows are ignored. */
	int (*on_row)(void *arg, sqlite3_stmt *row);
	void *arg;
};

static void show_texts(struct waft_json *json, void *arg)
{
	const struct statement *statement = arg;
	waft_json_array(json);
	for (int i = 0; i < statement->count; i++) {
		if (statement->texts[i])
			waft_json_string(json, statement->texts[i]);
		else
			waft_json_null(json);
	}
	waft_json_end_array(json);
}

static void show_rows(struct waft_json *json, void *arg)
{
	waft_json_object(json);
	waft_json_key(json, "rows");
	waft_json_int(json, *(const int64_t *)arg);
	waft_json_end_object(json);
}

static int step_through(const struct statement *statement, sqlite3_stmt *prepared, int64_t *rows)
{
	for (;;) {
		int code = sqlite3_step(prepared);
		if (code == SQLITE_DONE)
			return SQLITE_OK;
		if (code != SQLITE_ROW)
			return code;
		++*rows;
		if (statement->on_row && statement->on_row(statement->arg, prepared) < 0)
			return SQLITE_NOMEM;
	}
}

static int execute(sqlite3 *database, const struct statement *statement, int64_t *rows)
{
	sqlite3_stmt *prepared = NULL;
	int code = sqlite3_prepare_v2(database, statement->sql, -1, &prepared, NULL);
	for (int i = 0; code == SQLITE_OK && i < statement->count; i++)
		code = sqlite3_bind_text(prepared, i + 1, statement->texts[i], -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = step_through(statement, prepared, rows);
	sqlite3_finalize(prepared);
	return code;
}

/* Runs a statement, with the lock held. */
static int run(struct store *store, const struct statement *statement, struct fault *fault)
{
	struct waft_span span __attribute__((cleanup(waft_end)));
	waft_span_begin_named(&span, statement->operation, WAFT_LAYER, NULL);
	waft_set_kind(&span, WAFT_KIND_CLIENT);
	waft_attr_string(&span, "db.system.name", "sqlite");
	waft_attr_string(&span, "db.namespace", store->path);
	waft_attr_string(&span, "db.query.text", statement->sql);
	waft_input_fn(&span, show_texts, (void *)statement);
	int64_t rows = 0;
	int code = execute(store->database, statement, &rows);
	if (code == SQLITE_OK) {
		waft_output_fn(&span, show_rows, &rows);
		return 0;
	}
	if (code == SQLITE_NOMEM)
		return fault_mark(&span, fault_memory(fault), fault);
	int r = fault_set(fault, FAULT_INTERNAL,
		"the store of decisions %s failed at %s: %s; see that its disk has room and that "
		"it can be written",
		store->path, statement->operation, sqlite3_errmsg(store->database));
	return fault_mark(&span, r, fault);
}

/* ---- Opening ---- */

static int make_directory(const char *path, struct fault *fault)
{
	WAFT_SPAN(span, "decision_store.make_directory");
	waft_attr_string(&span, "file.path", path);
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	int r = fault_set(
		fault, FAULT_INTERNAL, "cannot make directory %s: %s", path, strerror(errno));
	return fault_mark(&span, r, fault);
}

static int make_directories(const char *path, struct fault *fault)
{
	char *copy = strdup(path);
	if (copy == NULL)
		return fault_memory(fault);
	int r = 0;
	for (char *slash = copy + 1; r == 0 && *copy && (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (access(copy, F_OK) < 0)
			r = make_directory(copy, fault);
		*slash = '/';
	}
	free(copy);
	return r;
}

/* SQLite gives its other files the permissions of this one. */
static int make_file(const char *path, struct fault *fault)
{
	WAFT_SPAN(span, "decision_store.make_file");
	waft_attr_string(&span, "file.path", path);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	int r = fault_set(fault, FAULT_INTERNAL,
		"cannot open the store of decisions %s: %s; "
		"choose another with --db FILE",
		path, strerror(errno));
	return fault_mark(&span, r, fault);
}

static int take_version(void *arg, sqlite3_stmt *row)
{
	*(int *)arg = sqlite3_column_int(row, 0);
	return 0;
}

static int make_schema(struct store *store, struct fault *fault)
{
	static const struct statement statements[] = {
		{.operation = "decision_store.set_journal", .sql = "PRAGMA journal_mode = WAL"},
		{.operation = "decision_store.set_synchronous", .sql = "PRAGMA synchronous = FULL"},
		{.operation = "decision_store.create_table",
			.sql = "CREATE TABLE IF NOT EXISTS decisions ("
			       "sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL "
			       "UNIQUE, "
			       "digits TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL, "
			       "trace_id TEXT NOT NULL, problem TEXT NOT NULL, "
			       "recommendation TEXT, request TEXT NOT NULL)"},
		{.operation = "decision_store.set_version", .sql = "PRAGMA user_version = 1"},
	};
	int version = 0;
	const struct statement ask = {
		.operation = "decision_store.get_version",
		.sql = "PRAGMA user_version",
		.on_row = take_version,
		.arg = &version,
	};
	int r = run(store, &ask, fault);
	if (r == 0 && version > SCHEMA_VERSION)
		return fault_set(fault, FAULT_INTERNAL,
			"the store of decisions %s has version %d, this program knows %d; "
			"use a newer one, or choose another file with --db FILE",
			store->path, version, SCHEMA_VERSION);
	size_t count = sizeof(statements) / sizeof(statements[0]);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = run(store, &statements[i], fault);
	return r;
}

static int open_database(struct store *store, struct fault *fault)
{
	WAFT_SPAN(span, "decision_store.connect");
	waft_attr_string(&span, "file.path", store->path);
	int code = sqlite3_open_v2(
		store->path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK) {
		int r = fault_set(fault, FAULT_INTERNAL,
			"cannot open the store of decisions %s: %s", store->path,
			sqlite3_errstr(code));
		return fault_mark(&span, r, fault);
	}
	sqlite3_busy_timeout(store->database, BUSY_MS);
	return fault_mark(&span, make_schema(store, fault), fault);
}

int store_open(const char *path, struct store **ret_store, struct fault *fault)
{
	WAFT_SPAN(span, "decision_store.open");
	waft_attr_string(&span, "file.path", path);
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return fault_mark(&span, fault_memory(fault), fault);
	pthread_mutex_init(&store->lock, NULL);
	store->path = strdup(path);
	int r = store->path ? make_directories(path, fault) : fault_memory(fault);
	if (r == 0)
		r = make_file(path, fault);
	if (r == 0)
		r = open_database(store, fault);
	if (r < 0)
		store_close(store);
	else
		*ret_store = store;
	return fault_mark(&span, r, fault);
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	if (store->database) {
		WAFT_SPAN(span, "decision_store.close");
		waft_attr_string(&span, "file.path", store->path);
		sqlite3_close(store->database);
	}
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

static int run_locked(struct store *store, const struct statement *statement, struct fault *fault)
{
	pthread_mutex_lock(&store->lock);
	int r = run(store, statement, fault);
	pthread_mutex_unlock(&store->lock);
	return r;
}

/* ---- Ids ---- */

/* The hexadecimal digits of an id or of a part of it, lower case. False when it
 * is neither. */
static bool take_digits(const char *id, char ret_digits[ID_DIGITS + 1])
{
	size_t count = 0;
	for (; *id; id++) {
		if (*id == '-')
			continue;
		if (!isxdigit((unsigned char)*id) || count == ID_DIGITS)
			return false;
		ret_digits[count++] = (char)tolower((unsigned char)*id);
	}
	ret_digits[count] = '\0';
	return count >= ID_DIGITS_MIN;
}

static int id_missing(const char *id, struct fault *fault)
{
	return fault_set(fault, FAULT_MISSING,
		"No decision found with ID: %.64s. GET /api/decision/history lists them.", id);
}

struct candidates {
	char ids[CANDIDATES][DECISION_ID_SIZE];
	int count;
};

static int take_candidate(void *arg, sqlite3_stmt *row)
{
	struct candidates *candidates = arg;
	if (candidates->count < CANDIDATES)
		snprintf(candidates->ids[candidates->count++], DECISION_ID_SIZE, "%s",
			(const char *)sqlite3_column_text(row, 0));
	return 0;
}

static int id_ambiguous(const char *id, const struct candidates *candidates, struct fault *fault)
{
	struct text list = {0};
	for (int i = 0; i < candidates->count; i++)
		text_printf(&list, "%s%s", i ? ", " : "", candidates->ids[i]);
	int r = list.failed ? fault_memory(fault)
			    : fault_set(fault, FAULT_RULE,
				      "Decision ID %s is ambiguous. It could mean: %s%s", id,
				      list.data, candidates->count == CANDIDATES ? ", …" : "");
	text_done(&list);
	return r;
}

/* The full id that a whole or partial one means. */
static int find_id(
	struct store *store, const char *id, char ret_id[DECISION_ID_SIZE], struct fault *fault)
{
	char digits[ID_DIGITS + 1];
	if (!take_digits(id, digits))
		return id_missing(id, fault);
	const char *texts[] = {digits};
	struct candidates candidates = {.count = 0};
	const struct statement statement = {
		.operation = "decision_store.find",
		.sql = "SELECT id FROM decisions WHERE digits LIKE ?1 || '%' OR digits LIKE '%' || "
		       "?1 "
		       "ORDER BY sequence DESC LIMIT 6",
		.texts = texts,
		.count = 1,
		.on_row = take_candidate,
		.arg = &candidates,
	};
	int r = run_locked(store, &statement, fault);
	if (r < 0)
		return r;
	if (candidates.count == 0)
		return id_missing(id, fault);
	if (candidates.count > 1)
		return id_ambiguous(id, &candidates, fault);
	memcpy(ret_id, candidates.ids[0], DECISION_ID_SIZE);
	return 0;
}

/* ---- Decisions ---- */

static void format_now(char *text, size_t size)
{
	struct timespec now;
	struct tm utc;
	char seconds[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, size, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

int store_insert(struct store *store, const struct decision *decision,
	char ret_id[DECISION_ID_SIZE], struct fault *fault)
{
	uuid_t uuid;
	char id[DECISION_ID_SIZE];
	char digits[ID_DIGITS + 1];
	char created_at[48];
	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, id);
	take_digits(id, digits);
	format_now(created_at, sizeof(created_at));
	const char *texts[] = {id, digits, created_at, decision->trace_id, decision->problem,
		decision->recommendation, decision->request};
	const struct statement statement = {
		.operation = "decision_store.insert",
		.sql = "INSERT INTO decisions (id, digits, created_at, trace_id, problem, "
		       "recommendation, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		.texts = texts,
		.count = 7,
	};
	int r = run_locked(store, &statement, fault);
	if (r == 0)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

static int take_decision(void *arg, sqlite3_stmt *row)
{
	struct decision *decision = arg;
	char **const members[] = {&decision->id, &decision->created_at, &decision->trace_id,
		&decision->problem, &decision->recommendation, &decision->request};
	for (int i = 0; i < 6; i++) {
		const char *text = (const char *)sqlite3_column_text(row, i);
		if (text && (*members[i] = strdup(text)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

int store_load(
	struct store *store, const char *id, struct decision *ret_decision, struct fault *fault)
{
	char full_id[DECISION_ID_SIZE];
	int r = find_id(store, id, full_id, fault);
	if (r < 0)
		return r;
	const char *texts[] = {full_id};
	struct decision decision = {0};
	const struct statement statement = {
		.operation = "decision_store.load",
		.sql = "SELECT id, created_at, trace_id, problem, recommendation, request "
		       "FROM decisions WHERE id = ?1",
		.texts = texts,
		.count = 1,
		.on_row = take_decision,
		.arg = &decision,
	};
	r = run_locked(store, &statement, fault);
	if (r == 0 && decision.request == NULL)
		r = id_missing(id, fault);
	if (r < 0)
		decision_done(&decision);
	else
		*ret_decision = decision;
	return r;
}

/* ---- History ---- */

struct listing {
	struct json_out *out;
	unsigned int limit;
	unsigned int count;
	char last_id[DECISION_ID_SIZE];
	bool more;
};

static int take_listed(void *arg, sqlite3_stmt *row)
{
	static const char *const keys[] = {
		"id", "created_at", "trace_id", "problem", "recommendation"};
	struct listing *listing = arg;
	if (listing->count == listing->limit) {
		listing->more = true;
		return 0;
	}
	listing->count++;
	snprintf(listing->last_id, DECISION_ID_SIZE, "%s",
		(const char *)sqlite3_column_text(row, 0));
	json_out_object(listing->out);
	for (int i = 0; i < 5; i++) {
		const char *text = (const char *)sqlite3_column_text(row, i);
		json_out_key(listing->out, keys[i]);
		if (text)
			json_out_string(listing->out, text, strlen(text));
		else
			json_out_null(listing->out);
	}
	json_out_end_object(listing->out);
	return 0;
}

int store_list(struct store *store, unsigned int limit, const char *before, struct json_out *out,
	char ret_next_id[DECISION_ID_SIZE], struct fault *fault)
{
	char before_id[DECISION_ID_SIZE];
	char count[16];
	if (before) {
		int r = find_id(store, before, before_id, fault);
		if (r < 0)
			return r;
	}
	/* One more than asked for tells whether there are more. */
	snprintf(count, sizeof(count), "%u", limit + 1);
	const char *texts[] = {before ? before_id : NULL, count};
	struct listing listing = {.out = out, .limit = limit};
	const struct statement statement = {
		.operation = "decision_store.list",
		.sql = "SELECT id, created_at, trace_id, problem, recommendation FROM decisions "
		       "WHERE ?1 IS NULL OR sequence < (SELECT sequence FROM decisions WHERE id = "
		       "?1) "
		       "ORDER BY sequence DESC LIMIT CAST(?2 AS INTEGER)",
		.texts = texts,
		.count = 2,
		.on_row = take_listed,
		.arg = &listing,
	};
	int r = run_locked(store, &statement, fault);
	if (r == 0)
		snprintf(ret_next_id, DECISION_ID_SIZE, "%s", listing.more ? listing.last_id : "");
	return r;
}
