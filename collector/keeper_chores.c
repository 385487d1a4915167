/*
 * What the store's thread does beside writing: the log is trimmed once a second if
 * something was written, and comes to rest when nothing is; the cursor of what was forwarded
 * is made durable; what no gateway was there for is given up; retention is applied once a minute,
 * and whenever files come near the cap; a file is sealed once a minute, and each second while room
 * is short.
 */
#include "keeper_internal.h"
#include "log_line.h"

#define SHED_PAUSE_NS (50 * CLOCK_NS_PER_MS)
#define CURSOR_PAUSE_NS (200 * CLOCK_NS_PER_MS)
#define TRIM_EVERY_NS (1 * CLOCK_NS_PER_S)
#define RETAIN_EVERY_NS (60 * CLOCK_NS_PER_S)
/* After so long without a write, a log of at least so many bytes that are all in files goes. */
#define REST_AFTER_NS (5 * CLOCK_NS_PER_S)
/* So long after its last write a keeper looks each second for what the first one, which rests the
 * log, trims; then now and then: spans of other shards can hold a segment for as long as they wait.
 */
#define LET_GO_FOR_NS (3 * REST_AFTER_NS)
#define REST_LOG_BYTES ((uint64_t)1 << 20)
/* So long after it removed nothing. */
#define RETAIN_RETRY_NS (1 * CLOCK_NS_PER_S)
#define FILL_EVERY_NS (1 * CLOCK_NS_PER_S)
#define FILL_OVER_NS (10 * CLOCK_NS_PER_S)
#define AHEAD_BYTES ((uint64_t)32 << 20)
#define AHEAD_PER_S 2
#define SEAL_RETRY_NS (1 * CLOCK_NS_PER_S)
#define SEAL_PAUSES 6 /* of 1 s and more, before it is once a minute */

static void trim(struct keeper *keeper, uint64_t now_ns)
{
	int status = writer_trim_log(keeper->config.store);

	keeper->trimmed_ns = now_ns;
	keeper->dirty = false;
	uv_mutex_lock(&keeper->lock);
	keeper->trim_wanted = false;
	keeper->counts.trim_failures += status < 0;
	uv_mutex_unlock(&keeper->lock);
	if (status < 0)
		log_warning("can't trim the log: %s", error_text(status));
	else
		uv_async_send(&keeper->async);
}

void keeper_rest(struct keeper *keeper, uint64_t least_bytes)
{
	int status = writer_rest(keeper->config.store, least_bytes);

	keeper->restless = false;
	if (status < 0)
		log_warning("can't rest the log: %s", error_text(status));
	else
		uv_async_send(&keeper->async);
}

void keeper_write_cursor(struct keeper *keeper)
{
	struct consumed passed;
	struct manifest_forward to;
	bool lost = false;
	int status;

	uv_mutex_lock(&keeper->lock);
	to = keeper->forward_to;
	passed = keeper->passed;
	keeper->forward_to.known = false;
	keeper->passed = (struct consumed){0};
	uv_mutex_unlock(&keeper->lock);
	status = writer_forward(keeper->config.store, &to, &passed);
	uv_mutex_lock(&keeper->lock);
	if (status == 0) {
		keeper->forwarded = to;
	} else {
		/* A newer one may have come meanwhile. */
		if (!keeper->forward_to.known)
			keeper->forward_to = to;
		lost = consumed_merge(&keeper->passed, &passed) < 0;
	}
	uv_mutex_unlock(&keeper->lock);
	/* Their segment stays, and the next start sends them again. */
	if (lost)
		log_warning("out of memory: what was forwarded can't be taken from the log");
	consumed_done(&passed);
	if (status < 0)
		log_warning("can't note what was forwarded: %s", error_text(status));
	keeper->dirty |= status == 0;
	keeper->cursor_failed = status < 0;
	if (status == 0 && keeper->config.on_forwarded != NULL) {
		keeper->config.on_forwarded(keeper->config.context);
		uv_async_send(&keeper->async);
	}
}

