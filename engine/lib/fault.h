/*
 * fault.h: what was wrong, for whoever asked. A function that can fail on what
 * it was given takes a struct fault, fills it once and returns a negative code;
 * each layer passes both on. Not shared between threads.
 */
#ifndef ENGINE_FAULT_H
#define ENGINE_FAULT_H

#include <stdbool.h>

#include <waft/waft.h>

enum fault_kind {
	FAULT_NONE = 0,
	FAULT_FORM,	   /* the JSON, a type or a required key is wrong */
	FAULT_RULE,	   /* well formed, but against a rule of the model */
	FAULT_MISSING,	   /* what was asked for does not exist */
	FAULT_UNAVAILABLE, /* no worker could do it now */
	FAULT_INTERNAL,	   /* ours: memory, a file, another process */
	FAULT_KINDS
};

/* Zero-initialise. */
struct fault {
	enum fault_kind kind;
	char *message; /* owned; NULL when memory was short */
};

void fault_done(struct fault *fault);

/* Replaces what fault says. Returns the code to pass on: -EINVAL for FORM and
 * RULE, -ENOENT, -EAGAIN, -EIO for the others. */
int fault_set(struct fault *fault, enum fault_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

/* The code for memory that ran short, and that said in fault. */
int fault_memory(struct fault *fault) __attribute__((warn_unused_result));

/* Never NULL. */
const char *fault_text(const struct fault *fault);

/* A kind's name between processes ("form", "rule", …) and back; a name that is
 * none is FAULT_INTERNAL. */
const char *fault_kind_name(enum fault_kind kind);
enum fault_kind fault_kind_of(const char *name);

/* Marks span failed with fault's text when r is negative. Returns r. */
int fault_mark(struct waft_span *span, int r, const struct fault *fault);

#endif
