/* gateway.c: a name with several addresses, one of which a gateway listens at. */
#include "gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/names.h"

#define DEADLINE_MS 20000

/* ---- A gateway's loop ---------------------------------------------------------- */

struct
try {
	uv_loop_t loop;
	uv_timer_t deadline;
	uv_poll_t incoming;
	struct gateway *gateway;
	int listener;
	in_port_t port;
	bool came;
	uint64_t failures; /* after which it ends */
	char why[128];
	uint64_t end_ms; /* and when at the latest */
};

static void on_nothing(void *context, struct gateway *gateway)
{
	(void)context;
	(void)gateway;
}

static void on_answered(void *context, struct gateway *gateway, struct share *share)
{
	(void)context;
	(void)gateway;
	free(share);
}

static void on_closed(void *context)
{
	(void)context;
}

static void end(struct try *try)
{
	snprintf(try->why, sizeof(try->why), "%s", gateway_why(try->gateway));
	uv_close((uv_handle_t *)&try->deadline, NULL);
	uv_close((uv_handle_t *)&try->incoming, NULL);
	gateway_close(try->gateway, on_closed, NULL);
}

static void on_incoming(uv_poll_t *poll, int status, int events)
{
	struct try *try = poll->data;

	(void)events;
	try->came = status == 0;
	end(try);
}

static void on_deadline(uv_timer_t *timer)
{
	struct try *try = timer->data;
	struct gateway_counts counts;

	gateway_count(try->gateway, &counts);
	if (counts.failures >= try->failures || uv_now(&try->loop) >= try->end_ms)
		end(try);
}

static void try_init(struct try *try)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);

	*try = (struct try){.failures = UINT64_MAX};
	try->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(try->listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(try->listener, 4), 0);
	assert_int_equal(getsockname(try->listener, (struct sockaddr *)&address, &length), 0);
	try->port = address.sin_port;
}

/* Lets a gateway of that name come, or fail so often. */
static void try_run(struct try *try)
{
	char endpoint[64];
	struct gateway_config config = {.loop = &try->loop,
		.endpoint = endpoint,
		.timeout_ms = 5000,
		.on_answered = on_answered,
		.on_state = on_nothing};

	snprintf(endpoint, sizeof(endpoint), "tcp://gateway.example:%u", ntohs(try->port));
	assert_int_equal(uv_loop_init(&try->loop), 0);
	try->end_ms = uv_now(&try->loop) + DEADLINE_MS;
	try->deadline.data = try->incoming.data = try;
	assert_int_equal(uv_timer_init(&try->loop, &try->deadline), 0);
	assert_int_equal(uv_timer_start(&try->deadline, on_deadline, 10, 10), 0);
	assert_int_equal(uv_poll_init(&try->loop, &try->incoming, try->listener), 0);
	assert_int_equal(uv_poll_start(&try->incoming, UV_READABLE, on_incoming), 0);
	assert_int_equal(gateway_new(&config, &try->gateway), 0);
	assert_int_equal(uv_run(&try->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&try->loop), 0);
	close(try->listener);
}

/* At its third address one listens; the second is another machine's, where plain TCP
 * doesn't go. */
static void test_several(void **state)
{
	static const char *const hosts[] = {"127.0.0.2", "192.0.2.1", "127.0.0.1"};
	struct try try;

	(void)state;
	try_init(&try);
	names_have(hosts, 3, try.port);
	try_run(&try);
	assert_true(try.came);
	assert_int_equal(names_lookups(), 2);
}

/* The turn comes round. */
static void test_none(void **state)
{
	static const char *const hosts[] = {"127.0.0.2", "127.0.0.3"};
	struct try try;

	(void)state;
	try_init(&try);
	names_have(hosts, 2, try.port);
	try.failures = 3;
	try_run(&try);
	assert_false(try.came);
	assert_true(names_lookups() >= 3);
	assert_string_equal(try.why, "can't connect: Connection refused");
}

/* None that plain TCP may go to. */
static void test_foreign(void **state)
{
	static const char *const hosts[] = {"192.0.2.1", "192.0.2.2"};
	struct try try;

	(void)state;
	try_init(&try);
	names_have(hosts, 2, try.port);
	try.failures = 1;
	try_run(&try);
	assert_false(try.came);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
