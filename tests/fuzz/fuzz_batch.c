/*
 * Fuzzes the span decoder: any bytes as a batch, read in every way there is,
 * which must agree (tests/support/random_batch.c). A corpus of its own comes
 * from the random batches of the unit tests.
 */
#include <stddef.h>
#include <stdint.h>

#include "support/random_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)batch_consume(data, size);
	return 0;
}
