/* Which gateway a partition goes to: agreement, small moves, and no overtaking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "forward_route.h"

static const char *const names[] = {"tls://a:1", "tls://b:1", "tls://c:1"};

/* Takes and answers one share of each partition: where they went. */
static void owners_of(struct route *route, size_t ret_owners[WIRE_PARTITIONS])
{
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++) {
		ret_owners[i] = route_take(route, i);
		route_answered(route, i);
	}
}

static void test_agreement(void **state)
{
	static const char *const turned[] = {"tls://c:1", "tls://a:1", "tls://b:1"};
	size_t here[WIRE_PARTITIONS], there[WIRE_PARTITIONS];
	size_t shares[3] = {0};
	struct route one, other;

	(void)state;
	route_init(&one, names, 3);
	route_init(&other, turned, 3);
	owners_of(&one, here);
	owners_of(&other, there);
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++) {
		assert_string_equal(names[here[i]], turned[there[i]]);
		shares[here[i]]++;
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(shares[i], 10, 35);
}

/* Only what the lost one had goes elsewhere, and it comes back. */
static void test_down(void **state)
{
	size_t before[WIRE_PARTITIONS], during[WIRE_PARTITIONS], after[WIRE_PARTITIONS];
	struct route route;

	(void)state;
	route_init(&route, names, 3);
	owners_of(&route, before);
	assert_true(route_set(&route, 1, false));
	owners_of(&route, during);
	assert_true(route_set(&route, 1, true));
	owners_of(&route, after);
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++) {
		assert_int_not_equal(during[i], 1);
		assert_true(before[i] == during[i] || before[i] == 1);
	}
	assert_memory_equal(before, after, sizeof(before));
}

/* While something is not answered where it went, what is newer goes there too. */
static void test_order(void **state)
{
	struct route route;
	unsigned int partition = 0;
	size_t refuge;

	(void)state;
	route_init(&route, names, 3);
	while (route.owners[partition] != 1)
		partition++;
	assert_true(route_set(&route, 1, false));
	refuge = route_take(&route, partition);
	assert_int_not_equal(refuge, 1);
	assert_true(route_set(&route, 1, true));
	assert_int_equal(route_take(&route, partition), refuge);
	route_answered(&route, partition);
	assert_int_equal(route_take(&route, partition), refuge);
	route_answered(&route, partition);
	route_answered(&route, partition);
	assert_int_equal(route_take(&route, partition), 1);
}

static void test_all_down(void **state)
{
	size_t before[WIRE_PARTITIONS], after[WIRE_PARTITIONS];
	struct route route;

	(void)state;
	route_init(&route, names, 2);
	owners_of(&route, before);
	assert_true(route_set(&route, 0, false));
	assert_false(route_set(&route, 1, false));
	owners_of(&route, after);
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++)
		assert_int_equal(after[i], 1);
	/* The first that comes back gets everything. */
	assert_true(route_set(&route, 0, true));
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++)
		assert_int_equal(route.owners[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_all_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
