/*
 * quotas.c: what one client may have, with time as an argument.
 */
#include "peers.h"
#include "quotas.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define KIB 1024u
#define WINDOW (256 * KIB)

static void count_held(void *context)
{
	++*(int *)context;
}

static struct quotas *quotas_of(struct quota_limits limits, int *held)
{
	struct quotas *quotas;

	assert_int_equal(quotas_new(&limits, count_held, held, &quotas), 0);
	return quotas;
}

static struct quota_account *join(struct quotas *quotas, const char *name, uint64_t now_ms)
{
	struct quota_account *account = NULL;

	assert_int_equal(quota_join(quotas, name, now_ms, &account), 0);
	assert_non_null(account);
	return account;
}

static void test_names(void **state)
{
	char name[QUOTA_NAME_BYTES];
	struct peer peer = {.local = true, .uid = 7, .name = "me", .address = "::1"};

	(void)state;
	quota_name(&peer, false, name);
	assert_string_equal(name, "uid:7");
	peer.local = false;
	quota_name(&peer, false, name);
	assert_string_equal(name, "cert:me");
	quota_name(&peer, true, name);
	assert_string_equal(name, "token:me");
	peer.name[0] = '\0';
	quota_name(&peer, false, name);
	assert_string_equal(name, "address:::1");
}

/* Users of other PID namespaces, whose pids aren't seen, have an account each. */
static void test_namespaces(void **state)
{
	const struct ucred credentials[] = {{.pid = 0, .uid = 7, .gid = 8},
		{.pid = 0, .uid = 9, .gid = 8}, {.pid = 3, .uid = 7, .gid = 8},
		{.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1}};
	const char *const names[] = {"uid:7", "uid:9", "uid:7", "address:unknown"};
	char name[QUOTA_NAME_BYTES];
	struct peer peer;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		peer_of_credentials(&credentials[i], NULL, &peer);
		assert_int_equal(peer.known, i == 2);
		quota_name(&peer, false, name);
		assert_string_equal(name, names[i]);
	}
}

static void test_connections(void **state)
{
	struct quotas *quotas = quotas_of((struct quota_limits){.connections = 2}, NULL);
	struct quota_account *first = join(quotas, "uid:1", 0);
	struct quota_account *second = join(quotas, "uid:1", 0);
	struct quota_account *other = NULL;
	struct quota_counts counts;

	(void)state;
	assert_ptr_equal(first, second);
	assert_int_equal(quota_join(quotas, "uid:1", 0, &other), -EDQUOT);
	assert_null(other);
	other = join(quotas, "uid:2", 0);
	assert_ptr_not_equal(other, first);
	quotas_count(quotas, &counts);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(counts.accounts, 2);
	quota_leave(first);
	second = join(quotas, "uid:1", 0);
	/* A new limit holds for those that come. */
	quotas_configure(quotas, &(struct quota_limits){.connections = 0});
	first = join(quotas, "uid:1", 0);
	quota_leave(first);
	quota_leave(second);
	quota_leave(second);
	quota_leave(other);
	quotas_count(quotas, &counts);
	assert_int_equal(counts.accounts, 0);
	quotas_free(quotas);
}

static void test_no_limits(void **state)
{
	struct quotas *quotas = quotas_of((struct quota_limits){0}, NULL);
	struct quota_account *account = join(quotas, "uid:1", 0);

	(void)state;
	quota_begin(account, UINT64_C(1) << 40);
	quota_received(account, UINT64_C(1) << 40, 0);
	assert_int_equal(quota_window(account, WINDOW, 0), WINDOW);
	assert_false(quota_is_full(account));
	quota_end(account, UINT64_C(1) << 40);
	quota_leave(account);
	/* Nor has nobody's account any. */
	assert_int_equal(quota_window(NULL, WINDOW, 0), WINDOW);
	assert_false(quota_is_full(NULL));
	quota_leave(NULL);
	quotas_free(quotas);
}

static void test_in_flight(void **state)
{
	struct quotas *quotas =
		quotas_of((struct quota_limits){.in_flight_bytes = 100 * KIB}, NULL);
	struct quota_account *account = join(quotas, "uid:1", 0);
	struct quota_account *other = join(quotas, "uid:2", 0);

	(void)state;
	quota_add_sender(account);
	assert_int_equal(quota_window(account, WINDOW, 0), 100 * KIB);
	assert_int_equal(quota_window(account, 10, 0), 10);
	/* Its senders share. */
	quota_add_sender(account);
	assert_int_equal(quota_window(account, WINDOW, 0), 50 * KIB);
	quota_begin(account, 60 * KIB);
	assert_int_equal(quota_window(account, WINDOW, 0), 20 * KIB);
	assert_false(quota_is_full(account));
	quota_begin(account, 60 * KIB);
	assert_int_equal(quota_window(account, WINDOW, 0), 0);
	assert_true(quota_is_full(account));
	/* Others don't feel it. */
	assert_int_equal(quota_window(other, WINDOW, 0), 100 * KIB);
	assert_false(quota_is_full(other));
	quota_remove_sender(account);
	quota_end(account, 60 * KIB);
	assert_int_equal(quota_window(account, WINDOW, 0), 40 * KIB);
	/* It outlives its connections as long as something is on its way. */
	quota_remove_sender(account);
	quota_leave(account);
	quota_end(account, 60 * KIB);
	quota_leave(other);
	quotas_free(quotas);
}

