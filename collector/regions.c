/*
 * Regions. See regions.h.
 *
 * The happy path of a client that is killed: its pidfd becomes readable (on_process_exit) →
 * its connection is at its end and all of it durable (consider) → the region is read
 * and parsed on the pool (run_salvage) → the fence, then the messages are offered, as
 * room allows (offer_more) → the last is durable (finish_salvage).
 *
 * Failures: a region that can't be read, or that is another's by now, is forgotten and
 * the client not fenced: when it comes back, it sends what it has. A collector that
 * ends in between has either not the fence, and then none of the messages; or it has
 * it, and the client learns by the numbers which of them.
 *
 * One region is salvaged at a time, which bounds the memory.
 *
 * In a drain those of processes that have ended are salvaged at once; those of others
 * are left to the service manager, or to the next collector that their clients find.
 */
#include "regions.h"

#include "export.h"
#include "ids.h"
#include "log_line.h"
#include "notify.h"
#include "salvage.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_MAX 2048u
#define LOOK_MS 50u
#define DRAIN_LOOK_MS 2u
#define NAME_BYTES 96

/* A descriptor that readers on other threads may be at. */
struct region_file {
	int fd;
	atomic_uint references;
};

enum held_state {
	HELD_CONNECTED, /* → ENDED */
	HELD_ENDED,	/* → CONNECTED by a hello, → SALVAGED */
	HELD_SALVAGED,	/* → forgotten */
};

struct held {
	enum held_state state;
	struct regions *regions;
	uint8_t client[16];
	char service[64];
	uint64_t pid;
	struct log_peer peer;
	struct region_file *file;
	uv_poll_t exit; /* of the pidfd */
	int pidfd;	/* -1: none */
	bool dead;
	bool kept;	   /* the service manager has the descriptor too */
	uint64_t ended_ms; /* when the session, or the process, ended */
	struct held *next;
};

/* The salvage that runs. */
struct job {
	struct held *held;
	uv_work_t work;
	struct salvage_source source;
	uint64_t durable;
	struct salvage salvage;
	struct bytes fence; /* what is said to a client that may come back */
	uint64_t emitted;
	int status;
	size_t offered; /* the fence is the first */
	size_t in_flight;
	bool offering;
	bool lost; /* the ingest was closed before all was durable */
};

struct regions {
	struct regions_config config;
	struct held *held;
	size_t held_max;
	struct job *job; /* NULL: none */
	uv_timer_t timer;
	size_t handles;
	bool draining;
	bool stopping;
	bool released; /* regions_free was called */
	struct regions_counts counts;
};

static void consider_all(struct regions *regions);

/* ---- Descriptors -------------------------------------------------------------- */

static struct region_file *file_new(int fd)
{
	struct region_file *file = malloc(sizeof(*file));

	if (file == NULL)
		return NULL;
	file->fd = fd;
	atomic_init(&file->references, 1);
	return file;
}

static void file_release(struct region_file *file)
{
	if (file == NULL || atomic_fetch_sub(&file->references, 1) != 1)
		return;
	close(file->fd);
	free(file);
}

static bool same_file(int a, int b)
{
	struct stat left;
	struct stat right;

	return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
	       left.st_ino == right.st_ino;
}

/* ---- The service manager keeps them over a restart ------------------------------ */

static void name_of(const struct held *held, char ret_name[NAME_BYTES])
{
	char id[33];

	hex_format(held->client, sizeof(held->client), id);
	id[32] = '\0';
	snprintf(ret_name, NAME_BYTES, "region.%s.%u.%u", id, held->peer.pid, held->peer.uid);
}

static void keep(struct held *held)
{
	char name[NAME_BYTES];

	name_of(held, name);
	held->kept = notify_store_fd(held->file->fd, name);
}

static void unkeep(struct held *held)
{
	char name[NAME_BYTES];

	if (!held->kept)
		return;
	name_of(held, name);
	notify_unstore_fd(name);
	held->kept = false;
}