static void shed(struct keeper *keeper, uint64_t max_bytes)
{
	uint64_t now_ns = clock_monotonic_ns(keeper->config.clock);
	uint64_t spans = 0;
	int status = 0;

	/* Where nothing could be given up there won't be something at once. */
	if (now_ns >= keeper->shed_after_ns)
		status = writer_shed(keeper->config.store, max_bytes, &spans);
	if (now_ns >= keeper->shed_after_ns && spans == 0)
		keeper->shed_after_ns = now_ns + SHED_PAUSE_NS;
	uv_mutex_lock(&keeper->lock);
	keeper->shed_above = 0;
	keeper->counts.shed_spans += spans;
	uv_mutex_unlock(&keeper->lock);
	if (spans == 0 && status == 0)
		return;
	if (spans > 0)
		log_warning("gave up %llu spans that no gateway was there for: the log may have "
			    "%llu KiB",
			(unsigned long long)spans, (unsigned long long)max_bytes / 1024);
	if (status < 0)
		log_warning("can't make room in the log: %s", error_text(status));
	uv_async_send(&keeper->async);
}

/* How fast files grow, over some seconds. */
static void note_fill(struct keeper *keeper, uint64_t now_ns, uint64_t written)
{
	uint64_t took_ns = now_ns - keeper->fill.since_ns;
	double now, share = took_ns < FILL_OVER_NS ? (double)took_ns / FILL_OVER_NS : 1;

	if (keeper->fill.since_ns != 0 && took_ns < FILL_EVERY_NS)
		return;
	if (keeper->fill.since_ns != 0) {
		now = written > keeper->fill.bytes ? (double)(written - keeper->fill.bytes) : 0;
		now = now * CLOCK_NS_PER_S / (double)took_ns;
		keeper->fill.bytes_per_s =
			(uint64_t)(share * now + (1 - share) * (double)keeper->fill.bytes_per_s);
	}
	keeper->fill.since_ns = now_ns;
	keeper->fill.bytes = written;
}

/* What is to be free below the cap for what is written before it is looked again. */
static uint64_t ahead_bytes(const struct keeper *keeper, uint64_t max_bytes)
{
	uint64_t bytes = AHEAD_BYTES + keeper->fill.bytes_per_s / AHEAD_PER_S;

	return bytes > max_bytes / 16 ? max_bytes / 16 : bytes;
}

/* What a seal makes beside the plain file. */
static uint64_t seal_bytes(const struct keeper *keeper)
{
	if (keeper->seal_pending)
		return keeper->sealed.length_bytes;
	return keeper->sealer != NULL ? sealer_bytes(keeper->sealer) : 0;
}

/* A second of much load is more than what some caps have left. */
static bool is_over_cap(struct keeper *keeper, uint64_t now_ns)
{
	struct writer_stats stats;
	uint64_t max_bytes;

	uv_mutex_lock(&keeper->lock);
	max_bytes = keeper->retention.max_bytes;
	uv_mutex_unlock(&keeper->lock);
	if (max_bytes == 0)
		return false;
	writer_get_stats(keeper->config.store, &stats);
	note_fill(keeper, now_ns, stats.bytes_written);
	return stats.part_bytes + ahead_bytes(keeper, max_bytes) + seal_bytes(keeper) > max_bytes;
}

/* What becomes of a part that is gone is for nothing. */
static void stop_vain_seal(struct keeper *keeper)
{
	uint32_t id = keeper->sealer != NULL ? sealer_part(keeper->sealer) : 0;
	struct manifest_part part;

	if (id != 0 && (!manifest_copy_part(keeper->config.manifest, id, &part) ||
			       part.state != PART_CLOSED))
		sealer_stop(keeper->sealer);
}

