/*
 * Reading of a manifest of any bytes, and writing of one in any order, while memory and
 * disk fail. The first byte: bit 0 says what the input is, bits 1-7 how many commands of
 * three bytes for the writer come before it. With bit 0 clear it is the file as it is;
 * else a list of records, each a type, a length of two bytes and a body, that get their
 * headers and checksums here. What was read and written again must be read the same, and
 * what a writer says must be what a reader finds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "manifest_format.h"
#include "refuse.h"
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

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_manifest: %s\n", what);
		abort();
	}
}

/* What the writer is driven with. */
struct writing {
	struct disk *disk;
	int dir;
	struct clients *clients;
	struct manifest *manifest;
};

/* -ENOMEM, -EINVAL of what makes no sense, and codes of errors.h: all may be. */
static void allow(int ret)
{
	if (ret > 0)
		abort();
}

/* A store never changes a part that it doesn't have any more, or doesn't know. */
static bool is_there(const struct writing *writing, uint8_t part)
{
	const struct manifest_part *known =
		manifest_part_by_id(manifest_state(writing->manifest), part);

	return known != NULL && known->state != PART_REMOVED;
}

static void write_commit(struct writing *writing, uint8_t part, uint8_t value)
{
	const struct manifest_part *known =
		manifest_part_by_id(manifest_state(writing->manifest), part);
	struct manifest_run runs[2] = {{.length_bytes = value, .spans = 1}, {.spans = value}};
	struct consumed ordinals = {0};
	struct ordinal ordinal = {
		.segment = manifest_state(writing->manifest)->first_segment + value % 4,
		.offset = value * 8u};
	struct manifest_commit commit = {.part = part,
		.offset = known != NULL ? known->length_bytes : value,
		.length_bytes = part != 0 ? value : 0,
		.runs = part != 0 ? runs : runs + 1,
		.run_count = part != 0 ? 2 : 1,
		.ordinals = &ordinals};

	if ((part == 0 || is_there(writing, part)) && consumed_add(&ordinals, &ordinal) >= 0)
		allow(manifest_commit(writing->manifest, &commit));
	consumed_done(&ordinals);
}

static void write_segment(struct writing *writing, uint8_t first, bool all)
{
	struct manifest_image image;

	if (clients_image(writing->clients, all, &image) != 0)
		return;
	allow(manifest_segment(writing->manifest, first, &image));
	manifest_image_done(&image);
	if (manifest_sync(writing->manifest) == 0)
		clients_image_durable(writing->clients);
}

/* A message of one of four clients becomes durable. */
static void write_client(struct writing *writing, uint8_t who, uint8_t kind)
{
	static const uint8_t drop[] = {0x0a, 1, 'x', 0x10, 2};
	struct log_record record = {.kind = (enum log_kind)(1 + kind % 6),
		.format = LOG_FORMAT_WAFT_V1,
		.spans = kind,
		.sequence = kind / 6u,
		.share = who >> 2,
		.payload = drop,
		.payload_length = sizeof(drop)};
	uint64_t sequence;

	memset(record.client, who & 3, sizeof(record.client));
	if ((kind & 0x80) != 0)
		(void)(clients_hello(writing->clients, record.client, slice_of_text("fuzz"), 1,
			       kind & 3, 1, &sequence) == 0);
	else if (record.share <= LOG_SHARE_MAX)
		(void)(clients_durable(writing->clients,
			       (struct log_place){.segment = 1, .offset = 64u + who * 8u},
			       &record) == 0);
}

static void write_words(struct writing *writing, uint8_t value)
{
	char word[] = "word";
	struct manifest_quarantine entry = {
		.name = word, .source = word, .why = word, .offset = value};
	struct manifest_forward forward = {.known = true,
		.split = (value & 1) != 0,
		.place = {.segment = value, .offset = 64},
		.spans = value};
	struct consumed none = {0};

	if (value < 128)
		allow(manifest_quarantine(writing->manifest, &entry));
	else
		allow(manifest_forward(writing->manifest, &forward, &none));
}

static void load_beside(struct writing *writing)
{
	struct manifest_state state;
	struct clients *clients;
	int ret;

	if (clients_new(4, &clients) != 0)
		return;
	ret = manifest_load(writing->disk, writing->dir, clients_on_manifest, clients, &state);
	if (ret == 0) {
		(void)(clients_on_counters(clients, &state) == 0);
		(void)(manifest_unchanged(writing->disk, writing->dir, &state) == 0);
		manifest_state_done(&state);
	}
	clients_free(clients);
}

