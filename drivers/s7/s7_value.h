/* s7_value.h -- between bytes as they lie in the CPU and values. Pure. What each type becomes: README.md. */
#ifndef S7_VALUE_H
#define S7_VALUE_H

#include "s7_addr.h"

#define S7_TEXT_MAX NX_STRING_MAX
/* The longest value in the CPU. */
#define S7_VALUE_BYTES (4u + 2u * S7_WCHARS_MAX)

/* Reads one value out of p, which begins at the first byte of the address (addr->bytes). text is where a string is put.
 * NX_E_VALUE: the bytes are no value of the type (NaN, digits above 9, the 31st of June); NX_E_RANGE: the number does
 * not fit the data_type of the tag. */
NX_MUST_CHECK enum nx_err s7_value_decode(const struct s7_addr *addr, const uint8_t *p, char text[S7_TEXT_MAX],
                                          struct nx_value *out);

/* The other way: what has to be written from byte *skip of the address on, *len bytes (the length that a CPU keeps in
 * front of a string is left alone; a string is as long as its text). A BOOL is one byte, 0 or 1. NX_E_RANGE and
 * NX_E_VALUE with a note. */
NX_MUST_CHECK enum nx_err s7_value_encode(const struct s7_addr *addr, const struct nx_value *value, uint8_t *out,
                                          unsigned *skip, unsigned *len, struct nx_note *why);

#endif
