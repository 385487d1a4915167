/* What few spans have: events, links, trace state, counts of what was dropped. See line.h. */
#include "line_internal.h"

#include "json_write.h"

static int append_event(
	struct bytes *out, const struct span_event *event, bool repair, bool first_event)
{
	char timestamp[JSON_TIMESTAMP_BYTES];
	struct attribute_iter iter;
	bool first = true;
	int ret = first_event ? APPEND(out, "{\"name\":") : APPEND(out, ",{\"name\":");

	json_format_timestamp(timestamp, event->time_ns);
	event_attributes(event, &iter);
	if (ret == 0)
		ret = json_put_text(out, event->name, repair);
	if (ret == 0)
		ret = APPEND(out, ",\"timestamp\":\"");
	if (ret == 0)
		ret = bytes_put(out, timestamp, sizeof(timestamp));
	if (ret == 0)
		ret = APPEND(out, "\",\"attributes\":{");
	if (ret == 0)
		ret = line_append_attributes(out, &iter, repair, &first);
	return ret != 0 ? ret : APPEND(out, "}}");
}

static int append_link(
	struct bytes *out, const struct span_link *link, bool repair, bool first_link)
{
	char trace[ID_UUID_LENGTH], span[ID_UUID_LENGTH];
	struct attribute_iter iter;
	bool first = true;
	int ret = first_link ? APPEND(out, "{\"trace_id\":\"") : APPEND(out, ",{\"trace_id\":\"");

	trace_id_format(&link->trace_id, trace);
	span_id_format(link->span_id, span);
	link_attributes(link, &iter);
	if (ret == 0)
		ret = bytes_put(out, trace, sizeof(trace));
	if (ret == 0)
		ret = APPEND(out, "\",\"span_id\":\"");
	if (ret == 0)
		ret = bytes_put(out, span, sizeof(span));
	if (ret == 0)
		ret = APPEND(out, "\",\"attributes\":{");
	if (ret == 0)
		ret = line_append_attributes(out, &iter, repair, &first);
	if (ret == 0 && link->state.length > 0) {
		ret = line_append_key(out, slice_of_text("waft.trace_state"), false, &first);
		if (ret == 0)
			ret = json_put_text(out, link->state, repair);
	}
	return ret != 0 ? ret : APPEND(out, "}}");
}

/* The time at which a pending span's process ended, or gave it up, is an event. */
static bool is_abandoned(const struct line_writer *writer, const struct span_view *view)
{
	return view->status == WIRE_STATUS_PENDING && view->duration_ns > 0 && !writer->live;
}

static int append_abandoned(struct bytes *out, const struct span_view *view, bool first)
{
	char timestamp[JSON_TIMESTAMP_BYTES];
	int ret = first ? 0 : APPEND(out, ",");

	json_format_timestamp(timestamp, view->start_ns + view->duration_ns);
	if (ret == 0)
		ret = APPEND(out, "{\"name\":\"" RECORD_ABANDONED "\",\"timestamp\":\"");
	if (ret == 0)
		ret = bytes_put(out, timestamp, sizeof(timestamp));
	return ret != 0 ? ret : APPEND(out, "\",\"attributes\":{}}");
}

static int append_events(const struct line_writer *writer, struct bytes *out,
	const struct batch *batch, const struct span_view *view, bool repair)
{
	struct cursor detail = cursor_of_slice(view->detail);
	struct span_event event;
	bool first = true;
	int ret = APPEND(out, ",\"events\":[");

	while (ret == 0 && span_event_next(batch, &detail, &event)) {
		ret = append_event(out, &event, repair, first);
		first = false;
	}
	if (ret == 0 && is_abandoned(writer, view))
		ret = append_abandoned(out, view, first);
	return ret != 0 ? ret : APPEND(out, "]");
}

static int append_links(struct bytes *out, const struct span_view *view, bool repair)
{
	struct cursor detail = cursor_of_slice(view->detail);
	size_t before = out->length;
	struct span_link link;
	bool first = true;
	int ret = APPEND(out, ",\"links\":[");

	while (ret == 0 && span_link_next(&detail, &link)) {
		ret = append_link(out, &link, repair, first);
		first = false;
	}
	if (ret == 0)
		ret = APPEND(out, "]");
	/* All of them had ids of zero. */
	if (first)
		out->length = before;
	return ret;
}

static int append_dropped(struct bytes *out, const struct span_view *view)
{
	const struct {
		const char *name;
		uint32_t count;
	} kinds[] = {{"attributes", view->dropped_attributes}, {"events", view->dropped_events},
		{"links", view->dropped_links}};
	bool first = true;
	int ret = APPEND(out, ",\"dropped\":{");

	for (size_t i = 0; ret == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].count == 0)
			continue;
		ret = line_append_key(out, slice_of_text(kinds[i].name), false, &first);
		if (ret == 0)
			ret = line_append_u64(out, kinds[i].count);
	}
	return ret != 0 ? ret : APPEND(out, "}");
}

int line_append_rest(const struct line_writer *writer, const struct batch *batch,
	const struct span_view *view, struct bytes *out)
{
	bool repair = (view->repairs & REPAIR_UTF8) != 0;
	int ret = 0;

	if (view->event_count > 0 || is_abandoned(writer, view))
		ret = append_events(writer, out, batch, view, repair);
	if (ret == 0 && view->link_count > 0)
		ret = append_links(out, view, repair);
	if (ret == 0 && view->trace->state.length > 0) {
		ret = APPEND(out, ",\"trace_state\":");
		if (ret == 0)
			ret = json_put_text(out, view->trace->state, repair);
	}
	if (ret == 0 &&
		(view->dropped_attributes | view->dropped_events | view->dropped_links) != 0)
		ret = append_dropped(out, view);
	return ret;
}
