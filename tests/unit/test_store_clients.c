/*
 * The ledger of the clients: emitted = durable + dropped + unknown + in flight, with
 * refused batches, after goodbyes, for clients that never said one, after a restart, and
 * through agents.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clients.h"
#include "cursor.h"
#include "wire.h"

static const uint8_t ann[16] = {1}, bob[16] = {2};

struct ledger {
	struct clients *clients;
	struct log_place place;
	uint64_t now_ns;
};

static struct ledger ledger_new(size_t max)
{
	struct ledger ledger = {.place = {1, 128}, .now_ns = 1000};

	assert_int_equal(clients_new(max, &ledger.clients), 0);
	return ledger;
}

static void add(struct ledger *ledger, struct log_record record, const uint8_t id[16])
{
	memcpy(record.client, id, 16);
	record.format = LOG_FORMAT_WAFT_V1;
	record.receive_ns = ledger->now_ns;
	ledger->place.offset += 64;
	assert_int_equal(clients_durable(ledger->clients, ledger->place, &record), 1);
}

static void batch(struct ledger *ledger, const uint8_t id[16], uint64_t sequence, uint32_t spans,
	uint64_t emitted)
{
	add(ledger,
		(struct log_record){.kind = LOG_BATCH,
			.sequence = sequence,
			.spans = spans,
			.emitted = emitted},
		id);
}

static void refusal(
	struct ledger *ledger, const uint8_t id[16], uint64_t sequence, uint64_t emitted)
{
	uint8_t bytes[32];
	struct writer writer = writer_of(bytes, sizeof(bytes));

	writer_field_varint(&writer, TAG_REFUSAL_SEQUENCE, sequence);
	writer_field_varint(&writer, TAG_REFUSAL_CODE, 3);
	add(ledger,
		(struct log_record){.kind = LOG_REFUSAL,
			.sequence = sequence,
			.emitted = emitted,
			.payload = bytes,
			.payload_length = writer_length(&writer)},
		id);
}

static void goodbye(struct ledger *ledger, const uint8_t id[16], uint64_t emitted, uint64_t unknown)
{
	uint8_t bytes[32];
	struct writer writer = writer_of(bytes, sizeof(bytes));

	writer_field_varint(&writer, TAG_GOODBYE_EMITTED, emitted);
	writer_field_varint(&writer, TAG_GOODBYE_UNKNOWN, unknown);
	add(ledger,
		(struct log_record){.kind = LOG_GOODBYE,
			.emitted = emitted,
			.payload = bytes,
			.payload_length = writer_length(&writer)},
		id);
}

static uint64_t refused_of(struct clients *clients, const struct client_counts *counts)
{
	for (size_t i = 0; i < CLIENTS_REASONS_MAX; i++) {
		const char *reason = clients_reason(clients, i);

		if (reason != NULL && strcmp(reason, "refused") == 0)
			return counts->dropped_by[i];
	}
	return 0;
}

static void check(struct clients *clients, uint64_t emitted, uint64_t durable, uint64_t refused,
	uint64_t unknown)
{
	struct client_counts total;

	clients_total(clients, &total);
	assert_int_equal(total.emitted, emitted);
	assert_int_equal(total.durable, durable);
	assert_int_equal(refused_of(clients, &total), refused);
	assert_int_equal(total.dropped, refused);
	assert_int_equal(total.unknown, unknown);
}

/* ---- Restart ----------------------------------------------------------------- */

static void read_counters(struct clients *clients, const struct manifest_image *image)
{
	struct manifest_counter counters[64];
	char names[64][96];
	struct manifest_state state = {.counters = counters, .accounted = image->accounted};
	struct cursor in = cursor_of_slice(slice_of(image->counters.data, image->counters.length));

	while (cursor_more(&in)) {
		struct slice name = cursor_bytes(&in);
		size_t at = state.counter_count++;

		assert_true(at < 64 && name.length < sizeof(names[0]));
		memcpy(names[at], name.data, name.length);
		names[at][name.length] = 0;
		counters[at] = (struct manifest_counter){names[at], cursor_varint(&in)};
	}
	assert_int_equal(in.error, 0);
	assert_int_equal(clients_on_counters(clients, &state), 0);
}