static void command(struct writing *writing, const uint8_t bytes[3])
{
	struct manifest *manifest = writing->manifest;
	struct part_name name = {.day = 20000 + bytes[1] % 4, .number = 1 + bytes[2] % 3};
	uint32_t id;

	switch (bytes[0] % 14) {
	case 0:
		allow(manifest_part(manifest, &name, bytes[1], bytes[2], &id));
		break;
	case 1:
		write_commit(writing, bytes[1], bytes[2]);
		break;
	case 2:
		if (is_there(writing, bytes[1]))
			allow(manifest_part_state(
				manifest, bytes[1], (enum part_state)(bytes[2] % 4), bytes[2]));
		break;
	case 3:
		if (is_there(writing, bytes[1]))
			allow(manifest_sealed(manifest, bytes[1], bytes[2], 1, 2));
		break;
	case 4:
		allow(manifest_removed(manifest, bytes[1]));
		if (bytes[2] != 0)
			manifest_part_gone(manifest, bytes[1]);
		break;
	case 5:
		write_segment(writing, bytes[1], bytes[2] != 0);
		break;
	case 6:
		write_words(writing, bytes[1]);
		break;
	case 7:
	case 8:
		write_client(writing, bytes[1], bytes[2]);
		break;
	case 9:
		allow(manifest_sync(manifest));
		break;
	case 10:
		allow(manifest_checkpoint(manifest));
		break;
	case 11:
		load_beside(writing);
		break;
	case 12:
		refuse_allocation(bytes[1]);
		break;
	default:
		refuse_call(bytes[1]);
		break;
	}
}

/* A writer goes on from the state as the commands say; then all that it says is there. */
static void write_again(struct manifest_state *state, struct clients *clients,
	const uint8_t *commands, size_t count)
{
	struct fake_disk *fake = fake_disk_new();
	struct writing writing = {.disk = fake_disk_disk(fake), .clients = clients};
	const struct manifest_state *said;
	struct manifest_state again;
	int ret = 0;

	writing.dir = disk_open_root(writing.disk, "store", true);
	refuse_on(writing.disk);
	if (state->generation >= UINT64_MAX - 1000)
		state->generation = 1;
	if (count > 0)
		refuse_allocation(commands[0] % 64 == 63 ? commands[1] : 0);
	ret = manifest_start(
		writing.disk, writing.dir, state, clients_image_all, clients, &writing.manifest);
	if (ret != 0 && !refuse_happened())
		abort();
	for (size_t i = 0; ret == 0 && i < count; i++)
		command(&writing, commands + i * 3);
	refuse_allocation(0);
	refuse_call(0);
	if (ret == 0) {
		must(manifest_sync(writing.manifest) == 0, "sync");
		must(manifest_load(
			     writing.disk, writing.dir, clients_on_manifest, clients, &again) == 0,
			"load");
		said = manifest_state(writing.manifest);
		must(!again.damaged, "damaged");
		must(again.spans_written == said->spans_written, "spans written");
		must(again.spans_expired == said->spans_expired, "spans expired");
		must(consumed_total(&again.consumed) == consumed_total(&said->consumed),
			"consumed");
		must(manifest_unchanged(writing.disk, writing.dir, &again) == 1, "unchanged");
		manifest_state_done(&again);
		manifest_free(writing.manifest);
	}
	disk_close(writing.disk, writing.dir);
	fake_disk_free(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_state state;
	struct clients *clients;
	struct bytes file = {0};
	uint8_t how = size > 0 ? data[0] : 0;
	const uint8_t *commands = data + 1;
	size_t count = how >> 1;
	int ret;

	refuse_allocation(0);
	size -= size > 0;
	if (count > size / 3)
		count = size / 3;
	data = commands + count * 3;
	size -= count * 3;
	if (clients_new(100, &clients) != 0)
		abort();
	if ((how & 1) != 0)
		build(data, size, &file);
	else if (size > 0 && bytes_put(&file, data, size) != 0)
		abort();
	refuse_allocation(count > 0 && commands[0] % 64 == 62 ? commands[1] : 0);
	ret = manifest_parse(file.data, file.length, clients_on_manifest, clients, &state);
	if (ret == 0 && clients_on_counters(clients, &state) != 0)
		abort();
	refuse_allocation(0);
	if (ret == 0 && state.generation != 0)
		write_again(&state, clients, commands, count);
	if (ret == 0)
		manifest_state_done(&state);
	bytes_done(&file);
	clients_free(clients);
	return 0;
}