/* ---- The table -------------------------------------------------------------------- */

static struct held *find(const struct regions *regions, const uint8_t client[16])
{
	struct held *held = regions->held;

	while (held != NULL && memcmp(held->client, client, sizeof(held->client)) != 0)
		held = held->next;
	return held;
}

static void maybe_free(struct regions *regions)
{
	if (!regions->released || regions->handles > 0 || regions->job != NULL)
		return;
	free(regions);
}

static void on_exit_closed(uv_handle_t *handle)
{
	struct held *held = handle->data;
	struct regions *regions = held->regions;

	close(held->pidfd);
	free(held);
	regions->handles--;
	maybe_free(regions);
}

/* Takes it out of the table and frees it. */
static void forget(struct held *held)
{
	struct regions *regions = held->regions;
	struct held **at = &regions->held;

	while (*at != held)
		at = &(*at)->next;
	*at = held->next;
	regions->counts.held--;
	/* What is left when the daemon stops is for the next one. */
	if (!regions->stopping)
		unkeep(held);
	file_release(held->file);
	if (held->pidfd >= 0)
		uv_close((uv_handle_t *)&held->exit, on_exit_closed);
	else
		free(held);
}

static void on_process_exit(uv_poll_t *handle, int status, int events)
{
	struct held *held = handle->data;

	(void)status;
	(void)events;
	(void)uv_poll_stop(handle);
	held->dead = true;
	if (held->state == HELD_CONNECTED)
		held->ended_ms = clock_monotonic_ms(held->regions->config.clock);
	consider_all(held->regions);
}

/* Takes pidfd; without it, only time tells. */
static void watch(struct held *held, int pidfd)
{
	struct regions *regions = held->regions;

	held->pidfd = -1;
	if (pidfd < 0)
		return;
	if (uv_poll_init(regions->config.loop, &held->exit, pidfd) < 0) {
		close(pidfd);
		return;
	}
	held->pidfd = pidfd;
	held->exit.data = held;
	regions->handles++;
	(void)uv_poll_start(&held->exit, UV_READABLE, on_process_exit);
}

static struct held *add(struct regions *regions, const uint8_t client[16], int fd, int pidfd)
{
	struct held *held = calloc(1, sizeof(*held));

	if (held != NULL)
		held->file = file_new(fd);
	if (held == NULL || held->file == NULL) {
		free(held);
		return NULL;
	}
	held->regions = regions;
	memcpy(held->client, client, sizeof(held->client));
	watch(held, pidfd);
	held->next = regions->held;
	regions->held = held;
	regions->counts.held++;
	return held;
}

static void close_both(int fd, int pidfd)
{
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
}

void regions_hold(struct regions *regions, const struct region_owner *owner, int fd, int pidfd)
{
	struct held *held = find(regions, owner->client);

	if (regions->stopping) {
		close_both(fd, pidfd);
		return;
	}
	if (held != NULL && (fd < 0 || same_file(fd, held->file->fd))) {
		held->state = HELD_CONNECTED;
		/* A process that has ended does not say hello: it was another's pidfd. */
		held->dead = false;
		if (held->pidfd < 0) {
			watch(held, pidfd);
			pidfd = -1;
		}
		close_both(fd, pidfd);
		return;
	}
	if (held != NULL)
		forget(held);
	if (fd < 0 || region_descriptor_check(fd) < 0 ||
		regions->counts.held >= regions->held_max) {
		regions->counts.refused++;
		close_both(fd, pidfd);
		return;
	}
	held = add(regions, owner->client, fd, pidfd);
	if (held == NULL) {
		close_both(fd, pidfd);
		return;
	}
	snprintf(held->service, sizeof(held->service), "%.*s",
		owner->service.length < sizeof(held->service) ? (int)owner->service.length
							      : (int)sizeof(held->service) - 1,
		owner->service.data != NULL ? (const char *)owner->service.data : "");
	held->pid = owner->pid;
	held->peer = (struct log_peer){
		.known = owner->peer->known, .pid = owner->peer->pid, .uid = owner->peer->uid};
	keep(held);
}

