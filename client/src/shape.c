/* See shape.h. */
#include "shape.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "cursor.h"
#include "redact.h"
#include "utf8.h"

enum {
	SHAPES = WIRE_SHAPE_ID_LIMIT + 1,
	KEYS = SHAPE_KEYS_LIMIT + 1,
	TABLE = 1 << 17, /* twice the shapes: open addressing stays short */
	KEY_TABLE = 1 << 15,
	ENTRY_LIMIT = 16384, /* one encoded shape */
	KEY_TEXT_BYTES = 1 << 20,
	ROOT_LIMIT = 3 * SHAPE_NAME_BYTES + 64,
};

struct shape {
	uint32_t at; /* of the entry in bytes */
	uint32_t length;
	uint32_t body; /* offset in the entry of what follows the id */
	uint16_t from;
	uint16_t key;
	uint8_t type;
	uint8_t keys;
};

struct key {
	uint32_t at; /* in key_text, NUL-terminated */
	bool redact;
};

/* All of it in one reserved mapping; untouched pages cost nothing. */
struct tables {
	struct shape shapes[SHAPES];
	struct key keys[KEYS];
	uint64_t steps[TABLE];	   /* from << 40 | key << 24 | type << 16 | to; 0: empty */
	uint32_t roots[TABLE];	   /* shape ids by hash of their body */
	uint32_t names[KEY_TABLE]; /* key ids by hash */
	uint8_t bytes[REGION_SHAPES_BYTES];
	char key_text[KEY_TEXT_BYTES];
};

static struct {
	pthread_mutex_t lock;
	struct tables *tables;
	struct region *region;
	uint32_t shapes; /* the highest id */
	uint32_t keys;
	uint32_t bytes;
	uint32_t key_text;
	uint32_t named;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t hash_bytes(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 29;
}

/* ---- Defining: with the lock held --------------------------------------- */

static void region_copy(uint32_t from, uint32_t to)
{
	struct region *region = all.region;

	if (region == NULL || region->base == NULL)
		return;
	memcpy(region->base + REGION_SHAPES_AT + from, all.tables->bytes + from, to - from);
	__atomic_store_n(&region->header->shapes_bytes, to, __ATOMIC_RELEASE);
}

/* Appends an entry made of an id and a body; returns the id or 0. */
static uint32_t entry_add(
	const uint8_t *body, size_t body_length, uint32_t from, uint32_t key, uint32_t type)
{
	uint32_t id = all.shapes + 1;
	uint8_t head[16];
	struct writer writer = writer_of(head, sizeof(head));
	struct shape *shape;
	size_t id_bytes = 1 + varint_length(id);
	size_t total;

	if (id > WIRE_SHAPE_ID_LIMIT || body_length > ENTRY_LIMIT)
		return 0;
	writer_byte(&writer, TAG_BATCH_SHAPES);
	writer_varint(&writer, id_bytes + body_length);
	writer_byte(&writer, TAG_SHAPE_ID);
	writer_varint(&writer, id);
	total = writer_length(&writer) + body_length;
	if (writer.error != 0 || total > REGION_SHAPES_BYTES - all.bytes)
		return 0;
	memcpy(all.tables->bytes + all.bytes, head, writer_length(&writer));
	memcpy(all.tables->bytes + all.bytes + writer_length(&writer), body, body_length);
	shape = &all.tables->shapes[id];
	shape->at = all.bytes;
	shape->body = (uint32_t)writer_length(&writer);
	shape->from = (uint16_t)from;
	shape->key = (uint16_t)key;
	shape->type = (uint8_t)type;
	shape->keys = (uint8_t)(from != 0 ? all.tables->shapes[from].keys + 1 : 0);
	__atomic_store_n(&shape->length, (uint32_t)total, __ATOMIC_RELEASE);
	region_copy(all.bytes, all.bytes + (uint32_t)total);
	all.bytes += (uint32_t)total;
	all.shapes = id;
	return id;
}

static struct slice shape_body(uint32_t id)
{
	const struct shape *shape = &all.tables->shapes[id];

	return slice_of(all.tables->bytes + shape->at + shape->body, shape->length - shape->body);
}

/* The root with this body; defines it when named says that there may be more. */
static uint32_t root_intern(const uint8_t *body, size_t length, bool named)
{
	uint64_t hash = hash_bytes(body, length);
	uint32_t id;

	for (uint32_t i = 0; i < TABLE; i++) {
		uint32_t *place = &all.tables->roots[(hash + i) % TABLE];

		if (*place == 0) {
			if (named && all.named >= SHAPE_NAMES_LIMIT)
				return 0;
			id = entry_add(body, length, 0, 0, 0);
			if (id != 0) {
				*place = id;
				all.named += named;
			}
			return id;
		}
		if (slice_equal(shape_body(*place), slice_of(body, length)))
			return *place;
	}
	return 0;
}

/* ---- Roots --------------------------------------------------------------- */

/* A text of ours or of the host: cut at a character, repaired when it isn't
 * UTF-8, so that what follows it is never taken for part of it. */
static struct slice text_cut(const char *text, size_t limit)
{
	struct slice slice = slice_of_text(text);

