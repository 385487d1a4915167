/*
 * fault.c: see fault.h.
 */
#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[FAULT_KINDS] = {
	[FAULT_NONE] = "none",
	[FAULT_FORM] = "form",
	[FAULT_RULE] = "rule",
	[FAULT_MISSING] = "missing",
	[FAULT_UNAVAILABLE] = "unavailable",
	[FAULT_INTERNAL] = "internal",
};

void fault_done(struct fault *fault)
{
	if (fault == NULL)
		return;
	free(fault->message);
	*fault = (struct fault){0};
}

static int fault_code(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_FORM:
	case FAULT_RULE:
		return -EINVAL;
	case FAULT_MISSING:
		return -ENOENT;
	case FAULT_UNAVAILABLE:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

int fault_set(struct fault *fault, enum fault_kind kind, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *message = NULL;
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	/* Only now: the arguments may point into the message replaced. */
	free(fault->message);
	fault->message = message;
	fault->kind = kind;
	return fault_code(kind);
}

int fault_memory(struct fault *fault)
{
	fault_done(fault);
	fault->kind = FAULT_INTERNAL;
	return -ENOMEM;
}

const char *fault_text(const struct fault *fault)
{
	return fault->message ? fault->message : "out of memory; try again later";
}

const char *fault_kind_name(enum fault_kind kind)
{
	return (unsigned int)kind < FAULT_KINDS ? kind_names[kind] : kind_names[FAULT_INTERNAL];
}

enum fault_kind fault_kind_of(const char *name)
{
	for (int kind = FAULT_FORM; name != NULL && kind < FAULT_KINDS; kind++)
		if (strcmp(name, kind_names[kind]) == 0)
			return (enum fault_kind)kind;
	return FAULT_INTERNAL;
}

int fault_mark(struct waft_span *span, int r, const struct fault *fault)
{
	if (r < 0)
		waft_error(span, fault_text(fault));
	return r;
}
