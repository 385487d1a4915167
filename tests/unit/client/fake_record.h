/* What the fake collector keeps of batches. */
#ifndef WAFT_TESTS_FAKE_RECORD_H
#define WAFT_TESTS_FAKE_RECORD_H

#include "fake_collector.h"
#include "slice.h"

/* Adds its spans; false: it does not decode. */
bool fake_record_batch(struct fake_collector *fake, struct slice bytes);
void fake_record_free(struct fake_collector *fake);

#endif
