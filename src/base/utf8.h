/* utf8.h -- UTF-8 checks (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). Pure. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* Length in bytes of the valid sequence at the start of s, 0 when it is invalid or s is empty. */
size_t utf8_step(struct slice s);
bool utf8_is_valid(struct slice s);
/* Largest n <= max that does not cut a sequence. */
size_t utf8_cut(struct slice s, size_t max);

#endif
