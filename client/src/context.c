/*
 * Contexts: where in a trace one stands, taken from spans and threads, carried
 * over threads, and written as W3C headers and environment (waft.h). Any thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <waft/waft.h>

#include "carry.h"
#include "config.h"
#include "ids.h"
#include "process.h"
#include "span.h"
#include "thread.h"

enum { FLAG_SAMPLED = 1, FLAG_RANDOM = 2 };

_Static_assert(WAFT_TRACE_ID_SIZE == ID_UUID_LENGTH + 1, "a UUID and NUL");
_Static_assert(sizeof(struct waft_token) == 32, "its size is part of the ABI");

/* ---- Taking ---------------------------------------------------------------- */

static void context_fill(struct waft_context *ret, const struct place *place)
{
	uint64_t id;

	memset(ret, 0, sizeof(*ret));
	if ((place->trace[0] | place->trace[1]) == 0 || place->id == 0)
		return;
	id = place_id(place);
	memcpy(ret->trace_id, place->trace, sizeof(ret->trace_id));
	memcpy(ret->span_id, &id, sizeof(ret->span_id));
	ret->flags = (uint8_t)((place->sampled ? FLAG_SAMPLED : 0) |
			       (place->not_random ? 0 : FLAG_RANDOM));
	ret->carry = carry_retain(place->carry);
}

void waft_context_current(struct waft_context *ret_context)
{
	struct place place;

	if (ret_context == NULL)
		return;
	place_current(&place);
	context_fill(ret_context, &place);
}

void waft_context_of(const struct waft_span *span, struct waft_context *ret_context)
{
	struct place place;

	if (ret_context == NULL)
		return;
	place_of_span(span, &place);
	context_fill(ret_context, &place);
}

void waft_context_copy(const struct waft_context *context, struct waft_context *ret_context)
{
	if (ret_context == NULL)
		return;
	if (context == NULL) {
		memset(ret_context, 0, sizeof(*ret_context));
		return;
	}
	*ret_context = *context;
	(void)carry_retain(ret_context->carry);
}

void waft_context_done(struct waft_context *context)
{
	if (context == NULL)
		return;
	carry_release(context->carry);
	memset(context, 0, sizeof(*context));
}

/* ---- Attaching --------------------------------------------------------------- */

/* In a token: the slot, its generation, the thread. All zero: nothing to do. */
enum { TOKEN_SLOT = 0, TOKEN_GENERATION = 1, TOKEN_THREAD = 2 };

void waft_attach(const struct waft_context *context, struct waft_token *ret_token)
{
	struct thread *thread;
	struct open *open;

	if (ret_token == NULL)
		return;
	memset(ret_token, 0, sizeof(*ret_token));
	thread = thread_get();
	open = thread != NULL ? thread_take_slot(thread, false) : NULL;
	if (open == NULL)
		return;
	open->hot.flags |= OPEN_ATTACHED | OPEN_ID;
	open->hot.trace[0] = open->hot.trace[1] = open->hot.raw = 0;
	open->hot.distance = open->hot.traits = 0;
	if (waft_context_valid(context)) {
		memcpy(open->hot.trace, context->trace_id, sizeof(open->hot.trace));
		memcpy(&open->hot.raw, context->span_id, sizeof(open->hot.raw));
		if ((context->flags & FLAG_SAMPLED) == 0)
			open->hot.flags |= OPEN_UNSAMPLED;
		if ((context->flags & FLAG_RANDOM) == 0)
			open->hot.traits = OPEN_TRAIT_NOT_RANDOM;
		if (context->remote)
			open->hot.flags |= OPEN_REMOTE;
		if (context->carry != NULL) {
			open->carry = carry_retain(context->carry);
			open->hot.flags |= OPEN_CARRY;
		}
	} else {
		open->hot.flags |= OPEN_NONE;
	}
	ret_token->private_[TOKEN_SLOT] = (uint64_t)(uintptr_t)open;
	ret_token->private_[TOKEN_GENERATION] = WAFT_LOAD_(&open->hot.generation);
	ret_token->private_[TOKEN_THREAD] = (uint64_t)(uintptr_t)thread;
}

