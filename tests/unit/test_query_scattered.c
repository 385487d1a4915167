/* Which blocks of a file may have runs of scattered traces, where its table of ids ends early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "index_format.h"
#include "run_list.h"
#include "scattered.h"

enum { RUNS_MOST = 3 * INDEX_BLOCK_RUNS + 2 };

/* Of a plain file whose table has the first so many of its runs. */
static void check_blocks(uint64_t ids_runs, uint64_t runs)
{
	const struct run_list list = {.ids_file = -1, .ids_runs = ids_runs, .indexed = runs};
	struct scattered none = {0};
	uint8_t *blocks;

	assert_int_equal(scattered_blocks(&none, &list, &blocks), 0);
	assert_non_null(blocks);
	for (size_t block = 0; block * INDEX_BLOCK_RUNS < runs; block++) {
		uint64_t end = (block + 1) * INDEX_BLOCK_RUNS;

		/* It has a run that the table doesn't know. */
		assert_int_equal(
			scattered_in_block(blocks, block), (end < runs ? end : runs) > ids_runs);
	}
	free(blocks);
	scattered_done(&none);
}

static void behind_ids(void **state)
{
	(void)state;
	for (uint64_t runs = 1; runs <= RUNS_MOST; runs += 1 + runs / 100)
		for (uint64_t ids_runs = 0; ids_runs <= runs; ids_runs++)
			check_blocks(ids_runs, runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behind_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
