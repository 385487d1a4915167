/*
 * The client's ledger over reconnections: which answers it takes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ledger.h"

/* Entries 1 … count, all sent. */
static void fill(struct ledger *ledger, uint32_t count)
{
	ledger_init(ledger);
	for (uint32_t i = 0; i < count; i++) {
		struct entry *entry = ledger_new(ledger);

		assert_non_null(entry);
		entry->spans = 10;
		ledger_commit(ledger);
		ledger->next++;
	}
}

static void test_answers(void **state)
{
	static struct ledger ledger;

	(void)state;
	fill(&ledger, 4);
	ledger_refuse(&ledger, 2);
	assert_int_equal(ledger_answer(&ledger, 3), 0);
	assert_int_equal(ledger.durable, 20);
	assert_int_equal(ledger.refused, 10);
	assert_int_equal(ledger.count, 1);
	assert_int_equal(ledger.next, 1);
	assert_int_equal(ledger_answer(&ledger, 5), -EPROTO);
	assert_int_equal(ledger_answer(&ledger, 4), 0);
	assert_int_equal(ledger.count, 0);
}

/* What an earlier connection brought becomes durable when the new one has begun
 * and before it was sent again. */
static void test_answer_overtakes_resending(void **state)
{
	static struct ledger ledger;

	(void)state;
	fill(&ledger, 5);
	assert_int_equal(ledger_resume(&ledger, 1), 0);
	assert_int_equal(ledger.next, 0);
	ledger.next = 1; /* number 2 was sent again */
	assert_int_equal(ledger_answer(&ledger, 4), 0);
	assert_int_equal(ledger.durable, 40);
	assert_int_equal(ledger.count, 1);
	assert_int_equal(ledger.next, 0);
	assert_int_equal(ledger_answer(&ledger, 6), -EPROTO);
}

static void test_resume(void **state)
{
	static struct ledger ledger;

	(void)state;
	fill(&ledger, 3);
	assert_int_equal(ledger_answer(&ledger, 2), 0);
	assert_int_equal(ledger_resume(&ledger, 1), -ESTALE);
	assert_int_equal(ledger_resume(&ledger, 4), -EPROTO);
	assert_int_equal(ledger_resume(&ledger, 2), 0);
	assert_int_equal(ledger.next, 0);
	assert_int_equal(ledger.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answer_overtakes_resending),
		cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