	if (slice.length > limit) {
		slice.length = limit;
		while (slice.length > 0 && (slice.data[slice.length] & 0xc0) == 0x80)
			slice.length--;
	}
	return slice;
}

static void name_write(struct writer *writer, const struct shape_site *site)
{
	char text[SHAPE_NAME_BYTES + 1];
	const char *stem;
	const char *end;
	struct slice function;
	size_t length;

	if (site->name != NULL) {
		writer_field_bytes(writer, TAG_SHAPE_NAME, text_cut(site->name, SHAPE_NAME_BYTES));
		return;
	}
	stem = site->file != NULL ? site->file : "";
	if (strrchr(stem, '/') != NULL)
		stem = strrchr(stem, '/') + 1;
	end = strrchr(stem, '.');
	length = end != NULL && end != stem ? (size_t)(end - stem) : strlen(stem);
	if (length > SHAPE_NAME_BYTES / 2)
		length = SHAPE_NAME_BYTES / 2;
	memcpy(text, stem, length);
	if (length > 0)
		text[length++] = '.';
	function =
		text_cut(site->function != NULL ? site->function : "?", SHAPE_NAME_BYTES - length);
	memcpy(text + length, function.data, function.length);
	writer_field_bytes(writer, TAG_SHAPE_NAME, slice_of(text, length + function.length));
}

static size_t root_encode(const struct shape_site *site, uint8_t *buffer, size_t size)
{
	struct writer writer = writer_of(buffer, size);

	name_write(&writer, site);
	writer_field_bytes(&writer, TAG_SHAPE_LAYER, text_cut(site->layer, SHAPE_KEY_BYTES));
	if (site->file != NULL) {
		writer_field_bytes(&writer, TAG_SHAPE_FILE, text_cut(site->file, SHAPE_NAME_BYTES));
		writer_field_varint(&writer, TAG_SHAPE_LINE, site->line);
		writer_field_bytes(
			&writer, TAG_SHAPE_FUNCTION, text_cut(site->function, SHAPE_KEY_BYTES));
	}
	return writer.error == 0 ? writer_length(&writer) : 0;
}

static uint32_t root_define(const struct shape_site *site, bool named)
{
	uint8_t body[ROOT_LIMIT];
	size_t length = root_encode(site, body, sizeof(body));
	uint32_t id = 0;

	if (length > 0) {
		pthread_mutex_lock(&all.lock);
		id = root_intern(body, length, named);
		pthread_mutex_unlock(&all.lock);
	}
	return id != 0 ? id : SHAPE_OTHER;
}

uint32_t shape_root(const struct shape_site *site)
{
	return root_define(site, false);
}

uint32_t shape_named(const char *name, const char *layer)
{
	return root_define(&(struct shape_site){.name = name, .layer = layer}, true);
}

/* ---- Keys ---------------------------------------------------------------- */

static bool key_is(uint32_t id, struct slice name)
{
	const char *text = all.tables->key_text + all.tables->keys[id].at;

	return strncmp(text, (const char *)name.data, name.length) == 0 &&
	       text[name.length] == '\0';
}

static uint32_t key_add(struct slice name)
{
	struct key *key = &all.tables->keys[all.keys + 1];

	if (all.keys >= SHAPE_KEYS_LIMIT || name.length + 1 > KEY_TEXT_BYTES - all.key_text)
		return 0;
	memcpy(all.tables->key_text + all.key_text, name.data, name.length);
	key->at = all.key_text;
	key->redact = redact_key_matches((const char *)name.data, name.length);
	all.key_text += (uint32_t)name.length + 1;
	return ++all.keys;
}

uint32_t shape_key(const char *name, bool *ret_redact)
{
	struct slice text = text_cut(name, SHAPE_KEY_BYTES);
	uint64_t hash = hash_bytes(text.data, text.length);
	uint32_t id = 0;

	for (uint32_t i = 0; i < KEY_TABLE && id == 0; i++) {
		uint32_t *place = &all.tables->names[(hash + i) % KEY_TABLE];

		id = __atomic_load_n(place, __ATOMIC_ACQUIRE);
		if (id == 0) {
			pthread_mutex_lock(&all.lock);
			id = *place;
			if (id == 0) {
				id = key_add(text);
				__atomic_store_n(place, id, __ATOMIC_RELEASE);
			}
			pthread_mutex_unlock(&all.lock);
			if (id == 0)
				break;
		}
		if (!key_is(id, text))
			id = 0;
	}
	*ret_redact = id != 0 ? all.tables->keys[id].redact
			      : redact_key_matches((const char *)text.data, text.length);
	return id;
}

/* ---- Steps --------------------------------------------------------------- */

static struct slice key_text(uint32_t key)
{
	return slice_of_text(all.tables->key_text + all.tables->keys[key].at);
}

/* A shape that has the keys of `shape` and one more. With the lock held. */
static uint32_t step_define(uint32_t shape, uint32_t key, enum wire_key_type type)
{
	uint8_t body[ENTRY_LIMIT];
	struct writer writer = writer_of(body, sizeof(body));
	struct slice before = shape_body(shape);
	struct slice name = key_text(key);

	if (all.tables->shapes[shape].keys >= WIRE_SHAPE_KEYS_LIMIT)
		return 0;
	writer_bytes(&writer, before.data, before.length);
	writer_byte(&writer, TAG_SHAPE_KEYS);
	writer_varint(&writer, 1 + varint_length(name.length) + name.length + 2);
	writer_field_bytes_always(&writer, TAG_KEY_NAME, name);
	writer_field_varint(&writer, TAG_KEY_TYPE, type);
	return writer.error == 0 ? entry_add(body, writer_length(&writer), shape, key, type) : 0;
}

uint32_t shape_next(uint32_t shape, uint32_t key, enum wire_key_type type)
{
	uint64_t step = (uint64_t)shape << 40 | (uint64_t)key << 24 | (uint64_t)type << 16;
	uint64_t hash = (step >> 16) * UINT64_C(0x9e3779b97f4a7c15) >> 40;
	uint64_t *place = NULL;
	uint64_t found = 0;
	uint32_t id = 0;

	for (uint32_t i = 0; i < TABLE; i++) {
		place = &all.tables->steps[(hash + i) % TABLE];
		found = __atomic_load_n(place, __ATOMIC_ACQUIRE);
		if (found == 0) {
			pthread_mutex_lock(&all.lock);
			found = *place;
			if (found == 0) {
				id = step_define(shape, key, type);
				if (id != 0)
					__atomic_store_n(place, step | id, __ATOMIC_RELEASE);
			}
			pthread_mutex_unlock(&all.lock);
			if (found == 0)
				return id;
		}
		if ((found & ~UINT64_C(0xffff)) == step)
			return (uint32_t)(found & 0xffff);
	}
	return 0;
}

bool shape_find(uint32_t shape, uint32_t key, enum wire_key_type *ret_type, uint32_t *ret_index)
{
	const struct shape *shapes = all.tables->shapes;
	uint32_t index = 0;

	while (shape != 0 && (shapes[shape].key != key || key == 0))
		shape = shapes[shape].from;
	if (shape == 0)
		return false;
	*ret_type = (enum wire_key_type)shapes[shape].type;
	for (uint32_t before = shapes[shape].from; before != 0; before = shapes[before].from)
		index += shapes[before].key != 0 && shapes[before].type == shapes[shape].type;
	*ret_index = index;
	return true;
}

uint32_t shape_keys(uint32_t shape, uint32_t *ret_keys, enum wire_key_type *ret_types)
{
	const struct shape *shapes = all.tables->shapes;
	uint32_t count = shapes[shape].keys;

	for (uint32_t i = count; i-- > 0; shape = shapes[shape].from) {
		ret_keys[i] = shapes[shape].key;
		ret_types[i] = (enum wire_key_type)shapes[shape].type;
	}
	return count;
}

uint32_t shape_base(uint32_t shape)
{
	while (all.tables->shapes[shape].from != 0)
		shape = all.tables->shapes[shape].from;
	return shape;
}

struct slice shape_bytes(uint32_t shape)
{
	uint32_t length;

	if (shape == 0 || shape >= SHAPES)
		return slice_of(NULL, 0);
	length = __atomic_load_n(&all.tables->shapes[shape].length, __ATOMIC_ACQUIRE);
	return slice_of(all.tables->bytes + all.tables->shapes[shape].at, length);
}

/* ---- Process ------------------------------------------------------------- */

int shape_start(void)
{
	void *memory;

	if (all.tables != NULL)
		return 0;
	memory = mmap(NULL, sizeof(struct tables), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	all.tables = memory;
	if (shape_root(&(struct shape_site){.name = "(other)", .layer = "core"}) != SHAPE_OTHER)
		return -ENOMEM;
	return 0;
}

void shape_fork_child(void)
{
	all.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	all.region = NULL;
}

void shape_set_region(struct region *region)
{
	pthread_mutex_lock(&all.lock);
	all.region = region;
	region_copy(0, all.bytes);
	pthread_mutex_unlock(&all.lock);
}