void regions_on_hello(struct regions *regions, const uint8_t client[16])
{
	struct held *held = find(regions, client);

	if (held != NULL && held->state == HELD_ENDED)
		held->state = HELD_CONNECTED;
}

/* A name that name_of made, taken apart. */
static bool name_parse(const char *name, uint8_t ret_client[16], struct log_peer *ret_peer)
{
	char *end;

	if (strlen(name) < 44 || strncmp(name, "region.", 7) != 0 ||
		hex_parse(name + 7, 16, ret_client) < 0 || name[39] != '.')
		return false;
	*ret_peer = (struct log_peer){.known = true};
	ret_peer->pid = (uint32_t)strtoul(name + 40, &end, 10);
	if (end == name + 40 || *end != '.')
		return false;
	name = end + 1;
	ret_peer->uid = (uint32_t)strtoul(name, &end, 10);
	return end != name && *end == '\0';
}

void regions_adopt(struct regions *regions, int fd, const char *name)
{
	uint8_t client[16];
	struct bytes fence = {0};
	struct held *held = NULL;
	struct log_peer peer;

	/* What was begun to be salvaged is not salvaged again. */
	if (name_parse(name, client, &peer) && region_descriptor_check(fd) == 0 &&
		regions->counts.held < regions->held_max && find(regions, client) == NULL &&
		clients_fence(regions->config.clients, client, &fence) == 0)
		held = add(regions, client, fd, -1);
	if (held == NULL) {
		regions->counts.refused++;
		notify_unstore_fd(name);
		bytes_done(&fence);
		close(fd);
		return;
	}
	held->state = HELD_ENDED;
	held->ended_ms = clock_monotonic_ms(regions->config.clock);
	held->pid = peer.pid;
	held->peer = peer;
	held->kept = true;
	consider_all(regions);
}

void regions_on_ended(struct regions *regions, const uint8_t client[16])
{
	struct held *held = find(regions, client);

	if (held == NULL || held->state != HELD_CONNECTED)
		return;
	held->state = HELD_ENDED;
	held->ended_ms = clock_monotonic_ms(regions->config.clock);
	consider_all(regions);
}

void regions_on_goodbye(struct regions *regions, const uint8_t client[16])
{
	struct held *held = find(regions, client);

	if (held != NULL && held->state != HELD_SALVAGED)
		forget(held);
}

bool regions_busy(const struct regions *regions, const uint8_t client[16])
{
	const struct held *held = find(regions, client);

	return held != NULL && held->state == HELD_SALVAGED;
}

/* ---- Salvage ------------------------------------------------------------------------ */

/* On the pool. */
static void run_salvage(uv_work_t *work)
{
	struct job *job = work->data;
	struct region_image image = {0};

	job->status = region_image_new(&image);
	if (job->status == 0)
		job->status = region_image_read(&image, job->held->file->fd, true);
	if (job->status == 0)
		job->status = salvage_read(&image, &job->source, job->durable, &job->salvage);
	region_image_done(&image);
}

static void end_job(struct regions *regions)
{
	struct job *job = regions->job;

	regions->job = NULL;
	salvage_done(&job->salvage);
	bytes_done(&job->fence);
	forget(job->held);
	free(job);
	maybe_free(regions);
}

static void finish_salvage(struct regions *regions)
{
	struct job *job = regions->job;
	struct regions_counts *counts = &regions->counts;

	if (!job->lost) {
		counts->salvaged++;
		counts->finished += job->salvage.finished;
		counts->open += job->salvage.open;
		counts->dropped += job->salvage.dropped;
		counts->damaged += job->salvage.damaged;
		log_notice("salvaged %llu finished and %llu open spans of %s (pid %llu), %s",
			(unsigned long long)job->salvage.finished,
			(unsigned long long)job->salvage.open,
			job->held->service[0] != '\0' ? job->held->service : "a client",
			(unsigned long long)job->held->pid,
			job->held->dead ? "which has ended" : "which did not come back");
	}
	end_job(regions);
	if (!regions->stopping)
		consider_all(regions);
}

