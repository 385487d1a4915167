/*
 * client.c: see client.h.
 */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ANSWER_LIMIT_BYTES = 64 * 1024 * 1024, CONNECT_TIMEOUT_S = 5, TIMEOUT_S = 120 };

void client_answer_done(struct client_answer *answer)
{
	text_done(&answer->body);
	free(answer->location);
	*answer = (struct client_answer){0};
}

bool client_url_fits(const char *url)
{
	char *scheme = NULL;
	CURLU *parsed = curl_url();
	bool fits = parsed != NULL &&
		    curl_url_set(parsed, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK &&
		    curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		    (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return fits;
}

void client_escape(struct text *out, const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	if (escaped == NULL)
		out->failed = true;
	else
		text_puts(out, escaped);
	curl_free(escaped);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct client_answer *answer = arg;
	size_t bytes = size * count;
	if (answer->body.length_bytes + bytes > ANSWER_LIMIT_BYTES)
		return 0;
	text_append(&answer->body, data, bytes);
	return answer->body.failed ? 0 : bytes;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	static const char name[] = "location:";
	struct client_answer *answer = arg;
	size_t bytes = size * count;
	if (bytes < sizeof(name) || strncasecmp(data, name, sizeof(name) - 1) != 0)
		return bytes;
	const char *value = data + sizeof(name) - 1;
	const char *end = data + bytes;
	while (value < end && *value == ' ')
		value++;
	while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
		end--;
	free(answer->location);
	answer->location = strndup(value, (size_t)(end - value));
	return bytes;
}

static void add_header(void *arg, const char *name, const char *value)
{
	struct curl_slist **headers = arg;
	struct text line = {0};
	text_printf(&line, "%s: %s", name, value);
	struct curl_slist *longer = line.failed ? NULL : curl_slist_append(*headers, line.data);
	/* Without memory for it the request goes on, untraced beyond here. */
	if (longer)
		*headers = longer;
	text_done(&line);
}

static struct curl_slist *make_headers(void)
{
	struct curl_slist *headers = NULL;
	struct waft_context current = {0};
	add_header(&headers, "Content-Type", "application/json");
	/* The whole body at once: the service reads what it refuses, too. */
	add_header(&headers, "Expect", "");
	waft_context_current(&current);
	waft_inject(&current, add_header, &headers);
	waft_context_done(&current);
	return headers;
}

/* A proxy of the environment's is for other machines than this one. */
static bool is_loopback(const char *url)
{
	static const char *const hosts[] = {"localhost", "127.", "[::1]"};
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (strncasecmp(host, hosts[i], strlen(hosts[i])) == 0)
			return true;
	return false;
}

static void set_options(CURL *curl, const char *url, const struct text *body,
	const struct curl_slist *headers, struct client_answer *answer, char *error)
{
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "waft-decide");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	if (is_loopback(url))
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->length_bytes);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data ? body->data : "");
	}
}

static int failed(CURLcode code, const char *error, const char *url,
	const struct client_answer *answer, struct fault *fault)
{
	if (answer->body.failed || code == CURLE_OUT_OF_MEMORY)
		return fault_memory(fault);
	if (code == CURLE_WRITE_ERROR)
		return fault_set(fault, FAULT_INTERNAL, "the answer of %s is over %d bytes", url,
			ANSWER_LIMIT_BYTES);
	const char *advice = code == CURLE_COULDNT_CONNECT
				     ? "; is waft-engined running? Start it, or name another "
				       "service with --server URL"
				     : "";
	return fault_set(fault, FAULT_UNAVAILABLE, "cannot ask %s: %s%s", url,
		error[0] ? error : curl_easy_strerror(code), advice);
}

static int perform(CURL *curl, const char *url, const struct text *body,
	struct client_answer *answer, struct fault *fault)
{
	char error[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = make_headers();
	set_options(curl, url, body, headers, answer, error);
	CURLcode code = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return failed(code, error, url, answer, fault);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	text_append(&answer->body, "", 0);
	return answer->body.failed ? fault_memory(fault) : 0;
}

int client_ask(const char *url, const char *path, const struct text *body,
	struct client_answer *ret_answer, struct fault *fault)
{
	struct client_answer answer = {0};
	struct text whole = {0};
	size_t length = strlen(url);
	while (length > 0 && url[length - 1] == '/')
		length--;
	text_append(&whole, url, length);
	text_puts(&whole, path);
	CURL *curl = curl_easy_init();
	int r = curl && !whole.failed ? perform(curl, whole.data, body, &answer, fault)
				      : fault_memory(fault);
	curl_easy_cleanup(curl);
	text_done(&whole);
	if (r < 0)
		client_answer_done(&answer);
	else
		*ret_answer = answer;
	return r;
}