static void test_rate(void **state)
{
	const uint64_t rate = 1000 * KIB;
	int held = 0;
	struct quotas *quotas = quotas_of((struct quota_limits){.bytes_per_second = rate}, &held);
	struct quota_account *account = join(quotas, "uid:1", 5);

	(void)state;
	/* What may come in a second may come at once; then it is as time goes by. */
	assert_int_equal(quota_window(account, 10 * rate, 5), rate);
	quota_received(account, rate, 5);
	assert_int_equal(held, 0);
	assert_int_equal(quota_window(account, WINDOW, 5), 0);
	assert_int_equal(held, 1);
	assert_int_equal(quota_window(account, 10 * rate, 105), rate / 10);
	/* Sent on credit of before: it is owed. */
	quota_received(account, rate, 105);
	assert_int_equal(quota_window(account, WINDOW, 1004), 0);
	assert_int_equal(quota_window(account, 10 * rate, 1105), rate / 10);
	assert_int_equal(held, 2);
	/* Never more than a second's, and time that goes back is none. */
	assert_int_equal(quota_window(account, 10 * rate, 1000000), rate);
	quota_received(account, rate, 1000000);
	assert_int_equal(quota_window(account, WINDOW, 1), 0);
	quota_leave(account);
	quotas_free(quotas);
}

/* However often it is looked at, and however slow: the same in the end. */
static void test_slow_rate(void **state)
{
	int held = 0;
	struct quotas *quotas = quotas_of((struct quota_limits){.bytes_per_second = 10}, &held);
	struct quota_account *account = join(quotas, "uid:1", 0);

	(void)state;
	/* A message goes through whatever the rate. */
	assert_int_equal(quota_window(account, 1 << 20, 0), 260 * KIB);
	quota_received(account, 260 * KIB, 0);
	for (uint64_t ms = 1; ms <= 10000; ms++)
		(void)quota_window(account, WINDOW, ms);
	assert_int_equal(quota_window(account, WINDOW, 10000), 100);
	quota_leave(account);
	quotas_free(quotas);
}

/* To go and come back doesn't fill the bucket. */
static void test_comes_back(void **state)
{
	const uint64_t rate = 1000 * KIB;
	int held = 0;
	struct quotas *quotas = quotas_of((struct quota_limits){.bytes_per_second = rate}, &held);
	struct quota_account *account = join(quotas, "token:a", 0);
	struct quota_counts counts;
	char name[32];

	(void)state;
	quota_received(account, rate, 0);
	quota_leave(account);
	account = join(quotas, "token:a", 100);
	assert_int_equal(quota_window(account, 10 * rate, 100), rate / 10);
	quota_received(account, rate, 100);
	quota_leave(account);
	quota_leave(join(quotas, "token:b", 200));
	quotas_count(quotas, &counts);
	assert_int_equal(counts.accounts, 2);
	/* Those that have had time enough are forgotten when others come. */
	quota_leave(join(quotas, "token:c", 10000));
	quotas_count(quotas, &counts);
	assert_int_equal(counts.accounts, 1);
	/* What is remembered has an end. */
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "address:%d", i);
		account = join(quotas, name, 10000);
		quota_received(account, rate, 10000);
		quota_leave(account);
	}
	quotas_count(quotas, &counts);
	assert_in_range(counts.accounts, 1024, 1030);
	quotas_free(quotas);
}

static void sum_views(void *context, const struct quota_view *view)
{
	struct quota_view *sum = context;

	assert_non_null(view->name);
	sum->connections += view->connections;
	sum->senders += view->senders;
	sum->in_flight_bytes += view->in_flight_bytes;
	sum->received_bytes += view->received_bytes;
	sum->refused += view->refused;
}

static void test_views(void **state)
{
	struct quotas *quotas = quotas_of((struct quota_limits){.connections = 1}, NULL);
	struct quota_account *first = join(quotas, "uid:1", 0);
	struct quota_account *second = join(quotas, "cert:x", 0);
	struct quota_account *none;
	struct quota_view sum = {0};

	(void)state;
	assert_int_equal(quota_join(quotas, "cert:x", 0, &none), -EDQUOT);
	quota_add_sender(second);
	quota_received(second, 7, 0);
	quota_begin(second, 9);
	quotas_each(quotas, sum_views, &sum);
	assert_int_equal(sum.connections, 2);
	assert_int_equal(sum.senders, 1);
	assert_int_equal(sum.in_flight_bytes, 9);
	assert_int_equal(sum.received_bytes, 7);
	assert_int_equal(sum.refused, 1);
	quota_end(second, 9);
	quota_remove_sender(second);
	quota_leave(second);
	quota_leave(first);
	quotas_free(quotas);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_no_limits),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_slow_rate),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
