/*
 * Reading of a manifest of any bytes. An input that begins with an even byte is the
 * file as it is. One that begins with an odd byte is a list of records, each a type, a
 * length of two bytes and a body, that get their headers and checksums here. What was
 * read and written again must be read the same.
 */
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "manifest_format.h"
#include "support/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(const uint8_t *data, size_t size, struct bytes *out)
{
	struct manifest_header header = {.generation = 3};
	struct bytes body = {0};
	size_t at = 0;

	if (manifest_header_body(&body, &header) != 0 ||
		manifest_record_put(out, 3, MANIFEST_HEADER, 0, body.data, body.length) != 0)
		abort();
	while (at + 3 <= size) {
		size_t length = data[at + 1] | (size_t)data[at + 2] << 8;
		enum manifest_type type = (enum manifest_type)(data[at] % 13);

		at += 3;
		if (length > size - at)
			length = size - at;
		if (manifest_record_put(out, 3, type, (uint32_t)out->length, data + at, length) !=
			0)
			abort();
		at += length;
	}
	bytes_done(&body);
}

static void write_again(struct manifest_state *state, struct clients *clients)
{
	struct fake_disk *fake = fake_disk_new();
	struct disk *disk = fake_disk_disk(fake);
	struct manifest_state again;
	struct manifest *manifest;
	uint64_t written = state->spans_written;
	uint64_t expired = state->spans_expired;
	uint64_t consumed = consumed_total(&state->consumed);
	int dir = disk_open_root(disk, "store", true);

	if (state->generation == UINT64_MAX)
		state->generation = 1;
	if (manifest_start(disk, dir, state, clients_image_all, clients, &manifest) != 0)
		abort();
	if (manifest_load(disk, dir, clients_on_manifest, clients, &again) != 0)
		abort();
	if (again.damaged || again.spans_written != written || again.spans_expired != expired ||
		consumed_total(&again.consumed) != consumed)
		abort();
	if (manifest_unchanged(disk, dir, &again) != 1)
		abort();
	manifest_state_done(&again);
	manifest_free(manifest);
	disk_close(disk, dir);
	fake_disk_free(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_state state;
	struct clients *clients;
	struct bytes file = {0};
	int ret;

	if (clients_new(100, &clients) != 0)
		abort();
	if (size > 0 && (data[0] & 1) != 0)
		build(data + 1, size - 1, &file);
	else if (bytes_put(&file, data, size) != 0)
		abort();
	ret = manifest_parse(file.data, file.length, clients_on_manifest, clients, &state);
	if (ret == 0 && clients_on_counters(clients, &state) != 0)
		abort();
	if (ret == 0 && state.generation != 0)
		write_again(&state, clients);
	if (ret == 0)
		manifest_state_done(&state);
	bytes_done(&file);
	clients_free(clients);
	return 0;
}
