/* normalize.h -- raw values of drivers to engineering values, and back for writes. Pure. */
#ifndef GATEWAY_NORMALIZE_H
#define GATEWAY_NORMALIZE_H

#include "model/device.h"
#include "nexus/value.h"

/* raw -> scale, offset and unit (one line) -> clamp -> enum text. value and quality are changed in place; the answer is
 * why the quality became worse, NULL when it did not. A value beyond the clamps is held at the clamp and uncertain; NaN
 * and infinities become no value with quality sensor failure. Texts are borrowed from raw or from the tag. */
const char *normalize(const struct tag *tag, struct nx_value *value, uint16_t *quality);
/* The two halves: between them an expression of the tag works on its engineering value. */
const char *normalize_raw(const struct tag *tag, struct nx_value *value, uint16_t *quality);
const char *normalize_finish(const struct tag *tag, struct nx_value *value, uint16_t *quality);

/* How far two engineering values of the tag are apart whose raw values differ by one. */
double normalize_step(const struct tag *tag);

/* The type that normalize() gives for good values of the tag. */
enum nx_type normalize_type(const struct tag *tag);

/* Engineering value or enum text -> raw value of the declared data type: exactly the one it came from, up to 2^52 and
 * for floats that the offset does not drown. Never wrapped. NX_E_VALUE for a wrong type or text,
 * NX_E_RANGE beyond the clamps or the data type; why names tag, bound and remedy. */
NX_MUST_CHECK enum nx_err normalize_reverse(const struct tag *tag, const struct nx_value *value, struct nx_value *raw,
                                            struct nx_note *why);

#endif