static void on_committed(void *context, uint64_t sequence, int status, int refused)
{
	struct regions *regions = context;
	struct job *job = regions->job;

	(void)sequence;
	(void)refused;
	job->in_flight--;
	job->lost |= status < 0;
	if (job->in_flight == 0 && !job->offering &&
		(job->offered > job->salvage.count || job->lost))
		finish_salvage(regions);
}

/* The fence, or the message behind it. 0 or -EAGAIN, -ENOMEM. */
static int offer_next(struct regions *regions)
{
	struct job *job = regions->job;
	struct ingest_offer what = {.kind = LOG_FENCE,
		.format = LOG_FORMAT_WAFT_V1,
		.peer = job->held->peer,
		.sequence = job->durable,
		.emitted = job->emitted,
		.bytes = slice_of(job->fence.data, job->fence.length)};
	int status;

	memcpy(what.client, job->held->client, sizeof(what.client));
	if (job->offered > 0) {
		const struct salvage_message *message = &job->salvage.messages[job->offered - 1];

		what.kind = message->kind;
		what.sequence = message->sequence;
		what.bytes = slice_of(message->bytes.data, message->bytes.length);
		if (message->kind == LOG_DROP)
			what.dropped =
				message->spans > UINT32_MAX ? UINT32_MAX : (uint32_t)message->spans;
	}
	/* In a drain there is no window for anyone else: the room is this one's. */
	if (!regions->draining && ingest_window_bytes(regions->config.ingest) == 0)
		return -EAGAIN;
	status = ingest_offer(regions->config.ingest, &what, on_committed, regions);
	if (status == 0) {
		job->offered++;
		job->in_flight++;
	}
	return status;
}

static void offer_more(struct regions *regions)
{
	struct job *job = regions->job;

	job->offering = true;
	while (job->offered <= job->salvage.count && !regions->stopping && !job->lost &&
		offer_next(regions) == 0)
		continue;
	job->offering = false;
	/* When the daemon stops, what was not offered is the next one's. */
	if (job->in_flight == 0 && (regions->stopping || job->lost)) {
		job->lost = true;
		finish_salvage(regions);
	}
}

/* What the client has emitted, now that all of it is known. */
static uint64_t emitted_by(const struct job *job, const struct client_counts *counts)
{
	uint64_t known = counts->durable + counts->dropped + counts->unknown +
			 job->salvage.finished + job->salvage.dropped;

	return (counts->emitted > known ? counts->emitted : known) + job->salvage.open;
}

/* Who can't come back need not be told what was taken: only that it is fenced. */
static int make_fence(struct job *job)
{
	static const uint8_t none[] = {TAG_FENCE_SEQUENCE, 0};
	uint8_t buffer[32];
	struct writer writer = writer_of(buffer, sizeof(buffer));
	int status;

	if (!job->held->dead && job->salvage.fence.length > 0)
		return bytes_put(&job->fence, job->salvage.fence.data, job->salvage.fence.length);
	writer_field_varint(&writer, TAG_FENCE_SEQUENCE, job->durable);
	status = bytes_put(&job->fence, buffer, writer_length(&writer));
	/* No bytes would be no fence. */
	if (status == 0 && job->fence.length == 0)
		status = bytes_put(&job->fence, none, sizeof(none));
	return status;
}

