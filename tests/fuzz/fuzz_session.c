/*
 * Fuzzes libwaft's side of a connection: any bytes of a collector, in pieces of
 * any size, over several connections, while batches are sent. Whatever comes, the
 * count stays exact, what is answered was sent, and nothing grows.
 *
 * Input: commands, a byte each and what it needs:
 *   0  bytes as they are (length byte, bytes)
 *   1  a frame: type, length byte, payload; its checksum is made here
 *   2  a batch of so many spans (byte) is sent    3  a drop record
 *   4  the connection ends, and another begins    5  the goodbye
 *   6  an honest answer: all is durable           7  frames from here on in pieces
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "frame.h"
#include "packer.h"
#include "process.h"
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct session session;
	struct ledger ledger;
	struct session_client client;
	uint64_t spans;	  /* in all batches */
	uint64_t highest; /* sequence sent under this uuid */
	size_t piece;
};

static struct world world;

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_session: %s\n", what);
		abort();
	}
}

static void check(void)
{
	uint64_t waiting = 0;

	for (uint32_t i = 0; i < world.ledger.count; i++)
		if (!ledger_entry(&world.ledger, i)->drop)
			waiting += ledger_entry(&world.ledger, i)->spans;
	must(world.ledger.durable + world.ledger.refused + world.ledger.unknown + waiting ==
			world.spans,
		"spans are lost");
	must(world.ledger.answered < world.ledger.next_sequence, "an answer to what was not sent");
	must(world.ledger.next <= world.ledger.count && world.ledger.count <= LEDGER_ENTRIES,
		"entries");
	must(world.session.in_length < sizeof(world.session.in), "in grows");
	must(world.session.out_length <= sizeof(world.session.out), "out grows");
	for (const char *at = world.session.said; *at != '\0'; at++)
		must(*at >= ' ' && *at <= '~', "what it says is not printable");
	must(world.session.retry_after_ms <= SESSION_RETRY_LIMIT_MS, "waits too long");
}

static void connect_again(void)
{
	world.ledger.next = 0;
	session_begin(&world.session, &world.ledger, &world.client);
	must(world.session.out_length > 0, "no hello");
}

/* A fence says what was salvaged; the rest would be cut anew from the threads' chunks,
 * which there are none of here. */
static void fenced(void)
{
	uint64_t settled = world.ledger.durable + world.ledger.refused + world.ledger.unknown;

	must(settled <= world.spans, "spans were made");
	world.spans = settled;
}

/* What came ends the connection, or the uuid's life. */
static void receive(const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		size_t part = length < world.piece ? length : world.piece;
		/* Copied to its exact size, so that ASan sees one byte too far. */
		uint8_t *copy = malloc(part);
		int ret;

		must(copy != NULL, "no memory");
		memcpy(copy, bytes, part);
		ret = session_receive(&world.session, &world.ledger, copy, part);
		free(copy);
		must(ret <= 0, "a positive answer");
		if (ret == -ESTALE && world.ledger.count == 0)
			fenced();
		check();
		bytes += part;
		length -= part;
		if (ret == -ESTALE)
			ledger_forget(&world.ledger, world.spans);
		if (ret < 0) {
			connect_again();
			return;
		}
	}
}

static void frame_receive(uint8_t type, const uint8_t *payload, size_t length)
{
	uint8_t frame[WIRE_FRAME_HEADER_BYTES + 256];

	frame_header_write(frame, (enum frame_type)type, PACKER_STREAM, payload, length);
	memcpy(frame + WIRE_FRAME_HEADER_BYTES, payload, length);
	receive(frame, WIRE_FRAME_HEADER_BYTES + length);
}

static void batch_send(uint64_t spans, bool drop)
{
	struct entry *entry = ledger_new(&world.ledger);

	if (entry == NULL)
		return;
	entry->spans = spans;
	entry->drop = drop;
	if (!drop)
		world.spans += spans;
	ledger_commit(&world.ledger);
	world.ledger.next = world.ledger.count;
	session_sent(&world.session, WIRE_FRAME_HEADER_BYTES + 1000);
}

static void answer(void)
{
	uint8_t bytes[256];
	struct writer writer = writer_of(bytes, sizeof(bytes));
	struct export_response response = {.durable_sequence = world.ledger.next_sequence - 1,
		.credit_bytes = 1 << 20,
		.has_welcome = world.session.state == SESSION_HELLO};

	export_response_encode(&writer, &response);
	frame_receive(FRAME_MESSAGE, bytes, writer_length(&writer));
	must(world.ledger.count == 0, "an honest answer is not taken");
}

/* However much else waits to be sent. */
static void leave(void)
{
	size_t before = world.session.out_length;

	session_leave(&world.session, UINT64_MAX, UINT64_MAX, UINT64_MAX);
	must(world.session.out_length > before, "no goodbye");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t id[16] = {1};
	size_t at = 0;

	memset(&world, 0, sizeof(world));
	memset(process.dropped, 0, sizeof(process.dropped));
	world.client = (struct session_client){.id = id, .service = "fuzz", .token = "t"};
	world.piece = SIZE_MAX;
	ledger_init(&world.ledger);
	connect_again();
	while (at + 2 < size) {
		uint8_t command = data[at++] % 8;
		uint8_t value = data[at++];
		size_t length = command == 1 ? data[at] : value;
		uint8_t type = value;

		if (command == 1)
			at++;
		if (command < 2 && length > size - at)
			length = size - at;
		if (command == 0)
			receive(data + at, length);
		else if (command == 1)
			frame_receive(type, data + at, length);
		else if (command == 2 || command == 3)
			batch_send(value, command == 3);
		else if (command == 4)
			connect_again();
		else if (command == 5 && session_may_send(&world.session))
			leave();
		else if (command == 6 && world.session.in_length == 0)
			answer();
		else if (command == 7)
			world.piece = value > 0 ? value : SIZE_MAX;
		at += command < 2 ? length : 0;
		check();
	}
	return 0;
}
