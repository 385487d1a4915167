/*
 * Ids of runs in the order of the index: random ones, and such as share their first bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ids_file.h"
#include "support/random_batch.h"

enum { MANY = 20000 };

static struct index_id ids[MANY], expected[MANY];

/* So many first bytes of the ids are one of two. */
static void make_ids(struct random *random, size_t count, uint32_t alike)
{
	for (size_t i = 0; i < count; i++) {
		for (uint32_t at = 0; at < 16; at++)
			ids[i].trace_id[at] = (uint8_t)random_below(random, at < alike ? 2 : 256);
		ids[i].run = random_below(random, 8);
		/* Several runs of one trace. */
		if (i > 0 && random_below(random, 4) == 0)
			memcpy(ids[i].trace_id, ids[random_below(random, (uint32_t)i)].trace_id,
				16);
	}
}

static void test_as_qsort(void **state)
{
	static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1000, MANY};
	struct random random = {random_seed()};

	(void)state;
	for (uint32_t alike = 0; alike <= 16; alike += 2) {
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
			make_ids(&random, counts[i], alike);
			memcpy(expected, ids, counts[i] * sizeof(*ids));
			if (counts[i] > 0)
				qsort(expected, counts[i], sizeof(*expected), ids_compare);
			ids_sort(ids, counts[i]);
			assert_memory_equal(ids, expected, counts[i] * sizeof(*ids));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_qsort)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