static void after_salvage(uv_work_t *work, int status)
{
	struct job *job = work->data;
	struct regions *regions = job->held->regions;
	struct client_info info = {0};

	if (status < 0)
		job->status = status;
	if (job->status == 0 && job->salvage.count > 0)
		job->status = make_fence(job);
	if (job->status < 0 && job->status != -ESTALE && job->status != -ECANCELED) {
		regions->counts.failed++;
		log_warning("can't salvage %s (pid %llu): %s", job->held->service,
			(unsigned long long)job->held->pid, error_text(job->status));
	}
	if (job->status < 0 || job->salvage.count == 0 || regions->stopping) {
		regions->counts.damaged += job->salvage.damaged;
		end_job(regions);
		if (!regions->stopping)
			consider_all(regions);
		return;
	}
	if (clients_get(regions->config.clients, job->held->client, &info) == 0)
		job->emitted = emitted_by(job, &info.counts);
	else
		job->emitted = emitted_by(job, &(struct client_counts){0});
	offer_more(regions);
}

static void start_salvage(struct held *held)
{
	struct regions *regions = held->regions;
	struct job *job = calloc(1, sizeof(*job));
	struct client_info info = {0};

	if (job == NULL)
		return; /* again at the next look */
	(void)(clients_get(regions->config.clients, held->client, &info) == 0);
	job->held = held;
	job->durable = info.sequence;
	memcpy(job->source.client, held->client, sizeof(job->source.client));
	job->source.service = held->service;
	job->source.pid = held->pid;
	job->source.monotonic_ns = uv_hrtime();
	job->source.realtime_ns = clock_realtime_ns(regions->config.clock);
	job->work.data = job;
	if (uv_queue_work(regions->config.loop, &job->work, run_salvage, after_salvage) < 0) {
		free(job);
		return;
	}
	held->state = HELD_SALVAGED;
	regions->job = job;
}

/* ---- When --------------------------------------------------------------------------- */

/* Whether it is time; one whose process has ended but whose connection goes on is
 * given its time too: a child may have it open. In a drain nobody reads it any more,
 * and what it holds is in the region. */
static bool is_due(const struct held *held, uint64_t now_ms)
{
	const struct regions_config *config = &held->regions->config;

	if (held->state == HELD_CONNECTED && held->dead &&
		(held->regions->draining || now_ms - held->ended_ms >= config->wait_ms))
		config->end(config->context, held->client);
	return held->state == HELD_ENDED &&
	       (held->dead || now_ms - held->ended_ms >= config->wait_ms) &&
	       !config->in_use(config->context, held->client);
}

static void on_look(uv_timer_t *timer)
{
	struct regions *regions = timer->data;

	consider_all(regions);
	if (regions->job != NULL)
		regions_on_room(regions);
	if (regions->draining && regions_settled(regions))
		regions->config.on_settled(regions->config.context);
}

static void consider_all(struct regions *regions)
{
	uint64_t now_ms = clock_monotonic_ms(regions->config.clock);
	bool waits = regions->job != NULL;

	if (regions->stopping)
		return;
	for (struct held *held = regions->held; held != NULL; held = held->next) {
		if (is_due(held, now_ms) && regions->job == NULL)
			start_salvage(held);
		waits |= held->state != HELD_CONNECTED || held->dead;
	}
	if (waits && !uv_is_active((uv_handle_t *)&regions->timer))
		(void)uv_timer_start(
			&regions->timer, on_look, regions->draining ? DRAIN_LOOK_MS : LOOK_MS, 0);
}

void regions_on_room(struct regions *regions)
{
	if (regions->stopping)
		return;
	if (regions->job != NULL && regions->job->offered > 0)
		offer_more(regions);
	else if (regions->job == NULL)
		consider_all(regions);
}

/* ---- For readers ----------------------------------------------------------------------- */

static int compare_clients(const void *left, const void *right)
{
	const struct held *const *a = left;
	const struct held *const *b = right;

	return memcmp((*a)->client, (*b)->client, sizeof((*a)->client));
}

static bool is_wanted(const struct held *held, struct slice service, const uint8_t *from)
{
	return held->state == HELD_CONNECTED && !held->dead &&
	       (service.length == 0 || slice_equal(service, slice_of_text(held->service))) &&
	       (from == NULL || memcmp(held->client, from, sizeof(held->client)) >= 0);
}

