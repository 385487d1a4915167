/*
 * number.h: numbers as the engine's requests write them, whatever the locale.
 * Pure; any thread.
 */
#ifndef ENGINE_NUMBER_H
#define ENGINE_NUMBER_H

#include <stddef.h>

enum { NUMBER_TEXT_SIZE = 32 };

/* Reads a text in the grammar of Python's float(): surrounding Unicode white
 * space, a sign, decimal digits of any script with single underscores between
 * them, a fraction, an exponent; inf, infinity, nan in any case. Not hex.
 * Beyond double's range the value is infinite, as there.
 * Source: https://docs.python.org/3/library/functions.html#float
 * 0, -EINVAL when it is no number, -ENOMEM. */
int number_parse(const char *text, size_t length_bytes, double *ret_value)
	__attribute__((warn_unused_result));

/* Reads a C number ("-1.5e3") by the C locale's rules, infinite on overflow. */
double number_from_c(const char *text);

/* Writes the shortest correctly rounded decimal that reads back as value, laid
 * out as Python's repr() does: 1.0, 0.1, 1e-05, 1e+16, inf, nan. Returns its
 * length. */
size_t number_format(double value, char ret_text[NUMBER_TEXT_SIZE]);

#endif