static void retain(struct keeper *keeper, uint64_t now_ns)
{
	struct retention retention;
	int status;

	keeper->retained_ns = now_ns;
	uv_mutex_lock(&keeper->lock);
	retention = keeper->retention;
	uv_mutex_unlock(&keeper->lock);
	if (retention.max_age_ns == 0 && retention.max_bytes == 0)
		return;
	retention.ahead_bytes = ahead_bytes(keeper, retention.max_bytes);
	retention.seal_bytes = seal_bytes(keeper);
	retention.seal_part = keeper->seal_pending     ? keeper->sealed.part
			      : keeper->sealer != NULL ? sealer_part(keeper->sealer)
						       : 0;
	status = writer_retain(keeper->config.store, &retention);
	keeper->removed = status > 0;
	if (status < 0) {
		log_warning("can't remove old files: %s", error_text(status));
	} else if (status > 0) {
		log_info("removed %d old files", status);
		stop_vain_seal(keeper);
		uv_mutex_lock(&keeper->lock);
		keeper->counts.removed_parts += (uint64_t)status;
		uv_mutex_unlock(&keeper->lock);
	}
}

/* ---- Sealing ---------------------------------------------------------------- */

void keeper_on_sealed(void *context)
{
	struct keeper *keeper = context;

	uv_mutex_lock(&keeper->lock);
	keeper->seal_done = true;
	uv_cond_signal(&keeper->wake);
	uv_mutex_unlock(&keeper->lock);
}

static void commit_sealed(struct keeper *keeper)
{
	const struct seal_result *sealed = &keeper->sealed;
	int status = writer_seal_commit(keeper->config.store, sealed);

	keeper->seal_pending = status < 0 && status != -ESTALE && status != -EEXIST;
	if (keeper->seal_pending) {
		log_warning("can't commit a sealed file: %s", error_text(status));
	} else if (status == 0) {
		log_info("sealed a file: %llu MiB are %llu MiB now",
			(unsigned long long)sealed->text_bytes >> 20,
			(unsigned long long)sealed->length_bytes >> 20);
		uv_mutex_lock(&keeper->lock);
		keeper->counts.sealed_parts++;
		uv_mutex_unlock(&keeper->lock);
	}
	/* There may be more. */
	if (!keeper->seal_pending)
		keeper->sealed_ns = 0;
}

static void take_sealed(struct keeper *keeper, uint64_t now_ns)
{
	int status;

	uv_mutex_lock(&keeper->lock);
	if (keeper->seal_wake) {
		keeper->sealed_ns = 0;
		keeper->seal_failures = 0;
	}
	keeper->seal_wake = keeper->seal_done = false;
	uv_mutex_unlock(&keeper->lock);
	if (!sealer_result(keeper->sealer, &status, &keeper->sealed))
		return;
	keeper->seal_pending = status == 0;
	if (status == 0 || status == -ECANCELED) {
		keeper->sealed_ns = 0;
		keeper->seal_failures = 0;
		return;
	}
	log_warning("can't seal a file: %s", error_text(status));
	keeper->sealed_ns = now_ns;
	keeper->seal_failures++;
	/* Damage, bytes that recovery has to cut, too much of them, no file: not again in this
	 * life. */
	if (status == ERR_CHECKSUM || status == -EBADMSG || status == -EFBIG || status == -ENOENT)
		writer_seal_refuse(keeper->config.store, keeper->sealed.part);
}

static void seal_next(struct keeper *keeper)
{
	struct manifest_part part;
	struct seal_rule rule;
	uint64_t memory_bytes;
	bool on, pressed;
	int status;

	uv_mutex_lock(&keeper->lock);
	on = keeper->sealing.on;
	rule.after_ns = keeper->sealing.after_ns;
	memory_bytes = keeper->sealing.memory_bytes;
	rule.max_bytes = keeper->retention.max_bytes;
	uv_mutex_unlock(&keeper->lock);
	rule.fill_bytes_per_s = keeper->fill.bytes_per_s;
	rule.ahead_bytes = ahead_bytes(keeper, rule.max_bytes);
	keeper->pressed = false;
	if (!on)
		return;
	status = writer_seal_next(keeper->config.store, &rule, &part, &pressed);
	if (status >= 0)
		keeper->pressed = pressed;
	if (status == 1)
		status = sealer_begin(keeper->sealer, &part, pressed, memory_bytes);
	if (status < 0)
		log_warning("can't seal a file: %s", error_text(status));
}

/* How often it is looked for something to seal: where that failed, after a pause that doubles,
 * since much may have been written for nothing. */