struct region_view *regions_view(struct regions *regions, struct slice service, const uint8_t *from,
	size_t most, size_t *ret_count)
{
	struct held **sorted = calloc(regions->counts.held + 1, sizeof(*sorted));
	struct region_view *views = NULL;
	size_t count = 0;

	*ret_count = 0;
	for (struct held *held = sorted != NULL ? regions->held : NULL; held != NULL;
		held = held->next)
		if (is_wanted(held, service, from))
			sorted[count++] = held;
	if (count > 0) {
		qsort(sorted, count, sizeof(struct held *), compare_clients);
		count = count < most ? count : most;
		views = calloc(count, sizeof(*views));
	}
	for (size_t i = 0; views != NULL && i < count; i++) {
		memcpy(views[i].client, sorted[i]->client, sizeof(views[i].client));
		memcpy(views[i].service, sorted[i]->service, sizeof(views[i].service));
		views[i].pid = sorted[i]->pid;
		views[i].peer = sorted[i]->peer;
		views[i].file = sorted[i]->file;
		atomic_fetch_add(&views[i].file->references, 1);
		*ret_count = i + 1;
	}
	free(sorted);
	return views;
}

void regions_views_free(struct region_view *views, size_t count)
{
	for (size_t i = 0; views != NULL && i < count; i++)
		file_release(views[i].file);
	free(views);
}

int region_view_fd(const struct region_view *view)
{
	return view->file->fd;
}

/* ---- Life ---------------------------------------------------------------------------- */

int regions_new(const struct regions_config *config, struct regions **ret)
{
	struct regions *regions = calloc(1, sizeof(*regions));
	int status;

	if (regions == NULL)
		return -ENOMEM;
	regions->config = *config;
	status = uv_timer_init(config->loop, &regions->timer);
	if (status < 0) {
		free(regions);
		return status;
	}
	regions->timer.data = regions;
	regions->handles = 1;
	*ret = regions;
	return 0;
}

void regions_configure(struct regions *regions, uint64_t wait_ms, size_t max)
{
	regions->config.wait_ms = wait_ms;
	regions->held_max = max < HELD_MAX ? max : HELD_MAX;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct regions *regions = handle->data;

	regions->handles--;
	maybe_free(regions);
}

static bool has_ended(const struct held *held)
{
	struct pollfd exit = {.fd = held->pidfd, .events = POLLIN};

	return held->dead || (held->pidfd >= 0 && poll(&exit, 1, 0) > 0);
}

void regions_drain(struct regions *regions)
{
	if (regions->stopping || regions->draining)
		return;
	regions->draining = true;
	/* Its event may be behind the signal that begins the drain. */
	for (struct held *held = regions->held; held != NULL; held = held->next)
		held->dead = has_ended(held);
	(void)uv_timer_stop(&regions->timer);
	consider_all(regions);
}

bool regions_settled(const struct regions *regions)
{
	bool settled = regions->job == NULL;

	for (const struct held *held = regions->held; settled && held != NULL; held = held->next)
		settled = !held->dead;
	return settled;
}

void regions_stop(struct regions *regions)
{
	struct held *next;

	if (regions->stopping)
		return;
	regions->stopping = true;
	uv_close((uv_handle_t *)&regions->timer, on_timer_closed);
	for (struct held *held = regions->held; held != NULL; held = next) {
		next = held->next;
		if (held->state != HELD_SALVAGED)
			forget(held);
	}
	if (regions->job != NULL && regions->job->offered > 0)
		offer_more(regions);
}

void regions_free(struct regions *regions)
{
	if (regions == NULL)
		return;
	regions_stop(regions);
	regions->released = true;
	maybe_free(regions);
}

void regions_count(const struct regions *regions, struct regions_counts *ret)
{
	*ret = regions->counts;
}
