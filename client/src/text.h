/*
 * What header and environment values share: white space around members, and
 * percent escapes (RFC 3986, 2.1). Pure and thread-safe.
 */
#ifndef WAFT_CLIENT_TEXT_H
#define WAFT_CLIENT_TEXT_H

#include <stddef.h>

#include "slice.h"

/* Without spaces and tabs at both ends. */
struct slice text_trim(const char *text, size_t length);

/* Escapes decoded, into at least length bytes (which may be the text's own); what
 * is no escape stays. The new length. */
size_t text_percent_decode(char *ret_to, const char *text, size_t length);

#endif
