/*
 * text_search.h: whether a text stands in much other text: what memmem answers, at the speed
 * of memory where two bytes of it are rarely met at their distance.
 */
#ifndef WAFT_STORE_TEXT_SEARCH_H
#define WAFT_STORE_TEXT_SEARCH_H

#include <stdbool.h>

#include "slice.h"

/* An empty text stands everywhere. */
bool text_stands_in(struct slice lines, struct slice text);

#endif
