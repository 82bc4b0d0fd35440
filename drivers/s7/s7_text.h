/* s7_text.h -- CHAR, WCHAR, STRING and WSTRING to UTF-8 and back. Pure.
 *
 * CHAR and STRING are ISO 8859-1, WCHAR and WSTRING UTF-16. A length in the CPU that is larger than the declared one is
 * cut to it. Arrays of characters end at the first NUL, without blanks behind; on the way in they are filled up with
 * blanks. */
#ifndef S7_TEXT_H
#define S7_TEXT_H

#include "s7_addr.h"

/* Bytes of UTF-8 written to text, which has NX_STRING_MAX. */
size_t s7_text_decode(const struct s7_addr *addr, const uint8_t *p, char *text);
/* The bytes from *skip of the address on; NX_E_RANGE with a note when the text does not fit. */
NX_MUST_CHECK enum nx_err s7_text_encode(const struct s7_addr *addr, struct slice utf8, uint8_t *out, unsigned *skip,
                                         unsigned *len, struct nx_note *why);

#endif