void waft_detach(struct waft_token *token)
{
	struct thread *thread;
	struct open *open;

	if (token == NULL || token->private_[TOKEN_SLOT] == 0)
		return;
	open = (struct open *)(uintptr_t)token->private_[TOKEN_SLOT];
	thread = thread_get();
	if (thread != NULL && token->private_[TOKEN_THREAD] == (uint64_t)(uintptr_t)thread &&
		WAFT_LOAD_(&open->hot.generation) == (uint32_t)token->private_[TOKEN_GENERATION]) {
		thread_abandon(thread, open);
		if (open_claim(open, (uint32_t)token->private_[TOKEN_GENERATION], true)) {
			waft_thread_.current = open->hot.prev;
			open_release(open, thread);
		}
	}
	memset(token, 0, sizeof(*token));
}

/* ---- Texts ---------------------------------------------------------------------- */

void waft_traceparent_format(
	const struct waft_context *context, char ret_text[WAFT_TRACEPARENT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	if (ret_text == NULL)
		return;
	ret_text[0] = '\0';
	if (!waft_context_valid(context))
		return;
	memcpy(ret_text, "00-", 3);
	hex_format(context->trace_id, 16, ret_text + 3);
	ret_text[35] = '-';
	hex_format(context->span_id, 8, ret_text + 36);
	ret_text[52] = '-';
	ret_text[53] = '0';
	ret_text[54] = digits[context->flags & (FLAG_SAMPLED | FLAG_RANDOM)];
	ret_text[55] = '\0';
}

static bool has_capitals(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (text[i] >= 'A' && text[i] <= 'F')
			return true;
	return false;
}

/* W3C Trace Context 2, 3.2: version ff is invalid; a higher version than 00 is
 * read as far as 00 goes, and may go on behind a dash. */
int waft_traceparent_parse(const char *text, struct waft_context *ret_context)
{
	struct waft_context context = {.remote = true};
	size_t length = text != NULL ? strnlen(text, 512) : 0;
	uint8_t version;
	uint8_t flags;

	if (ret_context == NULL)
		return -EINVAL;
	memset(ret_context, 0, sizeof(*ret_context));
	if (length < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
		has_capitals(text, 55))
		return -EINVAL;
	if (hex_parse(text, 1, &version) < 0 || hex_parse(text + 3, 16, context.trace_id) < 0 ||
		hex_parse(text + 36, 8, context.span_id) < 0 || hex_parse(text + 53, 1, &flags) < 0)
		return -EINVAL;
	if (version == 0xff || (version == 0 && length != 55) || (length > 55 && text[55] != '-') ||
		!waft_context_valid(&context))
		return -EINVAL;
	context.flags = flags & (FLAG_SAMPLED | FLAG_RANDOM);
	*ret_context = context;
	return 0;
}

void waft_trace_id_format(const struct waft_context *context, char ret_text[WAFT_TRACE_ID_SIZE])
{
	struct trace_id id = {{0}};

	if (ret_text == NULL)
		return;
	if (context != NULL)
		memcpy(id.bytes, context->trace_id, sizeof(id.bytes));
	trace_id_format(&id, ret_text);
	ret_text[ID_UUID_LENGTH] = '\0';
}

void waft_span_id_format(const struct waft_context *context, char ret_text[WAFT_SPAN_ID_SIZE])
{
	uint64_t id = 0;

	if (ret_text == NULL)
		return;
	if (context != NULL)
		memcpy(&id, context->span_id, sizeof(id));
	span_id_format(id, ret_text);
	ret_text[ID_UUID_LENGTH] = '\0';
}

/* ---- Between processes -------------------------------------------------------------- */

void waft_inject(const struct waft_context *context, waft_header_set_fn set, void *arg)
{
	char parent[WAFT_TRACEPARENT_SIZE];

	if (set == NULL || !waft_context_valid(context))
		return;
	waft_traceparent_format(context, parent);
	set(arg, "traceparent", parent);
	if (context->carry != NULL && context->carry->state_length > 0)
		set(arg, "tracestate", carry_state(context->carry));
	if (context->carry != NULL && context->carry->baggage_length > 0)
		set(arg, "baggage", carry_baggage(context->carry));
}

int waft_extract(waft_header_get_fn get, void *arg, struct waft_context *ret_context)
{
	const char *value;
	char *state = NULL;

	if (ret_context == NULL)
		return -ENOENT;
	memset(ret_context, 0, sizeof(*ret_context));
	if (get == NULL || waft_traceparent_parse(get(arg, "traceparent"), ret_context) < 0)
		return -ENOENT;
	/* get may use one buffer for all. */
	value = get(arg, "tracestate");
	if (value != NULL)
		state = strdup(value);
	value = get(arg, "baggage");
	if (state != NULL || value != NULL)
		ret_context->carry = carry_new(state, value);
	free(state);
	return 0;
}

static const char *const environment_names[][2] = {
	{"traceparent", "TRACEPARENT"}, {"tracestate", "TRACESTATE"}, {"baggage", "BAGGAGE"}};
enum { ENVIRONMENT_NAMES = 3 };

static const char *environment_get(void *arg, const char *name)
{
	(void)arg;
	for (size_t i = 0; i < ENVIRONMENT_NAMES; i++)
		if (strcmp(name, environment_names[i][0]) == 0)
			return config_env(environment_names[i][1]);
	return NULL;
}

int waft_context_from_env(struct waft_context *ret_context)
{
	return waft_extract(environment_get, NULL, ret_context);
}

static bool is_ours(const char *variable)
{
	for (size_t i = 0; i < ENVIRONMENT_NAMES; i++) {
		size_t length = strlen(environment_names[i][1]);

		if (strncmp(variable, environment_names[i][1], length) == 0 &&
			variable[length] == '=')
			return true;
	}
	return false;
}

/* One block: the pointers, then the texts. Filled in two rounds: without memory
 * it only counts. */
struct environment {
	char **variables;
	char *text;
	size_t count;
	size_t bytes;
};

static void environment_add(struct environment *environment, const char *name, const char *value)
{
	size_t name_length = name != NULL ? strlen(name) : 0;
	size_t value_length = strlen(value) + 1;

	if (environment->variables != NULL) {
		char *to = environment->text + environment->bytes;

		environment->variables[environment->count] = to;
		if (name != NULL) {
			memcpy(to, name, name_length);
			to[name_length++] = '=';
		}
		memcpy(to + name_length, value, value_length);
	} else if (name != NULL) {
		name_length++;
	}
	environment->count++;
	environment->bytes += name_length + value_length;
}

static void environment_set(void *arg, const char *name, const char *value)
{
	for (size_t i = 0; i < ENVIRONMENT_NAMES; i++)
		if (strcmp(name, environment_names[i][0]) == 0)
			environment_add(arg, environment_names[i][1], value);
}

static void environment_fill(
	struct environment *environment, const struct waft_context *context, char *const *base)
{
	environment->count = environment->bytes = 0;
	for (; base != NULL && *base != NULL; base++)
		if (!is_ours(*base))
			environment_add(environment, NULL, *base);
	waft_inject(context, environment_set, environment);
}

char **waft_env_new(const struct waft_context *context, char *const *base)
{
	struct environment environment = {0};

	if (base == NULL)
		base = environ;
	environment_fill(&environment, context, base);
	environment.variables =
		calloc(1, (environment.count + 1) * sizeof(char *) + environment.bytes);
	if (environment.variables == NULL)
		return NULL;
	environment.text = (char *)(environment.variables + environment.count + 1);
	environment_fill(&environment, context, base);
	return environment.variables;
}

void waft_env_free(char **environment)
{
	free(environment);
}