/* What the next daemon knows from the manifest. */
static void restart(struct ledger *ledger)
{
	struct manifest_image image;
	struct clients *fresh;

	assert_int_equal(clients_image(ledger->clients, true, &image), 0);
	assert_int_equal(clients_new(0, &fresh), 0);
	for (size_t at = 0; at < image.clients.length;) {
		const uint8_t *data = image.clients.data + at;
		size_t length = data[0] | (size_t)data[1] << 8;

		assert_int_equal(clients_on_manifest(fresh, data + 4, length), 0);
		at += 4 + length;
	}
	read_counters(fresh, &image);
	manifest_image_done(&image);
	clients_free(ledger->clients);
	ledger->clients = fresh;
}

/* ---- Tests ------------------------------------------------------------------- */

static void test_refused_is_counted(void **state)
{
	struct ledger ledger = ledger_new(0);

	(void)state;
	batch(&ledger, ann, 1, 5, 5);
	refusal(&ledger, ann, 2, 12);
	check(ledger.clients, 12, 5, 7, 0);
	restart(&ledger);
	check(ledger.clients, 12, 5, 7, 0);
	goodbye(&ledger, ann, 12, 0);
	check(ledger.clients, 12, 5, 7, 0);
	restart(&ledger);
	check(ledger.clients, 12, 5, 7, 0);
	clients_free(ledger.clients);
}

/* A client with a full buffer says at once all that it will send. */
static void test_refused_gives_way(void **state)
{
	struct ledger ledger = ledger_new(0);

	(void)state;
	refusal(&ledger, ann, 1, 100);
	check(ledger.clients, 100, 0, 100, 0);
	batch(&ledger, ann, 2, 30, 100);
	check(ledger.clients, 100, 30, 70, 0);
	add(&ledger,
		(struct log_record){.kind = LOG_DROP, .sequence = 3, .spans = 50, .emitted = 100},
		ann);
	batch(&ledger, ann, 4, 15, 100);
	goodbye(&ledger, ann, 100, 0);
	{
		struct client_counts total;

		clients_total(ledger.clients, &total);
		assert_int_equal(total.durable, 45);
		assert_int_equal(total.dropped, 55);
		assert_int_equal(refused_of(ledger.clients, &total), 5);
		assert_int_equal(total.unknown, 0);
	}
	clients_free(ledger.clients);
}

/* The spans of the refused batch were said with the batch before. */
static void test_goodbye_settles_refused(void **state)
{
	struct ledger ledger = ledger_new(0);

	(void)state;
	batch(&ledger, ann, 1, 6, 10);
	refusal(&ledger, ann, 2, 10);
	check(ledger.clients, 10, 6, 0, 0);
	restart(&ledger);
	goodbye(&ledger, ann, 10, 1);
	check(ledger.clients, 10, 6, 3, 1);
	clients_free(ledger.clients);
}

static void test_goodbye_leaves_nothing(void **state)
{
	struct ledger ledger = ledger_new(0);

	(void)state;
	batch(&ledger, ann, 1, 6, 10);
	goodbye(&ledger, ann, 10, 1);
	check(ledger.clients, 10, 6, 0, 4);
	/* What it took for unanswered was durable. */
	batch(&ledger, bob, 1, 10, 10);
	goodbye(&ledger, bob, 10, 10);
	check(ledger.clients, 20, 16, 0, 4);
	clients_free(ledger.clients);
}

static bool is_ann(void *ctx, const uint8_t client[16])
{
	(void)ctx;
	return memcmp(client, ann, 16) == 0;
}

