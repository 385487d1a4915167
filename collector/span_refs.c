/* From a decoded batch to references. Not thread-safe. */
#include "span_refs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void span_refs_done(struct span_refs *refs)
{
	free(refs->refs);
	free(refs->groups);
	*refs = (struct span_refs){0};
}

/* Room for one more item; 0 or -ENOMEM. */
static int grow(void **items, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
	uint32_t wanted;
	void *grown;

	if (count < *capacity)
		return 0;
	wanted = *capacity == 0 ? 256 : *capacity * 2;
	grown = realloc(*items, wanted * item_bytes);
	if (grown == NULL)
		return -ENOMEM;
	*items = grown;
	*capacity = wanted;
	return 0;
}

static int add_span(struct span_refs *refs, const struct span_view *view, uint32_t position)
{
	const struct trace_id *trace_id = &view->trace->id;
	struct span_group *group =
		refs->group_count > 0 ? &refs->groups[refs->group_count - 1] : NULL;
	int status;

	status = grow((void **)&refs->refs, &refs->capacity, refs->count, sizeof(*refs->refs));
	if (status < 0)
		return status;
	if (group == NULL || !trace_id_equal(&group->trace_id, trace_id)) {
		status = grow((void **)&refs->groups, &refs->group_capacity, refs->group_count,
			sizeof(*refs->groups));
		if (status < 0)
			return status;
		group = &refs->groups[refs->group_count++];
		*group = (struct span_group){.trace_id = *trace_id, .first = refs->count};
	}
	group->count++;
	refs->refs[refs->count++] = (struct span_ref){
		.span_id = view->span_id,
		.parent_id = view->parent_id,
		.start_ns = view->start_ns,
		.place = span_ref_pack_place(view->place) |
			 (view->status == WIRE_STATUS_PENDING ? SPAN_REF_PENDING : 0),
		.position = position,
	};
	return 0;
}

int span_refs_read(struct span_refs *refs, struct batch *batch,
	bool (*skip)(void *context, uint32_t position), void *context)
{
	struct batch_iter iter;
	struct span_view view;
	uint32_t position = 0;
	int status;

	refs->count = 0;
	refs->group_count = 0;
	batch_iter_init(&iter);
	while ((status = batch_next(batch, &iter, &view)) > 0) {
		if (skip == NULL || !skip(context, position)) {
			status = add_span(refs, &view, position);
			if (status < 0)
				return status;
		}
		position++;
	}
	return status;
}

int span_refs_reserve(const struct span_refs *refs, struct assembly *assembly)
{
	return assembly_reserve(assembly, refs->groups, refs->group_count);
}

void span_refs_unreserve(const struct span_refs *refs, struct assembly *assembly)
{
	assembly_unreserve(assembly, refs->groups, refs->group_count);
}

void span_refs_add(struct span_refs *refs, struct assembly *assembly, uint32_t segment,
	uint32_t offset, uint64_t now_ms)
{
	for (uint32_t i = 0; i < refs->count; i++) {
		refs->refs[i].segment = segment;
		refs->refs[i].offset = offset;
	}
	assembly_add(assembly, refs->groups, refs->group_count, refs->refs, now_ms);
}
