/*
 * A small store whose files were damaged from outside: every bit flipped in turn,
 * every file cut at every length, deleted. Damage is found, at most one batch or run
 * is set aside, and what is whole stays.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manifest_format.h"
#include "support/small_store.h"

static void test_whole(void **state)
{
	struct small small;
	struct found found;
	struct fake_disk *copy;

	(void)state;
	small_make(&small);
	copy = small_changed(&small, "nothing", NULL, 0);
	small_look(copy, &small, &found);
	assert_int_equal(found.lost, 0);
	assert_int_equal(found.doubled, 0);
	assert_false(found.parts_wrong);
	assert_int_equal(found.recovery.log_bytes_damaged + found.recovery.log_bytes_torn, 0);
	assert_int_equal(found.recovery.bytes_cut, 0);
	fake_disk_free(copy);
	small_free(&small);
}

/* Calls check for the store with each bit of the file flipped. */
static void flip_all(const struct small *small, const char *path,
	void (*check)(const struct found *found, size_t at))
{
	size_t length;
	const uint8_t *content = fake_disk_content(small->fake, path, &length);
	uint8_t *data;

	assert_non_null(content);
	data = malloc(length);
	assert_non_null(data);
	memcpy(data, content, length);
	for (size_t bit = 0; bit < length * 8; bit += bit % 8 == 0 ? 3 : 5) {
		struct fake_disk *copy;
		struct found found;

		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		copy = small_changed(small, path, data, length);
		small_look(copy, small, &found);
		check(&found, bit / 8);
		fake_disk_free(copy);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

static void check_log(const struct found *found, size_t at)
{
	if (found->recovery.log_bytes_damaged + found->recovery.log_bytes_torn == 0)
		fail_msg("byte %zu of the log: not found", at);
	if (found->batches > 1 || found->doubled > 0)
		fail_msg("byte %zu of the log: %u batches lost, %u spans twice", at, found->batches,
			found->doubled);
}

static void check_manifest(const struct found *found, size_t at)
{
	if (!found->recovery.manifest_damaged && !found->recovery.manifest_lost)
		fail_msg("byte %zu of the manifest: not found", at);
	if (found->lost > 0)
		fail_msg("byte %zu of the manifest: %u spans lost", at, found->lost);
}

static void check_part(const struct found *found, size_t at)
{
	if (!found->parts_wrong)
		fail_msg("byte %zu of a part: not found", at);
	if (found->lost > 1)
		fail_msg("byte %zu of a part: %u spans lost", at, found->lost);
}

static void test_flips(void **state)
{
	struct small small;

	(void)state;
	small_make(&small);
	flip_all(&small, SMALL_LOG, check_log);
	small_free(&small);
}

static void test_flips_in_manifest(void **state)
{
	struct small small;

	(void)state;
	small_make(&small);
	/* Something synced behind the last records: else the last one could be torn. */
	small_open_again(&small);
	flip_all(&small, SMALL_MANIFEST, check_manifest);
	small_free(&small);
}

static void test_flips_in_parts(void **state)
{
	struct small small;

	(void)state;
	small_make(&small);
	flip_all(&small, SMALL_PART, check_part);
	small_free(&small);
}

/* Whether a recovery says that something of the log is wrong. */
static bool is_told(const struct recovery *recovery)
{
	return recovery->log_cut || recovery->log_bytes_damaged > 0 ||
	       recovery->log_bytes_torn > 0 || recovery->log_segments_lost > 0;
}

static void test_cut_anywhere(void **state)
{
	static const char *const paths[] = {SMALL_LOG, SMALL_MANIFEST, SMALL_PART};
	struct small small;

	(void)state;
	small_make(&small);
	/* Else the manifest can't know of the last records. */
	small_open_again(&small);
	for (size_t i = 0; i < 3; i++) {
		size_t length;
		const uint8_t *content = fake_disk_content(small.fake, paths[i], &length);

		assert_non_null(content);
		for (size_t cut = 0; cut < length; cut++) {
			struct fake_disk *copy = small_changed(&small, paths[i], content, cut);
			struct found found;
			struct seen seen;

			small_read(copy, &small, &seen);
			small_look(copy, &small, &found);
			if (found.recovery.log_cut && !seen.told)
				fail_msg("%s cut at %zu: a reader says nothing", paths[i], cut);
			if (i == 0 && found.lost > 0 && !is_told(&found.recovery))
				fail_msg("log cut at %zu: %u spans lost, and nothing said", cut,
					found.lost);
			if (i == 1 && cut == 0)
				assert_true(found.recovery.manifest_lost);
			if (i == 1 && found.lost > 0)
				fail_msg("manifest cut at %zu: %u spans lost", cut, found.lost);
			if (i != 1 && found.doubled > 0)
				fail_msg("%s cut at %zu: %u spans twice", paths[i], cut,
					found.doubled);
			if (i == 2)
				assert_true(found.recovery.parts_short > 0 ||
					    found.recovery.parts_missing > 0);
			fake_disk_free(copy);
		}
	}
	small_free(&small);
}

/* What the log has forgotten is in files alone: no line may leave them. */
static void test_manifest_cut_over_trimmed_log(void **state)
{
	struct small small;
	const uint8_t *content;
	size_t length;

	(void)state;
	small_make_trimmed(&small);
	content = fake_disk_content(small.fake, SMALL_MANIFEST, &length);
	assert_non_null(content);
	for (size_t cut = 0; cut < length; cut++) {
		struct fake_disk *copy = small_changed(&small, SMALL_MANIFEST, content, cut);
		struct found found;

		small_look(copy, &small, &found);
		if (found.lost > 0)
			fail_msg("manifest cut at %zu: %u spans lost", cut, found.lost);
		fake_disk_free(copy);
	}
	small_free(&small);
}

/* A manifest that ends with some record: readers without a daemon, and those after a recovery, see
 * every span all the same. */
static void end_manifest_anywhere(const struct small *small, const char *what)
{
	size_t length, end = 0, ends = 0;
	const uint8_t *content = fake_disk_content(small->fake, SMALL_MANIFEST, &length);

	assert_non_null(content);
	while (end < length) {
		struct fake_disk *copy;
		struct found found;
		struct seen seen;

		end += manifest_record_length(content + end, length - end);
		copy = small_changed(small, SMALL_MANIFEST, content, end);
		small_read(copy, small, &seen);
		if (seen.lost > 0)
			fail_msg("%s, manifest cut at %zu: a reader misses %u spans", what, end,
				seen.lost);
		small_look(copy, small, &found);
		small_read(copy, small, &seen);
		if (seen.lost > 0)
			fail_msg("%s, manifest cut at %zu: after a start %u spans are missing",
				what, end, seen.lost);
		fake_disk_free(copy);
		ends++;
	}
	assert_true(ends > 20);
}

static void test_manifest_cut_before_sealed(void **state)
{
	(void)state;
	for (int alone = 0; alone < 2; alone++) {
		struct small small;
		size_t length;
		uint8_t *plain;

		small_make_sealed(&small, alone == 1, &plain, &length);
		end_manifest_anywhere(&small, alone ? "sealed, alone" : "sealed");
		/* Killed before the plain form went. */
		fake_disk_put(small.fake, SMALL_PART, plain, length);
		end_manifest_anywhere(&small, alone ? "two forms, alone" : "two forms");
		free(plain);
		small_free(&small);
	}
}

static void test_deleted(void **state)
{
	struct small small;
	struct fake_disk *copy;
	struct found found;
	struct seen seen;

	(void)state;
	small_make(&small);
	copy = small_changed(&small, SMALL_MANIFEST, NULL, 0);
	small_look(copy, &small, &found);
	assert_int_equal(found.lost, 0);
	assert_true(found.recovery.manifest_lost);
	fake_disk_free(copy);
	copy = small_changed(&small, SMALL_PART, NULL, 0);
	small_read(copy, &small, &seen);
	assert_true(seen.lost > 0);
	assert_string_equal(seen.file, SMALL_PART);
	small_look(copy, &small, &found);
	assert_true(found.recovery.parts_missing > 0);
	assert_int_equal(found.doubled, 0);
	fake_disk_free(copy);
	small_free(&small);
}

/* ---- Sealed files that the manifest doesn't know of, and bad sectors ------------- */

/* Where the manifest ends before SEALED, so that a start has to take the sealed file for its
 * part. */
static size_t end_before_sealed(const struct small *small)
{
	size_t length, end = 0, best = 0;
	const uint8_t *content = fake_disk_content(small->fake, SMALL_MANIFEST, &length);
	struct found found;

	assert_non_null(content);
	while (end < length) {
		struct fake_disk *copy;

		end += manifest_record_length(content + end, length - end);
		copy = small_changed(small, SMALL_MANIFEST, content, end);
		small_look(copy, small, &found);
		if (found.recovery.manifest_damaged && found.recovery.parts == 1 &&
			found.recovery.parts_missing == 0 && !found.parts_wrong)
			best = end;
		fake_disk_free(copy);
	}
	assert_true(best > 0 && best < length);
	return best;
}

static struct fake_disk *with_manifest_until(const struct small *small, size_t end)
{
	size_t length;
	const uint8_t *content = fake_disk_content(small->fake, SMALL_MANIFEST, &length);

	return small_changed(small, SMALL_MANIFEST, content, end);
}

/* One that has rotted since it was sealed isn't taken for whole, by this start or the next. */
static void test_rotted_sealed(void **state)
{
	enum { FLIPS = 50 };
	struct small small;
	const uint8_t *sealed;
	uint8_t *plain;
	size_t length, end;

	(void)state;
	small_make_sealed(&small, true, &plain, &length);
	free(plain);
	end = end_before_sealed(&small);
	sealed = fake_disk_content(small.fake, SMALL_SEALED, &length);
	assert_non_null(sealed);
	for (size_t i = 0; i < FLIPS; i++) {
		struct fake_disk *disk = with_manifest_until(&small, end);
		uint8_t *rotted = malloc(length);
		struct found found;

		assert_non_null(rotted);
		memcpy(rotted, sealed, length);
		rotted[i * (length - 1) / (FLIPS - 1)] ^= 1;
		fake_disk_remove(disk, SMALL_SEALED);
		fake_disk_put(disk, SMALL_SEALED, rotted, length);
		for (int start = 0; start < 2; start++) {
			small_look(disk, &small, &found);
			if (!found.parts_wrong && found.recovery.parts_missing == 0)
				fail_msg("byte %zu of %zu has changed, and start %d says nothing",
					i * (length - 1) / (FLIPS - 1), length, start);
		}
		free(rotted);
		fake_disk_free(disk);
	}
	small_free(&small);
}

static size_t length_of(struct fake_disk *disk, const char *path)
{
	size_t length = 0;

	return fake_disk_content(disk, path, &length) != NULL ? length : 0;
}

/* A start while a byte of the file can't be read, and one when it can again. */
static void look_twice(struct fake_disk *disk, const struct small *small, const char *path,
	uint64_t bad_at, struct found *ret)
{
	size_t length = length_of(disk, path);
	struct found found;

	assert_true(length > bad_at);
	fake_disk_spoil(disk, path, bad_at, 1);
	small_look(disk, small, &found);
	/* What can't even be measured is missing. */
	assert_int_equal(found.recovery.parts_unreadable + found.recovery.parts_missing, 1);
	assert_true(recovery_found_damage(&found.recovery));
	/* Nothing was cut or deleted. */
	assert_int_equal(length_of(disk, path), length);
	fake_disk_spoil(disk, path, 0, 0);
	small_look(disk, small, ret);
	assert_int_equal(ret->recovery.parts_unreadable, 0);
	assert_int_equal(ret->recovery.parts_missing, 0);
	assert_false(ret->parts_wrong);
}

/* A part whose end was never committed, and can't be read. */
static void test_bad_tail(void **state)
{
	static const char tail[] = "{\"trace_id\":\"never committed";
	struct fake_disk *disk;
	struct small small;
	struct found found;
	const uint8_t *part;
	uint8_t *longer;
	size_t length;

	(void)state;
	small_make(&small);
	part = fake_disk_content(small.fake, SMALL_PART, &length);
	assert_non_null(part);
	longer = malloc(length + sizeof(tail));
	assert_non_null(longer);
	memcpy(longer, part, length);
	memcpy(longer + length, tail, sizeof(tail));
	disk = small_changed(&small, SMALL_PART, longer, length + sizeof(tail));
	look_twice(disk, &small, SMALL_PART, length + 1, &found);
	assert_int_equal(found.recovery.parts_cut, 1);
	assert_int_equal(found.recovery.bytes_cut, sizeof(tail));
	assert_int_equal(found.lost, 0);
	assert_int_equal(length_of(disk, SMALL_PART), length);
	free(longer);
	fake_disk_free(disk);
	small_free(&small);
}

/* Lines that a cut manifest doesn't know of any more, and that can't be read now. */
static void test_bad_end_of_part(void **state)
{
	struct small small;
	const uint8_t *content;
	size_t length, end = 0;
	int cuts = 0;

	(void)state;
	small_make_trimmed(&small);
	content = fake_disk_content(small.fake, SMALL_MANIFEST, &length);
	assert_non_null(content);
	while (end < length) {
		struct fake_disk *copy;
		size_t before = length_of(small.fake, SMALL_PART);
		struct found found;
		struct seen seen;

		end += manifest_record_length(content + end, length - end);
		copy = small_changed(&small, SMALL_MANIFEST, content, end);
		fake_disk_spoil(copy, SMALL_PART, before - 1, 1);
		small_look(copy, &small, &found);
		cuts += found.recovery.manifest_damaged;
		fake_disk_spoil(copy, SMALL_PART, 0, 0);
		small_look(copy, &small, &found);
		small_read(copy, &small, &seen);
		if (seen.lost > 0)
			fail_msg("manifest cut at %zu: %u spans are lost", end, seen.lost);
		fake_disk_free(copy);
	}
	assert_true(cuts > 3);
	small_free(&small);
}

static void test_bad_sealed(void **state)
{
	struct fake_disk *disk;
	struct small small;
	struct found found;
	struct seen seen;
	uint8_t *plain;
	size_t length;

	(void)state;
	small_make_sealed(&small, true, &plain, &length);
	/* Alone, and the manifest has forgotten it: it is taken for the part when it can be read.
	 */
	disk = with_manifest_until(&small, end_before_sealed(&small));
	look_twice(disk, &small, SMALL_SEALED, length_of(disk, SMALL_SEALED) / 3, &found);
	small_read(disk, &small, &seen);
	assert_int_equal(seen.lost, 0);
	fake_disk_free(disk);
	/* Beside the plain form, which goes when both can be read. */
	for (int of_plain = 0; of_plain < 2; of_plain++) {
		disk = small_changed(&small, SMALL_PART, plain, length);
		look_twice(disk, &small, of_plain ? SMALL_PART : SMALL_SEALED, 100, &found);
		assert_int_equal(length_of(disk, SMALL_PART), 0);
		small_read(disk, &small, &seen);
		assert_int_equal(seen.lost, 0);
		fake_disk_free(disk);
	}
	free(plain);
	small_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_flips),
		cmocka_unit_test(test_flips_in_manifest),
		cmocka_unit_test(test_flips_in_parts),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_manifest_cut_over_trimmed_log),
		cmocka_unit_test(test_manifest_cut_before_sealed),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_rotted_sealed),
		cmocka_unit_test(test_bad_tail),
		cmocka_unit_test(test_bad_end_of_part),
		cmocka_unit_test(test_bad_sealed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