static void test_expiry(void **state)
{
	struct ledger ledger = ledger_new(0);
	struct client_info info;

	(void)state;
	batch(&ledger, ann, 1, 4, 9);
	batch(&ledger, bob, 1, 4, 9);
	assert_int_equal(clients_expire(ledger.clients, 1499, 500, NULL, NULL), 0);
	check(ledger.clients, 18, 8, 0, 0);
	assert_int_equal(clients_expire(ledger.clients, 1500, 500, is_ann, NULL), 1);
	check(ledger.clients, 18, 8, 0, 5);
	assert_int_equal(clients_get(ledger.clients, ann, &info), 0);
	assert_int_equal(info.counts.unknown, 0);
	restart(&ledger);
	check(ledger.clients, 18, 8, 0, 5);
	assert_int_equal(clients_expire(ledger.clients, 1500, 500, NULL, NULL), 1);
	check(ledger.clients, 18, 8, 0, 10);
	clients_free(ledger.clients);
}

static void test_eviction(void **state)
{
	struct ledger ledger = ledger_new(1);

	(void)state;
	batch(&ledger, ann, 1, 4, 9);
	refusal(&ledger, ann, 2, 11);
	check(ledger.clients, 11, 4, 2, 0);
	batch(&ledger, bob, 1, 1, 1);
	check(ledger.clients, 12, 5, 2, 5);
	clients_free(ledger.clients);
}

/* One that is connected says what it emitted from its beginning on: forgotten meanwhile,
 * it would be counted twice. */
static void test_eviction_of_connected(void **state)
{
	struct ledger ledger = ledger_new(2);
	static const uint8_t carl[16] = {3};
	uint64_t sequence;

	(void)state;
	batch(&ledger, ann, 1, 4, 4);
	clients_connected(ledger.clients, ann, true);
	batch(&ledger, bob, 1, 1, 1);
	/* Heard of later than the one that is connected. */
	assert_int_equal(clients_hello(ledger.clients, bob, slice_of_text("bob"), 1, 0,
				 UINT64_C(1) << 62, &sequence),
		1);
	batch(&ledger, carl, 1, 1, 1);
	batch(&ledger, ann, 2, 4, 8);
	check(ledger.clients, 10, 10, 0, 0);
	/* All are: there must be room for another all the same. */
	clients_connected(ledger.clients, carl, true);
	batch(&ledger, bob, 2, 1, 1);
	clients_connected(ledger.clients, ann, false);
	assert_int_equal(clients_list(ledger.clients, NULL, 0), 2);
	clients_free(ledger.clients);
}

/* Not every sender says what it emitted: its drops are shown all the same. */
static void test_without_emitted(void **state)
{
	struct ledger ledger = ledger_new(0);

	(void)state;
	batch(&ledger, ann, 1, 4, 0);
	refusal(&ledger, ann, 2, 0);
	goodbye(&ledger, ann, 0, 0);
	check(ledger.clients, 0, 4, 0, 0);
	clients_free(ledger.clients);
}

/* Fenced after a restart too, until the client is forgotten. */
static void test_fence(void **state)
{
	static const uint8_t message[] = {TAG_FENCE_SEQUENCE, 1};
	struct ledger ledger = ledger_new(0);
	struct log_record record = {.kind = LOG_FENCE,
		.sequence = 1,
		.emitted = 9,
		.payload = message,
		.payload_length = sizeof(message)};

	(void)state;
	batch(&ledger, ann, 1, 4, 4);
	batch(&ledger, bob, 1, 1, 1);
	add(&ledger, record, ann);
	/* It takes no number: those behind it are what was salvaged. */
	batch(&ledger, ann, 2, 5, 9);
	for (int turn = 0; turn < 2; turn++) {
		struct bytes fence = {0};
		struct client_info info;

		assert_int_equal(clients_fence(ledger.clients, ann, &fence), 1);
		assert_int_equal(fence.length, sizeof(message));
		assert_memory_equal(fence.data, message, sizeof(message));
		bytes_done(&fence);
		assert_int_equal(clients_fence(ledger.clients, bob, &fence), 0);
		assert_int_equal(clients_get(ledger.clients, ann, &info), 0);
		assert_int_equal(info.sequence, 2);
		check(ledger.clients, 10, 10, 0, 0);
		restart(&ledger);
	}
	clients_free(ledger.clients);
}