static uint64_t seal_every_ns(struct keeper *keeper)
{
	unsigned int failures = keeper->seal_failures;
	uint64_t pause_ns = SEAL_RETRY_NS;
	bool soon;

	uv_mutex_lock(&keeper->lock);
	soon = keeper->sealing.on && keeper->sealing.after_ns < RETAIN_EVERY_NS;
	uv_mutex_unlock(&keeper->lock);
	soon |= keeper->pressed;
	if (failures > 0)
		pause_ns =
			failures <= SEAL_PAUSES ? SEAL_RETRY_NS << (failures - 1) : RETAIN_EVERY_NS;
	return soon ? pause_ns : RETAIN_EVERY_NS;
}

static void seal(struct keeper *keeper, uint64_t now_ns)
{
	if (keeper->sealer == NULL)
		return;
	take_sealed(keeper, now_ns);
	if (keeper->seal_pending && now_ns - keeper->sealed_ns >= SEAL_RETRY_NS) {
		keeper->sealed_ns = now_ns;
		commit_sealed(keeper);
	}
	if (keeper->seal_pending || sealer_is_busy(keeper->sealer))
		return;
	if (keeper->sealed_ns != 0 && now_ns - keeper->sealed_ns < seal_every_ns(keeper))
		return;
	keeper->sealed_ns = now_ns;
	seal_next(keeper);
}

/* Of a keeper that isn't the first: the files of the log that the first one trims are let go. */
static uint64_t let_go(struct keeper *keeper, uint64_t now_ns)
{
	bool wrote;

	uv_mutex_lock(&keeper->lock);
	wrote = keeper->wrote;
	keeper->wrote = false;
	uv_mutex_unlock(&keeper->lock);
	if (wrote)
		keeper->wrote_ns = now_ns;
	keeper->dirty |= wrote;
	if (now_ns - keeper->trimmed_ns >= (keeper->dirty ? TRIM_EVERY_NS : RETAIN_EVERY_NS)) {
		writer_forget(keeper->config.store);
		keeper->trimmed_ns = now_ns;
		keeper->dirty = now_ns - keeper->wrote_ns < LET_GO_FOR_NS;
	}
	return keeper->dirty ? TRIM_EVERY_NS : RETAIN_EVERY_NS;
}

uint64_t keeper_do_chores(struct keeper *keeper)
{
	uint64_t now_ns = clock_monotonic_ns(keeper->config.clock);
	uint64_t max_bytes;
	bool wanted, cursor;

	if (keeper->config.first != NULL)
		return let_go(keeper, now_ns);
	uv_mutex_lock(&keeper->lock);
	if (keeper->wrote)
		keeper->dirty = keeper->restless = true;
	keeper->wrote = false;
	wanted = keeper->trim_wanted;
	cursor = keeper->forward_to.known;
	max_bytes = keeper->shed_above;
	if (keeper->retain_wake)
		keeper->retained_ns = 0;
	keeper->retain_wake = false;
	uv_mutex_unlock(&keeper->lock);
	if (cursor)
		keeper_write_cursor(keeper);
	if (max_bytes > 0)
		shed(keeper, max_bytes);
	if (wanted || (keeper->dirty && now_ns - keeper->trimmed_ns >= TRIM_EVERY_NS))
		trim(keeper, now_ns);
	if (keeper->restless && !keeper->dirty && now_ns - keeper->trimmed_ns >= REST_AFTER_NS)
		keeper_rest(keeper, REST_LOG_BYTES);
	seal(keeper, now_ns);
	if (now_ns - keeper->retained_ns >= RETAIN_EVERY_NS ||
		(is_over_cap(keeper, now_ns) &&
			(keeper->removed || now_ns - keeper->retained_ns >= RETAIN_RETRY_NS)))
		retain(keeper, now_ns);
	if (keeper->cursor_failed)
		return CURSOR_PAUSE_NS;
	if (keeper->dirty || keeper->seal_pending)
		return TRIM_EVERY_NS;
	return keeper->restless ? REST_AFTER_NS : seal_every_ns(keeper);
}
