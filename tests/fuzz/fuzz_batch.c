/*
 * Fuzzes the span decoder: any bytes as a batch, read in every way there is,
 * which must agree (tests/support/random_batch.c), and split by trace, whose parts must
 * decode and hold as many spans. A corpus of its own comes
 * from the random batches of the unit tests.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "batch_split.h"
#include "support/random_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_batch: %s\n", what);
		abort();
	}
}

static void split(const uint8_t *data, size_t size, long spans)
{
	static uint8_t part[WIRE_BATCH_LIMIT];
	static struct batch_split split;
	static struct batch batch;
	uint64_t found = 0;
	int status = batch_split_open(&split, data, size);

	must((status == 0) == (spans >= 0), "split takes what is refused, or the reverse");
	for (unsigned int i = 0; status == 0 && i < WIRE_PARTITIONS; i++) {
		struct writer writer = writer_of(part, size);
		uint64_t in_part = 0;

		if (split.spans[i] == 0)
			continue;
		batch_split_write(&split, i, &writer);
		must(writer.error == 0, "a part is larger than the whole");
		must(batch_open(&batch, part, writer_length(&writer)) == 0 &&
				batch_check(&batch, &in_part) == 0,
			"a part does not decode");
		must(in_part == split.spans[i], "a part has other spans");
		found += in_part;
	}
	must(status != 0 || found == (uint64_t)spans, "spans are lost or doubled");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	long spans = batch_consume(data, size);

	if (size > 0 && size <= WIRE_BATCH_LIMIT)
		split(data, size, spans);
	return 0;
}