/* ---- Through agents -------------------------------------------------------- */

static int forwarded(struct ledger *ledger, uint8_t share, uint64_t sequence)
{
	return clients_forwarded(
		ledger->clients, ann, share, sequence, slice_of_text("shop"), 42, ledger->now_ns);
}

static void part(struct ledger *ledger, uint8_t share, uint64_t sequence, uint32_t spans)
{
	assert_int_equal(forwarded(ledger, share, sequence), 0);
	add(ledger,
		(struct log_record){
			.kind = LOG_BATCH, .share = share, .sequence = sequence, .spans = spans},
		ann);
	assert_int_equal(forwarded(ledger, share, sequence), 1);
}

/* A number is taken once in each share, gaps or not, over restarts; a partition's counts
 * are what came. */
static void test_shares(void **state)
{
	struct ledger ledger = ledger_new(0);
	struct log_record again = {.kind = LOG_BATCH, .share = LOG_SHARE_PARTITION, .sequence = 3};
	struct client_info info;

	(void)state;
	part(&ledger, LOG_SHARE_PARTITION, 3, 10);
	part(&ledger, LOG_SHARE_PARTITION + 1, 3, 5);
	part(&ledger, LOG_SHARE_MAX, 7, 1);
	restart(&ledger);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION, 2), 1);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION, 3), 1);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION, 4), 0);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_MAX, 7), 1);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION + 2, 1), 0);
	memcpy(again.client, ann, sizeof(again.client));
	ledger.place.offset += 64;
	assert_int_equal(clients_durable(ledger.clients, ledger.place, &again), -EEXIST);
	assert_int_equal(clients_get(ledger.clients, ann, &info), 0);
	assert_int_equal(info.counts.emitted, 16);
	assert_int_equal(info.counts.durable, 16);
	assert_string_equal(info.service, "shop");
	/* What came whole is not taken in parts. */
	part(&ledger, LOG_SHARE_WHOLE, 9, 4);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION, 9), 1);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_PARTITION, 10), 0);
	clients_free(ledger.clients);
}

/* A goodbye through an agent keeps the watermarks until nothing can come again. */
static void test_forwarded_goodbye(void **state)
{
	struct ledger ledger = ledger_new(0);
	struct log_record record = {
		.kind = LOG_GOODBYE, .format = LOG_FORMAT_WAFT_V1, .share = LOG_SHARE_WHOLE};
	struct client_info info;
	struct client_counts total;

	(void)state;
	part(&ledger, LOG_SHARE_WHOLE, 1, 10);
	/* Not before it said goodbye. */
	clients_forget(ledger.clients, ann);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_WHOLE, 1), 1);
	record.emitted = 12;
	add(&ledger, record, ann);
	restart(&ledger);
	assert_int_equal(forwarded(&ledger, LOG_SHARE_WHOLE, 1), 1);
	assert_int_equal(clients_get(ledger.clients, ann, &info), 0);
	assert_int_equal(info.counts.unknown, 2);
	clients_forget(ledger.clients, ann);
	assert_int_equal(clients_get(ledger.clients, ann, &info), -ENOENT);
	clients_total(ledger.clients, &total);
	assert_int_equal(total.emitted, 12);
	assert_int_equal(total.durable + total.unknown, 12);
	clients_free(ledger.clients);
}

static void make_record(
	struct log_record *record, enum log_kind kind, uint8_t client, uint64_t sequence)
{
	*record = (struct log_record){.kind = kind,
		.format = LOG_FORMAT_WAFT_V1,
		.spans = 10,
		.receive_ns = sequence,
		.client = {client},
		.sequence = sequence};
}

