/*
 * Writes a random batch, or reads one, for proto_decode.sh.
 *
 *     write_batch SEED        the batch to stdout
 *     write_batch --read      a batch from stdin; prints its spans as
 *                             "id parent start duration crc32c(name)", one a line
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "support/random_batch.h"

static uint8_t bytes[WIRE_BATCH_LIMIT];
static struct model model;

static int write_batch(uint64_t seed)
{
	long length = model_write(&model, seed, bytes, sizeof(bytes));

	if (length < 0 || fwrite(bytes, 1, (size_t)length, stdout) != (size_t)length)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}

static int read_batch(void)
{
	size_t length = fread(bytes, 1, sizeof(bytes), stdin);
	struct batch batch = {0};
	struct batch_iter iter;
	struct span_view view;
	int ret = batch_open(&batch, bytes, length);

	batch_iter_init(&iter);
	while (ret == 0 && (ret = batch_next(&batch, &iter, &view)) > 0) {
		struct slice name = batch_slice(&batch, view.shape->name);

		printf("%016" PRIx64 " %016" PRIx64 " %" PRIu64 " %" PRIu64 " %08" PRIx32 "\n",
			view.span_id, view.parent_id, view.start_ns, view.duration_ns,
			crc32c(0, name.data, name.length));
		ret = 0;
	}
	batch_done(&batch);
	if (ret != 0)
		fprintf(stderr, "write_batch: %s\n", error_text(ret));
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	return strcmp(argv[1], "--read") == 0 ? read_batch()
					      : write_batch(strtoull(argv[1], NULL, 0));
}
