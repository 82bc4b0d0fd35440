/* modbus_value.h -- between registers as they are on the wire and values. Pure. */
#ifndef MODBUS_VALUE_H
#define MODBUS_VALUE_H

#include "modbus_addr.h"

#define MODBUS_TEXT_MAX 512 /* a string of 125 registers, each character up to two bytes of UTF-8 */

/* Reads one value out of p, which begins at the value's first register (addr->count * 2 bytes). text is where a string
 * is put. NX_E_VALUE with a note: a NaN or an infinity is no value (the sensor behind it has failed), nor are digits
 * that are not decimal under is_bcd.
 *
 * bool: the bit, or whether the register is not 0. int8, uint8: the low byte. string: up to the first NUL, trailing
 * blanks cut; text that is not UTF-8 is taken as ISO 8859-1, control characters become blanks. */
NX_MUST_CHECK enum nx_err modbus_value_decode(const struct modbus_addr *addr, const uint8_t *p,
                                              char text[MODBUS_TEXT_MAX], struct nx_value *out, struct nx_note *why);

/* The other way: fills addr->count * 2 bytes. Not for a bit of a register. NX_E_RANGE and NX_E_VALUE with a note. */
NX_MUST_CHECK enum nx_err modbus_value_encode(const struct modbus_addr *addr, const struct nx_value *value, uint8_t *p,
                                              struct nx_note *why);

/* A value meant as a switch: false, true, 0 or 1. */
NX_MUST_CHECK enum nx_err modbus_value_bool(const struct nx_value *value, bool *out, struct nx_note *why);

#endif