static int see_refusal(void *ctx, const struct client_refusal *refusal)
{
	uint64_t *last = ctx;

	assert_string_equal(refusal->message, "bad batch");
	*last = refusal->sequence;
	return 0;
}

static void test_clients(void **state)
{
	static const uint8_t id[16] = {1};
	uint8_t body[64];
	struct writer writer = writer_of(body, sizeof(body));
	struct client_counts total;
	struct client_info info;
	struct log_record record;
	struct clients *clients;
	uint64_t sequence = 77;
	uint64_t refused = 0;

	(void)state;
	assert_int_equal(clients_new(0, &clients), 0);
	assert_int_equal(clients_hello(clients, id, slice_of_text("shop"), 5, 0, 1, &sequence), 0);
	assert_int_equal(sequence, 0);
	make_record(&record, LOG_BATCH, 1, 1);
	assert_int_equal(clients_durable(clients, (struct log_place){1, 128}, &record), 1);
	assert_int_equal(clients_durable(clients, (struct log_place){1, 256}, &record), -EEXIST);
	make_record(&record, LOG_REFUSAL, 1, 2);
	writer_field_varint(&writer, TAG_REFUSAL_CODE, 3);
	writer_field_bytes(&writer, TAG_REFUSAL_MESSAGE, slice_of_text("bad batch"));
	record.payload = body;
	record.payload_length = writer_length(&writer);
	assert_int_equal(clients_durable(clients, (struct log_place){1, 512}, &record), 1);
	assert_int_equal(clients_refusals(clients, id, 1, see_refusal, &refused), 0);
	assert_int_equal(refused, 2);
	assert_int_equal(clients_hello(clients, id, slice_of_text("shop"), 5, 2, 9, &sequence), 1);
	assert_int_equal(sequence, 2);
	refused = 0;
	assert_int_equal(clients_refusals(clients, id, 0, see_refusal, &refused), 0);
	assert_int_equal(refused, 0);
	assert_int_equal(clients_get(clients, id, &info), 0);
	assert_string_equal(info.service, "shop");
	assert_int_equal(info.counts.durable, 10);
	make_record(&record, LOG_GOODBYE, 1, 2);
	assert_int_equal(clients_durable(clients, (struct log_place){1, 1024}, &record), 1);
	assert_int_equal(clients_get(clients, id, &info), -ENOENT);
	clients_total(clients, &total);
	assert_int_equal(total.durable, 10);
	clients_free(clients);
}

static void test_clients_bounded(void **state)
{
	struct client_info info[64];
	struct clients *clients;
	struct client_counts total;
	struct log_record record;

	(void)state;
	assert_int_equal(clients_new(50, &clients), 0);
	for (unsigned i = 0; i < 1000; i++) {
		make_record(&record, LOG_BATCH, 0, 1);
		record.client[1] = (uint8_t)i;
		record.client[2] = (uint8_t)(i >> 8);
		record.receive_ns = i;
		assert_int_equal(
			clients_durable(clients, (struct log_place){1, 128 + i * 8}, &record), 1);
	}
	assert_int_equal(clients_list(clients, info, 64), 50);
	clients_total(clients, &total);
	assert_int_equal(total.durable, 10000);
	assert_int_equal(clients_expire(clients, 2000, 2000, NULL, NULL), 0);
	assert_int_equal(clients_expire(clients, 4000, 2000, NULL, NULL), 50);
	clients_total(clients, &total);
	assert_int_equal(total.durable, 10000);
	clients_free(clients);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_is_counted),
		cmocka_unit_test(test_refused_gives_way),
		cmocka_unit_test(test_goodbye_settles_refused),
		cmocka_unit_test(test_goodbye_leaves_nothing),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_eviction_of_connected),
		cmocka_unit_test(test_without_emitted),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_forwarded_goodbye),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_clients_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
